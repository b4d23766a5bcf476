"""What a study has found: tables, pictures, and a verdict on each of the paper's claims, all from its traces.

Every number is a mean over training seeds and held-out episodes with a 95 % interval of :func:`vlmgym.stats.crossed`.
"""

from __future__ import annotations

import json
import math
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

import vlmgym
from vlmgym import stats
from vlmgym.analysis import Evaluated, load
from vlmgym.core import NO_ACTION, need
from vlmgym.reward import Fault
from vlmgym.study import BASE, Study
from vlmgym.trace import Turn, load_trace, machine
from vlmgym.train.recipe import read_metrics

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NAN = float("nan")
GAMES = {"2048": "2048", "ShisenSho": "shisen-sho", "Swap": "swap", "ShisenShoPhotos": "photos"}
"""The paper's games, and what the study's runs call them."""
TITLES = {"2048": "2048", "ShisenSho": "Shisen-Sho", "Swap": "Swap", "ShisenShoPhotos": "Shisen-Sho, photographs"}
EXAMPLES = 3
"""States of each game in ``turns.jsonl``."""
MARGIN = 0.05
"""Shares that differ by less are called equal where equality is the claim."""


@dataclass(frozen=True)
class Claim:
    """One of the paper's claims, and what came out."""

    claim: str
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

    # ------------------------------------------------------------------------------------------------- evaluations
    @cached_property
    def _evaluated(self) -> dict[tuple[str, str], dict[str, list[Evaluated]]]:
        """By (evaluation, task folder): the evaluations of each player, one a seed."""
        found: dict[tuple[str, str], dict[str, list[Evaluated]]] = defaultdict(lambda: defaultdict(list))
        for name in self.study.evaluations:
            for task in self.study.protocol(name).names():
                folders = sorted((self.out / "evaluations" / name / "eval").glob(f"*/{task}"))
                for one in load(path for path in folders if (path / "summary.json").exists()):
                    run, _, seed = one.folder.parent.name.rpartition(".")
                    player = run if run in self.study.runs and seed.isdigit() else one.folder.parent.name
                    found[name, task][player].append(one)
        return found

    def players(self, evaluation: str, task: str) -> list[str]:
        """Who was asked."""
        return list(self._evaluated.get((evaluation, task), {}))

    def table(self, evaluation: str, task: str, player: str, metric: str) -> NDArray[np.float64]:
        """``(seeds, episodes)`` values of a metric; no rows where the player was not asked."""
        ones = self._evaluated.get((evaluation, task), {}).get(player, [])
        if not ones:
            return np.empty((0, 0))
        keys = sorted(set.intersection(*(set(one.values) for one in ones)))
        return np.array([[one.values[key][metric] for key in keys] for one in ones])

    def value(self, evaluation: str, task: str, player: str, metric: str) -> stats.Estimate:
        """A metric of a player; ``r_acc`` is success among exact descriptions."""
        if metric == "r_acc":
            exact = self.table(evaluation, task, player, "p_acc")
            return _crossed(self.table(evaluation, task, player, "success") * exact, exact)
        return _crossed(self.table(evaluation, task, player, metric))

    def gap(self, evaluation: str, task: str, first: str, second: str, metric: str) -> stats.Estimate:
        """``first - second`` on the same episodes."""
        a, b = (self.table(evaluation, task, player, metric) for player in (first, second))
        if not a.size or not b.size:
            return _crossed(np.empty((0, 0)))
        if len(a) == len(b):
            return _crossed(a - b)
        return _crossed(a - b.mean(axis=0)) if len(b) == 1 else _crossed(a.mean(axis=0) - b)

    def turns(self, evaluation: str, task: str, player: str) -> list[Turn]:
        """The turns of all seeds of a player."""
        ones = self._evaluated.get((evaluation, task), {}).get(player, [])
        return [turn for one in ones for turn in load_trace(one.folder / "trace.jsonl").finished()]

    def knows(self, task: str, player: str) -> stats.Estimate:
        """Share of boards for which it names a move that works, when it is asked what moves do and not for one."""
        ones = self._evaluated.get(("moves", task), {}).get(player, [])
        rows = [[float(knows_a_move(turn)) for turn in load_trace(one.folder / "trace.jsonl").finished()] for one in ones]
        return _crossed(np.array(rows) if rows else np.empty((0, 0)))

    # --------------------------------------------------------------------------------------------------- training
    def curve(self, run: str, game: str, metric: str) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Steps, and ``(seeds, steps)`` of a metric of the checks of a run on held-out states."""
        lines: list[dict[int, float]] = []
        for seed in self.study.seeds:
            found = {}
            for path in sorted((self.out / "runs" / run / str(seed) / "checks").glob(f"*/{game}/summary.json")):
                mean = json.loads(path.read_text(encoding="utf-8"))["metrics"][metric]["mean"]
                found[int(path.parent.parent.name)] = NAN if mean is None else float(mean)
            if found:
                lines.append(found)
        steps = sorted(set.intersection(*(set(line) for line in lines))) if lines else []
        return np.array(steps, np.int64), np.array([[line[step] for step in steps] for line in lines]).reshape(
            len(lines), len(steps)
        )

    def training(self, run: str, key: str) -> NDArray[np.float64]:
        """``(seeds, steps)`` of a number that GRPO logs at every step."""
        rows = []
        for seed in self.study.seeds:
            lines = read_metrics(self.out / "runs" / run / str(seed) / "metrics.jsonl")
            rows.append([line[key] for line in lines if line["stage"] == "grpo" and key in line])
        shortest = min(map(len, rows), default=0)
        return np.array([row[:shortest] for row in rows])


def _crossed(values: NDArray[np.float64], below: NDArray[np.float64] | None = None) -> stats.Estimate:
    return stats.crossed(values, below) if values.size else stats.Estimate(NAN, NAN, NAN, 0)


# ------------------------------------------------------------------------------------------------------------ knowing
def knows_a_move(turn: Turn) -> bool:
    """Whether the think block of a reply to the question for moves (prompt style ``"moves"``) comes to a move that works."""
    game, state = turn.load()
    match = re.search(r"<think>.*?\bso\b([^<>;]*)</think>", turn.reply, re.DOTALL)
    action = game.decode(state.level, match[1]).action if match else NO_ACTION
    return action != NO_ACTION and bool(game.successes(state)[0, action])


# ------------------------------------------------------------------------------------------------------------- tables
def scores(found: Findings) -> list[tuple[str, dict[str, stats.Estimate]]]:
    """The paper's table: mean score of whole games, a row for each model, a column for each game."""
    rows: list[tuple[str, dict[str, stats.Estimate]]] = []
    teacher = next((one for one in found.players("states", "2048") if one.startswith("teacher")), "teacher")
    who = {"random": "random", "base": BASE, "G0: base + GRPO": "g0-{}", "cold start: base + SFT": "cold-{}"}
    who |= {
        "G1: cold start + GRPO": "g1-{}",
        "G1, one model for all games": "g1-all",
        f"the teacher ({teacher})": teacher,
        "oracle": "oracle",
    }
    for title, name in who.items():
        cells = {game: found.value(f"episodes-{key}", game, name.format(key), "score") for game, key in GAMES.items()}
        rows.append((title, cells))
    return rows


