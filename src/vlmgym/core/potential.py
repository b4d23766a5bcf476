"""The value of a turn: what it changes in the expected rest of the game.

With ``V(s)`` for what is still to come in a state (:meth:`vlmgym.core.simulation.Simulator.rest`)
and ``Q(s, a)`` for what an action gains and leaves to come, both expected over all luck from here
on, a legal turn is worth

    ``(Q(s, a) - V(s)) / (REACH * unit)``, held to -1 to 1.

``Q(s, a)`` is the gain and the ``V`` of the state after it, in expectation, and ``V`` depends on
the state alone. So what turns are worth adds up to what the game came to, whatever way it took:
going to and fro gains nothing (potential-based shaping; Ng, Harada and Russell 1999, Policy
Invariance Under Reward Transformations). The luck that a turn really met is in neither: that would
be noise to the choice of the action.

The unit is the distance between a random and a best move, of this game and level: the mean over
states of how much more the best legal action is worth than the mean of all (of puzzles whose oracle
counts moves, one move). So a turn is worth ``1 / REACH`` where it changes as much.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from vlmgym.core.actions import DEAD, NO_ACTION
from vlmgym.core.game import Game
from vlmgym.core.random import seeds_for
from vlmgym.core.simulation import Simulator
from vlmgym.core.state import Level, State

REACH = 3.0
"""Units within which the value of a turn is told apart; more counts as much."""
UNIT_STATES = 64
"""States that a unit is measured on: legal random walks of 0 to :data:`LONGEST_WALK` moves."""
LONGEST_WALK = 16
WORST = -1.0
"""The value of no or an illegal action: no legal one is worth less."""


def turn_values(
    game: Game,
    before: State,
    actions: NDArray[np.int64],
    after: State,
    simulator: Simulator,
) -> NDArray[np.float64]:
    """``(B,)``: what each turn is worth, -1 to 1.

    Args:
        game: the game.
        before: ``B`` games, none ended.
        actions: ``(B,)`` that were played, or NO_ACTION.
        after: the games after the turn.
        simulator: how the rest of a game is simulated.
    """
    legal = game.legal(before)[np.arange(len(before)), np.maximum(actions, 0)]
    played = np.flatnonzero(legal & (actions != NO_ACTION))
    values = np.full(len(before), WORST)
    if not len(played):
        return values
    if game.counts_moves(before.level):
        lost = after.terminated[played] & (game.points(after[played]) != 1)
        rest = simulator.rest(game, after[played]) - simulator.rest(game, before[played])
        change = np.where(lost, DEAD, rest)
    else:
        change = _simulated_change(game, before[played], actions[played], simulator)
    values[played] = np.clip(change / (REACH * unit(game, before.level, simulator)), -1.0, 1.0)
    return values


def _simulated_change(
    game: Game, state: State, actions: NDArray[np.int64], simulator: Simulator
) -> NDArray[np.float64]:
    """``(B,)``: ``Q(s, a) - V(s)`` by simulation; equal rows are simulated once, and all actions of
    a state meet the same luck.
    """
    rows = state.row_bytes()
    _, first, places = np.unique(rows, axis=0, return_index=True, return_inverse=True)
    rest = simulator.rest(game, state[first])
    with_action = np.concatenate([rows, actions[:, None].view(np.uint8)], axis=1)
    _, firsts, pairs = np.unique(with_action, axis=0, return_index=True, return_inverse=True)
    tried = simulator.simulate(game, state[firsts], actions[firsts, None]).values[:, 0]
    return tried[pairs.reshape(-1)] - rest[places.reshape(-1)]


@lru_cache(256)
def unit(game: Game, level: Level, simulator: Simulator) -> float:
    """What turns are measured by: the mean over states of how much more the best legal action is
    worth than the mean of all; 1 of puzzles whose oracle counts moves, and where all actions are
    worth the same.

    The states are legal random walks from the first training deals, so the unit is a constant of
    the game, the level and the simulator.
    """
    if game.counts_moves(level):
        return 1.0
    state = _walked(game, level)
    legal = game.legal(state)
    actions = np.where(legal, np.arange(legal.shape[1]), legal.argmax(axis=1)[:, None])
    values = simulator.simulate(game, state, actions).values
    best = values.max(axis=1)
    mean = values.mean(axis=1, where=legal)
    distance = float((best - mean).mean())
    return distance if distance > 0 else 1.0


def _walked(game: Game, level: Level) -> State:
    """:data:`UNIT_STATES` games at different turns, fewer where some end on the way."""
    seeds = seeds_for("train", game.name, game.level_name(level), UNIT_STATES)
    state = game.reset(level, seeds)
    lengths = np.arange(UNIT_STATES) % (LONGEST_WALK + 1)
    for turn in range(LONGEST_WALK):
        walks = lengths > turn
        actions = np.where(walks, game.draw_legal(state), NO_ACTION)
        walked, _ = game.step(state[walks], actions[walks])
        arrays = state.arrays()
        for name, values in walked.arrays().items():
            arrays[name] = arrays[name].copy()
            arrays[name][walks] = values
        state = state.with_arrays(arrays)
    going = ~state.ended
    return state[going] if going.any() else game.reset(level, seeds)
