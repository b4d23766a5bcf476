"""Frames, or boards, to a model's ``pixel_values`` without its image processor.

Most processors resize, rescale, normalise and order a picture. Where the resizing changes nothing,
what is left is a table of 256 values a channel and a fixed order of the values, so that pictures
can be written straight into the model's input. Whether that is so is not guessed from names: each
size is tried once against the processor itself, which is used wherever the two differ.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vlmgym.core import ConfigError, Game, State
from vlmgym.core.threads import spread
from vlmgym.render.frames import Board, board_of, render
from vlmgym.render.looks import Look, get_look
from vlmgym.render.pixel_order import Order, write_boards, write_frames

TOLERANCE = 1e-5
"""Largest difference between a pixel value written here and the processor's own."""


class Normalised(NamedTuple):
    """The parts of a board's pictures as a processor would normalise them."""

    board: Board  # keeps its cells alive, by whose id this is found
    cells: NDArray[np.float32]  # (cells, pitch, 3, pitch)
    done: NDArray[np.bool_]  # (cells,) those that were drawn, and are normalised
    canvas: NDArray[np.float32]  # (H, 3, W)


class Pixels:
    """Writes the ``pixel_values`` of one image processor.

    Args:
        processor: an image processor of Transformers.
    """

    def __init__(self, processor: Any) -> None:
        self.processor = processor
        self.order = _order_of(processor)
        self.table = _table_of(processor)
        self._exact: dict[tuple[int, int], bool] = {}
        self._extras: dict[tuple[int, int], dict[str, NDArray[Any]]] = {}
        self._values: dict[bytes, NDArray[np.float32]] = {}
        self._normalised: dict[int, Normalised] = {}

    def exact(self, height: int, width: int) -> bool:
        """Whether pictures of this size come out as from the processor, to :data:`TOLERANCE`; tried
        once a size.
        """
        size = height, width
        if size not in self._exact:
            self._exact[size] = self._divides(height, width) and self._equals(height, width)
        return self._exact[size]

    def _divides(self, height: int, width: int) -> bool:
        """Whether pictures of this size are a whole number of blocks of patches."""
        block = self.order.patch * self.order.merge
        return block == 0 or (height % block == 0 and width % block == 0)

    def _equals(self, height: int, width: int) -> bool:
        """Whether the values of two pictures, one black, are those of the processor."""
        from PIL import Image

        probes = np.zeros((2, height, width, 3), np.uint8)
        probes[0] = np.random.default_rng(0).integers(0, 256, probes.shape[1:])
        images = [Image.fromarray(probe) for probe in probes]
        inputs = self.processor.preprocess(images, return_tensors="np")
        theirs = {name: np.asarray(value) for name, value in inputs.items()}
        self._extras[height, width] = {}
        written = self.frames(probes)
        # such as a count of crops: it must not depend on what is to be seen
        for name in set(theirs) - set(written):
            extra = theirs[name]
            if len(extra) != 2 or not np.array_equal(*extra):
                return False
            self._extras[height, width][name] = extra[:1]
        return all(
            name in theirs
            and theirs[name].shape == value.shape
            and np.allclose(theirs[name], value, rtol=0, atol=TOLERANCE)
            for name, value in written.items()
        )

    def _buffer(
        self, count: int, height: int, width: int, out: NDArray[np.float32] | None = None
    ) -> NDArray[np.float32]:
        """``out``, if it can hold the values of so many pictures; a new array for None."""
        if not self._divides(height, width):
            block = self.order.patch * self.order.merge
            raise ConfigError("size", f"{height} x {width}", f"multiples of {block} pixels")
        shape = (count, *self.order.shape(height, width))
        if out is None:
            return np.empty(shape, np.float32)
        size = count * height * width * 3 * self.order.copies
        if out.dtype != np.float32 or out.size != size or not out.flags.c_contiguous:
            raise ConfigError("out", f"{out.shape} {out.dtype}", f"C-contiguous float32 of {shape}")
        return out.reshape(shape)

    def _inputs(
        self, values: NDArray[np.float32], height: int, width: int
    ) -> dict[str, NDArray[Any]]:
        """Values by the names that the processor gives them, with its further inputs."""
        patch = self.order.patch
        count = len(values)
        extras = {}
        for name, value in self._extras.get((height, width), {}).items():
            extras[name] = np.repeat(value, count, axis=0)
        if not patch:
            return {"pixel_values": values, **extras}
        grid = np.array([[1, height // patch, width // patch]], np.int64)
        return {
            "pixel_values": values.reshape(-1, values.shape[2]),
            "image_grid_thw": np.tile(grid, (count, 1)),
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
            ConfigError: ``out`` is no C-contiguous float32 array of that many values, or the
                pictures are no whole number of the model's patches.
        """
        count, height, width = frames.shape[:3]
        values = self._buffer(count, height, width, out)

        def write(chunk: slice) -> None:
            write_frames(frames[chunk], self.table, self.order, values[chunk].reshape(-1))

        spread(write, count, values.nbytes)
        return self._inputs(values, height, width)

    def once(self, pictures: Sequence[tuple[int, int, bytes]]) -> dict[str, NDArray[Any]]:
        """:meth:`frames` of pictures of one size, each different one processed once; those of the
        call before are kept.

        Args:
            pictures: height, width and bytes of each.
        """
        height, width = pictures[0][:2]
        contents = [content for *_, content in pictures]
        different = dict.fromkeys(contents)
        missing = [content for content in different if content not in self._values]
        if missing:
            pixels = np.frombuffer(b"".join(missing), np.uint8)
            frames = pixels.reshape(-1, height, width, 3)
            values = self.frames(frames)["pixel_values"].reshape(len(missing), -1)
            self._values |= zip(missing, values, strict=True)
        self._values = {content: self._values[content] for content in contents}
        stacked = np.stack([self._values[content] for content in contents])
        shape = self.order.shape(height, width)
        return self._inputs(stacked.reshape(-1, *shape), height, width)

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
        normalised = self._normalise(board)
        cells = normalised.cells
        canvas = normalised.canvas
        height, _, width = canvas.shape
        values = self._buffer(len(state), height, width, out)
        corner = board.top, board.left

        def write(chunk: slice) -> None:
            flat = values[chunk].reshape(-1)
            write_boards(board.ids[chunk], cells, canvas, corner, self.order, flat)

        spread(write, len(state), values.nbytes)
        return self._inputs(values, height, width)

    def _normalise(self, board: Board) -> Normalised:
        """Cells and canvas under the table; cells are added as they are drawn."""
        key = id(board.cells)
        if key not in self._normalised:
            count, pitch = board.cells.shape[:2]
            cells = np.empty((count, pitch, 3, pitch), np.float32)
            done = np.zeros(count, bool)
            self._normalised[key] = Normalised(board, cells, done, self._planes(board.canvas))
        normalised = self._normalised[key]
        for cell in np.flatnonzero(board.drawn & ~normalised.done):
            normalised.cells[cell] = self._planes(board.cells[cell])
            normalised.done[cell] = True
        return normalised

    def _planes(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """``(H, W * 3)`` bytes as ``(H, 3, W)`` normalised."""
        planes = pixels.reshape(len(pixels), -1, 3).transpose(0, 2, 1)
        return np.ascontiguousarray(self.table[np.arange(3)[:, None], planes], np.float32)


def _order_of(processor: Any) -> Order:
    """The order that a processor's settings speak of."""
    names = ("patch_size", "merge_size", "temporal_patch_size")
    sizes = [getattr(processor, name, 0) for name in names]
    if all(isinstance(size, int) and size > 0 for size in sizes):
        return Order(*map(int, sizes))
    return Order()


def _table_of(processor: Any) -> NDArray[np.float32]:
    """The value of each byte in each channel, ``(3, 256)``, as a processor's settings have it."""
    scale = processor.rescale_factor if getattr(processor, "do_rescale", False) else 1.0
    means = np.zeros(3)
    deviations = np.ones(3)
    if getattr(processor, "do_normalize", False):
        means = np.asarray(processor.image_mean, float)
        deviations = np.asarray(processor.image_std, float)
    values = (np.arange(256) * scale - means[:, None]) / deviations[:, None]
    return values.astype(np.float32)


def use_pixel_cache(processor: Any) -> Any:
    """Let a Transformers processor write ``pixel_values`` through :class:`Pixels`, in place: each
    picture of a call is processed once, and fast.

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
    image_processor_class = type(image_processor)

    class Quick(image_processor_class):  # type: ignore[misc, valid-type]
        def preprocess(self, images: Any, *args: Any, **options: Any) -> Any:
            tensor_type = options.get("return_tensors")
            pictures = None
            if not args and _are_usual(options, self):
                pictures = _pictures_of(images)
            if pictures is None or not pixels.exact(*pictures[0][:2]):
                return image_processor_class.preprocess(self, images, *args, **options)
            from transformers import BatchFeature

            return BatchFeature(pixels.once(pictures), tensor_type=tensor_type)

        def to_dict(self) -> dict[str, Any]:
            values: dict[str, Any] = super().to_dict()
            values.pop("pixels", None)
            return values

    Quick.__name__ = image_processor_class.__name__
    Quick.__qualname__ = image_processor_class.__qualname__
    Quick.__module__ = image_processor_class.__module__
    pixels = Pixels(copy.copy(image_processor))
    image_processor.__class__ = Quick
    image_processor.pixels = pixels
    return processor


def _are_usual(options: dict[str, Any], image_processor: Any) -> bool:
    """Whether the options of a call are those that the processor has anyway."""
    for name, value in options.items():
        if name == "return_tensors" or value is None:
            continue
        if getattr(image_processor, name, None) != value:
            return False
    return True


def _pictures_of(images: Any) -> list[tuple[int, int, bytes]] | None:
    """Height, width and bytes of pictures that are all RGB and of one size; None for anything
    else.
    """
    from PIL import Image

    flat: list[Any] = []
    waiting = [images]
    while waiting:
        image = waiting.pop()
        if isinstance(image, (list, tuple)):
            waiting += reversed(image)
        else:
            flat.append(image)
    if not flat:
        return None
    pictures = []
    for image in flat:
        if not isinstance(image, Image.Image) or image.mode != "RGB" or image.size != flat[0].size:
            return None
        pictures.append((image.height, image.width, image.tobytes()))
    return pictures
