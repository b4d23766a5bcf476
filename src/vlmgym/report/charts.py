"""Line charts as inline SVG."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from vlmgym.report.html import Html, tag

Point = tuple[float, float]
"""A pair of values, not of pixels."""

WIDTH = 380
HEIGHT = 250
LEFT = 50
RIGHT = WIDTH - 10
TOP = 10
BOTTOM = HEIGHT - 40
"""The edges of the plot within the picture, in pixels."""


@dataclass(frozen=True)
class Line:
    """A line of a chart."""

    label: str
    colour: str
    points: Sequence[Point]
    dashed: bool = False
    faint: Sequence[Point] = ()  # drawn thin behind the line
    dots: bool = False


def round_numbers(low: float, high: float, count: int = 5) -> list[float]:
    """Round numbers from at or below ``low`` to at or above ``high``, about ``count`` of them
    (``low < high``).
    """
    smallest_step = (high - low) / count
    unit = 10.0 ** math.floor(math.log10(smallest_step))
    steps = (factor * unit for factor in (1, 2, 5, 10))
    step = next(step for step in steps if step >= smallest_step * 0.999)
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
    plot = _Plot.of(lines, percent)
    drawing = plot.gridlines() + plot.columns() + _axis_titles(x_label, y_label)
    for line in lines:
        drawing += plot.line(line)
    picture = tag("svg", *drawing, viewBox=f"0 0 {WIDTH} {HEIGHT}", role="img", aria_label=title)
    heading = tag("h4", title)
    return tag("figure", heading, _legend(lines), picture, class_="panel")


@dataclass(frozen=True)
class _Plot:
    """The axes of a chart, and what is drawn on them."""

    x_low: float
    x_high: float
    y_ticks: Sequence[float]  # round numbers; the axis goes from the first to the last
    percent: bool

    @classmethod
    def of(cls, lines: Sequence[Line], percent: bool) -> _Plot:
        """Axes on which all lines have room."""
        steps = [step for line in lines for step, _ in line.points]
        values = [value for line in lines for _, value in [*line.points, *line.faint]]
        ticks: list[float] = [0, 0.25, 0.5, 0.75, 1]
        if not percent:
            ticks = round_numbers(min(values) - 1e-6, max(values) + 1e-6)
        x_low = min(steps)
        return cls(x_low, max(max(steps), x_low + 1), ticks, percent)

    def x_pixel(self, step: float) -> float:
        """Where a step is."""
        return LEFT + (RIGHT - LEFT) * (step - self.x_low) / (self.x_high - self.x_low)

    def y_pixel(self, value: float) -> float:
        """Where a value is."""
        low = self.y_ticks[0]
        high = self.y_ticks[-1]
        return TOP + (BOTTOM - TOP) * (1 - (value - low) / (high - low))

    def path(self, points: Sequence[Point]) -> str:
        """The ``d`` of a path through points."""
        pixels = [f"{self.x_pixel(step):.1f},{self.y_pixel(value):.1f}" for step, value in points]
        return "M" + "L".join(pixels)

    def gridlines(self) -> list[Html]:
        """A line and a number at each tick of the upright axis."""
        drawing = []
        for value in self.y_ticks:
            y = self.y_pixel(value)
            ends = {"x1": LEFT, "x2": RIGHT, "y1": f"{y:.1f}", "y2": f"{y:.1f}"}
            drawing.append(tag("line", **ends, class_="gridline"))
            text = f"{100 * value:.0f}" if self.percent else f"{value:g}".replace("-", "−")
            drawing.append(tag("text", text, x=LEFT - 7, y=f"{y + 4:.1f}", text_anchor="end"))
        return drawing

    def columns(self) -> list[Html]:
        """The numbers below the chart."""
        drawing = []
        for step in round_numbers(self.x_low, self.x_high):
            if self.x_low <= step <= self.x_high:
                x = f"{self.x_pixel(step):.1f}"
                text = tag("text", f"{step:g}", x=x, y=BOTTOM + 18, text_anchor="middle")
                drawing.append(text)
        return drawing

    def line(self, line: Line) -> list[Html]:
        """A line: thin behind, bold, and its dots."""
        drawing = []
        stroke = {"stroke": line.colour, "fill": "none", "stroke_linejoin": "round"}
        if len(line.faint) > 1:
            path = self.path(line.faint)
            drawing.append(tag("path", d=path, stroke_width=1, stroke_opacity=0.28, **stroke))
        if len(line.points) > 1:
            path = self.path(line.points)
            width = 1.6 if line.dots else 2.4
            dashes = {"stroke_dasharray": "5 4"} if line.dashed else {}
            drawing.append(tag("path", d=path, stroke_width=width, **stroke, **dashes))
        if line.dots or len(line.points) == 1:
            drawing += [self.dot(line, point) for point in line.points]
        return drawing

    def dot(self, line: Line, point: Point) -> Html:
        """A point of a line, with its numbers as a tip."""
        step, value = point
        tip = f"{line.label}, {step:g}: {value:.3g}"
        if self.percent:
            tip = f"{line.label}, step {step:g}: {100 * value:.1f} %"
        centre = {"cx": f"{self.x_pixel(step):.1f}", "cy": f"{self.y_pixel(value):.1f}"}
        fill = "#fff" if line.dashed else line.colour
        stroke = {"stroke": line.colour, "stroke_width": 1.6, "fill": fill}
        return tag("circle", tag("title", tip), **centre, r=3.4, **stroke)


def _axis_titles(x_label: str, y_label: str) -> list[Html]:
    centre = (LEFT + RIGHT) / 2
    middle = (TOP + BOTTOM) / 2
    turned = {"transform": f"rotate(-90 13 {middle})"}
    style = {"text_anchor": "middle", "class_": "title"}
    return [
        tag("text", x_label, x=centre, y=HEIGHT - 5, **style),
        tag("text", y_label, x=13, y=middle, text_anchor="middle", **turned, class_="title"),
    ]


def _legend(lines: Sequence[Line]) -> Html:
    labels = []
    for line in lines:
        style = f"border-top:3px {'dashed' if line.dashed else 'solid'} {line.colour}"
        labels.append(tag("span", tag("i", style=style), line.label))
    return tag("div", *labels, class_="legend")
