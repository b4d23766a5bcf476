"""Pieces of three to five cells: all that differ when they may be turned but not turned over."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vlmgym.core import draw_below
from vlmgym.core.kernels import inner

COLOURS = ("cyan", "yellow", "purple", "green", "red", "blue", "orange", "pink", "brown")
"""Colours of pieces; a cell of a board that holds ``1 + index`` has one of them."""
PIECES = (
    ("pink", "xxx"),
    ("brown", "x. xx"),
    ("cyan", "xxxx"),
    ("yellow", "xx xx"),
    ("purple", ".x. xxx"),
    ("green", ".xx xx."),
    ("red", "xx. .xx"),
    ("blue", "x.. xxx"),
    ("orange", "..x xxx"),
    ("cyan", "xxxxx"),
    ("blue", "x... xxxx"),
    ("orange", "...x xxxx"),
    ("yellow", "xx. xxx"),
    ("brown", ".xx xxx"),
    ("pink", ".x.. xxxx"),
    ("purple", "..x. xxxx"),
    ("green", "..xx xxx."),
    ("red", "xx.. .xxx"),
    ("purple", "xxx .x. .x."),
    ("yellow", "x.x xxx"),
    ("blue", "x.. x.. xxx"),
    ("orange", "x.. xx. .xx"),
    ("pink", ".x. xxx .x."),
    ("red", "xx. .x. .xx"),
    ("green", ".xx .x. xx."),
    ("brown", ".xx xx. .x."),
    ("cyan", "xx. .xx .x."),
)
"""Their colours and their rows, by size: two of three cells, seven of four, eighteen of five."""
FIRST_OF_SIZE = {3: 0, 4: 2, 5: 9, 6: len(PIECES)}
"""Where the pieces of so many cells begin."""


def _shapes() -> NDArray[np.uint8]:
    """``(pieces, 3, 5)``: the colour of each cell in the top left corner, 0 = none."""
    shapes = np.zeros((len(PIECES), 3, 5), np.uint8)
    for piece, (colour, rows) in enumerate(PIECES):
        for row, cells in enumerate(rows.split()):
            for column, cell in enumerate(cells):
                if cell == "x":
                    shapes[piece, row, column] = 1 + COLOURS.index(colour)
    return shapes


_SHAPES = _shapes()


@inner
def put_piece(board, first_row, first_piece, pieces, seed, step, number):
    """Draw one of some pieces, and put it into the left end of the rows from ``first_row`` on."""
    piece = first_piece + draw_below(seed, step, number, pieces)
    for row in range(3):
        for column in range(5):
            if _SHAPES[piece, row, column]:
                board[first_row + row, column] = _SHAPES[piece, row, column]
