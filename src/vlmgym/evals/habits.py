"""The mistakes of a teacher with a habit, and what becomes of them in the turns of a player."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np
from numpy.typing import NDArray

from vlmgym.core import NO_ACTION, Game, State, concat
from vlmgym.episodes.records import Turn
from vlmgym.players.teacher import GUESS


@dataclass(frozen=True)
class TeachersView:
    """What a teacher with a habit makes of some games.

    Attributes:
        fails: ``(B,)`` bool: there are moves that do something, and what it comes to does nothing,
            or it comes to none and has to guess.
        moves: ``(B,)`` int64, what it comes to; NO_ACTION where it finds nothing.
        believes: ``(B, A)`` bool, the moves that do something on the boards as it takes them to be.
    """

    fails: NDArray[np.bool_]
    moves: NDArray[np.int64]
    believes: NDArray[np.bool_]

    @staticmethod
    def of(game: Game, state: State, habit: str) -> TeachersView:
        """That of a habit, a name of :data:`vlmgym.games.parts.habits.HABITS`.

        Raises:
            ConfigError: the game does not know the habit.
        """
        rows = range(len(state))
        moves = np.array([game.reasoning_by_habit(state, row, habit)[1] for row in rows], np.int64)
        possible = game.success_mask(state)
        works = (moves != NO_ACTION) & possible[rows, moves]
        fails = possible.any(axis=1) & ~works
        return TeachersView(fails, moves, game.success_mask(game.believed(state, habit)))

    def explains(self, row: int, action: int, reply: str) -> bool:
        """Whether a move that fails does so as the teacher's would: it is the very same, would do
        something if the teacher saw the board aright, or the reply says that it is a guess, where
        the teacher would have to guess.
        """
        move = self.moves[row]
        if GUESS in reply and move == NO_ACTION:
            return True
        return action != NO_ACTION and bool(action == move or self.believes[row, action])


def mistakes_of_habit(turns: Sequence[Turn], habit: str) -> dict[str, float]:
    """How a player fares where a teacher with a habit fails, and elsewhere.

    Args:
        turns: of one game, any levels. Those in which no move does anything do not count.
        habit: a name of :data:`vlmgym.games.parts.habits.HABITS`.

    Returns:
        ``teacher_fails``, the share of the turns in which the teacher fails;
        ``success_where_teacher_fails`` and ``success_elsewhere``; and ``teachers_mistakes``, of the
        turns in which the teacher fails the share in which the player fails in the same way
        (:meth:`TeachersView.explains`). What there are no turns of is left out.

    Raises:
        ConfigError: the game does not know the habit.
    """
    where_it_fails: list[bool] = []
    elsewhere: list[bool] = []
    mistakes: list[bool] = []
    for level_turns, game, state in _by_level(turns):
        view = TeachersView.of(game, state, habit)
        possible = np.asarray(game.success_mask(state).any(axis=1))
        for row, turn in enumerate(level_turns):
            success = turn.terms["game"] > 0
            if view.fails[row]:
                where_it_fails.append(success)
                mistakes.append(not success and view.explains(row, turn.action, turn.reply))
            elif possible[row]:
                elsewhere.append(success)
    teacher_fails = [True] * len(where_it_fails) + [False] * len(elsewhere)
    values: Mapping[str, list[bool]] = {
        "teacher_fails": teacher_fails,
        "success_where_teacher_fails": where_it_fails,
        "success_elsewhere": elsewhere,
        "teachers_mistakes": mistakes,
    }
    return {name: fmean(marks) for name, marks in values.items() if marks}


def _by_level(turns: Sequence[Turn]) -> list[tuple[list[Turn], Game, State]]:
    """Turns with the game and the states that they answered, those of a level together."""
    groups: dict[object, tuple[list[Turn], Game, list[State]]] = {}
    for turn in turns:
        game, state = turn.load()
        level_turns, _, states = groups.setdefault(state.level, ([], game, []))
        level_turns.append(turn)
        states.append(state)
    return [(level_turns, game, concat(states)) for level_turns, game, states in groups.values()]
