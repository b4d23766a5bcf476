"""Pictures of curves: over training steps, and over the difficulty of the picture."""

from __future__ import annotations

import math
from textwrap import fill
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vlmgym.dialogue.judge import Fault
from vlmgym.render.looks import get_look
from vlmgym.report.plots import COLOURS, canvas
from vlmgym.studies.g1.axes import GREY, GUIDE, KINDS, percent_axis, seed_lines
from vlmgym.studies.g1.findings import DIALS, GAMES, TITLES, TURNED, StudyResults
from vlmgym.studies.study import BASE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


# ---- success and perception while training
def draw_training(results: StudyResults, title: str) -> Figure | None:
    """Success above, exact descriptions below, a column for each game."""
    note = (
        "Greedy answers. Thick: mean over training seeds; thin: each seed. Dotted: the teacher; "
        "grey: a random player."
    )
    figure = canvas(10, 4.6, title, note)
    any_line = False
    rows = (("success", "a move that works"), ("p_acc", "boards described exactly"))
    for column, (game, suffix) in enumerate(GAMES.items()):
        for row, (metric, label) in enumerate(rows):
            axes = figure.add_subplot(2, 4, 1 + column + 4 * row)
            for kind, name, colour in KINDS:
                curve = results.curve(f"{kind}-{suffix}", game, metric)
                any_line |= seed_lines(axes, curve, colour, name)
            if metric == "success":
                _draw_guides(axes, results, game)
                axes.set_title(TITLES[game])
            else:
                axes.set_xlabel("GRPO steps")
            axes.set_ylim(-0.03, 1.03)
            percent_axis(axes)
            if column == 0:
                axes.set_ylabel(label)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper right", ncols=2, frameon=False)
    return figure if any_line else None


def _draw_guides(axes: Axes, results: StudyResults, game: str) -> None:
    """The success of the teacher and of a random player."""
    for player, style in ((results.teacher, ":"), ("random", "-")):
        mean = results.value("states", game, player, "success").mean
        if not math.isnan(mean):
            axes.axhline(mean, color=GUIDE, lw=1, ls=style)


# ---- tiles that are hard to see
_QUANTITIES = (
    ("cells", "cells described", COLOURS[4]),
    ("p_acc", "P_acc: boards described exactly", COLOURS[0]),
    ("r_acc", "R_acc: success where they are", COLOURS[1]),
    ("success", "success", COLOURS[2]),
)
"""Metric, label and colour."""


def draw_bootstrapping(results: StudyResults, title: str) -> Figure | None:
    """Perception and play on turned tiles while training, a panel for G0 and one for G1."""
    runs = [f"{kind}-turned" for kind, _, _ in KINDS]
    if not any(len(results.curve(run, TURNED, "success")[0]) for run in runs):
        return None
    recipe = next(run for run in results.study.runs if run.endswith("-turned"))
    task = results.study.recipe(recipe, results.study.seeds[0]).tasks[0]
    note = (
        f"Shisen-Sho, tiles turned by up to {get_look(task.look).rotation:g} degrees. Solid: "
        "held-out states, greedy answers; dotted: training states, sampled answers (mean of ten "
        "steps). Thick: mean over seeds."
    )
    figure = canvas(7.5, 3.6, title, note)
    panels = figure.subplots(1, 2)
    for axes, (kind, name, _) in zip(panels, KINDS, strict=False):
        for metric, label, colour in _QUANTITIES:
            curve = results.curve(f"{kind}-turned", TURNED, metric)
            seed_lines(axes, curve, colour, label)
            key = "rewards/cells/mean" if metric == "cells" else metric
            _draw_sampled(axes, results.training(f"{kind}-turned", key), colour)
        axes.set_title(name)
        axes.set_ylim(-0.03, 1.03)
        axes.set_xlabel("GRPO steps")
        percent_axis(axes)
    legends = (axes.get_legend_handles_labels() for axes in panels)
    handles, labels = max(legends, key=lambda legend: len(legend[1]))
    panels[1].legend(handles, labels, loc="lower right", frameon=False)
    return figure


def _draw_sampled(axes: Axes, values: NDArray[np.float64], colour: str) -> None:
    """Running means of ``(seeds, steps)`` values that were logged at every step, dotted."""
    if not values.size or values.shape[1] < 10:
        return
    smooth = np.array([_running(line) for line in values])
    steps = np.arange(smooth.shape[1]) + 5.5
    axes.plot(steps, np.nanmean(smooth, axis=0), ":", color=colour, lw=1.4)


def _running(line: NDArray[np.float64], size: int = 10) -> NDArray[np.float64]:
    """Means of ``size`` neighbours, leaving out what is not known."""
    means = []
    for window in np.lib.stride_tricks.sliding_window_view(line, size):
        means.append(np.nan if np.isnan(window).all() else np.nanmean(window))
    return np.array(means)


