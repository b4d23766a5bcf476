"""Parking lots: cars drawn at random, a start from which the red one is so many moves away from the
exit, and how cars lie over their cells.
"""

from __future__ import annotations

import numpy as np

from vlmgym.core import draw_below
from vlmgym.core.kernels import apart, inner, kernel
from vlmgym.games.solvers.cars import (
    RED,
    can_leave,
    distances,
    explore,
    mask_of,
    read_cars,
)

UP, RIGHT, DOWN, LEFT = 1, 2, 4, 8  # sides of a cell, as in joins and lines of a scene

TRIES = 200
"""Lots that are tried for a start whose solution is as long as asked for; else the longest
solution found is dealt.
"""
WORK = 100_000
"""Places of all tried lots that are searched, about; then no further one is tried."""
_PLACES = 3_000
"""A lot of so many places is passed over, as its oracle would be slow."""
_SPOTS = 40
"""Spots that are drawn for a car until one is free; without a free one there is one car less."""


@inner
def _put(board, value, cell, stride, length):
    """Put a car on cells of a line if they are free; returns whether they were."""
    cols = board.shape[1]
    for index in range(length):
        place = cell + index * stride
        if board[place // cols, place % cols]:
            return False
    for index in range(length):
        place = cell + index * stride
        board[place // cols, place % cols] = value
    return True


@apart
def _draw_car(board, value, seed, number):
    """Draw a car's place, as long as one is free; returns the number of the next draw.

    No other car is along the red one's row, which would never let it out.
    """
    rows, cols = board.shape
    red_row = (rows - 1) // 2
    for _ in range(_SPOTS):
        along_row = draw_below(seed, 0, number, 2) == 0
        length = 3 if draw_below(seed, 0, number + 1, 3) == 0 else 2
        row_end = rows if along_row else rows - length + 1
        column_end = cols - length + 1 if along_row else cols
        row = draw_below(seed, 0, number + 2, row_end)
        column = draw_below(seed, 0, number + 3, column_end)
        number += 4
        stride = 1 if along_row else cols
        if along_row and row == red_row:
            continue
        if _put(board, value, row * cols + column, stride, length):
            break
    return number


@apart
def _draw_lot(board, seed, number, others):
    """Draw the places of the red car and of others; returns the number of the next draw."""
    rows, cols = board.shape
    for row in range(rows):
        for column in range(cols):
            board[row, column] = 0
    cell = (rows - 1) // 2 * cols + draw_below(seed, 0, number, cols - 1)
    _put(board, RED, cell, 1, 2)
    number += 1
    for other in range(others):
        number = _draw_car(board, RED + 1 + other, seed, number)
    return number


@apart
def _change_lot(board, best, seed, number, others):
    """Draw one car of the best lot anew; returns the number of the next draw."""
    rows, cols = board.shape
    value = RED + 1 + draw_below(seed, 0, number, others)
    for row in range(rows):
        for column in range(cols):
            board[row, column] = 0 if best[row, column] == value else best[row, column]
    return _draw_car(board, value, seed, number + 1)


@inner
def _park(board, cars, key):
    """Write the cars on their places."""
    rows, cols = board.shape
    for row in range(rows):
        for column in range(cols):
            board[row, column] = 0
            for car in range(len(cars.masks)):
                if mask_of(cars, key, car) >> (row * cols + column) & 1:
                    board[row, column] = car + RED


@kernel
def deal_lots(boards, seeds, others, fewest_moves, most_moves):
    """Deal lots with a start each.

    Args:
        boards: ``(B, rows, cols)`` uint8, to be filled.
        seeds: ``(B,)`` keys of all luck.
        others: cars beside the red one; fewer where no spot is found for them.
        fewest_moves: moves of a shortest solution, at least.
        most_moves: and at most.

    Returns:
        Which of the lots have no start, ``(B,)``.
    """
    rows, cols = boards.shape[1:]
    lot = np.empty((rows, cols), np.uint8)
    over = np.ones(len(boards), np.bool_)
    for game in range(len(boards)):
        seed = seeds[game]
        best = 0
        draws = np.int64(0)
        work = 0
        for attempt in range(TRIES):
            if best >= fewest_moves or (work > WORK and best > 0):
                break
            if best > 0 and attempt % 4:
                draws = _change_lot(lot, boards[game], seed, draws, others)
            else:
                draws = _draw_lot(lot, seed, draws, others)
            cars, key = read_cars(lot, others + RED)
            keys, table = explore(cars, key, _PLACES)
            work += len(keys)
            if len(keys) >= _PLACES:
                continue
            distance = distances(cars, keys, table, cars.farthest[0])
            longest = 0
            fitting = 0
            for index in range(len(keys)):
                if distance[index] <= most_moves:
                    longest = max(longest, distance[index])
                    fitting += distance[index] >= fewest_moves
            if longest <= best:
                continue
            best = longest
            over[game] = False
            pick = draw_below(seed, 0, draws, fitting) if fitting else 0
            draws += 1
            for index in range(len(keys)):
                fits = distance[index] >= fewest_moves if fitting else distance[index] == longest
                if fits and distance[index] <= most_moves:
                    if pick == 0:
                        _park(boards[game], cars, keys[index])
                        break
                    pick -= 1
    return over


@kernel
def join_cars(boards, letters, joins):
    """Which cells go on in which: cars over their cells, and the road, or what it ends at, through
    the exit; ``joins`` (B, rows, cols) uint8 of sides.
    """
    rows, cols = boards.shape[1:]
    for game in range(len(boards)):
        board = boards[game]
        parked, _ = read_cars(board, letters)
        exit_row = -1
        for row in range(rows):
            for column in range(cols):
                value = board[row, column]
                stride = parked.strides[value - RED] if value else 0
                sides = 0
                if stride == 1:
                    sides |= RIGHT * (column + 1 < cols and board[row, column + 1] == value)
                    sides |= LEFT * (column > 0 and board[row, column - 1] == value)
                if stride > 1:
                    sides |= DOWN * (row + 1 < rows and board[row + 1, column] == value)
                    sides |= UP * (row > 0 and board[row - 1, column] == value)
                joins[game, row, column] = sides
                if value == RED and can_leave(parked):
                    exit_row = row
        at_exit = board[exit_row, cols - 1]
        if exit_row >= 0 and (at_exit <= RED or parked.strides[at_exit - RED] > 1):
            joins[game, exit_row, cols - 1] |= RIGHT
