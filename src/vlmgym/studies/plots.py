"""The pictures of a study's report: claims, scores, training curves."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from vlmgym.evals.estimates import Estimate
from vlmgym.evals.metrics import METRICS
from vlmgym.evals.reading import headline
from vlmgym.report.plots import COLOURS, STYLE, canvas
from vlmgym.studies.claim import INDEX
from vlmgym.studies.results import StudyResults
from vlmgym.studies.sections import temperature_of
from vlmgym.studies.verdicts import FAILS, HOLDS, OPPOSITE, Verdict
from vlmgym.studies.writing import of_claim

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

GREY = "#6b7280"
FAINT = "#e1e5ec"
WORD_COLOURS = {HOLDS: COLOURS[2], OPPOSITE: COLOURS[1], FAILS: COLOURS[1]}
"""By verdict; grey for all that is not decided."""
CURVES = (("success", "-"), ("p_acc", ":"), ("follows", "--"))
"""Metrics of the training curves, and their lines."""
MOST_RUNS = 6
"""Curves in one panel."""


def draw(results: StudyResults, found: Sequence[Verdict]) -> list[tuple[str, str]]:
    """Draw the pictures into the study's folder; returns their file names and titles."""
    import matplotlib

    drawn = []
    with matplotlib.rc_context(STYLE):
        for name, title, figure in (
            ("claims", CLAIMS, draw_claims(found)),
            ("scores", SCORES, draw_scores(results)),
            ("training", TRAINING, draw_training(results)),
        ):
            if figure is not None:
                figure.savefig(results.out / f"{name}.png")
                drawn.append((f"{name}.png", title))
    return drawn


CLAIMS = "Primary claims with their 95 % intervals"
SCORES = "Who reaches what: the main number of each evaluation"
TRAINING = "Success and exact descriptions during training"


def error_bars(estimate: Estimate) -> list[list[float]]:
    """Lengths below and above a mean, for Matplotlib; 0 where there is no interval."""
    if not estimate.known:
        return [[0.0], [0.0]]
    return [[max(estimate.mean - estimate.low, 0.0)], [max(estimate.high - estimate.mean, 0.0)]]


def percent_axis(axes: Axes, direction: str = "y") -> None:
    """Shares in per cent along ``"x"`` or ``"y"``."""
    axis = axes.yaxis if direction == "y" else axes.xaxis
    axis.set_major_formatter(lambda value, _: f"{value:.0%}")


def _is_share(measure: str) -> bool:
    return measure == INDEX or METRICS[measure].percent


# ---- claims
def draw_claims(found: Sequence[Verdict]) -> Figure | None:
    """An interval for each primary claim, a panel for each kind of measure."""
    panels = defaultdict[bool, list[Verdict]](list)
    for verdict in found:
        if verdict.primary and not math.isnan(verdict.estimate.mean):
            panels[_is_share(verdict.claim.measure)].append(verdict)
    if not panels:
        return None
    heights = [len(verdicts) for verdicts in panels.values()]
    note = (
        "Difference with its 95 % interval; shaded: the margin within which equality is claimed. "
        "Arrows: what was expected. Green: holds; red: the opposite, or beyond the margin; grey: "
        "not decided (Holm)."
    )
    figure = canvas(9, 0.9 + 0.5 * sum(heights) + 0.4 * len(heights), CLAIMS, note)
    grid = figure.subplots(len(panels), 1, squeeze=False, height_ratios=heights)
    for axes, (is_share, verdicts) in zip(grid[:, 0], panels.items(), strict=True):
        _draw_panel(axes, verdicts)
        if is_share:
            percent_axis(axes, "x")
        else:
            axes.set_xlabel("points of the score")
    return figure


def _draw_panel(axes: Axes, verdicts: Sequence[Verdict]) -> None:
    """Claims of one kind, the first at the top."""
    for row, verdict in enumerate(reversed(verdicts)):
        claim = verdict.claim
        colour = WORD_COLOURS.get(verdict.word, GREY)
        if claim.expect == "equal":
            axes.barh(row, 2 * claim.margin, left=-claim.margin, height=0.7, color=FAINT)
        estimate = verdict.estimate
        bars = error_bars(estimate)
        axes.errorbar(estimate.mean, row, xerr=bars, fmt="o", color=colour, ms=6, lw=2)
        axes.annotate(
            f"{of_claim(claim, estimate)}  {verdict.word}",
            (1.01, row),
            xycoords=("axes fraction", "data"),
            va="center",
            size=8,
            color=colour,
        )
    arrows = {"greater": " →", "less": " ←", "equal": " ="}
    labels = [verdict.claim.name + arrows[verdict.claim.expect] for verdict in reversed(verdicts)]
    axes.set_yticks(range(len(labels)), labels)
    axes.set_ylim(-0.6, len(labels) - 0.4)
    axes.axvline(0, color=GREY, lw=0.9)
    axes.grid(axis="x", color=FAINT, lw=0.8)
    axes.set_axisbelow(True)


