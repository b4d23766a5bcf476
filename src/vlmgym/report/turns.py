"""Turns side by side: one state, the answers of several players, and what each got wrong."""

from __future__ import annotations

import base64
import io
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from vlmgym.core import NO_ACTION, Game, State, VlmGymError
from vlmgym.dialogue.judge import Fault
from vlmgym.episodes.records import EvaluationRun, Turn
from vlmgym.episodes.trace_looks import look_of
from vlmgym.render.frames import tile_boxes
from vlmgym.report.data import Data, is_given, label_of
from vlmgym.report.html import Html, number_text, tag
from vlmgym.report.replay import drawn, explain_move

CARDS = 12
"""Turns that are shown in full."""
SIDE_BY_SIDE = ("base", "g0", "g1")


@dataclass(frozen=True)
class _Card:
    game: str
    key: str  # the state
    players: tuple[str, ...]
    alike: int  # shared states with the same faults
    shared: int  # shared states


def _cards(data: Data) -> list[_Card]:
    """States to show: of those that all shown players answered, first where they differ; the games
    take turns.

    In a game, patterns of faults are taken from the most frequent on, one state each (the first
    played), and round again.
    """
    queues: list[list[_Card]] = []
    for game in data.games:
        found = {p: m for p, m in data.measured[game].items() if m.turns}
        able = [p for p in data.players if p in found and not is_given(found[p])] or [
            p for p in data.players if p in found
        ]
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
        queues.append(
            [
                _Card(game, o[-1], chosen, counts[patterns[o[-1]]], len(shared))
                for o in sorted(order)[:CARDS]
            ]
        )
    picked: list[_Card] = []
    for number in range(CARDS):
        picked += [q[number] for q in queues if number < len(q)]
    return sorted(picked[:CARDS], key=lambda c: data.games.index(c.game))


_CELL = re.compile(r"\((\d+), (\d+)\)")


@dataclass(frozen=True)
class _Picture:
    """A board as the player saw it, enlarged where it is small; ``missing`` says why there is only
    a grey one.
    """

    data: str
    height: int
    width: int
    boxes: np.ndarray[Any, Any]
    missing: str


def _picture(
    game: Game, state: State, run: EvaluationRun, photos: Sequence[str | Path]
) -> _Picture:
    look = None
    missing = ""
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
    Image.fromarray(frame).quantize(128, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE).save(
        buffer, "PNG", optimize=True
    )
    picture = base64.b64encode(buffer.getvalue()).decode()
    return _Picture(picture, frame.shape[0], frame.shape[1], boxes * scale, missing or problem)


def _board(game: Game, state: State, turn: Turn, picture: _Picture) -> tuple[Html, str]:
    """The picture with what the description got wrong drawn on it, and the count of right cells in
    words.
    """
    data = picture.data
    height = picture.height
    width = picture.width
    boxes = picture.boxes
    scene = game.scene(state)
    truth = scene.symbols[0]
    seen = np.array(turn.seen, np.int16)
    if seen.shape != truth.shape:
        seen = np.full(truth.shape, -1, np.int16)
    marks: list[Html] = [
        tag("image", href=f"data:image/png;base64,{data}", width=width, height=height)
    ]
    answer = game.encode(state.level, turn.action) if turn.action != NO_ACTION else ""
    for match in _CELL.finditer(answer):
        row, col = int(match[1]), int(match[2])
        if row < truth.shape[0] and col < truth.shape[1]:
            x0, y0, x1, y1 = (int(v) for v in boxes[row, col])
            around = {"width": x1 - x0 + 4, "height": y1 - y0 + 4, "rx": 9}
            marks.append(tag("rect", x=x0 - 2, y=y0 - 2, **around, class_="chosen"))
    for row, col in np.argwhere(seen != truth):
        x0, y0, x1, y1 = (int(v) for v in boxes[row, col])
        side = x1 - x0
        stated = int(seen[row, col]) >= 0
        said = (
            scene.names[seen[row, col]]
            if stated and seen[row, col] < len(scene.names)
            else "not stated"
        )
        tip = tag(
            "title", f"row {row}, column {col}: {scene.names[truth[row, col]]}, described as {said}"
        )
        frame = {"x": x0 + 2, "y": y0 + 2, "width": side - 4, "height": side - 4, "rx": 5}
        if not stated:
            marks.append(tag("rect", tip, **frame, class_="missing", fill="url(#hatch)"))
            continue
        words = said.split()
        size = min(0.24 * side, 1.5 * (side - 8) / max(len(w) for w in words))
        band = len(words) * size * 1.12 + 0.08 * side
        marks.append(tag("rect", **frame, class_="halo"))
        marks.append(tag("rect", tip, **frame, class_="wrong"))
        marks.append(
            tag(
                "rect",
                x=x0 + 2,
                y=f"{y1 - 2 - band:.1f}",
                width=side - 4,
                height=f"{band:.1f}",
                class_="band",
            )
        )
        for i, word in enumerate(words):
            y = y1 - 2 - band + 0.04 * side + size * (0.9 + 1.12 * i)
            marks.append(
                tag(
                    "text",
                    word,
                    x=(x0 + x1) / 2,
                    y=f"{y:.1f}",
                    font_size=f"{size:.1f}",
                    class_="said",
                )
            )
    right = int((seen == truth).sum())
    label = f"{game.name} board, {right} of {truth.size} cells described correctly"
    svg = tag(
        "svg", *marks, viewBox=f"0 0 {width} {height}", role="img", aria_label=label, class_="board"
    )
    return svg, f"{right} of {truth.size} cells right"


