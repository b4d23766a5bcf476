"""Model families through one code path: trained, saved, reloaded and played, whole and with
adapters; episodes.
"""

import importlib.util

import numpy as np
import pytest
import torch
import yaml

from parts.commands import eval_words
from parts.miniature import FAMILIES, save
from parts.scripted import tokens
from parts.tasks import CPU, ON_CPU, WIDE_2048
from vlmgym.cli import main
from vlmgym.core import ConfigError, MissingExtra
from vlmgym.core.simulation import Simulator
from vlmgym.dialogue.weights import Weights
from vlmgym.episodes.task import Task
from vlmgym.games import read_state_text
from vlmgym.models.loading import freeze_vision, load
from vlmgym.train import crediting, stand_ins
from vlmgym.train import grpo_trainer as trainers
from vlmgym.train.callbacks import read_metrics
from vlmgym.train.cold_start import cold_start_rows
from vlmgym.train.compute import Compute, Lora
from vlmgym.train.episode_credit import turn_rewards
from vlmgym.train.grpo import run_grpo
from vlmgym.train.recipe import Recipe
from vlmgym.train.run import train
from vlmgym.train.settings import GrpoSettings, SftSettings
from vlmgym.train.sft import run_sft
from vlmgym.train.trl_grpo import trained_tokens
from vlmgym.train.turn_credit import TURN_ESTIMATORS, TurnSettings, scaled


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Folders of all miniatures, made when first asked for."""
    root = tmp_path_factory.mktemp("families")
    return lambda family: root / family if (root / family).exists() else save(family, root / family)


def weights(folder):
    return dict(load(str(folder))[0].named_parameters())


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_is_trained_saved_reloaded_and_evaluated(family, models, tmp_path, capsys):
    compute = {"device": "cpu", "threads": 1, "gradient_checkpointing": True, "bf16": True}
    values = {
        "model": str(models(family)),
        "tasks": [WIDE_2048],
        "cold_start": {"states": 6},
        "sft": {"steps": 2, "batch": 2, "lr": 1e-3},
    }
    values["grpo"] = {
        "steps": 2,
        "batch": 4,
        "group": 2,
        "max_new_tokens": 8,
        "lr": 1e-3,
        "drop_equal": False,
    }
    (tmp_path / "r.yaml").write_text(
        yaml.safe_dump({**values, "checks": {"every": 2, "states": 2}, "compute": compute})
    )
    assert main(["train", str(tmp_path / "r.yaml"), "--out", str(tmp_path / "run")]) == 0
    lines = read_metrics(tmp_path / "run" / "metrics.jsonl")
    assert [(m["stage"], m["step"]) for m in lines if "loss" in m] == [
        ("sft", 1),
        ("sft", 2),
        ("grpo", 1),
        ("grpo", 2),
    ]
    before, cold, final = (
        weights(models(family)),
        weights(tmp_path / "run/cold"),
        weights(tmp_path / "run/final"),
    )
    moved = [name for name in before if not torch.equal(before[name], cold[name])]
    assert any("vision" in name or "visual" in name for name in moved)
    assert any("vision" not in name and "visual" not in name for name in moved)
    assert any(not torch.equal(cold[name], final[name]) for name in cold)
    words = eval_words(
        tmp_path / "e",
        "--max-new-tokens",
        4,
        player=f"local:{tmp_path / 'run/final'}",
        look=WIDE_2048["look"],
        turns=1,
    )
    assert main(words) == 0
    assert "final on 2048 tiny" in capsys.readouterr().out


@pytest.mark.parametrize("family", FAMILIES)
def test_adapters_train_the_language_model_alone_and_are_merged(family, models, tmp_path):
    sections = {
        "sft": {"steps": 2, "batch": 2, "lr": 1e-2},
        "cold_start": {"states": 4},
        "lora": {"rank": 4, "alpha": 8},
    }
    sections["grpo"] = {"steps": 1, "batch": 4, "group": 2, "max_new_tokens": 4, "lr": 1e-2}
    sections |= {
        "checks": {"every": 0},
        "compute": {"device": "cpu", "threads": 1, "weights": "bfloat16"},
    }
    train(Recipe.parse({"model": str(models(family)), "tasks": [WIDE_2048], **sections}), tmp_path)
    before, cold = weights(models(family)), weights(tmp_path / "cold")
    assert set(before) == set(cold), "merged: the folder is a model like any other"
    moved = {
        name for name in before if not torch.equal(before[name].bfloat16().float(), cold[name])
    }
    assert moved, "trained"
    assert all(
        name.split(".")[-2]
        in ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
        for name in moved
    )
    assert not [name for name in moved if "vision" in name or "visual" in name]
    assert (tmp_path / "cold" / "adapter" / "adapter_config.json").is_file()


def test_an_adapter_resumes_from_its_checkpoint(models, tmp_path):
    tasks, seen = [Task.parse(WIDE_2048)], {}
    rows = cold_start_rows(
        tasks,
        Recipe.parse({"model": "x", "tasks": [WIDE_2048], "cold_start": {"states": 8}}).cold_start,
    )

    def run(steps, out):
        settings = SftSettings(steps=steps, batch=2, lr=1e-2, save_every=2, scheduler="constant")
        trainer = run_sft(
            *load(str(models("llava"))), rows, out, settings, CPU, [], Lora(rank=4, alpha=8)
        )
        return {
            name: p.detach().clone()
            for name, p in trainer.model.named_parameters()
            if "lora" in name
        }

    seen["whole"] = run(4, tmp_path / "whole")
    run(2, tmp_path / "cut")
    seen["resumed"] = run(4, tmp_path / "cut")
    assert all(torch.equal(seen["whole"][name], seen["resumed"][name]) for name in seen["whole"])


@pytest.mark.parametrize("family", FAMILIES)
def test_a_frozen_vision_tower_stays_as_it_is(family, models, tmp_path):
    model, processor = load(str(models(family)))
    frozen = freeze_vision(model)
    kept = {name: p.detach().clone() for name, p in model.named_parameters() if not p.requires_grad}
    assert sum(p.numel() for p in kept.values()) == frozen > 0
    assert all("vision" in name or "visual" in name for name in kept)
    rows = cold_start_rows(
        [Task.parse(WIDE_2048)],
        Recipe.parse({"model": "x", "tasks": [WIDE_2048], "cold_start": {"states": 4}}).cold_start,
    )
    run_sft(model, processor, rows, tmp_path, SftSettings(steps=1, batch=4, lr=1e-2), CPU)
    assert all(torch.equal(p, dict(model.named_parameters())[name]) for name, p in kept.items())


@pytest.mark.parametrize("family", FAMILIES)
def test_answers_go_on_from_a_true_description(family, models, tmp_path, monkeypatch):
    real, asked = trainers.Grpo._generate_single_turn, []

    def watched(self, prompt_ids, images, *rest, **options):
        asked.extend(self.processing_class.tokenizer.decode(list(ids)) for ids in prompt_ids)
        return real(self, prompt_ids, images, *rest, **options)

    monkeypatch.setattr(trainers.Grpo, "_generate_single_turn", watched)
    grpo = {
        "steps": 1,
        "batch": 4,
        "group": 2,
        "max_new_tokens": 6,
        "prefill": True,
        "drop_equal": False,
    }
    values = {
        "model": str(models(family)),
        "tasks": [WIDE_2048],
        "grpo": grpo,
        "checks": {"every": 0},
    }
    train(Recipe.parse({**values, "compute": ON_CPU}), tmp_path / "run")
    assert len(asked) == 4
    assert all(text.rstrip().endswith("</perception>") and "(0, 0)" in text for text in asked)
    line = next(m for m in read_metrics(tmp_path / "run" / "metrics.jsonl") if "loss" in m)
    assert line["p_acc"] == 1, "the description that was given counts"
    assert line["num_tokens"] > 0


# ---- episodes
def scripted(monkeypatch, say):
    """Answers by row and turn in place of the model's, which is asked all the same."""
    real, turn = trainers.Grpo._generate_single_turn, []

    def answer(self, prompt_ids, images, *rest, **options):
        # what it says is thrown away; that it can be asked is not
        self.generation_config.max_new_tokens = 2
        real(self, prompt_ids, images, *rest, **options)
        turn.append([len(one) for one in images])
        texts = [say(row, len(turn) - 1) for row in range(len(prompt_ids))]
        return tokens(self._tokenizer, texts), None

    monkeypatch.setattr(trainers.Grpo, "_generate_single_turn", answer)
    return turn


