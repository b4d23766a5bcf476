"""Pipes: turning and flowing agree with plain lists, the oracle with all ways to lay the pieces, and
deals fit in one way only.
"""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parts.plain_pipes import (
    Board,
    cells_of,
    next_to,
    reached,
    read,
    turned,
    turns_between,
    values_of,
    ways_to_lay,
)
from vlmgym.core import DEAD, NO_ACTION, ConfigError, State, seeds_for
from vlmgym.games.pipes import NAMES, LevelPipes, Pipes
from vlmgym.render.sprites import SPRITES

GAME = Pipes()
ALL_LEVELS = tuple(GAME.LEVELS)

COMB = "6 e c / 5 5 5 / 1* 1 1"
"""A row at the top from which three columns hang; the source is at the lower left."""
PINWHEEL = "2 c 4 / 6 f* 9 / 1 3 8"
"""Four arms from the middle, each bent to its left: bent to the right they fit as well."""


def described(text: str, wrap: bool = False, **overrides: object) -> State:
    board, sources = read(text)
    settings_of_level = {"rows": len(board), "cols": len(board[0]), "wrap": wrap, "max_steps": 0}
    level = LevelPipes(**{**settings_of_level, **overrides})
    values = values_of(board, sources, reached(board, sources, wrap))
    return GAME.from_symbols(level, values[None])


def board_of(
    state: State, row: int = 0
) -> tuple[Board, set[tuple[int, int]], set[tuple[int, int]]]:
    """Open sides, sources and wet pieces (sources among them)."""
    values = state.board[row].astype(int)
    board = np.where(values > 0, (values - 1) % 15 + 1, 0)
    sources = {(int(r), int(c)) for r, c in np.argwhere(values > 30)}
    wet = {(int(r), int(c)) for r, c in np.argwhere(values > 15)}
    return tuple(map(tuple, board.tolist())), sources, wet


def expected_values(board: Board, solutions: list[Board]) -> list[float | None]:
    """What the oracle must say of a board that is not solved."""
    expected: list[float | None] = []
    for r, line in enumerate(board):
        for c, sides in enumerate(line):
            if turned(sides) == sides:
                expected.append(None)
                continue
            after = [list(old) for old in board]
            after[r][c] = turned(sides)
            left = [turns_between(tuple(map(tuple, after)), solution) for solution in solutions]
            expected.append(-1.0 - min(left) if left else DEAD)
    return expected


def worth(state: State, row: int = 0) -> list[float | None]:
    return [None if np.isnan(value) else value for value in GAME.oracle(state)[row].tolist()]


def deals(level: str, count: int = 100, **overrides: object) -> State:
    return GAME.reset(GAME.level(level, **overrides), seeds_for("free", GAME.name, level, count))


# ---- positions worked out by hand
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # the lower left end shows left: one turn; others have to come round again
        ("6 e c / 5 5 5 / 8* 1 1", [-5, -5, -5, -3, -3, -3, -1, -5, -5]),
        # it shows right: right, down, left, up
        ("6 e c / 5 5 5 / 2* 1 1", [-7, -7, -7, -5, -5, -5, -3, -7, -7]),
        # a straight piece across: one turn, of either end
        ("6 e c / 5 a 5 / 1* 1 1", [-5, -5, -5, -3, -1, -3, -5, -5, -5]),
        # the upper left corner leads up and right (3): one turn to right and down (6)
        ("3 e c / 5 5 5 / 1* 1 1", [-1, -5, -5, -3, -3, -3, -5, -5, -5]),
        # down and left (c): left and up, up and right, right and down
        ("c e c / 5 5 5 / 1* 1 1", [-3, -7, -7, -5, -5, -5, -7, -7, -7]),
        # the T without its left (7): right, down, left (e) after one turn
        ("6 7 c / 5 5 5 / 1* 1 1", [-5, -1, -5, -3, -3, -3, -5, -5, -5]),
        # the T without its right (d): up, right, left; up, right, down; right, down, left
        ("6 d c / 5 5 5 / 1* 1 1", [-7, -3, -7, -5, -5, -5, -7, -7, -7]),
        # two pieces, one turn each
        ("6 e 6 / 5 a 5 / 1* 1 1", [-6, -6, -2, -4, -2, -4, -6, -6, -6]),
        # all straight ones across
        ("6 e c / a a a / 1* 1 1", [-7, -7, -7, -3, -3, -3, -7, -7, -7]),
    ],
)
def test_hand_made_positions(text, expected):
    state = described(text)
    assert worth(state) == expected
    mask = GAME.success_mask(state)[0].tolist()
    assert mask == [value == max(expected) for value in expected]
    board, *_ = board_of(state)
    assert len(ways_to_lay(board, False)) == 1