def _answer(
    data: Data, player: str, turn: Turn, game: Game, state: State, picture: _Picture
) -> Html:
    board, cells = _board(game, state, turn, picture)
    fault = Fault.of(turn.fault)
    text = fault.word if fault in (Fault.NONE, Fault.UNAVOIDABLE) else f"{fault.word} error"
    badge = tag("span", text, class_="badge", style=f"background:{fault.colour};color:{fault.ink}")
    move = explain_move(game, state, 0, turn.action, " – ")
    if turn.action == NO_ACTION:
        move = f"no move ({turn.problem.replace('_', ' ')})"
    chips = [
        tag("span", f"{key} {number_text(value, signed=key == 'game').removesuffix('.00')}")
        for key, value in turn.terms.items()
    ]
    return tag(
        "div",
        tag(
            "div",
            tag("b", label_of(player)),
            badge,
            class_="who",
            style=f"--c:{data.colours[player]}",
        ),
        board,
        tag("p", tag("b", "move "), move),
        tag("p", tag("b", "sees "), cells),
        tag("div", *chips, class_="chips"),
        tag("pre", turn.reply or "(empty reply)"),
        class_="answer",
    )


def turns(data: Data) -> list[Html]:
    """States with the answers of the players side by side."""
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
            return [tag("p", f"The turns cannot be drawn: {error}", class_="note")]
        picture = _picture(game, state, found[card.players[0]].run, data.photos)
        answers = [
            _answer(data, p, found[p].turns[card.key], game, state, picture) for p in card.players
        ]
        best = explain_move(game, state, 0, first.oracle_action, " – ")
        others = (
            f"{card.alike} of {card.shared} shared states have these faults"
            if len(card.players) > 1
            else ""
        )
        head = [
            tag("b", f"{number}. {card.game}"),
            tag("span", tag("b", "oracle "), best),
            tag("span", others, class_="soft"),
            tag("span", f"seed {first.seed}", class_="soft"),
        ]
        if picture.missing:
            head.append(
                tag("span", f"The picture cannot be drawn: {picture.missing}", class_="warn")
            )
        articles.append(
            tag(
                "article",
                tag("header", *head),
                tag("div", *answers, class_="answers"),
                class_="card",
            )
        )
    note = (
        "The same state, answered by each player. Red: described wrongly, as the tile named on the "
        "band. Hatched: not stated, or not readable. Blue: the two cells of the chosen move. After "
        "a move stands what it does, in the game's words (2048: the score of each line). Terms are "
        "unweighted. The cards are chosen by rule, not by hand and not at random: states where the "
        "players' faults differ, the most frequent combinations of each game first. So they show "
        "kinds of errors, not their rates. Pictures are drawn again from the states, as the "
        "(first) player saw them."
    )
    pattern = (
        '<svg width="0" height="0" style="position:absolute" aria-hidden="true"><defs><pattern '
        'id="hatch" width="10" height="10" patternUnits="userSpaceOnUse" '
        'patternTransform="rotate(45)"><rect width="10" height="10" fill="#fff" '
        'fill-opacity=".55"></rect><rect width="4" height="10" '
        'fill="#d3261f"></rect></pattern></defs></svg>'
    )
    return [tag("p", note, class_="note"), Html(pattern), *articles]
