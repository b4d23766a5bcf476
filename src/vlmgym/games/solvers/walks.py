"""Walks over a field with walls, holes and goals: shortest ways, and the best chance where one may
slip.
"""

from __future__ import annotations

import numpy as np

from vlmgym.core import DEAD
from vlmgym.core.kernels import apart, inner, kernel
from vlmgym.games.parts.boards import MOVE_STEPS, Boards, Marks, Values, first_from

FLOOR, WALL, HOLE, GOAL, PLAYER = range(5)
"""Values of the cells of a field."""
DISCOUNT = 0.997
"""Factor by which each move after this one lessens the value (with slipping): the best chance
without any hurry takes so many moves that most games would end at their turn limit.
"""
NO_HURRY = 1.0 - 1e-9
"""The factor at which a value is a chance; at 1 there is none where a policy waits for ever."""
BETTER = 1e-12
"""A move is only replaced by one whose value is larger by more than that."""


# A field is (rows, cols) uint8:
#
#     4 0 0      the player on the first cell, a hole, a wall, the goal on the last cell;
#     0 2 1      cells are numbered in reading order,
#     0 0 3      moves are 0 up, 1 right, 2 down, 3 left
@kernel
def ahead(board, cell, move):
    """The cell that a step leads to; -1 if a wall or the edge is in the way."""
    rows, cols = board.shape
    row = cell // cols + MOVE_STEPS[move, 0]
    column = cell % cols + MOVE_STEPS[move, 1]
    return (
        row * cols + column
        if 0 <= row < rows and 0 <= column < cols and board[row, column] != WALL
        else -1
    )


@kernel
def mark_moves(boards, slip, legal):
    """Mark the moves that can change a field, ``(B, 4)``; where one may slip, what a move to either
    side does counts too.
    """
    for game in range(len(boards)):
        cell = first_from(boards[game], PLAYER)
        for move in range(4):
            if cell >= 0 and ahead(boards[game], cell, move) >= 0:
                legal[game, move] = True
                if slip > 0.0:
                    legal[game, (move + 1) % 4] = legal[game, (move + 3) % 4] = True


@apart
def distances(board, source):
    """Moves from each cell to the nearest one that holds ``source``, over floor; -1: there is no
    way.
    """
    rows, cols = board.shape
    stride = cols + 2  # with a wall around, no step leaves the field
    padded = np.full((rows + 2) * stride, -2, np.int64)
    queue = np.empty(rows * cols, np.int64)
    queued = 0
    for row in range(rows):
        for column in range(cols):
            cell = (row + 1) * stride + column + 1
            value = board[row, column]
            if value == source:
                padded[cell] = 0
                queue[queued] = cell
                queued += 1
            elif value in (FLOOR, PLAYER):
                padded[cell] = -1
    taken = 0
    while taken < queued:
        cell = queue[taken]
        taken += 1
        for neighbour in (cell - stride, cell + 1, cell + stride, cell - 1):
            if padded[neighbour] == -1:
                padded[neighbour] = padded[cell] + 1
                queue[queued] = neighbour
                queued += 1
    distance = np.empty(rows * cols, np.int64)
    for row in range(rows):
        for column in range(cols):
            distance[row * cols + column] = max(padded[(row + 1) * stride + column + 1], -1)
    return distance


@inner
def _value_of(values, targets, cell, move, slip):
    """Value of a move, from the values of the cells that its three outcomes lead to."""
    sides = values[targets[cell, (move + 1) % 4]] + values[targets[cell, (move + 3) % 4]]
    return (1.0 - slip) * values[targets[cell, move]] + slip / 2.0 * sides


