"""YAML files of recipes and protocols: where they are, how they are read, and single fields overridden."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vlmgym.core import ConfigError


def find(kind: str, name: str) -> Path:
    """The file of a ``kind`` (``"recipe"``, ``"protocol"``): a path, or the name of a bundled one such as ``tiny/g0``.

    Raises:
        ConfigError: there is neither; the message lists the bundled ones.
    """
    bundled = Path(__file__).resolve().parent / f"{kind}s"
    for path in (Path(name), bundled / f"{name}.yaml"):
        if path.is_file():
            return path
    names = sorted(str(p.relative_to(bundled).with_suffix("")) for p in bundled.rglob("*.yaml"))
    raise ConfigError(kind, name, "a file, or one of " + ", ".join(names))


def read_file(kind: str, path: Path, overrides: Sequence[str] = (), on: Sequence[str] = ()) -> dict[str, Any]:
    """Read a YAML file with its parents, lay others over it, and apply single overrides, in this order.

    A file may name parents, one or a list: ``base: ../base`` (a path from its own folder, with or without ``.yaml``) or
    ``base: tiny/g0`` (a bundled file). Mappings are merged, lists and values replaced: later parents win over earlier
    ones, the file over its parents, overlays over the file.

    Args:
        kind: ``"recipe"`` or ``"protocol"``.
        path: the file.
        overrides: ``field=value`` (``grpo.steps=5``, ``tasks.0.level=easy``; values are YAML).
        on: overlays, such as ``1x80gb``: paths, or names of bundled ones (``recipes/on/``).

    Raises:
        ConfigError: a file is no mapping, there is no such parent or overlay, files are each other's parents, an override has
            no ``=`` or names nothing.
    """
    values = _read_with_parents(kind, path, ())
    for name in on:
        values = merge(values, _read_with_parents(kind, _overlay(kind, name), ()))
    for text in overrides:
        name, sign, value = text.partition("=")
        if not sign:
            raise ConfigError("--set", text, "field=value")
        target: Any = values
        *above, last = name.split(".")
        for part in above:
            if isinstance(target, list):
                target = target[_index(name, part, len(target))]
            else:
                if target.get(part) is None:
                    target[part] = {}
                target = target[part]
            if not isinstance(target, (dict, list)):
                raise ConfigError("--set", text, f"a field of the {kind} ({part} holds no fields)")
        target[_index(name, last, len(target)) if isinstance(target, list) else last] = read_yaml(value)
    return values


def merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Two trees of mappings as one; where both hold something that is no mapping, ``above`` wins."""
    found = dict(below)
    for key, value in above.items():
        under = found.get(key)
        found[key] = merge(under, value) if isinstance(under, Mapping) and isinstance(value, Mapping) else value
    return found


def _read_with_parents(kind: str, path: Path, children: tuple[Path, ...]) -> dict[str, Any]:
    """The values of a file over those of its parents."""
    here = path.resolve()
    if here in children:
        raise ConfigError(
            "base", " -> ".join(p.name for p in (*children[children.index(here) :], here)), "no file twice in a line"
        )
    values = read_yaml(path.read_text(encoding="utf-8"))
    if not isinstance(values, dict):
        raise ConfigError(kind, str(path), "a YAML mapping")
    names = values.pop("base", None) or []
    names = [names] if isinstance(names, str) else names
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ConfigError("base", names, f"the name of a {kind}, or a list of names")
    below: dict[str, Any] = {}
    for name in names:
        near = [path.parent / name, path.parent / f"{name}.yaml"]
        parent = next((p for p in near if p.is_file()), None) or find(kind, name)
        below = merge(below, _read_with_parents(kind, parent, (*children, here)))
    return merge(below, values)


def _overlay(kind: str, name: str) -> Path:
    """The file of an overlay."""
    folder = Path(__file__).resolve().parent / f"{kind}s" / "on"
    for path in (folder / f"{name}.yaml", Path(name)):
        if path.is_file():
            return path
    raise ConfigError("on", name, "a file, or one of " + ", ".join(overlays(kind)))


def overlays(kind: str) -> list[str]:
    """The names of the bundled overlays."""
    return sorted(path.stem for path in (Path(__file__).resolve().parent / f"{kind}s" / "on").glob("*.yaml"))


def read_yaml(text: str) -> Any:
    """Plain values of a YAML text, with ``1e-6`` a number as in YAML 1.2 (PyYAML alone takes it for a string)."""
    import yaml

    class Loader(yaml.SafeLoader):
        pass

    number = re.compile(r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)[eE][-+]?[0-9]+")
    Loader.add_implicit_resolver("tag:yaml.org,2002:float", number, list("-+.0123456789"))
    return yaml.load(text, Loader)


def _index(name: str, part: str, size: int) -> int:
    if not part.isdigit() or int(part) >= size:
        raise ConfigError("--set", name, f"an index 0 to {size - 1} in place of {part}")
    return int(part)
