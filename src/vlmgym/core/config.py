"""YAML files of recipes and protocols: where they are, how they are read, and single fields
overridden.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vlmgym.core.errors import ConfigError
from vlmgym.core.files import DEEP, FileError, read_text

FOLDERS = {"recipe": "recipes", "protocol": "protocols", "study": "studies"}
"""Where the bundled files of a kind lie."""


def find(kind: str, name: str) -> Path:
    """The file of a ``kind`` (of :data:`FOLDERS`): a path, or the name of a bundled one such as
    ``tiny/g0``.

    Raises:
        ConfigError: there is neither; the message lists the bundled ones.
    """
    if os.path.isfile(name):
        return Path(name)
    folder = _bundled(kind)
    files = folder.rglob("*.yaml")
    names = sorted(str(file.relative_to(folder).with_suffix("")) for file in files)
    if name in names:
        return folder / f"{name}.yaml"
    raise ConfigError(kind, name, "a file, or one of " + ", ".join(names))


def _bundled(kind: str) -> Path:
    return Path(__file__).resolve().parents[1] / FOLDERS[kind]


def read_file(
    kind: str, path: Path, overrides: Sequence[str] = (), on: Sequence[str] = ()
) -> dict[str, Any]:
    """Read a YAML file with its parents, lay others over it, and apply single overrides, in this
    order.

    A file may name parents, one or a list: ``base: ../base`` (a path from its own folder, with or
    without ``.yaml``) or ``base: tiny/g0`` (a bundled file). Mappings are merged, lists and values
    replaced: later parents win over earlier ones, the file over its parents, overlays over the
    file.

    Args:
        kind: see :func:`find`.
        path: the file.
        overrides: ``field=value`` (``grpo.steps=5``, ``tasks.0.level=easy``; values are YAML).
        on: overlays, such as ``1x80gb``: paths, or names of bundled ones (``recipes/on/``).

    Raises:
        FileError: a file is no YAML that can be read; the message says where.
        ConfigError: a file is no mapping, there is no such parent or overlay, files are each
            other's parents, an override has no ``=``, names nothing, or its value is no YAML.
    """
    values = _read_with_parents(kind, path, (), {})
    for name in on:
        values = merge(values, _read_with_parents(kind, _overlay(kind, name), (), {}))
    for text in overrides:
        _set(kind, values, text)
    return values


def _set(kind: str, values: dict[str, Any], text: str) -> None:
    """Set one field of the values of a file, as ``field=value`` says."""
    value = read_value("--set", text)
    name = text.partition("=")[0]
    *parents, field = name.split(".")
    if len(parents) > DEEP:
        raise ConfigError("--set", text, f"a name of at most {DEEP} parts")
    target: Any = values
    for key in parents:
        if isinstance(target, list):
            target = target[_index(name, key, len(target))]
        else:
            if target.get(key) is None:
                target[key] = {}
            target = target[key]
        if not isinstance(target, (dict, list)):
            raise ConfigError("--set", text, f"a field of the {kind} ({key} holds no fields)")
    if isinstance(target, list):
        target[_index(name, field, len(target))] = value
    else:
        target[field] = value


def read_value(option: str, text: str) -> Any:
    """The value of ``field=value`` on a command line; values are YAML.

    Raises:
        ConfigError: there is no ``=``, or the value is no YAML.
    """
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise ConfigError(option, text, "field=value")
    try:
        return read_yaml(value, name)
    except FileError as error:
        raise ConfigError(option, text, f"field=value with a value in YAML ({error})") from error


def merge(base: Mapping[str, Any], overlay: Mapping[str, Any]) -> dict[str, Any]:
    """Two trees of mappings as one; where both hold something that is no mapping,
    ``overlay`` wins.
    """
    merged = dict(base)
    for key, value in overlay.items():
        base_value = merged.get(key)
        if isinstance(base_value, Mapping) and isinstance(value, Mapping):
            merged[key] = merge(base_value, value)
        else:
            merged[key] = value
    return merged


def _read_with_parents(
    kind: str, path: Path, children: tuple[Path, ...], done: dict[Path, dict[str, Any]]
) -> dict[str, Any]:
    """The values of a file over those of its parents; each file is read once, however many name it
    (``done``).
    """
    real_path = Path(os.path.realpath(path))
    if real_path in children or len(children) == DEEP:
        first = children.index(real_path) if real_path in children else 0
        chain = " -> ".join(file.name for file in (*children[first:], real_path))
        raise ConfigError("base", chain, f"no file twice in a line, and at most {DEEP}")
    if real_path in done:
        return done[real_path]
    values = read_settings(path)
    if not isinstance(values, dict):
        raise ConfigError(kind, str(path), "a YAML mapping")
    names = values.pop("base", None) or []
    names = [names] if isinstance(names, str) else names
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ConfigError("base", names, f"the name of a {kind}, or a list of names")
    inherited: dict[str, Any] = {}
    for name in names:
        candidates = (path.parent / name, path.parent / f"{name}.yaml")
        parent = next((file for file in candidates if os.path.isfile(file)), None)
        if parent is None:
            parent = find(kind, name)
        inherited = merge(inherited, _read_with_parents(kind, parent, (*children, real_path), done))
    done[real_path] = merge(inherited, values)
    return done[real_path]


def _overlay(kind: str, name: str) -> Path:
    """The file of an overlay."""
    if name in overlays(kind):
        return _bundled(kind) / "on" / f"{name}.yaml"
    if os.path.isfile(name):
        return Path(name)
    raise ConfigError("on", name, "a file, or one of " + ", ".join(overlays(kind)))


def overlays(kind: str) -> list[str]:
    """The names of the bundled overlays."""
    return sorted(path.stem for path in (_bundled(kind) / "on").glob("*.yaml"))


MOST = 1_000_000
"""Bytes of a file of settings."""


def read_settings(path: Path) -> Any:
    """Plain values of a YAML file (JSON is YAML); see :func:`read_yaml`.

    Raises:
        FileError: the file cannot be read, or is no such YAML; the message says where.
    """
    return read_yaml(read_text(path, MOST), str(path))


def read_prices(path: Path) -> dict[str, dict[str, float]]:
    """US dollars for a million tokens, by model: ``MODEL: {input: 2.5, output: 10}``.

    Raises:
        FileError: the file cannot be read.
        ConfigError: it is no such mapping, or a price is no number from 0 on.
    """
    values = read_settings(path)
    if not isinstance(values, dict):
        raise ConfigError("--prices", str(path), "a mapping of models to input and output prices")
    for model, prices in values.items():
        if not isinstance(prices, dict):
            raise ConfigError(f"prices.{model}", prices, "a mapping with input and output")
        for kind, price in prices.items():
            is_number = isinstance(price, int | float) and not isinstance(price, bool)
            if kind not in ("input", "output") or not is_number or price < 0:
                allowed = "input and output, US dollars (0 or more) for a million tokens"
                raise ConfigError(f"prices.{model}.{kind}", price, allowed)
    return values


def read_yaml(text: str, where: str = "YAML") -> Any:
    """Plain values of a YAML text: None, truth values, finite numbers, strings, lists, and mappings
    with strings as keys.

    It is the part of YAML that says what it means. Numbers are those of YAML 1.2 (``1e-6`` is one;
    ``010`` is ten, and ``1:30`` and dates are strings); keys are what is written (``2048:`` is the
    key ``"2048"``). Aliases and merge keys, which make a small file a huge one, tags, keys that
    come twice, and more than :data:`DEEP` levels are refused.

    Args:
        text: the YAML.
        where: what the text is, for messages.

    Raises:
        FileError: it is no such YAML; the message names ``where``, the line and the column.
    """
    import yaml

    from vlmgym.core.yaml_loader import Loader

    try:
        return yaml.load(text, Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        position = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        problem = _line(error.problem or error.context or "")
        raise FileError(f"{where}{position}: no readable YAML ({problem})") from error
    except yaml.reader.ReaderError as error:
        text_before = text[: error.position]
        line = text_before.count("\n") + 1
        column = len(text_before) - text_before.rfind("\n")
        problem = f"{error.reason}: {error.character:#x}"
        raise FileError(
            f"{where}, line {line}, column {column}: no readable YAML ({problem})"
        ) from error
    except (ValueError, OverflowError) as error:  # an escape beyond the last character
        raise FileError(f"{where}: no readable YAML ({_line(str(error))})") from error


def _line(text: str) -> str:
    """A text on one line."""
    return " ".join(text.split())


def _index(name: str, key: str, size: int) -> int:
    if not re.fullmatch("[0-9]{1,9}", key) or int(key) >= size:
        allowed = f"an index 0 to {size - 1} in place of {key}"
        raise ConfigError("--set", name, allowed if size else "no field of an empty list")
    return int(key)
