"""Text in, text out: the prompt of a state, and the reading of a reply.

A reply is ``<perception>...</perception><think>...</think><answer>...</answer>``; the names of the
blocks can be chosen. Reading is linear-time on any text and never guesses: an unclear reply is *no
action*, with the reason, and an unclear cell of a description is *not stated*.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vlmgym.core import NO_ACTION, ConfigError, Game, Level, Scene, Settings, State, setting

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


# ---- blocks
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,31}")
_MARKUP = (
    "base",
    "embed",
    "iframe",
    "link",
    "meta",
    "noscript",
    "object",
    "script",
    "style",
    "svg",
    "template",
    "title",
)


@dataclass(frozen=True)
class Blocks(Settings):
    """What the three blocks of a reply are called.

    Other names than the usual ones are for servers that take ``<think>`` out of a reply before it
    can be read.

    Raises:
        ConfigError: a name is empty, no name, one that pages would take for their own, or there
            twice.
    """

    perception: str = setting("perception", "name of the block that describes the board")
    think: str = setting("think", "name of the block that says what the moves would do")
    answer: str = setting("answer", "name of the block that holds the move")

    def __post_init__(self) -> None:
        """Check the names."""
        super().__post_init__()
        for field, name in asdict(self).items():
            if not _NAME.fullmatch(name) or name.lower() in _MARKUP:
                allowed = "1 to 32 letters, digits, _ and - (not - first) that are no tag of HTML"
                raise ConfigError(f"reply.{field}", name, allowed)
        if len({name.lower() for name in self.names}) < 3:
            raise ConfigError(
                "reply",
                ",".join(self.names),
                "three names that differ, also where case does not count",
            )

    @property
    def names(self) -> tuple[str, str, str]:
        """The names in the order of a reply."""
        return self.perception, self.think, self.answer

    @classmethod
    def of(cls, value: str | Mapping[str, Any] | Blocks) -> Blocks:
        """From a mapping (what it leaves out keeps its usual name), or from the text that
        :meth:`__str__` gives.

        Raises:
            ConfigError: anything else.
        """
        if isinstance(value, Blocks):
            return value
        if isinstance(value, Mapping):
            return cls.parse(value)
        if not isinstance(value, str):
            raise ConfigError("reply", value, _FORM)
        pairs = [pair.partition("=") for pair in value.split(",")] if value.strip() else []
        found = {key.strip(): name.strip() for key, _, name in pairs}
        if len(found) < len(pairs) or not all(middle for _, middle, _ in pairs):
            raise ConfigError("reply", value, _FORM)
        return cls.parse(found)

    @staticmethod
    def begin(name: str) -> str:
        """How the block of a name begins."""
        return f"<{name}>"

    @staticmethod
    def end(name: str) -> str:
        """How the block of a name ends."""
        return f"</{name}>"

    @classmethod
    def write(cls, name: str, text: str) -> str:
        """A whole block."""
        return f"{cls.begin(name)}{text}{cls.end(name)}"

    @classmethod
    def inside(cls, name: str, reply: str) -> str | None:
        """The text of the first whole block of a name as it stands in a reply; None if there is
        none. See also :func:`parse`.
        """
        _, begun, rest = reply.partition(cls.begin(name))
        text, ended, _ = rest.partition(cls.end(name))
        return text if begun and ended else None

    @classmethod
    def without(cls, name: str, reply: str) -> str:
        """A reply without the first whole block of a name."""
        text = cls.inside(name, reply)
        return reply if text is None else reply.replace(cls.write(name, text), "", 1)

    def __str__(self) -> str:
        """``"perception=...,think=...,answer=..."``; empty for the usual names."""
        return (
            ""
            if self == BLOCKS
            else ",".join(f"{field}={name}" for field, name in asdict(self).items())
        )


_FORM = "perception=NAME,think=NAME,answer=NAME (any of them), or a mapping of these"
BLOCKS = Blocks()
"""The usual names."""


# ---- prompt
def prompt_text(
    game: Game,
    level: Level,
    style: str = "full",
    board: Sequence[str] = (),
    image: bool = True,
    blocks: Blocks = BLOCKS,
) -> str:
    """The text that goes with the picture.

    Args:
        game: the game.
        level: its level.
        style: ``"full"`` (rules, actions and how to answer), ``"brief"`` (one line, for the
            embedded tiny model), or ``"moves"`` (one line as well, which asks what the moves would
            do and not for a move).
        board: lines of a board that is told in words (see :func:`truth`); none by default.
        image: whether there is a picture.
        blocks: what the blocks of the reply are to be called; the embedded tiny model, for which
            ``"brief"`` and ``"moves"`` are, is not told.

    Raises:
        ConfigError: unknown style.
    """
    if style not in STYLES:
        raise ConfigError("prompt style", style, "one of " + ", ".join(STYLES))
    rows, cols = game.sample(level).symbols.shape[1:]
    told = "".join(f"\n{line}" for line in board)
    if style != "full":
        return (
            (f"{game.name} {rows}x{cols}" if rows else game.name)
            + (" moves?" if style == "moves" else "")
            + told
        )
    form = (
        f"{rows} lines, one for each row from top to bottom, the {cols} cells of a row from "
        "left to right joined by |"
    )
    seen = f"the board{' as you see it' if image else ''}: {form}"
    shown = f"The picture shows the {'board' if rows else 'screen'}. " if image else ""
    if board:
        shown += f"This is {'what is on it' if image else 'the board'}, as {form}:{told}\n"
    return (
        f"{game.rules(level)}\n"
        f"{shown}Reply in three blocks, in this order and nothing else:\n"
        f"{blocks.write(blocks.perception, seen if rows else 'what you see')}\n"
        f"{blocks.write(blocks.think, 'what the moves would do and which one you choose')}\n"
        f"{blocks.write(blocks.answer, game.answer_format(level))}"
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
    """One user turn with a picture and a text, in the conversational form of Transformers and
    TRL.
    """
    return [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": text}]}]


def next_text(board: Sequence[str] = ()) -> str:
    """What is said after a reply, where the past is told: the board comes as a picture, or as these
    lines.
    """
    now = "The board after your move:" if board else "The picture shows the board after your move."
    return "\n".join([now, *board, "Reply in the same form."])


def prefills(game: Game, state: State, style: str = "full", blocks: Blocks = BLOCKS) -> list[str]:
    """How replies begin whose description is given: the true one of every row of a batch, as a
    whole block.
    """
    return [blocks.write(blocks.perception, text) for text in truth(game, state, style)]


def write_reply(perception: str, think: str, answer: str, blocks: Blocks = BLOCKS) -> str:
    """A reply in the canonical form."""
    said = zip(blocks.names, (perception, think, answer), strict=True)
    return "".join(blocks.write(name, text) for name, text in said)


# ---- reply
@dataclass(frozen=True)
class Reply:
    """What a reply says."""

    text: str
    # content of the one perception block; None if there is none, or more than one
    perception: str | None
    think: str | None
    answer: str | None  # content of the answer block that was read
    # the three blocks, once each, in order, none blank, nothing but white space around them
    well_formed: bool
    action: int  # id, or NO_ACTION
    problem: Problem


_DRESS = " \t\r\n*_`'\"$."


@lru_cache(64)
def _tags(names: tuple[str, ...], lenient: bool) -> re.Pattern[str]:
    return re.compile(
        rf"<(/?)({'|'.join(map(re.escape, names))})>", re.IGNORECASE | re.ASCII if lenient else 0
    )


def parse(
    game: Game, level: Level, text: str, mode: str = "strict", blocks: Blocks = BLOCKS
) -> Reply:
    """Read a reply.

    Args:
        game: the game that was asked about.
        level: its level (the board size bounds the coordinates).
        text: the whole reply.
        mode: ``"strict"``: exactly one answer block, whose whole content is a move. ``"lenient"``:
            tags in any case, the last complete answer block counts, one cut off by the end of the
            text is accepted, and quotes, emphasis marks or a final full stop around the move are
            ignored.
        blocks: what the blocks are called; others are text like any other.

    Raises:
        ConfigError: unknown mode. Never raises on a text.
    """
    if mode not in MODES:
        raise ConfigError("parse mode", mode, "one of " + ", ".join(MODES))
    lenient = mode == "lenient"
    names = tuple(name.lower() for name in blocks.names) if lenient else blocks.names
    marks = _tags(blocks.names, lenient).finditer(text)
    tags = [(m[1] == "/", m[2].lower() if lenient else m[2], m.start(), m.end()) for m in marks]
    found: dict[str, list[str]] = {name: [] for name in names}
    for left, right in pairwise(tags):
        if not left[0] and right[0] and left[1] == right[1]:
            found[left[1]].append(text[left[3] : right[2]])
    opened = {name: sum(not t[0] and t[1] == name for t in tags) for name in names}

    shape = [(closing, name) for name in names for closing in (False, True)]
    well_formed = [t[:2] for t in tags] == shape
    if well_formed:
        outside = (
            text[: tags[0][2]]
            + text[tags[1][3] : tags[2][2]]
            + text[tags[3][3] : tags[4][2]]
            + text[tags[5][3] :]
        )
        well_formed = not outside.strip() and all(found[name][0].strip() for name in names)

    perception, think, _ = (
        found[n][0] if opened[n] == 1 and len(found[n]) == 1 else None for n in names
    )
    last = names[2]
    answer, problem = _pick_answer(text, tags, last, found[last], opened[last], lenient)
    action = NO_ACTION
    if answer is not None:
        decoded = game.decode(level, answer.strip(_DRESS) if lenient else answer)
        action, problem = decoded.action, Problem(decoded.problem or "none")
    return Reply(text, perception, think, answer, well_formed, action, problem)


def _pick_answer(
    text: str,
    tags: list[tuple[bool, str, int, int]],
    name: str,
    blocks: list[str],
    opened: int,
    lenient: bool,
) -> tuple[str | None, Problem]:
    """The content of the answer block that counts, or the reason why there is none."""
    if lenient:
        cut_off = bool(tags) and tags[-1][:2] == (False, name)
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


def taken_apart(reply: str, reasoning: str, blocks: Blocks = BLOCKS) -> bool:
    """Whether a server seems to have cut the reply: it begins with the answer, and what stood
    before came as ``reasoning``.

    Servers with a parser for the reasoning of models take ``<think>``, and all that stands before
    its end, out of a reply: the description is lost with it. Blocks of other names
    (:class:`Blocks`) are left alone.
    """
    wanted = blocks.begin(blocks.answer).lower()
    return bool(reasoning.strip()) and reply.lstrip()[: len(wanted)].lower() == wanted


def patterns(reply: Reply, names: Sequence[str]) -> tuple[bool, bool]:
    """Whether the reasoning of a reply localises, and whether it enumerates (linear time on any
    text).

    Localising is naming a tile beside its cell, ``"(0, 1): red circle"`` or ``"red circle (0,
    1)"``; enumerating is listing or counting things, ``"1. red circle"`` or ``"3 red circles"``.
    The description does not count: the prompt asks for its form.

    Args:
        reply: as read by :func:`parse`.
        names: of the symbols; the first is that of an empty cell and does not count.
    """
    text = reply.think or ""
    return _beside(tuple(names)).search(text) is not None, _ENUMERATION.search(text) is not None


@lru_cache(64)
def _beside(names: tuple[str, ...]) -> re.Pattern[str]:
    any_name = (
        "|".join(re.escape(name) for name in sorted(names[1:], key=len, reverse=True)) or "(?!)"
    )
    cell = r"\(\s{0,4}[0-9]{1,4}\s{0,4},\s{0,4}[0-9]{1,4}\s{0,4}\)"
    link = r"\s{0,4}(?:[:=]|is|at|-)?\s{0,4}(?:an?|the)?\s{0,4}"
    return re.compile(rf"\b(?:{any_name}){link}{cell}|{cell}{link}(?:{any_name})\b", re.IGNORECASE)


# ---- perception
UNKNOWN = -1
"""Symbol of a cell that a description does not state (or states twice, differently)."""
_EMPTY_WORDS = ("", "empty", "0", ".", "-", "_", "blank", "none")
_ENUMERATION = re.compile(
    r"^[ \t]{0,8}(?:[0-9]{1,3}[.)]|[-*])[ \t]|\b[0-9]{1,3} (?:x )?[a-z]{1,12} "
    r"[a-z]{1,12}s\b|\b[0-9]{1,3} x [a-z0-9]",
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

    def balanced(self, truth: NDArray[np.int16]) -> float:
        """How well the board was seen, each symbol counting alike: 1 = all is right, 0 = as one
        tile in all cells.

        The mean over the ``k`` symbols on the board of the share of their cells that are right,
        minus ``1 / k``, over ``1 - 1 / k``; at least ``-1 / (k - 1)``, so -1. A board of one symbol
        shows nothing that could be seen: 0.
        """
        there = np.bincount(truth.ravel())
        right = np.bincount(truth[self.cells(truth)], minlength=len(there))
        kinds = np.count_nonzero(there)
        if kinds < 2:
            return 0.0
        shares = float((right[there > 0] / there[there > 0]).sum())
        return (shares - 1) / (kinds - 1)

    def exact(self, truth: NDArray[np.int16]) -> bool:
        """Every cell is right and nothing else is claimed."""
        return self.complete and bool(self.cells(truth).all())


def read_perception(text: str | None, scene: Scene, mode: str = "strict") -> Perception:
    """Read a description of a board: rows joined by ``|``, or ``(row, col): tile`` in any order.

    What is written around a board and says nothing about it does not matter: blanks, letter case,
    Markdown's code fences and tables (with numbers as heads of the columns and rows), bullets,
    headings that end with a colon. A cell holds one tile and nothing else: ``2?`` and ``red circle
    or blue star`` are no tile. Where it is unclear which row or cell is meant, that row or cell is
    unknown, so a description is never read one place further.

    Args:
        text: content of the perception block, or None.
        scene: gives the names of the symbols and the size of the board.
        mode: ``"lenient"``: quotes, emphasis marks and a full stop around a tile are ignored.

    Raises:
        ConfigError: unknown mode. Never raises on a text.
    """
    if mode not in MODES:
        raise ConfigError("parse mode", mode, "one of " + ", ".join(MODES))
    rows, cols = scene.symbols.shape[1:]
    grid = np.full((rows, cols), UNKNOWN, np.int16)
    if text is None or not grid.size:
        return Perception(grid, "none", False)
    lookup = {" ".join(name.lower().split()): i for i, name in enumerate(scene.names)}
    for word in _EMPTY_WORDS:
        lookup.setdefault(word, 0)

    def symbol(said: str) -> int:
        words = " ".join(said.lower().split())
        if mode == "lenient" and words not in lookup:
            words = words.strip(_DRESS) or "?"
        return lookup.get(words, UNKNOWN)

    lines = [_undressed(line) for line in text.translate(_CHARACTERS).splitlines()]
    lines = [line for line in lines if line]
    if any("|" in line for line in lines) or (cols == 1 and "(" not in text):
        return Perception(grid, "rows", _read_rows(lines, grid, symbol))
    stated, complete = _read_coordinates(lines, grid, symbol)
    return Perception(grid, "coordinates" if stated else "none", complete)


_CHARACTERS = str.maketrans(
    dict.fromkeys("\uff5c\u2502\u2503", "|") | dict.fromkeys("\ufeff\u200b\u200c\u200d\u2060")
)
"""Other characters that are drawn as a bar (full-width, and those of boxes), and those that are not
drawn at all.
"""
_QUOTED = re.compile(r"(?:>[ \t]?){1,4}")
_FENCE = re.compile(r"(?:`{3,}|~{3,})[^|(`~]{0,60}")
_FENCE_ENDS = re.compile(r"^(?:`{3,}|~{3,})|(?:`{3,}|~{3,})$")
_RULES = frozenset("-=|:+ \t") | frozenset(map(chr, range(0x2500, 0x2580)))
_ALIGNED = re.compile(":?-+:?")
_BULLET = re.compile(r"(?:[-*+\u2022]|[0-9]{1,3}[.)])\s+(?=\S)")
_LABEL = re.compile(
    r"(?:(?:row\s{0,4})?([0-9]{1,3})\s{0,4}[:.)]|row\s{1,4}([0-9]{1,3})\s)\s*(?=\S)", re.IGNORECASE
)
_ROW_NAME = re.compile(r"(?:row\s{0,4})?([0-9]{1,3})[:.)]?", re.IGNORECASE)
_COLUMN_NAME = re.compile(r"(?:c|col|column)?\s{0,4}([0-9]{1,3})", re.IGNORECASE)
_COORDINATE = re.compile(r"\(\s{0,4}([0-9]{1,4})\s{0,4},\s{0,4}([0-9]{1,4})\s{0,4}\)")
_LINK = re.compile(r"\s{0,4}(?:[:=-]|is\b)\s*")
_EDGES = ("", "-", "*", "+", "\u2022")
"""What may stand before the first bar of a row."""
_HEADING, _TILE = 80, 200
"""Characters of a heading, and of what is said of a cell, at most."""


def _undressed(line: str) -> str:
    """A line without the marks of a Markdown quotation or code fence; empty if it is nothing
    else.
    """
    line = line.strip()
    if quoted := _QUOTED.match(line):
        line = line[quoted.end() :].lstrip()
    return "" if _FENCE.fullmatch(line) else _FENCE_ENDS.sub("", line).strip()


def _is_heading(line: str) -> bool:
    """A line that only announces what follows: ``Board:``, ``## Board``."""
    return len(line) <= _HEADING and (line.rstrip("*_ ").endswith(":") or line.startswith("#"))


