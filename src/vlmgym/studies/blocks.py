"""How well the ways to give credit estimate the advantages of the two blocks of an answer.

For some states a model gives many descriptions, and many continuations after each of them
(:mod:`vlmgym.studies.branches`). The table of their rewards is a policy of two stages of which
everything is known: its true advantages are means of the table, and a step of training is a small
draw from it, with replacement. So bias, variance and direction of every estimator in
:mod:`vlmgym.train.credit` are measured against the truth (:func:`quality`), at as many draws as
wanted and without asking the model again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vlmgym.core import ConfigError
from vlmgym.train.credit import ESTIMATORS, BranchRewards, Values


@dataclass(frozen=True)
class RewardTables:
    """Game rewards of ``N`` states, ``D`` descriptions of each, ``C`` continuations of those, each
    ``(N, D, C)``.

    Attributes:
        rewards: on the board as it is.
        described: of the same moves on the board as described.
    """

    rewards: Values
    described: Values

    @property
    def of_descriptions(self) -> Values:
        """``(N, D)``: the true advantages of the descriptions."""
        values = self.rewards.mean(axis=2)
        return values - values.mean(axis=1, keepdims=True)

    @property
    def of_continuations(self) -> Values:
        """``(N, D, C)``: the true advantages of the continuations."""
        return self.rewards - self.rewards.mean(axis=2, keepdims=True)


@dataclass(frozen=True)
class Variances:
    """Where the game's reward varies, after the states.

    What chance gives and takes is counted off, so these are of the policy and not of its table: a
    mean of 64 continuations differs from description to description also where no description is
    better than another.

    Attributes:
        descriptions: mean over states of the variance of the worth of descriptions.
        continuations: mean over states of the variance of rewards after one description.
        reliability: how much of the variance of the true advantages of descriptions, as the table
            has them, is that of the policy and not chance: 1 = all; NaN where none varies.
        states: in the table.
        varied: states in which not all rewards are the same.
        mean: reward.
    """

    descriptions: float
    continuations: float
    reliability: float
    states: int
    varied: int
    mean: float


def variances(tables: RewardTables) -> Variances:
    """The variances of the rewards of a table, by the means of squares of nested groups."""
    rewards = tables.rewards
    within = float(rewards.var(axis=2, ddof=1).mean())
    of_means = float(rewards.mean(axis=2).var(axis=1, ddof=1).mean())
    between = max(of_means - within / rewards.shape[2], 0.0)
    return Variances(
        descriptions=between,
        continuations=within,
        reliability=between / of_means if of_means else float("nan"),
        states=len(rewards),
        varied=int((np.ptp(rewards, axis=(1, 2)) > 0).sum()),
        mean=float(rewards.mean()),
    )


@dataclass(frozen=True)
class Quality:
    """How an estimator does on one block: of advantages before they are divided by their spread.

    Attributes:
        bias: root mean square over the blocks of the table of what the mean estimate of a block
            misses its advantage by.
        deviation: root mean square of what an estimate misses the mean estimate of its block by.
        cosine: mean over draws of the cosine between the estimated and the true gradient, whatever
            their scale, so that 16 noisy estimates and 4 quiet ones can be compared. The gradient
            is that of a policy with a logit for each block of the table: a block's advantage at its
            place, less the mean over its alternatives (``A (e - pi)``, all equally likely here). 0
            where all estimates are 0, NaN where the truth always is.
    """

    bias: float
    deviation: float
    cosine: float


def quality(
    tables: RewardTables, credit: str, descriptions: int, continuations: int, draws: int, seed: int
) -> tuple[Quality, Quality]:
    """How an estimator does with so many answers a state: on descriptions, and on continuations.

    Args:
        tables: see :class:`RewardTables`.
        credit: one of :data:`vlmgym.train.credit.ESTIMATORS` that needs no other answers:
            ``flat``, ``nested``, ``replay``. (``decoupled`` on a closed path is ``nested`` for
            descriptions and ``flat`` for continuations.)
        descriptions: of each state in a draw.
        continuations: of each of them.
        draws: how often all states are drawn from.
        seed: of the draws.

    Raises:
        ConfigError: another estimator.
    """
    if credit not in ("flat", "nested", "replay"):
        raise ConfigError("credit", credit, "flat, nested or replay")
    rng = np.random.default_rng(seed)
    states, most, more = tables.rewards.shape
    first = _Errors(tables.of_descriptions)
    second = _Errors(tables.of_continuations)
    for start in range(0, draws, _TOGETHER):
        count = min(_TOGETHER, draws - start)
        # several draws are so many more states to an estimator
        rows = np.tile(np.arange(states), count)[:, None, None]
        said = rng.integers(most, size=(len(rows), descriptions, 1))
        thought = rng.integers(more, size=(len(rows), descriptions, continuations))
        drawn = BranchRewards(
            tables.rewards[rows, said, thought],
            np.zeros(said.shape[:2]),
            described=tables.described[rows, said, thought],
        )
        advantages = ESTIMATORS[credit](drawn)
        places = rows * most + said
        first.add(count, places[:, :, 0], advantages.descriptions)
        second.add(count, places * more + thought, advantages.continuations)
    return first.quality(), second.quality()


_TOGETHER = 50
"""Draws that are made at once."""


class _Errors:
    """Collects estimates of true values."""

    def __init__(self, truth: Values) -> None:
        self.siblings = truth.shape[-1]
        self.truth = truth.ravel()
        self.counts = np.zeros(self.truth.shape)
        self.sums = np.zeros(self.truth.shape)
        self.squares = np.zeros(self.truth.shape)
        self.cosines: list[float] = []

    def add(self, draws: int, places: NDArray[np.int64], estimates: Values) -> None:
        """Take the estimates of the values at some places, of so many draws."""
        size = len(self.truth)
        flat_places = places.ravel()
        self.counts += np.bincount(flat_places, minlength=size)
        self.sums += np.bincount(flat_places, estimates.ravel(), minlength=size)
        self.squares += np.bincount(flat_places, estimates.ravel() ** 2, minlength=size)
        truth = self.truth[places].reshape(draws, -1)
        estimated = estimates.reshape(draws, -1)
        drawn = places.reshape(draws, -1)
        lengths = np.linalg.norm(self.truth) * _lengths(drawn, estimated, self.siblings)
        products = (truth * estimated).sum(axis=1)
        cosines = np.divide(products, lengths, out=np.zeros(draws), where=lengths > 0)
        if self.truth.any():
            self.cosines += cosines.tolist()

    def quality(self) -> Quality:
        """Of all that was taken; what was drawn more often weighs more."""
        counts = self.counts
        drawn = counts > 0
        means = np.divide(self.sums, counts, out=np.zeros_like(self.sums), where=drawn)
        total = counts.sum()
        # a mean of n estimates misses the expected one by a variance / n, which is no bias
        variances = np.divide(self.squares, counts, out=np.zeros_like(means), where=drawn)
        variances -= means**2
        several = counts > 1
        own = np.divide(variances, counts - 1, out=np.zeros_like(means), where=several)
        misses = (means - self.truth) ** 2 - own
        bias = float((counts * misses)[several].sum() / max(counts[several].sum(), 1))
        return Quality(
            bias=max(bias, 0.0) ** 0.5,
            deviation=float((counts * variances).sum() / total) ** 0.5,
            cosine=float(np.mean(self.cosines)) if self.cosines else float("nan"),
        )


def _lengths(places: NDArray[np.int64], estimates: Values, siblings: int) -> Values:
    """``(draws,)``: the lengths of the gradients that estimates make; see :class:`Quality`.

    The square of such a length is the sum of squares of the vector, what is drawn more than once
    added up, less the squares of the sums over siblings, divided by their number.

    Args:
        places: ``(draws, n)``, the numbers of blocks.
        estimates: ``(draws, n)``.
        siblings: blocks of a table that are alternatives to each other, one after the other.
    """
    of_blocks = _sums_of_squares(places, estimates)
    of_siblings = _sums_of_squares(places // siblings, estimates)
    return np.sqrt(np.maximum(of_blocks - of_siblings / siblings, 0.0))


def _sums_of_squares(places: NDArray[np.int64], values: Values) -> Values:
    """``(draws,)``: the sums of squares of what the values at equal places add up to."""
    draws = len(places)
    count = int(places.max(initial=0)) + 1
    numbers = places + count * np.arange(draws)[:, None]
    drawn, index = np.unique(numbers, return_inverse=True)
    sums = np.bincount(index.ravel(), values.ravel())
    return np.bincount(drawn // count, sums**2, minlength=draws).astype(np.float64)


@dataclass(frozen=True)
class Estimated:
    """How an estimator does with so many answers a state."""

    credit: str
    descriptions: int
    continuations: int
    of_descriptions: Quality
    of_continuations: Quality


def qualities(
    tables: RewardTables,
    shapes: Sequence[tuple[int, int]] = ((16, 1), (4, 4)),
    draws: int = 2000,
    seed: int = 0,
) -> list[Estimated]:
    """Every estimator at every number of descriptions and continuations."""
    estimated = []
    for descriptions, continuations in shapes:
        for credit in ("flat", "nested", "replay"):
            if credit == "nested" and min(descriptions, continuations) < 2:
                continue
            both = quality(tables, credit, descriptions, continuations, draws, seed)
            estimated.append(Estimated(credit, descriptions, continuations, *both))
    return estimated


@dataclass(frozen=True)
class BlockMeasures:
    """What follows from the tables of one player."""

    variances: Variances
    estimated: list[Estimated]

    @classmethod
    def of(cls, tables: RewardTables) -> BlockMeasures:
        """Measure tables."""
        return cls(variances(tables), qualities(tables))
