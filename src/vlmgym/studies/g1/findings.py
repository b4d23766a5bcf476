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
from vlmgym.core.files import read_json
from vlmgym.dialogue.judge import Weights
from vlmgym.dialogue.reply import BLOCKS
from vlmgym.episodes.records import Turn
from vlmgym.episodes.trace import load_trace
from vlmgym.evals import crossed_effects, stats
from vlmgym.evals.estimates import NAN, Estimate, decimals
from vlmgym.evals.metrics import range_of
from vlmgym.evals.reading import Evaluated, load
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
Table = NDArray[np.float64]


class StudyResults:
    """All that a study has measured so far.

    Args:
        study: what was run.
        out: its folder.
    """

    def __init__(self, study: Study, out: Path) -> None:
        self.study, self.out = study, out
        self._read: dict[Path, list[Turn]] = {}

    # ---- evaluations
    @cached_property
    def evaluated(self) -> dict[tuple[str, str], dict[str, list[Evaluated]]]:
        """By (evaluation, task folder): the evaluations of each player, one for each training
        seed.
        """
        found: dict[tuple[str, str], dict[str, list[Evaluated]]] = defaultdict(
            lambda: defaultdict(list)
        )
        for name in self.study.evaluations:
            for task in self.study.protocol(name).names():
                folders = sorted((self.out / "evaluations" / name / "eval").glob(f"*/{task}"))
                for one in load(path for path in folders if (path / "summary.json").exists()):
                    player = one.run.player
                    found[name, task][
                        player.rpartition(".")[0] if self.study.makers(player) else player
                    ].append(one)
        return found

    @property
    def teacher(self) -> str:
        """The name of the teacher that was asked; empty if none was."""
        asked = (one for name in self.study.evaluations for one in self.study.players(name))
        return next((one for one in asked if one.startswith("teacher")), "")

    def players(self, evaluation: str, task: str) -> list[str]:
        """Who was asked."""
        return list(self.evaluated.get((evaluation, task), {}))

    def table(self, evaluation: str, task: str, player: str, metric: str) -> Table:
        """``(seeds, episodes)`` values of a metric; no rows where the player was not asked."""
        ones = self.evaluated.get((evaluation, task), {}).get(player, [])
        if not ones:
            return np.empty((0, 0))
        keys = sorted(set.intersection(*(set(one.values) for one in ones)))
        return np.array([[one.values[key][metric] for key in keys] for one in ones])

    def value(self, evaluation: str, task: str, player: str, metric: str) -> Estimate:
        """A metric of a player; ``r_acc`` is success among exact descriptions."""
        if metric == "r_acc":
            exact = self.table(evaluation, task, player, "p_acc")
            return estimate(
                self.table(evaluation, task, player, "success") * exact, exact, stats.SHARE
            )
        return estimate(self.table(evaluation, task, player, metric), bounds=range_of(metric))

    def gap(self, evaluation: str, task: str, first: str, second: str, metric: str) -> Estimate:
        """``first - second`` on the same episodes, run by run of the same training seed."""
        return estimate(
            difference(
                *(self.table(evaluation, task, player, metric) for player in (first, second))
            )
        )

    def each(self, evaluation: str, task: str, player: str, of: Callable[[Turn], float]) -> Table:
        """``(seeds, turns)``: a number for each answer of a player, in the order of the states."""
        ones = self.evaluated.get((evaluation, task), {}).get(player, [])
        rows = [
            [
                of(turn)
                for turn in sorted(self._turns(one.folder), key=lambda t: (t.episode, t.turn))
            ]
            for one in ones
        ]
        return np.array(rows, np.float64) if rows else np.empty((0, 0))

    def turns(self, evaluation: str, task: str, player: str) -> list[Turn]:
        """The turns of a player, seed after seed."""
        ones = self.evaluated.get((evaluation, task), {}).get(player, [])
        return [turn for one in ones for turn in self._turns(one.folder)]

    def _turns(self, folder: Path) -> list[Turn]:
        if folder not in self._read:
            self._read[folder] = load_trace(folder / "trace.jsonl").finished()
        return self._read[folder]

    # ---- training
    def curve(self, run: str, game: str, metric: str) -> tuple[NDArray[np.int64], Table]:
        """Steps, and ``(seeds, steps)`` of a metric of the checks of a run on held-out states
        (greedy answers).
        """
        lines: list[dict[int, float]] = []
        for seed in self.study.seeds:
            found = {}
            for step, folder in self._checks(run, seed, game):
                mean = read_json(folder / "summary.json")["metrics"][metric]["mean"]
                found[step] = NAN if mean is None else float(mean)
            if found:
                lines.append(found)
        steps = sorted(set.intersection(*(set(line) for line in lines))) if lines else []
        table = np.array([[line[step] for step in steps] for line in lines])
        return np.array(steps, np.int64), table.reshape(len(lines), len(steps))

    def _checks(self, run: str, seed: int, game: str) -> list[tuple[int, Path]]:
        """Steps and folders of the checks of a run."""
        paths = sorted(
            (self.out / "runs" / run / str(seed) / "checks").glob(f"*/{game}/summary.json")
        )
        return [(int(path.parent.parent.name), path.parent) for path in paths]

    def training(self, run: str, key: str) -> Table:
        """``(seeds, steps)`` of a number that GRPO logs at every step (sampled answers to training
        states).
        """
        rows = []
        for seed in self.study.seeds:
            lines = read_metrics(self.out / "runs" / run / str(seed) / "metrics.jsonl")
            rows.append(
                [
                    line.get(key, NAN)
                    for line in lines
                    if line["stage"] == "grpo" and "reward" in line
                ]
            )
        shortest = min(map(len, rows), default=0)
        return np.array([row[:shortest] for row in rows])

    def trained(self) -> list[tuple[str, str]]:
        """G0 and G1 of each game, and those of turned tiles, as far as they were checked while
        training: run and game.
        """
        runs = [(f"{kind}-{key}", game) for kind in ("g0", "g1") for game, key in GAMES.items()]
        runs += [("g0-turned", TURNED), ("g1-turned", TURNED)]
        return [(run, game) for run, game in runs if len(self.curve(run, game, "success")[0])]

    def along(self, evaluation: str, game: str, dial: str) -> dict[float, str]:
        """The tasks along a dial by its value, in order; the plain task stands at the value that
        was trained on.
        """
        places = {}
        for asked, task in self.evaluated:
            runs = (
                [one.run for ones in self.evaluated[asked, task].values() for one in ones]
                if asked == evaluation
                else []
            )
            if runs and runs[0].game == game:
                match = re.search(
                    rf"(?:^|[:,]){dial}=([0-9.]+)",
                    runs[0].level if dial == "rows" else runs[0].look,
                )
                if (runs[0].level, runs[0].look) == ("tiny", "tiny"):
                    places[4.0 if dial == "rows" else 1.0 if dial == "contrast" else 0.0] = task
                elif match:
                    places[float(match[1])] = task
        return dict(sorted(places.items()))


