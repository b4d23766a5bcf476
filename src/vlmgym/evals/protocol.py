"""Protocols: what several players are asked, fixed in a file, so that their numbers can be
compared.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from vlmgym.core import ConfigError, VlmGymError
from vlmgym.core.files import FileError, is_plain, read_json, write_json
from vlmgym.episodes.task import Task
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
        tasks = values.get("tasks")
        how = values.get("evaluation") or {}
        sampling = values.get("sampling") or {}
        dials = values.get("dials") or {}
        if not isinstance(tasks, list) or not tasks:
            raise ConfigError("protocol.tasks", tasks, "a list with at least one task")
        if not isinstance(dials, Mapping):
            raise ConfigError("protocol.dials", dials, "a mapping of dials to lists of values")
        entries = []
        for number, settings in enumerate(tasks):
            _see_mapping(f"tasks.{number}", settings)
            _see_mapping("evaluation", how)
            _see_mapping("sampling", sampling)
            own = settings.get("evaluation") or {}
            _see_mapping(f"tasks.{number}.evaluation", own)
            task = {key: value for key, value in settings.items() if key != "evaluation"}
            entry = (Task.parse(task), Evaluation.parse({**how, **own}))
            entries.append(entry)
            for dial, steps in dials.items():
                if not isinstance(steps, list) or not steps:
                    raise ConfigError(f"protocol.dials.{dial}", steps, "a list of values")
                entries += cls((entry,)).swept(dial, steps).entries
        if len(set(entries)) < len(entries):
            asked = [task for task, _ in entries]
            names = next(task.names for task in asked if asked.count(task) > 1)
            raise ConfigError(
                "protocol.tasks",
                f"{names.game} {names.level} {names.look} twice",
                "each task once",
            )
        return cls(tuple(entries), dict(sampling))

    def swept(self, dial: str, values: Sequence[Any]) -> Protocol:
        """Each task once for every value of a dial: ``look.noise``, ``level.rows`` ...

        Raises:
            ConfigError: no such dial, or a value out of its range.
        """
        kind, _, name = dial.partition(".")
        if kind not in ("look", "level") or not name:
            raise ConfigError("sweep", dial, "look.FIELD or level.FIELD")
        entries = []
        for task, how in self.entries:
            text = task.to_dict()[kind]
            for value in values:
                plain = isinstance(value, str) and not _is_json(value)
                written = value if plain else json.dumps(value)
                changed = f"{text}{',' if ':' in text else ':'}{name}={written}"
                entries.append((task.override(**{kind: changed}), how))
        return Protocol(tuple(entries), self.sampling)

    def names(self) -> list[str]:
        """A folder name for each entry: the game, and what tells it apart from its namesakes."""
        names = list[str]()
        for task, how in self.entries:
            namesakes = [entry for entry in self.entries if entry[0].names.game == task.names.game]
            settings = task.to_dict()
            words = [task.names.game]
            for key in ("level", "look", "prompt", "reply", "walk_min", "walk_max"):
                if len({other.to_dict()[key] for other, _ in namesakes}) > 1:
                    words.append(str(settings[key]))
            measured = [other_how for other, other_how in namesakes if other == task]
            if len(set(measured)) > 1:
                words.append(str(measured.index(how)))
            name = slug("-".join(words))
            earlier = [other.partition("~")[0].casefold() for other in names]
            again = earlier.count(name.casefold())
            names.append(f"{name}~{again + 1}" if again else name)
        return names

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values, with every setting; ``parse`` reads them back."""
        return {
            "tasks": [{**task.to_dict(), "evaluation": asdict(how)} for task, how in self.entries],
            "sampling": self.sampling,
        }


def _see_mapping(name: str, section: Any) -> None:
    if not isinstance(section, Mapping):
        raise ConfigError(f"protocol.{name}", section, "a mapping of settings")


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
    beginning = name.encode()[: LONGEST - 9].decode(errors="ignore")
    digest = hashlib.blake2b(text.encode(), digest_size=4).hexdigest()
    return f"{beginning}-{digest}"


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
    homes = _homes(out)
    held = _made_and_checked(players, entries, homes, out, heavy)
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / "protocol.json", protocol.to_dict())
    summaries: dict[str, list[dict[str, Any]]] = {}
    for label in _turns([*players], held):
        if label not in held:
            held = {name: player for name, player in held.items() if not player.heavy}
        player = held.pop(label) if label in held else _made(label, players[label])
        summaries[label] = _measured(player, entries, homes[player.identity], progress)
        del player
    return {label: summaries[label] for label in players}


