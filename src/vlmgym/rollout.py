"""Who meets what: random walks to training states, and episodes of a player."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from vlmgym.core import LEGAL_STREAM, NO_ACTION, ConfigError, Game, Level, State, draw_rows
from vlmgym.players.base import Player
from vlmgym.reward import judge
from vlmgym.trace import Episode, Turn


def walk(game: Game, level: Level, seeds: NDArray[np.uint64], steps: int | NDArray[np.int64], legal: bool = False) -> State:
    """States after random play from fresh games; no frame is drawn. Games that end go on with a fresh deal.

    Args:
        game: the game.
        level: its level; its turn limit does not apply during the walk.
        seeds: ``(B,)`` uint64; they also choose the moves.
        steps: moves to play, one number or ``(B,)``.
        legal: choose among legal actions (else among all, as in the paper).

    Returns:
        ``B`` states, none ended, at turn 0 with score 0, with the seeds as keys of their future luck.
    """
    free = level.override(max_steps=0, restart=True)
    steps = np.broadcast_to(np.asarray(steps, np.int64), (len(seeds),))
    state, count = game.reset(free, seeds), np.full(len(seeds), game.n_actions(level))
    for step in range(int(steps.max(initial=0))):
        actions = game.draw_legal(state) if legal else draw_rows(seeds, step, LEGAL_STREAM, count)
        state, _ = game.step(state, np.where(steps > step, actions, NO_ACTION))
    zero = np.zeros(len(state), np.int64)
    return replace(state, level=level, score=zero, steps=zero.copy(), terminated=np.zeros(len(state), bool), seed=seeds)


def play(
    game: Game,
    state: State,
    player: Player,
    turns: int = 0,
    mode: str = "strict",
    oracle: bool = True,
    after_turn: Callable[[list[Turn]], None] | None = None,
) -> tuple[list[Turn], list[Episode]]:
    """Play a batch of episodes side by side until all have ended, or for at most ``turns`` turns.

    Args:
        game: the game.
        state: the starts, one episode a row, none ended.
        player: who answers.
        turns: most turns of an episode; 0 = until it ends (the level must then have a turn limit).
        mode: parse mode.
        oracle: record oracle values (may be slow on large boards).
        after_turn: called with the records of each round of turns.

    Returns:
        All turns (round by round) and one Episode a row, in row order.

    Raises:
        ConfigError: nothing would end the episodes.
    """
    if not turns and not state.level.max_steps:
        raise ConfigError("turns", turns, "at least 1 for a level without a turn limit (max_steps = 0)")
    live = np.flatnonzero(~state.ended)
    played: list[Turn] = []
    rewards, counts = np.zeros(len(state)), np.zeros(len(state), np.int64)
    number, current = 0, state
    while len(live) and (not turns or number < turns):
        part = current[live]
        begin = time.perf_counter()
        replies = player.reply(game, part)
        seconds = (time.perf_counter() - begin) / len(live)
        after, judged = judge(game, part, replies, mode, oracle)
        records = [
            Turn.of(game, part, i, one, int(row), number, seconds) for i, (row, one) in enumerate(zip(live, judged, strict=True))
        ]
        rewards[live] += [one.terms["game"] for one in judged]
        counts[live] += 1
        arrays = current.arrays()
        for key, value in after.arrays().items():
            arrays[key] = arrays[key].copy()
            arrays[key][live] = value
        current = current.with_arrays(arrays)
        live, number = np.flatnonzero(~current.ended), number + 1
        played += records
        if after_turn:
            after_turn(records)
    ends = np.where(current.terminated, "terminated", np.where(current.truncated, "truncated", "stopped"))
    episodes = [
        Episode(i, int(state.seed[i]), int(counts[i]), int(current.score[i]), float(rewards[i]), str(ends[i]))
        for i in range(len(state))
    ]
    return played, episodes
