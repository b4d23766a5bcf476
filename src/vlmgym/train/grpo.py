"""GRPO on forked game states, through TRL's GRPOTrainer.

A row carries its state. A group of answers meets the same state; the reward functions restore it, read the answers and
step once, so the groups are comparable by construction (a one-step bandit, as in the paper).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vlmgym.core import ConfigError, concat, draw_unit, need, setting
from vlmgym.games import read_state_text
from vlmgym.pixels import quicken
from vlmgym.reward import Fault, Judgement, Weights, judge
from vlmgym.tasks import Task
from vlmgym.train.data import rows
from vlmgym.train.model import TRAINING, Compute, Optimisation, banned_tokens, run_trainer


@dataclass(frozen=True)
class GrpoSettings(Optimisation):
    """Hyperparameters of GRPO; the defaults are the paper's (640 answers a step, 5 to a state)."""

    steps: int = setting(400, "optimiser steps", 1, 10_000_000)
    batch: int = setting(640, "answers a step on each device, a multiple of group * accumulate", 2, 1_000_000)
    group: int = setting(5, "answers to each state", 2, 1024)
    epsilon: float = setting(0.2, "clip range of the probability ratio", 0.0, 1.0)
    beta: float = setting(0.01, "weight of the KL loss to the start model", 0.0, 10.0)
    temperature: float = setting(1.0, "of the sampling", 0.01, 10.0)
    max_new_tokens: int = setting(1024, "length limit of an answer", 1, 1_000_000)
    loss: str = setting("dapo", "TRL's loss_type", choices=("grpo", "bnpo", "dapo", "dr_grpo", "cispo", "sapo"))
    epochs_per_batch: int = setting(1, "optimiser passes over each generation batch", 1, 64)
    save_every: int = setting(20, "steps between checkpoints", 1, 1_000_000)
    log_completions: bool = setting(False, "write prompts and answers of each step as Parquet")
    use_vllm: bool = setting(False, "generate with vLLM")
    vllm_mode: str = setting("server", "TRL's vllm_mode", choices=("server", "colocate"))

    def __post_init__(self) -> None:
        """Check the batch arithmetic as well."""
        super().__post_init__()
        if self.batch % (self.group * self.accumulate):
            multiple = self.group * self.accumulate
            raise ConfigError("GrpoSettings.batch", self.batch, f"a multiple of group * accumulate = {multiple}")


def state_rows(tasks: Sequence[Task], seed: int, chunk: int = 64) -> Iterator[dict[str, Any]]:
    """An endless, repeatable stream of rows from random walks on the train split; tasks drawn by weight.

    Args:
        tasks: the games of the run.
        seed: chooses tasks and states.
        chunk: states walked at once for each task.
    """
    weights = np.array([t.weight for t in tasks])
    edges = np.cumsum(weights / weights.sum())
    waiting: list[list[dict[str, Any]]] = [[] for _ in tasks]
    served = [seed * 1_000_003 % 1_000_000_007] * len(tasks)
    number = 0
    while True:
        k = min(int(np.searchsorted(edges, draw_unit(np.uint64(seed), 0, number), side="right")), len(tasks) - 1)
        number += 1
        if not waiting[k]:
            waiting[k] = rows(tasks[k], tasks[k].states("train", chunk, served[k]))
            served[k] += chunk
        yield waiting[k].pop(0)


class _Judge:
    """Judges each batch of completions once, for all reward functions; the last batch is kept."""

    def __init__(self, oracle: bool) -> None:
        self.oracle = oracle
        self.key: tuple[tuple[str, str], ...] = ()
        self.judged: list[Judgement] = []

    def __call__(self, completions: Sequence[Any], state: Sequence[str]) -> tuple[list[Judgement], bool]:
        texts = [c if isinstance(c, str) else _text(c[0]["content"]) for c in completions]
        key = tuple(zip(state, texts, strict=True))
        fresh = key != self.key
        if fresh:
            self.judged = judge_rows(state, texts, self.oracle)
            self.key = key
        return self.judged, fresh


def _text(content: Any) -> str:
    return content if isinstance(content, str) else "".join(c.get("text", "") for c in content)


