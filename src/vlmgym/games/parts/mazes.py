"""Fields to walk on: mazes, and lakes with holes; the goal is left to the game."""

from __future__ import annotations

import numpy as np

from vlmgym.core import draw_below, draw_unit
from vlmgym.core.kernels import inner
from vlmgym.games.parts.boards import MOVE_STEPS
from vlmgym.games.solvers.walks import FLOOR, HOLE, PLAYER, WALL, distances

TRIES = 64
"""Lakes that are drawn for one with a long enough way; then a way is carved into the last one."""


# A maze has passages on the cells of odd row and column, and walls between: 5 rows, 7 columns (#
# wall,
# . floor, P the player). An even side has no wall at its end.
#
#     #######
#     #P..#.#
#     ###.#.#
#     #.....#
#     #######
@inner
def carve_maze(board, seed, loops):
    """Draw a maze by depth-first search from the drawn cell of the player.

    Args:
        board: ``(rows, cols)`` uint8, to be filled.
        seed: key of all luck.
        loops: probability with which a wall between two passages is taken out.

    Returns:
        The number of the next draw, and the moves from the player to each cell.
    """
    rows, cols = board.shape
    number = 2
    stack = np.empty(rows * cols, np.int64)
    tail = 1
    r = 1 + 2 * draw_below(seed, 0, 0, rows // 2)
    c = 1 + 2 * draw_below(seed, 0, 1, cols // 2)
    board[:] = WALL
    board[r, c] = PLAYER
    stack[0] = r * cols + c
    options = np.empty(4, np.int64)
    while tail:
        r = stack[tail - 1] // cols
        c = stack[tail - 1] % cols
        count = 0
        for move in range(4):
            i = r + 2 * MOVE_STEPS[move, 0]
            j = c + 2 * MOVE_STEPS[move, 1]
            if 0 < i < rows and 0 < j < cols and board[i, j] == WALL:
                options[count] = move
                count += 1
        if count == 0:
            tail -= 1
            continue
        move = options[draw_below(seed, 0, number, count)]
        number += 1
        i = r + 2 * MOVE_STEPS[move, 0]
        j = c + 2 * MOVE_STEPS[move, 1]
        board[(r + i) // 2, (c + j) // 2] = FLOOR
        board[i, j] = FLOOR
        stack[tail] = i * cols + j
        tail += 1
    for r in range(1, rows):
        for c in range(1, cols):
            beside = r % 2 == 1 and c % 2 == 0 and c + 1 < cols
            below = r % 2 == 0 and c % 2 == 1 and r + 1 < rows
            if (beside or below) and board[r, c] == WALL:
                if draw_unit(seed, 0, number) < loops:
                    board[r, c] = FLOOR
                number += 1
    return number, distances(board, PLAYER)


@inner
def draw_lake(board, seed, holes):
    """Draw a lake with the player in the top left corner and a long enough way to some cell.

    Args:
        board: ``(rows, cols)`` uint8, to be filled.
        seed: key of all luck.
        holes: cells with a hole.

    Returns:
        The number of the next draw, and the moves from the player to each cell.
    """
    rows, cols = board.shape
    flat = board.reshape(rows * cols)
    order = np.arange(1, rows * cols)
    number = 0
    for _ in range(TRIES):
        flat[:] = FLOOR
        flat[0] = PLAYER
        for k in range(holes):
            other = k + draw_below(seed, 0, number, len(order) - k)
            order[k], order[other] = order[other], order[k]
            flat[order[k]] = HOLE
            number += 1
        distance = distances(board, PLAYER)
        if distance.max() >= (rows + cols) * 2 // 3:
            return number, distance
    r = 0
    c = 0
    while r + 1 < rows or c + 1 < cols:
        if c + 1 == cols or (r + 1 < rows and draw_below(seed, 0, number, 2) == 0):
            r += 1
        else:
            c += 1
        number += 1
        board[r, c] = FLOOR
    return number, distances(board, PLAYER)
