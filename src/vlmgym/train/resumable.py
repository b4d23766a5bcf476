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
from vlmgym.train import checkpoint as survive

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
        paths = (
            [str(survive.last_good_checkpoint(out) or "")]
            if self.accelerator.is_main_process
            else []
        )
        checkpoint = next(path for path in gather_object(paths) if path is not None) or None
        if checkpoint is not None:
            if not (
                self.is_fsdp_enabled
                or self.is_deepspeed_enabled
                or hasattr(self.model, "peft_config")
            ):
                restore(self.model, checkpoint)
            self.load_more(Path(checkpoint))
        with survive.Signals() as signals:
            self.add_callback(_EndOnSignal(self, signals))
            self.train(resume_from_checkpoint=checkpoint)
        if signals.caught and self.state.global_step < self.state.max_steps:
            raise survive.Interrupted(
                f"{signals.caught} at step {self.state.global_step}: run the same command to go on"
            )

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
        before = survive.checkpoints(out)
        room = survive.size_of(before[0]) if before else 0
        try:
            if room and self.accelerator.is_main_process and survive.no_room(None, out, room):
                raise OSError(f"{room / 1e6:.0f} MB are needed")
            if self.accelerator.is_main_process:
                survive.begin(folder)
            self.accelerator.wait_for_everyone()
            super()._save_checkpoint(model, trial)
            if self.accelerator.is_main_process:
                self.save_more(folder)
            self.accelerator.wait_for_everyone()  # every process has written its random state
            if self.accelerator.is_main_process:
                survive.seal(folder)
            self.accelerator.wait_for_everyone()
        except Exception as error:
            if not survive.no_room(error, out, room):
                raise
            if (folder / survive.BEGUN).exists():
                shutil.rmtree(folder, ignore_errors=True)
            kept = survive.last_good_checkpoint(out, tidy=False)
            text = f"no room for a checkpoint at step {self.state.global_step} in {out} ({error}); "
            text += f"{kept.name} is whole" if kept else "there is none yet"
            raise survive.DiskFullError(
                text + ": make room and run the same command to go on"
            ) from error

    # ---- losses
    def compute_loss(self, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        """The loss of a batch, which is kept in case that the loss is bad."""
        self._inputs = inputs
        return super().compute_loss(model, inputs, *args, **kwargs)

    def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> Any:
        """Forward and backward, and a look at the loss."""
        loss = super().training_step(model, inputs, num_items_in_batch)
        worst = self.accelerator.gather(loss.detach().float().abs().reshape(1)).cpu()
        bad = torch.isnan(worst) | (worst > self.explode) | torch.isinf(worst)
        if bad.any():
            self._diverged("loss", float(worst[bad][0]), bool(bad[self.accelerator.process_index]))
        return loss

    def _clip_grad_norm(self, model: Any) -> Any:
        norm = super()._clip_grad_norm(model)
        # FSDP keeps it in parts
        whole = norm.full_tensor() if hasattr(norm, "full_tensor") else norm
        if whole is not None and not math.isfinite(float(whole)):
            self._diverged("gradient norm", float(whole), True)
        return norm

    def _diverged(self, what: str, value: float, here: bool) -> None:
        """Save the batch and end; nothing of it has reached the weights."""
        out = Path(self.args.output_dir)
        step = self.state.global_step
        path = out / f"bad-batch-step-{step + 1}-rank-{self.accelerator.process_index}.pt"
        if here:
            torch.save(dict(survive.tensors_of(self._inputs)), path)
        kept = survive.last_good_checkpoint(out, tidy=False)
        raise survive.DivergedError(
            f"{what} is {value:g} in step {step + 1}; the batch is in {path.parent}/{path.name}; "
            f"the last checkpoint is {kept.name if kept else 'none'}: "
            f"lower lr or max_grad_norm, or raise explode ({self.explode:g})"
        )


class _EndOnSignal(TrainerCallback):  # type: ignore[misc]
    """Ends a run after the step in which a signal came, with a checkpoint, on all processes
    alike.
    """

    def __init__(self, trainer: Any, signals: survive.Signals) -> None:
        self.trainer = trainer
        self.signals = signals

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if (
            any(gather_object([self.signals.caught]))
            and self.trainer.may_stop()
            and state.global_step < state.max_steps
        ):
            self.signals.caught = self.signals.caught or "a signal to another process"
            control.should_save = control.should_training_stop = True


class Sft(ResumableTrainer, SFTTrainer):  # type: ignore[misc]
    """TRL's SFTTrainer that survives."""
