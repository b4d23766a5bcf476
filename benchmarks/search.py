"""How well search by simulated continuations plays: K and H are chosen on pilot seeds, and the
choice is compared with the oracle and with random legal play on test seeds, game by game.

usage: python benchmarks/search.py [--game 2048 --level paper] [--out FILE]
"""

import argparse
import itertools
import json
import sys
from dataclasses import asdict

import numpy as np

from vlmgym.core import seeds_for
from vlmgym.evals import stats
from vlmgym.games import get_game
from vlmgym.players.simple import Oracle, RandomLegal, Search

CONTINUATIONS = (4, 16, 64)
HORIZONS = (5, 10, 20, 40)
PILOT_GAMES = 60
GAMES = 300


def say(line):
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def scores(game, level, player, seeds):
    """The final score of each game, ``(games,)``."""
    state = game.reset(game.level(level), seeds)
    while not state.ended.all():
        going = np.flatnonzero(~state.ended)
        actions = np.full(len(state), -1)
        actions[going] = player.choose(game, state[going])
        state, _ = game.step(state, actions)
    return state.score.astype(float)


def main():
    """Choose, compare, and print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--game", default="2048")
    parser.add_argument("--level", default="paper")
    parser.add_argument("--out", default="")
    asked = parser.parse_args()
    game = get_game(asked.game)
    pilot = seeds_for("pilot", game.name, asked.level, PILOT_GAMES)
    found = {}
    for continuations, horizon in itertools.product(CONTINUATIONS, HORIZONS):
        player = Search(continuations, horizon)
        found[continuations, horizon] = scores(game, asked.level, player, pilot)
        mean = found[continuations, horizon].mean()
        error = found[continuations, horizon].std(ddof=1) / PILOT_GAMES**0.5
        say(f"pilot K={continuations} H={horizon}: {mean:.1f} +- {error:.1f}")
    chosen = max(found, key=lambda key: found[key].mean())
    seeds = seeds_for("test", game.name, asked.level, GAMES, 200_000)
    players = {"search": Search(*chosen), "oracle": Oracle(), "random-legal": RandomLegal()}
    results = {name: scores(game, asked.level, player, seeds) for name, player in players.items()}
    for name, values in results.items():
        error = values.std(ddof=1) / GAMES**0.5
        say(f"test {name}: {values.mean():.1f} +- {error:.1f}")
    differences = {}
    for name in ("oracle", "random-legal"):
        one = stats.paired(results["search"], results[name])
        differences[name] = asdict(one)
        say(f"search {chosen} - {name}: {one.mean:+.1f} [{one.low:+.1f}, {one.high:+.1f}]")
    if asked.out:
        pilots = {f"{k},{h}": values.mean() for (k, h), values in found.items()}
        means = {name: values.mean() for name, values in results.items()}
        text = {"pilot": pilots, "chosen": chosen, "means": means, "differences": differences}
        with open(asked.out, "w", encoding="utf-8") as file:
            json.dump(text, file, indent=1)


if __name__ == "__main__":
    main()
