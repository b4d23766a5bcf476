"""Shisen-Sho: two identical tiles vanish if a path through empty cells joins them. Rules as in the published VLM-Gym."""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import ClassVar, cast

import numpy as np
from numba import njit
from numpy.typing import NDArray

from vlmgym import core
from vlmgym.core import ConfigError, Decoded, Outcome, Scene, State, draw_below, setting
from vlmgym.games.text import read_pair, write_pair
from vlmgym.games.tiles import COLOURS, FORMS, KIND_OF, NAMES, PICTURE_CLASSES, WIDE, picture_classes, tile_types

MAX_DEALS = 64
"""Deals that are tried for one with a joinable pair; if none has, the game starts ended."""
PHOTO_STREAM = 1 << 32
"""Draw numbers of the photographs, one a class: far from those of the deals."""


@dataclass(frozen=True)
class LevelPairs(core.Level):
    """Rule settings that both Shisen-Sho games share."""

    rows: int = setting(6, "board rows", 2, 16)
    cols: int = setting(6, "board columns", 2, 16)
    copies: int = setting(4, "tiles of each type on a fresh board; even", 2, 16)
    max_bends: int = setting(2, "right-angle turns that a path may take", 0, 8)
    margin: int = setting(1, "cells that a path may run outside the board", 0, 1)

    def __post_init__(self) -> None:
        """Check that ``copies`` tiles a type fill the board.

        Raises:
            ConfigError: a field is out of range, or the board cannot be filled so.
        """
        super().__post_init__()
        cells = self.rows * self.cols
        if self.copies % 2 or cells % self.copies:
            allowed = f"an even divisor of the {cells} cells (rows * cols), 2 to 16"
            raise ConfigError(f"{type(self).__name__}.copies", self.copies, allowed)

    @property
    def need(self) -> int:
        """Types on a fresh board."""
        return self.rows * self.cols // self.copies


@dataclass(frozen=True)
class LevelShisenSho(LevelPairs):
    """Rule settings of Shisen-Sho."""

    colours: int = setting(6, "colours that types are drawn from", 1, len(COLOURS))
    shapes: int = setting(6, "shapes (or letters) that types are drawn from", 1, WIDE)
    tiles: str = setting("shapes", "what the tiles carry", choices=tuple(FORMS))

    def __post_init__(self) -> None:
        """Check that there are enough types.

        Raises:
            ConfigError: a field is out of range, or there are too few types.
        """
        super().__post_init__()
        if self.need > self.colours * self.shapes:
            need = f"colours * shapes of at least {self.need} (rows * cols / copies)"
            raise ConfigError("LevelShisenSho.colours", self.colours, f"{need}; shapes is {self.shapes}")


@dataclass(frozen=True)
class LevelShisenShoPhotos(LevelPairs):
    """Rule settings of Shisen-Sho with photographs."""

    classes: str = setting("digits", "picture classes: digits, cifar10, or the names of class folders joined by commas")

    def __post_init__(self) -> None:
        """Check the class names.

        Raises:
            ConfigError: a field is out of range, ``classes`` is no list of different names, or there are too few.
        """
        super().__post_init__()
        found = len(picture_classes(self.classes))
        if found < max(2, self.need):
            allowed = f"{', '.join(PICTURE_CLASSES)} or different names joined by commas; {self.need} classes or more"
            raise ConfigError("LevelShisenShoPhotos.classes", self.classes, allowed)


@dataclass(frozen=True, eq=False)
class StatePhotos(State):
    """A state of Shisen-Sho with photographs; ``board`` holds 0 = empty, 1 + class."""

    photos: NDArray[np.int32]  # (B, rows, cols) which photograph: 16 * (number drawn for the class) + (copy 0 .. 15)


# The board holds uint8: 0 = empty, else a type. Actions: first cell * cells + second cell.
# Paths are searched on a flat int16 copy with the margin and a wall of -1 around it; ``at`` maps cells to places on it.
@njit(cache=True)
def _frame(board, margin):
    rows, cols = board.shape
    wide = cols + 2 * margin + 2
    grid = np.full((rows + 2 * margin + 2) * wide, -1, np.int16)
    at = np.empty(rows * cols, np.int64)
    for r in range(1, rows + 2 * margin + 1):
        grid[r * wide + 1 : (r + 1) * wide - 1] = 0
    for r in range(rows):
        for c in range(cols):
            at[r * cols + c] = (r + margin + 1) * wide + c + margin + 1
            grid[at[r * cols + c]] = board[r, c]
    return grid, at, wide


