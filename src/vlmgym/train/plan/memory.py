"""What a run needs of memory and disk, by arithmetic: no model is loaded.

Weights, gradients and optimiser states are counted exactly, on the model's real classes;
activations follow Korthikanti et al. 2022 ("Reducing Activation Recomputation in Large Transformer
Models"), see :meth:`vlmgym.train.plan.architecture.Stack.saved`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

from vlmgym.train.plan.architecture import Architecture, Stack
from vlmgym.train.plan.taught import longest_board
from vlmgym.train.recipe import Recipe
from vlmgym.train.settings import GrpoSettings

GIB = 2**30
SLACK = 1.1
"""Factor on all that is allocated and freed within a step: what the caching allocator loses to
fragments.
"""
CONTEXT = GIB
"""Bytes of the CUDA context and of the workspaces of its libraries."""
TOKENS_AT_ONCE, WORDS_AT_ONCE = 4096, 32768
"""The tile of logits that TRL holds at once: it projects answer tokens on the vocabulary piece by
piece, also backward.
"""
PLAYED_AT_ONCE = 64
"""Answers that the evaluation during GRPO generates together, at most (``grpo.generate_batch``,
where that is less).
"""


@dataclass(frozen=True)
class Phase:
    """What is in a device's memory at one time of a run, in bytes by part."""

    stage: str  # "sft" or "grpo"
    name: str  # "generation", "update" or "optimiser"
    parts: Mapping[str, float]

    @property
    def total(self) -> float:
        """Bytes of all parts."""
        return sum(self.parts.values())


@dataclass(frozen=True)
class Memory:
    """What a run needs: of each device by phase, of the disk by part, and of the host's memory, in
    bytes.
    """

    phases: tuple[Phase, ...]
    disk: Mapping[str, float]
    host: float  # every process loads all weights before they go to its device or are shared out

    @property
    def tightest(self) -> Phase:
        """The phase that needs most."""
        return max(self.phases, key=lambda phase: phase.total)


def longest_answer(recipe: Recipe, model: Architecture, devices: int, room: float) -> int:
    """The largest ``grpo.max_new_tokens`` with which a recipe fits into devices of ``room`` bytes;
    0 where it never does.

    With several devices and no LoRA the model is shared out over them.
    """
    grpo = recipe.grpo
    if grpo is None:
        return 0

    def fits(limit: int) -> bool:
        longer = replace(recipe, grpo=replace(grpo, max_new_tokens=limit))
        return (
            memory(longer, model, devices, devices > 1 and recipe.lora is None).tightest.total
            <= room
        )

    low = 0
    high = min(1_000_000, max(1, model.positions - model.positions_of(recipe)[1])) + 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def memory(recipe: Recipe, model: Architecture, devices: int = 1, sharded: bool = False) -> Memory:
    """The arithmetic of a recipe; no model is loaded.

    Args:
        recipe: what is run.
        model: its sizes.
        devices: processes of the run, one a device.
        sharded: weights, gradients and optimiser states are shared out over the devices (FSDP,
            ZeRO-3); else each has all.
    """
    patches, asked = model.positions_of(recipe)
    spread = Spread(devices, devices if sharded else 1)
    static = _static(recipe, model)
    phases: list[Phase] = []
    if recipe.cold_start is not None:
        rows = recipe.sft.batch
        load = Load(rows, asked, asked + longest_board(recipe), patches, rows)
        phases += _training(recipe, model, "sft", static, spread, load)
    grpo = recipe.grpo
    if grpo is not None:
        without = recipe.lora or grpo.beta == 0
        static = static | {"reference": 0.0 if without else static["weights"]}
        length = asked + grpo.max_new_tokens
        if not grpo.use_vllm:
            count = _generated_at_once(recipe, grpo)
            load = Load(count, asked, length, patches, count)
            phases.append(_generation(recipe, model, static, spread, load))
        micro = grpo.batch // grpo.accumulate
        load = Load(micro, asked, length, patches * grpo.turns, grpo.batch * grpo.turns)
        phases += _training(recipe, model, "grpo", static, spread, load)
    merged = 4.0 * model.parameters if recipe.lora else 0.0  # with adapters, when a stage is saved
    paged = 2.0 * static["learning"] if recipe.compute.optimizer == "paged_adamw_8bit" else 0.0
    return Memory(
        tuple(phases),
        disk(recipe, model),
        max(devices * (static["weights"] + static["reference"]), paged, merged),
    )