def knowing(found: Findings, player: str = BASE) -> dict[str, dict[str, stats.Estimate]]:
    """What a model sees, knows when asked, and does, by game."""
    out = {}
    for game in GAMES:
        out[game] = {metric: found.value("states", game, player, metric) for metric in ("p_acc", "cells", "r_acc", "success")}
        out[game]["knows"] = found.knows(game, player)
        out[game]["random"] = found.value("states", game, "random", "success")
        out[game]["localises"] = _share(found, game, player, "localises")
        out[game]["enumerates"] = _share(found, game, player, "enumerates")
    return out


def _share(found: Findings, game: str, player: str, field: str) -> stats.Estimate:
    """Share of the replies on held-out states with a pattern in their text."""
    ones = found._evaluated.get(("states", game), {}).get(player, [])
    rows = [[float(getattr(turn, field)) for turn in load_trace(one.folder / "trace.jsonl").finished()] for one in ones]
    return _crossed(np.array(rows) if rows else np.empty((0, 0)))


# ------------------------------------------------------------------------------------------------------------- claims
def claims(found: Findings) -> list[Claim]:
    """The paper's claims against the numbers of a study; a claim whose runs were left out is not there.

    A claim that something is larger is confirmed if the 95 % interval of the difference is above 0, the opposite if it is below.
    That one model for all games is as good is confirmed if it is worse by less than :data:`MARGIN`, with 97.5 % confidence.
    """
    out: list[Claim] = []
    teacher = next((one for one in found.players("states", "2048") if one.startswith("teacher")), "")

    def add(text: str, gap: stats.Estimate, what: str, metric: str, least: float = 0.0) -> None:
        if gap.n:
            out.append(Claim(text, _sign(gap, least), f"{_points(gap, metric)} ({what}, {metric})"))

    def better(text: str, game: str, first: str, second: str, metric: str = "score") -> None:
        evaluation = f"episodes-{GAMES[game]}" if metric == "score" else "states"
        add(text, found.gap(evaluation, game, first, second, metric), f"{first} - {second}", metric)

    for game, base in knowing(found).items():
        if base["success"].n:
            gap = found.gap("states", game, BASE, "random", "success")
            verdict = "confirmed" if base["p_acc"].low > 0.5 and gap.low < MARGIN else "not seen"
            told = {
                "P_acc": "p_acc",
                "knows a move when asked": "knows",
                "success": "success",
                "random player": "random",
            }
            numbers = ", ".join(f"{text} {_text(base[key])}" for text, key in told.items())
            out.append(Claim(f"{TITLES[game]}: the base sees and does not do", verdict, numbers))
    for text, first, second, metric in (
        ("G0 plays better than the base", "g0-{}", BASE, "score"),
        ("G1 beats its teacher", "g1-{}", teacher, "score"),
        ("G1 beats G0", "g1-{}", "g0-{}", "score"),
        ("RL adds to the cold start", "g1-{}", "cold-{}", "score"),
        ("RL lifts perception after the cold start", "g1-{}", "cold-{}", "p_acc"),
        ("RL lifts perception from the base", "g0-{}", BASE, "p_acc"),
    ):
        for game, key in GAMES.items():
            better(f"{TITLES[game]}: {text}", game, first.format(key), second.format(key), metric)
    for game, key in GAMES.items():
        gap = found.gap("states", game, "g1-all", f"g1-{key}", "success")
        add(f"{TITLES[game]}: one model for all games is as good as its own", gap, f"g1-all - g1-{key}", "success", -MARGIN)
    out += _on_perception(found)
    return out


