"""Keys and passwords are never told; addresses are read as they are written."""

import base64
import json

import pytest

from parts.api_players import FAST, JSON, KINDS, TEXT, ask, opened, player_of, told
from parts.endpoint import KEY, Endpoint, Sent, said
from vlmgym.cli import main
from vlmgym.core import ConfigError
from vlmgym.players.api_settings import ApiSettings
from vlmgym.players.openai import OpenAIPlayer
from vlmgym.players.wire import ERROR_BYTES, Secrets, read_address


def leaks(text, secret, size=8):
    """Whether so many characters of a secret in a row stand in a text."""
    return any(secret[at : at + size] in text for at in range(len(secret) - size + 1))


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
