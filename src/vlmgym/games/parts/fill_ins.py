"""Fill-in puzzles with one solution, such as Sudoku and Binairo: values are given, others are
written beside them, and may be written over.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from vlmgym.core import DEAD, NO_ACTION, PER_CELL, ConfigError, State, StateError, setting
from vlmgym.core.kernels import inner, kernel
from vlmgym.games.parts.action_texts import write_cell
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
from vlmgym.games.parts.fill_in_deals import deal_fill_ins
from vlmgym.games.parts.grid import Puzzle, Turn
from vlmgym.games.solvers.fill_ins import Rules, find_certain, left_by_a_look

GIVENS_DOC = "values that are given at least; fewer where the board else needs less than it should"


@dataclass(frozen=True)
class LevelFillIn(GridLevel):
    """Rule settings that fill-in puzzles have in common; each states its sides and ``needs``
    anew.
    """

    givens: int = setting(30, GIVENS_DOC, 0, 255)
    needs: str = setting("", "what it takes to solve the board", choices=("",))

    def __post_init__(self) -> None:
        """Check that the board is a square, and that something is left to fill.

        Raises:
            ConfigError: a field is out of range, or does not fit the others.
        """
        super().__post_init__()
        name = type(self).__name__
        if self.cols != self.rows:
            raise ConfigError(f"{name}.cols", self.cols, f"{self.rows}, as rows")
        most = self.rows * self.cols - 1
        if self.givens > most:
            raise ConfigError(f"{name}.givens", self.givens, f"0 to {most} (rows * cols - 1)")

    @classmethod
    def grades(cls) -> tuple[str, ...]:
        """What ``needs`` may be, the easiest first."""
        choices: tuple[str, ...] = cls.__dataclass_fields__["needs"].metadata["choices"]
        return choices


@dataclass(frozen=True, eq=False)
class StateFillIn(State[LevelFillIn]):
    """A state of a fill-in puzzle with ``v`` values; ``board`` holds 0 = blank, 1 .. v = a given
    value, v + 1 .. 2 v = a written one.
    """

    # (B, rows, cols) 1 .. v: what all solutions of the given values hold there; 0 = they differ, or
    # there is none
    solution: NDArray[np.uint8] = field(metadata=PER_CELL)


@inner
def _holds(held, right, values):
    """Whether a cell holds the value that is right there, given or written."""
    return right > 0 and (held == right or held == values + right)


@inner
def _is_solved(board, solution, values):
    """Whether each cell holds the value of the only solution."""
    rows, cols = board.shape
    for row in range(rows):
        for column in range(cols):
            if not _holds(board[row, column], solution[row, column], values):
                return False
    return True


@kernel
def _play(turn, solution, actions, values):
    cols = turn.board.shape[2]
    for game in range(len(turn.board)):
        if turn.over[game] or actions[game] < 0:
            continue
        row = actions[game] // values // cols
        column = actions[game] // values % cols
        before = turn.board[game, row, column]
        after = values + 1 + actions[game] % values
        if 0 < before <= values or before == after:
            continue
        right = values + solution[game, row, column]
        turn.board[game, row, column] = after
        turn.changed[game] = True
        turn.gain[game] = np.int64(after == right) - np.int64(before == right)
        turn.terminated[game] = _is_solved(turn.board[game], solution[game], values)


@kernel
def _evaluate(boards, solutions, over, values, worth):
    """The values of :meth:`FillIn.oracle`; ``worth`` (B, A) is NaN before."""
    cells = boards.shape[1] * boards.shape[2]
    cols = boards.shape[2]
    for game in range(len(boards)):
        board = boards[game]
        solution = solutions[game]
        missing = 0
        for cell in range(cells):
            right = solution[cell // cols, cell % cols]
            held = board[cell // cols, cell % cols]
            missing += right > 0 and not _holds(held, right, values)
        for cell in range(cells):
            right = solution[cell // cols, cell % cols]
            held = board[cell // cols, cell % cols]
            if over[game] or 0 < held <= values:
                continue
            for value in range(1, values + 1):
                if held == values + value:
                    continue
                moves = missing + (value != right) + _holds(held, right, values)
                worth[game, cell * values + value - 1] = -moves if missing else DEAD


class FillIn(Puzzle[LevelFillIn, StateFillIn]):
    """A puzzle whose given values have one solution.

    A game states :attr:`digits` and has :meth:`rules_of`, beside what all games on a grid have.
    """

    kind = "sprite"
    state_type = StateFillIn
    tags = ("puzzle", "deduction")
    hints: ClassVar[tuple[str, str]]
    """What a teacher says of a value that follows from the easiest part of the rules, and from
    what goes further.
    """

    @abstractmethod
    def digits(self, level: LevelFillIn) -> tuple[str, ...]:
        """The texts of the values."""

    @abstractmethod
    def rules_of(self, side: int) -> Rules:
        """The rules on a board with sides of so many cells."""

    def names(self, level: LevelFillIn) -> tuple[str, ...]:
        """Blank, then the given values, then the written ones."""
        digits = self.digits(level)
        given = [f"given {digit}" for digit in digits]
        return ("blank", *given, *(f"written {digit}" for digit in digits))

    def _solve(self, board: Boards) -> Boards:
        """What is certain on boards, by the given values alone."""
        rules = self.rules_of(board.shape[1])
        given = np.where(board <= rules.values, board, 0).astype(np.uint8)
        certain = np.zeros_like(given)
        find_certain(given, rules, certain)
        return certain

    def further(self, board: Boards) -> Arrays:
        """What is certain."""
        return {"solution": self._solve(board)}

    def blank(self, level: LevelFillIn) -> StateFillIn:
        """A board of blank cells, of which nothing is certain."""
        board = np.zeros((1, level.rows, level.cols), np.uint8)
        return self.start(level, board, solution=np.zeros_like(board))

    def deal(self, level: LevelFillIn, seeds: Seeds, board: Boards) -> Arrays:
        """A drawn solution, from which values are taken away in a drawn order, as long as what the
        level ``needs`` suffices to find the only solution.

        That goes on down to ``givens`` values, or until what needs less does not suffice.
        """
        solution = np.zeros_like(board)
        rules = self.rules_of(level.rows)
        grade = level.grades().index(level.needs)
        deal_fill_ins(board, solution, seeds, rules, level.givens, grade)
        return {"solution": solution}

    def play(self, state: StateFillIn, actions: Actions, turn: Turn) -> None:
        """A right value gains 1, one that is written over costs 1; the game ends when all cells
        hold the right one.
        """
        values = self.rules_of(state.level.rows).values
        _play(turn.for_kernels(), state.solution, actions, values)

    def legal_moves(self, state: StateFillIn, legal: Marks) -> None:
        """Any value on a cell that is not given and does not hold it."""
        values = self.rules_of(state.level.rows).values
        board = state.board.reshape(len(state), -1, 1)
        written = values + 1 + np.arange(values, dtype=np.uint8)
        is_free = (board == 0) | (board > values)
        legal[:] = (is_free & (board != written)).reshape(legal.shape)

    def from_symbols(self, level: LevelFillIn, symbols: Symbols) -> StateFillIn:
        """Of given values with several solutions, what these have in common is right; nothing is
        where there is none.
        """
        board = np.array(symbols, np.uint8, order="C")
        solution = self._solve(board)
        held = (board == solution) | (board == self.rules_of(level.rows).values + solution)
        solved = ((solution > 0) & held).all(axis=(1, 2))
        return self.start(level, board, solution=solution, terminated=solved)

    def oracle(self, state: StateFillIn) -> Values:
        """Minus the moves that fill the board correctly and begin with this one.

        It is exact: one move for each cell that does not hold the value of the only solution, and
        more after a wrong one. On described boards only the cells count whose value is certain;
        where none of them is left to fill, all moves have :data:`DEAD`.
        """
        values = self.rules_of(state.level.rows).values
        worth = np.full((len(state), self.n_actions(state.level)), np.nan)
        _evaluate(state.board, state.solution, state.ended, values, worth)
        return worth

    def explain(self, state: StateFillIn, row: int, action: int) -> str:
        """Such as ``"(0, 1) 5 right"``, ``"(0, 1) 4 wrong"``, ``"(2, 2) 3 given"`` where nothing
        may be written, ``"(1, 1) 6 written"`` where that is there already.
        """
        text = self.encode(state.level, action)
        values = self.rules_of(state.level.rows).values
        cell, value = divmod(action, values)
        held = state.board[row].flat[cell]
        if 0 < held <= values:
            return f"{text} given"
        if held == values + 1 + value:
            return f"{text} written"
        return f"{text} {'right' if state.solution[row].flat[cell] == value + 1 else 'wrong'}"

    def candidates(self, state: StateFillIn, row: int) -> list[int]:
        """What the easiest cell may hold."""
        _, action = self.reasoning(state, row, np.empty(0))
        values = self.rules_of(state.level.rows).values
        legal = np.flatnonzero(self.legal(state[row])[0])
        return legal[legal // values == action // values].tolist()

    def reasoning(self, state: StateFillIn, row: int, values: Values) -> tuple[str, int]:
        """Cell by cell what the rules leave there, up to one with a single value; then one that
        takes more of the rules, or a right value that no single look shows.
        """
        board = state.board[row]
        solution = state.solution[row]
        rules = self.rules_of(state.level.rows)
        held = np.where(board > rules.values, board - rules.values, board)
        sure = np.where((held == solution) & (held > 0), held, 0).astype(np.uint8)
        open_cells = np.flatnonzero((sure == 0) & (solution > 0)).tolist()
        if state.ended[row] or not open_cells:
            return "", NO_ACTION
        thoughts = list[str]()
        for further, hint in enumerate(self.hints):
            left = left_by_a_look(sure, rules, bool(further))
            for cell in open_cells:
                options = _bits(int(left[cell]))
                words = self._say(state.level, cell, options, int(held.flat[cell]))
                if len(options) == 1:
                    thoughts.append(f"{words} {hint}")
                    return "; ".join(thoughts), cell * rules.values + options[0]
                if not further:
                    thoughts.append(words)
        cell = min(open_cells, key=lambda cell: int(left[cell]).bit_count())
        value = int(solution.flat[cell]) - 1
        words = self._say(state.level, cell, [value], int(held.flat[cell]))
        thoughts.append(f"{words} by trying")
        return "; ".join(thoughts), cell * rules.values + value

    def _say(self, level: LevelFillIn, cell: int, options: list[int], wrong: int) -> str:
        """A cell and what it may hold, such as ``"(0, 1) 4 5"``, or ``"(0, 1) not 3 but 4 5"``
        where a wrong value is written.
        """
        digits = self.digits(level)
        words = [write_cell(*divmod(cell, level.cols))]
        if wrong:
            words += ["not", digits[wrong - 1], "but"]
        return " ".join([*words, *(digits[option] for option in options)])

    def verify(self, state: StateFillIn) -> None:
        """Also that the solution holds values.

        Raises:
            StateError: it holds others.
        """
        super().verify(state)
        most = self.rules_of(state.level.rows).values
        if (state.solution > most).any():
            raise StateError(f"solution {state.solution.max()}: allowed are 0 to {most}")


def _bits(mask: int) -> list[int]:
    """The numbers of the bits of a mask."""
    return [bit for bit in range(mask.bit_length()) if mask >> bit & 1]


def units_of(side: int) -> Iterator[Any]:
    """The cells of each row, then of each column."""
    cells = np.arange(side * side).reshape(side, side)
    yield from cells
    yield from cells.T
