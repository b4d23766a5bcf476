"""What a run really needs, counted in one step of each stage."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from vlmgym.train.cold_start import cold_start_rows
from vlmgym.train.grpo import run_grpo
from vlmgym.train.recipe import Recipe
from vlmgym.train.sft import run_sft
from vlmgym.train.sources import Source


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
        sizes = {**bytes_of(trainer), "gradients": gradients[-1]}
        if gpu:
            sizes["peak"] = torch.cuda.max_memory_allocated()
        return sizes

    def load() -> tuple[Any, Any]:
        if gpu:
            torch.cuda.reset_peak_memory_stats()
        return recipe.compute.load(recipe.model)

    counts = {}
    cold = recipe.cold_start
    grpo = recipe.grpo
    if cold is not None:
        few = -(-recipe.sft.batch * recipe.sft.accumulate // len(recipe.tasks))
        sft = replace(recipe.sft, steps=1, save_every=2)
        rows = cold_start_rows(recipe.tasks, replace(cold, states=few))
        counts["sft"] = count(
            run_sft(*load(), rows, out / "sft", sft, recipe.compute, [Look()], recipe.lora)
        )
    if grpo is not None:
        # so that there is a step
        grpo = replace(grpo, steps=1, save_every=2 * grpo.epochs_per_batch, drop_equal=False)
        on_walks = replace(recipe, grpo=grpo, states=(Source(),), curriculum={})
        model, processor = load()
        trainer = run_grpo(on_walks, model, processor, out / "grpo", [Look()])
        counts["grpo"] = count(trainer)
    return counts


def bytes_of(trainer: Any) -> dict[str, int]:
    """Bytes of what a trainer holds between steps, by part."""
    import torch

    weights = list(trainer.model.named_parameters())
    reference = getattr(trainer, "ref_model", None)
    states = [
        value
        for state in trainer.optimizer.state.values()
        for value in state.values()
        if torch.is_tensor(value)
    ]
    of_reference = [] if reference is None else list(reference.parameters())
    return {
        "weights": sum(weight.nbytes for name, weight in weights if ".lora_" not in name),
        "adapters": sum(weight.nbytes for name, weight in weights if ".lora_" in name),
        "reference": sum(weight.nbytes for weight in of_reference),
        # not the counters of steps
        "optimiser states": sum(state.nbytes for state in states if state.numel() > 1),
    }
