"""Connect Four: discs fall into the columns of an upright board; four in a row win."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from vlmgym.core import State, setting
from vlmgym.games.parts.actions import Numbers
from vlmgym.games.parts.boards import Actions, Marks, Values
from vlmgym.games.parts.in_a_row import InARow, LevelInARow, inner_sides

SIDES = ("red", "yellow")


@dataclass(frozen=True)
class LevelConnectFour(LevelInARow):
    """Rule settings of Connect Four."""

    rows: int = setting(6, "board rows", 3, 8)
    cols: int = setting(7, "board columns", 3, 8)
    side: str = setting("red", "the colour of the player's discs", choices=SIDES)
    line: int = setting(4, "discs in a row, column or diagonal that win", 3, 5)


StateConnectFour: TypeAlias = State[LevelConnectFour]


class ConnectFour(InARow[LevelConnectFour]):
    """Connect Four on any board from 3x3 to 8x8."""

    name = "ConnectFour"
    version = 2
    level_type = LevelConnectFour
    answers = Numbers(
        "the number of the column that the disc falls into, counted from 0 at the left, such as 3",
        lambda level: level.cols,
    )
    symbols = ("no disc", "red disc", "yellow disc")
    sides = SIDES
    kind = "sprite"
    gravity = True
    EXACT_CELLS = 20
    AHEAD = 6
    REST = 12
    tags = ("opponent", "search")
    sources = (
        "Connect Four (1974), https://en.wikipedia.org/wiki/Connect_Four",
        "J. Tromp, John's Connect Four Playground, https://tromp.github.io/c4/c4.html",
        "V. Allis, A Knowledge-based Approach of Connect-Four (1988), "
        "http://www.informatik.uni-trier.de/~fernau/DSL0607/Masterthesis-Viergewinnt.pdf",
    )
    LEVELS = MappingProxyType(
        {
            "easy": LevelConnectFour(rows=4, cols=5, skill=0.2, max_steps=20),
            "normal": LevelConnectFour(begins="drawn", skill=0.5, opening=4, max_steps=42),
            "hard": LevelConnectFour(begins="drawn", skill=1.0, opening=4, max_steps=42),
            "tiny": LevelConnectFour(rows=4, cols=4, line=3, skill=0.5, opening=1, max_steps=16),
        }
    )
    RULES = (
        "This is Connect Four on a board of {rows} rows and {cols} columns. You play {side} "
        "against an opponent who plays {other}. {begun} A move drops one of your discs into a "
        "column that is not full, where it falls onto the lowest free cell; your opponent then "
        "drops a disc, and it is your turn again. Who first has {line} discs in a row, column or "
        "diagonal wins. A full board without such a line is a draw. The goal is to win or, where "
        "that is not possible, not to lose. Cells are written as red disc, yellow disc or no disc."
    )

    def cells(self, free: Marks, actions: Actions) -> NDArray[np.int64]:
        """The free cell of the column that the disc falls onto."""
        columns = np.maximum(actions, 0)
        row = free[np.arange(len(free)), :, columns].argmax(axis=1)
        return np.asarray(row * free.shape[2] + columns)

    def by_action(self, of_cells: NDArray[Any]) -> NDArray[Any]:
        """An action is a column, in which a disc may come onto one cell at most."""
        return np.fmax.reduce(of_cells, axis=1)

    @override
    def oracle(self, state: StateConnectFour) -> Values:
        """A search of both sides' best play, whatever the skill of the opponent. It is exact, to
        the end of the game, on boards of up to 20 cells and, on larger ones, where 12 cells or
        fewer are free; with more free cells, as in most turns of the levels ``normal`` and
        ``hard``, it looks 6 stones ahead, and what is then undecided counts as a draw. 1 less 0.01
        for each stone, of both sides, until the move wins, and -1 with as much more until it loses;
        0.5 and -0.5 where that is more than 4 stones away; 0 of a draw.
        """
        return super().oracle(state)

    def joins(self, state: StateConnectFour) -> NDArray[np.uint8]:
        """The board is one body."""
        return inner_sides(state.board.shape)
