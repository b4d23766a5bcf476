"""Paths through empty cells with few bends, and the pairs of equal tiles that they join."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from vlmgym.core import NO_ACTION, draw64, draw_below, mix64, share
from vlmgym.core.kernels import apart, bit_length, inner, kernel


# A board is (rows, cols) uint8: 0 = empty, else a type. A pair is first cell * cells + second cell.
# Paths are found on bits: the empty places of each row and column, the margin included, are one
# number each.
#
# . 3 .        with a margin of 1, the middle row of a board whose only row is ". 3 ." is 0b11011:
#              bit k is place k, and the tile is on place 2
class TileIndex(NamedTuple):
    """What :func:`read_board` writes down of a board; int64."""

    across: Any  # the empty places of each row, a bit each, the margin included
    down: Any  # those of each column
    next_cell: Any  # of a cell: the next cell of its type, -1 after the last
    first_cell: Any  # (256,) of a type: its first cell, -1 without one
    row: Any  # of a cell: its row, the margin included
    column: Any  # and its column
    max_bends: int  # right-angle turns that a path may take
    margin: int  # cells that it may run outside the board


@kernel
def index_for(board, max_bends, margin):
    """A :class:`TileIndex` for boards of this size, to be written by :func:`read_board`."""
    rows, cols = board.shape[-2:]
    cells = rows * cols
    row = np.empty(cells, np.int64)
    column = np.empty(cells, np.int64)
    for cell in range(cells):
        row[cell] = cell // cols + margin
        column[cell] = cell % cols + margin
    across = np.empty(rows + 2 * margin, np.int64)
    down = np.empty(cols + 2 * margin, np.int64)
    next_cell = np.empty(cells, np.int64)
    first_cell = np.empty(256, np.int64)
    return TileIndex(across, down, next_cell, first_cell, row, column, max_bends, margin)


@inner
def read_board(board, index):
    """Write down where the tiles of a board and the empty places are."""
    across = index.across
    down = index.down
    next_cell = index.next_cell
    first_cell = index.first_cell
    margin = index.margin
    rows, cols = board.shape
    across[:] = (1 << len(down)) - 1
    down[:] = (1 << len(across)) - 1
    first_cell[:] = -1
    cell = rows * cols
    for row in range(rows - 1, -1, -1):
        for column in range(cols - 1, -1, -1):
            cell -= 1
            kind = board[row, column]
            if kind:
                across[row + margin] ^= 1 << (column + margin)
                down[column + margin] ^= 1 << (row + margin)
                next_cell[cell] = first_cell[kind]
                first_cell[kind] = cell


@inner
def _arms(line, place):
    """The places that straight paths from ``place`` reach on a line of empty places, and ``place``
    itself.
    """
    bit = np.int64(1) << place
    above = line & -(bit << 1)
    wall = bit_length(~line & (bit - 1))  # a sum carries through the empty places above
    return above & ~(above + (bit << 1)) | bit | (bit - 1) >> wall << wall


@inner
def _has_trunk(lines, start, start_place, goal, goal_place, bends):
    """Whether a straight trunk from line ``start`` to line ``goal`` joins two tiles, each by an arm
    along its own line.

    ``bends`` 0 to 2: a path bends wherever the trunk does not stand on the place of the tile
    itself.
    """
    trunks = _arms(lines[start], start_place) & _arms(lines[goal], goal_place)
    if bends < 2 and start != goal:  # on one line the trunk is but a point of a straight path
        start_bit = np.int64(1) << start_place
        goal_bit = np.int64(1) << goal_place
        trunks &= start_bit | goal_bit if bends else start_bit & goal_bit
    line = min(start, goal) + 1
    while trunks and line < max(start, goal):
        trunks &= lines[line]
        line += 1
    return trunks != 0


@inner
def _has_long_path(across, row, column, goal_row, goal_column, bends):
    """Whether a path of up to ``bends`` bends joins two places: line after line from the first,
    along both axes.
    """
    rows = len(across)
    flat = np.zeros(rows, np.int64)  # places that a horizontal line leads to,
    steep = np.zeros(rows, np.int64)  # and a vertical one
    flat[row] = steep[row] = 1 << column
    for _ in range(bends + 1):
        flat_before = flat.copy()
        for line in range(rows):
            spread = steep[line]
            swept = 0
            while spread:
                swept |= spread
                spread = (spread << 1 | spread >> 1) & across[line] & ~swept
            flat[line] |= swept
        for direction in (1, -1):
            carried = 0
            for index in range(rows):
                line = index if direction == 1 else rows - 1 - index
                carried = (carried & across[line]) | flat_before[line]
                steep[line] |= carried
    beside = flat[goal_row] & (1 << goal_column + 1 | 1 << goal_column >> 1)
    above_or_below = 0
    if goal_row > 0:
        above_or_below |= steep[goal_row - 1]
    if goal_row + 1 < rows:
        above_or_below |= steep[goal_row + 1]
    return beside != 0 or above_or_below >> goal_column & 1 != 0


@apart
def linked(index, first, second):
    """Whether a path joins two tiles; whether they are of one type is not asked."""
    across = index.across
    down = index.down
    row1 = index.row[first]
    column1 = index.column[first]
    row2 = index.row[second]
    column2 = index.column[second]
    bends = index.max_bends
    if abs(row1 - row2) + abs(column1 - column2) == 1:
        return True
    few = min(bends, 2)
    if _has_trunk(across, row1, column1, row2, column2, few):
        return True
    if _has_trunk(down, column1, row1, column2, row2, few):
        return True
    return bends > 2 and _has_long_path(across, row1, column1, row2, column2, bends)


@kernel
def joined(board, first, second, index):
    """Whether two cells hold tiles of one type that a path joins."""
    cols = board.shape[1]
    kind = board[first // cols, first % cols]
    if first == second or kind == 0 or board[second // cols, second % cols] != kind:
        return False
    read_board(board, index)
    return linked(index, first, second)


@apart
def find_pairs(board, index, most, pairs):
    """The first ``most`` joinable pairs in reading order as rows of ``pairs``; returns their
    number, which may be larger than its length.
    """
    read_board(board, index)
    next_cell = index.next_cell
    cols = board.shape[1]
    count = 0
    for first in range(board.size):
        if board[first // cols, first % cols]:
            second = next_cell[first]
            while second >= 0:
                if linked(index, first, second):
                    if count < len(pairs):
                        pairs[count, 0] = first
                        pairs[count, 1] = second
                    count += 1
                    if count == most:
                        return count
                second = next_cell[second]
    return count


@kernel
def list_pairs(board, index, most, pairs):
    """What :func:`find_pairs` does, for Python."""
    return find_pairs(board, index, most, pairs)


@inner
def any_pair(board, index, no_pairs):
    """Whether a pair is left; most boards have two equal neighbours, which are joined at once.

    ``no_pairs`` is ``(0, 2)``.
    """
    rows, cols = board.shape
    for row in range(rows):
        for column in range(cols):
            kind = board[row, column]
            if kind and (
                (row and board[row - 1, column] == kind)
                or (column and board[row, column - 1] == kind)
            ):
                return True
    return find_pairs(board, index, 1, no_pairs) > 0


@kernel
def mark_pairs(boards, ended, max_bends, margin, legal):
    """Mark the pairs that a path joins, in either order, ``(B, A)``."""
    cells = boards.shape[1] * boards.shape[2]
    index = index_for(boards, max_bends, margin)
    pairs = np.empty((cells * cells // 2, 2), np.int64)
    for game in range(len(boards)):
        if not ended[game]:
            for pair in range(find_pairs(boards[game], index, len(pairs) + 1, pairs)):
                first = pairs[pair, 0]
                second = pairs[pair, 1]
                legal[game, first * cells + second] = legal[game, second * cells + first] = True


@inner
def _try_draws(board, index, word, tiles, counts):
    """Draw two tiles of one type, up to four times as often as there are tiles, until a path joins
    them; the pair, or -1.

    ``word`` is the first draw; ``tiles`` and ``counts`` have an int64 for each cell and type.
    """
    rows, cols = board.shape
    counts[:] = 0
    tile_count = 0
    most = 0
    cell = 0
    for row in range(rows):
        for column in range(cols):
            kind = board[row, column]
            if kind:
                tiles[tile_count] = cell
                tile_count += 1
                counts[kind] += 1
                most = max(most, counts[kind])
            cell += 1
    next_cell = index.next_cell
    first_cell = index.first_cell
    for attempt in range(4 * tile_count):
        word = mix64(word ^ np.uint64(attempt))
        first = tiles[share(word >> np.uint64(32), tile_count)]
        kind = board[first // cols, first % cols]
        skip = share(word & np.uint64(0xFFFFFFFF), most - 1)
        # rarer types are drawn less often, so that all pairs are alike
        if skip < counts[kind] - 1:
            second = first_cell[kind]
            while skip > 0 or second == first:
                skip -= second != first
                second = next_cell[second]
            if linked(index, first, second):
                return first * rows * cols + second
    return -1


@kernel
def draw_pair(boards, ended, seeds, steps, number, max_bends, margin):
    """Draw two tiles of one type, all ordered pairs alike, until a path joins them; or one of all,
    if few are joined; ``(B,)``, -1 where there is none.
    """
    cells = boards.shape[1] * boards.shape[2]
    index = index_for(boards, max_bends, margin)
    pairs = np.empty((cells * cells // 2, 2), np.int64)
    tiles = np.empty(cells, np.int64)
    counts = np.empty(256, np.int64)
    drawn = np.empty(len(boards), np.int64)
    for game in range(len(boards)):
        drawn[game] = NO_ACTION
        if ended[game]:
            continue
        board = boards[game]
        seed = seeds[game]
        step = steps[game]
        read_board(board, index)
        drawn[game] = _try_draws(board, index, draw64(seed, step, number), tiles, counts)
        if drawn[game] < 0:
            total = find_pairs(board, index, len(pairs) + 1, pairs)
            if total:
                choice = draw_below(seed, step, number + 1, 2 * total)
                first = pairs[choice // 2, choice % 2]
                second = pairs[choice // 2, 1 - choice % 2]
                drawn[game] = first * cells + second
    return drawn


@kernel
def try_pairs(boards, ended, actions, max_bends, margin, good):
    """Whether a path joins each of some pairs, ``(B, n)``."""
    cells = boards.shape[1] * boards.shape[2]
    index = index_for(boards, max_bends, margin)
    for game in range(len(boards)):
        read_board(boards[game], index)
        flat = boards[game].reshape(cells)
        for place in range(actions.shape[1]):
            action = actions[game, place]
            first = action // cells
            second = action % cells
            good[game, place] = False
            if (
                not ended[game]
                and action >= 0
                and first != second
                and flat[first]
                and flat[first] == flat[second]
            ):
                good[game, place] = linked(index, first, second)
