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
    is_reached = np.zeros(rows * cols, np.bool_)
    waiting = 0
    reached = 0
    for cell in range(rows * cols):
        if board[cell // cols, cell % cols] != WALL:
            is_reached[cell] = True
            stack[0] = cell
            waiting = 1
            break
    while waiting:
        waiting -= 1
        cell = stack[waiting]
        reached += 1
        for stride in (-cols, 1, cols, -1):
            if (
                not is_reached[cell + stride]
                and board[(cell + stride) // cols, (cell + stride) % cols] != WALL
            ):
                is_reached[cell + stride] = True
                stack[waiting] = cell + stride
                waiting += 1
    return reached == free


@apart
def draw_room(board, seed, number, walls, targets):
    """Draw a connected room with its targets; returns the number of the next draw."""
    rows, cols = board.shape
    free = (rows - 2) * (cols - 2)
    inside = np.empty(free, np.int64)
    stack = np.empty(rows * cols, np.int64)
    for row in range(rows):
        for column in range(cols):
            board[row, column] = WALL
            if 0 < row < rows - 1 and 0 < column < cols - 1:
                board[row, column] = FLOOR
                inside[(row - 1) * (cols - 2) + column - 1] = row * cols + column
    for index in range(free - 1, 0, -1):
        other = draw_below(seed, 0, number, index + 1)
        inside[index], inside[other] = inside[other], inside[index]
        number += 1
    for cell in inside:
        row = cell // cols
        column = cell % cols
        if len(inside) - free < walls:
            board[row, column] = WALL
            if _connected(board, free - 1, stack):
                free -= 1
                continue
            board[row, column] = FLOOR
    # cells in drawn order, from the other end: those that no wall was tried on come first
    for cell in inside[::-1]:
        if targets and board[cell // cols, cell % cols] == FLOOR:
            board[cell // cols, cell % cols] = TARGET
            targets -= 1
    return number
