"""One cell at a time: what a symbol looks like under a look, its half gaps around it.

A pure function of symbol, look and appearance; ``atlas`` keeps what was drawn.
"""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vlmgym.games.parts.tile_kinds import FACE_DOWN
from vlmgym.render.effects import finish_cell
from vlmgym.render.ink import EMPTY, MIDDLE
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
        kind: of the scene; not ``photo`` or ``picture``.
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

    def face(side: int) -> Image.Image:
        if cell.symbol == 0 and kind != "sprite":
            return blank(side, EMPTY, look)
        if cell.name == FACE_DOWN:
            return draw_sprite(cell, side, look)
        return DRAWERS[kind](cell, side, look)

    return finish_cell(face, tile, look, cell)


def photo_cell(photo: Image.Image, tile: int, look: Look, number: int) -> NDArray[np.uint8]:
    """A photograph as a tile; see :func:`draw_cell`.

    ``number`` chooses among the look's turns and bars.
    """

    def face(side: int) -> Image.Image:
        picture = photo.convert("RGB").resize((side, side), Image.Resampling.BICUBIC)
        if look.similarity:
            grey = Image.new("RGB", picture.size, MIDDLE)
            picture = Image.blend(picture, grey, look.similarity)
        return picture

    return finish_cell(face, tile, look, Cell(number, "", number % look.appearances))
