"""How a person answers: arrow keys, clicks on tiles, buttons, or a text."""

from __future__ import annotations

from vlmgym.core import Game, Level
from vlmgym.games.parts.action_texts import read_cell, read_pair
from vlmgym.games.parts.actions import MOVE_FORMAT, MOVES, CellPairs, Cells, Moves, Neighbours

BUTTONS = 64
"""Most actions that get a button each; with more, answers are typed."""
KINDS: dict[type, str] = {
    Moves: "moves",
    Cells: "cell",
    CellPairs: "pair",
    Neighbours: "pair",
}
"""How a person gives actions of the kinds that games are made of."""


def input_kind(game: Game, level: Level) -> str:
    """How a person answers: ``moves`` (arrow keys), ``cell``, ``pair`` (clicks on tiles),
    ``buttons``, or only as ``text``.
    """
    if game.sample(level).symbols.size:
        kind = KINDS.get(type(getattr(game, "answers", None))) or _kind_of_texts(game, level)
        if kind:
            return kind
    return "buttons" if game.n_actions(level) <= BUTTONS else "text"


def _kind_of_texts(game: Game, level: Level) -> str:
    """By what answers look like, for a game that says no kind of action; empty = none of them."""
    if game.n_actions(level) == len(MOVES) and game.answer_format(level) == MOVE_FORMAT:
        return "moves"
    first = game.encode(level, 0)
    if read_cell(first) is not None:
        return "cell"
    return "" if read_pair(first) is None else "pair"
