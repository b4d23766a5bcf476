"""What a study has measured so far: values by training seed and start, estimates, curves.

Everything is read from the traces and summaries of a study's folder.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vlmgym.core.files import read_json, read_json_lines
from vlmgym.evals import crossed_effects
from vlmgym.evals.estimates import NAN, Estimate
from vlmgym.evals.metrics import METRICS, mean_known
from vlmgym.evals.reading import Evaluated, load
from vlmgym.evals.summaries import read_summary
from vlmgym.studies.blocks import BlockMeasures
from vlmgym.studies.branches import read_tables, states_in, tables_path
from vlmgym.studies.claim import INDEX
from vlmgym.studies.study import Study

Table = NDArray[np.float64]
Start = tuple[int, int]
"""The number of a start and its seed."""
UNTRAINED = -1
"""Stands for the training seed of a player that has none."""
Values = dict[int, dict[Start, float]]
"""A measure of a player: by training seed, then by start."""
SWAPPED = "swapped"
"""The observation in which replies begin with the description of another start."""


class StudyResults:
    """All that a study has measured so far.

    Args:
        study: what was run.
        out: its folder.
    """

    def __init__(self, study: Study, out: Path) -> None:
        self.study = study
        self.out = out
        self._checked: dict[Path, dict[str, Estimate]] = {}

    @cached_property
    def hashes(self) -> list[str]:
        """Of the plan and what was run, as it was begun and after each amendment; none before it
        was begun.
        """
        path = self.out / "study.json"
        return list(read_json(path).get("hashes", [])) if path.exists() else []

    @cached_property
    def attempts(self) -> list[dict[str, object]]:
        """What was run when and where, the failed and stopped included."""
        lines = read_json_lines(self.out / "jobs.jsonl")
        return [line for line in lines if isinstance(line, dict)]

    # ---- evaluations
    @cached_property
    def evaluated(self) -> dict[tuple[str, str], dict[str, dict[int, Evaluated]]]:
        """By evaluation and folder of a task: the evaluations of each player by training seed."""
        evaluated = {}
        for name in self.study.evaluations:
            for task in self.study.protocol(name).names():
                by_player = self._by_player(name, task)
                if by_player:
                    evaluated[name, task] = by_player
        return evaluated

    def _by_player(self, evaluation: str, task: str) -> dict[str, dict[int, Evaluated]]:
        by_player = defaultdict[str, dict[int, Evaluated]](dict)
        folders = sorted((self.out / "evaluations" / evaluation / "eval").glob(f"*/{task}"))
        for evaluated in load(path for path in folders if (path / "summary.json").exists()):
            player, seed = self._run_and_seed(evaluated.run.player)
            by_player[player][seed] = evaluated
        order = {name: number for number, name in enumerate(self.study.names_in(evaluation))}
        known = sorted(by_player, key=lambda player: order.get(player, len(order)))
        return {player: by_player[player] for player in known}

    def _run_and_seed(self, name: str) -> tuple[str, int]:
        """What a player is called without its training seed, and the seed."""
        player = self.study.without_seed(name)
        return player, int(name.rpartition(".")[2]) if player != name else UNTRAINED

    def players(self, evaluation: str, task: str) -> list[str]:
        """Who was asked, in the order of the study's file."""
        return list(self.evaluated.get((evaluation, task), {}))

    def values(self, evaluation: str, task: str, player: str, measure: str) -> Values:
        """A measure of a player by training seed and start, repetitions averaged; empty where it
        was not asked.
        """
        of_seeds = self.evaluated.get((evaluation, task), {}).get(player, {})
        return {seed: _of_starts(evaluated, measure) for seed, evaluated in of_seeds.items()}

    def value(self, evaluation: str, task: str, player: str, measure: str) -> Estimate:
        """The mean of a measure over training seeds and starts; of a metric of turns that not all
        starts have, over those that have it.
        """
        values = list(self.values(evaluation, task, player, measure).values())
        shared = sorted(set.intersection(*map(set, values))) if values else []
        if not shared:
            return Estimate(NAN, NAN, NAN, 0)
        table = np.array([[row[start] for start in shared] for row in values])
        counted = (~np.isnan(table)).astype(np.float64)
        if not counted.any():
            return Estimate(NAN, NAN, NAN, 0)
        return crossed_effects.crossed(table, counted, bounds=METRICS[measure].bounds)

    def index(self, evaluation: str, task: str, player: str) -> float:
        """The score between random play, 0, and the oracle, 1; NaN where one was not asked."""
        means = [
            self.value(evaluation, task, name, "score").mean
            for name in (player, "random", "oracle")
        ]
        span = means[2] - means[1]
        return (means[0] - means[1]) / span if span else NAN

    def is_given(self, evaluation: str, task: str, player: str) -> bool:
        """Whether a player is handed the board, so that what it says of it measures nothing."""
        of_seeds = self.evaluated.get((evaluation, task), {}).get(player, {})
        return any(evaluated.run.sees == "state" for evaluated in of_seeds.values())

    def follows(self) -> dict[str, Estimate]:
        """By player: how far its think block follows a given description, in the first evaluation
        that swaps descriptions and asks it.
        """
        found = dict[str, Estimate]()
        for (evaluation, task), by_player in self.evaluated.items():
            for player, of_seeds in by_player.items():
                how = next(iter(of_seeds.values())).how
                if how["observation"] == SWAPPED and player not in found:
                    found[player] = self.value(evaluation, task, player, "follows")
        return found

    # ---- blocks of answers
    @cached_property
    def branched(self) -> dict[str, dict[str, dict[int, BlockMeasures]]]:
        """By the name of tables of blocks: what follows from those of each player by training seed,
        with the states that there are so far.
        """
        branched = {}
        for name in self.study.blocks:
            by_player = defaultdict[str, dict[int, BlockMeasures]](dict)
            for player in self.study.players_of_blocks(name):
                path = tables_path(self.out, name, player)
                if states_in(path):
                    run, seed = self._run_and_seed(player)
                    by_player[run][seed] = BlockMeasures.of(read_tables(path))
            if by_player:
                branched[name] = dict(by_player)
        return branched

    # ---- training
    def curve(self, run: str, game: str, metric: str) -> tuple[NDArray[np.int64], Table]:
        """Steps, and ``(seeds, steps)`` of a metric of the checks of a run (greedy answers to held
        out states), at the steps that all seeds have.
        """
        lines: list[dict[int, float]] = []
        for seed in self.study.seeds:
            line = {}
            for step, folder in self._checks(run, seed, game):
                line[step] = self._metrics_of(folder)[metric].mean
            if line:
                lines.append(line)
        if not lines:
            return np.empty(0, np.int64), np.empty((0, 0))
        steps = sorted(set.intersection(*map(set, lines)))
        table = np.array([[line[step] for step in steps] for line in lines], np.float64)
        return np.array(steps, np.int64), table.reshape(len(lines), len(steps))

    def _metrics_of(self, folder: Path) -> dict[str, Estimate]:
        """What the summary of a check says."""
        if folder not in self._checked:
            metrics = read_summary(folder)["metrics"].items()
            self._checked[folder] = {name: Estimate.from_dict(values) for name, values in metrics}
        return self._checked[folder]

    def checked_games(self, run: str) -> list[str]:
        """The games of the checks of a run."""
        folders = (self.out / "runs" / run).glob("*/checks/*/*/summary.json")
        return sorted({path.parent.name for path in folders})

    def _checks(self, run: str, seed: int, game: str) -> list[tuple[int, Path]]:
        """Steps and folders of the checks of a run."""
        folder = self.out / "runs" / run / str(seed) / "checks"
        paths = sorted(folder.glob(f"*/{game}/summary.json"))
        return [(int(path.parent.parent.name), path.parent) for path in paths]


def _of_starts(evaluated: Evaluated, measure: str) -> dict[Start, float]:
    """A metric by start, the mean over its repetitions."""
    metric = "score" if measure == INDEX else measure
    repeats = int(evaluated.how["repeats"])
    by_start = defaultdict[Start, list[float]](list)
    for (number, seed, _), values in evaluated.values.items():
        by_start[number // repeats, seed].append(values[metric])
    return {start: mean_known(values) for start, values in by_start.items()}


def rows_of(values: Values, seeds: Sequence[int], starts: Sequence[Start]) -> Table:
    """``(seeds, starts)``, or one row of a player that is not trained; NaN where nothing was
    measured.
    """
    wanted = [UNTRAINED] if UNTRAINED in values else list(seeds)
    return np.array([[values[seed].get(start, NAN) for start in starts] for seed in wanted])


def seeds_of(tables: Sequence[Mapping[int, object]]) -> list[int]:
    """The training seeds that all players have who are trained; :data:`UNTRAINED` alone if none
    is.
    """
    trained = [set(values) for values in tables if UNTRAINED not in values]
    return sorted(set.intersection(*trained)) if trained else [UNTRAINED]
