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
    for row in range(rows):
        for column in range(cols):
            if board[row, column] == 0:
                return row, column
    return -1, -1


@inner
def source(board, row, column, move):
    """Where the tile that slides into the gap on (r, c) comes from; (-1, -1) if there is none."""
    tile_row = row - MOVE_STEPS[move, 0]
    tile_column = column - MOVE_STEPS[move, 1]
    if (
        row >= 0
        and 0 <= tile_row < board.shape[0]
        and 0 <= tile_column < board.shape[1]
        and board[tile_row, tile_column] != 0
    ):
        return tile_row, tile_column
    return -1, -1


# ---- small boards: a table
@kernel
def rank_of(flat):
    """The number of a permutation in lexicographic order."""
    rank = 0
    count = len(flat)
    for place in range(count):
        smaller = 0
        for later in range(place + 1, count):
            smaller += flat[later] < flat[place]
        rank = rank * (count - place) + smaller
    return rank


@inner
def _unrank(rank, flat):
    count = len(flat)
    for place in range(count - 1, -1, -1):
        flat[place] = rank % (count - place)
        rank //= count - place
        for later in range(place + 1, count):
            flat[later] += flat[later] >= flat[place]


@kernel
def _distances(rows, cols, table, queue):
    """Fill ``table`` by rank with the moves to the solved board, breadth first from it."""
    board = np.empty((rows, cols), np.uint8)
    flat = board.reshape(rows * cols)
    for cell in range(rows * cols):
        flat[cell] = (cell + 1) % (rows * cols)
    queue[0] = rank_of(flat)
    taken = 0
    queued = 1
    table[queue[0]] = 0
    while taken < queued:
        position = queue[taken]
        taken += 1
        _unrank(position, flat)
        row, column = gap(board)
        for move in range(4):
            tile_row, tile_column = source(board, row, column, move)
            if tile_row >= 0:
                board[row, column] = board[tile_row, tile_column]
                board[tile_row, tile_column] = 0
                rank = rank_of(flat)
                board[row, column], board[tile_row, tile_column] = 0, board[row, column]
                if table[rank] == _FAR:
                    table[rank] = table[position] + 1
                    queue[queued] = rank
                    queued += 1


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
    parity = 0
    for cell in range(len(flat)):
        if flat[cell] >= len(flat) or seen[flat[cell]]:
            return False
        seen[flat[cell]] = True
        if flat[cell] == 0:
            parity += rows - 1 - cell // cols + cols - 1 - cell % cols
        for earlier in range(cell):
            # the gap counts as the largest
            parity += flat[earlier] == 0 or (flat[cell] != 0 and flat[earlier] > flat[cell])
    return parity % 2 == 0


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
    for staying in range(32):
        places = digits[:, [place for place in range(5) if staying >> place & 1]]
        ascends = (places > 0).all(axis=1) & (np.diff(places) > 0).all(axis=1)
        longest = np.where(ascends, np.maximum(longest, places.shape[1]), longest)
    return 2 * ((digits > 0).sum(axis=1) - longest)


_COSTS = _conflict_costs()


