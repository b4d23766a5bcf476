"""What finished evaluations tell: paired comparisons, a leaderboard, what is misread for what and where, difficulty curves.

All of it reads folders that :func:`vlmgym.evaluate.evaluate` wrote. Episodes that failed are missing everywhere, never zero.
"""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vlmgym import stats
from vlmgym.core import ConfigError, Game, State, concat, read_dial
from vlmgym.evaluate import RECORDING, Place, asks, how_asked, places, range_of, settings_text, told_apart
from vlmgym.files import FileError, read_json, shown, write_atomically
from vlmgym.games import known_game
from vlmgym.looks import get_look
from vlmgym.metrics import DESCRIBING, PAIRED, mean_known, shown_in, summarise, value_of
from vlmgym.players.base import CUT, REFUSED
from vlmgym.stats import NAN, Difference, Estimate, readable
from vlmgym.trace import Run, Trace, TraceError, Turn, load_trace


# --------------------------------------------------------------------------------------------------- paired comparisons
@dataclass(frozen=True)
class Comparison(Difference):
    """The first of two players minus the second, on the ``n`` starts that both have played; NaN if there are none."""

    players: tuple[str, str]
    task: str  # game, level, look and every setting that is not the default
    metric: str
    p_holm: float  # adjusted over all comparisons of the call
    left_out: int  # episodes of either player that the other lacks, that failed, or that have no value of the metric


@dataclass(frozen=True)
class Evaluated:
    """One finished evaluation, reduced to a value of each metric for each episode."""

    folder: Path
    run: Run
    player: str  # the label, told apart from its namesakes: see vlmgym.evaluate.places
    name: str  # of the task, see there too
    how: dict[str, Any]  # all settings
    settings: str  # those of them that decide what is asked, where they are not the default
    values: dict[tuple[int, int, int], dict[str, float]]  # (episode, seed, repeat) -> metrics
    failed: set[tuple[int, int, int]]
    replies: Mapping[str, int]  # all "turns", and how many of these replies were "cut" or "refused"
    turns: Mapping[str, Turn]  # by state, the first answer to it; none unless they were asked for

    @cached_property
    def summary(self) -> dict[str, Any]:
        """What its summary says; empty where there is none."""
        path = self.folder / "summary.json"
        return read_summary(path) if path.exists() else {}

    @cached_property
    def metrics(self) -> dict[str, Estimate]:
        """The metrics of its summary; where there is none, those of its trace."""
        if self.summary:
            return {key: Estimate.from_dict(value) for key, value in self.summary["metrics"].items()}
        trace = load_trace(self.folder / "trace.jsonl")
        episodes = [episode for episode in trace.episodes if episode.end != "failed"]
        metrics = summarise(trace.finished(), episodes, self.how["repeats"])
        return metrics if self.how["oracle"] else metrics | {"regret": Estimate.from_dict({})}

    @property
    def key(self) -> tuple[str, ...]:
        """Equal for evaluations that ask the same."""
        return self.run.game, self.run.level, self.run.look, self.settings

    @property
    def task(self) -> str:
        """The key as a text."""
        return f"{self.run.game}, level {self.run.level}, look {self.run.look}" + (f", {self.settings}" if self.settings else "")

    @property
    def headline(self) -> str:
        """The metric by which the players of the task are ranked."""
        return headline(self.how)


def headline(how: Mapping[str, Any]) -> str:
    """The main metric of an evaluation: the score of whole games, else the success of turns."""
    return "score" if how["start"] == "reset" and not how["turns"] else "success"