def _is_rule(line: str) -> bool:
    """A line of a table that only separates (``|---|---|``)."""
    if _RULES.issuperset(line) and any(bar * 3 in line for bar in "-=\u2500\u2501\u2550"):
        return True
    return (
        ":" in line
        and "|" in line
        and all(_ALIGNED.fullmatch(cell.strip()) for cell in line.strip("|").split("|"))
    )


def _count_up(numbers: Sequence[int]) -> bool:
    """Whether these are 0, 1, 2 ... or 1, 2, 3 ..."""
    return (
        bool(numbers)
        and numbers[0] in (0, 1)
        and list(numbers) == list(range(numbers[0], numbers[0] + len(numbers)))
    )


def _read_rows(lines: Sequence[str], grid: NDArray[np.int16], symbol: Callable[[str], int]) -> bool:
    """Fill a grid from lines with bars; returns whether all cells are stated and nothing besides.

    The size of the board tells which lines are its rows. Of too few rows those are taken that come
    before the first line which may be a row or not; of too many, none: which of them are meant is
    not said.
    """
    rows, cols = grid.shape
    # the numbers of rows before unclear lines
    found, doubts, rules, besides = list[str](), list[int](), list[int](), False
    for line in lines:
        rule, heading = _is_rule(line), _is_heading(line)
        if not rule and not heading and ("|" in line or (cols == 1 and symbol(line) != UNKNOWN)):
            found.append(line)
        elif rule or "|" in line or not heading:
            (rules if rule else doubts).append(len(found))
            besides |= not rule and not heading
    numbered = bool(found) and _names_columns(found[0], cols)
    tiles = bool(found) and all(symbol(cell) != UNKNOWN for cell in _inside(found[0])[-cols:])
    headed = numbered or (rules in ([1], [0, 1, len(found)]) and not tiles)
    # a rule of single dashes
    if len(found) == rows + 2 and numbered and not rules and set(found[1]) <= set("-| "):
        del found[1]
    if len(found) == rows + 1 and headed:
        found = found[1:]
    # a table with a row too few, or a first row like numbers
    elif len(found) == rows and headed and (rules or not tiles):
        return False
    elif len(found) < rows and (doubts or rules):
        found = [] if rules else found[: doubts[0]]
    if len(found) > rows:
        return False
    for r, cells in enumerate(_cells(found, cols, symbol)):
        grid[r] = [symbol(cell) for cell in cells] if cells else UNKNOWN
    return not besides and bool((grid != UNKNOWN).all())


