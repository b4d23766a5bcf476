"""Scenes to pictures: a look fixes every pixel.

Cells are drawn once into an atlas; a frame is a gather from it.

A picture depends on its scene and on the look, on nothing else: not on turn, batch or machine; on
the score only where the look shows it. Fonts are bundled, digits and shapes are drawn large and
averaged down.
"""

from __future__ import annotations

import io
import math
from functools import lru_cache
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vlmgym.core import ConfigError, Game, Level, Scene, State, mix64
from vlmgym.core.kernels import kernel, move
from vlmgym.core.threads import spread
from vlmgym.render.atlas import Atlas, Layout, atlas_of, canvas_of, layout_of, score_strip, screen
from vlmgym.render.looks import Look, get_look


def frame_size(game: Game, level: str | Level, look: str | Look = "clean") -> tuple[int, int]:
    """Height and width of the pictures, in pixels.

    Raises:
        ConfigError: unknown level or look, or the board does not fit into the look's width or
            height.
    """
    look = get_look(look)
    scene = game.sample(game.level(level))
    if scene.pixels is not None:
        high, wide = scene.pixels.shape[1:3]
        return look.height or high, look.width or wide
    layout = layout_of(look, *scene.symbols.shape[1:])
    return layout.height, layout.width


def tile_boxes(game: Game, level: str | Level, look: str | Look = "clean") -> NDArray[np.int64]:
    """The tiles' places in the picture, ``(rows, cols, 4)`` int64: x0, y0, x1, y1 in pixels, the
    ends not included.

    A game that shows a finished picture has none: ``(0, 0, 4)``.

    Raises:
        ConfigError: as :func:`frame_size`.
    """
    rows, cols = game.sample(game.level(level)).symbols.shape[1:]
    if not rows:
        return np.empty((0, 0, 4), np.int64)
    layout = layout_of(get_look(look), rows, cols)
    pitch = layout.tile + layout.gap
    half = layout.gap // 2
    boxes = np.empty((rows, cols, 4), np.int64)
    boxes[:, :, 0] = layout.left + half + pitch * np.arange(cols)
    boxes[:, :, 1] = (layout.top + half + pitch * np.arange(rows))[:, None]
    boxes[:, :, 2:] = boxes[:, :, :2] + layout.tile
    return boxes


@kernel
def _gather(ids, rows, cells, pitch, canvas, wide, top, left, out):
    """Write the frames ``rows``, line by line, each byte once; ``cells``, ``canvas`` and ``out``
    are flat, widths in bytes.
    """
    high, across = ids.shape[1:]
    size = len(canvas)
    span = 3 * pitch
    between = wide - across * span
    for b in rows:
        frame = b * size
        at = top * wide + left
        move(out, frame, canvas, 0, at)
        for r in range(high):
            for y in range(pitch):
                for c in range(across):
                    move(out, frame + at, cells, (ids[b, r, c] * pitch + y) * span, span)
                    at += span
                if r < high - 1 or y < pitch - 1:
                    move(out, frame + at, canvas, at, between)
                    at += between
        move(out, frame + at, canvas, at, size - at)


@kernel
def _patch(ids, before, start, stop, cells, pitch, size, wide, top, left, out):
    """Write the cells of frames ``start`` to ``stop`` that differ from those ``before``."""
    span = 3 * pitch
    for b in range(start, stop):
        for r in range(ids.shape[1]):
            for c in range(ids.shape[2]):
                cell = ids[b, r, c]
                if cell != before[b, r, c]:
                    at = b * size + (top + r * pitch) * wide + left + c * span
                    for y in range(pitch):
                        move(out, at + y * wide, cells, (cell * pitch + y) * span, span)


@kernel
def _keys(ids):
    """One word for each row of ``ids``, ``(B, n)``."""
    keys = np.empty(len(ids), np.uint64)
    for b in range(len(ids)):
        word: Any = np.uint64(0)
        for k in range(ids.shape[1]):
            word = mix64(word ^ np.uint64(ids[b, k]))
        keys[b] = word
    return keys


@kernel
def _noise_field(size):
    """``size`` whole numbers of mean 0 and standard deviation 64: sums of four 64-bit draws' bytes,
    nearly Gaussian.
    """
    field = np.empty(size, np.int16)
    for k in range(size):
        word: Any = mix64(np.uint64(k) ^ np.uint64(0x6E6F697365))
        total = np.int64(0)
        for _ in range(8):
            total += np.int64(word & np.uint64(255))
            word >>= np.uint64(8)
        field[k] = np.int16(round((total - 8 * 127.5) * 64 / (73.9 * 8**0.5)))
    return field


