"""Training: the whole path on two architectures, what SFT trains on, what is sampled, where states
come from, resuming.
"""

import base64
import hashlib
import importlib.util
import json
import re
from functools import partial
from itertools import islice

import numpy as np
import pytest
import torch
import yaml
from filelock import FileLock

from parts.miniature import save_qwen2_5_vl
from vlmgym.cli import main
from vlmgym.core import ConfigError, MissingExtra, concat, split_of
from vlmgym.dialogue import prompt
from vlmgym.dialogue.perception import read_perception
from vlmgym.dialogue.reply import parse
from vlmgym.episodes.task import Task
from vlmgym.evals.evaluation import evaluate
from vlmgym.evals.settings import Evaluation
from vlmgym.games import load_state, read_state_text, state_text
from vlmgym.games.parts.tile_kinds import COLOURS, FORMS
from vlmgym.models.loading import banned_tokens, load, model_path
from vlmgym.players.base import Player, Query
from vlmgym.players.local import LocalPlayer, Relay
from vlmgym.players.registry import make_player
from vlmgym.render.looks import get_look
from vlmgym.train import grpo, run
from vlmgym.train import grpo_trainer as trainers
from vlmgym.train import pretrain as tiny
from vlmgym.train import rows as data
from vlmgym.train.callbacks import read_metrics
from vlmgym.train.cold_start import cold_start_rows
from vlmgym.train.compute import Compute
from vlmgym.train.questions import QuestionSource
from vlmgym.train.recipe import ColdStart, Recipe, read_recipe, recipe_path
from vlmgym.train.run import train
from vlmgym.train.settings import SftSettings
from vlmgym.train.sft import run_sft

torch.set_num_threads(1)
TASKS = [
    {
        "game": "2048",
        "level": "tiny",
        "look": "tiny",
        "prompt": "brief",
        "walk_min": 4,
        "walk_max": 40,
        "weight": 3,
    },
    {
        "game": "ShisenSho",
        "level": "tiny",
        "look": "tiny",
        "prompt": "brief",
        "walk_max": 5,
        "walk_legal": True,
    },
]


def recipe_of(model, steps=2, **sections):
    values = {
        "model": str(model),
        "tasks": TASKS,
        "grpo": {
            "steps": steps,
            "batch": 8,
            "group": 4,
            "lr": 1e-4,
            "max_new_tokens": 12,
            "save_every": 2,
            "drop_equal": False,
        },
        "checks": {"every": 2, "states": 4},
        "compute": {"device": "cpu", "threads": 1},
    }
    return {**values, **sections}


@pytest.fixture(scope="session")
def small(tmp_path_factory):
    """A tiny model of the smallest size, untrained."""
    out = tmp_path_factory.mktemp("models") / "small"
    tiny.save(*tiny.build(0, hidden=32, layers=1, vision_hidden=32, vision_layers=1), out)
    return out


@pytest.fixture(scope="session")
def qwen(tmp_path_factory):
    return save_qwen2_5_vl(tmp_path_factory.mktemp("models") / "qwen2_5_vl")


def test_defect_12_and_the_whole_path_on_the_qwen2_5_vl_architecture(qwen, tmp_path, capsys):
    """SFT 2 steps, GRPO 2 steps, save, reload, eval: the code and the recipe form of any other
    model.
    """
    values = recipe_of(qwen, cold_start={"states": 8}, sft={"steps": 2, "batch": 4, "lr": 1e-3})
    (tmp_path / "r.yaml").write_text(yaml.safe_dump(values))
    out = tmp_path / "run"
    assert main(["train", str(tmp_path / "r.yaml"), "--out", str(out)]) == 0
    assert capsys.readouterr().out.strip().endswith("final")
    metrics = read_metrics(out / "metrics.jsonl")
    assert [m["step"] for m in metrics if m["stage"] == "sft"] == [1, 2]
    steps = [m for m in metrics if "reward" in m]
    assert [m["step"] for m in steps] == [1, 2]
    for line in steps:
        assert {
            f"rewards/{t}/mean" for t in ("game", "format", "perception", "cells", "regret")
        } <= set(line)
        assert {"success", "p_acc", "fault/format", "fault/reasoning", "kl", "entropy"} <= set(line)
    assert {m["step"] for m in metrics if "check/2048/success" in m} == {0, 2}
    assert all(list((out / "tensorboard" / stage).glob("events*")) for stage in ("sft", "grpo"))
    assert not [p for p in out.rglob("*") if p.suffix in (".png", ".jpg")], "defect 12"
    model, processor = load(str(out / "final"))
    before, _ = load(str(qwen))
    assert type(model).__name__ == "Qwen2_5_VLForConditionalGeneration"
    moved = [
        n
        for (n, a), b in zip(model.named_parameters(), before.parameters(), strict=True)
        if not torch.equal(a, b)
    ]
    assert any("visual" in n for n in moved), "the vision tower is trained"
    assert any("language_model" in n for n in moved)
    task = Task.parse(TASKS[0])
    player = LocalPlayer(
        model,
        processor,
        name="q",
        look="tiny",
        style="brief",
        banned=banned_tokens(model, processor),
        max_new_tokens=8,
    )
    summary = evaluate(
        player, task, Evaluation(episodes=4, turns=1, start="walk"), tmp_path / "e", progress=False
    )
    assert summary["metrics"]["success"]["n"] == 4
    answered = []
    player.batch, player.on_answers = 3, answered.append
    player.reply(task.game, task.states("test", 4))
    assert answered == [3, 1], "a bar can follow the batches"
    call = [
        "eval",
        "--player",
        f"local:{out / 'final'}",
        "--game",
        "Swap",
        "--level",
        "tiny",
        "--look",
        "clean",
    ]
    assert (
        main(
            [
                *call,
                "--episodes",
                "2",
                "--turns",
                "1",
                "--max-new-tokens",
                "4",
                "--out",
                str(tmp_path / "c"),
            ]
        )
        == 0
    )
    assert "final on Swap tiny" in capsys.readouterr().out


