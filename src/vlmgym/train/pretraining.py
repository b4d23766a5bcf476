"""The settings of the pretraining of the embedded model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from vlmgym.core import Settings, setting

SHARES: Mapping[str, tuple[float, float, float]] = MappingProxyType(
    {"search": (0.5, 0.15, 0.35), "plain": (0.4, 0.25, 0.35)}
)
"""Shares of the rows that ask about moves, that ask whether tiles are the same, and that ask for a
move.
"""


@dataclass(frozen=True)
class Pretraining(Settings):
    """The embedded model from random weights, by SFT on an endless stream of rows."""

    moves: str = setting(
        "search",
        "rows that ask about moves: the teacher's search for one, or (plain) whether one move "
        "works and what comes of it; plain has no search in any row",
        choices=tuple(SHARES),
    )
    chunk: int = setting(40, "states drawn at once for a task of weight 1", 1, 100_000)
    near: int = setting(
        64,
        "rows among which those of a length are put together, so that little of a batch is padding",
        1,
        100_000,
    )
