"""How local models are asked: by settings that are all said here, and with luck that is a function
of the question alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vlmgym.core import mix_array

PLAIN = {"top_k": 0, "top_p": 1.0, "min_p": 0.0, "repetition_penalty": 1.0}
"""Settings of a sampling from the model's own distribution, but for its temperature."""
IDS = ("bos_token_id", "eos_token_id", "pad_token_id", "decoder_start_token_id")
"""What is kept of the settings that a model brings: which tokens begin, end and fill."""


@contextmanager
def plain_generation(model: Any) -> Iterator[None]:
    """While entered, a model generates by nothing but what it is told.

    Models of the hub bring settings (``generation_config.json``: Qwen2.5-VL a repetition penalty
    and a ``top_k``), with which Transformers fills in whatever a call leaves open.
    """
    from transformers import GenerationConfig

    settings = model.generation_config
    token_ids = {name: getattr(settings, name, None) for name in IDS}
    model.generation_config = GenerationConfig(**token_ids)
    try:
        yield
    finally:
        model.generation_config = settings


def keys_of(
    seed: int,
    seeds: NDArray[np.uint64],
    turns: NDArray[np.int64],
    repeats: Sequence[int] = (),
) -> NDArray[np.uint64]:
    """What the luck of replies hangs on, ``(B,)`` uint64: seed of the player, seed and turn of the
    game, repeat of the game.
    """
    count = len(seeds)
    repeat_numbers = np.zeros(count, np.int64)
    if len(repeats):
        repeat_numbers = np.asarray(repeats, np.int64)
    player_seed = np.full(count, seed & (2**64 - 1), np.uint64)
    keys = mix_array(player_seed) ^ seeds
    for numbers in (turns, repeat_numbers):
        keys = mix_array(mix_array(keys) + numbers.astype(np.uint64))
    return keys


class KeyedNoise:
    """Samples by adding noise to the logits and taking the largest (the Gumbel-max trick), as a
    logits processor.

    The noise is a hash of the row's key, the position in the reply and the token, so a reply is the
    same whatever else is in the batch, in whatever order, and after a stop; and two models that are
    asked the same question have the same luck.

    Args:
        keys: ``(B,)`` uint64, see :func:`keys_of`.
        temperature: of the sampling, > 0.
        start: where the replies begin, in tokens, padding included: the length of the prompts, or
            for each row less by what its prompt holds of the reply already.
    """

    def __init__(
        self, keys: NDArray[np.uint64], temperature: float, start: int | NDArray[np.int64]
    ) -> None:
        self.keys = keys
        self.temperature = temperature
        self.start = np.broadcast_to(start, len(keys))

    def select(self, rows: NDArray[np.bool_]) -> None:
        """Go on with the noise of some rows."""
        self.keys = self.keys[rows]
        self.start = self.start[rows]

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        """Noisy scores, ``(B, vocabulary)`` float64."""
        positions = np.asarray(input_ids.shape[1] - self.start).astype(np.uint64)
        keys = mix_array(self.keys + positions)
        noise = gumbel(keys, scores.shape[1], scores.device)
        return scores.double() / self.temperature + noise


def gumbel(keys: NDArray[np.uint64], count: int, device: Any = "cpu") -> Any:
    """Independent standard Gumbel numbers, ``(B, count)`` float64, each a function of its row's key
    and its column.
    """
    import torch

    rows = torch.from_numpy(keys.view(np.int64)).to(device)
    columns = torch.arange(1, count + 1, dtype=torch.int64, device=device) * _GOLDEN
    bits = _mixed(rows[:, None] + columns[None])
    uniform = (_shifted_right(bits, 11).double() + 0.5) / 2.0**53
    return -torch.log(-torch.log(uniform))


# constants of SplitMix64, as torch's signed numbers
_GOLDEN = 0x9E3779B97F4A7C15 - 2**64
_FIRST = 0xBF58476D1CE4E5B9 - 2**64
_SECOND = 0x94D049BB133111EB - 2**64


def _shifted_right(bits: Any, places: int) -> Any:
    """Bits moved to the right as those of an unsigned number."""
    return (bits >> places) & ((1 << (64 - places)) - 1)


def _mixed(bits: Any) -> Any:
    """SplitMix64's last step, whose products wrap around."""
    bits = (bits ^ _shifted_right(bits, 30)) * _FIRST
    bits = (bits ^ _shifted_right(bits, 27)) * _SECOND
    return bits ^ _shifted_right(bits, 31)
