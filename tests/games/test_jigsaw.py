"""Jigsaw: the kernels agree with plain lists, and the oracle with a search of all orders."""

from __future__ import annotations

from collections import deque
from itertools import permutations

import numpy as np
import pytest

from vlmgym.core import DEAD, NO_ACTION, ConfigError, State, seeds_for
from vlmgym.games.jigsaw import Jigsaw, LevelJigsaw

GAME = Jigsaw()
Pieces = tuple[tuple[int, int], ...]
"""Place and quarter turns of the piece on each cell."""


# ---- plain reference
def moved(pieces: Pieces, first: int, second: int, turning: bool) -> Pieces:
    """The pieces after a move."""
    after = list(pieces)
    if first == second and turning:
        place, turns = after[first]
        after[first] = place, (turns + 1) % 4
    after[first], after[second] = after[second], after[first]
    return tuple(after)


def in_place(pieces: Pieces) -> int:
    return sum(place == cell for cell, (place, _) in enumerate(pieces))


def turns_needed(pieces: Pieces) -> int:
    return sum(-turns % 4 for _, turns in pieces)


def puts_right(before: Pieces, after: Pieces) -> bool:
    return in_place(after) > in_place(before) or turns_needed(after) < turns_needed(before)


def solved(cells: int) -> Pieces:
    return tuple((cell, 0) for cell in range(cells))


def distances(cells: int, turning: bool) -> dict[Pieces, int]:
    """Moves from every order to the solved one. A turn is walked backwards."""
    goal = solved(cells)
    found = {goal: 0}
    queue = deque([goal])
    while queue:
        here = queue.popleft()
        for first in range(cells):
            for second in range(first, cells):
                if first == second:
                    back = list(here)
                    back[first] = here[first][0], (here[first][1] - 1) % 4
                    new = tuple(back) if turning else here
                else:
                    new = moved(here, first, second, turning)
                if new not in found:
                    found[new] = found[here] + 1
                    queue.append(new)
    return found


def described(pieces: Pieces, rows: int, cols: int, turning: bool = False, **fields) -> State:
    level = LevelJigsaw(rows=rows, cols=cols, turned=0.5 if turning else 0.0, **fields)
    values = [1 + turns * rows * cols + place for place, turns in pieces]
    return GAME.from_symbols(level, np.array(values, np.int16).reshape(1, rows, cols))


