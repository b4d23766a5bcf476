"""The lines of a description: what is around them and says nothing about the board.

Every pattern is linear-time on any text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

CELL = r"\(\s{0,4}([0-9]{1,4})\s{0,4},\s{0,4}([0-9]{1,4})\s{0,4}\)"
"""A cell as text, ``(row, column)``: a pattern with two groups, which reads in linear time."""
UNKNOWN = -1
"""Symbol of a cell that a description does not state (or states twice, differently)."""
SymbolOf = Callable[[str], int]
"""The symbol that a text names, or :data:`UNKNOWN`."""

LABEL = re.compile(
    r"(?:(?:row\s{0,4})?([0-9]{1,3})\s{0,4}[:.)]|row\s{1,4}([0-9]{1,3})\s)\s*(?=\S)", re.IGNORECASE
)
"""The number of a row before its cells."""
BULLET = re.compile(r"(?:[-*+\u2022]|[0-9]{1,3}[.)])\s+(?=\S)")

_BARS_AND_NOTHINGS = str.maketrans(
    dict.fromkeys("\uff5c\u2502\u2503", "|") | dict.fromkeys("\ufeff\u200b\u200c\u200d\u2060")
)
"""Other characters that are drawn as a bar (full-width, and those of boxes), and those that are not
drawn at all.
"""
_QUOTED = re.compile(r"(?:>[ \t]?){1,4}")
_FENCE = re.compile(r"(?:`{3,}|~{3,})[^|(`~]{0,60}")
_FENCE_ENDS = re.compile(r"^(?:`{3,}|~{3,})|(?:`{3,}|~{3,})$")
_RULE_CHARACTERS = frozenset("-=|:+ \t") | frozenset(map(chr, range(0x2500, 0x2580)))
_ALIGNED = re.compile(":?-+:?")
_HEADING_LENGTH = 80
"""Characters of a heading, at most."""


def description_lines(text: str) -> list[str]:
    """The lines of a description that are not blank, without Markdown's quotation marks and code
    fences.
    """
    lines = []
    for line in text.translate(_BARS_AND_NOTHINGS).splitlines():
        content = _without_markdown(line)
        if content:
            lines.append(content)
    return lines


def _without_markdown(line: str) -> str:
    """A line without the marks of a quotation or code fence; empty if it is nothing else."""
    line = line.strip()
    if quoted := _QUOTED.match(line):
        line = line[quoted.end() :].lstrip()
    if _FENCE.fullmatch(line):
        return ""
    return _FENCE_ENDS.sub("", line).strip()


def is_heading(line: str) -> bool:
    """A line that only announces what follows: ``Board:``, ``## Board``."""
    if len(line) > _HEADING_LENGTH:
        return False
    return line.rstrip("*_ ").endswith(":") or line.startswith("#")


def is_rule(line: str) -> bool:
    """A line of a table that only separates (``|---|---|``)."""
    has_stroke = any(stroke * 3 in line for stroke in "-=\u2500\u2501\u2550")
    if has_stroke and _RULE_CHARACTERS.issuperset(line):
        return True
    if ":" not in line or "|" not in line:
        return False
    return all(_ALIGNED.fullmatch(cell.strip()) for cell in line.strip("|").split("|"))


def count_up(numbers: Sequence[int]) -> bool:
    """Whether these are 0, 1, 2 ... or 1, 2, 3 ..."""
    if not numbers or numbers[0] not in (0, 1):
        return False
    first = numbers[0]
    return list(numbers) == list(range(first, first + len(numbers)))


def without_label(line: str) -> str:
    """A line of cells without its bullet or the number of its row."""
    label = LABEL.match(line) or BULLET.match(line)
    return line[label.end() :] if label else line
