"""The sliding puzzle solved: a table of all positions of small boards, a search for larger ones."""

from __future__ import annotations

from functools import lru_cache
from math import factorial

import numpy as np
from numpy.typing import NDArray

from vlmgym.core import DEAD
from vlmgym.core.kernels import apart, inner, kernel
from vlmgym.games.parts.boards import MOVE_STEPS

TABLE_CELLS = 10
"""Boards of up to this many cells are solved by a table of all positions, larger ones by a
search.
"""
NODES = 100_000
"""Positions that the search of a larger board may visit for each move."""
_FAR = 255
"""Table entry of a position that cannot be solved."""
_DEEPEST = 250
"""Longest solution that is searched for."""


# A board is (rows, cols) uint8: 0 = the gap, else a tile; tile n belongs on cell n - 1, the gap
# last.
#
#     1 2 3
#     4 5 6      Moves of a tile: 0 up, 1 right, 2 down, 3 left; here 1 and 2 are possible:
#     7 8 0      tile 8 goes right, or tile 6 down.
#
# Boards that were described may hold several gaps, of which the first counts, or none.
@kernel
def gap(board):
    """Row and column of the gap; (-1, -1) without one."""
    rows, cols = board.shape
    for r in range(rows):
        for c in range(cols):
            if board[r, c] == 0:
                return r, c
    return -1, -1


@inner
def source(board, r, c, move):
    """Where the tile that slides into the gap on (r, c) comes from; (-1, -1) if there is none."""
    i = r - MOVE_STEPS[move, 0]
    j = c - MOVE_STEPS[move, 1]
    if r >= 0 and 0 <= i < board.shape[0] and 0 <= j < board.shape[1] and board[i, j] != 0:
        return i, j
    return -1, -1


# ---- small boards: a table
@kernel
def rank_of(flat):
    """The number of a permutation in lexicographic order."""
    rank = 0
    count = len(flat)
    for i in range(count):
        smaller = 0
        for j in range(i + 1, count):
            smaller += flat[j] < flat[i]
        rank = rank * (count - i) + smaller
    return rank


@inner
def _unrank(rank, flat):
    count = len(flat)
    for i in range(count - 1, -1, -1):
        flat[i] = rank % (count - i)
        rank //= count - i
        for j in range(i + 1, count):
            flat[j] += flat[j] >= flat[i]


@kernel
def _distances(rows, cols, table, queue):
    """Fill ``table`` by rank with the moves to the solved board, breadth first from it."""
    board = np.empty((rows, cols), np.uint8)
    flat = board.reshape(rows * cols)
    for k in range(rows * cols):
        flat[k] = (k + 1) % (rows * cols)
    queue[0] = rank_of(flat)
    head = 0
    tail = 1
    table[queue[0]] = 0
    while head < tail:
        here = queue[head]
        head += 1
        _unrank(here, flat)
        r, c = gap(board)
        for move in range(4):
            i, j = source(board, r, c, move)
            if i >= 0:
                board[r, c] = board[i, j]
                board[i, j] = 0
                rank = rank_of(flat)
                board[r, c], board[i, j] = 0, board[r, c]
                if table[rank] == _FAR:
                    table[rank] = table[here] + 1
                    queue[tail] = rank
                    tail += 1


