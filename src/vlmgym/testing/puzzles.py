"""The check that the values of a puzzle's oracle count moves."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vlmgym.core import DEAD, State, concat
from vlmgym.games.parts.grid import Puzzle
from vlmgym.testing import sizes
from vlmgym.testing.cases import Case, CheckFailed, best_play

_WRONG = "the oracle's sign or values are wrong"


def puzzle_values_count_moves(case: Case) -> str:
    """oracle() of a Puzzle: minus the moves of a shortest solution that begins with the action;
    its sign and its values, or moves of play() that it does not know of.
    """
    game = case.game
    if not isinstance(game, Puzzle):
        return "no Puzzle"
    if not game.is_exact(case.level):
        return "the oracle is not exact on this level"
    state = _positions(case)
    values = game.oracle(state)
    best = _best(values)
    rows, actions = np.nonzero(game.legal(state))
    chosen = values[rows, actions]
    if np.isnan(chosen).all():
        return "the game has no oracle"
    is_best = (chosen >= best[rows] - game.TIE) & (chosen > DEAD)
    half = sizes.MOVES_TRIED // 2
    tried = np.concatenate([np.flatnonzero(is_best)[:half], np.flatnonzero(~is_best)[:half]])
    before = state[rows[tried]]
    if _has_luck(game, before, actions[tried]):
        return "it has luck"
    after, _ = game.step(before, actions[tried])
    left = _best(game.oracle(after))
    for index, number in enumerate(tried):
        move = f"{game.encode(case.level, int(actions[number]))!r} in row {rows[number]}"
        value = float(chosen[number])
        if not value <= -1 + game.TIE:
            raise CheckFailed(f"{_WRONG}: {move} has {value:g}, allowed is -1 (one move) or less")
        contradiction = _contradiction(
            value,
            float(left[index]),
            bool(after.terminated[index]),
            float(best[rows[number]]) if not is_best[number] else None,
            game.TIE,
        )
        if contradiction:
            raise CheckFailed(f"{_WRONG}: {move} has {value:g}, {contradiction}")
    return f"{is_best[tried].sum()} best moves, {(~is_best[tried]).sum()} others"


def _contradiction(value: float, left: float, is_over: bool, best: float | None, tie: float) -> str:
    """What does not follow from the value of a move; empty if all does.

    Args:
        value: of the move.
        left: the best value after it.
        is_over: it ended the game.
        best: the best value before it; None: the move is one of the best.
        tie: values closer than this count as equal.
    """
    if value <= DEAD:
        lost = is_over or left <= DEAD
        return "" if lost else f"so nothing can be solved after it, but the best value is {left:g}"
    if best is not None:
        if is_over:
            return f"less than the best ({best:g}), but ends the game"
        falls = left <= best + tie
        return "" if falls else f"less than the best ({best:g}), but the best after it is {left:g}"
    if is_over:
        return "" if abs(value + 1) <= tie else "the best, but it ends the game, which is -1"
    if abs(left - value - 1) <= tie:
        return ""
    return f"the best, so the best value after it is {value + 1:g}, but it is {left:g}"


def _positions(case: Case) -> State[Any]:
    """Some positions of random play, and some one move before the end, without a turn limit."""
    live = case.live()
    chosen = [live[:: max(1, len(live) // sizes.POSITIONS)]]
    for before, after, _ in best_play(case):
        is_last = after.terminated & ~before.ended
        if is_last.any():
            chosen.append(before[is_last][:1])
    state = concat(chosen)
    return replace(state, level=case.level.override(max_steps=0, restart=False))


def _best(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The best value of each row; minus infinity where nothing may be done."""
    return np.asarray(np.where(np.isnan(values), -np.inf, values).max(axis=1))


def _has_luck(game: Puzzle, state: State[Any], actions: NDArray[np.int64]) -> bool:
    """Whether a turn comes out otherwise under another seed."""
    after, _ = game.step(state, actions)
    for luck in range(sizes.LUCKS_TRIED // 2):
        other, _ = game.step(state.reseed(luck), actions)
        for name, values in after.arrays().items():
            if name != "seed" and not np.array_equal(values, other.arrays()[name]):
                return True
    return False
