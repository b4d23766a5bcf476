"""Scenes to pictures: a look fixes every pixel. Tiles are drawn once into an atlas; a frame is a gather from it.

A picture depends on the symbols of its scene and on the look, on nothing else: not on score, turn, batch or machine.
The font is bundled, digits and shapes are drawn large and averaged down in integer arithmetic.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib import resources
from io import BytesIO
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from vlmgym.core import ConfigError, Game, Level, Settings, State, StateError, setting

Colour = tuple[int, int, int]

MIN_TILE = 8
LABEL_ROOM = 12
"""Pixels that the coordinate labels need between the board's frame and the end of the margin."""


@dataclass(frozen=True)
class Look(Settings):
    """How a board is drawn: the perception dial. It never changes the puzzle.

    The board is a grid of cells of ``tile + gap`` pixels, each with its tile in the middle; around it lies the margin,
    whose inner ``gap / 2`` pixels complete the board's frame.

    Raises:
        ConfigError: a field is out of range, or the margin has no room for the coordinates.
    """

    skin: str = setting("auto", "how symbols are drawn; auto: by the kind of scene", choices=("auto", "numbers", "shapes"))
    tile: int = setting(64, "pixels of a tile's side; with a width or height, the largest that fits is taken instead", 8, 256)
    gap: int = setting(4, "pixels between two tiles, in the board's colour", 0, 64)
    margin: int = setting(0, "pixels around the board, at least", 0, 256)
    width: int = setting(0, "pixels of the picture's width, the board in its centre; 0 = as the board needs", 0, 2048)
    height: int = setting(0, "pixels of the picture's height, the board in its centre; 0 = as the board needs", 0, 2048)
    coordinates: bool = setting(False, "row and column numbers, from 0, in the margin on the left and at the top")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.coordinates and self.margin < self.gap + LABEL_ROOM:
            raise ConfigError(
                "Look.margin", self.margin, f"gap + {LABEL_ROOM} = {self.gap + LABEL_ROOM} or more with coordinates"
            )


LOOKS = MappingProxyType(
    {
        "clean": Look(tile=64, gap=4, margin=32, coordinates=True),
        "paper": Look(gap=8, margin=16, width=640, height=840),
        "tiny": Look(tile=26, gap=2),
    }
)
"""The looks by name.

``clean``: for people and for models of ordinary size; rows and columns are numbered. A 4x4 board is 336 x 336 pixels.

``paper``: the size of the pictures in the paper's training, 640x840, read as width 640 and height 840: frames have the
shape ``(840, 640, 3)``. The board is drawn at that size, not resized to it, and the paper's score line is left out, for
it is no part of the board.

``tiny``: a cell is exactly one aligned patch of 28 x 28 pixels, its gap included; a 4x4 board is 112 x 112.
"""


def get_look(look: str | Look = "clean", **overrides: Any) -> Look:
    """A named look (or a Look), with single fields overridden.

    Raises:
        ConfigError: unknown name, unknown field, or a value out of range.
    """
    if isinstance(look, str):
        if look not in LOOKS:
            raise ConfigError("look", look, "one of " + ", ".join(LOOKS))
        look = LOOKS[look]
    if not isinstance(look, Look):
        raise ConfigError("look", look, "a Look or one of " + ", ".join(LOOKS))
    return look.override(**overrides) if overrides else look


# -------------------------------------------------------------------------------------------------------- geometry
class _Layout(NamedTuple):
    """Where the board lies in the picture, in pixels."""

    height: int
    width: int
    top: int  # of the grid of cells, without frame
    left: int
    tile: int
    gap: int