@kernel
def _add_noise(out, rows, field, keys, strength):
    """Add ``field * strength / 64`` to each line of the frames ``rows``, each line from another
    place of the field.
    """
    size = len(field)
    for b in rows:
        for y in range(out.shape[1]):
            place = np.int64(mix64(keys[b] ^ np.uint64(y)) % np.uint64(size - out.shape[2]))
            line = out[b, y]
            for x in range(len(line)):
                line[x] = min(
                    255, max(0, np.int64(line[x]) + ((np.int64(field[place + x]) * strength) >> 6))
                )


@lru_cache(1)
def _field() -> NDArray[np.int16]:
    return _noise_field(1 << 17)


class _Easel(NamedTuple):
    """What frames of one kind of scene under one look are made from."""

    layout: Layout
    atlas: Atlas
    canvas: NDArray[np.uint8]  # flat

    def sizes(self) -> tuple[int, int, int]:
        """Bytes of a line, lines above the board, bytes left of it."""
        return 3 * self.layout.width, self.layout.top, 3 * self.layout.left


@lru_cache(256)
def _easel(look: Look, kind: str, names: tuple[str, ...], rows: int, cols: int) -> _Easel:
    layout = layout_of(look, rows, cols)
    return _Easel(
        layout, atlas_of(kind, names, look, layout.tile), canvas_of(look, rows, cols).reshape(-1)
    )