@lru_cache(16)
def table_of(rows: int, cols: int) -> NDArray[np.uint8]:
    """Moves to the solved board, by rank; one byte for every order of the tiles."""
    count = factorial(rows * cols)
    table = np.full(count, _FAR, np.uint8)
    _distances(rows, cols, table, np.empty(count // 2, np.int64))
    return table


# ---- larger boards: a search
@kernel
def solvable(board):
    """Whether the board is a permutation of the right parity.

    Every move swaps two values and takes the gap one cell on.
    """
    rows, cols = board.shape
    flat = board.ravel()
    seen = np.zeros(256, np.bool_)
    odd = 0
    for i in range(len(flat)):
        if flat[i] >= len(flat) or seen[flat[i]]:
            return False
        seen[flat[i]] = True
        if flat[i] == 0:
            odd += rows - 1 - i // cols + cols - 1 - i % cols
        for j in range(i):
            # the gap counts as the largest
            odd += flat[j] == 0 or (flat[i] != 0 and flat[j] > flat[i])
    return odd % 2 == 0


def _conflict_costs() -> NDArray[np.int64]:
    """Moves beyond the Manhattan distance that a row (or column) costs: two for each tile that must
    leave it.

    Of the tiles that belong into the line, the longest run in ascending order may stay (Hansson,
    Mayer, Yung 1992).

    Returns:
        Shape ``(6**5,)``, by line: each cell a digit, 0 = a tile of another line (or none), else
        1 + its place in the line.
    """
    digits = np.arange(6**5)[:, None] // 6 ** np.arange(4, -1, -1) % 6
    longest = np.zeros(6**5, np.int64)
    for kept in range(32):
        run = digits[:, [k for k in range(5) if kept >> k & 1]]
        ascends = (run > 0).all(axis=1) & (np.diff(run) > 0).all(axis=1)
        longest = np.where(ascends, np.maximum(longest, run.shape[1]), longest)
    return 2 * ((digits > 0).sum(axis=1) - longest)


_COSTS = _conflict_costs()


@apart
def _conflict(board, line, across):
    """The cost of the order in one row (or column); see :func:`_conflict_costs`."""
    rows, cols = board.shape
    code = 0
    for k in range(cols if across else rows):
        tile = np.int64(board[line, k] if across else board[k, line]) - 1
        home, place = (tile // cols, tile % cols) if across else (tile % cols, tile // cols)
        code = 6 * code + (1 + place if tile >= 0 and home == line else 0)
    return _COSTS[code]


@kernel
def lower_bound(board):
    """A lower bound of the moves left: Manhattan distance and linear conflicts."""
    rows, cols = board.shape
    total = 0
    for r in range(rows):
        for c in range(cols):
            tile = np.int64(board[r, c]) - 1
            if tile >= 0:
                total += abs(tile // cols - r) + abs(tile % cols - c)
    for r in range(rows):
        total += _conflict(board, r, True)
    for c in range(cols):
        total += _conflict(board, c, False)
    return total


@kernel
def slide_tile(board, r, c, move):
    """Slide a tile into the gap on (r, c), in place; returns by how much the lower bound
    changes.
    """
    cols = board.shape[1]
    i = r - MOVE_STEPS[move, 0]
    j = c - MOVE_STEPS[move, 1]
    tile = np.int64(board[i, j]) - 1
    upright = move % 2 == 0
    # the lines that the tile leaves and enters; along its way nothing changes
    old, new = (i, r) if upright else (j, c)
    home = tile // cols if upright else tile % cols
    before = _conflict(board, old, upright) + _conflict(board, new, upright)
    board[r, c] = board[i, j]
    board[i, j] = 0
    after = _conflict(board, old, upright) + _conflict(board, new, upright)
    return abs(home - new) - abs(home - old) + after - before


@apart
def _within(board, r, c, last, bound, limit, budget):
    """Whether a board is solved by at most ``limit`` moves, depth first.

    The gap is on (r, c); ``last`` is the move that led here, ``bound`` the lower bound of the moves
    left.

    Returns:
        1 yes, 0 no, -1 unknown, as ``budget`` positions were visited; and what is left of it.
    """
    if bound == 0:
        return 1, budget
    if bound > limit:
        return 0, budget
    board = board.copy()
    rows, cols = board.shape
    came = np.empty(limit + 1, np.int64)
    tried = np.zeros(limit + 1, np.int64)
    bounds = np.empty(limit + 1, np.int64)
    depth = 0
    came[0] = last
    bounds[0] = bound
    while depth >= 0:
        if tried[depth] == 4:
            if depth:  # take the last move back: the tile that came goes the other way
                i = r + MOVE_STEPS[came[depth], 0]
                j = c + MOVE_STEPS[came[depth], 1]
                board[r, c] = board[i, j]
                board[i, j] = 0
                r = i
                c = j
            depth -= 1
            continue
        move = tried[depth]
        tried[depth] += 1
        i = r - MOVE_STEPS[move, 0]
        j = c - MOVE_STEPS[move, 1]
        if move == (came[depth] + 2) % 4 or not (0 <= i < rows and 0 <= j < cols):
            continue
        if budget == 0:
            return -1, budget
        budget -= 1
        below = bounds[depth] + slide_tile(board, r, c, move)
        if below == 0:
            return 1, budget
        if depth + 1 + below > limit:
            board[i, j] = board[r, c]
            board[r, c] = 0
            continue
        depth += 1
        r = i
        c = j
        came[depth] = move
        tried[depth] = 0
        bounds[depth] = below
    return 0, budget


@apart
def _deepen(board, value):
    """Values of the legal moves (not NaN) by iterative deepening, all at once from the lower bound.

    Each move changes the moves left by exactly one, up or down (the parity of the board), so as
    soon as some moves are found to solve it in ``limit``, all others that were searched need
    ``limit + 2``.
    """
    r, c = gap(board)
    limit = lower_bound(board)
    budget = np.full(4, NODES, np.int64)
    bounds = np.zeros(4, np.int64)
    found = np.zeros(4, np.bool_)
    after = board.copy()
    for move in range(4):
        if not np.isnan(value[move]):
            bounds[move] = limit + slide_tile(after, r, c, move)
            i = r - MOVE_STEPS[move, 0]
            j = c - MOVE_STEPS[move, 1]
            after[i, j] = after[r, c]
            after[r, c] = 0
    while limit <= _DEEPEST and not found.any() and (budget > 0).any():
        for move in range(4):
            if np.isnan(value[move]):
                budget[move] = 0
            elif budget[move] > 0:
                i = r - MOVE_STEPS[move, 0]
                j = c - MOVE_STEPS[move, 1]
                after[r, c] = after[i, j]
                after[i, j] = 0
                answer, budget[move] = _within(
                    after, i, j, move, bounds[move], limit - 1, budget[move]
                )
                after[i, j] = after[r, c]
                after[r, c] = 0
                found[move] = answer == 1
        limit += 2
    for move in range(4):
        if not np.isnan(value[move]):
            if found.any():
                value[move] = -float(limit - 2 if found[move] else limit)
            else:
                value[move] = -1.0 - bounds[move]


@kernel
def _values(board, legal, table, value):
    for b in range(len(board)):
        value[b] = np.nan
        for move in range(4):
            if legal[b, move]:
                value[b, move] = DEAD
        if not solvable(board[b]) or not legal[b].any():
            continue
        if len(table) == 0:
            _deepen(board[b], value[b])
            continue
        r, c = gap(board[b])
        after = board[b].copy()
        for move in range(4):
            if legal[b, move]:
                i, j = source(board[b], r, c, move)
                after[r, c] = after[i, j]
                after[i, j] = 0
                value[b, move] = -1.0 - table[rank_of(after.ravel())]
                after[i, j] = after[r, c]
                after[r, c] = 0


def values(board: NDArray[np.uint8], legal: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Minus the moves of a shortest solution that begins with a move; NaN where it is not legal.

    Args:
        board: ``(B, rows, cols)``.
        legal: ``(B, 4)``.

    Returns:
        ``(B, 4)``, exact on boards of up to :data:`TABLE_CELLS` cells. On larger ones it is exact
        where the search finds a shortest solution; where it finds none it is minus (1 + a lower
        bound of the moves left).
    """
    rows, cols = board.shape[1:]
    small = rows * cols <= TABLE_CELLS
    table = table_of(rows, cols) if small else np.empty(0, np.uint8)
    value = np.empty((len(board), 4))
    _values(board, legal, table, value)
    return value
