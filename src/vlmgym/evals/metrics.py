"""The metrics of turns and episodes: one table, which evaluation, leaderboard, report, figures,
training and bridges read.

A new metric is one entry of :data:`METRICS`; the places where it is shown are a part of it.
Exactly one of ``of_turn``, ``of_episode`` and ``of_turns`` is given; places that see single turns
(``training``) show metrics of a turn alone.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vlmgym.dialogue.judge import Fault, Judgement
from vlmgym.dialogue.weights import TERM_RANGES
from vlmgym.episodes.records import Episode, Turn
from vlmgym.evals import stats
from vlmgym.evals.estimates import NAN, Estimate
from vlmgym.evals.turn_values import (
    MEMORY,
    has_fault,
    memory_gap,
    of_description,
    of_named_tiles,
    path_efficiency,
    success,
    where_needed,
)

PLACES = (
    "leaderboard",
    "report",
    "figures",
    "inspect",
    "checks",
    "swapped",
    "training",
    "baselines",
)
"""Where metrics are shown: the leaderboard of several players, the tables of a report, curves over
a dial, Inspect AI, the checks of a training run, those with the description of another board
(``swapped``; they stand beside ``checks``, so no metric is in both), the lines of its log
(``training``), and the stored baselines.
"""


@dataclass(frozen=True)
class Metric:
    """A number that an evaluation gives: the mean of a value of turns, or of episodes."""

    name: str
    title: str  # heading of a column; where it is a share, with the percent sign
    doc: str  # what it is, with its formula
    # of a Turn or a Judgement; NaN: that one does not count
    of_turn: Callable[[Any], float] | None = None
    of_episode: Callable[[Episode], float] | None = None
    # of an episode from its turns, in their order; NaN: that episode does not count
    of_turns: Callable[[Episode, Sequence[Turn]], float] | None = None
    bounds: tuple[float, float] | None = None  # the range of a value; None: unbounded
    signed: bool = False  # shown with its sign
    paired: bool = True  # whether two players are compared by it, start by start
    # of the description: it says nothing of a player that is handed the board
    describes: bool = False
    # of games with this tag alone, of vlmgym.core.contract.TAGS
    tag: str = ""
    shown: frozenset[str] = frozenset()  # of PLACES
    caption: str = ""  # heading of a plot

    @property
    def percent(self) -> bool:
        """Whether it is a share, which tables show in percent."""
        return self.bounds == stats.SHARE and self.title.endswith("%")

    @property
    def gap_bounds(self) -> stats.Bounds:
        """The range of the difference of two values; None: unbounded."""
        if self.bounds is None:
            return None
        low, high = self.bounds
        return low - high, high - low


FOLLOWING = 0.5
"""What the lower end of ``follows`` must be above, for a description to be taken for what reasoning
rests on.
"""
METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric(
            "score",
            "score",
            "the game's own points at the end",
            of_episode=lambda episode: float(episode.score),
            shown=frozenset({"leaderboard", "figures", "inspect", "baselines"}),
            caption="Score of an episode",
        ),
        Metric(
            "reward",
            "reward",
            "sum over its turns of +1 (the move was good) or -1",
            of_episode=lambda episode: episode.reward,
            shown=frozenset({"leaderboard", "baselines"}),
        ),
        Metric(
            "success",
            "success, %",
            "share of good moves. 2048: a merge; Shisen-Sho: a match; Swap: a line; Minesweeper: a "
            "safe cell; puzzles and mazes: a move on a shortest way; against an opponent: a move "
            "of the best outcome; other games: as their pages say",
            of_turn=success,
            bounds=stats.SHARE,
            shown=frozenset(PLACES) - {"swapped"},
            caption="Success: turns with\na move that works",
        ),
        Metric(
            "game",
            "game reward",
            "mean game term, 2 * success - 1",
            of_turn=lambda turn: turn.terms["game"],
            bounds=TERM_RANGES["game"],
            signed=True,
            paired=False,  # success says the same
            shown=frozenset({"report"}),
        ),
        Metric(
            "format",
            "format, %",
            "share of replies with the three blocks, once each, in order, none blank",
            of_turn=lambda turn: turn.terms["format"],
            bounds=stats.SHARE,
            shown=frozenset({"leaderboard", "report", "inspect", "checks"}),
        ),
        Metric(
            "p_acc",
            "P_acc, %",
            "share of descriptions equal to the board in every cell (G1, section 4)",
            of_turn=lambda turn: NAN if turn.p_acc is None else float(turn.p_acc),
            bounds=stats.SHARE,
            describes=True,
            shown=frozenset({"leaderboard", "report", "figures", "inspect", "checks", "training"}),
            caption="Boards that are\ndescribed exactly",
        ),
        Metric(
            "cells",
            "cells right, %",
            "mean share of cells described correctly; cells that were not stated are wrong. Part "
            "of it can be had without looking, see below",
            of_turn=of_description("cells"),
            bounds=stats.SHARE,
            describes=True,
            shown=frozenset({"leaderboard", "report", "figures", "inspect"}),
            caption="Cells that are\ndescribed correctly",
        ),
        Metric(
            "balanced",
            "cells, balanced",
            "(mean over the k symbols on the board of the share of their cells that are right - "
            "1/k) / (1 - 1/k): 1 = all right, "
            "0 = one tile for all cells, at least -1; 0 where k = 1",
            of_turn=of_description("balanced"),
            bounds=TERM_RANGES["balanced"],
            signed=True,
            describes=True,
            shown=frozenset({"leaderboard", "report", "inspect"}),
        ),
        Metric(
            "r_acc",
            "R_acc, %",
            "success among the turns with an exact description: P(good, p_acc = 1) / P(p_acc = 1) "
            "(G1, section 4). It holds what the think block itself sees as well",
            of_turn=lambda turn: success(turn) if turn.p_acc else NAN,
            bounds=stats.SHARE,
            paired=False,  # each player has turns of its own choice
            describes=True,
            shown=frozenset({"leaderboard", "report", "figures", "checks", "training"}),
            caption="Success where the\ndescription is exact",
        ),
        Metric(
            "regret",
            "regret",
            "(best - chosen) / (best - worst) of the oracle's values, 0 to 1; 1 for an illegal "
            "move or none",
            of_turn=lambda turn: -turn.terms["regret"],
            bounds=stats.SHARE,
            shown=frozenset({"leaderboard", "report", "inspect"}),
        ),
        Metric(
            "localises",
            "localises, %",
            "share of think blocks that name tiles beside their cells (`red circle (0, 1)`)",
            of_turn=lambda turn: float(turn.localises),
            bounds=stats.SHARE,
            paired=False,
        ),
        Metric(
            "enumerates",
            "enumerates, %",
            "share of think blocks that list or count things (`3 red circles`)",
            of_turn=lambda turn: float(turn.enumerates),
            bounds=stats.SHARE,
            paired=False,
        ),
        Metric(
            "tiles_right",
            "tiles right in thinking, %",
            "of the tiles that a think block names beside their cells, the share that stand there; "
            "turns that name one",
            of_turn=of_named_tiles("right", "named"),
            bounds=stats.SHARE,
            paired=False,  # each player names tiles of its own choice
            shown=frozenset({"report"}),
        ),
        Metric(
            "follows",
            "follows its description, %",
            "of the tiles that a think block names in cells where description and board differ, "
            "the share named as described; turns with such a cell. Low: it looks again, and what "
            "is concluded from the description says nothing of what the move rests on",
            of_turn=of_named_tiles("as_described", "conflicts"),
            bounds=stats.SHARE,
            paired=False,
            shown=frozenset({"report", "swapped"}),
        ),
        Metric(
            "looks_again",
            "looks again, %",
            "of the same tiles, the share named as they are in the picture",
            of_turn=of_named_tiles("as_shown", "conflicts"),
            bounds=stats.SHARE,
            paired=False,
            shown=frozenset({"report", "swapped"}),
        ),
        Metric(
            "path_efficiency",
            "path efficiency, %",
            "of whole puzzles: moves of a shortest solution over the moves taken, 0 where it was "
            "not solved (success weighted by path length). Puzzles without luck whose oracle is "
            "exact",
            of_turns=path_efficiency,
            bounds=stats.SHARE,
            paired=False,  # most games have none
            tag="puzzle",
            shown=frozenset({"report"}),
        ),
        Metric(
            "memory_gap",
            "memory gap, %",
            "success of the oracle, who forgets nothing (1: it takes a pair that it knows, else it "
            "turns over a card that was not shown), minus that of the player. Memory",
            of_turn=memory_gap,
            bounds=stats.SHARE,
            paired=False,  # success says the same
            tag="memory",
            shown=frozenset({"report"}),
        ),
        *(
            Metric(
                name,
                f"success, {words}, %",
                f"success of the turns in which {meaning}. Memory",
                of_turn=where_needed(needed),
                bounds=stats.SHARE,
                paired=False,  # each player has turns of its own choice
                tag="memory",
                shown=frozenset({"report"}),
            )
            for name, needed, words, meaning in MEMORY
        ),
        *(
            Metric(
                f"fault_{fault.value}",
                f"{fault.value}, %",
                f"share of turns: {fault.meaning}",
                of_turn=has_fault(fault),
                bounds=stats.SHARE,
                paired=False,
            )
            for fault in Fault
        ),
    )
}


def shown_in(place: str, tags: Collection[str] = ()) -> tuple[str, ...]:
    """The names of the metrics that are shown in one of :data:`PLACES`, in the order of the
    table.

    Args:
        place: one of them.
        tags: of the game, whose own metrics are among them.
    """
    names = []
    for name, metric in METRICS.items():
        if place in metric.shown and (not metric.tag or metric.tag in tags):
            names.append(name)
    return tuple(names)


PAIRED = tuple(name for name, metric in METRICS.items() if metric.paired)
"""The metrics by which two players can be compared, start by start."""
DESCRIBING = frozenset(name for name, metric in METRICS.items() if metric.describes)
"""Metrics of the description of the board."""


def mean_of(metric: str, turns: Iterable[Turn | Judgement]) -> float:
    """The mean of a metric of turns over those that count; NaN where there is none."""
    of_turn = METRICS[metric].of_turn
    assert of_turn is not None
    return mean_known(map(of_turn, turns))


def mean_known(values: Iterable[float]) -> float:
    """The mean of what is not NaN; NaN if nothing is left."""
    defined = [value for value in values if not math.isnan(value)]
    return sum(defined) / len(defined) if defined else NAN


def value_of(metric: str, episode: Episode, turns: Sequence[Turn]) -> float:
    """A metric of one episode: of turns the mean over those that count; NaN where there is none."""
    of_turns = METRICS[metric].of_turns
    if of_turns:
        return of_turns(episode, turns)
    of_episode = METRICS[metric].of_episode
    return of_episode(episode) if of_episode else mean_of(metric, turns)


def summarise(
    turns: Sequence[Turn], episodes: Sequence[Episode], repeats: int = 1
) -> dict[str, Estimate]:
    """The mean of each of :data:`METRICS` with its 95 % interval.

    An interval resamples whole starts (see :func:`vlmgym.evals.stats.ratio`), so that the turns of
    an episode, and the repetitions of a start, are drawn together.

    Args:
        turns: of the episodes, those of each in their order.
        episodes: those that were played.
        repeats: how often each start was played.
    """
    starts = sorted({episode.episode // repeats for episode in episodes})
    index_of = {start: index for index, start in enumerate(starts)}
    turn_starts = [index_of[turn.episode // repeats] for turn in turns]
    episode_starts = [index_of[episode.episode // repeats] for episode in episodes]
    turns_by_episode = defaultdict[int, list[Turn]](list)
    for turn in turns:
        turns_by_episode[turn.episode].append(turn)

    def estimate(metric: Metric) -> Estimate:
        if metric.of_turn:
            indices = np.array(turn_starts, np.int64)
            values = np.array([metric.of_turn(turn) for turn in turns], np.float64)
        else:
            indices = np.array(episode_starts, np.int64)
            values_of_episodes = [
                value_of(metric.name, episode, turns_by_episode[episode.episode])
                for episode in episodes
            ]
            values = np.array(values_of_episodes, np.float64)
        counted = ~np.isnan(values)
        sums = _sum_by(indices, np.where(counted, values, 0.0), len(starts))
        counts = _sum_by(indices, counted.astype(np.float64), len(starts))
        return stats.ratio(sums, counts, bounds=metric.bounds)

    return {name: estimate(metric) for name, metric in METRICS.items()}


def _sum_by(
    indices: NDArray[np.int64], values: NDArray[np.float64], count: int
) -> NDArray[np.float64]:
    """The sums of the values with index 0, 1, ... ``count - 1``, ``(count,)``."""
    return np.bincount(indices, values, count).astype(np.float64)


def table() -> str:
    """The table of all metrics in Markdown, as docs/evaluation.md holds it."""
    lines = ["| metric | of | what it is |", "|---|---|---|"]
    for metric in METRICS.values():
        unit = "turn" if metric.of_turn else "episode"
        lines.append(f"| {metric.name} | {unit} | {metric.doc} |")
    return "\n".join(lines) + "\n"
