"""What a claim can decide with its seeds and starts, before anything is run."""

from __future__ import annotations

from dataclasses import dataclass

from vlmgym.evals.crossed_effects import Effect
from vlmgym.evals.estimates import readable
from vlmgym.evals.metrics import METRICS
from vlmgym.studies.claim import ASSUMED, INDEX, Claim, Power
from vlmgym.studies.study import Study
from vlmgym.studies.verdicts import LEVEL

POWER = 0.8
"""The chance of deciding a claim that is true."""


@dataclass(frozen=True)
class Decidable:
    """What a claim can decide."""

    claim: Claim
    seeds: int  # training seeds; 0: nobody in it is trained
    starts: int  # of all games together, at most
    power: Power | None  # how much the difference is taken to vary; None: nothing is known of it
    is_assumed: bool  # and not from pilots
    smallest: float | None  # difference from 0, or distance to the margin, with :data:`POWER`

    @property
    def text(self) -> str:
        """One sentence."""
        where = f"{self.starts} starts"
        if self.seeds:
            where = f"{self.seeds} seeds x {where}"
        if self.smallest is None or self.power is None:
            return f"{where}: not known, the plan names no power for {self.claim.measure}"
        varies = (
            f"{'assumed' if self.is_assumed else 'from pilots'}: sd of seeds "
            f"{self.power.between:g}, of starts {self.power.within:g}"
        )
        if self.claim.expect == "equal":
            can = "can" if self.smallest <= self.claim.margin else "CANNOT"
            return (
                f"{where}: {can} decide equality within {self.claim.margin:g} (needs a margin of "
                f"{readable(self.smallest)}; {varies})"
            )
        return f"{where}: decides differences from {readable(self.smallest)} on ({varies})"


def decidable(study: Study) -> list[Decidable]:
    """What each primary claim can decide with a chance of :data:`POWER`, at the first step of Holm
    (the hardest).
    """
    return [_of_claim(study, claim, len(study.primary)) for claim in study.primary]


def _of_claim(study: Study, claim: Claim, family: int) -> Decidable:
    games = study.games_of(claim)
    counts = [_starts(study, claim, game) for game in games]
    seeds = _seeds(study, claim)
    power = study.plan.power_of(claim)
    is_assumed = power is None
    if power is None and (claim.measure == INDEX or METRICS[claim.measure].bounds == (0.0, 1.0)):
        power = ASSUMED
    smallest = None
    if power is not None:
        between = power.between**2 / seeds if seeds > 1 else 0.0
        within = power.within**2 * sum(1 / count for count in counts) / len(counts) ** 2
        effect = Effect(0.0, between, within, max(seeds, 1), min(counts))
        smallest = detectable(effect, LEVEL / family, claim.expect == "equal")
    return Decidable(claim, seeds, sum(counts), power, is_assumed, smallest)


def detectable(effect: Effect, level: float, equality: bool = False) -> float:
    """The smallest difference that is found with a chance of :data:`POWER`, or the smallest margin
    within which equality is.

    Half of the interval of the test, and half of the one beyond which the estimate falls no more
    often than the rest allows.
    """
    if equality:  # both ends of the margin must be excluded
        return effect.half_width(1 - 2 * level) + effect.half_width(POWER)
    return effect.half_width(1 - level) + effect.half_width(2 * POWER - 1)


def _seeds(study: Study, claim: Claim) -> int:
    """Training seeds of a claim; 0 where nobody in it is trained."""
    game = study.games_of(claim)[0]
    sides = [side for pair in claim.pairs for side in pair.of_game(study.plan.word(game)).sides]
    seed = study.seeds[0]
    is_trained = any(study.makers(f"{side.player}.{seed}") for side in sides)
    return len(study.seeds) if is_trained else 0


def _starts(study: Study, claim: Claim, game: str) -> int:
    """Starts of a claim in a game."""
    evaluation = claim.pair.of_game(study.plan.word(game)).of.evaluation
    protocol = study.protocol(evaluation)
    number = protocol.names().index(study.task_of(evaluation, game))
    return protocol.entries[number][1].episodes
