"""Games against an opponent: two sides move by turns on one board.

A turn of the game is a move of the player and, unless that ends the game, the opponent's answer; so
in every state it is the player's turn. :meth:`Versus.put` is one side's move alone; the player's
turns, the built-in opponent, and whoever lets another player take the opponent's side
(:meth:`Versus.place`) all go through it.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from typing_extensions import TypeVar

from vlmgym.core import NO_ACTION, Outcome, State, draw_rows, draw_unit, setting
from vlmgym.core.actions import pick_rows
from vlmgym.core.kernels import kernel
from vlmgym.games.parts.boards import (
    Actions,
    Arrays,
    Boards,
    GridLevel,
    Marks,
    Seeds,
    Symbols,
    Values,
)
from vlmgym.games.parts.grid import GridGame, Turn

OPEN, FIRST, SECOND, DRAWN = range(4)
"""How a game stands: it goes on; one of the sides has won, whose number is also the value of its
pieces on the board; or nobody has.
"""
BEGINNERS = MappingProxyType(
    {
        "player": "You begin.",
        "opponent": "Your opponent has begun.",
        "drawn": "Who begins is drawn by lot.",
    }
)
"""Who may begin, and what rules say of it."""
BEGUN = MappingProxyType({**BEGINNERS, "player": "You have begun."})
"""The same where moves were made before the first turn."""
TRIES = 32
"""Openings that are drawn for one in which there is something to play for."""
SOON = 0.5
"""A move of a larger value wins so soon that there is nothing to play for."""

# Numbers of the draws of a turn; those of a deal (turn 0) come once more for each try.
_SKILL = 0  # whether the opponent plays one of its best moves
_MOVE = 1  # which one
_BEGINNER = 2
_OPENING = 16  # and one for each piece of the opening
_TRY = 1000  # from one try to the next


@dataclass(frozen=True)
class LevelVersus(GridLevel):
    """Base of the levels of games against an opponent; each game states the names of the sides."""

    side: str = setting("", "the side that the player has")
    begins: str = setting("player", "who makes the first move", choices=tuple(BEGINNERS))
    skill: float = setting(
        0.8,
        "share of the opponent's moves that are among its best; the others are drawn from all "
        "legal ones",
        0.0,
        1.0,
    )
    opening: int = setting(
        0, "drawn moves of each side before the first turn; none of them wins", 0, 20
    )


L = TypeVar("L", bound=LevelVersus, default=Any)
"""The class of levels of a game."""
S = TypeVar("S", bound=State[Any], default=Any)
"""The class of states of a game."""


@kernel
def _draw_skilled(rows, seeds, turns, number, skill, skilled):
    """Which of the marked rows meet the opponent at its best; all (B,)."""
    for row in range(len(rows)):
        skilled[row] = rows[row] and draw_unit(seeds[row], turns[row], number) < skill


class Versus(GridGame[L, S]):
    """A game of two sides, of which the player has one and a built-in opponent the other.

    An author writes, beside what a :class:`GridGame` needs, :meth:`put`, :meth:`results`,
    :meth:`may_move` and :meth:`worth`; :meth:`deal`, :meth:`play`, :meth:`legal_moves` and
    :meth:`oracle` follow.
    """

    sides: ClassVar[tuple[str, str]]
    """The names of both sides, as levels write them; their pieces are 1 and 2 on the board."""

    @abstractmethod
    def put(self, level: L, board: Boards, actions: Actions, side: int) -> Marks:
        """One side's move alone.

        Args:
            level: the level.
            board: ``(B, rows, cols)``, to be written.
            actions: ``(B,)`` ids, or -1 for no action.
            side: whose moves these are, :data:`FIRST` or :data:`SECOND`.

        Returns:
            ``(B,)`` which boards changed; those whose action is not legal stay.
        """

    @abstractmethod
    def results(self, level: L, board: Boards) -> NDArray[np.int64]:
        """``(B,)``: how the games stand, one of :data:`OPEN`, :data:`FIRST`, :data:`SECOND`,
        :data:`DRAWN`.
        """

    @abstractmethod
    def may_move(self, level: L, board: Boards, side: int, quiet: bool = False) -> Marks:
        """``(B, A)``: the legal actions of a side in games that go on; if ``quiet``, those that do
        not win at once.
        """

    @abstractmethod
    def worth(self, level: L, board: Boards, side: int, skip: Marks) -> Values:
        """``(B, A)`` values of the actions of a side, as :meth:`oracle` gives them: above 0 where
        it wins if both play best, below 0 where it loses, more the sooner it wins and the later it
        loses; NaN where an action is not legal, and in the rows of ``skip``.
        """

    @abstractmethod
    def is_exact(self, level: L) -> bool:
        """Whether values are those of a search to the end of the game, in all positions."""

    # ---- sides
    def side(self, level: L) -> int:
        """The number of the player's side."""
        return self.sides.index(level.side) + 1

    def to_move(self, state: S) -> str:
        """The side whose turn it is: in every state that of its level."""
        return str(state.level.side)

    def of_other_side(self, level: L) -> L:
        """The same level as the opponent sees it."""
        begins = {"player": "opponent", "opponent": "player"}.get(level.begins, level.begins)
        return replace(level, side=self.sides[2 - self.side(level)], begins=begins)

    def place(self, state: S, actions: Actions) -> tuple[S, Outcome]:
        """The move of the side to move alone, which nobody answers, for somebody who plays both
        sides.

        Returns:
            The games as the other side sees them, whose turn it is now: their level is
            :meth:`of_other_side`. Their score stays, and the move counts as a turn. And what the
            move did: a gain of 1 where it has won. Rows that have ended stay.
        """
        level = state.level
        side = self.side(level)
        board = state.board.copy()
        moves = np.where(state.ended, NO_ACTION, actions)
        changed = self.put(level, board, moves, side)
        results = self.results(level, board)
        arrays = {
            "level": self.of_other_side(level),
            "board": board,
            "steps": state.steps + ~state.ended,
            "terminated": state.terminated | changed & (results != OPEN),
        }
        after = state.with_arrays(arrays)
        gain = (changed & (results == side)).astype(np.int64)
        return after, Outcome(gain, changed, after.terminated)

    def points(self, state: S) -> NDArray[np.float64]:
        """``(B,)``: what the side to move has made of its game, 1 = won, 0.5 = drawn, 0 = lost; NaN
        where the rules have not ended it.
        """
        results = self.results(state.level, state.board)
        points = np.full(len(state), np.nan)
        points[results == DRAWN] = 0.5
        side = self.side(state.level)
        points[results == side] = 1.0
        points[results == 3 - side] = 0.0
        return points

    # ---- what the kit asks for
    def words(self, level: L) -> dict[str, object]:
        """The name of the other side, who begins, and what was drawn before the first turn."""
        begun = BEGINNERS[level.begins]
        if level.opening:
            moves = f"{level.opening} moves" if level.opening > 1 else "move"
            were = "were" if level.opening > 1 else "was"
            begun = (
                f"{BEGUN[level.begins]} The first {moves} of each side {were} drawn at random; it "
                "is your turn."
            )
        return {"other": self.of_other_side(level).side, "begun": begun}

    def deal(self, level: L, seeds: Seeds, board: Boards) -> Arrays:
        """An empty board or, where the level has an opening, one of up to :data:`TRIES` in which
        the player is not lost, no move wins soon (see :data:`SOON`) and its moves come out
        differently, else the last of them. If the opponent begins, it has moved once more than
        the player.
        """
        first = self._opponent_begins(level, seeds)
        left = np.arange(len(board))
        for attempt in range(TRIES if level.opening else 1):
            boards = np.zeros_like(board[left])
            self._open(level, boards, seeds[left], first[left], _TRY * attempt)
            board[left] = boards
            if level.opening:
                left = left[~self._is_contested(level, boards)]
        return {}

    def _opponent_begins(self, level: L, seeds: Seeds) -> Marks:
        if level.begins == "drawn":
            bounds = np.full(len(seeds), 2)
            return np.asarray(draw_rows(seeds, 0, _BEGINNER, bounds) == 1)
        return np.full(len(seeds), level.begins == "opponent")

    def _open(self, level: L, board: Boards, seeds: Seeds, first: Marks, number: int) -> None:
        """Draw the moves before the first turn.

        Args:
            level: the level.
            board: ``(B, rows, cols)`` zeros, to be filled.
            seeds: ``(B,)``.
            first: ``(B,)`` where the opponent begins.
            number: of the first draw.
        """
        player = self.side(level)
        for piece in range(2 * level.opening):
            for side in (player, 3 - player):
                is_beginners = (side == player) == (piece % 2 == 0)
                is_turn = ~first if is_beginners else first
                quiet = self.may_move(level, board, side, quiet=True) & is_turn[:, None]
                self.put(level, board, _pick(quiet, seeds, number + _OPENING + piece), side)
        if first.any():
            turns = np.zeros(len(board), np.int64)
            options = self._options(level, board, first, seeds, turns, number)
            quiet = self.may_move(level, board, 3 - player, quiet=True) & first[:, None]
            options &= quiet
            nothing = np.flatnonzero(~options.any(axis=1))
            options[nothing] = quiet[nothing]
            self.put(level, board, _pick(options, seeds, number + _MOVE), 3 - player)

    def _is_contested(self, level: L, board: Boards) -> Marks:
        """``(B,)``: the player's moves come out differently, not all of them lose, and none wins
        soon.
        """
        side = self.side(level)
        quiet = self.may_move(level, board, side, quiet=True)
        wins = self.may_move(level, board, side) & ~quiet
        values = self.worth(level, board, side, np.asarray(wins.any(axis=1)))
        outcomes = np.sign(np.nan_to_num(values, nan=-1.0))
        legal = ~np.isnan(values)
        best = outcomes.max(axis=1, initial=-1.0)
        is_worse = legal & (outcomes < best[:, None])
        is_soon = (np.nan_to_num(values) > SOON).any(axis=1)
        return np.asarray((best >= 0) & is_worse.any(axis=1) & ~is_soon)

    def play(self, state: S, actions: Actions, turn: Turn) -> None:
        """A move that wins gains 1; else, unless the board is full, the opponent answers."""
        level = state.level
        player = self.side(level)
        moves = np.where(turn.over, NO_ACTION, actions)
        turn.changed[:] = self.put(level, turn.board, moves, player)
        results = self.results(level, turn.board)
        turn.gain[:] = turn.changed & (results == player)
        answered = turn.changed & (results == OPEN)
        turns = state.steps + 1  # the draws of turn 0 belong to the deal
        options = self._options(level, turn.board, answered, state.seed, turns, 0)
        answers = np.empty(len(state), np.int64)
        pick_rows(options, state.seed, turns, _MOVE, answers)
        self.put(level, turn.board, answers, 3 - player)
        results = self.results(level, turn.board)
        turn.terminated |= turn.changed & (results != OPEN)

    def _options(
        self,
        level: L,
        board: Boards,
        rows: Marks,
        seeds: Seeds,
        turns: NDArray[np.int64],
        number: int,
    ) -> Marks:
        """``(B, A)``: the moves of which the opponent draws one in the marked rows."""
        opponent = 3 - self.side(level)
        skilled = np.empty(len(board), bool)
        _draw_skilled(rows, seeds, turns, number + _SKILL, level.skill, skilled)
        options = self.may_move(level, board, opponent) & rows[:, None]
        values = self.worth(level, board[skilled], opponent, np.zeros(skilled.sum(), bool))
        best = np.nan_to_num(values, nan=-np.inf).max(axis=1, keepdims=True, initial=-np.inf)
        options[skilled] &= values == best
        return options

    def legal_moves(self, state: S, legal: Marks) -> None:
        """Those of the player's side."""
        legal[:] = self.may_move(state.level, state.board, self.side(state.level))

    def from_symbols(self, level: L, symbols: Symbols) -> S:
        """It is the player's turn, however many pieces there are; ended where a side has won, or
        the board is full.
        """
        board = np.array(symbols, np.uint8, order="C")
        return self.start(level, board, terminated=self.results(level, board) != OPEN)

    def oracle(self, state: S) -> Values:
        """A search of both sides' best play, whatever the skill of the opponent; see
        :meth:`worth`.
        """
        return self.worth(state.level, state.board, self.side(state.level), state.ended)

    def success_mask(self, state: S) -> Marks:
        """``(B, A)``: the moves of the best outcome (won, drawn or lost), however soon it comes."""
        values = self.oracle(state)
        outcomes = np.sign(np.nan_to_num(values, nan=-2.0))
        legal = ~np.isnan(values)
        return np.asarray(legal & (outcomes == outcomes.max(axis=1, keepdims=True, initial=-1.0)))

    def success(self, state: S, actions: Actions, outcome: Outcome) -> Marks:
        """``(B,)``: the move was one of the best outcome, whatever the opponent made of it."""
        return (actions >= 0) & self.success_mask(state)[np.arange(len(state)), actions]


def _pick(options: Marks, seeds: Seeds, number: int) -> Actions:
    """One of the marked actions of each row by a draw of the deal; no action where none is."""
    picked = np.empty(len(options), np.int64)
    pick_rows(options, seeds, np.zeros(len(options), np.int64), number, picked)
    return picked
