"""Files that outlive a kill and a full disk: whole or not there, one sentence for what is wrong,
one process a folder.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import secrets
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import Any

from vlmgym.core.errors import ConfigError, VlmGymError
from vlmgym.core.errors import shown as shown

DEEP = 32
"""Lists and mappings within each other that a file of settings may have, at most."""


class FileError(VlmGymError, ValueError):
    """A file that cannot be read as what it should be; the message names it and says where it is
    wrong.
    """


class BusyError(VlmGymError, RuntimeError):
    """Another process works in a folder."""


def temporary_beside(path: Path) -> Path:
    """A new name beside a file for what is to replace it as a whole; no two processes, and no two
    threads, get the same.
    """
    return path.with_name(f"{path.stem}.{secrets.token_hex(8)}.part{path.suffix}")


def write_atomically(path: Path, content: str | bytes) -> None:
    """Replace a file as a whole: whoever reads it, or dies here, finds the old content or the new
    one.

    Of several that write it at the same time the last one wins.

    Raises:
        ConfigError: the path is there and is no regular file (a folder, a device).
        OSError: the disk is full, or the folder cannot be written; nothing is left behind.
    """
    if path.exists() and not path.is_file():
        raise ConfigError("file", str(path), "a new file, or a regular one to replace")
    temporary = temporary_beside(path)
    try:
        with temporary.open("xb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename is None:
            error.filename = str(path)  # writing knows only of a descriptor
        raise


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file atomically.

    Raises:
        ValueError: a number is not finite, which JSON cannot hold.
    """
    write_atomically(path, json.dumps(value, indent=1, allow_nan=False) + "\n")


def read_text(path: Path, limit: int | None = None) -> str:
    """The text of a file in UTF-8, without a byte order mark.

    Args:
        path: the file.
        limit: bytes that are read of it; a larger file is refused. None = any number.

    Raises:
        FileError: the file is not there, no regular one (a folder, pipe or device), too large, or
            no text in UTF-8.
    """
    try:
        with open_regular(path) as file:
            data = file.read() if limit is None else file.read(limit + 1)
    except OSError as error:
        raise FileError(f"{path}: cannot be read ({error.strerror})") from error
    if limit is not None and len(data) > limit:
        raise FileError(f"{path}: larger than {limit} bytes")
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise FileError(f"{path}: a text in UTF-16, allowed is UTF-8")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise FileError(f"{path}: no text in UTF-8 (byte {error.start})") from error


def open_regular(path: Path) -> BufferedReader:
    """Open a regular file (or a link to one) for reading; a pipe is not waited for, a device not
    touched.

    Raises:
        FileError: there is no such file, or it is a folder, pipe, socket or device.
        OSError: it may not be read.
    """
    try:
        mode = path.stat().st_mode
    # ValueError: a zero byte in the name
    except (FileNotFoundError, NotADirectoryError, ValueError) as error:
        raise FileError(f"{path}: there is no such file") from error
    if not stat.S_ISREG(mode):
        kind = "a folder" if stat.S_ISDIR(mode) else "a pipe or device"
        raise FileError(f"{path}: {kind}, allowed is a regular file")
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    file = os.fdopen(os.open(path, flags), "rb")
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):  # another one lies there by now
        file.close()
        raise FileError(f"{path}: no regular file")
    return file


def read_json(path: Path, kind: type = dict) -> Any:
    """The value of a JSON file.

    Args:
        path: the file.
        kind: the type that its outermost value must have.

    Raises:
        FileError: the file cannot be read (see :func:`read_text`), is no JSON (``NaN`` and numbers
            beyond those of 64 bits are none), or holds another type.
    """
    text = read_text(path)
    try:
        value = json.loads(text, parse_constant=_finite, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        raise FileError(f"{path}: no JSON ({error})") from error
    if not isinstance(value, kind):
        raise FileError(f"{path}: holds a {type(value).__name__}, allowed is a {kind.__name__}")
    return value


def count_lines(path: Path) -> int:
    """The whole lines of a file; 0 where there is none. A last line that was cut does not count."""
    if not path.exists():
        return 0
    with path.open("rb") as file:
        return sum(line.endswith(b"\n") for line in file)


def read_json_lines(path: Path) -> list[dict[str, Any]]:
    """The records of a file with one JSON mapping a line; nothing where there is none.

    A last line that was cut is left out.

    Raises:
        FileError: the file cannot be read, or a whole line is no mapping; NaN and infinities, which
            logs may hold, are read.
    """
    if not path.exists():
        return []
    records: list[dict[str, Any]] = []
    lines = read_text(path).split("\n")[:-1]
    for number, line in enumerate(lines, 1):
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise FileError(f"{path}: line {number} is no JSON ({error})") from error
        if not isinstance(value, dict):
            raise FileError(
                f"{path}: line {number} holds a {type(value).__name__}, allowed is a mapping"
            )
        records.append(value)
    return records


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:20]} is no finite number")
    return number


