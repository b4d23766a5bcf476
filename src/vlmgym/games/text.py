"""How answers are written and read: a direction, a cell, a pair of cells."""

from __future__ import annotations

import re

from vlmgym.core import NO_ACTION, Decoded

MOVES = ("up", "right", "down", "left")
"""The four directions, by action id."""
MOVE_FORMAT = "the number of the move: 0 = up, 1 = right, 2 = down, 3 = left"
STEPS = ((-1, 0), (0, 1), (1, 0), (0, -1))
"""Row and column steps of :data:`MOVES`."""

# Each blank run is followed by a token that is no blank and numbers are of bounded length: linear time on any text.
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
    """The numbers of exactly two cells ``(row, column)``, with blanks or one comma between; None for other texts."""
    match = _PAIR.fullmatch(text.strip())
    if match is None:
        return None
    row1, col1, row2, col2 = map(int, match.groups())
    return row1, col1, row2, col2
