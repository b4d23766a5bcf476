"""How answers name actions: a direction, a cell, two cells, two neighbours."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod

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


def write_cell(row: int, col: int) -> str:
    """Such as ``"(0, 1)"``."""
    return f"({row}, {col})"


def read_cell(text: str) -> tuple[int, int] | None:
    """The numbers of exactly one cell ``(row, column)``; None for other texts."""
    match = _ONE.fullmatch(text.strip())
    return None if match is None else (int(match[1]), int(match[2]))


def write_pair(row1: int, col1: int, row2: int, col2: int) -> str:
    """Such as ``"(0, 1) (2, 3)"``."""
    return f"({row1}, {col1}) ({row2}, {col2})"


def read_pair(text: str) -> tuple[int, int, int, int] | None:
    """The numbers of exactly two cells ``(row, column)``, with blanks or one comma between; None
    for other texts.
    """
    match = _PAIR.fullmatch(text.strip())
    if match is None:
        return None
    row1, col1, row2, col2 = map(int, match.groups())
    return row1, col1, row2, col2


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
    """One cell, ``row * cols + col``.

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
        row, col = cell
        if row >= level.rows or col >= level.cols:
            return _OUTSIDE
        return Decoded(row * level.cols + col)


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
        row1, col1, row2, col2 = pair
        if max(row1, row2) >= level.rows or max(col1, col2) >= level.cols:
            return _OUTSIDE
        first = row1 * level.cols + col1
        second = row2 * level.cols + col2
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
            row, col = divmod(action, level.cols - 1)
            return write_pair(row, col, row, col + 1)
        row, col = divmod(action - across, level.cols)
        return write_pair(row, col, row + 1, col)

    def decode(self, level: GridLevel, text: str) -> Decoded:
        """Two neighbouring cells ``(row, column)`` in either order, counted from 0 at the top
        left.
        """
        pair = read_pair(text)
        if pair is None:
            return _NO_MOVE
        row1, col1, row2, col2 = pair
        if max(row1, row2) >= level.rows or max(col1, col2) >= level.cols:
            return _OUTSIDE
        if abs(row1 - row2) + abs(col1 - col2) != 1:
            return _APART
        if row1 == row2:
            return Decoded(row1 * (level.cols - 1) + min(col1, col2))
        return Decoded(level.rows * (level.cols - 1) + min(row1, row2) * level.cols + col1)
