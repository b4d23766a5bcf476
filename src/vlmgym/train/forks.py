"""Turns that are forked: the policy itself plays on from before and from after them, several times.

A fork is a conversation up to a turn, and the game as it stood there; its luck from there on is its
own. Which turns are forked depends on their states alone (how much their legal actions differ in a
simulation), so what is found there is a baseline without bias.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vlmgym.core import Game, State
from vlmgym.core.random import FORK_SALT
from vlmgym.core.simulation import Simulator
from vlmgym.dialogue.weights import Weights
from vlmgym.episodes.batch import EpisodeBatch
from vlmgym.players.base import Answer
from vlmgym.train.multi_turn import turn_terms

TRIED = 8
"""Legal actions of a state, at the most, whose difference is simulated."""


@dataclass(frozen=True)
class Fork:
    """A turn that is forked.

    Attributes:
        episode: its number in the group.
        turn: its number in the episode.
        before: continuations from the state in which it was played, of one row each.
        after: continuations from the state that it led to; none where the episode was over.
    """

    episode: int
    turn: int
    before: list[EpisodeBatch]
    after: list[EpisodeBatch]


def fork_group(
    episodes: Sequence[EpisodeBatch],
    simulator: Simulator,
    continuations: int,
    budget: float,
    tokens_a_turn: float,
) -> list[Fork]:
    """The turns of a group that are forked: those whose legal actions differ most, as many as a
    budget of tokens allows.

    Args:
        episodes: of one start, all over.
        simulator: how the difference of the actions is simulated.
        continuations: of each fork.
        budget: tokens that they may cost, about.
        tokens_a_turn: what a turn costs, about.
    """
    places = [
        (row, number)
        for row, episode in enumerate(episodes)
        for number in range(len(episode.turns))
    ]
    spreads = []
    for row, number in places:
        game, state = episodes[row].turns[number].load()
        spreads.append(spread_of_actions(game, state, simulator))
    forks = []
    for index in np.argsort(-np.array(spreads), kind="stable"):
        row, number = places[index]
        left = episodes[row].limit - number
        cost = continuations * (2 * left - 1) * tokens_a_turn
        if not spreads[index] or cost > budget:
            continue
        budget -= cost
        forks.append(_fork(episodes[row], row, number, continuations))
    return forks


def spread_of_actions(game: Game, state: State, simulator: Simulator) -> float:
    """How much the legal actions of a state (one row) differ in what they are worth: the standard
    deviation over the first :data:`TRIED`.
    """
    actions = np.flatnonzero(game.legal(state)[0])[:TRIED]
    if len(actions) < 2:
        return 0.0
    return float(simulator.simulate(game, state, actions[None]).values.std())


def _fork(episode: EpisodeBatch, row: int, number: int, count: int) -> Fork:
    """The continuations of a turn, none of them played yet."""
    before = [_continuation(episode, number, copy) for copy in range(count)]
    is_last = number + 1 == len(episode.turns)
    after = [] if is_last else [_continuation(episode, number + 1, copy) for copy in range(count)]
    return Fork(row, number, before, after)


def _continuation(episode: EpisodeBatch, number: int, copy: int) -> EpisodeBatch:
    """An episode from the start of a turn on, with luck of its own."""
    game, state = episode.turns[number].load()
    continuation = EpisodeBatch(
        game,
        state.reseed(FORK_SALT + copy),
        episode.observation,
        episode.limit - number,
        patience=episode.patience,
        oracle=episode.oracle,
        simulator=episode.simulator,
    )
    continuation.remember([(turn.load()[1], turn.reply) for turn in episode.turns[:number]])
    return continuation


def play_forks(
    continuations: Sequence[EpisodeBatch],
    generate: Callable[[list[EpisodeBatch]], list[str]],
    most: Callable[[int], int],
) -> None:
    """Play continuations to their end, all of them turn after turn.

    Args:
        continuations: of one row each, none of them played.
        generate: the replies to those that go on; asked as often in every process.
        most: the most that go on in any process, from the number in this one.
    """
    while True:
        live = [one for one in continuations if len(one.live())]
        if not most(len(live)):
            return
        for one, text in zip(live, generate(live), strict=True):
            one.take(np.array([0]), [Answer(text)])


def _return_of(
    episode: EpisodeBatch, before: int, kind: str, weights: Weights, discount: float
) -> float:
    """What a continuation was worth after so many turns, in the units of the rewards of the episode
    that it goes on from.
    """
    total = 0.0
    for terms in reversed(turn_terms(episode, kind, weights, before)):
        total = weights.total(terms) + discount * total
    return total


def forked_values(
    forks: Sequence[Fork],
    own_rest: NDArray[np.float64],
    kind: str,
    weights: Weights,
    discount: float,
) -> NDArray[np.float64]:
    """``(E, T, 2)``: the mean return from before and from after each forked turn; NaN elsewhere.

    What the episode itself gained after the turn is one more continuation from there.

    Args:
        forks: whose continuations are over.
        own_rest: ``(E, T)``: what each episode gained after each turn.
        kind: see :func:`vlmgym.train.multi_turn.episode_terms`.
        weights: of the reward terms.
        discount: weight of a reward one turn later.
    """
    values = np.full((*own_rest.shape, 2), np.nan)
    for fork in forks:
        place = (fork.episode, fork.turn)
        before = [_return_of(one, fork.turn, kind, weights, discount) for one in fork.before]
        after = [_return_of(one, fork.turn + 1, kind, weights, discount) for one in fork.after]
        after.append(float(own_rest[place]))
        values[place] = np.mean(before), np.mean(after)
    return values
