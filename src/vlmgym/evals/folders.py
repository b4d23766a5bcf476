"""Which evaluations lie in which folders, and what tells them apart."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vlmgym.core import VlmGymError
from vlmgym.core.files import FileError, read_json, shortest_ends
from vlmgym.episodes.task import Task
from vlmgym.episodes.trace import EvaluationRun, TraceError, read_trace
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
    how = {
        "prompt": run.prompt,
        "reply": run.reply,
        **asdict(Evaluation()),
        **run.evaluation,
        "mode": run.mode,
    }
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
    # folder, folder of the player, run, name of the task
    found = list[tuple[Path, Path, EvaluationRun, str]]()
    for folder in dict.fromkeys(Path(one).resolve() for one in folders):
        if (folder / "trace.jsonl").exists():
            # one of a run, by itself
            run, within = first_run(folder), folder.parent.parent.name == "eval"
            found.append(
                (
                    folder,
                    folder.parent if within else folder,
                    run,
                    folder.name if within else run.game,
                )
            )
        found += [
            (path, path.parent, first_run(path), path.name)
            for path in sorted(folder.glob("eval/*/*/"))
            if _is_one(path)
        ]
    # one that is named by itself, and by the run that it is of, is one
    found = list({one[0]: one for one in found}.values())
    tasks = told_apart(
        [(name, asks(run), ", ".join(filter(None, asks(run)))) for _, _, run, name in found]
    )
    keys = [
        (run.identity or identity_of({"name": run.player, **run.about}), asks(run))
        for _, _, run, _ in found
    ]
    players = list[str]()
    for (_, home, run, _), (identity, _) in zip(found, keys, strict=True):
        mine = [
            (key, other[1])
            for key, other in zip(keys, found, strict=True)
            if other[2].player == run.player
        ]
        if len({who for (who, _), _ in mine}) == 1 and len({key for key, _ in mine}) == len(mine):
            players.append(run.player)
            continue
        homes = dict.fromkeys(folder for _, folder in mine)
        shown_as = {one: one.parent.parent if one.parent.name == "eval" else one for one in homes}
        if len(set(shown_as.values())) < len(homes):  # two of one run
            shown_as = dict(zip(homes, homes, strict=True))
        ends = shortest_ends([str(one) for one in shown_as.values()])
        several = len({who for (who, _), folder in mine if folder == home}) > 1
        players.append(
            f"{run.player} ({ends[str(shown_as[home])]}{f', {identity[:8]}' if several else ''})"
        )
    return [
        Place(folder, run, *names)
        for (folder, _, run, _), *names in zip(found, players, tasks, strict=True)
    ]


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
        task, names = Task.parse(summary["task"]), ("about", "identity", "sees")
        more = {key: summary[key] for key in names if key in summary}
        more["evaluation"] = summary["evaluation"]
        return EvaluationRun(
            str(summary["player"]),
            task.names.game,
            task.names.level,
            task.names.look,
            task.prompt,
            reply=task.reply,
            **more,
        )
    except (KeyError, TypeError, VlmGymError) as error:
        raise FileError(
            f"{folder / 'summary.json'}: no summary of an evaluation ({error})"
        ) from error


def told_apart(named: Sequence[tuple[str, Any, str]]) -> list[str]:
    """Names of things, with more where one name stands for several of them."""
    kinds = defaultdict[str, set[Any]](set)
    for name, key, _ in named:
        kinds[name].add(key)
    return [f"{name} ({more})" if len(kinds[name]) > 1 else name for name, _, more in named]
