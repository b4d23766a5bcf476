"""All that touches the private parts of TRL's GRPOTrainer, each with its reason.

Imports torch and TRL; import it where a run begins.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from accelerate.utils import gather_object
from transformers import StoppingCriteriaList
from trl import GRPOTrainer
from typing_extensions import override

from vlmgym.models.loading import image_token
from vlmgym.players.blocks import UntilMarks, text_decoder
from vlmgym.train.groups import Block, Generated, joined
from vlmgym.train.resumable import ResumableTrainer
from vlmgym.train.rewards import reply_text
from vlmgym.train.stand_ins import BesideBlank, Trimming

MEANS_OF_ROWS = ("grpo", "dr_grpo", "sapo")
"""Losses that TRL divides by the number of rows; the others it divides by the number of tokens that
count.
"""
MEANS_OF_BATCHES = ("bnpo",)
"""Losses that TRL divides by the tokens of each micro-batch, and then by the number of
micro-batches.
"""
OF_PICTURES = (
    "pixel_values",
    "image_grid_thw",
    "num_images",
    "pixel_attention_mask",
    "spatial_shapes",
    "num_tiles",
    "image_sizes",
    "token_type_ids",
    "mm_token_type_ids",
    "image_position_ids",
)
"""What TRL hands to a model besides tokens, of each batch."""


class TrlGrpo(ResumableTrainer, GRPOTrainer, ABC):  # type: ignore[misc]
    """TRL's GRPOTrainer with hooks where it has none.

    A batch comes from :meth:`make_batch`, answers that are there already are scored, and rows can
    be left out of the loss.
    """

    num_generations: int  # TRL's: answers to a question
    _generated: Generated | None = None  # answers that are there already, while they are scored
    _nothing_left = False  # whether all rows of the batch are left out

    @abstractmethod
    def make_batch(self, groups: int) -> dict[str, Any]:
        """TRL's scored output for ``groups`` groups of answers of this process."""

    # ---- generating
    @override
    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        """TRL asks the rows of its data set; here they only say how many answers are wanted."""
        return self.make_batch(len(inputs) // self.num_generations)

    def score(
        self, rows: list[dict[str, Any]], generated: Generated | None = None, groups: int = 0
    ) -> dict[str, Any]:
        """TRL's scored output of rows: advantages, log-probabilities, masks.

        TRL generates within this function and takes no answers that are there already, so those
        are what :meth:`_generate` returns to it.

        Args:
            rows: with a prompt, a picture, and columns for the reward functions.
            generated: the answers to them; None: TRL generates them.
            groups: into how many groups the rows fall; 0: into groups of answers.
        """
        self._generated = generated
        answers = self.num_generations
        if groups:
            self.num_generations = len(rows) // groups  # of which TRL makes the means
        try:
            return super()._generate_and_score_completions(rows)
        finally:
            self.num_generations = answers

    @override
    def _generate(self, prompts: Any) -> Any:
        """As TRL's, but for answers that are there already, see :meth:`score`."""
        generated = self._generated
        self._generated = None
        return super()._generate(prompts) if generated is None else generated

    def generate_answers(self, prompts: Sequence[Any], at_once: int) -> Generated:
        """Answers to prompts, ``at_once`` together: TRL itself always generates all of a batch."""
        pieces = []
        for first in range(0, len(prompts), at_once):
            pieces.append(super()._generate(prompts[first : first + at_once]))
        return joined(pieces)

    @override
    def _tokenize_prompts(self, prompts: Any) -> Any:
        """As TRL's; where the last message is the assistant's, the answer goes on after its text.

        TRL ends a prompt with the mark that begins a new reply, whoever spoke last.
        """
        beginnings = []
        asked = []
        for messages in prompts:
            is_begun = messages[-1]["role"] == "assistant"
            beginning = reply_text(messages[-1:]) if is_begun else ""
            beginnings.append(beginning)
            asked.append(messages[:-1] if beginning else messages)
        prompt_ids, images, fields = super()._tokenize_prompts(asked)
        if not any(beginnings):
            return prompt_ids, images, fields
        tokenizer: Any = getattr(self.processing_class, "tokenizer", self.processing_class)
        more_ids = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in beginnings]
        return _going_on(prompt_ids, more_ids), images, _types_going_on(fields, more_ids)

    def sample_blocks(
        self,
        prompts: Sequence[Any],
        at_once: int,
        until: Sequence[str] = (),
        said: Sequence[Sequence[int]] = (),
    ) -> list[Block]:
        """Blocks of answers to prompts, ``at_once`` together.

        Args:
            prompts: a question and a picture each.
            at_once: how many are generated together.
            until: for each prompt, what a block may end after (by vLLM it goes on); none: nothing.
            said: for each prompt, the tokens of the answer that come before; none: it begins.
        """
        beginnings = said or [[]] * len(prompts)
        blocks: list[Block] = []
        for first in range(0, len(prompts), at_once):
            piece = slice(first, first + at_once)
            blocks += self._sample_together(prompts[piece], until[piece], beginnings[piece])
        return blocks

    def _sample_together(
        self, prompts: Sequence[Any], until: Sequence[str], said: Sequence[Sequence[int]]
    ) -> list[Block]:
        with self._environments_of(len(prompts)):
            prompt_ids, images, fields = self._tokenize_prompts(copy.deepcopy(list(prompts)))
        asked = _going_on(prompt_ids, said)
        limit = self.max_completion_length - min(map(len, said))
        with self._generating(until, limit):
            sampled, logprobs = self._generate_single_turn(
                asked, images, _types_going_on(fields, said), 1
            )
        blocks = []
        for row, (prompt, tokens) in enumerate(zip(prompt_ids, sampled, strict=True)):
            limit = self.max_completion_length - len(said[row])
            of_tokens = None if logprobs is None else logprobs[row][:limit]
            blocks.append(Block(list(prompt), list(tokens[:limit]), of_tokens))
        read = torch.tensor(sum(map(len, asked)) + sum(map(len, sampled)))
        total = self.accelerator.gather(read.to(self.accelerator.device)).sum()
        self.state.num_input_tokens_seen += int(total)
        self._metrics["train"]["num_tokens"] = [self.state.num_input_tokens_seen]
        return blocks

    @contextmanager
    def _environments_of(self, count: int) -> Iterator[None]:
        """While entered, so many prompts can be read: TRL names the environment of each, where
        episodes are played, and knows those of its own batch alone.
        """
        names: Any = getattr(self, "_batch_environments", None)
        if not names:
            yield
            return
        self._batch_environments = names[:1] * count
        try:
            yield
        finally:
            self._batch_environments = names

    @contextmanager
    def _generating(self, until: Sequence[str], limit: int) -> Iterator[None]:
        """While entered, Transformers generates so many tokens at most, and ends a row after its
        mark: TRL calls ``generate`` with a configuration alone, which cannot say this by row.
        """
        if self.use_vllm:
            yield
            return
        model = self.accelerator.unwrap_model(self.model_wrapped)
        criteria = StoppingCriteriaList()
        if len(until):
            criteria.append(UntilMarks(until, text_decoder(self.processing_class)))
        most = self.generation_config.max_new_tokens
        self.generation_config.max_new_tokens = limit
        model.generate = partial(model.generate, stopping_criteria=criteria)
        try:
            yield
        finally:
            del model.generate
            self.generation_config.max_new_tokens = most

    def collapse_image_tokens(self) -> None:
        """Give a vLLM in this process one image token a picture: it expands them itself, and TRL
        hands on expanded prompts.

        See https://github.com/huggingface/trl/issues/6294; harmless once that is mended. A server
        gets the features instead.
        """
        image = image_token(self.model)
        backend: Any = self.vllm_generation
        generate_expanded: Callable[..., Any] = backend.generate

        def generate(prompts: Any, images: Any, *arguments: Any, **options: Any) -> Any:
            if images is not None:
                prompts = [collapse(prompt_ids, image) for prompt_ids in prompts]
            return generate_expanded(prompts, images, *arguments, **options)

        backend.generate = generate

    # ---- metrics
    def log_metric(self, name: str, value: float) -> None:
        """Log a value of this process: TRL's way, which it gives to reward functions alone."""
        self._log_metric(name, value)

    def replace_metrics(self, means: Mapping[str, float]) -> None:
        """Correct what TRL has just logged about a batch, which it knows only as far as it is
        trained on.
        """
        for name, mean in means.items():
            self._metrics["train"][name][-1] = mean

    def add_metrics(self, means: Mapping[str, float]) -> None:
        """Log means of a batch that TRL has scored, over all processes that have them."""
        all_means = gather_object([dict(means)])
        for name in sorted({name for one in all_means for name in one}):
            numbers = [one[name] for one in all_means if name in one]
            self._metrics["train"][name].append(sum(numbers) / len(numbers))

    # ---- rows that are left out
    def leave_out(
        self, output: dict[str, Any], equal: Sequence[bool], drop: bool
    ) -> dict[str, Any]:
        """Groups whose answers are worth the same have no advantage; with ``drop`` they are not in
        the loss, its KL term and its divisor.

        TRL knows no rows that do not count, but masks of tokens and the number of tokens that
        count. The share of the rows that is left is kept with the batch, for :meth:`_compute_loss`.
        """
        advantages = output["advantages"]
        left_out = torch.tensor(equal, device=advantages.device)
        left_out = left_out.repeat_interleave(len(advantages) // len(left_out))
        output["advantages"] = advantages.masked_fill(left_out, 0.0)
        share = torch.zeros((), device=advantages.device)
        if drop:
            share = self.accelerator.gather(left_out.float()).mean()
        self._metrics["train"]["groups/left_out"].append(float(share))
        output["kept"] = 1 - share
        if drop:
            mask = _mask_of(output)
            counts = (~left_out).unsqueeze(1)
            output[mask] = output[mask] * counts.to(output[mask].dtype)
            counted = trained_tokens(output).sum()
            output["num_items_in_batch"] = self.accelerator.gather(counted).sum()
        return output

    @override
    def _compute_loss(self, model: Any, inputs: Any) -> Any:
        """As TRL's; where it divides by all rows or micro-batches, by those that are trained on."""
        self._nothing_left = not float(inputs["kept"])
        loss = super()._compute_loss(model, inputs)
        if self._nothing_left:
            return loss
        if self.loss_type in MEANS_OF_ROWS:
            return loss / inputs["kept"]
        if self.loss_type in MEANS_OF_BATCHES:
            return loss / self._kept_batches()
        return loss

    def _kept_batches(self) -> Any:
        """The share of the micro-batches of all processes in which some row is trained on; TRL
        holds them in ``_buffered_inputs``.
        """
        batches = self._buffered_inputs
        mask = _mask_of(batches[0])
        has_rows = torch.stack([batch[mask].any().float().mean() for batch in batches])
        return self.accelerator.gather(has_rows).mean()

    @override
    def _clip_grad_norm(self, model: Any) -> Any:
        """As :class:`ResumableTrainer`'s; without anything to learn from the optimiser leaves the
        weights alone, decay included.
        """
        norm = super()._clip_grad_norm(model)
        if self._nothing_left:
            model.zero_grad(set_to_none=True)
        return norm

    # ---- what depends on the picture
    @torch.no_grad()
    def dependence(self, output: Mapping[str, Any], blank: Any) -> torch.Tensor:
        """How much each token depends on the picture, ``(R, T)``; see :class:`BesideBlank`.

        Args:
            output: of :meth:`score`.
            blank: a blank picture; those of the rows may be of other sizes.
        """
        processed = self.processing_class.image_processor(images=[blank], return_tensors="pt")
        beside = BesideBlank(self.model, processed["pixel_values"][:1], self.temperature)
        completions = output["completion_ids"]
        divergences, *_ = self._get_per_token_logps_and_entropies(
            beside,
            torch.cat([output["prompt_ids"], completions], dim=1),
            torch.cat([output["prompt_mask"], output["completion_mask"]], dim=1),
            completions.shape[1],
            batch_size=self.num_generations,
            **{name: output[name] for name in OF_PICTURES if name in output},
        )
        return divergences

    # ---- padding
    @override
    def _get_per_token_logps_and_entropies(
        self, model: Any, *arguments: Any, batch_size: int | None = None, **options: Any
    ) -> Any:
        """As TRL's; on a CPU group by group, so that what is padding in a whole group is not
        computed.
        """
        if self.accelerator.device.type == "cpu" and self.accelerator.num_processes == 1:
            model = Trimming(model)
            batch_size = self.num_generations
        return super()._get_per_token_logps_and_entropies(
            model, *arguments, batch_size=batch_size, **options
        )


def _going_on(
    prompt_ids: Sequence[Sequence[int]], more_ids: Sequence[Sequence[int]]
) -> list[list[int]]:
    """Prompts with what comes after them."""
    return [[*ids, *more] for ids, more in zip(prompt_ids, more_ids, strict=True)]


def _types_going_on(fields: Mapping[str, Any], more_ids: Sequence[Sequence[int]]) -> dict[str, Any]:
    """A processor's fields of prompts that go on with words."""
    extended = dict(fields)
    for name in ("token_type_ids", "mm_token_type_ids"):
        if name in fields:
            extended[name] = [
                [*map(int, types), *[0] * len(more)]
                for types, more in zip(fields[name], more_ids, strict=True)
            ]
    return extended


def trained_tokens(batch: Mapping[str, Any]) -> torch.Tensor:
    """``(R, T)``: 1 for the tokens that are in the loss."""
    mask: torch.Tensor = batch["completion_mask"] * batch.get("tool_mask", 1)
    return mask


def _mask_of(batch: Mapping[str, Any]) -> str:
    """The mask by which a batch says which tokens count: of several turns, those of replies."""
    return "tool_mask" if "tool_mask" in batch else "completion_mask"


def collapse(ids: Sequence[int], token: int) -> list[int]:
    """Every run of a token as one."""
    collapsed: list[int] = []
    for number in ids:
        repeats = bool(collapsed) and number == token == collapsed[-1]
        if not repeats:
            collapsed.append(number)
    return collapsed
