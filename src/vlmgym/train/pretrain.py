"""The embedded tiny VLM: a LLaVA (SigLIP tower, Qwen2 language model) of about two and a half
million weights.

One picture patch is one cell of a 4x4 board under the look ``tiny``; tile names and coordinates are
single tokens. It is loaded, trained and saved by the same code as any other image-text model of
Transformers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vlmgym.core import Game, State, need
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
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|image_pad|>")
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
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tok = Tokenizer(models.BPE())
    words = pre_tokenizers.Split(Regex(r" ?[A-Za-z]+| ?[0-9]+|[^\sA-Za-z0-9]|\s"), "isolated")
    tok.pre_tokenizer = pre_tokenizers.Sequence(
        [words, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    numbers = [str(2**e) for e in range(1, 18)] + [str(n) for n in range(0, 65)]
    corpus = [f"{w} {w} {w}" for w in [*WORDS.split(), *numbers] for _ in range(4)]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=900, special_tokens=list(SPECIAL), initial_alphabet=alphabet, show_progress=False
    )
    tok.train_from_iterator(corpus, trainer)
    whole = [f"<{s}{b}>" for b in ("perception", "think", "answer") for s in ("", "/")]
    names = [f"{colour} {shape}" for colour in COLOURS[:6] for shape in FORMS["shapes"][:6]]
    cells = [f"({r}, {c})" for r in range(4) for c in range(4)]
    tok.add_tokens([AddedToken(w, special=False, normalized=False) for w in whole])
    # The same token wherever a tile or a cell stands, whatever blanks are before it: equal things
    # are found by equality.
    tok.add_tokens(
        [AddedToken(w, special=False, normalized=False, lstrip=True) for w in (*names, *cells)]
    )
    blank = decoders.Replace(Regex("^(?=" + "|".join(map(re.escape, (*names, *cells))) + ")"), " ")
    tok.decoder = decoders.Sequence([blank, decoders.ByteLevel()])
    return PreTrainedTokenizerFast(
        tokenizer_object=tok,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        padding_side="left",
        model_max_length=4096,
    )


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
    tok = build_tokenizer()
    ids = tok.convert_tokens_to_ids
    image_processor = hf.SiglipImageProcessor(size={"height": SIDE, "width": SIDE})
    processor = hf.LlavaProcessor(
        image_processor=image_processor,
        tokenizer=tok,
        patch_size=PATCH,
        chat_template=TEMPLATE,
        vision_feature_select_strategy="full",
        image_token="<|image_pad|>",
    )
    config = hf.LlavaConfig(
        vision_config=hf.SiglipVisionConfig(
            vision_use_head=False,
            hidden_size=vision_hidden,
            intermediate_size=3 * vision_hidden,
            num_hidden_layers=vision_layers,
            num_attention_heads=4,
            image_size=SIDE,
            patch_size=PATCH,
        ),
        text_config=hf.Qwen2Config(
            vocab_size=len(tok),
            hidden_size=hidden,
            intermediate_size=3 * hidden,
            num_hidden_layers=layers,
            num_attention_heads=4,
            num_key_value_heads=4,
            max_position_embeddings=4096,
            tie_word_embeddings=True,
            bos_token_id=None,
            eos_token_id=ids("<|im_end|>"),
            pad_token_id=ids("<|endoftext|>"),
        ),
        image_token_index=ids("<|image_pad|>"),
        vision_feature_select_strategy="full",
        vision_feature_layer=-1,
        image_seq_length=(SIDE // PATCH) ** 2,
        tie_word_embeddings=True,
    )
    model = hf.LlavaForConditionalGeneration(config).to(torch.float32)
    # at the stock scale of 0.02 the picture features of different boards hardly differ
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.dim() > 1 and ("vision" in name or "projector" in name):
                weight.mul_(4.0)
        # mimetic: a token attends to its equals (Trockman & Kolter, 2305.09828)
        for layer in model.model.language_model.layers:
            attention = layer.self_attn
            attention.q_proj.weight.mul_(4.0)
            attention.k_proj.weight.copy_(attention.q_proj.weight)
    model.generation_config.eos_token_id = ids("<|im_end|>")
    model.generation_config.pad_token_id = ids("<|endoftext|>")
    return model, processor


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
ASKED, COMPARED = 0.5, 0.15
"""Shares of the rows that ask what moves do (style ``"moves"``) and whether tiles are the same; the
rest ask for a move.
"""


def comparisons(game: Game, state: State, salt: int = 2, pairs: int = 8) -> list[str]:
    """For each state, its board and pairs of cells with their tiles and whether these are the same,
    half of them if possible.
    """
    out = []
    for row, begun in enumerate(prompt.prefills(game, state, "brief")):
        scene = game.scene(state[row])
        rng = player_rng(salt, state, row)
        board = scene.symbols[0]
        cells = rng.permutation(np.argwhere(board > 0))
        said = []
        for first in cells[:pairs]:
            equal = board == board[tuple(first)]
            unlike = (board > 0) & ~equal
            equal[tuple(first)] = False
            same = equal.any() and (rng.random() < 0.5 or not unlike.any())
            others = np.argwhere(equal if same else unlike)
            if not len(others):
                continue
            second = others[rng.integers(len(others))]
            words = [
                w
                for cell in (first, second)
                for w in (write_cell(*cell), scene.names[board[tuple(cell)]])
            ]
            said.append(" ".join([*words, "same" if same else "no"]))
        out.append(begun + BLOCKS.write(BLOCKS.think, "; ".join(said)))
    return out


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
    number = 0
    while True:
        lists = []
        for task in tasks:
            count = round(chunk * task.weight)
            state = task.states("pretrain", count, number * count, hopeless=True)
            game = task.game
            asked = round(count * ASKED)
            compared = round(count * (ASKED + COMPARED))
            for style, part in (
                ("moves", state[:asked]),
                ("same", state[asked:compared]),
                (task.prompt, state[compared:]),
            ):
                replies = (
                    comparisons(game, part)
                    if style == "same"
                    else Beginner(style == "moves").reply(game, part)
                )
                asks = rows(
                    task.override(prompt="brief" if style == "same" else style), part, replies
                )
                if style == "same":
                    question = prompt.messages(
                        f"{prompt.prompt_text(game, state.level, 'brief')} same?"
                    )
                    asks = [{**ask, "prompt": question} for ask in asks]
                lists.append(asks)
        places = sorted(
            ((i + 0.5) / len(part), k, i) for k, part in enumerate(lists) for i in range(len(part))
        )
        mixed = [lists[k][i] for _, k, i in places]
        for start in range(0, len(mixed), near):
            yield from sorted(
                mixed[start : start + near],
                key=lambda row: len(row["completion"][0]["content"][0]["text"]),
            )
        number += 1


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
    world = max(number_in_environment("WORLD_SIZE", 1, 100_000), 1)
    out.mkdir(parents=True, exist_ok=True)
    compute = Compute(device="cpu", threads=1 if world > 1 else 0)
    settings = PRETRAINING.override(
        steps=steps or PRETRAINING.steps, batch=PRETRAINING.batch // world
    )
    if not (out / "tiny" / "config.json").exists():
        model, processor = build(settings.seed)
        callbacks = [metrics_callback(out, "sft", "loss", settings.steps)]
        trainer = run_sft(
            model,
            processor,
            pretraining_rows,
            out / "tiny-checkpoints",
            settings,
            compute,
            callbacks,
        )
        if trainer.is_world_process_zero():
            save(trainer.accelerator.unwrap_model(trainer.model), processor, out / "tiny")
            TrainedFor(TASKS).write(out / "tiny")
        trainer.accelerator.wait_for_everyone()
    return out / "tiny"
