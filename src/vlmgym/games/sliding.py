"""The sliding puzzle: put the numbered tiles in order by sliding one at a time into the gap."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import TypeAlias

import numpy as np

from vlmgym.core import State, draw_below, setting
from vlmgym.core.kernels import inner, kernel
from vlmgym.games.parts.actions import Moves
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
from vlmgym.games.solvers import fifteen
from vlmgym.games.solvers.fifteen import gap, source


@dataclass(frozen=True)
class LevelSliding(GridLevel):
    """Rule settings of the sliding puzzle."""

    rows: int = setting(3, "board rows", 2, 5)
    cols: int = setting(3, "board columns", 2, 5)
    scramble: int = setting(
        60,
        "random moves from the solved board, none undoing the last; more if they solve it",
        1,
        1000,
    )


StateSliding: TypeAlias = State[LevelSliding]


# The board is that of the solver: (B, rows, cols) uint8, 0 = the gap, else a tile.
@inner
def _solved(board):
    rows, cols = board.shape
    for row in range(rows):
        for column in range(cols):
            if board[row, column] != (row * cols + column + 1) % (rows * cols):
                return False
    return True


@kernel
def _deal(boards, seeds, scramble):
    rows, cols = boards.shape[1:]
    for game in range(len(boards)):
        for cell in range(rows * cols):
            boards[game, cell // cols, cell % cols] = (cell + 1) % (rows * cols)
        row = rows - 1
        column = cols - 1
        last = -1
        number = 0
        while number < scramble or _solved(boards[game]):
            count = 0
            for move in range(4):
                undoes = last >= 0 and move == (last + 2) % 4
                count += not undoes and source(boards[game], row, column, move)[0] >= 0
            choice = draw_below(seeds[game], 0, number, count)
            for move in range(4):
                tile_row, tile_column = source(boards[game], row, column, move)
                if tile_row >= 0 and (last < 0 or move != (last + 2) % 4):
                    if choice == 0:
                        boards[game, row, column] = boards[game, tile_row, tile_column]
                        boards[game, tile_row, tile_column] = 0
                        row = tile_row
                        column = tile_column
                        last = move
                        break
                    choice -= 1
            number += 1


@kernel
def _play(turn, actions):
    for game in range(len(turn.board)):
        if turn.over[game] or actions[game] < 0:
            continue
        board = turn.board[game]
        row, column = gap(board)
        tile_row, tile_column = source(board, row, column, actions[game])
        if tile_row >= 0:
            board[row, column] = board[tile_row, tile_column]
            board[tile_row, tile_column] = 0
            solved = _solved(board)
            turn.changed[game] = True
            turn.terminated[game] = solved
            turn.gain[game] = np.int64(solved)


@kernel
def _legal(boards, legal):
    for game in range(len(boards)):
        row, column = gap(boards[game])
        for move in range(4):
            legal[game, move] = source(boards[game], row, column, move)[0] >= 0


class SlidingPuzzle(Puzzle[LevelSliding, StateSliding]):
    """The sliding puzzle (8-puzzle, 15-puzzle) on any board from 2x2 to 5x5."""

    name = "SlidingPuzzle"
    version = 1
    level_type = LevelSliding
    answers = Moves()
    kind = "number"
    tags = ("puzzle", "search")
    sources = (
        "15 puzzle, https://en.wikipedia.org/wiki/15_puzzle",
        "R. Korf, Depth-first iterative-deepening (1985), "
        "https://doi.org/10.1016/0004-3702(85)90084-0",
    )
    LEVELS = MappingProxyType(
        {
            "easy": LevelSliding(scramble=8, max_steps=30),
            "normal": LevelSliding(),
            "hard": LevelSliding(rows=4, cols=4, scramble=30, max_steps=60),
            "tiny": LevelSliding(rows=2, scramble=6, max_steps=16),
        }
    )
    RULES = (
        "This is a sliding puzzle of {rows} rows and {cols} columns with the tiles 1 to {last} and "
        "one gap. A move slides the tile next to the gap into it: up moves the tile below the gap "
        "up, right moves the tile on its left to the right, and so on. The goal is to have 1 to "
        "{last} in reading order with the gap in the last cell, in as few moves as possible. Cells "
        "are written as their number, the gap as 0."
    )

    def names(self, level: LevelSliding) -> tuple[str, ...]:
        """0 is the gap."""
        return _numbers(level.rows * level.cols)

    def words(self, level: LevelSliding) -> dict[str, object]:
        """The largest tile."""
        return {"last": level.rows * level.cols - 1}

    def deal(self, level: LevelSliding, seeds: Seeds, board: Boards) -> Arrays:
        """Random moves from the solved board."""
        _deal(board, seeds, level.scramble)
        return {}

    def play(self, state: StateSliding, actions: Actions, turn: Turn) -> None:
        """The move that solves the board gains 1."""
        _play(turn.for_kernels(), actions)

    def legal_moves(self, state: StateSliding, legal: Marks) -> None:
        """The moves that have a tile to slide."""
        _legal(state.board, legal)

    def from_symbols(self, level: LevelSliding, symbols: Symbols) -> StateSliding:
        """Of several gaps the first counts; without one no move is legal; repeated numbers are
        dead.
        """
        rows, cols = symbols.shape[1:]
        goal = (np.arange(1, rows * cols + 1) % (rows * cols)).reshape(rows, cols)
        solved = (symbols == goal).all(axis=(1, 2))
        return self.start(level, np.array(symbols, np.uint8, order="C"), terminated=solved)

    def is_exact(self, level: LevelSliding) -> bool:
        """On boards that are solved by a table."""
        return level.rows * level.cols <= fifteen.TABLE_CELLS

    def oracle(self, state: StateSliding) -> Values:
        """Minus the moves of a shortest solution that begins with the move, whatever the turn
        limit.

        Exact on boards of up to :data:`TABLE_CELLS` cells. On larger ones it is exact where a
        search of at most :data:`NODES` positions for each move finds a shortest solution (a move
        whose search was not finished by then counts as two moves longer); where it finds none, the
        value is minus (1 + a lower bound of the moves left after the move). All moves of a board
        that cannot be solved have :data:`DEAD`.
        """
        return fifteen.values(state.board, self.legal(state))


@lru_cache(32)
def _numbers(cells: int) -> tuple[str, ...]:
    """Text of each board value."""
    return tuple(map(str, range(cells)))
