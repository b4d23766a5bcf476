"""Faces of tiles: the things of a world, such as walls, boxes and flags.

:data:`SPRITES` is the table of them. A game from outside adds its own with :func:`register`::

    def draw_lamp(pencil: Pencil) -> None:
        pencil.disc(0.2, 0.2, 0.8, 0.8, fill=(250, 220, 90))


    register("lamp", draw_lamp)
"""

from __future__ import annotations

from collections.abc import Callable

from PIL import Image, ImageDraw

from vlmgym.core import ConfigError
from vlmgym.render.ink import Colour, text_ink, tone, write_in_middle
from vlmgym.render.looks import Look
from vlmgym.render.things import (
    areas,
    blocks,
    cards,
    digits,
    fleet,
    lamps,
    lot,
    minefield,
    pipework,
    serpent,
    set_cards,
    stones,
    towers,
    world,
)
from vlmgym.render.things.pencil import GROUND, Pencil, Sprite
from vlmgym.render.tiles import Cell, blank

SPRITES: dict[str, Sprite] = {
    **world.SPRITES,
    **minefield.SPRITES,
    **areas.SPRITES,
    **blocks.SPRITES,
    **cards.SPRITES,
    **digits.SPRITES,
    **fleet.SPRITES,
    **lamps.SPRITES,
    **lot.SPRITES,
    **pipework.SPRITES,
    **serpent.SPRITES,
    **set_cards.SPRITES,
    **stones.SPRITES,
    **towers.SPRITES,
}
"""The names that scenes of kind ``sprite`` may use, with their drawings."""


def register(name: str, draw: Callable[[Pencil], None], ground: Colour = GROUND) -> None:
    """Add a thing that scenes of kind ``sprite`` may show.

    Args:
        name: the text of the symbol.
        draw: draws it on one cell.
        ground: red, green and blue of what lies below, 0 to 255.

    Raises:
        ConfigError: the name is that of another drawing.
    """
    sprite = Sprite(draw, ground)
    if SPRITES.setdefault(name, sprite) != sprite:
        raise ConfigError("sprite", name, "a name that no other drawing has")


def draw_sprite(cell: Cell, tile: int, look: Look) -> Image.Image:
    """A thing on its ground, and what is written on it."""
    sprite = SPRITES[cell.name]

    def draw_more(canvas: ImageDraw.ImageDraw, scale: int) -> None:
        side = tile * scale
        sprite.draw(Pencil(canvas, side, max(scale, side // 24), look, cell.joins))

    picture = blank(tile, sprite.ground, look, draw_more)
    if sprite.label:
        ink = text_ink(sprite.label, look.font)
        write_in_middle(picture, ink, sprite.label_size, tone(sprite.ink, look))
    return picture


def check_sprite(name: str) -> None:
    """See that there is a drawing of that name.

    Raises:
        ConfigError: there is none.
    """
    if name not in SPRITES:
        raise ConfigError("symbol of a scene of kind sprite", name, ", ".join(SPRITES))
