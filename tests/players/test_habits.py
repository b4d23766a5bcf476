"""Teachers that are wrong by a habit: always in the same way, and as they say themselves."""

import re

import numpy as np
import pytest

from vlmgym.core import NO_ACTION, ConfigError
from vlmgym.core.contract import Contract
from vlmgym.dialogue.perception import truth
from vlmgym.dialogue.reply import parse
from vlmgym.dialogue.thinking import tiles_beside_cells
from vlmgym.episodes.task import Task
from vlmgym.games import get_game
from vlmgym.games.parts.habits import HABITS
from vlmgym.games.parts.tile_kinds import NAMES
from vlmgym.players.registry import make_player
from vlmgym.players.teacher import GUESS, Teacher

GAMES = ("2048", "ShisenSho", "ShisenShoPhotos", "Swap")
SHAPES = {name: value for value, name in enumerate(NAMES["shapes"])}
CELL = r"\((\d+), (\d+)\)"


def states_of(name, count, level="tiny"):
    walks = {"2048": (4, 60, False), "Swap": (0, 3, True)}.get(name, (0, 7, True))
    low, high, legal = walks
    task = Task(game=name, level=level, walk_min=low, walk_max=high, walk_legal=legal)
    return task.game, task.states("free", count)


def replies_of(game, state, habit, salt=0):
    texts = Teacher(0.0, salt, habit).reply(game, state)
    return [parse(game, state.level, text) for text in texts]


def share_of_success(game, state, replies):
    possible = game.success_mask(state)
    return np.mean([possible[row, reply.action] for row, reply in enumerate(replies)])


def shisen_sho(*lines):
    """A 4x4 board of Shisen-Sho: initials of colour and form, a dot for a free cell."""
    colours = {"r": "red", "g": "green", "b": "blue", "y": "yellow"}
    forms = {"c": "circle", "s": "square", "t": "triangle"}
    rows = [[0 if cell == "." else SHAPES[f"{colours[cell[0]]} {forms[cell[1]]}"]
             for cell in line.split()] for line in lines]  # fmt: skip
    game = get_game("ShisenSho")
    return game, game.from_symbols("tiny", np.array([rows], np.int16))


def powers(*lines):
    """A board of 2048 in numbers."""
    numbers = np.array([[int(cell) for cell in line.split()] for line in lines])
    exponents = np.where(numbers, np.log2(np.maximum(numbers, 1)), 0).astype(np.int16)
    game = get_game("2048")
    return game, game.from_symbols("tiny", exponents[None])


@pytest.mark.parametrize("habit", HABITS)
@pytest.mark.parametrize("name", GAMES)
def test_the_description_is_true_and_the_think_block_is_what_is_believed(name, habit):
    game, state = states_of(name, 60)
    believed = game.believed(state, habit).board
    names = game.sample(state.level).names
    texts = Teacher(0.0, habit=habit).reply(game, state)
    for row, (text, description) in enumerate(zip(texts, truth(game, state), strict=True)):
        reply = parse(game, state.level, text)
        assert description in text
        for line, column, symbol in tiles_beside_cells(reply.think, names):
            assert believed[row, line, column] == symbol
        assert reply.think.endswith(f"so {game.encode(state.level, reply.action)}")


@pytest.mark.parametrize("habit", HABITS)
@pytest.mark.parametrize("name", GAMES)
def test_a_habit_is_no_noise_and_says_where_it_guesses(name, habit):
    """Another salt changes nothing but guesses, and every guess is said to be one."""
    game, state = states_of(name, 80)
    pairs = zip(replies_of(game, state, habit), replies_of(game, state, habit, 1), strict=True)
    for row, (reply, other) in enumerate(pairs):
        action = game.reasoning_by_habit(state, row, habit)[1]
        assert (action == NO_ACTION) == (GUESS in reply.think)
        if action != NO_ACTION:
            assert reply.action == other.action == action


@pytest.mark.parametrize("habit", HABITS)
@pytest.mark.parametrize("name", GAMES)
@pytest.mark.parametrize("level", ["easy", "normal", "hard"])
def test_habits_are_known_at_every_level(name, habit, level):
    game = get_game(name)
    state = game.reset(level, np.arange(3, dtype=np.uint64))
    assert all(reply.action != NO_ACTION for reply in replies_of(game, state, habit))


def test_near_tries_no_far_pairs():
    game, state = shisen_sho("rc . rc gs", "bs gc yt bc", "gs bc bs yc", "rs yt rt gc")
    assert game.success_mask(state).any(), "the red circles can be joined"
    (reply,) = replies_of(game, state, "near")
    assert "far" not in reply.think
    assert GUESS in reply.think
    assert replies_of(game, state, "left")[0].think.count("far") == 1


def test_near_sees_no_merge_over_free_cells():
    game, state = powers("2 0 2 0", "0 0 0 0", "4 0 0 0", "4 0 0 0")
    assert replies_of(game, state, "near")[0].think.endswith("(2, 0) 4 (2, 1) 0 (3, 0) 4; so 2")
    assert replies_of(game, state, "")[0].action == 1


def test_near_looks_for_lines_along_rows_alone():
    game, state = states_of("Swap", 40)
    for reply in replies_of(game, state, "near"):
        for place in reply.think.split("; ")[:-1]:
            cells = re.findall(CELL, place)[:3]
            assert len({row for row, _ in cells}) == 1 or place == GUESS


