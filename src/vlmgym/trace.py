"""One JSONL file of what happened: a run line, then turns and episodes. Everything downstream reads these.

Pictures are not stored; they are drawn again from the state of each turn.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import vlmgym
from vlmgym.core import Game, State, VlmGymError
from vlmgym.files import whole_text
from vlmgym.games import read_state_text, state_text
from vlmgym.kernels import usable_cores
from vlmgym.prompt import patterns
from vlmgym.reward import Judgement

SCHEMA = 1
CUT, REFUSED = "length", "refusal"
"""Words of :attr:`Answer.finish` with a meaning: the reply was cut at its limit of tokens; the model or its provider refused."""
USAGE = ("input_tokens", "output_tokens", "reasoning_tokens", "cost", "attempts", "finish")


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
    evaluation: dict[str, Any] = field(default_factory=dict)  # all settings of vlmgym.evaluate.Evaluation
    about: dict[str, Any] = field(default_factory=dict)  # see Player.describe
    schema: int = SCHEMA
    version: str = field(default_factory=lambda: vlmgym.__version__)
    revision: str = field(default_factory=lambda: revision())
    reply: str = ""  # names of the blocks, see vlmgym.prompt.Blocks; empty = the usual ones


@dataclass(frozen=True)
class Answer:
    """A reply with what is known of how it came about; the text alone is what is judged."""

    text: str = ""
    reasoning: str = ""  # what a reasoning model thought, if the endpoint tells it apart from the reply
    seconds: float = 0.0  # wall time, attempts and waits included
    input_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0  # among the output tokens
    cost: float | None = None  # US dollars
    attempts: int = 1
    finish: str = ""  # why the model stopped: CUT, REFUSED, or the endpoint's own word ("stop" ...); "" where it is not known
    failure: str = ""  # not empty: there is no reply, for this reason

    def __post_init__(self) -> None:
        """Texts are made such that they can be written down: halves of surrogate pairs become U+FFFD."""
        for name in ("text", "reasoning", "finish", "failure"):
            object.__setattr__(self, name, whole_text(getattr(self, name)))

    @staticmethod
    def of(reply: str | Answer) -> Answer:
        """An answer from what a player gave: a text alone, or an Answer."""
        return Answer(reply) if isinstance(reply, str) else reply


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
    reasoning: str = ""  # told apart from the reply by the endpoint
    usage: dict[str, Any] = field(default_factory=dict)  # input_tokens, output_tokens, reasoning_tokens, cost, attempts, finish

    @staticmethod
    def of(game: Game, state: State, row: int, judged: Judgement, episode: int, turn: int, answer: Answer) -> Turn:
        """The record of row ``row`` of ``state``, the answer and its judgement."""
        localises, enumerates = patterns(judged.reply, game.sample(state.level).names)
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
            localises=localises,
            enumerates=enumerates,
            seen=judged.seen.symbols.tolist(),
            oracle_value=_plain(judged.oracle_value),
            oracle_best=_plain(judged.oracle_best),
            oracle_action=judged.oracle_action,
            seconds=round(answer.seconds, 6),
            reasoning=answer.reasoning,
            usage={key: value for key in USAGE if (value := getattr(answer, key)) != getattr(Answer, key)},
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
    end: str  # "terminated", "truncated" (turn limit), "stopped" (fewer turns were asked for), "stuck" or "failed"
    repeat: int = 0  # number of the repetition of this start
    reason: str = ""  # why it failed: it counts as missing, not as lost


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


def machine(*packages: str) -> dict[str, Any]:
    """What something was run on, and with which versions of the packages.

    Args:
        packages: their names; those that are not installed are left out. With ``torch``, its GPU is named.
    """
    import platform
    from importlib.metadata import PackageNotFoundError, version

    info, model = Path("/proc/cpuinfo"), platform.processor() or platform.machine()
    if info.exists():
        model = next((x.split(": ", 1)[1] for x in info.read_text().splitlines() if x.startswith("model name")), model)
    found = dict[str, str]()
    for package in packages:
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    gpu = ""
    if "torch" in found:
        import torch

        gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else ""
    return {
        "gpu": gpu,
        "cpu": model,
        "cores": usable_cores(),
        "system": f"{platform.system()}, Python {platform.python_version()}",
        "versions": found,
        "vlmgym": f"{vlmgym.__version__} ({revision()})",
    }


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


@dataclass(frozen=True)
class Trace:
    """A whole trace: its run, the turns in the order in which they were answered, and the latest record of each episode."""

    run: Run
    turns: list[Turn]
    episodes: list[Episode]

    def finished(self) -> list[Turn]:
        """The turns of episodes that came to an end: neither cut off, nor failed."""
        done = {one.episode for one in self.episodes if one.end != "failed"}
        return [turn for turn in self.turns if turn.episode in done]


def load_trace(path: Path) -> Trace:
    """All of a trace at once.

    Raises:
        TraceError: see :func:`read_trace`; or the file has no run line.
    """
    run, turns, episodes = None, list[Turn](), dict[int, Episode]()
    for record in read_trace(path):
        if isinstance(record, Run):
            run = record
        elif isinstance(record, Turn):
            turns.append(record)
        else:
            episodes[record.episode] = record
    if run is None:
        raise TraceError(f"{path}: no run line")
    return Trace(run, turns, [episodes[key] for key in sorted(episodes)])
