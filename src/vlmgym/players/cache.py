"""Generation without waste: keys and values written in place, and rows left out that have ended.

Transformers appends those of every token to a tensor of its own for each layer, which copies all
that is there: for small models in large batches most of the time of a token. Here tensors have room
for more tokens, and are copied where it is used up. What is attended to is the same.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import torch
from transformers import DynamicCache, StoppingCriteriaList
from transformers.cache_utils import DynamicLayer
from typing_extensions import override

ROOM = 64
"""Tokens for which there is room after those that are there."""

FEWEST = 16
"""Rows that go on together even where most of them have ended."""


class RoomyLayer(DynamicLayer):  # type: ignore[misc]
    """The keys and values of a layer, the first part of tensors with room."""

    keys: Any
    values: Any
    room_keys: Any = None
    room_values: Any = None

    @override
    def update(self, key_states: Any, value_states: Any, *args: Any, **kwargs: Any) -> Any:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        first = self.get_seq_length()
        self.room_keys, self.keys = _appended(self.room_keys, self.keys, key_states, first)
        self.room_values, self.values = _appended(
            self.room_values, self.values, value_states, first
        )
        return self.keys, self.values


def _appended(room: Any, before: Any, more: Any, first: int) -> tuple[Any, Any]:
    """The tensor with room, and its part that is used, with more tokens after the ``first``."""
    last = first + more.shape[-2]
    is_ours = room is not None and first and before.data_ptr() == room.data_ptr()
    if not is_ours or len(before) != len(room) or last > room.shape[-2]:
        room = more.new_empty((*more.shape[:-2], last + ROOM, more.shape[-1]))
        if first:
            room[..., :first, :] = before
    room[..., first:last, :] = more
    return room, room[..., :last, :]


def roomy_cache(model: Any) -> DynamicCache | None:
    """An empty cache for a generation of a model; None for a model whose cache is of another
    kind.
    """
    if not model._supports_default_dynamic_cache():
        return None
    cache = DynamicCache(config=model.config)
    cache.layers = [
        RoomyLayer() if type(layer) is DynamicLayer else layer for layer in cache.layers
    ]
    return cache


class _HalfEnded:
    """Stops a generation when half of its rows have ended, as a stopping criterion."""

    def __init__(self, rows: int, end_tokens: Any) -> None:
        self.end_tokens = end_tokens
        self.has_ended = torch.zeros(rows, dtype=torch.bool, device=end_tokens.device)

    def __call__(self, input_ids: Any, scores: Any, **_: Any) -> Any:
        """``(B,)``: all rows, or those that have ended."""
        self.has_ended |= torch.isin(input_ids[:, -1], self.end_tokens)
        if 2 * self.has_ended.sum() >= len(self.has_ended) > FEWEST:
            return torch.ones_like(self.has_ended)
        return self.has_ended


def generate_unended(
    model: Any, inputs: Mapping[str, Any], options: Mapping[str, Any], end_tokens: Collection[int]
) -> list[list[int]]:
    """What ``generate`` gives, as lists: where half of the rows have ended, the others go on
    without them.

    Args:
        model: one in which the places of tokens follow from their number alone.
        inputs: of the model.
        options: of ``generate``: ``past_key_values``, ``max_new_tokens``, and a noise that can be
            that of some rows, if any.
        end_tokens: those that end a reply.
    """
    options = dict(options)
    cache = options["past_key_values"]
    ends = torch.tensor(sorted(end_tokens), device=inputs["input_ids"].device)
    most = inputs["input_ids"].shape[1] + options["max_new_tokens"]
    whole: list[list[int]] = [[]] * len(inputs["input_ids"])
    rows = torch.arange(len(whole), device=ends.device)
    while len(rows):
        half = _HalfEnded(len(rows), ends)
        options["max_new_tokens"] = most - inputs["input_ids"].shape[1]
        sequences = model.generate(
            **inputs, **options, stopping_criteria=StoppingCriteriaList([half])
        )
        for row, tokens in zip(rows.tolist(), sequences.tolist(), strict=True):
            whole[row] = tokens
        going_on = ~half.has_ended
        if sequences.shape[1] >= most or not going_on.any():
            break
        added = sequences.shape[1] - inputs["attention_mask"].shape[1]
        mask = torch.nn.functional.pad(inputs["attention_mask"], (0, added), value=1)
        inputs = {"input_ids": sequences[going_on], "attention_mask": mask[going_on]}
        cache.batch_select_indices(going_on.nonzero()[:, 0])
        for noise in options.get("logits_processor", ()):
            noise.select(going_on.cpu().numpy())
        rows = rows[going_on]
    return whole