@pytest.mark.parametrize("family", ["small", "qwen"])
def test_sft_trains_on_answer_tokens_only(family, request, tmp_path):
    model, processor = load(str(request.getfixturevalue(family)))
    rows = cold_start_rows(
        [Task.parse(t) for t in TASKS],
        Recipe.parse(recipe_of("tiny", cold_start={"states": 2})).cold_start,
    )
    seen = []

    class Stop(Exception):
        pass

    from transformers import TrainerCallback

    class Look(TrainerCallback):
        def on_train_begin(self, args, state, control, train_dataloader=None, **_):
            seen.extend(train_dataloader)

    run_sft(
        model,
        processor,
        rows,
        tmp_path,
        SftSettings(steps=1, batch=1, lr=0.0),
        Compute(device="cpu", threads=1),
        [Look()],
    )
    assert len(seen) == 4
    image = model.config.image_token_id
    answers = {r["completion"][0]["content"][0]["text"] for r in rows}
    for batch in seen:
        labels = batch["labels"][0]
        trained = labels[labels != -100]
        assert image not in trained.tolist()
        assert (batch["input_ids"] == image).sum() > 0
        # a cell is written after a blank
        text = processor.tokenizer.decode(trained).split("<|im_end|>")[0].replace("> (", ">(")
        assert text in answers
        assert (
            len(processor.tokenizer(text)["input_ids"]) + 1
            <= len(trained)
            <= len(processor.tokenizer(text)["input_ids"]) + 2
        )


@pytest.mark.parametrize("family", ["small", "qwen"])
def test_sft_cuts_nothing_away_and_trains_on_no_padding(family, request, tmp_path):
    """TRL's own limit of 1024 tokens would cut long rows, and the answer goes first."""
    from transformers import TrainerCallback

    model, processor = load(str(request.getfixturevalue(family)))
    task = Task(
        game="ShisenSho", level="tiny", look="clean", prompt="full", walk_max=5, walk_legal=True
    )
    rows = cold_start_rows([task], ColdStart(states=3))
    for number, row in enumerate(rows):
        row["completion"][0]["content"][0]["text"] *= 2 if number else 4
    seen = []

    class Look(TrainerCallback):
        def on_train_begin(self, args, state, control, train_dataloader=None, **_):
            seen.extend(train_dataloader)

    run_sft(
        model,
        processor,
        rows,
        tmp_path,
        SftSettings(steps=1, batch=3, lr=0.0),
        Compute(device="cpu", threads=1),
        [Look()],
    )
    (batch,) = seen
    tokenizer = processor.tokenizer
    if family == "qwen":
        assert batch["attention_mask"].sum(1).min() > 1024, "long enough to be cut"
    trained = [labels[labels != -100].tolist() for labels in batch["labels"]]
    texts = [row["completion"][0]["content"][0]["text"] + "<|im_end|>\n" for row in rows]
    assert sorted(trained) == sorted(tokenizer(text)["input_ids"] for text in texts), (
        "exactly the answers and their ends"
    )
    assert (batch["attention_mask"] == 0).any()
    assert (batch["labels"][batch["attention_mask"] == 0] == -100).all()


