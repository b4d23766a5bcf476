"""Tic-tac-toe: three marks in a row on a board of three by three, and its larger sisters."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from vlmgym.core import State, setting
from vlmgym.games.parts.actions import Cells
from vlmgym.games.parts.boards import Actions, Marks, Values
from vlmgym.games.parts.in_a_row import InARow, LevelInARow, inner_sides

SIDES = ("X", "O")


@dataclass(frozen=True)
class LevelTicTacToe(LevelInARow):
    """Rule settings of tic-tac-toe."""

    rows: int = setting(3, "board rows", 3, 5)
    cols: int = setting(3, "board columns", 3, 5)
    side: str = setting("X", "the mark that the player has", choices=SIDES)


StateTicTacToe: TypeAlias = State[LevelTicTacToe]


class TicTacToe(InARow[LevelTicTacToe]):
    """Tic-tac-toe on any board from 3x3 to 5x5."""

    name = "TicTacToe"
    version = 2
    level_type = LevelTicTacToe
    answers = Cells("the cell to mark")
    symbols = ("no mark", *SIDES)
    sides = SIDES
    kind = "sprite"
    gravity = False
    EXACT_CELLS = 16
    AHEAD = 5
    REST = 17
    tags = ("opponent", "search")
    sources = (
        "Tic-tac-toe, https://en.wikipedia.org/wiki/Tic-tac-toe",
        "m,n,k-game, https://en.wikipedia.org/wiki/M,n,k-game",
        "J. W. H. M. Uiterwijk and H. J. van den Herik, The advantage of the initiative (2000), "
        "https://doi.org/10.1016/S0020-0255(99)00095-X",
    )
    LEVELS = MappingProxyType(
        {
            "easy": LevelTicTacToe(skill=0.2, max_steps=12),
            "normal": LevelTicTacToe(begins="drawn", max_steps=12),
            "hard": LevelTicTacToe(
                rows=5, cols=5, line=4, begins="drawn", skill=1.0, opening=4, max_steps=24
            ),
            "tiny": LevelTicTacToe(skill=0.5, opening=1, max_steps=10),
        }
    )
    RULES = (
        "This is tic-tac-toe on a board of {rows} rows and {cols} columns. You play {side} against "
        "an opponent who plays {other}. {begun} A move puts your mark on a free cell; your "
        "opponent then marks another one, and it is your turn again. Who first has {line} marks in "
        "a row, column or diagonal wins. A full board without such a line is a draw. The goal is "
        "to win or, where that is not possible, not to lose. Cells are written as X, O or no mark."
    )

    def cells(self, free: Marks, actions: Actions) -> NDArray[np.int64]:
        """The cell that is named."""
        return actions

    def by_action(self, of_cells: NDArray[Any]) -> NDArray[Any]:
        """An action is a cell."""
        return of_cells.reshape(len(of_cells), of_cells.shape[1] * of_cells.shape[2])

    @override
    def oracle(self, state: StateTicTacToe) -> Values:
        """A search of both sides' best play, whatever the skill of the opponent. It is exact, to
        the end of the game, on boards of up to 16 cells and, on larger ones, where 17 cells or
        fewer are free, as in all turns of the level ``hard``; with more free cells it looks 5
        stones ahead, and what is then undecided counts as a draw. 1 less 0.01 for each stone, of
        both sides, until the move wins, and -1 with as much more until it loses; 0.5 and -0.5 where
        that is more than 4 stones away; 0 of a draw.
        """
        return super().oracle(state)

    def lines(self, state: StateTicTacToe) -> NDArray[np.uint8]:
        """Heavy lines between the cells, and none around the board."""
        return inner_sides(state.board.shape)
