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
def effect_of(board, r, c, move):
    """What a move of the player on (r, c) meets: 0 a wall, 1 a box that is stuck, 2 a free cell, 3
    a box that moves.
    """
    rows, cols = board.shape
    dr, dc = MOVE_STEPS[move]
    inside = 0 <= r + dr < rows and 0 <= c + dc < cols
    if not inside or board[r + dr, c + dc] == WALL:
        return 0
    if board[r + dr, c + dc] < BOX:
        return 2
    if not (0 <= r + 2 * dr < rows and 0 <= c + 2 * dc < cols):
        return 1
    beyond = board[r + 2 * dr, c + 2 * dc]
    return 3 if beyond in (FLOOR, TARGET) else 1


class Search(NamedTuple):
    """What a search finds; cells without walls are numbered in reading order."""

    number: Any  # (rows * cols,) int64, the number of each cell, -1 = wall
    choose: Any  # (cells + 1, MAX_BOXES + 1) int64, binomials
    # int16, moves to the nearest solved position by place, -1 where the boxes cannot be brought
    # onto targets;
    # of length 0 where there are too few targets or too many positions
    distance: Any
    keys: Any  # int64, all positions that can be solved, in the order of their distance


# A position is the number of the player's cell, and those of the boxes' cells in ascending order. A
# key packs
# them in bytes, and ``place_of`` numbers them without holes:
#
#     key = player | box 0 << 8 | box 1 << 16 | ...
@inner
def place_of(player, boxes, choose, cells):
    """The number of a position."""
    rank = np.int64(0)
    for i in range(len(boxes)):
        rank += choose[boxes[i], i + 1]
    return rank * cells + player


@inner
def key_of(player, boxes):
    """The key of a position."""
    key = np.int64(player)
    for i in range(len(boxes)):
        key |= np.int64(boxes[i]) << np.int64(8 * (i + 1))
    return key


@apart
def _moved(boxes, i, to, out):
    """``boxes`` with the i-th on cell ``to``, in ascending order, in ``out``."""
    for k in range(len(boxes)):
        out[k] = boxes[k]
    while i > 0 and out[i - 1] > to:
        out[i] = out[i - 1]
        i -= 1
    while i + 1 < len(out) and out[i + 1] < to:
        out[i] = out[i + 1]
        i += 1
    out[i] = to


@inner
def _index(boxes, cell):
    for i in range(len(boxes)):
        if boxes[i] == cell:
            return i
    return -1


