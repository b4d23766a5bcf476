"""Settings whose fields say what is allowed, presets as text, and whole numbers."""

from __future__ import annotations

import json
import math
import operator
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import Field, asdict, dataclass, field, fields
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
    allowed = {"doc": doc, "low": low, "high": high, "choices": tuple(choices)}
    return field(default=default, metadata=allowed)


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
        for declared in fields(self):
            if not declared.init:
                continue
            value = getattr(self, declared.name)
            checked = checked_value(f"{type(self).__name__}.{declared.name}", value, declared)
            object.__setattr__(self, declared.name, checked)

    @classmethod
    def parse(cls, values: Mapping[str, Any]) -> Self:
        """Build from a mapping (a recipe, a header).

        Raises:
            ConfigError: it is no mapping, a key is not a field of this class, or a value is not
                allowed.
        """
        if not isinstance(values, Mapping):
            raise ConfigError(cls.__name__, values, "a mapping of settings")
        names = [declared.name for declared in fields(cls) if declared.init]
        for name, value in values.items():
            if name not in names:
                allowed = "one of the fields " + ", ".join(names)
                raise ConfigError(f"{cls.__name__}.{name}", value, allowed)
        return cls(**values)

    @classmethod
    def defaults(cls) -> dict[str, Any]:
        """The default of each field, as it is named: what records that lack a field were made
        with. Settings within settings are mappings, as records hold them.
        """
        defaults = {declared.name: declared.default for declared in fields(cls) if declared.init}
        return {
            name: asdict(value) if isinstance(value, Settings) else value
            for name, value in defaults.items()
        }

    def override(self, **values: Any) -> Self:
        """A copy with some fields changed; unknown fields and bad values raise
        :class:`ConfigError`.
        """
        return type(self).parse({**asdict(self), **values})


def _is_whole_float(value: Any, declared: Field[Any]) -> bool:
    """Whether an int stands where a float is meant, and is one without loss."""
    if type(value) is not int or type(declared.default) is not float:
        return False
    return abs(value) <= _WHOLE_FLOATS and not declared.metadata.get("choices")


def checked_value(label: str, value: Any, declared: Field[Any]) -> Any:
    """The value of a field, held to its choices, or its type and range; a whole number where a
    float is meant becomes one.

    Args:
        label: what the value is called in messages.
        value: what was given.
        declared: the field.

    Raises:
        ConfigError: it is not allowed.
    """
    if _is_whole_float(value, declared):
        value = float(value)
    choices = declared.metadata.get("choices")
    if choices:
        if not any(type(value) is type(choice) and value == choice for choice in choices):
            names = (str(choice) or "''" for choice in choices)
            raise ConfigError(label, value, "one of " + ", ".join(names))
        return value
    expected = type(declared.default)
    if expected in (int, float, bool, str) and type(value) is not expected:
        raise ConfigError(label, value, f"of type {expected.__name__}")
    if expected is float and not math.isfinite(value):
        raise ConfigError(label, value, "a finite number")
    low = declared.metadata.get("low")
    high = declared.metadata.get("high")
    if low is not None and high is not None and not low <= value <= high:
        raise ConfigError(label, value, f"{low} to {high}")
    return value


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
    name, colon, assignments = text.partition(":")
    values: dict[str, Any] = {}
    for assignment in _FIELD.split(assignments) if colon else ():
        field, equals, value = assignment.partition("=")
        if not equals:
            raise ConfigError("preset", text, "name:field=value,field=value")
        field = field.strip()
        if field in values:
            raise ConfigError(f"preset {text!r}: {field}", value, "each field once")
        try:
            values[field] = json.loads(value)
        except (ValueError, RecursionError):
            values[field] = value
    return name, values


def name_of(value: Any) -> Any:
    """A name as it was meant: YAML and shells' front ends read ``2048`` as a number, which is the
    name of a game.
    """
    if type(value) is int and abs(value) < 1 << 64:
        return str(value)
    return value


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


def number_in_environment(name: str, default: int, limit: int) -> int:
    """A whole number from 0 on that a variable of the environment holds; the default where it is
    empty or not there.

    Raises:
        ConfigError: it holds something else, or more than ``limit``.
    """
    text = os.environ.get(name, "").strip()
    if not text:
        return default
    if not (text.isascii() and text.isdecimal()) or len(text) > 9 or int(text) > limit:
        raise ConfigError(name, text, f"a whole number from 0 to {limit}, or nothing for {default}")
    return int(text)


def _holds_truth(values: Any) -> bool:
    """Whether a truth value is among these, which NumPy would make a number of."""
    if isinstance(values, list | tuple):
        return any(map(_holds_truth, values))
    return isinstance(values, bool | np.bool_)


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
