"""One static page from evaluations and training runs: results, paired differences, curves, faults, turns side by side.

The page is HTML, CSS and inline SVG, written here; it has no script, loads nothing, and opens by double click. All text
from models and files goes through :func:`_h`, which escapes it; the page's own policy forbids scripts and requests.
"""

from __future__ import annotations

import base64
import io
import json
import math
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import vlmgym
from vlmgym import stats
from vlmgym.analysis import Comparison, Evaluated, compare_two, read_evaluation
from vlmgym.core import NO_ACTION, ConfigError, Game, State, VlmGymError
from vlmgym.evaluate import places
from vlmgym.export import look_of
from vlmgym.files import read_json, shown, whole_text, write_atomically
from vlmgym.games import GAMES, known_game
from vlmgym.metrics import DESCRIBING, METRICS, shown_in
from vlmgym.render import tile_boxes
from vlmgym.replay import drawn, explain_move, replay_data, replay_section
from vlmgym.reward import Fault, constant_cells
from vlmgym.stats import Difference, Estimate, Interval, typeset
from vlmgym.trace import Run, Turn
from vlmgym.train.recipe import read_metrics

ORDER = ("random", "random-legal", "greedy", "base", "g0", "cold", "g1", "teacher", "search", "oracle")
"""Players and runs in the order of the page; others follow by name."""
PAIRS = (("g1", "teacher"), ("g1", "search"), ("g1", "base"), ("g1", "cold"), ("g1", "g0"), ("g0", "base"), ("cold", "base"))
"""Paired differences, first minus second; the first that was measured makes the headline. Without any of these: all pairs."""
MOST_PAIRS = 15
"""Pairs on a page whose players have other names; the leaderboard has all."""
CARDS = 12
"""Turns that are shown in full."""
SIDE_BY_SIDE = ("base", "g0", "g1")
LABELS = {"g0": "G0", "g1": "G1", "cold": "cold start", "search": "teacher without errors"}
NOISE = (
    "The errors of this teacher are random moves put in. A student sheds such errors by decoding greedily, without RL: "
    "compare with the cold start, and with the teacher without errors. The embedded model was pretrained on the teacher's "
    "search, and to guess when it is asked for a move."
)
"""What a comparison with the demo's teacher does not show."""
TRUE_BOARD = ("random", "random-legal", "greedy", "teacher", "search", "oracle")
"""Players of traces that do not say what they saw, who copy the true board into their description."""
SAMPLE = 200
"""Boards, at most, from which the chance level of a player's cells is computed."""
COLOURS = {
    "random": "#98a0ad",
    "random-legal": "#7d8696",
    "greedy": "#5f6878",
    "base": "#b7791f",
    "g0": "#2468d8",
    "cold": "#0d9488",
    "g1": "#c2255c",
    "teacher": "#2f8f46",
    "search": "#1f5f2f",
    "oracle": "#2b3240",
}
OTHER_COLOURS = ("#7c3aed", "#d9480f", "#0b7285", "#a61e4d", "#5c7a09", "#364fc7")


# -------------------------------------------------------------------------------------------------------- HTML and SVG
class _Html(str):
    """Text that is markup already; any other text is escaped on its way in."""

    __slots__ = ()


def _h(tag: str, *children: object, **attributes: object) -> _Html:
    """An element; ``class_`` stands for ``class``, ``stroke_width`` for ``stroke-width``. None is no child."""
    inside = "".join(c if isinstance(c, _Html) else escape(str(c)) for c in children if c is not None)
    given = "".join(f' {k.rstrip("_").replace("_", "-")}="{escape(str(v))}"' for k, v in attributes.items())
    return _Html(f"<{tag}{given}>{inside}</{tag}>")


def _join(parts: Iterable[str]) -> _Html:
    return _Html("".join(p if isinstance(p, _Html) else escape(p) for p in parts))


# ---------------------------------------------------------------------------------------------------------------- data
def _given(one: Evaluated) -> bool:
    """Whether the player was handed the true board, so that its description says nothing of its eyes."""
    told = one.how["observation"] != "image"
    return told or one.run.sees == "state" or (not one.run.identity and one.run.player in TRUE_BOARD)


@dataclass(frozen=True)
class _Pair:
    """First minus second on the starts that both played."""

    first: str
    second: str
    success: Comparison
    reward: Comparison


@dataclass
class _Data:
    players: list[str] = field(default_factory=list)
    games: list[str] = field(default_factory=list)
    measured: dict[str, dict[str, Evaluated]] = field(default_factory=dict)  # by game, then player
    pairs: dict[str, list[_Pair]] = field(default_factory=dict)
    runs: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    recipes: dict[str, str] = field(default_factory=dict)
    demo: dict[str, Any] = field(default_factory=dict)
    colours: dict[str, str] = field(default_factory=dict)
    order: list[tuple[str, str]] = field(default_factory=list)  # pairs of players that are compared
    evaluations: list[tuple[str, str, Path]] = field(default_factory=list)  # player, task, folder
    photos: Sequence[str | Path] = ()  # that may be opened, see vlmgym.export.look_of

    def given(self, player: str) -> bool:
        """Whether a player was handed the true board, in some game."""
        return any(_given(found[player]) for found in self.measured.values() if player in found)