def overview(found: Mapping[str, Sequence[Mapping[str, Any]]], names: Sequence[str]) -> str:
    """Players and tasks as one table of text: the main metric with its interval, and what happened to episodes and replies.

    Args:
        found: the summaries of each player, one a task.
        names: of the tasks.
    """
    rows: list[tuple[str, ...]] = [
        (
            "task",
            "player",
            "metric",
            "mean [95 % interval]",
            "format",
            "p_acc",
            "episodes",
            "failed",
            "cut",
            "refused",
            "warnings",
        )
    ]
    for number, name in enumerate(names):
        for label, summaries in found.items():
            one = summaries[number]
            metric, metrics = headline(one["evaluation"]), one["metrics"]
            main = Estimate.from_dict(metrics[metric]).text(readable)
            form, seen = (Estimate.from_dict(metrics[key]).mean_text(readable) for key in ("format", "p_acc"))
            seen = "given" if one["sees"] == "state" else seen
            n, failed = (one["episodes"][key] for key in ("n", "failed"))
            counts = (f"{n - failed} of {n}", failed, one["counts"]["cut"], one["counts"]["refused"], len(one["warnings"]))
            rows.append((shown(name), shown(label), metric, main, form, seen, *map(str, counts)))
    wide = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, wide, strict=True)).rstrip() for row in rows]
    return "\n".join(lines) + "\n"


def load(folders: Iterable[Path]) -> list[Evaluated]:
    """The evaluations of these folders, each folder once.

    Raises:
        ConfigError: the trace of a folder is none of an evaluation.
        TraceError: a trace that is damaged, or contradicts itself.
    """
    return [_evaluated(place, load_trace(place.folder / "trace.jsonl")) for place in places(folders)]


def read_evaluation(place: Place, keep_turns: bool = False) -> Evaluated:
    """What was measured in a folder; where there is no trace, there are no values of episodes.

    Args:
        place: the folder and what it is called.
        keep_turns: keep the first answer to each state.

    Raises:
        ConfigError: the trace is none of an evaluation.
        TraceError: a trace that is damaged, or contradicts itself.
    """
    path = place.folder / "trace.jsonl"
    if path.exists():
        return _evaluated(place, load_trace(path), keep_turns)
    found = _evaluated(place, Trace(place.run, [], []))
    return replace(found, replies=found.summary.get("counts", {}))


def _evaluated(place: Place, trace: Trace, keep_turns: bool = False) -> Evaluated:
    run = trace.run
    if not run.evaluation:
        raise ConfigError("folder", str(place.folder), "one that vlmgym eval wrote")
    try:
        settings = how_asked(run)
    except TraceError as error:
        raise TraceError(f"{place.folder / 'trace.jsonl'}: {error}") from error
    how = {"prompt": run.prompt, **run.evaluation, **asdict(settings)}
    turns = defaultdict[int, list[Turn]](list)
    by_state = dict[str, Turn]()
    for turn in trace.finished():
        turns[turn.episode].append(turn)
        if keep_turns:
            by_state.setdefault(turn.state, turn)
    values = dict[tuple[int, int, int], dict[str, float]]()
    failed = set[tuple[int, int, int]]()
    for episode in trace.episodes:
        start = episode.episode, episode.seed, episode.repeat
        if episode.end == "failed":
            failed.add(start)
            continue
        row = {metric: value_of(metric, episode, turns[episode.episode]) for metric in PAIRED}
        values[start] = row if how["oracle"] else row | {"regret": NAN}
    ends = Counter(turn.usage.get("finish") for turn in trace.turns)
    return Evaluated(
        place.folder,
        run,
        place.player,
        place.task,
        how,
        asks(run)[-1],
        values,
        failed,
        replies={"turns": len(trace.turns), "cut": ends[CUT], "refused": ends[REFUSED]},
        turns=by_state,
    )


