"""FrozenLake against plain references: steps with their luck, shortest ways, and the value of
slippery moves.
"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vlmgym.core import DEAD, ConfigError, draw_below, draw_unit, seeds_for
from vlmgym.games.frozen_lake import FrozenLake
from vlmgym.games.solvers import walks
from vlmgym.games.solvers.walks import DISCOUNT, FLOOR, GOAL, HOLE, PLAYER, WALL

GAME = FrozenLake()
STEPS = ((-1, 0), (0, 1), (1, 0), (0, -1))


def ahead(board, place, move):
    """Reference: the cell that a step leads to, or the same if something is in the way."""
    r, c = place[0] + STEPS[move][0], place[1] + STEPS[move][1]
    return (
        (r, c) if 0 <= r < len(board) and 0 <= c < len(board[0]) and board[r][c] != WALL else place
    )


def find(board):
    return next(
        ((r, c) for r, line in enumerate(board) for c, x in enumerate(line) if x == PLAYER), None
    )


def distance(board, start):
    """Reference: moves of a shortest way from a cell to a goal; None if there is none."""
    layer, seen, moves = [start], {start}, 0
    while layer:
        if any(board[r][c] == GOAL for r, c in layer):
            return moves
        fresh = {
            ahead(board, p, m) for p in layer for m in range(4) if board[p[0]][p[1]] != HOLE
        } - seen
        seen |= fresh
        layer, moves = sorted(fresh), moves + 1
    return None


def values(board, place, slip, discount=DISCOUNT):
    """Reference: by matrices, sweep for sweep over all cells at once."""
    rows, cols = len(board), len(board[0])
    flat = np.array(board).ravel()
    where = np.array(
        [[ahead(board, divmod(i, cols), m) for m in range(4)] for i in range(rows * cols)]
    ) @ (cols, 1)
    chance = np.zeros((4, rows * cols, rows * cols))
    for move in range(4):
        for other, share in (
            (move, 1 - slip),
            ((move + 1) % 4, slip / 2),
            ((move + 3) % 4, slip / 2),
        ):
            np.add.at(chance[move], (np.arange(rows * cols), where[:, other]), share)
    worth = (flat == GOAL).astype(float)
    alive = (flat == FLOOR) | (flat == PLAYER)
    for _ in range(9000):
        worth = np.where(alive, discount * (chance @ worth).max(axis=0), worth)
    return (chance @ worth)[:, place[0] * cols + place[1]]


def random_boards(rng, count, rows, cols):
    board = rng.choice(4, (count, rows, cols), p=[0.6, 0.15, 0.15, 0.1]).astype(np.int16)
    board[np.arange(count), rng.integers(rows, size=count), rng.integers(cols, size=count)] = PLAYER
    return board


@pytest.mark.parametrize("slip", [0.0, 0.5])
@pytest.mark.parametrize(("rows", "cols"), [(2, 2), (3, 5), (8, 8)])
def test_steps_agree_with_the_reference(rows, cols, slip):
    rng = np.random.default_rng(rows + cols)
    level = GAME.level("easy", rows=rows, cols=cols, slip=slip, max_steps=5)
    state = GAME.from_symbols(level, random_boards(rng, 60, rows, cols))
    state = state.with_arrays({"seed": seeds_for("free", "FrozenLake", "steps", 60)})
    slipped = 0
    for turn in range(6):
        actions, legal, before = rng.integers(-1, 4, 60), GAME.legal(state), state.to_bytes(GAME)
        after, outcome = GAME.step(state, actions)
        assert state.to_bytes(GAME) == before, "step must not touch its input"
        for i in range(60):
            board, place, move = (
                state.board[i].tolist(),
                find(state.board[i].tolist()),
                int(actions[i]),
            )
            ends, gain, to = bool(state.terminated[i]), 0, place
            if not state.ended[i]:
                ways = ((0, 1, 3) if slip else (0,)) if move >= 0 else ()
                assert move < 0 or legal[i, move] == any(
                    ahead(board, place, (move + k) % 4) != place for k in ways
                )
                if move >= 0 and draw_unit(state.seed[i], turn + 1, 0) < slip:
                    move, slipped = (
                        (move + (1 if draw_below(state.seed[i], turn + 1, 1, 2) else 3)) % 4,
                        slipped + 1,
                    )
                to = ahead(board, place, move) if move >= 0 else place
            if to != place:
                thing = board[to[0]][to[1]]
                gain, ends = int(thing == GOAL), thing in (GOAL, HOLE)
                board[place[0]][place[1]], board[to[0]][to[1]] = FLOOR, PLAYER
                assert after.under[i] == thing
            assert after.board[i].tolist() == board
            assert (outcome.gain[i], outcome.terminated[i], outcome.changed[i]) == (
                gain,
                ends,
                to != place,
            )
            assert after.score[i] == state.score[i] + gain
        assert (after.steps == state.steps + ~state.ended).all()
        ended = np.flatnonzero(state.ended)
        assert after[ended] == state[ended]
        assert not GAME.legal(after)[after.ended].any()
        for i in (0, 11, 59):
            assert GAME.step(state[i], actions[i : i + 1])[0] == after[i]
        state = after
    assert state.ended.all()
    assert state.terminated.any()
    assert (slipped > 20) == bool(slip)


def test_one_slips_to_either_side_as_often_as_stated():
    level = GAME.level("hard", rows=3, cols=3, slip=0.6)
    board = np.zeros((20_000, 3, 3), np.int16)
    board[:, 1, 1] = PLAYER
    state = GAME.from_symbols(level, board).with_arrays(
        {"seed": seeds_for("free", "FrozenLake", "slip", 20_000)}
    )
    after, _ = GAME.step(state, np.zeros(20_000, int))
    shares = (after.board == PLAYER).mean(axis=0)
    for cell, share in (((0, 1), 0.4), ((1, 0), 0.3), ((1, 2), 0.3)):
        assert abs(shares[cell] - share) < 4 * (share * (1 - share) / 20_000) ** 0.5
    assert not np.array_equal(
        GAME.step(state.reseed(1), np.zeros(20_000, int))[0].board, after.board
    )


@pytest.mark.parametrize(("rows", "cols"), [(2, 3), (4, 4), (8, 8), (16, 16)])
def test_oracle_agrees_with_plain_search(rows, cols):
    rng = np.random.default_rng(rows)
    state = GAME.from_symbols(
        GAME.level("easy", rows=rows, cols=cols), random_boards(rng, 30, rows, cols)
    )
    value, good = GAME.oracle(state), GAME.success_mask(state)
    for i in range(30):
        board = state.board[i].tolist()
        place, expected = find(board), []
        for move in range(4):
            to = ahead(board, place, move)
            left = None if board[to[0]][to[1]] == HOLE else distance(board, to)
            expected.append(np.nan if to == place else DEAD if left is None else -1 - left)
        np.testing.assert_array_equal(value[i], expected)
        best = max([v for v in expected if v > DEAD], default=0)  # NaN compares as False
        assert good[i].tolist() == [v == best for v in expected]


@pytest.mark.parametrize("slip", [0.1, 0.5, 0.9])
@pytest.mark.parametrize(("rows", "cols"), [(2, 3), (4, 4), (5, 8)])
def test_slippery_oracle_agrees_with_plain_iteration(rows, cols, slip):
    rng = np.random.default_rng(rows)
    level = GAME.level("easy", rows=rows, cols=cols, slip=slip)
    state = GAME.from_symbols(level, random_boards(rng, 10, rows, cols))
    value, legal, good = GAME.oracle(state), GAME.legal(state), GAME.success_mask(state)
    assert np.array_equal(np.isnan(value), ~legal)
    for i in range(10):
        board = state.board[i].tolist()
        expected = values(board, find(board), slip)
        np.testing.assert_allclose(value[i][legal[i]], expected[legal[i]], rtol=0, atol=1e-9)
        best = np.nanmax(value[i], initial=0.0)
        assert (best > 0) == (distance(board, find(board)) is not None)
        assert good[i].tolist() == [bool(v > 0 and v >= best - 1e-9) for v in value[i]]


def chance_of(board, slip, moves):
    """Reference: the chance of each cell to come to a goal by these moves, ``(cells,)``."""
    cols = board.shape[1]
    flat = board.ravel()
    alive = (flat == FLOOR) | (flat == PLAYER)
    shares = np.zeros((board.size, board.size))
    for cell in np.flatnonzero(alive):
        for turn, share in ((0, 1 - slip), (1, slip / 2), (3, slip / 2)):
            place = ahead(board.tolist(), divmod(cell, cols), (moves[cell] + turn) % 4)
            shares[cell, place[0] * cols + place[1]] += share
    worth = (flat == GOAL).astype(float)
    for _ in range(9000):
        worth = np.where(alive, shares @ worth, worth)
    return worth


def best_moves(board, level):
    """The oracle's move from each floor cell of a lake, wherever its player stands."""
    moves = np.zeros(board.size, int)
    for cell in np.flatnonzero((board == FLOOR) | (board == PLAYER)):
        other = np.where(board == PLAYER, FLOOR, board)
        other.flat[cell] = PLAYER
        value = GAME.oracle(GAME.from_symbols(level, other[None]))[0]
        moves[cell] = 0 if np.isnan(value).all() else np.nanargmax(value)
    return moves


