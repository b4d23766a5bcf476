"""What a careful player thinks aloud, place by place."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vlmgym.games.parts.actions import STEPS, write_cell, write_pair

Cell = tuple[int, int]


def seek_line(board: NDArray[np.uint8], names: Sequence[str], line: int) -> tuple[str, str]:
    """Look for a swap of neighbours that makes a line, at each place where one could be, rows before columns.

    Args:
        board: ``(rows, cols)``.
        names: the text of each value.
        line: equal tiles that make a line.

    Returns:
        What was looked at, joined by ``"; "``, and the two cells of the swap as text; "" where there is none.
    """
    rows, cols = board.shape
    said = list[str]()
    for down in (0, 1):
        for r in range(rows - (line - 1) * down):
            for c in range(cols - (line - 1) * (1 - down)):
                cells = [(r + k * down, c + k * (1 - down)) for k in range(line)]
                words, swap = _complete(board, names, cells)
                said.append(" ".join(words))
                if swap:
                    return "; ".join(said), swap
    return "; ".join(said), ""


def _complete(board: NDArray[np.uint8], names: Sequence[str], cells: list[Cell]) -> tuple[list[str], str]:
    """The tiles of a place, and the swap that makes a line of it."""
    kinds = [int(board[cell]) for cell in cells]
    words = [word for cell, kind in zip(cells, kinds, strict=True) for word in (write_cell(*cell), names[kind])]
    common = max(kinds, key=kinds.count)
    if common and kinds.count(common) == len(kinds) - 1:
        odd = next(cell for cell in cells if board[cell] != common)
        words.append(write_cell(*odd))
        for dr, dc in STEPS:
            other = odd[0] + dr, odd[1] + dc
            if 0 <= other[0] < board.shape[0] and 0 <= other[1] < board.shape[1] and other not in cells:
                words += [write_cell(*other), names[board[other]]]
                if board[other] == common and board[odd]:
                    return words, write_pair(*odd, *other)
    return [*words, "no"], ""
