"""What random, random-legal, greedy and oracle play reach on every game and level: computed here,
stored in the package.

``vlmgym baselines`` rebuilds the stored file; evaluations show its rows beside their own.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from vlmgym.core import ConfigError, Game, Level, seeds_for
from vlmgym.core.files import FileError, read_json, read_json_lines, write_json
from vlmgym.core.processes import results_of
from vlmgym.evals import stats
from vlmgym.evals.estimates import Estimate
from vlmgym.evals.metrics import METRICS
from vlmgym.games import GAMES, get_game
from vlmgym.players.simple import Chooser, Greedy, Oracle, Random, RandomLegal

SEEDS = 1000
"""Episodes behind each row: the first test seeds of the game and level."""
CHUNK = 100
PLAYERS: tuple[type[Chooser], ...] = (Random, RandomLegal, Greedy, Oracle)


def measure(
    game: Game,
    name: str,
    player: Chooser,
    count: int = SEEDS,
    first: int = 0,
) -> dict[str, Estimate]:
    """Play whole episodes on frozen test seeds, without texts and pictures.

    Args:
        game: the game.
        name: of a level with a turn limit.
        player: who plays.
        count: episodes.
        first: number of the first seed.

    Returns:
        Means with 95 % intervals of ``score``, ``reward`` and ``success`` (see
        :data:`vlmgym.evals.metrics.METRICS`).
    """
    return _estimates(*_episodes(game, game.level(name), name, player, count, first))


def _episodes(
    game: Game,
    level: Level,
    name: str,
    player: Chooser,
    count: int,
    first: int,
) -> tuple[Any, Any, Any]:
    """Score, successful turns and turns of each episode, ``(count,)`` each."""
    state = game.reset(level, seeds_for("test", game.name, name, count, first))
    scores = np.zeros(count, np.int64)
    successes = np.zeros(count, np.int64)
    turns = np.zeros(count, np.int64)
    active = np.flatnonzero(~state.ended)
    state = state[active]
    while len(active):
        actions = np.asarray(player.choose(game, state), np.int64)
        after, outcome = game.step(state, actions)
        successes[active] += game.success(state, actions, outcome)
        turns[active] += 1
        scores[active] = after.score
        unfinished = ~after.ended
        active = active[unfinished]
        state = after[unfinished]
    return scores, successes, turns


def _estimates(scores: Any, successes: Any, turns: Any) -> dict[str, Estimate]:
    """Means with intervals, from the columns of :func:`_episodes`, ``(episodes,)`` each."""
    return {
        "score": stats.mean(scores),
        "reward": stats.mean(2 * successes - turns),
        "success": stats.ratio(successes, turns, bounds=METRICS["success"].bounds),
    }


# ---- stored file
@cache
def _stored() -> dict[str, Any]:
    with resources.as_file(resources.files("vlmgym.evals") / "baselines.json") as file:
        return _games_in(file)


def _games_in(path: Path) -> dict[str, Any]:
    """The entries of a stored file, by game.

    Raises:
        FileError: it cannot be read, or holds no baselines.
    """
    games = read_json(path).get("games")
    if not isinstance(games, dict):
        raise FileError(f"{path}: no stored baselines (games is missing or of another type)")
    return games


def stored(game: Game, level: str) -> dict[str, dict[str, dict[str, float]]]:
    """The stored rows of a level: player -> metric -> mean, low, high, n.

    Empty if there are none, or if they are of other rules or of another level of that name.
    """
    entry = _stored().get(game.name, {}).get(level)
    if entry is None or entry["version"] != game.version:
        return {}
    settings = game.level(level)
    if settings.defaults() | entry["level"] != asdict(settings):
        return {}
    return dict(entry["players"])


class _Piece(NamedTuple):
    """Some episodes of a row."""

    game: str
    level: str
    player: type[Chooser]
    first: int

    @property
    def key(self) -> str:
        """What it is called among the finished ones: changes with the rules, and with the level."""
        game = get_game(self.game)
        level = json.dumps(asdict(game.level(self.level)))
        return f"{self.game} {game.version} {level} {self.player.name} {self.first}"

    def play(self) -> list[list[int]]:
        """Score, good turns and turns of each episode."""
        game = get_game(self.game)
        level = game.level(self.level)
        columns = _episodes(game, level, self.level, self.player(), CHUNK, self.first)
        return [column.tolist() for column in columns]


def _pieces(game: str, level: str, player: type[Chooser]) -> list[_Piece]:
    """All pieces of a row."""
    return [_Piece(game, level, player, first) for first in range(0, SEEDS, CHUNK)]


def rebuild(target: Path, scratch: Path, processes: int = 0, games: Sequence[str] = ()) -> None:
    """Compute rows and write the stored file; stopped, it goes on from the pieces in ``scratch``.

    Args:
        target: the file to write.
        scratch: a file of finished pieces, one JSON line each.
        processes: at once; 0 = one a core.
        games: names; all by default. The rows of other games are kept as they are in ``target``, or
            in the package where there is no such file.

    Raises:
        ConfigError: a name of no game of this package.
        FileError: ``target`` or ``scratch`` is there and cannot be read.
    """
    for name in games:
        if name not in GAMES:
            raise ConfigError("game", name, "one of " + ", ".join(GAMES))
    names = [name for name in GAMES if name in games or not games]
    kept: dict[str, Any] = {}
    if len(names) < len(GAMES):
        kept = _games_in(target) if target.exists() else _stored()
    results: dict[str, list[list[int]]] = {}
    for line in read_json_lines(scratch):
        results.update(line)
    pieces = list[_Piece]()
    for name in names:
        for level in GAMES[name].LEVELS:
            for player in PLAYERS:
                pieces += _pieces(name, level, player)
    missing = [piece for piece in pieces if piece.key not in results]
    scratch.parent.mkdir(parents=True, exist_ok=True)
    _cut_torn_line(scratch)
    episodes = CHUNK * len(missing)
    with (
        scratch.open("a", encoding="utf-8") as file,
        tqdm(total=episodes, desc="baselines", unit="episode", file=sys.stderr) as bar,
        results_of(_Piece.play, missing, processes) as played,
    ):
        for piece, columns in played:
            results[piece.key] = columns
            file.write(json.dumps({piece.key: results[piece.key]}) + "\n")
            file.flush()
            bar.set_postfix_str(f"{piece.game} {piece.level} {piece.player.name}", refresh=False)
            bar.update(CHUNK)
    target.parent.mkdir(parents=True, exist_ok=True)
    computed = {name: _levels(GAMES[name], results) for name in names}
    entries = kept | computed
    content = {
        "seeds": f"test split, numbers 0 to {SEEDS - 1} of each level",
        "command": "vlmgym baselines",
        "games": {name: entries[name] for name in GAMES if name in entries},
    }
    write_json(target, content)


def _cut_torn_line(path: Path) -> None:
    """Take off a last line without an end, after which nothing could be written."""
    if path.exists():
        os.truncate(path, path.read_bytes().rfind(b"\n") + 1)


def _levels(game: Game, results: Mapping[str, list[list[int]]]) -> dict[str, Any]:
    """The entry of a game in the stored file, from the finished pieces by their keys."""
    levels: dict[str, Any] = {}
    for level in game.LEVELS:
        players = {}
        for player in PLAYERS:
            pieces = [results[piece.key] for piece in _pieces(game.name, level, player)]
            scores, successes, turns = map(np.concatenate, zip(*pieces, strict=True))
            estimates = _estimates(scores, successes, turns)
            rows = {name: _rounded(estimate) for name, estimate in estimates.items()}
            players[player.name] = rows
        levels[level] = {
            "version": game.version,
            "level": asdict(game.level(level)),
            "players": players,
        }
    return levels


def _rounded(estimate: Estimate) -> dict[str, float | int | None]:
    return {
        name: round(value, 4) if isinstance(value, float) else value
        for name, value in estimate.to_dict().items()
    }
