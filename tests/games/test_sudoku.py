"""Sudoku: published grids, the oracle and what is certain against plain searches, deals and their
grades.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from parts.plain_fill_ins import (
    Grid,
    filled_by_beginner,
    grid_of,
    in_common,
    oracle_of,
    play_along,
    random_success,
    solutions,
    worth,
)
from parts.plain_sudoku import fits, needs
from vlmgym.core import DEAD, NO_ACTION, ConfigError, State, StateError, seeds_for
from vlmgym.games.solvers.fill_ins import find_certain
from vlmgym.games.sudoku import BOXES, LevelSudoku, Sudoku

GAME = Sudoku()
WIKIPEDIA = """53..7.... 6..195... .98....6. 8...6...3 4..8.3..1 7...2...6 .6....28. ...419..5
    ....8..79"""
WIKIPEDIA_SOLVED = """534678912 672195348 198342567 859761423 426853791 713924856 961537284
    287419635 345286179"""
INKALA = """8........ ..36..... .7..9.2.. .5...7... ....457.. ...1...3. ..1....68 ..85...1.
    .9....4.."""
INKALA_SOLVED = """812753649 943682175 675491283 154237896 369845721 287169534 521974368 438526917
    796318452"""
SEVENTEEN = """.......1. 4........ .2....... ....5.4.7 ..8...3.. ..1.9.... 3..4..2.. .5.1.....
    ...8.6..."""
SEVENTEEN_SOLVED = """693784512 487512936 125963874 932651487 568247391 741398625 319475268
    856129743 274836159"""
PUBLISHED = {
    "Wikipedia": (WIKIPEDIA, WIKIPEDIA_SOLVED, 30),
    "Inkala": (INKALA, INKALA_SOLVED, 21),
    "seventeen": (SEVENTEEN, SEVENTEEN_SOLVED, 17),
}
"""The example of https://en.wikipedia.org/wiki/Sudoku; A. Inkala's grid of 2012, called the hardest
in the press; one of G. Royle's grids of 17 digits, the fewest with one solution (McGuire 2012).
"""


def described(given: str | Grid, written: Grid | None = None) -> State:
    """A state with these given and written digits."""
    grid = np.array(grid_of(given) if isinstance(given, str) else given)
    side = len(grid)
    level = GAME.level("tiny", rows=side, cols=side, givens=0)
    symbols = grid if written is None else np.where(grid > 0, grid, 0)
    if written is not None:
        symbols = np.where((grid == 0) & (np.array(written) > 0), np.array(written) + side, symbols)
    return GAME.from_symbols(level, symbols[None].astype(np.int16))


def deals(name: str, count: int = 60, **overrides: object) -> State:
    return GAME.reset(GAME.level(name, **overrides), seeds_for("free", GAME.name, name, count))


def act(state: State, text: str) -> int:
    decoded = GAME.decode(state.level, text)
    assert not decoded.problem
    return decoded.action


SMALL = "1... ..3. .4.. ...2"
SMALL_SOLVED = "1324 4231 2413 3142"


# ---- positions
@pytest.mark.parametrize("name", PUBLISHED)
def test_published_grids_have_their_published_solution(name):
    given, solved, count = PUBLISHED[name]
    state = described(given)
    assert (state.board > 0).sum() == count
    assert state.solution[0].tolist() == grid_of(solved)
    for row in range(9):
        for column in range(9):
            assert fits(grid_of(solved), row, column)


def test_published_grids_need_what_is_known_of_them():
    assert needs(grid_of(WIKIPEDIA)) == "singles"
    assert needs(grid_of(INKALA)) == "search"


def test_the_oracle_fills_a_published_grid_in_as_many_moves_as_cells_are_open():
    state = described(INKALA)
    state = replace(state, level=GAME.level(state.level, max_steps=0))
    assert np.nanmax(GAME.oracle(state)) == -60
    for left in range(60, 0, -1):
        assert not state.ended[0]
        values = GAME.oracle(state)[0]
        assert np.nanmax(values) == -left
        state, outcome = GAME.step(state, np.array([np.nanargmax(values)]))
        assert outcome.gain[0] == 1
    assert state.terminated[0]
    assert state.score[0] == 60
    assert np.isnan(GAME.oracle(state)).all()


def test_a_digit_of_the_solution_is_good_and_others_are_not():
    state = described(WIKIPEDIA)
    mask = GAME.success_mask(state)
    assert mask.sum() == 51, "one digit for each open cell"
    assert mask[0, act(state, "(0, 2) 4")]
    assert mask[0, act(state, "(4, 4) 5")], "the middle"
    assert not mask[0, act(state, "(0, 2) 1")], "allowed by the rules so far, but wrong"
    assert not mask[0, act(state, "(0, 0) 5")], "given"


def test_given_digits_cannot_be_written_over():
    state = described(WIKIPEDIA)
    for text in ("(0, 0) 5", "(0, 0) 6", "(8, 8) 1"):
        action = act(state, text)
        assert not GAME.legal(state)[0, action]
        after, outcome = GAME.step(state, np.array([action]))
        assert not outcome.changed[0]
        assert (after.board == state.board).all()
        assert after.steps[0] == 1
    assert GAME.explain(state, 0, act(state, "(0, 0) 6")) == "(0, 0) 6 given"


def test_a_wrong_digit_is_taken_and_may_be_written_over():
    state = described(WIKIPEDIA)
    wrong, right = act(state, "(0, 2) 1"), act(state, "(0, 2) 4")
    assert GAME.explain(state, 0, wrong) == "(0, 2) 1 wrong"
    state, outcome = GAME.step(state, np.array([wrong]))
    assert (outcome.gain[0], outcome.changed[0], state.score[0]) == (0, True, 0)
    assert GAME.scene(state).texts()[0].startswith("given 5|given 3|written 1|blank|given 7")
    assert not GAME.legal(state)[0, wrong], "it is there already"
    assert GAME.explain(state, 0, wrong) == "(0, 2) 1 written"
    assert np.nanmax(GAME.oracle(state)) == -51, "nothing is lost but the move"
    state, outcome = GAME.step(state, np.array([right]))
    assert (outcome.gain[0], state.score[0]) == (1, 1)


def test_writing_over_a_right_digit_costs_what_it_gained():
    state = described(WIKIPEDIA)
    right, wrong = act(state, "(0, 2) 4"), act(state, "(0, 2) 2")
    state, _ = GAME.step(state, np.array([right]))
    values = GAME.oracle(state)[0]
    assert np.isnan(values[right])
    assert values[wrong] == -52, "this move, 50 others, and the cell anew"
    assert values[act(state, "(0, 3) 2")] == -51
    assert not GAME.success_mask(state)[0, wrong]
    state, outcome = GAME.step(state, np.array([wrong]))
    assert (outcome.gain[0], state.score[0]) == (-1, 0)


def test_to_and_fro_is_never_paid_twice():
    state = described(WIKIPEDIA)
    right, wrong = act(state, "(0, 2) 4"), act(state, "(0, 2) 2")
    for _ in range(3):
        state, _ = GAME.step(state, np.array([right]))
        state, _ = GAME.step(state, np.array([wrong]))
    assert state.score[0] == 0


def test_a_small_board_is_solved_as_by_hand():
    """(0, 3): its row has 1, its column 2, its box 3, so 4; then (0, 2) is 2, as row and box have
    all others, and (0, 1) is 3.
    """
    state = described(SMALL)
    assert state.solution[0].tolist() == grid_of(SMALL_SOLVED)
    assert GAME.reasoning(state, 0, GAME.oracle(state)[0]) == (
        "(0, 1) 2 3; (0, 2) 2 4; (0, 3) 4 only digit",
        act(state, "(0, 3) 4"),
    )


def test_a_digit_with_one_place_left_is_right_where_its_cell_may_hold_others():
    """The 1 of the first box: rows 1 and 2, columns 1 and 2 have theirs, so it is at (0, 0)."""
    state = described(
        "......... ...1..... ......1.. .1....... ......... ......... ..1...... ......... ........."
    )
    assert state.solution[0, 0, 0] == 1
    text, action = GAME.reasoning(state, 0, GAME.oracle(state)[0])
    assert text == "(0, 0) 1 2 3 4 5 6 7 8 9; (0, 0) 1 only place"
    assert action == act(state, "(0, 0) 1")
    assert np.flatnonzero(GAME.success_mask(state)[0]).tolist() == [action]


def test_the_teacher_says_so_where_no_look_helps():
    state = described(INKALA)
    text, action = GAME.reasoning(state, 0, GAME.oracle(state)[0])
    assert text.endswith("by trying")
    assert GAME.success_mask(state)[0, action]


def test_the_teacher_names_a_wrong_digit():
    state = described(SMALL)
    state, _ = GAME.step(state, np.array([act(state, "(0, 3) 2")]))
    text, action = GAME.reasoning(state, 0, GAME.oracle(state)[0])
    assert text.endswith("(0, 3) not 2 but 4 only digit")
    assert action == act(state, "(0, 3) 4")
    assert action in GAME.candidates(state, 0)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("(0, 1) 5", ""),
        ("(0, 1): 5", ""),
        ("(0, 1) 0", "out_of_range"),
        ("(0, 9) 5", "out_of_range"),
        ("(0, 1) 5 6", "not_a_move"),
        ("5", "not_a_move"),
    ],
)
def test_answers_are_read(text, problem):
    assert GAME.decode(GAME.level("normal"), text).problem == problem


# ---- boards that cannot be reached
def test_digits_against_the_rules_make_a_dead_board_that_can_be_played():
    state = described("11.. .... .... ....")
    assert not state.solution.any()
    assert not state.ended[0]
    values = GAME.oracle(state)[0]
    assert (values[~np.isnan(values)] == DEAD).all()
    assert not GAME.success_mask(state).any()
    assert GAME.reasoning(state, 0, values) == ("", NO_ACTION)
    after, outcome = GAME.step(state, np.array([act(state, "(3, 3) 2")]))
    assert (outcome.changed[0], outcome.gain[0], after.terminated[0]) == (True, 0, False)


def test_of_several_solutions_only_what_they_share_is_right():
    """The 3 and the 2 of rows 0 and 1 can be exchanged in columns 1 and 2, and nothing else."""
    state = described("1..4 4..1 2413 3142")
    assert state.solution[0].tolist() == grid_of("1..4 4..1 2413 3142")
    assert not state.terminated[0]
    assert not GAME.success_mask(state).any()
    values = GAME.oracle(state)[0]
    assert (values[~np.isnan(values)] == DEAD).all(), "nothing that is certain is left to write"
    empty = described(". . . . . . . . . . . . . . . .")
    assert not empty.solution.any()
    assert not GAME.success_mask(empty).any()


def test_a_full_board_is_solved_only_if_it_is_right():
    given, solved = grid_of(SMALL), grid_of(SMALL_SOLVED)
    assert described(given, solved).terminated[0]
    wrong = [list(line) for line in solved]
    wrong[0][1] = 2
    state = described(given, wrong)
    assert not state.terminated[0]
    assert np.flatnonzero(GAME.success_mask(state)[0]).tolist() == [act(state, "(0, 1) 3")]


def test_what_is_certain_is_what_all_solutions_share():
    rng = np.random.default_rng(1)
    boards = np.zeros((150, 4, 4), np.uint8)
    for board in boards:
        solved = np.array(grid_of(SMALL_SOLVED))
        cells = rng.choice(16, rng.integers(3, 12), replace=False)
        board.flat[cells] = solved.flat[cells]
        if rng.random() < 0.3:
            board.flat[rng.integers(16)] = rng.integers(1, 5)
    certain = np.zeros_like(boards)
    find_certain(boards, GAME.rules_of(4), certain)
    found = [in_common(board.tolist(), 4, fits) for board in boards]
    assert certain.tolist() == found
    kinds = {(np.array(grid) > 0).sum() for grid in found}
    assert {0, 16} < kinds


def test_random_symbols_never_raise():
    rng = np.random.default_rng(2)
    for side in BOXES:
        level = GAME.level("tiny", rows=side, cols=side)
        symbols = rng.integers(0, 2 * side + 1, (20, side, side))
        symbols[10:] *= rng.random((10, side, side)) < 0.2
        state = GAME.from_symbols(level, symbols.astype(np.int16))
        GAME.oracle(state)
        GAME.step(state, np.zeros(20, np.int64))
        GAME.explain(state, 0, 0)
        GAME.reasoning(state, 19, np.empty(0))


def test_a_solution_of_other_digits_is_refused():
    state = deals("tiny", 1)
    bad = state.with_arrays({"solution": state.solution + 4})
    with pytest.raises(StateError, match="solution"):
        GAME.from_bytes(bad.to_bytes(GAME))


# ---- rules and oracle against plain references
@pytest.mark.parametrize("name", GAME.LEVELS)
def test_turns_agree_with_a_plain_reference(name):
    play_along(GAME, deals(name, 8), turns=14)


def test_the_oracle_agrees_with_a_search_of_all_boards():
    state = deals("tiny", 3, givens=14)
    for row in range(3):
        here = state[row]
        for _ in range(3):
            board, solution = here.board[0].tolist(), here.solution[0].tolist()
            assert oracle_of(GAME, here) == worth(board, solution, 4)
            after, _ = GAME.step(here, GAME.draw_legal(here))
            here = here if after.terminated[0] else after


# ---- deals
@pytest.mark.parametrize("name", GAME.LEVELS)
def test_deals_have_one_solution_and_need_what_the_level_says(name):
    count = 10 if GAME.level(name).rows == 9 else 25
    state = deals(name, count)
    assert not state.ended.any()
    assert (state.board <= state.level.rows).all()
    assert len({board.tobytes() for board in state.board}) == count
    assert GAME.from_symbols(state.level, state.board.astype(np.int16)).solution.tolist() == (
        state.solution.tolist()
    )
    for row in range(count):
        grid = state.board[row].tolist()
        assert needs(grid) == state.level.needs
        for line in range(state.level.rows):
            for column in range(state.level.rows):
                assert fits(state.solution[row].tolist(), line, column)
    for row in range(3 if state.level.rows < 9 else 0):
        found = list(solutions(state.board[row].tolist(), state.level.rows, fits))
        assert found == [state.solution[row].tolist()]


@pytest.mark.parametrize(("side", "grades"), [(4, 1), (6, 3), (9, 3)])
def test_every_grade_is_dealt_on_every_board_that_has_it(side, grades):
    for grade in LevelSudoku.grades()[:grades]:
        state = deals("tiny", 6, rows=side, cols=side, givens=0, needs=grade)
        assert {needs(board.tolist()) for board in state.board} == {grade}


def test_givens_stay_where_the_grade_allows_it():
    state = deals("normal", 20, givens=45, needs="singles")
    assert ((state.board > 0).sum(axis=(1, 2)) == 45).all()


def test_levels_get_harder_for_a_beginner_and_for_a_random_player():
    """By the share of cells that a beginner fills rightly, and of good turns of random play."""
    filled = list[float]()
    random = list[float]()
    for name in ("easy", "normal", "hard"):
        state = deals(name, 300)
        shares = [filled_by_beginner(GAME, state, row) for row in range(300)]
        filled.append(float(np.mean(shares)))
        random.append(random_success(GAME, state, 30))
    assert filled[0] == 1
    assert filled[0] > filled[1] > filled[2] + 0.03, filled
    assert random[0] > random[1] + 0.01, random
    assert abs(random[1] - random[2]) < 0.01, "digits of nine are as hard to hit at random"


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"rows": 5}, "rows"),
        ({"rows": 6}, "cols"),
        ({"givens": 81}, "givens"),
        ({"rows": 4, "cols": 4, "givens": 16, "needs": "singles"}, "givens"),
        ({"rows": 4, "cols": 4, "givens": 8}, "needs"),
        ({"needs": "luck"}, "needs"),
    ],
)
def test_levels_that_make_no_board_are_refused(fields, field):
    with pytest.raises(ConfigError, match=f"LevelSudoku.{field}"):
        LevelSudoku(**fields)


def test_boxes_are_framed_by_heavy_lines():
    lines = GAME.scene(deals("easy", 1)).lines[0]
    assert lines[0].tolist() == [1 + 8, 1, 1 + 2, 1 + 8, 1, 1 + 2], "two rows, three columns"
    assert lines[1].tolist() == [4 + 8, 4, 4 + 2, 4 + 8, 4, 4 + 2]
