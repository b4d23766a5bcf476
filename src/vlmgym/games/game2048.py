"""2048: slide all tiles one way; equal neighbours merge; a new tile appears.

Rules as in the published VLM-Gym.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from vlmgym.core import LEGAL_STREAM, NO_ACTION, State, draw_below, draw_unit, setting
from vlmgym.core.kernels import inner, kernel
from vlmgym.games.parts.actions import Moves
from vlmgym.games.parts.boards import Actions, Arrays, Boards, GridLevel, Marks, Seeds, Values
from vlmgym.games.parts.explanations import move_last_tile, seek_merge, seek_slide
from vlmgym.games.parts.grid import Searched, Turn
from vlmgym.games.parts.habits import CAREFUL, Habit
from vlmgym.games.parts.slides import (
    MAX_EXPONENT,
    draw_slide,
    flat,
    mark_merges,
    mark_slides,
    merge_gain,
    slide,
    slide_changes,
)
from vlmgym.games.solvers import merges


@dataclass(frozen=True)
class Level2048(GridLevel):
    """Rule settings of 2048."""

    rows: int = setting(4, "board rows", 2, 16)
    cols: int = setting(4, "board columns", 2, 16)
    start_tiles: int = setting(2, "tiles on a fresh board", 1, 4)
    four_prob: float = setting(0.1, "probability that a new tile is a 4, else a 2", 0.0, 1.0)
    start_max: int = setting(
        1,
        "largest exponent of a start tile (1 = 2s and 4s by four_prob; e > 1 = uniform 2 .. 2**e)",
        1,
        11,
    )


State2048: TypeAlias = State[Level2048]


# A board holds exponents (uint8): 0 = empty, e = tile 2**e. The kernels see boards flat, (B, rows *
# cols), and know their columns.
@inner
def _can_move(board, cols):
    sideways = slide_changes(board, cols, 3) or slide_changes(board, cols, 1)
    return sideways or slide_changes(board, cols, 0) or slide_changes(board, cols, 2)


@inner
def _spawn(board, exponent, seed, step, number, scratch):
    """Put a tile on a uniformly drawn empty cell; returns the number of empty cells left.

    ``scratch`` has an int64 for each cell.
    """
    empty = 0
    for cell in range(len(board)):
        scratch[empty] = cell
        empty += board[cell] == 0
    board[scratch[draw_below(seed, step, number, empty)]] = exponent
    return empty - 1


@kernel
def _deal(boards, cols, seeds, start_tiles, four_prob, start_max):
    """Fill the boards; returns which of them allow no move, ``(B,)``."""
    scratch = np.empty(boards.shape[1], np.int64)
    stuck = np.empty(len(boards), np.bool_)
    for game in range(len(boards)):
        seed = seeds[game]
        for tile in range(start_tiles):
            if start_max > 1:
                exponent = 1 + draw_below(seed, 0, 2 * tile, start_max)
            else:
                exponent = 2 if draw_unit(seed, 0, 2 * tile) < four_prob else 1
            _spawn(boards[game], exponent, seed, 0, 2 * tile + 1, scratch)
        stuck[game] = not _can_move(boards[game], cols)
    return stuck


@kernel
def _play(turn, before, after, actions, cols, four_prob):
    """Slide the boards ``before`` into ``after``, those of the turn."""
    scratch = np.empty(before.shape[1], np.int64)
    for game in range(len(before)):
        if turn.over[game] or actions[game] < 0:
            continue
        board = after[game]
        gain, changed = slide(before[game], cols, actions[game], board)
        turn.gain[game] = gain
        turn.changed[game] = changed
        if changed:
            seed = turn.seeds[game]
            step = turn.steps[game] + 1  # the draws of turn 0 belong to the deal
            exponent = 2 if draw_unit(seed, step, 0) < four_prob else 1
            empty = _spawn(board, exponent, seed, step, 1, scratch)
            turn.terminated[game] = empty == 0 and not _can_move(board, cols)


class Game2048(Searched[Level2048, State2048]):
    """2048 on any board from 2x2 to 16x16."""

    name = "2048"
    version = 1
    level_type = Level2048
    answers = Moves()
    symbols = ("0", *(str(2**exponent) for exponent in range(1, MAX_EXPONENT + 1)))
    kind = "number"
    LEVELS = MappingProxyType(
        {
            "easy": Level2048(rows=3, cols=3, max_steps=50, start_tiles=3),
            "normal": Level2048(),
            "hard": Level2048(rows=5, cols=5, max_steps=300, four_prob=0.3),
            "paper": Level2048(max_steps=100, restart=True),
            "tiny": Level2048(max_steps=30),
        }
    )
    tags = ("paper", "luck")
    sources = (
        "G. Cirulli, 2048 (2014), https://github.com/gabrielecirulli/2048",
        "L. Chen et al., G1: Bootstrapping Perception and Reasoning Abilities of Vision-Language "
        "Model via Reinforcement Learning (2025), https://arxiv.org/abs/2505.13426",
    )
    DISCOUNT = 0.5
    """Weight of the next move's expected gain in :meth:`oracle`."""
    RULES = (
        "This is 2048 on a board of {rows} rows and {cols} columns. A move slides all tiles in one "
        "direction; two equal tiles that meet merge into their sum, which is added to the score. A "
        "merged tile does not merge again in the same move; of three equal tiles in a line, the "
        "two nearest the edge that they slide to merge. After each move that changes the board, a "
        "new tile appears on an empty cell: a 4 with probability {four_prob:g}, else a 2. The game "
        "ends when no move changes the board; the goal is a high score. Empty cells are written as "
        "0."
    )

    def deal(self, level: Level2048, seeds: Seeds, board: Boards) -> Arrays:
        """Some tiles on drawn cells."""
        terminated = _deal(
            flat(board), level.cols, seeds, level.start_tiles, level.four_prob, level.start_max
        )
        return {"terminated": terminated}

    def play(self, state: State2048, actions: Actions, turn: Turn) -> None:
        """A merge gains the new tile's number; the game ends when no move changes the board."""
        level = state.level
        before = flat(state.board)
        after = flat(turn.board)
        _play(turn.for_kernels(), before, after, actions, level.cols, level.four_prob)

    def legal_moves(self, state: State2048, legal: Marks) -> None:
        """The moves that slide or merge a tile."""
        mark_slides(flat(state.board), state.level.cols, legal)

    def draw_legal(self, state: State2048, number: int = LEGAL_STREAM) -> Actions:
        """See :class:`vlmgym.core.Game`; moves are drawn until one is legal."""
        drawn: Actions = draw_slide(
            flat(state.board), state.level.cols, state.ended, state.seed, state.steps, number
        )
        return drawn

    def success_mask(self, state: State2048) -> Marks:
        """``(B, 4)``: the moves that merge something."""
        merging = np.empty((len(state), 4), bool)
        mark_merges(flat(state.board), state.level.cols, state.ended, merging)
        return merging

    def oracle(self, state: State2048) -> Values:
        """Score of the move plus half the expected score of the best move after it, over all tiles
        that may appear.
        """
        return merges.values(state.board, state.ended, state.level.four_prob, self.DISCOUNT)

    def explain(self, state: State2048, row: int, action: int) -> str:
        """Such as ``"0 up 0 4 0 8"``, the score of each column (of each row for a move sideways),
        or ``"0 up no"``.
        """
        board = state.board[row]
        text = self.answers.say(state.level, action)
        after = np.empty(board.size, np.uint8)
        _, changed = slide(board.ravel(), board.shape[1], action, after)
        if not changed:
            return f"{text} no"
        lines = board.T if action % 2 == 0 else board
        gains = (merge_gain(np.ascontiguousarray(line), len(line), 1) for line in lines)
        return f"{text} {' '.join(map(str, gains))}"

    def search(self, state: State2048, habit: Habit = CAREFUL) -> tuple[str, int]:
        """Tile by tile with what is to its right and below, up to the next tile, to the first two
        that merge.

        Such as ``"(0, 0) 2 (0, 1) 0 (0, 2) 4 (1, 0) 8 no; (0, 2) 4 (1, 2) 4"``. If nothing merges,
        the move follows from the last tile, which has only free cells behind it: to the right, or
        down from the last column. From the last corner it is to the left, or up if nothing moves to
        the left. Who prefers the left looks first for a tile that moves to the left.
        """
        board = state.board[0]
        if habit.from_left:
            thoughts, action = seek_slide(board, self.symbols, MAX_EXPONENT)
            if action != NO_ACTION:
                return thoughts, action
        thoughts, action = seek_merge(board, self.symbols, MAX_EXPONENT, habit)
        if action == NO_ACTION:
            action = move_last_tile(board, self.legal(state)[0])
        return thoughts, action

    def taken_for(self, level: Level2048) -> NDArray[np.uint8]:
        """8 is taken for 4."""
        values = np.arange(len(self.symbols), dtype=np.uint8)
        values[3] = 2
        return values

    def candidates(self, state: State2048, row: int) -> list[int]:
        """All four moves."""
        return [0, 1, 2, 3]
