"""The frontier of a minefield: hidden cells beside numbers, and the mine layouts that fit them."""

from __future__ import annotations

from math import comb
from typing import Any, NamedTuple

import numpy as np

from vlmgym.core.kernels import apart, inner

HIDDEN = 9
MINE = 10
"""Values of cells of a board, (rows, cols) uint8, beside the numbers 0 to 8."""
MAX_NODES = 2_000_000
"""Steps of the search through one connected part of the frontier; beyond them mine probabilities
are approximate.
"""
_CHOICES = np.array([[comb(cells, mines) for mines in range(9)] for cells in range(9)], np.float64)
"""Ways to lay some mines under up to 8 cells."""


# Numbers are constraints, named by their cell. Hidden cells that touch the same numbers are
# interchangeable: a group, of which only the number of mines matters. Groups that share numbers,
# directly or not, form a part.
class Numbers(NamedTuple):
    """The numbers of a board and the hidden cells around them; int64, flat over cells."""

    missing: Any  # (cells,) of a number: mines that its hidden cells hold
    hidden: Any  # (cells,) of a number: hidden cells around it
    touched: Any  # (cells, 8) of a hidden cell: the numbers around it
    touched_count: Any  # (cells,) how many of these there are


class Groups(NamedTuple):
    """The groups of hidden cells beside numbers, in reading order of their first cells; int64."""

    group_of: Any  # (cells,) of a hidden cell: its group, -1 where it touches no number
    sizes: Any  # (groups,) cells of a group
    first_cells: Any  # (groups,) first cell of a group
    around: Any  # (cells, 8) of a number: the groups around it
    around_count: Any  # (cells,) how many of these there are


class Parts(NamedTuple):
    """The parts of a frontier; int64."""

    groups: Any  # (groups,) all groups, part by part, in the order of the search
    starts: Any  # (parts + 1,) where in ``groups`` a part begins, and the end


class Layouts(NamedTuple):
    """The mine layouts of each part, counted by how many mines they have; counts are floats."""

    ways: Any  # (parts, mines + 1) float64, layouts of a part
    mass: Any  # (groups, mines + 1) float64, mines of a group in all layouts of its part together
    witness: Any  # (groups, mines + 1) int64, mines of a group in one of these layouts


@apart
def read_numbers(board):
    """The numbers of a board, and whether each could be right by itself."""
    rows, cols = board.shape
    cells = rows * cols
    missing = np.zeros(cells, np.int64)
    hidden = np.zeros(cells, np.int64)
    touched = np.empty((cells, 8), np.int64)
    touched_count = np.zeros(cells, np.int64)
    consistent = True
    for cell in range(cells):
        row = cell // cols
        column = cell % cols
        value = board[row, column]
        missing[cell] = value
        for near_row in range(max(row - 1, 0), min(row + 2, rows)):
            for near_column in range(max(column - 1, 0), min(column + 2, cols)):
                near_value = board[near_row, near_column]
                if value < HIDDEN:
                    missing[cell] -= near_value == MINE
                    hidden[cell] += near_value == HIDDEN
                elif value == HIDDEN and near_value < HIDDEN:
                    touched[cell, touched_count[cell]] = near_row * cols + near_column
                    touched_count[cell] += 1
        if value < HIDDEN:
            consistent &= 0 <= missing[cell] <= hidden[cell]
    return Numbers(missing, hidden, touched, touched_count), consistent


@inner
def _touch_the_same(numbers, cell, other):
    """Whether two hidden cells touch the same numbers."""
    count = numbers.touched_count[cell]
    if numbers.touched_count[other] != count:
        return False
    for index in range(count):
        if numbers.touched[cell, index] != numbers.touched[other, index]:
            return False
    return True


