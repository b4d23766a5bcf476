"""One JSONL file of what happened: a run line, then turns and episodes. Everything downstream reads these.

Pictures are not stored; they are drawn again from the state of each turn.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import vlmgym
from vlmgym.core import Game, State, VlmGymError
from vlmgym.games import read_state_text, state_text
from vlmgym.reward import Judgement

SCHEMA = 1


class TraceError(VlmGymError, ValueError):
    """A file that is no trace, or one of another schema."""


@dataclass(frozen=True)
class Run:
    """The first line of a trace: what was run."""

    player: str
    game: str
    level: str
    look: str
    prompt: str = "full"
    mode: str = "strict"
    schema: int = SCHEMA
    version: str = field(default_factory=lambda: vlmgym.__version__)
    revision: str = field(default_factory=lambda: revision())


@dataclass(frozen=True)
class Turn:
    """One reply to one state."""

    episode: int
    turn: int
    seed: int
    state: str  # base64 of State.to_bytes, one row
    reply: str
    action: int  # -1: none
    problem: str  # see prompt.Problem
    fault: str  # see reward.Fault
    gain: int
    terms: dict[str, float]  # reward terms, unweighted
    p_acc: bool | None  # None: the game has no truth text
    localises: bool
    enumerates: bool
    seen: list[list[int]]  # (rows, cols) symbols as described, -1 = not stated
    oracle_value: float | None
    oracle_best: float | None
    oracle_action: int
    seconds: float  # wall time of the reply, its share of the batch

    @staticmethod
    def of(game: Game, state: State, row: int, judged: Judgement, episode: int, turn: int, seconds: float) -> Turn:
        """The record of row ``row`` of ``state`` and its judgement."""
        return Turn(
            episode=episode,
            turn=turn,
            seed=int(state.seed[row]),
            state=state_text(game, state[row]),
            reply=judged.reply.text,
            action=judged.reply.action,
            problem=judged.reply.problem,
            fault=judged.fault,
            gain=judged.gain,
            terms=judged.terms,
            p_acc=judged.p_acc,
            localises=judged.seen.localises,
            enumerates=judged.seen.enumerates,
            seen=judged.seen.symbols.tolist(),
            oracle_value=_plain(judged.oracle_value),
            oracle_best=_plain(judged.oracle_best),
            oracle_action=judged.oracle_action,
            seconds=round(seconds, 6),
        )

    def load(self) -> tuple[Game, State]:
        """The game and the state (one row) that the reply answered."""
        return read_state_text(self.state)


@dataclass(frozen=True)
class Episode:
    """A finished episode."""

    episode: int
    seed: int
    turns: int
    score: int
    reward: float  # sum of the game terms (+1 / -1) over its turns
    end: str  # "terminated", "truncated" (turn limit) or "stopped" (the evaluation asked for fewer turns)


_KINDS: dict[str, type] = {"run": Run, "turn": Turn, "episode": Episode}


def _plain(value: float) -> float | None:
    return None if math.isnan(value) else value


def revision() -> str:
    """Commit of the source tree, with ``+`` if it has changes; ``"release"`` outside of a checkout."""
    import subprocess

    here = Path(__file__).resolve().parent
    try:
        call = ["git", "-C", str(here), "describe", "--always", "--dirty=+", "--abbrev=12", "--exclude=*"]
        done = subprocess.run(call, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return "release"
    return done.stdout.strip() if done.returncode == 0 and "site-packages" not in str(here) else "release"


class TraceWriter:
    """Writes a trace line by line. An existing file is continued: a torn last line is cut off, never fatal."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists():
            repair(path)
        self._file = path.open("a", encoding="utf-8")

    def write(self, record: Run | Turn | Episode) -> None:
        """Append one record and hand it to the operating system."""
        kind = type(record).__name__.lower()
        self._file.write(json.dumps({"kind": kind, **asdict(record)}, separators=(",", ":")) + "\n")
        self._file.flush()

    def close(self) -> None:
        """Close the file, on disk."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()

    def __enter__(self) -> TraceWriter:
        """Self."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()


def repair(path: Path) -> int:
    """Cut off an unfinished last line; returns the number of bytes removed."""
    data = path.read_bytes()
    keep = data.rfind(b"\n") + 1
    if keep < len(data):
        with path.open("r+b") as file:
            file.truncate(keep)
    return len(data) - keep


def read_trace(path: Path) -> Iterator[Run | Turn | Episode]:
    """The records of a trace, in order; an unfinished last line is passed over.

    Raises:
        TraceError: a damaged line elsewhere, an unknown kind, or another schema; with file and line number.
    """
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            if not line.endswith("\n"):
                return
            try:
                values: dict[str, Any] = json.loads(line)
                kind = _KINDS[values.pop("kind")]
                record = kind(**values)
            except (ValueError, KeyError, TypeError) as error:
                raise TraceError(f"{path}:{number}: not a trace record ({error})") from error
            if isinstance(record, Run) and record.schema != SCHEMA:
                raise TraceError(f"{path}:{number}: schema {record.schema}, this version reads {SCHEMA}")
            yield record
