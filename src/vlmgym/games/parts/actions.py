"""How answers name actions: a direction, cells, a cell and what is written there, numbers, words.

A game takes one of these kinds; its actions have ids from 0 on.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import lru_cache
from itertools import combinations
from typing import Any

from vlmgym.core import NO_ACTION, Decoded
from vlmgym.games.parts.action_texts import (
    read_cell,
    read_cells,
    read_number,
    read_pair,
    write_cell,
    write_pair,
)
from vlmgym.games.parts.boards import GridLevel

MOVES = ("up", "right", "down", "left")
"""The four directions, by action id."""
MOVE_FORMAT = "the number of the move: 0 = up, 1 = right, 2 = down, 3 = left"
STEPS = ((-1, 0), (0, 1), (1, 0), (0, -1))
"""Row and column steps of :data:`MOVES`."""

COUNTED = "as (row, column), counted from 0 at the top left, such as"
_NO_MOVE = Decoded(NO_ACTION, "not_a_move")
_OUTSIDE = Decoded(NO_ACTION, "out_of_range")
_APART = Decoded(NO_ACTION, "not_adjacent")


class Actions(ABC):
    """A kind of action: how many a board has, and how an answer writes them."""

    format: str
    """What belongs into the answer block: a phrase with an example, or :meth:`format_of`."""

    def format_of(self, level: GridLevel) -> str:
        """What belongs into the answer block; the example is an action of the level."""
        return self.format

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


def _far_cell(level: GridLevel) -> tuple[int, int]:
    """(2, 3), or the nearest to it that the board has."""
    return min(2, level.rows - 1), min(3, level.cols - 1)


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

    def format_of(self, level: GridLevel) -> str:
        """The example's second cell is (2, 3), or nearer on a small board."""
        row, column = _far_cell(level)
        return (
            f"the two cells {COUNTED} (0, 1) {write_cell(row, column)} for row 0, column 1 and row "
            f"{row}, column {column}"
        )

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


class CellTriples(Actions):
    """Three different cells in any order, by the rank of their numbers among all threes."""

    def format_of(self, level: GridLevel) -> str:
        """The example's cells are (0, 1), (2, 3) and (2, 0), or nearer on a small board."""
        row, column = _far_cell(level)
        cells = f"(0, 1) {write_cell(row, column)} {write_cell(row, 0)}"
        return f"the three cells {COUNTED} {cells}, in any order"

    def count(self, level: GridLevel) -> int:
        """One for each three cells: 220 on 3x4."""
        return len(triples(level.rows * level.cols))

    def encode(self, level: GridLevel, action: int) -> str:
        """Such as ``"(0, 1) (2, 0) (2, 3)"``, in reading order."""
        cells = triples(level.rows * level.cols)[action]
        return " ".join(write_cell(*divmod(cell, level.cols)) for cell in cells)

    def decode(self, level: GridLevel, text: str) -> Decoded:
        """Three different cells ``(row, column)``, counted from 0 at the top left."""
        places = read_cells(text)
        if places is None or len(places) != 3:
            return _NO_MOVE
        if any(row >= level.rows or column >= level.cols for row, column in places):
            return _OUTSIDE
        cells = sorted(row * level.cols + column for row, column in places)
        if len(set(cells)) < 3:
            return _NO_MOVE
        return Decoded(_ranks(level.rows * level.cols)[tuple(cells)])


@lru_cache(64)
def triples(cells: int) -> tuple[tuple[int, ...], ...]:
    """All threes of so many cells, each in rising order, by action id."""
    return tuple(combinations(range(cells), 3))


@lru_cache(64)
def _ranks(cells: int) -> dict[tuple[int, ...], int]:
    return {cells_of_triple: rank for rank, cells_of_triple in enumerate(triples(cells))}


