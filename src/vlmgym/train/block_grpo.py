"""GRPO on answers in two blocks: descriptions, and continuations of each of them.

Each block is a row of the batch of its own, so that its tokens are trained on once, with an
advantage of its own (:mod:`vlmgym.train.credit`). The row of a continuation holds its description
as well, which is read and not trained on there. Where the path is closed, the picture of that row
is blank: in sampling, in scoring, and for the reference.

A description stands for all of its continuations, so its advantage is multiplied by their number:
the expected gradient is that of as many whole answers, each with a description of its own. Their KL
terms are counted once a token.

A description that does not end, or leaves no room for more, is an answer by itself: it stands for
all its continuations, whose rows have no token that counts.

Imports torch, Transformers and TRL; import it where a run begins.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from typing_extensions import override

from vlmgym.dialogue.judge import Judgement, judged_as_described
from vlmgym.dialogue.weights import Weights
from vlmgym.players.blocks import text_decoder, tokens_until
from vlmgym.render.frames import blank_like
from vlmgym.train.credit import APART, ESTIMATORS, BranchRewards, Values
from vlmgym.train.groups import Block, Generated, Group, Replies, Share
from vlmgym.train.grpo_trainer import Grpo, prompts_of
from vlmgym.train.questions import Question
from vlmgym.train.rewards import judge_rows
from vlmgym.train.rows import ask_rows
from vlmgym.train.settings import Branches

ONE = Branches(1, 1)
"""The answer to a question that no group comes of."""


@dataclass(frozen=True)
class BlockReplies(Replies):
    """Replies in two blocks: ``rows`` and ``generated`` are those of the continuations, one a
    reply.
    """

    description_indices: list[int]  # of each reply
    described_rows: list[dict[str, Any]]  # of each description
    descriptions: list[Block]
    wholes: list[bool]  # of each description: whether it is an answer by itself
    continuations: list[Block]  # of each reply
    blind: list[Judgement]  # of each reply: other continuations, that see no picture


class BlockGrpo(Grpo):
    """:class:`vlmgym.train.grpo_trainer.Grpo` whose answers are sampled, scored and credited as
    blocks.
    """

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        branches = self.settings.in_blocks
        assert branches is not None
        self.branches: Branches = branches
        self.decode = text_decoder(self.processing_class)

    # ---- sampling
    @override
    def _answer(self, share: Share, passing: Share) -> Replies:
        """Generate and judge the replies to this process's questions, block by block."""
        questions = [*share.mine, *passing.mine]
        branches = [self.branches] * len(share.mine) + [ONE] * len(passing.mine)
        rows = ask_rows(questions)
        parents: list[int] = []  # the question of each description
        for index, of_question in enumerate(branches):
            parents += [index] * of_question.descriptions
        described_rows = [rows[index] for index in parents]
        described = [questions[index] for index in parents]
        descriptions, wholes = self._describe(described, described_rows)
        description_indices: list[int] = []
        for number, index in enumerate(parents):
            description_indices += [number] * branches[index].continuations
        question_indices = [parents[number] for number in description_indices]
        hidden = [_blank(row) for row in rows]
        after_rows = hidden if self.settings.path == "closed" else rows
        rows_of_replies = [after_rows[index] for index in question_indices]
        continuations = self._continue(rows_of_replies, descriptions, wholes, description_indices)
        judge = _Judge(self, questions, question_indices, descriptions, description_indices)
        judged, states_after = judge(continuations)
        blind = judged
        if self.settings.credit == "decoupled" and self.settings.path == "open":
            hidden_rows = [hidden[index] for index in question_indices]
            unseeing = self._continue(hidden_rows, descriptions, wholes, description_indices)
            blind, _ = judge(unseeing)
        self._log_lengths(descriptions, wholes, continuations, description_indices)
        return BlockReplies(
            questions,
            question_indices,
            rows_of_replies,
            (),
            judged,
            states_after,
            description_indices,
            described_rows,
            descriptions,
            wholes,
            continuations,
            blind,
        )

    def _describe(
        self, questions: Sequence[Question], rows: Sequence[dict[str, Any]]
    ) -> tuple[list[Block], list[bool]]:
        """A description for each question, and whether it is an answer by itself."""
        marks = [_end_of_description(question) for question in questions]
        prompts = prompts_of(rows)
        at_once = self.settings.generate_batch or len(prompts)
        sampled = self.sample_blocks(prompts, at_once, until=marks)
        descriptions = []
        wholes = []
        for mark, block in zip(marks, sampled, strict=True):
            length = tokens_until(mark, block.tokens, self.decode)
            is_whole = length is None or length >= self.settings.max_new_tokens
            descriptions.append(block if length is None else block.until(length))
            wholes.append(is_whole)
        return descriptions, wholes

    def _continue(
        self,
        rows: Sequence[dict[str, Any]],
        descriptions: Sequence[Block],
        wholes: Sequence[bool],
        description_indices: Sequence[int],
    ) -> list[Block]:
        """What follows the description of each reply; nothing, where that is an answer by itself.

        All are asked, so that processes generate alike.
        """
        prompts = prompts_of(rows)
        said = []
        for number in description_indices:
            said.append([] if wholes[number] else descriptions[number].tokens)
        at_once = self.settings.generate_batch or len(prompts)
        sampled = self.sample_blocks(prompts, at_once, said=said)
        return [
            block.until(0) if wholes[number] else block
            for number, block in zip(description_indices, sampled, strict=True)
        ]

    def _log_lengths(
        self,
        descriptions: Sequence[Block],
        wholes: Sequence[bool],
        continuations: Sequence[Block],
        description_indices: Sequence[int],
    ) -> None:
        """Log what TRL logs of the lengths of answers that it has generated itself, and how many
        descriptions end.
        """
        lengths = []
        cut = []
        ends = {*self.eos_token_ids, self._tokenizer.pad_token_id}
        for number, block in zip(description_indices, continuations, strict=True):
            tokens = [*descriptions[number].tokens, *block.tokens]
            lengths.append(len(tokens))
            cut.append(tokens[-1] not in ends)
        of_descriptions = [len(block.tokens) for block in descriptions]
        self.log_metric("completions/mean_length", float(np.mean(lengths)))
        self.log_metric("completions/clipped_ratio", float(np.mean(cut)))
        self.log_metric("descriptions/mean_length", float(np.mean(of_descriptions)))
        self.log_metric("descriptions/never_ended", float(np.mean(wholes)))

    # ---- groups
    @override
    def _group(self, replies: Replies, members: slice) -> Group:
        """Some of the replies as one group, with a row for each block."""
        assert isinstance(replies, BlockReplies)
        branches = self.branches
        first = replies.description_indices[members.start]
        described = range(first, first + branches.descriptions)
        judged = self.rewarded(replies, members)
        advantages = self._advantages(replies, members, described, judged)
        rows = []
        generated = []
        for index, number in enumerate(described):
            of_description = judged[index * branches.continuations :][: branches.continuations]
            terms = _mean_terms([judgement.terms for judgement in of_description])
            rows.append({**replies.described_rows[number], "terms": terms})
            generated.append(self._row(replies, number, None))
        for reply, judgement in zip(range(members.start, members.stop), judged, strict=True):
            rows.append({**replies.rows[reply], "terms": judgement.terms})
            generated.append(self._row(replies, replies.description_indices[reply], reply))
        answers = [*range(branches.descriptions)]
        answers += [index - first for index in replies.description_indices[members]]
        return Group(
            rows,
            _generated(rows, generated),
            [self.weights.total(self.weights.rewarded(judgement.terms)) for judgement in judged],
            advantages,
            answers,
        )

    def _row(self, replies: BlockReplies, number: int, reply: int | None) -> _Row:
        """The tokens of a description, or of a reply after its description; which of them are
        trained on.
        """
        description = replies.descriptions[number]
        if reply is None:
            mask = [1] * len(description.tokens)
            return _Row(description, mask, self.decode(description.tokens))
        block = replies.continuations[reply]
        logprobs = None
        if description.logprobs is not None:
            logprobs = [*description.logprobs, *(block.logprobs or [])]
        tokens = [*description.tokens, *block.tokens]
        mask = [0] * len(description.tokens) + [1] * len(block.tokens)
        return _Row(Block(block.prompt, tokens, logprobs), mask, self.decode(tokens))

    def _advantages(
        self,
        replies: BlockReplies,
        members: slice,
        described: range,
        judged: Sequence[Judgement],
    ) -> list[float]:
        """The advantage of each row of a group: of the descriptions, then of the continuations."""
        branches = self.branches
        wholes = np.array([[replies.wholes[number] for number in described]])
        questions = [replies.question(reply) for reply in range(members.start, members.stop)]
        of_blocks = branch_rewards(
            self.weights,
            questions,
            judged,
            replies.blind[members],
            wholes,
            apart=self.settings.credit in APART,
        )
        scaled = ESTIMATORS[self.settings.credit](of_blocks).scaled()
        of_continuations = np.where(wholes[:, :, None], 0.0, scaled.continuations)
        of_descriptions = branches.continuations * scaled.descriptions
        return [*of_descriptions.ravel().tolist(), *of_continuations.ravel().tolist()]


