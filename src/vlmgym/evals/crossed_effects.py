"""Intervals and tests over training seeds and episodes, both taken as samples.

Everything is seeded, so the same data give the same numbers.
"""

from __future__ import annotations

from math import erfc

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
    above, below = _seeds_and_episodes(numerators, denominators)
    if len(above) == 1:
        return ratio(above[0], below[0], seed, bounds)
    n = above.shape[1]
    if n == 0 or below.sum() <= 0:
        return Estimate(NAN, NAN, NAN, n)
    centre, error, freedom = _spread(above, below)
    if n == 1:
        return Estimate(centre, NAN, NAN, 1)
    if error == 0:
        return unvaried(centre, n, bounds)
    need("train", "scipy")
    from scipy.special import stdtrit

    least, most = bounds or (-np.inf, np.inf)
    half = float(stdtrit(freedom, 0.975)) * error
    return Estimate(centre, max(centre - half, least), min(centre + half, most), n)


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
    values, counts = _seeds_and_episodes(differences, None)
    if values.size == 0:
        return NAN
    if len(values) == 1 and not null:
        return _flipped_p(values[0], side, seed)
    gaps = values - null
    least = 0.0
    if null:
        means = values.sum(axis=0) / np.maximum(counts.sum(axis=0), 1)
        least = _score_p(means, null, side)
    if len(values) == 1:
        return max(least, _student_p(values[0], null, side))
    centre, error, freedom = _spread(gaps, counts)
    if error == 0:
        return 1.0
    need("train", "scipy")
    from scipy.special import stdtr

    return max(least, _sided(1 - float(stdtr(freedom, centre / error)), side))


def _flipped_p(gaps: NDArray[np.float64], side: int, seed: int) -> float:
    """The p-value of the sign-flip permutation test over episodes, ``(n,)``."""
    generator = np.random.default_rng(seed + 1)
    flipped = generator.choice([-1.0, 1.0], size=(RESAMPLES, len(gaps))) @ gaps
    seen = gaps.sum()
    if side == 0:
        extreme = np.abs(flipped) >= abs(seen) - 1e-12
    else:
        extreme = side * flipped >= side * seen - 1e-12
    return float((1 + extreme.sum()) / (RESAMPLES + 1))


def _student_p(gaps: NDArray[np.float64], null: float, side: int) -> float:
    """The p-value of Student's t over episodes, ``(n,)``, with half a discordant pair added each
    way.
    """
    need("train", "scipy")
    from scipy.special import stdtr

    n = len(gaps) + 1
    centre = float(gaps.sum()) / n
    variance = (float((gaps**2).sum()) + 1) / n - centre**2
    error = variance**0.5 / n**0.5
    return _sided(1 - float(stdtr(n - 1, (centre - null) / error)), side)


def _sided(above: float, side: int) -> float:
    """A p-value from the probability of what was seen or more: see ``side`` of
    :func:`crossed_p`.
    """
    if side == 0:
        return min(1.0, 2 * min(above, 1 - above))
    return above if side > 0 else 1 - above


def _score_p(gaps: NDArray[np.float64], null: float, side: int) -> float:
    """The p-value of the score test of a mean difference of paired shares against ``null`` (Tango
    1998, Stat. Med. 17).

    Its variance is that under the hypothesis, so that few values other than 0 are not taken for
    little variance. Values that are no whole pairs, such as means over training seeds, are counted
    in units of their own size.

    Args:
        gaps: ``(n,)``, one for each episode.
        null: see :func:`crossed_p`, not 0.
        side: see :func:`crossed_p`.

    Returns:
        The p-value; 0, no bound, where the unit is smaller than ``null``.
    """
    if null < 0:
        return _score_p(-gaps, -null, -side)
    whole = float(np.abs(gaps).sum())
    unit = float((gaps**2).sum()) / whole if whole else 1.0
    n = len(gaps)
    margin = null / unit
    if margin >= 1:
        return 0.0
    gained = float(np.maximum(gaps, 0).sum()) / unit
    lost = float(np.maximum(-gaps, 0).sum()) / unit
    half = ((2 * n - gained + lost) * margin - gained - lost) / (4 * n)
    discordant = (half**2 + lost * margin * (1 - margin) / (2 * n)) ** 0.5 - half
    error = (n * (2 * discordant + margin * (1 - margin))) ** 0.5
    score = (gained - lost - n * margin) / error
    return _sided(erfc(score / 2**0.5) / 2, side)


def _seeds_and_episodes(
    numerators: ArrayLike, denominators: ArrayLike | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Both tables ``(seeds, episodes)``, with 0 where nothing was measured."""
    above = np.asarray(numerators, np.float64)
    below = np.ones_like(above) if denominators is None else np.asarray(denominators, np.float64)
    if above.ndim != 2 or above.shape != below.shape:
        raise ValueError(
            "crossed needs two arrays (seeds, episodes), got shapes "
            f"{above.shape} and {below.shape}"
        )
    known = ~np.isnan(above)
    return np.where(known, above, 0.0), np.where(known, below, 0.0)


def _spread(above: NDArray[np.float64], below: NDArray[np.float64]) -> tuple[float, float, float]:
    """Centre, standard error and degrees of freedom of :func:`crossed`, for at least two seeds."""
    seeds, n = above.shape
    centre = float(above.sum() / below.sum())
    if n == 1:
        return centre, NAN, NAN
    residuals = (above - centre * below) / below.mean()
    rows = residuals.mean(axis=1, keepdims=True)
    columns = residuals.mean(axis=0, keepdims=True)
    freedom_of_rest = (seeds - 1) * (n - 1)
    of_rest = float(((residuals - rows - columns) ** 2).sum() / freedom_of_rest)
    of_seeds = float(n * rows.var(ddof=1))
    of_episodes = float(seeds * columns.var(ddof=1))
    spread = max(of_seeds + of_episodes - of_rest, of_seeds, of_episodes)
    if spread < 1e-24:
        return centre, 0.0, NAN
    terms = ((of_seeds, seeds - 1), (of_episodes, n - 1), (of_rest, freedom_of_rest))
    satterthwaite = spread**2 / sum(variance**2 / count for variance, count in terms)
    freedom = max(satterthwaite, seeds - 1)
    return centre, (spread / (seeds * n)) ** 0.5, float(freedom)
