"""Lights Out: play agrees with plain lists, the oracle with searches over all boards and with what
is published.
"""

from __future__ import annotations

import numpy as np
import pytest

from vlmgym.core import DEAD, NO_ACTION, ConfigError, seeds_for
from vlmgym.games.lights_out import LevelLightsOut, LightsOut
from vlmgym.games.solvers.lamps import lamps_of

GAME = LightsOut()


# ---- plain reference
def pressed(lines, cell, wrap):
    """The board after a press: lines of ``#`` (on) and ``.``."""
    rows, cols = len(lines), len(lines[0])
    switched = set()
    for row_step, column_step in ((0, 0), (-1, 0), (0, 1), (1, 0), (0, -1)):
        row, column = cell[0] + row_step, cell[1] + column_step
        if wrap:
            switched.add((row % rows, column % cols))
        elif 0 <= row < rows and 0 <= column < cols:
            switched.add((row, column))
    other = {"#": ".", ".": "#"}
    return [
        "".join(other[sign] if (r, c) in switched else sign for c, sign in enumerate(line))
        for r, line in enumerate(lines)
    ]


def words_of(rows, cols, wrap):
    """The lamps that each press switches, as the bits of a number."""
    dark = ["." * cols] * rows
    words = []
    for cell in range(rows * cols):
        signs = "".join(pressed(dark, divmod(cell, cols), wrap))
        words.append(sum(1 << lamp for lamp, sign in enumerate(signs) if sign == "#"))
    return np.array(words)


def distances(rows, cols, wrap):
    """The presses that each board needs, by its bits; -1 where there is no solution."""
    words = words_of(rows, cols, wrap)
    distance, front = np.full(1 << rows * cols, -1), np.zeros(1, np.int64)
    for depth in range(rows * cols + 1):
        distance[front] = depth
        front = np.unique(front[:, None] ^ words)
        front = front[distance[front] < 0]
    return distance


def described(text, wrap=False):
    lines = text.split()
    level = LevelLightsOut(rows=len(lines), cols=len(lines[0]), wrap=wrap)
    symbols = [[".#".index(sign) for sign in line] for line in lines]
    return GAME.from_symbols(level, np.array([symbols], np.int16))


def from_bits(level, boards):
    cells = level.rows * level.cols
    symbols = (np.asarray(boards)[:, None] >> np.arange(cells) & 1).astype(np.int16)
    return GAME.from_symbols(level, symbols.reshape(-1, level.rows, level.cols))


def deals(level, count=300, **overrides):
    return GAME.reset(GAME.level(level, **overrides), seeds_for("free", GAME.name, level, count))


def lit(rows, cols):
    return " ".join(["#" * cols] * rows)


# ---- positions
POSITIONS = {
    "one press in the middle": (".#. ### .#.", False, 1),
    "one press in a corner": ("##. #.. ...", False, 1),
    "one press at an edge": ("#.. ##. #..", False, 1),
    "one press in a corner, over the edges": ("##..# #.... ..... ..... #....", True, 1),
    # two rows: the lamps above and below are the same one, which changes once
    "one press on two rows, over the edges": ("### #..", True, 1),
    # a press of 2x2 leaves out the opposite corner only
    "one lamp of 2x2 takes the presses that it is next to": ("#. ..", False, 3),
    "2x2 all lit takes all presses": (lit(2, 2), False, 4),
    # two presses of 3x3 light 8 lamps at most; a row of three reaches each lamp an odd number of
    # times
    "3x3 all lit over the edges takes a row": (lit(3, 3), True, 3),
    # the five quiet cells of 5x5 are the only lamps that can be alone
    "a lamp alone in the middle of 5x5": ("..... ..... ..#.. ..... .....", False, None),
    "a lamp alone in the corner of 5x5": ("#.... ..... ..... ..... .....", False, DEAD),
    "a lamp alone at the edge of 5x5": ("..#.. ..... ..... ..... .....", False, DEAD),
    "a lamp alone next to the corner of 5x5": ("..... .#... ..... ..... .....", False, None),
    # all lamps lit, n x n: OEIS A075462
    "3x3 all lit takes corners and middle": (lit(3, 3), False, 5),
    "4x4 all lit": (lit(4, 4), False, 4),
    "5x5 all lit": (lit(5, 5), False, 15),
    "6x6 all lit": (lit(6, 6), False, 28),
    "7x7 all lit": (lit(7, 7), False, 33),
    "8x8 all lit": (lit(8, 8), False, 40),
}


