"""The results of the benchmark as a table and as a picture."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from measuring import Result
from vlmgym.core import MissingExtra, need


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def table(results: Sequence[Result], about: Mapping[str, Any]) -> str:
    """The rows as text: medians of rates (for the unit s: of seconds), half the range beside ours,
    median ratios.
    """
    lines: list[tuple[str, ...]] = []
    for one in results:
        rates = {
            label: 1 / rate if one.unit == "s" else rate for label, rate in one.medians().items()
        }
        ours = one.rates.get("ours", [])
        around = f"±{50 * (max(ours) - min(ours)) / median(ours):.0f} %" if len(ours) > 1 else ""
        numbers = [
            *(rates.get(label) for label in ("plain", "limit")),
            one.ratio("plain"),
            one.ratio("limit"),
        ]
        met = {None: "", True: "yes", False: "NO"}[one.met]
        unit = one.unit if one.unit == "s" else f"{one.unit}/s"
        cells = (_number(rates.get("ours")), around, unit, *map(_number, numbers))
        lines.append((one.name, *cells, one.goal, _number(one.value), met, one.note))
    head = (
        "row",
        "ours",
        "",
        "unit",
        "plain",
        "limit",
        "x plain",
        "x limit",
        "goal",
        "found",
        "reached",
        "",
    )
    wide = [max(len(line[k]) for line in (head, *lines)) for k in range(len(head))]
    where = f"{about['cores']} cores, {about['cpu']}, {about['system']}"
    text = [f"{where}, vlmgym {about['vlmgym']}, {about['repetitions']} repetitions", ""]
    for line in (head, *lines):
        both = zip(line, wide, strict=True)
        cells = tuple(
            cell.rjust(w) if k in (1, 2, 4, 5, 6, 7, 9) else cell.ljust(w)
            for k, (cell, w) in enumerate(both)
        )
        text.append("  ".join(cells).rstrip())
    goals = [one for one in results if one.met is not None]
    missed = [one.name for one in goals if not one.met]
    text += [
        "",
        f"{len(goals) - len(missed)} of {len(goals)} goals reached"
        + "".join((f"\n  missed: {name}") for name in missed),
    ]
    return "\n".join(text) + "\n"


def plot(results: Sequence[Result], path: Path) -> None:
    """Cost of a game against the size of batch and board; nothing without rows about growth, or
    without Matplotlib.
    """
    growth = [one for one in results if one.name.startswith("growth ") and one.rates]
    try:
        need("train", "matplotlib")
    except MissingExtra as error:
        sys.stderr.write(f"no {path.name}: {error}\n")
        growth = []
    if not growth:
        return
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.5), layout="constrained")
    axes = dict(zip((False, True), figure.subplots(1, 2), strict=True))
    for one in growth:
        name, of_boards = (
            one.name.removeprefix("growth ").removeprefix("boards "),
            one.name.startswith("growth boards"),
        )
        for begin, style in (("", "o-"), ("copy ", "s:")):
            points = {
                x.removeprefix(begin): y for x, y in one.medians().items() if x.startswith(begin)
            }
            line = {int(x): 1e6 / y for x, y in points.items() if x.isdigit()}
            if line:
                axes[of_boards].plot(list(line), list(line.values()), style, label=begin + name)
    for of_boards, label in ((False, "games in the batch"), (True, "cells of a side of the board")):
        axes[of_boards].set(
            xlabel=label,
            ylabel="microseconds a game",
            yscale="log",
            xscale="linear" if of_boards else "log",
        )
        axes[of_boards].grid(alpha=0.3)
        if axes[of_boards].lines:
            axes[of_boards].legend(fontsize=8)
    figure.savefig(path, dpi=120)
