"""Before a run: whether all that it names is there, how it is started, and what it needs on which
hardware.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from PIL import Image

from vlmgym.core import ConfigError, VlmGymError, need
from vlmgym.core.config import find, overlays, read_file
from vlmgym.core.kernels import number_in_environment
from vlmgym.dialogue import prompt
from vlmgym.models.loading import TINY, TRAINING, first_words, load_processor
from vlmgym.render import photos
from vlmgym.render.frames import frame_size, tile_boxes
from vlmgym.train.cold_start import cold_start_rows
from vlmgym.train.compute import OPTIMIZERS
from vlmgym.train.grpo import run_grpo
from vlmgym.train.plan.memory import (
    GIB,
    LETTERS,
    TAUGHT,
    Architecture,
    architecture,
    disk,
    longest_answer,
    memory,
)
from vlmgym.train.plan.speed import CARDS, LAUNCH, MEAN, READ, USE, Card, Speed, speed
from vlmgym.train.questions import QuestionSource
from vlmgym.train.recipe import ColdStart, Recipe
from vlmgym.train.sft import run_sft

SMALL_TILE = 24
"""Pixels of a tile below which a model of ordinary size (28-pixel units) can hardly tell shapes
apart.
"""


# ---- checking
@dataclass(frozen=True)
class PlanProblem:
    """What a check found."""

    level: str  # "ok", "warning" or "error"
    what: str
    message: str

    def __str__(self) -> str:
        return f"{self.level:<8} {self.what}: {self.message}"


class _Findings(list[PlanProblem]):
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
    found = _Findings()
    packages = {
        "train": [*TRAINING, *(["peft"] if recipe.lora else [])],
        "gpu": list(OPTIMIZERS[recipe.compute.optimizer][1]),
    }
    packages["vllm"] = ["vllm"] if recipe.grpo and recipe.grpo.use_vllm else []
    for extra, modules in packages.items():
        with found.catch("packages"):
            need(extra, *modules)
    model: Architecture | None = None
    with found.catch("architecture"):
        model = architecture(recipe.model)
        found.add("ok", "architecture", f"{model.family}, {_count(model.parameters)} parameters")
    processor = None
    with found.catch("model"):
        processor = load_processor(recipe.model)
        found.add("ok", "model", f"{recipe.model}: configuration and processor are there")
    for number, _ in enumerate(recipe.tasks):
        with found.catch(f"tasks.{number}"):
            _check_task(found, recipe, number, model, processor)
    with found.catch("states"):
        QuestionSource(recipe.tasks, recipe.states, recipe.curriculum)
    _check_settings(found, recipe)
    if processor is not None and recipe.cold_start is not None:
        with found.catch("cold_start"):
            _check_answers(found, recipe, recipe.cold_start, processor)
    if model is not None:
        _check_disk(found, recipe, model, out)
        # their prompts are counted
        if not any(f.level == "error" and f.what.startswith("tasks.") for f in found):
            _check_memory(found, recipe, model)
    return found


def _check_task(
    found: _Findings, recipe: Recipe, number: int, model: Architecture | None, processor: Any
) -> None:
    """One task: let the model's processor have its prompt, and a picture of the size of its
    frames.
    """
    task, what = recipe.tasks[number], f"tasks.{number}"
    game = task.game
    level = task.level
    look = task.look
    photos.check(game, level, look)
    height, width = frame_size(game, level, look)
    picture = Image.new("RGB", (width, height))
    boxes = tile_boxes(game, level, look)
    tile = int((boxes[..., 2] - boxes[..., 0]).min()) if boxes.size else 0
    if tile and tile < SMALL_TILE and look.tile >= SMALL_TILE:
        found.add(
            "warning",
            what,
            f"tiles of {tile} pixels are small: a larger width and height, or a smaller board",
        )
    text = prompt.prompt_text(game, level, task.prompt, blocks=task.blocks)
    resized: bool | None = model.resizes(height, width) if model else None
    tokens = model.tokens(height, width) + round(len(text) / LETTERS) if model else 0
    if processor is not None and model is not None:
        ask = processor.apply_chat_template(prompt.messages(text), add_generation_prompt=True)
        given = processor(text=[ask], images=[picture], return_tensors="pt")
        tokens = given["input_ids"].shape[1]
        if "image_grid_thw" in given:
            seen = tuple(int(n) * model.patch for n in given["image_grid_thw"][0][1:])
        else:
            seen = tuple(given["pixel_values"].shape[-2:])
        resized = seen != (height, width)
    size = (
        f"{task.names.game} {task.names.level}: frames of {width} x {height} pixels, tiles of "
        f"{tile}, prompts of {tokens} tokens"
    )
    if resized:
        found.add(
            "warning",
            what,
            f"{size}; the model's processor resizes these frames: what is "
            "drawn is not what is seen",
        )
    else:
        found.add(
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
        found.add("error", what, most)


def _check_answers(found: _Findings, recipe: Recipe, cold: ColdStart, processor: Any) -> None:
    """What the taught answers take at least, by the tokenizer: they should fit into those that GRPO
    allows.

    That is the description of the board. With the reasoning they are longer; they are counted when
    they are written.
    """
    limit = recipe.grpo.max_new_tokens if recipe.grpo else 0
    known = _cut(recipe, limit) if limit and cold.player == "teacher" else {}
    for number, task in enumerate(recipe.tasks):
        game = task.game
        level = task.level
        scene = game.sample(level)
        _, rows, cols = scene.symbols.shape
        board = (
            [[min(scene.names, key=len)] * cols for _ in range(rows)]
            if rows
            else [[prompt.NO_TRUTH]]
        )
        least = len(
            processor.tokenizer(prompt.described(board, task.prompt), add_special_tokens=False)[
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
        found.add("ok" if size.endswith("tokens") else "warning", f"cold_start.{number}", size)


def _check_settings(found: _Findings, recipe: Recipe) -> None:
    """What each setting allows and a run as a whole may not mean."""
    grpo, world = recipe.grpo, max(number_in_environment("WORLD_SIZE", 1, 100_000), 1)
    if grpo is not None:
        answers = (
            f"{grpo.batch} x {world} = {grpo.batch * world} answers to "
            f"{grpo.batch * world // grpo.group} states a step"
        )
        found.add(
            "ok",
            "batch",
            f"{answers}, in micro-batches of {grpo.batch // grpo.accumulate} a process",
        )
        if recipe.lora and grpo.lr < 5e-6:
            found.add(
                "warning",
                "grpo.lr",
                f"{grpo.lr:g}: adapters want about ten times the rate of full training, 1e-5",
            )
    if recipe.compute.weights == "bfloat16" and recipe.lora is None:
        message = (
            "bfloat16 alone loses updates smaller than 1/256 of a weight: float32 with bf16: "
            "true, or lora"
        )
        found.add("warning", "compute.weights", message)


def _check_disk(found: _Findings, recipe: Recipe, model: Architecture, out: Path) -> None:
    """What the run writes against what is free."""
    there = next(path for path in (out.absolute(), *out.absolute().parents) if path.exists())
    free, wanted = shutil.disk_usage(there).free, sum(disk(recipe, model).values())
    level = "ok" if wanted < free else "error"
    found.add(
        level,
        "disk",
        f"{wanted / GIB:.1f} GiB are written, {free / GIB:.1f} GiB are free at {there}",
    )


def _check_memory(found: _Findings, recipe: Recipe, model: Architecture) -> None:
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
    found.add(
        level, "host", f"{host / GIB:.1f} GiB to load the model, {there_is / GIB:.1f} GiB of memory"
    )
    tight = needed.tightest
    use = f"{tight.total / GIB:.1f} GiB a device in {tight.stage} {tight.name} (estimated)"
    if recipe.compute.device == "cpu" or not torch.cuda.is_available():
        found.add("ok", "memory", f"{use}; no GPU to compare with")
        return
    total = torch.cuda.get_device_properties(0).total_memory
    found.add(
        "ok" if tight.total < total else "error",
        "memory",
        f"{use}, the GPU has {total / GIB:.1f} GiB",
    )


# ---- starting
FSDP = "examples/cluster/fsdp2.yaml"


def launch_lines(
    name: str,
    on: str = "",
    shared: str = "",
    gpus: int = 8,
    nodes: int = 4,
    model: Architecture | None = None,
) -> list[tuple[str, str]]:
    """How a recipe is started on machines of all sizes, as (title, shell text); what is fastest
    comes first.

    Args:
        name: of the recipe.
        on: overlay where each GPU has a whole model, such as ``1x80gb``.
        shared: overlay where the model is shared out, such as ``8x80gb``.
        gpus: of each machine.
        nodes: machines.
        model: the sizes of the recipe's model. With them vLLM generates where Transformers would
            take most of the time.
    """
    recipe = Recipe.parse(read_file("recipe", find("recipe", name)))
    out = f"--out runs/{Path(name).stem}"
    start = f"train {name} {out}"
    whole, part = (f"{start} --on {overlay}" if overlay else start for overlay in (on, shared))

    def parts(devices: int) -> str:
        """The overrides that keep the answers of a step as many as on one device."""
        grpo = recipe.grpo
        if grpo is None or grpo.batch % (grpo.group * devices):
            return ""
        groups, micro = (
            grpo.batch // devices // grpo.group,
            max(1, grpo.batch // grpo.accumulate // grpo.group),
        )
        size = max(n for n in range(1, groups + 1) if groups % n == 0 and n <= micro)
        return f" --set grpo.batch={groups * grpo.group} --set grpo.accumulate={groups // size}"

    half = gpus // 2
    trained, served = ",".join(map(str, range(half))), ",".join(map(str, range(half, gpus)))
    rendezvous = (
        f"--nnodes {nodes} --nproc_per_node {gpus} --rdzv_backend c10d --rdzv_id vlmgym "
        "--rdzv_endpoint $HEAD:29500"
    )
    alone, apart = _told(name, on, model, "colocate"), _told(name, shared, model, "server")
    beside = " --set grpo.use_vllm=true --set grpo.vllm_mode=colocate" if alone else ""
    lines = [
        (f"one process{alone}", f"vlmgym {whole}{beside}"),
        *(
            [
                (
                    "one process, Transformers generates (the extra vllm is not needed)",
                    f"vlmgym {whole}",
                )
            ]
            if alone
            else []
        ),
        (
            f"one machine, {gpus} GPUs, a whole model on each (LoRA)",
            f"torchrun --standalone --nproc_per_node {gpus} -m vlmgym {whole}{beside}{parts(gpus)}",
        ),
        (
            f"one machine, {gpus} GPUs, the model shared out (full training)",
            f"accelerate launch --config_file {FSDP} --num_processes {gpus} -m vlmgym "
            f"{part}{parts(gpus)}",
        ),
        (
            f"{nodes} machines, a whole model on each GPU ($HEAD: one of them)",
            f"srun --nodes {nodes} --ntasks-per-node 1 torchrun {rendezvous} -m vlmgym "
            f"{whole}{beside}{parts(nodes * gpus)}",
        ),
    ]
    if recipe.model == TINY:  # no engine knows it by that name, and one process trains it
        return lines
    server = [
        (
            f"{half} GPUs train, {gpus - half} generate{apart}: first the server",
            f"CUDA_VISIBLE_DEVICES={served} VLLM_SERVER_DEV_MODE=1 vllm serve {recipe.model} "
            f"--tensor-parallel-size {gpus - half} --generation-config vllm "
            """--weight-transfer-config '{"backend": "nccl"}' --logprobs-mode processed_logprobs""",
        ),
        (
            "... then the trainer",
            f"CUDA_VISIBLE_DEVICES={trained} accelerate launch --config_file {FSDP} "
            f"--num_processes {half} -m vlmgym {part}"
            f"{parts(half)} --set grpo.use_vllm=true --set grpo.vllm_mode=server",
        ),
    ]
    at = (
        next(number for number, (_, text) in enumerate(lines) if text.startswith("accelerate"))
        if apart
        else len(lines)
    )
    return [
        *lines[:at],
        *server,
        *lines[at:],
        *(
            [("clusters, verl: first the cold start", f"vlmgym {whole} --set grpo=null")]
            if recipe.cold_start
            else []
        ),
        (
            "clusters, verl: several machines generate",
            f"vlmgym {start} --engine verl --nodes {nodes} --gpus {gpus}",
        ),
    ]


def _told(name: str, on: str, model: Architecture | None, mode: str) -> str:
    """Why vLLM is to generate in this mode for a recipe on a kind of hardware, as part of a title;
    empty where it is not.
    """
    if model is None or not _card(on):
        return ""
    try:
        one = _speed(Recipe.parse(read_file("recipe", find("recipe", name), (), [on])), model, on)
    except ConfigError:  # the overlay does not suit the recipe: said where its column is
        return ""
    if not one or not one.wants_vllm or one.mode != mode:
        return ""
    slow, fast = _hours(one.hours), _hours(one.vllm_hours)
    return (
        f", vLLM generates (without it {one.generating:.0%} of the time, {slow} hours instead "
        f"of {fast}; estimated)"
    )


def _card(on: str) -> Card | None:
    """The card that an overlay's name stands for, where it is known."""
    match = re.fullmatch(r"\d+x(\d+)gb", on)
    return CARDS.get(int(match[1])) if match else None


