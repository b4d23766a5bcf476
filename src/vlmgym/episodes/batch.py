"""Who meets what: random walks to training states, and episodes of a player."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, pairwise

import numpy as np
from numpy.typing import NDArray

from vlmgym.core import (
    LEGAL_STREAM,
    NO_ACTION,
    ConfigError,
    Game,
    Level,
    State,
    draw_rows,
    seed_array,
    whole,
)
from vlmgym.dialogue import prompt
from vlmgym.dialogue.judge import judge
from vlmgym.dialogue.reply import BLOCKS, Blocks
from vlmgym.episodes.trace import Episode, TraceError, Turn
from vlmgym.games import is_state
from vlmgym.players.base import Answer, AsyncPlayer, Player, Query, finish
from vlmgym.render.looks import Look, get_look

MOST_STEPS = 1_000_000
"""Moves of a random walk."""


def walk(
    game: Game,
    level: str | Level,
    seeds: NDArray[np.uint64],
    steps: int | NDArray[np.int64],
    legal: bool = False,
) -> State:
    """States after random play from fresh games; no frame is drawn.

    Games that end go on with a fresh deal.

    Args:
        game: the game.
        level: its level; its turn limit does not apply during the walk.
        seeds: ``(B,)`` uint64; they also choose the moves.
        steps: moves to play, one number or ``(B,)``.
        legal: choose among legal actions (else among all, as in the paper).

    Returns:
        ``B`` states, none ended, at turn 0 with score 0, with the seeds as keys of their future
        luck.

    Raises:
        ConfigError: no such level, or seeds or steps that are no whole numbers, negative or too
            large.
    """
    played, seeds = game.level(level), seed_array(seeds)
    free = played.override(max_steps=0, restart=True)
    each = (
        steps.tolist()
        if isinstance(steps, np.ndarray)
        else steps
        if isinstance(steps, list | tuple)
        else [steps] * len(seeds)
    )
    if not isinstance(each, list | tuple) or len(each) != len(seeds):
        raise ConfigError("steps", steps, f"a whole number, or a list of {len(seeds)}")
    steps = np.array([whole("steps", one, MOST_STEPS) for one in each], np.int64)
    state, count = game.reset(free, seeds), np.full(len(seeds), game.n_actions(played))
    for step in range(int(steps.max(initial=0))):
        actions = game.draw_legal(state) if legal else draw_rows(seeds, step, LEGAL_STREAM, count)
        state, _ = game.step(state, np.where(steps > step, actions, NO_ACTION))
    zero = np.zeros(len(state), np.int64)
    return replace(
        state,
        level=played,
        score=zero,
        steps=zero.copy(),
        terminated=np.zeros(len(state), bool),
        seed=seeds,
    )


@dataclass(frozen=True)
class ObservationSettings:
    """What a player is told: how boards look, what is shown of them, and how much of the past.

    Attributes:
        look: name or Look.
        style: prompt style.
        observation: ``"image"``, ``"text"`` or ``"both"``, see :class:`vlmgym.players.base.Query`;
            or ``"prefill"``: the picture, and replies begin with the true description (of players
            that can go on from there: local models).
        history: earlier turns that are told again; -1 = all.
        blocks: what the blocks of a reply are called.
    """

    look: str | Look = "clean"
    style: str = "full"
    observation: str = "image"
    history: int = 0
    blocks: Blocks = BLOCKS


class EpisodeBatch:
    """A batch of episodes under way, that a player is asked about.

    Args:
        game: the game.
        state: the starts, one episode a row, none ended.
        telling: what the player is told.
        turns: most turns of an episode; 0 = until it ends (the level must then have a turn limit).
        mode: parse mode.
        oracle: record oracle values (may be slow on large boards).
        patience: turns in a row in which nothing happened and the move was the same one (or none),
            after which an episode ends as stuck; 0 = never.
        repeats: the rows are so many repetitions of each start, side by side.

    Attributes:
        turns: the records of all turns, in the order in which they were answered.

    Raises:
        ConfigError: nothing would end the episodes.
    """

    def __init__(
        self,
        game: Game,
        state: State,
        telling: ObservationSettings = ObservationSettings(),
        turns: int = 0,
        mode: str = "strict",
        oracle: bool = True,
        patience: int = 0,
        repeats: int = 1,
    ) -> None:
        if not turns and not state.level.max_steps:
            raise ConfigError(
                "turns", turns, "at least 1 for a level without a turn limit (max_steps = 0)"
            )
        self.game, self.state, self.telling, self.look = (
            game,
            state,
            telling,
            get_look(telling.look),
        )
        self.limit, self.mode, self.oracle, self.patience, self.repeats = (
            turns,
            mode,
            oracle,
            patience,
            repeats,
        )
        self.turns: list[Turn] = []
        count = len(state)
        self._seeds, self._rewards, self._counts = (
            state.seed,
            np.zeros(count),
            np.zeros(count, np.int64),
        )
        self._idle, self._last = np.zeros(count, np.int64), np.full(count, NO_ACTION - 1, np.int64)
        self._past: list[list[tuple[State, str]]] = [[] for _ in range(count)]
        self._seconds = np.zeros(count)
        self._failed: dict[int, str] = {}

    def live(self) -> NDArray[np.int64]:
        """The rows that go on."""
        going = ~self.state.ended
        if self.limit:
            going &= self._counts < self.limit
        if self.patience:
            going &= self._idle < self.patience
        going[list(self._failed)] = False
        return np.flatnonzero(going)

    def most_turns(self) -> int:
        """The most turns that all episodes can take together."""
        return len(self.state) * min(x for x in (self.limit, self.state.level.max_steps) if x)

    def query(self, rows: NDArray[np.int64]) -> Query:
        """What to ask about some rows."""
        kept = self.telling.history
        past = [self._past[row][-kept if kept > 0 else 0 :] for row in rows] if kept else ()
        state, shown, begun = self.state[rows], self.telling.observation, list[str]()
        if shown == "prefill":
            shown, begun = (
                "image",
                prompt.prefills(self.game, state, self.telling.style, self.telling.blocks),
            )
        again = [int(row) % self.repeats for row in rows]
        return Query(
            self.game,
            state,
            self.look,
            self.telling.style,
            shown,
            past,
            begun,
            self.telling.blocks,
            again,
        )

    def seconds(self, row: int) -> float:
        """Time that the answers of an episode took together."""
        return float(self._seconds[row])

    def take(self, rows: NDArray[np.int64], answers: Sequence[Answer]) -> list[Turn]:
        """Play the answers to some rows; returns the records.

        An answer that failed ends its episode without a turn.
        """
        failed = np.array([bool(one.failure) for one in answers])
        self._failed |= {
            int(row): one.failure for row, one in zip(rows, answers, strict=True) if one.failure
        }
        rows, answers = rows[~failed], [one for one in answers if not one.failure]
        if not len(rows):
            return []
        part = self.state[rows]
        after, judged = judge(
            self.game,
            part,
            [one.text for one in answers],
            self.mode,
            self.oracle,
            self.telling.blocks,
        )
        records = [
            Turn.of(self.game, part, i, one, int(row), int(self._counts[row]), answers[i])
            for i, (row, one) in enumerate(zip(rows, judged, strict=True))
        ]
        actions = np.array([one.reply.action for one in judged])
        idle = ~np.array([one.changed for one in judged])
        self._idle[rows] = np.where(
            idle & (actions == self._last[rows]), self._idle[rows] + 1, idle
        )
        self._last[rows] = actions
        self._rewards[rows] += [one.terms["game"] for one in judged]
        self._seconds[rows] += [one.seconds for one in answers]
        self._counts[rows] += 1
        if self.telling.history:
            for i, row in enumerate(rows):
                self._past[row].append((part[i], answers[i].text))
        arrays = self.state.arrays()
        for key, value in after.arrays().items():
            arrays[key] = arrays[key].copy()
            arrays[key][rows] = value
        self.state = self.state.with_arrays(arrays)
        self.turns += records
        return records

    def replay(self, turns: Sequence[Turn], strict: bool = True) -> int:
        """Go on from recorded turns of these episodes, without asking for them again.

        Args:
            turns: in any order, each once.
            strict: refuse turns that do not fit. Else an episode is followed up to the first turn
                that was recorded on another board than comes up now (a reply before it is read
                differently, or the rules are others).

        Returns:
            The number of turns that were left out.

        Raises:
            TraceError: a turn does not fit: another start, or other rules; or it comes twice.
        """
        left_out = 0
        for number, group in groupby(
            sorted(turns, key=lambda one: (one.turn, one.episode)), key=lambda one: one.turn
        ):
            part = list(group)
            if twice := [
                one.episode for one, other in pairwise(part) if one.episode == other.episode
            ]:
                raise TraceError(f"turn {number} of episode {twice[0]} is there twice")
            live = set(self.live().tolist())
            fits = [
                one.episode in live
                and number == self._counts[one.episode]
                and is_state(one.state, self.game, self.state[one.episode])
                for one in part
            ]
            if strict and not all(fits):
                one = part[fits.index(False)]
                raise TraceError(
                    f"episode {one.episode}, turn {number}: recorded on another board "
                    "than these rules lead to"
                )
            left_out += fits.count(False)
            part = [one for one, fit in zip(part, fits, strict=True) if fit]
            if part:
                answers = [
                    Answer(one.reply, one.reasoning, one.seconds, **one.usage) for one in part
                ]
                self.take(np.array([one.episode for one in part]), answers)
        return left_out

    def episode(self, row: int) -> Episode:
        """The record of an episode that is over."""
        now = self.state
        if row in self._failed:
            end = "failed"
        elif now.terminated[row]:
            end = "terminated"
        elif now.truncated[row]:
            end = "truncated"
        elif self.patience and self._idle[row] >= self.patience:
            end = "stuck"
        else:
            end = "stopped"
        return Episode(
            row,
            int(self._seeds[row]),
            int(self._counts[row]),
            int(now.score[row]),
            float(self._rewards[row]),
            end,
            row % self.repeats,
            self._failed.get(row, ""),
        )

    def episodes(self) -> list[Episode]:
        """One record a row."""
        return [self.episode(row) for row in range(len(self.state))]


def play(
    lanes: Sequence[EpisodeBatch],
    player: Player,
    after_turn: Callable[[EpisodeBatch, list[Turn]], None] | None = None,
) -> None:
    """Play the episodes of all lanes side by side until all have ended or reached their turns.

    A player that is asked one by one (:class:`AsyncPlayer`) goes on in each episode as soon as it
    has answered there; others answer all episodes of a turn together.

    Args:
        lanes: batches of episodes, of one game or of several.
        player: who answers.
        after_turn: called with a lane and the new records.
    """
    if isinstance(player, AsyncPlayer):
        finish(_play_one_by_one(lanes, player, after_turn))
        return
    while asked := [(lane, rows) for lane in lanes if len(rows := lane.live())]:
        begin = time.perf_counter()
        replies = player.answer([lane.query(rows) for lane, rows in asked])
        seconds = (time.perf_counter() - begin) / sum(len(rows) for _, rows in asked)
        for (lane, rows), texts in zip(asked, replies, strict=True):
            records = lane.take(rows, [replace(Answer.of(text), seconds=seconds) for text in texts])
            if after_turn:
                after_turn(lane, records)


async def _play_one_by_one(
    lanes: Sequence[EpisodeBatch],
    player: AsyncPlayer,
    after_turn: Callable[[EpisodeBatch, list[Turn]], None] | None,
) -> None:
    async def go(lane: EpisodeBatch, row: int) -> None:
        only, limit = np.array([row]), player.episode_seconds
        while row in lane.live():
            left = max(limit - lane.seconds(row), 1e-9) if limit else 0.0
            records = lane.take(only, [await player.ask(lane.query(only), left)])
            if after_turn:
                after_turn(lane, records)
            if player.on_answers:
                player.on_answers(1)

    async with player:
        try:
            async with asyncio.TaskGroup() as group:
                for lane in lanes:
                    for row in lane.live():
                        group.create_task(go(lane, int(row)))
        except BaseExceptionGroup as errors:  # one cause, not a bundle of what followed from it
            raise errors.exceptions[0] from None
