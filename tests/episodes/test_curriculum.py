"""Adaptive difficulty: the success rate comes to rest at the target, without chance, and a run can
be resumed.
"""

from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
import pytest

from vlmgym.core import ConfigError
from vlmgym.dialogue.judge import judge
from vlmgym.episodes.curriculum import Curriculum
from vlmgym.episodes.task import Task
from vlmgym.evals.settings import Evaluation, starts
from vlmgym.players.simple import Greedy

LADDER = Curriculum.sweep("look", "clean", "noise", np.linspace(0, 0.3, 7), step=0.01)


@pytest.mark.parametrize("target", [0.3, 0.6, 0.85])
@pytest.mark.parametrize("hard", [2.0, 3.5])
def test_the_rate_comes_to_rest_at_the_target(target: float, hard: float) -> None:
    """A policy whose success falls along the ladder as a logistic curve."""
    now, rng, rates = (
        Curriculum.from_dict({**asdict(LADDER), "target": target}),
        np.random.default_rng(0),
        [],
    )
    for _ in range(400):
        chance = 1 / (1 + np.exp(1.5 * (now.rungs.index(now.rung) - hard)))
        won = rng.binomial(32, chance)
        rates.append(won / 32)
        now = now.update(int(won), 32)
    assert abs(np.mean(rates[100:]) - target) < 0.03
    assert now.answers == 400 * 32


def test_a_policy_that_learns_is_led_upwards_and_back() -> None:
    now = LADDER
    for _ in range(200):
        now = now.update(30, 32)
    assert now.rung == LADDER.rungs[-1]
    for _ in range(200):
        now = now.update(2, 32)
    assert now.rung == LADDER.rungs[0]


def test_it_is_a_value_without_chance_and_goes_through_json() -> None:
    series = np.random.default_rng(1).integers(0, 33, 50)
    one = two = LADDER
    for k, won in enumerate(series):
        one, two = one.update(int(won), 32), two.update(int(won), 32)
        if k == 25:
            two = Curriculum.from_dict(json.loads(json.dumps(asdict(two))))
    assert one == two
    assert LADDER.answers == 0


def test_on_the_level_of_a_real_game() -> None:
    """Greedy play of 2048 merges less often on larger boards with few tiles: more start tiles make
    it easier.
    """
    rungs = tuple(f"normal:rows={n},cols={n}" for n in (2, 3, 4, 6, 8, 12))
    now = Curriculum(dial="level", rungs=rungs, target=0.5, step=0.02)
    now.check("2048")
    task, player, rates = Task(game="2048", level="normal"), Greedy(), []
    for k in range(30):
        asked = now.task(task)
        state = starts(asked, Evaluation(episodes=32, first=32 * k))
        _, judged = judge(asked.game, state, player.reply(asked.game, state), oracle=False)
        won = sum(j.terms["game"] > 0 for j in judged)
        rates.append(won / 32)
        now = now.update(won, 32)
    assert 0 < now.place < 5
    assert abs(np.mean(rates[10:]) - 0.5) < 0.12


def test_bad_settings() -> None:
    for values, named in (
        ({"rungs": ("clean",)}, "rungs"),
        ({"dial": "noise"}, "dial"),
        ({"place": 3.0}, "place"),
        ({"target": 1.0}, "target"),
    ):
        with pytest.raises(ConfigError, match=rf"Curriculum\.{named}"):
            Curriculum(**values)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="successes"):
        LADDER.update(5, 4)
    with pytest.raises(ConfigError, match="level of 2048"):
        Curriculum(dial="level", rungs=("normal", "heavy")).check("2048")
    with pytest.raises(ConfigError, match="look"):
        Curriculum(rungs=("clean", "dirty")).check("2048")


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Curriculum(rungs=None), r"Curriculum.rungs = None"),
        (
            lambda: Curriculum(rungs="abc"),
            r"Curriculum.rungs = 'abc': allowed is two or more " r"names",
        ),
        (lambda: Curriculum(rungs=("clean", 3)), r"Curriculum.rungs"),
        (lambda: Curriculum(place=float("nan")), r"Curriculum.place = nan"),
        (lambda: Curriculum().update(1.5, 2), r"successes = 1.5: allowed is a whole number"),
        (lambda: Curriculum().update(True, 2), r"successes = True: allowed is a whole number"),
        (lambda: Curriculum().update(0, "2"), r"answers = '2': allowed is a whole number"),
        (lambda: Curriculum().update(-1, 2), r"successes = -1"),
        (
            lambda: Curriculum.sweep("look", "clean", "noise", 5),
            r"values = 5: allowed is two or " r"more values",
        ),
        (lambda: Curriculum.sweep("look", 3, "noise", [0, 1]), r"preset = 3: allowed is a name"),
        (lambda: Curriculum.from_dict([1]), r"Curriculum = \[1\]: allowed is a table"),
        (lambda: Curriculum.from_dict({"rungs": 3}), r"Curriculum.rungs = 3"),
    ],
)
def test_what_makes_no_ladder_is_refused_in_a_sentence(make, said):
    with pytest.raises(ConfigError, match=said):
        make()


def test_numbers_of_numpy_count_as_answers():
    found = Curriculum().update(np.int64(1), np.int64(2))
    assert type(found.answers) is int
    assert found == Curriculum().update(1, 2)
