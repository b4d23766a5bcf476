"""Swap: exchange two neighbours so that equal tiles line up and vanish. Rules as in the published VLM-Gym."""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import cast

import numpy as np
from numba import njit
from numpy.typing import NDArray

from vlmgym import core
from vlmgym.core import ConfigError, Decoded, Outcome, Scene, State, draw_below, setting
from vlmgym.games.text import read_pair, write_pair
from vlmgym.games.tiles import COLOURS, FORMS, KIND_OF, NAMES, WIDE, tile_types

MAX_WAVES = 100
"""Waves of one cascade; a board that is not stable after them is dealt afresh."""
MAX_TRIES = 256
"""Reshuffles, and then fresh deals, that are tried for a board with a valid swap; if none has, the game ends."""


@dataclass(frozen=True)
class LevelSwap(core.Level):
    """Rule settings of Swap."""

    rows: int = setting(8, "board rows", 2, 16)
    cols: int = setting(8, "board columns", 2, 16)
    colours: int = setting(4, "colours of the tiles", 1, len(COLOURS))
    shapes: int = setting(3, "shapes (or letters) of the tiles", 1, WIDE)
    tiles: str = setting("shapes", "what the tiles carry", choices=tuple(FORMS))
    line: int = setting(3, "equal tiles in a row or column that vanish", 2, 8)

    def __post_init__(self) -> None:
        """Check that a line fits and that boards without lines exist.

        Raises:
            ConfigError: a field is out of range, ``line`` is longer than the board, or there are fewer than 3 types
                (a cell has a left and an upper neighbour to differ from, so 3 types always allow boards without lines).
        """
        super().__post_init__()
        if self.line > max(self.rows, self.cols):
            allowed = f"2 to {max(self.rows, self.cols)} (the longer side of the board)"
            raise ConfigError("LevelSwap.line", self.line, allowed)
        if self.colours * self.shapes < 3:
            raise ConfigError("LevelSwap.colours", self.colours, f"colours * shapes of at least 3; shapes is {self.shapes}")


# The board holds uint8: 0 = empty, 1 + 12 * colour + shape = a tile. Actions: all horizontal neighbours (by their left
# cell, in reading order), then all vertical ones (by their upper cell).
@njit(cache=True)
def _cells(action, rows, cols):
    """The two cells of a swap: row, column, row, column."""
    across = rows * (cols - 1)
    if action < across:
        r, c = action // (cols - 1), action % (cols - 1)
        return r, c, r, c + 1
    r, c = (action - across) // cols, (action - across) % cols
    return r, c, r + 1, c


@njit(cache=True)
def _run(board, r, c, down):
    """Length of the run of equal tiles through a cell, along its column (``down``) or row."""
    rows, cols = board.shape
    dr, dc, count = (1, 0, 1) if down else (0, 1, 1)
    for sign in (-1, 1):
        i, j = r + sign * dr, c + sign * dc
        while 0 <= i < rows and 0 <= j < cols and board[i, j] == board[r, c]:
            count += 1
            i, j = i + sign * dr, j + sign * dc
    return count


@njit(cache=True)
def _in_line(board, r, c, line):
    return board[r, c] != 0 and (_run(board, r, c, False) >= line or _run(board, r, c, True) >= line)


@njit(cache=True)
def _swap(board, action, line):
    """Swap in place; undone and False unless one of the two tiles comes to stand in a line."""
    r, c, i, j = _cells(action, *board.shape)
    here, there = board[r, c], board[i, j]
    if here == 0 or there == 0 or here == there:
        return False
    board[r, c], board[i, j] = there, here
    if _in_line(board, r, c, line) or _in_line(board, i, j, line):
        return True
    board[r, c], board[i, j] = here, there
    return False


@njit(cache=True)
def _any_swap(board, line):
    rows, cols = board.shape
    trial = board.copy()
    for action in range(rows * (cols - 1) + (rows - 1) * cols):  # noqa: SIM110 (Numba compiles no generators)
        if _swap(trial, action, line):
            return True
    return False


@njit(cache=True)
def _mark(board, line, marks):
    """Mark the tiles that stand in lines; returns their number."""
    rows, cols = board.shape
    count = 0
    for r in range(rows):
        for c in range(cols):
            marks[r, c] = _in_line(board, r, c, line)
            count += marks[r, c]
    return count


@njit(cache=True)
def _fall(board, marks):
    """Take the marked tiles away and let the columns fall."""
    rows, cols = board.shape
    for c in range(cols):
        put = rows - 1
        for r in range(rows - 1, -1, -1):
            if board[r, c] != 0 and not marks[r, c]:
                board[put, c] = board[r, c]
                put -= 1
        board[: put + 1, c] = 0


