"""Sets of three cards: in each attribute all three are alike, or all three differ.

A card is a point of the affine space over the field of three elements, a set is a line: two cards
have exactly one third one, whose attributes are minus the sums of theirs modulo 3.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vlmgym.core.kernels import inner, kernel

ATTRIBUTES = 4
CARDS = 3**ATTRIBUTES
"""Cards with all attributes."""
NONE = 255
"""In :data:`THIRD`: what makes a set with a cell without a card."""


def _thirds() -> NDArray[np.uint8]:
    """``(1 + CARDS, 1 + CARDS)``: the card that makes a set with two."""
    cards = np.arange(CARDS)
    third = np.zeros((CARDS, CARDS), np.int64)
    for attribute in range(ATTRIBUTES):
        value = cards // 3**attribute % 3
        third += (-value[:, None] - value) % 3 * 3**attribute
    table = np.full((1 + CARDS, 1 + CARDS), NONE, np.uint8)
    table[1:, 1:] = 1 + third
    return table


# A card is 1 + number + 3 * colour + 9 * shape + 27 * filling, each 0 to 2; 0 is no card.
THIRD = _thirds()
"""The card that makes a set with two cards: with two equal ones the same once more."""


@inner
def sets_with(table, on_table, card):
    """Sets of a card with two others that lie on the table.

    table (cards,) uint8, 0 where none lies; on_table (1 + CARDS,) bool.
    """
    ends = 0
    for cell in range(len(table)):
        other = table[cell]
        if other == 0 or other == card:
            continue
        ends += on_table[THIRD[card, other]]
    return ends // 2


@kernel
def mark_sets(boards, triples, marks):
    """Mark the threes that are sets.

    boards (B, cells) uint8; triples (A, 3) int64; marks (B, A) bool, written.
    """
    for game in range(len(boards)):
        board = boards[game]
        for action in range(len(triples)):
            first = board[triples[action, 0]]
            second = board[triples[action, 1]]
            marks[game, action] = THIRD[first, second] == board[triples[action, 2]]
