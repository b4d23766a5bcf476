"""Runs: the whole path on two architectures, recipes, overrides, what is written and reported."""

import base64
import importlib.util
import json
from functools import partial

import numpy as np
import pytest
import torch
import yaml

from parts.commands import eval_words
from parts.local_players import local_player
from parts.training import TASKS, recipe_of
from vlmgym.cli import main
from vlmgym.core import ConfigError, MissingExtra, split_of
from vlmgym.episodes.task import Task
from vlmgym.evals.evaluation import evaluate
from vlmgym.evals.settings import Evaluation
from vlmgym.games import load_state
from vlmgym.models.loading import load, model_path
from vlmgym.train import grpo
from vlmgym.train import rows as data
from vlmgym.train.callbacks import read_metrics
from vlmgym.train.cold_start import cold_start_rows
from vlmgym.train.compute import Compute
from vlmgym.train.questions import QuestionSource
from vlmgym.train.recipe import Recipe, read_recipe, recipe_path
from vlmgym.train.run import train
from vlmgym.train.settings import SftSettings
from vlmgym.train.sft import run_sft


def test_the_whole_path_runs_on_the_qwen2_5_vl_architecture_and_writes_no_pictures(
    qwen, tmp_path, capsys
):
    """SFT 2 steps, GRPO 2 steps, save, reload, eval: the code and the recipe form of any other
    model.
    """
    values = recipe_of(qwen, cold_start={"states": 8}, sft={"steps": 2, "batch": 4, "lr": 1e-3})
    (tmp_path / "r.yaml").write_text(yaml.safe_dump(values))
    out = tmp_path / "run"
    assert main(["train", str(tmp_path / "r.yaml"), "--out", str(out)]) == 0
    assert capsys.readouterr().out.strip().endswith("final")
    metrics = read_metrics(out / "metrics.jsonl")
    assert [m["step"] for m in metrics if m["stage"] == "sft"] == [1, 2]
    steps = [m for m in metrics if "reward" in m]
    assert [m["step"] for m in steps] == [1, 2]
    for line in steps:
        assert {
            f"rewards/{t}/mean" for t in ("game", "format", "perception", "cells", "regret")
        } <= set(line)
        assert {"success", "p_acc", "fault/format", "fault/reasoning", "kl", "entropy"} <= set(line)
    assert {m["step"] for m in metrics if "check/2048/success" in m} == {0, 2}
    assert all(list((out / "tensorboard" / stage).glob("events*")) for stage in ("sft", "grpo"))
    assert not [p for p in out.rglob("*") if p.suffix in (".png", ".jpg")], "no pictures"
    model, processor = load(str(out / "final"))
    before, _ = load(str(qwen))
    assert type(model).__name__ == "Qwen2_5_VLForConditionalGeneration"
    moved = [
        n
        for (n, a), b in zip(model.named_parameters(), before.parameters(), strict=True)
        if not torch.equal(a, b)
    ]
    assert any("visual" in n for n in moved), "the vision tower is trained"
    assert any("language_model" in n for n in moved)
    task = Task.parse(TASKS[0])
    player = local_player(model, processor, name="q", max_new_tokens=8)
    summary = evaluate(
        player, task, Evaluation(episodes=4, turns=1, start="walk"), tmp_path / "e", progress=False
    )
    assert summary["metrics"]["success"]["n"] == 4
    answered = []
    player.batch, player.on_answers = 3, answered.append
    player.reply(task.game, task.states("test", 4))
    assert answered == [3, 1], "a bar can follow the batches"
    words = eval_words(
        tmp_path / "c",
        "--max-new-tokens",
        4,
        player=f"local:{out / 'final'}",
        game="Swap",
        look="clean",
        turns=1,
    )
    assert main(words) == 0
    assert "final on Swap tiny" in capsys.readouterr().out


