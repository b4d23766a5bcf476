"""Protocols: several players on the same tasks, resumed after any end, never mixed."""

import csv
import json
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from parts.commands import eval_words
from parts.endpoint import Endpoint
from vlmgym.cli import main
from vlmgym.core import ConfigError, split_of
from vlmgym.core.config import find, read_file
from vlmgym.core.files import BusyError, FileError, only_process
from vlmgym.episodes.task import Task
from vlmgym.episodes.trace import load_trace
from vlmgym.evals.curves import sweep
from vlmgym.evals.evaluation import evaluate
from vlmgym.evals.folders import places
from vlmgym.evals.leaderboards import leaderboard, overview
from vlmgym.evals.protocol import Protocol, run_protocol, slug
from vlmgym.evals.rescoring import rescore
from vlmgym.evals.settings import Evaluation, starts
from vlmgym.evals.summaries import summary_of, warnings_of
from vlmgym.players.base import Player
from vlmgym.players.openai import OpenAIPlayer
from vlmgym.players.registry import is_heavy, make_player, named_players
from vlmgym.players.simple import Oracle, Random, RandomLegal, Scripted
from vlmgym.players.teacher import Teacher

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
    words = [
        "eval",
        "--player",
        "random",
        "--player",
        "teacher:0.1",
        "--protocol",
        "quick",
        "--set",
        "evaluation.episodes=6",
    ]
    out = tmp_path / "run"
    assert main([*words, "--out", str(out)]) == 0
    table = capsys.readouterr().out.splitlines()
    assert [line.split()[:3] for line in table if line.startswith("2048 ")] == [
        ["2048", "random", "success"],
        ["2048", "teacher", "success"],
    ]
    assert len(table) == 1 + 2 * 8 + 2, "one line for each player and task, then what to do"
    assert {"protocol.json", "leaderboard.md", "leaderboard.csv", "report.html"} <= {
        path.name for path in out.iterdir()
    }
    assert len(list(out.glob("eval/*/*/summary.json"))) == 16
    assert "teacher" in (out / "leaderboard.md").read_text()
    before = {path: path.stat().st_mtime_ns for path in out.glob("eval/*/*/trace.jsonl")}
    assert main([*words, "--player", "oracle", "--out", str(out)]) == 0, (
        "a player more, the others as they are"
    )
    assert (
        before.items()
        <= {path: path.stat().st_mtime_ns for path in out.glob("eval/*/*/trace.jsonl")}.items()
    )
    assert main([*words, "--set", "tasks.0.level=hard", "--out", str(out)]) == 2
    assert "tasks.0.level = 'hard': allowed is 'easy'" in capsys.readouterr().err


def test_a_sweep_asks_every_task_at_every_value(tmp_path):
    assert (
        main(
            eval_words(
                tmp_path,
                "--sweep",
                "look.noise=0:0.2:3",
                player="teacher",
                look="clean",
                episodes=4,
            )
        )
        == 0
    )
    assert {path.parent.name for path in tmp_path.glob("eval/*/*/summary.json")} == {
        f"2048-clean-noise={noise}" for noise in ("0", "0.1", "0.2")
    }
    dialled = Protocol.parse({**SMALL, "dials": {"look.noise": [0.1, 0.2], "level.rows": [3]}})
    assert [
        (task.names.game, task.names.level, task.names.look) for task, _ in dialled.entries
    ] == [
        (game, level, look)
        for game in ("2048", "Swap")
        for level, look in (
            ("tiny", "tiny"),
            ("tiny", "tiny:noise=0.1"),
            ("tiny", "tiny:noise=0.2"),
            ("tiny:rows=3", "tiny"),
        )
    ]
    assert {how.turns for task, how in dialled.entries if task.names.game == "Swap"} == {3}, (
        "a task's own settings hold for its dials"
    )
    assert Protocol.parse(dialled.to_dict()) == dialled
    for dials, said in (
        ({"look.noise": []}, "dials.look.noise"),
        ([1], "dials"),
        ({"look.noises": [1]}, "noises"),
    ):
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
    free = evaluate(
        Scripted("<answer>nonsense</answer>"), task, how.override(patience=0), progress=False
    )
    assert free["episodes"]["truncated"] == 5


