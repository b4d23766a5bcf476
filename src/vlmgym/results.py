"""What a study has found, to be read: ``report.md`` with tables, verdicts and pictures, its numbers, and turns to look at."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

import vlmgym
from vlmgym import stats
from vlmgym.core import need
from vlmgym.figures import COLOURS, STYLE, canvas
from vlmgym.findings import (
    GAMES,
    INTERVENTIONS,
    MEDIATED,
    TITLES,
    TURNED,
    Findings,
    claims,
    exploration,
    knowing,
    leads,
    mediation,
    points,
    scores,
    text,
)
from vlmgym.looks import get_look
from vlmgym.reward import Fault
from vlmgym.study import BASE, Study, is_done
from vlmgym.trace import revision

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

EXAMPLES = 3
"""States of each game in ``turns.jsonl``."""
GREY, FAINT = "#6b7280", "#e1e5ec"
_FAULTS = {
    Fault.NONE: ("the move works", "#bfe3d0"),
    Fault.PERCEPTION: ("seen wrongly, right for what was seen", "#56b4e9"),
    Fault.BOTH: ("seen wrongly, and wrong even so", "#5c4b8a"),
    Fault.REASONING: ("seen rightly, wrong move", "#d55e00"),
    Fault.UNAVOIDABLE: ("not to be known", "#c4cad4"),
    Fault.FORMAT: ("no move to be read", "#1d2330"),
}


def write_results(study: Study, out: Path) -> Path:
    """Write ``report.md`` with its pictures, ``results.json`` and ``turns.jsonl``; returns the report's path.

    Raises:
        MissingExtra: without Matplotlib or SciPy.
    """
    need("train", "matplotlib", "scipy")
    found = Findings(study, out)
    pictures = [f"![{title}]({name})\n" for name, title in draw(found)]
    sections = {
        "Scores of whole games": _scores,
        "Verdicts": _verdicts,
        "Seeing, knowing, doing": _knowing,
        "What G0 has to select from": _exploration,
        "Held-out states": _states,
        "Perception and reasoning on turned tiles": _turned,
        "What perception and what reasoning add": _mediation,
        "Does perception lead?": _leads,
        "Whose fault: first and last check": _faults,
        "What replies look like: first and last check": _patterns,
        "One model for all games": _one_model,
        "What we would do otherwise": _changes,
        "Transfer": _transfer,
        "Curves over difficulty": _difficulty,
        "Training in numbers": _training,
        "Every run": _jobs,
    }
    told = {title: body for title, make in sections.items() if (body := make(found))}
    parts = [_intro(found), *pictures, *(f"## {title}\n\n{body}" for title, body in told.items())]
    path = out / "report.md"
    path.write_text("\n".join(parts), encoding="utf-8")
    (out / "results.json").write_text(json.dumps(_numbers(found), indent=1) + "\n", encoding="utf-8")
    (out / "turns.jsonl").write_text("".join(json.dumps(turn) + "\n" for turn in _examples(found)), encoding="utf-8")
    return path


# --------------------------------------------------------------------------------------------------------------- data
def _numbers(found: Findings) -> dict[str, Any]:
    """All numbers of the report that could be wanted elsewhere."""

    def plain(table: Mapping[str, Mapping[str, stats.Estimate]]) -> dict[str, Any]:
        return {name: {key: one.to_dict() for key, one in row.items()} for name, row in table.items()}

    return {
        "scores": plain(dict(scores(found))),
        "knowing": plain(knowing(found)),
        "exploration": {player: plain(exploration(found, player)) for player in _asked(found, "exploration")},
        "mediation": plain({f"{before} to {after}": mediation(found, before, after) for before, after in MEDIATED}),
        "claims": [asdict(one) for one in claims(found)],
        "lead_lag": {
            str(lag): dict(zip(("correlation", "p"), _bare(np.array([pair]))[0], strict=True))
            for lag, pair in leads(found).items()
        },
        "curves": {run: curves for run in found.study.runs if (curves := _curves(found, run))},
    }


def _curves(found: Findings, run: str) -> dict[str, Any]:
    """The checks of a run by game: steps, and for each metric a list of values for each seed."""
    metrics = ("success", "p_acc", "cells", "r_acc", "localises", "enumerates", *(f"fault_{fault.value}" for fault in Fault))
    out = {}
    for game in GAMES:
        steps, _ = found.curve(run, game, "success")
        if len(steps):
            tables = {key: _bare(found.curve(run, game, key)[1]) for key in metrics}
            out[game] = {"steps": steps.tolist()} | tables
    return out


def _bare(table: NDArray[np.float64]) -> list[list[float | None]]:
    """Numbers for JSON, None for NaN."""
    return [[None if math.isnan(value) else round(float(value), 4) for value in line] for line in table]


def _examples(found: Findings) -> list[dict[str, Any]]:
    """Turns to look at: the first held-out states of each game, answered by the base, G0, the cold start and G1."""
    asked = [("states", game, (BASE, f"g0-{key}", f"cold-{key}", f"g1-{key}"), EXAMPLES) for game, key in GAMES.items()]
    asked.append(("turned", TURNED, (BASE, "g0-turned", "cold-turned", "g1-turned"), 1))
    return [
        {"player": player, "evaluation": evaluation, "game": game, **asdict(turn)}
        for evaluation, game, players, count in asked
        for player in players
        for turn in found.turns(evaluation, game, player)[:count]
    ]


def _attempts(found: Findings) -> list[dict[str, Any]]:
    """What was run when, one for each process of the study."""
    path = found.out / "jobs.jsonl"
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


def _hours(lines: Sequence[dict[str, Any]]) -> float:
    """Hours during which a process ran, those side by side counted once."""
    seconds, until = 0.0, 0.0
    for begin, end in sorted((line["begin"], line["begin"] + line["seconds"]) for line in lines):
        seconds += max(0.0, end - max(begin, until))
        until = max(until, end)
    return seconds / 3600


def _asked(found: Findings, evaluation: str) -> list[str]:
    """The players of an evaluation, without their seeds."""
    if evaluation not in found.study.evaluations:
        return []
    names = (one.rpartition(".")[0] if found.study.makers(one) else one for one in found.study.players(evaluation))
    return list(dict.fromkeys(names))


# ------------------------------------------------------------------------------------------------------------- tables
def _markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of the rows in which something was measured; empty if there are none."""
    rows = [row for row in rows if any(cell != "-" for cell in row[1:])]
    if not rows:
        return ""
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)]) + "\n"


