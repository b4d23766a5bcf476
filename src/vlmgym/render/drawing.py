"""One tile at a time: what a symbol looks like under a look.

Drawn large with Pillow, averaged down; kept in an atlas by render.

Everything here is a pure function of symbol, look and appearance; fonts and digits are bundled.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache, lru_cache
from importlib import resources
from io import BytesIO
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from vlmgym.core import ConfigError, draw_below, draw_unit
from vlmgym.games.parts.tile_kinds import COLOURS, FORMS, PICTURE_CLASSES
from vlmgym.render.looks import FONTS, Look
from vlmgym.render.photos import photographs

Colour = tuple[int, int, int]

PAGE: Colour = (244, 242, 237)
BOARD: Colour = (47, 53, 66)
EMPTY: Colour = (96, 106, 125)
LABEL: Colour = (74, 80, 94)
PAPER: Colour = (252, 251, 248)
DARK: Colour = (24, 24, 28)
LIGHT: Colour = (255, 255, 255)
MIDDLE: Colour = (128, 128, 128)
"""The grey that a look's ``similarity`` moves all colours to."""
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
    shift, small = 0.55, 0.85
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


# ---- ink
@cache
def typeface(name: str, pixels: int) -> ImageFont.FreeTypeFont:
    """A bundled font (``sans``, ``serif``, ``mono``) in a size; only ``sans`` has letters beyond
    ASCII.
    """
    data = (resources.files("vlmgym.render") / "assets" / FONTS[name]).read_bytes()
    return ImageFont.truetype(BytesIO(data), pixels, layout_engine=ImageFont.Layout.BASIC)


@lru_cache(512)
def text_ink(text: str, font: str) -> Image.Image:
    """The ink of a text, drawn large; cropped to the ink sideways, and to the height of a digit
    (words: of ``Ag``).
    """
    face = typeface(font, 512)
    left, _, right, _ = face.getbbox(text)
    _, top, _, bottom = face.getbbox(
        "0123456789" if text.isdigit() or text in FORMS["letters"] else "AgQ|"
    )
    ink = Image.new("L", (max(1, int(right - left)), int(bottom - top)))
    ImageDraw.Draw(ink).text((-left, -top), text, fill=255, font=face)
    return ink


@lru_cache(512)
def _handwriting(text: str, part: str, appearance: int) -> Image.Image:
    """The ink of a number, composed of handwritten digits of a part."""
    source = photographs("auto", PICTURE_CLASSES["digits"])
    side, step = 256, 176
    ink = Image.new("L", (step * (len(text) - 1) + side, side))
    digits = np.array([int(digit) for digit in text])
    variants = (16 * appearance + np.arange(len(digits)) % 16).astype(np.int32)
    numbers = source.choose(np.full(len(digits), part == "test"), digits, variants, 10_000)
    for place, (digit, number) in enumerate(zip(digits.tolist(), numbers.tolist(), strict=True)):
        stroke = Image.eval(source.load(part, digit, number), lambda v: 255 - v)
        spot = Image.new("L", ink.size)
        spot.paste(stroke.resize((side, side), Image.Resampling.BICUBIC), (step * place, 0))
        ink = Image.fromarray(np.maximum(np.asarray(ink), np.asarray(spot)))
    return ink.crop(ink.getbbox())


def write(
    picture: Image.Image,
    ink: Image.Image,
    centre: tuple[float, float],
    room: tuple[float, float],
    colour: Colour,
) -> None:
    """Write as high as the room (width, height) allows; long texts are squeezed to 4/5 of their
    width first.
    """
    natural = ink.width / ink.height
    height = min(room[1], room[0] / (0.8 * natural))
    size = max(1, round(min(room[0], height * natural))), max(1, round(height))
    ink = ink.resize(size, Image.Resampling.LANCZOS)
    place = round(centre[0] - size[0] / 2), round(centre[1] - size[1] / 2)
    picture.paste(Image.new("RGB", size, colour), place, ink)


def luminance(colour: Colour) -> float:
    """Relative luminance (WCAG 2.2)."""
    r, g, b = (
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4
        for c in (v / 255 for v in colour)
    )
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


def tone(colour: Colour, look: Look) -> Colour:
    """A colour under the look's ``similarity``."""
    if look.similarity == 0:
        return colour
    r, g, b = (round(c + look.similarity * (m - c)) for c, m in zip(colour, MIDDLE, strict=True))
    return r, g, b


# ---- faces
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


