"""What a run needs of memory and disk, by arithmetic: no model is loaded.

Weights, gradients and optimiser states are counted exactly, on the model's real classes;
activations follow Korthikanti et al. 2022 ("Reducing Activation Recomputation in Large Transformer
Models"), see :meth:`vlmgym.train.plan.architecture.Stack.saved`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

from vlmgym.train.plan.adapters import adapters_reading, adapters_training
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
TOKENS_AT_ONCE = 4096
"""Rows of the tile of logits that TRL holds at once: it projects answer tokens on the vocabulary
piece by piece, also backward.
"""
WORDS_AT_ONCE = 32768
"""Columns of that tile."""


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


def longest_answer(recipe: Recipe, model: Architecture, devices: int, capacity: float) -> int:
    """The largest ``grpo.max_new_tokens`` with which a recipe fits into devices of ``capacity``
    bytes; 0 where it never does.

    With several devices and no LoRA the model is shared out over them.
    """
    grpo = recipe.grpo
    if grpo is None:
        return 0
    sharded = devices > 1 and recipe.lora is None

    def fits(limit: int) -> bool:
        longer = replace(recipe, grpo=replace(grpo, max_new_tokens=limit))
        return memory(longer, model, devices, sharded).tightest.total <= capacity

    _, prompt_tokens = model.positions_of(recipe)
    longest = max(1, model.positions - prompt_tokens)
    fitting = 0
    too_long = min(1_000_000, longest) + 1
    while too_long - fitting > 1:
        middle = (fitting + too_long) // 2
        if fits(middle):
            fitting = middle
        else:
            too_long = middle
    return fitting


def memory(recipe: Recipe, model: Architecture, devices: int = 1, sharded: bool = False) -> Memory:
    """The arithmetic of a recipe; no model is loaded.

    Args:
        recipe: what is run.
        model: its sizes.
        devices: processes of the run, one a device.
        sharded: weights, gradients and optimiser states are shared out over the devices (FSDP,
            ZeRO-3); else each has all.
    """
    spread = Spread(devices, devices if sharded else 1)
    static = _static(recipe, model)
    phases: list[Phase] = []
    if recipe.fine_tunes:
        load = _load_of_sft(recipe, model)
        phases += _training(recipe, model, "sft", static, spread, load)
    grpo = recipe.grpo
    if grpo is not None:
        if grpo.beta and not recipe.lora:  # with adapters it is the model without them
            static = static | {"reference": static["weights"]}
        if not grpo.use_vllm:
            load = _load_of_generation(recipe, grpo, model)
            phases.append(_generation(recipe, model, static, spread, load))
        load = _load_of_update(recipe, grpo, model)
        phases += _training(recipe, model, "grpo", static, spread, load)
    return Memory(tuple(phases), disk(recipe, model), _host(recipe, model, static, devices))


def _host(recipe: Recipe, model: Architecture, static: Mapping[str, float], devices: int) -> float:
    """Bytes of the host's memory: the most of what it holds at one time."""
    loaded = devices * (static["weights"] + static["reference"])
    paged_out = 0.0
    if recipe.compute.optimizer == "paged_adamw_8bit":
        paged_out = 2.0 * static["learning"]
    # adapters are merged into float32 when a stage is saved
    merged = 4.0 * model.parameters if recipe.lora else 0.0
    return max(loaded, paged_out, merged)


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


def _load_of_sft(recipe: Recipe, model: Architecture) -> Load:
    """A micro-batch of the cold start."""
    patches, asked = model.positions_of(recipe)
    rows = recipe.sft.batch
    return Load(rows, asked, asked + longest_board(recipe), patches, pictures=rows)


def _load_of_generation(recipe: Recipe, grpo: GrpoSettings, model: Architecture) -> Load:
    """The answers that are generated together."""
    patches, asked = model.positions_of(recipe)
    rows = _generated_at_once(recipe, grpo)
    return Load(rows, asked, asked + grpo.max_new_tokens, patches, pictures=rows)


def _load_of_update(recipe: Recipe, grpo: GrpoSettings, model: Architecture) -> Load:
    """A micro-batch of GRPO; the pictures of all the step are there."""
    patches, asked = model.positions_of(recipe)
    return Load(
        rows=grpo.rows // grpo.accumulate,
        asked=asked,
        length=asked + grpo.max_new_tokens,
        patches=patches * grpo.turns,
        pictures=grpo.rows * grpo.turns,
    )