def _intro(found: Findings) -> str:
    lines = _attempts(found)
    by_machine: dict[str, list[dict[str, Any]]] = {}
    for line in lines:
        by_machine.setdefault(line.get("machine", "a machine that was not written down"), []).append(line)
    hours = "; ".join(f"{_hours(part):.1f} hours on {name}" for name, part in by_machine.items()) or "nothing was run yet"
    left = sum(not is_done(found.study, found.out, job.name) for job in found.study.jobs)
    more = f" **{left} of {len(found.study.jobs)} jobs are still to be done.**" if left else ""
    made = ", ".join(dict.fromkeys(line["vlmgym"] for line in lines)) or revision()
    return (
        "# The paper's claims, measured\n\n"
        f"Model `{found.study.model}`, training seeds {', '.join(map(str, found.study.seeds))}. Means with 95 % intervals over "
        "training seeds and held-out episodes, both taken as samples; with one seed the intervals cover the episodes alone. "
        f"{hours}; vlmgym {vlmgym.__version__} ({made}).{more}\n"
    )


def _scores(found: Findings) -> str:
    rows = [[title, *(text(one, False) for one in cells.values())] for title, cells in scores(found)]
    return _markdown(["model", *TITLES.values()], rows)


def _verdicts(found: Findings) -> str:
    rows = [[one.claim, one.paper, one.verdict, one.numbers] for one in claims(found)]
    return _markdown(["claim", "in the paper", "here", "numbers"], rows)


def _knowing(found: Findings) -> str:
    table = knowing(found)
    titles = {
        "cells": "cells described",
        "p_acc": "boards described",
        "knows": "knows a move when asked",
        "success": "success",
        "random": "random player",
    }
    rows = [[title, *(text(table[g][key]) for g in GAMES)] for key, title in titles.items()]
    return _markdown(["base", *TITLES.values()], rows)


