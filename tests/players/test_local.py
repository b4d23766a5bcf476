"""Local models as players: what their replies depend on, and what is known of each."""

import copy
import importlib.util
import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from peft import get_peft_model

from parts.local_players import local_player
from parts.tasks import CPU
from parts.tiny_tasks import TASKS
from vlmgym.cli import main
from vlmgym.core import ConfigError, VlmGymError
from vlmgym.dialogue.reply import Blocks
from vlmgym.episodes.batch import EpisodeBatch, ObservationSettings, play
from vlmgym.episodes.task import Task
from vlmgym.episodes.trace import load_trace
from vlmgym.evals.evaluation import evaluate
from vlmgym.evals.settings import Evaluation
from vlmgym.models.loading import load
from vlmgym.players.base import CUT, Query
from vlmgym.players.relay import Relay
from vlmgym.players.sampling import gumbel, keys_of, plain_generation
from vlmgym.render.looks import get_look
from vlmgym.train import embedded as tiny
from vlmgym.train import run
from vlmgym.train.compute import Compute, Lora
from vlmgym.train.grpo import run_grpo
from vlmgym.train.recipe import Recipe
from vlmgym.train.settings import GrpoSettings
from vlmgym.train.trained import trained_for

SWAP = TASKS[2]
LOOK = get_look("tiny")


@pytest.fixture(scope="module")
def loaded():
    return load("tiny")


def player_of(loaded, **options):
    options = {"name": "t", "max_new_tokens": 40, "temperature": 1.0} | options
    return local_player(*loaded, **options)


def asked(count=8, task=SWAP):
    return Query(task.game, task.states("test", count), LOOK, "brief")


def texts(player, query):
    return [one.text for one in player.answer([query])[0]]


def test_a_player_asks_by_the_names_of_the_blocks_that_each_query_has(loaded):
    """Also the second of two that differ in nothing else."""
    player = player_of(loaded)
    usual = replace(asked(1), style="full")
    named = replace(usual, blocks=Blocks(answer="move"))
    assert "<answer>" in player.inputs.text(usual)
    assert "<move>" in player.inputs.text(named)


# ---- luck
@pytest.mark.parametrize("straight", [True, False])
def test_a_sampled_reply_is_the_same_alone_in_a_batch_and_in_another_order(loaded, straight):
    """Once the luck was that of the call: the first four rows alone or within eight had no text in
    common.
    """
    player, query = player_of(loaded), asked()
    if not straight:
        player.inputs.pixels = None
    together = texts(player, query)
    assert len(set(together)) > 4
    assert [texts(player, query[i : i + 1])[0] for i in range(8)] == together, "alone"
    assert texts(player, query[0:4]) == together[:4], "in half of the batch"
    assert texts(player, replace(query, state=query.state[::-1])) == together[::-1], (
        "in another order"
    )
    assert texts(player_of(loaded, batch=3), query) == together, "in batches of three"
    other = asked(5, TASKS[1])
    assert [[one.text for one in found] for found in player.answer([other, query])] == [
        texts(player, other),
        together,
    ]


def test_another_seed_game_repeat_or_turn_is_other_luck(loaded):
    query = asked(6)
    plain = texts(player_of(loaded), query)
    assert texts(player_of(loaded, seed=1), query) != plain
    assert texts(player_of(loaded), replace(query, repeats=[0] * 6)) == plain
    again = texts(player_of(loaded), replace(query, repeats=[1] * 6))
    later = texts(
        player_of(loaded), replace(query, state=replace(query.state, steps=query.state.steps + 1))
    )
    assert sum(a != b for a, b in zip(plain, again, strict=True)) > 3
    assert sum(a != b for a, b in zip(plain, later, strict=True)) > 3
    keys = keys_of(
        0, query.state.seed.repeat(4), np.tile([0, 0, 1, 1], 6), np.tile([0, 1, 0, 1], 6)
    )
    assert len(set(keys.tolist())) == 24