def test_water_flows_anew_after_each_turn():
    state = described("6 e c / 5 a 5 / 1* 1 1")
    assert board_of(state)[2] == {(2, 0), (1, 0), (0, 0), (0, 1), (0, 2), (1, 2), (2, 2)}
    cut, outcome = GAME.step(state, np.array([3]))
    assert board_of(cut)[2] == {(2, 0)}
    assert (outcome.gain[0], outcome.changed[0], outcome.terminated[0]) == (0, True, False)
    done, outcome = GAME.step(state, np.array([4]))
    assert len(board_of(done)[2]) == 9
    assert (outcome.gain[0], outcome.terminated[0]) == (1, True)
    assert np.isnan(GAME.oracle(done)).all()


def test_of_two_ways_to_lay_the_pieces_the_nearer_one_counts():
    board, _ = read(PINWHEEL)
    solutions = ways_to_lay(board, False)
    assert len(solutions) == 2
    # the upper left end shows up: one turn to the right; the other wheel is far
    state = described("1 c 4 / 6 f* 9 / 1 3 8")
    assert worth(state)[0] == -1
    assert worth(state)[4] is None, "a crossing cannot be turned"
    assert worth(state) == expected_values(board_of(state)[0], solutions)
    # all corners down and left: whichever wheel, the nearer one for each first move
    state = described("4 c 4 / c f* c / 4 c 4")
    assert worth(state) == expected_values(board_of(state)[0], solutions)


def test_on_a_board_that_wraps_pipes_meet_over_its_edges():
    # the comb with its back in the lowest row: the ends hang from the upper edge
    text = "5 5 5 / 1 1 1 / 6 e* c"
    state = described(text, wrap=True)
    assert state.terminated[0]
    assert GAME.scene(state).joins[0].tolist() == [[5, 5, 5], [1, 1, 1], [6, 14, 12]]
    dry = described(text)
    assert board_of(dry)[2] == {(2, 0), (2, 1), (2, 2)}
    assert set(worth(dry)) == {DEAD}, "without, a straight piece cannot be in a corner"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("6 e c / 5 5 5 / 1 8 1", "no source"),
        ("6 e c / 5 5 5 / 1* 8 1*", "two sources"),
        ("6 e c / 5 5 5 / 0 8* 1", "a piece is missing"),
        ("6 e e / 5 5 5 / 1* 8 1", "an open side too many"),
        ("6 e c / 5 5 5 / 1* 8 5", "a straight piece in the corner"),
        ("1 1 1 / 1 f* 1 / 7 7 3", "pieces that fit no way"),
        ("0 1* 0 / 0 0 0 / 0 1 0", "two ends apart"),
    ],
)
def test_boards_that_cannot_be_dealt_are_dead_and_stay_as_described(text, why):
    state = described(text)
    assert board_of(state)[:2] == read(text)
    assert {value for value in worth(state) if value is not None} == {DEAD}, why
    assert not GAME.success_mask(state).any()
    for cell in GAME.candidates(state, 0):
        GAME.explain(state, 0, cell)


def test_what_is_described_as_wet_stays_so_until_the_next_turn():
    board, sources = read("6 e c / 5 a 5 / 1* 1 1")
    level = LevelPipes(rows=3, cols=3, max_steps=0)
    wrong = values_of(board, sources, {(1, 1)})[None]
    state = GAME.from_symbols(level, wrong)
    assert np.array_equal(GAME.scene(state).symbols, wrong)
    assert not state.terminated[0]
    assert worth(state)[4] == -1, "what water reaches is of no account for what must be turned"
    after, _ = GAME.step(state, np.array([0]))
    assert board_of(after)[2] == {(2, 0), (1, 0), (0, 0)}
    everywhere = values_of(board, sources, set(cells_of(board)))[None]
    assert GAME.from_symbols(level, everywhere).terminated[0]


# ---- rules and oracle against the reference
@st.composite
def boards(draw):
    rows, cols = draw(st.integers(3, 5)), draw(st.integers(3, 5))
    lines = []
    for _ in range(rows):
        sides = draw(st.lists(st.integers(0, 15), min_size=cols, max_size=cols))
        stars = draw(st.lists(st.integers(0, 5), min_size=cols, max_size=cols))
        pairs = zip(sides, stars, strict=True)
        lines.append(" ".join(f"{side:x}" + "*" * (side > 0 and not star) for side, star in pairs))
    return " / ".join(lines)


