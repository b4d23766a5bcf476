"""Bundled recipes: the paper's numbers, checked on all hardware that has an overlay."""

from dataclasses import replace

import numpy as np
import pytest
import yaml

from parts.recipes import NAMES, OURS, bundled
from vlmgym.core import ConfigError
from vlmgym.core.config import find, overlays
from vlmgym.render.frames import frame_size
from vlmgym.train.plan import preflight as plan
from vlmgym.train.plan.architecture import architecture
from vlmgym.train.plan.hardware import hardware
from vlmgym.train.plan.memory import longest_answer, memory
from vlmgym.train.plan.preflight import check
from vlmgym.train.questions import QuestionSource


def test_the_papers_hyperparameters():
    grpo = bundled("qwen2.5-vl-7b/g0-all").grpo
    known = {
        "batch": 640, "group": 5, "temperature": 1.0, "lr": 1e-6, "weight_decay": 0.01, "max_grad_norm": 1.0, "epsilon": 0.2,
        "beta": 0.01, "drop_equal": False, "epochs_per_batch": 1,
    }  # fmt: skip
    assert {name: getattr(grpo, name) for name in known} == known
    assert 400 <= grpo.steps <= 500
    recipe = bundled("qwen2.5-vl-7b/g1-all")
    assert recipe.grpo == grpo
    assert (recipe.cold_start.states, recipe.sft.lr, recipe.sft.epochs) == (1000, 2e-5, 1)
    assert (recipe.reward.game, recipe.reward.format, recipe.reward.perception) == (1, 1, 0)
    assert recipe.compute.train_vision
    assert recipe.compute.weights == "float32"
    walks = {task.names.game: (task.walk_min, task.walk_max) for task in recipe.tasks}
    assert walks == {
        "2048": (100, 100),
        "ShisenSho": (250, 250),
        "ShisenShoPhotos": (250, 250),
        "Swap": (0, 0),
    }
    for name in NAMES:
        one = bundled(name)
        if name.startswith("qwen"):
            assert set(one.tasks) <= set(recipe.tasks), name
            assert (one.cold_start is None) == name.split("/")[1].startswith("g0"), name


@pytest.mark.parametrize("name", NAMES)
def test_every_bundled_recipe_on_all_hardware_passes_its_check(name, sized, monkeypatch, tmp_path):
    real = architecture
    monkeypatch.setattr(plan, "architecture", lambda model: sized.get(model) or real(model))
    # a hub that is not reached, bitsandbytes, how large this one is
    machine = {"model", "packages", "disk", "host", "memory"}
    paper = name.startswith("paper/")
    for on in ([], *([one] for one in OURS)) if paper or name.startswith("qwen") else ([],):
        recipe = bundled(name, on)
        found = check(recipe, tmp_path)
        assert {f.what for f in found if f.level == "error"} <= machine, (on, found)
        frames = [f for f in found if f.what.startswith("tasks.")]
        warnings = [f for f in found if f.level == "warning"]
        if name == "tiny/all":  # the largest of its boards, in pictures that the model takes
            small = [f for f in warnings if "are small" in f.message]
            assert len(small) == 2
            warnings = [f for f in warnings if f not in small]
            frames = [f for f in frames if f not in small]
        assert warnings == (frames if paper else [])
        assert len(frames) == len(recipe.tasks)
        # 640 is no multiple of 28
        ends = "resizes these frames: what is drawn is not what is seen" if paper else "not resized"
        assert all(f.message.endswith(ends) for f in frames)
        told = {"disk", "memory", "architecture"} | ({"batch"} if recipe.grpo else set())
        assert told <= {f.what for f in found}


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("paper/")])
def test_paper_recipes_show_the_papers_pictures_and_ask_from_all_walks(name):
    recipe = bundled(name)
    assert {task.names.look for task in recipe.tasks} == {"paper"}
    game, level, look = recipe.tasks[0].game, recipe.tasks[0].level, recipe.tasks[0].look
    assert frame_size(game, level, look) == (840, 640)
    assert not look.coordinates
    assert [(source.kind, source.hopeless) for source in recipe.states] == [("random_walk", True)]
    assert (
        recipe.grpo.max_new_tokens,
        recipe.grpo.drop_equal,
        recipe.grpo.batch,
        recipe.grpo.group,
    ) == (8192, False, 640, 5)
    asked = yaml.safe_load(find("protocol", "paper").read_text())["tasks"]
    assert {(task.names.game, task.names.level, task.names.look) for task in recipe.tasks} <= {
        tuple(t[k] for k in ("game", "level", "look")) for t in asked
    }
    drawn = recipe.tasks[0].override(look="clean:width=448,height=448")
    assert drawn == bundled(f"qwen2.5-vl-7b/{name.split('/')[1]}").tasks[0], (
        "nothing else about the games differs"
    )


def test_all_walks_keep_the_boards_on_which_nothing_succeeds():
    recipe = bundled("paper/g0-2048")
    hopeless = []
    for sources in (recipe.states, bundled("qwen2.5-vl-7b/g0-2048").states):
        states = [one.state for one in QuestionSource(recipe.tasks, sources).draw(64)]
        game = recipe.tasks[0].game
        hopeless.append(np.mean([not game.success_mask(state).any() for state in states]))
    assert 0.05 < hopeless[0] < 0.4
    assert hopeless[1] == 0


def test_paper_recipes_fit_where_their_comment_says(sized):
    model = sized["Qwen/Qwen2.5-VL-7B-Instruct"]
    for on, fits in (("1x80gb", True), ("8x80gb", True), ("1x24gb", False)):
        recipe = bundled("paper/g1-all", [on])
        assert (
            longest_answer(recipe, model, *hardware(on)) >= recipe.grpo.max_new_tokens
        ) == fits, on
    assert bundled("paper/g1-all", ["1x80gb"]).grpo.max_new_tokens == 8192


@pytest.mark.parametrize("on", OURS)
@pytest.mark.parametrize("name", ["qwen2.5-vl-7b/g1-all", "qwen3-vl-8b/g1-all"])
def test_each_overlay_fits_its_hardware_and_keeps_updates_from_rounding_away(name, on, sized):
    recipe = bundled(name, [on])
    devices, room = hardware(on)
    needed = memory(recipe, sized[recipe.model], devices, devices > 1)
    assert needed.tightest.total <= room
    if recipe.lora is None:
        assert recipe.compute.weights == "float32", "bfloat16 alone loses updates at 1e-6"
        assert (recipe.grpo.lr, recipe.sft.lr) == (1e-6, 2e-5)
    else:
        assert (recipe.grpo.lr, recipe.sft.lr) == (1e-5, 2e-4), "ten times the rate for adapters"
    if devices == 8:
        assert recipe.grpo.batch * devices == 640
    plain = replace(recipe, lora=None, compute=replace(recipe.compute, weights="float32"))
    if on in ("1x24gb", "1x80gb"):
        assert memory(plain, sized[recipe.model]).tightest.total > room, "why it is LoRA"


def test_overlays_of_the_library_are_those_tested():
    assert set(overlays("recipe")) == set(OURS)
    with pytest.raises(ConfigError, match="on = 'laptop'"):
        hardware("laptop")
