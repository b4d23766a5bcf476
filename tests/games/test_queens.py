"""Queens: the kernels agree with plain sets of cells, the oracle with a plain search, and every
deal has one solution.
"""

from __future__ import annotations

from collections import deque
from itertools import pairwise, permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vlmgym.core import DEAD, ConfigError, State, seeds_for
from vlmgym.games.parts.areas import borders
from vlmgym.games.queens import LevelQueens, Queens

GAME = Queens()
Cell = tuple[int, int]
Regions = tuple[str, ...]

# Worked by hand. A has one cell, (0, 1). That leaves (1, 3) in row 1, then (2, 0), then (3, 2).
SMALL: Regions = ("BACC", "BBCC", "BDDC", "DDDD")
SMALL_SOLUTION = [(0, 1), (1, 3), (2, 0), (3, 2)]
# Without regions a board of 4 x 4 has two ways, this one and its mirror image. Here the first has
# two queens in C.
MIRROR: Regions = ("AAAB", "DABB", "CCBB", "CCCB")
MIRROR_SOLUTION = [(0, 2), (1, 0), (2, 3), (3, 1)]
# Worked by hand. C takes row 4, so B is (3, 4), and C is (4, 2), which does not touch it. A is now
# in column 1 and E in column 0, so D is in column 3. A at (1, 1) would touch all of E: A is (2, 1),
# E is (0, 0), D is (1, 3).
FIVE: Regions = ("EEDDD", "EADDD", "EADDD", "AAAAB", "AACCB")
FIVE_SOLUTION = [(0, 0), (1, 3), (2, 1), (3, 4), (4, 2)]
# The example of https://mspiegel.github.io/queens-without-backtracking/QUEENS.html
SEVEN: Regions = ("AAAAABB", "ACDEEEB", "ACDDDEB", "ACCFDEB", "AGCFFFB", "AGGGGFB", "ABBBBBB")
SEVEN_SOLUTION = [(0, 0), (1, 5), (2, 3), (3, 1), (4, 4), (5, 2), (6, 6)]


# ---- plain reference
def clash(regions: Regions, one: Cell, other: Cell) -> bool:
    return (
        one[0] == other[0]
        or one[1] == other[1]
        or regions[one[0]][one[1]] == regions[other[0]][other[1]]
        or max(abs(one[0] - other[0]), abs(one[1] - other[1])) == 1
    )


def solutions(regions: Regions) -> list[frozenset[Cell]]:
    """All solutions, from all permutations of the columns."""
    size = len(regions)
    found = []
    for columns in permutations(range(size)):
        touching = any(abs(a - b) < 2 for a, b in pairwise(columns))
        if not touching and len({regions[r][c] for r, c in enumerate(columns)}) == size:
            found.append(frozenset(enumerate(columns)))
    return found


def pressed(regions: Regions, queens: frozenset[Cell], cell: Cell) -> frozenset[Cell]:
    """The queens after a press."""
    if cell in queens:
        return queens - {cell}
    return frozenset(q for q in queens if not clash(regions, q, cell)) | {cell}


def moves_left(regions: Regions, queens: frozenset[Cell], wanted: list[frozenset[Cell]]) -> int:
    """Moves of a shortest solution by a plain breadth-first search."""
    cells = [(r, c) for r in range(len(regions)) for c in range(len(regions))]
    found, queue = {queens: 0}, deque([queens])
    while queue:
        here = queue.popleft()
        if here in wanted:
            return found[here]
        for cell in cells:
            new = pressed(regions, here, cell)
            if new not in found:
                found[new] = found[here] + 1
                queue.append(new)
    raise AssertionError("no way to a solution")


def described(regions: Regions, queens=(), marks=False, **overrides: object) -> State:
    """A game with these regions and queens; letters count from A."""
    size = len(regions)
    symbols = np.array([[[ord(letter) - 65 for letter in line] for line in regions]], np.int16)
    for row, column in queens:
        symbols[0, row, column] += size
    level = GAME.level("easy", rows=size, cols=size, marks=marks, **overrides)
    return GAME.from_symbols(level, symbols)


def regions_of(state: State, row: int = 0) -> Regions:
    size = state.level.rows
    return tuple("".join(chr(65 + v % size) for v in line) for line in state.board[row].tolist())


def queens_of(state: State, row: int = 0) -> frozenset[Cell]:
    return cells_with(state, " queen", row)


def cells_with(state: State, ending: str, row: int = 0) -> frozenset[Cell]:
    lines = [line.split("|") for line in GAME.scene(state).texts()[row].split("\n")]
    return frozenset(
        (r, c) for r, line in enumerate(lines) for c, text in enumerate(line) if ending in text
    )


def press(state: State, *cells: Cell) -> State:
    for row, column in cells:
        state, _ = GAME.step(state, np.array([row * state.level.cols + column]))
    return state


