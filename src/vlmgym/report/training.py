"""Curves of training runs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from vlmgym.games import GAMES
from vlmgym.report.charts import Line, line_chart
from vlmgym.report.data import Data, label_of
from vlmgym.report.html import Html, tag


def training(data: Data) -> list[Html]:
    """The curves of the log, those of the checks, and the recipes."""
    if not data.runs:
        return []
    length = max(len(_series(lines, "reward")) for lines in data.runs.values())
    window = max(1, length // 10) | 1

    def curve(run: str, key: str, label: str, dashed: bool = False, stage: str = "grpo") -> Line:
        points = _series(data.runs[run], key, stage)
        return Line(
            label, data.colours[run], _smooth(points, window), dashed, points if window > 1 else ()
        )

    def both(get: Callable[[str, str, str, bool], Line], prefix: str) -> list[Line]:
        names = (("p_acc", "P_acc", False), ("r_acc", "R_acc", True))
        return [
            get(r, prefix + key, f"{label_of(r)} {name}", dash)
            for r in data.runs
            for key, name, dash in names
        ]

    def check(run: str, key: str, label: str, dashed: bool = False) -> Line:
        return Line(label, data.colours[run], _series(data.runs[run], key), dashed, (), True)

    step = "GRPO step"
    charts = [
        line_chart(
            "Reward while training",
            [curve(r, "reward", label_of(r)) for r in data.runs],
            step,
            "mean reward of a reply",
        ),
        line_chart(
            "P_acc and R_acc while training",
            both(curve, ""),
            step,
            "share of sampled replies, %",
            True,
        ),
        line_chart(
            "Loss of the cold start",
            [curve(r, "loss", label_of(r), stage="sft") for r in data.runs],
            "SFT step",
            "cross-entropy of a token, nats",
        ),
    ]
    keys = {
        k for lines in data.runs.values() for line in lines for k in line if k.startswith("check/")
    }
    names = {k.split("/")[1] for k in keys if k.count("/") == 2}
    known = list(GAMES)
    games = sorted(names, key=lambda g: (known.index(g) if g in known else len(known), g))
    for game in games:
        lines = [check(r, f"check/{game}/success", label_of(r)) for r in data.runs]
        charts.append(line_chart(f"{game}: held-out success", lines, step, "success, %", True))
    for game in games:
        charts.append(
            line_chart(
                f"{game}: held-out P_acc and R_acc",
                both(check, f"check/{game}/"),
                step,
                "share, %",
                True,
            )
        )
    drawn = [c for c in charts if c is not None]
    if not drawn:
        return []
    smooth = f"Bold: centred mean of {window} steps; faint: every step. " if window > 1 else ""
    note = (
        f"{smooth}While training, replies are sampled on training states, over all games of the "
        "run; the reward is the weighted sum of its terms. P_acc (solid): descriptions equal to "
        "the board. R_acc (dashed): success among these. "
    )
    if games:
        note += (
            "Held-out: greedy replies on held-out states, before the first step and at "
            "intervals; the states are few."
        )
    out = [tag("div", *drawn, class_="grid"), tag("p", note, class_="note")]
    for run, text in data.recipes.items():
        out.append(tag("details", tag("summary", f"Recipe of {label_of(run)}"), tag("pre", text)))
    return out


def _series(
    lines: Iterable[Mapping[str, Any]], key: str, stage: str = "grpo"
) -> list[tuple[float, float]]:
    """The finite values of ``key`` by step; a step that was logged twice keeps the later value."""
    found: dict[float, float] = {}
    for line in lines:
        value = line.get(key)
        if line.get("stage") == stage and isinstance(value, (int, float)) and math.isfinite(value):
            found[float(line["step"])] = float(value)
    return sorted(found.items())


def _smooth(points: Sequence[tuple[float, float]], window: int) -> list[tuple[float, float]]:
    """Centred mean over ``window`` points (odd); fewer at the ends."""
    half = window // 2
    ys = [y for _, y in points]
    return [
        (x, float(np.mean(ys[max(0, i - half) : i + half + 1]))) for i, (x, _) in enumerate(points)
    ]