@njit(cache=True)
def _deal(board, seed, step, number, types, line, tries):
    """Draw boards without lines, cell by cell, until one has a valid swap; returns (found, next draw number)."""
    rows, cols = board.shape
    free = np.empty(len(types), np.uint8)
    for _ in range(tries):
        board[:] = 0
        for r in range(rows):
            for c in range(cols):
                count = 0
                for k in range(len(types)):
                    board[r, c] = types[k]
                    if not _in_line(board, r, c, line):
                        free[count] = board[r, c]
                        count += 1
                board[r, c] = free[draw_below(seed, step, number, count)]
                number += 1
        if _any_swap(board, line):
            return True, number
    return False, number


@njit(cache=True)
def _shuffle(board, seed, step, number, line, tries):
    """Shuffle the tiles until there is no line and a valid swap; returns (found, next draw number)."""
    rows, cols = board.shape
    marks = np.empty(board.shape, np.bool_)
    for _ in range(tries):
        for k in range(rows * cols - 1, 0, -1):
            other = draw_below(seed, step, number, k + 1)
            r, c, i, j = k // cols, k % cols, other // cols, other % cols
            board[r, c], board[i, j] = board[i, j], board[r, c]
            number += 1
        if _mark(board, line, marks) == 0 and _any_swap(board, line):
            return True, number
    return False, number


@njit(cache=True)
def _reset(board, terminated, seeds, types, line, tries):
    for b in range(len(board)):
        terminated[b] = not _deal(board[b], seeds[b], 0, 0, types, line, tries)[0]


@njit(cache=True)
def _play(board, actions, steps, seeds, ended, types, line, waves, tries, gain, changed, terminated):
    rows, cols = board.shape[1:]
    marks = np.empty((rows, cols), np.bool_)
    for b in range(len(board)):
        if ended[b] or actions[b] < 0 or not _swap(board[b], actions[b], line):
            continue
        changed[b] = True
        step, number = steps[b] + 1, 0  # the draws of turn 0 belong to reset
        count = _mark(board[b], line, marks)
        for _ in range(waves):
            if count == 0:
                break
            gain[b] += count * (1 + (count - 2))
            _fall(board[b], marks)
            for c in range(cols):
                for r in range(rows):
                    if board[b, r, c] == 0:
                        board[b, r, c] = types[draw_below(seeds[b], step, number, len(types))]
                        number += 1
            count = _mark(board[b], line, marks)
        found = count == 0 and _any_swap(board[b], line)
        if not found and count == 0:
            found, number = _shuffle(board[b], seeds[b], step, number, line, tries)
        if not found:
            found, number = _deal(board[b], seeds[b], step, number, types, line, tries)
        terminated[b] = not found


@njit(cache=True)
def _legal(board, ended, line, legal):
    for b in range(len(board)):
        if not ended[b]:
            for action in range(legal.shape[1]):
                trial = board[b].copy()
                legal[b, action] = _swap(trial, action, line)


@njit(cache=True)
def _oracle(board, ended, line, value):
    marks = np.empty(board.shape[1:], np.bool_)
    for b in range(len(board)):
        for action in range(value.shape[1]):
            value[b, action] = np.nan
            trial = board[b].copy()
            if not ended[b] and _swap(trial, action, line):
                value[b, action] = 0
                count = _mark(trial, line, marks)
                while count:
                    value[b, action] += count * (1 + (count - 2))
                    _fall(trial, marks)
                    count = _mark(trial, line, marks)


