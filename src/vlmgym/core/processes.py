"""Work in processes side by side, which Ctrl-C ends at once."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from multiprocessing import get_context
from typing import TypeVar

from vlmgym.core.threads import usable_cores

P = TypeVar("P")
R = TypeVar("R")


@contextmanager
def results_of(
    work: Callable[[P], R], pieces: Iterable[P], processes: int = 0
) -> Iterator[Iterator[tuple[P, R]]]:
    """Work on pieces; gives each piece with its result as soon as it is finished.

    Where the block ends by an exception (Ctrl-C is one), the processes end at once, whatever they
    are at; Ctrl-C reaches them only so.

    Args:
        work: what is done, a function that can be pickled.
        pieces: what it is done to.
        processes: at most so many; 0 = one for each usable core.
    """
    pieces = list(pieces)
    count = max(1, min(processes or usable_cores(), len(pieces)))
    executor = ProcessPoolExecutor(count, get_context("spawn"))
    try:
        with _without_ctrl_c():
            piece_of = {executor.submit(work, piece): piece for piece in pieces}
        yield ((piece_of[future], future.result()) for future in as_completed(piece_of))
    except BaseException:
        workers = list(executor._processes.values())
        executor.shutdown(wait=False, cancel_futures=True)
        for worker in workers:
            worker.terminate()
        raise
    executor.shutdown()


@contextmanager
def _without_ctrl_c() -> Iterator[None]:
    """Ctrl-C waits for the end of the block; processes that begin in it never see it."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
