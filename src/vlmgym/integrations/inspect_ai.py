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
    what = tasks.Task(game=game, level=level, look=look, reply=reply)  # type: ignore[arg-type]
    told: dict[str, Any] = {
        "history": history,
        "observation": observation,
        "mode": mode,
        "patience": patience,
    }
    how = Evaluation(episodes=episodes, turns=turns, start=start, first=first, **told)
    ask_from_the_start(how)
    state = starts(what, how)
    the_game = what.game
    samples = [
        Sample(
            id=f"{what.names.game}-{number}",
            input=f"{what.names.game} {what.names.level} {what.names.look}, test seed number "
            f"{first + number}",
            metadata={
                "state": state_text(the_game, state[number]),
                "task": what.to_dict(),
                "evaluation": asdict(how),
            },
        )
        for number in range(episodes)
    ]
    return Task(dataset=samples, solver=play(), scorer=judged(), name=f"vlmgym_{what.names.game}")


@solver
def play() -> Solver:
    """Plays a sample's episode to its end; the whole exchange stands in the log."""

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        known_game(state.metadata["task"]["game"])
        how = Evaluation(**state.metadata["evaluation"])
        what = tasks.Task(**state.metadata["task"])
        _, start = read_state_text(state.metadata["state"])
        lane = batch_of(what, how, start)
        only = np.array([0])
        model = get_model()
        state.messages = []
        while len(lane.live()):
            messages = _messages(lane.query(only))
            output = await model.generate(messages)
            reasoning = ""
            if output.choices and isinstance(output.message.content, list):
                reasoning = "".join(
                    part.reasoning
                    for part in output.message.content
                    if isinstance(part, ContentReasoning)
                )
            lane.take(only, [Answer(output.completion, reasoning, seconds=output.time or 0.0)])
            state.messages += [
                messages[-1],
                output.message if output.choices else ChatMessageAssistant(content=""),
            ]
            state.output = output
        state.store.set("turns", [asdict(turn) for turn in lane.turns])
        state.store.set("episode", asdict(lane.episode(0)))
        state.completed = True
        return state

    return solve


@scorer(metrics={"*": [mean(), stderr()]})
def judged() -> Scorer:
    """The metrics of an episode, see :func:`vlmgym.evals.metrics.summarise`; their means count each
    episode alike.
    """

    async def score(state: TaskState, target: Target) -> Score:
        turns = [Turn(**one) for one in state.store.get("turns", [])]
        episode = Episode(**state.store.get("episode"))
        found = summarise(turns, [episode])
        faults: dict[str, int] = {}
        for turn in turns:
            faults[turn.fault] = faults.get(turn.fault, 0) + 1
        return Score(
            value={name: float(found[name].mean) for name in shown_in("inspect")},
            answer=turns[-1].reply if turns else "",
            explanation=f"{episode.turns} turns, {episode.end}; "
            + ", ".join(f"{n} {fault}" for fault, n in sorted(faults.items())),
            metadata={"faults": faults, "end": episode.end},
        )

    return score


def _messages(query: Query) -> list[ChatMessage]:
    said: list[ChatMessage] = []
    for role, parts in query.conversation(0):
        if role == "assistant":
            said.append(ChatMessageAssistant(content=str(parts[0])))
        else:
            said.append(ChatMessageUser(content=[_content(query, part) for part in parts]))
    return said


def _content(query: Query, part: State | str) -> Any:
    if isinstance(part, str):
        return ContentText(text=part)
    return ContentImage(image=image_url(pictures(query.game, part, query.look)[0]))


def traces(log: Any) -> list[tuple[Sequence[Turn], Episode]]:
    """The turns and the episode of every scored sample of an Inspect log, for the library's own
    analysis.
    """
    return [
        ([Turn(**one) for one in sample.store["turns"]], Episode(**sample.store["episode"]))
        for sample in log.samples or ()
        if sample.store and "episode" in sample.store
    ]
