"""TRL's GRPOTrainer, with what it lacks here: states that follow the policy, and groups that teach.

Imports torch, Transformers and TRL; import it where a run begins.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from accelerate.utils import gather_object
from datasets import Dataset
from trl import GRPOTrainer
from trl.data_utils import prepare_multimodal_messages

from vlmgym.core import ConfigError
from vlmgym.core.files import read_json, write_atomically
from vlmgym.dialogue import prompt
from vlmgym.dialogue.judge import Judgement, Weights
from vlmgym.games import state_text
from vlmgym.models.loading import image_token
from vlmgym.train.multi_turn import episode_terms
from vlmgym.train.questions import Answered, Question, QuestionSource
from vlmgym.train.resumable import ResumableTrainer
from vlmgym.train.rewards import batch_metrics, judge_rows, reply_text
from vlmgym.train.rows import ask_rows

if TYPE_CHECKING:
    from vlmgym.train.settings import GrpoSettings


@dataclass
class Group:
    """The answers to one question, generated and judged."""

    rows: list[dict[str, Any]]
    generated: tuple[Any, ...]  # what TRL's _generate returns, for these rows
    totals: list[float]

    @property
    def equal(self) -> bool:
        """Whether all answers are worth the same: then no advantage tells them apart."""
        return worth_the_same(self.totals)


def worth_the_same(totals: Sequence[float]) -> bool:
    """Whether totals are equal, but for the rounding of their sums.

    A float32 mean of equal ones may miss them by a bit.
    """
    return max(totals) - min(totals) < 1e-9


class Grpo(ResumableTrainer, GRPOTrainer):  # type: ignore[misc]
    """TRL's GRPOTrainer on questions of :class:`vlmgym.train.questions.QuestionSource`.

    The data set that TRL sees only counts; the questions are drawn when answers are generated, so
    that they can depend on all answers before, and a checkpoint holds exactly what comes next.
    Groups whose answers are all worth the same are replaced by new questions, a bounded number of
    times; those that remain are left out of the loss.

    Args:
        states: where questions come from.
        weights: of the reward terms.
        settings: see :class:`vlmgym.train.grpo.GrpoSettings`.
        arguments: of TRL's GRPOTrainer.
    """

    def __init__(
        self, *, states: QuestionSource, weights: Weights, settings: GrpoSettings, **arguments: Any
    ) -> None:
        self.states, self.weights, self.settings = states, weights, settings
        self.explode = settings.explode
        self._ready: tuple[Any, ...] | None = None
        self._nothing = False  # whether all groups of the batch are left out
        count = settings.batch // settings.group
        groups = (
            count
            * int(arguments["args"].world_size)
            * -(-settings.steps // settings.epochs_per_batch)
        )
        data = Dataset.from_dict({"prompt": [[{"role": "user", "content": ""}]] * groups})
        super().__init__(train_dataset=data, **arguments)
        if settings.use_vllm and settings.vllm_mode == "colocate":
            self._guard(self.vllm_generation)

    def _guard(self, backend: Any) -> None:
        """Give a vLLM in this process one image token a picture: it expands them itself, and TRL
        hands on expanded prompts.

        See https://github.com/huggingface/trl/issues/6294; harmless once that is mended. A server
        gets the features instead.
        """
        image, plain = image_token(self.model), backend.generate

        def generate(prompts: Any, images: Any, *rest: Any, **options: Any) -> Any:
            if images is not None:
                prompts = [collapse(ids, image) for ids in prompts]
            return plain(prompts, images, *rest, **options)

        backend.generate = generate

    def may_stop(self) -> bool:
        """See :class:`ResumableTrainer`: not in the midst of the passes over a batch."""
        return bool(self.state.global_step % self.settings.epochs_per_batch == 0)

    def save_more(self, folder: Path) -> None:
        """See :class:`ResumableTrainer`: pools, curricula, and which question comes next."""
        write_atomically(folder / STATES, json.dumps(self.states.state_dict()))

    def load_more(self, folder: Path) -> None:
        """See :class:`ResumableTrainer`."""
        self.states.load_state_dict(read_json(folder / STATES))

    # ---- generating
    def _tokenize_prompts(self, prompts: Any) -> Any:
        """As TRL's; where the last message is the assistant's, the answer goes on after its
        text.
        """
        begun = [
            reply_text(messages[-1:]) if messages[-1]["role"] == "assistant" else ""
            for messages in prompts
        ]
        ids, images, fields = super()._tokenize_prompts(
            [
                messages[:-1] if text else messages
                for messages, text in zip(prompts, begun, strict=True)
            ]
        )
        if any(begun):
            tokenizer: Any = getattr(self.processing_class, "tokenizer", self.processing_class)
            more = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in begun]
            ids = [[*one, *rest] for one, rest in zip(ids, more, strict=True)]
            for name in ("token_type_ids", "mm_token_type_ids"):
                if name in fields:
                    fields[name] = [
                        [*map(int, one), *[0] * len(rest)]
                        for one, rest in zip(fields[name], more, strict=True)
                    ]
        return ids, images, fields

    def _generate(self, prompts: Any) -> Any:
        ready, self._ready = self._ready, None
        return super()._generate(prompts) if ready is None else ready

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        count = len(inputs) // self.num_generations
        if self.settings.turns > 1:
            return self._without_equal(*self._play(count))
        groups = self._gather_groups(count)
        self._ready = _joined([group.generated for group in groups])
        output = super()._generate_and_score_completions(
            [row for group in groups for row in group.rows]
        )
        # of all questions, not only of those that were kept
        for name, value in self._first.items():
            self._metrics["train"][name][-1] = value
        return self._without_equal(output, [group.equal for group in groups])

    def _play(self, count: int) -> tuple[dict[str, Any], list[bool]]:
        """Groups of whole episodes, one group for each question, and whether all episodes of a
        group are worth the same.
        """
        mine, everyone = self._draw(count * self.accelerator.num_processes)
        size = self.num_generations
        output = super()._generate_and_score_completions(
            [row for question in mine for row in self._begin(question)]
        )
        if "num_images" not in output:
            allowed = (
                "more: the pictures of an episode did not fit, and TRL then trains without any"
            )
            raise ConfigError("grpo.max_new_tokens", self.settings.max_new_tokens, allowed)
        played = [play.lane.turns for play in self.environments]
        turns = [
            list(chain.from_iterable(played[i : i + size])) for i in range(0, len(played), size)
        ]
        answered = [
            Answered(sum(turn.terms["game"] > 0 for turn in one), len(one), "", True)
            for one in turns
        ]
        self.states.tell(everyone, gather_object(answered))
        lanes = [play.lane for play in self.environments]
        totals = [
            self.weights.total(episode_terms(lane, self.settings.episode, self.weights))
            for lane in lanes
        ]
        return output, [worth_the_same(totals[i : i + size]) for i in range(0, len(totals), size)]

    def _draw(self, count: int) -> tuple[list[Question], list[Question]]:
        """``count`` new questions for all processes together: this one's share, and all of them."""
        everyone = self.states.draw(count)
        return self._share(everyone), everyone

    def _share(self, everyone: list[Question]) -> list[Question]:
        """This process's share of the questions of all.

        A share is as large as any other one, which generation over several processes wants; where
        there are too few questions, the last is repeated, and what is answered to it once more does
        not count.
        """
        size = -(-len(everyone) // self.accelerator.num_processes)
        first = size * self.accelerator.process_index
        mine = everyone[first : first + size]
        return mine + everyone[-1:] * (size - len(mine))

    def _real(self, mine: Sequence[Question], everyone: Sequence[Question]) -> int:
        """How many of this process's questions are not repetitions."""
        return max(min(len(mine), len(everyone) - len(mine) * self.accelerator.process_index), 0)

    def _gather_groups(self, count: int) -> list[Group]:
        """``count`` groups with unequal answers, filled up with equal ones where the rounds do not
        suffice.

        What is kept is decided over all processes, in the order of the questions, so that it does
        not depend on their number; processes that have more than their share hand some on.
        """
        wanted, found = count * self.accelerator.num_processes, dict[int, bool]()
        mine: dict[int, Group] = {}
        for number in range(1 + (self.settings.refill if self.settings.drop_equal else 0)):
            missing = (
                wanted - sum(not equal for equal in found.values())
                if self.settings.drop_equal
                else wanted - len(found)
            )
            if not missing:
                break
            fresh = self._answer(*self._draw(missing), first=number == 0)
            mine |= fresh
            found |= dict(gather_object([(serial, group.equal) for serial, group in fresh.items()]))
        self._log_metric("groups/generated", len(found))
        self._log_metric("groups/equal", sum(found.values()) / len(found))
        last = self.settings.drop_equal
        order = sorted(found, key=lambda serial: (found[serial] and last, serial))[:wanted]
        kept = [mine[serial] for serial in order if serial in mine]
        spare = gather_object([kept[count:]])
        lacking = gather_object([max(count - len(kept), 0)])
        begin = sum(lacking[: self.accelerator.process_index])
        handed_on = list(chain.from_iterable(spare))[
            begin : begin + lacking[self.accelerator.process_index]
        ]
        return kept[:count] + handed_on

    def _answer(
        self, mine: Sequence[Question], everyone: Sequence[Question], first: bool
    ) -> dict[int, Group]:
        """Generate and judge the answers to this process's questions, and tell all processes what
        became of them.

        In the first round of a step the games of the pools that pass are asked along, once each,
        and no group comes of it.
        """
        size = self.num_generations
        passing = self.states.passing() if first else []
        asked = [*mine, *self._share(passing)]
        # vLLM through TRL takes one prompt of each group, so there a game that passes is asked as
        # often as the others.
        times = [size] * len(mine) + [size if self.settings.use_vllm else 1] * (
            len(asked) - len(mine)
        )
        owner = [k for k, count in enumerate(times) for _ in range(count)]
        questions, begun = ask_rows(asked), [""] * len(asked)
        if self.settings.prefill:
            begun = [
                prompt.prefills(one.task.game, one.state, one.task.prompt, one.task.blocks)[0]
                for one in asked
            ]
            for row, text in zip(questions, begun, strict=True):
                row["prompt"] = [
                    *row["prompt"],
                    {"role": "assistant", "content": [{"type": "text", "text": text}]},
                ]
        rows = [questions[k] for k in owner]
        prompts = [
            prepare_multimodal_messages(row["prompt"], images=[row["image"]]) for row in rows
        ]
        step, generate = self.settings.generate_batch or len(prompts), super()._generate
        generated = _joined(
            [generate(prompts[at : at + step]) for at in range(0, len(prompts), step)]
        )
        texts = [
            begun[k] + reply_text(completion)
            for k, completion in zip(owner, generated[3], strict=True)
        ]
        states = [(asked[k].task.game, asked[k].state) for k in owner]
        blocks = [asked[k].task.blocks for k in owner]
        judged, after = judge_rows(states, texts, self.weights.regret != 0, blocks)

        def moved(question: Question, row: int) -> str:
            """The board after an answer, where a game of a pool goes on from it."""
            batch, place = after[row]
            return state_text(states[row][0], batch[place]) if question.slot >= 0 else ""

        groups, answered = dict[int, Group](), []
        for i, question in enumerate(mine[: self._real(mine, everyone)]):
            part = slice(i * size, (i + 1) * size)
            terms = [one.terms for one in judged[part]]
            group = [{**row, "terms": one} for row, one in zip(rows[part], terms, strict=True)]
            totals = [self.weights.total(self.weights.rewarded(one)) for one in terms]
            groups[question.serial] = Group(group, _part(generated, part), totals)
            chosen = i * size + self.states.chosen(question, size)
            successes = sum(one.terms["game"] > 0 for one in judged[part])
            answered.append(
                Answered(successes, size, moved(question, chosen), judged[chosen].changed)
            )
        self.states.tell(everyone, gather_object(answered))
        if first:
            count = len(mine) * size
            played = [
                owner.index(k)
                for k in range(len(mine), len(mine) + self._real(asked[len(mine) :], passing))
            ]
            told = [
                Answered(0, 0, moved(asked[owner[row]], row), judged[row].changed) for row in played
            ]
            self.states.tell(passing, gather_object(told))
            self._log_first(
                list(groups.values()),
                judged[:count],
                [asked[k].task.names.game for k in owner[:count]],
            )
        return groups

    def _log_first(
        self, groups: Sequence[Group], judged: Sequence[Judgement], games: Sequence[str]
    ) -> None:
        """Metrics of the questions as they come, before any is replaced."""
        for name, value in batch_metrics(judged, games).items():
            self._log_metric(name, value)
        for name, ladder in self.states.curricula.items():
            self._log_metric(f"{name}/place", ladder.place)
        totals = [total for group in groups for total in group.totals]
        means = {"reward": sum(totals) / len(totals)}
        for term in groups[0].rows[0]["terms"]:
            values = [row["terms"][term] for group in groups for row in group.rows]
            means[f"rewards/{term}/mean"] = sum(values) / len(values)
        everyone = gather_object([means])
        self._first = {name: sum(one[name] for one in everyone) / len(everyone) for name in means}

    def _get_per_token_logps_and_entropies(
        self, model: Any, *args: Any, batch_size: int | None = None, **kwargs: Any
    ) -> Any:
        """As TRL's; on a CPU group by group, so that what is padding in a whole group is not
        computed.
        """
        if self.accelerator.device.type == "cpu" and self.accelerator.num_processes == 1:
            model, batch_size = _Trimming(model), self.num_generations
        return super()._get_per_token_logps_and_entropies(
            model, *args, batch_size=batch_size, **kwargs
        )

    def _begin(self, question: Question) -> list[dict[str, Any]]:
        """The rows of a group of episodes."""
        row = ask_rows([question])[0]
        picture = row.pop("image")
        ask = prepare_multimodal_messages(row.pop("prompt"), images=[picture])
        return [{"prompt": ask, **row} for _ in range(self.num_generations)]

    def _without_equal(self, output: dict[str, Any], equal: Sequence[bool]) -> dict[str, Any]:
        """Groups that remain equal have no advantage; with ``drop_equal`` they are not in the loss,
        its KL term and its divisor.

        The share of the rows that is left is kept with the batch, see :meth:`_compute_loss`.
        """
        device = output["advantages"].device
        mine = torch.tensor(equal, device=device).repeat_interleave(self.num_generations)
        output["advantages"] = output["advantages"].masked_fill(mine, 0.0)
        left_out = (
            self.accelerator.gather(mine.float()).mean()
            if self.settings.drop_equal
            else torch.zeros((), device=device)
        )
        self._metrics["train"]["groups/left_out"].append(float(left_out))
        output["kept"] = 1 - left_out
        if self.settings.drop_equal:
            mask = "tool_mask" if "tool_mask" in output else "completion_mask"
            output[mask] = output[mask] * (~mine).unsqueeze(1).to(output[mask].dtype)
            loss_mask = output["completion_mask"] * output.get("tool_mask", 1)
            output["num_items_in_batch"] = self.accelerator.gather(loss_mask.sum()).sum()
        return output

    def _compute_loss(self, model: Any, inputs: Any) -> Any:
        """As TRL's; where it divides by all rows or micro-batches, by those that are trained on."""
        self._nothing = not float(inputs["kept"])
        loss = super()._compute_loss(model, inputs)
        if self._nothing or self.loss_type not in MEANS_OF_ROWS + MEANS_OF_BATCHES:
            return loss
        return loss / (inputs["kept"] if self.loss_type in MEANS_OF_ROWS else self._kept_batches())

    def _kept_batches(self) -> Any:
        """The share of the micro-batches of all processes in which some row is trained on."""
        mask = "tool_mask" if "tool_mask" in self._buffered_inputs[0] else "completion_mask"
        some = torch.stack([one[mask].any().float().mean() for one in self._buffered_inputs])
        return self.accelerator.gather(some).mean()

    def _clip_grad_norm(self, model: Any) -> Any:
        """As :class:`ResumableTrainer`'s; without anything to learn from the optimiser leaves the
        weights alone, decay included.
        """
        norm = super()._clip_grad_norm(model)
        if self._nothing:
            model.zero_grad(set_to_none=True)
        return norm


MEANS_OF_ROWS = ("grpo", "dr_grpo", "sapo")
"""Losses that TRL divides by the number of rows; the others it divides by the number of tokens that
count.
"""
MEANS_OF_BATCHES = ("bnpo",)
"""Losses that TRL divides by the tokens of each micro-batch, and then by the number of
micro-batches.
"""


class _Trimming:
    """A model that leaves out the last columns where they are padding in all rows; their
    log-probabilities are returned as 0.
    """

    def __init__(self, model: Any) -> None:
        self.model = model

    def __call__(self, **inputs: Any) -> Any:
        mask = inputs["attention_mask"]
        width, used = mask.shape[1], int(mask.any(dim=0).nonzero().max()) + 1
        rows = ("input_ids", "attention_mask", "labels", "token_type_ids", "mm_token_type_ids")
        outputs = self.model(**{k: v[:, :used] if k in rows else v for k, v in inputs.items()})
        for name in ("log_probs", "entropy"):
            if outputs.get(name) is not None:
                outputs[name] = torch.nn.functional.pad(outputs[name], (0, width - used))
        return outputs


def collapse(ids: Sequence[int], token: int) -> list[int]:
    """Every run of a token as one."""
    return [one for k, one in enumerate(ids) if not (one == token and k and ids[k - 1] == token)]


STATES = "states.json"
"""The file of a checkpoint that holds pools, curricula and the number of the next question."""


def _part(generated: tuple[Any, ...], rows: slice) -> tuple[Any, ...]:
    """What TRL's _generate returned, for some rows."""
    return tuple(one[rows] if isinstance(one, list) and one else one for one in generated)


def _joined(parts: Sequence[tuple[Any, ...]]) -> tuple[Any, ...]:
    """What TRL's _generate would have returned for the rows of all parts together."""
    columns = zip(*parts, strict=True)
    return tuple(
        list(chain.from_iterable(ones)) if isinstance(ones[0], list) else ones[0]
        for ones in columns
    )
