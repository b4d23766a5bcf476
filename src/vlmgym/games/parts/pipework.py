"""Pipework: pipes without rings that reach every cell and fit together in one way only."""

from __future__ import annotations

import numpy as np

from vlmgym.core import draw_below
from vlmgym.core.kernels import apart, inner, kernel
from vlmgym.games.solvers.pipes import (
    KINDS,
    SOURCE,
    flow,
    neighbours_of,
    period_of,
    search,
    turned,
)

CHANGES = 60
"""Changes of a pipework whose pieces fit in several ways, before another one is drawn."""
TRIES = 30
"""Pipeworks that are drawn at most; then the last is dealt, though it may have two solutions."""


@inner
def _ends(sides):
    """How many sides are open."""
    return (sides & 1) + (sides >> 1 & 1) + (sides >> 2 & 1) + (sides >> 3)


@inner
def _is_unclear(fewest, cell):
    """Whether a piece may stand in more than one way."""
    ways = 0
    for turns in range(4):
        ways += fewest[cell, turns] >= 0
    return ways > 1


@inner
def _link(pipes, beyond, cell, side):
    """Open a side of a cell, and the one that it meets; or close both."""
    pipes[cell] ^= 1 << side
    pipes[beyond[cell, side]] ^= 1 << (side + 2) % 4


@apart
def _mark(pipes, beyond, start, marks, queue):
    """Mark the cells that pipes connect with one."""
    marks[:] = False
    marks[start] = True
    queue[0] = start
    queued = 1
    taken = 0
    while taken < queued:
        cell = queue[taken]
        taken += 1
        for side in range(4):
            if pipes[cell] >> side & 1 and not marks[beyond[cell, side]]:
                marks[beyond[cell, side]] = True
                queue[queued] = beyond[cell, side]
                queued += 1


@apart
def _join(pipes, beyond, marks, queue, order, most_ends):
    """Open sides in this order where that makes no ring and no piece of more open sides."""
    for edge in order:
        cell = edge // 2
        side = 1 + edge % 2
        other = beyond[cell, side]
        if other < 0 or pipes[cell] >> side & 1:
            continue
        if max(_ends(pipes[cell]), _ends(pipes[other])) >= most_ends:
            continue
        _mark(pipes, beyond, cell, marks, queue)
        if not marks[other]:
            _link(pipes, beyond, cell, side)


@apart
def _draw_pipes(pipes, beyond, crossings, order, marks, queue, seed, number):
    """Draw pipes with about so many crossings; returns the number of the next draw."""
    cells = len(pipes)
    pipes[:] = 0
    for index in range(2 * cells):
        other = draw_below(seed, 0, number + index, index + 1)
        order[index] = order[other]
        order[other] = index
    number += 2 * cells
    made = 0
    for edge in order[: 2 * cells]:
        cell = edge // 2
        if made >= crossings:
            break
        fits = edge % 2 == 0
        for side in range(4):
            other = beyond[cell, side]
            fits &= other >= 0 and _ends(pipes[other]) < 3 and not pipes[cell] >> side & 1
        if not fits:
            continue
        opened = 0
        for side in range(4):
            _mark(pipes, beyond, cell, marks, queue)
            if not marks[beyond[cell, side]]:
                _link(pipes, beyond, cell, side)
                opened |= 1 << side
        if opened == 15:
            made += 1
        else:
            for side in range(4):
                if opened >> side & 1:
                    _link(pipes, beyond, cell, side)
    _join(pipes, beyond, marks, queue, order, 3)
    _join(pipes, beyond, marks, queue, order, 4)
    return number


@apart
def _change(pipes, beyond, fewest, marks, queue, seed, number):
    """Close a pipe where pieces may stand in two ways, and open another one that connects all
    again; returns the number of the next draw.
    """
    cells = len(pipes)
    unclear = 0
    for cell in range(cells):
        unclear += _is_unclear(fewest, cell)
    pick = draw_below(seed, 0, number, unclear)
    chosen = 0
    for cell in range(cells):
        if _is_unclear(fewest, cell):
            if pick == 0:
                chosen = cell
            pick -= 1
    pick = draw_below(seed, 0, number + 1, _ends(pipes[chosen]))
    closed = 0
    for side in range(4):
        if pipes[chosen] >> side & 1:
            if pick == 0:
                closed = side
            pick -= 1
    old = beyond[chosen, closed]
    _link(pipes, beyond, chosen, closed)
    _mark(pipes, beyond, chosen, marks, queue)
    number += 2
    options = 0
    new_cell = chosen
    new_side = closed
    for cell in range(cells):
        for side in range(4):
            other = beyond[cell, side]
            if not marks[cell] or other < 0 or marks[other]:
                continue
            if max(_ends(pipes[cell]), _ends(pipes[other])) > 2 or (
                cell == chosen and other == old
            ):
                continue
            options += 1
            if draw_below(seed, 0, number, options) == 0:
                new_cell = cell
                new_side = side
            number += 1
    _link(pipes, beyond, new_cell, new_side)
    return number


@apart
def _lay(board, pipes, order, share, seed, number):
    """Write the pieces, this share of them (one at least) turned away from how they fit."""
    cols = board.shape[1]
    can_turn = 0
    for cell in range(len(pipes)):
        board[cell // cols, cell % cols] = pipes[cell]
        if period_of(pipes[cell]) > 1:
            other = draw_below(seed, 0, number + can_turn, can_turn + 1)
            order[can_turn] = order[other]
            order[other] = cell
            can_turn += 1
    number += can_turn
    wrong = max(1, int(share * can_turn + 0.5))
    for cell in order[:wrong]:
        turns = 1 + draw_below(seed, 0, number, period_of(pipes[cell]) - 1)
        board[cell // cols, cell % cols] = turned(pipes[cell], turns)
        number += 1
    source = draw_below(seed, 0, number, len(pipes))
    board[source // cols, source % cols] += SOURCE * KINDS


@kernel
def deal_pipes(boards, seeds, wrap, crossings, share):
    """Deal boards of pieces that fit together in one way only.

    Args:
        boards: ``(B, rows, cols)`` uint8, to be filled.
        seeds: ``(B,)`` keys of all luck.
        wrap: whether pipes go on from each edge to the opposite one.
        crossings: pieces with four open sides, about.
        share: of the pieces that are turned away from how they fit.

    Returns:
        Which of the boards are solved already, ``(B,)``: none that fits in one way only.
    """
    rows, cols = boards.shape[1:]
    cells = rows * cols
    beyond = neighbours_of(rows, cols, wrap)
    fewest = np.empty((cells, 4), np.int64)
    pipes = np.empty(cells, np.int64)
    order = np.empty(2 * cells, np.int64)
    marks = np.empty(cells, np.bool_)
    queue = np.empty(cells, np.int64)
    over = np.empty(len(boards), np.bool_)
    for game in range(len(boards)):
        seed = seeds[game]
        board = boards[game]
        draws = np.int64(0)
        solutions = 0
        for attempt in range(TRIES * CHANGES):
            if solutions == 1:
                break
            if attempt % CHANGES == 0:
                draws = _draw_pipes(pipes, beyond, crossings, order, marks, queue, seed, draws)
            else:
                draws = _change(pipes, beyond, fewest, marks, queue, seed, draws)
            for cell in range(cells):
                board[cell // cols, cell % cols] = pipes[cell]
            solutions = search(board, beyond, 2, fewest)
        _lay(board, pipes, order, share, seed, draws)
        over[game] = flow(board, beyond)
    return over
