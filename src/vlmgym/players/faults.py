"""Attempts that gave no answer: which are worth another, and which stop a run."""

from __future__ import annotations

import re

from vlmgym.core import VlmGymError

AGAIN = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 520, 522, 524, 529})
"""Status codes after which the same request is worth another try."""

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

    def __init__(
        self,
        reason: str,
        again: bool = True,
        wait: float = 0.0,
        busy: bool = False,
        stop: bool = False,
        nobody: bool = False,
    ) -> None:
        super().__init__(reason)
        self.reason, self.again, self.wait, self.busy, self.stop, self.nobody = (
            reason,
            again,
            wait,
            busy,
            stop,
            nobody,
        )


def last_of(faults: list[str]) -> str:
    """Reasons of attempts as one: their number and the last."""
    if len(faults) == 1:
        return f"1 attempt: {faults[0]}"
    return f"{len(faults)} attempts; the last: {faults[-1]}" if faults else "no attempt"
