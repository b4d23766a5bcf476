"""2048: slide all tiles one way; equal neighbours merge; a new tile appears. Rules as in the published VLM-Gym."""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from vlmgym import core, kernels
from vlmgym.core import Decoded, Outcome, Scene, State, draw64, draw_below, draw_unit, mix64, setting
from vlmgym.games.parts.actions import MOVE_FORMAT, MOVES, read_number, write_cell
from vlmgym.kernels import inner, kernel

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


# The board holds exponents (uint8): 0 = empty, e = tile 2**e. Moves: 0 up, 1 right, 2 down, 3 left. The loops see a board flat.
@kernel
def _slide(board, cols, move, out):
    """Slide one board into ``out``; returns (gain, changed)."""
    rows = len(board) // cols
    if move % 2 == 0:
        lines, length, along, beside = cols, rows, cols, 1
    else:
        lines, length, along, beside = rows, cols, 1, cols
    start = 0
    if move == 1 or move == 2:
        start, along = (length - 1) * along, -along
    gain, changed = np.int64(0), False
    out[:] = 0
    for line in range(lines):
        place = put = start + line * beside  # next free place
        last = np.int64(0)  # exponent waiting for a partner
        for _ in range(length):  # written without branches: which way they go cannot be foreseen
            e = np.int64(board[place])
            merges = (e == last) & (e != 0) & (e < MAX_EXPONENT)
            goes = put - along * merges
            out[goes] = e + merges
            gain += (np.int64(2) << e) * merges  # int64: 2 ** uint8 would wrap at 256
            changed |= (e != 0) & (goes != place)
            waits = (e != 0) & (not merges)
            last = e if waits else (np.int64(0) if merges else last)
            put += along * waits
            place += along
    return gain, changed


@kernel
def _gain(board, cols, move):
    """Score of a move and of its opposite: of k equal tiles that meet, k // 2 pairs merge whichever way they slide."""
    rows = len(board) // cols
    lines, length, along, beside = (cols, rows, cols, 1) if move % 2 == 0 else (rows, cols, 1, cols)
    gain = np.int64(0)
    for line in range(lines):
        last, place = 0, line * beside
        for _ in range(length):
            e = board[place]
            if e != 0:
                merged = e == last and e < MAX_EXPONENT
                gain += (np.int64(2) << np.int64(e)) * merged
                last = 0 if merged else e
            place += along
    return gain


@inner
def _changes(board, cols, move):
    """Whether a move changes the board."""
    rows = len(board) // cols
    lines, length, along, beside = (cols, rows, cols, 1) if move % 2 == 0 else (rows, cols, 1, cols)
    start = 0
    if move == 1 or move == 2:
        start, along = (length - 1) * along, -along
    for line in range(lines):
        place = start + line * beside
        before = board[place]
        for _ in range(1, length):
            place += along
            e = board[place]
            if e != 0 and (before == 0 or (before == e and e < MAX_EXPONENT)):
                return True
            before = e
    return False


@inner
def _can_move(board, cols):
    return _changes(board, cols, 0) or _changes(board, cols, 3) or _changes(board, cols, 1) or _changes(board, cols, 2)


@inner
def _spawn(board, exponent, seed, step, number, room):
    """Put a tile on a uniformly drawn empty cell; returns the number of empty cells left. ``room`` is room for a board."""
    empty = 0
    for place in range(len(board)):
        room[empty] = place
        empty += board[place] == 0
    board[room[draw_below(seed, step, number, empty)]] = exponent
    return empty - 1


@kernel
def _reset(board, cols, terminated, seeds, tiles, four_prob, start_max):
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
def _play(board, cols, actions, steps, seeds, ended, four_prob, out, gain, changed, terminated):
    room = np.empty(board.shape[1], np.int64)
    for b in range(len(board)):
        if ended[b] or actions[b] < 0:
            kernels.move(out, b * board.shape[1], board, b * board.shape[1], board.shape[1])
            continue
        gain[b], changed[b] = _slide(board[b], cols, actions[b], out[b])
        if changed[b]:
            step = steps[b] + 1  # the draws of turn 0 belong to reset
            e = 2 if draw_unit(seeds[b], step, 0) < four_prob else 1
            left = _spawn(out[b], e, seeds[b], step, 1, room)
            terminated[b] = left == 0 and not _can_move(out[b], cols)