def test_an_explanation_on_slippery_ice_gives_the_chance_of_playing_on_as_the_oracle_does():
    level = GAME.level("hard")
    state = GAME.reset(level, seeds_for("free", "FrozenLake", "chance", 6))
    for row, board in enumerate(state.board):
        chance = chance_of(board, level.slip, best_moves(board, level))
        cell = np.flatnonzero(board == PLAYER)[0]
        move = int(np.nanargmax(GAME.oracle(state)[row]))
        said = float(GAME.explain(state, row, move).split()[-1])
        assert abs(said - chance[cell]) < 0.006


def test_a_chance_is_0_where_no_goal_can_be_reached():
    board = np.array([[[PLAYER, HOLE, GOAL], [FLOOR, HOLE, FLOOR], [FLOOR, HOLE, FLOOR]]], np.uint8)
    for slip in (0.1, 0.9):
        np.testing.assert_array_equal(walks.chances(board, np.ones((1, 4), bool), slip), 0)


def test_good_is_the_choice_and_not_the_luck():
    level = GAME.level("hard")
    state = GAME.reset(level, seeds_for("free", "FrozenLake", "good", 200))
    best = GAME.success_mask(state)
    actions = best.argmax(axis=1)
    _, outcome = GAME.step(state, actions)
    assert GAME.success(state, actions, outcome).all()
    worse = (~best).argmax(axis=1)
    assert (GAME.success(state, worse, outcome) == best[np.arange(200), worse]).all()
    assert not GAME.success(state, np.full(200, -1), outcome).any()
    assert GAME.would_succeed(level, GAME.scene(state).symbols, actions).all()
    state = state[:50]
    while not state.ended.all():
        state, _ = GAME.step(state, GAME.success_mask(state).argmax(axis=1))
    assert (state.under == HOLE).any(), "some best moves slip into holes all the same"
    assert state.score.mean() > 0.4


