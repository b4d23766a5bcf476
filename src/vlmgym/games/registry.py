"""The games, by name."""

from __future__ import annotations

import base64
import re
import sys
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from inspect import isfunction
from pathlib import Path
from types import ModuleType
from typing import Any, get_type_hints

from vlmgym.core import ConfigError, Game, State, StateError, VlmGymError, name_of, read_header
from vlmgym.games.bundled import BUNDLED, EXTRA_GAMES
from vlmgym.games.guard import guard


def _bundled(where: str) -> Game:
    module, _, name = where.partition(":")
    game: Game = getattr(import_module(module), name)()
    return game


GAMES: dict[str, Game] = {name: _bundled(where) for name, where in BUNDLED.items()}
"""The games of this package."""


ENTRY_POINTS = "vlmgym.games"
"""The entry-point group by which installed packages add games: name = "module:GameClass"."""


_given: dict[str, Game] = {}
"""Games that this process was given by its commands, recipes or callers: as they were named there,
and by their own names.
"""


def game_names() -> tuple[str, ...]:
    """The names of all games: of this package (those of extras, if installed), and those that
    installed packages add.
    """
    extra = [name for name, (_, module) in EXTRA_GAMES.items() if find_spec(module)]
    return tuple(
        dict.fromkeys([*GAMES, *extra, *(e.name for e in entry_points(group=ENTRY_POINTS))])
    )


def games_table() -> str:
    """All games as text lines: name, size and actions at level normal, tags, levels."""
    lines = [f"{'game':<18}{'board':<10}{'actions':>8}  {'tags':<24}levels"]
    for name in game_names():
        game = get_game(name)
        level = game.level("normal")
        rows, cols = (0, 0) if game.screen else game.sample(level).symbols.shape[1:]
        size = f"{rows} x {cols}" if rows else "screen"
        actions = game.n_actions(level)
        tags = ", ".join(game.tags)
        levels = ", ".join(game.LEVELS)
        lines.append(f"{name:<18}{size:<10}{actions:>8}  {tags:<24}{levels}")
    return "\n".join(lines) + "\n"


def get_game(name: str | int | Game) -> Game:
    """The game that a command, a recipe or a caller names (a Game passes through).

    From then on this process knows it.

    What is named ``module:...`` is imported, so the name must come from the user; names in data go
    through :func:`known_game`.

    Args:
        name: of this package (:data:`GAMES`), of an installed package's entry point, or
            ``module:attribute``: a class of games, a game, or a function that says that it returns
            one (``def pong() -> Game``). 2048 means ``"2048"``.

    Raises:
        ConfigError: there is no game of that name, or what is found there is no Game.
    """
    if isinstance(name, Game):
        _remember(name)
        return name
    name = name_of(name)
    if not isinstance(name, str):
        raise ConfigError("game", name, "the name of a game")
    game = _known(name)
    if game is None:
        if ":" not in name:
            raise ConfigError(
                "game", name, "module:GameClass, or one of " + ", ".join(game_names())
            )
        game = _given[name] = _named_game(name)
        _remember(game)
    return game


def known_game(name: object) -> Game:
    """The game that *data* names: a state, a trace, a summary.

    Nothing is imported that the user has not installed or named.

    Known are the games of this package, those that installed packages add (:data:`ENTRY_POINTS`),
    and what this process was given through :func:`get_game`: by its command line, its recipe, or
    its caller.

    Raises:
        ConfigError: it is not known here; the message says how to make it known.
    """
    name = name_of(name)
    game = _known(name) if isinstance(name, str) else None
    if game is None:
        where = name if isinstance(name, str) and _WHERE.fullmatch(name) else "MODULE:CLASS"
        allowed = (
            f"a game that is installed, or known by --game {where} (in Python: "
            f"get_game({where!r})), if you trust its code"
        )
        raise ConfigError("game", name, allowed)
    return game


def game_of(state: State) -> Game | None:
    """The game of a state, by its class and level, of those that this process knows by now; None:
    of none, or of several.
    """
    games = dict[tuple[Any, ...], Game]()
    for game in (*GAMES.values(), *_given.values()):
        if type(state) is game.state_type and type(state.level) is game.level_type:
            games[game.identity()] = game
    return next(iter(games.values())) if len(games) == 1 else None


def own_name(game: Game) -> str:
    """The name of a game, where what it writes is read back as its own.

    Raises:
        ConfigError: another game of this process has that name.
    """
    if not _remember(game):
        raise ConfigError(
            "game",
            game,
            f"a game with a name of its own: here {game.name} is another one, {_known(game.name)}",
        )
    return game.name


def _remember(game: Game) -> bool:
    """Know a game by its name from now on, unless that is the name of another one; returns whether
    it is known.

    Of two that are alike (a cell of a notebook that was run again) the later one counts.
    """
    known = _known(game.name)
    is_same = known is None or known is game or known.identity() == game.identity()
    if is_same and game.name not in GAMES:
        _given[game.name] = game
    return is_same


