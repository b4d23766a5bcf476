"""Play frozen seeds with a player; write the trace and the summary with intervals."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from vlmgym.core import ConfigError
from vlmgym.core.files import only_process, write_json
from vlmgym.episodes.batch import EpisodeBatch
from vlmgym.episodes.records import EvaluationRun
from vlmgym.episodes.task import Task
from vlmgym.evals.progress import play_all
from vlmgym.evals.resuming import Journal, finished, open_journal
from vlmgym.evals.settings import (
    Evaluation,
    all_starts,
    ask_from_the_start,
    batch_of,
    run_of,
    starts,
)
from vlmgym.evals.summaries import summary_of
from vlmgym.players.base import SEES, SEES_ALLOWED, AsyncPlayer, Player
from vlmgym.render.frames import pictures


def evaluate(
    player: Player,
    task: Task,
    settings: Evaluation,
    out: Path | None = None,
    progress: bool = True,
) -> dict[str, Any]:
    """Measure a player on one task; see :func:`evaluate_all`."""
    folders = None if out is None else [out]
    (summary,) = evaluate_all(player, [task], settings, folders, progress)
    return summary


def evaluate_all(
    player: Player,
    tasks: Sequence[Task],
    settings: Evaluation,
    out: Sequence[Path] | None = None,
    progress: bool = True,
    checked: bool = False,
) -> list[dict[str, Any]]:
    """Measure a player on several tasks side by side, so that games share batches of a model, or
    the places at an endpoint.

    Every turn is written down as soon as it is answered. Where a folder holds the beginning of the
    same evaluation, or the same with fewer episodes, it goes on from there, asking for no answer
    that it has; episodes that failed are tried again.

    Args:
        player: who plays.
        tasks: game, level, look, prompt style and random walk of each.
        settings: number of episodes, turns and start states.
        out: folders for ``trace.jsonl`` and ``summary.json``, one a task.
        progress: show a progress bar on standard error, and the first fault of each kind.
        checked: :func:`see_that_it_can_play` was called already.

    Returns:
        The summaries, as written to ``summary.json``: player, task, evaluation, metrics
        (:mod:`vlmgym.evals.metrics`), counts of episodes, ends, replies that were cut or refused,
        and tokens, warnings, and for whole episodes of a named level the stored rows of random,
        random-legal, greedy and oracle play (``baselines``).

    Raises:
        ConfigError: a folder holds another evaluation, or a player at an endpoint cannot be asked
            so.
        TraceError: a trace that is damaged, or that other rules wrote.
        BusyError: another process evaluates into one of the folders.
    """
    batches = [batch_of(task, settings, all_starts(task, settings)) for task in tasks]
    runs = [run_of(player, task, settings) for task in tasks]
    if not checked and not (out and all(map(finished, out, runs))):
        see_that_it_can_play(player, [(task, settings) for task in tasks])
    folders: Sequence[Path | None] = out or [None] * len(tasks)
    name = tasks[0].names.game if len(tasks) == 1 else f"{len(tasks)} tasks"
    with ExitStack() as open_folders:
        journals = _open_journals(batches, runs, folders, open_folders)
        play_all(batches, journals, player, name, progress)
        for batch, journal in journals.items():
            ended = [episode for episode in batch.episodes() if episode not in journal.episodes]
            journal.writer.write(*ended)
        summaries = []
        for run, batch, task in zip(runs, batches, tasks, strict=True):
            doubts = player.doubts(run.game, run.level, run.look, run.prompt, run.reply)
            summary = summary_of(run, batch.turns, batch.episodes(), task, settings, doubts)
            summaries.append(summary)
        for summary, folder in zip(summaries, folders, strict=True):
            if folder:
                write_json(folder / "summary.json", summary)
    return summaries


def _open_journals(
    batches: Sequence[EpisodeBatch],
    runs: Sequence[EvaluationRun],
    folders: Sequence[Path | None],
    open_folders: ExitStack,
) -> dict[EpisodeBatch, Journal]:
    """The traces of the tasks that have a folder, each open for this process alone until
    ``open_folders`` is left.
    """
    journals = {}
    for batch, run, folder in zip(batches, runs, folders, strict=True):
        if folder:
            open_folders.enter_context(only_process(folder, "evaluates"))
            journals[batch] = open_journal(batch, run, folder)
            open_folders.callback(journals[batch].writer.close)
    return journals


def see_that_it_can_play(player: Player, entries: Iterable[tuple[Task, Evaluation]]) -> None:
    """Ask a player whether it can be asked, and draw one picture of each task; nothing is written.

    Raises:
        VlmGymError: the player cannot be asked (so), does not say what it sees, or a picture cannot
            be drawn (a photograph that cannot be had).
    """
    if player.sees not in SEES:
        raise ConfigError(f"{player.name}: sees", player.sees, SEES_ALLOWED)
    for task, settings in entries:
        if isinstance(player, AsyncPlayer):
            ask_from_the_start(settings)
        if player.sees == "picture" and settings.observation != "text":
            first_start = starts(task, settings.override(episodes=1, repeats=1))
            pictures(task.game, first_start, task.look)
    player.check()
