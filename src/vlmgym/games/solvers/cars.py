"""Cars that drive along their own line: an exact search over all their places."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vlmgym.core import DEAD
from vlmgym.core.kernels import apart, inner, kernel
from vlmgym.games.parts.boards import Boards, Values

RED = 1
"""Value of the red car's cells; other cars have the values after it, free cells 0."""
EVERY_PLACE = 1 << 40
"""A limit that no search reaches: 6x6 boards have far fewer places."""
KEPT = 60_000
"""Places of a search that is kept for the next turns; a larger one is made anew."""
KEPT_OF_ONE = 4
"""Searches that are kept of the same cars: of places that no drive leads from one to the other."""
_SCATTER = np.int64(0x1E3779B97F4A7C15)
_FIRST_SLOTS = 1 << 12


class Cars(NamedTuple):
    """The cars of a board, by their value less :data:`RED`; int64.

    A car is a straight piece of two or more cells of one value, and nothing else has this value.
    Of other values the cells are there, but never move.
    """

    masks: Any  # (cars,) the cells at the upper or left end of the line: 1 << row * cols + column
    # (cars,) from a cell to the next one of the line: 1 along a row, cols along a column, 0 no car
    strides: Any
    farthest: Any  # (cars,) how far the car can be from that end, were it alone


# A place of all cars is a key: how far each of them is from the upper or left end of its line.
#
#     key = red | first after it << 3 | second << 6 | ...
@apart
def read_cars(board, count):
    """The cars of a board with so many values, and the key of their places."""
    rows, cols = board.shape
    masks = np.zeros(count, np.int64)
    strides = np.zeros(count, np.int64)
    farthest = np.zeros(count, np.int64)
    key = np.int64(0)
    for car in range(count):
        top = rows
        left = cols
        bottom = -1
        right = -1
        cells = 0
        for row in range(rows):
            for column in range(cols):
                if board[row, column] == car + RED:
                    masks[car] |= np.int64(1) << (row * cols + column)
                    top = min(top, row)
                    left = min(left, column)
                    bottom = max(bottom, row)
                    right = max(right, column)
                    cells += 1
        if cells < 2 or (bottom - top + 1) * (right - left + 1) != cells:
            continue
        offset = 0
        if top == bottom:
            strides[car] = 1
            farthest[car] = cols - cells
            offset = left
        elif left == right:
            strides[car] = cols
            farthest[car] = rows - cells
            offset = top
        masks[car] >>= offset * strides[car]
        key |= np.int64(offset) << (3 * car)
    return Cars(masks, strides, farthest), key


@inner
def mask_of(cars, key, car):
    """The cells of a car."""
    return cars.masks[car] << (cars.strides[car] * (key >> (3 * car) & 7))


@inner
def occupied(cars, key):
    """All cells on which a car is."""
    cells = np.int64(0)
    for car in range(len(cars.masks)):
        cells |= mask_of(cars, key, car)
    return cells


@inner
def can_drive(cars, key, cells, car, change):
    """Whether a car can drive one cell, -1 towards the upper or left end of its line, 1 away from
    it.
    """
    offset = (key >> (3 * car) & 7) + change
    if offset < 0 or offset > cars.farthest[car]:
        return False
    mask = mask_of(cars, key, car)
    moved = mask << cars.strides[car] if change > 0 else mask >> cars.strides[car]
    return moved & cells & ~mask == 0


@inner
def can_leave(cars):
    """Whether the red car is one along a row, so that there is an exit at the right end of it."""
    return cars.strides[0] == 1


@inner
def is_out(cars, key):
    """Whether the red car is at the exit."""
    return can_leave(cars) and key & 7 == cars.farthest[0]


@inner
def move_of(along_row, change):
    """The direction of a drive: 0 up, 1 right, 2 down, 3 left."""
    if along_row:
        return 1 if change > 0 else 3
    return 2 if change > 0 else 0


@inner
def slot_of(table, keys, key):
    """Where a key is in the table, or where it would be put."""
    last = len(table) - 1
    slot = (key * _SCATTER >> 24) & last
    while table[slot] >= 0 and keys[table[slot]] != key:
        slot = (slot + 1) & last
    return slot


@apart
def _grown(keys):
    """Keys with room for as many again, and their table."""
    count = len(keys)
    more = np.empty(2 * count, np.int64)
    table = np.full(4 * count, -1, np.int32)
    for index in range(count):
        more[index] = keys[index]
        table[slot_of(table, more, keys[index])] = index
    return more, table


