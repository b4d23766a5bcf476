"""Pictures of means with their intervals: what the base knows, scores, interventions."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from vlmgym.evals.estimates import Estimate
from vlmgym.report.plots import COLOURS, canvas
from vlmgym.studies.g1.axes import FAINT, GREY, GUIDE, error_bars, percent_axis, row_labels
from vlmgym.studies.g1.findings import (
    GAMES,
    INTERVENTIONS,
    TITLES,
    TURNED,
    StudyResults,
    knowing,
    scores,
)
from vlmgym.studies.study import BASE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


# ---- what the base knows
_KNOWING = {
    "describes the whole board": ("p_acc", COLOURS[0]),
    "knows a move when asked\nwhat moves would do": ("knows", COLOURS[0]),
    "makes a move that works": ("success", COLOURS[1]),
    "a random player": ("random", GREY),
}
"""Rows: the number of :func:`knowing`, and its colour."""


def draw_gap(results: StudyResults, title: str) -> Figure | None:
    """What the base sees, knows and does, a panel for each game."""
    table = knowing(results)
    if all(math.isnan(table[game]["success"].mean) for game in GAMES):
        return None
    note = (
        "Share of held-out states, greedy answers of the untrained embedded model; 95% intervals."
    )
    figure = canvas(10, 2.5, title, note)
    panels = figure.subplots(1, 4, sharey=True)
    for axes, game in zip(panels, GAMES, strict=True):
        for position, (key, colour) in enumerate(reversed(_KNOWING.values())):
            _draw_bar(axes, position, table[game][key], colour)
        row_labels(axes, list(_KNOWING))
        axes.set_xlim(0, 1)
        axes.set_title(TITLES[game])
        percent_axis(axes, "x")
    return figure


def _draw_bar(axes: Axes, position: int, estimate: Estimate, colour: str) -> None:
    """A lying bar with its interval and its number."""
    mean = estimate.mean
    if math.isnan(mean):
        return
    axes.barh(position, mean, color=colour, alpha=0.85, height=0.62)
    bars = error_bars(estimate)
    axes.errorbar(mean, position, xerr=bars, fmt="none", ecolor="#1d2330", lw=1.2)
    axes.text(1.03, position, f"{mean:.0%}", va="center", fontsize=8, clip_on=False)


# ---- scores of whole games
def draw_scores(results: StudyResults, title: str) -> Figure | None:
    """Scores of all models, a panel for each game, on a scale from random play to the oracle."""
    rows = dict(scores(results))
    if all(math.isnan(estimate.mean) for estimate in rows["random"].values()):
        return None
    models = [name for name in rows if name not in ("random", "oracle")]
    note = (
        "Scores of whole games, sampled answers; means, 95% intervals. 0 = random play, 100 = "
        "the oracle. Dotted: the teacher."
    )
    figure = canvas(10, 3.2, title, note)
    panels = figure.subplots(1, 4, sharey=True)
    for axes, game in zip(panels, GAMES, strict=True):
        low = rows["random"][game].mean
        high = rows["oracle"][game].mean
        for position, name in enumerate(reversed(models)):
            score = rows[name][game]
            if high != low and not math.isnan(score.mean + low + high):
                scale = 100 / (high - low)
                _draw_score(axes, position, name, (score.mean - low) * scale, score, scale)
        row_labels(axes, models)
        axes.set_title(TITLES[game])
        axes.axvline(0, color="#c4cad4", lw=0.8)
        axes.grid(axis="x", color=FAINT, lw=0.8)
        axes.set_xlabel("% of the way to the oracle")
    return figure


def _draw_score(
    axes: Axes, position: int, name: str, percent: float, score: Estimate, scale: float
) -> None:
    """A model's score, ``percent`` of the way to the oracle."""
    is_teacher = name.startswith("the teacher")
    colour = COLOURS[0] if name.startswith("G1") else GREY
    if is_teacher:
        colour = COLOURS[1]
    bars = error_bars(score, scale)
    axes.errorbar(percent, position, xerr=bars, fmt="o", color=colour, ms=6, lw=1.6)
    if is_teacher:
        axes.axvline(percent, color=colour, lw=0.9, ls=":")


# ---- interventions
_INTERVENTION_PANELS = (
    ("turned", "p_acc", "boards described,\ngreedy"),
    ("turned-sampled", "p_acc", "boards described,\nsampled"),
    ("turned", "success", "a move that works,\ngreedy"),
    ("turned-sampled", "success", "a move that works,\nsampled"),
)
"""Evaluation, metric and title."""


def draw_interventions(results: StudyResults, title: str) -> Figure | None:
    """Perception and play of G0 on turned tiles, trained in several ways."""
    labels = {}
    for run, label in {BASE: "before: the base", **INTERVENTIONS}.items():
        if results.table("turned", TURNED, run, "success").size:
            labels[run] = label
    if not labels.keys() - {BASE}:
        return None
    note = (
        "G0 on Shisen-Sho with turned tiles, held-out states; means and 95% intervals. Dashed: "
        "the base, before RL."
    )
    figure = canvas(11, 0.9 + 0.34 * len(labels), title, note)
    panels = figure.subplots(1, 4, sharey=True)
    for axes, panel in zip(panels, _INTERVENTION_PANELS, strict=True):
        evaluation, metric, panel_title = panel
        for position, run in enumerate(reversed(labels)):
            estimate = results.value(evaluation, TURNED, run, metric)
            _draw_intervention(axes, position, estimate, run == BASE)
        row_labels(axes, list(labels.values()))
        axes.set_ylim(-0.6, len(labels) - 0.4)
        axes.set_xlim(0, 1)
        axes.set_title(panel_title)
        percent_axis(axes, "x")
    return figure


def _draw_intervention(axes: Axes, position: int, estimate: Estimate, is_base: bool) -> None:
    mean = estimate.mean
    if math.isnan(mean):
        return
    colour = GREY if is_base else COLOURS[0]
    bars = error_bars(estimate)
    axes.errorbar(mean, position, xerr=bars, fmt="o", color=colour, ms=6, lw=1.6)
    if is_base:
        axes.axvline(mean, color=GUIDE, lw=0.8, ls="--")
