"""Lines of equal stones (k in a row), with gravity or without: who wins, and how soon, by a search
of both sides' best play.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vlmgym.core.kernels import inner, kernel
from vlmgym.core.random import mix64
from vlmgym.games.parts.boards import Boards, Marks, Values
from vlmgym.games.parts.opponents import DRAWN, OPEN

NEAR = 4
"""Stones within which an end is told by its distance; later ones count as equal."""
MAX_CELLS = 64
"""Cells of a board at most: a bit of a word for each."""
LONGEST = 5
"""Stones of a line at most."""
KEPT_BITS = 19
"""A table keeps ``2 ** KEPT_BITS`` searched positions, of 8 bytes each."""
_MOST = 100
"""More than the stones of any board: a position that is won when ``s`` stones lie is worth
``_MOST - s``, so sooner is more; lost is the same with a minus, and a draw is 0.
"""
_BELOW, _ABOVE, _EXACT = 1, 2, 3
"""What a kept value is: not below the true one, not above it, or equal to it."""


class Rule(NamedTuple):
    """A board and its lines. Cells are numbered in reading order; cell ``c`` is bit ``c`` of a
    word.
    """

    lines: Any  # (lines,) uint64, the cells of each
    through: Any  # (cells, most) int64, the lines through each cell, -1 = no further one
    order: Any  # (cells,) int64, those with many lines first
    support: Any  # (cells,) uint64, the cell that a stone lies on; 0 = none is needed
    above: Any  # (cells,) uint64, the cells that must be free for a stone to come there
    gravity: Any  # bool
    table: Any  # (2 ** KEPT_BITS,) uint64, positions that were searched
    scratch: Any  # (cells, cells) int64, a row for each number of stones; no two calls share it


@lru_cache(16)
def rule_of(rows: int, cols: int, line: int, gravity: bool) -> Rule:
    """The lines of a board, with a table for its positions.

    The table only saves time: it holds what the search would find again, so values are the same
    whatever was searched before. A word of it is read and written at once, so threads may share it.

    Args:
        rows: of the board; ``rows * cols`` is :data:`MAX_CELLS` at most.
        cols: of the board.
        line: stones in a row, column or diagonal that win.
        gravity: stones fall to the lowest free cell of their column.
    """
    cells = rows * cols
    through = [list[int]() for _ in range(cells)]
    masks = list[int]()
    for row_step, column_step in ((0, 1), (1, 0), (1, 1), (1, -1)):
        for cell in range(cells):
            row, column = divmod(cell, cols)
            last_row = row + row_step * (line - 1)
            last_column = column + column_step * (line - 1)
            if not (0 <= last_row < rows and 0 <= last_column < cols):
                continue
            members = [cell + index * (row_step * cols + column_step) for index in range(line)]
            for member in members:
                through[member].append(len(masks))
            masks.append(sum(1 << member for member in members))
    most = max(map(len, through))
    order = sorted(range(cells), key=lambda cell: (-len(through[cell]), cell))
    support = np.zeros(cells, np.uint64)
    above = np.zeros(cells, np.uint64)
    if gravity:
        for cell in range(cells):
            support[cell] = 1 << (cell + cols) if cell + cols < cells else 0
            above[cell] = sum(1 << higher for higher in range(cell - cols, -1, -cols))
    return Rule(
        np.array(masks, np.uint64),
        np.array([[*of_cell, *[-1] * (most - len(of_cell))] for of_cell in through], np.int64),
        np.array(order, np.int64),
        support,
        above,
        gravity,
        np.zeros(1 << KEPT_BITS, np.uint64),
        np.zeros((cells, cells), np.int64),
    )


@inner
def _bit(cell):
    return np.uint64(1) << np.uint64(cell)


@inner
def _may_fill(taken, cell, rule):
    """Whether a stone may come on a cell, where the cells of ``taken`` have one."""
    if taken & (_bit(cell) | rule.above[cell]):
        return False
    return rule.support[cell] == 0 or taken & rule.support[cell] != 0


@inner
def _completes(stones, cell, rule):
    """Whether a stone on a cell makes a line of those of one side."""
    with_stone = stones | _bit(cell)
    for index in rule.through[cell]:
        if index < 0:
            break
        if with_stone & rule.lines[index] == rule.lines[index]:
            return True
    return False


@inner
def _can_win(other, rule):
    """Whether a line is left without a stone of the other side."""
    for line in rule.lines:  # noqa: SIM110 - kernels take no generators
        if other & line == 0:
            return True
    return False


@inner
def _weight(stones):
    """What the stones of one side promise in a line that the other side has no stone in: more for
    one, and for two or more.
    """
    if stones & (stones - np.uint64(1)):
        return 16
    return 4 if stones else 1


@inner
def _weigh(own, other, promise, rule):
    """Write what a stone on each cell promises, by the lines through it that are left; -1 where
    none may come, or no line is left: such a stone is like none, which without gravity is never
    better than one elsewhere.
    """
    for cell in rule.order:
        promise[cell] = -1
        if not _may_fill(own | other, cell, rule):
            continue
        value = 0
        for index in rule.through[cell]:
            if index < 0:
                break
            line = rule.lines[index]
            if other & line == 0:
                value += _weight(own & line)
            if own & line == 0:
                value += _weight(other & line)
        if value:
            promise[cell] = value


@inner
def _take_best(promise, order):
    """Take the most promising cell, of equal ones the first of the order; -1 where none is left."""
    best = -1
    for cell in order:
        if promise[cell] >= 0 and (best < 0 or promise[cell] > promise[best]):
            best = cell
    if best >= 0:
        promise[best] = -1
    return best


@inner
def _can_hold(own, other, pairs, rule):
    """Whether the side ``own`` surely keeps all lines of the other shut, whoever is to move: each
    that is left has a pair of free cells, no two of which share a cell, so that it can answer in
    the second where the other side fills the first. A greedy search, which may miss such pairs.

    pairs (at least half of the cells) int64, to be written over.
    """
    used = np.uint64(0)
    count = 0
    for size in range(2, LONGEST + 1):
        for line in rule.lines:
            free = line & ~other
            if own & line or not _has_size(free, size):
                continue
            is_shut = False
            for index in range(count):
                is_shut |= np.uint64(pairs[index]) & ~line == 0
            if is_shut:
                continue
            free &= ~used
            without_first = free & (free - np.uint64(1))
            if without_first == 0:
                return False
            pair = free ^ without_first & (without_first - np.uint64(1))
            pairs[count] = np.int64(pair)
            count += 1
            used |= pair
    return True


@inner
def _has_size(cells, size):
    """Whether so many bits are set."""
    for _ in range(size):
        if cells == 0:
            return False
        cells &= cells - np.uint64(1)
    return cells == 0


@inner
def _key(own, other, rule):
    """A word for a position: one for each on 32 cells; on more, a hash of 64 bits."""
    if len(rule.order) <= 32:
        return mix64(own | other << np.uint64(32))
    return mix64(mix64(own) ^ other)


# A word of the table, from the highest bit: what is left of a key, whose lowest bits are the place
# of the word; 7 bits for the depth; 2 for what the value is; 8 for the value, from -128.
@inner
def _kept(own, other, depth, rule):
    """Value and kind of what is kept of a position and holds at this depth; the kind is 0 if
    nothing is. Who wins after fewer stones wins as soon where more are looked at.
    """
    key = _key(own, other, rule)
    word = rule.table[key & np.uint64((1 << KEPT_BITS) - 1)]
    if word >> np.uint64(KEPT_BITS) != key >> np.uint64(KEPT_BITS):
        return 0, 0
    low = np.int64(word & np.uint64((1 << KEPT_BITS) - 1))
    value = (low & 255) - 128
    kind = low >> 8 & 3
    if low >> 10 != depth:
        is_won = kind & _BELOW and value > 0
        is_lost = kind & _ABOVE and value < 0
        if low >> 10 > depth or not (is_won or is_lost):
            return 0, 0
    return value, kind


@inner
def _keep(own, other, depth, value, kind, rule):
    key = _key(own, other, rule)
    place = key & np.uint64((1 << KEPT_BITS) - 1)
    rest = key >> np.uint64(KEPT_BITS) << np.uint64(KEPT_BITS)
    rule.table[place] = rest | np.uint64(depth << 10 | kind << 8 | value + 128)


@kernel
def _search(own, other, stones, depth, low, high, rule):
    """The value of a position for the side ``own``, which is to move, if both play best for
    ``depth`` more stones and what is then undecided is a draw; exact between ``low`` and ``high``,
    else the nearer of the two.

    own, other uint64, neither with a line; stones: how many lie.
    """
    depth = min(depth, len(rule.order) - stones)
    if low > 0:
        depth = min(depth, _MOST - low - 1 - stones)  # only sooner wins count
    if high < 0:
        depth = min(depth, _MOST + high - 1 - stones)  # only sooner losses count
    even = min(max(0, low), high)
    if depth < 1:
        return even
    taken = own | other
    block = -1
    threats = 0
    choices = 0
    for cell in rule.order:
        if not _may_fill(taken, cell, rule):
            continue
        choices += 1
        bit = _bit(cell)
        for index in rule.through[cell]:
            if index < 0:
                break
            rest = rule.lines[index] ^ bit
            if own & rest == rest:
                return _MOST - (stones + 1)
            if other & rest == rest and block != cell:
                block = cell
                threats += 1
    if choices == 0:
        return even
    if depth < 2:
        return even
    if threats > 1:
        return -(_MOST - (stones + 2))
    if depth == 2 and threats == 0 and not rule.gravity:
        return even
    high = min(high, _MOST - (stones + 3))
    if low >= high:
        return high
    row = rule.scratch[stones]
    is_kept = threats == 0 and depth > 2
    if is_kept:
        value, kind = _kept(own, other, depth, rule)
        if kind & _BELOW and value >= high:
            return high
        if kind & _ABOVE and value <= low:
            return low
        if kind == _EXACT:
            return value
        if rule.gravity:
            is_held = not _can_win(other, rule)
            holds = not _can_win(own, rule)
        else:
            is_held = high > 0 and _can_hold(other, own, row, rule)
            holds = low < 0 and _can_hold(own, other, row, rule)
        if is_held:
            high = min(high, 0)
        if holds:
            low = max(low, 0)
        if low >= high:
            return even
    best = low
    is_weighed = threats == 0 and not rule.gravity
    if is_weighed:
        _weigh(own, other, row, rule)
    for turn in range(len(rule.order)):
        cell = _take_best(row, rule.order) if is_weighed else rule.order[turn]
        if cell < 0:
            break
        if (threats and cell != block) or not _may_fill(taken, cell, rule):
            continue
        after = own | _bit(cell)
        best = max(best, -_search(other, after, stones + 1, depth - 1, -high, -best, rule))
        if best >= high:
            break
    if is_kept:
        kind = _BELOW if best >= high else _ABOVE if best <= low else _EXACT
        _keep(own, other, depth, best, kind, rule)
    return best


@inner
def _worth(own, other, stones, cell, depth, rule):
    """The value of a stone of ``own`` on a cell, as in :func:`values`."""
    if _completes(own, cell, rule):
        return 0.99
    after = own | _bit(cell)
    near = min(NEAR, depth) - 1
    found = -_search(other, after, stones + 1, near, -_MOST, _MOST, rule)
    if found > 0:
        return 1 - 0.01 * (_MOST - found - stones)
    if found < 0:
        return 0.01 * (_MOST + found - stones) - 1
    if depth > NEAR:
        return -0.5 * _search(other, after, stones + 1, depth - 1, -1, 1, rule)
    return 0.0


@inner
def _stones_of(board, side):
    """The cells of one side as a word."""
    stones = np.uint64(0)
    cols = board.shape[1]
    for cell in range(board.size):
        if board[cell // cols, cell % cols] == side:
            stones |= _bit(cell)
    return stones


@kernel
def _values(boards, skip, side, ahead, rest, rule, value):
    """``value`` (B, cells): of a stone of ``side`` on each cell; NaN where none may come."""
    cells = len(rule.order)
    for game in range(len(boards)):
        value[game] = np.nan
        if skip[game]:
            continue
        own = _stones_of(boards[game], side)
        other = _stones_of(boards[game], 3 - side)
        stones = 0
        for cell in range(cells):
            stones += (own | other) & _bit(cell) != 0
        depth = ahead if cells - stones > rest else cells
        for cell in rule.order:
            if _may_fill(own | other, cell, rule):
                value[game, cell] = _worth(own, other, stones, cell, depth, rule)


@kernel
def _mark_free(boards, side, rule, free):
    """``free`` (B, cells): where a stone may come; but for ``side`` 0, where it makes no line of
    that side.
    """
    for game in range(len(boards)):
        own = _stones_of(boards[game], side)
        taken = _stones_of(boards[game], 1) | _stones_of(boards[game], 2)
        for cell in rule.order:
            may_fill = _may_fill(taken, cell, rule)
            free[game, cell] = may_fill and not (side and _completes(own, cell, rule))


@kernel
def _find_results(boards, rule, results):
    for game in range(len(boards)):
        result = 0
        for side in range(1, 3):
            stones = _stones_of(boards[game], side)
            for line in rule.lines:
                if stones & line == line:
                    result |= side
                    break
        if result == 0:
            taken = _stones_of(boards[game], 1) | _stones_of(boards[game], 2)
            result = DRAWN
            for cell in rule.order:
                if _may_fill(taken, cell, rule):
                    result = OPEN
                    break
        results[game] = result


def results(board: Boards, rule: Rule) -> NDArray[np.int64]:
    """``(B,)``: :data:`OPEN`, the side that has a line, or :data:`DRAWN`, where nothing can be
    filled or both have one.
    """
    found = np.empty(len(board), np.int64)
    _find_results(board, rule, found)
    return found


def free_cells(board: Boards, rule: Rule, quiet_for: int = 0) -> Marks:
    """``(B, cells)``: where the next stone may come.

    Args:
        board: ``(B, rows, cols)``.
        rule: of the board.
        quiet_for: a side: only where its stone makes no line.
    """
    free = np.empty((len(board), len(rule.order)), bool)
    _mark_free(board, quiet_for, rule, free)
    return free


def values(board: Boards, side: int, skip: Marks, rule: Rule, ahead: int, rest: int) -> Values:
    """What a stone of one side on each cell leads to, ``(B, cells)``, if both sides play best; NaN
    where none may come.

    ``1 - 0.01 * n`` wins with the n-th stone from now, this one counted, and ``0.01 * n - 1`` loses
    with it, for n up to :data:`NEAR`; 0.5 wins later, -0.5 loses later; 0 is a draw, or undecided.

    Args:
        board: ``(B, rows, cols)``, 0 = free, 1 and 2 = the sides; without a line where ``skip`` is
            False.
        side: that is to move.
        skip: ``(B,)`` games that nothing is asked of.
        rule: of the board.
        ahead: stones that are looked ahead, this one counted.
        rest: on boards with so many free cells or fewer, all is searched to the end.
    """
    value = np.empty((len(board), len(rule.order)))
    rule = rule._replace(scratch=np.empty_like(rule.scratch))
    _values(board, skip, side, ahead, rest, rule, value)
    return value
