"""The steps of GRPO: from questions to a batch of groups that TRL trains on.

:meth:`Grpo.make_batch` tells their order. Imports torch, Transformers and TRL; import it where a
run begins.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from accelerate.utils import gather_object
from datasets import Dataset
from trl.data_utils import prepare_multimodal_messages
from typing_extensions import override

from vlmgym.core import ConfigError, State
from vlmgym.core.files import read_json, write_atomically
from vlmgym.dialogue import prompt
from vlmgym.dialogue.judge import Judgement, Weights
from vlmgym.games import state_text
from vlmgym.train.multi_turn import episode_terms
from vlmgym.train.questions import Answered, Question, QuestionSource
from vlmgym.train.rewards import batch_metrics, judge_rows, reply_text
from vlmgym.train.rows import ask_rows
from vlmgym.train.trl_grpo import COMPLETIONS, Generated, TrlGrpo, joined, rows_of

if TYPE_CHECKING:
    from vlmgym.train.settings import GrpoSettings

STATES = "states.json"
"""The file of a checkpoint that holds pools, curricula and the number of the next question."""


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
    asked: list[int]  # the place of its question
    rows: list[dict[str, Any]]  # as TRL's trainer wants them
    generated: Generated  # as TRL gave them
    judged: list[Judgement]
    after: list[tuple[State, int]]  # the state after it: a batch, and a row of it

    def state_after(self, reply: int) -> str:
        """The state after a reply as text, as it travels between processes, where a game of a pool
        goes on from it.
        """
        question = self.questions[self.asked[reply]]
        batch, row = self.after[reply]
        return state_text(question.task.game, batch[row]) if question.slot >= 0 else ""


@dataclass(frozen=True)
class Group:
    """The replies to one question, generated and judged."""

    rows: list[dict[str, Any]]
    generated: Generated
    totals: list[float]  # the reward of each reply

    @property
    def equal(self) -> bool:
        """Whether all replies are worth the same: then no advantage tells them apart."""
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
    def equal(self) -> list[bool]:
        """For each group, whether its replies are all worth the same."""
        return [group.equal for group in self.groups]


def worth_the_same(totals: Sequence[float]) -> bool:
    """Whether totals are equal, but for the rounding of their sums.

    A float32 mean of equal ones may miss them by a bit.
    """
    return max(totals) - min(totals) < 1e-9


class Grpo(TrlGrpo):
    """TRL's GRPOTrainer on questions of :class:`vlmgym.train.questions.QuestionSource`.

    The data set that TRL sees only counts; the questions are drawn when replies are generated, so
    that they can depend on all replies before, and a checkpoint holds exactly what comes next.
    Groups whose replies are all worth the same are replaced by new questions, a bounded number of
    times; those that remain are left out of the loss.

    Args:
        states: where questions come from.
        weights: of the reward terms.
        settings: see :class:`vlmgym.train.settings.GrpoSettings`.
        arguments: of TRL's GRPOTrainer.
    """

    def __init__(
        self, *, states: QuestionSource, weights: Weights, settings: GrpoSettings, **arguments: Any
    ) -> None:
        self.states = states
        self.weights = weights
        self.settings = settings
        self.explode = settings.explode
        batches = -(-settings.steps // settings.epochs_per_batch)
        questions = settings.batch // settings.group * int(arguments["args"].world_size) * batches
        data = Dataset.from_dict({"prompt": [[{"role": "user", "content": ""}]] * questions})
        super().__init__(train_dataset=data, **arguments)
        if settings.use_vllm and settings.vllm_mode == "colocate":
            self.collapse_image_tokens()

    @override
    def may_stop(self) -> bool:
        """Not in the midst of the passes over a batch."""
        return bool(self.state.global_step % self.settings.epochs_per_batch == 0)

    @override
    def save_more(self, folder: Path) -> None:
        """Pools, curricula, and which question comes next."""
        write_atomically(folder / STATES, json.dumps(self.states.state_dict()))

    @override
    def load_more(self, folder: Path) -> None:
        self.states.load_state_dict(read_json(folder / STATES))

    @override
    def make_batch(self, groups: int) -> dict[str, Any]:
        """Draw questions, have them answered, keep the groups that teach, and let TRL score
        them.
        """
        if self.settings.turns > 1:
            return self._play_episodes(groups)
        batch = self._collect(groups)
        output = self.score(batch.rows, batch.generated)
        self.replace_metrics(batch.metrics)
        return self.leave_out(output, batch.equal, self.settings.drop_equal)

    # ---- questions
    def _draw(self, count: int) -> Share:
        """``count`` new questions for all processes together."""
        return self._share(self.states.draw(count))

    def _share(self, everyone: list[Question]) -> Share:
        """This process's share of the questions of all.

        A share is as large as any other one, which generation over several processes wants; where
        there are too few questions, the last is repeated, and what is answered to it once more does
        not count.
        """
        size = -(-len(everyone) // self.accelerator.num_processes)
        first = size * self.accelerator.process_index
        mine = everyone[first : first + size]
        return Share(mine + everyone[-1:] * (size - len(mine)), everyone)

    def _real(self, share: Share) -> int:
        """How many of this process's questions are not repetitions."""
        before = len(share.mine) * self.accelerator.process_index
        return max(min(len(share.mine), len(share.everyone) - before), 0)

    # ---- single replies
    def _collect(self, count: int) -> Batch:
        """``count`` groups with unequal replies, filled up with equal ones where the rounds do not
        suffice.

        In the first round of a step the games of the pools that pass are asked along, once each,
        and no group comes of it.
        """
        wanted = count * self.accelerator.num_processes
        drop = self.settings.drop_equal
        equal: dict[int, bool] = {}  # by the number of the question, over all processes
        mine: dict[int, Group] = {}
        metrics: dict[str, float] = {}
        for number in range(1 + (self.settings.refill if drop else 0)):
            missing = wanted - (sum(not one for one in equal.values()) if drop else len(equal))
            if not missing:
                break
            share = self._draw(missing)
            passing = self._share(self.states.passing() if number == 0 else [])
            replies = self._answer(share, passing)
            fresh = self._groups(share, replies)
            if number == 0:
                self._play_on(share, passing, replies)
                metrics = self._first_metrics(list(fresh.values()), share, replies)
            mine |= fresh
            flags = [(serial, group.equal) for serial, group in fresh.items()]
            equal |= dict(gather_object(flags))
        self.log_metric("groups/generated", len(equal))
        self.log_metric("groups/equal", sum(equal.values()) / len(equal))
        order = sorted(equal, key=lambda serial: (equal[serial] and drop, serial))
        kept = [mine[serial] for serial in order[:wanted] if serial in mine]
        return Batch(self._evened_out(kept, count), metrics)

    def _evened_out(self, kept: list[Group], count: int) -> list[Group]:
        """``count`` groups for every process: those that have more hand some on.

        What is kept is decided over all processes, in the order of the questions, so that it does
        not depend on their number.
        """
        spare = list(chain.from_iterable(gather_object([kept[count:]])))
        lacking = gather_object([max(count - len(kept), 0)])
        process = self.accelerator.process_index
        first = sum(lacking[:process])
        return kept[:count] + spare[first : first + lacking[process]]

    def _answer(self, share: Share, passing: Share) -> Replies:
        """Generate and judge the replies to this process's questions."""
        questions = [*share.mine, *passing.mine]
        asked = self._places(len(share.mine), len(questions))
        rows = ask_rows(questions)
        beginnings = [""] * len(questions)
        if self.settings.prefill:
            beginnings = [_true_description(question) for question in questions]
            rows = [_begun(row, text) for row, text in zip(rows, beginnings, strict=True)]
        of_replies = [rows[place] for place in asked]
        prompts = [
            prepare_multimodal_messages(row["prompt"], images=[row["image"]]) for row in of_replies
        ]
        generated = self.generate_answers(prompts, self.settings.generate_batch or len(prompts))
        texts = [
            beginnings[place] + reply_text(completion)
            for place, completion in zip(asked, generated[COMPLETIONS], strict=True)
        ]
        states = [(questions[place].task.game, questions[place].state) for place in asked]
        blocks = [questions[place].task.blocks for place in asked]
        judged, after = judge_rows(states, texts, self.weights.regret != 0, blocks)
        return Replies(questions, asked, of_replies, generated, judged, after)

    def _places(self, groups: int, questions: int) -> list[int]:
        """The question of each reply: a group for the first ones, one reply for those that pass.

        vLLM through TRL takes one prompt of each group, so there a game that passes is asked as
        often as the others.
        """
        size = self.num_generations
        passing = size if self.settings.use_vllm else 1
        return [
            place for place in range(questions) for _ in range(size if place < groups else passing)
        ]

    def _groups(self, share: Share, replies: Replies) -> dict[int, Group]:
        """The groups of this process, by the numbers of their questions; all processes are told
        what was answered.
        """
        size = self.num_generations
        groups: dict[int, Group] = {}
        answered = []
        for place, question in enumerate(share.mine[: self._real(share)]):
            members = slice(place * size, (place + 1) * size)
            judged = replies.judged[members]
            terms = [judgement.terms for judgement in judged]
            rows = [
                {**row, "terms": of_reply}
                for row, of_reply in zip(replies.rows[members], terms, strict=True)
            ]
            totals = [self.weights.total(self.weights.rewarded(of_reply)) for of_reply in terms]
            groups[question.serial] = Group(rows, rows_of(replies.generated, members), totals)
            chosen = place * size + self.states.chosen(question, size)
            successes = sum(of_reply["game"] > 0 for of_reply in terms)
            changed = replies.judged[chosen].changed
            answered.append(Answered(successes, size, replies.state_after(chosen), changed))
        self.states.tell(share.everyone, gather_object(answered))
        return groups

    def _play_on(self, share: Share, passing: Share, replies: Replies) -> None:
        """Tell all processes what was answered where games of the pools pass."""
        first = len(share.mine)
        answered = []
        for place in range(first, first + self._real(passing)):
            reply = replies.asked.index(place)
            after = replies.state_after(reply)
            answered.append(Answered(0, 0, after, replies.judged[reply].changed))
        self.states.tell(passing.everyone, gather_object(answered))

    def _first_metrics(
        self, groups: Sequence[Group], share: Share, replies: Replies
    ) -> dict[str, float]:
        """Log the metrics of the questions as they come, before any is replaced; returns those that
        TRL logs as well.
        """
        count = len(share.mine) * self.num_generations
        games = [replies.questions[place].task.names.game for place in replies.asked[:count]]
        for name, value in batch_metrics(replies.judged[:count], games).items():
            self.log_metric(name, value)
        for name, ladder in self.states.curricula.items():
            self.log_metric(f"{name}/place", ladder.place)
        totals = [total for group in groups for total in group.totals]
        means = {"reward": sum(totals) / len(totals)}
        for term in groups[0].rows[0]["terms"]:
            values = [row["terms"][term] for group in groups for row in group.rows]
            means[f"rewards/{term}/mean"] = sum(values) / len(values)
        of_all = gather_object([means])
        return {name: sum(one[name] for one in of_all) / len(of_all) for name in means}

    # ---- episodes
    def _play_episodes(self, count: int) -> dict[str, Any]:
        """A group of whole episodes for each of ``count`` questions; TRL plays them."""
        share = self._draw(count * self.accelerator.num_processes)
        size = self.num_generations
        output = self.score(
            [row for question in share.mine for row in _episode_rows(question, size)]
        )
        if "num_images" not in output:
            allowed = (
                "more: the pictures of an episode did not fit, and TRL then trains without any"
            )
            raise ConfigError("grpo.max_new_tokens", self.settings.max_new_tokens, allowed)
        episodes = [play.lane for play in self.environments]
        firsts = range(0, len(episodes), size)
        answered = []
        for first in firsts:
            members = episodes[first : first + size]
            turns = [turn for episode in members for turn in episode.turns]
            successes = sum(turn.terms["game"] > 0 for turn in turns)
            answered.append(Answered(successes, len(turns), "", True))
        self.states.tell(share.everyone, gather_object(answered))
        totals = [
            self.weights.total(episode_terms(episode, self.settings.episode, self.weights))
            for episode in episodes
        ]
        equal = [worth_the_same(totals[first : first + size]) for first in firsts]
        return self.leave_out(output, equal, self.settings.drop_equal)


def _true_description(question: Question) -> str:
    """The beginning of a reply that describes the board as it is."""
    task = question.task
    return prompt.prefills(task.game, question.state, task.prompt, task.blocks)[0]


def _begun(row: Mapping[str, Any], text: str) -> dict[str, Any]:
    """A row whose reply goes on after a text."""
    message = {"role": "assistant", "content": [{"type": "text", "text": text}]}
    return {**row, "prompt": [*row["prompt"], message]}


def _episode_rows(question: Question, count: int) -> list[dict[str, Any]]:
    """The rows of a group of episodes, the picture in the prompt."""
    row = ask_rows([question])[0]
    picture = row.pop("image")
    messages = prepare_multimodal_messages(row.pop("prompt"), images=[picture])
    return [{"prompt": messages, **row} for _ in range(count)]
