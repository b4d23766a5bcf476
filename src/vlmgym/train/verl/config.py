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
from typing import Any

from vlmgym.core import ConfigError, need
from vlmgym.core.files import write_atomically
from vlmgym.models.loading import VISION, model_path
from vlmgym.train.compute import LORA_LAYERS
from vlmgym.train.recipe import Recipe
from vlmgym.train.settings import GrpoSettings

LOOP = "vlmgym"
"""The name of our agent loop."""
PROMPT_TOKENS = 2048
"""Longest prompt that verl takes; a longer one is an error there, never cut."""
MICRO_TOKENS = 16384
"""Tokens that a GPU trains on at once (verl's default), or as many as the longest sample has."""
MODES = ("single", "per_turn", "conversation")
"""How an episode becomes samples: it has one turn; one sample a turn, each with the present board
alone; one conversation.
"""
LOSSES = {
    "grpo": "seq-mean-token-mean",
    "bnpo": "token-mean",
    "dapo": "token-mean",
    "dr_grpo": "seq-mean-token-sum-norm",
}
"""What verl calls the ways to average over tokens.

The other losses of TRL clip otherwise than verl's of the same name.
"""
SCHEDULES = {"constant": "constant", "constant_with_warmup": "constant", "cosine": "cosine"}


def grpo_of(recipe: Recipe) -> GrpoSettings:
    """The GRPO settings of a recipe whose questions can be asked by verl.

    Raises:
        ConfigError: a recipe without GRPO, or with questions that depend on the answers.
    """
    if recipe.grpo is None:
        raise ConfigError("recipe.grpo", None, "settings: verl runs the GRPO stage")
    for source in recipe.states:
        if source.kind == "policy_pool":
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


def refills(grpo: GrpoSettings) -> bool:
    """Whether groups whose answers are all worth the same are replaced by other questions."""
    return grpo.drop_equal and grpo.refill > 0 and grpo.turns == 1


