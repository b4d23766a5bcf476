"""What came back from an endpoint as an answer or a fault, with no secret in what is told."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from vlmgym.core.files import whole_text
from vlmgym.players.base import Answer
from vlmgym.players.faults import BUSY, HOPELESS, USED_UP, Fault, is_worth_another_try
from vlmgym.players.requests import error_in, wait_in
from vlmgym.players.wire import Reply, Secrets, WireError, shown_address

SHOWN = 65_536
"""Of a reply that cannot be read so many bytes are looked at for the message."""


def read_answer(
    reply: Reply,
    answer_in: Callable[[Mapping[str, Any]], Answer],
    secrets: Secrets,
    limit: int,
) -> Answer:
    """The answer in a good reply, whatever it may be.

    Args:
        reply: with a status of 200 to 299.
        answer_in: what the body of a reply says; any exception if it is not of the form.
        secrets: what must not be told.
        limit: most bytes of a reply.

    Raises:
        Fault: there is none.
    """
    if not reply.whole:
        raise Fault(f"a reply of more than {limit} bytes, or one that breaks off")
    content_type = reply.headers.get("content-type", "")
    if "json" not in content_type.lower():
        shown_type = secrets.excerpt(content_type, 100) or "none"
        raise Fault(f"a reply of type {shown_type}, not JSON: {_beginning(reply, secrets)}")
    try:
        body = json.loads(reply.body)
        _refuse_error_in(body, secrets)
        answer = answer_in(body)
        return replace(
            answer,
            text=secrets.clean(whole_text(answer.text)),
            reasoning=secrets.clean(whole_text(answer.reasoning)),
            finish=secrets.clean(whole_text(answer.finish))[:100],
        )
    except Fault:
        raise
    # the body is the endpoint's: whatever is wrong with it is a fault of this request alone
    except Exception as error:
        cause = secrets.excerpt(f"{type(error).__name__}: {error}", 200)
        beginning = _beginning(reply, secrets)
        raise Fault(f"a reply of another form ({cause}): {beginning}") from error


def _refuse_error_in(body: Any, secrets: Secrets) -> None:
    error = error_in(body)
    if error:
        status, message = error
        reason = secrets.excerpt(f"error within a reply: {message}", 500)
        raise Fault(reason, again=is_worth_another_try(status), busy=status in BUSY)


def _beginning(reply: Reply, secrets: Secrets) -> str:
    """The first words of a reply that cannot be read."""
    return secrets.excerpt(reply.text()[:SHOWN], 80, len(reply.body) <= SHOWN)


def refusal_in(reply: Reply, secrets: Secrets, hint: Callable[[], str]) -> Fault:
    """What a reply with another status than 200 says; ``hint``: what may be wrong where there is
    nothing at an address.
    """
    status = reply.status
    if 300 <= status < 400:
        target = secrets.excerpt(shown_address(reply.headers.get("location", "")), 200)
        reason = f"{status}: redirected to {target or 'nowhere'}; nothing is sent there"
        return Fault(f"{reason} (if it is right: --base-url)", again=False)
    text = reply.text()
    if "html" in reply.headers.get("content-type", ""):
        text = re.sub(r"<[^<>]*>", " ", text)
    reason = f"{status}: {secrets.excerpt(text, 500, reply.whole) or 'without a word'}"
    if status == 404:
        reason += hint()
    stop = status in HOPELESS or bool(USED_UP.search(text))
    return Fault(
        reason,
        again=not stop and is_worth_another_try(status),
        wait=wait_in(reply.headers),
        busy=status in BUSY,
        stop=stop,
    )


def unsent(error: WireError, secrets: Secrets) -> Fault:
    """What a request without a reply means."""
    return Fault(
        secrets.excerpt(error.reason, 300),
        again=not error.untrusted,
        stop=error.untrusted,
        nobody=error.unreachable,
    )
