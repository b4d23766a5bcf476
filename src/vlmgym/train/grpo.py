"""GRPO on forked game states, through TRL's GRPOTrainer.

A group of replies meets the same state: all are read and stepped from there, so the groups are
comparable by construction (a one-step bandit, as in the paper). A step is:

1. draw questions, states of games                    questions.QuestionSource.draw
2. draw their pictures, write their prompts           rows.ask_rows
3. sample a group of replies to each                  trl_grpo.TrlGrpo.generate_answers
4. judge: read each reply, play it, blame it          rewards.judge_rows
5. tell pools and curricula what was answered         questions.QuestionSource.tell
6. replace groups that are all worth the same         grpo_trainer.Grpo._collect
7. advantages, log-probabilities                      trl_grpo.TrlGrpo.score
8. leave out the equal groups that remain             trl_grpo.TrlGrpo.leave_out
9. loss and update, by TRL                            trl_grpo.TrlGrpo._compute_loss
10. check the loss, write checkpoints                 resumable.ResumableTrainer

Answers in two blocks (``grpo.branches``, ``grpo.path``, ``grpo.credit``) are sampled, scored and
credited block by block, in 3 and 7: block_grpo.

With several turns a group is several episodes that begin in the same state: multi_turn takes the
place of 2 to 4, and nothing is replaced (:meth:`vlmgym.train.grpo_trainer.Grpo.make_batch`).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vlmgym.core import ConfigError, need
from vlmgym.models.loading import TRAINING, banned_tokens
from vlmgym.players.sampling import plain_generation
from vlmgym.render.pixel_values import use_pixel_cache
from vlmgym.train.multi_turn import Play, episode_rewards, playable
from vlmgym.train.questions import QuestionSource
from vlmgym.train.recipe import Recipe
from vlmgym.train.rewards import reward_functions
from vlmgym.train.settings import GrpoSettings


def run_grpo(
    recipe: Recipe,
    model: Any,
    processor: Any,
    out: Path,
    callbacks: Sequence[Any] = (),
    states: QuestionSource | None = None,
) -> Any:
    """Train with TRL's GRPOTrainer; a run that was stopped continues from its last whole checkpoint
    under ``out``.

    Args:
        recipe: its tasks, its settings of GRPO, reward, compute and adapters.
        model: an image-text model; the recipe's, or what came out of its cold start.
        processor: its processor (left padding).
        out: folder of checkpoints.
        callbacks: further Transformers callbacks.
        states: where questions come from; None = the recipe's sources and curricula.

    Returns:
        The trainer, after training.

    Raises:
        ConfigError: a recipe without GRPO, groups that would be split between processes, or a
            family that cannot play several turns. DivergedError, DiskFullError, Interrupted: see
            :meth:`vlmgym.train.resumable.ResumableTrainer.run`.
    """
    need("train", *TRAINING)
    settings = recipe.grpo
    if settings is None:
        raise ConfigError("recipe.grpo", None, "the settings of GRPO, where it is to run")
    if settings.use_vllm:
        need("vllm", "vllm")
    from vlmgym.train.block_grpo import BlockGrpo
    from vlmgym.train.grpo_trainer import Grpo

    functions, config = _configured(recipe, settings, model, processor, out)
    weights = recipe.reward
    states = states or QuestionSource(recipe.tasks, recipe.states, recipe.curriculum, settings.seed)
    _refuse(recipe, settings, states)

    def play() -> Play:
        return Play(settings.turns, settings.max_new_tokens, weights)

    with plain_generation(model), playable(model, processor, settings.turns) as with_turns:
        kind = Grpo if settings.in_blocks is None else BlockGrpo
        trainer = kind(
            model=model,
            processing_class=use_pixel_cache(with_turns),
            reward_funcs=functions,
            args=config,
            callbacks=list(callbacks),
            peft_config=recipe.lora.config(model) if recipe.lora else None,
            environment_factory=play if settings.turns > 1 else None,
            states=states,
            weights=weights,
            settings=settings,
        )
        _hand_on_reporters(trainer, callbacks)
        trainer.run()
    return trainer


def _hand_on_reporters(trainer: Any, callbacks: Sequence[Any]) -> None:
    """Give the Trainer's reporters to the callbacks that tell them more."""
    for callback in callbacks:
        if hasattr(callback, "reporters"):
            callback.reporters = reporters_of(trainer)


def _refuse(recipe: Recipe, settings: GrpoSettings, states: QuestionSource) -> None:
    """Refuse what GRPO cannot do with what else a recipe says."""
    if recipe.lora and recipe.lora.dropout:
        raise ConfigError(
            "lora.dropout",
            recipe.lora.dropout,
            "0 in GRPO: answers would be scored under other masks than sampled",
        )
    if settings.turns > 1 and any(source.kind == "policy_pool" for source in states.sources):
        raise ConfigError(
            "recipe.states", "policy_pool", "random_walk or replay where grpo.turns > 1"
        )


def _configured(
    recipe: Recipe, settings: GrpoSettings, model: Any, processor: Any, out: Path
) -> tuple[list[Any], Any]:
    """TRL's reward functions and its configuration, as the settings want them."""
    from trl import GRPOConfig

    if settings.turns == 1:
        functions, factors = reward_functions(recipe.reward)
    else:
        functions, factors = episode_rewards(recipe.reward, settings.turns, settings.episode)
    return functions, GRPOConfig(
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
        **settings.arguments(out, recipe.compute),
    )


def reporters_of(trainer: Any) -> list[Any]:
    """The callbacks by which a Trainer reports to other places (W&B, Trackio ...)."""
    from transformers.integrations.integration_utils import INTEGRATION_TO_CALLBACK

    kinds = tuple(INTEGRATION_TO_CALLBACK.values())
    callbacks = trainer.callback_handler.callbacks
    return [callback for callback in callbacks if isinstance(callback, kinds)]


def _never_sampled(settings: GrpoSettings, ids: list[int]) -> dict[str, Any]:
    """Generation options that keep image and padding tokens out of the answers, for Transformers
    and for vLLM.
    """
    if settings.use_vllm:
        return {"logit_bias": dict.fromkeys(ids, -100.0)}
    return {"suppress_tokens": ids}
