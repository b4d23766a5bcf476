"""Who is who: names, labels and folders of players."""

import json
from functools import partial

import pytest

from parts.protocols import SMALL
from vlmgym.core import ConfigError
from vlmgym.episodes.task import Task
from vlmgym.evals.evaluation import evaluate
from vlmgym.evals.folders import places, slug
from vlmgym.evals.leaderboards import leaderboard
from vlmgym.evals.protocol import Protocol, run_protocol
from vlmgym.evals.settings import Evaluation
from vlmgym.players.openai import OpenAIPlayer
from vlmgym.players.registry import make_player, named_players
from vlmgym.players.simple import Oracle, Random, Scripted
from vlmgym.players.teacher import Teacher


def test_names_of_folders():
    assert slug("api:Qwen/Qwen2.5-VL") == "api-Qwen-Qwen2.5-VL"
    assert slug("../..") == "player"


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
