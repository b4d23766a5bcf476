"""Shisen-Sho: two identical tiles vanish if a path through empty cells joins them. Rules as in the published VLM-Gym."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from typing_extensions import TypeVar

from vlmgym import core
from vlmgym.core import (
    PER_CELL,
    PHOTO_STREAM,
    ConfigError,
    Decoded,
    Outcome,
    Scene,
    State,
    draw64,
    draw_below,
    mix64,
    setting,
    share,
)
from vlmgym.games.parts.actions import read_pair, write_cell, write_pair
from vlmgym.games.parts.tile_kinds import COLOURS, FORMS, KIND_OF, NAMES, PICTURE_CLASSES, WIDE, picture_classes, tile_types
from vlmgym.kernels import apart, bit_length, inner, kernel, move

MAX_DEALS = 64
"""Deals that are tried for one with a joinable pair; if none has, the game starts ended."""


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
class StatePhotos(State[LevelShisenShoPhotos]):
    """A state of Shisen-Sho with photographs; ``board`` holds 0 = empty, 1 + class."""

    # (B, rows, cols) which photograph: 16 * (number drawn for the class) + (copy 0 .. 15)
    photos: NDArray[np.int32] = field(metadata=PER_CELL)


# The board holds uint8: 0 = empty, else a type. Actions: first cell * cells + second cell.
# Paths are found on bits: the empty places of each row and column, the margin included, are one number each.
@kernel
def _sight(board, margin):
    """Room for :func:`_look`: empty places of rows and columns; next cell of a type, first of each; rows and columns of cells."""
    rows, cols = board.shape[-2:]
    after, row, col = np.empty(rows * cols, np.int64), np.empty(rows * cols, np.int64), np.empty(rows * cols, np.int64)
    for cell in range(rows * cols):
        row[cell], col[cell] = cell // cols + margin, cell % cols + margin
    return np.empty(rows + 2 * margin, np.int64), np.empty(cols + 2 * margin, np.int64), after, np.empty(256, np.int64), row, col


@inner
def _look(board, margin, sight):
    across, down, after, first = sight[:4]
    rows, cols = board.shape
    across[:] = (1 << len(down)) - 1
    down[:] = (1 << len(across)) - 1
    first[:] = -1
    cell = rows * cols
    for r in range(rows - 1, -1, -1):
        for c in range(cols - 1, -1, -1):
            cell -= 1
            kind = board[r, c]
            if kind:
                across[r + margin] ^= 1 << (c + margin)
                down[c + margin] ^= 1 << (r + margin)
                after[cell], first[kind] = first[kind], cell


@inner
def _arms(line, place):
    """The places that straight paths from ``place`` reach on a line of empty places, and ``place`` itself."""
    bit = np.int64(1) << place
    above, wall = line & -(bit << 1), bit_length(~line & (bit - 1))  # a sum carries through the empty places above
    return above & ~(above + (bit << 1)) | bit | (bit - 1) >> wall << wall


@inner
def _trunk(lines, one, other, at_one, at_other, bends):
    """Whether a straight trunk from line to line joins two tiles, each by an arm along its own line.

    ``bends`` 0 to 2: a path bends wherever the trunk does not stand on the place of the tile itself.
    """
    ways = _arms(lines[one], at_one) & _arms(lines[other], at_other)
    if bends < 2 and one != other:  # on one line the trunk is but a point of a straight path
        ends = np.int64(1) << at_one, np.int64(1) << at_other
        ways &= ends[0] | ends[1] if bends else ends[0] & ends[1]
    k = min(one, other) + 1
    while ways and k < max(one, other):
        ways &= lines[k]
        k += 1
    return ways != 0


@inner
def _far(across, r1, c1, r2, c2, bends):
    """Whether a path of up to ``bends`` bends joins two places: line after line from the first, along both axes."""
    high = len(across)
    flat, steep = np.zeros(high, np.int64), np.zeros(high, np.int64)  # places that a horizontal, a vertical line leads to
    flat[r1] = steep[r1] = 1 << c1
    for _ in range(bends + 1):
        old = flat.copy()
        for r in range(high):
            spread, swept = steep[r], 0
            while spread:
                swept |= spread
                spread = (spread << 1 | spread >> 1) & across[r] & ~swept
            flat[r] |= swept
        for sign in (1, -1):
            carry = 0
            for k in range(high):
                r = k if sign == 1 else high - 1 - k
                carry = (carry & across[r]) | old[r]
                steep[r] |= carry
    beside, over = flat[r2] & (1 << c2 + 1 | 1 << c2 >> 1), 0
    if r2 > 0:
        over |= steep[r2 - 1]
    if r2 + 1 < high:
        over |= steep[r2 + 1]
    return beside != 0 or over >> c2 & 1 != 0


@apart
def _linked(sight, a, b, bends):
    """Whether a path joins two tiles; whether they are of one type is not asked."""
    across, down, row, col = sight[0], sight[1], sight[4], sight[5]
    r1, c1, r2, c2 = row[a], col[a], row[b], col[b]
    if abs(r1 - r2) + abs(c1 - c2) == 1:
        return True
    least = min(bends, 2)
    if _trunk(across, r1, r2, c1, c2, least) or _trunk(down, c1, c2, r1, r2, least):
        return True
    return bends > 2 and _far(across, r1, c1, r2, c2, bends)


@kernel
def _joined(board, a, b, bends, margin, sight):
    """Whether cells ``a`` and ``b`` hold two tiles of one type that a path joins."""
    cols = board.shape[1]
    kind = board[a // cols, a % cols]
    if a == b or kind == 0 or board[b // cols, b % cols] != kind:
        return False
    _look(board, margin, sight)
    return _linked(sight, a, b, bends)


@apart
def _pairs(board, margin, bends, sight, most, found):
    """The first ``most`` joinable pairs in reading order as rows of ``found``; returns their number."""
    _look(board, margin, sight)
    after, cols, count = sight[2], board.shape[1], 0
    for a in range(board.size):
        if board[a // cols, a % cols]:
            b = after[a]
            while b >= 0:
                if _linked(sight, a, b, bends):
                    if count < len(found):
                        found[count, 0], found[count, 1] = a, b
                    count += 1
                    if count == most:
                        return count
                b = after[b]
    return count


@kernel
def _list_pairs(board, margin, bends, sight, most, found):
    return _pairs(board, margin, bends, sight, most, found)


@inner
def _any_pair(board, margin, bends, sight, none):
    """Whether a pair is left; most boards have two equal neighbours, which are joined at once."""
    rows, cols = board.shape
    for r in range(rows):
        for c in range(cols):
            if board[r, c] and ((r and board[r - 1, c] == board[r, c]) or (c and board[r, c - 1] == board[r, c])):
                return True
    return _pairs(board, margin, bends, sight, 1, none) > 0


@kernel
def _reset(board, terminated, seeds, copies, kinds, max_bends, margin, tries):
    rows, cols = board.shape[1:]
    cells, count = rows * cols, len(kinds)
    sight, none = _sight(board, margin), np.empty((0, 2), np.int64)
    types, flat = np.empty(count, np.uint8), np.empty(cells, np.uint8)
    for b in range(len(board)):
        number, terminated[b] = 0, True
        for _ in range(tries):
            move(types, 0, kinds, 0, count)
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
            if _any_pair(board[b], margin, max_bends, sight, none):
                terminated[b] = False
                break


@kernel
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


@kernel
def _play(board, actions, ended, max_bends, margin, gain, terminated):
    cols, cells = board.shape[2], board.shape[1] * board.shape[2]
    sight, none = _sight(board, margin), np.empty((0, 2), np.int64)
    for b in range(len(board)):
        if ended[b] or actions[b] < 0:
            continue
        first, second = actions[b] // cells, actions[b] % cells
        if _joined(board[b], first, second, max_bends, margin, sight):
            board[b, first // cols, first % cols] = 0
            board[b, second // cols, second % cols] = 0
            gain[b] = 1
            terminated[b] = not _any_pair(board[b], margin, max_bends, sight, none)


@kernel
def _legal(board, ended, max_bends, margin, legal):
    cells = board.shape[1] * board.shape[2]
    sight, found = _sight(board, margin), np.empty((cells * cells // 2, 2), np.int64)
    for b in range(len(board)):
        if not ended[b]:
            for i in range(_pairs(board[b], margin, max_bends, sight, len(found) + 1, found)):
                first, second = found[i, 0], found[i, 1]
                legal[b, first * cells + second] = legal[b, second * cells + first] = True


@kernel
def _draw_legal(board, ended, seeds, steps, number, max_bends, margin, out):
    """Draw two tiles of one type, all ordered pairs alike, until a path joins them; or one of all, if few are joined."""
    cols, cells = board.shape[2], board.shape[1] * board.shape[2]
    sight, found = _sight(board, margin), np.empty((cells * cells // 2, 2), np.int64)
    tiles, counts = np.empty(cells, np.int64), np.empty(256, np.int64)
    for b in range(len(board)):
        out[b] = -1
        if ended[b]:
            continue
        _look(board[b], margin, sight)
        counts[:] = 0
        number_of_tiles, most, cell = 0, 0, 0
        for r in range(board.shape[1]):
            for c in range(cols):
                kind = board[b, r, c]
                if kind:
                    tiles[number_of_tiles] = cell
                    number_of_tiles += 1
                    counts[kind] += 1
                    most = max(most, counts[kind])
                cell += 1
        after, first, word = sight[2], sight[3], draw64(seeds[b], steps[b], number)
        for k in range(4 * number_of_tiles):
            word = mix64(word ^ np.uint64(k))
            one = tiles[share(word >> np.uint64(32), number_of_tiles)]
            kind = board[b, one // cols, one % cols]
            skip = share(word & np.uint64(0xFFFFFFFF), most - 1)
            if skip < counts[kind] - 1:  # rarer types are drawn less often, so that all pairs are alike
                other = first[kind]
                while skip > 0 or other == one:
                    skip -= other != one
                    other = after[other]
                if _linked(sight, one, other, max_bends):
                    out[b] = one * cells + other
                    break
        if out[b] < 0:
            total = _pairs(board[b], margin, max_bends, sight, len(found) + 1, found)
            if total:
                k = draw_below(seeds[b], steps[b], number + 1, 2 * total)
                out[b] = found[k // 2, k % 2] * cells + found[k // 2, 1 - k % 2]


@kernel
def _try(board, ended, actions, max_bends, margin, good):
    cells = board.shape[1] * board.shape[2]
    sight = _sight(board, margin)
    for b in range(len(board)):
        _look(board[b], margin, sight)
        flat = board[b].reshape(cells)
        for k in range(actions.shape[1]):
            one, other = actions[b, k] // cells, actions[b, k] % cells
            good[b, k] = False
            if not ended[b] and actions[b, k] >= 0 and one != other and flat[one] and flat[one] == flat[other]:
                good[b, k] = _linked(sight, one, other, max_bends)


@kernel
def _oracle(board, ended, max_bends, margin, value):
    cols, cells = board.shape[2], board.shape[1] * board.shape[2]
    sight, found, none = _sight(board, margin), np.empty((cells * cells // 2, 2), np.int64), np.empty((0, 2), np.int64)
    value[:] = np.nan
    for b in range(len(board)):
        if ended[b]:
            continue
        left = board[b].copy()
        tiles_left = np.count_nonzero(left)
        for i in range(_pairs(left, margin, max_bends, sight, len(found) + 1, found)):
            first, second = found[i, 0], found[i, 1]
            kind = left[first // cols, first % cols]
            left[first // cols, first % cols] = left[second // cols, second % cols] = 0
            more = _pairs(left, margin, max_bends, sight, len(found) + 1, none)
            left[first // cols, first % cols] = left[second // cols, second % cols] = kind
            worth = 2.0 if tiles_left == 2 else 1.0 + more / cells
            value[b, first * cells + second] = value[b, second * cells + first] = worth


L = TypeVar("L", bound=LevelPairs, default=Any)
S = TypeVar("S", bound=State[Any], default=Any)


class Pairs(core.Game[L, S]):
    """What both Shisen-Sho games share: all but what the tiles are."""

    @abstractmethod
    def _types(self, level: L) -> NDArray[np.uint8]:
        """Board values that the types of a deal are chosen from."""

    @abstractmethod
    def _names(self, level: L) -> tuple[str, ...]:
        """Text of each board value."""

    @abstractmethod
    def _deal(self, level: L, board: NDArray[np.uint8], seeds: NDArray[np.uint64], terminated: NDArray[np.bool_]) -> S:
        """The games of these boards at turn 0."""

    @abstractmethod
    def _match(self, level: L) -> str:
        """Which two tiles vanish, in the rules."""

    @abstractmethod
    def _writing(self, level: L) -> str:
        """How a tile is written, in the rules."""

    def n_actions(self, level: L) -> int:
        """One for each ordered pair of cells: ``(rows * cols) ** 2``; most are illegal."""
        return (level.rows * level.cols) ** 2

    def reset(self, level: L, seeds: NDArray[np.uint64]) -> S:
        """Fresh games, one per seed; each has a joinable pair, unless 64 deals had none and it starts ended."""
        seeds = np.ascontiguousarray(seeds, np.uint64)
        board, terminated = np.zeros((len(seeds), level.rows, level.cols), np.uint8), np.zeros(len(seeds), bool)
        _reset(board, terminated, seeds, level.copies, self._types(level), level.max_bends, level.margin, MAX_DEALS)
        return self._deal(level, board, seeds, terminated)

    def legal(self, state: S) -> NDArray[np.bool_]:
        """See :class:`vlmgym.core.Game`."""
        level = state.level
        legal = np.zeros((len(state), self.n_actions(level)), bool)
        _legal(state.board, state.ended, level.max_bends, level.margin, legal)
        return legal

    def draw_legal(self, state: S, number: int = core.LEGAL_STREAM) -> NDArray[np.int64]:
        """See :class:`vlmgym.core.Game`; pairs are drawn until one is joined, which is as uniform and far faster."""
        level = state.level
        out = np.empty(len(state), np.int64)
        _draw_legal(state.board, state.ended, state.seed, state.steps, number, level.max_bends, level.margin, out)
        return out

    def _try(self, state: S, actions: NDArray[np.int64]) -> NDArray[np.bool_]:
        level = state.level
        good = np.empty(actions.shape, bool)
        _try(state.board, state.ended, actions, level.max_bends, level.margin, good)
        return good

    def _step(self, state: S, actions: NDArray[np.int64]) -> tuple[S, Outcome]:
        level = state.level
        ended = state.ended
        board, gain, terminated = state.board.copy(), np.zeros(len(state), np.int64), state.terminated.copy()
        _play(board, actions, ended, level.max_bends, level.margin, gain, terminated)
        new = replace(state, board=board, score=state.score + gain, steps=state.steps + ~ended, terminated=terminated)
        return new, Outcome(gain, gain > 0, terminated)

    def oracle(self, state: S) -> NDArray[np.float64]:
        """``(B, A)`` mobility: 1 + (unordered pairs that can be joined afterwards) / (cells); 2 if it clears the board.

        It looks one move ahead: a high value keeps choices open, but does not prove that the board can be cleared.
        """
        level = state.level
        value = np.empty((len(state), self.n_actions(level)))
        _oracle(state.board, state.ended, level.max_bends, level.margin, value)
        return value

    def encode(self, level: L, action: int) -> str:
        """Such as ``"(0, 1) (2, 3)"``."""
        first, second = divmod(action, level.rows * level.cols)
        return write_pair(*divmod(first, level.cols), *divmod(second, level.cols))

    def decode(self, level: L, text: str) -> Decoded:
        """Two cells ``(row, column)``, counted from 0 at the top left; the same cell twice is an action, and an illegal one."""
        pair = read_pair(text)
        if pair is None:
            return Decoded(core.NO_ACTION, "not_a_move")
        row1, col1, row2, col2 = pair
        if max(row1, row2) >= level.rows or max(col1, col2) >= level.cols:
            return Decoded(core.NO_ACTION, "out_of_range")
        return Decoded((row1 * level.cols + col1) * level.rows * level.cols + row2 * level.cols + col2)

    def rules(self, level: L) -> str:
        """See :class:`vlmgym.core.Game`."""
        outside = "may also run one cell outside the board" if level.margin else "must stay on the board"
        bends = (
            f"at most {level.max_bends} right-angle turn{'' if level.max_bends == 1 else 's'}" if level.max_bends else "no turns"
        )
        return (
            f"This is Shisen-Sho on a board of {level.rows} rows and {level.cols} columns. A move names two tiles; they "
            f"vanish if {self._match(level)} and a path joins them. A path runs up, down, left "
            f"and right through empty cells, takes {bends}, and {outside}. Other moves change nothing. Tiles do not "
            f"fall. {self._writing(level)} Empty cells are written as empty."
        )

    def answer_format(self, level: L) -> str:
        """See :class:`vlmgym.core.Game`."""
        return (
            "the two cells as (row, column), counted from 0 at the top left, such as (0, 1) (2, 3) for row 0, column 1 "
            "and row 2, column 3"
        )

    def explain(self, state: S, row: int, action: int) -> str:
        """Such as ``"red circle (0, 1) (2, 3) joined"``, or ``blocked``, ``differ``, ``empty``, ``same`` at the end."""
        level = state.level
        flat = state.board[row].ravel()
        first, second = divmod(action, len(flat))
        if first == second:
            verdict = "same"
        elif flat[first] == 0 or flat[second] == 0:
            verdict = "empty"
        elif flat[first] != flat[second]:
            verdict = "differ"
        else:
            sight = _sight(state.board[row], level.margin)
            joined = _joined(state.board[row], first, second, level.max_bends, level.margin, sight)
            verdict = "joined" if joined else "blocked"
        return f"{self._names(level)[flat[first]]} {self.encode(level, action)} {verdict}"

    def reasoning(self, state: S, row: int, values: NDArray[np.float64]) -> tuple[str, int]:
        """Tile by tile with its right and its lower neighbour, to the first equal one.

        Such as ``"(0, 0) red circle (0, 1) blue star (1, 0) red square no; (0, 1) blue star (0, 2) blue star"``. Where no
        neighbours are equal, each tile with every later one, to the first that it can be joined with: ``"far (0, 0) red circle
        (0, 2) blue star no (0, 0) red circle (1, 1) red circle"``; equal ones that it cannot be joined with are ``blocked``.
        """
        level = state.level
        board = state.board[row]
        names, joins = self._names(level), ~np.isnan(values).reshape(board.size, board.size)
        said = list[str]()
        places = [(int(r), int(c)) for r, c in np.argwhere(board > 0)]
        for r, c in places:
            words = [write_cell(r, c), names[board[r, c]]]
            for other in ((r, c + 1), (r + 1, c)):
                if other[0] < level.rows and other[1] < level.cols:
                    words += [write_cell(*other), names[board[other]]]
                    if joins[r * level.cols + c, other[0] * level.cols + other[1]]:
                        said.append(" ".join(words))
                        return "; ".join(said), (r * level.cols + c) * board.size + other[0] * level.cols + other[1]
            said.append(" ".join([*words, "no"]))
        for number, (r, c) in enumerate(places):
            words = ["far"]
            for other in places[number + 1 :]:
                if other not in ((r, c + 1), (r + 1, c)):
                    words += [write_cell(r, c), names[board[r, c]], write_cell(*other), names[board[other]]]
                    if joins[r * level.cols + c, other[0] * level.cols + other[1]]:
                        said.append(" ".join(words))
                        return "; ".join(said), (r * level.cols + c) * board.size + other[0] * level.cols + other[1]
                    words.append("blocked" if board[other] == board[r, c] else "no")
            said.append(" ".join(words))
        return "; ".join(said), core.NO_ACTION

    def candidates(self, state: S, row: int) -> list[int]:
        """The first three pairs that can be joined, in reading order; fewer if there are fewer."""
        if state.ended[row]:
            return []
        level = state.level
        found = np.empty((3, 2), np.int64)
        board = state.board[row]
        count = _list_pairs(board, level.margin, level.max_bends, _sight(board, level.margin), len(found), found)
        return [int(first * board.size + second) for first, second in found[:count]]


class ShisenSho(Pairs[LevelShisenSho, State[LevelShisenSho]]):
    """Shisen-Sho on any board from 2x2 to 16x16."""

    name = "ShisenSho"
    version = 2
    level_type = LevelShisenSho
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

    sources = (
        "Shisen-Sho, https://en.wikipedia.org/wiki/Shisen-Sho",
        "L. Chen et al., G1: Bootstrapping Perception and Reasoning Abilities of Vision-Language Model via Reinforcement "
        "Learning (2025), https://arxiv.org/abs/2505.13426",
    )

    def _types(self, level: LevelShisenSho) -> NDArray[np.uint8]:
        """Board values that the types of a deal are chosen from."""
        return tile_types(level.colours, level.shapes)

    def _names(self, level: LevelShisenSho) -> tuple[str, ...]:
        """Text of each board value."""
        return NAMES[level.tiles]

    def _deal(
        self, level: LevelShisenSho, board: NDArray[np.uint8], seeds: NDArray[np.uint64], terminated: NDArray[np.bool_]
    ) -> State[LevelShisenSho]:
        return self.start(level, board, seeds, terminated=terminated)

    def blank(self, level: LevelShisenSho) -> State[LevelShisenSho]:
        """See :class:`vlmgym.core.Game`."""
        board = np.zeros((1, level.rows, level.cols), np.uint8)
        return self.start(level, board)

    def scene(self, state: State[LevelShisenSho]) -> Scene:
        """Symbol 0 is the empty cell, ``1 + 12 * colour + shape`` a tile (:data:`vlmgym.games.parts.tile_kinds.NAMES`)."""
        return self.view(state, state.board, self._names(state.level), KIND_OF[state.level.tiles])

    def from_symbols(self, level: LevelShisenSho, symbols: NDArray[np.int16]) -> State[LevelShisenSho]:
        """See :class:`vlmgym.core.Game`."""
        return self.start(level, symbols.astype(np.uint8))

    def _match(self, level: LevelShisenSho) -> str:
        return f"they have the same colour and the same {level.tiles[:-1]}"

    def _writing(self, level: LevelShisenSho) -> str:
        return f"A cell is written as its tile, such as {self._names(level)[1]}."


class ShisenShoPhotos(Pairs[LevelShisenShoPhotos, StatePhotos]):
    """Shisen-Sho with photographs: a type is a class of pictures, and each of its tiles shows another one of them."""

    name = "ShisenShoPhotos"
    version = 1
    level_type = LevelShisenShoPhotos
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

    sources = (
        *ShisenSho.sources,
        "E. Alpaydin, C. Kaynak, Optical Recognition of Handwritten Digits (1998), https://doi.org/10.24432/C50P49 (CC BY 4.0)",
        "A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images (2009), https://www.cs.toronto.edu/~kriz/cifar.html",
    )

    def _types(self, level: LevelShisenShoPhotos) -> NDArray[np.uint8]:
        return np.arange(1, len(self._names(level)), dtype=np.uint8)

    def _names(self, level: LevelShisenShoPhotos) -> tuple[str, ...]:
        return ("empty", *picture_classes(level.classes))

    def _deal(
        self, level: LevelShisenShoPhotos, board: NDArray[np.uint8], seeds: NDArray[np.uint64], terminated: NDArray[np.bool_]
    ) -> StatePhotos:
        photos = np.zeros(board.shape, np.int32)
        _photos(board, seeds, photos)
        return self.start(level, board, seeds, terminated=terminated, photos=photos)

    def blank(self, level: LevelShisenShoPhotos) -> StatePhotos:
        """See :class:`vlmgym.core.Game`."""
        board = np.zeros((1, level.rows, level.cols), np.uint8)
        return self.start(level, board, photos=np.zeros(board.shape, np.int32))

    def scene(self, state: StatePhotos) -> Scene:
        """Symbol 0 is the empty cell, ``1 + class`` a photograph of that class; the variant says which one."""
        return self.view(state, state.board, self._names(state.level), "photo", state.photos)

    def from_symbols(self, level: LevelShisenShoPhotos, symbols: NDArray[np.int16]) -> StatePhotos:
        """See :class:`vlmgym.core.Game`; the photographs are those of luck 0."""
        board = symbols.astype(np.uint8)
        return self._deal(level, board, np.zeros(len(board), np.uint64), np.zeros(len(board), bool))

    def _match(self, level: LevelShisenShoPhotos) -> str:
        return "their pictures show the same kind of thing"

    def _writing(self, level: LevelShisenShoPhotos) -> str:
        return f"A cell is written as what it shows, one of: {', '.join(self._names(level)[1:])}."
