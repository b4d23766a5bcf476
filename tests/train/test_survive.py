"""What a run outlives: damaged checkpoints, a full disk, a signal, a loss that is not a number."""

import contextlib
import os
import pickle
import signal
import subprocess
import sys
import time

import pytest
import torch
import yaml
from transformers import TrainerCallback

from parts.tasks import CPU, ON_CPU, TINY_2048
from vlmgym.core import VlmGymError
from vlmgym.episodes.task import Task
from vlmgym.models.loading import load
from vlmgym.train import checkpoint as survive
from vlmgym.train import grpo_trainer as trainers
from vlmgym.train import resumable
from vlmgym.train.callbacks import read_metrics
from vlmgym.train.cold_start import cold_start_rows
from vlmgym.train.grpo import run_grpo
from vlmgym.train.recipe import ColdStart, Recipe
from vlmgym.train.run import train
from vlmgym.train.settings import GrpoSettings, SftSettings
from vlmgym.train.sft import run_sft


def checkpoint(folder, number):
    path = folder / f"checkpoint-{number}"
    survive.begin(path)
    (path / "part").mkdir()
    (path / "model.safetensors").write_bytes(bytes(range(256)) * number)
    (path / "part" / "rng_state_0.pth").write_text(f"state {number}")
    survive.seal(path)
    return path


def damage(path, how):
    weights = path / "model.safetensors"
    if how == "truncated":
        weights.write_bytes(weights.read_bytes()[:-1])
    elif how == "a bit flipped":
        data = bytearray(weights.read_bytes())
        data[100] ^= 1
        weights.write_bytes(data)
    elif how == "a file gone":
        (path / "part" / "rng_state_0.pth").unlink()
    elif how == "seal torn":
        seal = path / survive.SEAL
        seal.write_text(seal.read_text()[:20])
    else:
        (path / survive.SEAL).unlink()


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("truncated", "model.safetensors is damaged"),
        ("a bit flipped", "model.safetensors is damaged"),
        ("a file gone", "part/rng_state_0.pth is missing"),
        ("seal torn", "checksums.json is damaged"),
        ("killed while saving", "the run ended while it was written"),
    ],
)
def test_a_damaged_checkpoint_is_passed_over(how, reason, tmp_path, capsys):
    good, bad = checkpoint(tmp_path, 9), checkpoint(tmp_path, 10)
    assert survive.last_good_checkpoint(tmp_path) == bad
    damage(bad, how)
    assert survive.last_good_checkpoint(tmp_path, tidy=False) == good
    assert bad.is_dir(), "only looked at"
    assert survive.last_good_checkpoint(tmp_path) == good
    assert reason in capsys.readouterr().err
    assert not bad.exists()
    assert (tmp_path / "checkpoint-10.damaged").is_dir() == (how != "killed while saving")
    assert survive.last_good_checkpoint(tmp_path) == good


@pytest.mark.parametrize(
    "content", ["[]", "1", "null", "{}", "", "[" * 10_000, '{"model.safetensors": 5}', '{"a": NaN}']
)
def test_a_seal_that_is_none_is_no_seal(content, tmp_path, capsys):
    good, bad = checkpoint(tmp_path, 9), checkpoint(tmp_path, 10)
    (bad / survive.SEAL).write_text(content)
    assert survive.last_good_checkpoint(tmp_path) == good
    assert capsys.readouterr().err.count("\n") == 1
    assert (tmp_path / "checkpoint-10.damaged" / "model.safetensors").exists()


