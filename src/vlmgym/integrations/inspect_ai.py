"""The games as a task of Inspect AI (https://inspect.aisi.org.uk), with its providers and its log
viewer; extra ``inspect``.

``inspect eval vlmgym/vlmgym -T game=2048 -T episodes=20 --model openai/...``, or :func:`vlmgym` in
Python.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from inspect_ai import Task, task
from inspect_ai.dataset import Sample
from inspect_ai.model import (
    ChatMessage,
    ChatMessageAssistant,
    ChatMessageUser,
    ContentImage,
    ContentReasoning,
    ContentText,
    ModelOutput,
    get_model,
)
from inspect_ai.scorer import Score, Scorer, Target, mean, scorer, stderr
from inspect_ai.solver import Generate, Solver, TaskState, solver

from vlmgym.core import State
from vlmgym.episodes import task as tasks
from vlmgym.episodes.records import Episode, Turn
from vlmgym.evals.metrics import shown_in, summarise
from vlmgym.evals.settings import Evaluation, ask_from_the_start, batch_of, starts
from vlmgym.games import known_game, read_state_text, state_text
from vlmgym.players.base import Answer, Query
from vlmgym.players.messages import image_url
from vlmgym.render.frames import pictures


@task
def vlmgym(
    game: str | int = "2048",
    level: str | int = "normal",
    look: str = "clean",
    episodes: int = 20,
    turns: int = 0,
    start: str = "reset",
    history: int = 0,
    observation: str = "image",
    mode: str = "lenient",
    patience: int = 20,
    first: int = 0,
    reply: str = "",
) -> Task:
    """A game as an Inspect task: one sample an episode, from the frozen test seeds of ``vlmgym
    eval``.

    Args:
        game: name of the game; ``-T game=2048`` arrives as a number, and is the name all the same.
        level: name or ``name:field=value,...``.
        look: name or ``name:field=value,...``.
        episodes: number of samples.
        turns: most turns of an episode; 0 = the level's limit.
        start: ``"reset"``, or ``"walk"``: states after random play.
        history: earlier turns that are told again; -1 = all.
        observation: ``"image"``, ``"text"`` or ``"both"``.
        mode: parse mode.
        patience: see :class:`vlmgym.evals.settings.Evaluation`.
        first: number of the first test seed.
        reply: names of the blocks, ``perception=NAME,think=NAME,answer=NAME``, see
            :class:`vlmgym.dialogue.reply.Blocks`.

    Raises:
        ConfigError: a setting is out of range.
    """
    asked = tasks.Task(game=game, level=level, look=look, reply=reply)  # type: ignore[arg-type]
    evaluation = Evaluation(
        episodes=episodes,
        turns=turns,
        start=start,
        first=first,
        history=history,
        observation=observation,
        mode=mode,
        patience=patience,
    )
    ask_from_the_start(evaluation)
    samples = _samples(asked, evaluation)
    return Task(dataset=samples, solver=play(), scorer=judged(), name=f"vlmgym_{asked.names.game}")


def _samples(asked: tasks.Task, evaluation: Evaluation) -> list[Sample]:
    """One sample an episode, with its first state."""
    states = starts(asked, evaluation)
    names = asked.names
    samples = []
    for number in range(evaluation.episodes):
        seed = f"test seed number {evaluation.first + number}"
        metadata = {
            "state": state_text(asked.game, states[number]),
            "task": asked.to_dict(),
            "evaluation": asdict(evaluation),
        }
        sample = Sample(
            id=f"{names.game}-{number}",
            input=f"{names.game} {names.level} {names.look}, {seed}",
            metadata=metadata,
        )
        samples.append(sample)
    return samples


@solver
def play() -> Solver:
    """Plays a sample's episode to its end; the whole exchange stands in the log."""

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        known_game(state.metadata["task"]["game"])
        evaluation = Evaluation(**state.metadata["evaluation"])
        asked = tasks.Task(**state.metadata["task"])
        _, start = read_state_text(state.metadata["state"])
        batch = batch_of(asked, evaluation, start)
        row = np.array([0])
        model = get_model()
        state.messages = []
        while len(batch.live()):
            messages = _messages(batch.query(row))
            output = await model.generate(messages)
            reasoning = _reasoning_of(output)
            answer = Answer(output.completion, reasoning, seconds=output.time or 0.0)
            batch.take(row, [answer])
            reply = output.message if output.choices else ChatMessageAssistant(content="")
            state.messages += [messages[-1], reply]
            state.output = output
        state.store.set("turns", [asdict(turn) for turn in batch.turns])
        state.store.set("episode", asdict(batch.episode(0)))
        state.completed = True
        return state

    return solve


def _reasoning_of(output: ModelOutput) -> str:
    """What a model reasoned apart from its reply."""
    if not output.choices or isinstance(output.message.content, str):
        return ""
    texts = [
        content.reasoning
        for content in output.message.content
        if isinstance(content, ContentReasoning)
    ]
    return "".join(texts)


@scorer(metrics={"*": [mean(), stderr()]})
def judged() -> Scorer:
    """The metrics of an episode, see :func:`vlmgym.evals.metrics.summarise`; their means count each
    episode alike.
    """

    async def score(state: TaskState, target: Target) -> Score:
        turns = [Turn(**record) for record in state.store.get("turns", [])]
        episode = Episode(**state.store.get("episode"))
        estimates = summarise(turns, [episode])
        faults: dict[str, int] = {}
        for turn in turns:
            faults[turn.fault] = faults.get(turn.fault, 0) + 1
        counts = ", ".join(f"{count} {fault}" for fault, count in sorted(faults.items()))
        return Score(
            value={name: float(estimates[name].mean) for name in shown_in("inspect")},
            answer=turns[-1].reply if turns else "",
            explanation=f"{episode.turns} turns, {episode.end}; {counts}",
            metadata={"faults": faults, "end": episode.end},
        )

    return score


def _messages(query: Query) -> list[ChatMessage]:
    messages: list[ChatMessage] = []
    for role, parts in query.conversation(0):
        if role == "assistant":
            messages.append(ChatMessageAssistant(content=str(parts[0])))
        else:
            contents = [_content(query, part) for part in parts]
            messages.append(ChatMessageUser(content=contents))
    return messages


def _content(query: Query, part: State | str) -> Any:
    if isinstance(part, str):
        return ContentText(text=part)
    return ContentImage(image=image_url(pictures(query.game, part, query.look)[0]))


def traces(log: Any) -> list[tuple[Sequence[Turn], Episode]]:
    """The turns and the episode of every scored sample of an Inspect log, for the library's own
    analysis.
    """
    records: list[tuple[Sequence[Turn], Episode]] = []
    for sample in log.samples or ():
        if sample.store and "episode" in sample.store:
            turns = [Turn(**record) for record in sample.store["turns"]]
            records.append((turns, Episode(**sample.store["episode"])))
    return records
