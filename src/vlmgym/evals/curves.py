"""How players fare as one dial is turned."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from vlmgym.core import ConfigError, read_dial
from vlmgym.evals.estimates import Estimate
from vlmgym.evals.folders import RECORDING, settings_text, told_apart
from vlmgym.evals.settings import WALK
from vlmgym.evals.summaries import read_summary
from vlmgym.games import known_game
from vlmgym.render.looks import get_look


@dataclass(frozen=True)
class Curve:
    """How one player fares in one game as one dial is turned and all else stays."""

    player: str
    game: str
    field: str  # of the dial: look.noise, level.rows ...
    task: str  # what stays the same
    values: tuple[float, ...]  # of the dial, ascending
    metrics: dict[str, tuple[Estimate, ...]]  # one for each value


def curve(summaries: Sequence[Path | dict[str, Any]], field: str) -> list[Curve]:
    """Metrics against the value of one dial: one line for each player, game, and setting of
    everything else.

    The value is that of the look or level which the text of the task stands for, so presets have
    their true values. Evaluations that differ in anything but this dial (and the number of
    episodes) are on different lines. Of two evaluations with the same value on a line, the one with
    more episodes counts.

    Args:
        summaries: as :func:`vlmgym.evals.evaluation.evaluate` returns them, their files, or the
            folders of these.
        field: ``look.FIELD`` or ``level.FIELD``, of numbers or truth values (0 and 1). Games
            without the field are passed over.

    Raises:
        ConfigError: no look, or no level of these games, has such a field.
    """
    kind, _, name = field.partition(".")
    lines = defaultdict[_Line, dict[float, _Point]](dict)
    known_dials = set[str]()
    for summary in map(read_summary, summaries):
        task = summary["task"]
        presets = {
            "look": asdict(get_look(task["look"])),
            "level": asdict(known_game(task["game"]).level(task["level"])),
        }
        fields = presets.get(kind, {})
        dials = {dial for dial, value in fields.items() if isinstance(value, (int, float))}
        known_dials |= dials
        if name not in dials:
            continue
        value = float(fields.pop(name))
        line, text = _line_of(summary, kind, name, presets)
        point = lines[line].get(value)
        if point is None or point.summary["episodes"]["n"] < summary["episodes"]["n"]:
            lines[line][value] = _Point(summary, text)
    if name not in known_dials:
        dial_names = ", ".join(f"{kind}.{dial}" for dial in sorted(known_dials))
        allowed = dial_names or "look.FIELD or level.FIELD, of evaluations"
        raise ConfigError("field", field, f"a dial of numbers: {allowed}")
    players = told_apart(
        [(line.player, line.identity, line.identity[:8] or "earlier version") for line in lines]
    )
    return [
        _curve(player, line.game, field, points)
        for player, (line, points) in zip(players, lines.items(), strict=True)
    ]


class _Line(NamedTuple):
    """What the points of a line have in common."""

    player: str
    identity: str
    game: str
    settings: str  # all others


class _Point(NamedTuple):
    summary: dict[str, Any]
    task: str  # the settings that decide what is asked, in words


def _line_of(
    summary: Mapping[str, Any], kind: str, name: str, presets: Mapping[str, Any]
) -> tuple[_Line, str]:
    """The line of an evaluation, and all that is asked but for the dial, in words.

    Args:
        summary: of the evaluation.
        kind: ``"look"`` or ``"level"``.
        name: of the dial, a field of that.
        presets: look and level without it.
    """
    task = summary["task"]
    evaluation = summary["evaluation"].items()
    settings = {field: value for field, value in evaluation if field not in RECORDING}
    settings |= {"prompt": task["prompt"], "reply": task.get("reply", "")}
    if settings.get("start") == "walk":
        settings |= {field: task[field] for field in WALK}
    line = _Line(
        summary["player"],
        summary.get("identity", ""),
        task["game"],
        json.dumps([presets, settings], sort_keys=True),
    )
    words = []
    for preset in presets:
        dial = name if preset == kind else ""
        words.append(f"{preset} {_without(task[preset], dial)}")
    words.append(settings_text(settings))
    return line, ", ".join(filter(None, words))


def _curve(player: str, game: str, field: str, points: Mapping[float, _Point]) -> Curve:
    """The points of a line, in the order of the dial."""
    values = sorted(points)
    measured = [points[value].summary["metrics"] for value in values]
    metrics = {}
    for name in dict.fromkeys(name for estimates in measured for name in estimates):
        metrics[name] = tuple(Estimate.from_dict(estimates.get(name, {})) for estimates in measured)
    task = points[values[0]].task
    return Curve(player, game, field, task, tuple(values), metrics)


def _without(text: str, name: str) -> str:
    """The text of a preset without one of its fields."""
    preset, fields = read_dial(text)
    fields.pop(name, None)
    texts = [f"{field}={json.dumps(value).strip(chr(34))}" for field, value in fields.items()]
    return f"{preset}:{','.join(texts)}" if texts else preset


def _evenly_spaced(low: float, high: float, count: int) -> list[float]:
    """So many numbers from ``low`` to ``high``; ValueError for a count that is not 2 to 1000."""
    if not 2 <= count <= 1000:
        raise ValueError(count)
    width = high - low
    return [round(low + width * i / (count - 1), 12) for i in range(count)]


def sweep(text: str) -> list[float]:
    """The values of a dial: ``0:1:5`` (from, to, count; both ends included), ``0,0.1,0.3`` or
    ``false,true``.

    Whole numbers are ints.

    Raises:
        ConfigError: no numbers, a count that is not 2 to 1000, or a value that comes twice.
    """
    allowed = (
        "from:to:count, as 0:1:5, with a count of 2 to 1000; or numbers joined by commas, as "
        "0,0.1,0.3, each once"
    )
    if text in ("true,false", "false,true"):
        return [word == "true" for word in text.split(",")]
    ends, colon, count = text.rpartition(":")
    try:
        if colon:
            low, high = (float(end) for end in ends.split(":"))
            values = _evenly_spaced(low, high, int(count))
        else:
            values = [float(number) for number in text.split(",")]
    except ValueError as error:
        raise ConfigError("sweep", text, allowed) from error
    are_distinct = len(set(values)) == len(values)
    if not values or not are_distinct or not all(map(math.isfinite, values)):
        raise ConfigError("sweep", text, allowed)
    return [int(value) if value.is_integer() else value for value in values]
