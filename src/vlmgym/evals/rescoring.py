"""Judging recorded replies anew, without asking anybody."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from vlmgym.core import ConfigError, StateError
from vlmgym.core.files import FileError, only_process, read_json, write_json
from vlmgym.episodes.trace import EvaluationRun, TraceError, TraceWriter, load_trace
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
        lane = batch_of(task, how, starts(task, how).repeat(how.repeats))
        left_out = lane.replay(old.finished(), strict=False)
    except (TraceError, StateError) as error:
        raise TraceError(f"{folder / 'trace.jsonl'}: {error}") from error
    played = {turn.episode for turn in lane.turns}
    reasons = {one.episode: one.reason for one in old.episodes if one.end == "failed"}
    episodes = [
        replace(one, end="failed", reason=reasons.get(one.episode, "not recorded"))
        if one.episode not in played
        else one
        for one in lane.episodes()
    ]
    run = replace(
        EvaluationRun("", "", "", ""),
        **{key: getattr(old.run, key) for key in ("player", "about", "identity", "sees")},
    )
    run = replace(run, **asdict(task.names), prompt=task.prompt, reply=task.reply, mode=how.mode)
    run = replace(run, evaluation=asdict(how) | walk_of(task, how))
    summary = summary_of(run, lane.turns, episodes, task, how, _told_before(folder))
    summary["rescored"] = {"from": old.run.revision, "left_out": left_out}
    with only_process(out, "evaluates"):
        with TraceWriter(out / "trace.jsonl") as writer:
            writer.write(run, *lane.turns, *episodes)
        write_json(out / "summary.json", summary)
    return summary


def _told_before(folder: Path) -> list[str]:
    """What a player said of its answers when it gave them; nothing where no summary says so."""
    try:
        doubts = read_json(folder / "summary.json").get("doubts", [])
    except FileError:
        return []
    return [one for one in doubts if isinstance(one, str)] if isinstance(doubts, list) else []
