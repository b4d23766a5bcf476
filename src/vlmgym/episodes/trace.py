"""One JSONL file of what happened: a run line, then turns and episodes.

Everything downstream reads these.

Pictures are not stored; they are drawn again from the state of each turn.
"""

from __future__ import annotations

import json
import math
import os
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import MISSING, asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import vlmgym
from vlmgym.core import Game, State, VlmGymError
from vlmgym.core.files import shown, whole_text, write_atomically
from vlmgym.core.kernels import usable_cores
from vlmgym.dialogue.judge import TERM_RANGES, Fault, Judgement
from vlmgym.dialogue.prompt import Blocks, Problem, patterns
from vlmgym.games import read_state_text, state_text
from vlmgym.players.base import Answer

SCHEMA = 1
USAGE = ("input_tokens", "output_tokens", "reasoning_tokens", "cost", "attempts", "finish")
ENDS = ("terminated", "truncated", "stopped", "stuck", "failed")
"""How an episode can end: by the rules, at its turn limit, as fewer turns were asked for, in a
loop, without an answer.
"""


class TraceError(VlmGymError, ValueError):
    """A file that is no trace, one of another schema, or one that contradicts itself."""


@dataclass(frozen=True)
class EvaluationRun:
    """The first line of a trace: what was run."""

    player: str
    game: str
    level: str
    look: str
    prompt: str = "full"
    mode: str = "strict"
    # all settings of vlmgym.evals.settings.Evaluation
    evaluation: dict[str, Any] = field(default_factory=dict)
    about: dict[str, Any] = field(default_factory=dict)  # see Player.describe
    identity: str = ""  # see Player.identity; "" in traces of versions before there was one
    sees: str = "picture"  # see Player.sees
    schema: int = SCHEMA
    version: str = field(default_factory=lambda: vlmgym.__version__)
    revision: str = field(default_factory=lambda: revision())
    reply: str = (
        ""  # names of the blocks, see vlmgym.dialogue.prompt.Blocks; empty = the usual ones
    )


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
    # input_tokens, output_tokens, reasoning_tokens, cost, attempts, finish
    usage: dict[str, Any] = field(default_factory=dict)

    @staticmethod
    def of(
        game: Game,
        state: State,
        row: int,
        judged: Judgement,
        episode: int,
        turn: int,
        answer: Answer,
    ) -> Turn:
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
            usage={
                key: value
                for key in USAGE
                if (value := getattr(answer, key)) != getattr(Answer, key)
            },
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
    # "terminated", "truncated" (turn limit), "stopped" (fewer turns were asked for), "stuck" or
    # "failed"
    end: str
    repeat: int = 0  # number of the repetition of this start
    reason: str = ""  # why it failed: it counts as missing, not as lost


_KINDS: dict[str, type] = {"run": EvaluationRun, "turn": Turn, "episode": Episode}
_NAMES = {kind: name for name, kind in _KINDS.items()}


def _plain(value: float) -> float | None:
    return None if math.isnan(value) else value


def revision() -> str:
    """Commit of the source tree, with ``+`` if it has changes; ``"release"`` outside of a
    checkout.
    """
    import subprocess

    here = Path(__file__).resolve().parent
    try:
        call = [
            "git",
            "-C",
            str(here),
            "describe",
            "--always",
            "--dirty=+",
            "--abbrev=12",
            "--exclude=*",
        ]
        done = subprocess.run(call, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return "release"
    return (
        done.stdout.strip()
        if done.returncode == 0 and "site-packages" not in str(here)
        else "release"
    )


def machine(*packages: str) -> dict[str, Any]:
    """What something was run on, and with which versions of the packages.

    Args:
        packages: their names; those that are not installed are left out. With ``torch``, its GPU is
            named.
    """
    import platform
    from importlib.metadata import PackageNotFoundError, version

    info, model = Path("/proc/cpuinfo"), platform.processor() or platform.machine()
    if info.exists():
        model = next(
            (
                x.split(": ", 1)[1]
                for x in info.read_text().splitlines()
                if x.startswith("model name")
            ),
            model,
        )
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
        data = b"".join(map(_line, records))
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


def _line(record: EvaluationRun | Turn | Episode) -> bytes:
    values = {"kind": _NAMES[type(record)], **asdict(record)}
    return (json.dumps(values, separators=(",", ":"), allow_nan=False) + "\n").encode()


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
    write_atomically(path, _line(run) + rest)


# ---- reading
_DEEPEST = 30
"""Levels of nesting that settings in a trace may have."""


def is_plain(value: Any, depth: int = _DEEPEST) -> bool:
    """Whether a value is JSON that is not nested deep, and holds no number that is not finite."""
    if isinstance(value, dict):
        return depth > 0 and all(
            isinstance(key, str) and is_plain(one, depth - 1) for key, one in value.items()
        )
    if isinstance(value, list):
        return depth > 0 and all(is_plain(one, depth - 1) for one in value)
    return (
        value is None
        or type(value) in (str, bool, int)
        or (type(value) is float and math.isfinite(value))
    )


def _whole(low: int, high: int) -> Callable[[Any], bool]:
    return lambda value: type(value) is int and low <= value <= high


def _number(low: float, high: float) -> Callable[[Any], bool]:
    """Whole ones only as far as a float holds them exactly, since that is what tables make of
    them.
    """
    return lambda value: (
        (type(value) is float or (type(value) is int and abs(value) <= 2**53))
        and low <= value <= high
    )


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _truth(value: Any) -> bool:
    return isinstance(value, bool)


def _among(*allowed: str) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, str) and value in allowed


