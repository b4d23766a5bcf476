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
    text = prompt.prompt_text(game, task.level, task.prompt, blocks=task.blocks)
    messages = prompt.messages(text)
    images = pictures(game, state, look or task.look)
    trainer_rows = []
    for number, image in enumerate(images):
        row: dict[str, Any] = {"prompt": messages, "image": image, **vars(task.names)}
        row["state"] = state_text(game, state[number])
        row["reply"] = task.reply
        if replies is not None:
            content = [{"type": "text", "text": replies[number]}]
            row["completion"] = [{"role": "assistant", "content": content}]
        trainer_rows.append(row)
    return trainer_rows


def ask_rows(questions: Sequence[Question]) -> list[dict[str, Any]]:
    """Trainer rows of questions, those of one task drawn together."""
    batches: dict[Task, list[int]] = {}
    for number, question in enumerate(questions):
        batches.setdefault(question.task, []).append(number)
    by_number: dict[int, dict[str, Any]] = {}
    for task, members in batches.items():
        states = concat([questions[number].state for number in members])
        by_number |= zip(members, rows(task, states), strict=True)
    return [by_number[number] for number in range(len(questions))]