def test_image_and_padding_tokens_are_never_sampled(small):
    model, processor = load(str(small))
    ids = banned_tokens(model, processor)
    tokenizer = processor.tokenizer
    assert set(ids) == {tokenizer.convert_tokens_to_ids("<|image_pad|>"), tokenizer.pad_token_id}
    original = model.lm_head.forward
    # they would always win
    model.lm_head.forward = lambda x: original(x) + 1e4 * torch.eye(len(tokenizer))[ids].sum(0)
    task = Task.parse(TASKS[0])
    game = task.game
    for temperature in (0.0, 1.0):
        options = {
            "name": "x",
            "look": "tiny",
            "style": "brief",
            "max_new_tokens": 6,
            "temperature": temperature,
        }
        state = task.states("test", 3)
        kept = []
        generate = model.generate
        model.generate = lambda *a, generate=generate, kept=kept, **k: (
            kept.append(generate(*a, **k)) or kept[-1]
        )
        LocalPlayer(model, processor, banned=ids, **options).reply(game, state)
        LocalPlayer(model, processor, **options).reply(game, state)
        model.generate = generate
        prompt = kept[0].shape[1] - 6
        assert not np.isin(kept[0][:, prompt:].numpy(), ids).any()
        assert np.isin(kept[1][:, prompt:].numpy(), ids).any(), (
            "without the ban they are: the test can fail"
        )


def test_all_picture_tokens_of_qwen_are_banned(qwen):
    model, processor = load(str(qwen))
    names = [
        "<|endoftext|>",
        "<|vision_start|>",
        "<|vision_end|>",
        "<|image_pad|>",
        "<|video_pad|>",
    ]
    assert banned_tokens(model, processor) == sorted(
        processor.tokenizer.convert_tokens_to_ids(names)
    )


def test_grpo_suppresses_the_same_tokens(small, tmp_path):
    model, processor = load(str(small))
    ids = banned_tokens(model, processor)
    original, generate, kept = model.lm_head.forward, model.generate, []
    # as above
    model.lm_head.forward = lambda x: (
        original(x) + 1e4 * torch.eye(len(processor.tokenizer))[ids].sum(0)
    )
    model.generate = lambda *a, **k: kept.append(generate(*a, **k)) or kept[-1]
    settings = grpo.GrpoSettings(steps=1, batch=4, group=2, beta=0.0, lr=0.0, max_new_tokens=6)
    compute = Compute(device="cpu", threads=1)
    grpo.run_grpo(
        Recipe("tiny", (Task.parse(TASKS[0]),), grpo=settings, compute=compute),
        model,
        processor,
        tmp_path,
    )
    assert len(kept) == 2, "once more, since all answers were worth the same"
    assert not np.isin(kept[0][:, -6:].numpy(), ids).any()
    plain = grpo.GrpoSettings(batch=10)
    assert grpo._never_sampled(plain, [3, 5]) == {"suppress_tokens": [3, 5]}
    assert grpo._never_sampled(plain.override(use_vllm=True), [3]) == {"logit_bias": {3: -100.0}}


def test_defect_11_rows_carry_their_state_and_only_their_frames_are_drawn(monkeypatch):
    """Defect 11: the random walks draw nothing."""
    drawn = []
    real = data.pictures
    monkeypatch.setattr(
        data,
        "pictures",
        lambda game, state, look: drawn.append(len(state)) or real(game, state, look),
    )
    tasks = [Task.parse(t) for t in TASKS]
    rows = data.ask_rows(QuestionSource(tasks, seed=3).draw(200))
    assert drawn == [
        sum(r["game"] == t.names.game for r in rows)
        for t in sorted(tasks, key=lambda t: t.names.game != rows[0]["game"])
    ]
    shares = [sum(row["game"] == task.names.game for row in rows) / 200 for task in tasks]
    assert abs(shares[0] - 0.75) < 4 * (0.75 * 0.25 / 200) ** 0.5, "weights 3 to 1"
    again = data.ask_rows(QuestionSource(tasks, seed=3).draw(200))
    assert [r["state"] for r in rows] == [r["state"] for r in again]
    other = data.ask_rows(QuestionSource(tasks, seed=4).draw(200))
    assert not {r["state"] for r in rows} & {r["state"] for r in other}
    for row in rows[:20]:
        game, state = load_state(base64.b64decode(row["state"]))
        assert game.name == row["game"]
        assert split_of(state.seed[0]) == "train"
        assert np.array_equal(
            np.asarray(row["image"]), np.asarray(real(game, state, row["look"])[0])
        )
    cold = cold_start_rows(
        tasks, Recipe.parse(recipe_of("tiny", cold_start={"states": 20})).cold_start
    )
    assert not {r["state"] for r in cold} & {r["state"] for r in rows}
    assert {split_of(load_state(base64.b64decode(r["state"]))[1].seed[0]) for r in cold} == {
        "train"
    }


def watch_states(monkeypatch):
    seen, real = [], trainers.judge_rows

    def watched(states, texts, oracle, *rest):
        seen.append([state_text(*one) for one in states])
        return real(states, texts, oracle, *rest)

    monkeypatch.setattr(trainers, "judge_rows", watched)
    return seen


