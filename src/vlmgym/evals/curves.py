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
    known = set[str]()
    for summary in map(read_summary, summaries):
        dials = {
            "look": asdict(get_look(summary["task"]["look"])),
            "level": asdict(known_game(summary["task"]["game"]).level(summary["task"]["level"])),
        }
        numbers = {
            key for key, value in dials.get(kind, {}).items() if isinstance(value, (int, float))
        }
        known |= numbers
        if name not in numbers:
            continue
        value = float(dials[kind].pop(name))
        line, task = _rest(summary, kind, name, dials)
        point = lines[line].get(value)
        if point is None or point.summary["episodes"]["n"] < summary["episodes"]["n"]:
            lines[line][value] = _Point(summary, task)
    if name not in known:
        named = ", ".join(f"{kind}.{dial}" for dial in sorted(known))
        allowed = named or "look.FIELD or level.FIELD, of evaluations"
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
    rest: str  # all other settings


class _Point(NamedTuple):
    summary: dict[str, Any]
    task: str  # the settings that decide what is asked, in words


def _rest(
    summary: Mapping[str, Any], kind: str, name: str, dials: Mapping[str, Any]
) -> tuple[_Line, str]:
    """The line of an evaluation, and all that is asked but for the dial, in words.

    Args:
        summary: of the evaluation.
        kind: ``"look"`` or ``"level"``.
        name: of the dial, a field of that.
        dials: look and level without it.
    """
    task = summary["task"]
    how = {key: value for key, value in summary["evaluation"].items() if key not in RECORDING}
    how |= {"prompt": task["prompt"], "reply": task.get("reply", "")}
    if how.get("start") == "walk":
        how |= {key: task[key] for key in WALK}
    line = _Line(
        summary["player"],
        summary.get("identity", ""),
        task["game"],
        json.dumps([dials, how], sort_keys=True),
    )
    words = [f"{key} {_without(task[key], name if key == kind else '')}" for key in dials]
    return line, ", ".join(filter(None, [*words, settings_text(how)]))


def _curve(player: str, game: str, field: str, points: Mapping[float, _Point]) -> Curve:
    """The points of a line, in the order of the dial."""
    values = sorted(points)
    measured = [points[value].summary["metrics"] for value in values]
    metrics = {
        key: tuple(Estimate.from_dict(metrics[key]) for metrics in measured) for key in measured[0]
    }
    return Curve(player, game, field, points[values[0]].task, tuple(values), metrics)


def _without(text: str, name: str) -> str:
    """The text of a preset without one of its fields."""
    preset, values = read_dial(text)
    rest = ",".join(
        f"{key}={json.dumps(value).strip(chr(34))}" for key, value in values.items() if key != name
    )
    return f"{preset}:{rest}" if rest else preset


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
    ends, colon, last = text.rpartition(":")
    if text in ("true,false", "false,true"):
        return [word == "true" for word in text.split(",")]
    try:
        values = [float(number) for number in (ends.split(":") if colon else text.split(","))]
        if colon:
            low, high = values
            count = int(last)
            if not 2 <= count <= 1000:
                raise ConfigError("sweep", text, allowed)
            values = [round(low + (high - low) * i / (count - 1), 12) for i in range(count)]
    except ValueError as error:
        raise ConfigError("sweep", text, allowed) from error
    if not values or not all(map(math.isfinite, values)) or len(set(values)) < len(values):
        raise ConfigError("sweep", text, allowed)
    return [int(value) if value.is_integer() else value for value in values]