@njit(cache=True)
def _scratch(grid):
    """Room for :func:`_reach`: reached, swept, queue."""
    return np.zeros(len(grid), np.bool_), np.zeros(len(grid), np.uint8), np.empty(len(grid), np.int64)


@njit(cache=True)
def _reach(grid, wide, start, max_bends, scratch):
    """Mark in ``scratch[0]`` all places that paths from ``start`` end on, tiles included.

    Straight lines leave the start along both axes; with each further bend, lines along the other axis leave the empty
    places found last. A line is swept to both ends, so no place is swept twice along one axis: O(places).
    """
    reached, swept, queue = scratch
    reached[:] = False
    swept[:] = 0
    queue[0], head, tail = start, 0, 1
    for _ in range(max_bends + 1):
        stop = tail
        while head < stop:
            place = queue[head]
            head += 1
            for axis in range(2):
                bit, stride = np.uint8(1 + axis), wide if axis else 1
                if swept[place] & bit:
                    continue
                swept[place] |= bit
                for sign in (-1, 1):
                    p = place + sign * stride
                    while grid[p] == 0:
                        swept[p] |= bit
                        if not reached[p]:
                            reached[p] = True
                            queue[tail] = p
                            tail += 1
                        p += sign * stride
                    reached[p] = True
    reached[start] = False


@njit(cache=True)
def _joined(board, a, b, max_bends, margin):
    grid, at, wide = _frame(board, margin)
    if a == b or grid[at[a]] == 0 or grid[at[a]] != grid[at[b]]:
        return False
    scratch = _scratch(grid)
    _reach(grid, wide, at[a], max_bends, scratch)
    return scratch[0][at[b]]


@njit(cache=True)
def _pairs(grid, at, wide, max_bends, scratch, most, found):
    """The first ``most`` joinable pairs in reading order as rows of ``found``; returns their number."""
    cells, count = len(at), 0
    for a in range(cells):
        kind, partner = grid[at[a]], False
        if kind == 0:
            continue
        for b in range(a + 1, cells):
            partner |= grid[at[b]] == kind
        if not partner:
            continue
        _reach(grid, wide, at[a], max_bends, scratch)
        for b in range(a + 1, cells):
            if grid[at[b]] == kind and scratch[0][at[b]]:
                if count < len(found):
                    found[count, 0], found[count, 1] = a, b
                count += 1
                if count == most:
                    return count
    return count


@njit(cache=True)
def _any_pair(board, max_bends, margin):
    """Whether a pair is left: one sweep a tile, compared with the later tiles of its type, up to the first pair."""
    grid, at, wide = _frame(board, margin)
    return _pairs(grid, at, wide, max_bends, _scratch(grid), 1, np.empty((0, 2), np.int64)) > 0