def test_what_no_run_of_ours_began_is_put_aside_and_never_deleted(tmp_path):
    for number in (1, 2):  # the second time there is one aside already
        other = tmp_path / "run" / "checkpoint-10"
        other.mkdir(parents=True)
        (other / "weights").write_text(f"weeks of work {number}")
        assert survive.last_good_checkpoint(tmp_path / "run") is None
    kept = sorted(
        path.read_text() for path in (tmp_path / "run").glob("checkpoint-10.unfinished*/weights")
    )
    assert kept == ["weeks of work 1", "weeks of work 2"]
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "weights").write_text("of another tool")
    (tmp_path / "run" / "checkpoint-11").symlink_to(elsewhere)
    (tmp_path / "run" / "checkpoint-12").symlink_to("nowhere")
    (tmp_path / "run" / "checkpoint-13").write_text("a file")
    good = checkpoint(tmp_path / "run", 3)
    # older than ours: the Trainer would delete it after a while
    (tmp_path / "run" / "checkpoint-1").mkdir()
    assert survive.last_good_checkpoint(tmp_path / "run", tidy=False) == good
    assert survive.last_good_checkpoint(tmp_path / "run") == good
    assert (tmp_path / "run" / "checkpoint-1.unfinished").is_dir()
    assert (elsewhere / "weights").read_text() == "of another tool"
    assert (tmp_path / "run" / "checkpoint-13.unfinished").read_text() == "a file"
    assert [path.name for path in survive.checkpoints(tmp_path / "run")] == ["checkpoint-3"]


def test_a_checkpoint_is_not_written_over_something_else(tmp_path):
    (tmp_path / "checkpoint-5").mkdir()
    with pytest.raises(VlmGymError, match="move it away"):
        survive.begin(tmp_path / "checkpoint-5")
    (tmp_path / "checkpoint-6").symlink_to(tmp_path)
    with pytest.raises(VlmGymError, match="move it away"):
        survive.begin(tmp_path / "checkpoint-6")


def test_without_any_whole_checkpoint_a_stage_begins_anew(tmp_path):
    damage(checkpoint(tmp_path, 3), "truncated")
    assert survive.last_good_checkpoint(tmp_path) is None
    assert survive.last_good_checkpoint(tmp_path / "none") is None


