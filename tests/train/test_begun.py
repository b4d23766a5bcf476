"""A folder of training is gone on with by the same recipe, whichever version began the run."""

import json

import pytest

from parts.recipes import small_recipe
from vlmgym.core import ConfigError
from vlmgym.core.files import FileError
from vlmgym.train import run
from vlmgym.train.begun import BEFORE, completed
from vlmgym.train.recipe import SECTIONS, Recipe

LADDER = {"Swap": {"dial": "look", "rungs": ["tiny", "clean"]}}


def begun(folder, recipe, *gone):
    """Write the ``recipe.json`` of a run that was begun without some fields; returns its path."""
    values = json.loads(json.dumps(recipe.to_dict()))
    for name in gone:
        *within, field = name.split(".")
        place = values
        for key in within:
            place = place[int(key) if isinstance(place, list) else key]
        del place[field]
    path = folder / "recipe.json"
    path.write_text(json.dumps(values))
    return path


@pytest.fixture
def goes_on(tmp_path, monkeypatch):
    """Whether a recipe goes on in the folder, without the stages themselves."""
    for stage in ("_cold_start", "_grpo"):
        monkeypatch.setattr(run, stage, lambda *_: None)
    return lambda recipe: run.train(recipe, tmp_path)


@pytest.mark.parametrize(
    "field",
    [
        "grpo.epsilon",
        "sft.explode",
        "tasks.0.reply",
        "states.0.hopeless",
        "lora.dropout",
        "checks",
        "compute",
        "states",
        "curriculum",
        "curriculum.Swap.step",
    ],
)
def test_a_run_goes_on_that_was_begun_before_a_field_was_there(tmp_path, goes_on, field):
    sections = {"lora": {}, "curriculum": LADDER}
    if field in ("checks", "compute", "curriculum"):  # what such a run had: the defaults
        sections[field] = {}
    recipe = small_recipe("m", **sections)
    path = begun(tmp_path, recipe, field)
    goes_on(recipe)
    assert Recipe.parse(json.loads(path.read_text())) == recipe, "and is whole from now on"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"grpo": {"batch": 4, "group": 4}}, r"grpo.group = 4: allowed is 2.*max_new_tokens = 8 "),
        ({"lora": {"rank": 8}}, r"lora = \{.*\}: allowed is None, as in the run there"),
        ({"cold_start": None}, r"cold_start = None: allowed is \{"),
        (
            {"tasks": [{"game": "Swap", "level": "tiny", "look": "tiny"}]},
            r"tasks.0.game = 'Swap': allowed is '2048', .*as in the run there; or name another",
        ),
        (
            {"tasks": [{"game": "Swap"}, {"game": "2048"}]},
            r"tasks = \[\{.*\}\]: allowed is \[\{.*as in the run there",
        ),
    ],
)
def test_another_recipe_is_refused_by_the_fields_that_differ(tmp_path, goes_on, changes, message):
    path = begun(tmp_path, small_recipe("m"))
    before = path.read_text()
    with pytest.raises(ConfigError, match=r"recipe.json: " + message):
        goes_on(small_recipe("m", **changes))
    assert path.read_text() == before


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "no JSON"),
        (b'{"model": "m"', "no JSON"),
        (b"\xff", "no text in UTF-8"),
        (b"[]", "holds a list"),
        (b"{}", "no recipe of a run"),
        (b'{"model": "m", "tasks": 5}', "tasks is no list"),
        (b'{"model": "m", "tasks": [5]}', "tasks.0 is no mapping"),
        (b'{"model": "m", "tasks": [], "grpo": 5}', "grpo is no mapping"),
        (b'{"model": "m", "tasks": [], "curriculum": []}', "curriculum is no mapping"),
    ],
)
def test_an_unreadable_recipe_of_a_run_is_one_sentence(tmp_path, goes_on, data, message):
    (tmp_path / "recipe.json").write_bytes(data)
    with pytest.raises(FileError, match=rf"recipe.json: .*{message}.*mend it, or name another"):
        goes_on(small_recipe("m"))


@pytest.mark.parametrize("name", ["grpo.wisdom", "tasks.0.wisdom", "wisdom"])
def test_the_recipe_of_a_newer_version_is_named(tmp_path, goes_on, name):
    path = begun(tmp_path, small_recipe("m"))
    values = json.loads(path.read_text())
    place = values
    for key in name.split(".")[:-1]:
        place = place[int(key) if isinstance(place, list) else key]
    place["wisdom"] = 7
    path.write_text(json.dumps(values))
    with pytest.raises(FileError, match=rf"{name} = 7 is no field of this version of vlmgym"):
        goes_on(small_recipe("m"))


def test_a_field_whose_default_does_something_else_says_what_was_done_before(tmp_path, goes_on):
    """Cold starts of before taught answers that fail as well."""
    begun(tmp_path, small_recipe("m"), "cold_start.verified")
    with pytest.raises(ConfigError, match=r"cold_start.verified = True: allowed is False"):
        goes_on(small_recipe("m"))
    for section, fields in BEFORE.items():
        defaults = SECTIONS[section].defaults()
        assert all(defaults[name] != value for name, value in fields.items())


def test_no_name_in_a_stored_recipe_is_looked_up():
    stored = {"model": "m", "tasks": [{"game": "no_such_module:Game", "look": "no such look"}]}
    assert completed(stored)["tasks"][0]["game"] == "no_such_module:Game"