def _whole(
    scene: Scene,
    words: NDArray[Any],
    look: Look,
    easel: _Easel | None,
    rows: NDArray[np.int64],
    out: Any,
) -> None:
    """Draw the frames ``rows`` of a scene; ``words`` are its cells or, without an easel, its
    pixels.
    """
    count, height, width = out.shape[:3]
    lines = out.reshape(count, height, width * 3)
    flat = out.reshape(-1)
    keys = None
    if look.noise:
        keys = _keys(words.reshape(count, math.prod(words.shape[1:])))

    def work(part: slice) -> None:
        if easel is None:
            for row in rows[part]:
                out[row] = screen(words[row], look, height, width)
        else:
            cells = easel.atlas.cells
            _gather(
                words,
                rows[part],
                cells.reshape(-1),
                cells.shape[1],
                easel.canvas,
                *easel.sizes(),
                flat,
            )
            if look.score:
                for row in rows[part]:
                    lines[row, : look.strip] = score_strip(int(scene.score[row]), width, look)
        if look.noise:
            _add_noise(lines, rows[part], _field(), keys, round(255 * look.noise))

    spread(work, len(rows), flat.size // max(count, 1) * len(rows))


def _buffer(out: Any, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    if out is None:
        return np.empty(shape, np.uint8)
    fine = (
        isinstance(out, np.ndarray)
        and out.dtype == np.uint8
        and out.flags.c_contiguous
        and out.flags.writeable
    )
    if not fine or out.shape != shape:
        given = f"{out.shape} {out.dtype}" if isinstance(out, np.ndarray) else type(out).__name__
        raise ConfigError("out", given, f"a writable C-contiguous uint8 array of shape {shape}")
    return cast(NDArray[np.uint8], out)


def _set_up(
    game: Game, state: State, look: Look, scene: Scene
) -> tuple[_Easel | None, NDArray[Any], tuple[int, ...]]:
    """The easel of a scene (None for finished pictures), its words (cells, or pixels) and the shape
    of its frames.
    """
    if scene.pixels is not None:
        return None, scene.pixels, (len(state), *frame_size(game, state.level, look), 3)
    easel = _easel(look, scene.kind, scene.names, *scene.symbols.shape[1:])
    return easel, easel.atlas.ids(scene), (len(state), easel.layout.height, easel.layout.width, 3)


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
    look = get_look(look)
    scene = game.scene(state)
    easel, words, shape = _set_up(game, state, look, scene)
    out = _buffer(out, shape)
    _whole(scene, words, look, easel, np.arange(len(state)), out)
    return out


class Board(NamedTuple):
    """What the pictures of a batch consist of, where cells alone make them: for writers that bypass
    frames.
    """

    ids: NDArray[np.int32]  # (B, rows, cols) index into cells
    cells: NDArray[np.uint8]  # (cells, pitch, pitch * 3)
    drawn: NDArray[np.bool_]  # (cells,) those that have been drawn so far, those of ids among them
    canvas: NDArray[np.uint8]  # (H, W * 3) all that is not a cell
    top: int  # of the grid of cells, in pixels
    left: int


def board_of(game: Game, state: State, look: str | Look) -> Board | None:
    """The cells of a batch; None for finished pictures and for looks with noise or a score strip.

    Raises:
        ConfigError, StateError: as :func:`render`.
    """
    look = get_look(look)
    scene = game.scene(state)
    easel, ids, _ = _set_up(game, state, look, scene)
    if easel is None or look.per_frame:
        return None
    atlas = easel.atlas
    height, width, top, left, *_ = easel.layout
    return Board(ids, atlas.cells, atlas.drawn, easel.canvas.reshape(height, 3 * width), top, left)


class Frames:
    """Pictures of a batch in one kept buffer: after the first, only cells that changed are drawn,
    to the same bytes.

    Args:
        game: the game.
        level: name or Level.
        look: name or Look.
        count: rows of the batch.

    Raises:
        ConfigError: as :func:`frame_size`.
    """

    def __init__(self, game: Game, level: str | Level, look: str | Look, count: int) -> None:
        self.game, self.look = game, get_look(look)
        self.buffer: NDArray[np.uint8] = np.zeros(
            (count, *frame_size(game, level, self.look), 3), np.uint8
        )
        self._seen = self.buffer[:]
        self._seen.flags.writeable = False
        self._words: NDArray[Any] | None = None
        self._score: NDArray[np.int64] = np.empty(0, np.int64)

    def clear(self) -> None:
        """Draw everything anew next time."""
        self._words = None

    def draw(self, state: State) -> NDArray[np.uint8]:
        """The pictures as ``(count, H, W, 3)`` uint8: a read-only view of the buffer, good until
        the next call.

        Raises:
            ConfigError: a batch of another size, or boards of another size.
        """
        scene = self.game.scene(state)
        look = self.look
        easel, words, shape = _set_up(self.game, state, look, scene)
        if shape != self.buffer.shape:
            raise ConfigError("state", shape, f"pictures of shape {self.buffer.shape}")
        if self._words is None:
            _whole(scene, words, look, easel, np.arange(len(state)), self.buffer)
        else:
            scored = (scene.score != self._score) & look.score
            if easel is None or look.noise:
                changed = (words != self._words).any(axis=tuple(range(1, words.ndim))) | scored
                _whole(scene, words, look, easel, np.flatnonzero(changed), self.buffer)
            else:
                self._touch(easel, words, self._words)
                for row in np.flatnonzero(scored):
                    strip = self.buffer[row, : look.strip]
                    strip.reshape(look.strip, -1)[:] = score_strip(
                        int(scene.score[row]), strip.shape[1], look
                    )
        self._words, self._score = words, scene.score
        return self._seen

    def _touch(self, easel: _Easel, ids: NDArray[np.int32], before: NDArray[np.int32]) -> None:
        cells = easel.atlas.cells
        flat = self.buffer.reshape(-1)

        def work(part: slice) -> None:
            place = len(easel.canvas), *easel.sizes()
            _patch(
                ids, before, part.start, part.stop, cells.reshape(-1), cells.shape[1], *place, flat
            )

        spread(work, len(ids), flat.size // 16)


def show(game: Game, state: State, look: str | Look = "clean") -> Image.Image:
    """The boards of a batch side by side as one picture, which notebooks show and ``save`` writes
    to a file.
    """
    frames = render(game, state, look)
    return (
        Image.fromarray(np.concatenate(list(frames), axis=1))
        if len(frames)
        else Image.new("RGB", (1, 1))
    )


IN_A_NOTEBOOK = 8
IN_A_ROW = 4
"""Pictures that a notebook shows of a batch that is no more than named."""


def png_of_some(game: Game, state: State, look: str | Look = "clean") -> bytes:
    """The first :data:`IN_A_NOTEBOOK` boards of a batch as a PNG, in rows."""
    frames = render(game, state[:IN_A_NOTEBOOK], look)
    columns = min(len(frames), IN_A_ROW)
    blank = np.full_like(frames[:1], 255).repeat(-len(frames) % columns, axis=0)
    grid = np.concatenate([frames, blank])
    lines = [
        np.concatenate(list(grid[at : at + columns]), axis=1) for at in range(0, len(grid), columns)
    ]
    data = io.BytesIO()
    Image.fromarray(np.concatenate(lines)).save(data, "PNG")
    return data.getvalue()


def pictures(game: Game, state: State, look: str | Look = "clean") -> list[Image.Image]:
    """The frames of a batch as PIL images; see :func:`render`."""
    return [Image.fromarray(frame) for frame in render(game, state, look)]
