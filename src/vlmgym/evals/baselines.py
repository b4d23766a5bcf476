"""What random, random-legal, greedy and oracle play reach on every game and level: computed here,
stored in the package.

``vlmgym baselines`` rebuilds the stored file; evaluations show its rows beside their own.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict
from functools import cache
from importlib import resources
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from vlmgym.core import Game, Level, seeds_for
from vlmgym.core.files import read_json, read_json_lines, write_json
from vlmgym.evals import estimates, stats
from vlmgym.games import GAMES, get_game
from vlmgym.players.simple import Chooser, Greedy, Oracle, Random, RandomLegal

SEEDS = 1000
"""Episodes behind each row: the first test seeds of the game and level."""
CHUNK = 100
PLAYERS: tuple[type[Chooser], ...] = (Random, RandomLegal, Greedy, Oracle)


def measure(
    game: Game, name: str, player: Chooser, count: int = SEEDS, first: int = 0
) -> dict[str, estimates.Estimate]:
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
    game: Game, level: Level, name: str, player: Chooser, count: int, first: int
) -> tuple[Any, Any, Any]:
    """Score, good turns and turns of each episode."""
    state = game.reset(level, seeds_for("test", game.name, name, count, first))
    score, good, turns = (
        np.zeros(count, np.int64),
        np.zeros(count, np.int64),
        np.zeros(count, np.int64),
    )
    live = np.flatnonzero(~state.ended)
    state = state[live]
    while len(live):
        actions = np.asarray(player.choose(game, state), np.int64)
        after, outcome = game.step(state, actions)
        good[live] += game.success(state, actions, outcome)
        turns[live] += 1
        score[live] = after.score
        stay = ~after.ended
        live, state = live[stay], after[stay]
    return score, good, turns


def _estimates(score: Any, good: Any, turns: Any) -> dict[str, estimates.Estimate]:
    return {
        "score": stats.mean(score),
        "reward": stats.mean(2 * good - turns),
        "success": stats.ratio(good, turns),
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
    if (
        entry is None
        or entry["version"] != game.version
        or entry["level"] != asdict(game.level(level))
    ):
        return {}
    return dict(entry["players"])


def _work() -> Iterator[tuple[str, str, type[Chooser], int]]:
    for name, game in GAMES.items():
        for level in game.LEVELS:
            for player in PLAYERS:
                for first in range(0, SEEDS, CHUNK):
                    yield name, level, player, first


def _piece(name: str, level: str, player: type[Chooser], first: int) -> list[list[int]]:
    game = get_game(name)
    return [
        part.tolist() for part in _episodes(game, game.level(level), level, player(), CHUNK, first)
    ]


def rebuild(target: Path, scratch: Path, processes: int = 0) -> None:
    """Compute all rows and write the stored file; stopped, it goes on from the pieces in
    ``scratch``.

    Args:
        target: the file to write.
        scratch: a file of finished pieces, one JSON line each.
        processes: at once; 0 = one a core.
    """
    done: dict[str, list[list[int]]] = {}
    for piece in read_json_lines(scratch):
        done.update(piece)

    def key(name: str, level: str, player: type[Chooser], first: int) -> str:
        game = get_game(name)
        return (
            f"{name} {game.version} {json.dumps(asdict(game.level(level)))} {player.name} {first}"
        )

    todo = [work for work in _work() if key(*work) not in done]
    scratch.parent.mkdir(parents=True, exist_ok=True)
    with (
        scratch.open("a", encoding="utf-8") as file,
        ProcessPoolExecutor(processes or os.cpu_count() or 1, get_context("spawn")) as pool,
        tqdm(total=CHUNK * len(todo), desc="baselines", unit="episode", file=sys.stderr) as bar,
    ):
        running = {pool.submit(_piece, *work): work for work in todo}
        for finished in as_completed(running):
            work = running[finished]
            done[key(*work)] = finished.result()
            file.write(json.dumps({key(*work): done[key(*work)]}) + "\n")
            file.flush()
            bar.set_postfix_str(f"{work[0]} {work[1]} {work[2].name}", refresh=False)
            bar.update(CHUNK)
    games: dict[str, Any] = {}
    for name, game in GAMES.items():
        games[name] = {}
        for level in game.LEVELS:
            players = {}
            for player in PLAYERS:
                parts = [done[key(name, level, player, first)] for first in range(0, SEEDS, CHUNK)]
                columns = [np.concatenate([part[k] for part in parts]) for k in range(3)]
                players[player.name] = {k: _rounded(v) for k, v in _estimates(*columns).items()}
            games[name][level] = {
                "version": game.version,
                "level": asdict(game.level(level)),
                "players": players,
            }
    head = {
        "seeds": f"test split, numbers 0 to {SEEDS - 1} of each level",
        "command": "vlmgym baselines",
        "games": games,
    }
    target.parent.mkdir(parents=True, exist_ok=True)
    write_json(target, head)


def _rounded(estimate: estimates.Estimate) -> dict[str, float | int | None]:
    return {k: round(v, 4) if isinstance(v, float) else v for k, v in estimate.to_dict().items()}
