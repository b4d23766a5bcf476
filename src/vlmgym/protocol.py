"""Protocols: what several players are asked, fixed in a file, so that their numbers can be compared."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

from vlmgym.core import ConfigError
from vlmgym.evaluate import Evaluation, evaluate_all
from vlmgym.players.base import Player
from vlmgym.tasks import Task


@dataclass(frozen=True)
class Protocol:
    """Tasks, each with how it is measured, and how models sample.

    Attributes:
        entries: task and evaluation settings, in the order of the file.
        sampling: fields of the requests of models, such as ``max_tokens`` and ``temperature``.
    """

    entries: tuple[tuple[Task, Evaluation], ...]
    sampling: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def parse(cls, values: Mapping[str, Any]) -> Protocol:
        """Build from the mapping of a YAML file: ``tasks`` (each may have its own ``evaluation``), ``evaluation``, ``sampling``.

        With ``dials`` (by name, such as ``look.noise``: a list of values) each task comes also with every one of these values,
        one dial at a time.

        Raises:
            ConfigError: a key is unknown, missing, or a value is out of range; the message names it.
        """
        for key in values:
            if key not in ("tasks", "evaluation", "sampling", "dials"):
                raise ConfigError(f"protocol.{key}", values[key], "one of tasks, evaluation, sampling, dials")
        tasks, how, sampling = values.get("tasks"), values.get("evaluation") or {}, values.get("sampling") or {}
        if not isinstance(tasks, list) or not tasks:
            raise ConfigError("protocol.tasks", tasks, "a list with at least one task")
        dials = values.get("dials") or {}
        if not isinstance(dials, Mapping):
            raise ConfigError("protocol.dials", dials, "a mapping of dials to lists of values")
        entries = []
        for number, one in enumerate(tasks):
            for name, part in ((f"tasks.{number}", one), ("evaluation", how), ("sampling", sampling)):
                if not isinstance(part, Mapping):
                    raise ConfigError(f"protocol.{name}", part, "a mapping of settings")
            own = one.get("evaluation") or {}
            if not isinstance(own, Mapping):
                raise ConfigError(f"protocol.tasks.{number}.evaluation", own, "a mapping of settings")
            entry = Task.parse({k: v for k, v in one.items() if k != "evaluation"}), Evaluation.parse({**how, **own})
            entries.append(entry)
            for dial, steps in dials.items():
                if not isinstance(steps, list) or not steps:
                    raise ConfigError(f"protocol.dials.{dial}", steps, "a list of values")
                entries += cls((entry,)).swept(dial, steps).entries
        if len(set(entries)) < len(entries):
            twice = next(task for task, _ in entries if sum(task == other for other, _ in entries) > 1)
            raise ConfigError("protocol.tasks", f"{twice.game} {twice.level} {twice.look} twice", "each task once")
        return cls(tuple(entries), dict(sampling))

    def swept(self, dial: str, values: Sequence[Any]) -> Protocol:
        """Each task once for every value of a dial: ``look.noise``, ``level.rows`` ...

        Raises:
            ConfigError: no such dial, or a value out of its range.
        """
        part, _, name = dial.partition(".")
        if part not in ("look", "level") or not name:
            raise ConfigError("sweep", dial, "look.FIELD or level.FIELD")
        entries = []
        for task, how in self.entries:
            text = getattr(task, part)
            for value in values:
                changed = f"{text}{',' if ':' in text else ':'}{name}={value}"
                entries.append((task.override(**{part: changed}), how))
        return Protocol(tuple(entries), self.sampling)

    def names(self) -> list[str]:
        """A folder name for each entry: the game, and what tells it apart from its namesakes."""
        found = []
        for task, how in self.entries:
            same = [(t, h) for t, h in self.entries if t.game == task.game]
            parts = [task.game]
            for key in ("level", "look", "prompt", "walk_min", "walk_max"):
                if len({getattr(t, key) for t, _ in same}) > 1:
                    parts.append(str(getattr(task, key)))
            if len({h for t, h in same if t == task}) > 1:
                parts.append(str([h for t, h in same if t == task].index(how)))
            found.append(slug("-".join(parts)))
        return found

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values, with every setting; ``parse`` reads them back."""
        return {"tasks": [{**asdict(task), "evaluation": asdict(how)} for task, how in self.entries], "sampling": self.sampling}


def slug(text: str) -> str:
    """A name as that of a folder; two names that become alike are told apart by the trace, which knows whose it is."""
    return re.sub(r"[^\w.=,-]+", "-", text, flags=re.ASCII).strip("-.") or "player"


def run_protocol(
    protocol: Protocol, players: Mapping[str, Callable[[], Player]], out: Path, progress: bool = True
) -> dict[str, list[dict[str, Any]]]:
    """Measure players on all tasks; go on where an earlier run of the same protocol ended, whenever and however that was.

    Writes ``protocol.json`` and, for each player and task, ``eval/PLAYER/TASK/`` with ``trace.jsonl`` and ``summary.json``.

    Args:
        protocol: what is asked.
        players: makers of players by the name of their folder; a player is made when it is first asked.
        out: folder of the run; players may be added to it later.
        progress: show progress bars.

    Returns:
        The summaries of each player, in the order of the protocol's entries.

    Raises:
        ConfigError: the folder holds a run of another protocol; the message names what differs.
    """
    out.mkdir(parents=True, exist_ok=True)
    path, now = out / "protocol.json", json.loads(json.dumps(protocol.to_dict()))
    if path.exists():
        before = json.loads(path.read_text(encoding="utf-8"))
        if before != now:
            raise ConfigError(f"{out}: protocol", *_difference(now, before))
    else:
        path.write_text(json.dumps(now, indent=1) + "\n", encoding="utf-8")
    found: dict[str, list[dict[str, Any]]] = {}
    for name, make in players.items():
        player: Player | None = None
        summaries: dict[int, dict[str, Any]] = {}
        numbered = list(enumerate(zip(protocol.entries, protocol.names(), strict=True)))
        for how, group in groupby(sorted(numbered, key=lambda one: repr(one[1][0][1])), key=lambda one: one[1][0][1]):
            part = list(group)
            folders = [out / "eval" / slug(name) / folder for _, (_, folder) in part]
            if all(_complete(folder) for folder in folders):
                texts = [(folder / "summary.json").read_text(encoding="utf-8") for folder in folders]
                done = [json.loads(text) for text in texts]
            else:
                player = player or make()
                done = evaluate_all(player, [task for _, ((task, _), _) in part], how, folders, progress)
            summaries |= {number: summary for (number, _), summary in zip(part, done, strict=True)}
        found[name] = [summaries[number] for number in sorted(summaries)]
    return found


def _complete(folder: Path) -> bool:
    """Whether an evaluation ended, without failed episodes (which are tried again)."""
    path = folder / "summary.json"
    return path.exists() and json.loads(path.read_text(encoding="utf-8"))["episodes"]["failed"] == 0


def _difference(now: dict[str, Any], before: dict[str, Any]) -> tuple[str, str]:
    """The first thing in which two protocols differ, as (value, allowed)."""
    if len(now["tasks"]) != len(before["tasks"]):
        return f"{len(now['tasks'])} tasks", f"the {len(before['tasks'])} tasks of the run there, or another folder"
    for number, (one, other) in enumerate(zip(now["tasks"], before["tasks"], strict=True)):
        for key in one:
            if one[key] != other.get(key):
                return f"tasks.{number}.{key} = {one[key]}", f"{other.get(key)}, as in the run there, or another folder"
    return f"sampling = {now['sampling']}", f"{before['sampling']}, as in the run there, or another folder"
