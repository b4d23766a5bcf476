"""A ladder needs the answers of a run, which the data set of verl never sees: it is refused."""

import json

import pytest
import yaml

from vlmgym.cli import main
from vlmgym.core import ConfigError
from vlmgym.train.recipe import Recipe
from vlmgym.train.verl.config import grpo_of, launch, prepare

LADDER = {"Swap": {"dial": "level", "rungs": ["tiny", "normal"]}}


def values_of(**sections):
    task = {"game": "Swap", "level": "tiny", "look": "tiny"}
    return {"model": "m", "tasks": [task], "grpo": {"batch": 40}, **sections}


def test_the_command_refuses_a_curriculum_in_one_sentence_and_writes_nothing(tmp_path, capsys):
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(values_of(curriculum=LADDER)))
    out = tmp_path / "run"
    call = ["train", str(path), "--out", str(out), "--engine", "verl", "--dry-run"]
    assert main(call) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.endswith(
        "recipe.curriculum = ['Swap']: allowed is nothing: verl's data set never sees the answers"
    )
    assert not out.exists()


@pytest.mark.parametrize("ladders", [LADDER, {"Swap": {}}])
def test_no_file_of_a_recipe_with_a_curriculum_reaches_a_worker(ladders, tmp_path):
    recipe = Recipe.parse(values_of(curriculum=ladders))
    for refuse in (
        lambda: grpo_of(recipe),  # which the data set asks as well
        lambda: prepare(recipe, tmp_path / "verl"),
        lambda: launch(recipe, tmp_path, print_only=True),
    ):
        with pytest.raises(ConfigError, match=r"recipe\.curriculum = \['Swap'\]"):
            refuse()
    assert not list(tmp_path.iterdir())


def test_without_a_curriculum_the_workers_read_the_recipe_as_it_is(tmp_path):
    recipe = Recipe.parse(values_of(curriculum={}))
    prepare(recipe, tmp_path)
    for split in ("train", "test"):
        values = json.loads((tmp_path / f"{split}.json").read_text())
        assert values["split"] == split
        assert Recipe.parse(values["recipe"]) == recipe