def compare(folders: Sequence[Path], metric: str = "success") -> list[Comparison]:
    """Compare all pairs of players that were asked the same, start by start.

    The same means: game, level, look, prompt and evaluation settings, but for the number of episodes and the recording of oracle
    values. Episodes pair up if their number, seed and repetition agree. A turn metric is averaged over the turns of an episode,
    then everything over the repetitions of a start, so that starts are what is drawn independently.

    Interval and p-value are those of :func:`vlmgym.stats.paired`, the adjustment that of :func:`vlmgym.stats.holm`.

    Args:
        folders: of evaluations. Players of one label, and one player that was asked twice, are told apart by their folders.
        metric: one of :data:`vlmgym.metrics.PAIRED`.

    Raises:
        ConfigError: unknown metric, or a folder holds no evaluation.
        TraceError: a damaged trace.
    """
    if metric not in PAIRED:
        raise ConfigError("metric", metric, "one of " + ", ".join(PAIRED))
    return _compare(load(folders), lambda _: metric)


def _compare(evaluations: Sequence[Evaluated], metric: Callable[[Evaluated], str]) -> list[Comparison]:
    found = []
    for group in _by_task(evaluations):
        found += [compare_two(first, second, metric(first)) for first, second in combinations(group, 2)]
    known = [i for i, one in enumerate(found) if one.n]
    for i, p in zip(known, stats.holm([found[i].p for i in known]), strict=True):
        found[i] = replace(found[i], p_holm=float(p))
    return found


def _by_task(evaluations: Iterable[Evaluated]) -> list[list[Evaluated]]:
    groups = defaultdict[tuple[str, ...], list[Evaluated]](list)
    for one in evaluations:
        groups[one.key].append(one)
    return list(groups.values())


