"""The contract of a player, and the luck that players share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

import numpy as np

from vlmgym.core import Game, State


class Player(ABC):
    """Answers states with texts; one reply a row, each independent of the batch it came in."""

    name: str
    on_answers: Callable[[int], object] | None = None
    """Called by slow players with the number of states answered since the last call, for a progress bar."""

    @abstractmethod
    def reply(self, game: Game, state: State) -> list[str]:
        """One reply text for each row of ``state`` (none of them ended)."""


def player_rng(salt: int, state: State, row: int) -> np.random.Generator:
    """Luck of a player for one turn: a function of (salt, the game's seed, the turn), so equal in every batch."""
    return np.random.default_rng([salt, int(state.seed[row]), int(state.steps[row])])