def judge_rows(states: Sequence[str], texts: Sequence[str], oracle: bool) -> list[Judgement]:
    """Judge answers to serialised states (base64); rows of one game and level are stepped as one batch."""
    loaded = [read_state_text(s) for s in states]
    kinds: dict[Any, list[int]] = {}
    for i, (game, state) in enumerate(loaded):
        kinds.setdefault((game.name, state.level), []).append(i)
    out: list[Judgement | None] = [None] * len(texts)
    for members in kinds.values():
        game = loaded[members[0]][0]
        batch = concat([loaded[i][1] for i in members])
        for i, one in zip(members, judge(game, batch, [texts[i] for i in members], oracle=oracle)[1], strict=True):
            out[i] = one
    return [one for one in out if one is not None]


def reward_functions(weights: Weights) -> tuple[list[Any], list[float]]:
    """TRL reward functions, one a term, and their weights; the first also logs P_acc, R_acc and the error attribution."""
    judge_once = _Judge(oracle=weights.regret != 0)

    def make(term: str) -> Any:
        def function(completions: Sequence[Any], state: Sequence[str], game: Sequence[str], **columns: Any) -> list[float]:
            judged, fresh = judge_once(completions, state)
            log = columns.get("log_metric")
            if fresh and log is not None:
                for name, value in batch_metrics(judged, game).items():
                    log(name, value)
            return [one.terms[term] for one in judged]

        function.__name__ = term
        return function

    terms = asdict(weights)
    return [make(term) for term in terms], list(terms.values())


def batch_metrics(judged: Sequence[Judgement], games: Sequence[str]) -> dict[str, float]:
    """Scalars of a batch: success, p_acc, r_acc and faults, over all and for each game where there are several."""
    out = {}
    names = sorted(set(games))
    for name in ["", *(names if len(names) > 1 else [])]:
        group = [j for j, g in zip(judged, games, strict=True) if not name or g == name]
        prefix = f"{name}/" if name else ""
        exact = [j for j in group if j.p_acc]
        out[f"{prefix}success"] = sum(j.gain > 0 for j in group) / len(group)
        out[f"{prefix}p_acc"] = len(exact) / len(group)
        if exact:
            out[f"{prefix}r_acc"] = sum(j.gain > 0 for j in exact) / len(exact)
        if not name:
            for fault in Fault:
                out[f"fault/{fault.value}"] = sum(j.fault == fault for j in group) / len(group)
    return out


def run_grpo(
    model: Any,
    processor: Any,
    tasks: Sequence[Task],
    out: Path,
    settings: GrpoSettings,
    weights: Weights,
    compute: Compute,
    callbacks: Sequence[Any] = (),
) -> Any:
    """Train with TRL's GRPOTrainer; a run that was stopped continues from its last checkpoint under ``out``.

    Args:
        model: an image-text model.
        processor: its processor (left padding).
        tasks: the games of the run; rows are drawn by their weights.
        out: folder of checkpoints and TensorBoard events.
        settings: hyperparameters.
        weights: of the reward terms.
        compute: device and precision.
        callbacks: further Transformers callbacks.

    Returns:
        The trainer, after training.
    """
    need("train", *TRAINING)
    from datasets import IterableDataset
    from trl import GRPOConfig, GRPOTrainer

    functions, factors = reward_functions(weights)
    config = GRPOConfig(
        per_device_train_batch_size=settings.batch // settings.accumulate,
        num_generations=settings.group,
        num_iterations=settings.epochs_per_batch,
        epsilon=settings.epsilon,
        beta=settings.beta,
        use_bias_correction_kl=False,
        temperature=settings.temperature,
        max_completion_length=settings.max_new_tokens,
        loss_type=settings.loss,
        reward_weights=factors,
        generation_kwargs=_never_sampled(settings, banned_tokens(model, processor)),
        log_completions=settings.log_completions,
        use_vllm=settings.use_vllm,
        vllm_mode=settings.vllm_mode,
        shuffle_dataset=False,
        **settings.arguments(out, compute),
    )
    trainer = GRPOTrainer(
        model=model,
        processing_class=quicken(processor),
        reward_funcs=functions,
        args=config,
        train_dataset=IterableDataset.from_generator(state_rows, gen_kwargs={"tasks": tuple(tasks), "seed": settings.seed}),
        callbacks=list(callbacks),
    )
    run_trainer(trainer, out)
    return trainer


def _never_sampled(settings: GrpoSettings, ids: list[int]) -> dict[str, Any]:
    """Generation options that keep image and padding tokens out of the answers, for Transformers and for vLLM."""
    return {"logit_bias": dict.fromkeys(ids, -100.0)} if settings.use_vllm else {"suppress_tokens": ids}
