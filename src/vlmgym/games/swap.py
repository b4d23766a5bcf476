"""Swap: exchange two neighbours so that equal tiles line up and vanish. Rules as in the published VLM-Gym."""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from vlmgym import core
from vlmgym.core import ConfigError, Decoded, Outcome, Scene, State, draw_below, setting
from vlmgym.games.parts.actions import STEPS, read_pair, write_cell, write_pair
from vlmgym.games.parts.tile_kinds import COLOURS, FORMS, KIND_OF, NAMES, WIDE, tile_types
from vlmgym.kernels import inner, kernel, move

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
@kernel
def _cells(action, rows, cols):
    """The two cells of a swap: row, column, row, column."""
    across = rows * (cols - 1)
    if action < across:
        r, c = action // (cols - 1), action % (cols - 1)
        return r, c, r, c + 1
    r, c = (action - across) // cols, (action - across) % cols
    return r, c, r + 1, c


# The loops below run over a flat board whose rows are ROW bytes apart, with empty cells around the board, so that neighbours
# are at fixed distances and the compiler can treat many cells at once; `Z if ... else` keeps it to comparisons and masks.
ROW = 17  # the most columns, and an empty cell that ends the row before and begins the next
Z, ONE = np.uint8(0), np.uint8(1)


@kernel
def _room(rows, cols):
    """Room for :func:`_measure` and :func:`_find`, flat, of ``(rows + 4) * ROW`` cells.

    Tiles; lengths of the runs of equal tiles that begin or end in each cell, to the right, left, down and up; whether the next
    cell and the one below are equal; spare; marks; what swaps with the next cell, then with the one below, are allowed
    (two boards); and the place of each action in the latter.
    """
    size, across = (rows + 4) * ROW, rows * (cols - 1)
    places = np.empty(across + (rows - 1) * cols, np.int64)
    for action in range(len(places)):
        r, c, _, _ = _cells(action, rows, cols)
        places[action] = (r + 1) * ROW + c + size * (action >= across)
    cells = np.zeros((9, size), np.uint8)
    runs = (cells[1], cells[2], cells[3], cells[4])
    return cells[0], *runs, cells[5], cells[6], cells[7], cells[8], np.zeros(2 * size, np.uint8), places


def _runs_by(name, step):  # type: ignore[no-untyped-def]
    def runs(tiles, forth, back, equal, spare, line):
        """Lengths of the runs of equal tiles by steps of one or of a row, forth and back, right up to ``line``."""
        for k in range(len(tiles) - step):
            same = np.uint8(tiles[k] == tiles[k + step])
            equal[k] = same
            forth[k] = ONE + same
        for k in range(len(tiles) - step):
            back[k + step] = ONE + equal[k]
        for _ in range(line - 2):
            for k in range(len(tiles) - step):
                spare[k] = back[k]
                run = forth[k + step]
                forth[k] = ONE + (run if equal[k] else Z)
            for k in range(len(tiles) - step):
                run = spare[k]
                back[k + step] = ONE + (run if equal[k] else Z)

    runs.__qualname__ = name
    return inner(runs)


def _find_by(name, step, side):  # type: ignore[no-untyped-def]
    def find(tiles, forth, back, one, other, fits, count, line):
        """Which swaps of a cell and the one a step on bring a tile into a line, from the runs by steps and to the sides."""
        need = np.uint8(line - 1)
        for k in range(count):
            p = k + ROW
            a, b = tiles[p], tiles[p + step]
            ahead, behind = forth[p + 2 * step], back[p - step]
            a_one, a_other, b_one, b_other = one[p + step - side], other[p + step + side], one[p - side], other[p + side]
            ahead = ahead if tiles[p + 2 * step] == a else Z
            behind = behind if tiles[p - step] == b else Z
            a_sides = (a_one if tiles[p + step - side] == a else Z) + (a_other if tiles[p + step + side] == a else Z)
            b_sides = (b_one if tiles[p - side] == b else Z) + (b_other if tiles[p + side] == b else Z)
            longest = max(max(ahead, np.uint8(a_sides)), max(behind, np.uint8(b_sides)))
            fits[k] = np.uint8(longest >= need) & np.uint8(a != b) & np.uint8(a != Z) & np.uint8(b != Z)

    find.__qualname__ = name
    return inner(find)


