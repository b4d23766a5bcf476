"""What a run needs and how it starts: parents of recipes, known models, arithmetic against measured
bytes, checks, launches.
"""

import os
import re
import shlex
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

import vlmgym
from parts.folders import CLUSTER
from parts.miniature import save_qwen2_5_vl
from vlmgym.cli import main
from vlmgym.core import ConfigError
from vlmgym.core.config import find, merge, overlays, read_file
from vlmgym.models.loading import load, load_processor
from vlmgym.render.frames import frame_size
from vlmgym.train.cold_start import cold_start_rows, cut_off
from vlmgym.train.plan import memory as sizes
from vlmgym.train.plan import preflight as plan
from vlmgym.train.plan import requirements
from vlmgym.train.plan.architecture import _stack, architecture, known_models
from vlmgym.train.plan.hardware import card_of, hardware
from vlmgym.train.plan.launch import launch_lines
from vlmgym.train.plan.measure import measure
from vlmgym.train.plan.memory import GIB, longest_answer, memory
from vlmgym.train.plan.preflight import check
from vlmgym.train.plan.requirements import report
from vlmgym.train.plan.speed import CARDS, LAUNCH, MEAN, READ, SCHEDULE, USE, VLLM_SHARE, speed
from vlmgym.train.plan.taught import longest_board
from vlmgym.train.questions import QuestionSource
from vlmgym.train.recipe import Recipe

torch.set_num_threads(1)
RECIPES = Path(vlmgym.__file__).parent / "recipes"
NAMES = sorted(str(p.relative_to(RECIPES).with_suffix("")) for p in RECIPES.rglob("*.yaml"))
NAMES = [
    name
    for name in NAMES
    if not name.startswith("on/") and name.split("/")[-1] not in ("base", "cold")
]
OURS = ("1x24gb", "1x80gb", "1x141gb", "8x80gb")
TASK = {
    "game": "2048",
    "level": "tiny",
    "look": "tiny",
    "prompt": "brief",
    "walk_min": 4,
    "walk_max": 40,
}


def bundled(name, on=(), overrides=()):
    return Recipe.parse(read_file("recipe", find("recipe", name), overrides, on))


def small(model, **sections):
    values = {
        "model": str(model),
        "tasks": [TASK],
        "cold_start": {"states": 4},
        "sft": {"batch": 2},
        "grpo": {"batch": 4, "group": 2, "max_new_tokens": 8},
        "checks": {"every": 0},
        "compute": {"device": "cpu", "threads": 1},
    }
    return Recipe.parse({**values, **sections})


@pytest.fixture(scope="module")
def qwen(tmp_path_factory):
    return save_qwen2_5_vl(tmp_path_factory.mktemp("models") / "qwen2_5_vl")


@pytest.fixture(scope="module")
def sized():
    """The sizes of each known model, built once."""
    return {name: architecture(name) for name in known_models()}


# ---- parents and overlays
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


# ---- bundled recipes
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
        assert [f for f in found if f.level == "warning"] == (frames if paper else [])
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


# ---- arithmetic
def test_known_models_have_their_published_sizes(sized):
    published = {
        "Qwen/Qwen2.5-VL-3B-Instruct": 3.75,
        "Qwen/Qwen2.5-VL-7B-Instruct": 8.29,
        "Qwen/Qwen3-VL-8B-Instruct": 8.77,
    }
    assert {name: round(one.parameters / 1e9, 2) for name, one in sized.items()} == published
    seven = sized["Qwen/Qwen2.5-VL-7B-Instruct"]
    assert seven.parts["embeddings"] == 2 * 152064 * 3584
    assert (
        seven.unfrozen == seven.parameters - seven.parts["vision tower"] - seven.parts["connector"]
    )
    assert seven.text.head_dim == 128
    assert [sized[name].tokens(448, 448) for name in sorted(sized)] == [256, 256, 196]
    three = sized["Qwen/Qwen2.5-VL-3B-Instruct"]
    assert three.parts["embeddings"] == 151936 * 2048, "tied: counted once"


