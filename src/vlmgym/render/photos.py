"""Photographs for tiles: the bundled handwritten digits, CIFAR-10, or any folder of class folders;
train and test apart.
"""

from __future__ import annotations

import hashlib
import io
import os
import warnings
from collections.abc import Iterator, Sequence
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from vlmgym.core import Game, Level
from vlmgym.core.files import open_regular
from vlmgym.games.parts.tile_kinds import PICTURE_CLASSES, photo_classes
from vlmgym.render.cifar import CIFAR_URL, FILE_NAMES, cifar_photographs
from vlmgym.render.looks import Look
from vlmgym.render.sources import (
    PARTS,
    PhotoError,
    Photographs,
    data_folder,
    expanded,
    refuse_empty,
)

TEST_SHARE = 5
"""One picture in five is of the test part, where a source has no parts of its own."""
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
FORMATS = ("PNG", "JPEG", "WEBP", "BMP")
MOST_PIXELS = 50_000_000
"""Pixels of a photograph: a larger one is refused before it is unpacked."""
MOST_DEEP = 100
"""Folders within one another in which photographs are looked for."""


def check(game: Game, level: Level, look: Look) -> None:
    """See that a look's photographs are there, before anything is drawn; nothing to do for games
    without any.

    Raises:
        PhotoError: see :func:`photographs`.
    """
    scene = game.sample(level)
    if scene.kind == "photo":
        photographs(look.photos, photo_classes(scene.names))


def photographs(source: str, names: Sequence[str]) -> Photographs:
    """The photographs of a source for the classes ``names``.

    Args:
        source: ``auto`` (by the class names: the bundled digits, or the downloaded CIFAR-10), or
            the path of a CIFAR-10 binary archive, of its unpacked folder, or of a folder with one
            folder of pictures a class (which may lie in folders ``train`` and ``test``). Hidden
            folders are not looked into; everything else that is called like a picture must be one:
            PNG, JPEG, WebP or BMP, a regular file within the folder, of 50 megapixels at most.
        names: class names, in the order of the symbols.

    Raises:
        PhotoError: there is no such source, it is damaged, or a class has no picture in one of the
            parts.
    """
    names = tuple(names)
    for name in names:
        if not name or name.startswith(".") or set(name) & set("/\\\0"):
            raise PhotoError(
                f"a class of photographs is called {name!r}: allowed is the name of a folder in "
                "that of the photographs"
            )
    if source == "auto":
        data_set = _data_set_of(names)
        if data_set == "digits":
            return _digits()
        if data_set != "cifar10":
            raise PhotoError(
                f"Look.photos = 'auto': the classes {', '.join(names)} need the path "
                "of a folder of class folders"
            )
        path = data_folder() / Path(CIFAR_URL).name
        if not path.exists():
            raise PhotoError(
                f"no CIFAR-10 at {path}: run `vlmgym photos cifar10`, or give Look.photos the "
                "path of the archive"
            )
        source = str(path)
    path = _real_path(source)
    try:
        if path.is_file() or any((path / name).exists() for name in FILE_NAMES):
            return cifar_photographs(str(path), path.stat().st_mtime_ns, names)
        return _folders(str(path), names)
    except OSError as error:  # a folder that may be listed and not entered, say
        raise PhotoError(f"{error.filename or path}: cannot be read ({_reason(error)})") from error


def _data_set_of(names: tuple[str, ...]) -> str:
    """The known data set that has exactly these classes, or nothing."""
    for data_set, classes in PICTURE_CLASSES.items():
        if classes == names:
            return data_set
    return ""


def _real_path(source: str) -> Path:
    """The file or folder that a source is the path of, links followed."""
    try:
        path = Path(os.path.realpath(expanded(source), strict=True))
    except FileNotFoundError as error:
        raise PhotoError(f"Look.photos = {source!r}: there is no such file or folder") from error
    except (OSError, ValueError) as error:
        if isinstance(error, PhotoError):
            raise
        raise PhotoError(f"Look.photos = {source!r}: cannot be read ({_reason(error)})") from error
    if not (path.is_file() or path.is_dir()):
        raise PhotoError(f"Look.photos = {source!r}: a pipe or device, allowed is a file or folder")
    return path


