"""The parts that games are made of."""

from __future__ import annotations

import numpy as np
import pytest

from vlmgym.core import NO_ACTION
from vlmgym.games import GAMES
from vlmgym.games.parts.actions import Actions, CellPairs, Cells, Moves, Neighbours
from vlmgym.games.parts.boards import GridLevel, all_but_first, first_from, step_from
from vlmgym.games.parts.grid import GridGame, Turn

KINDS = (Moves(), Cells(), CellPairs(), Neighbours())


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: type(kind).__name__)
@pytest.mark.parametrize(("rows", "cols"), [(2, 2), (2, 5), (4, 3)])
def test_every_action_is_read_back_from_what_it_is_written_as(
    kind: Actions, rows: int, cols: int
) -> None:
    level = GridLevel(rows=rows, cols=cols)
    texts = [kind.encode(level, action) for action in range(kind.count(level))]
    assert [kind.decode(level, text).action for text in texts] == list(range(len(texts)))
    assert len(set(texts)) == len(texts)


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
    ],
)
def test_what_is_no_action_has_its_reason(kind: Actions, text: str, problem: str) -> None:
    found = kind.decode(GridLevel(rows=2, cols=3), text)
    assert (found.action, found.problem) == (NO_ACTION, problem)


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
    turn = Turn(state)
    turn.board[:] = 0
    turn.terminated[:] = True
    turn.copy_of("board")[:] = 1
    assert state.board.any()
    assert not state.terminated.any()
    assert turn.arrays()["board"].all()
    assert turn.outcome().terminated.all()
