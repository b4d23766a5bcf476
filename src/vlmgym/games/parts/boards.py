"""Boards: the arrays and the level of games on a grid, and what kernels of several games do on a
board.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from vlmgym.core import Level, draw_below, setting
from vlmgym.core.kernels import inner, kernel

Boards: TypeAlias = NDArray[np.uint8]
"""``(B, rows, cols)`` values of cells."""
Symbols: TypeAlias = NDArray[np.int16]
"""``(B, rows, cols)`` symbols of a scene."""
Seeds: TypeAlias = NDArray[np.uint64]
"""``(B,)`` keys of all luck."""
Actions: TypeAlias = NDArray[np.int64]
"""``(B,)`` action ids, or -1 for no action."""
Marks: TypeAlias = NDArray[np.bool_]
"""``(B, A)`` one mark for each action, or ``(B,)`` for each game."""
Values: TypeAlias = NDArray[np.float64]
"""``(B, A)`` one value for each action."""
Arrays: TypeAlias = dict[str, NDArray[Any]]
"""Arrays of a state by name; the first axis of each is ``B``."""

MOVE_STEPS = np.array(((-1, 0), (0, 1), (1, 0), (0, -1)))
"""``(4, 2)``: row and column step of a move, 0 up, 1 right, 2 down, 3 left."""


@dataclass(frozen=True)
class GridLevel(Level):
    """Base of the levels of games on a grid, which state the range of both sides anew."""

    rows: int = setting(8, "board rows", 1, 16)
    cols: int = setting(8, "board columns", 1, 16)


@kernel
def first_from(board, value):
    """The first cell in reading order that holds this value or a larger one; -1 if there is
    none.
    """
    rows, cols = board.shape
    for row in range(rows):
        for column in range(cols):
            if board[row, column] >= value:
                return row * cols + column
    return -1


@kernel
def step_from(board, cell, move):
    """The cell that a step of one move leads to; -1 off the board."""
    rows, cols = board.shape
    row = cell // cols + MOVE_STEPS[move, 0]
    column = cell % cols + MOVE_STEPS[move, 1]
    return row * cols + column if 0 <= row < rows and 0 <= column < cols else -1


@inner
def shuffle(values, seed, number):
    """Put values in an order drawn before the first turn (Fisher-Yates); returns the number of the
    next draw.
    """
    for index in range(len(values) - 1, 0, -1):
        other = draw_below(seed, 0, number, index + 1)
        values[index], values[other] = values[other], values[index]
        number += 1
    return number


def all_but_first(marks: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Of the marked cells of each board all but the first in reading order, ``(B, rows, cols)``."""
    before = cell_by_cell(marks).cumsum(axis=1)
    return marks & (before > 1).reshape(marks.shape)


def cell_by_cell(boards: NDArray[Any]) -> NDArray[Any]:
    """``(B, cells)`` of an array ``(B, rows, cols)``, also where ``B`` is 0."""
    games, rows, columns = boards.shape
    return boards.reshape(games, rows * columns)
