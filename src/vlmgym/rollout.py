"""Who meets what: random walks to training states, and episodes of a player."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from vlmgym.core import LEGAL_STREAM, NO_ACTION, ConfigError, Game, Level, State, draw_rows
from vlmgym.looks import Look, get_look
from vlmgym.players.base import Player, Query
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


class Lane:
    """A batch of episodes under way, that a player is asked about.

    Args:
        game: the game.
        state: the starts, one episode a row, none ended.
        look: how it looks to the player.
        style: prompt style.
        turns: most turns of an episode; 0 = until it ends (the level must then have a turn limit).
        mode: parse mode.
        oracle: record oracle values (may be slow on large boards).

    Attributes:
        turns: the records of all turns, in the order in which they were answered.

    Raises:
        ConfigError: nothing would end the episodes.
    """

    def __init__(
        self,
        game: Game,
        state: State,
        look: str | Look = "clean",
        style: str = "full",
        turns: int = 0,
        mode: str = "strict",
        oracle: bool = True,
    ) -> None:
        if not turns and not state.level.max_steps:
            raise ConfigError("turns", turns, "at least 1 for a level without a turn limit (max_steps = 0)")
        self.game, self.state, self.look, self.style = game, state, get_look(look), style
        self.limit, self.mode, self.oracle = turns, mode, oracle
        self.turns: list[Turn] = []
        self._starts = state
        self._rewards, self._counts = np.zeros(len(state)), np.zeros(len(state), np.int64)

    def live(self) -> NDArray[np.int64]:
        """The rows that go on."""
        more = self._counts < self.limit if self.limit else True
        return np.flatnonzero(~self.state.ended & more)

    def query(self, rows: NDArray[np.int64]) -> Query:
        """What to ask about some rows."""
        return Query(self.game, self.state[rows], self.look, self.style)

    def take(self, rows: NDArray[np.int64], replies: Sequence[str], seconds: float) -> list[Turn]:
        """Play the replies of some rows; ``seconds`` each answer took. Returns the records."""
        part = self.state[rows]
        after, judged = judge(self.game, part, replies, self.mode, self.oracle)
        records = [
            Turn.of(self.game, part, i, one, int(row), int(self._counts[row]), seconds)
            for i, (row, one) in enumerate(zip(rows, judged, strict=True))
        ]
        self._rewards[rows] += [one.terms["game"] for one in judged]
        self._counts[rows] += 1
        arrays = self.state.arrays()
        for key, value in after.arrays().items():
            arrays[key] = arrays[key].copy()
            arrays[key][rows] = value
        self.state = self.state.with_arrays(arrays)
        self.turns += records
        return records

    def episodes(self) -> list[Episode]:
        """One record a row."""
        now, seeds = self.state, self._starts.seed
        ends = np.where(now.terminated, "terminated", np.where(now.truncated, "truncated", "stopped"))
        return [
            Episode(i, int(seeds[i]), int(self._counts[i]), int(now.score[i]), float(self._rewards[i]), str(ends[i]))
            for i in range(len(seeds))
        ]


def play(lanes: Sequence[Lane], player: Player, after_turn: Callable[[Lane, list[Turn]], None] | None = None) -> None:
    """Play the episodes of all lanes side by side until all have ended or reached their turns.

    Args:
        lanes: batches of episodes, of one game or of several.
        player: who answers.
        after_turn: called with a lane and the new records.
    """
    while asked := [(lane, rows) for lane in lanes if len(rows := lane.live())]:
        begin = time.perf_counter()
        replies = player.answer([lane.query(rows) for lane, rows in asked])
        seconds = (time.perf_counter() - begin) / sum(len(rows) for _, rows in asked)
        for (lane, rows), texts in zip(asked, replies, strict=True):
            records = lane.take(rows, texts, seconds)
            if after_turn:
                after_turn(lane, records)
