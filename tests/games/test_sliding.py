"""The sliding puzzle: the kernels agree with plain lists, the oracle with a plain search, and a
state is a value.
"""

from __future__ import annotations

from collections import deque
from functools import cache
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vlmgym.core import DEAD, NO_ACTION, ConfigError, State, seeds_for
from vlmgym.games.sliding import LevelSliding, SlidingPuzzle
from vlmgym.games.solvers import fifteen
from vlmgym.games.solvers.fifteen import NODES

GAME = SlidingPuzzle()
Flat = tuple[int, ...]
LARGE = {"rows": 4, "cols": 4}


# ---- plain reference
def slid(flat: Flat, rows: int, cols: int, move: int) -> Flat | None:
    """The board after a move; None where nothing moves."""
    if 0 not in flat:
        return None
    gap = flat.index(0)
    r, c = divmod(gap, cols)
    i, j = {0: (r + 1, c), 1: (r, c - 1), 2: (r - 1, c), 3: (r, c + 1)}[move]
    if not (0 <= i < rows and 0 <= j < cols) or flat[i * cols + j] == 0:
        return None
    new = list(flat)
    new[gap], new[i * cols + j] = new[i * cols + j], 0
    return tuple(new)


def goal(cells: int) -> Flat:
    return (*range(1, cells), 0)


@cache
def distances(rows: int, cols: int) -> dict[Flat, int]:
    """Moves to the solved board, by a plain breadth-first search."""
    found, queue = {goal(rows * cols): 0}, deque([goal(rows * cols)])
    while queue:
        flat = queue.popleft()
        for move in range(4):
            new = slid(flat, rows, cols, move)
            if new is not None and new not in found:
                found[new] = found[flat] + 1
                queue.append(new)
    return found


def board(state: State, row: int = 0) -> Flat:
    return tuple(state.board[row].ravel().tolist())


def described(flats: list[Flat], rows: int, cols: int, **overrides: object) -> State:
    level = GAME.level("easy", rows=rows, cols=cols, **overrides)
    return GAME.from_symbols(level, np.array(flats, np.int16).reshape(-1, rows, cols))


def deals(level: str, count: int = 200, **overrides: object) -> State:
    return GAME.reset(GAME.level(level, **overrides), seeds_for("free", GAME.name, level, count))


# ---- moves
@settings(max_examples=150)
@given(st.data())
def test_step_agrees_with_the_reference_on_any_board(data):
    rows, cols = data.draw(st.integers(2, 5)), data.draw(st.integers(2, 5))
    cells = rows * cols
    anything = st.lists(st.integers(0, cells - 1), min_size=cells, max_size=cells).map(tuple)
    flat = data.draw(anything | st.permutations(range(cells)).map(tuple))
    state = described([flat], rows, cols, max_steps=0)
    before = state.to_bytes(GAME)
    over = flat == goal(cells)
    assert state.terminated[0] == over
    for move in range(-1, 4):
        after, outcome = GAME.step(state, np.array([move]))
        new = None if move < 0 or over else slid(flat, rows, cols, move)
        assert board(after) == (flat if new is None else new)
        assert outcome.changed[0] == (new is not None)
        assert outcome.gain[0] == after.score[0] == (new == goal(cells))
        assert after.terminated[0] == outcome.terminated[0] == (over or new == goal(cells))
        assert after.steps[0] == (not over)
        if move >= 0:
            assert GAME.legal(state)[0, move] == (new is not None)
    assert state.to_bytes(GAME) == before


def test_up_moves_the_tile_below_the_gap():
    state = described([(1, 0, 2, 3, 4, 5)], 2, 3)
    assert board(GAME.step(state, np.array([0]))[0]) == (1, 4, 2, 3, 0, 5)
    assert board(GAME.step(state, np.array([1]))[0]) == (0, 1, 2, 3, 4, 5)
    assert board(GAME.step(state, np.array([3]))[0]) == (1, 2, 0, 3, 4, 5)
    assert GAME.legal(state).tolist() == [[True, True, False, True]]
    assert GAME.candidates(state, 0) == [0, 1, 3]


def test_without_an_action_only_the_turn_counts():
    state = deals("normal", 5)
    after, outcome = GAME.step(state, np.full(5, NO_ACTION))
    assert np.array_equal(after.board, state.board)
    assert (after.steps == 1).all()
    assert not outcome.changed.any()
    assert not GAME.success(state, np.full(5, NO_ACTION), outcome).any()


