"""Reading finished evaluations: a value of each metric for each episode."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from vlmgym.core import ConfigError
from vlmgym.dialogue.judge import ATTRIBUTION, Fault
from vlmgym.episodes.records import EvaluationRun, Turn
from vlmgym.episodes.trace import Trace, TraceError, load_trace
from vlmgym.evals.estimates import NAN, Estimate
from vlmgym.evals.folders import EvaluationFolder, asks, places
from vlmgym.evals.metrics import METRICS, summarise, value_of
from vlmgym.evals.settings import settings_in
from vlmgym.evals.summaries import read_summary
from vlmgym.players.base import CUT, REFUSED


@dataclass(frozen=True)
class Evaluated:
    """One finished evaluation, reduced to a value of each metric for each episode."""

    folder: Path
    run: EvaluationRun
    player: str  # the label, told apart from its namesakes: see vlmgym.evals.folders.places
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
            estimates = self.summary["metrics"].items()
            return {name: Estimate.from_dict(values) for name, values in estimates}
        trace = load_trace(self.folder / "trace.jsonl")
        episodes = [episode for episode in trace.episodes if episode.end != "failed"]
        metrics = summarise(trace.finished(), episodes, self.how["repeats"])
        unknown = Estimate.from_dict({})
        return metrics | dict.fromkeys(_unmeasured(self.run, self.how["oracle"]), unknown)

    @property
    def key(self) -> tuple[str, ...]:
        """Equal for evaluations that ask the same."""
        return self.run.game, self.run.level, self.run.look, self.settings

    @property
    def task(self) -> str:
        """The key as a text."""
        settings = f", {self.settings}" if self.settings else ""
        return f"{self.run.game}, level {self.run.level}, look {self.run.look}{settings}"

    @property
    def headline(self) -> str:
        """The metric by which the players of the task are ranked."""
        return headline(self.how)


def headline(settings: Mapping[str, Any]) -> str:
    """The main metric of an evaluation: the score of whole games, else the success of turns."""
    return "score" if settings["start"] == "reset" and not settings["turns"] else "success"


def load(folders: Iterable[Path]) -> list[Evaluated]:
    """The evaluations of these folders, each folder once.

    Raises:
        ConfigError: the trace of a folder is none of an evaluation.
        TraceError: a trace that is damaged, or contradicts itself.
    """
    evaluations = []
    for source in places(folders):
        trace = load_trace(source.folder / "trace.jsonl")
        evaluations.append(_evaluated(source, trace))
    return evaluations


def read_evaluation(source: EvaluationFolder, keep_turns: bool = False) -> Evaluated:
    """What was measured in a folder; where there is no trace, there are no values of episodes.

    Args:
        source: the folder and what it is called.
        keep_turns: keep the first answer to each state.

    Raises:
        ConfigError: the trace is none of an evaluation.
        TraceError: a trace that is damaged, or contradicts itself.
    """
    path = source.folder / "trace.jsonl"
    if path.exists():
        return _evaluated(source, load_trace(path), keep_turns)
    evaluated = _evaluated(source, Trace(source.run, [], []))
    return replace(evaluated, replies=evaluated.summary.get("counts", {}))


def _evaluated(source: EvaluationFolder, trace: Trace, keep_turns: bool = False) -> Evaluated:
    run = trace.run
    if not run.evaluation:
        raise ConfigError("folder", str(source.folder), "one that vlmgym eval wrote")
    try:
        settings = settings_in(run)
    except TraceError as error:
        raise TraceError(f"{source.folder / 'trace.jsonl'}: {error}") from error
    turns_by_episode = defaultdict[int, list[Turn]](list)
    turns_by_state = dict[str, Turn]()
    for turn in trace.finished():
        turns_by_episode[turn.episode].append(turn)
        if keep_turns:
            turns_by_state.setdefault(turn.state, turn)
    values = dict[tuple[int, int, int], dict[str, float]]()
    failed = set[tuple[int, int, int]]()
    for episode in trace.episodes:
        start = episode.episode, episode.seed, episode.repeat
        if episode.end == "failed":
            failed.add(start)
            continue
        turns = turns_by_episode[episode.episode]
        values[start] = {metric: value_of(metric, episode, turns) for metric in METRICS}
        values[start] |= dict.fromkeys(_unmeasured(run, settings.oracle), NAN)
    finish_counts = Counter(turn.usage.get("finish") for turn in trace.turns)
    replies = {
        "turns": len(trace.turns),
        "cut": finish_counts[CUT],
        "refused": finish_counts[REFUSED],
    }
    return Evaluated(
        source.folder,
        run,
        player=source.player,
        name=source.task,
        how={"prompt": run.prompt, **run.evaluation, **asdict(settings)},
        settings=asks(run)[-1],
        values=values,
        failed=failed,
        replies=replies,
        turns=turns_by_state,
    )


def _unmeasured(run: EvaluationRun, oracle: bool) -> list[str]:
    """Metrics of which a trace does not tell: regret where no oracle was asked, and the misread
    turns where they stand under reasoning.
    """
    names = [] if oracle else ["regret"]
    if run.attribution < ATTRIBUTION:
        names.append(f"fault_{Fault.MISREAD}")
    return names


def by_task(evaluations: Iterable[Evaluated]) -> list[list[Evaluated]]:
    """Those that ask the same, together."""
    groups = defaultdict[tuple[str, ...], list[Evaluated]](list)
    for evaluated in evaluations:
        groups[evaluated.key].append(evaluated)
    return list(groups.values())
