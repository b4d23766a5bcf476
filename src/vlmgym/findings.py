"""What a study has found, in numbers: scores, gaps, exploration, what perception and reasoning contribute, and verdicts.

Everything is computed from the traces of a study's folder. Every number is a mean over training seeds and held-out episodes
with the 95 % interval of :func:`vlmgym.stats.crossed`.
"""

from __future__ import annotations

import json
import math
import re
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vlmgym import stats
from vlmgym.analysis import Evaluated, load
from vlmgym.core import NO_ACTION
from vlmgym.reward import Fault, Weights
from vlmgym.study import BASE, Study
from vlmgym.trace import Turn, load_trace
from vlmgym.train.recipe import read_metrics

NAN = float("nan")
GAMES = {"2048": "2048", "ShisenSho": "shisen-sho", "Swap": "swap", "ShisenShoPhotos": "photos"}
"""The paper's games, and what the study's runs call them."""
TITLES = {"2048": "2048", "ShisenSho": "Shisen-Sho", "Swap": "Swap", "ShisenShoPhotos": "Shisen-Sho, photographs"}
TURNED = "ShisenSho"
"""The task of the evaluations ``turned...``: tiles that the base does not see well."""
PAPER = {
    "2048": {"base": 246, "g0": 759, "teacher": 892, "g1": 1070, "rl": "0.2 to 0.52"},
    "ShisenSho": {"base": 1.9, "g0": 12.8, "teacher": 15.3, "g1": 17.5, "rl": "-0.3 to 0.85"},
    "ShisenShoPhotos": {"base": 0.4, "g0": 8.0, "teacher": 8.7, "g1": 14.1, "rl": "0.5 to 0.86"},
    "Swap": {"base": 2, "g0": 5, "teacher": 43, "g1": 78, "rl": "-0.8 to 0.45"},
}
"""Scores of Qwen2.5-VL-7B, G0-7B, Claude-3.7-Sonnet-Thinking and G1-7B in the paper (arXiv 2505.13426, figures), and the mean
training reward of G1 from the first step to the last."""
MARGIN = 0.05
"""Shares that differ by less are called equal where equality is the claim."""
DIALS = ("noise", "blur", "contrast", "rotation", "occlusion", "similarity", "rows")
"""The dials of the evaluations ``difficulty-...``: fields of the look, and the rows of the board."""
FAULTS = {
    Fault.NONE: "the move works",
    Fault.PERCEPTION: "seen wrongly, right for what was seen",
    Fault.BOTH: "seen wrongly, and wrong even so",
    Fault.REASONING: "seen rightly, wrong move",
    Fault.UNAVOIDABLE: "not to be known",
    Fault.FORMAT: "no move to be read",
}
"""Faults in plain words."""
Table = NDArray[np.float64]


@dataclass(frozen=True)
class Claim:
    """One of the paper's claims, and what came out."""

    claim: str
    paper: str  # what the paper has; "-" where the question is ours
    verdict: str  # confirmed, not seen, opposite
    numbers: str


