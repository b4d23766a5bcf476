"""What a reply says: three blocks, and the action in the last of them.

A reply is ``<perception>...</perception><think>...</think><answer>...</answer>``; the names of the
blocks can be chosen. Reading is linear-time on any text and never guesses: an unclear reply is *no
action*, with the reason.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from functools import lru_cache
from itertools import pairwise
from typing import Any

from vlmgym.core import NO_ACTION, ConfigError, Game, Level, Settings, setting

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


def write_reply(perception: str, think: str, answer: str, blocks: Blocks = BLOCKS) -> str:
    """A reply in the canonical form."""
    said = zip(blocks.names, (perception, think, answer), strict=True)
    return "".join(blocks.write(name, text) for name, text in said)


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


DRESS = " \t\r\n*_`'\"$."


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
        decoded = game.decode(level, answer.strip(DRESS) if lenient else answer)
        action = decoded.action
        problem = Problem(decoded.problem or "none")
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


_ENUMERATION = re.compile(
    r"^[ \t]{0,8}(?:[0-9]{1,3}[.)]|[-*])[ \t]|\b[0-9]{1,3} (?:x )?[a-z]{1,12} "
    r"[a-z]{1,12}s\b|\b[0-9]{1,3} x [a-z0-9]",
    re.MULTILINE,
)
