"""2048: slide all tiles one way; equal neighbours merge; a new tile appears. Rules as in the published VLM-Gym."""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import cast

import numpy as np
from numba import njit
from numpy.typing import NDArray

from vlmgym import core
from vlmgym.core import Decoded, Outcome, Scene, State, draw_below, draw_unit, setting
from vlmgym.games.text import MOVE_FORMAT, MOVES, read_number

MAX_EXPONENT = 17
_NAMES = ("0", *(str(2**e) for e in range(1, MAX_EXPONENT + 1)))


@dataclass(frozen=True)
class Level2048(core.Level):
    """Rule settings of 2048."""

    rows: int = setting(4, "board rows", 2, 16)
    cols: int = setting(4, "board columns", 2, 16)
    start_tiles: int = setting(2, "tiles on a fresh board", 1, 4)
    four_prob: float = setting(0.1, "probability that a new tile is a 4, else a 2", 0.0, 1.0)
    start_max: int = setting(1, "largest exponent of a start tile (1 = 2s and 4s by four_prob; e > 1 = uniform 2 .. 2**e)", 1, 11)


# The board holds exponents (uint8): 0 = empty, e = tile 2**e. Moves: 0 up, 1 right, 2 down, 3 left.
@njit(cache=True)
def _slide(board, move, out):
    """Slide one board into ``out``; returns (gain, changed)."""
    rows, cols = board.shape
    lines, length = (cols, rows) if move % 2 == 0 else (rows, cols)
    gain, changed = np.int64(0), False
    for line in range(lines):
        put, last = 0, 0  # next free place, exponent waiting for a partner
        for k in range(length):
            i = k if move == 0 or move == 3 else length - 1 - k
            e = board[i, line] if move % 2 == 0 else board[line, i]
            if e == 0:
                continue
            if e == last and e < MAX_EXPONENT:
                value, last = e + 1, 0
                gain += np.int64(1) << np.int64(value)  # int64: 2 ** uint8 would wrap at 256
                place = put - 1
            else:
                value, last, place = e, e, put
                put += 1
            p = place if move == 0 or move == 3 else length - 1 - place
            if move % 2 == 0:
                out[p, line] = value
            else:
                out[line, p] = value
        for place in range(put, length):
            p = place if move == 0 or move == 3 else length - 1 - place
            if move % 2 == 0:
                out[p, line] = 0
            else:
                out[line, p] = 0
        for k in range(length):
            if move % 2 == 0:
                changed |= out[k, line] != board[k, line]
            else:
                changed |= out[line, k] != board[line, k]
    return gain, changed


@njit(cache=True)
def _can_move(board):
    rows, cols = board.shape
    for r in range(rows):
        for c in range(cols):
            e = board[r, c]
            if e == 0 or (
                e < MAX_EXPONENT and ((r + 1 < rows and board[r + 1, c] == e) or (c + 1 < cols and board[r, c + 1] == e))
            ):
                return True
    return False


@njit(cache=True)
def _spawn(board, exponent, seed, step, number):
    """Put a tile on a uniformly drawn empty cell."""
    rows, cols = board.shape
    empty = 0
    for r in range(rows):
        for c in range(cols):
            empty += board[r, c] == 0
    if empty == 0:
        return
    k = draw_below(seed, step, number, empty)
    for r in range(rows):
        for c in range(cols):
            if board[r, c] == 0:
                if k == 0:
                    board[r, c] = exponent
                    return
                k -= 1


@njit(cache=True)
def _reset(board, terminated, seeds, tiles, four_prob, start_max):
    for b in range(len(board)):
        for t in range(tiles):
            if start_max > 1:
                e = 1 + draw_below(seeds[b], 0, 2 * t, start_max)
            else:
                e = 2 if draw_unit(seeds[b], 0, 2 * t) < four_prob else 1
            _spawn(board[b], e, seeds[b], 0, 2 * t + 1)
        terminated[b] = not _can_move(board[b])


@njit(cache=True)
def _play(board, actions, steps, seeds, ended, four_prob, out, gain, changed, terminated):
    for b in range(len(board)):
        if ended[b] or actions[b] < 0:
            out[b] = board[b]
            continue
        gain[b], changed[b] = _slide(board[b], actions[b], out[b])
        if changed[b]:
            step = steps[b] + 1  # the draws of turn 0 belong to reset
            e = 2 if draw_unit(seeds[b], step, 0) < four_prob else 1
            _spawn(out[b], e, seeds[b], step, 1)
            terminated[b] = not _can_move(out[b])


@njit(cache=True)
def _after(board, four_prob):
    """Expected gain of the best next move, over the place and value of the tile that appears before it."""
    rows, cols = board.shape
    total, empty = 0.0, 0
    for r in range(rows):
        for c in range(cols):
            if board[r, c] == 0:
                empty += 1
                for e in range(1, 3):
                    p = four_prob if e == 2 else 1.0 - four_prob
                    if p > 0.0:
                        board[r, c] = e
                        total += p * _best_gain(board)
                board[r, c] = 0
    return total / empty if empty else 0.0


@njit(cache=True)
def _best_gain(board):
    best = np.int64(0)
    slid = np.empty_like(board)
    for move in range(4):
        gain, changed = _slide(board, move, slid)
        if changed and gain > best:
            best = gain
    return np.float64(best)


