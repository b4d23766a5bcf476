"""The page on which a person plays: its server, its trace, and real clicks and keys in a
browser.
"""

import contextlib
import http.client
import io
import json
import os
import resource
import select
import signal
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager

import gymnasium
import numpy as np
import pytest
from PIL import Image

from parts.chromium import Chromium
from vlmgym.apps.play import Server, Session, input_kind
from vlmgym.apps.play import server as webplay
from vlmgym.core import ConfigError, seeds_for
from vlmgym.dialogue.perception import NO_TRUTH
from vlmgym.episodes.records import Episode, EvaluationRun, Turn
from vlmgym.episodes.task import Task
from vlmgym.episodes.trace import TraceWriter, read_trace
from vlmgym.evals.metrics import summarise
from vlmgym.games import GAMES, get_game
from vlmgym.games.parts.actions import read_pair
from vlmgym.render.frames import render


@contextmanager
def served(folder, game="2048", level="easy", look="clean", seed=0):
    session = Session(Task(game, level, look), seed, folder)
    server = Server(session)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        session.close()


def ask(server, path, values=None, token=True, **headers):
    """Status and content: JSON as a dict, everything else as bytes."""
    port = server.server_address[1]
    line = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    headers = {
        "Host": f"127.0.0.1:{port}",
        **({"X-Token": server.token} if token is True else {}),
        **headers,
    }
    body = None if values is None else values if isinstance(values, bytes) else json.dumps(values)
    line.request("GET" if values is None else "POST", path, body, headers)
    reply = line.getresponse()
    data = reply.read()
    line.close()
    return reply.status, json.loads(data) if "json" in reply.getheader("Content-Type") else data


def records(folder):
    found = list(read_trace(folder / "trace.jsonl"))
    return [[r for r in found if isinstance(r, kind)] for kind in (EvaluationRun, Turn, Episode)]


def good_answer(session):
    """The text of an action that succeeds now."""
    action = int(np.argmax(session.game.success_mask(session.state)[0]))
    return session.game.encode(session.level, action)


def idle_answer(session):
    """The text of an action that changes nothing now."""
    return session.game.encode(session.level, int(np.argmin(session.game.legal(session.state)[0])))


# ---- server
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


# ---- trace
@pytest.mark.parametrize("name", list(GAMES))
def test_a_game_to_its_end_is_an_ordinary_trace(tmp_path, name):
    with served(tmp_path, name, "easy:max_steps=5") as server:
        for turn in range(5):
            if server.session.view()["status"] != "playing":
                break
            view = ask(server, "/act", {"answer": ask(server, "/oracle", {})[1]["answer"]})[1]
            assert view["turn"] == turn + 1
            assert not view["refused"]
        assert view["status"] in ("terminated", "truncated")
        assert (
            "has ended"
            in ask(server, "/act", {"answer": good_answer(server.session)})[1]["refused"]
        )
        assert ask(server, "/oracle", {})[1]["answer"] is None
        (run,), turns, (episode,) = records(tmp_path)
        assert (run.player, run.game, run.level, run.look) == (
            "human",
            name,
            "easy:max_steps=5",
            "clean",
        )
        assert (episode.turns, episode.score, episode.end) == (
            len(turns),
            view["score"],
            view["status"],
        )
        assert episode.reward == sum(t.terms["game"] for t in turns)
        assert [t.turn for t in turns] == list(range(len(turns)))
        assert all(
            t.terms["format"] == t.terms["perception"] == 1 and t.p_acc and t.seconds > 0
            for t in turns
        )
        assert turns[0].load()[1] == server.session.game.reset(
            server.session.level, seeds_for("free", name, "human", 1, 0)
        )
        summary = json.loads((tmp_path / "summary.json").read_text())
        assert summary["player"] == "human"
        assert summary["task"]["game"] == name
        assert summary["evaluation"]["episodes"] == 1
        assert summary["metrics"] == json.loads(
            json.dumps({k: v.to_dict() for k, v in summarise(turns, [episode]).items()})
        )
    assert len(records(tmp_path)[2]) == 1


def test_new_games_take_the_next_seeds_and_left_ones_are_stopped(tmp_path):
    with served(tmp_path, seed=3) as server:
        assert ask(server, "/new", {})[1]["seed"] == 4  # without turns: no episode
        ask(server, "/act", {"answer": good_answer(server.session)})
        assert ask(server, "/new", {})[1]["turn"] == 0
        ask(server, "/act", {"answer": good_answer(server.session)})
        ask(server, "/act", {"answer": good_answer(server.session)})
    _, turns, episodes = records(tmp_path)
    assert [(e.episode, e.turns, e.end) for e in episodes] == [(0, 1, "stopped"), (1, 2, "stopped")]
    assert [e.seed for e in episodes] == seeds_for("free", "2048", "human", 2, 4).tolist()
    assert [(t.episode, t.turn) for t in turns] == [(0, 0), (1, 0), (1, 1)]
    # rows of whole episodes only
    assert json.loads((tmp_path / "summary.json").read_text())["baselines"] == {}
    assert server.session.act("0")["refused"] == "the session has ended"


