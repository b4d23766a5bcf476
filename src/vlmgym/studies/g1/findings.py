"""What a study has measured, in numbers: scores, gaps, what is known when asked, exploration.

Everything is computed from the traces of a study's folder. Every number is a mean over training
seeds and held-out episodes with the 95 % interval of :func:`vlmgym.evals.crossed_effects.crossed`.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Callable
from functools import cached_property, partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vlmgym.core import NO_ACTION
from vlmgym.dialogue.judge import Weights
from vlmgym.dialogue.reply import BLOCKS
from vlmgym.episodes.records import EvaluationRun, Turn
from vlmgym.episodes.trace import load_trace
from vlmgym.evals import crossed_effects, stats
from vlmgym.evals.estimates import NAN, Estimate, decimals
from vlmgym.evals.metrics import METRICS
from vlmgym.evals.reading import Evaluated, load
from vlmgym.evals.summaries import read_summary
from vlmgym.studies.study import BASE, Study
from vlmgym.train.callbacks import read_metrics

GAMES = {"2048": "2048", "ShisenSho": "shisen-sho", "Swap": "swap", "ShisenShoPhotos": "photos"}
"""The paper's games, and what the study's runs call them."""
TITLES = {
    "2048": "2048",
    "ShisenSho": "Shisen-Sho",
    "Swap": "Swap",
    "ShisenShoPhotos": "Shisen-Sho, photographs",
}
TURNED = "ShisenSho"
"""The task of the evaluations ``turned...``: tiles that the base does not see well."""
DIALS = ("noise", "blur", "contrast", "rotation", "occlusion", "similarity", "rows")
"""The dials of the evaluations ``difficulty-...``: fields of the look, and the rows of the
board.
"""
TRAINED_AT = {"rows": 4.0, "contrast": 1.0}
"""The values of dials that were trained on; 0 for the others."""
Table = NDArray[np.float64]
Estimates = dict[str, dict[str, Estimate]]
"""By game or player, then by what was measured."""


class StudyResults:
    """All that a study has measured so far.

    Args:
        study: what was run.
        out: its folder.
    """

    def __init__(self, study: Study, out: Path) -> None:
        self.study = study
        self.out = out
        self._turns_in: dict[Path, list[Turn]] = {}

    # ---- evaluations
    @cached_property
    def evaluated(self) -> dict[tuple[str, str], dict[str, list[Evaluated]]]:
        """By (evaluation, task folder): the evaluations of each player, one for each training
        seed.
        """
        evaluated: dict[tuple[str, str], dict[str, list[Evaluated]]] = {}
        for name in self.study.evaluations:
            for task in self.study.protocol(name).names():
                by_player = self._by_player(name, task)
                if by_player:
                    evaluated[name, task] = by_player
        return evaluated

    def _by_player(self, evaluation: str, task: str) -> dict[str, list[Evaluated]]:
        by_player = defaultdict[str, list[Evaluated]](list)
        folders = sorted((self.out / "evaluations" / evaluation / "eval").glob(f"*/{task}"))
        for evaluated in load(path for path in folders if (path / "summary.json").exists()):
            by_player[self.without_seed(evaluated.run.player)].append(evaluated)
        return by_player

    def without_seed(self, player: str) -> str:
        """What a player is called without the training seed, if it is trained."""
        return player.rpartition(".")[0] if self.study.makers(player) else player

    @property
    def teacher(self) -> str:
        """The name of the teacher that was asked; empty if none was."""
        for name in self.study.evaluations:
            for player in self.study.players(name):
                if player.startswith("teacher"):
                    return player
        return ""

    def players(self, evaluation: str, task: str) -> list[str]:
        """Who was asked."""
        return list(self.evaluated.get((evaluation, task), {}))

    def _seeds_of(self, evaluation: str, task: str, player: str) -> list[Evaluated]:
        """The evaluations of a player, one for each training seed."""
        return self.evaluated.get((evaluation, task), {}).get(player, [])

    def table(self, evaluation: str, task: str, player: str, metric: str) -> Table:
        """``(seeds, episodes)`` values of a metric; no rows where the player was not asked."""
        seeds = self._seeds_of(evaluation, task, player)
        if not seeds:
            return np.empty((0, 0))
        shared = set.intersection(*(set(evaluated.values) for evaluated in seeds))
        keys = sorted(shared)
        rows = [[evaluated.values[key][metric] for key in keys] for evaluated in seeds]
        return np.array(rows)

    def value(self, evaluation: str, task: str, player: str, metric: str) -> Estimate:
        """A metric of a player; ``r_acc`` is success among exact descriptions."""
        if metric == "r_acc":
            exact = self.table(evaluation, task, player, "p_acc")
            success = self.table(evaluation, task, player, "success")
            return estimate(success * exact, exact, stats.SHARE)
        values = self.table(evaluation, task, player, metric)
        return estimate(values, bounds=METRICS[metric].bounds)

    def gap(self, evaluation: str, task: str, first: str, second: str, metric: str) -> Estimate:
        """``first - second`` on the same episodes, run by run of the same training seed."""
        minuend = self.table(evaluation, task, first, metric)
        subtrahend = self.table(evaluation, task, second, metric)
        return estimate(difference(minuend, subtrahend))

    def each(self, evaluation: str, task: str, player: str, of: Callable[[Turn], float]) -> Table:
        """``(seeds, turns)``: a number for each answer of a player, in the order of the states."""
        rows = []
        for evaluated in self._seeds_of(evaluation, task, player):
            turns = self._turns(evaluated.folder)
            turns = sorted(turns, key=lambda turn: (turn.episode, turn.turn))
            rows.append([of(turn) for turn in turns])
        return np.array(rows, np.float64) if rows else np.empty((0, 0))

    def turns(self, evaluation: str, task: str, player: str) -> list[Turn]:
        """The turns of a player, seed after seed."""
        seeds = self._seeds_of(evaluation, task, player)
        return [turn for evaluated in seeds for turn in self._turns(evaluated.folder)]

    def _turns(self, folder: Path) -> list[Turn]:
        if folder not in self._turns_in:
            self._turns_in[folder] = load_trace(folder / "trace.jsonl").finished()
        return self._turns_in[folder]

    # ---- training
    def curve(self, run: str, game: str, metric: str) -> tuple[NDArray[np.int64], Table]:
        """Steps, and ``(seeds, steps)`` of a metric of the checks of a run on held-out states
        (greedy answers).
        """
        lines: list[dict[int, float]] = []
        for seed in self.study.seeds:
            line = {}
            for step, folder in self._checks(run, seed, game):
                mean = read_summary(folder)["metrics"][metric]["mean"]
                line[step] = NAN if mean is None else float(mean)
            if line:
                lines.append(line)
        if not lines:
            return np.empty(0, np.int64), np.empty((0, 0))
        shared = set.intersection(*(set(line) for line in lines))
        steps = sorted(shared)
        table = np.array([[line[step] for step in steps] for line in lines])
        return np.array(steps, np.int64), table.reshape(len(lines), len(steps))

    def _checks(self, run: str, seed: int, game: str) -> list[tuple[int, Path]]:
        """Steps and folders of the checks of a run."""
        folder = self.out / "runs" / run / str(seed) / "checks"
        paths = sorted(folder.glob(f"*/{game}/summary.json"))
        return [(int(path.parent.parent.name), path.parent) for path in paths]

    def training(self, run: str, key: str) -> Table:
        """``(seeds, steps)`` of a number that GRPO logs at every step (sampled answers to training
        states).
        """
        rows = []
        for seed in self.study.seeds:
            row = []
            for line in read_metrics(self.out / "runs" / run / str(seed) / "metrics.jsonl"):
                if line["stage"] == "grpo" and "reward" in line:
                    row.append(line.get(key, NAN))
            rows.append(row)
        shortest = min(map(len, rows), default=0)
        return np.array([row[:shortest] for row in rows])

    def trained(self) -> list[tuple[str, str]]:
        """G0 and G1 of each game, and those of turned tiles, as far as they were checked while
        training: run and game.
        """
        runs = []
        for kind in ("g0", "g1"):
            runs += [(f"{kind}-{suffix}", game) for game, suffix in GAMES.items()]
        runs += [("g0-turned", TURNED), ("g1-turned", TURNED)]
        trained = []
        for run, game in runs:
            steps, _ = self.curve(run, game, "success")
            if len(steps):
                trained.append((run, game))
        return trained

    def along(self, evaluation: str, game: str, dial: str) -> dict[float, str]:
        """The tasks along a dial by its value, in order; the task of training stands at the value
        that was trained on.
        """
        tasks = {}
        for (name, task), by_player in self.evaluated.items():
            if name != evaluation:
                continue
            run = next(iter(by_player.values()))[0].run
            value = _value_of(dial, run) if run.game == game else None
            if value is not None:
                tasks[value] = task
        return dict(sorted(tasks.items()))


def _value_of(dial: str, run: EvaluationRun) -> float | None:
    """The value of a dial in an evaluation; None if another one was turned."""
    if (run.level, run.look) == ("tiny", "tiny"):
        return TRAINED_AT.get(dial, 0.0)
    settings = run.level if dial == "rows" else run.look
    match = re.search(rf"(?:^|[:,]){dial}=([0-9.]+)", settings)
    return float(match[1]) if match else None


def estimate(values: Table, below: Table | None = None, bounds: stats.Bounds = None) -> Estimate:
    """:func:`vlmgym.evals.crossed_effects.crossed`; NaN where nothing was measured."""
    if not values.size:
        return Estimate(NAN, NAN, NAN, 0)
    return crossed_effects.crossed(values, below, bounds=bounds)


def difference(first: Table, second: Table) -> Table:
    """``first - second``; a player that is not trained has one row, which stands against all rows
    of the other.
    """
    seeds = {len(first), len(second)}
    fit = len(seeds) == 1 or 1 in seeds
    if not first.size or not second.size or not fit:
        return np.empty((0, 0))
    return first - second


# ---- knowing
def knows_a_move(turn: Turn) -> bool:
    """Whether the think block of a reply to the question for moves (prompt style ``"moves"``) comes
    to a move that works.
    """
    game, state = turn.load()
    match = re.search(r"\bso\b([^<>;]*)\Z", BLOCKS.inside(BLOCKS.think, turn.reply) or "")
    action = game.decode(state.level, match[1]).action if match else NO_ACTION
    return action != NO_ACTION and bool(game.success_mask(state)[0, action])


def knowing(results: StudyResults, player: str = BASE) -> Estimates:
    """What a model sees, knows when it is asked, and does, by game."""
    table = {}
    for game in GAMES:
        row = {}
        for metric in ("p_acc", "cells", "r_acc", "success"):
            row[metric] = results.value("states", game, player, metric)
        knows = results.each("moves", game, player, lambda turn: float(knows_a_move(turn)))
        row["knows"] = estimate(knows, bounds=stats.SHARE)
        row["random"] = results.value("states", game, "random", "success")
        for name in ("localises", "enumerates"):
            pattern = results.each("states", game, player, partial(_pattern, name))
            row[name] = estimate(pattern, bounds=stats.SHARE)
        table[game] = row
    return table


def _pattern(name: str, turn: Turn) -> float:
    return float(getattr(turn, name))


def scores(results: StudyResults) -> list[tuple[str, dict[str, Estimate]]]:
    """The paper's table: mean score of whole games, a row for each model, a column for each
    game.
    """
    players = {
        "random": "random",
        "base": BASE,
        "G0: base + GRPO": "g0-{}",
        "cold start: base + SFT": "cold-{}",
        "G1: cold start + GRPO": "g1-{}",
        "G1, one model for all games": "g1-all",
        f"the teacher ({results.teacher})": results.teacher,
        "oracle": "oracle",
    }
    rows = []
    for title, name in players.items():
        row = {}
        for game, suffix in GAMES.items():
            row[game] = results.value(f"episodes-{suffix}", game, name.format(suffix), "score")
        rows.append((title, row))
    return rows


# ---- exploration
def searches(turn: Turn) -> bool:
    """Whether a think block begins as the teacher's search of this board does."""
    game, state = turn.load()
    text = BLOCKS.inside(BLOCKS.think, turn.reply)
    wanted = game.reasoning(state, 0, game.oracle(state)[0])[0].split("; ")[0]
    return text is not None and text.split(";")[0].split() == wanted.split()