def compare_two(first: Evaluated, second: Evaluated, metric: str) -> Comparison:
    """The first minus the second, start by start, as :func:`compare` does; ``p_holm`` is NaN."""
    both = first.values.keys() & second.values.keys()
    used = sorted(k for k in both if not math.isnan(first.values[k][metric] + second.values[k][metric]))
    starts = defaultdict[tuple[int, int], list[tuple[int, int, int]]](list)
    for episode, seed, repeat in used:
        starts[episode // int(first.how["repeats"]), seed].append((episode, seed, repeat))
    left, right = ([mean_known([one.values[k][metric] for k in keys]) for keys in starts.values()] for one in (first, second))
    gap = stats.paired(left, right, bounds=stats.GAP if range_of(metric) else None)
    everything = set(first.values) | set(second.values) | first.failed | second.failed
    return Comparison(
        gap.mean,
        gap.low,
        gap.high,
        p=gap.p if starts else NAN,
        n=len(starts),
        players=(first.player, second.player),
        task=first.task,
        metric=metric,
        p_holm=NAN,
        left_out=len(everything) - len(used),
    )


# ---------------------------------------------------------------------------------------------------------- leaderboard
def leaderboard(folders: Sequence[Path], out: Path) -> list[dict[str, Any]]:
    """Rank the players of each task; write ``leaderboard.csv`` and ``leaderboard.md``.

    Whole episodes are ranked by score, all else by success. Means and intervals are those of ``summary.json``. What players say
    of a board that they were handed is shown as ``given``.

    Args:
        folders: of evaluations, with ``trace.jsonl`` and ``summary.json``.
        out: folder to write to.

    Returns:
        The rows of the CSV file, tasks in the order in which they first come, best player first. Keys: ``player``, ``game``,
        ``level``, ``look``, ``observation``, ``history``, ``settings`` (all that are not the default), numbers of ``episodes``,
        ``failed``, ``stuck`` and ``turns``, of replies that were ``cut`` at the limit of tokens or ``refused`` (None where that
        was not counted), ``sees`` (``state``: the player is handed the truth); for each metric of leaderboards the mean, and with
        ``_low`` and ``_high`` its 95 % interval (None where nothing was measured); ``input_tokens``, ``output_tokens``, ``cost``
        (US dollars, None if unknown).

    Raises:
        ConfigError: a folder holds no evaluation.
        TraceError: a damaged trace.
    """
    evaluations, rows = load(folders), list[dict[str, Any]]()
    lines = ["# Leaderboard", ""]
    for group in _by_task(evaluations):
        best, repeats = group[0].headline, group[0].how["repeats"]
        measured = [best, *(metric for metric in shown_in("leaderboard") if metric != best)]
        ranked = sorted(map(_row, group), key=lambda row: -math.inf if row[best] is None else row[best], reverse=True)
        rows += ranked
        numbers = [row["episodes"] - row["failed"] for row in ranked]
        count = f"{min(numbers)}" + (f" to {max(numbers)}" if min(numbers) < max(numbers) else "")
        again = f", {repeats} repetitions of each start" if repeats > 1 else ""
        lines += [f"## {_cell(group[0].task)}", "", f"n = {count} finished episodes{again}. Best {best} first.", ""]
        body = []
        for row, n in zip(ranked, numbers, strict=True):
            estimates = [
                "given" if row["sees"] == "state" and m in DESCRIBING else _of_row(row, m).text(readable) for m in measured
            ]
            counts = ["-" if row[key] is None else f"{row[key]:,}" for key in _COUNTS]
            body.append([_cell(row["player"]), f"{n}", *estimates, *counts, "-" if row["cost"] is None else f"{row['cost']:.4g}"])
        lines += _table(["player", "n", *measured, *_COUNTS[:-2], "tokens in", "tokens out", "cost, $"], body)
    pairs = _compare(evaluations, lambda one: one.headline)
    lines += ["## Paired differences", ""]
    lines += ["n is the number of starts that both have finished; left out are episodes without a partner.", ""] if pairs else []
    body = [
        [_cell(one.task), *map(_cell, one.players), one.metric, one.text(readable)]
        + ["-" if math.isnan(p) else f"{p:.4f}" for p in (one.p, one.p_holm)]
        + [str(one.n), str(one.left_out)]
        for one in pairs
    ]  # fmt: skip
    head = ["task", "first", "second", "metric", "first - second", "p", "p (Holm)", "n", "left out"]
    lines += _table(head, body) if pairs else ["No task has two players (n = 0).", ""]
    lines += [
        f"Values are mean [low, high]: 95 % percentile bootstrap intervals, {stats.RESAMPLES:,} resamples of whole episodes "
        "(all repetitions of a start together). Turn metrics are rates over all turns in the tables of the tasks, and means "
        "over episodes in the paired differences. p: two-sided sign-flip permutation test; Holm: adjusted over the "
        f"{sum(one.n > 0 for one in pairs)} comparisons of this page. Failed episodes are missing, not zero. "
        "given: the player is handed the board, so what it says of it measures nothing."
    ]
    out.mkdir(parents=True, exist_ok=True)
    write_atomically(out / "leaderboard.md", "\n".join(lines) + "\n")
    file = io.StringIO(newline="")
    writer = csv.DictWriter(file, _COLUMNS)
    writer.writeheader()
    writer.writerows({key: _csv_cell(value) for key, value in row.items()} for row in rows)
    write_atomically(out / "leaderboard.csv", file.getvalue())
    return rows


def _csv_cell(value: Any) -> Any:
    """A value of a CSV file; a text that a spreadsheet would take for a formula gets an apostrophe before it."""
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")) else value


_COUNTS = ("failed", "stuck", "turns", "cut", "refused", "input_tokens", "output_tokens")


_COLUMNS = (
    *("player", "game", "level", "look", "observation", "history", "settings", "episodes", "failed", "stuck", "turns"),
    *("cut", "refused", "sees"),
    *(f"{metric}{end}" for metric in shown_in("leaderboard") for end in ("", "_low", "_high")),
    *("input_tokens", "output_tokens", "cost"),
)


def _of_row(row: Mapping[str, Any], metric: str) -> Estimate:
    """A metric of a row of the leaderboard."""
    return Estimate.from_dict({"mean": row[metric], "low": row[f"{metric}_low"], "high": row[f"{metric}_high"]})


def _row(one: Evaluated) -> dict[str, Any]:
    summary = read_summary(one.folder)
    row = {"player": one.player, "game": one.run.game, "level": one.run.level, "look": one.run.look, "settings": one.settings}
    row |= {key: one.how[key] for key in ("observation", "history")}
    row |= {"episodes": summary["episodes"]["n"], **{key: summary["episodes"][key] for key in ("failed", "stuck", "turns")}}
    row |= {key: summary.get("counts", {}).get(key) for key in ("cut", "refused")} | {"sees": summary.get("sees", "")}
    for metric, value in summary["metrics"].items():
        if metric in shown_in("leaderboard"):
            row |= {metric: value["mean"], f"{metric}_low": value["low"], f"{metric}_high": value["high"]}
    row |= {key: summary["spent"][key] for key in ("input_tokens", "output_tokens", "cost")}
    return {key: row.get(key) for key in _COLUMNS}


_NUMBER = (int, float, type(None))
_ESTIMATE = dict.fromkeys(("mean", "low", "high"), _NUMBER) | {"n": int}
_SHAPE: dict[str, Any] = {
    "player": str,
    "task": dict.fromkeys(("game", "level", "look", "prompt"), str) | {"walk_min": int, "walk_max": int, "walk_legal": bool},
    "evaluation": {"episodes": int},
    "metrics": {name: _ESTIMATE for name in shown_in("leaderboard") if name != "balanced"},
    "episodes": dict.fromkeys(("n", "failed", "stuck", "turns"), int),
    "spent": {"input_tokens": int, "output_tokens": int, "cost": _NUMBER},
}
"""What every summary of an evaluation holds, of which types."""
_NEWER: dict[str, Any] = {"identity": str, "sees": str, "counts": {"cut": int, "refused": int}}
_NEWER |= {"metrics": _SHAPE["metrics"] | {"balanced": _ESTIMATE}}
"""What it holds as well, but for those of earlier versions."""


def _lacks(value: Any, shape: Any, name: str = "") -> str:
    """The name of the first thing in a JSON value that is not there, or of another type; empty if there is none."""
    if not isinstance(shape, dict):
        kinds = shape if isinstance(shape, tuple) else (shape,)
        return "" if type(value) in kinds and (type(value) not in (int, float) or abs(value) <= 1e300) else name
    if not isinstance(value, dict):
        return name
    return next((lack for key, one in shape.items() if (lack := _lacks(value.get(key, _lacks), one, f"{name}.{key}"))), "")


def read_summary(source: Path | dict[str, Any]) -> dict[str, Any]:
    """A summary, with no regret where no oracle was asked (0 there means nothing).

    Raises:
        FileError: the file is not there, no JSON, or no summary of an evaluation.
    """
    if not isinstance(source, dict):
        path = source / "summary.json" if source.is_dir() else source
        source = dict(read_json(path))
        newer = {key: shape for key, shape in _NEWER.items() if key in source}
        if "balanced" not in (source.get("metrics") or {}):
            newer.pop("metrics", None)
        if lack := _lacks(source, _SHAPE | newer):
            raise FileError(f"{path}: no summary of an evaluation ({lack.removeprefix('.')} is missing or of another type)")
    if source["evaluation"].get("oracle", True):
        return source
    return {**source, "metrics": {**source["metrics"], "regret": {"mean": None, "low": None, "high": None, "n": 0}}}


def _cell(text: str) -> str:
    """Text that cannot leave its cell of a Markdown table, nor become a tag."""
    return re.sub(r"([\\|`<*\[])", r"\\\1", shown(" ".join(text.split())))


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return ["| " + " | ".join(row) + " |" for row in (head, ["---"] * len(head), *rows)] + [""]


# ----------------------------------------------------------------------------------------------------------- perception
@dataclass(frozen=True)
class Confusion:
    """What symbols are described as, in numbers of cells."""

    names: tuple[str, ...]  # of the S symbols
    counts: NDArray[np.int64]  # (S, S + 1): true symbol, described symbol; the last column: not stated, or with no clear name

    @cached_property
    def wrong(self) -> NDArray[np.int64]:
        """``(S, S)``: the counts of cells that are stated wrongly, 0 on the diagonal."""
        told = self.counts[:, :-1].copy()
        np.fill_diagonal(told, 0)
        return told

    def worst(self, most: int) -> list[int]:
        """Up to ``most`` symbols of the most frequent confusions (filled up with the most frequent symbols), in their order."""
        rows, cols = np.nonzero(self.wrong)
        order = np.argsort(-self.wrong[rows, cols], kind="stable")
        frequent = np.argsort(-self.counts.sum(axis=1), kind="stable")
        present = [int(s) for s in frequent if self.counts[s].any()]
        ranked = dict.fromkeys([*(int(s) for i in order for s in (rows[i], cols[i])), *present])
        return sorted(list(ranked)[:most])


def _truths(turns: Sequence[Turn]) -> list[tuple[tuple[str, ...], NDArray[np.int16], NDArray[np.int16]]]:
    """For each level among the turns: names of the symbols, true and described symbols, both ``(B, rows, cols)``."""
    groups: dict[Any, tuple[Game, list[State], list[Any]]] = {}
    for turn in turns:
        game, state = turn.load()
        _, states, seen = groups.setdefault((game.name, state.level), (game, [], []))
        states.append(state)
        seen.append(turn.seen)
    names = sorted({name for name, _ in groups})
    if len(names) > 1:
        raise ConfigError("turns", names, "turns of one game")
    found = []
    for game, states, seen in groups.values():
        scene = game.scene(concat(states))
        found.append((scene.names, scene.symbols, np.array(seen, np.int16).reshape(scene.symbols.shape)))
    return found


def confusion(turns: Sequence[Turn]) -> Confusion:
    """Count what the cells of the boards are described as.

    Args:
        turns: of one game, any levels; symbols of several levels are put together by their names.

    Raises:
        ConfigError: turns of several games.
        StateError: states of other rules.
    """
    groups = _truths(turns)
    names = tuple(dict.fromkeys(name for part, _, _ in groups for name in part))
    size, place = len(names), {name: i for i, name in enumerate(names)}
    counts = np.zeros((size, size + 1), np.int64)
    for part, true, seen in groups:
        index = np.array([*(place[name] for name in part), size])  # -1, not stated, is the last
        pairs = index[true.ravel()] * (size + 1) + index[seen.ravel()]
        counts += np.bincount(pairs, minlength=counts.size).reshape(counts.shape)
    return Confusion(names, counts)


def misread(turns: Sequence[Turn]) -> NDArray[np.float64]:
    """The share of wrong cells among those that are stated, by place, ``(rows, cols)``; NaN where none is ever stated.

    Args:
        turns: of one game and one board size, at least one.

    Raises:
        ConfigError: no turns, several games, or several board sizes.
        StateError: states of other rules.
    """
    groups = _truths(turns)
    sizes = sorted({true.shape[1:] for _, true, _ in groups})
    if len(sizes) != 1:
        raise ConfigError("turns", sizes, "turns of one board size")
    told = sum((seen >= 0).sum(axis=0) for _, _, seen in groups)
    wrong = sum(((seen >= 0) & (seen != true)).sum(axis=0) for _, true, seen in groups)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.true_divide(wrong, told), np.float64)


