"""What a study asks, written down before it is run: claims as data, and how they may change.

A plan names its primary claims, at most :data:`MOST_PRIMARY`, which are tested together (Holm
1979); all others are exploratory and say so. Its hash stands in ``study.json`` and in the report. A
plan that changes after a study was begun is refused, unless a dated amendment names what changed.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from datetime import date
from typing import Any

from vlmgym.core import ConfigError
from vlmgym.evals.metrics import PAIRED
from vlmgym.studies.claim import EXPECTATIONS, INDEX, MEASURES, Against, Claim, Pair, Power, Side

MOST_PRIMARY = 8
"""Primary claims of a plan, at most."""


@dataclass(frozen=True)
class Amendment:
    """A change of a plan after it was frozen."""

    date: str
    what: str
    why: str
    changes: tuple[str, ...]  # patterns of the fields of study.json that it changes


@dataclass(frozen=True)
class Plan:
    """What a study asks.

    Attributes:
        question: in one sentence or a few.
        frozen: the day after which it changes by amendments only; empty: these are pilots.
        primary: the claims that are tested together.
        exploratory: all others.
        stopping: when the study ends.
        games: by game, the word that stands for ``{game}`` in names.
        power: how much differences vary, of claims that do not say it themselves.
        amendments: in their order.
    """

    question: str = ""
    frozen: str = ""
    primary: tuple[Claim, ...] = ()
    exploratory: tuple[Claim, ...] = ()
    stopping: str = ""
    games: Mapping[str, str] = field(default_factory=dict)
    power: Power | None = None
    amendments: tuple[Amendment, ...] = ()

    @classmethod
    def parse(cls, values: Any) -> Plan:
        """Build from the section ``plan`` of a study's file.

        Raises:
            ConfigError: a key is unknown or missing, or a value is of another kind.
        """
        known = [declared.name for declared in fields(cls)]
        section = _mapping("plan", values, known)
        games = _mapping("plan.games", section.get("games") or {})
        plan = cls(
            question=_text("plan.question", section.get("question", "")),
            frozen=_day("plan.frozen", section.get("frozen") or ""),
            primary=_claims("plan.primary", section.get("primary")),
            exploratory=_claims("plan.exploratory", section.get("exploratory")),
            stopping=_text("plan.stopping", section.get("stopping", "")),
            games={game: _text(f"plan.games.{game}", word) for game, word in games.items()},
            power=_power("plan.power", section.get("power")),
            amendments=tuple(
                _amendment(f"plan.amendments.{number}", entry)
                for number, entry in enumerate(_list("plan.amendments", section.get("amendments")))
            ),
        )
        if len(plan.primary) > MOST_PRIMARY:
            count = f"{len(plan.primary)} claims"
            raise ConfigError("plan.primary", count, f"at most {MOST_PRIMARY}, tested together")
        names = [claim.name for claim in plan.claims]
        for name in names:
            if names.count(name) > 1:
                raise ConfigError("plan", name, "each claim once, by a name of its own")
        return plan

    @property
    def claims(self) -> tuple[Claim, ...]:
        """The primary ones first."""
        return self.primary + self.exploratory

    def word(self, game: str) -> str:
        """What names of runs and evaluations call a game."""
        return self.games.get(game) or re.sub(r"(?<=[a-z])(?=[A-Z])", "-", game).lower()

    def power_of(self, claim: Claim) -> Power | None:
        """How much the difference of a claim varies, where that is known."""
        return claim.power or self.power

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        values: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return values


def hash_of(study: Mapping[str, Any]) -> str:
    """The hash of what a study asks and does: of the JSON values of ``study.json``, but for its
    amendments and for hashes. Equal studies have equal hashes on every machine.
    """
    content = {name: value for name, value in study.items() if name != "hashes"}
    content["plan"] = {name: value for name, value in study["plan"].items() if name != "amendments"}
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


# ---- reading
def _claims(where: str, values: Any) -> tuple[Claim, ...]:
    entries = _list(where, values)
    return tuple(_claim(f"{where}.{number}", entry) for number, entry in enumerate(entries))


_CLAIM = (
    "name",
    "says",
    "evaluation",
    "measure",
    "of",
    "against",
    "minus",
    "games",
    "where",
    "expect",
    "margin",
    "power",
)


def _claim(where: str, values: Any) -> Claim:
    section = _mapping(where, values, _CLAIM)
    for name in ("name", "says", "evaluation", "measure", "of", "against", "expect"):
        if name not in section:
            raise ConfigError(where, dict(section), f"a claim with {name}")
    evaluation = _text(f"{where}.evaluation", section["evaluation"])
    measure = _one_of(f"{where}.measure", section["measure"], MEASURES)
    expect = _one_of(f"{where}.expect", section["expect"], EXPECTATIONS)
    margin = section.get("margin", 0)
    if (expect == "equal") != (_is_number(margin) and margin > 0):
        allowed = "a number above 0 where equal is expected, and none else"
        raise ConfigError(f"{where}.margin", margin, allowed)
    condition = _mapping(f"{where}.where", section.get("where") or {}, ("fails",))
    minus = None
    if "minus" in section:
        minus = _pair(f"{where}.minus", _mapping(f"{where}.minus", section["minus"]), evaluation)
    claim = Claim(
        name=_text(f"{where}.name", section["name"]),
        says=_text(f"{where}.says", section["says"]),
        measure=measure,
        pair=_pair(where, section, evaluation),
        expect=expect,
        minus=minus,
        games=tuple(
            _text(f"{where}.games", game) for game in _list(f"{where}.games", section.get("games"))
        ),
        fails=_text(f"{where}.where.fails", condition.get("fails", "")),
        margin=float(margin),
        power=_power(f"{where}.power", section.get("power")),
    )
    _check_measure(where, claim)
    return claim


def _check_measure(where: str, claim: Claim) -> None:
    """See that what a claim asks can be computed, and is not true by construction."""
    is_compared = any(isinstance(pair.against, Side) for pair in claim.pairs)
    if is_compared and claim.measure not in (*PAIRED, INDEX):
        allowed = f"one of {', '.join((*PAIRED, INDEX))}; against a number any metric"
        raise ConfigError(f"{where}.measure", claim.measure, allowed)
    compared = [side.player for pair in claim.pairs for side in pair.sides]
    if claim.fails in compared:
        allowed = "a player that is not compared: its starts would be chosen by its own luck"
        raise ConfigError(f"{where}.where.fails", claim.fails, allowed)


def _pair(where: str, section: Mapping[str, Any], evaluation: str) -> Pair:
    for name in ("of", "against"):
        if name not in section:
            raise ConfigError(where, dict(section), f"of and against; {name} is missing")
    of = _side(f"{where}.of", section["of"], evaluation)
    against: Against
    if _is_number(section["against"]):
        against = float(section["against"])
    else:
        against = _side(f"{where}.against", section["against"], evaluation)
    return Pair(of, against)


def _side(where: str, value: Any, evaluation: str) -> Side:
    """A player, by its name, or with an evaluation of its own."""
    if isinstance(value, str):
        return Side(value, evaluation)
    section = _mapping(where, value, ("player", "evaluation"))
    player = _text(f"{where}.player", section.get("player"))
    return Side(player, _text(f"{where}.evaluation", section.get("evaluation", evaluation)))


def _amendment(where: str, values: Any) -> Amendment:
    known = [declared.name for declared in fields(Amendment)]
    section = _mapping(where, values, known)
    for name in known:
        if not section.get(name):
            raise ConfigError(where, dict(section), "a mapping with " + ", ".join(known))
    return Amendment(
        _day(f"{where}.date", section["date"]),
        _text(f"{where}.what", section["what"]),
        _text(f"{where}.why", section["why"]),
        tuple(
            _text(f"{where}.changes", name)
            for name in _list(f"{where}.changes", section["changes"])
        ),
    )


def _power(where: str, values: Any) -> Power | None:
    if values is None:
        return None
    section = _mapping(where, values, ("between", "within"))
    for name in ("between", "within"):
        if not _is_number(section.get(name)) or section[name] < 0:
            allowed = "a standard deviation from 0 on"
            raise ConfigError(f"{where}.{name}", section.get(name), allowed)
    return Power(float(section["between"]), float(section["within"]))


def _mapping(where: str, values: Any, known: Sequence[str] = ()) -> Mapping[str, Any]:
    """A mapping with none but these keys; any, if none are given."""
    if not isinstance(values, Mapping):
        kind = " with some of " + ", ".join(known) if known else ""
        raise ConfigError(where, values, f"a mapping{kind}")
    for name in values:
        if known and name not in known:
            raise ConfigError(f"{where}.{name}", values[name], "one of " + ", ".join(known))
    return values


def _list(where: str, values: Any) -> list[Any]:
    if values is None:
        return []
    if not isinstance(values, list):
        raise ConfigError(where, values, "a list")
    return values


def _text(where: str, value: Any) -> str:
    if not isinstance(value, str):
        raise ConfigError(where, value, "a string")
    return value.strip()


def _one_of(where: str, value: Any, allowed: Sequence[str]) -> str:
    if value not in allowed:
        raise ConfigError(where, value, "one of " + ", ".join(allowed))
    return str(value)


def _day(where: str, value: Any) -> str:
    text = _text(where, value)
    try:
        return date.fromisoformat(text).isoformat() if text else ""
    except ValueError as error:
        raise ConfigError(where, value, "a day as 2030-12-31") from error


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)