@dataclass(frozen=True)
class _Judge:
    """Judges whole answers by their second blocks."""

    trainer: BlockGrpo
    questions: Sequence[Question]
    question_indices: Sequence[int]
    descriptions: Sequence[Block]
    description_indices: Sequence[int]

    def __call__(self, continuations: Sequence[Block]) -> tuple[list[Judgement], list[Any]]:
        texts = []
        for number, block in zip(self.description_indices, continuations, strict=True):
            texts.append(self.trainer.decode([*self.descriptions[number].tokens, *block.tokens]))
        asked_about = [self.questions[index] for index in self.question_indices]
        states = [(question.task.game, question.state) for question in asked_about]
        blocks = [question.task.blocks for question in asked_about]
        weights = self.trainer.weights
        return judge_rows(states, texts, weights.regret != 0, blocks, weights.simulates)


def branch_rewards(
    weights: Weights,
    questions: Sequence[Question],
    judged: Sequence[Judgement],
    blind: Sequence[Judgement],
    wholes: Any,
    apart: bool,
) -> BranchRewards:
    """What the answers to one state are worth, by blocks.

    Args:
        weights: of the reward terms.
        questions: of each answer.
        judged: the answers, as many continuations of each description.
        blind: answers with other continuations, that see no picture.
        wholes: ``(1, D)``, descriptions that are answers by themselves.
        apart: the terms of a description are kept apart; else they are part of each answer.
    """
    shape = (*wholes.shape, len(judged) // wholes.size)
    game = questions[0].task.game
    level = questions[0].state.level
    succeeds = judged_as_described(game, level, judged)
    terms_as_described = [
        {**judgement.terms, "game": 1.0 if success else -1.0}
        for judgement, success in zip(judged, succeeds, strict=True)
    ]

    def worth(all_terms: Sequence[dict[str, float]]) -> Values:
        """The weighted sums, without what is kept apart."""
        totals = []
        for terms in all_terms:
            of_description = weights.of_description(terms) if apart else 0.0
            totals.append(weights.total(terms) - of_description)
        return np.array(totals).reshape(shape)

    rewarded = [weights.rewarded(judgement.terms) for judgement in judged]
    of_descriptions = [
        weights.of_description(terms) if apart else 0.0 for terms in rewarded[:: shape[2]]
    ]
    return BranchRewards(
        answers=worth(rewarded),
        descriptions=np.array(of_descriptions).reshape(shape[:2]),
        described=worth(terms_as_described),
        blind=worth([weights.rewarded(judgement.terms) for judgement in blind]),
        whole=wholes,
    )


@dataclass(frozen=True)
class _Row:
    """A row of a batch: prompt and completion, which of its tokens are trained on, its text."""

    block: Block
    mask: list[int]
    text: str


def _generated(rows: Sequence[dict[str, Any]], completed: Sequence[_Row]) -> Generated:
    """Rows as TRL's ``_generate`` returns them: prompts, completions, masks of the tokens that are
    the model's own there, texts, log-probabilities, and pictures.
    """
    blocks = [row.block for row in completed]
    has_logprobs = blocks[0].logprobs is not None
    return (
        [block.prompt for block in blocks],
        [block.tokens for block in blocks],
        [row.mask for row in completed],
        [[{"role": "assistant", "content": row.text}] for row in completed],
        [block.logprobs for block in blocks] if has_logprobs else None,
        {},
        [[row["image"]] for row in rows],
        [],
    )


def _blank(row: dict[str, Any]) -> dict[str, Any]:
    """A row whose picture shows nothing."""
    return {**row, "image": blank_like(row["image"])}


def _end_of_description(question: Question) -> str:
    blocks = question.task.blocks
    return blocks.end(blocks.perception)


def _mean_terms(all_terms: Sequence[dict[str, float]]) -> dict[str, float]:
    """The mean of each reward term."""
    return {name: float(np.mean([terms[name] for terms in all_terms])) for name in all_terms[0]}
