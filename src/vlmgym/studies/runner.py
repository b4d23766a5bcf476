"""The jobs of a study: each can be stopped and gone on with, several run side by side."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from vlmgym.core import ConfigError, VlmGymError, need
from vlmgym.core.errors import one_line
from vlmgym.core.files import read_json, write_json
from vlmgym.core.kernels import number_in_environment
from vlmgym.episodes.task import Task
from vlmgym.episodes.trace import machine, revision
from vlmgym.evals.protocol import Protocol, run_protocol, slug
from vlmgym.models.loading import TRAINING
from vlmgym.players.base import Player
from vlmgym.players.registry import LocalSettings, make_player
from vlmgym.studies.study import ASK_COST, BASE, SFT_COST, Job, Study, read_study
from vlmgym.train.checkpoint import Interrupted, Signals
from vlmgym.train.recipe import read_metrics, train

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
    job = next((one for one in study.jobs if one.name == name), None)
    if job is None:
        raise ConfigError("job", name, "one of vlmgym reproduce --list")
    for other in job.needs:
        if not is_done(study, out, other):
            raise ConfigError("job", name, f"first {other}")
    kind, what, *more = name.split("/")
    if kind == "train":
        train(study.recipe(what, int(more[0]), out), out / "runs" / what / more[0])
        return
    import torch

    torch.set_num_threads(max(number_in_environment("OMP_NUM_THREADS", 1, 4096), 1))
    word = f"local:{study.model}" if what == BASE else what
    if made := study.makers(what):
        models = {run: str(study.model_of(run, seed, out)) for run, seed in made} | {
            BASE: study.model
        }
        names = what.rpartition(".")[0].split("+")
        word = ("relay:" if len(names) > 1 else "local:") + "+".join(models[name] for name in names)
    for evaluation in study.asked[what]:
        protocol = study.protocol(evaluation)
        first = protocol.entries[0][0]

        def make(protocol: Protocol = protocol, first: Task = first) -> Player:
            player = make_player(
                word, first.look, first.prompt, protocol.sampling, LocalSettings(BATCH)
            )
            player.name = what
            parts: list[Any] = [
                player,
                getattr(player, "describer", None),
                getattr(player, "reasoner", None),
            ]
            for model in parts:
                # two seeds may end with the same weights, and both are asked
                if hasattr(model, "about"):
                    model.about = {**model.about, "run": what}
            return player

        run_protocol(protocol, {what: make}, out / "evaluations" / evaluation)


def is_done(study: Study, out: Path, name: str) -> bool:
    """Whether a job has ended well."""
    kind, what, *more = name.split("/")
    if kind == "train":
        return (study.model_of(what, int(more[0]), out) / "config.json").exists()
    return all(
        (out / "evaluations" / evaluation / "eval" / slug(what) / task / "summary.json").exists()
        for evaluation in study.asked[what]
        for task in study.protocol(evaluation).names()
    )


def _progress(study: Study, out: Path, job: Job) -> tuple[float, str]:
    """How much of a job's cost is behind it, and what to show of it: the success of a run's last
    check on held-out states.
    """
    kind, what, *more = job.name.split("/")
    if kind == "train":
        recipe, last, shown = study.recipe(what, int(more[0])), dict[str, int](), ""
        for line in read_metrics(out / "runs" / what / more[0] / "metrics.jsonl"):
            last[line["stage"]] = line["step"]
            checked = [
                value
                for key, value in line.items()
                if key.startswith("check/") and key.endswith("/success")
            ]
            shown = f" success {sum(checked) / len(checked):.2f}" if checked else shown
        done = last.get("sft", 0) * recipe.sft.batch * SFT_COST
        return min(
            done + last.get("grpo", 0) * (recipe.grpo.batch if recipe.grpo else 0), job.cost
        ), shown
    lines = 0
    for path in (out / "evaluations").glob(f"*/eval/{slug(what)}/*/trace.jsonl"):
        with path.open("rb") as file:
            lines += sum(1 for _ in file)
    return min(ASK_COST * lines, job.cost), ""


class _Process:
    """A job under way."""

    def __init__(self, job: Job, call: list[str], out: Path, threads: int) -> None:
        # when, and how long: the time of day may be set
        self.job, self.begin, self.clock = job, time.time(), time.monotonic()
        self.log = out / "logs" / f"{slug(job.name.replace('/', '-'))}.log"
        self.log.parent.mkdir(parents=True, exist_ok=True)
        environment = os.environ | {
            "OMP_NUM_THREADS": str(threads),
            "TOKENIZERS_PARALLELISM": "false",
        }
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                call, stdout=log, stderr=log, env=environment, start_new_session=True
            )

    def reason(self) -> str:
        """The last line of its log."""
        with self.log.open("rb") as log:
            log.seek(max(0, self.log.stat().st_size - 2000))
            lines = [
                line for line in log.read().decode(errors="replace").splitlines() if line.strip()
            ]
        return one_line(lines[-1]) if lines else f"ended with {self.process.returncode} and no word"

    def stop(self) -> None:
        """Ask it to write a checkpoint and end."""
        self.process.send_signal(signal.SIGTERM)


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
        Interrupted: the time is over, Ctrl-C, or SIGTERM.
        JobError: jobs failed (the others were done all the same).
    """
    from tqdm import tqdm

    from vlmgym.core.kernels import usable_cores

    need("train", *TRAINING)
    study = read_study(name, quick)
    jobs = study.wanted(only)
    _freeze(study, out)
    at_once = at_once or _at_once(study, usable_cores())
    call = [
        sys.executable,
        "-m",
        "vlmgym",
        "reproduce",
        "--study",
        name,
        "--out",
        str(out),
        *(["--quick"] if quick else []),
    ]
    for evaluation in study.evaluations:  # once, before several processes do it
        run_protocol(study.protocol(evaluation), {}, out / "evaluations" / evaluation)
    done = {job.name: job.cost for job in jobs if is_done(study, out, job.name)}
    before, failed, running = sum(done.values()), dict[str, str](), list[_Process]()
    end = time.monotonic() + 3600 * hours if hours else float("inf")
    bar = tqdm(
        total=round(sum(job.cost for job in jobs)),
        initial=round(before),
        unit="answer",
        smoothing=0.02,
        file=sys.stderr,
    )
    stopped = ""
    try:
        with Signals() as asked, bar:
            while (
                len(done) + len(failed) < len(jobs) and time.monotonic() < end and not asked.caught
            ):
                for job in jobs:
                    busy = {one.job.name for one in running}
                    if len(running) < at_once and job.name not in {*done, *failed, *busy}:
                        if any(other in failed for other in job.needs):
                            failed[job.name] = failed[
                                next(other for other in job.needs if other in failed)
                            ]
                        elif all(other in done for other in job.needs):
                            threads = max(1, usable_cores() // at_once)
                            running.append(_Process(job, [*call, "--job", job.name], out, threads))
                time.sleep(_POLL)
                for one in [one for one in running if one.process.poll() is not None]:
                    running.remove(one)
                    well = one.process.returncode == 0 and is_done(study, out, one.job.name)
                    _log(out, one, well)
                    if well:
                        done[one.job.name] = one.job.cost
                    else:
                        failed[one.job.name] = f"{one.log}: {one.reason()}"
                        bar.write(f"{one.job.name} failed: {failed[one.job.name]}", file=sys.stderr)
                at = [_progress(study, out, one.job) for one in running]
                under_way = ", ".join(
                    one.job.name + shown for one, (_, shown) in zip(running, at, strict=True)
                )
                bar.set_postfix_str(f"{len(done)}/{len(jobs)} jobs; {under_way}", False)
                bar.update(round(sum(done.values()) + sum(cost for cost, _ in at)) - bar.n)
        if len(done) + len(failed) < len(jobs):
            stopped = asked.caught or f"{hours:g} hours are over"
    except KeyboardInterrupt:
        stopped = "stopped"
    finally:
        for one in running:
            one.stop()
        for one in running:
            one.process.wait()
            _log(out, one, False)
    if stopped:
        raise Interrupted(
            f"{stopped}; {len(done)} of {len(jobs)} jobs are done: run the same command to go on"
        )
    if failed:
        raise JobError("failed: " + "; ".join(f"{job} ({log})" for job, log in failed.items()))
    return study


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
    about = machine("torch", "transformers", "trl", "numpy")
    gpu = f"{about['gpu']} and " if about["gpu"] else ""
    versions = ", ".join(f"{package} {number}" for package, number in about["versions"].items())
    return f"{gpu}{about['cores']} cores of {about['cpu']} ({about['system']}), {versions}"


def _log(out: Path, one: _Process, well: bool) -> None:
    """One line for each attempt at a job, the failed and stopped ones included."""
    line = {
        "job": one.job.name,
        "begin": round(one.begin, 1),
        "seconds": round(time.monotonic() - one.clock, 1),
        "done": well,
    }
    line |= {"vlmgym": revision(), "machine": this_machine()}
    with (out / "jobs.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(line | {"status": one.process.returncode}) + "\n")


def _freeze(study: Study, out: Path) -> None:
    """Write down what is run, or see that it is what was begun."""
    out.mkdir(parents=True, exist_ok=True)
    now: dict[str, Any] = {
        "model": study.model,
        "seeds": list(study.seeds),
        "runs": {
            f"{run}/{seed}": study.recipe(run, seed).to_dict()
            for run in study.runs
            for seed in study.seeds
        },
        "evaluations": {
            name: study.protocol(name).to_dict() | {"players": study.players(name)}
            for name in study.evaluations
        },
    }
    now, path = json.loads(json.dumps(now)), out / "study.json"
    if not path.exists():
        write_json(path, now)
    elif (old := read_json(path)) != now:
        were = {
            key: old[key] if isinstance(old.get(key), dict) else {}
            for key in ("runs", "evaluations")
        }
        parts = [
            f"{key}.{one}"
            for key, there in were.items()
            for one in now[key]
            if now[key][one] != there.get(one)
        ]
        raise ConfigError(
            "out",
            str(out),
            "a new folder, or one with the same study (other here: "
            f"{', '.join(parts[:5]) or 'model or seeds'})",
        )
