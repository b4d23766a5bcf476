"""Keys and values of a generation, written in place.

Transformers appends those of every token to a tensor of its own for each layer, which copies all
that is there: for small models in large batches most of the time of a token. Here tensors have room
for more tokens, and are copied where it is used up. What is attended to is the same.
"""

from __future__ import annotations

from typing import Any

from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer
from typing_extensions import override

ROOM = 64
"""Tokens for which there is room after those that are there."""


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
