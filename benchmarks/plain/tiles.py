"""The plain games with tiles: 2048, Shisen-Sho (also with photographs), Swap."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plain.base import GREY, PAPER, Cell, Face, Plain
from vlmgym.games.parts.actions import STEPS
from vlmgym.games.parts.tile_kinds import NAMES, picture_classes, tile_types
from vlmgym.render.photos import photographs


class Plain2048(Plain):
    """2048; the board holds the numbers themselves."""

    def __init__(self, level: Any, board: NDArray[np.uint8], seed: int = 0) -> None:
        super().__init__(level, board, seed)
        self.board = np.where(self.board > 0, 2**self.board, 0)

    def _deal(self) -> None:
        self.board[:] = 0
        for _ in range(self.level.start_tiles):
            self._spawn()
        self.terminated = not self.legal()

    def _spawn(self) -> None:
        value = 4 if self.rng.random() < self.level.four_prob else 2
        empty = np.argwhere(self.board == 0)
        r, c = empty[self.rng.integers(len(empty))]
        self.board[r, c] = value

    def _moved(self, action: int) -> tuple[NDArray[np.int64], int]:
        """The board after a slide, and its score: turned so that the tiles slide to the left."""
        turns = (1, 2, 3, 0)[action]
        board, gain = np.rot90(self.board, turns).copy(), 0
        for line in board:
            tiles, merged = [int(v) for v in line if v], []
            while tiles:
                tile = tiles.pop(0)
                if tiles and tiles[0] == tile:
                    tile += tiles.pop(0)
                    gain += tile
                merged.append(tile)
            line[:] = merged + [0] * (len(line) - len(merged))
        return np.rot90(board, -turns), gain

    def _play(self, action: int) -> int:
        board, gain = self._moved(action)
        if not np.array_equal(board, self.board):
            self.board = board.copy()
            self._spawn()
            self.terminated = bool(self.board.all()) and not self.legal()
        return gain

    def _legal(self) -> list[int]:
        return [a for a in range(4) if not np.array_equal(self._moved(a)[0], self.board)]

    def _name(self, value: int) -> str:
        return str(value)

    def _face(self, cell: Cell) -> Face:
        value = int(self.board[cell])
        step = value.bit_length()
        return (
            ((250 - 10 * step, 230 - 6 * step, 60 + 9 * step), str(value), "black")
            if value
            else (GREY, "", "")
        )


class Tiles(Plain):
    """What games with coloured tiles share: 0 = empty, 1 + 12 * colour + form = a tile."""

    def _types(self) -> list[int]:
        """The types that a deal is made from."""
        return tile_types(self.level.colours, self.level.shapes).tolist()

    def _name(self, value: int) -> str:
        return NAMES[self.level.tiles][value]

    def _face(self, cell: Cell) -> Face:
        colour, _, form = self._name(int(self.board[cell])).partition(" ")
        return (PAPER, form, colour) if form else (GREY, "", "")


class PlainShisenSho(Tiles):
    """Shisen-Sho."""

    def __init__(self, level: Any, board: NDArray[np.uint8], seed: int = 0) -> None:
        self.actions = board.size**2
        super().__init__(level, board, seed)

    def _deal(self) -> None:
        types = self.rng.choice(self._types(), self.board.size // self.level.copies, replace=False)
        self.board = self.rng.permutation(np.repeat(types, self.level.copies)).reshape(
            self.rows, self.cols
        )
        self.terminated = not any(True for _ in self._pairs())

    def _joined(self, a: int, b: int) -> bool:
        """Whether a path joins two equal tiles: straight runs from all places reached so far, one
        more bend each time.
        """
        one, other, margin = divmod(a, self.cols), divmod(b, self.cols), self.level.margin
        if a == b or not self.board[one] or self.board[one] != self.board[other]:
            return False
        reached, seen = {one}, {one}
        for _ in range(self.level.max_bends + 1):
            ahead = set()
            for r, c in reached:
                for dr, dc in STEPS:
                    i, j = r + dr, c + dc
                    while -margin <= i < self.rows + margin and -margin <= j < self.cols + margin:
                        if (i, j) == other:
                            return True
                        if self._inside(i, j) and self.board[i, j]:
                            break
                        ahead.add((i, j))
                        i, j = i + dr, j + dc
            reached = ahead - seen
            seen |= reached
        return False

    def _pairs(self) -> Iterator[tuple[int, int]]:
        """The joinable pairs of cells, one after the other."""
        flat = self.board.ravel()
        for kind in np.unique(flat[flat > 0]):
            for a, b in combinations(np.flatnonzero(flat == kind).tolist(), 2):
                if self._joined(a, b):
                    yield a, b

    def _play(self, action: int) -> int:
        a, b = divmod(action, self.board.size)
        if not self._joined(a, b):
            return 0
        self.board.flat[[a, b]] = 0
        self.terminated = not any(True for _ in self._pairs())
        return 1

    def _legal(self) -> list[int]:
        return [
            action
            for a, b in self._pairs()
            for action in (a * self.board.size + b, b * self.board.size + a)
        ]


class PlainPhotos(PlainShisenSho):
    """Shisen-Sho with photographs; each tile has a number, which picks one of its class."""

    def __init__(
        self, level: Any, board: NDArray[np.uint8], seed: int = 0, photos: Any = None
    ) -> None:
        super().__init__(level, board, seed)
        self.classes, self.photos = picture_classes(level.classes), np.array(photos)

    def _types(self) -> list[int]:
        return list(range(1, len(self.classes) + 1))

    def _deal(self) -> None:
        super()._deal()
        self.photos = self.rng.integers(1 << 20, size=self.board.shape)

    def _name(self, value: int) -> str:
        return self.classes[value - 1] if value else "empty"

    def _face(self, cell: Cell) -> Face:
        kind, source = int(self.board[cell]) - 1, photographs("auto", self.classes)
        if kind < 0:
            return GREY, "", ""
        return (
            PAPER,
            source.load("train", kind, int(self.photos[cell]) % source.counts["train"][kind]),
            "",
        )


@cache
def _swaps(rows: int, cols: int) -> list[tuple[Cell, Cell]]:
    """The two cells of each action."""
    across = [((r, c), (r, c + 1)) for r in range(rows) for c in range(cols - 1)]
    return across + [((r, c), (r + 1, c)) for r in range(rows - 1) for c in range(cols)]


class PlainSwap(Tiles):
    """Swap."""

    def __init__(self, level: Any, board: NDArray[np.uint8], seed: int = 0) -> None:
        self.actions = len(_swaps(*board.shape))
        super().__init__(level, board, seed)
        self.types = self._types()

    def _in_line(self, r: int, c: int) -> bool:
        """Whether the tile on a cell stands in a line."""
        kind = self.board[r, c]
        for dr, dc in ((0, 1), (1, 0)):
            count = 1
            for sign in (1, -1):
                i, j = r + sign * dr, c + sign * dc
                while self._inside(i, j) and self.board[i, j] == kind:
                    count, i, j = count + 1, i + sign * dr, j + sign * dc
            if kind and count >= self.level.line:
                return True
        return False

    def _lines(self) -> list[Cell]:
        return [(r, c) for r in range(self.rows) for c in range(self.cols) if self._in_line(r, c)]

    def _exchange(self, action: int) -> None:
        one, other = _swaps(self.rows, self.cols)[action]
        self.board[one], self.board[other] = self.board[other], self.board[one]

    def _allowed(self, action: int) -> bool:
        """Whether a swap makes a line; the board is left as it was."""
        one, other = _swaps(self.rows, self.cols)[action]
        if not self.board[one] or not self.board[other] or self.board[one] == self.board[other]:
            return False
        self._exchange(action)
        fits = self._in_line(*one) or self._in_line(*other)
        self._exchange(action)
        return fits

    def _new_tile(self) -> int:
        return self.types[self.rng.integers(len(self.types))]

    def _settled(self) -> bool:
        """Whether there is no line, and a swap that makes one."""
        return not self._lines() and any(self._allowed(action) for action in range(self.actions))

    def _deal(self) -> None:
        for _ in range(256):
            self.board[:] = 0
            for cell in np.ndindex(self.rows, self.cols):
                while not self.board[cell] or self._in_line(*cell):
                    self.board[cell] = self._new_tile()
            if self._settled():
                return
        self.terminated = True

    def _play(self, action: int) -> int:
        if not self._allowed(action):
            return 0
        self._exchange(action)
        gain = 0
        while gone := self._lines():
            gain += len(gone) * (1 + (len(gone) - 2))
            for cell in gone:
                self.board[cell] = 0
            for c in range(self.cols):
                left = [v for v in self.board[:, c] if v]
                self.board[:, c] = [self._new_tile() for _ in range(self.rows - len(left))] + left
        for _ in range(256):
            if self._settled():
                return gain
            self.board = self.rng.permutation(self.board.ravel()).reshape(self.rows, self.cols)
        self._deal()
        return gain

    def _legal(self) -> list[int]:
        return [action for action in range(self.actions) if self._allowed(action)]
