"""Play frozen seeds with a player; write the trace and the summary with intervals."""

from __future__ import annotations

import json
import sys
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from vlmgym import baselines, stats
from vlmgym.core import ConfigError, Settings, State, seeds_for, setting
from vlmgym.players.base import AsyncPlayer, Player
from vlmgym.reward import Fault
from vlmgym.rollout import Lane, Telling, play
from vlmgym.tasks import Task
from vlmgym.trace import Episode, Run, TraceWriter, Turn, load_trace, repair

OBSERVATIONS = ("image", "text", "both", "prefill")
ENDS = ("terminated", "truncated", "stopped", "stuck", "failed")


@dataclass(frozen=True)
class Evaluation(Settings):
    """How a player is measured on a task."""

    episodes: int = setting(20, "episodes (or states, for start = walk with turns = 1)", 1, 1_000_000)
    turns: int = setting(0, "most turns of an episode; 0 = the level's limit", 0, 1_000_000)
    start: str = setting("reset", "reset: fresh games; walk: the task's random-walk states", choices=("reset", "walk"))
    mode: str = setting("strict", "parse mode", choices=("strict", "lenient"))
    oracle: bool = setting(True, "record oracle values and regret")
    first: int = setting(0, "number of the first test seed", 0, 1_000_000_000)
    repeats: int = setting(1, "times that each start is played", 1, 10_000)
    observation: str = setting(
        "image", "what is shown of the board; text = its truth, prefill = replies begin with it", choices=OBSERVATIONS
    )
    history: int = setting(0, "earlier turns of the episode that are told again; -1 = all", -1, 10_000)
    patience: int = setting(
        20, "an episode is stuck after so many turns with one move (or none) and no effect; 0 = never", 0, 1_000_000
    )


def starts(task: Task, how: Evaluation) -> State:
    """The start states of an evaluation: a pure function of task and settings, from the test split."""
    game, level, _ = task.rules()
    if how.start == "walk":
        return task.states("test", how.episodes, how.first)
    return game.reset(level, seeds_for("test", task.game, task.level, how.episodes, how.first))


def lane_of(task: Task, how: Evaluation, state: State) -> Lane:
    """Episodes of a task that begin in these states, played and told as the settings say."""
    telling = Telling(task.look, task.prompt, how.observation, how.history, task.blocks)
    return Lane(task.rules()[0], state, telling, how.turns, how.mode, how.oracle, how.patience, how.repeats)


def ask_from_the_start(how: Evaluation) -> None:
    """See that no reply begins with a given text, which models at endpoints do not go on from.

    Raises:
        ConfigError: replies do.
    """
    if how.observation == "prefill":
        raise ConfigError("observation", "prefill", "image, text or both: only a local model goes on with a given beginning")


def evaluate(player: Player, task: Task, how: Evaluation, out: Path | None = None, progress: bool = True) -> dict[str, Any]:
    """Measure a player on one task; see :func:`evaluate_all`."""
    return evaluate_all(player, [task], how, None if out is None else [out], progress)[0]


def evaluate_all(
    player: Player, tasks: Sequence[Task], how: Evaluation, out: Sequence[Path] | None = None, progress: bool = True
) -> list[dict[str, Any]]:
    """Measure a player on several tasks side by side, so that games share batches of a model, or the places at an endpoint.

    Every turn is written down as soon as it is answered. Where a folder holds the beginning of the same evaluation, it goes on
    from there, asking for no answer that it has; episodes that failed are tried again.

    Args:
        player: who plays.
        tasks: game, level, look, prompt style and random walk of each.
        how: number of episodes, turns and start states.
        out: folders for ``trace.jsonl`` and ``summary.json``, one a task.
        progress: show a progress bar on standard error.

    Returns:
        The summaries, as written to ``summary.json``: player, task, evaluation, metrics (see :func:`summarise`), counts of
        episodes, ends and tokens, and for whole episodes of a named level the stored rows of random, random-legal, greedy
        and oracle play (``baselines``).

    Raises:
        ConfigError: a folder holds another evaluation, or a player at an endpoint cannot be asked so.
        TraceError: a trace that is damaged, or that other rules wrote.
    """
    if isinstance(player, AsyncPlayer):
        ask_from_the_start(how)
    lanes, writers, recorded = [], list[TraceWriter | None](), list[set[Episode]]()
    for task, folder in zip(tasks, out or [None] * len(tasks), strict=True):  # type: ignore[list-item]
        lane = lane_of(task, how, starts(task, how).repeat(how.repeats))
        lanes.append(lane)
        writer, before = _journal(lane, player, task, how, folder) if folder else (None, set())
        writers.append(writer)
        recorded.append(before)
    journal = dict(zip(map(id, lanes), writers, strict=True))
    what = tasks[0].game if len(tasks) == 1 else f"{len(tasks)} tasks"
    have = sum(len(lane.turns) for lane in lanes)
    total = sum(lane.most_turns() for lane in lanes)
    bar = tqdm(total=total, initial=have, desc=f"{player.name} on {what}", unit="turn", file=sys.stderr, disable=not progress)
    hits = [sum(r.terms["game"] > 0 for lane in lanes for r in lane.turns), have]

    def show(lane: Lane, records: list[Turn]) -> None:
        if writer := journal[id(lane)]:
            for record in records:
                writer.write(record)
        hits[0] += sum(r.terms["game"] > 0 for r in records)
        hits[1] += len(records)
        if hits[1]:
            bar.set_postfix(success=f"{hits[0] / hits[1]:.2f}", refresh=False)
        bar.update(max(hits[1] - bar.n, 0))

    player.on_answers = bar.update
    try:
        with bar:
            play(lanes, player, show)
        for lane, writer, before in zip(lanes, writers, recorded, strict=True):
            for episode in lane.episodes():
                if writer and episode not in before:
                    writer.write(episode)
    finally:
        player.on_answers = None
        for writer in writers:
            if writer:
                writer.close()
    summaries = [summary_of(player.name, lane.turns, lane.episodes(), task, how) for lane, task in zip(lanes, tasks, strict=True)]
    for summary, folder in zip(summaries, out or (), strict=False):
        (folder / "summary.json").write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
    return summaries