def test_colours_joins_a_blue_with_a_yellow_tile():
    game, state = shisen_sho("rc bs ys gc", ". . . .", ". . . .", "bs . . ys")
    (reply,) = replies_of(game, state, "colours")
    assert reply.think.endswith("(0, 1) blue square (0, 2) blue square; so (0, 1) (0, 2)")
    assert not game.success_mask(state)[0, reply.action]


def test_colours_merges_an_8_with_a_4():
    game, state = powers("2 8 4 0", "0 0 0 0", "0 0 0 0", "0 0 2 2")
    (reply,) = replies_of(game, state, "colours")
    assert reply.think.endswith("(0, 1) 4 (0, 2) 4; so 1")
    assert not game.success_mask(game.from_symbols("tiny", state.board[:, :1].repeat(4, 1)))[0, 1]


def test_half_believes_in_paths_through_the_lower_half():
    game, state = shisen_sho("rc gs rs yc", "bs gc bs yt", "gt bc ys rt", "rs yt rt gs")
    (reply,) = replies_of(game, state, "half")
    assert reply.action != NO_ACTION
    assert GUESS not in reply.think
    assert not game.success_mask(state)[0, reply.action]
    assert game.success_mask(game.believed(state, "half"))[0, reply.action]


def test_half_of_a_board_without_tiles_above_is_a_guess():
    game, state = powers("0 0 0 0", "0 0 0 0", "2 0 0 0", "2 0 0 0")
    assert GUESS in replies_of(game, state, "half")[0].think


def test_left_slides_to_the_left_where_it_can_and_else_begins_on_the_left():
    game, state = powers("2 0 4 4", "0 0 0 0", "0 0 0 0", "0 0 0 0")
    assert replies_of(game, state, "left")[0].action == 3
    game, state = powers("2 0 0 0", "4 8 0 0", "2 8 0 0", "0 0 0 0")
    assert replies_of(game, state, "left")[0].think.endswith(
        "(1, 1) 8 (1, 2) 0 (1, 3) 0 (2, 1) 8; so 2"
    )
    game, state = shisen_sho("rc gs gs yc", "bc gc bs ys", "bt bc ys gc", "bt yt rt gs")
    assert replies_of(game, state, "left")[0].think.endswith(
        "(2, 0) blue triangle (2, 1) blue circle (3, 0) blue triangle; so (2, 0) (3, 0)"
    )
    assert replies_of(game, state, "")[0].think.endswith("so (0, 1) (0, 2)")


@pytest.mark.parametrize("name", ["ShisenSho", "ShisenShoPhotos"])
@pytest.mark.parametrize("habit", ["near", "colours", "half"])
def test_in_games_of_pairs_a_habit_costs_much_and_is_better_than_chance(name, habit):
    game, state = states_of(name, 150)
    assert share_of_success(game, state, replies_of(game, state, "")) == 1
    chance = game.success_mask(state).mean()
    assert chance + 0.4 < share_of_success(game, state, replies_of(game, state, habit)) < 0.95


@pytest.mark.parametrize("name", ["Minesweeper", "SlidingPuzzle", "Sokoban", "FrozenLake"])
def test_games_that_know_no_habits_refuse_them_by_name(name):
    game = get_game(name)
    state = game.reset("tiny", np.zeros(1, np.uint64))
    with pytest.raises(ConfigError) as error:
        Teacher(0.0, habit="near").reply(game, state)
    assert str(error.value).startswith(f"habit = 'near': allowed is no habit: {name} ")


def test_a_teacher_with_a_habit_is_a_player_of_its_own():
    player = make_player("teacher:near")
    assert (player.error, player.habit) == (0, "near")
    assert player.identity != make_player("teacher:0").identity
    assert "habit" not in make_player("teacher:0.4").describe(), "what was begun goes on"
    with pytest.raises(ConfigError, match="teacher:HABIT with one of near, colours, half, left"):
        make_player("teacher:far")
    with pytest.raises(ConfigError, match="habit = 'far': allowed is one of near, colours"):
        Teacher(0.0, habit="far")


def test_a_share_of_the_turns_is_careful_and_the_others_stay_as_they_are():
    task = Task(game="ShisenSho", level="tiny", look="tiny", walk_max=7, walk_legal=True)
    state = task.states("pilot", 300)
    by_habit, careful, mixed = (
        Teacher(0.0, 3, "half", share).reply(task.game, state, "brief") for share in (0, 1, 0.25)
    )
    assert careful == Teacher(0.0, 3).reply(task.game, state, "brief")
    differs = [one != other for one, other in zip(by_habit, careful, strict=True)]
    taken = []
    for row, reply in enumerate(mixed):
        assert reply in (by_habit[row], careful[row])
        if differs[row]:
            taken.append(reply == careful[row])
    assert len(taken) > 60
    assert 0.1 < sum(taken) / len(taken) < 0.45
    with pytest.raises(ConfigError, match=r"teacher.careful = 2: allowed is 0 to 1"):
        Teacher(0.0, 3, "half", 2)


@pytest.mark.parametrize("name", ["2048", "ShisenSho", "ShisenShoPhotos", "Swap"])
def test_who_only_believes_otherwise_reasons_by_default_about_what_is_believed(name):
    game = get_game(name)
    state = Task(game=name, level="tiny", look="tiny", walk_max=3).states("pilot", 20)
    for row in range(len(state)):
        by_default = Contract.reasoning_by_habit(game, state, row, "colours")
        assert by_default == game.reasoning_by_habit(state, row, "colours")
