"""Compiling all kernels of all games, once on a machine."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from vlmgym.core.processes import results_of
from vlmgym.envs.vector import GameVectorEnv
from vlmgym.games import GAMES, get_game


def _compile(name: str) -> None:
    """Run everything that is compiled for one game, on a few rows."""
    game = get_game(name)
    for look in ("tiny", "clean:noise=0.1"):
        level = game.level("tiny", max_steps=0, restart=True)
        environments = GameVectorEnv(game, 2, level, look, copy=False)
        environments.reset(seed=0)
        for _ in range(2):
            environments.step(game.draw_legal(environments.state))
    state = environments.state
    action = int(game.draw_legal(state)[0])
    game.branch(state, np.full((2, 1), action))
    game.oracle(state)
    game.explain(state, 0, action)
    game.candidates(state, 0)
    game.would_succeed(level, game.scene(state).symbols, np.full(2, action))


def compile_all(processes: int = 0, progress: Callable[[int, int], None] | None = None) -> float:
    """Compile all kernels of all games, once on a machine; they are compiled one by one at their
    first use otherwise.

    Args:
        processes: workers side by side; 0 = one for each usable core.
        progress: called with the games done and their number.

    Returns:
        Seconds.
    """
    # the longest first
    start = time.perf_counter()
    names = sorted(GAMES, key=lambda name: name != "Minesweeper")
    with results_of(_compile, names, processes) as results:
        for done, _ in enumerate(results, 1):
            if progress:
                progress(done, len(names))
    return time.perf_counter() - start
