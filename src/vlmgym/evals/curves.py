"""How players fare as one dial is turned."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vlmgym.core import ConfigError, read_dial
from vlmgym.evals.estimates import Estimate
from vlmgym.evals.folders import RECORDING, settings_text, told_apart
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
    part, _, name = field.partition(".")
    points = defaultdict[tuple[str, ...], dict[float, dict[str, Any]]](dict)
    known = set[str]()
    for summary in map(read_summary, summaries):
        task = summary["task"]
        dials = {
            "look": asdict(get_look(task["look"])),
            "level": asdict(known_game(task["game"]).level(task["level"])),
        }
        numbers = {
            key for key, value in dials.get(part, {}).items() if isinstance(value, (int, float))
        }
        known |= numbers
        if name not in numbers:
            continue
        value = float(dials[part].pop(name))
        texts = {key: _without(task[key], name if key == part else "") for key in dials}
        how = {key: value for key, value in summary["evaluation"].items() if key not in RECORDING}
        walk = ("walk_min", "walk_max", "walk_legal") if how.get("start") == "walk" else ()
        how |= {
            "prompt": task["prompt"],
            "reply": task.get("reply", ""),
            **{key: task[key] for key in walk},
        }
        line = (
            summary["player"],
            summary.get("identity", ""),
            task["game"],
            json.dumps([dials, how], sort_keys=True),
        )
        old = points[line].get(value)
        if old is None or old["episodes"]["n"] < summary["episodes"]["n"]:
            said = [f"{key} {text}" for key, text in texts.items()] + [settings_text(how)]
            points[line][value] = {**summary, "said": ", ".join(filter(None, said))}
    if name not in known:
        allowed = ", ".join(f"{part}.{one}" for one in sorted(known)) or (
            "look.FIELD or level.FIELD, of evaluations"
        )
        raise ConfigError("field", field, f"a dial of numbers: {allowed}")
    found = []
    names = told_apart(
        [(player, who, who[:8] or "earlier version") for player, who, _, _ in points]
    )
    for (_, _, game, _), player, line_points in zip(points, names, points.values(), strict=True):
        values, all_metrics = (
            sorted(line_points),
            [line_points[value]["metrics"] for value in sorted(line_points)],
        )
        metrics = {
            key: tuple(Estimate.from_dict(one[key]) for one in all_metrics)
            for key in all_metrics[0]
        }
        found.append(
            Curve(player, game, field, line_points[values[0]]["said"], tuple(values), metrics)
        )
    return found


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
        found = [float(part) for part in (ends.split(":") if colon else text.split(","))]
        if colon:
            (low, high), count = found, int(last)
            found = (
                [round(low + (high - low) * i / (count - 1), 12) for i in range(count)]
                if 2 <= count <= 1000
                else []
            )
    except ValueError as error:
        raise ConfigError("sweep", text, allowed) from error
    if not found or not all(map(math.isfinite, found)) or len(set(found)) < len(found):
        raise ConfigError("sweep", text, allowed)
    return [int(value) if value.is_integer() else value for value in found]
