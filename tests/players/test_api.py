"""Players behind an endpoint, against one on this machine that misbehaves."""

import asyncio
import base64
import io
import json
import time
from collections import Counter
from datetime import date

import pytest
from PIL import Image

from parts.commands import eval_words
from parts.endpoint import FAULTS, Endpoint, Sent, answer, said
from vlmgym.cli import main
from vlmgym.core import ConfigError, counted, seeds_for
from vlmgym.episodes.task import Task
from vlmgym.episodes.trace import load_trace
from vlmgym.evals.evaluation import evaluate
from vlmgym.evals.rescoring import rescore
from vlmgym.evals.settings import Evaluation
from vlmgym.games import get_game
from vlmgym.players.anthropic import AnthropicPlayer
from vlmgym.players.api_settings import ApiSettings
from vlmgym.players.base import Query
from vlmgym.players.faults import ApiError, last_of
from vlmgym.players.messages import NO_REPLY
from vlmgym.players.openai import OpenAIPlayer
from vlmgym.render.frames import frame_size
from vlmgym.render.sources import PhotoError

TASK = Task(game="2048", level="easy:max_steps=20", look="tiny", prompt="brief")
KINDS = {"api": (OpenAIPlayer, "/v1"), "anthropic": (AnthropicPlayer, "")}
GAME, LEVEL, LOOK = TASK.game, TASK.level, TASK.look
QUERY = Query(GAME, GAME.reset(LEVEL, seeds_for("test", "2048", "easy", 1)), LOOK, "brief")
FAST = {"backoff_seconds": 0.01, "most_backoff_seconds": 0.05}


@pytest.fixture(autouse=True)
def _keys(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "secret-key-1")
    monkeypatch.setenv("ANTHROPIC_API_KEY", "secret-key-1")


def player_of(kind, endpoint, sampling=None, prices=None, **settings):
    make, path = KINDS[kind]
    return make(
        "some/model", endpoint.url + path, sampling, ApiSettings(**{**FAST, **settings}), prices
    )


def ask(player):
    """The answer to one question."""

    async def once():
        async with player:
            return await player.ask(QUERY)

    return asyncio.run(once())


def endpoint_answer(endpoint):
    """What it answered to the last question."""
    return answer(endpoint.requests[-1][2]["messages"])


@pytest.mark.parametrize("days", [11, -11])
def test_a_clock_that_is_set_while_asking_changes_nothing(monkeypatch, days):
    now, real = [time.time()], time.monotonic

    def jumping():
        now[0] += 86_400 * days
        return now[0]

    begin, tries = real(), []

    def script(path, headers, body):
        if path.endswith("/models"):
            return None
        tries.append(1)
        return Sent(500, {}) if len(tries) < 3 else None

    with Endpoint(script=script) as endpoint:
        monkeypatch.setattr(time, "time", jumping)
        found = ask(player_of("api", endpoint))
    assert (found.failure, found.attempts) == ("", 3)
    assert 0 <= found.seconds <= real() - begin


@pytest.mark.parametrize("kind", KINDS)
def test_requests_hold_the_picture_the_prompt_and_the_sampling(kind):
    with Endpoint() as endpoint:
        player = player_of(
            kind,
            endpoint,
            {"temperature": 0.5, "max_tokens": 77, "top_p": None},
            {"input": 3.0, "output": 10.0},
        )
        summary = evaluate(player, TASK, Evaluation(episodes=1, turns=2), progress=False)
        _, headers, body = endpoint.requests[0]
    assert "secret-key-1" in json.dumps(headers)
    assert (body["model"], body["temperature"], body["max_tokens"]) == ("some/model", 0.5, 77)
    assert "top_p" not in body
    (message,) = body["messages"]
    picture, text = message["content"]
    assert text["text"] == "2048 3x3"
    data = (
        picture["image_url"]["url"].partition("base64,")[2]
        if kind == "api"
        else picture["source"]["data"]
    )
    game, level, look = TASK.game, TASK.level, TASK.look
    assert (
        Image.open(io.BytesIO(base64.b64decode(data))).size == frame_size(game, level, look)[::-1]
    )
    assert summary["spent"]["input_tokens"] == 200
    assert summary["spent"]["cost"] == pytest.approx(2 * (100 * 3 + 20 * 10) / 1e6)