def test_adapters_by_hand(sized):
    """Hu et al.: an adapter of a layer with m inputs and n outputs has rank * (m + n)
    parameters.
    """
    hidden, inner, kv = 3584, 18944, 4 * 128
    layer = 2 * (hidden + hidden) + 2 * (hidden + kv) + 3 * (hidden + inner)
    assert sized["Qwen/Qwen2.5-VL-7B-Instruct"].adapted == 28 * layer


def test_models_that_are_not_there(tmp_path):
    with pytest.raises(ConfigError, match=r"model = 'nobody/nothing'.*Qwen/Qwen2.5-VL-7B-Instruct"):
        architecture("nobody/nothing")
    with pytest.raises(ConfigError, match="saved model"):
        architecture(str(tmp_path / "empty"))


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"lora": {"rank": 4}},
        {"compute": {"device": "cpu", "threads": 1, "train_vision": False}},
    ],
    ids=["full", "lora", "frozen tower"],
)
@pytest.mark.parametrize("family", ["tiny", "qwen"])
def test_arithmetic_is_what_is_allocated(family, change, qwen, tmp_path):
    """One real step of SFT and GRPO: weights, adapters, reference, gradients and optimiser states,
    to the byte.
    """
    recipe = small(qwen if family == "qwen" else "tiny", **change)
    real = measure(recipe, tmp_path)
    assert set(real) == {"sft", "grpo"}
    phases = memory(recipe, architecture(recipe.model)).phases
    # the tiny model leaves out the last norm of its tower (a scale and a shift of 128 numbers),
    # which thus gets no gradient
    unused = 2 * 128 * 4 if family == "tiny" and not change else 0
    for stage, counted in real.items():
        parts = next(
            phase.parts for phase in phases if (phase.stage, phase.name) == (stage, "update")
        )
        spare = {"gradients": unused, "optimiser states": 2 * unused}
        assert counted == {part: parts[part] - spare.get(part, 0) for part in counted}, stage
        assert counted["weights"] > 0
        assert (counted["adapters"] > 0) == ("lora" in change)
        assert (counted["reference"] > 0) == (stage == "grpo" and "lora" not in change)


def test_formats_of_weights_and_optimisers(sized):
    """Bytes of a parameter: float32 is 4 weights + 4 gradients + 8 states; 8-bit states about 2;
    LoRA leaves the base alone.
    """
    seven = sized["Qwen/Qwen2.5-VL-7B-Instruct"]
    count = seven.parameters

    def update(**changes):
        recipe = bundled("qwen2.5-vl-7b/g0-all", (), [f"{k}={v}" for k, v in changes.items()])
        return next(phase for phase in memory(recipe, seven).phases if phase.name == "update").parts

    full = update()
    assert [full[k] / count for k in ("weights", "reference", "gradients", "optimiser states")] == [
        4,
        4,
        4,
        8,
    ]
    assert update(**{"grpo.beta": 0})["reference"] == 0
    table = 152064 * 3584
    packed = update(**{"compute.optimizer": "adamw_8bit"})["optimiser states"]
    assert packed == pytest.approx(2.03125 * (count - table) + 8 * table)
    assert update(**{"compute.optimizer": "paged_adamw_8bit"})["optimiser states"] == 0
    half = update(**{"compute.weights": "bfloat16"})
    assert [half[k] / count for k in ("weights", "reference", "gradients", "optimiser states")] == [
        2,
        2,
        2,
        4,
    ]
    assert half["weights cast"] == 0 < full["weights cast"]
    lora = update(**{"compute.weights": "bfloat16", "lora.rank": 8})
    assert (
        lora["adapters"]
        == lora["gradients"]
        == lora["optimiser states"] / 2
        == 4 * 8 * seven.adapted
    )
    assert lora["reference"] == 0
    assert lora["activations"] < half["activations"], "the vision tower keeps nothing"
    assert (
        update(**{"compute.gradient_checkpointing": False})["activations"] > 5 * full["activations"]
    )


