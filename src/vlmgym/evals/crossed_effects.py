"""Intervals and tests over training seeds and episodes, both taken as samples.

Everything is seeded, so the same data give the same numbers.
"""

from __future__ import annotations

from math import erfc
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vlmgym.core import need
from vlmgym.evals.estimates import NAN, Estimate
from vlmgym.evals.stats import RESAMPLES, Bounds, ratio, unvaried


def crossed(
    numerators: ArrayLike,
    denominators: ArrayLike | None = None,
    seed: int = 0,
    bounds: Bounds = None,
) -> Estimate:
    """A mean (or a ratio of sums) over training seeds and episodes, both taken as samples: what
    other seeds would give as well.

    Both are crossed random effects. From the mean squares of seeds, episodes and rest, ``S``, ``E``
    and ``R``, the variance of the mean is ``(S + E - R) / (seeds * episodes)``, its degrees of
    freedom are Satterthwaite's (1946), and the interval is that of Student's t; a ratio is
    linearised at its value. Few seeds that differ thus make a wide interval, where resampling them
    would make one that is too narrow (3 seeds that differ much: simulated coverage 0.79 instead of
    0.91; where they do not differ, 0.97). With one seed it is :func:`ratio`, over episodes alone.

    Args:
        numerators: ``(seeds, episodes)``, the same episodes in every row; NaN where nothing was
            measured.
        denominators: the same shape; None = ones.
        seed: of the resampling of episodes where there is one training seed.
        bounds: the range of a value, to which the interval is cut; see also :func:`unvaried`. Never
            that of the values seen.

    Returns:
        The estimate; ``n`` is the number of episodes.

    Raises:
        ValueError: another shape.
        MissingExtra: SciPy is not installed.
    """
    values, weights = _seeds_and_episodes(numerators, denominators)
    if len(values) == 1:
        return ratio(values[0], weights[0], seed, bounds)
    episode_count = values.shape[1]
    if episode_count == 0 or weights.sum() <= 0:
        return Estimate(NAN, NAN, NAN, episode_count)
    fit = _fit(values, weights)
    if episode_count == 1:
        return Estimate(fit.centre, NAN, NAN, 1)
    if fit.error == 0:
        return unvaried(fit.centre, episode_count, bounds)
    need("train", "scipy")
    from scipy.special import stdtrit

    lowest, highest = bounds or (-np.inf, np.inf)
    margin = float(stdtrit(fit.freedom, 0.975)) * fit.error
    low = max(fit.centre - margin, lowest)
    high = min(fit.centre + margin, highest)
    return Estimate(fit.centre, low, high, episode_count)


def crossed_p(differences: ArrayLike, null: float = 0.0, side: int = 0, seed: int = 0) -> float:
    """The p-value of a mean difference over training seeds and episodes, by the same model as
    :func:`crossed`.

    Args:
        differences: ``(seeds, episodes)``.
        null: the mean under the hypothesis that is tested.
        side: 0: the mean is another one; 1: it is larger; -1: it is smaller.
        seed: of the sign-flip permutation test (Pitman 1937) over episodes, which stands in where
            there is one training seed and ``null`` is 0. Against another ``null`` a share is tested
            by Student's t with half a discordant pair added each way, as equal values would else be
            taken for certainty, and by the score test; the larger p-value counts.

    Returns:
        The p-value; 1 where all values are equal (nothing tells how much they could vary), NaN
        without values.

    Raises:
        ValueError: another shape.
        MissingExtra: SciPy is not installed.
    """
    values, weights = _seeds_and_episodes(differences, None)
    if values.size == 0:
        return NAN
    if len(values) == 1 and not null:
        return _permutation_p(values[0], side, seed)
    score_p = 0.0
    if null:
        seed_counts = np.maximum(weights.sum(axis=0), 1)
        score_p = _score_p(values.sum(axis=0) / seed_counts, null, side)
    if len(values) == 1:
        return max(score_p, _student_p(values[0], null, side))
    fit = _fit(values - null, weights)
    if fit.error == 0:
        return 1.0
    need("train", "scipy")
    from scipy.special import stdtr

    upper_tail = 1 - float(stdtr(fit.freedom, fit.centre / fit.error))
    return max(score_p, _sided(upper_tail, side))


def _permutation_p(differences: NDArray[np.float64], side: int, seed: int) -> float:
    """The p-value of the sign-flip permutation test over episodes, ``(n,)``."""
    generator = np.random.default_rng(seed + 1)
    signs = generator.choice([-1.0, 1.0], size=(RESAMPLES, len(differences)))
    permuted = signs @ differences
    observed = differences.sum()
    if side == 0:
        extreme = np.abs(permuted) >= abs(observed) - 1e-12
    else:
        extreme = side * permuted >= side * observed - 1e-12
    return float((1 + extreme.sum()) / (RESAMPLES + 1))


