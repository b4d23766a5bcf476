"""Players ranked by task, as Markdown, CSV and text."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vlmgym.core.files import shown, write_atomically
from vlmgym.evals import stats
from vlmgym.evals.comparison import compare_tasks
from vlmgym.evals.estimates import Estimate, readable
from vlmgym.evals.metrics import DESCRIBING, shown_in
from vlmgym.evals.reading import Evaluated, by_task, headline, load
from vlmgym.evals.summaries import read_summary

_COUNTS = ("failed", "stuck", "turns", "cut", "refused", "input_tokens", "output_tokens")
_COLUMNS = (
    *(
        "player",
        "game",
        "level",
        "look",
        "observation",
        "history",
        "settings",
        "episodes",
        "failed",
        "stuck",
        "turns",
    ),
    *("cut", "refused", "sees"),
    *(f"{metric}{end}" for metric in shown_in("leaderboard") for end in ("", "_low", "_high")),
    *("input_tokens", "output_tokens", "cost"),
)


def overview(found: Mapping[str, Sequence[Mapping[str, Any]]], names: Sequence[str]) -> str:
    """Players and tasks as one table of text: the main metric with its interval, and what happened
    to episodes and replies.

    Args:
        found: the summaries of each player, one a task.
        names: of the tasks.
    """
    rows: list[tuple[str, ...]] = [
        (
            "task",
            "player",
            "metric",
            "mean [95 % interval]",
            "format",
            "p_acc",
            "episodes",
            "failed",
            "cut",
            "refused",
            "warnings",
        )
    ]
    for number, name in enumerate(names):
        for label, summaries in found.items():
            one = summaries[number]
            metric, metrics = headline(one["evaluation"]), one["metrics"]
            main = Estimate.from_dict(metrics[metric]).text(readable)
            form, seen = (
                Estimate.from_dict(metrics[key]).mean_text(readable) for key in ("format", "p_acc")
            )
            seen = "given" if one["sees"] == "state" else seen
            n, failed = (one["episodes"][key] for key in ("n", "failed"))
            counts = (
                f"{n - failed} of {n}",
                failed,
                one["counts"]["cut"],
                one["counts"]["refused"],
                len(one["warnings"]),
            )
            rows.append((shown(name), shown(label), metric, main, form, seen, *map(str, counts)))
    wide = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, wide, strict=True)).rstrip()
        for row in rows
    ]
    return "\n".join(lines) + "\n"


def leaderboard(folders: Sequence[Path], out: Path) -> list[dict[str, Any]]:
    """Rank the players of each task; write ``leaderboard.csv`` and ``leaderboard.md``.

    Whole episodes are ranked by score, all else by success. Means and intervals are those of
    ``summary.json``. What players say of a board that they were handed is shown as ``given``.

    Args:
        folders: of evaluations, with ``trace.jsonl`` and ``summary.json``.
        out: folder to write to.

    Returns:
        The rows of the CSV file, tasks in the order in which they first come, best player first.
        Keys: ``player``, ``game``, ``level``, ``look``, ``observation``, ``history``, ``settings``
        (all that are not the default), numbers of ``episodes``, ``failed``, ``stuck`` and
        ``turns``, of replies that were ``cut`` at the limit of tokens or ``refused`` (None where
        that was not counted), ``sees`` (``state``: the player is handed the truth); for each metric
        of leaderboards the mean, and with ``_low`` and ``_high`` its 95 % interval (None where
        nothing was measured); ``input_tokens``, ``output_tokens``, ``cost`` (US dollars, None if
        unknown).

    Raises:
        ConfigError: a folder holds no evaluation.
        TraceError: a damaged trace.
    """
    evaluations, rows = load(folders), list[dict[str, Any]]()
    lines = ["# Leaderboard", ""]
    for group in by_task(evaluations):
        best, repeats = group[0].headline, group[0].how["repeats"]
        measured = [best, *(metric for metric in shown_in("leaderboard") if metric != best)]
        ranked = sorted(
            map(_row, group),
            key=lambda row: -math.inf if row[best] is None else row[best],
            reverse=True,
        )
        rows += ranked
        numbers = [row["episodes"] - row["failed"] for row in ranked]
        count = f"{min(numbers)}" + (f" to {max(numbers)}" if min(numbers) < max(numbers) else "")
        again = f", {repeats} repetitions of each start" if repeats > 1 else ""
        lines += [
            f"## {_cell(group[0].task)}",
            "",
            f"n = {count} finished episodes{again}. Best {best} first.",
            "",
        ]
        body = []
        for row, n in zip(ranked, numbers, strict=True):
            estimates = [
                "given"
                if row["sees"] == "state" and m in DESCRIBING
                else _of_row(row, m).text(readable)
                for m in measured
            ]
            counts = ["-" if row[key] is None else f"{row[key]:,}" for key in _COUNTS]
            body.append(
                [
                    _cell(row["player"]),
                    f"{n}",
                    *estimates,
                    *counts,
                    "-" if row["cost"] is None else f"{row['cost']:.4g}",
                ]
            )
        lines += _table(
            ["player", "n", *measured, *_COUNTS[:-2], "tokens in", "tokens out", "cost, $"], body
        )
    pairs = compare_tasks(evaluations, lambda one: one.headline)
    lines += ["## Paired differences", ""]
    lines += (
        [
            "n is the number of starts that both have finished; left out are episodes without a "
            "partner.",
            "",
        ]
        if pairs
        else []
    )
    body = [
        [_cell(one.task), *map(_cell, one.players), one.metric, one.text(readable)]
        + ["-" if math.isnan(p) else f"{p:.4f}" for p in (one.p, one.p_holm)]
        + [str(one.n), str(one.left_out)]
        for one in pairs
    ]
    head = ["task", "first", "second", "metric", "first - second", "p", "p (Holm)", "n", "left out"]
    lines += _table(head, body) if pairs else ["No task has two players (n = 0).", ""]
    lines += [
        f"Values are mean [low, high]: 95 % percentile bootstrap intervals, {stats.RESAMPLES:,} "
        "resamples of whole episodes "
        "(all repetitions of a start together). Turn metrics are rates over all turns in the "
        "tables of the tasks, and means "
        "over episodes in the paired differences. p: two-sided sign-flip permutation test; Holm: "
        "adjusted over the "
        f"{sum(one.n > 0 for one in pairs)} comparisons of this page. Failed episodes are missing, "
        "not zero. "
        "given: the player is handed the board, so what it says of it measures nothing."
    ]
    out.mkdir(parents=True, exist_ok=True)
    write_atomically(out / "leaderboard.md", "\n".join(lines) + "\n")
    file = io.StringIO(newline="")
    writer = csv.DictWriter(file, _COLUMNS)
    writer.writeheader()
    writer.writerows({key: _csv_cell(value) for key, value in row.items()} for row in rows)
    write_atomically(out / "leaderboard.csv", file.getvalue())
    return rows


def _csv_cell(value: Any) -> Any:
    """A value of a CSV file; a text that a spreadsheet would take for a formula gets an apostrophe
    before it.
    """
    return (
        f"'{value}"
        if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r"))
        else value
    )


def _of_row(row: Mapping[str, Any], metric: str) -> Estimate:
    """A metric of a row of the leaderboard."""
    return Estimate.from_dict(
        {"mean": row[metric], "low": row[f"{metric}_low"], "high": row[f"{metric}_high"]}
    )


def _row(one: Evaluated) -> dict[str, Any]:
    summary = read_summary(one.folder)
    row = {
        "player": one.player,
        "game": one.run.game,
        "level": one.run.level,
        "look": one.run.look,
        "settings": one.settings,
    }
    row |= {key: one.how[key] for key in ("observation", "history")}
    row |= {
        "episodes": summary["episodes"]["n"],
        **{key: summary["episodes"][key] for key in ("failed", "stuck", "turns")},
    }
    row |= {key: summary.get("counts", {}).get(key) for key in ("cut", "refused")} | {
        "sees": summary.get("sees", "")
    }
    for metric, value in summary["metrics"].items():
        if metric in shown_in("leaderboard"):
            row |= {
                metric: value["mean"],
                f"{metric}_low": value["low"],
                f"{metric}_high": value["high"],
            }
    row |= {key: summary["spent"][key] for key in ("input_tokens", "output_tokens", "cost")}
    return {key: row.get(key) for key in _COLUMNS}


def _cell(text: str) -> str:
    """Text that cannot leave its cell of a Markdown table, nor become a tag."""
    return re.sub(r"([\\|`<*\[])", r"\\\1", shown(" ".join(text.split())))


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return ["| " + " | ".join(row) + " |" for row in (head, ["---"] * len(head), *rows)] + [""]
