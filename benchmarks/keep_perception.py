"""Does RL keep what the cold start taught the model to see?

Curves with and without KL and a perception term (docs/training.md).

One cold start, then GRPO from it: without anything that holds perception, with the KL term, with
the perception term, with both, and with equal groups dropped. Run again to go on; finished runs are
kept.

usage: keep_perception.py --out runs/perception [--steps 40] [--lr 1.5e-4] [--seeds 0 1]
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from vlmgym.train.callbacks import read_metrics
from vlmgym.train.recipe import read_recipe, recipe_path
from vlmgym.train.run import train

VARIANTS = {
    "neither": ["grpo.beta=0", "reward.perception=0"],
    "KL": ["reward.perception=0"],
    "perception term": ["grpo.beta=0"],
    "both": [],
    "both, equal groups dropped": ["grpo.drop_equal=true", "grpo.refill=1"],
}


def curves(folder: Path, key: str) -> tuple[list[int], np.ndarray]:
    """Steps, and the mean over games of a metric of the held-out states at each."""
    lines = [line for line in read_metrics(folder / "metrics.jsonl") if f"check/2048/{key}" in line]
    names = [name for name in lines[0] if name.startswith("check/") and name.endswith(f"/{key}")]
    return [line["step"] for line in lines], np.array(
        [[line[name] for name in names] for line in lines]
    ).mean(1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--lr", type=float, default=1.5e-4)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    options = parser.parse_args()
    start = read_recipe(recipe_path("tiny/g1"))
    cold = train(replace(start, grpo=None), options.out / "cold-start")
    found = {}
    for seed in options.seeds:
        for name, changes in VARIANTS.items():
            run = options.out / f"{name.replace(' ', '-').replace(',', '')}-{seed}"
            fields = [
                f"grpo.steps={options.steps}",
                f"grpo.lr={options.lr}",
                f"grpo.seed={seed}",
                "checks.every=5",
                "checks.states=64",
            ]
            recipe = read_recipe(
                recipe_path("tiny/g1"), ["cold_start=null", f"model={cold}", *fields, *changes]
            )
            train(recipe, run)
            found[f"{name}/{seed}"] = {
                key: [one.tolist() if key else one for one in map(np.asarray, curves(run, key))]
                for key in ("p_acc", "success")
            }
            (options.out / "curves.json").write_text(json.dumps(found, indent=1))
    draw(found, options.out / "perception.png")


def draw(found: dict, path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(10, 4), constrained_layout=True, sharex=True)
    for axis, key, title in zip(
        axes,
        ("p_acc", "success"),
        ("boards described exactly", "moves that do something"),
        strict=True,
    ):
        for colour, name in enumerate(VARIANTS):
            runs = [value[key] for run, value in found.items() if run.rpartition("/")[0] == name]
            if not runs:
                continue
            steps, values = runs[0][0], np.array([run[1] for run in runs])
            axis.plot(steps, values.mean(0), color=f"C{colour}", label=name)
            for one in values:
                axis.plot(steps, one, color=f"C{colour}", linewidth=0.6, alpha=0.6)
        axis.set(xlabel="GRPO steps", ylabel="share of held-out states", title=title, ylim=(0, 1))
        axis.grid(alpha=0.3)
    axes[0].legend(fontsize=8, loc="lower left")
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
