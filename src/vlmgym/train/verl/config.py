"""The same recipe on verl, for clusters: what its trainer is told, and how it is started.

Needs no verl to be imported.
"""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from vlmgym.core import ConfigError, need
from vlmgym.core.files import write_atomically
from vlmgym.models.loading import model_path
from vlmgym.train.begun import see_same_recipe
from vlmgym.train.recipe import Recipe
from vlmgym.train.settings import GrpoSettings
from vlmgym.train.verl.sections import (
    LOOP,
    LOSSES,
    SCHEDULES,
    ClusterRun,
    batches_of,
    refills,
    sections,
)

MODES = ("single", "per_turn", "conversation")
"""How an episode becomes samples: it has one turn; one sample a turn, each with the present board
alone; one conversation.
"""


def grpo_of(recipe: Recipe) -> GrpoSettings:
    """The GRPO settings of a recipe whose questions can be asked by verl.

    Raises:
        ConfigError: a recipe without GRPO, or with questions that depend on the answers.
    """
    if recipe.grpo is None:
        raise ConfigError("recipe.grpo", None, "settings: verl runs the GRPO stage")
    for source in recipe.states:
        if source.kind in ("policy_pool", "rollback"):
            raise ConfigError(
                "recipe.states",
                source.kind,
                "random_walk or replay: verl's data set never sees the answers",
            )
    if recipe.curriculum:
        raise ConfigError(
            "recipe.curriculum",
            sorted(recipe.curriculum),
            "nothing: verl's data set never sees the answers",
        )
    return recipe.grpo


def mode_of(grpo: GrpoSettings, mode: str) -> str:
    """How episodes become samples: as wanted, or ``single`` where they have one turn.

    Raises:
        ConfigError: another mode, or ``single`` for several turns.
    """
    if mode not in MODES:
        raise ConfigError("mode", mode, "one of " + ", ".join(MODES))
    if grpo.turns == 1:
        return "single"
    if mode == "single":
        raise ConfigError("mode", mode, f"per_turn or conversation for grpo.turns = {grpo.turns}")
    return mode


def questions(grpo: GrpoSettings) -> int:
    """Questions of a run, with those that may replace others."""
    groups = grpo.batch // grpo.group
    rounds = 1 + grpo.refill if refills(grpo) else 1
    return batches_of(grpo.steps, grpo) * groups * rounds


def overrides(
    recipe: Recipe,
    folder: Path,
    model: str,
    nodes: int = 1,
    gpus: int = 8,
    mode: str = "conversation",
) -> list[str]:
    """Verl's configuration for a recipe's GRPO stage, as Hydra overrides of ``ppo_trainer``.

    The answers of a step are the recipe's, whatever the number of GPUs.

    Args:
        recipe: with a GRPO stage.
        folder: where :func:`prepare` wrote its files.
        model: where training starts: a folder or a hub name.
        nodes: machines.
        gpus: GPUs of each machine.
        mode: see :data:`MODES`; only where ``grpo.turns`` > 1.

    Raises:
        ConfigError: something that verl cannot do, or would do otherwise.
    """
    grpo = grpo_of(recipe)
    _refuse_cluster(grpo, nodes, gpus)
    _refuse_settings(recipe, grpo)
    _refuse_paths(folder, model)
    run = ClusterRun(recipe, grpo, folder, model, nodes, gpus, mode_of(grpo, mode))
    # Strings are quoted: in a path, Hydra's grammar would trip over "=", "," and brackets.
    return [
        f"{section}.{key}={json.dumps(value, ensure_ascii=False)}"
        for section, values in sections(run).items()
        for key, value in values.items()
    ]


# ---- what verl cannot do
def _refuse_cluster(grpo: GrpoSettings, nodes: int, gpus: int) -> None:
    """Refuse a batch that the GPUs cannot share."""
    if min(nodes, gpus) < 1 or grpo.batch % (nodes * gpus):
        raise ConfigError(
            "grpo.batch", grpo.batch, f"a multiple of the number of GPUs, {nodes} x {gpus}"
        )


