"""Trainers that outlive the machine: sealed checkpoints, and an orderly end on signals and bad
losses.

Imports torch, Transformers and TRL; import it where a run begins.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import gather_object
from transformers import TrainerCallback
from transformers.trainer_callback import PrinterCallback, ProgressCallback
from trl import SFTTrainer

from vlmgym.models.loading import restore
from vlmgym.train.checkpoint import (
    BEGUN,
    DiskFullError,
    DivergedError,
    Interrupted,
    Signals,
    begin,
    checkpoints,
    last_good_checkpoint,
    no_room,
    seal,
    size_of,
    tensors_of,
)

_Trainer: Any = object


class ResumableTrainer(_Trainer):  # type: ignore[misc]
    """Put before a Trainer: checkpoints are sealed, bad losses end the run, signals end it in
    order.

    Attributes:
        explode: largest loss (absolute value) that is allowed.
    """

    explode = math.inf
    _inputs: Mapping[str, Any] = {}

    # ---- running
    def run(self) -> None:
        """Train from the last whole checkpoint, if there is one, to the end.

        Raises:
            DivergedError: the loss or the gradient is not finite, or exceeds ``explode``.
            DiskFullError: a checkpoint found no room.
            Interrupted: a signal asked for an end; a checkpoint was written.
        """
        for unwanted in (PrinterCallback, ProgressCallback):  # the caller's callbacks alone report
            self.remove_callback(unwanted)
        out = Path(self.args.output_dir)
        out.mkdir(parents=True, exist_ok=True)
        checkpoint = self._last_checkpoint(out)
        if checkpoint is not None:
            is_spread = self.is_fsdp_enabled or self.is_deepspeed_enabled
            if not is_spread and not hasattr(self.model, "peft_config"):
                restore(self.model, checkpoint)
            self.load_more(Path(checkpoint))
        with Signals() as signals:
            self.add_callback(_EndOnSignal(self, signals))
            self.train(resume_from_checkpoint=checkpoint)
        if signals.caught and self.state.global_step < self.state.max_steps:
            raise Interrupted(
                f"{signals.caught} at step {self.state.global_step}: run the same command to go on"
            )

    def _last_checkpoint(self, out: Path) -> str | None:
        """The last whole checkpoint, as the main process finds it for all."""
        paths = []
        if self.accelerator.is_main_process:
            paths = [str(last_good_checkpoint(out) or "")]
        return next(path for path in gather_object(paths) if path is not None) or None

    def may_stop(self) -> bool:
        """Whether all that was generated has been trained on, so that a checkpoint here loses and
        repeats nothing.
        """
        return True

    def save_more(self, folder: Path) -> None:
        """Write to a checkpoint what the Trainer does not know of (called on the main process)."""

    def load_more(self, folder: Path) -> None:
        """Read back what :meth:`save_more` wrote (called on every process)."""

    # ---- checkpoints
    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        out = Path(self.args.output_dir)
        folder = out / f"checkpoint-{self.state.global_step}"
        earlier = checkpoints(out)
        bytes_wanted = size_of(earlier[0]) if earlier else 0
        is_main = self.accelerator.is_main_process
        try:
            if bytes_wanted and is_main and no_room(None, out, bytes_wanted):
                raise OSError(f"{bytes_wanted / 1e6:.0f} MB are needed")
            if is_main:
                begin(folder)
            self.accelerator.wait_for_everyone()
            super()._save_checkpoint(model, trial)
            if is_main:
                self.save_more(folder)
            self.accelerator.wait_for_everyone()  # every process has written its random state
            if is_main:
                seal(folder)
            self.accelerator.wait_for_everyone()
        except Exception as error:
            if not no_room(error, out, bytes_wanted):
                raise
            if (folder / BEGUN).exists():
                shutil.rmtree(folder, ignore_errors=True)
            raise self._disk_full(out, error) from error

    def _disk_full(self, out: Path, error: Exception) -> DiskFullError:
        """The error of a checkpoint that finds no room, with what is there to go on from."""
        good = last_good_checkpoint(out, tidy=False)
        to_go_on_from = f"{good.name} is whole" if good else "there is none yet"
        return DiskFullError(
            f"no room for a checkpoint at step {self.state.global_step} in {out} ({error}); "
            f"{to_go_on_from}: make room and run the same command to go on"
        )

    # ---- losses
    def compute_loss(self, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        """The loss of a batch, which is kept in case that the loss is bad."""
        self._inputs = inputs
        return super().compute_loss(model, inputs, *args, **kwargs)

    def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> Any:
        """Forward and backward, and a look at the loss."""
        loss = super().training_step(model, inputs, num_items_in_batch)
        sizes = self.accelerator.gather(loss.detach().float().abs().reshape(1)).cpu()
        bad = torch.isnan(sizes) | (sizes > self.explode) | torch.isinf(sizes)
        if bad.any():
            on_this_process = bool(bad[self.accelerator.process_index])
            self._diverged("loss", float(sizes[bad][0]), on_this_process)
        return loss

    def _clip_grad_norm(self, model: Any) -> Any:
        norm = super()._clip_grad_norm(model)
        # FSDP keeps it in parts
        full_norm = norm.full_tensor() if hasattr(norm, "full_tensor") else norm
        if full_norm is not None and not math.isfinite(float(full_norm)):
            self._diverged("gradient norm", float(full_norm), True)
        return norm

    def _diverged(self, quantity: str, value: float, on_this_process: bool) -> None:
        """Save the batch and end; nothing of it has reached the weights."""
        out = Path(self.args.output_dir)
        step = self.state.global_step + 1
        path = out / f"bad-batch-step-{step}-rank-{self.accelerator.process_index}.pt"
        if on_this_process:
            torch.save(dict(tensors_of(self._inputs)), path)
        good = last_good_checkpoint(out, tidy=False)
        raise DivergedError(
            f"{quantity} is {value:g} in step {step}; the batch is in {path.parent}/{path.name}; "
            f"the last checkpoint is {good.name if good else 'none'}: "
            f"lower lr or max_grad_norm, or raise explode ({self.explode:g})"
        )


class _EndOnSignal(TrainerCallback):  # type: ignore[misc]
    """Ends a run after the step in which a signal came, with a checkpoint, on all processes
    alike.
    """

    def __init__(self, trainer: Any, signals: Signals) -> None:
        self.trainer = trainer
        self.signals = signals

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        any_caught = any(gather_object([self.signals.caught]))
        if any_caught and self.trainer.may_stop() and state.global_step < state.max_steps:
            self.signals.caught = self.signals.caught or "a signal to another process"
            control.should_save = True
            control.should_training_stop = True


class Sft(ResumableTrainer, SFTTrainer):  # type: ignore[misc]
    """TRL's SFTTrainer that survives."""