def alone(self, model, ids, n, offset, kw):
    """Log-probabilities of one unpadded sequence with its own pictures."""
    pixels, grid = kw["pixel_values"], kw.get("image_grid_thw")
    more = {}
    if grid is not None:
        ends = [0, *grid.prod(-1).cumsum(0).tolist()]
        pixels = pixels[ends[offset] : ends[offset + n]]
        more = {
            "image_grid_thw": grid[offset : offset + n],
            "mm_token_type_ids": (ids == self._image_pad_token_id).long(),
        }
    else:
        pixels = pixels[offset : offset + n]
    logits = model(
        input_ids=ids, attention_mask=torch.ones_like(ids), pixel_values=pixels, **more
    ).logits.float()
    return logits[0, :-1].log_softmax(-1).gather(-1, ids[0, 1:, None])[:, 0]


@pytest.mark.parametrize("family", ["llava", "qwen2_5_vl", "qwen3_vl"])
def test_episodes_see_a_picture_a_turn_and_are_scored_as_if_alone(
    family, models, tmp_path, monkeypatch
):
    """Mixed lengths, malformed replies among them: the batched log-probabilities are those of each
    episode by itself.
    """

    def say(row, turn):
        if row % 3 == 2:
            return ("hm " * (row + 1)).strip()
        return f"<perception>x</perception><think>{'so ' * (1 + row // 3)}</think><answer>{(row + turn) % 4}</answer>"

    pictures = scripted(monkeypatch, say)
    real, worst = trainers.Grpo._get_per_token_logps_and_entropies, []

    def checked(self, model, input_ids, attention_mask, keep, **kw):
        out, offset = real(self, model, input_ids, attention_mask, keep, **kw), 0
        with torch.no_grad():
            for i, n in enumerate(kw["num_images"]):
                expected = alone(
                    self, model, input_ids[i][attention_mask[i].bool()][None], n, offset, kw
                )
                mask = attention_mask[i, -keep:].bool()
                worst.append(float((out[0][i][mask] - expected[-int(mask.sum()) :]).abs().max()))
                offset += n
        return out

    trimming, left_out = stand_ins.Trimming.__call__, []

    def counted(self, **inputs):
        left_out.append(int((~inputs["attention_mask"].bool().any(dim=0)).sum()))
        return trimming(self, **inputs)

    monkeypatch.setattr(stand_ins.Trimming, "__call__", counted)
    monkeypatch.setattr(trainers.Grpo, "_get_per_token_logps_and_entropies", checked)
    settings = GrpoSettings(steps=1, batch=6, group=3, turns=3, max_new_tokens=1500, beta=0.01)
    model, processor = load(str(models(family)))
    template = processor.chat_template
    trainer = run_grpo(
        Recipe("tiny", (Task.parse(WIDE_2048),), grpo=settings, compute=CPU),
        model,
        processor,
        tmp_path,
    )
    assert pictures == [[1] * 6, [2] * 6, [3] * 6]
    assert len(worst) == 12, "policy and reference"
    assert max(worst) < 1e-5
    assert any(left_out), "padding of a whole group is not computed"
    for row, play in enumerate(trainer.environments):
        texts = [turn.reply for turn in play.lane.turns]
        assert texts == [say(row, turn) for turn in range(3)]
    log = trainer.state.log_history[0]
    assert log["turns"] == 3
    assert log["fault/format"] == pytest.approx(1 / 3)
    assert (processor.chat_template, "generate" in vars(model)) == (template, False), (
        "left as they were"
    )


