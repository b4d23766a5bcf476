"""The check of a game survives whatever a game does."""

from __future__ import annotations

import numpy as np
from lights_out_2000 import LevelLightsOut2000, LightsOut2000

from parts.faulty_games import EASY, faulty
from vlmgym.testing import shown, sizes
from vlmgym.testing.checks import check_game

METHODS = (
    *(
        "reset",
        "_step",
        "legal",
        "scene",
        "oracle",
        "encode",
        "decode",
        "rules",
        "answer_format",
        "explain",
        "candidates",
    ),
    *("from_symbols", "success_mask", "success", "n_actions", "would_succeed", "level"),
)
GIVEN = (
    None,
    "words",
    -1,
    1.5,
    (),
    np.zeros(3),
    np.zeros((2, 2), np.float32),
    object(),
    np.array(["a"]),
    {"a": 1},
)
ATTRIBUTES = {
    "LEVELS": (None, 3, {}, {"normal": None}, {"normal": "easy"}, {3: EASY}, ["normal"]),
    "state_type": (None, int, LevelLightsOut2000),
    "level_type": (int, LevelLightsOut2000),
    "unnamed": (None, "x", 99),
}


def raising(error):
    def method(self, *given, **named):
        raise error

    return method


def giving(value):
    return lambda self, *given, **named: value


ERRORS = (ValueError("two\nlines"), SystemExit(3), MemoryError(), RecursionError(), StopIteration())
BROKEN = {  # each method with one of the errors and one of the values, in turns
    **{
        f"{name} raises": {name: raising(ERRORS[k % len(ERRORS)])} for k, name in enumerate(METHODS)
    },
    **{
        f"{name} gives {GIVEN[k % len(GIVEN)]!r}": {name: giving(GIVEN[k % len(GIVEN)])}
        for k, name in enumerate(METHODS)
    },
    **{
        f"{name} is {value!r}": {name: value}
        for name, values in ATTRIBUTES.items()
        for value in values
    },
}


def test_the_check_survives_whatever_a_game_does(monkeypatch):
    """Every method raises or returns a wrong thing: findings, one line each, no traceback."""
    for name, few in {
        "EPISODES": 3,
        "ACTIONS_TRIED": 4,
        "LUCKS_TRIED": 2,
        "LONGEST": 8,
        "GAMES_A_CHECK": 4,
        "TURNS": 4,
    }.items():
        monkeypatch.setattr(sizes, name, few)
    monkeypatch.setattr(shown, "LOOKS", {"clean": shown.LOOKS["clean"]})
    passed = []
    for how, parts in BROKEN.items():
        found = check_game(
            faulty(LightsOut2000, **parts), ("easy",) if "LEVELS" not in parts else ()
        )
        failed = [f for f in found if not f.ok]
        assert all(f.detail.strip() and "\n" not in f.detail for f in failed), how
        if not failed:
            passed.append(how)
    assert passed == SAME_THING, "these changes are none"


SAME_THING = ["level_type is <class 'lights_out_2000.LevelLightsOut2000'>"]
