"""Some rows of a batch: states that are put among others, and infos of arrays."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vlmgym.core import State


def put_rows(state: State, rows: NDArray[np.bool_], new: State) -> State:
    """``state`` with some rows replaced."""
    arrays, fresh = state.arrays(), new.arrays()
    for key, value in arrays.items():
        arrays[key] = value.copy()
        arrays[key][rows] = fresh[key]
    return state.with_arrays(arrays)


def spread(values: Mapping[str, Any], rows: NDArray[np.bool_]) -> dict[str, Any]:
    """Arrays of some rows as arrays of all rows: 0, False or None in the others."""
    if rows.all():
        return dict(values)
    out: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            out[key] = spread(value, rows)
        else:
            out[key] = np.full(
                (len(rows), *value.shape[1:]), None if value.dtype == object else 0, value.dtype
            )
            out[key][rows] = value
    return out


def masked(values: Mapping[str, Any], rows: NDArray[np.bool_]) -> dict[str, Any]:
    """Arrays of all rows in the form of Gymnasium's batched infos: beside each key a mask of the
    rows that have it.
    """
    out: dict[str, Any] = {}
    for key, value in values.items():
        out[key] = masked(value, rows) if isinstance(value, dict) else value
        out[f"_{key}"] = rows.copy()
    return out


def first_row(values: Mapping[str, Any]) -> dict[str, Any]:
    """The infos of the only row, with plain numbers."""
    rows = {
        key: first_row(value) if isinstance(value, dict) else value[0]
        for key, value in values.items()
    }
    return {
        key: value.item() if isinstance(value, np.generic) else value for key, value in rows.items()
    }


def take_rows(values: Mapping[str, Any], rows: NDArray[np.bool_]) -> dict[str, Any]:
    """Some rows of arrays."""
    return {
        key: take_rows(value, rows) if isinstance(value, dict) else value[rows]
        for key, value in values.items()
    }
