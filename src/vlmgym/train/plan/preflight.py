"""Before a run: whether all that it names is there, and fits."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
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
    what: str  # field of the recipe, or part of the machine
    message: str

    def __str__(self) -> str:
        return f"{self.level:<8} {self.what}: {self.message}"


class _Problems(list[PlanProblem]):
    """A list that errors can be caught into, so that one does not hide the next."""

    def add(self, level: str, name: str, message: str) -> None:
        self.append(PlanProblem(level, name, message))

    @contextmanager
    def catch(self, name: str) -> Iterator[None]:
        try:
            yield
        except (VlmGymError, OSError, ValueError, KeyError, RuntimeError, ImportError) as error:
            self.add("error", name, first_words(error))

    def any_error_in(self, prefix: str) -> bool:
        """Whether there is an error in what begins with a prefix."""
        return any(problem.level == "error" and problem.what.startswith(prefix) for problem in self)


def check(recipe: Recipe, out: Path) -> list[PlanProblem]:
    """Try everything that a run names, in seconds and without training; all problems are collected.

    No game is dealt, and nothing is compiled, unless the run replays a trace, whose states are
    read.

    Args:
        recipe: what is to be run.
        out: its folder.
    """
    problems = _Problems()
    _check_packages(problems, recipe)
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
        if not problems.any_error_in("tasks."):  # their prompts are counted
            _check_memory(problems, recipe, model)
    return problems


def _check_packages(problems: _Problems, recipe: Recipe) -> None:
    """The packages of each extra that the run needs."""
    with_vllm = recipe.grpo is not None and recipe.grpo.use_vllm
    packages = {
        "train": [*TRAINING, *(["peft"] if recipe.lora else [])],
        "gpu": list(OPTIMIZERS[recipe.compute.optimizer][1]),
        "vllm": ["vllm"] if with_vllm else [],
    }
    for extra, modules in packages.items():
        with problems.catch("packages"):
            need(extra, *modules)


def _check_task(
    problems: _Problems, recipe: Recipe, number: int, model: Architecture | None, processor: Any
) -> None:
    """One task: let the model's processor have its prompt, and a picture of the size of its
    frames.
    """
    task = recipe.tasks[number]
    name = f"tasks.{number}"
    photos.check(task.game, task.level, task.look)
    height, width = frame_size(task.game, task.level, task.look)
    tile = _tile_of(task)
    if 0 < tile < SMALL_TILE <= task.look.tile:
        message = f"tiles of {tile} pixels are small: a larger width and height, or a smaller board"
        problems.add("warning", name, message)
    tokens, resized = _prompted(task, Image.new("RGB", (width, height)), model, processor)
    sizes = (
        f"{task.names.game} {task.names.level}: frames of {width} x {height} pixels, tiles of "
        f"{tile}, prompts of {tokens} tokens"
    )
    level, message = RESIZING[resized]
    problems.add(level, name, sizes + message)
    limit = recipe.grpo.max_new_tokens if recipe.grpo else 0
    if limit and model and tokens + limit > model.positions:
        message = (
            f"{tokens} + grpo.max_new_tokens = {limit} tokens: the model "
            f"has {model.positions} positions"
        )
        problems.add("error", name, message)


RESIZING: Mapping[bool | None, tuple[str, str]] = MappingProxyType(
    {
        True: (
            "warning",
            "; the model's processor resizes these frames: what is drawn is not what is seen",
        ),
        False: ("ok", ", not resized"),
        None: ("ok", "; whether they are resized is not checked"),
    }
)
"""Level and message by whether the processor resizes frames."""


def _tile_of(task: Task) -> int:
    """Pixels of the narrowest tile of a task; 0 without tiles."""
    boxes = tile_boxes(task.game, task.level, task.look)
    return int((boxes[..., 2] - boxes[..., 0]).min()) if boxes.size else 0


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
    chat = processor.apply_chat_template(prompt.messages(text), add_generation_prompt=True)
    inputs = processor(text=[chat], images=[picture], return_tensors="pt")
    if "image_grid_thw" in inputs:
        patches = inputs["image_grid_thw"][0][1:]
        seen = tuple(int(count) * model.patch for count in patches)
    else:
        seen = tuple(inputs["pixel_values"].shape[-2:])
    return inputs["input_ids"].shape[1], seen != (height, width)


def _check_answers(problems: _Problems, recipe: Recipe, cold: ColdStart, processor: Any) -> None:
    """What the taught answers take at least, by the tokenizer: they should fit into those that GRPO
    allows.

    That is the description of the board. With the reasoning they are longer; they are counted when
    they are written.
    """
    limit = recipe.grpo.max_new_tokens if recipe.grpo else 0
    shares = cut_shares(recipe, limit) if limit and cold.player == "teacher" else {}
    for number, task in enumerate(recipe.tasks):
        least = _least_tokens(task, processor)
        message = (
            f"{task.names.game} {task.names.level}: answers that are taught have at least "
            f"{least} tokens"
        )
        share = "none"
        if task.names.level.startswith("paper"):
            share = shares.get(f"taught answers cut, {task.names.game}", "none")
        do_not_fit = ""
        if limit and least > limit:
            do_not_fit = "none fits"
        elif share != "none":
            do_not_fit = f"{share} do not fit"
        if do_not_fit:
            message += (
                f"; {do_not_fit} into grpo.max_new_tokens = {limit}, so GRPO would cut off what "
                "was taught"
            )
        problems.add("warning" if do_not_fit else "ok", f"cold_start.{number}", message)


def _least_tokens(task: Task, processor: Any) -> int:
    """Tokens of the shortest description of a task's board."""
    scene = task.game.sample(task.level)
    _, rows, columns = scene.symbols.shape
    shortest_name = min(scene.names, key=len)
    board = [[shortest_name] * columns for _ in range(rows)] if rows else [[NO_TRUTH]]
    text = described(board, task.prompt)
    return len(processor.tokenizer(text, add_special_tokens=False)["input_ids"])


