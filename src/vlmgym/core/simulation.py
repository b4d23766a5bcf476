"""What moves are worth, by the rules alone: forks of a game are played on by a cheap policy, many
at a time and without a picture.

A state is a value, so a fork of it is the game itself: what is simulated differs from what is
played by its luck and by who plays, and by nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from vlmgym.core.actions import DEAD, NO_ACTION, Outcome, pick_rows
from vlmgym.core.arguments import action_ids
from vlmgym.core.errors import ActionError, ConfigError
from vlmgym.core.random import SIMULATION_SALT, SIMULATION_STREAM
from vlmgym.core.settings import Settings, setting, whole
from vlmgym.core.state import State


class Rules(Protocol):
    """What continuations need of a game; :class:`vlmgym.core.Game` has it."""

    name: ClassVar[str]

    def belongs(self, state: Any) -> None:
        """See that a state is one of this game."""

    def n_actions(self, level: Any) -> int:
        """Number of action ids."""

    def legal(self, state: Any) -> NDArray[np.bool_]:
        """``(B, A)``: the actions that change the board."""

    def draw_legal(self, state: Any, number: int = ...) -> NDArray[np.int64]:
        """``(B,)``: a drawn legal action."""

    def step(self, state: Any, actions: NDArray[np.int64]) -> tuple[Any, Outcome]:
        """Play a turn in every row."""

    def success(
        self, state: Any, actions: NDArray[np.int64], outcome: Outcome
    ) -> NDArray[np.bool_]:
        """``(B,)``: the turns that are worth the paper's +1."""

    def points(self, state: Any) -> NDArray[np.float64]:
        """``(B,)``: 1 where a game is won, or its goal is reached."""

    def oracle(self, state: Any) -> NDArray[np.float64]:
        """``(B, A)`` values of the actions."""

    def counts_moves(self, level: Any) -> bool:
        """Whether these count the moves of a shortest solution."""


Policy = Callable[[Rules, State, int], NDArray[np.int64]]
"""``policy(game, state, number)``: an action for each row, NO_ACTION where it has none.

``number`` is that of its first draw, see :func:`vlmgym.core.draw64`; seed and turn are those of the
row.
"""

LUCKS = ("common", "own")
"""Whether the continuations of all actions of a state meet the same luck, or each its own."""

COUNTS = ("points", "turns")
"""What returns may add up: points, or 1 and -1 for turns that succeed or do not."""

MOST_CONTINUATIONS = 1_000_000
MOST_MOVES = 1_000_000
"""Of a continuation."""

ROWS_AT_ONCE = 8192
"""Games that are played on together: their boards stay in the cache."""

CROWDED = 0.75
"""Share of games still going below which those that have ended are dropped."""


@dataclass(frozen=True)
class Simulation:
    """What came of each action of each state.

    Attributes:
        returns: ``(B, n, K)`` float64: the points that the action and the moves after it gained, in
            each continuation. Where ``exact``, ``(B, n, 1)``: minus the moves of a shortest
            solution that begins with the action, :data:`vlmgym.core.DEAD` where there is none.
        solved: bool, of the same shape: the game was won, or its goal reached
            (:meth:`vlmgym.core.Game.points`). Where ``exact``: it can be solved within the turns
            left.
        exact: whether these are known values, and no estimates.
        moves: that the rules played for it.
    """

    returns: NDArray[np.float64]
    solved: NDArray[np.bool_]
    exact: bool
    moves: int

    @property
    def values(self) -> NDArray[np.float64]:
        """``(B, n)``: the mean return of each action."""
        return self.returns.mean(axis=2)

    @property
    def success(self) -> NDArray[np.float64]:
        """``(B, n)``: the share of continuations in which the game was solved."""
        return self.solved.mean(axis=2)

    @property
    def errors(self) -> NDArray[np.float64]:
        """``(B, n)``: the standard error of :attr:`values`; 0 where exact, NaN of a single
        continuation.
        """
        count = self.returns.shape[2]
        if self.exact:
            return np.zeros(self.returns.shape[:2])
        if count < 2:
            return np.full(self.returns.shape[:2], np.nan)
        return self.returns.std(axis=2, ddof=1) / np.sqrt(count)


def fork(state: State, count: int) -> State:
    """``(B * count)``: each game so often, side by side, continuation k of every game with the k-th
    of its lucks; none of them is its own.
    """
    return state.repeat(count).reseed(SIMULATION_SALT + np.tile(np.arange(count), len(state)))


class Continued(NamedTuple):
    """What came of games that were played on."""

    returns: NDArray[np.float64]  # (B,) what was counted
    solved: NDArray[np.bool_]  # (B,) won, or its goal reached
    turns: NDArray[np.int64]  # (B,) that were played

    @property
    def moves(self) -> int:
        """That the rules played, of all games together."""
        return int(self.turns.sum())


