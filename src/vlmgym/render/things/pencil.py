"""What draws the things of a world: a pencil for one cell, and what a thing is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from PIL import ImageDraw

from vlmgym.render.ink import DARK, Colour, tone
from vlmgym.render.looks import Look

GROUND: Colour = (226, 216, 196)
"""What a thing stands on, if nothing else is said."""


@dataclass(frozen=True)
class Pencil:
    """Draws on one cell. Places are shares of its side, counted from its top left corner: points as
    x, y, rectangles as left, top, right, bottom.
    """

    canvas: ImageDraw.ImageDraw
    side: int  # of the cell, pixels
    width: int  # of the thinnest line, pixels
    look: Look
    joins: int = 0  # the sides over which the drawing goes on, as in Scene

    def joined(self, side: int) -> bool:
        """Whether the drawing goes on over a side: 0 up, 1 right, 2 down, 3 left."""
        return bool(self.joins >> side & 1)

    def paint(self, colour: Colour | None) -> Colour | None:
        """A colour as this look shows it."""
        return None if colour is None else tone(colour, self.look)

    def place(self, *shares: float) -> tuple[int, ...]:
        """Shares of the side in pixels."""
        return tuple(round(share * self.side) for share in shares)

    def line(self, *ends: float, colour: Colour, widths: int = 2) -> None:
        """A line between two points, as wide as so many of the thinnest."""
        self.canvas.line(self.place(*ends), fill=self.paint(colour), width=widths * self.width)

    def disc(
        self,
        *box: float,
        fill: Colour | None = None,
        outline: Colour | None = None,
        widths: int = 2,
    ) -> None:
        """An ellipse within a rectangle."""
        self.canvas.ellipse(
            self.place(*box),
            fill=self.paint(fill),
            outline=self.paint(outline),
            width=widths * self.width,
        )

    def half_disc(self, *box: float, fill: Colour) -> None:
        """The upper half of an ellipse within a rectangle."""
        self.canvas.pieslice(self.place(*box), 180, 360, fill=self.paint(fill))

    def box(self, *box: float, fill: Colour, outline: Colour) -> None:
        """A rectangle."""
        self.canvas.rectangle(
            self.place(*box),
            fill=self.paint(fill),
            outline=self.paint(outline),
            width=2 * self.width,
        )

    def body(self, edge: float, radius: float, fill: Colour, joins: int) -> None:
        """A rectangle so far from the cell's sides, with round corners; it goes on over the sides
        of ``joins``.
        """
        up, right, down, left = (bool(joins >> side & 1) for side in range(4))
        near = round(edge * self.side)
        far = self.side - 1
        box = (
            0 if left else near,
            0 if up else near,
            far if right else far - near,
            far if down else far - near,
        )
        corners = not (left or up), not (right or up), not (right or down), not (left or down)
        self.canvas.rounded_rectangle(
            box, radius=radius * self.side, fill=self.paint(fill), corners=corners
        )

    def polygon(self, points: Sequence[tuple[float, float]], fill: Colour) -> None:
        """A filled polygon."""
        side = self.side
        corners = [(round(x * side), round(y * side)) for x, y in points]
        self.canvas.polygon(corners, fill=self.paint(fill))


@dataclass(frozen=True)
class Sprite:
    """How a thing is drawn: the colour of its ground, what is drawn on it, and what is written."""

    draw: Callable[[Pencil], None]
    ground: Colour = GROUND
    label: str = ""  # written on it
    ink: Colour = DARK  # of the label
    label_size: tuple[float, float] = (0.8, 0.56)  # at most, as shares of the cell's side