def _draw_number(
    index: int, name: str, tile: int, look: Look, part: str, appearance: int
) -> Image.Image:
    fill = _face(index, look)
    picture = blank(tile, fill, look)
    colour = tone(DARK if luminance(fill) > 0.19 else LIGHT, look)
    if look.skin == "handwritten":
        write(
            picture,
            _handwriting(name, part, appearance),
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


def _draw_text(
    index: int, name: str, tile: int, look: Look, part: str, appearance: int
) -> Image.Image:
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


def _draw_shape(
    index: int, name: str, tile: int, look: Look, part: str, appearance: int
) -> Image.Image:
    fill, shape = _parts(name, FORMS["shapes"], "shape")
    edge = _edge(fill, look)

    def draw_more(draw: ImageDraw.ImageDraw, scale: int) -> None:
        middle, radius, pen = (
            tile * scale / 2,
            0.36 * tile * scale,
            max(scale * 3 // 4, tile * scale // 40),
        )
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
    low, high = round(middle - radius), round(middle + radius) - 1
    return low, low + round(down), high, high + round(down)


def _draw_letter(
    index: int, name: str, tile: int, look: Look, part: str, appearance: int
) -> Image.Image:
    fill, letter = _parts(name, FORMS["letters"], "letter")
    picture = blank(tile, PAPER, look)
    ink = text_ink(letter, look.font)
    edge = _edge(fill, look)
    wide = max(1, tile // 40)
    for dx, dy in ((-wide, 0), (wide, 0), (0, -wide), (0, wide)):
        write(picture, ink, (tile / 2 + dx, tile / 2 + dy), (0.8 * tile, 0.6 * tile), edge)
    write(picture, ink, (tile / 2, tile / 2), (0.8 * tile, 0.6 * tile), tone(fill, look))
    return picture


# ---- sprites
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


def _draw_sprite(
    index: int, name: str, tile: int, look: Look, part: str, appearance: int
) -> Image.Image:
    def paint(colour: Colour) -> Colour:
        return tone(colour, look)

    def things(draw: ImageDraw.ImageDraw, scale: int) -> None:
        side = tile * scale
        pen = max(scale, side // 24)

        def box(x0: float, y0: float, x1: float, y1: float) -> tuple[int, int, int, int]:
            return round(x0 * side), round(y0 * side), round(x1 * side), round(y1 * side)

        def poly(points: list[tuple[float, float]], fill: Colour) -> None:
            draw.polygon([(round(x * side), round(y * side)) for x, y in points], fill=paint(fill))

        if name == "wall":
            for row in range(4):
                y = row / 4
                draw.line(box(0, y, 1, y), fill=paint((92, 44, 32)), width=pen)
                for x in (0.25, 0.75) if row % 2 else (0.0, 0.5, 1.0):
                    draw.line(box(x, y, x, y + 0.25), fill=paint((92, 44, 32)), width=pen)
        if "target" in name:
            draw.ellipse(box(0.14, 0.14, 0.86, 0.86), outline=paint((200, 40, 60)), width=2 * pen)
            draw.ellipse(box(0.4, 0.4, 0.6, 0.6), fill=paint((200, 40, 60)))
        if name.startswith("box"):
            light, dark = (
                ((120, 190, 90), (40, 96, 30))
                if "target" in name
                else ((222, 166, 92), (122, 76, 26))
            )
            draw.rectangle(
                box(0.2, 0.2, 0.8, 0.8), fill=paint(light), outline=paint(dark), width=2 * pen
            )
            draw.line(box(0.22, 0.22, 0.78, 0.78), fill=paint(dark), width=2 * pen)
            draw.line(box(0.22, 0.78, 0.78, 0.22), fill=paint(dark), width=2 * pen)
        if name.startswith("player"):
            draw.pieslice(box(0.24, 0.48, 0.76, 1.16), 180, 360, fill=paint((40, 70, 190)))
            draw.ellipse(
                box(0.35, 0.16, 0.65, 0.46),
                fill=paint((240, 190, 150)),
                outline=paint((90, 50, 30)),
                width=pen,
            )
        if name == "hole":
            draw.ellipse(
                box(0.1, 0.1, 0.9, 0.9),
                fill=paint(WATER),
                outline=paint((220, 240, 252)),
                width=2 * pen,
            )
        if name in ("goal", "flag"):
            draw.line(box(0.34, 0.14, 0.34, 0.88), fill=paint((40, 40, 44)), width=2 * pen)
            colour = (24, 150, 60) if name == "goal" else (214, 30, 30)
            poly([(0.34, 0.14), (0.82, 0.32), (0.34, 0.5)], colour)
        if name in ("hidden", "flag"):
            draw.line(box(0.05, 0.06, 0.95, 0.06), fill=paint((232, 236, 242)), width=2 * pen)
            draw.line(box(0.06, 0.05, 0.06, 0.95), fill=paint((232, 236, 242)), width=2 * pen)
            draw.line(box(0.05, 0.94, 0.95, 0.94), fill=paint((84, 92, 108)), width=2 * pen)
            draw.line(box(0.94, 0.05, 0.94, 0.95), fill=paint((84, 92, 108)), width=2 * pen)
        if name == "mine":
            for k in range(4):
                a = math.pi * k / 4
                x, y = 0.38 * math.cos(a), 0.38 * math.sin(a)
                draw.line(box(0.5 - x, 0.5 - y, 0.5 + x, 0.5 + y), fill=paint(DARK), width=2 * pen)
            draw.ellipse(box(0.25, 0.25, 0.75, 0.75), fill=paint(DARK))
            draw.ellipse(box(0.36, 0.34, 0.48, 0.46), fill=paint(LIGHT))

    ground = {
        "wall": BRICK,
        "hidden": STONE,
        "flag": STONE,
        "hole": (190, 222, 240),
        "mine": (236, 90, 80),
    }
    if name.isdigit():
        ground[name] = PAPER
    picture = blank(tile, ground.get(name, GROUND), look, things)
    if name.isdigit() and name != "0":
        colour = tone(COUNTS[(int(name) - 1) % len(COUNTS)], look)
        write(
            picture,
            text_ink(name, look.font),
            (tile / 2, tile / 2),
            (0.8 * tile, 0.56 * tile),
            colour,
        )
    return picture


SPRITES = (
    "floor",
    "wall",
    "target",
    "box",
    "box on target",
    "player",
    "player on target",
    "hole",
    "goal",
    "hidden",
    "flag",
    "mine",
    *map(str, range(9)),
)
"""The names that scenes of kind ``sprite`` may use."""


def _check_sprite(name: str) -> None:
    if name not in SPRITES:
        raise ConfigError("symbol of a scene of kind sprite", name, ", ".join(SPRITES))


DRAWERS: MappingProxyType[str, Callable[[int, str, int, Look, str, int], Image.Image]] = (
    MappingProxyType(
        {
            "number": _draw_number,
            "shape": _draw_shape,
            "letter": _draw_letter,
            "sprite": _draw_sprite,
            "text": _draw_text,
        }
    )
)
"""By kind of scene: how symbol ``index`` called ``name`` is drawn on a tile."""


# ---- cells
def draw_cell(
    kind: str, index: int, name: str, tile: int, look: Look, test: bool, appearance: int
) -> NDArray[np.uint8]:
    """A symbol as it stands on the board, its half gaps around it.

    Args:
        kind: of the scene; not ``photo`` or ``picture``.
        index: the symbol.
        name: its text.
        tile: pixels of the tile's side.
        look: the look.
        test: draw with the test part of the photographs (handwritten numbers).
        appearance: which of the look's drawings of a symbol.

    Returns:
        ``(pitch, pitch, 3)`` uint8 with ``pitch = tile + gap``.

    Raises:
        ConfigError: the kind has no such symbol.
    """
    if kind == "sprite":
        _check_sprite(name)

    def face(side: int) -> Image.Image:
        if index == 0 and kind != "sprite":
            return blank(side, EMPTY, look)
        return DRAWERS[kind](index, name, side, look, "test" if test else "train", appearance)

    return finish_cell(face, tile, look, index, appearance)


def photo_cell(photo: Image.Image, tile: int, look: Look, number: int) -> NDArray[np.uint8]:
    """A photograph as a tile; see :func:`draw_cell`.

    ``number`` chooses among the look's turns and bars.
    """

    def face(side: int) -> Image.Image:
        picture = photo.convert("RGB").resize((side, side), Image.Resampling.BICUBIC)
        if look.similarity:
            picture = Image.blend(picture, Image.new("RGB", picture.size, MIDDLE), look.similarity)
        return picture

    return finish_cell(face, tile, look, number, number % look.appearances)


_STREAM = np.uint64(0x74696C65)


def _unit(look_word: int, number: int) -> float:
    return float(draw_unit(_STREAM, look_word, number))


def finish_cell(
    face: Callable[[int], Image.Image], tile: int, look: Look, index: int, appearance: int
) -> NDArray[np.uint8]:
    """Turn, frame, hide, grain and blur a face; see :func:`draw_cell`."""
    pitch, half, word = tile + look.gap, look.gap // 2, 8 * index + appearance
    ground = tone(BOARD if look.grid else EMPTY, look)
    if look.rotation:
        angle = look.rotation * (2 * _unit(word, 0) - 1)
        big = tile * (4 if tile <= 64 else 2)
        room = math.cos(math.radians(angle)) + abs(math.sin(math.radians(angle)))
        inner = face(round(big / room))
        whole = Image.new(
            "RGB", (big, big), ground if look.grid else inner.getpixel((1, inner.height // 2))
        )
        turned = inner.convert("RGBA").rotate(angle, Image.Resampling.BICUBIC, expand=True)
        whole.paste(turned, ((big - turned.width) // 2, (big - turned.height) // 2), turned)
        picture = whole.resize((tile, tile), Image.Resampling.BOX)
    else:
        picture = face(tile)
    cell = Image.new("RGB", (pitch, pitch), ground)
    if not look.grid:
        cell.paste(
            picture.resize((pitch, pitch), Image.Resampling.BICUBIC, (0, 0, tile, tile))
            if look.gap
            else picture
        )
        cell.paste(picture, (half, half))
    else:
        cell.paste(picture, (half, half))
    if look.occlusion:
        cell = _hide(cell, look, word)
    if look.texture:
        offset = draw_below(_STREAM, word, 1, 512), draw_below(_STREAM, word, 2, 512)
        cell = Image.fromarray(grained(np.asarray(cell), look.texture, *offset))
    if look.blur:
        cell = cell.filter(ImageFilter.GaussianBlur(look.blur))
    return exposed(np.asarray(cell), look)


BARS = 3


def _hide(cell: Image.Image, look: Look, word: int) -> Image.Image:
    """Three thin bars across the tile; together they hide about the look's share of it, never one
    whole part.
    """
    scale, side = 4, cell.width
    mask = Image.new("L", (side * scale, side * scale))
    draw = ImageDraw.Draw(mask)
    angle = math.pi * _unit(word, 3)
    dx, dy = math.cos(angle), math.sin(angle)
    width = look.occlusion * side * scale / BARS
    for k in range(BARS):
        shift = ((k + 0.5 + 0.5 * (_unit(word, 4 + k) - 0.5)) / BARS - 0.5) * side * scale
        x, y = side * scale / 2 - dy * shift, side * scale / 2 + dx * shift
        reach = side * scale
        draw.line(
            (x - dx * reach, y - dy * reach, x + dx * reach, y + dy * reach),
            fill=255,
            width=max(1, round(width)),
        )
    return Image.composite(
        Image.new("RGB", cell.size, tone((120, 112, 104), look)), cell, mask.reduce(scale)
    )


@cache
def _grain() -> NDArray[np.float32]:
    """A 512x512 grain, -1 to 1, repeating without seams: value noise at four scales, stretched like
    wood.
    """
    total = np.zeros((512, 512))
    for octave, (rows, cols) in enumerate(((8, 4), (32, 8), (128, 32), (256, 128))):
        words = np.array(
            [draw_unit(_STREAM, 1_000_000 + octave, k) for k in range(rows * cols)]
        ).reshape(rows, cols)
        tiled = np.pad(words, 2, mode="wrap")
        big = Image.fromarray(tiled.astype(np.float32)).resize(
            (512 * (cols + 4) // cols, 512 * (rows + 4) // rows), Image.Resampling.BILINEAR
        )
        top, left = 2 * 512 // rows, 2 * 512 // cols
        total += (np.asarray(big)[top : top + 512, left : left + 512] - 0.5) / 1.6**octave
    return (total / np.abs(total).max()).astype(np.float32)


def grained(
    pixels: NDArray[np.uint8], strength: float, top: int = 0, left: int = 0
) -> NDArray[np.uint8]:
    """Lighten and darken by the grain, by up to 40 % at strength 1."""
    rows, cols = (
        np.arange(top, top + pixels.shape[0]) % 512,
        np.arange(left, left + pixels.shape[1]) % 512,
    )
    factor = 1.0 + 0.4 * strength * _grain()[np.ix_(rows, cols)]
    return np.clip(np.rint(pixels * factor[..., None]), 0, 255).astype(np.uint8)


def exposed(pixels: NDArray[np.uint8], look: Look) -> NDArray[np.uint8]:
    """Pixels under the look's contrast and brightness."""
    if look.contrast == 1 and look.brightness == 0:
        return pixels
    table = np.clip(
        np.rint(127.5 + look.contrast * (np.arange(256) - 127.5) + 255 * look.brightness), 0, 255
    ).astype(np.uint8)
    return table[pixels]
