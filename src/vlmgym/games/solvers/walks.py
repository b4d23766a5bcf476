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
DISCOUNT = 0.99
"""Factor by which each move after this one lessens the value (with slipping)."""
SWEEPS = 5000
"""Most sweeps of the value iteration; at the discount, 2,800 take any error below 1e-12."""


# A field is (rows, cols) uint8:
#
#     4 0 0      the player on the first cell, a hole, a wall, the goal on the last cell;
#     0 2 1      cells are numbered in reading order,
#     0 0 3      moves are 0 up, 1 right, 2 down, 3 left
@kernel
def ahead(board, cell, move):
    """The cell that a step leads to; -1 if a wall or the edge is in the way."""
    rows, cols = board.shape
    r = cell // cols + MOVE_STEPS[move, 0]
    c = cell % cols + MOVE_STEPS[move, 1]
    return r * cols + c if 0 <= r < rows and 0 <= c < cols and board[r, c] != WALL else -1


@apart
def distances(board, source):
    """Moves from each cell to the nearest one that holds ``source``, over floor; -1: there is no
    way.
    """
    rows, cols = board.shape
    wide = cols + 2  # with a wall around, no step leaves the field
    far = np.full((rows + 2) * wide, -2, np.int64)
    queue = np.empty(rows * cols, np.int64)
    tail = 0
    for r in range(rows):
        for c in range(cols):
            cell = (r + 1) * wide + c + 1
            kind = board[r, c]
            if kind == source:
                far[cell] = 0
                queue[tail] = cell
                tail += 1
            elif kind in (FLOOR, PLAYER):
                far[cell] = -1
    head = 0
    while head < tail:
        cell = queue[head]
        head += 1
        for to in (cell - wide, cell + 1, cell + wide, cell - 1):
            if far[to] == -1:
                far[to] = far[cell] + 1
                queue[tail] = to
                tail += 1
    distance = np.empty(rows * cols, np.int64)
    for r in range(rows):
        for c in range(cols):
            distance[r * cols + c] = max(far[(r + 1) * wide + c + 1], -1)
    return distance


@inner
def _worth(worth, to, cell, move, slip):
    """Value of a move, from what it is worth to be where its three outcomes lead."""
    sides = worth[to[cell, (move + 1) % 4]] + worth[to[cell, (move + 3) % 4]]
    return (1.0 - slip) * worth[to[cell, move]] + slip / 2.0 * sides


@inner
def _iterate(board, slip):
    """What it is worth to be on a cell after a move: 1 on a goal, 0 in a hole, else the discounted
    best next value.

    Value iteration; sweeps that try all moves take turns with cheaper ones that repeat the best
    moves found.

    Returns:
        The values, and the cell that each move leads to from each cell.
    """
    rows, cols = board.shape
    cells = rows * cols
    worth = np.zeros(cells)
    to = np.empty((cells, 4), np.int64)
    policy = np.full(cells, -1, np.int64)
    for cell in range(cells):
        worth[cell] = board[cell // cols, cell % cols] == GOAL
        if board[cell // cols, cell % cols] in (FLOOR, PLAYER):
            policy[cell] = 0
        for move in range(4):
            there = ahead(board, cell, move)
            to[cell, move] = there if there >= 0 else cell
    for sweep in range(SWEEPS):
        error = 0.0
        spread = False
        for k in range(cells):
            cell = k if sweep % 2 else cells - 1 - k
            if policy[cell] < 0:
                continue
            old = worth[cell]
            if sweep % 10 == 0:
                for move in range(4):
                    if _worth(worth, to, cell, move, slip) > _worth(
                        worth, to, cell, policy[cell], slip
                    ):
                        policy[cell] = move
            worth[cell] = DISCOUNT * _worth(worth, to, cell, policy[cell], slip)
            error = max(error, abs(worth[cell] - old))
            spread |= old == 0.0 and worth[cell] > 0.0
        # right to 1e-12 / (1 - DISCOUNT) = 1e-10
        if sweep % 10 == 0 and error < 1e-12 and not spread:
            break
    return worth, to


@kernel
def _values(board, legal, slip, value):
    for b in range(len(board)):
        value[b] = np.nan
        if not legal[b].any():
            continue
        cell = first_from(board[b], PLAYER)
        if slip > 0.0:
            worth, to = _iterate(board[b], slip)
            for move in range(4):
                if legal[b, move]:
                    value[b, move] = _worth(worth, to, cell, move, slip)
            continue
        distance = distances(board[b], GOAL)
        for move in range(4):
            if legal[b, move]:
                left = distance[ahead(board[b], cell, move)]
                value[b, move] = -1.0 - left if left >= 0 else DEAD


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
    _values(board, legal, slip, value)
    return value
