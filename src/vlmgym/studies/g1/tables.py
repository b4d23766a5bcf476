"""What a study has found as Markdown tables, one function a section."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

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
    names = (
        player.rpartition(".")[0] if results.study.makers(player) else player
        for player in results.study.players(evaluation)
    )
    return list(dict.fromkeys(names))


def _markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of the rows in which something was measured; empty if there are none."""
    rows = [row for row in rows if any(cell != "-" for cell in row[1:])]
    if not rows:
        return ""
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)]) + "\n"


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
    return (
        _markdown(["difference", "in the paper", "here", "p", "after Holm", "verdict"], rows) + note
        if rows
        else ""
    )


def _knowing(results: StudyResults) -> str:
    table = knowing(results)
    titles = {
        "cells": "cells described",
        "p_acc": "boards described",
        "knows": "knows a move when asked",
        "success": "success",
        "random": "random player",
    }
    rows = [[title, *(text(table[g][key]) for g in GAMES)] for key, title in titles.items()]
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
    out = []
    for player in asked_players(results, "exploration"):
        table = exploration(results, player)
        rows = [
            [title, *(text(table[game][key]) if game in table else "-" for game in GAMES)]
            for key, title in titles.items()
        ]
        after = "g0-{}" if player == BASE else f"g0-{player}-{{}}"
        for title, name in (
            ("success before G0, greedy", player),
            ("success after G0, greedy", after),
        ):
            rows.append(
                [
                    title,
                    *(
                        text(results.value("states", game, name.format(key), "success"))
                        for game, key in GAMES.items()
                    ),
                ]
            )
        out.append(_markdown([player, *TITLES.values()], rows))
    return "\n".join(filter(None, out))


def _states(results: StudyResults) -> str:
    names = [BASE, *(f"{kind}-{{}}" for kind in ("g0", "cold", "g1")), "cold-all", "g1-all"]
    names += [player for player in ("random", results.teacher, "oracle") if player]
    out = []
    for metric, title in (("success", "success"), ("p_acc", "P_acc"), ("r_acc", "R_acc")):
        rows = [
            [
                name.format("GAME"),
                *(
                    text(results.value("states", game, name.format(key), metric))
                    for game, key in GAMES.items()
                ),
            ]
            for name in names
        ]
        out.append(_markdown([title, *TITLES.values()], rows))
    rows = [
        [
            name.format("GAME"),
            *(
                text(results.value("told", game, name.format(key), "success"))
                for game, key in GAMES.items()
            ),
        ]
        for name in names[:6]
    ]
    out.append(_markdown(["success after the true description", *TITLES.values()], rows))
    return "\n".join(filter(None, out))


def _turned(results: StudyResults) -> str:
    names = {BASE: "base"} | {run: f"G0, {title}" for run, title in INTERVENTIONS.items()}
    names |= {"cold-turned": "cold start", "g1-turned": "G1"}
    names |= {
        "cold-thoughtless": "cold start without think blocks",
        "thoughtless": "G1 without think blocks",
    }
    names |= {player: player for player in ("random", results.teacher, "oracle") if player}
    rows = []
    for player, title in names.items():
        if results.table("turned", TURNED, player, "success").size:
            cells = [
                results.value("turned", TURNED, player, metric)
                for metric in ("success", "p_acc", "cells", "r_acc")
            ]
            cells.append(results.value("turned-told", TURNED, player, "success"))
            cells += [
                results.value("turned-sampled", TURNED, player, metric)
                for metric in ("success", "p_acc")
            ]
            rows.append([title, *map(text, cells)])
    heads = [
        "success",
        "P_acc",
        "cells",
        "R_acc",
        "success after the true description",
        "success, sampled",
        "P_acc, sampled",
    ]
    return _markdown(["trained with", *heads], rows)


def _first_and_last(results: StudyResults, titles: Mapping[str, str]) -> str:
    rows = []
    for run, game in results.trained():
        tables = (results.curve(run, game, metric)[1] for metric in titles)
        rows.append(
            [
                run,
                *(
                    f"{np.nanmean(table[:, 0]):.2f} to {np.nanmean(table[:, -1]):.2f}"
                    for table in tables
                ),
            ]
        )
    return _markdown(["run", *titles.values()], rows)


def _faults(results: StudyResults) -> str:
    return _first_and_last(results, {f"fault_{fault.value}": fault.word for fault in Fault})


def _patterns(results: StudyResults) -> str:
    return _first_and_last(
        results, {"localises": "localises", "enumerates": "enumerates", "success": "success"}
    )


def _one_model(results: StudyResults) -> str:
    rows = []
    for game, key in GAMES.items():
        row = [TITLES[game]]
        for metric, evaluation in (("success", "states"), ("score", f"episodes-{key}")):
            row += [
                text(results.value(evaluation, game, name, metric), metric != "score")
                for name in ("g1-all", f"g1-{key}")
            ]
            row.append(points(results.gap(evaluation, game, "g1-all", f"g1-{key}", metric), metric))
        rows.append(row)
    heads = [
        "success, one for all",
        "its own",
        "difference",
        "score, one for all",
        "its own",
        "difference",
    ]
    return _markdown(["equal answers in all", *heads], rows)