# ---- where games are found
def _known(name: str) -> Game | None:
    """The game of a name that may stand in data."""
    if name in GAMES:
        return GAMES[name]
    if name in _given:
        return _given[name]
    if name in EXTRA_GAMES:
        return _extra_game(name)
    entries = entry_points(group=ENTRY_POINTS)
    for entry in entries:
        if entry.name == name:
            return _entry_game(entry)
    # states hold the game's own name, which may be another one than that of the entry
    for entry in entries:
        with suppress(VlmGymError):
            if (game := _entry_game(entry)).name == name:
                return game
    return None


@cache
def _extra_game(name: str) -> Game:
    module, _, maker = EXTRA_GAMES[name][0].partition(":")
    return _made(name, getattr(import_module(module), maker))


@cache
def _entry_game(entry: EntryPoint) -> Game:
    """The game of an installed package; what is there may be any function, as installing it was the
    user's choice.
    """
    try:
        loaded = entry.load()
    except Exception as error:
        raise ConfigError(
            "game", entry.name, f"an entry point that can be loaded ({_cause(error)})"
        ) from error
    return _made(entry.name, loaded)


_WHERE = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*")


_NAME = re.compile(r"\w[\w.+ -]{0,99}")
"""Names of games stand in traces, in names of folders and environments, and in commands, where a
colon is that of a module.
"""


def _named_game(name: str) -> Game:
    """The game at ``module:attribute``.

    Nothing there is called unless it is a class of games, or says that it makes one.
    """
    if not _WHERE.fullmatch(name):
        raise ConfigError(
            "game",
            name,
            "module:attribute, as Python writes them, or one of " + ", ".join(game_names()),
        )
    module, _, attribute = name.partition(":")
    try:
        attribute_value = getattr(import_named(module), attribute)
    except (Exception, SystemExit) as error:
        raise ConfigError(
            "game", name, f"a module that can be imported and has that class ({_cause(error)})"
        ) from error
    if not isinstance(attribute_value, Game) and not _makes_games(attribute_value):
        allowed = (
            "a vlmgym.core.Game: a class, an instance, or a function that is marked to "
            "return one (-> Game)"
        )
        raise ConfigError("game", name, allowed)
    return _made(name, attribute_value)


def import_named(module: str) -> ModuleType:
    """A module that the user named; it may lie in the working folder, which installed commands do
    not search.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        folder = str(Path.cwd())
        top_module = module.partition(".")[0]
        if (
            error.name != top_module
            or folder in sys.path
            or not (Path(top_module).is_dir() or Path(f"{top_module}.py").is_file())
        ):
            raise
        sys.path.append(folder)
        return import_module(module)


def _makes_games(value: object) -> bool:
    if isfunction(value):
        try:
            value = get_type_hints(value).get("return")
        except NameError:
            return False
    return isinstance(value, type) and issubclass(value, Game)


def _made(name: str, source: Any) -> Game:
    """The game that was found, or that it makes.

    Raises:
        ConfigError: it is none, cannot be made, or lacks what every game states of itself.
    """
    try:
        game = source if isinstance(source, Game) else source()
    except VlmGymError:
        raise
    except Exception as error:
        raise ConfigError(
            "game", name, f"a game that can be made without arguments ({_cause(error)})"
        ) from error
    if not isinstance(game, Game):
        raise ConfigError(
            "game", name, "a vlmgym.core.Game: a class, an instance, or a function that makes one"
        )
    kinds = {"name": str, "version": int, "level_type": type, "LEVELS": Mapping}
    if wrong := [
        key for key, kind in kinds.items() if not isinstance(getattr(game, key, None), kind)
    ]:
        raise ConfigError("game", name, f"a game that states its {', '.join(wrong)}")
    if not _NAME.fullmatch(game.name):
        allowed = "1 to 100 letters, digits, blanks and any of _ . + -, a letter or digit first"
        raise ConfigError(f"{name}.name", game.name, allowed)
    guard(game)
    return game


def _cause(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


# ---- states as bytes
def load_state(data: bytes) -> tuple[Game, State]:
    """Read serialised state bytes of any known game (see :func:`known_game`), of whatever origin.

    Raises:
        StateError: no state bytes, damaged ones, or of a game that is not known here.
    """
    name = read_header(data)[0].game
    try:
        game = known_game(name)
    except ConfigError as error:
        raise StateError(f"a state of another game: {error}") from error
    return game, game.from_bytes(data)


def state_text(game: Game, state: State) -> str:
    """A state as text for traces and trainer rows: base64 of its bytes."""
    return base64.b64encode(state.to_bytes(game)).decode()


def read_state_text(text: str) -> tuple[Game, State]:
    """Read back what :func:`state_text` wrote.

    Raises:
        StateError: no base64, or no state bytes (see :func:`load_state`).
    """
    try:
        data = base64.b64decode(text, validate=True)
    except (ValueError, TypeError) as error:
        raise StateError(f"not the text of a state: {error}") from error
    return load_state(data)


def is_state(text: str, game: Game, state: State) -> bool:
    """Whether a text stands for this state; it may be written by an earlier version."""
    if text == state_text(game, state):
        return True
    try:
        return game.from_bytes(base64.b64decode(text, validate=True)) == state
    except (ValueError, TypeError):
        return False
