"""Sources of photographs: the pictures of some classes, in a train and a test part."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vlmgym.core import VlmGymError, mix_array

PARTS = ("train", "test")


class PhotoError(VlmGymError, ValueError):
    """A source of photographs that is missing, damaged, or lacks a class; the message says which
    and what to do.
    """


@dataclass(frozen=True)
class Photographs:
    """The pictures of some classes in two disjoint parts."""

    names: tuple[str, ...]
    counts: dict[str, tuple[int, ...]]  # by part: pictures of each class
    load: Callable[[str, int, int], Image.Image]  # (part, class, number) -> a grey or RGB picture

    def choose(
        self,
        test: NDArray[np.bool_],
        classes: NDArray[Any],
        variants: NDArray[np.int32],
        limit: int,
    ) -> NDArray[np.int64]:
        """The numbers of the pictures that ``variants`` stand for, each below ``limit`` and its
        class's count.

        A variant is ``16 * luck + copy``. Under one luck, the copies 0 .. 15 of a class are
        different pictures as long as there are that many: they are steps of a stride without common
        divisor with the count.

        Args:
            test: of the test part (else train); like the next two, any shape.
            classes: the pictures' classes.
            variants: see :class:`vlmgym.core.Scene`.
            limit: pictures of a class in use.
        """
        counts = np.array([self.counts[part] for part in PARTS], np.int64)
        count = np.minimum(counts[test.astype(np.intp), classes], limit)
        luck = (variants >> 4).astype(np.uint64)
        words = mix_array(classes.astype(np.uint64) << np.uint64(40) ^ luck)
        first = (words & np.uint64(0xFFFFFFFF)).astype(np.int64) % count
        stride = 1 + (words >> np.uint64(32)).astype(np.int64) % count
        while (shares_divisor := np.gcd(stride, count) != 1).any():
            stride += shares_divisor
        return (first + (variants & 15) * stride) % count


def data_folder() -> Path:
    """Where downloaded data sets lie: ``$VLMGYM_DATA``, or ``~/.cache/vlmgym``.

    Raises:
        PhotoError: neither is set, and this user has no home.
    """
    return expanded(os.environ.get("VLMGYM_DATA") or "~/.cache/vlmgym")


def expanded(path: str) -> Path:
    """A path whose ``~`` is written out.

    Raises:
        PhotoError: there is no such home.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise PhotoError(
            f"{path}: there is no such home folder; name the folder of data sets in VLMGYM_DATA"
        ) from error


def refuse_empty(path: str, names: Sequence[str], counts: dict[str, tuple[int, ...]]) -> None:
    """See that each class has pictures in both parts.

    Raises:
        PhotoError: one has none.
    """
    for part in PARTS:
        for name, count in zip(names, counts[part], strict=True):
            if not count:
                raise PhotoError(
                    f"{path}: no picture of the class {name!r} in the {part} part "
                    "(2 different ones are needed)"
                )
