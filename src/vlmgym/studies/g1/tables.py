"""What a study has found as Markdown tables, one function a section."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vlmgym.core.files import read_json_lines
from vlmgym.dialogue.judge import Fault
from vlmgym.studies.g1.claims import claims
from vlmgym.studies.g1.findings import (
    DIALS,
    GAMES,
    INTERVENTIONS,
    TITLES,
    TURNED,
    StudyResults,
    exploration,
    knowing,
    points,
    scores,
    text,
)
from vlmgym.studies.study import BASE


def attempts(results: StudyResults) -> list[dict[str, Any]]:
    """What was run when, one for each process of the study."""
    return read_json_lines(results.out / "jobs.jsonl")


def asked_players(results: StudyResults, evaluation: str) -> list[str]:
    """The players of an evaluation, without their seeds."""
    if evaluation not in results.study.evaluations:
        return []
    players = results.study.players(evaluation)
    return list(dict.fromkeys(results.without_seed(player) for player in players))


def _markdown(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of the rows in which something was measured; empty if there are none."""
    lines = []
    for row in rows:
        if any(cell != "-" for cell in row[1:]):
            lines.append("| " + " | ".join(row) + " |")
    if not lines:
        return ""
    header = ["| " + " | ".join(titles) + " |", "|" + "---|" * len(titles)]
    return "\n".join([*header, *lines]) + "\n"


def _one_below_the_other(tables: Iterable[str]) -> str:
    """Those tables that hold something, with empty lines between."""
    return "\n".join(table for table in tables if table)


def _values(results: StudyResults, evaluation: str, player: str, metric: str) -> list[str]:
    """A metric in each game; ``{}`` in the name of the player stands for the game."""
    cells = []
    for game, suffix in GAMES.items():
        cells.append(text(results.value(evaluation, game, player.format(suffix), metric)))
    return cells


def _scores(results: StudyResults) -> str:
    rows = [
        [title, *(text(estimate, False) for estimate in cells.values())]
        for title, cells in scores(results)
    ]
    return _markdown(["model", *TITLES.values()], rows)


def _differences(results: StudyResults) -> str:
    rows = [
        [
            claim.claim,
            claim.paper,
            claim.numbers,
            f"{claim.p:.2g}",
            f"{claim.adjusted:.2g}",
            claim.verdict,
        ]
        for claim in claims(results)
    ]
    note = (
        "\nExploratory: none of these was named as a primary claim before the study was run. p "
        "after Holm over all rows.\n"
    )
    if not rows:
        return ""
    titles = ["difference", "in the paper", "here", "p", "after Holm", "verdict"]
    return _markdown(titles, rows) + note


def _knowing(results: StudyResults) -> str:
    table = knowing(results)
    titles = {
        "cells": "cells described",
        "p_acc": "boards described",
        "knows": "knows a move when asked",
        "success": "success",
        "random": "random player",
    }
    rows = []
    for key, title in titles.items():
        rows.append([title, *(text(table[game][key]) for game in GAMES)])
    return _markdown(["base", *TITLES.values()], rows)


def _exploration(results: StudyResults) -> str:
    titles = {
        "searches": "answers that search",
        "with": "success of those",
        "without": "success of the others",
        "groups": "groups of 8 with and without a search",
        "unequal": "groups of unequal reward",
        "advantage": "mean advantage of a search",
    }
    tables = []
    for player in asked_players(results, "exploration"):
        table = exploration(results, player)
        rows = []
        for key, title in titles.items():
            cells = [text(table[game][key]) if game in table else "-" for game in GAMES]
            rows.append([title, *cells])
        trained = "g0-{}" if player == BASE else f"g0-{player}-{{}}"
        before = _values(results, "states", player, "success")
        after = _values(results, "states", trained, "success")
        rows.append(["success before G0, greedy", *before])
        rows.append(["success after G0, greedy", *after])
        tables.append(_markdown([player, *TITLES.values()], rows))
    return _one_below_the_other(tables)


def _states(results: StudyResults) -> str:
    models = [BASE, "g0-{}", "cold-{}", "g1-{}", "cold-all", "g1-all"]
    others = [player for player in ("random", results.teacher, "oracle") if player]
    tables = []
    for metric, title in (("success", "success"), ("p_acc", "P_acc"), ("r_acc", "R_acc")):
        rows = []
        for name in models + others:
            rows.append([name.format("GAME"), *_values(results, "states", name, metric)])
        tables.append(_markdown([title, *TITLES.values()], rows))
    rows = []
    for name in models:
        rows.append([name.format("GAME"), *_values(results, "told", name, "success")])
    titles = ["success after the true description", *TITLES.values()]
    tables.append(_markdown(titles, rows))
    return _one_below_the_other(tables)