# ---- faults while training
class _FaultColumn(NamedTuple):
    suffix: str  # of the runs
    game: str
    title: str

    def runs(self) -> set[str]:
        """G0 and G1."""
        return {f"g0-{self.suffix}", f"g1-{self.suffix}"}


def draw_faults(results: StudyResults, title: str) -> Figure | None:
    """Shares of faults over the steps: G0 above, G1 below, a column for each game."""
    note = (
        "Shares of held-out states, means over training seeds. Moves are replayed on the board "
        "as it was described."
    )
    columns = [_FaultColumn(suffix, game, TITLES[game]) for game, suffix in GAMES.items()]
    columns.append(_FaultColumn("turned", TURNED, "Shisen-Sho, turned tiles"))
    trained = {run for run, _ in results.trained()}
    columns = [column for column in columns if trained & column.runs()]
    if not columns:
        return None
    figure = canvas(12, 4.6, title, note)
    rows = (("g0", "G0, from the base"), ("g1", "G1, from the cold start"))
    for row, (kind, label) in enumerate(rows):
        for number, column in enumerate(columns):
            axes = figure.add_subplot(2, len(columns), 1 + number + len(columns) * row)
            _draw_shares(axes, results, f"{kind}-{column.suffix}", column.game)
            axes.set_ylim(0, 1)
            percent_axis(axes)
            if row == 0:
                axes.set_title(column.title.replace(", ", ",\n"))
            else:
                axes.set_xlabel("GRPO steps")
            if number == 0:
                axes.set_ylabel(label)
    drawn = next(axes for axes in figure.axes if axes.collections)
    handles, labels = drawn.get_legend_handles_labels()
    names = [fill(name, 20) for name in reversed(labels)]
    figure.legend(handles[::-1], names, loc="outside right upper", frameon=False)
    return figure


def _draw_shares(axes: Axes, results: StudyResults, run: str, game: str) -> None:
    """The shares of all faults of a run, one upon the other."""
    curves = [results.curve(run, game, f"fault_{fault.value}") for fault in Fault]
    steps = curves[0][0]
    if not len(steps):
        return
    shares = [np.nan_to_num(values).mean(axis=0) for _, values in curves]
    colours = [fault.colour for fault in Fault]
    meanings = [fault.meaning for fault in Fault]
    axes.stackplot(steps, shares, colors=colours, labels=meanings)
    axes.set_xlim(steps[0], steps[-1])


# ---- difficulty
class _Player(NamedTuple):
    label: str
    name: str
    colour: str


def draw_difficulty(results: StudyResults, title: str) -> Figure | None:
    """Success and exact descriptions, a row for each game, a column for each dial."""
    if not any(evaluation.startswith("difficulty") for evaluation, _ in results.evaluated):
        return None
    note = (
        "Held-out states of each game, greedy answers, one model a game. Solid: success; dotted: "
        "boards described exactly. The models were trained at the leftmost point alone, and on "
        "boards of 4 x 4; turned: G1 trained on turned tiles."
    )
    figure = canvas(11, 6.2, title, note)
    grid = figure.subplots(len(GAMES), len(DIALS), sharey=True)
    for row, (game, suffix) in enumerate(GAMES.items()):
        players = [
            _Player("base", BASE, GREY),
            _Player("G0", f"g0-{suffix}", COLOURS[1]),
            _Player("G1", f"g1-{suffix}", COLOURS[0]),
        ]
        if game == TURNED:
            players.append(_Player("G1, turned", "g1-turned", COLOURS[3]))
        for column, dial in enumerate(DIALS):
            axes = grid[row][column]
            for player in players:
                _draw_along(axes, results, game, dial, player)
            if dial == "contrast":
                axes.invert_xaxis()
            axes.set_ylim(-0.03, 1.03)
            percent_axis(axes)
            if row == 0:
                axes.set_title({"rows": "rows of the board"}.get(dial, dial))
            if column == 0:
                axes.set_ylabel(TITLES[game].replace(", ", ",\n"))
    handles, labels = grid[list(GAMES).index(TURNED)][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper right", ncols=4, frameon=False)
    return figure


def _draw_along(axes: Axes, results: StudyResults, game: str, dial: str, player: _Player) -> None:
    """Success (solid) and exact descriptions (dotted) of a player along a dial."""
    evaluation = f"difficulty-{GAMES[game]}"
    tasks = results.along(evaluation, game, dial)
    for metric, style in (("success", "-"), ("p_acc", ":")):
        means = []
        for task in tasks.values():
            means.append(results.value(evaluation, task, player.name, metric).mean)
        if not all(map(math.isnan, means)):
            (line,) = axes.plot(list(tasks), means, style, color=player.colour)
            line.set(marker="o", markersize=2.5, linewidth=1.3)
            if metric == "success":
                line.set_label(player.label)