def test_rows_carry_their_state_and_only_their_frames_are_drawn(monkeypatch):
    """Defect 11: the random walks draw nothing."""
    drawn = []
    real = data.pictures
    monkeypatch.setattr(
        data,
        "pictures",
        lambda game, state, look: drawn.append(len(state)) or real(game, state, look),
    )
    tasks = [Task.parse(t) for t in TASKS]
    rows = data.ask_rows(QuestionSource(tasks, seed=3).draw(200))
    assert drawn == [
        sum(r["game"] == t.names.game for r in rows)
        for t in sorted(tasks, key=lambda t: t.names.game != rows[0]["game"])
    ]
    shares = [sum(row["game"] == task.names.game for row in rows) / 200 for task in tasks]
    assert abs(shares[0] - 0.75) < 4 * (0.75 * 0.25 / 200) ** 0.5, "weights 3 to 1"
    again = data.ask_rows(QuestionSource(tasks, seed=3).draw(200))
    assert [r["state"] for r in rows] == [r["state"] for r in again]
    other = data.ask_rows(QuestionSource(tasks, seed=4).draw(200))
    assert not {r["state"] for r in rows} & {r["state"] for r in other}
    for row in rows[:20]:
        game, state = load_state(base64.b64decode(row["state"]))
        assert game.name == row["game"]
        assert split_of(state.seed[0]) == "train"
        assert np.array_equal(
            np.asarray(row["image"]), np.asarray(real(game, state, row["look"])[0])
        )
    cold = cold_start_rows(
        tasks, Recipe.parse(recipe_of("tiny", cold_start={"states": 20})).cold_start
    )
    assert not {r["state"] for r in cold} & {r["state"] for r in rows}
    assert {split_of(load_state(base64.b64decode(r["state"]))[1].seed[0]) for r in cold} == {
        "train"
    }


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"modle": "x"}, "recipe.modle"),
        ({"model": None}, "recipe.model = None"),
        ({"tasks": []}, "recipe.tasks"),
        ({"tasks": [{"game": "chess"}]}, "game = 'chess'"),
        ({"grpo": {"speed": 1}}, "GrpoSettings.speed"),
        ({"grpo": {"batch": 7}}, "GrpoSettings.batch = 7: allowed is a multiple of group"),
        ({"grpo": {"lr": "fast"}}, "GrpoSettings.lr = 'fast'"),
        ({"sft": [1]}, "recipe.sft"),
        ({"reward": {"game": "high"}}, "Weights.game"),
    ],
)
def test_recipe_errors_name_the_field(change, message):
    with pytest.raises(ConfigError) as error:
        Recipe.parse({**recipe_of("tiny"), **change})
    assert message in str(error.value)
    with pytest.raises(ConfigError, match="no stage"):
        Recipe.parse({"model": "tiny", "tasks": TASKS})


def test_overrides(tmp_path):
    path = recipe_path("tiny/g1")
    recipe = read_recipe(
        path, ["grpo.steps=7", "tasks.1.weight=4", "model=some/model", "checks.every=0"]
    )
    assert (recipe.grpo.steps, recipe.tasks[1].weight, recipe.model, recipe.checks.every) == (
        7,
        4.0,
        "some/model",
        0,
    )
    assert read_recipe(path, ["grpo.lr=1e-6", "sft.lr=2.5E-4"]).grpo.lr == 1e-6, (
        "not the string that PyYAML makes of it"
    )
    (tmp_path / "again.yaml").write_text(json.dumps(recipe.to_dict()))
    assert read_recipe(tmp_path / "again.yaml") == recipe
    assert Recipe.parse(json.loads(json.dumps(recipe.to_dict()))) == recipe
    for bad in ("grpo.steps", "tasks.9.weight=1", "model.name=x", "grpo.stepps=3"):
        with pytest.raises(ConfigError):
            read_recipe(path, [bad])
    with pytest.raises(ConfigError, match="tiny/g0, tiny/g1"):
        recipe_path("tiny/g2")


def test_g1_is_the_cold_start_and_then_the_grpo_of_g0():
    g0, g1 = read_recipe(recipe_path("tiny/g0")), read_recipe(recipe_path("tiny/g1"))
    assert g0.cold_start is None
    assert g1.cold_start is not None
    assert (g0.model, g0.tasks, g0.grpo, g0.reward, g0.checks) == (
        g1.model,
        g1.tasks,
        g1.grpo,
        g1.reward,
        g1.checks,
    )


def test_a_missing_extra_names_the_install_line(monkeypatch, tmp_path, capsys):
    real = importlib.util.find_spec
    calls = {
        "trl": [
            partial(run_sft, None, None, [], None, SftSettings(), Compute()),
            partial(grpo.run_grpo, Recipe("tiny", (), grpo=grpo.GrpoSettings()), None, None, None),
        ],
        "transformers": [partial(load, "tiny")],
    }
    for gone, starts in calls.items():
        monkeypatch.setattr(
            importlib.util,
            "find_spec",
            lambda name, *a, gone=gone: None if name == gone else real(name, *a),
        )
        for start in starts:
            with pytest.raises(
                MissingExtra, match=rf"^{gone} not installed: .* pip install " r".*\[train\]'$"
            ):
                start()
        assert main(["train", "tiny/g0", "--out", str(tmp_path / "run")]) == 2
        assert "[train]'" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
    with pytest.raises(ConfigError, match=r"model = './nowhere'"):
        model_path("./nowhere")


