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
from vlmgym.evals.metrics import shown_in, summarise
from vlmgym.evals.settings import Evaluation
from vlmgym.players.base import CUT, REFUSED

_NUMBER = (int, float, type(None))
_ESTIMATE = dict.fromkeys(("mean", "low", "high"), _NUMBER) | {"n": int}
_SHAPE: dict[str, Any] = {
    "player": str,
    "task": dict.fromkeys(("game", "level", "look", "prompt"), str)
    | {"walk_min": int, "walk_max": int, "walk_legal": bool},
    "evaluation": {"episodes": int},
    "metrics": {name: _ESTIMATE for name in shown_in("leaderboard") if name != "balanced"},
    "episodes": dict.fromkeys(("n", "failed", "stuck", "turns"), int),
    "spent": {"input_tokens": int, "output_tokens": int, "cost": _NUMBER},
}
"""What every summary of an evaluation holds, of which types."""
_NEWER: dict[str, Any] = {"identity": str, "sees": str, "counts": {"cut": int, "refused": int}}
_NEWER |= {"metrics": _SHAPE["metrics"] | {"balanced": _ESTIMATE}}
"""What it holds as well, but for those of earlier versions."""


def _lacks(value: Any, shape: Any, name: str = "") -> str:
    """The name of the first thing in a JSON value that is not there, or of another type; empty if
    there is none.
    """
    if not isinstance(shape, dict):
        kinds = shape if isinstance(shape, tuple) else (shape,)
        right = type(value) in kinds and (type(value) not in (int, float) or abs(value) <= 1e300)
        return "" if right else name
    if not isinstance(value, dict):
        return name
    for key, inner in shape.items():
        if lack := _lacks(value.get(key, _lacks), inner, f"{name}.{key}"):
            return lack
    return ""


def read_summary(source: Path | dict[str, Any]) -> dict[str, Any]:
    """A summary, with no regret where no oracle was asked (0 there means nothing).

    Raises:
        FileError: the file is not there, no JSON, or no summary of an evaluation.
    """
    if not isinstance(source, dict):
        path = source / "summary.json" if source.is_dir() else source
        source = dict(read_json(path))
        newer = {key: shape for key, shape in _NEWER.items() if key in source}
        if "balanced" not in (source.get("metrics") or {}):
            newer.pop("metrics", None)
        if lack := _lacks(source, _SHAPE | newer):
            raise FileError(
                f"{path}: no summary of an evaluation ({lack.removeprefix('.')} is "
                "missing or of another type)"
            )
    if source["evaluation"].get("oracle", True):
        return source
    unknown = {"mean": None, "low": None, "high": None, "n": 0}
    return {**source, "metrics": {**source["metrics"], "regret": unknown}}


OFTEN = 0.05
"""The share of replies above which what happened to them is warned of."""


