"""Photographs for tiles: the bundled handwritten digits, CIFAR-10, or any folder of class folders; train and test apart."""

from __future__ import annotations

import hashlib
import io
import os
import sys
import tarfile
import urllib.request
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vlmgym.core import VlmGymError, mix_array
from vlmgym.games.tiles import PICTURE_CLASSES

PARTS = ("train", "test")
TEST_SHARE = 5
"""One picture in five is of the test part, where a source has no parts of its own."""
CIFAR_URL = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
CIFAR_MD5 = "c32a1d4ab5d03f1284b67883e8d13530"
"""Checksum that the page of the data set states for its binary version."""
CIFAR_SIDE, CIFAR_RECORD = 32, 1 + 3 * 32 * 32
CIFAR_FILES = {"train": tuple(f"data_batch_{n}.bin" for n in range(1, 6)), "test": ("test_batch.bin",)}
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")


class PhotoError(VlmGymError, ValueError):
    """A source of photographs that is missing, damaged, or lacks a class; the message says which and what to do."""


@dataclass(frozen=True)
class Photographs:
    """The pictures of some classes in two disjoint parts."""

    names: tuple[str, ...]
    counts: dict[str, tuple[int, ...]]  # by part: pictures of each class
    load: Callable[[str, int, int], Image.Image]  # (part, class, number) -> a grey or RGB picture

    def choose(self, test: NDArray[np.bool_], kinds: NDArray[Any], variants: NDArray[np.int32], most: int) -> NDArray[np.int64]:
        """The numbers of the pictures that ``variants`` stand for, each below ``most`` and its class's count.

        A variant is ``16 * luck + copy``. Under one luck, the copies 0 .. 15 of a class are different pictures as long as
        there are that many: they are steps of a stride without common divisor with the count.

        Args:
            test: of the test part (else train); like the next two, any shape.
            kinds: classes.
            variants: see :class:`vlmgym.core.Scene`.
            most: pictures of a class in use.
        """
        table = np.array([self.counts[part] for part in PARTS], np.int64)
        count = np.minimum(table[test.astype(np.intp), kinds], most)
        word = mix_array(kinds.astype(np.uint64) << np.uint64(40) ^ (variants >> 4).astype(np.uint64))
        first = (word & np.uint64(0xFFFFFFFF)).astype(np.int64) % count
        stride = 1 + (word >> np.uint64(32)).astype(np.int64) % count
        while (bad := np.gcd(stride, count) != 1).any():
            stride += bad
        return (first + (variants & 15) * stride) % count


def data_folder() -> Path:
    """Where downloaded data sets lie: ``$VLMGYM_DATA``, or ``~/.cache/vlmgym``."""
    return Path(os.environ.get("VLMGYM_DATA") or Path.home() / ".cache" / "vlmgym")


def photographs(source: str, names: Sequence[str]) -> Photographs:
    """The photographs of a source for the classes ``names``.

    Args:
        source: ``auto`` (by the class names: the bundled digits, or the downloaded CIFAR-10), or the path of a CIFAR-10
            binary archive, of its unpacked folder, or of a folder with one folder of pictures a class (which may lie
            in folders ``train`` and ``test``).
        names: class names, in the order of the symbols.

    Raises:
        PhotoError: there is no such source, it is damaged, or a class has no picture in one of the parts.
    """
    names = tuple(names)
    if source == "auto":
        known = next((name for name, classes in PICTURE_CLASSES.items() if classes == names), "")
        if known == "digits":
            return _digits()
        if known != "cifar10":
            raise PhotoError(f"Look.photos = 'auto': the classes {', '.join(names)} need the path of a folder of class folders")
        path = data_folder() / Path(CIFAR_URL).name
        if not path.exists():
            raise PhotoError(f"no CIFAR-10 at {path}: run `vlmgym photos cifar10`, or give Look.photos the path of the archive")
        source = str(path)
    path = Path(source).expanduser()
    if not path.exists():
        raise PhotoError(f"Look.photos = {source!r}: there is no such file or folder")
    if path.is_file() or any((path / f).exists() for fs in CIFAR_FILES.values() for f in fs):
        return _cifar(str(path.resolve()), path.stat().st_mtime_ns, names)
    return _folders(str(path.resolve()), names)


