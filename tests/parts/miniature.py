"""Randomly initialised miniatures of model families, built offline: the real classes, a few
thousand weights.
"""

from pathlib import Path

SPECIAL = [
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|image_pad|>",
    "<|video_pad|>",
]
PICTURE = "<|vision_start|><|image_pad|><|vision_end|>"
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{% if m.content is string %}{{ m.content "
    "}}{% else %}"
    "{% for c in m.content %}{% if c.type == 'image' %}PICTURE"
    "{% elif 'text' in c %}{{ c.text }}{% endif %}{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
_KEPT = []


def allow_torchvision_beside_cpu_torch() -> None:
    """PyPI's torchvision wheel cannot load its operators beside a CPU build of torch; declaring two
    schemas lets it import.

    Called before anything of Transformers, which looks once whether torchvision is there.
    """
    import torch

    if torch.version.cuda is not None or _KEPT:
        return
    library = torch.library.Library("torchvision", "FRAGMENT")
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _KEPT.append(library)
    import torchvision  # noqa: F401


def _tokenizer(more=(), **named):
    import transformers as hf
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    base = Tokenizer(models.BPE())
    base.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    base.decoder = decoders.ByteLevel()
    base.train_from_iterator(
        [
            "the board as you see it <perception></perception> <think></think> <answer></answer> "
            "red "
            "circle 2048 | 0 2 4 8 16"
        ],
        trainers.BpeTrainer(
            vocab_size=340,
            special_tokens=[*SPECIAL, *more],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    return hf.PreTrainedTokenizerFast(
        tokenizer_object=base,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        padding_side="left",
        model_max_length=4096,
        **({"extra_special_tokens": named} if named else {}),
    )


def _text(tokenizer, hidden):
    return {
        "vocab_size": len(tokenizer),
        "hidden_size": hidden,
        "intermediate_size": 2 * hidden,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 4096,
        "tie_word_embeddings": False,
        "bos_token_id": None,
        "eos_token_id": tokenizer.convert_tokens_to_ids("<|im_end|>"),
        "pad_token_id": tokenizer.convert_tokens_to_ids("<|endoftext|>"),
    }


ROPE = {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [2, 2, 2]}
VIDEO_PROCESSORS = {"Qwen2_5_VL": "Qwen2VLVideoProcessor", "Qwen3VL": "Qwen3VLVideoProcessor"}
SIGLIP = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
}


def _qwen2_5_vl(hf, hidden):
    text = {"rope_parameters": ROPE}
    vision = {"out_hidden_size": hidden, "window_size": 56, "fullatt_block_indexes": [1]}
    return _qwen(hf, hidden, "Qwen2_5_VL", 14, text, vision)


def _qwen3_vl(hf, hidden):
    text = {"head_dim": hidden // 4, "rope_parameters": {**ROPE, "mrope_interleaved": True}}
    vision = {
        "out_hidden_size": hidden,
        "num_position_embeddings": 64,
        "deepstack_visual_indexes": [0],
    }
    return _qwen(hf, hidden, "Qwen3VL", 16, text, vision)


def _qwen(hf, hidden, family, patch, text, vision):
    tokenizer = _tokenizer()
    ids = tokenizer.convert_tokens_to_ids
    size = {"shortest_edge": (4 * patch) ** 2, "longest_edge": 448 * 448}
    processor = getattr(hf, f"{family}Processor")(
        image_processor=hf.Qwen2VLImageProcessor(
            patch_size=patch, merge_size=2, temporal_patch_size=2, size=size
        ),
        tokenizer=tokenizer,
        video_processor=getattr(hf, VIDEO_PROCESSORS[family])(size=size),
        chat_template=TEMPLATE.replace("PICTURE", PICTURE),
    )
    config = getattr(hf, f"{family}Config")(
        text_config={**_text(tokenizer, hidden), **text},
        vision_config={
            "depth": 2,
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_heads": 4,
            "patch_size": patch,
            "spatial_merge_size": 2,
            "temporal_patch_size": 2,
            **vision,
        },
        image_token_id=ids("<|image_pad|>"),
        video_token_id=ids("<|video_pad|>"),
        vision_start_token_id=ids("<|vision_start|>"),
        vision_end_token_id=ids("<|vision_end|>"),
        tie_word_embeddings=False,
    )
    return getattr(hf, f"{family}ForConditionalGeneration")(config), processor


def _gemma3(hf, hidden):
    marks = ("<start_of_image>", "<end_of_image>")
    tokenizer = _tokenizer(
        marks, boi_token=marks[0], eoi_token=marks[1], image_token="<|image_pad|>"
    )
    ids = tokenizer.convert_tokens_to_ids
    processor = hf.Gemma3Processor(
        image_processor=hf.Gemma3ImageProcessor(size={"height": 56, "width": 56}),
        tokenizer=tokenizer,
        image_seq_length=4,
        chat_template=TEMPLATE.replace("PICTURE", marks[0]),
    )
    config = hf.Gemma3Config(
        text_config={**_text(tokenizer, hidden), "head_dim": hidden // 4, "sliding_window": 512},
        vision_config={**SIGLIP, "image_size": 56, "patch_size": 14, "vision_use_head": False},
        mm_tokens_per_image=4,
        boi_token_index=ids(marks[0]),
        eoi_token_index=ids(marks[1]),
        image_token_index=ids("<|image_pad|>"),
        tie_word_embeddings=False,
    )
    return hf.Gemma3ForConditionalGeneration(config), processor


def _idefics3(hf, hidden, family="Idefics3"):
    marks = ("<fake_token_around_image>", "<image>", "<global-img>", "<end_of_utterance>")
    tokenizer = _tokenizer(marks)
    video = (
        {"video_processor": hf.SmolVLMVideoProcessor(size={"longest_edge": 56})}
        if family == "SmolVLM"
        else {}
    )
    processor = getattr(hf, f"{family}Processor")(
        image_processor=getattr(hf, f"{family}ImageProcessor")(
            size={"longest_edge": 56}, max_image_size={"longest_edge": 56}, do_image_splitting=False
        ),
        tokenizer=tokenizer,
        image_seq_len=4,
        chat_template=TEMPLATE.replace("PICTURE", marks[1]),
        **video,
    )
    config = getattr(hf, f"{family}Config")(
        text_config={**_text(tokenizer, hidden), "model_type": "llama"},
        vision_config={**SIGLIP, "image_size": 56, "patch_size": 14},
        scale_factor=2,
        image_token_id=tokenizer.convert_tokens_to_ids(marks[1]),
        tie_word_embeddings=False,
    )
    return getattr(hf, f"{family}ForConditionalGeneration")(config), processor


def _llava(hf, hidden):
    return _small()


def _small():
    from vlmgym.train import embedded

    return embedded.build(0, hidden=32, layers=1, vision_hidden=32, vision_layers=1)


def save_small(out: Path) -> Path:
    """Write a model of the embedded one's architecture, of the smallest size, untrained."""
    from vlmgym.train import embedded

    embedded.save(*_small(), out)
    return out


FAMILIES = {
    "llava": _llava,
    "qwen2_5_vl": _qwen2_5_vl,
    "qwen3_vl": _qwen3_vl,
    "gemma3": _gemma3,
    "idefics3": _idefics3,
}
"""SmolVLM is Idefics3 with a video processor, which wants a package more (num2words)."""


def save(family: str, out: Path, hidden: int = 48) -> Path:
    """Write model and processor.

    Qwen's processors leave frames of 56 to 448 pixels in multiples of 28 (2.5) or 32 (3) alone.
    """
    import transformers as hf

    hf.set_seed(0)
    model, processor = FAMILIES[family](hf, hidden)
    end, pad = processor.tokenizer.eos_token_id, processor.tokenizer.pad_token_id
    model.generation_config.eos_token_id, model.generation_config.pad_token_id = end, pad
    model.float().save_pretrained(out)
    processor.save_pretrained(out)
    return out


def save_qwen2_5_vl(out: Path, hidden: int = 48) -> Path:
    """Write the miniature of Qwen2.5-VL."""
    return save("qwen2_5_vl", out, hidden)
