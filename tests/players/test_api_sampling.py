"""Sampling at an endpoint: what it does not take is left out, remembered and told."""

import pytest

from parts.api_players import TASK, ask, player_of
from parts.endpoint import Endpoint, Sent
from vlmgym.episodes.trace import load_trace
from vlmgym.evals.evaluation import evaluate
from vlmgym.evals.rescoring import rescore
from vlmgym.evals.settings import Evaluation
from vlmgym.players.anthropic import AnthropicPlayer
from vlmgym.players.api_settings import ApiSettings
from vlmgym.players.openai import OpenAIPlayer

TAKES_NO_MAX_TOKENS = {
    "message": "Unsupported parameter: 'max_tokens' is not supported with this model. Use "
    "'max_completion_tokens' instead.",
    "type": "invalid_request_error",
    "param": "max_tokens",
    "code": "unsupported_parameter",
}
TAKES_NO_TEMPERATURE = {
    "message": "Unsupported value: 'temperature' does not support 0.0 with this model. Only the "
    "default (1) value is supported.",
    "type": "invalid_request_error",
    "param": "temperature",
    "code": "unsupported_value",
}


def reasoning_model(path, headers, body):
    """Refuses what reasoning models refuse."""
    if "max_tokens" in body:
        return Sent(400, {"error": TAKES_NO_MAX_TOKENS})
    return Sent(400, {"error": TAKES_NO_TEMPERATURE}) if "temperature" in body else None


def test_reasoning_models_are_asked_again_with_what_they_name_and_this_is_remembered_and_told(
    tmp_path,
):
    told = []
    with Endpoint(script=reasoning_model) as endpoint:
        player = player_of(
            "api", endpoint, {"max_tokens": 77, "temperature": 0.0, "top_p": 0.9}, concurrency=1
        )
        before = player.describe()
        summary = evaluate(player, TASK, Evaluation(episodes=4, turns=2), tmp_path, progress=False)
        bodies = [body for _, _, body in endpoint.requests]
        player.on_fault = told.append
        assert ask(player).failure == ""
        ask(player)
    assert summary["episodes"]["stopped"] == 4
    assert summary["warnings"] == summary["doubts"] == player.notes, (
        "what was told once is in the summary"
    )
    again = rescore(tmp_path, tmp_path / "again")
    assert again["warnings"] == player.notes, "also after it was judged anew"
    assert len(bodies) == 8 + 2, "each is learned once"
    assert all(body["max_completion_tokens"] == 77 and body["top_p"] == 0.9 for body in bodies[2:])
    assert all("max_tokens" not in body and "temperature" not in body for body in bodies[2:])
    assert player.describe() == before, "who plays does not change in the middle of a run"
    assert [one.partition(": ")[2] for one in told] == player.notes
    assert len(player.notes) == 2
    assert any("max_completion_tokens = 77" in one for one in player.notes)
    assert any("temperature: 0.0 was asked for" in one for one in player.notes)
    assert {
        turn.usage.get("attempts", 1) for turn in load_trace(tmp_path / "trace.jsonl").turns
    } == {1}


def test_many_at_once_learn_it_together():
    with Endpoint(script=reasoning_model, wait=0.02) as endpoint:
        player = player_of("api", endpoint, {"max_tokens": 77, "temperature": 0.0})
        summary = evaluate(player, TASK, Evaluation(episodes=20, turns=2), progress=False)
    assert summary["episodes"]["stopped"] == 20
    assert len(player.notes) == 2


@pytest.mark.parametrize(
    ("message", "sampling"),
    [
        ("temperature must be between 0 and 2", {"temperature": 3.0}),
        (
            "Unsupported parameter: 'top_p' is not supported with this model.",
            {"top_p": 0.9, "temperature": 0.0},
        ),
        ("Unknown field: foo", {"foo": 1}),
        ("max_tokens is too large: the model supports at most 8192", {"max_tokens": 100_000}),
        ("unsupported image", {"temperature": 0.0, "max_tokens": 5}),
    ],
)
def test_nothing_else_that_was_asked_for_is_left_out(message, sampling):
    with Endpoint(script=lambda *_: Sent(400, {"error": {"message": message}})) as endpoint:
        assert message in ask(player_of("api", endpoint, sampling)).failure
        assert len(endpoint.requests) == 1