def test_sharing_out_divides_what_is_kept(sized):
    seven = sized["Qwen/Qwen2.5-VL-7B-Instruct"]
    recipe = bundled("qwen2.5-vl-7b/g1-all", ["8x80gb"])
    alone, copied, shared = (
        memory(recipe, seven, *how) for how in ((1, False), (8, False), (8, True))
    )
    parts = [
        next(p.parts for p in m.phases if (p.stage, p.name) == ("grpo", "update"))
        for m in (alone, copied, shared)
    ]
    for name in ("weights", "reference", "gradients", "optimiser states"):
        assert parts[1][name] == parts[0][name] == 8 * parts[2][name]
    assert parts[1]["gradient buckets"] == parts[0]["gradients"]
    assert "gradient buckets" not in parts[0].keys() | parts[2].keys()
    assert alone.disk == shared.disk
    states = 8 * seven.parameters
    assert alone.disk["checkpoints"] == 3 * (4 * seven.parameters + states)
    assert alone.disk["models"] == 2 * 4 * seven.parameters


def test_the_cache_of_generation_is_in_the_format_of_the_weights(qwen):
    """Also under autocast: what the arithmetic counts for float32 weights is twice that of
    bfloat16.
    """
    one = architecture(str(qwen))
    for weights in ("float32", "bfloat16"):
        model, _ = load(str(qwen), weights)
        ids = torch.randint(10, 300, (3, 20))
        with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
            out = model.generate(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                max_new_tokens=5,
                min_new_tokens=5,
                return_dict_in_generate=True,
            )
        real = sum(layer.keys.nbytes + layer.values.nbytes for layer in out.past_key_values.layers)
        recipe = small(qwen, compute={"weights": weights, "bf16": True})
        counted = sizes._generating(
            recipe, one, sizes.Load(3, asked=1, length=24, patches=0, pictures=3), 1
        )["key-value cache"]
        assert real == counted, "24: the last token is not read again"


def test_autocast_keeps_a_copy_of_float32_weights_that_learn():
    """Each is cast once in a forward pass and the copy is used again, also without gradients;
    frozen ones are cast each time.
    """
    from torch.utils._python_dispatch import TorchDispatchMode

    class Casts(TorchDispatchMode):
        count = 0

        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            self.count += "_to_copy" in str(function) and args[0].shape == (8, 8)
            return function(*args, **(kwargs or {}))

    for learns in (True, False):
        layer = torch.nn.Linear(8, 8, bias=False).requires_grad_(learns)
        with Casts() as casts, torch.autocast("cpu", torch.bfloat16), torch.no_grad():
            for _ in range(3):
                layer(torch.zeros(2, 8))
        assert casts.count == (1 if learns else 3)


