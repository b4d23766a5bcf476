"""The pictures of a study's report."""

from __future__ import annotations

import math
from collections.abc import Callable
from textwrap import fill
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vlmgym.dialogue.judge import Fault
from vlmgym.evals.estimates import Estimate
from vlmgym.render.looks import get_look
from vlmgym.report.plots import COLOURS, STYLE, canvas
from vlmgym.studies.g1.findings import (
    DIALS,
    GAMES,
    INTERVENTIONS,
    TITLES,
    TURNED,
    StudyResults,
    knowing,
    scores,
)
from vlmgym.studies.study import BASE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

GREY = "#6b7280"
FAINT = "#e1e5ec"
_KINDS = (
    ("g0", "G0 (RL from the base)", COLOURS[1]),
    ("g1", "G1 (RL from the cold start)", COLOURS[0]),
)


def draw(results: StudyResults) -> list[tuple[str, str]]:
    """Draw the pictures of the story into the study's folder; returns their file names and
    titles.
    """
    import matplotlib

    pictures: dict[str, tuple[str, Callable[[StudyResults, str], Figure | None]]] = {
        "gap": (
            "The base sees the boards, names moves when asked, and guesses when it plays",
            _draw_gap,
        ),
        "scores": ("Scores of whole games, between random play and the oracle", _draw_scores),
        "training": ("Success on held-out states while G0 and G1 are trained", _draw_training),
        "bootstrapping": (
            "Tiles that are hard to see, while G0 and G1 are trained",
            _draw_bootstrapping,
        ),
        "interventions": (
            "What changes when the vision tower or the reward is held fixed",
            _draw_interventions,
        ),
        "faults": (
            "What fails while G0 and G1 are trained: the description, the move, or both",
            _draw_faults,
        ),
        "difficulty": ("Success and perception as the picture gets harder", _draw_difficulty),
    }
    out = []
    with matplotlib.rc_context(STYLE):
        for name, (title, make) in pictures.items():
            figure = make(results, title)
            if figure is not None:
                figure.savefig(results.out / f"{name}.png")
                out.append((f"{name}.png", title))
    return out


def _spread(estimate: Estimate) -> tuple[list[float], list[float]]:
    """Error bars below and above a mean, for Matplotlib."""
    low, high = (
        (estimate.mean - estimate.low, estimate.high - estimate.mean)
        if not math.isnan(estimate.low)
        else (0.0, 0.0)
    )
    return [max(low, 0.0)], [max(high, 0.0)]


def _percent(axes: Axes, along: str = "y") -> None:
    axis = axes.yaxis if along == "y" else axes.xaxis
    axis.set_major_formatter(lambda value, _: f"{value:.0%}")
    axes.grid(axis=along, color=FAINT, lw=0.8)  # type: ignore[arg-type]
    axes.set_axisbelow(True)


def _draw_gap(results: StudyResults, title: str) -> Figure | None:
    table = knowing(results)
    rows = {
        "describes the whole board": ("p_acc", COLOURS[0]),
        "knows a move when asked\nwhat moves would do": ("knows", COLOURS[0]),
        "makes a move that works": ("success", COLOURS[1]),
        "a random player": ("random", GREY),
    }
    if all(math.isnan(table[game]["success"].mean) for game in GAMES):
        return None
    figure = canvas(
        10,
        2.5,
        title,
        "Share of held-out states, greedy answers of the untrained embedded model; 95% intervals.",
    )
    for axes, game in zip(figure.subplots(1, 4, sharey=True), GAMES, strict=True):
        for place, (key, colour) in enumerate(reversed(rows.values())):
            one = table[game][key]
            if not math.isnan(one.mean):
                axes.barh(place, one.mean, color=colour, alpha=0.85, height=0.62)
                axes.errorbar(
                    one.mean, place, xerr=_spread(one), fmt="none", ecolor="#1d2330", lw=1.2
                )
                axes.text(1.03, place, f"{one.mean:.0%}", va="center", fontsize=8, clip_on=False)
        axes.set_yticks(range(len(rows)), list(reversed(rows)))
        axes.set_xlim(0, 1)
        axes.set_title(TITLES[game])
        _percent(axes, "x")
    return figure