def test_killed_run_goes_on_where_it_was(small, tmp_path, monkeypatch):
    recipe = Recipe.parse(recipe_of(small, steps=4))
    seen = watch_states(monkeypatch)
    train(recipe, tmp_path / "whole")
    whole = [*seen]
    assert all(len(set(batch)) == 2 and batch[:4] == [batch[0]] * 4 for batch in whole), (
        "groups of 4 share their state"
    )
    stream = [
        question.text for question in QuestionSource(recipe.tasks, seed=recipe.grpo.seed).draw(8)
    ]
    assert [batch[i] for batch in whole for i in (0, 4)] == stream, "in the order of the stream"
    seen.clear()
    real = trainers.judge_rows

    def die(states, texts, oracle, *rest):
        if len(seen) == 3:
            raise KeyboardInterrupt
        return real(states, texts, oracle, *rest)

    monkeypatch.setattr(trainers, "judge_rows", die)
    with pytest.raises(KeyboardInterrupt):
        train(recipe, tmp_path / "cut")
    monkeypatch.setattr(trainers, "judge_rows", real)
    assert [
        m["step"] for m in read_metrics(tmp_path / "cut" / "metrics.jsonl") if "reward" in m
    ] == [1, 2, 3]
    left = {p.name for p in (tmp_path / "cut" / "grpo").iterdir()}
    assert left <= {"checkpoint-2", "README.md"}, (
        "defect 12: steps write no pictures, nothing but checkpoints"
    )
    assert not [
        p
        for p in (tmp_path / "cut").rglob("*")
        if p.suffix in (".png", ".jpg", ".jpeg", ".parquet")
    ]
    seen.clear()
    final = train(recipe, tmp_path / "cut")
    assert seen == whole[2:], "from the checkpoint at step 2, with the rows that follow"
    lines = read_metrics(tmp_path / "cut" / "metrics.jsonl")
    assert [m["step"] for m in lines if "reward" in m] == [1, 2, 3, 4]
    assert [m["step"] for m in lines if "check/2048/success" in m] == [0, 2, 4]
    a, b = load(str(final))[0], load(str(tmp_path / "whole" / "final"))[0]
    assert all(
        torch.allclose(x, y, atol=1e-6) for x, y in zip(a.parameters(), b.parameters(), strict=True)
    )
    seen.clear()
    assert train(recipe, tmp_path / "cut") == final
    assert seen == [], "a finished run is kept"
    with FileLock(tmp_path / "cut" / ".lock"), pytest.raises(ConfigError, match="no other process"):
        train(recipe, tmp_path / "cut")
    with pytest.raises(ConfigError, match="holds another"):
        train(Recipe.parse(recipe_of(small, steps=5)), tmp_path / "cut")


def test_run_killed_in_the_cold_start_and_again_in_grpo(small, tmp_path, monkeypatch):
    from transformers import TrainerCallback

    sft = {"steps": 3, "batch": 2, "lr": 1e-3, "save_every": 2}
    recipe = Recipe.parse(
        recipe_of(small, steps=1, cold_start={"states": 4}, sft=sft, checks={"every": 0})
    )
    train(recipe, tmp_path / "whole")

    class Die(TrainerCallback):
        def on_step_end(self, args, state, control, **_):
            if state.global_step == 3:
                raise KeyboardInterrupt

    def die(*_):
        raise KeyboardInterrupt

    cut = tmp_path / "cut"
    monkeypatch.setattr(run, "run_sft", lambda *a: run_sft(*a[:-2], [*a[-2], Die()], a[-1]))
    with pytest.raises(KeyboardInterrupt):
        train(recipe, cut)
    assert not (cut / "cold").exists()
    monkeypatch.setattr(run, "run_sft", run_sft)
    real = trainers.judge_rows
    monkeypatch.setattr(trainers, "judge_rows", die)
    with pytest.raises(KeyboardInterrupt):
        train(recipe, cut)
    monkeypatch.setattr(trainers, "judge_rows", real)
    a, b = load(str(cut / "cold"))[0], load(str(tmp_path / "whole" / "cold"))[0]
    assert all(
        torch.allclose(x, y, atol=1e-6) for x, y in zip(a.parameters(), b.parameters(), strict=True)
    )
    monkeypatch.setattr(run, "run_sft", lambda *_: pytest.fail("a finished cold start is kept"))
    train(recipe, cut)
    lines = [
        (m["stage"], m["step"])
        for m in read_metrics(cut / "metrics.jsonl")
        if "loss" in m or "reward" in m
    ]
    assert lines == [("sft", 1), ("sft", 2), ("sft", 3), ("grpo", 1)]


