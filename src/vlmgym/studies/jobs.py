"""The jobs of a study, one by one: how each kind is done, gone on with, and known to be done."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

from vlmgym.core import ConfigError
from vlmgym.core.files import count_lines
from vlmgym.core.settings import number_in_environment
from vlmgym.evals.folders import slug
from vlmgym.evals.protocol import Protocol, run_protocol
from vlmgym.players.asked import LocalSettings
from vlmgym.players.base import Player
from vlmgym.players.local import LocalPlayer
from vlmgym.players.registry import make_player
from vlmgym.studies.branches import Size, play_tables, states_in, tables_path
from vlmgym.studies.costs import ASK_COST, SFT_COST, branching_cost_of_state
from vlmgym.studies.entries import BASE
from vlmgym.studies.schedule import Job, jobs_of
from vlmgym.studies.study import Study
from vlmgym.train.callbacks import read_metrics
from vlmgym.train.run import train

BATCH = 100
"""States that a model is asked at once."""


def run_job(study: Study, out: Path, name: str) -> None:
    """Do one job, or go on with it.

    Raises:
        ConfigError: there is no such job, or what it needs is not done.
    """
    job = next((job for job in jobs_of(study) if job.name == name), None)
    if job is None:
        raise ConfigError("job", name, "one of vlmgym reproduce --list")
    for needed in job.needs:
        if not is_done(study, out, needed):
            raise ConfigError("job", name, f"first {needed}")
    kind, subject = _parts(name)
    kind.do(study, out, subject)


def is_done(study: Study, out: Path, name: str) -> bool:
    """Whether a job has ended well."""
    kind, subject = _parts(name)
    return kind.is_done(study, out, subject)


def progress(study: Study, out: Path, job: Job) -> tuple[float, str]:
    """How much of a job's cost is behind it, and what to show of it."""
    kind, subject = _parts(job.name)
    cost, shown = kind.behind(study, out, subject)
    return min(cost, job.cost), shown


# ---- train/RUN/SEED
def _train(study: Study, out: Path, subject: str) -> None:
    run, seed = _run_and_seed(subject)
    train(study.recipe(run, seed, out), out / "runs" / subject)


def _is_trained(study: Study, out: Path, subject: str) -> bool:
    run, seed = _run_and_seed(subject)
    return (study.model_of(run, seed, out) / "config.json").exists()


def _training_behind(study: Study, out: Path, subject: str) -> tuple[float, str]:
    """What it shows is the success of the last check on held-out states."""
    recipe = study.recipe(*_run_and_seed(subject))
    steps = dict[str, int]()
    shown = ""
    for line in read_metrics(out / "runs" / subject / "metrics.jsonl"):
        steps[line["stage"]] = line["step"]
        checked = [
            value
            for key, value in line.items()
            if key.startswith("check/") and key.endswith("/success")
        ]
        if checked:
            shown = f" success {sum(checked) / len(checked):.2f}"
    cost = steps.get("sft", 0) * recipe.sft.batch * SFT_COST
    if recipe.grpo:
        cost += steps.get("grpo", 0) * recipe.grpo.batch
    return cost, shown


def _run_and_seed(subject: str) -> tuple[str, int]:
    run, _, seed = subject.rpartition("/")
    return run, int(seed)


# ---- evaluate/PLAYER
def _evaluate(study: Study, out: Path, name: str) -> None:
    """Ask a player in all evaluations that ask it."""
    _use_threads()
    word = _word_of(study, out, name)
    for evaluation in study.asked[name]:
        protocol = study.protocol(evaluation)
        make = partial(_make_player, word, name, protocol)
        run_protocol(protocol, {name: make}, out / "evaluations" / evaluation)


def _is_evaluated(study: Study, out: Path, name: str) -> bool:
    player = Path("eval") / slug(name)
    return all(
        (out / "evaluations" / evaluation / player / task / "summary.json").exists()
        for evaluation in study.asked[name]
        for task in study.protocol(evaluation).names()
    )


def _evaluation_behind(study: Study, out: Path, name: str) -> tuple[float, str]:
    traces = (out / "evaluations").glob(f"*/eval/{slug(name)}/*/trace.jsonl")
    return ASK_COST * sum(map(count_lines, traces)), ""


# ---- blocks/PLAYER
def _branch(study: Study, out: Path, name: str) -> None:
    """Make all tables of a model's answers."""
    _use_threads()
    word = _word_of(study, out, name)
    for table in study.branched[name]:
        protocol = study.branching(table)
        entry = study.blocks[table]
        ((task, settings),) = protocol.entries
        size = Size(
            settings.episodes,
            entry.descriptions,
            entry.continuations,
            settings.first,
            settings.split,
        )
        player = cast(LocalPlayer, _make_player(word, name, protocol, entry.batch))
        play_tables(player, task, size, tables_path(out, table, name))


def _is_branched(study: Study, out: Path, name: str) -> bool:
    return all(
        states_in(tables_path(out, table, name)) >= study.blocks[table].states
        for table in study.branched[name]
    )


def _branching_behind(study: Study, out: Path, name: str) -> tuple[float, str]:
    cost = 0.0
    for table in study.branched[name]:
        states = states_in(tables_path(out, table, name))
        cost += states * branching_cost_of_state(study.blocks[table])
    return cost, ""


# ---- players
def _use_threads() -> None:
    import torch

    torch.set_num_threads(max(number_in_environment("OMP_NUM_THREADS", 1, 4096), 1))


def _make_player(word: str, name: str, protocol: Protocol, batch: int = BATCH) -> Player:
    """The player that the command line calls ``word``, and the study ``name``."""
    first, _ = protocol.entries[0]
    settings = LocalSettings(batch)
    player = make_player(word, first.look, first.prompt, protocol.sampling, settings)
    player.name = name
    models: list[Any] = [player]
    models += [getattr(player, role, None) for role in ("describer", "reasoner")]
    for model in models:
        # two seeds may end with the same weights, and both are asked
        if hasattr(model, "about"):
            model.about = {**model.about, "run": name}
    return player


def _word_of(study: Study, out: Path, name: str) -> str:
    """What the command line calls a player of a study."""
    if name == BASE:
        return f"local:{study.model}"
    makers = study.makers(name)
    if not makers:
        return name
    models = {run: str(study.model_of(run, seed, out)) for run, seed in makers}
    models[BASE] = study.model
    runs = name.rpartition(".")[0].split("+")
    kind = "relay" if len(runs) > 1 else "local"
    return f"{kind}:{'+'.join(models[run] for run in runs)}"


# ---- the table
@dataclass(frozen=True)
class _JobKind:
    """A kind of job.

    Attributes:
        do: does it, or goes on with it.
        is_done: whether it has ended well.
        behind: what of its cost is behind it, and what to show of it.
    """

    do: Callable[[Study, Path, str], None]
    is_done: Callable[[Study, Path, str], bool]
    behind: Callable[[Study, Path, str], tuple[float, str]]


_KINDS = {
    "train": _JobKind(_train, _is_trained, _training_behind),
    "evaluate": _JobKind(_evaluate, _is_evaluated, _evaluation_behind),
    "blocks": _JobKind(_branch, _is_branched, _branching_behind),
}
"""By the first word of a job's name; the rest of it is what they are asked about."""


def _parts(name: str) -> tuple[_JobKind, str]:
    kind, _, subject = name.partition("/")
    return _KINDS[kind], subject
