"""Games from the ids of environments."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium
import numpy as np

from vlmgym.core import ConfigError, need
from vlmgym.games.external.adapter import Adaptation, OutsideGame, Value
from vlmgym.games.external.environment import Environment, Make
from vlmgym.games.external.levels import LevelAtari, LevelOutside

ARCADE = "ALE/"
"""How the ids of arcade games begin."""
MOST_ACTIONS = 255
"""A turn of a replayed environment is kept as one byte."""


def from_gymnasium(
    env: str,
    actions: Mapping[str, int],
    rules: str,
    *,
    name: str = "",
    levels: Mapping[str, LevelOutside] | None = None,
    value: Value | None = None,
    points: float = 1.0,
    sources: Sequence[str] = (),
    **options: Any,
) -> OutsideGame:
    """A Gymnasium environment with discrete actions and an RGB picture as a game.

    ``get_game`` passes it through, so it goes wherever the name of a game goes in Python; to use it
    in commands, put it into a module and write ``--game module:variable``.

    Args:
        env: its id, such as ``"ALE/Breakout-v5"``.
        actions: what answers are called -> the environment's action.
        rules: for the prompt.
        name: of the game; by default the last part of ``env`` without its version.
        levels: by name; by default ``easy``, ``normal`` and ``hard`` with 50, 200 and 500 turns.
        value: how good the environment stands, in points; with it the game has an oracle (one turn
            ahead).
        points: factor from rewards to points; it must make all rewards whole numbers.
        sources: for the docs page.
        options: keyword arguments of ``gymnasium.make``.

    Raises:
        ConfigError: an argument is not what is allowed, an action is not of the environment's
            space, or it does not render RGB arrays of one size.
        OutsideError: the environment raised, or gave rewards that are no finite numbers; it can
            also come from later turns.
        SnapshotError: it can be neither cloned nor replayed exactly.
        MissingExtra: it is an arcade game and ale-py is not installed.
    """
    if not isinstance(env, str):
        raise ConfigError("env", env, "the id of an environment, such as 'ALE/Breakout-v5'")
    arcade = env.startswith(ARCADE)
    if arcade:
        need("atari", "ale_py")
    _check_actions(actions)
    if not isinstance(rules, str) or not rules.strip():
        raise ConfigError("rules", rules, "a text for the prompt")
    _check_points(points)
    if value is not None and not callable(value):
        raise ConfigError("value", value, "a function of the environment that returns a number")
    if levels is None:
        levels = _usual_levels(LevelAtari if arcade else LevelOutside)
    _check_levels(levels)
    name = name or env.rpartition("/")[2].rpartition("-v")[0] or env
    make = maker(env, options)
    game = OutsideGame(Adaptation(name, make, actions, rules, levels, value, points, sources))
    game.check_snapshots(next(iter(levels.values())))
    return game


def maker(env: str, options: Mapping[str, Any]) -> Make:
    """What makes the environment of a level: by its id, with these keyword arguments of
    ``gymnasium.make``.
    """

    def make(level: LevelOutside) -> Environment:
        arguments = dict(options)
        if env.startswith(ARCADE):
            _register_arcade()
        if isinstance(level, LevelAtari):
            arguments |= {
                field: getattr(level, field) for field in ("frameskip", "mode", "difficulty")
            }
            # the emulator forgets the last action when it is restored
            arguments["repeat_action_probability"] = 0.0
        return gymnasium.make(env, render_mode="rgb_array", **arguments)

    return make


def _register_arcade() -> None:
    import ale_py

    ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)
    gymnasium.register_envs(ale_py)


def _usual_levels(kind: type[LevelOutside]) -> dict[str, LevelOutside]:
    return {
        "easy": kind(max_steps=50),
        "normal": kind(max_steps=200),
        "hard": kind(max_steps=500),
    }


def _check_levels(levels: Mapping[str, LevelOutside]) -> None:
    kinds = {type(level) for level in levels.values()}
    if len(kinds) != 1 or not issubclass(next(iter(kinds)), LevelOutside):
        raise ConfigError(
            "levels", levels, "names with LevelOutside or LevelAtari values, all of one class"
        )


def _check_points(points: float) -> None:
    number = isinstance(points, (int, float)) and not isinstance(points, bool)
    if not number or not math.isfinite(points) or not points:
        raise ConfigError("points", points, "a finite number other than 0")


def _check_actions(actions: Mapping[str, int]) -> None:
    """Answers must be told apart, and each mean something of its own."""
    if not isinstance(actions, Mapping) or not 0 < len(actions) <= MOST_ACTIONS:
        raise ConfigError("actions", actions, f"1 to {MOST_ACTIONS} names with an action each")
    used: set[object] = set()
    for word, action in actions.items():
        if not _is_plain(word):
            raise ConfigError(
                "actions", word, "names without line breaks, double blanks and the signs < > ; |"
            )
        field = f"actions[{word!r}]"
        if isinstance(action, bool) or not isinstance(action, (int, np.integer)):
            raise ConfigError(field, action, "a whole number, an action of a Discrete space")
        if word.lower() in used or int(action) in used:
            raise ConfigError(field, action, "each name (in any case) and each action once")
        used |= {word.lower(), int(action)}


def _is_plain(word: object) -> bool:
    return (
        isinstance(word, str)
        and bool(word)
        and word == " ".join(word.split())
        and not set(word) & set("<>;|")
    )