@pytest.mark.parametrize("kept", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("kind", ["qwen2_5_vl", "qwen3_vl"])
def test_activations_are_near_what_pytorch_saves(kind, kept):
    """A layer of the language model under autocast: what is saved for the backward pass, weights
    left out.
    """
    from transformers import AutoConfig, AutoModelForImageTextToText

    def model_of(layers):
        config = AutoConfig.for_model(
            kind,
            text_config={
                "hidden_size": 96, "intermediate_size": 400, "num_hidden_layers": layers, "num_attention_heads": 4,
                "num_key_value_heads": 2, "head_dim": 24, "vocab_size": 300, "bos_token_id": None, "eos_token_id": None,
                "rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [4, 4, 4]},
            },
            vision_config={"depth": 1, "hidden_size": 32, "intermediate_size": 64, "num_heads": 2, "out_hidden_size": 96},
        )  # fmt: skip
        return config, AutoModelForImageTextToText.from_config(config).to(kept).model.language_model

    rows, length = 2, 64
    saved = []
    for layers in (2, 3):
        config, model = model_of(layers)
        # weights and their casts, also transposed
        own = {tuple(sorted(w.shape)) for w in model.parameters()}
        storages = {}

        def keep(tensor, own=own, storages=storages):
            if tuple(sorted(tensor.shape)) not in own:
                storages[tensor.untyped_storage().data_ptr()] = tensor
            return tensor

        given = torch.randn(rows, length, 96, dtype=kept, requires_grad=True)
        mask = torch.ones(rows, length, dtype=torch.long)
        mask[0, :3] = 0
        with (
            torch.autograd.graph.saved_tensors_hooks(keep, lambda t: t),
            torch.autocast("cpu", torch.bfloat16),
        ):
            model(
                inputs_embeds=given,
                attention_mask=mask,
                position_ids=torch.arange(length).expand(3, rows, length),
                use_cache=False,
            )
        saved.append(sum(t.untyped_storage().nbytes() for t in storages.values()) / rows / length)
    stack = _stack(config.get_text_config())
    counted = stack.saved(compute=2, residual=4 if kept == torch.float32 else 2)
    assert saved[1] - saved[0] == pytest.approx(counted, rel=0.15 if kind == "qwen2_5_vl" else 0.05)


def test_the_tile_of_logits_is_that_of_trl():
    from trl.kernels.chunked_logprob import TOKEN_CHUNK_SIZE
    from trl.trainer.utils import _CHUNKED_LOGPROB_CHUNK_SIZE

    assert (TOKEN_CHUNK_SIZE, _CHUNKED_LOGPROB_CHUNK_SIZE) == (
        sizes.TOKENS_AT_ONCE,
        sizes.WORDS_AT_ONCE,
    )


def test_estimated_prompts_are_not_too_short(qwen):
    recipe = small(qwen, tasks=[{**TASK, "look": "clean", "prompt": "full"}])
    one = architecture(str(qwen))
    game, level, look = recipe.tasks[0].game, recipe.tasks[0].level, recipe.tasks[0].look
    height, width = frame_size(game, level, look)
    _, tokens = one.positions_of(recipe)
    assert tokens > one.tokens(height, width) + 100


# ---- checks
def errors(recipe, out):
    return {f.what: f.message for f in check(recipe, out) if f.level == "error"}


def test_a_check_that_finds_nothing(tmp_path, qwen):
    for model in ("tiny", qwen):
        grpo = {"batch": 4, "group": 2, "max_new_tokens": 2000}
        found = check(small(model, grpo=grpo), tmp_path / "not" / "yet" / "there")
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
    recipe = small(
        qwen,
        tasks=[*tasks, TASK],
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
            small(change.get("model", "tiny"), **{k: v for k, v in change.items() if k != "model"}),
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
        {**TASK, "look": "clean:width=300,height=300"},
        {
            "game": "ShisenSho",
            "level": "paper12",
            "look": "clean:width=336,height=336",
            "prompt": "brief",
            "walk_max": 5,
        },
    ]
    warnings = {
        f.what: f.message for f in check(small(qwen, tasks=tasks), tmp_path) if f.level == "warning"
    }
    assert "300 x 300" in warnings["tasks.0"]
    assert "resizes" in warnings["tasks.0"]
    assert "small" in warnings["tasks.1"]
    found = check(small("tiny", tasks=tasks[:1]), tmp_path)
    tiny = [f.message for f in found if f.level == "warning" and f.what == "tasks.0"]
    assert len(tiny) == 1
    assert "resizes" in tiny[0]


def test_answers_of_the_teacher_that_do_not_fit_are_counted(tmp_path):
    """A cold start on Swap once taught answers of up to 3,000 tokens, and GRPO allowed 1,024."""
    for limit, level in ((20, "warning"), (2000, "ok")):
        recipe = small(
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
    recipe = small(
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
    found = {f.what: f for f in check(small("tiny", lora={"rank": 4}), tmp_path)}
    assert found["grpo.lr"].level == "warning"
    assert "4 x 4 = 16 answers to 8 states" in found["batch"].message


def test_memory_is_held_against_the_gpu(tmp_path, monkeypatch):
    class Card:
        total_memory = GIB

    recipe = small("tiny", compute={"device": "auto"})
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda number: Card)
    assert "the GPU has 1.0 GiB" in errors(recipe, tmp_path)["memory"]
    Card.total_memory = 80 * GIB
    assert "memory" not in errors(recipe, tmp_path)


# ---- starting
def split(text):
    """Environment, program and arguments of a line."""
    words = shlex.split(text)
    first = next(i for i, word in enumerate(words) if "=" not in word)
    return dict(word.split("=", 1) for word in words[:first]), words[first:]


@pytest.mark.parametrize("name", ["tiny/g1", "qwen2.5-vl-7b/g1-all"])
def test_launch_lines_are_what_their_programs_take(name):
    from accelerate.commands.launch import launch_command_parser
    from torch.distributed.run import get_args_parser

    seen = set()
    total = bundled(name).grpo.batch
    for title, text in launch_lines(
        name, *(("1x80gb", "8x80gb") if name.startswith("qwen") else ()), gpus=8, nodes=2
    ):
        _, words = split(text)
        if words[0] == "srun":
            words = words[words.index("torchrun") :]
        program, devices = words[0], 1
        if program == "torchrun":
            given = get_args_parser().parse_args(words[1:])
            devices = int(given.nproc_per_node) * int(given.nnodes.split(":")[0])
            assert (given.training_script, given.module) == ("vlmgym", True)
            rest = given.training_script_args
        elif program == "accelerate":
            given = launch_command_parser().parse_args(words[2:])
            devices = given.num_processes
            assert (given.training_script, given.module) == ("vlmgym", True)
            assert Path(given.config_file).suffix == ".yaml"
            rest = given.training_script_args
        elif program == "vllm":
            continue
        else:
            assert program == "vlmgym"
            rest = words[1:]
        seen.add(program)
        assert rest[:2] == ["train", name], title
        options = rest[2::2]
        assert set(options) <= {"--out", "--on", "--set", "--engine", "--nodes", "--gpus"}, title
        overrides = [
            value for option, value in zip(options, rest[3::2], strict=True) if option == "--set"
        ]
        recipe = bundled(
            name,
            [value for option, value in zip(options, rest[3::2], strict=True) if option == "--on"],
            overrides,
        )
        if recipe.grpo is None:
            assert (overrides, recipe.cold_start is not None) == (["grpo=null"], True), title
        elif "--set" in options:
            assert recipe.grpo.batch * devices in (total, total * devices), title
            if name.startswith("qwen"):
                assert recipe.grpo.batch * devices == total, title
                assert recipe.grpo.batch // recipe.grpo.accumulate <= 10, title
    assert seen == {"vlmgym", "torchrun", "accelerate"}


@pytest.mark.parametrize("name", ["fsdp2", "zero3"])
def test_cluster_files_are_accelerates(name):
    """Every key is one that Accelerate knows: an option of its launcher, or a field of its
    configuration.
    """
    from accelerate.commands.config.config_args import ClusterConfig, load_config_from_file
    from accelerate.commands.launch import launch_command_parser

    path = CLUSTER / f"{name}.yaml"
    config = load_config_from_file(str(path))
    assert isinstance(config, ClusterConfig)
    assert config.mixed_precision == "bf16"
    known = {action.dest for action in launch_command_parser()._actions}
    section = config.fsdp_config or config.deepspeed_config
    assert section
    assert set(section) <= known, set(section) - known


def test_the_report_shows_all_hardware_and_what_does_not_fit(sized, monkeypatch):
    monkeypatch.setattr(requirements, "architecture", sized.get)
    text = report("qwen2.5-vl-7b/g1-all")
    lines = text.splitlines()
    assert "8.29 B parameters" in lines[0]
    assert all(on in text for on in OURS)
    assert [line.split()[1:] for line in lines if line.startswith("fits")] == [["yes"] * 4]
    lines = launch_lines(
        "qwen2.5-vl-7b/g1-all", "1x80gb", "8x80gb", model=sized["Qwen/Qwen2.5-VL-7B-Instruct"]
    )
    for title, line in lines:
        assert f"# {title}\n{line}\n" in text
    eights = report("qwen2.5-vl-7b/g1-all", ["grpo.group=8", "grpo.accumulate=4"])
    assert (
        "1x24gb: GrpoSettings.generate_batch = 20: allowed is a multiple of group = 8, or 0"
        in eights
    )
    longer = report("qwen2.5-vl-7b/g1-all", ["grpo.batch=640", "grpo.generate_batch=0"])
    assert [line.split()[1:] for line in longer.splitlines() if line.startswith("fits")] == [
        ["NO", "NO", "NO", "NO"]
    ]


# ---- hours
SEVEN = "Qwen/Qwen2.5-VL-7B-Instruct"


def test_hours_by_hand(sized):
    """Qwen2.5-VL-7B with adapters on an H100: 400 steps of 640 answers, 40 together, of at most
    4,096 tokens.
    """
    recipe, model = bundled("qwen2.5-vl-7b/g0-all", ["1x80gb"]), sized[SEVEN]
    _, room = hardware("1x80gb")
    one = speed(recipe, model, CARDS[80], 1, room)
    patches, asked = model.positions_of(recipe)
    weights, tower = model.parts["language model"] + 152064 * 3584, model.parts["vision tower"]
    bandwidth, rate, cached = READ * 3.35e12, USE * 989e12, 2 * 28 * 4 * 128
    mean = MEAN * 4096
    read = 2 * 640 * (asked * weights + patches * tower) / rate
    token = max(28 * LAUNCH, (2 * weights + 3 * 2 * cached * 40 * (asked + 2048)) / bandwidth)
    assert one.generation == pytest.approx(16 * 4096 * token + read)
    text, eyes = 640 * (asked + mean) * weights, 640 * patches * tower
    # adapters: forward 2, backward 2, again 2; the reference 2; the frozen tower is passed once for
    # each model
    assert one.update == pytest.approx((text * 8 + eyes * 4) / rate)
    running = int((VLLM_SHARE * room - 2 * model.parameters) / (2 * cached) / (asked + mean))
    token = SCHEDULE + max(
        (2 * weights + 2 * cached * running * (asked + mean / 2)) / bandwidth,
        2 * weights * running / rate,
    )
    assert one.vllm_generation == pytest.approx(max(640 * mean / running, 4096) * token + read)
    assert one.vllm_update == pytest.approx((text * 10 + eyes * 6) / rate), (
        "and the log-probabilities that vLLM does not tell"
    )
    assert one.cold == 0
    assert one.hours == pytest.approx(400 * (one.generation + one.update) / 3600)
    assert one.vllm_hours == pytest.approx(400 * (one.vllm_generation + one.vllm_update) / 3600)
    assert one.answered / one.generation == pytest.approx(640 * mean / one.generation)
    full = speed(
        bundled("qwen2.5-vl-7b/g1-all", ["1x141gb"]), model, CARDS[141], 1, hardware("1x141gb")[1]
    )
    length = asked + MEAN * longest_board(recipe)
    assert full.cold == pytest.approx(4000 * (length * weights + patches * tower) * 8 / rate), (
        "full training, checkpointing"
    )


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith(("qwen", "paper/"))])
def test_all_recipes_have_finite_hours_on_all_hardware(name, sized):
    for on in OURS:
        recipe = bundled(name, [on])
        one = speed(recipe, sized[recipe.model], card_of(on), *hardware(on))
        numbers = [one.hours, one.generation, one.update, one.answered, one.trained]
        numbers += [one.vllm_hours, one.vllm_generation, one.vllm_update] if one.mode else []
        assert all(0 < number < 1e8 for number in numbers), (on, one)
        assert np.isnan(one.vllm_hours) == (not one.mode)
        assert not one.mode or one.vllm_hours < one.hours