def _exploration(found: Findings) -> str:
    titles = {
        "searches": "answers that search",
        "with": "success of those",
        "without": "success of the others",
        "groups": "groups of 8 with and without a search",
        "unequal": "groups of unequal reward",
        "advantage": "mean advantage of a search",
    }
    out = []
    for player in _asked(found, "exploration"):
        table = exploration(found, player)
        rows = [[title, *(text(table[g][key]) if g in table else "-" for g in GAMES)] for key, title in titles.items()]
        after = "g0-{}" if player == BASE else f"g0-{player}-{{}}"
        for title, name in (("success before G0, greedy", player), ("success after G0, greedy", after)):
            rows.append([title, *(text(found.value("states", g, name.format(k), "success")) for g, k in GAMES.items())])
        out.append(_markdown([player, *TITLES.values()], rows))
    return "\n".join(filter(None, out))


def _states(found: Findings) -> str:
    names = [BASE, *(f"{kind}-{{}}" for kind in ("g0", "cold", "g1")), "cold-all", "g1-all"]
    names += [one for one in ("random", found.teacher, "oracle") if one]
    out = []
    for metric, title in (("success", "success"), ("p_acc", "P_acc"), ("r_acc", "R_acc")):
        rows = [
            [name.format("GAME"), *(text(found.value("states", g, name.format(k), metric)) for g, k in GAMES.items())]
            for name in names
        ]
        out.append(_markdown([title, *TITLES.values()], rows))
    rows = [
        [name.format("GAME"), *(text(found.value("told", g, name.format(k), "success")) for g, k in GAMES.items())]
        for name in names[:6]
    ]
    out.append(_markdown(["success, true description given", *TITLES.values()], rows))
    return "\n".join(filter(None, out))


def _turned(found: Findings) -> str:
    names = {BASE: "base"} | {run: f"G0, {title}" for run, title in INTERVENTIONS.items()}
    names |= {"cold-turned": "cold start", "g1-turned": "G1"}
    names |= {"cold-thoughtless": "cold start without think blocks", "thoughtless": "G1 without think blocks"}
    names |= {one: one for one in ("random", found.teacher, "oracle") if one}
    rows = []
    for player, title in names.items():
        if found.table("turned", TURNED, player, "success").size:
            cells = [found.value("turned", TURNED, player, metric) for metric in ("success", "p_acc", "cells", "r_acc")]
            cells.append(found.value("turned-told", TURNED, player, "success"))
            cells += [found.value("turned-sampled", TURNED, player, metric) for metric in ("success", "p_acc")]
            rows.append([title, *map(text, cells)])
    heads = ["success", "P_acc", "cells", "R_acc", "success, true description given", "success, sampled", "P_acc, sampled"]
    return _markdown(["trained with", *heads], rows)


def _mediation(found: Findings) -> str:
    rows = []
    for before, after in MEDIATED:
        parts = mediation(found, before, after)
        if parts:
            rows.append([f"{before} to {after}", *(text(parts[key]) for key in list(parts)[:4])])
            rows[-1] += [points(parts[key], "success") for key in ("total", "perception", "reasoning")]
    heads = ["neither", "perception of the later", "reasoning of the later", "both", "gain", "by perception", "by reasoning"]
    return _markdown(["success on turned tiles", *heads], rows)


def _leads(found: Findings) -> str:
    lags = leads(found)
    rows = [
        ["correlation of increments", *("-" if math.isnan(c) else f"{c:+.2f}" for c, _ in lags.values())],
        ["p (permutation)", *("-" if math.isnan(p) else f"{p:.3f}" for _, p in lags.values())],
    ]
    return _markdown(["lag (checks by which P_acc leads)", *map(str, lags)], rows)


def _trained(found: Findings) -> list[tuple[str, str]]:
    """G0 and G1 of each game, and those of turned tiles: run and game."""
    runs = [(f"{kind}-{key}", game) for kind in ("g0", "g1") for game, key in GAMES.items()]
    runs += [("g0-turned", TURNED), ("g1-turned", TURNED)]
    return [(run, game) for run, game in runs if len(found.curve(run, game, "success")[0])]


def _first_and_last(found: Findings, titles: Mapping[str, str]) -> str:
    rows = []
    for run, game in _trained(found):
        tables = (found.curve(run, game, metric)[1] for metric in titles)
        rows.append([run, *(f"{np.nanmean(t[:, 0]):.2f} to {np.nanmean(t[:, -1]):.2f}" for t in tables)])
    return _markdown(["run", *titles.values()], rows)


