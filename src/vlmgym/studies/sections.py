"""The sections of a study's report, in Markdown."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

import vlmgym
from vlmgym.core.provenance import revision
from vlmgym.evals.estimates import decimals
from vlmgym.evals.metrics import FOLLOWING, METRICS
from vlmgym.evals.reading import headline
from vlmgym.studies.block_sections import block_section
from vlmgym.studies.jobs import is_done
from vlmgym.studies.plan import hash_of
from vlmgym.studies.power import decidable
from vlmgym.studies.results import SWAPPED, StudyResults
from vlmgym.studies.schedule import jobs_of
from vlmgym.studies.verdicts import UNMEASURED, Verdict
from vlmgym.studies.writing import markdown, of_claim, p_text, writer

ATTRIBUTED = ("fault_perception", "fault_both", "fault_misread", "fault_reasoning")
"""Metrics that say which block is to blame."""
CURVES = ("success", "p_acc", "r_acc", "follows")
"""Metrics of the checks of a training run."""
MOST_COLUMNS = 6
"""Tasks that are columns of a table; more of them are its rows."""

Found = Sequence[Verdict]


def hashes_of(results: StudyResults) -> list[str]:
    """The hashes of the study's folder; what would be written there, where nothing was begun."""
    settings = json.loads(json.dumps(results.study.to_dict()))
    return results.hashes or [hash_of(settings)]


# ---- head
def heading(results: StudyResults) -> str:
    """Question, how far the study is, and by what it is known."""
    study = results.study
    plan = study.plan
    frozen = f"**Frozen {plan.frozen}**" if plan.frozen else "**A pilot: this plan is not frozen**"
    jobs = jobs_of(study)
    missing = sum(not is_done(study, results.out, job.name) for job in jobs)
    unfinished = ""
    if missing:
        unfinished = f"\n\n**{missing} of {len(jobs)} jobs are still to be done.**"
    seeds = ", ".join(map(str, study.seeds))
    return (
        f"# {plan.question or 'A study'}\n\n"
        f"{frozen}, hash `{hashes_of(results)[-1]}`. Model `{study.model}`, training seeds {seeds}."
        f"{unfinished}{_looked_at_tests(results)}\n"
    )


def _looked_at_tests(results: StudyResults) -> str:
    """A warning where a plan that is not frozen asks for test seeds, or one that is for pilots."""
    study = results.study
    wanted = "test" if study.plan.frozen else "pilot"
    if not study.plan.claims:
        return ""
    others = [
        name
        for name in study.evaluations
        if any(settings.split != wanted for _, settings in study.protocol(name).entries)
    ]
    if not others:
        return ""
    kind = "frozen" if study.plan.frozen else "a pilot"
    return (
        f"\n\n**This plan is {kind}, and yet these evaluations draw from another split of seeds "
        f"than `{wanted}`: {', '.join(others)}.**"
    )


# ---- the plan
def _plan(results: StudyResults, found: Found) -> str:
    plan = results.study.plan
    if not plan.claims:
        return ""
    lines = [
        f"Frozen: {plan.frozen or 'no'}. Hash: "
        + ", amended to ".join(f"`{one}`" for one in hashes_of(results))
        + f". Stopping: {plan.stopping or 'not said'}.\n"
    ]
    if plan.amendments:
        rows = [
            [entry.date, entry.what, entry.why, ", ".join(f"`{name}`" for name in entry.changes)]
            for entry in plan.amendments
        ]
        lines.append(markdown(["amended", "what", "why", "fields"], rows))
    else:
        lines.append("No amendments.\n")
    left_out = [claim.name for claim in plan.claims if results.study.leaves_out(claim)]
    if left_out:
        lines.append(f"Left out of this form of the study: {', '.join(left_out)}.\n")
    return "\n".join(lines)


def _primary(results: StudyResults, found: Found) -> str:
    rows = [_claim_row(results, verdict) for verdict in found if verdict.primary]
    if not rows:
        return ""
    titles = ["claim", "compared", "expected", "estimate [95 %]"]
    titles += ["p", "after Holm", "n", "verdict"]
    return markdown(titles, rows) + (
        f"\nHolm over these {len(rows)}. Differences against 0, two-sided; equality by two "
        "one-sided tests against its margin. `not decided` is no evidence of anything. n: training "
        "seeds x starts of all games together.\n"
    )


def _exploratory(results: StudyResults, found: Found) -> str:
    rows = []
    for verdict in found:
        if not verdict.primary:
            row = _claim_row(results, verdict)
            rows.append([*row[:5], *row[6:]])
    if not rows:
        return ""
    titles = ["claim", "compared", "expected", "estimate [95 %]", "p", "n", "p alone says"]
    return "Exploratory: p is not adjusted, and none of this is confirmed by it.\n\n" + markdown(
        titles, rows
    )


