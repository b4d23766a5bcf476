"""Before a run: whether all that it names is there, and fits."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from vlmgym.core import VlmGymError, need
from vlmgym.core.settings import number_in_environment
from vlmgym.dialogue import prompt
from vlmgym.dialogue.perception import NO_TRUTH, described
from vlmgym.episodes.task import Task
from vlmgym.models.loading import TRAINING, first_words, load_processor
from vlmgym.render import photos
from vlmgym.render.frames import frame_size, tile_boxes
from vlmgym.train.compute import OPTIMIZERS
from vlmgym.train.plan.architecture import LETTERS, Architecture, architecture, short_count
from vlmgym.train.plan.memory import GIB, disk, memory
from vlmgym.train.plan.taught import cut_shares
from vlmgym.train.questions import QuestionSource
from vlmgym.train.recipe import ColdStart, Recipe

SMALL_TILE = 24
"""Pixels of a tile below which a model of ordinary size (28-pixel units) can hardly tell shapes
apart.
"""


@dataclass(frozen=True)
class PlanProblem:
    """What a check found."""

    level: str  # "ok", "warning" or "error"
    what: str
    message: str

    def __str__(self) -> str:
        return f"{self.level:<8} {self.what}: {self.message}"


class _Problems(list[PlanProblem]):
    """A list that errors can be caught into, so that one does not hide the next."""

    def add(self, level: str, what: str, message: str) -> None:
        self.append(PlanProblem(level, what, message))

    @contextmanager
    def catch(self, what: str) -> Iterator[None]:
        try:
            yield
        except (VlmGymError, OSError, ValueError, KeyError, RuntimeError, ImportError) as error:
            self.add("error", what, first_words(error))


def check(recipe: Recipe, out: Path) -> list[PlanProblem]:
    """Try everything that a run names, in seconds and without training; all problems are collected.

    No game is dealt, and nothing is compiled, unless the run replays a trace, whose states are
    read.

    Args:
        recipe: what is to be run.
        out: its folder.
    """
    problems = _Problems()
    packages = {
        "train": [*TRAINING, *(["peft"] if recipe.lora else [])],
        "gpu": list(OPTIMIZERS[recipe.compute.optimizer][1]),
    }
    packages["vllm"] = ["vllm"] if recipe.grpo and recipe.grpo.use_vllm else []
    for extra, modules in packages.items():
        with problems.catch("packages"):
            need(extra, *modules)
    model: Architecture | None = None
    with problems.catch("architecture"):
        model = architecture(recipe.model)
        problems.add(
            "ok", "architecture", f"{model.family}, {short_count(model.parameters)} parameters"
        )
    processor = None
    with problems.catch("model"):
        processor = load_processor(recipe.model)
        problems.add("ok", "model", f"{recipe.model}: configuration and processor are there")
    for number, _ in enumerate(recipe.tasks):
        with problems.catch(f"tasks.{number}"):
            _check_task(problems, recipe, number, model, processor)
    with problems.catch("states"):
        QuestionSource(recipe.tasks, recipe.states, recipe.curriculum)
    _check_settings(problems, recipe)
    if processor is not None and recipe.cold_start is not None:
        with problems.catch("cold_start"):
            _check_answers(problems, recipe, recipe.cold_start, processor)
    if model is not None:
        _check_disk(problems, recipe, model, out)
        # their prompts are counted
        if not any(f.level == "error" and f.what.startswith("tasks.") for f in problems):
            _check_memory(problems, recipe, model)
    return problems


def _check_task(
    problems: _Problems, recipe: Recipe, number: int, model: Architecture | None, processor: Any
) -> None:
    """One task: let the model's processor have its prompt, and a picture of the size of its
    frames.
    """
    task = recipe.tasks[number]
    what = f"tasks.{number}"
    game = task.game
    level = task.level
    look = task.look
    photos.check(game, level, look)
    height, width = frame_size(game, level, look)
    picture = Image.new("RGB", (width, height))
    boxes = tile_boxes(game, level, look)
    tile = int((boxes[..., 2] - boxes[..., 0]).min()) if boxes.size else 0
    if tile and tile < SMALL_TILE and look.tile >= SMALL_TILE:
        problems.add(
            "warning",
            what,
            f"tiles of {tile} pixels are small: a larger width and height, or a smaller board",
        )
    tokens, resized = _prompted(task, picture, model, processor)
    size = (
        f"{task.names.game} {task.names.level}: frames of {width} x {height} pixels, tiles of "
        f"{tile}, prompts of {tokens} tokens"
    )
    if resized:
        problems.add(
            "warning",
            what,
            f"{size}; the model's processor resizes these frames: what is "
            "drawn is not what is seen",
        )
    else:
        problems.add(
            "ok",
            what,
            size
            + (
                ", not resized"
                if resized is False
                else ("; whether they are resized is not checked")
            ),
        )
    if recipe.grpo and model and tokens + recipe.grpo.max_new_tokens > model.positions:
        most = (
            f"{tokens} + grpo.max_new_tokens = {recipe.grpo.max_new_tokens} tokens: the model "
            f"has {model.positions} positions"
        )
        problems.add("error", what, most)


def _prompted(
    task: Task, picture: Image.Image, model: Architecture | None, processor: Any
) -> tuple[int, bool | None]:
    """Tokens of a task's prompt, and whether its frames are resized: as the processor has it, or
    else estimated; 0 and None where the model is not known.
    """
    if model is None:
        return 0, None
    width, height = picture.size
    text = prompt.prompt_text(task.game, task.level, task.prompt, blocks=task.blocks)
    if processor is None:
        tokens = model.tokens(height, width) + round(len(text) / LETTERS)
        return tokens, model.resizes(height, width)
    ask = processor.apply_chat_template(prompt.messages(text), add_generation_prompt=True)
    given = processor(text=[ask], images=[picture], return_tensors="pt")
    if "image_grid_thw" in given:
        seen = tuple(int(count) * model.patch for count in given["image_grid_thw"][0][1:])
    else:
        seen = tuple(given["pixel_values"].shape[-2:])
    return given["input_ids"].shape[1], seen != (height, width)


def _check_answers(problems: _Problems, recipe: Recipe, cold: ColdStart, processor: Any) -> None:
    """What the taught answers take at least, by the tokenizer: they should fit into those that GRPO
    allows.

    That is the description of the board. With the reasoning they are longer; they are counted when
    they are written.
    """
    limit = recipe.grpo.max_new_tokens if recipe.grpo else 0
    known = cut_shares(recipe, limit) if limit and cold.player == "teacher" else {}
    for number, task in enumerate(recipe.tasks):
        game = task.game
        level = task.level
        scene = game.sample(level)
        _, rows, cols = scene.symbols.shape
        board = [[min(scene.names, key=len)] * cols for _ in range(rows)] if rows else [[NO_TRUTH]]
        least = len(
            processor.tokenizer(described(board, task.prompt), add_special_tokens=False)[
                "input_ids"
            ]
        )
        asked = f"{task.names.game} {task.names.level}"
        size = f"{asked}: answers that are taught have at least {least} tokens"
        share = (
            known.get(f"taught answers cut, {task.names.game}", "none")
            if task.names.level.startswith("paper")
            else "none"
        )
        if limit and least > limit:
            size += (
                f"; none fits into grpo.max_new_tokens = {limit}, so GRPO would cut off what "
                "was taught"
            )
        elif share != "none":
            size += (
                f"; {share} do not fit into grpo.max_new_tokens = {limit}, so GRPO would cut "
                "off what was taught"
            )
        problems.add("ok" if size.endswith("tokens") else "warning", f"cold_start.{number}", size)


def _check_settings(problems: _Problems, recipe: Recipe) -> None:
    """What each setting allows and a run as a whole may not mean."""
    grpo = recipe.grpo
    world = max(number_in_environment("WORLD_SIZE", 1, 100_000), 1)
    if grpo is not None:
        answers = (
            f"{grpo.batch} x {world} = {grpo.batch * world} answers to "
            f"{grpo.batch * world // grpo.group} states a step"
        )
        problems.add(
            "ok",
            "batch",
            f"{answers}, in micro-batches of {grpo.batch // grpo.accumulate} a process",
        )
        if recipe.lora and grpo.lr < 5e-6:
            problems.add(
                "warning",
                "grpo.lr",
                f"{grpo.lr:g}: adapters want about ten times the rate of full training, 1e-5",
            )
    if recipe.compute.weights == "bfloat16" and recipe.lora is None:
        message = (
            "bfloat16 alone loses updates smaller than 1/256 of a weight: float32 with bf16: "
            "true, or lora"
        )
        problems.add("warning", "compute.weights", message)


def _check_disk(problems: _Problems, recipe: Recipe, model: Architecture, out: Path) -> None:
    """What the run writes against what is free."""
    there = next(path for path in (out.absolute(), *out.absolute().parents) if path.exists())
    free = shutil.disk_usage(there).free
    wanted = sum(disk(recipe, model).values())
    level = "ok" if wanted < free else "error"
    problems.add(
        level,
        "disk",
        f"{wanted / GIB:.1f} GiB are written, {free / GIB:.1f} GiB are free at {there}",
    )


def _check_memory(problems: _Problems, recipe: Recipe, model: Architecture) -> None:
    """The memory of this machine and of its GPU against what is needed of them."""
    import torch

    world = max(number_in_environment("WORLD_SIZE", 1, 100_000), 1)
    local = max(number_in_environment("LOCAL_WORLD_SIZE", world, 100_000), 1)
    sharded = (
        os.environ.get("ACCELERATE_USE_FSDP") == "true"
        or os.environ.get("ACCELERATE_USE_DEEPSPEED") == "true"
    )
    needed = memory(recipe, model, world, sharded)
    there_is = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    host = needed.host * local / world
    level = "ok" if host < there_is else "error"
    problems.add(
        level, "host", f"{host / GIB:.1f} GiB to load the model, {there_is / GIB:.1f} GiB of memory"
    )
    tight = needed.tightest
    use = f"{tight.total / GIB:.1f} GiB a device in {tight.stage} {tight.name} (estimated)"
    if recipe.compute.device == "cpu" or not torch.cuda.is_available():
        problems.add("ok", "memory", f"{use}; no GPU to compare with")
        return
    total = torch.cuda.get_device_properties(0).total_memory
    problems.add(
        "ok" if tight.total < total else "error",
        "memory",
        f"{use}, the GPU has {total / GIB:.1f} GiB",
    )
