"""The games, by name. One file a game."""

from __future__ import annotations

import base64
import binascii
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from importlib.util import find_spec

from vlmgym.core import ConfigError, Game, State, StateError, read_header
from vlmgym.games.frozen_lake import FrozenLake
from vlmgym.games.game2048 import Game2048
from vlmgym.games.minesweeper import Minesweeper
from vlmgym.games.shisen_sho import ShisenSho, ShisenShoPhotos
from vlmgym.games.sliding import SlidingPuzzle
from vlmgym.games.sokoban import Sokoban
from vlmgym.games.swap import Swap

GAMES: dict[str, Game] = {
    game.name: game
    for game in (
        Game2048(), ShisenSho(), ShisenShoPhotos(), Swap(), Minesweeper(), Sokoban(), SlidingPuzzle(), FrozenLake(),
    )
}  # fmt: skip


ENTRY_POINTS = "vlmgym.games"
"""The entry-point group by which installed packages add games: name = "module:GameClass"."""


EXTRA_GAMES = {"Breakout": ("vlmgym.outside:breakout", "ale_py")}
"""Games that need an extra: where they are made, and the module that must be installed for them to be listed."""


def game_names() -> tuple[str, ...]:
    """The names of all games: of this package (those of extras, if installed), and those that installed packages add."""
    extra = [name for name, (_, module) in EXTRA_GAMES.items() if find_spec(module)]
    return tuple(dict.fromkeys([*GAMES, *extra, *(e.name for e in entry_points(group=ENTRY_POINTS))]))


def get_game(name: str | Game) -> Game:
    """The game of that name (a Game passes through).

    Args:
        name: of this package (:data:`GAMES`), of an installed package's entry point, or ``module:GameClass``.

    Raises:
        ConfigError: there is no game of that name, or what is found there is no Game.
    """
    if isinstance(name, Game):
        return name
    if name in GAMES:
        return GAMES[name]
    return _outside_game(name)


@cache
def _outside_game(name: str) -> Game:
    for entry in entry_points(group=ENTRY_POINTS):
        if entry.name == name:
            return _as_game(name, entry.load())
    module, colon, attribute = EXTRA_GAMES.get(name, (name,))[0].partition(":")
    if colon and module and attribute:
        try:
            found = getattr(import_module(module), attribute)
        except (ImportError, AttributeError) as error:
            raise ConfigError("game", name, f"a module that can be imported and has that class ({error})") from error
        return _as_game(name, found)
    raise ConfigError("game", name, "module:GameClass, or one of " + ", ".join(game_names()))


def _as_game(name: str, found: object) -> Game:
    game = found() if callable(found) and not isinstance(found, Game) else found
    if not isinstance(game, Game):
        raise ConfigError("game", name, "a vlmgym.core.Game: a class, an instance, or a function that makes one")
    return game


def load_state(data: bytes) -> tuple[Game, State]:
    """Read serialised state bytes of any known game."""
    game = get_game(str(read_header(data)[0]["game"]))
    return game, game.from_bytes(data)


def state_text(game: Game, state: State) -> str:
    """A state as text for traces and trainer rows: base64 of its bytes."""
    return base64.b64encode(state.to_bytes(game)).decode()


def read_state_text(text: str) -> tuple[Game, State]:
    """Read back what :func:`state_text` wrote.

    Raises:
        StateError: no base64, or no state bytes.
    """
    try:
        return load_state(base64.b64decode(text, validate=True))
    except binascii.Error as error:
        raise StateError(f"not the text of a state: {error}") from error