def test_longer_answers_and_more_steps_take_longer(sized):
    def hours(*overrides):
        return speed(
            bundled("qwen2.5-vl-7b/g1-all", ["1x80gb"], overrides),
            sized[SEVEN],
            CARDS[80],
            1,
            hardware("1x80gb")[1],
        )

    usual = hours()
    assert hours("grpo.max_new_tokens=1024").hours < usual.hours
    assert hours("grpo.steps=800").generation == usual.generation
    assert hours("grpo.generate_batch=20").generation > usual.generation
    assert hours("grpo.beta=0").update < usual.update < hours("grpo.epochs_per_batch=2").update
    only = hours("grpo=null")
    assert (only.steps, only.generation, only.hours) == (0, 0, usual.cold / 3600)
    assert not only.wants_vllm


def test_vllm_is_the_first_line_where_generating_without_takes_most_of_the_time(sized):
    model = sized[SEVEN]
    first, second, *rest = launch_lines("qwen2.5-vl-7b/g1-all", "1x80gb", "8x80gb", model=model)
    assert first[1].endswith("--on 1x80gb --set grpo.use_vllm=true --set grpo.vllm_mode=colocate")
    assert re.search(
        r"vLLM generates \(without it \d\d% of the time, \d+ hours instead of \d+; " r"estimated\)",
        first[0],
    )
    assert "vllm" not in second[1]
    programs = [text for _, text in rest]
    served = next(n for n, text in enumerate(programs) if "vllm serve" in text)
    alone = next(n for n, text in enumerate(programs) if "num_processes 8" in text)
    assert served < alone
    for on, known in (
        ("1x24gb", model),
        ("1x141gb", model),
        ("8x80gb", model),
        ("1x80gb", None),
        ("", model),
    ):
        assert "use_vllm" not in launch_lines("qwen2.5-vl-7b/g1-all", on, model=known)[0][1], on


