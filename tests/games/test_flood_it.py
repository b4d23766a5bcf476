"""FloodIt: the kernels agree with plain sets of cells, and the oracle with a plain search of all
plans.
"""

from __future__ import annotations

from collections import deque

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vlmgym.core import ConfigError, State, seeds_for
from vlmgym.games.flood_it import EXACT, FloodIt, LevelFloodIt
from vlmgym.games.parts.areas import COLOURS
from vlmgym.games.solvers import floods

GAME = FloodIt()
LETTERS = "rygbpocn"  # red, yellow, green, blue, purple, orange, cyan, pink
Lines = tuple[str, ...]


# ---- plain reference
def area(lines: Lines) -> set[tuple[int, int]]:
    """The cells of the area at the top left."""
    found, todo = set(), [(0, 0)]
    while todo:
        row, column = todo.pop()
        inside = 0 <= row < len(lines) and 0 <= column < len(lines[0])
        if inside and (row, column) not in found and lines[row][column] == lines[0][0]:
            found.add((row, column))
            todo += [(row + 1, column), (row - 1, column), (row, column + 1), (row, column - 1)]
    return found


def painted(lines: Lines, letter: str) -> Lines:
    cells = area(lines)
    return tuple(
        "".join(letter if (r, c) in cells else old for c, old in enumerate(line))
        for r, line in enumerate(lines)
    )


def shortest(lines: Lines, letters: str) -> int:
    """Moves of a shortest plan, by a plain breadth-first search of all plans."""
    found, queue = {lines: 0}, deque([lines])
    while queue:
        here = queue.popleft()
        if len(set("".join(here))) == 1:
            return found[here]
        for letter in letters:
            new = painted(here, letter)
            if new not in found:
                found[new] = found[here] + 1
                queue.append(new)
    raise AssertionError("no plan")


def expected_values(lines: Lines, letters: str) -> list[float | None]:
    if len(set("".join(lines))) == 1:
        return [None] * len(letters)
    return [
        None if letter == lines[0][0] else -1.0 - shortest(painted(lines, letter), letters)
        for letter in letters
    ]


def described(*boards: Lines, colours: int = 4, **overrides: object) -> State:
    symbols = np.array(
        [[[LETTERS.index(letter) for letter in line] for line in lines] for lines in boards],
        np.int16,
    )
    rows, cols = symbols.shape[1:]
    level = GAME.level("easy", rows=rows, cols=cols, colours=colours, **overrides)
    return GAME.from_symbols(level, symbols)


def lines_of(state: State, row: int = 0) -> Lines:
    return tuple("".join(LETTERS[v] for v in line) for line in state.board[row].tolist())


def values(state: State, row: int = 0) -> list[float | None]:
    return [None if np.isnan(v) else v for v in GAME.oracle(state)[row].tolist()]


def best_colours(state: State, row: int = 0) -> str:
    return "".join(LETTERS[action] for action in np.flatnonzero(GAME.success_mask(state)[row]))


def deals(level: str, count: int = 300, **overrides: object) -> State:
    return GAME.reset(GAME.level(level, **overrides), seeds_for("free", GAME.name, level, count))


# ---- positions with the right answer, worked by hand
@pytest.mark.parametrize(
    ("lines", "moves", "best"),
    [
        # one other colour: one move
        (("rrrr", "rrrr", "rrrr", "rrry"), 1, "y"),
        (("ryyy", "yyyy", "yyyy", "yyyy"), 1, "y"),
        # two others, both next to the area: either first
        (("rrrr", "ryyr", "rggr", "rrrr"), 2, "yg"),
        # green only behind yellow
        (("ryyg", "yyyg", "yyyg", "gggg"), 2, "y"),
        # three others next to the area: any order
        (("ryyy", "rggg", "rbbb", "rrrr"), 3, "ygb"),
        # stripes: each in its turn
        (("rygb", "rygb", "rygb", "rygb"), 3, "y"),
        (("rygr", "rygr", "rygr", "rygr"), 3, "y"),
        # yellow first would leave yellow behind green: green, then yellow
        (("rygy", "rygy", "rygy", "rggy"), 2, "g"),
        # the same with green at the far end of yellow alone: yellow, green, yellow
        (("rygy", "rygy", "rygy", "rygy"), 3, "y"),
        # the green corner touches the red area from below
        (("rygr", "ryrr", "rrrr", "rrrr"), 2, "yg"),
        (("rrrr", "yyyy", "gggg", "bbbb"), 3, "y"),
        # one yellow cell is behind green, so yellow comes last
        (("rrrr", "rrry", "rrgg", "rygy"), 2, "g"),
        # a chequered board is a wave: after k moves, what is at most k steps away
        (("ryry", "yryr", "ryry", "yryr"), 6, "y"),
    ],
)
def test_best_colours_begin_a_shortest_plan(lines, moves, best):
    state = described(lines)
    assert max(v for v in values(state) if v is not None) == -moves
    assert best_colours(state) == best


