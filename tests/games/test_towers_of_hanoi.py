"""Towers of Hanoi: play agrees with plain lists, the oracle with searches over all positions and
with what is published.
"""

from __future__ import annotations

from collections import deque
from itertools import product

import numpy as np
import pytest

from vlmgym.core import DEAD, NO_ACTION, seeds_for
from vlmgym.games.solvers.towers import table_of
from vlmgym.games.towers_of_hanoi import LevelTowers, TowersOfHanoi

GAME = TowersOfHanoi()
FRAME_STEWART = {2: 3, 3: 5, 4: 9, 5: 13, 6: 17, 7: 25}
"""Moves of a tower on four pegs, OEIS A007664."""


# ---- plain reference: a position is a stack for each peg, the lowest disc first
def moved(stacks, first, second):
    """The stacks after a move; None where it is not allowed."""
    if first == second or not stacks[first]:
        return None
    disc = stacks[first][-1]
    if stacks[second] and stacks[second][-1] <= disc:
        return None
    after = [list(stack) for stack in stacks]
    after[second].append(after[first].pop())
    return tuple(map(tuple, after))


def stacks_of(board):
    return tuple(tuple(disc for disc in column[::-1] if disc) for column in board.T.tolist())


def solved(stacks):
    return not any(stacks[:-1])


def distances(discs, pegs):
    """Moves from each position to the last peg, breadth first over all stacks."""
    goal = tuple([()] * (pegs - 1) + [tuple(range(discs, 0, -1))])
    found, queue = {goal: 0}, deque([goal])
    while queue:
        here = queue.popleft()
        for first, second in product(range(pegs), repeat=2):
            after = moved(here, first, second)
            if after is not None and after not in found:
                found[after] = found[here] + 1
                queue.append(after)
    return found


def standing(*positions, pegs=3):
    """Games in which the discs, the smallest first, lie on these pegs."""
    discs = len(positions[0])
    symbols = np.zeros((len(positions), discs, pegs), np.int16)
    for board, position in zip(symbols, positions, strict=True):
        for peg in range(pegs):
            stack = [disc + 1 for disc in range(discs) if position[disc] == peg]
            board[discs - len(stack) :, peg] = stack
    return GAME.from_symbols(LevelTowers(rows=discs, cols=pegs, max_steps=0), symbols)


def everywhere(discs, pegs):
    return standing(*product(range(pegs), repeat=discs), pegs=pegs)


def described(text):
    symbols = [[int(sign) for sign in line] for line in text.split()]
    level = LevelTowers(rows=len(symbols), cols=len(symbols[0]))
    return GAME.from_symbols(level, np.array([symbols], np.int16))


def deals(level, count=300, **overrides):
    return GAME.reset(GAME.level(level, **overrides), seeds_for("free", GAME.name, level, count))


def moves_left(state):
    return -np.nan_to_num(GAME.oracle(state), nan=2 * DEAD).max(axis=1).astype(int)


# ---- positions
POSITIONS = {
    # pegs of the discs, the smallest first; pegs; moves left; a best move
    "a tower of 2": ((0, 0), 3, 3, "0 1"),
    "a tower of 3 begins onto the last peg": ((0, 0, 0), 3, 7, "0 2"),
    "a tower of 4 begins onto the other peg": ((0, 0, 0, 0), 3, 15, "0 1"),
    "a tower of 5": ((0,) * 5, 3, 31, "0 2"),
    "a tower of 6": ((0,) * 6, 3, 63, "0 1"),
    "a tower of 7": ((0,) * 7, 3, 127, "0 2"),
    "a tower on the middle peg": ((1, 1, 1), 3, 7, "1 2"),
    "one move is left": ((0, 2, 2), 3, 1, "0 2"),
    "the largest disc is there already": ((0, 0, 2), 3, 3, "0 1"),
    "the largest disc moves next": ((1, 1, 0), 3, 4, "0 2"),
    "the smaller ones are on the wrong peg": ((2, 2, 0), 3, 7, "2 0"),
    "a tower of 7 of which the smallest is aside": ((2,) + (0,) * 6, 3, 126, "0 1"),
    "four pegs, a tower of 3": ((0, 0, 0), 4, 5, "0 1"),
    "four pegs, one move for each of three discs": ((0, 1, 2), 4, 3, "2 3"),
    "four pegs, the largest first": ((1, 2, 0), 4, 3, "0 3"),
    "four pegs, a tower of 7": ((0,) * 7, 4, 25, "0 1"),
}


