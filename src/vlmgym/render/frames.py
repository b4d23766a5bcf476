"""Scenes to pictures: a look fixes every pixel.

Cells are drawn once into an atlas; a frame is a gather from it.

A picture depends on its scene and on the look, on nothing else: not on turn, batch or machine; on
the score only where the look shows it. Fonts are bundled, digits and shapes are drawn large and
averaged down.
"""

from __future__ import annotations

import io
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vlmgym.core import ConfigError, Game, Level, State
from vlmgym.core.threads import spread
from vlmgym.render.atlas import face_of, layout_of, score_strip, screen
from vlmgym.render.compositing import Template, gather_cells, patch_cells, template_of
from vlmgym.render.looks import Look, get_look
from vlmgym.render.noise import add_noise, noise_field, picture_keys

GREY = 128
"""What every byte of a blank picture is."""


def blank_frames(count: int, height: int, width: int) -> NDArray[np.uint8]:
    """Pictures on which nothing is to be seen, ``(count, height, width, 3)``."""
    return np.full((count, height, width, 3), GREY, np.uint8)


def blank_like(picture: Image.Image) -> Image.Image:
    """A blank picture of the same size."""
    return Image.fromarray(blank_frames(1, picture.height, picture.width)[0])


def frame_size(game: Game, level: str | Level, look: str | Look = "clean") -> tuple[int, int]:
    """Height and width of the pictures, in pixels.

    Raises:
        ConfigError: unknown level or look, or the board does not fit into the look's width or
            height.
    """
    look = get_look(look)
    scene = game.sample(game.level(level))
    if scene.pixels is not None:
        height, width = scene.pixels.shape[1:3]
        return look.height or height, look.width or width
    layout = layout_of(look, *scene.symbols.shape[1:])
    return layout.height, layout.width


def tile_boxes(game: Game, level: str | Level, look: str | Look = "clean") -> NDArray[np.int64]:
    """Where the tiles lie in the picture, ``(rows, cols, 4)`` int64: left, top, right and bottom in
    pixels, the last two not included.

    A game that shows a finished picture has none: ``(0, 0, 4)``.

    Raises:
        ConfigError: as :func:`frame_size`.
    """
    rows, columns = game.sample(game.level(level)).symbols.shape[1:]
    if not rows:
        return np.empty((0, 0, 4), np.int64)
    layout = layout_of(get_look(look), rows, columns)
    pitch = layout.tile + layout.gap
    half_gap = layout.gap // 2
    lefts = layout.left + half_gap + pitch * np.arange(columns)
    tops = layout.top + half_gap + pitch * np.arange(rows)
    boxes = np.empty((rows, columns, 4), np.int64)
    boxes[:, :, 0] = lefts
    boxes[:, :, 1] = tops[:, None]
    boxes[:, :, 2:] = boxes[:, :, :2] + layout.tile
    return boxes


class Drawing(NamedTuple):
    """A batch that is to be drawn, and what its frames are made from."""

    look: Look
    template: Template | None  # None of finished pictures
    content: NDArray[Any]  # (B, rows, cols) ids of cells, or (B, H, W, 3) finished pictures
    score: NDArray[np.int64]  # (B,)
    shape: tuple[int, ...]  # of the frames: B, H, W, 3


def _prepare(game: Game, state: State, look: Look) -> Drawing:
    scene = game.scene(state)
    if scene.pixels is not None:
        size = frame_size(game, state.level, look)
        return Drawing(look, None, scene.pixels, scene.score, (len(state), *size, 3))
    template = template_of(look, face_of(scene), *scene.symbols.shape[1:])
    shape = (len(state), template.layout.height, template.layout.width, 3)
    return Drawing(look, template, template.atlas.ids(scene), scene.score, shape)