# ---- oracle
@pytest.mark.parametrize(("rows", "cols"), [(2, 2), (2, 3), (3, 2)])
def test_oracle_is_exact_on_every_board(rows, cols):
    flats, known = list(permutations(range(rows * cols))), distances(rows, cols)
    state = described(flats, rows, cols)
    value, good = GAME.oracle(state), GAME.success_mask(state)
    for flat, row, marks in zip(flats, value.tolist(), good.tolist(), strict=True):
        expected = [None] * 4
        for move in range(4):
            new = slid(flat, rows, cols, move)
            if new is not None and flat != goal(rows * cols):
                expected[move] = -1.0 - known[new] if new in known else DEAD
        assert [None if np.isnan(v) else v for v in row] == expected
        best = max([v for v in expected if v is not None and v > DEAD], default=None)
        assert marks == [v is not None and v == best for v in expected]


def test_search_agrees_with_the_table():
    """The search of larger boards, run on small ones, and on 3x4 boards near the goal."""
    state = deals("normal", 40)
    legal, value = GAME.legal(state), np.empty((40, 4))
    fifteen._values(state.board, legal, np.empty(0, np.uint8), value)
    assert np.array_equal(value, GAME.oracle(state), equal_nan=True)
    state = described([(1, 3, 2, 4, 5, 6, 7, 8, 0)] * 2, 3, 3)
    fifteen._values(state.board, GAME.legal(state), np.empty(0, np.uint8), value[:2])
    assert np.nanmax(value[:2]) == np.nanmin(value[:2]) == DEAD


def test_parity_agrees_with_the_table():
    flats = list(permutations(range(6)))
    for rows, cols in ((2, 3), (3, 2)):
        known = distances(rows, cols)
        assert all(
            fifteen.solvable(np.array(f, np.uint8).reshape(rows, cols)) == (f in known)
            for f in flats
        )


@settings(max_examples=60)
@given(st.integers(0, 2**64 - 1), st.integers(1, 18))
def test_larger_boards_are_solved_in_no_more_moves_than_they_were_scrambled_by(seed, scramble):
    state = GAME.reset(
        GAME.level("hard", rows=4, cols=5, scramble=scramble), np.array([seed], np.uint64)
    )
    best = -np.nanmax(GAME.oracle(state))
    assert best <= scramble
    assert (best - scramble) % 2 == 0
    assert best >= fifteen.lower_bound(state.board[0])


def test_linear_conflicts_count_the_tiles_that_must_leave_their_line():
    for line, extra in [
        ((1, 2, 3, 4), 0),
        ((2, 1, 3, 4), 2),
        ((3, 2, 1, 4), 4),
        ((4, 1, 2, 3), 2),
        ((2, 4, 1, 3), 4),
    ]:
        flat = np.array([*line, *range(5, 16), 0], np.uint8).reshape(4, 4)
        manhattan = sum(abs(k - line.index(k + 1)) for k in range(4))
        assert fifteen.lower_bound(flat) == manhattan + extra


@settings(max_examples=60)
@given(st.integers(0, 2**64 - 1), st.integers(1, 300), st.data())
def test_the_bound_is_kept_up_to_date_and_never_too_high(seed, scramble, data):
    state = GAME.reset(GAME.level("normal", scramble=scramble), np.array([seed], np.uint64))
    flat = state.board[0].copy()
    assert fifteen.lower_bound(flat) <= distances_3x3(flat)
    move = data.draw(st.sampled_from(GAME.candidates(state, 0)))
    r, c = fifteen.gap(flat)
    before = fifteen.lower_bound(flat)
    change = fifteen.slide_tile(flat, r, c, move)
    assert fifteen.lower_bound(flat) == before + change
    assert np.array_equal(flat, GAME.step(state, np.array([move]))[0].board[0])


def distances_3x3(flat: np.ndarray) -> int:
    return int(fifteen.table_of(3, 3)[fifteen.rank_of(flat.ravel())])


def test_table_of_the_8_puzzle_has_the_known_counts():
    table = fifteen.table_of(3, 3)
    reached = table[table < 255]
    assert len(reached) == 181_440
    assert reached.max() == 31
    assert (reached == 31).sum() == 2


def test_beyond_the_budget_the_value_is_the_bound():
    flat = (0, 12, 9, 13, 15, 11, 10, 14, 3, 7, 5, 6, 4, 8, 2, 1)  # one of the hardest 15-puzzles
    state = described([flat], 4, 4)
    value = GAME.oracle(state)[0]
    for move in GAME.candidates(state, 0):
        after = np.array(slid(flat, 4, 4, move), np.uint8).reshape(4, 4)
        assert value[move] == -1 - fifteen.lower_bound(after)
    assert -80 < np.nanmax(value) < -40
    assert NODES >= 100_000


