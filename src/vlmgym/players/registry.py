"""Every player by the word that stands for it on a command line and in a study: :data:`KINDS`."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vlmgym.core import ConfigError
from vlmgym.core.files import read_json, shortest_ends, shown
from vlmgym.games.parts.habits import HABITS
from vlmgym.players.anthropic import AnthropicPlayer
from vlmgym.players.asked import Asked, Endpoint, LocalSettings
from vlmgym.players.base import Player
from vlmgym.players.openai import OpenAIPlayer
from vlmgym.players.simple import Greedy, Oracle, Random, RandomLegal, Scripted, Search
from vlmgym.players.teacher import Teacher
from vlmgym.players.weigher import Weigher
from vlmgym.render.looks import Look

MAX_TOKENS = 4096
"""New tokens of a reply where nothing else is said: room for a model that thinks before its first
visible word.
"""


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
        are_models = all(_is_model(namesake) for namesake in namesakes)
        are_different = len(set(models.values())) == len(namesakes)
        if len(namesakes) == 1:
            labels[word] = short_labels[word]
        elif are_models and are_different:
            labels[word] = shortest_ends(list(models.values()))[models[word]]
        else:
            labels[word] = word
    counts = Counter(labels.values())
    return {word: label if counts[label] == 1 else word for word, label in labels.items()}


def _short_label(word: str) -> str:
    """The name that a player has by itself."""
    kind, _, details = word.partition(":")
    label = KINDS[kind].label if kind in KINDS else None
    return label(details) if label and details else kind


def _is_model(word: str) -> bool:
    """Whether a player is called by the last part of its model's path."""
    kind = KINDS.get(word.partition(":")[0])
    return kind is not None and kind.label is _model_name


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
        text: a word of :data:`KINDS`, in the form that is given there: ``random``, ``teacher:0.2``,
            ``local:tiny``.
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
    sampling = {"max_tokens": MAX_TOKENS, "temperature": 0.0, **(sampling or {})}
    word, _, details = text.partition(":")
    kind = KINDS.get(word)
    if kind is None or not kind.takes(details):
        raise ConfigError("player", text, PLAYERS)
    local = local or LocalSettings()
    endpoint = endpoint or Endpoint()
    return kind.make(Asked(text, details, look, style, sampling, local, endpoint))


def is_heavy(text: str) -> bool:
    """Whether the player that a word stands for holds a model (:attr:`Player.heavy`), told without
    making it.
    """
    kind = KINDS.get(text.partition(":")[0])
    return kind is not None and kind.heavy


# ---- how each is made
def _simple(player: type[Player]) -> Callable[[Asked], Player]:
    """The maker of a player that has no settings."""
    return lambda asked: player()


def _simulating(player: type[Search] | type[Weigher]) -> Callable[[Asked], Player]:
    """The maker of a player that plays so many continuations of so many moves."""

    def make(asked: Asked) -> Player:
        numbers = asked.details.split(",") if asked.details else []
        if asked.details and not (len(numbers) == 2 and all(map(str.isdecimal, numbers))):
            form = f"{player.name}:K,H with K continuations of H moves each"
            raise ConfigError("player", asked.text, f"{form}, such as {player.name}:32,20")
        return player(*map(int, numbers))

    return make


def _teacher(asked: Asked) -> Teacher:
    if asked.details in HABITS:
        return Teacher(0.0, habit=asked.details)
    try:
        return Teacher(float(asked.details)) if asked.details else Teacher()
    except ValueError as error:
        habits = ", ".join(HABITS)
        allowed = f"teacher:ERROR with an error rate 0 to 1, or teacher:HABIT with one of {habits}"
        raise ConfigError("player", asked.text, allowed) from error


def _scripted(asked: Asked) -> Scripted:
    replies = read_json(Path(asked.details), list)
    if not replies or not all(isinstance(reply, str) for reply in replies):
        raise ConfigError("player", shown(asked.text), "scripted:FILE with a JSON list of texts")
    return Scripted(replies)


def _relay(asked: Asked) -> Player:
    describer, _, reasoner = asked.details.partition("+")
    if not describer or not reasoner:
        raise ConfigError("player", asked.text, PLAYERS)
    from vlmgym.players.relay import Relay

    models = (replace(asked, details=model) for model in (describer, reasoner))
    return Relay(*(_local(model) for model in models))


