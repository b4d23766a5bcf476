"""Attempts that gave no answer: which are worth another, and which stop a run."""

from __future__ import annotations

import re
from dataclasses import dataclass

from vlmgym.core import VlmGymError

AGAIN = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 520, 522, 524, 529})
"""Status codes after which the same request is worth another try."""
BUSY = frozenset({429, 529})
"""Status codes of an endpoint that has too much to do."""
HOPELESS = frozenset({401, 402, 403, 404})
"""Status codes that every request would get: key, payment, rights, name of the model."""
USED_UP = re.compile(
    r'"(?:code|type)"\s*:\s*"(?:insufficient_quota|billing_hard_limit_reached|billing_not_active|billing_error)"'
    r"|credit balance is too low",
    re.IGNORECASE,
)
"""What endpoints say, under several status codes, when nothing is left to pay with."""
ALIKE = 3
"""So many requests that fail in one way, before anything was ever answered, stop a run."""


class ApiError(VlmGymError, RuntimeError):
    """The endpoint cannot be asked at all (address, certificate, key, rights, quota, name of the
    model, form of the request).
    """


@dataclass(eq=False)
class Fault(Exception):
    """An attempt that gave no answer.

    Attributes:
        reason: why, already cleaned of secrets.
        again: the same request is worth another try.
        wait: how many seconds the endpoint asked to wait.
        busy: the endpoint has too much to do.
        stop: every request would get this.
        nobody: there is nobody to answer.
    """

    reason: str
    again: bool = True
    wait: float = 0.0
    busy: bool = False
    stop: bool = False
    nobody: bool = False

    def __post_init__(self) -> None:
        """The reason is what the exception says."""
        super().__init__(self.reason)


def is_worth_another_try(status: int) -> bool:
    """Whether the same request may be answered another time."""
    return status in AGAIN or status >= 500


def last_of(reasons: list[str]) -> str:
    """Reasons of attempts as one: their number and the last."""
    if not reasons:
        return "no attempt"
    if len(reasons) == 1:
        return f"1 attempt: {reasons[0]}"
    return f"{len(reasons)} attempts; the last: {reasons[-1]}"


class Streak:
    """Faults of one kind in a row, before anything was ever answered."""

    def __init__(self) -> None:
        self.answered = False
        self._kind = ""
        self._length = 0

    def add(self, fault: Fault) -> bool:
        """Count a fault; whether there are too many of its kind."""
        if self.answered:
            return False
        if fault.again and not fault.nobody:
            self._kind = ""
            self._length = 0
            return False
        # but for numbers, times, ids of requests
        kind = re.sub(r"[0-9a-f-]*[0-9][0-9a-f-]*", "#", fault.reason)
        self._length = self._length + 1 if kind == self._kind else 1
        self._kind = kind
        return self._length >= ALIKE
