"""``summary.json`` of an evaluation: made from its turns and episodes, and read again."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from vlmgym.core.files import FileError, read_json
from vlmgym.dialogue.reply import Blocks, taken_apart
from vlmgym.episodes.records import ENDS, Episode, EvaluationRun, Turn
from vlmgym.episodes.task import Task
from vlmgym.evals import baselines, stats
from vlmgym.evals.estimates import Estimate
from vlmgym.evals.metrics import METRICS, summarise
from vlmgym.evals.settings import Evaluation
from vlmgym.players.base import CUT, REFUSED

_NUMBER = (int, float, type(None))
_ESTIMATE = {"mean": _NUMBER, "low": _NUMBER, "high": _NUMBER, "n": int}
_TASK = {
    "game": str,
    "level": str,
    "look": str,
    "prompt": str,
    "walk_min": int,
    "walk_max": int,
    "walk_legal": bool,
}
_SHAPE: dict[str, Any] = {
    "player": str,
    "task": _TASK,
    "evaluation": {"episodes": int},
    "metrics": {},
    "episodes": dict.fromkeys(("n", "failed", "stuck", "turns"), int),
    "spent": {"input_tokens": int, "output_tokens": int, "cost": _NUMBER},
}
"""What every summary of an evaluation holds, of which types."""
_NEWER: dict[str, Any] = {
    "identity": str,
    "sees": str,
    "attribution": int,
    "counts": {"cut": int, "refused": int},
    "duel": {
        "opponent": str,
        "side": str,
        "points": dict.fromkeys(("both", "first", "second"), _ESTIMATE),
        "games": dict.fromkeys(
            ("first", "second"),
            dict.fromkeys(("won", "drawn", "lost", "failed", "forfeited", "given"), int),
        ),
    },
}
"""What it holds as well, but for those of earlier versions, or of another kind."""
_MISSING = object()
"""Stands for a value that is not there."""


def _first_mismatch(value: Any, shape: Any, name: str = "") -> str:
    """The name of the first thing in a JSON value that is not there, or of another type; empty if
    there is none.
    """
    if not isinstance(shape, dict):
        types = shape if isinstance(shape, tuple) else (shape,)
        is_number = type(value) in (int, float)
        matches = type(value) in types and (not is_number or abs(value) <= 1e300)
        return "" if matches else name
    if not isinstance(value, dict):
        return name
    for key, shape_of_field in shape.items():
        field = value.get(key, _MISSING)
        if mismatch := _first_mismatch(field, shape_of_field, f"{name}.{key}"):
            return mismatch
    return ""


def read_summary(source: Path | dict[str, Any]) -> dict[str, Any]:
    """A summary with all of :data:`vlmgym.evals.metrics.METRICS`: one that its version did not have
    was not measured, nor was regret where no oracle was asked (0 there means nothing).

    Raises:
        FileError: the file is not there, no JSON, or no summary of an evaluation.
    """
    if not isinstance(source, dict):
        path = source / "summary.json" if source.is_dir() else source
        source = dict(read_json(path))
        shape = _SHAPE | {name: newer for name, newer in _NEWER.items() if name in source}
        if isinstance(metrics := source.get("metrics"), dict):
            shape["metrics"] = dict.fromkeys(metrics, _ESTIMATE)
        if mismatch := _first_mismatch(source, shape):
            name = mismatch.removeprefix(".")
            raise FileError(
                f"{path}: no summary of an evaluation ({name} is missing or of another type)"
            )
    unknown = Estimate.from_dict({}).to_dict()
    metrics = {**dict.fromkeys(METRICS, unknown), **source["metrics"]}
    if not source["evaluation"].get("oracle", True):
        metrics["regret"] = unknown
    return {**source, "metrics": metrics}


OFTEN = 0.05
"""The share of replies above which what happened to them is warned of."""


def summary_of(
    run: EvaluationRun,
    turns: Sequence[Turn],
    episodes: Sequence[Episode],
    task: Task,
    settings: Evaluation,
    doubts: Sequence[str] = (),
) -> dict[str, Any]:
    """What ``summary.json`` holds; see :func:`evaluate_all`.

    Episodes that failed are counted, and missing in all metrics.

    Args:
        run: the first line of the trace.
        turns: all turns.
        episodes: all episodes.
        task: what was asked.
        settings: how it was measured.
        doubts: what the player itself says of its answers; they come first among the warnings, and
            are kept as ``doubts``.
    """
    finished = [episode for episode in episodes if episode.end != "failed"]
    finished_numbers = {episode.episode for episode in finished}
    finished_turns = [turn for turn in turns if turn.episode in finished_numbers]
    metrics = summarise(finished_turns, finished, settings.repeats)
    finish_counts = Counter(turn.usage.get("finish") for turn in turns)
    failures = Counter(episode.reason for episode in episodes if episode.end == "failed")
    whole_games = settings.start == "reset" and not settings.turns
    warnings = [*doubts, *warnings_of(run, turns)]
    warnings += _one_opening(task, settings, len(finished) // settings.repeats)
    summary = {
        "player": run.player,
        "identity": run.identity,
        "sees": run.sees,
        "attribution": run.attribution,
        "about": run.about,
        "task": task.to_dict(),
        "evaluation": asdict(settings),
        "metrics": {name: estimate.to_dict() for name, estimate in metrics.items()},
        "episodes": _episode_counts(episodes, turns, settings.repeats),
        "counts": {
            "turns": len(turns),
            "cut": finish_counts[CUT],
            "refused": finish_counts[REFUSED],
        },
        "warnings": warnings,
        "doubts": list(doubts),
        "failures": dict(failures.most_common(20)),
        "spent": _spent(turns),
        "baselines": baselines.stored(task.game, task.names.level) if whole_games else {},
    }
    if settings.repeats > 1:
        summary["repeats"] = _repeats(finished_turns, finished, settings.repeats)
    return summary


def _episode_counts(
    episodes: Sequence[Episode], turns: Sequence[Turn], repeats: int
) -> dict[str, int]:
    """How many episodes, starts and turns there are, and how many episodes of each end."""
    counts = {"n": len(episodes), "starts": len(episodes) // repeats, "turns": len(turns)}
    for end in ENDS:
        counts[end] = sum(episode.end == end for episode in episodes)
    return counts


def _spent(turns: Sequence[Turn]) -> dict[str, Any]:
    """Tokens, cost (None where no turn has one) and seconds of all turns together."""
    spent = dict[str, Any]()
    for name in ("input_tokens", "output_tokens", "reasoning_tokens"):
        spent[name] = sum(turn.usage.get(name, 0) for turn in turns)
    costs = [turn.usage["cost"] for turn in turns if turn.usage.get("cost") is not None]
    spent["cost"] = sum(costs) if costs else None
    spent["seconds"] = sum(turn.seconds for turn in turns)
    return spent


def _one_opening(task: Task, settings: Evaluation, starts: int) -> list[str]:
    """What to think of intervals where all starts are the same board."""
    game = task.game
    if not game.one_game or settings.start != "reset" or starts < 2:
        return []
    return [
        f"all {starts} starts are the one opening of {game.name}: intervals tell of the "
        "player's luck, not of other games"
    ]


def warnings_of(run: EvaluationRun, turns: Sequence[Turn]) -> list[str]:
    """What makes the numbers of an evaluation doubtful, each with what to do about it."""
    if not turns or run.sees == "nothing":
        return []
    warnings = list[str]()
    count = len(turns)
    finish_counts = Counter(turn.usage.get("finish") for turn in turns)
    often_cut = finish_counts[CUT] > OFTEN * count
    if often_cut:
        sampling = run.about.get("sampling")
        limit = sampling.get("max_tokens") if isinstance(sampling, dict) else None
        current = f" (now {limit})" if limit else ""
        warnings.append(
            f"{finish_counts[CUT]} of {count} replies were cut at the limit of new tokens: raise "
            f"--max-new-tokens{current}"
        )
    if finish_counts[REFUSED] > OFTEN * count:
        warnings.append(
            f"{finish_counts[REFUSED]} of {count} replies were refused by the model or its "
            "provider: read them in trace.jsonl"
        )
    malformed = [turn for turn in turns if not turn.terms["format"]]
    blocks = Blocks.of(run.reply)
    apart = sum(taken_apart(turn.reply, turn.reasoning, blocks) for turn in malformed)
    if apart > count / 2:
        warnings.append(
            f"{apart} of {count} replies begin with <{blocks.answer}> while the reasoning came "
            f"apart from them: the server takes <{blocks.think}> out of replies; serve the model "
            "without a reasoning parser, or ask for other names of the blocks"
        )
    elif len(malformed) == count >= 5 and not often_cut:
        warnings.append(
            f"none of {count} replies has the blocks that were asked for (format 0): read "
            "some in trace.jsonl"
        )
    replies = {turn.reply for turn in turns}
    states = {turn.state for turn in turns}
    if count >= 10 and len(replies) == 1 and len(states) > 1:
        warnings.append(
            f"all {count} replies are equal, though the boards are not: does the model see the "
            "picture?"
        )
    return warnings


def failed_of(summary: Mapping[str, Any]) -> str:
    """One sentence on the episodes that failed, with their reasons; empty if none did."""
    failed = summary["episodes"]["failed"]
    total = summary["episodes"]["n"]
    if not failed:
        return ""
    commonest = list(summary["failures"].items())[:3]
    reasons = "; ".join(f"{reason} ({count}x)" for reason, count in commonest)
    return (
        f"{failed} of {total} episodes failed: {reasons}. Run the same command to try them again."
    )


def _repeats(turns: Sequence[Turn], episodes: Sequence[Episode], repeats: int) -> dict[str, Any]:
    """Over repetitions of a start: pass@k and agreement of the first turn, and the reliability of
    the scores.
    """
    successes_by_start = defaultdict[int, list[bool]](list)
    scores_by_start = defaultdict[int, list[float]](list)
    for turn in turns:
        if turn.turn == 0:
            successes_by_start[turn.episode // repeats].append(turn.terms["game"] > 0)
    for episode in episodes:
        scores_by_start[episode.episode // repeats].append(episode.score)
    complete = [row for row in successes_by_start.values() if len(row) == repeats]
    values = {}
    for answers in range(1, repeats + 1):
        values[f"pass@{answers}"] = [
            stats.pass_at_k(repeats, sum(successes), answers) for successes in complete
        ]
    values["agreement"] = [float(len(set(successes)) == 1) for successes in complete]
    reliability: dict[str, Any] = {}
    for name, values_of_starts in values.items():
        reliability[name] = stats.mean(values_of_starts, bounds=stats.SHARE).to_dict()
    score_table = [scores for scores in scores_by_start.values() if len(scores) == repeats]
    correlation = stats.icc(score_table) if len(score_table) > 1 else math.nan
    reliability["score_icc"] = None if math.isnan(correlation) else correlation
    return reliability
