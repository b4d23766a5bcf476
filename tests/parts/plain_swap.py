"""Swap with plain lists, slow and by the rules."""

from __future__ import annotations

from functools import cache
from itertools import product

import numpy as np

from vlmgym.core import draw_below
from vlmgym.games.parts import tile_kinds as tiles
from vlmgym.games.swap import MAX_TRIES, MAX_WAVES, LevelSwap

Board = list[list[int]]


class Luck:
    """The draws of one turn, in order."""

    def __init__(self, seed: int, step: int) -> None:
        self.seed, self.step, self.number = np.uint64(seed), step, -1

    def below(self, bound: int) -> int:
        self.number += 1
        return int(draw_below(self.seed, self.step, self.number, bound))


def neighbours(rows: int, cols: int) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """The two cells of every action, in the order of the ids."""
    across = [((r, c), (r, c + 1)) for r in range(rows) for c in range(cols - 1)]
    return across + [((r, c), (r + 1, c)) for r in range(rows - 1) for c in range(cols)]


@cache
def windows(rows: int, cols: int, line: int) -> list[list[tuple[int, int]]]:
    """All places of ``line`` cells in a row or column."""
    across = [
        [(r, c + k) for k in range(line)] for r in range(rows) for c in range(cols - line + 1)
    ]
    return across + [
        [(r + k, c) for k in range(line)] for r in range(rows - line + 1) for c in range(cols)
    ]


def in_lines(board: Board, line: int) -> set[tuple[int, int]]:
    """Cells of all windows of ``line`` equal tiles."""
    found = set()
    for window in windows(len(board), len(board[0]), line):
        r, c = window[0]
        value = board[r][c]
        if value and all(board[i][j] == value for i, j in window[1:]):
            found.update(window)
    return found


def swapped(board: Board, action: int, line: int) -> Board | None:
    """The board after a valid swap, before anything vanishes; None if the swap is not valid."""
    (r, c), (i, j) = neighbours(len(board), len(board[0]))[action]
    new = [list(row) for row in board]
    new[r][c], new[i][j] = board[i][j], board[r][c]
    if 0 in (board[r][c], board[i][j]) or board[r][c] == board[i][j]:
        return None
    return new if {(r, c), (i, j)} & in_lines(new, line) else None


def valid(board: Board, line: int) -> list[int]:
    return [a for a in range(len(neighbours(len(board), len(board[0])))) if swapped(board, a, line)]


def fallen(board: Board, gone: set[tuple[int, int]]) -> Board:
    rows, cols = len(board), len(board[0])
    columns = []
    for c in range(cols):
        kept = [board[r][c] for r in range(rows) if (r, c) not in gone and board[r][c]]
        columns.append([0] * (rows - len(kept)) + kept)
    return [[columns[c][r] for c in range(cols)] for r in range(rows)]


def tile(level: LevelSwap, kind: int) -> int:
    colour, shape = divmod(kind, level.shapes)
    return tiles.NAMES["shapes"].index(f"{tiles.COLOURS[colour]} {tiles.FORMS['shapes'][shape]}")


def plain_deal(level: LevelSwap, luck: Luck) -> tuple[Board, bool]:
    board: Board = []
    for _ in range(MAX_TRIES):
        board = [[0] * level.cols for _ in range(level.rows)]
        for r, c in product(range(level.rows), range(level.cols)):
            free = []
            for kind in range(level.colours * level.shapes):
                board[r][c] = tile(level, kind)
                if not in_lines(board, level.line):
                    free.append(board[r][c])
            board[r][c] = free[luck.below(len(free))]
        if valid(board, level.line):
            return board, True
    return board, False


def plain_turn(
    level: LevelSwap, board: Board, action: int, luck: Luck, used: list[str] | None = None
) -> tuple[Board, int, bool, bool]:
    """Board, gain, changed, terminated; ``used`` takes down which way out of a stuck board there
    was.
    """
    used = [] if used is None else used
    new = swapped(board, action, level.line)
    if new is None:
        return board, 0, False, False
    gain = 0
    for _ in range(MAX_WAVES):
        gone = in_lines(new, level.line)
        if not gone:
            break
        gain += len(gone) * (1 + (len(gone) - 2))
        new = fallen(new, gone)
        for c, r in product(range(level.cols), range(level.rows)):
            if new[r][c] == 0:
                new[r][c] = tile(level, luck.below(level.colours * level.shapes))
    stable = not in_lines(new, level.line)
    if stable and valid(new, level.line):
        return new, gain, True, False
    if stable:
        cells = list(product(range(level.rows), range(level.cols)))
        for _ in range(MAX_TRIES):
            for k in range(len(cells) - 1, 0, -1):
                (r, c), (i, j) = cells[k], cells[luck.below(k + 1)]
                new[r][c], new[i][j] = new[i][j], new[r][c]
            if not in_lines(new, level.line) and valid(new, level.line):
                used.append("shuffle")
                return new, gain, True, False
    new, found = plain_deal(level, luck)
    used.append("deal" if found else "end")
    return new, gain, True, not found


def plain_value(board: Board, action: int, line: int) -> float:
    new, score = swapped(board, action, line), 0
    if new is None:
        return np.nan
    while gone := in_lines(new, line):
        score += len(gone) * (len(gone) - 1)
        new = fallen(new, gone)
    return score


def random_board(rng: np.random.Generator, rows: int, cols: int) -> np.ndarray:
    """Any tiles, with lines and often with empty cells."""
    empty = 0.0 if rng.random() < 0.5 else rng.random()
    return np.where(
        rng.random((rows, cols)) < empty, 0, rng.integers(1, rng.integers(3, 10), (rows, cols))
    ).astype(np.int16)
