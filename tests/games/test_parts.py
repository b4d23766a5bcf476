"""The parts that games are made of."""

from __future__ import annotations

import re

import numpy as np
import pytest

from vlmgym.core import NO_ACTION
from vlmgym.core.contract import TAGS
from vlmgym.games import GAMES
from vlmgym.games.parts.actions import (
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
from vlmgym.games.parts.boards import GridLevel, all_but_first, first_from, step_from
from vlmgym.games.parts.grid import AFRESH, GridGame, Turn

DIGITS = CellValues("the digit", lambda level: tuple(map(str, range(1, level.rows + 1))))
COLUMN = Numbers("the column", lambda level: level.cols)
PEGS = NumberPairs("from and to", lambda level: (level.rows, level.cols))
CARS = Choices("the car and where", lambda level: ("A left", "A right", "B up", "B down"))
KINDS = (
    *(Moves(), Cells(), CellPairs(), Neighbours(), CellTriples()),
    *(DIGITS, COLUMN, PEGS, CARS),
)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: type(kind).__name__)
@pytest.mark.parametrize(("rows", "cols"), [(2, 2), (2, 5), (4, 3)])
def test_every_action_is_read_back_from_what_it_is_written_as(
    kind: Actions, rows: int, cols: int
) -> None:
    level = GridLevel(rows=rows, cols=cols)
    texts = [kind.encode(level, action) for action in range(kind.count(level))]
    assert [kind.decode(level, text).action for text in texts] == list(range(len(texts)))
    assert len(set(texts)) == len(texts)


EXAMPLE = re.compile(r"(?:such as|: )\s*((?:\(\d, \d\) ?)+\d?|\d \d|\d)")


@pytest.mark.parametrize("kind", KINDS[:6], ids=lambda kind: type(kind).__name__)
@pytest.mark.parametrize(("rows", "cols"), [(2, 2), (2, 5), (4, 3), (8, 8)])
def test_the_example_of_an_answer_is_an_action_of_the_level(
    kind: Actions, rows: int, cols: int
) -> None:
    level = GridLevel(rows=rows, cols=cols)
    for example in EXAMPLE.findall(kind.format_of(level)):
        text = example.strip()
        if isinstance(kind, CellValues) and text == "(0, 1)":
            continue
        assert not kind.decode(level, text).problem


@pytest.mark.parametrize("name", GAMES)
def test_the_example_of_a_game_s_answer_is_an_action_of_each_level(name: str) -> None:
    game = GAMES[name]
    for level in map(game.level, game.LEVELS):
        examples = [text.strip() for text in EXAMPLE.findall(game.answer_format(level))]
        if not examples:  # a letter, a colour, a direction
            continue
        assert not game.decode(level, examples[-1]).problem


def test_the_rules_say_that_a_fresh_board_follows_where_one_does() -> None:
    for game in GAMES.values():
        if isinstance(game, GridGame):
            level = game.level("normal")
            assert AFRESH not in game.rules(level)
            assert AFRESH in game.rules(level.override(restart=True))


@pytest.mark.parametrize(
    ("kind", "text", "problem"),
    [
        (Moves(), "4", "out_of_range"),
        (Moves(), "up", "not_a_move"),
        (Cells(), "(2, 0)", "out_of_range"),
        (Cells(), "2, 0", "not_a_move"),
        (CellPairs(), "(0, 0) (0, 3)", "out_of_range"),
        (Neighbours(), "(0, 0) (1, 1)", "not_adjacent"),
        (Neighbours(), "(0, 0) (2, 0)", "out_of_range"),
        (CellTriples(), "(0, 0) (0, 1)", "not_a_move"),
        (CellTriples(), "(0, 0) (0, 1) (0, 0)", "not_a_move"),
        (CellTriples(), "(0, 0) (0, 1) (0, 3)", "out_of_range"),
        (CellTriples(), "(0, 0) (0, 1) (0, 2) (1, 0)", "not_a_move"),
        (DIGITS, "(0, 0)", "not_a_move"),
        (DIGITS, "(0, 0) 3", "out_of_range"),
        (DIGITS, "(2, 0) 1", "out_of_range"),
        (DIGITS, "(0, 0) 1 2", "not_a_move"),
        (COLUMN, "3", "out_of_range"),
        (COLUMN, "(0, 1)", "not_a_move"),
        (PEGS, "2 0", "out_of_range"),
        (PEGS, "0 01", "out_of_range"),
        (PEGS, "01", "not_a_move"),
        (CARS, "C left", "not_a_move"),
        (CARS, "A", "not_a_move"),
    ],
)
def test_what_is_no_action_has_its_reason(kind: Actions, text: str, problem: str) -> None:
    found = kind.decode(GridLevel(rows=2, cols=3), text)
    assert (found.action, found.problem) == (NO_ACTION, problem)


@pytest.mark.parametrize(
    ("kind", "text", "canonical"),
    [
        (CellTriples(), "(1, 0), (0, 2)  (0, 1)", "(0, 1) (0, 2) (1, 0)"),
        (DIGITS, " (1, 0): 2 ", "(1, 0) 2"),
        (DIGITS, "(1, 0), 2", "(1, 0) 2"),
        (PEGS, "1 , 2", "1 2"),
        (CARS, " b  UP", "B up"),
    ],
)
def test_answers_may_be_spaced_and_ordered_otherwise(
    kind: Actions, text: str, canonical: str
) -> None:
    level = GridLevel(rows=2, cols=3)
    assert kind.encode(level, kind.decode(level, text).action) == canonical


@pytest.mark.parametrize("name", GAMES)
def test_a_game_has_tags_that_are_explained(name: str) -> None:
    tags = GAMES[name].tags
    assert tags
    assert set(tags) <= set(TAGS)
    assert len(set(tags)) == len(tags)


def test_what_kernels_look_for_on_a_board() -> None:
    board = np.array([[0, 1, 0], [4, 0, 4]], np.uint8)
    assert (first_from(board, 1), first_from(board, 4), first_from(board, 5)) == (1, 3, -1)
    assert [step_from(board, 1, move) for move in range(4)] == [-1, 2, 4, 0]
    assert all_but_first(board[None] == 4).tolist() == [[[False] * 3, [False, False, True]]]


@pytest.mark.parametrize("name", GAMES)
def test_a_turn_writes_copies(name: str) -> None:
    """Whatever a game writes, the state before the turn stays."""
    game = GAMES[name]
    assert isinstance(game, GridGame)
    state = game.reset(game.level("tiny"), np.arange(3, dtype=np.uint64))
    before = state.board.copy()
    turn = Turn(state)
    turn.board[:] = before + 1
    turn.terminated[:] = True
    turn.copy_of("board")[:] = 1
    assert np.array_equal(state.board, before)
    assert not state.terminated.any()
    assert turn.arrays()["board"].all()
    assert turn.outcome().terminated.all()