@pytest.mark.parametrize(
    ("lines", "moves", "best"),
    [
        ((0, 1, 2, 0, 2, 1, 1, 1, 2), 3, [1, 2]),
        ((0, 1, 2, 1, 2, 0, 2, 0, 1), 4, [1]),
        ((0, 1, 2, 2, 0, 1, 1, 2, 0), 5, [1, 2]),
    ],
)
def test_the_solver_finds_the_published_plans_of_small_boards(lines, moves, best):
    """Those of https://codegolf.stackexchange.com/questions/125517/solve-a-game-of-flood"""
    value = np.empty((1, 3))
    board = np.array(lines, np.uint8).reshape(1, 3, 3)
    floods.exact_values(board, np.zeros(1, bool), value)
    assert np.nanmax(value) == -moves
    assert np.flatnonzero(value[0] == -moves).tolist() == best


def test_a_colour_that_begins_no_shortest_plan_costs_a_move():
    state = described(("rygb", "rygb", "rygb", "rygb"))
    assert values(state) == [None, -3, -4, -4]
    assert best_colours(state) == "y"
    state, outcome = GAME.step(state, np.array([3]))
    assert (outcome.gain[0], outcome.changed[0]) == (0, True)
    assert values(state) == [-4, -3, -4, None], "blue joined nothing; red is a colour like others"


def test_the_area_takes_the_colour_and_gains_the_cells_that_join():
    state = described(("rryg", "gryy", "grrb", "yyrr"))
    after, outcome = GAME.step(state, np.array([1]))
    assert lines_of(after) == ("yyyg", "gyyy", "gyyb", "yyyy")
    assert outcome.gain[0] == after.score[0] == 5
    same, outcome = GAME.step(after, np.array([1]))
    assert (outcome.gain[0], outcome.changed[0], same.steps[0]) == (0, False, 2)
    assert not GAME.legal(after)[0, 1]
    assert GAME.legal(after).sum() == 3


def test_corners_do_not_join():
    state = described(("rygg", "yrgg", "gggg", "gggg"))
    assert lines_of(GAME.step(state, np.array([3]))[0])[:2] == ("bygg", "yrgg")


def test_one_colour_everywhere_ends_the_game():
    state = described(("ryyy", "rrrr", "rrrr", "rrrr"))
    after, outcome = GAME.step(state, np.array([1]))
    assert outcome.terminated[0]
    assert after.score[0] == 3
    for action in range(4):
        again, outcome = GAME.step(after, np.array([action]))
        assert again == after
    assert not GAME.legal(after).any()
    assert np.isnan(GAME.oracle(after)).all()
    assert GAME.explain(after, 0, 0) == "red no"
    assert GAME.candidates(after, 0) == []


# ---- a second implementation plays along
@pytest.mark.parametrize("name", GAME.LEVELS)
def test_random_play_agrees_with_plain_sets(name):
    count = 6
    state = deals(name, count)
    colours = state.level.colours
    expected = [lines_of(state, row) for row in range(count)]
    rng = np.random.default_rng(5)
    for _ in range(10):
        actions = rng.integers(-1, colours, count)
        live = ~state.ended
        state, outcome = GAME.step(state, actions)
        for row in range(count):
            before = expected[row]
            if live[row] and actions[row] >= 0:
                expected[row] = painted(before, LETTERS[actions[row]])
            assert lines_of(state, row) == expected[row]
            assert outcome.gain[row] == len(area(expected[row])) - len(area(before))
            assert outcome.changed[row] == (before != expected[row])
            assert state.terminated[row] == (len(set("".join(expected[row]))) == 1)
            twin = GAME.from_symbols(state.level, GAME.scene(state[row]).symbols)
            assert np.array_equal(twin.board, state[row].board)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_the_oracle_agrees_with_a_search_of_all_plans_on_any_board(data):
    colours = data.draw(st.integers(3, 5))
    text = data.draw(st.text(LETTERS[:colours], min_size=16, max_size=16))
    lines = tuple(text[row * 4 : row * 4 + 4] for row in range(4))
    state = described(lines, colours=colours)
    assert values(state) == expected_values(lines, LETTERS[:colours])
    assert GAME.legal(state).tolist() == [[v is not None for v in values(state)]]
    for action in range(colours):
        assert ";" not in GAME.explain(state, 0, action)
        GAME.would_succeed(state.level, GAME.scene(state).symbols, np.array([action]))


@pytest.mark.parametrize(("name", "count", "turns"), [("tiny", 12, 4), ("easy", 2, 2)])
def test_the_oracle_agrees_with_a_search_of_all_plans_in_play(name, count, turns):
    state = deals(name, count)
    letters = LETTERS[: state.level.colours]
    for _ in range(turns):
        for row in range(count):
            if not state.ended[row]:
                assert values(state, row) == expected_values(lines_of(state, row), letters)
        state, _ = GAME.step(state, GAME.draw_legal(state))


@pytest.mark.parametrize("name", GAME.LEVELS)
def test_the_oracle_fills_boards_in_as_many_moves_as_it_says(name):
    state = deals(name, 40)
    expected = -np.nanmax(GAME.oracle(state), axis=1)
    assert expected.max() < state.level.max_steps
    for _ in range(int(expected.max())):
        value = np.nan_to_num(GAME.oracle(state), nan=-np.inf)
        state, _ = GAME.step(state, np.where(state.ended, -1, value.argmax(axis=1)))
    assert state.terminated.all()
    assert np.array_equal(state.steps, expected)