class Spread(NamedTuple):
    """How a run lies on its devices."""

    devices: int  # processes, one a device
    shares: int  # parts into which weights, gradients and optimiser states are cut


class Load(NamedTuple):
    """What a device has to do at once."""

    rows: int
    asked: int  # tokens of a prompt
    length: int  # tokens of a prompt and its answer
    patches: int  # of the pictures of a row
    pictures: int  # rows whose pictures are held


def _generated_at_once(recipe: Recipe, grpo: GrpoSettings) -> int:
    """Answers that are generated together: those of a step, or of a check."""
    of_step = min(grpo.batch, grpo.generate_batch or grpo.batch)
    if not recipe.checks.every:
        return of_step
    limit = min(grpo.generate_batch or PLAYED_AT_ONCE, PLAYED_AT_ONCE)
    return max(of_step, min(limit, recipe.checks.states * len(recipe.tasks)))


def sizes_of(recipe: Recipe, shares: int = 1) -> tuple[int, int, int]:
    """Bytes of a kept weight, of a number in matrix products, and of one between layers.

    The last follows the embeddings, as they are kept, or as they are gathered from where they are
    shared out.
    """
    kept = 4 if recipe.compute.weights == "float32" else 2
    compute = 2 if recipe.compute.bf16 else kept
    return kept, compute, compute if shares > 1 else kept


def _static(recipe: Recipe, model: Architecture) -> dict[str, float]:
    """What is there as long as a stage runs; adapters, their gradients and states are float32."""
    kept, *_ = sizes_of(recipe)
    adapters = recipe.lora.rank * model.adapted if recipe.lora else 0
    learning = adapters or (model.parameters if recipe.compute.train_vision else model.unfrozen)
    width = 4 if recipe.lora else kept
    states = 2.0 * width * learning
    # two bytes and, for blocks of 256, two scales; embeddings stay in float32
    if recipe.compute.optimizer == "adamw_8bit":
        tables = 0 if recipe.lora else model.vocabulary * model.text.hidden
        states = (2 + 8 / 256) * (learning - tables) + 8.0 * tables
    elif recipe.compute.optimizer == "paged_adamw_8bit":
        states = 0.0  # in the host's memory, but for the pages in use
    return {
        "weights": float(kept * model.parameters),
        "adapters": 4.0 * adapters,
        "reference": 0.0,
        "gradients": float(width * learning),
        "optimiser states": states,
        "learning": float(learning),
    }


def _with_slack(held: Mapping[str, float], moving: Mapping[str, float]) -> dict[str, float]:
    """Parts of a phase: what stays as it is, what comes and goes with the allocator's loss, and the
    CUDA context.
    """
    lost = (SLACK - 1) * sum(moving.values())
    return {**held, **moving, "fragments": lost, "CUDA": CONTEXT}


def _gathered(recipe: Recipe, model: Architecture, shares: int) -> dict[str, float]:
    """The weights in bfloat16 that matrix products read.

    Under autocast every float32 weight that learns is cast at its first use, and the copy lives
    until the end of the forward pass, with gradients or without. Shared-out weights are gathered,
    in that format, two layers and the embeddings at a time.
    """
    kept, compute, _ = sizes_of(recipe)
    if shares > 1:
        layer = model.parts["language model"] / model.text.layers
        return {
            "gathered weights": compute
            * (2 * layer + model.parts["embeddings"] + model.parts["connector"])
        }
    table = model.vocabulary * model.text.hidden  # read by index, never multiplied
    learning = _static(recipe, model)["learning"] - (0 if recipe.lora else table)
    return {
        "weights cast": float(compute * learning)
        if compute < kept or (recipe.lora and compute == 2)
        else 0.0
    }


def _generation(
    recipe: Recipe,
    model: Architecture,
    static: Mapping[str, float],
    spread: Spread,
    load: Load,
) -> Phase:
    """The phase in which answers are generated."""
    names = ("weights", "adapters", "reference", "optimiser states")
    held = {name: static[name] / spread.shares for name in names}
    moving = _generating(recipe, model, load, spread.shares)
    moving |= _gathered(recipe, model, spread.shares)
    return Phase("grpo", "generation", _with_slack(held, moving))


