"""Studies: training runs and evaluations that build on each other, as one plain file; each can be
stopped and gone on with.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, fields, replace
from fnmatch import fnmatch
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from vlmgym.core import ConfigError, VlmGymError, need
from vlmgym.core.config import find, merge, read_file
from vlmgym.core.errors import one_line
from vlmgym.core.files import read_json, write_json
from vlmgym.core.provenance import machine, revision
from vlmgym.core.settings import number_in_environment
from vlmgym.episodes.task import Task
from vlmgym.evals.protocol import Protocol, run_protocol, slug
from vlmgym.models.loading import TRAINING
from vlmgym.players.base import Player
from vlmgym.players.registry import LocalSettings, make_player
from vlmgym.train.callbacks import read_metrics
from vlmgym.train.checkpoint import Interrupted, Signals
from vlmgym.train.recipe import Recipe, read_recipe, recipe_path
from vlmgym.train.run import train

BASE = "base"
"""The player that is the model which every run starts from."""
FIXED = ("random", "random-legal", "greedy", "oracle", BASE)
"""Players that are not trained."""
GPU_SHARE = 6 * 2**30
"""Bytes of a GPU for each process that trains the embedded model."""
BATCH = 100
"""States that a model is asked at once."""
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_=-]*(\.[A-Za-z0-9_=-]+)*")
"""What runs and evaluations are called, and their folders; ``+`` joins runs to a relay, the last
dot precedes the seed.
"""
# time of a row of SFT and of an answer of an evaluation, in answers of GRPO; for the bar alone
_SFT, _ASK = 0.5, 0.4
_POLL = 2.0


class JobError(VlmGymError):
    """Jobs of a study failed; the message names their logs."""


@dataclass(frozen=True)
class TrainingRun:
    """A training run of a study, made once for each seed."""

    recipe: str
    start: str = BASE  # the run whose model it starts from
    set: tuple[str, ...] = ()


@dataclass(frozen=True)
class Measured:
    """An evaluation of a study: a protocol, and who is asked."""

    protocol: str
    # names and patterns of runs, "base", a relay "RUN+RUN", players of the command line
    # ("teacher:0.3")
    players: tuple[str, ...]
    set: tuple[str, ...] = ()
    games: tuple[str, ...] = ()  # of the protocol's tasks only those of these games; none = all


@dataclass(frozen=True)
class Job:
    """One process of a study."""

    name: str  # train/RUN/SEED, or evaluate/PLAYER: in all evaluations that ask it
    needs: tuple[str, ...]
    cost: float  # in answers of GRPO, roughly


@dataclass(frozen=True)
class Study:
    """What is trained and measured.

    Attributes:
        model: what runs start from.
        seeds: of the training runs; each makes a run of its own, which starts from the same seed of
            what it builds on.
        runs: by name.
        evaluations: by name.
        train: overrides of all recipes.
        evaluate: overrides of all protocols.
        leave_out: patterns of runs and evaluations that are not made.
    """

    model: str
    seeds: tuple[int, ...]
    runs: Mapping[str, TrainingRun]
    evaluations: Mapping[str, Measured]
    train: tuple[str, ...] = ()
    evaluate: tuple[str, ...] = ()
    leave_out: tuple[str, ...] = ()

    @classmethod
    def parse(cls, values: Mapping[str, Any], quick: bool = False) -> Study:
        """Build from the mapping of a YAML file; ``quick`` lays its section of that name over the
        rest.

        Raises:
            ConfigError: a key is unknown or missing, or a run starts from one that comes later.
        """
        values = dict(values)
        shorter = values.pop("quick", None) or {}
        if not isinstance(shorter, Mapping):
            raise ConfigError("study.quick", shorter, "a mapping, as the study itself")
        if quick:
            values = merge(values, shorter)
        keys: dict[str, type] = {"model": str, "seeds": list, "runs": dict, "evaluations": dict}
        keys |= {"train": list, "evaluate": list, "leave_out": list}
        for key in values:
            if key not in keys:
                raise ConfigError(
                    f"study.{key}", values[key], "one of " + ", ".join([*keys, "quick"])
                )
        for key, kind in keys.items():
            if not isinstance(values.setdefault(key, kind()), kind):
                raise ConfigError(f"study.{key}", values[key], f"a {kind.__name__}")
        for key in ("train", "evaluate", "leave_out"):
            if not all(isinstance(one, str) for one in values[key]):
                raise ConfigError(f"study.{key}", values[key], "a list of strings")
        seeds = values["seeds"]
        if (
            not seeds
            or len(set(map(str, seeds))) < len(seeds)
            or not all(type(seed) is int and seed >= 0 for seed in seeds)
        ):
            raise ConfigError("study.seeds", seeds, "a list of different whole numbers from 0 on")
        out = values["leave_out"]
        for name in (*values["runs"], *values["evaluations"]):
            # they are names of folders below the study's own
            if not isinstance(name, str) or not NAME.fullmatch(name):
                raise ConfigError(
                    "study",
                    name,
                    "names of letters, digits, _, = and - (dots within), for runs and evaluations",
                )
        runs = {
            name: _part(TrainingRun, f"runs.{name}", one)
            for name, one in values["runs"].items()
            if not _hit(name, out)
        }
        known = [BASE]
        for name, run in runs.items():
            if name in FIXED:
                raise ConfigError(
                    "study.runs", name, "a name that no player has (" + ", ".join(FIXED) + ")"
                )
            if run.start not in known:
                raise ConfigError(f"study.runs.{name}.start", run.start, ", ".join(known))
            known.append(name)
        asked = {
            name: _part(Measured, f"evaluations.{name}", one)
            for name, one in values["evaluations"].items()
            if not _hit(name, out)
        }
        lists = {key: tuple(values[key]) for key in ("seeds", "train", "evaluate", "leave_out")}
        return cls(model=values["model"] or "tiny", runs=runs, evaluations=asked, **lists)

    def recipe(self, run: str, seed: int, out: Path | None = None) -> Recipe:
        """The recipe of a run, ready to be trained under ``out``; without, its model is named by
        the run that makes it.
        """
        spec = self.runs[run]
        model = self.model if spec.start == BASE else f"{spec.start}/{seed}"
        if out is not None and spec.start != BASE:
            model = str(self.model_of(spec.start, seed, out).resolve())
        seeds = [f"grpo.seed={seed}", f"sft.seed={seed}"]
        plain = read_recipe(recipe_path(spec.recipe))
        seeds = [text for text in seeds if text.startswith("sft") or plain.grpo is not None]
        ours = [
            text
            for text in self.train
            if plain.grpo is not None or not text.startswith(("grpo.", "checks."))
        ]
        ours = [
            text
            for text in ours
            if plain.cold_start is not None or not text.startswith("cold_start.")
        ]
        return replace(
            read_recipe(recipe_path(spec.recipe), [*ours, *spec.set, *seeds]), model=model
        )

    def model_of(self, run: str, seed: int, out: Path) -> Path:
        """The folder of a run's model."""
        plain = read_recipe(recipe_path(self.runs[run].recipe))
        return out / "runs" / run / str(seed) / ("cold" if plain.grpo is None else "final")

    def protocol(self, evaluation: str) -> Protocol:
        """The protocol of an evaluation."""
        spec = self.evaluations[evaluation]
        whole = Protocol.parse(
            read_file("protocol", find("protocol", spec.protocol), [*self.evaluate, *spec.set])
        )
        entries = tuple(
            one for one in whole.entries if not spec.games or one[0].names.game in spec.games
        )
        if not entries:
            games = ", ".join(dict.fromkeys(task.names.game for task, _ in whole.entries))
            raise ConfigError(
                f"study.evaluations.{evaluation}.games", list(spec.games), f"some of {games}"
            )
        return replace(whole, entries=entries)

    def players(self, evaluation: str) -> list[str]:
        """Who is asked: runs and relays with their seed (``g1-swap.0``, ``base+g1-swap.0``), and
        the others as they are called.

        Raises:
            ConfigError: a name that is neither that of a run (one that is left out does not count)
                nor of a player.
        """
        found, spec = list[str](), self.evaluations[evaluation]
        for wanted in spec.players:
            names = [name for name in self.runs if fnmatch(name, wanted)]
            if "+" in wanted and all(part in (BASE, *self.runs) for part in wanted.split("+")):
                names = [wanted]
            if names:
                found += [f"{name}.{seed}" for name in names for seed in self.seeds]
            elif wanted in FIXED or wanted.startswith("teacher"):
                found.append(wanted)
            elif not set(wanted) & set("*+") and not _hit(wanted, self.leave_out):
                raise ConfigError(
                    f"study.evaluations.{evaluation}.players",
                    wanted,
                    ", ".join([*self.runs, *FIXED, "teacher:ERROR"]),
                )
        return list(dict.fromkeys(found))

    def makers(self, player: str) -> list[tuple[str, int]]:
        """The runs, each with its seed, that a player is made of; none for ``base`` and scripted
        ones.
        """
        names, _, seed = player.rpartition(".")
        runs = [name for name in names.split("+") if name != BASE]
        return (
            [(name, int(seed)) for name in runs]
            if runs and all(name in self.runs for name in runs)
            else []
        )

    @cached_property
    def jobs(self) -> list[Job]:
        """All jobs, each after those that it needs; who is trained is asked at once, so that a
        stopped study has whole rows.
        """
        found = []
        for name, run in self.runs.items():
            for seed in self.seeds:
                before = () if run.start == BASE else (f"train/{run.start}/{seed}",)
                found.append(
                    Job(f"train/{name}/{seed}", before, _training_cost(self.recipe(name, seed)))
                )
        turns = {
            name: sum(
                how.episodes * (how.turns or task.level.max_steps)
                for task, how in self.protocol(name).entries
            )
            for name in self.evaluations
        }
        for player, asked in self.asked.items():
            needs = tuple(f"train/{run}/{seed}" for run, seed in self.makers(player))
            cost = _ASK * sum(turns[name] for name in asked) if needs or player == BASE else 1.0
            found.append(Job(f"evaluate/{player}", needs, cost))
        place = {job.name: at for at, job in enumerate(found)}

        def turn(job: Job) -> int:
            return (
                max((place[need] for need in job.needs), default=-1)
                if job.name.startswith("evaluate/")
                else place[job.name]
            )

        return sorted(found, key=turn)

    def wanted(self, only: Sequence[str] = ()) -> list[Job]:
        """The jobs whose names match one of the patterns, and those that they need; all, without
        patterns.

        Raises:
            ConfigError: nothing has such a name.
        """
        for pattern in only:
            if not any(fnmatch(job.name, pattern) for job in self.jobs):
                raise ConfigError(
                    "only",
                    pattern,
                    "patterns of the names of vlmgym reproduce --list: 'evaluate/g1-*'",
                )
        if not only:
            return self.jobs
        names = set[str]()
        for job in reversed(self.jobs):  # what needs comes before what is needed
            if job.name in names or _hit(job.name, only):
                names |= {job.name, *job.needs}
        return [job for job in self.jobs if job.name in names]

    @cached_property
    def asked(self) -> dict[str, list[str]]:
        """By player: the evaluations that ask it."""
        found: dict[str, list[str]] = {}
        for name in self.evaluations:
            for player in self.players(name):
                found.setdefault(player, []).append(name)
        return found


