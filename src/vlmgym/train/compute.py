"""Where and how trainers compute: device, precision, optimiser, adapters."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from vlmgym.core import ConfigError, Settings, need, setting
from vlmgym.core.threads import set_threads, usable_cores
from vlmgym.models.loading import VISION, freeze_vision, load

OPTIMIZERS = {
    "adamw": ("adamw_torch", ()),
    "adamw_8bit": ("adamw_bnb_8bit", ("bitsandbytes",)),
    "paged_adamw_8bit": ("paged_adamw_8bit", ("bitsandbytes",)),
}
"""Names of optimisers, what the Trainer calls them, and the packages they need."""


@dataclass(frozen=True)
class Compute(Settings):
    """Where and how a trainer computes."""

    device: str = setting("auto", "auto: a GPU if there is one", choices=("auto", "cpu"))
    threads: int = setting(0, "torch threads on a CPU; 0 = leave", 0, 1024)
    bf16: bool = setting(False, "compute in bfloat16 (autocast)")
    weights: str = setting(
        "float32", "kept in; bfloat16 alone loses small updates", choices=("float32", "bfloat16")
    )
    attention: str = setting(
        "auto",
        "auto: as Transformers chooses",
        choices=("auto", "eager", "sdpa", "flash_attention_2"),
    )
    gradient_checkpointing: bool = setting(False, "recompute activations to save memory")
    optimizer: str = setting(
        "adamw", "8-bit ones keep their states in bytes (bitsandbytes)", choices=tuple(OPTIMIZERS)
    )
    train_vision: bool = setting(True, "the vision tower learns as well; with lora it never does")

    def load(self, name: str) -> tuple[Any, Any]:
        """Model and processor as these settings want them, the vision tower frozen where it does
        not learn.
        """
        model, processor = load(name, self.weights, attention=self.attention)
        if not self.train_vision:
            freeze_vision(model)
        return model, processor

    def processes(self) -> Any:
        """Accelerate's view of the processes of this run: who is the main one, and how to wait for
        all.
        """
        need("train", "accelerate")
        from accelerate import PartialState

        return PartialState(cpu=self.device == "cpu")

    def arguments(self) -> dict[str, Any]:
        """The training arguments that these settings stand for; also sets the threads of torch, and
        as many for pictures.

        The two never compute at the same time, so they may have the same cores.

        Raises:
            MissingExtra: the optimiser's package is not installed.
        """
        import torch

        name, packages = OPTIMIZERS[self.optimizer]
        need("gpu", *packages)
        if self.threads:
            torch.set_num_threads(self.threads)
        set_threads(torch.get_num_threads())
        sys.stderr.write(
            f"threads: {torch.get_num_threads()} of torch, as many for pictures, "
            f"{usable_cores()} cores\n"
        )
        use_cpu = self.device == "cpu" or not torch.cuda.is_available()
        return {
            "use_cpu": use_cpu,
            "bf16": self.bf16,
            "optim": name,
            "gradient_checkpointing": self.gradient_checkpointing,
            "dataloader_pin_memory": not use_cpu,
        }


@dataclass(frozen=True)
class Lora(Settings):
    """Low-rank adapters (Hu et al. 2021, "LoRA") on the language model's attention and feed-forward
    layers, through PEFT.

    Adapters stay in float32 and learn at about ten times the rate of full training; the model that
    a stage leaves behind has them merged into its weights. The output layer never gets one: TRL's
    loss reads its weights past the adapter.
    """

    rank: int = setting(64, "of the adapters", 1, 4096)
    alpha: int = setting(128, "their output is scaled by alpha / rank", 1, 1_000_000)
    dropout: float = setting(0.0, "before the adapters", 0.0, 0.9)

    def config(self, model: Any) -> Any:
        """PEFT's LoraConfig for this model.

        Raises:
            MissingExtra: PEFT is not installed.
            ConfigError: the model has no layers of the usual names.
        """
        need("train", "peft")
        from peft import LoraConfig

        layers = self.layers([name for name, _ in model.named_modules()])
        if not layers:
            raise ConfigError(
                "lora",
                type(model).__name__,
                "a family whose language model has layers named " + ", ".join(LORA_LAYERS),
            )
        return LoraConfig(
            r=self.rank,
            lora_alpha=self.alpha,
            lora_dropout=self.dropout,
            target_modules=layers,
            task_type="CAUSAL_LM",
        )

    @staticmethod
    def layers(names: Sequence[str]) -> list[str]:
        """Those of the module names that get an adapter."""
        adapted = []
        for name in names:
            parts = name.split(".")
            in_vision_tower = any(part in VISION for part in parts)
            if parts[-1] in LORA_LAYERS and not in_vision_tower:
                adapted.append(name)
        return adapted


LORA_LAYERS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
