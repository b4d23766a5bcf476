"""Rush Hour: the kernels agree with plain lists, the oracle with a plain search and with what is
published, and described boards stay as they are drawn.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parts.plain_rush_hour import Lines, axis_of, cells_of, drives_of, moved, shortest, solved
from vlmgym.core import DEAD, NO_ACTION, ConfigError, State, seeds_for
from vlmgym.games.parts.actions import MOVES
from vlmgym.games.rush_hour import NAMES, LevelRushHour, RushHour
from vlmgym.games.solvers.cars import solve

GAME = RushHour()
SIGNS = ".ABCDEFGHIJKLM"
ALL_LEVELS = tuple(GAME.LEVELS)


def lines_of(state: State, row: int = 0) -> Lines:
    return tuple("".join(SIGNS[value] for value in line) for line in state.board[row].tolist())


def described(text: str, **overrides: object) -> State:
    """A board with lines parted by blanks, such as ``"AA.. .... .... ...."``."""
    lines = text.split()
    symbols = np.array([[[SIGNS.index(sign) for sign in line] for line in lines]], np.int16)
    settings_of_level = {"rows": len(lines), "cols": len(lines[0]), "cars": 5, "max_steps": 0}
    level = LevelRushHour(**{**settings_of_level, **overrides})
    return GAME.from_symbols(level, symbols)


def with_letters(text: str, red: str) -> str:
    """A published board in our letters: A is the red car, B the first other one, and so on."""
    names = {red: "A", ".": ".", " ": " "}
    for sign in text:
        if sign not in names:
            names[sign] = SIGNS[len(names) - 1]
    return "".join(names[sign] for sign in text)


def deals(level: str, count: int = 100, **overrides: object) -> State:
    return GAME.reset(GAME.level(level, **overrides), seeds_for("free", GAME.name, level, count))


def act(state: State, text: str) -> int:
    return GAME.decode(state.level, text).action


def worth(state: State, row: int = 0) -> dict[str, float]:
    """The oracle's value of each legal action, by its text."""
    values = GAME.oracle(state)[row]
    return {
        GAME.encode(state.level, action): values[action]
        for action in np.flatnonzero(~np.isnan(values)).tolist()
    }


def expected_worth(lines: Lines) -> dict[str, float]:
    if solved(lines):
        return {}
    worths = {}
    for letter, move, after in drives_of(lines):
        left = shortest(after)
        worths[f"{letter} {MOVES[move]}"] = DEAD if left is None else -1.0 - left
    return worths


@st.composite
def boards(draw, letters=6):
    """Any board: some cars, some cells with any letter."""
    rows, cols = draw(st.integers(4, 6)), draw(st.integers(4, 6))
    grid = [["."] * cols for _ in range(rows)]
    for letter in SIGNS[1 : letters + 1]:
        r, c = draw(st.integers(0, rows - 1)), draw(st.integers(0, cols - 1))
        step_r, step_c = draw(st.sampled_from([(0, 1), (1, 0)]))
        for k in range(draw(st.integers(1, 4))):
            i, j = r + k * step_r, c + k * step_c
            if i < rows and j < cols:
                grid[i][j] = letter
    for _ in range(draw(st.integers(0, 2))):
        r, c = draw(st.integers(0, rows - 1)), draw(st.integers(0, cols - 1))
        grid[r][c] = draw(st.sampled_from(SIGNS[: letters + 1]))
    return " ".join("".join(row) for row in grid)


# ---- positions worked out by hand
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # the way is free: as many moves as cells are left
        ("AA.. .... .... ....", {"A right": -2}),
        (".... .AA. .... ....", {"A right": -1, "A left": -3}),
        ("...... ...... AA.... ...... ...... ......", {"A right": -4}),
        # B goes down one cell, then A right two; up it is still in the way, and comes back
        (".... AAB. ..B. ....", {"B down": -3, "B up": -5}),
        # B has to pass the red row as a whole
        ("..B. AAB. .... ....", {"B down": -4}),
        # three cells long it never does on four rows; on six it must go down, never up
        ("..B. AAB. ..B. ....", {"B down": DEAD}),
        ("...... ...B.. AA.B.. ...B.. ...... ......", {"A right": -6, "B down": -6, "B up": -8}),
        # two things to do, in any order
        ("..... ..... AA.C. ...C. .....", {"A right": -4, "C down": -4, "C up": -5}),
        # D must be out of B's way first; on the right it is not
        (".... AAB. ..B. .DD.", {"D left": -4, "D right": -6, "B up": -6}),
        # a car of any kind in the red one's row on its right never lets it out
        ("AABB .... .... ....", {}),
        (
            "AA.BB. ...... ...... ...... ...... ......",
            dict.fromkeys(["A right", "B left", "B right"], DEAD),
        ),
        # a car is stuck that is as long as its line
        ("..B. AAB. ..B. ..B.", {}),
        # red cars of three cells count as well
        ("AAA. .... .... ....", {"A right": -1}),
    ],
)
def test_hand_made_positions(text, expected):
    state = described(text)
    assert worth(state) == expected
    best = {name for name, value in expected.items() if value == max(expected.values()) > DEAD}
    mask = GAME.success_mask(state)[0]
    assert {GAME.encode(state.level, action) for action in np.flatnonzero(mask)} == best


