"""What a study has found, to be read: ``report.md`` with tables, verdicts and pictures, its
numbers, and turns to look at.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import vlmgym
from vlmgym.core import need
from vlmgym.core.files import write_atomically
from vlmgym.core.provenance import revision
from vlmgym.dialogue.judge import Fault
from vlmgym.evals.estimates import Estimate
from vlmgym.studies.g1.claims import claims
from vlmgym.studies.g1.findings import GAMES, TURNED, StudyResults, exploration, knowing, scores
from vlmgym.studies.g1.plots import draw
from vlmgym.studies.g1.tables import SECTIONS, asked_players, attempts
from vlmgym.studies.runner import is_done
from vlmgym.studies.study import BASE, Study

EXAMPLES = 3
"""States of each game in ``turns.jsonl``."""


def write_results(study: Study, out: Path) -> Path:
    """Write ``report.md`` with its pictures, ``results.json`` and ``turns.jsonl``; returns the
    report's path.

    Raises:
        MissingExtra: without Matplotlib or SciPy.
    """
    need("train", "matplotlib", "scipy")
    results = StudyResults(study, out)
    pictures = [f"![{title}]({name})\n" for name, title in draw(results)]
    bodies = {title: body for title, make in SECTIONS.items() if (body := make(results))}
    sections = [
        _intro(results),
        *pictures,
        *(f"## {title}\n\n{body}" for title, body in bodies.items()),
    ]
    path = out / "report.md"
    write_atomically(path, "\n".join(sections))
    write_atomically(out / "results.json", json.dumps(_numbers(results), indent=1) + "\n")
    write_atomically(
        out / "turns.jsonl", "".join(json.dumps(turn) + "\n" for turn in _examples(results))
    )
    return path


def _numbers(results: StudyResults) -> dict[str, Any]:
    """All numbers of the report that could be wanted elsewhere."""

    def plain(table: Mapping[str, Mapping[str, Estimate]]) -> dict[str, Any]:
        return {
            name: {key: one.to_dict() for key, one in row.items()} for name, row in table.items()
        }

    return {
        "scores": plain(dict(scores(results))),
        "knowing": plain(knowing(results)),
        "exploration": {
            player: plain(exploration(results, player))
            for player in asked_players(results, "exploration")
        },
        "differences": [asdict(one) | {"verdict": one.verdict} for one in claims(results)],
        "curves": {run: curves for run in results.study.runs if (curves := _curves(results, run))},
    }


def _curves(results: StudyResults, run: str) -> dict[str, Any]:
    """The checks of a run by game: steps, and for each metric a list of values for each seed."""
    metrics = (
        "success",
        "p_acc",
        "cells",
        "r_acc",
        "localises",
        "enumerates",
        *(f"fault_{fault.value}" for fault in Fault),
    )
    out = {}
    for game in GAMES:
        steps, _ = results.curve(run, game, "success")
        if len(steps):
            tables = {key: _bare(results.curve(run, game, key)[1]) for key in metrics}
            out[game] = {"steps": steps.tolist()} | tables
    return out


def _bare(table: NDArray[np.float64]) -> list[list[float | None]]:
    """Numbers for JSON, None for NaN."""
    return [
        [None if math.isnan(value) else round(float(value), 4) for value in line] for line in table
    ]


def _examples(results: StudyResults) -> list[dict[str, Any]]:
    """Turns to look at: the first held-out states of each game, answered by the base, G0, the cold
    start and G1.
    """
    asked = [
        ("states", game, (BASE, f"g0-{key}", f"cold-{key}", f"g1-{key}"), EXAMPLES)
        for game, key in GAMES.items()
    ]
    asked.append(("turned", TURNED, (BASE, "g0-turned", "cold-turned", "g1-turned"), 1))
    return [
        {"player": player, "evaluation": evaluation, "game": game, **asdict(turn)}
        for evaluation, game, players, count in asked
        for player in players
        for turn in results.turns(evaluation, game, player)[:count]
    ]


def _hours(lines: Sequence[dict[str, Any]]) -> float:
    """Hours during which a process ran, those side by side counted once."""
    seconds, until = 0.0, 0.0
    for begin, end in sorted((line["begin"], line["begin"] + line["seconds"]) for line in lines):
        seconds += max(0.0, end - max(begin, until))
        until = max(until, end)
    return seconds / 3600


def _intro(results: StudyResults) -> str:
    lines = attempts(results)
    by_machine: dict[str, list[dict[str, Any]]] = {}
    for line in lines:
        by_machine.setdefault(
            line.get("machine", "a machine that was not written down"), []
        ).append(line)
    hours = "; ".join(
        f"{_hours(part):.1f} hours on {name}" for name, part in by_machine.items()
    ) or ("nothing was run yet")
    left = sum(not is_done(results.study, results.out, job.name) for job in results.study.jobs)
    unfinished = (
        f" **{left} of {len(results.study.jobs)} jobs are still to be done.**" if left else ""
    )
    made = ", ".join(dict.fromkeys(line["vlmgym"] for line in lines)) or revision()
    recipes = (results.study.recipe(run, results.study.seeds[0]) for run in results.study.runs)
    steps = sorted({recipe.grpo.steps for recipe in recipes if recipe.grpo})
    trained = f", GRPO of {' or '.join(map(str, steps))} steps" if steps else ""
    return (
        "# The paper's claims, measured\n\n"
        f"Model `{results.study.model}`, training seeds "
        f"{', '.join(map(str, results.study.seeds))}{trained}. Means with 95 % intervals over "
        "training seeds and held-out episodes, both taken as samples; with one seed the intervals "
        f"cover the episodes alone. {hours}; vlmgym {vlmgym.__version__} ({made}).{unfinished}\n"
    )