@pytest.mark.parametrize(("name", "count"), [*((name, 200) for name in GAME.LEVELS)])
def test_deals_are_solved_by_the_oracle_in_as_many_moves_as_it_says(name, count):
    state = deals(name, count)
    assert not state.ended.any()
    best = -np.nanmax(GAME.oracle(state), axis=1)
    assert (best >= 1).all()
    assert (best <= state.level.max_steps).all()
    if name == "hard":
        state, best = state[:40], best[:40]
    for turn in range(int(best.max())):
        value, alive = GAME.oracle(state), ~state.ended
        assert np.array_equal(-np.nanmax(value[alive], axis=1), best[alive] - turn)
        moves = np.where(alive, np.nan_to_num(value, nan=DEAD).argmax(axis=1), NO_ACTION)
        state, outcome = GAME.step(state, moves)
        assert np.array_equal(outcome.terminated, best <= turn + 1)
    assert state.terminated.all()
    assert np.array_equal(state.steps, best)
    assert (state.score == 1).all()


# ---- values, texts
def test_ended_rows_absorb():
    solved = described([goal(9)] * 4, 3, 3)
    cut = GAME.step(deals("easy", 4, max_steps=1), np.full(4, NO_ACTION))[0]
    for state in (solved, cut):
        after, outcome = GAME.step(state, np.arange(4))
        assert after == state
        assert not outcome.gain.any()
        assert not GAME.legal(state).any()
        assert not GAME.success_mask(state).any()
        assert np.isnan(GAME.oracle(state)).all()
        assert GAME.explain(state, 0, 0) == "0 up no"


def test_restart_deals_afresh():
    state = described([(1, 2, 3, 4, 5, 6, 7, 0, 8)], 3, 3, restart=True)
    after, outcome = GAME.step(state, np.array([3]))
    assert outcome.gain[0] == after.score[0] == 1
    assert not after.terminated[0]
    assert sorted(board(after)) == list(range(9))
    assert board(after) != goal(9)


@settings(max_examples=100)
@given(st.data())
def test_any_symbols_make_a_state(data):
    rows, cols = data.draw(st.integers(2, 3)), data.draw(st.integers(2, 5))
    cells = rows * cols
    flat = tuple(data.draw(st.lists(st.integers(0, cells - 1), min_size=cells, max_size=cells)))
    state = described([flat], rows, cols)
    symbols = GAME.scene(state).symbols
    assert symbols.ravel().tolist() == list(flat)
    assert np.array_equal(~np.isnan(GAME.oracle(state)), GAME.legal(state))
    if sorted(flat) != list(range(cells)):
        assert not GAME.success_mask(state).any()
    for move in range(4):
        assert ";" not in GAME.explain(state, 0, move)


@pytest.mark.parametrize("name", GAME.LEVELS)
def test_scene_and_symbols_are_inverse(name):
    state = deals(name, 20)
    scene = GAME.scene(state)
    assert scene.names == tuple(str(k) for k in range(state.board[0].size))
    assert scene.kind == "number"
    twin = GAME.from_symbols(state.level, scene.symbols)
    assert np.array_equal(GAME.scene(twin).symbols, scene.symbols)
    assert np.array_equal(GAME.legal(twin), GAME.legal(state))
    assert len(GAME.reset(state.level, np.zeros(0, np.uint64))) == 0
    assert GAME.from_symbols(state.level, scene.symbols[:0]).board.shape == (
        0,
        *scene.symbols.shape[1:],
    )


def test_answers_and_explanations():
    level = GAME.level("easy")
    assert [GAME.decode(level, GAME.encode(level, a)).action for a in range(4)] == [0, 1, 2, 3]
    assert GAME.decode(level, "4").problem == "out_of_range"
    assert GAME.decode(level, "up").problem == "not_a_move"
    state = described([(1, 2, 3, 4, 5, 6, 7, 0, 8), (2, 1, 3, 4, 5, 6, 7, 0, 8)], 3, 3)
    assert [GAME.explain(state, 0, a) for a in range(4)] == [
        "0 up no",
        "1 right 2 to go",
        "2 down 2 to go",
        "3 left 0 to go",
    ]
    assert GAME.explain(state, 1, 3) == "3 left dead"
    assert "3 rows and 3 columns with the tiles 1 to 8" in GAME.rules(level)
    assert "0 = up" in GAME.answer_format(level)


def test_bad_levels_name_the_field():
    for field, value in [("rows", 1), ("cols", 6), ("scramble", 0), ("scramble", 2.0)]:
        with pytest.raises(ConfigError, match=f"LevelSliding.{field} = "):
            LevelSliding(**{field: value})


def test_scrambles_that_come_back_go_on():
    """On 2x2 boards every 12th move without a return is the solved board."""
    state = deals("easy", 50, rows=2, cols=2, scramble=12)
    assert not (state.board.reshape(50, 4) == goal(4)).all(axis=1).any()
