"""The check that the oracle knows what is good."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vlmgym.core import EPISODE_STREAM, State, draw_rows, seeds_for
from vlmgym.testing import sizes
from vlmgym.testing.cases import Case, by_oracle, need

FIRST_GAME = 5000
"""Number of the first game of these episodes, in the split ``free``."""


def oracle_beats_random(case: Case) -> str:
    """oracle(): its values, and their sign (larger is better); or the level, where it is small."""
    game = case.game
    values = game.oracle(case.live())
    legal = game.legal(case.live())
    need(values.shape == legal.shape, f"oracle has shape {values.shape}, allowed is {legal.shape}")
    if np.isnan(values).all():
        return "the game has no oracle"
    need(
        (~np.isnan(values) == legal).all(),
        "oracle values must be NaN exactly where an action is illegal",
    )
    choices = values[legal.sum(axis=1) > 1]
    largest = np.nanmax(choices, axis=1)
    smallest = np.nanmin(choices, axis=1)
    values_differ = (largest > smallest).any() or not len(choices)
    need(
        values_differ or _all_gain_alike(case),
        "the oracle gives all legal actions the same value in every position" + _of_small(case),
    )
    random_score, random_success = _play(case, oracle=False)
    oracle_score, oracle_success = _play(case, oracle=True)
    notes: list[str] = []
    better = [
        _is_better("score", oracle_score, random_score, notes),
        _is_better("good turns", oracle_success, random_success, notes),
    ]
    need(
        any(better),
        f"the oracle does not beat random play at {sizes.CONFIDENCE:.1%} confidence on "
        f"{sizes.EPISODES} seeds: {', '.join(notes)}",
    )
    return ", ".join(notes)


def _all_gain_alike(case: Case) -> bool:
    """Whether every legal action of some positions gains the same, more than nothing, so that none
    is worth more than another.
    """
    game = case.game
    live = case.live()
    state = live[:: max(1, len(live) // sizes.POSITIONS)]
    rows, actions = np.nonzero(game.legal(state))
    _, outcome = game.step(state[rows], actions)
    return bool(outcome.gain.min() == outcome.gain.max() > 0)


def _of_small(case: Case) -> str:
    """What else may be the matter where the board is small."""
    rows, cols = case.game.sample(case.level).symbols.shape[1:]
    if not 0 < rows * cols <= sizes.SMALL:
        return ""
    return (
        f"; on a board of {rows} x {cols} cells they may be equally good indeed: let the level be "
        "larger"
    )


def _play(case: Case, oracle: bool) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Episodes by the oracle, or by random actions: their scores, and shares of successful
    turns.
    """
    game = case.game
    seeds = seeds_for("free", game.name, case.name, sizes.EPISODES, FIRST_GAME)
    state = game.reset(case.level, seeds)
    turns = np.zeros(sizes.EPISODES)
    successes = np.zeros(sizes.EPISODES)
    renders_itself = game.sample(case.level).pixels is not None
    longest = sizes.LONGEST // 4 if renders_itself else sizes.LONGEST
    for turn in range(min(case.level.max_steps, longest)):
        if state.ended.all():
            break
        turns += ~state.ended
        actions = by_oracle(game, state) if oracle else _random_actions(case, state, seeds, turn)
        after, outcome = game.step(state, actions)
        successes += game.success(state, actions, outcome)
        state = after
    return state.score.astype(np.float64), successes / np.maximum(turns, 1)


def _random_actions(
    case: Case, state: State, seeds: NDArray[np.uint64], turn: int
) -> NDArray[np.int64]:
    counts = np.full(len(state), case.game.n_actions(case.level))
    return draw_rows(seeds, turn, EPISODE_STREAM, counts)


def _is_better(
    name: str,
    oracle: NDArray[np.float64],
    random: NDArray[np.float64],
    notes: list[str],
) -> bool:
    """Whether the oracle is better beyond chance; it fails where it is worse."""
    difference = oracle - random
    mean = difference.mean()
    error = difference.std(ddof=1) / np.sqrt(sizes.EPISODES)
    notes.append(f"{name} {oracle.mean():.4g} against {random.mean():.4g}")
    need(
        mean >= -sizes.Z * max(error, 1e-12),
        f"the oracle is worse than random play: {notes[-1]}",
    )
    return bool(mean > sizes.Z * error and mean > 0)
