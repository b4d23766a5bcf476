"""What frames are made from: where the board lies, its cells, and all around them.

Each cell is drawn once, when it is first asked for.
"""

from __future__ import annotations

from functools import lru_cache, partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from vlmgym.core import ConfigError, Scene, StateError
from vlmgym.render import photos
from vlmgym.render.cells import draw_cell, photo_cell, piece_cell
from vlmgym.render.effects import exposed, grained
from vlmgym.render.ink import BOARD, EMPTY, LABEL, PAGE, text_ink, tone, write
from vlmgym.render.looks import MIN_TILE, Look
from vlmgym.render.pieces import Jigsaws
from vlmgym.render.sources import PARTS, Photographs
from vlmgym.render.tiles import Cell


class Layout(NamedTuple):
    """Where the board lies in the picture, in pixels."""

    height: int
    width: int
    top: int  # of the grid of cells, without frame
    left: int
    tile: int
    gap: int


@lru_cache(1024)
def layout_of(look: Look, rows: int, columns: int) -> Layout:
    """Where a board of this size lies under a look.

    Raises:
        ConfigError: it does not fit into the look's width or height.
    """
    edges = 2 * look.margin
    tile = look.tile
    if look.width or look.height:
        tile = _tile_that_fits(look, rows, columns)
    pitch = tile + look.gap
    height = look.height or edges + look.strip + rows * pitch
    width = look.width or edges + columns * pitch
    top = look.strip + (height - look.strip - rows * pitch) // 2
    left = (width - columns * pitch) // 2
    return Layout(height, width, top, left, tile, look.gap)


