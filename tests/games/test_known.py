"""Which names stand for games: those that users give may be code, those that stand in data may
not.
"""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from lights_out_2000 import LightsOut2000

from parts.commands import eval_words
from parts.folders import LIGHTS_OUT_2000
from vlmgym import cli
from vlmgym.core import ConfigError, StateError, seeds_for
from vlmgym.episodes.task import Task
from vlmgym.games import (
    EXTRA_GAMES,
    GAMES,
    get_game,
    known_game,
    load_state,
    read_state_text,
    state_text,
)
from vlmgym.games.game2048 import Game2048

NO_GAMES = (
    "os:abort",
    "sys:exit",
    "http.server:test",
    "os.path:join",
    "tempfile:mkdtemp",
    "os:fork",
    ".x:y",
    "a:b:c",
    "a:",
    ":b",
    "a b:c",
)


class Twin(Game2048):
    """Another game under the name of one that is known."""


class Broken(LightsOut2000):
    """A class that cannot be made without an argument."""

    name = "Broken"

    def __init__(self, size):
        self.size = size


def lamps() -> LightsOut2000:
    """A function that says what it makes."""
    return LightsOut2000()


def silent():
    """One that does not say so is not called."""
    raise AssertionError("called")


@pytest.mark.parametrize(
    "name", [*NO_GAMES, "a\x1b[31m:b", "x\ny:z", "é:ü", "2048:2048", "", "x" * 100_000, "\ud83d:a"]
)
def test_what_is_no_game_is_a_sentence_and_is_not_called(name):
    for ask in (get_game, known_game):
        with pytest.raises(ConfigError, match=r"^game = ") as caught:
            ask(name)
        assert len(str(caught.value).splitlines()) == 1
        assert len(str(caught.value)) < 5000
        assert "\x1b" not in str(caught.value)


@pytest.mark.parametrize("name", [None, True, 1.5, 10**400, [], {}, b"2048", ("2048",)])
def test_a_name_of_another_type_is_a_sentence(name):
    for ask in (get_game, known_game, lambda name: Task(game=name)):
        with pytest.raises(ConfigError):
            ask(name)


def test_functions_are_called_if_they_say_that_they_make_a_game():
    assert isinstance(get_game(f"{__name__}:lamps"), LightsOut2000)
    for name, said in (
        ("silent", "is marked to return one"),
        ("Broken", "made without arguments"),
        ("nothing", "nothing"),
    ):
        with pytest.raises(ConfigError, match=said):
            get_game(f"{__name__}:{name}")


def test_a_number_is_the_name_of_a_game():
    assert get_game(2048) is known_game(2048) is GAMES["2048"]
    task = Task(game=2048)
    assert task == Task(game="2048")
    assert task.game is GAMES["2048"]
    assert Task.parse({"game": 2048, "level": "easy"}).names.game == "2048"


def test_a_game_goes_where_its_name_goes(monkeypatch):
    # other tests of this process may have given it a game of this name
    monkeypatch.setattr("vlmgym.games.registry._given", {})
    game = LightsOut2000()
    task = Task(game=game, level="easy")
    assert task.names.game == "LightsOut2000"
    assert type(task.game) is LightsOut2000
    state = game.reset("easy", seeds_for("free", "LightsOut2000", "easy", 1))
    assert read_state_text(state_text(game, state))[1] == state, "this process was given the game"
    assert Task(game=LightsOut2000(), level="easy") == task, "a cell of a notebook may be run again"


def test_two_games_of_one_name_are_not_mixed_up():
    assert get_game(Twin()).name == "2048"
    assert known_game("2048") is GAMES["2048"]
    for name in (Twin(), f"{__name__}:Twin"):
        with pytest.raises(ConfigError, match="a name of its own: here 2048 is another one"):
            Task(game=name)


