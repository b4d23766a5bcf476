"""Coloured ground, queens and crosses on it: what Queens and FloodIt show."""

from __future__ import annotations

from types import MappingProxyType

from vlmgym.games.parts.areas import COLOURS
from vlmgym.render.ink import DARK, LIGHT, Colour
from vlmgym.render.things.pencil import Pencil, Sprite
from vlmgym.render.things.world import nothing

GROUNDS = MappingProxyType(
    dict(
        zip(
            COLOURS,
            (
                (222, 50, 44),
                (255, 232, 80),
                (60, 168, 70),
                (40, 84, 220),
                (96, 32, 132),
                (255, 150, 24),
                (100, 216, 232),
                (255, 178, 208),
                (150, 150, 154),
            ),
            strict=True,
        )
    )
)
"""The colours of areas, each lighter or darker than the others."""
_CROWN: tuple[tuple[float, float], ...] = (
    (0.24, 0.74),
    (0.16, 0.32),
    (0.36, 0.5),
    (0.5, 0.22),
    (0.64, 0.5),
    (0.84, 0.32),
    (0.76, 0.74),
)
_PEARLS = ((0.16, 0.3), (0.5, 0.2), (0.84, 0.3))


def _crown(pencil: Pencil, colour: Colour, growth: float) -> None:
    """A crown, with an edge that is so much further out."""
    points = [(0.5 + (x - 0.5) * (1 + growth), 0.5 + (y - 0.5) * (1 + growth)) for x, y in _CROWN]
    pencil.polygon(points, fill=colour)
    radius = 0.06 + growth / 3
    for x, y in _PEARLS:
        pencil.disc(x - radius, y - radius, x + radius, y + radius, fill=colour)


def _queen(pencil: Pencil) -> None:
    _crown(pencil, LIGHT, 0.16)
    _crown(pencil, DARK, 0.0)
    pencil.line(0.3, 0.66, 0.7, 0.66, colour=LIGHT, widths=1)


def _cross(pencil: Pencil) -> None:
    for colour, widths in ((LIGHT, 4), (DARK, 2)):
        pencil.line(0.36, 0.36, 0.64, 0.64, colour=colour, widths=widths)
        pencil.line(0.36, 0.64, 0.64, 0.36, colour=colour, widths=widths)


SPRITES = MappingProxyType(
    {
        **{name: Sprite(nothing, colour) for name, colour in GROUNDS.items()},
        **{f"{name} queen": Sprite(_queen, colour) for name, colour in GROUNDS.items()},
        **{f"{name} mark": Sprite(_cross, colour) for name, colour in GROUNDS.items()},
    }
)
"""Their drawings, by name."""
