"""Supervised fine-tuning on answers: the cold start, and the pretraining of the embedded model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from vlmgym.core import need
from vlmgym.models.loading import TRAINING
from vlmgym.render.pixel_values import use_pixel_cache
from vlmgym.train.compute import Compute, Lora
from vlmgym.train.settings import SftSettings


def run_sft(
    model: Any,
    processor: Any,
    data: Sequence[dict[str, Any]] | Callable[[], Iterator[dict[str, Any]]],
    out: Path,
    settings: SftSettings,
    compute: Compute,
    callbacks: Sequence[Any] = (),
    lora: Lora | None = None,
) -> Any:
    """Train with TRL's SFTTrainer on rows of prompt, image and completion; only answer tokens enter
    the loss, without those of ``told``, how an answer is given to begin.

    A run that was stopped continues from its last whole checkpoint under ``out``.

    Args:
        model: an image-text model.
        processor: its processor.
        data: rows, or a function that gives a fresh, repeatable stream of rows (then
            ``settings.steps`` must be > 0).
        out: folder of checkpoints.
        settings: hyperparameters.
        compute: device and precision.
        callbacks: further Transformers callbacks.
        lora: train adapters only.

    Returns:
        The trainer, after training.

    Raises:
        DivergedError, DiskFullError, Interrupted: see
        :meth:`vlmgym.train.resumable.ResumableTrainer.run`.
    """
    need("train", *TRAINING)
    from trl import SFTConfig

    from vlmgym.train.resumable import Sft
    from vlmgym.train.trl_sft import Collator

    config = SFTConfig(
        num_train_epochs=settings.epochs,
        per_device_train_batch_size=settings.batch,
        max_length=None,  # any limit may cut the answer away without a word
        **settings.arguments(out, compute),
    )
    processor = use_pixel_cache(processor)
    trainer = Sft(
        model=model,
        args=config,
        train_dataset=_dataset(data),
        processing_class=processor,
        data_collator=Collator(processor, completion_only_loss=True),
        callbacks=list(callbacks),
        peft_config=lora.config(model) if lora else None,
    )
    trainer.explode = settings.explode
    trainer.run()
    return trainer


def _dataset(data: Sequence[dict[str, Any]] | Callable[[], Iterator[dict[str, Any]]]) -> Any:
    """Rows as the data set that TRL reads; of a stream one that is read as it comes."""
    from datasets import Dataset, Features, Image, IterableDataset, Value

    if callable(data):
        return IterableDataset.from_generator(data)
    block = {"type": Value("string"), "text": Value("string")}
    messages = [{"role": Value("string"), "content": [block]}]
    told = Value("string")
    features = Features(
        {"prompt": messages, "completion": messages, "image": Image(), "told": told}
    )
    rows = [{name: {"told": "", **row}[name] for name in features} for row in data]
    return Dataset.from_list(rows, features=features)
