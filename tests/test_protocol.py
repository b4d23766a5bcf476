"""Protocols: several players on the same tasks, resumed after any end, never mixed."""

import json
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from endpoint import Endpoint
from vlmgym.cli import main
from vlmgym.config import find, read_file
from vlmgym.core import ConfigError, split_of
from vlmgym.evaluate import Evaluation, evaluate, starts
from vlmgym.players.api import OpenAIPlayer
from vlmgym.players.simple import Random, Scripted
from vlmgym.protocol import Protocol, run_protocol, slug
from vlmgym.tasks import Task
from vlmgym.trace import load_trace

SMALL = {
    "tasks": [
        {"game": "2048", "level": "tiny", "look": "tiny"},
        {"game": "Swap", "level": "tiny", "look": "tiny", "evaluation": {"turns": 3}},
    ],
    "evaluation": {"episodes": 4, "turns": 5},
    "sampling": {"temperature": 0},
}


@pytest.mark.parametrize("name", ["quick", "paper", "full"])
def test_bundled_protocols_are_valid_and_never_meet_training_seeds(name):
    protocol = Protocol.parse(read_file("protocol", find("protocol", name)))
    assert len(set(protocol.names())) == len(protocol.entries)
    assert Protocol.parse(json.loads(json.dumps(protocol.to_dict()))) == protocol
    for task, how in protocol.entries:
        few = starts(task, how.override(episodes=2))
        assert {split_of(int(seed)) for seed in few.seed} == {"test"}


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"task": []}, "protocol.task"),
        ({"tasks": []}, "protocol.tasks"),
        ({"tasks": [{"game": "chess"}]}, "chess"),
        ({"tasks": [SMALL["tasks"][0]] * 2}, "twice"),
        ({"evaluation": {"episode": 3}}, "Evaluation.episode"),
        ({"evaluation": 3}, "protocol.evaluation"),
        ({"evaluation": {"observation": "sound"}}, "observation"),
    ],
)
def test_bad_protocols_are_refused_by_name(change, named):
    with pytest.raises(ConfigError, match=named):
        Protocol.parse(SMALL | change)


def test_players_are_compared_from_an_empty_folder_by_one_command(tmp_path, capsys):
    words = ["eval", "--player", "random", "--player", "teacher:0.1", "--protocol", "quick", "--set", "evaluation.episodes=6"]
    out = tmp_path / "run"
    assert main([*words, "--out", str(out)]) == 0
    assert "random on 2048" in capsys.readouterr().out
    assert {"protocol.json", "leaderboard.md", "leaderboard.csv", "report.html"} <= {path.name for path in out.iterdir()}
    assert len(list(out.glob("eval/*/*/summary.json"))) == 16
    assert "teacher" in (out / "leaderboard.md").read_text()
    before = {path: path.stat().st_mtime_ns for path in out.glob("eval/*/*/trace.jsonl")}
    assert main([*words, "--player", "oracle", "--out", str(out)]) == 0, "a player more, the others as they are"
    assert before.items() <= {path: path.stat().st_mtime_ns for path in out.glob("eval/*/*/trace.jsonl")}.items()
    assert main([*words, "--set", "tasks.0.level=hard", "--out", str(out)]) == 2
    assert "tasks.0.level = 'hard': allowed is 'easy'" in capsys.readouterr().err


def test_a_sweep_asks_every_task_at_every_value(tmp_path):
    words = [
        "eval",
        "--player",
        "teacher",
        "--game",
        "2048",
        "--level",
        "tiny",
        "--episodes",
        "4",
        "--turns",
        "2",
        "--out",
        str(tmp_path),
    ]
    assert main([*words, "--sweep", "look.noise=0:0.2:3"]) == 0
    assert {path.parent.name for path in tmp_path.glob("eval/*/*/summary.json")} == {
        f"2048-clean-noise={noise}" for noise in ("0", "0.1", "0.2")
    }
    dialled = Protocol.parse({**SMALL, "dials": {"look.noise": [0.1, 0.2], "level.rows": [3]}})
    assert [(task.game, task.level, task.look) for task, _ in dialled.entries] == [
        (game, level, look)
        for game in ("2048", "Swap")
        for level, look in (("tiny", "tiny"), ("tiny", "tiny:noise=0.1"), ("tiny", "tiny:noise=0.2"), ("tiny:rows=3", "tiny"))
    ]
    assert {how.turns for task, how in dialled.entries if task.game == "Swap"} == {3}, "a task's own settings hold for its dials"
    assert Protocol.parse(dialled.to_dict()) == dialled
    for dials, said in (({"look.noise": []}, "dials.look.noise"), ([1], "dials"), ({"look.noises": [1]}, "noises")):
        with pytest.raises(ConfigError, match=said):
            Protocol.parse({**SMALL, "dials": dials})
    with pytest.raises(ConfigError, match="noises"):
        Protocol.parse(SMALL).swept("look.noises", [0.1])
    with pytest.raises(ConfigError, match="sweep"):
        Protocol.parse(SMALL).swept("noise", [0.1])


def test_another_evaluation_in_the_folder_is_never_mixed_in(tmp_path):
    task, how = Task(game="2048", level="tiny", look="tiny"), Evaluation(episodes=2, turns=2)
    evaluate(Random(), task, how, tmp_path, progress=False)
    trace = (tmp_path / "trace.jsonl").read_text()
    for player, other, settings, named in (
        (Random(), task.override(look="clean"), how, "look"),
        (Random(), task, how.override(turns=3), "evaluation"),
        (Scripted("x"), task, how, "player"),
    ):
        with pytest.raises(ConfigError, match=named):
            evaluate(player, other, settings, tmp_path, progress=False)
    assert (tmp_path / "trace.jsonl").read_text() == trace


