"""Pipes on a grid: where water flows, and how pieces must be turned so that it reaches all."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vlmgym.core import DEAD
from vlmgym.core.kernels import apart, inner, kernel
from vlmgym.games.parts.boards import MOVE_STEPS, Boards, Values

DRY, WET, SOURCE = range(3)
"""Kinds of pieces."""
KINDS = 15
"""Pieces of a kind, by their open sides: 1 up, 2 right, 4 down, 8 left, added up."""
NODES = 5_000
"""Boards that a search may look into; a deal needs some dozens."""
SOLUTIONS = 500
"""Solutions that are compared, of described boards that have many."""


# A board is (rows, cols) uint8: 0 = no piece, else 1 + 15 * kind + open sides - 1. A turn clockwise
# takes each open side to the next one: up to right, right to down, down to left, left to up.
@inner
def sides_of(value):
    """The open sides of a piece."""
    return (np.int64(value) - 1) % KINDS + 1 if value else 0


@inner
def turned(sides, turns):
    """Open sides after so many turns, clockwise by a quarter each."""
    for _ in range(turns):
        sides = (sides << 1 | sides >> 3) & 15
    return sides


@inner
def period_of(sides):
    """Turns after which a piece looks as before: 1, 2 or 4."""
    if sides == 0 or sides == 15:
        return 1
    return 2 if sides == 5 or sides == 10 else 4


@apart
def neighbours_of(rows, cols, wrap):
    """The cell beyond each side of a cell, (cells, 4) int64; -1 beyond the board's edge."""
    beyond = np.full((rows * cols, 4), -1, np.int64)
    for cell in range(rows * cols):
        for side in range(4):
            row = cell // cols + MOVE_STEPS[side, 0]
            column = cell % cols + MOVE_STEPS[side, 1]
            if wrap or (0 <= row < rows and 0 <= column < cols):
                beyond[cell, side] = row % rows * cols + column % cols
    return beyond