def _student_p(differences: NDArray[np.float64], null: float, side: int) -> float:
    """The p-value of Student's t over episodes, ``(n,)``, with half a discordant pair added each
    way.
    """
    need("train", "scipy")
    from scipy.special import stdtr

    count = len(differences) + 1
    centre = float(differences.sum()) / count
    variance = (float((differences**2).sum()) + 1) / count - centre**2
    error = variance**0.5 / count**0.5
    upper_tail = 1 - float(stdtr(count - 1, (centre - null) / error))
    return _sided(upper_tail, side)


def _sided(upper_tail: float, side: int) -> float:
    """A p-value from the probability of the observed value or more: see ``side`` of
    :func:`crossed_p`.
    """
    if side == 0:
        return min(1.0, 2 * min(upper_tail, 1 - upper_tail))
    return upper_tail if side > 0 else 1 - upper_tail


def _score_p(differences: NDArray[np.float64], null: float, side: int) -> float:
    """The p-value of the score test of a mean difference of paired shares against ``null`` (Tango
    1998, Stat. Med. 17).

    Its variance is that under the hypothesis, so that few values other than 0 are not taken for
    little variance. Values that are no whole pairs, such as means over training seeds, are counted
    in units of their own size.

    Args:
        differences: ``(n,)``, one for each episode.
        null: see :func:`crossed_p`, not 0.
        side: see :func:`crossed_p`.

    Returns:
        The p-value; 0, no bound, where the unit is smaller than ``null``.
    """
    if null < 0:
        return _score_p(-differences, -null, -side)
    total = float(np.abs(differences).sum())
    unit = float((differences**2).sum()) / total if total else 1.0
    margin = null / unit
    if margin >= 1:
        return 0.0
    count = len(differences)
    gained = float(np.maximum(differences, 0).sum()) / unit
    lost = float(np.maximum(-differences, 0).sum()) / unit
    # the share of discordant pairs under the hypothesis is the root of a quadratic
    linear = ((2 * count - gained + lost) * margin - gained - lost) / (4 * count)
    constant = lost * margin * (1 - margin) / (2 * count)
    discordant = (linear**2 + constant) ** 0.5 - linear
    error = (count * (2 * discordant + margin * (1 - margin))) ** 0.5
    score = (gained - lost - count * margin) / error
    return _sided(erfc(score / 2**0.5) / 2, side)


def _seeds_and_episodes(
    numerators: ArrayLike, denominators: ArrayLike | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Both tables ``(seeds, episodes)``, with 0 where nothing was measured."""
    values = np.asarray(numerators, np.float64)
    weights = np.ones_like(values)
    if denominators is not None:
        weights = np.asarray(denominators, np.float64)
    if values.ndim != 2 or values.shape != weights.shape:
        raise ValueError(
            "crossed needs two arrays (seeds, episodes), got shapes "
            f"{values.shape} and {weights.shape}"
        )
    measured = ~np.isnan(values)
    return np.where(measured, values, 0.0), np.where(measured, weights, 0.0)


class _Fit(NamedTuple):
    """What the model of :func:`crossed` says of a table."""

    centre: float
    error: float  # standard error of the centre
    freedom: float  # degrees of freedom of the error


def _fit(values: NDArray[np.float64], weights: NDArray[np.float64]) -> _Fit:
    """The model of :func:`crossed`, for at least two seeds.

    Args:
        values: ``(seeds, episodes)``.
        weights: the same shape; the centre is the sum of the values by that of the weights.
    """
    seeds, episodes = values.shape
    centre = float(values.sum() / weights.sum())
    if episodes == 1:
        return _Fit(centre, NAN, NAN)
    residuals = (values - centre * weights) / weights.mean()
    seed_effects = residuals.mean(axis=1, keepdims=True)
    episode_effects = residuals.mean(axis=0, keepdims=True)
    interaction = residuals - seed_effects - episode_effects
    seed_freedom = seeds - 1
    episode_freedom = episodes - 1
    interaction_freedom = seed_freedom * episode_freedom
    seed_square = float(episodes * seed_effects.var(ddof=1))
    episode_square = float(seeds * episode_effects.var(ddof=1))
    interaction_square = float((interaction**2).sum() / interaction_freedom)
    combined = seed_square + episode_square - interaction_square
    square = max(combined, seed_square, episode_square)
    if square < 1e-24:
        return _Fit(centre, 0.0, NAN)
    uncertainty = (
        seed_square**2 / seed_freedom
        + episode_square**2 / episode_freedom
        + interaction_square**2 / interaction_freedom
    )
    satterthwaite = square**2 / uncertainty
    freedom = max(satterthwaite, seed_freedom)
    error = (square / (seeds * episodes)) ** 0.5
    return _Fit(centre, error, float(freedom))