def _claim_row(results: StudyResults, verdict: Verdict) -> list[str]:
    claim = verdict.claim
    games = results.study.games_of(claim)
    over = f", mean over {', '.join(games)}"
    if len(games) == 1:
        claim = claim.of_game(results.study.plan.word(games[0]))
        over = f", {games[0]}"
    expected = claim.expect
    if claim.expect == "equal":
        expected = f"equal within {writer(claim.measure)(claim.margin)}"
    seeds = f"{verdict.seeds} x " if verdict.seeds else ""
    return [
        f"**{claim.name}**: {claim.says}",
        f"{claim.compared}{over}",
        expected,
        of_claim(claim, verdict.estimate),
        p_text(verdict.p),
        p_text(verdict.adjusted),
        f"{seeds}{verdict.starts}",
        f"**{verdict.word}**" if verdict.primary else verdict.word,
    ]


def _power(results: StudyResults, found: Found) -> str:
    rows = []
    by_name = {verdict.claim.name: verdict for verdict in found}
    for entry in decidable(results.study):
        power = by_name[entry.claim.name].power
        varied = "-"
        if by_name[entry.claim.name].word != UNMEASURED:
            varied = f"{power.between:.3g}, {power.within:.3g}"
        rows.append([entry.claim.name, entry.text, varied])
    if not rows:
        return ""
    return markdown(["claim", "with 80 % power", "sd of seeds, of starts, as measured"], rows)


# ---- evaluations
def _evaluations(results: StudyResults, found: Found) -> str:
    parts = []
    for name in results.study.evaluations:
        tasks = [task for evaluation, task in results.evaluated if evaluation == name]
        if not tasks:
            continue
        parts.append(f"### {name}{_how(results, name)}\n")
        how = _first(results, name, tasks[0]).how
        for metric in _metrics(how):
            parts.append(_values(results, name, tasks, metric))
    return "\n".join(parts)


def _first(results: StudyResults, evaluation: str, task: str) -> Any:
    by_player = results.evaluated[evaluation, task]
    return next(iter(next(iter(by_player.values())).values()))


def temperature_of(results: StudyResults, evaluation: str) -> str:
    """At which temperature models answer."""
    temperature = results.study.protocol(evaluation).sampling.get("temperature", 0)
    return f"temperature {temperature:g}" if temperature else "greedy (temperature 0)"


def _how(results: StudyResults, evaluation: str) -> str:
    """How an evaluation asks, for its heading: the temperature, the starts, what is shown."""
    _, settings = results.study.protocol(evaluation).entries[0]
    words = [temperature_of(results, evaluation)]
    kind = "whole games" if settings.start == "reset" and not settings.turns else "starts"
    words.append(f"{settings.episodes} {kind} from {settings.first} of {settings.split}")
    if settings.repeats > 1:
        words.append(f"{settings.repeats} times each")
    if settings.observation != "image":
        words.append(f"told: {settings.observation}")
    return ": " + ", ".join(words)


def _metrics(how: Mapping[str, Any]) -> list[str]:
    """The metrics that are shown of an evaluation."""
    metrics = [headline(how)]
    metrics += ["success"] if "success" not in metrics else []
    metrics += ["p_acc"] if how["observation"] == "image" else []
    if how["observation"] == SWAPPED:
        metrics += ["follows", "looks_again"]
    return metrics


def _values(results: StudyResults, evaluation: str, tasks: Sequence[str], metric: str) -> str:
    """A metric of all players on all tasks."""
    players = list(
        dict.fromkeys(player for task in tasks for player in results.players(evaluation, task))
    )
    write = writer(metric)

    def cell(player: str, task: str) -> str:
        if METRICS[metric].describes and results.is_given(evaluation, task, player):
            return "given"
        estimate = results.value(evaluation, task, player, metric)
        text = estimate.text(write)
        index = results.index(evaluation, task, player) if metric == "score" else math.nan
        return text if math.isnan(index) else f"{text} ({100 * index:.0f})"

    title = METRICS[metric].title + (", index in brackets" if metric == "score" else "")
    if len(tasks) <= MOST_COLUMNS:
        rows = [[player, *(cell(player, task) for task in tasks)] for player in players]
        return markdown([title, *tasks], rows)
    rows = [[task, *(cell(player, task) for player in players)] for task in tasks]
    return markdown([title, *players], rows)


# ---- training
def _training(results: StudyResults, found: Found) -> str:
    rows = []
    for run in results.study.runs:
        for game in results.checked_games(run):
            steps, _ = results.curve(run, game, "success")
            if len(steps):
                cells = [_first_and_last(results.curve(run, game, metric)[1]) for metric in CURVES]
                rows.append([run, game, f"{steps[0]} to {steps[-1]}", *cells])
    if not rows:
        return ""
    titles = ["run", "game", "steps", *(METRICS[metric].title for metric in CURVES)]
    return (
        "At the first and the last check (greedy answers to held-out states): mean over training "
        "seeds [smallest, largest seed]. How a curve came about is not tested.\n\n"
        + markdown(titles, rows)
    )


