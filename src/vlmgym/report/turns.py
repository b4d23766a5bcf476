"""Turns side by side: one state, the answers of several players, and what each got wrong."""

from __future__ import annotations

import base64
import io
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vlmgym.core import NO_ACTION, Game, State, VlmGymError
from vlmgym.dialogue.judge import Fault
from vlmgym.episodes.records import EvaluationRun, Turn
from vlmgym.episodes.trace_looks import look_of
from vlmgym.render.frames import tile_boxes
from vlmgym.report.contents import Contents, is_given, label_of
from vlmgym.report.html import Html, number_text, tag
from vlmgym.report.replay import drawn, explain_move

CARDS = 12
"""Turns that are shown in full."""
SIDE_BY_SIDE = ("base", "g0", "g1")
BOARD_SIDE = 320
"""Pixels to which the longer side of a smaller board is enlarged, in whole steps."""
NOTE = (
    "The same state, answered by each player. Red: described wrongly, as the tile named on the "
    "band. Hatched: not stated, or not readable. Blue: the two cells of the chosen move. After "
    "a move stands what it does, in the game's words (2048: the score of each line). Terms are "
    "unweighted. The cards are chosen by rule, not by hand and not at random: states where the "
    "players' faults differ, the most frequent combinations of each game first. So they show "
    "kinds of errors, not their rates. Pictures are drawn again from the states, as the "
    "(first) player saw them."
)
HATCHING = Html(
    '<svg width="0" height="0" style="position:absolute" aria-hidden="true"><defs><pattern '
    'id="hatch" width="10" height="10" patternUnits="userSpaceOnUse" '
    'patternTransform="rotate(45)"><rect width="10" height="10" fill="#fff" '
    'fill-opacity=".55"></rect><rect width="4" height="10" '
    'fill="#d3261f"></rect></pattern></defs></svg>'
)
"""The pattern of cells that are not stated."""
_CELL = re.compile(r"\((\d+), (\d+)\)")


def turns(contents: Contents) -> list[Html]:
    """States with the answers of the players side by side."""
    cards = _cards(contents)
    if not cards:
        return []
    try:
        boards = [_board(contents, card) for card in cards]
    except VlmGymError as error:
        return [tag("p", f"The turns cannot be drawn: {error}", class_="note")]
    articles = []
    for number, (card, board) in enumerate(zip(cards, boards, strict=True), 1):
        articles.append(_article(contents, card, number, board))
    return [tag("p", NOTE, class_="note"), HATCHING, *articles]


# ---- which states
@dataclass(frozen=True)
class _Card:
    game: str
    key: str  # the state
    players: tuple[str, ...]
    alike: int  # shared states with the same faults
    shared: int  # shared states


def _cards(contents: Contents) -> list[_Card]:
    """States to show: of those that all shown players answered, first where they differ; the games
    take turns.
    """
    queues = [_cards_of(contents, game) for game in contents.games]
    cards: list[_Card] = []
    for number in range(CARDS):
        cards += [queue[number] for queue in queues if number < len(queue)]
    return sorted(cards[:CARDS], key=lambda card: contents.games.index(card.game))


def _cards_of(contents: Contents, game: str) -> list[_Card]:
    """The states of a game, those to be shown first at the front.

    Patterns of faults are taken from the most frequent on, one state each (the first played), and
    round again.
    """
    measured = contents.measured[game]
    players = _shown_players(contents, game)
    if not players:
        return []
    answers = {player: measured[player].turns for player in players}
    keys = [key for key in answers[players[0]] if all(key in answers[name] for name in players)]
    if not keys:
        players = players[:1]
        keys = list(answers[players[0]])
    patterns = {key: tuple(answers[player][key].fault for player in players) for key in keys}
    counts = Counter(patterns.values())
    ranks = {pattern: rank for rank, (pattern, _) in enumerate(counts.most_common())}
    rounds: Counter[tuple[str, ...]] = Counter()
    order = []
    for position, key in enumerate(keys):
        pattern = patterns[key]
        all_alike = len(set(pattern)) == 1
        order.append((all_alike, rounds[pattern], ranks[pattern], position, key))
        rounds[pattern] += 1
    cards = []
    for *_, key in sorted(order)[:CARDS]:
        cards.append(_Card(game, key, players, counts[patterns[key]], len(keys)))
    return cards