def _on_perception(found: Findings) -> list[Claim]:
    """What the interventions on photographs, the lags and the patterns say."""
    game, out = "ShisenShoPhotos", list[Claim]()

    def add(text: str, first: str, second: str, metric: str, evaluation: str = "states") -> None:
        gap = found.gap(evaluation, game, first, second, metric)
        if gap.n:
            out.append(Claim(text, _sign(gap), f"{_points(gap, metric)} ({first} - {second}, {metric})"))

    told, own = (found.table(evaluation, game, "g1-photos", "success") for evaluation in ("prefill", "states"))
    if told.size and told.shape == own.shape:
        gap = _crossed(told - own)
        out.append(
            Claim("Perception limits play: G1 does more if the true description is given", _sign(gap), _points(gap, "success"))
        )
    add("A trained vision tower sees more than a frozen one", "g1-photos", "frozen", "p_acc")
    add("A trained vision tower plays better than a frozen one", "g1-photos", "frozen", "success")
    add("Reward only for right descriptions lifts perception", "seeing", "g1-photos", "p_acc")
    add("A perception reward (1 against 0) lifts perception", "perception-1", "perception-0", "p_acc")
    add("A perception reward (1 against 0) lifts play", "perception-1", "perception-0", "success")
    add("Training with true descriptions teaches more reasoning", "prefilled", "g1-photos", "success", "prefill")
    add("The think block is needed", "g1-photos", "thoughtless", "success")
    lags = {lag: (c, p) for lag, (c, p) in leads(found).items() if not math.isnan(c)}
    if lags:
        lag = max(lags, key=lambda one: abs(lags[one][0]))
        seen = lags[lag][1] < 0.05 / len(lags)
        verdict = "not seen" if not seen else "confirmed" if lag > 0 and lags[lag][0] > 0 else "opposite"
        numbers = (
            f"largest correlation {lags[lag][0]:+.2f} at lag {lag}, p = {lags[lag][1]:.3f} (to be below {0.05 / len(lags):.3f})"
        )
        out.append(Claim("Gains in perception come before gains in reasoning", verdict, numbers))
    halves = [_halfway(*found.curve("g0-shisen-sho", "ShisenSho", metric)) for metric in ("localises", "success")]
    if halves[0] and halves[1]:
        early = [a < b for a, b in zip(*halves, strict=True)]
        verdict = "confirmed" if all(early) else "opposite" if not any(early) else "not seen"
        numbers = "half of the rise at step " + ", ".join(f"{a:g} and {b:g}" for a, b in zip(*halves, strict=True))
        out.append(Claim("Shisen-Sho: G0 localises before it succeeds", verdict, f"{numbers} (localises and success, by seed)"))
    return out


