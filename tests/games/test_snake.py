"""Snake: the kernels agree with plain lists, the oracle's promises with a search over all snakes,
and what a described board shows is all that counts.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parts.plain_snake import SIGNS, Every, Plain
from vlmgym.core import DEAD, NO_ACTION, ConfigError, State, seeds_for
from vlmgym.games.snake import NAMES, LevelSnake, Snake
from vlmgym.games.solvers.snakes import LEAST, WAITING
from vlmgym.players.simple import Greedy

GAME = Snake()


def described(*lines: str, **overrides: object) -> State:
    symbols = np.array([[[SIGNS.index(sign) for sign in line] for line in lines]], np.int16)
    rows, cols = symbols.shape[1:]
    level = GAME.level("easy", rows=rows, cols=cols, walls=0, length=2, **overrides)
    return GAME.from_symbols(level, symbols)


def lines_of(state: State, row: int = 0) -> list[str]:
    return ["".join(SIGNS[value] for value in line) for line in state.board[row].tolist()]


def values(state: State, row: int = 0) -> list[float | None]:
    return [None if np.isnan(value) else value for value in GAME.oracle(state)[row].tolist()]


def good(state: State) -> list[int]:
    return np.flatnonzero(GAME.success_mask(state)[0]).tolist()


def moved(state: State, *moves: int) -> State:
    for move in moves:
        state, _ = GAME.step(state, np.full(len(state), move))
    return state


def deals(level: str, count: int = 300) -> State:
    return GAME.reset(level, seeds_for("free", GAME.name, level, count))


@pytest.mark.parametrize("level", GAME.LEVELS)
def test_random_play_agrees_with_the_reference(level):
    state = deals(level, 40)
    plain = [Plain(state, row) for row in range(len(state))]
    generator = np.random.default_rng(1)
    for _ in range(40):
        oracle = np.nan_to_num(GAME.oracle(state), nan=-9999).argmax(axis=1)
        chance = generator.integers(0, 4, len(state))
        actions = np.where(generator.random(len(state)) < 0.85, oracle, chance)
        after, outcome = GAME.step(state, actions)
        for row, game in enumerate(plain):
            if state.ended[row]:
                continue
            before = game.lines()
            gain = game.play(int(actions[row]))
            assert lines_of(after, row) == game.lines()
            assert outcome.gain[row] == gain
            assert outcome.changed[row] == (before != game.lines())
            assert after.terminated[row] == game.over
            assert GAME.legal(state)[row, actions[row]] == outcome.changed[row]
        state = after
    assert state.terminated.any()
    assert state.score.max() > 3


# ---- hand-made positions
@pytest.mark.parametrize(
    ("lines", "expected", "moves"),
    [
        # two right and two down: both are on a shortest way, up leads away
        (("_____", ">@___", "_____", "___*_", "_____"), [-6, -4, -4, None], [1, 2]),
        # behind the neck: round it on either side
        (("_____", "_____", "_*>@_", "_____", "_____"), [-4, -6, -4, None], [0, 2]),
        # a wall in the straight way: round it on either side
        (("_____", "_____", ">@#*_", "_____", "_____"), [-4, DEAD, -4, None], [0, 2]),
        # the same at the edge
        ((">@#*_", "_____", "_____", "_____", "_____"), [DEAD, DEAD, -4, None], [2]),
        # just ahead
        (("____", ">@*_", "____", "____"), [-3, -1, -3, None], [1]),
        # a pocket from which there is no way out: neither the way into it nor the food is safe, but
        # outside the snake can go round for ever
        (("#*#_", "#_#_", "#@__", "_^__"), [DEAD + 2, WAITING + 2, None, DEAD], []),
        # in the pocket eating is the last that can be done, and it counts
        (("####", "#*@#", "##^#", "##^_"), [DEAD, DEAD, None, DEAD + 1], [3]),
        # the tail makes room in the very move
        (("____", "_@<_", "_>^_", "__*_"), [-5, None, -3, -5], [2]),
        (("____", "_v<_", "_>@_", "__*_"), [-5, -3, -1, None], [2]),
        (("v<__", "v^__", "v^__", ">@*_"), [-3, -1, DEAD, None], [1]),
        # round the whole snake
        (("*___", "v<<_", "v_^_", ">@^_"), [-6, -6, DEAD, None], [0, 1]),
        # a head alone may go anywhere
        (("____", "_@__", "____", "___*"), [-6, -4, -4, -6], [1, 2]),
        # no food: the longer round is worth more
        (("____", "____", "____", ">>@_"), [WAITING + 2, WAITING + 3, DEAD, None], []),
        # nothing is left but to crash
        (("@v<<", "^>v^", "^<v^", "*^<^"), [DEAD, DEAD, None, DEAD], []),
        # the last free cell: eating it wins
        (("*v<<", "@>v^", "^v<^", "^<>^"), [-1, DEAD, None, DEAD], [0]),
    ],
)
def test_values_of_positions_worked_out_by_hand(lines, expected, moves):
    state = described(*lines)
    assert values(state) == expected
    assert good(state) == moves


def test_the_snake_moves_grows_and_crashes():
    state = described("____", ">>@*", "____", "____")
    state, outcome = GAME.step(state, np.array([1]))
    assert lines_of(state)[1] == ">>>@", "the last cell stays when it eats"
    assert (outcome.gain[0], state.score[0]) == (1, 1)
    assert sum(line.count("*") for line in lines_of(state)) == 1
    state = moved(state, 2)
    assert [line.replace("*", "_") for line in lines_of(state)] == ["____", "_>>v", "___@", "____"]
    crashed, outcome = GAME.step(state, np.array([1]))
    assert lines_of(crashed)[2].endswith("X")
    assert outcome.terminated[0]
    assert not outcome.gain[0]
    assert not GAME.success(state, np.array([1]), outcome)[0]
    assert lines_of(moved(crashed, 3)) == lines_of(crashed), "an ended game stays"


def test_straight_back_does_nothing_and_the_tail_makes_room():
    for lines in [("____", "_>@*", "____", "____"), ("____", ">>@*", "____", "____")]:
        state = described(*lines)
        after, outcome = GAME.step(state, np.array([3]))
        assert lines_of(after) == list(lines)
        assert not outcome.changed[0]
        assert not GAME.legal(state)[0, 3]
    state = moved(described("____", "_v<_", "_>@_", "*___"), 0)
    assert lines_of(state) == ["____", "_v@_", "_>^_", "*___"]


def test_a_full_board_ends_the_game():
    state = described("*v<<", "@>v^", "^v<^", "^<>^")
    after, outcome = GAME.step(state, np.array([0]))
    assert outcome.gain[0] == 1
    assert after.terminated[0]
    assert "*" not in "".join(lines_of(after))
    twin = GAME.from_symbols(after.level, GAME.scene(after).symbols)
    assert twin.terminated[0]


def test_equal_luck_puts_food_on_the_same_cell():
    state = deals("tiny", 30).repeat(2)
    while (state.score == 0).any():
        state, _ = GAME.step(state, np.nan_to_num(GAME.oracle(state), nan=-9999).argmax(axis=1))
    assert np.array_equal(state.board[::2], state.board[1::2])
    ahead = described("____", ">>@*", "____", "____").repeat(60).reseed(np.arange(60))
    assert len(np.unique(moved(ahead, 1).board, axis=0)) == 12, "on any free cell"


# ---- the oracle and all snakes
def played_positions(walls: int, count: int, turns: int) -> list[State]:
    """Positions of games by the oracle that errs now and then."""
    level = GAME.level("tiny", walls=walls)
    state = GAME.reset(level, seeds_for("free", GAME.name, "tiny", count))
    generator = np.random.default_rng(2)
    positions = []
    for turn in range(turns):
        if turn % 3 == 0:
            positions += [state[row] for row in np.flatnonzero(~state.ended)]
        value = np.nan_to_num(GAME.oracle(state), nan=-9999)
        value += 2 * generator.random(value.shape)
        state, _ = GAME.step(state, value.argmax(axis=1))
    return positions


@pytest.mark.parametrize("walls", [0, 2])
def test_the_oracle_agrees_with_a_search_over_all_snakes(walls):
    """What it calls safe is safe, and its ways are the shortest but where one must wait."""
    positions = played_positions(walls, count=12, turns=20)
    assert len(positions) > 60
    same = differs = 0
    for state in positions:
        plain = Plain(state, 0)
        food = next(iter(plain.food))
        every = Every(4, 4, frozenset(plain.walls))
        for move, value in enumerate(values(state)):
            target = plain.ahead(move)
            if value is None:
                assert target == plain.snake[1]
                continue
            news = every.after(tuple(plain.snake), frozenset(plain.food))
            new = next((snake for snake in news if snake[0] == target), None)
            assert (value == DEAD) == (new is None)
            if new is None:
                continue
            if target == food:
                won = len(new) == len(every.free)
                assert (value == -1) <= (won or every.lives(new, None))
                same += (value == -1) == (won or every.lives(new, None))
                differs += (value == -1) != (won or every.lives(new, None))
                continue
            best = every.safe_way(new, food)
            if value > LEAST:
                assert best is not None
                assert -1 - value >= best
            elif value > WAITING:
                assert every.lives(new, food)
            found = -1 - value if value > LEAST else None
            same += found == best
            differs += found != best
    assert same / (same + differs) > 0.9, "few ways must wait, even on so small a board"


@pytest.mark.parametrize("level", ["easy", "normal", "hard"])
def test_a_way_gets_shorter_by_each_of_its_moves(level):
    state = deals(level, 60)
    shorter = checked = 0
    for _ in range(40):
        value = np.nan_to_num(GAME.oracle(state), nan=-9999)
        best = value.max(axis=1)
        after, outcome = GAME.step(state, value.argmax(axis=1))
        later = np.nan_to_num(GAME.oracle(after), nan=-9999).max(axis=1)
        on_way = (best > LEAST) & ~state.ended
        assert (outcome.gain[on_way & (best == -1)] == 1).all()
        going = on_way & (best < -1) & ~after.ended
        assert (later[going] >= best[going] + 1).all()
        shorter += int((later[going] > best[going] + 1).sum())
        checked += int(going.sum())
        state = after
    assert not (state.terminated & (state.score == 0)).any()
    assert shorter < 0.02 * checked, "seldom the tail opens a shorter one"


# ---- deals
@pytest.mark.parametrize("level", GAME.LEVELS)
def test_deals_have_a_safe_way_and_no_dead_end(level):
    state = deals(level)
    lv = state.level
    board = state.board
    assert (np.nanmax(GAME.oracle(state), axis=1) > LEAST).all()
    assert GAME.success_mask(state).any(axis=1).all()
    assert ((board >= 3).sum(axis=(1, 2)) == lv.length).all()
    assert ((board == 2).sum(axis=(1, 2)) == 1).all()
    assert ((board == 1).sum(axis=(1, 2)) == lv.walls).all()
    assert len(np.unique(board, axis=0)) > 250
    free = np.pad(board != 1, ((0, 0), (1, 1), (1, 1))).astype(int)
    beside = free[:, :-2, 1:-1] + free[:, 2:, 1:-1] + free[:, 1:-1, :-2] + free[:, 1:-1, 2:]
    assert (beside[board != 1] >= 2).all()


def test_levels_are_graded_by_food_eaten_by_players_that_do_not_plan():
    """Food in a game: of legal moves at random, and of the one that eats where it can."""
    by_chance = []
    by_greed = []
    for level in ("tiny", "easy", "normal", "hard"):
        for scores in (by_chance, by_greed):
            state = deals(level)
            eaten = 0
            while len(state):
                if scores is by_chance:
                    actions = GAME.draw_legal(state)
                else:
                    actions = np.array(Greedy().choose(GAME, state))
                state, outcome = GAME.step(state, actions)
                eaten += int(outcome.gain.sum())
                state = state[~state.ended]
            scores.append(eaten)
    assert by_chance == sorted(by_chance, reverse=True)
    assert by_greed == sorted(by_greed, reverse=True)


def test_walls_that_do_not_fit_are_left_out():
    level = GAME.level("tiny", walls=12, length=2)
    state = GAME.reset(level, seeds_for("free", GAME.name, "tiny", 30))
    walls = (state.board == 1).sum(axis=(1, 2))
    assert (walls < 12).all()
    assert (walls > 0).any()
    assert (np.nanmax(GAME.oracle(state), axis=1) > LEAST).all()


# ---- described boards
def test_of_several_heads_the_first_counts_and_strange_parts_lie_in_the_way():
    state = described("____", ">@_v", "_@*_", "_X__")
    assert lines_of(state) == ["____", ">@_v", "__*_", "____"]
    assert values(state) == [-4, -2, -2, None]
    assert moved(state, 1, 1).terminated[0], "the strange part is a crash"
    assert described("____", "__X_", "_*__", "____").terminated[0]
    nobody = described("____", "_>v_", "_*__", "____")
    assert not GAME.legal(nobody).any()
    assert np.isnan(GAME.oracle(nobody)).all()
    assert GAME.explain(nobody, 0, 1) == "1 right no"


def test_of_several_foods_the_nearest_counts():
    state = described("*___", "_*@<", "____", "____")
    assert values(state) == [-3, None, -3, -1]
    after = moved(state, 3)
    assert sum(line.count("*") for line in lines_of(after)) == 2


@settings(max_examples=80)
@given(st.data())
def test_any_symbols_make_a_state(data):
    rows, cols = data.draw(st.integers(4, 6)), data.draw(st.integers(4, 6))
    signs = data.draw(st.text(SIGNS, min_size=rows * cols, max_size=rows * cols))
    state = described(*(signs[row * cols : (row + 1) * cols] for row in range(rows)))
    legal = GAME.legal(state)
    assert np.array_equal(~np.isnan(GAME.oracle(state)), legal)
    assert not (GAME.success_mask(state) & ~legal).any()
    for move in range(4):
        assert ";" not in GAME.explain(state, 0, move)
        after, _ = GAME.step(state, np.array([move]))
        GAME.scene(after)


@pytest.mark.parametrize("level", GAME.LEVELS)
def test_scene_and_symbols_are_inverse(level):
    state = deals(level, 20)
    for _ in range(12):
        scene = GAME.scene(state)
        assert (scene.names, scene.kind) == (NAMES, "sprite")
        twin = GAME.from_symbols(state.level, scene.symbols)
        assert np.array_equal(GAME.scene(twin).joins, scene.joins)
        assert np.array_equal(GAME.legal(twin), GAME.legal(state))
        assert np.array_equal(twin.terminated, state.terminated)
        assert np.array_equal(GAME.oracle(twin), GAME.oracle(state), equal_nan=True)
        state, _ = GAME.step(state, np.nan_to_num(GAME.oracle(state), nan=-9999).argmax(axis=1))


def test_the_body_is_joined_from_the_head_to_the_tail():
    scene = GAME.scene(described("v<__", "v^__", ">@*_", "____"))
    up, right, down, left = 1, 2, 4, 8
    assert scene.joins is not None
    assert scene.joins[0].tolist() == [
        [right + down, left + down, 0, 0],
        [up + down, up, 0, 0],
        [up + right, left, 0, 0],
        [0, 0, 0, 0],
    ]
    assert scene.texts()[0].splitlines()[1] == "body down|body up|floor|floor"


def test_answers_rules_and_explanations():
    level = GAME.level("easy")
    assert [GAME.decode(level, GAME.encode(level, a)).action for a in range(4)] == [0, 1, 2, 3]
    assert all(name in GAME.rules(level) for name in NAMES)
    assert "6 rows and 6 columns" in GAME.rules(level)
    state = described("____", "_v<_", "_>@_", "__*_")
    assert [GAME.explain(state, 0, a) for a in range(4)] == [
        "0 up tail 4 left",
        "1 right floor 2 left",
        "2 down food 0 left",
        "3 left back no",
    ]
    assert GAME.candidates(state, 0) == [0, 1, 2]
    pocket = described("#*#_", "#_#_", "#@__", "_^__")
    assert GAME.explain(pocket, 0, 0) == "0 up floor trapped"
    assert GAME.explain(pocket, 0, 1) == "1 right floor waits"
    assert GAME.explain(pocket, 0, 3) == "3 left wall crash"
    assert GAME.explain(described(">@__", "____", "____", "*___"), 0, 0) == "0 up edge crash"
    over = moved(pocket, 3)
    assert GAME.explain(over, 0, 0) == "0 up no"
    assert not GAME.success_mask(over).any()
    assert not GAME.legal(moved(state, NO_ACTION))[0, 3]


def test_bad_levels_name_the_field():
    for bad, field in [({"rows": 3}, "rows"), ({"cols": 13}, "cols"), ({"walls": 41}, "walls")]:
        with pytest.raises(ConfigError, match=f"LevelSnake.{field} = "):
            LevelSnake(**bad)
    with pytest.raises(ConfigError, match=r"LevelSnake\.length = 9"):
        LevelSnake(rows=4, cols=4, walls=0, length=9)