# ---- scores
def draw_scores(results: StudyResults) -> Figure | None:
    """The main number of all players, a panel for each task of each evaluation."""
    panels = []
    for (evaluation, task), by_player in results.evaluated.items():
        how = next(iter(next(iter(by_player.values())).values())).how
        tasks = sum(name == evaluation for name, _ in results.evaluated)
        if len(by_player) > 1 and tasks <= 4:
            panels.append((evaluation, task, headline(how)))
    panels = panels[:16]
    if not panels:
        return None
    columns = min(4, len(panels))
    rows = -(-len(panels) // columns)
    most = max(len(results.players(evaluation, task)) for evaluation, task, _ in panels)
    figure = canvas(12, rows * (0.9 + 0.2 * most), SCORES, "Means with 95 % intervals.")
    for number, (evaluation, task, metric) in enumerate(panels):
        axes = figure.add_subplot(rows, columns, number + 1)
        players = results.players(evaluation, task)
        for row, player in enumerate(reversed(players)):
            estimate = results.value(evaluation, task, player, metric)
            if not math.isnan(estimate.mean):
                bars = error_bars(estimate)
                axes.errorbar(estimate.mean, row, xerr=bars, fmt="o", color=COLOURS[0], ms=4)
        axes.set_yticks(range(len(players)), list(reversed(players)), size=7)
        temperature = temperature_of(results, evaluation)
        axes.set_title(f"{evaluation}, {task}\n{metric}, {temperature}", size=9)
        axes.grid(axis="x", color=FAINT, lw=0.8)
        axes.set_axisbelow(True)
        if _is_share(metric):
            axes.set_xlim(-0.03, 1.03)
            percent_axis(axes, "x")
    return figure


# ---- training
def draw_training(results: StudyResults) -> Figure | None:
    """Success (solid) and exact descriptions (dotted) of all runs, a panel for each game."""
    runs = defaultdict[str, list[str]](list)
    for run in results.study.runs:
        for game in results.checked_games(run):
            if len(results.curve(run, game, "success")[0]) > 1:
                runs[game].append(run)
    panels = [
        (game, names[start : start + MOST_RUNS])
        for game, names in runs.items()
        for start in range(0, len(names), MOST_RUNS)
    ]
    if not panels:
        return None
    columns = min(3, len(panels))
    rows = -(-len(panels) // columns)
    note = (
        "Checks on held-out states, greedy answers: mean over training seeds, shaded from the "
        "lowest to the highest. Solid: success; dotted: boards described exactly; dashed: think "
        "blocks that follow a given description, where that was checked."
    )
    figure = canvas(max(4.5 * columns, 6), 3.2 * rows, TRAINING, note)
    for number, (game, names) in enumerate(panels):
        axes = figure.add_subplot(rows, columns, number + 1)
        for colour, run in zip(COLOURS, names, strict=False):
            for metric, style in CURVES:
                _draw_curve(axes, results, (run, game, metric), style, colour)
        axes.set_title(game)
        axes.set_ylim(-0.03, 1.03)
        axes.set_xlabel("GRPO steps")
        percent_axis(axes)
        axes.grid(axis="y", color=FAINT, lw=0.8)
        axes.legend(frameon=False, fontsize=7)
    return figure


def _draw_curve(
    axes: Axes, results: StudyResults, curve: tuple[str, str, str], style: str, colour: str
) -> None:
    """The mean over the seeds, with their range; of success with the run's name.

    Args:
        axes: of the panel.
        results: of the study.
        curve: run, game and metric.
        style: of the line.
        colour: of the run.
    """
    run, _, metric = curve
    steps, table = results.curve(*curve)
    if np.isnan(table).all(axis=0).any():
        return
    label = run if metric == "success" else None
    axes.plot(steps, np.nanmean(table, axis=0), style, color=colour, lw=1.8, label=label)
    if metric == "success" and len(table) > 1:
        low, high = np.nanmin(table, axis=0), np.nanmax(table, axis=0)
        axes.fill_between(steps, low, high, color=colour, alpha=0.15, lw=0)