@apart
def form_groups(rows, cols, numbers):
    """The groups of the hidden cells that touch numbers."""
    cells = rows * cols
    group_of = np.full(cells, -1, np.int64)
    sizes = np.zeros(cells, np.int64)
    first_cells = np.empty(cells, np.int64)
    around = np.empty((cells, 8), np.int64)
    around_count = np.zeros(cells, np.int64)
    group_count = 0
    for cell in range(cells):
        if numbers.touched_count[cell] == 0:
            continue
        row = cell // cols
        column = cell % cols
        for near_row in range(max(row - 2, 0), row + 1):
            for near_column in range(max(column - 2, 0), min(column + 3, cols)):
                other = near_row * cols + near_column
                if other < cell and group_of[cell] < 0 and _touch_the_same(numbers, cell, other):
                    group_of[cell] = group_of[other]
        if group_of[cell] < 0:
            group_of[cell] = group_count
            first_cells[group_count] = cell
            for index in range(numbers.touched_count[cell]):
                number = numbers.touched[cell, index]
                around[number, around_count[number]] = group_count
                around_count[number] += 1
            group_count += 1
        sizes[group_of[cell]] += 1
    return Groups(group_of, sizes[:group_count], first_cells[:group_count], around, around_count)


@apart
def order_parts(numbers, groups):
    """Order the groups part by part, next those of the number that waits for the fewest."""
    cells = len(numbers.missing)
    group_count = len(groups.sizes)
    ordered = np.empty(group_count, np.int64)
    starts = np.empty(group_count + 1, np.int64)
    placed = np.zeros(group_count, np.bool_)
    waiting = groups.around_count.copy()  # of a number: groups around it that are not placed
    reached = np.empty(cells, np.int64)  # the numbers beside the groups of this part
    is_reached = np.zeros(cells, np.bool_)
    placed_count = 0
    part_count = 0
    for first in range(group_count):
        if placed[first]:
            continue
        starts[part_count] = placed_count
        reached_count = 0
        number = numbers.touched[groups.first_cells[first], 0]
        while number >= 0:
            for index in range(groups.around_count[number]):
                group = groups.around[number, index]
                if placed[group]:
                    continue
                placed[group] = True
                ordered[placed_count] = group
                placed_count += 1
                first_cell = groups.first_cells[group]
                for place in range(numbers.touched_count[first_cell]):
                    touched = numbers.touched[first_cell, place]
                    waiting[touched] -= 1
                    if not is_reached[touched]:
                        is_reached[touched] = True
                        reached[reached_count] = touched
                        reached_count += 1
            number = -1
            fewest = 9
            for index in range(reached_count):
                if 0 < waiting[reached[index]] < fewest:
                    number = reached[index]
                    fewest = waiting[number]
        part_count += 1
    starts[part_count] = placed_count
    return Parts(ordered, starts[: part_count + 1])


@apart
def count_layouts(numbers, groups, parts, part, layouts):
    """Go through all mine counts of the groups of one part, and write its row of ``layouts`` and
    those of its groups; False if that takes more than ``MAX_NODES`` steps.
    """
    order = parts.groups[parts.starts[part] : parts.starts[part + 1]]
    ways = layouts.ways[part]
    missing = numbers.missing.copy()
    hidden = numbers.hidden.copy()
    most_mines = len(ways) - 1
    last = len(order) - 1
    taken = np.empty(len(order), np.int64)  # mines of each group, down to the depth of the search
    weight = np.ones(len(order) + 1)  # layouts that the counts above a depth stand for
    taken[0] = -1
    depth = 0
    used = 0
    nodes = 0
    while depth >= 0:
        group = order[depth]
        size = groups.sizes[group]
        first_cell = groups.first_cells[group]
        if taken[depth] >= 0:
            used -= taken[depth]
            for index in range(numbers.touched_count[first_cell]):
                number = numbers.touched[first_cell, index]
                missing[number] += taken[depth]
                hidden[number] += size
        taken[depth] += 1
        if taken[depth] > size or used + taken[depth] > most_mines:
            depth -= 1
            continue
        nodes += 1
        if nodes > MAX_NODES:
            return False
        fits = True
        used += taken[depth]
        for index in range(numbers.touched_count[first_cell]):
            number = numbers.touched[first_cell, index]
            missing[number] -= taken[depth]
            hidden[number] -= size
            fits &= 0 <= missing[number] <= hidden[number]
        if not fits:
            continue
        weight[depth + 1] = weight[depth] * _CHOICES[size, taken[depth]]
        if depth < last:
            depth += 1
            taken[depth] = -1
            continue
        for index in range(len(order)):
            if ways[used] == 0.0:
                layouts.witness[order[index], used] = taken[index]
            layouts.mass[order[index], used] += weight[depth + 1] * taken[index]
        ways[used] += weight[depth + 1]
    return True
