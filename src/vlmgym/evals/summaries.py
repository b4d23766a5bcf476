"""``summary.json`` of an evaluation: made from its turns and episodes, and read again."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from vlmgym.core.files import FileError, read_json
from vlmgym.dialogue.prompt import Blocks, taken_apart
from vlmgym.episodes.task import Task
from vlmgym.episodes.trace import ENDS, Episode, EvaluationRun, Turn
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
        return (
            ""
            if type(value) in kinds and (type(value) not in (int, float) or abs(value) <= 1e300)
            else name
        )
    if not isinstance(value, dict):
        return name
    return next(
        (
            lack
            for key, one in shape.items()
            if (lack := _lacks(value.get(key, _lacks), one, f"{name}.{key}"))
        ),
        "",
    )


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
    return {
        **source,
        "metrics": {
            **source["metrics"],
            "regret": {"mean": None, "low": None, "high": None, "n": 0},
        },
    }


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
    done = [one for one in episodes if one.end != "failed"]
    kept = {one.episode for one in done}
    counted = [turn for turn in turns if turn.episode in kept]
    spent = {
        key: sum(turn.usage.get(key, 0) for turn in turns)
        for key in ("input_tokens", "output_tokens", "reasoning_tokens")
    }
    costs = [turn.usage["cost"] for turn in turns if turn.usage.get("cost") is not None]
    finish = Counter(turn.usage.get("finish") for turn in turns)
    summary = {
        **{key: getattr(run, key) for key in ("player", "identity", "sees", "about")},
        "task": task.to_dict(),
        "evaluation": asdict(how),
        "metrics": {k: v.to_dict() for k, v in summarise(counted, done, how.repeats).items()},
        "episodes": {
            "n": len(episodes),
            "starts": len(episodes) // how.repeats,
            "turns": len(turns),
        }
        | {end: sum(one.end == end for one in episodes) for end in ENDS},
        "counts": {"turns": len(turns), "cut": finish[CUT], "refused": finish[REFUSED]},
        "warnings": [
            *doubts,
            *warnings_of(run, turns),
            *_one_opening(task, how, len(done) // how.repeats),
        ],
        "doubts": list(doubts),
        "failures": dict(
            Counter(one.reason for one in episodes if one.end == "failed").most_common(20)
        ),
        "spent": spent
        | {"cost": sum(costs) if costs else None, "seconds": sum(turn.seconds for turn in turns)},
        "baselines": baselines.stored(task.game, task.names.level)
        if how.start == "reset" and not how.turns
        else {},
    }
    if how.repeats > 1:
        summary["repeats"] = _repeats(counted, done, how.repeats)
    return summary


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
    found, n = list[str](), len(turns)
    finish = Counter(turn.usage.get("finish") for turn in turns)
    if finish[CUT] > OFTEN * n:
        limit = (
            run.about.get("sampling", {}).get("max_tokens")
            if isinstance(run.about.get("sampling"), dict)
            else None
        )
        now = f" (now {limit})" if limit else ""
        found.append(
            f"{finish[CUT]} of {n} replies were cut at the limit of new tokens: raise "
            f"--max-new-tokens{now}"
        )
    if finish[REFUSED] > OFTEN * n:
        found.append(
            f"{finish[REFUSED]} of {n} replies were refused by the model or its provider: "
            "read them in trace.jsonl"
        )
    unformed = [turn for turn in turns if not turn.terms["format"]]
    blocks = Blocks.of(run.reply)
    apart = sum(taken_apart(turn.reply, turn.reasoning, blocks) for turn in unformed)
    if apart > n / 2:
        found.append(
            f"{apart} of {n} replies begin with <{blocks.answer}> while the reasoning came apart "
            "from them: the server takes "
            f"<{blocks.think}> out of replies; serve the model without a reasoning parser, or ask "
            "for other names of the blocks"
        )
    elif len(unformed) == n >= 5 and not finish[CUT] > OFTEN * n:
        found.append(
            f"none of {n} replies has the blocks that were asked for (format 0): read "
            "some in trace.jsonl"
        )
    if (
        n >= 10
        and len({turn.reply for turn in turns}) == 1
        and len({turn.state for turn in turns}) > 1
    ):
        found.append(
            f"all {n} replies are equal, though the boards are not: does the model see the picture?"
        )
    return found


def failed_of(summary: Mapping[str, Any]) -> str:
    """One sentence on the episodes that failed, with their reasons; empty if none did."""
    failed, n = summary["episodes"]["failed"], summary["episodes"]["n"]
    if not failed:
        return ""
    reasons = "; ".join(
        f"{reason} ({times}x)" for reason, times in list(summary["failures"].items())[:3]
    )
    return f"{failed} of {n} episodes failed: {reasons}. Run the same command to try them again."


def _repeats(turns: Sequence[Turn], episodes: Sequence[Episode], repeats: int) -> dict[str, Any]:
    """Over repetitions of a start: pass@k and agreement of the first turn, and the reliability of
    the scores.
    """
    good, scores = defaultdict[int, list[bool]](list), defaultdict[int, list[float]](list)
    for turn in turns:
        if turn.turn == 0:
            good[turn.episode // repeats].append(turn.terms["game"] > 0)
    for one in episodes:
        scores[one.episode // repeats].append(one.score)
    whole = [one for one in good.values() if len(one) == repeats]
    found = {
        f"pass@{k}": stats.mean(
            [stats.pass_at_k(len(one), sum(one), k) for one in whole], bounds=stats.SHARE
        ).to_dict()
        for k in range(1, repeats + 1)
    }
    found["agreement"] = stats.mean(
        [float(len(set(one)) == 1) for one in whole], bounds=stats.SHARE
    ).to_dict()
    table = [one for one in scores.values() if len(one) == repeats]
    icc = stats.icc(table) if len(table) > 1 else float("nan")
    return {**found, "score_icc": None if np.isnan(icc) else icc}
