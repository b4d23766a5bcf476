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
from vlmgym.evals.normalised import IndexTable, normalised_index
from vlmgym.evals.reading import Evaluated, by_task, headline, load
from vlmgym.evals.summaries import read_summary

_COUNTS = ("failed", "stuck", "turns", "cut", "refused", "input_tokens", "output_tokens")


def _columns() -> tuple[str, ...]:
    """The columns of the CSV file."""
    return (
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


def overview(
    summaries: Mapping[str, Sequence[Mapping[str, Any]]], task_names: Sequence[str]
) -> str:
    """Players and tasks as one table of text: the main metric with its interval, and what happened
    to episodes and replies.

    Args:
        summaries: those of each player, one a task.
        task_names: of the tasks.
    """
    rows: list[tuple[str, ...]] = [OVERVIEW]
    for number, task_name in enumerate(task_names):
        for player, summaries_of_player in summaries.items():
            cells = _overview_cells(summaries_of_player[number])
            rows.append((shown(task_name), shown(player), *cells))
    widths = [max(len(row[column]) for row in rows) for column in range(len(OVERVIEW))]
    text = ""
    for row in rows:
        padded = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        text += "  ".join(padded).rstrip() + "\n"
    return text


def _overview_cells(summary: Mapping[str, Any]) -> tuple[str, ...]:
    """What :func:`overview` says of one evaluation."""
    metrics = summary["metrics"]
    metric = headline(summary["evaluation"])
    perception = Estimate.from_dict(metrics["p_acc"]).mean_text(readable)
    total = summary["episodes"]["n"]
    failed = summary["episodes"]["failed"]
    return (
        metric,
        Estimate.from_dict(metrics[metric]).text(readable),
        Estimate.from_dict(metrics["format"]).mean_text(readable),
        "given" if summary["sees"] == "state" else perception,
        f"{total - failed} of {total}",
        str(failed),
        str(summary["counts"]["cut"]),
        str(summary["counts"]["refused"]),
        str(len(summary["warnings"])),
    )


def leaderboard(folders: Sequence[Path], out: Path) -> list[dict[str, Any]]:
    """Rank the players of each task; write ``leaderboard.csv`` and ``leaderboard.md``, and
    ``index.csv`` where some task was played by a random player and the oracle.

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
        metric = group[0].headline
        ranked = sorted(
            map(_row, group),
            key=lambda row: -math.inf if row[metric] is None else row[metric],
            reverse=True,
        )
        rows += ranked
        lines += _ranking(group[0], ranked)
    indices = normalised_index(evaluations)
    if indices.games:
        lines += _indices(indices)
    lines += _opponents(evaluations)
    lines += _differences(compare_tasks(evaluations, lambda evaluated: evaluated.headline))
    out.mkdir(parents=True, exist_ok=True)
    write_atomically(out / "leaderboard.md", "\n".join(lines) + "\n")
    _write_csv(out / "leaderboard.csv", _columns(), rows)
    if indices.games:
        _write_csv(out / "index.csv", INDEX_COLUMNS, _index_rows(indices))
    return rows


def _write_csv(path: Path, columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
    file = io.StringIO(newline="")
    writer = csv.DictWriter(file, columns)
    writer.writeheader()
    for row in rows:
        writer.writerow({column: _csv_cell(value) for column, value in row.items()})
    write_atomically(path, file.getvalue())


INDEX_COLUMNS = ("player", "game", "index", "low", "high", "n")
"""The columns of ``index.csv``; the game ``all`` is the mean over games, whose n counts games."""


def _index_rows(indices: IndexTable) -> list[dict[str, Any]]:
    """The index of each player over all and on each game, as rows of the CSV file."""
    rows = []
    for index in indices.players:
        for game, estimate in (("all", index.overall), *index.games.items()):
            values = estimate.to_dict()
            values["index"] = values.pop("mean")
            rows.append({"player": index.player, "game": game, **values})
    return rows


def _indices(indices: IndexTable) -> list[str]:
    """The section of the normalised index."""
    body = []
    for index in indices.players:
        cells = [index.overall.text(readable)]
        for game in indices.games:
            known = index.games.get(game)
            cells.append("-" if known is None else known.text(readable))
        body.append([_cell(index.player), *cells])
    lines = [
        "## Normalised index",
        "",
        "How far a player is from random (0) to the oracle (1): of its score in whole games, else "
        "of its success; on the starts that all three have finished. All: the mean of the games, "
        "for players that have all of them. Intervals resample the starts of each task.",
        "",
        *_table(["player", "all", *map(_cell, indices.games)], body),
    ]
    for task, reason in indices.left_out.items():
        lines += [f"Left out: {_cell(task)} ({_cell(reason)}).", ""]
    return lines


_OPPONENT_COLUMNS = (
    "player",
    "opponent",
    "game",
    "level (as first)",
    "starts",
    "points",
    "as first",
    "as second",
)
_OUTCOMES = ("won", "drawn", "lost", "failed", "forfeited", "given")


def _opponents(evaluations: Sequence[Evaluated]) -> list[str]:
    """The section of players who played against each other; nothing where none did."""
    body = []
    for evaluated in evaluations:
        standing = evaluated.summary.get("duel")
        if not standing or standing["side"] != "first":  # what both of a player's folders say
            continue
        points = (standing["points"][name] for name in ("both", "first", "second"))
        estimates = map(Estimate.from_dict, points)
        games = [standing["games"][name] for name in ("first", "second")]
        cells = [evaluated.player, standing["opponent"], evaluated.run.game, evaluated.run.level]
        body.append(
            [
                *map(_cell, cells),
                str(evaluated.how["episodes"]),
                *(estimate.text(readable) for estimate in estimates),
                *(str(sum(counts[name] for counts in games)) for name in _OUTCOMES),
            ]
        )
    if not body:
        return []
    return [
        "## Opponents",
        "",
        "Points of a player against another one: 1 = won, 0.5 = drawn, 0 = lost; over all games, "
        "where it moves first, and where second. Each start is played once from either side; "
        "intervals resample starts. Forfeited (by the player) and given (by its opponent) are "
        "games that an answer without a legal move has lost; failed ones count nowhere.",
        "",
        *_table([*_OPPONENT_COLUMNS, *_OUTCOMES], body),
    ]


def _ranking(example: Evaluated, rows: Sequence[dict[str, Any]]) -> list[str]:
    """The section of a task.

    Args:
        example: one of its evaluations.
        rows: of its players, the best first.
    """
    main_metric = example.headline
    repeats = example.how["repeats"]
    metrics = [main_metric]
    metrics += [metric for metric in shown_in("leaderboard") if metric != main_metric]
    finished_counts = [row["episodes"] - row["failed"] for row in rows]
    fewest = min(finished_counts)
    largest = max(finished_counts)
    count = f"{fewest} to {largest}" if fewest < largest else f"{fewest}"
    repetitions = f", {repeats} repetitions of each start" if repeats > 1 else ""
    body = []
    for row, finished_count in zip(rows, finished_counts, strict=True):
        cells = [_cell(row["player"]), f"{finished_count}"]
        for metric in metrics:
            is_given = row["sees"] == "state" and metric in DESCRIBING
            cells.append("given" if is_given else _of_row(row, metric).text(readable))
        cells += ["-" if row[column] is None else f"{row[column]:,}" for column in _COUNTS]
        cells.append("-" if row["cost"] is None else f"{row['cost']:.4g}")
        body.append(cells)
    header = ["player", "n", *metrics, *_COUNTS[:-2], "tokens in", "tokens out", "cost, $"]
    return [
        f"## {_cell(example.task)}",
        "",
        f"n = {count} finished episodes{repetitions}. Best {main_metric} first.",
        "",
        *_table(header, body),
    ]


def _differences(comparisons: Sequence[Comparison]) -> list[str]:
    """The section of paired differences, and what the numbers of the page are."""
    lines = ["## Paired differences", ""]
    if comparisons:
        lines += [
            "n is the number of starts that both have finished; left out are episodes without a "
            "partner.",
            "",
        ]
        lines += _table(_DIFFERENCE_COLUMNS, list(map(_difference_cells, comparisons)))
    else:
        lines += ["No task has two players (n = 0).", ""]
    lines += [
        f"Values are mean [low, high]: 95 % percentile bootstrap intervals, {stats.RESAMPLES:,} "
        "resamples of whole episodes (all repetitions of a start together). Turn metrics are rates "
        "over all turns in the tables of the tasks, and means over episodes in the paired "
        "differences. p: two-sided sign-flip permutation test; Holm: adjusted over the "
        f"{sum(comparison.n > 0 for comparison in comparisons)} comparisons of this page. Failed "
        "episodes are missing, not zero. given: the player is handed the board, so what it says of "
        "it measures nothing."
    ]
    return lines


_DIFFERENCE_COLUMNS = (
    "task",
    "first",
    "second",
    "metric",
    "first - second",
    "p",
    "p (Holm)",
    "n",
    "left out",
)


def _difference_cells(comparison: Comparison) -> list[str]:
    """A row of the table of paired differences."""
    first, second = comparison.players
    return [
        _cell(comparison.task),
        _cell(first),
        _cell(second),
        comparison.metric,
        comparison.text(readable),
        _p_value_text(comparison.p),
        _p_value_text(comparison.p_holm),
        str(comparison.n),
        str(comparison.left_out),
    ]


def _p_value_text(p_value: float) -> str:
    return "-" if math.isnan(p_value) else f"{p_value:.4f}"


def _csv_cell(value: Any) -> Any:
    """A value of a CSV file; a text that a spreadsheet would take for a formula gets an apostrophe
    before it.
    """
    if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")):
        return f"'{value}"
    return value


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
    for metric, estimate in summary["metrics"].items():
        if metric in shown_in("leaderboard"):
            row[metric] = estimate["mean"]
            row[f"{metric}_low"] = estimate["low"]
            row[f"{metric}_high"] = estimate["high"]
    return {column: row.get(column) for column in _columns()}


def _cell(text: str) -> str:
    """Text that cannot leave its cell of a Markdown table, nor become a tag."""
    return re.sub(r"([\\|`<*\[])", r"\\\1", shown(" ".join(text.split())))


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A Markdown table with an empty line after it."""
    ruler = ["---"] * len(header)
    lines = ["| " + " | ".join(row) + " |" for row in (header, ruler, *rows)]
    return [*lines, ""]
