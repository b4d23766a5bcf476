"""The main job on two CPU cores: evaluate, train G0 and G1, evaluate again, compare, report.

Every stage can be stopped.

The two training branches run side by side as two processes of one thread each; on two cores that is
about one and a half times as fast as one after the other with two threads. What can be evaluated
while the longer one goes on is evaluated then.
"""

from __future__ import annotations

import datetime
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tqdm import tqdm

from vlmgym.core import VlmGymError, need
from vlmgym.core.files import FileError, read_json, write_json
from vlmgym.core.provenance import machine
from vlmgym.core.threads import usable_cores
from vlmgym.episodes.task import Task
from vlmgym.evals.evaluation import evaluate_all
from vlmgym.evals.settings import Evaluation
from vlmgym.models.loading import TRAINING
from vlmgym.players.base import Player
from vlmgym.players.simple import Oracle, Random
from vlmgym.players.teacher import Teacher
from vlmgym.report.page import write_report
from vlmgym.train.callbacks import read_metrics
from vlmgym.train.recipe import Recipe, read_recipe, recipe_path

STATES = 400
"""Held-out states of each game in the evaluations."""
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
    begin = time.monotonic()
    before = _seconds(path)
    try:
        yield
    finally:
        write_json(path, before + time.monotonic() - begin)


def _seconds(path: Path) -> float:
    try:
        return float(read_json(path, float)) if path.exists() else 0.0
    except FileError as error:  # left by an end that nothing could be done about
        sys.stderr.write(f"{error}; the time is counted from now on\n")
        return 0.0