# ----------------------------------------------------------------------------------------------------- difficulty curves
@dataclass(frozen=True)
class Curve:
    """How one player fares in one game as one dial is turned and all else stays."""

    player: str
    game: str
    field: str  # of the dial: look.noise, level.rows ...
    task: str  # what stays the same
    values: tuple[float, ...]  # of the dial, ascending
    metrics: dict[str, tuple[Estimate, ...]]  # one for each value


def curve(summaries: Sequence[Path | dict[str, Any]], field: str) -> list[Curve]:
    """Metrics against the value of one dial: one line for each player, game, and setting of everything else.

    The value is that of the look or level which the text of the task stands for, so presets have their true values. Evaluations
    that differ in anything but this dial (and the number of episodes) are on different lines. Of two evaluations with the same
    value on a line, the one with more episodes counts.

    Args:
        summaries: as :func:`vlmgym.evaluate.evaluate` returns them, their files, or the folders of these.
        field: ``look.FIELD`` or ``level.FIELD``, of numbers or truth values (0 and 1). Games without the field are passed over.

    Raises:
        ConfigError: no look, or no level of these games, has such a field.
    """
    part, _, name = field.partition(".")
    points = defaultdict[tuple[str, ...], dict[float, dict[str, Any]]](dict)
    known = set[str]()
    for summary in map(read_summary, summaries):
        task = summary["task"]
        dials = {"look": asdict(get_look(task["look"])), "level": asdict(known_game(task["game"]).level(task["level"]))}
        numbers = {key for key, value in dials.get(part, {}).items() if isinstance(value, (int, float))}
        known |= numbers
        if name not in numbers:
            continue
        value = float(dials[part].pop(name))
        texts = {key: _without(task[key], name if key == part else "") for key in dials}
        how = {key: value for key, value in summary["evaluation"].items() if key not in RECORDING}
        walk = ("walk_min", "walk_max", "walk_legal") if how.get("start") == "walk" else ()
        how |= {"prompt": task["prompt"], "reply": task.get("reply", ""), **{key: task[key] for key in walk}}
        line = summary["player"], summary.get("identity", ""), task["game"], json.dumps([dials, how], sort_keys=True)
        old = points[line].get(value)
        if old is None or old["episodes"]["n"] < summary["episodes"]["n"]:
            said = [f"{key} {text}" for key, text in texts.items()] + [settings_text(how)]
            points[line][value] = {**summary, "said": ", ".join(filter(None, said))}
    if name not in known:
        allowed = ", ".join(f"{part}.{one}" for one in sorted(known)) or "look.FIELD or level.FIELD, of evaluations"
        raise ConfigError("field", field, f"a dial of numbers: {allowed}")
    found = []
    names = told_apart([(player, who, who[:8] or "earlier version") for player, who, _, _ in points])
    for (_, _, game, _), player, line_points in zip(points, names, points.values(), strict=True):
        values, all_metrics = sorted(line_points), [line_points[value]["metrics"] for value in sorted(line_points)]
        metrics = {key: tuple(Estimate.from_dict(one[key]) for one in all_metrics) for key in all_metrics[0]}
        found.append(Curve(player, game, field, line_points[values[0]]["said"], tuple(values), metrics))
    return found