def summary_of(
    run: EvaluationRun,
    turns: Sequence[Turn],
    episodes: Sequence[Episode],
    task: Task,
    how: Evaluation,
    doubts: Sequence[str] = (),
) -> dict[str, Any]:
    """What ``summary.json`` holds; see :func:`evaluate_all`.

    Episodes that failed are counted, and missing in all metrics.

    Args:
        run: the first line of the trace.
        turns: all turns.
        episodes: all episodes.
        task: what was asked.
        how: how it was measured.
        doubts: what the player itself says of its answers; they come first among the warnings, and
            are kept as ``doubts``.
    """
    done = [episode for episode in episodes if episode.end != "failed"]
    kept = {episode.episode for episode in done}
    counted = [turn for turn in turns if turn.episode in kept]
    metrics = summarise(counted, done, how.repeats)
    finish = Counter(turn.usage.get("finish") for turn in turns)
    failures = Counter(episode.reason for episode in episodes if episode.end == "failed")
    whole_games = how.start == "reset" and not how.turns
    numbers = {"n": len(episodes), "starts": len(episodes) // how.repeats, "turns": len(turns)}
    numbers |= {end: sum(episode.end == end for episode in episodes) for end in ENDS}
    summary = {
        "player": run.player,
        "identity": run.identity,
        "sees": run.sees,
        "about": run.about,
        "task": task.to_dict(),
        "evaluation": asdict(how),
        "metrics": {name: estimate.to_dict() for name, estimate in metrics.items()},
        "episodes": numbers,
        "counts": {"turns": len(turns), "cut": finish[CUT], "refused": finish[REFUSED]},
        "warnings": [
            *doubts,
            *warnings_of(run, turns),
            *_one_opening(task, how, len(done) // how.repeats),
        ],
        "doubts": list(doubts),
        "failures": dict(failures.most_common(20)),
        "spent": _spent(turns),
        "baselines": baselines.stored(task.game, task.names.level) if whole_games else {},
    }
    if how.repeats > 1:
        summary["repeats"] = _repeats(counted, done, how.repeats)
    return summary


def _spent(turns: Sequence[Turn]) -> dict[str, Any]:
    """Tokens, cost (None where no turn has one) and seconds of all turns together."""
    spent: dict[str, Any] = {
        key: sum(turn.usage.get(key, 0) for turn in turns)
        for key in ("input_tokens", "output_tokens", "reasoning_tokens")
    }
    costs = [turn.usage["cost"] for turn in turns if turn.usage.get("cost") is not None]
    spent["cost"] = sum(costs) if costs else None
    spent["seconds"] = sum(turn.seconds for turn in turns)
    return spent


def _one_opening(task: Task, how: Evaluation, starts: int) -> list[str]:
    """What to think of intervals where all starts are the same board."""
    game = task.game
    if not game.one_game or how.start != "reset" or starts < 2:
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
    n = len(turns)
    finish = Counter(turn.usage.get("finish") for turn in turns)
    if finish[CUT] > OFTEN * n:
        sampling = run.about.get("sampling")
        limit = sampling.get("max_tokens") if isinstance(sampling, dict) else None
        now = f" (now {limit})" if limit else ""
        warnings.append(
            f"{finish[CUT]} of {n} replies were cut at the limit of new tokens: raise "
            f"--max-new-tokens{now}"
        )
    if finish[REFUSED] > OFTEN * n:
        warnings.append(
            f"{finish[REFUSED]} of {n} replies were refused by the model or its provider: "
            "read them in trace.jsonl"
        )
    unformed = [turn for turn in turns if not turn.terms["format"]]
    blocks = Blocks.of(run.reply)
    apart = sum(taken_apart(turn.reply, turn.reasoning, blocks) for turn in unformed)
    if apart > n / 2:
        warnings.append(
            f"{apart} of {n} replies begin with <{blocks.answer}> while the reasoning came apart "
            f"from them: the server takes <{blocks.think}> out of replies; serve the model without "
            "a reasoning parser, or ask for other names of the blocks"
        )
    elif len(unformed) == n >= 5 and not finish[CUT] > OFTEN * n:
        warnings.append(
            f"none of {n} replies has the blocks that were asked for (format 0): read "
            "some in trace.jsonl"
        )
    replies = {turn.reply for turn in turns}
    states = {turn.state for turn in turns}
    if n >= 10 and len(replies) == 1 and len(states) > 1:
        warnings.append(
            f"all {n} replies are equal, though the boards are not: does the model see the picture?"
        )
    return warnings


def failed_of(summary: Mapping[str, Any]) -> str:
    """One sentence on the episodes that failed, with their reasons; empty if none did."""
    failed = summary["episodes"]["failed"]
    total = summary["episodes"]["n"]
    if not failed:
        return ""
    reasons = "; ".join(
        f"{reason} ({times}x)" for reason, times in list(summary["failures"].items())[:3]
    )
    return (
        f"{failed} of {total} episodes failed: {reasons}. Run the same command to try them again."
    )


def _repeats(turns: Sequence[Turn], episodes: Sequence[Episode], repeats: int) -> dict[str, Any]:
    """Over repetitions of a start: pass@k and agreement of the first turn, and the reliability of
    the scores.
    """
    good = defaultdict[int, list[bool]](list)
    scores = defaultdict[int, list[float]](list)
    for turn in turns:
        if turn.turn == 0:
            good[turn.episode // repeats].append(turn.terms["game"] > 0)
    for episode in episodes:
        scores[episode.episode // repeats].append(episode.score)
    whole = [hits for hits in good.values() if len(hits) == repeats]
    values = {
        f"pass@{k}": [stats.pass_at_k(repeats, sum(hits), k) for hits in whole]
        for k in range(1, repeats + 1)
    }
    values["agreement"] = [float(len(set(hits)) == 1) for hits in whole]
    reliability = {
        name: stats.mean(each, bounds=stats.SHARE).to_dict() for name, each in values.items()
    }
    table = [row for row in scores.values() if len(row) == repeats]
    icc = stats.icc(table) if len(table) > 1 else math.nan
    return {**reliability, "score_icc": None if math.isnan(icc) else icc}