def _run_stages(out: Path, quick: bool) -> int:
    begin = time.monotonic()
    small = ["grpo.steps=2", "grpo.batch=16", "checks.states=4"]
    g0 = read_recipe(recipe_path("tiny/g0"), small if quick else [])
    g1 = read_recipe(recipe_path("tiny/g1"), [*small, "cold_start.states=32"] if quick else [])
    assert g1.cold_start is not None
    tasks = g0.tasks
    states = 8 if quick else STATES
    how = Evaluation(episodes=states, turns=1, start="walk")

    def evaluate_model(name: str, model: str | Path, threads: int) -> None:
        import torch

        torch.set_num_threads(threads)
        _evaluate(out, tasks, how, lambda: _local(str(model), name, g0), name)

    _say(
        1,
        5,
        f"evaluate random, oracle and teacher, with and without its errors, on {states} "
        "held-out states of each game",
    )
    clean = Teacher(0.0)
    clean.name = "search"
    for player in (Random(), Oracle(), Teacher(g1.cold_start.teacher_error), clean):
        _evaluate(out, tasks, how, lambda p=player: p, player.name)  # type: ignore[misc]

    _say(2, 5, "train G0 (GRPO), and at the same time")
    _say(3, 5, "the cold start on the teacher's answers (SFT), then G1 (the same GRPO)")
    half = max(1, usable_cores() // 2)
    sys.stderr.write(
        f"threads: 1 for each training run, {half} for evaluations beside them, "
        f"{usable_cores()} afterwards\n"
    )
    with _Training({"g0": g0, "g1": g1}, out) as training:
        training.wait("g0")
        _say(
            4,
            5,
            "evaluate base, G0, cold start and G1 on the same states (G1 is still being trained)",
        )
        evaluate_model("base", "tiny", half)
        evaluate_model("g0", (out / "g0/final").resolve(), half)
        if (out / "g1/cold/config.json").exists():
            evaluate_model("cold", (out / "g1/cold").resolve(), half)
        training.wait("g1")
    for name, folder in (("cold", "g1/cold"), ("g1", "g1/final")):
        evaluate_model(name, (out / folder).resolve(), usable_cores())

    _say(5, 5, "write the report")
    meta = _meta(g0, g1, how, _seconds(out / "seconds.json") + time.monotonic() - begin)
    write_json(out / "demo.json", meta)
    page = write_report(out)
    sys.stdout.write(results_table(out, tasks) + f"\nreport: {page.resolve()}\n")
    return 0


def _say(stage: int, of: int, text: str) -> None:
    sys.stderr.write(f"[{stage}/{of}] {text}\n")
    sys.stderr.flush()


def _local(model: str, name: str, recipe: Recipe) -> Player:
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


def _evaluate(
    out: Path, tasks: tuple[Task, ...], how: Evaluation, player: Callable[[], Player], name: str
) -> None:
    places = {task: out / "eval" / name / task.names.game for task in tasks}
    folders = {
        task: folder for task, folder in places.items() if not (folder / "summary.json").exists()
    }
    if folders:
        evaluate_all(player(), list(folders), how, list(folders.values()))


class _Training:
    """Unfinished training runs side by side, each a process with a bar that is fed by its
    ``metrics.jsonl``.
    """

    def __init__(self, recipes: dict[str, Recipe], out: Path) -> None:
        self.out = out
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        self.bars: dict[str, Any] = {}
        self.ended = threading.Event()
        environment = os.environ | {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
        for position, (name, recipe) in enumerate(recipes.items()):
            if (out / name / "final" / "config.json").exists():
                continue
            spec = out / f"{name}.yaml"
            write_json(spec, recipe.to_dict())  # JSON is YAML
            call = [
                sys.executable,
                "-m",
                "vlmgym.cli",
                "train",
                str(spec),
                "--out",
                str(out / name),
            ]
            with (out / f"{name}.log").open("ab") as log:
                self.running[name] = subprocess.Popen(call, stdout=log, stderr=log, env=environment)
            total = recipe.grpo.steps if recipe.grpo else 0
            if recipe.cold_start:
                total += recipe.sft.total_steps(recipe.cold_start.states * len(recipe.tasks))
            self.bars[name] = tqdm(
                total=total,
                desc=name,
                unit="step",
                position=position,
                file=sys.stderr,
                smoothing=0.1,
            )
        self.watcher = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> _Training:
        self.watcher.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.ended.set()
        self.watcher.join()
        for process in self.running.values():
            process.terminate()
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
            for other, process in list(self.running.items()):
                if process.poll():
                    raise StageError(
                        f"training {other} failed with status {process.returncode}: "
                        f"see {self.out / other}.log"
                    )
            if self.running[name].poll() is not None:
                del self.running[name]
            else:
                time.sleep(0.5)
        if name in self.bars:
            _refresh(self.bars[name], self.out / name / "metrics.jsonl")


def _refresh(bar: Any, path: Path) -> None:
    lines = [line for line in read_metrics(path) if "loss" in line or "reward" in line]
    if len(lines) != bar.n:
        last: dict[str, Any] = lines[-1] if lines else {}
        shown: dict[str, str] = {
            k: f"{last[k]:.2f}" for k in ("reward", "success", "p_acc", "loss") if k in last
        }
        bar.set_postfix({"stage": str(last.get("stage", "")), **shown}, refresh=False)
        bar.update(len(lines) - bar.n)


def _meta(g0: Recipe, g1: Recipe, how: Evaluation, seconds: float) -> dict[str, Any]:
    """What was run, for the report; ``seconds`` is the time of all calls together."""
    about = machine("torch", "transformers", "trl", "numpy", "numba", "pillow", "gymnasium")
    noise = g1.cold_start.teacher_error if g1.cold_start else 0.0
    return {
        "command": "make demo",
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "minutes": round(seconds / 60, 1),
        "vlmgym": about["vlmgym"],
        "versions": ", ".join(
            f"{package} {number}" for package, number in about["versions"].items()
        ),
        "machine": ", ".join(
            filter(None, (about["gpu"], about["cpu"], f"{about['cores']} cores", about["system"]))
        ),
        "held-out states": f"{how.episodes} of each game, test split, seeds from number "
        f"{how.first}",
        "training seed": g0.grpo.seed if g0.grpo else 0,
        "teacher": f"scripted: a search and its move; a random move in {noise:.0%} of its answers",
        "answers": "greedy decoding",
    }


def results_table(out: Path, tasks: tuple[Task, ...]) -> str:
    """Success (share of held-out states where the move does something) with 95 % intervals, players
    by games.
    """
    names = ("random", "base", "g0", "cold", "g1", "teacher", "search", "oracle")
    lines = [f"{'success':<10}" + "".join(f"{t.names.game:>26}" for t in tasks)]
    for name in names:
        cells = []
        for task in tasks:
            metrics = read_json(out / "eval" / name / task.names.game / "summary.json")["metrics"]
            one = metrics["success"]
            cells.append(
                f"{one['mean']:>12.3f} [{one['low']:.3f}, {one['high']:.3f}]"[-26:].rjust(26)
            )
        lines.append(f"{name:<10}" + "".join(cells))
    return "\n".join(lines) + "\n"
