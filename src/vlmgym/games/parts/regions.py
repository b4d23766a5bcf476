"""Regions of one piece that allow one way to put a queen into every row, column and region."""

from __future__ import annotations

import numpy as np

from vlmgym.core import draw_below
from vlmgym.core.kernels import apart, inner, kernel
from vlmgym.games.parts.boards import MOVE_STEPS, shuffle
from vlmgym.games.solvers.queens import next_solution

TRIES = 200
"""Sets of queens that are tried for regions with no other solution; 1 in 7 of 9 queens has some."""
REPAIRS = 100
"""Cells that are given to a neighbour until there is no other solution, at most."""
_FREE = 255


@inner
def _draw_queens(columns, seed, number):
    """Draw a queen for each row, no two in one column, none touching; all such ways are as likely
    as each other. Returns the number of the next draw.
    """
    for row in range(len(columns)):
        columns[row] = row
    touching = True
    while touching:
        number = shuffle(columns, seed, number)
        touching = False
        for row in range(1, len(columns)):
            touching |= abs(columns[row] - columns[row - 1]) < 2
    return number


@inner
def _neighbour(cell, move, rows, cols):
    """The cell that a step leads to; -1 off the board."""
    row = cell // cols + MOVE_STEPS[move, 0]
    column = cell % cols + MOVE_STEPS[move, 1]
    return row * cols + column if 0 <= row < rows and 0 <= column < cols else -1


@apart
def _grow(regions, columns, seed, number):
    """Let regions grow from the queens, by drawn cells next to them, until they fill the board.
    Returns the number of the next draw.

    regions (n, n) uint8, to be filled with the row of each region's queen; columns (n,) int64.
    """
    size = len(columns)
    flat = regions.reshape(size * size)
    flat[:] = _FREE
    free = np.empty(size * size, np.int64)
    count = 0
    for cell in range(size * size):
        if columns[cell // size] == cell % size:
            flat[cell] = cell // size
        else:
            free[count] = cell
            count += 1
    while count:
        index = draw_below(seed, 0, number, count)
        cell = free[index]
        move = draw_below(seed, 0, number + 1, 4)
        number += 2
        for turn in range(4):
            other = _neighbour(cell, (move + turn) % 4, size, size)
            if other >= 0 and flat[other] != _FREE:
                flat[cell] = flat[other]
                count -= 1
                free[index] = free[count]
                break
    return number


@apart
def _hangs_together_without(regions, cell):
    """Whether the region of a cell is one piece, and no empty one, once the cell is another's."""
    size = regions.shape[0]
    flat = regions.reshape(size * size)
    region = flat[cell]
    reached = np.zeros(size * size, np.bool_)
    stack = np.empty(size * size, np.int64)
    waiting = 0
    total = 0
    for other in range(size * size):
        if flat[other] == region and other != cell:
            if total == 0:
                stack[0] = other
                reached[other] = True
                waiting = 1
            total += 1
    met = 0
    while waiting:
        waiting -= 1
        here = stack[waiting]
        met += 1
        for move in range(4):
            other = _neighbour(here, move, size, size)
            if other >= 0 and other != cell and flat[other] == region and not reached[other]:
                reached[other] = True
                stack[waiting] = other
                waiting += 1
    return met == total > 0


@apart
def _gifts(regions, columns, other, gifts):
    """List ``cell * 4 + move`` of the cells of another solution that may be given to the region
    beyond that side; returns how many there are.
    """
    size = len(columns)
    flat = regions.reshape(size * size)
    count = 0
    for row in range(size):
        cell = row * size + other[row]
        if other[row] == columns[row] or not _hangs_together_without(regions, cell):
            continue
        for move in range(4):
            neighbour = _neighbour(cell, move, size, size)
            if neighbour >= 0 and flat[neighbour] != flat[cell]:
                gifts[count] = cell * 4 + move
                count += 1
    return count


@apart
def _make_unique(regions, columns, seed, number):
    """Give cells to neighbouring regions until ``columns`` are the only solution. Of another
    solution one cell is given to a region that has a queen of it already. Returns whether it came
    to that, and the number of the next draw.
    """
    size = len(columns)
    flat = regions.reshape(size * size)
    other = np.empty(size, np.int64)
    gifts = np.empty(4 * size, np.int64)
    for _ in range(REPAIRS):
        other[:] = -1
        found = next_solution(regions, other)
        if found and np.array_equal(columns, other):
            found = next_solution(regions, other)
        if not found:
            return True, number
        count = _gifts(regions, columns, other, gifts)
        if count == 0:
            break
        gift = gifts[draw_below(seed, 0, number, count)]
        number += 1
        cell = gift // 4
        flat[cell] = flat[_neighbour(cell, gift % 4, size, size)]
    return False, number


@kernel
def deal_regions(boards, seeds):
    """Fill boards with as many regions as rows, each of one piece, that allow one solution.

    boards (B, n, n) uint8, to be filled with numbers 0 to n - 1 of regions; seeds (B,).
    """
    size = boards.shape[1]
    columns = np.empty(size, np.int64)
    order = np.empty(size, np.int64)
    for game in range(len(boards)):
        regions = boards[game]
        seed = seeds[game]
        number = 0
        unique = False
        for _ in range(TRIES):
            number = _draw_queens(columns, seed, number)
            number = _grow(regions, columns, seed, number)
            unique, number = _make_unique(regions, columns, seed, number)
            if unique:
                break
        if not unique:
            # all queens but one fill their regions: those can stand nowhere else
            regions[:] = 0
            for row in range(1, size):
                regions[row, columns[row]] = row
        for region in range(size):
            order[region] = region
        shuffle(order, seed, number)
        for row in range(size):
            for column in range(size):
                regions[row, column] = order[regions[row, column]]
