"""Areas of colour: what tells them apart."""

import numpy as np
from PIL import Image

from vlmgym.games.parts.areas import COLOURS, borders
from vlmgym.render.things.areas import GROUNDS


def test_areas_are_told_apart_without_colour():
    greys = []
    for name in COLOURS:
        pixel = Image.new("RGB", (1, 1), GROUNDS[name]).convert("L")
        greys.append(pixel.getpixel((0, 0)))
    assert np.diff(sorted(greys)).min() > 12


def test_borders_are_where_another_area_lies():
    areas = np.array([[[0, 0, 1], [2, 1, 1]]], np.uint8)
    assert borders(areas).tolist() == [[[4, 6, 8], [3, 9, 0]]]
