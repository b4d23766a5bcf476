"""SFT trains on answer tokens only, and on all of them."""

import pytest
from transformers import TrainerCallback

from parts.local_players import local_player
from parts.tasks import CPU, SWAP
from parts.training import TASKS, recipe_of
from vlmgym.dialogue import prompt
from vlmgym.episodes.task import Task
from vlmgym.models.loading import load
from vlmgym.players.base import Query
from vlmgym.players.teacher import Teacher
from vlmgym.train.cold_start import cold_start_rows
from vlmgym.train.grpo import run_grpo
from vlmgym.train.grpo_trainer import Grpo
from vlmgym.train.questions import QuestionSource
from vlmgym.train.recipe import ColdStart, Recipe
from vlmgym.train.rows import rows
from vlmgym.train.settings import GrpoSettings, SftSettings
from vlmgym.train.sft import run_sft


def batches(model, processor, data, out, size):
    """The batches that SFT is given of these rows."""
    seen = []

    class Look(TrainerCallback):
        def on_train_begin(self, args, state, control, train_dataloader=None, **_):
            seen.extend(train_dataloader)

    run_sft(model, processor, data, out, SftSettings(steps=1, batch=size, lr=0.0), CPU, [Look()])
    return seen


@pytest.mark.parametrize("family", ["small", "qwen"])
def test_sft_trains_on_answer_tokens_only(family, request, tmp_path):
    model, processor = load(str(request.getfixturevalue(family)))
    data = cold_start_rows(
        [Task.parse(t) for t in TASKS],
        Recipe.parse(recipe_of("tiny", cold_start={"states": 2})).cold_start,
    )
    seen = batches(model, processor, data, tmp_path, size=1)
    assert len(seen) == 4
    image = model.config.image_token_id
    answers = {r["completion"][0]["content"][0]["text"] for r in data}
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
    data = cold_start_rows([task], ColdStart(states=3))
    for number, row in enumerate(data):
        row["completion"][0]["content"][0]["text"] *= 2 if number else 4
    (batch,) = batches(model, processor, data, tmp_path, size=3)
    tokenizer = processor.tokenizer
    if family == "qwen":
        assert batch["attention_mask"].sum(1).min() > 1024, "long enough to be cut"
    trained = [labels[labels != -100].tolist() for labels in batch["labels"]]
    texts = [row["completion"][0]["content"][0]["text"] + "<|im_end|>\n" for row in data]
    assert sorted(trained) == sorted(tokenizer(text)["input_ids"] for text in texts), (
        "exactly the answers and their ends"
    )
    assert (batch["attention_mask"] == 0).any()
    assert (batch["labels"][batch["attention_mask"] == 0] == -100).all()


# ---- answers of which the beginning is told
def told_rows(task, state):
    """Rows of the teacher's answers that are told their description, and what they are told."""
    replies = Teacher(0.0).reply(task.game, state, task.prompt)
    beginnings = prompt.prefills(task.game, state, task.prompt)
    answered = rows(task, state, replies)
    return [{**row, "told": told} for row, told in zip(answered, beginnings, strict=True)]


def parts(batch):
    """Of each row of a batch: the tokens that are not trained on, and those that are."""
    for ids, labels, mask in zip(
        batch["input_ids"], batch["labels"], batch["attention_mask"], strict=True
    ):
        ids, labels = ids[mask == 1].tolist(), labels[mask == 1].tolist()
        start = next(place for place, label in enumerate(labels) if label != -100)
        assert labels[start:] == ids[start:], "the prompt, then what is trained on"
        yield ids[:start], ids[start:]


@pytest.mark.parametrize("family", ["small", "qwen"])
def test_of_a_told_row_exactly_think_answer_and_end_are_trained_on(family, request, tmp_path):
    model, processor = load(str(request.getfixturevalue(family)))
    told = told_rows(SWAP, SWAP.states("train", 2))
    others = SWAP.states("train", 2, 50)
    ordinary = rows(SWAP, others, Teacher(0.0).reply(SWAP.game, others, SWAP.prompt))
    (batch,) = batches(model, processor, [*told, *ordinary], tmp_path, size=4)
    trained = sorted(after for _, after in parts(batch))
    texts = []
    for row in [*told, *ordinary]:
        answer = row["completion"][0]["content"][0]["text"]
        texts.append(answer.removeprefix(row.get("told", "")) + "<|im_end|>\n")
    assert sum(text.startswith("<think>") for text in texts) == 2
    assert trained == sorted(processor.tokenizer(text)["input_ids"] for text in texts)


@pytest.mark.parametrize("family", ["small", "qwen"])
def test_a_told_row_begins_with_the_tokens_of_players_and_of_grpo(
    family, request, tmp_path, monkeypatch
):
    model, processor = load(str(request.getfixturevalue(family)))
    draw, generate = QuestionSource.draw, Grpo._generate_single_turn
    questions, asked = [], []

    def watched(self, prompt_ids, images, *rest, **options):
        asked.extend(list(ids) for ids in prompt_ids)
        return generate(self, prompt_ids, images, *rest, **options)

    monkeypatch.setattr(
        QuestionSource, "draw", lambda self, count: questions.extend(draw(self, count)) or questions
    )
    monkeypatch.setattr(Grpo, "_generate_single_turn", watched)
    grpo = GrpoSettings(steps=1, batch=2, group=2, max_new_tokens=4, prefill=True, drop_equal=False)
    run_grpo(Recipe("x", (SWAP,), grpo=grpo, compute=CPU), model, processor, tmp_path / "grpo")
    state = questions[0].state
    data = told_rows(SWAP, state)
    (batch,) = batches(model, processor, data, tmp_path / "sft", size=1)
    ((before, _),) = parts(batch)
    player = local_player(model, processor)
    query = Query(SWAP.game, state, SWAP.look, SWAP.prompt, begun=[data[0]["told"]])
    of_player = player.inputs.of([query])["input_ids"][0].tolist()
    assert before == asked[0] == of_player


def test_a_row_that_is_told_what_its_answer_does_not_say_is_refused(small, tmp_path):
    model, processor = load(str(small))
    data = told_rows(SWAP, SWAP.states("train", 2))
    data[0]["told"] = data[1]["told"]
    with pytest.raises(ValueError, match="does not begin with what is told"):
        batches(model, processor, data, tmp_path, size=2)
