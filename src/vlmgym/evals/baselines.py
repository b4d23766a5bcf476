"""What random, random-legal, greedy and oracle play reach on every game and level: computed here,
stored in the package.

``vlmgym baselines`` rebuilds the stored file; evaluations show its rows beside their own.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict
from functools import cache
from importlib import resources
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from vlmgym.core import Game, Level, seeds_for
from vlmgym.core.files import read_json, read_json_lines, write_json
from vlmgym.evals import stats
from vlmgym.evals.estimates import Estimate
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
        "success": stats.ratio(successes, turns),
    }


# ---- stored file
@cache
def _stored() -> dict[str, Any]:
    with resources.as_file(resources.files("vlmgym.evals") / "baselines.json") as file:
        return dict(read_json(file)["games"])


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


def rebuild(target: Path, scratch: Path, processes: int = 0) -> None:
    """Compute all rows and write the stored file; stopped, it goes on from the pieces in
    ``scratch``.

    Args:
        target: the file to write.
        scratch: a file of finished pieces, one JSON line each.
        processes: at once; 0 = one a core.
    """
    results: dict[str, list[list[int]]] = {}
    for line in read_json_lines(scratch):
        results.update(line)
    pieces = list[_Piece]()
    for name, game in GAMES.items():
        for level in game.LEVELS:
            for player in PLAYERS:
                pieces += _pieces(name, level, player)
    missing = [piece for piece in pieces if piece.key not in results]
    scratch.parent.mkdir(parents=True, exist_ok=True)
    workers = processes or os.cpu_count() or 1
    episodes = CHUNK * len(missing)
    with (
        scratch.open("a", encoding="utf-8") as file,
        ProcessPoolExecutor(workers, get_context("spawn")) as executor,
        tqdm(total=episodes, desc="baselines", unit="episode", file=sys.stderr) as bar,
    ):
        running = {executor.submit(piece.play): piece for piece in missing}
        for future in as_completed(running):
            piece = running[future]
            results[piece.key] = future.result()
            file.write(json.dumps({piece.key: results[piece.key]}) + "\n")
            file.flush()
            bar.set_postfix_str(f"{piece.game} {piece.level} {piece.player.name}", refresh=False)
            bar.update(CHUNK)
    target.parent.mkdir(parents=True, exist_ok=True)
    content = {
        "seeds": f"test split, numbers 0 to {SEEDS - 1} of each level",
        "command": "vlmgym baselines",
        "games": {name: _levels(game, results) for name, game in GAMES.items()},
    }
    write_json(target, content)


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
