"""A player against a player: each start is played twice, so that each of them moves first once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vlmgym.core import ConfigError, Game, Level, seeds_for
from vlmgym.core.files import only_process, write_json
from vlmgym.episodes.batch import EpisodeBatch
from vlmgym.episodes.records import EvaluationRun
from vlmgym.episodes.seats import Seat, replay_games
from vlmgym.episodes.task import Task
from vlmgym.episodes.trace import TraceError
from vlmgym.evals import stats
from vlmgym.evals.estimates import Estimate
from vlmgym.evals.evaluation import see_that_it_can_play
from vlmgym.evals.progress import play_against
from vlmgym.evals.resuming import Journal, finished, journal_of, recorded
from vlmgym.evals.settings import Evaluation, batch_of, opponent_of, run_of
from vlmgym.evals.summaries import summary_of
from vlmgym.games.parts.opponents import LevelVersus, Versus
from vlmgym.games.suites import chosen_games
from vlmgym.players.base import Player

_FIXED = {"start": "reset", "turns": 0, "patience": 0}
"""Settings that leave no choice where players play against each other."""


@dataclass(frozen=True, eq=False)
class _Chair:
    """One of the four: either player moves first in one half of the games, second in the other."""

    player: Player
    name: str  # "first" or "second", from whose seat it moves
    task: Task  # the game as this side sees it
    run: EvaluationRun
    seat: Seat
    folder: Path | None


def duel(
    player: Player,
    opponent: Player,
    task: Task,
    settings: Evaluation,
    out: Path | None = None,
    progress: bool = True,
) -> dict[str, Any]:
    """Let two players play against each other, from equal starts and both sides.

    Every turn of either is written down as soon as it is answered. A folder that holds the
    beginning of these games is gone on with; games in which a player gave no answer are tried
    again.

    Args:
        player: whose points are told.
        opponent: who plays against it.
        task: game, level, look and prompt style. Whoever begins at the level: from each start
            either player moves first once.
        settings: number of starts, repetitions, what is shown.
        out: folder for ``duel.json`` and, for each player and side, an evaluation like any other:
            ``eval/player/GAME-first``, ``eval/opponent/GAME-second`` and so on.
        progress: show a progress bar on standard error, and the first fault of each kind.

    Returns:
        What ``duel.json`` holds: ``player`` and ``opponent`` (label, identity, what describes
        them), ``task``, ``evaluation``, ``points``, ``games`` (see :func:`_standing`),
        ``warnings``; and ``summaries``, two of the player (first, second), two of the opponent.

    Raises:
        ConfigError: players cannot play against each other in the game or under these settings, or
            a folder holds another evaluation.
        TraceError: a trace that is damaged, or that other rules wrote.
        BusyError: another process evaluates into one of the folders.
    """
    see_versus(task)
    settings = _settled(settings)
    chairs = _chairs(player, opponent, task, settings, out)
    if not all(chair.folder and finished(chair.folder, chair.run) for chair in chairs):
        for own in (chairs[:2], chairs[2:]):
            see_that_it_can_play(own[0].player, [(chair.task, settings) for chair in own])
    with ExitStack() as open_folders:
        journals = _open_journals(chairs, open_folders)
        seats = [chair.seat for chair in chairs]
        by_player = [(player, seats[:2]), (opponent, seats[2:])]
        play_against(by_player, journals, task.names.game, progress)
        for batch, journal in journals.items():
            ended = [episode for episode in batch.episodes() if episode not in journal.episodes]
            journal.writer.write(*ended)
        result = {
            "player": _who(player),
            "opponent": _who(opponent),
            "task": task.to_dict(),
            "evaluation": asdict(settings),
            **_standing(chairs[:2], settings.repeats),
            "warnings": _one_game(chairs, task),
        }
        summaries = []
        for own, other in ((chairs[:2], opponent), (chairs[2:], player)):
            summaries += [_summary(chair, own, other, settings) for chair in own]
        for chair, summary in zip(chairs, summaries, strict=True):
            if chair.folder:
                write_json(chair.folder / "summary.json", summary)
        if out:
            write_json(out / "duel.json", result)
    return {**result, "summaries": summaries}


def see_versus(task: Task) -> None:
    """See that players can play against each other in a game.

    Raises:
        ConfigError: they cannot.
    """
    if not isinstance(task.game, Versus):
        games = ", ".join(chosen_games("opponent", "game"))
        allowed = f"a game in which players can play against each other ({games})"
        raise ConfigError("game", task.names.game, allowed)


def _settled(settings: Evaluation) -> Evaluation:
    """The settings with those that leave no choice.

    Raises:
        ConfigError: one of them is set otherwise.
    """
    defaults = Evaluation.defaults()
    for name, value in _FIXED.items():
        given = getattr(settings, name)
        if given not in (value, defaults[name]):
            raise ConfigError(name, given, f"{value}, where players play against each other")
    return settings.override(**_FIXED)


def _chairs(
    player: Player, opponent: Player, task: Task, settings: Evaluation, out: Path | None
) -> list[_Chair]:
    """The four, at games that have begun: the player's, first and second, and the opponent's."""
    game = task.game
    assert isinstance(game, Versus)
    limit = 2 * task.level.max_steps  # a turn is the move of one side
    first_level = task.level.override(begins="player", max_steps=limit, restart=False)
    tasks = {}
    for name, level in (("first", first_level), ("second", game.of_other_side(first_level))):
        tasks[name] = task.override(level=_level_name(game, task.names.level, level))
    names = task.names
    seeds = seeds_for(settings.split, names.game, names.level, settings.episodes, settings.first)
    start = game.reset(first_level, seeds).repeat(settings.repeats)
    chairs = []
    for role, who, other in (("player", player, opponent), ("opponent", opponent, player)):
        for name, task_of_side in tasks.items():
            run = run_of(who, task_of_side, settings)
            run = replace(run, evaluation=run.evaluation | opponent_of(other))
            state = replace(start, level=task_of_side.level)
            seat = batch_of(task_of_side, settings, state, Seat)
            folder = out / "eval" / role / f"{names.game}-{name}" if out else None
            chairs.append(_Chair(who, name, task_of_side, run, seat, folder))
    for first, second in _pairs(chairs):
        first.seat.meet(second.seat)
    return chairs


def _pairs(chairs: Sequence[_Chair]) -> list[tuple[_Chair, _Chair]]:
    """Who moves first and who second, in either half of the games."""
    return [(chairs[0], chairs[3]), (chairs[2], chairs[1])]


def _level_name(game: Game, text: str, level: Level) -> str:
    """The name of a level made from one that is called so."""
    preset = text.partition(":")[0]
    values = asdict(game.level(preset))
    return game.level_name(
        preset, {name: value for name, value in asdict(level).items() if value != values[name]}
    )


def _open_journals(
    chairs: Sequence[_Chair], open_folders: ExitStack
) -> dict[EpisodeBatch, Journal]:
    """The traces of the chairs that have a folder, open for this process alone until
    ``open_folders`` is left, after what they hold has been played.
    """
    if not all(chair.folder for chair in chairs):
        return {}
    old = {}
    for chair in chairs:
        assert chair.folder
        open_folders.enter_context(only_process(chair.folder, "evaluates"))
        old[chair] = recorded(chair.run, chair.folder)
    for pair in _pairs(chairs):
        traces = [old[chair] for chair in pair]
        first_turns, second_turns = (trace.turns if trace else [] for trace in traces)
        try:
            replay_games(pair[0].seat, pair[1].seat, (first_turns, second_turns))
        except TraceError as error:
            folders = " and ".join(str(chair.folder) for chair in pair)
            raise TraceError(f"the traces in {folders}: {error}") from error
    journals = dict[EpisodeBatch, Journal]()
    for chair, trace in old.items():
        assert chair.folder
        journals[chair.seat] = journal_of(chair.run, chair.folder, trace)
        open_folders.callback(journals[chair.seat].writer.close)
    return journals


def _who(player: Player) -> dict[str, Any]:
    """Who plays, as JSON values."""
    return {"name": player.name, "identity": player.identity, "about": player.describe()}


def _standing(own: Sequence[_Chair], repeats: int) -> dict[str, Any]:
    """What a player has made of its games, from its two chairs.

    Returns:
        ``points``, 1 = won, 0.5 = drawn, 0 = lost, as estimates over ``both`` sides, as ``first``
        and as ``second``; and ``games`` of either side: how many were won, drawn, lost and failed,
        and how many ended by an answer without a legal move, its own (``forfeited``) or the
        other's (``given``).
    """
    games = {}
    tables = {}
    for chair in own:
        points = chair.seat.points()
        games[chair.name] = {
            "won": int((points == 1).sum()),
            "drawn": int((points == 0.5).sum()),
            "lost": int((points == 0).sum()),
            "failed": int(np.isnan(points).sum()),
            "forfeited": int(chair.seat.forfeited.sum()),
            "given": int(chair.seat.other.forfeited.sum()),
        }
        tables[chair.name] = points.reshape(-1, repeats)
    tables = {"both": np.hstack([*tables.values()]), **tables}
    points_by_side = {name: _mean(table).to_dict() for name, table in tables.items()}
    return {"points": points_by_side, "games": games}


def _mean(points: NDArray[np.float64]) -> Estimate:
    """Mean points; the interval resamples starts.

    Args:
        points: ``(starts, games)``, NaN for games that failed.
    """
    counts = (~np.isnan(points)).sum(axis=1)
    return stats.ratio(np.nansum(points, axis=1), counts, bounds=stats.SHARE)


def _summary(
    chair: _Chair, own: Sequence[_Chair], other: Player, settings: Evaluation
) -> dict[str, Any]:
    """The summary of a chair: that of any evaluation, and ``duel``: how its player stands."""
    run = chair.run
    seat = chair.seat
    doubts = chair.player.doubts(run.game, run.level, run.look, run.prompt, run.reply)
    summary = summary_of(run, seat.turns, seat.episodes(), chair.task, settings, doubts)
    summary["evaluation"] |= opponent_of(other)
    standing = _standing(own, settings.repeats)
    summary["duel"] = {"opponent": other.name, "side": chair.name, **standing}
    return summary


def _one_game(chairs: Sequence[_Chair], task: Task) -> list[str]:
    """What to think of points where all games of either half are one game."""
    level = task.level
    assert isinstance(level, LevelVersus)
    count = len(chairs[0].seat.state)
    if level.opening or count == 1:
        return []
    for pair in _pairs(chairs):
        games = defaultdict[int, list[int]](list)
        for chair in pair:
            for turn in chair.seat.turns:
                games[turn.episode].append(turn.action)
        if len({tuple(actions) for actions in games.values()}) > 1:
            return []
    other = _level_name(task.game, task.names.level, level.override(opening=2))
    return [
        f"all {count} games of either side are one game, as the level has no opening and neither "
        f"player varied: ask for --level {other}"
    ]
