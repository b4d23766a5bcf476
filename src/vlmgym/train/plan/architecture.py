"""The sizes of a model, counted on its real classes without allocating it.

Activations follow Korthikanti et al. 2022 ("Reducing Activation Recomputation in Large Transformer
Models"), see :meth:`Stack.saved`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

from vlmgym.core import ConfigError, need
from vlmgym.core.files import read_json
from vlmgym.dialogue import prompt
from vlmgym.models.loading import (
    VISION,
    first_words,
    freeze_vision,
    load_config,
)
from vlmgym.render.frames import frame_size
from vlmgym.train.compute import Lora
from vlmgym.train.recipe import Recipe

LETTERS = 3.0
"""Characters of a prompt to a token, at least, where there is no tokenizer to ask."""
CONNECTORS = ("merger", "deepstack_merger_list", "multi_modal_projector", "connector", "projector")
"""What families call that which joins the vision tower to the language model."""


@dataclass(frozen=True)
class Stack:
    """A pile of equal transformer layers."""

    layers: int
    hidden: int
    inner: int  # width of the feed-forward part
    heads: int
    kv_heads: int
    head_dim: int

    def saved(self, compute: int, residual: int, scores: int = 0) -> float:
        """Bytes that one layer keeps for one token until the backward pass, without gradient
        checkpointing.

        Counted as by Korthikanti et al. (section 4.1: an operation keeps its inputs), for layers as
        they are now: gated feed-forward (four tensors of its width instead of the paper's 19 bytes
        by hidden size), grouped keys and values, norms in float32, no dropout, attention that keeps
        no scores. With bfloat16 that is 17 h + 14 q + 8 kv + 8 f bytes, and 10 h more where
        weights, and so the residual stream, are float32. The coefficients are those of Qwen3-VL,
        read off PyTorch's saved tensors; Qwen2.5-VL, which does not normalise queries and keys,
        keeps 7 q + 6 kv less.

        Args:
            compute: bytes of a number in matrix products.
            residual: bytes of a number between layers.
            scores: tokens attended to, where attention is eager and keeps its scores: the paper's 5
                a s.
        """
        queries = self.heads * self.head_dim
        keys_values = self.kv_heads * self.head_dim
        numbers = (
            17 * self.hidden
            + 14 * queries
            + 8 * keys_values
            + 8 * self.inner
            + 5 * self.heads * scores
        )
        in_float32 = 10 * self.hidden if residual > compute else 0
        return numbers * compute / 2 + in_float32

    def passing(self, compute: int) -> float:
        """Bytes for one token while a layer computes without keeping anything: gate, up, their
        product, and the stream.
        """
        return compute * (3 * self.inner + 4 * self.hidden)


@dataclass(frozen=True)
class Architecture:
    """The sizes of a model, counted on its real classes without allocating it."""

    name: str
    family: str
    # parameters of the vision tower, connector, language model, embeddings (head included)
    parts: Mapping[str, int]
    unfrozen: int  # parameters that learn where the vision tower does not
    # inputs + outputs of all layers that LoRA adapts: adapters have rank times as many parameters
    adapted: int
    text: Stack
    vision: Stack
    vocabulary: int
    positions: int  # tokens that a sequence may have
    patch: int  # pixels of a patch's side
    merge: int  # patches of the side of what becomes one token
    frames: int  # images in which a patch of one picture is stored (2 where the model takes videos)
    side: int  # pixels to which every picture is resized; 0 = any size
    # fewest and most pixels that are not resized, where that is known
    pixels: tuple[int, int] | None

    @property
    def parameters(self) -> int:
        """All of them."""
        return sum(self.parts.values())

    @property
    def picture_bytes(self) -> int:
        """Bytes of a patch as the processor gives it: float32, three colours."""
        return 4 * 3 * self.frames * self.patch**2

    def patches(self, height: int, width: int) -> int:
        """Patches of a picture."""
        if self.side:
            return (self.side // self.patch) ** 2
        return -(-height // self.patch) * -(-width // self.patch)

    def tokens(self, height: int, width: int) -> int:
        """Tokens of a picture in the prompt."""
        return self.patches(height, width) // self.merge**2

    def resizes(self, height: int, width: int) -> bool | None:
        """Whether the processor resizes pictures of this size; None where it is not known."""
        if self.side:
            return (height, width) != (self.side, self.side)
        if self.pixels is None:
            return None
        unit = self.patch * self.merge
        least, most = self.pixels
        fits = least <= height * width <= most
        return bool(height % unit or width % unit or not fits)

    def positions_of(self, recipe: Recipe) -> tuple[int, int]:
        """The longest prompt of a recipe: patches of its picture, and tokens of picture and text
        (estimated, not too low).
        """
        most_patches = 0
        most_tokens = 0
        for task in recipe.tasks:
            height, width = frame_size(task.game, task.level, task.look)
            text = prompt.prompt_text(task.game, task.level, task.prompt, blocks=task.blocks)
            of_text = round(len(text) / LETTERS) + 20
            most_patches = max(most_patches, self.patches(height, width))
            most_tokens = max(most_tokens, self.tokens(height, width) + of_text)
        return most_patches, most_tokens


def known_models() -> dict[str, dict[str, Any]]:
    """Models whose sizes come with the library, by hub name."""
    with resources.as_file(resources.files("vlmgym") / "models" / "known") as folder:
        models = [read_json(path) for path in sorted(folder.glob("*.json"))]
    return {values["model"]: values for values in models}


def architecture(name: str) -> Architecture:
    """The sizes of a model: ``tiny``, a folder, a known hub name, or one that can be reached.

    Raises:
        ConfigError: there is no configuration of this name to be had, or it is not one of an
            image-text model.
        MissingExtra: torch or Transformers are not installed.
    """
    need("train", "torch", "transformers")
    known: dict[str, Any] = known_models().get(name, {})
    config, model = _empty_model(name, known)
    parts = dict.fromkeys(("vision tower", "connector", "language model", "embeddings"), 0)
    for path, weights in model.named_parameters():
        parts[_part(path.split("."))] += weights.numel()
    modules = dict(model.named_modules())
    adapted = sum(sum(modules[path].weight.shape) for path in Lora.layers(list(modules)))
    frozen = freeze_vision(model) if parts["vision tower"] else 0
    text = config.get_text_config()
    vision = config.vision_config
    resizes = getattr(config, "image_seq_length", None) and hasattr(vision, "image_size")
    return Architecture(
        name=name,
        family=type(model).__name__,
        parts=parts,
        unfrozen=sum(parts.values()) - frozen,
        adapted=adapted,
        text=_stack(text),
        vision=_stack(vision),
        vocabulary=text.vocab_size,
        positions=text.max_position_embeddings,
        patch=vision.patch_size,
        merge=getattr(vision, "spatial_merge_size", 1),
        frames=getattr(vision, "temporal_patch_size", 1),
        side=vision.image_size if resizes else 0,
        pixels=(known["min_pixels"], known["max_pixels"]) if known else None,
    )


def _empty_model(name: str, known: Mapping[str, Any]) -> tuple[Any, Any]:
    """Configuration and model of a name, no weight of it allocated."""
    import torch
    from transformers import AutoConfig, AutoModelForImageTextToText

    try:
        if known:
            values = dict(known["config"])
            config = AutoConfig.for_model(values.pop("model_type"), **values)
        else:
            config = load_config(name)
        with torch.device("meta"):
            return config, AutoModelForImageTextToText.from_config(config)
    except (OSError, ValueError) as error:
        allowed = (
            "tiny, a folder, a hub name that can be reached, or one of "
            f"{', '.join(known_models())} ({first_words(error)})"
        )
        raise ConfigError("model", name, allowed) from error


def _part(path: Sequence[str]) -> str:
    if any(name in CONNECTORS for name in path):
        return "connector"
    if any(name in VISION for name in path):
        return "vision tower"
    if any(name in ("embed_tokens", "lm_head") for name in path):
        return "embeddings"
    return "language model"


def _stack(config: Any) -> Stack:
    """The layers that a configuration describes, under the names that families use."""
    heads = getattr(config, "num_attention_heads", None) or config.num_heads
    return Stack(
        layers=getattr(config, "num_hidden_layers", None) or config.depth,
        hidden=config.hidden_size,
        inner=config.intermediate_size,
        heads=heads,
        kv_heads=getattr(config, "num_key_value_heads", None) or heads,
        head_dim=getattr(config, "head_dim", None) or config.hidden_size // heads,
    )


def short_count(parameters: int) -> str:
    """A number of parameters as it is written: 3.75 B, 0.42 M."""
    return f"{parameters / 1e9:.2f} B" if parameters >= 1e8 else f"{parameters / 1e6:.2f} M"
