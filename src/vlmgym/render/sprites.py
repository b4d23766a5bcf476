"""Faces of tiles: the things of a world, such as walls, boxes and flags."""

from __future__ import annotations

import math

from PIL import Image, ImageDraw

from vlmgym.core import ConfigError
from vlmgym.render.ink import DARK, LIGHT, PAPER, Colour, text_ink, tone, write
from vlmgym.render.looks import Look
from vlmgym.render.tiles import blank

GROUND: Colour = (226, 216, 196)
BRICK: Colour = (150, 78, 58)
WATER: Colour = (28, 74, 118)
STONE: Colour = (178, 184, 194)
COUNTS: tuple[Colour, ...] = (
    (30, 80, 220),
    (20, 130, 40),
    (214, 30, 30),
    (20, 20, 120),
    (130, 20, 20),
    (0, 120, 120),
    (20, 20, 20),
    (110, 110, 118),
)
"""Colours of the counts 1 to 8 on Minesweeper's open cells."""


def draw_sprite(
    index: int, name: str, tile: int, look: Look, part: str, appearance: int
) -> Image.Image:
    """A thing on its ground, or a count."""

    def paint(colour: Colour) -> Colour:
        return tone(colour, look)

    def things(draw: ImageDraw.ImageDraw, scale: int) -> None:
        side = tile * scale
        pen = max(scale, side // 24)

        def box(x0: float, y0: float, x1: float, y1: float) -> tuple[int, int, int, int]:
            return round(x0 * side), round(y0 * side), round(x1 * side), round(y1 * side)

        def poly(points: list[tuple[float, float]], fill: Colour) -> None:
            draw.polygon([(round(x * side), round(y * side)) for x, y in points], fill=paint(fill))

        if name == "wall":
            for row in range(4):
                y = row / 4
                draw.line(box(0, y, 1, y), fill=paint((92, 44, 32)), width=pen)
                for x in (0.25, 0.75) if row % 2 else (0.0, 0.5, 1.0):
                    draw.line(box(x, y, x, y + 0.25), fill=paint((92, 44, 32)), width=pen)
        if "target" in name:
            draw.ellipse(box(0.14, 0.14, 0.86, 0.86), outline=paint((200, 40, 60)), width=2 * pen)
            draw.ellipse(box(0.4, 0.4, 0.6, 0.6), fill=paint((200, 40, 60)))
        if name.startswith("box"):
            light, dark = (
                ((120, 190, 90), (40, 96, 30))
                if "target" in name
                else ((222, 166, 92), (122, 76, 26))
            )
            draw.rectangle(
                box(0.2, 0.2, 0.8, 0.8), fill=paint(light), outline=paint(dark), width=2 * pen
            )
            draw.line(box(0.22, 0.22, 0.78, 0.78), fill=paint(dark), width=2 * pen)
            draw.line(box(0.22, 0.78, 0.78, 0.22), fill=paint(dark), width=2 * pen)
        if name.startswith("player"):
            draw.pieslice(box(0.24, 0.48, 0.76, 1.16), 180, 360, fill=paint((40, 70, 190)))
            draw.ellipse(
                box(0.35, 0.16, 0.65, 0.46),
                fill=paint((240, 190, 150)),
                outline=paint((90, 50, 30)),
                width=pen,
            )
        if name == "hole":
            draw.ellipse(
                box(0.1, 0.1, 0.9, 0.9),
                fill=paint(WATER),
                outline=paint((220, 240, 252)),
                width=2 * pen,
            )
        if name in ("goal", "flag"):
            draw.line(box(0.34, 0.14, 0.34, 0.88), fill=paint((40, 40, 44)), width=2 * pen)
            colour = (24, 150, 60) if name == "goal" else (214, 30, 30)
            poly([(0.34, 0.14), (0.82, 0.32), (0.34, 0.5)], colour)
        if name in ("hidden", "flag"):
            draw.line(box(0.05, 0.06, 0.95, 0.06), fill=paint((232, 236, 242)), width=2 * pen)
            draw.line(box(0.06, 0.05, 0.06, 0.95), fill=paint((232, 236, 242)), width=2 * pen)
            draw.line(box(0.05, 0.94, 0.95, 0.94), fill=paint((84, 92, 108)), width=2 * pen)
            draw.line(box(0.94, 0.05, 0.94, 0.95), fill=paint((84, 92, 108)), width=2 * pen)
        if name == "mine":
            for k in range(4):
                a = math.pi * k / 4
                x, y = 0.38 * math.cos(a), 0.38 * math.sin(a)
                draw.line(box(0.5 - x, 0.5 - y, 0.5 + x, 0.5 + y), fill=paint(DARK), width=2 * pen)
            draw.ellipse(box(0.25, 0.25, 0.75, 0.75), fill=paint(DARK))
            draw.ellipse(box(0.36, 0.34, 0.48, 0.46), fill=paint(LIGHT))

    ground = {
        "wall": BRICK,
        "hidden": STONE,
        "flag": STONE,
        "hole": (190, 222, 240),
        "mine": (236, 90, 80),
    }
    if name.isdigit():
        ground[name] = PAPER
    picture = blank(tile, ground.get(name, GROUND), look, things)
    if name.isdigit() and name != "0":
        colour = tone(COUNTS[(int(name) - 1) % len(COUNTS)], look)
        write(
            picture,
            text_ink(name, look.font),
            (tile / 2, tile / 2),
            (0.8 * tile, 0.56 * tile),
            colour,
        )
    return picture


SPRITES = (
    "floor",
    "wall",
    "target",
    "box",
    "box on target",
    "player",
    "player on target",
    "hole",
    "goal",
    "hidden",
    "flag",
    "mine",
    *map(str, range(9)),
)
"""The names that scenes of kind ``sprite`` may use."""


def check_sprite(name: str) -> None:
    """See that there is a drawing of that name.

    Raises:
        ConfigError: there is none.
    """
    if name not in SPRITES:
        raise ConfigError("symbol of a scene of kind sprite", name, ", ".join(SPRITES))
