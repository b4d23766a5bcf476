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
from typing import Any, BinaryIO

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
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0)
        self._file = os.open(path, flags, 0o666)

    def write(self, *records: EvaluationRun | Turn | Episode) -> None:
        """Append records and hand them to the operating system, in one piece.

        Raises:
            OSError: the disk is full, say. Nothing of these records is in the file then.
        """
        remaining = b"".join(map(line_of, records))
        size_before = os.fstat(self._file).st_size
        try:
            while remaining:
                remaining = remaining[os.write(self._file, remaining) :]
        except BaseException as error:
            os.ftruncate(self._file, size_before)
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
        beginning = file.read(64)
        without_blanks = b"".join(beginning.split())  # other programs write JSON with blanks
        is_trace = without_blanks.startswith(_BEGIN) or _BEGIN.startswith(without_blanks)
        if beginning[:1].isspace() or not is_trace:
            raise TraceError(
                f"{path}: not a trace of vlmgym (it does not begin with a run line); "
                "it was left as it is"
            )
        size = file.seek(0, os.SEEK_END)
        complete = _size_of_whole_lines(file, size)
        if complete < size:
            file.truncate(complete)
    return size - complete


def _size_of_whole_lines(file: BinaryIO, size: int) -> int:
    """Bytes up to the end of the last whole line of a file of so many bytes."""
    end = size
    while end:  # blocks from the end, as traces may be large
        start = max(0, end - 65_536)
        file.seek(start)
        line_end = file.read(end - start).rfind(b"\n")
        if line_end >= 0:
            return start + line_end + 1
        end = start
    return 0


def begin_anew(path: Path, run: EvaluationRun) -> None:
    """Replace the run line of a trace, all at once."""
    _, _, other_lines = path.read_bytes().partition(b"\n")
    write_atomically(path, line_of(run) + other_lines)


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
                except UnicodeDecodeError as error:
                    reason = "bytes that are no text"
                    raise TraceError(f"{path}:{number}: not a trace record ({reason})") from error
                except (ValueError, RecursionError) as error:
                    reason = shown(str(error))[:200]
                    raise TraceError(f"{path}:{number}: not a trace record ({reason})") from error
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
        finished = {episode.episode for episode in self.episodes if episode.end != "failed"}
        return [turn for turn in self.turns if turn.episode in finished]


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
        if isinstance(record, EvaluationRun):
            if number > 1:
                raise TraceError(f"{path}:{number}: a second run line")
            run = record
        elif number == 1:
            raise TraceError(f"{path}:{number}: no run line at the beginning")
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
        turns_by_episode = _turns_by_episode(turns)
        _see_known_episodes(run.evaluation, [*turns_by_episode, *episodes])
        for episode in episodes.values():
            _see_consistent(episode, turns_by_episode[episode.episode], run.evaluation)
    except ValueError as error:
        raise TraceError(f"{path}: {error}") from error
    return Trace(run, turns, [episodes[number] for number in sorted(episodes)])


def _turns_by_episode(turns: list[Turn]) -> defaultdict[int, dict[int, Turn]]:
    """The turns of each episode by their numbers; ValueError if these are not 0, 1, 2 ... each
    once, or if the seeds of an episode differ.
    """
    turns_by_episode = defaultdict[int, dict[int, Turn]](dict)
    for turn in turns:
        if turn.turn in turns_by_episode[turn.episode]:
            raise ValueError(f"turn {turn.turn} of episode {turn.episode} is there twice")
        turns_by_episode[turn.episode][turn.turn] = turn
    for number, episode_turns in turns_by_episode.items():
        count = len(episode_turns)
        last = max(episode_turns)
        if last != count - 1:
            raise ValueError(
                f"episode {number} has {count} turns, the last of them is number {last}"
            )
        if len({turn.seed for turn in episode_turns.values()}) > 1:
            raise ValueError(f"the turns of episode {number} are of several seeds")
    return turns_by_episode


def _see_known_episodes(evaluation: Mapping[str, Any], numbers: list[int]) -> None:
    """ValueError if an episode is none of those that were asked for."""
    repeats = evaluation.get("repeats", 1)
    starts = evaluation.get("episodes")
    if type(starts) is not int or type(repeats) is not int:
        return
    for number in numbers:
        if number >= starts * repeats:
            raise ValueError(
                f"episode {number} is one more than the {starts * repeats} that were asked for"
            )


def _see_consistent(
    episode: Episode, turns: Mapping[int, Turn], evaluation: Mapping[str, Any]
) -> None:
    """ValueError says how an episode contradicts its turns."""
    number = episode.episode
    repeats = evaluation.get("repeats", 1)
    if type(repeats) is int and repeats > 0 and episode.repeat != number % repeats:
        raise ValueError(f"episode {number} is called repetition {episode.repeat}, of {repeats}")
    if any(turn.seed != episode.seed for turn in turns.values()):
        raise ValueError(f"episode {number} has another seed than its turns")
    count = len(turns)
    # a failed one may be under way again
    if episode.turns > count or (episode.turns < count and episode.end != "failed"):
        raise ValueError(f"episode {number} is said to have {episode.turns} turns, and has {count}")
    played = [turns[turn] for turn in range(episode.turns)]
    rewards = sum(turn.terms["game"] for turn in played)
    gains = sum(turn.gain for turn in played)
    for name, recorded, summed in (
        ("reward", episode.reward, rewards),
        ("score", episode.score, gains),
    ):
        if not math.isclose(recorded, summed, rel_tol=1e-9, abs_tol=1e-6):
            raise ValueError(
                f"the {name} of episode {number} is said to be {recorded}, its turns make {summed}"
            )
