"""verl's configuration for a recipe's GRPO stage, a function for each of its sections.

Needs no verl to be imported.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vlmgym.models.loading import VISION
from vlmgym.train.compute import LORA_LAYERS
from vlmgym.train.recipe import Recipe
from vlmgym.train.settings import GrpoSettings

LOOP = "vlmgym"
"""The name of our agent loop."""
PROMPT_TOKENS = 2048
"""Longest prompt that verl takes; a longer one is an error there, never cut."""
MICRO_TOKENS = 16384
"""Tokens that a GPU trains on at once (verl's default), or as many as the longest sample has."""
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


def refills(grpo: GrpoSettings) -> bool:
    """Whether groups whose answers are all worth the same are replaced by other questions."""
    return grpo.drop_equal and grpo.refill > 0 and grpo.turns == 1


def batches_of(steps: int, grpo: GrpoSettings) -> int:
    """Batches of answers in so many steps of the optimiser, which is what verl counts."""
    return -(-steps // grpo.epochs_per_batch)


@dataclass(frozen=True)
class ClusterRun:
    """A recipe's GRPO stage on the machines of a cluster."""

    recipe: Recipe
    grpo: GrpoSettings
    folder: Path
    model: str
    nodes: int
    gpus: int
    mode: str

    @property
    def groups(self) -> int:
        """Questions of a batch, each with a group of answers."""
        return self.grpo.batch // self.grpo.group

    @property
    def longest_sample(self) -> int:
        """Most tokens of a prompt and its answer."""
        return PROMPT_TOKENS + self.grpo.max_new_tokens


def sections(run: ClusterRun) -> dict[str, dict[str, Any]]:
    """The values that differ from verl's own, by section of its ``ppo_trainer`` and key."""
    return {
        "algorithm": _algorithm(run),
        "critic": {"enable": False},
        "data": _data(run),
        "actor_rollout_ref.model": _model(run),
        "actor_rollout_ref.actor": _actor(run),
        "actor_rollout_ref.rollout": _rollout(run),
        "trainer": _trainer(run),
    }


def _algorithm(run: ClusterRun) -> dict[str, Any]:
    return {
        "adv_estimator": "grpo",
        "use_kl_in_reward": False,
        "filter_groups.enable": refills(run.grpo),
        "filter_groups.metric": "reward",
        # as for TRL: a product over a whole answer leaves nothing in range
        "rollout_correction.rollout_is": "token",
        "rollout_correction.rollout_is_threshold": 2.0,
    }


def _data(run: ClusterRun) -> dict[str, Any]:
    return {
        "custom_cls.path": "pkg://vlmgym.train.verl.worker",
        "custom_cls.name": "GameDataset",
        "train_files": str(run.folder / "train.json"),
        "val_files": str(run.folder / "test.json"),
        "train_batch_size": run.groups,
        "max_prompt_length": PROMPT_TOKENS,
        "max_response_length": run.grpo.max_new_tokens,
        "truncation": "error",
        "shuffle": False,  # questions are drawn in their order
        "seed": run.grpo.seed,
    }


def _model(run: ClusterRun) -> dict[str, Any]:
    values = {
        "path": run.model,
        "enable_gradient_checkpointing": run.recipe.compute.gradient_checkpointing,
    }
    lora = run.recipe.lora
    if lora is None:
        return values
    return {
        **values,
        "lora_rank": lora.rank,
        "lora_alpha": lora.alpha,
        "target_modules": list(LORA_LAYERS),
        "exclude_modules": f".*({'|'.join(VISION)}).*",
    }


def _actor(run: ClusterRun) -> dict[str, Any]:
    grpo = run.grpo
    samples = grpo.turns if run.mode == "per_turn" else 1  # of an episode
    return {
        "optim.lr": grpo.lr,
        "optim.lr_scheduler_type": SCHEDULES[grpo.scheduler],
        "optim.lr_warmup_steps": batches_of(grpo.warmup, grpo),
        "optim.weight_decay": grpo.weight_decay,
        "optim.clip_grad": grpo.max_grad_norm,  # actor.grad_clip is read by nobody
        "ppo_mini_batch_size": run.groups * samples,  # one update a batch, of all its samples
        "ppo_epochs": grpo.epochs_per_batch,
        # micro-batches by tokens: no number of answers has to divide another
        "use_dynamic_bsz": True,
        "ppo_max_token_len_per_gpu": max(MICRO_TOKENS, run.longest_sample),
        "clip_ratio": grpo.epsilon,
        "clip_ratio_low": grpo.epsilon,  # the two go before clip_ratio, and have a default
        "clip_ratio_high": grpo.epsilon,
        "loss_agg_mode": LOSSES[grpo.loss],
        "loss_scale_factor": grpo.max_new_tokens,
        "use_kl_loss": grpo.beta > 0,
        "kl_loss_coef": grpo.beta,
        "kl_loss_type": "low_var_kl",
        "data_loader_seed": grpo.seed,
    }


def _rollout(run: ClusterRun) -> dict[str, Any]:
    values: dict[str, Any] = {
        "name": "vllm",
        "n": run.grpo.group,
        "temperature": run.grpo.temperature,
        "seed": run.grpo.seed,
        "calculate_log_probs": True,
        "max_model_len": run.longest_sample,
        "tensor_model_parallel_size": 1,  # verl's default of 2 needs an even number of GPUs
        "agent.default_agent_loop": LOOP,
        "agent.agent_loop_config_path": str(run.folder / "agent.yaml"),
    }
    if run.recipe.lora:
        values["load_format"] = "safetensors"  # only adapters are sent to vLLM afterwards
    return values


def _trainer(run: ClusterRun) -> dict[str, Any]:
    grpo = run.grpo
    checks = run.recipe.checks
    return {
        "nnodes": run.nodes,
        "n_gpus_per_node": run.gpus,
        "total_epochs": 1,
        "total_training_steps": batches_of(grpo.steps, grpo),
        "save_freq": batches_of(grpo.save_every, grpo),
        "max_actor_ckpt_to_keep": 2,  # the one before is there until the next is whole
        "test_freq": batches_of(checks.every, grpo) or -1,
        "val_before_train": checks.every > 0,
        "default_local_dir": str(run.folder / "checkpoints"),
        "project_name": "vlmgym",
        "experiment_name": run.folder.parent.name,
        "logger": ["console", "tensorboard"],
    }
