"""Every player by the word that stands for it on a command line and in a study."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vlmgym.core import ConfigError, Settings, setting
from vlmgym.core.files import read_json, shortest_ends, shown
from vlmgym.players.anthropic import AnthropicPlayer
from vlmgym.players.api_settings import ApiSettings
from vlmgym.players.base import Player
from vlmgym.players.openai import OpenAIPlayer
from vlmgym.players.simple import Greedy, Oracle, Random, RandomLegal, Scripted
from vlmgym.players.teacher import Teacher
from vlmgym.render.looks import Look

PLAYERS = (
    "random, random-legal, greedy, oracle, teacher[:error], scripted:FILE, local:MODEL, "
    "relay:MODEL+MODEL, api:MODEL, anthropic:MODEL"
)
SIMPLE: dict[str, type[Player]] = {
    player.name: player for player in (Random, RandomLegal, Greedy, Oracle)
}
MAX_TOKENS = 4096
"""New tokens of a reply where nothing else is said: room for a model that thinks before its first
visible word.
"""


@dataclass(frozen=True)
class LocalSettings(Settings):
    """How a local model is run."""

    batch: int = setting(32, "states that a local model is asked at once", 1, 1_000_000)
    device: str = setting("auto", "auto (a GPU if there is one), cpu, cuda, cuda:1 ...")
    dtype: str = setting("float32", "float32, bfloat16 or float16")


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


def named_players(texts: Sequence[str]) -> dict[str, str]:
    """The words that stand for players, by the labels that they get in tables, folders and pages.

    ``NAME=WORD`` gives a label. A word alone is called as briefly as it can be told from the
    others: ``local:runs/g0/final`` is ``final``, and beside ``local:runs/g1/final`` it is
    ``g0/final``.

    Raises:
        ConfigError: a label that is empty or cannot be shown, or one for two players.
    """
    words_of_labels = dict[str, str]()
    words_alone = list[str]()
    for text in texts:
        label, sign, word = text.partition("=")
        if sign and ":" not in label:
            is_visible = label == shown(label).strip()
            if not is_visible or not 1 <= len(label) <= 200:
                raise ConfigError(
                    "player", shown(text), "NAME=PLAYER with a name of 1 to 200 visible letters"
                )
            if words_of_labels.setdefault(label, word) != word:
                raise _taken(text, label, words_of_labels[label])
        elif text not in words_alone:
            words_alone.append(text)
    labels = dict[str, str]()
    for word, label in _labels(words_alone).items():
        if label in words_of_labels:
            label = word
        if label in words_of_labels:
            raise _taken(word, shown(label), words_of_labels[label])
        labels[word] = label
    players = dict[str, str]()
    for text in texts:
        label = labels.get(text, "") or text.partition("=")[0]
        players[label] = words_of_labels.get(label, text)
    return players


def _taken(text: str, label: str, word: str) -> ConfigError:
    """A label that stands for another player already."""
    return ConfigError("player", shown(text), f"another name: {label} is {shown(word)}")


def _labels(words: Sequence[str]) -> dict[str, str]:
    """A label for each of several different words: the shortest of its names that no other goes
    by.
    """
    short_labels = {word: _short_label(word) for word in words}
    labels = dict[str, str]()
    for word in words:
        namesakes = [other for other in words if short_labels[other] == short_labels[word]]
        models = {namesake: namesake.partition(":")[2] for namesake in namesakes}
        are_local = all(namesake.startswith("local:") for namesake in namesakes)
        are_different = len(set(models.values())) == len(namesakes)
        if len(namesakes) == 1:
            labels[word] = short_labels[word]
        elif are_local and are_different:
            labels[word] = shortest_ends(list(models.values()))[models[word]]
        else:
            labels[word] = word
    counts = Counter(labels.values())
    return {word: label if counts[label] == 1 else word for word, label in labels.items()}


def _short_label(word: str) -> str:
    """The name that a player has by itself."""
    kind, _, model = word.partition(":")
    if kind == "local":
        return Path(model).name or model
    if kind == "relay":
        return "+".join(Path(part).name or part for part in model.split("+"))
    return model if kind in ("api", "anthropic") and model else kind


def make_player(
    text: str,
    look: str | Look = "clean",
    style: str = "full",
    sampling: Mapping[str, Any] | None = None,
    local: LocalSettings | None = None,
    endpoint: Endpoint | None = None,
) -> Player:
    """The player that a command-line word stands for.

    Args:
        text: ``random``, ``random-legal``, ``greedy``, ``oracle``, ``teacher`` or ``teacher:0.2``
            (error rate), ``scripted:FILE`` (a JSON list of replies, one a turn), ``local:MODEL``
            (``local:tiny``, a folder, a hub name), ``relay:MODEL+MODEL`` (the first describes, the
            second goes on from there), ``api:MODEL`` (any OpenAI-compatible endpoint),
            ``anthropic:MODEL``.
        look: of the pictures for local models that are asked outside of an evaluation.
        style: of the prompt there.
        sampling: of models: ``max_tokens``, ``temperature`` (0 = greedy), and for endpoints any
            field of the request.
        local: how local models are run.
        endpoint: where other models are, and how they are asked.

    Raises:
        ConfigError: no such player, or a field of the sampling that a local model does not know.
        FileError: the file of a scripted player is not there, or is no JSON list of texts.
    """
    local = local or LocalSettings()
    endpoint = endpoint or Endpoint()
    sampling = {"max_tokens": MAX_TOKENS, "temperature": 0.0, **(sampling or {})}
    kind, _, details = text.partition(":")
    if kind in SIMPLE and not details:
        return SIMPLE[kind]()
    if kind == "teacher":
        return _teacher(text, details)
    if kind == "scripted" and details:
        return _scripted(text, Path(details))
    if kind == "relay" and details.partition("+")[2]:
        from vlmgym.players.local import Relay

        words = [f"local:{model}" for model in details.split("+", 1)]
        return Relay(*(make_player(word, look, style, sampling, local) for word in words))
    if kind == "local" and details:
        return _local_player(details, look, style, sampling, local)
    if kind in ("api", "anthropic") and details:
        return _api_player(kind, details, sampling, endpoint)
    raise ConfigError("player", text, PLAYERS)


def _teacher(text: str, error_rate: str) -> Teacher:
    try:
        return Teacher(float(error_rate)) if error_rate else Teacher()
    except ValueError as error:
        raise ConfigError("player", text, "teacher:ERROR with an error rate 0 to 1") from error


def _scripted(text: str, path: Path) -> Scripted:
    replies = read_json(path, list)
    if not replies or not all(isinstance(reply, str) for reply in replies):
        raise ConfigError("player", shown(text), "scripted:FILE with a JSON list of texts")
    return Scripted(replies)


def _local_player(
    name: str,
    look: str | Look,
    style: str,
    sampling: Mapping[str, Any],
    settings: LocalSettings,
) -> Player:
    from vlmgym.models.loading import banned_tokens, load, model_digest
    from vlmgym.players.local import LocalPlayer
    from vlmgym.train.trained import trained_for

    _check_local(sampling)
    trained = trained_for(name)
    model, processor = load(name, settings.dtype, settings.device)
    return LocalPlayer(
        model,
        processor,
        name=Path(name).name,
        look=look,
        style=style,
        banned=banned_tokens(model, processor),
        max_new_tokens=sampling["max_tokens"],
        temperature=sampling["temperature"],
        seed=sampling.get("seed", 0),
        batch=settings.batch,
        about={"digest": model_digest(name), "dtype": settings.dtype},
        unknown=trained.unknown if trained else None,
    )


def _api_player(
    kind: str, model: str, sampling: Mapping[str, Any], endpoint: Endpoint
) -> OpenAIPlayer | AnthropicPlayer:
    player = OpenAIPlayer if kind == "api" else AnthropicPlayer
    prices = endpoint.prices
    if prices is not None and model not in prices:
        raise ConfigError("prices", model, "one of " + ", ".join(map(str, prices)))
    price = None if prices is None else prices[model]
    return player(model, endpoint.base_url, sampling, endpoint.api, price)


def is_heavy(text: str) -> bool:
    """Whether the player that a word stands for holds a model (:attr:`Player.heavy`), told without
    making it.
    """
    return text.partition(":")[0] in ("local", "relay")


def _check_local(sampling: Mapping[str, Any]) -> None:
    """See that the sampling of a local model is one.

    Raises:
        ConfigError: a field that it does not know; a value of another type, or out of range.
    """
    for name in sampling.keys() - {"max_tokens", "temperature", "seed"}:
        allowed = "max_tokens, temperature and seed, for a local model"
        raise ConfigError(f"sampling.{name}", sampling[name], allowed)
    max_tokens = sampling["max_tokens"]
    temperature = sampling["temperature"]
    seed = sampling.get("seed", 0)
    if type(max_tokens) is not int or not 1 <= max_tokens <= 1_000_000:
        raise ConfigError("sampling.max_tokens", max_tokens, "1 to 1000000, for a local model")
    is_number = type(temperature) in (int, float) and math.isfinite(temperature)
    if not is_number or not 0 <= temperature <= 100:
        allowed = "0 (greedy) to 100, for a local model"
        raise ConfigError("sampling.temperature", temperature, allowed)
    if type(seed) is not int or not 0 <= seed < 2**31:
        raise ConfigError("sampling.seed", seed, "0 to 2147483647, for a local model")
