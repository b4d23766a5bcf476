"""How a person answers: arrow keys, clicks on tiles, buttons, or a text."""

from __future__ import annotations

from vlmgym.core import Game, Level
from vlmgym.games.parts.action_texts import read_cell, read_pair
from vlmgym.games.parts.actions import (
    MOVE_FORMAT,
    MOVES,
    Actions,
    CellPairs,
    Cells,
    CellTriples,
    CellValues,
    Choices,
    Moves,
    Neighbours,
    NumberPairs,
    Numbers,
)
from vlmgym.games.parts.boards import GridLevel

BUTTONS = 64
"""Most actions that get a button each; with more, answers are typed."""
KINDS: dict[type, str] = {
    Moves: "moves",
    Cells: "cell",
    CellPairs: "pair",
    Neighbours: "pair",
    CellTriples: "triple",
    CellValues: "value",
    Choices: "choice",
}
"""How a person gives actions of the kinds that games are made of; numbers may be columns."""


def input_kind(game: Game, level: Level) -> str:
    """How a person answers.

    ``moves``: arrow keys; ``cell``, ``pair``, ``triple``: clicks on so many tiles; ``value``: a
    click, and what is to stand there; ``column``, ``columns``: clicks on one or two columns;
    ``column_turn``: how often to turn, and a click on a column; ``choice``: a phrase, or a click on
    a tile that it begins with; ``buttons``; or only as ``text``.
    """
    if game.sample(level).symbols.size:
        kind = _kind_of_actions(getattr(game, "answers", None), level)
        kind = kind or _kind_of_texts(game, level)
        if kind:
            return kind
    return "buttons" if game.n_actions(level) <= BUTTONS else "text"


def _kind_of_actions(answers: Actions | None, level: Level) -> str:
    """By the kind of actions that a game of ours says; empty = it says none that is known here."""
    if isinstance(level, GridLevel):
        if isinstance(answers, Numbers) and answers.count(level) == level.cols:
            return "column"
        if isinstance(answers, NumberPairs):
            first, second = answers.counts_of(level)
            if first == level.cols:
                return "columns" if second == first else "column_turn"
    return KINDS.get(type(answers), "")


def choices_of(game: Game, level: Level) -> list[str]:
    """What is chosen besides tiles: the values to write, the numbers of turns, or the phrases of
    all actions, where these have buttons.
    """
    answers = getattr(game, "answers", None)
    kind = input_kind(game, level)
    if kind == "value" and isinstance(answers, CellValues):
        return [*answers.values(level)]
    if kind == "column_turn" and isinstance(answers, NumberPairs):
        _, turns = answers.counts_of(level)
        return [str(turn) for turn in range(turns)]
    if kind in ("choice", "moves", "buttons"):
        return [game.encode(level, action) for action in range(game.n_actions(level))]
    return []


def _kind_of_texts(game: Game, level: Level) -> str:
    """By what answers look like, for a game that says no kind of action; empty = none of them."""
    if game.n_actions(level) == len(MOVES) and game.answer_format(level) == MOVE_FORMAT:
        return "moves"
    first = game.encode(level, 0)
    if read_cell(first) is not None:
        return "cell"
    return "" if read_pair(first) is None else "pair"