# ---- levels
@pytest.mark.parametrize("name", GAME.LEVELS)
def test_deals_hold_all_colours_and_are_not_filled(name):
    state = deals(name)
    assert not state.ended.any()
    assert GAME.is_exact(state.level)
    counts = np.bincount(state.board.ravel(), minlength=8)
    colours = state.level.colours
    mean = state.board.size / colours
    assert (counts[colours:] == 0).all()
    assert (abs(counts[:colours] - mean) < 5 * mean**0.5).all()
    assert len(np.unique(state.board, axis=0)) == 300


def test_no_deal_is_filled_even_where_that_is_likely():
    level = GAME.level("tiny", colours=3)
    board = np.zeros((1, 4, 4), np.uint8)
    assert GAME.from_symbols(level, board.astype(np.int16)).terminated[0]
    state = GAME.reset(level, seeds_for("free", GAME.name, "many", 20_000))
    assert not (state.board == state.board[:, :1, :1]).all(axis=(1, 2)).any()


def test_from_easy_to_hard_random_play_solves_less_and_greedy_play_succeeds_less_often():
    """The share of games that random legal play solves, and the rate of success of all turns of
    greedy play, which takes the colour that joins most cells.
    """
    solved, rates = [], []
    for name in ("easy", "normal", "hard"):
        state = deals(name)
        while not state.ended.all():
            state, _ = GAME.step(state, GAME.draw_legal(state))
        solved.append(state.terminated.mean())
        state = deals(name, 100)
        colours = state.level.colours
        good = turns = 0
        while not state.ended.all():
            tried = np.tile(np.arange(colours), 100)
            _, outcome = GAME.step(state.repeat(colours), tried)
            actions = outcome.gain.reshape(100, colours).argmax(axis=1)
            good += (GAME.success_mask(state)[np.arange(100), actions] & ~state.ended).sum()
            turns += (~state.ended).sum()
            state, _ = GAME.step(state, actions)
        rates.append(good / turns)
    assert solved[0] > 1.5 * solved[1] > 1.5 * 1.5 * solved[2]
    assert rates[0] > 1.03 * rates[1] > 1.03 * 1.03 * rates[2]


def test_large_boards_of_many_colours_are_looked_ahead():
    assert GAME.is_exact(GAME.level("hard", rows=14, cols=14)), "the usual board is exact"
    level = GAME.level("hard", rows=14, cols=14, colours=8, max_steps=60)
    assert not GAME.is_exact(level)
    assert EXACT < 14 * 14 * (8 - 2)
    state = GAME.reset(level, seeds_for("free", GAME.name, "large", 4))
    assert np.array_equal(~np.isnan(GAME.oracle(state)), GAME.legal(state))
    while not state.ended.all():
        value = np.nan_to_num(GAME.oracle(state), nan=-np.inf)
        state, _ = GAME.step(state, np.where(state.ended, -1, value.argmax(axis=1)))
    assert state.terminated.all()
    assert state.steps.mean() < 30


def test_looking_ahead_is_nearly_as_good_as_the_exact_search():
    state = deals("normal", 60)
    expected = -np.nanmax(GAME.oracle(state), axis=1)
    while not state.ended.all():
        value = np.empty((60, state.level.colours))
        floods.looked_ahead_values(state.board, state.ended, value)
        best = np.nan_to_num(value, nan=-np.inf).argmax(axis=1)
        state, _ = GAME.step(state, np.where(state.ended, -1, best))
    assert (state.steps >= expected).all()
    assert (state.steps - expected).mean() < 0.6


# ---- texts
def test_answers_explanations_and_rules():
    level = GAME.level("easy")
    texts = [GAME.encode(level, action) for action in range(4)]
    assert texts == ["red", "yellow", "green", "blue"]
    assert [GAME.decode(level, text.upper()).action for text in texts] == [0, 1, 2, 3]
    assert GAME.decode(level, "purple").problem == "not_a_move"
    state = described(("rygb", "rygb", "rygb", "rygb"))
    assert [GAME.explain(state, 0, action) for action in range(3)] == [
        "red no",
        "yellow joins 4 cells 2 to go",
        "green joins 0 cells 3 to go",
    ]
    assert GAME.candidates(state, 0) == [1]
    assert GAME.reasoning(state, 0, GAME.oracle(state)[0]) == ("yellow joins 4 cells 2 to go", 1)
    assert "6 rows and 6 columns" in GAME.rules(level)
    assert all(colour in GAME.rules("hard") for colour in COLOURS[:6])
    assert "such as red" in GAME.answer_format(level)


def test_bad_levels_name_the_field():
    for bad, field in [({"rows": 3}, "rows"), ({"cols": 15}, "cols"), ({"colours": 9}, "colours")]:
        with pytest.raises(ConfigError, match=f"LevelFloodIt.{field} = "):
            LevelFloodIt(**bad)
