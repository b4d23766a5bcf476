"""Faces of tiles: numbers, words, coloured shapes and letters.

Drawn large with Pillow, and averaged down.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from types import MappingProxyType
from typing import NamedTuple

from PIL import Image, ImageDraw

from vlmgym.core import ConfigError
from vlmgym.games.parts.tile_kinds import COLOURS, FORMS
from vlmgym.render.ink import (
    BOARD,
    DARK,
    LIGHT,
    PAPER,
    Colour,
    handwriting,
    luminance,
    text_ink,
    tone,
    write,
    write_in_middle,
)
from vlmgym.render.looks import Look


class Cell(NamedTuple):
    """What stands on a cell, as far as it decides what is drawn."""

    symbol: int  # index among the scene's names; 0 is the empty cell, but of sprites
    name: str  # the symbol's text
    appearance: int = 0  # which of the look's drawings of a symbol
    test: bool = False  # handwritten numbers of the test part
    joins: int = 0  # the sides over which the drawing goes on, as in Scene
    lines: int = 0  # the sides with a heavy line, as in Scene


NUMBER_FILLS: tuple[Colour, ...] = (
    (243, 238, 226),  # 2 ivory
    (240, 211, 154),  # 4 sand
    (248, 164, 80),  # 8 apricot
    (232, 104, 44),  # 16 orange
    (205, 42, 48),  # 32 red
    (112, 18, 38),  # 64 wine
    (250, 218, 40),  # 128 yellow
    (168, 214, 60),  # 256 lime
    (24, 116, 46),  # 512 green
    (12, 74, 62),  # 1024 pine
    (64, 214, 204),  # 2048 turquoise
    (52, 148, 230),  # 4096 sky
    (24, 58, 182),  # 8192 blue
    (176, 152, 250),  # 16384 lilac
    (124, 34, 152),  # 32768 purple
    (244, 120, 200),  # 65536 pink
    (10, 10, 12),  # 131072 black
)
"""Tile colours of numbers and words, by symbol from 1 on (2048: by exponent); repeated where a game
has more.
"""
FILLS = MappingProxyType(
    dict(
        zip(
            COLOURS,
            (
                (226, 38, 38),
                (28, 160, 52),
                (34, 78, 222),
                (252, 214, 24),
                (216, 44, 208),
                (24, 198, 222),
                (255, 130, 10),
                (130, 74, 32),
                (146, 150, 158),
                (30, 30, 34),
                (255, 158, 186),
                (150, 232, 46),
                (22, 30, 104),
                (0, 116, 122),
                (122, 44, 190),
                (126, 126, 12),
            ),
            strict=True,
        )
    )
)
"""The colours of coloured shapes and letters."""


def _star(points: int, inner: float) -> tuple[tuple[float, float], ...]:
    """A star of ``2 * points`` corners, the first one on top, in the square from -1 to 1."""
    corners = []
    for corner in range(2 * points):
        angle = math.pi * corner / points
        radius = inner if corner % 2 else 1.0
        corners.append((radius * math.sin(angle), -radius * math.cos(angle)))
    return tuple(corners)


def _heart() -> tuple[tuple[float, float], ...]:
    corners = []
    for corner in range(64):
        angle = 2 * math.pi * corner / 64
        height = 13 * math.cos(angle) - 5 * math.cos(2 * angle)
        height -= 2 * math.cos(3 * angle)
        height -= math.cos(4 * angle)
        corners.append((math.sin(angle) ** 3, -height / 16 + 0.08))
    return tuple(corners)


def _moon() -> tuple[tuple[float, float], ...]:
    """A crescent, open to the right: an arc of the unit circle, back along one of a circle shifted
    to the right.
    """
    shift = 0.55
    radius = 0.85  # of the shifted circle
    steps = 48
    full_turn = 2 * math.pi
    # angles of the upper tip, seen from the middle of each circle
    tip = math.acos((1 + shift**2 - radius**2) / (2 * shift))
    inner_tip = math.pi - math.acos((shift**2 + radius**2 - 1) / (2 * shift * radius))
    corners = []
    for step in range(steps + 1):
        angle = tip + (full_turn - 2 * tip) * step / steps
        corners.append((math.cos(angle), math.sin(angle)))
    for step in range(1, steps):
        angle = full_turn - inner_tip - (full_turn - 2 * inner_tip) * step / steps
        corners.append((shift + radius * math.cos(angle), radius * math.sin(angle)))
    return tuple((x + 0.12, y) for x, y in corners)


def _cross() -> tuple[tuple[float, float], ...]:
    """An upright cross, clockwise from its upper arm."""
    arm = 0.36
    end = 0.98
    quarter = ((arm, end), (arm, arm), (end, arm))
    quarters = ((1, -1, quarter), (1, 1, quarter[::-1]), (-1, 1, quarter), (-1, -1, quarter[::-1]))
    corners = []
    for x_sign, y_sign, points in quarters:
        corners += [(x * x_sign, y * y_sign) for x, y in points]
    return tuple(corners)


SHAPES = MappingProxyType(
    {
        "circle": (),
        "square": ((-0.86, -0.86), (0.86, -0.86), (0.86, 0.86), (-0.86, 0.86)),
        "triangle": ((0.0, -0.92), (1.0, 0.84), (-1.0, 0.84)),
        "diamond": ((0.0, -1.08), (0.86, 0.0), (0.0, 1.08), (-0.86, 0.0)),
        "cross": _cross(),
        "star": tuple((1.1 * x, 1.1 * y + 0.08) for x, y in _star(5, 0.46)),
        "heart": _heart(),
        "moon": _moon(),
        "ring": (),
        "arrow": (
            (0.0, -1.0),
            (0.9, 0.0),
            (0.36, 0.0),
            (0.36, 0.96),
            (-0.36, 0.96),
            (-0.36, 0.0),
            (-0.9, 0.0),
        ),
        "bolt": (
            (0.24, -1.05),
            (-0.72, 0.18),
            (-0.1, 0.18),
            (-0.3, 1.05),
            (0.74, -0.3),
            (0.1, -0.3),
        ),
        "hourglass": (
            (-0.8, -0.95),
            (0.8, -0.95),
            (0.12, 0.0),
            (0.8, 0.95),
            (-0.8, 0.95),
            (-0.12, 0.0),
        ),
    }
)
"""Corners of the shapes, x to the right and y down, in units of the shape's radius; circle and ring
have none.
"""
assert tuple(SHAPES) == FORMS["shapes"]
Draw = Callable[[ImageDraw.ImageDraw, int], None]


def blank(tile: int, fill: Colour, look: Look, draw_more: Draw | None = None) -> Image.Image:
    """A tile with round corners on the board's colour, averaged down from a drawing ``scale`` times
    as large.
    """
    scale = 8 if tile <= 128 else 4
    side = tile * scale
    ground = BOARD if look.grid else fill
    picture = Image.new("RGB", (side, side), tone(ground, look))
    canvas = ImageDraw.Draw(picture)
    if look.grid:
        corners = (0, 0, side - 1, side - 1)
        canvas.rounded_rectangle(corners, radius=side * 3 // 32, fill=tone(fill, look))
    if draw_more:
        draw_more(canvas, scale)
    return picture.reduce(scale)


def _number_fill(symbol: int, look: Look) -> Colour:
    """The fill of a tile whose colour only helps."""
    count = look.palette or len(NUMBER_FILLS)
    return NUMBER_FILLS[(symbol - 1) % count]


def _ink_on(fill: Colour, look: Look) -> Colour:
    """The colour of letters that can be read on a fill."""
    return tone(DARK if luminance(fill) > 0.19 else LIGHT, look)


def draw_number(cell: Cell, tile: int, look: Look) -> Image.Image:
    """A number on a coloured tile, printed or handwritten."""
    fill = _number_fill(cell.symbol, look)
    picture = blank(tile, fill, look)
    if look.skin == "handwritten":
        part = "test" if cell.test else "train"
        ink = handwriting(cell.name, part, cell.appearance)
        shares = (0.9, 0.62)
    else:
        ink = text_ink(cell.name, look.font)
        shares = (0.86, 0.42)
    write_in_middle(picture, ink, shares, _ink_on(fill, look))
    return picture


def draw_text(cell: Cell, tile: int, look: Look) -> Image.Image:
    """A word on a coloured tile."""
    fill = _number_fill(cell.symbol, look)
    picture = blank(tile, fill, look)
    write_in_middle(picture, text_ink(cell.name, look.font), (0.88, 0.4), _ink_on(fill, look))
    return picture


def _outline(fill: Colour, look: Look) -> Colour:
    """The darker colour of an outline."""
    red, green, blue = (channel * 45 // 100 for channel in tone(fill, look))
    return red, green, blue


def _colour_and_form(name: str, forms: tuple[str, ...], kind: str) -> tuple[Colour, str]:
    """What a name such as ``red circle`` stands for.

    Raises:
        ConfigError: there is no such colour or form.
    """
    colour, _, form = name.partition(" ")
    if colour not in FILLS or form not in forms:
        allowed = f"a colour ({', '.join(FILLS)}) and one of {', '.join(forms)}"
        raise ConfigError(f"symbol of a scene of kind {kind}", name, allowed)
    return FILLS[colour], form


def draw_shape(cell: Cell, tile: int, look: Look) -> Image.Image:
    """A coloured shape on paper, with a dark outline."""
    colour, shape = _colour_and_form(cell.name, FORMS["shapes"], "shape")
    fill = tone(colour, look)
    outline = _outline(colour, look)

    def draw_more(canvas: ImageDraw.ImageDraw, scale: int) -> None:
        side = tile * scale
        middle = side / 2
        radius = 0.36 * tile * scale
        width = max(scale * 3 // 4, side // 40)
        if shape in ("circle", "ring"):
            box = _box_around(middle, radius)
            canvas.ellipse(box, fill=fill, outline=outline, width=width)
            if shape == "ring":
                hole = _box_around(middle, 0.5 * radius)
                canvas.ellipse(hole, fill=tone(PAPER, look), outline=outline, width=width)
            return
        points = []
        for x, y in SHAPES[shape]:
            points.append((round(middle + radius * x), round(middle + radius * y)))
        canvas.polygon(points, fill=fill)
        canvas.line([*points, points[0], points[1]], fill=outline, width=width, joint="curve")

    return blank(tile, PAPER, look, draw_more)


def _box_around(middle: float, radius: float) -> tuple[int, int, int, int]:
    """The square around a circle in the middle of a tile."""
    low = round(middle - radius)
    high = round(middle + radius) - 1
    return low, low, high, high


def draw_letter(cell: Cell, tile: int, look: Look) -> Image.Image:
    """A coloured letter on paper, with a dark outline."""
    colour, letter = _colour_and_form(cell.name, FORMS["letters"], "letter")
    picture = blank(tile, PAPER, look)
    ink = text_ink(letter, look.font)
    size = 0.8 * tile, 0.6 * tile
    middle = tile / 2
    width = max(1, tile // 40)
    for right, down in ((-width, 0), (width, 0), (0, -width), (0, width)):
        write(picture, ink, (middle + right, middle + down), size, _outline(colour, look))
    write(picture, ink, (middle, middle), size, tone(colour, look))
    return picture
