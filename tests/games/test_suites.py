"""Suites: games chosen by tag or name, in protocols and recipes, and games that are held out."""

import pytest

from vlmgym.core import ConfigError
from vlmgym.evals.protocol import Protocol
from vlmgym.games import GAMES
from vlmgym.games.suites import chosen_games, spread_games
from vlmgym.train.recipe import Recipe


def test_a_tag_stands_for_its_games_and_all_for_every_game():
    assert chosen_games("paper", "games") == ["2048", "ShisenSho", "ShisenShoPhotos", "Swap"]
    assert chosen_games("all", "games") == [*GAMES]
    deduction = chosen_games("deduction", "games")
    assert deduction == [name for name, game in GAMES.items() if "deduction" in game.tags]


def test_lists_hold_each_game_once_in_the_order_of_the_games():
    paper = chosen_games("paper", "games")
    assert chosen_games(["Swap", "ShisenShoPhotos", "paper"], "games") == paper
    assert chosen_games([2048, "FrozenLake"], "games") == ["2048", "FrozenLake"]


@pytest.mark.parametrize("words", ["chess", "", [], None, True, ["paper", 7], {"paper": 1}])
def test_words_that_stand_for_no_game_are_refused_by_name(words):
    with pytest.raises(ConfigError, match=r"^protocol\.tasks\.0\.games = "):
        spread_games([{"games": words}], "protocol.tasks")


def test_a_protocol_asks_each_game_of_a_suite_the_same():
    protocol = Protocol.parse({"tasks": [{"games": "paper", "level": "easy", "walk_max": 3}]})
    assert [task.names.game for task, _ in protocol.entries] == chosen_games("paper", "games")
    assert {(task.names.level, task.walk_max) for task, _ in protocol.entries} == {("easy", 3)}


def test_an_entry_of_a_suite_has_its_own_evaluation_and_dials():
    protocol = Protocol.parse(
        {
            "tasks": [{"games": ["2048", "Swap"], "evaluation": {"episodes": 7}}],
            "dials": {"look.noise": [0.1]},
        }
    )
    assert len(protocol.entries) == 4
    assert {settings.episodes for _, settings in protocol.entries} == {7}


def test_game_and_games_together_are_refused():
    with pytest.raises(ConfigError, match="game or games"):
        Protocol.parse({"tasks": [{"game": "2048", "games": "paper"}]})


def recipe(tasks, held_out):
    return Recipe.parse({"model": "tiny", "tasks": tasks, "held_out": held_out, "grpo": {}})


def test_a_recipe_leaves_out_the_games_that_are_held_out():
    parsed = recipe([{"games": "all", "level": "easy", "weight": 2}], ["photo", "2048"])
    names = [task.names.game for task in parsed.tasks]
    assert "2048" not in names
    assert set(names) == set(GAMES) - {"2048"} - set(chosen_games("photo", "games"))
    assert parsed.held_out == tuple(chosen_games(["photo", "2048"], "games"))
    assert Recipe.parse(parsed.to_dict()) == parsed


def test_a_task_of_a_game_that_is_held_out_is_refused():
    with pytest.raises(ConfigError, match=r"recipe\.tasks\.0\.game = '2048'.*not held out"):
        recipe([{"game": "2048"}], "2048")
    with pytest.raises(ConfigError, match=r"recipe\.tasks\.0\.games = 'photo'.*not held out"):
        recipe([{"games": "photo"}], ["photo"])
    with pytest.raises(ConfigError, match=r"recipe\.held_out = 'nothing'"):
        recipe([{"game": "2048"}], "nothing")
