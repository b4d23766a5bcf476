"""Minesweeper against plain references: what a move reveals, and the exact probability of a
mine.
"""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vlmgym.core import ConfigError, seeds_for
from vlmgym.games.minesweeper import Minesweeper
from vlmgym.games.solvers import mines as solver
from vlmgym.games.solvers.mines import APPROXIMATE, EXACT, HIDDEN, IMPOSSIBLE, MINE

GAME = Minesweeper()


def around(r, c, rows, cols):
    return [
        (i, j)
        for i in range(max(r - 1, 0), min(r + 2, rows))
        for j in range(max(c - 1, 0), min(c + 2, cols))
    ]


def reveal(board, mines, action):
    """Reference on lists of lists; returns (board after, gain, ended)."""
    rows, cols, board = len(board), len(board[0]), [list(line) for line in board]
    r, c = divmod(action, cols)
    if board[r][c] != HIDDEN:
        return board, 0, False
    if mines[r][c]:
        board[r][c] = MINE
        return board, 0, True
    gain, todo = 0, [(r, c)]
    while todo:
        r, c = todo.pop(0)
        if board[r][c] == HIDDEN:
            board[r][c] = sum(int(mines[i][j]) for i, j in around(r, c, rows, cols))
            gain += 1
            if board[r][c] == 0:
                todo += around(r, c, rows, cols)
    left = sum(board[i][j] == HIDDEN and not mines[i][j] for i in range(rows) for j in range(cols))
    return board, gain, left == 0


def probabilities(board, mines):
    """Reference: all layouts, one by one; None if none fits."""
    rows, cols = board.shape
    hidden, exploded = np.argwhere(board == HIDDEN), board == MINE
    total, count = np.zeros((rows, cols)), 0
    left = mines - int(exploded.sum())
    if left < 0:
        return None
    for chosen in combinations(range(len(hidden)), left):
        layout = exploded.copy()
        for k in chosen:
            layout[tuple(hidden[k])] = True
        padded = np.pad(layout.astype(int), 1)
        seen = sum(padded[i : i + rows, j : j + cols] for i in range(3) for j in range(3))
        if (seen == board)[board < HIDDEN].all():
            total += layout
            count += 1
    return np.where(board == HIDDEN, total / count, np.nan).ravel() if count else None


def study(level, board):
    chance, layout, kind = solver.study(
        np.ascontiguousarray(board, np.uint8)[None], level.mines, np.zeros(1, bool)
    )
    return chance[0], layout[0], int(kind[0])


def random_play(level, seeds, moves, rng):
    """States some random safe or unsafe moves into their games."""
    state = GAME.reset(level, seeds)
    for _ in range(moves):
        legal = GAME.legal(state)
        actions = np.array([rng.choice(np.flatnonzero(row)) if row.any() else -1 for row in legal])
        state, _ = GAME.step(state, actions)
    return state


@pytest.mark.parametrize("name", GAME.LEVELS)
def test_moves_agree_with_the_reference(name):
    rng = np.random.default_rng(1)
    level = GAME.level(name)
    state, ends = GAME.reset(level, seeds_for("free", "Minesweeper", name, 40)), 0
    for turn in range(6):
        before = state.to_bytes(GAME)
        actions = rng.integers(-1, GAME.n_actions(level), 40)
        actions[::4] = GAME.success_mask(state)[::4].argmax(axis=1)
        legal = GAME.legal(state)
        after, outcome = GAME.step(state, actions)
        assert state.to_bytes(GAME) == before, "step must not touch its input"
        for i in range(40):
            board, gain, over = state.board[i].tolist(), 0, bool(state.terminated[i])
            if not over and actions[i] >= 0:
                board, gain, over = reveal(board, state.mines[i].tolist(), int(actions[i]))
                assert legal[i, actions[i]] == (board != state.board[i].tolist())
            assert after.board[i].tolist() == board
            assert (outcome.gain[i], outcome.terminated[i]) == (gain, over)
            assert outcome.changed[i] == (board != state.board[i].tolist())
            assert after.score[i] == state.score[i] + gain
            assert GAME.success_mask(state)[i, actions[i]] == (gain > 0) or actions[i] < 0
        assert (after.steps == state.steps + ~state.ended).all()
        ended = np.flatnonzero(state.ended)
        assert after[ended] == state[ended]
        assert not GAME.legal(after)[after.ended].any()
        ends += after.ended.sum()
        for i in (0, 7, 39):
            assert GAME.step(state[i], actions[i : i + 1])[0] == after[i], turn
        state = after
    assert ends > 0


