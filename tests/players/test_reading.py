"""Bodies of replies: of any form, an answer or a fault of that request alone."""

import json
import math
import time
from email.utils import formatdate

import pytest

from parts.api_players import FORMS, JSON, KINDS, TASK, TEXT, ask, fuzz_bodies, player_of
from parts.endpoint import Endpoint, Sent, said
from parts.mutate import deep_text
from vlmgym.evals.evaluation import evaluate
from vlmgym.evals.settings import Evaluation
from vlmgym.players.anthropic import AnthropicPlayer
from vlmgym.players.base import CUT, REFUSED, Answer
from vlmgym.players.openai import OpenAIPlayer
from vlmgym.players.requests import wait_in
from vlmgym.players.wire import Reply


def test_any_body_is_an_answer_or_a_fault_of_its_request_alone():
    found = fuzz_bodies(4000, 1)
    assert found["tried"] >= 4000
    assert found["answers"] > 500, "mutants must get that far"
    assert found["failures"] == 0


HOSTILE = {
    "deep": deep_text(100_000),
    "deep in a field": '{"choices": ' + deep_text(50_000) + "}",
    "a list": "[]",
    "a text": '"hello"',
    "nothing": "",
    "null": "null",
    "no choices": '{"choices": []}',
    "choices of another kind": '{"choices": {"0": 1}, "content": {"0": 1}}',
    "no message": '{"choices": [{}], "content": [{"type": "text", "text": 5}]}',
    "a content of another kind": '{"choices": [{"message": {"content": 5}}], "content": 5}',
    "latin-1": '{"content": "é"}'.encode("latin-1"),
    "a number of 5000 digits": '{"choices": [], "content": ' + "9" * 5000 + "}",
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE)
def test_replies_of_another_form_do_not_end_the_run(kind, body):
    sent = body if isinstance(body, bytes) else body.encode()
    with Endpoint(
        script=lambda *_: Sent(body=sent) if len(endpoint.requests) % 2 else None
    ) as endpoint:
        player = player_of(kind, endpoint, retries=0, concurrency=1)
        summary = evaluate(player, TASK, Evaluation(episodes=4, turns=1), progress=False)
    assert (summary["episodes"]["failed"], summary["episodes"]["stopped"]) == (2, 2)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("value", "tokens"),
    [
        ("1e999", 0),
        ("9" * 400, 0),
        ("-5", 0),
        ("true", 0),
        ("[1]", 0),
        ('"7"', 0),
        ("null", 0),
        ("NaN", 0),
        ("2.5", 0),
        ("7", 7),
        ("7.0", 7),
    ],
)
def test_counts_of_tokens_are_whole_numbers_or_none(kind, value, tokens):
    def script(path, headers, body):
        text = json.dumps(said(path, TEXT))
        return Sent(
            body=text.replace("100", value)
            .replace(": 20", f": {value}")
            .replace(": 5}", f": {value}}}")
        )

    with Endpoint(script=script) as endpoint:
        how = Evaluation(episodes=1, turns=1)
        player = player_of(kind, endpoint, prices={"input": 1e6, "output": 1e6})
        spent = evaluate(player, TASK, how, progress=False)["spent"]
    assert (spent["input_tokens"], spent["output_tokens"], spent["cost"]) == (
        tokens,
        tokens,
        2 * tokens,
    )


def read(kind, **changes):
    """The answer in a body that differs so in its choice (or, for Anthropic, as a whole)."""
    body = json.loads(json.dumps(FORMS[kind]))
    (body["choices"][0] if kind == "api" else body).update(changes)
    return KINDS[kind][0]("m", "http://h/v1")._read(Reply(200, JSON, json.dumps(body).encode()))


def test_parts_of_a_content_are_put_together():
    parts = [
        {"type": "text", "text": None},
        {"type": "text", "text": "a"},
        "b",
        {"type": "image_url"},
        {"type": "thinking", "thinking": [{"text": "t"}]},
    ]
    assert read("api", message={"content": parts}).text == "ab"
    assert read("api", message={"content": parts}).reasoning == "t"
    assert read("api", message={"content": None}).text == ""
    assert read("api", message={"content": "x", "reasoning": "r"}).reasoning == "r"
    assert read("anthropic", content=parts).text == "ab"
    assert read("anthropic", content=[]).text == ""