def _faults(found: Findings) -> str:
    return _first_and_last(found, {f"fault_{fault.value}": title for fault, (title, _) in _FAULTS.items()})


def _patterns(found: Findings) -> str:
    return _first_and_last(found, {"localises": "localises", "enumerates": "enumerates", "success": "success"})


def _one_model(found: Findings) -> str:
    rows = []
    for game, key in GAMES.items():
        row = [TITLES[game]]
        for metric, evaluation in (("success", "states"), ("score", f"episodes-{key}")):
            row += [text(found.value(evaluation, game, name, metric), metric != "score") for name in ("g1-all", f"g1-{key}")]
            row.append(points(found.gap(evaluation, game, "g1-all", f"g1-{key}", metric), metric))
        rows.append(row)
    heads = ["success, one for all", "its own", "difference", "score, one for all", "its own", "difference"]
    return _markdown(["equal answers in all", *heads], rows)


def _changes(found: Findings) -> str:
    rows = []
    for run, game, against, title in (
        ("regret", "2048", "g1-2048", "2048: reward is the regret to the oracle, not the merge"),
        ("on-policy", "ShisenSho", "g1-shisen-sho", "Shisen-Sho: states of the policy's own games, not of random walks"),
        ("unequal", "Swap", "g1-swap", "Swap: groups of equal worth are left out"),
    ):
        gap = found.gap(f"episodes-{GAMES[game]}", game, run, against, "score")
        success = found.gap("states", game, run, against, "success")
        score = text(found.value(f"episodes-{GAMES[game]}", game, run, "score"), False)
        rows.append([title, score, points(gap, "score"), points(success, "success"), "-"])
    success, seen = (found.gap("turned", TURNED, "cells", "g0-turned", metric) for metric in ("success", "p_acc"))
    title = "Turned tiles: perception is rewarded cell by cell, not as a whole"
    rows.append([title, "-", "-", points(success, "success"), points(seen, "p_acc")])
    return _markdown(["change", "score", "score against the paper's choice", "success against it", "P_acc against it"], rows)


def _transfer(found: Findings) -> str:
    rows = []
    for evaluation, task in found.evaluated:
        if evaluation == "transfer":
            cells = [text(found.value("transfer", task, who, "success")) for who in ("random", BASE, "g1-all")]
            game = next((g for g in GAMES if task == g or task.startswith(f"{g}-")), "")
            own = text(found.value("transfer", task, f"g1-{GAMES[game]}", "success")) if game else "-"
            rows.append([task, *cells, own, text(found.value("transfer", task, "g1-all", "p_acc"))])
    heads = ["random", "base", "G1, all games", "G1, this game", "P_acc of G1, all games"]
    others = _markdown(["not trained on (success)", *heads], rows)
    names = [BASE, *(f"{kind}-{key}" for kind in ("g0", "g1") for key in GAMES.values())]
    rows = [[name, *(text(found.value("states", game, name, "success")) for game in GAMES)] for name in names]
    return "\n".join(filter(None, (others, _markdown(["trained on one game (success)", *TITLES.values()], rows))))


def _difficulty(found: Findings) -> str:
    """For each game the curves of all its models; whole numbers of percent, since they rest on 30 states a seed."""
    tables = []
    for game, key in GAMES.items():
        evaluation = f"difficulty-{key}"
        places = {dial: _places(found, evaluation, game, dial) for dial in (*_DIALS, "rows")}
        rows = []
        for player in _asked(found, evaluation):
            for metric, name in (("success", player), ("p_acc", f"{player}, P_acc")):
                means = [[found.value(evaluation, task, player, metric).mean for task in one.values()] for one in places.values()]
                cells = [", ".join("-" if math.isnan(x) else f"{100 * x:.0f}" for x in line) for line in means]
                rows.append([name, *("-" if set(cell) <= set("-, ") else cell for cell in cells)])
        heads = [f"{dial} {', '.join(f'{value:g}' for value in one)}" for dial, one in places.items()]
        tables.append(_markdown([f"{TITLES[game]} (%)", *heads], rows))
    return "\n".join(filter(None, tables))


