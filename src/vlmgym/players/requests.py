"""What the replies of endpoints say: texts, counts, why a model stopped, errors.

Every value in them is somebody else's.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any

from vlmgym.players.base import CUT, REFUSED
from vlmgym.players.wire import Reply

CUT_WORDS = frozenset(
    {"length", "max_tokens", "max_output_tokens", "model_context_window_exceeded"}
)
"""What endpoints say of a reply that was cut at its limit of tokens, in small letters."""
REFUSED_WORDS = frozenset(
    {
        "refusal",
        "refused",
        "content_filter",
        "content_filtered",
        "safety",
        "image_safety",
        "blocklist",
        "prohibited_content",
    }
    | {"spii", "recitation", "guardrail_intervened", "sensitive"}
)
"""What they say of one that the model, or what stands before it, refused."""
BROKEN_WORDS = frozenset(
    {"error", "abort", "aborted", "network_error", "insufficient_system_resource"}
)
"""What they say of one that broke off on their side: it is no reply."""
FINAL_ERRORS = (
    "invalid_request",
    "authentication",
    "permission",
    "not_found",
    "insufficient_quota",
    "billing",
)
"""Beginnings of the names of errors that stay, where an endpoint names them without a status
code.
"""

SERVERS = frozenset({"vllm", "sglang"})
"""Servers, as they call themselves in the list of their models, that take sampling from the model's
own settings.
"""


def texts(content: Any) -> tuple[str, str]:
    """What is said and what is thought in a content: a text, nothing, or a list of blocks;
    TypeError for anything else.
    """
    if content is None or isinstance(content, str):
        return content or "", ""
    if not isinstance(content, list):
        raise TypeError(f"a content of type {type(content).__name__}")
    said = list[str]()
    thought = list[str]()
    for block in content:
        if isinstance(block, str):
            said.append(block)
        elif block.get("type") == "thinking":
            thought.append(texts(block.get("thinking"))[0])
        else:
            said.append(texts(block.get("text"))[0])
    return "".join(said), "".join(thought)


def mapping(value: Any) -> Mapping[str, Any]:
    """The value if it is a mapping, else an empty one."""
    return value if isinstance(value, dict) else {}


def count(value: Any) -> int:
    """A number of tokens: whole, 0 to 10^9; 0 for anything else."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if type(value) is int and 0 <= value <= 10**9 else 0


def why_finished(word: Any) -> str:
    """Why a model stopped, by the words of :attr:`vlmgym.players.base.Answer.finish`."""
    word = word if isinstance(word, str) else ""
    plain = word.partition(":")[0].strip().lower()  # "content_filter: SAFETY"
    if plain in CUT_WORDS:
        return CUT
    return REFUSED if plain in REFUSED_WORDS else word


def error_in(body: Any) -> tuple[int, str] | None:
    """The error that stands in a body instead of a reply, or beside a broken one: its status (if
    none: 400 or 502), its text.
    """
    whole = mapping(body)
    choices = whole.get("choices")
    choice = mapping(choices[0]) if isinstance(choices, list) and choices else {}
    error = (
        choice.get("error")
        or whole.get("error")
        or (whole.get("type") == "error" and whole)
        or None
    )
    word = str(choice.get("finish_reason") or whole.get("stop_reason") or "")
    if error is None and word.lower() not in BROKEN_WORDS:
        return None
    error = {"finish_reason": word} if error is None else error
    kinds = [mapping(error).get(key) for key in ("code", "status", "type")]
    numbers = [
        int(kind)
        for kind in kinds
        if type(kind) is int or (isinstance(kind, str) and kind.isdecimal() and len(kind) == 3)
    ]
    status = next((number for number in numbers if 400 <= number < 600), 0)
    if not status:
        status = (
            400
            if any(
                isinstance(kind, str) and kind.lower().startswith(FINAL_ERRORS) for kind in kinds
            )
            else 502
        )
    return status, error if isinstance(error, str) else json.dumps(error)


def models_in(reply: Reply) -> tuple[str, list[str]]:
    """What server it is (by the owner of its models, where it names itself), and the models that it
    serves.
    """
    try:
        found = [
            one
            for one in mapping(json.loads(reply.body)).get("data") or []
            if isinstance(one, dict)
        ]
    except (ValueError, TypeError, RecursionError):  # another page, which is no list of models
        return "", []
    owners = {str(one.get("owned_by")).lower() for one in found}
    return next(iter(owners & SERVERS), ""), [
        one["id"] for one in found if isinstance(one.get("id"), str)
    ]


def wait_in(headers: Mapping[str, str]) -> float:
    """How long a reply asks to wait: a Retry-After in seconds or as a date; 0 for none, and for
    what is neither.
    """
    text = headers.get("retry-after", "")
    try:
        wait = float(text)
    except ValueError:
        try:
            now = (
                parsedate_to_datetime(headers["date"]).timestamp()
                if "date" in headers
                else time.time()
            )
            wait = parsedate_to_datetime(text).timestamp() - now
        except (ValueError, OverflowError):
            return 0.0
    return max(0.0, wait) if not math.isnan(wait) else 0.0