def _turned(results: StudyResults) -> str:
    names = {BASE: "base"} | {run: f"G0, {title}" for run, title in INTERVENTIONS.items()}
    names |= {"cold-turned": "cold start", "g1-turned": "G1"}
    names |= {
        "cold-thoughtless": "cold start without think blocks",
        "thoughtless": "G1 without think blocks",
    }
    names |= {player: player for player in ("random", results.teacher, "oracle") if player}
    columns = [
        ("success", "turned", "success"),
        ("P_acc", "turned", "p_acc"),
        ("cells", "turned", "cells"),
        ("R_acc", "turned", "r_acc"),
        ("success after the true description", "turned-told", "success"),
        ("success, sampled", "turned-sampled", "success"),
        ("P_acc, sampled", "turned-sampled", "p_acc"),
    ]
    rows = []
    for player, title in names.items():
        if results.table("turned", TURNED, player, "success").size:
            row = [title]
            for _, evaluation, metric in columns:
                row.append(text(results.value(evaluation, TURNED, player, metric)))
            rows.append(row)
    return _markdown(["trained with", *(title for title, _, _ in columns)], rows)


def _first_and_last(results: StudyResults, titles: Mapping[str, str]) -> str:
    """Means over the seeds at the first and at the last check; titles by metric."""
    rows = []
    for run, game in results.trained():
        row = [run]
        for metric in titles:
            _, values = results.curve(run, game, metric)
            row.append(f"{np.nanmean(values[:, 0]):.2f} to {np.nanmean(values[:, -1]):.2f}")
        rows.append(row)
    return _markdown(["run", *titles.values()], rows)


def _faults(results: StudyResults) -> str:
    return _first_and_last(results, {f"fault_{fault.value}": fault.word for fault in Fault})


def _patterns(results: StudyResults) -> str:
    return _first_and_last(
        results, {"localises": "localises", "enumerates": "enumerates", "success": "success"}
    )


def _one_model(results: StudyResults) -> str:
    rows = []
    for game, suffix in GAMES.items():
        row = [TITLES[game]]
        own = f"g1-{suffix}"
        for metric, evaluation in (("success", "states"), ("score", f"episodes-{suffix}")):
            for player in ("g1-all", own):
                value = results.value(evaluation, game, player, metric)
                row.append(text(value, percent=metric != "score"))
            gap = results.gap(evaluation, game, "g1-all", own, metric)
            row.append(points(gap, metric))
        rows.append(row)
    titles = [
        "success, one for all",
        "its own",
        "difference",
        "score, one for all",
        "its own",
        "difference",
    ]
    return _markdown(["equal answers in all", *titles], rows)


CHANGES = (
    ("regret", "2048", "g1-2048", "2048: reward is the regret to the oracle, not the merge"),
    (
        "on-policy",
        "ShisenSho",
        "g1-shisen-sho",
        "Shisen-Sho: states of the policy's own games, not of random walks",
    ),
    ("unequal", "Swap", "g1-swap", "Swap: groups of equal worth are left out"),
)
"""Runs that leave the paper's way: run, game, the run in the paper's way, and what is changed."""


def _changes(results: StudyResults) -> str:
    rows = []
    for run, game, paper_run, title in CHANGES:
        evaluation = f"episodes-{GAMES[game]}"
        score = text(results.value(evaluation, game, run, "score"), False)
        gap = points(results.gap(evaluation, game, run, paper_run, "score"), "score")
        success = points(results.gap("states", game, run, paper_run, "success"), "success")
        rows.append([title, score, gap, success, "-"])
    title = "Turned tiles: perception is rewarded cell by cell, not as a whole"
    success = points(results.gap("turned", TURNED, "cells", "g0-turned", "success"), "success")
    seen = points(results.gap("turned", TURNED, "cells", "g0-turned", "p_acc"), "p_acc")
    rows.append([title, "-", "-", success, seen])
    titles = [
        "change",
        "score",
        "score against the paper's choice",
        "success against it",
        "P_acc against it",
    ]
    return _markdown(titles, rows)


def _transfer(results: StudyResults) -> str:
    rows = []
    for evaluation, task in results.evaluated:
        if evaluation == "transfer":
            rows.append([task, *_transfer_cells(results, task)])
    titles = ["random", "base", "G1, all games", "G1, this game", "P_acc of G1, all games"]
    other_tasks = _markdown(["not trained on (success)", *titles], rows)
    rows = []
    for name in (BASE, *(f"{kind}-{key}" for kind in ("g0", "g1") for key in GAMES.values())):
        rows.append([name, *_values(results, "states", name, "success")])
    other_games = _markdown(["trained on one game (success)", *TITLES.values()], rows)
    return _one_below_the_other([other_tasks, other_games])


