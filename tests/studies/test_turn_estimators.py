"""Forked turns, and the estimators that are held to them: on tables whose truth is known, and on
what a scripted player plays.
"""

import numpy as np
import pytest

from vlmgym.cli import main
from vlmgym.core import ConfigError, best_action
from vlmgym.core.simulation import Simulator
from vlmgym.dialogue.reply import write_reply
from vlmgym.episodes.task import Task
from vlmgym.games import read_state_text
from vlmgym.players.base import Player
from vlmgym.studies.turn_estimators import (
    branches,
    episode,
    estimator_named,
    estimators,
    score,
    simulated,
    true_values,
    with_baseline,
)
from vlmgym.studies.turn_tables import TurnSize, TurnTables, play_turns, read_turns

TASK = Task("2048", "tiny", walk_min=4, walk_max=20)
SIZE = TurnSize(states=3, answers=4, continuations=6, turns=2)


class Mixed(Player):
    """Answers by the luck of the repetition: every move, in turn."""

    name = "mixed"
    sees = "state"

    def __init__(self):
        self.asked = 0

    def describe(self):
        return {"kind": "mixed"}

    def answer(self, queries):
        replies = []
        for query in queries:
            self.asked += len(query.state)
            texts = []
            for row in range(len(query.state)):
                move = (int(query.repeats[row]) + int(query.state.steps[row])) % 4
                texts.append(write_reply("x", "t", str(move), query.blocks))
            replies.append(texts)
        return replies


def synthetic(states=30, answers=6, count=200, spread=3.0, noise=5.0):
    """Tables with true values that are drawn, and noise around them."""
    rng = np.random.default_rng(0)
    true = rng.normal(0, spread, (states, answers))
    returns = true[:, :, None] + rng.normal(0, noise, (states, answers, count))
    actions = np.tile(np.arange(answers), (states, 1))
    replies = np.full(returns.shape, 3)
    return TurnTables(["" for _ in true], actions, np.zeros(true.shape), returns, replies), true


def test_truth_is_found_to_its_stated_error():
    tables, true = synthetic()
    values, error = true_values(tables)
    assert error == pytest.approx(5 / 10, rel=0.1)
    assert np.sqrt(((values - true) ** 2).mean()) == pytest.approx(error, rel=0.2)


def test_more_branches_have_less_deviation_and_no_bias_and_cost_more():
    tables, _ = synthetic()
    found = {
        "episode": score(tables, episode, 200),
        2: score(tables, lambda sample: branches(sample, 2), 200),
        8: score(tables, lambda sample: branches(sample, 8), 200),
    }
    deviations = [found[name].deviation for name in ("episode", 2, 8)]
    assert deviations == sorted(deviations, reverse=True)
    assert [found[name].replies for name in ("episode", 2, 8)] == pytest.approx(
        [4, 1 + 6 + 8 / 6, 1 + 24 + 32 / 6]
    )
    assert max(one.bias for one in found.values()) < 1.0, "what the truth's own error leaves"
    assert found[8].cosine > found["episode"].cosine > 0.3
    assert found[8].correlation > found["episode"].correlation > 0.2


def test_a_simulation_that_is_right_has_neither_bias_nor_deviation_and_one_that_is_wrong_a_bias():
    tables, true = synthetic()
    right = score(tables, lambda sample: simulated(sample, true), 20)
    assert right.deviation == pytest.approx(0)
    assert right.bias < 0.6
    assert right.cosine > 0.95
    assert right.replies == 1
    shuffled = np.random.default_rng(1).permuted(true, axis=1)
    wrong = score(tables, lambda sample: simulated(sample, shuffled), 20)
    assert wrong.bias > 3
    assert abs(wrong.cosine) < 0.3
    assert abs(wrong.correlation) < 0.3


def test_a_value_of_the_state_alone_changes_nothing_within_states_however_wrong():
    tables, true = synthetic()
    plain = score(tables, episode, 100, seed=5)
    based = score(tables, lambda sample: with_baseline(sample, true.mean(axis=1) + 50), 100, seed=5)
    assert based.bias == pytest.approx(plain.bias)
    assert based.deviation == pytest.approx(plain.deviation)


def test_forked_turns_are_played_by_the_policy_and_not_played_again(tmp_path):
    out = tmp_path / "turns.jsonl"
    player = Mixed()
    tables = play_turns(player, TASK, SIZE, out)
    assert tables.actions.shape == (3, 4)
    assert tables.returns.shape == tables.replies.shape == (3, 4, 6)
    assert (tables.replies <= 2).all()
    asked = player.asked
    again = play_turns(player, TASK, SIZE, out)
    assert player.asked == asked
    assert np.array_equal(again.returns, tables.returns)
    # a kill in the midst of a line
    text = out.read_text().splitlines(keepends=True)
    out.write_text("".join(text[:3]) + text[3][:40])
    resumed = play_turns(Mixed(), TASK, SIZE, out)
    assert np.array_equal(resumed.returns, tables.returns)
    with pytest.raises(ConfigError, match="states"):
        play_turns(Mixed(), TASK, TurnSize(4, 4, 6, 2), out)


def test_equal_answers_have_one_table_and_gains_are_those_of_the_rules(tmp_path):
    tables = play_turns(Mixed(), TASK, TurnSize(2, 8, 4, 2), tmp_path / "t.jsonl")
    assert np.array_equal(tables.returns[:, :4], tables.returns[:, 4:])
    for row, text in enumerate(tables.states):
        game, state = read_state_text(text)
        for action, gain in zip(tables.actions[row], tables.gains[row], strict=True):
            assert game.step(state, np.array([action]))[1].gain[0] == gain
        assert best_action(game.oracle(state)[0]) >= 0


def test_the_command_compares_all_and_an_estimator_of_ones_own(tmp_path, capsys, monkeypatch):
    out = tmp_path / "turns.jsonl"
    tables = play_turns(Mixed(), TASK, SIZE, out)
    assert np.array_equal(read_turns(out).returns, tables.returns)
    (tmp_path / "mine_turns.py").write_text(
        "def zero(sample):\n    return 0.0 * sample.tables.gains, 1.0\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    words = ["credit", str(out), "--estimator", "mine_turns:zero", "--continuations", "8"]
    assert main([*words, "--draws", "5"]) == 0
    said = capsys.readouterr().out
    for name in (*estimators(tables, Simulator(4, 2)), "mine_turns:zero"):
        assert f"| {name} |" in said
    assert main(["credit", str(out), "--estimator", "mine_turns:none"]) == 2
    assert main(["credit", str(tmp_path / "nothing.jsonl")]) == 2


@pytest.mark.parametrize("word", ["x", "no_such_module:f", "json:nothing", "math:pi"])
def test_an_estimator_that_is_none_is_refused_in_a_sentence(word):
    with pytest.raises(ConfigError, match="module:function"):
        estimator_named(word)
