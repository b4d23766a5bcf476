"""A game of a policy pool, which goes on as the policy plays it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

from vlmgym.core import Game, State
from vlmgym.games import read_state_text, state_text


@dataclass
class PoolEpisode:
    """A game of a policy pool: where it stands, its level, how many answers in a row changed
    nothing, and whether it passes.

    It passes where no action can succeed and some is legal (2048: nothing merges): the game goes
    on, but no group is asked.
    """

    state: State  # one row
    level: str
    idle: int = 0
    passing: bool = False

    def values(self, game: Game) -> list[Any]:
        """As JSON values."""
        return [state_text(game, self.state), self.level, self.idle, self.passing]

    @classmethod
    def of(cls, values: Sequence[Any]) -> Self:
        """What :meth:`values` gave."""
        text, level, idle, passing = values
        return cls(read_state_text(text)[1], level, idle, passing)
