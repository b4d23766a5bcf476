"""Digits that are printed or written by hand in blue: what Sudoku and Binairo show."""

from __future__ import annotations

from types import MappingProxyType

from vlmgym.render.ink import DARK, Colour
from vlmgym.render.things.pencil import Sprite
from vlmgym.render.things.world import nothing

SHEET: Colour = (255, 252, 228)
PRINT: Colour = (208, 205, 196)
"""What given digits stand on."""
BLUE: Colour = (20, 70, 220)
"""The ink of written digits."""

SPRITES = MappingProxyType(
    {
        "blank": Sprite(nothing, SHEET),
        **{f"given {digit}": Sprite(nothing, PRINT, str(digit), DARK) for digit in range(10)},
        **{f"written {digit}": Sprite(nothing, SHEET, str(digit), BLUE) for digit in range(10)},
    }
)
"""Their drawings, by name."""
