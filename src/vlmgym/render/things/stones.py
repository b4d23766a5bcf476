"""Marks on paper, and discs in an upright board: what TicTacToe and ConnectFour show."""

from __future__ import annotations

from types import MappingProxyType

from vlmgym.render.ink import Colour
from vlmgym.render.things.pencil import Pencil, Sprite
from vlmgym.render.things.world import nothing

PAD: Colour = (255, 249, 214)
"""Of the paper for marks, which is another than that of Minesweeper's open cells."""
BLUE: Colour = (26, 84, 204)
"""Of the upright board."""
_EDGE: Colour = (14, 48, 132)
_RIM = (0.07, 0.07, 0.93, 0.93)


def _cross(pencil: Pencil) -> None:
    ink = (196, 40, 44)
    pencil.line(0.2, 0.2, 0.8, 0.8, colour=ink, widths=4)
    pencil.line(0.2, 0.8, 0.8, 0.2, colour=ink, widths=4)


def _nought(pencil: Pencil) -> None:
    pencil.disc(0.17, 0.17, 0.83, 0.83, outline=(30, 78, 190), widths=4)


def _board(pencil: Pencil) -> None:
    """Without the round corners of a tile, as the board goes on."""
    pencil.polygon([(0, 0), (1, 0), (1, 1), (0, 1)], fill=BLUE)


def _opening(pencil: Pencil) -> None:
    _board(pencil)
    pencil.disc(*_RIM, fill=(238, 242, 248), outline=_EDGE)


def _disc(pencil: Pencil, bright: Colour, dark: Colour) -> None:
    _board(pencil)
    pencil.disc(*_RIM, fill=bright, outline=_EDGE)
    pencil.disc(0.2, 0.2, 0.8, 0.8, outline=dark, widths=1)


def _red(pencil: Pencil) -> None:
    _disc(pencil, bright=(222, 36, 40), dark=(142, 12, 20))


def _yellow(pencil: Pencil) -> None:
    _disc(pencil, bright=(252, 212, 26), dark=(190, 146, 0))


SPRITES = MappingProxyType(
    {
        "no mark": Sprite(nothing, PAD),
        "X": Sprite(_cross, PAD),
        "O": Sprite(_nought, PAD),
        "no disc": Sprite(_opening, BLUE),
        "red disc": Sprite(_red, BLUE),
        "yellow disc": Sprite(_yellow, BLUE),
    }
)
"""Their drawings, by name."""
