"""What all plain games share: a board, a generator of their own, a picture, a text, branches."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from importlib import resources
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from vlmgym.games.parts.tile_kinds import COLOURS
from vlmgym.render.tiles import SHAPES

TILE, GAP = 64, 4
GREY, PAPER = (96, 106, 125), (246, 240, 226)
Cell = tuple[int, int]
Face = tuple[Any, Any, str]
"""What a cell shows: its background, a text, shape or photograph, and the colour of that."""


class Plain(ABC):
    """One game: a board, its own random generator, rules, a picture and a text.

    Args:
        level: rule settings, as of the game in :mod:`vlmgym.games`.
        board: ``(rows, cols)``, as in its states.
        seed: of the generator.
    """

    names: ClassVar[Sequence[str]] = tuple(map(str, range(32)))
    actions = 4

    def __init__(self, level: Any, board: NDArray[np.uint8], seed: int = 0) -> None:
        self.level = level
        self.rng = np.random.default_rng(seed)
        self.board = np.array(board, np.int64)
        self.rows, self.cols = board.shape
        self.score, self.steps, self.terminated = 0, 0, False
        self.observation_space = gym.spaces.Box(0, 255, board.shape, np.uint8)
        self.action_space = gym.spaces.Discrete(self.actions)

    def reset(self) -> None:
        """A fresh game."""
        self.score, self.steps, self.terminated = 0, 0, False
        self._deal()

    def step(self, action: int) -> tuple[int, bool]:
        """Play one turn; returns (gain, terminated). An illegal action changes nothing."""
        gain = 0 if self.terminated else self._play(action)
        self.score += gain
        self.steps += 1
        return gain, self.terminated

    def legal(self) -> list[int]:
        """The actions that change the board."""
        return [] if self.terminated else sorted(self._legal())

    def rewards(self, actions: Iterable[int]) -> list[float]:
        """+1 where a move is good, else -1, each tried on a copy of its own."""
        good, out = self._good(), []
        for action in actions:
            twin = copy.deepcopy(self)
            gain, _ = twin.step(action)
            out.append(1.0 if (gain > 0 if good is None else action in good) else -1.0)
        return out

    def text(self) -> str:
        """The board in words."""
        return "\n".join("|".join(self._name(int(value)) for value in row) for row in self.board)

    def frame(self, width: int, height: int) -> NDArray[np.uint8]:
        """The picture, ``(height, width, 3)`` uint8."""
        image = Image.new(
            "RGB", (self.cols * (TILE + GAP) + GAP, self.rows * (TILE + GAP) + GAP), (47, 53, 66)
        )
        draw = ImageDraw.Draw(image)
        for r, c in np.ndindex(self.rows, self.cols):
            x, y = GAP + c * (TILE + GAP), GAP + r * (TILE + GAP)
            back, shown, colour = self._face((r, c))
            draw.rounded_rectangle((x, y, x + TILE - 1, y + TILE - 1), 8, fill=back)
            i, j, radius = x + TILE / 2, y + TILE / 2, 0.36 * TILE
            around = i - radius, j - radius, i + radius, j + radius
            if isinstance(shown, Image.Image):
                image.paste(
                    shown.convert("RGB").resize((TILE, TILE), Image.Resampling.BICUBIC), (x, y)
                )
            elif shown == "circle":
                draw.ellipse(around, fill=colour)
            elif shown == "ring":
                draw.ellipse(around, outline=colour, width=8)
            elif shown in SHAPES:
                draw.polygon(
                    [(i + radius * u, j + radius * v) for u, v in SHAPES[shown]], fill=colour
                )
            elif shown:
                draw.text(
                    (i, j),
                    shown,
                    fill=colour,
                    font=_font(16 if len(shown) > 4 else 30),
                    anchor="mm",
                )
        return np.asarray(image.resize((width, height), Image.Resampling.BICUBIC))

    def _inside(self, r: int, c: int) -> bool:
        return 0 <= r < self.rows and 0 <= c < self.cols

    def _cells(self, *values: int) -> list[Cell]:
        """The cells with one of these values, in reading order."""
        return [(int(r), int(c)) for r, c in np.argwhere(np.isin(self.board, values))]

    # What a game defines.
    @abstractmethod
    def _deal(self) -> None:
        """Lay out a fresh game."""

    @abstractmethod
    def _play(self, action: int) -> int:
        """The rules of a turn; returns the gain."""

    @abstractmethod
    def _legal(self) -> Iterable[int]:
        """The moves that are legal."""

    def _good(self) -> set[int] | None:
        """The moves worth +1; None: those with a gain."""
        return None

    def _name(self, value: int) -> str:
        return self.names[value]

    def _face(self, cell: Cell) -> Face:
        name = self._name(int(self.board[cell]))
        if name.isdigit() or name in ("floor", "hidden", "wall"):
            return (
                PAPER if name == "floor" or name.isdigit() else GREY,
                name if name.isdigit() else "",
                "black",
            )
        return PAPER, tuple(SHAPES)[self.board[cell] % len(SHAPES)], COLOURS[self.board[cell]]


@cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    with resources.as_file(
        resources.files("vlmgym.render") / "assets" / "DejaVuSans-Bold.ttf"
    ) as path:
        return ImageFont.truetype(str(path), size)


def first_moves(
    start: Any, moves: Callable[[Any], Iterable[tuple[int, Any]]], solved: Callable[[Any], bool]
) -> set[int]:
    """The moves that a shortest solution may begin with, breadth first; none if there is no
    solution.
    """
    layer: dict[Any, set[int]] = {start: set()}
    seen = {start}
    while layer:
        ends = [first for position, first in layer.items() if solved(position)]
        if ends:
            return set().union(*ends)
        after: dict[Any, set[int]] = {}
        for position, first in layer.items():
            for move, new in moves(position):
                if new not in seen:
                    after.setdefault(new, set()).update(first or {move})
        seen |= after.keys()
        layer = after
    return set()
