"""Records as lines of JSON, and what each field of each kind of record may hold."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import MISSING, asdict, fields
from typing import Any

from vlmgym.core.files import is_plain, shown, whole_text
from vlmgym.dialogue.judge import TERM_RANGES, Fault
from vlmgym.dialogue.reply import Blocks, Problem
from vlmgym.episodes.records import ENDS, SCHEMA, USAGE, Episode, EvaluationRun, Turn

_KINDS: dict[str, type] = {"run": EvaluationRun, "turn": Turn, "episode": Episode}
_NAMES = {kind: name for name, kind in _KINDS.items()}


def line_of(record: EvaluationRun | Turn | Episode) -> bytes:
    """A record as a line of a trace."""
    values = {"kind": _NAMES[type(record)], **asdict(record)}
    return (json.dumps(values, separators=(",", ":"), allow_nan=False) + "\n").encode()


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


_COUNT = _whole(0, 10**15)
_SEED = _whole(0, 2**64 - 1)
_FINITE = _number(-1e300, 1e300)
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


def record_of(line: bytes) -> EvaluationRun | Turn | Episode:
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
