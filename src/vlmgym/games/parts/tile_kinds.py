"""What tiles can show: coloured shapes and letters, and classes of photographs."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

COLOURS = (
    "red",
    "green",
    "blue",
    "yellow",
    "magenta",
    "cyan",
    "orange",
    "brown",
    "grey",
    "black",
    "pink",
    "lime",
    "navy",
    "teal",
    "purple",
    "olive",
)
FORMS = {
    "shapes": (
        "circle",
        "square",
        "triangle",
        "diamond",
        "cross",
        "star",
        "heart",
        "moon",
        "ring",
        "arrow",
        "bolt",
        "hourglass",
    ),
    "letters": ("A", "B", "C", "D", "E", "F", "G", "H", "K", "L", "M", "N"),
}
"""What a coloured tile carries, by the level's ``tiles``."""
WIDE = 12
"""Forms of a colour: the stride of the encoding."""
NAMES = {
    tiles: ("empty", *(f"{colour} {form}" for colour in COLOURS for form in forms))
    for tiles, forms in FORMS.items()
}
"""Text of each board value: 0 = empty, 1 + 12 * colour + form = a tile."""
KIND_OF = {"shapes": "shape", "letters": "letter"}
"""The kind of scene (:data:`vlmgym.core.KINDS`) of each set of forms."""

PICTURE_CLASSES = {
    "digits": ("0", "1", "2", "3", "4", "5", "6", "7", "8", "9"),
    "cifar10": (
        "airplane",
        "automobile",
        "bird",
        "cat",
        "deer",
        "dog",
        "frog",
        "horse",
        "ship",
        "truck",
    ),
    "scenes": ("balloons", "village", "harbour", "reef", "space"),
}
"""Sets of picture classes with a name: handwritten digits (bundled), CIFAR-10, and painted scenes
(bundled).
"""
MAX_CLASSES = 255
FACE_DOWN = "face down"
"""The text of a card that lies face down, among shapes, letters or photographs; it follows the
empty cell, so it is symbol 1 where there is one.
"""


def tile_types(colours: int, forms: int) -> NDArray[np.uint8]:
    """Board values of the first ``colours`` colours with the first ``forms`` forms, shape
    ``(colours * forms,)``.
    """
    return (1 + WIDE * np.arange(colours)[:, None] + np.arange(forms)).astype(np.uint8).ravel()


def colours_taken_for(others: Mapping[int, int]) -> NDArray[np.uint8]:
    """``(values,)``: the value that each value is taken for by somebody who takes some colours for
    others, where the form is the same.

    Args:
        others: by the number of a colour the number of the colour that it is taken for.
    """
    colours = [others.get(colour, colour) for colour in range(len(COLOURS))]
    tiles = 1 + WIDE * np.array(colours)[:, None] + np.arange(WIDE)
    return np.append(0, tiles).astype(np.uint8)


def picture_classes(text: str) -> tuple[str, ...]:
    """The class names that a level's ``classes`` stands for: a name of :data:`PICTURE_CLASSES`, or
    names joined by commas.

    Names are cut at blanks' ends; an empty tuple says that the text is no list of 2 to 255
    different names other than those of cells without a picture.
    """
    names = PICTURE_CLASSES.get(text) or tuple(" ".join(name.split()) for name in text.split(","))
    clear = len(set(names)) == len(names) and all(
        n and "|" not in n and n.lower() not in ("empty", FACE_DOWN) for n in names
    )
    return names if clear and 2 <= len(names) <= MAX_CLASSES else ()
