"""Play frozen seeds with a player; write the trace and the summary with intervals."""

from __future__ import annotations

import re
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from vlmgym.core import ConfigError, Settings, State, StateError, VlmGymError, seeds_for, setting
from vlmgym.core.files import FileError, only_process, read_json, shortest_ends, shown, write_json
from vlmgym.dialogue.prompt import Blocks, taken_apart
from vlmgym.episodes.batch import EpisodeBatch, ObservationSettings, play
from vlmgym.episodes.task import Task
from vlmgym.episodes.trace import (
    ENDS,
    Episode,
    EvaluationRun,
    TraceError,
    TraceWriter,
    Turn,
    begin_anew,
    load_trace,
    read_trace,
    repair,
)
from vlmgym.evals import baselines, stats
from vlmgym.evals.metrics import summarise
from vlmgym.games import known_game
from vlmgym.players.base import CUT, PLACES, REFUSED, AsyncPlayer, Player, identity_of
from vlmgym.render.frames import pictures

OBSERVATIONS = ("image", "text", "both", "prefill")
MOST_EPISODES = 1_000_000
"""Episodes of one evaluation, repetitions included: all of them are in memory side by side."""
OFTEN = 0.05
"""The share of replies above which what happened to them is warned of."""


def range_of(metric: str) -> stats.Bounds:
    """The range of a metric of an episode: that of a share, but for scores and rewards, which have
    none.
    """
    return None if metric in ("score", "reward") else stats.SHARE


@dataclass(frozen=True)
class Evaluation(Settings):
    """How a player is measured on a task."""

    episodes: int = setting(
        20, "episodes (or states, for start = walk with turns = 1)", 1, 1_000_000
    )
    turns: int = setting(0, "most turns of an episode; 0 = the level's limit", 0, 1_000_000)
    start: str = setting(
        "reset",
        "reset: fresh games; walk: the task's random-walk states",
        choices=("reset", "walk"),
    )
    mode: str = setting("strict", "parse mode", choices=("strict", "lenient"))
    oracle: bool = setting(True, "record oracle values and regret")
    first: int = setting(0, "number of the first test seed", 0, 1_000_000_000)
    repeats: int = setting(1, "times that each start is played", 1, 10_000)
    observation: str = setting(
        "image",
        "what is shown of the board; text = its truth, prefill = replies begin with it",
        choices=OBSERVATIONS,
    )
    history: int = setting(
        0, "earlier turns of the episode that are told again; -1 = all", -1, 10_000
    )
    patience: int = setting(
        20,
        "an episode is stuck after so many turns with one move (or none) and no effect; 0 = never",
        0,
        1_000_000,
    )

    def __post_init__(self) -> None:
        """See that the whole of it can be held in memory."""
        super().__post_init__()
        if self.episodes * self.repeats > MOST_EPISODES:
            raise ConfigError(
                "episodes * repeats",
                self.episodes * self.repeats,
                f"at most {MOST_EPISODES:,} together",
            )


def starts(task: Task, how: Evaluation) -> State:
    """The start states of an evaluation: a pure function of task and settings, from the test
    split.
    """
    game = task.game
    level = task.level
    if how.start == "walk":
        return task.states("test", how.episodes, how.first)
    return game.reset(
        level, seeds_for("test", task.names.game, task.names.level, how.episodes, how.first)
    )


def batch_of(task: Task, how: Evaluation, state: State) -> EpisodeBatch:
    """Episodes of a task that begin in these states, played and told as the settings say."""
    telling = ObservationSettings(task.look, task.prompt, how.observation, how.history, task.blocks)
    return EpisodeBatch(
        task.game, state, telling, how.turns, how.mode, how.oracle, how.patience, how.repeats
    )


def ask_from_the_start(how: Evaluation) -> None:
    """See that no reply begins with a given text, which models at endpoints do not go on from.

    Raises:
        ConfigError: replies do.
    """
    if how.observation == "prefill":
        raise ConfigError(
            "observation",
            "prefill",
            "image, text or both: only a local model goes on with a given beginning",
        )


