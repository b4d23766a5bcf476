"""Sudoku: each row, column and box holds each digit once; what is given has one solution."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from vlmgym.core import ConfigError, setting
from vlmgym.games.parts.actions import CellValues
from vlmgym.games.parts.fill_ins import GIVENS_DOC, FillIn, LevelFillIn, StateFillIn, units_of
from vlmgym.games.solvers.fill_ins import Rules

BOXES = MappingProxyType({4: (2, 2), 6: (2, 3), 9: (3, 3)})
"""Rows and columns of a box, by the rows of the board."""


@dataclass(frozen=True)
class LevelSudoku(LevelFillIn):
    """Rule settings of Sudoku."""

    rows: int = setting(
        9, "board rows, and digits: boxes of 2x2, 2x3 (rows x columns), 3x3", choices=tuple(BOXES)
    )
    cols: int = setting(9, "board columns, as many as rows", choices=tuple(BOXES))
    givens: int = setting(30, GIVENS_DOC, 0, 80)
    needs: str = setting(
        "hidden",
        "singles: always some cell has one digit left by its row, column and box; hidden: digits "
        "that have one cell left in a row, column or box are needed too; search: these do not "
        "suffice",
        choices=("singles", "hidden", "search"),
    )

    def __post_init__(self) -> None:
        """Check the board, and that boards of its size can need that much.

        Raises:
            ConfigError: a field is out of range, or does not fit the others.
        """
        super().__post_init__()
        if self.rows == 4 and self.needs != "singles":
            raise ConfigError("LevelSudoku.needs", self.needs, "singles where rows is 4")


@lru_cache(8)
def rules_of(side: int) -> Rules:
    """The rules on a board with sides of so many cells."""
    height, width = BOXES[side]
    cells = np.arange(side * side).reshape(side // height, height, side // width, width)
    boxes = cells.transpose(0, 2, 1, 3).reshape(side, side)
    units = np.array([*units_of(side), *boxes])
    return Rules(units, np.empty((0, side), np.int64), values=side, each=1)


@lru_cache(8)
def _lines(side: int) -> NDArray[np.uint8]:
    """``(side, side)``: the sides of cells on the border of a box, as in a scene."""
    height, width = BOXES[side]
    rows, columns = np.indices((side, side))
    up = rows % height == 0
    right = columns % width == width - 1
    down = rows % height == height - 1
    left = columns % width == 0
    return (up * 1 + right * 2 + down * 4 + left * 8).astype(np.uint8)


@lru_cache(8)
def digits_of(level: LevelFillIn) -> tuple[str, ...]:
    """``"1"``, ``"2"`` and so on, as many as the board has rows."""
    return tuple(map(str, range(1, level.rows + 1)))


class Sudoku(FillIn):
    """Sudoku with boxes of 2x2, 2x3 or 3x3 cells."""

    name = "Sudoku"
    version = 1
    level_type = LevelSudoku
    answers = CellValues("the digit to write there", digits_of)
    hints = ("only digit", "only place")
    sources = (
        "Sudoku, https://en.wikipedia.org/wiki/Sudoku",
        "Mathematics of Sudoku, https://en.wikipedia.org/wiki/Mathematics_of_Sudoku",
        "G. McGuire, B. Tugemann, G. Civario, There is no 16-clue Sudoku (2012), "
        "https://arxiv.org/abs/1201.0749",
    )
    LEVELS = MappingProxyType(
        {
            "easy": LevelSudoku(rows=6, cols=6, givens=18, needs="singles", max_steps=40),
            "normal": LevelSudoku(max_steps=100),
            "hard": LevelSudoku(givens=24, needs="search", max_steps=120),
            "tiny": LevelSudoku(rows=4, cols=4, givens=8, needs="singles", max_steps=20),
        }
    )
    RULES = (
        "This is Sudoku on a board of {rows} rows and {cols} columns. Heavy lines divide it into "
        "boxes of {height} rows and {width} columns. Every row, every column and every box must "
        "hold each digit from 1 to {rows} once; there is exactly one way to fill the board. A move "
        "writes a digit into a cell that is not given; a digit that was written before, right or "
        "wrong, may be written over. The goal is to fill the whole board correctly, in as few "
        "moves as possible. Cells are written as blank, as given 3 for a printed digit on grey, or "
        "as written 3 for a digit in blue."
    )

    def words(self, level: LevelFillIn) -> dict[str, object]:
        """Rows and columns of a box."""
        height, width = BOXES[level.rows]
        return {"height": height, "width": width}

    def digits(self, level: LevelFillIn) -> tuple[str, ...]:
        """``"1"``, ``"2"`` and so on."""
        return digits_of(level)

    def rules_of(self, side: int) -> Rules:
        """Rows, columns and boxes hold each digit once."""
        return rules_of(side)

    def lines(self, state: StateFillIn) -> NDArray[np.uint8]:
        """Heavy lines around the boxes."""
        side = state.level.rows
        return np.broadcast_to(_lines(side), (len(state), side, side))