def estimate(values: Table, below: Table | None = None, bounds: stats.Bounds = None) -> Estimate:
    """:func:`vlmgym.evals.crossed_effects.crossed`; NaN where nothing was measured."""
    return (
        crossed_effects.crossed(values, below, bounds=bounds)
        if values.size
        else Estimate(NAN, NAN, NAN, 0)
    )


def difference(first: Table, second: Table) -> Table:
    """``first - second``; a player that is not trained has one row, which stands against all rows
    of the other.
    """
    if (
        not first.size
        or not second.size
        or (len(first) != len(second) and 1 not in (len(first), len(second)))
    ):
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


def knowing(results: StudyResults, player: str = BASE) -> dict[str, dict[str, Estimate]]:
    """What a model sees, knows when it is asked, and does, by game."""
    out = {}
    for game in GAMES:
        out[game] = {
            metric: results.value("states", game, player, metric)
            for metric in ("p_acc", "cells", "r_acc", "success")
        }
        out[game]["knows"] = estimate(
            results.each("moves", game, player, lambda turn: float(knows_a_move(turn))),
            bounds=stats.SHARE,
        )
        out[game]["random"] = results.value("states", game, "random", "success")
        for name in ("localises", "enumerates"):
            out[game][name] = estimate(
                results.each("states", game, player, partial(_pattern, name)), bounds=stats.SHARE
            )
    return out


