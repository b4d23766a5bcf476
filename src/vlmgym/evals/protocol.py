"""Protocols: what several players are asked, fixed in a file, so that their numbers can be
compared.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

from vlmgym.core import ConfigError, VlmGymError
from vlmgym.core.files import FileError, read_json, write_json
from vlmgym.episodes.task import Task
from vlmgym.episodes.trace import is_plain
from vlmgym.evals.evaluation import evaluate_all, see_that_it_can_play
from vlmgym.evals.folders import first_run
from vlmgym.evals.resuming import differences as differences_of
from vlmgym.evals.resuming import finished, flat, refusal
from vlmgym.evals.settings import Evaluation, run_of
from vlmgym.players.base import Player


@dataclass(frozen=True)
class Protocol:
    """Tasks, each with how it is measured, and how models sample.

    Attributes:
        entries: task and evaluation settings, in the order of the file.
        sampling: fields of the requests of models, such as ``max_tokens`` and ``temperature``.
    """

    entries: tuple[tuple[Task, Evaluation], ...]
    sampling: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check that the sampling can be written down, and sent."""
        for key, value in self.sampling.items():
            if not isinstance(key, str) or not is_plain(value):
                raise ConfigError(f"sampling.{key}", value, "a JSON value of finite numbers")

    @classmethod
    def parse(cls, values: Mapping[str, Any]) -> Protocol:
        """Build from the mapping of a YAML file: ``tasks`` (each may have its own ``evaluation``),
        ``evaluation``, ``sampling``.

        With ``dials`` (by name, such as ``look.noise``: a list of values) each task comes also with
        every one of these values, one dial at a time.

        Raises:
            ConfigError: a key is unknown, missing, or a value is out of range; the message names
                it.
        """
        for key in values:
            if key not in ("tasks", "evaluation", "sampling", "dials"):
                raise ConfigError(
                    f"protocol.{key}", values[key], "one of tasks, evaluation, sampling, dials"
                )
        tasks, how, sampling = (
            values.get("tasks"),
            values.get("evaluation") or {},
            values.get("sampling") or {},
        )
        if not isinstance(tasks, list) or not tasks:
            raise ConfigError("protocol.tasks", tasks, "a list with at least one task")
        dials = values.get("dials") or {}
        if not isinstance(dials, Mapping):
            raise ConfigError("protocol.dials", dials, "a mapping of dials to lists of values")
        entries = []
        for number, one in enumerate(tasks):
            for name, part in (
                (f"tasks.{number}", one),
                ("evaluation", how),
                ("sampling", sampling),
            ):
                if not isinstance(part, Mapping):
                    raise ConfigError(f"protocol.{name}", part, "a mapping of settings")
            own = one.get("evaluation") or {}
            if not isinstance(own, Mapping):
                raise ConfigError(
                    f"protocol.tasks.{number}.evaluation", own, "a mapping of settings"
                )
            entry = (
                Task.parse({k: v for k, v in one.items() if k != "evaluation"}),
                Evaluation.parse({**how, **own}),
            )
            entries.append(entry)
            for dial, steps in dials.items():
                if not isinstance(steps, list) or not steps:
                    raise ConfigError(f"protocol.dials.{dial}", steps, "a list of values")
                entries += cls((entry,)).swept(dial, steps).entries
        if len(set(entries)) < len(entries):
            twice = next(
                task for task, _ in entries if sum(task == other for other, _ in entries) > 1
            )
            raise ConfigError(
                "protocol.tasks",
                f"{twice.names.game} {twice.names.level} {twice.names.look} twice",
                "each task once",
            )
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
            text = task.to_dict()[part]
            for value in values:
                said = (
                    value if isinstance(value, str) and not _is_json(value) else json.dumps(value)
                )
                changed = f"{text}{',' if ':' in text else ':'}{name}={said}"
                entries.append((task.override(**{part: changed}), how))
        return Protocol(tuple(entries), self.sampling)

    def names(self) -> list[str]:
        """A folder name for each entry: the game, and what tells it apart from its namesakes."""
        found = list[str]()
        for task, how in self.entries:
            same = [(t, h) for t, h in self.entries if t.names.game == task.names.game]
            parts = [task.names.game]
            for key in ("level", "look", "prompt", "reply", "walk_min", "walk_max"):
                if len({t.to_dict()[key] for t, _ in same}) > 1:
                    parts.append(str(task.to_dict()[key]))
            if len({h for t, h in same if t == task}) > 1:
                parts.append(str([h for t, h in same if t == task].index(how)))
            name = slug("-".join(parts))
            again = sum(one.partition("~")[0].casefold() == name.casefold() for one in found)
            found.append(f"{name}~{again + 1}" if again else name)
        return found

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values, with every setting; ``parse`` reads them back."""
        return {
            "tasks": [{**task.to_dict(), "evaluation": asdict(how)} for task, how in self.entries],
            "sampling": self.sampling,
        }


def _is_json(text: str) -> bool:
    """Whether a dial would read a text as another value."""
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


LONGEST = 100
"""Letters of a folder's name; file systems end at 255 bytes."""