def _chance(turns: Iterable[Turn]) -> float:
    """The chance level of ``cells`` on the boards of some turns, evenly chosen."""
    turns = list(turns)
    kept = turns[:: max(1, len(turns) // SAMPLE)]
    boards = [game.scene(state).symbols for game, state in (turn.load() for turn in kept)]
    return constant_cells(np.concatenate(boards)) if boards else float("nan")


def _load(folders: Sequence[Path], order: Sequence[str]) -> _Data:
    data = _Data()
    for found in places(folders):
        one = read_evaluation(found, keep_turns=True)
        if not one.summary and not one.values:
            continue
        if (found.folder / "trace.jsonl").exists():
            known_game(found.run.game)  # named as the trace names it, should it be unknown here
            data.evaluations.append((found.player, found.task, found.folder))
        data.measured.setdefault(found.task, {})[found.player] = one
    for path in sorted(path for folder in folders for path in folder.glob("*/metrics.jsonl")):
        try:
            lines = read_metrics(path)
        except ValueError as error:
            raise VlmGymError(f"{path}: not a metrics file ({error})") from error
        if lines:
            data.runs[path.parent.name] = lines
            recipe = path.parent / "recipe.json"
            if recipe.exists():
                data.recipes[path.parent.name] = recipe.read_text(encoding="utf-8")
    if not data.measured and not data.runs:
        raise VlmGymError(
            f"{', '.join(map(str, folders))}: nothing to report; expected eval/PLAYER/GAME/ with trace.jsonl and summary.json "
            "(from vlmgym eval), or RUN/metrics.jsonl (from vlmgym train)"
        )
    for folder in folders:
        if not folder.is_dir():
            raise ConfigError("folder", str(folder), "a folder that is there, of evaluations or training runs")
    for folder in folders:
        if (folder / "demo.json").exists():
            data.demo = read_json(folder / "demo.json")

    def place(name: str) -> tuple[int, str]:
        return (order.index(name) if name in order else len(order), name)

    known = list(GAMES)
    data.games = sorted(data.measured, key=lambda g: (known.index(g) if g in known else len(known), g))
    data.players = sorted({p for found in data.measured.values() for p in found}, key=place)
    data.runs = {k: data.runs[k] for k in sorted(data.runs, key=place)}
    names = [*data.players, *data.runs]
    others = [n for n in dict.fromkeys(names) if n not in COLOURS]
    data.colours = COLOURS | {n: OTHER_COLOURS[i % len(OTHER_COLOURS)] for i, n in enumerate(others)}
    known_pairs = [pair for pair in PAIRS if set(pair) <= set(data.players)]
    # what is measured first, what it is measured by second
    models = sorted(data.players, key=lambda p: (data.given(p), p in TRUE_BOARD))
    data.order = known_pairs or list(combinations(models, 2))[:MOST_PAIRS]
    for game in data.games:
        pairs = [_pair(data.measured[game], a, b) for a, b in data.order]
        data.pairs[game] = [p for p in pairs if p is not None]
    return data


def _pair(found: Mapping[str, Evaluated], first: str, second: str) -> _Pair | None:
    if first not in found or second not in found:
        return None
    success, reward = (compare_two(found[first], found[second], key) for key in ("success", "reward"))
    return _Pair(first, second, success, reward) if success.n else None


# ------------------------------------------------------------------------------------------------------------- numbers
def _label(player: str) -> str:
    return LABELS.get(player, player)


def _the(player: str) -> str:
    return f"the {_label(player)}" if player in ("teacher", "search", "oracle", "cold", "base") else _label(player)


def _number(value: float, percent: bool = False, signed: bool = False) -> str:
    return typeset(percent, signed)(value)


def _interval(one: Interval, percent: bool = False, signed: bool = False) -> str:
    return one.ends_text(typeset(percent, signed))


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _listing(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " and " + words[-1]


def _sign(one: Difference) -> int:
    """+1 or -1 if the interval lies on one side of zero and the test agrees (p < 0.05), else 0."""
    return (int(one.low > 0) - int(one.high < 0)) * int(one.p < 0.05)


# ------------------------------------------------------------------------------------------------------------- verdict
def _headline(data: _Data) -> list[_Html]:
    """The sentence on the first pair of players, and a tile with its numbers for each game."""
    chosen: dict[str, _Pair] = {}
    for names in data.order:
        chosen = {g: p for g, found in data.pairs.items() for p in found if (p.first, p.second) == names}
        if chosen:
            break
    if not data.games:
        return [_h("p", "Training curves only: no evaluation was found.", class_="verdict")]
    if not chosen:
        shown = [_label(p) for p in data.players]
        kind = "player" if len(shown) == 1 else "players"
        text = f"{len(shown)} {kind} ({_listing(shown)}) on {_listing(data.games)}; no pair to compare."
        return [_h("p", text, class_="verdict")]
    first, second = next((p.first, p.second) for p in chosen.values())
    signs = {g: _sign(p.success) for g, p in chosen.items()}
    parts, name = [], _the(second)
    for sign, words in ((1, "is above {} on"), (0, "cannot be told apart from {} on"), (-1, "is below {} on")):
        games = [g for g in chosen if signs[g] == sign]
        if games:
            parts.append(f"{words.format(name)} {_listing(games)}")
            name = "it"
    subject = _the(first)
    sentence = f"{subject[0].upper()}{subject[1:]} {_listing(parts)}."
    tiles = []
    for game, pair in chosen.items():
        found, gap = data.measured[game], pair.success
        style = ("even", "up", "down")[signs[game]]
        before, after = (_number(found[p].metrics["success"].mean, percent=True) for p in (second, first))
        tiles.append(
            _h(
                "div",
                _h("div", game, class_="game"),
                _h("div", f"{_number(gap.mean, True, True)}", _h("small", " points"), class_="big"),
                _h("div", f"95 % interval {_interval(gap, True, True)}"),
                _h("div", f"{_label(second)} {before} % → {_label(first)} {after} %", class_="soft"),
                class_=f"tile {style}",
            )
        )
    note = (
        "Success: the share of held-out turns whose move does something. Large: "
        f"{_label(first)} minus {_label(second)} on the same states, with the paired 95 % interval. "
        "“Above” and “below”: the interval excludes zero and p < 0.05 (paired sign-flip test)."
    )
    caution = [_h("p", NOISE, class_="note")] if data.demo and second == "teacher" else []
    return [
        _h("p", sentence, class_="verdict"),
        _h("div", *tiles, class_="tiles"),
        *caution,
        _h("p", note, class_="note"),
    ]


def _what_was_run(data: _Data) -> _Html | None:
    if not data.demo:
        return None
    rows = []
    for key, value in data.demo.items():
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        rows.append(_h("tr", _h("th", key, scope="row"), _h("td", text)))
    return _h("div", _h("table", *rows, class_="facts"), class_="scroll facts-box")


# ------------------------------------------------------------------------------------------------------------- results
def _setting_line(found: Mapping[str, Evaluated]) -> str:
    """What was asked in a game, in words; with a warning if players were asked different things."""
    settings = [{key: one.summary[key] for key in ("task", "evaluation")} for one in found.values() if one.summary]
    if not settings:
        return ""
    task, how = settings[0]["task"], settings[0]["evaluation"]
    legal = "legal " if task.get("walk_legal") else ""
    start = "fresh games"
    if how.get("start") == "walk":
        start = f"states after {task.get('walk_min')} to {task.get('walk_max')} random {legal}moves"
    turns = how.get("turns")
    length = "played to the end" if not turns else "answered once" if turns == 1 else f"played for up to {turns} turns"
    words = [f"level {task.get('level')}, look {task.get('look')}, prompt {task.get('prompt')}"]
    words.append(f"{how.get('episodes')} held-out {start}, {length}")
    if any(s != settings[0] for s in settings):
        words.append("warning: not all players were measured with these settings")
    return "; ".join(words) + "."


def _dot_rows(data: _Data, game: str) -> _Html:
    """Success of each player: a dot and its interval on 0 to 100 %; chance as a dashed line through all rows."""
    found = data.measured[game]
    chance = found["random"].metrics["success"].mean if "random" in found else float("nan")
    rows = []
    for player in (p for p in data.players if p in found):
        one = found[player].metrics["success"]
        marks = []
        if math.isfinite(chance):
            marks.append(_h("i", class_="chance", style=f"left:{100 * chance:.2f}%"))
        if math.isfinite(one.low):
            marks.append(_h("i", class_="bar", style=f"left:{100 * one.low:.2f}%;width:{100 * (one.high - one.low):.2f}%"))
        if math.isfinite(one.mean):
            marks.append(_h("i", class_="dot", style=f"left:{100 * one.mean:.2f}%"))
        title = f"{_label(player)}: {_number(one.mean, True)} %, interval {_interval(one, True)} %, n = {one.n}"
        value = _h("span", f"{_number(one.mean, True)} %", class_="value")
        track = _h("span", *marks, class_="track")
        style = f"--c:{data.colours[player]}"
        rows.append(_h("div", _h("span", _label(player), class_="name"), track, value, class_="row", style=style, title=title))
    ticks = [_h("i", f"{t}", style=f"left:{t}%") for t in (0, 25, 50, 75, 100)]
    axis = _h("div", _h("span"), _h("span", *ticks, class_="ticks"), _h("span", "%"), class_="row axis")
    return _h("div", _h("h4", game), *rows, axis, class_="panel dots")


def _results_table(data: _Data, game: str) -> _Html:
    found = data.measured[game]
    head = _h(
        "tr",
        _h("th", "player", scope="col"),
        _h("th", "n", scope="col"),
        *(_h("th", METRICS[name].title, scope="col") for name in shown_in("report")),
    )
    rows = []
    for player in (p for p in data.players if p in found):
        metrics, chance = found[player].metrics, _chance(found[player].turns.values())
        cells = [_h("td", metrics["success"].n)]
        for key in shown_in("report"):
            percent, signed = METRICS[key].percent, METRICS[key].signed
            one = metrics.get(key, Estimate.from_dict({}))
            given = key in DESCRIBING and _given(found[player])
            extra = f", n {one.n}" if key == "r_acc" and one.n != metrics["success"].n and one.n else ""
            if key == "cells" and math.isfinite(chance):
                extra = f"; chance {_number(chance, True)}"
            under = "given" if given else _interval(one, percent, signed) + extra if one.n else "not measured"
            value = _h("b", _number(one.mean, percent, signed))
            cells.append(_h("td", value, _h("small", under), **({"class_": "given"} if given else {})))
        name = _h("th", _h("i", class_="key", style=f"--c:{data.colours[player]}"), _label(player), scope="row")
        rows.append(_h("tr", name, *cells))
    table = _h("table", _h("thead", head), _h("tbody", *rows), class_="numbers")
    return _join(
        [
            _h("h3", game),
            _h("p", _setting_line(found), class_="note"),
            _h("div", table, class_="scroll", tabindex="0"),
            *_endings(found),
        ]
    )


def _endings(found: Mapping[str, Evaluated]) -> list[_Html]:
    """Whose replies were cut or refused, and how often."""
    out = []
    for key, words in (("cut", "were cut at the limit of tokens"), ("refused", "are refusals")):
        hit = [(p, one.replies[key], one.replies["turns"]) for p, one in found.items() if one.replies.get(key)]
        if hit:
            told = ", ".join(f"{_label(player)} {count} of {turns}" for player, count, turns in hit)
            out.append(_h("p", _h("b", "Note: "), f"replies that {words}: {told}.", class_="note warn"))
    return out


def _results(data: _Data) -> list[_Html]:
    caption = "Dot: success, the share of turns whose move did something. Bar: 95 % interval. "
    if any("random" in found for found in data.measured.values()):
        caption += "Dashed: chance, the random player. "
    if len(data.players) > 1:
        caption += "Players whose bars overlap may still differ: the paired differences below decide."
    definitions = (
        "Small: 95 % interval (bootstrap over episodes; the rule of three where all of them have one share). n: episodes. "
        "Game reward: mean over turns of +1 (the move did something) and −1 (it did not). Format: replies with the three "
        "blocks, once each, in order. P_acc: descriptions equal to the board, every cell. Cells right: share of cells "
        "described correctly; chance: what one tile for all cells would get on the same boards. Balanced: the same, each "
        "symbol on the board counting alike, rescaled so that one tile for all cells gets 0 and a right description 1. "
        "R_acc: success among turns with an exact description (its own n where smaller). Regret: "
        "oracle value of the best move minus that of the chosen one, over best minus worst; 0 is best, 1 is the worst "
        "legal move, an illegal one, or none."
    )
    given = [_label(p) for p in data.players if data.given(p)]
    if given:
        definitions += f" Given: {_listing(given)} {'was' if len(given) == 1 else 'were'} handed the true board, so that the "
        definitions += "description says nothing of what was seen."
    return [
        _h("div", *(_dot_rows(data, g) for g in data.games), class_="grid"),
        _h("p", caption, class_="note"),
        *(_results_table(data, g) for g in data.games),
        _h("p", definitions, class_="note"),
    ]


# --------------------------------------------------------------------------------------------------------- differences
def _differences(data: _Data) -> list[_Html]:
    gaps = [p.success for found in data.pairs.values() for p in found]
    bounds = [100 * v for g in gaps for v in (g.low, g.high, g.mean) if math.isfinite(v)]
    scale = _ticks(min([-10, *bounds]), max([10, *bounds]), 6)

    def at(value: float) -> float:
        return 100 * (100 * value - scale[0]) / (scale[-1] - scale[0])

    out = []
    chances = iter(stats.holm([p.reward.p for found in data.pairs.values() for p in found]))
    for game, pairs in data.pairs.items():
        rows = []
        for pair in pairs:
            gap, sign = pair.success, _sign(pair.success)
            marks = [_h("i", class_="zero", style=f"left:{at(0):.2f}%")]
            if math.isfinite(gap.low):
                width = at(gap.high) - at(gap.low)
                marks.append(_h("i", class_="bar", style=f"left:{at(gap.low):.2f}%;width:{width:.2f}%"))
            marks.append(_h("i", class_="dot", style=f"left:{at(gap.mean):.2f}%"))
            colour = ("#7a8494", "#1f8a45", "#c92a2a")[sign]
            names = f"{_label(pair.first)} − {_label(pair.second)}"
            value = _h("td", _h("b", _number(gap.mean, True, True)), _h("small", _interval(gap, True, True)))
            reward = _h("td", _h("b", _number(pair.reward.mean, signed=True)), _h("small", _interval(pair.reward, signed=True)))
            track = _h("td", _h("span", *marks, class_="track", style=f"--c:{colour};--n:{len(scale) - 1}"), class_="wide")
            ends = [_h("td", _p(pair.reward.p)), _h("td", _p(float(next(chances)))), _h("td", pair.reward.n)]
            rows.append(_h("tr", _h("th", names, scope="row"), track, value, reward, *ends))
        if not rows:
            continue
        ticks = [_h("i", f"{t:+g}".replace("+0", "0").replace("-", "−"), style=f"left:{at(t / 100):.2f}%") for t in scale]
        axis = _h("th", _h("span", *ticks, class_="ticks"), class_="wide", scope="col")
        titles = ["success, points", "reward of an episode", "p", "p (Holm)", "n shared"]
        head = _h("tr", _h("th", "first − second", scope="col"), axis, *(_h("th", t, scope="col") for t in titles))
        table = _h("table", _h("thead", head), _h("tbody", *rows), class_="numbers pairs")
        out.append(_join([_h("h3", game), _h("div", table, class_="scroll", tabindex="0")]))
    if not out:
        return []
    note = (
        "Each row compares two players on exactly the same start states, state by state. Right of zero: the first is "
        "better. Green or red: the interval excludes zero and p < 0.05; grey: not decided. Success in percentage points; "
        "reward: the sum of +1 / −1 over an episode. 95 % intervals by bootstrap of the differences; p: two-sided "
        "sign-flip test on the reward; p (Holm): the same, adjusted for the number of rows of this page."
    )
    return [*out, _h("p", note, class_="note")]


# -------------------------------------------------------------------------------------------------------------- curves
@dataclass(frozen=True)
class _Line:
    label: str
    colour: str
    points: Sequence[tuple[float, float]]
    dashed: bool = False
    faint: Sequence[tuple[float, float]] = ()  # drawn thin behind the line
    dots: bool = False


def _ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Round numbers from at or below ``low`` to at or above ``high``, about ``count`` of them (``low < high``)."""
    raw = (high - low) / count
    unit = 10.0 ** math.floor(math.log10(raw))
    step = next(m * unit for m in (1, 2, 5, 10) if m * unit >= raw * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(i * step, 10) for i in range(first, last + 1)]


def _chart(title: str, lines: Sequence[_Line], x_label: str, y_label: str, percent: bool = False) -> _Html | None:
    """A line chart; ``percent`` fixes the axis to 0 to 100 % of values from 0 to 1."""
    lines = [line for line in lines if line.points]
    if not lines:
        return None
    width, height, left, right, top, bottom = 380, 250, 50, 10, 10, 40
    xs = [x for line in lines for x, _ in line.points]
    ys = [y for line in lines for _, y in [*line.points, *line.faint]]
    y_ticks = [0, 0.25, 0.5, 0.75, 1] if percent else _ticks(min(ys) - 1e-6, max(ys) + 1e-6)
    x_low, x_high = min(xs), max(max(xs), min(xs) + 1)
    x_ticks = [t for t in _ticks(x_low, x_high) if x_low <= t <= x_high]

    def px(x: float) -> float:
        return left + (width - left - right) * (x - x_low) / (x_high - x_low)

    def py(y: float) -> float:
        return top + (height - top - bottom) * (1 - (y - y_ticks[0]) / (y_ticks[-1] - y_ticks[0]))

    def path(points: Sequence[tuple[float, float]]) -> str:
        return "M" + "L".join(f"{px(x):.1f},{py(y):.1f}" for x, y in points)

    parts = []
    for y in y_ticks:
        parts.append(_h("line", x1=left, x2=width - right, y1=f"{py(y):.1f}", y2=f"{py(y):.1f}", class_="gridline"))
        text = f"{100 * y:.0f}" if percent else f"{y:g}".replace("-", "−")
        parts.append(_h("text", text, x=left - 7, y=f"{py(y) + 4:.1f}", text_anchor="end"))
    parts += [_h("text", f"{x:g}", x=f"{px(x):.1f}", y=height - bottom + 18, text_anchor="middle") for x in x_ticks]
    parts.append(_h("text", x_label, x=(left + width - right) / 2, y=height - 5, text_anchor="middle", class_="title"))
    middle = (top + height - bottom) / 2
    turn = f"rotate(-90 13 {middle})"
    parts.append(_h("text", y_label, x=13, y=middle, text_anchor="middle", transform=turn, class_="title"))
    for line in lines:
        look = {"stroke": line.colour, "fill": "none", "stroke_linejoin": "round"}
        if len(line.faint) > 1:
            parts.append(_h("path", d=path(line.faint), stroke_width=1, stroke_opacity=0.28, **look))
        if len(line.points) > 1:
            dash = {"stroke_dasharray": "5 4"} if line.dashed else {}
            parts.append(_h("path", d=path(line.points), stroke_width=1.6 if line.dots else 2.4, **look, **dash))
        if line.dots or len(line.points) == 1:
            for x, y in line.points:
                tip = _h(
                    "title",
                    f"{line.label}, step {x:g}: {100 * y:.1f} %" if percent else f"{line.label}, {x:g}: {y:.3g}",
                )
                fill = "#fff" if line.dashed else line.colour
                dot = {"stroke": line.colour, "stroke_width": 1.6, "fill": fill}
                parts.append(_h("circle", tip, cx=f"{px(x):.1f}", cy=f"{py(y):.1f}", r=3.4, **dot))
    legend = []
    for line in lines:
        style = f"border-top:3px {'dashed' if line.dashed else 'solid'} {line.colour}"
        legend.append(_h("span", _h("i", style=style), line.label))
    picture = _h("svg", *parts, viewBox=f"0 0 {width} {height}", role="img", aria_label=title)
    return _h("figure", _h("h4", title), _h("div", *legend, class_="legend"), picture, class_="panel")


def _series(lines: Iterable[Mapping[str, Any]], key: str, stage: str = "grpo") -> list[tuple[float, float]]:
    """The finite values of ``key`` by step; a step that was logged twice keeps the later value."""
    found: dict[float, float] = {}
    for line in lines:
        value = line.get(key)
        if line.get("stage") == stage and isinstance(value, (int, float)) and math.isfinite(value):
            found[float(line["step"])] = float(value)
    return sorted(found.items())


def _smooth(points: Sequence[tuple[float, float]], window: int) -> list[tuple[float, float]]:
    """Centred mean over ``window`` points (odd); fewer at the ends."""
    half, ys = window // 2, [y for _, y in points]
    return [(x, float(np.mean(ys[max(0, i - half) : i + half + 1]))) for i, (x, _) in enumerate(points)]


def _training(data: _Data) -> list[_Html]:
    if not data.runs:
        return []
    length = max(len(_series(lines, "reward")) for lines in data.runs.values())
    window = max(1, length // 10) | 1

    def curve(run: str, key: str, label: str, dashed: bool = False, stage: str = "grpo") -> _Line:
        points = _series(data.runs[run], key, stage)
        return _Line(label, data.colours[run], _smooth(points, window), dashed, points if window > 1 else ())

    def both(get: Callable[[str, str, str, bool], _Line], prefix: str) -> list[_Line]:
        names = (("p_acc", "P_acc", False), ("r_acc", "R_acc", True))
        return [get(r, prefix + key, f"{_label(r)} {name}", dash) for r in data.runs for key, name, dash in names]

    def check(run: str, key: str, label: str, dashed: bool = False) -> _Line:
        return _Line(label, data.colours[run], _series(data.runs[run], key), dashed, (), True)

    step = "GRPO step"
    charts = [
        _chart("Reward while training", [curve(r, "reward", _label(r)) for r in data.runs], step, "mean reward of a reply"),
        _chart("P_acc and R_acc while training", both(curve, ""), step, "share of sampled replies, %", True),
        _chart(
            "Loss of the cold start",
            [curve(r, "loss", _label(r), stage="sft") for r in data.runs],
            "SFT step",
            "cross-entropy of a token, nats",
        ),
    ]
    keys = {k for lines in data.runs.values() for line in lines for k in line if k.startswith("check/")}
    names = {k.split("/")[1] for k in keys if k.count("/") == 2}
    known = list(GAMES)
    games = sorted(names, key=lambda g: (known.index(g) if g in known else len(known), g))
    for game in games:
        lines = [check(r, f"check/{game}/success", _label(r)) for r in data.runs]
        charts.append(_chart(f"{game}: held-out success", lines, step, "success, %", True))
    for game in games:
        charts.append(_chart(f"{game}: held-out P_acc and R_acc", both(check, f"check/{game}/"), step, "share, %", True))
    drawn = [c for c in charts if c is not None]
    if not drawn:
        return []
    smooth = f"Bold: centred mean of {window} steps; faint: every step. " if window > 1 else ""
    note = (
        f"{smooth}While training, replies are sampled on training states, over all games of the run; the reward is the "
        "weighted sum of its terms. P_acc (solid): descriptions equal to the board. R_acc (dashed): success among these. "
    )
    if games:
        note += "Held-out: greedy replies on held-out states, before the first step and at intervals; the states are few."
    out = [_h("div", *drawn, class_="grid"), _h("p", note, class_="note")]
    for run, text in data.recipes.items():
        out.append(_h("details", _h("summary", f"Recipe of {_label(run)}"), _h("pre", text)))
    return out


# -------------------------------------------------------------------------------------------------------------- faults
def _faults(data: _Data) -> list[_Html]:
    panels = []
    for game in data.games:
        found, rows = data.measured[game], []
        for player in (p for p in data.players if p in found):
            pieces = []
            for fault in Fault:
                share = found[player].metrics.get(f"fault_{fault.value}", Estimate.from_dict({})).mean
                if share > 0:
                    text = f"{100 * share:.0f}" if share >= 0.08 else ""
                    title = f"{_label(player)}, {fault.word}: {_number(share, True)} %"
                    style = f"width:{100 * share:.3f}%;background:{fault.colour};color:{fault.ink}"
                    pieces.append(_h("i", text, style=style, title=title))
            if pieces:
                rows.append(
                    _h(
                        "div",
                        _h("span", _label(player), class_="name"),
                        _h("span", *pieces, class_="stack"),
                        class_="row",
                    )
                )
        if rows:
            panels.append(_h("div", _h("h4", game), *rows, class_="panel stacks"))
    if not panels:
        return []
    legend = [
        _h("span", _h("i", class_="swatch", style=f"background:{fault.colour}"), _h("b", fault.word), f" {fault.meaning}")
        for fault in Fault
    ]
    note = (
        "Share of turns, %, by what description and move tell of a failure. A failed move is replayed on the board that the "
        "reply described: if it works there, the failure counts as perception; if it fails there too, as reasoning, or both "
        "where the description was wrong as well. Whether the reasoning has read the description, or looked at the picture "
        "again, is not tested: a move after a right description may still rest on a tile that was misread."
    )
    return [_h("div", *panels, class_="grid"), _h("div", *legend, class_="legend long"), _h("p", note, class_="note")]


# --------------------------------------------------------------------------------------------------------------- turns
@dataclass(frozen=True)
class _Card:
    game: str
    key: str  # the state
    players: tuple[str, ...]
    alike: int  # shared states with the same faults
    shared: int  # shared states


def _cards(data: _Data) -> list[_Card]:
    """States to show: of those that all shown players answered, first where they differ; the games take turns.

    In a game, patterns of faults are taken from the most frequent on, one state each (the first played), and round again.
    """
    queues: list[list[_Card]] = []
    for game in data.games:
        found = {p: m for p, m in data.measured[game].items() if m.turns}
        able = [p for p in data.players if p in found and not _given(found[p])] or [p for p in data.players if p in found]
        chosen = tuple(p for p in SIDE_BY_SIDE if p in found) or tuple(able[:3])
        if not chosen:
            continue
        shared = [s for s in found[chosen[0]].turns if all(s in found[p].turns for p in chosen)]
        if not shared:
            chosen = chosen[:1]
            shared = list(found[chosen[0]].turns)
        patterns = {s: tuple(found[p].turns[s].fault for p in chosen) for s in shared}
        counts = Counter(patterns.values())
        ranks = {p: i for i, (p, _) in enumerate(counts.most_common())}
        seen: Counter[tuple[str, ...]] = Counter()
        order = []
        for place, state in enumerate(shared):
            pattern = patterns[state]
            order.append((len(set(pattern)) == 1, seen[pattern], ranks[pattern], place, state))
            seen[pattern] += 1
        queues.append([_Card(game, o[-1], chosen, counts[patterns[o[-1]]], len(shared)) for o in sorted(order)[:CARDS]])
    picked: list[_Card] = []
    for number in range(CARDS):
        picked += [q[number] for q in queues if number < len(q)]
    return sorted(picked[:CARDS], key=lambda c: data.games.index(c.game))


_CELL = re.compile(r"\((\d+), (\d+)\)")


@dataclass(frozen=True)
class _Picture:
    """A board as the player saw it, enlarged where it is small; ``missing`` says why there is only a grey one."""

    data: str
    height: int
    width: int
    boxes: np.ndarray[Any, Any]
    missing: str


def _picture(game: Game, state: State, run: Run, photos: Sequence[str | Path]) -> _Picture:
    look, missing = None, ""
    try:
        look = look_of(run, photos)
    except VlmGymError as error:
        missing = str(error)
    frames, problem = drawn(game, state, look)
    frame = frames[0]
    boxes = tile_boxes(game, state.level, "clean" if look is None or problem else look)
    scale = max(1, 320 // max(frame.shape[:2]))
    frame = frame.repeat(scale, axis=0).repeat(scale, axis=1)
    buffer = io.BytesIO()
    Image.fromarray(frame).quantize(128, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE).save(buffer, "PNG", optimize=True)
    picture = base64.b64encode(buffer.getvalue()).decode()
    return _Picture(picture, frame.shape[0], frame.shape[1], boxes * scale, missing or problem)


def _board(game: Game, state: State, turn: Turn, picture: _Picture) -> tuple[_Html, str]:
    """The picture with what the description got wrong drawn on it, and the count of right cells in words."""
    data, height, width, boxes = picture.data, picture.height, picture.width, picture.boxes
    scene = game.scene(state)
    truth, seen = scene.symbols[0], np.array(turn.seen, np.int16)
    if seen.shape != truth.shape:
        seen = np.full(truth.shape, -1, np.int16)
    marks: list[_Html] = [_h("image", href=f"data:image/png;base64,{data}", width=width, height=height)]
    answer = game.encode(state.level, turn.action) if turn.action != NO_ACTION else ""
    for match in _CELL.finditer(answer):
        row, col = int(match[1]), int(match[2])
        if row < truth.shape[0] and col < truth.shape[1]:
            x0, y0, x1, y1 = (int(v) for v in boxes[row, col])
            around = {"width": x1 - x0 + 4, "height": y1 - y0 + 4, "rx": 9}
            marks.append(_h("rect", x=x0 - 2, y=y0 - 2, **around, class_="chosen"))
    for row, col in np.argwhere(seen != truth):
        x0, y0, x1, y1 = (int(v) for v in boxes[row, col])
        side, stated = x1 - x0, int(seen[row, col]) >= 0
        said = scene.names[seen[row, col]] if stated and seen[row, col] < len(scene.names) else "not stated"
        tip = _h("title", f"row {row}, column {col}: {scene.names[truth[row, col]]}, described as {said}")
        frame = {"x": x0 + 2, "y": y0 + 2, "width": side - 4, "height": side - 4, "rx": 5}
        if not stated:
            marks.append(_h("rect", tip, **frame, class_="missing", fill="url(#hatch)"))
            continue
        words = said.split()
        size = min(0.24 * side, 1.5 * (side - 8) / max(len(w) for w in words))
        band = len(words) * size * 1.12 + 0.08 * side
        marks.append(_h("rect", **frame, class_="halo"))
        marks.append(_h("rect", tip, **frame, class_="wrong"))
        marks.append(_h("rect", x=x0 + 2, y=f"{y1 - 2 - band:.1f}", width=side - 4, height=f"{band:.1f}", class_="band"))
        for i, word in enumerate(words):
            y = y1 - 2 - band + 0.04 * side + size * (0.9 + 1.12 * i)
            marks.append(_h("text", word, x=(x0 + x1) / 2, y=f"{y:.1f}", font_size=f"{size:.1f}", class_="said"))
    right = int((seen == truth).sum())
    label = f"{game.name} board, {right} of {truth.size} cells described correctly"
    svg = _h("svg", *marks, viewBox=f"0 0 {width} {height}", role="img", aria_label=label, class_="board")
    return svg, f"{right} of {truth.size} cells right"


def _answer(data: _Data, player: str, turn: Turn, game: Game, state: State, picture: _Picture) -> _Html:
    board, cells = _board(game, state, turn, picture)
    fault = Fault.of(turn.fault)
    text = fault.word if fault in (Fault.NONE, Fault.UNAVOIDABLE) else f"{fault.word} error"
    badge = _h("span", text, class_="badge", style=f"background:{fault.colour};color:{fault.ink}")
    move = explain_move(game, state, 0, turn.action, " – ")
    if turn.action == NO_ACTION:
        move = f"no move ({turn.problem.replace('_', ' ')})"
    chips = [_h("span", f"{key} {_number(value, signed=key == 'game').removesuffix('.00')}") for key, value in turn.terms.items()]
    return _h(
        "div",
        _h("div", _h("b", _label(player)), badge, class_="who", style=f"--c:{data.colours[player]}"),
        board,
        _h("p", _h("b", "move "), move),
        _h("p", _h("b", "sees "), cells),
        _h("div", *chips, class_="chips"),
        _h("pre", turn.reply or "(empty reply)"),
        class_="answer",
    )


def _turns(data: _Data) -> list[_Html]:
    cards = _cards(data)
    if not cards:
        return []
    articles = []
    for number, card in enumerate(cards, 1):
        found = data.measured[card.game]
        first = found[card.players[0]].turns[card.key]
        try:
            game, state = first.load()
        except VlmGymError as error:
            return [_h("p", f"The turns cannot be drawn: {error}", class_="note")]
        picture = _picture(game, state, found[card.players[0]].run, data.photos)
        answers = [_answer(data, p, found[p].turns[card.key], game, state, picture) for p in card.players]
        best = explain_move(game, state, 0, first.oracle_action, " – ")
        others = f"{card.alike} of {card.shared} shared states have these faults" if len(card.players) > 1 else ""
        head = [
            _h("b", f"{number}. {card.game}"),
            _h("span", _h("b", "oracle "), best),
            _h("span", others, class_="soft"),
            _h("span", f"seed {first.seed}", class_="soft"),
        ]
        if picture.missing:
            head.append(_h("span", f"The picture cannot be drawn: {picture.missing}", class_="warn"))
        articles.append(_h("article", _h("header", *head), _h("div", *answers, class_="answers"), class_="card"))
    note = (
        "The same state, answered by each player. Red: described wrongly, as the tile named on the band. Hatched: not "
        "stated, or not readable. Blue: the two cells of the chosen move. After a move stands what it does, in the game's "
        "words (2048: the score of each line). Terms are unweighted. The cards are chosen by rule, not by hand and not at "
        "random: states where the players' faults differ, the most frequent combinations of each game first. So they "
        "show kinds of errors, not their rates. Pictures are drawn again from the states, as the (first) player saw them."
    )
    pattern = (
        '<svg width="0" height="0" style="position:absolute" aria-hidden="true"><defs><pattern id="hatch" width="10" '
        'height="10" patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><rect width="10" height="10" '
        'fill="#fff" fill-opacity=".55"></rect><rect width="4" height="10" fill="#d3261f"></rect></pattern></defs></svg>'
    )
    return [_h("p", note, class_="note"), _Html(pattern), *articles]


# ---------------------------------------------------------------------------------------------------------------- page
_STYLE = """
:root{color-scheme:light;--ink:#1d2330;--soft:#5d6677;--line:#e1e5ec;--page:#f6f7f9;--card:#fff;--accent:#c2255c}
*{box-sizing:border-box}
html{scroll-behavior:smooth;-webkit-text-size-adjust:100%}
body{margin:0;background:var(--page);color:var(--ink);font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,Arial,
 sans-serif}
main{max-width:1240px;margin:0 auto;padding:28px 24px 64px}
h1{font-size:15px;font-weight:600;color:var(--soft);margin:0 0 6px}
h2{font-size:23px;margin:52px 0 12px;padding-top:12px;letter-spacing:-.01em}
h3{font-size:17px;margin:26px 0 4px}
h4{font-size:15px;margin:0 0 10px}
p{margin:0 0 10px}
small,.note,.soft{color:var(--soft)}
.warn{color:#9a3412}
.note{font-size:13.5px;max-width:96ch}
.verdict{font-size:30px;line-height:1.22;font-weight:650;letter-spacing:-.02em;max-width:46ch;margin:0 0 20px}
nav{display:flex;flex-wrap:wrap;gap:6px 18px;margin:22px 0 0;font-size:14px}
nav a{color:#2458b8;text-decoration:none}nav a:hover{text-decoration:underline}
.tiles,.grid{display:grid;gap:16px;margin:0 0 14px}
.tiles{grid-template-columns:repeat(auto-fit,minmax(min(100%,230px),1fr));max-width:960px}
.grid{grid-template-columns:repeat(auto-fit,minmax(min(100%,350px),1fr))}
.tile,.panel,.card,.scroll,details{background:var(--card);border:1px solid var(--line);border-radius:10px}
.tile{padding:14px 18px;border-top:4px solid #8b93a1;font-size:14px}
.tile.up{border-top-color:#1f8a45}.tile.down{border-top-color:#c92a2a}
.tile .game{font-weight:600}.tile .big{font-size:32px;font-weight:650;line-height:1.25;letter-spacing:-.02em}
.tile .big small{font-size:15px;font-weight:400;letter-spacing:0}
.panel{padding:16px 18px;margin:0;min-width:0}
.scroll{overflow-x:auto;margin:6px 0 12px}
.facts-box{margin-top:20px;max-width:960px}
table{border-collapse:separate;border-spacing:0;font-variant-numeric:tabular-nums}
th,td{padding:7px 12px;text-align:left;vertical-align:top;border-bottom:1px solid var(--line)}
tbody tr:last-child>*{border-bottom:0}
.facts{font-size:13.5px;width:100%}
.facts th{font-weight:500;color:var(--soft);white-space:nowrap;width:1%}.facts td{overflow-wrap:anywhere}
.facts tr:last-child>*{border-bottom:0}
.numbers{width:100%;font-size:14px}
.numbers th,.numbers td{white-space:nowrap}
.numbers thead th{font-size:12.5px;font-weight:500;color:var(--soft);vertical-align:bottom}
.numbers td,.numbers thead th:not(:first-child){text-align:right}
.numbers tbody th{font-weight:600;position:sticky;left:0;background:var(--card)}
.numbers td b{font-weight:600;display:block}.numbers td small{font-size:12px;display:block}
.numbers .given b{font-weight:400;color:var(--soft)}
.numbers .wide{width:38%;vertical-align:middle}
.pairs{table-layout:fixed;min-width:760px}.pairs th:first-child{width:17%}.pairs td:nth-last-child(-n+3){width:8%}
.pairs th:nth-last-child(-n+3){width:8%}
.key,.swatch{display:inline-block;width:10px;height:10px;border-radius:50%;background:var(--c);margin-right:8px}
.swatch{border-radius:3px;margin-right:6px}
.row{display:grid;grid-template-columns:86px 1fr 74px;align-items:center;font-size:14px}
.stacks .row{grid-template-columns:86px 1fr}
.row .name{white-space:nowrap;overflow:hidden;text-overflow:ellipsis;padding-right:8px}
.row .value{text-align:right;padding-left:8px;white-space:nowrap;font-variant-numeric:tabular-nums;font-weight:600}
.track{position:relative;display:block;height:28px;
 background:repeating-linear-gradient(90deg,var(--line) 0 1px,transparent 1px
 calc(100%/var(--n,4)));border-right:1px solid var(--line)}
.track i,.ticks i{position:absolute}
.track .bar{top:11px;height:6px;min-width:2px;border-radius:3px;background:var(--c);opacity:.45}
.track .dot{top:9.5px;width:9px;height:9px;margin-left:-4.5px;border-radius:50%;background:var(--c)}
.track .chance{top:0;bottom:0;border-left:2px dashed #98a0ad;margin-left:-1px}
.track .zero{top:0;bottom:0;border-left:2px solid #8b93a1;margin-left:-1px}
.ticks{position:relative;display:block;height:18px;font-size:12px;color:var(--soft)}
.ticks i{font-style:normal;transform:translateX(-50%)}
.axis>span:last-child{text-align:right;font-size:12px;color:var(--soft)}
.pairs .ticks i:first-child{transform:none}.pairs .ticks i:last-child{transform:translateX(-100%)}
.stack{display:flex;height:22px;margin:4px 0;border-radius:5px;overflow:hidden;background:var(--line)}
.stack i{font:600 12px/22px system-ui,sans-serif;text-align:center;overflow:hidden}
.legend{display:flex;flex-wrap:wrap;gap:2px 13px;font-size:13px;margin:0 0 8px}
.legend span i{display:inline-block;width:22px;vertical-align:middle;margin-right:6px}
.legend span i.swatch{width:12px;height:12px}
.legend.long{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,350px),1fr));color:var(--soft)}
.legend.long b{color:var(--ink);font-weight:600}
svg{display:block;width:100%;height:auto}
figure.panel{display:flex;flex-direction:column}figure.panel svg{margin-top:auto}
svg text{font:12px system-ui,-apple-system,"Segoe UI",Roboto,Arial,sans-serif;fill:#4a5364}
svg .gridline{stroke:#e1e5ec}
details{padding:10px 16px;margin:8px 0;font-size:14px}summary{cursor:pointer}
pre{font:12.5px/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;
 white-space:pre-wrap;overflow-wrap:anywhere;margin:8px 0 0}
.card{padding:14px 18px 18px;margin:18px 0}
.card header{display:flex;flex-wrap:wrap;gap:2px 22px;margin-bottom:12px;font-size:14px}
.card header b:first-child{font-weight:650}.card header span b{font-weight:500;color:var(--soft)}
.card header .soft{font-size:13px}.card header .soft:nth-child(3){margin-left:auto}
.answers{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,260px),1fr));gap:22px}
.answer{min-width:0;font-size:14px}
.answer p{margin:6px 0 0}.answer p b{font-weight:500;color:var(--soft);display:inline-block;min-width:42px;margin-right:6px}
.who{display:flex;justify-content:space-between;align-items:center;border-top:3px solid var(--c);padding:7px 0}
.badge{font-size:12.5px;font-weight:600;padding:1px 10px;border-radius:10px}
.board{max-width:400px;border-radius:6px}
.chips{display:flex;flex-wrap:wrap;gap:4px;margin:8px 0 0}
.chips span{background:#eef1f5;border-radius:5px;padding:0 7px;font-size:12.5px;white-space:nowrap}
.answer pre{background:#f6f7f9;border:1px solid var(--line);border-radius:6px;padding:8px 10px;
 max-height:260px;overflow:auto}
svg .chosen{fill:none;stroke:#1c7ed6;stroke-width:5}
svg .wrong,svg .missing{stroke:#d3261f;stroke-width:4}svg .wrong,svg .halo{fill:none}
svg .halo{stroke:#fff;stroke-width:8}
svg .band{fill:#d3261f;stroke:#fff;stroke-width:1.5}
svg .said{fill:#fff;font-weight:700;text-anchor:middle}
footer{margin-top:48px;color:var(--soft);font-size:13px}
@media(max-width:640px){main{padding:18px 14px 40px}.verdict{font-size:23px}h2{font-size:20px;margin-top:36px}
 .panel,.card{padding:12px}.board{max-width:270px}
 .numbers th,.numbers td{padding:6px 9px}.card header .soft:nth-child(3){margin-left:0}}
"""
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def write_report(
    folder: Path | Sequence[Path],
    out: Path | None = None,
    order: Sequence[str] = ORDER,
    photos: Sequence[str | Path] = (),
    progress: bool = True,
) -> Path:
    """Write one self-contained HTML page about all evaluations and training runs in a folder, or in several.

    Args:
        folder: one or several. Each holds ``eval/PLAYER/TASK/`` (``trace.jsonl``, ``summary.json``; see
            :mod:`vlmgym.protocol`), or these files alone; ``RUN/metrics.jsonl`` (see :func:`vlmgym.train.recipe.train`);
            and ``demo.json`` (any mapping, shown as a table). What is missing is left out of the page.
        out: the file to write; by default ``report.html`` in the (first) folder.
        order: names of players and runs, in the order of the page; others follow by name.
        photos: paths of photographs that the boards showed; a path that a trace names is not opened by itself, see
            :func:`vlmgym.export.look_of`. Without them the page says in place of the pictures what is missing.
        progress: tell on standard error how far it is, where there are many turns, and which boards cannot be drawn.

    Returns:
        The path of the page.

    Raises:
        ConfigError: ``out`` is there and is no regular file.
        VlmGymError: the folder holds neither evaluations nor training runs, or a file in it is damaged.
    """
    folders = [Path(folder)] if isinstance(folder, str | Path) else [Path(one) for one in folder]
    out = folders[0] / "report.html" if out is None else Path(out)
    if out.exists() and not out.is_file():
        raise ConfigError("out", str(out), "a new file, or a regular one to replace")
    data = _load(folders, order)
    data.photos = photos
    replay, style, script = "", "", "'none'"
    if data.evaluations:
        pages = replay_data(data.evaluations, progress, photos)
        for task in pages["tasks"] if progress else ():
            if task["missing"]:
                sys.stderr.write(f"warning: the boards of {shown(task['name'])} are not drawn: {shown(task['missing'])}\n")
        replay, style, script = replay_section(pages)
    sections = [
        ("results", "Results on held-out states", _results(data) if data.games else []),
        ("differences", "Paired differences on shared states", _differences(data)),
        ("training", "Training", _training(data)),
        ("faults", "Where the errors come from", _faults(data)),
        ("turns", "Turns side by side", _turns(data)),
        ("episodes", "Every turn", [_Html(replay)] if replay else []),
    ]
    sections = [s for s in sections if s[2]]
    name = ", ".join(one.resolve().name for one in folders)
    title = f"vlmgym report: {name}"
    body = [
        _h("h1", title),
        *_headline(data),
        _what_was_run(data),
        _h("nav", *(_h("a", heading, href=f"#{key}") for key, heading, _ in sections)),
        *(_h("section", _h("h2", heading), *content, id=key) for key, heading, content in sections),
        _h("footer", f"Written by vlmgym {vlmgym.__version__} from the traces and metrics in the folder {name}."),
    ]
    head = [
        _Html('<meta charset="utf-8">'),
        _Html('<meta name="viewport" content="width=device-width, initial-scale=1">'),
        _Html(f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}; script-src {script}">'),
        _h("title", title),
        _h("style", _Html(_STYLE + style)),
    ]
    page = _h("html", _h("head", *head), _h("body", _h("main", *body)), lang="en")
    out.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(out, whole_text("<!doctype html>\n" + page + "\n"))
    return out
