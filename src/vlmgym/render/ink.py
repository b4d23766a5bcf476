"""Colours, fonts and texts: what tiles and the page around them are drawn with.

Fonts and digits are bundled.
"""

from __future__ import annotations

from functools import cache, lru_cache
from importlib import resources
from io import BytesIO

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from vlmgym.games.parts.tile_kinds import PICTURE_CLASSES
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
    content = (resources.files("vlmgym.render") / "assets" / FONTS[name]).read_bytes()
    return ImageFont.truetype(BytesIO(content), pixels, layout_engine=ImageFont.Layout.BASIC)


@lru_cache(512)
def text_ink(text: str, font: str) -> Image.Image:
    """The ink of a text, drawn large; cropped to the ink sideways, and to the height of a digit
    (words: of ``Ag``); a capital letter that hangs lower, as a J does, to its own foot.
    """
    face = typeface(font, 512)
    left, _, right, _ = face.getbbox(text)
    is_capital = len(text) == 1 and "A" <= text <= "Z"
    _, top, _, bottom = face.getbbox("0123456789" if is_capital or text.isdigit() else "AgQ|")
    if is_capital:
        bottom = max(bottom, face.getbbox(text)[3])
    width = max(1, int(right - left))
    ink = Image.new("L", (width, int(bottom - top)))
    ImageDraw.Draw(ink).text((-left, -top), text, fill=255, font=face)
    return ink


@lru_cache(512)
def handwriting(text: str, part: str, appearance: int) -> Image.Image:
    """The ink of a number, composed of handwritten digits of a part."""
    source = photographs("auto", PICTURE_CLASSES["digits"])
    side = 256
    step = 176  # from one digit to the next: they overlap a little
    ink = Image.new("L", (step * (len(text) - 1) + side, side))
    digits = np.array([int(digit) for digit in text])
    test = np.full(len(digits), part == "test")
    variants = (16 * appearance + np.arange(len(digits)) % 16).astype(np.int32)
    numbers = source.choose(test, digits, variants, 10_000)
    for index, (digit, number) in enumerate(zip(digits.tolist(), numbers.tolist(), strict=True)):
        stroke = Image.eval(source.load(part, digit, number), lambda grey: 255 - grey)
        layer = Image.new("L", ink.size)
        enlarged = stroke.resize((side, side), Image.Resampling.BICUBIC)
        layer.paste(enlarged, (step * index, 0))
        ink = Image.fromarray(np.maximum(np.asarray(ink), np.asarray(layer)))
    return ink.crop(ink.getbbox())


def write(
    picture: Image.Image,
    ink: Image.Image,
    centre: tuple[float, float],
    size: tuple[float, float],
    colour: Colour,
) -> None:
    """Write as high as ``size`` (width, height) allows; long texts are squeezed to 4/5 of their
    width first.
    """
    most_width, most_height = size
    proportion = ink.width / ink.height
    height = min(most_height, most_width / (0.8 * proportion))
    width = min(most_width, height * proportion)
    pixels = max(1, round(width)), max(1, round(height))
    left = round(centre[0] - pixels[0] / 2)
    top = round(centre[1] - pixels[1] / 2)
    mask = ink.resize(pixels, Image.Resampling.LANCZOS)
    picture.paste(Image.new("RGB", pixels, colour), (left, top), mask)


def write_in_middle(
    picture: Image.Image, ink: Image.Image, shares: tuple[float, float], colour: Colour
) -> None:
    """Write in the middle of a square tile, within these shares of its width and height."""
    tile = picture.width
    size = shares[0] * tile, shares[1] * tile
    write(picture, ink, (tile / 2, tile / 2), size, colour)


def luminance(colour: Colour) -> float:
    """Relative luminance (WCAG 2.2)."""
    red, green, blue = map(_linear, colour)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _linear(value: int) -> float:
    """The light of a channel's byte, 0 to 1."""
    share = value / 255
    return share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4


def tone(colour: Colour, look: Look) -> Colour:
    """A colour under the look's ``similarity``."""
    if look.similarity == 0:
        return colour
    red, green, blue = (
        round(channel + look.similarity * (grey - channel))
        for channel, grey in zip(colour, MIDDLE, strict=True)
    )
    return red, green, blue
