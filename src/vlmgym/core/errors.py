"""The errors that every layer raises, and how values are written in their messages.

All are a :class:`VlmGymError` whose message is one sentence: what was given, and what is allowed.
A setting or an argument is a :class:`ConfigError`; a batch of games (:class:`StateError`), action
ids (:class:`ActionError`) and rows (:class:`RowError`) have their own, and so has a package that is
not installed (:class:`MissingExtra`). What lies in files is a
:class:`vlmgym.core.files.FileError`, a folder in use a :class:`vlmgym.core.files.BusyError`.
Packages above add their own, next to what raises them.
"""

from __future__ import annotations

import importlib.util
import reprlib
from pathlib import Path
from typing import Any

SHOWN = 300
"""Most letters of a value in a message; of a longer one the beginning and the end are told."""


def shown(text: str) -> str:
    """A foreign text for a terminal or a message: whatever could steer a terminal or turn the line
    around, as an escape.
    """
    if text.isprintable():
        return text
    escaped = (
        letter if letter.isprintable() else letter.encode("unicode_escape").decode()
        for letter in text
    )
    return "".join(escaped)


def one_line(text: str, limit: int = 4000) -> str:
    """A text that can be printed anywhere (see :func:`shown`), and whose length is bound.

    For messages, and for names that came from data.
    """
    if len(text) > limit:
        text = f"{text[: limit * 2 // 3]} ... {text[-limit // 4 :]}"
    return shown(text)


def counted(number: int, word: str) -> str:
    """A number of things in words: ``1 attempt``, ``2 attempts``."""
    ending = "" if number == 1 else "s"
    return f"{number} {word}{ending}"


class _Brief(reprlib.Repr):
    """Values of any size and depth in a few hundred letters, without looking at the rest of
    them.
    """

    def __init__(self) -> None:
        super().__init__()
        self.maxstring = self.maxother = self.maxlong = SHOWN
        self.maxlist = self.maxtuple = self.maxdict = self.maxset = self.maxfrozenset = 8
        self.maxlevel = 4

    def repr_int(self, x: int, level: int) -> str:
        """Python itself refuses to write numbers of more than some thousand digits."""
        bit_count = x.bit_length()
        return repr(x) if bit_count < 3 * SHOWN else f"<a number of {bit_count} bits>"

    def repr_str(self, x: str, level: int) -> str:
        """As Python writes it, or its two ends."""
        if len(x) <= SHOWN:
            return repr(x)
        return f"{x[: SHOWN * 2 // 3]!r}...{x[-SHOWN // 4 :]!r}"


def brief(value: object) -> str:
    """A value of any size as Python writes it, on one line of a few hundred letters at most."""
    return one_line(_Brief().repr(value), SHOWN + 100)


class VlmGymError(Exception):
    """Base of every error that vlmgym raises on purpose; its message is one line."""

    def __str__(self) -> str:
        """The message, fit to be printed."""
        return one_line(super().__str__())


class ConfigError(VlmGymError, ValueError):
    """A setting is unknown or out of range; the message names the field, the value and what is
    allowed.
    """

    def __init__(self, name: str, value: object, allowed: str) -> None:
        super().__init__(f"{name} = {brief(value)}: allowed is {allowed}")
        self.name = name
        self.value = value
        self.allowed = allowed

    def __reduce__(self) -> tuple[Any, ...]:
        """Comes out of another process as it is."""
        return type(self), (self.name, self.value, self.allowed)


class StateError(VlmGymError, ValueError):
    """Bytes or arrays that are not a state of this game."""


class ActionError(VlmGymError, ValueError):
    """Action ids outside the action space of the game."""


class RowError(VlmGymError, IndexError):
    """Rows that a batch does not have."""


class MissingExtra(VlmGymError, ImportError):
    """A part needs packages that are not installed; the message holds the install line."""


def need(extra: str, *modules: str) -> None:
    """Check that the packages of an extra are there.

    Raises:
        MissingExtra: with the exact install line.
    """
    missing = [module for module in modules if importlib.util.find_spec(module) is None]
    if missing:
        names = ", ".join(missing)
        raise MissingExtra(f"{names} not installed: this needs  {install_line(extra)}")


def install_line(extra: str) -> str:
    """The command that installs an extra, as this package itself was installed: from a checkout, or
    as a release.
    """
    source = Path(__file__).parents[2]
    checkout = source.parent
    if source.name == "src" and (checkout / "pyproject.toml").is_file():
        return f"pip install --editable '{checkout}[{extra}]'"
    return f"pip install 'vlmgym[{extra}]'"
