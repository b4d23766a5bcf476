"""Deals of fill-in puzzles: a drawn solution, from which values are taken away while there is only
one.
"""

from __future__ import annotations

import numpy as np

from vlmgym.core import draw_below
from vlmgym.core.kernels import apart, kernel
from vlmgym.games.solvers.fill_ins import (
    NONE,
    SOLVED,
    is_done_by,
    read_board,
    search,
    write_board,
)

TRIES = 1000
"""Deals that are drawn, at most, for one that needs as much as its level says."""
SEARCH_STEPS = 2_000
"""Steps of a search on the way: a value without which it takes more is not taken away."""

_TURNS_APART = 1 << 20


@apart
def _can_go(board, rules, cell, grade, seed, number):
    """Whether a board can do without the value of a cell, by what a grade may need."""
    cols = board.shape[1]
    value = board[cell // cols, cell % cols]
    board[cell // cols, cell % cols] = 0
    if grade < 2:
        can_go = is_done_by(board, rules, grade == 1)
    else:
        masks = read_board(board, rules)
        masks[cell] &= ~(1 << (value - 1))
        ending, _ = search(masks, rules, seed, number, number + SEARCH_STEPS)
        can_go = ending == NONE
    board[cell // cols, cell % cols] = value
    return can_go


@apart
def _needs(board, rules, grade):
    """Whether a board needs what a grade has before others."""
    return grade == 0 or not is_done_by(board, rules, grade == 2)


@apart
def _take_away(board, rules, least, grade, seed, number):
    """Take values away in a drawn order; returns whether the board needs its grade."""
    cells = board.size
    cols = board.shape[1]
    order = np.arange(cells)
    for index in range(cells - 1):
        other = index + draw_below(seed, 0, number + index, cells - index)
        order[index], order[other] = order[other], order[index]
    left = cells
    is_graded = grade == 0
    for cell in order:
        if left <= least and is_graded:
            break
        if _can_go(board, rules, cell, grade, seed, number):
            board[cell // cols, cell % cols] = 0
            left -= 1
            if left <= least and not is_graded:
                is_graded = _needs(board, rules, grade)
    return is_graded or _needs(board, rules, grade)


@kernel
def deal_fill_ins(boards, solutions, seeds, rules, least, grade):
    """Deal puzzles with one solution.

    Args:
        boards: ``(B, rows, cols)`` uint8 zeros, to be filled: 0 = open, else a value from 1.
        solutions: the same, the solutions.
        seeds: ``(B,)`` keys of all luck.
        rules: of the puzzle.
        least: values that stay at least, unless the grade needs fewer.
        grade: 0 = the easiest part of the rules suffices; 1 = all of them suffice, and the easiest
            do not; 2 = they do not suffice.
    """
    for game in range(len(boards)):
        board = boards[game]
        for attempt in range(TRIES):
            number = attempt * _TURNS_APART
            board[:] = 0
            masks = read_board(board, rules)
            ending, _ = search(masks, rules, seeds[game], number, number + _TURNS_APART // 2)
            if ending != SOLVED:
                continue
            write_board(masks, solutions[game])
            write_board(masks, board)
            number += _TURNS_APART // 2
            if _take_away(board, rules, least, grade, seeds[game], number):
                break
