"""How many requests are under way at once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Gate:
    """Lets so many requests through at once: half as many after a 429, one more after as many
    answers as there are places.

    Additive increase, multiplicative decrease: Chiu and Jain (1989), Computer Networks and ISDN
    Systems 17, 1-14.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.places = float(limit)
        self.inside = 0
        self._waiting = asyncio.Condition()
        self._slowed = 0.0

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """A place for one request, as soon as there is one."""
        async with self._waiting:
            await self._waiting.wait_for(lambda: self.inside < max(1, int(self.places)))
            self.inside += 1
        try:
            yield
        finally:
            async with self._waiting:
                self.inside -= 1
                self._waiting.notify_all()

    def answered(self) -> None:
        """A request was answered."""
        self.places = min(self.limit, self.places + 1 / self.places)

    def busy(self, start: float) -> None:
        """A 429; those of requests that began before the last halving say nothing new."""
        if start >= self._slowed:
            self.places = max(1.0, self.places / 2)
            self._slowed = time.monotonic()