def _draw_rows(drawing: Drawing, rows: NDArray[np.int64], frames: NDArray[np.uint8]) -> None:
    """Draw the frames ``rows`` of a batch as a whole, into ``frames``, ``(B, H, W, 3)``."""
    look = drawing.look
    template = drawing.template
    content = drawing.content
    count, height, width = frames.shape[:3]
    lines = frames.reshape(count, height, 3 * width)
    keys = None
    if look.noise:
        cells_of_picture = content.size // max(count, 1)
        keys = picture_keys(content.reshape(count, cells_of_picture))

    def draw(chunk: slice) -> None:
        if template is None:
            for row in rows[chunk]:
                frames[row] = screen(content[row], look, height, width)
        else:
            cells = template.atlas.cells
            gather_cells(content, rows[chunk], cells, template.canvas, template.corner, lines)
            if look.score:
                _draw_scores(drawing, rows[chunk], lines)
        if look.noise:
            add_noise(lines, rows[chunk], noise_field(), keys, round(255 * look.noise))

    bytes_of_frame = frames.size // max(count, 1)
    spread(draw, len(rows), bytes_of_frame * len(rows))


def _draw_scores(drawing: Drawing, rows: NDArray[np.int64], lines: NDArray[np.uint8]) -> None:
    """Draw the score strips of the frames ``rows`` into ``lines``, ``(B, H, W * 3)``."""
    look = drawing.look
    width = drawing.shape[2]
    for row in rows:
        lines[row, : look.strip] = score_strip(int(drawing.score[row]), width, look)