def _generated_at_once(recipe: Recipe, grpo: GrpoSettings) -> int:
    """Answers that are generated together: those of a step, or of a check."""
    of_step = min(grpo.batch, grpo.generate_batch or grpo.batch)
    if not recipe.checks.every:
        return of_step
    held_out = recipe.checks.states * len(recipe.tasks)
    return max(of_step, min(grpo.played_at_once, held_out))


def sizes_of(recipe: Recipe, shares: int = 1) -> tuple[int, int, int]:
    """Bytes of a stored weight, of a number in matrix products, and of one between layers.

    The last follows the embeddings, as they are stored, or as they are gathered from where they are
    shared out.
    """
    stored = 4 if recipe.compute.weights == "float32" else 2
    compute = 2 if recipe.compute.bf16 else stored
    stream = compute if shares > 1 else stored
    return stored, compute, stream


def _static(recipe: Recipe, model: Architecture) -> dict[str, float]:
    """What is there as long as a stage runs; adapters, their gradients and states are float32."""
    stored, *_ = sizes_of(recipe)
    adapters = recipe.lora.rank * model.adapted if recipe.lora else 0
    learning = adapters or (model.parameters if recipe.compute.train_vision else model.unfrozen)
    width = 4 if recipe.lora else stored
    return {
        "weights": float(stored * model.parameters),
        "adapters": 4.0 * adapters,
        "reference": 0.0,
        "gradients": float(width * learning),
        "optimiser states": _optimiser_states(recipe, model, learning, width),
        "learning": float(learning),
    }


def _optimiser_states(recipe: Recipe, model: Architecture, learning: int, width: int) -> float:
    """Bytes on the devices of AdamW's two states of ``learning`` weights of ``width`` bytes."""
    if recipe.compute.optimizer == "paged_adamw_8bit":
        return 0.0  # in the host's memory, but for the pages in use
    if recipe.compute.optimizer == "adamw_8bit":
        # two bytes and, for blocks of 256, two scales; embeddings stay in float32
        tables = 0 if recipe.lora else _embedding_table(model)
        return (2 + 8 / 256) * (learning - tables) + 8.0 * tables
    return 2.0 * width * learning


def _embedding_table(model: Architecture) -> int:
    """Weights of the table of embeddings."""
    return model.vocabulary * model.text.hidden


def _with_slack(fixed: Mapping[str, float], temporary: Mapping[str, float]) -> dict[str, float]:
    """Parts of a phase: what stays as it is, what comes and goes with the allocator's loss, and the
    CUDA context.
    """
    lost = (SLACK - 1) * sum(temporary.values())
    return {**fixed, **temporary, "fragments": lost, "CUDA": CONTEXT}


def _gathered(recipe: Recipe, model: Architecture, shares: int) -> dict[str, float]:
    """The weights in bfloat16 that matrix products read.

    Under autocast every float32 weight that learns is cast at its first use, and the copy lives
    until the end of the forward pass, with gradients or without. Shared-out weights are gathered,
    in that format, two layers and the embeddings at a time.
    """
    stored, compute, _ = sizes_of(recipe)
    if shares > 1:
        layer = model.parts["language model"] / model.text.layers
        outside = model.parts["embeddings"] + model.parts["connector"]
        return {"gathered weights": compute * (2 * layer + outside)}
    is_cast = compute < stored or (recipe.lora and compute == 2)
    if not is_cast:
        return {"weights cast": 0.0}
    multiplied = _static(recipe, model)["learning"]
    if not recipe.lora:
        multiplied -= _embedding_table(model)  # read by index, never multiplied
    return {"weights cast": float(compute * multiplied)}


def _generation(
    recipe: Recipe,
    model: Architecture,
    static: Mapping[str, float],
    spread: Spread,
    load: Load,
) -> Phase:
    """The phase in which answers are generated."""
    names = ("weights", "adapters", "reference", "optimiser states")
    fixed = {name: static[name] / spread.shares for name in names}
    temporary = _generating(recipe, model, load, spread.shares)
    temporary |= _gathered(recipe, model, spread.shares)
    return Phase("grpo", "generation", _with_slack(fixed, temporary))


