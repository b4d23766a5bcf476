"""A road with cars on it: what Rush Hour shows."""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType

from vlmgym.render.ink import DARK, LIGHT, Colour, luminance
from vlmgym.render.things.pencil import Pencil, Sprite

ROAD: Colour = (198, 202, 208)
ARROW: Colour = (120, 126, 136)
PAINTS = MappingProxyType(
    {
        "red A": (222, 30, 36),
        "blue B": (44, 104, 236),
        "yellow C": (252, 214, 24),
        "green D": (20, 136, 52),
        "purple E": (128, 44, 186),
        "orange F": (255, 130, 10),
        "cyan G": (60, 206, 236),
        "brown H": (122, 70, 32),
        "pink I": (255, 158, 196),
        "lime J": (156, 232, 46),
        "navy K": (22, 30, 104),
        "white L": (255, 255, 255),
        "teal M": (0, 116, 122),
    }
)
"""The paint of each car."""
EDGE = 0.09
"""From the side of a cell to a car on it."""


def _road(pencil: Pencil) -> None:
    """The road; where it goes out, an arrow leads there."""
    if pencil.joined(1):
        pencil.line(0.2, 0.5, 0.7, 0.5, colour=ARROW, widths=3)
        pencil.polygon([(0.62, 0.26), (0.96, 0.5), (0.62, 0.74)], fill=ARROW)


def _car(paint: Colour) -> Callable[[Pencil], None]:
    red, green, blue = paint
    rim = red * 5 // 9, green * 5 // 9, blue * 5 // 9

    def draw(pencil: Pencil) -> None:
        joins = pencil.joins
        is_across_exit = pencil.joined(1) and (pencil.joined(0) or pencil.joined(2))
        if is_across_exit:
            joins &= ~2
        pencil.body(EDGE, 0.3, rim, joins)
        pencil.body(EDGE + 0.06, 0.24, paint, joins)
        if is_across_exit:
            pencil.polygon([(0.78, 0.28), (1.0, 0.5), (0.78, 0.72)], fill=LIGHT)
            pencil.polygon([(0.82, 0.38), (0.96, 0.5), (0.82, 0.62)], fill=DARK)

    return draw


SPRITES = MappingProxyType(
    {
        "road": Sprite(_road, ROAD),
        **{
            name: Sprite(
                _car(paint),
                ROAD,
                label=name[-1],
                ink=DARK if luminance(paint) > 0.2 else LIGHT,
                label_size=(0.5, 0.42),
            )
            for name, paint in PAINTS.items()
        },
    }
)
"""Their drawings, by name; each cell of a car has its letter."""