def _or_none(check: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: value is None or check(value)


def _settings(value: Any) -> bool:
    return isinstance(value, dict) and is_plain(value)


def _board(value: Any) -> bool:
    """Rows of equal length, of symbols or -1."""
    return (
        isinstance(value, list)
        and all(
            isinstance(row, list) and all(type(one) is int and -1 <= one <= 32_767 for one in row)
            for row in value
        )
        and len({len(row) for row in value}) < 2
    )


_COUNT, _SEED, _FINITE = _whole(0, 10**15), _whole(0, 2**64 - 1), _number(-1e300, 1e300)
_TERMS = {term: _number(least, most) for term, (least, most) in TERM_RANGES.items()}
_LATER_TERMS = {"balanced"}
"""Terms that traces of earlier versions do not have."""
_USAGE = dict.fromkeys(USAGE, _COUNT) | {"cost": _or_none(_number(0, 1e12)), "finish": _text}


def _terms(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and value.keys() >= _TERMS.keys() - _LATER_TERMS
        and all(_TERMS.get(k, _FINITE)(v) for k, v in value.items())
    )


def _blocks(value: Any) -> bool:
    return isinstance(value, str) and str(Blocks.of(value)) == value


def _used(value: Any) -> bool:
    return isinstance(value, dict) and all(
        key in _USAGE and _USAGE[key](one) for key, one in value.items()
    )


_FIELDS: dict[type, dict[str, Callable[[Any], bool]]] = {
    EvaluationRun: dict.fromkeys(
        (
            "player",
            "game",
            "level",
            "look",
            "prompt",
            "mode",
            "identity",
            "sees",
            "version",
            "revision",
        ),
        _text,
    )
    | {"evaluation": _settings, "about": _settings, "schema": _COUNT, "reply": _blocks},
    Turn: dict.fromkeys(("state", "reply", "reasoning"), _text)
    | {
        "episode": _COUNT,
        "turn": _COUNT,
        "seed": _SEED,
        "gain": _whole(-(10**15), 10**15),
        "seconds": _number(0, 1e12),
    }
    | {"action": _whole(-1, 2**31), "oracle_action": _whole(-1, 2**31)}
    | {
        "problem": _among(*Problem),
        "fault": _among(*Fault),
        "terms": _terms,
        "usage": _used,
        "seen": _board,
    }
    | {"p_acc": _or_none(_truth), "localises": _truth, "enumerates": _truth}
    | {"oracle_value": _or_none(_FINITE), "oracle_best": _or_none(_FINITE)},
    Episode: {
        "episode": _COUNT,
        "seed": _SEED,
        "turns": _COUNT,
        "score": _whole(-(10**15), 10**15),
        "repeat": _COUNT,
    }
    | {"reward": _FINITE, "end": _among(*ENDS), "reason": _text},
}
"""What each field of each kind of record may hold."""


def _record(line: bytes) -> EvaluationRun | Turn | Episode:
    """The record of a line; ValueError says what is wrong with it."""
    values = json.loads(line.decode())
    if not isinstance(values, dict):
        raise ValueError(f"a {type(values).__name__}, where a record was expected")
    values = _whole_texts(values) if b"\\ud" in line.lower() else values
    kind = values.pop("kind", None)
    if not isinstance(kind, str) or kind not in _KINDS:
        raise ValueError(f"its kind is none of {', '.join(_KINDS)}")
    checks = _FIELDS[_KINDS[kind]]
    for name, value in values.items():
        if name not in checks:
            raise ValueError(f"a {kind} has no field {shown(name)[:40]!r}")
        if not checks[name](value):
            raise ValueError(f"{kind}.{name} cannot be {shown(repr(value))[:80]}")
    needed = [
        one.name
        for one in fields(_KINDS[kind])
        if one.default is MISSING and one.default_factory is MISSING
    ]
    if missing := [name for name in needed if name not in values]:
        raise ValueError(f"{kind}.{missing[0]} is missing")
    record: EvaluationRun | Turn | Episode = _KINDS[kind](**values)
    if isinstance(record, EvaluationRun) and record.schema != SCHEMA:
        raise ValueError(f"schema {record.schema}, this version reads {SCHEMA}")
    return record


def _whole_texts(value: Any) -> Any:
    if isinstance(value, str):
        return whole_text(value)
    if isinstance(value, dict):
        return {whole_text(key): _whole_texts(one) for key, one in value.items()}
    return [_whole_texts(one) for one in value] if isinstance(value, list) else value


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
                    record = _record(line)
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
    run, turns, episodes = None, list[Turn](), dict[int, Episode]()
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
    repeats, starts = evaluation.get("repeats", 1), evaluation.get("episodes")
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
