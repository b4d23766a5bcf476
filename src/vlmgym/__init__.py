"""vlmgym: visual games for training and testing vision-language models.

Importing it registers the games with Gymnasium; the names below are loaded when first used, so that
it stays light.
"""

from __future__ import annotations

from vlmgym import early

early.guard()

import re
from importlib.metadata import entry_points

import gymnasium
import lazy_loader

from vlmgym.games.bundled import BUNDLED, EXTRA_GAMES

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
__all__ += ["__version__"]


def _register(game: str | None = None) -> None:
    """``vlmgym/GAME-v0``; without a name ``vlmgym/Game-v0``, which takes any game as ``game=``.

    The environments keep the order of calls and check what they are given themselves: without
    Gymnasium's wrappers, ``gymnasium.make`` gives one with ``snapshot``, ``restore`` and ``fork``.
    """
    gymnasium.register(
        f"vlmgym/{game or 'Game'}-v0",
        entry_point="vlmgym.envs:GameEnv",
        vector_entry_point="vlmgym.envs:GameVectorEnv",
        order_enforce=False,
        disable_env_checker=True,
        kwargs={"game": game} if game else {},
    )


_OWN = (*BUNDLED, *EXTRA_GAMES)
_ADDED = (entry.name for entry in entry_points(group="vlmgym.games"))
for _name in dict.fromkeys(
    (
        None,
        *_OWN,
        *(_name for _name in _ADDED if _name != "Game" and re.fullmatch(r"[\w.-]+", _name)),
    )
):
    _register(_name)