def test_a_player_who_repeats_itself_for_ever_is_stopped_and_counted():
    task, how = Task(game="Swap", level="tiny", look="tiny"), Evaluation(episodes=5, patience=4)
    summary = evaluate(Scripted("<answer>nonsense</answer>"), task, how, progress=False)
    assert summary["episodes"]["stuck"] == 5
    assert summary["episodes"]["turns"] == 5 * 4
    assert summary["metrics"]["success"]["mean"] == 0
    free = evaluate(Scripted("<answer>nonsense</answer>"), task, how.override(patience=0), progress=False)
    assert free["episodes"]["truncated"] == 5


def test_repeats_say_how_reliable_a_player_is():
    task, how = Task(game="2048", level="tiny", look="tiny"), Evaluation(episodes=10, repeats=4, turns=1)
    summary = evaluate(Scripted("<answer>1</answer>"), task, how, progress=False)
    found = summary["repeats"]
    assert found["agreement"]["mean"] == 1
    assert found["pass@1"]["mean"] == found["pass@4"]["mean"] == summary["metrics"]["success"]["mean"]
    assert summary["metrics"]["success"]["n"] == 10, "starts are the clusters"
    assert summary["episodes"]["n"] == 40


def test_kill_at_any_point_loses_nothing_and_asks_nothing_twice(tmp_path, monkeypatch):
    """A run that is killed again and again ends as one that is not; no turn is answered twice in its trace."""
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    task = Task(game="2048", level="easy:max_steps=12", look="tiny", prompt="brief")
    words = ["eval", "--player", "api:m", "--game", "2048", "--level", "easy:max_steps=12", "--look", "tiny", "--prompt", "brief"]
    words += ["--episodes", "24", "--api", "concurrency=3", "--out", str(tmp_path / "run")]
    with Endpoint(wait=0.02) as endpoint:
        call = [sys.executable, "-m", "vlmgym.cli", *words, "--base-url", endpoint.url + "/v1"]
        kills, trace = 0, tmp_path / "run" / "trace.jsonl"
        for number in range(40):
            size = trace.stat().st_size if trace.exists() else 0
            process = subprocess.Popen(call, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
            enough = size + 20_000 + 3_000 * number
            while kills < 5 and process.poll() is None and (not trace.exists() or trace.stat().st_size < enough):
                time.sleep(0.002)
            if kills >= 5:
                assert process.wait() == 0
                break
            process.send_signal(signal.SIGKILL)
            kills += process.wait() == -signal.SIGKILL
        served = endpoint.served
    found = load_trace(trace)
    assert kills == 5
    places = Counter((turn.episode, turn.turn) for turn in found.turns)
    assert max(places.values()) == 1
    assert len(places) == sum(one.turns for one in found.episodes)
    assert sum(served.values()) <= len(places) + 5 * 3, "at most what was under way at a kill is asked again"
    with Endpoint() as endpoint:
        whole = evaluate(OpenAIPlayer("m", endpoint.url + "/v1"), task, Evaluation(episodes=24), progress=False)
    broken = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert broken["metrics"] == whole["metrics"]
    assert broken["episodes"] == whole["episodes"]


def test_a_protocol_in_pieces_equals_one_at_once(tmp_path):
    protocol = Protocol.parse(SMALL)
    whole = run_protocol(protocol, {"random": Random}, tmp_path / "a", progress=False)
    part = run_protocol(protocol, {"random": Random}, tmp_path / "b", progress=False)
    path = tmp_path / "b/eval/random/2048/trace.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:7]) + lines[7][: len(lines[7]) // 2])
    Path(tmp_path / "b/eval/random/2048/summary.json").unlink()
    again = run_protocol(protocol, {"random": Random}, tmp_path / "b", progress=False)
    for one in (part, again):
        assert [s["metrics"] for s in one["random"]] == [s["metrics"] for s in whole["random"]]
    kept = load_trace(path)
    assert len(kept.turns) == sum(one.turns for one in kept.episodes)


def test_names_of_folders():
    assert slug("api:Qwen/Qwen2.5-VL") == "api-Qwen-Qwen2.5-VL"
    assert slug("../..") == "player"


def test_old_replies_are_judged_anew_without_a_player(tmp_path, capsys):
    """The same judgement gives the same numbers; another parse mode follows each episode as far as it still holds."""
    replies = ["<answer>1</answer>", "<Answer> 2. </Answer>", "<answer>0</answer>", "nothing"]
    task, how = Task(game="2048", level="tiny", look="tiny"), Evaluation(episodes=6, turns=8, patience=0)
    old = evaluate(Scripted(replies), task, how, tmp_path / "old", progress=False)
    assert main(["rescore", str(tmp_path / "old"), "--out", str(tmp_path / "same")]) == 0
    same = json.loads((tmp_path / "same" / "summary.json").read_text())
    assert same["metrics"] == old["metrics"]
    assert same["rescored"]["left_out"] == 0
    kept, again = (load_trace(tmp_path / name / "trace.jsonl") for name in ("old", "same"))
    assert (kept.turns, kept.episodes) == (again.turns, again.episodes)
    assert main(["rescore", str(tmp_path / "old"), "--mode", "lenient", "--out", str(tmp_path / "lenient")]) == 0
    summary = json.loads((tmp_path / "lenient" / "summary.json").read_text())
    assert summary["rescored"]["left_out"] > 0
    assert "turns left out" in capsys.readouterr().out
    turns = load_trace(tmp_path / "lenient" / "trace.jsonl").turns
    assert len(turns) + summary["rescored"]["left_out"] == len(kept.turns)
    assert all(turn.action == 2 for turn in turns if turn.turn == 1)
    assert main(["rescore", str(tmp_path / "old"), "--out", str(tmp_path / "same")]) == 2, "nothing is overwritten"