@pytest.mark.parametrize("name", GAME.LEVELS)
def test_deals(name):
    level = GAME.level(name)
    seeds = seeds_for("free", "Minesweeper", name, 200)
    state = GAME.reset(level, seeds)
    assert (state.mines.sum(axis=(1, 2)) == level.mines).all()
    assert not state.ended.any()
    assert (state.board == 0).any(axis=(1, 2)).all(), "the opening is a 0"
    assert GAME.success_mask(state).any(axis=1).all()
    assert not (state.board == MINE).any()
    assert not (state.mines & (state.board != HIDDEN)).any()
    assert len({b.tobytes() for b in state.mines}) > 50
    again = GAME.reset(level, seeds)
    assert again == state
    assert GAME.reset(level, seeds[17:18]) == state[17]
    assert GAME.from_bytes(state.to_bytes(GAME)) == state


@pytest.mark.parametrize("rows", [2, 3, 5])
@pytest.mark.parametrize("cols", [2, 4, 16])
def test_every_number_of_mines_deals(rows, cols):
    for mines in range(1, rows * cols - 1):
        level = GAME.level("easy", rows=rows, cols=cols, mines=mines, guess_free=mines % 2 == 0)
        state = GAME.reset(level, seeds_for("free", "Minesweeper", "m", 3))
        assert (state.mines.sum(axis=(1, 2)) == mines).all()
        assert not state.ended.any()
        assert GAME.success_mask(state).any(axis=1).all()
        assert ((state.board != HIDDEN) & ~state.mines).any(axis=(1, 2)).all()
        if mines <= rows * cols - 4:
            assert (state.board == 0).any(axis=(1, 2)).all(), (
                "in a corner an opening without mines around is possible"
            )


@pytest.mark.parametrize(
    ("rows", "cols", "mines"), [(4, 4, 2), (3, 4, 4), (4, 4, 5), (2, 5, 3), (3, 3, 1)]
)
def test_probabilities_agree_with_all_layouts(rows, cols, mines):
    rng = np.random.default_rng(rows + cols + mines)
    level = GAME.level("hard", rows=rows, cols=cols, mines=mines, max_steps=0)
    for moves in (0, 1, 3):
        state = random_play(level, seeds_for("free", "Minesweeper", "p", 12), moves, rng)
        for i in range(len(state)):
            chance, layout, kind = study(level, state.board[i])
            assert kind == EXACT
            expected = probabilities(state.board[i], mines)
            np.testing.assert_allclose(chance, expected, rtol=0, atol=1e-9)
            assert ((chance == 0) == (expected == 0)).all(), "certain safety is exact"
            fits = probabilities(np.where(layout, MINE, state.board[i]), mines)
            assert layout.sum() == mines
            assert fits is not None, "the layout fits what is seen"
            if not state.ended[i]:
                np.testing.assert_array_equal(GAME.oracle(state[i])[0], 1 - chance)


@given(
    st.integers(0, 2**32 - 1), st.integers(0, 3), st.sampled_from([(3, 3, 2), (4, 3, 4), (2, 4, 1)])
)
def test_probabilities_on_described_boards(seed, exploded, size):
    rows, cols, mines = size
    rng = np.random.default_rng(seed)
    board = np.where(
        rng.random((rows, cols)) < 0.6, HIDDEN, rng.choice(4, (rows, cols), p=[0.3, 0.4, 0.2, 0.1])
    )
    if exploded == 3:
        board[rng.integers(rows), rng.integers(cols)] = MINE
    level = GAME.level("hard", rows=rows, cols=cols, mines=mines)
    chance, layout, kind = study(level, board)
    expected = probabilities(board, mines)
    assert (kind == EXACT) == (expected is not None)
    if expected is None:
        left, hidden = mines - (board == MINE).sum(), max((board == HIDDEN).sum(), 1)
        assert kind == IMPOSSIBLE
        expected = np.where(board.ravel() == HIDDEN, np.clip(left / hidden, 0, 1), np.nan)
        flat = np.flatnonzero(board.ravel() == HIDDEN)[: max(left, 0)]
        assert np.flatnonzero(layout.ravel() & (board.ravel() != MINE)).tolist() == flat.tolist()
    np.testing.assert_allclose(chance, expected, rtol=0, atol=1e-9)