def _local(asked: Asked) -> Player:
    from vlmgym.models.loading import banned_tokens, load, model_digest
    from vlmgym.players.local import LocalPlayer
    from vlmgym.train.trained import trained_for

    name = asked.details
    settings = asked.local
    sampling = asked.sampling
    _check_local(sampling)
    trained = trained_for(name)
    path = settings.path
    if path == "trained":
        path = trained.path if trained else "open"
    model, processor = load(name, settings.dtype, settings.device)
    return LocalPlayer(
        model,
        processor,
        name=Path(name).name,
        look=asked.look,
        style=asked.style,
        banned=banned_tokens(model, processor),
        max_new_tokens=sampling["max_tokens"],
        temperature=sampling["temperature"],
        seed=sampling.get("seed", 0),
        batch=settings.batch,
        path=path,
        about={"digest": model_digest(name), "dtype": settings.dtype},
        unknown=trained.unknown if trained else None,
    )


def _api(player: type[OpenAIPlayer] | type[AnthropicPlayer]) -> Callable[[Asked], Player]:
    """The maker of players of one kind of endpoint."""

    def make(asked: Asked) -> Player:
        model = asked.details
        prices = asked.endpoint.prices
        if prices is not None and model not in prices:
            raise ConfigError("prices", model, "one of " + ", ".join(map(str, prices)))
        price = None if prices is None else prices[model]
        return player(model, asked.endpoint.base_url, asked.sampling, asked.endpoint.api, price)

    return make


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


# ---- the table
def _model_name(model: str) -> str:
    """What the model of a path or a hub name is called."""
    return Path(model).name or model


def _model_names(models: str) -> str:
    return "+".join(_model_name(model) for model in models.split("+"))


@dataclass(frozen=True)
class PlayerKind:
    """A word that stands for players.

    Attributes:
        form: how it is written: ``random``, ``teacher[:error]`` (what follows may be left out),
            ``local:MODEL``.
        doc: one line of help.
        make: makes the player.
        heavy: whether the player holds a model (:attr:`Player.heavy`).
        label: the name in tables, from what follows the colon; None = the word.
    """

    form: str
    doc: str
    make: Callable[[Asked], Player]
    heavy: bool = False
    label: Callable[[str], str] | None = None

    @property
    def word(self) -> str:
        """What stands before the colon."""
        return self.form.partition(":")[0].rstrip("[")

    @property
    def needs_details(self) -> bool:
        """Whether something must follow the word."""
        return ":" in self.form and "[" not in self.form

    def takes(self, details: str) -> bool:
        """Whether this may follow the word."""
        return ":" in self.form if details else not self.needs_details


KINDS: Mapping[str, PlayerKind] = {
    kind.word: kind
    for kind in (
        PlayerKind("random", "any action, legal or not", _simple(Random)),
        PlayerKind("random-legal", "any legal action", _simple(RandomLegal)),
        PlayerKind("greedy", "the largest gain of this turn", _simple(Greedy)),
        PlayerKind(
            "search[:K,H]",
            "after trying each legal move K times and playing on at random for H moves (else 32 "
            "and 20): the move with the most points; games that hide cells are refused",
            _simulating(Search),
        ),
        PlayerKind(
            "weigher[:K,H]",
            "says of a few moves what they are worth by such continuations (else 64 and 20), and "
            "plays the best of them: a teacher with something to select",
            _simulating(Weigher),
        ),
        PlayerKind("oracle", "the largest oracle value", _simple(Oracle)),
        PlayerKind(
            "teacher[:error-or-habit]",
            "reasons from what moves do to one that works; jumps to a random answer with "
            "probability `error` (0 to 1, else 0.3), or is wrong by a habit of looking: "
            + ", ".join(f"`{habit}`" for habit in HABITS),
            _teacher,
        ),
        PlayerKind("scripted:FILE", "a JSON list of replies, one a turn", _scripted),
        PlayerKind(
            "local:MODEL",
            "Transformers: `tiny`, a folder or a hub name",
            _local,
            heavy=True,
            label=_model_name,
        ),
        PlayerKind(
            "relay:MODEL+MODEL",
            "two local models: the first describes the board, the second goes on from there, with "
            "the picture before it unless its path is closed",
            _relay,
            heavy=True,
            label=_model_names,
        ),
        PlayerKind(
            "api:MODEL",
            "any OpenAI-compatible endpoint: vLLM, SGLang, OpenAI, OpenRouter, Ollama (extra "
            "`api`)",
            _api(OpenAIPlayer),
            label=str,
        ),
        PlayerKind("anthropic:MODEL", "Anthropic (extra `api`)", _api(AnthropicPlayer), label=str),
    )
}
"""Every player by its word; help texts, documents, and what studies may ask follow from it."""
PLAYERS = ", ".join(kind.form for kind in KINDS.values())
"""The forms of all words."""


def table() -> str:
    """The table of all players in Markdown, as docs/evaluation.md holds it."""
    lines = ["| `--player` | who answers |", "|---|---|"]
    lines += [f"| `{kind.form}` | {kind.doc} |" for kind in KINDS.values()]
    return "\n".join(lines) + "\n"