@pytest.mark.parametrize("family", ["small", "qwen"])
@pytest.mark.parametrize("stage", ["sft", "grpo"])
def test_a_resumed_run_starts_from_the_weights_of_its_checkpoint(family, stage, request, tmp_path):
    """These architectures are renamed on saving, and Trainer's resuming passes over names that it
    does not know.
    """
    from transformers import TrainerCallback

    name, tasks, compute = (
        str(request.getfixturevalue(family)),
        [Task.parse(TASKS[0])],
        Compute(device="cpu", threads=1),
    )
    rows, resumed = cold_start_rows(tasks, ColdStart(states=6)), {}

    class Look(TrainerCallback):
        def on_train_begin(self, args, state, control, model=None, **_):
            resumed[state.global_step] = {
                n: p.detach().clone() for n, p in model.named_parameters()
            }

    def run(steps):
        if stage == "sft":
            settings = SftSettings(steps=steps, batch=2, lr=1e-2, save_every=2)
            return run_sft(*load(name), rows, tmp_path, settings, compute, [Look()])
        settings = grpo.GrpoSettings(
            steps=steps, batch=4, group=2, lr=1e-2, max_new_tokens=4, save_every=2, drop_equal=False
        )
        return grpo.run_grpo(
            Recipe("tiny", tuple(tasks), grpo=settings, compute=compute),
            *load(name),
            tmp_path,
            [Look()],
        )

    trained = dict(run(2).model.named_parameters())
    trainer = run(3)
    assert sorted(resumed) == [0, 2]
    assert any(not torch.equal(resumed[0][n], p) for n, p in trained.items())
    assert all(torch.equal(resumed[2][n], p) for n, p in trained.items())
    if stage == "grpo":
        reference = dict(trainer.ref_model.named_parameters())
        assert all(torch.equal(resumed[0][n], reference[n]) for n in trained), (
            "the KL term still looks to the start model"
        )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"modle": "x"}, "recipe.modle"),
        ({"model": None}, "recipe.model = None"),
        ({"tasks": []}, "recipe.tasks"),
        ({"tasks": [{"game": "chess"}]}, "game = 'chess'"),
        ({"grpo": {"speed": 1}}, "GrpoSettings.speed"),
        ({"grpo": {"batch": 7}}, "GrpoSettings.batch = 7: allowed is a multiple of group"),
        ({"grpo": {"lr": "fast"}}, "GrpoSettings.lr = 'fast'"),
        ({"sft": [1]}, "recipe.sft"),
        ({"reward": {"game": "high"}}, "Weights.game"),
    ],
)
def test_recipe_errors_name_the_field(change, message):
    with pytest.raises(ConfigError) as error:
        Recipe.parse({**recipe_of("tiny"), **change})
    assert message in str(error.value)
    with pytest.raises(ConfigError, match="no stage"):
        Recipe.parse({"model": "tiny", "tasks": TASKS})


def test_overrides(tmp_path):
    path = recipe_path("tiny/g1")
    recipe = read_recipe(
        path, ["grpo.steps=7", "tasks.1.weight=4", "model=some/model", "checks.every=0"]
    )
    assert (recipe.grpo.steps, recipe.tasks[1].weight, recipe.model, recipe.checks.every) == (
        7,
        4.0,
        "some/model",
        0,
    )
    assert read_recipe(path, ["grpo.lr=1e-6", "sft.lr=2.5E-4"]).grpo.lr == 1e-6, (
        "not the string that PyYAML makes of it"
    )
    (tmp_path / "again.yaml").write_text(json.dumps(recipe.to_dict()))
    assert read_recipe(tmp_path / "again.yaml") == recipe
    assert Recipe.parse(json.loads(json.dumps(recipe.to_dict()))) == recipe
    for bad in ("grpo.steps", "tasks.9.weight=1", "model.name=x", "grpo.stepps=3"):
        with pytest.raises(ConfigError):
            read_recipe(path, [bad])
    with pytest.raises(ConfigError, match="tiny/g0, tiny/g1"):
        recipe_path("tiny/g2")


def test_g1_is_the_cold_start_and_then_the_grpo_of_g0():
    g0, g1 = read_recipe(recipe_path("tiny/g0")), read_recipe(recipe_path("tiny/g1"))
    assert g0.cold_start is None
    assert g1.cold_start is not None
    assert (g0.model, g0.tasks, g0.grpo, g0.reward, g0.checks) == (
        g1.model,
        g1.tasks,
        g1.grpo,
        g1.reward,
        g1.checks,
    )


def test_a_missing_extra_names_the_install_line(monkeypatch, tmp_path, capsys):
    real = importlib.util.find_spec
    calls = {
        "trl": [
            partial(run_sft, None, None, [], None, SftSettings(), Compute()),
            partial(grpo.run_grpo, Recipe("tiny", (), grpo=grpo.GrpoSettings()), None, None, None),
        ],
        "transformers": [partial(load, "tiny")],
    }
    for gone, starts in calls.items():
        monkeypatch.setattr(
            importlib.util,
            "find_spec",
            lambda name, *a, gone=gone: None if name == gone else real(name, *a),
        )
        for start in starts:
            with pytest.raises(
                MissingExtra, match=rf"^{gone} not installed: .* pip install " r".*\[train\]'$"
            ):
                start()
        assert main(["train", "tiny/g0", "--out", str(tmp_path / "run")]) == 2
        assert "[train]'" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
    with pytest.raises(ConfigError, match=r"model = './nowhere'"):
        model_path("./nowhere")


