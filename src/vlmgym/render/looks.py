"""The perception dial: everything that changes how a board is drawn and nothing that changes the
puzzle.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from vlmgym.core import ConfigError, Settings, read_dial, setting

MIN_TILE = 8
LABEL_ROOM = 12
"""Pixels that the coordinate labels need between the board's frame and the end of the margin."""
FONTS = MappingProxyType(
    {
        "sans": "DejaVuSans-Bold.ttf",
        "serif": "DejaVuSerif-Bold.ascii.ttf",
        "mono": "DejaVuSansMono-Bold.ascii.ttf",
    }
)


@dataclass(frozen=True)
class Look(Settings):
    """How a board is drawn: the perception dial. It never changes the puzzle.

    The board is a grid of cells of ``tile + gap`` pixels, each with its tile in the middle; around
    it lies the margin, whose inner ``gap / 2`` pixels complete the board's frame; above it, the
    score strip.

    Raises:
        ConfigError: a field is out of range, or the margin has no room for the coordinates.
    """

    skin: str = setting(
        "printed",
        "numbers: printed in the font, or composed of handwritten digits",
        choices=("printed", "handwritten"),
    )
    font: str = setting("sans", "of numbers, letters, words and coordinates", choices=tuple(FONTS))
    photos: str = setting(
        "auto",
        "photographs: auto (bundled digits, downloaded CIFAR-10), or a path: see "
        "vlmgym.render.photos",
    )
    variety: int = setting(200, "different photographs of a class in use, at most", 1, 100_000)
    tile: int = setting(
        64,
        "pixels of a tile's side; with a width or height, the largest that fits is taken instead",
        8,
        256,
    )
    gap: int = setting(4, "pixels between two tiles, in the board's colour", 0, 64)
    margin: int = setting(0, "pixels around the board, at least", 0, 256)
    width: int = setting(
        0, "pixels of the picture's width, the board in its centre; 0 = as the board needs", 0, 2048
    )
    height: int = setting(
        0,
        "pixels of the picture's height, the board in its centre; 0 = as the board needs",
        0,
        2048,
    )
    coordinates: bool = setting(
        False, "row and column numbers, from 0, in the margin on the left and at the top"
    )
    grid: bool = setting(
        True, "grid lines: tiles stand apart on the board's colour; without, they fill their cells"
    )
    score: bool = setting(
        False, "a strip with the score above the board: a cue that is no part of the board"
    )
    palette: int = setting(
        0, "tile colours where colour only helps (numbers, words); 0 = one for each symbol", 0, 17
    )
    similarity: float = setting(
        0.0, "how far all colours are moved to one grey: 0 = not, 1 = would be equal", 0.0, 0.8
    )
    contrast: float = setting(1.0, "of the picture; 1 = as drawn", 0.2, 1.0)
    brightness: float = setting(0.0, "added to the picture, in shares of full scale", -0.4, 0.4)
    blur: float = setting(0.0, "standard deviation of a Gaussian blur, in pixels", 0.0, 4.0)
    noise: float = setting(
        0.0, "standard deviation of sensor noise, in shares of full scale", 0.0, 0.3
    )
    rotation: float = setting(0.0, "largest turn of a tile either way, in degrees", 0.0, 45.0)
    occlusion: float = setting(0.0, "share of a tile that is hidden by bars", 0.0, 0.5)
    texture: float = setting(0.0, "strength of a grain on board and background", 0.0, 1.0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.coordinates and self.margin < self.gap + LABEL_ROOM:
            raise ConfigError(
                "Look.margin",
                self.margin,
                f"gap + {LABEL_ROOM} = {self.gap + LABEL_ROOM} or more with coordinates",
            )

    @property
    def strip(self) -> int:
        """Pixels of the score strip's height."""
        return max(20, self.tile // 2) if self.score else 0

    @property
    def per_frame(self) -> bool:
        """Whether something belongs to a whole frame and not to its cells, so that frames cannot be
        put together from cells alone: noise, or the score.
        """
        return bool(self.noise) or self.score

    @property
    def appearances(self) -> int:
        """Different drawings of one symbol: more than one where tiles are turned, hidden, grained
        or handwritten.
        """
        plain = self.rotation == self.occlusion == self.texture == 0 and self.skin == "printed"
        return 1 if plain else 8


LOOKS = MappingProxyType(
    {
        "clean": Look(tile=64, gap=4, margin=32, coordinates=True),
        "normal": Look(
            tile=48,
            gap=4,
            margin=24,
            coordinates=True,
            font="serif",
            palette=6,
            similarity=0.15,
            contrast=0.85,
            noise=0.02,
            rotation=4,
            texture=0.25,
        ),
        "hard": Look(
            tile=40,
            gap=2,
            margin=10,
            font="mono",
            grid=False,
            score=True,
            palette=1,
            similarity=0.3,
            contrast=0.6,
            brightness=-0.06,
            blur=0.7,
            noise=0.06,
            rotation=20,
            occlusion=0.12,
            texture=0.6,
        ),
        "paper": Look(gap=8, margin=16, width=640, height=840),
        "photo": Look(
            skin="handwritten",
            tile=64,
            gap=4,
            margin=32,
            coordinates=True,
            contrast=0.9,
            brightness=0.04,
            blur=0.6,
            noise=0.03,
            rotation=6,
            texture=0.5,
        ),
        "tiny": Look(tile=26, gap=2),
    }
)
"""The looks by name.

``clean``: for people and for models of ordinary size; rows and columns are numbered. A 4x4 board is
336 x 336 pixels.

``normal``: smaller tiles, few colours, a little grain, noise and turning.

``hard``: no coordinates, no grid lines, one colour for all numbers; pale, blurred, noisy, turned
and partly hidden.

``paper``: the size of the pictures in the paper's training, 640x840, read as width 640 and height
840: frames have the shape ``(840, 640, 3)``. The board is drawn at that size, not resized to it,
and the paper's score line is left out, for it is no part of the board.

``photo``: as if a camera saw it: numbers in handwritten digits on a grained board, slightly turned,
blurred and noisy.

``tiny``: a cell is exactly one aligned patch of 28 x 28 pixels, its gap included; a 4x4 board is
112 x 112.
"""


def get_look(look: str | Look = "clean", **overrides: Any) -> Look:
    """A named look (or a Look), with single fields overridden: by keywords, or in the name
    (``"hard:noise=0.1"``).

    Raises:
        ConfigError: unknown name, unknown field, or a value out of range.
    """
    if isinstance(look, str):
        look, fields = read_dial(look)
        overrides = fields | overrides
        if look not in LOOKS:
            raise ConfigError("look", look, "one of " + ", ".join(LOOKS))
        look = LOOKS[look]
    if not isinstance(look, Look):
        raise ConfigError("look", look, "a Look or one of " + ", ".join(LOOKS))
    return look.override(**overrides) if overrides else look
