"""Paired differences on shared starts."""

from __future__ import annotations

import math

from vlmgym.evals import stats
from vlmgym.report.charts import round_numbers
from vlmgym.report.data import Data, label_of, sign_of
from vlmgym.report.html import Html, interval_text, joined, number_text, p_text, tag


def differences(data: Data) -> list[Html]:
    """A row for each pair of players, game by game."""
    gaps = [pair.success for found in data.pairs.values() for pair in found]
    bounds = [100 * v for g in gaps for v in (g.low, g.high, g.mean) if math.isfinite(v)]
    scale = round_numbers(min([-10, *bounds]), max([10, *bounds]), 6)

    def at(value: float) -> float:
        return 100 * (100 * value - scale[0]) / (scale[-1] - scale[0])

    out = []
    chances = iter(stats.holm([pair.reward.p for found in data.pairs.values() for pair in found]))
    for game, pairs in data.pairs.items():
        rows = []
        for pair in pairs:
            gap = pair.success
            sign = sign_of(pair.success)
            marks = [tag("i", class_="zero", style=f"left:{at(0):.2f}%")]
            if math.isfinite(gap.low):
                width = at(gap.high) - at(gap.low)
                marks.append(
                    tag("i", class_="bar", style=f"left:{at(gap.low):.2f}%;width:{width:.2f}%")
                )
            marks.append(tag("i", class_="dot", style=f"left:{at(gap.mean):.2f}%"))
            colour = ("#7a8494", "#1f8a45", "#c92a2a")[sign]
            names = f"{label_of(pair.first)} − {label_of(pair.second)}"
            value = tag(
                "td",
                tag("b", number_text(gap.mean, True, True)),
                tag("small", interval_text(gap, True, True)),
            )
            reward = tag(
                "td",
                tag("b", number_text(pair.reward.mean, signed=True)),
                tag("small", interval_text(pair.reward, signed=True)),
            )
            track = tag(
                "td",
                tag("span", *marks, class_="track", style=f"--c:{colour};--n:{len(scale) - 1}"),
                class_="wide",
            )
            ends = [
                tag("td", p_text(pair.reward.p)),
                tag("td", p_text(float(next(chances)))),
                tag("td", pair.reward.n),
            ]
            rows.append(tag("tr", tag("th", names, scope="row"), track, value, reward, *ends))
        if not rows:
            continue
        ticks = [
            tag(
                "i",
                f"{t:+g}".replace("+0", "0").replace("-", "−"),
                style=f"left:{at(t / 100):.2f}%",
            )
            for t in scale
        ]
        axis = tag("th", tag("span", *ticks, class_="ticks"), class_="wide", scope="col")
        titles = ["success, points", "reward of an episode", "p", "p (Holm)", "n shared"]
        head = tag(
            "tr",
            tag("th", "first − second", scope="col"),
            axis,
            *(tag("th", t, scope="col") for t in titles),
        )
        table = tag("table", tag("thead", head), tag("tbody", *rows), class_="numbers pairs")
        out.append(joined([tag("h3", game), tag("div", table, class_="scroll", tabindex="0")]))
    if not out:
        return []
    note = (
        "Each row compares two players on exactly the same start states, state by state. Right of "
        "zero: the first is better. Green or red: the interval excludes zero and p < 0.05; grey: "
        "not decided. Success in percentage points; reward: the sum of +1 / −1 over an episode. 95 "
        "% intervals by bootstrap of the differences; p: two-sided sign-flip test on the reward; p "
        "(Holm): the same, adjusted for the number of rows of this page."
    )
    return [*out, tag("p", note, class_="note")]
