"""The errors that every layer raises."""

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
    return "".join(
        one if one.isprintable() else one.encode("unicode_escape").decode() for one in text
    )


def one_line(text: str, most: int = 4000) -> str:
    """A text that can be printed anywhere (see :func:`shown`), and whose length is bound.

    For messages, and for names that came from data.
    """
    if len(text) > most:
        text = f"{text[: most * 2 // 3]} ... {text[-most // 4 :]}"
    return shown(text)


def counted(number: int, word: str) -> str:
    """A number of things in words: ``1 attempt``, ``2 attempts``."""
    return f"{number} {word}{'' if number == 1 else 's'}"


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
        return repr(x) if x.bit_length() < 3 * SHOWN else f"<a number of {x.bit_length()} bits>"

    def repr_str(self, x: str, level: int) -> str:
        """As Python writes it, or its two ends."""
        return repr(x) if len(x) <= SHOWN else f"{x[: SHOWN * 2 // 3]!r}...{x[-SHOWN // 4 :]!r}"


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
        super().__init__(
            f"{name} = {one_line(_Brief().repr(value), SHOWN + 100)}: allowed is {allowed}"
        )
        self.name, self.value, self.allowed = name, value, allowed

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
    missing = [m for m in modules if importlib.util.find_spec(m) is None]
    if missing:
        raise MissingExtra(f"{', '.join(missing)} not installed: this needs  {install_line(extra)}")


def install_line(extra: str) -> str:
    """The command that installs an extra, as this package itself was installed: from a checkout, or
    as a release.
    """
    checkout = Path(__file__).parents[3]
    if (checkout / "pyproject.toml").is_file() and Path(__file__).parents[2].name == "src":
        return f"pip install --editable '{checkout}[{extra}]'"
    return f"pip install 'vlmgym[{extra}]'"