def test_a_plan_prints_hours_and_what_they_rest_on(sized, monkeypatch):
    monkeypatch.setattr(requirements, "architecture", sized.get)
    lines = report("qwen2.5-vl-7b/g1-swap").splitlines()
    for row in (
        "hours (estimate)  ",
        "  generation   ",
        "  update   ",
        "tokens/s, generation  ",
        "tokens/s, update  ",
    ):
        (line,) = (line for line in lines if line.startswith(row))
        numbers = [float(word) for word in line[len(row) :].split()]
        assert len(numbers) == len(OURS)
        assert min(numbers) > 0
    (cut,) = (line for line in lines if line.startswith("taught answers cut, Swap"))
    assert cut.split()[4:] == ["none", "<=", "3.7%", "<=", "35.2%", "none", "none"], (
        "as it is, 141, 24, 80, 8 x 80 GB"
    )
    text = "\n".join(lines)
    for part in (
        "confirmed by no GPU run",
        "from data sheets: H200 SXM 4.8 TB/s",
        "assumed: 1 ms a layer",
        "does not fit",
    ):
        assert part in text


def test_a_plan_of_the_embedded_model_tells_no_hours_of_cards():
    text = report("tiny/g1")
    assert "hours" not in text
    assert "nan" not in text
    assert "vllm" not in text


