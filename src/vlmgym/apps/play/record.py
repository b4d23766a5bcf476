"""Where games of a person are written: a folder that no other session writes to."""

from __future__ import annotations

import os
from itertools import count
from pathlib import Path

import numpy as np

from vlmgym.core import State
from vlmgym.episodes.records import Episode, EvaluationRun, Turn
from vlmgym.episodes.trace import TraceError, read_trace

PLAYER = "human"


def episode_record(number: int, turns: int, reward: float, state: State) -> Episode:
    """The record of an episode that is left in ``state`` (one row)."""
    end = "stopped"
    if state.terminated[0]:
        end = "terminated"
    elif state.truncated[0]:
        end = "truncated"
    return Episode(number, int(state.seed[0]), turns, int(state.score[0]), reward, end)


def unfinished(records: list[EvaluationRun | Turn | Episode]) -> list[Episode]:
    """The episodes that a killed session left without a record."""
    finished = {record.episode for record in records if isinstance(record, Episode)}
    turns_of: dict[int, list[Turn]] = {}
    for record in records:
        if isinstance(record, Turn) and record.episode not in finished:
            turns_of.setdefault(record.episode, []).append(record)
    episodes = []
    for number, turns in turns_of.items():
        game, before = turns[-1].load()
        after, _ = game.step(before, np.array([turns[-1].action]))
        reward = sum(turn.terms["game"] for turn in turns)
        episodes.append(episode_record(number, len(turns), reward, after))
    return episodes


def choose_folder(out: Path, run: EvaluationRun) -> tuple[Path, int | None]:
    """The first of ``out``, ``out-2``, ``out-3`` ... that can take this run, and a lock on it."""
    for number in count(1):
        folder = out if number == 1 else out.with_name(f"{out.name}-{number}")
        folder.mkdir(parents=True, exist_ok=True)
        try:
            lock = _lock(folder)
        except BlockingIOError:
            continue
        if _continues(folder / "trace.jsonl", run):
            return folder, lock
        if lock is not None:
            os.close(lock)
    raise AssertionError("unreachable")


def _lock(folder: Path) -> int | None:
    """Lock a folder against other sessions until the descriptor is closed; None where the system
    has no such locks.
    """
    try:
        import fcntl
    except ImportError:
        return None
    lock = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise
    except OSError:  # a file system without locks
        os.close(lock)
        return None
    return lock


def _continues(trace: Path, run: EvaluationRun) -> bool:
    """Whether a trace is missing, empty, or sound and of this very run."""
    try:
        records = list(read_trace(trace)) if trace.exists() else []
    except (TraceError, UnicodeDecodeError):
        return False
    if not records:
        return True
    first, *others = records
    return first == run and not any(isinstance(record, EvaluationRun) for record in others)