class CellValues(Actions):
    """A cell and what is written there: ``cell * values + index of the value``.

    Args:
        what: what the value is, such as ``"the digit to write"``.
        values: the texts of the values of a level, such as ``("1", "2", "3", "4")``.
    """

    def __init__(self, what: str, values: Callable[[Any], tuple[str, ...]]) -> None:
        self.what = what
        self.values = values

    def format_of(self, level: GridLevel) -> str:
        """The example's value is the third one, or the last of fewer."""
        values = self.values(level)
        example = f"(0, 1) {values[min(2, len(values) - 1)]}"
        return f"the cell {COUNTED} (0, 1) for row 0, column 1, and {self.what}: {example}"

    def count(self, level: GridLevel) -> int:
        """``rows * cols * values``."""
        return level.rows * level.cols * len(self.values(level))

    def encode(self, level: GridLevel, action: int) -> str:
        """Such as ``"(0, 1) 3"``."""
        values = self.values(level)
        cell, value = divmod(action, len(values))
        return f"{write_cell(*divmod(cell, level.cols))} {values[value]}"

    def decode(self, level: GridLevel, text: str) -> Decoded:
        """A cell ``(row, column)`` and a value, with blanks or one comma or colon between."""
        head, bracket, value = text.strip().partition(")")
        place = read_cell(head + bracket)
        value = value.strip().removeprefix(",").removeprefix(":").strip()
        if place is None or not re.fullmatch(r"\w{1,20}", value):
            return _NO_MOVE
        row, column = place
        values = self.values(level)
        if row >= level.rows or column >= level.cols or value not in values:
            return _OUTSIDE
        cell = row * level.cols + column
        return Decoded(cell * len(values) + values.index(value))


class Numbers(Actions):
    """One number from 0 on, such as that of a column.

    Args:
        form: what belongs into the answer block: a phrase with an example.
        count_of: how many there are on a level.
    """

    def __init__(self, form: str, count_of: Callable[[Any], int]) -> None:
        self.format = form
        self.count_of = count_of

    def count(self, level: GridLevel) -> int:
        """As many as the level has."""
        return self.count_of(level)

    def encode(self, level: GridLevel, action: int) -> str:
        """Such as ``"2"``."""
        return str(action)

    def decode(self, level: GridLevel, text: str) -> Decoded:
        """A lone number, without leading zeros."""
        return read_number(text, self.count_of(level))


class NumberPairs(Actions):
    """Two numbers from 0 on: ``first * seconds + second``.

    Args:
        form: what belongs into the answer block: a phrase with an example.
        counts_of: how many first and second numbers there are on a level.
    """

    def __init__(self, form: str, counts_of: Callable[[Any], tuple[int, int]]) -> None:
        self.format = form
        self.counts_of = counts_of

    def count(self, level: GridLevel) -> int:
        """Every first number with every second one."""
        firsts, seconds = self.counts_of(level)
        return firsts * seconds

    def encode(self, level: GridLevel, action: int) -> str:
        """Such as ``"0 2"``."""
        _, seconds = self.counts_of(level)
        first, second = divmod(action, seconds)
        return f"{first} {second}"

    def decode(self, level: GridLevel, text: str) -> Decoded:
        """Two numbers without leading zeros, with blanks or one comma between."""
        numbers = re.fullmatch(r"([0-9]{1,9})(?:\s*,\s*|\s+)([0-9]{1,9})", text.strip())
        if numbers is None:
            return _NO_MOVE
        firsts, seconds = self.counts_of(level)
        first = read_number(numbers[1], firsts)
        second = read_number(numbers[2], seconds)
        if first.problem or second.problem:
            return _OUTSIDE
        return Decoded(first.action * seconds + second.action)


class Choices(Actions):
    """One of some words or phrases, such as ``"red"`` or ``"B left"``.

    Args:
        form: what belongs into the answer block: a phrase with an example.
        texts: those of a level, by action id; no two of them differ in case or blanks alone.
    """

    def __init__(self, form: str, texts: Callable[[Any], tuple[str, ...]]) -> None:
        self.format = form
        self.texts = texts

    def count(self, level: GridLevel) -> int:
        """As many as there are."""
        return len(self.texts(level))

    def encode(self, level: GridLevel, action: int) -> str:
        """The text as the level writes it."""
        return self.texts(level)[action]

    def decode(self, level: GridLevel, text: str) -> Decoded:
        """One of the texts, in any case, with any blanks between its words."""
        wanted = " ".join(text.split()).casefold()
        for action, choice in enumerate(self.texts(level)):
            if choice.casefold() == wanted:
                return Decoded(action)
        return _NO_MOVE
