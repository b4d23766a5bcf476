"""Ships on a sea: where each may lie, as sets of cells, and dealing a fleet.

A set of cells is two words of 64 bits: cell ``c`` is bit ``c % 64`` of word ``c // 64``.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vlmgym.core import ConfigError, draw_below, setting
from vlmgym.core.kernels import kernel
from vlmgym.games.parts.boards import GridLevel, cell_by_cell

WORDS = 2
MOST_SHIPS = 12
TRIES = 200_000
"""Fleets that are drawn for one whose ships lie clear of each other."""


class Places(NamedTuple):
    """All places of the ships of a fleet, sorted by their length, the longest first."""

    cells: Any  # (places, 2) uint64, the cells of a ship
    rim: Any  # (places, 2) uint64, those where no other may lie then
    kind: Any  # (places,) int64, which of the lengths
    first: Any  # (places,) int64, the first cell
    step: Any  # (places,) int64, from one cell to the next
    starts: Any  # (kinds + 1,) int64, where the places of each length begin
    lengths: Any  # (kinds,) int64
    counts: Any  # (kinds,) int64, ships of each length in the fleet
    around: Any  # (cells, 2) uint64: where no other ship may lie beside a part of one


@dataclass(frozen=True)
class LevelShips(GridLevel):
    """Levels with a fleet."""

    rows: int = setting(6, "board rows", 4, 10)
    cols: int = setting(6, "board columns", 4, 10)
    fleet: str = setting(
        "4,3,2",
        f"lengths of the ships, 2 to {MOST_SHIPS} of them: cells in all at most a third of the "
        "board or, where they may not touch, 2 * (length + 1) for each at most 0.6 * (rows + 1) * "
        "(cols + 1)",
    )
    adjacent: bool = setting(False, "ships may touch each other")

    def __post_init__(self) -> None:
        """Check that the fleet can be dealt.

        Raises:
            ConfigError: a field is out of range, or the fleet is no list of lengths, or has no room
                on this board.
        """
        super().__post_init__()
        words = self.fleet.split(",")
        longest = max(self.rows, self.cols)
        lengths = [int(word) for word in words if word.strip() in map(str, range(1, longest + 1))]
        if len(lengths) < len(words) or not 2 <= len(lengths) <= MOST_SHIPS:
            allowed = f"2 to {MOST_SHIPS} lengths from 1 to {longest}, joined by commas"
            raise ConfigError(f"{type(self).__name__}.fleet", self.fleet, allowed)
        taken = float(sum(lengths))
        room = self.rows * self.cols / 3
        if not self.adjacent:
            taken = sum(2 * (length + 1) for length in lengths)
            room = 0.6 * (self.rows + 1) * (self.cols + 1)
        if taken > room:
            allowed = f"fewer or shorter ships: they need {taken:g} of {room:.1f} cells"
            raise ConfigError(f"{type(self).__name__}.fleet", self.fleet, allowed)

    @property
    def lengths(self) -> tuple[int, ...]:
        """The lengths of the ships, the longest first."""
        return tuple(sorted(map(int, self.fleet.split(",")), reverse=True))

    @property
    def places(self) -> Places:
        """Where the ships may lie."""
        return places_of(self.rows, self.cols, self.lengths, self.adjacent)


def bits_of(marks: NDArray[np.bool_]) -> NDArray[np.uint64]:
    """Sets of cells as words, ``(n, 2)``.

    Args:
        marks: ``(n, cells)``.
    """
    padded = np.zeros((len(marks), 64 * WORDS), bool)
    padded[:, : marks.shape[1]] = marks
    packed = np.packbits(padded, axis=1, bitorder="little")
    words: NDArray[np.uint64] = packed.view("<u8").astype(np.uint64)
    return words


@lru_cache(64)
def places_of(rows: int, cols: int, lengths: tuple[int, ...], adjacent: bool) -> Places:
    """The places of the ships of these lengths, the longest first."""
    kinds = sorted(set(lengths), reverse=True)
    marks = list[NDArray[np.bool_]]()
    first = list[int]()
    step = list[int]()
    kind_of = list[int]()
    for kind, length in enumerate(kinds):
        for row in range(rows):
            for column in range(cols):
                for down in (False, True) if length > 1 else (False,):
                    last_row = row + down * (length - 1)
                    last_column = column + (not down) * (length - 1)
                    if last_row < rows and last_column < cols:
                        board = np.zeros((rows, cols), bool)
                        board[row : last_row + 1, column : last_column + 1] = True
                        marks.append(board)
                        first.append(row * cols + column)
                        step.append(cols if down else 1)
                        kind_of.append(kind)
    ships = np.stack(marks)
    single = np.eye(rows * cols, dtype=bool).reshape(-1, rows, cols)
    starts = np.searchsorted(kind_of, np.arange(len(kinds) + 1))
    return Places(
        bits_of(cell_by_cell(ships)),
        bits_of(cell_by_cell(_rim(ships, adjacent))),
        np.array(kind_of, np.int64),
        np.array(first, np.int64),
        np.array(step, np.int64),
        starts.astype(np.int64),
        np.array(kinds, np.int64),
        np.array([lengths.count(length) for length in kinds], np.int64),
        bits_of(cell_by_cell(_rim(single, adjacent))),
    )


def _rim(boards: NDArray[np.bool_], adjacent: bool) -> NDArray[np.bool_]:
    """Marked cells and, where ships may not touch, those around them, ``(n, rows, cols)``."""
    if adjacent:
        return boards
    rows, cols = boards.shape[1:]
    padded = np.pad(boards, ((0, 0), (1, 1), (1, 1)))
    rim = np.zeros_like(boards)
    for row in range(3):
        for column in range(3):
            rim |= padded[:, row : row + rows, column : column + cols]
    return rim


@kernel
def deal_ships(places, seeds, ships, terminated):
    """Lay a fleet on each board, every way in which it may lie being equally likely: all ships are
    drawn anew until they lie clear of each other.

    ships (B, cells) uint8 zeros: the number of the ship, from 1 on; terminated (B,) bool: no fleet
    was found.
    """
    for game in range(len(ships)):
        number = 0
        terminated[game] = True
        for _ in range(TRIES):
            taken = np.zeros(WORDS, np.uint64)
            ship = 0
            clear = True
            for kind in range(len(places.counts)):
                for _ in range(places.counts[kind]):
                    if not clear:
                        continue
                    start = places.starts[kind]
                    count = places.starts[kind + 1] - start
                    place = start + draw_below(seeds[game], 0, number, count)
                    number += 1
                    for word in range(WORDS):
                        clear = clear and not places.cells[place, word] & taken[word]
                        taken[word] |= places.rim[place, word]
                    ship += 1
                    for part in range(places.lengths[kind]):
                        cell = places.first[place] + part * places.step[place]
                        ships[game, cell] = ship
            if clear:
                terminated[game] = False
                break
            for cell in range(ships.shape[1]):
                ships[game, cell] = 0
