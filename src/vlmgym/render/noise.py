"""Sensor noise on frames: the same for the same picture, whatever the batch it lies in."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vlmgym.core import mix64
from vlmgym.core.kernels import kernel

FIELD_SIZE = 1 << 17
FIELD_SALT = 0x6E6F697365
DRAWS = 8
"""Bytes of a draw, whose sum is nearly Gaussian."""
MEAN_OF_BYTE = 127.5
DEVIATION_OF_BYTE = 73.9
FIELD_DEVIATION = 64
"""Standard deviation of the noise field: it is whole numbers, which :func:`add_noise` scales."""


@kernel
def picture_keys(contents):
    """One word (B,) uint64 for each row of ``contents`` (B, n), which says what a picture shows."""
    keys = np.empty(len(contents), np.uint64)
    for picture in range(len(contents)):
        key: Any = np.uint64(0)
        for index in range(contents.shape[1]):
            key = mix64(key ^ np.uint64(contents[picture, index]))
        keys[picture] = key
    return keys


@kernel
def _make_field(size):
    """``size`` int16 of mean 0 and standard deviation 64: sums of a 64-bit draw's bytes."""
    field = np.empty(size, np.int16)
    deviation = DEVIATION_OF_BYTE * DRAWS**0.5
    for index in range(size):
        word: Any = mix64(np.uint64(index) ^ np.uint64(FIELD_SALT))
        total = np.int64(0)
        for _ in range(DRAWS):
            total += np.int64(word & np.uint64(255))
            word >>= np.uint64(8)
        field[index] = np.int16(round((total - DRAWS * MEAN_OF_BYTE) * FIELD_DEVIATION / deviation))
    return field


@lru_cache(1)
def noise_field() -> NDArray[np.int16]:
    """The noise that all frames take their lines from, ``(FIELD_SIZE,)``."""
    return _make_field(FIELD_SIZE)


@kernel
def add_noise(frames, rows, field, keys, strength):
    """Add ``field * strength / 64`` to each line of some frames, each line from another place of
    the field.

    frames (B, H, W * 3) uint8; rows (n,) the frames' numbers; keys (B,) of picture_keys.
    """
    starts = np.uint64(len(field) - frames.shape[2])
    for row in rows:
        for y in range(frames.shape[1]):
            start = np.int64(mix64(keys[row] ^ np.uint64(y)) % starts)
            line = frames[row, y]
            for x in range(len(line)):
                noise = (np.int64(field[start + x]) * strength) >> 6
                line[x] = min(255, max(0, np.int64(line[x]) + noise))
