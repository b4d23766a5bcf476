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
from functools import lru_cache
from pathlib import Path

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
    "train": tuple(f"data_batch_{n}.bin" for n in range(1, 6)),
    "test": ("test_batch.bin",),
}


@lru_cache(4)
def cifar_photographs(path: str, _changed: int, names: tuple[str, ...]) -> Photographs:
    """The photographs of CIFAR-10, from its archive or its unpacked folder.

    Raises:
        PhotoError: it is damaged, or lacks a class.
    """
    classes = PICTURE_CLASSES["cifar10"]
    strange = [name for name in names if name not in classes]
    if strange:
        raise PhotoError(
            f"{path}: CIFAR-10 has no class {strange[0]!r}; it has {', '.join(classes)}"
        )
    wanted = [classes.index(name) for name in names]
    pictures = {}
    places = {}
    data = _cifar_files(path)
    for part, files in CIFAR_FILES.items():
        records = np.concatenate([_records(path, file, data[file]) for file in files])
        pictures[part] = records[:, 1:].reshape(-1, 3, CIFAR_SIDE, CIFAR_SIDE)
        places[part] = [np.flatnonzero(records[:, 0] == k) for k in wanted]
    counts = {part: tuple(len(p) for p in places[part]) for part in PARTS}
    refuse_empty(path, names, counts)

    def load(part: str, kind: int, number: int) -> Image.Image:
        return Image.fromarray(
            np.ascontiguousarray(pictures[part][places[part][kind][number]].transpose(1, 2, 0))
        )

    return Photographs(names, counts, load)


class _Bounded(io.RawIOBase):
    """What is read of a file, until it is more than CIFAR-10 can be."""

    def __init__(self, file: io.BufferedReader | gzip.GzipFile) -> None:
        self.file = file
        self.left = CIFAR_BYTES

    def read(self, size: int = -1) -> bytes:
        data = self.file.read(min(size, self.left + 1) if size >= 0 else self.left + 1)
        self.left -= len(data)
        if self.left < 0:
            raise OSError(f"it unpacks to more than {CIFAR_BYTES} bytes")
        return data


def _cifar_files(path: str) -> dict[str, bytes]:
    """The files of CIFAR-10's binary version, by name, from its archive (tar, packed with gzip or
    not) or the unpacked folder.
    """
    wanted = {name for names in CIFAR_FILES.values() for name in names}
    most = CIFAR_RECORDS * CIFAR_RECORD
    found: dict[str, bytes] = {}
    try:
        if Path(path).is_dir():
            for name in sorted(wanted):
                if (Path(path) / name).exists():
                    with open_regular(Path(path) / name) as file:
                        found[name] = file.read(most + 1)
        else:
            with open_regular(Path(path)) as file:
                packed = file.read(2) == b"\x1f\x8b"
                file.seek(0)
                stream = _Bounded(gzip.GzipFile(fileobj=file) if packed else file)
                with tarfile.open(fileobj=stream, mode="r|") as archive:
                    for member in archive:
                        name = Path(member.name).name
                        if member.isfile() and name in wanted:
                            if name in found:
                                raise OSError(f"{name} is in it twice")
                            if member.size > most:
                                raise OSError(f"{name} has {member.size} bytes; {most} are right")
                            found[name] = archive.extractfile(member).read()  # type: ignore[union-attr]
    except (OSError, EOFError, ValueError, OverflowError, zlib.error, tarfile.TarError) as error:
        raise PhotoError(
            f"{path}: no readable archive of CIFAR-10's binary version ({error})"
        ) from error
    for name in sorted(wanted - set(found)):
        raise PhotoError(
            f"{path}: no {name} in it; the binary version of CIFAR-10 is needed ({CIFAR_URL})"
        )
    return found


def _records(path: str, name: str, data: bytes) -> NDArray[np.uint8]:
    """The records of a file, ``(n, 3073)``: a label, then the red, green and blue planes."""
    records = np.frombuffer(data, np.uint8)
    if (
        not len(records)
        or len(records) % CIFAR_RECORD
        or len(records) > CIFAR_RECORDS * CIFAR_RECORD
    ):
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
    number, name = tempfile.mkstemp(".part", target.name, folder)
    part = Path(name)
    digest = hashlib.md5(usedforsecurity=False)
    whole = 0
    try:
        with urllib.request.urlopen(url, timeout=60) as answer, os.fdopen(number, "wb") as file:
            length = answer.headers.get("Content-Length", "")
            size = (
                int(length) if length.isascii() and length.isdigit() and len(length) < 16 else None
            )
            with tqdm(
                total=size,
                desc=target.name,
                unit="B",
                unit_scale=True,
                file=sys.stderr,
                disable=not progress,
            ) as bar:
                while block := answer.read(io.DEFAULT_BUFFER_SIZE * 16):
                    whole += len(block)
                    if whole > CIFAR_BYTES:
                        raise OSError(f"more than {CIFAR_BYTES} bytes")
                    file.write(block)
                    digest.update(block)
                    bar.update(len(block))
        if digest.hexdigest() != md5:
            raise PhotoError(f"{url}: its MD5 is {digest.hexdigest()}, not {md5}; nothing was kept")
        part.chmod(0o644)
        part.replace(target)
    except (OSError, http.client.HTTPException) as error:
        raise PhotoError(f"{url}: cannot be downloaded ({error})") from error
    finally:
        part.unlink(missing_ok=True)
    return target


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
