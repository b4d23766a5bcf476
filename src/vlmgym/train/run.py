"""The stages of a recipe, one after the other; a run can be killed and run again at any time."""

from __future__ import annotations

import json
import shutil
import sys
from functools import partial
from pathlib import Path
from typing import Any

from vlmgym.core import ConfigError
from vlmgym.core.files import write_atomically
from vlmgym.train.begun import see_same_recipe
from vlmgym.train.callbacks import checks_callback, metrics_callback
from vlmgym.train.checkpoint import DiskFullError, no_room
from vlmgym.train.cold_start import cold_start_rows, cut_off
from vlmgym.train.grpo import run_grpo
from vlmgym.train.pretrain import pretraining_rows
from vlmgym.train.recipe import ColdStart, Pretraining, Recipe
from vlmgym.train.settings import GrpoSettings
from vlmgym.train.sft import run_sft
from vlmgym.train.trained import TrainedFor


def train(recipe: Recipe, out: Path) -> Path:
    """Run the stages of a recipe; finished stages are kept, an unfinished one goes on from its last
    checkpoint.

    Writes ``recipe.json``, ``metrics.jsonl`` (a line a step) and TensorBoard events, ``base/``,
    ``cold/`` and ``final/`` (models), and the traces of the checks on held-out states
    (``checks/STEP/GAME``).

    Args:
        recipe: what to run.
        out: folder of the run.

    Returns:
        The folder of the final model.

    Raises:
        ConfigError: ``out`` holds a run of another recipe, or another process trains there.
        FileError: the ``recipe.json`` there cannot be read, or is that of a newer version.
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
    processes = recipe.compute.processes()
    stamp = out / "recipe.json"
    see_same_recipe(recipe, stamp)
    processes.wait_for_everyone()
    if processes.is_main_process:
        write_atomically(stamp, json.dumps(recipe.to_dict(), indent=1))
    model_name = recipe.model
    if recipe.pretrain is not None:
        target = out / "base"
        if not (target / "config.json").exists():
            _pretrain(recipe, recipe.pretrain, out, target)
        model_name = str(target.resolve())
    if recipe.cold_start is not None:
        target = out / "cold"
        if not (target / "config.json").exists():
            _cold_start(recipe, recipe.cold_start, model_name, out, target)
        model_name = str(target.resolve())
    if recipe.grpo is not None:
        target = out / "final"
        if not (target / "config.json").exists():
            _grpo(recipe, recipe.grpo, model_name, out, target)
        model_name = str(target.resolve())
    return Path(model_name)


def _pretrain(recipe: Recipe, settings: Pretraining, out: Path, target: Path) -> None:
    from vlmgym.train.embedded import build

    seed = recipe.sft.seed
    model, processor = build(seed)
    log = metrics_callback(out, "sft", "loss", recipe.sft.steps, recipe.sft.report_to)
    rows = partial(pretraining_rows, recipe.tasks, settings, seed)
    trainer = run_sft(model, processor, rows, out / "sft", recipe.sft, recipe.compute, [log])
    _finish(trainer, processor, out / "sft", target, TrainedFor(recipe.tasks))


def _cold_start(recipe: Recipe, cold: ColdStart, model_name: str, out: Path, target: Path) -> None:
    rows = cold_start_rows(recipe.tasks, cold, recipe.sft.seed)
    model, processor = recipe.compute.load(model_name)
    if recipe.grpo is not None and recipe.compute.processes().is_main_process:
        sys.stderr.write(cut_off(rows, processor, recipe.grpo.max_new_tokens))
    steps = recipe.sft.total_steps(len(rows), recipe.compute.processes().num_processes)
    log = metrics_callback(out, "sft", "loss", steps, recipe.sft.report_to)
    trainer = run_sft(
        model, processor, rows, out / "sft", recipe.sft, recipe.compute, [log], recipe.lora
    )
    _finish(trainer, processor, out / "sft", target, TrainedFor(recipe.tasks, 0, recipe.model))


def _grpo(recipe: Recipe, grpo: GrpoSettings, model_name: str, out: Path, target: Path) -> None:
    model, processor = recipe.compute.load(model_name)
    log = metrics_callback(out, "grpo", "reward", grpo.steps, grpo.report_to)
    callbacks = [log]
    if recipe.checks.every:
        callbacks.append(checks_callback(recipe, grpo, processor, log, out))
    trainer = run_grpo(recipe, model, processor, out / "grpo", callbacks)
    about = TrainedFor(recipe.tasks, grpo.max_new_tokens, recipe.model, grpo.path)
    _finish(trainer, processor, out / "grpo", target, about)


def _finish(
    trainer: Any, processor: Any, checkpoints: Path, target: Path, about: TrainedFor
) -> None:
    """Save the model whole (folder renamed into place last), adapters merged into it, then drop the
    checkpoints.

    What adapters have learned is merged and saved in float32: most of a small update lies below the
    last bit of bfloat16.
    """
    unfinished = target.with_name(target.name + ".part")
    is_main = trainer.accelerator.is_main_process
    if is_main:
        shutil.rmtree(unfinished, ignore_errors=True)
    trainer.accelerator.wait_for_everyone()
    try:
        if hasattr(trainer.model, "peft_config"):
            if is_main:
                adapted = trainer.accelerator.unwrap_model(trainer.model)
                adapted.save_pretrained(str(unfinished / "adapter"))
                adapted.to("cpu").float().merge_and_unload().save_pretrained(str(unfinished))
        else:
            trainer.save_model(str(unfinished))
        if is_main:
            processor.save_pretrained(str(unfinished))
            about.write(unfinished)
    except Exception as error:
        if not no_room(error, target.parent, 0):
            raise
        shutil.rmtree(unfinished, ignore_errors=True)
        raise DiskFullError(
            f"no room for {target} ({error}): make room and run the same command to go on"
        ) from error
    trainer.accelerator.wait_for_everyone()
    if is_main:
        unfinished.rename(target)
        shutil.rmtree(checkpoints, ignore_errors=True)
    trainer.accelerator.wait_for_everyone()
