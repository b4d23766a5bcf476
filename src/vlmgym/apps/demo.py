"""The main job on two CPU cores: evaluate, train G0 and G1, evaluate again, compare, report.

Every stage can be stopped.

The two training branches run side by side as two processes of one thread each; on two cores that is
about one and a half times as fast as one after the other with two threads. What can be evaluated
while the longer one goes on is evaluated then.
"""

from __future__ import annotations

import datetime
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from vlmgym.core import VlmGymError, need
from vlmgym.core.files import FileError, read_json, write_json
from vlmgym.core.provenance import machine
from vlmgym.core.threads import usable_cores
from vlmgym.episodes.task import Task
from vlmgym.episodes.trace import load_trace
from vlmgym.evals.evaluation import evaluate_all
from vlmgym.evals.habits import mistakes_of_habit
from vlmgym.evals.settings import Evaluation
from vlmgym.games.parts.habits import HABITS
from vlmgym.models.loading import TRAINING
from vlmgym.players.base import Player
from vlmgym.players.simple import Oracle, Random
from vlmgym.players.teacher import Teacher
from vlmgym.report.headline import CAUTION
from vlmgym.report.page import write_report
from vlmgym.studies.processes import Process
from vlmgym.train.callbacks import read_metrics
from vlmgym.train.recipe import Recipe, read_recipe, recipe_path

STATES = 400
"""Held-out states of each game in the evaluations."""
CAVEAT = (
    "This teacher has a habit: it is wrong in the same way each time, and the cold start holds "
    "none of the states on which it fails. What it never shows is not found from nothing all the "
    "same: the embedded model was pretrained on the search of the careful teacher, and to guess "
    "when it is asked for a move. Compare with G0, and with teacher:0."
)
"""What a comparison with the teacher does not show."""
BATCH = 200
"""States that a model is asked about at once, of all games together."""


class StageError(VlmGymError):
    """A training process failed; the message names its log."""


def run_demo(out: Path, quick: bool = False) -> int:
    """Run whatever is not done yet under ``out``; prints the table and the path of ``report.html``.

    Args:
        out: folder of the demo.
        quick: two steps and eight states, to check the path.

    Returns:
        0.
    """
    need("train", *TRAINING)
    out.mkdir(parents=True, exist_ok=True)
    with _clock(out / "seconds.json"):
        return _run_stages(out, quick)


@contextmanager
def _clock(path: Path) -> Iterator[None]:
    """Adds the seconds spent inside to the number in ``path``, also when the run is stopped."""
    start = time.monotonic()
    seconds_before = _seconds(path)
    try:
        yield
    finally:
        write_json(path, seconds_before + time.monotonic() - start)


def _seconds(path: Path) -> float:
    try:
        return float(read_json(path, float)) if path.exists() else 0.0
    except FileError as error:  # left by an end that nothing could be done about
        sys.stderr.write(f"{error}; the time is counted from now on\n")
        return 0.0


def _run_stages(out: Path, quick: bool) -> int:
    start = time.monotonic()
    small = ["grpo.steps=2", "grpo.batch=16", "checks.states=4"]
    g0 = read_recipe(recipe_path("tiny/g0"), small if quick else [])
    g1 = read_recipe(recipe_path("tiny/g1"), [*small, "cold_start.states=32"] if quick else [])
    evaluation = Evaluation(episodes=8 if quick else STATES, turns=1, start="walk")
    stages = _Stages(out, g0, g1, evaluation)
    stages.measure_scripted_players()
    stages.train()
    _say(5, "write the report")
    seconds = _seconds(out / "seconds.json") + time.monotonic() - start
    write_json(out / "demo.json", _facts(g0, g1, evaluation, seconds))
    page = write_report(out)
    sys.stdout.write(results_table(out, g0.tasks) + "\n")
    sys.stdout.write(mistakes_table(out, g0.tasks, g1.habit) + f"\nreport: {page.resolve()}\n")
    return 0


