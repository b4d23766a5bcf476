"""Minesweeper: reveal every cell without a mine; a number counts the mines around its cell."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from vlmgym.core import PER_CELL, ConfigError, State, setting
from vlmgym.core.kernels import kernel
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
from vlmgym.games.parts.grid import GridGame, Turn
from vlmgym.games.parts.minefields import TRIES, deal_minefields
from vlmgym.games.solvers.mines import HIDDEN, MINE, reveal, safe_left, study

NAMES = (*map(str, range(9)), "hidden", "mine")
"""Text of each board value, those of :mod:`vlmgym.games.solvers.mines`."""
TIE = 1e-9
"""Mine probabilities closer than this count as equal."""


@dataclass(frozen=True)
class LevelMinesweeper(GridLevel):
    """Rule settings of Minesweeper."""

    rows: int = setting(8, "board rows", 2, 16)
    cols: int = setting(8, "board columns", 2, 16)
    mines: int = setting(10, "mines on the board; at most rows * cols - 2", 1, 254)
    guess_free: bool = setting(
        True,
        f"draw up to {TRIES} deals for one that reasoning alone solves; else the last one is dealt",
    )

    def __post_init__(self) -> None:
        """Check that the mines leave an opening and a safe cell to find.

        Raises:
            ConfigError: a field is out of range, or there are too many mines.
        """
        super().__post_init__()
        most_mines = self.rows * self.cols - 2
        if self.mines > most_mines:
            allowed = f"1 to {most_mines} (rows * cols - 2)"
            raise ConfigError("LevelMinesweeper.mines", self.mines, allowed)


@dataclass(frozen=True, eq=False)
class StateMinesweeper(State[LevelMinesweeper]):
    """A state of Minesweeper; ``board`` holds what is seen: 0 .. 8 = a number, 9 = hidden, 10 = the
    mine that went off.
    """

    # (B, rows, cols) where the mines are; no picture, text or oracle value depends on it
    mines: NDArray[np.bool_] = field(metadata=PER_CELL)


@kernel
def _play(turn, mines, actions):
    cols = turn.board.shape[2]
    for game in range(len(turn.board)):
        board = turn.board[game]
        cell = actions[game]
        if turn.over[game] or cell < 0 or board[cell // cols, cell % cols] != HIDDEN:
            continue
        gain = reveal(board, mines[game], cell, True)
        turn.gain[game] = gain
        turn.changed[game] = True
        turn.terminated[game] = gain == 0 or not safe_left(board, mines[game])


class Minesweeper(GridGame[LevelMinesweeper, StateMinesweeper]):
    """Minesweeper on any board from 2x2 to 16x16; a part of the board is open from the start."""

    name = "Minesweeper"
    version = 1
    level_type = LevelMinesweeper
    state_type = StateMinesweeper
    answers = Cells("the cell to reveal")
    symbols = NAMES
    kind = "sprite"
    unnamed = covered = HIDDEN
    tags = ("deduction", "luck")
    sources = (
        "Minesweeper, https://en.wikipedia.org/wiki/Minesweeper_(video_game)",
        "R. Kaye, Minesweeper is NP-complete (2000), https://doi.org/10.1007/BF03025367",
    )
    LEVELS = MappingProxyType(
        {
            "easy": LevelMinesweeper(rows=5, cols=5, mines=4, max_steps=30),
            "normal": LevelMinesweeper(max_steps=80),
            "hard": LevelMinesweeper(rows=10, cols=10, mines=22, guess_free=False, max_steps=120),
            "tiny": LevelMinesweeper(rows=4, cols=4, mines=2, max_steps=16),
        }
    )
    RULES = (
        "This is Minesweeper on a board of {rows} rows and {cols} columns; {hidden} hidden under "
        "it, and a part of it is open at the start. A move reveals one hidden cell. A mine there "
        "ends the game. Otherwise the cell shows how many of the up to eight cells around it hold "
        "a mine, and around a 0, which is drawn as an empty cell, all cells are revealed at once. "
        "Each cell that is revealed so scores 1. The goal is to reveal every cell without a mine. "
        "Revealed cells are written as their number, 0 to 8, hidden cells as hidden, a mine that "
        "went off as mine."
    )

    def words(self, level: LevelMinesweeper) -> dict[str, object]:
        """How many mines are hidden."""
        return {"hidden": "1 mine is" if level.mines == 1 else f"{level.mines} mines are"}

    def further(self, board: Boards) -> Arrays:
        """No mine anywhere."""
        return {"mines": np.zeros(board.shape, bool)}

    def deal(self, level: LevelMinesweeper, seeds: Seeds, board: Boards) -> Arrays:
        """One drawn cell is revealed, and what hangs on it; that does not score.

        No mine is around the opening as far as the number of mines permits, and a safe cell is
        always left to find. On guess-free levels up to :data:`TRIES` deals are drawn for one that
        needs no guess.
        """
        arrays = self.further(board)
        deal_minefields(board, arrays["mines"], seeds, level.mines, level.guess_free)
        return arrays

    def play(self, state: StateMinesweeper, actions: Actions, turn: Turn) -> None:
        """Each cell without a mine that comes up gains 1; a mine ends the game, and the last safe
        cell does.
        """
        _play(turn.for_kernels(), state.mines, actions)

    def points(self, state: StateMinesweeper) -> NDArray[np.float64]:
        """Lost by a mine."""
        is_safe = ~(state.board == MINE).any(axis=(1, 2))
        return np.where(state.terminated, is_safe, np.nan)

    def legal_moves(self, state: StateMinesweeper, legal: Marks) -> None:
        """The hidden cells."""
        legal[:] = state.board.reshape(legal.shape) == HIDDEN

    def success_mask(self, state: StateMinesweeper) -> Marks:
        """``(B, A)``: the hidden cells without a mine in this very game; for judging, as no player
        could know them all.
        """
        legal = self.legal(state)
        return legal & ~state.mines.reshape(legal.shape)

    def would_succeed(
        self, level: LevelMinesweeper, symbols: Symbols, actions: Actions
    ) -> NDArray[np.bool_]:
        """``(B,)``: the cell is described as hidden, and none is safer on that board, whose mines
        are unknown.
        """
        state = self.from_symbols(level, symbols)
        safe = np.nan_to_num(self.oracle(state), nan=-1.0)
        chosen = safe[np.arange(len(state)), actions]
        return (actions >= 0) & (chosen >= 0) & (chosen >= safe.max(axis=1) - TIE)

    def from_symbols(self, level: LevelMinesweeper, symbols: Symbols) -> StateMinesweeper:
        """Games with some mine layout that fits the numbers or, where none fits or is found, the
        first hidden cells mined.

        They are ended where a mine is seen or no safe cell is hidden.
        """
        board = np.array(symbols, np.uint8, order="C")
        mines = study(board, level.mines, np.zeros(len(board), bool)).layout
        lost = (board == MINE).any(axis=(1, 2))
        safe_is_hidden = ((board == HIDDEN) & ~mines).any(axis=(1, 2))
        return self.start(level, board, mines=mines, terminated=lost | ~safe_is_hidden)

    def oracle(self, state: StateMinesweeper) -> Values:
        """``(B, A)`` probability that the cell is safe, given what is seen and the number of mines;
        never the layout.

        It is exact (all layouts that fit are equally likely), unless a connected part of the
        frontier takes more than :data:`MAX_NODES` search steps: then a cell next to numbers has the
        mean of what each of them says by itself, and the others share the mines that this leaves.
        On described boards that no layout fits, all hidden cells are equal.
        """
        return 1.0 - study(state.board, state.level.mines, state.ended).chance

    def explain(self, state: StateMinesweeper, row: int, action: int) -> str:
        """Such as ``"(0, 1) safe"``, ``"(2, 3) mine 0.25"`` (the probability) or ``"(1, 1)
        open"``.
        """
        text = self.encode(state.level, action)
        if state.board[row].flat[action] != HIDDEN:
            return f"{text} open"
        board = state.board[row : row + 1]
        chance = study(board, state.level.mines, np.zeros(1, bool)).chance[0, action]
        return f"{text} mine {chance:.2f}" if chance > TIE else f"{text} safe"

    def candidates(self, state: StateMinesweeper, row: int) -> list[int]:
        """The three safest cells, of equal ones the first, in reading order; fewer if fewer are
        hidden.
        """
        safe = self.oracle(state[row])[0]
        hidden = np.flatnonzero(~np.isnan(safe)).tolist()
        safest = sorted(hidden, key=lambda cell: (-round(safe[cell], 9), cell))
        return sorted(safest[:3])
