"""What a training step costs with all games beside one with the four of the paper, at as many
answers: all of it, and what is outside of the model, whose answers to games that it does not know
have other lengths. The two are measured in turn.

usage: python benchmarks/many_games.py [--rounds 3] [--steps 5]
"""

import argparse
import os
import sys
import tempfile
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import replace
from pathlib import Path
from statistics import mean, stdev

from vlmgym.models.loading import load
from vlmgym.train.plan.profile import profile_grpo
from vlmgym.train.recipe import read_recipe, recipe_path

PAPER = ("2048", "ShisenSho", "ShisenShoPhotos", "Swap")


def seconds(games, steps):
    """Seconds of a step: all, and outside of the model."""
    recipe = read_recipe(recipe_path("tiny/all"), [f"grpo.steps={steps}", "checks.every=0"])
    tasks = tuple(task for task in recipe.tasks if not games or task.names.game in games)
    recipe = replace(recipe, tasks=tasks, curriculum={})
    with (
        tempfile.TemporaryDirectory() as folder,
        open(os.devnull, "w") as sink,
        redirect_stdout(sink),
        redirect_stderr(sink),
    ):
        phases = profile_grpo(recipe, *load("tiny"), Path(folder))
    return phases["step"], phases["step"] * (1 - phases["in model"])


def main():
    """Measure in turn, and print the means and their ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=5)
    asked = parser.parse_args()
    seconds((), 2)  # compiles and fills caches
    pairs = [(seconds((), asked.steps), seconds(PAPER, asked.steps)) for _ in range(asked.rounds)]
    for index, name in enumerate(("step", "outside of the model")):
        every = [one[index] for one, _ in pairs]
        four = [other[index] for _, other in pairs]
        ratios = [one / other for one, other in zip(every, four, strict=True)]
        spread = stdev(ratios) if len(ratios) > 1 else 0.0
        line = f"{name}: {mean(every):.3f} s with all games, {mean(four):.3f} s with four, "
        sys.stdout.write(f"{line}ratio {mean(ratios):.2f} ± {spread:.2f}\n")


if __name__ == "__main__":
    main()
