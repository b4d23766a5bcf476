"""Means with intervals, and paired differences.

Everything is seeded, so the same data give the same numbers.
"""

from __future__ import annotations

from functools import lru_cache
from math import comb

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vlmgym.evals.estimates import NAN, Difference, Estimate

RESAMPLES = 4000

Bounds = tuple[float, float] | None
"""The range of a value; None where there is none."""
SHARE = (0.0, 1.0)
"""The range of a share."""
GAP = (-1.0, 1.0)
"""The range of the difference of two shares."""


@lru_cache(4)
def resample(clusters: int, seed: int) -> NDArray[np.float64]:
    """How often each cluster is drawn in each bootstrap sample, ``(RESAMPLES, clusters)``."""
    generator = np.random.default_rng(seed)
    probabilities = np.full(clusters, 1 / clusters)
    counts = generator.multinomial(clusters, probabilities, size=RESAMPLES).astype(np.float64)
    counts.flags.writeable = False
    return counts


def mean(values: ArrayLike, seed: int = 0, bounds: Bounds = None) -> Estimate:
    """Mean of one value per episode, with the percentile bootstrap interval (Efron and Tibshirani
    1993, chapter 13).

    Args:
        values: ``(n,)``, one number for each episode.
        seed: of the resampling.
        bounds: the range of a value, see :func:`unvaried`.
    """
    array = np.asarray(values, np.float64)
    return ratio(array, np.ones_like(array), seed, bounds)


def unvaried(centre: float, count: int, bounds: Bounds) -> Estimate:
    """The interval where all ``count`` values are equal, of which resampling would say that it has
    no width.

    With 95 % confidence a share of at most ``1 - 0.05 ** (1 / count)``, about ``3 / count``, was
    not seen (the rule of three; Hanley and Lippman-Hand 1983, JAMA 249). Had that share lain at an
    end of the range, the mean would lie between the ends that are given. Without a range nothing
    can be said: the ends are NaN.

    Args:
        centre: the value.
        count: how often it was seen.
        bounds: the range of a value, such as :data:`SHARE`.
    """
    if bounds is None:
        return Estimate(centre, NAN, NAN, count)
    lowest, highest = bounds
    unseen = 1 - 0.05 ** (1 / count)
    low = centre - unseen * (centre - lowest)
    high = centre + unseen * (highest - centre)
    return Estimate(centre, low, high, count)


def ratio(
    numerators: ArrayLike,
    denominators: ArrayLike,
    seed: int = 0,
    bounds: Bounds = None,
) -> Estimate:
    """``sum(numerators) / sum(denominators)``, resampling whole episodes (cluster bootstrap; Field
    and Welsh 2007).

    For a rate over turns, give for each episode the number of hits and the number of turns.
    Episodes whose denominator is 0 do not count. Resamples in which the sum of the denominators is
    0 are left out.

    Args:
        numerators: ``(n,)``.
        denominators: ``(n,)``, none negative.
        seed: of the resampling.
        bounds: the range of the ratio of an episode, see :func:`unvaried`.
    """
    values = np.asarray(numerators, np.float64)
    weights = np.asarray(denominators, np.float64)
    counted = weights > 0
    values = values[counted]
    weights = weights[counted]
    episodes = len(weights)
    if episodes == 0:
        return Estimate(NAN, NAN, NAN, 0)
    centre = float(values.sum() / weights.sum())
    if episodes == 1:
        return Estimate(centre, NAN, NAN, 1)
    all_equal = (values * weights[0] == values[0] * weights).all()
    if all_equal:
        return unvaried(centre, episodes, bounds)
    counts = resample(episodes, seed)
    resampled_values = counts @ values
    resampled_weights = counts @ weights
    defined = resampled_weights > 0
    ratios = resampled_values[defined] / resampled_weights[defined]
    low, high = np.percentile(ratios, [2.5, 97.5])
    return Estimate(centre, float(low), float(high), episodes)


