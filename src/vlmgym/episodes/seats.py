"""Episodes of two players who play against each other: each has a seat, at one side of each game.

A seat is a batch of episodes of which only its own turns are asked and recorded; its states are
the boards as its side sees them. In a game from a start the first seat moves, then the second.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import cast

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from vlmgym.core import State
from vlmgym.dialogue.judge import Judgement
from vlmgym.episodes.batch import EpisodeBatch
from vlmgym.episodes.records import Turn
from vlmgym.games.parts.opponents import Versus


class Seat(EpisodeBatch):
    """One side of games that two players play; :meth:`meet` brings it together with the other.

    An answer without a legal move loses its game at once. Where a side has no legal move, it
    passes.

    Attributes:
        other: the seat at the other side.
        to_move: ``(B,)``, whose turn it is.
        forfeited: ``(B,)``, games that were lost by an answer without a legal move.
    """

    other: Seat
    to_move: NDArray[np.bool_]
    forfeited: NDArray[np.bool_]

    def meet(self, second: Seat) -> None:
        """Begin the games: this seat moves first, the other one second."""
        for seat, other in ((self, second), (second, self)):
            seat.other = other
            seat.to_move = np.full(len(seat.state), seat is self)
            seat.forfeited = np.zeros(len(seat.state), bool)

    @property
    def versus(self) -> Versus:
        """The game."""
        return cast(Versus, self.game)

    @override
    def live(self) -> NDArray[np.int64]:
        """The rows that go on, and in which it is this seat's turn."""
        rows = super().live()
        return rows[self.to_move[rows]]

    @override
    def most_turns(self) -> int:
        return super().most_turns() // 2

    @override
    def _move(
        self,
        rows: NDArray[np.int64],
        before: State,
        judgements: Sequence[Judgement],
        after: State,
    ) -> None:
        """One side's move alone; then it is the other seat's turn."""
        actions = np.array([judgement.reply.action for judgement in judgements])
        placed, outcome = self.versus.place(before, actions)
        stands = outcome.changed | ~self.game.legal(before).any(axis=1)
        self.forfeited[rows] = ~stands
        self.to_move[rows] = False
        self.other.to_move[rows] = stands
        self._put(rows, placed.with_arrays({"score": placed.score + outcome.gain}))
        self.other._put(rows, placed)

    @override
    def _fail(self, row: int, reason: str) -> None:
        super()._fail(row, reason)
        self.other._failures[row] = f"the other player: {reason}"

    @override
    def _end_of(self, row: int) -> str:
        """As of any episode; ``stuck``: it was lost by an answer without a legal move."""
        if self.forfeited[row]:
            return "stuck"
        return "terminated" if self.other.forfeited[row] else super()._end_of(row)

    def points(self) -> NDArray[np.float64]:
        """``(B,)``: what this side has made of its games that are over, 1 = won, 0.5 = drawn (or
        cut at the limit of turns), 0 = lost; NaN where a player gave no answer.
        """
        points = self.versus.points(self.state)
        points[np.isnan(points)] = 0.5
        points[self.forfeited] = 0.0
        points[self.other.forfeited] = 1.0
        points[list(self._failures)] = np.nan
        return points


def replay_games(first: Seat, second: Seat, turns: tuple[Sequence[Turn], Sequence[Turn]]) -> None:
    """Go on from the recorded turns of two seats that have met, without asking for them again.

    Raises:
        TraceError: see :meth:`vlmgym.episodes.batch.EpisodeBatch.replay`.
    """
    seats = (first, second)
    by_number = defaultdict[tuple[int, int], list[Turn]](list)
    for seat, turns_of_seat in enumerate(turns):
        for turn in turns_of_seat:
            by_number[turn.turn, seat].append(turn)
    for number, seat in sorted(by_number):
        seats[seat].replay(by_number[number, seat])
