"""Pieces of one photograph: which photographs make a jigsaw, and what each piece of them shows.

The game knows no pictures, so that pieces count as different wherever they differ in their place.
So that nobody has to tell apart what looks the same, only photographs are taken whose pieces can
all be told apart by their content, in every turn that they may lie in.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vlmgym.core import ConfigError
from vlmgym.core.random import mix64
from vlmgym.render.sources import PARTS, PhotoError, Photographs

MOST_CELLS = 1 << 14
"""Pieces of all photographs in use, at most: their cells are kept."""
GLANCE = 8
"""Pixels of a piece's side when pieces are compared."""
DIFFERENCE = 10.0
"""Root mean square, of 255, by which two pieces differ at least."""
_NAME = re.compile(r"piece ([0-9]),([0-9])(?: turned (90|180|270))?")


class Piece(NamedTuple):
    """A piece: its place in the photograph, and its quarter turns clockwise."""

    row: int
    column: int
    turns: int


def read_piece(name: str) -> Piece:
    """The piece that a symbol's text names, such as ``piece 0,1 turned 90``.

    Raises:
        ConfigError: it names none.
    """
    match = _NAME.fullmatch(name)
    if match is None:
        allowed = "piece ROW,COLUMN, or that with turned 90, 180 or 270"
        raise ConfigError("symbol of a scene of kind piece", name, allowed)
    row, column, degrees = match.groups(default="0")
    return Piece(int(row), int(column), int(degrees) // 90)


@lru_cache(64)
def _cut(names: tuple[str, ...]) -> tuple[tuple[Piece, ...], int, int, bool]:
    """The pieces of a scene, the rows and columns of its photograph, and whether they turn."""
    pieces = tuple(read_piece(name) for name in names[1:])
    rows = 1 + max(piece.row for piece in pieces)
    columns = 1 + max(piece.column for piece in pieces)
    return pieces, rows, columns, any(piece.turns for piece in pieces)


class Jigsaws:
    """The photographs of a source that pieces are cut from.

    Args:
        source: the photographs.
        names: of the symbols, the first that of an empty cell.
        variety: photographs of a class in use, at most.
    """

    def __init__(self, source: Photographs, names: tuple[str, ...], variety: int) -> None:
        self.source = source
        self.names = names
        self.pieces, self.rows, self.columns, self.are_turned = _cut(names)
        self.pools = {part: self._pool(part, variety) for part in PARTS}
        self._fits: dict[tuple[str, int], bool] = {}
        self._chosen: dict[tuple[str, int], int] = {}
        self._last: tuple[int, Image.Image] | None = None  # the photograph that was cut last

    def _pool(self, part: str, variety: int) -> list[tuple[int, int]]:
        """Class and number of the photographs of a part that may be used, all classes in turn."""
        counts = self.source.counts[part]
        most = min(variety, max(counts))
        pool = []
        for number in range(most):
            for class_index, count in enumerate(counts):
                if number < count:
                    pool.append((class_index, number))
        return pool[: max(1, MOST_CELLS // (len(PARTS) * len(self.pieces)))]

    def __len__(self) -> int:
        """Pieces of all photographs."""
        return len(self.pieces) * sum(map(len, self.pools.values()))

    def check(self) -> None:
        """See that both parts have a photograph whose pieces can be told apart.

        Raises:
            PhotoError: one has none.
        """
        for part in PARTS:
            self._choose(part, 0)

    def ids(
        self, symbols: NDArray[np.int16], test: NDArray[np.bool_], variants: NDArray[np.int32]
    ) -> NDArray[np.int64]:
        """``(B, rows, cols)``: the number of each piece among all of all photographs, the parts one
        after the other; of empty cells any.

        Args:
            symbols: ``(B, rows, cols)``, 1 + piece.
            test: ``(B,)``, of the test part.
            variants: ``(B, rows, cols)``, see :class:`vlmgym.core.Scene`.
        """
        lucks = variants.astype(np.int64) >> 4
        different, place = np.unique(2 * lucks + test[:, None, None], return_inverse=True)
        firsts = []
        for key in different.tolist():
            part = PARTS[key & 1]
            first = len(self.pools[PARTS[0]]) if key & 1 else 0
            firsts.append(first + self._choose(part, key >> 1))
        photo = np.array(firsts, np.int64)[place].reshape(symbols.shape)
        return photo * len(self.pieces) + np.maximum(symbols - 1, 0)

    def _choose(self, part: str, luck: int) -> int:
        """The photograph of a part that luck stands for: the first from there on whose pieces can
        be told apart.
        """
        key = part, luck
        if key not in self._chosen:
            count = len(self.pools[part])
            first = mix64(luck) % count
            for step in range(count):
                number = (first + step) % count
                if self._can_be_told_apart(part, number):
                    break
            else:
                raise PhotoError(
                    f"{', '.join(self.source.names)}: none of the {count} photographs of the "
                    f"{part} part that are in use has {self.rows} x {self.columns} pieces which "
                    "all look different; allowed are other photographs, or fewer pieces"
                )
            self._chosen[key] = number
        return self._chosen[key]

    def _can_be_told_apart(self, part: str, number: int) -> bool:
        key = part, number
        if key not in self._fits:
            photo = self.source.load(part, *self.pools[part][number])
            self._fits[key] = self.least_difference(photo) >= DIFFERENCE
        return self._fits[key]

    def least_difference(self, photo: Image.Image) -> float:
        """The least root mean square by which two pieces differ, or two turns of them."""
        size = self.columns * GLANCE, self.rows * GLANCE
        box = self._box(photo, 0, 0, self.rows, self.columns)
        whole = photo.convert("RGB").resize(size, Image.Resampling.BOX, box)
        grid = np.asarray(whole, np.float32).reshape(self.rows, GLANCE, self.columns, GLANCE, 3)
        upright = grid.swapaxes(1, 2).reshape(-1, GLANCE, GLANCE, 3)
        turned = [upright]
        if self.are_turned:
            turned += [np.rot90(upright, turns, (1, 2)) for turns in (1, 2, 3)]
        glances = np.concatenate(turned).reshape(-1, GLANCE * GLANCE * 3)
        squares = (glances**2).sum(axis=1)
        distances = squares[:, None] + squares - 2 * glances @ glances.T
        np.fill_diagonal(distances, np.inf)
        return float(np.sqrt(max(distances.min(), 0) / glances.shape[1]))

    def _box(
        self, photo: Image.Image, row: int, column: int, rows: int, columns: int
    ) -> tuple[float, float, float, float]:
        """Where some pieces lie in a photograph, in pixels; its middle has the puzzle's shape."""
        side = min(photo.width / self.columns, photo.height / self.rows)
        left = (photo.width - self.columns * side) / 2 + column * side
        top = (photo.height - self.rows * side) / 2 + row * side
        right = min(left + columns * side, photo.width)
        return left, top, right, min(top + rows * side, photo.height)

    def piece(self, number: int, side: int) -> Image.Image:
        """What a piece shows, as it lies.

        Args:
            number: as of :meth:`ids`.
            side: pixels of its side.
        """
        photo_number, index = divmod(number, len(self.pieces))
        if self._last is None or self._last[0] != photo_number:
            self._last = photo_number, self._load(photo_number).convert("RGB")
        photo = self._last[1]
        row, column, turns = self.pieces[index]
        box = self._box(photo, row, column, 1, 1)
        # what is beyond the box is looked at as well, so that pieces which fit show no seam
        piece = photo.resize((side, side), Image.Resampling.BICUBIC, box)
        return piece.rotate(-90 * turns) if turns else piece

    def _load(self, photo: int) -> Image.Image:
        first_of_test = len(self.pools[PARTS[0]])
        part = PARTS[photo >= first_of_test]
        number = photo - first_of_test if photo >= first_of_test else photo
        return self.source.load(part, *self.pools[part][number])
