"""Evaluations go on after any end: nothing is lost, mixed or asked twice, and more may be asked."""

import json
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from parts.endpoint import Endpoint
from parts.protocols import SMALL
from vlmgym.core import ConfigError
from vlmgym.core.files import BusyError, FileError, only_process
from vlmgym.episodes.task import Task
from vlmgym.episodes.trace import load_trace
from vlmgym.evals.evaluation import evaluate
from vlmgym.evals.protocol import Protocol, run_protocol
from vlmgym.evals.rescoring import rescore
from vlmgym.evals.settings import Evaluation
from vlmgym.players.openai import OpenAIPlayer
from vlmgym.players.simple import Random, Scripted


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


def test_kill_at_any_point_loses_nothing_and_asks_nothing_twice(tmp_path, monkeypatch):
    """A run that is killed again and again ends as one that is not; no turn is answered twice in
    its trace.
    """
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    task = Task(game="2048", level="easy:max_steps=12", look="tiny", prompt="brief")
    words = [
        "eval",
        "--player",
        "api:m",
        "--game",
        "2048",
        "--level",
        "easy:max_steps=12",
        "--look",
        "tiny",
        "--prompt",
        "brief",
    ]
    words += ["--episodes", "24", "--api", "concurrency=3", "--out", str(tmp_path / "run")]
    with Endpoint(wait=0.02) as endpoint:
        call = [sys.executable, "-m", "vlmgym.cli", *words, "--base-url", endpoint.url + "/v1"]
        kills, trace = 0, tmp_path / "run" / "trace.jsonl"
        for number in range(40):
            size = trace.stat().st_size if trace.exists() else 0
            process = subprocess.Popen(call, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
            enough = size + 20_000 + 3_000 * number
            while (
                kills < 5
                and process.poll() is None
                and (not trace.exists() or trace.stat().st_size < enough)
            ):
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
    assert sum(served.values()) <= len(places) + 5 * 3, (
        "at most what was under way at a kill is asked again"
    )
    with Endpoint() as endpoint:
        whole = evaluate(
            OpenAIPlayer("m", endpoint.url + "/v1"), task, Evaluation(episodes=24), progress=False
        )
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


def test_two_processes_never_evaluate_into_one_folder(tmp_path):
    task, how = Task(game="2048", level="tiny", look="tiny"), Evaluation(episodes=2, turns=2)
    with only_process(tmp_path / "run", "evaluates"):
        for work in (
            lambda: evaluate(Random(), task, how, tmp_path / "run", progress=False),
            lambda: rescore(tmp_path / "other", tmp_path / "run"),
        ):
            evaluate(Random(), task, how, tmp_path / "other", progress=False)
            with pytest.raises(BusyError, match="evaluates there"):
                work()
    evaluate(Random(), task, how, tmp_path / "run", progress=False)


@pytest.mark.parametrize(
    "how",
    [Evaluation(episodes=3, turns=3), Evaluation(episodes=3, turns=2, start="walk", repeats=2)],
)
def test_more_episodes_in_the_same_folder_are_the_larger_evaluation(tmp_path, how):
    task, more = Task(game="Swap", level="tiny", look="tiny", walk_max=3), how.override(episodes=7)
    evaluate(Random(), task, how, tmp_path / "grown", progress=False)
    grown = evaluate(Random(), task, more, tmp_path / "grown", progress=False)
    whole = evaluate(Random(), task, more, tmp_path / "whole", progress=False)
    assert grown["metrics"] == whole["metrics"]
    assert grown["episodes"] == whole["episodes"]
    assert load_trace(tmp_path / "grown/trace.jsonl").run.evaluation["episodes"] == 7
    with pytest.raises(
        ConfigError,
        match=r"episodes = 3: allowed is 7, as in the evaluation " r"there; or name another folder",
    ):
        evaluate(Random(), task, how, tmp_path / "grown", progress=False)
    with pytest.raises(
        ConfigError, match=r"turns = 9: allowed is \d, patience = 20 \(now 4\), as " r"in"
    ):
        evaluate(
            Random(), task, more.override(turns=9, patience=4), tmp_path / "grown", progress=False
        )


@pytest.mark.parametrize("start", ["reset", "walk"])
def test_an_evaluation_goes_on_that_was_begun_before_a_setting_was_there(tmp_path, start):
    task = Task(game="Swap", level="tiny", look="tiny", walk_max=3)
    how = Evaluation(episodes=3, turns=2, start=start)
    path = tmp_path / "trace.jsonl"
    whole = evaluate(Random(), task, how, tmp_path, progress=False)
    lines = path.read_text().splitlines(keepends=True)
    run = json.loads(lines[0])
    del run["evaluation"]["patience"]
    run["evaluation"].pop("walk_legal", None)
    begun = json.dumps(run) + "\n"
    path.write_text("".join([begun, *lines[1:3]]))
    (tmp_path / "summary.json").unlink()
    with pytest.raises(ConfigError, match=r"patience = 4: allowed is 20, as in the evaluation"):
        evaluate(Random(), task, how.override(patience=4), tmp_path, progress=False)
    again = evaluate(Random(), task, how, tmp_path, progress=False)
    assert again["metrics"] == whole["metrics"]
    assert path.read_text().startswith(begun), "what was there is kept"


def test_a_finished_evaluation_is_kept_that_ended_before_a_setting_was_there(tmp_path):
    protocol = Protocol.parse(SMALL)
    run_protocol(protocol, {"random": Random}, tmp_path, progress=False)
    (path,) = tmp_path.glob("eval/random/2048/summary.json")
    summary = json.loads(path.read_text())
    del summary["evaluation"]["patience"]
    del summary["task"]["reply"]
    path.write_text(json.dumps(summary))
    before = path.read_text()
    run_protocol(protocol, {"random": Random}, tmp_path, progress=False)
    assert path.read_text() == before


def test_a_protocol_may_be_given_more_episodes(tmp_path):
    larger = Protocol.parse({**SMALL, "evaluation": {"episodes": 6, "turns": 5}})
    run_protocol(Protocol.parse(SMALL), {"random": Random}, tmp_path / "a", progress=False)
    grown = run_protocol(larger, {"random": Random}, tmp_path / "a", progress=False)
    whole = run_protocol(larger, {"random": Random}, tmp_path / "b", progress=False)
    assert [one["metrics"] for one in grown["random"]] == [
        one["metrics"] for one in whole["random"]
    ]
    with pytest.raises(ConfigError, match=r"tasks.0.evaluation.episodes = 4: allowed is 6"):
        run_protocol(Protocol.parse(SMALL), {"random": Random}, tmp_path / "a", progress=False)


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[]", b"\xff", b'{"tasks": 5}', b'{"tasks": [5]}', b"[" * 100_000]
)
def test_an_unreadable_protocol_is_written_anew_or_named(tmp_path, data):
    (tmp_path / "protocol.json").write_bytes(data)
    run_protocol(Protocol.parse(SMALL), {"random": Random}, tmp_path, progress=False)
    assert Protocol.parse(json.loads((tmp_path / "protocol.json").read_text())) == Protocol.parse(
        SMALL
    )
    (tmp_path / "protocol.json").write_bytes(data)
    with pytest.raises(FileError, match=r"protocol.json.*mend it, or name another folder"):
        run_protocol(Protocol.parse(SMALL), {"random": Random}, tmp_path, progress=False)
