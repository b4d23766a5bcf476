"""vlmgym: visual games for training and testing vision-language models.

Importing it registers the games with Gymnasium; the names below are loaded when first used, so that it stays light.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import gymnasium

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
__all__ = ["__version__", *_HOMES]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'vlmgym' has no attribute {name!r}")
    return getattr(import_module(f"vlmgym.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)


gymnasium.register(  # any other game: gymnasium.make("vlmgym/Game-v0", game=...)
    "vlmgym/Game-v0", entry_point="vlmgym.env:GameEnv", vector_entry_point="vlmgym.env:GameVectorEnv"
)
for _name in ("2048", "ShisenSho", "ShisenShoPhotos", "Swap", "Minesweeper", "Sokoban", "SlidingPuzzle", "FrozenLake"):
    gymnasium.register(
        f"vlmgym/{_name}-v0",
        entry_point="vlmgym.env:GameEnv",
        vector_entry_point="vlmgym.env:GameVectorEnv",
        kwargs={"game": _name},
    )
