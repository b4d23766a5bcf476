"""Whole evaluations of players behind an endpoint, and their settings."""

import asyncio
import json
from datetime import date

import pytest

from parts.api_players import TASK, player_of
from parts.commands import eval_words
from parts.endpoint import Endpoint, Sent, answer
from vlmgym.cli import main
from vlmgym.core import ConfigError, counted, seeds_for
from vlmgym.episodes.task import Task
from vlmgym.episodes.trace import load_trace
from vlmgym.evals.evaluation import evaluate
from vlmgym.evals.settings import Evaluation
from vlmgym.games import get_game
from vlmgym.players.faults import last_of
from vlmgym.players.openai import OpenAIPlayer


def test_episodes_have_a_time_limit():
    with Endpoint(wait=0.1) as endpoint:
        summary = evaluate(
            player_of("api", endpoint, episode_seconds=0.35),
            TASK,
            Evaluation(episodes=2),
            progress=False,
        )
    assert summary["episodes"]["failed"] == 2
    assert 2 <= summary["episodes"]["turns"] <= 8
    assert all("time limit of the episode" in reason for reason in summary["failures"])


def test_fewer_requests_at_once_while_the_endpoint_is_busy():
    with Endpoint(wait=0.02) as endpoint:
        evaluate(
            player_of("api", endpoint, concurrency=8),
            TASK,
            Evaluation(episodes=20, turns=2),
            progress=False,
        )
        assert 4 <= endpoint.most <= 8
    with Endpoint(share=0.9, faults=("429",), wait=0.02) as endpoint:
        player = player_of("api", endpoint, concurrency=16, retries=100)
        evaluate(player, TASK, Evaluation(episodes=20, turns=1), progress=False)
        assert player._gate.places < 4


def test_failed_episodes_are_tried_again_and_answers_kept(tmp_path):
    how = Evaluation(episodes=6, turns=3)
    with Endpoint(share=0.4, faults=("500",), seed=3) as endpoint:
        first = evaluate(player_of("api", endpoint, retries=0), TASK, how, tmp_path, progress=False)
    assert 0 < first["episodes"]["failed"] < 6
    kept = load_trace(tmp_path / "trace.jsonl").turns
    with Endpoint() as endpoint:  # the endpoint has moved, the player is the same
        with pytest.raises(ConfigError, match="temperature"):
            evaluate(
                player_of("api", endpoint, {"temperature": 1}), TASK, how, tmp_path, progress=False
            )
        second = evaluate(player_of("api", endpoint), TASK, how, tmp_path, progress=False)
        assert len(endpoint.requests) == second["episodes"]["turns"] - len(kept)
    trace = load_trace(tmp_path / "trace.jsonl")
    assert second["episodes"]["failed"] == 0
    assert trace.turns[: len(kept)] == kept
    assert {one.end for one in trace.episodes} == {"stopped"}


def test_history_and_boards_in_words():
    with Endpoint() as endpoint:
        how = Evaluation(episodes=1, turns=4, history=2, observation="both", patience=0)
        evaluate(
            player_of("api", endpoint),
            Task(game="Swap", level="tiny", look="tiny"),
            how,
            progress=False,
        )
        bodies = [body["messages"] for _, _, body in endpoint.requests]
    assert [len(messages) for messages in bodies] == [1, 3, 5, 5]
    last = bodies[-1]
    assert [m["role"] for m in last] == ["user", "assistant", "user", "assistant", "user"]
    assert last[1]["content"] == answer(bodies[1])
    assert all(part["type"] in ("image_url", "text") for m in last[::2] for part in m["content"])
    assert "|" in last[4]["content"][1]["text"]
    with Endpoint() as endpoint:
        evaluate(
            player_of("api", endpoint),
            TASK,
            Evaluation(episodes=1, turns=1, observation="text"),
            progress=False,
        )
        (part,) = endpoint.requests[0][2]["messages"][0]["content"]
    assert part["type"] == "text"
    assert part["text"].count("\n") == 3, "a line for each row"


def test_it_works_within_a_running_loop():
    async def notebook():
        return evaluate(
            player_of("api", endpoint), TASK, Evaluation(episodes=2, turns=1), progress=False
        )

    with Endpoint() as endpoint:
        assert asyncio.run(notebook())["episodes"]["stopped"] == 2


def test_wrong_settings_are_refused(monkeypatch):
    with pytest.raises(ConfigError, match="base_url"):
        OpenAIPlayer("m", "localhost:8000")
    for price in (
        5,
        [1],
        {"inputs": 1},
        {"input": True},
        {"input": -1},
        {"output": "1"},
        {"input": None},
        {5: 1},
    ):
        with pytest.raises(ConfigError, match="prices"):
            OpenAIPlayer("m", prices=price)
    for number in (float("nan"), float("inf"), 1e400, 10**400):
        with pytest.raises(ConfigError, match=r"prices\.input"):
            OpenAIPlayer("m", prices={"input": number})
    for name, value in (
        ("temperature", float("nan")),
        ("stream", True),
        ("model", "x"),
        (5, 1),
        ("since", date.today()),
    ):
        with pytest.raises(ConfigError, match="sampling"):
            OpenAIPlayer("m", sampling={name: value})
    for name in ("", " ", "a\x1b[31mb", "a\nb"):
        with pytest.raises(ConfigError, match="model"):
            OpenAIPlayer(name)
    monkeypatch.delenv("OPENAI_API_KEY")
    game = get_game("2048")
    with pytest.raises(ConfigError, match="OPENAI_API_KEY"):
        OpenAIPlayer("m").reply(
            game, game.reset(game.level("tiny"), seeds_for("test", "2048", "tiny", 1))
        )
    assert OpenAIPlayer("m", "http://user:secret@h/v1").describe()["base_url"] == "http://h/v1"


def test_the_command_of_the_readme(tmp_path, capsys):
    with Endpoint() as endpoint:
        words = [
            "eval",
            "--player",
            "api:m",
            "--base-url",
            endpoint.url + "/v1",
            "--game",
            "2048",
            "--episodes",
            "3",
        ]
        words += [
            "--max-steps",
            "4",
            "--out",
            str(tmp_path),
            "--sampling",
            "top_p=0.9",
            "--api",
            "concurrency=2",
        ]
        prices = tmp_path / "prices.yaml"
        prices.write_text("m: {input: 1, output: 2}")
        assert main([*words, "--prices", str(prices)]) == 0
        assert endpoint.requests[0][2]["top_p"] == 0.9
        asked, trace = len(endpoint.requests), (tmp_path / "trace.jsonl").read_bytes()
        assert main([*words, "--prices", str(prices)]) == 0, "run again: nothing is asked"
        assert len(endpoint.requests) == asked
        assert (tmp_path / "trace.jsonl").read_bytes() == trace
    assert "m on 2048" in capsys.readouterr().out
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["episodes"]["n"] == 3
    assert summary["spent"]["cost"] > 0


def test_what_ends_a_run_at_an_endpoint_is_said_once(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "k" * 20)
    words = eval_words(tmp_path / "run", player="api:m", episodes=4)
    with Endpoint(script=lambda *_: Sent(403, {"error": {"message": "not for you"}})) as endpoint:
        assert main([*words, "--base-url", endpoint.url + "/v1"]) == 2
    assert capsys.readouterr().err.count("not for you") == 1


def test_one_is_not_said_as_many():
    assert last_of(["no answer"]) == "1 attempt: no answer"
    assert last_of(["a", "b"]) == "2 attempts; the last: b"
    assert [counted(n, "episode") for n in (0, 1, 2)] == ["0 episodes", "1 episode", "2 episodes"]
