"""The contract of a player, and the luck that players share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from vlmgym.core import Game, State
from vlmgym.looks import Look


@dataclass(frozen=True)
class Query:
    """What a player is asked: one turn of some games of one kind (none of them ended), how they look, and the prompt style."""

    game: Game
    state: State
    look: Look
    style: str


class Player(ABC):
    """Answers states with texts; one reply a row, each independent of the batch it came in."""

    name: str
    on_answers: Callable[[int], object] | None = None
    """Called by slow players with the number of states answered since the last call, for a progress bar."""

    @abstractmethod
    def reply(self, game: Game, state: State) -> list[str]:
        """One reply text for each row of ``state`` (none of them ended)."""

    def answer(self, queries: Sequence[Query]) -> list[list[str]]:
        """Replies to several queries; players who gain from it answer them in common batches."""
        return [self.reply(query.game, query.state) for query in queries]


def player_rng(salt: int, state: State, row: int) -> np.random.Generator:
    """Luck of a player for one turn: a function of (salt, the game's seed, the turn), so equal in every batch."""
    return np.random.default_rng([salt, int(state.seed[row]), int(state.steps[row])])
