"""Pipes: turn the pieces until water from the source reaches all of them."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from vlmgym.core import State, setting
from vlmgym.core.kernels import kernel
from vlmgym.games.parts.actions import MOVES, Cells
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
from vlmgym.games.parts.pipework import deal_pipes
from vlmgym.games.solvers import pipes
from vlmgym.games.solvers.pipes import (
    KINDS,
    flow,
    meeting,
    neighbours_of,
    period_of,
    sides_of,
    turned,
)


def _names() -> tuple[str, ...]:
    names = ["no pipe"]
    for kind in ("pipe", "wet pipe", "source"):
        for sides in range(1, KINDS + 1):
            openings = [MOVES[side] for side in range(4) if sides >> side & 1]
            names.append(" ".join([kind, *openings]))
    return tuple(names)


NAMES = _names()
"""Text of each board value, those of :mod:`vlmgym.games.solvers.pipes`."""
WEIGHED = 5
"""Pieces that a careful player weighs at once."""


@dataclass(frozen=True)
class LevelPipes(GridLevel):
    """Rule settings of Pipes."""

    rows: int = setting(5, "board rows", 3, 8)
    cols: int = setting(5, "board columns", 3, 8)
    wrap: bool = setting(False, "pipes go on from each edge of the board to the opposite one")
    crossings: float = setting(
        0.05, "share of pieces with four open sides, as far as the deal has room", 0.0, 0.2
    )
    turned: float = setting(
        0.5, "share of the pieces that are turned away from how they fit; one at least", 0.0, 1.0
    )


StatePipes: TypeAlias = State[LevelPipes]


@kernel
def _play(turn, actions, wrap):
    rows, cols = turn.board.shape[1:]
    beyond = neighbours_of(rows, cols, wrap)
    for game in range(len(turn.board)):
        cell = actions[game]
        if turn.over[game] or cell < 0:
            continue
        board = turn.board[game]
        value = board[cell // cols, cell % cols]
        sides = sides_of(value)
        if period_of(sides) == 1:
            continue
        board[cell // cols, cell % cols] = value - sides + turned(sides, 1)
        turn.changed[game] = True
        turn.terminated[game] = flow(board, beyond)
        turn.gain[game] = np.int64(turn.terminated[game])


@kernel
def _legal(boards, legal):
    cols = boards.shape[2]
    for game in range(len(boards)):
        for cell in range(legal.shape[1]):
            sides = sides_of(boards[game, cell // cols, cell % cols])
            legal[game, cell] = period_of(sides) > 1


@kernel
def _joins(boards, wrap, joins):
    rows, cols = boards.shape[1:]
    beyond = neighbours_of(rows, cols, wrap)
    for game in range(len(boards)):
        for cell in range(rows * cols):
            joins[game, cell // cols, cell % cols] = meeting(boards[game], beyond, cell)


class Pipes(Puzzle[LevelPipes, StatePipes]):
    """Pipes on boards from 3x3 to 8x8; the pieces fit together in one way only."""

    name = "Pipes"
    version = 1
    level_type = LevelPipes
    answers = Cells("the cell of the piece to turn")
    symbols = NAMES
    kind = "sprite"
    tags = ("puzzle", "deduction")
    sources = (
        "Net (or NetWalk), of Simon Tatham's Portable Puzzle Collection, "
        "https://www.chiark.greenend.org.uk/~sgtatham/puzzles/doc/net.html",
        "D. Kral, V. Majerech, J. Sgall, T. Tichy, G. Woeginger, It is tough to be a plumber "
        "(2004), https://doi.org/10.1016/j.tcs.2002.12.002",
    )
    LEVELS = MappingProxyType(
        {
            "easy": LevelPipes(rows=4, cols=4, turned=0.6, max_steps=30),
            "normal": LevelPipes(max_steps=45),
            "hard": LevelPipes(rows=7, cols=7, wrap=True, crossings=0.08, turned=0.4, max_steps=70),
            "tiny": LevelPipes(rows=3, cols=3, crossings=0.0, max_steps=16),
        }
    )
    RULES = (
        "This is a puzzle of pipes on a board of {rows} rows and {cols} columns. Each piece of "
        "pipe has open sides. A move turns one piece clockwise by a quarter: its side that was "
        "open to the top is then open to the right, and so on. Water flows from the source "
        "through all pieces whose open sides meet. {edges} The goal is that water reaches every "
        "piece, in as few moves as possible; there is one way to lay the pieces so. Cells are "
        "written as pipe, wet pipe (reached by water) or source, with their open sides in the "
        "order up, right, down, left, such as pipe up down or wet pipe right; a cell without a "
        "piece as no pipe."
    )

    def words(self, level: LevelPipes) -> dict[str, object]:
        """What is beyond the edges."""
        wrapped = "The board wraps around: each edge meets the opposite one."
        return {"edges": wrapped if level.wrap else "Nothing is beyond the edges of the board."}

    def deal(self, level: LevelPipes, seeds: Seeds, board: Boards) -> Arrays:
        """Pipes without rings that connect all cells and fit in one way only; a share of the pieces
        is turned.
        """
        crossings = round(level.crossings * level.rows * level.cols)
        over = deal_pipes(board, seeds, level.wrap, crossings, level.turned)
        return {"terminated": over}

    def play(self, state: StatePipes, actions: Actions, turn: Turn) -> None:
        """Water flows anew after each turn; when it reaches all pieces, that gains 1 and ends the
        game.
        """
        _play(turn.for_kernels(), actions, state.level.wrap)

    def legal_moves(self, state: StatePipes, legal: Marks) -> None:
        """All pieces that look different when they are turned: those with one to three open
        sides.
        """
        _legal(state.board, legal)

    def from_symbols(self, level: LevelPipes, symbols: Symbols) -> StatePipes:
        """What is described as wet or dry stays so until the next turn; where no piece is
        described as dry, the game has ended.
        """
        board = np.array(symbols, np.uint8, order="C")
        is_dry = (board > 0) & (board <= KINDS)
        return self.start(level, board, terminated=~is_dry.any(axis=(1, 2)))

    def joins(self, state: StatePipes) -> NDArray[np.uint8]:
        """Pipes go on where two open sides meet."""
        joins = np.zeros(state.board.shape, np.uint8)
        if state.board.any():  # bare ground compiles nothing
            _joins(state.board, state.level.wrap, joins)
        return joins

    def oracle(self, state: StatePipes) -> Values:
        """Minus the moves of a shortest solution that begins with the move, whatever the turn
        limit: exact on boards that were dealt.

        A described board is solved if it has one source, and as many open sides as pipes without
        rings have; of several solutions up to :data:`SOLUTIONS` are compared. Else all moves have
        :data:`DEAD`.
        """
        return pipes.values(state.board, state.ended, state.level.wrap)

    def candidates(self, state: StatePipes, row: int) -> list[int]:
        """The first pieces that may be turned, up to :data:`WEIGHED`."""
        return super().candidates(state, row)[:WEIGHED]
