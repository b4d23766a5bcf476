"""The scripted player that weighs several moves by simulated continuations, and says so."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from vlmgym.core import NO_ACTION, Game, State
from vlmgym.dialogue.perception import truth
from vlmgym.dialogue.reply import BLOCKS, Blocks, write_reply
from vlmgym.players.base import Player, Query
from vlmgym.players.simple import Search, as_seen

MOST_WEIGHED = 6
"""Moves that are named in a think block."""


class Weigher(Player):
    """Names what each of a few moves does and what it is worth by simulation, and plays the best of
    them: a teacher whose thoughts can be selected among, where :class:`Teacher` ends at the first
    move that works.

    Such as ``"0 up 0 4 0 0 worth 31; 1 right no; 2 down 0 4 0 0 worth 44; so 2"``: worth are the
    mean points of the move and of random legal play after it. Where the oracle counts the moves of
    a shortest solution it reasons as the game does.

    Args:
        continuations: of each move.
        horizon: moves of a continuation, at the most.
        salt: of the luck of the continuations.
    """

    name = "weigher"
    sees = "state"

    def __init__(self, continuations: int = 64, horizon: int = 20, salt: int = 0) -> None:
        self.search = Search(continuations, horizon, salt)

    @override
    def describe(self) -> dict[str, Any]:
        return {**self.search.describe(), "kind": self.name}

    @override
    def answer(self, queries: Sequence[Query]) -> list[list[str]]:
        return [self.reply(query.game, query.state, query.style, query.blocks) for query in queries]

    @override
    def reply(
        self, game: Game, state: State, style: str = "full", blocks: Blocks = BLOCKS
    ) -> list[str]:
        """The texts for each row; ``style`` of the prompt, and what the blocks are called.

        Raises:
            ConfigError: the game hides cells, see :class:`Search`.
        """
        self.search.refuse(game)
        descriptions = truth(game, state, style)
        replies = []
        for row, description in enumerate(descriptions):
            reasoning, action = self._weigh(game, state, row)
            answer = "none" if action == NO_ACTION else game.encode(state.level, action)
            think = f"{reasoning}; so {answer}" if reasoning else f"so {answer}"
            replies.append(write_reply(description, think, answer, blocks))
        return replies

    def _weigh(self, game: Game, state: State, row: int) -> tuple[str, int]:
        """The phrases, and the best of the moves that are named."""
        if game.counts_moves(state.level):
            return game.reasoning(state, row, game.oracle(state[row])[0])
        legal = game.legal(state[row])[0]
        named = game.candidates(state, row)[:MOST_WEIGHED]
        if not legal[named].any():
            named = np.flatnonzero(legal)[:MOST_WEIGHED].tolist()
        if not named:
            return "", NO_ACTION
        worth = self._worth(game, state[row], named, legal)
        phrases = []
        for action, value in zip(named, worth, strict=True):
            phrase = game.explain(state, row, action)
            phrases.append(phrase if np.isnan(value) else f"{phrase} worth {value:.0f}")
        return "; ".join(phrases), int(named[int(np.nanargmax(worth))])

    def _worth(
        self, game: Game, state: State, named: Sequence[int], legal: NDArray[np.bool_]
    ) -> NDArray[np.float64]:
        """What each move is worth; NaN of those that are not legal."""
        seen = as_seen(game, state, self.search.salt)
        values = self.search.simulator.simulate(game, seen, [list(named)]).values[0]
        return np.where(legal[list(named)], values, np.nan)
