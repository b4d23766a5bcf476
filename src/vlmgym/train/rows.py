"""Rows for the trainers: prompt, picture, state and answer of each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from vlmgym.core import State, concat
from vlmgym.dialogue import prompt
from vlmgym.episodes.task import Task
from vlmgym.games import state_text
from vlmgym.render.frames import pictures
from vlmgym.render.looks import Look
from vlmgym.train.questions import Question


def rows(
    task: Task, state: State, replies: Sequence[str] | None = None, look: Look | None = None
) -> list[dict[str, Any]]:
    """Trainer rows of a batch of states.

    Each row holds ``prompt`` (messages), ``image``, ``game``, ``level``, ``look``, ``state``
    (base64 of the state's bytes) and ``reply`` (the names of its blocks,
    :class:`vlmgym.dialogue.reply.Blocks`); with ``replies`` also ``completion``, the answer that
    SFT trains on. The pictures are drawn under the task's look, or under ``look``.
    """
    game = task.game
    level = task.level
    told = task.look
    ask = prompt.messages(prompt.prompt_text(game, level, task.prompt, blocks=task.blocks))
    frames = pictures(game, state, look or told)
    out = []
    for i, frame in enumerate(frames):
        row: dict[str, Any] = {"prompt": ask, "image": frame, **vars(task.names)}
        row["state"], row["reply"] = state_text(game, state[i]), task.reply
        if replies is not None:
            row["completion"] = [
                {"role": "assistant", "content": [{"type": "text", "text": replies[i]}]}
            ]
        out.append(row)
    return out


def ask_rows(questions: Sequence[Question]) -> list[dict[str, Any]]:
    """Trainer rows of questions, those of one task drawn together."""
    kinds: dict[Task, list[int]] = {}
    for i, question in enumerate(questions):
        kinds.setdefault(question.task, []).append(i)
    found: dict[int, dict[str, Any]] = {}
    for task, members in kinds.items():
        found |= zip(
            members, rows(task, concat([questions[i].state for i in members])), strict=True
        )
    return [found[i] for i in range(len(questions))]
