"""Mines under hidden cells: revealing cells, and the exact probability of a mine on each that is
hidden.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vlmgym.core.kernels import apart, inner, kernel
from vlmgym.games.parts.boards import Boards, Values
from vlmgym.games.solvers import frontier
from vlmgym.games.solvers.frontier import (
    Layouts,
    count_layouts,
    form_groups,
    order_parts,
    read_numbers,
)

HIDDEN = frontier.HIDDEN
MINE = frontier.MINE
"""Values of cells of a board, (rows, cols) uint8, beside the numbers 0 to 8."""
EXACT = 0
IMPOSSIBLE = 1
APPROXIMATE = 2
"""What probabilities are: exact; of a board that no layout fits; or approximate."""


@apart
def reveal(board, mines, cell, flood):
    """Reveal a hidden cell, and with ``flood`` all that hangs on a 0; returns how many cells
    without a mine came up.
    """
    rows, cols = board.shape
    if mines[cell // cols, cell % cols]:
        board[cell // cols, cell % cols] = MINE
        return 0
    stack = np.empty(rows * cols, np.int64)
    stack[0] = cell
    waiting = 1
    opened = 0
    board[cell // cols, cell % cols] = 0  # reached; its number comes when it leaves the stack
    while waiting:
        waiting -= 1
        row = stack[waiting] // cols
        column = stack[waiting] % cols
        opened += 1
        mines_around = 0
        for near_row in range(max(row - 1, 0), min(row + 2, rows)):
            for near_column in range(max(column - 1, 0), min(column + 2, cols)):
                mines_around += mines[near_row, near_column]
        board[row, column] = mines_around
        if mines_around or not flood:
            continue
        for near_row in range(max(row - 1, 0), min(row + 2, rows)):
            for near_column in range(max(column - 1, 0), min(column + 2, cols)):
                if board[near_row, near_column] == HIDDEN:
                    board[near_row, near_column] = 0
                    stack[waiting] = near_row * cols + near_column
                    waiting += 1
    return opened


@inner
def safe_left(board, mines):
    """Whether a hidden cell without a mine is left."""
    rows, cols = board.shape
    for row in range(rows):
        for column in range(cols):
            if board[row, column] == HIDDEN and not mines[row, column]:
                return True
    return False


# ---- probabilities: the parts of the frontier and the cells beyond it share the hidden mines
class Counts(NamedTuple):
    """Layouts of several parts together, counted by their mines; float64."""

    before: Any  # (parts + 1, mines + 1) of the parts before one
    after: Any  # (parts + 1, mines + 1) of the parts from one on
    free: Any  # (mines + 1,) of the hidden cells that touch no number
    free_cells: int  # how many of these cells there are


class Total(NamedTuple):
    """All layouts of a board taken together."""

    layouts: float  # how many there are
    free_mines: float  # mines on the cells that touch no number, in all of them together
    frontier_mines: int  # mines on the other hidden cells, in one of them; -1 if there is none


class Shares(NamedTuple):
    """What of the mines each group has, and each cell that touches no number."""

    probability: Any  # (groups,) float64, of a mine on a cell of the group
    mines: Any  # (groups,) int64, mines of the group in one layout of the board
    free_probability: float  # of a mine on a cell that touches no number
    free_mines: int  # mines of these cells in that layout


@inner
def _binomials(count):
    row = np.ones(count + 1)
    for chosen in range(1, count + 1):
        row[chosen] = row[chosen - 1] * (count - chosen + 1) / chosen
    return row


@apart
def _convolve(left, right, sums):
    """The sums of products, up to the length that all three have; ``sums`` is zeros before."""
    for index in range(len(left)):
        if left[index] > 0.0:
            for other in range(len(left) - index):
                sums[index + other] += left[index] * right[other]


@apart
def _combine(ways, free_cells):
    """Count the layouts of the parts together, and of the cells that touch no number."""
    parts, width = ways.shape
    before = np.zeros((parts + 1, width))
    after = np.zeros((parts + 1, width))
    free = np.zeros(width)
    before[0, 0] = after[parts, 0] = 1.0
    for part in range(parts):
        _convolve(before[part], ways[part], before[part + 1])
        _convolve(after[parts - part], ways[parts - 1 - part], after[parts - 1 - part])
    choices = _binomials(free_cells)
    for mines in range(min(width, free_cells + 1)):
        free[mines] = choices[mines]
    return Counts(before, after, free, free_cells)


@inner
def _total_of(counts):
    all_parts = counts.before[-1]
    most_mines = len(all_parts) - 1
    layouts = 0.0
    free_mines = 0.0
    frontier_mines = -1
    for mines in range(most_mines + 1):
        count = all_parts[mines] * counts.free[most_mines - mines]
        layouts += count
        free_mines += count * (most_mines - mines)
        if frontier_mines < 0 and count > 0.0:
            frontier_mines = mines
    return Total(layouts, free_mines, frontier_mines)


@apart
def _estimate(board, numbers, hidden, left, local, chance):
    """The fallbacks: the same probability for all hidden cells or, with ``local``, the mean of what
    their numbers say.
    """
    cols = board.shape[1]
    untouched = 0
    remaining = np.float64(left)
    for cell in range(board.size):
        if board[cell // cols, cell % cols] != HIDDEN:
            continue
        chance[cell] = min(max(left / hidden, 0.0), 1.0)
        count = numbers.touched_count[cell]
        if not local or count == 0:
            untouched += 1
            continue
        mean = 0.0
        certain = -1.0
        for index in range(count):
            number = numbers.touched[cell, index]
            share = numbers.missing[number] / numbers.hidden[number]
            mean += share / count
            if share == 0.0 or share == 1.0:
                certain = share
        chance[cell] = certain if certain >= 0.0 else mean
        remaining -= chance[cell]
    for cell in range(board.size):
        touched = numbers.touched_count[cell] > 0
        if local and not touched and board[cell // cols, cell % cols] == HIDDEN:
            chance[cell] = min(max(remaining / untouched, 0.0), 1.0)


@inner
def _mine_first(board, left, layout):
    """Lay the mines that are left under the first hidden cells."""
    rows, cols = board.shape
    for row in range(rows):
        for column in range(cols):
            if board[row, column] == HIDDEN and left > 0:
                layout[row, column] = True
                left -= 1


@apart
def _share_mines(groups, parts, layouts, counts, total):
    """Share out the mines of all layouts, and those of one layout."""
    group_count, width = layouts.mass.shape
    probability = np.zeros(group_count)
    mined = np.zeros(group_count, np.int64)
    unassigned = total.frontier_mines
    for part in range(len(layouts.ways) - 1, -1, -1):
        other_parts = np.zeros(width)
        others = np.zeros(width)
        _convolve(counts.before[part], counts.after[part + 1], other_parts)
        _convolve(other_parts, counts.free, others)
        chosen = -1
        for mines in range(width):
            if (
                chosen < 0
                and layouts.ways[part, mines] > 0.0
                and mines <= unassigned
                and counts.before[part, unassigned - mines] > 0.0
            ):
                chosen = mines
        unassigned -= chosen
        for index in range(parts.starts[part], parts.starts[part + 1]):
            group = parts.groups[index]
            mined[group] = layouts.witness[group, chosen]
            for mines in range(width):
                weight = layouts.mass[group, mines] * others[width - 1 - mines]
                probability[group] += weight / groups.sizes[group] / total.layouts
    free_probability = total.free_mines / counts.free_cells / total.layouts
    return Shares(probability, mined, free_probability, width - 1 - total.frontier_mines)


@inner
def _fill_in(board, groups, shares, chance, layout):
    """Write the probability of each hidden cell, and the one layout: mines on the first cells of
    each group.
    """
    rows, cols = board.shape
    free_mines = shares.free_mines
    for row in range(rows):
        for column in range(cols):
            if board[row, column] != HIDDEN:
                continue
            cell = row * cols + column
            group = groups.group_of[cell]
            if group >= 0:
                chance[cell] = min(shares.probability[group], 1.0)
                if shares.mines[group] > 0:
                    layout[row, column] = True
                    shares.mines[group] -= 1
            else:
                chance[cell] = min(shares.free_probability, 1.0)
                if free_mines > 0:
                    layout[row, column] = True
                    free_mines -= 1


@apart
def _chances(board, mines, chance, layout):
    """Fill in the probability of a mine for each hidden cell (others stay) and a mine layout that
    fits what is seen.

    Every layout with ``mines`` mines that fits is equally likely. Counts are floats; all are at
    most 2**256, so they neither overflow nor vanish, and a probability is 0.0 exactly where no
    layout has a mine.

    Returns:
        EXACT; IMPOSSIBLE (no layout fits) or APPROXIMATE (too much to search): then the layout is
        the first hidden cells.
    """
    rows, cols = board.shape
    hidden = 0
    left = mines
    for row in range(rows):
        for column in range(cols):
            hidden += board[row, column] == HIDDEN
            if board[row, column] == MINE:
                left -= 1
                layout[row, column] = True
    numbers, consistent = read_numbers(board)
    groups = form_groups(rows, cols, numbers)
    parts = order_parts(numbers, groups)
    part_count = len(parts.starts) - 1
    group_count = len(groups.sizes)
    width = max(left, 0) + 1
    layouts = Layouts(
        np.zeros((part_count, width)),
        np.zeros((group_count, width)),
        np.empty((group_count, width), np.int64),
    )
    kind = EXACT if consistent and 0 <= left <= hidden else IMPOSSIBLE
    for part in range(part_count):
        if kind == EXACT:
            if not count_layouts(numbers, groups, parts, part, layouts):
                kind = APPROXIMATE
            elif layouts.ways[part].sum() == 0.0:
                kind = IMPOSSIBLE
    counts = _combine(layouts.ways, hidden - groups.sizes.sum())
    total = _total_of(counts)
    if kind == EXACT and total.layouts == 0.0:
        kind = IMPOSSIBLE
    if kind != EXACT:
        _estimate(board, numbers, max(hidden, 1), left, kind == APPROXIMATE, chance)
        _mine_first(board, left, layout)
        return kind
    shares = _share_mines(groups, parts, layouts, counts, total)
    _fill_in(board, groups, shares, chance, layout)
    return EXACT


@kernel
def _all_chances(boards, mines, skip, chance, layouts, kinds):
    for game in range(len(boards)):
        if not skip[game]:
            kinds[game] = _chances(boards[game], mines, chance[game], layouts[game])


@apart
def needs_no_guess(start, mines, count):
    """Whether revealing nothing but cells that are safe for sure reveals all of them."""
    board = start.copy()
    layout = np.zeros(start.shape, np.bool_)
    chance = np.empty(board.size)
    cols = board.shape[1]
    while safe_left(board, mines):
        if _chances(board, count, chance, layout) != EXACT:
            return False
        stuck = True
        for cell in range(board.size):
            if board[cell // cols, cell % cols] == HIDDEN and chance[cell] == 0.0:
                reveal(board, mines, cell, True)
                stuck = False
        if stuck:
            return False
    return True


class Study(NamedTuple):
    """What is known of boards."""

    chance: Values  # (B, cells) probability of a mine, NaN where nothing is hidden
    layout: NDArray[np.bool_]  # (B, rows, cols) mines that fit what is seen
    kind: NDArray[np.int64]  # (B,) EXACT, IMPOSSIBLE or APPROXIMATE


def study(board: Boards, mines: int, skip: NDArray[np.bool_]) -> Study:
    """Mine probabilities, layouts that fit, and how good they are.

    Args:
        board: ``(B, rows, cols)`` of numbers 0 to 8, :data:`HIDDEN` and :data:`MINE`.
        mines: on each board.
        skip: ``(B,)`` rows that are left out.
    """
    chance = np.full((len(board), board.shape[1] * board.shape[2]), np.nan)
    layout = np.zeros(board.shape, bool)
    kind = np.zeros(len(board), np.int64)
    _all_chances(board, mines, skip, chance, layout, kind)
    return Study(chance, layout, kind)
