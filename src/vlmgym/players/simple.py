"""Players without a model: random, random-legal, greedy, oracle, and scripted replies for tests.

All but ``scripted`` describe the true board, so their perception is perfect by construction.
"""

from __future__ import annotations

import hashlib
import json
import marshal
from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from typing_extensions import override

from vlmgym.core import NO_ACTION, Game, State, best_action
from vlmgym.dialogue.perception import truth
from vlmgym.dialogue.reply import BLOCKS, Blocks, write_reply
from vlmgym.players.base import Player, Query, player_rng


class Chooser(Player):
    """A player that picks an action id and writes it into a well-formed reply."""

    sees = "state"

    def __init__(self, salt: int = 0) -> None:
        self.salt = salt

    @override
    def describe(self) -> dict[str, Any]:
        return {"kind": type(self).name, "salt": self.salt}

    @abstractmethod
    def choose(self, game: Game, state: State) -> Sequence[int]:
        """An action id (or NO_ACTION) for each row."""

    @override
    def answer(self, queries: Sequence[Query]) -> list[list[str]]:
        return [self.reply(query.game, query.state, query.blocks) for query in queries]

    def reply(self, game: Game, state: State, blocks: Blocks = BLOCKS) -> list[str]:
        """See :class:`Player`; ``blocks``: what the blocks are called."""
        boards = truth(game, state)
        out = []
        for board, action in zip(boards, self.choose(game, state), strict=True):
            answer = game.encode(state.level, int(action)) if action != NO_ACTION else "none"
            out.append(write_reply(board, type(self).name, answer, blocks))
        return out


class Random(Chooser):
    """Uniform over all actions, legal or not."""

    name = "random"

    @override
    def choose(self, game: Game, state: State) -> list[int]:
        count = game.n_actions(state.level)
        return [int(player_rng(self.salt, state, row).integers(count)) for row in range(len(state))]


class RandomLegal(Chooser):
    """Uniform over the legal actions."""

    name = "random-legal"

    @override
    def choose(self, game: Game, state: State) -> list[int]:
        legal = [np.flatnonzero(mask) for mask in game.legal(state)]
        return [
            int(player_rng(self.salt, state, row).choice(ids)) if len(ids) else NO_ACTION
            for row, ids in enumerate(legal)
        ]


class Greedy(Chooser):
    """The legal action with the largest gain of this turn.

    It tries each on a game that looks the same, rebuilt from what is to be seen, so it knows
    neither luck to come nor hidden things. (Games that show a finished picture cannot be rebuilt;
    there it tries a fork with other luck.)
    """

    name = "greedy"

    @override
    def choose(self, game: Game, state: State) -> list[int]:
        scene = game.scene(state)
        seen = (
            state.reseed(self.salt)
            if scene.pixels is not None
            else game.from_symbols(state.level, scene.symbols)
        )
        rows, actions = np.nonzero(game.legal(state))
        gains = np.full((len(state), game.n_actions(state.level)), -1, np.int64)
        gains[rows, actions] = game.step(seen[rows], actions)[1].gain
        return [int(g.argmax()) if g.max() >= 0 else NO_ACTION for g in gains]


class Oracle(Chooser):
    """The action with the largest oracle value."""

    name = "oracle"

    @override
    def choose(self, game: Game, state: State) -> list[int]:
        return [best_action(values) for values in game.oracle(state)]


class Scripted(Player):
    """Fixed replies: a text for every turn, texts in turn order, or a function of (game, one-row
    state).
    """

    name = "scripted"
    sees = "nothing"

    def __init__(self, replies: str | Sequence[str] | Callable[[Game, State], str]) -> None:
        self.replies = replies

    def describe(self) -> dict[str, Any]:
        """Of a function, its code and what it holds on to (in another process
        that may read differently).
        """
        if callable(self.replies):
            code = getattr(self.replies, "__code__", None)
            cells = getattr(self.replies, "__closure__", None) or ()
            parts = (
                marshal.dumps(code) if code else repr(self.replies),
                [cell.cell_contents for cell in cells],
            )
            return {
                "kind": "scripted",
                "function": hashlib.blake2b(repr(parts).encode(), digest_size=16).hexdigest(),
            }
        replies = [self.replies] if isinstance(self.replies, str) else list(self.replies)
        content = hashlib.blake2b(json.dumps(replies).encode(), digest_size=16).hexdigest()
        return {"kind": "scripted", "replies": len(replies), "content": content}

    @override
    def answer(self, queries: Sequence[Query]) -> list[list[str]]:
        return [self._texts(query.game, query.state) for query in queries]

    def _texts(self, game: Game, state: State) -> list[str]:
        if callable(self.replies):
            return [self.replies(game, state[row]) for row in range(len(state))]
        if isinstance(self.replies, str):
            return [self.replies] * len(state)
        return [self.replies[int(step) % len(self.replies)] for step in state.steps]