def test_probabilities_know_the_classic_patterns():
    level = GAME.level("hard", rows=3, cols=3, mines=1)
    board = np.array([[1, HIDDEN, HIDDEN], [HIDDEN] * 3, [HIDDEN] * 3])
    np.testing.assert_allclose(study(level, board)[0][1:5], [1 / 3, 0, 1 / 3, 1 / 3])
    # half the board far from any number: the mines that are left spread evenly
    level = GAME.level("hard", rows=2, cols=16, mines=10)
    board = np.full((2, 16), HIDDEN)
    board[:, 0] = 1
    chance = study(level, board)[0].reshape(2, 16)
    np.testing.assert_allclose(chance[:, 1], 0.5)
    np.testing.assert_allclose(chance[:, 2:], 9 / 28)


def test_too_large_a_frontier_is_approximated():
    level = GAME.level("hard", rows=16, cols=16, mines=100)
    board = np.full((16, 16), HIDDEN)
    board[1::2, 1::2] = 3
    chance, layout, kind = study(level, board)
    assert kind == APPROXIMATE
    assert ((chance >= 0) & (chance <= 1))[board.ravel() == HIDDEN].all()
    assert chance[17 * 3 - 1] == pytest.approx(3 / 8)
    assert layout.sum() == 100


@pytest.mark.parametrize("name", ["easy", "normal", "tiny"])
def test_guess_free_deals_need_no_guess(name):
    state = GAME.reset(GAME.level(name), seeds_for("test", "Minesweeper", name, 100))
    start = (~state.mines & (state.board == HIDDEN)).sum(axis=(1, 2))
    while not state.ended.all():
        value = GAME.oracle(state)
        assert (np.nanmax(value[~state.ended], axis=1) == 1.0).all()
        state, _ = GAME.step(state, np.nan_to_num(value, nan=-1).argmax(axis=1))
    assert not (state.board == MINE).any()
    assert state.terminated.all()
    assert (state.score == start).all()


def test_oracle_survives_more_often_than_chance_on_hard_boards():
    state = GAME.reset(GAME.level("hard"), seeds_for("test", "Minesweeper", "hard", 100))
    while not state.ended.all():
        state, _ = GAME.step(state, np.nan_to_num(GAME.oracle(state), nan=-1).argmax(axis=1))
    won = (state.board == HIDDEN).sum(axis=(1, 2)) == 22
    assert 0.4 < won.mean() < 0.9


@pytest.mark.parametrize("name", GAME.LEVELS)
def test_nothing_that_is_shown_depends_on_the_hidden_mines(name):
    level, rng = GAME.level(name), np.random.default_rng(3)
    state = random_play(level, seeds_for("free", "Minesweeper", name, 30), 2, rng)
    twin = GAME.from_symbols(level, GAME.scene(state).symbols)
    assert name == "tiny" or not np.array_equal(twin.mines, state.mines)
    one, other = GAME.scene(state), GAME.scene(twin)
    assert np.array_equal(one.symbols, other.symbols)
    assert one.texts()[:30] == other.texts()[:30]
    assert (twin.mines.sum(axis=(1, 2)) == level.mines).all()
    assert np.array_equal(twin.terminated, state.terminated)
    assert np.array_equal(GAME.legal(twin), GAME.legal(state))
    np.testing.assert_array_equal(GAME.oracle(twin), GAME.oracle(state))
    assert np.array_equal(~np.isnan(GAME.oracle(state)), GAME.legal(state))
    for i in range(30):
        assert GAME.candidates(twin, i) == GAME.candidates(state, i)
        for action in range(GAME.n_actions(level)):
            assert GAME.explain(twin, i, action) == GAME.explain(state, i, action)