def _halfway(steps: NDArray[np.int64], table: NDArray[np.float64]) -> list[float]:
    """For each seed the first step at which half of the rise is done; nothing where a seed rises by less than 0.1."""
    found = []
    for line in table:
        if line[-1] - line[0] < 0.1:
            return []
        found.append(float(steps[int(np.argmax(line >= (line[0] + line[-1]) / 2))]))
    return found


def _sign(gap: stats.Estimate, least: float = 0.0) -> str:
    return "confirmed" if gap.low > least else "opposite" if gap.high < 0 else "not seen"


def _text(one: stats.Estimate, percent: bool = True) -> str:
    if math.isnan(one.mean):
        return "-"
    if percent:
        return f"{one.mean:.2f} [{one.low:.2f}, {one.high:.2f}]"
    digits = 0 if abs(one.mean) >= 100 else 1 if abs(one.mean) >= 10 else 2
    return f"{one.mean:.{digits}f} [{one.low:.{digits}f}, {one.high:.{digits}f}]"


def _points(gap: stats.Estimate, metric: str) -> str:
    factor, unit = (1, "") if metric == "score" else (100, " points")
    return f"{factor * gap.mean:+.1f} [{factor * gap.low:+.1f}, {factor * gap.high:+.1f}]{unit}"


def _markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)]) + "\n"


def leads(found: Findings) -> dict[int, tuple[float, float]]:
    """Does perception lead reasoning? Cross-correlation of the increments of P_acc and R_acc over all runs of one game."""
    first, second = [], []
    for run in found.study.runs:
        for game in GAMES:
            steps, p = found.curve(run, game, "p_acc")
            _, r = found.curve(run, game, "r_acc")
            if len(steps) and p.shape == r.shape:
                first += list(p)
                second += list(r)
    return stats.lead_lag(first, second)


INTERVENTIONS = {
    "g1-photos": "as it is (perception 0.5)",
    "prefilled": "perception forced true",
    "frozen": "vision tower frozen",
    "seeing": "reward only if described right",
    "perception-0": "perception reward 0",
    "perception-0.1": "perception reward 0.1",
    "perception-1": "perception reward 1",
    "thoughtless": "no think block",
}


