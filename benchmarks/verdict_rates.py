"""How often the verdicts of a study are right: on made-up runs of which the truth is known.

``python benchmarks/verdict_rates.py [ROUNDS]`` prints the tables of docs/studies.md. A row is a way
in which claims are decided; the data are drawn with seeds and starts that matter more or less.
Coverage: share of 95 % intervals that hold the truth. False: share of claims found at 0.05 where
there is nothing to find (equality: where the difference is just the margin). Shuffled: the same
where what belongs to whom was shuffled.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vlmgym.studies.claim import Claim, Pair, Side
from vlmgym.studies.verdicts import Measurement

Table = NDArray[np.float64]
MARGIN = 0.1


class Luck(NamedTuple):
    """Standard deviations on the scale of a normal variable: what makes answers differ."""

    name: str
    seeds: float
    starts: float  # with every model alike
    tastes: float  # from start to start, each model its own
    rest: float


LUCKS = (
    Luck("seeds", 0.6, 0.4, 0.3, 0.6),
    Luck("starts", 0.0, 1.0, 0.8, 0.4),
    Luck("mixed", 0.25, 0.7, 0.5, 0.7),
)


class World:
    """Where runs are drawn: models with a truth, on starts.

    Args:
        luck: what makes answers differ.
        seeds: training seeds.
        starts: of a game.
        is_binary: successes, else scores.
        generator: of the draws.
    """

    def __init__(
        self, luck: Luck, seeds: int, starts: int, is_binary: bool, generator: np.random.Generator
    ) -> None:
        self.luck = luck
        self.shape = (seeds, starts)
        self.is_binary = is_binary
        self.generator = generator

    def deal(self) -> None:
        """New starts, alike for all models that are asked next."""
        self.hard = self.generator.normal(0, 1, (1, self.shape[1])) * self.luck.starts

    def model(self, truth: float, is_trained: bool = True) -> Table:
        """The answers of a model of this mean, ``(seeds, starts)``; one row if not trained."""
        rows = self.shape[0] if is_trained else 1
        luck = self.luck
        lucky = self.generator.normal(0, 1, (rows, 1)) * (luck.seeds if is_trained else 0)
        taste = self.generator.normal(0, 1, (1, self.shape[1])) * luck.tastes
        rest = self.generator.normal(0, 1, (rows, self.shape[1])) * luck.rest
        total = lucky + taste + rest + self.hard
        if not self.is_binary:
            return np.exp((total - 1) / 2) - self.mean_score(is_trained) + truth
        squares = luck.starts**2 + luck.tastes**2 + luck.rest**2
        squares += luck.seeds**2 if is_trained else 0
        return (total < squares**0.5 * NormalDist().inv_cdf(truth)).astype(np.float64)

    def mean_score(self, is_trained: bool) -> float:
        """Of the skewed scores."""
        luck = self.luck
        squares = luck.starts**2 + luck.tastes**2 + luck.rest**2
        squares += luck.seeds**2 if is_trained else 0
        return float(np.exp(-0.5 + squares / 8))


Way = Callable[[World, float], tuple[list[tuple[Table, Table]], int]]
"""Draws a claim's tables of a true value; says how many training seeds are behind it."""


def _ones(*tables: Table) -> list[tuple[Table, Table]]:
    return [(table, np.ones_like(table)) for table in tables]


def _teacher(world: World, truth: float) -> tuple[list[tuple[Table, Table]], int]:
    world.deal()
    return _ones(world.model(0.5 + truth) - world.model(0.5, False)), world.shape[0]


def _runs(world: World, truth: float) -> tuple[list[tuple[Table, Table]], int]:
    world.deal()
    return _ones(world.model(0.5 + truth) - world.model(0.5)), world.shape[0]


def _gains(world: World, truth: float) -> tuple[list[tuple[Table, Table]], int]:
    world.deal()
    base = world.model(0.3, False)
    return _ones(world.model(0.5 + truth) - base - (world.model(0.5) - base)), world.shape[0]


