"""Means with intervals, and paired differences.

Everything is seeded, so the same data give the same numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from math import comb, erfc
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vlmgym.core import need

NAN = float("nan")
RESAMPLES = 4000
SHARE, GAP = (0.0, 1.0), (-1.0, 1.0)
"""Ranges of a share, and of the difference of two shares: the ``bounds`` of the functions below."""
Bounds = tuple[float, float] | None


# ---- as text
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
        return ("+" if signed and value > 0 else "") + text.replace("-", "−")

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
            k: None if isinstance(v, float) and np.isnan(v) else v for k, v in asdict(self).items()
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Estimate:
        """The estimate that JSON values stand for; NaN and an ``n`` of 0 for what is missing or
        None.
        """
        mean, low, high = (
            NAN if values.get(key) is None else float(values[key])
            for key in ("mean", "low", "high")
        )
        return cls(mean, low, high, int(values.get("n") or 0))


@lru_cache(4)
def _resample(n: int, seed: int) -> NDArray[np.float64]:
    """How often each of ``n`` clusters is drawn in each bootstrap sample, shape ``(RESAMPLES,
    n)``.
    """
    counts = (
        np.random.default_rng(seed)
        .multinomial(n, np.full(n, 1 / n), size=RESAMPLES)
        .astype(np.float64)
    )
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


def unvaried(centre: float, n: int, bounds: Bounds) -> Estimate:
    """The interval where all ``n`` values are equal, of which resampling would say that it has no
    width.

    With 95 % confidence a share of at most ``1 - 0.05 ** (1 / n)``, about ``3 / n``, was not seen
    (the rule of three; Hanley and Lippman-Hand 1983, JAMA 249). Had that share lain at an end of
    the range, the mean would lie between the ends that are given. Without a range nothing can be
    said: the ends are NaN.

    Args:
        centre: the value.
        n: how often it was seen.
        bounds: the range of a value, such as :data:`SHARE`.
    """
    if bounds is None:
        return Estimate(centre, NAN, NAN, n)
    unseen = 1 - 0.05 ** (1 / n)
    return Estimate(
        centre, centre - unseen * (centre - bounds[0]), centre + unseen * (bounds[1] - centre), n
    )


def ratio(
    numerators: ArrayLike, denominators: ArrayLike, seed: int = 0, bounds: Bounds = None
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
    num, den = np.asarray(numerators, np.float64), np.asarray(denominators, np.float64)
    num, den = num[den > 0], den[den > 0]
    n = len(den)
    if n == 0:
        return Estimate(NAN, NAN, NAN, 0)
    centre = num.sum() / den.sum()
    if n == 1:
        return Estimate(float(centre), NAN, NAN, 1)
    if (num * den[0] == num[0] * den).all():
        return unvaried(float(centre), n, bounds)
    counts = _resample(n, seed)
    below = counts @ den
    samples = (counts @ num)[below > 0] / below[below > 0]
    low, high = np.percentile(samples, [2.5, 97.5])
    return Estimate(float(centre), float(low), float(high), n)


@dataclass(frozen=True)
class Difference(Interval):
    """Mean difference of two players on shared seeds, 95 % interval, and p-value of a two-sided
    sign-flip test.
    """

    p: float
    n: int


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
    a, b = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if a.shape != b.shape:
        raise ValueError(f"paired needs equal lengths, got {a.shape} and {b.shape}")
    gap = a - b
    estimate = mean(gap, seed, bounds)
    rng, extreme = np.random.default_rng(seed + 1), 0
    for _ in range(RESAMPLES // 100):  # in pieces, for the memory's sake
        signs = rng.choice([-1.0, 1.0], size=(100, len(gap)))
        extreme += int((np.abs(signs @ gap) >= abs(gap.sum()) - 1e-12).sum())
    p = (1 + extreme) / (RESAMPLES + 1)
    return Difference(estimate.mean, estimate.low, estimate.high, p, len(gap))


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

    ``(MSB - MSW) / (MSB + (k - 1) MSW)`` with the mean squares between and within rows (Shrout and
    Fleiss 1979, case 1). 1: each repetition tells the same; 0 or less: nothing is learnt of a start
    by repeating it. NaN if nothing varies.

    Args:
        values: ``(n, k)``, ``k`` repetitions of ``n`` starts, both at least 2.

    Raises:
        ValueError: another shape.
    """
    table = np.asarray(values, np.float64)
    if table.ndim != 2 or min(table.shape) < 2:
        raise ValueError(f"icc needs at least 2 rows and 2 columns, got shape {table.shape}")
    n, k = table.shape
    means = table.mean(axis=1)
    between = k * ((means - table.mean()) ** 2).sum() / (n - 1)
    within = ((table - means[:, None]) ** 2).sum() / (n * (k - 1))
    total = between + (k - 1) * within
    return float((between - within) / total) if total > 0 else NAN