def test_the_game_ends_when_the_red_car_is_at_the_right_end_of_its_row():
    state = described("..B. .AAB ...B ....")
    for text, over in (("B down", False), ("A left", False), ("A right", False), ("A right", True)):
        state, outcome = GAME.step(state, np.array([act(state, text)]))
        if text == "B down":
            assert not outcome.changed[0], "B is no straight piece"
            state = described(".... .AAB ...B ....")
            state, outcome = GAME.step(state, np.array([act(state, text)]))
        assert outcome.changed[0]
        assert (outcome.terminated[0], outcome.gain[0]) == (over, int(over))
    assert lines_of(state) == ("....", "..AA", "...B", "...B")
    assert np.isnan(GAME.oracle(state)).all()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (".... BB.. .... ....", "no red car"),
        ("A... A... .... ....", "the red car is along a column"),
        ("A... .... .... ....", "a single red cell is no car"),
        ("AA.. A... .... BB..", "a bent red car is no car"),
        ("AA.. .... AA.. B...", "two red cars"),
        ("A.A. .... .B.. .B..", "a red car with a hole"),
    ],
)
def test_without_a_red_car_along_a_row_there_is_no_exit_and_nothing_is_solved(text, why):
    state = described(text)
    assert lines_of(state) == tuple(text.split()), "described boards stay as they are"
    assert set(worth(state).values()) <= {DEAD}, why
    assert not GAME.success_mask(state).any()
    assert not any(name.startswith("A") for name in worth(state)) or "column" in why
    assert (GAME.lines(state)[0, :, -1] == 2).all(), "the wall is closed"
    assert not state.terminated[0]


def test_cells_that_are_no_car_stay_and_are_in_the_way():
    assert worth(described(".B.. AAB. ..B. ....")) == {}
    assert worth(described(".... AAB. .... ....")) == {}
    assert worth(described(".... AA.B .... ..BB")) == {"A right": DEAD}
    assert worth(described("BB.. AA.. BB.. ....")) == {"A right": -2}


# ---- published positions
PRINTED = "BB...O P..Q.O PXXQ.O P..Q.. K...CC K.RRR."
FIRST_CARD = with_letters(PRINTED, "X")
"""Card 1 of ThinkFun's Rush Hour."""
MOST_SLIDES = with_letters("GBB.L. GHI.LM GHIAAM CCCK.M ..JKDD EEJFF.", "A")
"""The board without walls that takes most moves of one car by any number of cells: M. Fogleman,
https://www.michaelfogleman.com/rush (51 moves, 4780 places).
"""
HARDEST = with_letters("QQQBCD EFFBCD E.XXCD GGH... .IH.JJ .IKKLL", "X")
"""The hardest of all 6x6 boards, in moves of one cell: Collette, Raskin and Servais (2006), and
http://cs.ulb.ac.be/~fservais/rushhour.
"""


def test_the_hardest_board_takes_93_moves_and_has_24132_places():
    state = described(HARDEST, cars=12)
    assert max(worth(state).values()) == -93
    solved_board = solve(state.board[0], 13)
    assert len(solved_board.keys) == 24_132
    assert solved_board.distance.max() == 93


def test_card_1_is_solved_as_its_back_says_in_8_slides_of_16_cells():
    state = described(FIRST_CARD, cars=7)
    assert max(worth(state).values()) == -16
    assert shortest(lines_of(state), by_slides=True) == 8
    letter_of = dict(zip(PRINTED, FIRST_CARD, strict=True))
    # C left 3, O down 3, B right 1, P up 1, K up 1, R left 2, Q down 2, X right to the exit
    solution = (
        "C left 3",
        "O down 3",
        "B right 1",
        "P up 1",
        "K up 1",
        "R left 2",
        "Q down 2",
        "X right 3",
    )
    left = 16
    for slide in solution:
        letter, direction, cells = slide.split()
        for _ in range(int(cells)):
            action = act(state, f"{letter_of[letter]} {direction}")
            assert GAME.success_mask(state)[0, action]
            assert np.nanmax(GAME.oracle(state)) == -left
            state, _ = GAME.step(state, np.array([action]))
            left -= 1
    assert state.terminated[0]
    assert state.steps[0] == 16


