"""What a step of GRPO makes on its way: shares of questions, replies to them, groups, a batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, NamedTuple

from vlmgym.core import State
from vlmgym.dialogue.judge import Judgement
from vlmgym.games import state_text
from vlmgym.train.questions import Question

Generated = tuple[Any, ...]
"""What TRL's ``_generate`` returns: lists with an entry a row, and values that are of all rows."""
COMPLETIONS = 3
"""The place of the answers, as messages, in :data:`Generated`."""


def rows_of(generated: Generated, rows: slice) -> Generated:
    """Some of the rows."""
    return tuple(
        column[rows] if isinstance(column, list) and column else column for column in generated
    )


def joined(pieces: Sequence[Generated]) -> Generated:
    """The rows of all pieces together."""
    return tuple(
        list(chain.from_iterable(columns)) if isinstance(columns[0], list) else columns[0]
        for columns in zip(*pieces, strict=True)
    )


class Block(NamedTuple):
    """What was sampled after one prompt."""

    prompt: list[int]  # its tokens, without what of the answer came before
    tokens: list[int]
    logprobs: list[float] | None  # of the tokens, where they were sampled by vLLM

    def until(self, length: int) -> Block:
        """The first tokens of it."""
        logprobs = None if self.logprobs is None else self.logprobs[:length]
        return Block(self.prompt, self.tokens[:length], logprobs)


class Share(NamedTuple):
    """Questions of all processes, and those that this one asks."""

    mine: list[Question]
    everyone: list[Question]


@dataclass(frozen=True)
class Replies:
    """The replies to a round of questions, judged; all lists but ``questions`` have one entry a
    reply.
    """

    questions: list[Question]
    question_indices: list[int]  # its question among these
    rows: list[dict[str, Any]]  # as TRL's trainer wants them
    generated: Generated  # as TRL gave them
    judged: list[Judgement]
    states_after: list[tuple[State, int]]  # the state after it: a batch, and a row of it

    def question(self, reply: int) -> Question:
        """What a reply answers."""
        return self.questions[self.question_indices[reply]]

    def state_after(self, reply: int) -> str:
        """The state after a reply as text, as it travels between processes, where a game of a pool
        goes on from it; else nothing.
        """
        question = self.question(reply)
        if question.slot < 0:
            return ""
        states, row = self.states_after[reply]
        return state_text(question.task.game, states[row])


@dataclass(frozen=True)
class Group:
    """The replies to one question, generated and judged; a row each, or one for each block."""

    rows: list[dict[str, Any]]
    generated: Generated
    totals: list[float]  # the reward of each reply
    # of blocks, for each row: its advantage, the answer that it is part of
    advantages: Sequence[float] = ()
    answers: Sequence[int] = ()

    @property
    def equal(self) -> bool:
        """Whether all replies are worth the same: then no advantage tells them apart."""
        if self.advantages:
            return not any(self.advantages)
        return worth_the_same(self.totals)


@dataclass(frozen=True)
class Batch:
    """What a step trains on."""

    groups: list[Group]
    # means over the questions as they came, before any was replaced
    metrics: Mapping[str, float] = field(default_factory=dict)

    @property
    def rows(self) -> list[dict[str, Any]]:
        """Of all groups."""
        return [row for group in self.groups for row in group.rows]

    @property
    def generated(self) -> Generated:
        """Of all groups."""
        return joined([group.generated for group in self.groups])

    @property
    def advantages(self) -> list[float]:
        """Of the rows of all groups; none where TRL makes them of the rewards."""
        return [advantage for group in self.groups for advantage in group.advantages]

    @property
    def answers(self) -> list[tuple[int, int]]:
        """For each row the answer that it is part of: group, and number in it."""
        numbers = []
        for index, group in enumerate(self.groups):
            numbers += [(index, answer) for answer in group.answers or range(len(group.rows))]
        return numbers

    @property
    def equal(self) -> list[bool]:
        """For each group, whether its replies are all worth the same."""
        return [group.equal for group in self.groups]


def worth_the_same(totals: Sequence[float]) -> bool:
    """Whether totals are equal, but for the rounding of their sums.

    A float32 mean of equal ones may miss them by a bit.
    """
    return max(totals) - min(totals) < 1e-9