@apart
def _conflict(board, line, across):
    """The cost of the order in one row (or column); see :func:`_conflict_costs`."""
    rows, cols = board.shape
    code = 0
    for index in range(cols if across else rows):
        tile = np.int64(board[line, index] if across else board[index, line]) - 1
        goal_line, goal_place = (
            (tile // cols, tile % cols) if across else (tile % cols, tile // cols)
        )
        code = 6 * code + (1 + goal_place if tile >= 0 and goal_line == line else 0)
    return _COSTS[code]


@kernel
def lower_bound(board):
    """A lower bound of the moves left: Manhattan distance and linear conflicts."""
    rows, cols = board.shape
    total = 0
    for row in range(rows):
        for column in range(cols):
            tile = np.int64(board[row, column]) - 1
            if tile >= 0:
                total += abs(tile // cols - row) + abs(tile % cols - column)
    for row in range(rows):
        total += _conflict(board, row, True)
    for column in range(cols):
        total += _conflict(board, column, False)
    return total


@kernel
def slide_tile(board, row, column, move):
    """Slide a tile into the gap on (r, c), in place; returns by how much the lower bound
    changes.
    """
    cols = board.shape[1]
    tile_row = row - MOVE_STEPS[move, 0]
    tile_column = column - MOVE_STEPS[move, 1]
    tile = np.int64(board[tile_row, tile_column]) - 1
    upright = move % 2 == 0
    # the lines that the tile leaves and enters; along its way nothing changes
    left_line, entered_line = (tile_row, row) if upright else (tile_column, column)
    goal_line = tile // cols if upright else tile % cols
    cost_before = _conflict(board, left_line, upright) + _conflict(board, entered_line, upright)
    board[row, column] = board[tile_row, tile_column]
    board[tile_row, tile_column] = 0
    cost_after = _conflict(board, left_line, upright) + _conflict(board, entered_line, upright)
    return abs(goal_line - entered_line) - abs(goal_line - left_line) + cost_after - cost_before


@inner
def _slide_back(board, row, column, tile_row, tile_column):
    """Bring the tile on (row, column) back to where it came from."""
    board[tile_row, tile_column] = board[row, column]
    board[row, column] = 0


@apart
def _within(board, last_move, bound, limit, budget):
    """Whether a board is solved by at most ``limit`` moves, depth first.

    ``last_move`` is the move that led here, ``bound`` the lower bound of the moves left.

    Returns:
        1 yes, 0 no, -1 unknown, as ``budget`` positions were visited; and what is left of it.
    """
    if bound == 0:
        return 1, budget
    if bound > limit:
        return 0, budget
    board = board.copy()
    rows, cols = board.shape
    row, column = gap(board)
    moves = np.empty(limit + 1, np.int64)  # by depth: the move that led there,
    tried = np.zeros(limit + 1, np.int64)  # the moves that were tried there,
    bounds = np.empty(limit + 1, np.int64)  # and the lower bound of the moves left
    depth = 0
    moves[0] = last_move
    bounds[0] = bound
    while depth >= 0:
        if tried[depth] == 4:
            if depth:  # take the last move back: the tile that came goes the other way
                tile_row = row + MOVE_STEPS[moves[depth], 0]
                tile_column = column + MOVE_STEPS[moves[depth], 1]
                board[row, column] = board[tile_row, tile_column]
                board[tile_row, tile_column] = 0
                row = tile_row
                column = tile_column
            depth -= 1
            continue
        move = tried[depth]
        tried[depth] += 1
        tile_row = row - MOVE_STEPS[move, 0]
        tile_column = column - MOVE_STEPS[move, 1]
        inside = 0 <= tile_row < rows and 0 <= tile_column < cols
        if move == (moves[depth] + 2) % 4 or not inside:
            continue
        if budget == 0:
            return -1, budget
        budget -= 1
        next_bound = bounds[depth] + slide_tile(board, row, column, move)
        if next_bound == 0:
            return 1, budget
        if depth + 1 + next_bound > limit:
            _slide_back(board, row, column, tile_row, tile_column)
            continue
        depth += 1
        row = tile_row
        column = tile_column
        moves[depth] = move
        tried[depth] = 0
        bounds[depth] = next_bound
    return 0, budget


@apart
def _deepen(board, value):
    """Values of the legal moves (not NaN) by iterative deepening, all at once from the lower bound.

    Each move changes the moves left by exactly one, up or down (the parity of the board), so as
    soon as some moves are found to solve it in ``limit``, all others that were searched need
    ``limit + 2``.
    """
    row, column = gap(board)
    limit = lower_bound(board)
    budget = np.full(4, NODES, np.int64)
    bounds = np.zeros(4, np.int64)
    solved = np.zeros(4, np.bool_)
    after = board.copy()
    for move in range(4):
        if not np.isnan(value[move]):
            bounds[move] = limit + slide_tile(after, row, column, move)
            tile_row = row - MOVE_STEPS[move, 0]
            tile_column = column - MOVE_STEPS[move, 1]
            _slide_back(after, row, column, tile_row, tile_column)
    while limit <= _DEEPEST and not solved.any() and (budget > 0).any():
        for move in range(4):
            if np.isnan(value[move]):
                budget[move] = 0
            elif budget[move] > 0:
                tile_row = row - MOVE_STEPS[move, 0]
                tile_column = column - MOVE_STEPS[move, 1]
                after[row, column] = after[tile_row, tile_column]
                after[tile_row, tile_column] = 0
                outcome, budget[move] = _within(after, move, bounds[move], limit - 1, budget[move])
                _slide_back(after, row, column, tile_row, tile_column)
                solved[move] = outcome == 1
        limit += 2
    for move in range(4):
        if not np.isnan(value[move]):
            if solved.any():
                value[move] = -float(limit - 2 if solved[move] else limit)
            else:
                value[move] = -1.0 - bounds[move]


@kernel
def _values(boards, legal, table, value):
    for game in range(len(boards)):
        value[game] = np.nan
        for move in range(4):
            if legal[game, move]:
                value[game, move] = DEAD
        if not solvable(boards[game]) or not legal[game].any():
            continue
        if len(table) == 0:
            _deepen(boards[game], value[game])
            continue
        row, column = gap(boards[game])
        after = boards[game].copy()
        for move in range(4):
            if legal[game, move]:
                tile_row, tile_column = source(boards[game], row, column, move)
                after[row, column] = after[tile_row, tile_column]
                after[tile_row, tile_column] = 0
                value[game, move] = -1.0 - table[rank_of(after.ravel())]
                _slide_back(after, row, column, tile_row, tile_column)


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