def test_a_run_that_was_stopped_is_the_same_run(loaded):
    game, state = SWAP.game, SWAP.states("test", 3)

    def lane():
        return EpisodeBatch(
            game,
            state.repeat(2),
            ObservationSettings("tiny", "brief"),
            turns=3,
            oracle=False,
            repeats=2,
        )

    whole, cut, again = lane(), lane(), lane()
    play([whole], player_of(loaded))
    rows = cut.live()
    # one turn, and the machine is gone
    cut.take(rows, player_of(loaded).answer([cut.query(rows)])[0])
    again.replay(cut.turns)
    play([again], player_of(loaded))
    assert [(t.episode, t.turn, t.reply) for t in again.turns] == [
        (t.episode, t.turn, t.reply) for t in whole.turns
    ]
    first = [t.reply for t in whole.turns if t.turn == 0]
    assert any(a != b for a, b in zip(first[::2], first[1::2], strict=True)), (
        "repetitions of one start have their own luck"
    )


def test_samples_follow_the_distribution():
    logits = torch.tensor([2.0, 1.0, 0.0, -1.0, -3.0, -torch.inf], dtype=torch.float64)
    keys = keys_of(0, np.arange(20_000, dtype=np.uint64), np.zeros(20_000, np.int64))
    counts = np.bincount((logits + gumbel(keys, 6)).argmax(dim=1).numpy(), minlength=6)
    wanted = 20_000 * torch.softmax(logits, 0).numpy()
    assert counts[5] == 0
    chi2 = ((counts[:5] - wanted[:5]) ** 2 / wanted[:5]).sum()
    assert chi2 < 18.5, "0.1 % of four degrees of freedom"
    noise = gumbel(keys[:2000], 50).numpy()
    assert abs(noise.mean() - 0.5772) < 0.02
    assert np.abs(np.corrcoef(noise.T) - np.eye(50)).max() < 0.12, (
        "columns have nothing to do with each other"
    )


# ---- settings that a model brings
LEAKS = [
    {"repetition_penalty": 3.0},
    {"do_sample": True, "top_k": 1},
    {"do_sample": True, "temperature": 0.1, "top_p": 0.2, "min_p": 0.5, "typical_p": 0.3},
    {"forced_bos_token_id": 5, "forced_eos_token_id": 5},
    {"no_repeat_ngram_size": 2, "min_new_tokens": 30},
    {
        "bad_words_ids": [[n] for n in range(60, 300)],
        "begin_suppress_tokens": list(range(300, 600)),
    },
    {"num_beams": 3, "length_penalty": 2.0},
    {"max_time": 0.0, "max_length": 30, "stop_strings": ["("]},
]


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("leak", LEAKS, ids=lambda one: next(iter(one)))
def test_generation_settings_of_a_model_change_nothing(loaded, leak, temperature):
    query, player = asked(3), player_of(loaded, temperature=temperature)
    plain, own = player.answer([query]), loaded[0].generation_config
    with plain_generation(loaded[0]):
        changed = loaded[0].generation_config
        for name, value in leak.items():
            setattr(changed, name, value)
        assert player.answer([query]) == plain
        assert loaded[0].generation_config is changed, "and they are put back"
    assert loaded[0].generation_config is own


def test_nor_in_training(tmp_path, loaded):
    """TRL says some of them and leaves the others to the model."""
    found = []
    for leak in (
        {},
        {
            "no_repeat_ngram_size": 2,
            "min_new_tokens": 20,
            "typical_p": 0.3,
            "repetition_penalty": 3.0,
        },
    ):
        model, processor = load("tiny")
        for name, value in leak.items():
            setattr(model.generation_config, name, value)
        settings = GrpoSettings(steps=1, batch=4, group=2, lr=1e-3, max_new_tokens=24, refill=0)
        folder = tmp_path / str(len(leak))
        trainer = run_grpo(
            Recipe("tiny", (SWAP,), grpo=settings, compute=CPU),
            model,
            processor,
            folder,
        )
        assert all(
            getattr(trainer.model.generation_config, name) == value for name, value in leak.items()
        ), "saved as it came"
        found.append(torch.cat([weights.detach().flatten() for weights in model.parameters()]))
    assert torch.equal(*found)


