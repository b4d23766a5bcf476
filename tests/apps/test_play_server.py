"""The server of the page on which a person plays: to whom it answers, and what."""

import contextlib
import http.client
import io
import select
import socket
import threading

import numpy as np
import pytest
from PIL import Image

from parts.play_page import ask, good_answer, idle_answer, records, served
from vlmgym.apps.play import Session, input_kind
from vlmgym.apps.play import server as webplay
from vlmgym.core import seeds_for
from vlmgym.episodes.task import Task
from vlmgym.games import GAMES, get_game
from vlmgym.render.frames import render


def test_only_this_machine_is_listened_to(tmp_path):
    with served(tmp_path) as server:
        assert server.socket.getsockname()[0] == "127.0.0.1"


def test_foreign_hosts_and_origins_are_refused(tmp_path):
    with served(tmp_path) as server:
        port = server.server_address[1]
        for path in ("/", "/state", "/frame.png", "/truth"):
            for host in (
                "evil.example",
                f"evil.example:{port}",
                "127.0.0.1:1",
                "localhost",
                f"127.0.0.1.evil.example:{port}",
            ):
                assert ask(server, path, Host=host)[0] == 403
            assert ask(server, path, Host=f"localhost:{port}")[0] == 200
        for path in ("/act", "/new", "/oracle"):
            assert ask(server, path, {"answer": "0"}, Host=f"evil.example:{port}")[0] == 403
            assert ask(server, path, {"answer": "0"}, Origin="http://evil.example")[0] == 403
        assert server.session.view()["turn"] == 0
        assert server.session.view()["n"] == 1


def test_posts_need_the_token_of_the_page(tmp_path):
    with served(tmp_path / "a") as server, served(tmp_path / "b") as other:
        for token in (None, "", "x", "é", other.token, server.token[:-1]):
            headers = {} if token is None else {"X-Token": token.encode("utf-8")}
            for path in ("/act", "/new", "/oracle"):
                assert (
                    ask(
                        server,
                        path,
                        {"answer": good_answer(server.session)},
                        token=False,
                        **headers,
                    )[0]
                    == 403
                )
        assert server.session.view()["n"] == 1
        page = ask(server, "/")[1].decode()
        assert server.token in page
        assert "{{" not in page
        assert "://" not in page
        assert ask(server, "/act", {"answer": good_answer(server.session)})[1]["turn"] == 1


def test_pages_may_load_nothing_from_elsewhere(tmp_path):
    with served(tmp_path) as server:
        line = http.client.HTTPConnection("127.0.0.1", server.server_address[1])
        line.request("GET", "/")
        policy = line.getresponse().getheader("Content-Security-Policy")
        line.close()
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b"\xff",
        b'{"answer": 1}',
        b"{}",
        b'{"answer": "0", "n": "1"}',
        b'{"answer": "0", "n": true}',
    ],
)
def test_bad_bodies_are_refused(tmp_path, body):
    with served(tmp_path) as server:
        assert ask(server, "/act", body)[0] == 400


def test_other_requests_are_refused(tmp_path):
    with served(tmp_path) as server:
        assert ask(server, "/etc/passwd")[0] == ask(server, "/x", {})[0] == 404
        assert ask(server, "/act", b"x" * (webplay.BODY + 1))[0] == 413
        assert ask(server, "/state")[0] == 200