@pytest.mark.parametrize("what", POSITIONS)
def test_hand_made_positions_need_as_many_moves_as_they_should(what):
    position, pegs, moves, best = POSITIONS[what]
    state = standing(position, pegs=pegs)
    action = GAME.decode(state.level, best).action
    assert GAME.success_mask(state)[0, action]
    assert GAME.explain(state, 0, action).endswith(f" {moves - 1} to go")
    for left in range(moves, 0, -1):
        assert moves_left(state) == left
        state, outcome = GAME.step(state, GAME.success_mask(state).argmax(axis=1))
        assert outcome.gain[0] == (left == 1)
    assert state.terminated.all()
    assert GAME.scene(state).texts()[0].endswith(f"|disc {len(position)}")


def test_only_smaller_discs_go_onto_larger_ones():
    state = standing((0, 0, 1))
    legal = {GAME.encode(state.level, action) for action in np.flatnonzero(GAME.legal(state)[0])}
    assert legal == {"0 1", "0 2", "1 2"}
    assert GAME.explain(state, 0, 1) == "0 1 disc 1 5 to go"
    assert GAME.explain(state, 0, 5) == "1 2 disc 3 3 to go"
    for refused in ("0 0", "1 0", "2 0", "2 1"):
        action = GAME.decode(state.level, refused).action
        after, outcome = GAME.step(state, np.array([action]))
        assert np.array_equal(after.board, state.board)
        assert not outcome.changed[0]
        assert GAME.explain(state, 0, action) == f"{refused} no"


def test_a_move_to_and_fro_is_never_paid_twice():
    state = standing((0, 0, 0))
    there = GAME.decode(state.level, "0 2").action
    back = GAME.decode(state.level, "2 0").action
    assert GAME.success_mask(state)[0, there]
    state, _ = GAME.step(state, np.array([there]))
    assert not GAME.success_mask(state)[0, back]
    assert GAME.oracle(state)[0, back] == -8


# ---- oracle
@pytest.mark.parametrize(
    ("discs", "pegs"), [(2, 3), (3, 3), (4, 3), (5, 3), (6, 3), (2, 4), (3, 4), (4, 4), (5, 4)]
)
def test_the_oracle_equals_a_search_over_all_positions(discs, pegs):
    found = distances(discs, pegs)
    state = everywhere(discs, pegs)
    assert len(state) == len(found) == pegs**discs
    for row, value in enumerate(GAME.oracle(state).tolist()):
        stacks = stacks_of(state.board[row])
        for action, (first, second) in enumerate(product(range(pegs), repeat=2)):
            after = None if solved(stacks) else moved(stacks, first, second)
            expected = np.nan if after is None else -1.0 - found[after]
            assert value[action] == expected or np.isnan([value[action], expected]).all()


def test_the_recursion_of_three_pegs_equals_the_table():
    for discs in range(2, 8):
        state = everywhere(discs, 3)
        over = state.terminated
        assert over.sum() == 1
        numbers = [
            sum(peg * 3**disc for disc, peg in enumerate(p))
            for p in product(range(3), repeat=discs)
        ]
        left = table_of(discs, 3)[numbers]
        assert np.array_equal(moves_left(state)[~over], left[~over])


def test_three_pegs_have_one_best_move_and_two_thirds_of_the_longest_way_on_average():
    # A. M. Hinz, The Tower of Hanoi (1989): to a tower the shortest way is the only one, and its
    # mean over all positions is 2/3 (2 ** n - 1)
    for discs in range(2, 8):
        state = everywhere(discs, 3)
        playing = ~state.ended
        assert (GAME.success_mask(state)[playing].sum(axis=1) == 1).all()
        left = np.where(playing, moves_left(state), 0)
        assert left.mean() == pytest.approx(2 / 3 * (2**discs - 1))
        assert left.max() == 2**discs - 1