def _check_settings(problems: _Problems, recipe: Recipe) -> None:
    """What each setting allows and a run as a whole may not mean."""
    grpo = recipe.grpo
    processes = _processes()
    if grpo is not None:
        answers = grpo.batch * processes
        message = (
            f"{grpo.batch} x {processes} = {answers} answers to {answers // grpo.group} states a "
            f"step, in micro-batches of {grpo.rows // grpo.accumulate} a process"
        )
        branches = grpo.in_blocks
        if branches is not None:
            message += (
                f" (each state takes {branches.rows} rows: {branches.descriptions} descriptions, "
                f"{branches.answers} continuations)"
            )
        problems.add("ok", "batch", message)
        if recipe.lora and grpo.lr < 5e-6:
            message = f"{grpo.lr:g}: adapters want about ten times the rate of full training, 1e-5"
            problems.add("warning", "grpo.lr", message)
    if recipe.compute.weights == "bfloat16" and recipe.lora is None:
        message = (
            "bfloat16 alone loses updates smaller than 1/256 of a weight: float32 with bf16: "
            "true, or lora"
        )
        problems.add("warning", "compute.weights", message)


def _processes() -> int:
    """Processes of the run, on all machines."""
    return max(number_in_environment("WORLD_SIZE", 1, 100_000), 1)


def _check_disk(problems: _Problems, recipe: Recipe, model: Architecture, out: Path) -> None:
    """What the run writes against what is free."""
    absolute = out.absolute()
    folder = next(path for path in (absolute, *absolute.parents) if path.exists())
    free = shutil.disk_usage(folder).free
    needed = sum(disk(recipe, model).values())
    problems.add(
        "ok" if needed < free else "error",
        "disk",
        f"{needed / GIB:.1f} GiB are written, {free / GIB:.1f} GiB are free at {folder}",
    )


def _check_memory(problems: _Problems, recipe: Recipe, model: Architecture) -> None:
    """The memory of this machine and of its GPU against what is needed of them."""
    import torch

    processes = _processes()
    on_this_machine = max(number_in_environment("LOCAL_WORLD_SIZE", processes, 100_000), 1)
    sharding = ("ACCELERATE_USE_FSDP", "ACCELERATE_USE_DEEPSPEED")
    sharded = any(os.environ.get(name) == "true" for name in sharding)
    needed = memory(recipe, model, processes, sharded)
    host = needed.host * on_this_machine / processes
    physical = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    problems.add(
        "ok" if host < physical else "error",
        "host",
        f"{host / GIB:.1f} GiB to load the model, {physical / GIB:.1f} GiB of memory",
    )
    tightest = needed.tightest
    message = (
        f"{tightest.total / GIB:.1f} GiB a device in {tightest.stage} {tightest.name} (estimated)"
    )
    if recipe.compute.device == "cpu" or not torch.cuda.is_available():
        problems.add("ok", "memory", f"{message}; no GPU to compare with")
        return
    total = torch.cuda.get_device_properties(0).total_memory
    problems.add(
        "ok" if tightest.total < total else "error",
        "memory",
        f"{message}, the GPU has {total / GIB:.1f} GiB",
    )
