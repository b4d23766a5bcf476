"""What follows from a study's numbers for each claim of its plan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from vlmgym.evals import stats
from vlmgym.evals.crossed_effects import Effect, cut, effect_of, score_test
from vlmgym.evals.estimates import NAN, Estimate
from vlmgym.studies.claim import GAME, INDEX, Claim, Power, Side
from vlmgym.studies.results import (
    UNTRAINED,
    StudyResults,
    Table,
    Values,
    rows_of,
    seeds_of,
)

LEVEL = 0.05
"""Of all primary claims together; of each exploratory one alone."""
HOLDS = "holds"
OPPOSITE = "opposite"
FAILS = "does not hold"
UNDECIDED = "not decided"
UNMEASURED = "not measured"


@dataclass(frozen=True)
class Verdict:
    """A claim and what came out."""

    claim: Claim
    estimate: Estimate  # its n is that of the starts of all games together
    p: float
    adjusted: float  # after Holm over the primary claims; of exploratory ones the same as p
    seeds: int  # training seeds behind it; 0: nobody in it is trained
    primary: bool
    word: str
    power: Power  # how much the difference varied

    @property
    def starts(self) -> int:
        """How many count, of all games together."""
        return self.estimate.n

    @property
    def covers(self) -> str:
        """What its interval covers."""
        if self.seeds == 0:
            return "starts (nobody in it is trained)"
        return "starts alone (one seed)" if self.seeds == 1 else "seeds and starts"


def verdicts(results: StudyResults) -> list[Verdict]:
    """The verdicts on all claims that are not left out, the primary ones first.

    A difference is tested against 0, two-sided, by :class:`vlmgym.evals.crossed_effects.Effect`;
    equality against the margin by two one-sided tests (Schuirmann 1987). The p-values of the
    primary claims are adjusted together (Holm 1979); one that was not measured counts among them.
    A claim holds, or its opposite does, where its p-value is below :data:`LEVEL`; equality does not
    hold where the difference is surely beyond the margin. All else is not decided.
    """
    study = results.study
    primary = [Measurement.of(results, claim) for claim in study.primary]
    exploratory = [Measurement.of(results, claim) for claim in study.exploratory]
    p_values = [1.0 if np.isnan(measured.p) else measured.p for measured in primary]
    found = []
    for measured, adjusted in zip(primary, stats.holm(p_values), strict=True):
        found.append(measured.verdict(float(adjusted), len(primary), primary=True))
    for measured in exploratory:
        found.append(measured.verdict(measured.p, 1, primary=False))
    return found


@dataclass(frozen=True)
class Measurement:
    """The data of a claim.

    Attributes:
        claim: what is claimed.
        tables: of each game numerators and denominators ``(seeds, starts)``, see
            :func:`vlmgym.evals.crossed_effects.effect_of`; none where it was not measured.
        seeds: training seeds; 0 where nobody is trained.
    """

    claim: Claim
    tables: Sequence[tuple[Table, Table]]
    seeds: int

    @classmethod
    def of(cls, results: StudyResults, claim: Claim) -> Measurement:
        """What a study has measured of a claim."""
        games = [_InGame(results, claim, game) for game in results.study.games_of(claim)]
        seeds = sorted(set.intersection(*(game.seeds for game in games)))
        tables = [game.table(seeds) for game in games] if seeds else []
        if not all(weights.any() for _, weights in tables):
            tables = []
        return cls(claim, tables, 0 if seeds == [UNTRAINED] else len(seeds))

    @cached_property
    def starts(self) -> int:
        """Those that count, of all games together."""
        return sum(int(weights.any(axis=0).sum()) for _, weights in self.tables)

    @cached_property
    def effect(self) -> Effect:
        """The mean, and how surely it is known."""
        low, high = self.claim.bounds or (0.0, 0.0)
        return effect_of(self.tables, floor=(high - low) / 2)

    @cached_property
    def p(self) -> float:
        """The p-value; NaN where nothing was measured."""
        if not self.tables:
            return NAN
        if self.claim.expect != "equal":
            return self.effect.p()
        margin = self.claim.margin
        return max(self._beyond(-margin, 1), self._beyond(margin, -1))

    def _beyond(self, null: float, side: int) -> float:
        """The p-value of a one-sided test against an end of the margin; of the differences of two
        shares the larger one of it and the score test.
        """
        p = self.effect.p(null, side)
        if self.claim.bounds == stats.GAP:
            means = []
            for values, weights in self.tables:
                counts = weights.sum(axis=0)
                means.append(values.sum(axis=0)[counts > 0] / counts[counts > 0])
            p = max(p, score_test(np.concatenate(means), null, side))
        return p

    def verdict(self, adjusted: float, family: int, primary: bool) -> Verdict:
        """The verdict.

        Args:
            adjusted: the p-value after Holm.
            family: how many claims are tested together.
            primary: whether it is one of the primary ones.
        """
        estimate = Estimate(NAN, NAN, NAN, self.starts)
        power = Power(NAN, NAN)
        word = UNMEASURED
        if self.tables:
            effect = self.effect
            estimate = Estimate(effect.centre, NAN, NAN, self.starts)
            if effect.known:
                estimate = cut(effect, self.claim.bounds, self.starts)
            between = effect.between * effect.seeds
            within = effect.within * self.starts * len(self.tables)
            power = Power(between**0.5, within**0.5)
            word = self._word(adjusted, family)
        return Verdict(self.claim, estimate, self.p, adjusted, self.seeds, primary, word, power)

    def _word(self, adjusted: float, family: int) -> str:
        if self.claim.expect == "equal":
            if adjusted < LEVEL:
                return HOLDS
            margin = self.claim.margin
            outside = min(self.effect.p(margin, 1), self.effect.p(-margin, -1))
            return FAILS if 2 * family * outside < LEVEL else UNDECIDED
        if adjusted >= LEVEL:
            return UNDECIDED
        is_above = self.effect.centre > 0
        return HOLDS if is_above == (self.claim.expect == "greater") else OPPOSITE


class _InGame:
    """What a claim compares in one game.

    Attributes:
        seeds: those that all trained players have; :data:`UNTRAINED` where nobody is trained; none
            where somebody was not asked.
    """

    def __init__(self, results: StudyResults, claim: Claim, game: str) -> None:
        study = results.study
        word = study.plan.word(game)
        self.pairs = [pair.of_game(word) for pair in claim.pairs]
        home = self.pairs[0].of.evaluation

        def values(side: Side, measure: str) -> Values:
            task = study.task_of(side.evaluation, game)
            return results.values(side.evaluation, task, side.player, measure)

        sides = [side for pair in self.pairs for side in pair.sides]
        self.values = {side: values(side, claim.measure) for side in sides}
        self.failing = None
        if claim.fails:
            self.failing = values(Side(claim.fails.replace(GAME, word), home), "success")
        self.ends = None
        if claim.measure == INDEX:
            self.ends = values(Side("random", home), "score"), values(Side("oracle", home), "score")
        asked = [*self.values.values(), *([] if self.failing is None else [self.failing])]
        asked += self.ends or ()
        self.seeds = set(seeds_of(asked)) if all(asked) else set[int]()
        starts = [set(row) for table in asked for row in table.values()]
        self.starts = sorted(set.intersection(*starts)) if starts else []

    def table(self, seeds: list[int]) -> tuple[Table, Table]:
        """Numerators and denominators of these training seeds, ``(seeds, starts)``; 0 where
        something was not measured, or where a start does not count.
        """

        def rows(values: Values) -> Table:
            return rows_of(values, seeds, self.starts)

        low = np.zeros((1, len(self.starts)))
        span = np.ones((len(seeds), len(self.starts)))
        if self.ends is not None:
            low = rows(self.ends[0])
            span = span * (rows(self.ends[1]) - low)
        total = np.zeros_like(span)
        for sign, pair in zip((1, -1), self.pairs, strict=False):
            first = rows(self.values[pair.of])
            if isinstance(pair.against, Side):
                total = total + sign * (first - rows(self.values[pair.against]))
            else:  # a number is a place between the ends
                total = total + sign * (first - low - pair.against * span)
        counts = ~np.isnan(total + span)
        if self.failing is not None:
            counts &= rows(self.failing) < 0.5
        return np.where(counts, total, 0.0), np.where(counts, span, 0.0)