def values(state: State, row: int = 0) -> dict[Cell, float]:
    value = GAME.oracle(state)[row].reshape(state.level.rows, state.level.cols)
    return {cell: float(v) for cell, v in np.ndenumerate(value)}


def good_cells(state: State, row: int = 0) -> list[Cell]:
    mask = GAME.success_mask(state)[row].reshape(state.level.rows, state.level.cols)
    return [(int(r), int(c)) for r, c in np.argwhere(mask)]


def deals(level: str, count: int = 300, **overrides: object) -> State:
    return GAME.reset(GAME.level(level, **overrides), seeds_for("free", GAME.name, level, count))


# ---- positions with the right answer
@pytest.mark.parametrize(
    ("regions", "queens", "good"),
    [
        (SMALL, [], SMALL_SOLUTION),
        (SMALL, [(0, 1)], SMALL_SOLUTION[1:]),
        (SMALL, [(0, 1), (1, 3), (2, 0)], [(3, 2)]),
        # wrong queens do not change what is right; to take them away is never the best
        (SMALL, [(0, 0)], SMALL_SOLUTION),
        (SMALL, [(3, 3)], SMALL_SOLUTION),
        (SMALL, [(0, 2), (2, 1)], SMALL_SOLUTION),
        (SMALL, [(0, 1), (2, 2)], SMALL_SOLUTION[1:]),
        (MIRROR, [], MIRROR_SOLUTION),
        (MIRROR, [(2, 3), (0, 0)], [(0, 2), (1, 0), (3, 1)]),
        (FIVE, [], FIVE_SOLUTION),
        (FIVE, [(3, 4), (4, 2)], FIVE_SOLUTION[:3]),
        (FIVE, [(1, 1)], FIVE_SOLUTION),
        (SEVEN, [], SEVEN_SOLUTION),
        (SEVEN, [(2, 3), (6, 6), (0, 1)], [(0, 0), (1, 5), (3, 1), (4, 4), (5, 2)]),
    ],
)
def test_good_presses_are_the_queens_of_the_solution_that_do_not_stand(regions, queens, good):
    assert good_cells(described(regions, queens)) == good


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ((3, 2), -1),  # the last queen
        ((3, 3), -3),  # drives away (1, 3), so two are missing afterwards
        ((2, 0), -3),  # is taken away
        ((0, 0), -4),  # drives away (0, 1) and (2, 0)
        ((1, 0), -5),  # drives away all three
        ((2, 2), -4),  # touches (1, 3), and is in the row of (2, 0)
    ],
)
def test_a_press_costs_the_right_queens_that_it_drives_away(cell, value):
    assert values(described(SMALL, SMALL_SOLUTION[:3]))[cell] == value


def test_a_queen_drives_away_those_of_its_row_column_region_and_neighbours_and_no_others():
    state = described(FIVE, [(0, 3), (2, 1), (4, 4)])
    assert queens_of(press(state, (0, 0))) == {(0, 0), (2, 1), (4, 4)}, "the row"
    assert queens_of(press(state, (4, 3))) == {(2, 1), (4, 3)}, "the row, and the column"
    assert queens_of(press(state, (1, 0))) == {(0, 3), (1, 0), (4, 4)}, "a corner"
    assert queens_of(press(state, (1, 2))) == {(1, 2), (4, 4)}, "two corners"
    assert queens_of(press(state, (0, 3))) == {(2, 1), (4, 4)}, "taken away"
    assert queens_of(press(described(FIVE, [(1, 1)]), (4, 0))) == {(4, 0)}, "the region"
    alone = described(FIVE, [(0, 0)])
    assert queens_of(press(alone, (2, 2))) == {(0, 0), (2, 2)}, "a long diagonal is allowed"


def test_the_score_is_the_number_of_queens_right_or_wrong():
    state = described(SMALL)
    for cell, score in [((0, 0), 1), ((1, 2), 2), ((0, 1), 1), ((0, 1), 0), ((3, 3), 1)]:
        state = press(state, cell)
        assert (state.score[0], len(queens_of(state))) == (score, score)


def test_only_the_solution_ends_the_game():
    state = press(described(SMALL), *SMALL_SOLUTION[:3])
    ends = [press(state, cell).terminated[0] for cell in ((3, 2), (3, 3), (3, 0))]
    assert (state.terminated[0], ends) == (False, [True, False, False])
    wrong = press(described(SMALL), (0, 2), (1, 0), (2, 3), (3, 1))
    assert len(queens_of(wrong)) < 4, "the mirror image has two queens in one region"


def test_taking_a_queen_away_never_pays_and_a_wrong_queen_never_pays():
    state = described(SMALL)
    for cell, paid in [((0, 1), True), ((0, 1), False), ((3, 3), False), ((3, 3), False)]:
        action = np.array([cell[0] * 4 + cell[1]])
        after, outcome = GAME.step(state, action)
        assert GAME.success(state, action, outcome).tolist() == [paid]
        state = after