def slug(text: str) -> str:
    """A name as that of a folder: letters of any alphabet stay; what is longer than :data:`LONGEST`
    is cut, with a digest.
    """
    name = re.sub(r"[^\w.=,-]+", "-", text).strip("-.") or "player"
    if len(name.encode()) <= LONGEST:
        return name
    return (
        name.encode()[: LONGEST - 9].decode(errors="ignore")
        + "-"
        + hashlib.blake2b(text.encode(), digest_size=4).hexdigest()
    )


def run_protocol(
    protocol: Protocol,
    players: Mapping[str, Callable[[], Player]],
    out: Path,
    progress: bool = True,
    heavy: Collection[str] | None = None,
) -> dict[str, list[dict[str, Any]]]:
    """Measure players on all tasks; go on where an earlier run of the same protocol ended, whenever
    and however that was.

    Writes ``protocol.json`` and, for each player and task, ``eval/PLAYER/TASK/`` with
    ``trace.jsonl`` and ``summary.json``. A player finds its folder by what it is, not by its name,
    and a finished evaluation is taken only if it is just the one that is asked for. All players are
    made and checked before anything is written.

    Args:
        protocol: what is asked.
        players: makers of players, by the labels that they get in tables and as names of their
            folders. A player with a model (:attr:`Player.heavy`) leaves the memory before another
            one is made, so that there is never more than one; the last of them plays first, and the
            others are made once more when their turn comes.
        out: folder of the run; players, and episodes of the tasks, may be added to it later.
        progress: show progress bars.
        heavy: the labels of the players with a model; None = any may be one.

    Returns:
        The summaries of each player, in the order of the protocol's entries.

    Raises:
        ConfigError: the folder holds a run of another protocol; the message names what differs.
        VlmGymError: a player cannot be made, or asked.
    """
    entries = list(zip(protocol.entries, protocol.names(), strict=True))
    _continues(protocol, out)
    homes, held, known = _homes(out), dict[str, Player](), dict[str, str]()
    for label, make in players.items():
        if heavy is None or label in heavy:
            held = {name: player for name, player in held.items() if not player.heavy}
        player = held[label] = _made(label, make)
        if same := [name for name, other in known.items() if other == player.identity]:
            raise ConfigError(
                "players",
                f"{same[0]} and {label}",
                "each player once: these are one (repeats ask it again)",
            )
        known[label] = player.identity
        home = homes.setdefault(
            player.identity, _free_home(out, label, player.identity, homes.values())
        )
        see = [
            (task, how)
            for (task, how), name in entries
            if not finished(home / name, run_of(player, task, how))
        ]
        if see:
            see_that_it_can_play(player, see)
        del player
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / "protocol.json", protocol.to_dict())
    found: dict[str, list[dict[str, Any]]] = {}
    for label in _turns([*players], held):
        make = players[label]
        if label not in held:
            held = {name: player for name, player in held.items() if not player.heavy}
        player = held.pop(label) if label in held else _made(label, make)
        home, summaries = homes[player.identity], dict[int, dict[str, Any]]()
        numbered = list(enumerate(entries))
        for how, group in groupby(
            sorted(numbered, key=lambda one: repr(one[1][0][1])), key=lambda one: one[1][0][1]
        ):
            part = [(number, task, home / name) for number, ((task, _), name) in group]
            done: Sequence[dict[str, Any] | None] = [
                finished(folder, run_of(player, task, how)) for _, task, folder in part
            ]
            if not all(done):
                asked = [task for _, task, _ in part]
                done = evaluate_all(
                    player, asked, how, [folder for _, _, folder in part], progress, checked=True
                )
            summaries |= {
                number: summary
                for (number, _, _), summary in zip(part, done, strict=True)
                if summary
            }
        found[label] = [summaries[number] for number in sorted(summaries)]
        del player
    return {label: found[label] for label in players}