@pytest.mark.parametrize("what", POSITIONS)
def test_hand_made_positions_need_as_many_presses_as_they_should(what):
    text, wrap, presses = POSITIONS[what]
    state = described(text, wrap)
    best = GAME.oracle(state).max()
    if presses == DEAD:
        assert best == DEAD
        assert not GAME.success_mask(state).any()
        assert GAME.explain(state, 0, 3).endswith(" dead")
        return
    assert best == -presses if presses else best > DEAD
    for left in range(int(-best), 0, -1):
        assert GAME.oracle(state).max() == -left
        state, outcome = GAME.step(state, GAME.success_mask(state).argmax(axis=1))
        assert outcome.gain[0] == (left == 1)
    assert state.terminated.all()
    assert not state.board.any()


def test_the_presses_of_a_smallest_solution_succeed_and_no_others():
    corners_and_middle = [[1, 0, 1], [0, 1, 0], [1, 0, 1]]
    state = described(lit(3, 3))
    assert GAME.success_mask(state).reshape(3, 3).astype(int).tolist() == corners_and_middle
    assert GAME.explain(state, 0, 0) == "(0, 0) 4 to go"
    assert GAME.explain(state, 0, 1) == "(0, 1) 6 to go"
    assert GAME.candidates(state, 0) == [0, 2, 4]
    assert GAME.reasoning(state, 0, GAME.oracle(state)[0]) == (
        "(0, 0) 4 to go; (0, 2) 4 to go; (1, 1) 4 to go",
        0,
    )
    # over the edges any row and any column will do, so every press begins a smallest solution
    assert GAME.success_mask(described(lit(3, 3), wrap=True)).all()


def test_pressing_twice_changes_nothing_and_is_never_paid():
    state = described("##. #.. ...")
    state, first = GAME.step(state, np.array([4]))
    state, second = GAME.step(state, np.array([4]))
    assert state.board[0].tolist() == [[1, 1, 0], [1, 0, 0], [0, 0, 0]]
    assert first.gain[0] == second.gain[0] == 0
    assert not GAME.success_mask(state)[0, 4]


# ---- algebra
def test_boards_have_as_many_quiet_sets_as_is_published():
    # OEIS A159257: 0, 0, 0, 4, 2, 0, 0, 0; on a torus 3x3 has 4, 5x5 and 6x6 have 8
    for side, nullity in enumerate((0, 0, 4, 2, 0, 0, 0), 2):
        assert len(lamps_of(side, side, False).basis) == nullity
    for side, nullity in ((3, 4), (4, 0), (5, 8), (6, 8), (7, 0), (8, 0)):
        assert len(lamps_of(side, side, True).basis) == nullity


@pytest.mark.parametrize("wrap", [False, True])
def test_the_algebra_of_every_size_solves_what_presses_make(wrap):
    rng = np.random.default_rng(3)
    for rows in range(2, 9):
        for cols in range(2, 9):
            toggles, solution, basis, quiet = lamps_of(rows, cols, wrap)
            assert np.array_equal(toggles, toggles.T)
            lamps = rng.integers(0, 2, (20, rows * cols)) @ toggles % 2
            assert np.array_equal(lamps @ solution.T % 2 @ toggles % 2, lamps)
            assert not (basis @ toggles % 2).any()
            assert len(np.unique(quiet, axis=0)) == 1 << len(basis) <= 256


def test_the_quiet_patterns_of_5x5_are_the_known_ones():
    known = {"#.#.##.#.#.....#.#.##.#.#", "##.##.....##.##.....##.##"}
    quiet = {"".join(".#"[press] for press in line) for line in lamps_of(5, 5, False).quiet}
    assert known < quiet
    assert len(quiet) == 4


