"""Lights Out solved by linear algebra over GF(2), and its boards dealt.

Presses add up modulo 2, in any order, so a set of presses that puts out all lamps is a solution of
linear equations. All others differ from it by a quiet set, which changes no lamp; there are at most
256 of those on boards of up to 8x8, so the smallest solution is found by trying them all.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vlmgym.core import DEAD, draw_below
from vlmgym.core.kernels import inner, kernel
from vlmgym.games.parts.boards import MOVE_STEPS, Boards, Seeds, Values

TRIES = 64
"""Sets of presses that are drawn for a deal, at most."""
_DRAWS = 128
"""Numbers of draws that each of them has for itself."""
_NONE = 1 << 20
"""More presses than any board has cells."""


class Lamps(NamedTuple):
    """What presses do on a board of some size; all arrays are 0 or 1, and a cell is
    ``row * cols + column``.
    """

    toggles: NDArray[np.uint8]  # (A, A): a press (row) switches a lamp (column); symmetric
    # (A, A): times the lamps, modulo 2: the presses of one solution, where there is one
    solution: NDArray[np.uint8]
    # (N, A): sets of presses that change no lamp, and of which all others are sums; a board can be
    # solved if an even number of lamps is on in each of them
    basis: NDArray[np.uint8]
    quiet: NDArray[np.uint8]  # (2 ** N, A): all sets of presses that change no lamp


@lru_cache(64)
def lamps_of(rows: int, cols: int, wrap: bool) -> Lamps:
    """The algebra of a board; with ``wrap`` the first and last row are neighbours, as are the
    columns.
    """
    toggles = _toggles(rows, cols, wrap)
    reduced, inverse, pivots = _reduce(toggles)
    cells = rows * cols
    solution = np.zeros((cells, cells), np.uint8)
    solution[pivots] = inverse[: len(pivots)]
    free = [cell for cell in range(cells) if cell not in pivots]
    basis = np.zeros((len(free), cells), np.uint8)
    basis[np.arange(len(free)), free] = 1
    basis[:, pivots] = reduced[: len(pivots), free].T
    chosen = np.arange(1 << len(free))[:, None] >> np.arange(len(free)) & 1
    quiet = (chosen @ basis % 2).astype(np.uint8)
    return Lamps(toggles, solution, basis, quiet)


def _toggles(rows: int, cols: int, wrap: bool) -> NDArray[np.uint8]:
    toggles = np.eye(rows * cols, dtype=np.uint8)
    for cell in range(rows * cols):
        for row_step, column_step in MOVE_STEPS:
            row = cell // cols + row_step
            column = cell % cols + column_step
            if wrap:
                row %= rows
                column %= cols
            if 0 <= row < rows and 0 <= column < cols:
                toggles[cell, row * cols + column] = 1
    return toggles


def _reduce(
    matrix: NDArray[np.uint8],
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], list[int]]:
    """Gauss-Jordan elimination modulo 2.

    Returns:
        The reduced matrix, what the given one is multiplied by from the left to become it, and the
        columns of its leading ones.
    """
    reduced = matrix.copy()
    factor = np.eye(len(matrix), dtype=np.uint8)
    pivots = list[int]()
    for column in range(matrix.shape[1]):
        rank = len(pivots)
        below = np.flatnonzero(reduced[rank:, column])
        if not len(below):
            continue
        swapped = [rank + int(below[0]), rank]
        reduced[swapped[::-1]] = reduced[swapped]
        factor[swapped[::-1]] = factor[swapped]
        others = np.flatnonzero(reduced[:, column])
        others = others[others != rank]
        reduced[others] ^= reduced[rank]
        factor[others] ^= factor[rank]
        pivots.append(column)
    return reduced, factor, pivots


@kernel
def _values(presses, solvable, quiet, value):
    """Of each solvable board, from the presses of one solution: minus the presses of a smallest one
    that begins with each cell.

    presses (B, A) uint8; solvable (B,); quiet (Q, A) uint8; value (B, A), filled.
    """
    cells = presses.shape[1]
    with_press = np.empty(cells, np.int64)  # presses of a smallest solution that has the cell,
    without = np.empty(cells, np.int64)  # and of one that has it not
    for game in range(len(presses)):
        if not solvable[game]:
            continue
        for cell in range(cells):
            with_press[cell] = _NONE
            without[cell] = _NONE
        for change in range(len(quiet)):
            count = 0
            for cell in range(cells):
                count += presses[game, cell] ^ quiet[change, cell]
            for cell in range(cells):
                if presses[game, cell] ^ quiet[change, cell]:
                    with_press[cell] = min(with_press[cell], count)
                else:
                    without[cell] = min(without[cell], count)
        for cell in range(cells):
            # one that has it not begins with it all the same if it is pressed twice
            value[game, cell] = -float(min(with_press[cell], without[cell] + 2))


def values(board: Boards, wrap: bool) -> Values:
    """``(B, A)``: minus the presses of a smallest solution that begins with the cell, exact;
    :data:`DEAD` on boards without a solution.
    """
    games, rows, cols = board.shape
    lamps = lamps_of(rows, cols, wrap)
    flat = board.reshape(games, rows * cols)
    presses = flat @ lamps.solution.T % 2
    solvable = ~(flat @ lamps.basis.T % 2).any(axis=1)
    value = np.full(flat.shape, DEAD)
    _values(presses, solvable, lamps.quiet, value)
    return value


class Wanted(NamedTuple):
    """What a deal should have."""

    least: int  # presses of a smallest solution,
    most: int
    lit: int  # lamps that are on, at most


@inner
def _draw_presses(pressed, order, seed, first, count):
    """Press so many different cells, drawn; numbers of draws from ``first`` on."""
    cells = len(pressed)
    for cell in range(cells):
        order[cell] = cell
        pressed[cell] = 0
    for index in range(count):
        other = index + draw_below(seed, 0, first + index, cells - index)
        order[index], order[other] = order[other], order[index]
        pressed[order[index]] = 1


@inner
def _fewest(pressed, quiet):
    """Presses of a smallest set that does the same."""
    fewest = len(pressed)
    for change in range(len(quiet)):
        count = 0
        for cell in range(len(pressed)):
            count += pressed[cell] ^ quiet[change, cell]
        fewest = min(fewest, count)
    return fewest


@inner
def _light(pressed, toggles, board):
    """Write the lamps that presses on the dark board leave; returns how many are on."""
    count = 0
    for lamp in range(len(pressed)):
        is_on = 0
        for cell in range(len(pressed)):
            is_on ^= pressed[cell] & toggles[cell, lamp]
        board[lamp] = is_on
        count += is_on
    return count


@kernel
def _deal(boards, seeds, toggles, quiet, wanted):
    """Fill boards (B, A) uint8 with the first draw that is as wanted, or the one nearest to it."""
    cells = boards.shape[1]
    pressed = np.empty(cells, np.uint8)
    order = np.empty(cells, np.int64)
    board = np.empty(cells, np.uint8)
    for game in range(len(boards)):
        seed = seeds[game]
        nearest = _NONE * _NONE
        for attempt in range(TRIES):
            first = attempt * _DRAWS
            more = draw_below(seed, 0, first, wanted.most - wanted.least + 1)
            count = min(cells, wanted.least + more)
            _draw_presses(pressed, order, seed, first + 1, count)
            fewest = _fewest(pressed, quiet)
            lit = _light(pressed, toggles, board)
            presses_off = max(wanted.least - fewest, fewest - wanted.most, 0)
            distance = presses_off * _NONE + max(lit - wanted.lit, 0)
            if fewest > 0 and distance < nearest:
                nearest = distance
                for cell in range(cells):
                    boards[game, cell] = board[cell]
            if nearest == 0:
                break
        if nearest == _NONE * _NONE:  # all of them were quiet: one press is not
            _draw_presses(pressed, order, seed, TRIES * _DRAWS, 1)
            _light(pressed, toggles, boards[game])


def deal(board: Boards, seeds: Seeds, wrap: bool, wanted: Wanted) -> None:
    """Fill boards with lamps that can be put out, never all dark; ``wanted`` is met where one of
    :data:`TRIES` draws does.
    """
    games, rows, cols = board.shape
    lamps = lamps_of(rows, cols, wrap)
    flat = np.zeros((games, rows * cols), np.uint8)
    _deal(flat, seeds, lamps.toggles, lamps.quiet, wanted)
    board[:] = flat.reshape(board.shape)
