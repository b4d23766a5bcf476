"""Towers of Hanoi: bring all discs to the last peg, never a larger one onto a smaller one."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from vlmgym.core import State, setting
from vlmgym.core.kernels import inner, kernel
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
from vlmgym.games.parts.explanations import say_moves_left
from vlmgym.games.parts.grid import Puzzle, Turn
from vlmgym.games.solvers import towers
from vlmgym.games.solvers.towers import landing_of, pegs_of, top_of

MOST_DISCS = 7
NAMES = ("peg", *(f"disc {size}" for size in range(1, MOST_DISCS + 1)))
"""Text of each board value."""


@dataclass(frozen=True)
class LevelTowers(GridLevel):
    """Rule settings of Towers of Hanoi: a peg is a column, as high as all discs."""

    rows: int = setting(5, "discs", 2, MOST_DISCS)
    cols: int = setting(3, "pegs", 3, 4)
    scattered: bool = setting(
        True, "discs lie on drawn pegs at first; else all of them on the first one"
    )
    min_moves: int = setting(
        10,
        "moves of a shortest solution of scattered discs, at least (where a few deals offer that)",
        1,
        127,
    )


StateTowers: TypeAlias = State[LevelTowers]


# The board is that of the solver: (B, discs, pegs) uint8, 0 = nothing, else a disc.
@inner
def _solved(board):
    discs, pegs = board.shape
    for row in range(discs):
        for peg in range(pegs):
            if board[row, peg] != (row + 1 if peg == pegs - 1 else 0):
                return False
    return True


@kernel
def _mark_solved(boards, solved):
    for game in range(len(boards)):
        solved[game] = _solved(boards[game])


@kernel
def _play(turn, actions):
    pegs = turn.board.shape[2]
    for game in range(len(turn.board)):
        if turn.over[game] or actions[game] < 0:
            continue
        board = turn.board[game]
        first = actions[game] // pegs
        second = actions[game] % pegs
        row = landing_of(board, first, second)
        if row >= 0:
            top = top_of(board, first)
            board[row, second] = board[top, first]
            board[top, first] = 0
            solved = _solved(board)
            turn.changed[game] = True
            turn.terminated[game] = solved
            turn.gain[game] = np.int64(solved)


@kernel
def _legal(boards, legal):
    pegs = boards.shape[2]
    for game in range(len(boards)):
        for action in range(pegs * pegs):
            row = landing_of(boards[game], action // pegs, action % pegs)
            legal[game, action] = row >= 0


class TowersOfHanoi(Puzzle[LevelTowers, StateTowers]):
    """Towers of Hanoi with 2 to 7 discs on three or four pegs, from any position."""

    name = "TowersOfHanoi"
    version = 1
    level_type = LevelTowers
    answers = NumberPairs(
        "the number of the peg to take a disc from and of the peg to put it on, counted from 0 at "
        "the left, such as 0 2",
        lambda level: (level.cols, level.cols),
    )
    symbols = NAMES
    kind = "sprite"
    tags = ("puzzle", "search")
    sources = (
        "E. Lucas, Towers of Hanoi (1883), https://en.wikipedia.org/wiki/Tower_of_Hanoi",
        "A. M. Hinz, The Tower of Hanoi (1989), https://doi.org/10.5169/seals-57378",
        "J. S. Frame, B. M. Stewart, Solution to advanced problem 3918 (1941), "
        "https://doi.org/10.2307/2304268",
    )
    LEVELS = MappingProxyType(
        {
            "easy": LevelTowers(rows=3, min_moves=3, max_steps=30),
            "normal": LevelTowers(max_steps=80),
            "hard": LevelTowers(rows=7, min_moves=50, max_steps=250),
            "tiny": LevelTowers(rows=4, cols=4, min_moves=2, max_steps=30),
        }
    )
    RULES = (
        "These are the Towers of Hanoi: {rows} discs on {cols} pegs, which are the columns of the "
        "board, 0 to {last}. Disc 1 is the smallest, disc {rows} the largest. A move takes the "
        "uppermost disc of one peg and puts it on another peg, which must be empty or have a "
        "larger disc uppermost. The goal is to bring all discs to the last peg, {last}, in as few "
        "moves as possible. Cells are written as disc 1 to disc {rows}, or as peg where there is "
        "no disc."
    )

    def names(self, level: LevelTowers) -> tuple[str, ...]:
        """The discs that there are."""
        return NAMES[: level.rows + 1]

    def words(self, level: LevelTowers) -> dict[str, object]:
        """The last peg."""
        return {"last": level.cols - 1}

    def deal(self, level: LevelTowers, seeds: Seeds, board: Boards) -> Arrays:
        """Positions of at least ``min_moves`` moves, all equally likely (where
        :data:`~vlmgym.games.solvers.towers.TRIES` draws have none, the one with most); or all discs
        on the first peg.
        """
        if level.scattered:
            towers.deal(board, seeds, level.min_moves)
        else:
            board[:, :, 0] = np.arange(1, level.rows + 1)
        return {}

    def play(self, state: StateTowers, actions: Actions, turn: Turn) -> None:
        """The move that brings the last disc to its place gains 1 and ends the game."""
        _play(turn.for_kernels(), actions)

    def legal_moves(self, state: StateTowers, legal: Marks) -> None:
        """The moves onto an empty peg or a larger disc."""
        _legal(state.board, legal)

    def joins(self, state: StateTowers) -> NDArray[np.uint8]:
        """A peg goes on over all cells of its column."""
        joins = np.zeros(state.board.shape, np.uint8)
        joins[:, 1:] |= 1
        joins[:, :-1] |= 4
        return joins

    def from_symbols(self, level: LevelTowers, symbols: Symbols) -> StateTowers:
        """Discs stay where they are described: in the air, in a wrong order, twice or never; a move
        takes the uppermost of a peg and puts it on top of another. Such boards are dead.
        """
        board = np.array(symbols, np.uint8, order="C")
        solved = np.zeros(len(board), bool)
        _mark_solved(board, solved)
        return self.start(level, board, terminated=solved)

    def oracle(self, state: StateTowers) -> Values:
        """Minus the moves of a shortest solution that begins with the move, whatever the turn
        limit.

        It is exact. All moves of a described board that the rules cannot reach have :data:`DEAD`.
        """
        return towers.values(state.board, self.legal(state))

    def explain(self, state: StateTowers, row: int, action: int) -> str:
        """Such as ``"0 2 disc 1 6 to go"`` (moves of a shortest solution after it), ``"1 0 no"``
        (not allowed).
        """
        text = self.answers.say(state.level, action)
        value = self.oracle(state[row])[0, action]
        if np.isnan(value):
            return f"{text} no"
        peg = state.board[row, :, action // state.level.cols]
        return f"{text} {NAMES[peg[peg > 0][0]]} {say_moves_left(value)}"

    def reasoning(self, state: StateTowers, row: int, values: Values) -> tuple[str, int]:
        """With three pegs from the largest disc to the smallest: where it must go, so that the next
        larger one can move. The last of them that is not there yet moves first.
        """
        pegs = np.empty(state.level.rows, np.int64)
        if state.level.cols != 3 or state.ended[row] or not pegs_of(state.board[row], pegs):
            return super().reasoning(state, row, values)
        thoughts = list[str]()
        target = 2
        action = 0
        for disc in range(len(pegs) - 1, -1, -1):
            peg = int(pegs[disc])
            if peg == target:
                thoughts.append(f"{NAMES[disc + 1]} is on {peg}")
                continue
            thoughts.append(f"{NAMES[disc + 1]} from {peg} to {target}")
            action = 3 * peg + target
            target = 3 - target - peg
        return "; ".join(thoughts), action