def _turns(labels: list[str], held: Mapping[str, Player]) -> list[str]:
    """The players in the order in which they play: those that must be made again come last."""
    return sorted(labels, key=lambda label: label not in held)


def _made(label: str, make: Callable[[], Player]) -> Player:
    player = make()
    player.name = label
    return player


def _homes(out: Path) -> dict[str, Path]:
    """The folders of the players in a run, by their identities.

    Raises:
        ConfigError: a version that did not record who played wrote there.
    """
    found = dict[str, Path]()
    for folder in sorted(out.glob("eval/*/*/")):
        try:
            identity = first_run(folder).identity
        except (VlmGymError, OSError):  # none yet, or a damaged one, which is said where it is read
            continue
        if not identity:
            allowed = (
                "another folder: an earlier version, which did not record who played, began "
                "this run"
            )
            raise ConfigError(
                "out", str(out), f"{allowed} (report reads it, but it cannot be continued)"
            )
        found.setdefault(identity, folder.parent)
    return found


def _free_home(out: Path, label: str, identity: str, taken: Iterable[Path]) -> Path:
    """A folder for a player who has none: called by its label; where that of another player is so,
    by its identity as well.
    """
    home, others = out / "eval" / slug(label), {path.name.casefold() for path in taken}
    return home.with_name(f"{home.name}-{identity[:8]}") if home.name.casefold() in others else home


def _continues(protocol: Protocol, out: Path) -> None:
    """See that a folder holds no run of another protocol; more episodes of the tasks make none.

    Raises:
        ConfigError: it does.
        FileError: it holds evaluations, and its ``protocol.json`` cannot be read.
    """
    path = out / "protocol.json"
    try:
        before = Protocol.parse(read_json(path)).to_dict() if path.exists() else None
    except VlmGymError as error:
        if any(out.glob("eval/*/*/trace.jsonl")):
            said = str(error) if isinstance(error, FileError) else f"{path}: no protocol ({error})"
            raise FileError(
                f"{said}; it says what the evaluations beside it are: mend it, or name "
                "another folder"
            ) from error
        return  # left over from a run that ended before anything was asked
    if before is None:
        return
    now = json.loads(json.dumps(protocol.to_dict()))
    if len(now["tasks"]) != len(before["tasks"]):
        raise refusal(
            f"{out}: protocol",
            {"tasks": (f"{len(now['tasks'])} tasks", f"{len(before['tasks'])} tasks")},
        )
    differ = differences_of(_flat(now), _flat(json.loads(json.dumps(before))))
    more = {
        name: both
        for name, both in differ.items()
        if name.endswith(".evaluation.episodes") and both[0] > both[1]
    }
    if len(more) < len(differ):
        raise refusal(
            f"{out}: protocol", {name: both for name, both in differ.items() if name not in more}
        )


def _flat(protocol: dict[str, Any]) -> dict[str, Any]:
    tasks = {f"tasks.{number}": task for number, task in enumerate(protocol["tasks"])}
    return flat({**tasks, "sampling": protocol["sampling"]})
