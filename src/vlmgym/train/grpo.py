"""GRPO on forked game states, through TRL's GRPOTrainer.

A group of answers meets the same state: all are read and stepped from there, so the groups are comparable by construction (a
one-step bandit, as in the paper). With several turns, a group is several episodes that begin in the same state.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vlmgym.core import ConfigError, need, setting
from vlmgym.pixels import quicken
from vlmgym.players.sampling import plain_generation
from vlmgym.reward import Weights
from vlmgym.tasks import Task
from vlmgym.train.episodes import Play, episode_rewards, playable
from vlmgym.train.model import TRAINING, Compute, Lora, Optimisation, banned_tokens
from vlmgym.train.rewards import reward_functions
from vlmgym.train.states import States


@dataclass(frozen=True)
class GrpoSettings(Optimisation):
    """Hyperparameters of GRPO; the defaults are the paper's (640 answers a step, 5 to a state)."""

    steps: int = setting(400, "optimiser steps", 1, 10_000_000)
    batch: int = setting(640, "answers a step on each device, a multiple of group * accumulate", 2, 1_000_000)
    group: int = setting(5, "answers to each state", 2, 1024)
    generate_batch: int = setting(0, "answers generated together on a device, a multiple of group; 0 = all", 0, 1_000_000)
    epsilon: float = setting(0.2, "clip range of the probability ratio", 0.0, 1.0)
    beta: float = setting(0.01, "weight of the KL loss to the start model", 0.0, 10.0)
    temperature: float = setting(1.0, "of the sampling", 0.01, 10.0)
    max_new_tokens: int = setting(1024, "length limit of an answer; with turns, of a whole episode", 1, 1_000_000)
    loss: str = setting("dapo", "TRL's loss_type", choices=("grpo", "bnpo", "dapo", "dr_grpo", "cispo", "sapo"))
    epochs_per_batch: int = setting(1, "optimiser passes over each generation batch", 1, 64)
    drop_equal: bool = setting(True, "leave out groups whose answers are all worth the same: they say nothing about the policy")
    refill: int = setting(1, "rounds in which dropped groups are replaced by new questions (not with turns)", 0, 16)
    turns: int = setting(1, "turns of an episode that is one sample; 1 = single answers, as in the paper", 1, 1000)
    episode: str = setting("turns", "game term of an episode: sum of its turns, or final score", choices=("turns", "score"))
    prefill: bool = setting(False, "answers begin with the true description (not with turns): what if perception were perfect?")
    save_every: int = setting(20, "steps between checkpoints", 1, 1_000_000)
    log_completions: bool = setting(False, "write prompts and answers of each step as Parquet")
    use_vllm: bool = setting(False, "generate with vLLM")
    vllm_mode: str = setting("server", "TRL's vllm_mode", choices=("server", "colocate"))
    vllm_url: str = setting("", "of the vLLM server; empty = TRL's own default")

    def __post_init__(self) -> None:
        """Check the batch arithmetic as well."""
        super().__post_init__()
        if self.save_every % self.epochs_per_batch:
            allowed = f"a multiple of epochs_per_batch = {self.epochs_per_batch}, so that no batch is left half used"
            raise ConfigError("GrpoSettings.save_every", self.save_every, allowed)
        if self.generate_batch % self.group:
            raise ConfigError("GrpoSettings.generate_batch", self.generate_batch, f"a multiple of group = {self.group}, or 0")
        if self.prefill and self.turns > 1:
            raise ConfigError("GrpoSettings.prefill", True, "false where turns > 1")
        if self.batch % (self.group * self.accumulate):
            multiple = self.group * self.accumulate
            raise ConfigError("GrpoSettings.batch", self.batch, f"a multiple of group * accumulate = {multiple}")


