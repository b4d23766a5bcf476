"""The description of a board: the true one, and one that a model wrote, read and scored.

Reading is linear-time on any text and never guesses: an unclear cell is *not stated*.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vlmgym.core import ConfigError, Game, Scene, State
from vlmgym.dialogue.coordinate_description import read_coordinates
from vlmgym.dialogue.description_lines import UNKNOWN as UNKNOWN
from vlmgym.dialogue.description_lines import description_lines
from vlmgym.dialogue.reply import DRESS, MODES
from vlmgym.dialogue.table_description import read_table

_EMPTY_WORDS = ("", "empty", "0", ".", "-", "_", "blank", "none")


@dataclass(frozen=True)
class Perception:
    """A description read back into a grid."""

    symbols: NDArray[np.int16]  # (rows, cols), UNKNOWN where nothing (or nothing clear) is said
    layout: str  # "rows", "coordinates" or "none"
    complete: bool  # all rows x cols cells are stated and nothing besides

    def cells(self, truth: NDArray[np.int16]) -> NDArray[np.bool_]:
        """``(rows, cols)``: which cells are right."""
        return self.symbols == truth

    def accuracy(self, truth: NDArray[np.int16]) -> float:
        """Share of cells that are right, 0 to 1."""
        return float(self.cells(truth).mean())

    def balanced(self, truth: NDArray[np.int16]) -> float:
        """How well the board was seen, each symbol counting alike: 1 = all is right, 0 = as one
        tile in all cells.

        With ``k`` symbols on the board, it is the mean over them of the share of their cells that
        are right, minus ``1 / k``, over ``1 - 1 / k``; at least ``-1 / (k - 1)``, so -1. A board of
        one symbol shows nothing that could be seen: 0.
        """
        cells_of = np.bincount(truth.ravel())  # by symbol
        right_of = np.bincount(truth[self.cells(truth)], minlength=len(cells_of))
        on_board = cells_of > 0
        symbols = np.count_nonzero(on_board)
        if symbols < 2:
            return 0.0
        shares = float((right_of[on_board] / cells_of[on_board]).sum())
        return (shares - 1) / (symbols - 1)

    def exact(self, truth: NDArray[np.int16]) -> bool:
        """Every cell is right and nothing else is claimed."""
        return self.complete and bool(self.cells(truth).all())


def read_perception(text: str | None, scene: Scene, mode: str = "strict") -> Perception:
    """Read a description of a board: rows joined by ``|``, or ``(row, col): tile`` in any order.

    What is written around a board and says nothing about it does not matter: blanks, letter case,
    Markdown's code fences and tables (with numbers as heads of the columns and rows), bullets,
    headings that end with a colon. A cell holds one tile and nothing else: ``2?`` and ``red circle
    or blue star`` are no tile. Where it is unclear which row or cell is meant, that row or cell is
    unknown, so a description is never read one place further.

    Args:
        text: content of the perception block, or None.
        scene: gives the names of the symbols and the size of the board.
        mode: ``"lenient"``: quotes, emphasis marks and a full stop around a tile are ignored.

    Raises:
        ConfigError: unknown mode. Never raises on a text.
    """
    if mode not in MODES:
        raise ConfigError("parse mode", mode, "one of " + ", ".join(MODES))
    rows, columns = scene.symbols.shape[1:]
    grid = np.full((rows, columns), UNKNOWN, np.int16)
    if text is None or not grid.size:
        return Perception(grid, "none", False)
    symbols = _symbols_by_name(scene)

    def symbol_of(tile: str) -> int:
        name = _canonical(tile)
        if mode == "lenient" and name not in symbols:
            name = name.strip(DRESS) or "?"
        return symbols.get(name, UNKNOWN)

    lines = description_lines(text)
    has_bars = any("|" in line for line in lines)
    if has_bars or (columns == 1 and "(" not in text):
        complete = read_table(lines, grid, symbol_of)
        return Perception(grid, "rows", complete)
    stated, complete = read_coordinates(lines, grid, symbol_of)
    return Perception(grid, "coordinates" if stated else "none", complete)


def _canonical(name: str) -> str:
    """A name in small letters, with one blank between words."""
    return " ".join(name.lower().split())


def _symbols_by_name(scene: Scene) -> dict[str, int]:
    """The symbols of a scene, and the words that mean an empty cell."""
    symbols = {_canonical(name): symbol for symbol, name in enumerate(scene.names)}
    for word in _EMPTY_WORDS:
        symbols.setdefault(word, 0)
    return symbols


NO_TRUTH = "the picture"
"""Stands in for the truth text of a game without symbols, so that replies stay well formed."""


def truth(game: Game, state: State, style: str = "full") -> list[str]:
    """The truth text of every row of a batch; :data:`NO_TRUTH` for a game that shows a finished
    picture.

    Prompts of the style ``"full"`` ask for rows, ``"red circle|blue star"``; the embedded tiny
    model, which the other styles are for, names each cell, ``"(0, 0) red circle (0, 1) blue
    star"``. Both are read alike.
    """
    scene = game.scene(state)
    if style == "full" or not scene.symbols.size:
        return [text or NO_TRUTH for text in scene.texts()]
    texts = []
    for board in scene.symbols.tolist():
        names = [[scene.names[symbol] for symbol in row] for row in board]
        texts.append(described(names, style))
    return texts


def described(board: Sequence[Sequence[str]], style: str = "full") -> str:
    """The truth text of a board that is given as names."""
    if style == "full":
        return "\n".join("|".join(row) for row in board)
    cells = []
    for row, names in enumerate(board):
        for column, name in enumerate(names):
            cells.append(f"({row}, {column}) {name}")
    return " ".join(cells)
