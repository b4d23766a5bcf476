"""Pegs and discs: what Towers of Hanoi shows. A column of cells is one peg on its foot."""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType

from vlmgym.render.ink import DARK, LIGHT, Colour, luminance
from vlmgym.render.things.pencil import Pencil, Sprite

WALL: Colour = (236, 228, 210)
WOOD: Colour = (150, 104, 62)
DISCS: tuple[Colour, ...] = (
    (206, 40, 44),
    (244, 138, 30),
    (248, 214, 48),
    (64, 158, 62),
    (54, 176, 196),
    (38, 76, 190),
    (128, 56, 160),
)
"""Colours of the discs, the smallest first."""
NARROWEST = 0.44
WIDEST = 0.98
"""Widths of the smallest and of the largest disc, as shares of a cell's side."""


def _peg(pencil: Pencil) -> None:
    # the ground has round corners only at the ends of the column
    if pencil.joined(0):
        pencil.polygon([(0, 0), (1, 0), (1, 0.5), (0, 0.5)], fill=WALL)
    if pencil.joined(2):
        pencil.polygon([(0, 0.5), (1, 0.5), (1, 1), (0, 1)], fill=WALL)
    tip = 0.0 if pencil.joined(0) else 0.22
    pencil.polygon([(0.45, tip), (0.55, tip), (0.55, 1), (0.45, 1)], fill=WOOD)
    if not pencil.joined(2):
        pencil.polygon([(0.02, 0.91), (0.98, 0.91), (0.98, 1), (0.02, 1)], fill=WOOD)


def _slab(pencil: Pencil, width: float, inset: float, fill: Colour) -> None:
    """A slab that lies on the one in the next cell, or on the foot; smaller all around by an
    inset.
    """
    left = 0.5 - width / 2 + inset
    right = 1 - left
    top = 0.02 + inset
    bottom = (1.0 if pencil.joined(2) else 0.91) - inset
    cut = 0.06
    foot = 0.0 if pencil.joined(2) else cut
    corners = [
        (left + cut, top),
        (right - cut, top),
        (right, top + cut),
        (right, bottom - foot),
        (right - foot, bottom),
        (left + foot, bottom),
        (left, bottom - foot),
        (left, top + cut),
    ]
    pencil.polygon(corners, fill=fill)


def _width_of(size: int) -> float:
    return NARROWEST + (WIDEST - NARROWEST) * size / (len(DISCS) - 1)


def _disc(size: int) -> Callable[[Pencil], None]:
    width = _width_of(size)

    def draw(pencil: Pencil) -> None:
        _peg(pencil)
        _slab(pencil, width, 0.0, fill=DARK)
        _slab(pencil, width, 0.035, fill=DISCS[size])

    return draw


def _ink_on(fill: Colour) -> Colour:
    return DARK if luminance(fill) > 0.19 else LIGHT


SPRITES = MappingProxyType(
    {
        "peg": Sprite(_peg, WALL),
        **{
            f"disc {size + 1}": Sprite(
                _disc(size),
                WALL,
                label=str(size + 1),
                ink=_ink_on(colour),
                label_size=(min(0.3, _width_of(size) - 0.1), 0.5),
            )
            for size, colour in enumerate(DISCS)
        },
    }
)
"""Their drawings, by name."""
