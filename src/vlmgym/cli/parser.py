"""The register of commands, and what their options are made with.

A command is a function under :func:`command`, with the function that adds its options beside it.
Those are added only where the command is asked for, so that ``vlmgym --help`` loads nothing of the
library. Options that set a field of a settings class take their default and help from that field.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import Field, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from vlmgym import __version__
from vlmgym.core.errors import shown

if TYPE_CHECKING:
    from vlmgym.core import Settings

Options = argparse.Namespace
"""What stands on a command line, by name."""

LEVEL_OR_LOOK = "name, or name:field=value,..."
PHOTOS = "may be repeated (a path in a trace is not opened by itself)"
GAMES = "if it is none of vlmgym and not installed (may be repeated)"
"""Parts of the help of several commands."""


class Parser(argparse.ArgumentParser):
    """Says what is wrong with a command line in letters that do not steer the terminal."""

    def __init__(self, **options: Any) -> None:
        super().__init__(formatter_class=_Help, **options)

    def error(self, message: str) -> NoReturn:
        """End with the message and status 2."""
        super().error(shown(message))


class _Help(argparse.HelpFormatter):
    """Shows the default of each option that has one."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        text = action.help
        if not text or not action.option_strings or "default" in text:
            return text
        if isinstance(action.default, bool):
            return text
        if action.default in (None, "", [], argparse.SUPPRESS):
            return text
        return f"{text} (default: %(default)s)"


# ---- the register
Run = Callable[[Options], int | None]
AddOptions = Callable[[Parser], object]


@dataclass(frozen=True)
class Command:
    """One command.

    Attributes:
        name: its word on the command line.
        help: what it does, in a line.
        run: does it; returns the exit status (None: 0).
        add_options: adds its options to a parser.
        stopped: what is said after Ctrl-C.
    """

    name: str
    help: str
    run: Run
    add_options: AddOptions
    stopped: str = "stopped"


COMMANDS: dict[str, Command] = {}
"""All commands by name, in the order of the help."""


def no_options(parser: Parser) -> None:
    """The options of a command without any."""


def command(
    name: str,
    help: str,
    add_options: AddOptions = no_options,
    stopped: str = "stopped",
) -> Callable[[Run], Run]:
    """Register a function as a command; see :class:`Command`."""

    def register(run: Run) -> Run:
        COMMANDS[name] = Command(name, help, run, add_options, stopped)
        return run

    return register


def parse(words: Sequence[str]) -> Options:
    """Read a command line; ``options.command`` is the name of its command.

    Raises:
        SystemExit: help was asked for, or the words are none of ours; it has been said.
    """
    parser = Parser(
        prog="vlmgym",
        description="Visual games for training and testing vision-language models.",
    )
    parser.add_argument("--version", action="version", version=f"vlmgym {__version__}")
    commands = parser.add_subparsers(dest="command", required=True)
    for entry in COMMANDS.values():
        subparser = commands.add_parser(entry.name, help=entry.help)
        if entry.name in words:
            entry.add_options(subparser)
    return parser.parse_args(words)


# ---- types of options
def whole_from(low: int, high: int = 1_000_000_000) -> Callable[[str], int]:
    """The type of an option that is a whole number of this range."""

    def read(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = low - 1
        if not low <= value <= high:
            message = f"{shown(text)[:40]!r}: allowed is {low} to {high}"
            raise argparse.ArgumentTypeError(message)
        return value

    return read


# ---- options of settings
Adder = Parser | argparse._ArgumentGroup


def setting_options(
    parser: Adder,
    settings: type[Settings],
    leave_out: Collection[str],
    flags: Mapping[str, Sequence[str]],
) -> None:
    """One option for each field of a settings class, but for those left out.

    Args:
        parser: gets the options.
        settings: the class.
        leave_out: names of fields.
        flags: of fields whose option is not called as they are.
    """
    for field in fields(settings):
        if field.init and field.name not in leave_out:
            setting_option(parser, settings, field.name, flags.get(field.name, ()))


def setting_option(
    parser: Adder,
    settings: type[Settings],
    name: str,
    flags: Sequence[str] = (),
    **other: Any,
) -> None:
    """The option of one field: default, help and choices are the field's.

    Args:
        parser: gets the option.
        settings: the class.
        name: of the field.
        flags: how the option is called; by default as the field.
        other: what argparse is told otherwise.
    """
    field = setting_of(settings, name)
    flag = f"--{name.replace('_', '-')}"
    arguments: dict[str, Any] = {
        "dest": name,
        "default": field.default,
        "help": field.metadata["doc"],
    }
    if isinstance(field.default, bool):
        arguments["action"] = "store_true"
    else:
        arguments["type"] = type(field.default)
    if choices := field.metadata["choices"]:
        arguments["metavar"] = f"{{{','.join(choices)}}}"
    parser.add_argument(*(flags or (flag,)), **(arguments | other))


def setting_of(settings: type[Settings], name: str) -> Field[Any]:
    """A field of a settings class, by name."""
    return next(field for field in fields(settings) if field.name == name)


def settings_from(settings: type[Settings], options: Options) -> dict[str, Any]:
    """The values of a settings class that options were made for."""
    values = vars(options)
    names = [field.name for field in fields(settings) if field.init]
    return {name: values[name] for name in names if name in values}


# ---- options of several
def override_option(parser: Adder, help: str) -> None:
    """``--set``, for fields of a YAML file."""
    parser.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE", help=help)


def photos_option(parser: Adder) -> None:
    """``--photos``, of a command that draws the boards of traces."""
    parser.add_argument(
        "--photos",
        type=Path,
        action="append",
        default=[],
        help=f"path of photographs that the boards showed; {PHOTOS}",
    )


def known_games_option(parser: Adder) -> None:
    """``--game``, by which a command that reads traces is told of games.

    What only a trace names is never imported.
    """
    parser.add_argument(
        "--game",
        dest="known_games",
        action="append",
        default=[],
        metavar="GAME",
        help=f"module:GameClass of a game in the traces, {GAMES}",
    )


def processes_option(parser: Adder) -> None:
    """``--processes``, of a command that works on all cores."""
    parser.add_argument(
        "--processes",
        type=whole_from(0, 4096),
        default=0,
        help="0 = one a core",
    )
