"""A short training run that tests share."""

TASKS = [
    {
        "game": "2048",
        "level": "tiny",
        "look": "tiny",
        "prompt": "brief",
        "walk_min": 4,
        "walk_max": 40,
        "weight": 3,
    },
    {
        "game": "ShisenSho",
        "level": "tiny",
        "look": "tiny",
        "prompt": "brief",
        "walk_max": 5,
        "walk_legal": True,
    },
]


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
        "compute": {"device": "cpu", "threads": 1},
    }
    return {**values, **sections}
