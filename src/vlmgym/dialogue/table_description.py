"""Descriptions as tables: a line for each row of the board, with bars between the cells."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vlmgym.dialogue.description_lines import (
    BULLET,
    LABEL,
    UNKNOWN,
    SymbolOf,
    count_up,
    is_heading,
    is_rule,
)

_ROW_NAME = re.compile(r"(?:row\s{0,4})?([0-9]{1,3})[:.)]?", re.IGNORECASE)
_COLUMN_NAME = re.compile(r"(?:c|col|column)?\s{0,4}([0-9]{1,3})", re.IGNORECASE)
_BEFORE_FIRST_BAR = ("", "-", "*", "+", "\u2022")
"""What may stand before the first bar of a row."""


class _Lines(NamedTuple):
    """The lines of a description, sorted by what they may be."""

    rows: list[str]  # those that may be rows of the board
    rules: list[int]  # of each line that only separates: how many of the rows lie before it
    doubts: list[int]  # the same of each line that may be a row or not
    has_remarks: bool  # something stands there that is no table


def read_table(lines: Sequence[str], grid: NDArray[np.int16], symbol_of: SymbolOf) -> bool:
    """Fill a grid (rows, cols) from lines with bars; returns whether all cells are stated and
    nothing besides.

    The size of the board tells which lines are its rows. Of too few rows those are taken that come
    before the first line which may be a row or not; of too many, none: which of them are meant is
    not said.
    """
    columns = grid.shape[1]
    sorted_lines = _sort_lines(lines, columns, symbol_of)
    board_lines = _board_lines(sorted_lines, grid.shape, symbol_of)
    if board_lines is None:
        return False
    for row, cells in enumerate(_cells(board_lines, columns, symbol_of)):
        grid[row] = [symbol_of(cell) for cell in cells] if cells else UNKNOWN
    return not sorted_lines.has_remarks and bool((grid != UNKNOWN).all())


def _sort_lines(lines: Sequence[str], columns: int, symbol_of: SymbolOf) -> _Lines:
    rows: list[str] = []
    rules: list[int] = []
    doubts: list[int] = []
    has_remarks = False
    for line in lines:
        has_bar = "|" in line
        heading = is_heading(line)
        if is_rule(line):
            rules.append(len(rows))
        elif heading:
            if has_bar:
                doubts.append(len(rows))
        elif has_bar or (columns == 1 and symbol_of(line) != UNKNOWN):
            rows.append(line)
        else:
            doubts.append(len(rows))
            has_remarks = True
    return _Lines(rows, rules, doubts, has_remarks)


def _board_lines(lines: _Lines, shape: tuple[int, ...], symbol_of: SymbolOf) -> list[str] | None:
    """The lines that are the first rows of the board, without a heading of columns; None if it is
    not clear which they are.
    """
    row_count, columns = shape
    rows, rules, doubts, _ = lines
    are_numbers = False
    are_tiles = False
    if rows:
        are_numbers = _names_columns(rows[0], columns)
        first_cells = _inside(rows[0])[-columns:]
        are_tiles = all(symbol_of(cell) != UNKNOWN for cell in first_cells)
    ruled_off = rules in ([1], [0, 1, len(rows)])
    has_head = are_numbers or (ruled_off and not are_tiles)
    if len(rows) == row_count + 2 and are_numbers and not rules and set(rows[1]) <= set("-| "):
        rows = [rows[0], *rows[2:]]  # a rule of single dashes
    if len(rows) == row_count + 1 and has_head:
        return rows[1:]
    if len(rows) == row_count and has_head and (rules or not are_tiles):
        return None  # a table with a row too few, or a first row like numbers
    if len(rows) < row_count and rules:
        return []
    if len(rows) < row_count and doubts:
        return rows[: doubts[0]]
    return rows if len(rows) <= row_count else None


def _inside(line: str) -> list[str]:
    """What stands between the bars of a line, up to the last thing that stands there."""
    return [cell.strip() for cell in line.rstrip("| \t").split("|")]


def _names_columns(line: str, columns: int) -> bool:
    """Whether a line numbers the columns, with or without a word in the corner."""
    cells = _inside(line)
    names = [_COLUMN_NAME.fullmatch(cell) for cell in cells[-columns:]]
    numbers = [int(name[1]) for name in names if name]
    corner = [cell for cell in cells[:-columns] if cell]
    return len(numbers) == columns and count_up(numbers) and len(corner) <= 1


def _cells(lines: Sequence[str], columns: int, symbol_of: SymbolOf) -> list[list[str]]:
    """The cells of each row, without what is around them: outer bars, bullets, numbers of the rows.
    Empty: it is unclear.
    """
    plain_rows: list[list[str]] = []
    named_rows: list[list[str]] = []
    names: list[int] = []
    labels: list[int] = []
    for line in lines:
        readings = _readings(line, columns)
        cells, label = _plain_cells(readings, columns, symbol_of)
        plain_rows.append(cells)
        labels += label
        for reading in readings:
            if len(reading) == columns + 1 and (name := _ROW_NAME.fullmatch(reading[0])):
                names.append(int(name[1]))
                named_rows.append(reading[1:])
                break
    if labels and (len(labels) < len(lines) or not count_up(labels)):
        return []
    if len(named_rows) == len(lines) and count_up(names):
        return [] if all(plain_rows) else named_rows
    return plain_rows


def _readings(line: str, columns: int) -> list[list[str]]:
    """The cells of a line as it stands, and without its outer bars."""
    cells = [cell.strip() for cell in line.split("|", columns + 4)]
    begins_with_bar = cells[0] in _BEFORE_FIRST_BAR
    ends_with_bar = not cells[-1]
    return [cells, cells[begins_with_bar : len(cells) - ends_with_bar]]


def _plain_cells(
    readings: Sequence[list[str]], columns: int, symbol_of: SymbolOf
) -> tuple[list[str], list[int]]:
    """The cells of the first reading that has as many as the board has columns, and the number that
    was taken from before the first of them; both empty if there is none.
    """
    for cells in readings:
        if len(cells) == columns:
            break
    else:
        return [], []
    first = cells[0]
    if symbol_of(first) != UNKNOWN:
        return cells, []
    label = LABEL.match(first) or BULLET.match(first)
    if not label:
        return cells, []
    numbers = [int(number) for number in label.groups() if number]
    return [first[label.end() :], *cells[1:]], numbers
