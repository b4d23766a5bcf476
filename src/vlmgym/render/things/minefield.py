"""Hidden cells, flags, mines and counts: what Minesweeper shows."""

from __future__ import annotations

import math
from types import MappingProxyType

from vlmgym.render.ink import DARK, LIGHT, PAPER, Colour
from vlmgym.render.things.pencil import Pencil, Sprite
from vlmgym.render.things.world import nothing, pennant

STONE: Colour = (178, 184, 194)
COUNTS: tuple[Colour, ...] = (
    (30, 80, 220),
    (20, 130, 40),
    (214, 30, 30),
    (20, 20, 120),
    (130, 20, 20),
    (0, 120, 120),
    (20, 20, 20),
    (110, 110, 118),
)
"""Colours of the counts 1 to 8 on Minesweeper's open cells."""


def _hidden(pencil: Pencil) -> None:
    bright = (232, 236, 242)
    shade = (84, 92, 108)
    pencil.line(0.05, 0.06, 0.95, 0.06, colour=bright)
    pencil.line(0.06, 0.05, 0.06, 0.95, colour=bright)
    pencil.line(0.05, 0.94, 0.95, 0.94, colour=shade)
    pencil.line(0.94, 0.05, 0.94, 0.95, colour=shade)


def _flag(pencil: Pencil) -> None:
    pennant(pencil, (214, 30, 30))
    _hidden(pencil)


def _mine(pencil: Pencil) -> None:
    for eighth in range(4):
        angle = math.pi * eighth / 4
        right = 0.38 * math.cos(angle)
        down = 0.38 * math.sin(angle)
        pencil.line(0.5 - right, 0.5 - down, 0.5 + right, 0.5 + down, colour=DARK)
    pencil.disc(0.25, 0.25, 0.75, 0.75, fill=DARK)
    pencil.disc(0.36, 0.34, 0.48, 0.46, fill=LIGHT)


SPRITES = MappingProxyType(
    {
        "hidden": Sprite(_hidden, STONE),
        "flag": Sprite(_flag, STONE),
        "mine": Sprite(_mine, (236, 90, 80)),
        "0": Sprite(nothing, PAPER),
        **{
            str(count): Sprite(nothing, PAPER, label=str(count), ink=colour)
            for count, colour in enumerate(COUNTS, 1)
        },
    }
)
"""Their drawings, by name; counts are written."""