# ---- bad recipes
BAD = [
    ("grpo.batch=3", "GrpoSettings.batch = 3"),
    ("grpo.batch=many", "of type int"),
    ("grpo.group=1", "2 to 1024"),
    ("grpo.group=3", "a multiple of group * accumulate = 3"),
    ("grpo.accumulate=3", "a multiple of group * accumulate = 6"),
    ("grpo.generate_batch=3", "a multiple of group = 2, or 0"),
    ("grpo.steps=-1", "GrpoSettings.steps = -1"),
    ("grpo.lr=-0.1", "GrpoSettings.lr = -0.1"),
    ("grpo.beta=.inf", "no number that can be computed with"),
    ("grpo.max_new_tokens=0", "GrpoSettings.max_new_tokens = 0"),
    ("grpo.loss=best", "one of grpo"),
    ("grpo.vllm_mode=cloud", "server, colocate"),
    ("grpo.seed=-1", "GrpoSettings.seed = -1"),
    ("grpo=[]", "recipe.grpo = []"),
    ("grpo=false", "recipe.grpo = False"),
    ("grpo=null", "cold_start, grpo, or both"),
    ("cold_start=false", "recipe.cold_start = False"),
    ("cold_start={states: 0}", "ColdStart.states = 0"),
    ("cold_start={teacher_error: 2}", "ColdStart.teacher_error = 2.0"),
    ("sft=0", "recipe.sft = 0"),
    ("tasks=[]", "at least one task"),
    ("tasks=null", "at least one task"),
    ("tasks=[1]", "Task = 1"),
    ("tasks.0.game=Chess", "game = 'Chess'"),
    ("tasks.0.weight=-1", "Task.weight = -1.0"),
    ("tasks.0.weight=0", "a weight above 0 for at least one task"),
    ("tasks.0.walk_max=1", "at least walk_min = 4"),
    ("states=[]", "recipe.states = []"),
    ("states=false", "recipe.states = False"),
    ("states=[{kind: dream}]", "random_walk, policy_pool, replay"),
    ("states=[{weight: -1}]", "Source.weight = -1.0"),
    ("states=[{weight: 0}]", "a weight above 0 for at least one source"),
    ("states=[{kind: replay}]", "Source.trace = ''"),
    ("states=[{kind: replay, trace: nowhere.jsonl}]", "nowhere.jsonl: there is no such file"),
    ("states=[{kind: policy_pool, hopeless: true}]", "Source.hopeless"),
    ("curriculum=0", "recipe.curriculum = 0"),
    ("curriculum={Swap: {dial: level}}", "a game of the run"),
    ("reward={game: 0, format: 0}", "a weight other than 0"),
    ("reward.game=1000", "Weights.game = 1000"),
    ("lora={rank: 0}", "Lora.rank = 0"),
    ("checks.every=-1", "Checks.every = -1"),
    ("colour=1", "recipe.colour = 1"),
]


