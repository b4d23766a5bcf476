"""Paths through empty cells with few bends, and the pairs of equal tiles that they join."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from vlmgym.core import draw64, draw_below, mix64, share
from vlmgym.core.kernels import apart, bit_length, inner, kernel


# A board is (rows, cols) uint8: 0 = empty, else a type. A pair is first cell * cells + second cell.
# Paths are found on
# bits: the empty places of each row and column, the margin included, are one number each.
#
# . 3 .        with a margin of 1, the middle row of a board whose only row is ". 3 ." is 0b11011:
# bit k is place k,
#                  and the tile is on place 2
class Sight(NamedTuple):
    """Room for what :func:`look` sees of a board; int64."""

    across: Any  # the empty places of each row, a bit each, the margin included
    down: Any  # those of each column
    after: Any  # of a cell: the next cell of its type, -1 after the last
    first: Any  # (256,) of a type: its first cell, -1 without one
    row: Any  # of a cell: its row, the margin included
    col: Any  # and its column


@kernel
def sight_of(board, margin):
    """Room for :func:`look`, for boards of this size."""
    rows, cols = board.shape[-2:]
    cells = rows * cols
    row = np.empty(cells, np.int64)
    col = np.empty(cells, np.int64)
    for cell in range(cells):
        row[cell] = cell // cols + margin
        col[cell] = cell % cols + margin
    across = np.empty(rows + 2 * margin, np.int64)
    down = np.empty(cols + 2 * margin, np.int64)
    return Sight(across, down, np.empty(cells, np.int64), np.empty(256, np.int64), row, col)


@inner
def look(board, margin, sight):
    """See where the tiles of a board and the empty places are."""
    across = sight.across
    down = sight.down
    after = sight.after
    first = sight.first
    rows, cols = board.shape
    across[:] = (1 << len(down)) - 1
    down[:] = (1 << len(across)) - 1
    first[:] = -1
    cell = rows * cols
    for r in range(rows - 1, -1, -1):
        for c in range(cols - 1, -1, -1):
            cell -= 1
            kind = board[r, c]
            if kind:
                across[r + margin] ^= 1 << (c + margin)
                down[c + margin] ^= 1 << (r + margin)
                after[cell] = first[kind]
                first[kind] = cell


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
def _trunk(lines, one, other, at_one, at_other, bends):
    """Whether a straight trunk from line to line joins two tiles, each by an arm along its own
    line.

    ``bends`` 0 to 2: a path bends wherever the trunk does not stand on the place of the tile
    itself.
    """
    ways = _arms(lines[one], at_one) & _arms(lines[other], at_other)
    if bends < 2 and one != other:  # on one line the trunk is but a point of a straight path
        ends = np.int64(1) << at_one, np.int64(1) << at_other
        ways &= ends[0] | ends[1] if bends else ends[0] & ends[1]
    k = min(one, other) + 1
    while ways and k < max(one, other):
        ways &= lines[k]
        k += 1
    return ways != 0


@inner
def _far(across, r1, c1, r2, c2, bends):
    """Whether a path of up to ``bends`` bends joins two places: line after line from the first,
    along both axes.
    """
    high = len(across)
    flat = np.zeros(high, np.int64)  # places that a horizontal line leads to,
    steep = np.zeros(high, np.int64)  # and a vertical one
    flat[r1] = steep[r1] = 1 << c1
    for _ in range(bends + 1):
        old = flat.copy()
        for r in range(high):
            spread = steep[r]
            swept = 0
            while spread:
                swept |= spread
                spread = (spread << 1 | spread >> 1) & across[r] & ~swept
            flat[r] |= swept
        for sign in (1, -1):
            carry = 0
            for k in range(high):
                r = k if sign == 1 else high - 1 - k
                carry = (carry & across[r]) | old[r]
                steep[r] |= carry
    beside = flat[r2] & (1 << c2 + 1 | 1 << c2 >> 1)
    over = 0
    if r2 > 0:
        over |= steep[r2 - 1]
    if r2 + 1 < high:
        over |= steep[r2 + 1]
    return beside != 0 or over >> c2 & 1 != 0


@apart
def linked(sight, a, b, bends):
    """Whether a path joins two tiles; whether they are of one type is not asked."""
    across = sight.across
    down = sight.down
    r1 = sight.row[a]
    c1 = sight.col[a]
    r2 = sight.row[b]
    c2 = sight.col[b]
    if abs(r1 - r2) + abs(c1 - c2) == 1:
        return True
    least = min(bends, 2)
    if _trunk(across, r1, r2, c1, c2, least) or _trunk(down, c1, c2, r1, r2, least):
        return True
    return bends > 2 and _far(across, r1, c1, r2, c2, bends)


@kernel
def joined(board, a, b, bends, margin, sight):
    """Whether cells ``a`` and ``b`` hold two tiles of one type that a path joins."""
    cols = board.shape[1]
    kind = board[a // cols, a % cols]
    if a == b or kind == 0 or board[b // cols, b % cols] != kind:
        return False
    look(board, margin, sight)
    return linked(sight, a, b, bends)


@apart
def find_pairs(board, margin, bends, sight, most, found):
    """The first ``most`` joinable pairs in reading order as rows of ``found``; returns their
    number.
    """
    look(board, margin, sight)
    after = sight.after
    cols = board.shape[1]
    count = 0
    for a in range(board.size):
        if board[a // cols, a % cols]:
            b = after[a]
            while b >= 0:
                if linked(sight, a, b, bends):
                    if count < len(found):
                        found[count, 0] = a
                        found[count, 1] = b
                    count += 1
                    if count == most:
                        return count
                b = after[b]
    return count


@kernel
def list_pairs(board, margin, bends, sight, most, found):
    """What :func:`find_pairs` does, for Python."""
    return find_pairs(board, margin, bends, sight, most, found)


@inner
def any_pair(board, margin, bends, sight, none):
    """Whether a pair is left; most boards have two equal neighbours, which are joined at once."""
    rows, cols = board.shape
    for r in range(rows):
        for c in range(cols):
            if board[r, c] and (
                (r and board[r - 1, c] == board[r, c]) or (c and board[r, c - 1] == board[r, c])
            ):
                return True
    return find_pairs(board, margin, bends, sight, 1, none) > 0


@kernel
def mark_pairs(board, ended, max_bends, margin, legal):
    """Mark the pairs that a path joins, in either order, ``(B, A)``."""
    cells = board.shape[1] * board.shape[2]
    sight = sight_of(board, margin)
    found = np.empty((cells * cells // 2, 2), np.int64)
    for b in range(len(board)):
        if not ended[b]:
            for i in range(find_pairs(board[b], margin, max_bends, sight, len(found) + 1, found)):
                first = found[i, 0]
                second = found[i, 1]
                legal[b, first * cells + second] = legal[b, second * cells + first] = True


@kernel
def draw_pair(board, ended, seeds, steps, number, max_bends, margin, out):
    """Draw two tiles of one type, all ordered pairs alike, until a path joins them; or one of all,
    if few are joined.
    """
    cols = board.shape[2]
    cells = board.shape[1] * board.shape[2]
    sight = sight_of(board, margin)
    found = np.empty((cells * cells // 2, 2), np.int64)
    tiles = np.empty(cells, np.int64)
    counts = np.empty(256, np.int64)
    for b in range(len(board)):
        out[b] = -1
        if ended[b]:
            continue
        look(board[b], margin, sight)
        counts[:] = 0
        number_of_tiles = 0
        most = 0
        cell = 0
        for r in range(board.shape[1]):
            for c in range(cols):
                kind = board[b, r, c]
                if kind:
                    tiles[number_of_tiles] = cell
                    number_of_tiles += 1
                    counts[kind] += 1
                    most = max(most, counts[kind])
                cell += 1
        after = sight.after
        first = sight.first
        word = draw64(seeds[b], steps[b], number)
        for k in range(4 * number_of_tiles):
            word = mix64(word ^ np.uint64(k))
            one = tiles[share(word >> np.uint64(32), number_of_tiles)]
            kind = board[b, one // cols, one % cols]
            skip = share(word & np.uint64(0xFFFFFFFF), most - 1)
            # rarer types are drawn less often, so that all pairs are alike
            if skip < counts[kind] - 1:
                other = first[kind]
                while skip > 0 or other == one:
                    skip -= other != one
                    other = after[other]
                if linked(sight, one, other, max_bends):
                    out[b] = one * cells + other
                    break
        if out[b] < 0:
            total = find_pairs(board[b], margin, max_bends, sight, len(found) + 1, found)
            if total:
                k = draw_below(seeds[b], steps[b], number + 1, 2 * total)
                out[b] = found[k // 2, k % 2] * cells + found[k // 2, 1 - k % 2]


@kernel
def try_pairs(board, ended, actions, max_bends, margin, good):
    """Whether a path joins each of some pairs, ``(B, n)``."""
    cells = board.shape[1] * board.shape[2]
    sight = sight_of(board, margin)
    for b in range(len(board)):
        look(board[b], margin, sight)
        flat = board[b].reshape(cells)
        for k in range(actions.shape[1]):
            one = actions[b, k] // cells
            other = actions[b, k] % cells
            good[b, k] = False
            if (
                not ended[b]
                and actions[b, k] >= 0
                and one != other
                and flat[one]
                and flat[one] == flat[other]
            ):
                good[b, k] = linked(sight, one, other, max_bends)
