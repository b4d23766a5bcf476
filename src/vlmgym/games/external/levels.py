"""Levels and states of games that are made from environments."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from vlmgym.core import Level, State, setting


@dataclass(frozen=True)
class LevelOutside(Level):
    """Settings of a game made from an environment."""

    hold: int = setting(1, "steps of the environment that a turn holds its action for", 1, 1000)
    sticky: float = setting(
        0.0, "probability that a turn repeats the action of the last one instead", 0.0, 0.9
    )


@dataclass(frozen=True)
class LevelAtari(LevelOutside):
    """Settings of an arcade game; the fields after ``hold`` are those of the Arcade Learning
    Environment.
    """

    frameskip: int = setting(4, "frames of one step", 1, 60)
    noop_max: int = setting(
        30, "a fresh game begins after 0 to this many steps without an action, by its seed", 0, 1000
    )
    mode: int = setting(0, "game mode, see the environment's page", 0, 255)
    difficulty: int = setting(0, "difficulty switch, see the environment's page", 0, 3)


@dataclass(frozen=True, eq=False)
class StateOutside(State[LevelOutside]):
    """A state of an outside environment; ``board`` holds the snapshot, padded: emulator bytes, or
    actions + 1 in order.
    """

    used: NDArray[np.int64]  # (B,) bytes of the snapshot in use
    deal: NDArray[np.uint64]  # (B,) the seed that the environment was reset with
    last: NDArray[np.int64]  # (B,) the action that was played last, or -1
    frame: NDArray[np.uint8]  # (B, H, W, 3) what it rendered
    cut: NDArray[np.bool_]  # (B,) a time limit of the environment itself was reached

    @property
    @override
    def truncated(self) -> NDArray[np.bool_]:
        """``(B,)`` bool: the turn limit of the level or a time limit of the environment was
        reached, not an end by the rules.
        """
        return ~self.terminated & (self.cut | super().truncated)
