"""What a word of the command line may need to become a player."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from vlmgym.core import Settings, setting
from vlmgym.players.api_settings import ApiSettings
from vlmgym.players.blocks import PATHS
from vlmgym.render.looks import Look


@dataclass(frozen=True)
class LocalSettings(Settings):
    """How a local model is run."""

    batch: int = setting(32, "states that a local model is asked at once", 1, 1_000_000)
    device: str = setting("auto", "auto (a GPU if there is one), cpu, cuda, cuda:1 ...")
    dtype: str = setting("float32", "float32, bfloat16 or float16")
    path: str = setting(
        "trained",
        "closed: what follows the description is generated without the picture; trained: as the "
        "model's folder says, else open",
        choices=("trained", *PATHS),
    )


@dataclass(frozen=True)
class Endpoint:
    """Where a model behind an endpoint is, and how it is asked.

    Attributes:
        base_url: its address; empty = the maker's.
        api: how it is used.
        prices: US dollars for a million tokens by model: ``{"gpt": {"input": 2.5, "output": 10}}``.
    """

    base_url: str = ""
    api: ApiSettings = field(default_factory=ApiSettings)
    prices: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Asked:
    """A word of the command line with what it may need to become a player; see
    :func:`make_player`.

    Attributes:
        text: the whole word.
        details: what follows its colon.
        look: of the pictures.
        style: of the prompt.
        sampling: of models.
        local: how local models are run.
        endpoint: where other models are.
    """

    text: str
    details: str
    look: str | Look
    style: str
    sampling: Mapping[str, Any]
    local: LocalSettings
    endpoint: Endpoint