@settings(max_examples=150, deadline=None)
@given(boards(), st.booleans())
def test_step_agrees_with_the_reference_on_any_board(text, wrap):
    state = described(text, wrap)
    board, sources = read(text)
    assert board_of(state)[:2] == (board, sources)
    over = reached(board, sources, wrap) >= set(cells_of(board))
    assert state.terminated[0] == over
    actions = np.arange(-1, GAME.n_actions(state.level))
    after, outcome = GAME.step(state.repeat(len(actions)), actions)
    legal = GAME.legal(state)[0]
    assert np.array_equal(~np.isnan(GAME.oracle(state))[0], legal)
    for row, action in enumerate(actions.tolist()):
        r, c = divmod(action, len(board[0]))
        moves = action >= 0 and not over and turned(board[r][c]) != board[r][c]
        new = [list(line) for line in board]
        if moves:
            new[r][c] = turned(board[r][c])
        new_board = tuple(map(tuple, new))
        wet = reached(new_board, sources, wrap)
        assert board_of(after, row) == (new_board, sources, wet)
        assert outcome.changed[row] == moves
        assert action < 0 or legal[action] == moves
        done = moves and wet == set(cells_of(new_board))
        assert (outcome.gain[row], outcome.terminated[row]) == (done, done or over)
        assert after.steps[row] == (not over)


@pytest.mark.parametrize(
    ("name", "overrides", "count"),
    [
        ("tiny", {}, 30),
        ("tiny", {"wrap": True}, 15),
        ("easy", {}, 15),
        ("easy", {"crossings": 0.2, "turned": 1.0}, 10),
        ("normal", {"rows": 4}, 8),
    ],
)
def test_deals_fit_in_one_way_and_the_oracle_counts_the_turns_to_it(name, overrides, count):
    state = deals(name, count, **overrides)
    for _ in range(2):
        for row in range(count):
            board, sources, _ = board_of(state, row)
            solutions = ways_to_lay(board, state.level.wrap)
            assert len(solutions) == 1
            assert len(sources) == 1
            if not state.ended[row]:
                assert worth(state, row) == expected_values(board, solutions)
        state, _ = GAME.step(state, GAME.draw_legal(state))


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_oracle_agrees_with_all_ways_to_lay_the_pieces_of_any_tree(data):
    """Trees drawn edge by edge, which may fit in many ways."""
    wrap = data.draw(st.booleans())
    empty: Board = ((0, 0, 0),) * 3
    sides = {(r, c): 0 for r, c in product(range(3), range(3))}
    edges = [(cell, side) for cell in sides for side in (1, 2)]
    for cell, side in data.draw(st.permutations(edges)):
        other = next_to(empty, cell, side, wrap)
        board = tuple(tuple(sides[r, c] for c in range(3)) for r in range(3))
        if other is not None and other not in reached(board, {cell}, wrap):
            sides[cell] |= 1 << side
            sides[other] |= 1 << (side + 2) % 4
    turns = {cell: data.draw(st.integers(0, 3)) for cell in sides}
    text = " / ".join(
        " ".join(
            f"{turned(sides[r, c], turns[r, c]):x}" + "*" * ((r, c) == (1, 1)) for c in range(3)
        )
        for r in range(3)
    )
    state = described(text, wrap)
    if not state.terminated[0]:
        board, *_ = board_of(state)
        assert worth(state) == expected_values(board, ways_to_lay(board, wrap))


# ---- deals
@pytest.mark.parametrize("name", ALL_LEVELS)
def test_deals_are_solved_by_the_oracle_in_as_many_turns_as_it_says(name):
    state = deals(name)
    level = state.level
    assert not state.ended.any()
    best = -np.nanmax(GAME.oracle(state), axis=1)
    assert (best >= 1).all()
    assert (best <= level.max_steps).all()
    sides = np.where(state.board > 0, (state.board - 1) % 15 + 1, 0)
    assert sides.all(), "every cell has a piece"
    ends = np.unpackbits(sides[..., None], axis=3).sum(axis=(1, 2, 3))
    assert (ends == 2 * (level.rows * level.cols - 1)).all(), "pipes without rings"
    crosses = (sides == 15).mean()
    assert abs(crosses - level.crossings) < 0.02
    assert len(np.unique(state.board, axis=0)) == 100
    wrong = (GAME.oracle(state) == -best[:, None]).sum(axis=1)
    can_turn = (sides < 15).sum(axis=(1, 2))
    assert np.array_equal(wrong, np.floor(level.turned * can_turn + 0.5))
    for turn in range(int(best.max())):
        values = np.nan_to_num(GAME.oracle(state), nan=2 * DEAD)
        moves = np.where(state.ended, NO_ACTION, values.argmax(axis=1))
        state, outcome = GAME.step(state, moves)
        assert np.array_equal(outcome.terminated, best <= turn + 1)
    assert (state.score == 1).all()


