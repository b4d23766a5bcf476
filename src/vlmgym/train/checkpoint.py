"""What a run needs to outlive its machine: sealed checkpoints, a way out on a signal, an end before
a loss does harm.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
import signal
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

from vlmgym.core import VlmGymError
from vlmgym.core.files import FileError, read_json, write_atomically, write_json
from vlmgym.models.loading import SEAL

BEGUN = ".begun"
"""The first file of a checkpoint: what a run of ours began, and may delete if it was never
finished.
"""


class DivergedError(VlmGymError, ArithmeticError):
    """The loss or the gradient is not finite, or larger than allowed; the batch was saved."""


class DiskFullError(VlmGymError, OSError):
    """There is no room for a checkpoint; the last one is whole."""


class Interrupted(VlmGymError):
    """A signal asked the run to end; a checkpoint was written, and the same command goes on from
    it.
    """


# ---- checkpoints
def _is_mark(name: str) -> bool:
    """Whether a file is one of our marks, whole or left half-written by a kill; a mark is not part
    of what it is about.
    """
    return any(
        name == mark or (name.startswith(Path(mark).stem) and ".part" in name)
        for mark in (SEAL, BEGUN)
    )


def _digest(path: Path) -> str:
    """Digest of a file, which is flushed to the disk on the way."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        return hashlib.file_digest(file, "blake2b").hexdigest()


def _digests(folder: Path) -> dict[str, str]:
    """Digest of every file below a folder, by relative path."""
    files = [path for path in folder.rglob("*") if path.is_file() and not _is_mark(path.name)]
    files.sort()
    with ThreadPoolExecutor(8) as pool:  # hashing lets other threads run
        digests = list(pool.map(_digest, files))
    names = [str(path.relative_to(folder)) for path in files]
    return dict(zip(names, digests, strict=True))


def begin(folder: Path) -> None:
    """Say that a checkpoint is about to be written, before anything of it is.

    Raises:
        VlmGymError: something lies there that no run of ours began.
    """
    if folder.is_symlink() or (folder.exists() and not (folder / BEGUN).exists()):
        raise VlmGymError(
            f"{folder}: is there, and was not begun by this run: move it away and "
            "run the same command to go on"
        )
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / BEGUN, "")


def seal(folder: Path) -> None:
    """Say that a checkpoint is whole."""
    write_json(folder / SEAL, _digests(folder))


def flaw(folder: Path) -> str:
    """Why a checkpoint cannot be used; empty if it can."""
    if folder.is_symlink() or not folder.is_dir():
        return "it is no folder of this run"
    if not os.path.lexists(folder / SEAL):
        if (folder / BEGUN).is_file():
            return "the run ended while it was written"
        return "it has no seal, and no run of ours began it"
    try:
        sealed = read_json(folder / SEAL)
    except FileError:
        return f"{SEAL} is damaged"
    if not sealed:
        return f"{SEAL} names no file"
    digests = _digests(folder)
    for name, digest in sealed.items():
        if name not in digests:
            return f"{name} is missing"
        if digests[name] != digest:
            return f"{name} is damaged (its checksum differs)"
    return ""


def checkpoints(out: Path) -> list[Path]:
    """The checkpoint folders of a stage, newest first."""
    folders = [
        path for path in out.glob("checkpoint-*") if re.fullmatch(r"checkpoint-\d+", path.name)
    ]
    return sorted(folders, key=_step_of, reverse=True)


def _step_of(folder: Path) -> int:
    """The step after which a checkpoint was written."""
    return int(folder.name.rpartition("-")[2])


def last_good_checkpoint(out: Path, tidy: bool = True) -> Path | None:
    """The newest whole checkpoint of a stage, or None.

    Args:
        out: folder of the stage.
        tidy: say what is passed over, delete what a run of ours began and never finished, and put
            everything else aside, as ``*.damaged`` or ``*.unfinished``.
    """
    folders = checkpoints(out)
    if tidy:  # all of them: the Trainer deletes the oldest one after a while
        for folder in folders:
            if not _ours(folder):
                sys.stderr.write(f"{folder}: put aside: {flaw(folder)}\n")
                _put_aside(folder, "unfinished")
    for folder in filter(_ours, folders):
        reason = flaw(folder)
        if not reason:
            return folder
        if tidy:
            sys.stderr.write(f"{folder}: passed over: {reason}\n")
            _remove(folder)
    return None


def _remove(folder: Path) -> None:
    """Put a damaged checkpoint aside, and delete one that was never finished."""
    if os.path.lexists(folder / SEAL):
        _put_aside(folder, "damaged")
    else:
        shutil.rmtree(folder)


def _ours(folder: Path) -> bool:
    """Whether a run of ours began a folder."""
    return (
        folder.is_dir()
        and not folder.is_symlink()
        and any(os.path.lexists(folder / name) for name in (SEAL, BEGUN))
    )


def _put_aside(path: Path, ending: str) -> None:
    """Rename, to a name that nothing has: nothing is lost, and nothing in the way."""
    for number in count():
        suffix = f"-{number + 1}" if number else ""
        aside = path.with_name(f"{path.name}.{ending}{suffix}")
        if not os.path.lexists(aside):
            path.rename(aside)
            return


def size_of(folder: Path) -> int:
    """Bytes of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def no_room(error: BaseException | None, folder: Path, bytes_wanted: int) -> bool:
    """Whether a failed write means that the disk is full.

    Torch and safetensors report it as errors of their own, so the free space is looked at as well.
    """
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            return True
        if re.search(FULL_DISK, str(error), re.IGNORECASE):
            return True
        error = error.__cause__ or error.__context__
    return shutil.disk_usage(folder).free < bytes_wanted


FULL_DISK = r"No space left|os error 28\b|os error 27\b|File too large|quota exceeded"
"""How torch and safetensors word errors of a disk that is full, as a regular expression."""


# ---- signals
class Signals:
    """While entered, SIGTERM and SIGUSR1 (SLURM, spot machines) ask for an end after the step; a
    second one ends at once.
    """

    KINDS = (signal.SIGTERM, signal.SIGUSR1)

    def __init__(self) -> None:
        self.caught = ""
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Signals:
        if threading.current_thread() is threading.main_thread():
            self._before = {kind: signal.signal(kind, self._catch) for kind in self.KINDS}
        return self

    def _catch(self, number: int, frame: FrameType | None) -> None:
        if self.caught:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        self.caught = signal.Signals(number).name
        message = f"\n{self.caught}: a checkpoint follows after this step"
        message += " (a second signal ends at once)\n"
        os.write(2, message.encode())

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)


def tensors_of(batch: Any) -> Iterator[tuple[str, Any]]:
    """Name and value of what a batch holds, tensors brought to the CPU."""
    for name, value in batch.items():
        yield name, value.detach().cpu() if hasattr(value, "detach") else value