def test_without_a_turn_nothing_is_written(tmp_path):
    with served(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []


def test_later_sessions_continue_the_trace(tmp_path):
    for seed in (0, 1):
        with served(tmp_path, seed=seed) as server:
            ask(server, "/act", {"answer": good_answer(server.session)})
            assert server.session.folder == tmp_path
    runs, _, episodes = records(tmp_path)
    assert len(runs) == 1
    assert [e.episode for e in episodes] == [0, 1]
    assert json.loads((tmp_path / "summary.json").read_text())["evaluation"]["episodes"] == 2


def test_a_killed_session_is_closed_by_the_next(tmp_path):
    with served(tmp_path) as server:
        for _ in range(3):
            ask(server, "/act", {"answer": good_answer(server.session)})
        score = server.session.view()["score"]
        kept = (tmp_path / "trace.jsonl").read_bytes()
    whole = records(tmp_path)[2]
    (tmp_path / "trace.jsonl").write_bytes(kept + b'{"kind":"turn","epi')
    with served(tmp_path, seed=1) as server:
        ask(server, "/act", {"answer": good_answer(server.session)})
    _, turns, episodes = records(tmp_path)
    assert episodes[0] == whole[0]
    assert episodes[0].score == score
    assert [(e.episode, e.turns) for e in episodes] == [(0, 3), (1, 1)]
    assert len(turns) == 4


def test_foreign_or_damaged_traces_are_left_alone(tmp_path):
    out = tmp_path / "games"
    with served(out) as server:
        ask(server, "/act", {"answer": good_answer(server.session)})
    before = (out / "trace.jsonl").read_bytes()
    with served(out, "Swap") as server:
        assert server.session.folder == tmp_path / "games-2"
        ask(server, "/act", {"answer": good_answer(server.session)})
    (tmp_path / "games-2" / "trace.jsonl").write_text("no trace\n")
    with served(out, "Swap") as server:
        assert server.session.folder == tmp_path / "games-3"
    assert (out / "trace.jsonl").read_bytes() == before
    assert (tmp_path / "games-2" / "trace.jsonl").read_text() == "no trace\n"


def test_two_sessions_at_once_do_not_mix(tmp_path):
    out = tmp_path / "games"
    with served(out) as one, served(out) as two:
        for server in (one, two):
            ask(server, "/act", {"answer": good_answer(server.session)})
        assert two.session.folder == tmp_path / "games-2"
    for folder in (out, tmp_path / "games-2"):
        assert [e.episode for e in records(folder)[2]] == [0]


def test_bad_settings_are_named(tmp_path):
    for settings in (
        {"game": "chess"},
        {"level": "nightmare"},
        {"look": "ugly"},
        {"seed": -1},
        {"port": 70000},
    ):
        with pytest.raises(ConfigError):
            webplay.serve(
                **{"game": "2048", "level": "easy", "look": "clean", "out": tmp_path, **settings}
            )
    with served(tmp_path) as server, pytest.raises(ConfigError, match="port"):
        webplay.serve("2048", "easy", "clean", out=tmp_path, port=server.server_address[1])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_ends_cleanly(tmp_path, number):
    code = (
        "import sys, urllib.request, re, json\nfrom pathlib import Path\nfrom vlmgym.apps.play "
        "import serve\n"
        "def play(url):\n"
        '    token = re.search(\'name="token" content="(.*?)"\', '
        "urllib.request.urlopen(url).read().decode())[1]\n"
        "    for k in '0123':\n"
        "        body = json.dumps({'answer': k}).encode()\n"
        "        urllib.request.urlopen(urllib.request.Request(url + 'act', body, {'X-Token': "
        "token})).read()\n"
        "    print('played', flush=True)\n"
        "serve('2048', 'easy:rows=5', 'tiny', 0, Path(sys.argv[1]), ready=play)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert "http://127.0.0.1:" in process.stdout.readline()
            assert process.stdout.readline() == "played\n"
            process.send_signal(number)
            out, errors = process.communicate(timeout=20)
        finally:
            process.kill()
    assert process.returncode == 0
    assert errors == ""
    assert str(tmp_path) in out
    _, turns, (episode,) = records(tmp_path)
    assert len(turns) == 4
    assert episode.end == "stopped"
    assert (tmp_path / "summary.json").exists()


def screen_game():
    from vlmgym.games.external import from_gymnasium

    class Lamp(gymnasium.Env):
        observation_space, action_space, metadata = (
            gymnasium.spaces.Discrete(9),
            gymnasium.spaces.Discrete(2),
            {"render_modes": ["rgb_array"]},
        )

        def __init__(self, render_mode=None):
            self.render_mode, self.level = render_mode, 0

        def reset(self, seed=None, options=None):
            super().reset(seed=seed)
            self.level = 0
            return 0, {}

        def step(self, action):
            self.level = min(8, self.level + int(action))
            return self.level, float(action), self.level == 8, False, {}

        def render(self):
            return np.full((40, 60, 3), 30 * self.level, np.uint8)

    if "VlmgymTestLamp-v0" not in gymnasium.registry:
        gymnasium.register("VlmgymTestLamp-v0", Lamp, disable_env_checker=True)
    return from_gymnasium("VlmgymTestLamp-v0", {"wait & see": 0, "brighter": 1}, "This is Lamp.")


@pytest.fixture(scope="module")
def lamp():
    module = sys.modules[__name__]
    module.lamp_game = screen_game()
    return f"{__name__}:lamp_game"


def test_games_without_a_grid_have_buttons(tmp_path, lamp):
    with served(tmp_path, lamp, "easy") as server:
        view = ask(server, "/state")[1]
        assert view["input"] == "buttons"
        assert view["grid"] == [0, 0]
        assert view["size"] == [40, 60]
        assert view["actions"] == [["wait & see", "wait & see"], ["brighter", "brighter"]]
        assert ask(server, "/truth")[1]["text"] == NO_TRUTH
        assert ask(server, "/oracle", {})[1]["answer"] is None
        assert ask(server, "/act", {"answer": "Brighter"})[1]["score"] == 1
    (run,), (turn,), _ = records(tmp_path)
    assert run.game == lamp
    assert turn.terms["format"] == 1
    assert turn.p_acc is None
    assert get_game(lamp) is server.session.game


# ---- browser
READY = (
    "document.getElementById('picture').complete && "
    "document.getElementById('picture').naturalWidth > 0"
)


@pytest.fixture(scope="module")
def browser():
    with Chromium() as one:
        yield one


class TestBrowser:
    """Left out with VLMGYM_NO_BROWSER=1; without it, a missing browser is a failure."""

    __test__ = os.environ.get("VLMGYM_NO_BROWSER") != "1"

    @contextmanager
    def opened(self, browser, folder, *settings, width=1100, height=900):
        browser.errors.clear()
        browser.resize(width, height)
        with served(folder, *settings) as server:
            browser.open(server.url)
            browser.wait(f"location.href === {server.url!r} && view !== null && {READY}")
            yield server
            browser.run("new Promise(requestAnimationFrame)")
            assert browser.errors == []
            assert browser.run(
                "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
            )

    def place(self, browser, server, cell):
        """The middle of a tile on the page, by the tile boxes and the picture's own rectangle."""
        browser.run("document.getElementById('stage').scrollIntoView({block: 'nearest'})")
        x, y, width, height = browser.run(
            "(r => [r.x, r.y, r.width, "
            "r.height])(document.getElementById('picture').getBoundingClientRect())"
        )
        view = server.session.view()
        x0, y0, x1, y1 = view["boxes"][cell[0]][cell[1]]
        return x + (x0 + x1) / 2 * width / view["size"][1], y + (y0 + y1) / 2 * height / view[
            "size"
        ][0]

    def shown(self, browser, name):
        return browser.run(f"document.getElementById({name!r}).textContent")

    @pytest.mark.parametrize(
        ("look", "width"),
        [("clean", 1100), ("tiny", 1100), ("clean:tile=200", 400), ("paper", 700)],
    )
    def test_clicks_on_two_tiles_join_them(self, browser, tmp_path, look, width):
        with self.opened(browser, tmp_path, "ShisenSho", "normal", look, width=width) as server:
            r1, c1, r2, c2 = read_pair(good_answer(server.session))
            browser.click(*self.place(browser, server, (r1, c1)))
            browser.wait("document.querySelectorAll('#cells [aria-pressed=true]').length === 1")
            assert "is marked" in self.shown(browser, "message")
            assert server.session.view()["turn"] == 0
            browser.click(*self.place(browser, server, (r2, c2)))
            browser.wait("document.getElementById('score').textContent === '1'")
            assert self.shown(browser, "turn") == "1 / 60"
            assert "+1 (reward +1)" in self.shown(browser, "message")
            browser.wait(f"{READY} && document.getElementById('picture').src.endsWith('n=2')")
            assert not browser.run("document.querySelectorAll('#cells [aria-pressed=true]').length")
            _, (turn,), _ = records(tmp_path)
            assert turn.gain == 1
            assert turn.reply.endswith(f"<answer>({r1}, {c1}) ({r2}, {c2})</answer>")
            scale = (
                browser.run("document.getElementById('picture').getBoundingClientRect().width")
                / server.session.size[1]
            )
            assert (scale % 1 == 0) == browser.run(
                "document.getElementById('picture').classList.contains('crisp')"
            )
            assert look != "tiny" or scale >= 2
            if folder := os.environ.get("VLMGYM_SHOTS"):
                browser.click(*self.place(browser, server, (0, 0)))
                browser.screenshot(f"{folder}/play-shisen-{look.partition(':')[0]}-{width}.png")

    def test_a_second_click_takes_the_mark_off(self, browser, tmp_path):
        with self.opened(browser, tmp_path, "Swap", "easy") as server:
            for _ in range(2):
                browser.click(*self.place(browser, server, (1, 1)))
            browser.wait("document.getElementById('message').textContent.includes('taken off')")
            browser.click(*self.place(browser, server, (0, 0)))
            browser.click(*self.place(browser, server, (2, 2)))
            browser.wait("document.getElementById('message').classList.contains('bad')")
            assert "not neighbours" in self.shown(browser, "message")
            assert server.session.view()["turn"] == 0

    def test_arrow_keys_move(self, browser, tmp_path):
        with self.opened(browser, tmp_path, "2048", "normal") as server:
            keys = ["ArrowUp", "ArrowRight", "ArrowDown", "ArrowLeft"]
            game, state = server.session.game, server.session.state
            score, turns = 0, 0
            while not score:  # until something merges
                action = int(np.nanargmax(game.oracle(state)[0]))
                browser.key("wdsa"[action] if turns % 2 else keys[action])
                turns += 1
                browser.wait(f"document.getElementById('turn').textContent === '{turns} / 100'")
                state, _ = game.step(state, np.array([action]))
                score = int(state.score[0])
            assert self.shown(browser, "score") == str(score)
            assert server.session.state == state
            assert sum(t.gain for t in records(tmp_path)[1]) == score
            assert len(records(tmp_path)[1]) == turns
            if folder := os.environ.get("VLMGYM_SHOTS"):
                browser.click_on("#oracle")
                browser.click_on("#truth")
                browser.wait(
                    "document.getElementById('hint').textContent && "
                    "document.getElementById('board').textContent"
                )
                browser.screenshot(f"{folder}/play-2048.png")

    def test_every_key_is_its_move(self, browser, tmp_path):
        with self.opened(browser, tmp_path, "2048", "hard"):
            for turn, key in enumerate(
                ("ArrowUp", "ArrowRight", "ArrowDown", "ArrowLeft", *"wdsa")
            ):
                browser.key(key)
                browser.wait(f"document.getElementById('turn').textContent === '{turn + 1} / 300'")
            assert [t.action for t in records(tmp_path)[1]] == [0, 1, 2, 3, 0, 1, 2, 3]

    def test_cells_without_a_mouse(self, browser, tmp_path):
        with self.opened(browser, tmp_path, "Minesweeper", "easy") as server:
            browser.key("ArrowRight")  # puts the focus on the first tile
            browser.key("ArrowRight")
            browser.key("ArrowDown")
            assert browser.run("document.activeElement.getAttribute('aria-label')") == (
                "row 1, column 1"
            )
            assert browser.run("getComputedStyle(document.activeElement).outlineStyle") == "solid"
            browser.key("Enter")
            browser.wait("document.getElementById('turn').textContent.startsWith('1 ')")
            assert records(tmp_path)[1][0].action == server.session.level.cols + 1
            assert browser.run("document.activeElement.getAttribute('aria-label')") == (
                "row 1, column 1"
            )

    def test_typed_answers_buttons_and_new_games(self, browser, tmp_path):
        with self.opened(
            browser, tmp_path, "Sokoban", "easy", "clean", width=400, height=800
        ) as server:
            browser.run("document.getElementById('answer').focus()")
            browser.type("<img src=x onerror=alert(1)>")
            browser.key("Enter")
            browser.wait("document.getElementById('message').classList.contains('bad')")
            assert server.session.view()["turn"] == 0
            browser.run("document.getElementById('answer').select()")
            browser.key("w")  # typed, not played
            browser.key("Enter")
            browser.wait("document.getElementById('message').textContent.includes('not a move')")
            assert server.session.view()["turn"] == 0
            browser.run("document.getElementById('answer').select()")
            browser.type(good_answer(server.session))
            browser.key("Enter")
            browser.wait("document.getElementById('turn').textContent.startsWith('1 ')")
            assert browser.run("document.getElementById('answer').value") == ""
            browser.click_on("#pad button:nth-child(3)")
            browser.wait("document.getElementById('turn').textContent.startsWith('2 ')")
            assert records(tmp_path)[1][1].action == 2
            browser.click_on("#truth")
            browser.wait("document.getElementById('board').textContent.includes('wall|')")
            browser.click_on("#oracle")
            browser.wait("document.getElementById('hint').textContent.startsWith('Oracle: ')")
            if folder := os.environ.get("VLMGYM_SHOTS"):
                browser.screenshot(f"{folder}/play-sokoban-400.png")
            browser.click_on("#new")
            browser.wait("document.getElementById('turn').textContent.startsWith('0 ')")
            assert "game 1" in self.shown(browser, "settings")
            assert self.shown(browser, "hint") == ""
            assert records(tmp_path)[2][0].end == "stopped"

    def test_the_end_of_a_game_is_told(self, browser, tmp_path):
        with self.opened(browser, tmp_path, "2048", "easy:max_steps=1"):
            browser.key("ArrowUp")
            browser.wait(
                "document.getElementById('message').textContent.includes('turn limit is reached')"
            )
            browser.key("ArrowUp")
            browser.wait("document.getElementById('message').textContent.includes('has ended')")

    def test_buttons_of_games_without_a_grid(self, browser, tmp_path, lamp):
        with self.opened(browser, tmp_path, lamp, "easy"):
            assert browser.run(
                "[...document.querySelectorAll('#pad button')].map(b => b.textContent)"
            ) == [
                "wait & see",
                "brighter",
            ]
            browser.click_on("#pad button:nth-child(2)")
            browser.wait("document.getElementById('score').textContent === '1'")
            assert records(tmp_path)[1][0].action == 1

    def test_an_ended_server_is_told(self, browser, tmp_path):
        with self.opened(browser, tmp_path, "2048", "easy"):
            pass
        browser.key("ArrowUp")
        browser.wait("document.getElementById('message').textContent.includes('does not answer')")


@contextmanager
def full_disk(file):
    """No file can grow beyond the size that this one has now, plus some bytes of a line."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(
        resource.RLIMIT_FSIZE, (file.stat().st_size + 40 if file.exists() else 40, hard)
    )
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_turn_that_cannot_be_written_is_not_played(tmp_path):
    session = Session(Task("2048", "easy"), 0, tmp_path)
    moves = [str(a) for a in np.flatnonzero(session.game.legal(session.state)[0])]
    with full_disk(session._trace):  # before there is a trace at all
        before = session.view()
        with pytest.raises(OSError, match="large"):
            session.act(moves[0])
        assert session.view() == before
    session.act(moves[0])
    with full_disk(session._trace):
        before, content = session.view(), session._trace.read_bytes()
        for _ in range(3):
            with pytest.raises(OSError, match="large"):
                session.act(moves[0])
        assert session.view() == before
        assert session._trace.read_bytes() == content
    for _ in range(2):
        session.act(next(str(a) for a in np.flatnonzero(session.game.legal(session.state)[0])))
    session.close()
    runs, turns, episodes = records(tmp_path)
    assert [turn.turn for turn in turns] == [0, 1, 2]
    assert (len(runs), len(episodes), episodes[0].turns) == (1, 1, 3)
    assert json.loads((tmp_path / "summary.json").read_text())["metrics"]["reward"]["n"] == 1


def test_the_end_of_a_game_is_written_when_there_is_room_again(tmp_path, monkeypatch):
    session = Session(Task("2048", "easy:max_steps=2"), 0, tmp_path)
    session.act("0")
    written = TraceWriter.write

    def no_episodes(self, record):
        if isinstance(record, Episode):
            raise OSError(28, "No space left on device")
        written(self, record)

    monkeypatch.setattr(TraceWriter, "write", no_episodes)
    view = session.act("1")
    assert view["turn"] == 2
    assert "could not be written" in view["refused"]
    with pytest.raises(OSError, match="No space"):
        session.new()
    monkeypatch.undo()
    assert session.new()["turn"] == 0
    session.close()
    _, turns, episodes = records(tmp_path)
    assert (len(turns), len(episodes), episodes[0].turns) == (2, 1, 2)


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