_runs_across, _runs_along = _runs_by("_runs_across", 1), _runs_by("_runs_along", ROW)
_find_across, _find_along = _find_by("_find_across", 1, ROW), _find_by("_find_along", ROW, 1)


@inner
def _measure(board, room, line):
    """Copy the tiles and measure their runs, up to a length of ``line``."""
    tiles, right, left, down, up, beside, below, spare = room[:8]
    rows, cols = board.shape
    for r in range(rows):
        for c in range(cols):
            tiles[(r + 1) * ROW + c] = board[r, c]
    _runs_across(tiles, right, left, beside, spare, line)
    _runs_along(tiles, down, up, below, spare, line)


@inner
def _find(board, room, line):
    """Find the swaps that are allowed on a measured board, those that bring a tile into a line; returns their number."""
    tiles, right, left, down, up = room[:5]
    fits, count = room[9], len(board) * ROW
    _find_across(tiles, right, left, up, down, fits[ROW:], count, line)
    _find_along(tiles, down, up, left, right, fits[len(tiles) + ROW :], count, line)
    number = 0
    for k in range(len(fits)):
        number += fits[k]
    return number


@kernel
def _exchange(board, action):
    r, c, i, j = _cells(action, *board.shape)
    board[r, c], board[i, j] = board[i, j], board[r, c]


@kernel
def _mark(board, line, room):
    """Measure the board and mark the tiles that stand in lines; returns their number."""
    _measure(board, room, line)
    tiles, right, left, down, up = room[:5]
    marks, count = room[8], 0
    for k in range(len(marks)):
        longest = max(np.uint8(right[k] + left[k]), np.uint8(down[k] + up[k]))
        marks[k] = np.uint8(tiles[k] != Z) & np.uint8(longest > np.uint8(line))
    for k in range(len(marks)):
        count += marks[k]
    return count


@inner
def _fall(board, marks):
    """Take the marked tiles away and let the columns fall."""
    rows, cols = board.shape
    for c in range(cols):
        put = rows - 1
        for r in range(rows - 1, -1, -1):
            if board[r, c] != 0 and not marks[(r + 1) * ROW + c]:
                board[put, c] = board[r, c]
                put -= 1
        board[: put + 1, c] = 0


@inner
def _deal(board, seed, step, number, types, line, tries, room):
    """Draw boards without lines, cell by cell, until one has a valid swap; returns (found, next draw number)."""
    rows, cols = board.shape
    free = np.empty(len(types), np.uint8)
    for _ in range(tries):
        for r in range(rows):
            for c in range(cols):
                count = 0
                for k in range(len(types)):  # only cells to the left and above have tiles yet
                    left, top = c - 1, r - 1
                    while left >= 0 and board[r, left] == types[k]:
                        left -= 1
                    while top >= 0 and board[top, c] == types[k]:
                        top -= 1
                    if c - left < line and r - top < line:
                        free[count] = types[k]
                        count += 1
                board[r, c] = free[draw_below(seed, step, number, count)]
                number += 1
        _measure(board, room, line)
        if _find(board, room, line):
            return True, number
    return False, number


@inner
def _shuffle(board, seed, step, number, line, tries, room):
    """Shuffle the tiles until there is no line and a valid swap; returns (found, next draw number)."""
    rows, cols = board.shape
    for _ in range(tries):
        for k in range(rows * cols - 1, 0, -1):
            other = draw_below(seed, step, number, k + 1)
            r, c, i, j = k // cols, k % cols, other // cols, other % cols
            board[r, c], board[i, j] = board[i, j], board[r, c]
            number += 1
        if _mark(board, line, room) == 0 and _find(board, room, line):
            return True, number
    return False, number


