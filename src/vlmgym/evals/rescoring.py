"""Judging recorded replies anew, without asking anybody."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from vlmgym.core import ConfigError, StateError
from vlmgym.core.files import FileError, only_process, read_json, write_json
from vlmgym.episodes.records import EvaluationRun
from vlmgym.episodes.trace import TraceError, TraceWriter, load_trace
from vlmgym.evals.settings import asked, batch_of, starts, walk_of
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
        ConfigError: ``out`` is not empty of traces.
        TraceError: the trace is none of an evaluation.
        BusyError: another process writes into ``out``.
    """
    old = load_trace(folder / "trace.jsonl")
    if (out / "trace.jsonl").exists():
        raise ConfigError("out", str(out), "a folder without a trace")
    try:
        task, how = asked(old.run)
        how = how.override(mode=mode or how.mode, oracle=oracle)
        batch = batch_of(task, how, starts(task, how).repeat(how.repeats))
        left_out = batch.replay(old.finished(), strict=False)
    except (TraceError, StateError) as error:
        raise TraceError(f"{folder / 'trace.jsonl'}: {error}") from error
    played = {turn.episode for turn in batch.turns}
    reasons = {
        episode.episode: episode.reason for episode in old.episodes if episode.end == "failed"
    }
    episodes = [
        replace(episode, end="failed", reason=reasons.get(episode.episode, "not recorded"))
        if episode.episode not in played
        else episode
        for episode in batch.episodes()
    ]
    run = EvaluationRun(
        old.run.player,
        **asdict(task.names),
        prompt=task.prompt,
        mode=how.mode,
        evaluation=asdict(how) | walk_of(task, how),
        about=old.run.about,
        identity=old.run.identity,
        sees=old.run.sees,
        reply=task.reply,
    )
    summary = summary_of(run, batch.turns, episodes, task, how, _doubts_before(folder))
    summary["rescored"] = {"from": old.run.revision, "left_out": left_out}
    with only_process(out, "evaluates"):
        with TraceWriter(out / "trace.jsonl") as writer:
            writer.write(run, *batch.turns, *episodes)
        write_json(out / "summary.json", summary)
    return summary


def _doubts_before(folder: Path) -> list[str]:
    """What a player said of its answers when it gave them; nothing where no summary says so."""
    try:
        doubts = read_json(folder / "summary.json").get("doubts", [])
    except FileError:
        return []
    if not isinstance(doubts, list):
        return []
    return [doubt for doubt in doubts if isinstance(doubt, str)]
