"""Ctrl-C while a command is still being loaded: one line and status 130, as later on.

It imports only what Python has loaded.
"""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType


def is_command() -> bool:
    """Whether this process is the command ``vlmgym`` or ``python -m vlmgym``, and not a program
    that uses the library.
    """
    words = getattr(sys, "argv", None) or [""]
    if words[0] != "-m":  # which it is while Python looks for the module
        return os.path.splitext(os.path.basename(words[0]))[0] == "vlmgym"
    called = sys.orig_argv
    modules = [called[k + 1] for k, word in enumerate(called[:-1]) if word == "-m"] + [
        w[2:] for w in called if w[:2] == "-m"
    ]
    return any(module.split(".")[0] == "vlmgym" for module in modules)


def guard() -> None:
    """From now on Ctrl-C ends the command at once; where somebody else listens for it already, or
    it is ignored, nothing is done.

    There is nothing to be tidied up yet, and an exception could come out of any import as another
    one.
    """
    if is_command() and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        try:
            signal.signal(signal.SIGINT, _end)
        except ValueError:  # not the main thread
            return


def release() -> None:
    """From now on Ctrl-C is a KeyboardInterrupt again."""
    if signal.getsignal(signal.SIGINT) is _end:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _end(number: int, frame: FrameType | None) -> None:
    os.write(2, b"vlmgym: stopped\n")
    os._exit(130)
