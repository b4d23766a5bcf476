"""Lines of equal tiles: how long they are, which swaps of neighbours make one, and how tiles fall
where they vanish.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vlmgym.core import draw_below
from vlmgym.core.kernels import inner, kernel


@kernel
def swap_cells(action, rows, cols):
    """The two cells of a swap: row, column, row, column."""
    across = rows * (cols - 1)
    if action < across:
        r = action // (cols - 1)
        c = action % (cols - 1)
        return r, c, r, c + 1
    r = (action - across) // cols
    c = (action - across) % cols
    return r, c, r + 1, c


# A board is (rows, cols) uint8: 0 = empty, else a tile. The loops below run over a flat board whose
# rows are ROW bytes
# apart, with empty cells around the board, so that neighbours are at fixed distances and the
# compiler can treat many cells
# at once; `Z if ... else` keeps it to comparisons and masks.
ROW = 17  # the most columns, and an empty cell that ends the row before and begins the next
Z = np.uint8(0)
ONE = np.uint8(1)


class Room(NamedTuple):
    """Room to measure a board in: flat uint8 arrays of ``(rows + 4) * ROW`` cells, if nothing else
    is said.
    """

    tiles: Any
    right: Any  # lengths of the runs of equal tiles that begin in a cell, to the right,
    left: Any  # to the left,
    down: Any  # down,
    up: Any  # and up
    beside: Any  # whether the next cell is equal
    below: Any  # whether the cell below is equal
    spare: Any
    marks: Any  # tiles that stand in lines
    # swaps that are allowed: with the next cell, then, a board further on, with the one below
    fits: Any
    places: Any  # (A,) int64, the place of each action in fits


@kernel
def room_for(rows, cols):
    """Room for :func:`measure` and :func:`find_swaps`."""
    size = (rows + 4) * ROW
    across = rows * (cols - 1)
    places = np.empty(across + (rows - 1) * cols, np.int64)
    for action in range(len(places)):
        r, c, _, _ = swap_cells(action, rows, cols)
        places[action] = (r + 1) * ROW + c + size * (action >= across)
    cells = np.zeros((9, size), np.uint8)
    return Room(
        cells[0],
        cells[1],
        cells[2],
        cells[3],
        cells[4],
        cells[5],
        cells[6],
        cells[7],
        cells[8],
        np.zeros(2 * size, np.uint8),
        places,
    )


def _runs_by(name, step):  # type: ignore[no-untyped-def]
    def runs(tiles, forth, back, equal, spare, line):
        """Lengths of the runs of equal tiles by steps of one or of a row, forth and back, right up
        to ``line``.
        """
        for k in range(len(tiles) - step):
            same = np.uint8(tiles[k] == tiles[k + step])
            equal[k] = same
            forth[k] = ONE + same
        for k in range(len(tiles) - step):
            back[k + step] = ONE + equal[k]
        for _ in range(line - 2):
            for k in range(len(tiles) - step):
                spare[k] = back[k]
                run = forth[k + step]
                forth[k] = ONE + (run if equal[k] else Z)
            for k in range(len(tiles) - step):
                run = spare[k]
                back[k + step] = ONE + (run if equal[k] else Z)

    runs.__qualname__ = name
    return inner(runs)


def _find_by(name, step, side):  # type: ignore[no-untyped-def]
    def find(tiles, forth, back, one, other, fits, count, line):
        """Which swaps of a cell and the one a step on bring a tile into a line, from the runs by
        steps and to the sides.
        """
        need = np.uint8(line - 1)
        for k in range(count):
            p = k + ROW
            a = tiles[p]
            b = tiles[p + step]
            ahead = forth[p + 2 * step]
            behind = back[p - step]
            a_one = one[p + step - side]
            a_other = other[p + step + side]
            b_one = one[p - side]
            b_other = other[p + side]
            ahead = ahead if tiles[p + 2 * step] == a else Z
            behind = behind if tiles[p - step] == b else Z
            a_sides = (a_one if tiles[p + step - side] == a else Z) + (
                a_other if tiles[p + step + side] == a else Z
            )
            b_sides = (b_one if tiles[p - side] == b else Z) + (
                b_other if tiles[p + side] == b else Z
            )
            longest = max(max(ahead, np.uint8(a_sides)), max(behind, np.uint8(b_sides)))
            fits[k] = (
                np.uint8(longest >= need) & np.uint8(a != b) & np.uint8(a != Z) & np.uint8(b != Z)
            )

    find.__qualname__ = name
    return inner(find)


_runs_across = _runs_by("_runs_across", 1)
_runs_along = _runs_by("_runs_along", ROW)
_find_across = _find_by("_find_across", 1, ROW)
_find_along = _find_by("_find_along", ROW, 1)


@inner
def measure(board, room, line):
    """Copy the tiles and measure their runs, up to a length of ``line``."""
    rows, cols = board.shape
    tiles = room.tiles
    for r in range(rows):
        for c in range(cols):
            tiles[(r + 1) * ROW + c] = board[r, c]
    _runs_across(tiles, room.right, room.left, room.beside, room.spare, line)
    _runs_along(tiles, room.down, room.up, room.below, room.spare, line)


@inner
def find_swaps(board, room, line):
    """Find the swaps that are allowed on a measured board, those that bring a tile into a line;
    returns their number.
    """
    tiles = room.tiles
    fits = room.fits
    count = len(board) * ROW
    _find_across(tiles, room.right, room.left, room.up, room.down, fits[ROW:], count, line)
    _find_along(
        tiles, room.down, room.up, room.left, room.right, fits[len(tiles) + ROW :], count, line
    )
    number = 0
    for k in range(len(fits)):
        number += fits[k]
    return number


@kernel
def exchange(board, action):
    """Swap the two cells of an action."""
    r, c, i, j = swap_cells(action, *board.shape)
    board[r, c], board[i, j] = board[i, j], board[r, c]


@kernel
def mark_lines(board, line, room):
    """Measure the board and mark the tiles that stand in lines; returns their number."""
    measure(board, room, line)
    tiles = room.tiles
    right = room.right
    left = room.left
    down = room.down
    up = room.up
    marks = room.marks
    count = 0
    for k in range(len(marks)):
        longest = max(np.uint8(right[k] + left[k]), np.uint8(down[k] + up[k]))
        marks[k] = np.uint8(tiles[k] != Z) & np.uint8(longest > np.uint8(line))
    for k in range(len(marks)):
        count += marks[k]
    return count


@inner
def fall(board, marks):
    """Take the marked tiles away and let the columns fall."""
    rows, cols = board.shape
    for c in range(cols):
        put = rows - 1
        for r in range(rows - 1, -1, -1):
            if board[r, c] != 0 and not marks[(r + 1) * ROW + c]:
                board[put, c] = board[r, c]
                put -= 1
        board[: put + 1, c] = 0


@inner
def draw_without_lines(board, seed, step, number, types, line, tries, room):
    """Draw boards without lines, cell by cell, until one has a valid swap; returns (found, next
    draw number).
    """
    rows, cols = board.shape
    free = np.empty(len(types), np.uint8)
    for _ in range(tries):
        for r in range(rows):
            for c in range(cols):
                count = 0
                for k in range(len(types)):  # only cells to the left and above have tiles yet
                    left = c - 1
                    top = r - 1
                    while left >= 0 and board[r, left] == types[k]:
                        left -= 1
                    while top >= 0 and board[top, c] == types[k]:
                        top -= 1
                    if c - left < line and r - top < line:
                        free[count] = types[k]
                        count += 1
                board[r, c] = free[draw_below(seed, step, number, count)]
                number += 1
        measure(board, room, line)
        if find_swaps(board, room, line):
            return True, number
    return False, number


@inner
def shuffle_tiles(board, seed, step, number, line, tries, room):
    """Shuffle the tiles until there is no line and a valid swap; returns (found, next draw
    number).
    """
    rows, cols = board.shape
    for _ in range(tries):
        for k in range(rows * cols - 1, 0, -1):
            other = draw_below(seed, step, number, k + 1)
            r = k // cols
            c = k % cols
            i = other // cols
            j = other % cols
            board[r, c], board[i, j] = board[i, j], board[r, c]
            number += 1
        if mark_lines(board, line, room) == 0 and find_swaps(board, room, line):
            return True, number
    return False, number


@kernel
def list_swaps(board, line, legal):
    """Mark the swaps that bring a tile into a line, ``(B, A)``."""
    room = room_for(board.shape[1], board.shape[2])
    for b in range(len(board)):
        measure(board[b], room, line)
        find_swaps(board[b], room, line)
        for action in range(legal.shape[1]):
            legal[b, action] = room.fits[room.places[action]]


@kernel
def draw_swaps(board, ended, seeds, steps, number, line, out):
    """Draw one of the swaps that bring a tile into a line, all alike, ``(B,)``; -1 where there is
    none.
    """
    room = room_for(board.shape[1], board.shape[2])
    fits = room.fits
    places = room.places
    for b in range(len(board)):
        out[b] = -1
        measure(board[b], room, line)
        count = find_swaps(board[b], room, line)
        if ended[b] or count == 0:
            continue
        k = draw_below(seeds[b], steps[b], number, count)
        for action in range(len(places)):
            k -= fits[places[action]]
            if k < 0:
                out[b] = action
                break


@kernel
def try_swaps(board, ended, actions, line, good):
    """Whether each of some swaps, ``(B, n)``, brings a tile into a line."""
    room = room_for(board.shape[1], board.shape[2])
    fits = room.fits
    places = room.places
    for b in range(len(board)):
        measure(board[b], room, line)
        find_swaps(board[b], room, line)
        for k in range(actions.shape[1]):
            good[b, k] = not ended[b] and actions[b, k] >= 0 and fits[places[actions[b, k]]]


def tiles_in_lines(board: NDArray[np.uint8], line: int) -> dict[int, int]:
    """How many tiles of each kind stand in lines, by kind, in reading order.

    Args:
        board: ``(rows, cols)``.
        line: equal tiles that make a line.
    """
    rows, cols = board.shape
    room = room_for(rows, cols)
    mark_lines(board, line, room)
    marks = room.marks[ROW:][: rows * ROW].reshape(rows, ROW)[:, :cols] > 0
    kinds, first, counts = np.unique(board[marks], return_index=True, return_counts=True)
    return {int(kinds[k]): int(counts[k]) for k in np.argsort(first)}
