"""Coloured blocks: what Tetris shows."""

from __future__ import annotations

from functools import partial
from types import MappingProxyType

from vlmgym.render.ink import Colour
from vlmgym.render.things.pencil import Pencil, Sprite
from vlmgym.render.things.world import nothing

WELL: Colour = (232, 234, 240)
BLOCKS = MappingProxyType(
    {
        "cyan": (40, 196, 222),
        "yellow": (246, 208, 30),
        "purple": (140, 50, 190),
        "green": (40, 160, 60),
        "red": (216, 36, 40),
        "blue": (34, 70, 206),
        "orange": (246, 130, 20),
        "pink": (250, 150, 190),
        "brown": (122, 74, 40),
    }
)
"""Colours of the blocks."""


def _shade(colour: Colour, share: float, towards: int) -> Colour:
    """A colour moved to black (0) or white (255)."""
    red, green, blue = (round(part + share * (towards - part)) for part in colour)
    return red, green, blue


def _block(colour: Colour, pencil: Pencil) -> None:
    bright = _shade(colour, 0.45, 255)
    dark = _shade(colour, 0.4, 0)
    pencil.polygon([(0.04, 0.04), (0.96, 0.04), (0.04, 0.96)], fill=bright)
    pencil.polygon([(0.96, 0.96), (0.96, 0.04), (0.04, 0.96)], fill=dark)
    pencil.polygon([(0.16, 0.16), (0.84, 0.16), (0.84, 0.84), (0.16, 0.84)], fill=colour)


SPRITES = MappingProxyType(
    {
        "free": Sprite(nothing, WELL),
        **{
            f"{name} block": Sprite(partial(_block, colour), colour)
            for name, colour in BLOCKS.items()
        },
    }
)
"""Their drawings, by name."""
