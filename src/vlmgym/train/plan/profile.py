"""Where the time of a training run goes: inside the model, or beside it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from vlmgym.train.grpo import run_grpo
from vlmgym.train.recipe import Recipe
from vlmgym.train.sources import Source

MODEL = ("generate", "forward", "backward", "optimiser")
"""The phases that count as inside the model; ``forward`` is that of training and of the reference
model.
"""


class Clock:
    """Wall time by phase; what runs within a phase is taken from the outer one, so that all phases
    add up.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        # seconds of the phases within each phase that runs; -1 where it counts as a whole
        self._inner: list[float] = []
        self._undo: list[tuple[Any, str, Any]] = []

    def watch(self, owner: Any, name: str, phase: str, whole: bool = False) -> None:
        """Count calls of ``owner.name`` as ``phase``; with ``whole``, all that it calls too."""
        original = getattr(owner, name)
        self._undo.append((owner, name, owner.__dict__.get(name, original)))

        def timed(*arguments: Any, **options: Any) -> Any:
            if self._inner and self._inner[-1] < 0:  # inside a phase that counts as a whole
                return original(*arguments, **options)
            start = time.perf_counter()
            self._inner.append(-1.0 if whole else 0.0)
            try:
                return original(*arguments, **options)
            finally:
                elapsed = time.perf_counter() - start
                of_inner = max(self._inner.pop(), 0.0)
                self.seconds[phase] = self.seconds.get(phase, 0.0) + elapsed - of_inner
                if self._inner and self._inner[-1] >= 0:
                    self._inner[-1] += elapsed

        setattr(owner, name, timed)

    def stop(self) -> None:
        """Put everything back."""
        for owner, name, original in reversed(self._undo):
            setattr(owner, name, original)
        self._undo.clear()


@contextmanager
def _watching(model: Any) -> Iterator[Clock]:
    import torch
    import transformers
    from accelerate import Accelerator
    from trl import GRPOTrainer

    from vlmgym.train import grpo_trainer as trainers

    clock = Clock()
    clock.watch(GRPOTrainer, "training_step", "rest of the step")
    clock.watch(type(model), "generate", "generate", whole=True)
    clock.watch(GRPOTrainer, "_get_per_token_logps_and_entropies", "forward", whole=True)
    clock.watch(GRPOTrainer, "compute_loss", "forward", whole=True)
    clock.watch(Accelerator, "backward", "backward", whole=True)
    clock.watch(torch.optim.AdamW, "step", "optimiser", whole=True)
    clock.watch(trainers, "ask_rows", "states and pictures", whole=True)
    clock.watch(
        transformers.ProcessorMixin, "apply_chat_template", "prompts and tokens", whole=True
    )
    clock.watch(trainers, "judge_rows", "parsing and rewards", whole=True)
    clock.watch(GRPOTrainer, "log", "logging", whole=True)
    try:
        yield clock
    finally:
        clock.stop()


def profile_grpo(recipe: Recipe, model: Any, processor: Any, out: Path) -> dict[str, float]:
    """Run GRPO (see :func:`vlmgym.train.grpo.run_grpo`) on random walks and say how long each phase
    took.

    Returns:
        Seconds of a step by phase, ``start`` (before the first step) not counted among them; ``in
        model`` is the share of the phases of :data:`MODEL`, 0 to 1.
    """
    on_walks = replace(recipe, states=(Source(),), curriculum={})
    step_ends: list[float] = []

    with _watching(model) as clock:
        from transformers import TrainerCallback

        class MarkSteps(TrainerCallback):  # type: ignore[misc]
            def on_step_end(self, *_: Any, **__: Any) -> None:
                if not step_ends:  # the first step compiles, reserves and fills caches
                    clock.seconds.clear()
                step_ends.append(time.perf_counter())

        run_grpo(on_walks, model, processor, out, [MarkSteps()])
    total = step_ends[-1] - step_ends[0]
    count = len(step_ends) - 1
    slowest_first = sorted(clock.seconds.items(), key=lambda item: -item[1])
    phases = {name: seconds / count for name, seconds in slowest_first}
    phases["between steps"] = max(0.0, total / count - sum(phases.values()))
    in_model = sum(phases.get(name, 0.0) for name in MODEL)
    return {**phases, "step": total / count, "in model": in_model * count / total}
