"""Games of two sides that each want some of their stones in a row, column or diagonal."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from typing_extensions import TypeVar

from vlmgym.core import ConfigError, State, setting
from vlmgym.games.parts.boards import Actions, Boards, Marks, Values
from vlmgym.games.parts.opponents import LevelVersus, Versus
from vlmgym.games.solvers import rows
from vlmgym.games.solvers.rows import Rule, rule_of

WEIGHED = 3
"""Moves that a careful player thinks about."""


def inner_sides(shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    """``(B, rows, cols)``: the sides on which each cell has a neighbour, as a scene writes them."""
    sides = np.zeros(shape, np.uint8)
    sides[:, 1:] |= 1
    sides[:, :, :-1] |= 2
    sides[:, :-1] |= 4
    sides[:, :, 1:] |= 8
    return sides


@dataclass(frozen=True)
class LevelInARow(LevelVersus):
    """Base of the levels of these games, which state the range of both sides anew."""

    line: int = setting(3, "stones in a row, column or diagonal that win", 3, 5)

    def __post_init__(self) -> None:
        """Check that there are lines, and that the opening leaves something to play for.

        Raises:
            ConfigError: a field is out of range, a line is longer than the board, or the opening
                fills more than half of it.
        """
        super().__post_init__()
        name = type(self).__name__
        longest = max(self.rows, self.cols)
        if self.line > longest:
            raise ConfigError(f"{name}.line", self.line, f"3 to {longest} (rows or cols)")
        most = self.rows * self.cols // 4
        if self.opening > most:
            raise ConfigError(f"{name}.opening", self.opening, f"0 to {most} (rows * cols / 4)")


L = TypeVar("L", bound=LevelInARow, default=Any)
"""The class of levels of a game."""


class InARow(Versus[L, State[L]]):
    """A game of ``line`` in a row, with gravity or without.

    An author writes :meth:`cells` and :meth:`by_action` beside names, levels and rules.
    """

    gravity: ClassVar[bool]
    """Stones fall to the lowest free cell of their column."""
    EXACT_CELLS: ClassVar[int]
    """Boards of so many cells or fewer are searched to the end of the game."""
    AHEAD: ClassVar[int]
    """On larger boards: stones of both sides that the oracle looks ahead, its own first one
    counted.
    """
    REST: ClassVar[int]
    """With so many free cells or fewer, they are searched to the end as well."""

    @abstractmethod
    def cells(self, free: Marks, actions: Actions) -> NDArray[np.int64]:
        """``(B,)``: the cell that each action fills; any, where it is no legal action.

        Args:
            free: ``(B, rows, cols)`` where the next stone may come.
            actions: ``(B,)`` ids.
        """

    @abstractmethod
    def by_action(self, of_cells: NDArray[Any]) -> NDArray[Any]:
        """``(B, A)`` of each action, from what each cell that a stone may fill has, ``(B, rows,
        cols)``; of others, NaN or False.
        """

    def rule(self, level: L) -> Rule:
        """The lines of a board."""
        return rule_of(level.rows, level.cols, level.line, self.gravity)

    def is_exact(self, level: L) -> bool:
        """Whether boards are small enough, see :data:`EXACT_CELLS`."""
        return bool(level.rows * level.cols <= self.EXACT_CELLS)

    def put(self, level: L, board: Boards, actions: Actions, side: int) -> Marks:
        """A stone on the cell that the action fills."""
        free = rows.free_cells(board, self.rule(level)).reshape(board.shape)
        cells = np.where(actions >= 0, self.cells(free, actions), 0)
        games = np.arange(len(board))
        row, column = np.divmod(cells, level.cols)
        changed = (actions >= 0) & free[games, row, column]
        board[games[changed], row[changed], column[changed]] = side
        return np.asarray(changed)

    def results(self, level: L, board: Boards) -> NDArray[np.int64]:
        """Who has a line; drawn where nothing may be filled any more or, on a described board, both
        sides have one.
        """
        return rows.results(board, self.rule(level))

    def may_move(self, level: L, board: Boards, side: int, quiet: bool = False) -> Marks:
        """Those that fill a free cell."""
        free = rows.free_cells(board, self.rule(level), side if quiet else 0)
        return self.by_action(free.reshape(board.shape))

    def worth(self, level: L, board: Boards, side: int, skip: Marks) -> Values:
        """1 less 0.01 for each stone, of both sides, until the move wins, and -1 with as much more
        until it loses; 0.5 and -0.5 where that is more than :data:`NEAR` stones away; 0 of a draw
        and, where the search ends before the game does, of what is undecided.
        """
        exact = self.is_exact(level)
        ahead = level.rows * level.cols if exact else self.AHEAD
        values = rows.values(board, side, skip, self.rule(level), ahead, self.REST)
        return self.by_action(values.reshape(board.shape))

    def explain(self, state: State[L], row: int, action: int) -> str:
        """Such as ``"(0, 1) wins now"``, ``"(1, 1) wins in 2"`` (own moves), ``"(0, 0) loses in
        1"`` (moves of the opponent), ``"(0, 2) wins"`` (later), ``"(2, 1) even"``, ``"(2, 2) no"``.
        """
        value = self.oracle(state[row])[0, action]
        return f"{self.answers.say(state.level, action)} {_say(value)}"

    def candidates(self, state: State[L], row: int) -> list[int]:
        """The three best moves, of equal ones the first, in reading order; fewer if there are
        fewer.
        """
        values = self.oracle(state[row])[0]
        legal = np.flatnonzero(~np.isnan(values)).tolist()
        best = sorted(legal, key=lambda action: (-values[action], action))
        return sorted(best[:WEIGHED])


def _say(value: float) -> str:
    if np.isnan(value):
        return "no"
    if value == 0:
        return "even"
    word = "wins" if value > 0 else "loses"
    stones = round(100 * (1 - abs(value)))
    if stones > rows.NEAR:
        return word
    return f"{word} now" if stones == 1 else f"{word} in {(stones + 1) // 2}"
