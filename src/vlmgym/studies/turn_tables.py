"""Forked turns: what each of several answers to a state comes to if the policy itself plays on,
many times. A file a player, a line a state.

From these the advantages of single turns are known to a stated error, and estimators of credit can
be held to them (:mod:`vlmgym.studies.turn_estimators`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vlmgym.core import ConfigError, State
from vlmgym.core.files import read_json_lines
from vlmgym.core.random import FORK_SALT
from vlmgym.dialogue.judge import judge
from vlmgym.episodes.batch import EpisodeBatch, ObservationSettings, play
from vlmgym.episodes.task import Task
from vlmgym.games import state_text
from vlmgym.players.base import Answer, Player, Query
from vlmgym.studies.table_files import play_missing


@dataclass(frozen=True)
class TurnSize:
    """What is played: states of a split from the number ``first`` on, answers to each, and
    continuations of so many turns of each different answer.
    """

    states: int = 50
    answers: int = 8
    continuations: int = 64
    turns: int = 8
    first: int = 0
    split: str = "pilot"


@dataclass(frozen=True)
class TurnTables:
    """What is known of ``S`` states with ``A`` answers each.

    Attributes:
        states: ``S`` states as text (base64), in which the answers were given.
        actions: ``(S, A)`` int64, NO_ACTION where an answer had none.
        gains: ``(S, A)``: points of the answer's turn.
        returns: ``(S, A, K)``: points of the turns after it, in each continuation. Answers of one
            action have the same continuations.
        replies: ``(S, A, K)`` int64: replies that each continuation took.
    """

    states: Sequence[str]
    actions: NDArray[np.int64]
    gains: NDArray[np.float64]
    returns: NDArray[np.float64]
    replies: NDArray[np.int64]


def play_turns(player: Player, task: Task, size: TurnSize, out: Path) -> TurnTables:
    """The tables of a player in the file ``out``; states that are there already are not asked
    again.

    Args:
        player: its temperature should be that of training.
        task: what is asked; each turn sees the present board alone.
        size: of the tables.
        out: the file.

    Raises:
        ConfigError: the file holds the tables of another player, task or size.
    """
    head = {"player": player.describe(), "task": task.to_dict(), "size": asdict(size)}
    lines = play_missing(
        out, head, size.states, lambda number: _play_state(player, task, size, number)
    )
    return as_tables(lines)


def read_turns(path: Path) -> TurnTables:
    """The states that a file of tables has so far.

    Raises:
        ConfigError: it has none.
    """
    lines = read_json_lines(path)[1:]
    if not lines:
        raise ConfigError("file", str(path), "forked turns of a state or more")
    return as_tables(lines)


def as_tables(lines: Sequence[Mapping[str, Any]]) -> TurnTables:
    """The lines of a file as arrays."""
    returns = []
    replies = []
    for line in lines:
        numbers = [line["different"].index(action) for action in line["actions"]]
        returns.append([line["returns"][number] for number in numbers])
        replies.append([line["replies"][number] for number in numbers])
    return TurnTables(
        [line["state"] for line in lines],
        np.array([line["actions"] for line in lines], np.int64),
        np.array([line["gains"] for line in lines], np.float64),
        np.array(returns, np.float64),
        np.array(replies, np.int64),
    )


def _play_state(player: Player, task: Task, size: TurnSize, number: int) -> dict[str, Any]:
    """The line of one state; equal actions lead to one state, so each different one is played on
    once.
    """
    state = task.states(size.split, 1, size.first + number)
    forks = state.repeat(size.answers)
    query = Query(
        task.game,
        forks,
        task.look,
        task.prompt,
        blocks=task.blocks,
        repeats=range(size.answers),
    )
    texts = [Answer.of(answer).text for answer in player.answer([query])[0]]
    after, judged = judge(task.game, forks, texts, oracle=False, blocks=task.blocks)
    actions = [judgement.reply.action for judgement in judged]
    different = sorted(set(actions))
    batches = [_continuations(task, after[actions.index(action)], size) for action in different]
    play([batch for batch in batches if len(batch.live())], player)
    return {
        "state": state_text(task.game, state),
        "actions": actions,
        "gains": [judgement.gain for judgement in judged],
        "different": different,
        "returns": [_returns(batch) for batch in batches],
        "replies": [[episode.turns for episode in batch.episodes()] for batch in batches],
    }


def _continuations(task: Task, state: State, size: TurnSize) -> EpisodeBatch:
    """Episodes from a state (one row) on, none of them played yet, with luck of their own."""
    count = size.continuations
    forks = state.repeat(count).reseed(FORK_SALT + np.arange(count))
    observation = ObservationSettings(task.look, task.prompt, blocks=task.blocks)
    return EpisodeBatch(task.game, forks, observation, size.turns, oracle=False, repeats=count)


def _returns(batch: EpisodeBatch) -> list[int]:
    """The points that each episode gained."""
    gains = np.zeros(len(batch.state), np.int64)
    for turn in batch.turns:
        gains[turn.episode] += turn.gain
    return gains.tolist()
