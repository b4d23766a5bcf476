"""The rows of a cold start: states answered by a scripted player."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vlmgym.core import ConfigError, State, concat
from vlmgym.core.random import TOLD_SALT
from vlmgym.dialogue import prompt
from vlmgym.dialogue.judge import Fault, Judgement, judge
from vlmgym.episodes.task import PATIENCE, Task
from vlmgym.players.base import Answer, Player, Query
from vlmgym.players.beginner import Beginner
from vlmgym.players.teacher import GUESS, Teacher
from vlmgym.players.weigher import Weigher
from vlmgym.render.frames import blank_like
from vlmgym.train.recipe import ColdStart
from vlmgym.train.sources import first_state


def cold_start_rows(tasks: Sequence[Task], cold: ColdStart, seed: int = 0) -> list[dict[str, Any]]:
    """Rows of the cold start: each task's states answered by a scripted player, tasks interleaved.

    Another ``seed`` is another cold start: other states, and other errors of the teacher.
    """
    from vlmgym.train.rows import rows

    player: Player
    if cold.player == "beginner":
        player = Beginner(searches=0)
    elif cold.player == "weigher":
        player = Weigher(salt=seed)
    else:
        player = Teacher(cold.teacher_error, seed, cold.teacher, cold.careful)
    rows_of_tasks = []
    for task in tasks:
        state, replies = _answered(task, cold, player, first_state("cold", seed))
        if not cold.think:
            replies = [task.blocks.without(task.blocks.think, reply) for reply in replies]
        answered = rows(task, state, replies)
        rows_of_tasks.append(_told(answered, task, state, cold, seed))
    return list(chain.from_iterable(zip(*rows_of_tasks, strict=True)))


def _answered(task: Task, cold: ColdStart, player: Player, first: int) -> tuple[State, list[str]]:
    """``cold.states`` states from the training state ``first`` on, and the answers to them.

    With ``cold.verified`` states whose answer fails are passed over: one that does nothing where
    another would have done something, or that is not legal; and with a habit guesses, so that what
    works by luck where the habit finds nothing is never shown.

    Raises:
        ConfigError: a player whose answers hardly ever work.
    """
    game = task.game
    states: list[State] = []
    texts: list[str] = []
    for _ in range(ROUNDS):
        missing = cold.states - len(texts)
        state = task.states("train", missing, first, cold.hopeless)
        first += PATIENCE * missing  # more than the states that were looked at
        query = Query(game, state, task.look, task.prompt, blocks=task.blocks)
        replies = [Answer.of(answer).text for answer in player.answer([query])[0]]
        if cold.verified:
            judged = judge(game, state, replies, oracle=False, blocks=task.blocks)[1]
            works = [_works(judgement) for judgement in judged]
            if cold.player == "weigher":  # a better move may do nothing at once
                works = [judgement.changed for judgement in judged]
            if cold.teacher:
                works = [
                    good and GUESS not in text for good, text in zip(works, replies, strict=True)
                ]
            working = np.flatnonzero(works)
            state = state[working]
            replies = [replies[row] for row in working]
        states.append(state)
        texts += replies
        if len(texts) == cold.states:
            return concat(states), texts
    raise ConfigError(
        "cold_start.verified",
        True,
        f"false for {task.names.game}, where {len(texts)} answers of {player.name} work",
    )


def _told(
    rows: list[dict[str, Any]], task: Task, state: State, cold: ColdStart, seed: int
) -> list[dict[str, Any]]:
    """The rows of a task, of which some are told their description (``told``: how the answer
    begins, which is not trained on) beside the picture that :attr:`ColdStart.shares_told` says.

    A model can learn from them to read its own description: beside the picture of another state
    that is the only way to what is taught.
    """
    generator = np.random.default_rng([TOLD_SALT, seed])
    order = generator.permutation(len(rows))
    ends = np.rint(np.cumsum(list(cold.shares_told.values())) * len(rows)).astype(int)
    kinds = dict(zip(cold.shares_told, np.split(order[: ends[-1]], ends[:-1]), strict=True))
    beginnings = prompt.prefills(task.game, state, task.prompt, task.blocks)
    boards = task.game.scene(state).symbols
    told = list(rows)
    for kind, numbers in kinds.items():
        for number in numbers.tolist():
            image = rows[number]["image"]
            if kind == "blank":
                image = blank_like(image)
            if kind == "mismatched":
                image = rows[_another(boards, number, generator)]["image"]
            told[number] = {**rows[number], "image": image, "told": beginnings[number]}
    return told


def _another(boards: NDArray[np.int16], number: int, generator: np.random.Generator) -> int:
    """A state whose board is another one, drawn uniformly.

    Raises:
        ConfigError: all boards are the same.
    """
    others = np.flatnonzero((boards != boards[number]).any(axis=(1, 2)))
    if not len(others):
        allowed = "more, so that there are other boards for cold_start.mismatched"
        raise ConfigError("cold_start.states", len(boards), allowed)
    return int(generator.choice(others))


def _works(judgement: Judgement) -> bool:
    """Whether a reply gains something, or does something where nothing can be gained."""
    unavoidable = judgement.fault == Fault.UNAVOIDABLE
    return judgement.terms["game"] > 0 or (unavoidable and judgement.changed)


ROUNDS = 50
"""Times that states are drawn for those of a cold start whose answers fail."""


def cut_off(data: Sequence[Mapping[str, Any]], processor: Any, limit: int) -> str:
    """A line about the taught answers that are longer than GRPO allows; empty where all fit."""
    texts = [row["completion"][0]["content"][0]["text"] for row in data]
    tokens = processor.tokenizer(texts, add_special_tokens=False)["input_ids"]
    counts = [len(ids) + 1 for ids in tokens]
    too_long = sum(count > limit for count in counts)
    if not too_long:
        return ""
    return (
        f"cold start: {too_long} of {len(counts)} taught answers do not fit into "
        f"grpo.max_new_tokens = {limit} (the longest has {max(counts)}), so GRPO cuts off what was "
        "taught\n"
    )