@pytest.mark.parametrize(
    "overrides", [{}, {"crossings": 0.2}, {"wrap": True}, {"rows": 8, "cols": 8}]
)
def test_the_largest_boards_fit_in_one_way_as_well(overrides):
    """Of pieces that fit in several ways some could be turned towards either, so that more pieces
    would be worth a turn than were turned.
    """
    state = deals("hard", 60, **{"rows": 8, "cols": 8, "wrap": False, "turned": 0.0, **overrides})
    values = GAME.oracle(state)
    assert ((values == np.nanmax(values, axis=1)[:, None]).sum(axis=1) == 1).all()


def test_from_easy_to_hard_fewer_moves_at_random_are_good():
    """The share of successes of 15 turns at random, and of pieces turned in reading order."""
    at_random, in_order = [], []
    for name in ("easy", "normal", "hard"):
        state = ordered = deals(name, 300)
        cells = state.board[0].size
        successes = []
        for turn in range(15):
            mask = GAME.success_mask(state)
            actions = np.random.default_rng(turn).integers(0, cells, 300)
            successes.append(mask[np.arange(300), actions].mean())
            state, _ = GAME.step(state, actions)
        at_random.append(np.mean(successes))
        in_order.append(
            np.mean([GAME.success_mask(ordered)[:, cell].mean() for cell in range(cells)])
        )
    assert at_random[0] > at_random[1] + 0.02 > at_random[2] + 0.04
    assert in_order[0] > in_order[1] + 0.02 > in_order[2] + 0.04


# ---- what is seen
def test_pipes_join_where_two_open_sides_meet():
    scene = GAME.scene(described("6 e 9 / 5 a 5 / 1* 1 1"))
    assert scene.kind == "sprite"
    assert scene.joins[0].tolist() == [[6, 8 + 2, 8], [5, 0, 4], [1, 0, 1]]
    assert scene.texts()[0].splitlines() == [
        "wet pipe right down|wet pipe right down left|wet pipe up left",
        "wet pipe up down|pipe right left|pipe up down",
        "source up|pipe up|pipe up",
    ]
    wrapped = GAME.scene(described("6 e 9 / 5 a 5 / 1* 1 1", wrap=True))
    assert wrapped.joins[0].tolist() == [[6, 8 + 2, 8], [5, 0, 4], [1, 0, 1]]


def test_equal_texts_are_equal_pictures_and_equal_values():
    state = deals("hard", 20)
    for _ in range(4):
        scene = GAME.scene(state)
        twin = GAME.from_symbols(state.level, scene.symbols)
        assert np.array_equal(twin.board, state.board)
        assert np.array_equal(GAME.scene(twin).joins, scene.joins)
        assert np.array_equal(GAME.oracle(twin), GAME.oracle(state), equal_nan=True)
        state, _ = GAME.step(state, GAME.draw_legal(state))


def test_every_piece_has_a_name_and_a_drawing():
    assert len(set(NAMES)) == len(NAMES) == 1 + 3 * 15
    assert set(NAMES) <= set(SPRITES)
    assert NAMES[0] == "no pipe"
    assert NAMES[5] == "pipe up down"
    assert NAMES[15 + 10] == "wet pipe right left"
    assert NAMES[45] == "source up right down left"


def test_answers_and_explanations():
    state = described("6 e c / 5 a 5 / 1* 1 1")
    assert GAME.decode(state.level, "(1, 1)").action == 4
    assert GAME.decode(state.level, "(3, 0)").problem == "out_of_range"
    assert GAME.explain(state, 0, 4) == "(1, 1) 0 to go"
    assert GAME.explain(state, 0, 0) == "(0, 0) 4 to go"
    assert "Nothing is beyond" in GAME.rules(state.level)
    assert "wraps around" in GAME.rules(GAME.level("hard"))
    assert GAME.reasoning(state, 0, GAME.oracle(state)[0])[1] == 4


def test_bad_levels_name_the_field():
    for bad, field in [
        ({"rows": 2}, "rows"),
        ({"cols": 9}, "cols"),
        ({"crossings": 0.3}, "crossings"),
    ]:
        with pytest.raises(ConfigError, match=f"LevelPipes.{field} = "):
            LevelPipes(**bad)
