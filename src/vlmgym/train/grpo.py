"""GRPO on forked game states, through TRL's GRPOTrainer.

A group of answers meets the same state: all are read and stepped from there, so the groups are
comparable by construction (a one-step bandit, as in the paper). With several turns, a group is
several episodes that begin in the same state.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vlmgym.core import ConfigError, need
from vlmgym.dialogue.judge import Weights
from vlmgym.episodes.task import Task
from vlmgym.models.loading import TRAINING, banned_tokens
from vlmgym.players.sampling import plain_generation
from vlmgym.render.pixel_values import use_pixel_cache
from vlmgym.train.compute import Compute, Lora
from vlmgym.train.multi_turn import Play, episode_rewards, playable
from vlmgym.train.questions import QuestionSource
from vlmgym.train.rewards import reward_functions
from vlmgym.train.settings import GrpoSettings


def run_grpo(
    model: Any,
    processor: Any,
    tasks: Sequence[Task],
    out: Path,
    settings: GrpoSettings,
    weights: Weights,
    compute: Compute,
    callbacks: Sequence[Any] = (),
    states: QuestionSource | None = None,
    lora: Lora | None = None,
) -> Any:
    """Train with TRL's GRPOTrainer; a run that was stopped continues from its last whole checkpoint
    under ``out``.

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
        ConfigError: groups that would be split between processes, or a family that cannot play
        several turns. DivergedError, DiskFullError, Interrupted: see
        :meth:`vlmgym.train.resumable.ResumableTrainer.run`.
    """
    need("train", *TRAINING)
    if settings.use_vllm:
        need("vllm", "vllm")
    from trl import GRPOConfig

    from vlmgym.train.grpo_trainer import Grpo

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
        # a product over a whole answer leaves nothing in range
        vllm_importance_sampling_mode="token_truncate",
        vllm_importance_sampling_clip_max=2.0,
        shuffle_dataset=False,
        **settings.arguments(out, compute),
    )

    def play() -> Play:
        return Play(settings.turns, settings.max_new_tokens, weights.regret != 0)

    states = states or QuestionSource(tasks, seed=settings.seed)
    if lora and lora.dropout:
        raise ConfigError(
            "lora.dropout",
            lora.dropout,
            "0 in GRPO: answers would be scored under other masks than sampled",
        )
    if settings.turns > 1 and any(source.kind == "policy_pool" for source in states.sources):
        raise ConfigError(
            "recipe.states", "policy_pool", "random_walk or replay where grpo.turns > 1"
        )

    with plain_generation(model), playable(model, processor, settings.turns) as ready:
        trainer = Grpo(
            model=model,
            processing_class=use_pixel_cache(ready),
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
    """Generation options that keep image and padding tokens out of the answers, for Transformers
    and for vLLM.
    """
    return (
        {"logit_bias": dict.fromkeys(ids, -100.0)}
        if settings.use_vllm
        else {"suppress_tokens": ids}
    )
