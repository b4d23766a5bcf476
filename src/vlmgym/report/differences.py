"""Paired differences on shared starts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from vlmgym.evals import stats
from vlmgym.report.charts import round_numbers
from vlmgym.report.contents import Contents, Pair, label_of, sign_of
from vlmgym.report.html import Html, interval_text, joined, number_text, p_text, tag

TITLES = ("success, points", "reward of an episode", "p", "p (Holm)", "n shared")
"""Of the columns after the picture."""

COLOURS = {0: "#7a8494", 1: "#1f8a45", -1: "#c92a2a"}
"""By the sign of a difference that is decided; 0 = not decided."""

NOTE = (
    "Each row compares two players on exactly the same start states, state by state. Right of "
    "zero: the first is better. Green or red: the interval excludes zero and p < 0.05; grey: "
    "not decided. Success in percentage points; reward: the sum of +1 / −1 over an episode. 95 "
    "% intervals by bootstrap of the differences; p: two-sided sign-flip test on the reward; p "
    "(Holm): the same, adjusted for the number of rows of this page."
)


def differences(contents: Contents) -> list[Html]:
    """A row for each pair of players, game by game."""
    all_pairs = [pair for pairs in contents.pairs.values() for pair in pairs]
    axis = _Axis.of(all_pairs)
    adjusted = iter(stats.holm([pair.reward.p for pair in all_pairs]))
    tables = []
    for game, pairs in contents.pairs.items():
        rows = [_row(pair, float(next(adjusted)), axis) for pair in pairs]
        if rows:
            tables.append(_table(game, rows, axis))
    return [*tables, tag("p", NOTE, class_="note")] if tables else []


@dataclass(frozen=True)
class _Axis:
    """The axis that all rows share, in percentage points."""

    ticks: Sequence[float]

    @classmethod
    def of(cls, pairs: Sequence[Pair]) -> _Axis:
        """Wide enough for all differences and their intervals."""
        bounds = [-10.0, 10.0]
        for pair in pairs:
            gap = pair.success
            bounds += [100 * end for end in (gap.low, gap.high, gap.mean) if math.isfinite(end)]
        return cls(round_numbers(min(bounds), max(bounds), 6))

    def percent(self, share: float) -> float:
        """Where a difference of shares is, in percent of the axis."""
        low = self.ticks[0]
        return 100 * (100 * share - low) / (self.ticks[-1] - low)

    def header(self) -> Html:
        """The numbers above the rows."""
        numbers = []
        for tick in self.ticks:
            text = f"{tick:+g}".replace("+0", "0").replace("-", "−")
            numbers.append(tag("i", text, style=f"left:{self.percent(tick / 100):.2f}%"))
        return tag("th", tag("span", *numbers, class_="ticks"), class_="wide", scope="col")


def _row(pair: Pair, adjusted: float, axis: _Axis) -> Html:
    """Two players; ``adjusted`` is p after Holm."""
    names = f"{label_of(pair.first)} − {label_of(pair.second)}"
    success = tag(
        "td",
        tag("b", number_text(pair.success.mean, True, True)),
        tag("small", interval_text(pair.success, True, True)),
    )
    reward = tag(
        "td",
        tag("b", number_text(pair.reward.mean, signed=True)),
        tag("small", interval_text(pair.reward, signed=True)),
    )
    return tag(
        "tr",
        tag("th", names, scope="row"),
        _picture(pair, axis),
        success,
        reward,
        tag("td", p_text(pair.reward.p)),
        tag("td", p_text(adjusted)),
        tag("td", pair.reward.n),
    )


def _picture(pair: Pair, axis: _Axis) -> Html:
    """The difference of success as a dot with its interval, and zero as a line."""
    gap = pair.success
    marks = [tag("i", class_="zero", style=f"left:{axis.percent(0):.2f}%")]
    if math.isfinite(gap.low):
        low = axis.percent(gap.low)
        width = axis.percent(gap.high) - low
        marks.append(tag("i", class_="bar", style=f"left:{low:.2f}%;width:{width:.2f}%"))
    marks.append(tag("i", class_="dot", style=f"left:{axis.percent(gap.mean):.2f}%"))
    style = f"--c:{COLOURS[sign_of(gap)]};--n:{len(axis.ticks) - 1}"
    return tag("td", tag("span", *marks, class_="track", style=style), class_="wide")


def _table(game: str, rows: Sequence[Html], axis: _Axis) -> Html:
    """The rows of a game under a header."""
    titles = [tag("th", title, scope="col") for title in TITLES]
    header = tag("tr", tag("th", "first − second", scope="col"), axis.header(), *titles)
    table = tag("table", tag("thead", header), tag("tbody", *rows), class_="numbers pairs")
    return joined([tag("h3", game), tag("div", table, class_="scroll", tabindex="0")])
