"""A player says whether it looks or is handed the board: nothing is taken for granted."""

import importlib
import pkgutil

import pytest

import vlmgym.players
from parts.tasks import TINY_2048
from vlmgym.core import ConfigError
from vlmgym.episodes.task import Task
from vlmgym.evals.evaluation import evaluate
from vlmgym.evals.settings import Evaluation
from vlmgym.players.base import SEES, AsyncPlayer, Player
from vlmgym.players.simple import Chooser, Scripted


def answer(self, queries):
    return [["no"] * len(query.state) for query in queries]


@pytest.mark.parametrize("given", [{}, {"sees": None}, {"sees": "board"}, {"sees": ""}])
def test_a_player_that_does_not_state_what_it_sees_is_refused_where_it_is_defined(given):
    message = r"Mine.sees = .*: allowed is 'picture', 'state' \(it is handed the true board\) or"
    with pytest.raises(ConfigError, match=message):
        type("Mine", (Player,), {"name": "mine", "answer": answer, **given})


@pytest.mark.parametrize("sees", SEES)
def test_a_player_that_states_what_it_sees_is_all_that_is_needed(tmp_path, sees):
    mine = type("Mine", (Player,), {"name": "mine", "sees": sees, "answer": answer})
    summary = evaluate(
        mine(), Task.parse(TINY_2048), Evaluation(episodes=1, turns=1), tmp_path, progress=False
    )
    assert summary["sees"] == sees


def test_what_a_parent_states_is_inherited_and_what_cannot_be_asked_states_nothing():
    class Half(AsyncPlayer):
        """It leaves ``ask`` to others."""

    class First(Chooser):
        name = "first"

        def choose(self, game, state):
            return [0] * len(state)

    assert First().sees == "state"
    assert not hasattr(Half, "sees")


def test_what_a_player_says_of_itself_is_seen_before_anything_is_written(tmp_path):
    player = Scripted("no")
    player.sees = "board"
    task = Task.parse(TINY_2048)
    with pytest.raises(ConfigError, match="scripted: sees = 'board'"):
        evaluate(player, task, Evaluation(episodes=1), tmp_path / "out", progress=False)
    assert not (tmp_path / "out").exists()


def test_all_bundled_players_state_it():
    for module in pkgutil.iter_modules(vlmgym.players.__path__):
        importlib.import_module(f"vlmgym.players.{module.name}")
    kinds = set(Player.__subclasses__())
    while more := {kind for parent in kinds for kind in parent.__subclasses__()} - kinds:
        kinds |= more
    bundled = [kind for kind in kinds if kind.__module__.startswith("vlmgym.")]
    assert len(bundled) >= 13
    assert [kind for kind in bundled if getattr(kind, "sees", "picture") not in SEES] == []
