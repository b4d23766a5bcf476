"""Pieces that are put into their places by swaps of two, and upright by quarter turns.

A permutation of n pieces with c cycles (a piece in its place is one of its own) needs n - c swaps:
a swap of two pieces of one cycle makes two of it, one of two cycles joins them. A quarter turn
changes no place and a swap turns nothing, so that the turns of each piece are added.
"""

from __future__ import annotations

import numpy as np

from vlmgym.core import DEAD
from vlmgym.core.kernels import inner, kernel

UNSETTLED = 0.25
"""What the value of a move lacks that puts nothing right, so that of two moves on shortest ways the
one that does is better.
"""


# A piece is 1 + turns * cells + place, with 0 to 3 quarter turns clockwise; 0 is no piece.
@inner
def needed_turns(piece, cells):
    """Quarter turns clockwise until a piece is upright."""
    return (4 - (piece - 1) // cells) % 4


@inner
def effect_of(board, first, second, turning):
    """Whether a move changes the board, and what it puts right: pieces that come to their places
    less those that leave them, or quarter turns that are needed no more.

    board (cells,) uint8; the same cell twice is a turn, where pieces turn at all.
    """
    cells = len(board)
    piece = np.int64(board[first])
    other = np.int64(board[second])
    if piece == 0 or other == 0:
        return False, 0
    if first == second:
        if not turning:
            return False, 0
        return True, 1 if needed_turns(piece, cells) else -3
    place = (piece - 1) % cells
    other_place = (other - 1) % cells
    gain = (place == second) + (other_place == first)
    gain -= (place == first) + (other_place == second)
    return piece != other, gain


@inner
def is_solved(board):
    """Whether each piece is in its place and upright; board (cells,) uint8."""
    right = 0
    for cell in range(len(board)):
        right += board[cell] == cell + 1
    return right == len(board)


@inner
def _label_cycles(board, cycle):
    """Number the cycles that the pieces of a board go round; returns the moves that it needs, or -1
    where a piece is missing.

    board (cells,) uint8; cycle (cells,) int64, written: of each cell.
    """
    cells = len(board)
    cycle[:] = -1
    count = 0
    turns = 0
    for start in range(cells):
        if board[start] == 0:
            return -1
        turns += needed_turns(np.int64(board[start]), cells)
        if cycle[start] >= 0:
            continue
        cell = np.int64(start)
        while cycle[cell] < 0:
            cycle[cell] = count
            if board[cell] == 0:
                return -1
            cell = (np.int64(board[cell]) - 1) % cells
        if cell != start:  # two pieces of one place
            return -1
        count += 1
    return cells - count + turns


@kernel
def value_moves(boards, ended, turning, value):
    """Minus the moves of a shortest solution that begins with each move, less a quarter where it
    puts nothing right; NaN where it changes nothing, DEAD on boards that no moves solve.

    boards (B, cells) uint8; ended (B,) bool; value (B, cells * cells) float64, written.
    """
    cells = boards.shape[1]
    cycle = np.empty(cells, np.int64)
    value[:] = np.nan
    for game in range(len(boards)):
        if ended[game]:
            continue
        board = boards[game]
        needed = _label_cycles(board, cycle)
        for first in range(cells):
            for second in range(cells):
                changes, gain = effect_of(board, first, second, turning)
                if not changes:
                    continue
                if needed < 0:
                    worth = DEAD
                elif first == second:
                    worth = -1.0 - (needed - gain)
                elif cycle[first] == cycle[second]:
                    worth = -1.0 - (needed - 1)
                else:
                    worth = -1.0 - (needed + 1)
                if needed >= 0 and gain <= 0:
                    worth -= UNSETTLED
                value[game, first * cells + second] = worth