def _changes(results: StudyResults) -> str:
    rows = []
    for run, game, against, title in (
        ("regret", "2048", "g1-2048", "2048: reward is the regret to the oracle, not the merge"),
        (
            "on-policy",
            "ShisenSho",
            "g1-shisen-sho",
            "Shisen-Sho: states of the policy's own games, not of random walks",
        ),
        ("unequal", "Swap", "g1-swap", "Swap: groups of equal worth are left out"),
    ):
        gap = results.gap(f"episodes-{GAMES[game]}", game, run, against, "score")
        success = results.gap("states", game, run, against, "success")
        score = text(results.value(f"episodes-{GAMES[game]}", game, run, "score"), False)
        rows.append([title, score, points(gap, "score"), points(success, "success"), "-"])
    success, seen = (
        results.gap("turned", TURNED, "cells", "g0-turned", metric)
        for metric in ("success", "p_acc")
    )
    title = "Turned tiles: perception is rewarded cell by cell, not as a whole"
    rows.append([title, "-", "-", points(success, "success"), points(seen, "p_acc")])
    return _markdown(
        [
            "change",
            "score",
            "score against the paper's choice",
            "success against it",
            "P_acc against it",
        ],
        rows,
    )


def _transfer(results: StudyResults) -> str:
    rows = []
    for evaluation, task in results.evaluated:
        if evaluation == "transfer":
            cells = [
                text(results.value("transfer", task, player, "success"))
                for player in ("random", BASE, "g1-all")
            ]
            game = next((g for g in GAMES if task == g or task.startswith(f"{g}-")), "")
            own = (
                text(results.value("transfer", task, f"g1-{GAMES[game]}", "success"))
                if game
                else "-"
            )
            rows.append(
                [task, *cells, own, text(results.value("transfer", task, "g1-all", "p_acc"))]
            )
    heads = ["random", "base", "G1, all games", "G1, this game", "P_acc of G1, all games"]
    others = _markdown(["not trained on (success)", *heads], rows)
    names = [BASE, *(f"{kind}-{key}" for kind in ("g0", "g1") for key in GAMES.values())]
    rows = [
        [name, *(text(results.value("states", game, name, "success")) for game in GAMES)]
        for name in names
    ]
    return "\n".join(
        filter(None, (others, _markdown(["trained on one game (success)", *TITLES.values()], rows)))
    )


def _difficulty(results: StudyResults) -> str:
    """For each game the curves of all its models; whole numbers of percent, since they rest on 30
    states a seed.
    """
    tables = []
    for game, key in GAMES.items():
        evaluation = f"difficulty-{key}"
        places = {dial: results.along(evaluation, game, dial) for dial in DIALS}
        rows = []
        for player in asked_players(results, evaluation):
            for metric, name in (("success", player), ("p_acc", f"{player}, P_acc")):
                means = [
                    [results.value(evaluation, task, player, metric).mean for task in one.values()]
                    for one in places.values()
                ]
                cells = [
                    ", ".join("-" if math.isnan(mean) else f"{100 * mean:.0f}" for mean in line)
                    for line in means
                ]
                rows.append([name, *("-" if set(cell) <= set("-, ") else cell for cell in cells)])
        heads = [
            f"{dial} {', '.join(f'{value:g}' for value in one)}" for dial, one in places.items()
        ]
        tables.append(_markdown([f"{TITLES[game]} (%)", *heads], rows))
    return "\n".join(filter(None, tables))


def _training(results: StudyResults) -> str:
    keys = {
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
        cells = []
        for key in keys:
            values = results.training(run, key)
            size = min(5, values.shape[1]) if values.ndim == 2 else 0
            known = (
                size
                and not np.isnan(values[:, :size]).all()
                and not np.isnan(values[:, -size:]).all()
            )
            cells.append(
                (f"{np.nanmean(values[:, :size]):.3g} to {np.nanmean(values[:, -size:]):.3g}")
                if known
                else "-"
            )
        if any(cell != "-" for cell in cells):
            rows.append([run, *cells])
    return _markdown(["first to last five steps, sampled", *keys.values()], rows)


def _jobs(results: StudyResults) -> str:
    lines = attempts(results)
    hours = sum(line["seconds"] for line in lines) / 3600
    bad = [line for line in lines if not line["done"]]
    rows = [[line["job"], f"{line['seconds']:.0f}", str(line["status"])] for line in bad]
    summary = (
        f"{len(lines)} processes, {hours:.2f} hours of one process each; {len(bad)} of them "
        "failed or were stopped.\n"
    )
    return summary + (
        "\n" + _markdown(["failed or stopped", "seconds", "exit status"], rows) if bad else ""
    )


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
