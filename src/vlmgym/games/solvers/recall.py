"""Pairs of cards that lie face down: how long each is waited for, by who forgets nothing.

Somebody who remembers all cards knows ``known`` pairs (both cards were shown), ``single`` cards
(their partners were not shown), and ``unseen`` cards; every layout of these is equally likely. A
move turns two cards over. A pair costs one for each turn until it is found, so the cost of a board
is the sum over its pairs of the turns until each is found.

Whoever knows a pair takes it: to put it off costs one, and saves one only if the other move finds a
pair for sure. Else two unseen cards are turned over, or a single one and an unseen one, whichever
is expected to cost less.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from vlmgym.core.kernels import inner, kernel
from vlmgym.games.parts.boards import Boards, Marks, Values
from vlmgym.games.parts.cards import GONE, UNSEEN

MOST_CARDS = 64
"""Cards on a board, at most."""


# waiting (single, unseen) float64: the cost where no pair is known
@inner
def _cost(waiting, known, single, unseen):
    """The cost of a board, whose known pairs are taken first, one a turn."""
    pairs = known + 0.5 * (single + unseen)
    return known * pairs - 0.5 * known * (known - 1) + waiting[single, unseen]


@inner
def _cost_of_one(waiting, known, single, unseen):
    """The cost after a turn that shows one unseen card, and no pair."""
    partner = min(single, unseen) / unseen
    cost = 0.0
    if partner > 0.0:
        cost += partner * _cost(waiting, known + 1, single - 1, unseen - 1)
    if partner < 1.0:
        cost += (1.0 - partner) * _cost(waiting, known, single + 1, unseen - 1)
    return cost


@inner
def _cost_beside_single(waiting, known, single, unseen):
    """The cost after a turn that shows one unseen card beside a single one: perhaps its partner,
    perhaps that of another single one.
    """
    single = min(single, unseen)
    cost = _cost(waiting, known, single - 1, unseen - 1) / unseen
    if single > 1:
        cost += (single - 1) / unseen * _cost(waiting, known + 1, single - 1, unseen - 1)
    if unseen > single:
        cost += (unseen - single) / unseen * _cost(waiting, known, single + 1, unseen - 1)
    return cost


@inner
def _cost_of_two(waiting, known, single, unseen):
    """The cost after a turn that shows two unseen cards: perhaps a pair, perhaps the partners of
    two, one or none of the single ones.
    """
    single = min(single, unseen)
    new = unseen - single  # cards whose partners are unseen as well
    choices = 0.5 * unseen * (unseen - 1)
    equal = 0.5 * new
    apart = max(0.5 * new * (new - 1) - equal, 0.0)
    cost = 0.0
    if new > 0:
        cost += equal * _cost(waiting, known, single, unseen - 2)
    if single > 1:
        both = 0.5 * single * (single - 1)
        cost += both * _cost(waiting, known + 2, single - 2, unseen - 2)
    if single > 0 and new > 0:
        cost += single * new * _cost(waiting, known + 1, single, unseen - 2)
    if apart > 0.0:
        cost += apart * _cost(waiting, known, single + 2, unseen - 2)
    return cost / choices


@kernel
def _fill_waiting(waiting):
    """Fill the costs by the number of unseen cards. Where single and unseen cards do not belong
    together, which only boards have that no deal leads to, they are those of the nearest number of
    single ones.
    """
    size = len(waiting)
    for unseen in range(1, size):
        for single in range(unseen % 2, unseen + 1, 2):
            cost = np.inf
            if unseen > 1:
                cost = _cost_of_two(waiting, 0, single, unseen)
            if single > 0:
                cost = min(cost, _cost_beside_single(waiting, 0, single, unseen))
            waiting[single, unseen] = 0.5 * (single + unseen) + cost
        for single in range(size):
            nearest = min(single, unseen)
            if (nearest + unseen) % 2:
                nearest += 1 if nearest == 0 else -1
            waiting[single, unseen] = waiting[nearest, unseen]


@lru_cache(1)
def waiting_costs() -> NDArray[np.float64]:
    """``(single, unseen)``: the expected cost where no pair is known, by the best play."""
    waiting = np.zeros((MOST_CARDS + 3, MOST_CARDS + 3))
    _fill_waiting(waiting)
    return waiting


@kernel
def _fill_values(remembered, up, ended, waiting, value):
    """Fill in the values of moves.

    remembered (B, cells) uint8; up (B, cells) bool, what lies face up now; value (B, cells, cells)
    NaN.
    """
    for game in range(len(remembered)):
        if ended[game]:
            continue
        cards = remembered[game]
        count_of = np.zeros(256, np.int64)
        for card in cards:
            count_of[card] += 1
        known = 0
        single = 0
        for face in range(UNSEEN + 1, 256):
            known += count_of[face] // 2
            single += count_of[face] % 2
        unseen = count_of[UNSEEN]
        this_turn = known + 0.5 * (single + unseen)
        nothing = this_turn + _cost(waiting, known, single, unseen)
        pair = this_turn + _cost(waiting, max(known - 1, 0), single, unseen)
        beside_known = this_turn
        beside_single = this_turn
        two = this_turn
        if unseen > 0:
            beside_known += _cost_of_one(waiting, known, single, unseen)
        if unseen > 0 and single > 0:
            beside_single += _cost_beside_single(waiting, known, single, unseen)
        if unseen > 1:
            two += _cost_of_two(waiting, known, single, unseen)
        for first in range(len(cards)):
            for second in range(first + 1, len(cards)):
                card = max(cards[first], cards[second])
                other = min(cards[first], cards[second])
                cost = nothing
                if other == GONE:
                    continue
                if card == UNSEEN:
                    cost = two
                elif other == UNSEEN:
                    cost = beside_single if count_of[card] == 1 else beside_known
                elif card == other:
                    cost = pair
                elif up[game, first] and up[game, second]:
                    continue
                value[game, first, second] = -cost
                value[game, second, first] = -cost


def move_values(remembered: Boards, up: Marks, ended: Marks) -> Values:
    """Minus the expected cost of each move by the best play after it, ``(B, cells ** 2)``; NaN
    where a card is gone, or both lie face up and differ.

    It is exact, by a table over the numbers of single and unseen cards.

    Args:
        remembered: ``(B, rows, cols)`` what each card shows, :data:`UNSEEN` or :data:`GONE`.
        up: ``(B, rows, cols)`` the cards that lie face up.
        ended: ``(B,)`` games without moves.
    """
    games = len(remembered)
    cells = remembered.shape[1] * remembered.shape[2]
    value = np.full((games, cells, cells), np.nan)
    flat = np.ascontiguousarray(remembered).reshape(games, cells)
    flat_up = np.ascontiguousarray(up).reshape(games, cells)
    _fill_values(flat, flat_up, ended, waiting_costs(), value)
    return value.reshape(games, cells * cells)
