"""YAML files of recipes and protocols: where they are, how they are read, and single fields overridden."""

from __future__ import annotations

import re
from collections.abc import Sequence
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


def read_file(kind: str, path: Path, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """Read a YAML file and apply ``field=value`` overrides (``grpo.steps=5``, ``tasks.0.level=easy``; values are YAML).

    Raises:
        ConfigError: the file is no mapping, an override has no ``=``, or names nothing.
    """
    values = read_yaml(path.read_text(encoding="utf-8"))
    if not isinstance(values, dict):
        raise ConfigError(kind, str(path), "a YAML mapping")
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
