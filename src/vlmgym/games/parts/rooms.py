"""Rooms: walls all around and some within, all free cells connected, and boxes that can be pushed
onto targets.
"""

from __future__ import annotations

import numpy as np

from vlmgym.core import draw_below
from vlmgym.core.kernels import apart, inner, kernel
from vlmgym.games.solvers.boxes import (
    BOX,
    FITS,
    FLOOR,
    PLAYER,
    TARGET,
    WALL,
    draw_start,
    has_box,
)

TRIES = 16
"""Rooms that are tried for a start whose solution is as long as asked for; else the longest
solution found is dealt.
"""


@apart
def _connected(board, free, stack):
    """Whether the cells without walls, ``free`` in number, hang together; walls surround them."""
    rows, cols = board.shape
    is_reached = np.zeros(rows * cols, np.bool_)
    waiting = 0
    reached = 0
    for cell in range(rows * cols):
        if board[cell // cols, cell % cols] != WALL:
            is_reached[cell] = True
            stack[0] = cell
            waiting = 1
            break
    while waiting:
        waiting -= 1
        cell = stack[waiting]
        reached += 1
        for stride in (-cols, 1, cols, -1):
            if (
                not is_reached[cell + stride]
                and board[(cell + stride) // cols, (cell + stride) % cols] != WALL
            ):
                is_reached[cell + stride] = True
                stack[waiting] = cell + stride
                waiting += 1
    return reached == free


@apart
def _draw_room(board, seed, number, walls, targets):
    """Draw a connected room with its targets; returns the number of the next draw."""
    rows, cols = board.shape
    free = (rows - 2) * (cols - 2)
    inside = np.empty(free, np.int64)
    stack = np.empty(rows * cols, np.int64)
    for row in range(rows):
        for column in range(cols):
            board[row, column] = WALL
            if 0 < row < rows - 1 and 0 < column < cols - 1:
                board[row, column] = FLOOR
                inside[(row - 1) * (cols - 2) + column - 1] = row * cols + column
    for index in range(free - 1, 0, -1):
        other = draw_below(seed, 0, number, index + 1)
        inside[index], inside[other] = inside[other], inside[index]
        number += 1
    for cell in inside:
        row = cell // cols
        column = cell % cols
        if len(inside) - free < walls:
            board[row, column] = WALL
            if _connected(board, free - 1, stack):
                free -= 1
                continue
            board[row, column] = FLOOR
    # cells in drawn order, from the other end: those that no wall was tried on come first
    for cell in inside[::-1]:
        if targets and board[cell // cols, cell % cols] == FLOOR:
            board[cell // cols, cell % cols] = TARGET
            targets -= 1
    return number


@inner
def _put_start(board, room, number, key, count):
    """Write a room and, unless ``key`` is -1, the player and boxes of that position."""
    rows, cols = room.shape
    for row in range(rows):
        for column in range(cols):
            cell = number[row * cols + column]
            board[row, column] = room[row, column]
            for index in range(count + 1 if key >= 0 else 0):
                if cell >= 0 and cell == (key >> (8 * index)) & 255:
                    piece = BOX if index else PLAYER
                    board[row, column] = piece + (room[row, column] == TARGET)


@kernel
def deal_rooms(boards, seeds, walls, count, fewest_moves, most_moves):
    """Deal rooms with a start each.

    Args:
        boards: ``(B, rows, cols)`` uint8, to be filled.
        seeds: ``(B,)`` keys of all luck.
        walls: inner walls; fewer where they would cut the room in two.
        count: boxes, and targets.
        fewest_moves: moves of a shortest solution, at least.
        most_moves: and at most.

    Returns:
        Which of the rooms have no box to move, ``(B,)``.
    """
    rows, cols = boards.shape[1:]
    room = np.empty((rows, cols), np.uint8)
    over = np.empty(len(boards), np.bool_)
    for game in range(len(boards)):
        seed = seeds[game]
        best = np.int64(-1)
        draws = np.int64(0)
        for attempt in range(TRIES):
            if best == FITS:
                break
            inner_walls = walls if attempt < TRIES - 2 else 0
            draws = _draw_room(room, seed, draws, inner_walls, count) + 1
            key, rating, number = draw_start(room, count, seed, draws - 1, fewest_moves, most_moves)
            if rating > best:
                best = rating
                _put_start(boards[game], room, number, key, count)
        over[game] = not has_box(boards[game])
    return over