def _generating(recipe: Recipe, model: Architecture, load: Load, shares: int) -> dict[str, float]:
    """What comes and goes in generation: the larger of reading the prompts and of writing the last
    token.

    TRL generates all answers of a device's batch together, so that the cache grows to the longest
    of them. Its numbers are in the format of the stream between layers, also under autocast:
    rotated keys are, and values are joined to them.
    """
    _, compute, stream = sizes_of(recipe, shares)
    text = model.text
    eyes = model.vision
    token = 2.0 * text.layers * text.kv_heads * text.head_dim * stream * load.rows
    grouped = text.kv_heads < text.heads and recipe.compute.attention != "flash_attention_2"
    # a layer's keys and values, joined, and repeated for each head
    copies = 1 + (text.heads / text.kv_heads if grouped else 0)
    pictures = {"pictures": float(load.pictures * load.patches * model.picture_bytes)}
    prompt = max(load.asked * text.passing(compute), load.patches * eyes.passing(compute))
    first = {"key-value cache": token * load.asked, "reading prompts": load.rows * prompt}
    last = {
        "key-value cache": token * load.length,
        "attention copies": token * load.length / text.layers * copies,
        # as they are, as probabilities, and sorted or masked
        "answer logits": 3.0 * 4 * model.vocabulary * load.rows,
    }
    return max(first, last, key=lambda parts: sum(parts.values())) | pictures


def _training(
    recipe: Recipe,
    model: Architecture,
    stage: str,
    static: Mapping[str, float],
    spread: Spread,
    load: Load,
) -> list[Phase]:
    """The phases in which a micro-batch goes forward and backward, and in which the optimiser
    steps.
    """
    devices, shares = spread
    _, compute, stream = sizes_of(recipe, shares)
    tokens = load.rows * load.length
    text = model.text
    eyes = model.vision
    scores = load.length if recipe.compute.attention == "eager" else 0
    moving = {"activations": _activations(recipe, text, tokens, compute, stream, scores)}
    if recipe.compute.train_vision and not recipe.lora:
        moving["activations"] += _activations(
            recipe, eyes, load.rows * load.patches, compute, stream, 0
        )
    tile = min(tokens, TOKENS_AT_ONCE)
    # its gradient, summed up in float32
    head = 0.0 if recipe.lora else 4.0 * model.vocabulary * text.hidden
    moving["answer logits"] = compute * WORDS_AT_ONCE * (tile + text.hidden) + head
    moving["pictures"] = float(load.pictures * load.patches * model.picture_bytes)
    names = ("weights", "adapters", "reference", "gradients", "optimiser states")
    held = {name: static[name] / shares for name in names}
    if devices > 1 and shares == 1:
        held["gradient buckets"] = static["gradients"]  # DistributedDataParallel sums copies
    step = {
        "optimiser": static["gradients"] / shares if recipe.compute.optimizer == "adamw" else 0.0
    }
    return [
        Phase(stage, "update", _with_slack(held, moving | _gathered(recipe, model, shares))),
        # AdamW over all tensors at once holds one more copy
        Phase(stage, "optimiser", _with_slack(held, step)),
    ]


def _activations(
    recipe: Recipe, stack: Stack, tokens: int, compute: int, residual: int, scores: int
) -> float:
    """Of all layers; with gradient checkpointing only what enters each, and one layer in full while
    it is computed again.
    """
    layer = stack.saved(compute, residual, scores)
    if recipe.compute.gradient_checkpointing:
        return tokens * (stack.layers * stack.hidden * residual + layer)
    return tokens * stack.layers * layer


def disk(recipe: Recipe, model: Architecture) -> dict[str, float]:
    """Bytes that a run writes, by part.

    A checkpoint holds weights (or adapters) and optimiser states; two are kept while a third is
    written.
    """
    static = _static(recipe, model)
    states = 2.0 * (
        static["learning"] if "8bit" in recipe.compute.optimizer else static["gradients"]
    )
    checkpoint = (static["adapters"] or static["weights"]) + states
    finals = (recipe.cold_start is not None) + (recipe.grpo is not None)
    whole = 4.0 * model.parameters if recipe.lora else static["weights"]  # merged in float32
    return {"checkpoints": 3 * checkpoint, "models": finals * (whole + static["adapters"])}
