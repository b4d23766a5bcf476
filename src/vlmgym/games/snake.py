"""Snake: eat, grow, and do not crash."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from vlmgym.core import ConfigError, Outcome, State, best_rows, setting
from vlmgym.core.kernels import kernel
from vlmgym.games.parts.actions import MOVES, STEPS, Moves
from vlmgym.games.parts.boards import (
    Actions,
    Arrays,
    Boards,
    GridLevel,
    Marks,
    Seeds,
    Symbols,
    Values,
    all_but_first,
    step_from,
)
from vlmgym.games.parts.explanations import say_moves_left
from vlmgym.games.parts.gardens import deal_gardens, mark_moves, put_food
from vlmgym.games.parts.grid import GridGame, Turn
from vlmgym.games.solvers import snakes
from vlmgym.games.solvers.snakes import (
    BODY,
    CRASH,
    CRASHED,
    EAT,
    FLOOR,
    FOOD,
    HEAD,
    LEAST,
    NOTHING,
    effect_of,
    follow,
)

NAMES = (
    *("floor", "wall", "food", "head", "crashed head"),
    *(f"body {move}" for move in MOVES),
)
"""Text of each board value, those of :mod:`vlmgym.games.solvers.snakes`."""


@dataclass(frozen=True)
class LevelSnake(GridLevel):
    """Rule settings of Snake."""

    rows: int = setting(8, "board rows", 4, 12)
    cols: int = setting(8, "board columns", 4, 12)
    walls: int = setting(
        4,
        "walls; fewer where they would make a dead end or a cell that all ways lead through",
        0,
        40,
    )
    length: int = setting(4, "cells of the snake at the start, the head included", 2, 12)

    def __post_init__(self) -> None:
        """Check that there is room for the snake.

        Raises:
            ConfigError: a field is out of range, or the snake is too long.
        """
        super().__post_init__()
        longest = (self.rows * self.cols - self.walls) // 2
        if self.length > longest:
            allowed = f"2 to {longest}, half of the cells that are no walls"
            raise ConfigError("LevelSnake.length", self.length, allowed)


StateSnake: TypeAlias = State[LevelSnake]


@kernel
def _play(turn, actions):
    cols = turn.board.shape[2]
    trail = np.empty(turn.board.shape[1] * cols + 1, np.int64)
    for game in range(len(turn.board)):
        move = actions[game]
        if turn.over[game] or move < 0:
            continue
        board = turn.board[game]
        length = follow(board, trail)
        effect = effect_of(board, trail, length, move)
        if effect == NOTHING:
            continue
        turn.changed[game] = True
        head = trail[0]
        if effect == CRASH:
            board[head // cols, head % cols] = CRASHED
            turn.terminated[game] = True
            continue
        target = step_from(board, head, move)
        board[head // cols, head % cols] = BODY + move
        if effect != EAT:
            tail = trail[length - 1]
            board[tail // cols, tail % cols] = FLOOR
        board[target // cols, target % cols] = HEAD
        if effect == EAT:
            turn.gain[game] = 1
            # the draws of turn 0 belong to the deal
            has_food = put_food(board, turn.seeds[game], turn.steps[game] + 1, 0)
            turn.terminated[game] = not has_food


class Snake(GridGame[LevelSnake, StateSnake]):
    """Snake on boards from 4x4 to 12x12, with walls."""

    name = "Snake"
    version = 1
    level_type = LevelSnake
    answers = Moves()
    symbols = NAMES
    kind = "sprite"
    tags = ("search", "luck")
    sources = (
        "Snake (Gremlin's Blockade, 1976), https://en.wikipedia.org/wiki/Snake_(video_game_genre)",
    )
    LEVELS = MappingProxyType(
        {
            "easy": LevelSnake(rows=6, cols=6, walls=0, length=3, max_steps=60),
            "normal": LevelSnake(max_steps=100),
            "hard": LevelSnake(rows=10, cols=10, walls=12, length=8, max_steps=200),
            "tiny": LevelSnake(rows=4, cols=4, walls=0, length=3, max_steps=20),
        }
    )
    RULES = (
        "This is Snake on a board of {rows} rows and {cols} columns. A move takes the head one "
        "cell in one direction, and the body follows: each cell of it goes where the cell before "
        "it was, and the last one leaves its cell free, in the same moment, so the head may go "
        "there. A move onto food eats it: the snake grows by one cell, as its last cell stays "
        "this time, and new food appears on a free cell. A move off the board, onto a wall or "
        "onto the body is a crash and ends the game; a move straight back onto the body's first "
        "cell does nothing. The goal is to eat as often as possible. Cells are written as floor, "
        "wall, food, head, crashed head, or body up, body right, body down or body left, by the "
        "side towards which the next cell of the snake lies, on the way to the head."
    )

    def deal(self, level: LevelSnake, seeds: Seeds, board: Boards) -> Arrays:
        """Gardens in which a safe way leads to the food."""
        deal_gardens(board, seeds, level.walls, level.length)
        return {}

    def play(self, state: StateSnake, actions: Actions, turn: Turn) -> None:
        """Food gains 1; a crash ends the game, and so does a board without room for new food."""
        _play(turn.for_kernels(), actions)

    def legal_moves(self, state: StateSnake, legal: Marks) -> None:
        """All moves but the one straight back; a crash is one of them."""
        mark_moves(state.board, legal, np.empty(legal.shape, bool))

    def joins(self, state: StateSnake) -> NDArray[np.uint8]:
        """Each cell of the body goes on in the next one towards the head."""
        board = state.board
        rows, cols = board.shape[1:]
        padded = np.pad(board, ((0, 0), (1, 1), (1, 1)))
        joins = np.zeros(board.shape, np.uint8)
        for move, (down, right) in enumerate(STEPS):
            ahead = padded[:, 1 + down : 1 + down + rows, 1 + right : 1 + right + cols]
            behind = padded[:, 1 - down : 1 - down + rows, 1 - right : 1 - right + cols]
            goes_on = (board == BODY + move) & (ahead >= HEAD)
            comes_from = (behind == BODY + move) & (board >= HEAD)
            joins |= goes_on * np.uint8(1 << move) | comes_from * np.uint8(1 << (move + 2) % 4)
        return joins

    def from_symbols(self, level: LevelSnake, symbols: Symbols) -> StateSnake:
        """Of several heads the first in reading order stays, the others become floor; parts that no
        head leads to lie in the way; a crashed head ends the game, as does a board with neither
        food nor floor.
        """
        board = np.array(symbols, np.uint8, order="C")
        board[all_but_first((board == HEAD) | (board == CRASHED))] = FLOOR
        crashed = (board == CRASHED).any(axis=(1, 2))
        full = ~((board == FLOOR) | (board == FOOD)).any(axis=(1, 2))
        return self.start(level, board, terminated=crashed | full)

    def points(self, state: StateSnake) -> NDArray[np.float64]:
        """Lost by a crash; won where no floor is left."""
        is_whole = ~(state.board == CRASHED).any(axis=(1, 2))
        return np.where(state.terminated, is_whole, np.nan)

    def success_mask(self, state: StateSnake) -> Marks:
        """``(B, 4)``: the moves that a shortest safe way to the food begins with, and those that
        eat.
        """
        value = self.oracle(state)
        best = np.empty(value.shape, bool)
        best_rows(value, LEAST, 0.0, best)
        eating = np.empty(value.shape, bool)
        mark_moves(state.board, np.empty(value.shape, bool), eating)
        return best | (eating & ~state.ended[:, None])

    def success(self, state: StateSnake, actions: Actions, outcome: Outcome) -> Marks:
        """``(B,)``: the move was one of these."""
        return (actions >= 0) & self.success_mask(state)[np.arange(len(state)), actions]

    def oracle(self, state: StateSnake) -> Values:
        """Minus the moves of a shortest safe way to the food that begins with the move, -1 where it
        eats and is safe then.

        A way enters no cell twice, and a cell of the body only when the tail has left it by then;
        the search is breadth first over cells, so ways that must wait for the tail are overlooked.
        A way is safe if at its end, grown by one, the snake can lead its head onto its own trail,
        and so go round for ever; of the shortest ways :data:`~vlmgym.games.solvers.snakes.WAYS`
        are looked at. Without such a way a move is worth at most -300: about -500 where the snake
        stays safe, near :data:`DEAD` where it is not known to, and :data:`DEAD` for a crash.
        """
        return snakes.values(state.board, state.ended)

    def explain(self, state: StateSnake, row: int, action: int) -> str:
        """Such as ``"0 up floor 5 left"``, ``"2 down food 0 left"``, ``"1 right wall crash"``,
        ``"3 left edge crash"``, ``"0 up floor waits"``, ``"1 right floor trapped"``, ``"3 left back
        no"``.

        The number is that of the moves left on a shortest safe way to the food.
        """
        board = state.board[row]
        text = self.answers.say(state.level, action)
        trail = np.empty(board.size + 1, np.int64)
        length = follow(board, trail)
        if state.ended[row] or length == 0:
            return f"{text} no"
        effect = effect_of(board, trail, length, action)
        if effect == NOTHING:
            return f"{text} back no"
        target = step_from(board, trail[0], action)
        met = NAMES[board.flat[target]] if target >= 0 else "edge"
        if effect == CRASH:
            return f"{text} {met} crash"
        text += " tail" if target == trail[length - 1] else f" {met}"
        value = self.oracle(state[row])[0, action]
        if value > LEAST:
            return f"{text} {say_moves_left(value, 'left')}"
        return f"{text} {'waits' if value >= snakes.WAITING else 'trapped'}"
