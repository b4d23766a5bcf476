"""Binairo: a published grid, numbers of full grids, the oracle and what is certain against plain
searches, deals and their grades.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from parts.plain_fill_ins import (
    Grid,
    filled_by_beginner,
    in_common,
    oracle_of,
    play_along,
    random_success,
    solutions,
    worth,
)
from vlmgym.core import DEAD, NO_ACTION, ConfigError, State, seeds_for
from vlmgym.games.binairo import SIDES, Binairo, LevelBinairo
from vlmgym.games.solvers.fill_ins import find_certain

GAME = Binairo()
WIKIPEDIA = ".1.0 ..0. .0.. 11.0"
WIKIPEDIA_SOLVED = "0110 1001 0011 1100"
"""The example of https://en.wikipedia.org/wiki/Takuzu."""


# ---- plain reference: grids hold 0 = open, 1 = the digit 0, 2 = the digit 1
def grid_of(text: str) -> Grid:
    """A grid from digits, with dots for open cells, its rows apart by blanks."""
    return [[".01".index(digit) for digit in line] for line in text.split()]


def fits(grid: Grid, row: int, column: int) -> bool:
    """Whether the lines through a cell break no rule."""
    columns = [list(line) for line in zip(*grid, strict=True)]
    for lines, at in ((grid, row), (columns, column)):
        line = lines[at]
        text = "".join(map(str, line))
        if "111" in text or "222" in text:
            return False
        if max(line.count(1), line.count(2)) > len(line) // 2:
            return False
        if 0 not in line and lines.count(line) > 1:
            return False
    return True


def forced(line: list[int], counts: bool) -> tuple[int, int] | None:
    """A cell of a line and its value, by no three alike, or by counting."""
    for at, value in enumerate(line):
        if value:
            continue
        for near in ((at - 2, at - 1), (at - 1, at + 1), (at + 1, at + 2)):
            if min(near) >= 0 and max(near) < len(line):
                first, second = (line[place] for place in near)
                if first == second != 0:
                    return at, 3 - first
        for other in (1, 2):
            if counts and line.count(other) == len(line) // 2:
                return at, 3 - other
    return None


def needs(grid: Grid) -> str:
    """What it takes to fill a grid, told by the techniques themselves."""
    grid = [list(line) for line in grid]
    side = len(grid)
    hardest = "pairs"
    while any(0 in line for line in grid):
        columns = [list(line) for line in zip(*grid, strict=True)]
        for counts in (False, True):
            by_rows = [(row, forced(grid[row], counts)) for row in range(side)]
            by_columns = [(column, forced(columns[column], counts)) for column in range(side)]
            steps = [(row, found[0], found[1]) for row, found in by_rows if found]
            steps += [(found[0], column, found[1]) for column, found in by_columns if found]
            if steps:
                break
        if not steps:
            return "search"
        if counts:
            hardest = "counts"
        row, column, value = steps[0]
        grid[row][column] = value
    return hardest


def described(given: str | Grid, written: Grid | None = None) -> State:
    """A state with these given and written digits."""
    grid = np.array(grid_of(given) if isinstance(given, str) else given)
    symbols = grid
    if written is not None:
        symbols = np.where((grid == 0) & (np.array(written) > 0), np.array(written) + 2, grid)
    level = GAME.level("tiny", rows=len(grid), cols=len(grid), givens=0)
    return GAME.from_symbols(level, symbols[None].astype(np.int16))


def deals(name: str, count: int = 60, **overrides: object) -> State:
    return GAME.reset(GAME.level(name, **overrides), seeds_for("free", GAME.name, name, count))


def act(state: State, text: str) -> int:
    decoded = GAME.decode(state.level, text)
    assert not decoded.problem
    return decoded.action


# ---- positions
@pytest.mark.parametrize(("side", "count"), [(4, 72), (6, 4140)])
def test_there_are_as_many_full_grids_as_is_known(side, count):
    """OEIS A253316; the plain reference has the rules right."""
    empty = [[0] * side for _ in range(side)]
    assert sum(1 for _ in solutions(empty, 2, fits)) == count


def test_the_published_grid_has_its_published_solution():
    state = described(WIKIPEDIA)
    assert state.solution[0].tolist() == grid_of(WIKIPEDIA_SOLVED)
    assert list(solutions(grid_of(WIKIPEDIA), 2, fits)) == [grid_of(WIKIPEDIA_SOLVED)]
    assert np.nanmax(GAME.oracle(state)) == -9, "nine open cells"