@pytest.mark.parametrize("kind", KINDS)
def test_replies_and_their_reasoning_are_kept_apart(kind, tmp_path):
    with Endpoint() as endpoint:
        evaluate(
            player_of(kind, endpoint),
            TASK,
            Evaluation(episodes=2, turns=1),
            tmp_path,
            progress=False,
        )
    for turn in load_trace(tmp_path / "trace.jsonl").turns:
        assert turn.reply.startswith("<perception>")
        assert turn.reasoning == "I looked."
        assert turn.usage["output_tokens"] == 20
        assert turn.usage["finish"] in ("stop", "end_turn")
    assert "secret" not in (tmp_path / "trace.jsonl").read_text()


def test_two_thousand_requests_with_faults_lose_nothing(tmp_path):
    """Every episode finishes or says why not; no turn is lost, doubled, or scored as a loss that it
    was not.
    """
    with Endpoint(share=0.2, slow=5.0, seed=1) as endpoint:
        player = player_of(
            "api", endpoint, request_seconds=4.0, retries=4, reply_bytes=1_000_000, concurrency=32
        )
        how = Evaluation(episodes=100, turns=20, patience=0)
        summary = evaluate(player, TASK, how, tmp_path, progress=False)
        served, faulty = endpoint.served, endpoint.faulty
    assert sum(faulty.values()) >= 2000
    assert set(faulty) == {"", *FAULTS}
    trace = load_trace(tmp_path / "trace.jsonl")
    assert len(trace.episodes) == 100
    assert all(
        one.end in ("stopped", "truncated", "terminated") or (one.end == "failed" and one.reason)
        for one in trace.episodes
    )
    places = Counter((turn.episode, turn.turn) for turn in trace.turns)
    assert max(places.values()) == 1
    for one in trace.episodes:
        assert sorted(turn for episode, turn in places if episode == one.episode) == list(
            range(one.turns)
        )
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
    with (
        Endpoint(share=1.0, faults=("401",)) as endpoint,
        pytest.raises(ApiError, match="401") as error,
    ):
        evaluate(player_of("api", endpoint), TASK, Evaluation(episodes=5), tmp_path, progress=False)
    assert "secret-key-1" not in str(error.value)
    assert len(endpoint.requests) <= 5


def test_bad_requests_are_not_repeated():
    with Endpoint(share=1.0, faults=("400",)) as endpoint:
        summary = evaluate(
            player_of("api", endpoint), TASK, Evaluation(episodes=2, turns=4), progress=False
        )
        assert len(endpoint.requests) == 2
    assert summary["episodes"]["failed"] == 2


def test_requests_that_are_all_refused_alike_stop_the_run_unless_something_was_answered(tmp_path):
    def refused(path, headers, body):
        return Sent(
            400,
            {"error": {"message": f"no pictures, please (request {len(endpoint.requests):08x})"}},
        )

    with Endpoint(script=refused) as endpoint:
        with pytest.raises(ApiError, match=r"no pictures, please.*3 requests in a row"):
            evaluate(
                player_of("api", endpoint, concurrency=1),
                TASK,
                Evaluation(episodes=20),
                tmp_path,
                progress=False,
            )
        assert len(endpoint.requests) == 3
    with Endpoint(
        script=lambda *_: None if len(endpoint.requests) == 1 else refused(*_)
    ) as endpoint:
        how = Evaluation(episodes=6, turns=1)
        summary = evaluate(player_of("api", endpoint, concurrency=1), TASK, how, progress=False)
    assert (summary["episodes"]["stopped"], summary["episodes"]["failed"]) == (1, 5)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("status", "body"),
    [
        (
            429,
            {
                "error": {
                    "message": "You exceeded your current quota",
                    "type": "insufficient_quota",
                    "code": "insufficient_quota",
                }
            },
        ),
        (
            400,
            {
                "type": "error",
                "error": {
                    "type": "invalid_request_error",
                    "message": "Your credit balance is too low to ...",
                },
            },
        ),
        (402, {"error": {"message": "Insufficient credits", "code": 402}}),
        (403, {"error": "no"}),
        (404, {"detail": "Not Found"}),
    ],
)
def test_what_every_request_would_get_stops_the_run_with_the_endpoints_words(kind, status, body):
    with Endpoint(script=lambda *_: Sent(status, body)) as endpoint:
        player = player_of(kind, endpoint, concurrency=1)
        with pytest.raises(ApiError) as error:
            evaluate(player, TASK, Evaluation(episodes=5), progress=False)
        assert len(endpoint.requests) == 1
    assert str(error.value).startswith(f"some/model at {player.base_url}: {status}: ")
    assert json.dumps(body) in str(error.value)


