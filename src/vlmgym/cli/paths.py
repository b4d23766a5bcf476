"""What paths on a command line stand for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vlmgym.core.errors import ConfigError


def traces_in(folder: Path) -> list[Path]:
    """The traces of a run, or of one evaluation.

    Raises:
        ConfigError: there are none.
    """
    alone = folder / "trace.jsonl"
    traces = sorted(folder.glob("eval/*/*/trace.jsonl"))
    if alone.exists():
        traces.insert(0, alone)
    if not traces:
        allowed = "a folder with trace.jsonl or eval/PLAYER/TASK/trace.jsonl"
        raise ConfigError("folder", str(folder), allowed)
    return traces


def see_photos(paths: Sequence[Path]) -> None:
    """See that the photographs which a command line names are there.

    Raises:
        ConfigError: they are not.
    """
    for path in paths:
        if not path.exists():
            raise ConfigError("--photos", str(path), "the path of photographs that are there")
