"""Photographs for tiles: the bundled handwritten digits, CIFAR-10, or any folder of class folders;
train and test apart.
"""

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
import warnings
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from vlmgym.core import Game, Level, VlmGymError, mix_array
from vlmgym.core.files import open_regular
from vlmgym.games.parts.tile_kinds import PICTURE_CLASSES
from vlmgym.render.looks import Look

PARTS = ("train", "test")
TEST_SHARE = 5
"""One picture in five is of the test part, where a source has no parts of its own."""
CIFAR_URL = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
CIFAR_MD5 = "c32a1d4ab5d03f1284b67883e8d13530"
"""Checksum that the page of the data set states for its binary version."""
CIFAR_SIDE, CIFAR_RECORD = 32, 1 + 3 * 32 * 32
CIFAR_RECORDS, CIFAR_BYTES = 10_000, 200_000_000
"""Records of a file, and bytes of the whole data set, packed or unpacked, at most."""
CIFAR_FILES = {
    "train": tuple(f"data_batch_{n}.bin" for n in range(1, 6)),
    "test": ("test_batch.bin",),
}
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
FORMATS = ("PNG", "JPEG", "WEBP", "BMP")
MOST_PIXELS = 50_000_000
"""Pixels of a photograph: a larger one is refused before it is unpacked."""
MOST_DEEP = 100
"""Folders within one another in which photographs are looked for."""


class PhotoError(VlmGymError, ValueError):
    """A source of photographs that is missing, damaged, or lacks a class; the message says which
    and what to do.
    """


@dataclass(frozen=True)
class Photographs:
    """The pictures of some classes in two disjoint parts."""

    names: tuple[str, ...]
    counts: dict[str, tuple[int, ...]]  # by part: pictures of each class
    load: Callable[[str, int, int], Image.Image]  # (part, class, number) -> a grey or RGB picture

    def choose(
        self, test: NDArray[np.bool_], kinds: NDArray[Any], variants: NDArray[np.int32], most: int
    ) -> NDArray[np.int64]:
        """The numbers of the pictures that ``variants`` stand for, each below ``most`` and its
        class's count.

        A variant is ``16 * luck + copy``. Under one luck, the copies 0 .. 15 of a class are
        different pictures as long as there are that many: they are steps of a stride without common
        divisor with the count.

        Args:
            test: of the test part (else train); like the next two, any shape.
            kinds: classes.
            variants: see :class:`vlmgym.core.Scene`.
            most: pictures of a class in use.
        """
        table = np.array([self.counts[part] for part in PARTS], np.int64)
        count = np.minimum(table[test.astype(np.intp), kinds], most)
        word = mix_array(
            kinds.astype(np.uint64) << np.uint64(40) ^ (variants >> 4).astype(np.uint64)
        )
        first = (word & np.uint64(0xFFFFFFFF)).astype(np.int64) % count
        stride = 1 + (word >> np.uint64(32)).astype(np.int64) % count
        while (bad := np.gcd(stride, count) != 1).any():
            stride += bad
        return (first + (variants & 15) * stride) % count


def data_folder() -> Path:
    """Where downloaded data sets lie: ``$VLMGYM_DATA``, or ``~/.cache/vlmgym``.

    Raises:
        PhotoError: neither is set, and this user has no home.
    """
    return _expanded(os.environ.get("VLMGYM_DATA") or "~/.cache/vlmgym")


def _expanded(path: str) -> Path:
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise PhotoError(
            f"{path}: there is no such home folder; name the folder of data sets in VLMGYM_DATA"
        ) from error


def check(game: Game, level: Level, look: Look) -> None:
    """See that a look's photographs are there, before anything is drawn; nothing to do for games
    without any.

    Raises:
        PhotoError: see :func:`photographs`.
    """
    scene = game.sample(level)
    if scene.kind == "photo":
        photographs(look.photos, scene.names[1:])


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
        known = next((name for name, classes in PICTURE_CLASSES.items() if classes == names), "")
        if known == "digits":
            return _digits()
        if known != "cifar10":
            raise PhotoError(
                f"Look.photos = 'auto': the classes {', '.join(names)} need the path "
                "of a folder of class folders"
            )
        path = data_folder() / Path(CIFAR_URL).name
        if not path.exists():
            raise PhotoError(
                f"no CIFAR-10 at {path}: run `vlmgym photos cifar10`, or give "
                "Look.photos the path of the archive"
            )
        source = str(path)
    real = _found(source)
    try:
        if real.is_file() or any((real / f).exists() for fs in CIFAR_FILES.values() for f in fs):
            return _cifar(str(real), real.stat().st_mtime_ns, names)
        return _folders(str(real), names)
    except OSError as error:  # a folder that may be listed and not entered, say
        raise PhotoError(f"{error.filename or real}: cannot be read ({_reason(error)})") from error


def _found(source: str) -> Path:
    """The file or folder that a source is the path of, links followed."""
    try:
        real = Path(os.path.realpath(_expanded(source), strict=True))
    except FileNotFoundError as error:
        raise PhotoError(f"Look.photos = {source!r}: there is no such file or folder") from error
    except (OSError, ValueError) as error:
        if isinstance(error, PhotoError):
            raise
        raise PhotoError(f"Look.photos = {source!r}: cannot be read ({_reason(error)})") from error
    if not (real.is_file() or real.is_dir()):
        raise PhotoError(f"Look.photos = {source!r}: a pipe or device, allowed is a file or folder")
    return real


