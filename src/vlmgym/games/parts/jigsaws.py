"""Pieces of a jigsaw: how they are dealt, moved and named."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from vlmgym.core import PHOTO_STREAM, draw_below, draw_unit
from vlmgym.core.kernels import kernel
from vlmgym.games.parts.boards import Boards, shuffle
from vlmgym.games.solvers.swaps import effect_of, is_solved

LUCKS = 1 << 20
"""Numbers that say which photograph a game shows."""
TURNS = 4
"""Ways in which a piece may lie."""


def flat(board: Boards) -> NDArray[np.uint8]:
    """``(B, cells)``: the cells of each board in reading order, of the same memory."""
    return board.reshape(len(board), board.shape[1] * board.shape[2])


@lru_cache(64)
def piece_names(rows: int, cols: int, turning: bool) -> tuple[str, ...]:
    """Text of each board value."""
    names = ["empty"]
    for turns in range(TURNS if turning else 1):
        for place in range(rows * cols):
            row, column = divmod(place, cols)
            names.append(f"piece {row},{column}" + (f" turned {90 * turns}" if turns else ""))
    return tuple(names)


# Boards are (B, cells) uint8: 0 = no piece, else 1 + quarter turns * cells + place.
@kernel
def deal_pieces(boards, seeds, turned, photo):
    """Fill the boards with all pieces in any order but the solved one, a share of them turned, and
    draw the photographs, photo (B,) int32.
    """
    cells = boards.shape[1]
    for game in range(len(boards)):
        board = boards[game]
        photo[game] = 16 * draw_below(seeds[game], 0, PHOTO_STREAM, LUCKS)
        number = 0
        while number == 0 or is_solved(board):
            for cell in range(cells):
                board[cell] = cell + 1
            number = shuffle(board, seeds[game], number)
            for cell in range(cells):
                if draw_unit(seeds[game], 0, number) < turned:
                    turns = 1 + draw_below(seeds[game], 0, number + 1, TURNS - 1)
                    board[cell] += turns * cells
                number += 2


@kernel
def move_pieces(turn, actions, turning):
    """Swap two pieces, or turn one."""
    rows, cols = turn.board.shape[1:]
    cells = rows * cols
    for game in range(len(turn.board)):
        if turn.over[game] or actions[game] < 0:
            continue
        board = turn.board[game].reshape(cells)
        first = actions[game] // cells
        second = actions[game] % cells
        changes, gain = effect_of(board, first, second, turning)
        if not changes:
            continue
        if first == second:
            board[first] = (board[first] - 1 + cells) % (TURNS * cells) + 1
        else:
            board[first], board[second] = board[second], board[first]
        turn.changed[game] = True
        turn.gain[game] = gain
        turn.terminated[game] = is_solved(board)


@kernel
def mark_moves(boards, turning, least, marks):
    """Mark the moves that change the board and put right as much as ``least``."""
    cells = boards.shape[1]
    for game in range(len(boards)):
        for action in range(cells * cells):
            changes, gain = effect_of(boards[game], action // cells, action % cells, turning)
            marks[game, action] = changes and gain >= least
