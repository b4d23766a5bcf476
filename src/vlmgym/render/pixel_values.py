"""The short way into a model: frames, or boards, to ``pixel_values`` without the detour through an
image processor.

Most processors resize, rescale, normalise and order a picture. Where the resizing changes nothing,
what is left is a table of 256 values a channel and a fixed order of places, so that pictures are
written straight into the model's input. Whether that is so is not guessed from names: each size is
tried once against the processor itself, which stays in charge wherever the two differ.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vlmgym.core import ConfigError, Game, State
from vlmgym.core.kernels import kernel, move
from vlmgym.core.threads import spread
from vlmgym.render.frames import Board, board_of, render
from vlmgym.render.looks import Look, get_look

TOLERANCE = 1e-5
"""Largest difference between a pixel value written here and the processor's own."""


# ---- kernels
@kernel
def _place(band, y, high, wide, patch, merge, copies, out, base):
    """Put a band of lines of a picture, flat ``(lines, 3, wide)``, into flat ``out`` from ``base``
    on (see :class:`Order`).

    The band is the one line ``y`` for planes, else all lines of the row of patches that ends with
    line ``y``.
    """
    if patch == 0:
        for channel in range(3):
            move(out, base + (channel * high + y) * wide, band, channel * wide, wide)
        return
    row = y // patch
    block = patch * patch
    groups = wide // patch // merge
    size = 3 * copies * block
    for group in range(groups):
        at = base + ((row // merge * groups + group) * merge + row % merge) * merge * size
        for k in range(merge):
            for channel in range(3):
                start = channel * wide + (group * merge + k) * patch
                if patch == 14:  # a known size is compiled to a few wide moves
                    for inner in range(14):
                        move(out, at + inner * 14, band, start + inner * 3 * wide, 14)
                else:
                    for inner in range(patch):
                        move(out, at + inner * patch, band, start + inner * 3 * wide, patch)
                for twin in range(1, copies):
                    move(out, at + twin * block, out, at, block)
                at += copies * block


@kernel
def _frames(frames, table, patch, merge, copies, out):
    """Pictures ``(B, H, W, 3)`` as ``(B, 3, H, W)``, or as ``(B, patches, size)`` where ``patch`` >
    0; ``out`` is flat.
    """
    count, high, wide = frames.shape[:3]
    lines = max(patch, 1)
    band = np.empty(lines * 3 * wide, np.float32)
    red = table[0]
    green = table[1]
    blue = table[2]
    for b in range(count):
        for y in range(high):
            row = frames[b, y]
            at = y % lines * 3 * wide
            for x in range(wide):
                band[at + x] = red[row[x, 0]]
                band[at + wide + x] = green[row[x, 1]]
                band[at + 2 * wide + x] = blue[row[x, 2]]
            if y % lines == lines - 1:
                _place(band, y, high, wide, patch, merge, copies, out, len(out) // count * b)


@kernel
def _boards(ids, cells, pitch, canvas, high, wide, top, left, patch, merge, copies, out):
    """The same from the cells of boards: flat ``cells`` ``(cells, pitch, 3, pitch)``, ``canvas``
    ``(H, 3, W)``, normalised.
    """
    count, rows, cols = ids.shape
    lines = max(patch, 1)
    band = np.empty(lines * 3 * wide, np.float32)
    for b in range(count):
        for y in range(high):
            at = y % lines * 3 * wide
            r = (y - top) // pitch
            inner = (y - top) % pitch
            move(band, at, canvas, 3 * wide * y, 3 * wide)
            if 0 <= r < rows:
                for c in range(cols):
                    cell = (ids[b, r, c] * pitch + inner) * 3
                    for channel in range(3):
                        move(
                            band,
                            at + channel * wide + left + c * pitch,
                            cells,
                            (cell + channel) * pitch,
                            pitch,
                        )
            if y % lines == lines - 1:
                _place(band, y, high, wide, patch, merge, copies, out, len(out) // count * b)


# ---- processors
class Order(NamedTuple):
    """How a processor lays out a picture.

    ``patch`` 0: planes ``(3, H, W)``. Else flat patches of the Qwen-VL family: blocks of ``merge``
    x ``merge`` patches in reading order, within a patch channel, ``copies`` (one for each of the
    frames of a still "video"), row, column.
    """

    patch: int = 0
    merge: int = 1
    copies: int = 1


class Pixels:
    """Writes the ``pixel_values`` of one image processor.

    Args:
        processor: an image processor of Transformers.
    """

    def __init__(self, processor: Any) -> None:
        self.processor = processor
        order = [
            getattr(processor, name, 0)
            for name in ("patch_size", "merge_size", "temporal_patch_size")
        ]
        self.order = (
            Order(*(int(n) for n in order))
            if all(isinstance(n, int) and n > 0 for n in order)
            else Order()
        )
        scale = processor.rescale_factor if getattr(processor, "do_rescale", False) else 1.0
        mean = np.zeros(3)
        std = np.ones(3)
        if getattr(processor, "do_normalize", False):
            mean = np.asarray(processor.image_mean, float)
            std = np.asarray(processor.image_std, float)
        self.table = ((np.arange(256) * scale - mean[:, None]) / std[:, None]).astype(np.float32)
        self._tried: dict[tuple[int, int], bool] = {}
        self._extras: dict[tuple[int, int], dict[str, NDArray[Any]]] = {}
        self._kept: dict[bytes, NDArray[np.float32]] = {}
        self._cells: dict[
            int, tuple[Board, NDArray[np.float32], NDArray[np.bool_], NDArray[np.float32]]
        ] = {}

    def exact(self, height: int, width: int) -> bool:
        """Whether pictures of this size come out as from the processor, to :data:`TOLERANCE`; tried
        once a size.
        """
        key = height, width
        if key not in self._tried:
            self._tried[key] = self._divides(height, width) and self._same(height, width)
        return self._tried[key]

    def _divides(self, height: int, width: int) -> bool:
        unit = self.order.patch * self.order.merge
        return unit == 0 or (height % unit == 0 and width % unit == 0)

    def _same(self, height: int, width: int) -> bool:
        from PIL import Image

        probes = np.zeros((2, height, width, 3), np.uint8)
        probes[0] = np.random.default_rng(0).integers(0, 256, probes.shape[1:])
        theirs = self.processor.preprocess(
            [Image.fromarray(one) for one in probes], return_tensors="np"
        )
        theirs = {name: np.asarray(value) for name, value in theirs.items()}
        self._extras[height, width] = {}
        ours = self.frames(probes)
        # such as a count of crops: it must not depend on what is to be seen
        for name in set(theirs) - set(ours):
            if len(theirs[name]) != 2 or not np.array_equal(*theirs[name]):
                return False
            self._extras[height, width][name] = theirs[name][:1]
        return all(
            name in theirs
            and theirs[name].shape == value.shape
            and np.allclose(theirs[name], value, rtol=0, atol=TOLERANCE)
            for name, value in ours.items()
        )

    def _room(
        self, count: int, height: int, width: int, out: NDArray[np.float32] | None = None
    ) -> NDArray[np.float32]:
        patch, _, copies = self.order
        shape = (
            (3, height, width) if not patch else (height * width // patch**2, 3 * copies * patch**2)
        )
        if out is None:
            return np.empty((count, *shape), np.float32)
        if (
            out.dtype != np.float32
            or out.size != count * height * width * 3 * copies
            or not out.flags.c_contiguous
        ):
            raise ConfigError(
                "out", f"{out.shape} {out.dtype}", f"C-contiguous float32 of {(count, *shape)}"
            )
        return out.reshape(count, *shape)

    def _named(
        self, values: NDArray[np.float32], height: int, width: int
    ) -> dict[str, NDArray[Any]]:
        patch = self.order.patch
        count = len(values)
        extras = {
            name: np.repeat(value, count, axis=0)
            for name, value in self._extras.get((height, width), {}).items()
        }
        if not patch:
            return {"pixel_values": values, **extras}
        grid = np.tile(np.array([[1, height // patch, width // patch]], np.int64), (count, 1))
        return {
            "pixel_values": values.reshape(-1, values.shape[2]),
            "image_grid_thw": grid,
            **extras,
        }

    def frames(
        self, frames: NDArray[np.uint8], out: NDArray[np.float32] | None = None
    ) -> dict[str, NDArray[Any]]:
        """Model inputs of pictures ``(B, H, W, 3)`` uint8, whose size is :meth:`exact`.

        Args:
            frames: the pictures.
            out: where ``pixel_values`` are written; a new array by default.

        Raises:
            ConfigError: ``out`` is no C-contiguous float32 array of that many values.
        """
        count, height, width = frames.shape[:3]
        out = self._room(count, height, width, out)
        spread(
            lambda part: _frames(frames[part], self.table, *self.order, out[part].reshape(-1)),
            count,
            out.nbytes,
        )
        return self._named(out, height, width)

    def once(self, pictures: Sequence[tuple[int, int, bytes]]) -> dict[str, NDArray[Any]]:
        """:meth:`frames` of pictures of one size, each different one processed once; those of the
        call before are kept.

        Args:
            pictures: height, width and bytes of each.
        """
        height, width = pictures[0][:2]
        fresh = list(dict.fromkeys(data for *_, data in pictures if data not in self._kept))
        if fresh:
            values = self.frames(
                np.frombuffer(b"".join(fresh), np.uint8).reshape(-1, height, width, 3)
            )["pixel_values"]
            self._kept |= zip(fresh, values.reshape(len(fresh), -1), strict=True)
        self._kept = {data: self._kept[data] for *_, data in pictures}
        shape = self._room(0, height, width).shape[1:]
        return self._named(
            np.stack([self._kept[data] for *_, data in pictures]).reshape(-1, *shape), height, width
        )

    def boards(
        self, game: Game, state: State, look: str | Look, out: NDArray[np.float32] | None = None
    ) -> dict[str, NDArray[Any]]:
        """:meth:`frames` of the pictures of a batch, but from a normalised atlas where cells alone
        make the picture.
        """
        look = get_look(look)
        board = board_of(game, state, look)
        if board is None:
            return self.frames(render(game, state, look), out)
        cells, canvas = self._normalised(board)
        high, _, wide = canvas.shape
        out = self._room(len(state), high, wide, out)
        pitch = cells.shape[1]

        def work(part: slice) -> None:
            place = high, wide, board.top, board.left, *self.order
            _boards(
                board.ids[part],
                cells.reshape(-1),
                pitch,
                canvas.reshape(-1),
                *place,
                out[part].reshape(-1),
            )

        spread(work, len(state), out.nbytes)
        return self._named(out, high, wide)

    def _normalised(self, board: Board) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Cells ``(cells, pitch, 3, pitch)`` and canvas ``(H, 3, W)`` under the table; cells are
        added as they are drawn.
        """
        key = id(board.cells)
        if key not in self._cells:
            pitch = board.cells.shape[1]
            cells = np.empty((len(board.cells), pitch, 3, pitch), np.float32)
            self._cells[key] = board, cells, np.zeros(len(cells), bool), self._lines(board.canvas)
        _, cells, done, canvas = self._cells[key]
        for k in np.flatnonzero(board.drawn & ~done):
            cells[k] = self._lines(board.cells[k])
            done[k] = True
        return cells, canvas

    def _lines(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """``(H, W * 3)`` bytes as ``(H, 3, W)`` normalised."""
        planes = pixels.reshape(len(pixels), -1, 3).transpose(0, 2, 1)
        return np.ascontiguousarray(self.table[np.arange(3)[:, None], planes], np.float32)


def use_pixel_cache(processor: Any) -> Any:
    """Give a Transformers processor the short way, in place: each picture of a call is processed
    once, and fast.

    Its image processor becomes one of a subclass of its own class under the same name, so that it
    saves and loads as before. Calls with other options, mixed sizes or sizes that it would resize
    go the processor's own way.

    Args:
        processor: a processor; one without an ``image_processor`` stays as it is.

    Returns:
        ``processor``.
    """
    image_processor = getattr(processor, "image_processor", None)
    if image_processor is None or isinstance(getattr(image_processor, "pixels", None), Pixels):
        return processor
    kind = type(image_processor)

    class Quick(kind):  # type: ignore[misc, valid-type]
        def preprocess(self, images: Any, *args: Any, **options: Any) -> Any:
            tensors = options.get("return_tensors")
            others = {
                k: v
                for k, v in options.items()
                if k != "return_tensors" and v is not None and getattr(self, k, None) != v
            }
            frames = None if args or others else _bytes_of(images)
            if frames is None or not pixels.exact(*frames[0][:2]):
                return kind.preprocess(self, images, *args, **options)
            from transformers import BatchFeature

            return BatchFeature(pixels.once(frames), tensor_type=tensors)

        def to_dict(self) -> dict[str, Any]:
            values: dict[str, Any] = super().to_dict()
            values.pop("pixels", None)
            return values

    Quick.__name__, Quick.__qualname__, Quick.__module__ = (
        kind.__name__,
        kind.__qualname__,
        kind.__module__,
    )
    pixels = Pixels(copy.copy(image_processor))
    image_processor.__class__ = Quick
    image_processor.pixels = pixels
    return processor


def _bytes_of(images: Any) -> list[tuple[int, int, bytes]] | None:
    """Height, width and bytes of pictures that are all RGB and of one size; None for anything
    else.
    """
    from PIL import Image

    flat: list[Any] = []
    waiting = [images]
    while waiting:
        one = waiting.pop()
        if isinstance(one, (list, tuple)):
            waiting += reversed(one)
        else:
            flat.append(one)
    fine = flat and all(
        isinstance(one, Image.Image) and one.mode == "RGB" and one.size == flat[0].size
        for one in flat
    )
    return [(one.height, one.width, one.tobytes()) for one in flat] if fine else None
