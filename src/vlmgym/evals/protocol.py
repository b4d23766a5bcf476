"""Protocols: what several players are asked, fixed in a file, so that their numbers can be
compared.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from vlmgym.core import ConfigError, VlmGymError
from vlmgym.core.differences import differences
from vlmgym.core.files import FileError, is_plain, read_json, write_json
from vlmgym.episodes.task import Task
from vlmgym.evals.evaluation import evaluate_all, see_that_it_can_play
from vlmgym.evals.folders import free_folder, player_folders, slug
from vlmgym.evals.resuming import another_evaluation, finished, flat
from vlmgym.evals.settings import Evaluation, run_of
from vlmgym.games.suites import spread_games
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
        for name, value in self.sampling.items():
            if not isinstance(name, str) or not is_plain(value):
                raise ConfigError(f"sampling.{name}", value, "a JSON value of finite numbers")

    @classmethod
    def parse(cls, values: Mapping[str, Any]) -> Protocol:
        """Build from the mapping of a YAML file: ``tasks`` (each may have its own ``evaluation``,
        and ``games`` in place of ``game``, see :mod:`vlmgym.games.suites`), ``evaluation``,
        ``sampling``.

        With ``dials`` (by name, such as ``look.noise``: a list of values) each task comes also with
        every one of these values, one dial at a time.

        Raises:
            ConfigError: a key is unknown, missing, or a value is out of range; the message names
                it.
        """
        for name in values:
            if name not in ("tasks", "evaluation", "sampling", "dials"):
                allowed = "one of tasks, evaluation, sampling, dials"
                raise ConfigError(f"protocol.{name}", values[name], allowed)
        sections = values.get("tasks")
        common_settings = values.get("evaluation") or {}
        sampling = values.get("sampling") or {}
        dials = values.get("dials") or {}
        if not isinstance(sections, list) or not sections:
            raise ConfigError("protocol.tasks", sections, "a list with at least one task")
        if not isinstance(dials, Mapping):
            raise ConfigError("protocol.dials", dials, "a mapping of dials to lists of values")
        entries = []
        for number, section in enumerate(spread_games(sections, "protocol.tasks")):
            _see_mapping("evaluation", common_settings)
            _see_mapping("sampling", sampling)
            task_settings = section.get("evaluation") or {}
            _see_mapping(f"tasks.{number}.evaluation", task_settings)
            task_fields = {name: value for name, value in section.items() if name != "evaluation"}
            settings = {**common_settings, **task_settings}
            entry = (Task.parse(task_fields), Evaluation.parse(settings))
            entries.append(entry)
            for dial, dial_values in dials.items():
                if not isinstance(dial_values, list) or not dial_values:
                    raise ConfigError(f"protocol.dials.{dial}", dial_values, "a list of values")
                entries += cls((entry,)).swept(dial, dial_values).entries
        if len(set(entries)) < len(entries):
            tasks = [task for task, _ in entries]
            names = next(task.names for task in tasks if tasks.count(task) > 1)
            twice = f"{names.game} {names.level} {names.look} twice"
            raise ConfigError("protocol.tasks", twice, "each task once")
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
        for task, settings in self.entries:
            preset = task.to_dict()[kind]
            separator = "," if ":" in preset else ":"
            for value in values:
                is_word = isinstance(value, str) and not _is_json(value)
                text = value if is_word else json.dumps(value)
                changes = {kind: f"{preset}{separator}{name}={text}"}
                entries.append((task.override(**changes), settings))
        return Protocol(tuple(entries), self.sampling)

    def names(self) -> list[str]:
        """A folder name for each entry: the game, and what tells it apart from its namesakes."""
        names = list[str]()
        for task, settings in self.entries:
            namesakes = [entry for entry in self.entries if entry[0].names.game == task.names.game]
            task_fields = task.to_dict()
            words = [task.names.game]
            for field_name in ("level", "look", "prompt", "reply", "walk_min", "walk_max"):
                if len({other.to_dict()[field_name] for other, _ in namesakes}) > 1:
                    words.append(str(task_fields[field_name]))
            settings_of_task = [entry[1] for entry in namesakes if entry[0] == task]
            if len(set(settings_of_task)) > 1:
                words.append(str(settings_of_task.index(settings)))
            name = slug("-".join(words))
            earlier = [other.partition("~")[0].casefold() for other in names]
            duplicates = earlier.count(name.casefold())
            names.append(f"{name}~{duplicates + 1}" if duplicates else name)
        return names

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values, with every setting; ``parse`` reads them back."""
        tasks = []
        for task, settings in self.entries:
            tasks.append({**task.to_dict(), "evaluation": asdict(settings)})
        return {"tasks": tasks, "sampling": self.sampling}


