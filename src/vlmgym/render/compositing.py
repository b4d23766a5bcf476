"""Frames from cells: all that is not a cell is copied from a canvas, and the cells into it."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vlmgym.core.kernels import kernel, move
from vlmgym.render.atlas import Atlas, Face, Layout, atlas_of, canvas_of, layout_of
from vlmgym.render.looks import Look


class Template(NamedTuple):
    """What frames of one kind of scene under one look are made from."""

    layout: Layout
    atlas: Atlas
    canvas: NDArray[np.uint8]  # (H, W * 3)

    @property
    def corner(self) -> tuple[int, int]:
        """Where the cells begin: lines above them, and bytes on their left."""
        return self.layout.top, 3 * self.layout.left


@lru_cache(256)
def template_of(look: Look, face: Face, rows: int, columns: int) -> Template:
    """The template of a kind of scene under a look; the ones used last are kept."""
    layout = layout_of(look, rows, columns)
    atlas = atlas_of(face, look, layout.tile)
    return Template(layout, atlas, canvas_of(look, rows, columns))


@kernel
def gather_cells(cell_ids, rows, cells, canvas, corner, frames):
    """Write whole frames, line by line, each byte once.

    cell_ids (B, rows, cols) int32 into cells; rows (n,) the frames to write; cells (cells, pitch,
    pitch * 3) uint8; canvas (H, W * 3) uint8; corner as Template.corner; frames (B, H, W * 3)
    uint8.
    """
    board_rows, board_columns = cell_ids.shape[1:]
    pitch, cell_width = cells.shape[1:]
    top, left = corner
    line_width = canvas.shape[1]
    size = canvas.size
    between = line_width - board_columns * cell_width  # from the board's right end to its left one
    for frame in rows:
        start = frame * size
        offset = top * line_width + left
        move(frames, start, canvas, 0, offset)
        for row in range(board_rows):
            for y in range(pitch):
                for column in range(board_columns):
                    source = (cell_ids[frame, row, column] * pitch + y) * cell_width
                    move(frames, start + offset, cells, source, cell_width)
                    offset += cell_width
                if row < board_rows - 1 or y < pitch - 1:
                    move(frames, start + offset, canvas, offset, between)
                    offset += between
        move(frames, start + offset, canvas, offset, size - offset)


@kernel
def patch_cells(cell_ids, before, cells, corner, frames):
    """Write the cells that differ from those ``before``; arrays as for gather_cells."""
    pitch, cell_width = cells.shape[1:]
    top, left = corner
    height, line_width = frames.shape[1:]
    for frame in range(len(cell_ids)):
        for row in range(cell_ids.shape[1]):
            for column in range(cell_ids.shape[2]):
                cell = cell_ids[frame, row, column]
                if cell == before[frame, row, column]:
                    continue
                line = frame * height + top + row * pitch
                target = line * line_width + left + column * cell_width
                source = cell * pitch * cell_width
                for y in range(pitch):
                    move(
                        frames,
                        target + y * line_width,
                        cells,
                        source + y * cell_width,
                        cell_width,
                    )