def evaluate(
    player: Player, task: Task, how: Evaluation, out: Path | None = None, progress: bool = True
) -> dict[str, Any]:
    """Measure a player on one task; see :func:`evaluate_all`."""
    return evaluate_all(player, [task], how, None if out is None else [out], progress)[0]


def evaluate_all(
    player: Player,
    tasks: Sequence[Task],
    how: Evaluation,
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
        how: number of episodes, turns and start states.
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
    lanes = [batch_of(task, how, starts(task, how).repeat(how.repeats)) for task in tasks]
    runs = [run_of(player, task, how) for task in tasks]
    if not checked and not (out and all(map(finished, out, runs))):
        see_that_it_can_play(player, [(task, how) for task in tasks])
    with ExitStack() as held:
        writers, recorded = [], list[set[Episode]]()
        for lane, run, folder in zip(lanes, runs, out or [None] * len(tasks), strict=True):  # type: ignore[list-item]
            if folder:
                held.enter_context(only_process(folder, "evaluates"))
            writer, before = _journal(lane, run, folder) if folder else (None, set())
            if writer:
                held.callback(writer.close)
            writers.append(writer)
            recorded.append(before)
        _play(
            lanes,
            writers,
            player,
            tasks[0].names.game if len(tasks) == 1 else (f"{len(tasks)} tasks"),
            progress,
        )
        for lane, writer, before in zip(lanes, writers, recorded, strict=True):
            if writer:
                writer.write(*(episode for episode in lane.episodes() if episode not in before))
        done = zip(runs, lanes, tasks, strict=True)
        summaries = [
            summary_of(run, lane.turns, lane.episodes(), task, how, _doubts(player, run))
            for run, lane, task in done
        ]
        for summary, folder in zip(summaries, out or (), strict=False):
            write_json(folder / "summary.json", summary)
    return summaries


def see_that_it_can_play(player: Player, entries: Iterable[tuple[Task, Evaluation]]) -> None:
    """Ask a player whether it can be asked, and draw one picture of each task; nothing is written.

    Raises:
        VlmGymError: the player cannot be asked (so), or a picture cannot be drawn (a photograph
            that cannot be had).
    """
    for task, how in entries:
        if isinstance(player, AsyncPlayer):
            ask_from_the_start(how)
        if player.sees == "picture" and how.observation != "text":
            game = task.game
            look = task.look
            pictures(game, starts(task, how.override(episodes=1, repeats=1)), look)
    player.check()


def finished(folder: Path, run: EvaluationRun) -> dict[str, Any] | None:
    """The summary of just this evaluation, if it ended there without failed episodes (which are
    tried again); else None.
    """
    try:
        summary = read_json(folder / "summary.json")
        same = summary["identity"] == run.identity and summary["evaluation"] == _how_of(run)
        same &= summary["episodes"]["failed"] == 0
        same &= all(
            summary["task"][key] == getattr(run, key)
            for key in ("game", "level", "look", "prompt", "reply")
        )
        same &= all(
            summary["task"][key] == run.evaluation.get(key, summary["task"][key]) for key in _WALK
        )
        return {**summary, "player": run.player} if same else None
    except (FileError, KeyError, TypeError):
        return None


def _play(
    lanes: Sequence[EpisodeBatch],
    writers: Sequence[TraceWriter | None],
    player: Player,
    what: str,
    progress: bool,
) -> None:
    """Play all lanes to their ends; turns are written, the bar goes on, and the first fault of each
    kind is said.
    """
    journal = dict(zip(map(id, lanes), writers, strict=True))
    have = sum(len(lane.turns) for lane in lanes)
    total = sum(lane.most_turns() for lane in lanes)
    name = shown(player.name)
    bar = tqdm(
        total=total,
        initial=have,
        desc=f"{name} on {what}",
        unit="turn",
        file=sys.stderr,
        disable=not progress,
    )
    hits = [sum(r.terms["game"] > 0 for lane in lanes for r in lane.turns), have]
    met = set[str]()

    def show(lane: EpisodeBatch, records: list[Turn]) -> None:
        if writer := journal[id(lane)]:
            writer.write(*records)
        hits[0] += sum(r.terms["game"] > 0 for r in records)
        hits[1] += len(records)
        if hits[1]:
            bar.set_postfix(success=f"{hits[0] / hits[1]:.2f}", refresh=False)
        bar.update(max(hits[1] - bar.n, 0))

    def say(fault: str) -> None:
        kind = re.sub(r"\d+", "0", fault)
        if kind not in met and len(met) < 20:
            met.add(kind)
            tqdm.write(shown(fault), file=sys.stderr)

    player.on_answers, player.on_fault = bar.update, say if progress else None
    try:
        with bar:
            play(lanes, player, show)
    finally:
        player.on_answers = player.on_fault = None


def _journal(
    lane: EpisodeBatch, run: EvaluationRun, folder: Path
) -> tuple[TraceWriter, set[Episode]]:
    """The open trace of a task, after what it already holds has been played, and the episodes
    recorded there.
    """
    path = folder / "trace.jsonl"
    if path.exists():
        repair(path)
    if path.exists() and path.stat().st_size:
        old = load_trace(path)
        if not old.run.identity:
            allowed = (
                "another folder: an earlier version, which did not record who played, began "
                "this evaluation"
            )
            raise ConfigError(
                "out", str(folder), f"{allowed} (it can be read and rescored, not continued)"
            )
        differ = differences(_settings_of(run), _settings_of(old.run))
        # frozen starts: the old come first
        if set(differ) == {"episodes"} and differ["episodes"][0] > differ["episodes"][1]:
            begin_anew(path, replace(old.run, evaluation=run.evaluation))
        elif differ:
            raise refusal(str(folder), differ)
        try:
            lane.replay(old.turns)
        except TraceError as error:
            raise TraceError(f"{path}: {error}") from error
        return TraceWriter(path), set(old.episodes)
    writer = TraceWriter(path)
    writer.write(run)
    return writer, set()


def _settings_of(run: EvaluationRun) -> dict[str, Any]:
    """All that decides whether an evaluation is the same one, by name; an endpoint may move."""
    values = {
        key: getattr(run, key) for key in ("game", "level", "look", "prompt", "reply", "mode")
    }
    return values | run.evaluation | {"player": run.identity} | flat({"player": run.about})


def flat(values: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """Settings within settings by their dotted names, without the places where a player is to be
    found.
    """
    found = dict[str, Any]()
    for key, value in values.items():
        if key not in PLACES:
            found |= (
                flat(value, f"{before}{key}.")
                if isinstance(value, Mapping)
                else {before + key: value}
            )
    return found


def differences(now: Mapping[str, Any], before: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """The names under which two mappings differ, each with its value now and before."""
    names = dict.fromkeys([*now, *before])
    return {
        name: (now.get(name), before.get(name))
        for name in names
        if now.get(name) != before.get(name)
    }


def refusal(folder: str, differ: Mapping[str, tuple[Any, Any]]) -> ConfigError:
    """What to raise where a folder holds another evaluation: one sentence with the fields that
    differ and both values.
    """
    known = {name: both for name, both in differ.items() if name != "player"} or dict(differ)
    (name, (now, before)), *more = known.items()
    also = "".join(f", {other} = {values[1]!r} (now {values[0]!r})" for other, values in more[:9])
    return ConfigError(
        f"{folder}: {name}",
        now,
        f"{before!r}{also}, as in the evaluation there; or name another folder",
    )


def how_asked(run: EvaluationRun) -> Evaluation:
    """How the run line of a trace says that a player was measured.

    Raises:
        TraceError: it is none of an evaluation, or a setting of it cannot be.
    """
    if not run.evaluation:
        raise TraceError("none that vlmgym eval wrote")
    try:
        return Evaluation.parse(_how_of(run) | {"mode": run.mode})
    except VlmGymError as error:
        raise TraceError(f"its run line cannot be ({error})") from error


def asked(run: EvaluationRun) -> tuple[Task, Evaluation]:
    """What the run line of a trace says was asked, and how.

    Raises:
        TraceError: see :func:`how_asked`; or the task cannot be.
    """
    how = how_asked(run)
    walk = {key: value for key, value in run.evaluation.items() if key in _WALK}
    try:
        known_game(run.game)
        what = {key: getattr(run, key) for key in ("game", "level", "look", "prompt", "reply")}
        return Task.parse(what | walk), how
    except VlmGymError as error:
        raise TraceError(f"its run line cannot be ({error})") from error


def rescore(
    folder: Path, out: Path, mode: str | None = None, oracle: bool = True
) -> dict[str, Any]:
    """Judge the recorded replies of an evaluation anew, by the rules and terms of this version,
    without asking anybody.

    Where a reply is now read as another move, the turns after it were answers to boards that would
    not have come up: the episode ends there as ``stopped``, and the turns are counted as left out.

    Args:
        folder: holds the old ``trace.jsonl``.
        out: another folder, for the new ``trace.jsonl`` and ``summary.json``.
        mode: parse mode; by default as before.
        oracle: compute oracle values.

    Returns:
        The new summary; ``rescored`` says what was left out.

    Raises:
        ConfigError: ``out`` is not empty of traces.
        TraceError: the trace is none of an evaluation.
        BusyError: another process writes into ``out``.
    """
    old = load_trace(folder / "trace.jsonl")
    if (out / "trace.jsonl").exists():
        raise ConfigError("out", str(out), "a folder without a trace")
    try:
        task, how = asked(old.run)
        how = how.override(mode=mode or how.mode, oracle=oracle)
        lane = batch_of(task, how, starts(task, how).repeat(how.repeats))
        left_out = lane.replay(old.finished(), strict=False)
    except (TraceError, StateError) as error:
        raise TraceError(f"{folder / 'trace.jsonl'}: {error}") from error
    played = {turn.episode for turn in lane.turns}
    reasons = {one.episode: one.reason for one in old.episodes if one.end == "failed"}
    episodes = [
        replace(one, end="failed", reason=reasons.get(one.episode, "not recorded"))
        if one.episode not in played
        else one
        for one in lane.episodes()
    ]
    run = replace(
        EvaluationRun("", "", "", ""),
        **{key: getattr(old.run, key) for key in ("player", "about", "identity", "sees")},
    )
    run = replace(run, **asdict(task.names), prompt=task.prompt, reply=task.reply, mode=how.mode)
    run = replace(run, evaluation=asdict(how) | _walk_of(task, how))
    summary = summary_of(run, lane.turns, episodes, task, how, _told_before(folder))
    summary["rescored"] = {"from": old.run.revision, "left_out": left_out}
    with only_process(out, "evaluates"):
        with TraceWriter(out / "trace.jsonl") as writer:
            writer.write(run, *lane.turns, *episodes)
        write_json(out / "summary.json", summary)
    return summary


def _told_before(folder: Path) -> list[str]:
    """What a player said of its answers when it gave them; nothing where no summary says so."""
    try:
        doubts = read_json(folder / "summary.json").get("doubts", [])
    except FileError:
        return []
    return [one for one in doubts if isinstance(one, str)] if isinstance(doubts, list) else []


_WALK = ("walk_min", "walk_max", "walk_legal")


def _walk_of(task: Task, how: Evaluation) -> dict[str, Any]:
    return {key: getattr(task, key) for key in _WALK} if how.start == "walk" else {}


def _how_of(run: EvaluationRun) -> dict[str, Any]:
    return {key: value for key, value in run.evaluation.items() if key not in _WALK}


def run_of(player: Player, task: Task, how: Evaluation) -> EvaluationRun:
    """The first line of a trace, with all settings that decide what is asked, and who is asked."""
    about = player.describe()
    more = (asdict(how) | _walk_of(task, how), about, identity_of(about), player.sees)
    names = task.names
    return EvaluationRun(
        player.name,
        names.game,
        names.level,
        names.look,
        task.prompt,
        how.mode,
        *more,
        reply=task.reply,
    )


def _doubts(player: Player, run: EvaluationRun) -> list[str]:
    return player.doubts(run.game, run.level, run.look, run.prompt, run.reply)


def summary_of(
    run: EvaluationRun,
    turns: Sequence[Turn],
    episodes: Sequence[Episode],
    task: Task,
    how: Evaluation,
    doubts: Sequence[str] = (),
) -> dict[str, Any]:
    """What ``summary.json`` holds; see :func:`evaluate_all`.

    Episodes that failed are counted, and missing in all metrics.

    Args:
        run: the first line of the trace.
        turns: all turns.
        episodes: all episodes.
        task: what was asked.
        how: how it was measured.
        doubts: what the player itself says of its answers; they come first among the warnings, and
            are kept as ``doubts``.
    """
    done = [one for one in episodes if one.end != "failed"]
    kept = {one.episode for one in done}
    counted = [turn for turn in turns if turn.episode in kept]
    spent = {
        key: sum(turn.usage.get(key, 0) for turn in turns)
        for key in ("input_tokens", "output_tokens", "reasoning_tokens")
    }
    costs = [turn.usage["cost"] for turn in turns if turn.usage.get("cost") is not None]
    finish = Counter(turn.usage.get("finish") for turn in turns)
    summary = {
        **{key: getattr(run, key) for key in ("player", "identity", "sees", "about")},
        "task": task.to_dict(),
        "evaluation": asdict(how),
        "metrics": {k: v.to_dict() for k, v in summarise(counted, done, how.repeats).items()},
        "episodes": {
            "n": len(episodes),
            "starts": len(episodes) // how.repeats,
            "turns": len(turns),
        }
        | {end: sum(one.end == end for one in episodes) for end in ENDS},
        "counts": {"turns": len(turns), "cut": finish[CUT], "refused": finish[REFUSED]},
        "warnings": [
            *doubts,
            *warnings_of(run, turns),
            *_one_opening(task, how, len(done) // how.repeats),
        ],
        "doubts": list(doubts),
        "failures": dict(
            Counter(one.reason for one in episodes if one.end == "failed").most_common(20)
        ),
        "spent": spent
        | {"cost": sum(costs) if costs else None, "seconds": sum(turn.seconds for turn in turns)},
        "baselines": baselines.stored(task.game, task.names.level)
        if how.start == "reset" and not how.turns
        else {},
    }
    if how.repeats > 1:
        summary["repeats"] = _repeats(counted, done, how.repeats)
    return summary


def _one_opening(task: Task, how: Evaluation, starts: int) -> list[str]:
    """What to think of intervals where all starts are the same board."""
    game = task.game
    if not game.one_game or how.start != "reset" or starts < 2:
        return []
    return [
        f"all {starts} starts are the one opening of {game.name}: intervals tell of the "
        "player's luck, not of other games"
    ]


def warnings_of(run: EvaluationRun, turns: Sequence[Turn]) -> list[str]:
    """What makes the numbers of an evaluation doubtful, each with what to do about it."""
    if not turns or run.sees == "nothing":
        return []
    found, n = list[str](), len(turns)
    finish = Counter(turn.usage.get("finish") for turn in turns)
    if finish[CUT] > OFTEN * n:
        limit = (
            run.about.get("sampling", {}).get("max_tokens")
            if isinstance(run.about.get("sampling"), dict)
            else None
        )
        now = f" (now {limit})" if limit else ""
        found.append(
            f"{finish[CUT]} of {n} replies were cut at the limit of new tokens: raise "
            f"--max-new-tokens{now}"
        )
    if finish[REFUSED] > OFTEN * n:
        found.append(
            f"{finish[REFUSED]} of {n} replies were refused by the model or its provider: "
            "read them in trace.jsonl"
        )
    unformed = [turn for turn in turns if not turn.terms["format"]]
    blocks = Blocks.of(run.reply)
    apart = sum(taken_apart(turn.reply, turn.reasoning, blocks) for turn in unformed)
    if apart > n / 2:
        found.append(
            f"{apart} of {n} replies begin with <{blocks.answer}> while the reasoning came apart "
            "from them: the server takes "
            f"<{blocks.think}> out of replies; serve the model without a reasoning parser, or ask "
            "for other names of the blocks"
        )
    elif len(unformed) == n >= 5 and not finish[CUT] > OFTEN * n:
        found.append(
            f"none of {n} replies has the blocks that were asked for (format 0): read "
            "some in trace.jsonl"
        )
    if (
        n >= 10
        and len({turn.reply for turn in turns}) == 1
        and len({turn.state for turn in turns}) > 1
    ):
        found.append(
            f"all {n} replies are equal, though the boards are not: does the model see the picture?"
        )
    return found


def failed_of(summary: Mapping[str, Any]) -> str:
    """One sentence on the episodes that failed, with their reasons; empty if none did."""
    failed, n = summary["episodes"]["failed"], summary["episodes"]["n"]
    if not failed:
        return ""
    reasons = "; ".join(
        f"{reason} ({times}x)" for reason, times in list(summary["failures"].items())[:3]
    )
    return f"{failed} of {n} episodes failed: {reasons}. Run the same command to try them again."


# ---- where they lie
@dataclass(frozen=True)
class Place:
    """An evaluation in a folder."""

    folder: Path
    run: EvaluationRun
    # the label; where it stands for several players, or comes twice in a task, with what tells them
    # apart
    player: str
    task: str  # a name, equal for those and only those that are asked the same


# settings that say how much is recorded; they change nothing of what is asked
RECORDING = ("episodes", "oracle")


def settings_text(how: Mapping[str, Any]) -> str:
    """The settings that decide what is asked, where they are not the default."""
    default = {**Task().to_dict(), **asdict(Evaluation())}
    return ", ".join(
        f"{key}={value}"
        for key, value in how.items()
        if key not in RECORDING and value != default.get(key)
    )


def asks(run: EvaluationRun) -> tuple[str, str, str, str]:
    """Equal for evaluations that ask the same: game, level, look, and other settings."""
    how = {
        "prompt": run.prompt,
        "reply": run.reply,
        **asdict(Evaluation()),
        **run.evaluation,
        "mode": run.mode,
    }
    return run.game, run.level, run.look, settings_text(how)


def places(folders: Iterable[Path]) -> list[Place]:
    """The evaluations of these folders: each its own (``trace.jsonl``), and those of a run
    (``eval/PLAYER/TASK``).

    A player is what its identity says. One player that was asked other things in other folders is
    one player; two players of one label, or one that was asked the same twice, are told apart by
    the shortest ends of their folders that differ, in whatever order the folders come. A folder
    that is named twice, by itself and as that of its run, counts once.

    Raises:
        TraceError: a trace that does not begin with a run line.
    """
    # folder, folder of the player, run, name of the task
    found = list[tuple[Path, Path, EvaluationRun, str]]()
    for folder in dict.fromkeys(Path(one).resolve() for one in folders):
        if (folder / "trace.jsonl").exists():
            # one of a run, by itself
            run, within = first_run(folder), folder.parent.parent.name == "eval"
            found.append(
                (
                    folder,
                    folder.parent if within else folder,
                    run,
                    folder.name if within else run.game,
                )
            )
        found += [
            (path, path.parent, first_run(path), path.name)
            for path in sorted(folder.glob("eval/*/*/"))
            if _is_one(path)
        ]
    # one that is named by itself, and by the run that it is of, is one
    found = list({one[0]: one for one in found}.values())
    tasks = told_apart(
        [(name, asks(run), ", ".join(filter(None, asks(run)))) for _, _, run, name in found]
    )
    keys = [
        (run.identity or identity_of({"name": run.player, **run.about}), asks(run))
        for _, _, run, _ in found
    ]
    players = list[str]()
    for (_, home, run, _), (identity, _) in zip(found, keys, strict=True):
        mine = [
            (key, other[1])
            for key, other in zip(keys, found, strict=True)
            if other[2].player == run.player
        ]
        if len({who for (who, _), _ in mine}) == 1 and len({key for key, _ in mine}) == len(mine):
            players.append(run.player)
            continue
        homes = dict.fromkeys(folder for _, folder in mine)
        shown_as = {one: one.parent.parent if one.parent.name == "eval" else one for one in homes}
        if len(set(shown_as.values())) < len(homes):  # two of one run
            shown_as = dict(zip(homes, homes, strict=True))
        ends = shortest_ends([str(one) for one in shown_as.values()])
        several = len({who for (who, _), folder in mine if folder == home}) > 1
        players.append(
            f"{run.player} ({ends[str(shown_as[home])]}{f', {identity[:8]}' if several else ''})"
        )
    return [
        Place(folder, run, *names)
        for (folder, _, run, _), *names in zip(found, players, tasks, strict=True)
    ]


def _is_one(folder: Path) -> bool:
    return (folder / "trace.jsonl").exists() or (folder / "summary.json").exists()


def first_run(folder: Path) -> EvaluationRun:
    """The run line of a trace; without a trace, what the summary says."""
    path = folder / "trace.jsonl"
    if path.exists():
        record = next(read_trace(path), None)
        if not isinstance(record, EvaluationRun):
            raise TraceError(f"{path}: no run line")
        return record
    summary = read_json(folder / "summary.json")
    try:
        task, names = Task.parse(summary["task"]), ("about", "identity", "sees")
        more = {key: summary[key] for key in names if key in summary}
        more["evaluation"] = summary["evaluation"]
        return EvaluationRun(
            str(summary["player"]),
            task.names.game,
            task.names.level,
            task.names.look,
            task.prompt,
            reply=task.reply,
            **more,
        )
    except (KeyError, TypeError, VlmGymError) as error:
        raise FileError(
            f"{folder / 'summary.json'}: no summary of an evaluation ({error})"
        ) from error


def told_apart(named: Sequence[tuple[str, Any, str]]) -> list[str]:
    """Names of things, with more where one name stands for several of them."""
    kinds = defaultdict[str, set[Any]](set)
    for name, key, _ in named:
        kinds[name].add(key)
    return [f"{name} ({more})" if len(kinds[name]) > 1 else name for name, _, more in named]


def _repeats(turns: Sequence[Turn], episodes: Sequence[Episode], repeats: int) -> dict[str, Any]:
    """Over repetitions of a start: pass@k and agreement of the first turn, and the reliability of
    the scores.
    """
    good, scores = defaultdict[int, list[bool]](list), defaultdict[int, list[float]](list)
    for turn in turns:
        if turn.turn == 0:
            good[turn.episode // repeats].append(turn.terms["game"] > 0)
    for one in episodes:
        scores[one.episode // repeats].append(one.score)
    whole = [one for one in good.values() if len(one) == repeats]
    found = {
        f"pass@{k}": stats.mean(
            [stats.pass_at_k(len(one), sum(one), k) for one in whole], bounds=stats.SHARE
        ).to_dict()
        for k in range(1, repeats + 1)
    }
    found["agreement"] = stats.mean(
        [float(len(set(one)) == 1) for one in whole], bounds=stats.SHARE
    ).to_dict()
    table = [one for one in scores.values() if len(one) == repeats]
    icc = stats.icc(table) if len(table) > 1 else float("nan")
    return {**found, "score_icc": None if np.isnan(icc) else icc}
