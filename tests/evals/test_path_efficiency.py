"""Path efficiency: how short the ways of puzzles were that a player solved."""

import math

import pytest

from vlmgym.episodes.task import Task
from vlmgym.evals.evaluation import evaluate
from vlmgym.evals.metrics import shown_in
from vlmgym.evals.reading import load
from vlmgym.evals.settings import Evaluation
from vlmgym.players.simple import Chooser, Oracle, Random


class Dawdler(Chooser):
    """Goes to and fro once, then as the oracle does."""

    name = "dawdler"

    def choose(self, game, state):
        best = Oracle().choose(game, state)
        return [
            action if step else self.away(game, state[row])
            for row, (action, step) in enumerate(zip(best, state.steps.tolist(), strict=True))
        ]

    def away(self, game, state):
        """The legal move that leads farthest from the goal."""
        values = game.oracle(state)[0]
        return min((value, action) for action, value in enumerate(values) if value > -900)[1]


def measured(player, folder, game, level="easy", **how):
    task = Task(game, level, "tiny")
    evaluate(player, task, Evaluation(episodes=8, **how), folder, progress=False)
    (evaluated,) = load([folder])
    return evaluated.values.values(), evaluated.metrics["path_efficiency"]


@pytest.mark.parametrize("game", ["SlidingPuzzle", "TowersOfHanoi", "RushHour"])
def test_the_oracle_wastes_nothing_and_detours_cost(tmp_path, game):
    _, best = measured(Oracle(), tmp_path / "best", game)
    assert (best.mean, best.n) == (1, 8)
    episodes, slow = measured(Dawdler(), tmp_path / "slow", game)
    assert 0 < slow.mean < 1
    assert slow.mean == pytest.approx(sum(one["path_efficiency"] for one in episodes) / 8)


def test_what_is_not_solved_is_0(tmp_path):
    _, found = measured(Random(), tmp_path, "SlidingPuzzle", "normal:max_steps=5")
    assert found.mean == 0


@pytest.mark.parametrize(
    ("game", "how"),
    [
        ("FrozenLake", {}),  # one may slip
        ("2048", {}),  # no puzzle
        ("SlidingPuzzle", {"turns": 3}),  # not to its end
        ("SlidingPuzzle", {"oracle": False}),
    ],
)
def test_where_there_is_no_shortest_way_to_compare_with_nothing_is_said(tmp_path, game, how):
    episodes, found = measured(Oracle(), tmp_path, game, **how)
    assert all(math.isnan(one["path_efficiency"]) for one in episodes)
    assert found.n == 0


def test_reports_show_it_for_puzzles_alone():
    assert "path_efficiency" in shown_in("report", ("puzzle",))
    assert "path_efficiency" not in shown_in("report", ("luck",))