@pytest.mark.parametrize("name", GAME.LEVELS)
def test_deals_have_a_way(name):
    level = GAME.level(name)
    seeds = seeds_for("free", "FrozenLake", name, 200)
    state = GAME.reset(level, seeds)
    assert not state.ended.any()
    assert GAME.success_mask(state).any(axis=1).all()
    moves = [distance(board, find(board)) for board in state.board.tolist()]
    assert min(moves) >= (3 if level.rows == 4 else 5 if level.field == "lake" else 4)
    for thing in (PLAYER, GOAL):
        assert ((state.board == thing).sum(axis=(1, 2)) == 1).all()
    assert (state.board == HOLE).any() == (level.field == "lake")
    assert (state.board == WALL).any() == (level.field == "maze")
    assert len({b.tobytes() for b in state.board}) > 150
    assert GAME.reset(level, seeds) == state
    assert GAME.reset(level, seeds[17:18]) == state[17]
    assert GAME.from_bytes(state.to_bytes(GAME)) == state
    assert np.array_equal(~np.isnan(GAME.oracle(state)), GAME.legal(state))
    if level.slip == 0:
        lengths = np.array(moves)
        for _ in range(max(moves)):
            state, _ = GAME.step(state, np.nan_to_num(GAME.oracle(state), nan=-9e9).argmax(axis=1))
        assert (state.score == (lengths <= (level.max_steps or 10**9))).all()


