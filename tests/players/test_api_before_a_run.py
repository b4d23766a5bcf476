"""What is asked of an endpoint before a run, and what is no fault of it."""

import json

import pytest

from parts.api_players import FAST, KINDS, TASK, ask, endpoint_answer, player_of
from parts.endpoint import KEY, Endpoint, Sent, said
from vlmgym.core import ConfigError
from vlmgym.evals.evaluation import evaluate
from vlmgym.evals.settings import Evaluation
from vlmgym.players.api_settings import ApiSettings
from vlmgym.players.faults import ApiError
from vlmgym.players.messages import NO_REPLY
from vlmgym.render.sources import PhotoError


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
    with Endpoint(models=Sent(401, {"error": f"Incorrect API key provided: {KEY}"})) as endpoint:
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