def test_crosses_mark_what_a_queen_rules_out_and_nothing_else():
    state = press(described(FIVE, marks=True), (3, 4))
    row_and_column = {(3, 0), (3, 1), (3, 2), (3, 3), (0, 4), (1, 4), (2, 4), (4, 4)}
    assert cells_with(state, " mark") == row_and_column | {(2, 3), (4, 3)}
    assert cells_with(press(state, (3, 4)), " mark") == frozenset()
    plain = press(described(FIVE), (3, 4))
    assert not cells_with(plain, " mark")
    assert values(plain) == values(state), "crosses do not change what a press is worth"


# ---- a second implementation plays along
@pytest.mark.parametrize("name", GAME.LEVELS)
def test_random_play_agrees_with_plain_sets(name):
    count = 8
    state = deals(name, count)
    size = state.level.rows
    boards = [regions_of(state, row) for row in range(count)]
    wanted = [sorted(good_cells(state, row)) for row in range(count)]
    expected = [frozenset[Cell]()] * count
    rng = np.random.default_rng(3)
    for _ in range(12):
        actions = rng.integers(-1, size * size, count)
        live = ~state.ended
        state, outcome = GAME.step(state, actions)
        for row in range(count):
            had = len(expected[row])
            if live[row] and actions[row] >= 0:
                cell = divmod(int(actions[row]), size)
                expected[row] = pressed(boards[row], expected[row], (cell[0], cell[1]))
            queens = expected[row]
            assert queens_of(state, row) == queens
            assert outcome.gain[row] == len(queens) - had
            assert outcome.changed[row] == (live[row] and actions[row] >= 0)
            assert state.terminated[row] == (sorted(queens) == wanted[row])
            assert regions_of(state, row) == boards[row]
            ruled_out = {
                c for c in values(state, row) if any(clash(boards[row], q, c) for q in queens)
            }
            crossed = ruled_out - queens if state.level.marks else set()
            assert cells_with(state, " mark", row) == crossed
        twin = GAME.from_symbols(state.level, GAME.scene(state).symbols)
        assert np.array_equal(twin.board, state.board)


@pytest.mark.parametrize("name", ["tiny", "easy"])
def test_the_oracle_agrees_with_a_plain_search_after_random_presses(name):
    count = 6 if name == "tiny" else 3
    state = deals(name, count)
    rng = np.random.default_rng(4)
    for turns in range(3):
        for row in range(count):
            if state.ended[row]:
                continue
            regions, queens = regions_of(state, row), queens_of(state, row)
            wanted = solutions(regions)
            value = values(state, row)
            cells = sorted(value) if name == "tiny" else sorted(value)[turns::7]
            for cell in cells:
                left = moves_left(regions, pressed(regions, queens, cell), wanted)
                assert value[cell] == -1 - left
        for _ in range(2):
            state, _ = GAME.step(state, rng.integers(0, state.level.rows**2, count))


# ---- deals
@pytest.mark.parametrize(("name", "count"), [("tiny", 60), ("easy", 60), ("normal", 12)])
def test_every_deal_has_one_solution_by_trying_all_permutations(name, count):
    state = deals(name, count)
    for row in range(count):
        (solution,) = solutions(regions_of(state, row))
        assert good_cells(state, row) == sorted(solution)


@pytest.mark.parametrize("name", GAME.LEVELS)
def test_deals_have_one_solution_and_regions_of_one_piece(name):
    state = deals(name)
    size = state.level.rows
    assert not state.ended.any()
    assert (GAME.success_mask(state).sum(axis=1) == size).all(), "with two there would be more"
    assert (np.nanmax(GAME.oracle(state), axis=1) == -size).all()
    assert len(np.unique(state.board, axis=0)) > (200 if name == "tiny" else 299)
    for row in range(0, 300, 10):
        regions = regions_of(state, row)
        assert set("".join(regions)) == set("ABCDEFGHI"[:size])
        for letter in set("".join(regions)):
            cells = {(r, c) for r in range(size) for c in range(size) if regions[r][c] == letter}
            piece = {min(cells)}
            for _ in cells:
                piece |= {
                    (r, c)
                    for r, c in cells
                    if piece & {(r - 1, c), (r + 1, c), (r, c - 1), (r, c + 1)}
                }
            assert piece == cells
    largest = [max(np.bincount(board.ravel())) for board in state.board]
    assert max(largest) < size * size - size + 1, "the makeshift of lone queens is not needed"


