"""The games as a task of Inspect AI, with its mock model.

Run by ``make test-inspect``, in an environment of its own.
"""

import math

import pytest
from inspect_ai import eval as run
from inspect_ai.model import ModelOutput, get_model

from vlmgym.core import ConfigError
from vlmgym.episodes.task import Task
from vlmgym.evals.evaluation import evaluate
from vlmgym.evals.settings import Evaluation
from vlmgym.integrations.inspect_ai import traces, vlmgym
from vlmgym.players.simple import Scripted


@pytest.fixture(autouse=True)
def _no_download(monkeypatch):
    """The mock model counts tokens by a table that it would fetch from the network; words will
    do.
    """
    monkeypatch.setattr("inspect_ai.model._model.count_text_tokens", lambda text: len(text.split()))


REPLY = "<perception>2|4|0\n2|4|0\n0|0|0</perception><think>so</think><answer>{}</answer>"
MOVES = (1, 2, 1, 0)


def ask(task, tmp_path, outputs):
    model = get_model(
        "mockllm/model",
        custom_outputs=[ModelOutput.from_content("mockllm/model", text) for text in outputs],
    )
    (log,) = run(task, model=model, log_dir=str(tmp_path), display="none", max_samples=1)
    assert log.status == "success", log.error
    return log


def test_the_numbers_are_those_of_our_own_evaluation(tmp_path):
    turns, episodes = len(MOVES), 3
    replies = [REPLY.format(move) for move in MOVES]
    log = ask(vlmgym("2048", "easy", episodes=episodes, turns=turns), tmp_path, replies * episodes)
    own = evaluate(
        Scripted(replies),
        Task(game="2048", level="easy"),
        Evaluation(episodes=episodes, turns=turns, mode="lenient"),
        progress=False,
    )
    found = {score.name: score.metrics["mean"].value for score in log.results.scores}
    for name in ("score", "success", "format", "p_acc", "cells", "regret"):
        assert found[name] == pytest.approx(own["metrics"][name]["mean"]), name
    assert len(log.samples) == episodes
    for turns_, episode in traces(log):
        assert episode.turns == len(turns_) == len(MOVES)
        assert [turn.action for turn in turns_] == list(MOVES)


def test_the_log_holds_pictures_and_replies(tmp_path):
    log = ask(
        vlmgym("Swap", "easy", episodes=1, turns=2, history=-1),
        tmp_path,
        [REPLY.format("(0, 0) (0, 1)")] * 2,
    )
    messages = log.samples[0].messages
    assert [message.role for message in messages] == ["user", "assistant"] * 2
    assert [part.type for part in messages[0].content] == ["image", "text"]
    assert messages[0].content[0].image.startswith("data:image/png;base64,") or messages[0].content[
        0
    ].image.startswith("attachment://")


def test_a_game_without_text_cannot_be_told_in_words(tmp_path):
    with pytest.raises(ConfigError, match="observation"):
        vlmgym("2048", observation="sound")


def test_empty_replies_are_judged_not_lost(tmp_path):
    log = ask(vlmgym("2048", "easy", episodes=2, turns=3), tmp_path, [""] * 6)
    found = {score.name: score.metrics["mean"].value for score in log.results.scores}
    assert found["success"] == 0
    assert found["format"] == 0
    assert math.isfinite(found["score"])
    assert all(turn.fault == "format" for turns, _ in traces(log) for turn in turns)
