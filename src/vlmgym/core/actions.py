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
def best_rows(value, least, tie, out):
    """Mark the largest entries of each row, up to ``tie`` less, among those above ``least``; NaN
    never counts.
    """
    for b in range(len(value)):
        best = -np.inf
        for a in range(value.shape[1]):
            best = max(best, value[b, a]) if value[b, a] > least else best
        for a in range(value.shape[1]):
            out[b, a] = value[b, a] > least and value[b, a] >= best - tie


def best_action(values: NDArray[np.float64]) -> int:
    """The first of the actions with the largest value.

    Args:
        values: ``(A,)`` of :meth:`Game.oracle` for one game; NaN where an action is not legal.

    Returns:
        Its id; :data:`NO_ACTION` where none is legal.
    """
    return NO_ACTION if np.isnan(values).all() else int(np.nanargmax(values))


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
    order = np.cumsum(legal, axis=1)
    pick = draw_rows(seeds, turn, stream, order[:, -1])
    return np.where(pick < 0, NO_ACTION, np.argmax(order > pick[:, None], axis=1)).astype(np.int64)


@kernel
def pick_rows(legal, seeds, steps, number, out):
    """The index of a uniformly drawn True of each row, -1 where there is none."""
    for b in range(len(legal)):
        count = 0
        for a in range(legal.shape[1]):
            count += legal[b, a]
        out[b] = -1
        k = draw_below(seeds[b], steps[b], number, count)
        for a in range(legal.shape[1] if count else 0):
            if legal[b, a]:
                if k == 0:
                    out[b] = a
                    break
                k -= 1


@kernel
def look_up(table, actions, out):
    """What ``table[b, action]`` says of each action of row ``b``; False of none."""
    for b in range(len(actions)):
        for k in range(actions.shape[1]):
            out[b, k] = actions[b, k] >= 0 and table[b, actions[b, k]]
