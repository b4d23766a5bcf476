"""What verl is told of a recipe (verl's own tests of it need verl: ``make test-verl``)."""

import json
import re
import shlex
import sys
from dataclasses import fields

import pytest
import yaml

from parts.folders import DOCS
from vlmgym.cli import main
from vlmgym.core import ConfigError
from vlmgym.core.files import FileError
from vlmgym.train.compute import Compute
from vlmgym.train.recipe import SECTIONS, Recipe, read_recipe, recipe_path
from vlmgym.train.settings import GrpoSettings
from vlmgym.train.verl import config as cluster
from vlmgym.train.verl.config import launch, mode_of, overrides, prepare, questions

OF_TRL = ("cold_start", "sft")
"""Sections of the cold start, which is not verl's."""
BY_MODE = ("turns", "episode", "max_new_tokens")
"""Fields of which the table of modes tells."""


def recipe_of(**values):
    grpo = {"steps": 4, "batch": 16, "group": 2} | values.pop("grpo", {})
    return Recipe.parse(
        {
            "model": "m",
            "tasks": [{"game": "Swap", "level": "tiny", "look": "tiny"}],
            "grpo": grpo,
            **values,
        }
    )


def told(arguments):
    return {key: yaml.safe_load(value) for key, value in (one.split("=", 1) for one in arguments)}


def test_the_table_says_what_becomes_of_every_field_of_a_recipe():
    text = (DOCS / "verl.md").read_text(encoding="utf-8")
    rows = text.partition("## What becomes of a recipe")[2].partition("\n\n")[0]
    named = set(re.findall(r"\w+", " ".join(re.findall(r"`([^`]+)`", rows))))
    settings = [field.name for kind in (GrpoSettings, Compute) for field in fields(kind)]
    silent = [name for name in (*settings, *SECTIONS) if name not in {*named, *OF_TRL, *BY_MODE}]
    assert silent == [], "say in docs/verl.md what verl makes of them"


def test_the_line_is_printed_and_its_files_written(tmp_path, capsys):
    out = tmp_path / "lr=1e-6, first run"
    call = [
        "train",
        "qwen2.5-vl-7b/g1-swap",
        "--out",
        str(out),
        "--engine",
        "verl",
        "--nodes",
        "2",
        "--gpus",
        "8",
        "--dry-run",
    ]
    assert main([*call, "--set", "grpo.steps=7"]) == 0
    line = shlex.split(capsys.readouterr().out)
    assert line[:3] == [sys.executable, "-m", "verl.trainer.main_ppo"]
    found = told(line[3:])
    assert found["actor_rollout_ref.model.path"] == str(out / "cold"), (
        "GRPO goes on from the cold start"
    )
    assert (found["data.train_batch_size"], found["actor_rollout_ref.rollout.n"]) == (128, 5), (
        "the paper's 640 answers"
    )
    assert found["actor_rollout_ref.actor.kl_loss_coef"] == 0.01
    assert (
        found["trainer.nnodes"],
        found["trainer.n_gpus_per_node"],
        found["trainer.total_training_steps"],
    ) == (2, 8, 7)
    (loop,) = yaml.safe_load((out / "verl" / "agent.yaml").read_text())
    assert found["actor_rollout_ref.rollout.agent.agent_loop_config_path"] == str(
        out / "verl" / "agent.yaml"
    )
    assert loop["name"] == found["actor_rollout_ref.rollout.agent.default_agent_loop"]
    assert loop["mode"] == "single"
    wanted = read_recipe(recipe_path("qwen2.5-vl-7b/g1-swap"), ["grpo.steps=7"])
    for key, split in (("data.train_files", "train"), ("data.val_files", "test")):
        with open(found[key], encoding="utf-8") as file:
            kept = json.load(file)
        assert (kept["split"], Recipe.parse(kept["recipe"])) == (split, wanted)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"states": [{"kind": "policy_pool"}]},
            r"recipe.states = 'policy_pool'.*random_walk or " r"replay",
        ),
        (
            {"states": [{"kind": "rollback"}]},
            r"recipe.states = 'rollback'.*random_walk or " r"replay",
        ),
        (
            {"curriculum": {"Swap": {"rungs": ["clean", "normal"]}}},
            r"recipe.curriculum = " r".*Swap.*nothing",
        ),
        (
            {"grpo": {"batch": 20}},
            r"grpo.batch = 20: allowed is a multiple of the number of GPUs, " r"1 x 8",
        ),
        (
            {"grpo": {"loss": "cispo"}},
            r"grpo.loss = 'cispo': allowed is for verl, one of grpo, " r"bnpo, dapo, dr_grpo",
        ),
        ({"grpo": {"scheduler": "linear"}}, r"grpo.scheduler = 'linear'"),
        (
            {"compute": {"optimizer": "paged_adamw_8bit"}},
            r"compute.optimizer = 'paged_adamw_8bit': " r"allowed is adamw",
        ),
        ({"lora": {"dropout": 0.1}}, r"lora.dropout = 0.1: allowed is 0"),
        (
            {"compute": {"train_vision": False}},
            r"compute.train_vision = False: allowed is true, or " r"lora",
        ),
    ],
)
def test_what_verl_cannot_do_is_refused(change, message, tmp_path):
    with pytest.raises(ConfigError, match=message):
        overrides(recipe_of(**change), tmp_path, "m")


