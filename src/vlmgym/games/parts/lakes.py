"""Walks over lakes and through mazes: the moves of the player, and what is to be seen at their
end.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vlmgym.core import draw_below, draw_unit
from vlmgym.core.kernels import kernel
from vlmgym.games.parts.boards import Boards, first_from
from vlmgym.games.solvers.walks import FLOOR, GOAL, HOLE, PLAYER, ahead

NAMES = ("floor", "wall", "hole", "goal", "player", "player in hole", "player at goal")
"""Text of each symbol: those of the values of :mod:`vlmgym.games.solvers.walks`, and the player
where the game has ended.
"""
IN_HOLE, AT_GOAL = 5, 6


@kernel
def play_moves(turn, under, actions, slip):
    """Move the players; ``under`` (B,) is what each stands on, to be written."""
    cols = turn.board.shape[2]
    for game in range(len(turn.board)):
        move = actions[game]
        if turn.over[game] or move < 0:
            continue
        board = turn.board[game]
        cell = first_from(board, PLAYER)
        seed = turn.seeds[game]
        step = turn.steps[game] + 1  # the draws of turn 0 belong to the deal
        if draw_unit(seed, step, 0) < slip:
            move = (move + (1 if draw_below(seed, step, 1, 2) else 3)) % 4
        target = ahead(board, cell, move) if cell >= 0 else -1
        if target < 0:
            continue
        value = board[target // cols, target % cols]
        board[cell // cols, cell % cols] = under[game]
        board[target // cols, target % cols] = PLAYER
        under[game] = value
        turn.changed[game] = True
        turn.gain[game] = value == GOAL
        turn.terminated[game] = value != FLOOR


def as_shown(board: Boards, under: NDArray[np.uint8]) -> Boards:
    """``(B, rows, cols)``: the symbols of boards, with the player where it has come to an end.

    Args:
        board: ``(B, rows, cols)``.
        under: ``(B,)`` what the player stands on.
    """
    if not (under != FLOOR).any():
        return board
    player = board == PLAYER
    ground = under[:, None, None]
    symbols = np.where(player & (ground == HOLE), np.uint8(IN_HOLE), board)
    return np.where(player & (ground == GOAL), np.uint8(AT_GOAL), symbols)
