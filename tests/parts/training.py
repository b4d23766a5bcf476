"""A short training run that tests share."""

import pytest

from parts.tasks import ON_CPU, TINY_2048, TINY_SHISEN_SHO

TASKS = [{**TINY_2048, "weight": 3}, TINY_SHISEN_SHO]


def recipe_of(model, steps=2, **sections):
    values = {
        "model": str(model),
        "tasks": TASKS,
        "grpo": {
            "steps": steps,
            "batch": 8,
            "group": 4,
            "lr": 1e-4,
            "max_new_tokens": 12,
            "save_every": 2,
            "drop_equal": False,
        },
        "checks": {"every": 2, "states": 4},
        "compute": ON_CPU,
    }
    return {**values, **sections}


def watched_run(recipe, folder, out):
    """GRPO of the model in a folder: its batches, its first line of metrics, its weights."""
    from vlmgym.models.loading import load
    from vlmgym.train import grpo_trainer
    from vlmgym.train.grpo import run_grpo

    model, processor = load(str(folder))
    batches, real = [], grpo_trainer.Grpo._compute_loss

    def looked(self, model, inputs):
        batches.append(inputs)
        return real(self, model, inputs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(grpo_trainer.Grpo, "_compute_loss", looked)
        trainer = run_grpo(recipe, model, processor, out)
    return batches, trainer.state.log_history[0], dict(model.named_parameters())
