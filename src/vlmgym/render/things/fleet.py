"""Sea, splashes and ships: what Battleship shows."""

from __future__ import annotations

import math
from types import MappingProxyType

from vlmgym.render.ink import Colour
from vlmgym.render.things.pencil import Pencil, Sprite

WATER: Colour = (66, 140, 200)
FOAM: Colour = (236, 246, 252)
HULL: Colour = (132, 138, 146)
WRECK: Colour = (44, 40, 42)
FIRE: Colour = (236, 72, 24)
FLAME: Colour = (255, 214, 60)


def _sea(pencil: Pencil) -> None:
    """Two rows of waves."""
    wave = (166, 208, 238)
    for row, left in ((0.36, 0.16), (0.68, 0.4)):
        for start in (left, left + 0.22):
            pencil.line(start, row, start + 0.11, row - 0.09, colour=wave, widths=1)
            pencil.line(start + 0.11, row - 0.09, start + 0.22, row, colour=wave, widths=1)


def _miss(pencil: Pencil) -> None:
    """A splash: two rings and a drop."""
    pencil.disc(0.14, 0.14, 0.86, 0.86, outline=FOAM)
    pencil.disc(0.32, 0.32, 0.68, 0.68, fill=FOAM)


def _burst(pencil: Pencil, radius: float, colour: Colour) -> None:
    corners = []
    for corner in range(16):
        angle = math.pi * corner / 8
        reach = radius if corner % 2 == 0 else 0.55 * radius
        corners.append((0.5 + reach * math.sin(angle), 0.5 - reach * math.cos(angle)))
    pencil.polygon(corners, fill=colour)


def _hit(pencil: Pencil) -> None:
    """A fire on a grey deck."""
    pencil.box(0.1, 0.1, 0.9, 0.9, fill=HULL, outline=(70, 74, 82))
    _burst(pencil, 0.38, FIRE)
    _burst(pencil, 0.2, FLAME)


def _sunk(pencil: Pencil) -> None:
    """A part of a wreck, which goes on in the parts beside it, with a red cross."""
    near = 0.14
    far = 1 - near
    pencil.disc(near, near, far, far, fill=WRECK)
    middle = (near, near, far, far)
    for side in range(4):
        if pencil.joined(side):
            left, top, right, bottom = middle
            if side == 0:
                top, bottom = 0.0, 0.5
            elif side == 1:
                left, right = 0.5, 1.0
            elif side == 2:
                top, bottom = 0.5, 1.0
            else:
                left, right = 0.0, 0.5
            pencil.box(left, top, right, bottom, fill=WRECK, outline=WRECK)
    cross = (232, 60, 60)
    pencil.line(0.34, 0.34, 0.66, 0.66, colour=cross, widths=3)
    pencil.line(0.34, 0.66, 0.66, 0.34, colour=cross, widths=3)


SPRITES = MappingProxyType(
    {
        "sea": Sprite(_sea, WATER),
        "miss": Sprite(_miss, WATER),
        "hit": Sprite(_hit, WATER),
        "sunk": Sprite(_sunk, WATER),
    }
)
"""Their drawings, by name."""
