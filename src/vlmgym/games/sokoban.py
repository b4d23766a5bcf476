"""Sokoban: push every box onto a target.

Rooms are dealt from an exact search, so each can be solved.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import comb
from types import MappingProxyType
from typing import TypeAlias

import numpy as np

from vlmgym.core import ConfigError, State, setting
from vlmgym.core.kernels import kernel
from vlmgym.games.parts.action_texts import write_cell
from vlmgym.games.parts.actions import Moves
from vlmgym.games.parts.boards import (
    MOVE_STEPS,
    Actions,
    Arrays,
    Boards,
    GridLevel,
    Marks,
    Seeds,
    Symbols,
    Values,
    all_but_first,
    first_from,
    step_from,
)
from vlmgym.games.parts.explanations import say_moves_left
from vlmgym.games.parts.grid import Puzzle, Turn
from vlmgym.games.parts.rooms import deal_rooms
from vlmgym.games.solvers import boxes
from vlmgym.games.solvers.boxes import (
    BOX,
    BOX_ON_TARGET,
    FLOOR,
    MAX_BOXES,
    MAX_POSITIONS,
    PLAYER,
    PLAYER_ON_TARGET,
    TARGET,
    effect_of,
    has_box,
)

NAMES = ("floor", "wall", "target", "box", "box on target", "player", "player on target")
"""Text of each board value, those of :mod:`vlmgym.games.solvers.boxes`."""


@dataclass(frozen=True)
class LevelSokoban(GridLevel):
    """Rule settings of Sokoban."""

    rows: int = setting(7, "board rows, the walls around included", 4, 12)
    cols: int = setting(7, "board columns, the walls around included", 4, 12)
    boxes: int = setting(2, "boxes, and targets", 1, MAX_BOXES)
    walls: int = setting(4, "inner walls; fewer where they would cut the room in two", 0, 40)
    min_moves: int = setting(
        8, "moves of a shortest solution, at least (where a few rooms offer that)", 1, 500
    )
    max_moves: int = setting(25, "moves of a shortest solution, at most", 1, 500)

    def __post_init__(self) -> None:
        """Check that rooms of this level can be dealt and searched.

        Raises:
            ConfigError: a field is out of range, the room is too small, or it has too many
                positions for the exact search.
        """
        super().__post_init__()
        inner_cells = (self.rows - 2) * (self.cols - 2)
        if max(self.rows, self.cols) < 5:
            raise ConfigError(
                "LevelSokoban.cols",
                self.cols,
                "5 or more where rows is 4: a push needs 3 cells in a line",
            )
        if inner_cells - self.walls < 4 * self.boxes + 2:
            needed = (
                f"{inner_cells} inner cells less walls of at least 4 * boxes + 2; "
                f"boxes is {self.boxes}"
            )
            raise ConfigError("LevelSokoban.walls", self.walls, needed)
        if comb(inner_cells, self.boxes) * inner_cells > MAX_POSITIONS:
            most_boxes = max(
                boxes
                for boxes in range(1, self.boxes)
                if comb(inner_cells, boxes) * inner_cells <= MAX_POSITIONS
            )
            allowed = (
                f"1 to {most_boxes} on {inner_cells} inner cells, so that a search has at most "
                f"{MAX_POSITIONS} positions"
            )
            raise ConfigError("LevelSokoban.boxes", self.boxes, allowed)
        if self.min_moves > self.max_moves:
            raise ConfigError(
                "LevelSokoban.min_moves", self.min_moves, f"1 to max_moves, {self.max_moves}"
            )


StateSokoban: TypeAlias = State[LevelSokoban]


@kernel
def _play(turn, actions):
    cols = turn.board.shape[2]
    for game in range(len(turn.board)):
        board = turn.board[game]
        player = first_from(board, PLAYER)
        if turn.over[game] or actions[game] < 0 or player < 0:
            continue
        row = player // cols
        column = player % cols
        effect = effect_of(board, row, column, actions[game])
        if effect < 2:
            continue
        row_step, column_step = MOVE_STEPS[actions[game]]
        next_row = row + row_step
        next_column = column + column_step
        ahead = board[next_row, next_column]
        turn.changed[game] = True
        if effect == 3:
            onto = board[next_row + row_step, next_column + column_step] == TARGET
            box = BOX_ON_TARGET if onto else BOX
            board[next_row + row_step, next_column + column_step] = box
            turn.gain[game] = np.int64(onto) - np.int64(ahead == BOX_ON_TARGET)
        board[row, column] = TARGET if board[row, column] == PLAYER_ON_TARGET else FLOOR
        on_target = ahead in (TARGET, BOX_ON_TARGET)
        board[next_row, next_column] = PLAYER_ON_TARGET if on_target else PLAYER
        turn.terminated[game] = not has_box(board)


@kernel
def _legal(boards, legal):
    cols = boards.shape[2]
    for game in range(len(boards)):
        player = first_from(boards[game], PLAYER)
        if player >= 0:
            for move in range(4):
                legal[game, move] = (
                    effect_of(boards[game], player // cols, player % cols, move) >= 2
                )


class Sokoban(Puzzle[LevelSokoban, StateSokoban]):
    """Sokoban in small rooms with up to four boxes."""

    name = "Sokoban"
    version = 1
    level_type = LevelSokoban
    answers = Moves()
    symbols = NAMES
    kind = "sprite"
    tags = ("puzzle", "search")
    sources = (
        "H. Imabayashi, Sokoban (1982), https://en.wikipedia.org/wiki/Sokoban",
        "J. Culberson, Sokoban is PSPACE-complete (1997), https://doi.org/10.7939/R3JM23K33",
    )
    LEVELS = MappingProxyType(
        {
            "easy": LevelSokoban(
                rows=6, cols=6, boxes=1, walls=2, min_moves=4, max_moves=12, max_steps=30
            ),
            "normal": LevelSokoban(max_steps=60),
            "hard": LevelSokoban(
                rows=8, cols=8, boxes=3, walls=6, min_moves=20, max_moves=60, max_steps=150
            ),
            "tiny": LevelSokoban(
                rows=5, cols=5, boxes=1, walls=0, min_moves=2, max_moves=8, max_steps=16
            ),
        }
    )
    RULES = (
        "This is Sokoban in a room of {rows} rows and {cols} columns. A move takes the player one "
        "cell in one direction. A box ahead is pushed one cell further, if the cell behind it "
        "holds no wall and no other box; boxes cannot be pulled. A move against a wall, or against "
        "a box that cannot be pushed, changes nothing. A box that comes onto a target scores 1, "
        "one that leaves a target costs 1. The goal is to push every box onto a target, in as few "
        f"moves as possible. Cells are written as {', '.join(NAMES[:-1])} "
        f"or {NAMES[-1]}."
    )

    def deal(self, level: LevelSokoban, seeds: Seeds, board: Boards) -> Arrays:
        """Rooms with a solution of ``min_moves`` to ``max_moves`` moves; after 16 rooms without
        one, the longest found.
        """
        terminated = deal_rooms(
            board, seeds, level.walls, level.boxes, level.min_moves, level.max_moves
        )
        return {"terminated": terminated}

    def play(self, state: StateSokoban, actions: Actions, turn: Turn) -> None:
        """A box that comes onto a target gains 1, one that leaves it costs 1.

        The game ends when no box is off the targets; a room that can no longer be solved goes on
        until ``max_steps``.
        """
        _play(turn.for_kernels(), actions)

    def legal_moves(self, state: StateSokoban, legal: Marks) -> None:
        """The moves onto a free cell, or against a box that moves."""
        _legal(state.board, legal)

    def from_symbols(self, level: LevelSokoban, symbols: Symbols) -> StateSokoban:
        """Of several players the first in reading order stays; without one no move is legal; no box
        to move ends the game.
        """
        board = np.array(symbols, np.uint8, order="C")
        extra = all_but_first(board >= PLAYER)
        board[extra] = np.where(board[extra] == PLAYER, FLOOR, TARGET)
        return self.start(level, board, terminated=~(board == BOX).any(axis=(1, 2)))

    def best_values(self, state: StateSokoban) -> Values:
        """By a search that ends sooner."""
        return boxes.values(state.board, state.ended, best=True)

    def oracle(self, state: StateSokoban) -> Values:
        """Minus the moves of a shortest solution that begins with the move, whatever the turn
        limit.

        It is exact; a move after which the room cannot be solved has :data:`DEAD`. So have all
        moves of a described board with more boxes than targets, with more than 4 boxes, or with
        more than :data:`MAX_POSITIONS` positions.
        """
        return boxes.values(state.board, state.ended, best=False)

    def explain(self, state: StateSokoban, row: int, action: int) -> str:
        """Such as ``"0 up box to (1, 2) 5 to go"`` (moves of a shortest solution after it, or
        ``dead``), ``"1 right wall"``.
        """
        board = state.board[row]
        text = self.answers.say(state.level, action)
        player = first_from(board, PLAYER)
        if state.ended[row] or player < 0:
            return f"{text} no"
        effect = effect_of(board, player // board.shape[1], player % board.shape[1], action)
        if effect < 2:
            return f"{text} {'box stuck' if effect else 'wall'}"
        if effect == 3:
            target = step_from(board, step_from(board, player, action), action)
            text += f" box to {write_cell(*divmod(target, board.shape[1]))}"
        return f"{text} {say_moves_left(self.oracle(state[row])[0, action])}"