@apart
def meeting(board, beyond, cell):
    """The open sides of a cell that meet an open side."""
    cols = board.shape[1]
    sides = sides_of(board[cell // cols, cell % cols])
    met = 0
    for side in range(4):
        other = beyond[cell, side]
        if sides >> side & 1 and other >= 0:
            met |= (sides_of(board[other // cols, other % cols]) >> (side + 2) % 4 & 1) << side
    return met


@apart
def flow(board, beyond):
    """Let water flow from the sources: write which pieces are wet; returns whether all are."""
    cols = board.shape[1]
    queue = np.empty(board.size, np.int64)
    queued = 0
    pieces = 0
    for cell in range(board.size):
        value = board[cell // cols, cell % cols]
        if value == 0:
            continue
        pieces += 1
        if (value - 1) // KINDS == SOURCE:
            queue[queued] = cell
            queued += 1
        else:
            board[cell // cols, cell % cols] = sides_of(value)
    taken = 0
    while taken < queued:
        cell = queue[taken]
        taken += 1
        met = meeting(board, beyond, cell)
        for side in range(4):
            other = beyond[cell, side]
            if met >> side & 1 and board[other // cols, other % cols] <= KINDS:
                board[other // cols, other % cols] += KINDS
                queue[queued] = other
                queued += 1
    return queued == pieces


class Pieces(NamedTuple):
    """The pieces of a board and how they may stand."""

    turned: Any  # (cells, 4) int64, the open sides after 0 to 3 turns
    beyond: Any  # (cells, 4) int64, the cell beyond each side, -1 = none
    number: int  # of pieces


@inner
def _root(parents, cell):
    while parents[cell] != cell:
        parents[cell] = parents[parents[cell]]
        cell = parents[cell]
    return cell


@inner
def _both(pieces, allowed, cell):
    """The sides that are open in all ways a piece may stand, and in any of them."""
    always = 15
    ever = 0
    for turns in range(4):
        if allowed[cell] >> turns & 1:
            always &= pieces.turned[cell, turns]
            ever |= pieces.turned[cell, turns]
    return always, ever


@inner
def _demand(pieces, allowed, cell, side, is_open):
    """Keep the ways to stand that have a side open, or closed; returns whether some went."""
    kept = 0
    for turns in range(4):
        if allowed[cell] >> turns & 1 and (pieces.turned[cell, turns] >> side & 1) == is_open:
            kept |= 1 << turns
    changed = kept != allowed[cell]
    allowed[cell] = kept
    return changed


@apart
def _narrow(pieces, allowed):
    """Take away ways to stand that lead to an open side that meets none, to a ring, or to pieces
    cut off; returns whether each piece may still stand some way.
    """
    cells = len(allowed)
    parents = np.empty(cells, np.int64)
    ways_out = np.empty(cells, np.int64)
    sizes = np.empty(cells, np.int64)
    changed = True
    while changed:
        changed = False
        for cell in range(cells):
            for side in range(4):
                other = pieces.beyond[cell, side]
                always, ever = 0, 0
                if other >= 0:
                    always, ever = _both(pieces, allowed, other)
                opposite = (side + 2) % 4
                if always >> opposite & 1:
                    changed |= _demand(pieces, allowed, cell, side, 1)
                elif not ever >> opposite & 1:
                    changed |= _demand(pieces, allowed, cell, side, 0)
            if allowed[cell] == 0:
                return False
        if changed:
            continue
        for cell in range(cells):
            parents[cell] = cell
            ways_out[cell] = 0
            sizes[cell] = 0
        for cell in range(cells):
            always, _ = _both(pieces, allowed, cell)
            for side in (1, 2):
                if always >> side & 1:
                    root = _root(parents, cell)
                    other = _root(parents, pieces.beyond[cell, side])
                    if root == other:
                        return False
                    parents[other] = root
        for cell in range(cells):
            root = _root(parents, cell)
            always, ever = _both(pieces, allowed, cell)
            sizes[root] += ever > 0
            for side in range(4):
                if (ever & ~always) >> side & 1:
                    if _root(parents, pieces.beyond[cell, side]) == root:
                        changed |= _demand(pieces, allowed, cell, side, 0)
                    else:
                        ways_out[root] += 1
        if changed:
            continue
        for cell in range(cells):
            root = _root(parents, cell)
            if 0 < sizes[root] < pieces.number and ways_out[root] < 2:
                if ways_out[root] == 0:
                    return False
                always, ever = _both(pieces, allowed, cell)
                for side in range(4):
                    if (ever & ~always) >> side & 1:
                        changed |= _demand(pieces, allowed, cell, side, 1)
    return True


@apart
def pieces_of(board, beyond, allowed):
    """The pieces of a board; all ways in which each may stand, in ``allowed``."""
    cols = board.shape[1]
    cells = board.size
    stands = np.zeros((cells, 4), np.int64)
    count = 0
    ends = 0
    for cell in range(cells):
        sides = sides_of(board[cell // cols, cell % cols])
        count += sides > 0
        for turns in range(4):
            stands[cell, turns] = turned(sides, turns)
            ends += turned(sides, turns) & 1
        allowed[cell] = (1 << period_of(sides)) - 1
    return Pieces(stands, beyond, count), ends == 2 * (count - 1)


@apart
def search(board, beyond, most, fewest):
    """Find how pieces can stand so that water reaches all of them and no open side meets none.

    Args:
        board: ``(rows, cols)``.
        beyond: ``(cells, 4)``, see :func:`neighbours_of`.
        most: solutions that are looked for.
        fewest: ``(cells, 4)`` int64 to be filled: the turns of the shortest of the solutions found
            in which a piece makes 0 to 3 turns; -1 without one.

    Returns:
        How many solutions were found.
    """
    cells = board.size
    stack = np.empty((3 * cells + 4, cells), np.int64)
    allowed = np.empty(cells, np.int64)
    fewest[:] = -1
    pieces, is_tree = pieces_of(board, beyond, stack[0])
    found = 0
    waiting = 1 if is_tree else 0
    nodes = 0
    while waiting and found < most and nodes < NODES:
        waiting -= 1
        nodes += 1
        for cell in range(cells):
            allowed[cell] = stack[waiting, cell]
        if not _narrow(pieces, allowed):
            continue
        undecided = -1
        total = 0
        for cell in range(cells):
            ways = allowed[cell]
            if ways & (ways - 1):
                undecided = cell
            total += (ways > 1) + (ways > 2) + (ways > 4)
        if undecided < 0:
            found += 1
            for cell in range(cells):
                ways = allowed[cell]
                turns = (ways > 1) + (ways > 2) + (ways > 4)
                if fewest[cell, turns] < 0 or fewest[cell, turns] > total:
                    fewest[cell, turns] = total
            continue
        for turns in range(4):
            if allowed[undecided] >> turns & 1:
                for cell in range(cells):
                    stack[waiting, cell] = allowed[cell]
                stack[waiting, undecided] = 1 << turns
                waiting += 1
    return found


@kernel
def _values(boards, ended, wrap, value):
    """See :func:`values`."""
    rows, cols = boards.shape[1:]
    beyond = neighbours_of(rows, cols, wrap)
    fewest = np.empty((rows * cols, 4), np.int64)
    for game in range(len(boards)):
        value[game] = np.nan
        if ended[game]:
            continue
        sources = 0
        for cell in range(rows * cols):
            sources += boards[game, cell // cols, cell % cols] > SOURCE * KINDS
        most = SOLUTIONS if sources == 1 else 0
        found = search(boards[game], beyond, most, fewest)
        for cell in range(rows * cols):
            period = period_of(sides_of(boards[game, cell // cols, cell % cols]))
            if period == 1:
                continue
            value[game, cell] = DEAD
            for turns in range(period if found else 0):
                if fewest[cell, turns] >= 0:
                    left = fewest[cell, turns] - 1 if turns else fewest[cell, turns] + period - 1
                    value[game, cell] = max(value[game, cell], -1.0 - left)


def values(boards: Boards, ended: NDArray[np.bool_], wrap: bool) -> Values:
    """Minus the turns of a shortest solution that begins with turning a cell, ``(B, cells)``; NaN
    where that changes nothing.

    Args:
        boards: ``(B, rows, cols)``.
        ended: ``(B,)`` games without moves.
        wrap: whether pipes go on from each edge to the opposite one.
    """
    value = np.empty((len(boards), boards.shape[1] * boards.shape[2]))
    _values(boards, ended, wrap, value)
    return value
