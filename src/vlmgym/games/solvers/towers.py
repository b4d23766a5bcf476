"""Towers of Hanoi solved from any position, and dealt: by recursion with three pegs, by a table of
all positions with four.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from vlmgym.core import DEAD, draw_below
from vlmgym.core.kernels import inner, kernel
from vlmgym.games.parts.boards import Boards, Marks, Seeds, Values

TRIES = 64
"""Positions that are drawn for a deal, at most."""
_FAR = 255
"""Table entry of a position that was not reached yet."""


# A board is (discs, pegs) uint8, a peg a column: 0 = nothing, else a disc, 1 the smallest.
#
#     0 0 0
#     1 0 0      Disc 1 lies on disc 3 on peg 0, disc 2 on peg 2. All discs shall come to the last
#     3 0 2      peg, here by 0 2, 0 1, 2 0, 2 1, ...
#
# Boards that were described may hold discs in the air, in a wrong order, twice or never.
@inner
def top_of(board, peg):
    """The row of the uppermost disc on a peg; as many as there are rows if it is empty."""
    for row in range(len(board)):
        if board[row, peg]:
            return row
    return len(board)


@inner
def landing_of(board, first, second):
    """The row that the uppermost disc of one peg comes to on another; -1 where it may not move."""
    row = top_of(board, first)
    onto = top_of(board, second)
    if first == second or row == len(board) or onto == 0:
        return -1
    if onto < len(board) and board[onto, second] <= board[row, first]:
        return -1
    return onto - 1


@kernel
def pegs_of(board, pegs):
    """Write the peg of each disc into (discs,), the smallest first; whether the rules can reach
    this board.
    """
    discs, columns = board.shape
    count = 0
    for disc in range(discs):
        pegs[disc] = -1
    for peg in range(columns):
        above = 0
        for row in range(discs):
            disc = board[row, peg]
            if disc <= above and (disc or above):  # nothing below a disc, or none that is larger
                return False
            if disc and pegs[disc - 1] >= 0:
                return False
            if disc:
                pegs[disc - 1] = peg
                count += 1
            above = disc
    return count == discs


@inner
def _recurse(pegs):
    """Moves that three pegs need until all discs are on the last: a disc that is not where it
    should be goes there, when all smaller ones are on the third peg, and they follow.
    """
    moves = 0
    target = 2
    for disc in range(len(pegs) - 1, -1, -1):
        if pegs[disc] != target:
            moves += 1 << disc  # of the disc, and of the tower on it from the third peg
            target = 3 - target - pegs[disc]
    return moves


@inner
def _number_of(pegs, columns):
    """The number of a position: the pegs of the discs as digits."""
    number = 0
    for disc in range(len(pegs) - 1, -1, -1):
        number = number * columns + pegs[disc]
    return number


@inner
def _moves_left(pegs, columns, table):
    """Moves until all discs are on the last peg; ``table`` is empty with three pegs."""
    if len(table):
        return np.int64(table[_number_of(pegs, columns)])
    return _recurse(pegs)


@kernel
def _distances(discs, columns, table, queue):
    """Fill ``table`` by number with the moves to the last peg, breadth first from there; moves can
    be taken back.
    """
    pegs = np.empty(discs, np.int64)
    tops = np.empty(columns, np.int64)
    queue[0] = len(table) - 1
    table[queue[0]] = 0
    taken = 0
    queued = 1
    while taken < queued:
        position = queue[taken]
        taken += 1
        rest = position
        for peg in range(columns):
            tops[peg] = discs
        for disc in range(discs):
            pegs[disc] = rest % columns
            rest //= columns
            tops[pegs[disc]] = min(tops[pegs[disc]], disc)
        for first in range(columns):
            for second in range(columns):
                if tops[first] >= tops[second]:
                    continue
                pegs[tops[first]] = second
                number = _number_of(pegs, columns)
                pegs[tops[first]] = first
                if table[number] == _FAR:
                    table[number] = table[position] + 1
                    queue[queued] = number
                    queued += 1


@lru_cache(16)
def table_of(discs: int, pegs: int) -> NDArray[np.uint8]:
    """Moves to the last peg, by the number of the position."""
    count = pegs**discs
    table = np.full(count, _FAR, np.uint8)
    _distances(discs, pegs, table, np.empty(count, np.int64))
    return table


@kernel
def _values(boards, legal, table, value):
    """Fill value (B, A) of boards (B, discs, pegs); legal (B, A); table is empty with 3 pegs."""
    discs, columns = boards.shape[1:]
    pegs = np.empty(discs, np.int64)
    for game in range(len(boards)):
        board = boards[game]
        fits = pegs_of(board, pegs)
        for action in range(columns * columns):
            value[game, action] = np.nan
            if not legal[game, action]:
                continue
            value[game, action] = DEAD
            if fits:
                first = action // columns
                disc = board[top_of(board, first), first] - 1
                pegs[disc] = action % columns
                value[game, action] = -1.0 - _moves_left(pegs, columns, table)
                pegs[disc] = first


def values(board: Boards, legal: Marks) -> Values:
    """``(B, A)``: minus the moves of a shortest solution that begins with a move, exact; NaN where
    it is not legal, :data:`DEAD` on boards that the rules cannot reach.
    """
    value = np.empty(legal.shape)
    _values(board, legal, _table_for(board), value)
    return value


def _table_for(board: Boards) -> NDArray[np.uint8]:
    """The table that boards are solved by; empty where it is done without one."""
    discs, pegs = board.shape[1:]
    return np.empty(0, np.uint8) if pegs == 3 else table_of(discs, pegs)


@kernel
def _deal(boards, seeds, least, table):
    """Fill boards (B, discs, pegs) with the first draw that needs so many moves at least, or with
    the one that needs most.
    """
    discs, columns = boards.shape[1:]
    pegs = np.empty(discs, np.int64)
    farthest = np.empty(discs, np.int64)
    for game in range(len(boards)):
        most = -1
        for attempt in range(TRIES):
            for disc in range(discs):
                pegs[disc] = draw_below(seeds[game], 0, attempt * discs + disc, columns)
            moves = _moves_left(pegs, columns, table)
            if moves > most:
                most = moves
                for disc in range(discs):
                    farthest[disc] = pegs[disc]
            if most >= least:
                break
        if most == 0:  # all of them were solved
            for disc in range(discs):
                farthest[disc] = 0
        board = boards[game]
        for disc in range(discs - 1, -1, -1):
            peg = farthest[disc]
            board[top_of(board, peg) - 1, peg] = disc + 1


def deal(board: Boards, seeds: Seeds, least: int) -> None:
    """Fill boards with drawn positions, of those that need so many moves at least all equally
    likely; where none of :data:`TRIES` draws does, the one that needs most. None is solved.
    """
    _deal(board, seeds, least, _table_for(board))