class Findings:
    """All that a study has measured so far.

    Args:
        study: what was run.
        out: its folder.
    """

    def __init__(self, study: Study, out: Path) -> None:
        self.study, self.out = study, out
        self._read: dict[Path, list[Turn]] = {}

    # ------------------------------------------------------------------------------------------------- evaluations
    @cached_property
    def evaluated(self) -> dict[tuple[str, str], dict[str, list[Evaluated]]]:
        """By (evaluation, task folder): the evaluations of each player, one for each training seed."""
        found: dict[tuple[str, str], dict[str, list[Evaluated]]] = defaultdict(lambda: defaultdict(list))
        for name in self.study.evaluations:
            for task in self.study.protocol(name).names():
                folders = sorted((self.out / "evaluations" / name / "eval").glob(f"*/{task}"))
                for one in load(path for path in folders if (path / "summary.json").exists()):
                    player = one.run.player
                    found[name, task][player.rpartition(".")[0] if self.study.makers(player) else player].append(one)
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

    def value(self, evaluation: str, task: str, player: str, metric: str) -> stats.Estimate:
        """A metric of a player; ``r_acc`` is success among exact descriptions."""
        if metric == "r_acc":
            exact = self.table(evaluation, task, player, "p_acc")
            return estimate(self.table(evaluation, task, player, "success") * exact, exact)
        return estimate(self.table(evaluation, task, player, metric))

    def gap(self, evaluation: str, task: str, first: str, second: str, metric: str) -> stats.Estimate:
        """``first - second`` on the same episodes, run by run of the same training seed."""
        return estimate(difference(*(self.table(evaluation, task, player, metric) for player in (first, second))))

    def each(self, evaluation: str, task: str, player: str, of: Callable[[Turn], float]) -> Table:
        """``(seeds, turns)``: a number for each answer of a player, in the order of the states."""
        ones = self.evaluated.get((evaluation, task), {}).get(player, [])
        rows = [[of(turn) for turn in sorted(self._turns(one.folder), key=lambda t: (t.episode, t.turn))] for one in ones]
        return np.array(rows, np.float64) if rows else np.empty((0, 0))

    def turns(self, evaluation: str, task: str, player: str) -> list[Turn]:
        """The turns of a player, seed after seed."""
        ones = self.evaluated.get((evaluation, task), {}).get(player, [])
        return [turn for one in ones for turn in self._turns(one.folder)]

    def _turns(self, folder: Path) -> list[Turn]:
        if folder not in self._read:
            self._read[folder] = load_trace(folder / "trace.jsonl").finished()
        return self._read[folder]

    # --------------------------------------------------------------------------------------------------- training
    def curve(self, run: str, game: str, metric: str) -> tuple[NDArray[np.int64], Table]:
        """Steps, and ``(seeds, steps)`` of a metric of the checks of a run on held-out states (greedy answers)."""
        lines: list[dict[int, float]] = []
        for seed in self.study.seeds:
            found = {}
            for step, folder in self._checks(run, seed, game):
                mean = json.loads((folder / "summary.json").read_text(encoding="utf-8"))["metrics"][metric]["mean"]
                found[step] = NAN if mean is None else float(mean)
            if found:
                lines.append(found)
        steps = sorted(set.intersection(*(set(line) for line in lines))) if lines else []
        table = np.array([[line[step] for step in steps] for line in lines])
        return np.array(steps, np.int64), table.reshape(len(lines), len(steps))

    def _checks(self, run: str, seed: int, game: str) -> list[tuple[int, Path]]:
        """Steps and folders of the checks of a run."""
        paths = sorted((self.out / "runs" / run / str(seed) / "checks").glob(f"*/{game}/summary.json"))
        return [(int(path.parent.parent.name), path.parent) for path in paths]

    def halves(self, run: str, seed: int, game: str) -> tuple[Table, Table]:
        """P_acc and R_acc along the checks of a run, each ``(2, checks)``: of separate halves of the held-out states.

        Row 0 has P_acc of the even and R_acc of the odd states, row 1 the other way round, so that the two share no noise.
        """
        perception, reasoning = [], []
        for _, folder in self._checks(run, seed, game):
            turns = load_trace(folder / "trace.jsonl").finished()
            parts = [[turn for turn in turns if turn.episode % 2 == half] for half in (0, 1)]
            exact = [[turn for turn in part if turn.p_acc] for part in parts]
            perception.append([len(one) / len(part) if part else NAN for one, part in zip(exact, parts, strict=True)])
            right = [sum(turn.terms["game"] > 0 for turn in one) / len(one) if one else NAN for one in exact]
            reasoning.append(right[::-1])
        return np.array(perception).reshape(-1, 2).T, np.array(reasoning).reshape(-1, 2).T

    def training(self, run: str, key: str) -> Table:
        """``(seeds, steps)`` of a number that GRPO logs at every step (sampled answers to training states)."""
        rows = []
        for seed in self.study.seeds:
            lines = read_metrics(self.out / "runs" / run / str(seed) / "metrics.jsonl")
            rows.append([line.get(key, NAN) for line in lines if line["stage"] == "grpo" and "reward" in line])
        shortest = min(map(len, rows), default=0)
        return np.array([row[:shortest] for row in rows])

    def trained(self) -> list[tuple[str, str]]:
        """G0 and G1 of each game, and those of turned tiles, as far as they were checked while training: run and game."""
        runs = [(f"{kind}-{key}", game) for kind in ("g0", "g1") for game, key in GAMES.items()]
        runs += [("g0-turned", TURNED), ("g1-turned", TURNED)]
        return [(run, game) for run, game in runs if len(self.curve(run, game, "success")[0])]

    def along(self, evaluation: str, game: str, dial: str) -> dict[float, str]:
        """The tasks along a dial by its value, in order; the plain task stands at the value that was trained on."""
        places = {}
        for asked, task in self.evaluated:
            runs = [one.run for ones in self.evaluated[asked, task].values() for one in ones] if asked == evaluation else []
            if runs and runs[0].game == game:
                match = re.search(rf"(?:^|[:,]){dial}=([0-9.]+)", runs[0].level if dial == "rows" else runs[0].look)
                if (runs[0].level, runs[0].look) == ("tiny", "tiny"):
                    places[4.0 if dial == "rows" else 1.0 if dial == "contrast" else 0.0] = task
                elif match:
                    places[float(match[1])] = task
        return dict(sorted(places.items()))