def _games(world: World, truth: float) -> tuple[list[tuple[Table, Table]], int]:
    tables = []
    for easier in (-0.1, 0.0, 0.1):
        world.deal()
        tables.append(world.model(0.5 + truth + easier) - world.model(0.5 + easier, False))
    return _ones(*tables), world.shape[0]


def _where(world: World, truth: float) -> tuple[list[tuple[Table, Table]], int]:
    """Starts on which a third player fails, whose luck is its own."""
    world.deal()
    first = world.model(0.5 + truth)
    second = world.model(0.5, False)
    fails = np.broadcast_to(world.generator.random((1, world.shape[1])) < 0.3, first.shape)
    return [((first - second) * fails, fails.astype(np.float64))], world.shape[0]


def _fixed(world: World, truth: float) -> tuple[list[tuple[Table, Table]], int]:
    world.deal()
    return _ones(world.model(0.5 + truth, False) - world.model(0.5, False)), 0


WAYS: dict[str, Way] = {
    "run against player": _teacher,
    "run against run": _runs,
    "difference of differences": _gains,
    "mean over three games": _games,
    "where another fails (30 %)": _where,
    "player against player": _fixed,
}


def claim_of(way: str, expect: str, is_binary: bool) -> Claim:
    """A claim that is decided this way."""
    pair = Pair(Side("a", "e"), Side("b", "e"))
    return Claim(
        "claim",
        "It holds.",
        "success" if is_binary else "score",
        pair,
        expect,
        minus=pair if way == "difference of differences" else None,
        fails="c" if way.startswith("where") else "",
        margin=MARGIN if expect == "equal" else 0.0,
    )


class Rates(NamedTuple):
    """What came out."""

    coverage: float
    false: float  # of a difference, two-sided
    equality: float  # found where the difference is the margin
    shuffled: float


def rates(way: str, world: World, rounds: int) -> Rates:
    """Over so many made-up studies."""
    differs = claim_of(way, "greater", world.is_binary)
    equal = claim_of(way, "equal", world.is_binary)
    counts = np.zeros(4)
    for _ in range(rounds):
        nothing = Measurement(differs, *WAYS[way](world, 0.0))
        verdict = nothing.verdict(nothing.p, 1, primary=True)
        counts[0] += verdict.estimate.low <= 0 <= verdict.estimate.high
        counts[1] += verdict.word in ("holds", "opposite")
        at_margin = Measurement(equal, *WAYS[way](world, MARGIN))
        counts[2] += at_margin.p < 0.05
        tables, seeds = WAYS[way](world, 0.2)
        mixed = Measurement(differs, [_shuffled(world, table) for table in tables], seeds)
        counts[3] += mixed.p < 0.05
    return Rates(*(counts / rounds))


def _shuffled(world: World, table: tuple[Table, Table]) -> tuple[Table, Table]:
    """Who is first and who second is drawn anew for each start."""
    values, weights = table
    signs = world.generator.choice([-1.0, 1.0], size=(1, values.shape[1]))
    return values * signs, weights


def main(rounds: int) -> None:
    """Print the tables."""
    heads = ("data", "luck", "seeds x starts", "claim", *Rates._fields)
    sys.stdout.write("| " + " | ".join(heads) + " |\n" + "|---" * len(heads) + "|\n")
    for is_binary in (True, False):
        for luck in LUCKS:
            for seeds, starts in ((3, 100), (3, 150), (5, 100), (5, 150)):
                for way in WAYS:
                    generator = np.random.default_rng([seeds, starts, LUCKS.index(luck)])
                    found = rates(way, World(luck, seeds, starts, is_binary, generator), rounds)
                    numbers = " | ".join(f"{rate:.3f}" for rate in found)
                    data = "successes" if is_binary else "scores"
                    row = f"| {data} | {luck.name} | {seeds} x {starts} | {way} | {numbers} |\n"
                    sys.stdout.write(row)
                    sys.stdout.flush()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
