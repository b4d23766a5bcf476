"""Cards that lie face down: what Memory shows beside shapes, letters or photographs."""

from __future__ import annotations

from types import MappingProxyType

from vlmgym.games.parts.tile_kinds import FACE_DOWN
from vlmgym.render.ink import PAPER, Colour
from vlmgym.render.things.pencil import Pencil, Sprite

BACK: Colour = (34, 66, 140)
THREAD: Colour = (150, 178, 232)
STEPS = 4
"""Lozenges of a card's back side by side."""


def _back(pencil: Pencil) -> None:
    """A white rim around a field of lozenges, as playing cards have it."""
    pencil.box(0.11, 0.11, 0.89, 0.89, fill=BACK, outline=BACK)
    low = 0.15
    high = 0.85
    step = (high - low) / STEPS
    for number in range(1, 2 * STEPS):
        near = min(number, STEPS) * step
        far = max(number - STEPS, 0) * step
        pencil.line(low + far, low + near, low + near, low + far, colour=THREAD, widths=1)
        pencil.line(low + far, high - near, low + near, high - far, colour=THREAD, widths=1)


SPRITES = MappingProxyType({FACE_DOWN: Sprite(_back, PAPER)})
"""Their drawings, by name."""