@njit(cache=True)
def _reset(board, terminated, seeds, copies, kinds, max_bends, margin, tries):
    rows, cols = board.shape[1:]
    cells, count = rows * cols, len(kinds)
    types, flat = np.empty(count, np.uint8), np.empty(cells, np.uint8)
    for b in range(len(board)):
        number, terminated[b] = 0, True
        for _ in range(tries):
            types[:] = kinds
            for k in range(cells // copies):  # a random choice of types, so that deals differ in what they show
                other = k + draw_below(seeds[b], 0, number, count - k)
                types[k], types[other] = types[other], types[k]
                number += 1
            for k in range(cells):
                flat[k] = types[k // copies]
            for k in range(cells - 1, 0, -1):
                other = draw_below(seeds[b], 0, number, k + 1)
                flat[k], flat[other] = flat[other], flat[k]
                number += 1
            for k in range(cells):
                board[b, k // cols, k % cols] = flat[k]
            if _any_pair(board[b], max_bends, margin):
                terminated[b] = False
                break


@njit(cache=True)
def _photos(board, seeds, photos):
    """Number the tiles of each class and draw one number a class: 2**20 sets of photographs, none twice on a board."""
    rows, cols = board.shape[1:]
    for b in range(len(board)):
        seen = np.zeros(256, np.int32)
        for r in range(rows):
            for c in range(cols):
                kind = board[b, r, c]
                if kind:
                    photos[b, r, c] = 16 * draw_below(seeds[b], 0, PHOTO_STREAM + kind, 1 << 20) + seen[kind]
                    seen[kind] += 1


@njit(cache=True)
def _play(board, actions, ended, max_bends, margin, gain, terminated):
    rows, cols = board.shape[1:]
    for b in range(len(board)):
        if ended[b] or actions[b] < 0:
            continue
        first, second = actions[b] // (rows * cols), actions[b] % (rows * cols)
        if _joined(board[b], first, second, max_bends, margin):
            board[b, first // cols, first % cols] = 0
            board[b, second // cols, second % cols] = 0
            gain[b] = 1
            terminated[b] = not _any_pair(board[b], max_bends, margin)


@njit(cache=True)
def _legal(board, ended, max_bends, margin, legal):
    cells = board.shape[1] * board.shape[2]
    found = np.empty((cells * cells // 2, 2), np.int64)
    for b in range(len(board)):
        if not ended[b]:
            grid, at, wide = _frame(board[b], margin)
            for i in range(_pairs(grid, at, wide, max_bends, _scratch(grid), -1, found)):
                first, second = found[i]
                legal[b, first * cells + second] = legal[b, second * cells + first] = True


@njit(cache=True)
def _oracle(board, ended, max_bends, margin, value):
    cells = board.shape[1] * board.shape[2]
    found, none = np.empty((cells * cells // 2, 2), np.int64), np.empty((0, 2), np.int64)
    for b in range(len(board)):
        value[b] = np.nan
        if ended[b]:
            continue
        grid, at, wide = _frame(board[b], margin)
        scratch, tiles_left = _scratch(grid), np.count_nonzero(board[b])
        for i in range(_pairs(grid, at, wide, max_bends, scratch, -1, found)):
            first, second = found[i]
            kind = grid[at[first]]
            grid[at[first]] = grid[at[second]] = 0
            left = _pairs(grid, at, wide, max_bends, scratch, -1, none)
            grid[at[first]] = grid[at[second]] = kind
            worth = 2.0 if tiles_left == 2 else 1.0 + left / cells
            value[b, first * cells + second] = value[b, second * cells + first] = worth


class ShisenSho(core.Game):
    """Shisen-Sho on any board from 2x2 to 16x16."""

    name = "ShisenSho"
    version = 2
    level_type: ClassVar[type[core.Level]] = LevelShisenSho
    LEVELS = MappingProxyType(
        {
            "easy": LevelShisenSho(rows=4, cols=4, colours=4, shapes=4, max_steps=30),
            "normal": LevelShisenSho(max_steps=60),
            "hard": LevelShisenSho(rows=10, cols=10),
            "paper6": LevelShisenSho(),
            "paper8": LevelShisenSho(rows=8, cols=8),
            "paper12": LevelShisenSho(rows=12, cols=12),
            "tiny": LevelShisenSho(rows=4, cols=4, colours=4, shapes=4, max_steps=16),
        }
    )

    sources: ClassVar[tuple[str, ...]] = (
        "Shisen-Sho, https://en.wikipedia.org/wiki/Shisen-Sho",
        "L. Chen et al., G1: Bootstrapping Perception and Reasoning Abilities of Vision-Language Model via Reinforcement "
        "Learning (2025), https://arxiv.org/abs/2505.13426",
    )

    def n_actions(self, level: core.Level) -> int:
        """One for each ordered pair of cells: ``(rows * cols) ** 2``; most are illegal."""
        lv = cast(LevelPairs, level)
        return (lv.rows * lv.cols) ** 2

    def reset(self, level: core.Level, seeds: NDArray[np.uint64]) -> State:
        """Fresh games, one per seed; each has a joinable pair, unless 64 deals had none and it starts ended."""
        lv = cast(LevelPairs, level)
        seeds = np.ascontiguousarray(seeds, np.uint64)
        board, terminated = np.zeros((len(seeds), lv.rows, lv.cols), np.uint8), np.zeros(len(seeds), bool)
        _reset(board, terminated, seeds, lv.copies, self._types(lv), lv.max_bends, lv.margin, MAX_DEALS)
        return self._deal(lv, board, seeds, terminated)

    def _types(self, level: core.Level) -> NDArray[np.uint8]:
        """Board values that the types of a deal are chosen from."""
        lv = cast(LevelShisenSho, level)
        return tile_types(lv.colours, lv.shapes)

    def _names(self, level: core.Level) -> tuple[str, ...]:
        """Text of each board value."""
        return NAMES[cast(LevelShisenSho, level).tiles]

    def _deal(
        self, level: core.Level, board: NDArray[np.uint8], seeds: NDArray[np.uint64], terminated: NDArray[np.bool_]
    ) -> State:
        return self.start(level, board, seeds, terminated=terminated)

    def legal(self, state: State) -> NDArray[np.bool_]:
        """See :class:`vlmgym.core.Game`."""
        lv = cast(LevelPairs, state.level)
        legal = np.zeros((len(state), self.n_actions(lv)), bool)
        _legal(state.board, state.ended, lv.max_bends, lv.margin, legal)
        return legal

    def _step(self, state: State, actions: NDArray[np.int64]) -> tuple[State, Outcome]:
        lv, ended = cast(LevelPairs, state.level), state.ended
        board, gain, terminated = state.board.copy(), np.zeros(len(state), np.int64), state.terminated.copy()
        _play(board, actions, ended, lv.max_bends, lv.margin, gain, terminated)
        new = replace(state, board=board, score=state.score + gain, steps=state.steps + ~ended, terminated=terminated)
        return new, Outcome(gain, gain > 0, terminated)

    def scene(self, state: State) -> Scene:
        """Symbol 0 is the empty cell, ``1 + 12 * colour + shape`` a tile (:data:`vlmgym.games.tiles.NAMES`)."""
        return self.view(state, state.board, self._names(state.level), KIND_OF[cast(LevelShisenSho, state.level).tiles])

    def from_symbols(self, level: core.Level, symbols: NDArray[np.int16]) -> State:
        """See :class:`vlmgym.core.Game`."""
        return self.start(level, symbols.astype(np.uint8))

    def oracle(self, state: State) -> NDArray[np.float64]:
        """``(B, A)`` mobility: 1 + (unordered pairs that can be joined afterwards) / (cells); 2 if it clears the board.

        It looks one move ahead: a high value keeps choices open, but does not prove that the board can be cleared.
        """
        lv = cast(LevelPairs, state.level)
        value = np.empty((len(state), self.n_actions(lv)))
        _oracle(state.board, state.ended, lv.max_bends, lv.margin, value)
        return value

    def encode(self, level: core.Level, action: int) -> str:
        """Such as ``"(0, 1) (2, 3)"``."""
        lv = cast(LevelPairs, level)
        first, second = divmod(action, lv.rows * lv.cols)
        return write_pair(*divmod(first, lv.cols), *divmod(second, lv.cols))

    def decode(self, level: core.Level, text: str) -> Decoded:
        """Two cells ``(row, column)``, counted from 0 at the top left; the same cell twice is an action, and an illegal one."""
        lv, pair = cast(LevelPairs, level), read_pair(text)
        if pair is None:
            return Decoded(core.NO_ACTION, "not_a_move")
        row1, col1, row2, col2 = pair
        if max(row1, row2) >= lv.rows or max(col1, col2) >= lv.cols:
            return Decoded(core.NO_ACTION, "out_of_range")
        return Decoded((row1 * lv.cols + col1) * lv.rows * lv.cols + row2 * lv.cols + col2)

    def rules(self, level: core.Level) -> str:
        """See :class:`vlmgym.core.Game`."""
        lv = cast(LevelPairs, level)
        outside = "may also run one cell outside the board" if lv.margin else "must stay on the board"
        bends = f"at most {lv.max_bends} right-angle turn{'' if lv.max_bends == 1 else 's'}" if lv.max_bends else "no turns"
        return (
            f"This is Shisen-Sho on a board of {lv.rows} rows and {lv.cols} columns. A move names two tiles; they "
            f"vanish if {self._match(lv)} and a path joins them. A path runs up, down, left "
            f"and right through empty cells, takes {bends}, and {outside}. Other moves change nothing. Tiles do not "
            f"fall. {self._writing(lv)} Empty cells are written as empty."
        )

    def _match(self, level: core.Level) -> str:
        return f"they have the same colour and the same {cast(LevelShisenSho, level).tiles[:-1]}"

    def _writing(self, level: core.Level) -> str:
        return f"A cell is written as its tile, such as {self._names(level)[1]}."

    def answer_format(self, level: core.Level) -> str:
        """See :class:`vlmgym.core.Game`."""
        return (
            "the two cells as (row, column), counted from 0 at the top left, such as (0, 1) (2, 3) for row 0, column 1 "
            "and row 2, column 3"
        )

    def explain(self, state: State, row: int, action: int) -> str:
        """Such as ``"red circle (0, 1) (2, 3) joined"``, or ``blocked``, ``differ``, ``empty``, ``same`` at the end."""
        lv, flat = cast(LevelPairs, state.level), state.board[row].ravel()
        first, second = divmod(action, len(flat))
        if first == second:
            verdict = "same"
        elif flat[first] == 0 or flat[second] == 0:
            verdict = "empty"
        elif flat[first] != flat[second]:
            verdict = "differ"
        else:
            verdict = "joined" if _joined(state.board[row], first, second, lv.max_bends, lv.margin) else "blocked"
        return f"{self._names(lv)[flat[first]]} {self.encode(lv, action)} {verdict}"

    def candidates(self, state: State, row: int) -> list[int]:
        """The first three pairs that can be joined, in reading order; fewer if there are fewer."""
        if state.ended[row]:
            return []
        lv, found = cast(LevelPairs, state.level), np.empty((3, 2), np.int64)
        grid, at, wide = _frame(state.board[row], lv.margin)
        count = _pairs(grid, at, wide, lv.max_bends, _scratch(grid), len(found), found)
        return [int(first * len(at) + second) for first, second in found[:count]]


class ShisenShoPhotos(ShisenSho):
    """Shisen-Sho with photographs: a type is a class of pictures, and each of its tiles shows another one of them."""

    name = "ShisenShoPhotos"
    version = 1
    level_type: ClassVar[type[core.Level]] = LevelShisenShoPhotos
    state_type = StatePhotos
    LEVELS = MappingProxyType(
        {
            "easy": LevelShisenShoPhotos(rows=4, cols=4, max_steps=30),
            "normal": LevelShisenShoPhotos(max_steps=60),
            "hard": LevelShisenShoPhotos(rows=10, cols=10, copies=10),
            "paper": LevelShisenShoPhotos(classes="cifar10"),
            "tiny": LevelShisenShoPhotos(rows=4, cols=4, max_steps=16),
        }
    )

    sources: ClassVar[tuple[str, ...]] = (
        *ShisenSho.sources,
        "E. Alpaydin, C. Kaynak, Optical Recognition of Handwritten Digits (1998), https://doi.org/10.24432/C50P49 (CC BY 4.0)",
        "A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images (2009), https://www.cs.toronto.edu/~kriz/cifar.html",
    )

    def _types(self, level: core.Level) -> NDArray[np.uint8]:
        return np.arange(1, len(self._names(level)), dtype=np.uint8)

    def _names(self, level: core.Level) -> tuple[str, ...]:
        return ("empty", *picture_classes(cast(LevelShisenShoPhotos, level).classes))

    def _deal(
        self, level: core.Level, board: NDArray[np.uint8], seeds: NDArray[np.uint64], terminated: NDArray[np.bool_]
    ) -> State:
        photos = np.zeros(board.shape, np.int32)
        _photos(board, seeds, photos)
        return self.start(level, board, seeds, terminated=terminated, photos=photos)

    def scene(self, state: State) -> Scene:
        """Symbol 0 is the empty cell, ``1 + class`` a photograph of that class; the variant says which one."""
        return self.view(state, state.board, self._names(state.level), "photo", cast(StatePhotos, state).photos)

    def from_symbols(self, level: core.Level, symbols: NDArray[np.int16]) -> State:
        """See :class:`vlmgym.core.Game`; the photographs are those of luck 0."""
        board = symbols.astype(np.uint8)
        return self._deal(level, board, np.zeros(len(board), np.uint64), np.zeros(len(board), bool))

    def _match(self, level: core.Level) -> str:
        return "their pictures show the same kind of thing"

    def _writing(self, level: core.Level) -> str:
        return f"A cell is written as what it shows, one of: {', '.join(self._names(level)[1:])}."