def holm(p: ArrayLike) -> NDArray[np.float64]:
    """p-values adjusted for many comparisons, in the given order (Holm 1979): no error in the
    family at level alpha.

    Args:
        p: ``(m,)``.
    """
    values = np.asarray(p, np.float64)
    order = np.argsort(values)
    steps = (len(values) - np.arange(len(values))) * values[order]
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
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
    estimates = [mean(column[~np.isnan(column)], seed) for column in table.T]
    return tuple(
        np.array([getattr(one, key) for one in estimates]) for key in ("mean", "low", "high")
    )  # type: ignore[return-value]


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
    num, den = _seeds_and_episodes(numerators, denominators)
    if len(num) == 1:
        return ratio(num[0], den[0], seed, bounds)
    n = num.shape[1]
    if n == 0 or den.sum() <= 0:
        return Estimate(NAN, NAN, NAN, n)
    centre, error, freedom = _spread(num, den)
    if n == 1:
        return Estimate(centre, NAN, NAN, 1)
    if error == 0:
        return unvaried(centre, n, bounds)
    need("train", "scipy")
    from scipy.special import stdtrit

    low, high = bounds or (-np.inf, np.inf)
    half = float(stdtrit(freedom, 0.975)) * error
    return Estimate(centre, max(centre - half, low), min(centre + half, high), n)


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
    num, den = _seeds_and_episodes(differences, None)
    if num.size == 0:
        return NAN
    off = num - null
    least = _score_p(num.sum(axis=0) / np.maximum(den.sum(axis=0), 1), null, side) if null else 0.0
    if len(num) == 1 and null:
        need("train", "scipy")
        from scipy.special import stdtr

        n = num.shape[1] + 1
        centre = float(num.sum()) / n
        error = ((float((num**2).sum()) + 1) / n - centre**2) ** 0.5 / n**0.5
        return max(least, _sided(1 - float(stdtr(n - 1, (centre - null) / error)), side))
    if len(num) == 1:
        rng = np.random.default_rng(seed + 1)
        flips = rng.choice([-1.0, 1.0], size=(RESAMPLES, num.shape[1])) @ off[0]
        seen = off[0].sum()
        extreme = (
            np.abs(flips) >= abs(seen) - 1e-12 if side == 0 else side * flips >= side * seen - 1e-12
        )
        return float((1 + extreme.sum()) / (RESAMPLES + 1))
    centre, error, freedom = _spread(off, den)
    if error == 0:
        return 1.0
    need("train", "scipy")
    from scipy.special import stdtr

    return max(least, _sided(1 - float(stdtr(freedom, centre / error)), side))


def _sided(above: float, side: int) -> float:
    """A p-value from the probability of what was seen or more: see ``side`` of
    :func:`crossed_p`.
    """
    return min(1.0, 2 * min(above, 1 - above)) if side == 0 else above if side > 0 else 1 - above


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
    n, margin = len(gaps), null / unit
    if margin >= 1:
        return 0.0
    gained, lost = (float(np.maximum(sign * gaps, 0).sum()) / unit for sign in (1, -1))
    half = ((2 * n - gained + lost) * margin - gained - lost) / (4 * n)
    discordant = (half**2 + lost * margin * (1 - margin) / (2 * n)) ** 0.5 - half
    error = (n * (2 * discordant + margin * (1 - margin))) ** 0.5
    return _sided(erfc((gained - lost - n * margin) / error / 2**0.5) / 2, side)


def _seeds_and_episodes(
    numerators: ArrayLike, denominators: ArrayLike | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Both tables ``(seeds, episodes)``, with 0 where nothing was measured."""
    num = np.asarray(numerators, np.float64)
    den = np.ones_like(num) if denominators is None else np.asarray(denominators, np.float64)
    if num.ndim != 2 or num.shape != den.shape:
        raise ValueError(
            f"crossed needs two arrays (seeds, episodes), got shapes {num.shape} and {den.shape}"
        )
    known = ~np.isnan(num)
    return np.where(known, num, 0.0), np.where(known, den, 0.0)


def _spread(num: NDArray[np.float64], den: NDArray[np.float64]) -> tuple[float, float, float]:
    """Centre, standard error and degrees of freedom of :func:`crossed`, for at least two seeds."""
    seeds, n = num.shape
    centre = float(num.sum() / den.sum())
    if n == 1:
        return centre, NAN, NAN
    off = (num - centre * den) / den.mean()
    rows, columns = off.mean(axis=1, keepdims=True), off.mean(axis=0, keepdims=True)
    rest = float(((off - rows - columns) ** 2).sum() / ((seeds - 1) * (n - 1)))
    of_seeds, of_episodes = float(n * rows.var(ddof=1)), float(seeds * columns.var(ddof=1))
    spread = max(of_seeds + of_episodes - rest, of_seeds, of_episodes)
    if spread < 1e-24:
        return centre, 0.0, NAN
    parts = (of_seeds, seeds - 1), (of_episodes, n - 1), (rest, (seeds - 1) * (n - 1))
    freedom = max(spread**2 / sum(part**2 / count for part, count in parts), seeds - 1)
    return centre, (spread / (seeds * n)) ** 0.5, float(freedom)


def sign_test(differences: ArrayLike) -> float:
    """The exact two-sided p-value of the sign test: are positive and negative differences equally
    likely?

    Ties are left out. Of independent runs only, such as training runs: points along one curve are
    not.

    Args:
        differences: ``(n,)``, one of each run.

    Returns:
        The p-value, 1 where all are ties.
    """
    values = np.asarray(differences, np.float64)
    n, k = int((values != 0).sum()), int((values > 0).sum())
    tail = sum(comb(n, i) for i in range(min(k, n - k) + 1)) / 2**n
    return min(1.0, 2 * tail)