def _refuse_settings(recipe: Recipe, grpo: GrpoSettings) -> None:
    """Refuse settings that verl does not have, or that mean something else to it."""
    if grpo.loss not in LOSSES:
        raise ConfigError("grpo.loss", grpo.loss, "for verl, one of " + ", ".join(LOSSES))
    if grpo.scheduler not in SCHEDULES:
        allowed = "for verl, one of " + ", ".join(SCHEDULES)
        raise ConfigError("grpo.scheduler", grpo.scheduler, allowed)
    if recipe.compute.optimizer != "adamw":
        raise ConfigError(
            "compute.optimizer",
            recipe.compute.optimizer,
            "adamw, whose states verl shares out over the GPUs",
        )
    if recipe.lora and recipe.lora.dropout:
        raise ConfigError("lora.dropout", recipe.lora.dropout, "0 for verl")
    for name in ("prefill", "shuffled"):
        if getattr(grpo, name):
            raise ConfigError(f"grpo.{name}", True, "false for verl")
    for name, default in {"path": "open", "branches": None, "credit": "flat"}.items():
        value = getattr(grpo, name)
        if value != default:
            raise ConfigError(f"grpo.{name}", value, f"{default} for verl")
    if recipe.lora is None and not recipe.compute.train_vision:
        raise ConfigError(
            "compute.train_vision", False, "true, or lora: verl 0.9 freezes no vision tower"
        )


def _refuse_paths(folder: Path, model: str) -> None:
    """Refuse paths that Hydra would not leave as they are."""
    for name, value in (("out", str(folder)), ("model", model)):
        if "${" in value:
            raise ConfigError(name, value, "a path without ${, which Hydra replaces")


# ---- starting it
def prepare(recipe: Recipe, folder: Path, mode: str = "conversation") -> None:
    """Write what verl's workers read: the questions' recipe for either split, and the agent loop
    with its settings.

    Raises:
        ConfigError: another mode, or the checkpoints of another recipe are in the folder, from
            which verl would go on.
        FileError: the file that says of which recipe they are cannot be read, or is that of a newer
            version.
    """
    mode = mode_of(grpo_of(recipe), mode)
    values = recipe.to_dict()
    texts = {
        split: json.dumps({"split": split, "recipe": values}, indent=1)
        for split in ("train", "test")
    }
    if (folder / "checkpoints").exists():
        see_same_recipe(recipe, folder / "train.json", "recipe")
    folder.mkdir(parents=True, exist_ok=True)
    for split, text in texts.items():
        write_atomically(folder / f"{split}.json", text)
    loop = {
        "name": LOOP,
        "_target_": "vlmgym.train.verl.worker.GameAgentLoop",
        "recipe": str(folder / "train.json"),
        "mode": mode,
    }
    write_atomically(folder / "agent.yaml", json.dumps([loop], indent=1))  # JSON is YAML


def command(arguments: Sequence[str]) -> list[str]:
    """The command that runs verl's trainer with these overrides."""
    return [sys.executable, "-m", "verl.trainer.main_ppo", *arguments]


def launch(
    recipe: Recipe,
    out: Path,
    nodes: int = 1,
    gpus: int = 8,
    mode: str = "conversation",
    print_only: bool = False,
) -> int:
    """Run the GRPO stage with verl on the Ray cluster that this machine belongs to, or on this
    machine alone.

    A cold start is not verl's: it is run before, by TRL, whose packages live in an environment of
    their own.

    Args:
        recipe: what to run.
        out: folder of the run, which all machines see; verl's files and checkpoints go to
            ``out/verl``.
        nodes: machines of the cluster.
        gpus: GPUs of each machine.
        mode: see :data:`MODES`; only where ``grpo.turns`` > 1.
        print_only: write the files and print the line, but run nothing.

    Returns:
        The exit status of verl.

    Raises:
        ConfigError: see :func:`overrides` and :func:`prepare`; or the model of the cold start is
            not there.
        MissingExtra: verl is not installed.
    """
    folder = (out / "verl").resolve()
    cold_model = (out / "cold").resolve()
    start_model = model_path(recipe.model) if recipe.cold_start is None else str(cold_model)
    words = command(overrides(recipe, folder, start_model, nodes, gpus, mode))
    prepare(recipe, folder, mode)
    sys.stdout.write(shlex.join(words) + "\n")
    sys.stdout.flush()
    if print_only:
        return 0
    need("verl", "verl")
    if recipe.cold_start is not None and not (cold_model / "config.json").exists():
        allowed = (
            f"a model: first run  vlmgym train ... --out {out} --set grpo=null  where "
            "vlmgym[train] is installed"
        )
        raise ConfigError("cold start", str(cold_model), allowed)
    return subprocess.run(words, check=False).returncode