def _inside(line: str) -> list[str]:
    """What stands between the bars of a line, up to the last thing that stands there."""
    return [cell.strip() for cell in line.rstrip("| \t").split("|")]


def _names_columns(line: str, cols: int) -> bool:
    """Whether a line numbers the columns, with or without a word in the corner."""
    cells = _inside(line)
    names = [int(name[1]) for cell in cells[-cols:] if (name := _COLUMN_NAME.fullmatch(cell))]
    corner = [cell for cell in cells[:-cols] if cell]
    return len(names) == cols and _count_up(names) and len(corner) <= 1


def _cells(found: Sequence[str], cols: int, symbol: Callable[[str], int]) -> list[list[str]]:
    """The cells of each row, without what is around them: outer bars, bullets, numbers of the rows.
    Empty: it is unclear.
    """
    plain, named, labels = list[list[str]](), list[tuple[int, list[str]]](), list[int]()
    for line in found:
        cells = [cell.strip() for cell in line.split("|", cols + 4)]
        first, last = cells[0] in _EDGES, not cells[-1]
        # as it stands, and without its outer bars
        inside = [cells, cells[first : len(cells) - last]]
        row = next((one for one in inside if len(one) == cols), [])
        if (
            row
            and symbol(row[0]) == UNKNOWN
            and (mark := _LABEL.match(row[0]) or _BULLET.match(row[0]))
        ):
            row = [row[0][mark.end() :], *row[1:]]
            labels += [int(number) for number in mark.groups() if number]
        plain.append(row)
        for one in inside:
            if len(one) == cols + 1 and (name := _ROW_NAME.fullmatch(one[0])):
                named.append((int(name[1]), one[1:]))
                break
    if labels and (len(labels) < len(found) or not _count_up(labels)):
        return []
    if len(named) == len(found) and _count_up([number for number, _ in named]):
        return [] if all(plain) else [cells for _, cells in named]
    return plain


