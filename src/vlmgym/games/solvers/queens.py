"""Queens in rows, columns and regions: every solution in its order, and what moves are worth."""

from __future__ import annotations

import numpy as np

from vlmgym.core import DEAD
from vlmgym.core.kernels import apart, inner, kernel

GROUND, QUEEN, MARK = range(3)
"""What stands on a cell."""


# A board (n, n) uint8 holds n * what + region, with regions 0 to n - 1 and what of GROUND, QUEEN,
# MARK. Solutions are (n,) int64, the column of the queen of each row.
@inner
def may_not_stand(board, cell, other):
    """Whether queens on two different cells break a rule: one row, column or region, or they
    touch.
    """
    size = board.shape[0]
    down = abs(cell // size - other // size)
    across = abs(cell % size - other % size)
    region = board[cell // size, cell % size] % size
    return (
        down == 0
        or across == 0
        or (down == 1 and across == 1)
        or board[other // size, other % size] % size == region
    )


@inner
def queens_of(board, cells):
    """List the cells with a queen, in reading order; returns how many there are."""
    size = board.shape[0]
    count = 0
    for cell in range(size * size):
        if board[cell // size, cell % size] // size == QUEEN:
            cells[count] = cell
            count += 1
    return count


@inner
def is_solved(board, cells):
    """Whether as many queens as rows stand, no two of which break a rule; ``cells`` is scratch."""
    size = board.shape[0]
    count = queens_of(board, cells)
    if count != size:
        return False
    for index in range(count):
        for other in range(index):
            if may_not_stand(board, cells[index], cells[other]):
                return False
    return True


@inner
def write_marks(board, cells, with_marks):
    """Mark the cells without a queen that a queen rules out, and no others; none without marks."""
    size = board.shape[0]
    count = queens_of(board, cells) if with_marks else 0
    for row in range(size):
        for column in range(size):
            value = board[row, column]
            if value // size == QUEEN:
                continue
            marked = False
            for index in range(count):
                marked |= may_not_stand(board, row * size + column, cells[index])
            board[row, column] = value % size + size * (MARK if marked else GROUND)


@kernel
def put_in_order(boards, with_marks, solved):
    """Make boards that were described some that moves could lead to: of queens that may not stand
    together the first ones in reading order stay, and marks are where they belong.

    boards (B, n, n) uint8, changed in place; solved (B,) bool, to be filled.
    """
    size = boards.shape[1]
    cells = np.empty(size * size, np.int64)
    for game in range(len(boards)):
        board = boards[game]
        count = queens_of(board, cells)
        kept = 0
        for index in range(count):
            cell = cells[index]
            fits = True
            for other in range(kept):
                fits &= not may_not_stand(board, cell, cells[other])
            if fits:
                cells[kept] = cell
                kept += 1
            else:
                board[cell // size, cell % size] %= size
        write_marks(board, cells, with_marks)
        solved[game] = is_solved(board, cells)


@apart
def next_solution(regions, columns):
    """Go on to the next solution in lexicographic order, in ``columns``; the first one after a
    solution of -1 everywhere. False where there is none.

    regions (n, n) uint8, numbers below n; columns (n,) int64.
    """
    size = len(columns)
    row = size - 1 if columns[size - 1] >= 0 else 0
    taken_columns = 0
    taken_regions = 0
    for above in range(row):
        taken_columns |= 1 << columns[above]
        taken_regions |= 1 << regions[above, columns[above]]
    while row >= 0:
        column = columns[row] + 1
        while column < size and (
            taken_columns >> column & 1
            or taken_regions >> regions[row, column] & 1
            or (row > 0 and abs(column - columns[row - 1]) < 2)
        ):
            column += 1
        if column == size:
            columns[row] = -1
            row -= 1
            if row >= 0:
                taken_columns ^= 1 << columns[row]
                taken_regions ^= 1 << regions[row, columns[row]]
            continue
        columns[row] = column
        if row == size - 1:
            return True
        taken_columns |= 1 << column
        taken_regions |= 1 << regions[row, column]
        row += 1
    return False


@kernel
def values(boards, over, value):
    """Minus the moves of a shortest solution that begins with each cell; DEAD where the regions
    have no solution, NaN in games that are over.

    A queen drives away those that may not stand with it, so that a board needs as many moves as
    the nearest solution has queens that do not stand yet.

    boards (B, n, n) uint8, no two queens of which break a rule; over (B,) bool; value (B, n * n)
    float64, to be filled.
    """
    size = boards.shape[1]
    queens = np.empty(size * size, np.int64)
    stays = np.empty((size * size, size), np.bool_)  # the queen of a row, after a move
    regions = np.empty((size, size), np.uint8)
    columns = np.empty(size, np.int64)
    for game in range(len(boards)):
        if over[game]:
            value[game] = np.nan
            continue
        value[game] = DEAD
        board = boards[game]
        for row in range(size):
            for column in range(size):
                regions[row, column] = board[row, column] % size
        count = queens_of(board, queens)
        stays[:] = False
        for cell in range(size * size):
            takes_away = board[cell // size, cell % size] // size == QUEEN
            for index in range(count):
                queen = queens[index]
                if takes_away:
                    stays[cell, queen // size] = queen != cell
                else:
                    stays[cell, queen // size] = not may_not_stand(board, cell, queen)
        columns[:] = -1
        while next_solution(regions, columns):
            for cell in range(size * size):
                row = cell // size
                column = cell % size
                missing = size
                for other in range(size):
                    is_right = board[other, columns[other]] // size == QUEEN
                    missing -= is_right and stays[cell, other]
                puts = board[row, column] // size != QUEEN
                missing -= puts and columns[row] == column
                value[game, cell] = max(value[game, cell], -1.0 - missing)
