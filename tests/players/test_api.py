"""Players behind an endpoint, against one on this machine that misbehaves."""

import base64
import io
import json
import time
from collections import Counter

import pytest
from PIL import Image

from parts.api_players import KINDS, TASK, ask, player_of
from parts.endpoint import FAULTS, KEY, Endpoint, Sent
from vlmgym.episodes.trace import load_trace
from vlmgym.evals.evaluation import evaluate
from vlmgym.evals.settings import Evaluation
from vlmgym.players.anthropic import AnthropicPlayer
from vlmgym.players.faults import ApiError
from vlmgym.players.openai import OpenAIPlayer
from vlmgym.render.frames import frame_size


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
    assert KEY in json.dumps(headers)
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


def test_eight_hundred_requests_with_faults_lose_nothing(tmp_path):
    """Every episode finishes or says why not; no turn is lost, doubled, or scored as a loss that it
    was not.
    """
    with Endpoint(share=0.2, slow=2.5, seed=1) as endpoint:
        player = player_of(
            "api", endpoint, request_seconds=2.0, retries=4, reply_bytes=1_000_000, concurrency=16
        )
        how = Evaluation(episodes=40, turns=20, patience=0)
        summary = evaluate(player, TASK, how, tmp_path, progress=False)
        served, faulty = endpoint.served, endpoint.faulty
    assert sum(faulty.values()) >= 800
    assert set(faulty) == {"", *FAULTS}
    trace = load_trace(tmp_path / "trace.jsonl")
    assert len(trace.episodes) == 40
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
    assert KEY not in str(error.value)
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