def _shown_players(contents: Contents, game: str) -> tuple[str, ...]:
    """The players whose answers stand side by side, at most three."""
    measured = contents.measured[game]
    players = [name for name in contents.players if name in measured and measured[name].turns]
    trained = tuple(name for name in SIDE_BY_SIDE if name in players)
    if trained:
        return trained
    seeing = [name for name in players if not is_given(measured[name])]
    return tuple((seeing or players)[:3])


# ---- a state
def _article(contents: Contents, card: _Card, number: int, board: _Board) -> Html:
    """A state, and what each player answered."""
    answers_of = {player: contents.measured[card.game][player].turns for player in card.players}
    answers = []
    for player, turns in answers_of.items():
        answers.append(_answer(contents, player, turns[card.key], board))
    first = answers_of[card.players[0]][card.key]
    best = explain_move(board.game, board.state, 0, first.oracle_action, " – ")
    alike = ""
    if len(card.players) > 1:
        alike = f"{card.alike} of {card.shared} shared states have these faults"
    header = [
        tag("b", f"{number}. {card.game}"),
        tag("span", tag("b", "oracle "), best),
        tag("span", alike, class_="soft"),
        tag("span", f"seed {first.seed}", class_="soft"),
    ]
    if board.picture.missing:
        warning = f"The picture cannot be drawn: {board.picture.missing}"
        header.append(tag("span", warning, class_="warn"))
    body = tag("div", *answers, class_="answers")
    return tag("article", tag("header", *header), body, class_="card")


@dataclass(frozen=True)
class _Board:
    """The state of a card with its picture."""

    game: Game
    state: State  # one row
    picture: _Picture


def _board(contents: Contents, card: _Card) -> _Board:
    """The state of a card as its first player saw it."""
    evaluated = contents.measured[card.game][card.players[0]]
    game, state = evaluated.turns[card.key].load()
    return _Board(game, state, _picture(game, state, evaluated.run, contents.photos))


