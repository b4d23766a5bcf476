"""SFT trains on answer tokens only, and on all of them."""

import pytest
from transformers import TrainerCallback

from parts.tasks import CPU
from parts.training import TASKS, recipe_of
from vlmgym.episodes.task import Task
from vlmgym.models.loading import load
from vlmgym.train.cold_start import cold_start_rows
from vlmgym.train.recipe import ColdStart, Recipe
from vlmgym.train.settings import SftSettings
from vlmgym.train.sft import run_sft


def batches(model, processor, rows, out, size):
    """The batches that SFT is given of these rows."""
    seen = []

    class Look(TrainerCallback):
        def on_train_begin(self, args, state, control, train_dataloader=None, **_):
            seen.extend(train_dataloader)

    run_sft(model, processor, rows, out, SftSettings(steps=1, batch=size, lr=0.0), CPU, [Look()])
    return seen


@pytest.mark.parametrize("family", ["small", "qwen"])
def test_sft_trains_on_answer_tokens_only(family, request, tmp_path):
    model, processor = load(str(request.getfixturevalue(family)))
    rows = cold_start_rows(
        [Task.parse(t) for t in TASKS],
        Recipe.parse(recipe_of("tiny", cold_start={"states": 2})).cold_start,
    )
    seen = batches(model, processor, rows, tmp_path, size=1)
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
    model, processor = load(str(request.getfixturevalue(family)))
    task = Task(
        game="ShisenSho", level="tiny", look="clean", prompt="full", walk_max=5, walk_legal=True
    )
    rows = cold_start_rows([task], ColdStart(states=3))
    for number, row in enumerate(rows):
        row["completion"][0]["content"][0]["text"] *= 2 if number else 4
    (batch,) = batches(model, processor, rows, tmp_path, size=3)
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
