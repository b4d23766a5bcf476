"""The jobs of a study: each can be stopped and gone on with, several run side by side."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping, Sequence
from fnmatch import fnmatch
from functools import cache, partial
from pathlib import Path
from typing import Any

from vlmgym.core import ConfigError, VlmGymError, need
from vlmgym.core.differences import differences, refusal
from vlmgym.core.files import FileError, read_json, write_json
from vlmgym.core.provenance import machine, revision
from vlmgym.core.settings import number_in_environment
from vlmgym.core.threads import usable_cores
from vlmgym.evals.folders import slug
from vlmgym.evals.protocol import Protocol, completed_protocol, run_protocol
from vlmgym.models.loading import TRAINING
from vlmgym.players.base import Player
from vlmgym.players.registry import LocalSettings, make_player
from vlmgym.studies.plan import Plan, hash_of
from vlmgym.studies.processes import Process
from vlmgym.studies.study import ASK_COST, BASE, SFT_COST, Job, Study, read_study
from vlmgym.train.begun import completed
from vlmgym.train.callbacks import read_metrics
from vlmgym.train.checkpoint import Interrupted, Signals
from vlmgym.train.recipe import Recipe
from vlmgym.train.run import train

GPU_SHARE = 6 * 2**30
"""Bytes of a GPU for each process that trains the embedded model."""

BATCH = 100
"""States that a model is asked at once."""
_POLL = 2.0


class JobError(VlmGymError):
    """Jobs of a study failed; the message names their logs."""


def run_job(study: Study, out: Path, name: str) -> None:
    """Do one job, or go on with it.

    Raises:
        ConfigError: there is no such job, or what it needs is not done.
    """
    job = next((job for job in study.jobs if job.name == name), None)
    if job is None:
        raise ConfigError("job", name, "one of vlmgym reproduce --list")
    for needed in job.needs:
        if not is_done(study, out, needed):
            raise ConfigError("job", name, f"first {needed}")
    kind, subject, *seed = name.split("/")
    if kind == "train":
        recipe = study.recipe(subject, int(seed[0]), out)
        train(recipe, out / "runs" / subject / seed[0])
    else:
        _evaluate(study, out, subject)


def _evaluate(study: Study, out: Path, name: str) -> None:
    """Ask a player in all evaluations that ask it."""
    import torch

    torch.set_num_threads(max(number_in_environment("OMP_NUM_THREADS", 1, 4096), 1))
    word = _word_of(study, out, name)
    for evaluation in study.asked[name]:
        protocol = study.protocol(evaluation)
        make = partial(_make_player, word, name, protocol)
        run_protocol(protocol, {name: make}, out / "evaluations" / evaluation)


def _make_player(word: str, name: str, protocol: Protocol) -> Player:
    """The player that the command line calls ``word``, and the study ``name``."""
    first, _ = protocol.entries[0]
    settings = LocalSettings(BATCH)
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


def is_done(study: Study, out: Path, name: str) -> bool:
    """Whether a job has ended well."""
    kind, subject, *seed = name.split("/")
    if kind == "train":
        return (study.model_of(subject, int(seed[0]), out) / "config.json").exists()
    player = Path("eval") / slug(subject)
    return all(
        (out / "evaluations" / evaluation / player / task / "summary.json").exists()
        for evaluation in study.asked[subject]
        for task in study.protocol(evaluation).names()
    )


def _progress(study: Study, out: Path, job: Job) -> tuple[float, str]:
    """How much of a job's cost is behind it, and what to show of it: the success of a run's last
    check on held-out states.
    """
    kind, subject, *seed = job.name.split("/")
    if kind == "train":
        recipe = study.recipe(subject, int(seed[0]))
        cost, shown = _training_progress(recipe, out / "runs" / subject / seed[0])
        return min(cost, job.cost), shown
    lines = 0
    for path in (out / "evaluations").glob(f"*/eval/{slug(subject)}/*/trace.jsonl"):
        with path.open("rb") as file:
            lines += sum(1 for _ in file)
    return min(ASK_COST * lines, job.cost), ""


def _training_progress(recipe: Recipe, folder: Path) -> tuple[float, str]:
    """The same of a training run."""
    steps = dict[str, int]()
    shown = ""
    for line in read_metrics(folder / "metrics.jsonl"):
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


class _JobProcess(Process):
    """A job under way."""

    def __init__(self, job: Job, command: Sequence[str], out: Path, threads: int) -> None:
        self.job = job
        log = out / "logs" / f"{slug(job.name.replace('/', '-'))}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        super().__init__([*command, "--job", job.name], log, threads, own_session=True)


class _Runner:
    """The jobs of a study, several of them in processes at once.

    Args:
        study: the study.
        out: its folder.
        jobs: those to do, each after those that it needs.
        command: the words that do one, without its name.
        at_once: jobs side by side.

    Attributes:
        done: costs by job.
        failed: by job, the log and its last line.
        running: under way.
    """

    def __init__(
        self, study: Study, out: Path, jobs: Sequence[Job], command: Sequence[str], at_once: int
    ) -> None:
        self.study = study
        self.out = out
        self.jobs = jobs
        self.command = command
        self.at_once = at_once
        self.done = {job.name: job.cost for job in jobs if is_done(study, out, job.name)}
        self.failed = dict[str, str]()
        self.running = list[_JobProcess]()

    @property
    def over(self) -> bool:
        """Whether nothing is left to do."""
        return len(self.done) + len(self.failed) == len(self.jobs)

    def begin(self) -> None:
        """Start jobs whose needs are met, as many as run side by side; jobs that need a failed one
        fail.
        """
        threads = max(1, usable_cores() // self.at_once)
        for job in self.jobs:
            if len(self.running) >= self.at_once:
                return
            running = {process.job.name for process in self.running}
            if job.name in {*self.done, *self.failed, *running}:
                continue
            if broken := [name for name in job.needs if name in self.failed]:
                self.failed[job.name] = self.failed[broken[0]]
            elif all(name in self.done for name in job.needs):
                self.running.append(_JobProcess(job, self.command, self.out, threads))

    def collect(self) -> list[str]:
        """See which processes have ended; returns the jobs that failed."""
        failed = []
        ended = [process for process in self.running if process.status is not None]
        for process in ended:
            self.running.remove(process)
            name = process.job.name
            succeeded = process.status == 0 and is_done(self.study, self.out, name)
            _log(self.out, process, succeeded)
            if succeeded:
                self.done[name] = process.job.cost
            else:
                self.failed[name] = f"{process.log}: {process.last_line()}"
                failed.append(name)
        return failed

    def show(self, bar: Any) -> None:
        """Set a bar to what is behind, with what is under way beside it."""
        cost = sum(self.done.values())
        under_way = []
        for process in self.running:
            cost_behind, success = _progress(self.study, self.out, process.job)
            cost += cost_behind
            under_way.append(process.job.name + success)
        counts = f"{len(self.done)}/{len(self.jobs)} jobs"
        bar.set_postfix_str(f"{counts}; {', '.join(under_way)}", False)
        bar.update(round(cost) - bar.n)

    def stop(self) -> None:
        """Ask all that are under way to end, and wait for them."""
        for process in self.running:
            process.stop()
        for process in self.running:
            process.wait()
            _log(self.out, process, False)


def run_study(
    name: str,
    out: Path,
    quick: bool = False,
    at_once: int = 0,
    hours: float = 0.0,
    only: Sequence[str] = (),
) -> Study:
    """Do all jobs that are not done, each in a process of its own, several at once; run again to go
    on.

    Args:
        name: of the study.
        out: folder; holds ``runs/RUN/SEED``, ``evaluations/NAME/eval/PLAYER``, ``logs`` and
            ``jobs.jsonl`` (what was run when).
        quick: the short form of the study.
        at_once: jobs side by side; 0 = one for each core, or on a GPU as many as its memory holds.
        hours: stop after so much time, with checkpoints; 0 = go on to the end.
        only: patterns of jobs; nothing is done but these and what they need. So machines share a
            study: what is done in a copy of the folder (``runs``, ``evaluations``, the lines of
                ``jobs.jsonl``) is done wherever it is copied to.

    Raises:
        ConfigError: the folder holds another study, or no job is called so.
        FileError: the ``study.json`` there cannot be read, or is that of a newer version.
        Interrupted: the time is over, Ctrl-C, or SIGTERM.
        JobError: jobs failed (the others were done all the same).
    """
    need("train", *TRAINING)
    study = read_study(name, quick)
    jobs = study.wanted(only)
    _freeze(study, out)
    for evaluation in study.evaluations:  # once, before several processes do it
        run_protocol(study.protocol(evaluation), {}, out / "evaluations" / evaluation)
    command = [sys.executable, "-m", "vlmgym", "reproduce", "--study", name, "--out", str(out)]
    if quick:
        command.append("--quick")
    at_once = at_once or _at_once(study, usable_cores())
    runner = _Runner(study, out, jobs, command, at_once)
    stopped = _run_until(runner, hours)
    if stopped:
        done = f"{len(runner.done)} of {len(jobs)} jobs are done"
        raise Interrupted(f"{stopped}; {done}: run the same command to go on")
    if runner.failed:
        logs = "; ".join(f"{job} ({log})" for job, log in runner.failed.items())
        raise JobError(f"failed: {logs}")
    return study


def _run_until(runner: _Runner, hours: float) -> str:
    """Run jobs to their end, under a bar; returns why they were stopped before, or nothing."""
    from tqdm import tqdm

    end = time.monotonic() + 3600 * hours if hours else float("inf")
    bar = tqdm(
        total=round(sum(job.cost for job in runner.jobs)),
        initial=round(sum(runner.done.values())),
        unit="answer",
        smoothing=0.02,
        file=sys.stderr,
    )
    try:
        with Signals() as signals, bar:
            while not runner.over and time.monotonic() < end and not signals.caught:
                runner.begin()
                time.sleep(_POLL)
                for failed in runner.collect():
                    bar.write(f"{failed} failed: {runner.failed[failed]}", file=sys.stderr)
                runner.show(bar)
        if not runner.over:
            return signals.caught or f"{hours:g} hours are over"
    except KeyboardInterrupt:
        return "stopped"
    finally:
        runner.stop()
    return ""


def _at_once(study: Study, cores: int) -> int:
    """Processes side by side: one for each core; on a GPU only the embedded model is small enough
    for more than one.
    """
    import torch

    if not torch.cuda.is_available():
        return cores
    _, memory = torch.cuda.mem_get_info()
    return max(1, min(cores, memory // GPU_SHARE)) if study.model == "tiny" else 1


@cache
def this_machine() -> str:
    """What jobs are run on here, and with which versions."""
    facts = machine("torch", "transformers", "trl", "numpy")
    gpu = f"{facts['gpu']} and " if facts["gpu"] else ""
    versions = ", ".join(f"{package} {number}" for package, number in facts["versions"].items())
    return f"{gpu}{facts['cores']} cores of {facts['cpu']} ({facts['system']}), {versions}"


def _log(out: Path, process: _JobProcess, succeeded: bool) -> None:
    """One line for each attempt at a job, the failed and stopped ones included."""
    line = {
        "job": process.job.name,
        "begin": round(process.begin, 1),
        "seconds": round(process.seconds, 1),
        "done": succeeded,
        "vlmgym": revision(),
        "machine": this_machine(),
        "status": process.status,
    }
    with (out / "jobs.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def _freeze(study: Study, out: Path) -> None:
    """Write down what is run, with its hash, or see that it is what was begun, but for what
    amendments of the plan name.

    Raises:
        ConfigError: the folder holds another study; the message names what differs.
        FileError: what it holds cannot be read, or is that of a newer version.
    """
    out.mkdir(parents=True, exist_ok=True)
    path = out / "study.json"
    settings = json.loads(json.dumps(study.to_dict()))
    hashes = [hash_of(settings)]
    if path.exists():
        before = _completed(read_json(path), path)
        begun = before.pop("hashes")
        changes = differences(_completed(settings, path), before | {"hashes": []})
        refused = _not_amended(changes, settings["plan"], before["plan"])
        if refused:
            raise refusal(str(path), refused, "study")
        if not changes:  # a setting that is new, at its default, changes nothing
            hashes = begun or hashes
        elif hashes[0] not in begun:
            hashes = begun + hashes
        else:
            hashes = begun
    write_json(path, settings | {"hashes": hashes})


def _not_amended(
    changes: Mapping[str, tuple[Any, Any]], plan: Mapping[str, Any], before: Mapping[str, Any]
) -> dict[str, tuple[Any, Any]]:
    """The changes of a study that no new amendment of its plan names.

    Args:
        changes: by field.
        plan: as it is now.
        before: the plan as the folder has it, whose amendments stay as they are.
    """
    known = before["amendments"]
    amendments = plan["amendments"]
    allowed = list[str]()
    if amendments[: len(known)] == known:
        allowed = ["plan.amendments", "plan.amendments.*"]
        for amendment in amendments[len(known) :]:
            allowed += amendment["changes"]
    return {
        name: values
        for name, values in changes.items()
        if not any(fnmatch(name, pattern) for pattern in allowed)
    }


def _completed(settings: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """What a study's file holds, with every field of every recipe and protocol: those that it lacks
    were not there when the study was begun.
    """
    runs = settings.get("runs")
    evaluations = settings.get("evaluations")
    if not isinstance(runs, dict) or not isinstance(evaluations, dict):
        raise FileError(f"{path}: no study, with its runs and evaluations; name another folder")
    return {
        "hashes": [],
        **settings,
        "plan": {**Plan().to_dict(), **settings.get("plan", {})},
        "runs": {name: completed(recipe, f"{path}: runs.{name}") for name, recipe in runs.items()},
        "evaluations": {
            name: completed_protocol(protocol, f"{path}: evaluations.{name}")
            for name, protocol in evaluations.items()
        },
    }