def _transfer_cells(results: StudyResults, task: str) -> list[str]:
    """Success of players on a task that none was trained on, and P_acc of the last."""
    cells = []
    for player in ("random", BASE, "g1-all"):
        cells.append(text(results.value("transfer", task, player, "success")))
    games = [game for game in GAMES if task == game or task.startswith(f"{game}-")]
    own_success = "-"
    if games:
        own_success = text(results.value("transfer", task, f"g1-{GAMES[games[0]]}", "success"))
    return [*cells, own_success, text(results.value("transfer", task, "g1-all", "p_acc"))]


def _difficulty(results: StudyResults) -> str:
    """For each game the curves of all its models; whole numbers of percent, since they rest on 30
    states a seed.
    """
    tables = []
    for game, suffix in GAMES.items():
        evaluation = f"difficulty-{suffix}"
        tasks_along = {dial: results.along(evaluation, game, dial) for dial in DIALS}
        rows = []
        for player in asked_players(results, evaluation):
            for metric, title in (("success", player), ("p_acc", f"{player}, P_acc")):
                row = [title]
                for tasks in tasks_along.values():
                    row.append(_percents(results, evaluation, tasks.values(), player, metric))
                rows.append(row)
        titles = [f"{TITLES[game]} (%)"]
        for dial, tasks in tasks_along.items():
            titles.append(f"{dial} {', '.join(f'{value:g}' for value in tasks)}")
        tables.append(_markdown(titles, rows))
    return _one_below_the_other(tables)


def _percents(
    results: StudyResults, evaluation: str, tasks: Iterable[str], player: str, metric: str
) -> str:
    """A metric on several tasks in whole per cent; ``-`` if it was measured on none."""
    means = [results.value(evaluation, task, player, metric).mean for task in tasks]
    if all(map(math.isnan, means)):
        return "-"
    return ", ".join("-" if math.isnan(mean) else f"{100 * mean:.0f}" for mean in means)


def _training(results: StudyResults) -> str:
    titles = {
        "reward": "reward",
        "kl": "KL",
        "entropy": "entropy",
        "completions/mean_length": "tokens",
        "groups/equal": "equal groups",
        "clip_ratio/region_mean": "clipped",
        "p_acc": "P_acc",
        "r_acc": "R_acc",
    }
    rows = []
    for run in results.study.runs:
        cells = [_first_to_last_steps(results.training(run, key)) for key in titles]
        if any(cell != "-" for cell in cells):
            rows.append([run, *cells])
    return _markdown(["first to last five steps, sampled", *titles.values()], rows)


def _first_to_last_steps(values: NDArray[np.float64]) -> str:
    """Means of the first and of the last five steps of ``(seeds, steps)`` values."""
    count = min(5, values.shape[1]) if values.ndim == 2 else 0
    if not count:
        return "-"
    first = values[:, :count]
    last = values[:, -count:]
    if np.isnan(first).all() or np.isnan(last).all():
        return "-"
    return f"{np.nanmean(first):.3g} to {np.nanmean(last):.3g}"


def _jobs(results: StudyResults) -> str:
    processes = attempts(results)
    hours = sum(process["seconds"] for process in processes) / 3600
    rows = []
    for process in processes:
        if not process["done"]:
            seconds = f"{process['seconds']:.0f}"
            rows.append([process["job"], seconds, str(process["status"])])
    summary = (
        f"{len(processes)} processes, {hours:.2f} hours of one process each; {len(rows)} of them "
        "failed or were stopped.\n"
    )
    if not rows:
        return summary
    return summary + "\n" + _markdown(["failed or stopped", "seconds", "exit status"], rows)


SECTIONS: Mapping[str, Callable[[StudyResults], str]] = {
    "Scores of whole games": _scores,
    "Differences": _differences,
    "Seeing, knowing, doing": _knowing,
    "What G0 has to select from": _exploration,
    "Held-out states": _states,
    "Turned tiles": _turned,
    "What fails: first and last check": _faults,
    "What replies look like: first and last check": _patterns,
    "One model for all games": _one_model,
    "What we would do otherwise": _changes,
    "Transfer": _transfer,
    "Curves over difficulty": _difficulty,
    "Training in numbers": _training,
    "Every run": _jobs,
}
"""The headings of the report, each with what writes the text below it."""
