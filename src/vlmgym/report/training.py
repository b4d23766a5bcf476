"""Curves of training runs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from vlmgym.report.charts import Line, Point, line_chart
from vlmgym.report.contents import Contents, in_order, label_of
from vlmgym.report.html import Html, tag

STEP = "GRPO step"
LineMaker = Callable[..., Line]
"""The line of a run, by the key of the log, its label, and whether it is dashed."""


def training(contents: Contents) -> list[Html]:
    """The curves of the log, those of the checks, and the recipes."""
    if not contents.runs:
        return []
    length = max(len(_series(lines, "reward")) for lines in contents.runs.values())
    window = max(1, length // 10) | 1
    games = _checked_games(contents)
    charts = [*_charts_of_logs(contents, window), *_charts_of_checks(contents, games)]
    drawn = [chart for chart in charts if chart is not None]
    if not drawn:
        return []
    smoothing = f"Bold: centred mean of {window} steps; faint: every step. " if window > 1 else ""
    note = (
        f"{smoothing}While training, replies are sampled on training states, over all games of the "
        "run; the reward is the weighted sum of its terms. P_acc (solid): descriptions equal to "
        "the board. R_acc (dashed): success among these. "
    )
    if games:
        note += (
            "Held-out: greedy replies on held-out states, before the first step and at "
            "intervals; the states are few."
        )
    recipes = []
    for run, text in contents.recipes.items():
        summary = tag("summary", f"Recipe of {label_of(run)}")
        recipes.append(tag("details", summary, tag("pre", text)))
    return [tag("div", *drawn, class_="grid"), tag("p", note, class_="note"), *recipes]


def _charts_of_logs(contents: Contents, window: int) -> list[Html | None]:
    """What was logged at every step, smoothed over ``window`` steps."""

    def curve(run: str, key: str, label: str, dashed: bool = False, stage: str = "grpo") -> Line:
        points = _series(contents.runs[run], key, stage)
        faint = points if window > 1 else ()
        return Line(label, contents.colours[run], _smooth(points, window), dashed, faint)

    accuracies = _accuracies(contents, curve, "")
    rewards = [curve(run, "reward", label_of(run)) for run in contents.runs]
    losses = [curve(run, "loss", label_of(run), stage="sft") for run in contents.runs]
    share = "share of sampled replies, %"
    loss = "cross-entropy of a token, nats"
    return [
        line_chart("Reward while training", rewards, STEP, "mean reward of a reply"),
        line_chart("P_acc and R_acc while training", accuracies, STEP, share, True),
        line_chart("Loss of the cold start", losses, "SFT step", loss),
    ]


def _charts_of_checks(contents: Contents, games: Sequence[str]) -> list[Html | None]:
    """What was measured on held-out states between the steps."""

    def check(run: str, key: str, label: str, dashed: bool = False) -> Line:
        points = _series(contents.runs[run], key)
        return Line(label, contents.colours[run], points, dashed, dots=True)

    successes = []
    accuracies = []
    for game in games:
        lines = [check(run, f"check/{game}/success", label_of(run)) for run in contents.runs]
        title = f"{game}: held-out success"
        successes.append(line_chart(title, lines, STEP, "success, %", True))
        lines = _accuracies(contents, check, f"check/{game}/")
        title = f"{game}: held-out P_acc and R_acc"
        accuracies.append(line_chart(title, lines, STEP, "share, %", True))
    return successes + accuracies


def _accuracies(contents: Contents, line_of: LineMaker, prefix: str) -> list[Line]:
    """P_acc (solid) and R_acc (dashed) of each run."""
    lines = []
    for run in contents.runs:
        lines.append(line_of(run, f"{prefix}p_acc", f"{label_of(run)} P_acc", False))
        lines.append(line_of(run, f"{prefix}r_acc", f"{label_of(run)} R_acc", True))
    return lines


def _checked_games(contents: Contents) -> list[str]:
    """The games that some run was checked on."""
    games = set()
    for lines in contents.runs.values():
        for key in {key for line in lines for key in line}:
            if key.startswith("check/") and key.count("/") == 2:
                games.add(key.split("/")[1])
    return in_order(games)


def _series(lines: Iterable[Mapping[str, Any]], key: str, stage: str = "grpo") -> list[Point]:
    """The finite values of ``key`` by step; a step that was logged twice keeps the later value."""
    values: dict[float, float] = {}
    for line in lines:
        value = line.get(key)
        if line.get("stage") == stage and isinstance(value, (int, float)) and math.isfinite(value):
            values[float(line["step"])] = float(value)
    return sorted(values.items())


def _smooth(points: Sequence[Point], window: int) -> list[Point]:
    """Centred mean over ``window`` points (odd); fewer at the ends."""
    half = window // 2
    values = [value for _, value in points]
    smoothed = []
    for index, (step, _) in enumerate(points):
        neighbours = values[max(0, index - half) : index + half + 1]
        smoothed.append((step, float(np.mean(neighbours))))
    return smoothed
