"""The normalised index: random is 0, the oracle is 1, and games count alike."""

import csv
import math
from dataclasses import replace

import numpy as np
import pytest

from parts.evaluations import named, run
from vlmgym.episodes.records import EvaluationRun
from vlmgym.evals.leaderboards import leaderboard
from vlmgym.evals.normalised import normalised_index
from vlmgym.evals.reading import Evaluated, load
from vlmgym.evals.settings import Evaluation
from vlmgym.players.simple import Oracle, Random, RandomLegal

ONCE = {"start": "walk", "turns": 1, "repeats": 1}


def evaluated(kind, game, successes, level="easy"):
    """A made-up evaluation of one turn from each start."""
    values = {
        (number, number, 0): {"success": float(success)} for number, success in enumerate(successes)
    }
    about = {"kind": kind}
    task = EvaluationRun(kind, game, level, "clean", about=about)
    return Evaluated(None, task, kind, game, ONCE, "", values, set(), {}, {})


def world(game, chance, player, best, level="easy", starts=400, seed=0):
    """Three players of a game, with these rates of success."""
    luck = np.random.default_rng(seed).random(starts)
    rates = {"random": chance, "player": player, "oracle": best}
    return [evaluated(kind, game, luck < rate, level) for kind, rate in rates.items()]


def indices(evaluations):
    return {index.player: index for index in normalised_index(evaluations).players}


def test_random_is_0_the_oracle_is_1_and_games_count_alike():
    few = world("2048", 0.5, 0.75, 1.0, starts=100)
    many = world("Swap", 0.0, 0.1, 1.0, starts=2000, seed=1)
    found = indices([*few, *many])
    assert found["random"].overall.mean == 0
    assert found["oracle"].overall.mean == 1
    of_games = found["player"].games
    assert of_games["2048"].mean == pytest.approx(0.5, abs=0.15)
    assert of_games["Swap"].mean == pytest.approx(0.1, abs=0.03)
    overall = (of_games["2048"].mean + of_games["Swap"].mean) / 2
    assert found["player"].overall.mean == pytest.approx(overall)
    assert (of_games["2048"].n, of_games["Swap"].n, found["player"].overall.n) == (100, 2000, 2)


def test_a_game_of_two_tasks_counts_once():
    tasks = [
        *world("2048", 0.0, 0.2, 1.0),
        *world("2048", 0.0, 0.6, 1.0, level="hard"),
        *world("Swap", 0.0, 0.8, 1.0),
    ]
    assert indices(tasks)["player"].overall.mean == pytest.approx(0.6, abs=0.05)


def test_intervals_hold_the_truth_as_often_as_they_say():
    """Of 100 made-up tables with two games the interval over all holds the true index in about
    95 %; it would in fewer if starts were resampled apart for the three players, or the games as
    one.
    """
    truth = ((0.5 - 0.2) / 0.7 + (0.3 - 0.1) / 0.8) / 2
    hits = 0
    for seed in range(100):
        tables = [
            *world("2048", 0.2, 0.5, 0.9, starts=60, seed=2 * seed),
            *world("Swap", 0.1, 0.3, 0.9, starts=60, seed=2 * seed + 1),
        ]
        overall = indices(tables)["player"].overall
        hits += overall.low <= truth <= overall.high
    assert 89 <= hits <= 100


def test_where_there_is_no_gap_or_no_oracle_the_task_is_left_out_with_its_reason():
    flat = world("2048", 0.7, 0.7, 0.7)
    without = [one for one in world("Swap", 0, 0.5, 1) if one.player != "oracle"]
    table = normalised_index([*flat, *without, *world("Sokoban", 0, 0.5, 1)])
    assert table.games == ["Sokoban"]
    reasons = {task.split(",")[0]: reason for task, reason in table.left_out.items()}
    assert reasons == {
        "2048": "oracle is not above random",
        "Swap": "nobody of kind oracle was asked",
    }


def test_a_player_that_lacks_a_game_has_no_index_over_all():
    tasks = [*world("2048", 0, 0.5, 1), *world("Swap", 0, 0.5, 1)]
    found = indices([one for one in tasks if (one.player, one.run.game) != ("player", "Swap")])
    assert list(found["player"].games) == ["2048"]
    assert math.isnan(found["player"].overall.mean)
    assert found["oracle"].overall.mean == 1


def test_only_starts_that_all_three_have_finished_count():
    three = world("2048", 0.0, 0.5, 1.0, starts=50)
    player = three[1]
    failed = {start: values for start, values in player.values.items() if start[0] < 20}
    table = indices([three[0], replace(player, values=failed), three[2]])
    assert table["player"].games["2048"].n == 20


def test_the_leaderboard_shows_the_index_of_real_players(tmp_path):
    players = [Random(), Oracle(), named(RandomLegal(), "legal")]
    how = Evaluation(episodes=12, turns=1, start="walk")
    folders = [
        run(player, tmp_path / f"{game}{number}", how, game=game)
        for game in ("2048", "Sokoban")
        for number, player in enumerate(players)
    ]
    leaderboard(folders, tmp_path / "out")
    with (tmp_path / "out/index.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    of_all = {row["player"]: float(row["index"]) for row in rows if row["game"] == "all"}
    assert of_all["random"] == 0
    assert of_all["oracle"] == 1
    assert 0 < of_all["legal"] < 1
    expected = {
        index.player: index.overall.mean for index in normalised_index(load(folders)).players
    }
    assert of_all == pytest.approx(expected)
    text = (tmp_path / "out/leaderboard.md").read_text(encoding="utf-8")
    assert "## Normalised index" in text
    assert "| player | all | 2048 | Sokoban |" in text
