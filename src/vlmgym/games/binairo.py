"""Binairo (Takuzu): rows and columns hold 0 and 1 equally often, never three alike in a row, and no
two rows, and no two columns, are equal.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType

import numpy as np

from vlmgym.core import setting
from vlmgym.games.parts.actions import CellValues
from vlmgym.games.parts.fill_ins import GIVENS_DOC, FillIn, LevelFillIn, units_of
from vlmgym.games.solvers.fill_ins import Rules

DIGITS = ("0", "1")
SIDES = (4, 6, 8, 10)


@dataclass(frozen=True)
class LevelBinairo(LevelFillIn):
    """Rule settings of Binairo."""

    rows: int = setting(8, "board rows", choices=SIDES)
    cols: int = setting(8, "board columns, as many as rows", choices=SIDES)
    givens: int = setting(20, GIVENS_DOC, 0, 99)
    needs: str = setting(
        "counts",
        "pairs: always some cell has two equal digits beside each other next to it, or one on each "
        "side; counts: the last cells of a line that has enough of one digit are needed too; "
        "search: these do not suffice",
        choices=("pairs", "counts", "search"),
    )


@lru_cache(8)
def rules_of(side: int) -> Rules:
    """The rules on a board with sides of so many cells."""
    lines = np.array(list(units_of(side)))
    return Rules(lines, lines, values=len(DIGITS), each=side // 2)


class Binairo(FillIn):
    """Binairo on boards of 4x4 to 10x10."""

    name = "Binairo"
    version = 1
    level_type = LevelBinairo
    answers = CellValues("the digit to write there", lambda level: DIGITS)
    hints = ("no three alike", "to have as many of both")
    sources = (
        "Takuzu, https://en.wikipedia.org/wiki/Takuzu",
        "M. De Biasi, Binary Puzzle is NP-complete, https://www.nearly42.org/2013/03/",
    )
    LEVELS = MappingProxyType(
        {
            "easy": LevelBinairo(rows=6, cols=6, givens=14, needs="pairs", max_steps=44),
            "normal": LevelBinairo(max_steps=88),
            "hard": LevelBinairo(rows=10, cols=10, givens=28, needs="search", max_steps=144),
            "tiny": LevelBinairo(rows=4, cols=4, givens=7, needs="pairs", max_steps=18),
        }
    )
    RULES = (
        "This is Binairo on a board of {rows} rows and {cols} columns. Every cell must hold 0 or "
        "1. Every row and every column must hold {half} of each. No three cells beside each other "
        "in a row or column may be alike. No two rows may be equal, and no two columns. There is "
        "exactly one way to fill the board. A move writes a digit into a cell that is not given; a "
        "digit that was written before, right or wrong, may be written over. The goal is to fill "
        "the whole board correctly, in as few moves as possible. Cells are written as blank, as "
        "given 1 for a printed digit on grey, or as written 1 for a digit in blue."
    )

    def words(self, level: LevelFillIn) -> dict[str, object]:
        """How often a line holds each digit."""
        return {"half": level.rows // 2}

    def digits(self, level: LevelFillIn) -> tuple[str, ...]:
        """0 and 1."""
        return DIGITS

    def rules_of(self, side: int) -> Rules:
        """Rows and columns hold both digits equally often; no three alike; no two lines equal."""
        return rules_of(side)