def _speed(recipe: Recipe, model: Architecture, on: str) -> Speed | None:
    """How long a recipe takes on a kind of hardware, where its card is known."""
    card = _card(on)
    count, room = hardware(on) if card else (1, 0.0)
    return speed(recipe, model, card, count, room) if card else None


def _hours(hours: float) -> str:
    """An estimate with no more digits than it has."""
    return f"{hours:.0f}" if hours >= 10 else f"{hours:.2g}"


# ---- reporting
def devices(overlay: str) -> int:
    """Devices that an overlay is for, by its name; 1 where the name does not say."""
    match = re.fullmatch(r"(\d+)x\d+gb", overlay)
    return int(match[1]) if match else 1


def hardware(overlay: str) -> tuple[int, float]:
    """Devices and bytes of each that an overlay's name stands for: ``8x80gb``.

    Drivers keep about 2 %.
    """
    match = re.fullmatch(r"(\d+)x(\d+)gb", overlay)
    if match is None:
        raise ConfigError("on", overlay, "a name such as 8x80gb")
    return int(match[1]), int(match[2]) * GIB * 0.98


def report(name: str, overrides: Sequence[str] = ()) -> str:
    """What a recipe needs on each kind of hardware, and how it is started, as plain text.

    Args:
        name: of the recipe, or its path.
        overrides: ``field=value``.

    Raises:
        ConfigError: as for the recipe and its sources of states, or a model of unknown size.
        TraceError, FileError: a replay's trace that cannot be read.
    """
    path = find("recipe", name)
    plain = Recipe.parse(read_file("recipe", path, overrides))
    # traces and ladders that it names are there
    QuestionSource(plain.tasks, plain.states, plain.curriculum)
    model = architecture(plain.model)
    columns, refused = {"as it is": _column(plain, model, "")}, []
    for on in overlays("recipe"):
        try:
            columns[on] = _column(
                Recipe.parse(read_file("recipe", path, overrides, [on])), model, on
            )
        except ConfigError as error:
            refused.append(f"{on}: {error}")
    sections = zip(*columns.values(), strict=True)
    keys = [list(dict.fromkeys(key for part in section for key in part)) for section in sections]
    wide = max(len(key) for section in keys for key in section) + 2
    sizes = ", ".join(f"{part} {_count(count)}" for part, count in model.parts.items())
    patches, asked = model.positions_of(plain)
    lines = [f"{name}: {model.name}, {_count(model.parameters)} parameters ({sizes})"]
    lines += [
        f"prompts of about {asked} tokens, {patches // model.merge**2} of them the picture",
        "",
    ]
    lines.append(" " * wide + "".join(f"{on:>18}" for on in columns))
    for number, section in enumerate(keys):
        lines += [
            f"{key:<{wide}}"
            + "".join(f"{one[number].get(key, ''):>18}" for one in columns.values())
            for key in section
        ]
        lines.append("")
    lines += [*refused, ""] if refused else []
    whole, part = (on if on in columns else "" for on in ("1x80gb", "8x80gb"))
    lines += _about(columns)
    for title, text in launch_lines(name, whole, part, model=model):
        lines += [f"# {title}", text]
    return "\n".join(lines) + "\n"