@lru_cache(1024)
def _layout(look: Look, rows: int, cols: int) -> _Layout:
    edge, tile = 2 * look.margin, look.tile
    if look.width or look.height:
        tile = min((size - edge) // n - look.gap for size, n in ((look.width, cols), (look.height, rows)) if size)
        if tile < MIN_TILE:
            for name, size, n in (("width", look.width, cols), ("height", look.height, rows)):
                need = edge + n * (MIN_TILE + look.gap)
                if 0 < size < need:
                    raise ConfigError(f"Look.{name}", size, f"{need} or more for a board of {rows} x {cols}, or 0")
    pitch = tile + look.gap
    height, width = look.height or edge + rows * pitch, look.width or edge + cols * pitch
    return _Layout(height, width, (height - rows * pitch) // 2, (width - cols * pitch) // 2, tile, look.gap)


@lru_cache(1024)
def _grid(game: Game, level: Level) -> tuple[int, int]:
    rows, cols = game.scene(game.reset(level, np.zeros(1, np.uint64))).symbols.shape[1:]
    return rows, cols


def frame_size(game: Game, level: str | Level, look: str | Look = "clean") -> tuple[int, int]:
    """Height and width of the pictures, in pixels.

    Raises:
        ConfigError: unknown level or look, or the board does not fit into the look's width or height.
    """
    layout = _layout(get_look(look), *_grid(game, game.level(level)))
    return layout.height, layout.width


def tile_boxes(game: Game, level: str | Level, look: str | Look = "clean") -> NDArray[np.int64]:
    """The tiles' places in the picture, ``(rows, cols, 4)`` int64: x0, y0, x1, y1 in pixels, the ends not included.

    Raises:
        ConfigError: as :func:`frame_size`.
    """
    rows, cols = _grid(game, game.level(level))
    layout = _layout(get_look(look), rows, cols)
    pitch, half = layout.tile + layout.gap, layout.gap // 2
    boxes = np.empty((rows, cols, 4), np.int64)
    boxes[:, :, 0] = layout.left + half + pitch * np.arange(cols)
    boxes[:, :, 1] = (layout.top + half + pitch * np.arange(rows))[:, None]
    boxes[:, :, 2:] = boxes[:, :, :2] + layout.tile
    return boxes


# ---------------------------------------------------------------------------------------------------------- skins
PAGE: Colour = (244, 242, 237)
BOARD: Colour = (47, 53, 66)
EMPTY: Colour = (96, 106, 125)
LABEL: Colour = (74, 80, 94)
PAPER: Colour = (252, 251, 248)
DARK: Colour = (24, 24, 28)
LIGHT: Colour = (255, 255, 255)
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
"""Tile colours of the skin ``numbers``, by symbol from 1 on (2048: by exponent); repeated where a game has more."""
SHAPE_FILLS = MappingProxyType(
    {
        "red": (226, 38, 38),
        "green": (28, 160, 52),
        "blue": (34, 78, 222),
        "yellow": (252, 214, 24),
        "magenta": (216, 44, 208),
        "cyan": (24, 198, 222),
    }
)


def _regular(points: int, inner: float = 1.0) -> tuple[tuple[float, float], ...]:
    """A star of ``2 * points`` corners, the first one on top, in the square from -1 to 1."""
    angles = [math.pi * k / points for k in range(2 * points)]
    return tuple(
        ((inner if k % 2 else 1.0) * math.sin(a), -(inner if k % 2 else 1.0) * math.cos(a)) for k, a in enumerate(angles)
    )


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
    }
)
"""Corners of the shapes, x to the right and y down, in units of the shape's radius; the circle has none."""


@cache
def _font(pixels: int) -> ImageFont.FreeTypeFont:
    data = (resources.files("vlmgym") / "skins" / "DejaVuSans-Bold.ttf").read_bytes()
    return ImageFont.truetype(BytesIO(data), pixels, layout_engine=ImageFont.Layout.BASIC)


@lru_cache(256)
def _text(text: str) -> Image.Image:
    """The ink of digits, drawn large; cropped to the ink sideways and to the height of a digit."""
    font = _font(512)
    left, _, right, _ = font.getbbox(text)
    _, top, _, bottom = font.getbbox("0123456789")
    ink = Image.new("L", (int(right - left), int(bottom - top)))
    ImageDraw.Draw(ink).text((-left, -top), text, fill=255, font=font)
    return ink


def _write(picture: Image.Image, text: str, centre: tuple[float, float], room: tuple[float, float], colour: Colour) -> None:
    """Write digits as high as the room (width, height) allows; long ones are squeezed to 4/5 of their width first."""
    ink = _text(text)
    natural = ink.width / ink.height
    height = min(room[1], room[0] / (0.8 * natural))
    size = max(1, round(min(room[0], height * natural))), max(1, round(height))
    ink = ink.resize(size, Image.Resampling.LANCZOS)
    place = round(centre[0] - size[0] / 2), round(centre[1] - size[1] / 2)
    picture.paste(Image.new("RGB", size, colour), place, ink)