def part_of(digests: Sequence[bytes]) -> list[str]:
    """The part of each picture of a class, by the digest of its content: equal pictures are in one
    part, and both hold some.

    The different digests are ordered; the first fifth, at least one, is the test part.
    """
    order = sorted(set(digests))
    test = set(order[: max(1, len(order) // TEST_SHARE)])
    return ["test" if digest in test else "train" for digest in digests]


def _hash() -> Any:
    """What tells contents apart, and orders them."""
    return hashlib.blake2b(digest_size=16)


# ---- sources
@lru_cache(1)
def _digits() -> Photographs:
    with (resources.files("vlmgym.render") / "assets" / "digits.png").open("rb") as file:
        sheet = np.asarray(Image.open(file))
    tiles = sheet.reshape(10, 8, -1, 8).transpose(0, 2, 1, 3)
    split: dict[str, list[list[NDArray[np.uint8]]]] = {part: [] for part in PARTS}
    for row in tiles:
        found = [tile for tile in row if tile.min() < 255]
        parts = part_of(
            [hashlib.blake2b(tile.tobytes(), digest_size=16).digest() for tile in found]
        )
        for part in PARTS:
            split[part].append(
                [tile for tile, where in zip(found, parts, strict=True) if where == part]
            )

    def load(part: str, kind: int, number: int) -> Image.Image:
        return Image.fromarray(255 - split[part][kind][number])  # dark ink on white paper

    counts = {part: tuple(map(len, split[part])) for part in PARTS}
    return Photographs(PICTURE_CLASSES["digits"], counts, load)


@lru_cache(4)
def _cifar(path: str, _changed: int, names: tuple[str, ...]) -> Photographs:
    classes = PICTURE_CLASSES["cifar10"]
    strange = [name for name in names if name not in classes]
    if strange:
        raise PhotoError(
            f"{path}: CIFAR-10 has no class {strange[0]!r}; it has {', '.join(classes)}"
        )
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
        return Image.fromarray(
            np.ascontiguousarray(pictures[part][places[part][kind][number]].transpose(1, 2, 0))
        )

    return Photographs(names, counts, load)


class _Bounded(io.RawIOBase):
    """What is read of a file, until it is more than CIFAR-10 can be."""

    def __init__(self, file: io.BufferedReader | gzip.GzipFile) -> None:
        self.file, self.left = file, CIFAR_BYTES

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
    wanted, most = (
        {name for names in CIFAR_FILES.values() for name in names},
        CIFAR_RECORDS * CIFAR_RECORD,
    )
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


@lru_cache(4)
def _folders(path: str, names: tuple[str, ...]) -> Photographs:
    root = Path(path)
    files: dict[str, list[list[Path]]] = {part: [] for part in PARTS}
    apart = all((root / part).is_dir() for part in PARTS)
    for name in names:
        if apart:
            for part in PARTS:
                files[part].append(list(_pictures(root, root / part / name)))
            twice = {_digest(p) for p in files["train"][-1]} & {
                _digest(p) for p in files["test"][-1]
            }
            if twice:
                raise PhotoError(
                    f"{path}: {len(twice)} pictures of the class {name!r} are in train and in test"
                )
            continue
        found = list(_pictures(root, root / name))
        parts = part_of([_digest(p) for p in found]) if found else []
        for part in PARTS:
            files[part].append([p for p, where in zip(found, parts, strict=True) if where == part])
    counts = {part: tuple(map(len, files[part])) for part in PARTS}
    _refuse_empty(path, names, counts)

    def load(part: str, kind: int, number: int) -> Image.Image:
        whole = _read_picture(files[part][kind][number])
        side = min(whole.size)
        left, top = (whole.width - side) // 2, (whole.height - side) // 2
        return whole.crop((left, top, left + side, top + side))

    return Photographs(names, counts, load)


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
        inside = sorted(folder.iterdir())
    except OSError as error:
        raise PhotoError(f"{folder}: cannot be read ({error.strerror})") from error
    for path in inside:
        hidden = path.name.startswith(".")
        if path.suffix.lower() not in SUFFIXES:
            if path.is_dir() and not hidden:
                if len(path.parts) - len(root.parts) > MOST_DEEP:
                    raise PhotoError(
                        f"{path}: lies deeper than the {MOST_DEEP} folders in {root} "
                        "that are allowed"
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
                f"{path}: a link that leads out of the folder of photographs; allowed "
                "is the file itself"
            )
        yield path


def _digest(file: Path) -> bytes:
    """The digest of a picture's file; its head is looked at as well, so that what is no picture is
    said at once.
    """
    try:
        with open_regular(file) as data:
            _open(data)
            data.seek(0)
            return hashlib.file_digest(data, _hash).digest()
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
        with open_regular(file) as data, _open(data) as picture, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            picture.load()
            upright = ImageOps.exif_transpose(picture)
            if upright.mode.startswith("I"):  # 16 bits of grey, which Pillow would cut at 255
                grey = np.asarray(upright).astype(np.int64)
                clear = grey == upright.info.get("transparency", -1)
                return Image.fromarray(
                    np.where(clear, 255, grey >> 8).clip(0, 255).astype(np.uint8)
                ).convert("RGB")
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


def _refuse_empty(path: str, names: Sequence[str], counts: dict[str, tuple[int, ...]]) -> None:
    for part in PARTS:
        for name, count in zip(names, counts[part], strict=True):
            if not count:
                raise PhotoError(
                    f"{path}: no picture of the class {name!r} in the {part} part (2 "
                    "different ones are needed)"
                )


# ---- download
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
    part, digest, whole = Path(name), hashlib.md5(usedforsecurity=False), 0
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