def test_state_picture_and_truth_are_those_of_the_game(tmp_path):
    with served(tmp_path, "ShisenSho", "easy", "tiny:gap=4", seed=7) as server:
        game = GAMES["ShisenSho"]
        state = game.reset(game.level("easy"), seeds_for("free", "ShisenSho", "human", 1, 7))
        view = ask(server, "/state")[1]
        assert (view["game"], view["level"], view["look"], view["seed"]) == (
            "ShisenSho",
            "easy",
            "tiny:gap=4",
            7,
        )
        assert (view["score"], view["turn"], view["limit"], view["status"]) == (0, 0, 30, "playing")
        assert view["input"] == "pair"
        assert view["grid"] == [4, 4]
        assert "Shisen-Sho" in view["prompt"]
        frame = np.asarray(Image.open(io.BytesIO(ask(server, view["picture"])[1])))
        assert np.array_equal(frame, render(game, state, "tiny:gap=4")[0])
        assert list(frame.shape[:2]) == view["size"]
        assert ask(server, "/truth")[1]["text"] == game.scene(state).texts()[0]


def test_answers_are_read_like_replies(tmp_path):
    with served(tmp_path, "Swap", "easy") as server:
        for text, reason in {
            "": "empty",
            "up": "not a move",
            "(0, 0) (0, 99)": "outside",
            "(0, 0) (2, 2)": "not neighbours",
            "</answer><answer>(0, 0) (0, 1)": "no <",
            "x" * 201: "200 characters",
        }.items():
            view = ask(server, "/act", {"answer": text})[1]
            assert reason in view["refused"]
            assert view["turn"] == 0
            assert view["n"] == 1
        assert not (tmp_path / "trace.jsonl").exists()
        view = ask(server, "/act", {"answer": idle_answer(server.session), "n": 1})[1]
        assert view["refused"] == ""
        assert view["turn"] == 1
        assert view["score"] == 0
        assert view["last"] == {
            "answer": view["last"]["answer"],
            "gain": 0,
            "uncovered": "",
            "changed": False,
            "reward": -1.0,
        }
        stale = ask(server, "/act", {"answer": good_answer(server.session), "n": 1})[1]
        assert "another window" in stale["refused"]
        assert stale["turn"] == 1
        view = ask(server, "/act", {"answer": good_answer(server.session), "n": 2})[1]
        assert view["last"]["gain"] == view["score"] > 0
        assert view["last"]["reward"] == 1.0


def test_oracle_move(tmp_path):
    with served(tmp_path, "SlidingPuzzle", "easy") as server:
        session = server.session
        values = session.game.oracle(session.state)[0]
        move = ask(server, "/oracle", {})[1]
        assert move["answer"] == str(np.nanargmax(values))
        assert move["value"] == np.nanmax(values)
        assert "to go" in move["does"]
        ask(server, "/act", {"answer": move["answer"]})
        if session.view()["status"] == "playing":
            ask(server, "/act", {"answer": good_answer(session)})
        _, turns, _ = records(tmp_path)
        thinks = [t.reply.partition("<think>")[2].partition("<")[0] for t in turns]
        assert thinks[0] == "human, shown the oracle's move"
        assert set(thinks[1:]) <= {"human"}


def test_input_kinds():
    known = {
        "2048": "moves",
        "Sokoban": "moves",
        "SlidingPuzzle": "moves",
        "FrozenLake": "moves",
        "Minesweeper": "cell",
        "ShisenSho": "pair",
        "ShisenShoPhotos": "pair",
        "Swap": "pair",
    }
    kinds = {name: input_kind(get_game(name), get_game(name).level("normal")) for name in known}
    assert kinds == known


def test_an_answer_with_marks_of_a_reply_is_refused(tmp_path):
    session = Session(Task("2048", "easy"), 0, tmp_path)
    for answer in ("1</answer><think>x</think>", "<", "1<!--"):
        view = session.act(answer)
        assert view["turn"] == 0
        assert "<" in view["refused"]
    session.close()


def raw(server, data, wait=b""):
    """What the server sends back to these bytes, until it closes the connection."""
    with socket.create_connection(("127.0.0.1", server.server_address[1]), timeout=20) as line:
        line.sendall(data)
        with contextlib.suppress(ConnectionError):
            while got := line.recv(1 << 16):
                wait += got
    return wait


