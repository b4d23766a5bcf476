"""Whether a folder holds a run of the same recipe, whichever version began it.

Recipes are compared as values: a field that the stored one lacks, as there was none when the run
began, has its default, which does what was done before (or what :data:`BEFORE` says).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from vlmgym.core import Settings
from vlmgym.core.differences import differences, refusal
from vlmgym.core.errors import brief
from vlmgym.core.files import FileError, read_json
from vlmgym.episodes.curriculum import Curriculum
from vlmgym.episodes.task import Task
from vlmgym.train.recipe import OTHERS, SECTIONS, Recipe
from vlmgym.train.sources import Source

BEFORE: Mapping[str, Mapping[str, Any]] = {"cold_start": {"verified": False, "hopeless": False}}
"""By section: what was done before a field was there, where its default does something else."""


def see_same_recipe(recipe: Recipe, path: Path, key: str = "") -> None:
    """See that a file of a run which was begun holds this recipe.

    Args:
        recipe: what is to be run.
        path: the file; without one, nothing was begun.
        key: of the file's mapping, where the recipe stands; empty = the file is the recipe.

    Raises:
        ConfigError: it holds another recipe; the message names the fields that differ, with both
            values.
        FileError: it cannot be read, or holds what this version does not know.
    """
    if not path.exists():
        return
    try:
        values = read_json(path)
        stored = completed(values.get(key, values), str(path))
    except FileError as error:
        raise FileError(
            f"{error}; it says what the run beside it is: mend it, or name another folder"
        ) from error
    if changes := differences(completed(recipe.to_dict()), stored):
        raise refusal(str(path), changes, "run")


def completed(recipe: Any, where: str = "recipe") -> dict[str, Any]:
    """The plain values of a stored recipe with every field of every section. No name in it is
    looked up.

    Args:
        recipe: what :meth:`Recipe.to_dict` of any version gave, also through JSON.
        where: it was found, for messages.

    Raises:
        FileError: it is no recipe, or has a field that this version does not know.
    """
    if not isinstance(recipe, Mapping) or not {"model", "tasks"} <= recipe.keys():
        raise FileError(f"{where}: no recipe of a run, with its model and tasks")
    values: dict[str, Any] = json.loads(json.dumps(recipe))  # tuples are lists in files
    for name in values.keys() - {*OTHERS, *SECTIONS}:
        raise _unknown(where, name, values[name])
    sections = {name: _section(name, values, where) for name in SECTIONS}
    ladders = values.get("curriculum", {})
    sources = values.get("states", [{}])
    return {
        "model": values["model"],
        "tasks": _entries(Task, "tasks", values["tasks"], where),
        **sections,
        "states": _entries(Source, "states", sources, where),
        "curriculum": {
            game: _whole(Curriculum, f"curriculum.{game}", ladder, where)
            for game, ladder in _mapping("curriculum", ladders, where).items()
        },
        "held_out": values.get("held_out", []),
    }


def _section(name: str, recipe: Mapping[str, Any], where: str) -> dict[str, Any] | None:
    """A section with all its fields; None where it is switched off."""
    if recipe.get(name) is not None:
        return _whole(SECTIONS[name], name, recipe[name], where)
    default = next(declared for declared in fields(Recipe) if declared.name == name)
    return None if default.default is None else SECTIONS[name].defaults()


def _entries(kind: type[Settings], name: str, values: Any, where: str) -> list[dict[str, Any]]:
    """The settings of a list, each with all its fields."""
    if not isinstance(values, list):
        raise FileError(f"{where}: no recipe of a run ({name} is no list)")
    return [_whole(kind, f"{name}.{number}", value, where) for number, value in enumerate(values)]


def _whole(kind: type[Settings], name: str, values: Any, where: str) -> dict[str, Any]:
    """Settings with all their fields."""
    defaults = json.loads(json.dumps(kind.defaults()))
    for field, value in _mapping(name, values, where).items():
        if field not in defaults:
            raise _unknown(where, f"{name}.{field}", value)
    return {**defaults, **BEFORE.get(name, {}), **values}


def _mapping(name: str, values: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(values, Mapping):
        raise FileError(f"{where}: no recipe of a run ({name} is no mapping)")
    return values


def _unknown(where: str, name: str, value: Any) -> FileError:
    """A field that there is in another version only."""
    return FileError(
        f"{where}: {name} = {brief(value)} is no field of this version of vlmgym, go on with the "
        "one that began the run"
    )