def _part(kind: type[Any], name: str, values: Any) -> Any:
    """A run or an evaluation from its mapping."""
    known = {one.name: one for one in fields(kind)}
    allowed = "a mapping with " + ", ".join(known)
    if not isinstance(values, Mapping) or not values.keys() <= known.keys():
        raise ConfigError(f"study.{name}", values, allowed)
    for key, one in known.items():
        if key not in values and one.default is MISSING:
            raise ConfigError(f"study.{name}", dict(values), f"{allowed}; {key} is missing")
        if one.type == "str" and not isinstance(values.get(key, ""), str):
            raise ConfigError(f"study.{name}.{key}", values[key], "a string")
        if one.type != "str" and not (
            isinstance(values.get(key, []), list)
            and all(isinstance(x, str) for x in values.get(key, []))
        ):
            raise ConfigError(f"study.{name}.{key}", values[key], "a list of strings")
    return kind(
        **{key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
    )


def _hit(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch(name, pattern) for pattern in patterns)


def _training_cost(recipe: Recipe) -> float:
    cost = (
        _SFT * recipe.cold_start.states * len(recipe.tasks) * recipe.sft.epochs
        if recipe.cold_start
        else 0.0
    )
    if recipe.grpo:
        cost += recipe.grpo.steps * recipe.grpo.batch
        if recipe.checks.every:
            cost += (
                _ASK
                * (recipe.grpo.steps // recipe.checks.every + 1)
                * recipe.checks.states
                * len(recipe.tasks)
            )
    return cost


def read_study(name: str, quick: bool = False) -> Study:
    """A study by the name of its bundled file, or by its path.

    Raises:
        ConfigError: there is no such study, or something in it is wrong.
    """
    return Study.parse(read_file("study", find("study", name)), quick)


# ---- a job
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
        done = last.get("sft", 0) * recipe.sft.batch * _SFT
        return min(
            done + last.get("grpo", 0) * (recipe.grpo.batch if recipe.grpo else 0), job.cost
        ), shown
    lines = 0
    for path in (out / "evaluations").glob(f"*/eval/{slug(what)}/*/trace.jsonl"):
        with path.open("rb") as file:
            lines += sum(1 for _ in file)
    return min(_ASK * lines, job.cost), ""


# ---- all jobs
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

    from vlmgym.core.threads import usable_cores

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