def _read_coordinates(
    lines: Sequence[str], grid: NDArray[np.int16], symbol: Callable[[str], int]
) -> tuple[bool, bool]:
    """Fill a grid from ``(row, col): tile``; returns whether anything is stated, and whether all
    is, and nothing besides.
    """
    text = "\n".join(_without_marks(line) for line in lines if "(" in line or not _is_heading(line))
    places = list(_COORDINATE.finditer(text))
    before = text[: places[0].start()].strip() if places else ""
    # tiles before their cells: what follows a cell belongs to the next one
    if not places or _ends_with_tile(before, symbol):
        return False, False
    ends = [*(place.start() for place in places[1:]), len(text)]
    stated: dict[tuple[int, int], int] = {}
    for place, end in zip(places, ends, strict=True):
        cell, tile = (
            (int(place[1]), int(place[2])),
            _tile_of(text[place.end() : min(end, place.end() + _TILE)], symbol),
        )
        if stated.setdefault(cell, tile) != tile:
            stated[cell] = UNKNOWN
    rows, cols = grid.shape
    outside = {(r, c) for r, c in stated if r >= rows or c >= cols}
    if outside and all(r and c for r, c in stated):  # it counts from 1, it seems
        return False, False
    for cell in stated.keys() - outside:
        grid[cell] = stated[cell]
    return True, not outside and (not before or _is_heading(before)) and bool(
        (grid != UNKNOWN).all()
    )


