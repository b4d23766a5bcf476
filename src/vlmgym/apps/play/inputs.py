"""How a person answers: arrow keys, clicks on tiles, buttons, or a text."""

from __future__ import annotations

from vlmgym.core import Game, Level
from vlmgym.games.parts.actions import MOVE_FORMAT, MOVES, read_cell, read_pair

BUTTONS = 64
"""Most actions that get a button each; with more, answers are typed."""


def input_kind(game: Game, level: Level) -> str:
    """How a person answers: ``moves`` (arrow keys), ``cell``, ``pair`` (clicks on tiles),
    ``buttons``, or only as ``text``.
    """
    many = game.n_actions(level)
    if game.sample(level).symbols.size:
        if many == len(MOVES) and game.answer_format(level) == MOVE_FORMAT:
            return "moves"
        first = game.encode(level, 0)
        if read_cell(first) is not None:
            return "cell"
        if read_pair(first) is not None:
            return "pair"
    return "buttons" if many <= BUTTONS else "text"
