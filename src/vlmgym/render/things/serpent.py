"""A snake and its food: what Snake shows. The body goes on over its cells, with an arrow on each
towards the head.
"""

from __future__ import annotations

from functools import partial
from types import MappingProxyType

from vlmgym.games.parts.actions import MOVES
from vlmgym.render.ink import DARK, LIGHT, Colour
from vlmgym.render.things.pencil import Pencil, Sprite

SKIN: Colour = (36, 128, 72)
ARROW: Colour = (244, 226, 96)
ARROW_UP = ((0.5, 0.24), (0.7, 0.58), (0.5, 0.48), (0.3, 0.58))
"""Corners of an arrow that points up."""
THIN = 0.25
"""How far the body stays from the sides of its cell."""
_EYES = ((0.36, 0.36), (0.64, 0.36))


def _turned(x: float, y: float, side: int) -> tuple[float, float]:
    """A point after so many quarter turns clockwise about the middle."""
    for _ in range(side):
        x, y = 1 - y, x
    return x, y


def _tube(pencil: Pencil) -> None:
    """The body from the middle of the cell to the sides over which it goes on."""
    low = THIN
    high = 1 - THIN
    pencil.disc(low, low, high, high, fill=SKIN)
    for side in range(4):
        if pencil.joined(side):
            corners = ((low, 0.0), (high, 0.0), (high, 0.5), (low, 0.5))
            pencil.polygon([_turned(x, y, side) for x, y in corners], fill=SKIN)


def _body(move: int, pencil: Pencil) -> None:
    is_tail = pencil.joins == 1 << move
    if is_tail:
        corners = ((THIN, 0.0), (1 - THIN, 0.0), (0.56, 0.94), (0.44, 0.94))
        pencil.polygon([_turned(x, y, move) for x, y in corners], fill=SKIN)
    else:
        _tube(pencil)
    pencil.polygon([_turned(x, y, move) for x, y in ARROW_UP], fill=ARROW)


def _ahead(pencil: Pencil) -> int:
    """Where the head looks: away from the body, up without one."""
    for side in range(4):
        if pencil.joined(side):
            return (side + 2) % 4
    return 0


def _skull(pencil: Pencil, colour: Colour) -> None:
    _tube(pencil)
    pencil.disc(0.14, 0.14, 0.86, 0.86, fill=colour)


def _head(pencil: Pencil) -> None:
    _skull(pencil, (20, 84, 48))
    for eye in _EYES:
        x, y = _turned(*eye, _ahead(pencil))
        pencil.disc(x - 0.11, y - 0.11, x + 0.11, y + 0.11, fill=LIGHT)
        pencil.disc(x - 0.05, y - 0.05, x + 0.05, y + 0.05, fill=DARK)


def _crashed(pencil: Pencil) -> None:
    _skull(pencil, (170, 40, 40))
    for eye in _EYES:
        x, y = _turned(*eye, _ahead(pencil))
        pencil.line(x - 0.09, y - 0.09, x + 0.09, y + 0.09, colour=LIGHT)
        pencil.line(x - 0.09, y + 0.09, x + 0.09, y - 0.09, colour=LIGHT)


def _apple(pencil: Pencil) -> None:
    pencil.disc(0.2, 0.28, 0.62, 0.84, fill=(206, 32, 44))
    pencil.disc(0.38, 0.28, 0.8, 0.84, fill=(206, 32, 44))
    pencil.line(0.5, 0.36, 0.56, 0.14, colour=(92, 58, 30))
    pencil.polygon([(0.56, 0.22), (0.68, 0.1), (0.84, 0.14), (0.7, 0.26)], fill=(60, 150, 60))


SPRITES = MappingProxyType(
    {
        "food": Sprite(_apple),
        "head": Sprite(_head),
        "crashed head": Sprite(_crashed),
        **{f"body {name}": Sprite(partial(_body, move)) for move, name in enumerate(MOVES)},
    }
)
"""Their drawings, by name; floor and walls are those of the world."""
