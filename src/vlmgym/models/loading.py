"""Loading any image-text model of Transformers, the embedded one included."""

from __future__ import annotations

import hashlib
import importlib.resources
import importlib.util
import os
import re
from functools import lru_cache
from pathlib import Path
from typing import Any

from vlmgym.core import ConfigError, need
from vlmgym.core.files import digest_of

TRAINING = ("torch", "transformers", "trl", "accelerate", "datasets", "tensorboard", "filelock")
"""The packages of the extra ``train``."""
TINY = "tiny"
"""The name of the embedded model."""


def model_path(name: str) -> str:
    """The path of a model: the embedded one for ``"tiny"``, a folder, or the name of one of the hub
    (``OWNER/NAME@REVISION``).

    Raises:
        ConfigError: the name is, or looks like, a folder without a saved model.
    """
    if name == TINY:
        return str(importlib.resources.files("vlmgym") / "models" / "tiny")
    try:
        path = Path(name).expanduser()
    except RuntimeError:  # this user has no home
        path = Path(name)
    if os.path.isdir(path) or name.startswith((".", "/", "~")) or name.count("/") > 1:
        if not os.path.isfile(path / "config.json"):
            raise ConfigError("model", name, MODELS)
        return str(path)
    if not re.fullmatch(r"[\w.-]+(/[\w.-]+)?(@[\w./-]+)?", name, re.ASCII):
        raise ConfigError("model", name, MODELS)
    return name


MODELS = (
    "'tiny', a folder with a saved model (config.json), or the name of one of the hub: NAME "
    "or NAME@REVISION"
)


def model_digest(name: str) -> str:
    """What tells a model from another one whatever it is called: the content of its files, or the
    commit of the hub.

    Args:
        name: see :func:`model_path`; one of the hub has been loaded before.

    Returns:
        For a folder, a BLAKE2 digest of all files that are loaded from it; else ``commit:`` and the
        commit of the hub.

    Raises:
        ConfigError: there is no such model, or it was never loaded from the hub.
    """
    path = model_path(name)
    if os.path.isdir(path):
        files = []
        for file in sorted(Path(path).iterdir()):
            if file.suffix in LOADED and file.name not in NOT_LOADED:
                status = file.stat()
                files.append((file, status.st_size, status.st_mtime_ns))
        return _digest(tuple(files))
    from huggingface_hub import try_to_load_from_cache

    hub, _, revision = path.partition("@")
    config = try_to_load_from_cache(hub, "config.json", revision=revision or None)
    if not isinstance(config, str):
        raise ConfigError("model", name, "a model of the hub that was loaded before")
    return f"commit:{Path(config).parent.name}"


LOADED = (".json", ".safetensors", ".bin", ".jinja", ".model", ".txt", ".tiktoken")
"""What the files end in that Transformers reads from the folder of a model."""
SEAL = "checksums.json"
"""The last file of a checkpoint: the BLAKE2 digest of every other one.

Without it a checkpoint does not count.
"""
NOT_LOADED = ("training_args.bin", "vlmgym.json", SEAL)


@lru_cache(64)
def _digest(files: tuple[tuple[Path, int, int], ...]) -> str:
    """The digest of files and their names; size and time tell when it must be made anew."""
    digest = hashlib.blake2b(digest_size=16)
    for path, _, _ in files:
        digest.update(f"{path.name}\0{digest_of(path)}\n".encode())
    return digest.hexdigest()


def load_config(name: str) -> Any:
    """The configuration of a model.

    Raises:
        ConfigError: there is no such model, or it cannot be read; code that lies beside it is never
            run.
    """
    need("train", "transformers")
    from transformers import AutoConfig

    return _loaded(AutoConfig, name)


def load_processor(name: str) -> Any:
    """The processor of a model: its tokenizer and what it does with pictures.

    Raises:
        ConfigError: as :func:`load_config`, or the model takes no pictures.
    """
    need("train", "transformers")
    from transformers import AutoProcessor

    processor = _loaded(AutoProcessor, name, padding_side="left")
    for attribute in ("tokenizer", "image_processor"):
        if getattr(processor, attribute, None) is None:
            allowed = f"a model that reads texts and pictures (its processor has no {attribute})"
            raise ConfigError("model", name, allowed)
    return processor


def _loaded(auto_class: Any, name: str, **settings: Any) -> Any:
    """One of the AutoClasses' ``from_pretrained``, with one sentence for whatever is wrong."""
    path = model_path(name)
    hub, _, revision = (path, "", "") if os.path.isdir(path) else path.partition("@")
    try:
        return auto_class.from_pretrained(
            hub, revision=revision or "main", trust_remote_code=False, **settings
        )
    # Transformers, the hub's client, safetensors and tokenizers have their own classes
    except Exception as error:
        text = first_words(error)
        if "trust_remote_code" in text:
            text = "it needs code that lies beside it, which is never run"
        raise ConfigError("model", name, f"{MODELS}; this one cannot be loaded: {text}") from error


