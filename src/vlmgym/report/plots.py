"""Pictures of evaluations: confused symbols, misread cells, difficulty curves."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from textwrap import fill, wrap
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vlmgym.core import need
from vlmgym.episodes.trace import load_trace
from vlmgym.evals.confusions import Confusion, confusion, misread
from vlmgym.evals.curves import Curve, curve
from vlmgym.evals.metrics import METRICS, shown_in
from vlmgym.evals.reading import Evaluated, load
from vlmgym.evals.summaries import read_summary
from vlmgym.games import known_game
from vlmgym.render.looks import Look

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MOST = 12
# Okabe and Ito 2008
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#5c4b8a", "#4d4d4d")
STYLE = {
    "text.parse_math": False,
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.edgecolor": "#8b93a1",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.dpi": 150,
    "savefig.facecolor": "white",
}


def figures(folders: Sequence[Path], out: Path) -> list[Path]:
    """Draw what is misread for what and where, for each evaluation, and the curve of each dial that
    is at several values.

    Args:
        folders: of evaluations, with ``trace.jsonl`` and ``summary.json``.
        out: folder to write to.

    Returns:
        The PNG files: ``confusion-...`` and ``misread-...`` for each player and task (none where
        nothing is described, or the game has no truth text), ``curve-...`` for each game and dial.

    Raises:
        MissingExtra: without Matplotlib.
        ConfigError: a folder holds no evaluation.
        TraceError: a damaged trace.
    """
    need("train", "matplotlib")
    import matplotlib

    out.mkdir(parents=True, exist_ok=True)
    found = list[Path]()
    evaluations = load(folders)

    def save(figure: Figure, *words: str) -> None:
        stem = re.sub(r"[^\w.=,-]+", "-", "-".join(words), flags=re.ASCII).strip("-.")[:120]
        names = (out / f"{stem}{f'-{i}' if i > 1 else ''}.png" for i in range(1, len(found) + 2))
        found.append(next(name for name in names if name not in found))
        figure.savefig(found[-1])

    with matplotlib.rc_context(STYLE):
        for one in evaluations:
            turns = load_trace(one.folder / "trace.jsonl").finished()
            if any(cell >= 0 for turn in turns for row in turn.seen for cell in row):
                words = one.player, one.run.game, one.run.level, one.run.look
                save(_draw_confusion(confusion(turns), one), "confusion", *words)
                save(_draw_misread(misread(turns), len(turns), one), "misread", *words)
        for lines in _dials([read_summary(one.folder) for one in evaluations]):
            save(_draw_curves(lines), "curve", lines[0].game, lines[0].field)
    return found


def _dials(summaries: Sequence[dict[str, Any]]) -> list[list[Curve]]:
    """The lines of each game and dial that have several points, those of all players together."""
    kinds = [
        ("look", Look),
        *(
            ("level", known_game(name).level_type)
            for name in {one["task"]["game"]: 0 for one in summaries}
        ),
    ]
    dials = {
        f"{part}.{one.name}": 0
        for part, kind in kinds
        for one in fields(kind)
        if not isinstance(one.default, str)
    }
    groups = defaultdict[tuple[str, str, str], list[Curve]](list)
    for line in (line for dial in dials for line in curve(summaries, dial) if len(line.values) > 1):
        groups[line.game, line.field, line.task].append(line)
    return list(groups.values())


def _percent(share: float) -> str:
    """A share in whole per cent that never shows some as none, nor most as all."""
    if share in (0, 1):
        return f"{share:.0%}"
    return "<1%" if share < 0.005 else ">99%" if share >= 0.995 else f"{share:.0%}"


def canvas(width: float, height: float, title: str, *notes: str) -> Figure:
    """A figure with a title above and notes below, both at the left."""
    from matplotlib.figure import Figure as Canvas

    lines = [line for note in notes for line in wrap(note, int(width * 12.5))]
    figure = Canvas(figsize=(width, height + 0.15 * len(lines)), layout="constrained")
    figure.suptitle(fill(title, int(width * 9)), x=0.02, ha="left", size=12, weight="bold")
    figure.supxlabel("\n".join(lines), x=0.02, ha="left", size=8.5, color="#4a5364")
    return figure


def _squares(axes: Any, values: NDArray[np.float64], blank: bool) -> None:
    """Shares as numbers (per cent; zeros if not ``blank``), and white lines between the cells."""
    for (r, c), share in np.ndenumerate(values):
        if share > 0 or (share == 0 and not blank):
            axes.text(
                c,
                r,
                _percent(float(share)).rstrip("%"),
                ha="center",
                va="center",
                color="#1d2330",
                size=8.5,
            )
    axes.set_xticks(np.arange(values.shape[1] + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(values.shape[0] + 1) - 0.5, minor=True)
    axes.grid(which="minor", color="white", lw=1.2)
    axes.tick_params(which="both", length=0)
    axes.spines[:].set_visible(False)


def _draw_confusion(table: Confusion, one: Evaluated) -> Figure:
    counts = table.counts
    chosen = table.worst(_MOST)
    total = counts.sum(axis=1)
    stated = counts[:, :-1].sum()
    rows = [s for s in chosen if total[s]]
    present = int((total > 0).sum())
    labels = {**{s: table.names[s] for s in chosen}, -2: "any other", -1: "not stated"}
    others = np.delete(counts[:, :-1], chosen, axis=1).sum(axis=1)
    block = np.column_stack([counts[:, chosen], others, counts[:, -1]])[rows] / total[rows, None]
    if not others[rows].any():
        block = np.delete(block, -2, axis=1)
        labels = {s: name for s, name in labels.items() if s != -2}
    right = np.array(rows)[:, None] == np.array(list(labels))
    which = "" if len(rows) == present else f": the {len(rows)} most confused of {present} symbols"
    task = (
        f"{one.task}. {total.sum():,} cells, {_percent(1 - stated / total.sum())} of them not "
        "stated; "
    )
    task += f"{_percent(table.wrong.sum() / stated)} of the stated ones are wrong."
    title = f"What {one.player} takes the symbols for{which}"
    key = "A row adds up to 100%. Blue: right; red: wrong or not stated."
    figure = canvas(max(6.5, 2.4 + 0.52 * len(labels)), 2.1 + 0.34 * len(rows), title, task, key)
    axes = figure.add_subplot(facecolor="#f1f3f6")
    worst = max(0.05, float(block[~right].max()))
    for hidden, colours, most in ((~right, "Blues", 1.6), (right, "Reds", 1.5 * worst)):
        axes.imshow(
            np.ma.masked_array(block, hidden | (block == 0)),
            cmap=colours,
            vmin=0,
            vmax=most,
            aspect="auto",
        )
    axes.set_xticks(
        range(len(labels)), list(labels.values()), rotation=40, ha="right", rotation_mode="anchor"
    )
    axes.set_yticks(range(len(rows)), [f"{table.names[s]}  ({total[s]:,})" for s in rows])
    axes.set(xlabel="described as (% of the row)", ylabel="on the board (number of cells)")
    _squares(axes, block, blank=True)
    axes.axvline(len(chosen) - 0.5, color="#8b93a1", lw=1.2)
    return figure


def _draw_misread(shares: NDArray[np.float64], turns: int, one: Evaluated) -> Figure:
    rows, cols = shares.shape
    side = max(0.38, min(0.62, 6 / cols))
    worst = float(np.nanmax(shares))
    never = bool(np.isnan(shares).any())
    written = (
        f"Numbers: % wrong among the descriptions of the cell, over {turns:,} boards. Worst "
        f"place {_percent(worst)}, mean "
    )
    written += f"of the places {_percent(float(np.nanmean(shares)))}." + (
        " Dark: never described." if never else ""
    )
    width = max(5.5, 1.4 + side * cols)
    title = f"Where {one.player} misreads the board"
    figure = canvas(width, 1.5 + side * rows, title, one.task + ".", written)
    axes = figure.add_subplot(facecolor="#8b93a1")
    axes.imshow(shares, cmap="Reds", vmin=0, vmax=1.5 * max(0.05, worst))
    axes.set(xticks=range(cols), yticks=range(rows), xlabel="column", ylabel="row")
    axes.xaxis.set(ticks_position="top", label_position="top")
    _squares(axes, shares, blank=False)
    return figure


def _draw_curves(lines: Sequence[Curve]) -> Figure:
    first = lines[0]
    # scores of parts of episodes say little
    parts = ", turns=" in first.task or "start=walk" in first.task
    known = [
        m
        for m in shown_in("figures")
        if any(not math.isnan(e.mean) for line in lines for e in line.metrics[m])
    ]
    panels = [m for m in known if m != "score" or not parts]
    numbers = [e.n for line in lines for e in line.metrics["success"]]
    count = f"{min(numbers)}" + (f" to {max(numbers)}" if min(numbers) < max(numbers) else "")
    kind = Look if first.field.startswith("look.") else known_game(first.game).level_type
    doc = next(
        one.metadata["doc"] for one in fields(kind) if one.name == first.field.partition(".")[2]
    )
    notes = f"{first.task}. Means with 95% bootstrap intervals; n = {count} starts at each point."
    figure = canvas(
        2.3 * len(panels) + 2,
        3.5,
        f"{first.game}: what changes with {first.field}",
        f"{first.field}: {doc}.",
        notes,
    )
    for axes, metric in zip(
        np.atleast_1d(figure.subplots(1, len(panels), sharex=True)), panels, strict=True
    ):
        for number, line in enumerate(lines):
            colour = COLOURS[number % len(COLOURS)]
            marker = "osD^vPX*"[number % 8]
            mean, low, high = (
                np.array([getattr(e, key) for e in line.metrics[metric]])
                for key in ("mean", "low", "high")
            )
            axes.fill_between(line.values, low, high, color=colour, alpha=0.18, lw=0)
            axes.plot(
                line.values,
                mean,
                color=colour,
                marker=marker,
                ms=4.5,
                lw=1.6,
                label=fill(line.player, 32, break_on_hyphens=False),
            )
        axes.set_title(METRICS[metric].caption)
        axes.set_xlabel(first.field)
        axes.grid(axis="y", color="#e1e5ec", lw=0.8)
        axes.set_axisbelow(True)
        if metric != "score":
            axes.set_ylim(-0.03, 1.03)
            axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside right center", frameon=False)
    return figure
