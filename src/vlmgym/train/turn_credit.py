"""Which turn of an episode is credited with what came of it.

A group is ``E`` episodes that begin in one state; turn ``t`` of episode ``e`` has the reward
``r[e, t]``, 0 where the episode is over. ``G[e, t]`` is the discounted return from there on,
``r[e, t] + discount * G[e, t + 1]``, and ``R[e]`` the plain sum of the rewards of an episode.
Every estimator takes :class:`TurnRewards` and returns the advantages ``(E, T)``; the formulas stand
in the docstrings.

What is subtracted from the return of a turn is never a function of the action of that turn: it is
of the other episodes, each of which counts once however long it is, or of the state alone. So
every baseline here leaves the expected gradient as it is, whatever its error, also where the policy
decides when an episode ends. (A mean over the episodes that are still going, a division by their
spread turn by turn, or a mean to which long episodes contribute more does not; see verl's RFC 7244
and agent-lightning's pull request 445.) All advantages of a group are divided by one number, the
spread of ``R``, as in GRPO.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from vlmgym.core import Settings, setting
from vlmgym.train.credit import FLOOR

Table = NDArray[np.float64]
"""``(E, T)``, a number for each turn."""


@dataclass(frozen=True)
class TurnSettings(Settings):
    """How the turns of an episode are credited."""

    discount: float = setting(1.0, "weight of a reward one turn later", 0.0, 1.0)
    gae_lambda: float = setting(
        1.0,
        "of value: 1 = returns minus values, whose gradient has no bias; 0 = one turn and the "
        "value after it",
        0.0,
        1.0,
    )
    state_weight: float = setting(1.0, "of gigpo: weight of the advantage within a state", 0, 100)
    continuations: int = setting(
        4, "of fork: times that the policy plays on before and after a turn", 1, 1024
    )
    fork_tokens: int = setting(
        20_000, "of fork: tokens that the continuations of a group may cost, about", 0, 1 << 40
    )


@dataclass(frozen=True)
class TurnRewards:
    """What the turns of a group's episodes are rewarded with, and what is known of the states.

    Attributes:
        rewards: ``(E, T)``, 0 after the end of an episode.
        played: ``(E, T)`` bool, the turns that there are.
        states: ``(E, T)`` int64: a number for each state in which a turn was played, equal where
            the states are.
        values: ``(E, T + 1)``: the expected return from each state on, 0 where an episode is over;
            None where it was not asked for.
        forked: ``(E, T, 2)``: the mean return of continuations by the policy itself from before and
            from after a turn, NaN where it was not forked; None where nothing was.
    """

    rewards: Table
    played: NDArray[np.bool_]
    states: NDArray[np.int64] = field(default_factory=lambda: np.zeros((0, 0), np.int64))
    values: Table | None = None
    forked: NDArray[np.float64] | None = None

    @property
    def totals(self) -> Table:
        """``(E,)``: the sum of the rewards of each episode."""
        return self.rewards.sum(axis=1)

    def returns(self, discount: float) -> Table:
        """``(E, T)``: the return of each turn; 0 after the end."""
        returns = np.zeros_like(self.rewards)
        after = np.zeros(len(self.rewards))
        for turn in reversed(range(self.rewards.shape[1])):
            after = self.rewards[:, turn] + discount * after
            returns[:, turn] = after
        return np.where(self.played, returns, 0.0)


def episode(group: TurnRewards, settings: TurnSettings) -> Table:
    """GRPO: ``A[e, t] = R[e] - mean(R)`` for all turns of an episode (arXiv 2402.03300)."""
    advantages = group.totals - group.totals.mean()
    return np.where(group.played, advantages[:, None], 0.0)


def turn(group: TurnRewards, settings: TurnSettings) -> Table:
    """``A[e, t] = G[e, t] - b[e, t]``, where ``b`` is the mean return of the other episodes from
    turn ``t`` on: 0 of those that are over by then.

    What came before a turn is not credited to it (Williams 1992, REINFORCE; the returns to go of
    Schulman et al. 2015, arXiv 1506.02438, with a baseline of the turn's number).
    """
    returns = group.returns(settings.discount)
    return np.where(group.played, _beside_other_episodes(returns), 0.0)


def gigpo(group: TurnRewards, settings: TurnSettings) -> Table:
    """``A[e, t] = R[e] - mean(R) + state_weight * (G[e, t] - b)``, where ``b`` is the mean return
    of the other episodes from the same state on (each its own mean over its visits), and the
    second part is 0 in states that one episode alone has met (GiGPO, arXiv 2505.10978).

    States are the same where all is that the rules know of them, but for luck, score and the number
    of the turn.
    """
    returns = group.returns(settings.discount)
    of_state = np.zeros_like(returns)
    for state in np.unique(group.states[group.played]):
        met = group.played & (group.states == state)
        visits = met.sum(axis=1)
        episodes = np.flatnonzero(visits)
        if len(episodes) < 2:
            continue
        means = np.where(met, returns, 0.0).sum(axis=1)[episodes] / visits[episodes]
        others = (means.sum() - means) / (len(episodes) - 1)
        baseline = np.zeros(len(returns))
        baseline[episodes] = others
        of_state = np.where(met, returns - baseline[:, None], of_state)
    return episode(group, settings) + settings.state_weight * of_state


def value(group: TurnRewards, settings: TurnSettings) -> Table:
    """Generalised advantage estimation over turns, with simulated values: ``A[e, t] = d[e, t] +
    discount * gae_lambda * A[e, t + 1]``, ``d[e, t] = r[e, t] + discount * V[e, t + 1] - V[e, t]``
    (arXiv 1506.02438).
    """
    if group.values is None:
        raise ValueError("TurnRewards.values is needed for this credit")
    now = group.values[:, :-1]
    later = group.values[:, 1:]
    changes = group.rewards + settings.discount * later - now
    advantages = np.zeros_like(changes)
    after = np.zeros(len(changes))
    for number in reversed(range(changes.shape[1])):
        after = changes[:, number] + settings.discount * settings.gae_lambda * after
        after = np.where(group.played[:, number], after, 0.0)
        advantages[:, number] = after
    return advantages


def fork(group: TurnRewards, settings: TurnSettings) -> Table:
    """``A[e, t] = r[e, t] + discount * F[e, t, after] - F[e, t, before]`` in turns that were
    forked, where ``F`` is the mean return of continuations by the policy itself; elsewhere as
    :func:`turn`.

    Monte-Carlo values of the policy, as in VinePPO (arXiv 2410.01679), at some of the turns: which,
    depends on their states alone.
    """
    if group.forked is None:
        raise ValueError("TurnRewards.forked is needed for this credit")
    before = group.forked[:, :, 0]
    after = group.forked[:, :, 1]
    advantages = group.rewards + settings.discount * after - before
    return np.where(np.isnan(before), turn(group, settings), advantages)


TURN_ESTIMATORS: Mapping[str, Callable[[TurnRewards, TurnSettings], Table]] = {
    "episode": episode,
    "turn": turn,
    "gigpo": gigpo,
    "value": value,
    "fork": fork,
}
"""The advantages of each way to give credit."""


def scaled(advantages: Table, group: TurnRewards) -> Table:
    """The advantages, divided by the spread of the totals of the group; 0 where there is none."""
    totals = group.totals
    if len(totals) < 2 or np.ptp(totals) < 1e-9:
        return np.zeros_like(advantages)
    scaled_advantages: Table = advantages / (totals.std(ddof=1) + FLOOR)
    return scaled_advantages


def met_by_one(group: TurnRewards) -> float:
    """The share of the states of a group that one of its episodes alone has met."""
    states = np.unique(group.states[group.played])
    met = [(group.played & (group.states == state)).any(axis=1).sum() for state in states]
    return float(np.mean(np.array(met) == 1)) if met else float("nan")


def describe(group: TurnRewards, settings: TurnSettings) -> dict[str, float]:
    """What is logged of a group: the share of its states that one episode alone has met, that of
    the turns that were forked and, with values, the means of these and of the returns, and the mean
    square of their difference over the variance of the returns (1 = as good as their mean).
    """
    described = {"met_by_one": met_by_one(group)}
    if group.forked is not None:
        is_forked = ~np.isnan(group.forked[:, :, 0])
        described["forked"] = float(is_forked[group.played].mean())
    if group.values is None:
        return described
    returns = group.returns(settings.discount)[group.played]
    values = group.values[:, :-1][group.played]
    described |= {"return": float(returns.mean()), "value": float(values.mean())}
    variance = float(returns.var())
    if variance > 0:
        described["value_error"] = float(((returns - values) ** 2).mean()) / variance
    return described


def of_tokens(advantages: Table, mask: NDArray[np.bool_]) -> Table:
    """The advantages of tokens, ``(E, L)``: those of the turn that a token is part of.

    Args:
        advantages: ``(E, T)``.
        mask: ``(E, L)``: the tokens that the policy wrote; those of two turns have others between
            them.

    Raises:
        ValueError: an episode has tokens of more turns than there are.
    """
    before = np.concatenate([np.zeros((len(mask), 1), bool), mask[:, :-1]], axis=1)
    turns = (mask & ~before).cumsum(axis=1) - 1
    if mask.any() and turns.max() >= advantages.shape[1]:
        raise ValueError(f"tokens of turn {turns.max()}: there are {advantages.shape[1]}")
    tokens = np.take_along_axis(advantages, np.maximum(turns, 0), axis=1)
    return np.where(mask, tokens, 0.0)


def _beside_other_episodes(values: Table) -> Table:
    """Each value minus the mean of the other episodes at the same turn."""
    count = len(values)
    if count < 2:
        return np.zeros_like(values)
    others = (values.sum(axis=0) - values) / (count - 1)
    difference: Table = values - others
    return difference