def _training(found: Findings) -> str:
    keys = {
        "reward": "reward",
        "kl": "KL",
        "entropy": "entropy",
        "completions/mean_length": "tokens",
        "groups/equal": "equal groups",
        "clip_ratio/region_mean": "clipped",
        "p_acc": "P_acc",
        "r_acc": "R_acc",
    }
    rows = []
    for run in found.study.runs:
        cells = []
        for key in keys:
            values = found.training(run, key)
            size = min(5, values.shape[1]) if values.ndim == 2 else 0
            known = size and not np.isnan(values[:, :size]).all() and not np.isnan(values[:, -size:]).all()
            cells.append(f"{np.nanmean(values[:, :size]):.3g} to {np.nanmean(values[:, -size:]):.3g}" if known else "-")
        if any(cell != "-" for cell in cells):
            rows.append([run, *cells])
    return _markdown(["first to last five steps, sampled", *keys.values()], rows)


def _jobs(found: Findings) -> str:
    lines = _attempts(found)
    hours = sum(line["seconds"] for line in lines) / 3600
    bad = [line for line in lines if not line["done"]]
    rows = [[line["job"], f"{line['seconds']:.0f}", str(line["status"])] for line in bad]
    told = f"{len(lines)} processes, {hours:.2f} hours of one process each; {len(bad)} of them failed or were stopped.\n"
    return told + ("\n" + _markdown(["failed or stopped", "seconds", "exit status"], rows) if bad else "")


# ----------------------------------------------------------------------------------------------------------- pictures
def draw(found: Findings) -> list[tuple[str, str]]:
    """Draw the pictures of the story into the study's folder; returns their file names and titles."""
    import matplotlib

    pictures: dict[str, tuple[str, Callable[[Findings, str], Figure | None]]] = {
        "gap": ("The base sees the boards, knows moves when asked, and plays little better than chance", _draw_gap),
        "scores": ("Scores of whole games, between random play and the oracle", _draw_scores),
        "training": ("Success on held-out states while G0 and G1 are trained", _draw_training),
        "bootstrapping": ("Tiles that are hard to see: perception and reasoning under RL", _draw_bootstrapping),
        "interventions": ("What changes when perception, the vision tower or the reward is held fixed", _draw_interventions),
        "faults": ("What fails: perception, reasoning, or both, while G0 and G1 are trained", _draw_faults),
        "difficulty": ("Success and perception as the picture gets harder", _draw_difficulty),
    }
    out = []
    with matplotlib.rc_context(STYLE):
        for name, (title, make) in pictures.items():
            figure = make(found, title)
            if figure is not None:
                figure.savefig(found.out / f"{name}.png")
                out.append((f"{name}.png", title))
    return out


def _spread(one: stats.Estimate) -> tuple[list[float], list[float]]:
    """Error bars below and above a mean, for Matplotlib."""
    low, high = (one.mean - one.low, one.high - one.mean) if not math.isnan(one.low) else (0.0, 0.0)
    return [max(low, 0.0)], [max(high, 0.0)]


def _percent(axes: Axes, along: str = "y") -> None:
    axis = axes.yaxis if along == "y" else axes.xaxis
    axis.set_major_formatter(lambda value, _: f"{value:.0%}")
    axes.grid(axis=along, color=FAINT, lw=0.8)  # type: ignore[arg-type]
    axes.set_axisbelow(True)


def _draw_gap(found: Findings, title: str) -> Figure | None:
    table = knowing(found)
    rows = {
        "describes the whole board": ("p_acc", COLOURS[0]),
        "knows a move when asked\nwhat moves would do": ("knows", COLOURS[0]),
        "makes a move that works": ("success", COLOURS[1]),
        "a random player": ("random", GREY),
    }
    if all(math.isnan(table[game]["success"].mean) for game in GAMES):
        return None
    figure = canvas(10, 2.5, title, "Share of held-out states, greedy answers of the untrained embedded model; 95% intervals.")
    for axes, game in zip(figure.subplots(1, 4, sharey=True), GAMES, strict=True):
        for place, (key, colour) in enumerate(reversed(rows.values())):
            one = table[game][key]
            if not math.isnan(one.mean):
                axes.barh(place, one.mean, color=colour, alpha=0.85, height=0.62)
                axes.errorbar(one.mean, place, xerr=_spread(one), fmt="none", ecolor="#1d2330", lw=1.2)
                axes.text(1.03, place, f"{one.mean:.0%}", va="center", fontsize=8, clip_on=False)
        axes.set_yticks(range(len(rows)), list(reversed(rows)))
        axes.set_xlim(0, 1)
        axes.set_title(TITLES[game])
        _percent(axes, "x")
    return figure


