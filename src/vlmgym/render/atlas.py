"""What frames are made from: where the board lies, its cells, and all around them.

Each cell is drawn once, when it is first asked for.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from vlmgym.core import ConfigError, Scene, StateError
from vlmgym.render import photos
from vlmgym.render.cells import draw_cell, photo_cell
from vlmgym.render.effects import exposed, grained
from vlmgym.render.ink import BOARD, EMPTY, LABEL, PAGE, text_ink, tone, write
from vlmgym.render.looks import MIN_TILE, Look
from vlmgym.render.sources import PARTS, Photographs


class Layout(NamedTuple):
    """Where the board lies in the picture, in pixels."""

    height: int
    width: int
    top: int  # of the grid of cells, without frame
    left: int
    tile: int
    gap: int


@lru_cache(1024)
def layout_of(look: Look, rows: int, cols: int) -> Layout:
    """Where a board of this size lies under a look.

    Raises:
        ConfigError: it does not fit into the look's width or height.
    """
    edge = 2 * look.margin
    tile = look.tile
    if look.width or look.height:
        sides = (
            ("width", look.width, cols, edge),
            ("height", look.height, rows, edge + look.strip),
        )
        tile = min((size - taken) // n - look.gap for _, size, n, taken in sides if size)
        if tile < MIN_TILE:
            for name, size, n, taken in sides:
                need = taken + n * (MIN_TILE + look.gap)
                if 0 < size < need:
                    raise ConfigError(
                        f"Look.{name}", size, f"{need} or more for a board of {rows} x {cols}, or 0"
                    )
    pitch = tile + look.gap
    height = look.height or edge + look.strip + rows * pitch
    width = look.width or edge + cols * pitch
    top = look.strip + (height - look.strip - rows * pitch) // 2
    return Layout(height, width, top, (width - cols * pitch) // 2, tile, look.gap)


class Atlas:
    """The cells of one kind of scene under one look, each drawn when it is first asked for."""

    def __init__(self, kind: str, names: tuple[str, ...], look: Look, tile: int) -> None:
        self.kind = kind
        self.names = names
        self.look = look
        self.tile = tile
        self.source: Photographs | None = None
        self.ways = look.appearances * (2 if look.skin == "handwritten" and kind == "number" else 1)
        count = len(names) * self.ways
        if kind == "photo":
            self.source = photos.photographs(look.photos, names[1:])
            counts = np.minimum([self.source.counts[part] for part in PARTS], look.variety)
            self.first = self.ways + np.concatenate([[0], np.cumsum(counts)[:-1]]).reshape(
                counts.shape
            )
            count = self.ways + int(counts.sum())
        pitch = tile + look.gap
        self.cells = np.empty((count, pitch, pitch * 3), np.uint8)
        self.drawn = np.zeros(count, bool)

    def ids(self, scene: Scene) -> NDArray[np.int32]:
        """``(B, rows, cols)``: the cells of a scene, all of them drawn."""
        symbols = scene.symbols
        looks = self.look.appearances
        if symbols.size and (symbols.min() < 0 or symbols.max() >= len(self.names)):
            raise StateError(
                f"symbols {symbols.min()} to {symbols.max()}: the scene names 0 to "
                f"{len(self.names) - 1}"
            )
        ids = symbols.astype(np.int32)
        # each symbol has that many cells; which one depends on its place, and on the split
        if self.ways > 1:
            rows, cols = np.indices(symbols.shape[1:], np.int32)
            way = (5 * rows + 3 * cols + ids) % looks
            if self.ways > looks:
                way += looks * scene.test[:, None, None].astype(np.int32)
            ids = ids * np.int32(self.ways) + way
        if self.source is not None:
            if scene.variants is None:
                raise StateError("a scene of kind photo needs variants")
            test = np.broadcast_to(scene.test[:, None, None], symbols.shape)
            kinds = np.maximum(symbols - 1, 0)
            numbers = self.source.choose(test, kinds, scene.variants, self.look.variety)
            ids = np.where(
                symbols > 0, self.first[test.astype(np.intp), kinds] + numbers, ids
            ).astype(np.int32)
        if not self.drawn[ids].all():
            for k in np.unique(ids[~self.drawn[ids]]).tolist():
                self.cells[k] = self._draw(k).reshape(self.cells.shape[1:])
                self.drawn[k] = True
        return ids

    def _draw(self, k: int) -> NDArray[np.uint8]:
        if self.source is not None and k >= self.ways:
            place = int(np.searchsorted(self.first.ravel(), k, "right")) - 1
            part, kind = divmod(place, self.first.shape[1])
            number = k - int(self.first[part, kind])
            return photo_cell(
                self.source.load(PARTS[part], kind, number), self.tile, self.look, number
            )
        index, way = divmod(k, self.ways)
        test, appearance = divmod(way, self.look.appearances)
        kind = "number" if self.kind == "photo" else self.kind  # the empty cell
        return draw_cell(
            kind, index, self.names[index], self.tile, self.look, bool(test), appearance
        )


@lru_cache(64)
def atlas_of(kind: str, names: tuple[str, ...], look: Look, tile: int) -> Atlas:
    """The atlas of a kind of scene under a look; the ones used last are kept."""
    return Atlas(kind, names, look, tile)


@lru_cache(64)
def canvas_of(look: Look, rows: int, cols: int) -> NDArray[np.uint8]:
    """All that is not a cell, ``(H, W * 3)`` uint8: page, frame, coordinates."""
    layout = layout_of(look, rows, cols)
    pitch = layout.tile + layout.gap
    frame = min(look.gap - look.gap // 2, look.margin)
    picture = Image.new("RGB", (layout.width, layout.height), tone(PAGE, look))
    box = (
        layout.left - frame,
        layout.top - frame,
        layout.left + cols * pitch + frame,
        layout.top + rows * pitch + frame,
    )
    board = tone(BOARD if look.grid else EMPTY, look)
    ImageDraw.Draw(picture).rectangle((box[0], box[1], box[2] - 1, box[3] - 1), fill=board)
    if look.coordinates:
        band = look.margin - frame
        room = min(0.9 * layout.tile, band - 4), min(0.42 * band, 0.5 * layout.tile)
        for col in range(cols):
            centre = layout.left + (col + 0.5) * pitch, box[1] - band / 2
            write(picture, text_ink(str(col), look.font), centre, room, tone(LABEL, look))
        for row in range(rows):
            centre = box[0] - band / 2, layout.top + (row + 0.5) * pitch
            write(picture, text_ink(str(row), look.font), centre, room, tone(LABEL, look))
    return _finished(picture, look).reshape(layout.height, layout.width * 3)


@lru_cache(4096)
def score_strip(score: int, width: int, look: Look) -> NDArray[np.uint8]:
    """The score strip, ``(strip, W * 3)`` uint8."""
    picture = Image.new("RGB", (width, look.strip), tone(PAGE, look))
    write(
        picture,
        text_ink(f"Score {score}", look.font),
        (width / 2, look.strip / 2),
        (0.9 * width, 0.6 * look.strip),
        tone(LABEL, look),
    )
    return _finished(picture, look).reshape(look.strip, width * 3)


def _finished(picture: Image.Image, look: Look) -> NDArray[np.uint8]:
    pixels = grained(np.asarray(picture), look.texture) if look.texture else np.asarray(picture)
    if look.blur:
        pixels = np.asarray(Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(look.blur)))
    pixels = np.array(exposed(pixels, look))
    pixels.flags.writeable = False
    return pixels


def screen(pixels: NDArray[np.uint8], look: Look, height: int, width: int) -> NDArray[np.uint8]:
    """A finished picture under a look: as large as its margin allows, sides kept in proportion;
    ``(H, W, 3)`` uint8.
    """
    if pixels.shape[:2] != (height, width):
        wide = width - 2 * look.margin
        high = height - 2 * look.margin
        if min(wide, high) < MIN_TILE:
            raise ConfigError(
                "Look.margin",
                look.margin,
                f"less than half of width and height, {width} and {height}",
            )
        scale = min(wide / pixels.shape[1], high / pixels.shape[0])
        size = max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale))
        page = Image.new("RGB", (width, height), tone(PAGE, look))
        page.paste(
            Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC),
            ((width - size[0]) // 2, (height - size[1]) // 2),
        )
        return _finished(page, look)
    return _finished(Image.fromarray(pixels), look)
