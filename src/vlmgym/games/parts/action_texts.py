"""How answers write numbers and cells: read strictly, written one way."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vlmgym.core import NO_ACTION, Decoded

# Each blank run is followed by a token that is no blank and numbers are of bounded length: linear
# time on any text.
_CELL = r"\(\s*([0-9]{1,9})\s*,\s*([0-9]{1,9})\s*\)"
_ONE = re.compile(_CELL)
_MANY = re.compile(_CELL + r"(?:\s*(?:,\s*)?" + _CELL + r"){0,15}")
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


def read_cells(text: str) -> list[tuple[int, int]] | None:
    """The numbers of cells ``(row, column)``, with blanks or one comma between; None for other
    texts.
    """
    text = text.strip()
    if not _MANY.fullmatch(text):
        return None
    return [(int(cell[1]), int(cell[2])) for cell in _ONE.finditer(text)]


def name_tiles(text: str, board: NDArray[np.integer[Any]], names: Sequence[str]) -> str:
    """A text with the tile that lies there after each cell: ``"(0, 1) red circle (2, 3) 8"``.

    Args:
        text: such as that of an answer; its cells are on the board.
        board: ``(rows, cols)`` values.
        names: the text of each value.
    """
    return _ONE.sub(lambda cell: f"{cell[0]} {names[board[int(cell[1]), int(cell[2])]]}", text)
