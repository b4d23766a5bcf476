"""Where the states of GRPO come from: random walks, games that the policy itself plays, recorded
games, or a mixture.

All processes of a run hold the same :class:`QuestionSource`, draw the same questions and are told
the same answers; each then asks its own share. So a checkpoint holds it once, and the number of
processes changes nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from vlmgym.core import (
    ConfigError,
    State,
    concat,
    draw_unit,
    mix_array,
    seeds_for,
    split_of,
)
from vlmgym.episodes.curriculum import Curriculum
from vlmgym.episodes.task import Task
from vlmgym.episodes.trace import load_trace
from vlmgym.games import read_state_text, state_text
from vlmgym.train.sources import CHUNK, Source, first_state

TRIES = 1000
"""Fresh deals after which looking for one in which something can succeed is given up."""
_TASK, _SOURCE, _ANSWER = 0, 1, 2  # streams of the draws


@dataclass
class PoolEpisode:
    """A game of a policy pool: where it stands, its level, how many answers in a row changed
    nothing, and whether it passes.

    It passes where no action can succeed and some is legal (2048: nothing merges): the game goes
    on, but no group is asked.
    """

    state: str
    level: str
    idle: int = 0
    passing: bool = False


@dataclass(frozen=True)
class Question:
    """A state that a group of answers meets."""

    serial: int  # number of the question in the run; -1 of those that are only played on
    task: Task  # at the difficulty of this state
    state: State  # one row
    text: str  # the state as base64
    number: int  # of the task among those of the run
    source: int
    slot: int  # of the pool; -1 elsewhere


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
        self.tasks, self.sources, self.seed = tuple(tasks), tuple(sources), seed
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
        self.pools: list[list[PoolEpisode]] = [[] for _ in tasks]
        self.counts = dict.fromkeys(("pool_ended", "pool_stuck"), 0)
        self._chunks: dict[int, tuple[tuple[int, str, bool], State]] = {}
        self._recorded = [self._read_traces(task) for task in tasks]
        self._shares = [self._share(number) for number in range(len(tasks))]
        self._task_edges = _edges([task.weight for task in tasks])

    def _share(self, number: int) -> tuple[list[int], Any]:
        """Sources that a task can be asked from, and where their shares end."""
        fits = [
            k
            for k, one in enumerate(self.sources)
            if one.weight and (one.kind != "replay" or self._recorded[number].get(k))
        ]
        if not fits:
            names = self.tasks[number].names
            raise ConfigError(
                "recipe.states",
                f"nothing for {names.game} {names.level}",
                "a source with states of every task",
            )
        return fits, _edges([self.sources[k].weight for k in fits])

    def _read_traces(self, task: Task) -> dict[int, list[str]]:
        """Recorded states of a task in which some action succeeds, for each replay, in an order of
        the seed.
        """
        found = {}
        for k, source in enumerate(self.sources):
            if source.kind == "replay":
                path = Path(source.trace)
                trace = load_trace(path / "trace.jsonl" if path.is_dir() else path)
                if (trace.run.game, trace.run.level) == (task.names.game, task.names.level):
                    if any(split_of(turn.seed) != "train" for turn in trace.turns):
                        sys.stderr.write(
                            f"{path}: its states are no longer held out: they come "
                            "from outside the train split\n"
                        )
                    texts = list(dict.fromkeys(turn.state for turn in trace.turns))
                    keep = np.flatnonzero(_possible(texts)) if texts else np.zeros(0, np.int64)
                    order = np.argsort(
                        mix_array(
                            keep.astype(np.uint64) ^ mix_array(np.array([self.seed], np.uint64))
                        )
                    )
                    found[k] = [texts[i] for i in keep[order]]
        return found

    # ---- drawing
    def draw(self, count: int) -> list[Question]:
        """The next ``count`` questions."""
        out = []
        for _ in range(count):
            serial = self.served
            self.served += 1
            number = _pick(self._task_edges, draw_unit(np.uint64(self.seed), _TASK, serial))
            fits, edges = self._shares[number]
            source = fits[_pick(edges, draw_unit(np.uint64(self.seed), _SOURCE, serial))]
            task = self._now(number)
            slot, kind = -1, self.sources[source].kind
            if kind == "random_walk":
                state = self._walk(number, task, self.sources[source].hopeless)
                text = state_text(task.game, state)
            elif kind == "replay":
                texts = self._recorded[number][source]
                text = texts[self.replayed[number] % len(texts)]
                self.replayed[number] += 1
                task = task.override(level=self.tasks[number].names.level)
            else:
                slot = self._next_game(number, task, self.sources[source])
                text = self.pools[number][slot].state
                task = task.override(level=self.pools[number][slot].level)
            if kind != "random_walk":
                state = read_state_text(text)[1]
            out.append(Question(serial, task, state, text, number, source, slot))
        return out

    def _walk(self, number: int, task: Task, hopeless: bool) -> State:
        at = self.walked[number]
        self.walked[number] += 1
        key = (at // CHUNK, task.names.level, hopeless)
        if number not in self._chunks or self._chunks[number][0] != key:
            self._chunks[number] = (key, task.states("train", CHUNK, at // CHUNK * CHUNK, hopeless))
        return self._chunks[number][1][at % CHUNK]

    def _now(self, number: int) -> Task:
        """A task at the present difficulty."""
        task = self.tasks[number]
        return (
            self.curricula[task.names.game].task(task)
            if task.names.game in self.curricula
            else task
        )

    def _next_game(self, number: int, task: Task, source: Source) -> int:
        pool = self.pools[number]
        if not pool:  # random walks, so that the games are not all at their beginning
            game = task.game
            start = task.states("train", source.games, first_state("pool", self.seed))
            pool += [
                PoolEpisode(state_text(game, start[i]), task.names.level)
                for i in range(source.games)
            ]
        slot = self._next_slot(number)
        for _ in range(len(pool) - 1):
            if not pool[slot].passing:
                break
            slot = self._next_slot(number)
        for _ in range(TRIES):
            if not pool[slot].passing:
                return slot
            # all of them pass: one must be asked about
            pool[slot] = self._settled(number, self._legal_move(pool[slot]))
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
        out = []
        for number, pool in enumerate(self.pools):
            for slot, one in enumerate(pool):
                if one.passing:
                    source = next(
                        k for k, source in enumerate(self.sources) if source.kind == "policy_pool"
                    )
                    task = self._now(number).override(level=one.level)
                    out.append(
                        Question(
                            -1, task, read_state_text(one.state)[1], one.state, number, source, slot
                        )
                    )
        return out

    # ---- telling
    def chosen(self, question: Question, answers: int) -> int:
        """Which of the answers a game of the pool goes on with: a fair draw, so that games follow
        the policy.
        """
        return int(draw_unit(np.uint64(self.seed), _ANSWER, question.serial) * answers)

    def tell(self, questions: Sequence[Question], answered: Sequence[Answered]) -> None:
        """Advance pools and curricula by what was answered.

        No answer is lost: a game that it ended is followed by a fresh one.

        Where nothing can succeed a useless answer is followed by a legal move, so that no game
        waits there.

        Raises:
            ConfigError: a level in whose fresh deals nothing can ever be done.
        """
        for question, one in zip(questions, answered, strict=True):
            name = question.task.names.game
            # or of a rung before
            if (
                one.answers
                and name in self.curricula
                and question.task == self._now(question.number)
            ):
                self.curricula[name] = self.curricula[name].update(one.successes, one.answers)
            if question.slot < 0:
                continue
            game = self.pools[question.number][question.slot]
            if game.state != question.text:
                continue  # asked twice in one batch: the first answer counted
            told = PoolEpisode(
                one.after, game.level, 0 if one.changed else game.idle + 1, game.passing
            )
            if told.idle >= self.sources[question.source].patience:
                self.counts["pool_stuck"] += 1
                self.pools[question.number][question.slot] = self._deal(question.number)
            else:
                after = told if one.changed or not told.passing else self._legal_move(told)
                self.pools[question.number][question.slot] = self._settled(question.number, after)

    def _settled(self, number: int, one: PoolEpisode) -> PoolEpisode:
        """A game of a pool after a move: it goes on, passes, or has ended and is followed by a
        fresh one.
        """
        game, state = read_state_text(one.state)
        if not state.ended[0]:
            if game.success_mask(state).any():
                return replace(one, passing=False)
            if game.legal(state).any():
                return replace(one, passing=True)
        self.counts["pool_ended"] += 1
        return self._deal(number)

    @staticmethod
    def _legal_move(one: PoolEpisode) -> PoolEpisode:
        """A game of a pool after a legal move, drawn by the luck of its turn."""
        game, state = read_state_text(one.state)
        after, _ = game.step(state, game.draw_legal(state))
        return replace(one, state=state_text(game, after))

    def _deal(self, number: int) -> PoolEpisode:
        task = self._now(number)
        game = task.game
        for _ in range(TRIES):
            seeds = seeds_for(
                "train",
                task.names.game,
                task.names.level,
                1,
                4 * first_state("deal", self.seed) + self.dealt[number],
            )
            self.dealt[number] += 1
            state = game.reset(task.level, seeds)
            if not state.ended[0] and game.legal(state).any():
                return PoolEpisode(
                    state_text(game, state),
                    task.names.level,
                    passing=not game.success_mask(state).any(),
                )
        raise ConfigError(
            "Task.level",
            task.names.level,
            f"a level in whose deals something can be done (in none of {TRIES} here)",
        )

    # ---- saving
    def state_dict(self) -> dict[str, Any]:
        """All that :meth:`load_state_dict` needs to go on from here, as JSON values."""
        return {
            "served": self.served,
            "walked": self.walked,
            "replayed": self.replayed,
            "dealt": self.dealt,
            "turn": self.turn,
            "pools": [
                [[game.state, game.level, game.idle, game.passing] for game in pool]
                for pool in self.pools
            ],
            "counts": self.counts,
            "curricula": {name: asdict(ladder) for name, ladder in self.curricula.items()},
        }

    def load_state_dict(self, values: Mapping[str, Any]) -> None:
        """Go on from what :meth:`state_dict` gave."""
        self.served, self.counts = values["served"], dict(values["counts"])
        for name in ("walked", "replayed", "dealt", "turn"):
            setattr(self, name, list(values[name]))
        self.pools = [[PoolEpisode(*game) for game in pool] for pool in values["pools"]]
        self.curricula = {
            name: Curriculum.from_dict(ladder) for name, ladder in values["curricula"].items()
        }


def _edges(weights: Sequence[float]) -> Any:
    return np.cumsum(weights) / np.sum(weights)


def _pick(edges: Any, share: float) -> int:
    return min(int(np.searchsorted(edges, share, side="right")), len(edges) - 1)


def _possible(texts: Sequence[str]) -> Any:
    """Which states (base64, of one game and level) go on and have an action that succeeds."""
    game = read_state_text(texts[0])[0]
    state = concat([read_state_text(text)[1] for text in texts])
    return game.success_mask(state).any(axis=1) & ~state.ended
