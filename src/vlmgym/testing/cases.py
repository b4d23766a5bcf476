"""One level of a game with positions from random play, on which the checks are tried."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vlmgym.core import (
    CHECK_STREAM,
    NO_ACTION,
    Game,
    Level,
    Outcome,
    State,
    concat,
    pick_legal,
    seeds_for,
)
from vlmgym.testing import sizes


class CheckFailed(Exception):
    """A check does not hold; the text says how."""


@dataclass
class Case:
    """One level of a game, with positions from random play."""

    game: Game
    name: str
    level: Level
    starts: State
    states: State  # from starts to late, some of them ended

    def live(self) -> State:
        """The positions that have not ended; the fresh ones where all have."""
        state = self.states[~self.states.ended]
        return state if len(state) else self.starts

    def actions(self, state: State, number: int = 0) -> NDArray[np.int64]:
        """One legal action a row where there is one, by keyed draws; else no action."""
        return pick_legal(self.game.legal(state), state.seed, number, CHECK_STREAM)


def make_case(game: Game, name: str) -> Case:
    """A level of a game, played at random for some turns."""
    level = game.level(name)
    seeds = seeds_for("free", game.name, name, sizes.GAMES_A_CHECK)
    state = game.reset(level, seeds)
    case = Case(game, name, level, starts=state, states=state)
    states = [state]
    for turn in range(sizes.TURNS):
        state, _ = game.step(state, case.actions(state, turn))
        states.append(state)
    case.states = concat(states)
    return case


def by_oracle(game: Game, state: State) -> NDArray[np.int64]:
    """The legal action of the largest oracle value a row; no action where there is none."""
    values = np.nan_to_num(game.oracle(state), nan=-np.inf)
    values = np.where(game.legal(state), values, -np.inf)
    has_value = np.isfinite(values).any(axis=1)
    return np.where(has_value, values.argmax(axis=1), NO_ACTION).astype(np.int64)


def best_play(case: Case) -> Iterator[tuple[State, State, Outcome]]:
    """Turns by the oracle until all games have ended, as many puzzles never end by random play:
    before, after, outcome.
    """
    state = case.starts
    for _ in range(sizes.ENDING):
        after, outcome = case.game.step(state, by_oracle(case.game, state))
        yield state, after, outcome
        state = after
        if state.ended.all():
            break


def need(condition: object, text: str) -> None:
    """Fail the check with this text unless the condition holds."""
    if not condition:
        raise CheckFailed(text)
