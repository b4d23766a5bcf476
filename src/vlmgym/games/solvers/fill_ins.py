"""Puzzles in which each line holds each value equally often, such as Sudoku and Binairo: what the
rules leave for a cell, solutions, and the values that all solutions have in common.

What a cell may hold is a mask: bit 0 for the first value, and so on.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from vlmgym.core import draw_below
from vlmgym.core.kernels import apart, inner, kernel

SOLVED = 1
NONE = 0
GAVE_UP = -1
"""How a search ends: with a solution, with the proof that there is none, or at its limit."""

MAX_STEPS = 20_000
"""Steps of the searches that look for what is certain on one board."""


class Rules(NamedTuple):
    """The rules of a puzzle on a board of one size, as kernels take them."""

    units: Any  # (units, n) int64: the cells of each row, column and box
    # (lines, n) int64: the rows, then the columns, of puzzles where no three neighbours in a line
    # are alike and no two rows, and no two columns; none in others
    lines: Any
    values: int  # how many there are
    each: int  # how often each of them stands in a unit


@inner
def is_single(mask):
    """Whether a cell may hold one value only."""
    return mask & (mask - 1) == 0


@apart
def _look(seen, left, rules, further):
    """Take from ``left`` what the cells ``seen`` rule out; returns whether that is anything, -1 if
    nothing is left of a cell.

    The easiest part of the rules is, without ``lines``, that a value that a unit holds often enough
    stands nowhere else in it; with ``lines``, that no three neighbours are alike. To go further is
    to see as well where a value has no more cells left in a unit than it needs.
    """
    changed = 0
    for line in rules.lines:
        for start in range(len(line) - 2):
            for third in range(3):
                one = seen[line[start + (third + 1) % 3]]
                if one != seen[line[start + (third + 2) % 3]] or not is_single(one):
                    continue
                cell = line[start + third]
                if left[cell] & one:
                    left[cell] &= ~one
                    changed = 1
                    if left[cell] == 0:
                        return -1
    for unit in rules.units:
        for value in range(rules.values):
            bit = 1 << value
            placed = 0
            possible = 0
            for cell in unit:
                placed += seen[cell] == bit
                possible += seen[cell] & bit != 0
            if placed > rules.each or possible < rules.each:
                return -1
            if placed == possible:
                continue
            is_full = placed == rules.each and (further or len(rules.lines) == 0)
            is_needed = further and possible == rules.each
            if not is_full and not is_needed:
                continue
            kept = bit if is_needed else ~bit
            for cell in unit:
                if seen[cell] & bit and seen[cell] != bit and left[cell] & ~kept:
                    left[cell] &= kept
                    changed = 1
                    if left[cell] == 0:
                        return -1
    return changed


@inner
def _has_twins(masks, lines):
    """Whether two rows, or two columns, are filled and alike."""
    half = len(lines) // 2
    for first in range(len(lines)):
        end = half if first < half else 2 * half
        for second in range(first + 1, end):
            index = 0
            while index < half:
                mask = masks[lines[first, index]]
                if mask != masks[lines[second, index]] or not is_single(mask):
                    break
                index += 1
            if index == half:
                return True
    return False


@apart
def narrow(masks, rules, further):
    """Take from the cells what the rules rule out, again and again; whether something is left of
    each.
    """
    changed = 1
    while changed > 0:
        changed = _look(masks, masks, rules, further)
    return changed == 0 and not _has_twins(masks, rules.lines)


@inner
def _tightest(masks):
    """The first of the cells that may hold the fewest values, but several; -1 if there is none."""
    tightest = -1
    fewest = 64
    for cell in range(len(masks)):
        mask = masks[cell]
        count = 0
        while mask:
            mask &= mask - 1
            count += 1
        if 1 < count < fewest:
            tightest = cell
            fewest = count
    return tightest


@inner
def _pick(mask, seed, number):
    """A drawn bit of a mask."""
    count = 0
    rest = mask
    while rest:
        rest &= rest - 1
        count += 1
    for _ in range(draw_below(seed, 0, number, count)):
        mask &= mask - 1
    return mask & -mask


@apart
def search(masks, rules, seed, number, limit):
    """Narrow the cells to a solution, by trying drawn values; returns how it ended and the number
    of the next draw, at most ``limit``.

    masks (cells,) int64.
    """
    cells = len(masks)
    saved = np.empty((cells, cells), np.int64)
    depth = 0
    while number < limit:
        number += 1
        if narrow(masks, rules, True):
            cell = _tightest(masks)
            if cell < 0:
                return SOLVED, number
            tried = _pick(masks[cell], seed, number)
            for index in range(cells):
                saved[depth, index] = masks[index]
            saved[depth, cell] ^= tried
            masks[cell] = tried
            depth += 1
        elif depth == 0:
            return NONE, number
        else:
            depth -= 1
            for index in range(cells):
                masks[index] = saved[depth, index]
    return GAVE_UP, number


@apart
def read_board(board, rules):
    """The masks of a board (rows, cols) uint8: 0 = open, else a value, counted from 1."""
    cols = board.shape[1]
    masks = np.empty(board.size, np.int64)
    for cell in range(board.size):
        value = board[cell // cols, cell % cols]
        masks[cell] = 1 << (value - 1) if value else (1 << rules.values) - 1
    return masks


@apart
def write_board(masks, board):
    """Write the only value of each cell, 0 where there are several."""
    cols = board.shape[1]
    for cell in range(board.size):
        value = 0
        if is_single(masks[cell]):
            while masks[cell] >> value:
                value += 1
        board[cell // cols, cell % cols] = value


@apart
def is_done_by(board, rules, further):
    """Whether the rules alone fill a board that has a solution, without trying."""
    masks = read_board(board, rules)
    if not narrow(masks, rules, further):
        return False
    return _tightest(masks) < 0


@kernel
def left_by_a_look(board, rules, further):
    """The masks of what a single look at the filled cells of a board leaves for each, by the
    easiest part of the rules; to go further is a second look, at what the first one left.
    """
    seen = read_board(board, rules)
    left = seen.copy()
    _look(seen, left, rules, False)
    if further:
        seen = left.copy()
        _look(seen, left, rules, True)
    return left


@kernel
def find_certain(boards, rules, certain):
    """Write the values that all solutions have in common.

    They are exact unless the searches of a board take more than MAX_STEPS steps: what is not proved
    by then is not certain. Nothing is certain where there is no solution.

    boards (B, rows, cols) uint8, 0 = open; certain the same, zeros, to be filled.
    """
    seed = np.uint64(0)
    for game in range(len(boards)):
        root = read_board(boards[game], rules)
        first = root.copy()
        ending, number = search(first, rules, seed, 0, MAX_STEPS)
        if ending != SOLVED:
            continue
        narrow(root, rules, True)
        shared = first.copy()
        for cell in range(len(root)):
            if is_single(root[cell]) or shared[cell] != first[cell]:
                continue
            other = root.copy()
            other[cell] &= ~first[cell]
            ending, number = search(other, rules, seed, number, MAX_STEPS)
            if ending == NONE:
                root[cell] = first[cell]
                narrow(root, rules, True)
            elif ending == SOLVED:
                for index in range(len(root)):
                    shared[index] |= other[index]
            else:
                shared[cell] = (1 << rules.values) - 1
        write_board(shared, certain[game])
