"""CIFAR-10 as a source of photographs, and its download."""

from __future__ import annotations

import gzip
import hashlib
import http.client
import io
import os
import sys
import tarfile
import tempfile
import urllib.request
import zlib
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vlmgym.core.files import open_regular
from vlmgym.games.parts.tile_kinds import PICTURE_CLASSES
from vlmgym.render.sources import PARTS, PhotoError, Photographs, data_folder, refuse_empty

CIFAR_URL = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
CIFAR_MD5 = "c32a1d4ab5d03f1284b67883e8d13530"
"""Checksum that the page of the data set states for its binary version."""
CIFAR_SIDE = 32
CIFAR_RECORD = 1 + 3 * 32 * 32
CIFAR_RECORDS = 10_000
CIFAR_BYTES = 200_000_000
"""Records of a file, and bytes of the whole data set, packed or unpacked, at most."""
CIFAR_FILES = {
    "train": tuple(f"data_batch_{number}.bin" for number in range(1, 6)),
    "test": ("test_batch.bin",),
}
FILE_NAMES = sorted(name for names in CIFAR_FILES.values() for name in names)
FILE_BYTES = CIFAR_RECORDS * CIFAR_RECORD


@lru_cache(4)
def cifar_photographs(path: str, _changed: int, names: tuple[str, ...]) -> Photographs:
    """The photographs of CIFAR-10, from its archive or its unpacked folder.

    Raises:
        PhotoError: it is damaged, or lacks a class.
    """
    classes = PICTURE_CLASSES["cifar10"]
    unknown = [name for name in names if name not in classes]
    if unknown:
        allowed = ", ".join(classes)
        raise PhotoError(f"{path}: CIFAR-10 has no class {unknown[0]!r}; it has {allowed}")
    labels = [classes.index(name) for name in names]
    pictures = {}  # by part: (n, 3, 32, 32) uint8
    numbers = {}  # by part, for each class: the numbers of its pictures
    contents = _cifar_files(path)
    for part, files in CIFAR_FILES.items():
        records = np.concatenate([_records(path, file, contents[file]) for file in files])
        pictures[part] = records[:, 1:].reshape(-1, 3, CIFAR_SIDE, CIFAR_SIDE)
        numbers[part] = [np.flatnonzero(records[:, 0] == label) for label in labels]
    counts = {part: tuple(map(len, numbers[part])) for part in PARTS}
    refuse_empty(path, names, counts)

    def load(part: str, class_index: int, number: int) -> Image.Image:
        planes = pictures[part][numbers[part][class_index][number]]
        return Image.fromarray(np.ascontiguousarray(planes.transpose(1, 2, 0)))

    return Photographs(names, counts, load)


class _Bounded(io.RawIOBase):
    """What is read of a file, until it is more than CIFAR-10 can be."""

    def __init__(self, file: io.BufferedReader | gzip.GzipFile) -> None:
        self.file = file
        self.left = CIFAR_BYTES

    def read(self, size: int = -1) -> bytes:
        too_many = self.left + 1
        data = self.file.read(min(size, too_many) if size >= 0 else too_many)
        self.left -= len(data)
        if self.left < 0:
            raise OSError(f"it unpacks to more than {CIFAR_BYTES} bytes")
        return data


def _cifar_files(path: str) -> dict[str, bytes]:
    """The files of CIFAR-10's binary version, by name, from its archive (tar, packed with gzip or
    not) or the unpacked folder.
    """
    try:
        files = _unpacked_files(Path(path)) if Path(path).is_dir() else _packed_files(Path(path))
    except (OSError, EOFError, ValueError, OverflowError, zlib.error, tarfile.TarError) as error:
        raise PhotoError(
            f"{path}: no readable archive of CIFAR-10's binary version ({error})"
        ) from error
    for name in FILE_NAMES:
        if name not in files:
            raise PhotoError(
                f"{path}: no {name} in it; the binary version of CIFAR-10 is needed ({CIFAR_URL})"
            )
    return files


def _unpacked_files(folder: Path) -> dict[str, bytes]:
    """The files that are in a folder, each read up to one byte more than are right."""
    files: dict[str, bytes] = {}
    for name in FILE_NAMES:
        if (folder / name).exists():
            with open_regular(folder / name) as file:
                files[name] = file.read(FILE_BYTES + 1)
    return files


