"""Games on a grid: everything around the rules that all of them do alike."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray
from typing_extensions import TypeVar

from vlmgym.core import DEAD, Decoded, Game, Outcome, Scene, State, best_rows
from vlmgym.games.parts import actions as kinds
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
from vlmgym.games.parts.explanations import say_moves_left
from vlmgym.games.parts.habits import CAREFUL, Habit, find_habit

L = TypeVar("L", bound=GridLevel, default=Any)
"""The class of levels of a game on a grid."""
S = TypeVar("S", bound=State[Any], default=Any)
"""The class of states of a game."""
AFRESH = "When a game ends, a fresh board is dealt at once, and the score counts on."
"""What the rules say of levels with ``restart``."""


class TurnArrays(NamedTuple):
    """The arrays of a :class:`Turn`, as kernels take them."""

    over: Marks  # (B,) the rows that have ended
    seeds: Seeds  # (B,) the keys of all luck
    steps: NDArray[np.int64]  # (B,) turns so far
    board: Boards  # (B, rows, cols) to be written, as are the next three
    gain: NDArray[np.int64]  # (B,) raw score gained
    changed: Marks  # (B,) the board changed
    terminated: Marks  # (B,) the rules ended the game


class Turn:
    """What a turn writes; rows that have ended must stay as they are.

    Attributes:
        over: ``(B,)`` bool, the rows that have ended.
        board: ``(B, rows, cols)`` uint8, a copy of the boards.
        terminated: ``(B,)`` bool, a copy: the rules ended the game.
        gain: ``(B,)`` int64, zeros: raw score gained.
        changed: ``(B,)`` bool, False: the board changed.
    """

    def __init__(self, state: State[Any]) -> None:
        self._state = state
        self._further: Arrays = {}
        self.over = state.ended
        self.board = state.board.copy()
        self.terminated = state.terminated.copy()
        self.gain = np.zeros(len(state), np.int64)
        self.changed = np.zeros(len(state), bool)

    def copy_of(self, name: str) -> NDArray[Any]:
        """A copy of a further array of the state, which becomes that of the state after the
        turn.
        """
        copied: NDArray[Any] = getattr(self._state, name).copy()
        self._further[name] = copied
        return copied

    def for_kernels(self) -> TurnArrays:
        """The arrays themselves, for a compiled loop to write."""
        return TurnArrays(
            self.over,
            self._state.seed,
            self._state.steps,
            self.board,
            self.gain,
            self.changed,
            self.terminated,
        )

    def arrays(self) -> Arrays:
        """The arrays of the state after the turn that are others than before."""
        return {
            "board": self.board,
            "score": self._state.score + self.gain,
            "steps": self._state.steps + ~self.over,
            "terminated": self.terminated,
            **self._further,
        }

    def outcome(self) -> Outcome:
        """What the turn did."""
        return Outcome(self.gain, self.changed, self.terminated)


class GridGame(Game[L, S]):
    """A game whose state is a board of symbols.

    An author states ``answers``, ``symbols``, ``kind`` and ``RULES``, and writes three methods:
    :meth:`deal`, :meth:`play` and :meth:`legal_moves`; and :meth:`oracle`.
    """

    answers: ClassVar[kinds.Actions]
    """What actions are: moves, cells, pairs of cells, neighbours."""
    symbols: ClassVar[tuple[str, ...]]
    """The text of each value of the board."""
    kind: ClassVar[str]
    """The kind of the scene, one of :data:`vlmgym.core.KINDS`."""
    RULES: ClassVar[str]
    """The rules, with fields of the level and :meth:`words` in braces."""

    @abstractmethod
    def deal(self, level: L, seeds: Seeds, board: Boards) -> Arrays:
        """Fill fresh boards.

        Args:
            level: the level.
            seeds: ``(B,)``, the keys of all luck.
            board: ``(B, rows, cols)`` zeros, to be filled.

        Returns:
            Further arrays of the state, and ``terminated`` where games may start ended.
        """

    @abstractmethod
    def play(self, state: S, actions: Actions, turn: Turn) -> None:
        """Write a turn: ``turn.board``, ``gain``, ``changed``, ``terminated``, and copies of
        further arrays.

        Args:
            state: the games before the turn, to be left alone.
            actions: ``(B,)`` ids, or -1 for no action.
            turn: what is written; rows of ``turn.over`` and rows without an action must stay.
        """

    @abstractmethod
    def legal_moves(self, state: S, legal: Marks) -> None:
        """Mark the actions that change the board in ``legal``, ``(B, A)`` False; ended rows are
        cleared afterwards.
        """

    def names(self, level: L) -> tuple[str, ...]:
        """The text of each value of the board."""
        return self.symbols

    def words(self, level: L) -> Mapping[str, object]:
        """What :data:`RULES` holds in braces beside the fields of the level."""
        return {}

    def further(self, board: Boards) -> Arrays:
        """The further arrays of a state with these boards, where nothing else is known of it."""
        return {}

    def n_actions(self, level: L) -> int:
        """As many as :attr:`answers` counts."""
        return self.answers.count(level)

    def encode(self, level: L, action: int) -> str:
        """As :attr:`answers` write it."""
        return self.answers.encode(level, action)

    def decode(self, level: L, text: str) -> Decoded:
        """As :attr:`answers` read it."""
        return self.answers.decode(level, text)

    def answer_format(self, level: L) -> str:
        """That of :attr:`answers`."""
        return self.answers.format_of(level)

    def rules(self, level: L) -> str:
        """:data:`RULES` with the words of this level, and what follows the end of a game."""
        text = self.RULES.format(**asdict(level) | dict(self.words(level)))
        return f"{text} {AFRESH}" if level.restart else text

    def reset(self, level: L, seeds: Seeds) -> S:
        """Fresh games, one per seed, as :meth:`deal` deals them."""
        board = np.zeros((len(seeds), level.rows, level.cols), np.uint8)
        return self.start(level, board, seeds, **self.deal(level, seeds, board))

    def legal(self, state: S) -> Marks:
        """``(B, A)``: what :meth:`legal_moves` marks in games that have not ended."""
        legal = np.zeros((len(state), self.n_actions(state.level)), bool)
        self.legal_moves(state, legal)
        legal[state.ended] = False
        return legal

    def _step(self, state: S, actions: Actions) -> tuple[S, Outcome]:
        turn = Turn(state)
        self.play(state, actions, turn)
        return state.with_arrays(turn.arrays()), turn.outcome()

    def blank(self, level: L) -> S:
        """A board of zeros."""
        board = np.zeros((1, level.rows, level.cols), np.uint8)
        return self.start(level, board, **self.further(board))

    def joins(self, state: S) -> NDArray[np.uint8] | None:
        """``(B, rows, cols)``: the sides over which what a cell shows goes on, as in
        :class:`vlmgym.core.Scene`; nowhere by default.
        """
        return None

    def lines(self, state: S) -> NDArray[np.uint8] | None:
        """``(B, rows, cols)``: the sides with a heavy line; nowhere by default."""
        return None

    def scene(self, state: S) -> Scene:
        """The board as it is."""
        scene = self.view(state, state.board, self.names(state.level), self.kind)
        joins = self.joins(state)
        lines = self.lines(state)
        if joins is None and lines is None:
            return scene
        return replace(scene, joins=joins, lines=lines)

    def from_symbols(self, level: L, symbols: Symbols) -> S:
        """The board as it is described."""
        board = np.array(symbols, np.uint8, order="C")
        return self.start(level, board, **self.further(board))

    def candidates(self, state: S, row: int) -> list[int]:
        """The legal actions."""
        return np.flatnonzero(self.legal(state[row])[0]).tolist()


class Searched(GridGame[L, S]):
    """A game whose teacher looks for a move place by place, carefully or by a habit."""

    @abstractmethod
    def search(self, state: S, habit: Habit = CAREFUL) -> tuple[str, int]:
        """What somebody thinks aloud who looks for a move in one game, and the move; NO_ACTION
        where none is found.

        Args:
            state: one game, as it is taken to be.
            habit: of who looks, as far as it decides what is looked at.
        """

    @abstractmethod
    def taken_for(self, level: L) -> NDArray[np.uint8]:
        """``(values,)``: the value that each is taken for by somebody who mixes kinds; 0 stays
        0.
        """

    def reasoning(self, state: S, row: int, values: Values) -> tuple[str, int]:
        """What :meth:`search` says; ``values`` are not used."""
        return self.search(state[row])

    def believed(self, state: S, habit: str) -> S:
        """With other boards, all else as it is."""
        boards = find_habit(habit).believed(state.board, self.taken_for(state.level))
        return state.with_arrays({"board": boards})

    def reasoning_by_habit(self, state: S, row: int, habit: str) -> tuple[str, int]:
        """The same search, of what is believed."""
        return self.search(self.believed(state[row], habit), find_habit(habit))


class Puzzle(GridGame[L, S]):
    """A game whose good moves are those that a shortest solution begins with.

    :meth:`oracle` is exact: minus the moves of such a solution, :data:`DEAD` where there is none.
    """

    TIE: ClassVar[float] = 0.0
    """Values closer than this count as equal."""

    def is_exact(self, level: L) -> bool:
        """Whether the values of :meth:`oracle` are exact; false where a search may give up."""
        return True

    def counts_moves(self, level: L) -> bool:
        """Where the oracle is exact, and no turn draws."""
        return "luck" not in self.tags and self.is_exact(level)

    def least(self, level: L) -> float:
        """The value of moves that solve nothing."""
        return DEAD

    def points(self, state: S) -> NDArray[np.float64]:
        """A puzzle ends when it is solved."""
        return np.where(state.terminated, 1.0, np.nan)

    def best_values(self, state: S) -> Values:
        """``(B, A)`` values of which only the best of each row need be right: by default those of
        the oracle.
        """
        return self.oracle(state)

    def success_mask(self, state: S) -> Marks:
        """``(B, A)``: the moves of the best value; none where nothing can be solved."""
        value = self.best_values(state)
        best = np.empty(value.shape, bool)
        best_rows(value, self.least(state.level), self.TIE, best)
        return best

    def success(self, state: S, actions: Actions, outcome: Outcome) -> Marks:
        """``(B,)``: the move was one of the best, whatever came of it."""
        return (actions >= 0) & self.success_mask(state)[np.arange(len(state)), actions]

    def explain(self, state: S, row: int, action: int) -> str:
        """Such as ``"2 down 7 to go"`` (moves of a shortest solution after it), ``"1 right dead"``,
        ``"3 left no"``.
        """
        value = self.oracle(state[row])[0, action]
        text = self.answers.say(state.level, action)
        if np.isnan(value):
            return f"{text} no"
        return f"{text} {say_moves_left(value)}"