@kernel
def _reset(board, terminated, seeds, types, line, tries):
    room = _room(board.shape[1], board.shape[2])
    for b in range(len(board)):
        terminated[b] = not _deal(board[b], seeds[b], 0, 0, types, line, tries, room)[0]


@kernel
def _play(board, actions, steps, seeds, ended, types, line, waves, tries, gain, changed, terminated):
    rows, cols = board.shape[1:]
    room = _room(rows, cols)
    marks, fits, places = room[8:]
    for b in range(len(board)):
        if ended[b] or actions[b] < 0:
            continue
        _measure(board[b], room, line)
        _find(board[b], room, line)
        if not fits[places[actions[b]]]:
            continue
        _exchange(board[b], actions[b])
        changed[b] = True
        step, number = steps[b] + 1, 0  # the draws of turn 0 belong to reset
        count = _mark(board[b], line, room)
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
            count = _mark(board[b], line, room)
        found = count == 0 and _find(board[b], room, line) > 0
        if not found and count == 0:
            found, number = _shuffle(board[b], seeds[b], step, number, line, tries, room)
        if not found:
            found, number = _deal(board[b], seeds[b], step, number, types, line, tries, room)
        terminated[b] = not found


@kernel
def _legal(board, ended, line, legal):
    room = _room(board.shape[1], board.shape[2])
    fits, places = room[9:]
    for b in range(len(board)):
        _measure(board[b], room, line)
        _find(board[b], room, line)
        for action in range(legal.shape[1]):
            legal[b, action] = not ended[b] and fits[places[action]]


@kernel
def _draw_legal(board, ended, seeds, steps, number, line, out):
    room = _room(board.shape[1], board.shape[2])
    fits, places = room[9:]
    for b in range(len(board)):
        out[b] = -1
        _measure(board[b], room, line)
        count = _find(board[b], room, line)
        if ended[b] or count == 0:
            continue
        k = draw_below(seeds[b], steps[b], number, count)
        for action in range(len(places)):
            k -= fits[places[action]]
            if k < 0:
                out[b] = action
                break


@kernel
def _try(board, ended, actions, line, good):
    room = _room(board.shape[1], board.shape[2])
    fits, places = room[9:]
    for b in range(len(board)):
        _measure(board[b], room, line)
        _find(board[b], room, line)
        for k in range(actions.shape[1]):
            good[b, k] = not ended[b] and actions[b, k] >= 0 and fits[places[actions[b, k]]]


@kernel
def _oracle(board, ended, line, value):
    trial, room = np.empty(board.shape[1:], np.uint8), _room(board.shape[1], board.shape[2])
    after = _room(board.shape[1], board.shape[2])
    fits, places = room[9:]
    for b in range(len(board)):
        _measure(board[b], room, line)
        _find(board[b], room, line)
        for action in range(value.shape[1]):
            value[b, action] = np.nan
            if not ended[b] and fits[places[action]]:
                move(trial, 0, board, b * trial.size, trial.size)
                _exchange(trial, action)
                value[b, action] = 0
                count = _mark(trial, line, after)
                while count:
                    value[b, action] += count * (1 + (count - 2))
                    _fall(trial, after[8])
                    count = _mark(trial, line, after)


