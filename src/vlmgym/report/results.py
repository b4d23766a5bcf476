"""The results of each game: dots, tables, and whose replies were cut."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import numpy as np

from vlmgym.dialogue.judge import constant_cells
from vlmgym.episodes.records import Turn
from vlmgym.evals.estimates import NAN, Estimate
from vlmgym.evals.metrics import DESCRIBING, METRICS, shown_in
from vlmgym.evals.reading import Evaluated
from vlmgym.report.contents import Contents, is_given, label_of
from vlmgym.report.html import Html, interval_text, joined, listing, number_text, tag

SAMPLE = 200
"""Boards, at most, from which the chance level of a player's cells is computed."""
DEFINITIONS = (
    "Small: 95 % interval (bootstrap over episodes; the rule of three where all of them have "
    "one share). n: episodes. Game reward: mean over turns of +1 (the move did something) and "
    "−1 (it did not). Format: replies with the three blocks, once each, in order. P_acc: "
    "descriptions equal to the board, every cell. Cells right: share of cells described "
    "correctly; chance: what one tile for all cells would get on the same boards. Balanced: "
    "the same, each symbol on the board counting alike, rescaled so that one tile for all "
    "cells gets 0 and a right description 1. R_acc: success among turns with an exact "
    "description (its own n where smaller). Regret: oracle value of the best move minus that "
    "of the chosen one, over best minus worst; 0 is best, 1 is the worst legal move, an "
    "illegal one, or none."
)
"""What the columns of the tables mean."""


def results(contents: Contents) -> list[Html]:
    """Dots and a table for each game, and what the columns mean."""
    caption = "Dot: success, the share of turns whose move did something. Bar: 95 % interval. "
    if any("random" in measured for measured in contents.measured.values()):
        caption += "Dashed: chance, the random player. "
    if len(contents.players) > 1:
        caption += (
            "Players whose bars overlap may still differ: the paired differences below decide."
        )
    return [
        tag("div", *(_dot_rows(contents, game) for game in contents.games), class_="grid"),
        tag("p", caption, class_="note"),
        *(_results_table(contents, game) for game in contents.games),
        tag("p", DEFINITIONS + _who_was_given_the_board(contents), class_="note"),
    ]


def _who_was_given_the_board(contents: Contents) -> str:
    labels = [label_of(player) for player in contents.players if contents.given(player)]
    if not labels:
        return ""
    verb = "was" if len(labels) == 1 else "were"
    return (
        f" Given: {listing(labels)} {verb} handed the true board, so that the description says "
        "nothing of what was seen."
    )


def _setting_line(measured: Mapping[str, Evaluated]) -> str:
    """What was asked in a game, in words; with a warning if players were asked different things."""
    settings = []
    for evaluated in measured.values():
        if summary := evaluated.summary:
            settings.append({"task": summary["task"], "evaluation": summary["evaluation"]})
    if not settings:
        return ""
    task = settings[0]["task"]
    evaluation = settings[0]["evaluation"]
    start = "fresh games"
    if evaluation.get("start") == "walk":
        legal = "legal " if task.get("walk_legal") else ""
        moves = f"{task.get('walk_min')} to {task.get('walk_max')} random {legal}moves"
        start = f"states after {moves}"
    length = _length_in_words(evaluation.get("turns"))
    words = [
        f"level {task.get('level')}, look {task.get('look')}, prompt {task.get('prompt')}",
        f"{evaluation.get('episodes')} held-out {start}, {length}",
    ]
    if any(setting != settings[0] for setting in settings):
        words.append("warning: not all players were measured with these settings")
    return "; ".join(words) + "."


def _length_in_words(turns: int | None) -> str:
    if not turns:
        return "played to the end"
    return "answered once" if turns == 1 else f"played for up to {turns} turns"


def _dot_rows(contents: Contents, game: str) -> Html:
    """Success of each player: a dot and its interval on 0 to 100 %; chance as a dashed line through
    all rows.
    """
    measured = contents.measured[game]
    chance = measured["random"].metrics["success"].mean if "random" in measured else NAN
    rows = []
    for player in contents.players:
        if player in measured:
            success = measured[player].metrics["success"]
            rows.append(_dot_row(label_of(player), contents.colours[player], success, chance))
    ticks = [tag("i", f"{tick}", style=f"left:{tick}%") for tick in (0, 25, 50, 75, 100)]
    numbers = tag("span", *ticks, class_="ticks")
    axis = tag("div", tag("span"), numbers, tag("span", "%"), class_="row axis")
    return tag("div", tag("h4", game), *rows, axis, class_="panel dots")


