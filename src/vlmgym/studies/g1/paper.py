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
    sections = [_introduction(results)]
    sections += [f"![{title}]({name})\n" for name, title in draw(results)]
    for title, write_section in SECTIONS.items():
        body = write_section(results)
        if body:
            sections.append(f"## {title}\n\n{body}")
    path = out / "report.md"
    write_atomically(path, "\n".join(sections))
    write_atomically(out / "results.json", json.dumps(_numbers(results), indent=1) + "\n")
    turns = [json.dumps(turn) + "\n" for turn in _examples(results)]
    write_atomically(out / "turns.jsonl", "".join(turns))
    return path


def _numbers(results: StudyResults) -> dict[str, Any]:
    """All numbers of the report that could be wanted elsewhere."""
    explored = {}
    for player in asked_players(results, "exploration"):
        explored[player] = _to_dicts(exploration(results, player))
    curves = {run: _curves(results, run) for run in results.study.runs}
    return {
        "scores": _to_dicts(dict(scores(results))),
        "knowing": _to_dicts(knowing(results)),
        "exploration": explored,
        "differences": [asdict(claim) | {"verdict": claim.verdict} for claim in claims(results)],
        "curves": {run: of_games for run, of_games in curves.items() if of_games},
    }


def _to_dicts(table: Mapping[str, Mapping[str, Estimate]]) -> dict[str, Any]:
    """A table of estimates as JSON values."""
    rows = {}
    for name, row in table.items():
        rows[name] = {key: estimate.to_dict() for key, estimate in row.items()}
    return rows


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
    curves = {}
    for game in GAMES:
        steps, _ = results.curve(run, game, "success")
        if len(steps):
            curve: dict[str, Any] = {"steps": steps.tolist()}
            for metric in metrics:
                curve[metric] = _bare(results.curve(run, game, metric)[1])
            curves[game] = curve
    return curves


def _bare(table: NDArray[np.float64]) -> list[list[float | None]]:
    """Numbers for JSON, None for NaN."""
    return [[_rounded(value) for value in line] for line in table]


def _rounded(value: float) -> float | None:
    return None if math.isnan(value) else round(float(value), 4)


def _examples(results: StudyResults) -> list[dict[str, Any]]:
    """Turns to look at: the first held-out states of each game, answered by the base, G0, the cold
    start and G1.
    """
    examples: list[dict[str, Any]] = []

    def add(evaluation: str, game: str, suffix: str, count: int) -> None:
        for player in (BASE, f"g0-{suffix}", f"cold-{suffix}", f"g1-{suffix}"):
            source = {"player": player, "evaluation": evaluation, "game": game}
            turns = results.turns(evaluation, game, player)[:count]
            examples.extend(source | asdict(turn) for turn in turns)

    for game, suffix in GAMES.items():
        add("states", game, suffix, EXAMPLES)
    add("turned", TURNED, "turned", 1)
    return examples


def _hours(processes: Sequence[dict[str, Any]]) -> float:
    """Hours during which a process ran, those side by side counted once."""
    spans = []
    for process in processes:
        spans.append((process["begin"], process["begin"] + process["seconds"]))
    seconds = 0.0
    until = 0.0
    for begin, end in sorted(spans):
        seconds += max(0.0, end - max(begin, until))
        until = max(until, end)
    return seconds / 3600


def _introduction(results: StudyResults) -> str:
    study = results.study
    processes = attempts(results)
    revisions = ", ".join(dict.fromkeys(process["vlmgym"] for process in processes)) or revision()
    seeds = ", ".join(map(str, study.seeds))
    missing = sum(not is_done(study, results.out, job.name) for job in study.jobs)
    unfinished = ""
    if missing:
        unfinished = f" **{missing} of {len(study.jobs)} jobs are still to be done.**"
    return (
        "# The paper's claims, measured\n\n"
        f"Model `{study.model}`, training seeds {seeds}{_steps_in_words(results)}. Means with 95 % "
        "intervals over training seeds and held-out episodes, both taken as samples; with one seed "
        f"the intervals cover the episodes alone. {_hours_in_words(processes)}; vlmgym "
        f"{vlmgym.__version__} ({revisions}).{unfinished}\n"
    )


def _steps_in_words(results: StudyResults) -> str:
    """How long GRPO runs were; empty if there are none."""
    steps = set()
    for run in results.study.runs:
        recipe = results.study.recipe(run, results.study.seeds[0])
        if recipe.grpo:
            steps.add(recipe.grpo.steps)
    return f", GRPO of {' or '.join(map(str, sorted(steps)))} steps" if steps else ""


def _hours_in_words(processes: Sequence[dict[str, Any]]) -> str:
    """How long each machine worked."""
    by_machine: dict[str, list[dict[str, Any]]] = {}
    for process in processes:
        machine = process.get("machine", "a machine that was not written down")
        by_machine.setdefault(machine, []).append(process)
    hours = [f"{_hours(lines):.1f} hours on {name}" for name, lines in by_machine.items()]
    return "; ".join(hours) or "nothing was run yet"