@inner
def _evaluate(policy, targets, cols, slip, discount, rows, values):
    """Write the value of each cell where the moves of a policy are made.

    The values solve one linear equation a cell, each with the cells beside, above and below it: so
    it is eliminated within a band of ``cols`` cells to either side.

    Args:
        policy: the move from each cell; -1 where the game has ended.
        targets: the cell that each move leads to from each cell.
        cols: columns of the field.
        slip: probability of a slip.
        discount: factor of each move.
        rows: ``(cells, 2 * cols + 1)``, written on.
        values: of the cells, 1 on a goal; written where the game goes on.
    """
    cells = len(policy)
    for cell in range(cells):
        rows[cell] = 0.0
        rows[cell, cols] = 1.0
        if policy[cell] < 0:
            continue
        values[cell] = 0.0
        for turn, chance in ((0, 1.0 - slip), (1, slip / 2.0), (3, slip / 2.0)):
            target = targets[cell, (policy[cell] + turn) % 4]
            rows[cell, target - cell + cols] -= discount * chance
    for pivot in range(cells):
        for cell in range(pivot + 1, min(pivot + cols + 1, cells)):
            factor = rows[cell, pivot - cell + cols] / rows[pivot, cols]
            if factor != 0.0:
                shift = pivot - cell
                for place in range(cols, 2 * cols + 1):
                    rows[cell, place + shift] -= factor * rows[pivot, place]
                values[cell] -= factor * values[pivot]
    for cell in range(cells - 1, -1, -1):
        for place in range(cols + 1, min(2 * cols + 1, cells - cell + cols)):
            values[cell] -= rows[cell, place] * values[cell + place - cols]
        values[cell] /= rows[cell, cols]


@inner
def _solve(board, slip, hurried):
    """What it is worth to be on a cell after a move: 1 on a goal, 0 in a hole, else the discounted
    best next value; or the chance to reach a goal by the moves that are best in this sense.

    Policy iteration: the moves of a policy are rated exactly, and replaced by better ones until
    none is better.

    Returns:
        The values, and the cell that each move leads to from each cell.
    """
    rows, cols = board.shape
    cells = rows * cols
    values = np.zeros(cells)
    targets = np.empty((cells, 4), np.int64)
    policy = np.full(cells, -1, np.int64)
    distance = distances(board, GOAL)
    for cell in range(cells):
        value = board[cell // cols, cell % cols]
        values[cell] = value == GOAL
        for move in range(4):
            target = ahead(board, cell, move)
            targets[cell, move] = target if target >= 0 else cell
        if value in (FLOOR, PLAYER):
            policy[cell] = 0
            for move in range(4):
                if 0 <= distance[targets[cell, move]] < distance[cell]:
                    policy[cell] = move
    band = np.empty((cells, 2 * cols + 1))
    changed = True
    while changed:
        _evaluate(policy, targets, cols, slip, DISCOUNT, band, values)
        changed = False
        for cell in range(cells):
            if policy[cell] < 0:
                continue
            best = _value_of(values, targets, cell, policy[cell], slip) + BETTER
            for move in range(4):
                value = _value_of(values, targets, cell, move, slip)
                if value > best:
                    best = value
                    policy[cell] = move
                    changed = True
    if not hurried:
        _evaluate(policy, targets, cols, slip, NO_HURRY, band, values)
    return values, targets


@kernel
def _values(boards, legal, slip, hurried, value):
    for game in range(len(boards)):
        value[game] = np.nan
        if not legal[game].any():
            continue
        cell = first_from(boards[game], PLAYER)
        if slip > 0.0:
            cell_values, targets = _solve(boards[game], slip, hurried)
            for move in range(4):
                if legal[game, move]:
                    value[game, move] = _value_of(cell_values, targets, cell, move, slip)
            continue
        distance = distances(boards[game], GOAL)
        for move in range(4):
            if legal[game, move]:
                moves_left = distance[ahead(boards[game], cell, move)]
                value[game, move] = -1.0 - moves_left if moves_left >= 0 else DEAD


def values(board: Boards, legal: Marks, slip: float) -> Values:
    """What each move of the player is worth, ``(B, 4)``; NaN where it is not legal.

    Args:
        board: ``(B, rows, cols)``.
        legal: ``(B, 4)``.
        slip: probability that a move goes to one of its two sides instead.

    Returns:
        Minus the moves of a shortest way to a goal that begins so, :data:`DEAD` where there is
        none; with slipping, the highest probability to reach a goal, each further move at
        :data:`DISCOUNT`.
    """
    value = np.empty((len(board), 4))
    _values(board, legal, slip, True, value)
    return value


def chances(board: Boards, legal: Marks, slip: float) -> Values:
    """The probability to reach a goal, however late, after each move and then the best ones of
    :func:`values`, ``(B, 4)``; NaN where the move is not legal; for fields where one may slip.
    """
    chance = np.empty((len(board), 4))
    _values(board, legal, slip, False, chance)
    return chance