def test_paths_that_hydra_would_change_are_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"out = .*\$\{USER\}.*allowed is a path without"):
        launch(recipe_of(), tmp_path / "${USER}", print_only=True)


def test_an_overlay_of_several_gpus_is_refused(tmp_path, capsys):
    call = [
        "train",
        "qwen2.5-vl-7b/g0-swap",
        "--out",
        str(tmp_path),
        "--engine",
        "verl",
        "--dry-run",
        "--on",
    ]
    assert main([*call, "8x80gb"]) == 2
    assert "on = '8x80gb': allowed is an overlay of one GPU, or none" in capsys.readouterr().err
    assert main([*call, "1x80gb"]) == 0


def test_a_recipe_without_grpo_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"recipe.grpo = None"):
        overrides(Recipe.parse({"model": "m", "tasks": [{}], "cold_start": {}}), tmp_path, "m")


def test_episodes_of_one_turn_have_one_mode(tmp_path):
    one, three = recipe_of().grpo, recipe_of(grpo={"turns": 3}).grpo
    assert {mode_of(one, mode) for mode in cluster.MODES} == {"single"}
    assert [mode_of(three, mode) for mode in ("per_turn", "conversation")] == [
        "per_turn",
        "conversation",
    ]
    with pytest.raises(
        ConfigError,
        match=r"mode = 'single': allowed is per_turn or conversation " r"for grpo.turns = 3",
    ):
        mode_of(three, "single")
    with pytest.raises(
        ConfigError, match=r"mode = 'both': allowed is one of single, per_turn, " r"conversation"
    ):
        prepare(recipe_of(), tmp_path, "both")


def test_one_update_takes_all_samples_of_a_batch(tmp_path):
    recipe = recipe_of(grpo={"turns": 3, "epochs_per_batch": 2, "drop_equal": False})
    key = "actor_rollout_ref.actor.ppo_mini_batch_size"
    assert told(overrides(recipe, tmp_path, "m"))[key] == 8
    found = told(overrides(recipe, tmp_path, "m", mode="per_turn"))
    assert found[key] == 8 * 3
    assert found["trainer.total_training_steps"] == 2, (
        "verl counts batches, not steps of the optimiser"
    )
    assert questions(recipe.grpo) == 2 * 8


def test_groups_of_equal_worth_are_replaced_from_more_questions(tmp_path):
    for grpo, rows in (
        ({"refill": 2}, 4 * 8 * 3),
        ({"drop_equal": False}, 4 * 8),
        ({"turns": 2}, 4 * 8),
    ):
        recipe = recipe_of(grpo=grpo)
        assert questions(recipe.grpo) == rows
        assert told(overrides(recipe, tmp_path, "m"))["algorithm.filter_groups.enable"] == (
            rows > 4 * 8
        )


def test_launching_runs_the_line_and_gives_its_status(tmp_path, monkeypatch):
    monkeypatch.setattr(cluster, "need", lambda *names: None)
    monkeypatch.setattr(
        cluster,
        "command",
        lambda arguments: [sys.executable, "-c", f"raise SystemExit({len(arguments)})"],
    )
    recipe = recipe_of(cold_start={})
    with pytest.raises(ConfigError, match=r"cold start = .*first run  vlmgym train"):
        launch(recipe, tmp_path)
    (tmp_path / "cold").mkdir()
    (tmp_path / "cold" / "config.json").write_text("{}")
    expected = len(overrides(recipe, tmp_path, "m"))
    assert expected > 40
    assert launch(recipe, tmp_path) == expected


def test_checkpoints_of_another_recipe_are_not_gone_on_from(tmp_path):
    prepare(recipe_of(), tmp_path / "verl")
    prepare(recipe_of(grpo={"lr": 1e-5}), tmp_path / "verl")  # nothing was trained yet
    (tmp_path / "verl" / "checkpoints").mkdir()
    prepare(recipe_of(grpo={"lr": 1e-5}), tmp_path / "verl")
    message = r"train.json: grpo.lr = 1e-06: allowed is 1e-05, as in the run there; or name another"
    with pytest.raises(ConfigError, match=message):
        prepare(recipe_of(), tmp_path / "verl")


def test_verl_goes_on_with_a_run_that_was_begun_before_a_field_was_there(tmp_path):
    folder = tmp_path / "verl"
    prepare(recipe_of(), folder)
    (folder / "checkpoints").mkdir()
    path = folder / "train.json"
    whole = path.read_text()
    stored = json.loads(whole)
    del stored["recipe"]["grpo"]["epsilon"]
    path.write_text(json.dumps(stored))
    with pytest.raises(ConfigError, match=r"train.json: grpo.epsilon = 0.3: allowed is 0.2, as in"):
        prepare(recipe_of(grpo={"epsilon": 0.3}), folder)
    prepare(recipe_of(), folder)
    assert path.read_text() == whole
    path.write_text(whole[:40])
    with pytest.raises(FileError, match=r"train.json: no JSON .*mend it, or name another folder"):
        prepare(recipe_of(), folder)
