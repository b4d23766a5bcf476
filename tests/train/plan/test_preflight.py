"""What is looked at before a run: each cause has its finding, all at once."""

import pytest
import torch

from parts.recipes import small_recipe
from parts.tasks import TINY_2048
from vlmgym.models.loading import load_processor
from vlmgym.train.cold_start import cold_start_rows, cut_off
from vlmgym.train.plan import preflight as plan
from vlmgym.train.plan.memory import GIB
from vlmgym.train.plan.preflight import check


def errors(recipe, out):
    return {f.what: f.message for f in check(recipe, out) if f.level == "error"}


def test_a_check_that_finds_nothing(tmp_path, qwen):
    for model in ("tiny", qwen):
        grpo = {"batch": 4, "group": 2, "max_new_tokens": 2000}
        found = check(small_recipe(model, grpo=grpo), tmp_path / "not" / "yet" / "there")
        assert {f.level for f in found} == {"ok"}, found
        assert any(
            "112 x 112 pixels, tiles of 26" in f.message and "not resized" in f.message
            for f in found
        )
    assert not (tmp_path / "not").exists(), "a check writes nothing"


def test_all_problems_are_found_at_once(tmp_path, qwen, monkeypatch):
    monkeypatch.setenv("VLMGYM_DATA", str(tmp_path))
    tasks = [
        {"game": "ShisenShoPhotos", "level": "paper"},
        {"game": "ShisenShoPhotos", "level": "easy", "look": "clean:photos=/no/such/folder"},
        {"game": "Swap", "level": "normal", "look": "clean:width=100,height=100"},
    ]
    grpo = {"batch": 4, "group": 2, "max_new_tokens": 4096}
    recipe = small_recipe(
        qwen,
        tasks=[*tasks, TINY_2048],
        grpo=grpo,
        compute={"optimizer": "adamw_8bit", "weights": "bfloat16"},
    )
    monkeypatch.setattr(
        plan.shutil, "disk_usage", lambda path: plan.shutil._ntuple_diskusage(10, 9, 1)
    )
    monkeypatch.setattr(plan, "need", refuse_bitsandbytes)
    found = errors(recipe, tmp_path)
    assert "vlmgym photos cifar10" in found["tasks.0"]
    assert "/no/such/folder" in found["tasks.1"]
    assert "Look.width" in found["tasks.2"]
    assert "4096 positions" in found["tasks.3"]
    assert "bitsandbytes" in found["packages"]
    assert "0.0 GiB are free" in found["disk"]
    warned = {f.what: f.message for f in check(recipe, tmp_path) if f.level == "warning"}
    assert set(warned) == {"cold_start.0", "compute.weights"}, warned


def refuse_bitsandbytes(extra, *modules):
    if "bitsandbytes" in modules:
        raise ImportError("bitsandbytes not installed")


@pytest.mark.parametrize(
    ("change", "what", "part"),
    [
        ({"model": "nobody/nothing"}, "model", "nobody/nothing"),
        ({"model": "nobody/nothing"}, "architecture", "a hub name that can be reached"),
        ({"model": "./nowhere"}, "model", "config.json"),
        ({"states": [{"kind": "replay", "trace": "nowhere.jsonl"}]}, "states", "nowhere.jsonl"),
        (
            {"curriculum": {"Swap": {"dial": "level", "rungs": ["tiny", "easy"]}}},
            "states",
            "a game of the run",
        ),
        ({"grpo": {"batch": 4, "group": 2, "use_vllm": True}}, "packages", "vllm"),
    ],
)
def test_each_cause_has_its_finding(change, what, part, tmp_path):
    assert (
        part
        in errors(
            small_recipe(
                change.get("model", "tiny"), **{k: v for k, v in change.items() if k != "model"}
            ),
            tmp_path,
        )[what]
    )


def test_frames_that_are_resized_or_small_are_warned_of(tmp_path, qwen, sized):
    seven = sized["Qwen/Qwen2.5-VL-7B-Instruct"]
    cases = {
        (448, 448): False,
        (449, 448): True,
        (640, 840): True,
        (28, 56): True,
        (840, 644): False,
    }
    assert {size: seven.resizes(*size) for size in cases} == cases
    tasks = [
        {**TINY_2048, "look": "clean:width=300,height=300"},
        {
            "game": "ShisenSho",
            "level": "paper12",
            "look": "clean:width=336,height=336",
            "prompt": "brief",
            "walk_max": 5,
        },
    ]
    warnings = {
        f.what: f.message
        for f in check(small_recipe(qwen, tasks=tasks), tmp_path)
        if f.level == "warning"
    }
    assert "300 x 300" in warnings["tasks.0"]
    assert "resizes" in warnings["tasks.0"]
    assert "small" in warnings["tasks.1"]
    found = check(small_recipe("tiny", tasks=tasks[:1]), tmp_path)
    tiny = [f.message for f in found if f.level == "warning" and f.what == "tasks.0"]
    assert len(tiny) == 1
    assert "resizes" in tiny[0]


def test_answers_of_the_teacher_that_do_not_fit_are_counted(tmp_path):
    """A cold start on Swap once taught answers of up to 3,000 tokens, and GRPO allowed 1,024."""
    for limit, level in ((20, "warning"), (2000, "ok")):
        recipe = small_recipe(
            "tiny", cold_start={"states": 5}, grpo={"batch": 4, "group": 2, "max_new_tokens": limit}
        )
        (found,) = (f for f in check(recipe, tmp_path) if f.what.startswith("cold_start"))
        assert found.level == level
        assert "answers that are taught have at least " in found.message
        assert ("none fits into grpo.max_new_tokens = 20" in found.message) == (level == "warning")
        rows, processor = cold_start_rows(recipe.tasks, recipe.cold_start), load_processor("tiny")
        said = cut_off(rows, processor, limit)
        assert said.startswith("cold start: 5 of 5 taught answers do not fit") == (
            level == "warning"
        )
        assert bool(said) == (level == "warning")
        least = int(found.message.split("at least ")[1].split()[0])
        texts = [row["completion"][0]["content"][0]["text"] for row in rows]
        assert least < min(len(processor.tokenizer(text)["input_ids"]) for text in texts)


def test_a_share_of_long_answers_that_is_known_is_warned_of(tmp_path):
    task = {"game": "Swap", "level": "paper"}
    recipe = small_recipe(
        "tiny",
        tasks=[task],
        cold_start={"states": 5},
        grpo={"batch": 4, "group": 2, "max_new_tokens": 2048},
    )
    (found,) = (f for f in check(recipe, tmp_path) if f.what.startswith("cold_start"))
    assert found.level == "warning"
    assert "<= 8.0% do not fit into grpo.max_new_tokens = 2048" in found.message


def test_rates_of_adapters_and_processes_are_looked_at(tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "4")
    found = {f.what: f for f in check(small_recipe("tiny", lora={"rank": 4}), tmp_path)}
    assert found["grpo.lr"].level == "warning"
    assert "4 x 4 = 16 answers to 8 states" in found["batch"].message


def test_memory_is_held_against_the_gpu(tmp_path, monkeypatch):
    class Card:
        total_memory = GIB

    recipe = small_recipe("tiny", compute={"device": "auto"})
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda number: Card)
    assert "the GPU has 1.0 GiB" in errors(recipe, tmp_path)["memory"]
    Card.total_memory = 80 * GIB
    assert "memory" not in errors(recipe, tmp_path)