def _without_marks(line: str) -> str:
    """A line of cells without its bullet or the number of its row."""
    mark = _LABEL.match(line) or _BULLET.match(line)
    return line[mark.end() :] if mark else line


def _tile_of(said: str, symbol: Callable[[str], int]) -> int:
    """The symbol of what stands between one cell and the next."""
    said = said.strip(" \t\n,;")
    if said and symbol(said) == UNKNOWN:
        link = _LINK.match(said)
        said = said[link.end() if link else 0 :].removesuffix(" and").rstrip(" \t\n,;.")
    return symbol(said) if said else UNKNOWN


def _ends_with_tile(text: str, symbol: Callable[[str], int]) -> bool:
    words = text[-_TILE:].split()
    while words and words[-1].lower().strip(":=-") in ("", "at", "in", "is"):
        words.pop()
    return any(
        symbol(" ".join(words[-n:]).strip(" ,;:=") or "?") != UNKNOWN
        for n in range(1, min(len(words), 4) + 1)
    )


NO_TRUTH = "the picture"
"""Stands in for the truth text of a game without symbols, so that replies stay well formed."""


def truth(game: Game, state: State, style: str = "full") -> list[str]:
    """The truth text of every row of a batch; :data:`NO_TRUTH` for a game that shows a finished
    picture.

    Prompts of the style ``"full"`` ask for rows, ``"red circle|blue star"``; the embedded tiny
    model, which the other styles are for, names each cell, ``"(0, 0) red circle (0, 1) blue
    star"``. Both are read alike.
    """
    scene = game.scene(state)
    if style == "full" or not scene.symbols.size:
        return [text or NO_TRUTH for text in scene.texts()]
    return [
        described([[scene.names[symbol] for symbol in row] for row in board], style)
        for board in scene.symbols.tolist()
    ]


def described(board: Sequence[Sequence[str]], style: str = "full") -> str:
    """The truth text of a board that is given as names."""
    if style == "full":
        return "\n".join("|".join(row) for row in board)
    return " ".join(
        f"({r}, {c}) {name}" for r, row in enumerate(board) for c, name in enumerate(row)
    )