def test_an_episode_ends_where_the_game_ends(models, tmp_path, monkeypatch):
    """The answers hit mines in different turns; after that nothing is generated for an episode."""
    task = {
        "game": "Minesweeper",
        "level": "easy",
        "look": "tiny:width=112,height=112",
        "prompt": "brief",
        "walk_max": 1,
    }
    game, level = Task.parse(task).game, Task.parse(task).level
    cells = game.n_actions(level)

    def click(row, turn):
        action = game.encode(level, (7 * row + 5 * turn) % cells)
        return f"<perception>x</perception><think>t</think><answer>{action}</answer>"

    asked = scripted(monkeypatch, click)
    settings = GrpoSettings(steps=1, batch=8, group=4, turns=12, max_new_tokens=4000, beta=0.0)
    trainer = run_grpo(
        Recipe("tiny", (Task.parse(task),), grpo=settings, compute=CPU),
        *load(str(models("llava"))),
        tmp_path,
    )
    turns = [len(play.lane.turns) for play in trainer.environments]
    ended = [bool(play.lane.state.terminated[0]) for play in trainer.environments]
    assert any(ended), "some hit a mine, so that the test can fail"
    assert min(turns) < 12
    for turn, rows in enumerate(asked):
        assert len(rows) == sum(n > turn for n in turns), "only those that go on are asked"


