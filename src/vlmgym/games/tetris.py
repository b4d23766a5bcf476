"""Tetris, placement by placement: turn a piece, drop it into a column, clear full rows."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from vlmgym.core import ConfigError, Outcome, State, setting
from vlmgym.games.parts.actions import NumberPairs
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
from vlmgym.games.parts.polyominoes import COLOURS, FIRST_OF_SIZE
from vlmgym.games.parts.wells import deal_pieces, play_pieces
from vlmgym.games.solvers import drops
from vlmgym.games.solvers.drops import MOST_COLUMNS, TURNS, try_placement

NAMES = ("free", *(f"{colour} block" for colour in COLOURS))
"""Text of each board value."""


@dataclass(frozen=True)
class LevelTetris(GridLevel):
    """Rule settings of Tetris."""

    rows: int = setting(14, "board rows, those on top that show pieces included", 6, 24)
    cols: int = setting(8, "board columns", 3, MOST_COLUMNS)
    smallest: int = setting(4, "cells of the smallest pieces", 3, 5)
    largest: int = setting(4, "cells of the largest pieces", 3, 5)
    preview: bool = setting(True, "the next piece is shown above the piece to place")

    def __post_init__(self) -> None:
        """Check that all pieces fit into an empty well.

        Raises:
            ConfigError: a field is out of range, or the well is too small.
        """
        super().__post_init__()
        if self.smallest > self.largest:
            allowed = f"3 to largest, {self.largest}"
            raise ConfigError("LevelTetris.smallest", self.smallest, allowed)
        if self.cols < self.largest:
            allowed = f"{self.largest} to {MOST_COLUMNS}, as wide as the widest piece"
            raise ConfigError("LevelTetris.cols", self.cols, allowed)
        if self.rows < self.top + self.largest:
            allowed = (
                f"{self.top + self.largest} to 24: {self.top} show pieces, and the well is as deep "
                "as the longest"
            )
            raise ConfigError("LevelTetris.rows", self.rows, allowed)

    @property
    def height(self) -> int:
        """Rows in which a piece is drawn."""
        return 3 if self.largest == 5 else 2

    @property
    def top(self) -> int:
        """The first row of the well."""
        return self.height * (1 + self.preview)

    @property
    def first_piece(self) -> int:
        """The first of the pieces that are drawn."""
        return FIRST_OF_SIZE[self.smallest]

    @property
    def pieces(self) -> int:
        """How many pieces there are."""
        return FIRST_OF_SIZE[self.largest + 1] - self.first_piece


StateTetris: TypeAlias = State[LevelTetris]


class Tetris(GridGame[LevelTetris, StateTetris]):
    """Tetris without haste, with pieces of three to five cells."""

    name = "Tetris"
    version = 2
    level_type = LevelTetris
    answers = NumberPairs(
        "the column of the leftmost cell of the piece once it is turned, counted from 0 at the "
        "left, and the number of quarter turns clockwise, 0 to 3, such as 2 1",
        lambda level: (level.cols, TURNS),
    )
    symbols = NAMES
    kind = "sprite"
    tags = ("search", "luck")
    sources = (
        "A. Pajitnov, Tetris (1985), https://en.wikipedia.org/wiki/Tetris",
        "P. Dellacherie's weights, in C. Fahey, Tetris AI (2003), "
        "https://www.colinfahey.com/tetris/tetris.html",
        "C. Thiery, B. Scherrer, Building Controllers for Tetris (2009), "
        "https://doi.org/10.3233/ICG-2009-32102",
        "Polyomino (pieces of three to five cells), https://en.wikipedia.org/wiki/Polyomino",
    )
    LEVELS = MappingProxyType(
        {
            "easy": LevelTetris(rows=10, cols=6, smallest=3, largest=3, max_steps=60),
            "normal": LevelTetris(max_steps=100),
            "hard": LevelTetris(rows=18, cols=9, smallest=4, largest=5, max_steps=200),
            "tiny": LevelTetris(rows=6, cols=4, smallest=3, largest=3, preview=False, max_steps=20),
        }
    )
    RULES = (
        "This is Tetris, piece by piece, without haste. The board has {rows} rows and {cols} "
        "columns. {shown} The lowest {depth} rows, below the {line} line, are the well. A move "
        "turns the piece by some quarter turns clockwise and drops it into the well, its leftmost "
        "cell in the column that is named; it falls straight down until it lies on the ground or "
        "on a block. Full rows of the well are cleared, and what is above them moves down. A "
        "placement that would reach out of the well does nothing; the game ends when a piece has "
        "no other. The goal is to clear as many rows as possible. Cells are written as free, or "
        "as cyan block, yellow block and so on by the colour of their piece, which means nothing "
        f"else; the colours are {', '.join(COLOURS[:-1])} and {COLOURS[-1]}."
    )
    WITH_NEXT = (
        "Its first {height} rows show the next piece, the {height} rows below these the piece to "
        "place, as it is before it is turned."
    )
    WITHOUT_NEXT = "Its first {height} rows show the piece to place, as it is before it is turned."

    def words(self, level: LevelTetris) -> dict[str, object]:
        """What the rows on top show, and how many are below."""
        shown = self.WITH_NEXT if level.preview else self.WITHOUT_NEXT
        return {
            "shown": shown.format(height=level.height),
            "depth": level.rows - level.top,
            "line": "lower heavy" if level.preview else "heavy",
        }

    def deal(self, level: LevelTetris, seeds: Seeds, board: Boards) -> Arrays:
        """An empty well, and the first pieces."""
        deal_pieces(board, seeds, level.top, level.height, level.first_piece, level.pieces)
        return {}

    def play(self, state: StateTetris, actions: Actions, turn: Turn) -> None:
        """A cleared row gains 1; the game ends when the piece to place has no placement."""
        level = state.level
        arrays = turn.for_kernels()
        play_pieces(arrays, actions, level.top, level.height, level.first_piece, level.pieces)

    def legal_moves(self, state: StateTetris, legal: Marks) -> None:
        """The placements within the well."""
        legal[:], _ = drops.placements(state.board, state.level.top, state.level.height)

    def lines(self, state: StateTetris) -> NDArray[np.uint8]:
        """Heavy lines below the rows that show a piece."""
        lines = np.zeros(state.board.shape, np.uint8)
        for row in range(state.level.height, state.level.top + 1, state.level.height):
            lines[:, row - 1] |= np.uint8(4)
            lines[:, row] |= np.uint8(1)
        return lines

    def from_symbols(self, level: LevelTetris, symbols: Symbols) -> StateTetris:
        """All blocks in the rows that show a piece are that piece, wherever they are; it is over
        where there is none, or it has no placement.
        """
        board = np.array(symbols, np.uint8, order="C")
        legal, _ = drops.placements(board, level.top, level.height)
        return self.start(level, board, terminated=~legal.any(axis=1))

    def success_mask(self, state: StateTetris) -> Marks:
        """``(B, A)``: the placements that clear a row, and those that add no hole, or the fewest
        where each adds some: free cells with a block above them in their column, however far.
        """
        legal, good = drops.placements(state.board, state.level.top, state.level.height)
        return legal & good & ~state.ended[:, None]

    def success(self, state: StateTetris, actions: Actions, outcome: Outcome) -> Marks:
        """``(B,)``: the placement was one of these."""
        return (actions >= 0) & self.success_mask(state)[np.arange(len(state)), actions]

    def oracle(self, state: StateTetris) -> Values:
        """The placement's own worth, and that of the best placement of the next piece with the well
        after both; without a preview that of the well after this one.

        By Dellacherie's weights: minus the height of the piece's middle, plus rows cleared times
        own cells cleared; minus the changes between free and filled along rows (the sides of the
        well are filled) and along columns (the ground is filled, above is free), minus four times
        the holes, minus 1 + 2 + ... + depth of each well of cells that are free between filled
        ones. Where the next piece has no placement, 100,000 less and the well after this one.
        """
        return drops.values(state.board, state.ended, state.level.top, state.level.height)

    def explain(self, state: StateTetris, row: int, action: int) -> str:
        """Such as ``"3 1 to row 9 adds 2 holes"``, with the row of the board in which the top of
        the piece comes to lie, ``"0 0 to row 10 clears 1 adds 0 holes"``, ``"7 2 no"``.
        """
        level = state.level
        text = self.encode(level, action)
        lands, cleared, before, after = try_placement(
            state.board[row], level.top, level.height, action
        )
        if state.ended[row] or lands < 0:
            return f"{text} no"
        text += f" to row {level.top + lands}"
        if cleared:
            text += f" clears {cleared}"
        added = max(0, after - before)
        return f"{text} adds {added} {'hole' if added == 1 else 'holes'}"

    def candidates(self, state: StateTetris, row: int) -> list[int]:
        """The three placements of greatest value, of equal ones the first, by their ids; fewer if
        fewer are possible.
        """
        values = self.oracle(state[row])[0]
        possible = np.flatnonzero(~np.isnan(values)).tolist()
        best = sorted(possible, key=lambda action: (-values[action], action))
        return sorted(best[:3])
