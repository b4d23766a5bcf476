"""Protocols: several players on the same tasks, read, refused, compared."""

import json
from functools import partial

import pytest

from parts.commands import eval_words
from parts.protocols import SMALL
from vlmgym.cli import main
from vlmgym.core import ConfigError, split_of
from vlmgym.core.config import find, read_file
from vlmgym.episodes.task import Task
from vlmgym.episodes.trace import load_trace
from vlmgym.evals.curves import sweep
from vlmgym.evals.evaluation import evaluate
from vlmgym.evals.folders import slug
from vlmgym.evals.protocol import Protocol, run_protocol
from vlmgym.evals.settings import Evaluation, starts
from vlmgym.games import GAMES
from vlmgym.players.base import Player
from vlmgym.players.registry import is_heavy, make_player
from vlmgym.players.simple import Random, RandomLegal, Scripted
from vlmgym.train.recipe import read_recipe, recipe_path


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
        "tiny",
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
    assert len(table) == 1 + 2 * 4 + 2, "one line for each player and task, then what to do"
    assert {"protocol.json", "leaderboard.md", "leaderboard.csv", "report.html"} <= {
        path.name for path in out.iterdir()
    }
    assert len(list(out.glob("eval/*/*/summary.json"))) == 8
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
    assert "tasks.0.level = 'hard': allowed is 'tiny'" in capsys.readouterr().err


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


@pytest.mark.parametrize("name", ["full", "quick"])
def test_the_protocols_of_all_games_ask_every_game(name):
    protocol = Protocol.parse(read_file("protocol", find("protocol", name)))
    asked = {task.names.game for task, _ in protocol.entries}
    missing = [game for game in GAMES if game not in asked]
    assert missing == [], f"add them to src/vlmgym/protocols/{name}.yaml"


def test_the_recipe_of_all_games_trains_every_game():
    tasks = read_recipe(recipe_path("tiny/all")).tasks
    assert {task.names.game for task in tasks} == set(GAMES), "src/vlmgym/recipes/tiny/all.yaml"


def test_tasks_that_differ_in_anything_have_folders_of_their_own():
    tasks = [{"game": "2048", "walk_legal": legal, "walk_max": 3} for legal in (True, False)]
    names = Protocol.parse({"tasks": tasks, "evaluation": {"start": "walk", "turns": 1}}).names()
    assert len(set(names)) == 2
    assert len(slug("x" * 5000)) <= 110
    assert slug("x" * 5000) != slug("x" * 5001)


class Heavy(Player):
    """Stands for a player with a model; it is counted when it is made, and when it leaves the
    memory.
    """

    sees = "nothing"
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