def random_legal(game: Rules, state: State, number: int) -> NDArray[np.int64]:
    """Any legal action, all alike."""
    return game.draw_legal(state, number)


def greedy(game: Rules, state: State, number: int) -> NDArray[np.int64]:
    """A legal action of the largest gain of this turn, all of these alike.

    It tries each on the game itself, whose luck of the turn it sees so.
    """
    legal = game.legal(state)
    rows, actions = np.nonzero(legal)
    _, outcome = game.step(state[rows], actions)
    gains = np.full(legal.shape, -np.inf)
    gains[rows, actions] = outcome.gain
    best = legal & (gains == gains.max(axis=1, keepdims=True, initial=-np.inf))
    return pick(best, state, number)


def pick(allowed: NDArray[np.bool_], state: State, number: int) -> NDArray[np.int64]:
    """``(B,)``: an allowed action of each row, all alike; NO_ACTION where there is none.

    Args:
        allowed: ``(B, A)``.
        state: ``B`` games, whose seed and turn the draws are of.
        number: of the draw.
    """
    actions = np.empty(len(state), np.int64)
    pick_rows(allowed, state.seed, state.steps, number, actions)
    return actions


POLICIES: Mapping[str, Policy] = {"random": random_legal, "greedy": greedy}
"""The policies that go on, by name."""


@dataclass(frozen=True)
class Simulator(Settings):
    """How continuations are played; see :func:`simulate`."""

    continuations: int = setting(32, "continuations of each action", 1, MOST_CONTINUATIONS)
    horizon: int = setting(20, "moves of a continuation at the most", 0, MOST_MOVES)
    policy: str = setting(
        "random", "who plays them on: any legal move, or greedy", choices=(*POLICIES,)
    )
    luck: str = setting(
        "common", "all actions of a state meet the same luck, or each its own", choices=LUCKS
    )

    def simulate(self, game: Rules, state: State, actions: Any) -> Simulation:
        """See :func:`simulate`."""
        return simulate(
            game, state, actions, self.continuations, self.horizon, self.policy, self.luck
        )

    def rest(self, game: Rules, state: State) -> NDArray[np.float64]:
        """``(B,)``: what is still to come in each game; 0 in one that the rules have ended.

        Where the game's oracle counts exactly, minus the moves of a shortest solution whatever the
        turn limit, :data:`vlmgym.core.DEAD` where there is none; else the mean points of
        continuations up to the turn limit, whose luck is that of the row's seed.
        """
        if game.counts_moves(state.level):
            unlimited = state.with_arrays({"steps": np.zeros_like(state.steps)})
            return np.where(state.terminated, 0.0, _best(game.oracle(unlimited)))
        played = play_on(game, fork(state, self.continuations), self.horizon, self.policy)
        return played.returns.reshape(len(state), -1).mean(axis=1)


def simulate(
    game: Rules,
    state: State,
    actions: Any,
    continuations: int = 32,
    horizon: int = 20,
    policy: str | Policy = "random",
    luck: str = "common",
    exact: bool = True,
) -> Simulation:
    """Expected points, and success, after each of several actions from each state.

    Monte-Carlo rollouts, as in Tesauro and Galperin, On-line Policy Improvement using Monte-Carlo
    Search (1996): the action is played on ``continuations`` forks, each with luck of its own, and
    the policy plays on. The luck of a continuation is one that the game itself will not meet. Where
    the oracle of the game counts the moves of a shortest solution exactly
    (:meth:`~vlmgym.core.Game.counts_moves`), that is what is returned instead.

    Args:
        game: the game.
        state: ``B`` games; left untouched.
        actions: ``(B, n)`` action ids, or NO_ACTION. Equal actions of a row are played once.
        continuations: ``K``, of each action.
        horizon: moves after the action, at the most; an ended game is not played on.
        policy: a name of :data:`POLICIES`, or a function as :data:`Policy`.
        luck: ``"common"``: continuation k of every action of a state meets the same luck, which
            takes noise from their differences; ``"own"``: each action has its own.
        exact: take the oracle's values where they are exact.

    Raises:
        ActionError: actions of another shape, or an id outside the action space.
        ConfigError: another policy or luck, or a number out of range.
    """
    game.belongs(state)
    ids = action_ids(game, state.level, actions)
    if ids.ndim != 2 or len(ids) != len(state):
        raise ActionError(f"actions of shape {ids.shape}: allowed are ({len(state)}, n)")
    count = whole("continuations", continuations, MOST_CONTINUATIONS, 1)
    if luck not in LUCKS:
        raise ConfigError("luck", luck, "one of " + ", ".join(LUCKS))
    if exact and game.counts_moves(state.level):
        return _exact(game, state, ids)
    rows, tried, places = _different(ids)
    salts = np.tile(np.arange(count), len(rows))
    if luck == "own":
        salts = salts + np.repeat(tried + 1, count) * count
    forks = state[np.repeat(rows, count)].reseed(SIMULATION_SALT + salts)
    returns = np.empty(len(forks))
    solved = np.empty(len(forks), bool)
    moves = 0
    for start in range(0, len(forks), ROWS_AT_ONCE):
        part = slice(start, start + ROWS_AT_ONCE)
        after, outcome = game.step(forks[part], np.repeat(tried, count)[part])
        played = play_on(game, after, horizon, policy)
        returns[part] = outcome.gain + played.returns
        solved[part] = played.solved
        moves += len(after) + played.moves
    shape = (*ids.shape, count)
    return Simulation(
        returns.reshape(-1, count)[places].reshape(shape),
        solved.reshape(-1, count)[places].reshape(shape),
        exact=False,
        moves=moves,
    )


