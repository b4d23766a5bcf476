"""The steps of GRPO: from questions to a batch of groups that TRL trains on.

:meth:`Grpo.make_batch` tells their order. Imports torch, Transformers and TRL; import it where a
run begins.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from accelerate.utils import gather_object
from datasets import Dataset
from trl.data_utils import prepare_multimodal_messages
from typing_extensions import override

from vlmgym.core import ConfigError
from vlmgym.core.files import read_json, write_atomically
from vlmgym.core.random import DEALT_SALT
from vlmgym.dialogue import prompt
from vlmgym.dialogue.judge import Judgement
from vlmgym.dialogue.weights import Weights
from vlmgym.episodes.batch import EpisodeBatch
from vlmgym.render.frames import blank_like
from vlmgym.train.credit import visual_weights
from vlmgym.train.crediting import credit_tokens
from vlmgym.train.groups import (
    COMPLETIONS,
    Batch,
    Generated,
    Group,
    Replies,
    Share,
    rows_of,
    worth_the_same,
)
from vlmgym.train.multi_turn import episode_terms
from vlmgym.train.questions import Answered, Question, QuestionSource
from vlmgym.train.rewards import batch_metrics, judge_rows, reply_text
from vlmgym.train.rows import ask_rows
from vlmgym.train.trl_grpo import TrlGrpo, trained_tokens
from vlmgym.train.turn_credit import TURN_ESTIMATORS

if TYPE_CHECKING:
    from vlmgym.train.settings import GrpoSettings

STATES = "states.json"
"""The file of a checkpoint that holds pools, curricula and the number of the next question."""


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
        output = self.score(batch.rows, batch.generated, len(batch.groups))
        if batch.advantages:
            output["advantages"] = output["advantages"].new_tensor(batch.advantages)
            self.replace_metrics(_deviations(batch))
        self.replace_metrics(batch.metrics)
        output = self.leave_out(output, batch.equal, self.settings.drop_equal)
        if self.settings.credit == "visual":
            self._weigh(output, batch)
        return output

    def _weigh(self, output: dict[str, Any], batch: Batch) -> None:
        """Multiply the advantages of tokens by how much they depend on the picture."""
        blank = blank_like(batch.rows[0]["image"])
        dependence = self.dependence(output, blank).double().cpu().numpy()
        _, answers = np.unique(batch.answers, axis=0, return_inverse=True)
        mask = trained_tokens(output).cpu().numpy()
        weights = visual_weights(dependence, mask, answers.ravel())
        advantages = output["advantages"].unsqueeze(1)
        output["advantages"] = advantages * advantages.new_tensor(weights)

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
        repetitions = everyone[-1:] * (size - len(mine))
        return Share(mine + repetitions, everyone)

    def _real(self, share: Share) -> int:
        """How many of this process's questions are not repetitions."""
        before = len(share.mine) * self.accelerator.process_index
        return max(min(len(share.mine), len(share.everyone) - before), 0)

    # ---- single replies
    def _collect(self, count: int) -> Batch:
        """``count`` groups with unequal replies, filled up with equal ones where the rounds do not
        suffice.
        """
        wanted = count * self.accelerator.num_processes
        drop = self.settings.drop_equal
        groups, metrics = self._first_round(wanted)
        all_equal = _equal_of_all_processes(groups)
        for _ in range(self.settings.refill if drop else 0):
            missing = wanted - sum(not is_equal for is_equal in all_equal.values())
            if not missing:
                break
            replacements = self._next_round(missing)
            groups |= replacements
            all_equal |= _equal_of_all_processes(replacements)
        self.log_metric("groups/generated", len(all_equal))
        self.log_metric("groups/equal", sum(all_equal.values()) / len(all_equal))
        order = sorted(all_equal, key=lambda serial: (all_equal[serial] and drop, serial))
        chosen = [groups[serial] for serial in order[:wanted] if serial in groups]
        return Batch(self._evened_out(chosen, count), metrics)

    def _first_round(self, count: int) -> tuple[dict[int, Group], dict[str, float]]:
        """The groups of the first ``count`` questions of a step, by number, and their metrics.

        The games of the pools that pass are asked along, once each, and no group comes of it.
        """
        share = self._draw(count)
        passing = self._share(self.states.passing())
        replies = self._answer(share, passing)
        groups = self._groups(share, replies)
        self._play_on(share, passing, replies)
        return groups, self._first_metrics(list(groups.values()), share, replies)

    def _next_round(self, count: int) -> dict[int, Group]:
        """The groups of ``count`` questions that replace others, by number."""
        share = self._draw(count)
        nobody = Share([], [])
        return self._groups(share, self._answer(share, nobody))

    def _evened_out(self, groups: list[Group], count: int) -> list[Group]:
        """``count`` groups for every process: those that have more hand some on.

        Which groups are trained on is decided over all processes, in the order of the questions, so
        that it does not depend on their number.
        """
        spare = list(chain.from_iterable(gather_object([groups[count:]])))
        lacking = gather_object([max(count - len(groups), 0)])
        process = self.accelerator.process_index
        first = sum(lacking[:process])
        return groups[:count] + spare[first : first + lacking[process]]

    def _answer(self, share: Share, passing: Share) -> Replies:
        """Generate and judge the replies to this process's questions."""
        questions = [*share.mine, *passing.mine]
        question_indices = self._questions_of_replies(len(share.mine), len(questions))
        rows = ask_rows(questions)
        beginnings = [""] * len(questions)
        if self.settings.prefill:
            beginnings = [_true_description(question) for question in questions]
            rows = [_begun(row, text) for row, text in zip(rows, beginnings, strict=True)]
        rows_of_replies = [rows[index] for index in question_indices]
        generated = self._generate_in_pieces(rows_of_replies)
        texts = [
            beginnings[index] + reply_text(completion)
            for index, completion in zip(question_indices, generated[COMPLETIONS], strict=True)
        ]
        asked_about = [questions[index] for index in question_indices]
        states = [(question.task.game, question.state) for question in asked_about]
        blocks = [question.task.blocks for question in asked_about]
        judged, states_after = judge_rows(
            states, texts, self.weights.regret != 0, blocks, self.weights.simulates
        )
        return Replies(
            questions, question_indices, rows_of_replies, generated, judged, states_after
        )

    def _generate_in_pieces(self, rows: list[dict[str, Any]]) -> Generated:
        """A reply to each row, as many together as the settings allow."""
        prompts = prompts_of(rows)
        return self.generate_answers(prompts, self.settings.generate_batch or len(prompts))

    def _questions_of_replies(self, groups: int, questions: int) -> list[int]:
        """The question of each reply: a group for the first ones, one reply for those that pass.

        vLLM through TRL takes one prompt of each group, so there a game that passes is asked as
        often as the others.
        """
        size = self.num_generations
        passing = size if self.settings.use_vllm else 1
        indices = []
        for index in range(questions):
            indices += [index] * (size if index < groups else passing)
        return indices

    def _groups(self, share: Share, replies: Replies) -> dict[int, Group]:
        """The groups of this process, by the numbers of their questions; all processes are told
        what was answered.
        """
        size = self.num_generations
        groups: dict[int, Group] = {}
        answered = []
        for index, question in enumerate(share.mine[: self._real(share)]):
            members = slice(index * size, (index + 1) * size)
            groups[question.serial] = self._group(replies, members)
            judged = replies.judged[members]
            successes = sum(judgement.terms["game"] > 0 for judgement in judged)
            chosen = index * size + self.states.chosen(question, size)
            state_after = replies.state_after(chosen)
            changed = replies.judged[chosen].changed
            answered.append(Answered(successes, size, state_after, changed))
        self.states.tell(share.everyone, gather_object(answered))
        return groups

    def _group(self, replies: Replies, members: slice) -> Group:
        """Some of the replies as one group, its rows with the reward terms of their reply."""
        rows = []
        totals = []
        judged = self.rewarded(replies, members)
        for row, judgement in zip(replies.rows[members], judged, strict=True):
            rows.append({**row, "terms": judgement.terms})
            totals.append(self.weights.total(self.weights.rewarded(judgement.terms)))
        return Group(rows, rows_of(replies.generated, members), totals)

    def rewarded(self, replies: Replies, members: slice) -> list[Judgement]:
        """What each of some replies is rewarded for: what it was judged by or, for a control, what
        another one of the group was.
        """
        judged = replies.judged[members]
        if not self.settings.shuffled:
            return judged
        serial = replies.question(members.start).serial
        generator = np.random.default_rng([DEALT_SALT, self.settings.seed, serial])
        return [judged[number] for number in generator.permutation(len(judged))]

    def _play_on(self, share: Share, passing: Share, replies: Replies) -> None:
        """Tell all processes what was answered where games of the pools pass."""
        first = len(share.mine)
        answered = []
        for index in range(first, first + self._real(passing)):
            reply = replies.question_indices.index(index)
            state_after = replies.state_after(reply)
            answered.append(Answered(0, 0, state_after, replies.judged[reply].changed))
        self.states.tell(passing.everyone, gather_object(answered))

    def _first_metrics(
        self, groups: Sequence[Group], share: Share, replies: Replies
    ) -> dict[str, float]:
        """Log the metrics of the questions as they come, before any is replaced; returns those that
        TRL logs as well.
        """
        count = len(share.mine) * self.num_generations
        games = [replies.question(reply).task.names.game for reply in range(count)]
        for name, value in batch_metrics(replies.judged[:count], games).items():
            self.log_metric(name, value)
        for name, ladder in self.states.curricula.items():
            self.log_metric(f"{name}/place", ladder.place)
        for name, moves in self.states.moves_from_end().items():
            self.log_metric(f"{name}/moves_from_end", moves)
        means_of_processes = gather_object([_means(groups)])
        return {
            name: sum(means[name] for means in means_of_processes) / len(means_of_processes)
            for name in means_of_processes[0]
        }

    # ---- episodes
    def _play_episodes(self, count: int) -> dict[str, Any]:
        """A group of whole episodes for each of ``count`` questions; TRL plays them."""
        share = self._draw(count * self.accelerator.num_processes)
        size = self.num_generations
        rows = [row for question in share.mine for row in _episode_rows(question, size)]
        output = self.score(rows)
        if "num_images" not in output:
            allowed = (
                "more: the pictures of an episode did not fit, and TRL then trains without any"
            )
            raise ConfigError("grpo.max_new_tokens", self.settings.max_new_tokens, allowed)
        episodes = [play.lane for play in self.environments]
        groups = [episodes[first : first + size] for first in range(0, len(episodes), size)]
        answered = [_answered_in(group) for group in groups]
        self.states.tell(share.everyone, gather_object(answered))
        equal = [worth_the_same([self._total(episode) for episode in group]) for group in groups]
        output = self.leave_out(output, equal, self.settings.drop_equal)
        if self.settings.credit in TURN_ESTIMATORS:
            credit_tokens(self, output, groups)
        return output

    def _total(self, episode: EpisodeBatch) -> float:
        """The reward of an episode."""
        return self.weights.total(episode_terms(episode, self.settings.episode, self.weights))