def _count(parameters: int) -> str:
    return f"{parameters / 1e9:.2f} B" if parameters >= 1e8 else f"{parameters / 1e6:.2f} M"


def _column(recipe: Recipe, model: Architecture, on: str) -> tuple[dict[str, str], ...]:
    """A recipe on one kind of hardware: how it is trained, GiB of each phase, the tightest by part,
    whether it fits, hours.
    """
    devices, room = hardware(on) if on else (1, 0.0)
    sharded = devices > 1 and recipe.lora is None
    needed = memory(recipe, model, devices, sharded)
    tight, compute, grpo = needed.tightest, recipe.compute, recipe.grpo
    how = {
        "training": f"LoRA {recipe.lora.rank}"
        if recipe.lora
        else "full, shared out"
        if sharded
        else "full",
        "weights": compute.weights,
        "optimiser": compute.optimizer,
    }
    if grpo is not None:
        how["answers a step"] = f"{grpo.batch * devices} of {grpo.max_new_tokens}"
        how["micro-batch"] = str(grpo.batch // grpo.accumulate)
        if recipe.cold_start is not None:
            how |= _cut(recipe, grpo.max_new_tokens)
    phases = {f"GiB, {phase.stage} {phase.name}": _gib(phase.total) for phase in needed.phases}
    parts = {f"  {part}": _gib(size) for part, size in tight.parts.items() if size >= 0.05 * GIB}
    verdict = (
        {"GiB of a device": _gib(room), "fits": "yes" if tight.total <= room else "NO"}
        if room
        else {}
    )
    if room and grpo is not None:
        verdict["longest answers that fit"] = str(longest_answer(recipe, model, devices, room))
    verdict |= {
        "GiB of the host": _gib(needed.host),
        "GiB on disk": _gib(sum(needed.disk.values())),
    }
    return (
        how,
        phases,
        {"tightest": f"{tight.stage} {tight.name}", **parts},
        verdict,
        _times(_speed(recipe, model, on)),
    )


def _cut(recipe: Recipe, limit: int) -> dict[str, str]:
    """Of the teacher's answers, as counted once (:data:`vlmgym.train.plan.memory.TAUGHT`): the
    share longer than a limit, by game.
    """
    cut = {}
    for game in dict.fromkeys(task.names.game for task in recipe.tasks):
        if game in TAUGHT and any(
            task.names.game == game and task.names.level.startswith("paper")
            for task in recipe.tasks
        ):
            share = next((share for tokens, share in TAUGHT[game] if tokens <= limit), 1.0)
            cut[f"taught answers cut, {game}"] = f"<= {share:.1%}" if share else "none"
    return cut


def _times(one: Speed | None) -> dict[str, str]:
    """Hours and tokens a second, estimated."""
    if one is None:
        return {}
    run = {
        "hours (estimate)": _hours(one.hours),
        "  cold start": _hours(one.cold / 3600) if one.cold else "",
    }
    if not one.steps:
        return run
    hours, fits = one.steps / 3600, bool(one.mode)
    return {
        **run,
        "  generation": _hours(hours * one.generation),
        "  update": _hours(hours * one.update),
        "hours with vLLM (estimate)": f"{_hours(one.vllm_hours)} {one.mode}"
        if fits
        else "does not fit",
        "  generation by vLLM": _hours(hours * one.vllm_generation) if fits else "",
        "  update beside it": _hours(hours * one.vllm_update) if fits else "",
        "tokens/s, generation": f"{one.answered / one.generation:.0f}",
        "tokens/s, by vLLM": f"{one.answered / one.vllm_generation:.0f}" if fits else "",
        "tokens/s, update": f"{one.trained / one.update:.0f}",
    }


def _about(columns: Iterable[str]) -> list[str]:
    """What the hours rest on."""
    cards = {card.name: card for on in columns if (card := _card(on))}
    sheets = "; ".join(
        (f"{one.name} {one.bandwidth / 1e12:g} TB/s, {one.operations / 1e12:g} TFLOP/s")
        for one in cards.values()
    )
    launch = f"{LAUNCH * 1e3:g} ms a layer and token without vLLM"
    lines = [
        "hours: arithmetic, confirmed by no GPU run; evaluation and padding are left out "
        "(formulas: vlmgym/train/speed.py)",
        f"from data sheets: {sheets}",
        f"assumed: {launch}, {READ:.0%} of the bandwidth, {USE:.0%} of the operations, answers of "
        f"{MEAN:.0%} of their limit on",
        "average; without vLLM every batch waits for an answer that reaches the limit",
        "",
    ]
    return lines if cards else []


def _gib(size: float) -> str:
    return f"{size / GIB:.1f}"


# ---- measuring
def measure(recipe: Recipe, out: Path) -> dict[str, dict[str, int]]:
    """Run one step of each stage and count the bytes that are really there, to hold against
    :func:`memory`.

    Args:
        recipe: what is run; its model must be ``tiny``, a folder, or downloaded.
        out: folder for checkpoints, which are not written.

    Returns:
        By stage: bytes of ``weights``, ``adapters``, ``reference``, ``gradients`` and ``optimiser
        states``, and on a GPU the ``peak`` that PyTorch reports.
    """
    import torch
    from transformers import TrainerCallback

    gradients: list[int] = []
    gpu = recipe.compute.device != "cpu" and torch.cuda.is_available()

    class Look(TrainerCallback):  # type: ignore[misc]
        def on_pre_optimizer_step(
            self, args: Any, state: Any, control: Any, model: Any = None, **_: Any
        ) -> None:
            gradients.append(sum(w.grad.nbytes for w in model.parameters() if w.grad is not None))

    def count(trainer: Any) -> dict[str, int]:
        weights, reference = (
            list(trainer.model.named_parameters()),
            getattr(trainer, "ref_model", None),
        )
        states = [
            value
            for state in trainer.optimizer.state.values()
            for value in state.values()
            if torch.is_tensor(value)
        ]
        sizes = {
            "weights": sum(w.nbytes for name, w in weights if ".lora_" not in name),
            "adapters": sum(w.nbytes for name, w in weights if ".lora_" in name),
            "reference": sum(w.nbytes for w in reference.parameters())
            if reference is not None
            else 0,
            "gradients": gradients[-1],
            # not the counters of steps
            "optimiser states": sum(t.nbytes for t in states if t.numel() > 1),
        }
        return sizes | ({"peak": torch.cuda.max_memory_allocated()} if gpu else {})

    def load() -> tuple[Any, Any]:
        if gpu:
            torch.cuda.reset_peak_memory_stats()
        return recipe.compute.load(recipe.model)

    found = {}
    cold, grpo = recipe.cold_start, recipe.grpo
    if cold is not None:
        few = -(-recipe.sft.batch * recipe.sft.accumulate // len(recipe.tasks))
        sft = replace(recipe.sft, steps=1, save_every=2)
        rows = cold_start_rows(recipe.tasks, replace(cold, states=few))
        found["sft"] = count(
            run_sft(*load(), rows, out / "sft", sft, recipe.compute, [Look()], recipe.lora)
        )
    if grpo is not None:
        # so that there is a step
        grpo = replace(grpo, steps=1, save_every=2 * grpo.epochs_per_batch, drop_equal=False)
        model, processor = load()
        trainer = run_grpo(
            model,
            processor,
            recipe.tasks,
            out / "grpo",
            grpo,
            recipe.reward,
            recipe.compute,
            [Look()],
            lora=recipe.lora,
        )
        found["grpo"] = count(trainer)
    return found
