"""Habits of looking at a board: mistakes that somebody always makes, and always in the same way.

A habit changes what is believed of the board, or what is looked at and in which order. The search
itself is that of a careful player (:mod:`vlmgym.games.parts.explanations`), followed to its
conclusion, right or wrong. So no lower temperature removes the mistake, as it does where an answer
is now and then a random one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vlmgym.core import ConfigError

Cell = tuple[int, int]
"""Row and column."""


@dataclass(frozen=True)
class Habit:
    """How somebody looks at a board.

    Attributes:
        name: what it is called: ``near``.
        doc: what it does, as a part of a sentence.
        only_near: looks at nothing but neighbouring cells, and at lines along rows.
        from_left: goes through the board column by column, and slides to the left where it can.
        upper_half: takes every cell of the lower half for a free one; a middle row is seen.
        mixes_kinds: takes two kinds of tiles for one, as the game pairs them.
    """

    name: str
    doc: str
    only_near: bool = False
    from_left: bool = False
    upper_half: bool = False
    mixes_kinds: bool = False

    def believed(
        self, boards: NDArray[np.uint8], taken_for: NDArray[np.uint8]
    ) -> NDArray[np.uint8]:
        """The boards as they are taken to be.

        Args:
            boards: ``(B, rows, cols)``, 0 = free.
            taken_for: ``(values,)``, the value that each is taken for where kinds are mixed.
        """
        believed = taken_for[boards] if self.mixes_kinds else boards.copy()
        if self.upper_half:
            rows = boards.shape[1]
            believed[:, (rows + 1) // 2 :] = 0
        return believed

    def in_order(self, cells: list[Cell]) -> list[Cell]:
        """Cells, or first cells of places, in the order in which they are looked at."""
        return sorted(cells, key=lambda cell: cell[::-1]) if self.from_left else cells


CAREFUL = Habit("", "sees the whole board as it is")
"""No habit."""
HABITS: Mapping[str, Habit] = {
    habit.name: habit
    for habit in (
        Habit(
            "near",
            "looks only at neighbouring cells, in Swap only at lines along rows",
            only_near=True,
        ),
        Habit("colours", "takes two kinds of tiles for one", mixes_kinds=True),
        Habit("half", "takes the lower half of the board for free cells", upper_half=True),
        Habit(
            "left",
            "goes through the board column by column, in 2048 it slides to the left where it can",
            from_left=True,
        ),
    )
}
"""All habits by their names."""


def find_habit(name: str) -> Habit:
    """A habit by its name.

    Raises:
        ConfigError: there is none of this name.
    """
    if name not in HABITS:
        raise ConfigError("habit", name, "one of " + ", ".join(HABITS))
    return HABITS[name]
