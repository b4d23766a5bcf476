"""Which evaluations lie in which folders, and what tells them apart."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from vlmgym.core import VlmGymError
from vlmgym.core.files import FileError, read_json, shortest_ends
from vlmgym.episodes.records import EvaluationRun
from vlmgym.episodes.task import Task
from vlmgym.episodes.trace import TraceError, read_trace
from vlmgym.evals.settings import Evaluation
from vlmgym.players.base import identity_of


@dataclass(frozen=True)
class Place:
    """An evaluation in a folder."""

    folder: Path
    run: EvaluationRun
    # the label; where it stands for several players, or comes twice in a task, with what tells them
    # apart
    player: str
    task: str  # a name, equal for those and only those that are asked the same


# settings that say how much is recorded; they change nothing of what is asked
RECORDING = ("episodes", "oracle")


def settings_text(how: Mapping[str, Any]) -> str:
    """The settings that decide what is asked, where they are not the default."""
    default = {**Task().to_dict(), **asdict(Evaluation())}
    return ", ".join(
        f"{key}={value}"
        for key, value in how.items()
        if key not in RECORDING and value != default.get(key)
    )


def asks(run: EvaluationRun) -> tuple[str, str, str, str]:
    """Equal for evaluations that ask the same: game, level, look, and other settings."""
    how = {"prompt": run.prompt, "reply": run.reply}
    how |= asdict(Evaluation()) | run.evaluation | {"mode": run.mode}
    return run.game, run.level, run.look, settings_text(how)


def places(folders: Iterable[Path]) -> list[Place]:
    """The evaluations of these folders: each its own (``trace.jsonl``), and those of a run
    (``eval/PLAYER/TASK``).

    A player is what its identity says. One player that was asked other things in other folders is
    one player; two players of one label, or one that was asked the same twice, are told apart by
    the shortest ends of their folders that differ, in whatever order the folders come. A folder
    that is named twice, by itself and as that of its run, counts once.

    Raises:
        TraceError: a trace that does not begin with a run line.
    """
    there = _there(folders)
    tasks = told_apart(
        [(named.name, named.asked, ", ".join(filter(None, named.asked))) for named in there]
    )
    return [
        Place(named.folder, named.run, _label(named, there), task)
        for named, task in zip(there, tasks, strict=True)
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


def _there(folders: Iterable[Path]) -> list[_Named]:
    """The evaluations of these folders, each once, in their order."""
    there = dict[Path, _Named]()
    for folder in dict.fromkeys(Path(folder).resolve() for folder in folders):
        if (folder / "trace.jsonl").exists():
            run = first_run(folder)
            if folder.parent.parent.name == "eval":  # one of a run, by itself
                there[folder] = _Named(folder, folder.parent, run, folder.name)
            else:
                there[folder] = _Named(folder, folder, run, run.game)
        for path in sorted(folder.glob("eval/*/*/")):
            if _is_one(path):
                there[path] = _Named(path, path.parent, first_run(path), path.name)
    return list(there.values())


def _label(named: _Named, there: Sequence[_Named]) -> str:
    """What the player is called among those of all evaluations that are there."""
    player = named.run.player
    namesakes = [other for other in there if other.run.player == player]
    asked = {(other.identity, other.asked) for other in namesakes}
    if len({other.identity for other in namesakes}) == 1 and len(asked) == len(namesakes):
        return player
    homes = dict.fromkeys(other.home for other in namesakes)
    shown_as = {home: home.parent.parent if home.parent.name == "eval" else home for home in homes}
    if len(set(shown_as.values())) < len(homes):  # two of one run
        shown_as = {home: home for home in homes}
    ends = shortest_ends([str(folder) for folder in shown_as.values()])
    end = ends[str(shown_as[named.home])]
    at_home = {other.identity for other in namesakes if other.home == named.home}
    return f"{player} ({end}, {named.identity[:8]})" if len(at_home) > 1 else f"{player} ({end})"


def _is_one(folder: Path) -> bool:
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
        newer = {key: summary[key] for key in ("about", "identity", "sees") if key in summary}
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


def told_apart(named: Sequence[tuple[str, Any, str]]) -> list[str]:
    """Names of things, with a detail where one name stands for several of them.

    Args:
        named: of each thing its name, what it is, and the detail.
    """
    kinds = defaultdict[str, set[Any]](set)
    for name, key, _ in named:
        kinds[name].add(key)
    return [f"{name} ({detail})" if len(kinds[name]) > 1 else name for name, _, detail in named]
