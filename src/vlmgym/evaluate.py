"""Play frozen seeds with a player; write the trace and the summary with intervals."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from vlmgym import baselines, stats
from vlmgym.core import Settings, State, seeds_for, setting
from vlmgym.players.base import Player
from vlmgym.reward import Fault
from vlmgym.rollout import Lane, play
from vlmgym.tasks import Task
from vlmgym.trace import Episode, Run, TraceWriter, Turn


@dataclass(frozen=True)
class Evaluation(Settings):
    """How a player is measured on a task."""

    episodes: int = setting(20, "episodes (or states, for start = walk with turns = 1)", 1, 1_000_000)
    turns: int = setting(0, "most turns of an episode; 0 = the level's limit", 0, 1_000_000)
    start: str = setting("reset", "reset: fresh games; walk: the task's random-walk states", choices=("reset", "walk"))
    mode: str = setting("strict", "parse mode", choices=("strict", "lenient"))
    oracle: bool = setting(True, "record oracle values and regret")
    first: int = setting(0, "number of the first test seed", 0, 1_000_000_000)


def starts(task: Task, how: Evaluation) -> State:
    """The start states of an evaluation: a pure function of task and settings, from the test split."""
    game, level, _ = task.rules()
    if how.start == "walk":
        return task.states("test", how.episodes, how.first)
    return game.reset(level, seeds_for("test", task.game, task.level, how.episodes, how.first))


def evaluate(player: Player, task: Task, how: Evaluation, out: Path | None = None, progress: bool = True) -> dict[str, Any]:
    """Measure a player on one task; see :func:`evaluate_all`."""
    return evaluate_all(player, [task], how, None if out is None else [out], progress)[0]


def evaluate_all(
    player: Player, tasks: Sequence[Task], how: Evaluation, out: Sequence[Path] | None = None, progress: bool = True
) -> list[dict[str, Any]]:
    """Measure a player on several tasks side by side, so that games share batches of a model.

    Args:
        player: who plays.
        tasks: game, level, look, prompt style and random walk of each.
        how: number of episodes, turns and start states.
        out: folders for ``trace.jsonl`` and ``summary.json`` (an earlier trace there is replaced), one a task.
        progress: show a progress bar on standard error.

    Returns:
        The summaries, as written to ``summary.json``: player, task, evaluation, metrics (see :func:`summarise`), and for whole
        episodes of a named level the stored rows of random, random-legal, greedy and oracle play (``baselines``).
    """
    lanes = [Lane(task.rules()[0], starts(task, how), task.look, task.prompt, how.turns, how.mode, how.oracle) for task in tasks]
    total = sum(min(x for x in (how.turns, lane.state.level.max_steps) if x) * len(lane.state) for lane in lanes)
    what = tasks[0].game if len(tasks) == 1 else f"{len(tasks)} tasks"
    bar = tqdm(total=total, desc=f"{player.name} on {what}", unit="turn", file=sys.stderr, disable=not progress)
    hits = [0, 0]

    def show(_: Lane, records: list[Turn]) -> None:
        hits[0] += sum(r.terms["game"] > 0 for r in records)
        hits[1] += len(records)
        bar.set_postfix(success=f"{hits[0] / hits[1]:.2f}", refresh=False)
        bar.update(max(hits[1] - bar.n, 0))

    player.on_answers = bar.update
    try:
        with bar:
            play(lanes, player, show)
    finally:
        player.on_answers = None
    summaries = []
    folders: Sequence[Path | None] = out or [None] * len(tasks)
    for task, lane, folder in zip(tasks, lanes, folders, strict=True):
        turns, episodes = lane.turns, lane.episodes()
        summary = {
            "player": player.name,
            "task": asdict(task),
            "evaluation": asdict(how),
            "metrics": {k: v.to_dict() for k, v in summarise(turns, episodes).items()},
            "baselines": baselines.stored(lane.game, task.level) if how.start == "reset" and not how.turns else {},
        }
        summaries.append(summary)
        if folder is None:
            continue
        folder.mkdir(parents=True, exist_ok=True)
        trace = folder / "trace.jsonl"
        trace.unlink(missing_ok=True)
        with TraceWriter(trace) as writer:
            writer.write(Run(player.name, task.game, task.level, task.look, task.prompt, how.mode))
            for turn in turns:
                writer.write(turn)
            for episode in episodes:
                writer.write(episode)
        (folder / "summary.json").write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
    return summaries


def summarise(turns: Sequence[Turn], episodes: Sequence[Episode]) -> dict[str, stats.Estimate]:
    """Means with 95 % intervals, episodes as clusters.

    * ``score``: raw score of an episode; ``reward``: sum of its game terms (+1 / -1 a turn).
    * ``success``: turns whose move did something; ``game``: mean game term (2 * success - 1).
    * ``format``: well-formed replies. ``p_acc``: descriptions equal to the board; ``cells``: cells described correctly.
    * ``r_acc``: success among the turns with an exact description, P(reward > 0 | P_acc = 1) of the paper.
    * ``regret``: normalised regret to the oracle, 0 to 1. ``localises``, ``enumerates``: replies that do.
    * ``fault_...``: share of turns by error attribution.
    """
    size = len(episodes)
    place = {e.episode: i for i, e in enumerate(episodes)}
    who = np.array([place[t.episode] for t in turns], np.int64)

    def rate(values: Sequence[float], among: Sequence[bool] | None = None) -> stats.Estimate:
        weight = np.ones(len(turns)) if among is None else np.asarray(among, np.float64)
        return stats.ratio(_sum(who, np.asarray(values, np.float64) * weight, size), _sum(who, weight, size))

    good = [t.terms["game"] > 0 for t in turns]
    exact, told = [bool(t.p_acc) for t in turns], [t.p_acc is not None for t in turns]
    table = {
        "score": stats.mean([e.score for e in episodes]),
        "reward": stats.mean([e.reward for e in episodes]),
        "success": rate(good),
        "game": rate([t.terms["game"] for t in turns]),
        "format": rate([t.terms["format"] for t in turns]),
        "p_acc": rate(exact, told),
        "cells": rate([t.terms["cells"] for t in turns], told),
        "r_acc": rate(good, exact),
        "regret": rate([-t.terms["regret"] for t in turns]),
        "localises": rate([t.localises for t in turns]),
        "enumerates": rate([t.enumerates for t in turns]),
    }
    for fault in Fault:
        table[f"fault_{fault.value}"] = rate([t.fault == fault for t in turns])
    return table


def _sum(who: NDArray[np.int64], values: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    return np.bincount(who, values, size).astype(np.float64)