def first_words(error: BaseException) -> str:
    """The first words of a foreign error, on one line."""
    kind = type(error).__name__
    text = " ".join(str(error).split()) or kind
    if isinstance(error, LookupError | AttributeError):
        return f"{kind}: {text[:300]}"
    return text[:300]


def load(
    name: str, dtype: str = "float32", device: str = "cpu", attention: str = "auto"
) -> tuple[Any, Any]:
    """Model and processor, through the AutoClasses; code that lies beside a model is never run.

    Args:
        name: see :func:`model_path`.
        dtype: ``"float32"``, ``"bfloat16"`` or ``"float16"``.
        device: where the model is put; ``"auto"``: a GPU if there is one.
        attention: Transformers' ``attn_implementation``; ``"auto"``: its own choice.

    Raises:
        ConfigError: another dtype, or the model cannot be loaded whole; the message says why.
        MissingExtra: torch or transformers are not installed.
    """
    if dtype not in ("float32", "bfloat16", "float16"):
        raise ConfigError("dtype", dtype, "float32, bfloat16 or float16")
    need("train", "torch", "transformers")
    import torch
    from transformers import AutoModelForImageTextToText
    from transformers.utils import logging as hf_logging

    hf_logging.set_verbosity_error()
    hf_logging.disable_progress_bar()
    if os.path.isdir(model_path(name)):
        os.environ.setdefault("HF_HUB_OFFLINE", "1")
    load_config(name)  # first, as its errors say what is wrong with the folder
    processor = load_processor(name)
    options = {} if attention == "auto" else {"attn_implementation": attention}
    model, loading_info = _loaded(
        AutoModelForImageTextToText,
        name,
        dtype=getattr(torch, dtype),
        output_loading_info=True,
        **options,
    )
    missing = sorted(loading_info["missing_keys"])
    if missing:  # Transformers fills them with random numbers
        raise ConfigError(
            "model",
            name,
            f"a folder with all weights of a {type(model).__name__} ({len(missing)} "
            f"lack, as {missing[0]})",
        )
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    return model.to(device), processor


def image_token(model: Any) -> int:
    """The id that stands for a piece of a picture in prompts."""
    config = model.config
    token = getattr(config, "image_token_id", None)
    return int(config.image_token_index if token is None else token)


def banned_tokens(model: Any, processor: Any) -> list[int]:
    """Ids that must never be sampled: image, video and padding tokens (sampling one breaks the next
    forward pass).
    """
    config = model.config
    tokenizer = processor.tokenizer
    names = (
        "image_token_id",
        "image_token_index",
        "video_token_id",
        "vision_start_token_id",
        "vision_end_token_id",
    )
    tokens = {getattr(config, name, None) for name in names}
    if tokenizer.pad_token_id != tokenizer.eos_token_id:
        tokens.add(tokenizer.pad_token_id)
    return sorted(token for token in tokens if isinstance(token, int) and token >= 0)


VISION = ("visual", "vision_tower", "vision_model")
"""What families call their vision tower."""


def freeze_vision(model: Any) -> int:
    """Keep the vision tower as it is; what joins it to the language model goes on learning.

    Returns:
        The number of weights that are frozen.

    Raises:
        ConfigError: the model has no module of the usual names.
    """
    towers = [module for name, module in model.named_modules() if name.rpartition(".")[2] in VISION]
    if not towers:
        allowed = f"true: no {', '.join(VISION)} in {type(model).__name__}"
        raise ConfigError("compute.train_vision", False, allowed)
    for tower in towers:
        for parameter in tower.parameters():
            parameter.requires_grad_(False)
    return sum(parameter.numel() for parameter in model.parameters() if not parameter.requires_grad)


def restore(model: Any, checkpoint: str) -> None:
    """Load the weights of a checkpoint, all of them.

    The Trainer's own loading looks for the names in memory among those on disk. Architectures that
    are renamed on saving (LLaVA, Qwen2.5-VL) match next to nothing there; it warns and trains on
    from the start model.
    """
    saved = type(model).from_pretrained(checkpoint, dtype=model.dtype, trust_remote_code=False)
    model.load_state_dict(saved.state_dict())


def end_processes() -> None:
    """Close the group of the processes that train together, if any: PyTorch's threads may abort a
    process that leaves it open.

    The last thing that a process does; nothing can be trained afterwards.
    """
    from torch import distributed

    if distributed.is_available() and distributed.is_initialized():
        distributed.destroy_process_group()
