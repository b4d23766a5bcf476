"""Line charts as inline SVG."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from vlmgym.report.html import Html, tag


@dataclass(frozen=True)
class Line:
    """A line of a chart."""

    label: str
    colour: str
    points: Sequence[tuple[float, float]]
    dashed: bool = False
    faint: Sequence[tuple[float, float]] = ()  # drawn thin behind the line
    dots: bool = False


def round_numbers(low: float, high: float, count: int = 5) -> list[float]:
    """Round numbers from at or below ``low`` to at or above ``high``, about ``count`` of them
    (``low < high``).
    """
    raw = (high - low) / count
    unit = 10.0 ** math.floor(math.log10(raw))
    step = next(m * unit for m in (1, 2, 5, 10) if m * unit >= raw * 0.999)
    first = math.floor(low / step + 1e-9)
    last = math.ceil(high / step - 1e-9)
    return [round(number * step, 10) for number in range(first, last + 1)]


def line_chart(
    title: str, lines: Sequence[Line], x_label: str, y_label: str, percent: bool = False
) -> Html | None:
    """A line chart; ``percent`` fixes the axis to 0 to 100 % of values from 0 to 1."""
    lines = [line for line in lines if line.points]
    if not lines:
        return None
    width = 380
    height = 250
    left = 50
    right = 10
    top = 10
    bottom = 40
    xs = [x for line in lines for x, _ in line.points]
    ys = [y for line in lines for _, y in [*line.points, *line.faint]]
    y_ticks = [0, 0.25, 0.5, 0.75, 1] if percent else round_numbers(min(ys) - 1e-6, max(ys) + 1e-6)
    x_low = min(xs)
    x_high = max(max(xs), x_low + 1)
    x_ticks = [tick for tick in round_numbers(x_low, x_high) if x_low <= tick <= x_high]

    def px(x: float) -> float:
        return left + (width - left - right) * (x - x_low) / (x_high - x_low)

    def py(y: float) -> float:
        return top + (height - top - bottom) * (1 - (y - y_ticks[0]) / (y_ticks[-1] - y_ticks[0]))

    def path(points: Sequence[tuple[float, float]]) -> str:
        return "M" + "L".join(f"{px(x):.1f},{py(y):.1f}" for x, y in points)

    drawing = []
    for y in y_ticks:
        drawing.append(
            tag(
                "line",
                x1=left,
                x2=width - right,
                y1=f"{py(y):.1f}",
                y2=f"{py(y):.1f}",
                class_="gridline",
            )
        )
        text = f"{100 * y:.0f}" if percent else f"{y:g}".replace("-", "−")
        drawing.append(tag("text", text, x=left - 7, y=f"{py(y) + 4:.1f}", text_anchor="end"))
    drawing += [
        tag(
            "text",
            f"{number:g}",
            x=f"{px(number):.1f}",
            y=height - bottom + 18,
            text_anchor="middle",
        )
        for number in x_ticks
    ]
    drawing.append(
        tag(
            "text",
            x_label,
            x=(left + width - right) / 2,
            y=height - 5,
            text_anchor="middle",
            class_="title",
        )
    )
    middle = (top + height - bottom) / 2
    turn = f"rotate(-90 13 {middle})"
    drawing.append(
        tag("text", y_label, x=13, y=middle, text_anchor="middle", transform=turn, class_="title")
    )
    for line in lines:
        look = {"stroke": line.colour, "fill": "none", "stroke_linejoin": "round"}
        if len(line.faint) > 1:
            drawing.append(
                tag("path", d=path(line.faint), stroke_width=1, stroke_opacity=0.28, **look)
            )
        if len(line.points) > 1:
            dash = {"stroke_dasharray": "5 4"} if line.dashed else {}
            drawing.append(
                tag(
                    "path",
                    d=path(line.points),
                    stroke_width=1.6 if line.dots else 2.4,
                    **look,
                    **dash,
                )
            )
        if line.dots or len(line.points) == 1:
            for x, y in line.points:
                tip = tag(
                    "title",
                    f"{line.label}, step {x:g}: {100 * y:.1f} %"
                    if percent
                    else (f"{line.label}, {x:g}: {y:.3g}"),
                )
                fill = "#fff" if line.dashed else line.colour
                dot = {"stroke": line.colour, "stroke_width": 1.6, "fill": fill}
                drawing.append(
                    tag("circle", tip, cx=f"{px(x):.1f}", cy=f"{py(y):.1f}", r=3.4, **dot)
                )
    legend = []
    for line in lines:
        style = f"border-top:3px {'dashed' if line.dashed else 'solid'} {line.colour}"
        legend.append(tag("span", tag("i", style=style), line.label))
    picture = tag("svg", *drawing, viewBox=f"0 0 {width} {height}", role="img", aria_label=title)
    return tag(
        "figure", tag("h4", title), tag("div", *legend, class_="legend"), picture, class_="panel"
    )
