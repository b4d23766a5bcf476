"""What a think block says of the board: the tiles that it names beside their cells.

Where a description and the board differ, they tell which of the two the reasoning has read.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vlmgym.dialogue.description_lines import CELL, UNKNOWN

_LINK = r"\s{0,4}(?:[:=]|is|at|-)?\s{0,4}(?:an?|the)?\s{0,4}"
# "2: (1, 0)" counts a line, "blue star: (1, 0)" names a tile
_NO_NUMBERING = r"(?!(?<=\d)\s{0,4}:)"


class NamedTiles(NamedTuple):
    """Tiles that a think block names beside their cells, as counts."""

    named: int
    right: int  # as on the board
    conflicts: int  # in cells of which the description states another tile than is on the board
    as_described: int  # of these, as the description says
    as_shown: int  # of these, as on the board


def tiles_beside_cells(text: str, names: Sequence[str]) -> list[tuple[int, int, int]]:
    """The tiles that a text names beside their cells: row, column, symbol; in linear time.

    Read from left to right, a tile belongs to the cell before it or, where none is left, to the one
    after it: ``(0, 1) red circle``, ``(0, 1): red circle``, ``red circle at (0, 1)``.

    Args:
        text: of a think block.
        names: of the symbols; the first is that of an empty cell and is not looked for.
    """
    symbols = {name.lower(): symbol for symbol, name in enumerate(names) if symbol}
    found = []
    for match in _tile_beside_cell(tuple(names)).finditer(text):
        tile_first, row_after, column_after, row_before, column_before, tile_last = match.groups()
        symbol = symbols[(tile_first or tile_last).lower()]
        row = int(row_after or row_before)
        column = int(column_after or column_before)
        found.append((row, column, symbol))
    return found


def names_a_tile(text: str, names: Sequence[str]) -> bool:
    """Whether a text names a tile beside its cell; see :func:`tiles_beside_cells`."""
    return _tile_beside_cell(tuple(names)).search(text) is not None


def named_tiles(
    text: str,
    names: Sequence[str],
    board: NDArray[np.int16],
    described: NDArray[np.int16],
    covered: int | None = None,
) -> NamedTiles:
    """Compare the tiles that a think block names with the board and with the description.

    What it says of a cell that the board hides (``(0, 0) mine``) is a guess, and not counted as
    named.

    Args:
        text: of the think block.
        names: of the symbols.
        board: ``(rows, columns)``, what is there.
        described: ``(rows, columns)``, what the description says; -1 where it says nothing clear.
        covered: the symbol of a hidden cell; None where the game hides nothing.
    """
    named = right = conflicts = as_described = as_shown = 0
    rows, columns = board.shape
    for row, column, symbol in tiles_beside_cells(text, names):
        if row >= rows or column >= columns:
            continue
        shown = board[row, column]
        stated = described[row, column]
        named += bool(shown != covered or symbol == covered)
        right += bool(symbol == shown)
        if stated not in (UNKNOWN, shown):
            conflicts += 1
            as_described += bool(symbol == stated)
            as_shown += bool(symbol == shown)
    return NamedTiles(named, right, conflicts, as_described, as_shown)


@lru_cache(64)
def _tile_beside_cell(names: tuple[str, ...]) -> re.Pattern[str]:
    longest_first = sorted(names[1:], key=len, reverse=True)
    tile = "(" + ("|".join(map(re.escape, longest_first)) or "(?!)") + ")"
    return re.compile(rf"\b{tile}{_NO_NUMBERING}{_LINK}{CELL}|{CELL}{_LINK}{tile}\b", re.IGNORECASE)
