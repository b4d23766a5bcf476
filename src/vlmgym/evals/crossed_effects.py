"""Intervals and tests over training seeds and episodes, both taken as samples.

Everything is seeded, so the same data give the same numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from math import erfc

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vlmgym.core import need
from vlmgym.evals.estimates import NAN, Estimate
from vlmgym.evals.stats import Bounds, ratio, unvaried

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Effect:
    """A mean over training seeds and starts, and how surely it is known.

    Both are crossed random effects. With ``S``, ``E`` and ``R`` the mean squares of seeds, starts
    and rest, the variance of the mean is ``(S + E - R) / (seeds * starts)``. ``S`` is known from
    few seeds, so each part has a quantile of its own: half of an interval is ``sqrt(t(seeds - 1)^2
    * S + t(starts - 1)^2 * (E - R))``, up to the factor, which covers at least what it says for
    independent parts (Banerjee 1960, Sankhya 22). One number of degrees of freedom for both
    (Satterthwaite 1946) covers 0.91 instead of 0.95 where three seeds differ much;
    ``benchmarks/verdict_rates.py`` has the numbers.
    """

    centre: float
    between: float  # variance of the centre from the seeds, with the rest
    within: float  # variance of the centre from the starts, beyond the rest
    seeds: int
    starts: int

    @property
    def known(self) -> bool:
        """Whether anything varied, so that an interval can be computed."""
        return self.starts > 1 and self.between + self.within > 1e-24

    def half_width(self, confidence: float = 0.95) -> float:
        """Half of the interval of a confidence, two-sided."""
        quantile = (1 + confidence) / 2
        student = _student()
        square = float(student(self.starts - 1, quantile)) ** 2 * self.within
        if self.seeds > 1:
            square += float(student(self.seeds - 1, quantile)) ** 2 * self.between
        return float(square**0.5)

    def p(self, null: float = 0.0, side: int = 0) -> float:
        """The p-value of a hypothesis about the mean: 1 minus the confidence of the interval that
        ends there.

        Args:
            null: the mean under the hypothesis that is tested.
            side: 0: the mean is another one; 1: it is larger; -1: it is smaller.
        """
        if not self.known:
            return 1.0
        distance = abs(self.centre - null)
        low, high = 0.0, 1.0
        for _ in range(40):
            middle = (low + high) / 2
            if self.half_width(middle) < distance:
                low = middle
            else:
                high = middle
        both_tails = 1 - (low + high) / 2
        is_above = self.centre >= null
        return _sided(both_tails / 2 if is_above else 1 - both_tails / 2, side)


@cache
def _student() -> Callable[[float, float], float]:
    """The quantiles of Student's t, of degrees of freedom and a probability.

    Raises:
        MissingExtra: SciPy is not installed.
    """
    need("train", "scipy")
    from scipy.special import stdtrit

    quantiles: Callable[[float, float], float] = stdtrit
    return quantiles


def effect_of(tables: Sequence[tuple[Array, Array]], floor: float = 0.0) -> Effect:
    """The mean over several sets of starts (one a game), each a ratio of sums.

    All sets have the same training seeds, whose luck may be shared between them; the sets
    themselves are fixed, only their starts are samples.

    Args:
        tables: of each set numerators and denominators ``(seeds, starts)``, 0 where nothing was
            measured; each ratio is linearised at its value.
        floor: half the range of a value; so much is added to the deviations of the starts as if one
            of them, half each way, had lain there. Few values other than one are then not taken for
            no variance.
    """
    seeds = len(tables[0][0])
    lines = np.zeros(seeds)  # of each seed its deviation from the centre, mean over the sets
    centre = within = rest = lowest = 0.0
    fewest = min(int(_counted(*table).sum()) for table in tables)
    for values, weights in tables:
        counted = _counted(values, weights)
        starts = int(counted.sum())
        values, weights = values[:, counted], weights[:, counted]
        of_set = float(values.sum() / weights.sum()) if weights.sum() else NAN
        centre += of_set / len(tables)
        if starts < 2:
            continue
        residuals = (values - of_set * weights) / weights.mean()
        of_seeds = residuals.mean(axis=1)
        of_starts = residuals.mean(axis=0)
        lines += of_seeds / len(tables)
        share = 1 / (starts * len(tables) ** 2)
        within += float(of_starts.var(ddof=1)) * share
        lowest += floor**2 / starts * share
        if seeds > 1:
            remaining = residuals - of_seeds[:, None] - of_starts
            freedom = (seeds - 1) * (starts - 1)
            rest += float((remaining**2).sum()) / freedom / seeds * share
    between = 0.0
    if seeds > 1:
        between = float(lines.var(ddof=1)) / seeds
    # seeds that happen to be more alike than the rest allows take nothing from the starts
    within = max(within - min(rest, between), 0.0)
    return Effect(centre, between, within + lowest, seeds, fewest)


def _counted(values: Array, weights: Array) -> NDArray[np.bool_]:
    """The starts at which anything was measured, ``(starts,)``."""
    measured: NDArray[np.bool_] = ((values != 0) | (weights != 0)).any(axis=0)
    return measured


def crossed(
    numerators: ArrayLike,
    denominators: ArrayLike | None = None,
    seed: int = 0,
    bounds: Bounds = None,
) -> Estimate:
    """A mean (or a ratio of sums) over training seeds and episodes, both taken as samples: what
    other seeds would give as well.

    Few seeds that differ make a wide interval (:class:`Effect`), where resampling them would make
    one that is too narrow. With one seed it is :func:`ratio`, over episodes alone.

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
    effect = effect_of([(values, weights)])
    if episode_count == 1:
        return Estimate(effect.centre, NAN, NAN, 1)
    if not effect.known:
        return unvaried(effect.centre, episode_count, bounds)
    return cut(effect, bounds, episode_count)


def cut(effect: Effect, bounds: Bounds, count: int) -> Estimate:
    """The 95 % interval of an effect, cut to the range of a value."""
    lowest, highest = bounds or (-np.inf, np.inf)
    margin = effect.half_width()
    low = max(effect.centre - margin, lowest)
    high = min(effect.centre + margin, highest)
    return Estimate(effect.centre, low, high, count)


def _sided(upper_tail: float, side: int) -> float:
    """A p-value from the probability of the observed value or more: see ``side`` of
    :meth:`Effect.p`.
    """
    if side == 0:
        return min(1.0, 2 * min(upper_tail, 1 - upper_tail))
    return upper_tail if side > 0 else 1 - upper_tail


def score_test(differences: Array, null: float, side: int) -> float:
    """The p-value of the score test of a mean difference of paired shares against ``null`` (Tango
    1998, Stat. Med. 17).

    Its variance is that under the hypothesis, so that few values other than 0 are not taken for
    little variance. Values that are no whole pairs, such as means over training seeds, are counted
    in units of their own size.

    Args:
        differences: ``(n,)``, one for each episode.
        null: see :meth:`Effect.p`, not 0.
        side: see :meth:`Effect.p`.

    Returns:
        The p-value; 0, no bound, where the unit is smaller than ``null``.
    """
    if null < 0:
        return score_test(-differences, -null, -side)
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
) -> tuple[Array, Array]:
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