@apart
def search(board, count, player):
    """Moves to the nearest solved position from each position of ``count`` boxes, breadth first,
    backwards.

    With ``player``, the cell of the board's own player, only up to the board's own position: of
    what it may become in one move, the nearest to a solution is known by then. Without, -1, all
    positions.
    """
    rows, cols = board.shape
    number = np.full(rows * cols, -1, np.int64)
    cells = 0
    targets = np.empty(rows * cols, np.int64)
    goals = 0
    for k in range(rows * cols):
        value = board[k // cols, k % cols]
        if value != WALL:
            if value in (TARGET, BOX_ON_TARGET, PLAYER_ON_TARGET):
                targets[goals] = cells
                goals += 1
            number[k] = cells
            cells += 1
    choose = np.zeros((cells + 1, MAX_BOXES + 1), np.int64)
    choose[:, 0] = 1
    for k in range(1, cells + 1):
        for i in range(1, MAX_BOXES + 1):
            choose[k, i] = choose[k - 1, i - 1] + choose[k - 1, i]
    if count < 1 or count > min(goals, MAX_BOXES) or choose[cells, count] * cells > MAX_POSITIONS:
        return Search(number, choose, np.empty(0, np.int16), np.empty(0, np.int64))
    last = number[player] if player >= 0 else -1
    found = 0
    near = np.full((cells, 4), -1, np.int64)
    for k in range(rows * cols):
        if player >= 0 and board[k // cols, k % cols] in (BOX, BOX_ON_TARGET):
            found += 1
            last |= number[k] << (8 * found)
        for move in range(4):
            r = k // cols + MOVE_STEPS[move, 0]
            c = k % cols + MOVE_STEPS[move, 1]
            if number[k] >= 0 and 0 <= r < rows and 0 <= c < cols:
                near[number[k], move] = number[r * cols + c]
    distance = np.full(choose[cells, count] * cells, -1, np.int16)
    queue = np.empty(len(distance), np.int64)
    head = 0
    tail = 0
    chosen = np.arange(count)
    boxes = np.empty(count, np.int64)
    pulled = np.empty(count, np.int64)
    while True:  # every set of targets that the boxes can cover
        for i in range(count):
            boxes[i] = targets[chosen[i]]
        for player in range(cells):
            if _index(boxes, player) < 0:
                distance[place_of(player, boxes, choose, cells)] = 0
                queue[tail] = key_of(player, boxes)
                tail += 1
        i = count - 1
        while i >= 0 and chosen[i] == goals - count + i:
            i -= 1
        if i < 0:
            break
        chosen[i] += 1
        for j in range(i + 1, count):
            chosen[j] = chosen[j - 1] + 1
    while head < tail and queue[head] != last:
        player = queue[head] & 255
        for i in range(count):
            boxes[i] = (queue[head] >> (8 * (i + 1))) & 255
        head += 1
        here = place_of(player, boxes, choose, cells)
        for move in range(4):
            back = near[player, (move + 2) % 4]
            ahead = near[player, move]
            if back < 0 or _index(boxes, back) >= 0:
                continue
            place = here - player + back  # the player has come from ``back`` ...
            if distance[place] < 0:
                distance[place] = distance[here] + 1
                queue[tail] = key_of(back, boxes)
                tail += 1
            i = _index(boxes, ahead) if ahead >= 0 else -1
            if i >= 0:  # ... and may have pushed the box ahead, which stood here
                _moved(boxes, i, player, pulled)
                place = place_of(back, pulled, choose, cells)
                if distance[place] < 0:
                    distance[place] = distance[here] + 1
                    queue[tail] = key_of(back, pulled)
                    tail += 1
    return Search(number, choose, distance, queue[:tail])


@kernel
def _values(board, ended, best, value):
    """See :func:`values`."""
    cols = board.shape[2]
    for b in range(len(board)):
        value[b] = np.nan
        player = first_from(board[b], PLAYER)
        if ended[b] or player < 0:
            continue
        r = player // cols
        c = player % cols
        crates = np.flatnonzero((board[b].ravel() == BOX) | (board[b].ravel() == BOX_ON_TARGET))
        found = search(board[b], len(crates), player if best else -1)
        number = found.number
        boxes = number[crates]
        after = np.empty(len(crates), np.int64)
        for move in range(4):
            effect = effect_of(board[b], r, c, move)
            if effect < 2:
                continue
            value[b, move] = DEAD
            if len(found.distance) == 0:
                continue
            stride = MOVE_STEPS[move, 0] * cols + MOVE_STEPS[move, 1]
            to = player + stride
            if effect == 3:
                _moved(boxes, _index(boxes, number[to]), number[to + stride], after)
            then = after if effect == 3 else boxes
            left = found.distance[place_of(number[to], then, found.choose, len(found.choose) - 1)]
            if left >= 0:
                value[b, move] = -1.0 - left


@apart
def draw_start(room, count, seed, draws, low, high):
    """Draw a start in a room: a solution of ``low`` ..

    ``high`` moves and no box on a target, else the longest there is.

    Returns:
        Its key (-1 if none), a rating that is :data:`FITS` where it fits, and the number of each
        cell.
    """
    found = search(room, count, -1)
    keys = found.keys
    goal = (room.ravel() == TARGET)[found.number >= 0]
    boxes = np.empty(count, np.int64)
    fits = np.empty(len(keys), np.int64)
    fit = 0
    rating = 0
    pick = np.int64(-1)
    for q in range(len(keys)):
        off = True
        for i in range(count):
            boxes[i] = (keys[q] >> (8 * (i + 1))) & 255
            off &= not goal[boxes[i]]
        moves = found.distance[place_of(keys[q] & 255, boxes, found.choose, len(goal))]
        if moves < 1 or moves > high:
            continue
        if off and moves >= low:
            fits[fit] = keys[q]
            fit += 1
        if moves + 1000 * off > rating:
            rating = moves + 1000 * off
            pick = keys[q]
    if fit:
        return fits[draw_below(seed, 0, draws, fit)], FITS, found.number
    return pick, rating, found.number


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
