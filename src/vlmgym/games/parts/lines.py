"""Lines of equal tiles: how long they are, which swaps of neighbours make one, and how tiles fall
where they vanish.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vlmgym.core import NO_ACTION, draw_below
from vlmgym.core.kernels import inner, kernel


@kernel
def swap_cells(action, rows, cols):
    """The two cells of a swap: row, column, row, column."""
    across = rows * (cols - 1)
    if action < across:
        row = action // (cols - 1)
        column = action % (cols - 1)
        return row, column, row, column + 1
    row = (action - across) // cols
    column = (action - across) % cols
    return row, column, row + 1, column


# A board is (rows, cols) uint8: 0 = empty, else a tile. The loops below run over a flat board whose
# rows are ROW bytes apart, with empty cells around the board, so that neighbours are at fixed
# distances and the compiler can treat many cells at once; `Z if ... else` keeps it to comparisons
# and masks.
ROW = 17  # the most columns, and an empty cell that ends the row before and begins the next
Z = np.uint8(0)
ONE = np.uint8(1)


class Runs(NamedTuple):
    """Runs of equal tiles along one axis; flat uint8 arrays."""

    forth: Any  # length of the run that begins in a cell, to the right or down,
    back: Any  # and to the left or up
    equal: Any  # whether the next cell is equal


class Scratch(NamedTuple):
    """Arrays to measure a board in: flat, uint8, of ``(rows + 4) * ROW`` cells, if nothing else is
    said.
    """

    tiles: Any
    across: Runs
    down: Runs
    spare: Any
    marks: Any  # tiles that stand in lines
    # swaps that are allowed: with the next cell, then, a board further on, with the one below
    fits: Any
    places: Any  # (A,) int64, the place of each action in fits


class Draws(NamedTuple):
    """The draws of one game from here on."""

    seed: int
    step: int
    number: int  # of the next draw


@kernel
def scratch_for(rows, cols):
    """Arrays for :func:`measure` and :func:`find_swaps`."""
    size = (rows + 4) * ROW
    across = rows * (cols - 1)
    places = np.empty(across + (rows - 1) * cols, np.int64)
    for action in range(len(places)):
        row, column, _, _ = swap_cells(action, rows, cols)
        places[action] = (row + 1) * ROW + column + size * (action >= across)
    cells = np.zeros((9, size), np.uint8)
    return Scratch(
        cells[0],
        Runs(cells[1], cells[2], cells[5]),
        Runs(cells[3], cells[4], cells[6]),
        cells[7],
        cells[8],
        np.zeros(2 * size, np.uint8),
        places,
    )


def _runs_by(name, step):  # type: ignore[no-untyped-def]
    def measure_runs(tiles, runs, spare, line):
        """Lengths of the runs of equal tiles by steps of one or of a row, forth and back, right up
        to ``line``.
        """
        forth = runs.forth
        back = runs.back
        equal = runs.equal
        for cell in range(len(tiles) - step):
            same = np.uint8(tiles[cell] == tiles[cell + step])
            equal[cell] = same
            forth[cell] = ONE + same
        for cell in range(len(tiles) - step):
            back[cell + step] = ONE + equal[cell]
        for _ in range(line - 2):
            for cell in range(len(tiles) - step):
                spare[cell] = back[cell]
                length = forth[cell + step]
                forth[cell] = ONE + (length if equal[cell] else Z)
            for cell in range(len(tiles) - step):
                length = spare[cell]
                back[cell + step] = ONE + (length if equal[cell] else Z)

    measure_runs.__qualname__ = name
    return inner(measure_runs)


def _find_by(name, step, side):  # type: ignore[no-untyped-def]
    def find(tiles, along, sideways, fits, count, line):
        """Which swaps of a cell and the one a step on bring a tile into a line, from the runs by
        steps and to the sides.
        """
        needed = np.uint8(line - 1)
        for place in range(count):
            cell = place + ROW
            other = cell + step
            tile = tiles[cell]
            other_tile = tiles[other]
            ahead = along.forth[other + step]
            behind = along.back[cell - step]
            tile_before = sideways.back[other - side]
            tile_after = sideways.forth[other + side]
            other_before = sideways.back[cell - side]
            other_after = sideways.forth[cell + side]
            ahead = ahead if tiles[other + step] == tile else Z
            behind = behind if tiles[cell - step] == other_tile else Z
            tile_sides = (tile_before if tiles[other - side] == tile else Z) + (
                tile_after if tiles[other + side] == tile else Z
            )
            other_sides = (other_before if tiles[cell - side] == other_tile else Z) + (
                other_after if tiles[cell + side] == other_tile else Z
            )
            longest = max(max(ahead, np.uint8(tile_sides)), max(behind, np.uint8(other_sides)))
            fits[place] = (
                np.uint8(longest >= needed)
                & np.uint8(tile != other_tile)
                & np.uint8(tile != Z)
                & np.uint8(other_tile != Z)
            )

    find.__qualname__ = name
    return inner(find)


_runs_across = _runs_by("_runs_across", 1)
_runs_along = _runs_by("_runs_along", ROW)
_find_across = _find_by("_find_across", 1, ROW)
_find_along = _find_by("_find_along", ROW, 1)


@inner
def measure(board, scratch, line):
    """Copy the tiles and measure their runs, up to a length of ``line``."""
    rows, cols = board.shape
    tiles = scratch.tiles
    for row in range(rows):
        for column in range(cols):
            tiles[(row + 1) * ROW + column] = board[row, column]
    _runs_across(tiles, scratch.across, scratch.spare, line)
    _runs_along(tiles, scratch.down, scratch.spare, line)


@inner
def find_swaps(board, scratch, line):
    """Find the swaps that are allowed on a measured board, those that bring a tile into a line;
    returns their number.
    """
    tiles = scratch.tiles
    fits = scratch.fits
    count = len(board) * ROW
    fits_below = fits[len(tiles) + ROW :]
    _find_across(tiles, scratch.across, scratch.down, fits[ROW:], count, line)
    _find_along(tiles, scratch.down, scratch.across, fits_below, count, line)
    number = 0
    for place in range(len(fits)):
        number += fits[place]
    return number


@kernel
def exchange(board, action):
    """Swap the two cells of an action."""
    row, column, other_row, other_column = swap_cells(action, *board.shape)
    board[row, column], board[other_row, other_column] = (
        board[other_row, other_column],
        board[row, column],
    )


@kernel
def mark_lines(board, line, scratch):
    """Measure the board and mark the tiles that stand in lines; returns their number."""
    measure(board, scratch, line)
    tiles = scratch.tiles
    marks = scratch.marks
    across = scratch.across
    down = scratch.down
    count = 0
    for cell in range(len(marks)):
        wide = np.uint8(across.forth[cell] + across.back[cell])
        high = np.uint8(down.forth[cell] + down.back[cell])
        longest = max(wide, high)
        marks[cell] = np.uint8(tiles[cell] != Z) & np.uint8(longest > np.uint8(line))
    for cell in range(len(marks)):
        count += marks[cell]
    return count


@inner
def fall(board, marks):
    """Take the marked tiles away and let the columns fall."""
    rows, cols = board.shape
    for column in range(cols):
        target = rows - 1
        for row in range(rows - 1, -1, -1):
            if board[row, column] != 0 and not marks[(row + 1) * ROW + column]:
                board[target, column] = board[row, column]
                target -= 1
        board[: target + 1, column] = 0


@inner
def refill(board, draws, types):
    """Put drawn tiles on the empty cells; returns the number of the next draw."""
    rows, cols = board.shape
    number = draws.number
    for column in range(cols):
        for row in range(rows):
            if board[row, column] == 0:
                drawn = draw_below(draws.seed, draws.step, number, len(types))
                board[row, column] = types[drawn]
                number += 1
    return number


@inner
def draw_without_lines(board, draws, types, line, tries, scratch):
    """Draw boards without lines, cell by cell, until one has a valid swap; returns (found, number
    of the next draw).
    """
    rows, cols = board.shape
    number = draws.number
    free = np.empty(len(types), np.uint8)
    for _ in range(tries):
        for row in range(rows):
            for column in range(cols):
                count = 0
                for index in range(len(types)):  # only cells to the left and above have tiles yet
                    kind = types[index]
                    left = column - 1
                    top = row - 1
                    while left >= 0 and board[row, left] == kind:
                        left -= 1
                    while top >= 0 and board[top, column] == kind:
                        top -= 1
                    if column - left < line and row - top < line:
                        free[count] = kind
                        count += 1
                board[row, column] = free[draw_below(draws.seed, draws.step, number, count)]
                number += 1
        measure(board, scratch, line)
        if find_swaps(board, scratch, line):
            return True, number
    return False, number


@inner
def shuffle_tiles(board, draws, line, tries, scratch):
    """Shuffle the tiles until there is no line and a valid swap; returns (found, number of the next
    draw).
    """
    rows, cols = board.shape
    number = draws.number
    for _ in range(tries):
        for cell in range(rows * cols - 1, 0, -1):
            other = draw_below(draws.seed, draws.step, number, cell + 1)
            row = cell // cols
            column = cell % cols
            other_row = other // cols
            other_column = other % cols
            tile = board[row, column]
            board[row, column] = board[other_row, other_column]
            board[other_row, other_column] = tile
            number += 1
        if mark_lines(board, line, scratch) == 0 and find_swaps(board, scratch, line):
            return True, number
    return False, number


@kernel
def list_swaps(boards, line, legal):
    """Mark the swaps that bring a tile into a line, ``(B, A)``."""
    scratch = scratch_for(boards.shape[1], boards.shape[2])
    for game in range(len(boards)):
        measure(boards[game], scratch, line)
        find_swaps(boards[game], scratch, line)
        for action in range(legal.shape[1]):
            legal[game, action] = scratch.fits[scratch.places[action]]


@kernel
def draw_swaps(boards, ended, seeds, steps, number, line):
    """Draw one of the swaps that bring a tile into a line, all alike, ``(B,)``; -1 where there is
    none.
    """
    scratch = scratch_for(boards.shape[1], boards.shape[2])
    fits = scratch.fits
    places = scratch.places
    drawn = np.empty(len(boards), np.int64)
    for game in range(len(boards)):
        drawn[game] = NO_ACTION
        measure(boards[game], scratch, line)
        count = find_swaps(boards[game], scratch, line)
        if ended[game] or count == 0:
            continue
        remaining = draw_below(seeds[game], steps[game], number, count)
        for action in range(len(places)):
            remaining -= fits[places[action]]
            if remaining < 0:
                drawn[game] = action
                break
    return drawn


@kernel
def try_swaps(boards, ended, actions, line, good):
    """Whether each of some swaps, ``(B, n)``, brings a tile into a line."""
    scratch = scratch_for(boards.shape[1], boards.shape[2])
    fits = scratch.fits
    places = scratch.places
    for game in range(len(boards)):
        measure(boards[game], scratch, line)
        find_swaps(boards[game], scratch, line)
        for index in range(actions.shape[1]):
            action = actions[game, index]
            good[game, index] = not ended[game] and action >= 0 and fits[places[action]]


def tiles_in_lines(board: NDArray[np.uint8], line: int) -> dict[int, int]:
    """How many tiles of each kind stand in lines, by kind, in reading order.

    Args:
        board: ``(rows, cols)``.
        line: equal tiles that make a line.
    """
    rows, cols = board.shape
    scratch = scratch_for(rows, cols)
    mark_lines(board, line, scratch)
    marks = scratch.marks[ROW:][: rows * ROW].reshape(rows, ROW)[:, :cols] > 0
    kinds, first_places, counts = np.unique(board[marks], return_index=True, return_counts=True)
    in_order = np.argsort(first_places)
    return {int(kinds[index]): int(counts[index]) for index in in_order}
