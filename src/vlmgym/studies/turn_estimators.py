"""Estimators of the advantage of a turn, held to the true ones of forked turns.

Half of the continuations of each answer give the truth, ``Q[s, j]``; from the other half the
estimators draw what they would have had. An estimator gives ``A[s, j]`` for the answers ``j`` of a
state; as a training step compares the answers of a state, all is compared within states: the mean
over the answers is taken off both.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from vlmgym.core import ConfigError
from vlmgym.core.simulation import Simulator
from vlmgym.games import read_state_text
from vlmgym.games.registry import import_named
from vlmgym.studies.turn_tables import TurnTables

Values = NDArray[np.float64]

DRAWS = 400
"""Times that each estimator is given other continuations."""


@dataclass(frozen=True)
class Sample:
    """What an estimator may use: answers, and continuations that are drawn for it.

    Attributes:
        tables: the answers.
        generator: of the draws.
        returns: ``(S, A, K)``: continuations that it may draw from.
        replies: ``(S, A, K)``: replies that each took.
    """

    tables: TurnTables
    generator: np.random.Generator
    returns: Values
    replies: NDArray[np.int64]

    def drawn(self, count: int) -> tuple[Values, float]:
        """The mean return of ``count`` continuations of each answer, ``(S, A)``, and the replies
        that they took on average.
        """
        chances = self.generator.random(self.returns.shape)
        chosen = np.argsort(chances, axis=2)[:, :, :count]
        mean = np.take_along_axis(self.returns, chosen, axis=2).mean(axis=2)
        cost = np.take_along_axis(self.replies, chosen, axis=2).sum(axis=2)
        return mean, float(cost.mean())


Estimator = Callable[[Sample], tuple[Values, float]]
"""Gives advantages ``(S, A)``, and the replies that it took an answer, the answer included."""


def episode(sample: Sample) -> tuple[Values, float]:
    """One continuation of each answer; ``A = R - mean(R)`` over the answers (GRPO)."""
    later, cost = sample.drawn(1)
    totals = sample.tables.gains + later
    return totals - totals.mean(axis=1, keepdims=True), 1 + cost


def branches(sample: Sample, count: int) -> tuple[Values, float]:
    """``count`` continuations of each answer, and as many from the state for all its answers, ``A =
    g + F(after) - F(before)`` (VinePPO, arXiv 2410.01679).

    A continuation from the state begins with an answer of the policy: it is one of an answer.
    """
    later, cost = sample.drawn(count)
    first, of_one = sample.drawn(1)
    answers = later.shape[1]
    chosen = sample.generator.integers(0, answers, (len(later), count))
    before = np.take_along_axis(sample.tables.gains + first, chosen, axis=1).mean(axis=1)
    replies = 1 + cost + count * (1 + of_one) / answers
    return sample.tables.gains + later - before[:, None], replies


def simulated(sample: Sample, values: Values) -> tuple[Values, float]:
    """``A = Q - mean(Q)``, simulated by the rules: no continuation of the policy."""
    return values - values.mean(axis=1, keepdims=True), 1.0


def with_baseline(sample: Sample, values: Values) -> tuple[Values, float]:
    """One continuation of each answer minus a simulated value of the state, ``A = R - V(s)``."""
    later, cost = sample.drawn(1)
    return sample.tables.gains + later - values[:, None], 1 + cost


def simulated_values(tables: TurnTables, simulator: Simulator) -> Values:
    """``(S, A)``: what a simulation says of each answer."""
    values = np.empty(tables.gains.shape)
    for row, text in enumerate(tables.states):
        game, state = read_state_text(text)
        values[row] = simulator.simulate(game, state, tables.actions[row][None]).values[0]
    return values


def estimators(tables: TurnTables, simulator: Simulator) -> dict[str, Estimator]:
    """All that are compared, by name."""
    values = simulated_values(tables, simulator)
    found: dict[str, Estimator] = {"episode": episode}
    found |= {f"branches {count}": partial(branches, count=count) for count in (2, 4, 8)}
    found["simulated"] = partial(simulated, values=values)
    found["baseline"] = partial(with_baseline, values=values.mean(axis=1))
    return found


@dataclass(frozen=True)
class Score:
    """How an estimator compares with the true advantages within states.

    Attributes:
        bias: square root of the mean square of its mean error, in points.
        deviation: its standard deviation, in points: square root of the mean variance.
        correlation: mean rank correlation with the truth over the states whose answers differ.
        cosine: mean cosine of the gradients of the logits of the actions with the true one.
        replies: that it takes an answer.
    """

    bias: float
    deviation: float
    correlation: float
    cosine: float
    replies: float


def true_values(tables: TurnTables) -> tuple[Values, float]:
    """``Q`` of each answer, ``(S, A)``, of half of its continuations; and its standard error, a
    mean over answers.
    """
    half = tables.returns.shape[2] // 2
    known = tables.returns[:, :, :half]
    error = known.std(axis=2, ddof=1) / np.sqrt(half)
    return tables.gains + known.mean(axis=2), float(error.mean())


def score(tables: TurnTables, estimator: Estimator, draws: int = DRAWS, seed: int = 0) -> Score:
    """Compare an estimator with the true advantages.

    Args:
        tables: forked turns.
        estimator: gives advantages for a sample.
        draws: times that it is asked.
        seed: of what it is given.
    """
    half = tables.returns.shape[2] // 2
    generator = np.random.default_rng(seed)
    sample = Sample(tables, generator, tables.returns[:, :, half:], tables.replies[:, :, half:])
    truth = _within(true_values(tables)[0])
    found = []
    costs = []
    for _ in range(draws):
        advantages, cost = estimator(sample)
        found.append(_within(advantages))
        costs.append(cost)
    estimates = np.array(found)
    differ = np.ptp(truth, axis=1) > 1e-9
    ranks = [
        _rank_correlation(one[row], truth[row]) for one in found for row in np.flatnonzero(differ)
    ]
    true_gradient = _gradient(tables, truth)
    cosines = [_cosine(_gradient(tables, one), true_gradient) for one in found]
    return Score(
        float(np.sqrt(((estimates.mean(axis=0) - truth) ** 2).mean())),
        float(np.sqrt(estimates.var(axis=0).mean())),
        float(np.nanmean(ranks)) if ranks else float("nan"),
        float(np.mean(cosines)),
        float(np.mean(costs)),
    )


def _within(values: Values) -> Values:
    """Without the mean over the answers of each state."""
    within: Values = values - values.mean(axis=1, keepdims=True)
    return within


def _gradient(tables: TurnTables, advantages: Values) -> Values:
    """The estimated gradient of the logits of the actions, all states after each other: where the
    policy of a state is a softmax over its actions, the sum over answers of ``A * (one-hot -
    share of the action among the answers)``.
    """
    parts = []
    for row, actions in enumerate(tables.actions):
        kinds, places = np.unique(actions, return_inverse=True)
        one_hot = np.eye(len(kinds))[places.reshape(-1)]
        parts.append(advantages[row] @ (one_hot - one_hot.mean(axis=0)))
    return np.concatenate(parts)


def _cosine(one: Values, other: Values) -> float:
    size = float(np.linalg.norm(one) * np.linalg.norm(other))
    return float(one @ other) / size if size else 0.0


def _rank_correlation(one: Values, other: Values) -> float:
    """Spearman's, of the answers of a state; NaN where all are equal."""
    first, second = _ranks(one), _ranks(other)
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return float("nan")
    return float(np.corrcoef(first, second)[0, 1])


