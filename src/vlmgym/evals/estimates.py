"""A mean with its interval, and how it is written."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

NAN = float("nan")

Writer = Callable[[float], str]
"""How a number is written."""


def significant(value: float) -> str:
    """Three significant digits."""
    return f"{value:.3g}"


def readable(value: float) -> str:
    """Three decimals, one from 100 on, none from 1000 on, with commas: columns of mixed sizes."""
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 100 else f"{value:.3f}"


def decimals(digits: int, signed: bool = False, factor: float = 1) -> Writer:
    """A writer of so many decimals.

    Args:
        digits: after the point.
        signed: plus signs are written.
        factor: by which a number is multiplied first, 100 for per cent.
    """
    return lambda value: f"{factor * value:{'+' if signed else ''}.{digits}f}"


def typeset(percent: bool = False, signed: bool = False) -> Writer:
    """A writer for pages: a true minus sign, zero without a sign, a dash for what is not finite.

    Args:
        percent: a share in per cent with one decimal; else two decimals.
        signed: plus signs are written.
    """

    def write(value: float) -> str:
        if not math.isfinite(value):
            return "–"
        text = f"{100 * value:.1f}" if percent else f"{value:.2f}"
        if float(text) == 0:
            return text.removeprefix("-")
        sign = "+" if signed and value > 0 else ""
        return sign + text.replace("-", "−")

    return write


@dataclass(frozen=True)
class Interval:
    """A mean with its 95 % interval.

    NaN where nothing was measured, or where there is no interval.
    """

    mean: float
    low: float
    high: float

    @property
    def known(self) -> bool:
        """Whether there is an interval."""
        return math.isfinite(self.low) and math.isfinite(self.high)

    def mean_text(self, write: Writer = significant) -> str:
        """The mean alone; ``-`` where nothing was measured."""
        return "-" if math.isnan(self.mean) else write(self.mean)

    def text(self, write: Writer = significant) -> str:
        """``mean [low, high]``; the mean alone without an interval, ``-`` where nothing was
        measured.
        """
        if math.isnan(self.mean) or not self.known:
            return self.mean_text(write)
        return f"{write(self.mean)} [{write(self.low)}, {write(self.high)}]"

    def ends_text(self, write: Writer = significant) -> str:
        """``low to high``."""
        return f"{write(self.low)} to {write(self.high)}" if self.known else "no interval"

    def __str__(self) -> str:
        """As :meth:`text` writes it, three significant digits."""
        return self.text()


@dataclass(frozen=True)
class Estimate(Interval):
    """A mean of ``n`` clusters (episodes) with its 95 % interval."""

    n: int

    def to_dict(self) -> dict[str, float | int | None]:
        """Plain JSON values, None for NaN."""
        return {
            name: None if isinstance(value, float) and np.isnan(value) else value
            for name, value in asdict(self).items()
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Estimate:
        """The estimate that JSON values stand for; NaN and an ``n`` of 0 for what is missing or
        None.
        """
        mean, low, high = (
            NAN if values.get(name) is None else float(values[name])
            for name in ("mean", "low", "high")
        )
        return cls(mean, low, high, int(values.get("n") or 0))


@dataclass(frozen=True)
class Difference(Interval):
    """Mean difference of two players on shared seeds, 95 % interval, and p-value of a two-sided
    sign-flip test.
    """

    p: float
    n: int
