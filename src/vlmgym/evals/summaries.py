"""Reading ``summary.json`` of an evaluation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vlmgym.core.files import FileError, read_json
from vlmgym.evals.metrics import shown_in

_NUMBER = (int, float, type(None))
_ESTIMATE = dict.fromkeys(("mean", "low", "high"), _NUMBER) | {"n": int}
_SHAPE: dict[str, Any] = {
    "player": str,
    "task": dict.fromkeys(("game", "level", "look", "prompt"), str)
    | {"walk_min": int, "walk_max": int, "walk_legal": bool},
    "evaluation": {"episodes": int},
    "metrics": {name: _ESTIMATE for name in shown_in("leaderboard") if name != "balanced"},
    "episodes": dict.fromkeys(("n", "failed", "stuck", "turns"), int),
    "spent": {"input_tokens": int, "output_tokens": int, "cost": _NUMBER},
}
"""What every summary of an evaluation holds, of which types."""
_NEWER: dict[str, Any] = {"identity": str, "sees": str, "counts": {"cut": int, "refused": int}}
_NEWER |= {"metrics": _SHAPE["metrics"] | {"balanced": _ESTIMATE}}
"""What it holds as well, but for those of earlier versions."""


def _lacks(value: Any, shape: Any, name: str = "") -> str:
    """The name of the first thing in a JSON value that is not there, or of another type; empty if
    there is none.
    """
    if not isinstance(shape, dict):
        kinds = shape if isinstance(shape, tuple) else (shape,)
        return (
            ""
            if type(value) in kinds and (type(value) not in (int, float) or abs(value) <= 1e300)
            else name
        )
    if not isinstance(value, dict):
        return name
    return next(
        (
            lack
            for key, one in shape.items()
            if (lack := _lacks(value.get(key, _lacks), one, f"{name}.{key}"))
        ),
        "",
    )


def read_summary(source: Path | dict[str, Any]) -> dict[str, Any]:
    """A summary, with no regret where no oracle was asked (0 there means nothing).

    Raises:
        FileError: the file is not there, no JSON, or no summary of an evaluation.
    """
    if not isinstance(source, dict):
        path = source / "summary.json" if source.is_dir() else source
        source = dict(read_json(path))
        newer = {key: shape for key, shape in _NEWER.items() if key in source}
        if "balanced" not in (source.get("metrics") or {}):
            newer.pop("metrics", None)
        if lack := _lacks(source, _SHAPE | newer):
            raise FileError(
                f"{path}: no summary of an evaluation ({lack.removeprefix('.')} is "
                "missing or of another type)"
            )
    if source["evaluation"].get("oracle", True):
        return source
    return {
        **source,
        "metrics": {
            **source["metrics"],
            "regret": {"mean": None, "low": None, "high": None, "n": 0},
        },
    }
