"""The same recipe on verl, for clusters: what its trainer is told, and how it is started."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from vlmgym.core import ConfigError, need
from vlmgym.train.model import model_path
from vlmgym.train.recipe import Recipe, train
from vlmgym.train.survive import write_atomically

LOOP = "vlmgym"
"""The name of our agent loop."""
PROMPT_TOKENS = 2048
"""Longest prompt that verl takes; a longer one is an error there, never cut."""
MODES = ("conversation", "per_turn")
"""How an episode becomes samples: as one conversation, or as one sample a turn, each with the present board alone."""


def overrides(recipe: Recipe, folder: Path, model: str, nodes: int = 1, gpus: int = 8) -> list[str]:
    """Verl's configuration for a recipe's GRPO stage, as Hydra overrides of ``ppo_trainer``.

    The answers of a step are the recipe's, whatever the number of GPUs.

    Args:
        recipe: with a GRPO stage.
        folder: where :func:`prepare` wrote its files.
        model: where training starts: a folder or a hub name.
        nodes: machines.
        gpus: GPUs of each machine.

    Raises:
        ConfigError: a recipe without GRPO, or with something that verl cannot do.
    """
    grpo = recipe.grpo
    if grpo is None:
        raise ConfigError("recipe.grpo", None, "settings: verl runs the GRPO stage")
    for source in recipe.states:
        if source.kind == "policy_pool":
            raise ConfigError("recipe.states", source.kind, "random_walk or replay: verl's data set never sees the answers")
    if recipe.curriculum:
        raise ConfigError("recipe.curriculum", sorted(recipe.curriculum), "nothing: verl's data set never sees the answers")
    groups = grpo.batch // grpo.group
    if grpo.batch % (nodes * gpus):
        raise ConfigError("grpo.batch", grpo.batch, f"a multiple of the number of GPUs, {nodes * gpus}")
    micro = max(1, grpo.batch // grpo.accumulate // grpo.group)
    rollout, actor, model_keys = "actor_rollout_ref.rollout", "actor_rollout_ref.actor", "actor_rollout_ref.model"
    values = {
        "algorithm.adv_estimator": "grpo",
        "algorithm.use_kl_in_reward": False,
        "critic.enable": False,
        f"{model_keys}.path": model,
        f"{model_keys}.enable_gradient_checkpointing": recipe.compute.gradient_checkpointing,
        f"{model_keys}.lora_rank": recipe.lora.rank if recipe.lora else 0,
        f"{model_keys}.lora_alpha": recipe.lora.alpha if recipe.lora else 16,
        f"{actor}.optim.lr": grpo.lr,
        f"{actor}.optim.weight_decay": grpo.weight_decay,
        f"{actor}.grad_clip": grpo.max_grad_norm,
        f"{actor}.ppo_mini_batch_size": groups,
        f"{actor}.ppo_micro_batch_size_per_gpu": micro,
        f"{actor}.ppo_epochs": grpo.epochs_per_batch,
        f"{actor}.clip_ratio": grpo.epsilon,
        f"{actor}.use_kl_loss": grpo.beta > 0,
        f"{actor}.kl_loss_coef": grpo.beta,
        f"{actor}.kl_loss_type": "low_var_kl",
        f"{actor}.freeze_vision_tower": not recipe.compute.train_vision,
        f"{rollout}.name": "vllm",
        f"{rollout}.n": grpo.group,
        f"{rollout}.temperature": grpo.temperature,
        f"{rollout}.log_prob_micro_batch_size_per_gpu": micro,
        f"{rollout}.agent.default_agent_loop": LOOP,
        f"{rollout}.agent.agent_loop_config_path": str(folder / "agent.yaml"),
        "actor_rollout_ref.ref.log_prob_micro_batch_size_per_gpu": micro,
        "data.custom_cls.path": str(Path(__file__).with_name("verl.py")),
        "data.custom_cls.name": "GameDataset",
        "data.train_files": str(folder / "train.json"),
        "data.val_files": str(folder / "test.json"),
        "data.train_batch_size": groups,
        "data.max_prompt_length": PROMPT_TOKENS,
        "data.max_response_length": grpo.max_new_tokens,
        "data.truncation": "error",
        "data.shuffle": False,
        "trainer.nnodes": nodes,
        "trainer.n_gpus_per_node": gpus,
        "trainer.total_epochs": 1,
        "trainer.total_training_steps": grpo.steps,
        "trainer.save_freq": grpo.save_every,
        "trainer.test_freq": recipe.checks.every or -1,
        "trainer.val_before_train": recipe.checks.every > 0,
        "trainer.default_local_dir": str(folder / "checkpoints"),
        "trainer.project_name": "vlmgym",
        "trainer.experiment_name": folder.parent.name,
        "trainer.logger": '["console","tensorboard"]',
    }
    return [f"{key}={value}" for key, value in values.items()]


def prepare(recipe: Recipe, folder: Path, mode: str = "conversation") -> None:
    """Write what verl's workers read: the questions' recipe for either split, and the agent loop with its settings.

    Raises:
        ConfigError: another mode.
    """
    if mode not in MODES:
        raise ConfigError("mode", mode, "one of " + ", ".join(MODES))
    folder.mkdir(parents=True, exist_ok=True)
    for split in ("train", "test"):
        write_atomically(folder / f"{split}.json", json.dumps({"split": split, "recipe": recipe.to_dict()}, indent=1))
    loop = {"name": LOOP, "_target_": "vlmgym.train.verl.GameAgentLoop", "recipe": str(folder / "train.json"), "mode": mode}
    write_atomically(folder / "agent.yaml", json.dumps([loop], indent=1))  # JSON is YAML


def command(arguments: Sequence[str]) -> list[str]:
    """The command that runs verl's trainer with these overrides."""
    return [sys.executable, "-m", "verl.trainer.main_ppo", *arguments]


def launch(recipe: Recipe, out: Path, nodes: int = 1, gpus: int = 8, mode: str = "conversation", print_only: bool = False) -> int:
    """Train with verl: the cold start, if there is one, through TRL in this process; then GRPO on the Ray cluster.

    Args:
        recipe: what to run.
        out: folder of the run; verl's files and checkpoints go to ``out/verl``.
        nodes: machines of the cluster.
        gpus: GPUs of each machine.
        mode: see :data:`MODES`; only where ``grpo.turns`` > 1.
        print_only: write the files and print the line, but run nothing.

    Returns:
        The exit status of verl.

    Raises:
        ConfigError: see :func:`overrides`.
        MissingExtra: verl is not installed.
    """
    folder = (out / "verl").resolve()
    start = model_path(recipe.model) if recipe.cold_start is None else str((out / "cold").resolve())
    line = command(overrides(recipe, folder, start, nodes, gpus))
    prepare(recipe, folder, mode)
    sys.stdout.write(shlex.join(line) + "\n")
    sys.stdout.flush()
    if print_only:
        return 0
    need("verl", "verl")
    if recipe.cold_start is not None:
        train(replace(recipe, grpo=None), out)
    return subprocess.run(line, check=False).returncode