def estimate(values: Table, below: Table | None = None) -> stats.Estimate:
    """:func:`vlmgym.stats.crossed`; NaN where nothing was measured."""
    return stats.crossed(values, below) if values.size else stats.Estimate(NAN, NAN, NAN, 0)


def difference(first: Table, second: Table) -> Table:
    """``first - second``; a player that is not trained has one row, which stands against all rows of the other."""
    if not first.size or not second.size or (len(first) != len(second) and 1 not in (len(first), len(second))):
        return np.empty((0, 0))
    return first - second


# ------------------------------------------------------------------------------------------------------------ knowing
def knows_a_move(turn: Turn) -> bool:
    """Whether the think block of a reply to the question for moves (prompt style ``"moves"``) comes to a move that works."""
    game, state = turn.load()
    match = re.search(r"<think>.*?\bso\b([^<>;]*)</think>", turn.reply, re.DOTALL)
    action = game.decode(state.level, match[1]).action if match else NO_ACTION
    return action != NO_ACTION and bool(game.successes(state)[0, action])


def knowing(found: Findings, player: str = BASE) -> dict[str, dict[str, stats.Estimate]]:
    """What a model sees, knows when it is asked, and does, by game."""
    out = {}
    for game in GAMES:
        out[game] = {metric: found.value("states", game, player, metric) for metric in ("p_acc", "cells", "r_acc", "success")}
        out[game]["knows"] = estimate(found.each("moves", game, player, lambda turn: float(knows_a_move(turn))))
        out[game]["random"] = found.value("states", game, "random", "success")
        for name in ("localises", "enumerates"):
            out[game][name] = estimate(found.each("states", game, player, partial(_pattern, name)))
    return out


def _pattern(name: str, turn: Turn) -> float:
    return float(getattr(turn, name))


def scores(found: Findings) -> list[tuple[str, dict[str, stats.Estimate]]]:
    """The paper's table: mean score of whole games, a row for each model, a column for each game."""
    who = {"random": "random", "base": BASE, "G0: base + GRPO": "g0-{}", "cold start: base + SFT": "cold-{}"}
    who |= {"G1: cold start + GRPO": "g1-{}", "G1, one model for all games": "g1-all"}
    who |= {f"the teacher ({found.teacher})": found.teacher, "oracle": "oracle"}
    return [
        (title, {game: found.value(f"episodes-{key}", game, name.format(key), "score") for game, key in GAMES.items()})
        for title, name in who.items()
    ]


# -------------------------------------------------------------------------------------------------------- exploration
def searches(turn: Turn) -> bool:
    """Whether a think block begins as the teacher's search of this board does."""
    game, state = turn.load()
    match = re.search(r"<think>(.*?)</think>", turn.reply, re.DOTALL)
    wanted = game.reasoning(state, 0, game.oracle(state)[0])[0].split("; ")[0]
    return match is not None and match[1].split(";")[0].split() == wanted.split()


