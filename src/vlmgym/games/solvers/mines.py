"""Mines under hidden cells: revealing cells, and the exact probability of a mine on each that is
hidden.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vlmgym.core.kernels import apart, inner, kernel
from vlmgym.games.parts.boards import Boards, Values

HIDDEN = 9
MINE = 10
"""Values of cells of a board, (rows, cols) uint8, beside the numbers 0 to 8."""
MAX_NODES = 2_000_000
"""Steps of the search through one connected part of the frontier; beyond them mine probabilities
are approximate.
"""
EXACT = 0
IMPOSSIBLE = 1
APPROXIMATE = 2
"""What probabilities are: exact; of a board that no layout fits; or approximate."""


@apart
def reveal(board, mines, cell, flood):
    """Reveal a hidden cell, and with ``flood`` all that hangs on a 0; returns how many cells
    without a mine came up.
    """
    rows, cols = board.shape
    if mines[cell // cols, cell % cols]:
        board[cell // cols, cell % cols] = MINE
        return 0
    stack = np.empty(rows * cols, np.int64)
    stack[0] = cell
    tail = 1
    opened = 0
    board[cell // cols, cell % cols] = 0  # found; its number comes when it is taken from the stack
    while tail:
        tail -= 1
        r = stack[tail] // cols
        c = stack[tail] % cols
        opened += 1
        near = 0
        for i in range(max(r - 1, 0), min(r + 2, rows)):
            for j in range(max(c - 1, 0), min(c + 2, cols)):
                near += mines[i, j]
        board[r, c] = near
        if near or not flood:
            continue
        for i in range(max(r - 1, 0), min(r + 2, rows)):
            for j in range(max(c - 1, 0), min(c + 2, cols)):
                if board[i, j] == HIDDEN:
                    board[i, j] = 0
                    stack[tail] = i * cols + j
                    tail += 1
    return opened


@inner
def safe_left(board, mines):
    """Whether a hidden cell without a mine is left."""
    rows, cols = board.shape
    for r in range(rows):
        for c in range(cols):
            if board[r, c] == HIDDEN and not mines[r, c]:
                return True
    return False


# ---- probabilities
# Numbers are constraints, named by their cell. Hidden cells that touch the same numbers are
# interchangeable: a group, of
# which only the number of mines matters. Groups that share numbers, directly or not, form a part.
@inner
def _binomials(n):
    row = np.ones(n + 1)
    for k in range(1, n + 1):
        row[k] = row[k - 1] * (n - k + 1) / k
    return row


@apart
def _convolve(a, b, out):
    """The sums of products, up to the length that all three have; ``out`` is zeros before."""
    for i in range(len(a)):
        if a[i] > 0.0:
            for j in range(len(a) - i):
                out[i + j] += a[i] * b[j]


@apart
def _groups(board, need, room, near, touched, group, size, lead, of, count):
    """Fill in the constraints and the groups.

    All arrays are flat over cells, names as in :func:`_chances`.

    Returns:
        The number of groups, and whether each number could be right by itself.
    """
    rows, cols = board.shape
    total = 0
    fine = True
    for cell in range(rows * cols):
        r = cell // cols
        c = cell % cols
        kind = board[r, c]
        need[cell] = kind
        for i in range(max(r - 1, 0), min(r + 2, rows)):
            for j in range(max(c - 1, 0), min(c + 2, cols)):
                if kind < HIDDEN:
                    need[cell] -= board[i, j] == MINE
                    room[cell] += board[i, j] == HIDDEN
                elif kind == HIDDEN and board[i, j] < HIDDEN:
                    near[cell, touched[cell]] = i * cols + j
                    touched[cell] += 1
        if kind < HIDDEN:
            fine &= 0 <= need[cell] <= room[cell]
        if touched[cell] == 0:
            continue
        for i in range(max(r - 2, 0), r + 1):
            for j in range(max(c - 2, 0), min(c + 3, cols)):
                other = i * cols + j
                if other < cell and group[cell] < 0 and touched[other] == touched[cell]:
                    same = True
                    for k in range(touched[cell]):
                        same &= near[other, k] == near[cell, k]
                    if same:
                        group[cell] = group[other]
        if group[cell] < 0:
            group[cell] = total
            lead[total] = cell
            for k in range(touched[cell]):
                number = near[cell, k]
                of[number, count[number]] = total
                count[number] += 1
            total += 1
        size[group[cell]] += 1
    return total, fine


@apart
def _parts(total, near, touched, lead, of, count, order, begin):
    """Order the groups part by part, next those of the number that waits for the fewest; returns
    the number of parts.
    """
    placed = np.zeros(total, np.bool_)
    known = np.zeros(len(near), np.bool_)
    waiting = count.copy()
    numbers = np.empty(len(near), np.int64)
    tail = 0
    parts = 0
    for first in range(total):
        if placed[first]:
            continue
        begin[parts] = tail
        found = 0
        best = near[lead[first], 0]
        while best >= 0:
            for k in range(count[best]):
                g = of[best, k]
                if placed[g]:
                    continue
                placed[g] = True
                order[tail] = g
                tail += 1
                for t in range(touched[lead[g]]):
                    number = near[lead[g], t]
                    waiting[number] -= 1
                    if not known[number]:
                        known[number] = True
                        numbers[found] = number
                        found += 1
            best = -1
            fewest = 9
            for k in range(found):
                if 0 < waiting[numbers[k]] < fewest:
                    best = numbers[k]
                    fewest = waiting[best]
        parts += 1
    begin[parts] = tail
    return parts


@apart
def _search(order, need, room, near, touched, size, lead, choose, ways, mass, witness):
    """Go through all mine counts of the groups of one part; False if that takes more than
    ``MAX_NODES`` steps.

    ``ways[m]`` counts its layouts with ``m`` mines, ``mass[g, m]`` the mines that group ``g`` has
    in them all together, ``witness[g, m]`` those that it has in one of them.
    """
    most = len(ways) - 1
    last = len(order) - 1
    i = 0
    used = 0
    nodes = 0
    take = np.empty(len(order), np.int64)
    weight = np.ones(len(order) + 1)
    take[0] = -1
    while i >= 0:
        g = order[i]
        cell = lead[g]
        if take[i] >= 0:
            used -= take[i]
            for t in range(touched[cell]):
                need[near[cell, t]] += take[i]
                room[near[cell, t]] += size[g]
        take[i] += 1
        if take[i] > size[g] or used + take[i] > most:
            i -= 1
            continue
        nodes += 1
        if nodes > MAX_NODES:
            return False
        fits = True
        used += take[i]
        for t in range(touched[cell]):
            number = near[cell, t]
            need[number] -= take[i]
            room[number] -= size[g]
            fits &= 0 <= need[number] <= room[number]
        if not fits:
            continue
        weight[i + 1] = weight[i] * choose[size[g], take[i]]
        if i < last:
            i += 1
            take[i] = -1
            continue
        for k in range(len(order)):
            if ways[used] == 0.0:
                witness[order[k], used] = take[k]
            mass[order[k], used] += weight[i + 1] * take[k]
        ways[used] += weight[i + 1]
    return True


@apart
def _density(board, left, hidden, need, room, near, touched, local, chance):
    """The fallbacks: the same probability for all hidden cells or, with ``local``, the mean of what
    their numbers say.
    """
    cols = board.shape[1]
    out = 0
    rest = np.float64(left)
    for cell in range(board.size):
        if board[cell // cols, cell % cols] != HIDDEN:
            continue
        chance[cell] = min(max(left / hidden, 0.0), 1.0)
        if not local or touched[cell] == 0:
            out += 1
            continue
        mean = 0.0
        sure = -1.0
        for t in range(touched[cell]):
            said = need[near[cell, t]] / room[near[cell, t]]
            mean += said / touched[cell]
            if said == 0.0 or said == 1.0:
                sure = said
        chance[cell] = sure if sure >= 0.0 else mean
        rest -= chance[cell]
    for cell in range(board.size):
        if local and touched[cell] == 0 and board[cell // cols, cell % cols] == HIDDEN:
            chance[cell] = min(max(rest / out, 0.0), 1.0)


@apart
def _chances(board, mines, chance, layout):
    """Fill in the probability of a mine for each hidden cell (others stay) and a mine layout that
    fits what is seen.

    Every layout with ``mines`` mines that fits is equally likely. Counts are floats; all are at
    most 2**256, so they neither overflow nor vanish, and a probability is 0.0 exactly where no
    layout has a mine.

    Returns:
        EXACT; IMPOSSIBLE (no layout fits) or APPROXIMATE (too much to search): then the layout is
        the first hidden cells.
    """
    cols = board.shape[1]
    cells = board.size
    hidden = 0
    left = mines
    for cell in range(cells):
        hidden += board[cell // cols, cell % cols] == HIDDEN
        if board[cell // cols, cell % cols] == MINE:
            left -= 1
            layout[cell // cols, cell % cols] = True
    need = np.zeros(cells, np.int64)  # of a number: mines that its hidden cells hold
    room = np.zeros(cells, np.int64)  # of a number: hidden cells around it
    near = np.empty((cells, 8), np.int64)  # of a hidden cell: the numbers around it
    touched = np.zeros(cells, np.int64)  # how many of these there are
    group = np.full(cells, -1, np.int64)  # of a hidden cell: its group
    size = np.zeros(cells, np.int64)  # of a group: its cells
    lead = np.empty(cells, np.int64)  # of a group: its first cell
    of = np.empty((cells, 8), np.int64)  # of a number: the groups around it
    count = np.zeros(cells, np.int64)  # how many of these there are
    total, fine = _groups(board, need, room, near, touched, group, size, lead, of, count)
    kind = EXACT if fine and 0 <= left <= hidden else IMPOSSIBLE
    order = np.empty(total, np.int64)
    begin = np.empty(total + 1, np.int64)
    parts = _parts(total, near, touched, lead, of, count, order, begin)
    outside = hidden - size[:total].sum()
    width = max(left, 0) + 1
    ways = np.zeros((parts, width))
    mass = np.zeros((total, width))
    witness = np.empty((total, width), np.int64)
    choose = np.zeros((9, 9))
    for n in range(9):
        for k, number in enumerate(_binomials(n)):
            choose[n, k] = number
    for p in range(parts):
        if kind == EXACT:
            some = order[begin[p] : begin[p + 1]]
            if not _search(
                some,
                need.copy(),
                room.copy(),
                near,
                touched,
                size,
                lead,
                choose,
                ways[p],
                mass,
                witness,
            ):
                kind = APPROXIMATE
            elif ways[p].sum() == 0.0:
                kind = IMPOSSIBLE
    before = np.zeros((parts + 1, width))
    after = np.zeros((parts + 1, width))
    free = np.zeros(width)
    before[0, 0] = after[parts, 0] = 1.0
    for p in range(parts):
        _convolve(before[p], ways[p], before[p + 1])
        _convolve(after[parts - p], ways[parts - 1 - p], after[parts - 1 - p])
    choices = _binomials(outside)
    for m in range(min(width, outside + 1)):
        free[m] = choices[m]
    layouts = 0.0
    outer = 0.0
    pick = -1  # mines of all parts in the layout that is filled in
    for m in range(width):
        layouts += before[parts, m] * free[width - 1 - m]
        outer += before[parts, m] * free[width - 1 - m] * (width - 1 - m)
        if pick < 0 and before[parts, m] * free[width - 1 - m] > 0.0:
            pick = m
    if kind == EXACT and layouts == 0.0:
        kind = IMPOSSIBLE
    if kind != EXACT:
        _density(
            board, left, max(hidden, 1), need, room, near, touched, kind == APPROXIMATE, chance
        )
        for cell in range(cells):
            if board[cell // cols, cell % cols] == HIDDEN and left > 0:
                layout[cell // cols, cell % cols] = True
                left -= 1
        return kind
    share = np.zeros(total)
    mined = np.zeros(total, np.int64)
    spare = left - pick
    for p in range(parts - 1, -1, -1):
        others = np.zeros(width)
        rest = np.zeros(width)
        taken = -1
        _convolve(before[p], after[p + 1], others)
        _convolve(others, free, rest)
        for m in range(width):
            if taken < 0 and ways[p, m] > 0.0 and m <= pick and before[p, pick - m] > 0.0:
                taken = m
        pick -= taken
        for k in range(begin[p], begin[p + 1]):
            g = order[k]
            mined[g] = witness[g, taken]
            for m in range(width):
                share[g] += mass[g, m] * rest[width - 1 - m] / size[g] / layouts
    for cell in range(cells):
        r = cell // cols
        c = cell % cols
        g = group[cell]
        if board[r, c] != HIDDEN:
            continue
        chance[cell] = min(share[g] if g >= 0 else outer / outside / layouts, 1.0)
        if g >= 0 and mined[g] > 0:
            layout[r, c] = True
            mined[g] -= 1
        elif g < 0 and spare > 0:
            layout[r, c] = True
            spare -= 1
    return EXACT


@kernel
def _all_chances(board, mines, skip, chance, layout, kind):
    for b in range(len(board)):
        if not skip[b]:
            kind[b] = _chances(board[b], mines, chance[b], layout[b])


@apart
def needs_no_guess(start, mines, count):
    """Whether revealing nothing but cells that are safe for sure reveals all of them."""
    board = start.copy()
    layout = np.zeros(start.shape, np.bool_)
    chance = np.empty(board.size)
    cols = board.shape[1]
    while safe_left(board, mines):
        if _chances(board, count, chance, layout) != EXACT:
            return False
        stuck = True
        for cell in range(board.size):
            if board[cell // cols, cell % cols] == HIDDEN and chance[cell] == 0.0:
                reveal(board, mines, cell, True)
                stuck = False
        if stuck:
            return False
    return True


class Study(NamedTuple):
    """What is known of boards."""

    chance: Values  # (B, cells) probability of a mine, NaN where nothing is hidden
    layout: NDArray[np.bool_]  # (B, rows, cols) mines that fit what is seen
    kind: NDArray[np.int64]  # (B,) EXACT, IMPOSSIBLE or APPROXIMATE


def study(board: Boards, mines: int, skip: NDArray[np.bool_]) -> Study:
    """Mine probabilities, layouts that fit, and how good they are.

    Args:
        board: ``(B, rows, cols)`` of numbers 0 to 8, :data:`HIDDEN` and :data:`MINE`.
        mines: on each board.
        skip: ``(B,)`` rows that are left out.
    """
    chance = np.full((len(board), board.shape[1] * board.shape[2]), np.nan)
    layout = np.zeros(board.shape, bool)
    kind = np.zeros(len(board), np.int64)
    _all_chances(board, mines, skip, chance, layout, kind)
    return Study(chance, layout, kind)
