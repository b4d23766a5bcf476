"""What the pictures of a study's report share: error bars, axes of shares, lines of seeds."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vlmgym.evals.estimates import Estimate
from vlmgym.report.plots import COLOURS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

GREY = "#6b7280"
FAINT = "#e1e5ec"
GUIDE = "#8b93a1"
"""Of lines to compare with."""
KINDS = (
    ("g0", "G0 (RL from the base)", COLOURS[1]),
    ("g1", "G1 (RL from the cold start)", COLOURS[0]),
)
"""How runs begin, what they are called, and their colour."""


def error_bars(estimate: Estimate, scale: float = 1.0) -> list[list[float]]:
    """Lengths below and above a mean, for Matplotlib; 0 where there is no interval."""
    if math.isnan(estimate.low):
        return [[0.0], [0.0]]
    below = max(estimate.mean - estimate.low, 0.0)
    above = max(estimate.high - estimate.mean, 0.0)
    return [[below * scale], [above * scale]]


def percent_axis(axes: Axes, direction: str = "y") -> None:
    """Shares in per cent along ``"x"`` or ``"y"``, with a faint grid."""
    axis = axes.yaxis if direction == "y" else axes.xaxis
    axis.set_major_formatter(lambda value, _: f"{value:.0%}")
    axes.grid(axis=direction, color=FAINT, lw=0.8)  # type: ignore[arg-type]
    axes.set_axisbelow(True)


def row_labels(axes: Axes, labels: list[str]) -> None:
    """Labels of rows, the first at the top."""
    axes.set_yticks(range(len(labels)), list(reversed(labels)))


def seed_lines(
    axes: Axes,
    curve: tuple[NDArray[np.int64], NDArray[np.float64]],
    colour: str,
    label: str,
) -> bool:
    """A thin line for each seed and a thick one for their mean; whether there was anything to
    draw.

    Args:
        axes: of the picture.
        curve: steps, and values ``(seeds, steps)``.
        colour: of the lines.
        label: of the thick one.
    """
    steps, values = curve
    if not len(values):
        return False
    for line in values:
        axes.plot(steps, line, "-", color=colour, lw=0.6, alpha=0.45)
    mean = values[0] if np.isnan(values).all() else np.nanmean(values, axis=0)
    axes.plot(steps, mean, "-", color=colour, lw=2, label=label)
    return True