def test_a_file_is_replaced_as_a_whole(tmp_path, monkeypatch):
    path = tmp_path / "a.json"
    survive.write_atomically(path, "old")

    def die(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", die)
    with pytest.raises(KeyboardInterrupt):
        survive.write_atomically(path, "new, and longer")
    assert path.read_text() == "old"


class Stop(TrainerCallback):
    def __init__(self, step):
        self.step = step

    def on_step_end(self, args, state, control, **_):
        if state.global_step == self.step:
            raise KeyboardInterrupt


def run_stage(stage, model, out, callbacks=(), **settings):
    rows = cold_start_rows([Task.parse(TINY_2048)], ColdStart(states=12))
    settings = {"steps": 6, "lr": 1e-2, "save_every": 2} | settings
    if stage == "sft":
        return run_sft(
            *load(str(model)), rows, out, SftSettings(batch=2, **settings), CPU, callbacks
        )
    settings = GrpoSettings(batch=4, group=2, max_new_tokens=4, drop_equal=False, **settings)
    return run_grpo(
        Recipe("tiny", (Task.parse(TINY_2048),), grpo=settings, compute=CPU),
        *load(str(model)),
        out,
        callbacks,
    )


def state(trainer):
    return {name: p.detach().clone() for name, p in trainer.model.named_parameters()}


class Payload:
    """Pickled, it makes a folder where it is read without care."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.mark.parametrize("stage", ["sft", "grpo"])
def test_no_code_in_a_checkpoint_is_run(stage, small, tmp_path):
    """Each file that is a pickle runs something where it is loaded as one; the checkpoint's seal is
    valid.
    """
    out, ran = tmp_path / "run", tmp_path / "ran"
    with pytest.raises(KeyboardInterrupt):
        run_stage(stage, small, out, [Stop(2)], save_every=1)
    (folder, *_) = survive.checkpoints(out)
    names = [path.name for path in folder.iterdir() if path.suffix in (".pt", ".pth", ".bin")]
    assert {"optimizer.pt", "scheduler.pt", "rng_state.pth", "training_args.bin"} <= set(names)
    for name in [*names, "pytorch_model.bin", "adapter_model.bin"]:
        sound = (folder / name).read_bytes() if (folder / name).exists() else None
        for how in ("torch", "pickle"):
            if how == "torch":
                torch.save(Payload(ran), folder / name)
            else:
                (folder / name).write_bytes(pickle.dumps(Payload(ran)))
            survive.seal(folder)
            with contextlib.suppress(VlmGymError, pickle.UnpicklingError, KeyboardInterrupt):
                run_stage(stage, small, out, [Stop(2)], steps=3, save_every=100)
            assert not ran.exists(), f"{name}, written by {how}, ran"
        if sound is None:
            (folder / name).unlink()
        else:
            (folder / name).write_bytes(sound)
        survive.seal(folder)


@pytest.mark.parametrize("stage", ["sft", "grpo"])
def test_a_run_goes_on_from_the_checkpoint_before_a_damaged_one(stage, small, tmp_path, capsys):
    whole = state(run_stage(stage, small, tmp_path / "whole"))
    cut = tmp_path / "cut"
    with pytest.raises(KeyboardInterrupt):
        run_stage(stage, small, cut, [Stop(5)])
    assert [path.name for path in survive.checkpoints(cut)] == ["checkpoint-4", "checkpoint-2"]
    damage(cut / "checkpoint-4", "a bit flipped")
    begun = []

    class Begin(TrainerCallback):
        def on_train_begin(self, args, state, control, **_):
            begun.append(state.global_step)

    resumed = state(run_stage(stage, small, cut, [Begin()]))
    assert begun == [2]
    assert "checkpoint-4: passed over: model.safetensors is damaged" in capsys.readouterr().err
    assert all(torch.equal(whole[name], resumed[name]) for name in whole), "to the bit"


@pytest.mark.parametrize("stage", ["sft", "grpo"])
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), 3e4])
def test_a_bad_loss_ends_the_run_and_leaves_its_batch(stage, bad, small, tmp_path, monkeypatch):
    kind = trainers.Grpo if stage == "grpo" else resumable.Sft
    real, calls = kind.compute_loss, []

    def spoilt(self, model, inputs, *args, **options):
        calls.append(inputs)
        loss = real(self, model, inputs, *args, **options)
        if len(calls) < 4:
            return loss
        first = loss[0] if isinstance(loss, tuple) else loss
        spoiled = first * 0 + bad
        return (spoiled, *loss[1:]) if isinstance(loss, tuple) else spoiled

    monkeypatch.setattr(kind, "compute_loss", spoilt)
    with pytest.raises(
        survive.DivergedError, match=r"loss is .* in step 4.*checkpoint-2.*lower " r"lr"
    ):
        run_stage(stage, small, tmp_path, explode=1e4)
    (saved,) = tmp_path.glob("bad-batch-step-4-rank-0.pt")
    batch = torch.load(saved, weights_only=True)
    ids = "input_ids" if stage == "sft" else "completion_ids"
    assert torch.equal(batch[ids], calls[-1][ids])
    assert survive.last_good_checkpoint(tmp_path).name == "checkpoint-2"
    kept = load(str(tmp_path / "checkpoint-2"))[0]
    assert all(torch.isfinite(p).all() for p in kept.parameters())


def test_a_gradient_that_is_not_finite_ends_the_run_before_the_step(small, tmp_path):
    model, processor = load(str(small))
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    model.get_input_embeddings().weight.register_hook(lambda grad: grad * float("nan"))
    rows = cold_start_rows([Task.parse(TINY_2048)], ColdStart(states=4))
    with pytest.raises(
        survive.DivergedError,
        match=r"gradient norm is nan in step 1.*the last " r"checkpoint is none",
    ):
        run_sft(model, processor, rows, tmp_path, SftSettings(steps=2, batch=2), CPU)
    assert all(torch.equal(p, before[name]) for name, p in model.named_parameters()), (
        "the weights are as they were"
    )


def test_a_refused_write_is_told_from_other_errors(tmp_path):
    told = RuntimeError("PytorchStreamWriter failed writing file")
    assert not survive.no_room(told, tmp_path, 0)
    told.__cause__ = OSError(28, "No space left on device")
    assert survive.no_room(told, tmp_path, 0)
    assert survive.no_room(
        RuntimeError("I/O error: No space left on device (os error 28)"), tmp_path, 0
    )
    assert not survive.no_room(ValueError("something else"), tmp_path, 0)
    assert survive.no_room(None, tmp_path, 10**18), "less is free than is needed"


STEPS = 30
"""Of a run that is stopped twice on its way."""


def started(recipe, out, limit=""):
    """``vlmgym train`` as a process of its own; ``limit`` is a shell line before it."""
    command = f"{limit} exec {sys.executable} -m vlmgym train {recipe} --out {out}"
    return subprocess.Popen(
        ["bash", "-c", command], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def test_a_run_is_stopped_in_order_meets_a_full_disk_and_still_ends_as_an_unbroken_one(
    small, tmp_path
):
    values = {
        "model": str(small),
        "tasks": [TINY_2048],
        "checks": {"every": 0},
        "compute": ON_CPU,
    }
    values["grpo"] = {
        "steps": STEPS,
        "batch": 8,
        "group": 4,
        "max_new_tokens": 16,
        "save_every": 1000,
        "lr": 1e-3,
        "drop_equal": False,
    }
    recipe, out = tmp_path / "r.yaml", tmp_path / "run"
    recipe.write_text(yaml.safe_dump(values))
    first = started(recipe, out)
    while not (out / "metrics.jsonl").exists() or len(read_metrics(out / "metrics.jsonl")) < 3:
        assert first.poll() is None, first.stderr.read()
        time.sleep(0.02)
    first.send_signal(signal.SIGTERM)
    _, told = first.communicate(timeout=60)
    assert first.returncode == 0, told
    assert "SIGTERM at step" in told
    assert "run the same command to go on" in told
    (saved,) = survive.checkpoints(out / "grpo")
    step = int(saved.name.rpartition("-")[2])
    assert 3 <= step < STEPS
    assert survive.flaw(saved) == ""

    size = (saved / "model.safetensors").stat().st_size
    # no file may be larger than half of the weights
    second = started(recipe, out, f"ulimit -f {size // 1024 // 2};")
    while second.poll() is None and len(read_metrics(out / "metrics.jsonl")) < step + 2:
        time.sleep(0.02)
    second.send_signal(signal.SIGTERM)  # asks for a checkpoint, which finds no room
    _, told = second.communicate(timeout=60)
    assert second.returncode == 2
    assert "no room for a checkpoint at step" in told
    assert f"{saved.name} is whole" in told
    assert survive.checkpoints(out / "grpo") == [saved], "nothing half-written is left"
    assert survive.flaw(saved) == ""

    third = started(recipe, out)
    _, told = third.communicate(timeout=120)
    assert third.returncode == 0, told
    steps = [m["step"] for m in read_metrics(out / "metrics.jsonl") if "reward" in m]
    assert steps == list(range(1, STEPS + 1)), "every step once"
    unbroken = train(Recipe.parse(values), tmp_path / "unbroken")
    a, b = load(str(out / "final"))[0], load(str(unbroken))[0]
    assert all(torch.equal(x, y) for x, y in zip(a.parameters(), b.parameters(), strict=True)), (
        "to the bit"
    )


def test_a_second_signal_ends_at_once(tmp_path):
    code = (
        "import time, os, signal; from vlmgym.train.checkpoint import Signals\n"
        "with Signals() as s:\n"
        "    print('ready', flush=True)\n"
        "    while True: time.sleep(0.01)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGTERM)
    time.sleep(0.3)
    assert process.poll() is None, "the first one waits for the step"
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=10) == -signal.SIGTERM
    assert "a checkpoint follows" in process.stderr.read()


def test_handlers_are_put_back():
    before = signal.getsignal(signal.SIGTERM)
    with survive.Signals():
        assert signal.getsignal(signal.SIGTERM) != before
    assert signal.getsignal(signal.SIGTERM) == before
