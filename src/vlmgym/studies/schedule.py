"""The jobs of a study: which there are, what each needs and costs, and in which order they come."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatch

from vlmgym.core import ConfigError
from vlmgym.studies.costs import ASK_COST, branching_cost, training_cost, turns_of
from vlmgym.studies.entries import BASE, matches
from vlmgym.studies.study import Study


@dataclass(frozen=True)
class Job:
    """One process of a study."""

    # train/RUN/SEED; evaluate/PLAYER and blocks/PLAYER: in all entries of the section that ask it
    name: str
    needs: tuple[str, ...]
    cost: float  # in answers of GRPO, roughly


def jobs_of(study: Study) -> list[Job]:
    """All jobs, each after those that it needs; who is trained is asked at once, so that a
    stopped study has whole rows.
    """
    jobs = []
    for name, run in study.runs.items():
        for seed in study.seeds:
            needs: tuple[str, ...] = () if run.start == BASE else (f"train/{run.start}/{seed}",)
            cost = training_cost(study.recipe(name, seed))
            jobs.append(Job(f"train/{name}/{seed}", needs, cost))
    turns = {name: turns_of(study.protocol(name)) for name in study.evaluations}
    for player, asked in study.asked.items():
        needs = tuple(f"train/{run}/{seed}" for run, seed in study.makers(player))
        cost = ASK_COST * sum(turns[name] for name in asked) if needs or player == BASE else 1.0
        jobs.append(Job(f"evaluate/{player}", needs, cost))
    for player, names in study.branched.items():
        needs = tuple(f"train/{run}/{seed}" for run, seed in study.makers(player))
        cost = sum(branching_cost(study.blocks[name]) for name in names)
        jobs.append(Job(f"blocks/{player}", needs, cost))
    positions = {job.name: number for number, job in enumerate(jobs)}

    def position(job: Job) -> int:
        if job.name.startswith("train/"):
            return positions[job.name]
        return max((positions[name] for name in job.needs), default=-1)

    return sorted(jobs, key=position)


def jobs_wanted(study: Study, only: Sequence[str] = ()) -> list[Job]:
    """The jobs whose names match one of the patterns, and those that they need; all, without
    patterns.

    Raises:
        ConfigError: nothing has such a name.
    """
    jobs = jobs_of(study)
    for pattern in only:
        if not any(fnmatch(job.name, pattern) for job in jobs):
            raise ConfigError(
                "only",
                pattern,
                "patterns of the names of vlmgym reproduce --list: 'evaluate/g1-*'",
            )
    if not only:
        return jobs
    names = set[str]()
    for job in reversed(jobs):  # what needs comes before what is needed
        if job.name in names or matches(job.name, only):
            names |= {job.name, *job.needs}
    return [job for job in jobs if job.name in names]