# ---- oracle
@pytest.mark.parametrize("wrap", [False, True])
@pytest.mark.parametrize(("rows", "cols"), [(2, 2), (2, 3), (4, 2), (3, 3), (3, 4), (4, 4)])
def test_the_oracle_equals_a_search_over_all_boards(rows, cols, wrap):
    distance, words = distances(rows, cols, wrap), words_of(rows, cols, wrap)
    boards = np.arange(1, 1 << rows * cols)
    if len(boards) > 3000:
        boards = np.random.default_rng(0).choice(boards, 3000, replace=False)
    state = from_bits(LevelLightsOut(rows=rows, cols=cols, wrap=wrap), boards)
    after = distance[boards[:, None] ^ words]
    assert np.array_equal(GAME.oracle(state), np.where(after >= 0, -1.0 - after, DEAD))
    best = (distance[boards] > 0)[:, None] & (after == distance[boards][:, None] - 1)
    assert np.array_equal(GAME.success_mask(state), best)


def test_no_board_of_4x4_needs_more_than_7_presses_and_none_of_5x5_more_than_15():
    assert distances(4, 4, False).max() == 7
    # every solvable board of 5x5 by the presses of its first 23 cells: the smallest of its coset
    words = [int("".join(map(str, line)), 2) for line in lamps_of(5, 5, False).quiet]
    assert sum(word & 3 == 0 for word in words) == 1, "the last two cells tell the four apart"
    presses = np.arange(1 << 23, dtype=np.uint32) << np.uint32(2)
    fewest = np.full(1 << 23, 25, np.uint8)
    for word in words:
        np.minimum(fewest, np.bitwise_count(presses ^ np.uint32(word)), out=fewest)
    counts = np.bincount(fewest)
    assert counts[:5].tolist() == [1, 25, 300, 2300, 12650], "up to 4 presses all boards differ"
    # J. Scherphuis, https://www.jaapsch.net/puzzles/lights.htm
    assert counts[14:].tolist() == [82614, 7350]
    hardest = np.flatnonzero(fewest == 15)[:200].astype(np.int64) << 2
    pressed_cells = (hardest[:, None] >> np.arange(24, -1, -1) & 1).astype(np.uint8)
    lamps = pressed_cells @ lamps_of(5, 5, False).toggles % 2
    state = GAME.from_symbols(LevelLightsOut(), lamps.reshape(-1, 5, 5).astype(np.int16))
    assert (GAME.oracle(state).max(axis=1) == -15).all()


def test_the_oracle_of_the_largest_boards_counts_down_along_its_own_moves():
    for wrap in (False, True):
        for side in (6, 8):
            state = deals("hard", 20, rows=side, cols=side, wrap=wrap, max_steps=0)
            best = -GAME.oracle(state).max(axis=1)
            for turn in range(int(best.max())):
                value, alive = GAME.oracle(state), ~state.ended
                assert np.array_equal(-value[alive].max(axis=1), best[alive] - turn)
                moves = np.where(alive, np.nan_to_num(value, nan=DEAD).argmax(axis=1), NO_ACTION)
                state, _ = GAME.step(state, moves)
            assert state.terminated.all()
            assert np.array_equal(state.steps, best)


# ---- play
@pytest.mark.parametrize("wrap", [False, True])
@pytest.mark.parametrize("name", GAME.LEVELS)
def test_random_play_agrees_with_plain_lists(name, wrap):
    state = deals(name, 12, wrap=wrap)
    rng = np.random.default_rng(5)
    boards = [["".join(".#"[lamp] for lamp in line) for line in board] for board in state.board]
    for _ in range(state.level.max_steps + 1):
        actions = rng.integers(-1, GAME.n_actions(state.level), len(state))
        over = state.ended
        state, outcome = GAME.step(state, actions)
        for row, action in enumerate(actions.tolist()):
            plays = not over[row] and action != NO_ACTION
            if plays:
                boards[row] = pressed(boards[row], divmod(action, state.level.cols), wrap)
            dark = "#" not in "".join(boards[row])
            lines = ["".join(".#"[lamp] for lamp in line) for line in state.board[row]]
            assert lines == boards[row]
            assert outcome.changed[row] == plays
            assert outcome.gain[row] == (plays and dark)
            assert state.terminated[row] == dark
    assert state.ended.all()


