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
from typing import Any, NamedTuple

from vlmgym.core import NO_ACTION, ConfigError, Game, Level, Settings, setting
from vlmgym.dialogue.thinking import names_a_tile

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
        names = {field.strip(): name.strip() for field, _, name in pairs}
        field_is_twice = len(names) < len(pairs)
        if field_is_twice or not all(equals for _, equals, _ in pairs):
            raise ConfigError("reply", value, _FORM)
        return cls.parse(names)

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
        _, beginning, following = reply.partition(cls.begin(name))
        text, ending, _ = following.partition(cls.end(name))
        return text if beginning and ending else None

    @classmethod
    def without(cls, name: str, reply: str) -> str:
        """A reply without the first whole block of a name."""
        text = cls.inside(name, reply)
        return reply if text is None else reply.replace(cls.write(name, text), "", 1)

    def __str__(self) -> str:
        """``"perception=...,think=...,answer=..."``; empty for the usual names."""
        if self == BLOCKS:
            return ""
        return ",".join(f"{field}={name}" for field, name in asdict(self).items())


_FORM = "perception=NAME,think=NAME,answer=NAME (any of them), or a mapping of these"
BLOCKS = Blocks()
"""The usual names."""


def write_reply(perception: str, think: str, answer: str, blocks: Blocks = BLOCKS) -> str:
    """A reply in the canonical form."""
    texts = (perception, think, answer)
    named_texts = zip(blocks.names, texts, strict=True)
    return "".join(blocks.write(name, text) for name, text in named_texts)


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


class _Tag(NamedTuple):
    """A tag of one of the three blocks, as it stands in a reply."""

    closing: bool
    name: str
    start: int
    end: int


@lru_cache(64)
def _tag_pattern(names: tuple[str, ...], lenient: bool) -> re.Pattern[str]:
    any_name = "|".join(map(re.escape, names))
    return re.compile(rf"<(/?)({any_name})>", re.IGNORECASE | re.ASCII if lenient else 0)


def _find_tags(text: str, names: tuple[str, ...], lenient: bool) -> list[_Tag]:
    """The tags in a text; ``lenient`` finds them in any case, and gives their names in small
    letters.
    """
    tags = []
    for match in _tag_pattern(names, lenient).finditer(text):
        name = match[2].lower() if lenient else match[2]
        tags.append(_Tag(match[1] == "/", name, match.start(), match.end()))
    return tags


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
    tags = _find_tags(text, blocks.names, lenient)
    contents: dict[str, list[str]] = {name: [] for name in names}  # of whole blocks
    for tag, following in pairwise(tags):
        if not tag.closing and following.closing and tag.name == following.name:
            contents[tag.name].append(text[tag.end : following.start])
    opened = {name: 0 for name in names}
    for tag in tags:
        opened[tag.name] += not tag.closing

    blocks_read = [_Block(name, contents[name], opened[name]) for name in names]
    perception, think, _ = (block.only_content for block in blocks_read)
    well_formed = _is_well_formed(text, tags, blocks_read)
    answer, problem = _pick_answer(text, tags, blocks_read[2], lenient)
    action = NO_ACTION
    if answer is not None:
        decoded = game.decode(level, answer.strip(DRESS) if lenient else answer)
        action = decoded.action
        problem = Problem(decoded.problem or "none")
    return Reply(text, perception, think, answer, well_formed, action, problem)


class _Block(NamedTuple):
    """What a reply has of the block of a name."""

    name: str
    contents: list[str]  # of whole blocks
    opened: int  # opening tags

    @property
    def only_content(self) -> str | None:
        """The content of the one block; None if there is none, or more than one."""
        return self.contents[0] if self.opened == 1 and len(self.contents) == 1 else None


def _is_well_formed(text: str, tags: Sequence[_Tag], blocks: Sequence[_Block]) -> bool:
    """Whether the blocks are there once each, in order, none blank, with nothing but white space
    around them.
    """
    expected = [(closing, block.name) for block in blocks for closing in (False, True)]
    if [(tag.closing, tag.name) for tag in tags] != expected:
        return False
    if not all(block.contents[0].strip() for block in blocks):
        return False
    starts = [0, *(tag.end for tag in tags if tag.closing)]
    ends = [*(tag.start for tag in tags if not tag.closing), len(text)]
    return not any(text[start:end].strip() for start, end in zip(starts, ends, strict=True))


def _pick_answer(
    text: str, tags: Sequence[_Tag], block: _Block, lenient: bool
) -> tuple[str | None, Problem]:
    """The content of the answer block that counts, or the reason why there is none."""
    contents = block.contents
    if lenient:
        if tags and tags[-1].name == block.name and not tags[-1].closing:  # cut off
            contents = [*contents, text[tags[-1].end :]]
        contents = contents[-1:]
    elif block.opened > 1:
        return None, Problem.TWO_ANSWERS
    if not contents:
        return None, Problem.UNCLOSED_ANSWER if block.opened else Problem.MISSING_ANSWER
    if not contents[0].strip():
        return None, Problem.EMPTY_ANSWER
    return contents[0], Problem.NONE


def taken_apart(reply: str, reasoning: str, blocks: Blocks = BLOCKS) -> bool:
    """Whether a server seems to have cut the reply: it begins with the answer, and what stood
    before came as ``reasoning``.

    Servers with a parser for the reasoning of models take ``<think>``, and all that stands before
    its end, out of a reply: the description is lost with it. Blocks of other names
    (:class:`Blocks`) are left alone.
    """
    tag = blocks.begin(blocks.answer).lower()
    beginning = reply.lstrip()[: len(tag)].lower()
    return bool(reasoning.strip()) and beginning == tag


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
    localises = names_a_tile(text, names)
    enumerates = _ENUMERATION.search(text) is not None
    return localises, enumerates


_ENUMERATION = re.compile(
    r"^[ \t]{0,8}(?:[0-9]{1,3}[.)]|[-*])[ \t]|\b[0-9]{1,3} (?:x )?[a-z]{1,12} "
    r"[a-z]{1,12}s\b|\b[0-9]{1,3} x [a-z0-9]",
    re.MULTILINE,
)
