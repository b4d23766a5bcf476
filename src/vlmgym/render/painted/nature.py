"""What several painted scenes share: skies, clouds, hills, trees, waves."""

from __future__ import annotations

import math

from vlmgym.render.painted.brush import Brush, Colour, mixed

WHITE: Colour = (250, 250, 246)
SUN: Colour = (255, 226, 130)
SKIES: tuple[tuple[Colour, Colour], ...] = (
    ((70, 140, 220), (206, 230, 244)),
    ((44, 96, 176), (250, 196, 150)),
    ((96, 120, 200), (252, 224, 190)),
    ((60, 150, 190), (236, 240, 210)),
)
"""Colours of skies: above, and at the horizon."""
GREENS: tuple[Colour, ...] = ((96, 150, 60), (60, 120, 56), (140, 170, 70), (44, 100, 72))


def sky(brush: Brush) -> None:
    """A sky that is lighter towards its sun, which is on the left or on the right."""
    above, below = SKIES[brush.below(len(SKIES))]
    is_left = brush.below(2)
    near = mixed(above, SUN, 0.3), mixed(below, SUN, 0.4)
    far = mixed(above, (20, 30, 80), 0.25), below
    left, right = (near, far) if is_left else (far, near)
    brush.wash((left[0], right[0], left[1], right[1]))
    x = brush.luck(0.1, 0.25) if is_left else brush.luck(0.75, 0.9)
    y = brush.luck(0.08, 0.2)
    radius = brush.luck(0.04, 0.07)
    for ring in range(6, 0, -1):
        glow = mixed(near[0], SUN, 0.7 - 0.1 * ring)
        brush.disc(x, y, radius * (1 + 0.28 * ring), radius * (1 + 0.28 * ring), glow)
    brush.disc(x, y, radius, radius, (255, 244, 200))


def clouds(brush: Brush, count: int, lowest: float) -> None:
    """Heaps of white, with a shade below."""
    for _ in range(count):
        x = brush.luck(0, 1)
        y = brush.luck(0.04, lowest)
        size = brush.luck(0.03, 0.07)
        puffs = [(x + brush.luck(-2, 2) * size, y + brush.luck(-0.5, 0.3) * size) for _ in range(6)]
        for puff_x, puff_y in puffs:
            brush.disc(puff_x, puff_y + 0.25 * size, 1.1 * size, 0.7 * size, (206, 212, 224))
        for puff_x, puff_y in puffs:
            brush.disc(puff_x, puff_y, size, 0.7 * size, WHITE)


def hills(brush: Brush, top: float, colour: Colour, rough: float = 0.05) -> None:
    """A ridge across the picture, and all below it."""
    waves = [(brush.luck(0.6, 3.2), brush.luck(0, 6.3), brush.luck(0.3, 1)) for _ in range(3)]
    points = [(1.0, 1.01), (0.0, 1.01)]
    for step in range(41):
        x = step / 40
        height = sum(size * math.sin(6.3 * pace * x + begin) for pace, begin, size in waves)
        points.append((x, top + rough * height))
    brush.area(points, colour)


def mountains(brush: Brush, top: float, colour: Colour) -> None:
    """Peaks with snow on them."""
    for _ in range(5):
        x = brush.luck(-0.05, 1.05)
        peak = top + brush.luck(-0.1, 0.1)
        wide = brush.luck(0.15, 0.3)
        shade = mixed(colour, (30, 34, 60), brush.luck(0, 0.4))
        brush.area([(x - wide, 0.75), (x, peak), (x + wide, 0.75)], shade)
        brush.area([(x, peak), (x + wide, 0.75), (x + 0.2 * wide, 0.75)], mixed(shade, SUN, 0.15))
        snow = 0.3
        fall = snow * (0.75 - peak)
        edge = [(x + snow * wide, peak + fall), (x, peak + 0.6 * fall)]
        brush.area([(x, peak), *edge, (x - snow * wide, peak + fall)], WHITE)


def tree(brush: Brush, x: float, foot: float, size: float) -> None:
    """A round tree, or a fir."""
    green = brush.pick(GREENS)
    brush.box(x - 0.07 * size, foot - 0.5 * size, x + 0.07 * size, foot, (96, 66, 40))
    if brush.below(2):
        for place in range(3):
            top = foot - size + 0.22 * place * size
            wide = (0.22 + 0.1 * place) * size
            leaf = mixed(green, (10, 40, 30), 0.3 - 0.1 * place)
            brush.area(
                [(x - wide, top + 0.42 * size), (x, top), (x + wide, top + 0.42 * size)], leaf
            )
        return
    for shift, lift, shade in ((0.0, 0.6, 0.25), (-0.14, 0.68, 0.1), (0.1, 0.76, 0.0)):
        leaf = mixed(green, (10, 40, 30), shade)
        brush.disc(x + shift * size, foot - lift * size, 0.26 * size, 0.26 * size, leaf)


def flowers(brush: Brush, count: int, top: float) -> None:
    """Dots of all colours, larger towards the front."""
    for _ in range(count):
        y = brush.luck(top, 1)
        size = 0.004 + 0.016 * (y - top)
        colour = brush.pick(((240, 70, 80), (250, 210, 60), (240, 240, 250), (190, 90, 210)))
        brush.disc(brush.luck(0, 1), y, size, size, colour)


def waves(brush: Brush, count: int, top: float, colour: Colour) -> None:
    """Strokes of light and shade on water."""
    for _ in range(count):
        y = brush.luck(top, 1)
        x = brush.luck(-0.05, 1)
        wide = 0.02 + 0.12 * (y - top)
        stroke = mixed(colour, WHITE if brush.below(2) else (10, 40, 80), brush.luck(0.15, 0.5))
        points = [(x, y), (x + wide / 2, y - 0.1 * wide), (x + wide, y)]
        brush.line(points, 0.004 + 0.006 * (y - top), stroke)
