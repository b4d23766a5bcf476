"""What a careful player thinks aloud, place by place."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vlmgym.core import NO_ACTION
from vlmgym.games.parts.actions import STEPS, write_cell, write_pair

Cell = tuple[int, int]


def seek_line(board: NDArray[np.uint8], names: Sequence[str], line: int) -> tuple[str, str]:
    """Look for a swap of neighbours that makes a line, at each place where one could be, rows
    before columns.

    Args:
        board: ``(rows, cols)``.
        names: the text of each value.
        line: equal tiles that make a line.

    Returns:
        What was looked at, joined by ``"; "``, and the two cells of the swap as text; "" where
        there is none.
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


def _complete(
    board: NDArray[np.uint8], names: Sequence[str], cells: list[Cell]
) -> tuple[list[str], str]:
    """The tiles of a place, and the swap that makes a line of it."""
    kinds = [int(board[cell]) for cell in cells]
    words = [
        word
        for cell, kind in zip(cells, kinds, strict=True)
        for word in (write_cell(*cell), names[kind])
    ]
    common = max(kinds, key=kinds.count)
    if common and kinds.count(common) == len(kinds) - 1:
        odd = next(cell for cell in cells if board[cell] != common)
        words.append(write_cell(*odd))
        for dr, dc in STEPS:
            other = odd[0] + dr, odd[1] + dc
            if (
                0 <= other[0] < board.shape[0]
                and 0 <= other[1] < board.shape[1]
                and other not in cells
            ):
                words += [write_cell(*other), names[board[other]]]
                if board[other] == common and board[odd]:
                    return words, write_pair(*odd, *other)
    return [*words, "no"], ""


def seek_pair(
    board: NDArray[np.uint8], names: Sequence[str], joins: NDArray[np.bool_]
) -> tuple[str, int]:
    """Look for two tiles that a path joins: neighbours first, then each tile with every later one.

    Args:
        board: ``(rows, cols)``, 0 = empty.
        names: the text of each value.
        joins: ``(cells, cells)``, whether a path joins two cells.

    Returns:
        What was looked at, joined by ``"; "``, and the pair ``first * cells + second``; NO_ACTION
        where there is none.
    """
    said = list[str]()
    places = [(int(r), int(c)) for r, c in np.argwhere(board > 0)]
    for r, c in places:
        words = [write_cell(r, c), names[board[r, c]]]
        for other in ((r, c + 1), (r + 1, c)):
            if other[0] < board.shape[0] and other[1] < board.shape[1]:
                words += [write_cell(*other), names[board[other]]]
                if joins[_pair(board, (r, c), other)]:
                    said.append(" ".join(words))
                    return "; ".join(said), _action(board, (r, c), other)
        said.append(" ".join([*words, "no"]))
    for number, (r, c) in enumerate(places):
        words = ["far"]
        for other in places[number + 1 :]:
            if other not in ((r, c + 1), (r + 1, c)):
                words += [
                    write_cell(r, c),
                    names[board[r, c]],
                    write_cell(*other),
                    names[board[other]],
                ]
                if joins[_pair(board, (r, c), other)]:
                    said.append(" ".join(words))
                    return "; ".join(said), _action(board, (r, c), other)
                words.append("blocked" if board[other] == board[r, c] else "no")
        said.append(" ".join(words))
    return "; ".join(said), NO_ACTION


def _pair(board: NDArray[np.uint8], one: Cell, other: Cell) -> tuple[int, int]:
    """The numbers of two cells."""
    cols = board.shape[1]
    return one[0] * cols + one[1], other[0] * cols + other[1]


def _action(board: NDArray[np.uint8], one: Cell, other: Cell) -> int:
    """The id of a pair."""
    first, second = _pair(board, one, other)
    return first * board.size + second
