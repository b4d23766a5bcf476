"""What endpoints send and what is told of it: bounded, of any form, and without a key."""

import asyncio
import base64
import gzip
import json
import math
import time
import tracemalloc
import zlib
from collections import Counter
from email.utils import formatdate

import pytest
from test_api import FAST, KINDS, TASK, ask, player_of

from parts.endpoint import CERTIFICATE, Endpoint, Sent, said
from parts.mutate import deep_text, json_mutations, mutations
from vlmgym.cli import main
from vlmgym.core import ConfigError
from vlmgym.evals.evaluation import evaluate
from vlmgym.evals.settings import Evaluation
from vlmgym.players.anthropic import AnthropicPlayer
from vlmgym.players.api_settings import ApiSettings
from vlmgym.players.base import CUT, REFUSED, Answer
from vlmgym.players.faults import ApiError, Fault
from vlmgym.players.openai import OpenAIPlayer
from vlmgym.players.requests import wait_in
from vlmgym.players.wire import ERROR_BYTES, Reply, Secrets, read_address

KEY = "sk-live-" + "".join(f"{(number * 7919) % 100:02d}x" for number in range(30))[:79]
JSON = {"content-type": "application/json"}
TEXT = "<perception>a board</perception><think>so be it</think><answer>1</answer>"


@pytest.fixture(autouse=True)
def _key(monkeypatch):
    for variable in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY"):
        monkeypatch.setenv(variable, KEY)
    for variable in (
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "ALL_PROXY",
        "NO_PROXY",
        "OPENAI_BASE_URL",
        "ANTHROPIC_BASE_URL",
    ):
        monkeypatch.delenv(variable, raising=False)
        monkeypatch.delenv(variable.lower(), raising=False)


def opened(kind, url, work, **settings):
    """The value of ``work(player)`` for a player whose line is open."""

    async def go():
        async with KINDS[kind][0](
            "m", url + KINDS[kind][1], None, ApiSettings(**{**FAST, **settings})
        ) as player:
            return work(player)

    return asyncio.run(go())


def told(player, status, body, headers=JSON):
    """All that is told of a reply: the answer, or why there is none."""
    try:
        answer = player._read(
            Reply(status, headers, body if isinstance(body, bytes) else body.encode())
        )
    except Fault as fault:
        return fault.reason
    return "\n".join([answer.text, answer.reasoning, answer.finish])


def leaks(text, secret, size=8):
    """Whether so many characters of a secret in a row stand in a text."""
    return any(secret[at : at + size] in text for at in range(len(secret) - size + 1))


