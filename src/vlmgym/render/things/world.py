"""Walls, boxes and lakes: what Sokoban and FrozenLake show."""

from __future__ import annotations

from types import MappingProxyType

from vlmgym.render.ink import Colour
from vlmgym.render.things.pencil import Pencil, Sprite

BRICK: Colour = (150, 78, 58)
WATER: Colour = (28, 74, 118)


def nothing(pencil: Pencil) -> None:
    """The bare ground."""


def _wall(pencil: Pencil) -> None:
    mortar = (92, 44, 32)
    for row in range(4):
        top = row / 4
        pencil.line(0, top, 1, top, colour=mortar, widths=1)
        joints = (0.25, 0.75) if row % 2 else (0.0, 0.5, 1.0)
        for left in joints:
            pencil.line(left, top, left, top + 0.25, colour=mortar, widths=1)


def _target(pencil: Pencil) -> None:
    red = (200, 40, 60)
    pencil.disc(0.14, 0.14, 0.86, 0.86, outline=red)
    pencil.disc(0.4, 0.4, 0.6, 0.6, fill=red)


def _crate(pencil: Pencil, light: Colour, dark: Colour) -> None:
    pencil.box(0.2, 0.2, 0.8, 0.8, fill=light, outline=dark)
    pencil.line(0.22, 0.22, 0.78, 0.78, colour=dark)
    pencil.line(0.22, 0.78, 0.78, 0.22, colour=dark)


def _box(pencil: Pencil) -> None:
    _crate(pencil, light=(222, 166, 92), dark=(122, 76, 26))


def _box_on_target(pencil: Pencil) -> None:
    _target(pencil)
    _crate(pencil, light=(120, 190, 90), dark=(40, 96, 30))


def _player(pencil: Pencil) -> None:
    pencil.half_disc(0.24, 0.48, 0.76, 1.16, fill=(40, 70, 190))
    pencil.disc(0.35, 0.16, 0.65, 0.46, fill=(240, 190, 150), outline=(90, 50, 30), widths=1)


def _player_on_target(pencil: Pencil) -> None:
    _target(pencil)
    _player(pencil)


def _hole(pencil: Pencil) -> None:
    pencil.disc(0.1, 0.1, 0.9, 0.9, fill=WATER, outline=(220, 240, 252))


def _player_in_hole(pencil: Pencil) -> None:
    _hole(pencil)
    pencil.half_disc(0.26, 0.44, 0.74, 0.92, fill=(40, 70, 190))
    pencil.disc(0.37, 0.22, 0.63, 0.48, fill=(240, 190, 150), outline=(90, 50, 30), widths=1)
    pencil.disc(0.2, 0.62, 0.8, 0.86, fill=WATER)


def pennant(pencil: Pencil, colour: Colour) -> None:
    """A flag on its pole."""
    pencil.line(0.34, 0.14, 0.34, 0.88, colour=(40, 40, 44))
    pencil.polygon([(0.34, 0.14), (0.82, 0.32), (0.34, 0.5)], fill=colour)


def _goal(pencil: Pencil) -> None:
    pennant(pencil, (24, 150, 60))


def _player_at_goal(pencil: Pencil) -> None:
    _goal(pencil)
    pencil.half_disc(0.46, 0.56, 0.9, 1.12, fill=(40, 70, 190))
    pencil.disc(0.555, 0.3, 0.805, 0.55, fill=(240, 190, 150), outline=(90, 50, 30), widths=1)


SPRITES = MappingProxyType(
    {
        "floor": Sprite(nothing),
        "wall": Sprite(_wall, BRICK),
        "target": Sprite(_target),
        "box": Sprite(_box),
        "box on target": Sprite(_box_on_target),
        "player": Sprite(_player),
        "player on target": Sprite(_player_on_target),
        "hole": Sprite(_hole, (190, 222, 240)),
        "goal": Sprite(_goal),
        "player in hole": Sprite(_player_in_hole, (190, 222, 240)),
        "player at goal": Sprite(_player_at_goal),
    }
)
"""Their drawings, by name."""
