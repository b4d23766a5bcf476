"""Recipes that tests share: the bundled ones, and small ones."""

from pathlib import Path

import vlmgym
from parts.tasks import ON_CPU, TINY_2048
from vlmgym.core.config import find, read_file
from vlmgym.train.recipe import Recipe

RECIPES = Path(vlmgym.__file__).parent / "recipes"
NAMES = sorted(str(p.relative_to(RECIPES).with_suffix("")) for p in RECIPES.rglob("*.yaml"))
NAMES = [
    name
    for name in NAMES
    if name == "tiny/base"
    or (not name.startswith("on/") and name.split("/")[-1] not in ("base", "cold"))
]
OURS = ("1x24gb", "1x80gb", "1x141gb", "8x80gb")


def bundled(name, on=(), overrides=()):
    return Recipe.parse(read_file("recipe", find("recipe", name), overrides, on))


def small_recipe(model, **sections):
    values = {
        "model": str(model),
        "tasks": [TINY_2048],
        "cold_start": {"states": 4},
        "sft": {"batch": 2},
        "grpo": {"batch": 4, "group": 2, "max_new_tokens": 8},
        "checks": {"every": 0},
        "compute": ON_CPU,
    }
    return Recipe.parse({**values, **sections})
