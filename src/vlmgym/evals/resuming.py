"""Going on with an evaluation: what a folder holds of it, and whether it is the same one."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vlmgym.core import ConfigError
from vlmgym.core.differences import differences, refusal
from vlmgym.core.files import FileError
from vlmgym.episodes.batch import EpisodeBatch
from vlmgym.episodes.records import Episode, EvaluationRun
from vlmgym.episodes.task import Task
from vlmgym.episodes.trace import (
    Trace,
    TraceError,
    TraceWriter,
    begin_anew,
    load_trace,
    repair,
)
from vlmgym.evals.settings import ASKED, OPPONENT, WALK, Evaluation, settings_of_run
from vlmgym.evals.summaries import read_summary
from vlmgym.players.base import PLACES


def finished(folder: Path, run: EvaluationRun) -> dict[str, Any] | None:
    """The summary of just this evaluation, if it ended there without failed episodes (which are
    tried again); else None.
    """
    try:
        summary = read_summary(folder / "summary.json")
        task = Task.defaults() | summary["task"]
        settings = Evaluation.defaults() | summary["evaluation"]
        is_same = (
            summary["identity"] == run.identity
            and settings.pop(OPPONENT, None) == run.evaluation.get(OPPONENT)
            and settings == Evaluation.defaults() | settings_of_run(run)
            and summary["episodes"]["failed"] == 0
            and all(task[name] == getattr(run, name) for name in ASKED)
            and all(task[name] == run.evaluation.get(name, task[name]) for name in WALK)
        )
        return {**summary, "player": run.player} if is_same else None
    except (FileError, KeyError, TypeError):
        return None


@dataclass(frozen=True)
class Journal:
    """The open trace of a task, and the episodes that were recorded there before."""

    writer: TraceWriter
    episodes: Set[Episode] = frozenset()


def open_journal(batch: EpisodeBatch, run: EvaluationRun, folder: Path) -> Journal:
    """Open the trace of a task, after what it already holds has been played.

    Raises:
        ConfigError: the folder holds another evaluation.
        TraceError: the trace is damaged, or other rules wrote it.
    """
    old = recorded(run, folder)
    if old:
        try:
            batch.replay(old.turns)
        except TraceError as error:
            raise TraceError(f"{folder / 'trace.jsonl'}: {error}") from error
    return journal_of(run, folder, old)


def recorded(run: EvaluationRun, folder: Path) -> Trace | None:
    """What a folder holds of an evaluation; None if nothing.

    Raises:
        ConfigError: the folder holds another evaluation.
        TraceError: the trace is damaged.
    """
    path = folder / "trace.jsonl"
    if path.exists():
        repair(path)
    if path.exists() and path.stat().st_size:
        old = load_trace(path)
        if not old.run.identity:
            allowed = (
                "another folder: an earlier version, which did not record who played, began "
                "this evaluation"
            )
            raise ConfigError(
                "out", str(folder), f"{allowed} (it can be read and rescored, not continued)"
            )
        if old.run.attribution != run.attribution:
            allowed = (
                "another folder: a version that tells other faults apart (what was misread in a "
                "think block was reasoning before) began this evaluation"
            )
            raise ConfigError(
                "out", str(folder), f"{allowed} (it can be read and rescored, not continued)"
            )
        changes = differences(_settings_of(run), _settings_of(old.run))
        if OPPONENT in changes and _is_relabelled(*changes[OPPONENT]):
            del changes[OPPONENT]
        # frozen starts: the old come first
        if set(changes) == {"episodes"} and changes["episodes"][0] > changes["episodes"][1]:
            begin_anew(path, replace(old.run, evaluation=run.evaluation))
        elif changes:
            raise another_evaluation(str(folder), changes)
        return old
    return None


def _is_relabelled(now: object, before: object) -> bool:
    """Whether an opponent has another label only, see :func:`opponent_of`."""
    return str(now).rpartition(" ")[2] == str(before).rpartition(" ")[2]


def journal_of(run: EvaluationRun, folder: Path, old: Trace | None) -> Journal:
    """Open the trace of a task, of which ``old`` has been read; a new one begins with its run."""
    writer = TraceWriter(folder / "trace.jsonl")
    if old:
        return Journal(writer, set(old.episodes))
    writer.write(run)
    return Journal(writer)


def _settings_of(run: EvaluationRun) -> dict[str, Any]:
    """All that decides whether an evaluation is the same one, by name; an endpoint may move.

    A setting that the run line lacks has its default: it was begun before there was one.
    """
    defaults = Evaluation.defaults()
    if run.evaluation.get("start") == "walk":
        defaults |= {name: Task.defaults()[name] for name in WALK}
    values = {name: getattr(run, name) for name in (*ASKED, "mode")}
    return (
        defaults | values | run.evaluation | {"player": run.identity} | flat({"player": run.about})
    )


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Settings within settings by their dotted names, without the places where a player is to be
    found.
    """
    values_by_name = dict[str, Any]()
    for name, value in values.items():
        if name not in PLACES:
            if isinstance(value, Mapping):
                values_by_name |= flat(value, f"{prefix}{name}.")
            else:
                values_by_name[prefix + name] = value
    return values_by_name


def another_evaluation(where: str, changes: Mapping[str, tuple[Any, Any]]) -> ConfigError:
    """What to raise where a folder holds another evaluation."""
    named = {name: values for name, values in changes.items() if name != "player"}
    return refusal(where, named or changes, "evaluation")