def test_repeats_say_how_reliable_a_player_is():
    task, how = (
        Task(game="2048", level="tiny", look="tiny"),
        Evaluation(episodes=10, repeats=4, turns=1),
    )
    summary = evaluate(Scripted("<answer>1</answer>"), task, how, progress=False)
    found = summary["repeats"]
    assert found["agreement"]["mean"] == 1
    assert (
        found["pass@1"]["mean"] == found["pass@4"]["mean"] == summary["metrics"]["success"]["mean"]
    )
    assert summary["metrics"]["success"]["n"] == 10, "starts are the clusters"
    assert summary["episodes"]["n"] == 40


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


def test_names_of_folders():
    assert slug("api:Qwen/Qwen2.5-VL") == "api-Qwen-Qwen2.5-VL"
    assert slug("../..") == "player"


def test_old_replies_are_judged_anew_without_a_player(tmp_path, capsys):
    """The same judgement gives the same numbers; another parse mode follows each episode as far as
    it still holds.
    """
    replies = ["<answer>1</answer>", "<Answer> 2. </Answer>", "<answer>0</answer>", "nothing"]
    task, how = (
        Task(game="2048", level="tiny", look="tiny"),
        Evaluation(episodes=6, turns=8, patience=0),
    )
    old = evaluate(Scripted(replies), task, how, tmp_path / "old", progress=False)
    assert main(["rescore", str(tmp_path / "old"), "--out", str(tmp_path / "same")]) == 0
    same = json.loads((tmp_path / "same" / "summary.json").read_text())
    assert same["metrics"] == old["metrics"]
    assert same["rescored"]["left_out"] == 0
    kept, again = (load_trace(tmp_path / name / "trace.jsonl") for name in ("old", "same"))
    assert (kept.turns, kept.episodes) == (again.turns, again.episodes)
    assert (
        main(
            [
                "rescore",
                str(tmp_path / "old"),
                "--mode",
                "lenient",
                "--out",
                str(tmp_path / "lenient"),
            ]
        )
        == 0
    )
    summary = json.loads((tmp_path / "lenient" / "summary.json").read_text())
    assert summary["rescored"]["left_out"] > 0
    assert "turns left out" in capsys.readouterr().out
    turns = load_trace(tmp_path / "lenient" / "trace.jsonl").turns
    assert len(turns) + summary["rescored"]["left_out"] == len(kept.turns)
    assert all(turn.action == 2 for turn in turns if turn.turn == 1)
    assert main(["rescore", str(tmp_path / "old"), "--out", str(tmp_path / "same")]) == 2, (
        "nothing is overwritten"
    )


# ---- who is who
def test_names_that_become_one_folder_are_two_players(tmp_path):
    """Of two scripts whose names look alike as folders, each has its own results, whichever comes
    first and when.
    """
    (tmp_path / "a").mkdir()
    for name, move in (("a/b.json", "<answer>0</answer>"), ("a-b.json", "nothing")):
        (tmp_path / name).write_text(json.dumps([move]))
    words = [f"scripted:{tmp_path}/a/b.json", f"scripted:{tmp_path}/a-b.json"]
    for number, order in enumerate((words, words[::-1])):
        made = {
            {words[0]: "a b", words[1]: "a-b"}[word]: partial(make_player, word) for word in order
        }
        found = run_protocol(Protocol.parse(SMALL), made, tmp_path / f"out{number}", progress=False)
        formats = {name: one[0]["metrics"]["fault_format"]["mean"] for name, one in found.items()}
        assert [formats[name] < 1 for name in ("a b", "a-b")] == [True, False]
        assert sorted(path.name[:3] for path in (tmp_path / f"out{number}/eval").iterdir()) == [
            "a-b",
            "a-b",
        ]
    one = run_protocol(
        Protocol.parse(SMALL),
        {"x": partial(make_player, words[0])},
        tmp_path / "same",
        progress=False,
    )
    other = run_protocol(
        Protocol.parse(SMALL),
        {"x": partial(make_player, words[1])},
        tmp_path / "same",
        progress=False,
    )
    assert one["x"][0]["identity"] != other["x"][0]["identity"], "a name is a label"
    assert one["x"][0]["metrics"] != other["x"][0]["metrics"]
    assert len(list((tmp_path / "same/eval").iterdir())) == 2
    assert sorted(
        place.player for place in places([tmp_path / "same"]) if place.task == "2048"
    ) == sorted(f"x ({path.name})" for path in (tmp_path / "same/eval").iterdir())
    again = run_protocol(
        Protocol.parse(SMALL),
        {"y": partial(make_player, words[0])},
        tmp_path / "same",
        progress=False,
    )
    assert again["y"][0]["metrics"] == one["x"][0]["metrics"], (
        "another label, the same player, nothing is asked again"
    )
    assert len(list((tmp_path / "same/eval").iterdir())) == 2


