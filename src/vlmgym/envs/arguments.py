"""Arguments that single and batched environments are given, checked."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np

from vlmgym.core import ConfigError, State, whole

MOST_GAMES = 1_000_000
"""Games of a batched environment, and environments of a fork."""
RENDER_MODES = ("rgb_array",)


def check_render_mode(render_mode: object) -> None:
    """Refuse what is no render mode."""
    if render_mode not in (None, *RENDER_MODES):
        raise ConfigError("render_mode", render_mode, "None or 'rgb_array'")


def warn_of_no_render_mode() -> None:
    """Gymnasium's warning of a call of ``render`` that gives nothing."""
    gym.logger.warn(
        "render() without a render mode gives nothing: make the environment with "
        "render_mode='rgb_array'"
    )


def state_after_reset(state: State | None) -> State:
    """The current state, which there is after the first reset."""
    if state is None:
        raise gym.error.ResetNeeded("call reset() first")
    return state


def count_of(name: str, value: object, minimum: int) -> int:
    """A number of games or environments, at least so many."""
    return whole(name, value, MOST_GAMES, minimum)


def seed_of(seed: Any, allowed: str) -> int | None:
    """A seed of Gymnasium's: a whole number of any size, or None."""
    if seed is None:
        return None
    if not is_whole_number(seed) or seed < 0:
        raise ConfigError("seed", seed, allowed)
    return int(seed)


def is_whole_number(value: object) -> bool:
    """Whether a value is a whole number, of Python or NumPy, and no truth value."""
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)