def play_on(
    game: Rules,
    state: State,
    horizon: int,
    policy: str | Policy = "random",
    counts: str = "points",
) -> Continued:
    """Play games on, to their end or for ``horizon`` moves.

    Args:
        game: the game.
        state: ``B`` games; left untouched.
        horizon: moves at the most.
        policy: who plays.
        counts: what returns add up: ``"points"``, or ``"turns"``: 1 for a turn that succeeds, -1
            for another one (the paper's reward).

    Raises:
        ConfigError: there is no such policy or count, or the horizon is out of range.
    """
    horizon = whole("horizon", horizon, MOST_MOVES)
    policy = find_policy(policy)
    if counts not in COUNTS:
        raise ConfigError("counts", counts, "one of " + ", ".join(COUNTS))
    parts = [Continued(np.zeros(0), np.zeros(0, bool), np.zeros(0, np.int64))]
    for start in range(0, len(state), ROWS_AT_ONCE):
        part = state[start : start + ROWS_AT_ONCE]
        parts.append(_play_part(game, part, horizon, policy, counts))
    return Continued(*map(np.concatenate, zip(*parts, strict=True)))


def find_policy(policy: str | Policy) -> Policy:
    """The policy of a name; a function is itself.

    Raises:
        ConfigError: there is none of this name.
    """
    if callable(policy):
        return policy
    if policy not in POLICIES:
        raise ConfigError("policy", policy, "a function, or one of " + ", ".join(POLICIES))
    return POLICIES[policy]


def _play_part(game: Rules, state: State, horizon: int, policy: Policy, counts: str) -> Continued:
    """:func:`play_on` of games that are played together; those that have ended are dropped once
    they are many.
    """
    returns = np.zeros(len(state))
    solved = game.points(state) == 1
    turns = np.zeros(len(state), np.int64)
    rows = np.arange(len(state))  # of those that are still played
    for _ in range(horizon):
        going = ~state.ended
        if going.mean() < CROWDED:
            rows = rows[going]
            state = state[going]
            going = going[going]
        if not len(rows):
            break
        before = state
        actions = policy(game, before, SIMULATION_STREAM)
        state, outcome = game.step(before, actions)
        if counts == "points":
            returns[rows] += outcome.gain
        else:
            succeeds = game.success(before, actions, outcome)
            returns[rows] += np.where(going, np.where(succeeds, 1.0, -1.0), 0.0)
        turns[rows] += going
        ended = state.terminated & going
        if ended.any():
            solved[rows[ended]] = game.points(state[ended]) == 1
    return Continued(returns, solved, turns)


def _different(
    ids: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """The pairs of row and action that differ, and which of them stands at each place of ``ids``,
    ``(B * n,)``.
    """
    rows = np.repeat(np.arange(len(ids)), ids.shape[1])
    pairs = np.stack([rows, ids.ravel()], axis=1)
    different, places = np.unique(pairs, axis=0, return_inverse=True)
    return different[:, 0], different[:, 1], places.reshape(-1)


def _exact(game: Rules, state: State, ids: NDArray[np.int64]) -> Simulation:
    """The oracle's values; what changes nothing leaves as many moves as there were, and is one
    more.
    """
    values = game.oracle(state)
    idle = np.maximum(_best(values) - 1.0, DEAD)
    chosen = np.take_along_axis(values, np.maximum(ids, 0), axis=1)
    values = np.where((ids == NO_ACTION) | np.isnan(chosen), idle[:, None], chosen)
    limit = state.level.max_steps
    left = limit - state.steps if limit else np.full(len(state), -DEAD)
    solved = (values > DEAD) & (-values <= left[:, None])
    return Simulation(values[:, :, None], solved[:, :, None], exact=True, moves=0)


def _best(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """``(B,)``: the largest value of each row, DEAD where none is legal."""
    return np.where(np.isnan(values), DEAD, values).max(axis=1, initial=DEAD)
