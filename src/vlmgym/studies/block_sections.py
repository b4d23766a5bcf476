"""The section of a study's report about the advantages of blocks."""

from __future__ import annotations

import math

from vlmgym.evals.estimates import decimals
from vlmgym.studies.blocks import BlockMeasures, Estimated, Quality
from vlmgym.studies.results import StudyResults
from vlmgym.studies.writing import markdown, over_seeds

WORDS = """\
A state is described many times and every description gone on with many times, so both blocks of an
answer have advantages that are known: of a description its mean reward less that of the state, of a
continuation its reward less the mean of its description. Every way to give credit sees 16 answers a
state, drawn from the table. *Bias*: by how much the mean estimate misses the advantage, root mean
square (flat credit and its mean over all answers shrink it, which is bias as well). *Deviation*: by
how much an estimate misses its mean. *Cosine*: between the estimates of one step and the
advantages, whatever their scale; 1 is the true direction. Means over training seeds [smallest,
largest].

The advantages are those of the game's reward alone, of these policies at these weights, in these
states: not what a term for perception would credit, nor where training leads. The table is taken
for the policy. *Reliability* says how far that goes for descriptions: the share of the variance of
their advantages that is not the luck of their continuations. Where it is low, no description is
much better than another, and what is estimated there is mostly that luck. States in which all
answers are worth the same count, with advantages of 0. Nothing here is tested.
"""


def block_section(results: StudyResults) -> str:
    """Where rewards vary, and how estimators do, of all tables."""
    parts = []
    for name, by_player in results.branched.items():
        entry = results.study.blocks[name]
        (task,) = results.study.branching(name).names()
        parts.append(
            f"### {name}: {task}, temperature {entry.temperature:g}, {entry.states} states x "
            f"{entry.descriptions} descriptions x {entry.continuations} continuations\n"
        )
        measures = {player: list(of_seeds.values()) for player, of_seeds in by_player.items()}
        rows = [[player, *_variances(seeds)] for player, seeds in measures.items()]
        titles = ["player", "states", "in which rewards vary", "mean reward"]
        titles += ["variance between descriptions", "between continuations of one"]
        titles += ["share of descriptions, %", "reliability"]
        parts.append(markdown(titles, rows))
        rows = []
        for player, seeds in measures.items():
            for of_seeds in zip(*(seed.estimated for seed in seeds), strict=True):
                rows.append([player, *_estimated(of_seeds)])
        titles = ["player", "credit"]
        titles += [
            f"{block}: {word}"
            for block in ("descriptions", "continuations")
            for word in ("bias", "deviation", "cosine")
        ]
        parts.append(markdown(titles, rows))
    return "\n".join([WORDS, *parts]) if parts else ""


def _variances(seeds: list[BlockMeasures]) -> list[str]:
    """The cells of the first table."""
    found = [seed.variances for seed in seeds]
    shares = [
        entry.descriptions / (entry.descriptions + entry.continuations)
        if entry.descriptions + entry.continuations
        else math.nan
        for entry in found
    ]
    two = decimals(2)
    return [
        over_seeds((entry.states for entry in found), decimals(0)),
        over_seeds((entry.varied for entry in found), decimals(0)),
        over_seeds((entry.mean for entry in found), two),
        over_seeds((entry.descriptions for entry in found), decimals(3)),
        over_seeds((entry.continuations for entry in found), decimals(3)),
        over_seeds(shares, decimals(0, factor=100)),
        over_seeds((entry.reliability for entry in found), two),
    ]


def _estimated(seeds: tuple[Estimated, ...]) -> list[str]:
    """The cells of the second table."""
    first = seeds[0]
    cells = [f"{first.credit} {first.descriptions} x {first.continuations}"]
    cells += _qualities([seed.of_descriptions for seed in seeds])
    cells += _qualities([seed.of_continuations for seed in seeds])
    return cells


def _qualities(seeds: list[Quality]) -> list[str]:
    return [
        over_seeds((seed.bias for seed in seeds), decimals(3)),
        over_seeds((seed.deviation for seed in seeds), decimals(3)),
        over_seeds((seed.cosine for seed in seeds), decimals(2)),
    ]