def _tile_that_fits(look: Look, rows: int, columns: int) -> int:
    """The largest tile whose board fits into the look's width and height, those that are set."""
    edges = 2 * look.margin
    # name, pixels, cells side by side, pixels that are no cells
    sides = [
        ("width", look.width, columns, edges),
        ("height", look.height, rows, edges + look.strip),
    ]
    sides = [side for side in sides if side[1]]
    tile = min((size - taken) // cells - look.gap for _, size, cells, taken in sides)
    if tile >= MIN_TILE:
        return tile
    for name, size, cells, taken in sides:
        needed = taken + cells * (MIN_TILE + look.gap)
        if size < needed:
            allowed = f"{needed} or more for a board of {rows} x {columns}, or 0"
            raise ConfigError(f"Look.{name}", size, allowed)
    return tile


SIDES = 16
"""Ways in which the four sides of a cell may be joined, or ruled."""


class Face(NamedTuple):
    """What scenes have in common whose cells are drawn alike."""

    kind: str
    names: tuple[str, ...]
    is_joined: bool = False  # some drawings go on in a neighbour
    is_ruled: bool = False  # there are heavy lines between cells
    classes: tuple[str, ...] = ()  # of the photographs that are shown, or cut into pieces

    @property
    def plain(self) -> int:
        """Symbols that are no photographs: the first ones."""
        if self.kind == "piece":
            return 1
        return len(self.names) - len(self.classes)

    @property
    def sides(self) -> int:
        """Ways in which the sides of a cell may look."""
        if self.kind == "piece":
            return 1  # all pieces go on over all of their sides, or none does
        return int(SIDES ** (self.is_joined + self.is_ruled))

    def sides_of(self, sided_symbol: int) -> tuple[int, int]:
        """The joined sides and the ruled sides of a symbol with its sides."""
        lines = sided_symbol % SIDES if self.is_ruled else 0
        before = sided_symbol // SIDES if self.is_ruled else sided_symbol
        return before % SIDES if self.is_joined else 0, lines


def face_of(scene: Scene) -> Face:
    """The face of a scene.

    Raises:
        StateError: photographs with sides, or pieces of which some sides are joined.
    """
    is_joined = scene.joins is not None
    face = Face(scene.kind, scene.names, is_joined, scene.lines is not None, scene.photo_classes)
    if face.kind == "photo" and face.sides > 1:
        raise StateError("joins and lines of a scene of kind photo: allowed are none")
    if face.kind == "piece":
        some_joined = scene.joins is not None and (scene.joins != SIDES - 1).any()
        if some_joined or face.is_ruled:
            allowed = "all joins or none, and no lines"
            raise StateError(f"joins and lines of a scene of kind piece: allowed are {allowed}")
    return face


class Atlas:
    """The cells of one kind of scene under one look, each drawn when it is first asked for."""

    def __init__(self, face: Face, look: Look, tile: int) -> None:
        kind = face.kind
        self.face = face
        self.look = look
        self.tile = tile
        self.source: Photographs | None = None
        self.jigsaws: Jigsaws | None = None
        handwritten = look.skin == "handwritten" and kind == "number"
        # of each symbol: by its sides, by the part of the digits, by its appearance
        self.drawings = look.appearances * (2 if handwritten else 1)
        self.plain_cells = face.plain * face.sides * self.drawings
        count = self.plain_cells
        if kind == "photo":
            # the cells of photographs follow the others, by part and class
            self.source = photos.photographs(look.photos, face.classes)
            counts_in_source = [self.source.counts[part] for part in PARTS]
            counts = np.minimum(counts_in_source, look.variety)  # (parts, classes)
            ends = self.plain_cells + np.cumsum(counts).reshape(counts.shape)
            self.first_photo = ends - counts  # (parts, classes)
            count = int(ends[-1, -1])
        if kind == "piece":
            # the cells of pieces follow those of the empty cell
            source = photos.photographs(look.photos, face.classes)
            self.jigsaws = Jigsaws(source, face.names, look.variety)
            count = self.plain_cells + len(self.jigsaws)
        pitch = tile + look.gap
        self.cells = np.empty((count, pitch, pitch * 3), np.uint8)
        self.drawn = np.zeros(count, bool)

    def ids(self, scene: Scene) -> NDArray[np.int32]:
        """``(B, rows, cols)``: the cells of a scene, all of them drawn."""
        symbols = scene.symbols
        self._check_names(symbols)
        ids = symbols.astype(np.int32)
        for sides in (scene.joins, scene.lines):
            if sides is not None and self.face.sides > 1:
                ids = ids * np.int32(SIDES) + sides
        if self.drawings > 1:
            ids = ids * np.int32(self.drawings) + self._drawing_of(scene)
        if self.source is not None:
            photo_ids = self._photo_of(self.source, scene)
            ids = np.where(symbols >= self.face.plain, photo_ids, ids).astype(np.int32)
        if self.jigsaws is not None:
            if scene.variants is None:
                raise StateError("a scene of kind piece needs variants")
            piece_ids = self.plain_cells + self.jigsaws.ids(symbols, scene.test, scene.variants)
            ids = np.where(symbols > 0, piece_ids, ids).astype(np.int32)
        drawn = self.drawn[ids]
        if not drawn.all():
            for cell in np.unique(ids[~drawn]).tolist():
                self.cells[cell] = self._draw(cell).reshape(self.cells.shape[1:])
                self.drawn[cell] = True
        return ids

    def _check_names(self, symbols: NDArray[np.int16]) -> None:
        if not symbols.size:
            return
        low = symbols.min()
        high = symbols.max()
        last = len(self.face.names) - 1
        if low < 0 or high > last:
            raise StateError(f"symbols {low} to {high}: the scene names 0 to {last}")

    def _drawing_of(self, scene: Scene) -> NDArray[np.int32]:
        """Which of a symbol's drawings each cell shows, ``(B, rows, cols)``: it depends on the
        cell's place, and on the split where digits are handwritten.
        """
        appearances = self.look.appearances
        rows, columns = np.indices(scene.symbols.shape[1:], np.int32)
        drawing = (5 * rows + 3 * columns + scene.symbols.astype(np.int32)) % appearances
        if self.drawings > appearances:
            drawing += appearances * scene.test[:, None, None].astype(np.int32)
        return drawing

    def _photo_of(self, source: Photographs, scene: Scene) -> NDArray[np.int64]:
        """The cell of each photograph, ``(B, rows, cols)``; of other cells any."""
        if scene.variants is None:
            raise StateError("a scene of kind photo needs variants")
        test = np.broadcast_to(scene.test[:, None, None], scene.symbols.shape)
        classes = np.maximum(scene.symbols - self.face.plain, 0)
        numbers = source.choose(test, classes, scene.variants, self.look.variety)
        return self.first_photo[test.astype(np.intp), classes] + numbers

    def _draw(self, cell: int) -> NDArray[np.uint8]:
        look = self.look
        if self.source is not None and cell >= self.plain_cells:
            place = int(np.searchsorted(self.first_photo.ravel(), cell, "right")) - 1
            part, class_index = divmod(place, self.first_photo.shape[1])
            number = cell - int(self.first_photo[part, class_index])
            photo = self.source.load(PARTS[part], class_index, number)
            return photo_cell(photo, self.tile, look, number)
        if self.jigsaws is not None and cell >= self.plain_cells:
            number = cell - self.plain_cells
            cut = partial(self.jigsaws.piece, number)
            return piece_cell(cut, self.tile, look, number, framed=not self.face.is_joined)
        sided_symbol, drawing = divmod(cell, self.drawings)
        joins, lines = self.face.sides_of(sided_symbol)
        symbol = sided_symbol // self.face.sides
        test, appearance = divmod(drawing, look.appearances)
        # the empty cell among photographs is that among numbers
        kind = "number" if self.face.kind in ("photo", "piece") else self.face.kind
        name = self.face.names[symbol]
        what = Cell(symbol, name, appearance, bool(test), joins, lines)
        return draw_cell(kind, what, self.tile, look)


@lru_cache(64)
def atlas_of(face: Face, look: Look, tile: int) -> Atlas:
    """The atlas of a kind of scene under a look; the ones used last are kept."""
    return Atlas(face, look, tile)


@lru_cache(64)
def canvas_of(look: Look, rows: int, columns: int) -> NDArray[np.uint8]:
    """All that is not a cell, ``(H, W * 3)`` uint8: page, frame, coordinates."""
    layout = layout_of(look, rows, columns)
    pitch = layout.tile + layout.gap
    frame = min(look.gap - look.gap // 2, look.margin)
    left = layout.left - frame
    top = layout.top - frame
    right = layout.left + columns * pitch + frame - 1
    bottom = layout.top + rows * pitch + frame - 1
    picture = Image.new("RGB", (layout.width, layout.height), tone(PAGE, look))
    board = tone(BOARD if look.grid else EMPTY, look)
    ImageDraw.Draw(picture).rectangle((left, top, right, bottom), fill=board)
    if look.coordinates:
        band = look.margin - frame
        size = min(0.9 * layout.tile, band - 4), min(0.42 * band, 0.5 * layout.tile)
        for column in range(columns):
            centre = layout.left + (column + 0.5) * pitch, top - band / 2
            write(picture, text_ink(str(column), look.font), centre, size, tone(LABEL, look))
        for row in range(rows):
            centre = left - band / 2, layout.top + (row + 0.5) * pitch
            write(picture, text_ink(str(row), look.font), centre, size, tone(LABEL, look))
    return _finished(picture, look).reshape(layout.height, layout.width * 3)


@lru_cache(4096)
def score_strip(score: int, width: int, look: Look) -> NDArray[np.uint8]:
    """The score strip, ``(strip, W * 3)`` uint8."""
    height = look.strip
    picture = Image.new("RGB", (width, height), tone(PAGE, look))
    ink = text_ink(f"Score {score}", look.font)
    centre = width / 2, height / 2
    size = 0.9 * width, 0.6 * height
    write(picture, ink, centre, size, tone(LABEL, look))
    return _finished(picture, look).reshape(height, width * 3)


def _finished(picture: Image.Image, look: Look) -> NDArray[np.uint8]:
    """A picture without its cells under the look's grain, blur and light, ``(H, W, 3)``."""
    pixels = np.asarray(picture)
    if look.texture:
        pixels = grained(pixels, look.texture)
    if look.blur:
        blurred = Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(look.blur))
        pixels = np.asarray(blurred)
    pixels = np.array(exposed(pixels, look))
    pixels.flags.writeable = False
    return pixels


def screen(pixels: NDArray[np.uint8], look: Look, height: int, width: int) -> NDArray[np.uint8]:
    """A finished picture under a look: as large as its margin allows, sides kept in proportion;
    ``(H, W, 3)`` uint8.
    """
    picture = Image.fromarray(pixels)
    if picture.size == (width, height):
        return _finished(picture, look)
    inner_width = width - 2 * look.margin
    inner_height = height - 2 * look.margin
    if min(inner_width, inner_height) < MIN_TILE:
        allowed = f"less than half of width and height, {width} and {height}"
        raise ConfigError("Look.margin", look.margin, allowed)
    scale = min(inner_width / picture.width, inner_height / picture.height)
    picture_width = max(1, round(picture.width * scale))
    picture_height = max(1, round(picture.height * scale))
    resized = picture.resize((picture_width, picture_height), Image.Resampling.BICUBIC)
    page = Image.new("RGB", (width, height), tone(PAGE, look))
    page.paste(resized, ((width - picture_width) // 2, (height - picture_height) // 2))
    return _finished(page, look)