def _draw_scores(found: Findings, title: str) -> Figure | None:
    rows = dict(scores(found))
    names = [name for name in rows if name not in ("random", "oracle")]
    if all(math.isnan(one.mean) for one in rows["random"].values()):
        return None
    note = "Scores of whole games, sampled answers; means, 95% intervals. 0 = random play, 100 = the oracle. Dotted: the teacher."
    figure = canvas(10, 3.2, title, note)
    for axes, game in zip(figure.subplots(1, 4, sharey=True), GAMES, strict=True):
        low, high = rows["random"][game].mean, rows["oracle"][game].mean
        for place, name in enumerate(reversed(names)):
            one = rows[name][game]
            if math.isnan(one.mean) or math.isnan(low + high):
                continue
            scale = 100 / (high - low)
            below, above = _spread(one)
            teacher = name.startswith("the teacher")
            colour = COLOURS[1] if teacher else COLOURS[0] if name.startswith("G1") else GREY
            bars = [[below[0] * scale], [above[0] * scale]]
            axes.errorbar((one.mean - low) * scale, place, xerr=bars, fmt="o", color=colour, ms=6, lw=1.6)
            if teacher:
                axes.axvline((one.mean - low) * scale, color=colour, lw=0.9, ls=":")
        axes.set_yticks(range(len(names)), list(reversed(names)))
        axes.set_title(TITLES[game])
        axes.axvline(0, color="#c4cad4", lw=0.8)
        axes.grid(axis="x", color=FAINT, lw=0.8)
        axes.set_xlabel("% of the way to the oracle")
    return figure


_KINDS = (("g0", "G0 (RL from the base)", COLOURS[1]), ("g1", "G1 (RL from the cold start)", COLOURS[0]))


def _draw_training(found: Findings, title: str) -> Figure | None:
    note = "Greedy answers. Thick: mean over training seeds; thin: each seed. Dotted: the teacher; grey: a random player."
    figure, any_line = canvas(10, 4.6, title, note), False
    for column, (game, key) in enumerate(GAMES.items()):
        for row, (metric, label) in enumerate((("success", "a move that works"), ("p_acc", "boards described exactly"))):
            axes = figure.add_subplot(2, 4, 1 + column + 4 * row)
            for kind, name, colour in _KINDS:
                any_line |= _lines(axes, *found.curve(f"{kind}-{key}", game, metric), colour, name)
            if metric == "success":
                for player, style in ((found.teacher, ":"), ("random", "-")):
                    mean = found.value("states", game, player, "success").mean
                    if not math.isnan(mean):
                        axes.axhline(mean, color="#8b93a1", lw=1, ls=style)
                axes.set_title(TITLES[game])
            else:
                axes.set_xlabel("GRPO steps")
            axes.set_ylim(-0.03, 1.03)
            _percent(axes)
            if column == 0:
                axes.set_ylabel(label)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper right", ncols=2, frameon=False)
    return figure if any_line else None


def _lines(axes: Axes, steps: NDArray[np.int64], table: NDArray[np.float64], colour: str, label: str, style: str = "-") -> bool:
    """A thin line for each seed and a thick one for their mean; whether there was anything to draw."""
    if not len(table):
        return False
    for line in table:
        axes.plot(steps, line, style, color=colour, lw=0.6, alpha=0.45)
    axes.plot(steps, np.nanmean(table, axis=0) if not np.isnan(table).all() else table[0], style, color=colour, lw=2, label=label)
    return True