def test_four_pegs_need_the_numbers_of_frame_and_stewart():
    for discs, moves in FRAME_STEWART.items():
        table = table_of(discs, 4)
        assert moves_left(standing((0,) * discs, pegs=4)) == moves
        assert table[0] == moves
        assert table.max() == moves, "no position is farther away than a tower"


# ---- play
@pytest.mark.parametrize("pegs", [3, 4])
@pytest.mark.parametrize("name", GAME.LEVELS)
def test_random_play_agrees_with_plain_stacks(name, pegs):
    state = deals(name, 10, cols=pegs, max_steps=60)
    rng = np.random.default_rng(5)
    plain = [stacks_of(board) for board in state.board]
    for _ in range(61):
        actions = rng.integers(-1, pegs * pegs, len(state))
        legal = GAME.legal(state)
        over = state.ended
        state, outcome = GAME.step(state, actions)
        for row, action in enumerate(actions.tolist()):
            after = None
            if not over[row] and action != NO_ACTION:
                after = moved(plain[row], *divmod(action, pegs))
                assert legal[row, action] == (after is not None)
            plain[row] = after or plain[row]
            assert stacks_of(state.board[row]) == plain[row]
            assert outcome.changed[row] == (after is not None)
            assert outcome.gain[row] == (after is not None and solved(after))
            assert state.terminated[row] == solved(plain[row])
            fallen = np.sort(state.board[row] > 0, axis=0)
            assert np.array_equal(state.board[row] > 0, fallen), "no disc is in the air"
    assert state.ended.all()


# ---- deals
@pytest.mark.parametrize("name", GAME.LEVELS)
def test_deals_are_any_positions_that_need_as_many_moves_as_the_level_says(name):
    state = deals(name, 600)
    level = state.level
    left = moves_left(state)
    assert left.min() >= level.min_moves
    assert left.max() <= (2**level.rows - 1 if level.cols == 3 else FRAME_STEWART[level.rows])
    assert left.max() < level.max_steps
    all_positions = table_of(level.rows, level.cols).astype(float)
    wanted = all_positions[all_positions >= level.min_moves]
    assert len(np.unique(state.board, axis=0)) > min(0.8 * len(wanted), 400)
    assert left.mean() == pytest.approx(wanted.mean(), rel=0.05)


def test_where_no_position_needs_so_many_moves_those_are_dealt_that_need_most():
    state = deals("normal", 100, rows=3, min_moves=127)
    assert moves_left(state).mean() > 6.5
    state = deals("normal", 300, rows=2, min_moves=1)
    assert not state.terminated.any()
    assert not (state.board[:, :, 2] == [1, 2]).all(axis=1).any()
    assert len(np.unique(state.board, axis=0)) == 8


def test_deals_that_are_not_scattered_are_one_tower():
    state = deals("normal", 5, scattered=False)
    assert (state.board[:, :, 0] == np.arange(1, 6)).all()
    assert not state.board[:, :, 1:].any()


def discs_in_place(state):
    """Of each game: how many of the largest discs lie where they shall stay."""
    in_place = state.board[:, ::-1, -1] == np.arange(state.level.rows, 0, -1)
    return in_place.cumprod(axis=1).sum(axis=1)


def test_from_easy_to_hard_random_and_greedy_players_solve_ever_fewer_games():
    for is_greedy in (False, True):
        rng = np.random.default_rng(7)
        solved_games = {}
        for name in ("easy", "normal", "hard"):
            state = deals(name)
            while not state.ended.all():
                wish = rng.random((len(state), 9))
                if is_greedy:  # the move after which most of the largest discs are in place
                    each = np.tile(np.arange(9), len(state))
                    after, _ = GAME.step(state.repeat(9), each)
                    wish += discs_in_place(after).reshape(-1, 9)
                actions = np.where(GAME.legal(state), wish, -9).argmax(axis=1)
                state, _ = GAME.step(state, actions)
            solved_games[name] = state.terminated.mean()
        assert 0.9 > solved_games["easy"] > 0.12
        assert solved_games["easy"] > solved_games["normal"] + 0.1
        assert solved_games["normal"] >= solved_games["hard"]
        assert solved_games["hard"] < 0.05