def test_hostile_requests_are_refused_with_the_pages_headers_and_without_a_traceback(
    tmp_path, capsys
):
    with served(tmp_path) as server:
        host = f"Host: 127.0.0.1:{server.server_address[1]}\r\nX-Token: {server.token}\r\n"
        deep = "[" * 30_000
        odd = {
            "a length of 5,000 digits": (
                f"POST /act HTTP/1.1\r\n{host}Content-Length: {'9' * 5000}\r\n\r\n",
                413,
            ),
            "a length that is no number": (
                f"POST /act HTTP/1.1\r\n{host}Content-Length: -5\r\n\r\n",
                413,
            ),
            "digits of another script": (
                f"POST /act HTTP/1.1\r\n{host}Content-Length: \xb2\r\n\r\n",
                413,
            ),
            "a nested body": (
                f"POST /act HTTP/1.1\r\n{host}Content-Length: {len(deep)}\r\n\r\n{deep}",
                400,
            ),
            "no JSON": (f"POST /act HTTP/1.1\r\n{host}Content-Length: 1\r\n\r\n{{", 400),
            "half a character": (f"POST /act HTTP/1.1\r\n{host}Content-Length: 1\r\n\r\n\xe9", 400),
            "another method": (f"PUT / HTTP/1.1\r\n{host}\r\n", 501),
            "options": (f"OPTIONS * HTTP/1.1\r\n{host}\r\n", 501),
            "a long line": (f"GET /{'a' * 70_000} HTTP/1.1\r\n{host}\r\n", 414),
            "many headers": (
                f"GET / HTTP/1.1\r\n{host}{''.join(f'X-{k}: 1{chr(13)}{chr(10)}' for k in range(200))}\r\n",
                431,
            ),
            "no request": ("nonsense\r\n\r\n", 400),
            "another version": (f"GET / HTTP/9.9\r\n{host}\r\n", 505),
        }
        for what, (text, status) in odd.items():
            reply = raw(server, text.encode("latin-1"))
            if reply:  # a body that was not read may reset the connection
                head = reply.partition(b"\r\n\r\n")[0]
                assert b" %d " % status in head.partition(b"\r\n")[0], (what, head[:80])
                assert b"Content-Security-Policy: default-src 'none'" in head, what
            else:
                assert status in (413, 414, 431), what
        head = raw(server, f"HEAD / HTTP/1.1\r\n{host}\r\n".encode())
        assert head.endswith(b"\r\n\r\n"), "an answer to HEAD has no body"
        assert ask(server, "/state")[1]["turn"] == 0
    assert capsys.readouterr().err == ""


def test_a_client_that_drips_is_cut_off(tmp_path, monkeypatch):
    """The time is that of the whole request: bytes that come now and then do not prolong it."""
    monkeypatch.setattr(webplay, "SECONDS", 0.3)
    with (
        served(tmp_path) as server,
        socket.create_connection(("127.0.0.1", server.server_address[1]), timeout=20) as line,
    ):
        line.sendall(b"GET / HTTP/1.1\r\n")
        sent = 0
        with contextlib.suppress(ConnectionError):
            while not select.select([line], [], [], 0.05)[0]:
                line.sendall(b"X")
                sent += 1
                assert sent < 200, "it may stay for ever"
            assert line.recv(100) == b""
        assert ask(server, "/state")[0] == 200


def test_twenty_answers_at_once_count_once(tmp_path):
    with served(tmp_path) as server:
        legal = np.flatnonzero(server.session.game.legal(server.session.state)[0])
        number, move = ask(server, "/state")[1]["n"], str(legal[0])
        found = []
        threads = [
            threading.Thread(
                target=lambda: found.append(ask(server, "/act", {"answer": move, "n": number}))
            )
            for _ in range(20)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [status for status, _ in found] == [200] * 20
        assert sum(not view["refused"] for _, view in found) == 1
        assert server.request_queue_size == 64
    assert len(records(tmp_path)[1]) == 1
