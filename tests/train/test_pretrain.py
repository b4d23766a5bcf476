"""The embedded model: rebuilt from its seed, sees the board, and follows the format."""

import base64
import re
from itertools import islice

import numpy as np
import pytest
import torch

from parts.local_players import local_player
from parts.tiny_tasks import TASKS
from vlmgym.cli import main
from vlmgym.core import ConfigError, split_of
from vlmgym.dialogue import prompt
from vlmgym.dialogue.perception import read_perception
from vlmgym.dialogue.reply import parse
from vlmgym.evals.evaluation import evaluate
from vlmgym.evals.settings import Evaluation
from vlmgym.games import load_state
from vlmgym.games.parts.tile_kinds import COLOURS, FORMS
from vlmgym.models.loading import load, model_path
from vlmgym.train import embedded as tiny
from vlmgym.train.callbacks import read_metrics
from vlmgym.train.pretrain import pretraining_rows
from vlmgym.train.recipe import Pretraining, read_recipe, recipe_path

SHAPES_KNOWN = [f"{colour} {shape}" for colour in COLOURS[:6] for shape in FORMS["shapes"][:6]]


def test_tiny_is_rebuilt_from_its_seed():
    first, second = (
        tiny.build(0, hidden=32, layers=1, vision_hidden=32, vision_layers=1)[0] for _ in range(2)
    )
    assert all(
        torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True)
    )
    rows = list(islice(pretraining_rows(TASKS, Pretraining(chunk=4)), 64))
    again = list(islice(pretraining_rows(TASKS, Pretraining(chunk=4)), 64))
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
    for task in TASKS:
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


def test_the_pretraining_is_a_recipe(tmp_path, capsys):
    small = ["--set", "sft.steps=2", "--set", "sft.batch=8"]
    assert main(["train", "tiny/base", "--out", str(tmp_path), *small]) == 0
    assert capsys.readouterr().out.strip().endswith("base")
    assert [m["step"] for m in read_metrics(tmp_path / "metrics.jsonl")] == [1, 2]
    model, _ = load(str(tmp_path / "base"))
    assert sum(p.numel() for p in model.parameters()) == sum(
        p.numel() for p in load("tiny")[0].parameters()
    )


def test_a_plain_base_is_shown_no_search():
    """No row says more of the moves than whether the one asked about works, and what follows."""
    rows = list(islice(pretraining_rows(TASKS, Pretraining(moves="plain", chunk=8)), 256))
    verdicts = []
    for row in rows:
        game, state = load_state(base64.b64decode(row["state"]))
        text = row["completion"][0]["content"][0]["text"]
        question = row["prompt"][0]["content"][1]["text"].rpartition("4x4")[2].strip()
        think = text.partition("<think>")[2].partition("</think>")[0]
        assert question != "moves?"
        search, found = game.reasoning(state, 0, game.oracle(state)[0])
        if found >= 0 and "; " in search:
            assert search not in think
        if question in ("", "same?"):
            continue
        move = game.decode(state.level, question.removesuffix("?")).action
        works = bool(game.branch(state, np.array([[move]]))[0, 0] > 0)
        assert think.partition(";")[0].split()[-1] == ("good" if works else "no")
        verdicts.append(works)
    assert 0.3 < np.mean(verdicts) < 0.7


def test_another_seed_is_shown_other_boards():
    first, second = (
        {row["state"] for row in islice(pretraining_rows(TASKS, Pretraining(chunk=4), seed), 64)}
        for seed in (0, 1)
    )
    assert not first & second


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (["model=elsewhere"], "recipe.model = 'elsewhere'"),
        (["grpo.steps=2"], "recipe.pretrain = 'more stages'"),
        (["sft.steps=0"], "recipe.sft.steps = 0"),
    ],
)
def test_a_pretraining_stands_alone(changes, says):
    with pytest.raises(ConfigError, match=re.escape(says)):
        read_recipe(recipe_path("tiny/base"), changes)


def test_the_committed_model_follows_the_format_and_sees_the_board():
    from pathlib import Path

    files = list(Path(model_path("tiny")).iterdir())
    assert sum(f.stat().st_size for f in files) < 8_000_000
    model, processor = load("tiny")
    for task in TASKS:
        player = local_player(model, processor, max_new_tokens=112)
        metrics = evaluate(
            player, task, Evaluation(episodes=32, turns=1, start="walk"), progress=False
        )["metrics"]
        assert metrics["format"]["mean"] > 0.9
        assert metrics["cells"]["mean"] > 0.95
        chance = float(task.game.success_mask(task.states("test", 200)).mean())
        assert metrics["success"]["mean"] < chance + 0.25, "it knows more than it does"
