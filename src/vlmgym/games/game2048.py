"""2048: slide all tiles one way; equal neighbours merge; a new tile appears.

Rules as in the published VLM-Gym.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeAlias

import numpy as np

from vlmgym.core import (
    LEGAL_STREAM,
    NO_ACTION,
    State,
    draw64,
    draw_below,
    draw_unit,
    mix64,
    setting,
)
from vlmgym.core.kernels import inner, kernel
from vlmgym.games.parts.actions import Moves, write_cell
from vlmgym.games.parts.boards import Actions, Arrays, Boards, GridLevel, Marks, Seeds, Values
from vlmgym.games.parts.grid import GridGame, Turn
from vlmgym.games.parts.slides import MAX_EXPONENT, merge_gain, slide, slide_changes


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


# The board holds exponents (uint8): 0 = empty, e = tile 2**e. The loops see a board flat, (rows *
# cols,), and know its columns.
@inner
def _can_move(board, cols):
    sideways = slide_changes(board, cols, 3) or slide_changes(board, cols, 1)
    return sideways or slide_changes(board, cols, 0) or slide_changes(board, cols, 2)


@inner
def _spawn(board, exponent, seed, step, number, room):
    """Put a tile on a uniformly drawn empty cell; returns the number of empty cells left.

    ``room`` is room for a board.
    """
    empty = 0
    for place in range(len(board)):
        room[empty] = place
        empty += board[place] == 0
    board[room[draw_below(seed, step, number, empty)]] = exponent
    return empty - 1


@kernel
def _deal(board, cols, terminated, seeds, tiles, four_prob, start_max):
    room = np.empty(board.shape[1], np.int64)
    for b in range(len(board)):
        for t in range(tiles):
            if start_max > 1:
                e = 1 + draw_below(seeds[b], 0, 2 * t, start_max)
            else:
                e = 2 if draw_unit(seeds[b], 0, 2 * t) < four_prob else 1
            _spawn(board[b], e, seeds[b], 0, 2 * t + 1, room)
        terminated[b] = not _can_move(board[b], cols)


@kernel
def _play(board, cols, actions, steps, seeds, over, four_prob, out, gain, changed, terminated):
    room = np.empty(board.shape[1], np.int64)
    for b in range(len(board)):
        if over[b] or actions[b] < 0:
            continue
        gain[b], changed[b] = slide(board[b], cols, actions[b], out[b])
        if changed[b]:
            step = steps[b] + 1  # the draws of turn 0 belong to the deal
            e = 2 if draw_unit(seeds[b], step, 0) < four_prob else 1
            left = _spawn(out[b], e, seeds[b], step, 1, room)
            terminated[b] = left == 0 and not _can_move(out[b], cols)


@inner
def _after(board, cols, four_prob):
    """Expected gain of the best next move, over the place and value of the tile that appears before
    it.
    """
    total = 0.0
    empty = 0
    for place in range(len(board)):
        if board[place] == 0:
            empty += 1
            for e in range(1, 3):
                p = four_prob if e == 2 else 1.0 - four_prob
                if p > 0.0:
                    board[place] = e
                    total += p * max(merge_gain(board, cols, 0), merge_gain(board, cols, 1))
            board[place] = 0
    return total / empty if empty else 0.0


@kernel
def _oracle(board, cols, ended, four_prob, discount, value):
    slid = np.empty(board.shape[1], np.uint8)
    for b in range(len(board)):
        for move in range(4):
            value[b, move] = np.nan
            if not ended[b]:
                gain, changed = slide(board[b], cols, move, slid)
                if changed:
                    value[b, move] = gain + discount * _after(slid, cols, four_prob)


@kernel
def _legal(board, cols, legal):
    for b in range(len(board)):
        for move in range(4):
            legal[b, move] = slide_changes(board[b], cols, move)


@kernel
def _draw_legal(board, cols, ended, seeds, steps, number, out):
    """Draw moves, all alike, until one is legal; a game that has not ended has one."""
    for b in range(len(board)):
        out[b] = -1
        word = draw64(seeds[b], steps[b], number)
        k = 0
        while out[b] < 0 and not ended[b] and k < 1024:
            move = np.int64((word >> np.uint64(2 * (k % 32))) & np.uint64(3))
            k += 1
            if k % 32 == 0:
                word = mix64(word ^ np.uint64(k))
            if slide_changes(board[b], cols, move):
                out[b] = move


@kernel
def _merging(board, cols, ended, merging):
    for b in range(len(board)):
        for move in range(4):
            merging[b, move] = not ended[b] and (
                merging[b, move - 2] if move > 1 else merge_gain(board[b], cols, move) > 0
            )


def _flat(board: Boards) -> Boards:
    return board.reshape(len(board), board.shape[1] * board.shape[2])


class Game2048(GridGame[Level2048, State2048]):
    """2048 on any board from 2x2 to 16x16."""

    name = "2048"
    version = 1
    level_type = Level2048
    answers = Moves()
    symbols = ("0", *(str(2**e) for e in range(1, MAX_EXPONENT + 1)))
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
        "new tile appears after each move that changes the board. Empty cells are written as 0."
    )

    def deal(self, level: Level2048, seeds: Seeds, board: Boards) -> Arrays:
        """Some tiles on drawn cells."""
        terminated = np.zeros(len(seeds), bool)
        _deal(
            _flat(board),
            level.cols,
            terminated,
            seeds,
            level.start_tiles,
            level.four_prob,
            level.start_max,
        )
        return {"terminated": terminated}

    def play(self, state: State2048, actions: Actions, turn: Turn) -> None:
        """A merge gains the new tile's number; the game ends when no move changes the board."""
        level = state.level
        luck = (state.steps, state.seed, turn.over, state.level.four_prob)
        written = (_flat(turn.board), turn.gain, turn.changed, turn.terminated)
        _play(_flat(state.board), level.cols, actions, *luck, *written)

    def legal_moves(self, state: State2048, legal: Marks) -> None:
        """The moves that slide or merge a tile."""
        _legal(_flat(state.board), state.level.cols, legal)

    def draw_legal(self, state: State2048, number: int = LEGAL_STREAM) -> Actions:
        """See :class:`vlmgym.core.Game`; moves are drawn until one is legal."""
        out = np.empty(len(state), np.int64)
        _draw_legal(
            _flat(state.board), state.level.cols, state.ended, state.seed, state.steps, number, out
        )
        return out

    def success_mask(self, state: State2048) -> Marks:
        """``(B, 4)``: the moves that merge something."""
        merging = np.empty((len(state), 4), bool)
        _merging(_flat(state.board), state.level.cols, state.ended, merging)
        return merging

    def oracle(self, state: State2048) -> Values:
        """Score of the move plus half the expected score of the best move after it, over all tiles
        that may appear.
        """
        value = np.empty((len(state), 4))
        level = state.level
        _oracle(_flat(state.board), level.cols, state.ended, level.four_prob, self.DISCOUNT, value)
        return value

    def explain(self, state: State2048, row: int, action: int) -> str:
        """Such as ``"0 up 0 4 0 8"``, the score of each column (of each row for a move sideways),
        or ``"0 up no"``.
        """
        board = state.board[row]
        text = self.answers.say(state.level, action)
        if not slide(board.ravel(), board.shape[1], action, np.empty(board.size, np.uint8))[1]:
            return f"{text} no"
        lines = board.T if action % 2 == 0 else board
        gains = (merge_gain(np.ascontiguousarray(line), len(line), 1) for line in lines)
        return f"{text} {' '.join(map(str, gains))}"

    def reasoning(self, state: State2048, row: int, values: Values) -> tuple[str, int]:
        """Tile by tile with what is to its right and below, up to the next tile, to the first two
        that merge.

        Such as ``"(0, 0) 2 (0, 1) 0 (0, 2) 4 (1, 0) 8 no; (0, 2) 4 (1, 2) 4"``. If nothing merges,
        the move follows from the last tile, which has only free cells behind it: to the right, or
        down from the last column. From the last corner it is to the left, or up if nothing moves to
        the left. ``values`` are not used: no reader of the text could know them.
        """
        board = state.board[row]
        said = list[str]()
        tiles = np.argwhere(board > 0).tolist()
        for r, c in tiles:
            words = [write_cell(r, c), self.symbols[board[r, c]]]
            for dr, dc, action in ((0, 1, 1), (1, 0, 2)):
                at = r + dr, c + dc
                while at[0] < board.shape[0] and at[1] < board.shape[1]:
                    words += [write_cell(*at), self.symbols[board[at]]]
                    if board[at] == board[r, c] < MAX_EXPONENT:
                        said.append(" ".join(words))
                        return "; ".join(said), action
                    if board[at]:
                        break
                    at = at[0] + dr, at[1] + dc
            said.append(" ".join([*words, "no"]))
        legal = self.legal(state[row])[0]
        (r, c), corner = tiles[-1], (board.shape[0] - 1, board.shape[1] - 1)
        wanted = [3, 0] if (r, c) == corner else [1] if c < corner[1] else [2]
        return "; ".join(said), next((action for action in wanted if legal[action]), NO_ACTION)

    def candidates(self, state: State2048, row: int) -> list[int]:
        """All four moves."""
        return [0, 1, 2, 3]