def test_a_cold_start_without_thoughts():
    task = Task.parse(TASKS[0])
    plain, bare = (
        cold_start_rows([task], ColdStart(states=6, think=think)) for think in (True, False)
    )
    for one, other in zip(plain, bare, strict=True):
        before, after = (row["completion"][0]["content"][0]["text"] for row in (one, other))
        assert "<think>" not in after
        assert re.sub("<think>.*</think>", "", before) == after


def test_a_cold_start_has_boards_where_nothing_merges_as_whole_games_do():
    """Its answers there move tiles: what merges nothing need not be a move that changes nothing."""
    task = Task.parse(
        {
            "game": "2048",
            "level": "tiny",
            "look": "tiny",
            "prompt": "brief",
            "walk_min": 4,
            "walk_max": 60,
        }
    )
    merges = {}
    for hopeless in (True, False):
        rows = cold_start_rows([task], ColdStart(states=200, hopeless=hopeless, teacher_error=0.0))
        game, state = load_state(base64.b64decode(rows[0]["state"]))
        state = concat([load_state(base64.b64decode(row["state"]))[1] for row in rows])
        assert not state.ended.any()
        merges[hopeless] = game.success_mask(state).any(axis=1)
        answers = [
            parse(game, state.level, row["completion"][0]["content"][0]["text"]).action
            for row in rows
        ]
        assert game.legal(state)[range(200), answers].all()
    assert merges[False].all()
    assert 0.2 < merges[True].mean() < 0.95


def answer_of(row):
    return row["completion"][0]["content"][0]["text"]


def digest_of_rows(rows):
    boards = [read_state_text(row["state"])[1].board.tolist() for row in rows]
    return hashlib.blake2b(
        json.dumps([boards, [answer_of(row) for row in rows]]).encode(), digest_size=8
    ).hexdigest()


@pytest.mark.parametrize(
    ("name", "digest"), [("cold-all", "6f01e6512a24b143"), ("shy", "214896cde4f132d7")]
)
def test_the_studys_cold_starts_of_seed_0_are_the_published_ones(name, digest):
    recipe = read_recipe(recipe_path(f"study/{name}"), ["cold_start.states=40"])
    rows = cold_start_rows(recipe.tasks, recipe.cold_start, recipe.sft.seed)
    assert digest_of_rows(rows) == digest


def test_another_seed_is_another_cold_start():
    """Seeds once shared the rows and the teacher's errors, so that intervals over seeds were not
    those of another cold start.
    """
    cold, task = ColdStart(states=60, teacher_error=0.5, verified=False), Task.parse(TASKS[1])
    states, wrong = [], []
    for seed in (0, 1, 2):
        rows = cold_start_rows([task], cold, seed)
        states.append({row["state"] for row in rows})
        wrong.append(["<think>so" in answer_of(row) for row in rows])
    assert not states[0] & states[1]
    assert not states[1] & states[2]
    assert wrong[0] != wrong[1] != wrong[2]
    assert cold_start_rows([task], cold, 2)[0]["state"] in states[2]


@pytest.mark.parametrize("game", ["2048", "ShisenSho", "Swap", "ShisenShoPhotos"])
def test_a_cold_start_teaches_answers_that_work(game):
    task = Task(
        game=game, level="tiny", look="tiny", prompt="brief", walk_max=5, walk_legal=game != "2048"
    )
    for error in (0.0, 0.6):
        rows = cold_start_rows([task], ColdStart(states=40, teacher_error=error))
        assert len({row["state"] for row in rows}) > 30
        for row in rows:
            rules, state = read_state_text(row["state"])
            action = parse(rules, state.level, answer_of(row)).action
            possible = rules.success_mask(state)[0]
            assert possible[action] if possible.any() else rules.legal(state)[0, action]
    everything = cold_start_rows([task], ColdStart(states=40, teacher_error=0.6, verified=False))
    failed = [judge_row(row) for row in everything].count(False)
    assert failed > 4, "without it errors are taught: the test can fail"


def judge_row(row):
    rules, state = read_state_text(row["state"])
    return bool(rules.success_mask(state)[0, parse(rules, state.level, answer_of(row)).action])


def test_recipes_for_models_of_the_hub_teach_no_errors():
    for name in ("qwen2.5-vl-7b/g1-all", "qwen3-vl-8b/g1-swap"):
        cold = read_recipe(recipe_path(name)).cold_start
        assert (cold.teacher_error, cold.verified) == (0, True)
    for name in ("tiny/g1", "study/cold-swap"):
        assert read_recipe(recipe_path(name)).cold_start.teacher_error == 0.4