@pytest.mark.parametrize(("scheduler", "warmup", "rates"), [
    ("constant", 2, [0.0, 0.5e-3, 1e-3]),
    ("constant", 0, [1e-3, 1e-3, 1e-3]),
    ("linear", 1, [0.0, 1e-3, 0.5e-3]),
])  # fmt: skip
def test_a_warm_up_is_one_with_every_schedule(small, tmp_path, scheduler, warmup, rates):
    grpo = {
        "steps": 3,
        "batch": 4,
        "group": 2,
        "lr": 1e-3,
        "max_new_tokens": 4,
        "scheduler": scheduler,
        "warmup": warmup,
    }
    train(Recipe.parse(recipe_of(small, grpo=grpo, checks={"every": 0})), tmp_path)
    assert [
        line["learning_rate"] for line in read_metrics(tmp_path / "metrics.jsonl")
    ] == pytest.approx(rates)


def test_breakout_trains_like_the_others(tmp_path):
    """Cold start and GRPO on an outside environment: states travel as snapshots, rewards come from
    forks.
    """
    recipe = recipe_of(
        "tiny",
        tasks=[
            {"game": "Breakout", "level": "easy", "look": "clean", "prompt": "brief", "walk_max": 6}
        ],
        cold_start={"states": 8, "teacher_error": 0.2},
        sft={"batch": 4, "steps": 1, "lr": 1e-4},
        grpo={"steps": 1, "batch": 8, "group": 4, "max_new_tokens": 16},
    )
    final = train(Recipe.parse(recipe), tmp_path / "run")
    line = [m for m in read_metrics(tmp_path / "run" / "metrics.jsonl") if "reward" in m][-1]
    assert line["step"] == 1
    assert (final / "model.safetensors").exists()


@pytest.mark.parametrize("name", ["wandb", "trackio"])
def test_checks_reach_every_reporter_as_what_the_trainer_logs_does(
    small, tmp_path, monkeypatch, name
):
    from transformers import TrainerCallback
    from transformers.integrations import integration_utils

    told = []

    class Fake(TrainerCallback):
        def on_log(self, args, state, control, model=None, logs=None, **_):
            assert model is not None
            told.append((state.global_step, dict(logs)))

    monkeypatch.setitem(integration_utils.INTEGRATION_TO_CALLBACK, name, Fake)
    # whose package need not be there
    monkeypatch.setattr(grpo.GrpoSettings, "reporters", lambda self: [name])
    values = recipe_of(small)
    train(Recipe.parse({**values, "grpo": {**values["grpo"], "report_to": name}}), tmp_path / "run")
    checks = [(step, logs) for step, logs in told if any(key.startswith("check/") for key in logs)]
    wanted = [
        m
        for m in read_metrics(tmp_path / "run" / "metrics.jsonl")
        if any(key.startswith("check/") for key in m)
    ]
    assert [step for step, _ in checks] == [0, 2]
    assert [logs for _, logs in checks] == [
        {key: value for key, value in m.items() if key.startswith("check/")} for m in wanted
    ]
    assert [step for step, logs in told if "reward" in logs] == [1, 2]


def test_checks_tell_what_becomes_of_the_teachers_mistakes(small, tmp_path):
    """Where the cold start has a habit, or checks name one, as after a cold start of another run."""
    names = {
        "teacher_fails",
        "success_where_teacher_fails",
        "success_elsewhere",
        "teachers_mistakes",
    }
    told = {}
    for where, sections in {
        "cold": {"cold_start": {"states": 4, "teacher": "half"}, "sft": {"steps": 1, "batch": 2}},
        "checks": {"checks": {"every": 1, "states": 24, "teacher": "half"}},
        "none": {},
    }.items():
        values = {
            **recipe_of(small, steps=1, checks={"every": 1, "states": 24}),
            "tasks": [TASKS[1]],
            **sections,
        }
        train(Recipe.parse(values), tmp_path / where)
        lines = read_metrics(tmp_path / where / "metrics.jsonl")
        told[where] = [
            {key.split("/")[2] for key in line if key.startswith("check/ShisenSho/")} & names
            for line in lines
            if "check/ShisenSho/success" in line
        ]
    assert told == {"cold": [names, names], "checks": [names, names], "none": [set(), set()]}