class Swap(core.Game[LevelSwap, State[LevelSwap]]):
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

    def n_actions(self, level: LevelSwap) -> int:
        """One for each two orthogonal neighbours: 112 on 8x8."""
        return level.rows * (level.cols - 1) + (level.rows - 1) * level.cols

    def reset(self, level: LevelSwap, seeds: NDArray[np.uint64]) -> State[LevelSwap]:
        """Fresh games without lines and with a valid swap, one per seed; it starts ended if 256 deals had none."""
        seeds = np.ascontiguousarray(seeds, np.uint64)
        n = len(seeds)
        board, terminated = np.zeros((n, level.rows, level.cols), np.uint8), np.zeros(n, bool)
        _reset(board, terminated, seeds, tile_types(level.colours, level.shapes), level.line, MAX_TRIES)
        return self.start(level, board, seeds, terminated=terminated)

    def legal(self, state: State[LevelSwap]) -> NDArray[np.bool_]:
        """See :class:`vlmgym.core.Game`."""
        legal = np.zeros((len(state), self.n_actions(state.level)), bool)
        _legal(state.board, state.ended, state.level.line, legal)
        return legal

    def draw_legal(self, state: State[LevelSwap], number: int = core.LEGAL_STREAM) -> NDArray[np.int64]:
        """See :class:`vlmgym.core.Game`."""
        out = np.empty(len(state), np.int64)
        _draw_legal(state.board, state.ended, state.seed, state.steps, number, state.level.line, out)
        return out

    def _try(self, state: State[LevelSwap], actions: NDArray[np.int64]) -> NDArray[np.bool_]:
        good = np.empty(actions.shape, bool)
        _try(state.board, state.ended, actions, state.level.line, good)
        return good

    def _step(self, state: State[LevelSwap], actions: NDArray[np.int64]) -> tuple[State[LevelSwap], Outcome]:
        lv, ended, n = state.level, state.ended, len(state)
        board, gain, changed = state.board.copy(), np.zeros(n, np.int64), np.zeros(n, bool)
        terminated = state.terminated.copy()
        rules = (tile_types(lv.colours, lv.shapes), lv.line, MAX_WAVES, MAX_TRIES)
        _play(board, actions, state.steps, state.seed, ended, *rules, gain, changed, terminated)
        new = replace(state, board=board, score=state.score + gain, steps=state.steps + ~ended, terminated=terminated)
        return new, Outcome(gain, changed, terminated)

    def blank(self, level: LevelSwap) -> State[LevelSwap]:
        """See :class:`vlmgym.core.Game`."""
        board = np.zeros((1, level.rows, level.cols), np.uint8)
        return self.start(level, board)

    def scene(self, state: State[LevelSwap]) -> Scene:
        """Symbol 0 is the empty cell, ``1 + 12 * colour + shape`` a tile (:data:`vlmgym.games.parts.tile_kinds.NAMES`)."""
        tiles = state.level.tiles
        return self.view(state, state.board, NAMES[tiles], KIND_OF[tiles])

    def from_symbols(self, level: LevelSwap, symbols: NDArray[np.int16]) -> State[LevelSwap]:
        """Any board, lines and empty cells too: an empty cell cannot be swapped and is filled in the next cascade."""
        return self.start(level, symbols.astype(np.uint8))

    def oracle(self, state: State[LevelSwap]) -> NDArray[np.float64]:
        """Score of the move with its cascades among the tiles on the board; the tiles that refill it match nothing."""
        value = np.empty((len(state), self.n_actions(state.level)))
        _oracle(state.board, state.ended, state.level.line, value)
        return value

    def encode(self, level: LevelSwap, action: int) -> str:
        """Such as ``"(0, 1) (0, 2)"``, the left or upper cell first."""
        return write_pair(*_cells(action, level.rows, level.cols))

    def decode(self, level: LevelSwap, text: str) -> Decoded:
        """Two neighbouring cells ``(row, column)`` in either order, counted from 0 at the top left."""
        pair = read_pair(text)
        if pair is None:
            return Decoded(core.NO_ACTION, "not_a_move")
        row1, col1, row2, col2 = pair
        if max(row1, row2) >= level.rows or max(col1, col2) >= level.cols:
            return Decoded(core.NO_ACTION, "out_of_range")
        if abs(row1 - row2) + abs(col1 - col2) != 1:
            return Decoded(core.NO_ACTION, "not_adjacent")
        if row1 == row2:
            return Decoded(row1 * (level.cols - 1) + min(col1, col2))
        return Decoded(level.rows * (level.cols - 1) + min(row1, row2) * level.cols + col1)

    def rules(self, level: LevelSwap) -> str:
        """See :class:`vlmgym.core.Game`."""
        return (
            f"This is Swap on a board of {level.rows} rows and {level.cols} columns. A move swaps two tiles that are "
            f"neighbours in a row or a column. It counts only if {level.line} or more tiles of the same colour and "
            f"{level.tiles[:-1]} then stand in a line; else it is undone. Such tiles vanish, the tiles above fall down, "
            "new tiles fill the board from the top, and new lines vanish too. The more tiles vanish at once, the higher is the "
            "score. "
            f"A cell is written as its tile, such as {NAMES[level.tiles][1]}."
        )

    def answer_format(self, level: LevelSwap) -> str:
        """See :class:`vlmgym.core.Game`."""
        return (
            "the two neighbouring cells as (row, column), counted from 0 at the top left, such as (0, 1) (1, 1) for "
            "row 0, column 1 and row 1, column 1"
        )

    def explain(self, state: State[LevelSwap], row: int, action: int) -> str:
        """Such as ``"3 red circle (0, 1) (1, 1)"``: the tiles of the first wave by type, or ``no line``, and the swap."""
        level = state.level
        board = state.board[row].copy()
        names = NAMES[level.tiles]
        if not self.legal(state[row])[0, action]:
            return f"no line {self.encode(state.level, action)}"
        gone = " and ".join(f"{count} {names[kind]}" for kind, count in self._lines(level, board, action).items())
        return f"{gone} {self.encode(state.level, action)}"

    def reasoning(self, state: State[LevelSwap], row: int, values: NDArray[np.float64]) -> tuple[str, int]:
        """Place by place where a line could be, rows before columns, with its tiles: ``"(0, 1) A (0, 2) B (0, 3) C no"``.

        Where all tiles but one are equal, that cell and its neighbours outside follow, to the first that could replace it:
        ``"(0, 1) A (0, 2) B (0, 3) A (0, 2) (1, 2) A"``.
        """
        level = state.level
        board = state.board[row]
        names, said = NAMES[level.tiles], list[str]()
        for down in (0, 1):
            for r in range(level.rows - (level.line - 1) * down):
                for c in range(level.cols - (level.line - 1) * (1 - down)):
                    cells = [(r + k * down, c + k * (1 - down)) for k in range(level.line)]
                    kinds = [int(board[cell]) for cell in cells]
                    words = [w for cell, kind in zip(cells, kinds, strict=True) for w in (write_cell(*cell), names[kind])]
                    common = max(kinds, key=kinds.count)
                    if common and kinds.count(common) == len(kinds) - 1:
                        odd = next(cell for cell in cells if board[cell] != common)
                        words.append(write_cell(*odd))
                        for dr, dc in STEPS:
                            other = odd[0] + dr, odd[1] + dc
                            if 0 <= other[0] < level.rows and 0 <= other[1] < level.cols and other not in cells:
                                words += [write_cell(*other), names[board[other]]]
                                if board[other] == common and board[odd]:
                                    said.append(" ".join(words))
                                    return "; ".join(said), self.decode(level, write_pair(*odd, *other)).action
                    said.append(" ".join([*words, "no"]))
        return "; ".join(said), core.NO_ACTION

    def _lines(self, lv: LevelSwap, board: NDArray[np.uint8], action: int) -> dict[int, int]:
        """Tiles in lines after a swap, by kind, in reading order; changes ``board``."""
        _exchange(board, action)
        room = _room(*board.shape)
        _mark(board, lv.line, room)
        marks = room[8][ROW:][: lv.rows * ROW].reshape(lv.rows, ROW)[:, : lv.cols] > 0
        kinds, first, counts = np.unique(board[marks], return_index=True, return_counts=True)
        return {int(kinds[k]): int(counts[k]) for k in np.argsort(first)}

    def candidates(self, state: State[LevelSwap], row: int) -> list[int]:
        """The first three valid swaps by action id; fewer if there are fewer."""
        return [int(action) for action in np.flatnonzero(self.legal(state[row])[0])[:3]]