def _journal(lane: Lane, player: Player, task: Task, how: Evaluation, folder: Path) -> tuple[TraceWriter, set[Episode]]:
    """The open trace of a task, after what it already holds has been played, and the episodes recorded there."""
    run = _run_of(player.name, task, how, player.describe())
    path = folder / "trace.jsonl"
    if path.exists() and path.stat().st_size:
        repair(path)
    if path.exists() and path.stat().st_size:
        old = load_trace(path)
        for field in fields(Run):
            before, now = getattr(old.run, field.name), getattr(run, field.name)
            if field.name == "about":  # an endpoint may move
                before, now = ({k: v for k, v in one.items() if k != "base_url"} for one in (before, now))
            if before != now and field.name not in ("version", "revision"):
                raise ConfigError(f"{folder}: {field.name}", now, f"{before}, as in the evaluation there; or another folder")
        lane.replay(old.turns)
        return TraceWriter(path), set(old.episodes)
    writer = TraceWriter(path)
    writer.write(run)
    return writer, set()


def rescore(folder: Path, out: Path, mode: str | None = None, oracle: bool = True) -> dict[str, Any]:
    """Judge the recorded replies of an evaluation anew, by the rules and terms of this version, without asking anybody.

    Where a reply is now read as another move, the turns after it were answers to boards that would not have come up: the episode
    ends there as ``stopped``, and the turns are counted as left out.

    Args:
        folder: holds the old ``trace.jsonl``.
        out: another folder, for the new ``trace.jsonl`` and ``summary.json``.
        mode: parse mode; by default as before.
        oracle: compute oracle values.

    Returns:
        The new summary; ``rescored`` says what was left out.

    Raises:
        ConfigError: ``out`` is not empty of traces, or the trace is none of an evaluation.
    """
    old = load_trace(folder / "trace.jsonl")
    if (out / "trace.jsonl").exists():
        raise ConfigError("out", str(out), "a folder without a trace")
    if not old.run.evaluation:
        raise ConfigError("folder", str(folder), "one that vlmgym eval wrote")
    keys = {field.name for field in fields(Evaluation)}
    how = Evaluation(**{key: value for key, value in old.run.evaluation.items() if key in keys})
    how = how.override(mode=mode or how.mode, oracle=oracle)
    walk = {key: value for key, value in old.run.evaluation.items() if key not in keys}
    task = Task(game=old.run.game, level=old.run.level, look=old.run.look, prompt=old.run.prompt, reply=old.run.reply, **walk)
    lane = lane_of(task, how, starts(task, how).repeat(how.repeats))
    left_out = lane.replay(old.finished(), strict=False)
    played = {turn.episode for turn in lane.turns}
    reasons = {one.episode: one.reason for one in old.episodes if one.end == "failed"}
    episodes = [
        replace(one, end="failed", reason=reasons.get(one.episode, "not recorded")) if one.episode not in played else one
        for one in lane.episodes()
    ]
    summary = summary_of(old.run.player, lane.turns, episodes, task, how)
    summary["rescored"] = {"from": old.run.revision, "left_out": left_out}
    out.mkdir(parents=True, exist_ok=True)
    with TraceWriter(out / "trace.jsonl") as writer:
        writer.write(_run_of(old.run.player, task, how, old.run.about))
        for turn in lane.turns:
            writer.write(turn)
        for episode in episodes:
            writer.write(episode)
    (out / "summary.json").write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
    return summary


def _run_of(player: str, task: Task, how: Evaluation, about: dict[str, Any]) -> Run:
    """The first line of a trace, with all settings that decide what is asked."""
    walk = {key: getattr(task, key) for key in ("walk_min", "walk_max", "walk_legal")} if how.start == "walk" else {}
    return Run(player, task.game, task.level, task.look, task.prompt, how.mode, asdict(how) | walk, about, reply=task.reply)


