"""Episodes under way: asking a player about a batch of them, turn after turn."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, pairwise

import numpy as np
from numpy.typing import NDArray

from vlmgym.core import NO_ACTION, ConfigError, Game, State
from vlmgym.core.simulation import Simulator
from vlmgym.dialogue import prompt
from vlmgym.dialogue.judge import Judgement, judge
from vlmgym.dialogue.reply import BLOCKS, Blocks
from vlmgym.episodes.records import Episode, Turn
from vlmgym.episodes.trace import TraceError
from vlmgym.games import is_state
from vlmgym.players.base import Answer, AsyncPlayer, Player, Query, finish
from vlmgym.render.looks import Look, get_look

BEGUN = ("prefill", "swapped")
"""Observations in which replies begin with a given description."""


@dataclass(frozen=True)
class ObservationSettings:
    """What a player is told: how boards look, what is shown of them, and how much of the past.

    Attributes:
        look: name or Look.
        style: prompt style.
        observation: ``"image"``, ``"text"`` or ``"both"``, see :class:`vlmgym.players.base.Query`;
            or ``"prefill"``: the picture, and replies begin with the true description (of players
            that can go on from there: local models); or ``"swapped"``: the same, but the
            description is of another start's board. Which of the two the reasoning goes on to name
            is the metric ``follows``.
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
        simulator: how the rest of the game is simulated, for the value of each turn; None = it is
            not.

    Attributes:
        turns: the records of all turns, in the order in which they were answered.

    Raises:
        ConfigError: nothing would end the episodes, or there is no other start whose description
            could be given.
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
        simulator: Simulator | None = None,
    ) -> None:
        if not turns and not state.level.max_steps:
            raise ConfigError(
                "turns", turns, "at least 1 for a level without a turn limit (max_steps = 0)"
            )
        if observation.observation == "swapped" and len(state) <= repeats:
            raise ConfigError(
                "observation", "swapped", "for two starts or more: each gets another's description"
            )
        self.game = game
        self.state = state
        self._starts = state
        self.observation = observation
        self.look = get_look(observation.look)
        self.limit = turns
        self.mode = mode
        self.oracle = oracle
        self.patience = patience
        self.repeats = repeats
        self.simulator = simulator
        self.turns: list[Turn] = []
        count = len(state)
        # of each row: seed, sum of game terms, turns, turns in a row without effect, last action,
        # earlier turns, time of all answers
        self._seeds = state.seed
        self._rewards = np.zeros(count)
        self._turn_counts = np.zeros(count, np.int64)
        self._idle_turns = np.zeros(count, np.int64)
        self._last_actions = np.full(count, NO_ACTION - 1, np.int64)
        self._past: list[list[tuple[State, str]]] = [[] for _ in range(count)]
        self._seconds = np.zeros(count)
        self._failures: dict[int, str] = {}  # by row

    def remember(self, past: Sequence[tuple[State, str]]) -> None:
        """Have all episodes go on from turns that were played before their start: a fork of a
        conversation.

        Args:
            past: state (one row) and reply of each turn, which are told again as far as the history
                reaches.
        """
        self._past = [list(past) for _ in self._past]

    def live(self) -> NDArray[np.int64]:
        """The rows that go on."""
        is_live = ~self.state.ended
        if self.limit:
            is_live &= self._turn_counts < self.limit
        if self.patience:
            is_live &= self._idle_turns < self.patience
        is_live[list(self._failures)] = False
        return np.flatnonzero(is_live)

    def most_turns(self) -> int:
        """The most turns that all episodes can take together."""
        limits = (self.limit, self.state.level.max_steps)
        return len(self.state) * min(limit for limit in limits if limit)

    def query(self, rows: NDArray[np.int64]) -> Query:
        """What to ask about some rows."""
        settings = self.observation
        past: list[list[tuple[State, str]]] = []
        if settings.history:
            first_turn = -settings.history if settings.history > 0 else 0
            past = [self._past[row][first_turn:] for row in rows]
        state = self.state[rows]
        observation = settings.observation
        begun: list[str] = []
        if observation in BEGUN:
            described = state if observation == "prefill" else self._next_starts(rows)
            begun = prompt.prefills(self.game, described, settings.style, settings.blocks)
            observation = "image"
        return Query(
            self.game,
            state,
            self.look,
            settings.style,
            observation,
            past,
            begun,
            settings.blocks,
            repeats=[int(row) % self.repeats for row in rows],
        )

    def _next_starts(self, rows: NDArray[np.int64]) -> State:
        """The boards of the start after that of each row; after the last comes the first."""
        return self._starts[(rows + self.repeats) % len(self._starts)]

    def seconds(self, row: int) -> float:
        """Time that the answers of an episode took together."""
        return float(self._seconds[row])

    def take(self, rows: NDArray[np.int64], answers: Sequence[Answer]) -> list[Turn]:
        """Play the answers to some rows; returns the records.

        An answer that failed ends its episode without a turn.
        """
        for row, answer in zip(rows, answers, strict=True):
            if answer.failure:
                self._fail(int(row), answer.failure)
        rows = rows[[not answer.failure for answer in answers]]
        answers = [answer for answer in answers if not answer.failure]
        if not len(rows):
            return []
        before = self.state[rows]
        texts = [answer.text for answer in answers]
        blocks = self.observation.blocks
        after, judgements = judge(
            self.game, before, texts, self.mode, self.oracle, blocks, self.simulator
        )
        records = []
        for index, row in enumerate(rows):
            turn = int(self._turn_counts[row])
            start = before[index]
            history = self.observation.history
            judgement = judgements[index]
            record = Turn.of(self.game, start, judgement, int(row), turn, answers[index], history)
            records.append(record)
            if self.observation.history:
                self._past[row].append((start, texts[index]))
        self._count_turn(rows, judgements)
        self._seconds[rows] += [answer.seconds for answer in answers]
        self._move(rows, before, judgements, after)
        self.turns += records
        return records

    def _fail(self, row: int, reason: str) -> None:
        """End an episode that got no answer."""
        self._failures[row] = reason

    def _move(
        self,
        rows: NDArray[np.int64],
        before: State,
        judgements: Sequence[Judgement],
        after: State,
    ) -> None:
        """Play a turn of some rows; ``after``: what the rules make of it."""
        self._put(rows, after)

    def _count_turn(self, rows: NDArray[np.int64], judgements: Sequence[Judgement]) -> None:
        """Keep what a turn of some rows adds to their episodes."""
        actions = np.array([judgement.reply.action for judgement in judgements])
        is_idle = ~np.array([judgement.changed for judgement in judgements])
        is_repeated = is_idle & (actions == self._last_actions[rows])
        self._idle_turns[rows] = np.where(is_repeated, self._idle_turns[rows] + 1, is_idle)
        self._last_actions[rows] = actions
        self._rewards[rows] += [judgement.terms["game"] for judgement in judgements]
        self._turn_counts[rows] += 1

    def _put(self, rows: NDArray[np.int64], state: State) -> None:
        """Replace the states of some rows."""
        arrays = self.state.arrays()
        for name, values in state.arrays().items():
            arrays[name] = arrays[name].copy()
            arrays[name][rows] = values
        self.state = self.state.with_arrays(arrays)

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
            live_rows = set(self.live().tolist())
            fitting = []
            for turn in recorded:
                if turn.episode in live_rows and self._fits(turn):
                    fitting.append(turn)
                elif strict:
                    raise TraceError(
                        f"episode {turn.episode}, turn {number}: recorded on another board "
                        "than these rules lead to"
                    )
                else:
                    left_out += 1
            if fitting:
                answers = [
                    Answer(turn.reply, turn.reasoning, turn.seconds, **turn.usage)
                    for turn in fitting
                ]
                self.take(np.array([turn.episode for turn in fitting]), answers)
        return left_out

    def _fits(self, turn: Turn) -> bool:
        """Whether a recorded turn is the next one of its episode, on the board that it has now."""
        row = turn.episode
        is_next = turn.turn == int(self._turn_counts[row])
        return is_next and is_state(turn.state, self.game, self.state[row])

    def episode(self, row: int) -> Episode:
        """The record of an episode that is over."""
        return Episode(
            row,
            int(self._seeds[row]),
            int(self._turn_counts[row]),
            int(self.state.score[row]),
            float(self._rewards[row]),
            self._end_of(row),
            row % self.repeats,
            self._failures.get(row, ""),
        )

    def _end_of(self, row: int) -> str:
        """How an episode ended, one of :data:`vlmgym.episodes.records.ENDS`."""
        if row in self._failures:
            return "failed"
        if self.state.terminated[row]:
            return "terminated"
        if self.state.truncated[row]:
            return "truncated"
        if self.patience and self._idle_turns[row] >= self.patience:
            return "stuck"
        return "stopped"

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
    while live := [(batch, rows) for batch in batches if len(rows := batch.live())]:
        start = time.perf_counter()
        replies = player.answer([batch.query(rows) for batch, rows in live])
        row_count = sum(len(rows) for _, rows in live)
        seconds = (time.perf_counter() - start) / row_count
        for (batch, rows), replies_of_batch in zip(live, replies, strict=True):
            answers = [replace(Answer.of(reply), seconds=seconds) for reply in replies_of_batch]
            records = batch.take(rows, answers)
            if after_turn:
                after_turn(batch, records)


async def _play_one_by_one(
    batches: Sequence[EpisodeBatch],
    player: AsyncPlayer,
    after_turn: Callable[[EpisodeBatch, list[Turn]], None] | None,
) -> None:
    async def play_episode(batch: EpisodeBatch, row: int) -> None:
        rows = np.array([row])
        limit = player.episode_seconds
        while row in batch.live():
            remaining = max(limit - batch.seconds(row), 1e-9) if limit else 0.0
            answer = await player.ask(batch.query(rows), remaining)
            records = batch.take(rows, [answer])
            if after_turn:
                after_turn(batch, records)
            if player.on_answers:
                player.on_answers(1)

    async with player:
        try:
            async with asyncio.TaskGroup() as group:
                for batch in batches:
                    for row in batch.live():
                        group.create_task(play_episode(batch, int(row)))
        except BaseExceptionGroup as errors:  # one cause, not a bundle of what followed from it
            raise errors.exceptions[0] from None
