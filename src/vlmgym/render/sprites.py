"""Faces of tiles: the things of a world, such as walls, boxes and flags.

:data:`SPRITES` is the table of them. A game from outside adds its own with :func:`register`::

    def draw_lamp(pencil: Pencil) -> None:
        pencil.disc(0.2, 0.2, 0.8, 0.8, fill=(250, 220, 90))


    register("lamp", draw_lamp)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw

from vlmgym.core import ConfigError
from vlmgym.render.ink import DARK, LIGHT, PAPER, Colour, text_ink, tone, write_in_middle
from vlmgym.render.looks import Look
from vlmgym.render.tiles import blank

GROUND: Colour = (226, 216, 196)
BRICK: Colour = (150, 78, 58)
WATER: Colour = (28, 74, 118)
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


@dataclass(frozen=True)
class Pencil:
    """Draws on one cell. Places are shares of its side, counted from its top left corner: points as
    x, y, rectangles as left, top, right, bottom.
    """

    canvas: ImageDraw.ImageDraw
    side: int  # of the cell, pixels
    width: int  # of the thinnest line, pixels
    look: Look

    def paint(self, colour: Colour | None) -> Colour | None:
        """A colour as this look shows it."""
        return None if colour is None else tone(colour, self.look)

    def place(self, *shares: float) -> tuple[int, ...]:
        """Shares of the side in pixels."""
        return tuple(round(share * self.side) for share in shares)

    def line(self, *ends: float, colour: Colour, widths: int = 2) -> None:
        """A line between two points, as wide as so many of the thinnest."""
        self.canvas.line(self.place(*ends), fill=self.paint(colour), width=widths * self.width)

    def disc(
        self,
        *box: float,
        fill: Colour | None = None,
        outline: Colour | None = None,
        widths: int = 2,
    ) -> None:
        """An ellipse within a rectangle."""
        self.canvas.ellipse(
            self.place(*box),
            fill=self.paint(fill),
            outline=self.paint(outline),
            width=widths * self.width,
        )

    def half_disc(self, *box: float, fill: Colour) -> None:
        """The upper half of an ellipse within a rectangle."""
        self.canvas.pieslice(self.place(*box), 180, 360, fill=self.paint(fill))

    def box(self, *box: float, fill: Colour, outline: Colour) -> None:
        """A rectangle."""
        self.canvas.rectangle(
            self.place(*box),
            fill=self.paint(fill),
            outline=self.paint(outline),
            width=2 * self.width,
        )

    def polygon(self, points: Sequence[tuple[float, float]], fill: Colour) -> None:
        """A filled polygon."""
        side = self.side
        corners = [(round(x * side), round(y * side)) for x, y in points]
        self.canvas.polygon(corners, fill=self.paint(fill))


@dataclass(frozen=True)
class Sprite:
    """How a thing is drawn: the colour of its ground, and what is drawn on it."""

    draw: Callable[[Pencil], None]
    ground: Colour = GROUND


def _nothing(pencil: Pencil) -> None:
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


def _pennant(pencil: Pencil, colour: Colour) -> None:
    pencil.line(0.34, 0.14, 0.34, 0.88, colour=(40, 40, 44))
    pencil.polygon([(0.34, 0.14), (0.82, 0.32), (0.34, 0.5)], fill=colour)


def _goal(pencil: Pencil) -> None:
    _pennant(pencil, (24, 150, 60))


def _hidden(pencil: Pencil) -> None:
    bright = (232, 236, 242)
    shade = (84, 92, 108)
    pencil.line(0.05, 0.06, 0.95, 0.06, colour=bright)
    pencil.line(0.06, 0.05, 0.06, 0.95, colour=bright)
    pencil.line(0.05, 0.94, 0.95, 0.94, colour=shade)
    pencil.line(0.94, 0.05, 0.94, 0.95, colour=shade)


def _flag(pencil: Pencil) -> None:
    _pennant(pencil, (214, 30, 30))
    _hidden(pencil)


def _mine(pencil: Pencil) -> None:
    for eighth in range(4):
        angle = math.pi * eighth / 4
        right = 0.38 * math.cos(angle)
        down = 0.38 * math.sin(angle)
        pencil.line(0.5 - right, 0.5 - down, 0.5 + right, 0.5 + down, colour=DARK)
    pencil.disc(0.25, 0.25, 0.75, 0.75, fill=DARK)
    pencil.disc(0.36, 0.34, 0.48, 0.46, fill=LIGHT)


SPRITES: dict[str, Sprite] = {
    "floor": Sprite(_nothing),
    "wall": Sprite(_wall, BRICK),
    "target": Sprite(_target),
    "box": Sprite(_box),
    "box on target": Sprite(_box_on_target),
    "player": Sprite(_player),
    "player on target": Sprite(_player_on_target),
    "hole": Sprite(_hole, (190, 222, 240)),
    "goal": Sprite(_goal),
    "hidden": Sprite(_hidden, STONE),
    "flag": Sprite(_flag, STONE),
    "mine": Sprite(_mine, (236, 90, 80)),
    **{str(count): Sprite(_nothing, PAPER) for count in range(9)},
}
"""The names that scenes of kind ``sprite`` may use, with their drawings; counts are written."""


def register(name: str, draw: Callable[[Pencil], None], ground: Colour = GROUND) -> None:
    """Add a thing that scenes of kind ``sprite`` may show.

    Args:
        name: the text of the symbol.
        draw: draws it on one cell.
        ground: red, green and blue of what lies below, 0 to 255.

    Raises:
        ConfigError: the name is that of another drawing.
    """
    sprite = Sprite(draw, ground)
    if SPRITES.setdefault(name, sprite) != sprite:
        raise ConfigError("sprite", name, "a name that no other drawing has")


def draw_sprite(
    symbol: int, name: str, tile: int, look: Look, part: str, appearance: int
) -> Image.Image:
    """A thing on its ground, or a count."""
    sprite = SPRITES[name]

    def draw_more(canvas: ImageDraw.ImageDraw, scale: int) -> None:
        side = tile * scale
        sprite.draw(Pencil(canvas, side, max(scale, side // 24), look))

    picture = blank(tile, sprite.ground, look, draw_more)
    if name.isdigit() and name != "0":
        colour = tone(COUNTS[(int(name) - 1) % len(COUNTS)], look)
        write_in_middle(picture, text_ink(name, look.font), (0.8, 0.56), colour)
    return picture


def check_sprite(name: str) -> None:
    """See that there is a drawing of that name.

    Raises:
        ConfigError: there is none.
    """
    if name not in SPRITES:
        raise ConfigError("symbol of a scene of kind sprite", name, ", ".join(SPRITES))