@njit(cache=True)
def _oracle(board, ended, four_prob, discount, value):
    for b in range(len(board)):
        slid = np.empty_like(board[b])
        for move in range(4):
            value[b, move] = np.nan
            if not ended[b]:
                gain, changed = _slide(board[b], move, slid)
                if changed:
                    value[b, move] = gain + discount * _after(slid, four_prob)


@njit(cache=True)
def _try_all(board, ended, changes, gains):
    for b in range(len(board)):
        slid = np.empty_like(board[b])
        for move in range(4):
            if not ended[b]:
                gains[b, move], changes[b, move] = _slide(board[b], move, slid)


class Game2048(core.Game):
    """2048 on any board from 2x2 to 16x16."""

    name = "2048"
    version = 1
    level_type = Level2048
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
        "L. Chen et al., G1: Bootstrapping Perception and Reasoning Abilities of Vision-Language Model via Reinforcement "
        "Learning (2025), https://arxiv.org/abs/2505.13426",
    )
    DISCOUNT = 0.5
    """Weight of the next move's expected gain in :meth:`oracle`."""

    def n_actions(self, level: core.Level) -> int:
        """Four."""
        return 4

    def reset(self, level: core.Level, seeds: NDArray[np.uint64]) -> State:
        """See :class:`vlmgym.core.Game`."""
        lv = cast(Level2048, level)
        seeds = np.ascontiguousarray(seeds, np.uint64)
        n = len(seeds)
        board, terminated = np.zeros((n, lv.rows, lv.cols), np.uint8), np.zeros(n, bool)
        _reset(board, terminated, seeds, lv.start_tiles, lv.four_prob, lv.start_max)
        return self.start(lv, board, seeds, terminated=terminated)

    def legal(self, state: State) -> NDArray[np.bool_]:
        """See :class:`vlmgym.core.Game`."""
        return self._outcomes(state)[1]

    def successes(self, state: State) -> NDArray[np.bool_]:
        """``(B, 4)``: the moves that merge something."""
        return self._outcomes(state)[0] > 0

    def _outcomes(self, state: State) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        gains, changes = np.zeros((len(state), 4), np.int64), np.zeros((len(state), 4), bool)
        _try_all(state.board, state.ended, changes, gains)
        return gains, changes

    def _step(self, state: State, actions: NDArray[np.int64]) -> tuple[State, Outcome]:
        ended, n = state.ended, len(state)
        board, gain, changed = np.empty_like(state.board), np.zeros(n, np.int64), np.zeros(n, bool)
        terminated = state.terminated.copy()
        four_prob = cast(Level2048, state.level).four_prob
        _play(state.board, actions, state.steps, state.seed, ended, four_prob, board, gain, changed, terminated)
        new = replace(state, board=board, score=state.score + gain, steps=state.steps + ~ended, terminated=terminated)
        return new, Outcome(gain, changed, terminated)

    def scene(self, state: State) -> Scene:
        """Symbol ``e`` is the tile ``2**e``; 0 is the empty cell."""
        return self.view(state, state.board, _NAMES, "number")

    def from_symbols(self, level: core.Level, symbols: NDArray[np.int16]) -> State:
        """See :class:`vlmgym.core.Game`."""
        return self.start(level, symbols.astype(np.uint8))

    def oracle(self, state: State) -> NDArray[np.float64]:
        """Score of the move plus half the expected score of the best move after it, over all tiles that may appear."""
        value = np.empty((len(state), 4))
        _oracle(state.board, state.ended, cast(Level2048, state.level).four_prob, self.DISCOUNT, value)
        return value

    def encode(self, level: core.Level, action: int) -> str:
        """``"0"`` to ``"3"``."""
        return str(action)

    def decode(self, level: core.Level, text: str) -> Decoded:
        """A lone number 0 to 3."""
        return read_number(text, 4)

    def rules(self, level: core.Level) -> str:
        """See :class:`vlmgym.core.Game`."""
        lv = cast(Level2048, level)
        return (
            f"This is 2048 on a board of {lv.rows} rows and {lv.cols} columns. A move slides all tiles in one direction; two "
            "equal tiles that meet merge into their sum, which is added to the score. A new tile appears after each move that "
            "changes the board. Empty cells are written as 0."
        )

    def answer_format(self, level: core.Level) -> str:
        """See :class:`vlmgym.core.Game`."""
        return MOVE_FORMAT

    def explain(self, state: State, row: int, action: int) -> str:
        """Such as ``"0 up 0 4 0 8"``, the score of each column (of each row for a move sideways), or ``"0 up no"``."""
        board, out = state.board[row], np.empty_like(state.board[row])
        if not _slide(board, action, out)[1]:
            return f"{action} {MOVES[action]} no"
        lines = (
            [board[:, c : c + 1] for c in range(board.shape[1])]
            if action % 2 == 0
            else [board[r : r + 1] for r in range(len(board))]
        )
        gains = [_slide(np.ascontiguousarray(line), action, np.empty_like(line, order="C"))[0] for line in lines]
        return f"{action} {MOVES[action]} {' '.join(map(str, gains))}"

    def candidates(self, state: State, row: int) -> list[int]:
        """All four moves."""
        return [0, 1, 2, 3]