def _without(text: str, name: str) -> str:
    """The text of a preset without one of its fields."""
    preset, values = read_dial(text)
    rest = ",".join(f"{key}={json.dumps(value).strip(chr(34))}" for key, value in values.items() if key != name)
    return f"{preset}:{rest}" if rest else preset


def sweep(text: str) -> list[float]:
    """The values of a dial: ``0:1:5`` (from, to, count; both ends included), ``0,0.1,0.3`` or ``false,true``.

    Whole numbers are ints.

    Raises:
        ConfigError: no numbers, a count that is not 2 to 1000, or a value that comes twice.
    """
    allowed = "from:to:count, as 0:1:5, with a count of 2 to 1000; or numbers joined by commas, as 0,0.1,0.3, each once"
    ends, colon, last = text.rpartition(":")
    if text in ("true,false", "false,true"):
        return [word == "true" for word in text.split(",")]
    try:
        found = [float(part) for part in (ends.split(":") if colon else text.split(","))]
        if colon:
            (low, high), count = found, int(last)
            found = [round(low + (high - low) * i / (count - 1), 12) for i in range(count)] if 2 <= count <= 1000 else []
    except ValueError as error:
        raise ConfigError("sweep", text, allowed) from error
    if not found or not all(map(math.isfinite, found)) or len(set(found)) < len(found):
        raise ConfigError("sweep", text, allowed)
    return [int(value) if value.is_integer() else value for value in found]
