"""HTML as text that is escaped on its way in, and numbers as pages show them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from vlmgym.evals.estimates import Interval, typeset


class Html(str):
    """Text that is markup already; any other text is escaped on its way in."""

    __slots__ = ()


def tag(name: str, *children: object, **attributes: object) -> Html:
    """An element; ``class_`` stands for ``class``, ``stroke_width`` for ``stroke-width``.

    None is no child.
    """
    content = ""
    for child in children:
        if child is not None:
            content += child if isinstance(child, Html) else escape(str(child))
    settings = ""
    for key, value in attributes.items():
        settings += f' {key.rstrip("_").replace("_", "-")}="{escape(str(value))}"'
    return Html(f"<{name}{settings}>{content}</{name}>")


def joined(contents: Iterable[str]) -> Html:
    """Texts one after another; those that are no markup are escaped."""
    markup = ""
    for content in contents:
        markup += content if isinstance(content, Html) else escape(content)
    return Html(markup)


def number_text(value: float, percent: bool = False, signed: bool = False) -> str:
    """A number as pages show it, see :func:`vlmgym.evals.estimates.typeset`."""
    return typeset(percent, signed)(value)


def interval_text(interval: Interval, percent: bool = False, signed: bool = False) -> str:
    """``low to high``, as pages show it."""
    return interval.ends_text(typeset(percent, signed))


def p_text(value: float) -> str:
    """A p-value."""
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def listing(words: Sequence[str]) -> str:
    """Words with commas and ``and``; at least one."""
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " and " + words[-1]
