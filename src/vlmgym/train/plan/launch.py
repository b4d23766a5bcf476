"""How a recipe is started, on machines of all sizes."""

from __future__ import annotations

from pathlib import Path

from vlmgym.core import ConfigError
from vlmgym.core.config import find, read_file
from vlmgym.models.loading import TINY
from vlmgym.train.plan.architecture import Architecture
from vlmgym.train.plan.hardware import card_of, hours_text, speed_on
from vlmgym.train.recipe import Recipe

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
    start = f"train {name} --out runs/{Path(name).stem}"
    start_on = f"{start} --on {on}" if on else start
    start_shared = f"{start} --on {shared}" if shared else start
    reason = vllm_reason(name, on, model, "colocate")
    start_with_vllm = start_on
    if reason:
        start_with_vllm += " --set grpo.use_vllm=true --set grpo.vllm_mode=colocate"
    lines = [(f"one process{reason}", f"vlmgym {start_with_vllm}")]
    if reason:
        title = "one process, Transformers generates (the extra vllm is not needed)"
        lines.append((title, f"vlmgym {start_on}"))
    lines.append(
        (
            f"one machine, {gpus} GPUs, a whole model on each (LoRA)",
            f"torchrun --standalone --nproc_per_node {gpus} -m vlmgym "
            f"{start_with_vllm}{_divided(recipe, gpus)}",
        )
    )
    sharded = (
        f"one machine, {gpus} GPUs, the model shared out (full training)",
        f"accelerate launch --config_file {FSDP} --num_processes {gpus} -m vlmgym "
        f"{start_shared}{_divided(recipe, gpus)}",
    )
    machines = _machines_line(recipe, start_with_vllm, gpus, nodes)
    if recipe.model == TINY:  # no engine knows it by that name, and one process trains it
        return [*lines, sharded, machines]
    reason_to_serve = vllm_reason(name, shared, model, "server")
    served = _served_lines(recipe, start_shared, gpus, reason_to_serve)
    lines += [*served, sharded, machines] if reason_to_serve else [sharded, machines, *served]
    if recipe.cold_start:
        lines.append(("clusters, verl: first the cold start", f"vlmgym {start_on} --set grpo=null"))
    cluster = f"vlmgym {start} --engine verl --nodes {nodes} --gpus {gpus}"
    return [*lines, ("clusters, verl: several machines generate", cluster)]


def _machines_line(recipe: Recipe, start: str, gpus: int, nodes: int) -> tuple[str, str]:
    """Several machines, which meet at the one of ``$HEAD``."""
    rendezvous = (
        f"--nnodes {nodes} --nproc_per_node {gpus} --rdzv_backend c10d --rdzv_id vlmgym "
        "--rdzv_endpoint $HEAD:29500"
    )
    return (
        f"{nodes} machines, a whole model on each GPU ($HEAD: one of them)",
        f"srun --nodes {nodes} --ntasks-per-node 1 torchrun {rendezvous} -m vlmgym "
        f"{start}{_divided(recipe, nodes * gpus)}",
    )


def _divided(recipe: Recipe, devices: int) -> str:
    """The overrides that keep the answers of a step as many as on one device."""
    grpo = recipe.grpo
    if grpo is None or grpo.batch % (grpo.group * devices):
        return ""
    groups = grpo.batch // devices // grpo.group
    groups_at_once = max(1, grpo.batch // grpo.accumulate // grpo.group)
    sizes = [size for size in range(1, groups + 1) if groups % size == 0 and size <= groups_at_once]
    batch = groups * grpo.group
    return f" --set grpo.batch={batch} --set grpo.accumulate={groups // max(sizes)}"


def _served_lines(recipe: Recipe, start: str, gpus: int, reason: str) -> list[tuple[str, str]]:
    """One half of the GPUs trains, the other generates: the lines of server and trainer."""
    half = gpus // 2
    trained = ",".join(map(str, range(half)))
    served = ",".join(map(str, range(half, gpus)))
    return [
        (
            f"{half} GPUs train, {gpus - half} generate{reason}: first the server",
            f"CUDA_VISIBLE_DEVICES={served} VLLM_SERVER_DEV_MODE=1 vllm serve {recipe.model} "
            f"--tensor-parallel-size {gpus - half} --generation-config vllm "
            """--weight-transfer-config '{"backend": "nccl"}' --logprobs-mode processed_logprobs""",
        ),
        (
            "... then the trainer",
            f"CUDA_VISIBLE_DEVICES={trained} accelerate launch --config_file {FSDP} "
            f"--num_processes {half} -m vlmgym {start}"
            f"{_divided(recipe, half)} --set grpo.use_vllm=true --set grpo.vllm_mode=server",
        ),
    ]


def vllm_reason(name: str, on: str, model: Architecture | None, mode: str) -> str:
    """Why vLLM is to generate in this mode for a recipe on a kind of hardware, as part of a title;
    empty where it is not.
    """
    if model is None or not card_of(on):
        return ""
    try:
        recipe = Recipe.parse(read_file("recipe", find("recipe", name), (), [on]))
        estimate = speed_on(recipe, model, on)
    except ConfigError:  # the overlay does not suit the recipe: said where its column is
        return ""
    if not estimate or not estimate.wants_vllm or estimate.mode != mode:
        return ""
    slow = hours_text(estimate.hours)
    fast = hours_text(estimate.vllm_hours)
    return (
        f", vLLM generates (without it {estimate.generating:.0%} of the time, {slow} hours instead "
        f"of {fast}; estimated)"
    )