def test_the_oracle_fills_the_published_grid():
    state = described(WIKIPEDIA)
    for left in range(9, 0, -1):
        values = GAME.oracle(state)[0]
        assert np.nanmax(values) == -left
        assert (values == -left).sum() == left, "one digit of each open cell"
        state, outcome = GAME.step(state, np.array([np.nanargmax(values)]))
        assert outcome.gain[0] == 1
    assert state.terminated[0]
    assert state.score[0] == 9


@pytest.mark.parametrize(
    ("given", "cell", "digit"),
    [
        ("00.. .... .... ....", "(0, 2)", "1"),
        (".00. .... .... ....", "(0, 0)", "1"),
        ("1.1. .... .... ....", "(0, 1)", "0"),
        (".... .1.. .1.. ....", "(3, 1)", "0"),
        ("0... .... 0... ....", "(1, 0)", "1"),
    ],
)
def test_three_alike_are_never_in_a_line(given, cell, digit):
    state = described(given)
    mask = GAME.success_mask(state)[0]
    assert mask[act(state, f"{cell} {digit}")]
    assert not mask[act(state, f"{cell} {1 - int(digit)}")]
    text, action = GAME.reasoning(state, 0, GAME.oracle(state)[0])
    assert text.endswith("no three alike")
    assert mask[action]


def test_a_line_that_has_enough_of_one_digit_gets_the_other():
    state = described("0.10.1 ...... ...... ...... ...... ......")
    assert not state.solution[0, 0, 1], "0 or 1"
    state = described("001.0. ...... ...... ...... ...... ......")
    assert state.solution[0, 0].tolist() == [1, 1, 2, 2, 1, 2]
    text, action = GAME.reasoning(state, 0, GAME.oracle(state)[0])
    assert text == "(0, 3) 0 1; (0, 5) 0 1; (0, 3) 1 to have as many of both"
    assert action == act(state, "(0, 3) 1")


def test_two_equal_rows_are_never_right():
    """Row 0 is 0 1 1 0; row 3 begins with 0 1, so by counting alone it could be 0 1 1 0 or 0 1 0 1."""
    state = described("0110 .... .... 01..")
    assert state.solution[0, 3].tolist() == [1, 2, 1, 2]
    assert not state.solution[0, 1].all()


def test_a_wrong_digit_is_taken_and_may_be_written_over():
    state = described(WIKIPEDIA)
    wrong, right = act(state, "(0, 0) 1"), act(state, "(0, 0) 0")
    assert GAME.explain(state, 0, wrong) == "(0, 0) 1 wrong"
    assert GAME.explain(state, 0, right) == "(0, 0) 0 right"
    state, outcome = GAME.step(state, np.array([wrong]))
    assert (outcome.gain[0], outcome.changed[0]) == (0, True)
    assert GAME.scene(state).texts()[0].startswith("written 1|given 1|blank|given 0\n")
    text, action = GAME.reasoning(state, 0, GAME.oracle(state)[0])
    assert "not 1 but" in text or GAME.success_mask(state)[0, action]
    state, outcome = GAME.step(state, np.array([right]))
    assert (outcome.gain[0], state.score[0]) == (1, 1)
    state, outcome = GAME.step(state, np.array([wrong]))
    assert (outcome.gain[0], state.score[0]) == (-1, 0)


def test_given_digits_cannot_be_written_over():
    state = described(WIKIPEDIA)
    for text in ("(0, 1) 0", "(0, 1) 1"):
        assert not GAME.legal(state)[0, act(state, text)]
        after, outcome = GAME.step(state, np.array([act(state, text)]))
        assert not outcome.changed[0]
        assert (after.board == state.board).all()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("(0, 1) 0", ""),
        ("(3, 3): 1", ""),
        ("(0, 1) 2", "out_of_range"),
        ("(4, 0) 1", "out_of_range"),
        ("(0, 1)", "not_a_move"),
        ("1", "not_a_move"),
    ],
)
def test_answers_are_read(text, problem):
    assert GAME.decode(GAME.level("tiny"), text).problem == problem


# ---- boards that cannot be reached
@pytest.mark.parametrize(
    "given",
    ["000. .... .... ....", "0010 ..1. ..1. ....", "0110 0110 .... ....", "0.0. .... 1.1. 0.0."],
)
def test_digits_against_the_rules_make_a_dead_board_that_can_be_played(given):
    assert not list(solutions(grid_of(given), 2, fits))
    state = described(given)
    assert not state.solution.any()
    assert not state.ended[0]
    values = GAME.oracle(state)[0]
    assert (values[~np.isnan(values)] == DEAD).all()
    assert GAME.reasoning(state, 0, values) == ("", NO_ACTION)


def test_a_full_board_is_solved_only_if_it_is_right():
    given, solved = grid_of(WIKIPEDIA), grid_of(WIKIPEDIA_SOLVED)
    assert described(given, solved).terminated[0]
    wrong = [list(line) for line in solved]
    wrong[2][3] = 1
    state = described(given, wrong)
    assert not state.terminated[0]
    assert np.flatnonzero(GAME.success_mask(state)[0]).tolist() == [act(state, "(2, 3) 1")]


