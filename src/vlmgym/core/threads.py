"""Threads: how many there may be, and work on slices of rows side by side."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

from vlmgym.core.settings import number_in_environment


def usable_cores() -> int:
    """CPU cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


MIN_SHARE = 1 << 20
"""Bytes below which another thread is not worth its start."""
MAX_THREADS = 1024
_threads = 0
_pool: ThreadPoolExecutor | None = None
_lock = threading.Lock()


def threads() -> int:
    """Threads that large batches are drawn with: as set, else ``VLMGYM_THREADS``, else the usable
    cores, at most 8.

    Raises:
        ConfigError: ``VLMGYM_THREADS`` is no whole number from 0 (the usable cores, as is an empty
            one) to 1,024.
    """
    return (
        _threads
        or number_in_environment("VLMGYM_THREADS", 0, MAX_THREADS)
        or min(usable_cores(), 8)
    )


def set_threads(count: int) -> None:
    """Choose the number of threads; 0 = the default of :func:`threads`."""
    global _threads, _pool
    with _lock:
        _threads = max(0, int(count))
        _pool = None


def _forget_pool() -> None:
    """A forked process has none of its parent's threads."""
    global _pool, _lock
    _pool = None
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_pool)


def spread(work: Callable[[slice], None], rows: int, size: int) -> None:
    """Run ``work`` on slices of ``rows``, side by side where ``size`` bytes are enough for more
    than one thread.
    """
    global _pool
    slice_count = min(threads(), rows, max(1, size // MIN_SHARE))
    if slice_count <= 1:
        return work(slice(0, rows))
    with _lock:
        if _pool is None:
            _pool = ThreadPoolExecutor(threads() - 1, "vlmgym")
        pool = _pool
    bounds = [rows * index // slice_count for index in range(slice_count + 1)]
    slices = [slice(start, end) for start, end in pairwise(bounds)]
    futures = [pool.submit(work, rows_of_thread) for rows_of_thread in slices[1:]]
    work(slices[0])
    for future in futures:
        future.result()