@inner
def _after(board, cols, four_prob):
    """Expected gain of the best next move, over the place and value of the tile that appears before it."""
    total, empty = 0.0, 0
    for place in range(len(board)):
        if board[place] == 0:
            empty += 1
            for e in range(1, 3):
                p = four_prob if e == 2 else 1.0 - four_prob
                if p > 0.0:
                    board[place] = e
                    total += p * max(_gain(board, cols, 0), _gain(board, cols, 1))
            board[place] = 0
    return total / empty if empty else 0.0


@kernel
def _oracle(board, cols, ended, four_prob, discount, value):
    slid = np.empty(board.shape[1], np.uint8)
    for b in range(len(board)):
        for move in range(4):
            value[b, move] = np.nan
            if not ended[b]:
                gain, changed = _slide(board[b], cols, move, slid)
                if changed:
                    value[b, move] = gain + discount * _after(slid, cols, four_prob)


@kernel
def _legal(board, cols, ended, legal):
    for b in range(len(board)):
        for move in range(4):
            legal[b, move] = not ended[b] and _changes(board[b], cols, move)


@kernel
def _draw_legal(board, cols, ended, seeds, steps, number, out):
    """Draw moves, all alike, until one is legal; a game that has not ended has one."""
    for b in range(len(board)):
        out[b] = -1
        word, k = draw64(seeds[b], steps[b], number), 0
        while out[b] < 0 and not ended[b] and k < 1024:
            move = np.int64((word >> np.uint64(2 * (k % 32))) & np.uint64(3))
            k += 1
            if k % 32 == 0:
                word = mix64(word ^ np.uint64(k))
            if _changes(board[b], cols, move):
                out[b] = move


@kernel
def _merging(board, cols, ended, merging):
    for b in range(len(board)):
        for move in range(4):
            merging[b, move] = not ended[b] and (merging[b, move - 2] if move > 1 else _gain(board[b], cols, move) > 0)


