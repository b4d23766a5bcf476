"""The verl adapter on a CPU: its own worker, its configuration and its queue, with a server that
answers from a script.
"""

import asyncio
import inspect
import json
import os
import pickle
import re
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.errors import ConfigCompositionException
from omegaconf import OmegaConf
from server import Server
from transformers import AutoModelForImageTextToText, AutoProcessor
from verl.experimental.agent_loop.agent_loop import AgentLoopWorker, DictConfigWrap
from verl.protocol import DataProto
from verl.trainer.ppo.utils import create_rl_dataset
from verl.trainer.ppo.v1.utils import compute_advantage_for_multi_trajectories
from verl.utils.config import omega_conf_to_dataclass, validate_config
from verl.utils.dataset.rl_dataset import collate_fn
from verl.utils.py_functional import convert_to_regular_types
from verl.utils.tokenizer import hf_processor, hf_tokenizer

import verl
from conftest import PATHS
from parts.miniature import save
from vlmgym.core import ConfigError, split_of
from vlmgym.core.config import find
from vlmgym.core.threads import set_threads, spread
from vlmgym.dialogue.judge import judge
from vlmgym.games import read_state_text
from vlmgym.models.loading import model_path
from vlmgym.render.frames import pictures
from vlmgym.train.compute import Lora
from vlmgym.train.recipe import Recipe, read_recipe
from vlmgym.train.verl.config import overrides, prepare
from vlmgym.train.verl.worker import KNOWN, GameAgentLoop, GameDataset

torch.set_num_threads(1)
CONFIG = str(Path(verl.__file__).parent / "trainer" / "config")
LOOK = "tiny:width=112,height=112"


def recipe_of(model, turns=1, states=({},), **grpo):
    tasks = [
        {
            "game": "2048",
            "level": "tiny",
            "look": LOOK,
            "prompt": "brief",
            "walk_min": 4,
            "walk_max": 40,
            "weight": 3,
        },
        {
            "game": "Swap",
            "level": "tiny",
            "look": LOOK,
            "prompt": "brief",
            "walk_max": 3,
            "walk_legal": True,
        },
    ]
    settings = {
        "steps": 4,
        "batch": 8,
        "group": 2,
        "turns": turns,
        "max_new_tokens": 600,
        "beta": 0.01,
        "drop_equal": False,
    } | grpo
    reward = {"game": 1, "format": 0.5, "perception": 0.25}
    return Recipe.parse(
        {
            "model": str(model),
            "tasks": tasks,
            "grpo": settings,
            "reward": reward,
            "states": list(states),
            "checks": {"every": 2, "states": 6},
        }
    )


@pytest.fixture(scope="session")
def qwen(tmp_path_factory):
    return save("qwen2_5_vl", tmp_path_factory.mktemp("models") / "qwen")


def played(qwen, tmp_path, turns, mode, response_length=600, number=0):
    """The outputs of one episode, with the server and the row."""
    recipe = recipe_of(qwen, turns)
    prepare(recipe, tmp_path, mode)
    processor = AutoProcessor.from_pretrained(qwen, padding_side="left")
    rollout = {"prompt_length": 512, "response_length": response_length}
    config = OmegaConf.create({"actor_rollout_ref": {"rollout": rollout}, "data": {}})
    server = Server(processor.tokenizer)
    row = GameDataset(str(tmp_path / "train.json"))[number]
    rest = {key: value for key, value in row.items() if key not in ("dummy_tensor", "agent_name")}

    async def run():
        loop = GameAgentLoop(
            DictConfigWrap(config),
            server,
            processor.tokenizer,
            processor,
            GameDataset,
            DictConfigWrap(config.data),
            hf_model_type="qwen2_5_vl",
            recipe=str(tmp_path / "train.json"),
            mode=mode,
        )
        return await loop.run({"temperature": 1.0}, **rest)

    outputs = asyncio.run(run())
    return recipe, server, row, outputs


