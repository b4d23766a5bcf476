"""Judging recorded replies anew, without asking anybody."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from vlmgym.core import ConfigError, StateError
from vlmgym.core.files import FileError, only_process, read_json, write_json
from vlmgym.dialogue.judge import ATTRIBUTION
from vlmgym.episodes.batch import EpisodeBatch
from vlmgym.episodes.records import Episode, EvaluationRun
from vlmgym.episodes.task import Task
from vlmgym.episodes.trace import Trace, TraceError, TraceWriter, load_trace
from vlmgym.evals.settings import (
    OPPONENT,
    Evaluation,
    all_starts,
    batch_of,
    task_and_settings,
    walk_of,
)
from vlmgym.evals.summaries import summary_of


def rescore(
    folder: Path, out: Path, mode: str | None = None, oracle: bool = True
) -> dict[str, Any]:
    """Judge the recorded replies of an evaluation anew, by the rules and terms of this version,
    without asking anybody.

    Where a reply is now read as another move, the turns after it were answers to boards that would
    not have come up: the episode ends there as ``stopped``, and the turns are counted as left out.

    Args:
        folder: holds the old ``trace.jsonl``.
        out: another folder, for the new ``trace.jsonl`` and ``summary.json``.
        mode: parse mode; by default as before.
        oracle: compute oracle values.

    Returns:
        The new summary; ``rescored`` says what was left out.

    Raises:
        ConfigError: ``out`` is not empty of traces, or a player had the other side.
        TraceError: the trace is none of an evaluation.
        BusyError: another process writes into ``out``.
    """
    old = load_trace(folder / "trace.jsonl")
    if (out / "trace.jsonl").exists():
        raise ConfigError("out", str(out), "a folder without a trace")
    if OPPONENT in old.run.evaluation:
        allowed = "an evaluation against the opponent of the game, not against a player"
        raise ConfigError("folder", str(folder), allowed)
    try:
        task, settings = task_and_settings(old.run)
        settings = settings.override(mode=mode or settings.mode, oracle=oracle)
        batch = batch_of(task, settings, all_starts(task, settings))
        left_out = batch.replay(old.finished(), strict=False)
    except (TraceError, StateError) as error:
        raise TraceError(f"{folder / 'trace.jsonl'}: {error}") from error
    run = _run_anew(old.run, task, settings)
    episodes = _episodes_of(batch, old)
    summary = summary_of(run, batch.turns, episodes, task, settings, _doubts_before(folder))
    summary["rescored"] = {"from": old.run.revision, "left_out": left_out}
    with only_process(out, "evaluates"):
        with TraceWriter(out / "trace.jsonl") as writer:
            writer.write(run, *batch.turns, *episodes)
        write_json(out / "summary.json", summary)
    return summary


def _run_anew(old: EvaluationRun, task: Task, settings: Evaluation) -> EvaluationRun:
    """The first line of the new trace: the player is the old one."""
    return EvaluationRun(
        old.player,
        **asdict(task.names),
        prompt=task.prompt,
        mode=settings.mode,
        evaluation=asdict(settings) | walk_of(task, settings),
        about=old.about,
        identity=old.identity,
        sees=old.sees,
        reply=task.reply,
        attribution=ATTRIBUTION,
    )


def _episodes_of(batch: EpisodeBatch, old: Trace) -> list[Episode]:
    """The episodes as they are judged now; those without a turn have failed, for the reason that
    was recorded.
    """
    played = {turn.episode for turn in batch.turns}
    reasons = {
        episode.episode: episode.reason for episode in old.episodes if episode.end == "failed"
    }
    episodes = []
    for episode in batch.episodes():
        if episode.episode not in played:
            reason = reasons.get(episode.episode, "not recorded")
            episode = replace(episode, end="failed", reason=reason)
        episodes.append(episode)
    return episodes


def _doubts_before(folder: Path) -> list[str]:
    """What a player said of its answers when it gave them; nothing where no summary says so."""
    try:
        doubts = read_json(folder / "summary.json").get("doubts", [])
    except FileError:
        return []
    if not isinstance(doubts, list):
        return []
    return [doubt for doubt in doubts if isinstance(doubt, str)]
