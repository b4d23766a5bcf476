"""Records as lines of JSON, and what each field of each kind of record may hold."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import MISSING, asdict, fields
from typing import Any

from vlmgym.core.files import is_plain, shown, whole_text
from vlmgym.dialogue.judge import Fault
from vlmgym.dialogue.reply import Blocks, Problem
from vlmgym.dialogue.thinking import NamedTiles
from vlmgym.dialogue.weights import TERM_RANGES
from vlmgym.episodes.records import ENDS, NEEDED, SCHEMA, USAGE, Episode, EvaluationRun, Turn

_KINDS: dict[str, type] = {"run": EvaluationRun, "turn": Turn, "episode": Episode}
_NAMES = {kind: name for name, kind in _KINDS.items()}


def line_of(record: EvaluationRun | Turn | Episode) -> bytes:
    """A record as a line of a trace."""
    values = {"kind": _NAMES[type(record)], **asdict(record)}
    if values.get("needed") == "":  # as in traces of versions that did not record it
        del values["needed"]
    line = json.dumps(values, separators=(",", ":"), allow_nan=False) + "\n"
    return line.encode()


_Check = Callable[[Any], bool]
"""Whether a field may hold a JSON value."""


def _integer(low: int, high: int) -> _Check:
    return lambda value: type(value) is int and low <= value <= high


def _number(low: float, high: float) -> _Check:
    """Whole ones only as far as a float holds them exactly, since that is what tables make of
    them.
    """

    def check(value: Any) -> bool:
        is_exact = type(value) is float or (type(value) is int and abs(value) <= 2**53)
        return is_exact and low <= value <= high

    return check


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _boolean(value: Any) -> bool:
    return isinstance(value, bool)


def _among(*allowed: str) -> _Check:
    return lambda value: isinstance(value, str) and value in allowed


def _or_none(check: _Check) -> _Check:
    return lambda value: value is None or check(value)


def _settings(value: Any) -> bool:
    return isinstance(value, dict) and is_plain(value)


def _board(value: Any) -> bool:
    """Rows of equal length, of symbols or -1."""
    if not isinstance(value, list) or not all(isinstance(row, list) for row in value):
        return False
    if len({len(row) for row in value}) > 1:
        return False
    return all(type(symbol) is int and -1 <= symbol <= 32_767 for row in value for symbol in row)


_COUNT = _integer(0, 10**15)
_POINTS = _integer(-(10**15), 10**15)
_ACTION = _integer(-1, 2**31)
_SEED = _integer(0, 2**64 - 1)
_FINITE = _number(-1e300, 1e300)
_TERMS = {term: _number(low, high) for term, (low, high) in TERM_RANGES.items()}
_LATER_TERMS = {"balanced", "value"}
"""Terms that traces of earlier versions do not have."""
_USAGE = dict.fromkeys(USAGE, _COUNT) | {"cost": _or_none(_number(0, 1e12)), "finish": _text}


def _terms(value: Any) -> bool:
    if not isinstance(value, dict) or not value.keys() >= _TERMS.keys() - _LATER_TERMS:
        return False
    return all(_TERMS.get(term, _FINITE)(number) for term, number in value.items())


def _blocks(value: Any) -> bool:
    return isinstance(value, str) and str(Blocks.of(value)) == value


def _named_tiles(value: Any) -> bool:
    counts = len(NamedTiles._fields)
    return isinstance(value, list) and len(value) == counts and all(map(_COUNT, value))


def _usage(value: Any) -> bool:
    if not isinstance(value, dict):
        return False
    return all(name in _USAGE and _USAGE[name](number) for name, number in value.items())


_RUN_FIELDS: dict[str, _Check] = {
    "player": _text,
    "game": _text,
    "level": _text,
    "look": _text,
    "prompt": _text,
    "mode": _text,
    "identity": _text,
    "sees": _text,
    "version": _text,
    "revision": _text,
    "evaluation": _settings,
    "about": _settings,
    "schema": _COUNT,
    "reply": _blocks,
    "attribution": _COUNT,
}
_TURN_FIELDS: dict[str, _Check] = {
    "state": _text,
    "reply": _text,
    "reasoning": _text,
    "episode": _COUNT,
    "turn": _COUNT,
    "seed": _SEED,
    "gain": _POINTS,
    "seconds": _number(0, 1e12),
    "action": _ACTION,
    "oracle_action": _ACTION,
    "problem": _among(*Problem),
    "fault": _among(*Fault),
    "terms": _terms,
    "usage": _usage,
    "seen": _board,
    "p_acc": _or_none(_boolean),
    "named_tiles": _or_none(_named_tiles),
    "needed": _among("", *NEEDED),
    "localises": _boolean,
    "enumerates": _boolean,
    "oracle_value": _or_none(_FINITE),
    "oracle_best": _or_none(_FINITE),
}
_EPISODE_FIELDS: dict[str, _Check] = {
    "episode": _COUNT,
    "seed": _SEED,
    "turns": _COUNT,
    "score": _POINTS,
    "repeat": _COUNT,
    "reward": _FINITE,
    "end": _among(*ENDS),
    "reason": _text,
}
_FIELDS: dict[type, dict[str, _Check]] = {
    EvaluationRun: _RUN_FIELDS,
    Turn: _TURN_FIELDS,
    Episode: _EPISODE_FIELDS,
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
    for field in fields(_KINDS[kind]):
        is_needed = field.default is MISSING and field.default_factory is MISSING
        if is_needed and field.name not in values:
            raise ValueError(f"{kind}.{field.name} is missing")
    record: EvaluationRun | Turn | Episode = _KINDS[kind](**values)
    if isinstance(record, EvaluationRun) and record.schema != SCHEMA:
        raise ValueError(f"schema {record.schema}, this version reads {SCHEMA}")
    return record


def _whole_texts(value: Any) -> Any:
    if isinstance(value, str):
        return whole_text(value)
    if isinstance(value, dict):
        return {whole_text(name): _whole_texts(field) for name, field in value.items()}
    if isinstance(value, list):
        return [_whole_texts(element) for element in value]
    return value
