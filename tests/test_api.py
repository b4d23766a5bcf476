"""Players behind an endpoint, against one on this machine that misbehaves."""

import asyncio
import base64
import io
import json
from collections import Counter

import pytest
from PIL import Image

from endpoint import FAULTS, Endpoint, answer
from vlmgym.cli import main
from vlmgym.core import ConfigError, seeds_for
from vlmgym.evaluate import Evaluation, evaluate
from vlmgym.games import get_game
from vlmgym.players.api import AnthropicPlayer, ApiError, ApiSettings, OpenAIPlayer
from vlmgym.render import frame_size
from vlmgym.tasks import Task
from vlmgym.trace import load_trace

TASK = Task(game="2048", level="easy:max_steps=20", look="tiny", prompt="brief")
KINDS = {"api": (OpenAIPlayer, "/v1"), "anthropic": (AnthropicPlayer, "")}
FAST = {"backoff_seconds": 0.01, "most_backoff_seconds": 0.05}


@pytest.fixture(autouse=True)
def _keys(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "secret-key-1")
    monkeypatch.setenv("ANTHROPIC_API_KEY", "secret-key-1")


def player_of(kind, endpoint, sampling=None, prices=None, **settings):
    make, path = KINDS[kind]
    return make("some/model", endpoint.url + path, sampling, ApiSettings(**{**FAST, **settings}), prices)


@pytest.mark.parametrize("kind", KINDS)
def test_requests_hold_the_picture_the_prompt_and_the_sampling(kind):
    with Endpoint() as endpoint:
        player = player_of(kind, endpoint, {"temperature": 0.5, "max_tokens": 77, "top_p": None}, {"input": 3.0, "output": 10.0})
        summary = evaluate(player, TASK, Evaluation(episodes=1, turns=2), progress=False)
        _, headers, body = endpoint.requests[0]
    assert "secret-key-1" in json.dumps(headers)
    assert (body["model"], body["temperature"], body["max_tokens"]) == ("some/model", 0.5, 77)
    assert "top_p" not in body
    (message,) = body["messages"]
    picture, text = message["content"]
    assert text["text"] == "2048 3x3"
    data = picture["image_url"]["url"].partition("base64,")[2] if kind == "api" else picture["source"]["data"]
    game, level, look = TASK.rules()
    assert Image.open(io.BytesIO(base64.b64decode(data))).size == frame_size(game, level, look)[::-1]
    assert summary["spent"]["input_tokens"] == 200
    assert summary["spent"]["cost"] == pytest.approx(2 * (100 * 3 + 20 * 10) / 1e6)


@pytest.mark.parametrize("kind", KINDS)
def test_replies_and_their_reasoning_are_kept_apart(kind, tmp_path):
    with Endpoint() as endpoint:
        evaluate(player_of(kind, endpoint), TASK, Evaluation(episodes=2, turns=1), tmp_path, progress=False)
    for turn in load_trace(tmp_path / "trace.jsonl").turns:
        assert turn.reply.startswith("<perception>")
        assert turn.reasoning == "I looked."
        assert turn.usage["output_tokens"] == 20
        assert turn.usage["finish"] in ("stop", "end_turn")
    assert "secret" not in (tmp_path / "trace.jsonl").read_text()


def test_two_thousand_requests_with_faults_lose_nothing(tmp_path):
    """Every episode finishes or says why not; no turn is lost, doubled, or scored as a loss that it was not."""
    with Endpoint(share=0.2, slow=1.5, seed=1) as endpoint:
        player = player_of("api", endpoint, request_seconds=1.0, retries=4, reply_bytes=1_000_000, concurrency=32)
        how = Evaluation(episodes=100, turns=20, patience=0)
        summary = evaluate(player, TASK, how, tmp_path, progress=False)
        served, faulty = endpoint.served, endpoint.faulty
    assert sum(faulty.values()) >= 2000
    assert set(faulty) == {"", *FAULTS}
    trace = load_trace(tmp_path / "trace.jsonl")
    assert len(trace.episodes) == 100
    assert all(
        one.end in ("stopped", "truncated", "terminated") or (one.end == "failed" and one.reason) for one in trace.episodes
    )
    places = Counter((turn.episode, turn.turn) for turn in trace.turns)
    assert max(places.values()) == 1
    for one in trace.episodes:
        assert sorted(turn for episode, turn in places if episode == one.episode) == list(range(one.turns))
    assert sum(turn.problem != "none" for turn in trace.turns) == 0
    assert sum(one.turns for one in trace.episodes) == sum(served.values())
    assert summary["episodes"]["failed"] == sum(one.end == "failed" for one in trace.episodes)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_alone_fails_the_episode_with_its_reason(kind, fault):
    with Endpoint(share=1.0, faults=(fault,), slow=1.0) as endpoint:
        player = player_of(kind, endpoint, request_seconds=0.5, retries=1, reply_bytes=1_000_000)
        summary = evaluate(player, TASK, Evaluation(episodes=2, turns=1), progress=False)
        assert sum(endpoint.faulty.values()) == 4
    assert summary["episodes"]["failed"] == 2
    assert summary["metrics"]["success"]["mean"] is None
    (reason,) = summary["failures"]
    assert reason.startswith("2 attempts; the last: ")
    assert "secret" not in reason


