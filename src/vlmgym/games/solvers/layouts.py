"""The tree of all layouts of a fleet: searched as a whole, or sampled.

The layouts are the leaves of a tree. The first part of a sunk ship that is not covered yet is
covered by each ship that may lie there, then the first hit; once all are covered, the other ships
are laid in open sea, the longest first. The tree is searched as a whole where that takes at most
:data:`MAX_STEPS` steps. Else random ways down the tree are taken, to :data:`SAMPLES` layouts, each
weighted by the product of the numbers of branches (D. E. Knuth, Estimating the Efficiency of
Backtrack Programs, 1975, https://doi.org/10.1090/S0025-5718-1975-0373371-6).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from vlmgym.core import draw_below
from vlmgym.core.kernels import apart, inner
from vlmgym.games.parts.ships import WORDS

MAX_STEPS = 300_000
"""Places that are tried in a search of all layouts."""
SAMPLES = 2000
"""Random ways that end at a layout."""
MOST_WAYS = 10 * SAMPLES
"""Random ways, those included that end at no layout."""
SAMPLE_SEED = 0x666C656574
"""Key of the draws of all samples: "fleet". So the values of a board are the same every time."""

ON_SUNK = 0
ON_HIT = 1
OPEN = 2
"""What a ship is laid on: parts of sunk ships alone, hits and sea, sea alone."""

TAKEN = 0
SUNK_LEFT = 2
HITS_LEFT = 4
TARGET = 6
"""First of the two words of a set of cells at a depth: where no ship may lie; parts of sunk ships,
and hits, that are to be covered; of which the ship of this depth must cover one.
"""
LYING = 0
INDEX = 1
END = 2
PLACE = 3
"""Numbers of a depth: what its ship is laid on; the index in the list where it is tried, and the
end of these; the place where it lies.
"""


class Search(NamedTuple):
    """A search of a board."""

    cells: Any  # (places, 2) uint64, see Places
    rim: Any  # (places, 2) uint64
    kind: Any  # (places,) int64
    lists: Any  # (3, places) int64: the places that are possible, by what they lie on
    starts: Any  # (3, kinds + 1) int64: where those of each kind begin
    left: Any  # (kinds,) int64: ships that are not laid yet
    sets: Any  # (depths, 8) uint64: sets of cells
    at: Any  # (depths, 4) int64: numbers
    leaves: Any  # (depths,) float64: layouts below
    credit: Any  # (places,) float64: layouts, or their weight, in which a ship lies there
    layout: Any  # (depths,) int64: the places of one layout
    sea: Any  # (2,) uint64: where no shot was fired
    parts: Any  # (256,) int64: of the ships that are known to be sunk
    options: Any  # (places,) int64: indices of a list


@inner
def _aim(search, depth, which):
    """Aim at the first cell of a set; false where it is empty."""
    first = search.sets[depth, which]
    second = search.sets[depth, which + 1]
    search.sets[depth, TARGET] = first & (~first + np.uint64(1))
    search.sets[depth, TARGET + 1] = np.uint64(0) if first else second & (~second + np.uint64(1))
    return (first | second) != 0


@apart
def _open(search, depth):
    """Say what is tried at a depth."""
    lying = OPEN
    first_kind = 0
    last_kind = len(search.left)
    if _aim(search, depth, SUNK_LEFT):
        lying = ON_SUNK
    elif _aim(search, depth, HITS_LEFT):
        lying = ON_HIT
    else:
        search.sets[depth, TARGET] = ~np.uint64(0)
        search.sets[depth, TARGET + 1] = ~np.uint64(0)
        while search.left[first_kind] == 0:
            first_kind += 1
        last_kind = first_kind + 1
    search.at[depth, LYING] = lying
    search.at[depth, INDEX] = search.starts[lying, first_kind]
    search.at[depth, END] = search.starts[lying, last_kind]
    search.leaves[depth] = 0.0


@inner
def _next_free(search, depth, index):
    """The first index from this one on of a place where the ship of a depth may lie, or the end."""
    cells = search.cells
    kind = search.kind
    left = search.left
    places = search.lists[search.at[depth, LYING]]
    end = search.at[depth, END]
    taken = search.sets[depth, TAKEN]
    taken_too = search.sets[depth, TAKEN + 1]
    target = search.sets[depth, TARGET]
    target_too = search.sets[depth, TARGET + 1]
    while index < end:
        place = places[index]
        first = cells[place, 0]
        second = cells[place, 1]
        covers = ((first & target) | (second & target_too)) != 0
        clear = ((first & taken) | (second & taken_too)) == 0
        if covers and clear and left[kind[place]] > 0:
            break
        index += 1
    return index


@apart
def _lay(search, depth, index):
    """Lay the ship of a depth at the place of this index of its list: what is known at the next
    depth.
    """
    place = search.lists[search.at[depth, LYING], index]
    search.at[depth, PLACE] = place
    search.left[search.kind[place]] -= 1
    for word in range(WORDS):
        cells = search.cells[place, word]
        for sunk_or_hits in (SUNK_LEFT + word, HITS_LEFT + word):
            uncovered = search.sets[depth, sunk_or_hits] & ~cells
            search.sets[depth + 1, sunk_or_hits] = uncovered
        taken = search.sets[depth, TAKEN + word] | search.rim[place, word]
        search.sets[depth + 1, TAKEN + word] = taken


@inner
def _covers_all(search, depth, place):
    """Whether a ship at this place leaves nothing to be covered."""
    uncovered = np.uint64(0)
    for word in range(WORDS):
        to_cover = search.sets[depth, SUNK_LEFT + word] | search.sets[depth, HITS_LEFT + word]
        uncovered |= to_cover & ~search.cells[place, word]
    return uncovered == 0


@inner
def _is_covered(search, depth):
    """Whether nothing is left to be covered at a depth."""
    uncovered = np.uint64(0)
    for word in range(WORDS):
        uncovered |= search.sets[depth, SUNK_LEFT + word] | search.sets[depth, HITS_LEFT + word]
    return uncovered == 0


@apart
def _count_last(search, depth):
    """Count the places of the last ship, and say where one is."""
    credit = search.credit
    cells = search.cells
    lying = search.at[depth, LYING]
    places = search.lists[lying]
    start = search.at[depth, INDEX]
    end = search.at[depth, END]
    taken = search.sets[depth, TAKEN]
    taken_too = search.sets[depth, TAKEN + 1]
    leaves = 0.0
    found = -1
    if lying == OPEN:
        for index in range(start, end):
            place = places[index]
            if ((cells[place, 0] & taken) | (cells[place, 1] & taken_too)) == 0:
                credit[place] += 1.0
                leaves += 1.0
                found = place
    else:
        index = _next_free(search, depth, start)
        while index < end:
            place = places[index]
            if _covers_all(search, depth, place):
                credit[place] += 1.0
                leaves += 1.0
                found = place
            index = _next_free(search, depth, index + 1)
    search.leaves[depth] = leaves
    search.at[depth, PLACE] = found


@apart
def search_all(search, ships):
    """Count all layouts; returns how many, or -1 where that takes too long."""
    depth = 0
    steps = 0
    found = False
    _open(search, 0)
    while True:
        before = search.at[depth, INDEX]
        index = search.at[depth, END]
        steps += index - before + 1
        if steps > MAX_STEPS:
            for laid in range(depth):
                search.left[search.kind[search.at[laid, PLACE]]] += 1
            for place in range(len(search.credit)):
                search.credit[place] = 0.0
            return -1.0
        if depth == ships - 1:
            _count_last(search, depth)
            if search.leaves[depth] > 0.0 and not found:
                found = True
                for ship in range(ships):
                    search.layout[ship] = search.at[ship, PLACE]
        else:
            index = _next_free(search, depth, before)
            steps += index - search.at[depth, END]
            search.at[depth, INDEX] = index + 1
        if index >= search.at[depth, END]:
            if depth == 0:
                return search.leaves[0]
            depth -= 1
            place = search.at[depth, PLACE]
            search.credit[place] += search.leaves[depth + 1]
            search.leaves[depth] += search.leaves[depth + 1]
            search.left[search.kind[place]] += 1
            continue
        _lay(search, depth, index)
        depth += 1
        _open(search, depth)
        # of equal ships in open sea each two are laid in one order only
        is_open = search.at[depth - 1, LYING] == OPEN
        if is_open and search.at[depth, END] == search.at[depth - 1, END]:
            search.at[depth, INDEX] = index + 1


@apart
def _sample_open(search, depth, way):
    """Draw all other ships in open sea, each from all places of its length; returns the weight, 0
    where they do not lie clear of each other.
    """
    cells = search.cells
    rim = search.rim
    starts = search.starts
    lists = search.lists
    left = search.left
    at = search.at
    taken = search.sets[depth, TAKEN]
    taken_too = search.sets[depth, TAKEN + 1]
    weight = 1.0
    for kind in range(len(left)):
        start = starts[OPEN, kind]
        count = starts[OPEN, kind + 1] - start
        for ship in range(left[kind]):
            if count == 0:
                return 0.0
            place = lists[OPEN, start + draw_below(SAMPLE_SEED, way, depth, count)]
            if ((cells[place, 0] & taken) | (cells[place, 1] & taken_too)) != 0:
                return 0.0
            taken |= rim[place, 0]
            taken_too |= rim[place, 1]
            weight *= count / (ship + 1)  # equal ships are drawn in any order
            at[depth, PLACE] = place
            depth += 1
    return weight


@apart
def _sample_cover(search, depth, way):
    """Draw a ship that covers what is to be covered; returns how many may, 0 where none does."""
    count = 0
    index = _next_free(search, depth, search.at[depth, INDEX])
    while index < search.at[depth, END]:
        search.options[count] = index
        count += 1
        index = _next_free(search, depth, index + 1)
    if count > 0:
        _lay(search, depth, search.options[draw_below(SAMPLE_SEED, way, depth, count)])
    return count


@apart
def sample(search, ships):
    """Take random ways down the tree; returns the sum of their weights."""
    total = 0.0
    good_ways = 0
    for way in range(MOST_WAYS):
        weight = 1.0
        depth = 0
        _open(search, 0)
        while weight > 0.0 and search.at[depth, LYING] != OPEN:
            count = _sample_cover(search, depth, way)
            weight *= count
            if count > 0:
                depth += 1
                if depth < ships:
                    _open(search, depth)
                else:
                    weight *= _is_covered(search, depth)
                    break
        if weight > 0.0 and depth < ships:
            weight *= _sample_open(search, depth, way)
        for laid in range(depth):
            search.left[search.kind[search.at[laid, PLACE]]] += 1
        if weight > 0.0:
            good_ways += 1
            total += weight
            for ship in range(ships):
                search.credit[search.at[ship, PLACE]] += weight
                search.layout[ship] = search.at[ship, PLACE]
            if good_ways == SAMPLES:
                break
    return total
