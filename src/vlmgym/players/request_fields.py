"""The sampling of requests to an endpoint, and what it says of fields that it does not take."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

UNSUPPORTED = re.compile(
    r"unsupported|not support|only the default|deprecated|not allowed|not "
    r"permitted|unknown|unrecognized|unexpected"
    r"|cannot both|may only be|only 1 is allowed"
)
"""What endpoints say of a field that they do not take, in small letters."""
NEAR = 120
"""Characters around the name of a field in which they say it."""


class RequestFields:
    """The sampling of requests, adapted to what an endpoint takes.

    Args:
        sampling: what is sent with every request.
        neutral: what is sent beside it to servers that would otherwise take it from the model's own
            settings.
    """

    def __init__(self, sampling: dict[str, Any], neutral: Mapping[str, Any]) -> None:
        self.sampling = sampling
        self.neutral = neutral
        # fields that it does not take, and the name that it wants instead ("" = none)
        self._adapted: dict[str, str] = {}

    def fields(self, with_neutral: bool) -> dict[str, Any]:
        """The sampling of one request."""
        fields = {**(self.neutral if with_neutral else {}), **self.sampling}
        for name, replacement in self._adapted.items():
            if name in fields:
                value = fields.pop(name)
                if replacement:
                    fields.setdefault(replacement, value)
        return fields

    def adapt(self, refusal: str, fields: Mapping[str, Any]) -> list[str]:
        """Remember for the run what an endpoint says of a field that it does not take: another
        name, or none.

        Reasoning models want ``max_completion_tokens`` and their own temperature. Anything else
        that was asked for is never left out: the refusal stands.

        Args:
            refusal: what it says, in small letters.
            fields: of the request.

        Returns:
            What is done about it, one sentence a field.
        """
        notes = []
        parameter = re.search(r'"param"\s*:\s*"(\w+)"', refusal)
        for name in {"max_tokens", "temperature", *self.neutral} & fields.keys():
            if parameter and parameter[1] != name:
                continue
            if not _is_unsupported(name, refusal):
                continue
            if name != "max_tokens":
                self._adapted[name] = ""
                notes.append(
                    f"the endpoint takes no {name}: {fields[name]} was asked for, its own is used"
                )
            elif "max_completion_tokens" in refusal:
                self._adapted[name] = "max_completion_tokens"
                notes.append(
                    "the endpoint takes no max_tokens: max_completion_tokens = "
                    f"{fields[name]} is sent instead"
                )
        return notes


def _is_unsupported(name: str, refusal: str) -> bool:
    for mention in re.finditer(rf"\b{name}\b", refusal):
        start = max(0, mention.start() - NEAR)
        if UNSUPPORTED.search(refusal, start, mention.end() + NEAR):
            return True
    return False
