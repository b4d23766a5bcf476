"""Shisen-Sho: two identical tiles vanish if a path through empty cells joins them.

Rules as in the published VLM-Gym.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from vlmgym.core import ConfigError, Scene, State, setting
from vlmgym.games.parts.pairs import LevelPairs, Pairs
from vlmgym.games.parts.tile_kinds import (
    COLOURS,
    FORMS,
    KIND_OF,
    NAMES,
    WIDE,
    colours_taken_for,
    tile_types,
)

SOURCES = (
    "Shisen-Sho, https://en.wikipedia.org/wiki/Shisen-Sho",
    "L. Chen et al., G1: Bootstrapping Perception and Reasoning Abilities of Vision-Language Model "
    "via Reinforcement Learning (2025), https://arxiv.org/abs/2505.13426",
)
"""Where the rules come from."""


@dataclass(frozen=True)
class LevelShisenSho(LevelPairs):
    """Rule settings of Shisen-Sho."""

    colours: int = setting(6, "colours that types are drawn from", 1, len(COLOURS))
    shapes: int = setting(6, "shapes (or letters) that types are drawn from", 1, WIDE)
    tiles: str = setting("shapes", "what the tiles carry", choices=tuple(FORMS))

    def __post_init__(self) -> None:
        """Check that there are enough types.

        Raises:
            ConfigError: a field is out of range, or there are too few types.
        """
        super().__post_init__()
        if self.need > self.colours * self.shapes:
            needed = f"colours * shapes of at least {self.need} (rows * cols / copies)"
            raise ConfigError(
                "LevelShisenSho.colours", self.colours, f"{needed}; shapes is {self.shapes}"
            )


class ShisenSho(Pairs[LevelShisenSho, State[LevelShisenSho]]):
    """Shisen-Sho on any board from 2x2 to 16x16."""

    name = "ShisenSho"
    version = 2
    level_type = LevelShisenSho
    MATCH = "they have the same colour and the same {form}"
    WRITING = "A cell is written as its tile, such as {tile}."
    LEVELS = MappingProxyType(
        {
            "easy": LevelShisenSho(rows=4, cols=4, colours=4, shapes=4, max_steps=30),
            "normal": LevelShisenSho(max_steps=60),
            "hard": LevelShisenSho(rows=10, cols=10),
            "paper6": LevelShisenSho(),
            "paper8": LevelShisenSho(rows=8, cols=8),
            "paper12": LevelShisenSho(rows=12, cols=12),
            "tiny": LevelShisenSho(rows=4, cols=4, colours=4, shapes=4, max_steps=16),
        }
    )

    tags = ("paper", "puzzle")
    sources = SOURCES

    def types(self, level: LevelShisenSho) -> NDArray[np.uint8]:
        """The tiles of these colours and shapes."""
        return tile_types(level.colours, level.shapes)

    def names(self, level: LevelShisenSho) -> tuple[str, ...]:
        """Those of :data:`vlmgym.games.parts.tile_kinds.NAMES`: 0 = empty, ``1 + 12 * colour +
        shape`` a tile.
        """
        return NAMES[level.tiles]

    def taken_for(self, level: LevelShisenSho) -> NDArray[np.uint8]:
        """Every second colour is taken for the one before it: green for red, yellow for blue."""
        return colours_taken_for({colour: colour - 1 for colour in range(1, len(COLOURS), 2)})

    def tile_words(self, level: LevelShisenSho) -> dict[str, str]:
        """What tiles carry, too."""
        return {**super().tile_words(level), "form": level.tiles[:-1]}

    def scene(self, state: State[LevelShisenSho]) -> Scene:
        """The board as it is; the kind follows from what the tiles carry."""
        level = state.level
        return self.view(state, state.board, self.names(level), KIND_OF[level.tiles])
