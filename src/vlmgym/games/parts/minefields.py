"""Minefields: mines away from an opening, which is revealed, and a safe cell still to find."""

from __future__ import annotations

import numpy as np

from vlmgym.core import draw_below
from vlmgym.core.kernels import apart, inner, kernel
from vlmgym.games.solvers.mines import HIDDEN, needs_no_guess, reveal, safe_left

TRIES = 100
"""Deals that are drawn for one that leaves a safe cell hidden and, on guess-free levels, needs no
guess.
"""


@inner
def _draw_opening(rows, cols, count, seed, number):
    """Draw a cell that the mines can keep away from, if there is one."""
    cells = rows * cols
    options = np.empty(cells, np.int64)
    option_count = 0
    for cell in range(cells):
        row = cell // cols
        column = cell % cols
        high = min(row + 2, rows) - max(row - 1, 0)
        wide = min(column + 2, cols) - max(column - 1, 0)
        if high * wide <= cells - count:
            options[option_count] = cell
            option_count += 1
    if option_count == 0:
        return draw_below(seed, 0, number, cells)
    return options[draw_below(seed, 0, number, option_count)]


@apart
def _lay(mines, count, seed, number):
    """Lay the mines, away from a drawn opening; returns (opening, number of the next draw)."""
    rows, cols = mines.shape
    cells = rows * cols
    opening = _draw_opening(rows, cols, count, seed, number)
    number += 1
    order = np.empty(cells, np.int64)
    far = 0  # first the cells that do not touch the opening,
    close = cells - 1  # then those that do
    for cell in range(cells):
        if abs(cell // cols - opening // cols) > 1 or abs(cell % cols - opening % cols) > 1:
            order[far] = cell
            far += 1
        elif cell != opening:
            order[close - 1] = cell
            close -= 1
    mines[:] = False
    for index in range(count):
        choices = (far if index < far else cells - 1) - index
        other = index + draw_below(seed, 0, number, choices)
        order[index], order[other] = order[other], order[index]
        mines[order[index] // cols, order[index] % cols] = True
        number += 1
    return opening, number


@kernel
def deal_minefields(boards, mines, seeds, count, guess_free):
    """Lay ``count`` mines on each board and reveal an opening.

    Args:
        boards: ``(B, rows, cols)`` uint8, what is seen, to be filled.
        mines: ``(B, rows, cols)`` bool, where the mines are, to be filled.
        seeds: ``(B,)`` keys of all luck.
        count: mines on each board.
        guess_free: draw again where reasoning alone does not reveal all.
    """
    for game in range(len(boards)):
        board = boards[game]
        field = mines[game]
        number = 0
        opening = 0
        for _ in range(TRIES):
            opening, number = _lay(field, count, seeds[game], number)
            board[:] = HIDDEN
            reveal(board, field, opening, True)
            if safe_left(board, field) and (not guess_free or needs_no_guess(board, field, count)):
                break
        # so few mines that an opening reveals all: only its first cell is revealed
        if not safe_left(board, field):
            board[:] = HIDDEN
            reveal(board, field, opening, False)
