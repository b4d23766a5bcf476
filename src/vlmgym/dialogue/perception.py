"""The description of a board: the true one, and one that a model wrote, read and scored.

Reading is linear-time on any text and never guesses: an unclear cell is *not stated*.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vlmgym.core import ConfigError, Game, Scene, State
from vlmgym.dialogue.reply import DRESS, MODES

UNKNOWN = -1
"""Symbol of a cell that a description does not state (or states twice, differently)."""
_EMPTY_WORDS = ("", "empty", "0", ".", "-", "_", "blank", "none")


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
            words = words.strip(DRESS) or "?"
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
_HEADING = 80
_TILE = 200
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
    found = list[str]()
    doubts = list[int]()
    rules = list[int]()
    besides = False
    for line in lines:
        rule = _is_rule(line)
        heading = _is_heading(line)
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
    plain = list[list[str]]()
    named = list[tuple[int, list[str]]]()
    labels = list[int]()
    for line in found:
        cells = [cell.strip() for cell in line.split("|", cols + 4)]
        first = cells[0] in _EDGES
        last = not cells[-1]
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
        cell = (int(place[1]), int(place[2]))
        tile = _tile_of(text[place.end() : min(end, place.end() + _TILE)], symbol)
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
