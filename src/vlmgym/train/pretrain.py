"""The embedded tiny VLM: a LLaVA (SigLIP tower, Qwen2 language model) of about two and a half
million weights.

One picture patch is one cell of a 4x4 board under the look ``tiny``; tile names and coordinates are
single tokens. It is loaded, trained and saved by the same code as any other image-text model of
Transformers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import chain, count
from pathlib import Path
from typing import Any

import numpy as np

from vlmgym.core import Game, Scene, State, need
from vlmgym.core.settings import number_in_environment
from vlmgym.dialogue import prompt
from vlmgym.dialogue.reply import BLOCKS
from vlmgym.episodes.task import Task
from vlmgym.games.parts.actions import write_cell
from vlmgym.games.parts.tile_kinds import COLOURS, FORMS
from vlmgym.models.loading import TRAINING
from vlmgym.players.base import player_rng
from vlmgym.players.beginner import Beginner
from vlmgym.train.compute import Compute
from vlmgym.train.rows import rows
from vlmgym.train.settings import SftSettings
from vlmgym.train.sft import run_sft
from vlmgym.train.trained import TrainedFor

PATCH = 28
SIDE = 4 * PATCH
POSITIONS = 4096
PADDING = "<|endoftext|>"
END = "<|im_end|>"
PICTURE = "<|image_pad|>"
SPECIAL = (PADDING, "<|im_start|>", END, PICTURE)
BLOCK_NAMES = ("perception", "think", "answer")
TEMPLATE = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' }}{% if m.content is string %}{{ "
    "m.content }}{% else %}{% for c in m.content %}{% if c.type == 'image' %}{{ '<|image_pad|>' "
    "}}{% elif 'text' in c %}{{ c.text }}{% endif %}{% endfor %}{% endif %}{{ '<|im_end|>\n' }}{% "
    "endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
WORDS = (
    "2048 ShisenSho Swap user assistant up right down left no so joined blocked differ empty line "
    "same row column far 0x "
    "4x4 3x3 2x2 6x6 I will try this one it looks good let me move moves guess x"
)


def build_tokenizer() -> Any:
    """A byte-level BPE tokenizer (any text can be written) with the words, tiles and cells of the
    games as single tokens.
    """
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    words = pre_tokenizers.Split(Regex(r" ?[A-Za-z]+| ?[0-9]+|[^\sA-Za-z0-9]|\s"), "isolated")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [words, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    _learn_words(tokenizer)
    marks = [f"<{slash}{block}>" for block in BLOCK_NAMES for slash in ("", "/")]
    tokenizer.add_tokens([AddedToken(mark, special=False, normalized=False) for mark in marks])
    # The same token wherever a tile or a cell stands, whatever blanks are before it: equal things
    # are found by equality.
    things = _tiles_and_cells()
    tokenizer.add_tokens(
        [AddedToken(thing, special=False, normalized=False, lstrip=True) for thing in things]
    )
    any_thing = "|".join(map(re.escape, things))
    blank_before = decoders.Replace(Regex(f"^(?={any_thing})"), " ")
    tokenizer.decoder = decoders.Sequence([blank_before, decoders.ByteLevel()])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=END,
        pad_token=PADDING,
        padding_side="left",
        model_max_length=POSITIONS,
    )


def _learn_words(tokenizer: Any) -> None:
    """Train the tokenizer on the words and numbers of the games, so that each is one token."""
    from tokenizers import pre_tokenizers, trainers

    powers = [str(2**exponent) for exponent in range(1, 18)]
    small_numbers = [str(number) for number in range(65)]
    corpus = []
    for word in [*WORDS.split(), *powers, *small_numbers]:
        corpus += [f"{word} {word} {word}"] * 4
    trainer = trainers.BpeTrainer(
        vocab_size=900,
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(corpus, trainer)


def _tiles_and_cells() -> list[str]:
    """The names of tiles (``red circle``) and of the cells of a 4x4 board (``(0, 3)``)."""
    tiles = [f"{colour} {shape}" for colour in COLOURS[:6] for shape in FORMS["shapes"][:6]]
    cells = [write_cell(row, column) for row in range(4) for column in range(4)]
    return [*tiles, *cells]


def build(
    seed: int = 0,
    hidden: int = 192,
    layers: int = 4,
    vision_hidden: int = 128,
    vision_layers: int = 2,
) -> tuple[Any, Any]:
    """A randomly initialised tiny model and its processor.

    Args:
        seed: of the initial weights.
        hidden: width of the language model.
        layers: its layers.
        vision_hidden: width of the vision tower.
        vision_layers: its layers.
    """
    import torch
    import transformers as hf

    hf.set_seed(seed)
    processor = _processor()
    tokenizer = processor.tokenizer
    vision = hf.SiglipVisionConfig(
        vision_use_head=False,
        hidden_size=vision_hidden,
        intermediate_size=3 * vision_hidden,
        num_hidden_layers=vision_layers,
        num_attention_heads=4,
        image_size=SIDE,
        patch_size=PATCH,
    )
    config = hf.LlavaConfig(
        vision_config=vision,
        text_config=_text_config(tokenizer, hidden, layers),
        image_token_index=tokenizer.convert_tokens_to_ids(PICTURE),
        vision_feature_select_strategy="full",
        vision_feature_layer=-1,
        image_seq_length=(SIDE // PATCH) ** 2,
        tie_word_embeddings=True,
    )
    model = hf.LlavaForConditionalGeneration(config).to(torch.float32)
    _rescale(model)
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    return model, processor


def _text_config(tokenizer: Any, hidden: int, layers: int) -> Any:
    """The language model: Qwen2, for the vocabulary of a tokenizer."""
    import transformers as hf

    return hf.Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=hidden,
        intermediate_size=3 * hidden,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=POSITIONS,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )


def _processor() -> Any:
    """The processor of LLaVA with our tokenizer: it resizes pictures to one size."""
    import transformers as hf

    return hf.LlavaProcessor(
        image_processor=hf.SiglipImageProcessor(size={"height": SIDE, "width": SIDE}),
        tokenizer=build_tokenizer(),
        patch_size=PATCH,
        chat_template=TEMPLATE,
        vision_feature_select_strategy="full",
        image_token=PICTURE,
    )


def _rescale(model: Any) -> None:
    """Change the initial weights so that pictures and equal tokens are told apart from the start.

    At the stock scale of 0.02 the picture features of different boards hardly differ. The attention
    is mimetic: a token attends to its equals (Trockman & Kolter, 2305.09828).
    """
    import torch

    with torch.no_grad():
        for name, weight in model.named_parameters():
            sees = "vision" in name or "projector" in name
            if sees and weight.dim() > 1:
                weight.mul_(4.0)
        for layer in model.model.language_model.layers:
            attention = layer.self_attn
            attention.q_proj.weight.mul_(4.0)
            attention.k_proj.weight.copy_(attention.q_proj.weight)


def save(model: Any, processor: Any, out: Path) -> None:
    """Write model (as float16, to stay small) and processor in the format of
    ``save_pretrained``.
    """
    import copy

    import torch

    copy.deepcopy(model).to(torch.float16).save_pretrained(out)
    processor.save_pretrained(out)


# ---- pretraining
TASKS = (
    Task(
        game="2048", level="tiny", look="tiny", prompt="brief", walk_min=4, walk_max=60, weight=2.0
    ),
    Task(
        game="ShisenSho",
        level="tiny",
        look="tiny",
        prompt="brief",
        walk_min=0,
        walk_max=7,
        walk_legal=True,
        weight=1.5,
    ),
    Task(
        game="Swap",
        level="tiny",
        look="tiny",
        prompt="brief",
        walk_min=0,
        walk_max=3,
        walk_legal=True,
        weight=2.0,
    ),
    Task(
        game="ShisenShoPhotos",
        level="tiny",
        look="tiny",
        prompt="brief",
        walk_min=0,
        walk_max=7,
        walk_legal=True,
        weight=2.5,
    ),
)
"""The games of pretraining."""
ASKED = 0.5
"""Share of the rows that ask what moves do (style ``"moves"``)."""
COMPARED = 0.15
"""Share of the rows that ask whether tiles are the same; all others ask for a move."""


def comparisons(game: Game, state: State, salt: int = 2, pairs: int = 8) -> list[str]:
    """For each state, its board and pairs of cells with their tiles and whether these are the same,
    half of them if possible.
    """
    replies = []
    for row, description in enumerate(prompt.prefills(game, state, "brief")):
        generator = player_rng(salt, state, row)
        compared = _compared_pairs(game.scene(state[row]), generator, pairs)
        replies.append(description + BLOCKS.write(BLOCKS.think, "; ".join(compared)))
    return replies


def _compared_pairs(scene: Scene, generator: np.random.Generator, count: int) -> list[str]:
    """At most ``count`` pairs of cells, such as ``(0, 1) red circle (2, 3) red circle same``."""
    board = scene.symbols[0]
    cells = generator.permutation(np.argwhere(board > 0))
    pairs = []
    for cell in cells[:count]:
        first = tuple(cell)
        equal = board == board[first]
        unequal = (board > 0) & ~equal
        equal[first] = False
        same = equal.any() and (generator.random() < 0.5 or not unequal.any())
        others = np.argwhere(equal if same else unequal)
        if not len(others):
            continue
        second = tuple(others[generator.integers(len(others))])
        words = []
        for row, column in (first, second):
            words += [write_cell(row, column), scene.names[board[row, column]]]
        words.append("same" if same else "no")
        pairs.append(" ".join(words))
    return pairs


def pretraining_rows(
    chunk: int = 40, tasks: Sequence[Task] = TASKS, near: int = 64
) -> Iterator[dict[str, Any]]:
    """A repeatable, endless stream of rows, the games mixed by their weights.

    Args:
        chunk: states drawn at once for a game of weight 1.
        tasks: the games.
        near: rows among which those of a length are put together, so that little of a batch is
            padding.
    """
    for number in count():
        lists = chain.from_iterable(_lists_of(task, chunk, number) for task in tasks)
        mixed = _interleaved(list(lists))
        for start in range(0, len(mixed), near):
            yield from sorted(mixed[start : start + near], key=_length_of_answer)


def _lists_of(task: Task, chunk: int, number: int) -> list[list[dict[str, Any]]]:
    """The rows of a game in round ``number``: what moves do, what is the same, and moves."""
    states = round(chunk * task.weight)
    state = task.states("pretrain", states, number * states, hopeless=True)
    asked = round(states * ASKED)
    compared = round(states * (ASKED + COMPARED))
    return [
        _rows_in_style(task.override(prompt="moves"), state[:asked]),
        _rows_of_comparisons(task.override(prompt="brief"), state[asked:compared]),
        _rows_in_style(task, state[compared:]),
    ]


def _rows_in_style(task: Task, state: State) -> list[dict[str, Any]]:
    """Rows that a beginner answers in the style of the task's prompt."""
    beginner = Beginner(task.prompt == "moves")
    return rows(task, state, beginner.reply(task.game, state))