def part_of(digests: Sequence[bytes]) -> list[str]:
    """The part of each picture of a class, by the digest of its content: equal pictures are in one
    part, and both hold some.

    The different digests are ordered; the first fifth, at least one, is the test part.
    """
    different = sorted(set(digests))
    test_count = max(1, len(different) // TEST_SHARE)
    test = set(different[:test_count])
    return ["test" if digest in test else "train" for digest in digests]


def _hash() -> Any:
    """What tells contents apart, and orders them."""
    return hashlib.blake2b(digest_size=16)


Item = TypeVar("Item")


def _by_part(items: Sequence[Item], digests: Sequence[bytes]) -> dict[str, list[Item]]:
    """The pictures of a class, by the part that :func:`part_of` puts each into."""
    split: dict[str, list[Item]] = {part: [] for part in PARTS}
    if items:
        for item, part in zip(items, part_of(digests), strict=True):
            split[part].append(item)
    return split


@lru_cache(1)
def _digits() -> Photographs:
    with (resources.files("vlmgym.render") / "assets" / "digits.png").open("rb") as file:
        sheet = np.asarray(Image.open(file))
    rows = sheet.reshape(10, 8, -1, 8).transpose(0, 2, 1, 3)  # a row of 8 x 8 pictures a digit
    pictures: dict[str, list[list[NDArray[np.uint8]]]] = {part: [] for part in PARTS}
    for row in rows:
        digits = [digit for digit in row if digit.min() < 255]  # the end of a row may be blank
        digests = [hashlib.blake2b(digit.tobytes(), digest_size=16).digest() for digit in digits]
        for part, of_part in _by_part(digits, digests).items():
            pictures[part].append(of_part)

    def load(part: str, class_index: int, number: int) -> Image.Image:
        return Image.fromarray(255 - pictures[part][class_index][number])  # dark ink on white paper

    counts = {part: tuple(map(len, pictures[part])) for part in PARTS}
    return Photographs(PICTURE_CLASSES["digits"], counts, load)


@lru_cache(4)
def _folders(path: str, names: tuple[str, ...]) -> Photographs:
    root = Path(path)
    files: dict[str, list[list[Path]]] = {part: [] for part in PARTS}
    has_parts = all((root / part).is_dir() for part in PARTS)
    for name in names:
        if has_parts:
            split = {part: list(_pictures(root, root / part / name)) for part in PARTS}
            _refuse_in_both(path, name, split)
        else:
            pictures = list(_pictures(root, root / name))
            split = _by_part(pictures, [_digest(picture) for picture in pictures])
        for part in PARTS:
            files[part].append(split[part])
    counts = {part: tuple(map(len, files[part])) for part in PARTS}
    refuse_empty(path, names, counts)

    def load(part: str, class_index: int, number: int) -> Image.Image:
        picture = _read_picture(files[part][class_index][number])
        side = min(picture.size)
        left = (picture.width - side) // 2
        top = (picture.height - side) // 2
        return picture.crop((left, top, left + side, top + side))

    return Photographs(names, counts, load)


def _refuse_in_both(path: str, name: str, split: dict[str, list[Path]]) -> None:
    """See that no picture of a class is in both parts.

    Raises:
        PhotoError: one is.
    """
    train, test = ({_digest(picture) for picture in split[part]} for part in PARTS)
    in_both = train & test
    if in_both:
        raise PhotoError(
            f"{path}: {len(in_both)} pictures of the class {name!r} are in train and in test"
        )


def _pictures(root: Path, folder: Path) -> Iterator[Path]:
    """What is called like a picture in a class folder and the folders in it, in the order of names.

    Raises:
        PhotoError: one of them is hidden, no regular file, or a link that leads out of the source.
    """
    if folder.is_symlink() and folder.is_dir():
        raise PhotoError(f"{folder}: a link to a folder; allowed is the folder itself")
    if not folder.is_dir():
        return
    try:
        paths = sorted(folder.iterdir())
    except OSError as error:
        raise PhotoError(f"{folder}: cannot be read ({error.strerror})") from error
    for path in paths:
        hidden = path.name.startswith(".")
        if path.suffix.lower() not in SUFFIXES:
            if path.is_dir() and not hidden:
                if len(path.parts) - len(root.parts) > MOST_DEEP:
                    raise PhotoError(
                        f"{path}: lies deeper than the {MOST_DEEP} folders in {root} that are "
                        "allowed"
                    )
                yield from _pictures(root, path)
            continue
        if hidden:
            raise PhotoError(
                f"{path}: a hidden file that is called like a picture, as other systems leave them "
                "behind: delete it"
            )
        if path.is_symlink() and not Path(os.path.realpath(path)).is_relative_to(root):
            raise PhotoError(
                f"{path}: a link that leads out of the folder of photographs; allowed is the "
                "file itself"
            )
        yield path


def _digest(file: Path) -> bytes:
    """The digest of a picture's file; its head is looked at as well, so that what is no picture is
    said at once.
    """
    try:
        with open_regular(file) as stream:
            _open(stream)
            stream.seek(0)
            return hashlib.file_digest(stream, _hash).digest()
    except Exception as error:  # a decoder of damaged bytes may raise anything
        raise PhotoError(f"{file}: no readable picture ({_reason(error)})") from error


def _open(file: io.BufferedReader) -> Image.Image:
    """A picture whose pixels are not unpacked yet, of an allowed format and size."""
    with warnings.catch_warnings():
        # of its size, which is looked at here, and of damaged notes
        warnings.simplefilter("ignore")
        picture = Image.open(file, formats=FORMATS)
    if picture.width * picture.height > MOST_PIXELS:
        raise ValueError(f"{picture.width} x {picture.height} pixels, allowed are {MOST_PIXELS}")
    return picture


def _read_picture(file: Path) -> Image.Image:
    """A picture as people see it: upright, in RGB, on white where it is transparent.

    Raises:
        PhotoError: it is damaged, too large, or of another format.
    """
    try:
        with open_regular(file) as stream, _open(stream) as picture, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            picture.load()
            upright = ImageOps.exif_transpose(picture)
            if upright.mode.startswith("I"):  # 16 bits of grey, which Pillow would cut at 255
                grey = np.asarray(upright).astype(np.int64)
                clear = grey == upright.info.get("transparency", -1)
                on_white = np.where(clear, 255, grey >> 8).clip(0, 255)
                return Image.fromarray(on_white.astype(np.uint8)).convert("RGB")
            if upright.has_transparency_data:
                ground = Image.new("RGBA", upright.size, "white")
                return Image.alpha_composite(ground, upright.convert("RGBA")).convert("RGB")
            return upright.convert("RGB")
    except Exception as error:  # a decoder of damaged bytes may raise anything
        raise PhotoError(f"{file}: no readable picture ({_reason(error)})") from error


def _reason(error: Exception) -> str:
    """What is wrong with a file, in a few words."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if isinstance(error, Image.DecompressionBombError):
        return f"more than {MOST_PIXELS} pixels"
    if isinstance(error, UnidentifiedImageError):
        return f"its content is none of {', '.join(FORMATS)}"
    return " ".join(str(error).split()) or type(error).__name__