def exploration(results: StudyResults, player: str = BASE) -> Estimates:
    """What GRPO has to select from in a model's sampled answers, by game; groups of answers to one
    state as in training.

    ``searches``: answers that search. ``with`` and ``without``: success of those that do and of the
    others. ``groups``: groups in which some answer searches and some does not. ``unequal``: groups
    with answers of unequal reward. ``advantage``: mean advantage (reward minus mean, by standard
    deviation of its group, as in GRPO) of the answers that search.
    """
    table: Estimates = {}
    for game, suffix in GAMES.items():
        turns = sorted(results.turns("exploration", game, player), key=lambda turn: turn.episode)
        if turns:
            settings = results.evaluated["exploration", game][player][0].how
            weights = _weights_of(results, suffix)
            table[game] = _explored(turns, int(settings["repeats"]), weights)
    return table


def _weights_of(results: StudyResults, suffix: str) -> Weights:
    """The weights of the reward of the runs on a game; the usual ones if there are none."""
    for run in (f"g0-{suffix}", f"g1-{suffix}"):
        if run in results.study.runs:
            return results.study.recipe(run, results.study.seeds[0]).reward
    return Weights()


def _explored(turns: list[Turn], repeats: int, weights: Weights) -> dict[str, Estimate]:
    """The row of a game in :func:`exploration`, of turns in groups of so many repeats."""
    shape = (len(turns) // repeats, repeats)
    search = np.array([searches(turn) for turn in turns]).reshape(shape)
    success = np.array([turn.terms["game"] > 0 for turn in turns]).reshape(shape)
    rewards = np.array([weights.total(turn.terms) for turn in turns]).reshape(shape)
    spread = rewards.std(axis=1, ddof=1, keepdims=True)
    advantages = (rewards - rewards.mean(axis=1, keepdims=True)) / (spread + 1e-4)
    mixed = search.any(axis=1) & ~search.all(axis=1)
    searching = search.sum(axis=1)
    other = (~search).sum(axis=1)
    success_with = (success & search).sum(axis=1)
    success_without = (success & ~search).sum(axis=1)
    advantage = (advantages * search)[mixed].sum(axis=1)
    return {
        "searches": stats.mean(search.mean(axis=1), bounds=stats.SHARE),
        "with": stats.ratio(success_with, searching, bounds=stats.SHARE),
        "without": stats.ratio(success_without, other, bounds=stats.SHARE),
        "groups": stats.mean(mixed, bounds=stats.SHARE),
        "unequal": stats.mean(spread[:, 0] > 1e-6, bounds=stats.SHARE),
        "advantage": stats.ratio(advantage, searching[mixed]),
    }


# ---- perception and reasoning
INTERVENTIONS = {
    "g0-turned": "as it is (perception reward 0.5)",
    "prefilled": "true description given while training",
    "frozen": "vision tower frozen",
    "seeing": "reward only if described right",
    "perception-0": "perception reward 0",
    "perception-0.1": "perception reward 0.1",
    "perception-1": "perception reward 1",
    "cells": "perception reward for each cell",
}
"""Ways to train G0 on turned tiles."""


def text(estimate: Estimate, percent: bool = True) -> str:
    """A mean with its interval: shares with two decimals, scores by their size."""
    size = abs(estimate.mean)
    digits = 2
    if not percent and not size < 10:
        digits = 1 if size < 100 else 0
    return estimate.text(decimals(digits))


def points(gap: Estimate, metric: str) -> str:
    """A difference with its interval: shares in points of a hundred, scores as they are."""
    if metric == "score":
        return gap.text(decimals(1, signed=True))
    written = gap.text(decimals(1, signed=True, factor=100))
    return written if math.isnan(gap.mean) else f"{written} points"