def test_one_player_cannot_stand_under_two_names(tmp_path):
    with pytest.raises(ConfigError, match="each player once"):
        run_protocol(
            Protocol.parse(SMALL), {"a": Random, "b": Random}, tmp_path / "out", progress=False
        )
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "labels"),
    [
        (["local:runs/g0/final"], ["final"]),
        (["local:runs/g0/final", "local:runs/g1/final"], ["g0/final", "g1/final"]),
        (["local:/m/模型一", "local:/m/模型二"], ["模型一", "模型二"]),
        (["scripted:a/b.json", "scripted:a-b.json"], ["scripted:a/b.json", "scripted:a-b.json"]),
        (["mine=local:runs/g0/final", "local:runs/g1/final"], ["mine", "final"]),
        (["teacher:0.1", "teacher:0.3", "random"], ["teacher:0.1", "teacher:0.3", "random"]),
        (["teacher:0.1"], ["teacher"]),
        (["api:m", "anthropic:m"], ["api:m", "anthropic:m"]),
        (["random", "random"], ["random"]),
        (["scripted:a=b.json"], ["scripted"]),
    ],
)
def test_labels_tell_players_apart_as_briefly_as_can_be(words, labels):
    found = named_players(words)
    assert list(found) == labels
    assert list(found.values()) == [word.removeprefix("mine=") for word in dict.fromkeys(words)]


@pytest.mark.parametrize(
    "words",
    [
        ["=random"],
        ["a=random", "a=oracle"],
        ["a\x1b=random"],
        ["random=oracle", "random"],
        [" =random"],
    ],
)
def test_labels_that_say_nothing_are_refused(words):
    with pytest.raises(ConfigError, match="player = "):
        named_players(words)


def test_identity_is_what_a_player_is():
    players = [
        Random(),
        Random(1),
        Oracle(),
        Teacher(0.1),
        Teacher(0.2),
        Scripted("a"),
        Scripted("b"),
        Scripted(["a", "b"]),
    ]
    assert len({one.identity for one in players}) == len(players)
    for one, other in (
        (Random(), Random()),
        (Teacher(0.1), Teacher(0.1)),
        (Scripted("a"), Scripted(["a"])),
    ):
        other.name = "someone"
        assert one.identity == other.identity
    near, far = (
        OpenAIPlayer("m", f"http://{host}/v1", {"temperature": 0})
        for host in ("127.0.0.1:1", "127.0.0.1:2")
    )
    assert near.identity == far.identity, "an endpoint may move"
    assert near.identity != OpenAIPlayer("m", "http://127.0.0.1:1/v1", {"temperature": 1}).identity
    assert [one.sees for one in (Random(), Teacher(), Scripted("a"), near)] == [
        "state",
        "state",
        "nothing",
        "picture",
    ]


def test_a_complete_summary_is_taken_only_from_whom_it_is_asked(tmp_path):
    protocol = Protocol.parse(SMALL)
    first = run_protocol(
        protocol, {"x": partial(Scripted, "<answer>0</answer>")}, tmp_path, progress=False
    )
    path = next(tmp_path.glob("eval/x/2048/summary.json"))
    forged = {**json.loads(path.read_text()), "identity": "0" * 16, "metrics": {}}
    path.write_text(json.dumps(forged))
    again = run_protocol(
        protocol, {"x": partial(Scripted, "<answer>0</answer>")}, tmp_path, progress=False
    )
    assert [one["metrics"] for one in again["x"]] == [one["metrics"] for one in first["x"]]