def test_a_quota_a_minute_is_waited_for():
    """Gemini says "exceeded your current quota, check your billing" of those, too."""
    busy = Sent(
        429,
        {
            "error": {
                "code": 429,
                "message": "You exceeded your current quota, check your billing details.",
            }
        },
    )
    with Endpoint(script=lambda *_: busy if len(endpoint.requests) < 3 else None) as endpoint:
        summary = evaluate(
            player_of("api", endpoint), TASK, Evaluation(episodes=1, turns=1), progress=False
        )
    assert summary["episodes"]["stopped"] == 1


def test_nothing_at_an_address_asks_whether_it_ends_in_v1():
    with Endpoint(
        script=lambda *_: Sent(404, {"detail": "Not Found"}), models={"data": [{"id": "other"}]}
    ) as endpoint:
        with pytest.raises(ApiError, match=r'"detail": "Not Found".*does the address end in /v1\?'):
            ask(OpenAIPlayer("m", endpoint.url))
        with pytest.raises(ApiError, match=r"Not Found.*\(it serves other\)"):
            ask(OpenAIPlayer("m", endpoint.url + "/v1"))
        with pytest.raises(ApiError, match="Not Found"):
            ask(AnthropicPlayer("m", endpoint.url + "/v1"))
        assert [path for path, _, _ in endpoint.requests] == [
            "/chat/completions",
            "/v1/chat/completions",
            "/v1/messages",
        ]


# ---- before anything is asked
@pytest.mark.parametrize("kind", KINDS)
def test_a_check_costs_no_question_and_passes_endpoints_without_a_list_of_models(kind):
    lists = (
        None,
        {"data": []},
        Sent(403, {"error": "Missing scopes: api.model.read"}),
        Sent(401, {"error": "Missing scopes"}),
    )
    for models in (
        *lists,
        Sent(405, b""),
        Sent(501, b"", kind="text/html"),
        Sent(302, b"", {"Location": "/login"}),
        [1],
        {"data": 5},
    ):
        with Endpoint(models=models) as endpoint:
            player = player_of(kind, endpoint)
            player.check()
            assert len(endpoint.lists) == 1
            assert ask(player).text == endpoint_answer(endpoint)
            assert (len(endpoint.lists), len(endpoint.requests)) == (1, 1), "asked for once"


@pytest.mark.parametrize("kind", KINDS)
def test_a_check_says_what_is_wrong_before_anything_is_asked(kind, monkeypatch):
    with Endpoint(
        models=Sent(401, {"error": "Incorrect API key provided: secret-key-1"})
    ) as endpoint:
        with pytest.raises(ApiError, match=r"401: .*Incorrect API key provided: \[key\]"):
            player_of(kind, endpoint).check()
        assert endpoint.requests == []
    with Endpoint() as endpoint:
        gone = player_of(kind, endpoint)
    with pytest.raises(
        ApiError, match=r"ConnectError: connection refused at " rf"127.0.0.1:{endpoint.port}"
    ):
        gone.check()
    with pytest.raises(ApiError, match=r"unknown host nowhere\.invalid"):
        KINDS[kind][0]("m", "http://nowhere.invalid/v1", settings=ApiSettings(**FAST)).check()
    monkeypatch.setenv(KINDS[kind][0].key_variable, "secret-\nkey-1")
    with pytest.raises(ConfigError, match="without spaces, line breaks") as error:
        gone.check()
    assert "secret-" not in str(error.value)
    monkeypatch.delenv(KINDS[kind][0].key_variable)
    with pytest.raises(ConfigError, match=KINDS[kind][0].key_variable):
        KINDS[kind][0]("m").check()