def questions(grpo: GrpoSettings) -> int:
    """Questions of a run, with those that may replace others."""
    return (
        _batches(grpo.steps, grpo) * (grpo.batch // grpo.group) * (1 + grpo.refill * refills(grpo))
    )


def _batches(steps: int, grpo: GrpoSettings) -> int:
    """Batches of answers in so many steps of the optimiser, which is what verl counts."""
    return -(-steps // grpo.epochs_per_batch)


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
    if min(nodes, gpus) < 1 or grpo.batch % (nodes * gpus):
        raise ConfigError(
            "grpo.batch", grpo.batch, f"a multiple of the number of GPUs, {nodes} x {gpus}"
        )
    for name, value, known in (
        ("loss", grpo.loss, LOSSES),
        ("scheduler", grpo.scheduler, SCHEDULES),
    ):
        if value not in known:
            raise ConfigError(f"grpo.{name}", value, "for verl, one of " + ", ".join(known))
    if recipe.compute.optimizer != "adamw":
        raise ConfigError(
            "compute.optimizer",
            recipe.compute.optimizer,
            "adamw, whose states verl shares out over the GPUs",
        )
    if recipe.lora and recipe.lora.dropout:
        raise ConfigError("lora.dropout", recipe.lora.dropout, "0 for verl")
    if grpo.prefill:
        raise ConfigError("grpo.prefill", True, "false for verl")
    if recipe.lora is None and not recipe.compute.train_vision:
        raise ConfigError(
            "compute.train_vision", False, "true, or lora: verl 0.9 freezes no vision tower"
        )
    for name, value in (("out", str(folder)), ("model", model)):
        if "${" in value:
            raise ConfigError(name, value, "a path without ${, which Hydra replaces")
    groups = grpo.batch // grpo.group
    longest = PROMPT_TOKENS + grpo.max_new_tokens
    samples = grpo.turns if mode_of(grpo, mode) == "per_turn" else 1
    refill = refills(grpo)
    values: dict[str, Any] = {
        "algorithm": {
            "adv_estimator": "grpo",
            "use_kl_in_reward": False,
            "filter_groups.enable": refill,
            "filter_groups.metric": "reward",
            # as for TRL: a product over a whole answer leaves nothing in range
            "rollout_correction.rollout_is": "token",
            "rollout_correction.rollout_is_threshold": 2.0,
        },
        "critic": {"enable": False},
        "data": {
            "custom_cls.path": "pkg://vlmgym.train.verl.worker",
            "custom_cls.name": "GameDataset",
            "train_files": str(folder / "train.json"),
            "val_files": str(folder / "test.json"),
            "train_batch_size": groups,
            "max_prompt_length": PROMPT_TOKENS,
            "max_response_length": grpo.max_new_tokens,
            "truncation": "error",
            "shuffle": False,  # questions are drawn in their order
            "seed": grpo.seed,
        },
        "actor_rollout_ref.model": {
            "path": model,
            "enable_gradient_checkpointing": recipe.compute.gradient_checkpointing,
        },
        "actor_rollout_ref.actor": {
            "optim.lr": grpo.lr,
            "optim.lr_scheduler_type": SCHEDULES[grpo.scheduler],
            "optim.lr_warmup_steps": _batches(grpo.warmup, grpo),
            "optim.weight_decay": grpo.weight_decay,
            "optim.clip_grad": grpo.max_grad_norm,  # actor.grad_clip is read by nobody
            "ppo_mini_batch_size": groups * samples,  # one update a batch, of all its samples
            "ppo_epochs": grpo.epochs_per_batch,
            # micro-batches by tokens: no number of answers has to divide another
            "use_dynamic_bsz": True,
            "ppo_max_token_len_per_gpu": max(MICRO_TOKENS, longest),
            "clip_ratio": grpo.epsilon,
            "clip_ratio_low": grpo.epsilon,  # the two go before clip_ratio, and have a default
            "clip_ratio_high": grpo.epsilon,
            "loss_agg_mode": LOSSES[grpo.loss],
            "loss_scale_factor": grpo.max_new_tokens,
            "use_kl_loss": grpo.beta > 0,
            "kl_loss_coef": grpo.beta,
            "kl_loss_type": "low_var_kl",
            "data_loader_seed": grpo.seed,
        },
        "actor_rollout_ref.rollout": {
            "name": "vllm",
            "n": grpo.group,
            "temperature": grpo.temperature,
            "seed": grpo.seed,
            "calculate_log_probs": True,
            "max_model_len": longest,
            "tensor_model_parallel_size": 1,  # verl's default of 2 needs an even number of GPUs
            "agent.default_agent_loop": LOOP,
            "agent.agent_loop_config_path": str(folder / "agent.yaml"),
        },
        "trainer": {
            "nnodes": nodes,
            "n_gpus_per_node": gpus,
            "total_epochs": 1,
            "total_training_steps": _batches(grpo.steps, grpo),
            "save_freq": _batches(grpo.save_every, grpo),
            "max_actor_ckpt_to_keep": 2,  # the one before is there until the next is whole
            "test_freq": _batches(recipe.checks.every, grpo) or -1,
            "val_before_train": recipe.checks.every > 0,
            "default_local_dir": str(folder / "checkpoints"),
            "project_name": "vlmgym",
            "experiment_name": folder.parent.name,
            "logger": ["console", "tensorboard"],
        },
    }
    if recipe.lora:
        values["actor_rollout_ref.model"] |= {
            "lora_rank": recipe.lora.rank,
            "lora_alpha": recipe.lora.alpha,
            "target_modules": list(LORA_LAYERS),
            "exclude_modules": f".*({'|'.join(VISION)}).*",
        }
        # only adapters are sent to vLLM afterwards
        values["actor_rollout_ref.rollout"]["load_format"] = "safetensors"
    # Strings are quoted: in a path, Hydra's grammar would trip over "=", "," and brackets.
    return [
        f"{part}.{key}={json.dumps(value, ensure_ascii=False)}"
        for part in values
        for key, value in values[part].items()
    ]


def prepare(recipe: Recipe, folder: Path, mode: str = "conversation") -> None:
    """Write what verl's workers read: the questions' recipe for either split, and the agent loop
    with its settings.

    Raises:
        ConfigError: another mode, or the checkpoints of another recipe are in the folder, from
            which verl would go on.
    """
    mode = mode_of(grpo_of(recipe), mode)
    texts = {
        s: json.dumps({"split": s, "recipe": recipe.to_dict()}, indent=1) for s in ("train", "test")
    }
    kept = folder / "train.json"
    if (
        (folder / "checkpoints").exists()
        and kept.exists()
        and kept.read_text(encoding="utf-8") != texts["train"]
    ):
        raise ConfigError(
            "out",
            str(folder.parent),
            "a new folder, or one with a run of the same recipe (this one holds another)",
        )
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
    cold = (out / "cold").resolve()
    start = model_path(recipe.model) if recipe.cold_start is None else str(cold)
    line = command(overrides(recipe, folder, start, nodes, gpus, mode))
    prepare(recipe, folder, mode)
    sys.stdout.write(shlex.join(line) + "\n")
    sys.stdout.flush()
    if print_only:
        return 0
    need("verl", "verl")
    if recipe.cold_start is not None and not (cold / "config.json").exists():
        allowed = (
            f"a model: first run  vlmgym train ... --out {out} --set grpo=null  where "
            "vlmgym[train] is installed"
        )
        raise ConfigError("cold start", str(cold), allowed)
    return subprocess.run(line, check=False).returncode