# ---- deals
@pytest.mark.parametrize("name", GAME.LEVELS)
def test_deals_are_lit_solvable_and_as_the_level_says(name):
    state = deals(name)
    level = state.level
    presses = -GAME.oracle(state).max(axis=1)
    assert state.board.any(axis=(1, 2)).all()
    assert level.min_presses <= presses.min() <= presses.max() <= level.max_presses
    assert len(np.unique(presses)) == level.max_presses - level.min_presses + 1
    assert (state.board.mean(axis=(1, 2)) <= level.lit).all()
    assert level.max_presses < level.max_steps
    distinct = len(np.unique(state.board, axis=0))
    assert distinct > {"tiny": 120, "easy": 200}.get(name, 290)


def test_deals_of_any_settings_are_lit_and_solvable():
    for overrides in (
        {"rows": 2, "cols": 2, "min_presses": 64, "max_presses": 64},
        {"rows": 2, "cols": 2, "lit": 0.0, "min_presses": 1, "max_presses": 1},
        {"rows": 4, "cols": 4, "min_presses": 12, "max_presses": 16},
        {"rows": 6, "cols": 6, "wrap": True, "min_presses": 30, "max_presses": 40},
        {"rows": 8, "cols": 8, "lit": 0.0},
        {"rows": 8, "cols": 2, "wrap": True, "lit": 0.3},
    ):
        state = deals("normal", 100, **overrides)
        assert state.board.any(axis=(1, 2)).all()
        assert (GAME.oracle(state) > DEAD).all()


def test_the_share_of_lamps_is_a_dial():
    shares = [deals("hard", lit=lit).board.mean() for lit in (1.0, 0.4, 0.3)]
    assert shares == sorted(shares, reverse=True)
    assert shares[0] - shares[-1] > 0.1


def test_from_easy_to_hard_random_and_greedy_players_solve_ever_fewer_games():
    solved = {}
    for player in ("random", "greedy"):
        rng = np.random.default_rng(7)
        for name in ("easy", "normal", "hard"):
            state = deals(name)
            toggles = lamps_of(state.level.rows, state.level.cols, False).toggles
            while not state.ended.all():
                lamps = state.board.reshape(len(state), 1, -1)
                fewest_left = (lamps ^ toggles).sum(axis=2).argmin(axis=1)
                anything = rng.integers(0, toggles.shape[0], len(state))
                state, _ = GAME.step(state, fewest_left if player == "greedy" else anything)
            solved[player, name] = state.terminated.mean()
    assert 0.8 > solved["greedy", "easy"] > 0.5
    assert 0.15 > solved["greedy", "normal"] > 0.02
    assert solved["greedy", "hard"] < 0.02
    assert 0.05 > solved["random", "easy"] > solved["random", "normal"] >= solved["random", "hard"]


# ---- described boards
def test_a_dark_board_that_was_described_is_solved():
    state = described("... ... ...")
    assert state.terminated.all()
    assert not GAME.legal(state).any()
    assert np.isnan(GAME.oracle(state)).all()
    assert GAME.candidates(state, 0) == []


def test_boards_without_a_solution_are_played_all_the_same():
    symbols = np.random.default_rng(1).integers(0, 2, (400, 5, 5)).astype(np.int16)
    state = GAME.from_symbols("normal", symbols)
    solvable = (GAME.oracle(state) > DEAD).all(axis=1)
    assert 0.15 < solvable.mean() < 0.35, "one board of four can be solved"
    assert not GAME.success_mask(state)[~solvable].any()
    assert GAME.success_mask(state)[solvable].any(axis=1).all()
    after, outcome = GAME.step(state, np.full(400, 12))
    assert outcome.changed.all()
    assert np.array_equal((GAME.oracle(after)[~after.ended] > DEAD)[:, 0], solvable[~after.ended])


def test_rules_say_what_is_beyond_the_edges():
    assert "no lamps" in GAME.rules(GAME.level("normal"))
    assert "goes on over its edges" in GAME.rules(GAME.level("normal", wrap=True))


def test_levels_refuse_more_presses_at_least_than_at_most():
    with pytest.raises(ConfigError, match="min_presses = 9: allowed is 1 to max_presses, 7"):
        GAME.level("normal", min_presses=9)
