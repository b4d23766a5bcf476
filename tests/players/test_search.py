"""The player that tries its moves by simulated continuations."""

import numpy as np
import pytest

from vlmgym.core import ConfigError, seeds_for
from vlmgym.evals.baselines import measure
from vlmgym.games import get_game
from vlmgym.players import make_player
from vlmgym.players.simple import Oracle, RandomLegal, Search


def test_search_is_better_than_the_policy_that_it_plays_on_with():
    game = get_game("2048")
    found = {
        player.name: measure(game, "tiny", player, 40)["score"]
        for player in (RandomLegal(), Search(8, 8))
    }
    assert found["search"].low > found["random-legal"].high


def test_search_plays_a_shortest_solution_where_the_oracle_counts_moves():
    game = get_game("SlidingPuzzle")
    state = game.reset(game.level("easy"), seeds_for("free", "SlidingPuzzle", "easy", 20))
    assert Search().choose(game, state) == Oracle().choose(game, state)


def test_search_does_not_see_the_luck_to_come():
    """It plays the luck of its own continuations, so a tile that will appear changes no value."""
    game = get_game("2048")
    state = game.reset(game.level("normal"), seeds_for("free", "2048", "normal", 1))
    met = []
    search = Search(4, 1)
    original = game.step

    def watch(state, actions):
        met.append(state.seed)
        return original(state, actions)

    game.step = watch
    try:
        search.choose(game, state)
    finally:
        del game.step
    assert not np.isin(state.seed, np.concatenate(met)).any()


@pytest.mark.parametrize("name", ["Minesweeper", "Memory", "Battleship"])
def test_search_of_a_game_that_hides_cells_is_refused(name):
    game = get_game(name)
    state = game.reset(game.level("easy"), seeds_for("free", name, "easy", 1))
    with pytest.raises(ConfigError, match="hides cells"):
        Search().choose(game, state)


def test_the_word_of_a_search_says_how_long_it_is():
    player = make_player("search:4,10")
    assert player.describe() == {"kind": "search", "salt": 0, "continuations": 4, "horizon": 10}
    assert make_player("search").describe()["continuations"] == 32


@pytest.mark.parametrize("word", ["search:4", "search:4,x", "search:0,3", "search:4,5,6"])
def test_a_search_that_is_none_is_refused_in_a_sentence(word):
    with pytest.raises(ConfigError, match=r"search:K,H|continuations"):
        make_player(word)


def test_moves_of_a_batch_are_those_of_its_games_alone():
    game = get_game("Swap")
    state = game.reset(game.level("tiny"), seeds_for("free", "Swap", "tiny", 5))
    together = Search(3, 3).choose(game, state)
    assert together == [Search(3, 3).choose(game, state[row])[0] for row in range(5)]
