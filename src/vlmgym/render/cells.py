"""One cell at a time: what a symbol looks like under a look, its half gaps around it.

A pure function of symbol, look and appearance; ``atlas`` keeps what was drawn.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vlmgym.games.parts.tile_kinds import FACE_DOWN
from vlmgym.render.effects import finish_cell, frame_cell
from vlmgym.render.ink import EMPTY, MIDDLE, PAPER, tone
from vlmgym.render.looks import Look
from vlmgym.render.sprites import check_sprite, draw_sprite
from vlmgym.render.tiles import Cell, blank, draw_letter, draw_number, draw_shape, draw_text

DRAWERS: MappingProxyType[str, Callable[[Cell, int, Look], Image.Image]] = MappingProxyType(
    {
        "number": draw_number,
        "shape": draw_shape,
        "letter": draw_letter,
        "sprite": draw_sprite,
        "text": draw_text,
    }
)
"""By kind of scene: what draws a symbol on a tile."""


def draw_cell(kind: str, cell: Cell, tile: int, look: Look) -> NDArray[np.uint8]:
    """A symbol as it stands on the board, its half gaps around it.

    Args:
        kind: of the scene; not ``photo``, ``piece`` or ``picture``.
        cell: what stands there; of any kind it may be a card that lies face down.
        tile: pixels of the tile's side.
        look: the look.

    Returns:
        ``(pitch, pitch, 3)`` uint8 with ``pitch = tile + gap``.

    Raises:
        ConfigError: the kind has no such symbol.
    """
    if kind == "sprite":
        check_sprite(cell.name)
    if cell.lines:
        framed = _framed_without_lines(kind, cell._replace(lines=0), tile, look).copy()
    else:
        framed = _framed(kind, cell, tile, look)
    return finish_cell(framed, look, cell)


def _framed(kind: str, cell: Cell, tile: int, look: Look) -> Image.Image:
    def face(side: int) -> Image.Image:
        if cell.symbol == 0 and kind != "sprite":
            return blank(side, EMPTY, look)
        if cell.name == FACE_DOWN:
            return draw_sprite(cell, side, look)
        return DRAWERS[kind](cell, side, look)

    return frame_cell(face, tile, look, cell)


@lru_cache(512)
def _framed_without_lines(kind: str, cell: Cell, tile: int, look: Look) -> Image.Image:
    """One drawing for all cells that differ in their heavy lines."""
    return _framed(kind, cell, tile, look)


def photo_cell(photo: Image.Image, tile: int, look: Look, number: int) -> NDArray[np.uint8]:
    """A photograph as a tile; see :func:`draw_cell`.

    ``number`` chooses among the look's turns and bars.
    """

    def face(side: int) -> Image.Image:
        picture = photo.convert("RGB").resize((side, side), Image.Resampling.BICUBIC)
        return _greyed(picture, look)

    what = Cell(number, "", number % look.appearances)
    return finish_cell(frame_cell(face, tile, look, what), look, what)


def _greyed(picture: Image.Image, look: Look) -> Image.Image:
    """A picture under the look's ``similarity``."""
    if look.similarity == 0:
        return picture
    grey = Image.new("RGB", picture.size, MIDDLE)
    return Image.blend(picture, grey, look.similarity)


def piece_cell(
    cut: Callable[[int], Image.Image], tile: int, look: Look, number: int, framed: bool
) -> NDArray[np.uint8]:
    """A piece of a photograph; see :func:`draw_cell`.

    Args:
        cut: the piece with a side of so many pixels.
        tile: pixels of the tile's side.
        look: the look.
        number: chooses among the look's turns and bars.
        framed: a frame of paper is around the piece; else it fills its cell, so that pieces which
            fit run into each other.
    """
    what = Cell(number, "", number % look.appearances)

    def in_frame(side: int) -> Image.Image:
        width = max(1, side // 16)
        picture = Image.new("RGB", (side, side), tone(PAPER, look))
        picture.paste(_greyed(cut(side - 2 * width), look), (width, width))
        return picture

    if framed:
        return finish_cell(frame_cell(in_frame, tile, look, what), look, what)
    whole_cell = replace(look, gap=0, rotation=0.0)

    def face(side: int) -> Image.Image:
        return _greyed(cut(side), look)

    framed_piece = frame_cell(face, tile + look.gap, whole_cell, what)
    return finish_cell(framed_piece, whole_cell, what)