def write_findings(study: Study, out: Path) -> Path:
    """Write ``report.md`` with its pictures, ``results.json`` and ``turns.jsonl``; returns the report's path.

    Raises:
        MissingExtra: without Matplotlib.
    """
    need("train", "matplotlib")
    found = Findings(study, out)
    parts = [_intro(found), *(f"![{title}]({name})\n" for name, title in draw(found))]
    heads = ["model", *TITLES.values()]
    parts.append("## Scores of whole games\n")
    parts.append(_markdown(heads, [[title, *(_text(one, False) for one in cells.values())] for title, cells in scores(found)]))
    parts.append("## Held-out states: success of the move, and boards described exactly\n")
    names = [BASE, *(f"{kind}-{{}}" for kind in ("g0", "cold", "g1")), "cold-all", "g1-all"]
    for metric, title in (("success", "success"), ("p_acc", "P_acc"), ("r_acc", "R_acc")):
        rows = [
            [name.format("GAME"), *(_text(found.value("states", g, name.format(k), metric)) for g, k in GAMES.items())]
            for name in names
        ]
        others = [one for one in found.players("states", "2048") if one in ("random", "oracle") or one.startswith("teacher")]
        rows += [[one, *(_text(found.value("states", g, one, metric)) for g in GAMES)] for one in others]
        parts.append(_markdown([title, *TITLES.values()], rows))
    parts.append("## Seeing, knowing, doing\n")
    table = knowing(found)
    titles = {
        "cells": "cells described",
        "p_acc": "boards described",
        "knows": "knows a move when asked",
        "success": "success",
        "random": "random player",
        "localises": "localises",
        "enumerates": "enumerates",
    }
    parts.append(
        _markdown(["base", *TITLES.values()], [[text, *(_text(table[g][key]) for g in GAMES)] for key, text in titles.items()])
    )
    parts.append("## Verdicts\n")
    parts.append(_markdown(["claim", "verdict", "numbers"], [[one.claim, one.verdict, one.numbers] for one in claims(found)]))
    parts.append("## Interventions (Shisen-Sho with photographs, from the cold start)\n")
    parts.append(_interventions(found))
    parts.append("## Does perception lead?\n")
    lags = leads(found)
    parts.append(
        _markdown(
            ["lag (checks by which P_acc leads)", *map(str, lags)],
            [
                ["correlation of increments", *(f"{c:+.2f}" for c, _ in lags.values())],
                ["p (permutation)", *(f"{p:.3f}" for _, p in lags.values())],
            ],
        )
    )
    parts.append("## What we would do otherwise\n")
    parts.append(_changes(found))
    parts.append("## Transfer\n")
    parts.append(_transfer(found))
    parts.append("## Training in numbers\n")
    parts.append(_training(found))
    parts.append("## Every run\n")
    parts.append(_jobs(found))
    path = out / "report.md"
    path.write_text("\n".join(parts), encoding="utf-8")
    results: dict[str, Any] = {
        "scores": {title: {game: one.to_dict() for game, one in cells.items()} for title, cells in scores(found)},
        "knowing": {game: {key: one.to_dict() for key, one in row.items()} for game, row in table.items()},
        "claims": [asdict(one) for one in claims(found)],
        "lead_lag": {
            str(lag): dict(zip(("correlation", "p"), _bare(np.array([pair]))[0], strict=True)) for lag, pair in lags.items()
        },
    }
    results["curves"] = {
        run: {game: curves for game in GAMES if (curves := _curves(found, run, game))} for run in found.study.runs
    }
    (out / "results.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    (out / "turns.jsonl").write_text("".join(json.dumps(turn) + "\n" for turn in _examples(found)), encoding="utf-8")
    return path


def _curves(found: Findings, run: str, game: str) -> dict[str, Any]:
    """The checks of a run: steps, and for each metric a list of values for each seed."""
    steps, _ = found.curve(run, game, "success")
    metrics = ("success", "p_acc", "r_acc", "localises", "enumerates", *(f"fault_{fault.value}" for fault in Fault))
    if not len(steps):
        return {}
    return {"steps": steps.tolist()} | {key: _bare(found.curve(run, game, key)[1]) for key in metrics}


def _bare(table: NDArray[np.float64]) -> list[list[float | None]]:
    """Numbers for JSON, None for NaN."""
    return [[None if math.isnan(value) else round(float(value), 4) for value in line] for line in table]


def _examples(found: Findings) -> list[dict[str, Any]]:
    """Turns to look at: the first held-out states of each game, answered by the base, G0, the cold start and G1."""
    out = []
    for game, key in GAMES.items():
        for player in (BASE, f"g0-{key}", f"cold-{key}", f"g1-{key}"):
            out += [{"player": player, "game": game, **asdict(turn)} for turn in found.turns("states", game, player)[:EXAMPLES]]
    return out


def _attempts(found: Findings) -> list[dict[str, Any]]:
    """What was run when, one for each process of the study."""
    path = found.out / "jobs.jsonl"
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


def _hours(lines: Sequence[dict[str, Any]]) -> float:
    """Hours during which a process ran, those side by side counted once."""
    seconds, until = 0.0, 0.0
    for begin, end in sorted((line["begin"], line["begin"] + line["seconds"]) for line in lines):
        seconds += max(0.0, end - max(begin, until))
        until = max(until, end)
    return seconds / 3600


def _intro(found: Findings) -> str:
    lines, about = _attempts(found), machine("torch", "transformers", "trl", "numpy")
    versions = ", ".join(f"{package} {number}" for package, number in about["versions"].items())
    made = ", ".join(dict.fromkeys(line["vlmgym"] for line in lines)) or about["vlmgym"]
    return (
        "# The paper's claims, measured\n\n"
        f"Model `{found.study.model}`, training seeds {', '.join(map(str, found.study.seeds))}. Means with 95 % intervals over "
        "training seeds and held-out episodes (both resampled); with one seed the intervals cover the episodes alone. "
        f"{_hours(lines):.1f} hours on {about['cores']} cores of {about['cpu']} ({about['system']}), {versions}, "
        f"vlmgym {vlmgym.__version__} ({made}).\n"
    )


def _interventions(found: Findings) -> str:
    game, rows = "ShisenShoPhotos", []
    for run, title in {"cold-photos": "before (the cold start)", **INTERVENTIONS}.items():
        if not found.table("states", game, run, "success").size:
            continue
        values = [found.value("states", game, run, metric) for metric in ("success", "p_acc", "r_acc")]
        told = found.value("prefill", game, run, "success")
        rows.append([title, *(_text(one) for one in values), _text(told)])
    return _markdown(["trained with", "success", "P_acc", "R_acc", "success, true description given"], rows)


def _changes(found: Findings) -> str:
    rows = []
    for run, game, against, text in (
        ("regret", "2048", "g1-2048", "2048: reward is the regret to the oracle, not the merge"),
        ("on-policy", "ShisenSho", "g1-shisen-sho", "Shisen-Sho: states of the policy's own games, not of random walks"),
        ("unequal", "Swap", "g1-swap", "Swap: groups of equal worth are left out"),
    ):
        gap = found.gap(f"episodes-{GAMES[game]}", game, run, against, "score")
        success = found.gap("states", game, run, against, "success")
        rows.append(
            [
                text,
                _text(found.value(f"episodes-{GAMES[game]}", game, run, "score"), False),
                _points(gap, "score"),
                _points(success, "success"),
            ]
        )
    return _markdown(["change", "score", "score against the paper's choice", "success against it"], rows)


def _transfer(found: Findings) -> str:
    rows = []
    for evaluation, task in found._evaluated:
        if evaluation == "transfer":
            cells = [_text(found.value("transfer", task, who, "success")) for who in ("random", BASE, "g1-all")]
            game = next(g for g in [*GAMES, "FrozenLake", "Minesweeper"] if task == g or task.startswith(f"{g}-"))
            single = f"g1-{GAMES[game]}" if game in GAMES else ""
            rows.append(
                [
                    task,
                    *cells,
                    _text(found.value("transfer", task, single, "success")) if single else "-",
                    _text(found.value("transfer", task, "g1-all", "p_acc")),
                ]
            )
    return _markdown(
        ["not trained on (success)", "random", "base", "G1, all games", "G1, this game", "P_acc of G1, all games"], rows
    )


def _training(found: Findings) -> str:
    keys = {
        "reward": "reward",
        "kl": "KL",
        "entropy": "entropy",
        "completions/mean_length": "tokens",
        "groups/equal": "equal groups",
        "clip_ratio/region_mean": "clipped",
    }
    rows = []
    for run in found.study.runs:
        cells = []
        for key in keys:
            values = found.training(run, key)
            size = min(5, values.shape[1]) if values.ndim == 2 else 0
            cells.append(f"{values[:, :size].mean():.3g} to {values[:, -size:].mean():.3g}" if size else "-")
        if any(cell != "-" for cell in cells):
            rows.append([run, *cells])
    return _markdown(["first to last five steps", *keys.values()], rows)


def _jobs(found: Findings) -> str:
    lines = _attempts(found)
    hours = sum(line["seconds"] for line in lines) / 3600
    bad = [line for line in lines if not line["done"]]
    rows = [[line["job"], f"{line['seconds']:.0f}", str(line["status"])] for line in bad]
    text = f"{len(lines)} processes, {hours:.2f} hours of one core each; {len(bad)} of them failed or were stopped.\n"
    return text + ("\n" + _markdown(["failed or stopped", "seconds", "exit status"], rows) if bad else "")


# ----------------------------------------------------------------------------------------------------------- pictures
def draw(found: Findings) -> list[tuple[str, str]]:
    """Draw the five pictures of the story into the study's folder; returns their file names and titles."""
    import matplotlib

    from vlmgym.figures import STYLE

    pictures = {
        "scores": ("Scores of whole games, between random play and the oracle", _draw_scores),
        "training": ("Success on held-out states while G0 and G1 are trained", _draw_training),
        "faults": ("What fails: perception, reasoning, or both, while G0 and G1 are trained", _draw_faults),
        "interventions": ("What changes when perception, the vision tower or the reward is held fixed", _draw_interventions),
        "difficulty": ("Success and perception as the picture gets harder", _draw_difficulty),
    }
    out = []
    with matplotlib.rc_context(STYLE):
        for name, (title, make) in pictures.items():
            figure = make(found, title)
            if figure is not None:
                figure.savefig(found.out / f"{name}.png")
                out.append((f"{name}.png", title))
    return out


def _spread(one: stats.Estimate) -> tuple[list[float], list[float]]:
    """Error bars below and above a mean, for Matplotlib."""
    low, high = (one.mean - one.low, one.high - one.mean) if not math.isnan(one.low) else (0.0, 0.0)
    return [max(low, 0.0)], [max(high, 0.0)]


def _draw_scores(found: Findings, title: str) -> Figure | None:
    from vlmgym.figures import COLOURS, canvas

    rows = dict(scores(found))
    names = [name for name in rows if name not in ("random", "oracle")]
    note = "Dots: mean scores of whole games, sampled answers; bars: 95% intervals. 0 = random play, 100 = the oracle."
    figure = canvas(10, 3.4, title, note)
    for axes, game in zip(figure.subplots(1, 4, sharey=True), GAMES, strict=True):
        low, high = rows["random"][game].mean, rows["oracle"][game].mean
        for place, name in enumerate(reversed(names)):
            one = rows[name][game]
            if math.isnan(one.mean) or math.isnan(low + high):
                continue
            scale = 100 / (high - low)
            below, above = _spread(one)
            teacher = name.startswith("the teacher")
            colour = COLOURS[1] if teacher else COLOURS[0] if name.startswith("G1") else "#6b7280"
            axes.errorbar(
                (one.mean - low) * scale,
                place,
                xerr=[[below[0] * scale], [above[0] * scale]],
                fmt="o",
                color=colour,
                ms=6,
                lw=1.6,
            )
            if teacher:
                axes.axvline((one.mean - low) * scale, color=colour, lw=0.8, ls=":")
        axes.set_yticks(range(len(names)), list(reversed(names)))
        axes.set_title(TITLES[game])
        axes.axvline(0, color="#c4cad4", lw=0.8)
        axes.grid(axis="x", color="#e1e5ec", lw=0.8)
        axes.set_xlabel("% of the way to the oracle")
    return figure


def _draw_training(found: Findings, title: str) -> Figure | None:
    from vlmgym.figures import COLOURS, canvas

    note = "Greedy answers. Thick: mean over training seeds; thin: each seed. Dotted: the teacher; grey: a random player."
    figure = canvas(10, 4.6, title, note)
    for column, (game, key) in enumerate(GAMES.items()):
        for row, (metric, label) in enumerate((("success", "success"), ("p_acc", "boards described exactly"))):
            axes = figure.add_subplot(2, 4, 1 + column + 4 * row)
            for colour, kind, name in ((COLOURS[1], "g0", "G0 (from the base)"), (COLOURS[0], "g1", "G1 (from the cold start)")):
                steps, table = found.curve(f"{kind}-{key}", game, metric)
                for line in table:
                    axes.plot(steps, line, color=colour, lw=0.6, alpha=0.5)
                if len(table):
                    axes.plot(steps, table.mean(axis=0), color=colour, lw=2, label=name)
            if metric == "success":
                for player in found.players("states", game):
                    if player == "random" or player.startswith("teacher"):
                        mean = found.value("states", game, player, "success").mean
                        axes.axhline(mean, color="#8b93a1", lw=1, ls=":" if player != "random" else "-")
                axes.set_title(TITLES[game])
            else:
                axes.set_xlabel("GRPO steps")
            axes.set_ylim(-0.03, 1.03)
            axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
            axes.grid(axis="y", color="#e1e5ec", lw=0.8)
            if column == 0:
                axes.set_ylabel(label)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper right", ncols=2, frameon=False)
    return figure


_FAULTS = {
    Fault.NONE: ("the move works", "#bfe3d0"),
    Fault.PERCEPTION: ("seen wrongly, right for what was seen", "#56b4e9"),
    Fault.BOTH: ("seen wrongly, and wrong even so", "#5c4b8a"),
    Fault.REASONING: ("seen rightly, wrong move", "#d55e00"),
    Fault.UNAVOIDABLE: ("not to be known", "#c4cad4"),
    Fault.FORMAT: ("no move to be read", "#1d2330"),
}


def _draw_faults(found: Findings, title: str) -> Figure | None:
    from vlmgym.figures import canvas

    figure = canvas(
        10,
        4.6,
        title,
        "Shares of held-out states, means over training seeds. Blame: the move is replayed on the board as it was described.",
    )
    for row, kind in enumerate(("g0", "g1")):
        for column, (game, key) in enumerate(GAMES.items()):
            axes = figure.add_subplot(2, 4, 1 + column + 4 * row)
            curves = {fault: found.curve(f"{kind}-{key}", game, f"fault_{fault.value}") for fault in _FAULTS}
            steps = curves[Fault.NONE][0]
            if len(steps):
                shares = [np.nan_to_num(table).mean(axis=0) for _, table in curves.values()]
                axes.stackplot(
                    steps,
                    shares,
                    colors=[colour for _, colour in _FAULTS.values()],
                    labels=[text for text, _ in _FAULTS.values()],
                )
                axes.set_xlim(steps[0], steps[-1])
            axes.set_ylim(0, 1)
            axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
            if row == 0:
                axes.set_title(TITLES[game])
            else:
                axes.set_xlabel("GRPO steps")
            if column == 0:
                axes.set_ylabel("G0, from the base" if kind == "g0" else "G1, from the cold start")
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False)
    return figure


