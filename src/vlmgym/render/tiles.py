"""Faces of tiles: numbers, words, coloured shapes and letters.

Drawn large with Pillow, and averaged down.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from types import MappingProxyType

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
)
from vlmgym.render.looks import Look

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


def _regular(points: int, inner: float = 1.0) -> tuple[tuple[float, float], ...]:
    """A star of ``2 * points`` corners, the first one on top, in the square from -1 to 1."""
    angles = [math.pi * k / points for k in range(2 * points)]
    return tuple(
        ((inner if k % 2 else 1.0) * math.sin(a), -(inner if k % 2 else 1.0) * math.cos(a))
        for k, a in enumerate(angles)
    )


def _heart() -> tuple[tuple[float, float], ...]:
    turns = [2 * math.pi * k / 64 for k in range(64)]
    return tuple(
        (
            math.sin(t) ** 3,
            -(13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t) - math.cos(4 * t)) / 16
            + 0.08,
        )
        for t in turns
    )


def _moon() -> tuple[tuple[float, float], ...]:
    """A crescent, open to the right: an arc of the unit circle, back along one of a circle shifted
    to the right.
    """
    shift = 0.55
    small = 0.85
    tip = math.acos((1 + shift**2 - small**2) / (2 * shift))
    inner = math.pi - math.acos((shift**2 + small**2 - 1) / (2 * shift * small))
    outside = [tip + (2 * math.pi - 2 * tip) * k / 48 for k in range(49)]
    inside = [2 * math.pi - inner - (2 * math.pi - 2 * inner) * k / 48 for k in range(1, 48)]
    arc = [(math.cos(a), math.sin(a)) for a in outside] + [
        (shift + small * math.cos(a), small * math.sin(a)) for a in inside
    ]
    return tuple((x + 0.12, y) for x, y in arc)


_ARM = 0.36
SHAPES = MappingProxyType(
    {
        "circle": (),
        "square": ((-0.86, -0.86), (0.86, -0.86), (0.86, 0.86), (-0.86, 0.86)),
        "triangle": ((0.0, -0.92), (1.0, 0.84), (-1.0, 0.84)),
        "diamond": ((0.0, -1.08), (0.86, 0.0), (0.0, 1.08), (-0.86, 0.0)),
        "cross": tuple(
            (x * sx, y * sy)
            for sx, sy, pair in ((1, -1, 0), (1, 1, 1), (-1, 1, 0), (-1, -1, 1))
            for x, y in (((_ARM, 0.98), (_ARM, _ARM), (0.98, _ARM))[:: 1 if pair == 0 else -1])
        ),
        "star": tuple((1.1 * x, 1.1 * y + 0.08) for x, y in _regular(5, 0.46)),
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
    picture = Image.new("RGB", (side, side), tone(BOARD, look) if look.grid else tone(fill, look))
    draw = ImageDraw.Draw(picture)
    if look.grid:
        draw.rounded_rectangle(
            (0, 0, side - 1, side - 1), radius=side * 3 // 32, fill=tone(fill, look)
        )
    if draw_more:
        draw_more(draw, scale)
    return picture.reduce(scale)


def _face(index: int, look: Look) -> Colour:
    """The fill of a tile whose colour only helps."""
    return NUMBER_FILLS[(index - 1) % (look.palette or len(NUMBER_FILLS))]


def draw_number(
    index: int, name: str, tile: int, look: Look, part: str, appearance: int
) -> Image.Image:
    """A number on a coloured tile, printed or handwritten."""
    fill = _face(index, look)
    picture = blank(tile, fill, look)
    colour = tone(DARK if luminance(fill) > 0.19 else LIGHT, look)
    if look.skin == "handwritten":
        write(
            picture,
            handwriting(name, part, appearance),
            (tile / 2, tile / 2),
            (0.9 * tile, 0.62 * tile),
            colour,
        )
    else:
        write(
            picture,
            text_ink(name, look.font),
            (tile / 2, tile / 2),
            (0.86 * tile, 0.42 * tile),
            colour,
        )
    return picture


def draw_text(
    index: int, name: str, tile: int, look: Look, part: str, appearance: int
) -> Image.Image:
    """A word on a coloured tile."""
    fill = _face(index, look)
    picture = blank(tile, fill, look)
    colour = tone(DARK if luminance(fill) > 0.19 else LIGHT, look)
    write(
        picture, text_ink(name, look.font), (tile / 2, tile / 2), (0.88 * tile, 0.4 * tile), colour
    )
    return picture


def _edge(fill: Colour, look: Look) -> Colour:
    """The darker colour of an outline."""
    r, g, b = (v * 45 // 100 for v in tone(fill, look))
    return r, g, b


def _parts(name: str, forms: tuple[str, ...], kind: str) -> tuple[Colour, str]:
    colour, _, form = name.partition(" ")
    if colour not in FILLS or form not in forms:
        known = f"a colour ({', '.join(FILLS)}) and one of {', '.join(forms)}"
        raise ConfigError(f"symbol of a scene of kind {kind}", name, known)
    return FILLS[colour], form


def draw_shape(
    index: int, name: str, tile: int, look: Look, part: str, appearance: int
) -> Image.Image:
    """A coloured shape on paper, with a dark outline."""
    fill, shape = _parts(name, FORMS["shapes"], "shape")
    edge = _edge(fill, look)

    def draw_more(draw: ImageDraw.ImageDraw, scale: int) -> None:
        middle = tile * scale / 2
        radius = 0.36 * tile * scale
        pen = max(scale * 3 // 4, tile * scale // 40)
        points = [
            (round(middle + radius * x), round(middle + radius * y)) for x, y in SHAPES[shape]
        ]
        if not points:
            draw.ellipse(_disc(middle, radius), fill=tone(fill, look), outline=edge, width=pen)
            if shape == "ring":
                draw.ellipse(
                    _disc(middle, 0.5 * radius), fill=tone(PAPER, look), outline=edge, width=pen
                )
            return
        draw.polygon(points, fill=tone(fill, look))
        draw.line([*points, points[0], points[1]], fill=edge, width=pen, joint="curve")

    return blank(tile, PAPER, look, draw_more)


def _disc(middle: float, radius: float, down: float = 0.0) -> tuple[int, int, int, int]:
    low = round(middle - radius)
    high = round(middle + radius) - 1
    return low, low + round(down), high, high + round(down)


def draw_letter(
    index: int, name: str, tile: int, look: Look, part: str, appearance: int
) -> Image.Image:
    """A coloured letter on paper, with a dark outline."""
    fill, letter = _parts(name, FORMS["letters"], "letter")
    picture = blank(tile, PAPER, look)
    ink = text_ink(letter, look.font)
    edge = _edge(fill, look)
    wide = max(1, tile // 40)
    for dx, dy in ((-wide, 0), (wide, 0), (0, -wide), (0, wide)):
        write(picture, ink, (tile / 2 + dx, tile / 2 + dy), (0.8 * tile, 0.6 * tile), edge)
    write(picture, ink, (tile / 2, tile / 2), (0.8 * tile, 0.6 * tile), tone(fill, look))
    return picture