def test_a_description_holds_all_settings_of_the_sampling(loaded):
    about = player_of(loaded, about={"model": "tiny"}, seed=4).describe()
    assert json.loads(json.dumps(about)) == about
    assert about["model"] == "tiny"
    sampling = {
        "max_tokens": 40,
        "temperature": 1.0,
        "seed": 4,
        "top_k": 0,
        "top_p": 1.0,
        "min_p": 0.0,
        "repetition_penalty": 1.0,
    }
    assert about["sampling"] == sampling


# ---- cut replies
def test_a_reply_without_an_end_was_cut(loaded):
    query = asked(4)
    ended = player_of(loaded, temperature=0.0, max_new_tokens=192).answer([query])[0]
    cut = player_of(loaded, temperature=0.0, max_new_tokens=10).answer([query])[0]
    assert {one.finish for one in ended} == {"stop"}
    assert {(one.finish, one.output_tokens) for one in cut} == {(CUT, 10)}
    tokenizer = loaded[1].tokenizer
    for one, short in zip(ended, cut, strict=True):
        assert one.text.startswith(short.text)
        assert one.output_tokens == len(tokenizer(one.text)["input_ids"]) + 1, (
            "its end is a token as well"
        )
        assert one.input_tokens == short.input_tokens > 16
    exact = player_of(loaded, temperature=0.0, max_new_tokens=ended[0].output_tokens).answer(
        [query[0:1]]
    )[0][0]
    assert exact == ended[0], "an end in the last place is an end"


def test_cut_replies_are_in_the_trace(loaded, tmp_path):
    evaluate(
        player_of(loaded, max_new_tokens=7),
        SWAP,
        Evaluation(episodes=2, turns=1),
        tmp_path,
        progress=False,
    )
    assert [turn.usage["finish"] for turn in load_trace(tmp_path / "trace.jsonl").turns] == [
        CUT,
        CUT,
    ]


def test_a_relay_counts_the_tokens_of_both(loaded):
    query, alone = asked(3), player_of(loaded, temperature=0.0, max_new_tokens=192)
    both, single = Relay(alone, alone).answer([query])[0], alone.answer([query])[0]
    for one, other in zip(both, single, strict=True):
        assert one.text == other.text
        assert one.output_tokens > other.output_tokens
        assert one.finish == "stop"


# ---- what a model was made for
def test_the_embedded_model_says_what_it_was_trained_for():
    about = trained_for("tiny")
    assert [(*vars(task.names).values(), task.prompt) for task in about.tasks] == [
        (task.names.game, "tiny", "tiny", "brief") for task in TASKS
    ]
    assert about.warn(SWAP) == ""
    assert "level = 'easy' (it knows 'tiny')" in about.warn(SWAP.override(level="easy"))
    assert "never trained on Sokoban" in about.warn(Task(game="Sokoban"))


def test_what_is_not_said_is_as_the_model_was_trained(tmp_path, capsys):
    """The first example of the documentation scored 0 in all games: the model knows one look and
    one prompt style.
    """
    call = [
        "eval",
        "--player",
        "local:tiny",
        "--game",
        "Swap",
        "--episodes",
        "4",
        "--turns",
        "1",
        "--start",
        "walk",
    ]
    assert (
        main(
            [
                *call,
                "--max-new-tokens",
                "192",
                "--walk",
                "0",
                "3",
                "--walk-legal",
                "--out",
                str(tmp_path / "a"),
            ]
        )
        == 0
    )
    run = json.loads((tmp_path / "a" / "trace.jsonl").read_text().splitlines()[0])
    text = json.dumps(run)
    assert all(
        f'"{name}": "{value}"' in text
        for name, value in (("level", "tiny"), ("look", "tiny"), ("prompt", "brief"))
    )
    assert (
        json.loads((tmp_path / "a" / "summary.json").read_text())["metrics"]["cells"]["mean"] > 0.9
    )
    assert "never trained" not in capsys.readouterr().err
    assert (
        main([*call, "--look", "clean", "--max-new-tokens", "4", "--out", str(tmp_path / "b")]) == 0
    )
    assert (
        "warning: local:tiny: the model was never trained on Swap with look = 'clean'"
        in capsys.readouterr().err
    )
    warnings = json.loads((tmp_path / "b" / "summary.json").read_text())["warnings"]
    assert any("never trained on Swap with look = 'clean'" in one for one in warnings), (
        "and counted with the numbers"
    )


