"""vlmgym: visual games for training and testing vision-language models.

Importing it registers the games with Gymnasium; the names below are loaded when first used, so that
it stays light.
"""

from __future__ import annotations

from vlmgym import early

early.guard()

import re
import sys
from importlib import import_module
from importlib.metadata import entry_points
from types import ModuleType
from typing import TYPE_CHECKING, Any

import gymnasium

if TYPE_CHECKING:  # what the table below says, for type checkers and editors
    from vlmgym.core import NO_ACTION, concat, seeds_for
    from vlmgym.games import GAMES, get_game, load_state
    from vlmgym.looks import LOOKS, Look, get_look
    from vlmgym.outside import from_gymnasium
    from vlmgym.prompt import parse, prompt_text
    from vlmgym.render import render
    from vlmgym.reward import judge
    from vlmgym.rollout import play, walk
    from vlmgym.tasks import Task
    from vlmgym.trace import read_trace

__version__ = "0.1.0"

_HOMES = {
    "GAMES": "games",
    "get_game": "games",
    "load_state": "games",
    "concat": "core",
    "seeds_for": "core",
    "NO_ACTION": "core",
    "LOOKS": "looks",
    "Look": "looks",
    "get_look": "looks",
    "render": "render",
    "prompt_text": "prompt",
    "from_gymnasium": "outside",
    "parse": "prompt",
    "judge": "reward",
    "walk": "rollout",
    "play": "rollout",
    "Task": "tasks",
    "read_trace": "trace",
}
__all__ = [
    "GAMES",
    "LOOKS",
    "NO_ACTION",
    "Look",
    "Task",
    "__version__",
    "concat",
    "from_gymnasium",
    "get_game",
    "get_look",
    "judge",
    "load_state",
    "parse",
    "play",
    "prompt_text",
    "read_trace",
    "render",
    "seeds_for",
    "walk",
]


class _Package(ModuleType):
    """The import system binds every submodule in its package; a public name of the same name keeps
    what it stands for.

    ``vlmgym.render`` is the function, whether the submodule ``vlmgym.render`` has been imported or
    not, as it would be if this file imported its names at once.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        own = isinstance(value, ModuleType) and _HOMES.get(name) == name
        super().__setattr__(name, getattr(value, name) if own else value)


sys.modules[__name__].__class__ = _Package


if not TYPE_CHECKING:  # a type checker would take every name for one that this function knows

    def __getattr__(name: str) -> Any:
        if name not in _HOMES:
            raise AttributeError(f"module 'vlmgym' has no attribute {name!r}")
        return getattr(import_module(f"vlmgym.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)


def _register(game: str | None = None) -> None:
    """``vlmgym/GAME-v0``; without a name ``vlmgym/Game-v0``, which takes any game as ``game=``.

    The environments keep the order of calls and check what they are given themselves: without
    Gymnasium's wrappers, ``gymnasium.make`` gives one with ``snapshot``, ``restore`` and ``fork``.
    """
    gymnasium.register(
        f"vlmgym/{game or 'Game'}-v0",
        entry_point="vlmgym.env:GameEnv",
        vector_entry_point="vlmgym.env:GameVectorEnv",
        order_enforce=False,
        disable_env_checker=True,
        kwargs={"game": game} if game else {},
    )


_OWN = (
    "2048",
    "ShisenSho",
    "ShisenShoPhotos",
    "Swap",
    "Minesweeper",
    "Sokoban",
    "SlidingPuzzle",
    "FrozenLake",
    "Breakout",
)
# by installed packages; they are not imported here
_ADDED = (entry.name for entry in entry_points(group="vlmgym.games"))
for _name in dict.fromkeys(
    (
        None,
        *_OWN,
        *(_name for _name in _ADDED if _name != "Game" and re.fullmatch(r"[\w.-]+", _name)),
    )
):
    _register(_name)
