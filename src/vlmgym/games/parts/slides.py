"""Slides: all tiles of a board go one way, and equal neighbours merge once."""

from __future__ import annotations

import numpy as np

from vlmgym.core import NO_ACTION, draw64, mix64
from vlmgym.core.kernels import inner, kernel
from vlmgym.games.parts.boards import Boards

MAX_EXPONENT = 17
"""Tiles of this exponent merge no more."""


# A board is flat, (rows * cols,) uint8 exponents: 0 = empty, e = tile 2**e. Moves: 0 up, 1 right, 2
# down, 3 left.
# A move goes along lines: from `start`, each `beside` the last one, their places `along` from one
# another.
#
#     0 1 1 2      right      0 0 2 2      of (1, 1) one 2 is made, which does not merge again
#     0 0 1 0     ------>     0 0 0 1
def flat(boards: Boards) -> Boards:
    """The same boards, ``(B, rows * cols)``."""
    return boards.reshape(len(boards), boards.shape[1] * boards.shape[2])


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
        cell = target = start + line * beside  # next free place
        waiting = np.int64(0)  # exponent waiting for a partner
        for _ in range(length):  # written without branches: which way they go cannot be foreseen
            exponent = np.int64(board[cell])
            merges = (exponent == waiting) & (exponent != 0) & (exponent < MAX_EXPONENT)
            goal = target - along * merges
            out[goal] = exponent + merges
            gain += (np.int64(2) << exponent) * merges  # int64: 2 ** uint8 would wrap at 256
            changed |= (exponent != 0) & (goal != cell)
            stays = (exponent != 0) & (not merges)
            waiting = exponent if stays else (np.int64(0) if merges else waiting)
            target += along * stays
            cell += along
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
        waiting = 0
        cell = line * beside
        for _ in range(length):
            exponent = board[cell]
            if exponent != 0:
                merged = exponent == waiting and exponent < MAX_EXPONENT
                gain += (np.int64(2) << np.int64(exponent)) * merged
                waiting = 0 if merged else exponent
            cell += along
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
        cell = start + line * beside
        before = board[cell]
        for _ in range(1, length):
            cell += along
            exponent = board[cell]
            if exponent != 0 and (before == 0 or (before == exponent and exponent < MAX_EXPONENT)):
                return True
            before = exponent
    return False


@kernel
def mark_slides(boards, cols, legal):
    """Mark the moves that slide or merge a tile, ``(B, 4)``."""
    for game in range(len(boards)):
        for move in range(4):
            legal[game, move] = slide_changes(boards[game], cols, move)


@kernel
def draw_slide(boards, cols, ended, seeds, steps, number):
    """Draw moves, all alike, until one slides or merges a tile, ``(B,)``; a game that has not ended
    has one.
    """
    drawn = np.empty(len(boards), np.int64)
    for game in range(len(boards)):
        drawn[game] = NO_ACTION
        word = draw64(seeds[game], steps[game], number)
        tries = 0
        while drawn[game] < 0 and not ended[game] and tries < 1024:
            move = np.int64((word >> np.uint64(2 * (tries % 32))) & np.uint64(3))
            tries += 1
            if tries % 32 == 0:
                word = mix64(word ^ np.uint64(tries))
            if slide_changes(boards[game], cols, move):
                drawn[game] = move
    return drawn


@kernel
def mark_merges(boards, cols, ended, merging):
    """Mark the moves that merge something, ``(B, 4)``."""
    for game in range(len(boards)):
        for move in range(2):
            merges = not ended[game] and merge_gain(boards[game], cols, move) > 0
            merging[game, move] = merges
            merging[game, move + 2] = merges
