"""Every player by the word that stands for it on a command line and in a study."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vlmgym.core import ConfigError
from vlmgym.looks import Look
from vlmgym.players.api import AnthropicPlayer, ApiSettings, OpenAIPlayer
from vlmgym.players.base import Player
from vlmgym.players.simple import Greedy, Oracle, Random, RandomLegal, Scripted
from vlmgym.players.teacher import Teacher

PLAYERS = (
    "random, random-legal, greedy, oracle, teacher[:error], scripted:FILE, local:MODEL, relay:MODEL+MODEL, api:MODEL, "
    "anthropic:MODEL"
)


def make_player(
    text: str,
    look: str | Look = "clean",
    style: str = "full",
    sampling: Mapping[str, Any] | None = None,
    batch: int = 32,
    device: str = "auto",
    dtype: str = "float32",
    base_url: str = "",
    api: ApiSettings | None = None,
    prices: Mapping[str, Any] | None = None,
) -> Player:
    """The player that a command-line word stands for.

    Args:
        text: ``random``, ``random-legal``, ``greedy``, ``oracle``, ``teacher`` or ``teacher:0.2`` (error rate),
            ``scripted:FILE`` (a JSON list of replies, one a turn), ``local:MODEL`` (``local:tiny``, a folder, a hub name),
            ``relay:MODEL+MODEL`` (the first describes, the second goes on from there), ``api:MODEL`` (any OpenAI-compatible
            endpoint), ``anthropic:MODEL``.
        look: of the pictures for local models that are asked outside of an evaluation.
        style: of the prompt there.
        sampling: of models: ``max_tokens``, ``temperature`` (0 = greedy), and for endpoints any field of the request.
        batch: states asked of a local model at once.
        device: of local models; ``auto``: a GPU if there is one.
        dtype: of local models.
        base_url: of endpoints.
        api: how endpoints are used.
        prices: US dollars for a million tokens by model: ``{"gpt": {"input": 2.5, "output": 10}}``.

    Raises:
        ConfigError: no such player, or a field of the sampling that a local model does not know.
    """
    sampling = {"max_tokens": 512, "temperature": 0.0, **(sampling or {})}
    kind, _, rest = text.partition(":")
    simple: dict[str, type[Player]] = {p.name: p for p in (Random, RandomLegal, Greedy, Oracle)}
    if kind in simple and not rest:
        return simple[kind]()
    if kind == "teacher":
        try:
            return Teacher(float(rest)) if rest else Teacher()
        except ValueError as error:
            raise ConfigError("player", text, "teacher:ERROR with an error rate 0 to 1") from error
    if kind == "scripted" and rest:
        replies = json.loads(Path(rest).read_text(encoding="utf-8"))
        if not isinstance(replies, list) or not replies or not all(isinstance(r, str) for r in replies):
            raise ConfigError("player", text, "scripted:FILE with a JSON list of texts")
        return Scripted(replies)
    if kind == "relay" and rest.partition("+")[2]:
        from vlmgym.players.local import Relay

        models = [f"local:{name}" for name in rest.split("+", 1)]
        describer, reasoner = (make_player(one, look, style, sampling, batch, device, dtype) for one in models)
        return Relay(describer, reasoner)
    if kind == "local" and rest:
        from vlmgym.players.local import LocalPlayer
        from vlmgym.train.model import banned_tokens, load

        for key in sampling.keys() - {"max_tokens", "temperature", "seed"}:
            raise ConfigError(f"sampling.{key}", sampling[key], "max_tokens, temperature and seed, for a local model")
        model, processor = load(rest, dtype, device)
        return LocalPlayer(
            model,
            processor,
            name=Path(rest).name,
            look=look,
            style=style,
            banned=banned_tokens(model, processor),
            max_new_tokens=sampling["max_tokens"],
            temperature=sampling["temperature"],
            seed=sampling.get("seed", 0),
            batch=batch,
        )
    if kind in ("api", "anthropic") and rest:
        player = OpenAIPlayer if kind == "api" else AnthropicPlayer
        if prices is not None and rest not in prices:
            raise ConfigError("prices", rest, "one of " + ", ".join(map(str, prices)))
        return player(rest, base_url, sampling, api, None if prices is None else prices[rest])
    raise ConfigError("player", text, PLAYERS)
