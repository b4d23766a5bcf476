"""Pieces that fall into a well: where they come to lie, and what Dellacherie thinks of it.

A well is an array of its rows from the top, int64, in which bit ``c`` is the cell of column ``c``.
So is a piece, from its own top left corner.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vlmgym.core.kernels import apart, inner, kernel
from vlmgym.games.parts.boards import Boards, Marks, Values

TURNS = 4
MOST_COLUMNS = 12
LOST = -100_000.0
"""Added to the value of a placement after which the next piece has none."""


class Piece(NamedTuple):
    """A piece after 0 to 3 quarter turns clockwise."""

    rows: Any  # (4, MOST_COLUMNS) int64, its rows
    height: Any  # (4,) int64, 0 of no piece
    width: Any  # (4,) int64
    corner: Any  # (2,) int64: row and column of its top left corner on the board


class Well(NamedTuple):
    """A well before and after placements."""

    rows: Any  # (depth,) int64
    after: Any  # (depth,) int64, after the first piece
    later: Any  # (depth,) int64, after the second piece
    cols: int


@inner
def new_piece():
    """A piece to be read from a board."""
    turns = np.empty((2, TURNS), np.int64)
    rows = np.empty((TURNS, MOST_COLUMNS), np.int64)
    return Piece(rows, turns[0], turns[1], np.empty(2, np.int64))


@inner
def new_well(depth, cols):
    """A well to be read from a board."""
    rows = np.empty((3, depth), np.int64)
    return Well(rows[0], rows[1], rows[2], cols)


@apart
def read_piece(board, first_row, height, piece):
    """Read the piece that is drawn in ``height`` rows of a board: all cells there that are not
    free, whatever they look like.
    """
    top = height
    bottom = -1
    left = board.shape[1]
    right = -1
    for row in range(height):
        for column in range(board.shape[1]):
            if board[first_row + row, column]:
                top = min(top, row)
                bottom = max(bottom, row)
                left = min(left, column)
                right = max(right, column)
    piece.corner[0] = first_row + top
    piece.corner[1] = left
    for turn in range(TURNS):
        across = turn % 2
        piece.height[turn] = right - left + 1 if across else bottom - top + 1
        piece.width[turn] = bottom - top + 1 if across else right - left + 1
        for row in range(MOST_COLUMNS):
            piece.rows[turn, row] = 0
    if bottom < 0:
        for turn in range(TURNS):
            piece.height[turn] = 0
        return
    for row in range(piece.height[0]):
        for column in range(piece.width[0]):
            if board[piece.corner[0] + row, left + column]:
                for turn in range(TURNS):
                    turned_row, turned_column = turned(piece, turn, row, column)
                    piece.rows[turn, turned_row] |= np.int64(1) << turned_column


@inner
def turned(piece, turn, row, column):
    """Where a cell of the piece is after some turns."""
    last_row = piece.height[0] - 1
    last_column = piece.width[0] - 1
    if turn == 0:
        return row, column
    if turn == 1:
        return column, last_row - row
    if turn == 2:
        return last_row - row, last_column - column
    return last_column - column, row


@inner
def read_well(board, top, rows):
    """Read the rows of a board from ``top`` on."""
    for row in range(len(rows)):
        rows[row] = 0
        for column in range(board.shape[1]):
            if board[top + row, column]:
                rows[row] |= np.int64(1) << column


@apart
def landing(rows, cols, piece, turn, column):
    """The row of a well in which the top row of a piece comes to lie; -1 where it does not fit."""
    height = piece.height[turn]
    if height == 0 or column + piece.width[turn] > cols:
        return -1
    row = -height
    while row + height < len(rows):
        for index in range(height):
            below = row + 1 + index
            if below >= 0 and rows[below] & (piece.rows[turn, index] << column):
                return max(row, -1)
        row += 1
    return row


@apart
def place(rows, cols, piece, turn, column, row, after):
    """Write the well after a piece lies in it and full rows are cleared.

    Returns:
        The rows cleared, and the cells of the piece that went with them.
    """
    full = (np.int64(1) << cols) - 1
    cleared = 0
    eroded = 0
    target = len(rows) - 1
    for source in range(len(rows) - 1, -1, -1):
        cells = rows[source]
        own = np.int64(0)
        if row <= source < row + piece.height[turn]:
            own = piece.rows[turn, source - row] << column
        if cells | own == full:
            cleared += 1
            eroded += _ones(own)
        else:
            after[target] = cells | own
            target -= 1
    while target >= 0:
        after[target] = 0
        target -= 1
    return cleared, eroded


@inner
def _ones(bits):
    count = 0
    while bits:
        bits &= bits - 1
        count += 1
    return count


@apart
def count_holes(rows):
    """Free cells with a block somewhere above them."""
    covered = np.int64(0)
    holes = 0
    for row in range(len(rows)):
        holes += _ones(covered & ~rows[row])
        covered |= rows[row]
    return holes


@inner
def _wells(rows, row, cols):
    """The cells of a row that are free between two that are not; the sides of the well count as
    blocks.
    """
    cells = rows[row]
    left_filled = (cells << 1) | 1
    right_filled = (cells >> 1) | (np.int64(1) << (cols - 1))
    return ~cells & left_filled & right_filled & ((np.int64(1) << cols) - 1)


@apart
def rate_well(rows, cols):
    """What Dellacherie's weights say of a well: minus row transitions, column transitions, four
    times the holes, and the sums of wells.
    """
    full = (np.int64(1) << cols) - 1
    transitions = 0
    wells = 0
    for row in range(len(rows)):
        with_sides = (rows[row] << 1) | 1 | (np.int64(1) << (cols + 1))
        transitions += _ones((with_sides ^ (with_sides >> 1)) & ((full << 1) | 1))
        below = rows[row + 1] if row + 1 < len(rows) else full
        transitions += _ones(rows[row] ^ below)
        run = _wells(rows, row, cols)
        above = row
        while run:  # a cell counts once for each cell of its well from the top down to it
            wells += _ones(run)
            above -= 1
            run &= _wells(rows, above, cols) if above >= 0 else np.int64(0)
    transitions += _ones(rows[0])  # above the well is nothing
    return -1.0 * transitions - 4.0 * count_holes(rows) - 1.0 * wells


@inner
def _rate_placement(depth, piece, turn, row, cleared, eroded):
    """What Dellacherie's weights say of a placement itself: minus the height of its middle, plus
    rows cleared times own cells cleared.
    """
    height_of_middle = depth - row - 0.5 * (piece.height[turn] - 1)
    return cleared * eroded - height_of_middle


@inner
def _equal_turn(piece, turn):
    """The first turn after which the piece is the same."""
    for before in range(turn):
        same = piece.height[before] == piece.height[turn]
        for row in range(piece.height[turn]):
            same &= piece.rows[before, row] == piece.rows[turn, row]
        if same:
            return before
    return turn


@apart
def _best_of_next(well, piece):
    """The largest value of a placement in ``well.after``; :data:`LOST` where there is none."""
    best = LOST
    for turn in range(TURNS):
        if _equal_turn(piece, turn) < turn:
            continue
        for column in range(well.cols):
            row = landing(well.after, well.cols, piece, turn, column)
            if row < 0:
                continue
            cleared, eroded = place(well.after, well.cols, piece, turn, column, row, well.later)
            value = _rate_placement(len(well.rows), piece, turn, row, cleared, eroded)
            best = max(best, value + rate_well(well.later, well.cols))
    return best


@kernel
def _values(boards, ended, top, height, value):
    cols = boards.shape[2]
    well = new_well(boards.shape[1] - top, cols)
    piece = new_piece()
    following = new_piece()
    for game in range(len(boards)):
        value[game] = np.nan
        if ended[game]:
            continue
        read_well(boards[game], top, well.rows)
        read_piece(boards[game], top - height, height, piece)
        read_piece(boards[game], 0, height, following)
        for turn in range(TURNS):
            equal = _equal_turn(piece, turn)
            for column in range(cols):
                action = column * TURNS + turn
                if equal < turn:
                    value[game, action] = value[game, column * TURNS + equal]
                    continue
                row = landing(well.rows, cols, piece, turn, column)
                if row < 0:
                    continue
                cleared, eroded = place(well.rows, cols, piece, turn, column, row, well.after)
                own = _rate_placement(len(well.rows), piece, turn, row, cleared, eroded)
                if top > height:
                    later = _best_of_next(well, following)
                    own += later if later > LOST else LOST + rate_well(well.after, cols)
                else:
                    own += rate_well(well.after, cols)
                value[game, action] = own


@kernel
def mark_placements(boards, top, height, legal, good):
    """Mark the placements that fit, and those of them that clear a row or add the fewest holes of
    all; (B, cols * 4) bool.
    """
    cols = boards.shape[2]
    added = np.empty(cols * TURNS, np.int64)
    well = new_well(boards.shape[1] - top, cols)
    piece = new_piece()
    for game in range(len(boards)):
        read_well(boards[game], top, well.rows)
        read_piece(boards[game], top - height, height, piece)
        holes = count_holes(well.rows)
        fewest = np.int64(well.cols * len(well.rows))
        for action in range(cols * TURNS):
            turn = action % TURNS
            column = action // TURNS
            row = landing(well.rows, cols, piece, turn, column)
            legal[game, action] = row >= 0
            good[game, action] = False
            if row >= 0:
                cleared = place(well.rows, cols, piece, turn, column, row, well.after)[0]
                good[game, action] = cleared > 0
                added[action] = max(0, count_holes(well.after) - holes)
                fewest = min(fewest, added[action])
        for action in range(cols * TURNS):
            if legal[game, action] and added[action] == fewest:
                good[game, action] = True


@apart
def fits(board, top, height):
    """Whether the piece to place has a placement."""
    cols = board.shape[1]
    well = new_well(board.shape[0] - top, cols)
    piece = new_piece()
    read_well(board, top, well.rows)
    read_piece(board, top - height, height, piece)
    for turn in range(TURNS):
        for column in range(cols):
            if landing(well.rows, cols, piece, turn, column) >= 0:
                return True
    return False


@kernel
def try_placement(board, top, height, action):
    """The row in which the top row of the piece comes to lie (-1 = it does not fit), rows cleared,
    holes before and after.
    """
    cols = board.shape[1]
    well = new_well(board.shape[0] - top, cols)
    piece = new_piece()
    read_well(board, top, well.rows)
    read_piece(board, top - height, height, piece)
    turn = action % TURNS
    column = action // TURNS
    row = landing(well.rows, cols, piece, turn, column)
    if row < 0:
        return row, 0, 0, 0
    cleared = place(well.rows, cols, piece, turn, column, row, well.after)[0]
    return row, cleared, count_holes(well.rows), count_holes(well.after)


def values(boards: Boards, ended: NDArray[np.bool_], top: int, height: int) -> Values:
    """Values of all placements by Dellacherie's weights, ``(B, cols * 4)``; NaN where one does not
    fit.

    Where the next piece is shown: of the placement itself, and the best of the next piece and the
    well after both.

    Args:
        boards: ``(B, rows, cols)``.
        ended: ``(B,)`` games without moves.
        top: first row of the well.
        height: rows in which a piece is drawn; the next one is shown where ``top`` is twice that.
    """
    value = np.empty((len(boards), boards.shape[2] * TURNS))
    _values(boards, ended, top, height, value)
    return value


def placements(boards: Boards, top: int, height: int) -> tuple[Marks, Marks]:
    """``(B, cols * 4)``: the placements that fit, and those that clear a row or add the fewest
    holes.
    """
    legal = np.empty((len(boards), boards.shape[2] * TURNS), bool)
    good = np.empty(legal.shape, bool)
    mark_placements(boards, top, height, legal, good)
    return legal, good
