"""Commands that run beside this one, each with its output in a log."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from vlmgym.core.errors import one_line


class Process:
    """A command under way.

    Args:
        command: its words.
        log: file that its output is added to.
        threads: that it may compute with.
        own_session: Ctrl-C in the terminal does not reach it.

    Attributes:
        log: the file.
        begin: the time of day at which it began, in seconds.
    """

    def __init__(
        self, command: Sequence[str], log: Path, threads: int, own_session: bool = False
    ) -> None:
        self.log = log
        self.begin = time.time()
        self._clock = time.monotonic()  # how long: the time of day may be set
        environment = os.environ | {
            "OMP_NUM_THREADS": str(threads),
            "TOKENIZERS_PARALLELISM": "false",
        }
        with log.open("ab") as file:
            self._process = subprocess.Popen(
                command,
                stdout=file,
                stderr=file,
                env=environment,
                start_new_session=own_session,
            )

    @property
    def status(self) -> int | None:
        """Its exit status; None while it runs."""
        return self._process.poll()

    @property
    def seconds(self) -> float:
        """Since it began."""
        return time.monotonic() - self._clock

    def last_line(self) -> str:
        """The last line of its log."""
        with self.log.open("rb") as log:
            log.seek(max(0, self.log.stat().st_size - 2000))
            text = log.read().decode(errors="replace")
        lines = [line for line in text.splitlines() if line.strip()]
        return one_line(lines[-1]) if lines else f"ended with {self.status} and no word"

    def stop(self) -> None:
        """Ask it to write a checkpoint and end."""
        self._process.send_signal(signal.SIGTERM)

    def wait(self) -> None:
        """Return when it has ended."""
        self._process.wait()