def _rows_of_comparisons(task: Task, state: State) -> list[dict[str, Any]]:
    """Rows that ask which tiles are the same."""
    text = prompt.prompt_text(task.game, task.level, "brief")
    question = prompt.messages(f"{text} same?")
    compared = rows(task, state, comparisons(task.game, state))
    return [{**row, "prompt": question} for row in compared]


def _interleaved(lists: Sequence[Sequence[Any]]) -> list[Any]:
    """The items of all lists, each list spread out evenly, in its own order."""
    places = []
    for number, items in enumerate(lists):
        places += [
            ((position + 0.5) / len(items), number, position) for position in range(len(items))
        ]
    return [lists[number][position] for _, number, position in sorted(places)]


def _length_of_answer(row: dict[str, Any]) -> int:
    return len(row["completion"][0]["content"][0]["text"])


PRETRAINING = SftSettings(steps=7000, batch=32, lr=8e-4, warmup=60, save_every=100)
"""Hyperparameters of the committed checkpoint (two processes of batch 16 under ``torchrun``)."""


def pretrain_command(out: Path, steps: int = 0) -> Path:
    """Rebuild the embedded model with a progress bar; returns its folder.

    Under ``torchrun`` each process takes its share of every batch. A stopped run continues from its
    last checkpoint.

    Args:
        out: folder of checkpoints, metrics and result.
        steps: optimiser steps; 0 = as for the committed checkpoint.
    """
    from vlmgym.train.callbacks import metrics_callback

    need("train", *TRAINING)
    model_folder = out / "tiny"
    if (model_folder / "config.json").exists():
        return model_folder
    out.mkdir(parents=True, exist_ok=True)
    processes = max(number_in_environment("WORLD_SIZE", 1, 100_000), 1)
    compute = Compute(device="cpu", threads=1 if processes > 1 else 0)
    settings = PRETRAINING.override(
        steps=steps or PRETRAINING.steps, batch=PRETRAINING.batch // processes
    )
    model, processor = build(settings.seed)
    log = metrics_callback(out, "sft", "loss", settings.steps)
    checkpoints = out / "tiny-checkpoints"
    trainer = run_sft(model, processor, pretraining_rows, checkpoints, settings, compute, [log])
    if trainer.is_world_process_zero():
        save(trainer.accelerator.unwrap_model(trainer.model), processor, model_folder)
        TrainedFor(TASKS).write(model_folder)
    trainer.accelerator.wait_for_everyone()
    return model_folder