def _dot_row(label: str, colour: str, success: Estimate, chance: float) -> Html:
    marks = []
    if math.isfinite(chance):
        marks.append(tag("i", class_="chance", style=f"left:{100 * chance:.2f}%"))
    if math.isfinite(success.low):
        width = 100 * (success.high - success.low)
        style = f"left:{100 * success.low:.2f}%;width:{width:.2f}%"
        marks.append(tag("i", class_="bar", style=style))
    if math.isfinite(success.mean):
        marks.append(tag("i", class_="dot", style=f"left:{100 * success.mean:.2f}%"))
    mean = f"{number_text(success.mean, True)} %"
    interval = f"interval {interval_text(success, True)} %"
    return tag(
        "div",
        tag("span", label, class_="name"),
        tag("span", *marks, class_="track"),
        tag("span", mean, class_="value"),
        class_="row",
        style=f"--c:{colour}",
        title=f"{label}: {mean}, {interval}, n = {success.n}",
    )


def _results_table(contents: Contents, game: str) -> Html:
    measured = contents.measured[game]
    names = _shown_of(measured)
    titles = ["player", "n", *(METRICS[name].title for name in names)]
    header = tag("tr", *(tag("th", title, scope="col") for title in titles))
    rows = []
    for player in contents.players:
        if player in measured:
            key = tag("i", class_="key", style=f"--c:{contents.colours[player]}")
            name = tag("th", key, label_of(player), scope="row")
            rows.append(tag("tr", name, *_cells(measured[player], names)))
    table = tag("table", tag("thead", header), tag("tbody", *rows), class_="numbers")
    return joined(
        [
            tag("h3", game),
            tag("p", _setting_line(measured), class_="note"),
            tag("div", table, class_="scroll", tabindex="0"),
            *_endings(measured),
        ]
    )


def _shown_of(measured: Mapping[str, Evaluated]) -> tuple[str, ...]:
    """The metrics that are shown of a game: those of its tag only where they were measured."""
    tagged = set()
    for evaluated in measured.values():
        for name, metric in METRICS.items():
            if metric.tag and name in evaluated.metrics and evaluated.metrics[name].n:
                tagged.add(metric.tag)
    return shown_in("report", tagged)


def _cells(evaluated: Evaluated, names: tuple[str, ...]) -> list[Html]:
    """The number of episodes, and each metric with its interval."""
    episodes = evaluated.metrics["success"].n
    cells = [tag("td", episodes)]
    for name in names:
        metric = METRICS[name]
        estimate = evaluated.metrics.get(name, Estimate.from_dict({}))
        value = tag("b", number_text(estimate.mean, metric.percent, metric.signed))
        if name in DESCRIBING and is_given(evaluated):
            cells.append(tag("td", value, tag("small", "given"), class_="given"))
            continue
        below = "not measured"
        if estimate.n:
            below = interval_text(estimate, metric.percent, metric.signed)
            below += _addition(name, estimate, evaluated)
        cells.append(tag("td", value, tag("small", below)))
    return cells


def _addition(name: str, estimate: Estimate, evaluated: Evaluated) -> str:
    """What stands after the interval of a metric: its own n, or the chance level."""
    if name == "r_acc" and estimate.n != evaluated.metrics["success"].n:
        return f", n {estimate.n}"
    if name == "cells":
        chance = chance_of_cells(evaluated.turns.values())
        if math.isfinite(chance):
            return f"; chance {number_text(chance, True)}"
    return ""


def _endings(measured: Mapping[str, Evaluated]) -> list[Html]:
    """Whose replies were cut or refused, and how often."""
    notes = []
    for key, words in (("cut", "were cut at the limit of tokens"), ("refused", "are refusals")):
        shares = []
        for player, evaluated in measured.items():
            replies = evaluated.replies
            if replies.get(key):
                shares.append(f"{label_of(player)} {replies[key]} of {replies['turns']}")
        if shares:
            text = f"replies that {words}: {', '.join(shares)}."
            notes.append(tag("p", tag("b", "Note: "), text, class_="note warn"))
    return notes


def chance_of_cells(turns: Iterable[Turn]) -> float:
    """The chance level of ``cells`` on the boards of some turns, evenly chosen."""
    turns = list(turns)
    boards = []
    for turn in turns[:: max(1, len(turns) // SAMPLE)]:
        game, state = turn.load()
        boards.append(game.scene(state).symbols)
    return constant_cells(np.concatenate(boards)) if boards else NAN