@contextmanager
def only_process(folder: Path, work: str) -> Iterator[None]:
    """Hold a folder for this process while entered; it is made if it is not there.

    Args:
        folder: the folder.
        work: what is done there, for the message: ``"evaluates"``.

    Raises:
        BusyError: another process holds it; the message says which, where that is known.
    """
    from filelock import FileLock, Timeout

    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / ".lock", timeout=0)
    lock_note = folder / ".lock.json"
    try:
        lock.acquire()
    except Timeout as error:
        raise BusyError(
            f"{folder}: {_holder(lock_note)} {work} there; wait for its end, or name another folder"
        ) from error
    try:
        import platform
        from datetime import datetime

        since = datetime.now().astimezone().isoformat(timespec="seconds")
        write_json(lock_note, {"process": os.getpid(), "host": platform.node(), "since": since})
        yield
    finally:
        lock_note.unlink(missing_ok=True)
        lock.release()


def _holder(lock_note: Path) -> str:
    """Who holds a folder, as it noted there."""
    try:
        holder = read_json(lock_note)
    except FileError:
        return "another process"
    return f"process {holder.get('process')} on {holder.get('host')}, since {holder.get('since')}"


def digest_of(*paths: Path) -> str:
    """The BLAKE2 digest (16 bytes, as hex) of files, and of all files below folders with their
    names, wherever they lie.

    Raises:
        FileError: there is no such file, or nothing in a folder.
    """
    digest = hashlib.blake2b(digest_size=16)
    for path in paths:
        files = [path]
        if path.is_dir():
            files = sorted(file for file in path.rglob("*") if file.is_file())
        if not files:
            raise FileError(f"{path}: an empty folder")
        for file in files:
            try:
                with file.open("rb") as stream:
                    content = hashlib.file_digest(stream, "blake2b").digest()
            except OSError as error:
                raise FileError(f"{file}: cannot be read ({error.strerror})") from error
            name = str(file.relative_to(path)) if path.is_dir() else ""
            digest.update(name.encode("utf-8", "surrogateescape") + b"\0" + content)
    return digest.hexdigest()


def whole_text(text: str) -> str:
    """A text with U+FFFD for halves of surrogate pairs, which no file in UTF-8 can hold (a reply
    cut inside a character).
    """
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def shortest_ends(paths: Sequence[str]) -> dict[str, str]:
    """For each of several different paths the shortest end, by whole parts, that no other has."""
    parts_of = {path: path.strip("/").split("/") for path in paths}

    def end(path: str, length: int) -> str:
        return "/".join(parts_of[path][-length:])

    ends = {}
    for path in paths:
        longest = len(parts_of[path])
        for length in range(1, longest):
            if sum(end(other, length) == end(path, length) for other in paths) == 1:
                break
        else:
            length = longest
        ends[path] = end(path, length)
    return ends


_DEEPEST = 30
"""Levels of nesting that settings in a trace may have."""


def is_plain(value: Any, depth: int = _DEEPEST) -> bool:
    """Whether a value is JSON that is not nested deep, and holds no number that is not finite."""
    if isinstance(value, dict):
        keys_are_text = all(isinstance(key, str) for key in value)
        values = list(value.values())
        return keys_are_text and is_plain(values, depth)
    if isinstance(value, list):
        return depth > 0 and all(is_plain(item, depth - 1) for item in value)
    if type(value) is float:
        return math.isfinite(value)
    return value is None or type(value) in (str, bool, int)


@contextmanager
def whole_file(out: Path) -> Iterator[Path]:
    """A place to write a file to, which becomes ``out`` if nothing fails; else nothing is left.

    Raises:
        ConfigError: ``out`` is there and is no regular file (a folder, a device).
    """
    if out.exists() and not out.is_file():
        raise ConfigError("out", str(out), "a new file, or a regular one to replace")
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_beside(out)
    try:
        yield temporary
        temporary.replace(out)
    finally:
        temporary.unlink(missing_ok=True)
