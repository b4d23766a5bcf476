"""Descriptions that name each cell: ``(row, col): tile``, in any order."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vlmgym.dialogue.description_lines import CELL, UNKNOWN, SymbolOf, is_heading, without_label

_COORDINATE = re.compile(CELL)
_LINK = re.compile(r"\s{0,4}(?:[:=-]|is\b)\s*")
_TILE_LENGTH = 200
"""Characters of what is said of a cell, at most."""
_TILE_WORDS = 4
_LINK_WORDS = ("", "at", "in", "is")

Cell = tuple[int, int]


def read_coordinates(
    lines: Sequence[str], grid: NDArray[np.int16], symbol_of: SymbolOf
) -> tuple[bool, bool]:
    """Fill a grid (rows, cols) from ``(row, col): tile``; returns whether anything is stated, and
    whether all is, and nothing besides.
    """
    texts = [without_label(line) for line in lines if "(" in line or not is_heading(line)]
    text = "\n".join(texts)
    coordinates = list(_COORDINATE.finditer(text))
    if not coordinates:
        return False, False
    before = text[: coordinates[0].start()].strip()
    # tiles before their cells: what follows a cell belongs to the next one
    if _ends_with_tile(before, symbol_of):
        return False, False
    stated = _stated_cells(text, coordinates, symbol_of)
    rows, columns = grid.shape
    outside = {cell for cell in stated if cell[0] >= rows or cell[1] >= columns}
    if outside and all(row and column for row, column in stated):  # it counts from 1, it seems
        return False, False
    for cell in stated.keys() - outside:
        grid[cell] = stated[cell]
    says_more = bool(outside) or (bool(before) and not is_heading(before))
    return True, not says_more and bool((grid != UNKNOWN).all())


def _stated_cells(
    text: str, coordinates: Sequence[re.Match[str]], symbol_of: SymbolOf
) -> dict[Cell, int]:
    """The symbol of each cell that is named; UNKNOWN of those that are named twice, differently."""
    stated: dict[Cell, int] = {}
    ends = [*(coordinate.start() for coordinate in coordinates[1:]), len(text)]
    for coordinate, end in zip(coordinates, ends, strict=True):
        cell = (int(coordinate[1]), int(coordinate[2]))
        start = coordinate.end()
        symbol = _tile_symbol(text[start : min(end, start + _TILE_LENGTH)], symbol_of)
        if stated.setdefault(cell, symbol) != symbol:
            stated[cell] = UNKNOWN
    return stated


def _tile_symbol(text: str, symbol_of: SymbolOf) -> int:
    """The symbol of what stands between one cell and the next."""
    text = text.strip(" \t\n,;")
    if text and symbol_of(text) == UNKNOWN:
        link = _LINK.match(text)
        if link:
            text = text[link.end() :]
        text = text.removesuffix(" and").rstrip(" \t\n,;.")
    return symbol_of(text) if text else UNKNOWN


def _ends_with_tile(text: str, symbol_of: SymbolOf) -> bool:
    words = text[-_TILE_LENGTH:].split()
    while words and words[-1].lower().strip(":=-") in _LINK_WORDS:
        words.pop()
    for count in range(1, min(len(words), _TILE_WORDS) + 1):
        tile = " ".join(words[-count:]).strip(" ,;:=") or "?"
        if symbol_of(tile) != UNKNOWN:
            return True
    return False
