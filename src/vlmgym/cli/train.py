"""Commands about training: run a recipe, plan it, see where its time goes."""

from __future__ import annotations

import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from vlmgym.cli.parser import Options, Parser, command, override_option, whole_from
from vlmgym.core.errors import ConfigError

if TYPE_CHECKING:
    from vlmgym.train.recipe import Recipe


def train_options(parser: Parser) -> None:
    """The options of ``vlmgym train``."""
    parser.add_argument(
        "recipe",
        help="a YAML file, or the name of a bundled one: tiny/g0, tiny/g1",
    )
    override_option(parser, "override, e.g. grpo.steps=5")
    parser.add_argument(
        "--on",
        action="append",
        default=[],
        metavar="HARDWARE",
        help="adapt to a machine: 1x24gb, 1x80gb, ...",
    )
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        help="folder of the run; run again to continue",
    )
    parser.add_argument(
        "--engine",
        choices=("trl", "verl"),
        default="trl",
        help="verl: GRPO on a Ray cluster",
    )
    parser.add_argument(
        "--nodes",
        type=whole_from(1),
        default=1,
        help="machines of the Ray cluster",
    )
    parser.add_argument("--gpus", type=whole_from(1), default=8, help="GPUs of each of them")
    parser.add_argument(
        "--samples",
        default="conversation",
        metavar="MODE",
        help="verl, grpo.turns > 1: conversation, per_turn",
    )
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="check everything in seconds, and print what would run",
    )


@command("train", "run a recipe: cold start, GRPO, or both", train_options)
def train_command(options: Options) -> int:
    """Run the recipe, and print where the model is."""
    from vlmgym.train.checkpoint import Interrupted
    from vlmgym.train.recipe import read_recipe, recipe_path
    from vlmgym.train.run import train

    if options.engine == "trl":
        _need_training()
    recipe = read_recipe(recipe_path(options.recipe), options.set, options.on)
    if options.engine == "verl":
        return _launch_verl(options, recipe)
    if options.dry_run:
        return _dry_run(options, recipe)
    try:
        final = train(recipe, options.out)
    except Interrupted as stopped:
        # Asked for, and in order: the scheduler sees a success and starts the command again.
        sys.stderr.write(f"vlmgym train: {stopped}\n")
        return 0
    if recipe.compute.processes().is_main_process:
        sys.stdout.write(f"{final}\n")
    return 0


def _need_training() -> None:
    """See that the packages of the extra ``train`` are there."""
    from vlmgym.core import need
    from vlmgym.models.loading import TRAINING

    need("train", *TRAINING)


def _launch_verl(options: Options, recipe: Recipe) -> int:
    """Hand the recipe to verl; returns its status."""
    from vlmgym.train.plan.hardware import devices
    from vlmgym.train.verl.config import launch

    for hardware in options.on:
        # Its batch is that of one process, and verl's is that of all.
        if devices(hardware) > 1:
            allowed = "an overlay of one GPU, or none, for verl: it shares grpo.batch out itself"
            raise ConfigError("on", hardware, allowed)
    return launch(
        recipe,
        options.out,
        options.nodes,
        options.gpus,
        options.samples,
        print_only=options.dry_run,
    )


def _dry_run(options: Options, recipe: Recipe) -> int:
    """Print settings, what was found by checking, and how the run is started; 2 if it cannot be."""
    from vlmgym.train.plan.architecture import architecture
    from vlmgym.train.plan.launch import launch_lines
    from vlmgym.train.plan.preflight import check

    stages = {
        "pretrain": recipe.pretrain,
        "cold start": recipe.cold_start,
        "sft": recipe.sft if recipe.fine_tunes else None,
        "grpo": recipe.grpo,
    }
    for stage, settings in stages.items():
        if settings:
            values = ", ".join(f"{key} {value}" for key, value in asdict(settings).items())
            sys.stdout.write(f"{stage}: {values}\n")
    problems = check(recipe, options.out)
    for problem in problems:
        sys.stdout.write(f"{problem}\n")
    is_known = any(problem.what == "architecture" and problem.level == "ok" for problem in problems)
    model = architecture(recipe.model) if is_known else None
    hardware = options.on[0] if options.on else ""
    for title, text in launch_lines(options.recipe, hardware, model=model):
        sys.stdout.write(f"# {title}\n{text}\n")
    return 2 if any(problem.level == "error" for problem in problems) else 0


def plan_options(parser: Parser) -> None:
    """The options of ``vlmgym plan``."""
    parser.add_argument(
        "recipe",
        help="a YAML file, or the name of a bundled one: qwen2.5-vl-7b/g1-all",
    )
    override_option(parser, "override, e.g. grpo.batch=160")


@command(
    "plan",
    "what a recipe needs on each kind of hardware, and how it is started there",
    plan_options,
)
def plan_command(options: Options) -> None:
    """Print the plan."""
    _need_training()
    from vlmgym.train.plan.requirements import report

    sys.stdout.write(report(options.recipe, options.set))


def profile_options(parser: Parser) -> None:
    """The options of ``vlmgym profile``."""
    parser.add_argument(
        "recipe",
        help="a YAML file, or the name of a bundled one: tiny/g0, tiny/g1",
    )
    override_option(parser, "override, e.g. grpo.batch=16")
    parser.add_argument(
        "--steps",
        type=int,
        default=5,
        help="steps after the first, which is not counted",
    )


@command(
    "profile",
    "where the time of a recipe's GRPO steps goes: inside the model, or beside it",
    profile_options,
)
def profile_command(options: Options) -> None:
    """Run some steps, and print the seconds of each part."""
    _need_training()
    from vlmgym.train.plan.profile import MODEL, profile_grpo
    from vlmgym.train.recipe import read_recipe, recipe_path

    if options.steps < 1:
        raise ConfigError("steps", options.steps, "1 or more")
    overrides = [*options.set, f"grpo.steps={options.steps + 1}"]
    recipe = read_recipe(recipe_path(options.recipe), overrides)
    if recipe.grpo is None:
        raise ConfigError("recipe", options.recipe, "a recipe with GRPO")
    with tempfile.TemporaryDirectory() as out:
        seconds_of = profile_grpo(recipe, *recipe.compute.load(recipe.model), Path(out))
    share = seconds_of.pop("in model")
    step = seconds_of.pop("step")
    for name, seconds in seconds_of.items():
        where = "model" if name in MODEL else ""
        sys.stdout.write(f"  {name:<24} {seconds:9.3f} s  {seconds / step:6.1%}  {where}\n")
    sys.stdout.write(f"  {'a step':<24} {step:9.3f} s  inside the model: {share:.1%}\n")