@pytest.mark.parametrize(("scheduler", "warmup", "rates"), [
    ("constant", 2, [0.0, 0.5e-3, 1e-3]),
    ("constant", 0, [1e-3, 1e-3, 1e-3]),
    ("linear", 1, [0.0, 1e-3, 0.5e-3]),
])  # fmt: skip
def test_a_warm_up_is_one_with_every_schedule(small, tmp_path, scheduler, warmup, rates):
    grpo = {
        "steps": 3,
        "batch": 4,
        "group": 2,
        "lr": 1e-3,
        "max_new_tokens": 4,
        "scheduler": scheduler,
        "warmup": warmup,
    }
    train(Recipe.parse(recipe_of(small, grpo=grpo, checks={"every": 0})), tmp_path)
    assert [
        line["learning_rate"] for line in read_metrics(tmp_path / "metrics.jsonl")
    ] == pytest.approx(rates)


SHAPES_KNOWN = [f"{colour} {shape}" for colour in COLOURS[:6] for shape in FORMS["shapes"][:6]]


def test_tiny_is_rebuilt_from_its_seed():
    first, second = (
        tiny.build(0, hidden=32, layers=1, vision_hidden=32, vision_layers=1)[0] for _ in range(2)
    )
    assert all(
        torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True)
    )
    rows = list(islice(tiny.pretraining_rows(chunk=4), 64))
    again = list(islice(tiny.pretraining_rows(chunk=4), 64))
    assert [(r["state"], r["completion"]) for r in rows] == [
        (r["state"], r["completion"]) for r in again
    ]
    asked = [r["prompt"][0]["content"][1]["text"].rpartition("4x4")[2].strip() for r in rows]
    assert [r["game"] for r in rows].count("2048") == 16
    assert {question: asked.count(question) for question in set(asked)} == {
        "moves?": 32,
        "same?": 8,
        "": 24,
    }
    for row, question in zip(rows, asked, strict=True):
        text = row["completion"][0]["content"][0]["text"]
        assert ("<answer>" in text) == (question == "")
        for pair in (
            text.partition("<think>")[2].partition("</think>")[0].split("; ")
            if question == "same?"
            else ()
        ):
            (one, first), (other, second), verdict = [
                *re.findall(r"(\(\d, \d\)) (.*?) " r"(?=\(|same|no$)", pair),
                pair.split()[-1],
            ]
            assert one != other
            assert (first == second) == (verdict == "same")
    assert {split_of(load_state(base64.b64decode(r["state"]))[1].seed[0]) for r in rows} == {
        "pretrain"
    }
    tokenizer = tiny.build_tokenizer()
    for row in rows:
        text = row["completion"][0]["content"][0]["text"]
        said = tokenizer.decode(tokenizer(text)["input_ids"])
        assert re.sub(r"> (?=[(\w])", ">", said) == text, (
            "blanks before tiles and cells are part of their tokens"
        )
        game, state = load_state(base64.b64decode(row["state"]))
        seen = read_perception(parse(game, state.level, said).perception, game.scene(state))
        assert seen.exact(game.scene(state).symbols[0])
    for task in tiny.TASKS:
        game, level = task.game, task.level
        for style in prompt.STYLES:
            text = prompt.prompt_text(game, level, style)
            assert tokenizer.decode(tokenizer(text)["input_ids"]).replace(" ", "") == text.replace(
                " ", ""
            )
    numbers = [f"{space}{2**e}" for e in range(1, 18) for space in ("", " ")]
    for word in (
        *SHAPES_KNOWN,
        *numbers,
        *(f"({r}, {c})" for r in range(4) for c in range(4)),
        "<answer>",
    ):
        assert len(tokenizer(word)["input_ids"]) == 1, word
    odd = "naïve ünïcode \u202e <answer>"
    assert tokenizer.decode(tokenizer(odd)["input_ids"]) == odd


def test_pretraining_command(tmp_path, capsys):
    assert main(["pretrain-tiny", "--steps", "2", "--out", str(tmp_path)]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "tiny")
    assert [m["step"] for m in read_metrics(tmp_path / "metrics.jsonl")] == [1, 2]
    model, _ = load(str(tmp_path / "tiny"))
    assert sum(p.numel() for p in model.parameters()) == sum(
        p.numel() for p in load("tiny")[0].parameters()
    )


