"""Gardens: walls that leave no dead end, a snake between them, food that it can reach, and which
moves do something.
"""

from __future__ import annotations

import numpy as np

from vlmgym.core import draw_below
from vlmgym.core.kernels import apart, inner, kernel
from vlmgym.games.parts.boards import shuffle, step_from
from vlmgym.games.solvers.snakes import (
    BODY,
    EAT,
    FLOOR,
    FOOD,
    HEAD,
    LEAST,
    NOTHING,
    WALL,
    effect_of,
    follow,
    new_scratch,
    write_values,
)

TRIES = 32
"""Gardens that are tried for one with a safe way to the food; the last one has no walls."""


@apart
def _is_open(board, queue, is_reached):
    """Whether the cells without walls hang together, also when any one of them is taken away."""
    cols = board.shape[1]
    free = 0
    for cell in range(board.size):
        free += board[cell // cols, cell % cols] != WALL
    for left_out in range(board.size):
        queued = 0
        for cell in range(board.size):
            is_free = board[cell // cols, cell % cols] != WALL and cell != left_out
            is_reached[cell] = not is_free
            if is_free and queued == 0:
                is_reached[cell] = True
                queue[0] = cell
                queued = 1
        taken = 0
        while taken < queued:
            for move in range(4):
                target = step_from(board, queue[taken], move)
                if target >= 0 and not is_reached[target]:
                    is_reached[target] = True
                    queue[queued] = target
                    queued += 1
            taken += 1
        if queued < free - (board[left_out // cols, left_out % cols] != WALL):
            return False
    return True


@inner
def _draw_order(cells, seed, number):
    """Draw an order of all cells; returns the number of the next draw."""
    for cell in range(len(cells)):
        cells[cell] = cell
    return shuffle(cells, seed, number)


@inner
def _put_walls(board, cells, walls, queue, is_reached):
    """Put walls on the first of the cells where they leave no dead end."""
    cols = board.shape[1]
    board[:] = FLOOR
    for cell in cells:
        if walls == 0:
            break
        board[cell // cols, cell % cols] = WALL
        if _is_open(board, queue, is_reached):
            walls -= 1
        else:
            board[cell // cols, cell % cols] = FLOOR


@inner
def _put_snake(board, start, length, seed, number):
    """Put a head on a cell, and a body that goes on at random; returns its length and the number of
    the next draw.
    """
    cols = board.shape[1]
    cell = start
    board[cell // cols, cell % cols] = HEAD
    for grown in range(1, length):
        choices = 0
        for move in range(4):
            target = step_from(board, cell, move)
            choices += target >= 0 and board[target // cols, target % cols] == FLOOR
        if choices == 0:
            return grown, number
        chosen = draw_below(seed, 0, number, choices)
        number += 1
        for move in range(4):
            target = step_from(board, cell, move)
            if target >= 0 and board[target // cols, target % cols] == FLOOR:
                if chosen == 0:
                    board[target // cols, target % cols] = BODY + (move + 2) % 4
                    cell = target
                    break
                chosen -= 1
    return length, number


@kernel
def put_food(board, seed, step, number):
    """Put food on a drawn cell of the floor, if there is one; returns whether there is food."""
    cols = board.shape[1]
    free = 0
    has_food = False
    for cell in range(board.size):
        free += board[cell // cols, cell % cols] == FLOOR
        has_food |= board[cell // cols, cell % cols] == FOOD
    if free == 0:
        return has_food
    chosen = draw_below(seed, step, number, free)
    for cell in range(board.size):
        if board[cell // cols, cell % cols] == FLOOR:
            if chosen == 0:
                board[cell // cols, cell % cols] = FOOD
                break
            chosen -= 1
    return True


@inner
def _has_way(board, work, value):
    """Whether a move begins a safe way to the food."""
    write_values(board, work, value)
    ways = 0
    for move in range(4):
        ways += value[move] > LEAST
    return ways > 0


@kernel
def deal_gardens(boards, seeds, walls, length):
    """Deal gardens with a snake and food to which it has a safe way.

    Args:
        boards: ``(B, rows, cols)`` uint8, to be filled.
        seeds: ``(B,)`` keys of all luck.
        walls: fewer where they would make a dead end, or a cell that all ways lead through.
        length: of the snake, the head included.
    """
    size = boards.shape[1] * boards.shape[2]
    cells = np.empty(size, np.int64)
    is_reached = np.empty(size, np.bool_)
    work = new_scratch(size)
    value = np.empty(4)
    for game in range(len(boards)):
        board = boards[game]
        seed = seeds[game]
        number = np.int64(0)
        for attempt in range(TRIES):
            number = _draw_order(cells, seed, number)
            _put_walls(board, cells, walls if attempt < TRIES - 1 else 0, work.queue, is_reached)
            number = _draw_order(cells, seed, number)
            start = 0
            while board[cells[start] // boards.shape[2], cells[start] % boards.shape[2]] == WALL:
                start += 1
            grown, number = _put_snake(board, cells[start], length, seed, number)
            put_food(board, seed, 0, number)
            number += 1
            if grown == length and _has_way(board, work, value):
                break


@kernel
def mark_moves(boards, legal, eating):
    """Mark the moves that do something, and those that eat."""
    trail = np.empty(boards.shape[1] * boards.shape[2] + 1, np.int64)
    for game in range(len(boards)):
        length = follow(boards[game], trail)
        for move in range(4):
            effect = effect_of(boards[game], trail, length, move)
            legal[game, move] = effect != NOTHING
            eating[game, move] = effect == EAT