@pytest.mark.parametrize("credit", ["turn", "gigpo", "value"])
def test_tokens_of_each_turn_are_trained_on_with_its_own_advantage(
    credit, models, tmp_path, monkeypatch
):
    """As the table of the group's turns gives them, up to the loss; and what was done is logged."""

    def say(row, turn):
        action = (row * 7 + turn * 3) % 4
        return f"<perception>x</perception><think>t</think><answer>{action}</answer>"

    scripted(monkeypatch, say)
    seen = []
    loss = trainers.Grpo._compute_loss

    def watched(self, model, inputs):
        seen.append({name: inputs[name].clone() for name in ("advantages", "completion_ids")})
        seen[-1]["mask"] = trained_tokens(inputs).clone()
        return loss(self, model, inputs)

    monkeypatch.setattr(trainers.Grpo, "_compute_loss", watched)
    settings = GrpoSettings(
        steps=1, batch=8, group=4, turns=3, max_new_tokens=1500, beta=0.0, credit=credit
    )
    reward = Weights(simulator=Simulator(4, 2))
    trainer = run_grpo(
        Recipe("tiny", (Task.parse(WIDE_2048),), grpo=settings, reward=reward, compute=CPU),
        *load(str(models("qwen2_5_vl"))),
        tmp_path,
    )
    episodes = [play.lane for play in trainer.environments]
    expected = []
    for first in (0, 4):
        group = turn_rewards(episodes[first : first + 4], "turns", reward, credit == "value")
        expected.append(scaled(TURN_ESTIMATORS[credit](group, settings.returns), group))
    expected = np.concatenate(expected)
    (inputs,) = seen
    mask = inputs["mask"].bool()
    starts = mask & ~torch.nn.functional.pad(mask, (1, 0))[:, :-1]
    assert starts.sum(dim=1).tolist() == [3] * 8
    turns = (starts.cumsum(dim=1) - 1).clamp(min=0)
    found = [
        [inputs["advantages"][row][mask[row] & (turns[row] == number)] for number in range(3)]
        for row in range(8)
    ]
    assert all(tokens.unique().numel() == 1 for of_row in found for tokens in of_row)
    firsts = sorted([round(float(tokens[0]), 4) for tokens in of_row] for of_row in found)
    assert firsts == sorted(expected.round(4).tolist()), "TRL shuffles the rows"
    assert len(np.unique(expected.round(6))) > 4, "turns of one episode differ"
    log = trainer.state.log_history[0]
    assert 0 <= log["credit/met_by_one"] <= 1
    assert ("credit/value_error" in log) == (credit == "value")


def test_forked_turns_are_played_on_by_the_policy_from_the_conversation_up_to_there(
    models, tmp_path, monkeypatch
):
    """Within the budget, at the turns whose moves differ; the prompts are those of an episode."""

    def say(row, turn):
        action = (row * 7 + turn * 3) % 4
        return f"<perception>x</perception><think>t</think><answer>{action}</answer>"

    asked = scripted(monkeypatch, say)
    played, groups = [], []
    give = crediting.credit_tokens
    play = crediting.play_forks

    def watched(continuations, generate, most):
        play(continuations, generate, most)
        played.extend(continuations)

    def keep(trainer, output, of_trainer):
        groups.extend(of_trainer)
        give(trainer, output, of_trainer)

    monkeypatch.setattr(crediting, "play_forks", watched)
    monkeypatch.setattr(trainers, "credit_tokens", keep)
    returns = TurnSettings(continuations=2, fork_tokens=1500)
    settings = GrpoSettings(
        steps=1, batch=4, group=2, turns=3, max_new_tokens=1500, beta=0.0, credit="fork",
        returns=returns,
    )  # fmt: skip
    trainer = run_grpo(
        Recipe("tiny", (Task.parse(WIDE_2048),), grpo=settings, compute=CPU),
        *load(str(models("qwen2_5_vl"))),
        tmp_path,
    )
    log = trainer.state.log_history[0]
    assert 0 < log["credit/forked"] < 1
    assert log["credit/fork_tokens"] > 0
    assert played
    assert asked[:3] == [[1] * 4, [2] * 4, [3] * 4], "the episodes themselves"
    told = {count for counts in asked[3:] for count in counts}
    assert told <= {1, 2, 3}, "pictures of the turns so far"
    starts = {turn.state for group in groups for one in group for turn in one.turns}
    for one in played:
        assert not len(one.live())
        assert len(one.turns) <= one.limit
        first = one.turns[0].load()[1]
        originals = [read_state_text(text)[1] for text in starts]
        assert any(np.array_equal(first.board, state.board) for state in originals)
        assert all(first.seed[0] != state.seed[0] for state in originals), "luck of its own"


@pytest.mark.parametrize("family", ["gemma3", "idefics3"])
def test_families_that_trl_cannot_play_with_say_so(family, models, tmp_path):
    settings = GrpoSettings(steps=1, batch=4, group=2, turns=2)
    with pytest.raises(ConfigError, match=r"grpo.turns = 2: allowed is 1 for \w+Processor"):
        run_grpo(
            Recipe("tiny", (Task.parse(WIDE_2048),), grpo=settings, compute=CPU),
            *load(str(models(family))),
            tmp_path,
        )


def test_an_optimiser_that_is_not_installed_names_the_install_line():
    if importlib.util.find_spec("bitsandbytes"):
        pytest.fail("bitsandbytes is installed here: let this test train with it")
    with pytest.raises(MissingExtra, match=r"bitsandbytes not installed.*\[gpu\]"):
        Compute(device="cpu", optimizer="adamw_8bit").arguments()