def _draw_bootstrapping(found: Findings, title: str) -> Figure | None:
    if not any(len(found.curve(f"{kind}-turned", TURNED, "success")[0]) for kind, _, _ in _KINDS):
        return None
    run = next(one for one in found.study.runs if one.endswith("-turned"))
    look = get_look(found.study.recipe(run, found.study.seeds[0]).tasks[0].look)
    note = (
        f"Shisen-Sho, tiles turned by up to {look.rotation:g} degrees. Solid: held-out states, greedy answers; dotted: training "
        "states, sampled answers (mean of ten steps). Thick: mean over seeds. Right: one model describes, the other goes on."
    )
    figure = canvas(10.5, 3.6, title, note)
    panels = figure.subplots(1, 3, width_ratios=(1, 1, 1.15))
    quantities = (
        ("cells", "cells described", COLOURS[4]),
        ("p_acc", "P_acc: boards described exactly", COLOURS[0]),
        ("r_acc", "R_acc: success where they are", COLOURS[1]),
        ("success", "success", COLOURS[2]),
    )
    for axes, (kind, name, _) in zip(panels, _KINDS, strict=False):
        for metric, label, colour in quantities:
            _lines(axes, *found.curve(f"{kind}-turned", TURNED, metric), colour, label)
            sampled = found.training(f"{kind}-turned", "rewards/cells/mean" if metric == "cells" else metric)
            if sampled.size and sampled.shape[1] >= 10:
                smooth = np.array([_running(line) for line in sampled])
                axes.plot(np.arange(smooth.shape[1]) + 5.5, np.nanmean(smooth, axis=0), ":", color=colour, lw=1.4)
        axes.set_title(name)
        axes.set_ylim(-0.03, 1.03)
        axes.set_xlabel("GRPO steps")
        _percent(axes)
    handles, labels = max((axes.get_legend_handles_labels() for axes in panels), key=lambda both: len(both[1]))
    panels[1].legend(handles, labels, loc="lower right", frameon=False)
    rows = []
    for before, after in MEDIATED:
        parts = mediation(found, before, after)
        name = "G1 - cold start" if before != BASE else "G0 - base"
        for key in ("total", "perception", "reasoning") if parts else ():
            rows.append((f"{name}:\n{key}" if key == "total" else f"by {key}", parts[key]))
    for place, (label, one) in enumerate(reversed(rows)):
        colour = {"by perception": COLOURS[0], "by reasoning": COLOURS[1]}.get(label, COLOURS[2])
        panels[2].errorbar(one.mean, place, xerr=_spread(one), fmt="o", color=colour, ms=6, lw=1.6)
    panels[2].set_ylim(-0.6, len(rows) - 0.4)
    panels[2].set_yticks(range(len(rows)), [label for label, _ in reversed(rows)])
    panels[2].axvline(0, color="#c4cad4", lw=0.8)
    panels[2].set_title("What RL adds to success, and by what")
    _percent(panels[2], "x")
    return figure


def _running(line: NDArray[np.float64], size: int = 10) -> NDArray[np.float64]:
    """Means of ``size`` neighbours, leaving out what is not known."""
    windows = np.lib.stride_tricks.sliding_window_view(line, size)
    return np.array([np.nanmean(one) if not np.isnan(one).all() else np.nan for one in windows])


def _draw_faults(found: Findings, title: str) -> Figure | None:
    note = "Shares of held-out states, means over training seeds. Blame: the move is replayed on the board as it was described."
    columns = [*((key, game, TITLES[game]) for game, key in GAMES.items()), ("turned", TURNED, "Shisen-Sho, turned tiles")]
    trained = {run for run, _ in _trained(found)}
    columns = [one for one in columns if trained & {f"g0-{one[0]}", f"g1-{one[0]}"}]
    if not columns:
        return None
    figure = canvas(12, 4.6, title, note)
    for row, kind in enumerate(("g0", "g1")):
        for column, (key, game, name) in enumerate(columns):
            axes = figure.add_subplot(2, len(columns), 1 + column + len(columns) * row)
            curves = {fault: found.curve(f"{kind}-{key}", game, f"fault_{fault.value}") for fault in _FAULTS}
            steps = curves[Fault.NONE][0]
            if len(steps):
                shares = [np.nan_to_num(table).mean(axis=0) for _, table in curves.values()]
                colours, labels = [colour for _, colour in _FAULTS.values()], [label for label, _ in _FAULTS.values()]
                axes.stackplot(steps, shares, colors=colours, labels=labels)
                axes.set_xlim(steps[0], steps[-1])
            axes.set_ylim(0, 1)
            _percent(axes)
            if row == 0:
                axes.set_title(name.replace(", ", ",\n"))
            else:
                axes.set_xlabel("GRPO steps")
            if column == 0:
                axes.set_ylabel("G0, from the base" if kind == "g0" else "G1, from the cold start")
    handles, labels = next(axes for axes in figure.axes if axes.collections).get_legend_handles_labels()
    figure.legend(handles[::-1], [fill(label, 20) for label in labels[::-1]], loc="outside right upper", frameon=False)
    return figure


