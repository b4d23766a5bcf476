"""What differs between settings as they are now and as something was begun with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vlmgym.core.errors import ConfigError, brief


class _Nothing:
    """The value of a setting that is not there."""

    def __repr__(self) -> str:
        return "nothing"


NOTHING = _Nothing()


def differences(
    now: Mapping[str, Any], before: Mapping[str, Any], prefix: str = ""
) -> dict[str, tuple[Any, Any]]:
    """The names under which two mappings differ, each with its value now and before
    (:data:`NOTHING` where it has none).

    A value within mappings, or within lists of as many mappings, has a dotted name:
    ``tasks.0.look``.
    """
    changes = dict[str, tuple[Any, Any]]()
    for name in dict.fromkeys([*now, *before]):
        value_now = _as_mapping(now.get(name, NOTHING))
        value_before = _as_mapping(before.get(name, NOTHING))
        are_mappings = isinstance(value_now, dict) and isinstance(value_before, dict)
        if are_mappings and _are_alike(value_now, value_before):
            changes |= differences(value_now, value_before, f"{prefix}{name}.")
        elif value_now != value_before:
            changes[prefix + name] = (now.get(name, NOTHING), before.get(name, NOTHING))
    return changes


def _as_mapping(value: Any) -> Any:
    """A list of mappings as a mapping from their numbers; any other value as it is."""
    if isinstance(value, list) and value and all(isinstance(entry, Mapping) for entry in value):
        return dict(enumerate(value))
    return value


def _are_alike(now: Mapping[Any, Any], before: Mapping[Any, Any]) -> bool:
    """Whether two mappings are told entry by entry: not if they are lists of other lengths."""
    are_lists = any(isinstance(key, int) for key in (*now, *before))
    return not are_lists or now.keys() == before.keys()


def refusal(where: str, changes: Mapping[str, tuple[Any, Any]], thing: str) -> ConfigError:
    """What to raise where a folder holds another thing (``"run"``): one sentence with the fields
    that differ and both values.
    """
    (first_name, (first_now, first_before)), *others = changes.items()
    also = "".join(
        f", {name} = {brief(before)} (now {brief(now)})" for name, (now, before) in others[:9]
    )
    return ConfigError(
        f"{where}: {first_name}",
        first_now,
        f"{brief(first_before)}{also}, as in the {thing} there; or name another folder",
    )