def test_one_player_in_two_runs_is_told_apart_in_both_orders(tmp_path):
    for name, episodes in (("jan", 2), ("feb", 4)):
        values = {**SMALL, "evaluation": {"episodes": episodes, "turns": 5}}
        run_protocol(
            Protocol.parse(values), {"random": Random}, tmp_path / name / "quick", progress=False
        )
    runs = [tmp_path / "jan/quick", tmp_path / "feb/quick"]
    for order in (runs, runs[::-1]):
        found = {
            one.player: one.run.evaluation["episodes"]
            for one in places(order)
            if one.task == "2048"
        }
        assert found == {"random (jan/quick)": 2, "random (feb/quick)": 4}
    rows = leaderboard([place.folder for place in places(runs)], tmp_path / "board")
    assert len({row["player"] for row in rows}) == 2


def test_one_player_with_other_tasks_in_another_folder_is_one_player(tmp_path):
    how = Evaluation(episodes=2, turns=2)
    for game in ("2048", "Swap"):
        evaluate(
            Random(),
            Task(game=game, level="tiny", look="tiny"),
            how,
            tmp_path / game,
            progress=False,
        )
    evaluate(
        Random(),
        Task(game="2048", level="easy", look="tiny"),
        how,
        tmp_path / "easy",
        progress=False,
    )
    found = places([tmp_path / "2048", tmp_path / "Swap", tmp_path / "easy"])
    assert {one.player for one in found} == {"random"}
    assert len({one.task for one in found}) == 3, "two levels are not one task"


# ---- one folder, one process
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


# ---- going on with more
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


def test_dials_of_truth_values_and_texts(tmp_path):
    protocol = Protocol.parse(
        {
            **SMALL,
            "tasks": SMALL["tasks"][:1],
            "dials": {"look.grid": [True, False], "look.skin": ["handwritten"]},
        }
    )
    assert [task.names.look for task, _ in protocol.entries] == [
        "tiny",
        "tiny:grid=true",
        "tiny:grid=false",
        "tiny:skin=handwritten",
    ]
    assert Protocol.parse(protocol.to_dict()) == protocol
    assert sweep("true,false") == [True, False]


def test_tasks_that_differ_in_anything_have_folders_of_their_own():
    tasks = [{"game": "2048", "walk_legal": legal, "walk_max": 3} for legal in (True, False)]
    names = Protocol.parse({"tasks": tasks, "evaluation": {"start": "walk", "turns": 1}}).names()
    assert len(set(names)) == 2
    assert len(slug("x" * 5000)) <= 110
    assert slug("x" * 5000) != slug("x" * 5001)


