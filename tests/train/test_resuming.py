"""Runs that are stopped go on where they were."""

import pytest
import torch
from filelock import FileLock

from parts.tasks import CPU
from parts.training import TASKS, recipe_of
from vlmgym.core import ConfigError
from vlmgym.episodes.task import Task
from vlmgym.games import state_text
from vlmgym.models.loading import load
from vlmgym.train import grpo, run
from vlmgym.train import grpo_trainer as trainers
from vlmgym.train.callbacks import read_metrics
from vlmgym.train.cold_start import cold_start_rows
from vlmgym.train.questions import QuestionSource
from vlmgym.train.recipe import ColdStart, Recipe
from vlmgym.train.run import train
from vlmgym.train.settings import SftSettings
from vlmgym.train.sft import run_sft


def watch_states(monkeypatch):
    seen, real = [], trainers.judge_rows

    def watched(states, texts, oracle, *rest):
        seen.append([state_text(*one) for one in states])
        return real(states, texts, oracle, *rest)

    monkeypatch.setattr(trainers, "judge_rows", watched)
    return seen


def test_killed_run_goes_on_where_it_was(small, tmp_path, monkeypatch):
    recipe = Recipe.parse(recipe_of(small, steps=4))
    seen = watch_states(monkeypatch)
    train(recipe, tmp_path / "whole")
    whole = [*seen]
    assert all(len(set(batch)) == 2 and batch[:4] == [batch[0]] * 4 for batch in whole), (
        "groups of 4 share their state"
    )
    stream = [
        question.text for question in QuestionSource(recipe.tasks, seed=recipe.grpo.seed).draw(8)
    ]
    assert [batch[i] for batch in whole for i in (0, 4)] == stream, "in the order of the stream"
    seen.clear()
    real = trainers.judge_rows

    def die(states, texts, oracle, *rest):
        if len(seen) == 3:
            raise KeyboardInterrupt
        return real(states, texts, oracle, *rest)

    monkeypatch.setattr(trainers, "judge_rows", die)
    with pytest.raises(KeyboardInterrupt):
        train(recipe, tmp_path / "cut")
    monkeypatch.setattr(trainers, "judge_rows", real)
    assert [
        m["step"] for m in read_metrics(tmp_path / "cut" / "metrics.jsonl") if "reward" in m
    ] == [1, 2, 3]
    left = {p.name for p in (tmp_path / "cut" / "grpo").iterdir()}
    assert left <= {"checkpoint-2", "README.md"}, "steps write no pictures, nothing but checkpoints"
    assert not [
        p
        for p in (tmp_path / "cut").rglob("*")
        if p.suffix in (".png", ".jpg", ".jpeg", ".parquet")
    ]
    seen.clear()
    final = train(recipe, tmp_path / "cut")
    assert seen == whole[2:], "from the checkpoint at step 2, with the rows that follow"
    lines = read_metrics(tmp_path / "cut" / "metrics.jsonl")
    assert [m["step"] for m in lines if "reward" in m] == [1, 2, 3, 4]
    assert [m["step"] for m in lines if "check/2048/success" in m] == [0, 2, 4]
    a, b = load(str(final))[0], load(str(tmp_path / "whole" / "final"))[0]
    assert all(
        torch.allclose(x, y, atol=1e-6) for x, y in zip(a.parameters(), b.parameters(), strict=True)
    )
    seen.clear()
    assert train(recipe, tmp_path / "cut") == final
    assert seen == [], "a finished run is kept"
    with FileLock(tmp_path / "cut" / ".lock"), pytest.raises(ConfigError, match="no other process"):
        train(recipe, tmp_path / "cut")
    with pytest.raises(
        ConfigError, match=r"recipe.json: grpo.steps = 5: allowed is 4, as in the run"
    ):
        train(Recipe.parse(recipe_of(small, steps=5)), tmp_path / "cut")


def test_run_killed_in_the_cold_start_and_again_in_grpo(small, tmp_path, monkeypatch):
    from transformers import TrainerCallback

    sft = {"steps": 3, "batch": 2, "lr": 1e-3, "save_every": 2}
    recipe = Recipe.parse(
        recipe_of(small, steps=1, cold_start={"states": 4}, sft=sft, checks={"every": 0})
    )
    train(recipe, tmp_path / "whole")

    class Die(TrainerCallback):
        def on_step_end(self, args, state, control, **_):
            if state.global_step == 3:
                raise KeyboardInterrupt

    def die(*_):
        raise KeyboardInterrupt

    cut = tmp_path / "cut"
    monkeypatch.setattr(run, "run_sft", lambda *a: run_sft(*a[:-2], [*a[-2], Die()], a[-1]))
    with pytest.raises(KeyboardInterrupt):
        train(recipe, cut)
    assert not (cut / "cold").exists()
    monkeypatch.setattr(run, "run_sft", run_sft)
    real = trainers.judge_rows
    monkeypatch.setattr(trainers, "judge_rows", die)
    with pytest.raises(KeyboardInterrupt):
        train(recipe, cut)
    monkeypatch.setattr(trainers, "judge_rows", real)
    a, b = load(str(cut / "cold"))[0], load(str(tmp_path / "whole" / "cold"))[0]
    assert all(
        torch.allclose(x, y, atol=1e-6) for x, y in zip(a.parameters(), b.parameters(), strict=True)
    )
    monkeypatch.setattr(run, "run_sft", lambda *_: pytest.fail("a finished cold start is kept"))
    train(recipe, cut)
    lines = [
        (m["stage"], m["step"])
        for m in read_metrics(cut / "metrics.jsonl")
        if "loss" in m or "reward" in m
    ]
    assert lines == [("sft", 1), ("sft", 2), ("sft", 3), ("grpo", 1)]


@pytest.mark.parametrize("family", ["small", "qwen"])
@pytest.mark.parametrize("stage", ["sft", "grpo"])
def test_a_resumed_run_starts_from_the_weights_of_its_checkpoint(family, stage, request, tmp_path):
    """These architectures are renamed on saving, and Trainer's resuming passes over names that it
    does not know.
    """
    from transformers import TrainerCallback

    name, tasks, compute = (
        str(request.getfixturevalue(family)),
        [Task.parse(TASKS[0])],
        CPU,
    )
    rows, resumed = cold_start_rows(tasks, ColdStart(states=6)), {}

    class Look(TrainerCallback):
        def on_train_begin(self, args, state, control, model=None, **_):
            resumed[state.global_step] = {
                n: p.detach().clone() for n, p in model.named_parameters()
            }

    def run(steps):
        if stage == "sft":
            settings = SftSettings(steps=steps, batch=2, lr=1e-2, save_every=2)
            return run_sft(*load(name), rows, tmp_path, settings, compute, [Look()])
        settings = grpo.GrpoSettings(
            steps=steps, batch=4, group=2, lr=1e-2, max_new_tokens=4, save_every=2, drop_equal=False
        )
        return grpo.run_grpo(
            Recipe("tiny", tuple(tasks), grpo=settings, compute=compute),
            *load(name),
            tmp_path,
            [Look()],
        )

    trained = dict(run(2).model.named_parameters())
    trainer = run(3)
    assert sorted(resumed) == [0, 2]
    assert any(not torch.equal(resumed[0][n], p) for n, p in trained.items())
    assert all(torch.equal(resumed[2][n], p) for n, p in trained.items())
    if stage == "grpo":
        reference = dict(trainer.ref_model.named_parameters())
        assert all(torch.equal(resumed[0][n], reference[n]) for n in trained), (
            "the KL term still looks to the start model"
        )
