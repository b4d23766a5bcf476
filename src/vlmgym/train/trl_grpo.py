"""All that touches the private parts of TRL's GRPOTrainer, each with its reason.

Imports torch and TRL; import it where a run begins.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from trl import GRPOTrainer
from typing_extensions import override

from vlmgym.models.loading import image_token
from vlmgym.train.groups import Generated, joined
from vlmgym.train.resumable import ResumableTrainer
from vlmgym.train.rewards import reply_text

MEANS_OF_ROWS = ("grpo", "dr_grpo", "sapo")
"""Losses that TRL divides by the number of rows; the others it divides by the number of tokens that
count.
"""
MEANS_OF_BATCHES = ("bnpo",)
"""Losses that TRL divides by the tokens of each micro-batch, and then by the number of
micro-batches.
"""


class TrlGrpo(ResumableTrainer, GRPOTrainer):  # type: ignore[misc]
    """TRL's GRPOTrainer with hooks where it has none.

    A batch comes from :meth:`make_batch`, answers that are there already are scored, and rows can
    be left out of the loss.
    """

    _generated: Generated | None = None  # answers that are there already, while they are scored
    _nothing_left = False  # whether all rows of the batch are left out

    def make_batch(self, groups: int) -> dict[str, Any]:
        """TRL's scored output for ``groups`` groups of answers of this process."""
        raise NotImplementedError

    # ---- generating
    @override
    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        """TRL asks the rows of its data set; here they only say how many answers are wanted."""
        return self.make_batch(len(inputs) // self.num_generations)

    def score(
        self, rows: list[dict[str, Any]], generated: Generated | None = None
    ) -> dict[str, Any]:
        """TRL's scored output of rows: advantages, log-probabilities, masks.

        TRL generates within this function and takes no answers that are there already, so those
        are what :meth:`_generate` returns to it.

        Args:
            rows: with a prompt, a picture, and columns for the reward functions.
            generated: the answers to them; None: TRL generates them.
        """
        self._generated = generated
        return super()._generate_and_score_completions(rows)

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
        prompt_ids = [[*ids, *more] for ids, more in zip(prompt_ids, more_ids, strict=True)]
        for name in ("token_type_ids", "mm_token_type_ids"):
            if name in fields:
                fields[name] = [
                    [*map(int, types), *[0] * len(more)]
                    for types, more in zip(fields[name], more_ids, strict=True)
                ]
        return prompt_ids, images, fields

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
        left_out = left_out.repeat_interleave(self.num_generations)
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
            loss_mask = output["completion_mask"] * output.get("tool_mask", 1)
            output["num_items_in_batch"] = self.accelerator.gather(loss_mask.sum()).sum()
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


ALONG_TOKENS = ("input_ids", "attention_mask", "labels", "token_type_ids", "mm_token_type_ids")
"""Inputs of a model with a column for each token."""


class Trimming:
    """A model that leaves out the last columns where they are padding in all rows; their
    log-probabilities are returned as 0.
    """

    def __init__(self, model: Any) -> None:
        self.model = model

    def __call__(self, **inputs: Any) -> Any:
        """The model's output, at its full width."""
        mask = inputs["attention_mask"]
        width = mask.shape[1]
        used = int(mask.any(dim=0).nonzero().max()) + 1
        for name in ALONG_TOKENS:
            if name in inputs:
                inputs[name] = inputs[name][:, :used]
        outputs = self.model(**inputs)
        for name in ("log_probs", "entropy"):
            if outputs.get(name) is not None:
                outputs[name] = torch.nn.functional.pad(outputs[name], (0, width - used))
        return outputs


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