_Named = tuple[tuple[Task, Evaluation], str]
"""An entry of a protocol, and its name."""


def _made_and_checked(
    players: Mapping[str, Callable[[], Player]],
    entries: Sequence[_Named],
    homes: dict[str, Path],
    out: Path,
    heavy: Collection[str] | None,
) -> dict[str, Player]:
    """Make each player, and see that it can play what it has not finished.

    Args:
        players: see :func:`run_protocol`.
        entries: what is asked.
        homes: the folders of players, by identity; those that have none get one.
        out: see :func:`run_protocol`.
        heavy: see :func:`run_protocol`.

    Returns:
        The players that need not be made again; at most one with a model.

    Raises:
        VlmGymError: a player cannot be made, or asked, or is there twice.
    """
    held = dict[str, Player]()
    identities = dict[str, str]()
    for label, make in players.items():
        if heavy is None or label in heavy:
            held = {name: player for name, player in held.items() if not player.heavy}
        player = held[label] = _made(label, make)
        identity = player.identity
        if same := [name for name, other in identities.items() if other == identity]:
            raise ConfigError(
                "players",
                f"{same[0]} and {label}",
                "each player once: these are one (repeats ask it again)",
            )
        identities[label] = identity
        home = homes.setdefault(identity, _free_home(out, label, identity, homes.values()))
        unfinished = [
            (task, how)
            for (task, how), name in entries
            if not finished(home / name, run_of(player, task, how))
        ]
        if unfinished:
            see_that_it_can_play(player, unfinished)
        del player  # its model leaves the memory before another one is made
    return held


def _measured(
    player: Player, entries: Sequence[_Named], home: Path, progress: bool
) -> list[dict[str, Any]]:
    """The summaries of a player in the order of the entries; what is not finished is asked, those
    entries together that are measured alike.
    """
    summaries = dict[str, dict[str, Any]]()
    by_settings = defaultdict[Evaluation, list[tuple[Task, str]]](list)
    for (task, how), name in entries:
        by_settings[how].append((task, name))
    for how, group in sorted(by_settings.items(), key=lambda item: repr(item[0])):
        tasks = [task for task, _ in group]
        folders = [home / name for _, name in group]
        known = [
            finished(folder, run_of(player, task, how))
            for task, folder in zip(tasks, folders, strict=True)
        ]
        done = [summary for summary in known if summary]
        if len(done) < len(group):
            done = evaluate_all(player, tasks, how, folders, progress, checked=True)
        summaries |= {name: summary for (_, name), summary in zip(group, done, strict=True)}
    return [summaries[name] for _, name in entries]


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
    homes = dict[str, Path]()
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
        homes.setdefault(identity, folder.parent)
    return homes


def _free_home(out: Path, label: str, identity: str, taken: Iterable[Path]) -> Path:
    """A folder for a player who has none: called by its label; where that of another player is so,
    by its identity as well.
    """
    home = out / "eval" / slug(label)
    others = {path.name.casefold() for path in taken}
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
            reason = (
                str(error) if isinstance(error, FileError) else f"{path}: no protocol ({error})"
            )
            raise FileError(
                f"{reason}; it says what the evaluations beside it are: mend it, or name "
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
    extended = {
        name: both
        for name, both in differ.items()
        if name.endswith(".evaluation.episodes") and both[0] > both[1]
    }
    if len(extended) < len(differ):
        others = {name: both for name, both in differ.items() if name not in extended}
        raise refusal(f"{out}: protocol", others)


def _flat(protocol: dict[str, Any]) -> dict[str, Any]:
    tasks = {f"tasks.{number}": task for number, task in enumerate(protocol["tasks"])}
    return flat({**tasks, "sampling": protocol["sampling"]})
