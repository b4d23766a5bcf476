"""What a look does to a tile that is drawn: turn, hide, grain, blur, light."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from vlmgym.core import draw_below, draw_unit
from vlmgym.render.ink import BOARD, DARK, EMPTY, Colour, tone
from vlmgym.render.looks import Look
from vlmgym.render.tiles import Cell

_STREAM = np.uint64(0x74696C65)
BARS = 3
BAR_COLOUR = (120, 112, 104)
GRAIN_SIDE = 512
GRAIN_OCTAVES = ((8, 4), (32, 8), (128, 32), (256, 128))
"""Rows and columns of the random values of each scale of the grain, the coarsest first."""
GRAIN_STREAM = 1_000_000

# Numbers of the draws of a cell.
_ANGLE = 0
_GRAIN_TOP = 1
_GRAIN_LEFT = 2
_BAR_ANGLE = 3
_BAR_SHIFT = 4  # and those of the further bars after it


def _unit(cell_word: int, number: int) -> float:
    """A draw from 0 to 1, of a cell (see :func:`_word_of`)."""
    return float(draw_unit(_STREAM, cell_word, number))


def frame_cell(
    face: Callable[[int], Image.Image], tile: int, look: Look, what: Cell
) -> Image.Image:
    """Turn, frame and join a face; see :func:`vlmgym.render.cells.draw_cell`.

    A cell whose drawing goes on in its neighbours is not turned.

    Args:
        face: draws the tile with a side of so many pixels.
        tile: pixels of the tile's side.
        look: the look.
        what: what stands on the cell.
    """
    ground = tone(BOARD if look.grid else EMPTY, look)
    is_turned = look.rotation and not what.joins
    picture = _turned(face, tile, look, _word_of(what), ground) if is_turned else face(tile)
    cell = _framed(picture, look, ground)
    if what.joins:
        _join(cell, tile, look.gap // 2, what.joins)
    return cell


def finish_cell(cell: Image.Image, look: Look, what: Cell) -> NDArray[np.uint8]:
    """Rule, hide, grain, blur and light a cell of :func:`frame_cell`, which is written on."""
    cell_word = _word_of(what)
    if what.lines:
        _rule(cell, look, what.lines)
    if look.occlusion:
        cell = _hide(cell, look, cell_word)
    if look.texture:
        top = draw_below(_STREAM, cell_word, _GRAIN_TOP, GRAIN_SIDE)
        left = draw_below(_STREAM, cell_word, _GRAIN_LEFT, GRAIN_SIDE)
        cell = Image.fromarray(grained(np.asarray(cell), look.texture, top, left))
    if look.blur:
        cell = cell.filter(ImageFilter.GaussianBlur(look.blur))
    return exposed(np.asarray(cell), look)


def _word_of(what: Cell) -> int:
    """What the draws of a cell depend on."""
    return 8 * what.symbol + what.appearance


def _turned(
    face: Callable[[int], Image.Image], tile: int, look: Look, cell_word: int, ground: Colour
) -> Image.Image:
    """A tile turned by an angle that the cell draws, small enough to keep its corners."""
    angle = look.rotation * (2 * _unit(cell_word, _ANGLE) - 1)
    radians = math.radians(angle)
    side = tile * (4 if tile <= 64 else 2)  # averaged down in the end
    growth = math.cos(radians) + abs(math.sin(radians))
    upright = face(round(side / growth))
    background = ground if look.grid else upright.getpixel((1, upright.height // 2))
    canvas = Image.new("RGB", (side, side), background)
    turned = upright.convert("RGBA").rotate(angle, Image.Resampling.BICUBIC, expand=True)
    left = (side - turned.width) // 2
    top = (side - turned.height) // 2
    canvas.paste(turned, (left, top), turned)
    return canvas.resize((tile, tile), Image.Resampling.BOX)


def _framed(picture: Image.Image, look: Look, ground: Colour) -> Image.Image:
    """A tile in the middle of its cell; without grid lines it is drawn out to the cell's edges."""
    tile = picture.width
    pitch = tile + look.gap
    half_gap = look.gap // 2
    cell = Image.new("RGB", (pitch, pitch), ground)
    if look.gap and not look.grid:
        whole_tile = (0, 0, tile, tile)
        cell.paste(picture.resize((pitch, pitch), Image.Resampling.BICUBIC, whole_tile))
    cell.paste(picture, (half_gap, half_gap))
    return cell


