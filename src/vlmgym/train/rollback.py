"""Starts near the end of solved games, which move back as a policy succeeds.

As rewards of a goal are rare far from it, what is learned first is the last move, then the one
before it (reverse curriculum generation, Florensa et al. 2017, arXiv 1707.05300; from the states of
one demonstration, Salimans and Chen 2018, arXiv 1812.03381). Here every deal has a demonstration,
as the game's oracle solves it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from vlmgym.core import NO_ACTION, Game, Level, State, best_action, seeds_for

MOST_MOVES = 1000
"""Of a solution that is looked for in a level without a turn limit."""


@dataclass(frozen=True)
class Rollback:
    """How many moves before the end of solved games a task is asked.

    The number moves by the weighted up-down rule, as a place of
    :class:`vlmgym.episodes.curriculum.Curriculum` does.
    """

    moves: float = 1.0
    answers: int = 0

    def update(self, successes: int, answers: int, target: float, step: float) -> Self:
        """What it is after so many answers, of which ``successes`` were right.

        Args:
            successes: of the answers.
            answers: that were given.
            target: the success rate to keep.
            step: moves that a success and a failure together are worth.
        """
        moves = max(1.0, self.moves + step * (successes - target * answers))
        return replace(self, moves=moves, answers=self.answers + answers)

    def choose(self, solved: list[State]) -> State:
        """The state so many moves before the end; the start of a shorter game."""
        return solved[-min(round(self.moves), len(solved))]


def solve(game: Game, level: Level, name: str, number: int) -> list[State]:
    """The states in which the oracle moves, from a deal of the training split to its solution; none
    where it does not solve it.

    A game is solved where it is won, or its goal reached (:meth:`vlmgym.core.Game.points`).

    Args:
        game: the game.
        level: its level.
        name: of the level, which the deals depend on.
        number: of the deal.
    """
    state = game.reset(level, seeds_for("train", game.name, name, 1, number))
    met = []
    for _ in range(level.max_steps or MOST_MOVES):
        action = NO_ACTION if state.ended[0] else best_action(game.oracle(state)[0])
        if action == NO_ACTION:
            return []
        met.append(state)
        state, _ = game.step(state, np.array([action]))
        if state.terminated[0]:
            return met if game.points(state)[0] == 1 else []
    return []
