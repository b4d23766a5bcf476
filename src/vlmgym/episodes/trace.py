"""One JSONL file of what happened: a run line, then turns and episodes.

Everything downstream reads these.

Pictures are not stored; they are drawn again from the state of each turn.
"""

from __future__ import annotations

import math
import os
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vlmgym.core import VlmGymError
from vlmgym.core.files import shown, write_atomically
from vlmgym.episodes.lines import line_of, record_of
from vlmgym.episodes.records import Episode, EvaluationRun, Turn


class TraceError(VlmGymError, ValueError):
    """A file that is no trace, one of another schema, or one that contradicts itself."""


class TraceWriter:
    """Writes a trace by whole lines.

    An existing file is continued: a torn last line is cut off, never fatal.

    Raises:
        TraceError: the file there is none of ours; it is left as it is.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists():
            repair(path)
        self._path = path
        self._file = os.open(
            path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666
        )

    def write(self, *records: EvaluationRun | Turn | Episode) -> None:
        """Append records and hand them to the operating system, in one piece.

        Raises:
            OSError: the disk is full, say. Nothing of these records is in the file then.
        """
        data = b"".join(map(line_of, records))
        before = os.fstat(self._file).st_size
        try:
            while data:
                data = data[os.write(self._file, data) :]
        except BaseException as error:
            os.ftruncate(self._file, before)
            if isinstance(error, OSError):
                error.filename = str(self._path)
            raise

    def close(self) -> None:
        """Close the file, on disk."""
        try:
            os.fsync(self._file)
        finally:
            os.close(self._file)

    def __enter__(self) -> TraceWriter:
        """Self."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()


_BEGIN = b'{"kind":"run",'
"""How every trace begins."""


def repair(path: Path) -> int:
    """Cut off an unfinished last line; returns the number of bytes removed.

    Raises:
        TraceError: the file does not begin as a trace does. It is left as it is.
    """
    if not path.is_file():
        raise TraceError(f"{path}: no file, so no trace; it was left as it is")
    with path.open("r+b") as file:
        begin = file.read(64)
        tight = b"".join(begin.split())  # other programs write JSON with blanks
        if begin[:1].isspace() or not (tight.startswith(_BEGIN) or _BEGIN.startswith(tight)):
            raise TraceError(
                f"{path}: not a trace of vlmgym (it does not begin with a run line); "
                "it was left as it is"
            )
        size = keep = file.seek(0, os.SEEK_END)
        while keep:  # blocks from the end, as traces may be large
            start = max(0, keep - 65_536)
            file.seek(start)
            if (found := file.read(keep - start).rfind(b"\n")) >= 0:
                keep = start + found + 1
                break
            keep = start
        if keep < size:
            file.truncate(keep)
    return size - keep


def begin_anew(path: Path, run: EvaluationRun) -> None:
    """Replace the run line of a trace, all at once."""
    _, _, rest = path.read_bytes().partition(b"\n")
    write_atomically(path, line_of(run) + rest)


