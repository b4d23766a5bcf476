"""What verl is told of a recipe (verl's own tests of it need verl: ``make test-verl``)."""

import json
import shlex
import sys
from pathlib import Path

import pytest
import yaml

from vlmgym.cli import main
from vlmgym.core import ConfigError
from vlmgym.train.cluster import overrides, prepare
from vlmgym.train.recipe import Recipe, read_recipe, recipe_path


def test_the_line_is_printed_and_its_files_written(tmp_path, capsys):
    out = tmp_path / "run"
    call = ["train", "qwen2.5-vl-7b/g1-swap", "--out", str(out), "--engine", "verl", "--nodes", "2", "--gpus", "8", "--dry-run"]
    assert main([*call, "--set", "grpo.steps=7"]) == 0
    line = shlex.split(capsys.readouterr().out)
    assert line[:3] == [sys.executable, "-m", "verl.trainer.main_ppo"]
    told = dict(one.split("=", 1) for one in line[3:])
    assert told["actor_rollout_ref.model.path"] == str(out / "cold"), "GRPO goes on from the cold start"
    assert (told["data.train_batch_size"], told["actor_rollout_ref.rollout.n"]) == ("128", "5"), "the paper's 640 answers"
    assert told["actor_rollout_ref.actor.kl_loss_coef"] == "0.01"
    assert (told["trainer.nnodes"], told["trainer.n_gpus_per_node"], told["trainer.total_training_steps"]) == ("2", "8", "7")
    assert Path(told["data.custom_cls.path"]).is_file()
    (loop,) = yaml.safe_load(Path(told["actor_rollout_ref.rollout.agent.agent_loop_config_path"]).read_text())
    assert loop["name"] == told["actor_rollout_ref.rollout.agent.default_agent_loop"]
    kept = json.loads(Path(told["data.train_files"]).read_text())
    wanted = read_recipe(recipe_path("qwen2.5-vl-7b/g1-swap"), ["grpo.steps=7"])
    assert (kept["split"], Recipe.parse(kept["recipe"])) == ("train", wanted)
    assert json.loads(Path(told["data.val_files"]).read_text())["split"] == "test"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"states": [{"kind": "policy_pool"}]}, r"recipe.states = 'policy_pool'.*random_walk or replay"),
        ({"curriculum": {"Swap": {"rungs": ["clean", "normal"]}}}, r"recipe.curriculum = .*Swap.*nothing"),
        ({"grpo": {"batch": 20}}, r"grpo.batch = 20: allowed is a multiple of the number of GPUs, 8"),
    ],
)
def test_what_verl_cannot_do_is_refused(change, message, tmp_path):
    values = {"model": "m", "tasks": [{"game": "Swap", "level": "tiny", "look": "tiny"}], "grpo": {}, **change}
    with pytest.raises(ConfigError, match=message):
        overrides(Recipe.parse(values), tmp_path, "m")


def test_an_unknown_mode_is_refused(tmp_path):
    recipe = Recipe.parse({"model": "m", "tasks": [{"game": "Swap"}], "grpo": {}})
    with pytest.raises(ConfigError, match=r"mode = 'both': allowed is one of conversation, per_turn"):
        prepare(recipe, tmp_path, "both")
