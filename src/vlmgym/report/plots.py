"""Pictures of evaluations: confused symbols, misread cells, difficulty curves."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from textwrap import fill, wrap
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vlmgym.core import ConfigError, Settings, need
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
"""Symbols of a confusion table that are drawn."""
OTHER = -2
NOT_STATED = -1
"""Columns of such a table that stand for no symbol."""
MARKERS = "osD^vPX*"
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
        ConfigError: a folder holds no evaluation, or there is no folder.
        TraceError: a damaged trace.
    """
    need("train", "matplotlib")
    import matplotlib

    if not folders:
        raise ConfigError("folders", "none", "at least one folder with an evaluation")
    out.mkdir(parents=True, exist_ok=True)
    files = list[Path]()
    evaluations = load(folders)

    def save(figure: Figure, *words: str) -> None:
        path = _free_name(out, words, files)
        files.append(path)
        figure.savefig(path)

    with matplotlib.rc_context(STYLE):
        for evaluated in evaluations:
            turns = load_trace(evaluated.folder / "trace.jsonl").finished()
            if any(cell >= 0 for turn in turns for row in turn.seen for cell in row):
                run = evaluated.run
                words = evaluated.player, run.game, run.level, run.look
                save(_draw_confusion(confusion(turns), evaluated), "confusion", *words)
                save(_draw_misread(misread(turns), len(turns), evaluated), "misread", *words)
        for lines in _dials([read_summary(evaluated.folder) for evaluated in evaluations]):
            save(_draw_curves(lines), "curve", lines[0].game, lines[0].field)
    return files


def _free_name(out: Path, words: Sequence[str], files: Sequence[Path]) -> Path:
    """A file called after these words, with a number if one of ``files`` is called so."""
    stem = re.sub(r"[^\w.=,-]+", "-", "-".join(words), flags=re.ASCII).strip("-.")[:120]
    path = out / f"{stem}.png"
    number = 1
    while path in files:
        number += 1
        path = out / f"{stem}-{number}.png"
    return path


def _dials(summaries: Sequence[dict[str, Any]]) -> list[list[Curve]]:
    """The lines of each game and dial that have several points, those of all players together."""
    games = dict.fromkeys(summary["task"]["game"] for summary in summaries)
    kinds: list[tuple[str, type[Settings]]] = [("look", Look)]
    kinds += [("level", known_game(game).level_type) for game in games]
    dials = dict[str, None]()  # a set in order
    for section, kind in kinds:
        for field in fields(kind):
            if not isinstance(field.default, str):
                dials[f"{section}.{field.name}"] = None
    groups = defaultdict[tuple[str, str, str], list[Curve]](list)
    for dial in dials:
        for line in curve(summaries, dial):
            if len(line.values) > 1:
                groups[line.game, line.field, line.task].append(line)
    return list(groups.values())


def _percent(share: float) -> str:
    """A share in whole per cent that never shows some as none, nor most as all."""
    if 0 < share < 0.005:
        return "<1%"
    if 0.995 <= share < 1:
        return ">99%"
    return f"{share:.0%}"


def canvas(width: float, height: float, title: str, *notes: str) -> Figure:
    """A figure with a title above and notes below, both at the left."""
    from matplotlib.figure import Figure as Canvas

    lines = [line for note in notes for line in wrap(note, int(width * 12.5))]
    figure = Canvas(figsize=(width, height + 0.15 * len(lines)), layout="constrained")
    figure.suptitle(fill(title, int(width * 9)), x=0.02, ha="left", size=12, weight="bold")
    figure.supxlabel("\n".join(lines), x=0.02, ha="left", size=8.5, color="#4a5364")
    return figure