def part_of(contents: Sequence[bytes]) -> list[str]:
    """The part of each picture of a class, by content: equal pictures are in one part, and both parts hold some.

    The different contents are ordered by their BLAKE2 hashes; the first fifth, at least one, is the test part.
    """
    keys = [hashlib.blake2b(c, digest_size=16).digest() for c in contents]
    order = sorted(set(keys))
    test = set(order[: max(1, len(order) // TEST_SHARE)])
    return ["test" if key in test else "train" for key in keys]


# -------------------------------------------------------------------------------------------------------- sources
@lru_cache(1)
def _digits() -> Photographs:
    with (resources.files("vlmgym") / "skins" / "digits.png").open("rb") as file:
        sheet = np.asarray(Image.open(file))
    tiles = sheet.reshape(10, 8, -1, 8).transpose(0, 2, 1, 3)
    split: dict[str, list[list[NDArray[np.uint8]]]] = {part: [] for part in PARTS}
    for row in tiles:
        found = [tile for tile in row if tile.min() < 255]
        parts = part_of([tile.tobytes() for tile in found])
        for part in PARTS:
            split[part].append([tile for tile, where in zip(found, parts, strict=True) if where == part])

    def load(part: str, kind: int, number: int) -> Image.Image:
        return Image.fromarray(255 - split[part][kind][number])  # dark ink on white paper

    counts = {part: tuple(map(len, split[part])) for part in PARTS}
    return Photographs(PICTURE_CLASSES["digits"], counts, load)


@lru_cache(4)
def _cifar(path: str, _changed: int, names: tuple[str, ...]) -> Photographs:
    classes = PICTURE_CLASSES["cifar10"]
    strange = [name for name in names if name not in classes]
    if strange:
        raise PhotoError(f"{path}: CIFAR-10 has no class {strange[0]!r}; it has {', '.join(classes)}")
    wanted = [classes.index(name) for name in names]
    pictures, places = {}, {}
    data = _cifar_files(path)
    for part, files in CIFAR_FILES.items():
        records = np.concatenate([_records(path, file, data[file]) for file in files])
        pictures[part] = records[:, 1:].reshape(-1, 3, CIFAR_SIDE, CIFAR_SIDE)
        places[part] = [np.flatnonzero(records[:, 0] == k) for k in wanted]
    counts = {part: tuple(len(p) for p in places[part]) for part in PARTS}
    _refuse_empty(path, names, counts)

    def load(part: str, kind: int, number: int) -> Image.Image:
        return Image.fromarray(np.ascontiguousarray(pictures[part][places[part][kind][number]].transpose(1, 2, 0)))

    return Photographs(names, counts, load)


def _cifar_files(path: str) -> dict[str, bytes]:
    """The files of CIFAR-10's binary version, by name, from its archive or the unpacked folder."""
    wanted = {name for names in CIFAR_FILES.values() for name in names}
    found: dict[str, bytes] = {}
    try:
        if Path(path).is_dir():
            found = {name: (Path(path) / name).read_bytes() for name in wanted if (Path(path) / name).exists()}
        else:
            with tarfile.open(path) as archive:
                for member in archive:
                    if member.isfile() and Path(member.name).name in wanted:
                        found[Path(member.name).name] = archive.extractfile(member).read()  # type: ignore[union-attr]
    except (OSError, EOFError, zlib.error, tarfile.TarError) as error:
        raise PhotoError(f"{path}: no readable archive of CIFAR-10's binary version ({error})") from error
    for name in sorted(wanted - set(found)):
        raise PhotoError(f"{path}: no {name} in it; the binary version of CIFAR-10 is needed ({CIFAR_URL})")
    return found


def _records(path: str, name: str, data: bytes) -> NDArray[np.uint8]:
    """The records of a file, ``(n, 3073)``: a label, then the red, green and blue planes."""
    records = np.frombuffer(data, np.uint8)
    if not len(records) or len(records) % CIFAR_RECORD:
        raise PhotoError(f"{path}: {name} has {len(records)} bytes, no multiple of {CIFAR_RECORD}")
    records = records.reshape(-1, CIFAR_RECORD)
    if records[:, 0].max() > 9:
        raise PhotoError(f"{path}: {name} has the label {records[:, 0].max()}; allowed are 0 to 9")
    return records


@lru_cache(4)
def _folders(path: str, names: tuple[str, ...]) -> Photographs:
    root = Path(path)
    files: dict[str, list[list[Path]]] = {part: [] for part in PARTS}
    apart = all((root / part).is_dir() for part in PARTS)
    for name in names:
        if apart:
            for part in PARTS:
                files[part].append(list(_pictures(root / part / name)))
            twice = {p.read_bytes() for p in files["train"][-1]} & {p.read_bytes() for p in files["test"][-1]}
            if twice:
                raise PhotoError(f"{path}: {len(twice)} pictures of the class {name!r} are in train and in test")
            continue
        found = list(_pictures(root / name))
        parts = part_of([p.read_bytes() for p in found]) if found else []
        for part in PARTS:
            files[part].append([p for p, where in zip(found, parts, strict=True) if where == part])
    counts = {part: tuple(map(len, files[part])) for part in PARTS}
    _refuse_empty(path, names, counts)

    def load(part: str, kind: int, number: int) -> Image.Image:
        file = files[part][kind][number]
        try:
            with Image.open(file) as picture:
                picture.load()
                whole = picture.convert("RGB")
        except OSError as error:
            raise PhotoError(f"{file}: no readable picture ({error})") from error
        side = min(whole.size)
        left, top = (whole.width - side) // 2, (whole.height - side) // 2
        return whole.crop((left, top, left + side, top + side))

    return Photographs(names, counts, load)


def _pictures(folder: Path) -> Iterator[Path]:
    if folder.is_dir():
        yield from sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES)


def _refuse_empty(path: str, names: Sequence[str], counts: dict[str, tuple[int, ...]]) -> None:
    for part in PARTS:
        for name, count in zip(names, counts[part], strict=True):
            if not count:
                raise PhotoError(f"{path}: no picture of the class {name!r} in the {part} part (2 different ones are needed)")


# ------------------------------------------------------------------------------------------------------- download
def fetch_cifar10(url: str = CIFAR_URL, md5: str = CIFAR_MD5, folder: Path | None = None, progress: bool = True) -> Path:
    """Download CIFAR-10's binary archive (170 MB) and check it; an earlier good download is kept.

    Args:
        url: of the archive.
        md5: its checksum, in hexadecimal digits.
        folder: where to; by default :func:`data_folder`.
        progress: show a bar on standard error.

    Returns:
        The path of the archive.

    Raises:
        PhotoError: the server cannot be reached, or sends something else.
    """
    from tqdm import tqdm

    folder = folder or data_folder()
    target = folder / Path(url).name
    if target.exists() and hashlib.md5(target.read_bytes(), usedforsecurity=False).hexdigest() == md5:
        return target
    folder.mkdir(parents=True, exist_ok=True)
    part, digest = target.with_name(target.name + ".part"), hashlib.md5(usedforsecurity=False)
    try:
        with urllib.request.urlopen(url, timeout=60) as answer, part.open("wb") as file:
            size = int(answer.headers.get("Content-Length") or 0)
            with tqdm(total=size, desc=target.name, unit="B", unit_scale=True, file=sys.stderr, disable=not progress) as bar:
                while block := answer.read(io.DEFAULT_BUFFER_SIZE * 16):
                    file.write(block)
                    digest.update(block)
                    bar.update(len(block))
    except OSError as error:
        part.unlink(missing_ok=True)
        raise PhotoError(f"{url}: cannot be downloaded ({error})") from error
    if digest.hexdigest() != md5:
        part.unlink()
        raise PhotoError(f"{url}: its MD5 is {digest.hexdigest()}, not {md5}; nothing was kept")
    part.replace(target)
    return target
