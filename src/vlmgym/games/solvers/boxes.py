"""Boxes pushed onto targets: an exact search over all positions of a small room."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vlmgym.core import DEAD, draw_below
from vlmgym.core.kernels import apart, inner, kernel
from vlmgym.games.parts.boards import MOVE_STEPS, Boards, Values, first_from

FLOOR, WALL, TARGET, BOX, BOX_ON_TARGET, PLAYER, PLAYER_ON_TARGET = range(7)
"""Values of the cells of a room, (rows, cols) uint8; there is at most one player."""
MAX_BOXES = 4
MAX_POSITIONS = 3_000_000
"""Positions (player cell times sets of box cells) that a search may tell apart: what bounds its
time and memory.
"""
FITS = 2000
"""Rating of a start whose solution is as long as asked for."""


@kernel
def effect_of(board, row, column, move):
    """What a move of the player on (r, c) meets: 0 a wall, 1 a box that is stuck, 2 a free cell, 3
    a box that moves.
    """
    rows, cols = board.shape
    row_step, column_step = MOVE_STEPS[move]
    inside = 0 <= row + row_step < rows and 0 <= column + column_step < cols
    if not inside or board[row + row_step, column + column_step] == WALL:
        return 0
    if board[row + row_step, column + column_step] < BOX:
        return 2
    if not (0 <= row + 2 * row_step < rows and 0 <= column + 2 * column_step < cols):
        return 1
    beyond = board[row + 2 * row_step, column + 2 * column_step]
    return 3 if beyond in (FLOOR, TARGET) else 1


@inner
def has_box(board):
    """Whether a box is left that is not on a target."""
    for row in range(board.shape[0]):
        for column in range(board.shape[1]):
            if board[row, column] == BOX:
                return True
    return False


class Search(NamedTuple):
    """What a search finds; cells without walls are numbered in reading order."""

    number: Any  # (rows * cols,) int64, the number of each cell, -1 = wall
    choose: Any  # (cells + 1, MAX_BOXES + 1) int64, binomials
    # int16, moves to the nearest solved position by place, -1 where the boxes cannot be brought
    # onto targets; of length 0 where there are too few targets or too many positions
    distance: Any
    keys: Any  # int64, all positions that can be solved, in the order of their distance


class Cells(NamedTuple):
    """The cells of a room without walls, numbered in reading order; int64."""

    number: Any  # (rows * cols,) of each cell of the board, -1 = wall
    neighbours: Any  # (cells, 4) the cell that each move leads to, -1 = none
    targets: Any  # (targets,)


# A position is the number of the player's cell, and those of the boxes' cells in ascending order. A
# key packs them in bytes, and ``place_of`` numbers them without holes:
#
#     key = player | box 0 << 8 | box 1 << 16 | ...
@inner
def place_of(player, boxes, choose, cells):
    """The number of a position."""
    rank = np.int64(0)
    for index in range(len(boxes)):
        rank += choose[boxes[index], index + 1]
    return rank * cells + player


@inner
def key_of(player, boxes):
    """The key of a position."""
    key = np.int64(player)
    for index in range(len(boxes)):
        key |= np.int64(boxes[index]) << np.int64(8 * (index + 1))
    return key


@apart
def _moved(boxes, index, cell, moved):
    """``boxes`` with one of them on ``cell``, in ascending order, in ``moved``."""
    for other in range(len(boxes)):
        moved[other] = boxes[other]
    while index > 0 and moved[index - 1] > cell:
        moved[index] = moved[index - 1]
        index -= 1
    while index + 1 < len(moved) and moved[index + 1] < cell:
        moved[index] = moved[index + 1]
        index += 1
    moved[index] = cell


@inner
def _index(boxes, cell):
    for index in range(len(boxes)):
        if boxes[index] == cell:
            return index
    return -1


@apart
def _cells_of(board):
    rows, cols = board.shape
    number = np.full(rows * cols, -1, np.int64)
    targets = np.empty(rows * cols, np.int64)
    cells = 0
    target_count = 0
    for square in range(rows * cols):
        value = board[square // cols, square % cols]
        if value != WALL:
            if value in (TARGET, BOX_ON_TARGET, PLAYER_ON_TARGET):
                targets[target_count] = cells
                target_count += 1
            number[square] = cells
            cells += 1
    neighbours = np.full((cells, 4), -1, np.int64)
    for square in range(rows * cols):
        for move in range(4):
            row = square // cols + MOVE_STEPS[move, 0]
            column = square % cols + MOVE_STEPS[move, 1]
            if number[square] >= 0 and 0 <= row < rows and 0 <= column < cols:
                neighbours[number[square], move] = number[row * cols + column]
    return Cells(number, neighbours, targets[:target_count])


@inner
def _binomials(cells):
    choose = np.zeros((cells + 1, MAX_BOXES + 1), np.int64)
    choose[:, 0] = 1
    for size in range(1, cells + 1):
        for chosen in range(1, MAX_BOXES + 1):
            choose[size, chosen] = choose[size - 1, chosen - 1] + choose[size - 1, chosen]
    return choose


@inner
def _key_on(board, number, player):
    """The key of the position on a board."""
    cols = board.shape[1]
    key = number[player]
    box_count = 0
    for square in range(board.size):
        if board[square // cols, square % cols] in (BOX, BOX_ON_TARGET):
            box_count += 1
            key |= number[square] << (8 * box_count)
    return key


@inner
def _queue_solved(targets, choose, boxes, distance, queue):
    """Queue all solved positions: every set of targets that the boxes can cover, and every place
    for the player; returns their number.
    """
    cells = len(choose) - 1
    count = len(boxes)
    chosen = np.arange(count)
    queued = 0
    while True:
        for box in range(count):
            boxes[box] = targets[chosen[box]]
        for player in range(cells):
            if _index(boxes, player) < 0:
                distance[place_of(player, boxes, choose, cells)] = 0
                queue[queued] = key_of(player, boxes)
                queued += 1
        box = count - 1
        while box >= 0 and chosen[box] == len(targets) - count + box:
            box -= 1
        if box < 0:
            return queued
        chosen[box] += 1
        for later in range(box + 1, count):
            chosen[later] = chosen[later - 1] + 1


@apart
def search(board, count, player):
    """Moves to the nearest solved position from each position of ``count`` boxes, breadth first,
    backwards.

    With ``player``, the cell of the board's own player, only up to the board's own position: of
    what it may become in one move, the nearest to a solution is known by then. Without, -1, all
    positions.
    """
    room = _cells_of(board)
    cells = len(room.neighbours)
    choose = _binomials(cells)
    too_few_targets = count > min(len(room.targets), MAX_BOXES)
    if count < 1 or too_few_targets or choose[cells, count] * cells > MAX_POSITIONS:
        return Search(room.number, choose, np.empty(0, np.int16), np.empty(0, np.int64))
    last = _key_on(board, room.number, player) if player >= 0 else -1
    distance = np.full(choose[cells, count] * cells, -1, np.int16)
    queue = np.empty(len(distance), np.int64)
    boxes = np.empty(count, np.int64)
    pulled = np.empty(count, np.int64)
    queued = _queue_solved(room.targets, choose, boxes, distance, queue)
    taken = 0
    while taken < queued and queue[taken] != last:
        key = queue[taken]
        taken += 1
        player = key & 255
        for box in range(count):
            boxes[box] = (key >> (8 * (box + 1))) & 255
        place = place_of(player, boxes, choose, cells)
        moves = distance[place] + 1
        for move in range(4):
            behind = room.neighbours[player, (move + 2) % 4]
            ahead = room.neighbours[player, move]
            if behind < 0 or _index(boxes, behind) >= 0:
                continue
            walked = place - player + behind  # the player has come from ``behind`` ...
            if distance[walked] < 0:
                distance[walked] = moves
                queue[queued] = key_of(behind, boxes)
                queued += 1
            box = _index(boxes, ahead) if ahead >= 0 else -1
            if box >= 0:  # ... and may have pushed the box ahead, which stood here
                _moved(boxes, box, player, pulled)
                pushed = place_of(behind, pulled, choose, cells)
                if distance[pushed] < 0:
                    distance[pushed] = moves
                    queue[queued] = key_of(behind, pulled)
                    queued += 1
    return Search(room.number, choose, distance, queue[:queued])


@kernel
def _values(boards, ended, best, value):
    """See :func:`values`."""
    cols = boards.shape[2]
    for game in range(len(boards)):
        board = boards[game]
        value[game] = np.nan
        player = first_from(board, PLAYER)
        if ended[game] or player < 0:
            continue
        crates = np.flatnonzero((board.ravel() == BOX) | (board.ravel() == BOX_ON_TARGET))
        solutions = search(board, len(crates), player if best else -1)
        number = solutions.number
        cells = len(solutions.choose) - 1
        boxes = number[crates]
        pushed = np.empty(len(crates), np.int64)
        for move in range(4):
            effect = effect_of(board, player // cols, player % cols, move)
            if effect < 2:
                continue
            value[game, move] = DEAD
            if len(solutions.distance) == 0:
                continue
            stride = MOVE_STEPS[move, 0] * cols + MOVE_STEPS[move, 1]
            target = player + stride
            if effect == 3:
                box = _index(boxes, number[target])
                _moved(boxes, box, number[target + stride], pushed)
            boxes_after = pushed if effect == 3 else boxes
            place = place_of(number[target], boxes_after, solutions.choose, cells)
            moves_left = solutions.distance[place]
            if moves_left >= 0:
                value[game, move] = -1.0 - moves_left


@apart
def draw_start(room, count, seed, number, fewest, most):
    """Draw a start in a room: a solution of ``fewest`` to ``most`` moves and no box on a target,
    else the longest there is.

    Returns:
        Its key (-1 if none), a rating that is :data:`FITS` where it fits, and the number of each
        cell.
    """
    solutions = search(room, count, -1)
    keys = solutions.keys
    is_target = (room.ravel() == TARGET)[solutions.number >= 0]
    boxes = np.empty(count, np.int64)
    fits = np.empty(len(keys), np.int64)
    fit_count = 0
    rating = 0
    best_key = np.int64(-1)
    for index in range(len(keys)):
        off_targets = True
        for box in range(count):
            boxes[box] = (keys[index] >> (8 * (box + 1))) & 255
            off_targets &= not is_target[boxes[box]]
        moves_left = solutions.distance[
            place_of(keys[index] & 255, boxes, solutions.choose, len(is_target))
        ]
        if moves_left < 1 or moves_left > most:
            continue
        if off_targets and moves_left >= fewest:
            fits[fit_count] = keys[index]
            fit_count += 1
        if moves_left + 1000 * off_targets > rating:
            rating = moves_left + 1000 * off_targets
            best_key = keys[index]
    if fit_count:
        return fits[draw_below(seed, 0, number, fit_count)], FITS, solutions.number
    return best_key, rating, solutions.number


def values(board: Boards, ended: NDArray[np.bool_], best: bool) -> Values:
    """Minus the moves of a shortest solution that begins with a move, ``(B, 4)``; NaN where it is
    not legal.

    Args:
        board: ``(B, rows, cols)``.
        ended: ``(B,)`` games without moves.
        best: only the values of the best moves need be right, which takes less time.
    """
    value = np.empty((len(board), 4))
    _values(board, ended, best, value)
    return value
