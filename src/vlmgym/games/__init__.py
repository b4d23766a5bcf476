"""The games, by name. One file a game."""

from __future__ import annotations

from vlmgym.core import ConfigError, Game, State, read_header
from vlmgym.games.game2048 import Game2048
from vlmgym.games.shisen_sho import ShisenSho
from vlmgym.games.swap import Swap

GAMES: dict[str, Game] = {game.name: game for game in (Game2048(), ShisenSho(), Swap())}


def get_game(name: str | Game) -> Game:
    """The game of that name (a Game passes through).

    Raises:
        ConfigError: there is no game of that name.
    """
    if isinstance(name, Game):
        return name
    if name not in GAMES:
        raise ConfigError("game", name, "one of " + ", ".join(GAMES))
    return GAMES[name]


def load_state(data: bytes) -> tuple[Game, State]:
    """Read serialised state bytes of any known game."""
    game = get_game(str(read_header(data)[0]["game"]))
    return game, game.from_bytes(data)
