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
from vlmgym.evals.comparison import Comparison, compare_tasks
from vlmgym.evals.estimates import Estimate, readable
from vlmgym.evals.metrics import DESCRIBING, shown_in
from vlmgym.evals.reading import Evaluated, by_task, headline, load
from vlmgym.evals.summaries import read_summary

_COUNTS = ("failed", "stuck", "turns", "cut", "refused", "input_tokens", "output_tokens")
_COLUMNS = (
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
    "cut",
    "refused",
    "sees",
    *(f"{metric}{end}" for metric in shown_in("leaderboard") for end in ("", "_low", "_high")),
    "input_tokens",
    "output_tokens",
    "cost",
)


OVERVIEW = (
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
"""The columns of :func:`overview`."""


def overview(measured: Mapping[str, Sequence[Mapping[str, Any]]], names: Sequence[str]) -> str:
    """Players and tasks as one table of text: the main metric with its interval, and what happened
    to episodes and replies.

    Args:
        measured: the summaries of each player, one a task.
        names: of the tasks.
    """
    rows: list[tuple[str, ...]] = [OVERVIEW]
    for number, name in enumerate(names):
        for label, summaries in measured.items():
            rows.append((shown(name), shown(label), *_overview_cells(summaries[number])))
    widths = [max(len(row[column]) for row in rows) for column in range(len(OVERVIEW))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    return "\n".join(lines) + "\n"


def _overview_cells(summary: Mapping[str, Any]) -> tuple[str, ...]:
    """What :func:`overview` says of one evaluation."""
    metrics = summary["metrics"]
    metric = headline(summary["evaluation"])
    seen = Estimate.from_dict(metrics["p_acc"]).mean_text(readable)
    total = summary["episodes"]["n"]
    failed = summary["episodes"]["failed"]
    return (
        metric,
        Estimate.from_dict(metrics[metric]).text(readable),
        Estimate.from_dict(metrics["format"]).mean_text(readable),
        "given" if summary["sees"] == "state" else seen,
        f"{total - failed} of {total}",
        str(failed),
        str(summary["counts"]["cut"]),
        str(summary["counts"]["refused"]),
        str(len(summary["warnings"])),
    )


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
    evaluations = load(folders)
    rows = list[dict[str, Any]]()
    lines = ["# Leaderboard", ""]
    for group in by_task(evaluations):
        best = group[0].headline
        ranked = sorted(
            map(_row, group),
            key=lambda row: -math.inf if row[best] is None else row[best],
            reverse=True,
        )
        rows += ranked
        lines += _ranking(group[0], ranked)
    lines += _differences(compare_tasks(evaluations, lambda evaluated: evaluated.headline))
    out.mkdir(parents=True, exist_ok=True)
    write_atomically(out / "leaderboard.md", "\n".join(lines) + "\n")
    file = io.StringIO(newline="")
    writer = csv.DictWriter(file, _COLUMNS)
    writer.writeheader()
    writer.writerows({key: _csv_cell(value) for key, value in row.items()} for row in rows)
    write_atomically(out / "leaderboard.csv", file.getvalue())
    return rows


def _ranking(asked: Evaluated, rows: Sequence[dict[str, Any]]) -> list[str]:
    """The section of a task.

    Args:
        asked: one of its evaluations.
        rows: of its players, the best first.
    """
    best = asked.headline
    repeats = asked.how["repeats"]
    measured = [best, *(metric for metric in shown_in("leaderboard") if metric != best)]
    finished = [row["episodes"] - row["failed"] for row in rows]
    fewest = min(finished)
    most = max(finished)
    count = f"{fewest} to {most}" if fewest < most else f"{fewest}"
    again = f", {repeats} repetitions of each start" if repeats > 1 else ""
    body = []
    for row, number in zip(rows, finished, strict=True):
        cells = [_cell(row["player"]), f"{number}"]
        for metric in measured:
            given = row["sees"] == "state" and metric in DESCRIBING
            cells.append("given" if given else _of_row(row, metric).text(readable))
        cells += ["-" if row[key] is None else f"{row[key]:,}" for key in _COUNTS]
        cells.append("-" if row["cost"] is None else f"{row['cost']:.4g}")
        body.append(cells)
    head = ["player", "n", *measured, *_COUNTS[:-2], "tokens in", "tokens out", "cost, $"]
    return [
        f"## {_cell(asked.task)}",
        "",
        f"n = {count} finished episodes{again}. Best {best} first.",
        "",
        *_table(head, body),
    ]


def _differences(pairs: Sequence[Comparison]) -> list[str]:
    """The section of paired differences, and what the numbers of the page are."""
    lines = ["## Paired differences", ""]
    if pairs:
        lines += [
            "n is the number of starts that both have finished; left out are episodes without a "
            "partner.",
            "",
        ]
    body = [
        [_cell(pair.task), *map(_cell, pair.players), pair.metric, pair.text(readable)]
        + ["-" if math.isnan(p_value) else f"{p_value:.4f}" for p_value in (pair.p, pair.p_holm)]
        + [str(pair.n), str(pair.left_out)]
        for pair in pairs
    ]
    head = ["task", "first", "second", "metric", "first - second", "p", "p (Holm)", "n", "left out"]
    lines += _table(head, body) if pairs else ["No task has two players (n = 0).", ""]
    lines += [
        f"Values are mean [low, high]: 95 % percentile bootstrap intervals, {stats.RESAMPLES:,} "
        "resamples of whole episodes (all repetitions of a start together). Turn metrics are rates "
        "over all turns in the tables of the tasks, and means over episodes in the paired "
        "differences. p: two-sided sign-flip permutation test; Holm: adjusted over the "
        f"{sum(pair.n > 0 for pair in pairs)} comparisons of this page. Failed episodes are "
        "missing, not zero. given: the player is handed the board, so what it says of it measures "
        "nothing."
    ]
    return lines


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


def _row(evaluated: Evaluated) -> dict[str, Any]:
    """An evaluation as a row of the CSV file."""
    summary = read_summary(evaluated.folder)
    episodes = summary["episodes"]
    counts = summary.get("counts", {})
    spent = summary["spent"]
    row = {
        "player": evaluated.player,
        "game": evaluated.run.game,
        "level": evaluated.run.level,
        "look": evaluated.run.look,
        "settings": evaluated.settings,
        "observation": evaluated.how["observation"],
        "history": evaluated.how["history"],
        "episodes": episodes["n"],
        "failed": episodes["failed"],
        "stuck": episodes["stuck"],
        "turns": episodes["turns"],
        "cut": counts.get("cut"),
        "refused": counts.get("refused"),
        "sees": summary.get("sees", ""),
        "input_tokens": spent["input_tokens"],
        "output_tokens": spent["output_tokens"],
        "cost": spent["cost"],
    }
    for metric, value in summary["metrics"].items():
        if metric in shown_in("leaderboard"):
            row[metric] = value["mean"]
            row[f"{metric}_low"] = value["low"]
            row[f"{metric}_high"] = value["high"]
    return {key: row.get(key) for key in _COLUMNS}


def _cell(text: str) -> str:
    """Text that cannot leave its cell of a Markdown table, nor become a tag."""
    return re.sub(r"([\\|`<*\[])", r"\\\1", shown(" ".join(text.split())))


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return ["| " + " | ".join(row) + " |" for row in (head, ["---"] * len(head), *rows)] + [""]
