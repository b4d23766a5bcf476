"""Memory of a run: arithmetic against measured bytes."""

import pytest
import torch

from parts.recipes import bundled, small_recipe
from parts.tasks import TINY_2048
from vlmgym.core import ConfigError
from vlmgym.models.loading import load
from vlmgym.render.frames import frame_size
from vlmgym.train.plan import memory as sizes
from vlmgym.train.plan.architecture import _stack, architecture
from vlmgym.train.plan.measure import measure
from vlmgym.train.plan.memory import memory


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
    recipe = small_recipe(qwen if family == "qwen" else "tiny", **change)
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
        recipe = small_recipe(qwen, compute={"weights": weights, "bf16": True})
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
    recipe = small_recipe(qwen, tasks=[{**TINY_2048, "look": "clean", "prompt": "full"}])
    one = architecture(str(qwen))
    game, level, look = recipe.tasks[0].game, recipe.tasks[0].level, recipe.tasks[0].look
    height, width = frame_size(game, level, look)
    _, tokens = one.positions_of(recipe)
    assert tokens > one.tokens(height, width) + 100