def run_grpo(
    model: Any,
    processor: Any,
    tasks: Sequence[Task],
    out: Path,
    settings: GrpoSettings,
    weights: Weights,
    compute: Compute,
    callbacks: Sequence[Any] = (),
    states: States | None = None,
    lora: Lora | None = None,
) -> Any:
    """Train with TRL's GRPOTrainer; a run that was stopped continues from its last whole checkpoint under ``out``.

    Args:
        model: an image-text model.
        processor: its processor (left padding).
        tasks: the games of the run; questions are drawn by their weights.
        out: folder of checkpoints.
        settings: hyperparameters.
        weights: of the reward terms.
        compute: device and precision.
        callbacks: further Transformers callbacks.
        states: where questions come from; None = random walks of the tasks.
        lora: train adapters only.

    Returns:
        The trainer, after training.

    Raises:
        ConfigError: groups that would be split between processes, or a family that cannot play several turns.
        DivergedError, DiskFullError, Interrupted: see :meth:`vlmgym.train.trainers.Surviving.run`.
    """
    need("train", *TRAINING)
    if settings.use_vllm:
        need("vllm", "vllm")
    from trl import GRPOConfig

    from vlmgym.train.trainers import Grpo

    if settings.turns == 1:
        functions, factors = reward_functions(weights)
    else:
        functions, factors = episode_rewards(weights, settings.turns, settings.episode)
    config = GRPOConfig(
        per_device_train_batch_size=settings.batch // settings.accumulate,
        num_generations=settings.group,
        num_iterations=settings.epochs_per_batch,
        epsilon=settings.epsilon,
        beta=settings.beta,
        use_bias_correction_kl=False,
        temperature=settings.temperature,
        max_completion_length=settings.max_new_tokens,
        max_tool_calling_iterations=settings.turns - 1 or None,
        loss_type=settings.loss,
        reward_weights=factors,
        generation_kwargs=_never_sampled(settings, banned_tokens(model, processor)),
        log_completions=settings.log_completions,
        use_vllm=settings.use_vllm,
        vllm_mode=settings.vllm_mode,
        vllm_server_base_url=settings.vllm_url or None,
        vllm_importance_sampling_mode="token_truncate",  # a product over a whole answer leaves nothing in range
        vllm_importance_sampling_clip_max=2.0,
        shuffle_dataset=False,
        **settings.arguments(out, compute),
    )

    def play() -> Play:
        return Play(settings.turns, settings.max_new_tokens, weights.regret != 0)

    states = states or States(tasks, seed=settings.seed)
    if lora and lora.dropout:
        raise ConfigError("lora.dropout", lora.dropout, "0 in GRPO: answers would be scored under other masks than sampled")
    if settings.turns > 1 and any(source.kind == "policy_pool" for source in states.sources):
        raise ConfigError("recipe.states", "policy_pool", "random_walk or replay where grpo.turns > 1")

    with plain_generation(model), playable(model, processor, settings.turns) as ready:
        trainer = Grpo(
            model=model,
            processing_class=quicken(ready),
            reward_funcs=functions,
            args=config,
            callbacks=list(callbacks),
            peft_config=lora.config(model) if lora else None,
            environment_factory=play if settings.turns > 1 else None,
            states=states,
            weights=weights,
            settings=settings,
        )
        for one in callbacks:
            if hasattr(one, "reporters"):
                one.reporters = reporters_of(trainer)
        trainer.run()
    return trainer


def reporters_of(trainer: Any) -> list[Any]:
    """The callbacks by which a Trainer reports to other places (W&B, Trackio ...)."""
    from transformers.integrations.integration_utils import INTEGRATION_TO_CALLBACK

    kinds = tuple(INTEGRATION_TO_CALLBACK.values())
    return [one for one in trainer.callback_handler.callbacks if isinstance(one, kinds)]


def _never_sampled(settings: GrpoSettings, ids: list[int]) -> dict[str, Any]:
    """Generation options that keep image and padding tokens out of the answers, for Transformers and for vLLM."""
    return {"logit_bias": dict.fromkeys(ids, -100.0)} if settings.use_vllm else {"suppress_tokens": ids}