def _ranks(values: Values) -> Values:
    """Ranks, equal values the mean of theirs."""
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = counts.cumsum()
    ranks: Values = (ends - (counts - 1) / 2)[places.reshape(-1)]
    return ranks


def table(scores: Mapping[str, Score], error: float) -> str:
    """The scores in Markdown.

    Args:
        scores: by name of the estimator.
        error: standard error of the true values.
    """
    lines = [
        f"True values to ± {error:.2f} points (standard error of an answer's, mean).",
        "",
        "| estimator | bias | deviation | rank correlation | cosine | replies an answer |",
        "|---|---|---|---|---|---|",
    ]
    for name, one in scores.items():
        lines.append(
            f"| {name} | {one.bias:.2f} | {one.deviation:.2f} | {one.correlation:.3f} "
            f"| {one.cosine:.3f} | {one.replies:.1f} |"
        )
    return "\n".join(lines) + "\n"


def estimator_named(text: str) -> Estimator:
    """The estimator at ``module:function``, of whoever compares one of their own.

    Raises:
        ConfigError: there is no such module, or no such function in it.
    """
    module, _, name = text.partition(":")
    allowed = "module:function, which takes a Sample and returns advantages (S, A) and a cost"
    if not module or not name:
        raise ConfigError("estimator", text, allowed)
    try:
        found = getattr(import_named(module), name)
    except (ImportError, AttributeError) as error:
        raise ConfigError("estimator", text, f"{allowed} ({error})") from error
    if not callable(found):
        raise ConfigError("estimator", text, allowed)
    estimator: Estimator = found
    return estimator
