"""Areas: cells of one colour that hang together."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vlmgym.games.parts.boards import Boards

COLOURS = ("red", "yellow", "green", "blue", "purple", "orange", "cyan", "pink", "grey")
"""Colours of areas, those that are told apart best first."""


def borders(areas: Boards) -> NDArray[np.uint8]:
    """``(B, rows, cols)``: the sides of each cell beyond which another area lies: 1 up, 2 right,
    4 down, 8 left, added up; none at the edge of the board.
    """
    sides = np.zeros(areas.shape, np.uint8)
    across = areas[:, :, 1:] != areas[:, :, :-1]
    down = areas[:, 1:] != areas[:, :-1]
    sides[:, 1:] |= down * np.uint8(1)
    sides[:, :, :-1] |= across * np.uint8(2)
    sides[:, :-1] |= down * np.uint8(4)
    sides[:, :, 1:] |= across * np.uint8(8)
    return sides