UNTOLD = """
import sys
from vlmgym.core import VlmGymError
from vlmgym.games import known_game, read_state_text
before = set(sys.modules)
for ask, text in ((known_game, "evil:go"), (known_game, "LightsOut2000"), (read_state_text, sys.argv[1])):
    try:
        ask(text)
    except VlmGymError as error:
        print(error)
assert "evil" not in sys.modules and "lights_out_2000" not in sys.modules
import lights_out_2000
from vlmgym.games import get_game
get_game("lights_out_2000:LightsOut2000")
print(known_game("lights_out_2000:LightsOut2000"), read_state_text(sys.argv[1])[0])
"""


def test_a_name_in_data_imports_nothing_until_the_process_is_told_of_the_game(tmp_path):
    (tmp_path / "evil.py").write_text("open('PWNED', 'w')\ndef go(): open('CALLED', 'w')\n")
    state = LightsOut2000().reset("easy", seeds_for("free", "LightsOut2000", "easy", 1))
    path = os.pathsep.join(
        [str(LIGHTS_OUT_2000), str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])]
    )
    done = subprocess.run(
        [sys.executable, "-c", UNTOLD, state_text(LightsOut2000(), state)],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    lines = done.stdout.splitlines()
    assert (
        "known by --game evil:go (in Python: get_game('evil:go')), if you trust its code"
        in lines[0]
    )
    assert "known by --game MODULE:CLASS" in lines[1]
    assert lines[2].startswith("a state of another game: game = 'LightsOut2000'")
    assert lines[3] == "Game LightsOut2000 (version 1) Game LightsOut2000 (version 1)"
    assert sorted(one.name for one in tmp_path.iterdir() if not one.name.startswith("__")) == [
        "evil.py"
    ]


def test_what_module_and_class_played_is_read_back_by_every_command(tmp_path):
    """In the process that was given the game, and in a new one that is told of it."""
    (tmp_path / "mine.py").write_text(
        (LIGHTS_OUT_2000 / "lights_out_2000.py")
        .read_text()
        .replace('"LightsOut2000", 1', '"Mine", 1')
    )
    run, told = tmp_path / "run", ["--game", "mine:LightsOut2000"]

    def v(*arguments):
        code = (
            "import sys; sys.path.pop(0); from vlmgym.cli import main; sys.exit(main(sys.argv[1:]))"
        )
        done = subprocess.run(
            [sys.executable, "-c", code, *map(str, arguments)],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert "Traceback" not in done.stderr
        return done

    played = v(
        "eval",
        "--player",
        "random",
        *told,
        "--level",
        "easy",
        "--episodes",
        1,
        "--turns",
        2,
        "--out",
        run,
    )
    assert played.returncode == 0, played.stderr
    assert (
        '"game":"mine:LightsOut2000"' in next(run.rglob("trace.jsonl")).read_text().splitlines()[0]
    )
    refused = v("report", run)
    assert refused.returncode == 2
    assert "known by --game mine:LightsOut2000" in refused.stderr
    for command in (
        ("report", run),
        ("rescore", run, "--out", tmp_path / "again"),
    ):
        assert v(*command, *told).returncode == 0, command


def test_reading_a_trace_never_imports_what_it_names(tmp_path, capsys):
    folder = tmp_path / "run"
    assert cli.main(eval_words(folder, level="easy", episodes=1)) == 0
    path = next(folder.rglob("trace.jsonl"))
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    lines[0]["game"] = "this:s"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    sys.modules.pop("this", None)
    capsys.readouterr()
    for command in (
        ["report", str(folder)],
        ["rescore", str(folder), "--out", str(tmp_path / "x")],
    ):
        assert cli.main(command) == 2
        assert "game = 'this:s'" in capsys.readouterr().err
    assert "this" not in sys.modules


def test_extras_are_known_by_name():
    assert set(EXTRA_GAMES) == {"Breakout"}
    with pytest.raises(StateError, match="first bytes"):
        load_state(np.zeros(20, np.uint8).tobytes())