def _blank(tile: int, fill: Colour, draw_more: Callable[[ImageDraw.ImageDraw, int], None] | None = None) -> Image.Image:
    """A tile with round corners on the board's colour, averaged down from a drawing ``scale`` times as large."""
    scale = 8 if tile <= 128 else 4
    side = tile * scale
    picture = Image.new("RGB", (side, side), BOARD)
    draw = ImageDraw.Draw(picture)
    draw.rounded_rectangle((0, 0, side - 1, side - 1), radius=side * 3 // 32, fill=fill)
    if draw_more:
        draw_more(draw, scale)
    return picture.reduce(scale)


def _luminance(colour: Colour) -> float:
    """Relative luminance (WCAG 2.2)."""
    r, g, b = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (v / 255 for v in colour))
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


def _draw_number(index: int, name: str, tile: int) -> Image.Image:
    fill = NUMBER_FILLS[(index - 1) % len(NUMBER_FILLS)]
    picture = _blank(tile, fill)
    ink = DARK if _luminance(fill) > 0.19 else LIGHT
    _write(picture, name, (tile / 2, tile / 2), (0.86 * tile, 0.42 * tile), ink)
    return picture


def _draw_shape(index: int, name: str, tile: int) -> Image.Image:
    colour, _, shape = name.partition(" ")
    if colour not in SHAPE_FILLS or shape not in SHAPES:
        known = f"a colour ({', '.join(SHAPE_FILLS)}) and a shape ({', '.join(SHAPES)})"
        raise ConfigError("symbol of the skin shapes", name, known)
    fill = SHAPE_FILLS[colour]
    edge = tuple(v * 45 // 100 for v in fill)

    def draw_more(draw: ImageDraw.ImageDraw, scale: int) -> None:
        middle, radius, pen = tile * scale / 2, 0.36 * tile * scale, max(scale * 3 // 4, tile * scale // 40)
        points = [(round(middle + radius * x), round(middle + radius * y)) for x, y in SHAPES[shape]]
        if not points:
            box = (
                round(middle - radius),
                round(middle - radius),
                round(middle + radius) - 1,
                round(middle + radius) - 1,
            )
            draw.ellipse(box, fill=fill, outline=edge, width=pen)
            return
        draw.polygon(points, fill=fill)
        draw.line([*points, points[0], points[1]], fill=edge, width=pen, joint="curve")

    return _blank(tile, PAPER, draw_more)


SKINS = MappingProxyType({"numbers": ("number", _draw_number), "shapes": ("shape", _draw_shape)})
"""By name: the kind of scene that the skin can draw, and how it draws symbol ``index`` called ``name`` on a tile."""


def _pick_skin(skin: str, kind: str) -> str:
    able = [name for name, (can, _) in SKINS.items() if can == kind]
    if skin == "auto" and able:
        return able[0]
    if skin not in able:
        raise ConfigError("Look.skin", skin, f"{' or '.join(able) or 'none'} for a scene of kind {kind!r}")
    return skin


@lru_cache(64)
def _atlas(kind: str, names: tuple[str, ...], skin: str, tile: int, gap: int) -> NDArray[np.uint8]:
    """All cells, ``(symbols, pitch, pitch * 3)`` uint8, the tile in the middle of its gap."""
    draw = SKINS[_pick_skin(skin, kind)][1]
    pitch, half = tile + gap, gap // 2
    cells = np.empty((len(names), pitch, pitch, 3), np.uint8)
    cells[:] = BOARD
    for index, name in enumerate(names):
        picture = draw(index, name, tile) if index else _blank(tile, EMPTY)
        cells[index, half : half + tile, half : half + tile] = np.asarray(picture)
    cells.flags.writeable = False
    return cells.reshape(len(names), pitch, pitch * 3)


@lru_cache(64)
def _canvas(look: Look, rows: int, cols: int) -> NDArray[np.uint8]:
    """All that is not a cell, ``(H, W * 3)`` uint8: page, frame, coordinates."""
    layout = _layout(look, rows, cols)
    pitch, frame = layout.tile + layout.gap, min(look.gap - look.gap // 2, look.margin)
    picture = Image.new("RGB", (layout.width, layout.height), PAGE)
    box = layout.left - frame, layout.top - frame, layout.left + cols * pitch + frame, layout.top + rows * pitch + frame
    ImageDraw.Draw(picture).rectangle((box[0], box[1], box[2] - 1, box[3] - 1), fill=BOARD)
    if look.coordinates:
        band = look.margin - frame
        room = min(0.9 * layout.tile, band - 4), min(0.42 * band, 0.5 * layout.tile)
        for col in range(cols):
            centre = layout.left + (col + 0.5) * pitch, box[1] - band / 2
            _write(picture, str(col), centre, room, LABEL)
        for row in range(rows):
            centre = box[0] - band / 2, layout.top + (row + 0.5) * pitch
            _write(picture, str(row), centre, room, LABEL)
    pixels = np.array(picture)
    pixels.flags.writeable = False
    return pixels.reshape(layout.height, layout.width * 3)


# --------------------------------------------------------------------------------------------------------- frames
@njit(cache=True, nogil=True)
def _copy(source, target):
    """Counting from 0 over two arrays lets the compiler drop its checks for negative indices and use wide registers."""
    for i in range(len(target)):
        target[i] = source[i]


@njit(cache=True, nogil=True)
def _gather(symbols, atlas, canvas, top, left, out):
    """Write frames line by line, each byte once; ``out`` is ``(B, H, W * 3)``, ``left`` counts bytes."""
    count, rows, cols = symbols.shape
    high = canvas.shape[0]
    pitch, span = atlas.shape[1:]
    right = left + cols * span
    for b in range(count):
        for y in range(high):
            line, back = out[b, y], canvas[y]
            r = (y - top) // pitch
            if y < top or r >= rows:
                _copy(back, line)
                continue
            _copy(back[:left], line[:left])
            for c in range(cols):
                x = left + c * span
                _copy(atlas[symbols[b, r, c], y - top - r * pitch], line[x : x + span])
            _copy(back[right:], line[right:])


def render(game: Game, state: State, look: str | Look = "clean", out: NDArray[np.uint8] | None = None) -> NDArray[np.uint8]:
    """Draw each row of a batch.

    Args:
        game: the game; its scene is all that is drawn.
        state: ``B`` games.
        look: a look or its name.
        out: where to write; a new array by default.

    Returns:
        ``(B, H, W, 3)`` uint8, red green blue, with H and W as in :func:`frame_size`; it is ``out`` where given.

    Raises:
        ConfigError: unknown look, a skin that cannot draw this game, a board that does not fit into the look's width or
            height, or ``out`` is not a writable C-contiguous uint8 array of that shape.
        StateError: the scene holds symbols without a name.
    """
    look, scene = get_look(look), game.scene(state)
    symbols = np.ascontiguousarray(scene.symbols, np.int16)
    count, rows, cols = symbols.shape
    layout = _layout(look, rows, cols)
    atlas = _atlas(scene.kind, scene.names, look.skin, layout.tile, layout.gap)
    if symbols.size and (symbols.min() < 0 or symbols.max() >= len(atlas)):
        raise StateError(f"symbols {symbols.min()} to {symbols.max()}: {game.name} names 0 to {len(atlas) - 1}")
    shape = (count, layout.height, layout.width, 3)
    if out is None:
        out = np.empty(shape, np.uint8)
    elif not (
        isinstance(out, np.ndarray)
        and out.shape == shape
        and out.dtype == np.uint8
        and out.flags.c_contiguous
        and out.flags.writeable
    ):
        given = f"{out.shape} {out.dtype}" if isinstance(out, np.ndarray) else type(out).__name__
        raise ConfigError("out", given, f"a writable C-contiguous uint8 array of shape {shape}")
    flat = out.reshape(count, layout.height, layout.width * 3)
    _gather(symbols, atlas, _canvas(look, rows, cols), layout.top, 3 * layout.left, flat)
    return out
