"""Where the ships of a fleet may lie: the probability that a shot hits, from all layouts that agree
with what is known (:mod:`vlmgym.games.solvers.layouts`).
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vlmgym.core.kernels import apart, kernel
from vlmgym.games.parts.boards import Boards, Marks, Values
from vlmgym.games.parts.ships import MOST_SHIPS, WORDS, LevelShips, Places, places_of
from vlmgym.games.solvers.layouts import (
    HITS_LEFT,
    ON_HIT,
    OPEN,
    SUNK_LEFT,
    TAKEN,
    Search,
    sample,
    search_all,
)

SEA = 0
MISS = 1
HIT = 2
SUNK = 3
"""Values of cells, (rows, cols) uint8."""
EXACT = 0
SAMPLED = 1
IMPOSSIBLE = 2
"""What probabilities are: exact; from samples; or of a board that no layout fits."""


@apart
def _list_places(search):
    """List the places that are possible on this board, at the start of a search."""
    for lying in range(3):
        count = 0
        last_kind = -1
        for place in range(len(search.kind)):
            if search.kind[place] != last_kind:
                last_kind = search.kind[place]
                search.starts[lying, last_kind] = count
            off_sunk = np.uint64(0)
            off_sea = np.uint64(0)
            off_hits = np.uint64(0)
            off_both = np.uint64(0)
            for word in range(WORDS):
                cells = search.cells[place, word]
                free = search.sea[word] & ~search.sets[0, TAKEN + word]
                hits = search.sets[0, HITS_LEFT + word] & ~search.sets[0, TAKEN + word]
                off_sunk |= cells & ~search.sets[0, SUNK_LEFT + word]
                off_sea |= cells & ~free
                off_hits |= cells & ~hits
                off_both |= cells & ~(free | hits)
            is_listed = off_sunk == 0
            if lying == ON_HIT:
                is_listed = off_both == 0 and off_sea != 0 and off_hits != 0
            elif lying == OPEN:
                is_listed = off_sea == 0
            if is_listed:
                search.lists[lying, count] = place
                count += 1
        search.starts[lying, len(search.left)] = count


@apart
def _read(search, places, board, known):
    """Read a board: cells to be covered, places that are taken, ships that are left; false where
    what is known of sunk ships fits no fleet.
    """
    for word in range(WORDS):
        search.sea[word] = np.uint64(0)
        for first in (TAKEN, SUNK_LEFT, HITS_LEFT):
            search.sets[0, first + word] = np.uint64(0)
    for place in range(len(search.credit)):
        search.credit[place] = 0.0
    for ship in range(len(search.parts)):
        search.parts[ship] = 0
    for kind in range(len(search.left)):
        search.left[kind] = places.counts[kind]
    for cell in range(len(board)):
        bit = np.uint64(1) << np.uint64(cell % 64)
        word = cell // 64
        if board[cell] == SEA:
            search.sea[word] |= bit
        elif board[cell] == HIT:
            search.sets[0, HITS_LEFT + word] |= bit
        elif board[cell] == SUNK and known[cell] == 0:
            search.sets[0, SUNK_LEFT + word] |= bit
        elif board[cell] == SUNK:
            search.parts[known[cell]] += 1
            for around in range(WORDS):
                search.sets[0, TAKEN + around] |= places.around[cell, around]
    for count in search.parts:
        fits = count == 0
        for kind in range(len(search.left)):
            if count == places.lengths[kind]:
                search.left[kind] -= 1
                fits = search.left[kind] >= 0
        if not fits:
            return False
    return True


@apart
def _chances(search, places, board, known, chance, layouts):
    """Fill in the probability of a ship for each cell, and one layout; returns how good they
    are.
    """
    if not _read(search, places, board, known):
        return IMPOSSIBLE
    _list_places(search)
    ships = 0
    for count in search.left:
        ships += count
    if ships == 0:
        return IMPOSSIBLE
    kind = EXACT
    total = search_all(search, ships)
    if total < 0.0:
        kind = SAMPLED
        total = sample(search, ships)
    if total == 0.0:
        return IMPOSSIBLE
    for place in range(len(search.credit)):
        for part in range(places.lengths[search.kind[place]]):
            chance[places.first[place] + part * places.step[place]] += search.credit[place] / total
    for ship in range(ships):
        place = search.layout[ship]
        for part in range(places.lengths[search.kind[place]]):
            layouts[places.first[place] + part * places.step[place]] = ship + 1
    return kind


@kernel
def _fill_chances(search, places, boards, known, skip, chance, layouts, kinds):
    """boards, known (B, cells) uint8; chance (B, cells) zeros; layouts (B, cells) uint8 zeros."""
    for game in range(len(boards)):
        if not skip[game]:
            kinds[game] = _chances(
                search, places, boards[game], known[game], chance[game], layouts[game]
            )


def _new_search(places: Places) -> Search:
    depths = MOST_SHIPS + 1
    count = len(places.kind)
    return Search(
        places.cells,
        places.rim,
        places.kind,
        np.zeros((3, count), np.int64),
        np.zeros((3, len(places.lengths) + 1), np.int64),
        np.zeros(len(places.lengths), np.int64),
        np.zeros((depths, 8), np.uint64),
        np.zeros((depths, 4), np.int64),
        np.zeros(depths),
        np.zeros(count),
        np.zeros(depths, np.int64),
        np.zeros(WORDS, np.uint64),
        np.zeros(256, np.int64),
        np.zeros(count, np.int64),
    )


class Study(NamedTuple):
    """What is known of boards."""

    chance: Values  # (B, cells) probability of a ship, NaN where a shot was fired
    layout: Boards  # (B, rows, cols) ships that fit what is seen, from 1 on, but for known ones
    kind: NDArray[np.int64]  # (B,) EXACT, SAMPLED or IMPOSSIBLE


def study(level: LevelShips, boards: Boards, known: Boards, skip: Marks) -> Study:
    """The probability that each shot hits, and a layout that fits; the last batches are kept, as
    values and successes of one state are asked for one after the other.

    Where no layout fits, all shots are alike: the parts that were not hit, over the sea.

    Args:
        level: the size of the board, and the fleet.
        boards: ``(B, rows, cols)`` of :data:`SEA`, :data:`MISS`, :data:`HIT` and :data:`SUNK`.
        known: ``(B, rows, cols)`` numbers of sunk ships, from 1 on, where it is known which parts
            belong together; else 0.
        skip: ``(B,)`` rows that are left out.
    """
    fleet = (level.rows, level.cols, level.lengths, level.adjacent)
    kept = _study(*fleet, boards.tobytes(), known.tobytes(), skip.tobytes())
    return Study(kept.chance.copy(), kept.layout.copy(), kept.kind.copy())


@lru_cache(4)
def _study(
    rows: int,
    cols: int,
    lengths: tuple[int, ...],
    adjacent: bool,
    boards: bytes,
    known: bytes,
    skip: bytes,
) -> Study:
    places = places_of(rows, cols, lengths, adjacent)
    skipped = np.frombuffer(skip, bool)
    games = len(skipped)
    flat = np.frombuffer(boards, np.uint8).reshape(games, rows * cols)
    flat_known = np.frombuffer(known, np.uint8).reshape(games, rows * cols)
    chance = np.zeros(flat.shape)
    layouts = np.zeros(flat.shape, np.uint8)
    kinds = np.zeros(games, np.int64)
    _fill_chances(_new_search(places), places, flat, flat_known, skipped, chance, layouts, kinds)
    for game in np.flatnonzero(kinds == IMPOSSIBLE):
        sea = flat[game] == SEA
        not_hit = sum(lengths) - int((flat[game] >= HIT).sum())
        chance[game, sea] = min(max(not_hit / max(int(sea.sum()), 1), 0.0), 1.0)
    chance[(flat != SEA) | skipped[:, None]] = np.nan
    return Study(np.minimum(chance, 1.0), layouts.reshape(games, rows, cols), kinds)


def most_steps(places: Places) -> float:
    """A bound of the steps of a search of all layouts. It is reached in open sea, where the ships
    are laid one after the other; hits leave far fewer layouts.
    """
    steps = 1.25
    for kind, count in enumerate(places.counts.tolist()):
        steps *= int(places.starts[kind + 1] - places.starts[kind]) ** count
    return steps
