"""Where the states of GRPO come from: random walks, games that the policy itself plays, recorded
games, the ends of solved games, or a mixture.

All processes of a run hold the same :class:`QuestionSource`, draw the same questions and are told
the same answers; each then asks its own share. So a checkpoint holds it once, and the number of
processes changes nothing. States are text only where they leave a process: in checkpoints, and in
what the processes tell each other (:class:`Answered`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vlmgym.core import ConfigError, State, draw_unit, seeds_for
from vlmgym.core.random import ANSWER_TURN
from vlmgym.episodes.curriculum import Curriculum
from vlmgym.episodes.task import Task
from vlmgym.games import read_state_text, state_text
from vlmgym.train.pools import PoolEpisode
from vlmgym.train.replays import recorded_states
from vlmgym.train.rollback import Rollback, solve
from vlmgym.train.sources import CHUNK, Source, first_state

TRIES = 1000
"""Fresh deals after which looking for one in which something can succeed is given up."""
TRIES_TO_SOLVE = 32
"""Deals that the oracle tries to solve, one after the other, before a game is taken to have none
that it solves.
"""
# streams of the draws
_TASK = 0
_SOURCE = 1
_ANSWER = 2


@dataclass(frozen=True)
class Question:
    """A state that a group of answers meets."""

    serial: int  # number of the question in the run; -1 of those that are only played on
    task: Task  # at the difficulty of this state
    state: State  # one row
    number: int  # of the task among those of the run
    source: int
    slot: int  # of the pool; -1 elsewhere

    @property
    def text(self) -> str:
        """The state as base64."""
        return state_text(self.task.game, self.state)


@dataclass(frozen=True)
class Answered:
    """What is told about a question: of all its answers, and of the one that a game of the pool
    goes on with.
    """

    successes: int
    answers: int  # that count for a ladder; 0 where the game is only played on
    after: str  # the state as base64
    changed: bool


class QuestionSource:
    """The questions of a run, drawn one after the other, each by the weights of tasks and sources.

    Args:
        tasks: the games of the run.
        sources: where states come from.
        curricula: by name of a game, the ladder that its tasks are on.
        seed: chooses tasks, sources and states.

    Raises:
        ConfigError: a task without any source, a ladder for a game that is not in the run or with
            unknown rungs.
        TraceError: a replay's trace that cannot be read.
    """

    def __init__(
        self,
        tasks: Sequence[Task],
        sources: Sequence[Source] = (Source(),),
        curricula: Mapping[str, Curriculum] | None = None,
        seed: int = 0,
    ) -> None:
        self.tasks = tuple(tasks)
        self.sources = tuple(sources)
        self.seed = seed
        self.curricula = dict(curricula or {})
        for game, ladder in self.curricula.items():
            if game not in {task.names.game for task in tasks}:
                raise ConfigError(f"recipe.curriculum.{game}", game, "a game of the run")
            ladder.check(game)
        self.served = 0
        self.walked = [first_state("walk", seed)] * len(tasks)
        self.replayed = [0] * len(tasks)
        self.dealt = [0] * len(tasks)
        self.turn = [0] * len(tasks)
        self.rollbacks = [Rollback() for _ in tasks]
        self.pools: list[list[PoolEpisode]] = [[] for _ in tasks]
        self.counts = dict.fromkeys(("pool_ended", "pool_stuck"), 0)
        self._chunks: dict[int, tuple[tuple[int, str, bool], State]] = {}
        self._recorded = [self._read_traces(task) for task in tasks]
        self._shares = [self._share(number) for number in range(len(tasks))]
        self._task_edges = _edges([task.weight for task in tasks])

    def _share(self, number: int) -> tuple[list[int], NDArray[np.float64]]:
        """Sources that a task can be asked from, and where their shares end."""
        indices = []
        for index, source in enumerate(self.sources):
            has_states = source.kind != "replay" or index in self._recorded[number]
            if source.weight and has_states:
                indices.append(index)
        if not indices:
            names = self.tasks[number].names
            raise ConfigError(
                "recipe.states",
                f"nothing for {names.game} {names.level}",
                "a source with states of every task",
            )
        return indices, _edges([self.sources[index].weight for index in indices])

    def _read_traces(self, task: Task) -> dict[int, State]:
        """The recorded states of a task, by the number of their replay among the sources."""
        recorded = {}
        for index, source in enumerate(self.sources):
            if source.kind == "replay":
                states = recorded_states(task, Path(source.trace), self.seed)
                if states is not None:
                    recorded[index] = states
        return recorded

    # ---- drawing
    def draw(self, count: int) -> list[Question]:
        """The next ``count`` questions."""
        return [self._next_question() for _ in range(count)]

    def _next_question(self) -> Question:
        serial = self.served
        self.served += 1
        number = _pick(self._task_edges, draw_unit(np.uint64(self.seed), _TASK, serial))
        indices, edges = self._shares[number]
        index = indices[_pick(edges, draw_unit(np.uint64(self.seed), _SOURCE, serial))]
        source = self.sources[index]
        task = self._task_now(number)
        slot = -1
        if source.kind == "random_walk":
            state = self._walk(number, task, source.hopeless)
        elif source.kind == "rollback":
            state = self._rolled_back(number, task)
        elif source.kind == "replay":
            state = self._next_recorded(number, index)
            task = task.override(level=self.tasks[number].names.level)
        else:
            slot = self._next_game(number, task, source)
            episode = self.pools[number][slot]
            state = episode.state
            task = task.override(level=episode.level)
        return Question(serial, task, state, number, index, slot)

    def _next_recorded(self, number: int, index: int) -> State:
        """The next state of a replay."""
        recorded = self._recorded[number][index]
        row = self.replayed[number] % len(recorded)
        self.replayed[number] += 1
        return recorded[row]

    def _walk(self, number: int, task: Task, hopeless: bool) -> State:
        """The next state of a task that random moves lead to."""
        position = self.walked[number]
        self.walked[number] += 1
        key = (position // CHUNK, task.names.level, hopeless)
        if number not in self._chunks or self._chunks[number][0] != key:
            first = position // CHUNK * CHUNK
            self._chunks[number] = (key, task.states("train", CHUNK, first, hopeless))
        return self._chunks[number][1][position % CHUNK]

    def _rolled_back(self, number: int, task: Task) -> State:
        """A state some moves before the end of the next deal of a task that the oracle solves."""
        names = task.names
        for _ in range(TRIES_TO_SOLVE):
            deal = self.walked[number]
            self.walked[number] += 1
            solved = solve(task.game, task.level, names.level, deal)
            if solved:
                return self.rollbacks[number].choose(solved)
        allowed = f"a game whose oracle solves its deals (none of {TRIES_TO_SOLVE} of {names.game})"
        raise ConfigError("Source.kind", "rollback", allowed)

    def _task_now(self, number: int) -> Task:
        """A task at the present difficulty."""
        task = self.tasks[number]
        ladder = self.curricula.get(task.names.game)
        return task if ladder is None else ladder.task(task)

    def _next_game(self, number: int, task: Task, source: Source) -> int:
        pool = self.pools[number]
        if not pool:  # random walks, so that the games are not all at their beginning
            start = task.states("train", source.games, first_state("pool", self.seed))
            pool += [PoolEpisode(start[row], task.names.level) for row in range(source.games)]
        slot = self._next_slot(number)
        for _ in range(len(pool) - 1):
            if not pool[slot].passing:
                break
            slot = self._next_slot(number)
        for _ in range(TRIES):
            if not pool[slot].passing:
                return slot
            # all of them pass: one must be asked about
            pool[slot] = self._settled(number, self._legal_move(number, pool[slot]))
        raise ConfigError(
            "Task.level",
            task.names.level,
            f"a level in which something can succeed (not within {TRIES} moves here)",
        )

    def _next_slot(self, number: int) -> int:
        slot = self.turn[number] % len(self.pools[number])
        self.turn[number] += 1
        return slot

    def passing(self) -> list[Question]:
        """The games of the pools that stand where nothing can succeed: the policy is asked once,
        and nothing is learned from it.

        So games go on as the policy plays them, instead of ending where no question can be asked.
        """
        questions = []
        for number, pool in enumerate(self.pools):
            for slot, episode in enumerate(pool):
                if episode.passing:
                    kinds = [source.kind for source in self.sources]
                    index = kinds.index("policy_pool")
                    task = self._task_now(number).override(level=episode.level)
                    questions.append(Question(-1, task, episode.state, number, index, slot))
        return questions

    # ---- telling
    def chosen(self, question: Question, answers: int) -> int:
        """Which of the answers a game of the pool goes on with: a fair draw, so that games follow
        the policy.
        """
        return int(draw_unit(np.uint64(self.seed), ANSWER_TURN, question.serial) * answers)

    def tell(self, questions: Sequence[Question], answered: Sequence[Answered]) -> None:
        """Advance pools and curricula by what was answered.

        No answer is lost: a game that it ended is followed by a fresh one.

        Where nothing can succeed a useless answer is followed by a legal move, so that no game
        waits there.

        Raises:
            ConfigError: a level in whose fresh deals nothing can ever be done.
        """
        for question, answer in zip(questions, answered, strict=True):
            self._climb(question, answer)
            self._roll_back(question, answer)
            if question.slot >= 0:
                self._play_on(question, answer)

    def _climb(self, question: Question, answer: Answered) -> None:
        """Move a curriculum by an answer, unless the question is of a rung before."""
        name = question.task.names.game
        ladder = self.curricula.get(name)
        if (
            ladder is not None
            and answer.answers
            and question.task == self._task_now(question.number)
        ):
            self.curricula[name] = ladder.update(answer.successes, answer.answers)

    def _roll_back(self, question: Question, answer: Answered) -> None:
        """Move the starts near the end of solved games by an answer to one of them."""
        source = self.sources[question.source]
        if source.kind == "rollback" and answer.answers:
            self.rollbacks[question.number] = self.rollbacks[question.number].update(
                answer.successes, answer.answers, source.target, source.step
            )

    def _play_on(self, question: Question, answer: Answered) -> None:
        """Go on with a game of a pool from the state after an answer."""
        number = question.number
        pool = self.pools[number]
        episode = pool[question.slot]
        if episode.state != question.state:
            return  # asked twice in one batch: the first answer counted
        after = PoolEpisode(
            read_state_text(answer.after)[1],
            episode.level,
            idle=0 if answer.changed else episode.idle + 1,
            passing=episode.passing,
        )
        if after.idle >= self.sources[question.source].patience:
            self.counts["pool_stuck"] += 1
            pool[question.slot] = self._deal(number)
            return
        if after.passing and not answer.changed:
            after = self._legal_move(number, after)
        pool[question.slot] = self._settled(number, after)

    def _settled(self, number: int, episode: PoolEpisode) -> PoolEpisode:
        """A game of a pool after a move: it goes on, passes, or has ended and is followed by a
        fresh one.
        """
        game = self.tasks[number].game
        state = episode.state
        if not state.ended[0]:
            if game.success_mask(state).any():
                return replace(episode, passing=False)
            if game.legal(state).any():
                return replace(episode, passing=True)
        self.counts["pool_ended"] += 1
        return self._deal(number)

    def _legal_move(self, number: int, episode: PoolEpisode) -> PoolEpisode:
        """A game of a pool after a legal move, drawn by the luck of its turn."""
        game = self.tasks[number].game
        after, _ = game.step(episode.state, game.draw_legal(episode.state))
        return replace(episode, state=after)

    def _deal(self, number: int) -> PoolEpisode:
        """A fresh game in which something can be done."""
        task = self._task_now(number)
        game = task.game
        names = task.names
        first = 4 * first_state("deal", self.seed)
        for _ in range(TRIES):
            seeds = seeds_for("train", names.game, names.level, 1, first + self.dealt[number])
            self.dealt[number] += 1
            state = game.reset(task.level, seeds)
            if not state.ended[0] and game.legal(state).any():
                passing = not game.success_mask(state).any()
                return PoolEpisode(state, names.level, passing=passing)
        raise ConfigError(
            "Task.level",
            names.level,
            f"a level in whose deals something can be done (in none of {TRIES} here)",
        )

    def moves_from_end(self) -> dict[str, float]:
        """By game, how many moves before the end of solved games is asked; none where nothing comes
        from there.
        """
        if all(source.kind != "rollback" for source in self.sources):
            return {}
        pairs = zip(self.tasks, self.rollbacks, strict=True)
        return {task.names.game: rollback.moves for task, rollback in pairs}

    # ---- saving
    def state_dict(self) -> dict[str, Any]:
        """All that :meth:`load_state_dict` needs to go on from here, as JSON values."""
        pools = [
            [episode.values(task.game) for episode in pool]
            for task, pool in zip(self.tasks, self.pools, strict=True)
        ]
        return {
            "served": self.served,
            "walked": self.walked,
            "replayed": self.replayed,
            "dealt": self.dealt,
            "turn": self.turn,
            "pools": pools,
            "counts": self.counts,
            "rollbacks": [asdict(rollback) for rollback in self.rollbacks],
            "curricula": {name: asdict(ladder) for name, ladder in self.curricula.items()},
        }

    def load_state_dict(self, values: Mapping[str, Any]) -> None:
        """Go on from what :meth:`state_dict` gave."""
        self.served = values["served"]
        self.counts = dict(values["counts"])
        for name in ("walked", "replayed", "dealt", "turn"):
            setattr(self, name, list(values[name]))
        rollbacks = values.get("rollbacks")  # runs of earlier versions have none
        if rollbacks is not None:
            self.rollbacks = [Rollback(**rollback) for rollback in rollbacks]
        self.pools = [[PoolEpisode.of(episode) for episode in pool] for pool in values["pools"]]
        self.curricula = {
            name: Curriculum.from_dict(ladder) for name, ladder in values["curricula"].items()
        }


def _edges(weights: Sequence[float]) -> NDArray[np.float64]:
    """Where the shares of weights end, between 0 and 1."""
    edges: NDArray[np.float64] = np.cumsum(weights) / np.sum(weights)
    return edges


def _pick(edges: NDArray[np.float64], share: float) -> int:
    """The weight in whose share a number between 0 and 1 lies."""
    return min(int(np.searchsorted(edges, share, side="right")), len(edges) - 1)
