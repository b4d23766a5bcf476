"""Some rows of a batch: states that are put among others, and infos of arrays."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from vlmgym.core import State
from vlmgym.envs.types import Info, Mask


def put_rows(state: State, rows: Mask, replacement: State) -> State:
    """``state`` with some rows replaced."""
    arrays = state.arrays()
    for name, values in replacement.arrays().items():
        arrays[name] = arrays[name].copy()
        arrays[name][rows] = values
    return state.with_arrays(arrays)


def spread(values: Mapping[str, Any], rows: Mask) -> Info:
    """Arrays of some rows as arrays of all rows: 0, False or None in the others."""
    if rows.all():
        return dict(values)
    spread_out: Info = {}
    for key, value in values.items():
        if isinstance(value, dict):
            spread_out[key] = spread(value, rows)
        else:
            shape = (len(rows), *value.shape[1:])
            filling = None if value.dtype == object else 0
            spread_out[key] = np.full(shape, filling, value.dtype)
            spread_out[key][rows] = value
    return spread_out


def masked(values: Mapping[str, Any], rows: Mask) -> Info:
    """Arrays of all rows in the form of Gymnasium's batched infos: beside each key a mask of the
    rows that have it.
    """
    infos: Info = {}
    for key, value in values.items():
        infos[key] = masked(value, rows) if isinstance(value, dict) else value
        infos[f"_{key}"] = rows.copy()
    return infos


def first_row(values: Mapping[str, Any]) -> Info:
    """The infos of the only row, with plain numbers."""
    infos: Info = {}
    for key, value in values.items():
        if isinstance(value, dict):
            infos[key] = first_row(value)
        else:
            first = value[0]
            infos[key] = first.item() if isinstance(first, np.generic) else first
    return infos


def take_rows(values: Mapping[str, Any], rows: Mask) -> Info:
    """Some rows of arrays."""
    infos: Info = {}
    for key, value in values.items():
        infos[key] = take_rows(value, rows) if isinstance(value, dict) else value[rows]
    return infos