def test_a_list_of_models_that_is_busy_is_asked_for_again_and_then_done_without():
    told = []
    with Endpoint(models=Sent(503, b"")) as endpoint:
        player = player_of("api", endpoint)
        player.check()
        assert len(endpoint.lists) == 3
        player.on_fault = told.append
        assert ask(player).failure == ""
    assert told == [
        "some/model: the list of its models cannot be had (status 503); going on without"
    ]


def test_a_list_of_models_that_never_comes_does_not_hold_up_a_run(monkeypatch):
    monkeypatch.setattr("vlmgym.players.api.PROBE_SECONDS", 0.1)

    class Never:
        def __iter__(self):
            yield b"HTTP/1.1 200 OK\r\n"
            while not endpoint.over.wait(0.02):
                yield b"X-More: 1\r\n"

    with Endpoint() as endpoint:
        endpoint.models = Sent(0, Never())
        player = player_of("api", endpoint)
        assert ask(player).failure == ""
    assert player.notes == [
        "the list of its models cannot be had (no answer in 0.1 s); going on without"
    ]


def test_every_fault_is_told_as_it_happens():
    told = []
    with Endpoint(share=1.0, faults=("500",)) as endpoint:
        player = player_of("api", endpoint, retries=1)
        player.on_fault = told.append
        assert ask(player).failure.startswith("2 attempts; the last: 500: ")
    assert told == ['some/model: 500: {"error": {"message": "not now, key [key]"}}'] * 2


def test_the_cause_of_a_lost_line_is_told_and_a_server_that_is_gone_stops_the_run():
    with Endpoint() as endpoint:
        player = player_of("api", endpoint)
        player.check()
    with pytest.raises(
        ApiError,
        match=r"ConnectError: connection refused at 127.0.0.1:\d+ \(3 " r"requests in a row",
    ):
        ask(player)
    with Endpoint() as endpoint:
        player = player_of("api", endpoint, retries=1)
        assert ask(player).failure == ""
    assert ask(player).failure.startswith(
        "2 attempts; the last: ConnectError: connection refused at "
    ), "it may come back"


# ---- our own part of it
@pytest.mark.parametrize("kind", KINDS)
def test_a_question_that_cannot_be_made_is_no_fault_of_the_endpoint(kind, monkeypatch):
    def no_picture(*_):
        raise PhotoError("no photographs there")

    monkeypatch.setattr("vlmgym.players.messages.pictures", no_picture)
    with Endpoint() as endpoint, pytest.raises(PhotoError, match="no photographs there"):
        evaluate(player_of(kind, endpoint), TASK, Evaluation(episodes=3), progress=False)
    assert endpoint.requests == []


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("silence", ["", " \n", None])
def test_a_silent_model_can_be_told_its_own_history(kind, silence):
    """An empty text block would be refused for ever, and the silent model's episodes would go
    missing.
    """

    def script(path, headers, body):
        content = said(path, silence or "")
        if silence is None:
            content |= {"content": []}
        for message in body["messages"]:
            for part in (
                message["content"]
                if isinstance(message["content"], list)
                else [{"text": message["content"]}]
            ):
                if "text" in part and not part["text"].strip():
                    return Sent(400, {"error": "text content blocks must be non-empty"})
        return Sent(body=content)

    with Endpoint(script=script) as endpoint:
        how = Evaluation(episodes=2, turns=3, history=-1, patience=0)
        summary = evaluate(player_of(kind, endpoint), TASK, how, progress=False)
        last = endpoint.requests[-1][2]["messages"]
    assert (summary["episodes"]["stopped"], summary["episodes"]["turns"]) == (2, 6)
    earlier = [message["content"] for message in last if message["role"] == "assistant"]
    assert earlier == (
        [NO_REPLY] * 2 if kind == "api" else [[{"type": "text", "text": NO_REPLY}]] * 2
    )


@pytest.mark.parametrize("kind", KINDS)
def test_half_an_emoji_is_told_again_as_a_whole_character(kind):
    with Endpoint(reply=lambda _: "so \ud83d") as endpoint:
        how = Evaluation(episodes=1, turns=3, history=-1, patience=0)
        assert (
            evaluate(player_of(kind, endpoint), TASK, how, progress=False)["episodes"]["stopped"]
            == 1
        )
        assert "so \ufffd" in json.dumps(endpoint.requests[-1][2], ensure_ascii=False)


# ---- sampling
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
