"""A training run as one YAML file: model, tasks, cold start, GRPO; it can be killed and run again
at any time.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from vlmgym.core import ConfigError, Settings, State, concat, setting
from vlmgym.core.config import find, read_file
from vlmgym.core.files import read_json_lines, write_atomically
from vlmgym.dialogue.judge import Fault, Weights, judge
from vlmgym.episodes.curriculum import Curriculum
from vlmgym.episodes.task import PATIENCE, Task
from vlmgym.evals.evaluation import evaluate_all
from vlmgym.evals.metrics import shown_in
from vlmgym.evals.settings import Evaluation
from vlmgym.models.loading import Compute, Lora, banned_tokens
from vlmgym.players.base import Answer, Player, Query
from vlmgym.players.beginner import Beginner
from vlmgym.players.teacher import Teacher
from vlmgym.train.checkpoint import DiskFullError, no_room
from vlmgym.train.grpo import run_grpo
from vlmgym.train.questions import QuestionSource, Source, first_state
from vlmgym.train.settings import GrpoSettings, SftSettings
from vlmgym.train.sft import run_sft
from vlmgym.train.trained import TrainedFor


@dataclass(frozen=True)
class ColdStart(Settings):
    """The perception-enhanced cold start: the teacher's answers with the true board in the
    perception block.
    """

    states: int = setting(
        1000, "states of each task, scaled by nothing: every task gets as many", 1, 10_000_000
    )
    teacher_error: float = setting(
        0.0, "probability that the scripted teacher jumps to a random answer", 0.0, 1.0
    )
    verified: bool = setting(
        True,
        "only answers that work are taught; false: those that fail as well, if the teacher errs",
    )
    hopeless: bool = setting(
        True,
        "states in which no action succeeds (2048: nothing merges) belong to it, as to whole games",
    )
    player: str = setting(
        "teacher",
        "who answers; beginner: guesses, see vlmgym.players.beginner",
        choices=("teacher", "beginner"),
    )
    think: bool = setting(
        True, "answers have a think block (without, they are no longer well formed)"
    )


@dataclass(frozen=True)
class Checks(Settings):
    """Greedy evaluation on held-out states during GRPO."""

    every: int = setting(10, "steps between evaluations; 0 = never", 0, 1_000_000)
    states: int = setting(64, "held-out states of each task", 1, 1_000_000)
    first: int = setting(
        1_000_000,
        "number of the first of these test seeds: apart from those of the final evaluation",
        0,
        10**9,
    )


@dataclass(frozen=True)
class Recipe:
    """A whole run; see ``recipes/`` for examples."""

    model: str
    tasks: tuple[Task, ...]
    cold_start: ColdStart | None = None
    sft: SftSettings = field(default_factory=SftSettings)
    grpo: GrpoSettings | None = None
    reward: Weights = field(default_factory=Weights)
    checks: Checks = field(default_factory=Checks)
    compute: Compute = field(default_factory=Compute)
    lora: Lora | None = None
    states: tuple[Source, ...] = (Source(),)
    curriculum: Mapping[str, Curriculum] = field(default_factory=dict)  # by name of a game

    @classmethod
    def parse(cls, values: Mapping[str, Any]) -> Recipe:
        """Build from the mapping of a YAML file.

        Raises:
            ConfigError: a key is unknown, missing, or a value is out of range; the message names
                it.
        """
        sections: dict[str, type[Settings]] = {
            "cold_start": ColdStart,
            "sft": SftSettings,
            "grpo": GrpoSettings,
            "reward": Weights,
            "checks": Checks,
            "compute": Compute,
            "lora": Lora,
        }
        for key in values:
            if key not in (*sections, *OTHERS):
                raise ConfigError(
                    f"recipe.{key}", values[key], "one of " + ", ".join([*OTHERS, *sections])
                )
        model, tasks = values.get("model"), values.get("tasks")
        if not isinstance(model, str):
            raise ConfigError("recipe.model", model, "'tiny', a hub name or a folder")
        if not isinstance(tasks, list) or not tasks:
            raise ConfigError("recipe.tasks", tasks, "a list with at least one task")
        parts: dict[str, Any] = {"model": model, "tasks": tuple(Task.parse(t) for t in tasks)}
        if not any(task.weight for task in parts["tasks"]):
            raise ConfigError(
                "recipe.tasks", "weight 0 for all of them", "a weight above 0 for at least one task"
            )
        sources, ladders = (values.get(key) for key in ("states", "curriculum"))
        sources, ladders = [{}] if sources is None else sources, {} if ladders is None else ladders
        if (
            not isinstance(sources, list)
            or not sources
            or not all(isinstance(one, Mapping) for one in sources)
        ):
            raise ConfigError(
                "recipe.states",
                sources,
                "a list of sources, such as {kind: policy_pool, weight: 1}",
            )
        if not isinstance(ladders, Mapping) or not all(
            isinstance(one, Mapping) for one in ladders.values()
        ):
            raise ConfigError(
                "recipe.curriculum",
                ladders,
                "a mapping from games to ladders, such as {Swap: {dial: level, ...}}",
            )
        parts["states"] = tuple(Source.parse(one) for one in sources)
        if not any(source.weight for source in parts["states"]):
            raise ConfigError(
                "recipe.states",
                "weight 0 for all of them",
                "a weight above 0 for at least one source",
            )
        parts["curriculum"] = {game: Curriculum.parse(one) for game, one in ladders.items()}
        for key, kind in sections.items():
            if key in values:
                if not isinstance(values[key], Mapping | None):
                    raise ConfigError(
                        f"recipe.{key}", values[key], "a mapping of settings, or nothing"
                    )
                # a stage or part that is switched off
                off = values[key] is None and key in ("cold_start", "grpo", "lora")
                parts[key] = None if off else kind.parse(values[key] or {})
        recipe = cls(**{key: value for key, value in parts.items() if value is not None})
        if recipe.cold_start is None and recipe.grpo is None:
            raise ConfigError("recipe", "no stage", "cold_start, grpo, or both")
        if recipe.grpo is not None and not any(recipe.reward.factors().values()):
            raise ConfigError(
                "recipe.reward",
                "weight 0 for all terms",
                "a weight other than 0 for at least one term",
            )
        return recipe

    def to_dict(self) -> dict[str, Any]:
        """Plain values that :meth:`parse` reads back."""
        return {
            k: v for k, v in asdict(replace(self, tasks=(), states=())).items() if v is not None
        } | {
            "tasks": [task.to_dict() for task in self.tasks],
            "states": [asdict(s) for s in self.states],
        }


OTHERS = ("model", "tasks", "states", "curriculum")


def recipe_path(name: str) -> Path:
    """The file of a recipe: a path, or the name of a bundled one such as ``tiny/g0``.

    Raises:
        ConfigError: there is neither; the message lists the bundled ones.
    """
    return find("recipe", name)


def read_recipe(path: Path, overrides: Sequence[str] = (), on: Sequence[str] = ()) -> Recipe:
    """Read a YAML recipe, adapt it to hardware and apply ``field=value`` overrides; see
    :func:`vlmgym.core.config.read_file`.
    """
    return Recipe.parse(read_file("recipe", path, overrides, on))


# ---- running
def train(recipe: Recipe, out: Path) -> Path:
    """Run the stages of a recipe; finished stages are kept, an unfinished one goes on from its last
    checkpoint.

    Writes ``recipe.json``, ``metrics.jsonl`` (a line a step) and TensorBoard events, ``cold/`` and
    ``final/`` (models), and the traces of the checks on held-out states (``checks/STEP/GAME``).

    Args:
        recipe: what to run.
        out: folder of the run.

    Returns:
        The folder of the final model.

    Raises:
        ConfigError: ``out`` holds a run of another recipe, or another process trains there.
    """
    from filelock import FileLock, Timeout

    out.mkdir(parents=True, exist_ok=True)
    lock = FileLock(out / ".lock", timeout=0)
    try:
        if recipe.compute.processes().is_main_process:
            lock.acquire()
        return _stages(recipe, out)
    except Timeout as error:
        raise ConfigError("out", str(out), "a folder in which no other process trains") from error
    except OSError as error:
        if isinstance(error, DiskFullError) or not no_room(error, out, 0):
            raise
        raise DiskFullError(
            f"the disk of {out} is full: make room and run the same command to go on"
        ) from error
    finally:
        lock.release()


def _stages(recipe: Recipe, out: Path) -> Path:
    everyone = recipe.compute.processes()
    stamp, text = out / "recipe.json", json.dumps(recipe.to_dict(), indent=1)
    if stamp.exists() and stamp.read_text(encoding="utf-8") != text:
        raise ConfigError(
            "out",
            str(out),
            "a new folder, or one with a run of the same recipe (this one holds another)",
        )
    everyone.wait_for_everyone()
    if everyone.is_main_process:
        write_atomically(stamp, text)
    current = recipe.model
    if recipe.cold_start is not None:
        target = out / "cold"
        if not (target / "config.json").exists():
            _cold_start(recipe, recipe.cold_start, current, out, target)
        current = str(target.resolve())
    if recipe.grpo is not None:
        target = out / "final"
        if not (target / "config.json").exists():
            _grpo(recipe, recipe.grpo, current, out, target)
        current = str(target.resolve())
    return Path(current)


def cold_start_rows(tasks: Sequence[Task], cold: ColdStart, seed: int = 0) -> list[dict[str, Any]]:
    """Rows of the cold start: each task's states answered by a scripted player, tasks interleaved.

    Another ``seed`` is another cold start: other states, and other errors of the teacher.
    """
    from vlmgym.train.rows import rows

    teacher, beginner, lists = Teacher(cold.teacher_error, salt=seed), Beginner(searches=0), []
    for task in tasks:
        player: Player = beginner if cold.player == "beginner" else teacher
        state, replies = _answered(task, cold, player, first_state("cold", seed))
        if not cold.think:
            replies = [task.blocks.without(task.blocks.think, reply) for reply in replies]
        lists.append(rows(task, state, replies))
    return [row for group in zip(*lists, strict=True) for row in group]


def _answered(task: Task, cold: ColdStart, player: Player, first: int) -> tuple[State, list[str]]:
    """``cold.states`` states from the training state ``first`` on, and the answers to them.

    With ``cold.verified`` states whose answer fails are passed over: one that does nothing where
    another would have done something, or that is not legal.

    Raises:
        ConfigError: a player whose answers hardly ever work.
    """
    game = task.game
    look = task.look
    found, texts = list[State](), list[str]()
    for _ in range(ROUNDS):
        missing = cold.states - len(texts)
        state = task.states("train", missing, first, cold.hopeless)
        first += PATIENCE * missing  # more than the states that were looked at
        replies = [
            Answer.of(one).text
            for one in player.answer([Query(game, state, look, task.prompt, blocks=task.blocks)])[0]
        ]
        if cold.verified:
            judged = judge(game, state, replies, oracle=False, blocks=task.blocks)[1]
            works = [
                one.terms["game"] > 0 or (one.fault == Fault.UNAVOIDABLE and one.changed)
                for one in judged
            ]
            state, replies = (
                state[np.flatnonzero(works)],
                [text for text, good in zip(replies, works, strict=True) if good],
            )
        found.append(state)
        texts += replies
        if len(texts) == cold.states:
            return concat(found), texts
    raise ConfigError(
        "cold_start.verified",
        True,
        f"false for {task.names.game}, where {len(texts)} answers of {player.name} work",
    )


ROUNDS = 50
"""Times that states are drawn for those of a cold start whose answers fail."""


def _cold_start(recipe: Recipe, cold: ColdStart, model_name: str, out: Path, target: Path) -> None:
    data = cold_start_rows(recipe.tasks, cold, recipe.sft.seed)
    model, processor = recipe.compute.load(model_name)
    if recipe.grpo is not None and recipe.compute.processes().is_main_process:
        sys.stderr.write(cut_off(data, processor, recipe.grpo.max_new_tokens))
    steps = recipe.sft.total_steps(len(data), recipe.compute.processes().num_processes)
    log = metrics_callback(out, "sft", "loss", steps, recipe.sft.report_to)
    trainer = run_sft(
        model, processor, data, out / "sft", recipe.sft, recipe.compute, [log], recipe.lora
    )
    _finish(trainer, processor, out / "sft", target, TrainedFor(recipe.tasks, 0, recipe.model))


def cut_off(data: Sequence[Mapping[str, Any]], processor: Any, limit: int) -> str:
    """A line about the taught answers that are longer than GRPO allows; empty where all fit."""
    texts = [row["completion"][0]["content"][0]["text"] for row in data]
    counts = [
        len(ids) + 1 for ids in processor.tokenizer(texts, add_special_tokens=False)["input_ids"]
    ]
    long = sum(count > limit for count in counts)
    if not long:
        return ""
    most = (
        f"{long} of {len(counts)} taught answers do not fit into grpo.max_new_tokens = {limit} "
        f"(the longest has {max(counts)})"
    )
    return f"cold start: {most}, so GRPO cuts off what was taught\n"


def _grpo(recipe: Recipe, grpo: GrpoSettings, model_name: str, out: Path, target: Path) -> None:
    model, processor = recipe.compute.load(model_name)
    log = metrics_callback(out, "grpo", "reward", grpo.steps, grpo.report_to)
    callbacks = [log]
    if recipe.checks.every:
        callbacks.append(_checks_callback(recipe, grpo, processor, log, out))
    states = QuestionSource(recipe.tasks, recipe.states, recipe.curriculum, grpo.seed)
    trainer = run_grpo(
        model,
        processor,
        recipe.tasks,
        out / "grpo",
        grpo,
        recipe.reward,
        recipe.compute,
        callbacks,
        states,
        recipe.lora,
    )
    _finish(
        trainer,
        processor,
        out / "grpo",
        target,
        TrainedFor(recipe.tasks, grpo.max_new_tokens, recipe.model),
    )


def _finish(
    trainer: Any, processor: Any, checkpoints: Path, target: Path, about: TrainedFor
) -> None:
    """Save the model whole (folder renamed into place last), adapters merged into it, then drop the
    checkpoints.

    What adapters have learned is merged and saved in float32: most of a small update lies below the
    last bit of bfloat16.
    """
    part = target.with_name(target.name + ".part")
    main = trainer.accelerator.is_main_process
    if main:
        shutil.rmtree(part, ignore_errors=True)
    trainer.accelerator.wait_for_everyone()
    try:
        if hasattr(trainer.model, "peft_config"):
            if main:
                adapted = trainer.accelerator.unwrap_model(trainer.model)
                adapted.save_pretrained(str(part / "adapter"))
                adapted.to("cpu").float().merge_and_unload().save_pretrained(str(part))
        else:
            trainer.save_model(str(part))
        if main:
            processor.save_pretrained(str(part))
            about.write(part)
    except Exception as error:
        if not no_room(error, target.parent, 0):
            raise
        shutil.rmtree(part, ignore_errors=True)
        raise DiskFullError(
            f"no room for {target} ({error}): make room and run the same command to go on"
        ) from error
    trainer.accelerator.wait_for_everyone()
    if main:
        part.rename(target)
        shutil.rmtree(checkpoints, ignore_errors=True)
    trainer.accelerator.wait_for_everyone()


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
    return [
        game if (n := games[:i].count(game)) == 0 else f"{game}-{n + 1}"
        for i, game in enumerate(games)
    ]


def _checks_callback(
    recipe: Recipe, grpo: GrpoSettings, processor: Any, log: Any, out: Path
) -> Any:
    """A callback that plays held-out states greedily, before the first step and every
    ``checks.every`` steps.

    Traces and summaries are kept under ``out/checks/STEP/GAME``.
    """
    from transformers import TrainerCallback

    from vlmgym.players.local import LocalPlayer

    how = Evaluation(
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
            banned, values = banned_tokens(model, processor), {}
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
                recipe.tasks, evaluate_all(player, recipe.tasks, how, folders, False), strict=True
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
