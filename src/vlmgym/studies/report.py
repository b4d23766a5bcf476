"""A study to be read: ``report.md`` with its plan, verdicts, tables and pictures, and all numbers.

Any study gets this page: what it shows follows from the study's file. ``sections`` writes its
parts, ``plots`` draws its pictures.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from vlmgym.core import need
from vlmgym.core.files import write_atomically
from vlmgym.evals.metrics import shown_in
from vlmgym.studies.blocks import BlockMeasures
from vlmgym.studies.plots import draw
from vlmgym.studies.results import UNTRAINED, StudyResults
from vlmgym.studies.sections import SECTIONS, hashes_of, heading
from vlmgym.studies.study import Study
from vlmgym.studies.verdicts import Verdict, verdicts


def write_study_report(study: Study, out: Path) -> Path:
    """Write ``report.md`` with its pictures, and ``results.json``; returns the report's path.

    Raises:
        MissingExtra: without Matplotlib or SciPy.
    """
    need("train", "matplotlib", "scipy")
    results = StudyResults(study, out)
    found = verdicts(results)
    out.mkdir(parents=True, exist_ok=True)
    parts = [heading(results)]
    parts += [f"![{title}]({name})\n" for name, title in draw(results, found)]
    for title, write_section in SECTIONS.items():
        body = write_section(results, found)
        if body:
            parts.append(f"## {title}\n\n{body}")
    path = out / "report.md"
    write_atomically(path, "\n".join(parts))
    write_atomically(out / "results.json", json.dumps(numbers(results, found), indent=1) + "\n")
    return path


def numbers(results: StudyResults, found: list[Verdict]) -> dict[str, Any]:
    """All numbers of a report as JSON values, with the plan and its hashes."""
    values: dict[str, Any] = {}
    for (evaluation, task), by_player in results.evaluated.items():
        of_task = values.setdefault(evaluation, {}).setdefault(task, {})
        for player in by_player:
            of_task[player] = {
                metric: results.value(evaluation, task, player, metric).to_dict()
                for metric in ("score", *shown_in("report"))
            }
    curves: dict[str, Any] = {}
    for run in results.study.runs:
        for game in results.checked_games(run):
            curves.setdefault(run, {})[game] = _curves(results, run, game)
    return {
        "plan": results.study.plan.to_dict(),
        "hashes": hashes_of(results),
        "claims": [_of_verdict(verdict) for verdict in found],
        "values": values,
        "curves": curves,
        "blocks": {
            name: {player: _of_blocks(of_seeds) for player, of_seeds in by_player.items()}
            for name, by_player in results.branched.items()
        },
    }


def _of_verdict(verdict: Verdict) -> dict[str, Any]:
    """A verdict as JSON values."""
    return {
        "name": verdict.claim.name,
        "says": verdict.claim.says,
        "compared": verdict.claim.compared,
        "expect": verdict.claim.expect,
        "margin": verdict.claim.margin,
        "primary": verdict.primary,
        "estimate": verdict.estimate.to_dict(),
        "p": _known(verdict.p),
        "adjusted": _known(verdict.adjusted),
        "seeds": verdict.seeds,
        "verdict": verdict.word,
        "power": {name: _known(value) for name, value in asdict(verdict.power).items()},
    }


def _of_blocks(of_seeds: Mapping[int, BlockMeasures]) -> dict[str, Any]:
    """What follows from the tables of a player, by training seed, if it has one."""
    return {
        "untrained" if seed == UNTRAINED else str(seed): _without_nan(asdict(measures))
        for seed, measures in of_seeds.items()
    }


def _without_nan(value: Any) -> Any:
    """JSON values in which what is not known is null."""
    if isinstance(value, dict):
        return {name: _without_nan(entry) for name, entry in value.items()}
    if isinstance(value, list):
        return [_without_nan(entry) for entry in value]
    return _known(value) if isinstance(value, float) else value


def _curves(results: StudyResults, run: str, game: str) -> dict[str, Any]:
    """Steps, and for each metric of checks the values of each seed."""
    steps, _ = results.curve(run, game, "success")
    curve: dict[str, Any] = {"steps": steps.tolist()}
    for metric in shown_in("report"):
        table = results.curve(run, game, metric)[1]
        curve[metric] = [[_known(value) for value in line] for line in table]
    return curve


def _known(value: float) -> float | None:
    return None if math.isnan(value) else round(float(value), 6)
