"""The jobs of a study: each can be stopped and gone on with, several run side by side."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping, Sequence
from fnmatch import fnmatch
from functools import cache
from pathlib import Path
from typing import Any

from vlmgym.core import VlmGymError, need
from vlmgym.core.differences import differences, refusal
from vlmgym.core.files import FileError, only_process, read_json, write_json
from vlmgym.core.provenance import machine, revision
from vlmgym.core.threads import usable_cores
from vlmgym.evals.folders import slug
from vlmgym.evals.protocol import completed_protocol, run_protocol
from vlmgym.models.loading import TRAINING
from vlmgym.studies.entries import SECTIONS
from vlmgym.studies.jobs import is_done, progress
from vlmgym.studies.plan import Plan, hash_of
from vlmgym.studies.processes import Process
from vlmgym.studies.schedule import Job, jobs_wanted
from vlmgym.studies.study import Study, read_study
from vlmgym.train.begun import completed
from vlmgym.train.checkpoint import Interrupted, Signals

GPU_SHARE = 6 * 2**30
"""Bytes of a GPU for each process that trains the embedded model."""

_POLL = 2.0


class JobError(VlmGymError):
    """Jobs of a study failed; the message names their logs."""


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
            cost_behind, shown = progress(self.study, self.out, process.job)
            cost += cost_behind
            under_way.append(process.job.name + shown)
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
        out: folder; holds ``runs/RUN/SEED``, ``evaluations/NAME/eval/PLAYER``,
            ``blocks/NAME/PLAYER.jsonl``, ``logs`` and ``jobs.jsonl`` (what was run when).
        quick: the short form of the study.
        at_once: jobs side by side; 0 = one for each core, or on a GPU as many as its memory holds.
        hours: stop after so much time, with checkpoints; 0 = go on to the end.
        only: patterns of jobs; nothing is done but these and what they need. So machines share a
            study: what is done in a copy of the folder (``runs``, ``evaluations``, ``blocks``, the
            lines of ``jobs.jsonl``) is done wherever it is copied to.

    Raises:
        ConfigError: the folder holds another study, or no job is called so.
        FileError: the ``study.json`` there cannot be read, or is that of a newer version.
        BusyError: another process does the jobs of the folder.
        Interrupted: the time is over, Ctrl-C, or SIGTERM.
        JobError: jobs failed (the others were done all the same).
    """
    need("train", *TRAINING)
    study = read_study(name, quick)
    jobs = jobs_wanted(study, only)
    command = [sys.executable, "-m", "vlmgym", "reproduce", "--study", name, "--out", str(out)]
    if quick:
        command.append("--quick")
    with only_process(out, "reproduces"):
        _freeze(study, out)
        for evaluation in study.evaluations:  # once, before several processes do it
            run_protocol(study.protocol(evaluation), {}, out / "evaluations" / evaluation)
        runner = _Runner(study, out, jobs, command, at_once or _at_once(study, usable_cores()))
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
    values: dict[str, Any] = {"hashes": [], "blocks": {}, **settings}
    if not all(isinstance(values.get(section), dict) for section in SECTIONS):
        raise FileError(f"{path}: no study, with its runs and evaluations; name another folder")
    return {
        **values,
        "plan": {**Plan().to_dict(), **settings.get("plan", {})},
        "runs": {
            name: completed(recipe, f"{path}: runs.{name}")
            for name, recipe in values["runs"].items()
        },
        "evaluations": _completed_protocols(values["evaluations"], f"{path}: evaluations"),
        "blocks": _completed_protocols(values["blocks"], f"{path}: blocks"),
    }


def _completed_protocols(section: Mapping[str, Any], where: str) -> dict[str, Any]:
    return {
        name: completed_protocol(protocol, f"{where}.{name}") for name, protocol in section.items()
    }