def exploration(found: Findings, player: str = BASE) -> dict[str, dict[str, stats.Estimate]]:
    """What GRPO has to select from in a model's sampled answers, by game; groups of answers to one state as in training.

    ``searches``: answers that search. ``with`` and ``without``: success of those that do and of the others. ``groups``: groups in
    which some answer searches and some does not. ``unequal``: groups with answers of unequal reward. ``advantage``: mean
    advantage (reward minus mean, by standard deviation of its group, as in GRPO) of the answers that search.
    """
    out: dict[str, dict[str, stats.Estimate]] = {}
    for game, key in GAMES.items():
        turns = sorted(found.turns("exploration", game, player), key=lambda turn: turn.episode)
        if not turns:
            continue
        size = int(found.evaluated["exploration", game][player][0].how["repeats"])
        run = next((name for name in (f"g0-{key}", f"g1-{key}") if name in found.study.runs), None)
        weights = found.study.recipe(run, found.study.seeds[0]).reward if run else Weights()
        seeds = len(turns) // size
        search = np.array([searches(turn) for turn in turns]).reshape(seeds, size)
        good = np.array([turn.terms["game"] > 0 for turn in turns]).reshape(seeds, size)
        reward = np.array([weights.total(turn.terms) for turn in turns]).reshape(seeds, size)
        spread = reward.std(axis=1, ddof=1, keepdims=True)
        advantage = (reward - reward.mean(axis=1, keepdims=True)) / (spread + 1e-4)
        mixed = search.any(axis=1) & ~search.all(axis=1)
        out[game] = {
            "searches": stats.mean(search.mean(axis=1)),
            "with": stats.ratio((good & search).sum(axis=1), search.sum(axis=1)),
            "without": stats.ratio((good & ~search).sum(axis=1), (~search).sum(axis=1)),
            "groups": stats.mean(mixed),
            "unequal": stats.mean(spread[:, 0] > 1e-6),
            "advantage": stats.ratio((advantage * search)[mixed].sum(axis=1), search[mixed].sum(axis=1)),
        }
    return out


# ------------------------------------------------------------------------------------------- perception and reasoning
MEDIATED = ((BASE, "g0-turned"), ("cold-turned", "g1-turned"))
"""Models before and after RL whose perception and reasoning are exchanged."""
INTERVENTIONS = {
    "g0-turned": "as it is (perception reward 0.5)",
    "prefilled": "perception forced true",
    "frozen": "vision tower frozen",
    "seeing": "reward only if described right",
    "perception-0": "perception reward 0",
    "perception-0.1": "perception reward 0.1",
    "perception-1": "perception reward 1",
    "cells": "perception reward for each cell",
}
"""Ways to train G0 on turned tiles."""


def mediation(found: Findings, before: str, after: str) -> dict[str, stats.Estimate]:
    """What better perception and better reasoning each add to the success that RL adds, on turned tiles.

    One of the two models describes a board and the other goes on from there, so that perception and reasoning change one at a
    time. Each part is the mean over both orders of changing them (Shapley 1953), so that the parts add up to the whole.
    """

    def success(describer: str, reasoner: str) -> Table:
        return found.table("turned", TURNED, describer if describer == reasoner else f"{describer}+{reasoner}", "success")

    both, neither = success(after, after), success(before, before)
    sees, thinks = success(after, before), success(before, after)
    if not all(table.size for table in (both, neither, sees, thinks)):
        return {}
    parts = {
        "total": both - neither,
        "perception": (sees - neither + both - thinks) / 2,
        "reasoning": (thinks - neither + both - sees) / 2,
    }
    tables = {"neither": neither, "perception of after": sees, "reasoning of after": thinks, "both": both}
    return {name: estimate(table) for name, table in (tables | parts).items()}


def leads(found: Findings) -> dict[int, tuple[float, float]]:
    """Does perception lead reasoning? Cross-correlation of the increments of P_acc and R_acc along training on turned tiles.

    P_acc and R_acc are of separate halves of the held-out states, from the first check on at which both can be told.
    """
    first, second = [], []
    for run in found.study.runs:
        for seed in found.study.seeds:
            if not found.study.runs[run].recipe.endswith("-turned") or run == "prefilled":
                continue
            perception, reasoning = found.halves(run, seed, TURNED)
            unknown = np.isnan(perception + reasoning).any(axis=0)
            begin = int(np.flatnonzero(unknown)[-1]) + 1 if unknown.any() else 0
            first.append(perception[:, begin:])
            second.append(reasoning[:, begin:])
    return stats.lead_lag(first, second)