def _draw_interventions(found: Findings, title: str) -> Figure | None:
    runs = {BASE: "before: the base", **INTERVENTIONS}
    runs = {run: label for run, label in runs.items() if found.table("turned", TURNED, run, "success").size}
    if not runs.keys() - {BASE}:
        return None
    note = "G0 on Shisen-Sho with turned tiles, held-out states; means and 95% intervals. Dashed: the base, before RL."
    figure = canvas(11, 0.9 + 0.34 * len(runs), title, note)
    columns = (
        ("turned", "p_acc", "boards described,\ngreedy"),
        ("turned-sampled", "p_acc", "boards described,\nsampled"),
        ("turned", "success", "a move that works,\ngreedy"),
        ("turned-told", "success", "the same, the true\ndescription given"),
    )
    for axes, (evaluation, metric, label) in zip(figure.subplots(1, 4, sharey=True), columns, strict=True):
        for place, run in enumerate(reversed(runs)):
            one = found.value(evaluation, TURNED, run, metric)
            if math.isnan(one.mean):
                continue
            colour = COLOURS[0] if run != BASE else GREY
            axes.errorbar(one.mean, place, xerr=_spread(one), fmt="o", color=colour, ms=6, lw=1.6)
            if run == BASE:
                axes.axvline(one.mean, color="#8b93a1", lw=0.8, ls="--")
        axes.set_yticks(range(len(runs)), list(reversed(runs.values())))
        axes.set_ylim(-0.6, len(runs) - 0.4)
        axes.set_xlim(0, 1)
        axes.set_title(label)
        _percent(axes, "x")
    return figure


_DIALS = ("noise", "blur", "contrast", "rotation", "occlusion", "similarity")


def _draw_difficulty(found: Findings, title: str) -> Figure | None:
    if not any(evaluation.startswith("difficulty") for evaluation, _ in found.evaluated):
        return None
    note = (
        "Held-out states of each game, greedy answers, one model a game. Solid: success; dotted: boards described exactly. "
        "The models were trained at the leftmost point alone, and on boards of 4 x 4; turned: G1 trained on turned tiles."
    )
    figure = canvas(11, 6.2, title, note)
    dials = [*_DIALS, "rows"]
    grid = figure.subplots(len(GAMES), len(dials), sharey=True)
    for row, (game, key) in enumerate(GAMES.items()):
        players = [("base", BASE, GREY), ("G0", f"g0-{key}", COLOURS[1]), ("G1", f"g1-{key}", COLOURS[0])]
        players += [("G1, turned", "g1-turned", COLOURS[3])] if game == TURNED else []
        for column, dial in enumerate(dials):
            axes, places = grid[row][column], _places(found, f"difficulty-{key}", game, dial)
            for label, player, colour in players:
                for metric, style in (("success", "-"), ("p_acc", ":")):
                    ys = [found.value(f"difficulty-{key}", task, player, metric).mean for task in places.values()]
                    if not all(map(math.isnan, ys)):
                        named = label if metric == "success" else None
                        axes.plot(list(places), ys, style, color=colour, marker="o", ms=2.5, lw=1.3, label=named)
            if dial == "contrast":
                axes.invert_xaxis()
            axes.set_ylim(-0.03, 1.03)
            _percent(axes)
            if row == 0:
                axes.set_title({"rows": "rows of the board"}.get(dial, dial))
            if column == 0:
                axes.set_ylabel(TITLES[game].replace(", ", ",\n"))
    handles, labels = grid[list(GAMES).index(TURNED)][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper right", ncols=4, frameon=False)
    return figure


def _places(found: Findings, evaluation: str, game: str, dial: str) -> dict[float, str]:
    """The tasks along a dial by its value, in order; the plain task stands at the value that was trained on."""
    places = {}
    for asked, task in found.evaluated:
        runs = [one.run for ones in found.evaluated[asked, task].values() for one in ones] if asked == evaluation else []
        if runs and runs[0].game == game:
            match = re.search(rf"(?:^|[:,]){dial}=([0-9.]+)", runs[0].level if dial == "rows" else runs[0].look)
            if (runs[0].level, runs[0].look) == ("tiny", "tiny"):
                places[4.0 if dial == "rows" else 1.0 if dial == "contrast" else 0.0] = task
            elif match:
                places[float(match[1])] = task
    return dict(sorted(places.items()))
