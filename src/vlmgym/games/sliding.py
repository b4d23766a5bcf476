"""The sliding puzzle: put the numbered tiles in order by sliding one at a time into the gap."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from math import factorial
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from vlmgym import core
from vlmgym.core import Decoded, Outcome, Scene, State, best_rows, draw_below, setting
from vlmgym.games.text import MOVE_FORMAT, MOVES, STEPS, read_number
from vlmgym.kernels import apart, inner, kernel

TABLE_CELLS = 10
"""Boards of up to this many cells are solved by a table of all positions, larger ones by a search."""
NODES = 100_000
"""Positions that the search of a larger board may visit for each move."""
DEAD = -1000.0
"""Oracle value of every move on a board that cannot be solved."""
_FAR, _DEEPEST = 255, 250  # table entry of a position that cannot be solved; longest solution that is searched for
_STEPS = np.array(STEPS)


@dataclass(frozen=True)
class LevelSliding(core.Level):
    """Rule settings of the sliding puzzle."""

    rows: int = setting(3, "board rows", 2, 5)
    cols: int = setting(3, "board columns", 2, 5)
    scramble: int = setting(60, "random moves from the solved board, none undoing the last; more if they solve it", 1, 1000)


# The board holds uint8: 0 = the gap, else a tile. Moves of a tile: 0 up, 1 right, 2 down, 3 left. Boards that were
# described may hold several gaps, of which the first counts, or none.
@kernel
def _gap(board):
    """Row and column of the gap; (-1, -1) without one."""
    rows, cols = board.shape
    for r in range(rows):
        for c in range(cols):
            if board[r, c] == 0:
                return r, c
    return -1, -1


@inner
def _source(board, r, c, move):
    """Where the tile that slides into the gap on (r, c) comes from; (-1, -1) if there is none."""
    i, j = r - _STEPS[move, 0], c - _STEPS[move, 1]
    if r >= 0 and 0 <= i < board.shape[0] and 0 <= j < board.shape[1] and board[i, j] != 0:
        return i, j
    return -1, -1


@inner
def _solved(board):
    rows, cols = board.shape
    for r in range(rows):
        for c in range(cols):
            if board[r, c] != (r * cols + c + 1) % (rows * cols):
                return False
    return True


@kernel
def _reset(board, seeds, scramble):
    rows, cols = board.shape[1:]
    for b in range(len(board)):
        for k in range(rows * cols):
            board[b, k // cols, k % cols] = (k + 1) % (rows * cols)
        r, c, last, number = rows - 1, cols - 1, -1, 0
        while number < scramble or _solved(board[b]):
            count = 0
            for move in range(4):
                count += (last < 0 or move != (last + 2) % 4) and _source(board[b], r, c, move)[0] >= 0
            pick = draw_below(seeds[b], 0, number, count)
            for move in range(4):
                i, j = _source(board[b], r, c, move)
                if i >= 0 and (last < 0 or move != (last + 2) % 4):
                    if pick == 0:
                        board[b, r, c], board[b, i, j] = board[b, i, j], 0
                        r, c, last = i, j, move
                        break
                    pick -= 1
            number += 1


@kernel
def _play(board, actions, ended, gain, changed, terminated):
    for b in range(len(board)):
        if ended[b] or actions[b] < 0:
            continue
        r, c = _gap(board[b])
        i, j = _source(board[b], r, c, actions[b])
        if i >= 0:
            board[b, r, c], board[b, i, j], changed[b] = board[b, i, j], 0, True
            terminated[b] = _solved(board[b])
            gain[b] = np.int64(terminated[b])


@kernel
def _legal(board, ended, legal):
    for b in range(len(board)):
        r, c = _gap(board[b])
        for move in range(4):
            legal[b, move] = not ended[b] and _source(board[b], r, c, move)[0] >= 0


# ------------------------------------------------------------------------------------------ small boards: a table
@kernel
def _rank(flat):
    """The number of a permutation in lexicographic order."""
    rank, count = 0, len(flat)
    for i in range(count):
        smaller = 0
        for j in range(i + 1, count):
            smaller += flat[j] < flat[i]
        rank = rank * (count - i) + smaller
    return rank


@inner
def _unrank(rank, flat):
    count = len(flat)
    for i in range(count - 1, -1, -1):
        flat[i] = rank % (count - i)
        rank //= count - i
        for j in range(i + 1, count):
            flat[j] += flat[j] >= flat[i]


@kernel
def _distances(rows, cols, table, queue):
    """Fill ``table`` by rank with the moves to the solved board, breadth first from it."""
    board = np.empty((rows, cols), np.uint8)
    flat = board.reshape(rows * cols)
    for k in range(rows * cols):
        flat[k] = (k + 1) % (rows * cols)
    queue[0], head, tail = _rank(flat), 0, 1
    table[queue[0]] = 0
    while head < tail:
        here = queue[head]
        head += 1
        _unrank(here, flat)
        r, c = _gap(board)
        for move in range(4):
            i, j = _source(board, r, c, move)
            if i >= 0:
                board[r, c], board[i, j] = board[i, j], 0
                rank = _rank(flat)
                board[r, c], board[i, j] = 0, board[r, c]
                if table[rank] == _FAR:
                    table[rank] = table[here] + 1
                    queue[tail] = rank
                    tail += 1


@lru_cache(16)
def _table(rows: int, cols: int) -> NDArray[np.uint8]:
    """Moves to the solved board, by rank; one byte for every order of the tiles."""
    count = factorial(rows * cols)
    table = np.full(count, _FAR, np.uint8)
    _distances(rows, cols, table, np.empty(count // 2, np.int64))
    return table


# ----------------------------------------------------------------------------------------- larger boards: a search
@kernel
def _solvable(board):
    """Whether the board is a permutation of the right parity: every move swaps two values and takes the gap one cell on."""
    rows, cols = board.shape
    flat, seen, odd = board.ravel(), np.zeros(256, np.bool_), 0
    for i in range(len(flat)):
        if flat[i] >= len(flat) or seen[flat[i]]:
            return False
        seen[flat[i]] = True
        if flat[i] == 0:
            odd += rows - 1 - i // cols + cols - 1 - i % cols
        for j in range(i):
            odd += flat[j] == 0 or (flat[i] != 0 and flat[j] > flat[i])  # the gap counts as the largest
    return odd % 2 == 0


def _conflict_costs() -> NDArray[np.int64]:
    """Moves beyond the Manhattan distance that a row (or column) costs: two for each tile that must leave it.

    Of the tiles that belong into the line, the longest run in ascending order may stay (Hansson, Mayer, Yung 1992).

    Returns:
        Shape ``(6**5,)``, by line: each cell a digit, 0 = a tile of another line (or none), else 1 + its place in the line.
    """
    digits = np.arange(6**5)[:, None] // 6 ** np.arange(4, -1, -1) % 6
    longest = np.zeros(6**5, np.int64)
    for kept in range(32):
        run = digits[:, [k for k in range(5) if kept >> k & 1]]
        ascends = (run > 0).all(axis=1) & (np.diff(run) > 0).all(axis=1)
        longest = np.where(ascends, np.maximum(longest, run.shape[1]), longest)
    return 2 * ((digits > 0).sum(axis=1) - longest)


_COSTS = _conflict_costs()


@apart
def _conflict(board, line, across):
    """The cost of the order in one row (or column); see :func:`_conflict_costs`."""
    rows, cols = board.shape
    code = 0
    for k in range(cols if across else rows):
        tile = np.int64(board[line, k] if across else board[k, line]) - 1
        home, place = (tile // cols, tile % cols) if across else (tile % cols, tile // cols)
        code = 6 * code + (1 + place if tile >= 0 and home == line else 0)
    return _COSTS[code]


@kernel
def _bound(board):
    """A lower bound of the moves left: Manhattan distance and linear conflicts."""
    rows, cols = board.shape
    total = 0
    for r in range(rows):
        for c in range(cols):
            tile = np.int64(board[r, c]) - 1
            if tile >= 0:
                total += abs(tile // cols - r) + abs(tile % cols - c)
    for r in range(rows):
        total += _conflict(board, r, True)
    for c in range(cols):
        total += _conflict(board, c, False)
    return total


@kernel
def _slide(board, r, c, move):
    """Slide a tile into the gap on (r, c), in place; returns by how much the lower bound changes."""
    cols = board.shape[1]
    i, j = r - _STEPS[move, 0], c - _STEPS[move, 1]
    tile, upright = np.int64(board[i, j]) - 1, move % 2 == 0
    old, new = (i, r) if upright else (j, c)  # the lines that the tile leaves and enters; along its way nothing changes
    home = tile // cols if upright else tile % cols
    before = _conflict(board, old, upright) + _conflict(board, new, upright)
    board[r, c], board[i, j] = board[i, j], 0
    after = _conflict(board, old, upright) + _conflict(board, new, upright)
    return abs(home - new) - abs(home - old) + after - before


@apart
def _within(board, r, c, last, bound, limit, budget):
    """Whether the board (gap on (r, c), last move, lower bound) is solved by at most ``limit`` moves, depth first.

    Returns:
        1 yes, 0 no, -1 unknown, as ``budget`` positions were visited; and what is left of it.
    """
    if bound == 0:
        return 1, budget
    if bound > limit:
        return 0, budget
    board = board.copy()
    rows, cols = board.shape
    came, tried, bounds = np.empty(limit + 1, np.int64), np.zeros(limit + 1, np.int64), np.empty(limit + 1, np.int64)
    depth, came[0], bounds[0] = 0, last, bound
    while depth >= 0:
        if tried[depth] == 4:
            if depth:  # take the last move back: the tile that came goes the other way
                i, j = r + _STEPS[came[depth], 0], c + _STEPS[came[depth], 1]
                board[r, c], board[i, j] = board[i, j], 0
                r, c = i, j
            depth -= 1
            continue
        move = tried[depth]
        tried[depth] += 1
        i, j = r - _STEPS[move, 0], c - _STEPS[move, 1]
        if move == (came[depth] + 2) % 4 or not (0 <= i < rows and 0 <= j < cols):
            continue
        if budget == 0:
            return -1, budget
        budget -= 1
        below = bounds[depth] + _slide(board, r, c, move)
        if below == 0:
            return 1, budget
        if depth + 1 + below > limit:
            board[i, j], board[r, c] = board[r, c], 0
            continue
        depth += 1
        r, c, came[depth], tried[depth], bounds[depth] = i, j, move, 0, below
    return 0, budget


@apart
def _deepen(board, value):
    """Values of the legal moves (not NaN) by iterative deepening: all moves of a board at once, from its lower bound.

    Each move changes the moves left by exactly one, up or down (the parity of the board), so as soon as some moves are
    found to solve it in ``limit``, all others that were searched need ``limit + 2``.
    """
    r, c = _gap(board)
    limit = _bound(board)
    budget, bounds, found = np.full(4, NODES, np.int64), np.zeros(4, np.int64), np.zeros(4, np.bool_)
    after = board.copy()
    for move in range(4):
        if not np.isnan(value[move]):
            bounds[move] = limit + _slide(after, r, c, move)
            i, j = r - _STEPS[move, 0], c - _STEPS[move, 1]
            after[i, j], after[r, c] = after[r, c], 0
    while limit <= _DEEPEST and not found.any() and (budget > 0).any():
        for move in range(4):
            if np.isnan(value[move]):
                budget[move] = 0
            elif budget[move] > 0:
                i, j = r - _STEPS[move, 0], c - _STEPS[move, 1]
                after[r, c], after[i, j] = after[i, j], 0
                answer, budget[move] = _within(after, i, j, move, bounds[move], limit - 1, budget[move])
                after[i, j], after[r, c] = after[r, c], 0
                found[move] = answer == 1
        limit += 2
    for move in range(4):
        if not np.isnan(value[move]):
            if found.any():
                value[move] = -float(limit - 2 if found[move] else limit)
            else:
                value[move] = -1.0 - bounds[move]


@kernel
def _oracle(board, legal, table, value):
    for b in range(len(board)):
        value[b] = np.nan
        solvable = _solvable(board[b])
        for move in range(4):
            if legal[b, move]:
                value[b, move] = DEAD
        if not solvable or not legal[b].any():
            continue
        if len(table) == 0:
            _deepen(board[b], value[b])
            continue
        r, c = _gap(board[b])
        after = board[b].copy()
        for move in range(4):
            if legal[b, move]:
                i, j = _source(board[b], r, c, move)
                after[r, c], after[i, j] = after[i, j], 0
                value[b, move] = -1.0 - table[_rank(after.ravel())]
                after[i, j], after[r, c] = after[r, c], 0


class SlidingPuzzle(core.Game[LevelSliding, State[LevelSliding]]):
    """The sliding puzzle (8-puzzle, 15-puzzle) on any board from 2x2 to 5x5."""

    name = "SlidingPuzzle"
    version = 1
    level_type = LevelSliding
    sources = (
        "15 puzzle, https://en.wikipedia.org/wiki/15_puzzle",
        "R. Korf, Depth-first iterative-deepening (1985), https://doi.org/10.1016/0004-3702(85)90084-0",
    )
    LEVELS = MappingProxyType(
        {
            "easy": LevelSliding(scramble=8, max_steps=30),
            "normal": LevelSliding(),
            "hard": LevelSliding(rows=4, cols=4, scramble=30, max_steps=60),
            "tiny": LevelSliding(rows=2, scramble=6, max_steps=16),
        }
    )

    def n_actions(self, level: LevelSliding) -> int:
        """Four."""
        return 4

    def reset(self, level: LevelSliding, seeds: NDArray[np.uint64]) -> State[LevelSliding]:
        """See :class:`vlmgym.core.Game`."""
        seeds = np.ascontiguousarray(seeds, np.uint64)
        board = np.empty((len(seeds), level.rows, level.cols), np.uint8)
        _reset(board, seeds, level.scramble)
        return self.start(level, board, seeds)

    def legal(self, state: State[LevelSliding]) -> NDArray[np.bool_]:
        """See :class:`vlmgym.core.Game`."""
        legal = np.zeros((len(state), 4), bool)
        _legal(state.board, state.ended, legal)
        return legal

    def successes(self, state: State[LevelSliding]) -> NDArray[np.bool_]:
        """``(B, 4)``: the moves that a shortest solution begins with, i.e. of the best oracle value; none on a dead board."""
        value = self.oracle(state)
        best = np.empty(value.shape, bool)
        best_rows(value, DEAD, 0.0, best)
        return best

    def good(self, state: State[LevelSliding], actions: NDArray[np.int64], outcome: Outcome) -> NDArray[np.bool_]:
        """``(B,)``: the move lies on a shortest solution."""
        return (actions >= 0) & self.successes(state)[np.arange(len(state)), actions]

    def _step(self, state: State[LevelSliding], actions: NDArray[np.int64]) -> tuple[State[LevelSliding], Outcome]:
        """The move that solves the board gains 1."""
        ended, n = state.ended, len(state)
        board, gain, changed = state.board.copy(), np.zeros(n, np.int64), np.zeros(n, bool)
        terminated = state.terminated.copy()
        _play(board, actions, ended, gain, changed, terminated)
        new = replace(state, board=board, score=state.score + gain, steps=state.steps + ~ended, terminated=terminated)
        return new, Outcome(gain, changed, terminated)

    def blank(self, level: LevelSliding) -> State[LevelSliding]:
        """See :class:`vlmgym.core.Game`."""
        board = np.zeros((1, level.rows, level.cols), np.uint8)
        return self.start(level, board)

    def scene(self, state: State[LevelSliding]) -> Scene:
        """The board as it is; 0 is the gap."""
        return self.view(state, state.board, _names(state.board.shape[1] * state.board.shape[2]), "number")

    def from_symbols(self, level: LevelSliding, symbols: NDArray[np.int16]) -> State[LevelSliding]:
        """Of several gaps the first in reading order counts; without one no move is legal; repeated numbers are dead."""
        rows, cols = symbols.shape[1:]
        goal = (np.arange(1, rows * cols + 1) % (rows * cols)).reshape(rows, cols)
        return self.start(level, symbols.astype(np.uint8), terminated=(symbols == goal).all(axis=(1, 2)))

    def oracle(self, state: State[LevelSliding]) -> NDArray[np.float64]:
        """Minus the moves of a shortest solution that begins with the move, whatever the turn limit.

        Exact on boards of up to :data:`TABLE_CELLS` cells. On larger ones it is exact where a search of at most
        :data:`NODES` positions for each move finds a shortest solution (a move whose search was not finished by then
        counts as two moves longer); where it finds none, the value is minus (1 + a lower bound of the moves left after the
        move). All moves of a board that cannot be solved have :data:`DEAD`.
        """
        rows, cols = state.board.shape[1:]
        value, legal = np.empty((len(state), 4)), self.legal(state)
        _oracle(state.board, legal, _table(rows, cols) if rows * cols <= TABLE_CELLS else np.empty(0, np.uint8), value)
        return value

    def encode(self, level: LevelSliding, action: int) -> str:
        """``"0"`` to ``"3"``."""
        return str(action)

    def decode(self, level: LevelSliding, text: str) -> Decoded:
        """A lone number 0 to 3."""
        return read_number(text, 4)

    def rules(self, level: LevelSliding) -> str:
        """See :class:`vlmgym.core.Game`."""
        last = level.rows * level.cols - 1
        return (
            f"This is a sliding puzzle of {level.rows} rows and {level.cols} columns with the tiles 1 to {last} and one gap. "
            "A move slides the tile next to the gap into it: up moves the tile below the gap up, right moves the tile on its "
            f"left to the right, and so on. The goal is to have 1 to {last} in reading order with the gap in the last cell, in "
            "as few moves as possible. Cells are written as their number, the gap as 0."
        )

    def answer_format(self, level: LevelSliding) -> str:
        """See :class:`vlmgym.core.Game`."""
        return MOVE_FORMAT

    def explain(self, state: State[LevelSliding], row: int, action: int) -> str:
        """Such as ``"2 down 7 to go"`` (moves of a shortest solution after it, or ``dead``), or ``"1 right no"``."""
        value, text = self.oracle(state[row])[0, action], f"{action} {MOVES[action]}"
        if np.isnan(value):
            return f"{text} no"
        return f"{text} dead" if value <= DEAD else f"{text} {-1 - int(value)} to go"

    def candidates(self, state: State[LevelSliding], row: int) -> list[int]:
        """The legal moves."""
        return np.flatnonzero(self.legal(state[row])[0]).tolist()


@lru_cache(32)
def _names(cells: int) -> tuple[str, ...]:
    """Text of each board value."""
    return tuple(map(str, range(cells)))
