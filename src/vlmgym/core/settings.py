"""Settings whose fields say what is allowed, presets as text, and whole numbers."""

from __future__ import annotations

import json
import math
import operator
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from vlmgym.core.errors import ConfigError


def setting(
    default: Any,
    doc: str,
    low: float | None = None,
    high: float | None = None,
    choices: Sequence[Any] = (),
) -> Any:
    """A dataclass field with its documentation and its allowed values (``low <= value <= high``, or
    ``choices``).
    """
    return field(
        default=default, metadata={"doc": doc, "low": low, "high": high, "choices": tuple(choices)}
    )


_WHOLE_FLOATS = 1 << 53
"""Whole numbers up to here are floats without loss."""


@dataclass(frozen=True)
class Settings:
    """Base of the frozen setting classes (levels, looks); every field is checked against its stated
    range.

    Raises:
        ConfigError: a field has the wrong type or lies outside its range.
    """

    def __post_init__(self) -> None:
        for f in (one for one in fields(self) if one.init):
            value, meta, default = getattr(self, f.name), f.metadata, f.default
            low, high, choices = meta.get("low"), meta.get("high"), meta.get("choices")
            label = f"{type(self).__name__}.{f.name}"
            if choices:
                if not any(type(value) is type(one) and value == one for one in choices):
                    raise ConfigError(label, value, "one of " + ", ".join(map(str, choices)))
                continue
            kind = type(default)
            if kind is float and type(value) is int and abs(value) <= _WHOLE_FLOATS:
                value = float(value)
                object.__setattr__(self, f.name, value)
            if kind in (int, float, bool, str) and type(value) is not kind:
                raise ConfigError(label, value, f"of type {kind.__name__}")
            if kind is float and not math.isfinite(value):
                raise ConfigError(label, value, "a finite number")
            if low is not None and high is not None and not low <= value <= high:
                raise ConfigError(label, value, f"{low} to {high}")

    @classmethod
    def parse(cls, values: Mapping[str, Any]) -> Self:
        """Build from a mapping (a recipe, a header).

        Raises:
            ConfigError: it is no mapping, a key is not a field of this class, or a value is not
                allowed.
        """
        if not isinstance(values, Mapping):
            raise ConfigError(cls.__name__, values, "a mapping of settings")
        known = [f.name for f in fields(cls) if f.init]
        for key in values:
            if key not in known:
                raise ConfigError(
                    f"{cls.__name__}.{key}", values[key], "one of the fields " + ", ".join(known)
                )
        return cls(**values)

    def override(self, **values: Any) -> Self:
        """A copy with some fields changed; unknown fields and bad values raise
        :class:`ConfigError`.
        """
        return type(self).parse({**asdict(self), **values})


_FIELD = re.compile(r",(?=[A-Za-z_]+=)")


def read_dial(text: str) -> tuple[str, dict[str, Any]]:
    """A preset with single fields changed, as text: ``"hard"``, or ``"hard:noise=0.1,grid=true"``.

    Values are read as JSON where they can be, else as strings; a comma belongs to the value unless
    a ``field=`` follows.

    Raises:
        ConfigError: it is no text, something after the colon has no ``=``, or a field is there
            twice.
    """
    if not isinstance(text, str):
        raise ConfigError("preset", text, "text: name, or name:field=value,field=value")
    name, colon, rest = text.partition(":")
    values: dict[str, Any] = {}
    for item in _FIELD.split(rest) if colon else ():
        key, equals, value = item.partition("=")
        if not equals:
            raise ConfigError("preset", text, "name:field=value,field=value")
        if (key := key.strip()) in values:
            raise ConfigError(f"preset {text!r}: {key}", value, "each field once")
        try:
            values[key] = json.loads(value)
        except (ValueError, RecursionError):
            values[key] = value
    return name, values


def name_of(value: Any) -> Any:
    """A name as it was meant: YAML and shells' front ends read ``2048`` as a number, which is the
    name of a game.
    """
    return str(value) if type(value) is int and abs(value) < 1 << 64 else value


def whole(name: str, value: Any, high: int, low: int = 0) -> int:
    """A whole number ``low`` .. ``high`` of any integer type, truth values not counted.

    Raises:
        ConfigError: it is none.
    """
    try:
        number = low - 1 if isinstance(value, bool) else operator.index(value)
    except TypeError:
        number = low - 1
    if not low <= number <= high:
        raise ConfigError(name, value, f"a whole number {low} to {high}")
    return number


def _holds_truth(values: Any) -> bool:
    """Whether a truth value is among these, which NumPy would make a number of."""
    rows = isinstance(values, list | tuple)
    return any(map(_holds_truth, values)) if rows else isinstance(values, bool | np.bool_)


def integers(values: Any) -> NDArray[Any] | None:
    """A list or array of integers as an array; None for anything else, such as truth values,
    fractions, texts, ragged rows.
    """
    if not isinstance(values, np.ndarray):
        if _holds_truth(values):
            return None
        try:
            values = np.asarray(values)
        except (ValueError, TypeError, OverflowError, RuntimeError):
            return None
        if values.shape == (0,):
            return values.astype(np.int64)
    return values if values.dtype.kind in "iu" else None
