"""What scenes are painted with: a canvas, and luck that is a function of the scene's number."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from vlmgym.core.random import draw64, mix_array

SIDE = 256
"""Pixels of a scene's side."""
FINE = 2
"""Pixels of the canvas for each of the scene, along a side."""
WASH = 64
"""Steps of colours that run into each other."""

Colour = tuple[int, int, int]
Point = tuple[float, float]


def mixed(colour: Colour, other: Colour, share: float) -> Colour:
    """A colour on the way from one to another."""
    red, green, blue = (
        round(channel + share * (target - channel))
        for channel, target in zip(colour, other, strict=True)
    )
    return red, green, blue


class Brush:
    """Paints one scene. Places are shares of its side, from its top left corner: x, y.

    Args:
        seed: of the scene's luck.
        number: of the scene.
    """

    def __init__(self, seed: int, number: int) -> None:
        self._key = draw64(seed, number, 0)
        self._drawn = 0
        self._units: list[float] = []  # draws that wait
        self.canvas = Image.new("RGB", (SIDE * FINE, SIDE * FINE))
        self._draw = ImageDraw.Draw(self.canvas)

    # ---- luck
    def luck(self, low: float, high: float) -> float:
        """The next draw, from ``low`` to ``high``."""
        if not self._units:
            self._units = self._draws(1024).tolist()
        return low + (high - low) * self._units.pop()

    def _draws(self, count: int) -> NDArray[np.float64]:
        """The next draws, from 0 to 1."""
        numbers = np.arange(self._drawn, self._drawn + count, dtype=np.uint64)
        self._drawn += count
        return (mix_array(numbers ^ np.uint64(self._key)) >> np.uint64(11)) / float(1 << 53)

    def below(self, bound: int) -> int:
        """The next draw, a whole number from 0 to ``bound - 1``."""
        return min(int(self.luck(0, bound)), bound - 1)

    def pick(self, colours: Sequence[Colour]) -> Colour:
        """One of some colours, a little changed."""
        shift = self.luck(-0.12, 0.12)
        end: Colour = (255, 255, 255) if shift > 0 else (0, 0, 0)
        return mixed(colours[self.below(len(colours))], end, abs(shift))

    # ---- paint
    def _pixels(self, *shares: float) -> list[int]:
        return [round(share * SIDE * FINE) for share in shares]

    def wash(self, corners: Sequence[Colour], top: float = 0.0) -> None:
        """Fill all below a height with colours that run into each other: those of the four corners,
        in reading order.
        """
        square = np.array(corners, np.float64).reshape(2, 2, 3)
        steps = np.linspace(0, 1, WASH)
        left = square[0, 0] + steps[:, None] * (square[1, 0] - square[0, 0])
        right = square[0, 1] + steps[:, None] * (square[1, 1] - square[0, 1])
        pixels = left[:, None] + steps[None, :, None] * (right - left)[:, None]
        small = Image.fromarray(np.rint(pixels).astype(np.uint8))
        left_edge, top_edge, right_edge, bottom_edge = self._pixels(0, top, 1, 1)
        size = right_edge - left_edge, bottom_edge - top_edge
        self.canvas.paste(small.resize(size, Image.Resampling.BILINEAR), (left_edge, top_edge))

    def disc(self, x: float, y: float, wide: float, high: float, fill: Colour) -> None:
        """An ellipse around a point, by its radii."""
        box = self._pixels(x - wide, y - high, x + wide, y + high)
        self._draw.ellipse(box, fill=fill)

    def box(self, left: float, top: float, right: float, bottom: float, fill: Colour) -> None:
        """A rectangle."""
        self._draw.rectangle(self._pixels(left, top, right, bottom), fill=fill)

    def area(self, points: Sequence[Point], fill: Colour) -> None:
        """A filled polygon."""
        self._draw.polygon([tuple(self._pixels(x, y)) for x, y in points], fill=fill)

    def line(self, points: Sequence[Point], width: float, fill: Colour) -> None:
        """A line along some points."""
        pixels = max(1, round(width * SIDE * FINE))
        ends = [tuple(self._pixels(x, y)) for x, y in points]
        self._draw.line(ends, fill=fill, width=pixels, joint="curve")

    # ---- the end
    def _spots(self, cells: int) -> NDArray[np.float32]:
        """Smooth random light, -1 to 1, ``(SIDE, SIDE)``, of so many spots along a side."""
        values = 2 * self._draws(cells * cells) - 1
        small = Image.fromarray(values.reshape(cells, cells).astype(np.float32))
        return np.asarray(small.resize((SIDE, SIDE), Image.Resampling.BICUBIC))

    def finished(self) -> Image.Image:
        """The scene, with tints in large spots, and light and shade in small ones, as strokes leave
        them.
        """
        small = self.canvas.reduce(FINE)
        tints = np.stack([16 * self._spots(6) for _ in range(3)], axis=-1)
        light = 9 * self._spots(13) + 6 * self._spots(31) + 4 * self._spots(71)
        pixels = np.asarray(small, np.float32) + tints + light[..., None]
        return Image.fromarray(np.clip(np.rint(pixels), 0, 255).astype(np.uint8))
