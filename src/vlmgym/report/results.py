"""The results of each game: dots, tables, and whose replies were cut."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import numpy as np

from vlmgym.dialogue.judge import constant_cells
from vlmgym.episodes.records import Turn
from vlmgym.evals.estimates import Estimate
from vlmgym.evals.metrics import DESCRIBING, METRICS, shown_in
from vlmgym.evals.reading import Evaluated
from vlmgym.report.data import Data, is_given, label_of
from vlmgym.report.html import Html, interval_text, joined, listing, number_text, tag

SAMPLE = 200
"""Boards, at most, from which the chance level of a player's cells is computed."""


def results(data: Data) -> list[Html]:
    """Dots and a table for each game, and what the columns mean."""
    caption = "Dot: success, the share of turns whose move did something. Bar: 95 % interval. "
    if any("random" in measured for measured in data.measured.values()):
        caption += "Dashed: chance, the random player. "
    if len(data.players) > 1:
        caption += (
            "Players whose bars overlap may still differ: the paired differences below decide."
        )
    definitions = (
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
    given = [label_of(player) for player in data.players if data.given(player)]
    if given:
        definitions += (
            f" Given: {listing(given)} {'was' if len(given) == 1 else 'were'} handed "
            "the true board, so that the "
        )
        definitions += "description says nothing of what was seen."
    return [
        tag("div", *(_dot_rows(data, g) for g in data.games), class_="grid"),
        tag("p", caption, class_="note"),
        *(_results_table(data, g) for g in data.games),
        tag("p", definitions, class_="note"),
    ]


def _setting_line(measured: Mapping[str, Evaluated]) -> str:
    """What was asked in a game, in words; with a warning if players were asked different things."""
    settings = [
        {key: evaluated.summary[key] for key in ("task", "evaluation")}
        for evaluated in measured.values()
        if evaluated.summary
    ]
    if not settings:
        return ""
    task = settings[0]["task"]
    how = settings[0]["evaluation"]
    legal = "legal " if task.get("walk_legal") else ""
    start = "fresh games"
    if how.get("start") == "walk":
        start = f"states after {task.get('walk_min')} to {task.get('walk_max')} random {legal}moves"
    turns = how.get("turns")
    length = (
        "played to the end"
        if not turns
        else "answered once"
        if turns == 1
        else (f"played for up to {turns} turns")
    )
    words = [f"level {task.get('level')}, look {task.get('look')}, prompt {task.get('prompt')}"]
    words.append(f"{how.get('episodes')} held-out {start}, {length}")
    if any(setting != settings[0] for setting in settings):
        words.append("warning: not all players were measured with these settings")
    return "; ".join(words) + "."


def _dot_rows(data: Data, game: str) -> Html:
    """Success of each player: a dot and its interval on 0 to 100 %; chance as a dashed line through
    all rows.
    """
    measured = data.measured[game]
    chance = measured["random"].metrics["success"].mean if "random" in measured else float("nan")
    rows = []
    for player in (player for player in data.players if player in measured):
        one = measured[player].metrics["success"]
        marks = []
        if math.isfinite(chance):
            marks.append(tag("i", class_="chance", style=f"left:{100 * chance:.2f}%"))
        if math.isfinite(one.low):
            marks.append(
                tag(
                    "i",
                    class_="bar",
                    style=f"left:{100 * one.low:.2f}%;width:{100 * (one.high - one.low):.2f}%",
                )
            )
        if math.isfinite(one.mean):
            marks.append(tag("i", class_="dot", style=f"left:{100 * one.mean:.2f}%"))
        title = (
            f"{label_of(player)}: {number_text(one.mean, True)} %, interval "
            f"{interval_text(one, True)} %, n = {one.n}"
        )
        value = tag("span", f"{number_text(one.mean, True)} %", class_="value")
        track = tag("span", *marks, class_="track")
        style = f"--c:{data.colours[player]}"
        rows.append(
            tag(
                "div",
                tag("span", label_of(player), class_="name"),
                track,
                value,
                class_="row",
                style=style,
                title=title,
            )
        )
    ticks = [tag("i", f"{tick}", style=f"left:{tick}%") for tick in (0, 25, 50, 75, 100)]
    axis = tag(
        "div", tag("span"), tag("span", *ticks, class_="ticks"), tag("span", "%"), class_="row axis"
    )
    return tag("div", tag("h4", game), *rows, axis, class_="panel dots")


def _results_table(data: Data, game: str) -> Html:
    measured = data.measured[game]
    head = tag(
        "tr",
        tag("th", "player", scope="col"),
        tag("th", "n", scope="col"),
        *(tag("th", METRICS[name].title, scope="col") for name in shown_in("report")),
    )
    rows = []
    for player in (player for player in data.players if player in measured):
        metrics = measured[player].metrics
        chance = chance_of_cells(measured[player].turns.values())
        cells = [tag("td", metrics["success"].n)]
        for key in shown_in("report"):
            percent = METRICS[key].percent
            signed = METRICS[key].signed
            one = metrics.get(key, Estimate.from_dict({}))
            given = key in DESCRIBING and is_given(measured[player])
            extra = (
                f", n {one.n}" if key == "r_acc" and one.n != metrics["success"].n and one.n else ""
            )
            if key == "cells" and math.isfinite(chance):
                extra = f"; chance {number_text(chance, True)}"
            under = (
                "given"
                if given
                else interval_text(one, percent, signed) + extra
                if one.n
                else "not measured"
            )
            value = tag("b", number_text(one.mean, percent, signed))
            cells.append(
                tag("td", value, tag("small", under), **({"class_": "given"} if given else {}))
            )
        name = tag(
            "th",
            tag("i", class_="key", style=f"--c:{data.colours[player]}"),
            label_of(player),
            scope="row",
        )
        rows.append(tag("tr", name, *cells))
    table = tag("table", tag("thead", head), tag("tbody", *rows), class_="numbers")
    return joined(
        [
            tag("h3", game),
            tag("p", _setting_line(measured), class_="note"),
            tag("div", table, class_="scroll", tabindex="0"),
            *_endings(measured),
        ]
    )


def _endings(measured: Mapping[str, Evaluated]) -> list[Html]:
    """Whose replies were cut or refused, and how often."""
    out = []
    for key, words in (("cut", "were cut at the limit of tokens"), ("refused", "are refusals")):
        hit = [
            (player, evaluated.replies[key], evaluated.replies["turns"])
            for player, evaluated in measured.items()
            if evaluated.replies.get(key)
        ]
        if hit:
            endings = ", ".join(
                f"{label_of(player)} {count} of {turns}" for player, count, turns in hit
            )
            out.append(
                tag(
                    "p", tag("b", "Note: "), f"replies that {words}: {endings}.", class_="note warn"
                )
            )
    return out


def chance_of_cells(turns: Iterable[Turn]) -> float:
    """The chance level of ``cells`` on the boards of some turns, evenly chosen."""
    turns = list(turns)
    kept = turns[:: max(1, len(turns) // SAMPLE)]
    boards = [game.scene(state).symbols for game, state in (turn.load() for turn in kept)]
    return constant_cells(np.concatenate(boards)) if boards else float("nan")