def _generating(recipe: Recipe, model: Architecture, load: Load, shares: int) -> dict[str, float]:
    """What comes and goes in generation: the larger of reading the prompts and of writing the last
    token.

    TRL generates all answers of a device's batch together, so that the cache grows to the longest
    of them. Its numbers are in the format of the stream between layers, also under autocast:
    rotated keys are, and values are joined to them.
    """
    _, compute, stream = sizes_of(recipe, shares)
    text = model.text
    cache_of_token = 2.0 * text.layers * text.kv_heads * text.head_dim * stream * load.rows
    prompt = max(load.asked * text.passing(compute), load.patches * model.vision.passing(compute))
    reading = {
        "key-value cache": cache_of_token * load.asked,
        "reading prompts": load.rows * prompt,
        "adapters at work": load.rows * load.asked * adapters_reading(recipe, text, compute),
    }
    cache = cache_of_token * load.length
    writing = {
        "key-value cache": cache,
        "attention copies": cache / text.layers * _copies_of_keys(recipe, model),
        # as they are, as probabilities, and sorted or masked
        "answer logits": 3.0 * 4 * model.vocabulary * load.rows,
    }
    larger = max(reading, writing, key=lambda parts: sum(parts.values()))
    return larger | {"pictures": _pictures(model, load)}


def _copies_of_keys(recipe: Recipe, model: Architecture) -> float:
    """How often a layer's keys and values are there beside the cache: joined, and, where heads
    share them, repeated for each head.
    """
    text = model.text
    if text.kv_heads < text.heads and recipe.compute.attention != "flash_attention_2":
        return 1 + text.heads / text.kv_heads
    return 1


def _pictures(model: Architecture, load: Load) -> float:
    """Bytes of the pictures that are there."""
    return float(load.pictures * load.patches * model.picture_bytes)


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
    names = ("weights", "adapters", "reference", "gradients", "optimiser states")
    fixed = {name: static[name] / spread.shares for name in names}
    if spread.devices > 1 and spread.shares == 1:
        fixed["gradient buckets"] = static["gradients"]  # DistributedDataParallel sums copies
    temporary = {
        "activations": _activations(recipe, model, spread, load),
        "adapters at work": load.rows * load.length * adapters_training(recipe, model.text),
        "answer logits": _logits(recipe, model, spread, load),
        "pictures": _pictures(model, load),
        **_gathered(recipe, model, spread.shares),
    }
    # AdamW over all tensors at once holds one more copy
    copied = static["gradients"] / spread.shares if recipe.compute.optimizer == "adamw" else 0.0
    return [
        Phase(stage, "update", _with_slack(fixed, temporary)),
        Phase(stage, "optimiser", _with_slack(fixed, {"optimiser": copied})),
    ]


def _activations(recipe: Recipe, model: Architecture, spread: Spread, load: Load) -> float:
    """What the layers keep of a micro-batch until the backward pass."""
    sizes = sizes_of(recipe, spread.shares)
    scores = load.length if recipe.compute.attention == "eager" else 0
    of_text = _kept_by_layers(recipe, model.text, load.rows * load.length, sizes, scores)
    if recipe.lora or not recipe.compute.train_vision:
        return of_text
    return of_text + _kept_by_layers(recipe, model.vision, load.rows * load.patches, sizes, 0)


def _kept_by_layers(
    recipe: Recipe, stack: Stack, tokens: int, sizes: tuple[int, int, int], scores: int
) -> float:
    """Of all layers; with gradient checkpointing only what enters each, and one layer in full while
    it is computed again.
    """
    _, compute, stream = sizes
    layer = stack.saved(compute, stream, scores)
    if recipe.compute.gradient_checkpointing:
        return tokens * (stack.layers * stack.hidden * stream + layer)
    return tokens * stack.layers * layer


def _logits(recipe: Recipe, model: Architecture, spread: Spread, load: Load) -> float:
    """The tile of logits, the weights of the head that make it, and the head's gradient."""
    _, compute, _ = sizes_of(recipe, spread.shares)
    hidden = model.text.hidden
    tokens = min(load.rows * load.length, TOKENS_AT_ONCE)
    # summed up in float32
    gradient = 0.0 if recipe.lora else 4.0 * model.vocabulary * hidden
    return compute * WORDS_AT_ONCE * (tokens + hidden) + gradient


def disk(recipe: Recipe, model: Architecture) -> dict[str, float]:
    """Bytes that a run writes, by part.

    A checkpoint holds weights (or adapters) and optimiser states; two stay while a third is
    written.
    """
    static = _static(recipe, model)
    in_bytes = "8bit" in recipe.compute.optimizer
    states = 2.0 * (static["learning"] if in_bytes else static["gradients"])
    checkpoint = (static["adapters"] or static["weights"]) + states
    merged = 4.0 * model.parameters if recipe.lora else static["weights"]  # in float32
    stages = recipe.fine_tunes + (recipe.grpo is not None)
    return {"checkpoints": 3 * checkpoint, "models": stages * (merged + static["adapters"])}