def _join(cell: Image.Image, tile: int, half_gap: int, joins: int) -> None:
    """Let a tile's edge go on over the gaps of the sides that are joined."""
    pitch = cell.width
    end = half_gap + tile
    # by side: the edge of the tile, and the gap beyond it
    places = (
        ((half_gap, half_gap, end, half_gap + 1), (half_gap, 0, end, half_gap)),
        ((end - 1, half_gap, end, end), (end, half_gap, pitch, end)),
        ((half_gap, end - 1, end, end), (half_gap, end, end, pitch)),
        ((half_gap, half_gap, half_gap + 1, end), (0, half_gap, half_gap, end)),
    )
    for side, (edge, gap) in enumerate(places):
        left, top, right, bottom = gap
        if joins >> side & 1 and right > left and bottom > top:
            cell.paste(cell.crop(edge).resize((right - left, bottom - top)), (left, top))


def _rule(cell: Image.Image, look: Look, lines: int) -> None:
    """Draw a heavy line along the sides that have one; its other half is the neighbour's.

    It is twice as wide as the gap, at least, as far as it leaves two thirds of the tile free.
    """
    pitch = cell.width
    least = min((look.gap + 1) // 2, (pitch - look.gap) // 6)
    width = look.gap // 2 + max(1, pitch // 24, least)
    boxes = (
        (0, 0, pitch, width),
        (pitch - width, 0, pitch, pitch),
        (0, pitch - width, pitch, pitch),
        (0, 0, width, pitch),
    )
    for side, box in enumerate(boxes):
        if lines >> side & 1:
            cell.paste(tone(DARK, look), box)


def _hide(cell: Image.Image, look: Look, cell_word: int) -> Image.Image:
    """Three thin bars across the cell; together they hide about the look's share of it, never one
    whole part.
    """
    scale = 4  # the bars are averaged down
    side = cell.width * scale
    mask = Image.new("L", (side, side))
    canvas = ImageDraw.Draw(mask)
    angle = math.pi * _unit(cell_word, _BAR_ANGLE)
    across = math.cos(angle)
    down = math.sin(angle)
    width = max(1, round(look.occlusion * side / BARS))
    for bar in range(BARS):
        jitter = 0.5 * (_unit(cell_word, _BAR_SHIFT + bar) - 0.5)
        shift = ((bar + 0.5 + jitter) / BARS - 0.5) * side
        middle_x = side / 2 - down * shift
        middle_y = side / 2 + across * shift
        start = (middle_x - across * side, middle_y - down * side)
        end = (middle_x + across * side, middle_y + down * side)
        canvas.line((*start, *end), fill=255, width=width)
    bars = Image.new("RGB", cell.size, tone(BAR_COLOUR, look))
    return Image.composite(bars, cell, mask.reduce(scale))


@cache
def _grain() -> NDArray[np.float32]:
    """A 512x512 grain, -1 to 1, repeating without seams: value noise at four scales, stretched like
    wood.
    """
    total = np.zeros((GRAIN_SIDE, GRAIN_SIDE))
    for octave, (rows, columns) in enumerate(GRAIN_OCTAVES):
        stream = GRAIN_STREAM + octave
        draws = [draw_unit(_STREAM, stream, number) for number in range(rows * columns)]
        values = np.array(draws).reshape(rows, columns)
        # two more on each side, so that the values at the edges go on as on the other side
        wrapped = Image.fromarray(np.pad(values, 2, mode="wrap").astype(np.float32))
        height = GRAIN_SIDE * (rows + 4) // rows
        width = GRAIN_SIDE * (columns + 4) // columns
        smooth = np.asarray(wrapped.resize((width, height), Image.Resampling.BILINEAR))
        top = 2 * GRAIN_SIDE // rows
        left = 2 * GRAIN_SIDE // columns
        inside = smooth[top : top + GRAIN_SIDE, left : left + GRAIN_SIDE]
        total += (inside - 0.5) / 1.6**octave
    return (total / np.abs(total).max()).astype(np.float32)


def grained(
    pixels: NDArray[np.uint8], strength: float, top: int = 0, left: int = 0
) -> NDArray[np.uint8]:
    """Pixels ``(H, W, 3)``, lightened and darkened by the grain, by up to 40 % at strength 1."""
    height, width = pixels.shape[:2]
    rows = np.arange(top, top + height) % GRAIN_SIDE
    columns = np.arange(left, left + width) % GRAIN_SIDE
    factors = 1.0 + 0.4 * strength * _grain()[np.ix_(rows, columns)]
    lit = np.rint(pixels * factors[..., None])
    return np.clip(lit, 0, 255).astype(np.uint8)


def exposed(pixels: NDArray[np.uint8], look: Look) -> NDArray[np.uint8]:
    """Pixels under the look's contrast and brightness."""
    if look.contrast == 1 and look.brightness == 0:
        return pixels
    contrasted = 127.5 + look.contrast * (np.arange(256) - 127.5)
    values = np.rint(contrasted + 255 * look.brightness)
    table = np.clip(values, 0, 255).astype(np.uint8)
    return table[pixels]
