"""Queens: one queen in every row, column and region, none touching another.

The regions are dealt so that there is exactly one way.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from vlmgym.core import ConfigError, State, setting
from vlmgym.core.kernels import kernel
from vlmgym.games.parts.actions import Cells
from vlmgym.games.parts.areas import COLOURS, borders
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
from vlmgym.games.parts.grid import Puzzle, Turn
from vlmgym.games.parts.regions import deal_regions
from vlmgym.games.solvers import queens
from vlmgym.games.solvers.queens import QUEEN


@dataclass(frozen=True)
class LevelQueens(GridLevel):
    """Rule settings of Queens."""

    rows: int = setting(7, "board rows, and regions", 4, len(COLOURS))
    cols: int = setting(7, "board columns, as many as rows", 4, len(COLOURS))
    marks: bool = setting(True, "cells that a queen on the board rules out carry a cross")

    def __post_init__(self) -> None:
        """Check that the board is a square.

        Raises:
            ConfigError: a field is out of range, or the board is no square.
        """
        super().__post_init__()
        if self.cols != self.rows:
            raise ConfigError("LevelQueens.cols", self.cols, f"as many as rows, {self.rows}")


StateQueens: TypeAlias = State[LevelQueens]


# The board is that of the solver: (B, n, n) uint8, n * what + region.
@kernel
def _play(turn, actions, with_marks):
    size = turn.board.shape[1]
    cells = np.empty(size * size, np.int64)
    for game in range(len(turn.board)):
        cell = actions[game]
        if turn.over[game] or cell < 0:
            continue
        board = turn.board[game]
        row = cell // size
        column = cell % size
        before = queens.queens_of(board, cells)
        if board[row, column] // size == QUEEN:
            board[row, column] %= size
        else:
            for index in range(before):
                other = cells[index]
                if queens.may_not_stand(board, cell, other):
                    board[other // size, other % size] %= size
            board[row, column] = size * QUEEN + board[row, column] % size
        queens.write_marks(board, cells, with_marks)
        turn.gain[game] = queens.queens_of(board, cells) - before
        turn.changed[game] = True
        turn.terminated[game] = queens.is_solved(board, cells)


class Queens(Puzzle[LevelQueens, StateQueens]):
    """Queens on boards of 4x4 to 9x9."""

    name = "Queens"
    version = 1
    level_type = LevelQueens
    answers = Cells("the cell to press")
    kind = "sprite"
    tags = ("puzzle", "deduction")
    sources = (
        "Star Battle (H. Eendebak, World Puzzle Championship 2003), "
        "https://starbattle-puzzle.com/2016/05/20/star-battle-origins/",
        "M. Spiegel, LinkedIn Queens: rules, "
        "https://mspiegel.github.io/queens-without-backtracking/QUEENS.html",
        "Solutions by columns: permutations without neighbours in a row, https://oeis.org/A002464",
    )
    LEVELS = MappingProxyType(
        {
            "easy": LevelQueens(rows=5, cols=5, max_steps=20),
            "normal": LevelQueens(max_steps=40),
            "hard": LevelQueens(rows=9, cols=9, marks=False, max_steps=80),
            "tiny": LevelQueens(rows=4, cols=4, marks=False, max_steps=12),
        }
    )
    RULES = (
        "This is Queens on a board of {rows} rows and {cols} columns, with {rows} regions of one "
        "colour each between heavy lines. The goal is to have one queen in every row, every column "
        "and every region, in as few moves as possible; no two queens may touch, not even at a "
        "corner. There is exactly one solution. A move presses a cell and puts a queen there; "
        "queens that may not stand together with it are removed. Pressing a queen removes it. The "
        "score is the number of queens on the board, right or wrong. {crosses}Cells are written as "
        "their colour ({colours}), with a queen such as red queen{mark}."
    )

    def names(self, level: LevelQueens) -> tuple[str, ...]:
        """By number: the regions as they are, with a queen, and with a mark."""
        colours = COLOURS[: level.rows]
        with_queens = [f"{colour} queen" for colour in colours]
        with_marks = [f"{colour} mark" for colour in colours] if level.marks else []
        return (*colours, *with_queens, *with_marks)

    def words(self, level: LevelQueens) -> dict[str, object]:
        """The colours, and what is said of marks."""
        crosses = "A cross marks a cell that a queen on the board rules out. "
        return {
            "colours": ", ".join(COLOURS[: level.rows]),
            "crosses": crosses if level.marks else "",
            "mark": ", with a cross such as red mark" if level.marks else "",
        }

    def deal(self, level: LevelQueens, seeds: Seeds, board: Boards) -> Arrays:
        """Regions that grow from queens of a solution, with cells given to neighbours until there
        is no other.
        """
        deal_regions(board, seeds)
        return {}

    def play(self, state: StateQueens, actions: Actions, turn: Turn) -> None:
        """The score is the number of queens on the board, right or wrong; the game ends when they
        are the solution.
        """
        _play(turn.for_kernels(), actions, state.level.marks)

    def legal_moves(self, state: StateQueens, legal: Marks) -> None:
        """All cells."""
        legal[:] = True

    def lines(self, state: StateQueens) -> NDArray[np.uint8]:
        """Between regions."""
        return borders(state.board % state.level.rows)

    def from_symbols(self, level: LevelQueens, symbols: Symbols) -> StateQueens:
        """Of queens that may not stand together the first in reading order stay; marks are put
        where they belong. Regions with no solution are dead; of several solutions the nearest
        counts.
        """
        board = np.array(symbols, np.uint8, order="C")
        solved = np.empty(len(board), bool)
        queens.put_in_order(board, level.marks, solved)
        return self.start(level, board, terminated=solved)

    def oracle(self, state: StateQueens) -> Values:
        """Minus the moves of a shortest solution that begins with the cell, whatever the turn
        limit; exact.

        That is a move for each queen of the solution that does not stand yet, for wrong ones are
        driven away. So the best moves are the queens of the solution; to take a queen away is
        never one, right or wrong.
        """
        value = np.empty((len(state), self.n_actions(state.level)))
        queens.values(state.board, state.ended, value)
        return value

    def explain(self, state: StateQueens, row: int, action: int) -> str:
        """Such as ``"(0, 1) red 3 to go"``, ``"(2, 3) blue queen 4 to go"`` (which is taken
        away).
        """
        what = self.names(state.level)[state.board[row].flat[action]]
        text = f"{self.encode(state.level, action)} {what}"
        value = self.oracle(state[row])[0, action]
        return f"{text} no" if np.isnan(value) else f"{text} {say_moves_left(value)}"

    def candidates(self, state: StateQueens, row: int) -> list[int]:
        """The cells that no queen rules out of the row, column or region where fewest are left; of
        those without any, all cells.
        """
        size = state.level.rows
        board = state.board[row]
        with_marks = board.copy()[None]
        queens.put_in_order(with_marks, True, np.empty(1, bool))
        free = (with_marks[0] < size).ravel()
        rows, columns = np.divmod(np.arange(size * size), size)
        regions = (board % size).ravel()
        places = [numbers == unit for numbers in (rows, columns, regions) for unit in range(size)]
        has_queen = (board // size == QUEEN).ravel()
        open_places = [cells for cells in places if cells.any() and not has_queen[cells].any()]
        if not open_places:
            return []
        fewest = min(open_places, key=lambda cells: int((cells & free).sum()))
        chosen = fewest & free
        return np.flatnonzero(chosen if chosen.any() else fewest).tolist()