def paired(first: ArrayLike, second: ArrayLike, seed: int = 0, bounds: Bounds = None) -> Difference:
    """``first - second``, element by element on shared seeds.

    The interval is the percentile bootstrap of the differences; the p-value is that of the
    sign-flip permutation test (Pitman 1937), estimated from :data:`RESAMPLES` flips with the usual
    +1 correction (Phipson and Smyth 2010).

    Args:
        first: ``(n,)``.
        second: ``(n,)``, on the same seeds.
        seed: of the resampling.
        bounds: the range of a difference, such as :data:`GAP`; see :func:`unvaried`.

    Raises:
        ValueError: the lengths differ.
    """
    minuend = np.asarray(first, np.float64)
    subtrahend = np.asarray(second, np.float64)
    if minuend.shape != subtrahend.shape:
        raise ValueError(f"paired needs equal lengths, got {minuend.shape} and {subtrahend.shape}")
    differences = minuend - subtrahend
    estimate = mean(differences, seed, bounds)
    generator = np.random.default_rng(seed + 1)
    threshold = abs(differences.sum()) - 1e-12
    extreme = 0
    for _ in range(RESAMPLES // 100):  # in pieces, for the memory's sake
        signs = generator.choice([-1.0, 1.0], size=(100, len(differences)))
        permuted = np.abs(signs @ differences)
        extreme += int((permuted >= threshold).sum())
    p_value = (1 + extreme) / (RESAMPLES + 1)
    return Difference(estimate.mean, estimate.low, estimate.high, p_value, len(differences))


def pass_at_k(n: int, hits: int, k: int) -> float:
    """Probability that at least one of ``k`` answers drawn from ``n``, of which ``hits`` are good,
    is good.

    The unbiased estimator ``1 - C(n - hits, k) / C(n, k)`` (Chen et al. 2021, arXiv 2107.03374,
    equation 1).

    Raises:
        ValueError: not ``0 <= hits <= n`` and ``1 <= k <= n``.
    """
    if not (0 <= hits <= n and 1 <= k <= n):
        raise ValueError(
            f"pass_at_k(n={n}, hits={hits}, k={k}): allowed are 0 <= hits <= n and 1 <= k <= n"
        )
    return 1.0 - comb(n - hits, k) / comb(n, k)


def icc(values: ArrayLike) -> float:
    """Intraclass correlation ICC(1): the share of the variance that lies between starts, not
    between repetitions.

    ``(MSB - MSW) / (MSB + (repeats - 1) MSW)`` with the mean squares between and within rows
    (Shrout and Fleiss 1979, case 1). 1: each repetition tells the same; 0 or less: nothing is
    learnt of a start by repeating it. NaN if nothing varies.

    Args:
        values: ``(starts, repeats)``, both at least 2.

    Raises:
        ValueError: another shape.
    """
    table = np.asarray(values, np.float64)
    if table.ndim != 2 or min(table.shape) < 2:
        raise ValueError(f"icc needs at least 2 rows and 2 columns, got shape {table.shape}")
    starts, repeats = table.shape
    means = table.mean(axis=1)
    deviations_between = means - table.mean()
    deviations_within = table - means[:, None]
    between = repeats * (deviations_between**2).sum() / (starts - 1)
    within = (deviations_within**2).sum() / (starts * (repeats - 1))
    total = between + (repeats - 1) * within
    return float((between - within) / total) if total > 0 else NAN


def holm(p_values: ArrayLike) -> NDArray[np.float64]:
    """p-values adjusted for many comparisons, in the given order (Holm 1979): no error in the
    family at level alpha.

    Args:
        p_values: ``(m,)``.
    """
    values = np.asarray(p_values, np.float64)
    order = np.argsort(values)
    remaining_hypotheses = len(values) - np.arange(len(values))
    bounds = remaining_hypotheses * values[order]
    increasing = np.maximum.accumulate(bounds)
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(increasing, 1.0)
    return adjusted


def band(
    curves: ArrayLike, seed: int = 0
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Mean of several learning curves with a pointwise 95 % band, resampling whole curves; the band
    is NaN for a single one.

    Args:
        curves: ``(n, points)``, NaN where a curve has no value there.
        seed: of the resampling.

    Returns:
        Mean, low and high, each ``(points,)``.
    """
    table = np.asarray(curves, np.float64)
    estimates = []
    for column in table.T:
        measured = column[~np.isnan(column)]
        estimates.append(mean(measured, seed))
    means = np.array([estimate.mean for estimate in estimates])
    low = np.array([estimate.low for estimate in estimates])
    high = np.array([estimate.high for estimate in estimates])
    return means, low, high
