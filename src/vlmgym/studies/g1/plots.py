"""The pictures of a study's report."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from vlmgym.report.plots import STYLE
from vlmgym.studies.g1.bars import draw_gap, draw_interventions, draw_scores
from vlmgym.studies.g1.curves import (
    draw_bootstrapping,
    draw_difficulty,
    draw_faults,
    draw_training,
)
from vlmgym.studies.g1.findings import StudyResults

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Drawer = Callable[[StudyResults, str], "Figure | None"]
"""Draws a picture under a title; None where nothing was measured."""

PICTURES: dict[str, tuple[str, Drawer]] = {
    "gap": (
        "The base sees the boards, names moves when asked, and guesses when it plays",
        draw_gap,
    ),
    "scores": ("Scores of whole games, between random play and the oracle", draw_scores),
    "training": ("Success on held-out states while G0 and G1 are trained", draw_training),
    "bootstrapping": (
        "Tiles that are hard to see, while G0 and G1 are trained",
        draw_bootstrapping,
    ),
    "interventions": (
        "What changes when the vision tower or the reward is held fixed",
        draw_interventions,
    ),
    "faults": (
        "What fails while G0 and G1 are trained: the description, the move, or both",
        draw_faults,
    ),
    "difficulty": ("Success and perception as the picture gets harder", draw_difficulty),
}
"""By file name: the title, and what draws it."""


def draw(results: StudyResults) -> list[tuple[str, str]]:
    """Draw the pictures of the story into the study's folder; returns their file names and
    titles.
    """
    import matplotlib

    drawn = []
    with matplotlib.rc_context(STYLE):
        for name, (title, draw_picture) in PICTURES.items():
            figure = draw_picture(results, title)
            if figure is not None:
                figure.savefig(results.out / f"{name}.png")
                drawn.append((f"{name}.png", title))
    return drawn