def halfway(steps: NDArray[np.int64], table: Table) -> list[float]:
    """For each seed the first step at which half of the rise is done; nothing where a seed rises by less than 0.1."""
    found = []
    for line in table:
        if line[-1] - line[0] < 0.1:
            return []
        found.append(float(steps[int(np.argmax(line >= (line[0] + line[-1]) / 2))]))
    return found


# ------------------------------------------------------------------------------------------------------------- claims
def claims(found: Findings) -> list[Claim]:
    """The paper's claims against the numbers of a study; a claim whose runs were left out is not there.

    A claim that something is larger is confirmed if the 95 % interval of the difference is above 0, the opposite if it is below.
    That two are equal is confirmed if the interval lies within :data:`MARGIN`, and the opposite if it does not hold 0. That one
    model for all games is as good is confirmed if it is worse by less than :data:`MARGIN`, with 97.5 % confidence.
    """
    out: list[Claim] = []

    def add(title: str, paper: str, gap: stats.Estimate, what: str, metric: str, least: float = 0.0) -> None:
        if gap.n:
            out.append(Claim(title, paper, sign(gap, least), f"{points(gap, metric)} ({what}, {metric})"))

    for game, base in knowing(found).items():
        if base["success"].n:
            gap = found.gap("states", game, BASE, "random", "success")
            verdict = "confirmed" if base["p_acc"].low > 0.5 and gap.low < MARGIN else "not seen"
            told = {"P_acc": "p_acc", "knows a move when asked": "knows", "success": "success", "random player": "random"}
            numbers = ", ".join(f"{title} {text(base[key])}" for title, key in told.items())
            out.append(Claim(f"{TITLES[game]}: the base sees and does not do", "yes", verdict, numbers))
    for title, first, second, paper in (
        ("G0 plays better than the base", "g0-{}", BASE, "{base} to {g0}"),
        ("G1 beats its teacher", "g1-{}", found.teacher, "{g1} against {teacher}"),
        ("G1 beats G0", "g1-{}", "g0-{}", "{g1} against {g0}"),
        ("RL adds to the cold start", "g1-{}", "cold-{}", "reward {rl}"),
    ):
        for game, key in GAMES.items():
            a, b, had = first.format(key), second.format(key), paper.format(**PAPER[game])
            add(f"{TITLES[game]}: {title}", had, found.gap(f"episodes-{key}", game, a, b, "score"), f"{a} - {b}", "score")
    for game, key in GAMES.items():
        a, b = f"g0-{key}", f"g0-shy-{key}"
        gap = found.gap("states", game, a, b, "success")
        add(f"{TITLES[game]}: G0 needs a base that searches now and then", "-", gap, f"{a} - {b}", "success")
    for game, key in GAMES.items():
        gap = found.gap("states", game, "g1-all", f"g1-{key}", "success")
        title = f"{TITLES[game]}: one model for all games is as good as its own"
        add(title, "-", gap, f"g1-all - g1-{key}", "success", -MARGIN)
    return out + _on_perception(found)


