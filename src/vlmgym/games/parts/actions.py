"""How answers name actions: a direction, a cell, two cells, two neighbours."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vlmgym.core import NO_ACTION, Decoded
from vlmgym.games.parts.boards import GridLevel

MOVES = ("up", "right", "down", "left")
"""The four directions, by action id."""
MOVE_FORMAT = "the number of the move: 0 = up, 1 = right, 2 = down, 3 = left"
STEPS = ((-1, 0), (0, 1), (1, 0), (0, -1))
"""Row and column steps of :data:`MOVES`."""

# Each blank run is followed by a token that is no blank and numbers are of bounded length: linear
# time on any text.
_CELL = r"\(\s*([0-9]{1,9})\s*,\s*([0-9]{1,9})\s*\)"
_ONE = re.compile(_CELL)
_PAIR = re.compile(_CELL + r"\s*(?:,\s*)?" + _CELL)


def read_number(text: str, count: int) -> Decoded:
    """A lone number 0 to ``count - 1``, without leading zeros."""
    text = text.strip()
    if not re.fullmatch(r"[0-9]{1,9}", text):
        return Decoded(NO_ACTION, "not_a_move")
    if text != str(int(text)) or int(text) >= count:
        return Decoded(NO_ACTION, "out_of_range")
    return Decoded(int(text))


def write_cell(row: int, column: int) -> str:
    """Such as ``"(0, 1)"``."""
    return f"({row}, {column})"


def read_cell(text: str) -> tuple[int, int] | None:
    """The numbers of exactly one cell ``(row, column)``; None for other texts."""
    match = _ONE.fullmatch(text.strip())
    return None if match is None else (int(match[1]), int(match[2]))


def write_pair(first_row: int, first_column: int, second_row: int, second_column: int) -> str:
    """Such as ``"(0, 1) (2, 3)"``."""
    return f"({first_row}, {first_column}) ({second_row}, {second_column})"


def read_pair(text: str) -> tuple[int, int, int, int] | None:
    """The numbers of exactly two cells ``(row, column)``, with blanks or one comma between; None
    for other texts.
    """
    match = _PAIR.fullmatch(text.strip())
    if match is None:
        return None
    first_row, first_column, second_row, second_column = map(int, match.groups())
    return first_row, first_column, second_row, second_column


def name_tiles(text: str, board: NDArray[np.integer[Any]], names: Sequence[str]) -> str:
    """A text with the tile that lies there after each cell: ``"(0, 1) red circle (2, 3) 8"``.

    Args:
        text: such as that of an answer; its cells are on the board.
        board: ``(rows, cols)`` values.
        names: the text of each value.
    """
    return _ONE.sub(lambda cell: f"{cell[0]} {names[board[int(cell[1]), int(cell[2])]]}", text)


COUNTED = "as (row, column), counted from 0 at the top left, such as"
_NO_MOVE = Decoded(NO_ACTION, "not_a_move")
_OUTSIDE = Decoded(NO_ACTION, "out_of_range")
_APART = Decoded(NO_ACTION, "not_adjacent")


class Actions(ABC):
    """A kind of action: how many a board has, and how an answer writes them."""

    format: str
    """What belongs into the answer block: a phrase with an example."""

    @abstractmethod
    def count(self, level: GridLevel) -> int:
        """Number of action ids."""

    @abstractmethod
    def encode(self, level: GridLevel, action: int) -> str:
        """The canonical text of an action."""

    @abstractmethod
    def decode(self, level: GridLevel, text: str) -> Decoded:
        """Read an answer; anything unclear is no action with a reason."""

    def say(self, level: GridLevel, action: int) -> str:
        """An action as a teacher names it: by default as answers do."""
        return self.encode(level, action)


class Moves(Actions):
    """One of four directions: 0 up, 1 right, 2 down, 3 left."""

    format = MOVE_FORMAT

    def count(self, level: GridLevel) -> int:
        """Four."""
        return len(MOVES)

    def encode(self, level: GridLevel, action: int) -> str:
        """``"0"`` to ``"3"``."""
        return str(action)

    def decode(self, level: GridLevel, text: str) -> Decoded:
        """A lone number 0 to 3."""
        return read_number(text, len(MOVES))

    def say(self, level: GridLevel, action: int) -> str:
        """Such as ``"2 down"``."""
        return f"{action} {MOVES[action]}"


class Cells(Actions):
    """One cell, ``row * cols + column``.

    Args:
        what: the cell, such as ``"the cell to reveal"``.
    """

    def __init__(self, what: str = "the cell") -> None:
        self.format = f"{what} {COUNTED} (0, 1) for row 0, column 1"

    def count(self, level: GridLevel) -> int:
        """One for each cell."""
        return level.rows * level.cols

    def encode(self, level: GridLevel, action: int) -> str:
        """Such as ``"(0, 1)"``."""
        return write_cell(*divmod(action, level.cols))

    def decode(self, level: GridLevel, text: str) -> Decoded:
        """A cell ``(row, column)``, counted from 0 at the top left."""
        cell = read_cell(text)
        if cell is None:
            return _NO_MOVE
        row, column = cell
        if row >= level.rows or column >= level.cols:
            return _OUTSIDE
        return Decoded(row * level.cols + column)


class CellPairs(Actions):
    """An ordered pair of cells, ``first * cells + second``; the same cell twice is a pair as
    well.
    """

    format = f"the two cells {COUNTED} (0, 1) (2, 3) for row 0, column 1 and row 2, column 3"

    def count(self, level: GridLevel) -> int:
        """``(rows * cols) ** 2``."""
        return (level.rows * level.cols) ** 2

    def encode(self, level: GridLevel, action: int) -> str:
        """Such as ``"(0, 1) (2, 3)"``."""
        first, second = divmod(action, level.rows * level.cols)
        return write_pair(*divmod(first, level.cols), *divmod(second, level.cols))

    def decode(self, level: GridLevel, text: str) -> Decoded:
        """Two cells ``(row, column)``, counted from 0 at the top left."""
        pair = read_pair(text)
        if pair is None:
            return _NO_MOVE
        first_row, first_column, second_row, second_column = pair
        if (
            max(first_row, second_row) >= level.rows
            or max(first_column, second_column) >= level.cols
        ):
            return _OUTSIDE
        first = first_row * level.cols + first_column
        second = second_row * level.cols + second_column
        return Decoded(first * level.rows * level.cols + second)


class Neighbours(Actions):
    """Two orthogonal neighbours: all horizontal ones by their left cell, then all vertical ones by
    their upper cell.
    """

    format = (
        f"the two neighbouring cells {COUNTED} (0, 1) (1, 1) for row 0, column 1 and row 1, "
        "column 1"
    )

    def count(self, level: GridLevel) -> int:
        """One for each two neighbours: 112 on 8x8."""
        return level.rows * (level.cols - 1) + (level.rows - 1) * level.cols

    def encode(self, level: GridLevel, action: int) -> str:
        """Such as ``"(0, 1) (0, 2)"``, the left or upper cell first."""
        across = level.rows * (level.cols - 1)
        if action < across:
            row, column = divmod(action, level.cols - 1)
            return write_pair(row, column, row, column + 1)
        row, column = divmod(action - across, level.cols)
        return write_pair(row, column, row + 1, column)

    def decode(self, level: GridLevel, text: str) -> Decoded:
        """Two neighbouring cells ``(row, column)`` in either order, counted from 0 at the top
        left.
        """
        pair = read_pair(text)
        if pair is None:
            return _NO_MOVE
        first_row, first_column, second_row, second_column = pair
        if (
            max(first_row, second_row) >= level.rows
            or max(first_column, second_column) >= level.cols
        ):
            return _OUTSIDE
        if abs(first_row - second_row) + abs(first_column - second_column) != 1:
            return _APART
        if first_row == second_row:
            return Decoded(first_row * (level.cols - 1) + min(first_column, second_column))
        return Decoded(
            level.rows * (level.cols - 1) + min(first_row, second_row) * level.cols + first_column
        )
