"""Means with intervals, and paired differences. Everything is seeded, so the same data give the same numbers."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

RESAMPLES = 4000


@dataclass(frozen=True)
class Estimate:
    """A mean with its 95 % interval; ``n`` is the number of clusters (episodes) behind it. NaN where nothing was measured."""

    mean: float
    low: float
    high: float
    n: int

    def __str__(self) -> str:
        """``mean [low, high]``, three significant digits."""
        return "-" if np.isnan(self.mean) else f"{self.mean:.3g} [{self.low:.3g}, {self.high:.3g}]"

    def to_dict(self) -> dict[str, float | int | None]:
        """Plain JSON values, None for NaN."""
        return {k: None if isinstance(v, float) and np.isnan(v) else v for k, v in asdict(self).items()}


@lru_cache(4)
def _resample(n: int, seed: int) -> NDArray[np.float64]:
    """How often each of ``n`` clusters is drawn in each bootstrap sample, shape ``(RESAMPLES, n)``."""
    counts = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=RESAMPLES).astype(np.float64)
    counts.flags.writeable = False
    return counts


def mean(values: ArrayLike, seed: int = 0) -> Estimate:
    """Mean of one value per episode, with the percentile bootstrap interval (Efron and Tibshirani 1993, chapter 13).

    Args:
        values: ``(n,)``, one number for each episode.
        seed: of the resampling.
    """
    array = np.asarray(values, np.float64)
    return ratio(array, np.ones_like(array), seed)


def ratio(numerators: ArrayLike, denominators: ArrayLike, seed: int = 0) -> Estimate:
    """``sum(numerators) / sum(denominators)``, resampling whole episodes (cluster bootstrap; Field and Welsh 2007).

    For a rate over turns, give for each episode the number of hits and the number of turns. Episodes whose denominator is 0
    do not count. Resamples in which the sum of the denominators is 0 are left out.

    Args:
        numerators: ``(n,)``.
        denominators: ``(n,)``, none negative.
        seed: of the resampling.
    """
    num, den = np.asarray(numerators, np.float64), np.asarray(denominators, np.float64)
    num, den = num[den > 0], den[den > 0]
    n = len(den)
    if n == 0:
        return Estimate(float("nan"), float("nan"), float("nan"), 0)
    centre = num.sum() / den.sum()
    if n == 1:
        return Estimate(float(centre), float("nan"), float("nan"), 1)
    counts = _resample(n, seed)
    below = counts @ den
    samples = (counts @ num)[below > 0] / below[below > 0]
    low, high = np.percentile(samples, [2.5, 97.5])
    return Estimate(float(centre), float(low), float(high), n)


@dataclass(frozen=True)
class Difference:
    """Mean difference of two players on shared seeds, 95 % interval, and p-value of a two-sided sign-flip test."""

    mean: float
    low: float
    high: float
    p: float
    n: int


def paired(first: ArrayLike, second: ArrayLike, seed: int = 0) -> Difference:
    """``first - second``, element by element on shared seeds.

    The interval is the percentile bootstrap of the differences; the p-value is that of the sign-flip permutation test
    (Pitman 1937), estimated from :data:`RESAMPLES` flips with the usual +1 correction (Phipson and Smyth 2010).

    Raises:
        ValueError: the lengths differ.
    """
    a, b = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if a.shape != b.shape:
        raise ValueError(f"paired needs equal lengths, got {a.shape} and {b.shape}")
    gap = a - b
    estimate = mean(gap, seed)
    signs = np.random.default_rng(seed + 1).choice([-1.0, 1.0], size=(RESAMPLES, len(gap)))
    extreme = np.abs(signs @ gap) >= abs(gap.sum()) - 1e-12
    p = (1 + int(extreme.sum())) / (RESAMPLES + 1)
    return Difference(estimate.mean, estimate.low, estimate.high, p, len(gap))