def _flat(board: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return board.reshape(len(board), board.shape[1] * board.shape[2])


class Game2048(core.Game[Level2048, State[Level2048]]):
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

    def n_actions(self, level: Level2048) -> int:
        """Four."""
        return 4

    def reset(self, level: Level2048, seeds: NDArray[np.uint64]) -> State[Level2048]:
        """See :class:`vlmgym.core.Game`."""
        seeds = np.ascontiguousarray(seeds, np.uint64)
        n = len(seeds)
        board, terminated = np.zeros((n, level.rows, level.cols), np.uint8), np.zeros(n, bool)
        _reset(_flat(board), level.cols, terminated, seeds, level.start_tiles, level.four_prob, level.start_max)
        return self.start(level, board, seeds, terminated=terminated)

    def legal(self, state: State[Level2048]) -> NDArray[np.bool_]:
        """See :class:`vlmgym.core.Game`."""
        legal = np.empty((len(state), 4), bool)
        _legal(_flat(state.board), state.board.shape[2], state.ended, legal)
        return legal

    def draw_legal(self, state: State[Level2048], number: int = core.LEGAL_STREAM) -> NDArray[np.int64]:
        """See :class:`vlmgym.core.Game`; moves are drawn until one is legal."""
        out = np.empty(len(state), np.int64)
        _draw_legal(_flat(state.board), state.board.shape[2], state.ended, state.seed, state.steps, number, out)
        return out

    def successes(self, state: State[Level2048]) -> NDArray[np.bool_]:
        """``(B, 4)``: the moves that merge something."""
        merging = np.empty((len(state), 4), bool)
        _merging(_flat(state.board), state.board.shape[2], state.ended, merging)
        return merging

    def _step(self, state: State[Level2048], actions: NDArray[np.int64]) -> tuple[State[Level2048], Outcome]:
        ended, n, lv = state.ended, len(state), state.level
        board, gain, changed = np.empty_like(state.board), np.zeros(n, np.int64), np.zeros(n, bool)
        terminated, luck = state.terminated.copy(), (state.steps, state.seed, ended, lv.four_prob)
        _play(_flat(state.board), lv.cols, actions, *luck, _flat(board), gain, changed, terminated)
        new = replace(state, board=board, score=state.score + gain, steps=state.steps + ~ended, terminated=terminated)
        return new, Outcome(gain, changed, terminated)

    def blank(self, level: Level2048) -> State[Level2048]:
        """See :class:`vlmgym.core.Game`."""
        board = np.zeros((1, level.rows, level.cols), np.uint8)
        return self.start(level, board)

    def scene(self, state: State[Level2048]) -> Scene:
        """Symbol ``e`` is the tile ``2**e``; 0 is the empty cell."""
        return self.view(state, state.board, _NAMES, "number")

    def from_symbols(self, level: Level2048, symbols: NDArray[np.int16]) -> State[Level2048]:
        """See :class:`vlmgym.core.Game`."""
        return self.start(level, symbols.astype(np.uint8))

    def oracle(self, state: State[Level2048]) -> NDArray[np.float64]:
        """Score of the move plus half the expected score of the best move after it, over all tiles that may appear."""
        value = np.empty((len(state), 4))
        level = state.level
        _oracle(_flat(state.board), level.cols, state.ended, level.four_prob, self.DISCOUNT, value)
        return value

    def encode(self, level: Level2048, action: int) -> str:
        """``"0"`` to ``"3"``."""
        return str(action)

    def decode(self, level: Level2048, text: str) -> Decoded:
        """A lone number 0 to 3."""
        return read_number(text, 4)

    def rules(self, level: Level2048) -> str:
        """See :class:`vlmgym.core.Game`."""
        return (
            f"This is 2048 on a board of {level.rows} rows and {level.cols} columns. A move slides all tiles in one direction; "
            "two equal tiles that meet merge into their sum, which is added to the score. A new tile appears after each move "
            "that changes the board. Empty cells are written as 0."
        )

    def answer_format(self, level: Level2048) -> str:
        """See :class:`vlmgym.core.Game`."""
        return MOVE_FORMAT

    def explain(self, state: State[Level2048], row: int, action: int) -> str:
        """Such as ``"0 up 0 4 0 8"``, the score of each column (of each row for a move sideways), or ``"0 up no"``."""
        board = state.board[row]
        if not _slide(board.ravel(), board.shape[1], action, np.empty(board.size, np.uint8))[1]:
            return f"{action} {MOVES[action]} no"
        lines = board.T if action % 2 == 0 else board
        return f"{action} {MOVES[action]} {' '.join(str(_gain(np.ascontiguousarray(line), len(line), 1)) for line in lines)}"

    def reasoning(self, state: State[Level2048], row: int, values: NDArray[np.float64]) -> tuple[str, int]:
        """Tile by tile with what is to its right and below, up to the next tile, to the first two that merge.

        Such as ``"(0, 0) 2 (0, 1) 0 (0, 2) 4 (1, 0) 8 no; (0, 2) 4 (1, 2) 4"``. If nothing merges, the move follows from the last
        tile, which has only free cells behind it: to the right, or down from the last column. From the last corner it is to the
        left, or up if nothing moves to the left. ``values`` are not used: no reader of the text could know them.
        """
        board, said = state.board[row], list[str]()
        tiles = np.argwhere(board > 0).tolist()
        for r, c in tiles:
            words = [write_cell(r, c), _NAMES[board[r, c]]]
            for dr, dc, action in ((0, 1, 1), (1, 0, 2)):
                at = r + dr, c + dc
                while at[0] < board.shape[0] and at[1] < board.shape[1]:
                    words += [write_cell(*at), _NAMES[board[at]]]
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
        return "; ".join(said), next((action for action in wanted if legal[action]), core.NO_ACTION)

    def candidates(self, state: State[Level2048], row: int) -> list[int]:
        """All four moves."""
        return [0, 1, 2, 3]