def _squares(axes: Any, shares: NDArray[np.float64], blank: bool) -> None:
    """Shares ``(rows, columns)`` as numbers (per cent; zeros if not ``blank``), and white lines
    between the cells.
    """
    style = {"ha": "center", "va": "center", "color": "#1d2330", "size": 8.5}
    for (row, column), share in np.ndenumerate(shares):
        if share > 0 or (share == 0 and not blank):
            axes.text(column, row, _percent(float(share)).rstrip("%"), **style)
    rows, columns = shares.shape
    axes.set_xticks(np.arange(columns + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(rows + 1) - 0.5, minor=True)
    axes.grid(which="minor", color="white", lw=1.2)
    axes.tick_params(which="both", length=0)
    axes.spines[:].set_visible(False)


# ---- symbols that are confused
@dataclass(frozen=True)
class _Block:
    """The part of a confusion table that is drawn: the most confused symbols against each other.

    Attributes:
        rows: the symbols on the board.
        columns: what they are described as, with names: symbols, ``OTHER`` and ``NOT_STATED``.
        shares: ``(rows, columns)``; a row adds up to 1.
    """

    rows: list[int]
    columns: dict[int, str]
    shares: NDArray[np.float64]

    @classmethod
    def of(cls, table: Confusion, symbols: Sequence[int]) -> _Block:
        """The rows and columns of some symbols, all other symbols in one column."""
        counts = table.counts
        totals = counts.sum(axis=1)
        rows = [symbol for symbol in symbols if totals[symbol]]
        columns = {symbol: table.names[symbol] for symbol in symbols}
        columns |= {OTHER: "any other", NOT_STATED: "not stated"}
        others = np.delete(counts[:, :-1], symbols, axis=1).sum(axis=1)
        chosen = np.column_stack([counts[:, symbols], others, counts[:, -1]])
        shares = chosen[rows] / totals[rows, None]
        if not others[rows].any():
            shares = np.delete(shares, -2, axis=1)
            del columns[OTHER]
        return cls(rows, columns, shares)

    @property
    def right(self) -> NDArray[np.bool_]:
        """Where a symbol is described as itself."""
        return np.array(self.rows)[:, None] == np.array(list(self.columns))


def _draw_confusion(table: Confusion, evaluated: Evaluated) -> Figure:
    symbols = table.worst(_MOST)
    block = _Block.of(table, symbols)
    width = max(6.5, 2.4 + 0.52 * len(block.columns))
    height = 2.1 + 0.34 * len(block.rows)
    totals = table.counts.sum(axis=1)
    present = int((totals > 0).sum())
    title = f"What {evaluated.player} takes the symbols for"
    if len(block.rows) < present:
        title += f": the {len(block.rows)} most confused of {present} symbols"
    key = "A row adds up to 100%. Blue: right; red: wrong or not stated."
    figure = canvas(width, height, title, _cells_in_words(table, evaluated), key)
    axes = figure.add_subplot(facecolor="#f1f3f6")
    right = block.right
    worst = max(0.05, float(block.shares[~right].max()))
    _colour(axes, block.shares, right, "Blues", 1.6)
    _colour(axes, block.shares, ~right, "Reds", 1.5 * worst)
    names = list(block.columns.values())
    axes.set_xticks(range(len(names)), names, rotation=40, ha="right", rotation_mode="anchor")
    labels = [f"{table.names[symbol]}  ({totals[symbol]:,})" for symbol in block.rows]
    axes.set_yticks(range(len(labels)), labels)
    axes.set(xlabel="described as (% of the row)", ylabel="on the board (number of cells)")
    _squares(axes, block.shares, blank=True)
    axes.axvline(len(symbols) - 0.5, color="#8b93a1", lw=1.2)
    return figure


def _cells_in_words(table: Confusion, evaluated: Evaluated) -> str:
    """How many cells there are, and how many of them are not stated or wrong."""
    cells = table.counts.sum()
    stated = table.counts[:, :-1].sum()
    missing = _percent(1 - stated / cells)
    wrong = _percent(table.wrong.sum() / stated)
    return (
        f"{evaluated.task}. {cells:,} cells, {missing} of them not stated; {wrong} of the stated "
        "ones are wrong."
    )


def _colour(
    axes: Any, shares: NDArray[np.float64], shown: NDArray[np.bool_], colours: str, darkest: float
) -> None:
    """Colour the cells that are shown and not zero; ``darkest`` is the share of the last colour."""
    masked = np.ma.masked_array(shares, ~shown | (shares == 0))
    axes.imshow(masked, cmap=colours, vmin=0, vmax=darkest, aspect="auto")


# ---- cells that are misread
def _draw_misread(shares: NDArray[np.float64], turns: int, evaluated: Evaluated) -> Figure:
    """``shares`` of wrong descriptions by cell, ``(rows, columns)``; NaN = never described."""
    rows, columns = shares.shape
    side = max(0.38, min(0.62, 6 / columns))  # inches
    worst = float(np.nanmax(shares))
    note = (
        f"Numbers: % wrong among the descriptions of the cell, over {turns:,} boards. Worst "
        f"place {_percent(worst)}, mean of the places {_percent(float(np.nanmean(shares)))}."
    )
    if np.isnan(shares).any():
        note += " Dark: never described."
    width = max(5.5, 1.4 + side * columns)
    title = f"Where {evaluated.player} misreads the board"
    figure = canvas(width, 1.5 + side * rows, title, evaluated.task + ".", note)
    axes = figure.add_subplot(facecolor="#8b93a1")
    axes.imshow(shares, cmap="Reds", vmin=0, vmax=1.5 * max(0.05, worst))
    axes.set(xticks=range(columns), yticks=range(rows), xlabel="column", ylabel="row")
    axes.xaxis.set(ticks_position="top", label_position="top")
    _squares(axes, shares, blank=False)
    return figure


# ---- curves over a dial
def _draw_curves(lines: Sequence[Curve]) -> Figure:
    """A panel for each metric, a line for each player."""
    first = lines[0]
    metrics = _measured_metrics(lines)
    title = f"{first.game}: what changes with {first.field}"
    meaning = f"{first.field}: {_meaning_of(first)}."
    counts = [estimate.n for line in lines for estimate in line.metrics["success"]]
    count = f"{min(counts)}"
    if min(counts) < max(counts):
        count += f" to {max(counts)}"
    note = f"{first.task}. Means with 95% bootstrap intervals; n = {count} starts at each point."
    figure = canvas(2.3 * len(metrics) + 2, 3.5, title, meaning, note)
    panels = np.atleast_1d(figure.subplots(1, len(metrics), sharex=True))
    for axes, metric in zip(panels, metrics, strict=True):
        for number, line in enumerate(lines):
            _draw_curve(axes, line, metric, number)
        axes.set_title(METRICS[metric].caption)
        axes.set_xlabel(first.field)
        axes.grid(axis="y", color="#e1e5ec", lw=0.8)
        axes.set_axisbelow(True)
        if bounds := METRICS[metric].bounds:
            low, high = bounds
            margin = 0.03 * (high - low)
            axes.set_ylim(low - margin, high + margin)
        if METRICS[metric].percent:
            axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    handles, labels = panels[-1].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right center", frameon=False)
    return figure


def _measured_metrics(lines: Sequence[Curve]) -> list[str]:
    """The metrics that some player has at some value."""
    # scores of parts of episodes say little
    partial = ", turns=" in lines[0].task or "start=walk" in lines[0].task
    metrics = []
    for metric in shown_in("figures"):
        means = [estimate.mean for line in lines for estimate in line.metrics[metric]]
        if not all(map(math.isnan, means)) and not (metric == "score" and partial):
            metrics.append(metric)
    return metrics


def _meaning_of(line: Curve) -> str:
    """What the field does that the curve goes along."""
    kind: type[Settings] = Look
    if not line.field.startswith("look."):
        kind = known_game(line.game).level_type
    name = line.field.partition(".")[2]
    return next(field.metadata["doc"] for field in fields(kind) if field.name == name)


def _draw_curve(axes: Any, line: Curve, metric: str, number: int) -> None:
    """The line of a player, the ``number``-th of the panel, with its intervals."""
    estimates = line.metrics[metric]
    low = np.array([estimate.low for estimate in estimates])
    high = np.array([estimate.high for estimate in estimates])
    mean = np.array([estimate.mean for estimate in estimates])
    colour = COLOURS[number % len(COLOURS)]
    marker = MARKERS[number % len(MARKERS)]
    label = fill(line.player, 32, break_on_hyphens=False)
    axes.fill_between(line.values, low, high, color=colour, alpha=0.18, lw=0)
    axes.plot(line.values, mean, color=colour, marker=marker, ms=4.5, lw=1.6, label=label)
