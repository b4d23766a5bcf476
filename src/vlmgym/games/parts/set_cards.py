"""Cards of Set on a table: how they are dealt, replaced and named."""

from __future__ import annotations

import numpy as np

from vlmgym.core import draw_below
from vlmgym.core.kernels import inner, kernel
from vlmgym.games.solvers.sets import ATTRIBUTES, CARDS, THIRD, sets_with

VALUES = (
    ("1", "2", "3"),
    ("red", "green", "purple"),
    ("oval", "diamond", "squiggle"),
    ("solid", "striped", "open"),
)
"""What each attribute can be: number, colour, shape, filling."""
assert len(VALUES) == ATTRIBUTES
MOST_DEALS = 50
"""Tables that are dealt, at most, for one with the right number of sets."""
MOST_CHANGES = 400
"""Cards that are exchanged in a table, or threes that are tried in the place of a set, at most."""


def _names() -> tuple[str, ...]:
    names = ["no card"]
    for card in range(CARDS):
        number, colour, shape, filling = (
            VALUES[attribute][card // 3**attribute % 3] for attribute in range(ATTRIBUTES)
        )
        names.append(f"{number} {colour} {filling} {shape}")
    return tuple(names)


NAMES = _names()
"""Text of each board value, those of :mod:`vlmgym.games.solvers.sets`."""


@inner
def _draw_card(taken, cards, seed, step, number):
    """A card that is not taken, and the number of the next draw."""
    while True:
        card = 1 + draw_below(seed, step, number, cards)
        number += 1
        if not taken[card]:
            return card, number


@inner
def _deal_table(table, on_table, cards, wanted, seed, step, number):
    """Lay different cards with exactly the wanted number of sets: cards are exchanged as long as
    that brings the number no further away. Returns whether it was reached.

    table (places,) uint8; on_table (256,) bool, of each card; both written.
    """
    for _ in range(MOST_DEALS):
        on_table[:] = False
        table[:] = 0
        sets = 0
        for place in range(len(table)):
            card, number = _draw_card(on_table, cards, seed, step, number)
            sets += sets_with(table, on_table, card)
            table[place] = card
            on_table[card] = True
        for _ in range(MOST_CHANGES):
            if sets == wanted:
                return True
            place = draw_below(seed, step, number, len(table))
            card, number = _draw_card(on_table, cards, seed, step, number + 1)
            old = table[place]
            after = sets - sets_with(table, on_table, old)
            on_table[old] = False
            table[place] = 0
            after += sets_with(table, on_table, card)
            if abs(after - wanted) <= abs(sets - wanted):
                sets = after
            else:
                card = old
            table[place] = card
            on_table[card] = True
    return False


@inner
def _replace(table, on_table, places, cards, wanted, seed, step):
    """Lay three cards that were not on the table in the place of three, so that there are exactly
    the wanted number of sets; where many tries bring none, the whole table is dealt anew. Returns
    whether the number was reached.

    table (cells,) uint8; on_table (256,) bool; both written. places (3,) int64.
    """
    taken = np.zeros(len(on_table), np.bool_)
    for cell in range(len(table)):
        taken[table[cell]] = True
    for place in places:
        table[place] = 0
    on_table[:] = False
    for cell in range(len(table)):
        on_table[table[cell]] = True
    left = 0
    for cell in range(len(table)):
        if table[cell]:
            left += sets_with(table, on_table, table[cell])
    left //= 3
    number = 0
    for _ in range(MOST_CHANGES):
        sets = left
        for place in places:
            card, number = _draw_card(taken, cards, seed, step, number)
            sets += sets_with(table, on_table, card)
            table[place] = card
            on_table[card] = True
            taken[card] = True
        if sets == wanted:
            return True
        for place in places:
            on_table[table[place]] = False
            taken[table[place]] = False
            table[place] = 0
    return _deal_table(table, on_table, cards, wanted, seed, step, number)


@kernel
def deal_cards(boards, seeds, cards, wanted, terminated):
    """Deal tables with exactly the wanted number of sets; where none is found, terminated.

    boards (B, cells) uint8; terminated (B,) bool; both written.
    """
    on_table = np.zeros(256, np.bool_)
    for game in range(len(boards)):
        found = _deal_table(boards[game], on_table, cards, wanted, seeds[game], 0, 0)
        terminated[game] = not found


@kernel
def take_sets(turn, actions, triples, cards, wanted):
    """Replace the three cards that are named, where they are a set; triples (A, 3) int64."""
    on_table = np.zeros(256, np.bool_)
    cells = turn.board.shape[1] * turn.board.shape[2]
    for game in range(len(turn.board)):
        if turn.over[game] or actions[game] < 0:
            continue
        table = turn.board[game].reshape(cells)
        places = triples[actions[game]]
        if THIRD[table[places[0]], table[places[1]]] != table[places[2]]:
            continue
        step = turn.steps[game] + 1  # the draws of turn 0 belong to the deal
        found = _replace(table, on_table, places, cards, wanted, turn.seeds[game], step)
        turn.gain[game] = 1
        turn.changed[game] = True
        turn.terminated[game] = not found