def test_a_refused_key_stops_everything_and_is_not_told(tmp_path):
    with Endpoint(share=1.0, faults=("401",)) as endpoint, pytest.raises(ApiError, match="401") as error:
        evaluate(player_of("api", endpoint), TASK, Evaluation(episodes=5), tmp_path, progress=False)
    assert "secret-key-1" not in str(error.value)
    assert len(endpoint.requests) <= 5


def test_bad_requests_are_not_repeated():
    with Endpoint(share=1.0, faults=("400",)) as endpoint:
        summary = evaluate(player_of("api", endpoint), TASK, Evaluation(episodes=3, turns=4), progress=False)
        assert len(endpoint.requests) == 3
    assert summary["episodes"]["failed"] == 3


def test_episodes_have_a_time_limit():
    with Endpoint(wait=0.1) as endpoint:
        summary = evaluate(player_of("api", endpoint, episode_seconds=0.35), TASK, Evaluation(episodes=2), progress=False)
    assert summary["episodes"]["failed"] == 2
    assert 2 <= summary["episodes"]["turns"] <= 8
    assert all("time limit of the episode" in reason for reason in summary["failures"])


def test_fewer_requests_at_once_while_the_endpoint_is_busy():
    with Endpoint(wait=0.02) as endpoint:
        evaluate(player_of("api", endpoint, concurrency=8), TASK, Evaluation(episodes=20, turns=2), progress=False)
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
        with pytest.raises(ConfigError, match="about"):
            evaluate(player_of("api", endpoint, {"temperature": 1}), TASK, how, tmp_path, progress=False)
        second = evaluate(player_of("api", endpoint), TASK, how, tmp_path, progress=False)
        assert len(endpoint.requests) == second["episodes"]["turns"] - len(kept)
    trace = load_trace(tmp_path / "trace.jsonl")
    assert second["episodes"]["failed"] == 0
    assert trace.turns[: len(kept)] == kept
    assert {one.end for one in trace.episodes} == {"stopped"}


def test_history_and_boards_in_words():
    with Endpoint() as endpoint:
        how = Evaluation(episodes=1, turns=4, history=2, observation="both", patience=0)
        evaluate(player_of("api", endpoint), Task(game="Swap", level="tiny", look="tiny"), how, progress=False)
        bodies = [body["messages"] for _, _, body in endpoint.requests]
    assert [len(messages) for messages in bodies] == [1, 3, 5, 5]
    last = bodies[-1]
    assert [m["role"] for m in last] == ["user", "assistant", "user", "assistant", "user"]
    assert last[1]["content"] == answer(bodies[1])
    assert all(part["type"] in ("image_url", "text") for m in last[::2] for part in m["content"])
    assert "|" in last[4]["content"][1]["text"]
    with Endpoint() as endpoint:
        evaluate(player_of("api", endpoint), TASK, Evaluation(episodes=1, turns=1, observation="text"), progress=False)
        (part,) = endpoint.requests[0][2]["messages"][0]["content"]
    assert part["type"] == "text"
    assert part["text"].count("\n") == 3, "a line for each row"


def test_it_works_within_a_running_loop():
    async def notebook():
        return evaluate(player_of("api", endpoint), TASK, Evaluation(episodes=2, turns=1), progress=False)

    with Endpoint() as endpoint:
        assert asyncio.run(notebook())["episodes"]["stopped"] == 2


def test_wrong_settings_are_refused(monkeypatch):
    with pytest.raises(ConfigError, match="base_url"):
        OpenAIPlayer("m", "localhost:8000")
    with pytest.raises(ConfigError, match="prices"):
        OpenAIPlayer("m", prices={"inputs": 1})
    monkeypatch.delenv("OPENAI_API_KEY")
    game = get_game("2048")
    with pytest.raises(ConfigError, match="OPENAI_API_KEY"):
        OpenAIPlayer("m").reply(game, game.reset(game.level("tiny"), seeds_for("test", "2048", "tiny", 1)))
    assert OpenAIPlayer("m", "http://user:secret@h/v1").describe()["base_url"] == "http://h/v1"


def test_the_command_of_the_readme(tmp_path, capsys):
    with Endpoint() as endpoint:
        words = ["eval", "--player", "api:m", "--base-url", endpoint.url + "/v1", "--game", "2048", "--episodes", "3"]
        words += ["--max-steps", "4", "--out", str(tmp_path), "--sampling", "top_p=0.9", "--api", "concurrency=2"]
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
