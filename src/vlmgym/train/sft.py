"""Supervised fine-tuning on answers: the cold start, and the pretraining of the embedded model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vlmgym.core import Settings, setting
from vlmgym.train.model import TRAINING, Compute, need


@dataclass(frozen=True)
class SftSettings(Settings):
    """Hyperparameters of supervised fine-tuning; the defaults are the paper's cold start."""

    steps: int = setting(0, "optimiser steps; 0 = by epochs", 0, 10_000_000)
    epochs: int = setting(1, "passes over the rows", 1, 1000)
    batch: int = setting(16, "rows a step on each device", 1, 4096)
    accumulate: int = setting(1, "batches a step", 1, 4096)
    lr: float = setting(2e-5, "learning rate", 0.0, 1.0)
    scheduler: str = setting("cosine", "of the learning rate", choices=("cosine", "constant", "linear", "constant_with_warmup"))
    warmup: int = setting(0, "steps of linear warm-up", 0, 1_000_000)
    weight_decay: float = setting(0.01, "of AdamW", 0.0, 1.0)
    max_grad_norm: float = setting(1.0, "gradients are clipped to this norm", 0.0, 1e6)
    save_every: int = setting(100, "steps between checkpoints", 1, 1_000_000)
    seed: int = setting(0, "of order and dropout", 0, 2**31 - 1)


def run_sft(
    model: Any,
    processor: Any,
    data: Sequence[dict[str, Any]] | Callable[[], Iterator[dict[str, Any]]],
    out: Path,
    settings: SftSettings,
    compute: Compute,
    callbacks: Sequence[Any] = (),
) -> Any:
    """Train with TRL's SFTTrainer on rows of prompt, image and completion; only answer tokens enter the loss.

    A run that was stopped continues from its last checkpoint under ``out``.

    Args:
        model: an image-text model.
        processor: its processor.
        data: rows, or a function that gives a fresh, repeatable stream of rows (then ``settings.steps`` must be > 0).
        out: folder of checkpoints.
        settings: hyperparameters.
        compute: device and precision.
        callbacks: further Transformers callbacks.

    Returns:
        The trainer, after training.
    """
    need("train", *TRAINING)
    from datasets import Dataset, Features, Image, IterableDataset, Value
    from transformers.trainer_callback import PrinterCallback, ProgressCallback
    from transformers.trainer_utils import get_last_checkpoint
    from trl import SFTConfig, SFTTrainer

    if callable(data):
        dataset: Any = IterableDataset.from_generator(data)
    else:
        block = [{"type": Value("string"), "text": Value("string")}]
        turn = [{"role": Value("string"), "content": block}]
        features = Features({"prompt": turn, "completion": turn, "image": Image()})
        dataset = Dataset.from_list([{k: r[k] for k in features} for r in data], features=features)
    config = SFTConfig(
        output_dir=str(out),
        max_steps=settings.steps or -1,
        num_train_epochs=settings.epochs,
        per_device_train_batch_size=settings.batch,
        gradient_accumulation_steps=settings.accumulate,
        learning_rate=settings.lr,
        lr_scheduler_type=settings.scheduler,
        warmup_steps=settings.warmup,
        weight_decay=settings.weight_decay,
        max_grad_norm=settings.max_grad_norm,
        max_length=None,  # any limit may cut the answer away without a word
        logging_steps=1,
        save_strategy="steps",
        save_steps=settings.save_every,
        save_total_limit=1,
        report_to=[],
        seed=settings.seed,
        remove_unused_columns=False,
        **compute.arguments(),
    )
    trainer = SFTTrainer(model=model, args=config, train_dataset=dataset, processing_class=processor, callbacks=list(callbacks))
    for unwanted in (PrinterCallback, ProgressCallback):
        trainer.remove_callback(unwanted)
    last = get_last_checkpoint(str(out)) if out.is_dir() else None
    trainer.train(resume_from_checkpoint=last)
    return trainer
