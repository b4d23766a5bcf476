"""Arguments that environments are given, checked."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode

from vlmgym.core import ConfigError, whole


def warn_of_no_render_mode() -> None:
    """Gymnasium's warning of a call of ``render`` that gives nothing."""
    gym.logger.warn(
        "render() without a render mode gives nothing: make the environment with "
        "render_mode='rgb_array'"
    )


MOST_GAMES = 1_000_000
"""Games of a batched environment, and environments of a fork."""


def count_of(name: str, value: object, least: int) -> int:
    """A number of games or environments, at least so many."""
    return whole(name, value, MOST_GAMES, least)


def seed_of(seed: Any, allowed: str) -> int | None:
    """A seed of Gymnasium's: a whole number of any size, or None."""
    if seed is not None and (
        isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0
    ):
        raise ConfigError("seed", seed, allowed)
    return None if seed is None else int(seed)


def autoreset_mode_of(mode: object) -> AutoresetMode:
    """The mode of a member, name or value of ``gymnasium.vector.AutoresetMode``."""
    for known in AutoresetMode:
        if mode in (known, known.name, known.value):
            return known
    raise ConfigError(
        "autoreset_mode", mode, "one of " + ", ".join(known.name for known in AutoresetMode)
    )
