"""Minesweeper: reveal every cell without a mine; a number counts the mines around its cell."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from vlmgym import core
from vlmgym.core import PER_CELL, ConfigError, Decoded, Outcome, Scene, State, draw_below, setting
from vlmgym.games.parts.actions import read_cell, write_cell
from vlmgym.kernels import apart, inner, kernel

HIDDEN, MINE = 9, 10
NAMES = (*map(str, range(9)), "hidden", "mine")
TRIES = 100
"""Deals that are drawn for one that leaves a safe cell hidden and, on guess-free levels, needs no guess."""
MAX_NODES = 2_000_000
"""Steps of the search through one connected part of the frontier; beyond them mine probabilities are approximate."""
EXACT, IMPOSSIBLE, APPROXIMATE = 0, 1, 2
TIE = 1e-9
"""Mine probabilities closer than this count as equal."""


@dataclass(frozen=True)
class LevelMinesweeper(core.Level):
    """Rule settings of Minesweeper."""

    rows: int = setting(8, "board rows", 2, 16)
    cols: int = setting(8, "board columns", 2, 16)
    mines: int = setting(10, "mines on the board; at most rows * cols - 2", 1, 254)
    guess_free: bool = setting(True, f"draw up to {TRIES} deals for one that reasoning alone solves; else the last one is dealt")

    def __post_init__(self) -> None:
        """Check that the mines leave an opening and a safe cell to find.

        Raises:
            ConfigError: a field is out of range, or there are too many mines.
        """
        super().__post_init__()
        most = self.rows * self.cols - 2
        if self.mines > most:
            raise ConfigError("LevelMinesweeper.mines", self.mines, f"1 to {most} (rows * cols - 2)")


@dataclass(frozen=True, eq=False)
class StateMinesweeper(State[LevelMinesweeper]):
    """A state of Minesweeper; ``board`` holds what is seen: 0 .. 8 = a number, 9 = hidden, 10 = the mine that went off."""

    # (B, rows, cols) where the mines are; no picture, text or oracle value depends on it
    mines: NDArray[np.bool_] = field(metadata=PER_CELL)


# ------------------------------------------------------------------------------------------------------------ rules
@apart
def _reveal(board, mines, cell, flood):
    """Reveal a hidden cell, and with ``flood`` all that hangs on a 0; returns how many cells without a mine came up."""
    rows, cols = board.shape
    if mines[cell // cols, cell % cols]:
        board[cell // cols, cell % cols] = MINE
        return 0
    stack = np.empty(rows * cols, np.int64)
    stack[0], tail, opened = cell, 1, 0
    board[cell // cols, cell % cols] = 0  # found; its number comes when it is taken from the stack
    while tail:
        tail -= 1
        r, c = stack[tail] // cols, stack[tail] % cols
        opened += 1
        near = 0
        for i in range(max(r - 1, 0), min(r + 2, rows)):
            for j in range(max(c - 1, 0), min(c + 2, cols)):
                near += mines[i, j]
        board[r, c] = near
        if near or not flood:
            continue
        for i in range(max(r - 1, 0), min(r + 2, rows)):
            for j in range(max(c - 1, 0), min(c + 2, cols)):
                if board[i, j] == HIDDEN:
                    board[i, j] = 0
                    stack[tail] = i * cols + j
                    tail += 1
    return opened


@kernel
def _play(board, mines, actions, ended, gain, changed, terminated):
    cols = board.shape[2]
    for b in range(len(board)):
        r, c = actions[b] // cols, actions[b] % cols
        if ended[b] or actions[b] < 0 or board[b, r, c] != HIDDEN:
            continue
        gain[b], changed[b] = _reveal(board[b], mines[b], actions[b], True), True
        terminated[b] = gain[b] == 0 or not _safe_left(board[b], mines[b])


@inner
def _safe_left(board, mines):
    rows, cols = board.shape
    for r in range(rows):
        for c in range(cols):
            if board[r, c] == HIDDEN and not mines[r, c]:
                return True
    return False


# ---------------------------------------------------------------------------------------------------- probabilities
# Numbers are constraints, named by their cell. Hidden cells that touch the same numbers are interchangeable: a group, of
# which only the number of mines matters. Groups that share numbers, directly or not, form a part.
@inner
def _binomials(n):
    row = np.ones(n + 1)
    for k in range(1, n + 1):
        row[k] = row[k - 1] * (n - k + 1) / k
    return row


@apart
def _convolve(a, b, out):
    """The sums of products, up to the length that all three have; ``out`` is zeros before."""
    for i in range(len(a)):
        if a[i] > 0.0:
            for j in range(len(a) - i):
                out[i + j] += a[i] * b[j]


@apart
def _groups(board, need, room, near, touched, group, size, lead, of, count):
    """Fill in the constraints and the groups; returns (groups, whether each number could be right by itself)."""
    rows, cols = board.shape
    total, fine = 0, True
    for cell in range(rows * cols):
        r, c = cell // cols, cell % cols
        kind = board[r, c]
        need[cell] = kind
        for i in range(max(r - 1, 0), min(r + 2, rows)):
            for j in range(max(c - 1, 0), min(c + 2, cols)):
                if kind < HIDDEN:
                    need[cell] -= board[i, j] == MINE
                    room[cell] += board[i, j] == HIDDEN
                elif kind == HIDDEN and board[i, j] < HIDDEN:
                    near[cell, touched[cell]] = i * cols + j
                    touched[cell] += 1
        if kind < HIDDEN:
            fine &= 0 <= need[cell] <= room[cell]
        if touched[cell] == 0:
            continue
        for i in range(max(r - 2, 0), r + 1):
            for j in range(max(c - 2, 0), min(c + 3, cols)):
                other = i * cols + j
                if other < cell and group[cell] < 0 and touched[other] == touched[cell]:
                    same = True
                    for k in range(touched[cell]):
                        same &= near[other, k] == near[cell, k]
                    if same:
                        group[cell] = group[other]
        if group[cell] < 0:
            group[cell], lead[total] = total, cell
            for k in range(touched[cell]):
                number = near[cell, k]
                of[number, count[number]] = total
                count[number] += 1
            total += 1
        size[group[cell]] += 1
    return total, fine


@apart
def _parts(total, near, touched, lead, of, count, order, begin):
    """Order the groups part by part, next those of the number that waits for the fewest; returns the number of parts."""
    placed, known = np.zeros(total, np.bool_), np.zeros(len(near), np.bool_)
    waiting, numbers = count.copy(), np.empty(len(near), np.int64)
    tail, parts = 0, 0
    for first in range(total):
        if placed[first]:
            continue
        begin[parts], found, best = tail, 0, near[lead[first], 0]
        while best >= 0:
            for k in range(count[best]):
                g = of[best, k]
                if placed[g]:
                    continue
                placed[g], order[tail] = True, g
                tail += 1
                for t in range(touched[lead[g]]):
                    number = near[lead[g], t]
                    waiting[number] -= 1
                    if not known[number]:
                        known[number], numbers[found] = True, number
                        found += 1
            best, fewest = -1, 9
            for k in range(found):
                if 0 < waiting[numbers[k]] < fewest:
                    best, fewest = numbers[k], waiting[numbers[k]]
        parts += 1
    begin[parts] = tail
    return parts


@apart
def _search(order, need, room, near, touched, size, lead, choose, ways, mass, witness):
    """Go through all mine counts of the groups of one part; False if that takes more than ``MAX_NODES`` steps.

    ``ways[m]`` counts its layouts with ``m`` mines, ``mass[g, m]`` the mines that group ``g`` has in them all together,
    ``witness[g, m]`` those that it has in one of them.
    """
    most, last, i, used, nodes = len(ways) - 1, len(order) - 1, 0, 0, 0
    take, weight = np.empty(len(order), np.int64), np.ones(len(order) + 1)
    take[0] = -1
    while i >= 0:
        g = order[i]
        cell = lead[g]
        if take[i] >= 0:
            used -= take[i]
            for t in range(touched[cell]):
                need[near[cell, t]] += take[i]
                room[near[cell, t]] += size[g]
        take[i] += 1
        if take[i] > size[g] or used + take[i] > most:
            i -= 1
            continue
        nodes += 1
        if nodes > MAX_NODES:
            return False
        fits = True
        used += take[i]
        for t in range(touched[cell]):
            number = near[cell, t]
            need[number] -= take[i]
            room[number] -= size[g]
            fits &= 0 <= need[number] <= room[number]
        if not fits:
            continue
        weight[i + 1] = weight[i] * choose[size[g], take[i]]
        if i < last:
            i += 1
            take[i] = -1
            continue
        for k in range(len(order)):
            if ways[used] == 0.0:
                witness[order[k], used] = take[k]
            mass[order[k], used] += weight[i + 1] * take[k]
        ways[used] += weight[i + 1]
    return True


@apart
def _density(board, left, hidden, need, room, near, touched, local, chance):
    """The fallbacks: the same probability for all hidden cells or, with ``local``, the mean of what their numbers say."""
    cols = board.shape[1]
    out, rest = 0, np.float64(left)
    for cell in range(board.size):
        if board[cell // cols, cell % cols] != HIDDEN:
            continue
        chance[cell] = min(max(left / hidden, 0.0), 1.0)
        if not local or touched[cell] == 0:
            out += 1
            continue
        mean, sure = 0.0, -1.0
        for t in range(touched[cell]):
            said = need[near[cell, t]] / room[near[cell, t]]
            mean += said / touched[cell]
            if said == 0.0 or said == 1.0:
                sure = said
        chance[cell] = sure if sure >= 0.0 else mean
        rest -= chance[cell]
    for cell in range(board.size):
        if local and touched[cell] == 0 and board[cell // cols, cell % cols] == HIDDEN:
            chance[cell] = min(max(rest / out, 0.0), 1.0)


@apart
def _chances(board, mines, chance, layout):
    """Fill in the probability of a mine for each hidden cell (others stay) and a mine layout that fits what is seen.

    Every layout with ``mines`` mines that fits is equally likely. Counts are floats; all are at most 2**256, so they
    neither overflow nor vanish, and a probability is 0.0 exactly where no layout has a mine.

    Returns:
        EXACT; IMPOSSIBLE (no layout fits) or APPROXIMATE (too much to search): then the layout is the first hidden cells.
    """
    cols, cells = board.shape[1], board.size
    hidden, left = 0, mines
    for cell in range(cells):
        hidden += board[cell // cols, cell % cols] == HIDDEN
        if board[cell // cols, cell % cols] == MINE:
            left -= 1
            layout[cell // cols, cell % cols] = True
    need, room, near = np.zeros(cells, np.int64), np.zeros(cells, np.int64), np.empty((cells, 8), np.int64)
    touched, group, size = np.zeros(cells, np.int64), np.full(cells, -1, np.int64), np.zeros(cells, np.int64)
    lead, of, count = np.empty(cells, np.int64), np.empty((cells, 8), np.int64), np.zeros(cells, np.int64)
    total, fine = _groups(board, need, room, near, touched, group, size, lead, of, count)
    kind = EXACT if fine and 0 <= left <= hidden else IMPOSSIBLE
    order, begin = np.empty(total, np.int64), np.empty(total + 1, np.int64)
    parts = _parts(total, near, touched, lead, of, count, order, begin)
    outside = hidden - size[:total].sum()
    width = max(left, 0) + 1
    ways, mass = np.zeros((parts, width)), np.zeros((total, width))
    witness, choose = np.empty((total, width), np.int64), np.zeros((9, 9))
    for n in range(9):
        for k, number in enumerate(_binomials(n)):
            choose[n, k] = number
    for p in range(parts):
        if kind == EXACT:
            some = order[begin[p] : begin[p + 1]]
            if not _search(some, need.copy(), room.copy(), near, touched, size, lead, choose, ways[p], mass, witness):
                kind = APPROXIMATE
            elif ways[p].sum() == 0.0:
                kind = IMPOSSIBLE
    before, after, free = np.zeros((parts + 1, width)), np.zeros((parts + 1, width)), np.zeros(width)
    before[0, 0] = after[parts, 0] = 1.0
    for p in range(parts):
        _convolve(before[p], ways[p], before[p + 1])
        _convolve(after[parts - p], ways[parts - 1 - p], after[parts - 1 - p])
    choices = _binomials(outside)
    for m in range(min(width, outside + 1)):
        free[m] = choices[m]
    layouts, outer, pick = 0.0, 0.0, -1  # pick: mines of all parts in the layout that is filled in
    for m in range(width):
        layouts += before[parts, m] * free[width - 1 - m]
        outer += before[parts, m] * free[width - 1 - m] * (width - 1 - m)
        if pick < 0 and before[parts, m] * free[width - 1 - m] > 0.0:
            pick = m
    if kind == EXACT and layouts == 0.0:
        kind = IMPOSSIBLE
    if kind != EXACT:
        _density(board, left, max(hidden, 1), need, room, near, touched, kind == APPROXIMATE, chance)
        for cell in range(cells):
            if board[cell // cols, cell % cols] == HIDDEN and left > 0:
                layout[cell // cols, cell % cols] = True
                left -= 1
        return kind
    share, mined, spare = np.zeros(total), np.zeros(total, np.int64), left - pick
    for p in range(parts - 1, -1, -1):
        others, rest, taken = np.zeros(width), np.zeros(width), -1
        _convolve(before[p], after[p + 1], others)
        _convolve(others, free, rest)
        for m in range(width):
            if taken < 0 and ways[p, m] > 0.0 and m <= pick and before[p, pick - m] > 0.0:
                taken = m
        pick -= taken
        for k in range(begin[p], begin[p + 1]):
            g = order[k]
            mined[g] = witness[g, taken]
            for m in range(width):
                share[g] += mass[g, m] * rest[width - 1 - m] / size[g] / layouts
    for cell in range(cells):
        r, c, g = cell // cols, cell % cols, group[cell]
        if board[r, c] != HIDDEN:
            continue
        chance[cell] = min(share[g] if g >= 0 else outer / outside / layouts, 1.0)
        if g >= 0 and mined[g] > 0:
            layout[r, c] = True
            mined[g] -= 1
        elif g < 0 and spare > 0:
            layout[r, c] = True
            spare -= 1
    return EXACT


@kernel
def _all_chances(board, mines, skip, chance, layout, kind):
    for b in range(len(board)):
        if not skip[b]:
            kind[b] = _chances(board[b], mines, chance[b], layout[b])


# ------------------------------------------------------------------------------------------------------------ deals
@apart
def _needs_no_guess(start, mines, count):
    """Whether revealing nothing but cells that are safe for sure reveals all of them."""
    board, layout = start.copy(), np.zeros(start.shape, np.bool_)
    chance, cols = np.empty(board.size), board.shape[1]
    while _safe_left(board, mines):
        if _chances(board, count, chance, layout) != EXACT:
            return False
        stuck = True
        for cell in range(board.size):
            if board[cell // cols, cell % cols] == HIDDEN and chance[cell] == 0.0:
                _reveal(board, mines, cell, True)
                stuck = False
        if stuck:
            return False
    return True


@apart
def _draw(mines, count, seed, number):
    """Lay the mines, away from a drawn opening; returns (opening, number of the next draw)."""
    rows, cols = mines.shape
    cells = rows * cols
    around, order = np.empty(cells, np.int64), np.empty(cells, np.int64)
    for cell in range(cells):
        r, c = cell // cols, cell % cols
        around[cell] = (min(r + 2, rows) - max(r - 1, 0)) * (min(c + 2, cols) - max(c - 1, 0))
    options = np.flatnonzero(around <= cells - count)
    if len(options) == 0:
        options = np.arange(cells)
    opening = options[draw_below(seed, 0, number, len(options))]
    number += 1
    far, close = 0, cells - 1  # first the cells that do not touch the opening, then those that do
    for cell in range(cells):
        if abs(cell // cols - opening // cols) > 1 or abs(cell % cols - opening % cols) > 1:
            order[far] = cell
            far += 1
        elif cell != opening:
            order[close - 1] = cell
            close -= 1
    mines[:] = False
    for k in range(count):
        other = k + draw_below(seed, 0, number, (far if k < far else cells - 1) - k)
        order[k], order[other] = order[other], order[k]
        mines[order[k] // cols, order[k] % cols] = True
        number += 1
    return opening, number


@kernel
def _reset(board, mines, seeds, count, guess_free):
    for b in range(len(board)):
        number, opening = 0, 0
        for _ in range(TRIES):
            opening, number = _draw(mines[b], count, seeds[b], number)
            board[b] = HIDDEN
            _reveal(board[b], mines[b], opening, True)
            if _safe_left(board[b], mines[b]) and (not guess_free or _needs_no_guess(board[b], mines[b], count)):
                break
        if not _safe_left(board[b], mines[b]):  # so few mines that an opening reveals all: only its first cell is revealed
            board[b] = HIDDEN
            _reveal(board[b], mines[b], opening, False)


class Minesweeper(core.Game[LevelMinesweeper, StateMinesweeper]):
    """Minesweeper on any board from 2x2 to 16x16; a part of the board is open from the start."""

    name = "Minesweeper"
    version = 1
    level_type = LevelMinesweeper
    state_type = StateMinesweeper
    unnamed = HIDDEN
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

    def n_actions(self, level: LevelMinesweeper) -> int:
        """One for each cell, ``row * cols + col``."""
        return level.rows * level.cols

    def reset(self, level: LevelMinesweeper, seeds: NDArray[np.uint64]) -> StateMinesweeper:
        """Fresh games, one per seed, with one drawn cell revealed, and what hangs on it; that does not score.

        No mine is around the opening as far as the number of mines permits, and a safe cell is always left to find. On
        guess-free levels up to :data:`TRIES` deals are drawn for one that needs no guess.
        """
        seeds = np.ascontiguousarray(seeds, np.uint64)
        shape = (len(seeds), level.rows, level.cols)
        board, mines = np.empty(shape, np.uint8), np.zeros(shape, bool)
        _reset(board, mines, seeds, level.mines, level.guess_free)
        return self.start(level, board, seeds, mines=mines)

    def legal(self, state: StateMinesweeper) -> NDArray[np.bool_]:
        """``(B, A)``: the hidden cells."""
        hidden = state.board.reshape(len(state), self.n_actions(state.level)) == HIDDEN
        return hidden & ~state.ended[:, None]

    def successes(self, state: StateMinesweeper) -> NDArray[np.bool_]:
        """``(B, A)``: the hidden cells without a mine in this very game; for judging, as no player could know them all."""
        return self.legal(state) & ~state.mines.reshape(len(state), self.n_actions(state.level))

    def works(self, level: LevelMinesweeper, symbols: NDArray[np.int16], actions: NDArray[np.int64]) -> NDArray[np.bool_]:
        """``(B,)``: the cell is described as hidden, and none is safer on that board, whose mines are unknown."""
        state = self.from_symbols(level, symbols)
        safe = np.nan_to_num(self.oracle(state), nan=-1.0)
        chosen = safe[np.arange(len(state)), actions]
        return (actions >= 0) & (chosen >= 0) & (chosen >= safe.max(axis=1) - TIE)

    def _step(self, state: StateMinesweeper, actions: NDArray[np.int64]) -> tuple[StateMinesweeper, Outcome]:
        ended, n, mines = state.ended, len(state), state.mines
        board, gain, changed = state.board.copy(), np.zeros(n, np.int64), np.zeros(n, bool)
        terminated = state.terminated.copy()
        _play(board, mines, actions, ended, gain, changed, terminated)
        new = replace(state, board=board, score=state.score + gain, steps=state.steps + ~ended, terminated=terminated)
        return new, Outcome(gain, changed, terminated)

    def blank(self, level: LevelMinesweeper) -> StateMinesweeper:
        """See :class:`vlmgym.core.Game`."""
        board = np.zeros((1, level.rows, level.cols), np.uint8)
        return self.start(level, board, mines=np.zeros_like(board, bool))

    def scene(self, state: StateMinesweeper) -> Scene:
        """Symbols 0 to 8 are numbers, 9 is a hidden cell, 10 the mine that went off; other mines are never shown."""
        return self.view(state, state.board, NAMES, "sprite")

    def from_symbols(self, level: LevelMinesweeper, symbols: NDArray[np.int16]) -> StateMinesweeper:
        """Games with some mine layout that fits the numbers or, where none fits or is found, the first hidden cells mined.

        They are ended where a mine is seen or no safe cell is hidden.
        """
        board = np.ascontiguousarray(symbols, np.uint8)
        mines = self._study(level, board, np.zeros(len(board), bool))[1]
        over = (board == MINE).any(axis=(1, 2)) | ~((board == HIDDEN) & ~mines).any(axis=(1, 2))
        return self.start(level, board, mines=mines, terminated=over)

    def _study(
        self, level: LevelMinesweeper, board: NDArray[np.uint8], skip: NDArray[np.bool_]
    ) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.int64]]:
        """Mine probabilities (NaN where nothing is hidden), layouts that fit, and how good they are; not of rows to skip."""
        chance = np.full((len(board), board.shape[1] * board.shape[2]), np.nan)
        layout, kind = np.zeros(board.shape, bool), np.zeros(len(board), np.int64)
        _all_chances(board, level.mines, skip, chance, layout, kind)
        return chance, layout, kind

    def oracle(self, state: StateMinesweeper) -> NDArray[np.float64]:
        """``(B, A)`` probability that the cell is safe, given what is seen and the number of mines; never the layout.

        It is exact (all layouts that fit are equally likely), unless a connected part of the frontier takes more than
        :data:`MAX_NODES` search steps: then a cell next to numbers has the mean of what each of them says by itself, and the
        others share the mines that this leaves. On described boards that no layout fits, all hidden cells are equal.
        """
        return 1.0 - self._study(state.level, state.board, state.ended)[0]

    def encode(self, level: LevelMinesweeper, action: int) -> str:
        """Such as ``"(0, 1)"``."""
        return write_cell(*divmod(action, level.cols))

    def decode(self, level: LevelMinesweeper, text: str) -> Decoded:
        """A cell ``(row, column)``, counted from 0 at the top left."""
        cell = read_cell(text)
        if cell is None:
            return Decoded(core.NO_ACTION, "not_a_move")
        if cell[0] >= level.rows or cell[1] >= level.cols:
            return Decoded(core.NO_ACTION, "out_of_range")
        return Decoded(cell[0] * level.cols + cell[1])

    def rules(self, level: LevelMinesweeper) -> str:
        """See :class:`vlmgym.core.Game`."""
        mines = "1 mine is" if level.mines == 1 else f"{level.mines} mines are"
        return (
            f"This is Minesweeper on a board of {level.rows} rows and {level.cols} columns; {mines} hidden under it. A move "
            "reveals one hidden cell. A mine there ends the game. Otherwise the cell shows how many of the up to eight cells "
            "around it hold a mine, and around a 0 all cells are revealed at once. The goal is to reveal every cell without a "
            "mine. Revealed cells are written as their number, 0 to 8, hidden cells as hidden, a mine that went off as mine."
        )

    def answer_format(self, level: LevelMinesweeper) -> str:
        """See :class:`vlmgym.core.Game`."""
        return "the cell to reveal as (row, column), counted from 0 at the top left, such as (0, 1) for row 0, column 1"

    def explain(self, state: StateMinesweeper, row: int, action: int) -> str:
        """Such as ``"(0, 1) safe"``, ``"(2, 3) mine 0.25"`` (the probability) or ``"(1, 1) open"``."""
        text = self.encode(state.level, action)
        if state.board[row].flat[action] != HIDDEN:
            return f"{text} open"
        chance = self._study(state.level, state.board[row : row + 1], np.zeros(1, bool))[0][0, action]
        return f"{text} mine {chance:.2f}" if chance > TIE else f"{text} safe"

    def candidates(self, state: StateMinesweeper, row: int) -> list[int]:
        """The three safest cells, of equal ones the first, in reading order; fewer if fewer are hidden."""
        safe = self.oracle(state[row])[0]
        cells = sorted(np.flatnonzero(~np.isnan(safe)).tolist(), key=lambda cell: (-round(safe[cell], 9), cell))
        return sorted(cells[:3])
