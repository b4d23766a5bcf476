"""Cascades: what a swap gains as lines vanish and what lay above them falls into new ones."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vlmgym.core.kernels import kernel, move
from vlmgym.games.parts.boards import Boards, Values
from vlmgym.games.parts.lines import exchange, fall, find_swaps, mark_lines, measure, scratch_for


@kernel
def _values(boards, ended, line, value):
    rows, cols = boards.shape[1:]
    trial = np.empty((rows, cols), np.uint8)
    scratch = scratch_for(rows, cols)
    after = scratch_for(rows, cols)
    fits = scratch.fits
    places = scratch.places
    for game in range(len(boards)):
        measure(boards[game], scratch, line)
        find_swaps(boards[game], scratch, line)
        for action in range(value.shape[1]):
            value[game, action] = np.nan
            if ended[game] or not fits[places[action]]:
                continue
            move(trial, 0, boards, game * trial.size, trial.size)
            exchange(trial, action)
            value[game, action] = 0
            count = mark_lines(trial, line, after)
            while count:
                value[game, action] += count * (1 + (count - 2))
                fall(trial, after.marks)
                count = mark_lines(trial, line, after)


def values(board: Boards, ended: NDArray[np.bool_], line: int) -> Values:
    """Score of each swap with its cascades among the tiles on the board, ``(B, A)``; NaN where it
    is not legal.

    Args:
        board: ``(B, rows, cols)``, 0 = empty.
        ended: ``(B,)`` games without moves.
        line: equal tiles in a row or column that vanish.
    """
    rows, cols = board.shape[1:]
    value = np.empty((len(board), rows * (cols - 1) + (rows - 1) * cols))
    _values(board, ended, line, value)
    return value
