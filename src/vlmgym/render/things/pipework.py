"""Pipes and the source of their water: what Pipes shows."""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType

from vlmgym.render.ink import Colour
from vlmgym.render.things.pencil import Pencil, Sprite

FLOOR: Colour = (206, 196, 172)
RIM: Colour = (52, 56, 66)
METAL: Colour = (240, 240, 236)
WATER: Colour = (26, 112, 236)
TANK: Colour = (16, 60, 160)
SIDES = ("up", "right", "down", "left")
WIDTH = 0.2  # of a pipe, from its middle line
THICKNESS = 0.06  # of its wall
LOOSE = 0.05  # from a side to a flange that meets nothing there


def _bar(pencil: Pencil, side: int, half: float, ends: tuple[float, float], ink: Colour) -> None:
    """A bar across the way from a side to the middle, between two distances from the side."""
    near, far = ends
    low, high = 0.5 - half, 0.5 + half
    box = (
        (low, near, high, far),
        (1 - far, low, 1 - near, high),
        (low, 1 - far, high, 1 - near),
        (near, low, far, high),
    )[side]
    left, top, right, bottom = pencil.place(*box)
    pencil.canvas.rectangle((left, top, right, bottom), fill=pencil.paint(ink))


def _disc(pencil: Pencil, radius: float, ink: Colour) -> None:
    pencil.disc(0.5 - radius, 0.5 - radius, 0.5 + radius, 0.5 + radius, fill=ink)


def _pipe(sides: tuple[int, ...], content: Colour, is_source: bool) -> Callable[[Pencil], None]:
    inside = WIDTH - THICKNESS

    def draw(pencil: Pencil) -> None:
        for side in sides:
            is_joined = pencil.joined(side)
            _bar(pencil, side, WIDTH, (0.0 if is_joined else LOOSE, 0.5), RIM)
            if not is_joined:
                _bar(pencil, side, WIDTH + 0.07, (LOOSE, LOOSE + 0.12), RIM)
        _disc(pencil, WIDTH, RIM)
        for side in sides:
            near = 0.0 if pencil.joined(side) else LOOSE + 0.04
            _bar(pencil, side, inside, (near, 0.5), content)
        _disc(pencil, inside, content)
        if is_source:
            _disc(pencil, 0.32, RIM)
            _disc(pencil, 0.27, TANK)
            pencil.disc(0.36, 0.44, 0.64, 0.7, fill=METAL)
            pencil.polygon([(0.5, 0.28), (0.62, 0.52), (0.38, 0.52)], fill=METAL)

    return draw


def _bare(pencil: Pencil) -> None:
    """A cell without a piece."""


def _sprites() -> dict[str, Sprite]:
    sprites = {"no pipe": Sprite(_bare, FLOOR)}
    for kind, content in (("pipe", METAL), ("wet pipe", WATER), ("source", WATER)):
        for mask in range(1, 16):
            sides = tuple(side for side in range(4) if mask >> side & 1)
            name = " ".join([kind, *(SIDES[side] for side in sides)])
            sprites[name] = Sprite(_pipe(sides, content, kind == "source"), FLOOR)
    return sprites


SPRITES = MappingProxyType(_sprites())
"""Their drawings, by name: the kind of piece and its open sides."""
