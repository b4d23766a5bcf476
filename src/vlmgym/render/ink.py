"""Colours, fonts and texts: what tiles and the page around them are drawn with.

Fonts and digits are bundled.
"""

from __future__ import annotations

from functools import cache, lru_cache
from importlib import resources
from io import BytesIO

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from vlmgym.games.parts.tile_kinds import FORMS, PICTURE_CLASSES
from vlmgym.render.looks import FONTS, Look
from vlmgym.render.photos import photographs

Colour = tuple[int, int, int]
PAGE: Colour = (244, 242, 237)
BOARD: Colour = (47, 53, 66)
EMPTY: Colour = (96, 106, 125)
LABEL: Colour = (74, 80, 94)
PAPER: Colour = (252, 251, 248)
DARK: Colour = (24, 24, 28)
LIGHT: Colour = (255, 255, 255)
MIDDLE: Colour = (128, 128, 128)
"""The grey that a look's ``similarity`` moves all colours to."""


@cache
def typeface(name: str, pixels: int) -> ImageFont.FreeTypeFont:
    """A bundled font (``sans``, ``serif``, ``mono``) in a size; only ``sans`` has letters beyond
    ASCII.
    """
    data = (resources.files("vlmgym.render") / "assets" / FONTS[name]).read_bytes()
    return ImageFont.truetype(BytesIO(data), pixels, layout_engine=ImageFont.Layout.BASIC)


@lru_cache(512)
def text_ink(text: str, font: str) -> Image.Image:
    """The ink of a text, drawn large; cropped to the ink sideways, and to the height of a digit
    (words: of ``Ag``).
    """
    face = typeface(font, 512)
    left, _, right, _ = face.getbbox(text)
    _, top, _, bottom = face.getbbox(
        "0123456789" if text.isdigit() or text in FORMS["letters"] else "AgQ|"
    )
    ink = Image.new("L", (max(1, int(right - left)), int(bottom - top)))
    ImageDraw.Draw(ink).text((-left, -top), text, fill=255, font=face)
    return ink


@lru_cache(512)
def handwriting(text: str, part: str, appearance: int) -> Image.Image:
    """The ink of a number, composed of handwritten digits of a part."""
    source = photographs("auto", PICTURE_CLASSES["digits"])
    side = 256
    step = 176
    ink = Image.new("L", (step * (len(text) - 1) + side, side))
    digits = np.array([int(digit) for digit in text])
    variants = (16 * appearance + np.arange(len(digits)) % 16).astype(np.int32)
    numbers = source.choose(np.full(len(digits), part == "test"), digits, variants, 10_000)
    for place, (digit, number) in enumerate(zip(digits.tolist(), numbers.tolist(), strict=True)):
        stroke = Image.eval(source.load(part, digit, number), lambda v: 255 - v)
        spot = Image.new("L", ink.size)
        spot.paste(stroke.resize((side, side), Image.Resampling.BICUBIC), (step * place, 0))
        ink = Image.fromarray(np.maximum(np.asarray(ink), np.asarray(spot)))
    return ink.crop(ink.getbbox())


def write(
    picture: Image.Image,
    ink: Image.Image,
    centre: tuple[float, float],
    room: tuple[float, float],
    colour: Colour,
) -> None:
    """Write as high as the room (width, height) allows; long texts are squeezed to 4/5 of their
    width first.
    """
    natural = ink.width / ink.height
    height = min(room[1], room[0] / (0.8 * natural))
    size = max(1, round(min(room[0], height * natural))), max(1, round(height))
    ink = ink.resize(size, Image.Resampling.LANCZOS)
    place = round(centre[0] - size[0] / 2), round(centre[1] - size[1] / 2)
    picture.paste(Image.new("RGB", size, colour), place, ink)


def luminance(colour: Colour) -> float:
    """Relative luminance (WCAG 2.2)."""
    r, g, b = (
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4
        for c in (v / 255 for v in colour)
    )
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


def tone(colour: Colour, look: Look) -> Colour:
    """A colour under the look's ``similarity``."""
    if look.similarity == 0:
        return colour
    r, g, b = (round(c + look.similarity * (m - c)) for c, m in zip(colour, MIDDLE, strict=True))
    return r, g, b
