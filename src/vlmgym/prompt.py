"""Text in, text out: the prompt of a state, and the reading of a reply.

A reply is ``<perception>...</perception><think>...</think><answer>...</answer>``. Reading is linear-time on any text and
never guesses: an unclear reply is *no action*, with the reason.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vlmgym.core import NO_ACTION, ConfigError, Game, Level, Scene, State

BLOCKS = ("perception", "think", "answer")
STYLES = ("full", "brief", "moves")
MODES = ("strict", "lenient")


class Problem(StrEnum):
    """Why a reply holds no action."""

    NONE = "none"
    MISSING_ANSWER = "missing_answer"
    UNCLOSED_ANSWER = "unclosed_answer"
    TWO_ANSWERS = "two_answers"
    EMPTY_ANSWER = "empty_answer"
    NOT_A_MOVE = "not_a_move"
    OUT_OF_RANGE = "out_of_range"
    NOT_ADJACENT = "not_adjacent"


# --------------------------------------------------------------------------------------------------------- prompt
def prompt_text(game: Game, level: Level, style: str = "full", board: Sequence[str] = (), image: bool = True) -> str:
    """The text that goes with the picture.

    Args:
        game: the game.
        level: its level.
        style: ``"full"`` (rules, actions and how to answer), ``"brief"`` (one line, for the embedded tiny model), or ``"moves"``
            (one line as well, which asks what the moves would do and not for a move).
        board: lines of a board that is told in words (see :func:`truth`); none by default.
        image: whether there is a picture.

    Raises:
        ConfigError: unknown style.
    """
    if style not in STYLES:
        raise ConfigError("prompt style", style, "one of " + ", ".join(STYLES))
    rows, cols = game.sample(level).symbols.shape[1:]
    told = "".join(f"\n{line}" for line in board)
    if style != "full":
        return (f"{game.name} {rows}x{cols}" if rows else game.name) + (" moves?" if style == "moves" else "") + told
    form = f"{rows} lines, one for each row from top to bottom, the {cols} cells of a row from left to right joined by |"
    seen = f"the board{' as you see it' if image else ''}: {form}"
    shown = f"The picture shows the {'board' if rows else 'screen'}. " if image else ""
    if board:
        shown += f"This is {'what is on it' if image else 'the board'}, as {form}:{told}\n"
    return (
        f"{game.rules(level)}\n"
        f"{shown}Reply in three blocks, in this order and nothing else:\n"
        f"<perception>{seen if rows else 'what you see'}</perception>\n"
        "<think>what the moves would do and which one you choose</think>\n"
        f"<answer>{game.answer_format(level)}</answer>"
    )


def board_lines(game: Game, state: State) -> list[str]:
    """The true board of one game in words, a line for each row.

    Raises:
        ConfigError: the game has no truth text.
    """
    text = truth(game, state)[0]
    if text == NO_TRUTH:
        raise ConfigError("observation", "text", f"image ({game.name} has no truth text)")
    return text.split("\n")


def messages(text: str) -> list[dict[str, Any]]:
    """One user turn with a picture and a text, in the conversational form of Transformers and TRL."""
    return [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": text}]}]


def next_text(board: Sequence[str] = ()) -> str:
    """What is said after a reply, where the past is told: the board comes as a picture, or as these lines."""
    now = "The board after your move:" if board else "The picture shows the board after your move."
    return "\n".join([now, *board, "Reply in the same form."])


def prefills(game: Game, state: State, style: str = "full") -> list[str]:
    """How replies begin whose description is given: the true one of every row of a batch, as a whole block."""
    return [f"<perception>{text}</perception>" for text in truth(game, state, style)]


def write_reply(perception: str, think: str, answer: str) -> str:
    """A reply in the canonical form."""
    return f"<perception>{perception}</perception><think>{think}</think><answer>{answer}</answer>"


# ---------------------------------------------------------------------------------------------------------- reply
@dataclass(frozen=True)
class Reply:
    """What a reply says."""

    text: str
    perception: str | None  # content of the one perception block; None if there is none, or more than one
    think: str | None
    answer: str | None  # content of the answer block that was read
    well_formed: bool  # the three blocks, once each, in order, none blank, nothing but white space around them
    action: int  # id, or NO_ACTION
    problem: Problem


_TAG = re.compile(r"<(/?)(perception|think|answer)>")
_TAG_LENIENT = re.compile(r"<(/?)(perception|think|answer)>", re.IGNORECASE | re.ASCII)
_DRESS = " \t\r\n*_`'\"$."


def parse(game: Game, level: Level, text: str, mode: str = "strict") -> Reply:
    """Read a reply.

    Args:
        game: the game that was asked about.
        level: its level (the board size bounds the coordinates).
        text: the whole reply.
        mode: ``"strict"``: exactly one answer block, whose whole content is a move. ``"lenient"``: tags in any case, the last
            complete answer block counts, one cut off by the end of the text is accepted, and quotes, emphasis marks
            or a final full stop around the move are ignored.

    Raises:
        ConfigError: unknown mode. Never raises on a text.
    """
    if mode not in MODES:
        raise ConfigError("parse mode", mode, "one of " + ", ".join(MODES))
    lenient = mode == "lenient"
    tags = [(m[1] == "/", m[2].lower(), m.start(), m.end()) for m in (_TAG_LENIENT if lenient else _TAG).finditer(text)]
    found: dict[str, list[str]] = {name: [] for name in BLOCKS}
    for left, right in pairwise(tags):
        if not left[0] and right[0] and left[1] == right[1]:
            found[left[1]].append(text[left[3] : right[2]])
    opened = {name: sum(not t[0] and t[1] == name for t in tags) for name in BLOCKS}

    shape = [(False, n) if k == 0 else (True, n) for n in BLOCKS for k in (0, 1)]
    well_formed = [t[:2] for t in tags] == shape
    if well_formed:
        outside = text[: tags[0][2]] + text[tags[1][3] : tags[2][2]] + text[tags[3][3] : tags[4][2]] + text[tags[5][3] :]
        well_formed = not outside.strip() and all(found[n][0].strip() for n in BLOCKS)

    single = {n: found[n][0] if opened[n] == 1 and len(found[n]) == 1 else None for n in BLOCKS}
    answer, problem = _pick_answer(text, tags, found["answer"], opened["answer"], lenient)
    action = NO_ACTION
    if answer is not None:
        decoded = game.decode(level, answer.strip(_DRESS) if lenient else answer)
        action, problem = decoded.action, Problem(decoded.problem or "none")
    return Reply(text, single["perception"], single["think"], answer, well_formed, action, problem)


def _pick_answer(
    text: str, tags: list[tuple[bool, str, int, int]], blocks: list[str], opened: int, lenient: bool
) -> tuple[str | None, Problem]:
    """The content of the answer block that counts, or the reason why there is none."""
    if lenient:
        cut_off = bool(tags) and tags[-1][:2] == (False, "answer")
        if cut_off:
            blocks = [*blocks, text[tags[-1][3] :]]
        blocks = blocks[-1:]
    elif opened > 1:
        return None, Problem.TWO_ANSWERS
    if not blocks:
        return None, Problem.UNCLOSED_ANSWER if opened else Problem.MISSING_ANSWER
    if not blocks[0].strip():
        return None, Problem.EMPTY_ANSWER
    return blocks[0], Problem.NONE


def patterns(reply: Reply, names: Sequence[str]) -> tuple[bool, bool]:
    """Whether the reasoning of a reply localises, and whether it enumerates (linear time on any text).

    Localising is naming a tile beside its cell, ``"(0, 1): red circle"`` or ``"red circle (0, 1)"``; enumerating is listing or
    counting things, ``"1. red circle"`` or ``"3 red circles"``. The description does not count: the prompt asks for its form.

    Args:
        reply: as read by :func:`parse`.
        names: of the symbols; the first is that of an empty cell and does not count.
    """
    text = reply.think or ""
    return _beside(tuple(names)).search(text) is not None, _ENUMERATION.search(text) is not None


@lru_cache(64)
def _beside(names: tuple[str, ...]) -> re.Pattern[str]:
    any_name = "|".join(re.escape(name) for name in sorted(names[1:], key=len, reverse=True)) or "(?!)"
    cell = r"\(\s{0,4}[0-9]{1,4}\s{0,4},\s{0,4}[0-9]{1,4}\s{0,4}\)"
    link = r"\s{0,4}(?:[:=]|is|at|-)?\s{0,4}(?:an?|the)?\s{0,4}"
    return re.compile(rf"\b(?:{any_name}){link}{cell}|{cell}{link}(?:{any_name})\b", re.IGNORECASE)


# ----------------------------------------------------------------------------------------------------- perception
UNKNOWN = -1
"""Symbol of a cell that a description does not state (or states twice, differently)."""
_EMPTY_WORDS = ("", "empty", "0", ".", "-", "_", "blank", "none")
_COORDINATE = re.compile(
    r"\(\s{0,4}([0-9]{1,4})\s{0,4},\s{0,4}([0-9]{1,4})\s{0,4}\)\s{0,4}(?:[:=]|is|-)?\s{0,4}"
    r"([A-Za-z0-9._]{1,20}(?: [A-Za-z0-9]{1,20})?)"
)
_ENUMERATION = re.compile(
    r"^[ \t]{0,8}(?:[0-9]{1,3}[.)]|[-*])[ \t]|\b[0-9]{1,3} (?:x )?[a-z]{1,12} [a-z]{1,12}s\b|\b[0-9]{1,3} x [a-z0-9]",
    re.MULTILINE,
)


@dataclass(frozen=True)
class Perception:
    """A description read back into a grid."""

    symbols: NDArray[np.int16]  # (rows, cols), UNKNOWN where nothing (or nothing clear) is said
    layout: str  # "rows", "coordinates" or "none"
    complete: bool  # all rows x cols cells are stated and nothing besides

    def cells(self, truth: NDArray[np.int16]) -> NDArray[np.bool_]:
        """``(rows, cols)``: which cells are right."""
        return self.symbols == truth

    def accuracy(self, truth: NDArray[np.int16]) -> float:
        """Share of cells that are right, 0 to 1."""
        return float(self.cells(truth).mean())

    def exact(self, truth: NDArray[np.int16]) -> bool:
        """Every cell is right and nothing else is claimed."""
        return self.complete and bool(self.cells(truth).all())


def read_perception(text: str | None, scene: Scene) -> Perception:
    """Read a description of a board: rows joined by ``|``, or ``(row, col): tile`` in any order.

    Blanks around cells, letter case, and the outer bars of a table do not matter. A cell that is stated twice with
    different tiles is unknown.

    Args:
        text: content of the perception block, or None.
        scene: gives the names of the symbols and the size of the board.
    """
    rows, cols = scene.symbols.shape[1:]
    lookup = {name.lower(): i for i, name in enumerate(scene.names)}
    for word in _EMPTY_WORDS:
        lookup.setdefault(word, 0)
    grid = np.full((rows, cols), UNKNOWN, np.int16)
    if text is None:
        return Perception(grid, "none", False)
    if "|" in text or (cols == 1 and "(" not in text):
        lines = [line for line in text.strip("\r\n").split("\n") if line.strip() and not _is_rule(line)]
        complete = len(lines) == rows
        for r, line in enumerate(lines[:rows]):
            cells = [" ".join(c.lower().split()) for c in line.split("|")]
            if len(cells) == cols + 2 and not cells[0] and not cells[-1]:
                cells = cells[1:-1]
            complete &= len(cells) == cols
            for c, cell in enumerate(cells[:cols]):
                grid[r, c] = lookup.get(cell, UNKNOWN)
        return Perception(grid, "rows", complete and bool((grid != UNKNOWN).all()))
    stated: dict[tuple[int, int], int] = {}
    complete = True
    for match in _COORDINATE.finditer(text):
        r, c, words = int(match[1]), int(match[2]), match[3].lower().rstrip(".")
        symbol = lookup.get(words, lookup.get(words.split(" ")[0], UNKNOWN))
        if r >= rows or c >= cols:
            complete = False
        elif stated.setdefault((r, c), symbol) != symbol:
            stated[r, c] = UNKNOWN
    for (r, c), symbol in stated.items():
        grid[r, c] = symbol
    complete &= bool((grid != UNKNOWN).all())
    return Perception(grid, "coordinates" if stated else "none", complete)


def _is_rule(line: str) -> bool:
    """A line of a Markdown table that only separates (``|---|---|``)."""
    return "---" in line and not line.strip("|-: \t\r")


NO_TRUTH = "the picture"
"""Stands in for the truth text of a game without symbols, so that replies stay well formed."""


def truth(game: Game, state: State, style: str = "full") -> list[str]:
    """The truth text of every row of a batch; :data:`NO_TRUTH` for a game that shows a finished picture.

    Prompts of the style ``"full"`` ask for rows, ``"red circle|blue star"``; the embedded tiny model, which the other styles are
    for, names each cell, ``"(0, 0) red circle (0, 1) blue star"``. Both are read alike.
    """
    scene = game.scene(state)
    if style == "full" or not scene.symbols.size:
        return [text or NO_TRUTH for text in scene.texts()]
    _, rows, cols = scene.symbols.shape
    places = [(r, c) for r in range(rows) for c in range(cols)]
    return [" ".join(f"({r}, {c}) {scene.names[board[r, c]]}" for r, c in places) for board in scene.symbols]
