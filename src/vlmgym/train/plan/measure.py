"""What a run really needs, counted in one step of each stage."""

from __future__ import annotations

from collections.abc import Iterable
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
    gauge = _Gauge(recipe)
    counts = {}
    cold = recipe.cold_start
    grpo = recipe.grpo
    if cold is not None:
        states = -(-recipe.sft.batch * recipe.sft.accumulate // len(recipe.tasks))
        rows = cold_start_rows(recipe.tasks, replace(cold, states=states))
        sft = replace(recipe.sft, steps=1, save_every=2)
        model, processor = gauge.load()
        folder = out / "sft"
        callbacks = [gauge.callback()]
        trainer = run_sft(
            model, processor, rows, folder, sft, recipe.compute, callbacks, recipe.lora
        )
        counts["sft"] = gauge.count(trainer)
    if grpo is not None:
        # so that there is a step
        grpo = replace(grpo, steps=1, save_every=2 * grpo.epochs_per_batch, drop_equal=False)
        on_walks = replace(recipe, grpo=grpo, states=(Source(),), curriculum={})
        model, processor = gauge.load()
        trainer = run_grpo(on_walks, model, processor, out / "grpo", [gauge.callback()])
        counts["grpo"] = gauge.count(trainer)
    return counts


class _Gauge:
    """Reads what is in memory while a stage runs."""

    def __init__(self, recipe: Recipe) -> None:
        import torch

        self.recipe = recipe
        self.has_gpu = recipe.compute.device != "cpu" and torch.cuda.is_available()
        self.gradients = 0  # bytes, before the last step of the optimiser

    def load(self) -> tuple[Any, Any]:
        """Model and processor of the recipe, where the peak of memory begins anew."""
        if self.has_gpu:
            import torch

            torch.cuda.reset_peak_memory_stats()
        return self.recipe.compute.load(self.recipe.model)

    def callback(self) -> Any:
        """A callback that counts the gradients."""
        from transformers import TrainerCallback

        gauge = self

        class CountGradients(TrainerCallback):  # type: ignore[misc]
            def on_pre_optimizer_step(
                self, args: Any, state: Any, control: Any, model: Any = None, **_: Any
            ) -> None:
                gradients = [weight.grad for weight in model.parameters()]
                gauge.gradients = sum(
                    gradient.nbytes for gradient in gradients if gradient is not None
                )

        return CountGradients()

    def count(self, trainer: Any) -> dict[str, int]:
        """Bytes by part after a stage."""
        sizes = {**bytes_of(trainer), "gradients": self.gradients}
        if self.has_gpu:
            import torch

            sizes["peak"] = torch.cuda.max_memory_allocated()
        return sizes


def bytes_of(trainer: Any) -> dict[str, int]:
    """Bytes of what a trainer holds between steps, by part."""
    import torch

    parameters = list(trainer.model.named_parameters())
    adapters = [weight for name, weight in parameters if ".lora_" in name]
    weights = [weight for name, weight in parameters if ".lora_" not in name]
    reference = getattr(trainer, "ref_model", None)
    states = [
        value
        for state in trainer.optimizer.state.values()
        for value in state.values()
        if torch.is_tensor(value) and value.numel() > 1  # not the counters of steps
    ]
    return {
        "weights": _bytes(weights),
        "adapters": _bytes(adapters),
        "reference": 0 if reference is None else _bytes(reference.parameters()),
        "optimiser states": _bytes(states),
    }


def _bytes(tensors: Iterable[Any]) -> int:
    return sum(tensor.nbytes for tensor in tensors)
