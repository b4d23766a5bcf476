"""Which evaluations lie in which folders, and what tells them apart."""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from vlmgym.core import ConfigError, VlmGymError
from vlmgym.core.files import FileError, read_json, shortest_ends
from vlmgym.episodes.records import EvaluationRun
from vlmgym.episodes.task import Task
from vlmgym.episodes.trace import TraceError, read_trace
from vlmgym.evals.settings import Evaluation
from vlmgym.players.base import identity_of


@dataclass(frozen=True)
class EvaluationFolder:
    """An evaluation in a folder."""

    folder: Path
    run: EvaluationRun
    # the label; where it stands for several players, or comes twice in a task, with what tells them
    # apart
    player: str
    task: str  # a name, equal for those and only those that are asked the same


# settings that say how much is recorded; they change nothing of what is asked
RECORDING = ("episodes", "oracle")


def settings_text(settings: Mapping[str, Any]) -> str:
    """The settings that decide what is asked, where they are not the default."""
    defaults = {**Task().to_dict(), **asdict(Evaluation())}
    return ", ".join(
        f"{name}={value}"
        for name, value in settings.items()
        if name not in RECORDING and value != defaults.get(name)
    )


def asks(run: EvaluationRun) -> tuple[str, str, str, str]:
    """Equal for evaluations that ask the same: game, level, look, and other settings."""
    settings: dict[str, Any] = {"prompt": run.prompt, "reply": run.reply}
    settings |= asdict(Evaluation()) | run.evaluation | {"mode": run.mode}
    return run.game, run.level, run.look, settings_text(settings)


def places(folders: Iterable[Path]) -> list[EvaluationFolder]:
    """The evaluations of these folders: each its own (``trace.jsonl``), and those of a run
    (``eval/PLAYER/TASK``).

    A player is what its identity says. One player that was asked other things in other folders is
    one player; two players of one label, or one that was asked the same twice, are told apart by
    the shortest ends of their folders that differ, in whatever order the folders come. A folder
    that is named twice, by itself and as that of its run, counts once.

    Raises:
        TraceError: a trace that does not begin with a run line.
    """
    evaluations = _evaluations_in(folders)
    tasks = told_apart(
        [
            (evaluation.name, evaluation.asked, ", ".join(filter(None, evaluation.asked)))
            for evaluation in evaluations
        ]
    )
    return [
        EvaluationFolder(evaluation.folder, evaluation.run, _label(evaluation, evaluations), task)
        for evaluation, task in zip(evaluations, tasks, strict=True)
    ]


@dataclass(frozen=True)
class _Named:
    """An evaluation with its names, which may not be its own alone."""

    folder: Path
    home: Path  # folder of the player
    run: EvaluationRun
    name: str  # of the task

    @cached_property
    def identity(self) -> str:
        """Who was asked."""
        return self.run.identity or identity_of({"name": self.run.player, **self.run.about})

    @cached_property
    def asked(self) -> tuple[str, str, str, str]:
        """What was asked."""
        return asks(self.run)


def _evaluations_in(folders: Iterable[Path]) -> list[_Named]:
    """The evaluations of these folders, each once, in their order."""
    evaluations = dict[Path, _Named]()
    for folder in dict.fromkeys(Path(folder).resolve() for folder in folders):
        if (folder / "trace.jsonl").exists():
            run = first_run(folder)
            if folder.parent.parent.name == "eval":  # one of a run, by itself
                evaluations[folder] = _Named(folder, folder.parent, run, folder.name)
            else:
                evaluations[folder] = _Named(folder, folder, run, run.game)
        for path in sorted(folder.glob("eval/*/*/")):
            if _is_evaluation(path):
                evaluations[path] = _Named(path, path.parent, first_run(path), path.name)
    return list(evaluations.values())


def _label(evaluation: _Named, evaluations: Sequence[_Named]) -> str:
    """What the player of an evaluation is called among those of all of them."""
    player = evaluation.run.player
    namesakes = [other for other in evaluations if other.run.player == player]
    identities = {other.identity for other in namesakes}
    asked = {(other.identity, other.asked) for other in namesakes}
    if len(identities) == 1 and len(asked) == len(namesakes):
        return player
    ends = _distinct_ends(list(dict.fromkeys(other.home for other in namesakes)))
    end = ends[evaluation.home]
    in_folder = {other.identity for other in namesakes if other.home == evaluation.home}
    if len(in_folder) > 1:
        return f"{player} ({end}, {evaluation.identity[:8]})"
    return f"{player} ({end})"


def _distinct_ends(folders: Sequence[Path]) -> dict[Path, str]:
    """The shortest ends of players' folders that differ: of their runs' folders, where each is of
    another run.
    """
    runs = [folder.parent.parent if folder.parent.name == "eval" else folder for folder in folders]
    if len(set(runs)) < len(folders):  # two of one run
        runs = list(folders)
    ends = shortest_ends([str(run) for run in runs])
    return {folder: ends[str(run)] for folder, run in zip(folders, runs, strict=True)}


def _is_evaluation(folder: Path) -> bool:
    return (folder / "trace.jsonl").exists() or (folder / "summary.json").exists()


def first_run(folder: Path) -> EvaluationRun:
    """The run line of a trace; without a trace, what the summary says."""
    path = folder / "trace.jsonl"
    if path.exists():
        record = next(read_trace(path), None)
        if not isinstance(record, EvaluationRun):
            raise TraceError(f"{path}: no run line")
        return record
    summary = read_json(folder / "summary.json")
    try:
        task = Task.parse(summary["task"])
        names = ("about", "identity", "sees", "attribution")
        newer = {name: summary[name] for name in names if name in summary}
        return EvaluationRun(
            str(summary["player"]),
            task.names.game,
            task.names.level,
            task.names.look,
            task.prompt,
            evaluation=summary["evaluation"],
            reply=task.reply,
            **newer,
        )
    except (KeyError, TypeError, VlmGymError) as error:
        raise FileError(
            f"{folder / 'summary.json'}: no summary of an evaluation ({error})"
        ) from error


def told_apart(things: Sequence[tuple[str, Any, str]]) -> list[str]:
    """Names of things, with a detail where one name stands for several of them.

    Args:
        things: of each its name, what it is, and the detail.
    """
    things_by_name = defaultdict[str, set[Any]](set)
    for name, thing, _ in things:
        things_by_name[name].add(thing)
    return [
        f"{name} ({detail})" if len(things_by_name[name]) > 1 else name
        for name, _, detail in things
    ]


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


def player_folders(out: Path) -> dict[str, Path]:
    """The folders of the players in a run, by their identities.

    Raises:
        ConfigError: a version that did not record who played wrote there.
    """
    folders = dict[str, Path]()
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
        folders.setdefault(identity, folder.parent)
    return folders


def free_folder(out: Path, label: str, identity: str, used: Iterable[Path]) -> Path:
    """A folder for a player who has none: called by its label; where that of another player is so,
    by its identity as well.
    """
    name = slug(label)
    used_names = {folder.name.casefold() for folder in used}
    if name.casefold() in used_names:
        name = f"{name}-{identity[:8]}"
    return out / "eval" / name