def _packed_files(archive_path: Path) -> dict[str, bytes]:
    """The files that are in an archive.

    Raises:
        OSError: one is there twice, or too large; tarfile and zlib have further errors.
    """
    files: dict[str, bytes] = {}
    with open_regular(archive_path) as file:
        is_gzip = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        stream = _Bounded(gzip.GzipFile(fileobj=file) if is_gzip else file)
        with tarfile.open(fileobj=stream, mode="r|") as archive:
            for member in archive:
                name = Path(member.name).name
                if not member.isfile() or name not in FILE_NAMES:
                    continue
                if name in files:
                    raise OSError(f"{name} is in it twice")
                if member.size > FILE_BYTES:
                    raise OSError(f"{name} has {member.size} bytes; {FILE_BYTES} are right")
                content = archive.extractfile(member)
                files[name] = content.read()  # type: ignore[union-attr]
    return files


def _records(path: str, name: str, data: bytes) -> NDArray[np.uint8]:
    """The records of a file, ``(n, 3073)``: a label, then the red, green and blue planes."""
    records = np.frombuffer(data, np.uint8)
    if not len(records) or len(records) % CIFAR_RECORD or len(records) > FILE_BYTES:
        allowed = f"1 to {CIFAR_RECORDS} records of {CIFAR_RECORD}"
        raise PhotoError(
            f"{path}: {name} has {len(records)} bytes, no multiple of {CIFAR_RECORD}, or too many: "
            f"allowed are {allowed}"
        )
    records = records.reshape(-1, CIFAR_RECORD)
    if records[:, 0].max() > 9:
        raise PhotoError(f"{path}: {name} has the label {records[:, 0].max()}; allowed are 0 to 9")
    return records


def fetch_cifar10(
    url: str = CIFAR_URL, md5: str = CIFAR_MD5, folder: Path | None = None, progress: bool = True
) -> Path:
    """Download CIFAR-10's binary archive (170 MB) and check it; an earlier good download is kept.

    Args:
        url: of the archive.
        md5: its checksum, in hexadecimal digits.
        folder: where to; by default :func:`data_folder`.
        progress: show a bar on standard error.

    Returns:
        The path of the archive.

    Raises:
        PhotoError: the server cannot be reached, or sends something else or more than
            :data:`CIFAR_BYTES`.
    """
    from tqdm import tqdm

    folder = folder or data_folder()
    target = folder / Path(url).name
    if target.is_file() and _md5(target) == md5:
        return target
    folder.mkdir(parents=True, exist_ok=True)
    descriptor, partial_name = tempfile.mkstemp(".part", target.name, folder)
    partial = Path(partial_name)
    try:
        with (
            urllib.request.urlopen(url, timeout=60) as response,
            os.fdopen(descriptor, "wb") as file,
        ):
            bar = tqdm(
                total=_content_length(response),
                desc=target.name,
                unit="B",
                unit_scale=True,
                file=sys.stderr,
                disable=not progress,
            )
            with bar:
                digest = _download(response, file, bar.update)
        if digest != md5:
            raise PhotoError(f"{url}: its MD5 is {digest}, not {md5}; nothing was kept")
        partial.chmod(0o644)
        partial.replace(target)
    except (OSError, http.client.HTTPException) as error:
        raise PhotoError(f"{url}: cannot be downloaded ({error})") from error
    finally:
        partial.unlink(missing_ok=True)
    return target


def _content_length(response: Any) -> int | None:
    """The bytes that a server announces; None where it says nothing of use."""
    length = response.headers.get("Content-Length", "")
    is_number = length.isascii() and length.isdigit() and len(length) < 16
    return int(length) if is_number else None


def _download(response: Any, file: BinaryIO, advance: Callable[[int], Any]) -> str:
    """Write a response to a file; returns its MD5 in hexadecimal digits.

    Raises:
        OSError: there is more than CIFAR-10 can be.
    """
    digest = hashlib.md5(usedforsecurity=False)
    size = 0
    while block := response.read(io.DEFAULT_BUFFER_SIZE * 16):
        size += len(block)
        if size > CIFAR_BYTES:
            raise OSError(f"more than {CIFAR_BYTES} bytes")
        file.write(block)
        digest.update(block)
        advance(len(block))
    return digest.hexdigest()


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
