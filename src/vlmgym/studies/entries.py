"""What the file of a study may hold: its keys, and the entries of its sections."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from fnmatch import fnmatch
from typing import Any, TypeVar

from typing_extensions import override

from vlmgym.core import ConfigError, setting
from vlmgym.core.config import merge
from vlmgym.core.settings import checked_value
from vlmgym.players.registry import KINDS

BASE = "base"
"""The player that is the model which every run starts from."""

FIXED = {kind.word: kind for kind in KINDS.values() if not (kind.heavy or kind.needs_details)}
"""Players of the command line that a study may ask: all that need no model, file or endpoint."""

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_=-]*(\.[A-Za-z0-9_=-]+)*")
"""What runs, evaluations and tables of blocks are called, and their folders; ``+`` joins runs to a
relay, the last dot precedes the seed.
"""


@dataclass(frozen=True)
class TrainingRun:
    """A training run of a study, made once for each seed."""

    recipe: str
    start: str = BASE  # the run whose model it starts from
    set: tuple[str, ...] = ()


@dataclass(frozen=True)
class Measured:
    """An evaluation of a study: a protocol, and who is asked."""

    protocol: str
    # names and patterns of runs, "base", a relay "RUN+RUN", players of the command line
    # ("teacher:0.3")
    players: tuple[str, ...]
    set: tuple[str, ...] = ()
    games: tuple[str, ...] = ()  # of the protocol's tasks only those of these games; none = all

    @property
    def overrides(self) -> tuple[str, ...]:
        """What is laid over the protocol."""
        return self.set


@dataclass(frozen=True)
class Branched(Measured):
    """Tables of rewards of a study: the states of a protocol's one task, described and gone on
    with many times by models, see :mod:`vlmgym.studies.blocks`.

    The protocol says which states are drawn, and how long an answer may be; the fields here go
    before it.
    """

    states: int = setting(40, "states", 1, 100_000)
    descriptions: int = setting(64, "descriptions of each state", 2, 10_000)
    continuations: int = setting(64, "continuations of each description", 2, 10_000)
    first: int = setting(100_000, "number of the first state", 0, 1_000_000_000)
    temperature: float = setting(1.0, "of the sampling; that of training", 1e-3, 100.0)
    batch: int = setting(512, "answers that a model is asked for at once", 1, 1_000_000)

    @property
    @override
    def overrides(self) -> tuple[str, ...]:
        return (
            *self.set,
            f"evaluation.episodes={self.states}",
            f"evaluation.first={self.first}",
            f"sampling.temperature={self.temperature}",
        )


def matches(name: str, patterns: Sequence[str]) -> bool:
    """Whether a name fits one of the patterns."""
    return any(fnmatch(name, pattern) for pattern in patterns)


T = TypeVar("T", TrainingRun, Measured, Branched)
KEYS: Mapping[str, type] = {
    "model": str,
    "seeds": list,
    "runs": dict,
    "evaluations": dict,
    "blocks": dict,
    "train": list,
    "evaluate": list,
    "leave_out": list,
    "plan": dict,
}
"""What a study has, but for its short form."""
SECTIONS = ("runs", "evaluations", "blocks")
"""Those with entries of their own."""


def settings_of(values: Mapping[str, Any], quick: bool) -> dict[str, Any]:
    """The mapping of a YAML file with every key, each of its type; the short form if ``quick``."""
    settings = dict(values)
    shorter = settings.pop("quick", None) or {}
    if not isinstance(shorter, Mapping):
        raise ConfigError("study.quick", shorter, "a mapping, as the study itself")
    if quick:
        settings = merge(settings, shorter)
    for key in settings:
        if key not in KEYS:
            allowed = "one of " + ", ".join([*KEYS, "quick"])
            raise ConfigError(f"study.{key}", settings[key], allowed)
    for key, kind in KEYS.items():
        if not isinstance(settings.setdefault(key, kind()), kind):
            raise ConfigError(f"study.{key}", settings[key], f"a {kind.__name__}")
    for key in ("train", "evaluate", "leave_out"):
        if not all(isinstance(text, str) for text in settings[key]):
            raise ConfigError(f"study.{key}", settings[key], "a list of strings")
    seeds = settings["seeds"]
    are_whole = all(type(seed) is int and seed >= 0 for seed in seeds)
    if not seeds or not are_whole or len(set(seeds)) < len(seeds):
        raise ConfigError("study.seeds", seeds, "a list of different whole numbers from 0 on")
    for name in (name for section in SECTIONS for name in settings[section]):
        # they are names of folders below the study's own
        if not isinstance(name, str) or not NAME.fullmatch(name):
            sections = ", ".join(SECTIONS)
            allowed = f"names of letters, digits, _, = and - (dots within), in {sections}"
            raise ConfigError("study", name, allowed)
    return settings


def entries_of(kind: type[T], section: str, values: Mapping[str, Any]) -> dict[str, T]:
    """The entries of a section by name, but for those that are left out."""
    return {
        name: _entry(kind, f"{section}.{name}", entry)
        for name, entry in values[section].items()
        if not matches(name, values["leave_out"])
    }


def _entry(kind: type[T], name: str, values: Any) -> T:
    """An entry from its mapping."""
    allowed_fields = {field.name: field for field in fields(kind)}  # type: ignore[arg-type]
    allowed = "a mapping with " + ", ".join(allowed_fields)
    if not isinstance(values, Mapping) or not values.keys() <= allowed_fields.keys():
        raise ConfigError(f"study.{name}", values, allowed)
    arguments = dict[str, Any]()
    for key, declared in allowed_fields.items():
        if key not in values:
            if declared.default is MISSING:
                raise ConfigError(f"study.{name}", dict(values), f"{allowed}; {key} is missing")
        elif declared.type == "str":
            if not isinstance(values[key], str):
                raise ConfigError(f"study.{name}.{key}", values[key], "a string")
            arguments[key] = values[key]
        elif declared.metadata:
            arguments[key] = checked_value(f"study.{name}.{key}", values[key], declared)
        elif not isinstance(values[key], list) or not all(
            isinstance(text, str) for text in values[key]
        ):
            raise ConfigError(f"study.{name}.{key}", values[key], "a list of strings")
        else:
            arguments[key] = tuple(values[key])
    return kind(**arguments)
