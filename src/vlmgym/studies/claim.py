"""What a claim is: a difference between players, by one measure, and what is expected of it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from vlmgym.evals.metrics import METRICS

INDEX = "index"
"""The measure that has 0 at random play and 1 at the oracle, both asked in the same evaluation."""
MEASURES = (*METRICS, INDEX)
EXPECTATIONS = ("greater", "less", "equal")
GAME = "{game}"
"""Stands for a game's word in the names of runs and evaluations."""


@dataclass(frozen=True)
class Side:
    """A player in an evaluation."""

    player: str
    evaluation: str

    def of_game(self, word: str) -> Side:
        """The same, for one game."""
        return Side(self.player.replace(GAME, word), self.evaluation.replace(GAME, word))

    def __str__(self) -> str:
        return self.player


Against = Side | float
"""What a player is compared with: another one, or a number."""


@dataclass(frozen=True)
class Pair:
    """The first minus the second."""

    of: Side
    against: Against

    @property
    def sides(self) -> tuple[Side, ...]:
        """The players in it."""
        return (self.of, self.against) if isinstance(self.against, Side) else (self.of,)

    def of_game(self, word: str) -> Pair:
        """The same, for one game."""
        against = self.against
        if isinstance(against, Side):
            against = against.of_game(word)
        return Pair(self.of.of_game(word), against)

    def __str__(self) -> str:
        if not isinstance(self.against, Side):
            return f"{self.of} - {self.against:g}"
        where = ""
        if self.against.evaluation != self.of.evaluation:
            where = f" ({self.of.evaluation} - {self.against.evaluation})"
        return f"{self.of} - {self.against}{where}"


@dataclass(frozen=True)
class Power:
    """How much a difference varies, from pilots: what it takes to say what can be decided."""

    between: float  # standard deviation of the means of training seeds
    within: float  # standard deviation from start to start


ASSUMED = Power(0.08, 0.5)
"""Where there are no pilots, of differences of shares: a quarter of the starts tell two players
apart, and a seed's mean is eight points from the next.
"""


@dataclass(frozen=True)
class Claim:
    """A sentence that a number decides."""

    name: str
    says: str
    measure: str
    pair: Pair
    expect: str
    minus: Pair | None = None  # of a difference of differences: what is taken off
    games: tuple[str, ...] = ()  # over which the mean is taken; none = see Plan.games_of
    fails: str = ""  # a player: only starts on which it fails count
    margin: float = 0.0  # of equality
    power: Power | None = None

    @property
    def pairs(self) -> tuple[Pair, ...]:
        """The differences in it."""
        return (self.pair,) if self.minus is None else (self.pair, self.minus)

    @property
    def names(self) -> tuple[str, ...]:
        """All players and evaluations that it names."""
        players = [side.player for pair in self.pairs for side in pair.sides]
        evaluations = [side.evaluation for pair in self.pairs for side in pair.sides]
        return (*players, *([self.fails] if self.fails else []), *evaluations)

    def of_game(self, word: str) -> Claim:
        """The same, for one game."""
        minus = None if self.minus is None else self.minus.of_game(word)
        fails = self.fails.replace(GAME, word)
        return replace(self, pair=self.pair.of_game(word), minus=minus, fails=fails)

    @property
    def compared(self) -> str:
        """What is subtracted from what, by which measure and where."""
        text = f"{self.pair}" if self.minus is None else f"({self.pair}) - ({self.minus})"
        where = f", where {self.fails} fails" if self.fails else ""
        return f"{text}, {self.measure}, {self.pair.of.evaluation}{where}"

    @property
    def bounds(self) -> tuple[float, float] | None:
        """The range of its value; None if there is none."""
        metric = METRICS.get(self.measure)
        if metric is None or metric.bounds is None:
            return None
        low = high = 0.0
        for pair in self.pairs:
            if isinstance(pair.against, Side):
                span = metric.bounds[1] - metric.bounds[0]
                low, high = low - span, high + span
            else:
                low += metric.bounds[0] - pair.against
                high += metric.bounds[1] - pair.against
        return low, high