def _draw_scores(results: StudyResults, title: str) -> Figure | None:
    rows = dict(scores(results))
    names = [name for name in rows if name not in ("random", "oracle")]
    if all(math.isnan(one.mean) for one in rows["random"].values()):
        return None
    note = (
        "Scores of whole games, sampled answers; means, 95% intervals. 0 = random play, 100 = "
        "the oracle. Dotted: the teacher."
    )
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
            axes.errorbar(
                (one.mean - low) * scale, place, xerr=bars, fmt="o", color=colour, ms=6, lw=1.6
            )
            if teacher:
                axes.axvline((one.mean - low) * scale, color=colour, lw=0.9, ls=":")
        axes.set_yticks(range(len(names)), list(reversed(names)))
        axes.set_title(TITLES[game])
        axes.axvline(0, color="#c4cad4", lw=0.8)
        axes.grid(axis="x", color=FAINT, lw=0.8)
        axes.set_xlabel("% of the way to the oracle")
    return figure


def _draw_training(results: StudyResults, title: str) -> Figure | None:
    note = (
        "Greedy answers. Thick: mean over training seeds; thin: each seed. Dotted: the teacher; "
        "grey: a random player."
    )
    figure = canvas(10, 4.6, title, note)
    any_line = False
    for column, (game, key) in enumerate(GAMES.items()):
        for row, (metric, label) in enumerate(
            (("success", "a move that works"), ("p_acc", "boards described exactly"))
        ):
            axes = figure.add_subplot(2, 4, 1 + column + 4 * row)
            for kind, name, colour in _KINDS:
                any_line |= _lines(
                    axes, *results.curve(f"{kind}-{key}", game, metric), colour, name
                )
            if metric == "success":
                for player, style in ((results.teacher, ":"), ("random", "-")):
                    mean = results.value("states", game, player, "success").mean
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


def _lines(
    axes: Axes,
    steps: NDArray[np.int64],
    table: NDArray[np.float64],
    colour: str,
    label: str,
    style: str = "-",
) -> bool:
    """A thin line for each seed and a thick one for their mean; whether there was anything to
    draw.
    """
    if not len(table):
        return False
    for line in table:
        axes.plot(steps, line, style, color=colour, lw=0.6, alpha=0.45)
    axes.plot(
        steps,
        np.nanmean(table, axis=0) if not np.isnan(table).all() else table[0],
        style,
        color=colour,
        lw=2,
        label=label,
    )
    return True


def _draw_bootstrapping(results: StudyResults, title: str) -> Figure | None:
    if not any(len(results.curve(f"{kind}-turned", TURNED, "success")[0]) for kind, _, _ in _KINDS):
        return None
    run = next(one for one in results.study.runs if one.endswith("-turned"))
    look = get_look(results.study.recipe(run, results.study.seeds[0]).tasks[0].look)
    note = (
        f"Shisen-Sho, tiles turned by up to {look.rotation:g} degrees. Solid: held-out states, "
        "greedy answers; dotted: training "
        "states, sampled answers (mean of ten steps). Thick: mean over seeds."
    )
    figure = canvas(7.5, 3.6, title, note)
    panels = figure.subplots(1, 2)
    quantities = (
        ("cells", "cells described", COLOURS[4]),
        ("p_acc", "P_acc: boards described exactly", COLOURS[0]),
        ("r_acc", "R_acc: success where they are", COLOURS[1]),
        ("success", "success", COLOURS[2]),
    )
    for axes, (kind, name, _) in zip(panels, _KINDS, strict=False):
        for metric, label, colour in quantities:
            _lines(axes, *results.curve(f"{kind}-turned", TURNED, metric), colour, label)
            sampled = results.training(
                f"{kind}-turned", "rewards/cells/mean" if metric == "cells" else metric
            )
            if sampled.size and sampled.shape[1] >= 10:
                smooth = np.array([_running(line) for line in sampled])
                axes.plot(
                    np.arange(smooth.shape[1]) + 5.5,
                    np.nanmean(smooth, axis=0),
                    ":",
                    color=colour,
                    lw=1.4,
                )
        axes.set_title(name)
        axes.set_ylim(-0.03, 1.03)
        axes.set_xlabel("GRPO steps")
        _percent(axes)
    handles, labels = max(
        (axes.get_legend_handles_labels() for axes in panels), key=lambda both: len(both[1])
    )
    panels[1].legend(handles, labels, loc="lower right", frameon=False)
    return figure


def _running(line: NDArray[np.float64], size: int = 10) -> NDArray[np.float64]:
    """Means of ``size`` neighbours, leaving out what is not known."""
    windows = np.lib.stride_tricks.sliding_window_view(line, size)
    return np.array([np.nanmean(one) if not np.isnan(one).all() else np.nan for one in windows])