# ---- what a teacher says, and texts
def test_a_teacher_goes_from_the_largest_disc_to_the_move():
    state = standing((0, 0, 0))
    thoughts, action = GAME.reasoning(state, 0, GAME.oracle(state)[0])
    assert thoughts == "disc 3 from 0 to 2; disc 2 from 0 to 1; disc 1 from 0 to 2"
    assert GAME.encode(state.level, action) == "0 2"
    state = standing((1, 1, 2, 0))
    thoughts, action = GAME.reasoning(state, 0, GAME.oracle(state)[0])
    assert thoughts == (
        "disc 4 from 0 to 2; disc 3 from 2 to 1; disc 2 from 1 to 0; disc 1 from 1 to 2"
    )
    assert GAME.encode(state.level, action) == "1 2"


def test_the_teachers_move_is_the_best_one_in_all_positions():
    for pegs in (3, 4):
        state = everywhere(4, pegs)
        values = GAME.oracle(state)
        best = GAME.success_mask(state)
        for row in np.flatnonzero(~state.ended):
            assert best[row, GAME.reasoning(state, row, values[row])[1]]


def test_cells_are_pegs_and_discs():
    state = standing((0, 1, 0))
    assert GAME.scene(state).texts() == ["peg|peg|peg\ndisc 1|peg|peg\ndisc 3|disc 2|peg"]
    assert "3 discs on 3 pegs" in GAME.rules(state.level)
    assert GAME.decode(state.level, "0, 3").problem == "out_of_range"
    assert GAME.decode(state.level, "disc 1").problem == "not_a_move"


# ---- described boards
BOARDS_OUT_OF_REACH = {
    "a disc in the air": "100 000 320",
    "a larger disc on a smaller one": "000 300 120",
    "a disc twice": "000 100 312",
    "equal discs on each other": "000 100 132",
    "a disc that is missing": "000 000 310",
    "no discs": "000 000 000",
    "a disc below the top of a full peg": "100 200 311",
    "solved, with a disc too many": "001 002 103",
    "all pegs full": "111 222 333",
}


@pytest.mark.parametrize("what", BOARDS_OUT_OF_REACH)
def test_boards_that_the_rules_cannot_reach_are_dead_and_can_be_played(what):
    state = described(BOARDS_OUT_OF_REACH[what])
    legal = GAME.legal(state)
    value = GAME.oracle(state)
    assert not state.ended.any()
    assert np.array_equal(np.isnan(value), ~legal)
    assert (value[legal] == DEAD).all()
    assert not GAME.success_mask(state).any()
    for action in range(9):
        after, outcome = GAME.step(state, np.array([action]))
        assert outcome.changed[0] == legal[0, action]
        before = np.bincount(state.board.reshape(-1), minlength=4)
        assert np.array_equal(np.bincount(after.board.reshape(-1), minlength=4), before)
        GAME.explain(state, 0, action)
    GAME.reasoning(state, 0, value[0])


def test_any_described_board_is_played_without_an_error():
    rng = np.random.default_rng(2)
    for discs, pegs in ((2, 3), (4, 4), (7, 3)):
        level = LevelTowers(rows=discs, cols=pegs)
        symbols = rng.integers(0, discs + 1, (300, discs, pegs)).astype(np.int16)
        state = GAME.from_symbols(level, symbols)
        for _ in range(10):
            state, _ = GAME.step(state, rng.integers(0, pegs * pegs, 300))
            assert (GAME.oracle(state)[GAME.legal(state)] <= -1).all()


def test_a_solved_board_that_was_described_has_ended():
    state = described("001 002 003")
    assert state.terminated.all()
    assert not GAME.legal(state).any()
    assert GAME.candidates(state, 0) == []