WORDS = {
    CUT: ("length", "max_tokens", "MAX_TOKENS", "model_context_window_exceeded", "Length"),
    REFUSED: (
        "content_filter",
        "refusal",
        "SAFETY",
        "PROHIBITED_CONTENT",
        "BLOCKLIST",
        "content_filter: RECITATION",
        "IMAGE_SAFETY",
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_cut_and_refused_replies_are_told_by_one_word_each(kind):
    field = "finish_reason" if kind == "api" else "stop_reason"
    for word, theirs in WORDS.items():
        assert {read(kind, **{field: one}).finish for one in theirs} == {word}
    for word in ("stop", "end_turn", "tool_calls", "STOP", ""):
        assert read(kind, **{field: word}).finish == word
    for word in (None, 5, ["length"]):
        assert read(kind, **{field: word}).finish == ""


def test_what_a_refusal_says_is_the_reply_where_there_is_no_other():
    refused = read("api", message={"content": None, "refusal": "I can't help with that."})
    assert (refused.text, refused.finish) == ("I can't help with that.", REFUSED)
    refused = read("api", message={"content": "Well.", "refusal": "I can't."})
    assert (refused.text, refused.finish) == ("Well.", REFUSED)
    details = {"type": "refusal", "category": "cyber", "explanation": "Not this."}
    refused = read("anthropic", content=[], stop_reason="refusal", stop_details=details)
    assert (refused.text, refused.finish) == ("Not this.", REFUSED)
    assert read("anthropic", content=[], stop_reason="refusal").text == ""


ERRORS = {
    "api": [
        (
            {
                "choices": [
                    {
                        "finish_reason": "error",
                        "error": {"code": 502, "message": "gone"},
                        "message": {"content": ""},
                    }
                ]
            },
            True,
        ),
        (
            {
                "choices": [
                    {
                        "finish_reason": "stop",
                        "error": {"message": "gone"},
                        "message": {"content": "half of"},
                    }
                ]
            },
            True,
        ),
        ({"choices": [{"finish_reason": "error", "message": {"content": TEXT}}]}, True),
        ({"choices": [{"finish_reason": "abort", "message": {"content": ""}}]}, True),
        ({"error": {"code": 429, "message": "slow down"}}, True),
        ({"error": {"code": "503", "message": "no room"}, "choices": []}, True),
        ({"error": "upstream"}, True),
        ({"error": {"code": 400, "message": "no"}}, False),
        ({"error": {"type": "invalid_request_error", "message": "no"}}, False),
    ],
    "anthropic": [
        ({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}, True),
        ({"type": "error"}, True),
        ({"type": "error", "error": {"type": "invalid_request_error", "message": "no"}}, False),
        ({"type": "message", "content": [], "stop_reason": "error"}, True),
    ],
}


@pytest.mark.parametrize(
    ("kind", "body", "again"), [(kind, *one) for kind, errors in ERRORS.items() for one in errors]
)
def test_an_error_within_a_reply_is_no_mistake_of_the_model(kind, body, again):
    with Endpoint(
        script=lambda *_: Sent(body=body) if len(endpoint.requests) == 1 else None
    ) as endpoint:
        answer = ask(player_of(kind, endpoint, retries=2))
    assert isinstance(answer, Answer)
    if again:
        assert (answer.failure, answer.attempts) == ("", 2)
    else:
        assert answer.failure.startswith("1 attempt: error within a reply: ")


def test_a_retry_after_may_be_a_number_or_a_date():
    now = 1_800_000_000
    date = formatdate(now, usegmt=True)
    for text, wait in (
        ("7", 7.0),
        ("0.5", 0.5),
        ("-3", 0.0),
        ("NaN", 0.0),
        ("soon", 0.0),
        ("", 0.0),
        ("1e999", math.inf),
    ):
        assert wait_in({"retry-after": text}) == wait
    assert wait_in({"retry-after": formatdate(now + 30, usegmt=True), "date": date}) == 30.0
    assert wait_in({"retry-after": formatdate(now - 30, usegmt=True), "date": date}) == 0.0
    assert 50 <= wait_in({"retry-after": formatdate(time.time() + 60, usegmt=True)}) <= 60
    assert wait_in({"retry-after": "Fri, 31 Feb 2099 99:99:99 GMT", "date": "x"}) == 0.0
    with Endpoint(
        script=lambda *_: (
            Sent(429, b"", {"Retry-After": date}) if len(endpoint.requests) == 1 else None
        )
    ) as endpoint:
        assert ask(player_of("api", endpoint)).failure == "", (
            "a date that is past, or far: bounded by most_backoff_seconds"
        )


def test_queries_of_an_address_are_sent_with_every_request():
    with Endpoint() as endpoint:
        ask(OpenAIPlayer("m", endpoint.url + "/openai/deployments/m/?api-version=2024-10-21"))
        assert (
            endpoint.requests[0][0]
            == "/openai/deployments/m/chat/completions?api-version=2024-10-21"
        )
        ask(AnthropicPlayer("m", endpoint.url + "/?x=1"))
        assert endpoint.requests[1][0] == "/v1/messages?x=1"