class Swap(core.Game):
    """Swap on any board from 2x2 to 16x16."""

    name = "Swap"
    version = 2
    level_type = LevelSwap
    LEVELS = MappingProxyType(
        {
            "easy": LevelSwap(rows=6, cols=6, colours=4, shapes=1, max_steps=50),
            "normal": LevelSwap(),
            "hard": LevelSwap(rows=10, cols=10, colours=6, shapes=4),
            "paper": LevelSwap(max_steps=100),
            "tiny": LevelSwap(rows=4, cols=4, colours=4, shapes=1, max_steps=16),
        }
    )

    sources = (
        "L. Chen et al., G1: Bootstrapping Perception and Reasoning Abilities of Vision-Language Model via Reinforcement "
        "Learning (2025), https://arxiv.org/abs/2505.13426",
        "Tile-matching games with swaps, https://en.wikipedia.org/wiki/Tile-matching_video_game",
    )

    def n_actions(self, level: core.Level) -> int:
        """One for each two orthogonal neighbours: 112 on 8x8."""
        lv = cast(LevelSwap, level)
        return lv.rows * (lv.cols - 1) + (lv.rows - 1) * lv.cols

    def reset(self, level: core.Level, seeds: NDArray[np.uint64]) -> State:
        """Fresh games without lines and with a valid swap, one per seed; it starts ended if 256 deals had none."""
        lv = cast(LevelSwap, level)
        seeds = np.ascontiguousarray(seeds, np.uint64)
        n = len(seeds)
        board, terminated = np.zeros((n, lv.rows, lv.cols), np.uint8), np.zeros(n, bool)
        _reset(board, terminated, seeds, tile_types(lv.colours, lv.shapes), lv.line, MAX_TRIES)
        return self.start(lv, board, seeds, terminated=terminated)

    def legal(self, state: State) -> NDArray[np.bool_]:
        """See :class:`vlmgym.core.Game`."""
        legal = np.zeros((len(state), self.n_actions(state.level)), bool)
        _legal(state.board, state.ended, cast(LevelSwap, state.level).line, legal)
        return legal

    def _step(self, state: State, actions: NDArray[np.int64]) -> tuple[State, Outcome]:
        lv, ended, n = cast(LevelSwap, state.level), state.ended, len(state)
        board, gain, changed = state.board.copy(), np.zeros(n, np.int64), np.zeros(n, bool)
        terminated = state.terminated.copy()
        rules = (tile_types(lv.colours, lv.shapes), lv.line, MAX_WAVES, MAX_TRIES)
        _play(board, actions, state.steps, state.seed, ended, *rules, gain, changed, terminated)
        new = replace(state, board=board, score=state.score + gain, steps=state.steps + ~ended, terminated=terminated)
        return new, Outcome(gain, changed, terminated)

    def scene(self, state: State) -> Scene:
        """Symbol 0 is the empty cell, ``1 + 12 * colour + shape`` a tile (:data:`vlmgym.games.tiles.NAMES`)."""
        tiles = cast(LevelSwap, state.level).tiles
        return self.view(state, state.board, NAMES[tiles], KIND_OF[tiles])

    def from_symbols(self, level: core.Level, symbols: NDArray[np.int16]) -> State:
        """Any board, lines and empty cells too: an empty cell cannot be swapped and is filled in the next cascade."""
        return self.start(level, symbols.astype(np.uint8))

    def oracle(self, state: State) -> NDArray[np.float64]:
        """Score of the move with its cascades among the tiles on the board; the tiles that refill it match nothing."""
        value = np.empty((len(state), self.n_actions(state.level)))
        _oracle(state.board, state.ended, cast(LevelSwap, state.level).line, value)
        return value

    def encode(self, level: core.Level, action: int) -> str:
        """Such as ``"(0, 1) (0, 2)"``, the left or upper cell first."""
        lv = cast(LevelSwap, level)
        return write_pair(*_cells(action, lv.rows, lv.cols))

    def decode(self, level: core.Level, text: str) -> Decoded:
        """Two neighbouring cells ``(row, column)`` in either order, counted from 0 at the top left."""
        lv, pair = cast(LevelSwap, level), read_pair(text)
        if pair is None:
            return Decoded(core.NO_ACTION, "not_a_move")
        row1, col1, row2, col2 = pair
        if max(row1, row2) >= lv.rows or max(col1, col2) >= lv.cols:
            return Decoded(core.NO_ACTION, "out_of_range")
        if abs(row1 - row2) + abs(col1 - col2) != 1:
            return Decoded(core.NO_ACTION, "not_adjacent")
        if row1 == row2:
            return Decoded(row1 * (lv.cols - 1) + min(col1, col2))
        return Decoded(lv.rows * (lv.cols - 1) + min(row1, row2) * lv.cols + col1)

    def rules(self, level: core.Level) -> str:
        """See :class:`vlmgym.core.Game`."""
        lv = cast(LevelSwap, level)
        return (
            f"This is Swap on a board of {lv.rows} rows and {lv.cols} columns. A move swaps two tiles that are "
            f"neighbours in a row or a column. It counts only if {lv.line} or more tiles of the same colour and {lv.tiles[:-1]} "
            "then stand in a line; else it is undone. Such tiles vanish, the tiles above fall down, new tiles fill the "
            "board from the top, and new lines vanish too. The more tiles vanish at once, the higher is the score. "
            f"A cell is written as its tile, such as {NAMES[lv.tiles][1]}."
        )

    def answer_format(self, level: core.Level) -> str:
        """See :class:`vlmgym.core.Game`."""
        return (
            "the two neighbouring cells as (row, column), counted from 0 at the top left, such as (0, 1) (1, 1) for "
            "row 0, column 1 and row 1, column 1"
        )

    def explain(self, state: State, row: int, action: int) -> str:
        """Such as ``"3 red circle (0, 1) (1, 1)"``: the tiles of the first wave by type, or ``no line``, and the swap."""
        lv, board = cast(LevelSwap, state.level), state.board[row].copy()
        line, names = lv.line, NAMES[lv.tiles]
        if not _swap(board, action, line):
            return f"no line {self.encode(state.level, action)}"
        marks = np.zeros(board.shape, bool)
        _mark(board, line, marks)
        kinds, first, counts = np.unique(board[marks], return_index=True, return_counts=True)
        gone = " and ".join(f"{counts[k]} {names[kinds[k]]}" for k in np.argsort(first))
        return f"{gone} {self.encode(state.level, action)}"

    def candidates(self, state: State, row: int) -> list[int]:
        """The first three valid swaps by action id; fewer if there are fewer."""
        return [int(action) for action in np.flatnonzero(self.legal(state[row])[0])[:3]]