def _draw_interventions(found: Findings, title: str) -> Figure | None:
    from vlmgym.figures import COLOURS, canvas

    game = "ShisenShoPhotos"
    runs = {"cold-photos": "before: the cold start", **INTERVENTIONS}
    runs = {run: text for run, text in runs.items() if found.table("states", game, run, "success").size}
    if not runs:
        return None
    figure = canvas(
        10,
        0.9 + 0.34 * len(runs),
        title,
        "Shisen-Sho with photographs, held-out states, greedy answers; means and 95% intervals. Dashed: before RL.",
    )
    columns = {"p_acc": "boards described exactly", "success": "success", "told": "success where the true\ndescription is given"}
    for axes, (metric, text) in zip(figure.subplots(1, 3, sharey=True), columns.items(), strict=True):
        for place, run in enumerate(reversed(runs)):
            one = found.value("prefill", game, run, "success") if metric == "told" else found.value("states", game, run, metric)
            if math.isnan(one.mean):
                continue
            axes.errorbar(
                one.mean, place, xerr=_spread(one), fmt="o", color=COLOURS[0] if run != "cold-photos" else "#6b7280", ms=6, lw=1.6
            )
            if run == "cold-photos":
                axes.axvline(one.mean, color="#8b93a1", lw=0.8, ls="--")
        axes.set_yticks(range(len(runs)), list(reversed(runs.values())))
        axes.set_title(text)
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
        axes.grid(axis="x", color="#e1e5ec", lw=0.8)
    return figure