@apart
def explore(cars, key, limit):
    """All places that drives lead to, in the order of a breadth-first search, and the table in
    which :func:`slot_of` finds them; at most ``limit`` of them.
    """
    table = np.full(_FIRST_SLOTS, -1, np.int32)
    keys = np.empty(_FIRST_SLOTS // 2, np.int64)
    keys[0] = key
    table[slot_of(table, keys, key)] = 0
    count = 1
    taken = 0
    while taken < count and count < limit:
        here = keys[taken]
        taken += 1
        cells = occupied(cars, here)
        for car in range(len(cars.masks)):
            for change in (-1, 1):
                if not can_drive(cars, here, cells, car, change):
                    continue
                reached = here + (np.int64(change) << (3 * car))
                slot = slot_of(table, keys, reached)
                if table[slot] >= 0:
                    continue
                if count == len(keys):
                    keys, table = _grown(keys)
                    slot = slot_of(table, keys, reached)
                keys[count] = reached
                table[slot] = count
                count += 1
    return keys[:count], table


@apart
def distances(cars, keys, table, goal):
    """Moves from each place to the nearest one with the red car at ``goal``, (places,) int16; -1
    where there is none.
    """
    distance = np.full(len(keys), -1, np.int16)
    queue = np.empty(len(keys), np.int32)
    queued = 0
    for index in range(len(keys)):
        if keys[index] & 7 == goal:
            distance[index] = 0
            queue[queued] = index
            queued += 1
    taken = 0
    while taken < queued:
        index = queue[taken]
        taken += 1
        here = keys[index]
        cells = occupied(cars, here)
        for car in range(len(cars.masks)):
            for change in (-1, 1):
                if can_drive(cars, here, cells, car, change):
                    reached = here + (np.int64(change) << (3 * car))
                    other = table[slot_of(table, keys, reached)]
                    if distance[other] < 0:
                        distance[other] = distance[index] + 1
                        queue[queued] = other
                        queued += 1
    return distance


@kernel
def _solve(board, count):
    """See :class:`Solved`."""
    cars, key = read_cars(board, count)
    keys, table = explore(cars, key, EVERY_PLACE)
    goal = cars.farthest[0] if can_leave(cars) else np.int64(-1)
    return keys, table, distances(cars, keys, table, goal)


@kernel
def _describe(board, count):
    """What boards of the same cars have in common, (2 * count,) int64, and the key of this one."""
    cars, key = read_cars(board, count)
    common = np.empty(2 * count, np.int64)
    for car in range(count):
        common[2 * car] = cars.masks[car]
        common[2 * car + 1] = cars.farthest[car] * cars.strides[car]
    return common, key


@kernel
def _find(keys, table, key):
    return table[slot_of(table, keys, key)]


@kernel
def _value(board, count, keys, table, distance, value):
    cars, key = read_cars(board, count)
    cells = occupied(cars, key)
    for car in range(count):
        along_row = cars.strides[car] == 1
        for change in (-1, 1):
            if can_drive(cars, key, cells, car, change):
                other = table[slot_of(table, keys, key + (np.int64(change) << (3 * car)))]
                left = distance[other]
                move = move_of(along_row, change)
                value[4 * car + move] = -1.0 - left if left >= 0 else DEAD


class Solved(NamedTuple):
    """All places that drives lead to from a board, and how far each is from a solution."""

    keys: NDArray[np.int64]  # (places,)
    table: NDArray[np.int32]  # (slots,) index of a key by its slot, -1 = none
    distance: NDArray[np.int16]  # (places,) moves, -1 where there is no solution


@lru_cache(128)
def _kept_of(common: bytes, shape: tuple[int, ...]) -> list[Solved]:
    """The searches that are kept of the same cars; a list to be added to."""
    return []


def solve(board: NDArray[np.uint8], count: int) -> Solved:
    """The search of a board ``(rows, cols)`` with ``count`` values; those of the last boards are
    kept, as all turns of a game need the same.
    """
    common, key = _describe(board, count)
    kept = _kept_of(common.tobytes(), board.shape)
    for solved in kept:
        if _find(solved.keys, solved.table, key) >= 0:
            return solved
    solved = Solved(*_solve(board, count))
    if len(solved.keys) <= KEPT and len(kept) < KEPT_OF_ONE:
        kept.append(solved)
    return solved


def values(boards: Boards, ended: NDArray[np.bool_], count: int) -> Values:
    """Minus the moves of a shortest solution that begins with a move, ``(B, 4 * count)``; NaN where
    it is not legal.

    Args:
        boards: ``(B, rows, cols)``.
        ended: ``(B,)`` games without moves.
        count: values of cars.
    """
    value = np.full((len(boards), 4 * count), np.nan)
    for row in np.flatnonzero(~ended):
        _value(boards[row], count, *solve(boards[row], count), value[row])
    return value