def expected(recipe, row, texts):
    """Judgements of these replies, one after the other from the row's state."""
    game, state = read_state_text(row["state"])
    out = []
    for text in texts:
        state, (one,) = judge(game, state, [text], oracle=False)
        out.append(one)
    return out


def image_tokens(qwen, ids):
    config = json.loads((qwen / "config.json").read_text())
    return list(ids).count(config["image_token_id"])


# ---- agent loop
def test_a_single_turn_is_worth_what_it_is_worth_everywhere(qwen, tmp_path):
    recipe, server, row, output = played(qwen, tmp_path, 1, "conversation")
    (one,) = expected(recipe, row, server.said)
    assert output.reward_score == recipe.reward.total(one.terms)
    info = output.extra_fields["reward_extra_info"]
    assert {key: info[key] for key in one.terms} == one.terms
    assert info["success"] == (one.terms["game"] > 0)
    assert sum(value for key, value in info.items() if key.startswith("fault/")) == 1
    assert output.response_mask == [1] * len(output.response_ids)
    assert output.response_logprobs == [-0.5] * len(output.response_ids)
    (asked,) = server.seen
    assert asked[0] == output.prompt_ids
    assert image_tokens(qwen, output.prompt_ids) == (112 // 28) ** 2
    assert len(output.multi_modal_data["images"]) == 1
    assert (output.extra_fields["min_global_steps"], output.extra_fields["max_global_steps"]) == (
        0,
        1,
    )
    assert server.limits == [600]


def test_a_conversation_masks_the_boards_and_shows_one_a_turn(qwen, tmp_path):
    recipe, server, row, output = played(qwen, tmp_path, 4, "conversation")
    assert [len(images) for _, images in server.seen] == [1, 2, 3, 4]
    assert len(output.multi_modal_data["images"]) == 4
    assert image_tokens(qwen, output.prompt_ids) == 16
    assert image_tokens(qwen, output.response_ids) == 3 * 16
    tokenizer = server.tokenizer
    said = tokenizer.decode(
        [t for t, m in zip(output.response_ids, output.response_mask, strict=True) if m]
    )
    assert said == "".join(text + tokenizer.eos_token for text in server.said), (
        "what the model said, and nothing else"
    )
    for turn, text in enumerate(server.said):
        count = len(tokenizer.encode(text + tokenizer.eos_token, add_special_tokens=False))
        assert output.response_logprobs.count(-0.5 - turn) == count
    masked = [
        lp for lp, m in zip(output.response_logprobs, output.response_mask, strict=True) if not m
    ]
    assert set(masked) == {0.0}
    turns = expected(recipe, row, server.said)
    game = sum(one.terms["game"] for one in turns) / 4
    form = sum(one.terms["format"] for one in turns) / 4
    assert output.reward_score == pytest.approx(game + 0.5 * form)
    info = output.extra_fields["reward_extra_info"]
    assert info["turns"] == 4
    assert info["fault/format"] == sum(one.fault == "format" for one in turns) / 4
    assert info["gain"] == sum(one.gain for one in turns)
    assert (output.extra_fields["min_global_steps"], output.extra_fields["max_global_steps"]) == (
        0,
        4,
    ), "first and last"
    first = len(server.seen[0][0])
    assert server.limits == [600 - (len(ids) - first) for ids, _ in server.seen], (
        "what is left of the budget"
    )


def test_turn_by_turn_each_sample_has_the_present_board_alone(qwen, tmp_path):
    recipe, server, row, outputs = played(qwen, tmp_path, 4, "per_turn")
    assert len(outputs) == 4
    assert [len(images) for _, images in server.seen] == [1] * 4
    for turn, (output, text) in enumerate(zip(outputs, server.said, strict=True)):
        assert output.response_mask == [1] * len(output.response_ids)
        assert output.response_logprobs == [-0.5 - turn] * len(output.response_ids)
        assert server.tokenizer.decode(output.response_ids) == text + server.tokenizer.eos_token
        assert image_tokens(qwen, output.prompt_ids) == 16
    game, state = read_state_text(row["state"])
    turns = expected(recipe, row, server.said)
    assert outputs[-1].reward_score == pytest.approx(
        sum(0.5 * t.terms["format"] + t.terms["game"] for t in turns) / 4
    )
    frames = [np.asarray(output.multi_modal_data["images"][0]) for output in outputs]
    for frame, text in zip(frames, server.said, strict=True):
        assert np.array_equal(frame, np.asarray(pictures(game, state, LOOK)[0]))
        state = judge(game, state, [text], oracle=False)[0]


def test_a_conversation_ends_before_a_picture_that_would_not_fit(qwen, tmp_path):
    *_, output = played(qwen, tmp_path, 4, "conversation", response_length=100)
    assert (
        len(output.response_ids)
        == len(output.response_mask)
        == len(output.response_logprobs)
        <= 100
    )
    assert image_tokens(qwen, output.response_ids) == 16 * (
        len(output.multi_modal_data["images"]) - 1
    )
    assert output.extra_fields["reward_extra_info"]["turns"] < 4, "so that the test can fail"


def test_an_unknown_processor_fails_loudly(qwen, tmp_path):
    """verl takes a processor that it does not know for none at all, and trains on without any
    pictures.
    """
    prepare(recipe_of(qwen), tmp_path)
    tiny = model_path("tiny")
    with pytest.warns(UserWarning, match="Unsupported processor type"):
        processor = hf_processor(tiny)
    assert processor is None
    config = OmegaConf.create(
        {"actor_rollout_ref": {"rollout": {"prompt_length": 64, "response_length": 64}}, "data": {}}
    )
    with pytest.raises(
        ConfigError,
        match=r"processor = 'LlavaProcessor': allowed is for verl, one " r"of Qwen2VLProcessor, ",
    ):
        GameAgentLoop(
            DictConfigWrap(config),
            None,
            hf_tokenizer(tiny),
            processor,
            GameDataset,
            DictConfigWrap(config.data),
            hf_model_type="llava",
            recipe=str(tmp_path / "train.json"),
        )


def test_the_known_processors_are_verls():
    assert tuple(re.findall(r'case "(\w+)"', inspect.getsource(hf_processor))) == KNOWN


# ---- data set
def test_rows_are_the_same_every_time_small_and_of_their_split(qwen, tmp_path):
    prepare(recipe_of(qwen, steps=50), tmp_path)
    train, again, test = (
        GameDataset(str(tmp_path / name)) for name in ("train.json", "train.json", "test.json")
    )
    assert (len(train), len(test)) == (200, 12)
    backwards = [again[i] for i in reversed(range(200))][::-1]
    rows = [train[i] for i in range(200)]
    assert [row["state"] for row in rows] == [row["state"] for row in backwards]
    assert all(len(pickle.dumps(row)) < 6000 for row in rows), "no pixels"
    assert (
        abs(np.mean([row["data_source"] == "2048" for row in rows]) - 0.75)
        < 4 * (0.75 * 0.25 / 200) ** 0.5
    )
    for data, split in ((rows, "train"), ([test[i] for i in range(12)], "test")):
        assert {split_of(read_state_text(row["state"])[1].seed[0]) for row in data} == {split}
    with pytest.raises(IndexError):
        train[200]
    assert len(GameDataset(str(tmp_path / "train.json"), max_samples=7)) == 7


def test_states_that_depend_on_answers_are_refused(qwen, tmp_path):
    prepare(recipe_of(qwen), tmp_path)
    kept = json.loads((tmp_path / "train.json").read_text())
    kept["recipe"]["states"] = [{"kind": "policy_pool"}]
    (tmp_path / "other.json").write_text(json.dumps(kept))
    with pytest.raises(ConfigError, match=r"recipe.states = 'policy_pool'"):
        GameDataset(str(tmp_path / "other.json"))


def test_verls_loader_gets_the_same_rows_from_several_processes(qwen, tmp_path):
    """Its worker processes are forked, each draws by itself, and the threads of the process before
    are not there.
    """
    from torchdata.stateful_dataloader import StatefulDataLoader

    recipe = recipe_of(qwen, steps=5)
    prepare(recipe, tmp_path)
    config = composed(overrides(recipe, tmp_path, str(qwen), gpus=1))
    data = create_rl_dataset(config.data.train_files, config.data, None, None, max_samples=-1)
    assert type(data) is GameDataset, "the module itself, not a second copy of the file"
    set_threads(2)
    try:
        spread(lambda rows: None, 2, 1 << 22)
        size = len(pickle.dumps(data))
        loader = StatefulDataLoader(data, batch_size=4, num_workers=2, collate_fn=collate_fn)
        batches = list(loader)
    finally:
        set_threads(0)
    assert size < 20_000, "a copy for each process"
    assert [state for batch in batches for state in batch["state"]] == [
        data[i]["state"] for i in range(20)
    ]


# ---- configuration
def composed(arguments):
    with initialize_config_dir(config_dir=CONFIG, version_base=None):
        return compose("ppo_trainer", overrides=arguments)


def test_the_recipe_reaches_verls_own_configuration(qwen, tmp_path):
    recipe = recipe_of(
        qwen,
        lr=2e-6,
        epsilon=0.3,
        temperature=0.9,
        max_grad_norm=0.5,
        loss="grpo",
        scheduler="cosine",
        warmup=3,
    )
    folder = tmp_path / "lr=2e-6, (first) try" / "verl"
    config = composed(overrides(recipe, folder, str(qwen), nodes=2, gpus=2))
    validate_config(config=config, use_reference_policy=True, use_critic=False)
    actor, rollout = config.actor_rollout_ref.actor, config.actor_rollout_ref.rollout
    assert (actor.optim.lr, actor.kl_loss_coef, actor.use_kl_loss) == (2e-6, 0.01, True)
    assert (actor.clip_ratio, actor.clip_ratio_low, actor.clip_ratio_high) == (0.3, 0.3, 0.3)
    assert (actor.optim.clip_grad, actor.optim.lr_scheduler_type, actor.optim.lr_warmup_steps) == (
        0.5,
        "cosine",
        3,
    )
    assert actor.loss_agg_mode == "seq-mean-token-mean"
    assert (rollout.n, rollout.temperature, config.data.train_batch_size) == (2, 0.9, 4)
    assert (rollout.prompt_length, rollout.response_length) == (2048, 600)
    assert (
        config.trainer.nnodes,
        config.trainer.n_gpus_per_node,
        config.trainer.total_training_steps,
    ) == (2, 2, 4)
    assert config.data.train_files == str(folder / "train.json")
    assert config.trainer.experiment_name == "lr=2e-6, (first) try"


@pytest.mark.parametrize("on", [(), ("1x80gb",)], ids=["full", "lora"])
@pytest.mark.parametrize(
    "name", ["qwen2.5-vl-7b/g0-2048", "qwen2.5-vl-7b/g1-all", "qwen3-vl-8b/g1-shisen-sho-photos"]
)
def test_bundled_recipes_are_configurations_of_verl(name, on, tmp_path):
    config = composed(overrides(read_recipe(find("recipe", name), on=on), tmp_path, "m"))
    assert (config.actor_rollout_ref.model.lora_rank > 0) == bool(on)
    if on:  # the check of adapters imports vLLM, which is not here
        config.actor_rollout_ref.rollout.name = "sglang"
    validate_config(config=config, use_reference_policy=True, use_critic=False)


def test_adapters_are_on_the_language_model_alone(qwen, tmp_path):
    """As verl's engine makes them, which by itself would put them on all linear layers."""
    from peft import LoraConfig, get_peft_model

    recipe = replace(recipe_of(qwen), lora=Lora(rank=4, alpha=8))
    told = composed(overrides(recipe, tmp_path, str(qwen), gpus=1)).actor_rollout_ref
    model = omega_conf_to_dataclass(told.model)
    names = {
        key: convert_to_regular_types(getattr(model, key))
        for key in ("target_modules", "exclude_modules")
    }
    made = get_peft_model(
        AutoModelForImageTextToText.from_pretrained(qwen), LoraConfig(r=model.lora_rank, **names)
    )
    found = [name for name, _ in made.named_modules() if name.endswith("lora_A")]
    assert len(found) == 2 * 7, "layers x projections"
    assert not [name for name in found if "visual" in name]
    assert told.rollout.load_format == "safetensors"


def test_a_key_that_verl_does_not_have_is_refused(qwen, tmp_path):
    """All overrides are without ``+``: Hydra takes them for existing keys, or fails."""
    arguments = overrides(recipe_of(qwen), tmp_path, str(qwen))
    assert not [one for one in arguments if one.startswith("+")]
    with pytest.raises(ConfigCompositionException):
        composed([*arguments, "actor_rollout_ref.rollout.temprature=1"])


# ---- verl's worker
def config_of(qwen, tmp_path, turns, mode):
    recipe = recipe_of(qwen, turns)
    prepare(recipe, tmp_path, mode)
    return composed(
        [
            *overrides(recipe, tmp_path, str(qwen), 1, 1, mode),
            "transfer_queue.backend.SimpleStorage.num_data_storage_units=1",
            "transfer_queue.backend.SimpleStorage.total_storage_size=100",
        ]
    )


def test_verls_own_worker_makes_batches_with_pictures_and_positions(qwen, tmp_path):
    config = config_of(qwen, tmp_path, 3, "conversation")
    processor = AutoProcessor.from_pretrained(qwen)
    worker = AgentLoopWorker(config, Server(processor.tokenizer))
    data = worker.dataset_cls(str(tmp_path / "train.json"))
    assert type(data).__name__ == "GameDataset"
    rows = [data[i] for i in (0, 1) for _ in range(2)]
    tensors = {"dummy_tensor": torch.stack([row.pop("dummy_tensor") for row in rows])}
    others = {key: np.array([row[key] for row in rows], dtype=object) for key in rows[0]}
    batch = DataProto.from_dict(tensors=tensors, non_tensors=others, meta_info={"global_steps": 0})
    found = asyncio.run(worker.generate_sequences(batch))
    assert found.batch["position_ids"].shape[:2] == (4, 4), "text position and three of M-RoPE"
    grids = [
        inputs["image_grid_thw"].shape[0] for inputs in found.non_tensor_batch["multi_modal_inputs"]
    ]
    assert grids == [3, 3, 3, 3]
    mask = found.batch["response_mask"]
    assert (mask.sum(1) > 0).all()
    assert found.batch["rm_scores"].shape == mask.shape
    assert {"game", "format", "p_acc", "fault/format"} <= set(
        found.meta_info.get("reward_extra_keys", found.non_tensor_batch)
    )


def test_ray_and_the_queue_deliver_a_sample_a_turn(qwen, tmp_path):
    import ray
    import transfer_queue as tq
    from verl.trainer.ppo.v1.agent_loop_tq import AgentLoopWorkerTQ
    from verl.utils import tensordict_utils as tu

    config, recipe = config_of(qwen, tmp_path, 3, "per_turn"), recipe_of(qwen, 3)
    variables = {
        "PYTHONPATH": os.pathsep.join([*PATHS, os.environ.get("PYTHONPATH", "")]),
        "HF_HUB_OFFLINE": "1",
    }
    ray.init(
        num_cpus=2,
        include_dashboard=False,
        object_store_memory=200 * 2**20,
        runtime_env={
            "worker_process_setup_hook": "parts.miniature.allow_torchvision_beside_cpu_torch",
            "env_vars": {**variables, "OMP_NUM_THREADS": "1"},
        },
    )
    try:
        tq.init(config.transfer_queue)
        processor = AutoProcessor.from_pretrained(qwen)
        worker = AgentLoopWorkerTQ.options(num_cpus=0).remote(config, Server(processor.tokenizer))
        questions = GameDataset(str(tmp_path / "train.json"))
        rows = [questions[i] for i in range(2)]
        columns = {
            key: np.array([row[key] for row in rows], dtype=object)
            for key in rows[0]
            if key != "dummy_tensor"
        }
        columns["uid"] = np.array(["a", "b"], dtype=object)
        batch = tu.get_tensordict(
            {"dummy_tensor": torch.zeros(2, 1), **columns}, non_tensor_dict={"global_steps": 0}
        )
        ray.get(worker.generate_sequences.remote(batch))
        begin, seen = time.time(), {}
        while sum(one.get("status") in ("finished", "failure") for one in seen.values()) < 2:
            assert time.time() - begin < 120, seen
            seen = tq.kv_list(partition_id="train").get("train", {})
            time.sleep(0.2)
        assert not [key for key, one in seen.items() if one.get("status") == "failure"]
        keys = [key for key, one in seen.items() if one.get("status") == "success"]
        assert len(keys) == 2 * 2 * 3, "prompts x answers x turns"
        fields = ["rm_scores", "response_mask", "responses", "multi_modal_inputs"]
        got = tq.kv_batch_get(keys=keys, partition_id="train", select_fields=fields)
        assert all(one["pixel_values"].shape[0] == 64 for one in got["multi_modal_inputs"]), (
            "8 x 8 patches: one picture each"
        )
        # as verl's metrics of a step make them; None is an error there
        for name in ("min_global_steps", "max_global_steps"):
            assert (np.array([seen[key][name] for key in keys], dtype=int) >= 0).all()

        said = {
            key: processor.tokenizer.decode(ids, skip_special_tokens=True)
            for key, ids in zip(keys, got["responses"], strict=True)
        }
        scores = {key: float(one.sum()) for key, one in zip(keys, got["rm_scores"], strict=True)}
        for episode in ("a_0", "a_1", "b_0", "b_1"):
            turns = expected(
                recipe,
                rows["ab".index(episode[0])],
                [said[f"{episode}_{turn}"] for turn in range(3)],
            )
            worth = (
                sum(
                    one.terms["game"] + 0.5 * one.terms["format"] + 0.25 * one.terms["perception"]
                    for one in turns
                )
                / 3
            )
            assert [scores[f"{episode}_{turn}"] for turn in range(3)] == pytest.approx([worth] * 3)
        padded = {name: got[name].to_padded_tensor(0) for name in ("rm_scores", "response_mask")}
        data = DataProto.from_dict(
            tensors={
                "token_level_rewards": padded["rm_scores"],
                "response_mask": padded["response_mask"],
            },
            non_tensors={"uid": np.array([key[0] for key in keys], dtype=object)},
        )
        advantages = compute_advantage_for_multi_trajectories(data, keys, "grpo").batch[
            "advantages"
        ]
        by_key = dict(zip(keys, advantages[:, 0].tolist(), strict=True))
        for group in "ab":
            ends = [scores[f"{group}_{answer}_2"] for answer in range(2)]
            better = 0.5**0.5 * np.sign(ends[0] - ends[1])
            for turn in range(3):
                pair = [by_key[f"{group}_{answer}_{turn}"] for answer in range(2)]
                assert pair == pytest.approx([better, -better], abs=1e-3), (
                    "an episode's advantage goes to all its turns"
                )
    finally:
        tq.close()
        ray.shutdown()