def _buffer(out: Any, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """``out``, if it is an array that frames of this shape can be written to; a new one for
    None.
    """
    if out is None:
        return np.empty(shape, np.uint8)
    is_array = isinstance(out, np.ndarray)
    can_be_written = (
        is_array and out.dtype == np.uint8 and out.flags.c_contiguous and out.flags.writeable
    )
    if not can_be_written or out.shape != shape:
        given = f"{out.shape} {out.dtype}" if is_array else type(out).__name__
        raise ConfigError("out", given, f"a writable C-contiguous uint8 array of shape {shape}")
    return cast(NDArray[np.uint8], out)


def render(
    game: Game, state: State, look: str | Look = "clean", out: NDArray[np.uint8] | None = None
) -> NDArray[np.uint8]:
    """Draw each row of a batch.

    Args:
        game: the game; its scene is all that is drawn.
        state: ``B`` games.
        look: a look or its name.
        out: where to write; a new array by default. (:class:`Frames` keeps one, and redraws only
            what changed.)

    Returns:
        ``(B, H, W, 3)`` uint8, red green blue, with H and W as in :func:`frame_size`; it is ``out``
        where given.

    Raises:
        ConfigError: unknown look, a skin that cannot draw this game, a board that does not fit into
            the look's width or height, or ``out`` is not a writable C-contiguous uint8 array of
            that shape.
        StateError: the scene holds symbols without a name.
    """
    drawing = _prepare(game, state, get_look(look))
    frames = _buffer(out, drawing.shape)
    _draw_rows(drawing, np.arange(len(state)), frames)
    return frames


class Board(NamedTuple):
    """The cells that the pictures of a batch are made of, for those that write them to other arrays
    than frames.
    """

    ids: NDArray[np.int32]  # (B, rows, cols) index into cells
    cells: NDArray[np.uint8]  # (cells, pitch, pitch * 3)
    drawn: NDArray[np.bool_]  # (cells,) those that have been drawn so far, all of ids among them
    canvas: NDArray[np.uint8]  # (H, W * 3) all that is not a cell
    top: int  # of the grid of cells, in pixels
    left: int


def board_of(game: Game, state: State, look: str | Look) -> Board | None:
    """The cells of a batch; None for finished pictures and for looks with noise or a score strip.

    Raises:
        ConfigError, StateError: as :func:`render`.
    """
    look = get_look(look)
    drawing = _prepare(game, state, look)
    template = drawing.template
    if template is None or look.per_frame:
        return None
    layout, atlas, canvas = template
    return Board(drawing.content, atlas.cells, atlas.drawn, canvas, layout.top, layout.left)


class Frames:
    """Pictures of a batch in one buffer that is used again: after the first call only cells that
    changed are drawn. The bytes are those of :func:`render`.

    Args:
        game: the game.
        level: name or Level.
        look: name or Look.
        count: rows of the batch.

    Raises:
        ConfigError: as :func:`frame_size`.
    """

    def __init__(self, game: Game, level: str | Level, look: str | Look, count: int) -> None:
        self.game = game
        self.look = get_look(look)
        size = frame_size(game, level, self.look)
        self.buffer: NDArray[np.uint8] = np.zeros((count, *size, 3), np.uint8)
        self._read_only = self.buffer[:]
        self._read_only.flags.writeable = False
        self._content: NDArray[Any] | None = None
        self._score: NDArray[np.int64] = np.empty(0, np.int64)

    def clear(self) -> None:
        """Draw everything anew next time."""
        self._content = None

    def draw(self, state: State) -> NDArray[np.uint8]:
        """The pictures as ``(count, H, W, 3)`` uint8: a read-only view of the buffer, good until
        the next call.

        Raises:
            ConfigError: a batch of another size, or boards of another size.
        """
        drawing = _prepare(self.game, state, self.look)
        if drawing.shape != self.buffer.shape:
            raise ConfigError("state", drawing.shape, f"pictures of shape {self.buffer.shape}")
        if self._content is None:
            _draw_rows(drawing, np.arange(len(state)), self.buffer)
        else:
            self._redraw(drawing, self._content)
        self._content = drawing.content
        self._score = drawing.score
        return self._read_only

    def _redraw(self, drawing: Drawing, before: NDArray[Any]) -> None:
        """Draw what differs from the content ``before`` and from the score."""
        look = drawing.look
        template = drawing.template
        content = drawing.content
        other_score = (drawing.score != self._score) & look.score
        if template is None or look.noise:
            inner_axes = tuple(range(1, content.ndim))
            changed = (content != before).any(axis=inner_axes) | other_score
            _draw_rows(drawing, np.flatnonzero(changed), self.buffer)
            return
        count, height, width = self.buffer.shape[:3]
        lines = self.buffer.reshape(count, height, 3 * width)
        cells = template.atlas.cells

        def patch(chunk: slice) -> None:
            patch_cells(content[chunk], before[chunk], cells, template.corner, lines[chunk])

        spread(patch, count, lines.size // 16)
        _draw_scores(drawing, np.flatnonzero(other_score), lines)


def show(game: Game, state: State, look: str | Look = "clean") -> Image.Image:
    """The boards of a batch side by side as one picture, which notebooks show and ``save`` writes
    to a file.
    """
    frames = render(game, state, look)
    if not len(frames):
        return Image.new("RGB", (1, 1))
    return Image.fromarray(np.concatenate(list(frames), axis=1))


IN_A_NOTEBOOK = 8
IN_A_ROW = 4
"""Pictures that a notebook shows of a batch, and those of them side by side."""


def png_of_some(game: Game, state: State, look: str | Look = "clean") -> bytes:
    """The first :data:`IN_A_NOTEBOOK` boards of a batch as a PNG, in rows."""
    frames = render(game, state[:IN_A_NOTEBOOK], look)
    columns = min(len(frames), IN_A_ROW)
    missing = -len(frames) % columns
    blank = np.full_like(frames[:1], 255).repeat(missing, axis=0)
    grid = np.concatenate([frames, blank])
    strips = []
    for start in range(0, len(grid), columns):
        strips.append(np.concatenate(list(grid[start : start + columns]), axis=1))
    file = io.BytesIO()
    Image.fromarray(np.concatenate(strips)).save(file, "PNG")
    return file.getvalue()


def pictures(game: Game, state: State, look: str | Look = "clean") -> list[Image.Image]:
    """The frames of a batch as PIL images; see :func:`render`."""
    return [Image.fromarray(frame) for frame in render(game, state, look)]
