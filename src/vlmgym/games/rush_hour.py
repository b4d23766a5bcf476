"""Rush Hour: drive the cars, each along its own line, out of the red one's way to the exit."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from vlmgym.core import ConfigError, State, setting
from vlmgym.core.kernels import kernel
from vlmgym.games.parts.actions import MOVES, Choices
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
from vlmgym.games.parts.parking import RIGHT, deal_lots, join_cars
from vlmgym.games.solvers import cars
from vlmgym.games.solvers.cars import (
    RED,
    can_drive,
    is_out,
    mask_of,
    move_of,
    occupied,
    read_cars,
)

NAMES = (
    *("road", "red A", "blue B", "yellow C", "green D", "purple E", "orange F", "cyan G"),
    *("brown H", "pink I", "lime J", "navy K", "white L", "teal M"),
)
"""Text of each board value, those of :mod:`vlmgym.games.solvers.cars`."""


@dataclass(frozen=True)
class LevelRushHour(GridLevel):
    """Rule settings of Rush Hour."""

    rows: int = setting(6, "board rows", 4, 6)
    cols: int = setting(6, "board columns", 4, 6)
    cars: int = setting(
        9, "cars beside the red one; at most rows * cols / 3, or as many as find a spot", 1, 12
    )
    min_moves: int = setting(
        8, "moves of a shortest solution, at least (where a few deals offer that)", 1, 100
    )
    max_moves: int = setting(20, "moves of a shortest solution, at most", 1, 100)

    def __post_init__(self) -> None:
        """Check that a solution can be as long as asked for.

        Raises:
            ConfigError: a field is out of range, or ``min_moves`` above ``max_moves``.
        """
        super().__post_init__()
        if self.min_moves > self.max_moves:
            raise ConfigError(
                "LevelRushHour.min_moves", self.min_moves, f"1 to max_moves, {self.max_moves}"
            )

    @property
    def letters(self) -> int:
        """Cars, the red one included."""
        return self.cars + 1


StateRushHour: TypeAlias = State[LevelRushHour]


@lru_cache(16)
def drives(letters: int) -> tuple[str, ...]:
    """The text of each action: a car's letter and a direction."""
    return tuple(f"{name[-1]} {move}" for name in NAMES[1 : letters + 1] for move in MOVES)


