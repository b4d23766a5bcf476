"""Episodes under way: asking a player about a batch of them, turn after turn."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, pairwise

import numpy as np
from numpy.typing import NDArray

from vlmgym.core import (
    NO_ACTION,
    ConfigError,
    Game,
    State,
)
from vlmgym.dialogue import prompt
from vlmgym.dialogue.judge import judge
from vlmgym.dialogue.reply import BLOCKS, Blocks
from vlmgym.episodes.records import Episode, Turn
from vlmgym.episodes.trace import TraceError
from vlmgym.games import is_state
from vlmgym.players.base import Answer, AsyncPlayer, Player, Query, finish
from vlmgym.render.looks import Look, get_look


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
        observation: what the player is told.
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
        observation: ObservationSettings = ObservationSettings(),
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
        self.game = game
        self.state = state
        self.observation = observation
        self.look = get_look(observation.look)
        self.limit = turns
        self.mode = mode
        self.oracle = oracle
        self.patience = patience
        self.repeats = repeats
        self.turns: list[Turn] = []
        count = len(state)
        self._seeds = state.seed
        self._rewards = np.zeros(count)
        self._counts = np.zeros(count, np.int64)
        self._idle = np.zeros(count, np.int64)
        self._last = np.full(count, NO_ACTION - 1, np.int64)
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
        return len(self.state) * min(
            limit for limit in (self.limit, self.state.level.max_steps) if limit
        )

    def query(self, rows: NDArray[np.int64]) -> Query:
        """What to ask about some rows."""
        told = self.observation
        past: list[list[tuple[State, str]]] = []
        if told.history:
            first = -told.history if told.history > 0 else 0
            past = [self._past[row][first:] for row in rows]
        state = self.state[rows]
        shown = told.observation
        begun: list[str] = []
        if shown == "prefill":
            shown = "image"
            begun = prompt.prefills(self.game, state, told.style, told.blocks)
        repeats = [int(row) % self.repeats for row in rows]
        return Query(
            self.game, state, self.look, told.style, shown, past, begun, told.blocks, repeats
        )

    def seconds(self, row: int) -> float:
        """Time that the answers of an episode took together."""
        return float(self._seconds[row])

    def take(self, rows: NDArray[np.int64], answers: Sequence[Answer]) -> list[Turn]:
        """Play the answers to some rows; returns the records.

        An answer that failed ends its episode without a turn.
        """
        for row, answer in zip(rows, answers, strict=True):
            if answer.failure:
                self._failed[int(row)] = answer.failure
        rows = rows[[not answer.failure for answer in answers]]
        answers = [answer for answer in answers if not answer.failure]
        if not len(rows):
            return []
        before = self.state[rows]
        texts = [answer.text for answer in answers]
        blocks = self.observation.blocks
        after, judged = judge(self.game, before, texts, self.mode, self.oracle, blocks)
        records = [
            Turn.of(
                self.game,
                before,
                place,
                judged[place],
                int(row),
                int(self._counts[row]),
                answers[place],
            )
            for place, row in enumerate(rows)
        ]
        actions = np.array([judgement.reply.action for judgement in judged])
        idle = ~np.array([judgement.changed for judgement in judged])
        again = idle & (actions == self._last[rows])
        self._idle[rows] = np.where(again, self._idle[rows] + 1, idle)
        self._last[rows] = actions
        self._rewards[rows] += [judgement.terms["game"] for judgement in judged]
        self._seconds[rows] += [answer.seconds for answer in answers]
        self._counts[rows] += 1
        if self.observation.history:
            for place, row in enumerate(rows):
                self._past[row].append((before[place], texts[place]))
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
        ordered = sorted(turns, key=lambda turn: (turn.turn, turn.episode))
        for number, group in groupby(ordered, key=lambda turn: turn.turn):
            recorded = list(group)
            for turn, following in pairwise(recorded):
                if turn.episode == following.episode:
                    raise TraceError(f"turn {number} of episode {turn.episode} is there twice")
            live = set(self.live().tolist())
            fits = [
                turn.episode in live
                and number == self._counts[turn.episode]
                and is_state(turn.state, self.game, self.state[turn.episode])
                for turn in recorded
            ]
            if strict and not all(fits):
                other = recorded[fits.index(False)]
                raise TraceError(
                    f"episode {other.episode}, turn {number}: recorded on another board "
                    "than these rules lead to"
                )
            left_out += fits.count(False)
            kept = [turn for turn, fit in zip(recorded, fits, strict=True) if fit]
            if kept:
                answers = [
                    Answer(turn.reply, turn.reasoning, turn.seconds, **turn.usage) for turn in kept
                ]
                self.take(np.array([turn.episode for turn in kept]), answers)
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
    batches: Sequence[EpisodeBatch],
    player: Player,
    after_turn: Callable[[EpisodeBatch, list[Turn]], None] | None = None,
) -> None:
    """Play the episodes of all batches side by side until all have ended or reached their turns.

    A player that is asked one by one (:class:`AsyncPlayer`) goes on in each episode as soon as it
    has answered there; others answer all episodes of a turn together.

    Args:
        batches: episodes under way, of one game or of several.
        player: who answers.
        after_turn: called with a batch and the new records.
    """
    if isinstance(player, AsyncPlayer):
        finish(_play_one_by_one(batches, player, after_turn))
        return
    while asked := [(batch, rows) for batch in batches if len(rows := batch.live())]:
        begin = time.perf_counter()
        replies = player.answer([batch.query(rows) for batch, rows in asked])
        seconds = (time.perf_counter() - begin) / sum(len(rows) for _, rows in asked)
        for (batch, rows), texts in zip(asked, replies, strict=True):
            answers = [replace(Answer.of(text), seconds=seconds) for text in texts]
            records = batch.take(rows, answers)
            if after_turn:
                after_turn(batch, records)


async def _play_one_by_one(
    batches: Sequence[EpisodeBatch],
    player: AsyncPlayer,
    after_turn: Callable[[EpisodeBatch, list[Turn]], None] | None,
) -> None:
    async def go(batch: EpisodeBatch, row: int) -> None:
        only = np.array([row])
        limit = player.episode_seconds
        while row in batch.live():
            left = max(limit - batch.seconds(row), 1e-9) if limit else 0.0
            records = batch.take(only, [await player.ask(batch.query(only), left)])
            if after_turn:
                after_turn(batch, records)
            if player.on_answers:
                player.on_answers(1)

    async with player:
        try:
            async with asyncio.TaskGroup() as group:
                for batch in batches:
                    for row in batch.live():
                        group.create_task(go(batch, int(row)))
        except BaseExceptionGroup as errors:  # one cause, not a bundle of what followed from it
            raise errors.exceptions[0] from None
