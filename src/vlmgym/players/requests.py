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
        "spii",
        "recitation",
        "guardrail_intervened",
        "sensitive",
    }
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
    visible = list[str]()
    thought = list[str]()
    for block in content:
        if isinstance(block, str):
            visible.append(block)
        elif block.get("type") == "thinking":
            thought.append(texts(block.get("thinking"))[0])
        else:
            visible.append(texts(block.get("text"))[0])
    return "".join(visible), "".join(thought)


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
    category = word.partition(":")[0].strip().lower()  # "content_filter: SAFETY"
    if category in CUT_WORDS:
        return CUT
    return REFUSED if category in REFUSED_WORDS else word


def error_in(body: Any) -> tuple[int, str] | None:
    """The error that stands in a body instead of a reply, or beside a broken one: its status (if
    none: 400 or 502), its text.
    """
    fields = mapping(body)
    choices = fields.get("choices")
    choice = mapping(choices[0]) if isinstance(choices, list) and choices else {}
    body_is_error = fields.get("type") == "error"
    error = choice.get("error") or fields.get("error") or (body_is_error and fields) or None
    finish = str(choice.get("finish_reason") or fields.get("stop_reason") or "")
    if error is None:
        if finish.lower() not in BROKEN_WORDS:
            return None
        error = {"finish_reason": finish}
    text = error if isinstance(error, str) else json.dumps(error)
    return _status_of(error), text


def _status_of(error: Any) -> int:
    """The status of an error: the one that it names, or what it would have by its kind."""
    kinds = [mapping(error).get(name) for name in ("code", "status", "type")]
    words = [kind.lower() for kind in kinds if isinstance(kind, str)]
    for kind in kinds:
        if isinstance(kind, str) and kind.isdecimal() and len(kind) == 3:
            kind = int(kind)
        if type(kind) is int and 400 <= kind < 600:
            return kind
    is_final = any(word.startswith(FINAL_ERRORS) for word in words)
    return 400 if is_final else 502


def models_in(reply: Reply) -> tuple[str, list[str]]:
    """What server it is (by the owner of its models, where it names itself), and the models that it
    serves.
    """
    try:
        entries = mapping(json.loads(reply.body)).get("data") or []
        models = [entry for entry in entries if isinstance(entry, dict)]
    except (ValueError, TypeError, RecursionError):  # another page, which is no list of models
        return "", []
    owners = {str(model.get("owned_by")).lower() for model in models}
    server = next(iter(owners & SERVERS), "")
    return server, [model["id"] for model in models if isinstance(model.get("id"), str)]


def wait_in(headers: Mapping[str, str]) -> float:
    """How long a reply asks to wait: a Retry-After in seconds or as a date; 0 for none, and for
    what is neither.
    """
    text = headers.get("retry-after", "")
    try:
        seconds = float(text)
    except ValueError:
        try:
            sent = headers.get("date")
            now = time.time() if sent is None else parsedate_to_datetime(sent).timestamp()
            seconds = parsedate_to_datetime(text).timestamp() - now
        except (ValueError, OverflowError):
            return 0.0
    return 0.0 if math.isnan(seconds) else max(0.0, seconds)
