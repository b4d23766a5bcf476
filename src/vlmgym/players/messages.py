"""What is said to an endpoint about a game, in the parts that all endpoints have."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from typing import Any

from vlmgym.core.files import whole_text
from vlmgym.players.base import Query
from vlmgym.render.frames import pictures

NO_REPLY = "(no reply)"
"""Stands for an earlier reply without a visible character, which endpoints refuse to be told."""


def image_url(picture: Any) -> str:
    """A picture as a PNG data URL in its true size."""
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def conversation(
    query: Query, picture_part: Callable[[str], dict[str, Any]]
) -> list[dict[str, Any]]:
    """The messages about a game; ``picture_part`` makes the part of one from a data URL."""
    messages = []
    for role, parts in query.conversation(0):
        content = []
        for part in parts:
            if isinstance(part, str):
                text = whole_text(part) if part.strip() else NO_REPLY
                content.append({"type": "text", "text": text})
            else:
                picture = pictures(query.game, part, query.look)[0]
                content.append(picture_part(image_url(picture)))
        messages.append({"role": role, "content": content})
    return messages