def test_a_move_works_on_a_description_if_none_is_safer():
    level = GAME.level("hard", rows=3, cols=3, mines=1)
    board = np.array([[1, HIDDEN, HIDDEN], [HIDDEN] * 3, [HIDDEN] * 3], np.int16)
    works = GAME.would_succeed(level, np.repeat(board[None], 10, axis=0), np.arange(-1, 9))
    assert np.flatnonzero(works).tolist() == [3, 6, 7, 8, 9]
    board[2, 2] = MINE
    assert not GAME.would_succeed(level, board[None], np.array([2])).any(), (
        "a described mine: the game has ended there"
    )


@given(
    st.integers(0, 2**32 - 1), st.sampled_from(["easy", "normal", "hard", "tiny"]), st.floats(0, 1)
)
def test_any_description_gives_a_state(seed, name, share):
    rng, level = np.random.default_rng(seed), GAME.level(name)
    symbols = rng.integers(0, 11, (3, level.rows, level.cols)).astype(np.int16)
    symbols[rng.random(symbols.shape) < share] = HIDDEN
    state = GAME.from_symbols(level, symbols)
    assert np.array_equal(GAME.scene(state).symbols, symbols)
    value = GAME.oracle(state)
    assert np.array_equal(~np.isnan(value), GAME.legal(state))
    assert not ((value < 0) | (value > 1)).any()
    actions = rng.integers(-1, GAME.n_actions(level), 3)
    GAME.would_succeed(level, symbols, actions)
    GAME.step(state, actions)
    for i in range(3):
        assert set(GAME.candidates(state, i)) <= set(np.flatnonzero(GAME.legal(state)[i]))
        assert ";" not in GAME.explain(state, i, int(abs(actions[i])))


def test_answers_are_cells():
    for name in GAME.LEVELS:
        level = GAME.level(name)
        for action in range(GAME.n_actions(level)):
            assert GAME.decode(level, GAME.encode(level, action)).action == action
    level = GAME.level("normal")
    assert GAME.encode(level, 10) == "(1, 2)"
    assert GAME.decode(level, " (1,2)\n").action == 10
    for text, problem in [
        ("(8, 0)", "out_of_range"),
        ("(0, 8)", "out_of_range"),
        ("1, 2", "not_a_move"),
        ("(1, 2) (1, 3)", "not_a_move"),
        ("reveal (1, 2)", "not_a_move"),
        ("", "not_a_move"),
    ]:
        assert (GAME.decode(level, text).action, GAME.decode(level, text).problem) == (
            -1,
            problem,
        ), text


def test_explanations_and_candidates():
    level = GAME.level("hard", rows=3, cols=3, mines=1)
    state = GAME.from_symbols(
        level, np.array([[[1, HIDDEN, HIDDEN], [HIDDEN] * 3, [HIDDEN] * 3]], np.int16)
    )
    assert [GAME.explain(state, 0, a) for a in (0, 1, 2)] == [
        "(0, 0) open",
        "(0, 1) mine 0.33",
        "(0, 2) safe",
    ]
    assert GAME.candidates(state, 0) == [2, 5, 6]
    assert "3 rows" in GAME.rules(level)
    assert "1 mine is" in GAME.rules(level)
    assert "(0, 1)" in GAME.answer_format(level)


def test_bad_levels_are_refused():
    for bad, name in [
        ({"mines": 24}, "mines"),
        ({"mines": 0}, "mines"),
        ({"rows": 17}, "rows"),
        ({"guess_free": 1}, "guess_free"),
    ]:
        with pytest.raises(ConfigError, match=f"LevelMinesweeper.{name}"):
            GAME.level("easy", **bad)
    assert GAME.level("easy", mines=23).mines == 23


def test_restart_deals_again_and_keeps_the_score():
    level = GAME.level("tiny", restart=True, max_steps=0)
    state = GAME.reset(level, seeds_for("free", "Minesweeper", "r", 20))
    for _ in range(40):
        state, outcome = GAME.step(state, np.nan_to_num(GAME.oracle(state), nan=-1).argmax(axis=1))
        assert not state.terminated.any()
        assert (outcome.gain > 0).all()
    assert (state.score >= 40).all()