def test_the_committed_model_follows_the_format_and_sees_the_board():
    from pathlib import Path

    files = list(Path(model_path("tiny")).iterdir())
    assert sum(f.stat().st_size for f in files) < 8_000_000
    model, processor = load("tiny")
    for task in tiny.TASKS:
        player = LocalPlayer(
            model,
            processor,
            name="tiny",
            look="tiny",
            style="brief",
            banned=banned_tokens(model, processor),
            max_new_tokens=112,
        )
        metrics = evaluate(
            player, task, Evaluation(episodes=32, turns=1, start="walk"), progress=False
        )["metrics"]
        assert metrics["format"]["mean"] > 0.9
        assert metrics["cells"]["mean"] > 0.95
        chance = float(task.game.success_mask(task.states("test", 200)).mean())
        assert metrics["success"]["mean"] < chance + 0.25, "it knows more than it does"


@pytest.mark.parametrize("straight", [True, False])
def test_games_share_batches_and_answer_as_alone(straight):
    model, processor = load("tiny")
    player = LocalPlayer(
        model,
        processor,
        name="tiny",
        look="tiny",
        style="brief",
        banned=banned_tokens(model, processor),
        max_new_tokens=100,
        batch=7,
    )
    if not straight:
        player.pixels = None
    rules = [(task, task.game, task.level, task.look) for task in tiny.TASKS]
    queries = [
        Query(game, task.states("test", 5), look, style)
        for task, game, _, look in rules
        for style in ("brief", "full")
    ]
    asked = []
    player.on_answers = asked.append
    together = player.answer(queries)
    assert sum(asked) == 5 * len(queries)
    assert max(asked) == 7
    for query, replies in zip(queries, together, strict=True):
        assert replies == player.answer([query])[0]


def test_one_model_goes_on_from_the_description_of_another():
    task = tiny.TASKS[1]
    game, state = task.game, task.states("test", 6)
    query = Query(game, state, get_look("tiny"), "brief")
    both = make_player("relay:tiny+tiny", "tiny", "brief", {"max_tokens": 160})
    alone = make_player("local:tiny", "tiny", "brief", {"max_tokens": 160})
    told, single = ([one.text for one in player.answer([query])[0]] for player in (both, alone))
    assert told == single, "with itself it answers as alone"

    class Liar(Player):
        name = "liar"

        def answer(self, queries):
            told = ["<perception>(0, 0) red circle</perception><think>so</think>", "nothing"]
            return [[told[row % 2] for row in range(len(query.state))] for query in queries]

    replies = Relay(Liar(), alone).answer([query, query])
    assert replies[0] == replies[1]
    for row, text in enumerate(one.text for one in replies[0]):
        if row % 2:
            assert text == "nothing", "without a description there is nothing to go on from"
        else:
            assert text.startswith("<perception>(0, 0) red circle</perception>")
            assert "<think>so</think>" not in text, "the thoughts are the other one's"
    with pytest.raises(ConfigError, match="player = 'relay:tiny'"):
        make_player("relay:tiny")


def test_breakout_trains_like_the_others(tmp_path):
    """Cold start and GRPO on an outside environment: states travel as snapshots, rewards come from
    forks.
    """
    recipe = recipe_of(
        "tiny",
        tasks=[
            {"game": "Breakout", "level": "easy", "look": "clean", "prompt": "brief", "walk_max": 6}
        ],
        cold_start={"states": 8, "teacher_error": 0.2},
        sft={"batch": 4, "steps": 1, "lr": 1e-4},
        grpo={"steps": 1, "batch": 8, "group": 4, "max_new_tokens": 16},
    )
    final = train(Recipe.parse(recipe), tmp_path / "run")
    line = [m for m in read_metrics(tmp_path / "run" / "metrics.jsonl") if "reward" in m][-1]
    assert line["step"] == 1
    assert (final / "model.safetensors").exists()


@pytest.mark.parametrize("name", ["wandb", "trackio"])
def test_checks_reach_every_reporter_as_what_the_trainer_logs_does(
    small, tmp_path, monkeypatch, name
):
    from transformers import TrainerCallback
    from transformers.integrations import integration_utils

    told = []

    class Fake(TrainerCallback):
        def on_log(self, args, state, control, model=None, logs=None, **_):
            assert model is not None
            told.append((state.global_step, dict(logs)))

    monkeypatch.setitem(integration_utils.INTEGRATION_TO_CALLBACK, name, Fake)
    # whose package need not be there
    monkeypatch.setattr(grpo.GrpoSettings, "reporters", lambda self: [name])
    values = recipe_of(small)
    train(Recipe.parse({**values, "grpo": {**values["grpo"], "report_to": name}}), tmp_path / "run")
    checks = [(step, logs) for step, logs in told if any(key.startswith("check/") for key in logs)]
    wanted = [
        m
        for m in read_metrics(tmp_path / "run" / "metrics.jsonl")
        if any(key.startswith("check/") for key in m)
    ]
    assert [step for step, _ in checks] == [0, 2]
    assert [logs for _, logs in checks] == [
        {key: value for key, value in m.items() if key.startswith("check/")} for m in wanted
    ]
    assert [step for step, logs in told if "reward" in logs] == [1, 2]
