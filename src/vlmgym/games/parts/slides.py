"""Slides: all tiles of a board go one way, and equal neighbours merge once."""

from __future__ import annotations

import numpy as np

from vlmgym.core.kernels import inner, kernel

MAX_EXPONENT = 17
"""Tiles of this exponent merge no more."""


# A board is flat, (rows * cols,) uint8 exponents: 0 = empty, e = tile 2**e. Moves: 0 up, 1 right, 2
# down, 3 left.
# A move goes along lines: from `start`, each `beside` the last one, their places `along` from one
# another.
#
#     0 1 1 2      right      0 0 2 2      of (1, 1) one 2 is made, which does not merge again
#     0 0 1 0     ------>     0 0 0 1
@kernel
def slide(board, cols, move, out):
    """Slide one board into ``out``; returns (gain, changed)."""
    rows = len(board) // cols
    if move % 2 == 0:
        lines = cols
        length = rows
        along = cols
        beside = 1
    else:
        lines = rows
        length = cols
        along = 1
        beside = cols
    start = 0
    if move == 1 or move == 2:
        start = (length - 1) * along
        along = -along
    gain = np.int64(0)
    changed = False
    out[:] = 0
    for line in range(lines):
        place = put = start + line * beside  # next free place
        last = np.int64(0)  # exponent waiting for a partner
        for _ in range(length):  # written without branches: which way they go cannot be foreseen
            e = np.int64(board[place])
            merges = (e == last) & (e != 0) & (e < MAX_EXPONENT)
            goes = put - along * merges
            out[goes] = e + merges
            gain += (np.int64(2) << e) * merges  # int64: 2 ** uint8 would wrap at 256
            changed |= (e != 0) & (goes != place)
            waits = (e != 0) & (not merges)
            last = e if waits else (np.int64(0) if merges else last)
            put += along * waits
            place += along
    return gain, changed


@kernel
def merge_gain(board, cols, move):
    """Score of a move and of its opposite: of k equal tiles that meet, k // 2 pairs merge whichever
    way they slide.
    """
    rows = len(board) // cols
    lines, length, along, beside = (cols, rows, cols, 1) if move % 2 == 0 else (rows, cols, 1, cols)
    gain = np.int64(0)
    for line in range(lines):
        last = 0
        place = line * beside
        for _ in range(length):
            e = board[place]
            if e != 0:
                merged = e == last and e < MAX_EXPONENT
                gain += (np.int64(2) << np.int64(e)) * merged
                last = 0 if merged else e
            place += along
    return gain


@inner
def slide_changes(board, cols, move):
    """Whether a move changes the board."""
    rows = len(board) // cols
    lines, length, along, beside = (cols, rows, cols, 1) if move % 2 == 0 else (rows, cols, 1, cols)
    start = 0
    if move == 1 or move == 2:
        start = (length - 1) * along
        along = -along
    for line in range(lines):
        place = start + line * beside
        before = board[place]
        for _ in range(1, length):
            place += along
            e = board[place]
            if e != 0 and (before == 0 or (before == e and e < MAX_EXPONENT)):
                return True
            before = e
    return False
