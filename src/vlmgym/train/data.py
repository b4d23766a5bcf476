"""Rows for the trainers: prompt, picture, state and answer of each."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

from PIL import Image

from vlmgym import prompt
from vlmgym.core import Game, State
from vlmgym.render import Look, render
from vlmgym.tasks import Task


def pictures(game: Game, state: State, look: Look) -> list[Image.Image]:
    """The frames of a batch as PIL images."""
    return [Image.fromarray(frame) for frame in render(game, state, look)]


def rows(task: Task, state: State, replies: Sequence[str] | None = None) -> list[dict[str, Any]]:
    """Trainer rows of a batch of states.

    Each row holds ``prompt`` (messages), ``image``, ``game``, ``level``, ``look`` and ``state`` (base64 of the state's
    bytes); with ``replies`` also ``completion``, the answer that SFT trains on.
    """
    game, level, look = task.rules()
    ask = prompt.messages(prompt.prompt_text(game, level, task.prompt))
    frames = pictures(game, state, look)
    out = []
    for i, frame in enumerate(frames):
        row: dict[str, Any] = {"prompt": ask, "image": frame, "game": task.game, "level": task.level, "look": task.look}
        row["state"] = base64.b64encode(state[i].to_bytes(game)).decode()
        if replies is not None:
            row["completion"] = [{"role": "assistant", "content": [{"type": "text", "text": replies[i]}]}]
        out.append(row)
    return out