_DIALS = ("noise", "blur", "contrast", "rotation", "occlusion", "similarity")


def _draw_difficulty(found: Findings, title: str) -> Figure | None:
    from vlmgym.figures import COLOURS, canvas

    tasks = [task for evaluation, task in found._evaluated if evaluation == "difficulty"]
    if not tasks:
        return None
    figure = canvas(
        11,
        6.2,
        title,
        "Held-out states of each game, greedy answers, one model for each game (base, G0, G1). Solid: success; dotted: boards "
        "described exactly. The models were trained at the leftmost point alone, and on boards of 4 x 4.",
    )
    dials = [*_DIALS, "rows"]
    grid = figure.subplots(len(GAMES), len(dials), sharey=True)
    for row, (game, key) in enumerate(GAMES.items()):
        for column, dial in enumerate(dials):
            axes, points = grid[row][column], dict[float, str]()
            for task in tasks:
                summary = found._evaluated["difficulty", task]
                run = next(iter(next(iter(summary.values()))), None)
                if run is None or run.run.game != game:
                    continue
                plain = run.run.level == "tiny" and run.run.look == "tiny"
                match = re.search(rf"(?:^|[:,]){dial}=([0-9.]+)", run.run.level if dial == "rows" else run.run.look)
                if plain:
                    points[4.0 if dial == "rows" else 1.0 if dial == "contrast" else 0.0] = task
                elif match:
                    points[float(match[1])] = task
            xs = sorted(points)
            for colour, player in (("#6b7280", BASE), (COLOURS[1], f"g0-{key}"), (COLOURS[0], f"g1-{key}")):
                for metric, style in (("success", "-"), ("p_acc", ":")):
                    ys = [found.value("difficulty", points[x], player, metric).mean for x in xs]
                    if not all(map(math.isnan, ys)):
                        axes.plot(
                            xs,
                            ys,
                            style,
                            color=colour,
                            marker="o",
                            ms=2.5,
                            lw=1.3,
                            label=player.split("-")[0].upper() if metric == "success" else None,
                        )
            if dial == "contrast":
                axes.invert_xaxis()
            axes.set_ylim(-0.03, 1.03)
            axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
            axes.grid(axis="y", color="#e1e5ec", lw=0.8)
            if row == 0:
                axes.set_title({"rows": "rows of the board"}.get(dial, dial))
            if column == 0:
                axes.set_ylabel(TITLES[game].replace(", ", ",\n"))
    handles, labels = grid[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper right", ncols=3, frameon=False)
    return figure
