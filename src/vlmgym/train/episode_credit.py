"""What episodes of a group are credited with, turn by turn: from their records to
:class:`vlmgym.train.turn_credit.TurnRewards`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vlmgym.core import Game, State, concat
from vlmgym.core.simulation import Simulator, fork, play_on
from vlmgym.dialogue.weights import Weights
from vlmgym.episodes.batch import EpisodeBatch
from vlmgym.train.forks import Fork, forked_values
from vlmgym.train.multi_turn import turn_terms
from vlmgym.train.turn_credit import (
    TURN_ESTIMATORS,
    TurnRewards,
    describe,
    of_tokens,
    scaled,
)

if TYPE_CHECKING:
    from vlmgym.train.settings import GrpoSettings

SAME_STATE = ("seed", "score", "steps")
"""The arrays of a state that may differ where it is met again."""


def credit_turns(
    groups: Sequence[Sequence[EpisodeBatch]],
    mask: NDArray[np.bool_],
    settings: GrpoSettings,
    weights: Weights,
    forks: Sequence[Sequence[Fork]] = (),
) -> tuple[NDArray[np.float64], dict[str, float]]:
    """The advantages of the tokens of episodes, ``(R, L)``, and what is logged of them.

    Args:
        groups: of episodes that are over, ``R`` in all.
        mask: ``(R, L)``: the tokens that the policy wrote.
        settings: whose credit is one of :data:`TURN_ESTIMATORS`.
        weights: of the reward terms.
        forks: of each group, where credit is ``fork``.
    """
    estimate = TURN_ESTIMATORS[settings.credit]
    advantages = []
    found = defaultdict[str, list[float]](list)
    for index, group in enumerate(groups):
        turns = turn_rewards(group, settings.episode, weights, settings.credit == "value")
        if settings.credit == "fork":
            discount = settings.returns.discount
            rest = np.roll(turns.returns(discount), -1, axis=1)
            rest[:, -1] = 0.0
            values = forked_values(forks[index], rest, settings.episode, weights, discount)
            turns = replace(turns, forked=values)
        advantages.append(scaled(estimate(turns, settings.returns), turns))
        for name, number in describe(turns, settings.returns).items():
            found[name].append(number)
    means = {name: float(np.mean(numbers)) for name, numbers in found.items()}
    return of_tokens(np.concatenate(advantages), mask), means


def turn_rewards(
    episodes: Sequence[EpisodeBatch], kind: str, weights: Weights, values: bool
) -> TurnRewards:
    """What the turns of a group of episodes are rewarded with; the sum of an episode's is what it
    is worth as one sample.

    Args:
        episodes: of one start, all over.
        kind: see :func:`vlmgym.train.multi_turn.episode_terms`.
        weights: of the reward terms, and how the rest of a game is simulated.
        values: whether the expected return of each state is simulated.
    """
    most = episodes[0].limit
    shape = (len(episodes), most)
    rewards = np.zeros(shape)
    played = np.zeros(shape, bool)
    states: list[State] = []
    for row, episode in enumerate(episodes):
        for number, terms in enumerate(turn_terms(episode, kind, weights)):
            rewards[row, number] = weights.total(terms)
            played[row, number] = True
            states.append(episode.turns[number].load()[1])
    game = episodes[0].game
    met = concat(states)
    numbers = np.full(shape, -1, np.int64)
    numbers[played] = _numbers(met)
    expected = None
    if values:
        left = np.broadcast_to(most - np.arange(most), shape)[played]
        unit = weights.game if kind == "score" else weights.game / most
        expected = np.zeros((len(episodes), most + 1))
        expected[:, :-1][played] = unit * _expected(game, met, left, kind, weights.simulator)
    return TurnRewards(rewards, played, numbers, expected)


def _numbers(state: State) -> NDArray[np.int64]:
    """``(B,)``: a number for each state, equal where they are the same."""
    rows = state.row_bytes(SAME_STATE)
    numbers: NDArray[np.int64] = np.unique(rows, axis=0, return_inverse=True)[1].reshape(-1)
    return numbers


def _expected(
    game: Game, state: State, left: NDArray[np.int64], kind: str, simulator: Simulator
) -> NDArray[np.float64]:
    """``(B,)``: the expected return of each state, in points or in turns that succeed or do not.

    Turns that an ended game leaves unplayed count -1 each, but where it was solved, as they do in
    an episode.

    Args:
        game: the game.
        state: ``B`` games.
        left: ``(B,)`` turns that the episode has left.
        kind: ``"turns"`` or ``"score"``.
        simulator: how they are played on; beyond its horizon nothing is counted.
    """
    expected = np.zeros(len(state))
    count = simulator.continuations
    counts = "points" if kind == "score" else "turns"
    for turns in np.unique(left):
        rows = np.flatnonzero(left == turns)
        horizon = min(int(turns), simulator.horizon)
        found = play_on(game, fork(state[rows], count), horizon, simulator.policy, counts)
        returns = found.returns
        if kind == "turns":
            returns = returns - np.where(found.solved, 0, horizon - found.turns)
        expected[rows] = returns.reshape(len(rows), count).mean(axis=1)
    return expected