def test_the_board_of_51_slides_and_4780_places_takes_81_moves_of_one_cell():
    state = described(MOST_SLIDES, cars=12)
    lines = lines_of(state)
    assert shortest(lines, by_slides=True) == 51
    assert len(solve(state.board[0], 13).keys) == 4780
    assert max(worth(state).values()) == -81 == -shortest(lines)


# ---- rules and oracle against the reference
@settings(max_examples=150, deadline=None)
@given(boards())
def test_step_agrees_with_the_reference_on_any_board(text):
    state = described(text)
    lines = lines_of(state)
    over = solved(lines)
    assert lines == tuple(text.split())
    assert state.terminated[0] == over
    actions = np.arange(-1, GAME.n_actions(state.level))
    after, outcome = GAME.step(state.repeat(len(actions)), actions)
    legal = GAME.legal(state)[0]
    for row, action in enumerate(actions.tolist()):
        new = None
        if action >= 0 and not over:
            new = moved(lines, SIGNS[1 + action // 4], action % 4)
            assert legal[action] == (new is not None)
        assert lines_of(after, row) == (new or lines)
        assert outcome.changed[row] == (new is not None)
        assert outcome.terminated[row] == (over or (new is not None and solved(new)))
        assert outcome.gain[row] == (outcome.terminated[row] and not over)
        assert after.steps[row] == (not over)


@settings(max_examples=60, deadline=None)
@given(boards(letters=3))
def test_oracle_agrees_with_a_plain_search_on_any_board(text):
    state = described(text, cars=2 if "C" not in text else 3)
    assert worth(state) == expected_worth(lines_of(state))


@pytest.mark.parametrize(("name", "count"), [("tiny", 40), ("easy", 4)])
def test_oracle_agrees_with_a_plain_search_on_deals(name, count):
    state = deals(name, count)
    for _ in range(2):
        for row in np.flatnonzero(~state.ended).tolist():
            assert worth(state, row) == expected_worth(lines_of(state, row))
        state, _ = GAME.step(state, GAME.draw_legal(state))


def test_the_oracle_says_the_same_of_boards_it_has_seen_and_of_others_of_the_same_cars():
    """Two places of the same cars that no drive leads from one to the other: C before D, and D
    before C.
    """
    one = described("AA.... CC..DD ...... ...... ...... ......")
    other = described("AA.... DD..CC ...... ...... ...... ......")
    for state in (one, other, one, other):
        assert max(worth(state).values()) == -4
        assert len(solve(state.board[0], 6).keys) == 5 * 6


# ---- deals
@pytest.mark.parametrize("name", ALL_LEVELS)
def test_deals_are_solved_by_the_oracle_in_as_many_moves_as_it_says(name):
    state = deals(name, 60)
    level = state.level
    assert not state.ended.any()
    best = -np.nanmax(GAME.oracle(state), axis=1)
    assert (best <= level.max_moves).all()
    assert (best >= level.min_moves).mean() >= (0.7 if name == "hard" else 0.9)
    assert level.max_moves <= level.max_steps
    assert len(np.unique(state.board, axis=0)) == 60
    for row in range(60):
        cells = cells_of(lines_of(state, row))
        assert {axis_of(of_car) for of_car in cells.values()} <= {"row", "column"}
        assert {len(of_car) for of_car in cells.values()} <= {2, 3}
        assert axis_of(cells["A"]) == "row"
        assert cells["A"][0][0] == (level.rows - 1) // 2
        assert level.cars - 1 <= len(cells) - 1 <= level.cars
    for turn in range(int(best.max())):
        values = np.nan_to_num(GAME.oracle(state), nan=2 * DEAD)
        moves = np.where(state.ended, NO_ACTION, values.argmax(axis=1))
        assert GAME.success(state, moves, None)[~state.ended].all()
        state, outcome = GAME.step(state, moves)
        assert np.array_equal(outcome.terminated, best <= turn + 1)
    assert (state.score == 1).all()


def test_small_and_full_boards_can_be_dealt():
    for overrides in ({"rows": 4}, {"cols": 4}, {"rows": 4, "cols": 4, "cars": 12}, {"cars": 1}):
        state = deals("normal", 20, **overrides)
        assert not state.ended.any()
        assert (GAME.oracle(state) > DEAD).any(axis=1).all()


def solved_share(state: State, greedy: bool) -> float:
    """The share of games that is solved by legal moves at random; a greedy player makes the move
    that solves at once, where there is one.
    """
    for turn in range(state.level.max_steps):
        moves = GAME.draw_legal(state, turn)
        if greedy:
            right = np.ones(len(state), np.int64)
            moves = np.where(GAME.step(state, right)[1].gain > 0, right, moves)
        state, _ = GAME.step(state, moves)
    return state.terminated.mean()


def test_from_easy_to_hard_fewer_games_are_solved_without_a_plan():
    starts = [deals(name, 300) for name in ("easy", "normal", "hard")]
    for greedy in (False, True):
        easy, normal, hard = (solved_share(state, greedy) for state in starts)
        assert easy > normal + 0.1
        assert normal > hard + 0.02


# ---- what is seen
def test_a_car_is_one_body_and_the_exit_is_the_gap_in_the_wall():
    state = described("B..C.. B..C.. AA.C.. ...... .D.EE. .D..FF")
    scene = GAME.scene(state)
    assert scene.joins[0].tolist() == [
        [4, 0, 0, 4, 0, 0],
        [1, 0, 0, 5, 0, 0],
        [2, 8, 0, 1, 0, 2],
        [0, 0, 0, 0, 0, 0],
        [0, 4, 0, 2, 8, 0],
        [0, 1, 0, 0, 2, 8],
    ]
    assert scene.lines[0, :, -1].tolist() == [2, 2, 0, 2, 2, 2]
    assert not scene.lines[0, :, :-1].any()
    across = GAME.scene(described(".... AA.B ...B ...."))
    assert across.joins[0, :, 3].tolist() == [0, 2 + 4, 1, 0]
    out = GAME.scene(described(".... ..AA .... ...."))
    assert out.joins[0, 1].tolist() == [0, 0, 2, 8 + 2]


def test_what_is_no_car_is_drawn_cell_by_cell():
    scene = GAME.scene(described("BB.. BAA. .... C..C"))
    assert scene.joins[0].tolist() == [[0, 0, 0, 0], [0, 2, 8, 2], [0, 0, 0, 0], [0, 0, 0, 0]]
    assert not GAME.scene(described("AA.. A... .... ....")).joins.any()


def test_equal_texts_are_equal_pictures_and_equal_values():
    state = deals("normal", 20)
    for _ in range(4):
        scene = GAME.scene(state)
        assert (scene.names, scene.kind) == (NAMES[:11], "sprite")
        twin = GAME.from_symbols(state.level, scene.symbols)
        shown = GAME.scene(twin)
        assert np.array_equal(shown.joins, scene.joins)
        assert np.array_equal(shown.lines, scene.lines)
        assert np.array_equal(GAME.oracle(twin), GAME.oracle(state), equal_nan=True)
        state, _ = GAME.step(state, GAME.draw_legal(state))


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_symbols_make_a_state(data):
    sign = st.sampled_from(SIGNS[:7])
    text = " ".join("".join(data.draw(st.lists(sign, min_size=5, max_size=5))) for _ in range(5))
    state = described(text)
    assert lines_of(state) == tuple(text.split())
    assert np.array_equal(~np.isnan(GAME.oracle(state)), GAME.legal(state))
    assert set(np.unique(GAME.lines(state))) <= {0, 2}
    for action in GAME.candidates(state, 0):
        GAME.explain(state, 0, action)
    GAME.would_succeed(state.level, GAME.scene(state).symbols, np.array([0]))


def test_answers_and_explanations():
    state = described(".... AAB. ..B. .DD.")
    assert act(state, "b DOWN") == act(state, " B  down ") == 4 + 2
    for text in ("B", "down", "B down 2", "H left", "B sideways", ""):
        assert GAME.decode(state.level, text).problem == "not_a_move"
    assert [GAME.explain(state, 0, action) for action in GAME.candidates(state, 0)] == [
        "B up 5 to go",
        "D right 5 to go",
        "D left 3 to go",
    ]
    assert GAME.explain(state, 0, act(state, "A right")) == "A right no"
    rules = GAME.rules(state.level)
    assert "4 rows and 4 columns" in rules
    assert all(name in rules for name in NAMES[:7])


def test_bad_levels_name_the_field():
    for bad, field in [
        ({"rows": 3}, "rows"),
        ({"cols": 7}, "cols"),
        ({"cars": 13}, "cars"),
        ({"min_moves": 30}, "min_moves"),
    ]:
        with pytest.raises(ConfigError, match=f"LevelRushHour.{field} = "):
            LevelRushHour(**bad)
