"""Players without a model: random, random-legal, greedy, search, oracle, and scripted replies for
tests.

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
from numpy.typing import NDArray
from typing_extensions import override

from vlmgym.core import NO_ACTION, ConfigError, Game, State, best_action
from vlmgym.core.simulation import Simulator
from vlmgym.dialogue.perception import truth
from vlmgym.dialogue.reply import BLOCKS, Blocks, write_reply
from vlmgym.players.base import Player, Query, player_rng

GAMES_AT_ONCE = 64
"""Games whose moves :class:`Search` tries together."""


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

    @override
    def reply(self, game: Game, state: State, blocks: Blocks = BLOCKS) -> list[str]:
        """The texts for each row; ``blocks``: what the blocks are called."""
        descriptions = truth(game, state)
        actions = self.choose(game, state)
        replies = []
        for description, action in zip(descriptions, actions, strict=True):
            answer = game.encode(state.level, int(action)) if action != NO_ACTION else "none"
            replies.append(write_reply(description, type(self).name, answer, blocks))
        return replies


class Random(Chooser):
    """Uniform over all actions, legal or not."""

    name = "random"

    @override
    def choose(self, game: Game, state: State) -> list[int]:
        count = game.n_actions(state.level)
        generators = [player_rng(self.salt, state, row) for row in range(len(state))]
        return [int(generator.integers(count)) for generator in generators]


class RandomLegal(Chooser):
    """Uniform over the legal actions."""

    name = "random-legal"

    @override
    def choose(self, game: Game, state: State) -> list[int]:
        chosen = []
        for row, mask in enumerate(game.legal(state)):
            actions = np.flatnonzero(mask)
            generator = player_rng(self.salt, state, row)
            chosen.append(int(generator.choice(actions)) if len(actions) else NO_ACTION)
        return chosen


class Greedy(Chooser):
    """The legal action with the largest gain of this turn.

    It tries each on a game that looks the same, rebuilt from what is to be seen, so it knows
    neither luck to come nor hidden things. (Games that show a finished picture cannot be rebuilt;
    there it tries a fork with other luck.)
    """

    name = "greedy"

    @override
    def choose(self, game: Game, state: State) -> list[int]:
        legal = game.legal(state)
        rows, actions = np.nonzero(legal)
        gains = np.full(legal.shape, -1, np.int64)
        _, outcome = game.step(as_seen(game, state, self.salt)[rows], actions)
        gains[rows, actions] = outcome.gain
        best = gains.argmax(axis=1)
        return [
            int(action) if gains[row, action] >= 0 else NO_ACTION for row, action in enumerate(best)
        ]


def as_seen(game: Game, state: State, salt: int) -> State:
    """Games that look the same, at the same turn, with luck of their own."""
    scene = game.scene(state)
    if scene.pixels is not None:
        return state.reseed(salt)
    seen = game.from_symbols(state.level, scene.symbols)
    return seen.with_arrays({"steps": state.steps, "seed": state.seed}).reseed(salt)


class Search(Chooser):
    """The legal action after which random legal play gains most, over simulated continuations from
    a game that looks the same; where the oracle counts the moves of a shortest solution exactly,
    the one with the fewest.

    Rollouts of a random policy are a policy improvement on it (Tesauro and Galperin 1996); see
    :func:`vlmgym.core.simulation.simulate`.

    Args:
        continuations: of each action.
        horizon: moves of a continuation, at the most.
        salt: of the luck of the continuations.
    """

    name = "search"

    def __init__(self, continuations: int = 32, horizon: int = 20, salt: int = 0) -> None:
        super().__init__(salt)
        self.simulator = Simulator(continuations, horizon)

    @override
    def describe(self) -> dict[str, Any]:
        simulator = self.simulator
        said = {"continuations": simulator.continuations, "horizon": simulator.horizon}
        return {**super().describe(), **said}

    @override
    def choose(self, game: Game, state: State) -> list[int]:
        """As :class:`Chooser`.

        Raises:
            ConfigError: the game hides cells, which a search of its states would look under.
        """
        self.refuse(game)
        chosen = list[int]()
        for start in range(0, len(state), GAMES_AT_ONCE):
            part = as_seen(game, state[start : start + GAMES_AT_ONCE], self.salt)
            chosen += self._best(game, part).tolist()
        return chosen

    def refuse(self, game: Game) -> None:
        """Refuse a game that cannot be searched.

        Raises:
            ConfigError: it hides cells.
        """
        if game.covered is not None:
            allowed = f"a game that shows its whole board: {game.name} hides cells"
            raise ConfigError("player", self.name, allowed)

    def _best(self, game: Game, state: State) -> NDArray[np.int64]:
        """``(B,)``: the action for each game."""
        if game.counts_moves(state.level):
            return np.array([best_action(values) for values in game.oracle(state)])
        legal = game.legal(state)
        most = max(1, int(legal.sum(axis=1).max()))
        # the legal actions first; in place of the others stands the first one, which costs nothing
        actions = np.argsort(~legal, axis=1, kind="stable")[:, :most]
        is_legal = np.take_along_axis(legal, actions, axis=1)
        actions = np.where(is_legal, actions, actions[:, :1])
        actions[~is_legal[:, 0]] = NO_ACTION
        values = self.simulator.simulate(game, state, actions).values
        return actions[np.arange(len(actions)), values.argmax(axis=1)]


class Oracle(Chooser):
    """The action with the largest oracle value."""

    name = "oracle"

    @override
    def choose(self, game: Game, state: State) -> list[int]:
        return [best_action(values) for values in game.oracle(state)]


class Scripted(Player):
    """Fixed replies: a text for every turn, texts in turn order, or a function of (game, one-row
    state).

    A function stands for a model: what it says of the board counts as its own. Of one that tells
    the truth set ``sees = "state"``.
    """

    name = "scripted"
    sees = "nothing"

    def __init__(self, replies: str | Sequence[str] | Callable[[Game, State], str]) -> None:
        self.replies = replies

    @override
    def describe(self) -> dict[str, Any]:
        """Of a function, its code and what it holds on to (in another process
        that may read differently).
        """
        if callable(self.replies):
            code = getattr(self.replies, "__code__", None)
            cells = getattr(self.replies, "__closure__", None) or ()
            contents = [cell.cell_contents for cell in cells]
            function = (marshal.dumps(code) if code else repr(self.replies), contents)
            return {"kind": "scripted", "function": _digest(repr(function))}
        replies = [self.replies] if isinstance(self.replies, str) else list(self.replies)
        content = _digest(json.dumps(replies))
        return {"kind": "scripted", "replies": len(replies), "content": content}

    @override
    def answer(self, queries: Sequence[Query]) -> list[list[str]]:
        return [self._texts(query.game, query.state) for query in queries]

    def _texts(self, game: Game, state: State) -> list[str]:
        if callable(self.replies):
            return [self.replies(game, state[row]) for row in range(len(state))]
        if isinstance(self.replies, str):
            return [self.replies] * len(state)
        count = len(self.replies)
        return [self.replies[int(turn) % count] for turn in state.steps]


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
