"""The normalised index: how far a player is from random (0) to the oracle (1), on each game and
over all.

``index = (player - random) / (oracle - random)``, of means over the starts that all three have
finished (as scores of Atari games are put between random and human play; Mnih et al. 2015,
doi 10.1038/nature14236). A game's index is the mean of its tasks, that over all the mean of the
games, each counting alike.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vlmgym.evals import stats
from vlmgym.evals.estimates import NAN, Estimate
from vlmgym.evals.metrics import mean_known
from vlmgym.evals.reading import Evaluated, by_task

LOWEST = "random"
"""The kind of the player at 0."""
HIGHEST = "oracle"
"""The kind of the player at 1."""


@dataclass(frozen=True)
class PlayerIndex:
    """What the index says of a player.

    Attributes:
        player: its label.
        games: the index of each game that has one; ``n`` counts starts.
        overall: over all games of the table; NaN where the player lacks one of them. ``n`` counts
            games.
    """

    player: str
    games: dict[str, Estimate]
    overall: Estimate


@dataclass(frozen=True)
class IndexTable:
    """The index of all players.

    Attributes:
        games: those that have an index, in the order in which they come.
        players: the best over all first.
        left_out: for each task without an index, the reason.
    """

    games: list[str]
    players: list[PlayerIndex]
    left_out: dict[str, str]


@dataclass(frozen=True)
class _Placed:
    """A player's index of one task: its value, and that of each bootstrap sample."""

    value: float
    resampled: NDArray[np.float64]  # (RESAMPLES,), NaN where a sample has no gap
    starts: int


def normalised_index(evaluations: Sequence[Evaluated]) -> IndexTable:
    """The index of every player of these evaluations.

    The measure of a task is its headline: the score of whole games, else the success of turns.
    Intervals are 95 % percentile bootstrap intervals; starts are resampled within each task, the
    same ones for the player, the random one and the oracle.
    """
    left_out: dict[str, str] = {}
    placed = defaultdict[str, dict[str, list[_Placed]]](lambda: defaultdict(list))
    games: list[str] = []
    for number, group in enumerate(by_task(evaluations)):
        lowest = _of_kind(group, LOWEST)
        highest = _of_kind(group, HIGHEST)
        task = group[0].task
        if lowest is None or highest is None:
            missing = LOWEST if lowest is None else HIGHEST
            left_out[task] = f"nobody of kind {missing} was asked"
            continue
        low = _starts(lowest)
        high = _starts(highest)
        of_players = {one.player: _place(_starts(one), low, high, number) for one in group}
        if not any(of_players.values()):
            shared = low.keys() & high.keys()
            not_above = f"{highest.player} is not above {lowest.player}"
            left_out[task] = not_above if shared else "no start was finished by both"
            continue
        game = group[0].run.game
        games += [game] if game not in games else []
        for player, place in of_players.items():
            if place is not None:
                placed[player][game].append(place)
    tasks_of_games = {
        game: max(len(of_player[game]) for of_player in placed.values()) for game in games
    }
    players = [_index_of(player, placed[player], tasks_of_games) for player in placed]
    players.sort(key=lambda index: np.nan_to_num(index.overall.mean, nan=-np.inf), reverse=True)
    return IndexTable(games, players, left_out)


def _of_kind(group: Sequence[Evaluated], kind: str) -> Evaluated | None:
    """The first player of a kind; a random one with other luck is as good as another."""
    return next((one for one in group if one.run.about.get("kind") == kind), None)


_Starts = dict[tuple[int, int], float]
"""The headline of each start."""


def _starts(evaluated: Evaluated) -> _Starts:
    """The headline of each start, the mean of its repetitions."""
    repeats = int(evaluated.how["repeats"])
    by_start = defaultdict[tuple[int, int], list[float]](list)
    for (number, seed, _), values in evaluated.values.items():
        by_start[number // repeats, seed].append(values[evaluated.headline])
    means = {start: mean_known(values) for start, values in by_start.items()}
    return {start: value for start, value in means.items() if not np.isnan(value)}


def _place(player: _Starts, lowest: _Starts, highest: _Starts, seed: int) -> _Placed | None:
    """Where a player is in one task; None where the oracle is not above random."""
    by_start = [player, lowest, highest]
    shared = sorted(set.intersection(*map(set, by_start)))
    if not shared:
        return None
    values = np.array([[values[start] for values in by_start] for start in shared])
    means = values.mean(axis=0)
    if means[2] <= means[1]:
        return None
    resampled = stats.resample(len(shared), seed) @ values / len(shared)
    gaps = resampled[:, 2] - resampled[:, 1]
    gaps[gaps <= 0] = NAN
    indices = (resampled[:, 0] - resampled[:, 1]) / gaps
    return _Placed(float((means[0] - means[1]) / (means[2] - means[1])), indices, len(shared))


def _index_of(
    player: str, by_game: Mapping[str, Sequence[_Placed]], tasks_of_games: Mapping[str, int]
) -> PlayerIndex:
    """The index of a player on each game and over all, from its tasks.

    Args:
        player: its label.
        by_game: its tasks.
        tasks_of_games: how many tasks each game has; a player that lacks one has no index there.
    """
    values: list[float] = []
    resampled: list[NDArray[np.float64]] = []
    games: dict[str, Estimate] = {}
    for game, tasks in tasks_of_games.items():
        places = by_game.get(game, ())
        if len(places) < tasks:
            continue
        values.append(float(np.mean([place.value for place in places])))
        resampled.append(np.mean([place.resampled for place in places], axis=0))
        starts = sum(place.starts for place in places)
        games[game] = _estimate(values[-1], resampled[-1], starts)
    if len(games) < len(tasks_of_games):
        return PlayerIndex(player, games, Estimate(NAN, NAN, NAN, len(games)))
    overall = _estimate(float(np.mean(values)), np.mean(resampled, axis=0), len(games))
    return PlayerIndex(player, games, overall)


def _estimate(value: float, resampled: NDArray[np.float64], count: int) -> Estimate:
    """A value with the 95 % interval of its bootstrap samples; without one where those hardly
    differ from a single number.
    """
    defined = resampled[~np.isnan(resampled)]
    if not len(defined) or np.ptp(defined) == 0:
        return Estimate(value, NAN, NAN, count)
    low, high = np.percentile(defined, [2.5, 97.5])
    return Estimate(value, float(low), float(high), count)