def free_cells(board):
    return {(r, c) for r, line in enumerate(board) for c, x in enumerate(line) if x != WALL}


@pytest.mark.parametrize(("rows", "cols"), [(2, 4), (5, 5), (6, 9), (8, 8), (15, 16)])
def test_mazes_are_trees_until_loops_are_opened(rows, cols):
    for loops in (0.0, 0.5, 1.0):
        level = GAME.level("maze_easy", rows=rows, cols=cols, loops=loops)
        for board in GAME.reset(level, seeds_for("free", "FrozenLake", "tree", 20)).board.tolist():
            free = free_cells(board)
            nodes = {(r, c) for r in range(1, rows, 2) for c in range(1, cols, 2)}
            assert nodes <= free
            seen, todo = set(), [find(board)]
            while todo:
                place = todo.pop()
                if place not in seen:
                    seen.add(place)
                    todo += [ahead(board, place, m) for m in range(4)]
            assert seen == free, "all passages hang together"
            a, b = rows // 2, cols // 2
            assert len(nodes) == a * b
            doors = len(free) - len(nodes)
            if loops == 0:
                assert doors == a * b - 1
            elif loops == 1:
                assert doors == a * (b - 1) + b * (a - 1)
            for k in range(rows):
                assert board[k][0] == WALL
                assert cols % 2 == 0 or board[k][-1] == WALL


@pytest.mark.parametrize(("rows", "cols"), [(2, 2), (2, 16), (5, 7), (16, 16)])
@pytest.mark.parametrize("density", [0.0, 0.5, 0.9])
def test_any_density_deals_lakes_with_a_way(rows, cols, density):
    state = GAME.reset(
        GAME.level("easy", rows=rows, cols=cols, density=density),
        seeds_for("free", "FrozenLake", "d", 40),
    )
    assert all(distance(board, find(board)) >= 1 for board in state.board.tolist())
    holes = (state.board == HOLE).sum(axis=(1, 2))
    assert (holes <= min(round(density * rows * cols), rows * cols - 2)).all()
    assert (holes > 0).any() == (density > 0)


def test_described_boards_play_like_the_true_ones():
    for name in GAME.LEVELS:
        state = GAME.reset(GAME.level(name), seeds_for("free", "FrozenLake", name, 20))
        for turn in range(8):
            twin = GAME.from_symbols(state.level, GAME.scene(state).symbols)
            assert np.array_equal(GAME.scene(twin).symbols, GAME.scene(state).symbols)
            live = ~state.ended
            np.testing.assert_array_equal(GAME.oracle(twin)[live], GAME.oracle(state)[live])
            assert np.array_equal(GAME.legal(twin)[live], GAME.legal(state)[live])
            state, _ = GAME.step(state, np.full(20, (1, 2)[turn % 2]))


@given(st.integers(0, 2**32 - 1), st.sampled_from(list(GAME.LEVELS)), st.booleans())
def test_any_description_gives_a_state(seed, name, players):
    rng, level = np.random.default_rng(seed), GAME.level(name)
    symbols = rng.integers(0, 7 if players else 4, (2, level.rows, level.cols)).astype(np.int16)
    state = GAME.from_symbols(level, symbols)
    again = GAME.scene(state).symbols
    assert np.array_equal(again[symbols < PLAYER], symbols[symbols < PLAYER])
    assert ((again >= PLAYER).sum(axis=(1, 2)) == (symbols >= PLAYER).any(axis=(1, 2))).all()
    assert (state.terminated == (again > PLAYER).any(axis=(1, 2))).all()
    legal, actions = GAME.legal(state), rng.integers(-1, 4, 2)
    assert players or not legal.any()
    assert np.array_equal(~np.isnan(GAME.oracle(state)), legal)
    GAME.would_succeed(level, symbols, actions)
    GAME.step(state, actions)
    for i in range(2):
        assert GAME.candidates(state, i) == np.flatnonzero(legal[i]).tolist()
        assert all(";" not in GAME.explain(state, i, move) for move in range(4))