# ---- what an evaluation says
def test_nothing_is_written_before_all_players_can_be_asked(tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    words = [
        "eval",
        "--player",
        "random",
        "--player",
        "api:m",
        "--protocol",
        "quick",
        "--out",
        str(tmp_path / "run"),
    ]
    assert main(words) == 2
    assert "OPENAI_API_KEY" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_an_evaluation_in_which_all_fails_is_no_success(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    words = eval_words(tmp_path, "--api", "retries=0", player="api:m")
    with Endpoint(share=1.0, faults=("500",)) as endpoint:
        assert main([*words, "--base-url", endpoint.url + "/v1"]) == 1
        said = capsys.readouterr().err
        assert "2 of 2 episodes failed: " in said
        assert "(2x). Run the same command to try them again." in said
    with Endpoint() as endpoint:
        assert main([*words, "--base-url", endpoint.url + "/v1"]) == 0
    assert "0 of 2" not in capsys.readouterr().out
    assert (tmp_path / "report.html").exists(), "one player on one game has a page, too"


def turns_of(folder, **values):
    trace = load_trace(folder / "trace.jsonl")
    return trace.run, [replace(turn, **values) for turn in trace.turns]


def test_what_makes_numbers_doubtful_is_said_with_what_to_do(tmp_path):
    task, how = Task(game="2048", level="tiny", look="tiny"), Evaluation(episodes=4, turns=4)
    evaluate(Random(), task, how, tmp_path, progress=False)
    run, turns = turns_of(tmp_path)
    assert warnings_of(run, turns) == []
    (cut,) = warnings_of(run, turns_of(tmp_path, usage={"finish": "length"})[1])
    assert cut == "16 of 16 replies were cut at the limit of new tokens: raise --max-new-tokens"
    (refused,) = warnings_of(run, turns_of(tmp_path, usage={"finish": "refusal"})[1])
    assert "16 of 16 replies were refused" in refused
    broken = {"reply": "<answer>1</answer>", "terms": {**turns[0].terms, "format": 0.0}}
    found = warnings_of(run, turns_of(tmp_path, reasoning="hm", **broken)[1])
    assert "the server takes <think> out" in found[0]
    assert "all 16 replies are equal" in found[1]
    other = {**broken, "reply": "<Final>1</Final>"}
    found = warnings_of(
        replace(run, reply="answer=final"), turns_of(tmp_path, reasoning="hm", **other)[1]
    )
    assert "16 of 16 replies begin with <final> while" in found[0], "whatever the blocks are called"
    assert (
        "none of 16 replies has the blocks" in warnings_of(run, turns_of(tmp_path, **broken)[1])[0]
    )
    assert warnings_of(replace(run, sees="nothing"), turns_of(tmp_path, **broken)[1]) == []
    summary = summary_of(run, turns_of(tmp_path, usage={"finish": "length"})[1], [], task, how)
    assert summary["counts"] == {"turns": 16, "cut": 16, "refused": 0}
    assert "cut" in overview({"x\x1b[31m": [summary]}, ["2048"])
    assert "\x1b" not in overview({"x\x1b[31m": [summary]}, ["2048"])


def test_cells_that_a_spreadsheet_would_run_are_texts(tmp_path):
    for number, name in enumerate(
        ["=cmd|' /C calc'!A0", "+1+1", "-2+3", "@SUM(1+1)", "\t=1", "plain"]
    ):
        player = Random(number)
        player.name = name
        evaluate(
            player,
            Task(game="2048", level="tiny", look="tiny"),
            Evaluation(episodes=2, turns=2),
            tmp_path / str(number),
            False,
        )
    leaderboard([tmp_path / str(number) for number in range(6)], tmp_path)
    with (tmp_path / "leaderboard.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert sum(row["player"].startswith("'") for row in rows) == 5
    assert all(float(row["reward"]) <= 2 for row in rows), "numbers stay numbers"
    assert {row["sees"] for row in rows} == {"state"}
    assert "given" in (tmp_path / "leaderboard.md").read_text()


class Heavy(Player):
    """Stands for a player with a model; it is counted when it is made, and when it leaves the
    memory.
    """

    heavy, made, alive, most = True, 0, 0, 0

    def __init__(self, reply):
        self.replies, self.name = Scripted(reply), reply
        Heavy.made, Heavy.alive = Heavy.made + 1, Heavy.alive + 1
        Heavy.most = max(Heavy.most, Heavy.alive)

    def __del__(self):
        Heavy.alive -= 1

    def describe(self):
        return {"kind": "heavy", "reply": self.name}

    def answer(self, queries):
        return self.replies.answer(queries)


@pytest.mark.parametrize(
    ("labels", "told", "times"),
    [
        ("ar", True, 1),
        ("ra", True, 1),
        ("rar", True, 1),
        ("ra", False, 1),
        ("abr", True, 3),
        ("rabc", True, 5),
        ("abc", False, 5),
    ],
)
def test_models_are_made_as_seldom_as_may_be_and_never_two_at_once(tmp_path, labels, told, times):
    Heavy.made = Heavy.alive = Heavy.most = 0
    light = iter((Random, RandomLegal))
    makers = {
        f"{k}{one}": next(light) if one == "r" else partial(Heavy, one)
        for k, one in enumerate(labels)
    }
    heavy = [label for label, make in makers.items() if isinstance(make, partial)] if told else None
    found = run_protocol(Protocol.parse(SMALL), makers, tmp_path, progress=False, heavy=heavy)
    assert list(found) == list(makers)
    assert (Heavy.made, Heavy.most, Heavy.alive) == (times, 1, 0)


def test_the_words_of_players_say_which_are_heavy():
    words = ["random", "teacher:0.1", "api:m", "local:tiny", "relay:tiny+tiny"]
    assert [is_heavy(word) for word in words] == [False, False, False, True, True]
    assert make_player("local:tiny").heavy
