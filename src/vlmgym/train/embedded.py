"""The embedded tiny VLM: a LLaVA (SigLIP tower, Qwen2 language model) of about two and a half
million weights.

One picture patch is one cell of a 4x4 board under the look ``tiny``; tile names and coordinates are
single tokens. It is loaded, trained and saved by the same code as any other image-text model of
Transformers.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from vlmgym.games.parts.action_texts import write_cell
from vlmgym.games.parts.tile_kinds import COLOURS, FORMS

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
