"""Hyperparameters of the two recipes: supervised fine-tuning and GRPO."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from vlmgym.core import ConfigError, Settings, setting
from vlmgym.players.blocks import PATHS
from vlmgym.train.compute import Compute
from vlmgym.train.credit import APART, ESTIMATORS
from vlmgym.train.turn_credit import TURN_ESTIMATORS, TurnSettings

REPORTS = ("tensorboard", "wandb", "trackio", "none")
"""Where curves can go."""
PLAYED_AT_ONCE = 64
"""Answers that the evaluation during GRPO generates together, at most (``grpo.generate_batch``,
where that is less).
"""


@dataclass(frozen=True)
class Optimisation(Settings):
    """What SFT and GRPO share: schedule, optimiser (AdamW) and checkpoints."""

    steps: int = setting(0, "optimiser steps", 0, 10_000_000)
    accumulate: int = setting(1, "micro-batches a step", 1, 4096)
    lr: float = setting(1e-6, "learning rate", 0.0, 1.0)
    scheduler: str = setting(
        "constant",
        "of the learning rate",
        choices=("cosine", "constant", "linear", "constant_with_warmup"),
    )
    warmup: int = setting(
        0, "steps of linear warm-up, with every scheduler; the first has rate 0", 0, 1_000_000
    )
    weight_decay: float = setting(0.01, "of AdamW", 0.0, 1.0)
    max_grad_norm: float = setting(1.0, "gradients are clipped to this norm", 0.0, 1e6)
    save_every: int = setting(100, "steps between checkpoints", 1, 1_000_000)
    explode: float = setting(
        1e4, "a loss beyond this ends the run, as one that is not a number does", 0.0, 1e30
    )
    seed: int = setting(0, "of states, order and sampling", 0, 2**31 - 1)
    report_to: str = setting(
        "tensorboard", "where curves go besides metrics.jsonl, as in TRL", choices=REPORTS
    )

    def reporters(self) -> list[str]:
        """What the Trainer itself reports to; TensorBoard's events are written here.

        Raises:
            ConfigError: the package is not installed.
        """
        if self.report_to in ("tensorboard", "none"):
            return []
        if importlib.util.find_spec(self.report_to) is None:
            raise ConfigError(
                "report_to", self.report_to, f"an installed package: pip install {self.report_to}"
            )
        return [self.report_to]

    def arguments(self, out: Path, compute: Compute) -> dict[str, Any]:
        """The training arguments that these settings stand for; checkpoints go to ``out``."""
        return {
            "output_dir": str(out),
            "max_steps": self.steps or -1,
            "gradient_accumulation_steps": self.accumulate,
            "learning_rate": self.lr,
            # Transformers' "constant" passes over a warm-up without a word.
            "lr_scheduler_type": "constant_with_warmup"
            if self.warmup and self.scheduler == "constant"
            else self.scheduler,
            "warmup_steps": self.warmup,
            "weight_decay": self.weight_decay,
            "max_grad_norm": self.max_grad_norm,
            "logging_steps": 1,
            "save_strategy": "steps",
            "save_steps": self.save_every,
            "save_total_limit": 2,  # the one before is there until the next is whole
            "logging_nan_inf_filter": False,  # a loss that is not finite ends the run
            "report_to": self.reporters(),
            "seed": self.seed,
            "remove_unused_columns": False,
            **compute.arguments(),
        }


@dataclass(frozen=True)
class SftSettings(Optimisation):
    """Hyperparameters of supervised fine-tuning; the defaults are the paper's cold start.

    ``steps`` = 0: by epochs.
    """

    epochs: int = setting(1, "passes over the rows, where steps is 0", 1, 1000)
    batch: int = setting(16, "rows a micro-batch on each device", 1, 4096)
    lr: float = setting(2e-5, "learning rate", 0.0, 1.0)
    scheduler: str = setting(
        "cosine",
        "of the learning rate",
        choices=("cosine", "constant", "linear", "constant_with_warmup"),
    )

    def total_steps(self, rows: int, processes: int = 1) -> int:
        """Optimiser steps over ``rows`` rows, each process with its own batches."""
        return self.steps or -(-rows * self.epochs // (self.batch * self.accumulate * processes))


@dataclass(frozen=True)
class Branches(Settings):
    """How the answers to a state branch: descriptions, and continuations of each of them."""

    descriptions: int = setting(4, "descriptions of each state", 1, 1024)
    continuations: int = setting(4, "continuations of each description", 1, 1024)

    @property
    def answers(self) -> int:
        """Answers to a state."""
        return self.descriptions * self.continuations

    @property
    def rows(self) -> int:
        """Rows of a batch that a state takes: a description and a continuation each are one."""
        return self.descriptions + self.answers


@dataclass(frozen=True)
class GrpoSettings(Optimisation):
    """Hyperparameters of GRPO; the defaults are the paper's (640 answers a step, 5 to a state)."""

    steps: int = setting(400, "optimiser steps", 1, 10_000_000)
    batch: int = setting(
        640, "answers a step on each device, a multiple of group * accumulate", 2, 1_000_000
    )
    group: int = setting(5, "answers to each state", 2, 1024)
    generate_batch: int = setting(
        0, "answers generated together on a device, a multiple of group; 0 = all", 0, 1_000_000
    )
    epsilon: float = setting(0.2, "clip range of the probability ratio", 0.0, 1.0)
    beta: float = setting(0.01, "weight of the KL loss to the start model", 0.0, 10.0)
    temperature: float = setting(1.0, "of the sampling", 0.01, 10.0)
    max_new_tokens: int = setting(
        1024, "length limit of an answer; with turns, of a whole episode", 1, 1_000_000
    )
    loss: str = setting(
        "dapo", "TRL's loss_type", choices=("grpo", "bnpo", "dapo", "dr_grpo", "cispo", "sapo")
    )
    epochs_per_batch: int = setting(1, "optimiser passes over each generation batch", 1, 64)
    drop_equal: bool = setting(
        True,
        "leave out groups whose answers are all worth the same: they say nothing about the policy",
    )
    refill: int = setting(
        1, "rounds in which dropped groups are replaced by new questions (not with turns)", 0, 16
    )
    turns: int = setting(
        1, "turns of an episode that is one sample; 1 = single answers, as in the paper", 1, 1000
    )
    episode: str = setting(
        "turns",
        "game term of an episode: sum of its turns, or final score",
        choices=("turns", "score"),
    )
    prefill: bool = setting(
        False,
        "answers begin with the true description (not with turns): what "
        "if perception were perfect?",
    )
    path: str = setting(
        "open",
        "closed: think block and move are generated and scored without the picture, from the "
        "description alone",
        choices=PATHS,
    )
    # mappings, as recipes hold them, are read when the settings are made
    branches: Branches | None = field(
        default=None,
        metadata={"doc": "descriptions of a state, continuations of each: their product is group"},
    )
    credit: str = setting(
        "flat",
        "what of an answer or an episode a reward is credited to: all of it (flat), blocks (see "
        "vlmgym.train.credit) or, with turns, single turns (see vlmgym.train.turn_credit)",
        choices=(*ESTIMATORS, *TURN_ESTIMATORS),
    )
    returns: TurnSettings = setting(  # noqa: RUF009 - it is frozen
        TurnSettings(), "how credit of single turns is computed"
    )
    shuffled: bool = setting(
        False,
        "a control: the rewards of a group are dealt out among its answers at random (not with "
        "turns), so that nothing of the game can be learned from them",
    )
    save_every: int = setting(20, "steps between checkpoints", 1, 1_000_000)
    log_completions: bool = setting(False, "write prompts and answers of each step as Parquet")
    use_vllm: bool = setting(False, "generate with vLLM")
    vllm_mode: str = setting("server", "TRL's vllm_mode", choices=("server", "colocate"))
    vllm_url: str = setting("", "of the vLLM server; empty = TRL's own default")

    @property
    def in_blocks(self) -> Branches | None:
        """How answers branch that are sampled, scored and credited as two blocks; None where they
        are whole.
        """
        if self.branches is not None:
            return self.branches
        if self.path == "closed" or self.credit in APART:
            return Branches(self.group, 1)
        return None

    @property
    def rows(self) -> int:
        """Rows that a step trains on, on each device: answers, or blocks of answers."""
        branches = self.in_blocks
        return self.batch if branches is None else self.batch // self.group * branches.rows

    @property
    def played_at_once(self) -> int:
        """Answers that the evaluation during GRPO generates together, at most."""
        return min(self.generate_batch or PLAYED_AT_ONCE, PLAYED_AT_ONCE)

    def __post_init__(self) -> None:
        """Check the batch arithmetic as well."""
        super().__post_init__()
        if self.save_every % self.epochs_per_batch:
            allowed = (
                f"a multiple of epochs_per_batch = {self.epochs_per_batch}, so that no batch "
                "is left half used"
            )
            raise ConfigError("GrpoSettings.save_every", self.save_every, allowed)
        if self.generate_batch % self.group:
            raise ConfigError(
                "GrpoSettings.generate_batch",
                self.generate_batch,
                f"a multiple of group = {self.group}, or 0",
            )
        for name in ("prefill", "shuffled"):
            if getattr(self, name) and self.turns > 1:
                raise ConfigError(f"GrpoSettings.{name}", True, "false where turns > 1")
        if isinstance(self.branches, Mapping):
            object.__setattr__(self, "branches", Branches.parse(self.branches))
        if not isinstance(self.returns, TurnSettings):
            object.__setattr__(self, "returns", TurnSettings.parse(self.returns))
        if self.credit in TURN_ESTIMATORS:
            self._check_turns()
        else:
            self._check_blocks()
        if self.batch % (self.group * self.accumulate):
            multiple = self.group * self.accumulate
            raise ConfigError(
                "GrpoSettings.batch", self.batch, f"a multiple of group * accumulate = {multiple}"
            )

    def _check_turns(self) -> None:
        """See that there are turns to be credited."""
        if self.turns < 2:
            allowed = "one of " + ", ".join(ESTIMATORS) + " where turns = 1"
            raise ConfigError("GrpoSettings.credit", self.credit, allowed)
        for name, default in {"path": "open", "branches": None}.items():
            value = getattr(self, name)
            if value != default:
                raise ConfigError(f"GrpoSettings.{name}", value, f"{default} where turns > 1")

    def _check_blocks(self) -> None:
        """See that answers can be divided into blocks as they are to be."""
        branches = self.branches
        if branches is not None and not isinstance(branches, Branches):
            allowed = "a mapping {descriptions, continuations}, or nothing"
            raise ConfigError("GrpoSettings.branches", branches, allowed)
        if branches is not None and branches.answers != self.group:
            raise ConfigError(
                "GrpoSettings.branches",
                f"{branches.descriptions} descriptions x {branches.continuations} continuations",
                f"a product of group = {self.group}",
            )
        if self.shuffled and self.credit in APART:
            allowed = "flat or visual where rewards are shuffled"
            raise ConfigError("GrpoSettings.credit", self.credit, allowed)
        if self.credit == "nested" and min(asdict(self.branches or Branches(1, 1)).values()) < 2:
            allowed = "another one without branches of 2 descriptions x 2 continuations or more"
            raise ConfigError("GrpoSettings.credit", "nested", allowed)
        reasons = {"path": self.path, "branches": self.branches, "credit": self.credit}
        for name, value in reasons.items():
            is_default = value in ("open", None, "flat")
            if not is_default and (self.turns > 1 or self.prefill):
                default = type(self).defaults()[name]
                where = "prefill = true" if self.prefill else "turns > 1"
                shown = asdict(value) if isinstance(value, Branches) else value
                raise ConfigError(f"GrpoSettings.{name}", shown, f"{default} where {where}")
