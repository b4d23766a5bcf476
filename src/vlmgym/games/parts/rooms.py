"""Rooms: walls all around and some within, all free cells connected, and targets."""

from __future__ import annotations

import numpy as np

from vlmgym.core import draw_below
from vlmgym.core.kernels import apart
from vlmgym.games.solvers.boxes import FLOOR, TARGET, WALL


@apart
def _connected(board, free, stack):
    """Whether the cells without walls, ``free`` in number, hang together; walls surround them."""
    rows, cols = board.shape
    seen = np.zeros(rows * cols, np.bool_)
    tail = 0
    found = 0
    for k in range(rows * cols):
        if board[k // cols, k % cols] != WALL:
            seen[k] = True
            stack[0] = k
            tail = 1
            break
    while tail:
        tail -= 1
        k = stack[tail]
        found += 1
        for stride in (-cols, 1, cols, -1):
            if not seen[k + stride] and board[(k + stride) // cols, (k + stride) % cols] != WALL:
                seen[k + stride] = True
                stack[tail] = k + stride
                tail += 1
    return found == free


@apart
def draw_room(board, seed, draws, walls, targets):
    """Draw a connected room with its targets; returns the number of the next draw."""
    rows, cols = board.shape
    free = (rows - 2) * (cols - 2)
    inside = np.empty(free, np.int64)
    stack = np.empty(rows * cols, np.int64)
    for r in range(rows):
        for c in range(cols):
            board[r, c] = WALL
            if 0 < r < rows - 1 and 0 < c < cols - 1:
                board[r, c] = FLOOR
                inside[(r - 1) * (cols - 2) + c - 1] = r * cols + c
    for k in range(free - 1, 0, -1):
        other = draw_below(seed, 0, draws, k + 1)
        inside[k], inside[other] = inside[other], inside[k]
        draws += 1
    for cell in inside:
        r = cell // cols
        c = cell % cols
        if len(inside) - free < walls:
            board[r, c] = WALL
            if _connected(board, free - 1, stack):
                free -= 1
                continue
            board[r, c] = FLOOR
    # cells in drawn order, from the other end: those that no wall was tried on come first
    for cell in inside[::-1]:
        if targets and board[cell // cols, cell % cols] == FLOOR:
            board[cell // cols, cell % cols] = TARGET
            targets -= 1
    return draws
