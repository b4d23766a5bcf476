"""What is handed to TRL in the place of a model, where it asks for the log-probabilities of tokens.

Each is called as the model would be, asks the model itself, and returns what TRL reads of its
output: :class:`Trimming` the same with less work, :class:`BesideBlank` something else by the same
name.

Imports torch; import it where a run begins.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from vlmgym.players.blocks import ALONG_TOKENS


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
        for name in (*ALONG_TOKENS, "labels"):
            if name in inputs:
                inputs[name] = inputs[name][:, :used]
        outputs = self.model(**inputs)
        for name in ("log_probs", "entropy"):
            if outputs.get(name) is not None:
                outputs[name] = torch.nn.functional.pad(outputs[name], (0, width - used))
        return outputs


class _Outputs(dict[str, Any]):
    """A model's output, by names and by attributes."""

    __getattr__ = dict.__getitem__


class BesideBlank:
    """A model asked with its picture and with a blank one: in the place of the log-probability of
    each token it gives the Kullback-Leibler divergence between the two distributions of the token.

    Args:
        model: a model.
        blank: ``(1, ...)``, one entry of the values of a blank picture, which are all the same.
        temperature: of the distributions.
    """

    def __init__(self, model: Any, blank: torch.Tensor, temperature: float) -> None:
        self.model = model
        self.blank = blank
        self.temperature = temperature

    def __call__(self, *, labels: torch.Tensor, fused_lm_head: bool, **inputs: Any) -> _Outputs:
        """``log_probs``: the divergences, 0 before the first label."""
        width = labels.shape[1]
        has_label = (labels != -100).any(dim=0)
        if not has_label.any():  # all rows are left out of the loss
            return _Outputs(log_probs=torch.zeros(labels.shape, device=labels.device))
        count = width - int(has_label.nonzero().min())
        shown = self._log_probabilities(inputs, count)
        pixels = inputs["pixel_values"]
        hidden_inputs = {**inputs, "pixel_values": self.blank.to(pixels).expand_as(pixels)}
        hidden = self._log_probabilities(hidden_inputs, count)
        divergences = (shown.exp() * (shown - hidden)).sum(dim=-1).clamp(min=0)
        padded = torch.nn.functional.pad(divergences, (width - count, 0))
        return _Outputs(log_probs=padded)

    def _log_probabilities(self, inputs: Mapping[str, Any], count: int) -> torch.Tensor:
        """Of all tokens, at the last ``count`` places."""
        logits = self.model(**inputs, logits_to_keep=count + 1).logits[:, -count - 1 : -1]
        return torch.log_softmax(logits.float() / self.temperature, dim=-1)
