"""Tiles that merge: what a move gains, and what the move after it is expected to gain."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vlmgym.core.kernels import inner, kernel
from vlmgym.games.parts.boards import Boards, Values
from vlmgym.games.parts.slides import flat, merge_gain, slide


@inner
def _expected_gain(board, cols, four_prob):
    """Expected gain of the best next move, over the cell and value of the tile that appears before
    it.
    """
    total = 0.0
    empty = 0
    for cell in range(len(board)):
        if board[cell] == 0:
            empty += 1
            for exponent in range(1, 3):
                probability = four_prob if exponent == 2 else 1.0 - four_prob
                if probability > 0.0:
                    board[cell] = exponent
                    gain = max(merge_gain(board, cols, 0), merge_gain(board, cols, 1))
                    total += probability * gain
            board[cell] = 0
    return total / empty if empty else 0.0


@kernel
def _values(boards, cols, ended, four_prob, discount, value):
    after = np.empty(boards.shape[1], np.uint8)
    for game in range(len(boards)):
        for move in range(4):
            value[game, move] = np.nan
            if not ended[game]:
                gain, changed = slide(boards[game], cols, move, after)
                if changed:
                    next_gain = _expected_gain(after, cols, four_prob)
                    value[game, move] = gain + discount * next_gain


def values(board: Boards, ended: NDArray[np.bool_], four_prob: float, discount: float) -> Values:
    """Score of each move plus ``discount`` times the expected score of the best move after it,
    ``(B, 4)``; NaN where it is not legal.

    Args:
        board: ``(B, rows, cols)`` exponents, 0 = empty.
        ended: ``(B,)`` games without moves.
        four_prob: probability that a new tile is a 4, else a 2.
        discount: weight of what the next move is expected to gain.
    """
    value = np.empty((len(board), 4))
    _values(flat(board), board.shape[2], ended, four_prob, discount, value)
    return value
