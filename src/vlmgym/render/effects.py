"""What a look does to a tile that is drawn: turn, hide, grain, blur, light."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from vlmgym.core import draw_below, draw_unit
from vlmgym.render.ink import BOARD, EMPTY, tone
from vlmgym.render.looks import Look

_STREAM = np.uint64(0x74696C65)


def _unit(look_word: int, number: int) -> float:
    return float(draw_unit(_STREAM, look_word, number))


def finish_cell(
    face: Callable[[int], Image.Image], tile: int, look: Look, index: int, appearance: int
) -> NDArray[np.uint8]:
    """Turn, frame, hide, grain and blur a face; see :func:`draw_cell`."""
    pitch = tile + look.gap
    half = look.gap // 2
    word = 8 * index + appearance
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
    scale = 4
    side = cell.width
    mask = Image.new("L", (side * scale, side * scale))
    draw = ImageDraw.Draw(mask)
    angle = math.pi * _unit(word, 3)
    dx = math.cos(angle)
    dy = math.sin(angle)
    width = look.occlusion * side * scale / BARS
    for k in range(BARS):
        shift = ((k + 0.5 + 0.5 * (_unit(word, 4 + k) - 0.5)) / BARS - 0.5) * side * scale
        x = side * scale / 2 - dy * shift
        y = side * scale / 2 + dx * shift
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
        top = 2 * 512 // rows
        left = 2 * 512 // cols
        total += (np.asarray(big)[top : top + 512, left : left + 512] - 0.5) / 1.6**octave
    return (total / np.abs(total).max()).astype(np.float32)


def grained(
    pixels: NDArray[np.uint8], strength: float, top: int = 0, left: int = 0
) -> NDArray[np.uint8]:
    """Lighten and darken by the grain, by up to 40 % at strength 1."""
    rows = np.arange(top, top + pixels.shape[0]) % 512
    cols = np.arange(left, left + pixels.shape[1]) % 512
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
