"""The painted scenes: balloons, a village, a harbour, a reef, and space."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from types import MappingProxyType

from PIL import Image

from vlmgym.games.parts.tile_kinds import PICTURE_CLASSES
from vlmgym.render.painted import nature
from vlmgym.render.painted.brush import Brush, Colour, mixed
from vlmgym.render.sources import PARTS, Photographs

COUNTS = MappingProxyType({"train": 160, "test": 40})
"""Pictures of each class in a part."""
BRIGHT: tuple[Colour, ...] = (
    (222, 54, 50),
    (248, 186, 40),
    (40, 120, 200),
    (244, 130, 40),
    (130, 70, 170),
    (40, 160, 120),
    (240, 110, 150),
)
SAND: Colour = (230, 206, 150)
_SEED = 0x7061696E74
"""Of the luck of all scenes: "paint"."""


# ---- balloons over fields
def _balloon(brush: Brush, x: float, y: float, size: float) -> None:
    first = brush.pick(BRIGHT)
    second = brush.pick(BRIGHT)
    brush.area(
        [
            (x - 0.7 * size, y + 0.6 * size),
            (x + 0.7 * size, y + 0.6 * size),
            (x + 0.16 * size, y + 1.35 * size),
            (x - 0.16 * size, y + 1.35 * size),
        ],
        mixed(first, (0, 0, 0), 0.35),
    )
    brush.disc(x, y, size, size, first)
    for share, colour in ((0.72, second), (0.42, first), (0.16, second)):
        brush.disc(x, y, share * size, size, colour)
    brush.line(
        [(x - 0.9 * size, y + 0.35 * size), (x + 0.9 * size, y + 0.35 * size)],
        0.1 * size,
        nature.WHITE,
    )
    brush.box(x - 0.18 * size, y + 1.45 * size, x + 0.18 * size, y + 1.75 * size, (110, 70, 40))


def _balloons(brush: Brush) -> None:
    nature.sky(brush)
    nature.clouds(brush, 9, 0.6)
    nature.hills(brush, 0.72, (120, 140, 150))
    nature.hills(brush, 0.8, brush.pick(nature.GREENS))
    for _ in range(7):
        left = brush.luck(-0.1, 0.9)
        top = brush.luck(0.84, 0.95)
        field = brush.pick(((220, 190, 90), (150, 170, 70), (180, 120, 70), (110, 150, 60)))
        wide = brush.luck(0.15, 0.35)
        brush.area(
            [
                (left, top),
                (left + wide, top - 0.02),
                (left + 1.2 * wide, top + 0.09),
                (left - 0.1, top + 0.12),
            ],
            field,
        )
    for _ in range(12):
        nature.tree(brush, brush.luck(0, 1), brush.luck(0.82, 1.02), brush.luck(0.05, 0.11))
    columns = [0.12, 0.32, 0.52, 0.7, 0.88]
    for x in columns:
        size = brush.luck(0.05, 0.12)
        _balloon(brush, x + brush.luck(-0.05, 0.05), brush.luck(0.1, 0.6), size)


# ---- a village
def _house(brush: Brush, x: float, foot: float, size: float) -> None:
    wall = brush.pick(((240, 226, 200), (222, 190, 150), (200, 210, 220), (236, 200, 190)))
    roof = brush.pick(((170, 60, 50), (120, 80, 60), (80, 90, 110), (190, 110, 60)))
    top = foot - 0.8 * size
    brush.box(x - 0.5 * size, top, x + 0.5 * size, foot, wall)
    brush.area(
        [
            (x + 0.2 * size, top),
            (x + 0.5 * size, top),
            (x + 0.5 * size, foot),
            (x + 0.2 * size, foot),
        ],
        mixed(wall, (40, 40, 60), 0.18),
    )
    brush.area([(x - 0.6 * size, top), (x, top - 0.55 * size), (x + 0.6 * size, top)], roof)
    brush.box(x + 0.22 * size, top - 0.5 * size, x + 0.32 * size, top - 0.2 * size, (130, 80, 70))
    door = brush.pick(BRIGHT)
    brush.box(x - 0.08 * size, foot - 0.36 * size, x + 0.1 * size, foot, door)
    for shift in (-0.34, 0.26):
        left = x + shift * size
        brush.box(left, foot - 0.62 * size, left + 0.16 * size, foot - 0.42 * size, (70, 90, 120))
        brush.line(
            [(left + 0.08 * size, foot - 0.62 * size), (left + 0.08 * size, foot - 0.42 * size)],
            0.02 * size,
            wall,
        )


def _village(brush: Brush) -> None:
    nature.sky(brush)
    nature.clouds(brush, 8, 0.34)
    nature.mountains(brush, 0.3, (110, 120, 150))
    nature.hills(brush, 0.58, brush.pick(nature.GREENS), 0.03)
    for x in (0.1, 0.3, 0.5, 0.7, 0.9):
        nature.tree(brush, x + brush.luck(-0.08, 0.08), 0.66, brush.luck(0.08, 0.16))
        _house(brush, x + brush.luck(-0.06, 0.06), brush.luck(0.66, 0.76), brush.luck(0.1, 0.17))
    meadow = brush.pick(nature.GREENS)
    nature.hills(brush, 0.8, meadow, 0.02)
    bend = brush.luck(-0.3, 0.3)
    start = brush.luck(0.3, 0.7)
    path = [(start + bend * math.sin(3 * step / 10), 0.78 + 0.024 * step) for step in range(11)]
    brush.line(path, 0.06, SAND)
    nature.flowers(brush, 260, 0.8)
    for _ in range(4):
        nature.tree(brush, brush.luck(0, 1), brush.luck(0.84, 1), brush.luck(0.1, 0.2))


# ---- a harbour
def _boat(brush: Brush, x: float, y: float, size: float) -> None:
    hull = brush.pick(BRIGHT)
    brush.line([(x, y - 1.5 * size), (x, y)], 0.05 * size, (90, 60, 40))
    brush.area(
        [
            (x + 0.06 * size, y - 1.4 * size),
            (x + 0.7 * size, y - 0.2 * size),
            (x + 0.06 * size, y - 0.2 * size),
        ],
        nature.WHITE,
    )
    brush.area(
        [
            (x - 0.06 * size, y - 1.2 * size),
            (x - 0.5 * size, y - 0.2 * size),
            (x - 0.06 * size, y - 0.2 * size),
        ],
        brush.pick(BRIGHT),
    )
    brush.area(
        [
            (x - 0.7 * size, y - 0.1 * size),
            (x + 0.8 * size, y - 0.1 * size),
            (x + 0.5 * size, y + 0.2 * size),
            (x - 0.5 * size, y + 0.2 * size),
        ],
        hull,
    )


def _lighthouse(brush: Brush, x: float, foot: float) -> None:
    colour = brush.pick(BRIGHT)
    for band in range(5):
        wide = 0.05 - 0.005 * band
        top = foot - 0.07 * (band + 1)
        brush.box(x - wide, top, x + wide, top + 0.07, nature.WHITE if band % 2 else colour)
    brush.box(x - 0.025, foot - 0.4, x + 0.025, foot - 0.35, (250, 230, 120))
    brush.area([(x - 0.04, foot - 0.4), (x, foot - 0.45), (x + 0.04, foot - 0.4)], colour)


def _harbour(brush: Brush) -> None:
    nature.sky(brush)
    nature.clouds(brush, 9, 0.36)
    horizon = brush.luck(0.42, 0.5)
    nature.hills(brush, horizon - 0.06, (100, 120, 130), 0.02)
    sea = brush.pick(((30, 110, 160), (40, 130, 140), (60, 100, 170)))
    deep = mixed(sea, (10, 20, 60), brush.luck(0.2, 0.5))
    shallow = mixed(sea, (60, 200, 180), brush.luck(0.2, 0.5))
    sides = (deep, shallow) if brush.below(2) else (shallow, deep)
    brush.wash([*(mixed(side, nature.WHITE, 0.35) for side in sides), *sides], horizon)
    nature.waves(brush, 240, horizon, sea)
    x = brush.luck(0.08, 0.2) if brush.below(2) else brush.luck(0.8, 0.92)
    brush.disc(x, horizon + 0.06, 0.16, 0.06, (110, 100, 90))
    _lighthouse(brush, x, horizon + 0.03)
    for place in range(6):
        boat_x = 0.08 + 0.17 * place + brush.luck(-0.05, 0.05)
        depth = brush.luck(0.06, 0.42)
        _boat(brush, boat_x, horizon + depth, 0.04 + 0.2 * depth)
    for _ in range(9):
        gull_x, gull_y, wing = brush.luck(0, 1), brush.luck(0.05, 0.4), brush.luck(0.02, 0.04)
        points = [
            (gull_x - wing, gull_y - 0.4 * wing),
            (gull_x, gull_y),
            (gull_x + wing, gull_y - 0.4 * wing),
        ]
        brush.line(points, 0.006, (60, 64, 80))
    for plank in range(6):
        top = 0.93 + 0.014 * plank
        brush.box(0, top, brush.luck(0.35, 0.8), top + 0.01, mixed((120, 80, 50), SAND, plank / 9))


# ---- a reef
def _fish(brush: Brush, x: float, y: float, size: float) -> None:
    way = 1 if brush.below(2) else -1
    body = brush.pick(BRIGHT)
    stripe = brush.pick(BRIGHT)
    tail = x - 0.9 * way * size
    brush.area(
        [
            (tail, y),
            (tail - 0.5 * way * size, y - 0.4 * size),
            (tail - 0.5 * way * size, y + 0.4 * size),
        ],
        stripe,
    )
    brush.disc(x, y, size, 0.55 * size, body)
    brush.disc(x - 0.1 * way * size, y, 0.16 * size, 0.52 * size, stripe)
    brush.disc(x + 0.6 * way * size, y - 0.12 * size, 0.14 * size, 0.14 * size, nature.WHITE)
    brush.disc(x + 0.62 * way * size, y - 0.12 * size, 0.07 * size, 0.07 * size, (20, 20, 30))


def _weed(brush: Brush, x: float, high: float) -> None:
    colour = brush.pick(((40, 140, 90), (120, 150, 50), (170, 60, 110), (220, 120, 60)))
    sway = brush.luck(4, 9)
    points = []
    for step in range(13):
        y = 1.02 - high * step / 12
        points.append((x + 0.02 * math.sin(sway * step / 6), y))
    brush.line(points, brush.luck(0.01, 0.025), colour)


def _reef(brush: Brush) -> None:
    light = brush.pick(((90, 200, 220), (80, 180, 230), (110, 210, 200)))
    dark = brush.pick(((10, 50, 110), (16, 40, 90), (10, 70, 100)))
    left, right = (0.0, 0.35) if brush.below(2) else (0.35, 0.0)
    brush.wash(
        (
            mixed(light, dark, left),
            mixed(light, dark, right),
            mixed(dark, light, right),
            mixed(dark, light, left),
        )
    )
    for _ in range(6):
        top = brush.luck(0, 1)
        slant = brush.luck(-0.5, 0.5)
        for step in range(9, 0, -1):
            end = 0.05 * step
            ray = mixed(mixed(light, nature.WHITE, 0.25), dark, 0.08 * step)
            brush.area(
                [
                    (top, 0),
                    (top + 0.04, 0),
                    (top + slant * end + 0.04 + 0.06 * end, end),
                    (top + slant * end, end),
                ],
                ray,
            )
    nature.hills(brush, 0.74, mixed(dark, (60, 70, 90), 0.6), 0.06)
    nature.hills(brush, 0.88, SAND, 0.03)
    for _ in range(16):
        x, foot, size = brush.luck(0, 1), brush.luck(0.8, 1), brush.luck(0.02, 0.05)
        colour = brush.pick(BRIGHT)
        for arm in range(5):
            angle = math.pi * (arm + 0.5) / 5
            tip_x = x + 1.6 * size * math.cos(angle)
            tip_y = foot - 2 * size * math.sin(angle)
            brush.line([(x, foot), (tip_x, tip_y)], 0.3 * size, colour)
            brush.disc(tip_x, tip_y, 0.3 * size, 0.3 * size, mixed(colour, nature.WHITE, 0.3))
    for _ in range(12):
        _weed(brush, brush.luck(0, 1), brush.luck(0.15, 0.45))
    for place in range(18):
        row, column = divmod(place, 6)
        x = (column + brush.luck(0.1, 0.9)) / 6
        _fish(brush, x, 0.1 + 0.24 * (row + brush.luck(0, 0.9)), brush.luck(0.025, 0.06))
    for _ in range(40):
        size = brush.luck(0.003, 0.01)
        brush.disc(
            brush.luck(0, 1), brush.luck(0, 0.8), size, size, mixed(light, nature.WHITE, 0.6)
        )


# ---- space
def _planet(brush: Brush, x: float, y: float, size: float) -> None:
    colour = brush.pick(BRIGHT)
    other = brush.pick(BRIGHT)
    has_ring = brush.below(2)
    if has_ring:
        brush.disc(x, y, 1.8 * size, 0.5 * size, mixed(other, nature.WHITE, 0.4))
        brush.disc(x, y, 1.45 * size, 0.3 * size, (30, 24, 60))
    brush.disc(x, y, size, size, mixed(colour, (0, 0, 20), 0.45))
    brush.disc(x - 0.12 * size, y - 0.12 * size, 0.86 * size, 0.86 * size, colour)
    for _ in range(4):
        spot_x = x + brush.luck(-0.5, 0.3) * size
        spot_y = y + brush.luck(-0.5, 0.3) * size
        brush.disc(spot_x, spot_y, brush.luck(0.1, 0.3) * size, 0.12 * size, other)


def _rocket(brush: Brush, x: float, y: float, size: float) -> None:
    colour = brush.pick(BRIGHT)
    brush.area(
        [(x - 0.2 * size, y + size), (x, y + 1.7 * size), (x + 0.2 * size, y + size)],
        (255, 190, 60),
    )
    brush.area(
        [(x - 0.55 * size, y + size), (x, y + 0.2 * size), (x + 0.55 * size, y + size)],
        mixed(colour, (0, 0, 0), 0.3),
    )
    brush.disc(x, y + 0.2 * size, 0.28 * size, 0.95 * size, nature.WHITE)
    brush.disc(x, y - 0.5 * size, 0.17 * size, 0.25 * size, colour)
    brush.disc(x, y + 0.05 * size, 0.13 * size, 0.13 * size, (60, 120, 190))


def _space(brush: Brush) -> None:
    deep = brush.pick(((14, 12, 44), (10, 24, 50), (34, 10, 50)))
    glow = brush.pick(((110, 40, 130), (30, 90, 150), (150, 60, 80)))
    shares = [brush.luck(0, 0.4), brush.luck(0.6, 1)]
    corners = [mixed(deep, glow, share) for share in (*shares, *shares[::-1])]
    brush.wash(corners)
    for _ in range(18):
        x, y = brush.luck(0, 1), brush.luck(0, 0.8)
        for ring in range(5, 0, -1):
            mist = mixed(glow, (236, 226, 255), 0.55 - 0.1 * ring)
            brush.disc(x, y, 0.012 * ring, 0.007 * ring, mist)
    for _ in range(300):
        size = brush.luck(0.001, 0.006)
        star = mixed(nature.WHITE, brush.pick(BRIGHT), brush.luck(0, 0.5))
        brush.disc(brush.luck(0, 1), brush.luck(0, 0.9), size, size, star)
    for place in range(8):
        row, column = divmod(place, 4)
        x = (column + brush.luck(0.25, 0.75)) / 4
        _planet(brush, x, 0.05 + 0.36 * (row + brush.luck(0.2, 0.8)), brush.luck(0.04, 0.1))
    _rocket(brush, brush.luck(0.15, 0.85), brush.luck(0.3, 0.6), brush.luck(0.08, 0.13))
    ground = brush.pick(((150, 150, 160), (170, 120, 90), (120, 140, 130)))
    nature.hills(brush, 0.86, ground, 0.025)
    for _ in range(22):
        y = brush.luck(0.88, 1)
        size = brush.luck(0.01, 0.045)
        x = brush.luck(0, 1)
        brush.disc(x, y, size, 0.4 * size, mixed(ground, (20, 20, 40), 0.4))
        brush.disc(x, y + 0.1 * size, 0.8 * size, 0.3 * size, mixed(ground, nature.WHITE, 0.2))


# ---- the source
PAINTERS: MappingProxyType[str, Callable[[Brush], None]] = MappingProxyType(
    {
        "balloons": _balloons,
        "village": _village,
        "harbour": _harbour,
        "reef": _reef,
        "space": _space,
    }
)
"""What paints a scene of each class."""
assert tuple(PAINTERS) == PICTURE_CLASSES["scenes"]


@lru_cache(128)
def paint(part: str, class_index: int, number: int) -> Image.Image:
    """A scene; scenes of other parts, classes and numbers have other luck."""
    scene = (PARTS.index(part) << 40) + (class_index << 32) + number
    brush = Brush(_SEED, scene)
    PAINTERS[PICTURE_CLASSES["scenes"][class_index]](brush)
    return brush.finished()


def painted() -> Photographs:
    """All scenes."""
    names = PICTURE_CLASSES["scenes"]
    counts = {part: (COUNTS[part],) * len(names) for part in PARTS}
    return Photographs(names, counts, paint)
