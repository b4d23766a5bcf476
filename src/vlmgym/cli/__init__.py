"""The command line, ``vlmgym COMMAND``: each command is a few lines over the library.

``parser.py`` has the register of commands and what their options are made with; the other files
hold the commands by subject, each with its options beside it; ``main.py`` runs one and says how it
ended.
"""

from vlmgym.cli.main import main

__all__ = ["main"]