def test_the_last_picture_shows_how_the_game_ended():
    board = np.array([[[HOLE, PLAYER, GOAL], [FLOOR, FLOOR, FLOOR]]], np.int16)
    state = GAME.from_symbols(GAME.level("easy", rows=2, cols=3), board)
    for move, name in ((3, "player in hole"), (1, "player at goal"), (2, "player")):
        after, _ = GAME.step(state, np.array([move]))
        assert name in GAME.scene(after).texts()[0].replace("\n", "|").split("|")
        described = GAME.from_symbols(state.level, GAME.scene(after).symbols)
        assert described == GAME.start(state.level, after.board, under=after.under).with_arrays(
            {"terminated": after.terminated}
        )


def test_explanations():
    board = np.array(
        [[[HOLE, PLAYER, WALL], [FLOOR, FLOOR, FLOOR], [FLOOR, FLOOR, GOAL]]], np.int16
    )
    state = GAME.from_symbols(GAME.level("easy", rows=3, cols=3), board)
    assert [GAME.explain(state, 0, m) for m in range(4)] == [
        "0 up edge",
        "1 right wall",
        "2 down floor 2 left",
        "3 left hole",
    ]
    after, _ = GAME.step(state, np.array([3]))
    assert GAME.explain(after, 0, 2) == "2 down no"
    assert GAME.candidates(after, 0) == []
    board[0, 2, 2] = HOLE
    assert GAME.explain(GAME.from_symbols(state.level, board), 0, 2) == "2 down floor no way"
    board[0, 2, 2] = GOAL
    state = GAME.from_symbols(GAME.level("easy", rows=3, cols=3, slip=0.5), board)
    chance = values(board[0].tolist(), (0, 1), 0.5, discount=1)
    assert [GAME.explain(state, 0, m) for m in (1, 2)] == [
        f"1 right wall {chance[1]:.2f}",
        f"2 down floor {chance[2]:.2f}",
    ]
    assert GAME.candidates(state, 0) == [0, 1, 2, 3]
    assert "slippery" in GAME.rules(state.level)
    assert "maze" in GAME.rules(GAME.level("maze_easy"))


def test_answers_are_moves():
    level = GAME.level("easy")
    assert GAME.n_actions(level) == 4
    for action in range(4):
        assert GAME.decode(level, GAME.encode(level, action)).action == action
    for text, problem in [
        ("4", "out_of_range"),
        ("01", "out_of_range"),
        ("up", "not_a_move"),
        ("", "not_a_move"),
    ]:
        assert (GAME.decode(level, text).action, GAME.decode(level, text).problem) == (
            -1,
            problem,
        ), text


def test_bad_levels_are_refused():
    bad_settings = [
        {"slip": 0.95},
        {"density": 1.0},
        {"loops": -0.1},
        {"rows": 1},
        {"cols": 17},
        {"field": "sea"},
    ]
    for bad in bad_settings:
        with pytest.raises(ConfigError, match=f"LevelFrozenLake.{next(iter(bad))}"):
            GAME.level("easy", **bad)
    with pytest.raises(ConfigError, match=r"LevelFrozenLake.rows = 3"):
        GAME.level("maze_easy", rows=3, cols=3)
    assert GAME.level("maze_easy", rows=3, cols=4).cols == 4


def test_restart_deals_again_and_keeps_the_score():
    level = GAME.level("tiny", restart=True, max_steps=0)
    state = GAME.reset(level, seeds_for("free", "FrozenLake", "r", 20))
    for _ in range(40):
        state, _ = GAME.step(state, np.nan_to_num(GAME.oracle(state), nan=-9e9).argmax(axis=1))
        assert not state.terminated.any()
        assert (state.under == FLOOR).all()
    assert (state.score >= 3).all()
