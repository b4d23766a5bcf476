"""Which block of an answer is credited with a reward: the description, or what follows it.

An answer is a description, and a continuation (think block and move) after it. ``S`` states have
``D`` descriptions each, and every description ``C`` continuations, so a state has ``D * C``
answers. Every estimator takes :class:`BranchRewards` and returns :class:`Advantages`. With
``r[i, j]`` for the reward of continuation ``j`` of description ``i`` of a state, ``r[i, .]`` and
``r[., .]`` for means, and ``others`` for the mean of the others of the same set, the formulas stand
in the docstrings.

Means that leave an element out (``others``) are independent of it, so such a baseline changes no
expectation: ``x - others`` has the expectation of the true advantage. GRPO's own mean holds the
element itself; its advantages are that much smaller, by ``(n - 1) / n``, which is a factor of the
learning rate as long as all blocks share it. Here they would not (``n`` is ``D`` for one block and
``C`` for the other), so only :func:`flat`, which is GRPO, keeps it.

All advantages of a state are divided by one ``spread``, as in GRPO. Like GRPO's, that is a weight
of states, which is not independent of the rewards.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]

FLOOR = 1e-4
"""What is added to a spread before it divides, as in TRL."""


@dataclass(frozen=True)
class BranchRewards:
    """What the answers of ``S`` states are worth, and what is known of the reasons.

    Attributes:
        answers: ``(S, D, C)``: weighted sum of the reward terms of each answer, without those that
            its description has alone.
        descriptions: ``(S, D)``: weighted sum of the terms that a description has alone (whether it
            is right): they do not depend on the continuation.
        described: ``(S, D, C)``: as ``answers``, with the move tried on the board as described.
        blind: ``(S, D, C)``: as ``answers``, of other continuations that see no picture.
        whole: ``(S, D)``: descriptions that never ended, which are answers by themselves; their
            continuations stand for them in the other fields.
    """

    answers: Values
    descriptions: Values
    described: Values | None = None
    blind: Values | None = None
    whole: NDArray[np.bool_] | None = None

    @property
    def totals(self) -> Values:
        """``(S, D, C)``: what each answer is worth by all terms."""
        return self.answers + self.descriptions[:, :, None]


@dataclass(frozen=True)
class Advantages:
    """Advantages of the blocks, before they are divided by their spread.

    Attributes:
        descriptions: ``(S, D)``.
        continuations: ``(S, D, C)``.
        spread: ``(S,)``; 0 where nothing tells the answers of a state apart.
    """

    descriptions: Values
    continuations: Values
    spread: Values

    def scaled(self) -> Advantages:
        """The same, divided by their spread; 0 where there is none."""
        factor = np.where(self.spread > 0, 1 / (self.spread + FLOOR), 0.0)
        return Advantages(
            self.descriptions * factor[:, None],
            self.continuations * factor[:, None, None],
            self.spread,
        )


def flat(rewards: BranchRewards) -> Advantages:
    """GRPO: every token of an answer has the advantage of the answer, a description the mean of its
    answers.

    ``A_think[i, j] = r[i, j] - r[., .]``, ``A_desc[i] = r[i, .] - r[., .]`` (arXiv 2402.03300). The
    first holds the advantage of the description, which is noise to the think block: without bias in
    the gradient, as it does not depend on what was thought.
    """
    totals = rewards.totals
    advantages = totals - totals.mean(axis=(1, 2), keepdims=True)
    return Advantages(advantages.mean(axis=2), advantages, _spread(totals))


def nested(rewards: BranchRewards) -> Advantages:
    """Each block against its own alternatives.

    ``A_desc[i] = r[i, .] - others``, over the other descriptions of the state; ``A_think[i, j] =
    r[i, j] - others``, over the other continuations of the same description. So the first has the
    expectation ``V(description) - V(state)`` and the second ``Q(continuation) - V(description)``:
    advantages by Monte Carlo branches, as VinePPO's (arXiv 2410.01679) at one point of an answer.
    """
    return Advantages(
        _beside_others(rewards.answers.mean(axis=2) + rewards.descriptions, axis=1),
        _beside_others(rewards.answers, axis=2),
        _spread(rewards.totals),
    )


def replay(rewards: BranchRewards) -> Advantages:
    """Each move is tried on the board as described as well, with reward ``s[i, j]`` there.

    The continuation is credited with what it makes of its description, ``A_think[i, j] = s[i, j] -
    others`` (over the same description; where it has one continuation, over the state), the
    description with what it costs: ``c[i] = r[i, .] - s[i, .]``, ``A_desc[i] = c[i] - others``. A
    right description costs nothing; no further answer is needed. Biased by design: a description
    that is wrong about cells which no move touches costs nothing either.
    """
    described = _given(rewards.described, "described")
    cost = rewards.answers - described + rewards.descriptions[:, :, None]
    spread = np.maximum(_spread(described), _spread(cost))
    advantages = Advantages(
        _beside_others(cost.mean(axis=2), axis=1),
        _beside_others(described, axis=2 if described.shape[2] > 1 else (1, 2)),
        spread,
    )
    return _with_whole(rewards, advantages)


def decoupled(rewards: BranchRewards) -> Advantages:
    """A reward for each block, as in Vision-SR1 (arXiv 2508.19652).

    The description is rewarded with ``b[i, j]``, the success of continuations that see no picture:
    ``A_desc[i] = b[i, .] - others``. The continuation has its own reward, ``A_think[i, j] = r[i, j]
    - others``, over the state. (Vision-SR1 adds both rewards for all tokens of an answer.)
    """
    blind = _given(rewards.blind, "blind") + rewards.descriptions[:, :, None]
    advantages = Advantages(
        _beside_others(blind.mean(axis=2), axis=1),
        _beside_others(rewards.answers, axis=(1, 2)),
        np.maximum(_spread(rewards.answers), _spread(blind)),
    )
    return _with_whole(rewards, advantages)


ESTIMATORS: Mapping[str, Callable[[BranchRewards], Advantages]] = {
    "flat": flat,
    "nested": nested,
    "replay": replay,
    "decoupled": decoupled,
    "visual": flat,
}
"""The advantages of each way to give credit; ``visual`` weighs those of ``flat`` by token
(:func:`visual_weights`).
"""
APART = ("nested", "replay", "decoupled")
"""Those in which the terms of a description are credited to the description alone."""


def visual_weights(dependence: Values, mask: NDArray[Any], families: NDArray[np.int64]) -> Values:
    """By what the advantage of each token is multiplied under ``visual``: its dependence on the
    picture, normalised to a mean of 1 over an answer.

    ``w[t] = d[t] / mean(d)``, where ``d[t]`` is the Kullback-Leibler divergence of the policy's
    distribution of token ``t`` with the picture from that with a blank one: the dependence of VPPO
    (arXiv 2510.09285), as a weight of the token as in PGPO (arXiv 2604.01840), without their
    thresholds. Where nothing depends on the picture all weights are 1.

    Args:
        dependence: ``(R, T)``, at least 0.
        mask: ``(R, T)``, the tokens that are trained on.
        families: ``(R,)``, the answer that a row is part of (a description shares that of its
            continuations).
    """
    counts = mask.astype(bool)
    trained = np.where(counts, dependence, 0.0)
    _, numbers = np.unique(families, return_inverse=True)
    sums = np.bincount(numbers, trained.sum(axis=1))
    tokens = np.bincount(numbers, counts.sum(axis=1))
    mean = (sums / np.maximum(tokens, 1))[numbers][:, None]
    return np.divide(trained, mean, out=np.ones_like(trained), where=mean > 0)


def _beside_others(values: Values, axis: int | tuple[int, ...]) -> Values:
    """Each value minus the mean of the others along an axis; 0 where there are none."""
    axes = (axis,) if isinstance(axis, int) else axis
    count = int(np.prod([values.shape[number] for number in axes]))
    if count == 1:
        return np.zeros_like(values)
    difference: Values = values - values.mean(axis=axes, keepdims=True)
    return difference * count / (count - 1)


def _spread(values: Values) -> Values:
    """``(S,)``: the standard deviation over the answers of each state, as of a sample; 0 where they
    differ by no more than rounding.
    """
    flattened = values.reshape(len(values), -1)
    if flattened.shape[1] == 1:
        return np.zeros(len(values))
    is_equal = np.ptp(flattened, axis=1) < 1e-9
    return np.where(is_equal, 0.0, flattened.std(axis=1, ddof=1))


def _with_whole(rewards: BranchRewards, advantages: Advantages) -> Advantages:
    """Descriptions that never ended are credited with all that they are worth."""
    whole = rewards.whole
    if whole is None or not whole.any():
        return advantages
    of_answers = nested(rewards)
    spread = np.maximum(advantages.spread, of_answers.spread)
    return Advantages(
        np.where(whole, of_answers.descriptions, advantages.descriptions),
        np.where(whole[:, :, None], 0.0, advantages.continuations),
        spread,
    )


def _given(values: Values | None, name: str) -> Values:
    if values is None:
        raise ValueError(f"BranchRewards.{name} is needed for this credit")
    return values
