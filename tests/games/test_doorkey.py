"""The example with MiniGrid: DoorKey, seen in part, passes what every game must."""

import numpy as np
import pytest
from doorkey import doorkey

from vlmgym.core import seeds_for
from vlmgym.episodes.task import Task
from vlmgym.evals.evaluation import evaluate
from vlmgym.evals.settings import Evaluation
from vlmgym.players.simple import Oracle, Random
from vlmgym.render.frames import render
from vlmgym.testing import sizes
from vlmgym.testing.checks import check_game


@pytest.fixture(scope="module")
def game():
    return doorkey()


def test_it_passes_the_check(game, monkeypatch):
    for name, amount in {"RUNS": 8, "LUCKS_TRIED": 4, "EPISODES": 4, "GAMES_A_CHECK": 4}.items():
        monkeypatch.setattr(sizes, name, amount)
    assert [found for found in check_game(game, ("easy",)) if not found.ok] == []


def test_the_oracle_takes_as_many_moves_as_it_says(game):
    state = game.reset(game.level("normal"), seeds_for("test", game.name, "normal", 6))
    promised = 1 - np.nanmax(game.oracle(state), axis=1)
    while not state.ended.all():
        best = [-1 if np.isnan(row).all() else int(np.nanargmax(row)) for row in game.oracle(state)]
        state, _ = game.step(state, np.array(best))
    assert state.steps.tolist() == promised.tolist()
    assert state.score.tolist() == [1] * 6


def test_what_lies_behind_is_not_seen(game):
    """Two turns on the spot show another picture, and two more the first one again."""
    state = game.reset(game.level("normal"), seeds_for("test", game.name, "normal", 1))
    first = render(game, state)
    left = np.array([0])
    pictures = []
    for _ in range(4):
        state, _ = game.step(state, left)
        pictures.append(render(game, state))
    assert first.shape == (1, 224, 224, 3)
    assert not np.array_equal(pictures[1], first)
    assert np.array_equal(pictures[3], first)


def test_players_are_measured_on_it(game, tmp_path):
    how = Evaluation(episodes=3, oracle=False)
    scores = {}
    for player in (Random(), Oracle()):
        task = Task(game, "normal:max_steps=25", "clean")
        summary = evaluate(player, task, how, tmp_path / player.name, progress=False)
        scores[player.name] = summary["metrics"]["score"]["mean"]
    assert scores["oracle"] == 1
    assert scores["random"] < 1