@pytest.mark.parametrize(("override", "part"), BAD, ids=[override for override, _ in BAD])
def test_bad_recipes_are_told_in_one_sentence(override, part, tmp_path, capsys):
    values = {
        "model": "tiny",
        "tasks": [TASK],
        "grpo": {"batch": 4, "group": 2, "max_new_tokens": 600},
        "checks": {"every": 0},
    }
    (tmp_path / "recipe.yaml").write_text(
        yaml.safe_dump({**values, "compute": {"device": "cpu", "threads": 1}})
    )
    for command in (["plan"], ["train", "--dry-run", "--out", str(tmp_path / "run")]):
        status = main([command[0], str(tmp_path / "recipe.yaml"), *command[1:], "--set", override])
        told = capsys.readouterr()
        assert status == 2
        assert "Traceback" not in told.out + told.err
        (line,) = [one for one in (told.out + told.err).splitlines() if part in one]
        assert line.startswith((f"vlmgym {command[0]}: ", "error "))
    assert not (tmp_path / "run").exists()


def test_python_m_vlmgym_is_the_command_line():
    import subprocess
    import sys

    done = subprocess.run(
        [sys.executable, "-m", "vlmgym", "games"],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ,
        timeout=60,
    )
    assert "ShisenSho" in done.stdout
