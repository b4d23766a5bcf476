"""Actions: what answers are read as, what turns do, and the best and random ones among many."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vlmgym.core.kernels import kernel
from vlmgym.core.random import draw_below, draw_rows

NO_ACTION = -1
"""The action id of a turn without an action: the board stays, the turn counts."""

DEAD = -1000.0
"""The oracle's value of a move after which a puzzle cannot be solved any more."""


@dataclass(frozen=True)
class Outcome:
    """What one turn did, per row."""

    # (B,) raw score gained; > 0 means that the move did something (the paper's +1)
    gain: NDArray[np.int64]
    changed: NDArray[np.bool_]  # (B,) the board changed
    terminated: NDArray[np.bool_]  # (B,) the rules have ended the game (now or before)


@dataclass(frozen=True)
class Decoded:
    """An answer read: an action id, or no action and the reason."""

    action: int  # id, or NO_ACTION
    problem: str = ""  # "" if there is an action; else "not_a_move", "out_of_range", "not_adjacent"


@kernel
def best_rows(value, least, tie, mask):
    """Mark the largest entries of each row, up to ``tie`` less, among those above ``least``; NaN
    never counts.

    value (B, A) float64; mask (B, A) bool.
    """
    for row in range(len(value)):
        best = -np.inf
        for action in range(value.shape[1]):
            if value[row, action] > least:
                best = max(best, value[row, action])
        for action in range(value.shape[1]):
            is_best = value[row, action] >= best - tie
            mask[row, action] = is_best and value[row, action] > least


def best_action(values: NDArray[np.float64]) -> int:
    """The first of the actions with the largest value.

    Args:
        values: ``(A,)`` of :meth:`Game.oracle` for one game; NaN where an action is not legal.

    Returns:
        Its id; :data:`NO_ACTION` where none is legal.
    """
    if np.isnan(values).all():
        return NO_ACTION
    return int(np.nanargmax(values))


def pick_legal(
    legal: NDArray[np.bool_], seeds: NDArray[np.uint64], turn: int, stream: int
) -> NDArray[np.int64]:
    """One legal action a row by keyed draws, whatever the game's own :meth:`Game.draw_legal` does.

    Args:
        legal: ``(B, A)``.
        seeds: ``(B,)``.
        turn: number of the turn that the draw is keyed by.
        stream: number of its first draw.

    Returns:
        ``(B,)`` ids; :data:`NO_ACTION` where none is legal.
    """
    counts = np.cumsum(legal, axis=1)
    draws = draw_rows(seeds, turn, stream, counts[:, -1])
    actions = np.argmax(counts > draws[:, None], axis=1)
    return np.where(draws < 0, NO_ACTION, actions).astype(np.int64)


@kernel
def pick_rows(legal, seeds, steps, number, picked):
    """The index of a uniformly drawn True of each row, -1 where there is none.

    legal (B, A) bool; seeds (B,) uint64; steps (B,) int64; picked (B,) int64.
    """
    for row in range(len(legal)):
        count = 0
        for action in range(legal.shape[1]):
            count += legal[row, action]
        picked[row] = -1
        if count == 0:
            continue
        remaining = draw_below(seeds[row], steps[row], number, count)
        for action in range(legal.shape[1]):
            if legal[row, action]:
                if remaining == 0:
                    picked[row] = action
                    break
                remaining -= 1


@kernel
def look_up(table, actions, looked_up):
    """What a row's ``table`` says of each of its actions; False of no action.

    table (B, A) bool; actions (B, n) int64; looked_up (B, n) bool.
    """
    for row in range(len(actions)):
        for column in range(actions.shape[1]):
            action = actions[row, column]
            looked_up[row, column] = action >= 0 and table[row, action]
