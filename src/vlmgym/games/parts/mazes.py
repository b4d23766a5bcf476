"""Fields to walk on: mazes, and lakes with holes, each with a player and a goal."""

from __future__ import annotations

import numpy as np

from vlmgym.core import draw_below, draw_unit
from vlmgym.core.kernels import inner, kernel
from vlmgym.games.parts.boards import MOVE_STEPS
from vlmgym.games.solvers.walks import FLOOR, GOAL, HOLE, PLAYER, WALL, distances

TRIES = 64
"""Lakes that are drawn for one with a long enough way; then a way is carved into the last one."""


# A maze has passages on the cells of odd row and column, and walls between: 5 rows, 7 columns (#
# wall, . floor, P the player). An even side has no wall at its end.
#
#     #######
#     #P..#.#
#     ###.#.#
#     #.....#
#     #######
@inner
def _carve_maze(board, seed, loops):
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
    depth = 1
    row = 1 + 2 * draw_below(seed, 0, 0, rows // 2)
    column = 1 + 2 * draw_below(seed, 0, 1, cols // 2)
    board[:] = WALL
    board[row, column] = PLAYER
    stack[0] = row * cols + column
    options = np.empty(4, np.int64)
    while depth:
        row = stack[depth - 1] // cols
        column = stack[depth - 1] % cols
        count = 0
        for move in range(4):
            next_row = row + 2 * MOVE_STEPS[move, 0]
            next_column = column + 2 * MOVE_STEPS[move, 1]
            inside = 0 < next_row < rows and 0 < next_column < cols
            if inside and board[next_row, next_column] == WALL:
                options[count] = move
                count += 1
        if count == 0:
            depth -= 1
            continue
        move = options[draw_below(seed, 0, number, count)]
        number += 1
        next_row = row + 2 * MOVE_STEPS[move, 0]
        next_column = column + 2 * MOVE_STEPS[move, 1]
        board[(row + next_row) // 2, (column + next_column) // 2] = FLOOR
        board[next_row, next_column] = FLOOR
        stack[depth] = next_row * cols + next_column
        depth += 1
    number = _take_out_walls(board, seed, loops, number)
    return number, distances(board, PLAYER)


@inner
def _take_out_walls(board, seed, loops, number):
    """Take out walls between two passages by chance; returns the number of the next draw."""
    rows, cols = board.shape
    for row in range(1, rows):
        for column in range(1, cols):
            beside = row % 2 == 1 and column % 2 == 0 and column + 1 < cols
            below = row % 2 == 0 and column % 2 == 1 and row + 1 < rows
            if (beside or below) and board[row, column] == WALL:
                if draw_unit(seed, 0, number) < loops:
                    board[row, column] = FLOOR
                number += 1
    return number


@inner
def _draw_lake(board, seed, holes):
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
        for index in range(holes):
            other = index + draw_below(seed, 0, number, len(order) - index)
            order[index], order[other] = order[other], order[index]
            flat[order[index]] = HOLE
            number += 1
        distance = distances(board, PLAYER)
        if distance.max() >= (rows + cols) * 2 // 3:
            return number, distance
    row = 0
    column = 0
    while row + 1 < rows or column + 1 < cols:
        if column + 1 == cols or (row + 1 < rows and draw_below(seed, 0, number, 2) == 0):
            row += 1
        else:
            column += 1
        number += 1
        board[row, column] = FLOOR
    return number, distances(board, PLAYER)


@kernel
def deal_fields(boards, seeds, maze, holes, loops):
    """Deal fields; the goal is drawn among the farthest quarter of distances from the player.

    Args:
        boards: ``(B, rows, cols)`` uint8, to be filled.
        seeds: ``(B,)`` keys of all luck.
        maze: mazes, else lakes.
        holes: cells of a lake with a hole.
        loops: probability with which a wall between two passages of a maze is taken out.
    """
    cols = boards.shape[2]
    for game in range(len(boards)):
        if maze:
            number, distance = _carve_maze(boards[game], seeds[game], loops)
        else:
            number, distance = _draw_lake(boards[game], seeds[game], holes)
        far_cells = np.flatnonzero(distance >= distance.max() - distance.max() // 4)
        goal = far_cells[draw_below(seeds[game], 0, number, len(far_cells))]
        boards[game, goal // cols, goal % cols] = GOAL