def _first_and_last(table: Any) -> str:
    texts = []
    for column in (table[:, 0], table[:, -1]):
        if np.isnan(column).all():
            return "-"
        low, mean, high = np.nanmin(column), np.nanmean(column), np.nanmax(column)
        texts.append(f"{100 * mean:.0f} [{100 * low:.0f}, {100 * high:.0f}]")
    return " to ".join(texts)


# ---- attribution
def _attribution(results: StudyResults, found: Found) -> str:
    follows = results.follows()
    rows = []
    trusted = [player for player, value in follows.items() if value.low > FOLLOWING]
    for (evaluation, task), by_player in results.evaluated.items():
        for player in by_player:
            how = _first(results, evaluation, task).how
            if player in trusted and how["observation"] == "image":
                shares = [
                    results.value(evaluation, task, player, fault).text(decimals(1, factor=100))
                    for fault in ATTRIBUTED
                ]
                rows.append([player, evaluation, task, *shares])
    lines = []
    if rows:
        titles = ["player", "evaluation", "task", *(METRICS[name].title for name in ATTRIBUTED)]
        lines.append(markdown(titles, rows))
        lines.append(
            "*misread*: after a right description the think block names a tile otherwise than it "
            "is; a dash where it was judged by a version that counted these as reasoning.\n"
        )
    refused = {player: value for player, value in follows.items() if player not in trusted}
    for player, value in refused.items():
        lines.append(
            f"- {player}: refused, its think block is not shown to read the description (follows = "
            f"{value.text(decimals(2))}; the lower end must be above {FOLLOWING:g})."
        )
    asked = dict.fromkeys(
        player for by_player in results.evaluated.values() for player in by_player
    )
    models = [player for player in asked if player not in follows and _is_model(results, player)]
    if models:
        lines.append(
            f"- {', '.join(models)}: refused, `follows` was not measured (an evaluation with "
            f"`observation: {SWAPPED}`)."
        )
    if not lines:
        return ""
    return (
        "Which block is to blame for a failed move, and what a given or forced description does to "
        "play, says something of reasoning only where reasoning reads the description.\n\n"
        + "\n".join(lines)
        + "\n"
    )


def _is_model(results: StudyResults, player: str) -> bool:
    study = results.study
    return player == "base" or bool(study.makers(f"{player}.{study.seeds[0]}"))


# ---- what was run
def _run(results: StudyResults, found: Found) -> str:
    attempts = results.attempts
    if not attempts:
        return "Nothing was run yet.\n"
    by_machine: dict[tuple[str, str], float] = {}
    for line in attempts:
        key = str(line.get("machine", "a machine that was not written down")), str(line["vlmgym"])
        by_machine[key] = by_machine.get(key, 0.0) + float(str(line["seconds"]))
    rows = [
        [machine, f"{vlmgym.__version__} ({commit})", f"{seconds / 3600:.2f}"]
        for (machine, commit), seconds in by_machine.items()
    ]
    ends = Counter(_end(line) for line in attempts)
    counts = ", ".join(f"{count} {end}" for end, count in ends.items())
    failed = sorted({str(line["job"]) for line in attempts if _end(line) == "failed"})
    names = f" Failed at least once: {', '.join(failed)}." if failed else ""
    return (
        markdown(["machine", "vlmgym", "hours of processes"], rows)
        + f"\nProcesses: {counts}.{names} Report written by {revision()}.\n"
    )


def _end(line: Mapping[str, Any]) -> str:
    """How a process ended: one that was asked to stop has no status of its own."""
    if line["done"]:
        return "done"
    return "failed" if line.get("status") else "stopped"


def _limits(results: StudyResults, found: Found) -> str:
    seeds = len(results.study.seeds)
    over = (
        f"Intervals cover {seeds} training seeds and the held-out starts, both as samples: what "
        "other seeds of the same recipes, and other starts of the same tasks, would give. A seed "
        "changes all that a run draws."
        if seeds > 1
        else "**One training seed: intervals cover the held-out starts alone, and say nothing of "
        "another run.**"
    )
    return (
        f"- {over}\n"
        "- Rows of players that are not trained cover starts alone.\n"
        f"- They do not cover another model than `{results.study.model}`, other games, levels, "
        "looks, prompts or recipes, nor how these were chosen.\n"
        "- How often such intervals hold the truth was simulated (docs/studies.md).\n"
    )


def _blocks(results: StudyResults, found: Found) -> str:
    return block_section(results)


Section = Callable[[StudyResults, Found], str]
SECTIONS: dict[str, Section] = {
    "The plan": _plan,
    "Primary claims": _primary,
    "What could be decided": _power,
    "Exploratory": _exploratory,
    "Evaluations": _evaluations,
    "Training": _training,
    "Perception or reasoning": _attribution,
    "Advantages of the blocks of answers": _blocks,
    "What was run": _run,
    "Limits": _limits,
}
"""By title; one that has nothing to say is left out."""
