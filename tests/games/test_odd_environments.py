"""Outside environments that are odd: played like the plain one, or refused in a sentence."""

from __future__ import annotations

import numpy as np
import pytest

from parts.odd_environments import ACTIONS, RULES
from vlmgym import from_gymnasium
from vlmgym.core import ConfigError, VlmGymError, seeds_for
from vlmgym.games.external import (
    OutsideError,
    SnapshotError,
    environment,
)


@pytest.mark.parametrize(
    "odd", ["own buffer", "own buffer, upside down", "numpy ends", "counts from five"]
)
def test_odd_environments_that_are_right_play_like_the_plain_one(odd: str) -> None:
    """One that draws all pictures into one buffer gives each game its own picture, for instance."""
    actions = {"none": 5, "little": 6, "much": 7} if odd == "counts from five" else ACTIONS
    plain, game = (
        from_gymnasium("Odd-v0", ACTIONS, RULES),
        from_gymnasium("Odd-v0", actions, RULES, odd=odd),
    )
    seeds, moves = seeds_for("test", "Odd", "easy", 4), np.array([0, 1, 2, 2])
    states = []
    for one in (plain, game):
        fresh = one.reset(one.level("easy"), seeds)
        kept = fresh.to_bytes(one)
        after, outcome = one.step(fresh, moves)
        assert fresh.to_bytes(one) == kept
        states.append((fresh, after, outcome.gain.tolist()))
    assert states[0] == states[1]
    assert len({frame.tobytes() for frame in states[1][0].frame}) == 4  # type: ignore[attr-defined]


def test_games_that_share_a_buffer_are_refused_when_they_are_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without the copy at the edge, the trial of snapshots says that games side by side are not
    what they are alone.
    """
    monkeypatch.setattr(environment, "copied", lambda frame: frame)
    with pytest.raises(
        SnapshotError, match="games side by side differ from the same games played alone"
    ):
        from_gymnasium("Odd-v0", ACTIONS, RULES, odd="own buffer")


@pytest.mark.parametrize(
    ("odd", "said"),
    [
        ("reset raises", r"Odd: reset\(\) raised OSError: no such device"),
        ("step raises", r"Odd: step\(\d\) raised ZeroDivisionError: division by zero"),
        ("render raises", r"Odd: render\(\) raised RuntimeError: no display"),
        ("nan", r"Odd: step\(0\) gave the reward nan: allowed are finite numbers"),
        ("inf", r"Odd: step\(0\) gave the reward inf: allowed are finite numbers"),
        ("none", r"Odd: step\(0\) raised TypeError"),
        ("a word", r"Odd: step\(0\) raised ValueError"),
        (
            "grows",
            r"render\(\) = 'array \(11, 30, 3\)': allowed is one size .* the first one was "
            r"\(10, 30, 3\)",
        ),
        (
            "grey",
            r"render\(\) = 'array \(20, 30, 1\) of uint8': allowed is an array \(H, W, 3\) of "
            r"uint8",
        ),
        ("alpha", r"render\(\) = 'array \(20, 30, 4\) of uint8'"),
        ("floats", r"render\(\) = 'array \(20, 30, 3\) of float64'"),
        ("a list", r"render\(\) = 'list'"),
        ("nothing", r"render\(\) = 'NoneType'"),
        (
            "counts from five",
            r"actions\['none'\] = 0: allowed is an element of Discrete\(3, " r"start=5\)",
        ),
        ("many actions", r"actions\['none'\] = 0: allowed is an element of MultiDiscrete"),
        ("a force", r"actions\['none'\] = 0: allowed is an element of Box"),
    ],
)
def test_odd_environments_that_cannot_be_used_are_refused_in_a_sentence(
    odd: str, said: str
) -> None:
    with pytest.raises(VlmGymError, match=said):
        from_gymnasium("Odd-v0", ACTIONS, RULES, odd=odd)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"env": "NoSuchEnv-v0"}, r"NoSuchEnv: making the environment raised NameNotFound"),
        ({"env": 7}, r"env = 7: allowed is the id of an environment"),
        (
            {"env": "Counter-v0", "speed": 3},
            r"Counter: making the environment raised " r"TypeError.*speed",
        ),
        ({"actions": {"a": 0, "b": 0}}, r"actions\['b'\] = 0: allowed is each name .* once"),
        ({"actions": {"up": 0, "UP": 1}}, r"actions\['UP'\] = 1: allowed is each name"),
        ({"actions": {"": 0}}, r"actions = ''"),
        ({"actions": {"a|b": 0}}, r"actions = 'a\|b'"),
        ({"actions": {3: 0}}, r"actions = 3"),
        ({"actions": {"a": (0, 1)}}, r"actions\['a'\] = \(0, 1\): allowed is a whole number"),
        ({"actions": {"a": 0.5}}, r"actions\['a'\] = 0.5: allowed is a whole number"),
        ({"actions": {"a": True}}, r"actions\['a'\] = True: allowed is a whole number"),
        ({"actions": ["a"]}, r"actions = \['a'\]: allowed is 1 to 255 names"),
        ({"actions": {f"a{n}": n for n in range(256)}}, r"allowed is 1 to 255 names"),
        ({"rules": ""}, r"rules = '': allowed is a text"),
        ({"rules": None}, r"rules = None: allowed is a text"),
        ({"points": float("nan")}, r"points = nan: allowed is a finite number"),
        ({"points": 0}, r"points = 0: allowed is a finite number"),
        ({"value": 3}, r"value = 3: allowed is a function"),
        ({"levels": {}}, r"levels = \{\}: allowed is names with"),
        ({"levels": {"normal": 5}}, r"levels = .*: allowed is names with"),
    ],
)
def test_arguments_that_make_no_game_are_refused(given: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError if "making" not in said else OutsideError, match=said):
        from_gymnasium(**{"env": "Counter-v0", "actions": ACTIONS, "rules": RULES, **given})  # type: ignore[arg-type]