@dataclass(frozen=True)
class _Picture:
    """A board as the player saw it, enlarged where it is small; ``missing`` says why there is only
    a grey one.
    """

    png: str  # in base64
    height: int
    width: int
    boxes: NDArray[np.int64]  # (rows, columns, 4): left, top, right, bottom of each cell
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
    scale = max(1, BOARD_SIDE // max(frame.shape[:2]))
    frame = frame.repeat(scale, axis=0).repeat(scale, axis=1)
    image = Image.fromarray(frame)
    image = image.quantize(128, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    file = io.BytesIO()
    image.save(file, "PNG", optimize=True)
    png = base64.b64encode(file.getvalue()).decode()
    height, width = frame.shape[:2]
    return _Picture(png, height, width, boxes * scale, missing or problem)


# ---- an answer
def _answer(contents: Contents, player: str, turn: Turn, board: _Board) -> Html:
    """What a player answered: the marked picture, the move, the terms and the reply."""
    drawing, right_cells = _marked_board(board, turn)
    fault = Fault.of(turn.fault)
    style = f"background:{fault.colour};color:{fault.ink}"
    badge = tag("span", fault.phrase, class_="badge", style=style)
    move = explain_move(board.game, board.state, 0, turn.action, " – ")
    if turn.action == NO_ACTION:
        move = f"no move ({turn.problem.replace('_', ' ')})"
    chips = []
    for term, value in turn.terms.items():
        number = number_text(value, signed=term == "game").removesuffix(".00")
        chips.append(tag("span", f"{term} {number}"))
    name = tag("b", label_of(player))
    return tag(
        "div",
        tag("div", name, badge, class_="who", style=f"--c:{contents.colours[player]}"),
        drawing,
        tag("p", tag("b", "move "), move),
        tag("p", tag("b", "sees "), right_cells),
        tag("div", *chips, class_="chips"),
        tag("pre", turn.reply or "(empty reply)"),
        class_="answer",
    )


def _marked_board(board: _Board, turn: Turn) -> tuple[Html, str]:
    """The picture with what the description got wrong drawn on it, and the count of right cells in
    words.
    """
    picture = board.picture
    scene = board.game.scene(board.state)
    truth = scene.symbols[0]
    seen = np.array(turn.seen, np.int16)
    if seen.shape != truth.shape:
        seen = np.full(truth.shape, -1, np.int16)
    size = {"width": picture.width, "height": picture.height}
    marks = [tag("image", href=f"data:image/png;base64,{picture.png}", **size)]
    marks += _chosen_cells(board, turn, truth.shape)
    for row, column in np.argwhere(seen != truth):
        right_name = scene.names[truth[row, column]]
        symbol = int(seen[row, column])
        seen_name = scene.names[symbol] if 0 <= symbol < len(scene.names) else "not stated"
        tip = f"row {row}, column {column}: {right_name}, described as {seen_name}"
        box = _Box.of(picture.boxes[row, column])
        marks += _wrong_cell(box, seen_name, tip) if symbol >= 0 else [_missing_cell(box, tip)]
    right = f"{int((seen == truth).sum())} of {truth.size} cells"
    drawing = tag(
        "svg",
        *marks,
        viewBox=f"0 0 {picture.width} {picture.height}",
        role="img",
        aria_label=f"{board.game.name} board, {right} described correctly",
        class_="board",
    )
    return drawing, f"{right} right"


class _Box(NamedTuple):
    """The pixels of a cell."""

    left: int
    top: int
    right: int
    bottom: int

    @classmethod
    def of(cls, ends: NDArray[np.int64]) -> _Box:
        """From an array of four numbers."""
        return cls(*(int(end) for end in ends))

    @property
    def side(self) -> int:
        """Its width."""
        return self.right - self.left

    def frame(self) -> dict[str, int]:
        """A rounded square just inside of it."""
        side = self.side - 4
        return {"x": self.left + 2, "y": self.top + 2, "width": side, "height": side, "rx": 5}


def _chosen_cells(board: _Board, turn: Turn, shape: tuple[int, ...]) -> list[Html]:
    """Frames around the cells that the move names, on a board of this shape."""
    if turn.action == NO_ACTION:
        return []
    frames = []
    for match in _CELL.finditer(board.game.encode(board.state.level, turn.action)):
        row, column = int(match[1]), int(match[2])
        if row < shape[0] and column < shape[1]:
            box = _Box.of(board.picture.boxes[row, column])
            size = {"width": box.side + 4, "height": box.bottom - box.top + 4, "rx": 9}
            frames.append(tag("rect", x=box.left - 2, y=box.top - 2, **size, class_="chosen"))
    return frames


def _missing_cell(box: _Box, tip: str) -> Html:
    """The hatching of a cell that was not stated."""
    return tag("rect", tag("title", tip), **box.frame(), class_="missing", fill="url(#hatch)")


def _wrong_cell(box: _Box, name: str, tip: str) -> list[Html]:
    """A frame around a cell, and a band with what it was described as."""
    words = name.split()
    longest = max(len(word) for word in words)
    size = min(0.24 * box.side, 1.5 * (box.side - 8) / longest)
    height = len(words) * size * 1.12 + 0.08 * box.side
    top = box.bottom - 2 - height
    band = {
        "x": box.left + 2,
        "y": f"{top:.1f}",
        "width": box.side - 4,
        "height": f"{height:.1f}",
    }
    marks = [
        tag("rect", **box.frame(), class_="halo"),
        tag("rect", tag("title", tip), **box.frame(), class_="wrong"),
        tag("rect", **band, class_="band"),
    ]
    centre = (box.left + box.right) / 2
    font_size = f"{size:.1f}"
    for line, word in enumerate(words):
        y = f"{top + 0.04 * box.side + size * (0.9 + 1.12 * line):.1f}"
        marks.append(tag("text", word, x=centre, y=y, font_size=font_size, class_="said"))
    return marks
