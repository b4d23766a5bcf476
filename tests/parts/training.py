"""A short training run that tests share."""

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
