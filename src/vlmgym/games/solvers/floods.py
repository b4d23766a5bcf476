"""Floods: the shortest plans of colours that fill a board from its top left cell."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from vlmgym.core.kernels import apart, bit_length, inner, kernel
from vlmgym.games.parts.boards import MOVE_STEPS

WORD = 62
"""Areas that are noted in one number, a bit each."""
DEEPEST = 200
"""Moves of the longest plan that is searched for: more than the cells of any board."""
LOOKED_AHEAD = 3
"""Moves that are looked ahead on boards that are too large for an exact search."""
TABLE_BITS = 16
"""The table of a search has two to this power of places, or less on small boards."""


# A board (rows, cols) uint8 holds colours, counted from 0. Cells of one colour that hang together
# are an area; area 0 is that of the top left cell. A set of areas is (words,) int64, of which each
# word has WORD bits. What a player has flooded is a set of areas, and so is its shore: the areas
# next to it. A move with a colour adds the areas of that colour on the shore.
class Areas(NamedTuple):
    """The areas of a board."""

    neighbours: Any  # (areas, words) int64, the areas next to each
    of_colour: Any  # (colours, words) int64, the areas of each colour


@apart
def areas_of(board, colours):
    """The areas of a board, numbered by their first cells in reading order."""
    rows, cols = board.shape
    number = np.full(rows * cols, -1, np.int64)
    stack = np.empty(rows * cols, np.int64)
    count = 0
    for first in range(rows * cols):
        if number[first] >= 0:
            continue
        number[first] = count
        stack[0] = first
        waiting = 1
        while waiting:
            waiting -= 1
            cell = stack[waiting]
            for move in range(4):
                row = cell // cols + MOVE_STEPS[move, 0]
                column = cell % cols + MOVE_STEPS[move, 1]
                if not (0 <= row < rows and 0 <= column < cols):
                    continue
                other = row * cols + column
                same = board[row, column] == board[cell // cols, cell % cols]
                if same and number[other] < 0:
                    number[other] = count
                    stack[waiting] = other
                    waiting += 1
        count += 1
    words = (count + WORD - 1) // WORD
    neighbours = np.zeros((count, words), np.int64)
    of_colour = np.zeros((colours, words), np.int64)
    for cell in range(rows * cols):
        row = cell // cols
        column = cell % cols
        area = number[cell]
        of_colour[board[row, column], area // WORD] |= np.int64(1) << (area % WORD)
        for move in range(4):
            row = cell // cols + MOVE_STEPS[move, 0]
            column = cell % cols + MOVE_STEPS[move, 1]
            if 0 <= row < rows and 0 <= column < cols:
                other = number[row * cols + column]
                if other != area:
                    neighbours[area, other // WORD] |= np.int64(1) << (other % WORD)
    return Areas(neighbours, of_colour)


@inner
def _copy(source, target):
    for word in range(len(source)):
        target[word] = source[word]


@apart
def _add(areas, flooded, shore, added):
    """Flood areas of the shore, and note what is the shore then."""
    words = len(flooded)
    for word in range(words):
        flooded[word] |= added[word]
    for word in range(words):
        left = added[word]
        while left:
            lowest = left & -left
            left ^= lowest
            area = word * WORD + bit_length(lowest) - 1
            for other in range(words):
                shore[other] |= areas.neighbours[area, other]
    for word in range(words):
        shore[word] &= ~flooded[word]


@apart
def _on_shore(areas, flooded, shore, colour, added):
    """The areas of a colour on the shore, in ``added``. Returns 0 where there is none, 2 where
    these are all areas of the colour that are left, else 1.
    """
    some = False
    all_of_it = True
    for word in range(len(flooded)):
        left = areas.of_colour[colour, word] & ~flooded[word]
        added[word] = left & shore[word]
        some |= added[word] != 0
        all_of_it &= added[word] == left
    return (2 if all_of_it else 1) if some else 0


@inner
def _is_empty(areas):
    union = np.int64(0)
    for word in range(len(areas)):
        union |= areas[word]
    return union == 0


@inner
def _count(areas):
    """How many areas a set has."""
    count = 0
    for word in range(len(areas)):
        left = areas[word]
        while left:
            left &= left - 1
            count += 1
    return count


@apart
def least_moves(areas, flooded, shore, most, scratch):
    """A bound of the moves that fill the board, which is never too large; counted up to ``most``
    + 1.

    A colour all areas of which are on the shore takes one move, and taking it at once loses
    nothing: it must be taken some time, and no more of it will come. Where there is no such colour,
    one move floods some of the shore, so flooding all of it is no fewer areas.

    scratch (3, words) int64.
    """
    here = scratch[0]
    coast = scratch[1]
    added = scratch[2]
    _copy(flooded, here)
    _copy(shore, coast)
    moves = 0
    while moves <= most and not _is_empty(coast):
        found = False
        for colour in range(len(areas.of_colour)):
            if _on_shore(areas, here, coast, colour, added) == 2:
                _add(areas, here, coast, added)
                moves += 1
                found = True
        if not found:
            _copy(coast, added)
            _add(areas, here, coast, added)
            moves += 1
    return min(moves, most + 1)


class Table(NamedTuple):
    """What searches of one board have found not to be enough; newer entries replace older ones."""

    board: Any  # (places,) int64, the number of the board
    moves: Any  # (places,) int64, with so many moves left it cannot be filled
    flooded: Any  # (places, words) int64, the set of areas


@apart
def _place(flooded, places):
    """Where a set of areas is kept."""
    mixed = np.uint64(0)
    for word in range(len(flooded)):
        mixed = (mixed ^ np.uint64(flooded[word])) * np.uint64(0x9E3779B97F4A7C15)
        mixed ^= mixed >> np.uint64(29)
    return np.int64(mixed & np.uint64(places - 1))


@inner
def _is_known(table, place, board, flooded, moves):
    different = table.board[place] != board or table.moves[place] < moves
    for word in range(len(flooded)):
        different |= table.flooded[place, word] != flooded[word]
    return not different


class Path(NamedTuple):
    """Where a search stands, by its depth."""

    flooded: Any  # (DEEPEST, words) int64
    shore: Any  # (DEEPEST, words) int64
    colour: Any  # (DEEPEST,) int64, the next colour to try
    last: Any  # (DEEPEST,) int64, the last colour to try
    scratch: Any  # (3, words) int64


@apart
def can_fill(areas, path, moves, table, board):
    """Whether the board can be filled in so many moves from the set at depth 0 of the path.

    Depth first, with the bound of :func:`least_moves`; a colour that can be finished is the only
    one tried, as it loses nothing.
    """
    colours = len(areas.of_colour)
    depth = 0
    entering = True
    while depth >= 0:
        flooded = path.flooded[depth]
        shore = path.shore[depth]
        left = moves - depth
        if entering:
            if _is_empty(shore):
                return True
            place = _place(flooded, len(table.board))
            if least_moves(areas, flooded, shore, left, path.scratch) > left or _is_known(
                table, place, board, flooded, left
            ):
                depth -= 1
                entering = False
                continue
            path.colour[depth] = 0
            path.last[depth] = colours - 1
            for colour in range(colours):
                if _on_shore(areas, flooded, shore, colour, path.scratch[0]) == 2:
                    path.colour[depth] = colour
                    path.last[depth] = colour
                    break
        colour = path.colour[depth]
        if colour > path.last[depth]:
            place = _place(flooded, len(table.board))
            table.board[place] = board
            table.moves[place] = left
            _copy(flooded, table.flooded[place])
            depth -= 1
            entering = False
            continue
        path.colour[depth] += 1
        entering = False
        if _on_shore(areas, flooded, shore, colour, path.scratch[0]):
            depth += 1
            _copy(flooded, path.flooded[depth])
            _copy(shore, path.shore[depth])
            _add(areas, path.flooded[depth], path.shore[depth], path.scratch[0])
            entering = True
    return False


@inner
def _path(areas):
    """Room for a path."""
    words = areas.neighbours.shape[1]
    return Path(
        np.empty((DEEPEST, words), np.int64),
        np.empty((DEEPEST, words), np.int64),
        np.empty(DEEPEST, np.int64),
        np.empty(DEEPEST, np.int64),
        np.empty((3, words), np.int64),
    )


@inner
def _begin(areas, path):
    """The set of area 0 alone at depth 0."""
    for word in range(path.flooded.shape[1]):
        path.flooded[0, word] = word == 0
    _copy(areas.neighbours[0], path.shore[0])


@kernel
def exact_values(boards, over, value):
    """Minus the moves of a shortest plan that begins with each colour; NaN of the colour of the top
    left cell, and in games that are over.

    A colour that begins no shortest plan leaves as many moves as there were before it, for what is
    flooded then holds what was flooded before; so one bound is searched for all colours.

    boards (B, rows, cols) uint8; over (B,) bool; value (B, colours) float64, to be filled.
    """
    cells = boards.shape[1] * boards.shape[2]
    colours = value.shape[1]
    places = 1 << max(8, min(TABLE_BITS, cells // 4))
    table = Table(
        np.full(places, -1, np.int64),
        np.empty(places, np.int64),
        np.empty((places, (cells + WORD - 1) // WORD), np.int64),
    )
    for game in range(len(boards)):
        for colour in range(colours):
            value[game, colour] = np.nan
        if over[game]:
            continue
        board = boards[game]
        areas = areas_of(board, colours)
        path = _path(areas)
        flooded = path.flooded[0]
        shore = path.shore[0]
        added = path.scratch[0]
        _begin(areas, path)
        moves = least_moves(areas, flooded, shore, DEEPEST, path.scratch)
        solved = moves == 0
        while not solved:
            for colour in range(colours):
                value[game, colour] = -1.0 - moves
                _begin(areas, path)
                if not _on_shore(areas, flooded, shore, colour, added):
                    continue
                _add(areas, flooded, shore, added)
                if can_fill(areas, path, moves - 1, table, game):
                    value[game, colour] = -moves
                    solved = True
            moves += 1
        value[game, board[0, 0]] = np.nan


@kernel
def looked_ahead_values(boards, over, value):
    """Minus what is left after each colour, by looking :data:`LOOKED_AHEAD` moves ahead: the moves
    of the best line of so many, and :func:`least_moves` after it; of lines that are equal in that,
    the one with fewest areas left is better by a part of a move.

    boards (B, rows, cols) uint8; over (B,) bool; value (B, colours) float64, to be filled.
    """
    cells = boards.shape[1] * boards.shape[2]
    colours = value.shape[1]
    for game in range(len(boards)):
        for colour in range(colours):
            value[game, colour] = np.nan
        if over[game]:
            continue
        board = boards[game]
        areas = areas_of(board, colours)
        path = _path(areas)
        _begin(areas, path)
        path.colour[0] = 0
        depth = 0
        for colour in range(colours):
            value[game, colour] = -np.inf
        while depth >= 0:
            flooded = path.flooded[depth]
            shore = path.shore[depth]
            if depth == LOOKED_AHEAD or (depth > 0 and _is_empty(shore)):
                moves = depth + least_moves(areas, flooded, shore, DEEPEST, path.scratch)
                worth = -moves - (len(areas.neighbours) - _count(flooded)) / (cells + 1)
                first = path.colour[0] - 1
                value[game, first] = max(value[game, first], worth)
                depth -= 1
                continue
            colour = path.colour[depth]
            path.colour[depth] += 1
            if colour == colours:
                depth -= 1
            elif _on_shore(areas, flooded, shore, colour, path.scratch[0]) or depth == 0:
                depth += 1
                _copy(flooded, path.flooded[depth])
                _copy(shore, path.shore[depth])
                _add(areas, path.flooded[depth], path.shore[depth], path.scratch[0])
                path.colour[depth] = 0
        value[game, board[0, 0]] = np.nan
