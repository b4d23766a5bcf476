"""What is to be seen of games: the one source of pixels and of the truth text."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from vlmgym.core.errors import StateError
from vlmgym.core.kernels import kernel

KINDS = ("number", "shape", "letter", "photo", "piece", "sprite", "text", "picture")
"""What symbols can be: numbers; ``colour shape``; ``colour letter``; picture classes; pieces of one
photograph, by their places in it (``piece 0,1``, ``piece 0,1 turned 90``); things such as ``wall``
and ``player``; any short words, which are drawn as written; or no symbols but a finished picture.
"""

_BAR = ord("|")
_LINE_BREAK = ord("\n")


@lru_cache(256)
def _letters(names: tuple[str, ...]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Names as UTF-8 in one array, and where each begins and the last one ends."""
    encoded = [name.encode() for name in names]
    bounds = np.cumsum([0, *map(len, encoded)])
    return np.frombuffer(b"".join(encoded), np.uint8), bounds


@kernel
def _spell(symbols, letters, bounds, text, ends):
    """Write names, ``|`` after each cell, a line break after the last of a line; ``ends`` is where
    each board's text ends.

    symbols (B, rows, cols) int16; letters (L,) uint8; bounds (names + 1,); text (bytes,) uint8;
    ends (B,).
    """
    rows, columns = symbols.shape[1:]
    length = 0
    for board in range(symbols.shape[0]):
        for row in range(rows):
            for column in range(columns):
                symbol = symbols[board, row, column]
                for index in range(bounds[symbol], bounds[symbol + 1]):
                    text[length] = letters[index]
                    length += 1
                text[length] = _BAR if column < columns - 1 else _LINE_BREAK
                length += 1
        ends[board] = length


@dataclass(frozen=True)
class Scene:
    """What is to be seen: symbols on a grid. The only source of pixels and of the truth text.

    A game without a grid (an outside environment that renders itself) has symbols of shape ``(B, 0,
    0)``, no names, the kind ``"picture"``, and its ``pixels``; it has no truth text, so
    descriptions of it are not scored.
    """

    symbols: NDArray[np.int16]  # (B, rows, cols), indices into names
    # the text of each symbol, e.g. "0", "2", "4" or "red circle"; index 0 is the empty cell
    names: tuple[str, ...]
    kind: str  # one of KINDS: which skins can draw it
    score: NDArray[np.int64]  # (B,) for looks with a score strip; no part of the truth text
    # (B,) the game belongs to the test split: photographs of the test part are shown
    test: NDArray[np.bool_]
    # (B, rows, cols) which photograph of its class a cell shows, or from which photograph a piece
    # is cut; see render
    variants: NDArray[np.int32] | None = None
    pixels: NDArray[np.uint8] | None = None  # (B, H, W, 3), kind "picture" only
    # (B, rows, cols) sides over which a drawing goes on into the neighbour, as the body of a car
    # over its cells: 1 up, 2 right, 4 down, 8 left, added up; sprites show it
    joins: NDArray[np.uint8] | None = None
    # (B, rows, cols) sides with a heavy line, as between the boxes of a Sudoku; same numbers
    lines: NDArray[np.uint8] | None = None
    # the classes of the photographs that pieces are cut from; kind "photo": its last names, if not
    # all but the first
    classes: tuple[str, ...] = ()

    @property
    def photo_classes(self) -> tuple[str, ...]:
        """The classes of the photographs that are shown; none where there are no photographs."""
        return self.names[1:] if self.kind == "photo" and not self.classes else self.classes

    def check(self) -> None:
        """See that every symbol has a name.

        Raises:
            StateError: one has none.
        """
        if not self.symbols.size:
            return
        low = self.symbols.min()
        high = self.symbols.max()
        highest = len(self.names) - 1
        if not 0 <= low <= high <= highest:
            raise StateError(f"symbols {low} to {high}: allowed are 0 to {highest}")

    def texts(self) -> list[str]:
        """The truth text of each row: board rows on lines, cells joined by ``|``; empty for a
        finished picture.
        """
        self.check()
        letters, bounds = _letters(self.names)
        longest = int(np.diff(bounds).max(initial=0))
        ends = np.empty(len(self.symbols), np.int64)
        buffer = np.empty(self.symbols.size * (longest + 1), np.uint8)
        _spell(self.symbols, letters, bounds, buffer, ends)
        spelled = buffer.tobytes()
        texts = []
        for start, end in pairwise([0, *ends.tolist()]):
            texts.append(spelled[start : end - 1].decode() if end > start else "")
        return texts
