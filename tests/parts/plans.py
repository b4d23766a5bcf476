"""A study with a plan, and made-up measurements of it."""

import copy

import numpy as np
import yaml

from vlmgym.studies.results import UNTRAINED, StudyResults
from vlmgym.studies.study import Study

PLANNED = """
model: tiny
seeds: [0, 1, 2]
runs:
  g0-2048: {recipe: study/rl-2048}
  g1-2048: {recipe: study/rl-2048}
  g0-swap: {recipe: study/rl-swap}
  g1-swap: {recipe: study/rl-swap}
evaluations:
  states: {protocol: study/states, games: ["2048", Swap], players: [random, oracle, "teacher:0.3", base, "g*"]}
  seen: {protocol: study/states, games: ["2048", Swap], players: [base, "g*"], set: [evaluation.observation=text]}
plan:
  question: Does G1 beat its teacher?
  frozen: "2026-11-28"
  games: {"2048": "2048", Swap: swap}
  stopping: when all jobs are done
  primary:
    - {name: teacher, says: G1 beats its teacher., evaluation: states, measure: success, of: "g1-{game}", against: "teacher:0.3", expect: greater}
    - {name: same, says: G1 plays text as well as pictures., evaluation: states, measure: success, of: "g1-{game}", against: {player: "g1-{game}", evaluation: seen}, expect: equal, margin: 0.05}
  exploratory:
    - {name: gains, says: G1 gains more than G0., evaluation: states, measure: success, of: "g1-{game}", against: base, minus: {of: "g0-{game}", against: base}, expect: greater}
    - {name: index, says: G1 comes half of the way., evaluation: states, measure: index, of: g1-swap, against: 0.5, games: [Swap], expect: greater}
    - {name: beyond, says: G1 finds what its teacher misses., evaluation: states, measure: success, of: "g1-{game}", against: base, where: {fails: "teacher:0.3"}, expect: greater}
"""


def planned(**changes):
    """The study, with other fields of its plan."""
    values = yaml.safe_load(PLANNED)
    values["plan"] = copy.deepcopy(values["plan"]) | changes
    return values


class Told(StudyResults):
    """Results that were made up.

    Args:
        study: what they are of.
        tables: by (evaluation, game, player) values ``(seeds, starts)``, of players that are not
            trained ``(1, starts)``; without a game, of all games.
    """

    def __init__(self, study, tables):
        super().__init__(study, None)
        self.tables = tables

    def values(self, evaluation, task, player, measure):
        table = self.tables.get((evaluation, task, player))
        if table is None:
            table = self.tables.get((evaluation, player))
        if table is None:
            return {}
        table = np.asarray(table, float)
        seeds = [UNTRAINED] if len(table) == 1 else self.study.seeds
        return {
            seed: {(number, number): value for number, value in enumerate(row)}
            for seed, row in zip(seeds, table, strict=True)
        }


def told(tables, **changes):
    """Results of the study with a plan."""
    return Told(Study.parse(planned(**changes)), tables)
