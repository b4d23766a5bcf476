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
from dataclasses import asdict, dataclass
from typing import Any

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
class Quality:
    """How an estimator does on one block: of advantages before they are divided by their spread.

    Attributes:
        bias: root mean square over the blocks of the table of what the mean estimate of a block
            misses its advantage by.
        deviation: root mean square of what an estimate misses the mean estimate of its block by.
        cosine: mean over draws of the cosine between the estimates of all states and the truth;
            it does not depend on the scale.
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
    rows = np.arange(states)[:, None, None]
    first = _Errors(tables.of_descriptions)
    second = _Errors(tables.of_continuations)
    for _ in range(draws):
        said = rng.integers(most, size=(states, descriptions))
        thought = rng.integers(more, size=(states, descriptions, continuations))
        places = rows, said[:, :, None], thought
        drawn = BranchRewards(
            tables.rewards[places],
            np.zeros(said.shape),
            described=tables.described[places],
        )
        advantages = ESTIMATORS[credit](drawn)
        first.add((rows[:, :, 0], said), advantages.descriptions)
        second.add(places, advantages.continuations)
    return first.quality(), second.quality()


class _Errors:
    """Collects estimates of true values."""

    def __init__(self, truth: Values) -> None:
        self.truth = truth
        self.counts = np.zeros(truth.shape)
        self.sums = np.zeros(truth.shape)
        self.squares = np.zeros(truth.shape)
        self.cosines: list[float] = []

    def add(self, places: tuple[NDArray[np.int64], ...], estimates: Values) -> None:
        """Take the estimates of the values at some places."""
        np.add.at(self.counts, places, 1)
        np.add.at(self.sums, places, estimates)
        np.add.at(self.squares, places, estimates**2)
        truth = self.truth[places]
        length = float(np.linalg.norm(truth) * np.linalg.norm(estimates))
        if length:
            self.cosines.append(float((truth * estimates).sum()) / length)

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


def qualities(
    tables: RewardTables,
    shapes: Sequence[tuple[int, int]] = ((16, 1), (4, 4)),
    draws: int = 2000,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """Every estimator at every number of descriptions and continuations, as JSON values."""
    rows = []
    for descriptions, continuations in shapes:
        for credit in ("flat", "nested", "replay"):
            if credit == "nested" and min(descriptions, continuations) < 2:
                continue
            first, second = quality(tables, credit, descriptions, continuations, draws, seed)
            rows.append(
                {
                    "credit": credit,
                    "descriptions": descriptions,
                    "continuations": continuations,
                    "of_descriptions": asdict(first),
                    "of_continuations": asdict(second),
                }
            )
    return rows
