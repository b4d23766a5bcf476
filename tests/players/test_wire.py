"""What endpoints send is bounded in size and time, and goes nowhere else."""

import gzip
import json
import time
import tracemalloc
import zlib

import pytest

from parts.api_players import FAST, KINDS, TASK, TEXT, ask, player_of
from parts.endpoint import CERTIFICATE, KEY, Endpoint, Sent, said
from vlmgym.core import ConfigError
from vlmgym.evals.evaluation import evaluate
from vlmgym.evals.settings import Evaluation
from vlmgym.players.api_settings import ApiSettings
from vlmgym.players.faults import ApiError
from vlmgym.players.openai import OpenAIPlayer


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
