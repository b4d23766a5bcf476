"""What is said of an evaluation, and the pages beside it."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vlmgym.core.errors import VlmGymError, counted, shown

Summary = dict[str, Any]


def conclude(
    measured: Mapping[str, Sequence[Summary]],
    names: Sequence[str],
    out: Path,
    photos: Sequence[str] = (),
) -> int:
    """Say what was measured, what is doubtful about it, where it lies and what comes next.

    Returns:
        The exit status.
    """
    from vlmgym.evals.leaderboards import overview
    from vlmgym.evals.summaries import failed_of

    sys.stdout.write(overview(measured, names))
    for label, summaries in measured.items():
        for name, summary in zip(names, summaries, strict=True):
            for text in filter(None, [failed_of(summary), *summary["warnings"]]):
                sys.stderr.write(f"warning: {shown(f'{label} on {name}: {text}')}\n")
    finished = [any(map(is_measured, summaries)) for summaries in measured.values()]
    if any(finished):
        write_pages(out, photos)
        page = out / "report.html"
        together = "vlmgym report RUN RUN ... puts runs together on one page"
        sys.stdout.write(f"next: open {page}; {together}\n")
    return 0 if all(finished) else 1


def is_measured(summary: Summary) -> bool:
    """Whether an episode was played to its end."""
    return bool(summary["episodes"]["failed"] < summary["episodes"]["n"])


def write_pages(out: Path, photos: Sequence[str] = ()) -> None:
    """Leaderboard, figures and report of evaluations, with photographs of these paths."""
    from vlmgym.evals.folders import places
    from vlmgym.evals.leaderboards import leaderboard
    from vlmgym.report.page import write_report

    try:
        folders = [evaluation.folder for evaluation in places([out])]
        folders = [folder for folder in folders if (folder / "summary.json").exists()]
        leaderboard(folders, out)
        index = "index.csv, " if (out / "index.csv").exists() else ""
        drawn = _draw_figures(folders, out)
        page = write_report(out, photos=photos).name
    except VlmGymError as error:
        # The evaluation is whole; what stands beside it in the folder may not be.
        sys.stderr.write(f"warning: no pages about {out}: {shown(str(error))}\n")
        return
    written = f"traces and summaries, leaderboard.md, leaderboard.csv, {index}{page}, {drawn}"
    sys.stdout.write(f"{out}: {written}\n")


def _draw_figures(folders: Sequence[Path], out: Path) -> str:
    """Draw the figures; returns what is said of them."""
    from vlmgym.core import MissingExtra
    from vlmgym.report.plots import figures

    try:
        drawn = figures(folders, out / "figures")
    except MissingExtra as error:
        return f"no pictures ({error})"
    return f"{counted(len(drawn), 'picture')} in figures/"


def table(summary: Summary) -> str:
    """The metrics of a summary as text lines: name, mean, 95 % interval, n."""
    from vlmgym.evals.estimates import Estimate, decimals
    from vlmgym.evals.metrics import DESCRIBING, shown_in

    task = summary["task"]
    player = shown(f"{summary['player']} on {task['game']} {task['level']}")
    lines = [f"{player}, {counted(summary['evaluation']['episodes'], 'episode')}"]
    for name, value in summary["metrics"].items():
        if summary["sees"] == "state" and name in DESCRIBING:
            text = "    given   (the player is handed the board)"
        elif value["mean"] is None:
            text = "-"
        elif value["low"] is None:
            text = f"{value['mean']:9.3f}   (no interval)   n={value['n']}"
        else:
            interval = f"[{value['low']:.3f}, {value['high']:.3f}]"
            text = f"{value['mean']:9.3f}   {interval}   n={value['n']}"
        lines.append(f"  {name:<20} {text}")
    metrics = shown_in("baselines")
    if summary["baselines"]:
        header = "".join(f"{metric:>26}" for metric in metrics)
        lines.append(f"  {'baselines':<20} {header}")
    for name, row in summary["baselines"].items():
        estimates = [Estimate.from_dict(row.get(metric, {})) for metric in metrics]
        cells = "".join(f"{estimate.text(decimals(2)):>26}" for estimate in estimates)
        lines.append(f"    {name:<18} {cells}")
    return "\n".join(lines) + "\n"


def duel_table(result: Summary) -> str:
    """The points of a player against another one as text lines; ``result``: what ``duel.json``
    holds.
    """
    from vlmgym.evals.estimates import Estimate, readable

    task = result["task"]
    names = [shown(result[role]["name"]) for role in ("player", "opponent")]
    starts = counted(result["evaluation"]["episodes"], "start")
    lines = [f"{' against '.join(names)} on {task['game']} {task['level']}, {starts}"]
    rows = [("", "points [95 % interval]", *result["games"]["first"])]
    for side, games in result["games"].items():
        estimate = Estimate.from_dict(result["points"][side])
        rows.append((side, estimate.text(readable), *map(str, games.values())))
    rows.append(("both", Estimate.from_dict(result["points"]["both"]).text(readable)))
    for row in rows:
        cells = "".join(f"{cell:<11}" for cell in row[2:])
        lines.append(f"  {row[0]:<8}{row[1]:<26}{cells}".rstrip())
    return "\n".join(lines) + "\n"
