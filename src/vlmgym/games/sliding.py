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
    for r in range(rows):
        for c in range(cols):
            if board[r, c] != (r * cols + c + 1) % (rows * cols):
                return False
    return True


@kernel
def _deal(board, seeds, scramble):
    rows, cols = board.shape[1:]
    for b in range(len(board)):
        for k in range(rows * cols):
            board[b, k // cols, k % cols] = (k + 1) % (rows * cols)
        r = rows - 1
        c = cols - 1
        last = -1
        number = 0
        while number < scramble or _solved(board[b]):
            count = 0
            for move in range(4):
                back = last >= 0 and move == (last + 2) % 4
                count += not back and source(board[b], r, c, move)[0] >= 0
            pick = draw_below(seeds[b], 0, number, count)
            for move in range(4):
                i, j = source(board[b], r, c, move)
                if i >= 0 and (last < 0 or move != (last + 2) % 4):
                    if pick == 0:
                        board[b, r, c] = board[b, i, j]
                        board[b, i, j] = 0
                        r = i
                        c = j
                        last = move
                        break
                    pick -= 1
            number += 1


@kernel
def _play(board, actions, ended, gain, changed, terminated):
    for b in range(len(board)):
        if ended[b] or actions[b] < 0:
            continue
        r, c = gap(board[b])
        i, j = source(board[b], r, c, actions[b])
        if i >= 0:
            board[b, r, c] = board[b, i, j]
            board[b, i, j] = 0
            changed[b] = True
            terminated[b] = _solved(board[b])
            gain[b] = np.int64(terminated[b])


@kernel
def _legal(board, legal):
    for b in range(len(board)):
        r, c = gap(board[b])
        for move in range(4):
            legal[b, move] = source(board[b], r, c, move)[0] >= 0


class SlidingPuzzle(Puzzle[LevelSliding, StateSliding]):
    """The sliding puzzle (8-puzzle, 15-puzzle) on any board from 2x2 to 5x5."""

    name = "SlidingPuzzle"
    version = 1
    level_type = LevelSliding
    answers = Moves()
    kind = "number"
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
        _play(turn.board, actions, turn.over, turn.gain, turn.changed, turn.terminated)

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
