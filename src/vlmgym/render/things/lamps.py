"""Lamps: what Lights Out shows."""

from __future__ import annotations

import math
from types import MappingProxyType

from vlmgym.render.ink import Colour
from vlmgym.render.things.pencil import Pencil, Sprite

PANEL: Colour = (58, 64, 78)
"""What lamps are mounted on."""
GLOW: Colour = (255, 214, 40)
GLASS: Colour = (116, 124, 140)


def _bulb(pencil: Pencil, glass: Colour, edge: Colour) -> None:
    thread: Colour = (36, 38, 44)
    base = [(0.4, 0.64), (0.6, 0.64), (0.6, 0.8), (0.55, 0.86), (0.45, 0.86), (0.4, 0.8)]
    pencil.polygon(base, fill=(190, 194, 202))
    for height in (0.72, 0.79):
        pencil.line(0.4, height, 0.6, height, colour=thread, widths=1)
    pencil.disc(0.28, 0.22, 0.72, 0.68, fill=glass, outline=edge)


def _lamp_off(pencil: Pencil) -> None:
    _bulb(pencil, GLASS, (30, 32, 38))


def _lamp_on(pencil: Pencil) -> None:
    for ray in range(7):
        angle = math.pi * (ray - 3) / 4
        right = math.sin(angle)
        up = math.cos(angle)
        pencil.line(
            0.5 + 0.31 * right,
            0.45 - 0.31 * up,
            0.5 + 0.42 * right,
            0.45 - 0.42 * up,
            colour=GLOW,
        )
    _bulb(pencil, GLOW, (255, 246, 190))


SPRITES = MappingProxyType(
    {
        "lamp off": Sprite(_lamp_off, PANEL),
        "lamp on": Sprite(_lamp_on, PANEL),
    }
)
"""Their drawings, by name."""