def pieces_of(state: State, row: int = 0) -> Pieces:
    cells = state.board[row].size
    return tuple(
        ((value - 1) % cells, (value - 1) // cells) for value in state.board[row].ravel().tolist()
    )


def upright(*places: int) -> Pieces:
    return tuple((place, 0) for place in places)


# ---- positions whose answers were worked out by hand
@pytest.mark.parametrize(
    ("places", "needed"),
    [
        ((1, 0, 2, 3), 1),  # one swap
        ((1, 2, 0, 3), 2),  # a cycle of three
        ((1, 2, 3, 0), 3),  # a cycle of four
        ((1, 0, 3, 2), 2),  # two swaps
        ((3, 1, 2, 0), 1),
        ((2, 0, 3, 1), 3),
    ],
)
def test_a_permutation_needs_its_pieces_less_its_cycles(places, needed):
    state = described(upright(*places), 2, 2)
    assert np.floor(np.nanmax(GAME.oracle(state))) == -needed
    assert len(GAME.candidates(state, 0)) > 0


@pytest.mark.parametrize(
    ("places", "answer", "good"),
    [
        ((1, 0, 2, 3), "(0, 0) (0, 1)", True),  # puts both right
        ((1, 2, 0, 3), "(0, 0) (0, 1)", True),  # piece 1 to its place
        ((1, 2, 0, 3), "(1, 0) (0, 0)", True),  # piece 0 to its place, named in the other order
        ((1, 2, 0, 3), "(0, 0) (1, 1)", False),  # moves a piece that was right
        ((1, 2, 3, 0), "(0, 0) (1, 0)", False),  # cuts the cycle in two, and puts nothing right
        ((1, 2, 3, 0), "(0, 0) (1, 1)", True),
        ((1, 0, 2, 3), "(1, 0) (1, 1)", False),  # both were right
        ((1, 0, 2, 3), "(0, 0) (0, 0)", False),  # nothing turns here
    ],
)
def test_a_move_is_good_if_it_puts_a_piece_right(places, answer, good):
    state = described(upright(*places), 2, 2)
    action = GAME.decode(state.level, answer).action
    after, outcome = GAME.step(state, np.array([action]))
    assert GAME.success(state, np.array([action]), outcome)[0] == good
    assert GAME.success_mask(state)[0, action] == good
    assert (after.score > 0)[0] == good


@pytest.mark.parametrize(("turns", "needed", "good"), [(1, 3, True), (2, 2, True), (3, 1, True)])
def test_a_turned_piece_needs_the_turns_that_are_left_clockwise(turns, needed, good):
    state = described(((0, turns), *upright(1, 2, 3)), 2, 2, turning=True)
    assert np.nanmax(GAME.oracle(state)) == -needed
    assert GAME.success_mask(state)[0, 0] == good
    for left in range(needed - 1, -1, -1):
        assert not state.terminated[0]
        state, outcome = GAME.step(state, np.array([0]))
        assert outcome.gain[0] == 1
        assert pieces_of(state)[0] == (0, -left % 4)
    assert state.terminated[0]


def test_turning_a_piece_that_is_upright_is_no_success():
    state = described(((1, 0), (0, 0), (2, 0), (3, 1)), 2, 2, turning=True)
    after, outcome = GAME.step(state, np.array([0]))
    assert outcome.gain[0] == -3
    assert not GAME.success_mask(state)[0, 0]
    assert pieces_of(after)[0] == (1, 1)


def test_to_and_fro_gains_nothing_in_all():
    state = described(upright(1, 2, 3, 0), 2, 2, max_steps=0)
    swap = GAME.decode(state.level, "(0, 1) (1, 0)").action
    for _ in range(5):
        state, _ = GAME.step(state, np.array([swap]))
        state, _ = GAME.step(state, np.array([swap]))
        assert state.score[0] == 0


# ---- the rules and the oracle against plain lists
@pytest.mark.parametrize(("rows", "cols", "turning"), [(2, 2, False), (3, 2, False), (2, 2, True)])
def test_the_oracle_agrees_with_a_search_of_all_orders(rows, cols, turning):
    cells = rows * cols
    left = distances(cells, turning)
    orders = list(left)
    if turning:
        assert len(orders) == 24 * 4**4
        orders = orders[::29]
    else:
        assert sorted(orders) == sorted(upright(*order) for order in permutations(range(cells)))
    for order in orders:
        state = described(order, rows, cols, turning)
        values = GAME.oracle(state)[0]
        marks = GAME.success_mask(state)[0]
        for action in range(cells * cells):
            after = moved(order, *divmod(action, cells), turning)
            if left[order] == 0 or after == order:
                assert np.isnan(values[action])
                assert not marks[action]
                continue
            good = puts_right(order, after)
            assert marks[action] == good
            assert values[action] == -1 - left[after] - (0 if good else 0.25)


@pytest.mark.parametrize("name", ["easy", "normal", "hard", "tiny"])
def test_random_play_agrees_with_plain_lists(name):
    level = GAME.level(name, max_steps=0)
    state = GAME.reset(level, seeds_for("free", GAME.name, name, 6))
    cells = level.rows * level.cols
    rng = np.random.default_rng(0)
    for _ in range(40):
        actions = rng.integers(-1, cells * cells, len(state))
        after, outcome = GAME.step(state, actions)
        for row, action in enumerate(actions.tolist()):
            before = pieces_of(state, row)
            expected = before
            if action >= 0 and not state.terminated[row]:
                expected = moved(before, *divmod(action, cells), level.turned > 0)
            assert pieces_of(after, row) == expected
            assert outcome.changed[row] == (expected != before)
            gain = in_place(expected) - in_place(before)
            gain += turns_needed(before) - turns_needed(expected)
            assert outcome.gain[row] == gain
            assert after.terminated[row] == (expected == solved(cells))
        state = after


@pytest.mark.parametrize("name", ["easy", "normal", "hard", "tiny"])
def test_the_oracle_and_the_teacher_succeed_with_every_move_and_end_the_game(name):
    level = GAME.level(name)
    fresh = GAME.reset(level, seeds_for("free", GAME.name, name, 8))
    needed = np.floor(-np.nanmax(GAME.oracle(fresh), axis=1))
    for player in ("oracle", "teacher"):
        state = fresh
        while not state.ended.all():
            values = GAME.oracle(state)
            live = ~state.ended
            if player == "oracle":
                actions = np.where(live, np.nan_to_num(values, nan=-1e9).argmax(axis=1), -1)
            else:
                chosen = [GAME.reasoning(state, row, values[row])[1] for row in range(len(state))]
                actions = np.where(live, chosen, -1)
            after, outcome = GAME.step(state, actions)
            assert (GAME.success(state, actions, outcome) == live).all()
            state = after
        assert state.terminated.all()
        assert (state.steps == needed).all()


# ---- deals
def test_deals_are_orders_of_all_pieces_and_none_is_solved():
    level = LevelJigsaw(rows=2, cols=2)
    state = GAME.reset(level, seeds_for("free", GAME.name, "x", 2000))
    orders = {pieces_of(state, row) for row in range(len(state))}
    assert not state.ended.any()
    assert orders == {upright(*order) for order in permutations(range(4))} - {solved(4)}


def test_the_level_says_how_many_pieces_are_turned():
    level = LevelJigsaw(rows=5, cols=5, turned=0.4)
    state = GAME.reset(level, seeds_for("free", GAME.name, "x", 200))
    turns = (state.board - 1) // 25
    assert (
        np.sort((state.board - 1) % 25, axis=None).reshape(25, 200) == np.arange(25)[:, None]
    ).all()
    assert abs((turns > 0).mean() - 0.4) < 0.02
    shares = np.bincount(turns.ravel())[1:] / (turns > 0).sum()
    assert np.allclose(shares, 1 / 3, atol=0.04)


def test_levels_are_graded_by_the_success_of_random_moves_and_by_the_moves_needed():
    success = []
    needed = []
    for name in ("easy", "normal", "hard"):
        state = GAME.reset(GAME.level(name), seeds_for("free", GAME.name, name, 300))
        success.append(GAME.success_mask(state).mean())
        needed.append(-np.nanmax(GAME.oracle(state), axis=1).mean())
    assert success[0] > success[1] > success[2]
    assert needed[0] < needed[1] < needed[2]


def test_a_photograph_stays_with_its_game():
    state = GAME.reset(GAME.level("easy"), seeds_for("free", GAME.name, "easy", 50))
    after, _ = GAME.step(state.reseed(3), np.full(50, 1))
    assert (after.photo == state.photo).all()
    assert len(set(state.photo.tolist())) > 40
    shown = GAME.scene(after)
    assert (shown.variants == state.photo[:, None, None]).all()


# ---- described boards
def test_boards_that_the_rules_cannot_reach_are_played_all_the_same():
    level = LevelJigsaw(rows=2, cols=2, turned=0.5)
    rng = np.random.default_rng(0)
    symbols = rng.integers(0, len(GAME.names(level)), (400, 2, 2), np.int16)
    state = GAME.from_symbols(level, symbols)
    values = GAME.oracle(state)
    for row in range(0, 400, 3):
        pieces = pieces_of(state, row)
        is_order = symbols[row].min() > 0 and len({place for place, _ in pieces}) == 4
        legal = values[row][GAME.legal(state)[row]]
        assert is_order or (legal == DEAD).all()
        assert not is_order or (legal > DEAD).all()
        for action in range(16):
            first, second = divmod(action, 4)
            assert GAME.legal(state)[row, action] == (
                symbols[row].flat[first] > 0
                and symbols[row].flat[second] > 0
                and (first == second or symbols[row].flat[first] != symbols[row].flat[second])
            )
        GAME.explain(state, row, 0)
        GAME.reasoning(state, row, values[row])


def test_a_move_can_be_good_on_a_board_with_a_piece_described_wrongly():
    state = described(upright(1, 0, 2, 2), 2, 2)
    assert GAME.success_mask(state)[0, GAME.decode(state.level, "(0, 0) (0, 1)").action]
    assert np.nanmax(GAME.oracle(state)) == DEAD


def test_a_board_without_pieces_has_no_move():
    state = GAME.blank(GAME.level("normal"))
    assert not GAME.legal(state).any()
    assert GAME.reasoning(state, 0, GAME.oracle(state)[0])[1] == NO_ACTION


# ---- words
def test_pieces_are_written_as_their_places_and_turns():
    names = GAME.names(LevelJigsaw(rows=2, cols=3, turned=0.1))
    assert len(names) == 25
    assert names[:4] == ("empty", "piece 0,0", "piece 0,1", "piece 0,2")
    assert names[7] == "piece 0,0 turned 90"
    assert names[24] == "piece 1,2 turned 270"
    assert len(GAME.names(LevelJigsaw(rows=2, cols=3))) == 7


def test_the_teacher_looks_for_the_first_piece_that_is_not_right():
    state = described(upright(0, 3, 2, 1), 2, 2)
    values = GAME.oracle(state)[0]
    assert GAME.reasoning(state, 0, values) == (
        "(0, 0) piece 0,0 right; (0, 1) piece 1,1 belongs to (1, 1)",
        GAME.decode(state.level, "(0, 1) (1, 1)").action,
    )
    assert GAME.explain(state, 0, 7) == "(0, 1) (1, 1) right, 0 to go"
    assert GAME.explain(state, 0, 1) == "(0, 0) (0, 1) wrong, 2 to go"
    assert GAME.explain(state, 0, 0) == "(0, 0) (0, 0) no"


def test_turns_are_told_only_where_pieces_turn():
    assert "turn" not in GAME.rules(GAME.level("normal"))
    assert "clockwise by 90 degrees" in GAME.rules(GAME.level("hard"))


def test_classes_must_be_names():
    with pytest.raises(ConfigError, match="classes"):
        LevelJigsaw(classes="cat")
    assert LevelJigsaw(classes="cat,dog").classes == "cat,dog"
