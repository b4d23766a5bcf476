"""Random walks to the states that are asked about."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vlmgym.core import (
    LEGAL_STREAM,
    NO_ACTION,
    ConfigError,
    Game,
    Level,
    State,
    draw_rows,
    seed_array,
    whole,
)

MOST_STEPS = 1_000_000
"""Moves of a random walk."""


def _steps_of(steps: Any, games: int) -> NDArray[np.int64]:
    """The moves of each walk: one number for all, or one for each."""
    if isinstance(steps, np.ndarray):
        numbers = steps.tolist()
    elif isinstance(steps, list | tuple):
        numbers = steps
    else:
        numbers = [steps] * games
    if not isinstance(numbers, list | tuple) or len(numbers) != games:
        raise ConfigError("steps", steps, f"a whole number, or a list of {games}")
    return np.array([whole("steps", number, MOST_STEPS) for number in numbers], np.int64)


def walk(
    game: Game,
    level: str | Level,
    seeds: NDArray[np.uint64],
    steps: int | NDArray[np.int64],
    legal: bool = False,
) -> State:
    """States after random play from fresh games; no frame is drawn.

    Games that end go on with a fresh deal.

    Args:
        game: the game.
        level: its level; its turn limit does not apply during the walk.
        seeds: ``(B,)`` uint64; they also choose the moves.
        steps: moves to play, one number or ``(B,)``.
        legal: choose among legal actions (else among all, as in the paper).

    Returns:
        ``B`` states, none ended, at turn 0 with score 0, with the seeds as keys of their future
        luck.

    Raises:
        ConfigError: no such level, or seeds or steps that are no whole numbers, negative or too
            large.
    """
    task_level = game.level(level)
    seeds = seed_array(seeds)
    endless_level = task_level.override(max_steps=0, restart=True)
    steps = _steps_of(steps, len(seeds))
    state = game.reset(endless_level, seeds)
    action_counts = np.full(len(seeds), game.n_actions(task_level))
    for step in range(int(steps.max(initial=0))):
        if legal:
            actions = game.draw_legal(state)
        else:
            actions = draw_rows(seeds, step, LEGAL_STREAM, action_counts)
        state, _ = game.step(state, np.where(steps > step, actions, NO_ACTION))
    return replace(
        state,
        level=task_level,
        score=np.zeros(len(state), np.int64),
        steps=np.zeros(len(state), np.int64),
        terminated=np.zeros(len(state), bool),
        seed=seeds,
    )
