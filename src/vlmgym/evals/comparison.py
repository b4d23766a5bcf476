"""Paired differences of players, start by start."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path

from vlmgym.core import ConfigError
from vlmgym.evals import stats
from vlmgym.evals.estimates import NAN, Difference
from vlmgym.evals.metrics import METRICS, PAIRED, mean_known
from vlmgym.evals.reading import Evaluated, by_task, load


@dataclass(frozen=True)
class Comparison(Difference):
    """The first of two players minus the second, on the ``n`` starts that both have played; NaN if
    there are none.
    """

    players: tuple[str, str]
    task: str  # game, level, look and every setting that is not the default
    metric: str
    p_holm: float  # adjusted over all comparisons of the call
    # episodes of either player that the other lacks, that failed, or that have no value of the
    # metric
    left_out: int


def compare(folders: Sequence[Path], metric: str = "success") -> list[Comparison]:
    """Compare all pairs of players that were asked the same, start by start.

    The same means: game, level, look, prompt and evaluation settings, but for the number of
    episodes and the recording of oracle values. Episodes pair up if their number, seed and
    repetition agree. A turn metric is averaged over the turns of an episode, then everything over
    the repetitions of a start, so that starts are what is drawn independently.

    Interval and p-value are those of :func:`vlmgym.evals.stats.paired`, the adjustment that of
    :func:`vlmgym.evals.stats.holm`.

    Args:
        folders: of evaluations. Players of one label, and one player that was asked twice, are told
            apart by their folders.
        metric: one of :data:`vlmgym.evals.metrics.PAIRED`.

    Raises:
        ConfigError: unknown metric, or a folder holds no evaluation.
        TraceError: a damaged trace.
    """
    if metric not in PAIRED:
        raise ConfigError("metric", metric, "one of " + ", ".join(PAIRED))
    return compare_tasks(load(folders), lambda _: metric)


def compare_tasks(
    evaluations: Sequence[Evaluated], metric: Callable[[Evaluated], str]
) -> list[Comparison]:
    """Compare all pairs of each task, by the metric that is named for it; see :func:`compare`."""
    comparisons = []
    for group in by_task(evaluations):
        for first, second in combinations(group, 2):
            comparisons.append(compare_two(first, second, metric(first)))
    adjusted = iter(stats.holm([comparison.p for comparison in comparisons if comparison.n]))
    return [
        replace(comparison, p_holm=float(next(adjusted))) if comparison.n else comparison
        for comparison in comparisons
    ]


def compare_two(first: Evaluated, second: Evaluated, metric: str) -> Comparison:
    """The first minus the second, start by start, as :func:`compare` does; ``p_holm`` is NaN."""
    shared_episodes = first.values.keys() & second.values.keys()
    paired_episodes = [
        episode
        for episode in sorted(shared_episodes)
        if not math.isnan(first.values[episode][metric] + second.values[episode][metric])
    ]
    repeats = int(first.how["repeats"])
    starts = defaultdict[tuple[int, int], list[tuple[int, int, int]]](list)
    for number, seed, repeat in paired_episodes:
        starts[number // repeats, seed].append((number, seed, repeat))

    def means(evaluated: Evaluated) -> list[float]:
        return [
            mean_known([evaluated.values[episode][metric] for episode in repetitions])
            for repetitions in starts.values()
        ]

    bounds = METRICS[metric].gap_bounds
    difference = stats.paired(means(first), means(second), bounds=bounds)
    all_episodes = set(first.values) | set(second.values) | first.failed | second.failed
    return Comparison(
        difference.mean,
        difference.low,
        difference.high,
        p=difference.p if starts else NAN,
        n=len(starts),
        players=(first.player, second.player),
        task=first.task,
        metric=metric,
        p_holm=NAN,
        left_out=len(all_episodes) - len(paired_episodes),
    )