def test_a_file_of_another_form_is_one_sentence(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    assert trained_for(str(tmp_path)) is None
    for text in (
        "[]",
        "{",
        '{"tasks": []}',
        '{"tasks": [3]}',
        '{"tasks": [{"game": "Chess"}]}',
        '{"tasks": "Swap"}',
    ):
        (tmp_path / "vlmgym.json").write_text(text)
        with pytest.raises(VlmGymError, match=r"vlmgym\.json"):
            trained_for(str(tmp_path))


def test_no_update_of_adapters_is_lost_in_rounding(tmp_path):
    """Merged into bfloat16, a fifth to two fifths of a small update vanished below the last bit."""
    folder = tmp_path / "small"
    tiny.save(*tiny.build(0, hidden=32, layers=1, vision_hidden=32, vision_layers=1), folder)
    model, processor = load(str(folder), "bfloat16")
    adapted = get_peft_model(model, Lora(rank=4, alpha=8).config(model))
    torch.manual_seed(0)
    for name, weights in adapted.named_parameters():
        if ".lora_" in name:
            weights.data = weights.data.float()
        if "lora_B" in name:
            weights.data = 1e-5 * torch.randn_like(weights.data)
    ids = processor.tokenizer("2048 up right", return_tensors="pt")
    base = load(str(folder))[0](**ids).logits
    exact = copy.deepcopy(adapted).float()(**ids).logits
    trainer = SimpleNamespace(model=adapted, accelerator=Alone())
    run._finish(
        trainer,
        processor,
        tmp_path / "checkpoints",
        tmp_path / "final",
        run.TrainedFor((SWAP,), 12, "small"),
    )
    saved = load(str(tmp_path / "final"))[0]
    assert saved.dtype == torch.float32
    moved = (exact - base).abs().max()
    assert moved > 0
    assert (saved(**ids).logits - exact).abs().max() < 0.05 * moved
    about = trained_for(str(tmp_path / "final"))
    assert (about.tasks[0].names.game, about.max_new_tokens, about.model) == ("Swap", 12, "small")


class Alone:
    """Accelerate's view of a single process."""

    is_main_process = True

    def wait_for_everyone(self):
        return

    def unwrap_model(self, model):
        return model


def test_dropout_of_adapters_is_refused_in_grpo(tmp_path, loaded):
    settings = GrpoSettings(steps=1, batch=4, group=2)
    with pytest.raises(ConfigError, match=r"lora.dropout = 0.1: allowed is 0 in GRPO"):
        run_grpo(
            Recipe(
                "tiny",
                (SWAP,),
                grpo=settings,
                lora=Lora(dropout=0.1),
                compute=Compute(device="cpu"),
            ),
            *loaded,
            tmp_path,
        )


@pytest.mark.parametrize("name", ["wandb", "trackio"])
def test_curves_go_where_they_are_wanted(name, tmp_path, monkeypatch):
    compute = CPU
    assert GrpoSettings().arguments(tmp_path, compute)["report_to"] == []
    assert GrpoSettings(report_to="none").arguments(tmp_path, compute)["report_to"] == []
    monkeypatch.setattr(importlib.util, "find_spec", lambda module: None)
    with pytest.raises(ConfigError, match=rf"report_to = '{name}'.*pip install {name}"):
        GrpoSettings(report_to=name).arguments(tmp_path, compute)
    monkeypatch.setattr(importlib.util, "find_spec", lambda module: module)
    assert GrpoSettings(report_to=name).arguments(tmp_path, compute)["report_to"] == [name], (
        "handed on to the Trainer"
    )
