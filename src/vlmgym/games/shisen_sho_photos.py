"""Shisen-Sho with photographs: a type is a class of pictures. Rules as in the published VLM-Gym."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from vlmgym.core import PER_CELL, PHOTO_STREAM, ConfigError, Scene, State, draw_below, setting
from vlmgym.core.kernels import kernel
from vlmgym.games.parts.boards import Arrays, Boards, Seeds, Symbols
from vlmgym.games.parts.pairs import LevelPairs, Pairs
from vlmgym.games.parts.tile_kinds import PICTURE_CLASSES, picture_classes
from vlmgym.games.shisen_sho import SOURCES


@dataclass(frozen=True)
class LevelShisenShoPhotos(LevelPairs):
    """Rule settings of Shisen-Sho with photographs."""

    classes: str = setting(
        "digits", "picture classes: digits, cifar10, or the names of class folders joined by commas"
    )

    def __post_init__(self) -> None:
        """Check the class names.

        Raises:
            ConfigError: a field is out of range, ``classes`` is no list of different names, or
                there are too few.
        """
        super().__post_init__()
        class_count = len(picture_classes(self.classes))
        if class_count < max(2, self.need):
            allowed = (
                f"{', '.join(PICTURE_CLASSES)} or different names joined by commas; "
                f"{self.need} classes or more"
            )
            raise ConfigError("LevelShisenShoPhotos.classes", self.classes, allowed)


@dataclass(frozen=True, eq=False)
class StatePhotos(State[LevelShisenShoPhotos]):
    """A state of Shisen-Sho with photographs; ``board`` holds 0 = empty, 1 + class."""

    # (B, rows, cols) which photograph: 16 * (number drawn for the class) + (copy 0 .. 15)
    photos: NDArray[np.int32] = field(metadata=PER_CELL)


@kernel
def _number_photos(boards, seeds, photos):
    """Number the tiles of each class and draw one number a class: 2**20 sets of photographs, none
    twice on a board.
    """
    rows, cols = boards.shape[1:]
    for game in range(len(boards)):
        counts = np.zeros(256, np.int32)
        for row in range(rows):
            for column in range(cols):
                kind = boards[game, row, column]
                if kind:
                    photos[game, row, column] = (
                        16 * draw_below(seeds[game], 0, PHOTO_STREAM + kind, 1 << 20) + counts[kind]
                    )
                    counts[kind] += 1


class ShisenShoPhotos(Pairs[LevelShisenShoPhotos, StatePhotos]):
    """Shisen-Sho with photographs: a type is a class of pictures, and each of its tiles shows
    another one of them.
    """

    name = "ShisenShoPhotos"
    version = 1
    level_type = LevelShisenShoPhotos
    state_type = StatePhotos
    kind = "photo"
    MATCH = "their pictures show the same kind of thing"
    WRITING = "A cell is written as what it shows, one of: {all}."
    LEVELS = MappingProxyType(
        {
            "easy": LevelShisenShoPhotos(rows=4, cols=4, max_steps=30),
            "normal": LevelShisenShoPhotos(max_steps=60),
            "hard": LevelShisenShoPhotos(rows=10, cols=10, copies=10),
            "paper": LevelShisenShoPhotos(classes="cifar10"),
            "tiny": LevelShisenShoPhotos(rows=4, cols=4, max_steps=16),
        }
    )

    tags = ("paper", "puzzle", "photo")
    sources = (
        *SOURCES,
        "E. Alpaydin, C. Kaynak, Optical Recognition of Handwritten Digits (1998), "
        "https://doi.org/10.24432/C50P49 (CC BY 4.0)",
        "A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images (2009), "
        "https://www.cs.toronto.edu/~kriz/cifar.html",
    )

    def types(self, level: LevelShisenShoPhotos) -> NDArray[np.uint8]:
        """All classes."""
        return np.arange(1, len(self.names(level)), dtype=np.uint8)

    def names(self, level: LevelShisenShoPhotos) -> tuple[str, ...]:
        """0 = empty, ``1 + class``."""
        return ("empty", *picture_classes(level.classes))

    def taken_for(self, level: LevelShisenShoPhotos) -> NDArray[np.uint8]:
        """Every second class is taken for the one before it: of the digits 1 for 0, 3 for 2."""
        values = np.arange(len(self.names(level)), dtype=np.uint8)
        return values - ((values > 0) & (values % 2 == 0))

    def further(self, board: Boards) -> Arrays:
        """No photographs."""
        return {"photos": np.zeros(board.shape, np.int32)}

    def deal(self, level: LevelShisenShoPhotos, seeds: Seeds, board: Boards) -> Arrays:
        """Boards with a joinable pair, and a photograph for each tile."""
        arrays = super().deal(level, seeds, board) | self.further(board)
        _number_photos(board, seeds, arrays["photos"])
        return arrays

    def scene(self, state: StatePhotos) -> Scene:
        """Symbol 0 is the empty cell, ``1 + class`` a photograph of that class; the variant says
        which one.
        """
        return self.view(state, state.board, self.names(state.level), self.kind, state.photos)

    def from_symbols(self, level: LevelShisenShoPhotos, symbols: Symbols) -> StatePhotos:
        """The board as it is described; the photographs are those of luck 0."""
        board = np.array(symbols, np.uint8, order="C")
        arrays = self.further(board)
        _number_photos(board, np.zeros(len(board), np.uint64), arrays["photos"])
        return self.start(level, board, **arrays)