@pytest.mark.parametrize(
    "message",
    ["`temperature` is deprecated for this model.", "temperature: Extra inputs are not permitted"],
)
def test_newer_models_of_anthropic_take_no_temperature(message):
    refused = {"type": "error", "error": {"type": "invalid_request_error", "message": message}}
    with Endpoint(
        script=lambda path, headers, body: Sent(400, refused) if "temperature" in body else None
    ) as endpoint:
        player = player_of("anthropic", endpoint, {"temperature": 0.0})
        assert ask(player).failure == ""
        assert (
            endpoint.requests[-1][2]["max_tokens"]
            == player.describe()["sampling"]["max_tokens"]
            == 4096
        )


@pytest.mark.parametrize("server", ["vllm", "sglang"])
def test_servers_that_sample_as_the_model_likes_are_told_not_to(server):
    """vLLM and SGLang fill in top_k, top_p, min_p, repetition_penalty from the model's
    generation_config unless they are sent.
    """
    with Endpoint(models={"data": [{"id": "some/model", "owned_by": server}]}) as endpoint:
        player = player_of("api", endpoint, {"temperature": 0.7, "top_p": 0.9, "min_p": None})
        assert player.describe()["neutral"] == {"top_k": -1, "repetition_penalty": 1.0}
        ask(player)
        (_, _, body), before = endpoint.requests[0], player.describe()
    assert {**body, **before["sampling"], **before["neutral"]} == body
    assert "min_p" not in body, "null leaves it to the server"
    with Endpoint(models={"data": [{"id": "some/model", "owned_by": "openai"}]}) as endpoint:
        player = player_of("api", endpoint, {"temperature": 0.7, "top_p": 0.9, "min_p": None})
        ask(player)
        assert endpoint.requests[0][2].keys() == {"model", "messages", "temperature", "top_p"}
    assert {**player.describe(), "base_url": ""} == {**before, "base_url": ""}, (
        "the same player wherever it is asked"
    )


def test_a_server_that_takes_no_neutral_sampling_is_asked_without():
    refuse = Sent(
        400,
        {
            "detail": [
                {
                    "type": "extra_forbidden",
                    "loc": ["body", "min_p"],
                    "msg": "Extra inputs are not permitted",
                }
            ]
        },
    )
    models = {"data": [{"id": "m", "owned_by": "vllm"}]}
    with Endpoint(
        models=models, script=lambda path, headers, body: refuse if "min_p" in body else None
    ) as endpoint:
        player = player_of("api", endpoint)
        assert ask(player).failure == ""
        body = endpoint.requests[-1][2]
        assert (body["top_k"], body["temperature"]) == (-1, 1.0)
    assert "takes no min_p" in player.notes[0]


def test_a_player_is_its_kind_model_and_sampling(monkeypatch):
    player = OpenAIPlayer(
        "m", "http://h:1/v1/", {"temperature": 0.5, "seed": None}, ApiSettings(concurrency=3)
    )
    neutral = {"top_p": 1.0, "top_k": -1, "min_p": 0.0, "repetition_penalty": 1.0}
    about = {
        "kind": "api",
        "model": "m",
        "base_url": "http://h:1/v1",
        "sampling": {"temperature": 0.5},
        "neutral": neutral,
    }
    assert player.describe() == about
    about = {
        "kind": "anthropic",
        "model": "m",
        "base_url": "https://api.anthropic.com",
        "sampling": {"max_tokens": 4096},
    }
    assert AnthropicPlayer("m", sampling={"max_tokens": None}).describe() == about
    monkeypatch.setenv("OPENAI_BASE_URL", "https://user:password@gateway/v1?key=123456789")
    monkeypatch.setenv("ANTHROPIC_BASE_URL", "http://other:8000")
    assert OpenAIPlayer("m").describe()["base_url"] == "https://gateway/v1"
    assert AnthropicPlayer("m").describe()["base_url"] == "http://other:8000"
    assert OpenAIPlayer("m", "http://h/v1").describe()["base_url"] == "http://h/v1", (
        "what is named goes first"
    )