def _draw_faults(results: StudyResults, title: str) -> Figure | None:
    note = (
        "Shares of held-out states, means over training seeds. Moves are replayed on the board "
        "as it was described."
    )
    columns = [
        *((key, game, TITLES[game]) for game, key in GAMES.items()),
        ("turned", TURNED, "Shisen-Sho, turned tiles"),
    ]
    trained = {run for run, _ in results.trained()}
    columns = [one for one in columns if trained & {f"g0-{one[0]}", f"g1-{one[0]}"}]
    if not columns:
        return None
    figure = canvas(12, 4.6, title, note)
    for row, kind in enumerate(("g0", "g1")):
        for column, (key, game, name) in enumerate(columns):
            axes = figure.add_subplot(2, len(columns), 1 + column + len(columns) * row)
            curves = {
                fault: results.curve(f"{kind}-{key}", game, f"fault_{fault.value}")
                for fault in Fault
            }
            steps = curves[Fault.NONE][0]
            if len(steps):
                shares = [np.nan_to_num(table).mean(axis=0) for _, table in curves.values()]
                axes.stackplot(
                    steps,
                    shares,
                    colors=[fault.colour for fault in Fault],
                    labels=[fault.meaning for fault in Fault],
                )
                axes.set_xlim(steps[0], steps[-1])
            axes.set_ylim(0, 1)
            _percent(axes)
            if row == 0:
                axes.set_title(name.replace(", ", ",\n"))
            else:
                axes.set_xlabel("GRPO steps")
            if column == 0:
                axes.set_ylabel("G0, from the base" if kind == "g0" else "G1, from the cold start")
    handles, labels = next(
        axes for axes in figure.axes if axes.collections
    ).get_legend_handles_labels()
    figure.legend(
        handles[::-1],
        [fill(label, 20) for label in labels[::-1]],
        loc="outside right upper",
        frameon=False,
    )
    return figure


def _draw_interventions(results: StudyResults, title: str) -> Figure | None:
    runs = {BASE: "before: the base", **INTERVENTIONS}
    runs = {
        run: label
        for run, label in runs.items()
        if results.table("turned", TURNED, run, "success").size
    }
    if not runs.keys() - {BASE}:
        return None
    note = (
        "G0 on Shisen-Sho with turned tiles, held-out states; means and 95% intervals. Dashed: "
        "the base, before RL."
    )
    figure = canvas(11, 0.9 + 0.34 * len(runs), title, note)
    columns = (
        ("turned", "p_acc", "boards described,\ngreedy"),
        ("turned-sampled", "p_acc", "boards described,\nsampled"),
        ("turned", "success", "a move that works,\ngreedy"),
        ("turned-sampled", "success", "a move that works,\nsampled"),
    )
    for axes, (evaluation, metric, label) in zip(
        figure.subplots(1, 4, sharey=True), columns, strict=True
    ):
        for place, run in enumerate(reversed(runs)):
            one = results.value(evaluation, TURNED, run, metric)
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


def _draw_difficulty(results: StudyResults, title: str) -> Figure | None:
    if not any(evaluation.startswith("difficulty") for evaluation, _ in results.evaluated):
        return None
    note = (
        "Held-out states of each game, greedy answers, one model a game. Solid: success; dotted: "
        "boards described exactly. The models were trained at the leftmost point alone, and on "
        "boards of 4 x 4; turned: G1 trained on turned tiles."
    )
    figure = canvas(11, 6.2, title, note)
    grid = figure.subplots(len(GAMES), len(DIALS), sharey=True)
    for row, (game, key) in enumerate(GAMES.items()):
        players = [
            ("base", BASE, GREY),
            ("G0", f"g0-{key}", COLOURS[1]),
            ("G1", f"g1-{key}", COLOURS[0]),
        ]
        players += [("G1, turned", "g1-turned", COLOURS[3])] if game == TURNED else []
        for column, dial in enumerate(DIALS):
            axes = grid[row][column]
            places = results.along(f"difficulty-{key}", game, dial)
            for label, player, colour in players:
                for metric, style in (("success", "-"), ("p_acc", ":")):
                    ys = [
                        results.value(f"difficulty-{key}", task, player, metric).mean
                        for task in places.values()
                    ]
                    if not all(map(math.isnan, ys)):
                        named = label if metric == "success" else None
                        axes.plot(
                            list(places),
                            ys,
                            style,
                            color=colour,
                            marker="o",
                            ms=2.5,
                            lw=1.3,
                            label=named,
                        )
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