def _pattern(name: str, turn: Turn) -> float:
    return float(getattr(turn, name))


def scores(results: StudyResults) -> list[tuple[str, dict[str, Estimate]]]:
    """The paper's table: mean score of whole games, a row for each model, a column for each
    game.
    """
    who = {
        "random": "random",
        "base": BASE,
        "G0: base + GRPO": "g0-{}",
        "cold start: base + SFT": "cold-{}",
    }
    who |= {"G1: cold start + GRPO": "g1-{}", "G1, one model for all games": "g1-all"}
    who |= {f"the teacher ({results.teacher})": results.teacher, "oracle": "oracle"}
    return [
        (
            title,
            {
                game: results.value(f"episodes-{key}", game, name.format(key), "score")
                for game, key in GAMES.items()
            },
        )
        for title, name in who.items()
    ]


# ---- exploration
def searches(turn: Turn) -> bool:
    """Whether a think block begins as the teacher's search of this board does."""
    game, state = turn.load()
    text = BLOCKS.inside(BLOCKS.think, turn.reply)
    wanted = game.reasoning(state, 0, game.oracle(state)[0])[0].split("; ")[0]
    return text is not None and text.split(";")[0].split() == wanted.split()


def exploration(results: StudyResults, player: str = BASE) -> dict[str, dict[str, Estimate]]:
    """What GRPO has to select from in a model's sampled answers, by game; groups of answers to one
    state as in training.

    ``searches``: answers that search. ``with`` and ``without``: success of those that do and of the
    others. ``groups``: groups in which some answer searches and some does not. ``unequal``: groups
    with answers of unequal reward. ``advantage``: mean advantage (reward minus mean, by standard
    deviation of its group, as in GRPO) of the answers that search.
    """
    out: dict[str, dict[str, Estimate]] = {}
    for game, key in GAMES.items():
        turns = sorted(results.turns("exploration", game, player), key=lambda turn: turn.episode)
        if not turns:
            continue
        size = int(results.evaluated["exploration", game][player][0].how["repeats"])
        run = next(
            (name for name in (f"g0-{key}", f"g1-{key}") if name in results.study.runs), None
        )
        weights = results.study.recipe(run, results.study.seeds[0]).reward if run else Weights()
        seeds = len(turns) // size
        search = np.array([searches(turn) for turn in turns]).reshape(seeds, size)
        good = np.array([turn.terms["game"] > 0 for turn in turns]).reshape(seeds, size)
        reward = np.array([weights.total(turn.terms) for turn in turns]).reshape(seeds, size)
        spread = reward.std(axis=1, ddof=1, keepdims=True)
        advantage = (reward - reward.mean(axis=1, keepdims=True)) / (spread + 1e-4)
        mixed = search.any(axis=1) & ~search.all(axis=1)
        out[game] = {
            "searches": stats.mean(search.mean(axis=1), bounds=stats.SHARE),
            "with": stats.ratio(
                (good & search).sum(axis=1), search.sum(axis=1), bounds=stats.SHARE
            ),
            "without": stats.ratio(
                (good & ~search).sum(axis=1), (~search).sum(axis=1), bounds=stats.SHARE
            ),
            "groups": stats.mean(mixed, bounds=stats.SHARE),
            "unequal": stats.mean(spread[:, 0] > 1e-6, bounds=stats.SHARE),
            "advantage": stats.ratio(
                (advantage * search)[mixed].sum(axis=1), search[mixed].sum(axis=1)
            ),
        }
    return out


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
    digits = 2 if percent or abs(estimate.mean) < 10 else 1 if abs(estimate.mean) < 100 else 0
    return estimate.text(decimals(digits))


def points(gap: Estimate, metric: str) -> str:
    """A difference with its interval: shares in points of a hundred, scores as they are."""
    factor, unit = (1, "") if metric == "score" else (100, " points")
    written = gap.text(decimals(1, signed=True, factor=factor))
    return written if math.isnan(gap.mean) else written + unit
