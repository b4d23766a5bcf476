"""Games of others that are wrong: a command says which method, and ends with status 2."""

import itertools

import numpy as np
import pytest

from vlmgym import cli
from vlmgym.core import Decoded
from vlmgym.games import get_game

SOURCE = """
import numpy as np
from lights_out_2000 import LightsOut2000

class Broken(LightsOut2000):
    name = "Broken{number}"
    def {method}(self, *arguments, **named):
        {body}
"""

ALWAYS_ASKED = ("n_actions", "reset", "legal", "_step", "scene", "decode", "oracle", "success")
SELDOM_ASKED = (
    "rules",
    "answer_format",
    "success_mask",
    "encode",
    "explain",
    "candidates",
    "reasoning",
    "from_symbols",
    "would_succeed",
    "_try",
    "draw_legal",
)
BODIES = ("return None", "return np.zeros(3)", "return (1, 2)", "raise SystemExit(3)")
_numbers = itertools.count()


@pytest.fixture
def broken(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))

    def write(method, body):
        number = next(_numbers)
        source = SOURCE.format(number=number, method=method, body=body.format(method=method))
        (tmp_path / f"broken{number}.py").write_text(source)
        return f"broken{number}:Broken"

    return write


def evaluate(game, folder):
    words = ["eval", "--game", game, "--level", "easy", "--player", "teacher"]
    return cli.main([*words, "--episodes", "2", "--turns", "3", "--out", str(folder)])


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("method", ALWAYS_ASKED)
def test_a_method_that_is_wrong_is_named_in_one_sentence(broken, tmp_path, capsys, method, body):
    assert evaluate(broken(method, body), tmp_path / "run") == 2
    said = capsys.readouterr().err
    assert f"Broken.{method}: it r" in said
    assert "Traceback" not in said


@pytest.mark.parametrize("method", SELDOM_ASKED)
@pytest.mark.parametrize("body", BODIES[1:])
def test_a_method_that_is_seldom_asked_never_ends_in_a_traceback(
    broken, tmp_path, capsys, method, body
):
    status = evaluate(broken(method, body), tmp_path / "run")
    assert status in (0, 2)
    assert (status == 2) == (f"Broken.{method}: it r" in capsys.readouterr().err)


def test_the_line_of_the_game_that_raised_is_told(broken, tmp_path, capsys):
    evaluate(broken("legal", "raise ZeroDivisionError('by zero')"), tmp_path / "run")
    said = capsys.readouterr().err
    assert "ZeroDivisionError: by zero" in said
    assert "line 8)" in said


@pytest.mark.parametrize(
    ("method", "body", "allowed"),
    [
        ("decode", "from vlmgym.core import Decoded; return Decoded(99)", "an action of -1 to 8"),
        ("oracle", "return np.zeros((len(arguments[0]), 9), int)", "of floats"),
        ("legal", "return np.ones((len(arguments[0]), 8), bool)", "of bool"),
        ("n_actions", "return 0", "1 or more"),
    ],
)
def test_what_is_allowed_is_told(broken, tmp_path, capsys, method, body, allowed):
    assert evaluate(broken(method, body), tmp_path / "run") == 2
    assert allowed in capsys.readouterr().err


def test_a_sound_game_of_others_is_played_as_before():
    game = get_game("lights_out_2000:LightsOut2000")
    state = game.reset("easy", np.arange(4))
    state, outcome = game.step(state, np.zeros(4, np.int64))
    assert game.legal(state=state).shape == (4, 9)
    assert game.decode(level="easy", text="(0, 1)") == Decoded(1)
    assert outcome.changed.all()


def test_reports_name_a_game_that_is_not_known_as_its_trace_names_it(
    broken, tmp_path, capsys, monkeypatch
):
    game = broken("would_succeed", "return super().would_succeed(*arguments, **named)")
    assert evaluate(game, tmp_path / "run") == 0
    monkeypatch.setattr("vlmgym.games.registry._given", {})
    for command in (["report"], ["video"], ["export", "sft"]):
        assert cli.main([*command, str(tmp_path / "run"), "--out", str(tmp_path / "out.gif")]) == 2
        assert f"--game {game}" in capsys.readouterr().err
