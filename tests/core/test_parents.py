"""Parents and overlays of settings files: merged in order, looked for nearby, refused in one sentence."""

import re

import pytest
import yaml

from vlmgym.core import ConfigError
from vlmgym.core.config import find, merge, read_file


def written(folder, **files):
    for name, values in files.items():
        path = folder / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump(values))
    return folder


def test_parents_are_merged_deeply_and_later_ones_win(tmp_path):
    written(
        tmp_path,
        one={"grpo": {"lr": 1, "group": 5}, "tasks": [1, 2], "model": "one"},
        two={"grpo": {"lr": 2}, "model": "two"},
        child={"base": ["one", "two.yaml"], "grpo": {"beta": 0.0}, "tasks": [3]},
        grandchild={"base": "child", "model": "mine"},
        on={"grpo": {"lr": 7, "group": 8}, "lora": None},
    )
    child = read_file("recipe", tmp_path / "child.yaml")
    assert child == {"grpo": {"lr": 2, "group": 5, "beta": 0.0}, "tasks": [3], "model": "two"}
    assert read_file("recipe", tmp_path / "grandchild.yaml") == child | {"model": "mine"}
    over = read_file("recipe", tmp_path / "child.yaml", ["grpo.lr=9"], [str(tmp_path / "on.yaml")])
    assert over == {
        "grpo": {"lr": 9, "group": 8, "beta": 0.0},
        "tasks": [3],
        "model": "two",
        "lora": None,
    }


def test_a_parent_is_looked_for_beside_the_file_then_among_the_bundled(tmp_path, monkeypatch):
    written(tmp_path / "a", base={"model": "near"}, child={"base": "base"})
    written(tmp_path, base={"model": "far"}, bundled={"base": "tiny/g0", "model": "other"})
    monkeypatch.chdir(tmp_path)
    assert read_file("recipe", tmp_path / "a" / "child.yaml") == {"model": "near"}
    other = read_file("recipe", tmp_path / "bundled.yaml")
    assert other.pop("model") == "other"
    assert other.items() < read_file("recipe", find("recipe", "tiny/g0")).items()


def test_the_same_parent_twice_is_no_cycle(tmp_path):
    written(
        tmp_path,
        top={"a": 1},
        left={"base": "top"},
        right={"base": "top", "b": 2},
        child={"base": ["left", "right"]},
    )
    assert read_file("recipe", tmp_path / "child.yaml") == {"a": 1, "b": 2}


def test_merging_changes_neither_side():
    below, above = {"a": {"b": 1}}, {"a": {"c": 2}}
    assert merge(below, above) == {"a": {"b": 1, "c": 2}}
    assert (below, above) == ({"a": {"b": 1}}, {"a": {"c": 2}})


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"child": {"base": "child"}}, "child.yaml -> child.yaml"),
        (
            {"child": {"base": "two"}, "two": {"base": "child"}},
            "child.yaml -> two.yaml -> child.yaml",
        ),
        ({"child": {"base": "nowhere"}}, "recipe = 'nowhere'"),
        ({"child": {"base": 3}}, "base = 3"),
        ({"child": {"base": ["two", 3]}}, "base = "),
        ({"child": {"base": "two"}, "two": [1]}, "a YAML mapping"),
    ],
)
def test_bad_parents_are_refused(files, message, tmp_path):
    written(tmp_path, **files)
    with pytest.raises(ConfigError, match=re.escape(message)):
        read_file("recipe", tmp_path / "child.yaml")


def test_unknown_overlays_are_refused_with_those_there_are():
    with pytest.raises(ConfigError, match=r"on = '9x9gb'.*1x141gb, 1x24gb, 1x80gb, 8x80gb"):
        read_file("recipe", find("recipe", "tiny/g0"), (), ["9x9gb"])
