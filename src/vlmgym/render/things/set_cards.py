"""Cards of Set: one to three ovals, diamonds or squiggles, solid, striped or open."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache, partial
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from vlmgym.render.ink import PAPER, Colour
from vlmgym.render.things.pencil import Pencil, Sprite

FELT: Colour = (38, 92, 72)
RIM: Colour = (120, 118, 112)
COLOURS = MappingProxyType(
    {"red": (226, 34, 44), "green": (10, 150, 62), "purple": (92, 34, 150)},
)
STEPS = 24
"""Points along half of an outline."""
WIDE = 0.28
HIGH = 0.106
"""Half the width and half the height of a symbol, as shares of the card's cell."""
APART = 0.3
"""From one symbol of a card to the next."""
STRIPES = 8
LINE = 0.026
"""Width of an outline; stripes are as wide."""


def _oval(x: float) -> tuple[float, float]:
    round_end = 1 - HIGH / WIDE  # the ends are half circles
    beyond = max(0.0, abs(x) - round_end) / (1 - round_end)
    height = math.sqrt(max(0.0, 1 - beyond**2))
    return -height, height


def _diamond(x: float) -> tuple[float, float]:
    return abs(x) - 1, 1 - abs(x)


def _squiggle(x: float) -> tuple[float, float]:
    middle = 0.5 * math.sin(math.pi * x)
    height = 0.66 * math.sqrt(max(0.0, 1 - abs(x) ** 5))
    return middle - height, middle + height


SHAPES: MappingProxyType[str, Callable[[float], tuple[float, float]]] = MappingProxyType(
    {"oval": _oval, "diamond": _diamond, "squiggle": _squiggle}
)
"""Upper and lower edge of each shape over its width; all from -1 to 1."""


@cache
def _outline(shape: str) -> NDArray[np.float64]:
    """The points around a shape, ``(points, 2)``, from -1 to 1: its upper edge, then its lower
    one.
    """
    edges = SHAPES[shape]
    # closer together at the ends, which are round; a diamond has none
    steps = 2 if shape == "diamond" else STEPS
    across = [-math.cos(math.pi * step / steps) for step in range(steps + 1)]
    upper = [(x, edges(x)[0]) for x in across]
    lower = [(x, edges(x)[1]) for x in reversed(across)]
    return np.array(upper + lower)


def _symbol(pencil: Pencil, y: float, colour: Colour, filling: str, shape: str) -> None:
    """One symbol whose middle is at a height of the card."""
    middle = np.array((0.5, y))
    size = np.array((WIDE, HIGH))
    ink = pencil.paint(colour)
    width = max(1, round(LINE * pencil.side))
    outline = np.rint(pencil.side * (middle + size * _outline(shape))).astype(int)
    points = [(int(x), int(y)) for x, y in outline]
    if filling == "solid":
        pencil.canvas.polygon(points, fill=ink)
    if filling == "striped":
        for stripe in range(STRIPES):
            x = 2 * (stripe + 0.5) / STRIPES - 1
            upper, lower = SHAPES[shape](x)
            left = 0.5 + WIDE * x
            ends = pencil.place(left, y + HIGH * upper, left, y + HIGH * lower)
            pencil.canvas.line(ends, fill=ink, width=width)
    joint = "curve" if shape == "diamond" else None  # the corners of the others are flat
    pencil.canvas.line([*points, *points[:2]], fill=ink, width=width, joint=joint)


def _card(pencil: Pencil, count: int, colour: Colour, filling: str, shape: str) -> None:
    pencil.canvas.rounded_rectangle(
        pencil.place(0.13, 0.03, 0.87, 0.97),
        radius=round(0.08 * pencil.side),
        fill=pencil.paint(PAPER),
        outline=pencil.paint(RIM),
        width=max(1, pencil.side // 64),
    )
    for symbol in range(count):
        y = 0.5 + APART * (symbol - (count - 1) / 2)
        _symbol(pencil, y, colour, filling, shape)


def _no_card(pencil: Pencil) -> None:
    """The place of a card on the felt."""
    pencil.canvas.rounded_rectangle(
        pencil.place(0.13, 0.03, 0.87, 0.97),
        radius=round(0.08 * pencil.side),
        outline=pencil.paint((74, 128, 106)),
        width=2 * pencil.width,
    )


def _sprites() -> dict[str, Sprite]:
    sprites = {"no card": Sprite(_no_card, FELT)}
    for filling in ("solid", "striped", "open"):
        for shape in SHAPES:
            for colour, ink in COLOURS.items():
                for count in (1, 2, 3):
                    draw = partial(_card, count=count, colour=ink, filling=filling, shape=shape)
                    sprites[f"{count} {colour} {filling} {shape}"] = Sprite(draw, FELT)
    return sprites


SPRITES = MappingProxyType(_sprites())
"""Their drawings, by name."""