def read_trace(path: Path) -> Iterator[EvaluationRun | Turn | Episode]:
    """The records of a trace, in order; an unfinished last line is passed over.

    Raises:
        TraceError: a line elsewhere is no record, or a field of it holds what it cannot; or another
            schema; with file, line number and field. Or the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if not line.endswith(b"\n"):
                    return
                try:
                    record = record_of(line)
                except (ValueError, RecursionError) as error:
                    said = (
                        "bytes that are no text"
                        if isinstance(error, UnicodeDecodeError)
                        else shown(str(error))[:200]
                    )
                    raise TraceError(f"{path}:{number}: not a trace record ({said})") from error
                yield record
    except FileNotFoundError as error:
        raise TraceError(f"{path}: there is no such file") from error
    except OSError as error:
        raise TraceError(f"{path}: cannot be read ({error.strerror})") from error


@dataclass(frozen=True)
class Trace:
    """A whole trace: its run, the turns in the order in which they were answered, and the latest
    record of each episode.
    """

    run: EvaluationRun
    turns: list[Turn]
    episodes: list[Episode]

    def finished(self) -> list[Turn]:
        """The turns of episodes that came to an end: neither cut off, nor failed."""
        done = {one.episode for one in self.episodes if one.end != "failed"}
        return [turn for turn in self.turns if turn.episode in done]


def load_trace(path: Path) -> Trace:
    """All of a trace at once, after it was seen to be true in itself.

    Raises:
        TraceError: see :func:`read_trace`; the file does not begin with its only run line; the
            turns of an episode are not 0, 1, 2 ... each once; or an episode does not follow from
            its turns.
    """
    run: EvaluationRun | None = None
    turns: list[Turn] = []
    episodes: dict[int, Episode] = {}
    for number, record in enumerate(read_trace(path), 1):
        if isinstance(record, EvaluationRun) == (number > 1):
            raise TraceError(
                f"{path}:{number}: "
                f"{'a second run line' if number > 1 else 'no run line at the beginning'}"
            )
        if isinstance(record, EvaluationRun):
            run = record
        elif isinstance(record, Turn):
            turns.append(record)
        else:
            before = episodes.get(record.episode, record)
            if before.end != "failed" and before != record:
                raise TraceError(
                    f"{path}:{number}: episode {record.episode} ended before, as {before.end}"
                )
            episodes[record.episode] = record
    if run is None:
        raise TraceError(f"{path}: no run line")
    try:
        _see_that_it_is_true(run.evaluation, turns, episodes)
    except ValueError as error:
        raise TraceError(f"{path}: {error}") from error
    return Trace(run, turns, [episodes[key] for key in sorted(episodes)])


def _see_that_it_is_true(
    evaluation: Mapping[str, Any], turns: list[Turn], episodes: Mapping[int, Episode]
) -> None:
    """ValueError says what contradicts itself."""
    repeats = evaluation.get("repeats", 1)
    starts = evaluation.get("episodes")
    by_episode = defaultdict[int, dict[int, Turn]](dict)
    for turn in turns:
        if turn.turn in by_episode[turn.episode]:
            raise ValueError(f"turn {turn.turn} of episode {turn.episode} is there twice")
        by_episode[turn.episode][turn.turn] = turn
    for number, mine in by_episode.items():
        if max(mine) != len(mine) - 1:
            raise ValueError(
                f"episode {number} has {len(mine)} turns, the last of them is number {max(mine)}"
            )
        if len({turn.seed for turn in mine.values()}) > 1:
            raise ValueError(f"the turns of episode {number} are of several seeds")
    if (
        type(starts) is int
        and type(repeats) is int
        and (out := [k for k in (*by_episode, *episodes) if k >= starts * repeats])
    ):
        raise ValueError(
            f"episode {out[0]} is one more than the {starts * repeats} that were asked for"
        )
    for number, one in episodes.items():
        mine = by_episode[number]
        if type(repeats) is int and repeats > 0 and one.repeat != number % repeats:
            raise ValueError(f"episode {number} is called repetition {one.repeat}, of {repeats}")
        if any(turn.seed != one.seed for turn in mine.values()):
            raise ValueError(f"episode {number} has another seed than its turns")
        # a failed one may be under way again
        if one.turns > len(mine) or (one.turns < len(mine) and one.end != "failed"):
            raise ValueError(
                f"episode {number} is said to have {one.turns} turns, and has {len(mine)}"
            )
        part = [mine[place] for place in range(one.turns)]
        for name, said, found in (
            ("reward", one.reward, sum(turn.terms["game"] for turn in part)),
            ("score", one.score, sum(turn.gain for turn in part)),
        ):
            if not math.isclose(said, found, rel_tol=1e-9, abs_tol=1e-6):
                raise ValueError(
                    f"the {name} of episode {number} is said to be {said}, its turns make {found}"
                )
