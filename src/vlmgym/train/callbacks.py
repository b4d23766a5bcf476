"""What a run tells while it trains: metrics of each step, and checks on held-out states."""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vlmgym.core.files import read_json_lines, write_atomically
from vlmgym.episodes.task import Task
from vlmgym.evals.evaluation import evaluate_all
from vlmgym.evals.metrics import shown_in
from vlmgym.evals.settings import Evaluation
from vlmgym.models.loading import banned_tokens
from vlmgym.train.recipe import Recipe
from vlmgym.train.settings import GrpoSettings


def metrics_callback(
    out: Path, stage: str, headline: str, total: int, report_to: str = "tensorboard"
) -> Any:
    """A callback that logs every step to ``metrics.jsonl`` and, by choice, TensorBoard, and shows
    the progress bar.

    Its ``tell`` hands values that the Trainer knows nothing of, those of checks, to the reporters
    of the Trainer as well.
    """
    from torch.utils.tensorboard import SummaryWriter
    from tqdm import tqdm
    from transformers import TrainerCallback

    path = out / "metrics.jsonl"

    class Log(TrainerCallback):
        bar: Any = None
        board: Any = None
        reporters: Sequence[Any] = ()  # the Trainer's own, which it tells of what it logs itself

        def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if not state.is_world_process_zero:
                return
            # What comes after the checkpoint is done again; without one, so is the evaluation
            # before the first step.
            kept = [
                line
                for line in read_metrics(path)
                if line["stage"] != stage or line["step"] <= state.global_step > 0
            ]
            write_atomically(path, "".join(json.dumps(line) + "\n" for line in kept))
            if report_to == "tensorboard":
                self.board = SummaryWriter(
                    str(out / "tensorboard" / stage), purge_step=state.global_step + 1
                )
                sys.stderr.write(f"curves: tensorboard --logdir {out / 'tensorboard'}\n")
            self.bar = tqdm(
                total=total,
                initial=state.global_step,
                desc=f"{out.name} {stage}",
                unit="step",
                file=sys.stderr,
            )

        def write(self, step: int, values: Mapping[str, float]) -> None:
            line = {"stage": stage, "step": step, "time": round(time.time(), 2), **values}
            with path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
            for key, value in values.items() if self.board is not None else ():
                self.board.add_scalar(key, value, step)

        def tell(
            self, args: Any, state: Any, control: Any, values: Mapping[str, float], **more: Any
        ) -> None:
            """Write what the Trainer does not log, and hand it to all reporters."""
            self.write(state.global_step, values)
            for reporter in self.reporters:
                reporter.on_log(args, state, control, logs=dict(values), **more)

        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
            values = {k: float(v) for k, v in (logs or {}).items() if isinstance(v, (int, float))}
            if headline not in values or not state.is_world_process_zero:
                return
            self.write(state.global_step, values)
            self.bar.set_postfix({headline: f"{values[headline]:.3f}"}, refresh=False)
            self.bar.update(state.global_step - self.bar.n)

        def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if self.bar is not None:
                self.bar.close()
            if self.board is not None:
                self.board.close()

    return Log()


def task_names(tasks: Sequence[Task]) -> list[str]:
    """A folder's name for each task: its game, with a number where a game comes again."""
    games = [task.names.game for task in tasks]
    names = []
    for number, game in enumerate(games):
        before = games[:number].count(game)
        names.append(f"{game}-{before + 1}" if before else game)
    return names


def checks_callback(recipe: Recipe, grpo: GrpoSettings, processor: Any, log: Any, out: Path) -> Any:
    """A callback that plays held-out states greedily, before the first step and every
    ``checks.every`` steps.

    Traces and summaries are kept under ``out/checks/STEP/GAME``.
    """
    from transformers import TrainerCallback

    from vlmgym.players.local import LocalPlayer

    evaluation = Evaluation(
        episodes=recipe.checks.states,
        turns=1,
        start="walk",
        oracle=False,
        first=recipe.checks.first,
    )

    class Check(TrainerCallback):
        def on_step_begin(
            self, args: Any, state: Any, control: Any, model: Any = None, **_: Any
        ) -> None:
            if state.global_step == 0:
                self.check(args, state, control, model)

        def on_step_end(
            self, args: Any, state: Any, control: Any, model: Any = None, **_: Any
        ) -> None:
            if state.global_step % recipe.checks.every == 0 or state.global_step == grpo.steps:
                self.check(args, state, control, model)

        def check(self, args: Any, state: Any, control: Any, model: Any) -> None:
            banned = banned_tokens(model, processor)
            values: dict[str, float] = {}
            player = LocalPlayer(
                model,
                processor,
                name="policy",
                look=recipe.tasks[0].look,
                style=recipe.tasks[0].prompt,
                banned=banned,
                max_new_tokens=grpo.max_new_tokens,
                batch=min(grpo.generate_batch or 64, 64),
            )
            folders = None
            if state.is_world_process_zero:
                here = out / "checks" / f"{state.global_step:06d}"
                shutil.rmtree(here, ignore_errors=True)  # of an attempt that was killed
                folders = [here / name for name in task_names(recipe.tasks)]
            for task, summary in zip(
                recipe.tasks,
                evaluate_all(player, recipe.tasks, evaluation, folders, False),
                strict=True,
            ):
                for key in shown_in("checks"):
                    if summary["metrics"][key]["mean"] is not None:
                        values[f"check/{task.names.game}/{key}"] = summary["metrics"][key]["mean"]
            # the others play as well: a model may be spread over all of them
            if state.is_world_process_zero:
                log.tell(args, state, control, values, model=model)

    return Check()


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The lines of a ``metrics.jsonl``; an unfinished last line is passed over."""
    return read_json_lines(path)
