"""The player that says what several moves are worth, and plays the best of them."""

import re

import numpy as np
import pytest

from vlmgym.core import ConfigError, seeds_for
from vlmgym.dialogue.judge import judge
from vlmgym.episodes.task import Task
from vlmgym.games import get_game
from vlmgym.players import make_player
from vlmgym.players.weigher import MOST_WEIGHED, Weigher
from vlmgym.train.cold_start import cold_start_rows
from vlmgym.train.recipe import ColdStart


def dealt(name, level, games=6):
    game = get_game(name)
    state = game.reset(game.level(level), seeds_for("free", name, level, games))
    for _ in range(5):
        state, _ = game.step(state, game.draw_legal(state))
    return game, state


@pytest.mark.parametrize("name", ["2048", "Swap", "ShisenSho", "Tetris"])
def test_the_move_is_the_one_that_is_said_to_be_worth_most(name):
    game, state = dealt(name, "tiny" if name != "Tetris" else "easy")
    state = state[~state.ended]
    for row, reply in enumerate(Weigher(8, 5).reply(game, state)):
        think = re.search("<think>(.*)</think>", reply)[1]
        *phrases, last = think.split("; ")
        worth = [float(phrase.partition(" worth ")[2]) for phrase in phrases if " worth " in phrase]
        named = [phrase for phrase in phrases if " worth " in phrase]
        assert 1 <= len(phrases) <= MOST_WEIGHED
        answer = last.removeprefix("so ")
        best = [phrase for phrase, value in zip(named, worth, strict=True) if value == max(worth)]
        assert any(answer in phrase for phrase in best)
        assert judge(game, state[row], [reply])[1][0].changed


def test_it_weighs_moves_that_a_search_to_the_first_merge_never_names():
    game, state = dealt("2048", "normal", 10)
    replies = Weigher(16, 5).reply(game, state)
    named = [sum(" worth " in phrase for phrase in reply.split("; ")) for reply in replies]
    assert np.mean(named) > 2


def test_where_the_oracle_counts_moves_it_reasons_as_the_game_does():
    game, state = dealt("SlidingPuzzle", "easy", 4)
    for row, reply in enumerate(Weigher().reply(game, state)):
        reasoning, action = game.reasoning(state, row, game.oracle(state[row])[0])
        assert f"<think>{reasoning}; so {game.encode(state.level, action)}</think>" in reply


def test_it_teaches_a_cold_start_also_moves_that_do_nothing_at_once():
    task = Task("2048", "tiny", walk_min=4, walk_max=20)
    rows = cold_start_rows([task], ColdStart(states=40, player="weigher"))
    assert len(rows) == 40
    texts = [row["completion"][0]["content"][0]["text"] for row in rows]
    assert all(" worth " in text for text in texts)


def test_a_weigher_is_made_by_its_word_and_refused_where_cells_are_hidden():
    assert make_player("weigher:4,3").describe() == {
        "kind": "weigher",
        "salt": 0,
        "continuations": 4,
        "horizon": 3,
    }
    game, state = dealt("Minesweeper", "easy", 1)
    with pytest.raises(ConfigError, match="hides cells"):
        Weigher().reply(game, state)
