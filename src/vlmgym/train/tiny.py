"""The embedded tiny VLM: a LLaVA (SigLIP tower, Qwen2 language model) of about two and a half million weights.

One picture patch is one cell of a 4x4 board under the look ``tiny``; tile names and coordinates are single tokens. It is
loaded, trained and saved by the same code as any other image-text model of Transformers.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from vlmgym import prompt
from vlmgym.core import Game, State, need
from vlmgym.games.tiles import COLOURS, FORMS
from vlmgym.players.base import player_rng
from vlmgym.players.teacher import Teacher
from vlmgym.tasks import Task
from vlmgym.train.data import rows
from vlmgym.train.model import TRAINING, Compute, load
from vlmgym.train.sft import SftSettings, run_sft

PATCH = 28
SIDE = 4 * PATCH
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|image_pad|>")
TEMPLATE = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' }}{% if m.content is string %}{{ m.content }}{% else %}"
    "{% for c in m.content %}{% if c.type == 'image' %}{{ '<|image_pad|>' }}{% elif 'text' in c %}{{ c.text }}{% endif %}"
    "{% endfor %}{% endif %}{{ '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
WORDS = (
    "2048 ShisenSho Swap user assistant up right down left no so joined blocked differ empty line same 0x 4x4 3x3 2x2 6x6 "
    "I will try this one it looks good let me move guess"
)


def build_tokenizer() -> Any:
    """A byte-level BPE tokenizer (any text can be written) with the words, tiles and cells of the games as single tokens."""
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tok = Tokenizer(models.BPE())
    words = pre_tokenizers.Split(Regex(r" ?[A-Za-z]+| ?[0-9]+|[^\sA-Za-z0-9]|\s"), "isolated")
    tok.pre_tokenizer = pre_tokenizers.Sequence([words, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tok.decoder = decoders.ByteLevel()
    numbers = [str(2**e) for e in range(1, 18)] + [str(n) for n in range(0, 65)]
    corpus = [f"{w} {w} {w}" for w in [*WORDS.split(), *numbers] for _ in range(4)]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=900, special_tokens=list(SPECIAL), initial_alphabet=alphabet, show_progress=False)
    tok.train_from_iterator(corpus, trainer)
    whole = [f"<{s}{b}>" for b in ("perception", "think", "answer") for s in ("", "/")]
    whole += [f"{colour} {shape}" for colour in COLOURS[:6] for shape in FORMS["shapes"][:6]]
    whole += [f"({r}, {c})" for r in range(4) for c in range(4)]
    tok.add_tokens([AddedToken(w, special=False, normalized=False) for w in whole])
    return PreTrainedTokenizerFast(
        tokenizer_object=tok,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        padding_side="left",
        model_max_length=4096,
    )


def build(seed: int = 0, hidden: int = 192, layers: int = 4, vision_hidden: int = 128, vision_layers: int = 2) -> tuple[Any, Any]:
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
    with torch.no_grad():  # at the stock scale of 0.02 the picture features of different boards hardly differ
        for name, weight in model.named_parameters():
            if weight.dim() > 1 and ("vision" in name or "projector" in name):
                weight.mul_(4.0)
    model.generation_config.eos_token_id = ids("<|im_end|>")
    model.generation_config.pad_token_id = ids("<|endoftext|>")
    return model, processor


def save(model: Any, processor: Any, out: Path) -> None:
    """Write model (as float16, to stay small) and processor in the format of ``save_pretrained``."""
    import copy

    import torch

    copy.deepcopy(model).to(torch.float16).save_pretrained(out)
    processor.save_pretrained(out)


# ---------------------------------------------------------------------------------------------------- pretraining
TASKS = (
    Task(game="2048", level="tiny", look="tiny", prompt="brief", walk_min=4, walk_max=60, weight=2.0),
    Task(game="ShisenSho", level="tiny", look="tiny", prompt="brief", walk_min=0, walk_max=5, walk_legal=True),
    Task(game="Swap", level="tiny", look="tiny", prompt="brief", walk_min=0, walk_max=3, walk_legal=True),
)
"""The games of the first stage of pretraining."""
PHOTOS = Task(
    game="ShisenShoPhotos", level="tiny", look="tiny", prompt="brief", walk_min=0, walk_max=5, walk_legal=True, weight=3.0
)
"""Joins them in the second stage: reading handwritten digits."""

GUESSES = ("I will try this one", "it looks good", "let me try this move", "I guess")


class Beginner(Teacher):
    """The demonstrator of pretraining: describes the board truly, mostly guesses, sometimes weighs the moves first.

    Args:
        care: share of replies that weigh the moves and take the oracle's; the others give a random well-formed answer.
        salt: seed of the choices.
    """

    def __init__(self, care: float, salt: int = 1) -> None:
        super().__init__(error=0.0, salt=salt)
        self.care, self.name = care, "beginner"

    def reply(self, game: Game, state: State) -> list[str]:
        """See :class:`vlmgym.players.base.Player`."""
        careful, boards, out = super().reply(game, state), prompt.truth(game, state), []
        for row, text in enumerate(careful):
            rng = player_rng(self.salt, state, row)
            if rng.random() >= self.care:
                answer = game.encode(state.level, int(rng.integers(game.n_actions(state.level))))
                text = prompt.write_reply(boards[row], GUESSES[rng.integers(len(GUESSES))], answer)
            out.append(text)
        return out


CARE = (0.7, 0.15)
"""Share of careful replies in the first part of pretraining and in the rest: it learns to weigh moves, then mostly not to."""
CARE_CHANGE = 0.85
"""Share of the rows after which the second of :data:`CARE` holds."""


def pretraining_rows(
    total: int, chunk: int = 64, tasks: Sequence[Task] = TASKS, care: tuple[float, float] = CARE
) -> Iterator[dict[str, Any]]:
    """A repeatable stream of rows, the games mixed by their weights.

    Args:
        total: rows of the stage; the stream goes on after them with ``care`` unchanged.
        chunk: states drawn at once for a game of weight 1.
        tasks: the games.
        care: see :data:`CARE`.
    """
    number = served = 0
    while True:
        player = Beginner(care[served >= CARE_CHANGE * total])
        lists = []
        for task in tasks:
            count = round(chunk * task.weight)
            state = task.states("pretrain", count, number * count)
            lists.append(rows(task, state, player.reply(task.rules()[0], state)))
        places = sorted(((i + 0.5) / len(part), k, i) for k, part in enumerate(lists) for i in range(len(part)))
        yield from (lists[k][i] for _, k, i in places)
        served += len(places)
        number += 1


def pretrain(
    target: Path, settings: SftSettings, compute: Compute, callbacks: Sequence[Any] = (), start: Path | None = None
) -> None:
    """One stage of pretraining: the first from a seed, the second (with the photographs) from the first one's result.

    Under ``torchrun`` each process takes its share of every batch. A stopped run continues from its last checkpoint, which
    lies beside the result.

    Args:
        target: folder of the result.
        settings: hyperparameters; ``steps`` must be given.
        compute: device and precision.
        callbacks: further Transformers callbacks.
        start: result of the first stage; None = this is the first stage.
    """
    model, processor = build(settings.seed) if start is None else load(str(start))
    world = int(os.environ.get("WORLD_SIZE", "1"))
    total = settings.steps * settings.batch * settings.accumulate * world
    stream = partial(pretraining_rows, total)
    if start is not None:
        stream = partial(stream, tasks=(*TASKS, PHOTOS), care=(CARE[1], CARE[1]))
    checkpoints = target.with_name(target.name + "-checkpoints")
    trainer = run_sft(model, processor, stream, checkpoints, settings, compute, callbacks)
    if trainer.is_world_process_zero():
        save(trainer.accelerator.unwrap_model(trainer.model), processor, target)
    trainer.accelerator.wait_for_everyone()


PRETRAINING = SftSettings(steps=2100, batch=32, lr=1e-3, warmup=60, save_every=100)
PRETRAINING_PHOTOS = SftSettings(steps=700, batch=32, lr=4e-4, warmup=40, save_every=100)
"""Hyperparameters of the two stages of the committed checkpoint (two processes of batch 16 under ``torchrun``)."""


def pretrain_command(out: Path, steps: int = 0) -> Path:
    """Rebuild the embedded model with a progress bar; returns its folder.

    Args:
        out: folder of checkpoints, metrics and result.
        steps: optimiser steps of each stage; 0 = as for the committed checkpoint.
    """
    from vlmgym.train.recipe import metrics_callback

    need("train", *TRAINING)
    world = int(os.environ.get("WORLD_SIZE", "1"))
    out.mkdir(parents=True, exist_ok=True)
    compute = Compute(device="cpu", threads=1 if world > 1 else 0)
    start: Path | None = None
    for stage, whole, name in (("sft", PRETRAINING, "games"), ("photos", PRETRAINING_PHOTOS, "tiny")):
        settings = whole.override(steps=steps or whole.steps, batch=whole.batch // world)
        if not (out / name / "config.json").exists():
            pretrain(out / name, settings, compute, [metrics_callback(out, stage, "loss", settings.steps)], start)
        start = out / name
    return out / "tiny"
