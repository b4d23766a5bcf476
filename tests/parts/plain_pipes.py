"""Pipes with plain lists: turning, flowing, and every way to lay the pieces."""

from __future__ import annotations

import numpy as np

from vlmgym.games.parts.actions import STEPS

Board = tuple[tuple[int, ...], ...]
"""Open sides by row and column: 1 up, 2 right, 4 down, 8 left, added up; 0 = no piece."""


def turned(sides: int, turns: int = 1) -> int:
    for _ in range(turns):
        sides = sum(1 << (side + 1) % 4 for side in range(4) if sides >> side & 1)
    return sides


def next_to(board: Board, cell: tuple[int, int], side: int, wrap: bool) -> tuple[int, int] | None:
    row, column = cell[0] + STEPS[side][0], cell[1] + STEPS[side][1]
    if wrap:
        return row % len(board), column % len(board[0])
    inside = 0 <= row < len(board) and 0 <= column < len(board[0])
    return (row, column) if inside else None


def cells_of(board: Board) -> list[tuple[int, int]]:
    return [(r, c) for r, line in enumerate(board) for c, sides in enumerate(line) if sides]


def reached(board: Board, sources: set[tuple[int, int]], wrap: bool) -> set[tuple[int, int]]:
    """The cells that water reaches."""
    wet = set(sources)
    todo = list(sources)
    while todo:
        r, c = todo.pop()
        for side in range(4):
            other = next_to(board, (r, c), side, wrap)
            if other is None or other in wet or not board[r][c] >> side & 1:
                continue
            if board[other[0]][other[1]] >> (side + 2) % 4 & 1:
                wet.add(other)
                todo.append(other)
    return wet


def ways_to_lay(board: Board, wrap: bool) -> list[Board]:
    """Every way to turn the pieces so that all are connected, by trying them cell by cell; a tree
    has no open side that meets none.
    """
    cells = [(r, c) for r in range(len(board)) for c in range(len(board[0]))]
    laid: dict[tuple[int, int], int] = {}
    found: list[Board] = []

    def fits(cell: tuple[int, int]) -> bool:
        for side in range(4):
            other = next_to(board, cell, side, wrap)
            is_open = laid[cell] >> side & 1
            if other is None and is_open:
                return False
            if other in laid and is_open != laid[other] >> (side + 2) % 4 & 1:
                return False
        return True

    def lay(index: int) -> None:
        if index == len(cells):
            whole = tuple(
                tuple(laid[r, c] for c in range(len(board[0]))) for r in range(len(board))
            )
            pieces = cells_of(whole)
            if not pieces or reached(whole, {pieces[0]}, wrap) == set(pieces):
                found.append(whole)
            return
        r, c = cells[index]
        for sides in {turned(board[r][c], turns) for turns in range(4)}:
            laid[r, c] = sides
            if fits((r, c)):
                lay(index + 1)
            del laid[r, c]

    lay(0)
    return found


def turns_between(before: Board, after: Board) -> int:
    """Turns that make one board of the other."""
    return sum(
        next(turns for turns in range(4) if turned(old, turns) == new)
        for old_line, new_line in zip(before, after, strict=True)
        for old, new in zip(old_line, new_line, strict=True)
    )


def read(text: str) -> tuple[Board, set[tuple[int, int]]]:
    """Open sides in hexadecimal, rows parted by ``/``, sources with a star."""
    rows = [line.split() for line in text.split("/")]
    board = tuple(tuple(int(cell[0], 16) for cell in line) for line in rows)
    sources = {(r, c) for r, line in enumerate(rows) for c, cell in enumerate(line) if "*" in cell}
    return board, sources


def values_of(board: Board, sources: set[tuple[int, int]], wet: set[tuple[int, int]]) -> np.ndarray:
    """The board values: by kind (dry, wet, source) and open sides."""
    values = np.array(board, np.int16)
    for r, c in cells_of(board):
        values[r, c] += 30 if (r, c) in sources else 15 if (r, c) in wet else 0
    return values
