"""Every player by the word that stands for it on a command line and in a study."""

from __future__ import annotations

import math
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
    given = dict[str, str]()
    free = list[str]()
    for text in texts:
        label, sign, word = text.partition("=")
        if sign and ":" not in label:
            if not label.strip() or label != shown(label).strip() or len(label) > 200:
                raise ConfigError(
                    "player", shown(text), "NAME=PLAYER with a name of 1 to 200 visible letters"
                )
            if given.setdefault(label, word) != word:
                raise ConfigError(
                    "player", shown(text), f"another name: {label} is {shown(given[label])}"
                )
        elif text not in free:
            free.append(text)
    taken = set(given)
    found = dict[str, str]()
    for text, label in _labels(free).items():
        label = text if label in taken else label
        if label in taken:
            raise ConfigError(
                "player", shown(text), f"another name: {shown(label)} is {shown(given[label])}"
            )
        found[text] = label
    words = {text: found.get(text, "") or text.partition("=")[0] for text in texts}
    return {label: given.get(label, text) for text, label in words.items()}


def _labels(texts: Sequence[str]) -> dict[str, str]:
    """A label for each of several different words: the shortest of its names that no other goes
    by.
    """
    short = {text: _short(text) for text in texts}
    found = dict[str, str]()
    for text in texts:
        same = [other for other in texts if short[other] == short[text]]
        rests = {other: other.partition(":")[2] for other in same}
        if len(same) == 1:
            found[text] = short[text]
        elif len(set(rests.values())) == len(same) and all(
            other.startswith("local:") for other in same
        ):
            found[text] = shortest_ends(list(rests.values()))[rests[text]]
        else:
            found[text] = text
    twice = [text for text in texts if list(found.values()).count(found[text]) > 1]
    return {text: text if text in twice else found[text] for text in texts}


def _short(text: str) -> str:
    """The name that a player has by itself."""
    kind, _, rest = text.partition(":")
    if kind == "local":
        return Path(rest).name or rest
    if kind == "relay":
        return "+".join(Path(part).name or part for part in rest.split("+"))
    return rest if kind in ("api", "anthropic") and rest else kind


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
        replies = read_json(Path(rest), list)
        if not replies or not all(isinstance(r, str) for r in replies):
            raise ConfigError("player", shown(text), "scripted:FILE with a JSON list of texts")
        return Scripted(replies)
    if kind == "relay" and rest.partition("+")[2]:
        from vlmgym.players.local import Relay

        models = [f"local:{name}" for name in rest.split("+", 1)]
        describer, reasoner = (make_player(one, look, style, sampling, local) for one in models)
        return Relay(describer, reasoner)
    if kind == "local" and rest:
        from vlmgym.models.loading import banned_tokens, load, model_digest
        from vlmgym.players.local import LocalPlayer
        from vlmgym.train.trained import trained_for

        for key in sampling.keys() - {"max_tokens", "temperature", "seed"}:
            raise ConfigError(
                f"sampling.{key}",
                sampling[key],
                "max_tokens, temperature and seed, for a local model",
            )
        _check_local(sampling)
        trained = trained_for(rest)
        model, processor = load(rest, local.dtype, local.device)
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
            batch=local.batch,
            about={"digest": model_digest(rest), "dtype": local.dtype},
            unknown=trained.unknown if trained else None,
        )
    if kind in ("api", "anthropic") and rest:
        asked = OpenAIPlayer if kind == "api" else AnthropicPlayer
        prices = endpoint.prices
        if prices is not None and rest not in prices:
            raise ConfigError("prices", rest, "one of " + ", ".join(map(str, prices)))
        price = None if prices is None else prices[rest]
        return asked(rest, endpoint.base_url, sampling, endpoint.api, price)
    raise ConfigError("player", text, PLAYERS)


def is_heavy(text: str) -> bool:
    """Whether the player that a word stands for holds a model (:attr:`Player.heavy`), told without
    making it.
    """
    return text.partition(":")[0] in ("local", "relay")


def _check_local(sampling: Mapping[str, Any]) -> None:
    """See that the sampling of a local model is one.

    Raises:
        ConfigError: a value of another type, or out of range.
    """
    most = sampling["max_tokens"]
    temperature = sampling["temperature"]
    seed = sampling.get("seed", 0)
    if type(most) is not int or not 1 <= most <= 1_000_000:
        raise ConfigError("sampling.max_tokens", most, "1 to 1000000, for a local model")
    if (
        type(temperature) not in (int, float)
        or not math.isfinite(temperature)
        or not 0 <= temperature <= 100
    ):
        raise ConfigError(
            "sampling.temperature", temperature, "0 (greedy) to 100, for a local model"
        )
    if type(seed) is not int or not 0 <= seed < 2**31:
        raise ConfigError("sampling.seed", seed, "0 to 2147483647, for a local model")