def _equal_of_all_processes(groups: Mapping[int, Group]) -> dict[int, bool]:
    """For the groups of all processes, by number, whether their replies are worth the same."""
    return dict(gather_object([(serial, group.equal) for serial, group in groups.items()]))


def _means(groups: Sequence[Group]) -> dict[str, float]:
    """The mean reward of all replies, and of each of its terms, under TRL's names."""
    totals = [total for group in groups for total in group.totals]
    means = {"reward": sum(totals) / len(totals)}
    rows = [row for group in groups for row in group.rows]
    for term in rows[0]["terms"]:
        values = [row["terms"][term] for row in rows]
        means[f"rewards/{term}/mean"] = sum(values) / len(values)
    return means


def _deviations(batch: Batch) -> dict[str, float]:
    """How much the rewards of all processes' replies differ, under TRL's names: where rows are
    blocks, what TRL logs is of rows.
    """
    totals = gather_object([total for group in batch.groups for total in group.totals])
    equal = gather_object([worth_the_same(group.totals) for group in batch.groups])
    return {
        "reward_std": float(np.std(totals, ddof=1)),
        "frac_reward_zero_std": float(np.mean(equal)),
    }


def _answered_in(group: Sequence[EpisodeBatch]) -> Answered:
    """What is told about a group of episodes: how many of all turns succeeded."""
    turns = [turn for episode in group for turn in episode.turns]
    successes = sum(turn.terms["game"] > 0 for turn in turns)
    return Answered(successes, len(turns), "", True)


def prompts_of(rows: Sequence[Mapping[str, Any]]) -> list[Any]:
    """The questions of rows with their pictures, as TRL takes them."""
    return [prepare_multimodal_messages(row["prompt"], images=[row["image"]]) for row in rows]


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
