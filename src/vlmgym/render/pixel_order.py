"""How image processors order the values of a picture, and pictures written in such an order."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from vlmgym.core.kernels import kernel, move


class Order(NamedTuple):
    """How a processor lays out a picture.

    ``patch`` 0: planes ``(3, H, W)``. Else flat patches of the Qwen-VL family: blocks of ``merge``
    x ``merge`` patches in reading order, within a patch channel, ``copies`` (one for each of the
    frames of a still "video"), row, column.
    """

    patch: int = 0
    merge: int = 1
    copies: int = 1

    def shape(self, height: int, width: int) -> tuple[int, ...]:
        """The shape of one picture's values."""
        if not self.patch:
            return 3, height, width
        area = self.patch**2
        return height * width // area, 3 * self.copies * area


@kernel
def _write_band(band, y, height, order, out, start):
    """Put a band of lines of a picture, (lines, 3, W) float32, into flat ``out`` from ``start`` on.

    The band is the one line ``y`` for planes, else all lines of the row of patches that ends with
    line ``y``.
    """
    width = band.shape[2]
    patch = order.patch
    merge = order.merge
    if patch == 0:
        for channel in range(3):
            move(out, start + (channel * height + y) * width, band, channel * width, width)
        return
    patch_row = y // patch
    area = patch * patch
    groups = width // patch // merge
    patch_size = 3 * order.copies * area
    for group in range(groups):
        group_number = patch_row // merge * groups + group
        first_patch = (group_number * merge + patch_row % merge) * merge
        target = start + first_patch * patch_size
        for patch_column in range(group * merge, (group + 1) * merge):
            for channel in range(3):
                source = channel * width + patch_column * patch
                if patch == 14:  # a known size is compiled to a few wide moves
                    for line in range(14):
                        move(out, target + line * 14, band, source + line * 3 * width, 14)
                else:
                    for line in range(patch):
                        move(out, target + line * patch, band, source + line * 3 * width, patch)
                for copy in range(1, order.copies):
                    move(out, target + copy * area, out, target, area)
                target += order.copies * area


@kernel
def write_frames(frames, table, order, out):
    """The values of pictures in an order.

    frames (B, H, W, 3) uint8; table (3, 256) float32, a value for each byte of a channel; order an
    Order; out flat float32, B pictures.
    """
    count, height, width = frames.shape[:3]
    lines = max(order.patch, 1)
    band = np.empty((lines, 3, width), np.float32)
    red = table[0]
    green = table[1]
    blue = table[2]
    for picture in range(count):
        start = len(out) // count * picture
        for y in range(height):
            pixels = frames[picture, y]
            line = band[y % lines]
            for x in range(width):
                line[0, x] = red[pixels[x, 0]]
                line[1, x] = green[pixels[x, 1]]
                line[2, x] = blue[pixels[x, 2]]
            if y % lines == lines - 1:
                _write_band(band, y, height, order, out, start)


@kernel
def write_boards(cell_ids, cells, canvas, corner, order, out):
    """The values of pictures that are made of cells, as :func:`write_frames` orders them.

    cell_ids (B, rows, cols) int32 into cells; cells (cells, pitch, 3, pitch) and canvas (H, 3, W)
    float32, normalised; corner: top and left of the board in pixels; out flat float32, B pictures.
    """
    count, rows, columns = cell_ids.shape
    height = canvas.shape[0]
    width = canvas.shape[2]
    pitch = cells.shape[1]
    top, left = corner
    lines = max(order.patch, 1)
    band = np.empty((lines, 3, width), np.float32)
    for picture in range(count):
        start = len(out) // count * picture
        for y in range(height):
            line = y % lines * 3 * width
            move(band, line, canvas, 3 * width * y, 3 * width)
            row = (y - top) // pitch
            line_of_cell = (y - top) % pitch
            if 0 <= row < rows:
                for column in range(columns):
                    source = (cell_ids[picture, row, column] * pitch + line_of_cell) * 3 * pitch
                    target = line + left + column * pitch
                    for channel in range(3):
                        move(band, target + channel * width, cells, source + channel * pitch, pitch)
            if y % lines == lines - 1:
                _write_band(band, y, height, order, out, start)