def _on_perception(found: Findings) -> list[Claim]:
    """What turned tiles, the interventions there, the lags and the patterns say."""
    out = list[Claim]()

    def add(title: str, paper: str, pair: tuple[str, str], metric: str, evaluation: str = "turned", equal: bool = False) -> None:
        gap = found.gap(evaluation, TURNED, *pair, metric)
        if gap.n:
            numbers = f"{points(gap, metric)} ({pair[0]} - {pair[1]}, {metric}, {evaluation})"
            out.append(Claim(title, paper, same(gap) if equal else sign(gap), numbers))

    for name, pair in (("from the base", ("g0-turned", BASE)), ("after the cold start", ("g1-turned", "cold-turned"))):
        add(f"RL lifts perception {name} (greedy answers)", "yes", pair, "p_acc")
        add(f"RL lifts perception {name} (sampled answers)", "yes", pair, "p_acc", "turned-sampled")
        add(f"RL lifts reasoning {name} (true description given)", "yes", pair, "success", "turned-told")
    for before, after in MEDIATED:
        parts = mediation(found, before, after)
        for part in ("perception", "reasoning") if parts else ():
            numbers = f"{points(parts[part], 'success')} of {points(parts['total'], 'success')}"
            out.append(Claim(f"Better {part} makes {after} better than {before}", "yes", sign(parts[part]), numbers))
    for run in ("g0-turned", "g1-turned"):
        gap = estimate(difference(*(found.table(name, TURNED, run, "success") for name in ("turned-told", "turned"))))
        if gap.n:
            title = f"Perception limits play: {run} does more if the true description is given"
            out.append(Claim(title, "-", sign(gap), points(gap, "success")))
    add("A trained vision tower sees more than a frozen one", "-", ("g0-turned", "frozen"), "p_acc")
    add("A trained vision tower plays better than a frozen one", "-", ("g0-turned", "frozen"), "success")
    add("Reward only for right descriptions lifts perception", "-", ("seeing", "g0-turned"), "p_acc")
    add("Reward only for right descriptions costs play", "-", ("g0-turned", "seeing"), "success")
    for weight, paper in (("0.1", "yes"), ("1", "-")):
        pair, title = (f"perception-{weight}", "perception-0"), f"A perception reward ({weight} against 0)"
        add(f"{title} lifts perception", paper, pair, "p_acc", "turned-sampled")
        add(f"{title} leaves play as it is", paper, pair, "success", "turned-sampled", equal=True)
    add("Training with true descriptions teaches more reasoning", "-", ("prefilled", "g0-turned"), "success", "turned-told")
    add("Training with true descriptions alone lifts perception", "-", ("prefilled", BASE), "p_acc")
    add("The think block is needed", "-", ("g1-turned", "thoughtless"), "success")
    lags = {lag: (c, p) for lag, (c, p) in leads(found).items() if not math.isnan(c)}
    if lags:
        lag = max(lags, key=lambda one: abs(lags[one][0]))
        seen = lags[lag][1] < 0.05 / len(lags)
        verdict = "not seen" if not seen else "confirmed" if lag > 0 and lags[lag][0] > 0 else "opposite"
        most = (
            f"largest correlation {lags[lag][0]:+.2f} at lag {lag}, p = {lags[lag][1]:.3f} (to be below {0.05 / len(lags):.3f})"
        )
        out.append(Claim("Gains in perception come before gains in reasoning", "yes", verdict, most))
    for run in ("g0-shisen-sho", "g0-turned"):
        rises = [halfway(*found.curve(run, TURNED, metric)) for metric in ("localises", "success")]
        if rises[0] and rises[1]:
            ahead = [b - a for a, b in zip(*rises, strict=True)]
            verdict = "confirmed" if min(ahead) > 0 else "opposite" if max(ahead) < 0 else "not seen"
            numbers = "half of the rise at step " + ", ".join(f"{a:g} and {b:g}" for a, b in zip(*rises, strict=True))
            title = f"{run}: localisation rises before success"
            out.append(Claim(title, "yes", verdict, f"{numbers} (localises and success, by seed)"))
    return out


def sign(gap: stats.Estimate, least: float = 0.0) -> str:
    """The verdict on "larger"."""
    return "confirmed" if gap.low > least else "opposite" if gap.high < 0 else "not seen"


def same(gap: stats.Estimate) -> str:
    """The verdict on "equal"."""
    if gap.low > -MARGIN and gap.high < MARGIN:
        return "confirmed"
    return "not seen" if gap.low <= 0 <= gap.high else "opposite"


def text(one: stats.Estimate, percent: bool = True) -> str:
    """A mean with its interval; ``-`` where nothing was measured."""
    if math.isnan(one.mean):
        return "-"
    digits = 2 if percent or abs(one.mean) < 10 else 1 if abs(one.mean) < 100 else 0
    if math.isnan(one.low):  # one value alone
        return f"{one.mean:.{digits}f}"
    return f"{one.mean:.{digits}f} [{one.low:.{digits}f}, {one.high:.{digits}f}]"


def points(gap: stats.Estimate, metric: str) -> str:
    """A difference with its interval: shares in points of a hundred, scores as they are; ``-`` where nothing was measured."""
    if math.isnan(gap.mean):
        return "-"
    factor, unit = (1, "") if metric == "score" else (100, " points")
    return f"{factor * gap.mean:+.1f} [{factor * gap.low:+.1f}, {factor * gap.high:+.1f}]{unit}"
