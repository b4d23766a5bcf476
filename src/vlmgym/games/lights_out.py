"""Lights Out: a press switches a lamp and its neighbours; all lamps are to be off."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeAlias

import numpy as np

from vlmgym.core import ConfigError, State, setting
from vlmgym.games.parts.actions import Cells
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
from vlmgym.games.parts.grid import Puzzle, Turn
from vlmgym.games.solvers import lamps
from vlmgym.games.solvers.lamps import Wanted, lamps_of

NAMES = ("lamp off", "lamp on")
"""Text of each board value."""


@dataclass(frozen=True)
class LevelLightsOut(GridLevel):
    """Rule settings of Lights Out."""

    rows: int = setting(5, "board rows", 2, 8)
    cols: int = setting(5, "board columns", 2, 8)
    wrap: bool = setting(
        False, "the first and the last row are neighbours, and the first and the last column"
    )
    min_presses: int = setting(
        5, "presses of a smallest solution, at least (where a few deals offer that)", 1, 64
    )
    max_presses: int = setting(
        7, "presses of a smallest solution, at most (where a few deals offer that)", 1, 64
    )
    lit: float = setting(
        1.0, "share of the lamps that are on, at most (where a few deals offer that)", 0.0, 1.0
    )

    def __post_init__(self) -> None:
        """Check that some number of presses is asked for.

        Raises:
            ConfigError: a field is out of range, or the least number is above the greatest.
        """
        super().__post_init__()
        if self.min_presses > self.max_presses:
            raise ConfigError(
                "LevelLightsOut.min_presses",
                self.min_presses,
                f"1 to max_presses, {self.max_presses}",
            )


StateLightsOut: TypeAlias = State[LevelLightsOut]


class LightsOut(Puzzle[LevelLightsOut, StateLightsOut]):
    """Lights Out on any board from 2x2 to 8x8, with or without neighbours over the edge."""

    name = "LightsOut"
    version = 1
    level_type = LevelLightsOut
    answers = Cells("the cell to press")
    symbols = NAMES
    kind = "sprite"
    tags = ("puzzle",)
    sources = (
        "Tiger Electronics, Lights Out (1995), https://en.wikipedia.org/wiki/Lights_Out_(game)",
        "M. Anderson, T. Feil, Turning Lights Out with Linear Algebra (1998), "
        "https://doi.org/10.1080/0025570X.1998.11996658",
    )
    LEVELS = MappingProxyType(
        {
            "easy": LevelLightsOut(rows=4, cols=4, min_presses=2, max_presses=3, max_steps=30),
            "normal": LevelLightsOut(max_steps=40),
            "hard": LevelLightsOut(
                rows=7, cols=7, min_presses=10, max_presses=13, lit=0.4, max_steps=80
            ),
            "tiny": LevelLightsOut(rows=3, cols=3, min_presses=1, max_presses=4, max_steps=12),
        }
    )
    RULES = (
        "This is Lights Out on a board of {rows} rows and {cols} columns, with a lamp on each "
        "cell. A move presses a cell: its lamp and the lamps above, below, left and right of it go "
        "on if they are off, and off if they are on. {edges} The goal is to turn all lamps off in "
        "as few presses as possible. Cells are written as lamp on or lamp off."
    )

    def words(self, level: LevelLightsOut) -> dict[str, object]:
        """What is beyond the edges."""
        if level.wrap:
            edges = (
                "The board goes on over its edges: the first and the last row are neighbours, and "
                "so are the first and the last column; a lamp that would change twice changes once."
            )
        else:
            edges = "Beyond the edges of the board there are no lamps."
        return {"edges": edges}

    def deal(self, level: LevelLightsOut, seeds: Seeds, board: Boards) -> Arrays:
        """Drawn presses on the dark board, so that there is a solution: of at most
        :data:`~vlmgym.games.solvers.lamps.TRIES` draws the first that is as the level says; else
        the nearest to its presses, and then to its lamps.
        """
        most_lit = int(level.lit * level.rows * level.cols)
        wanted = Wanted(level.min_presses, level.max_presses, most_lit)
        lamps.deal(board, seeds, level.wrap, wanted)
        return {}

    def play(self, state: StateLightsOut, actions: Actions, turn: Turn) -> None:
        """The press that turns the last lamp off gains 1 and ends the game."""
        level = state.level
        turn.changed[:] = ~turn.over & (actions >= 0)
        switched = lamps_of(level.rows, level.cols, level.wrap).toggles[actions]
        turn.board ^= (switched * turn.changed[:, None]).reshape(turn.board.shape)
        solved = turn.changed & ~turn.board.any(axis=(1, 2))
        turn.gain[:] = solved
        turn.terminated |= solved

    def legal_moves(self, state: StateLightsOut, legal: Marks) -> None:
        """Every press changes lamps."""
        legal[:] = True

    def from_symbols(self, level: LevelLightsOut, symbols: Symbols) -> StateLightsOut:
        """A board without a lamp that is on is solved; one without a solution is played all the
        same.
        """
        board = np.array(symbols, np.uint8, order="C")
        return self.start(level, board, terminated=~board.any(axis=(1, 2)))

    def oracle(self, state: StateLightsOut) -> Values:
        """Minus the presses of a smallest solution that begins with the cell, whatever the turn
        limit.

        It is exact. All presses on a described board without a solution have :data:`DEAD`.
        """
        value = lamps.values(state.board, state.level.wrap)
        value[state.ended] = np.nan
        return value

    def candidates(self, state: StateLightsOut, row: int) -> list[int]:
        """The three best presses, of equal ones the first, in reading order."""
        if state.ended[row]:
            return []
        best = np.argsort(-self.oracle(state[row])[0], kind="stable")
        return sorted(best[:3].tolist())
