"""Boards with a well, and rows above it that show pieces: what a turn of Tetris does to them."""

from __future__ import annotations

from vlmgym.core.kernels import inner, kernel
from vlmgym.games.parts.polyominoes import put_piece
from vlmgym.games.solvers.drops import (
    TURNS,
    fits,
    landing,
    new_piece,
    new_well,
    read_piece,
    read_well,
    turned,
)


@kernel
def deal_pieces(boards, seeds, top, height, first_piece, pieces):
    """Draw the pieces that boards show at first, (B, rows, cols) uint8: the one to place, then the
    next.
    """
    for game in range(len(boards)):
        for number in range(top // height):
            first_row = top - height * (number + 1)
            put_piece(boards[game], first_row, first_piece, pieces, seeds[game], 0, number)


@inner
def _show_next(board, top, height):
    """Move the next piece, if it is shown, to where the piece to place was.

    ``top`` rows above the well show pieces, ``height`` rows one piece each.
    """
    for row in range(height):
        for column in range(board.shape[1]):
            next_cell = board[row, column] if top > height else 0
            board[row, column] = 0
            board[top - height + row, column] = next_cell


@inner
def _clear_rows(board, top):
    """Take out the full rows of the well; returns how many."""
    rows, cols = board.shape
    target = rows - 1
    for source in range(rows - 1, top - 1, -1):
        blocks = 0
        for column in range(cols):
            blocks += board[source, column] > 0
        if blocks < cols:
            for column in range(cols):
                board[target, column] = board[source, column]
            target -= 1
    for row in range(top, target + 1):
        for column in range(cols):
            board[row, column] = 0
    return target + 1 - top


@inner
def _lay_down(board, top, piece, turn, first_row, first_column):
    """Write the blocks of a turned piece into the well, from a row of the well and a column on."""
    for row in range(piece.height[0]):
        for column in range(piece.width[0]):
            block = board[piece.corner[0] + row, piece.corner[1] + column]
            if block:
                down, right = turned(piece, turn, row, column)
                board[top + first_row + down, first_column + right] = block


@kernel
def play_pieces(turn, actions, top, height, first_piece, pieces):
    """Write a turn: the piece falls, full rows are cleared, the next piece is drawn."""
    rows, cols = turn.board.shape[1:]
    piece = new_piece()
    well = new_well(rows - top, cols)
    for game in range(len(turn.board)):
        action = actions[game]
        if turn.over[game] or action < 0:
            continue
        board = turn.board[game]
        read_piece(board, top - height, height, piece)
        read_well(board, top, well.rows)
        first_row = landing(well.rows, cols, piece, action % TURNS, action // TURNS)
        if first_row < 0:
            continue
        _lay_down(board, top, piece, action % TURNS, first_row, action // TURNS)
        turn.changed[game] = True
        turn.gain[game] = _clear_rows(board, top)
        _show_next(board, top, height)
        # the draws of turn 0 belong to the deal
        put_piece(board, 0, first_piece, pieces, turn.seeds[game], turn.steps[game] + 1, 0)
        turn.terminated[game] = not fits(board, top, height)