def completed_protocol(values: Any, where: str) -> dict[str, Any]:
    """The plain values of a stored protocol with every field of its tasks and of how they are
    measured: one that it lacks has its default. No name in it is looked up.

    Raises:
        FileError: ``where`` is no protocol.
    """
    try:
        tasks = [
            {
                **Task.defaults(),
                **task,
                "evaluation": {**Evaluation.defaults(), **task.get("evaluation", {})},
            }
            for task in values["tasks"]
        ]
        return {**values, "tasks": tasks}
    except (KeyError, TypeError, AttributeError) as error:
        raise FileError(f"{where}: no protocol; name another folder") from error


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
    _see_continuation(protocol, out)
    folders = player_folders(out)
    in_memory = _made_and_checked(players, entries, folders, out, heavy)
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / "protocol.json", protocol.to_dict())
    summaries: dict[str, list[dict[str, Any]]] = {}
    for label in _playing_order([*players], in_memory):
        if label in in_memory:
            player = in_memory.pop(label)
        else:
            in_memory = _without_models(in_memory)
            player = _made(label, players[label])
        summaries[label] = _measured(player, entries, folders[player.identity], progress)
        del player  # its model leaves the memory before another one is made
    return {label: summaries[label] for label in players}


_Named = tuple[tuple[Task, Evaluation], str]
"""An entry of a protocol, and its name."""


def _made_and_checked(
    players: Mapping[str, Callable[[], Player]],
    entries: Sequence[_Named],
    folders: dict[str, Path],
    out: Path,
    heavy: Collection[str] | None,
) -> dict[str, Player]:
    """Make each player, and see that it can play what it has not finished.

    Args:
        players: see :func:`run_protocol`.
        entries: what is asked.
        folders: those of players, by identity; players that have none get one.
        out: see :func:`run_protocol`.
        heavy: see :func:`run_protocol`.

    Returns:
        The players that need not be made again; at most one with a model.

    Raises:
        VlmGymError: a player cannot be made, or asked, or is there twice.
    """
    in_memory = dict[str, Player]()
    labels_by_identity = dict[str, str]()
    for label, make in players.items():
        if heavy is None or label in heavy:
            in_memory = _without_models(in_memory)
        player = _made(label, make)
        in_memory[label] = player
        identity = player.identity
        if identity in labels_by_identity:
            raise ConfigError(
                "players",
                f"{labels_by_identity[identity]} and {label}",
                "each player once: these are one (repeats ask it again)",
            )
        labels_by_identity[identity] = label
        if identity not in folders:
            folders[identity] = free_folder(out, label, identity, folders.values())
        unfinished = [
            (task, settings)
            for (task, settings), name in entries
            if not finished(folders[identity] / name, run_of(player, task, settings))
        ]
        if unfinished:
            see_that_it_can_play(player, unfinished)
        del player  # its model leaves the memory before another one is made
    return in_memory


def _without_models(players: Mapping[str, Player]) -> dict[str, Player]:
    return {label: player for label, player in players.items() if not player.heavy}


def _measured(
    player: Player, entries: Sequence[_Named], player_folder: Path, progress: bool
) -> list[dict[str, Any]]:
    """The summaries of a player in the order of the entries; what is not finished is asked, those
    entries together that are measured alike.
    """
    summaries = dict[str, dict[str, Any]]()
    groups = defaultdict[Evaluation, list[tuple[Task, str]]](list)
    for (task, settings), name in entries:
        groups[settings].append((task, name))
    for settings, group in sorted(groups.items(), key=lambda item: repr(item[0])):
        tasks = [task for task, _ in group]
        names = [name for _, name in group]
        folders = [player_folder / name for name in names]
        stored = [
            finished(folder, run_of(player, task, settings))
            for task, folder in zip(tasks, folders, strict=True)
        ]
        group_summaries = [summary for summary in stored if summary]
        if len(group_summaries) < len(group):
            group_summaries = evaluate_all(player, tasks, settings, folders, progress, checked=True)
        summaries.update(zip(names, group_summaries, strict=True))
    return [summaries[name] for _, name in entries]


def _playing_order(labels: list[str], in_memory: Mapping[str, Player]) -> list[str]:
    """The players in the order in which they play: those that must be made again come last."""
    return sorted(labels, key=lambda label: label not in in_memory)


def _made(label: str, make: Callable[[], Player]) -> Player:
    player = make()
    player.name = label
    return player


def _see_continuation(protocol: Protocol, out: Path) -> None:
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
    count_now = len(now["tasks"])
    count_before = len(before["tasks"])
    if count_now != count_before:
        counts = {"tasks": (f"{count_now} tasks", f"{count_before} tasks")}
        raise another_evaluation(f"{out}: protocol", counts)
    changes = differences(_flat(now), _flat(json.loads(json.dumps(before))))
    refused = {
        name: values for name, values in changes.items() if not _is_more_episodes(name, *values)
    }
    if refused:
        raise another_evaluation(f"{out}: protocol", refused)


def _is_more_episodes(name: str, now: Any, before: Any) -> bool:
    """Whether a changed setting only asks for more episodes, which an evaluation can be given."""
    return name.endswith(".evaluation.episodes") and now > before


def _flat(protocol: dict[str, Any]) -> dict[str, Any]:
    tasks = {f"tasks.{number}": task for number, task in enumerate(protocol["tasks"])}
    return flat({**tasks, "sampling": protocol["sampling"]})
