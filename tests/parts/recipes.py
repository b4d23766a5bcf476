"""Recipes that tests share: the bundled ones, and small ones."""

from pathlib import Path

import vlmgym
from vlmgym.core.config import find, read_file
from vlmgym.train.recipe import Recipe

RECIPES = Path(vlmgym.__file__).parent / "recipes"
NAMES = sorted(str(p.relative_to(RECIPES).with_suffix("")) for p in RECIPES.rglob("*.yaml"))
NAMES = [
    name
    for name in NAMES
    if not name.startswith("on/") and name.split("/")[-1] not in ("base", "cold")
]
OURS = ("1x24gb", "1x80gb", "1x141gb", "8x80gb")
TASK = {
    "game": "2048",
    "level": "tiny",
    "look": "tiny",
    "prompt": "brief",
    "walk_min": 4,
    "walk_max": 40,
}


def bundled(name, on=(), overrides=()):
    return Recipe.parse(read_file("recipe", find("recipe", name), overrides, on))


def small_recipe(model, **sections):
    values = {
        "model": str(model),
        "tasks": [TASK],
        "cold_start": {"states": 4},
        "sft": {"batch": 2},
        "grpo": {"batch": 4, "group": 2, "max_new_tokens": 8},
        "checks": {"every": 0},
        "compute": {"device": "cpu", "threads": 1},
    }
    return Recipe.parse({**values, **sections})
