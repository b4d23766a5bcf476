"""Run a command, and end in a status and a sentence."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

# Each of these files registers its commands.
import vlmgym.cli.evaluate
import vlmgym.cli.games
import vlmgym.cli.report
import vlmgym.cli.study
import vlmgym.cli.train  # noqa: F401
from vlmgym import early
from vlmgym.cli.parser import COMMANDS, Options, parse
from vlmgym.core.errors import ConfigError, VlmGymError, shown


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit status.

    0: done. 1: measured, and it failed (or nothing could be measured). 2: something that the user
    can mend, said in a line. 130: Ctrl-C. 141: whoever read the output has gone. What is none of
    these is a defect, and keeps its traceback.
    """
    options = Options(command="")
    try:
        for stream in (sys.stdout, sys.stderr):
            # A terminal that knows few letters shows the others as escapes.
            if hasattr(stream, "reconfigure"):
                stream.reconfigure(errors="backslashreplace")
        words = sys.argv[1:] if arguments is None else arguments
        see_that_files_can_be_called_so(words)
        options = parse(words)
        return _run(options)
    except VlmGymError as error:
        return _end(options, str(error), 2)
    except KeyboardInterrupt:
        forget_the_interrupt()
        command = COMMANDS.get(options.command)
        return _end(options, command.stopped if command else "stopped", 130)
    except BrokenPipeError:
        _print_nowhere()
        return 141
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return _end(options, f"{where}{error.strerror or error}", 2)
    except MemoryError:
        return _end(options, "not enough memory", 2)
    except RecursionError:
        return _end(options, "something that it read is nested too deep", 2)


def forget_the_interrupt() -> None:
    """Have the process end in its own status, and not by the signal.

    A KeyboardInterrupt that leaves an ``exec`` of text, as in the making of a dataclass, is kept in
    mind by Python although it is caught later: ``python -m`` then kills itself by the signal
    (``run_eval_code_obj`` in CPython's pythonrun.c, 3.8 and later). The next text starts it anew.
    """
    exec("pass")


def see_that_files_can_be_called_so(words: Sequence[str]) -> None:
    """Refuse halves of characters and zero bytes, of which no file system makes a name.

    Raises:
        ConfigError: there is one.
    """
    for word in words:
        try:
            os.fsencode(word)
        except UnicodeEncodeError as error:
            allowed = "text without halves of characters"
            raise ConfigError("argument", word, allowed) from error
        if "\0" in word:
            raise ConfigError("argument", word, "text without zero bytes")


def _run(options: Options) -> int:
    """Run the command; from here on Ctrl-C is an exception."""
    from vlmgym.games import get_game

    early.release()
    for name in getattr(options, "known_games", ()):
        get_game(name)
    status = int(COMMANDS[options.command].run(options) or 0)
    if "torch.distributed" in sys.modules:
        from vlmgym.models.loading import end_processes

        end_processes()
    sys.stdout.flush()
    return status


def _end(options: Options, text: str, status: int) -> int:
    """Say why a command ends, on standard error; returns the status."""
    written = f"{f'vlmgym {options.command}'.strip()}: {text}"
    lines = [shown(line) for line in written.splitlines()]
    sys.stderr.write("\n".join(lines) + "\n")
    return status


def _print_nowhere() -> None:
    """Nobody reads standard output any more: what Python writes there at the exit goes nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.__stdout__.fileno() if sys.__stdout__ else 1)