def test_from_easy_to_hard_random_and_greedy_play_succeed_less_often():
    """The rate of success of 25 turns; greedy play puts a queen on the first cell where that drives
    away as few as possible.
    """
    rates = {}
    for name in ("easy", "normal", "hard"):
        for greedy in (False, True):
            state = deals(name, 100 if greedy else 300)
            good = turns = 0
            for _ in range(25 if greedy else 8):
                actions = largest_gains(state) if greedy else GAME.draw_legal(state)
                good += GAME.success_mask(state)[np.arange(len(state)), actions].sum()
                turns += (~state.ended).sum()
                state, _ = GAME.step(state, actions)
            rates[name, greedy] = good / turns
    for greedy in (False, True):
        assert rates["easy", greedy] > 1.1 * rates["normal", greedy]
        assert rates["normal", greedy] > 1.1 * rates["hard", greedy]


def largest_gains(state: State) -> np.ndarray:
    """The first action with the largest gain in each row."""
    count = state.level.rows**2
    tried = np.tile(np.arange(count), len(state))
    _, outcome = GAME.step(state.repeat(count), tried)
    return outcome.gain.reshape(len(state), count).argmax(axis=1)


# ---- described boards, values, texts
def test_boards_that_cannot_be_reached_are_put_in_order():
    state = described(SMALL, [(0, 0), (0, 1), (1, 1), (3, 3)])
    assert queens_of(state) == {(0, 0), (3, 3)}, "the first ones in reading order stay"
    assert described(SMALL, SMALL_SOLUTION).terminated[0]
    stripes = described(tuple(letter * 9 for letter in "ABCDEFGHI"))
    assert (GAME.oracle(stripes) == -9).all(), "each cell is part of some solution"
    none = described(("AAAA", "AAAA", "BBCC", "BBCC"))
    assert (GAME.oracle(none) == DEAD).all()
    assert not GAME.success_mask(none).any()
    crosses = np.full((1, 5, 5), 10, np.int16)
    assert not GAME.from_symbols(GAME.level("easy"), crosses).board.any(), "no queen, so no cross"


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_any_symbols_make_a_state(data):
    size = data.draw(st.integers(4, 7))
    level = GAME.level("easy", rows=size, cols=size, marks=data.draw(st.booleans()))
    names = len(GAME.names(level))
    cells = data.draw(st.lists(st.integers(0, names - 1), min_size=size**2, max_size=size**2))
    state = GAME.from_symbols(level, np.array(cells, np.int16).reshape(1, size, size))
    again = GAME.from_symbols(level, GAME.scene(state).symbols)
    assert np.array_equal(again.board, state.board)
    regions, queens = regions_of(state), sorted(queens_of(state))
    assert not any(clash(regions, a, b) for a in queens for b in queens if a != b)
    assert GAME.legal(state).all() == (not state.terminated[0])
    assert np.array_equal(~np.isnan(GAME.oracle(state)), GAME.legal(state))
    assert not (GAME.success_mask(state) & ~GAME.legal(state)).any()
    assert not any(";" in GAME.explain(state, 0, action) for action in range(0, size**2, 5))


def test_ended_rows_absorb():
    state = described(SMALL, SMALL_SOLUTION)
    after, outcome = GAME.step(state, np.array([3]))
    assert after == state
    assert not outcome.changed.any()
    assert np.isnan(GAME.oracle(state)).all()
    assert (GAME.candidates(state, 0), GAME.explain(state, 0, 1)) == ([], "(0, 1) red queen no")


def test_heavy_lines_are_between_regions():
    state = press(described(FIVE, marks=True), (3, 4))
    assert np.array_equal(GAME.scene(state).lines, borders(state.board % 5))


def test_answers_explanations_and_rules():
    level = GAME.level("easy")
    state = described(SMALL, [(0, 1), (2, 0)])
    assert GAME.explain(state, 0, 7) == "(1, 3) green 1 to go"
    assert GAME.explain(state, 0, 1) == "(0, 1) red queen 3 to go"
    assert GAME.candidates(state, 0) == [7], "row 1 has one cell that is not ruled out"
    assert GAME.reasoning(state, 0, GAME.oracle(state)[0]) == ("(1, 3) green 1 to go", 7)
    stuck = described(SMALL, [(0, 2), (2, 1)])
    assert GAME.candidates(stuck, 0) == [4, 5, 6, 7], "no cell is left in row 1"
    rules = GAME.rules(level)
    for text in ("5 rows and 5 columns", "(red, yellow, green, blue, purple)", "cross"):
        assert text in rules
    assert "cross" not in GAME.rules("hard")


def test_bad_levels_name_the_field():
    for bad, field in [
        ({"rows": 3, "cols": 3}, "rows"),
        ({"rows": 10, "cols": 10}, "rows"),
        ({"rows": 6}, "cols"),
    ]:
        with pytest.raises(ConfigError, match=f"LevelQueens.{field} = "):
            LevelQueens(**bad)
