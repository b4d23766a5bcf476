"""What a person plays is an ordinary trace."""

import json
import resource
import signal
import subprocess
import sys
from contextlib import contextmanager

import numpy as np
import pytest

from parts.play_page import ask, good_answer, records, served
from vlmgym.apps.play import Session
from vlmgym.apps.play import server as webplay
from vlmgym.core import ConfigError, seeds_for
from vlmgym.episodes.records import Episode
from vlmgym.episodes.task import Task
from vlmgym.episodes.trace import TraceWriter
from vlmgym.evals.metrics import summarise
from vlmgym.games import GAMES


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
