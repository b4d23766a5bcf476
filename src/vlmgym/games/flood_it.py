"""FloodIt: give the area at the top left one colour after another until it fills the board."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeAlias

import numpy as np

from vlmgym.core import State, draw_below, setting
from vlmgym.core.kernels import apart, kernel
from vlmgym.games.parts.actions import Choices
from vlmgym.games.parts.areas import COLOURS
from vlmgym.games.parts.boards import (
    Actions,
    Arrays,
    Boards,
    GridLevel,
    Marks,
    Seeds,
    Symbols,
    Values,
    step_from,
)
from vlmgym.games.parts.explanations import say_moves_left
from vlmgym.games.parts.grid import Puzzle, Turn
from vlmgym.games.solvers import floods

MOST_COLOURS = 8
EXACT = 800
"""Largest ``cells * (colours - 2)`` whose plans are searched to the end: 14 x 14 cells of 6 colours
(some 70 ms a position), or 11 x 11 of 8.
"""


@dataclass(frozen=True)
class LevelFloodIt(GridLevel):
    """Rule settings of FloodIt."""

    rows: int = setting(8, "board rows", 4, 14)
    cols: int = setting(8, "board columns", 4, 14)
    colours: int = setting(5, "colours of the cells", 3, MOST_COLOURS)


StateFloodIt: TypeAlias = State[LevelFloodIt]


# The board is that of the solver: (B, rows, cols) uint8, colours counted from 0.
@kernel
def _deal(boards, seeds, colours):
    rows, cols = boards.shape[1:]
    for game in range(len(boards)):
        board = boards[game]
        is_filled = True
        for cell in range(rows * cols):
            board[cell // cols, cell % cols] = draw_below(seeds[game], 0, cell, colours)
            is_filled &= board[cell // cols, cell % cols] == board[0, 0]
        if is_filled:
            board[rows - 1, cols - 1] = (board[0, 0] + 1) % colours


@apart
def _paint(board, colour, stack):
    """Give the area of the top left cell a colour; returns how many cells it had. ``stack`` is
    scratch for as many cells as there are.
    """
    cols = board.shape[1]
    old = board[0, 0]
    board[0, 0] = colour
    stack[0] = 0
    waiting = 1
    size = 0
    while waiting:
        waiting -= 1
        cell = stack[waiting]
        size += 1
        for move in range(4):
            other = step_from(board, cell, move)
            if other >= 0 and board[other // cols, other % cols] == old:
                board[other // cols, other % cols] = colour
                stack[waiting] = other
                waiting += 1
    return size


@kernel
def _play(turn, actions, colours):
    rows, cols = turn.board.shape[1:]
    stack = np.empty(rows * cols, np.int64)
    for game in range(len(turn.board)):
        board = turn.board[game]
        if turn.over[game] or actions[game] < 0 or board[0, 0] == actions[game]:
            continue
        before = _paint(board, actions[game], stack)
        # a colour that is nowhere, and back
        size = _paint(board, colours, stack)
        _paint(board, actions[game], stack)
        turn.gain[game] = size - before
        turn.changed[game] = True
        turn.terminated[game] = size == rows * cols


class FloodIt(Puzzle[LevelFloodIt, StateFloodIt]):
    """Flood-It on boards of 4x4 to 14x14 with 3 to 8 colours."""

    name = "FloodIt"
    version = 1
    level_type = LevelFloodIt
    answers = Choices(
        "the colour that the area at the top left takes, such as red",
        lambda level: COLOURS[: level.colours],
    )
    kind = "sprite"
    tags = ("puzzle", "search")
    sources = (
        "R. Clifford, M. Jalsenius, A. Montanaro, B. Sach, The Complexity of Flood Filling Games "
        "(2012), https://doi.org/10.1007/s00224-011-9339-2",
        "S. Tatham, Flood, https://www.chiark.greenend.org.uk/~sgtatham/puzzles/doc/flood.html",
    )
    LEVELS = MappingProxyType(
        {
            "easy": LevelFloodIt(rows=6, cols=6, colours=4, max_steps=12),
            "normal": LevelFloodIt(max_steps=17),
            "hard": LevelFloodIt(rows=10, cols=10, colours=6, max_steps=23),
            "tiny": LevelFloodIt(rows=4, cols=4, colours=4, max_steps=10),
        }
    )
    RULES = (
        "This is Flood-It on a board of {rows} rows and {cols} columns. The area at the top left "
        "is cell (0, 0) and all cells of its colour that hang together with it in rows and "
        "columns. A move names a colour, which the whole area takes; cells of that colour next to "
        "it then belong to the area as well. The goal is to give all cells one colour, in as few "
        "moves as possible. Cells are written as their colour: {colours}."
    )

    def names(self, level: LevelFloodIt) -> tuple[str, ...]:
        """The colours."""
        return COLOURS[: level.colours]

    def words(self, level: LevelFloodIt) -> dict[str, object]:
        """The colours."""
        return {"colours": ", ".join(COLOURS[: level.colours])}

    def deal(self, level: LevelFloodIt, seeds: Seeds, board: Boards) -> Arrays:
        """Each cell has a colour of its own, all colours as likely as each other; never all cells
        the same.
        """
        _deal(board, seeds, level.colours)
        return {}

    def play(self, state: StateFloodIt, actions: Actions, turn: Turn) -> None:
        """Each cell that joins the area gains 1; the game ends when the area is the board."""
        _play(turn.for_kernels(), actions, state.level.colours)

    def legal_moves(self, state: StateFloodIt, legal: Marks) -> None:
        """All colours but that of the area, also such as join nothing."""
        legal[:] = np.arange(legal.shape[1]) != state.board[:, :1, 0]

    def from_symbols(self, level: LevelFloodIt, symbols: Symbols) -> StateFloodIt:
        """Any board can be played; one of a single colour is ended."""
        board = np.array(symbols, np.uint8, order="C")
        is_filled = (board == board[:, :1, :1]).all(axis=(1, 2))
        return self.start(level, board, terminated=is_filled)

    def is_exact(self, level: LevelFloodIt) -> bool:
        """Where ``cells * (colours - 2)`` is at most :data:`EXACT`."""
        return level.rows * level.cols * (level.colours - 2) <= EXACT

    def oracle(self, state: StateFloodIt) -> Values:
        """Minus the moves of a shortest plan that begins with the colour, whatever the turn limit.

        Exact where :meth:`is_exact` says so. Else it looks
        :data:`~vlmgym.games.solvers.floods.LOOKED_AHEAD` moves ahead: minus those, a bound of the
        moves after them that is never too large, and a part of a move for the areas that are left.
        """
        value = np.empty((len(state), state.level.colours))
        if self.is_exact(state.level):
            floods.exact_values(state.board, state.ended, value)
        else:
            floods.looked_ahead_values(state.board, state.ended, value)
        return value

    def _joined(self, state: StateFloodIt) -> list[int]:
        """How many cells each colour joins to the area of one game."""
        count = state.level.colours
        _, outcome = self.step(state.repeat(count), np.arange(count))
        return outcome.gain.tolist()

    def explain(self, state: StateFloodIt, row: int, action: int) -> str:
        """Such as ``"red joins 3 cells 7 to go"``, ``"blue no"`` (the area has that colour)."""
        text = self.encode(state.level, action)
        value = self.oracle(state[row])[0, action]
        if np.isnan(value):
            return f"{text} no"
        joined = self._joined(state[row])[action]
        return f"{text} joins {joined} cell{'' if joined == 1 else 's'} {say_moves_left(value)}"

    def candidates(self, state: StateFloodIt, row: int) -> list[int]:
        """The colours that join something."""
        return [colour for colour, cells in enumerate(self._joined(state[row])) if cells]
