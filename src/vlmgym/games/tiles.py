"""What Shisen-Sho and Swap share: the 36 coloured shapes and the text of a pair of cells."""

from __future__ import annotations

import re

COLOURS = ("red", "green", "blue", "yellow", "magenta", "cyan")
SHAPES = ("circle", "square", "triangle", "diamond", "cross", "star")
NAMES = ("empty", *(f"{colour} {shape}" for colour in COLOURS for shape in SHAPES))
"""Text of each board value: 0 = empty, 1 + 6 * colour + shape = a tile."""

# Each blank run is followed by a token that is no blank and numbers are of bounded length: linear time on any text.
_CELL = r"\(\s*([0-9]{1,9})\s*,\s*([0-9]{1,9})\s*\)"
_PAIR = re.compile(_CELL + r"\s*(?:,\s*)?" + _CELL)


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