def test_what_is_certain_is_what_all_solutions_share():
    rng = np.random.default_rng(1)
    full = np.array(list(solutions([[0] * 4 for _ in range(4)], 2, fits)))
    boards = full[rng.integers(len(full), size=200)].astype(np.uint8)
    boards[rng.random(boards.shape) < 0.65] = 0
    for board in boards[::4]:
        board.flat[rng.integers(16)] = rng.integers(1, 3)
    certain = np.zeros_like(boards)
    find_certain(boards, GAME.rules_of(4), certain)
    found = [in_common(board.tolist(), 2, fits) for board in boards]
    assert certain.tolist() == found
    assert {0, 16} < {int((np.array(grid) > 0).sum()) for grid in found}


def test_random_symbols_never_raise():
    rng = np.random.default_rng(2)
    for side in SIDES:
        level = GAME.level("tiny", rows=side, cols=side)
        symbols = rng.integers(0, 5, (20, side, side))
        symbols[10:] *= rng.random((10, side, side)) < 0.2
        state = GAME.from_symbols(level, symbols.astype(np.int16))
        GAME.oracle(state)
        GAME.step(state, np.zeros(20, np.int64))
        GAME.explain(state, 0, 0)
        GAME.reasoning(state, 19, np.empty(0))


# ---- rules and oracle against plain references
@pytest.mark.parametrize("name", GAME.LEVELS)
def test_turns_agree_with_a_plain_reference(name):
    play_along(GAME, deals(name, 8), turns=14)


def test_the_oracle_agrees_with_a_search_of_all_boards():
    state = deals("tiny", 6, givens=12)
    for row in range(6):
        here = state[row]
        for _ in range(4):
            board, solution = here.board[0].tolist(), here.solution[0].tolist()
            assert oracle_of(GAME, here) == worth(board, solution, 2)
            after, _ = GAME.step(here, GAME.draw_legal(here))
            here = here if after.terminated[0] else after


# ---- deals
@pytest.mark.parametrize("name", GAME.LEVELS)
def test_deals_have_one_solution_and_need_what_the_level_says(name):
    state = deals(name, 20)
    assert not state.ended.any()
    assert (state.board <= 2).all()
    assert len({board.tobytes() for board in state.board}) > 15
    again = GAME.from_symbols(state.level, state.board.astype(np.int16))
    assert again.solution.tolist() == state.solution.tolist()
    side = state.level.rows
    for row in range(20):
        assert needs(state.board[row].tolist()) == state.level.needs
        for cell in range(side * side):
            assert fits(state.solution[row].tolist(), *divmod(cell, side))
    for row in range(5):
        grid = state.board[row].tolist()
        if side <= 8:
            assert list(solutions(grid, 2, fits)) == [state.solution[row].tolist()]


@pytest.mark.parametrize("side", SIDES)
def test_every_grade_is_dealt_on_every_board(side):
    for grade in LevelBinairo.grades():
        state = deals("tiny", 8, rows=side, cols=side, givens=0, needs=grade)
        assert {needs(board.tolist()) for board in state.board} == {grade}


def test_levels_get_harder_for_a_beginner_and_are_not_solved_at_random():
    """By the share of cells that a beginner fills rightly, and of games that random play solves."""
    filled = list[float]()
    solved = list[float]()
    for name in ("tiny", "easy", "normal", "hard"):
        state = deals(name, 300)
        shares = [filled_by_beginner(GAME, state, row) for row in range(300)]
        filled.append(float(np.mean(shares)))
        while not state.ended.all():
            state, _ = GAME.step(state, GAME.draw_legal(state))
        solved.append(float(state.terminated.mean()))
    assert filled[0] == filled[1] == 1
    assert filled[1] > filled[2] + 0.01 > filled[3] + 0.03, filled
    assert 0.2 > solved[0] > solved[1] == solved[2] == solved[3] == 0, solved


def test_a_random_digit_is_right_every_other_time():
    state = replace(deals("hard", 300), level=GAME.level("hard", max_steps=0))
    assert abs(random_success(GAME, state, 1) - 0.5) < 0.1


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"rows": 5}, "rows"),
        ({"rows": 12}, "rows"),
        ({"rows": 6}, "cols"),
        ({"givens": 64}, "givens"),
        ({"needs": "hidden"}, "needs"),
    ],
)
def test_levels_that_make_no_board_are_refused(fields, field):
    with pytest.raises(ConfigError, match=f"LevelBinairo.{field}"):
        LevelBinairo(**fields)