def summary_of(player: str, turns: Sequence[Turn], episodes: Sequence[Episode], task: Task, how: Evaluation) -> dict[str, Any]:
    """What ``summary.json`` holds; see :func:`evaluate_all`. Episodes that failed are counted, and missing in all metrics."""
    done = [one for one in episodes if one.end != "failed"]
    kept = {one.episode for one in done}
    counted = [turn for turn in turns if turn.episode in kept]
    spent = {key: sum(turn.usage.get(key, 0) for turn in turns) for key in ("input_tokens", "output_tokens", "reasoning_tokens")}
    costs = [turn.usage["cost"] for turn in turns if turn.usage.get("cost") is not None]
    summary = {
        "player": player,
        "task": asdict(task),
        "evaluation": asdict(how),
        "metrics": {k: v.to_dict() for k, v in summarise(counted, done, how.repeats).items()},
        "episodes": {"n": len(episodes), "starts": len(episodes) // how.repeats, "turns": len(turns)}
        | {end: sum(one.end == end for one in episodes) for end in ENDS},
        "failures": dict(Counter(one.reason for one in episodes if one.end == "failed").most_common(20)),
        "spent": spent | {"cost": sum(costs) if costs else None, "seconds": sum(turn.seconds for turn in turns)},
        "baselines": baselines.stored(task.rules()[0], task.level) if how.start == "reset" and not how.turns else {},
    }
    if how.repeats > 1:
        summary["repeats"] = _repeats(counted, done, how.repeats)
    return summary


def _repeats(turns: Sequence[Turn], episodes: Sequence[Episode], repeats: int) -> dict[str, Any]:
    """Over repetitions of a start: pass@k and agreement of the first turn, and the reliability of the scores."""
    good, scores = defaultdict[int, list[bool]](list), defaultdict[int, list[float]](list)
    for turn in turns:
        if turn.turn == 0:
            good[turn.episode // repeats].append(turn.terms["game"] > 0)
    for one in episodes:
        scores[one.episode // repeats].append(one.score)
    whole = [one for one in good.values() if len(one) == repeats]
    found = {
        f"pass@{k}": stats.mean([stats.pass_at_k(len(one), sum(one), k) for one in whole]).to_dict()
        for k in range(1, repeats + 1)
    }
    found["agreement"] = stats.mean([float(len(set(one)) == 1) for one in whole]).to_dict()
    table = [one for one in scores.values() if len(one) == repeats]
    icc = stats.icc(table) if len(table) > 1 else float("nan")
    return {**found, "score_icc": None if np.isnan(icc) else icc}


def summarise(turns: Sequence[Turn], episodes: Sequence[Episode], repeats: int = 1) -> dict[str, stats.Estimate]:
    """Means with 95 % intervals; episodes (with ``repeats``: all repetitions of a start) are the clusters.

    * ``score``: raw score of an episode; ``reward``: sum of its game terms (+1 / -1 a turn).
    * ``success``: turns whose move did something; ``game``: mean game term (2 * success - 1).
    * ``format``: well-formed replies. ``p_acc``: descriptions equal to the board; ``cells``: cells described correctly;
      ``balanced``: the same, each symbol counting alike, and 0 what one tile for all cells gets.
    * ``r_acc``: success among the turns with an exact description, P(reward > 0 | P_acc = 1) of the paper.
    * ``regret``: normalised regret to the oracle, 0 to 1. ``localises``, ``enumerates``: replies that do.
    * ``fault_...``: share of turns by error attribution.
    """
    first = sorted({e.episode // repeats for e in episodes})
    place, size = {start: i for i, start in enumerate(first)}, len(first)
    who = np.array([place[t.episode // repeats] for t in turns], np.int64)
    whose = np.array([place[e.episode // repeats] for e in episodes], np.int64)

    def each(values: Sequence[float]) -> stats.Estimate:
        return stats.ratio(_sum(whose, np.asarray(values, np.float64), size), _sum(whose, np.ones(len(episodes)), size))

    def rate(values: Sequence[float], among: Sequence[bool] | None = None) -> stats.Estimate:
        weight = np.ones(len(turns)) if among is None else np.asarray(among, np.float64)
        return stats.ratio(_sum(who, np.asarray(values, np.float64) * weight, size), _sum(who, weight, size))

    good = [t.terms["game"] > 0 for t in turns]
    exact, told = [bool(t.p_acc) for t in turns], [t.p_acc is not None for t in turns]
    table = {
        "score": each([e.score for e in episodes]),
        "reward": each([e.reward for e in episodes]),
        "success": rate(good),
        "game": rate([t.terms["game"] for t in turns]),
        "format": rate([t.terms["format"] for t in turns]),
        "p_acc": rate(exact, told),
        "cells": rate([t.terms["cells"] for t in turns], told),
        "balanced": rate(
            [t.terms.get("balanced", 0.0) for t in turns], [t.p_acc is not None and "balanced" in t.terms for t in turns]
        ),
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
