"""What a run tells while it trains: metrics of each step, and checks on held-out states.

Both are plain classes here, and become callbacks of Transformers when a run begins: so this module
is imported without it.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vlmgym.core.files import read_json_lines, write_atomically
from vlmgym.episodes.task import Task
from vlmgym.episodes.trace import load_trace
from vlmgym.evals.evaluation import evaluate_all
from vlmgym.evals.habits import mistakes_of_habit
from vlmgym.evals.metrics import shown_in
from vlmgym.evals.settings import Evaluation
from vlmgym.models.loading import banned_tokens
from vlmgym.train.recipe import Recipe
from vlmgym.train.settings import GrpoSettings


# ---- metrics
@dataclass(eq=False)
class MetricsLog:
    """Logs every step to ``metrics.jsonl`` and, by choice, TensorBoard, and shows the progress bar.

    Attributes:
        out: folder of the run.
        stage: ``"sft"`` or ``"grpo"``.
        headline: the metric that the bar shows; what the Trainer logs without it is no step.
        total: steps of the stage.
        report_to: ``"tensorboard"``, or any other place, which is the Trainer's own matter.
    """

    out: Path
    stage: str
    headline: str
    total: int
    report_to: str
    bar: Any = None
    board: Any = None
    reporters: Sequence[Any] = ()  # the Trainer's own, which it tells of what it logs itself

    @property
    def path(self) -> Path:
        """The file of the metrics."""
        return self.out / "metrics.jsonl"

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Drop the lines of steps that are done again, and open bar and curves."""
        if not state.is_world_process_zero:
            return
        self._keep_lines_up_to(state.global_step)
        if self.report_to == "tensorboard":
            self._open_board(state.global_step)
        from tqdm import tqdm

        self.bar = tqdm(
            total=self.total,
            initial=state.global_step,
            desc=f"{self.out.name} {self.stage}",
            unit="step",
            file=sys.stderr,
        )

    def _keep_lines_up_to(self, step: int) -> None:
        """Keep the other stages' lines, and those of this one up to a checkpoint's step.

        What comes after the checkpoint is done again; without one, so is the evaluation before the
        first step.
        """
        lines = []
        for line in read_metrics(self.path):
            of_others = line["stage"] != self.stage
            if of_others or (step > 0 and line["step"] <= step):
                lines.append(json.dumps(line) + "\n")
        write_atomically(self.path, "".join(lines))

    def _open_board(self, step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        folder = self.out / "tensorboard"
        self.board = SummaryWriter(str(folder / self.stage), purge_step=step + 1)
        sys.stderr.write(f"curves: tensorboard --logdir {folder}\n")

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Write a line of the file, and points of the curves."""
        line = {"stage": self.stage, "step": step, "time": round(time.time(), 2), **values}
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        if self.board is not None:
            for name, value in values.items():
                self.board.add_scalar(name, value, step)

    def tell(
        self, args: Any, state: Any, control: Any, values: Mapping[str, float], **more: Any
    ) -> None:
        """Write what the Trainer does not log, and hand it to all reporters."""
        self.write(state.global_step, values)
        for reporter in self.reporters:
            reporter.on_log(args, state, control, logs=dict(values), **more)

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        """Write the numbers that the Trainer logs of a step."""
        numbers = {
            name: float(value)
            for name, value in (logs or {}).items()
            if isinstance(value, (int, float))
        }
        if self.headline not in numbers or not state.is_world_process_zero:
            return
        self.write(state.global_step, numbers)
        self.bar.set_postfix({self.headline: f"{numbers[self.headline]:.3f}"}, refresh=False)
        self.bar.update(state.global_step - self.bar.n)

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Close bar and curves."""
        if self.bar is not None:
            self.bar.close()
        if self.board is not None:
            self.board.close()


def metrics_callback(
    out: Path, stage: str, headline: str, total: int, report_to: str = "tensorboard"
) -> Any:
    """A :class:`MetricsLog` as a callback.

    Its ``tell`` hands values that the Trainer knows nothing of, those of checks, to the reporters
    of the Trainer as well.
    """
    from transformers import TrainerCallback

    class Log(MetricsLog, TrainerCallback):  # type: ignore[misc]
        pass

    return Log(out, stage, headline, total, report_to)


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The lines of a ``metrics.jsonl``; an unfinished last line is passed over."""
    return read_json_lines(path)


# ---- checks
@dataclass(eq=False)
class HeldOutChecks:
    """Plays held-out states greedily, before the first step and every ``checks.every`` steps.

    Traces and summaries are kept under ``out/checks/STEP/GAME``, those of states with the
    description of another one under ``GAME-swapped`` beside it.
    """

    recipe: Recipe
    grpo: GrpoSettings
    processor: Any
    log: Any  # the callback of the metrics
    out: Path

    def on_step_begin(
        self, args: Any, state: Any, control: Any, model: Any = None, **_: Any
    ) -> None:
        """Play before the first step."""
        if state.global_step == 0:
            self.check(args, state, control, model)

    def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        """Play after every so many steps, and after the last."""
        is_due = state.global_step % self.recipe.checks.every == 0
        if is_due or state.global_step == self.grpo.steps:
            self.check(args, state, control, model)

    def check(self, args: Any, state: Any, control: Any, model: Any) -> None:
        """Play, and tell the means of the metrics.

        All processes play: a model may be spread over them.
        """
        player = self._player(model)
        kept = state.is_world_process_zero
        folders = self._folders(state.global_step) if kept else None
        values = self._means(player, self._evaluation(), folders, "checks")
        if folders and self.recipe.habit:
            values |= self._mistakes(folders, self.recipe.habit)
        if self.recipe.checks.swapped:
            if folders is not None:
                folders = [folder.with_name(f"{folder.name}-swapped") for folder in folders]
            values |= self._means(player, self._swapped(), folders, "swapped")
        if kept:
            self.log.tell(args, state, control, values, model=model)

    def _means(
        self, player: Any, evaluation: Evaluation, folders: list[Path] | None, place: str
    ) -> dict[str, float]:
        """The means of the metrics that are shown in a place, by game."""
        tasks = self.recipe.tasks
        summaries = evaluate_all(player, tasks, evaluation, folders, False)
        values: dict[str, float] = {}
        for task, summary in zip(tasks, summaries, strict=True):
            for name in shown_in(place):
                mean = summary["metrics"][name]["mean"]
                if mean is not None:
                    values[f"check/{task.names.game}/{name}"] = mean
        return values

    def _mistakes(self, folders: Sequence[Path], habit: str) -> dict[str, float]:
        """What becomes of the mistakes of a teacher with a habit, from the trace of each task."""
        values = dict[str, float]()
        for task, folder in zip(self.recipe.tasks, folders, strict=True):
            turns = load_trace(folder / "trace.jsonl").finished()
            for name, value in mistakes_of_habit(turns, habit).items():
                values[f"check/{task.names.game}/{name}"] = value
        return values

    def _player(self, model: Any) -> Any:
        from vlmgym.players.local import LocalPlayer

        task = self.recipe.tasks[0]
        return LocalPlayer(
            model,
            self.processor,
            name="policy",
            look=task.look,
            style=task.prompt,
            banned=banned_tokens(model, self.processor),
            max_new_tokens=self.grpo.max_new_tokens,
            batch=self.grpo.played_at_once,
            path=self.grpo.path,
        )

    def _evaluation(self) -> Evaluation:
        checks = self.recipe.checks
        return Evaluation(
            episodes=checks.states, turns=1, start="walk", oracle=False, first=checks.first
        )

    def _swapped(self) -> Evaluation:
        """States whose replies begin with the description of another one."""
        return self._evaluation().override(
            episodes=self.recipe.checks.swapped, observation="swapped"
        )

    def _folders(self, step: int) -> list[Path]:
        """A folder for each task, without what an attempt has left that was killed."""
        folder = self.out / "checks" / f"{step:06d}"
        shutil.rmtree(folder, ignore_errors=True)
        return [folder / name for name in task_names(self.recipe.tasks)]


def checks_callback(recipe: Recipe, grpo: GrpoSettings, processor: Any, log: Any, out: Path) -> Any:
    """A :class:`HeldOutChecks` as a callback."""
    from transformers import TrainerCallback

    class Check(HeldOutChecks, TrainerCallback):  # type: ignore[misc]
        pass

    return Check(recipe, grpo, processor, log, out)


def task_names(tasks: Sequence[Task]) -> list[str]:
    """A folder's name for each task: its game, with a number where a game comes again."""
    games = [task.names.game for task in tasks]
    names = []
    for number, game in enumerate(games):
        before = games[:number].count(game)
        names.append(f"{game}-{before + 1}" if before else game)
    return names