@kernel
def _play(turn, actions, letters):
    cols = turn.board.shape[2]
    for game in range(len(turn.board)):
        if turn.over[game] or actions[game] < 0:
            continue
        board = turn.board[game]
        parked, key = read_cars(board, letters)
        car = actions[game] // 4
        change = -1 if actions[game] % 4 in (0, 3) else 1
        if move_of(parked.strides[car] == 1, change) != actions[game] % 4:
            continue
        if not can_drive(parked, key, occupied(parked, key), car, change):
            continue
        before = mask_of(parked, key, car)
        key += np.int64(change) << (3 * car)
        after = mask_of(parked, key, car)
        for cell in range(board.size):
            if (before ^ after) >> cell & 1:
                board[cell // cols, cell % cols] = car + RED if after >> cell & 1 else 0
        turn.changed[game] = True
        turn.terminated[game] = is_out(parked, key)
        turn.gain[game] = np.int64(turn.terminated[game])


@kernel
def _legal(boards, letters, legal):
    for game in range(len(boards)):
        parked, key = read_cars(boards[game], letters)
        cells = occupied(parked, key)
        for car in range(letters):
            for change in (-1, 1):
                if can_drive(parked, key, cells, car, change):
                    legal[game, 4 * car + move_of(parked.strides[car] == 1, change)] = True


@kernel
def _out(boards, letters, out):
    for game in range(len(boards)):
        parked, key = read_cars(boards[game], letters)
        out[game] = is_out(parked, key)


class RushHour(Puzzle[LevelRushHour, StateRushHour]):
    """Rush Hour on boards from 4x4 to 6x6, a move being one car by one cell."""

    name = "RushHour"
    version = 1
    level_type = LevelRushHour
    answers = Choices(
        "the letter of a car and the direction in which it drives one cell (up, right, down or "
        "left), such as B left",
        lambda level: drives(level.letters),
    )
    kind = "sprite"
    tags = ("puzzle", "search")
    sources = (
        "N. Yoshigahara, Rush Hour (ThinkFun), https://en.wikipedia.org/wiki/Rush_Hour_(puzzle)",
        "S. Collette, J.-F. Raskin, F. Servais, On the symbolic computation of the hardest "
        "configurations of the Rush Hour game (2006), https://doi.org/10.1007/978-3-540-75538-8_20",
        "G. Flake, E. Baum, Rush Hour is PSPACE-complete (2002), "
        "https://doi.org/10.1016/S0304-3975(01)00173-6",
    )
    LEVELS = MappingProxyType(
        {
            "easy": LevelRushHour(rows=5, cols=5, cars=5, min_moves=4, max_moves=10, max_steps=30),
            "normal": LevelRushHour(max_steps=60),
            "hard": LevelRushHour(cars=11, min_moves=18, max_moves=60, max_steps=150),
            "tiny": LevelRushHour(rows=4, cols=4, cars=3, min_moves=2, max_moves=8, max_steps=16),
        }
    )
    RULES = (
        "This is Rush Hour on a board of {rows} rows and {cols} columns. Each car covers two or "
        "three cells of a row or of a column and has a colour and a letter. A move drives one car "
        "by one cell onto a free cell: a car along a row left or right, a car along a column up or "
        "down. The goal is to bring the red car A to the exit, the gap in the wall at the right "
        "end of its row, in as few moves as possible. Free cells are written as road, the others "
        "as the colour and letter of the car on them, of {list}."
    )

    def names(self, level: LevelRushHour) -> tuple[str, ...]:
        """The road and the cars of the level."""
        return NAMES[: level.letters + 1]

    def words(self, level: LevelRushHour) -> dict[str, object]:
        """How cars are written."""
        return {"list": ", ".join(NAMES[1 : level.letters + 1])}

    def deal(self, level: LevelRushHour, seeds: Seeds, board: Boards) -> Arrays:
        """Random cars, and a start with a solution of ``min_moves`` to ``max_moves`` moves; if
        none is found, the one with the longest.
        """
        others = min(level.cars, level.rows * level.cols // 3)
        none = deal_lots(board, seeds, others, level.min_moves, level.max_moves)
        return {"terminated": none}

    def play(self, state: StateRushHour, actions: Actions, turn: Turn) -> None:
        """The move that brings the red car to the exit gains 1 and ends the game."""
        _play(turn.for_kernels(), actions, state.level.letters)

    def legal_moves(self, state: StateRushHour, legal: Marks) -> None:
        """One cell along its line, where that is free."""
        _legal(state.board, state.level.letters, legal)

    def possible(self, state: StateRushHour) -> Marks:
        """Those along the line of a car that is on the board."""
        possible = np.zeros((len(state), self.n_actions(state.level)), bool)
        board = state.board
        for car in range(state.level.letters):
            is_car = board == car + RED
            along_row = (is_car[:, :, 1:] & is_car[:, :, :-1]).any(axis=(1, 2))
            along_column = (is_car[:, 1:] & is_car[:, :-1]).any(axis=(1, 2))
            moves = np.stack([along_column, along_row, along_column, along_row], axis=1)
            possible[:, 4 * car : 4 * car + 4] = moves
        return possible

    def from_symbols(self, level: LevelRushHour, symbols: Symbols) -> StateRushHour:
        """Cells of one letter that are no straight piece of two or more cells stay where they are;
        without a red car along a row there is no exit, and all moves are dead.
        """
        board = np.array(symbols, np.uint8, order="C")
        out = np.empty(len(board), bool)
        _out(board, level.letters, out)
        return self.start(level, board, terminated=out)

    def joins(self, state: StateRushHour) -> NDArray[np.uint8]:
        """Cars go on over their cells; through the exit goes the road, or what it ends at: the red
        car, or one across.
        """
        joins = np.zeros(state.board.shape, np.uint8)
        if state.board.any():  # an empty lot compiles nothing
            join_cars(state.board, state.level.letters, joins)
        return joins

    def lines(self, state: StateRushHour) -> NDArray[np.uint8]:
        """A wall along the right side, but for the exit."""
        lines = np.zeros(state.board.shape, np.uint8)
        lines[:, :, -1] = RIGHT & ~self.joins(state)[:, :, -1]
        return lines

    def oracle(self, state: StateRushHour) -> Values:
        """Minus the moves (of one cell) of a shortest solution that begins with the move, whatever
        the turn limit: exact, by a breadth-first search over all places of the cars.
        """
        return cars.values(state.board, state.ended, state.level.letters)