@dataclass(frozen=True)
class _Stages:
    """What is measured and trained, and with which settings."""

    out: Path
    g0: Recipe
    g1: Recipe
    evaluation: Evaluation

    def measure_scripted_players(self) -> None:
        """Evaluate the players that are no models."""
        _say(
            1,
            "evaluate random, oracle, the teacher and a careful one (teacher:0) on "
            f"{self.evaluation.episodes} held-out states of each game",
        )
        cold = self.g1.cold_start
        assert cold is not None
        teacher = Teacher(cold.teacher_error, habit=cold.teacher)
        teacher.name = "teacher"
        search = Teacher(0.0)
        search.name = "search"
        for player in (Random(), Oracle(), teacher, search):
            self._measure(player, self._unmeasured(player.name))

    def train(self) -> None:
        """Train G0 and G1 side by side; evaluate each model as soon as it is there."""
        _say(2, "train G0 (GRPO), and at the same time")
        _say(3, "the cold start on the teacher's answers (SFT), then G1 (the same GRPO)")
        cores = usable_cores()
        half = max(1, cores // 2)
        sys.stderr.write(
            f"threads: 1 for each training run, {half} for evaluations beside them, {cores} "
            "afterwards\n"
        )
        with _Training({"g0": self.g0, "g1": self.g1}, self.out) as training:
            training.wait("g0")
            _say(
                4,
                "evaluate base, G0, cold start and G1 on the same states (G1 is still being "
                "trained)",
            )
            self._measure_model("base", "tiny", half)
            self._measure_model("g0", self._folder("g0/final"), half)
            if (self.out / "g1/cold/config.json").exists():
                self._measure_model("cold", self._folder("g1/cold"), half)
            training.wait("g1")
        self._measure_model("cold", self._folder("g1/cold"), cores)
        self._measure_model("g1", self._folder("g1/final"), cores)

    def _folder(self, name: str) -> str:
        return str((self.out / name).resolve())

    def _measure_model(self, name: str, model: str, threads: int) -> None:
        import torch

        torch.set_num_threads(threads)
        folders = self._unmeasured(name)
        if folders:
            self._measure(_local_player(model, name, self.g0), folders)

    def _unmeasured(self, name: str) -> dict[Task, Path]:
        """The tasks that a player has no summary of, and where they belong."""
        folders = {}
        for task in self.g0.tasks:
            folder = self.out / "eval" / name / task.names.game
            if not (folder / "summary.json").exists():
                folders[task] = folder
        return folders

    def _measure(self, player: Player, folders: dict[Task, Path]) -> None:
        if folders:
            evaluate_all(player, list(folders), self.evaluation, list(folders.values()))


def _say(stage: int, text: str) -> None:
    sys.stderr.write(f"[{stage}/5] {text}\n")
    sys.stderr.flush()


def _local_player(model: str, name: str, recipe: Recipe) -> Player:
    from vlmgym.models.loading import banned_tokens, load
    from vlmgym.players.local import LocalPlayer

    loaded = load(model)
    limit = recipe.grpo.max_new_tokens if recipe.grpo else 512
    first = recipe.tasks[0]
    banned = banned_tokens(*loaded)
    return LocalPlayer(
        *loaded,
        name=name,
        look=first.look,
        style=first.prompt,
        banned=banned,
        max_new_tokens=limit,
        batch=BATCH,
    )


class _Training:
    """Unfinished training runs side by side, each a process with a bar that is fed by its
    ``metrics.jsonl``.
    """

    def __init__(self, recipes: dict[str, Recipe], out: Path) -> None:
        self.out = out
        self.running: dict[str, Process] = {}
        self.bars: dict[str, Any] = {}
        self.ended = threading.Event()
        for position, (name, recipe) in enumerate(recipes.items()):
            if not (out / name / "final" / "config.json").exists():
                self.running[name] = self._start(name, recipe)
                self.bars[name] = _bar(name, recipe, position)
        self.watcher = threading.Thread(target=self._watch, daemon=True)

    def _start(self, name: str, recipe: Recipe) -> Process:
        path = self.out / f"{name}.yaml"
        write_json(path, recipe.to_dict())  # JSON is YAML
        folder = str(self.out / name)
        command = [sys.executable, "-m", "vlmgym.cli", "train", str(path), "--out", folder]
        return Process(command, self.out / f"{name}.log", threads=1)

    def __enter__(self) -> _Training:
        self.watcher.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.ended.set()
        self.watcher.join()
        for process in self.running.values():
            process.stop()
        for process in self.running.values():
            process.wait()
        for bar in self.bars.values():
            bar.close()

    def _watch(self) -> None:
        while not self.ended.wait(1):
            for name, bar in self.bars.items():
                _refresh(bar, self.out / name / "metrics.jsonl")

    def wait(self, name: str) -> None:
        """Return when a run has ended (at once if it had been before).

        Raises:
            StageError: this run, or another one meanwhile, has failed.
        """
        while name in self.running:
            for run, process in self.running.items():
                if process.status:
                    raise StageError(
                        f"training {run} failed with status {process.status}: see {process.log}"
                    )
            if self.running[name].status is not None:
                del self.running[name]
            else:
                time.sleep(0.5)
        if name in self.bars:
            _refresh(self.bars[name], self.out / name / "metrics.jsonl")


def _bar(name: str, recipe: Recipe, position: int) -> Any:
    """A bar over the steps of a training run, in a line of its own."""
    steps = recipe.grpo.steps if recipe.grpo else 0
    if recipe.cold_start:
        steps += recipe.sft.total_steps(recipe.cold_start.states * len(recipe.tasks))
    return tqdm(
        total=steps,
        desc=name,
        unit="step",
        position=position,
        file=sys.stderr,
        smoothing=0.1,
    )


def _refresh(bar: Any, path: Path) -> None:
    """Set a bar to the steps that a run has logged, with the numbers of the last one."""
    lines = [line for line in read_metrics(path) if "loss" in line or "reward" in line]
    if len(lines) == bar.n:
        return
    last: dict[str, Any] = lines[-1] if lines else {}
    numbers = {"stage": str(last.get("stage", ""))}
    for key in ("reward", "success", "p_acc", "loss"):
        if key in last:
            numbers[key] = f"{last[key]:.2f}"
    bar.set_postfix(numbers, refresh=False)
    bar.update(len(lines) - bar.n)


def _facts(g0: Recipe, g1: Recipe, evaluation: Evaluation, seconds: float) -> dict[str, Any]:
    """What was run, for the report; ``seconds`` is the time of all calls together."""
    facts = machine("torch", "transformers", "trl", "numpy", "numba", "pillow", "gymnasium")
    versions = [f"{package} {number}" for package, number in facts["versions"].items()]
    parts = [facts["gpu"], facts["cpu"], f"{facts['cores']} cores", facts["system"]]
    date = datetime.datetime.now(datetime.UTC)
    return {
        "command": "make demo",
        "date": date.strftime("%Y-%m-%d %H:%M UTC"),
        "minutes": round(seconds / 60, 1),
        "vlmgym": facts["vlmgym"],
        "versions": ", ".join(versions),
        "machine": ", ".join(filter(None, parts)),
        "held-out states": f"{evaluation.episodes} of each game, test split, seeds from number "
        f"{evaluation.first}",
        "training seed": g0.grpo.seed if g0.grpo else 0,
        "teacher": f"scripted, wrong by a habit: it {HABITS[g1.habit].doc}; teacher:0 has none",
        "answers": "greedy decoding (temperature 0)",
        CAUTION: CAVEAT,
    }


def results_table(out: Path, tasks: Sequence[Task]) -> str:
    """Success (share of held-out states where the move does something) with 95 % intervals, players
    by games.
    """
    lines = ["Success on held-out states; models decode greedily (temperature 0)."]
    players = ("random", "base", "g0", "cold", "g1", "teacher", "search", "oracle")
    titles = "".join(f"{task.names.game:>26}" for task in tasks)
    lines.append(f"{'':<10}{titles}")
    for player in players:
        cells = ""
        for task in tasks:
            summary = read_json(out / "eval" / player / task.names.game / "summary.json")
            success = summary["metrics"]["success"]
            interval = f"[{success['low']:.3f}, {success['high']:.3f}]"
            cells += f"{success['mean']:>12.3f} {interval}"[-26:].rjust(26)
        lines.append(f"{LABELS.get(player, player):<10}{cells}")
    return "\n".join(lines) + "\n"


LABELS = {"search": "teacher:0"}
"""What players are called in the table, where it is not the name of their folder."""


def mistakes_table(out: Path, tasks: Sequence[Task], habit: str) -> str:
    """What becomes of the teacher's own mistakes: success where it fails and elsewhere, and how
    often a player fails there as it does.
    """
    lines = [
        f"Where teacher:{habit} fails: success, failures of its kind; success elsewhere.",
        f"{'':<10}" + "".join(f"{task.names.game:>26}" for task in tasks),
    ]
    for player in ("random", "base", "g0", "cold", "g1", "teacher", "search"):
        cells = ""
        for task in tasks:
            trace = load_trace(out / "eval" / player / task.names.game / "trace.jsonl")
            shares = mistakes_of_habit(trace.finished(), habit)
            names = ("success_where_teacher_fails", "teachers_mistakes", "success_elsewhere")
            cell = " ".join(f"{shares[name]:.3f}" if name in shares else "-" for name in names)
            cells += cell.rjust(26)
        lines.append(f"{LABELS.get(player, player):<10}{cells}")
    return "\n".join(lines) + "\n"