# ---- keys
@pytest.mark.parametrize("kind", KINDS)
def test_an_echoed_key_is_never_told_wherever_it_stands(kind):
    """Cleaned first, cut afterwards: a key that the cut goes through would leave its first half."""

    def work(player):
        path = player._path("ask")
        for at in range(601):
            filler = "x" * at
            page = f"<html>{filler}{KEY} is no key</html>"
            reply = said(path, filler + KEY)
            whole = json.dumps(reply)
            reply["choices" if kind == "api" else "content"][0] |= {
                "finish_reason": filler + KEY,
                "thinking": filler + KEY,
            }
            reply["stop_reason"] = filler + KEY
            cases = [
                (500, json.dumps({"error": {"message": f"{filler}{KEY} is no key"}}), JSON),
                (401, json.dumps({"detail": f"{filler}{KEY} is no key"}), JSON),
                (200, page, {"content-type": "text/html"}),
                (502, page, {"content-type": "text/html"}),
                (200, "{" + filler + KEY + " is no key", JSON),
                (200, whole[: len(whole) // 2], JSON),
                (200, json.dumps({"error": {"code": 503, "message": filler + KEY}}), JSON),
                (200, json.dumps(reply), JSON),
                (200, json.dumps({filler + KEY: 1}), JSON),
                (200, "", {"content-type": filler + KEY}),
                (302, "", {"location": f"http://{filler}{KEY}@h/{filler}{KEY}?{KEY}"}),
            ]
            for status, body, headers in cases:
                text = told(player, status, body, headers)
                assert not leaks(text, KEY, 10), (at, status, body[:40], text)
        return True

    with Endpoint() as endpoint:
        assert opened(kind, endpoint.url, work)


@pytest.mark.parametrize("kind", KINDS)
def test_a_key_that_the_limit_of_an_error_cuts_through_is_not_told(kind):
    for at in range(ERROR_BYTES - len(KEY), ERROR_BYTES, 7):
        body = b" " * at + KEY.encode() + b" " * 100
        with Endpoint(script=lambda *_, body=body: Sent(500, body)) as endpoint:
            failure = ask(
                KINDS[kind][0]("m", endpoint.url, None, ApiSettings(**FAST, retries=0))
            ).failure
        assert not leaks(failure, KEY), at


@pytest.mark.parametrize("kind", KINDS)
def test_no_key_and_no_password_in_files_and_messages(kind, tmp_path, monkeypatch, capfd):
    """An endpoint that sends back all headers that it got, in a reply and in errors."""
    monkeypatch.setenv(
        "ANTHROPIC_CUSTOM_HEADERS", "X-Gateway: gateway-secret-5\nX-Auth: Bearer other-secret-6"
    )
    monkeypatch.setenv(
        "OPENAI_CUSTOM_HEADERS", "X-Gateway: gateway-secret-5\nX-Auth: Bearer other-secret-6"
    )
    secrets = [KEY, "pass word/1234", "pass%20word%2F1234", "gateway-secret-5", "other-secret-6"]
    secrets += [base64.b64encode(b"user:pass word/1234").decode().rstrip("=")]
    seen = []

    def script(path, headers, body):
        echo = " ".join(f"{name}: {value}" for name, value in headers.items())
        echo += " ".join(
            [
                *secrets,
                json.dumps(secrets),
                KEY.lower(),
                "".join(f"\\u{ord(one):04x}" for one in KEY),
            ]
        )
        seen.append(headers)
        content = said(path, echo)
        return (
            Sent(body=content)
            if len(seen) % 2
            else Sent(500, {"error": {"message": echo, "code": "x"}})
        )

    with Endpoint(script=script) as endpoint:
        address = (
            endpoint.url.replace("://", "://user:pass%20word%2F1234@")
            + KINDS[kind][1]
            + "?api-key=query-secret-7"
        )
        words = [
            "eval",
            "--player",
            f"{kind}:m",
            "--base-url",
            address,
            "--game",
            "2048",
            "--level",
            "tiny",
            "--look",
            "tiny",
        ]
        words += [
            "--episodes",
            "2",
            "--turns",
            "2",
            "--api",
            "backoff_seconds=0.01",
            "--out",
            str(tmp_path),
        ]
        assert main(words) == 0
        assert {path.partition("?")[2] for path, _, _ in endpoint.requests} == {
            "api-key=query-secret-7"
        }
    assert seen[0]["X-Gateway"] == "gateway-secret-5"
    assert seen[0]["Authorization"] == "Basic " + base64.b64encode(b"user:pass word/1234").decode()
    shown = capfd.readouterr()
    texts = [path.read_text() for path in tmp_path.rglob("*") if path.is_file()] + [
        shown.out,
        shown.err,
    ]
    for text in texts:
        assert not [
            one for one in [*secrets, "query-secret-7"] if one in text or leaks(text, one, 12)
        ]
        assert KEY.lower() not in text


def test_an_address_that_is_none_is_refused_without_its_password():
    wrong = (
        "ftp://user:secretpassword@h",
        "user:secretpassword@h/v1",
        "http://user:secret/password@h/v1",
        "http://",
        "h:8000/v1",
    )
    wrong += (
        "http://user:12/secretpassword@h/v1",
        "http://[::1",
        "http://user:secretpassword@h:x/v1",
        "http://h:99999",
        "http://h\n/v1",
    )
    wrong += (
        "http://user:secret?password@h",
        "http://user:secret#password@h",
        "http://h/ v1",
        "http://h:0",
        "secretpassword@http://h",
    )
    for text in wrong:
        with pytest.raises(ConfigError, match="base_url") as error:
            OpenAIPlayer("m", text)
        assert "secret" not in str(error.value)
        assert "password@" not in str(error.value)


def test_addresses_are_read_as_they_are_written():
    one = read_address("https://user:p%40ss@h.example:8443/v1/?api-version=2024-10-21")
    assert (one.base, one.query, one.login) == (
        "https://h.example:8443/v1",
        "api-version=2024-10-21",
        "user:p@ss",
    )
    assert one.at("/models") == "https://h.example:8443/v1/models?api-version=2024-10-21"
    assert not one.local
    local = ("localhost", "127.0.0.1", "127.8.8.8", "[::1]", "LOCALHOST", "me.localhost", "0.0.0.0")
    assert [read_address(f"http://{host}:1/v1").local for host in local] == [True] * 7
    far = ("10.0.0.1", "localhost.example.com", "192.168.0.1", "[fe80::1]")
    assert [read_address(f"http://{host}:1/v1").local for host in far] == [False] * 4


def test_short_placeholders_are_no_keys(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    with Endpoint(share=1.0, faults=("wrong type",)) as endpoint:
        assert (
            "a reply of type text/html, not JSON: <html>bad gateway"
            in ask(player_of("api", endpoint, retries=0)).failure
        )
    monkeypatch.setenv("OPENAI_API_KEY", "e")
    with Endpoint(reply=lambda _: TEXT) as endpoint:
        assert ask(player_of("api", endpoint)).text == TEXT
    monkeypatch.delenv("OPENAI_API_KEY")
    with Endpoint() as endpoint:
        ask(player_of("api", endpoint))
        assert "Authorization" not in endpoint.requests[0][1]
    assert Secrets(["", "1234567"]).clean("1234567 1234567") == "1234567 1234567"


# ---- sizes, time
def endless(piece=b"x" * 65_536, most=64_000_000):
    """Pieces of a body of 64 MB."""
    return (piece for _ in range(most // len(piece)))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("status", [200, 400, 401, 500])
def test_an_endless_reply_is_not_read_to_its_end(kind, status):
    with Endpoint(script=lambda *_: Sent(status, endless())) as endpoint:
        player = player_of(kind, endpoint, retries=0, reply_bytes=1_000_000)
        if status == 401:
            with pytest.raises(ApiError, match="401: xxx"):
                ask(player)
        else:
            failure = ask(player).failure
            assert (
                "a reply of more than 1000000 bytes" if status == 200 else f"{status}: xxx"
            ) in failure
            assert len(failure) < 700
        assert endpoint.bytes < 32_000_000, "what stands in the buffers of two sockets, at most"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("status", [200, 400, 500])
@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_a_packed_reply_is_unpacked_no_further_than_its_limit(kind, status, coding):
    bomb = (gzip.compress if coding == "gzip" else zlib.compress)(b"x" * 64_000_000)
    assert len(bomb) < 100_000
    with Endpoint(script=lambda *_: Sent(status, bomb, {"Content-Encoding": coding})) as endpoint:
        player = player_of(kind, endpoint, retries=0, reply_bytes=1_000_000)
        tracemalloc.start()
        failure = ask(player).failure
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert ("a reply of more than 1000000 bytes" if status == 200 else f"{status}: xxx") in failure
    assert most < 16_000_000


@pytest.mark.parametrize("kind", KINDS)
def test_a_packed_reply_is_read_and_a_foreign_packing_is_a_fault(kind):
    def failure(coding, pack):
        def script(path, headers, body):
            assert headers["Accept-Encoding"] == "identity"
            return Sent(
                body=pack(json.dumps(said(path, TEXT)).encode()),
                headers={"Content-Encoding": coding},
            )

        with Endpoint(script=script) as endpoint:
            return ask(player_of(kind, endpoint, retries=0)).failure

    assert (
        failure("gzip", gzip.compress)
        == failure("identity", bytes)
        == failure("deflate", zlib.compress)
        == ""
    )
    assert "decompress" in failure("gzip", bytes)
    assert "breaks off" in failure("gzip", lambda data: gzip.compress(data)[:-9])
    assert "packed as 'br'" in failure("br", bytes)


def dripping(first, more):
    """A piece now and then, for ever; each would begin a time limit anew that is on single
    reads.
    """
    yield first
    while True:
        time.sleep(0.05)
        yield more


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("how", ["never", "dripping body", "dripping error", "dripping head"])
def test_what_never_ends_ends_with_the_time_limit_of_an_attempt(kind, how):
    def script(path, headers, body):
        if how == "never":
            endpoint.over.wait(10)
        if how == "dripping head":
            return Sent(0, dripping(b"HTTP/1.1 200 OK\r\n", b"X-More: 1\r\n"))
        return Sent(500 if "error" in how else 200, dripping(b" ", b" "))

    with Endpoint(script=script) as endpoint:
        assert ask(player_of(kind, endpoint, request_seconds=0.4, retries=1)).failure == (
            "2 attempts; the last: no answer in time"
        )


@pytest.mark.parametrize("kind", KINDS)
def test_a_cut_line_is_noticed_at_once_and_named(kind):
    for fault, why in (
        ("cut", "RemoteProtocolError"),
        ("reset", "ReadError: connection reset by peer at 127.0.0.1"),
    ):
        with Endpoint(share=1.0, faults=(fault,)) as endpoint:
            failure = ask(player_of(kind, endpoint, retries=1, request_seconds=60.0)).failure
        assert failure.startswith(f"2 attempts; the last: {why}"), failure


# ---- where it goes
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_not_followed(kind, status):
    with Endpoint() as other:
        target = {"Location": f"{other.url}/v1/chat/completions?key={KEY}"}
        with Endpoint(
            script=lambda *_: Sent(status, b"", target), models=Sent(status, b"", target)
        ) as endpoint:
            failure = ask(player_of(kind, endpoint)).failure
            assert len(endpoint.requests) == 1
        assert (
            f"{status}: redirected to {other.url}/v1/chat/completions; nothing is sent there"
            in failure
        )
        assert other.lines == 0


@pytest.mark.parametrize("kind", KINDS)
def test_a_certificate_that_nobody_vouches_for_is_refused_before_anything_is_sent(kind):
    with Endpoint(tls=True) as endpoint:
        player = player_of(kind, endpoint)
        for work in (
            player.check,
            lambda: ask(player),
            lambda: evaluate(player, TASK, Evaluation(episodes=3), progress=False),
        ):
            lines = endpoint.lines
            with pytest.raises(
                ApiError,
                match=r"certificate of 127\.0\.0\.1:\d+ is not accepted "
                r"\(self-signed certificate\)",
            ):
                work()
            assert endpoint.lines == lines + 1, "once, and not again"
        assert endpoint.requests == endpoint.lists == []


def test_a_trusted_certificate_is_accepted(monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
    with Endpoint(tls=True) as endpoint:
        assert ask(player_of("api", endpoint)).failure == ""


def test_https_where_there_is_none_is_said():
    with (
        Endpoint() as endpoint,
        pytest.raises(
            ApiError, match=r"ConnectError: no TLS at 127\.0\.0\.1:\d+ \(wrong version " r"number\)"
        ),
    ):
        OpenAIPlayer(
            "m", endpoint.url.replace("http:", "https:"), None, ApiSettings(**FAST)
        ).check()


@pytest.mark.parametrize("kind", KINDS)
def test_proxies_are_for_other_machines_only(kind, monkeypatch):
    with Endpoint() as proxy, Endpoint() as endpoint:
        for variable in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(variable, proxy.url)
        assert ask(player_of(kind, endpoint)).failure == ""
        assert proxy.lines == 0
        player = KINDS[kind][0](
            "m", f"http://model.example{KINDS[kind][1]}", None, ApiSettings(**FAST)
        )
        notes = []
        player.on_fault = notes.append
        assert ask(player).failure == "", "the proxy answers in its place"
        assert proxy.requests[0][0].startswith("http://model.example/v1/")
        assert notes[0] == "m: the key goes to model.example over plain http, readable on its way"
        monkeypatch.delenv(KINDS[kind][0].key_variable)
        quiet = KINDS[kind][0](
            "m", f"http://model.example{KINDS[kind][1]}", None, ApiSettings(**FAST)
        )
        assert (ask(quiet).failure, quiet.notes) == ("", [])


def test_a_proxy_that_cannot_be_used_is_a_sentence(monkeypatch):
    for proxy in (
        "socks://user:secretpassword@localhost:1080",
        "socks5://localhost:1080",
        "http://[::1",
        "foo://x",
    ):
        monkeypatch.setenv("ALL_PROXY", proxy)
        with pytest.raises(ConfigError, match=r"ALL_PROXY = .*: allowed is http://") as error:
            OpenAIPlayer("m", "http://model.example/v1").check()
        assert "secret" not in str(error.value)
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    with pytest.raises(
        ApiError,
        match=r"connection refused at model\.example:80, by way of a " r"proxy of the environment",
    ):
        OpenAIPlayer("m", "http://model.example/v1", None, ApiSettings(**FAST)).check()


# ---- bodies
FORMS = {
    "api": {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1730000000,
        "model": "m",
        "choices": [
            {
                "index": 0,
                "message": {
                    "role": "assistant",
                    "content": TEXT,
                    "refusal": None,
                    "reasoning_content": "I looked.",
                },
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {
            "prompt_tokens": 812,
            "completion_tokens": 64,
            "total_tokens": 876,
            "completion_tokens_details": {"reasoning_tokens": 5},
        },
    },
    "anthropic": {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": [
            {"type": "thinking", "thinking": "I looked.", "signature": "x"},
            {"type": "text", "text": TEXT},
        ],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 812, "output_tokens": 64, "cache_read_input_tokens": 0},
    },
}


def fuzz(count, seed):
    """Bodies of replies, damaged as text and as JSON: each is an answer in range or a fault,
    whatever it holds.

    Returns:
        How many were tried, how many were answers, and how many were neither (``failures``).
    """
    found = Counter(tried=0, answers=0, failures=0)
    prices = {"input": 1e6, "output": 1e6}
    for number, (kind, form) in enumerate(FORMS.items()):
        player = KINDS[kind][0]("m", "http://h/v1", None, None, prices)
        share = count // len(FORMS) // 2
        bodies = [json.dumps(form, indent=None if seed % 2 else 1).encode()]
        bodies += (json.dumps(one).encode() for one in json_mutations(form, share, seed + number))
        bodies += mutations(bodies[0], share, seed + number)
        for body in bodies:
            status = (200, 200, 200, 400, 500, 302)[found["tried"] % 6]
            found["tried"] += 1
            try:
                answer = player._priced(
                    player._read(
                        Reply(status, {**JSON, "retry-after": body[:20].decode("latin-1")}, body)
                    ),
                    1,
                    0.0,
                )
            except Fault as fault:
                found["failures"] += not (fault.reason.isprintable() and len(fault.reason) < 800)
            except Exception:  # noqa: BLE001 - that is what is counted
                found["failures"] += 1
            else:
                tokens = (answer.input_tokens, answer.output_tokens, answer.reasoning_tokens)
                good = all(
                    type(one) is int and 0 <= one <= 10**9 for one in tokens
                ) and math.isfinite(answer.cost)
                good &= all(
                    isinstance(one, str) for one in (answer.text, answer.reasoning, answer.finish)
                )
                found["answers"] += 1
                found["failures"] += (
                    not good or not json.dumps(answer.text, ensure_ascii=False).encode()
                )
    return dict(found)


def test_any_body_is_an_answer_or_a_fault_of_its_request_alone():
    found = fuzz(4000, 1)
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
