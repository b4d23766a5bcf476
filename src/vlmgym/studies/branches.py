"""Playing the tables of :mod:`vlmgym.studies.blocks`: a file a player, a line a state."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vlmgym.core.files import count_lines, read_json_lines
from vlmgym.dialogue.judge import judge, judged_as_described
from vlmgym.episodes.task import Task
from vlmgym.evals.folders import slug
from vlmgym.players.base import Query
from vlmgym.players.local import LocalPlayer
from vlmgym.studies.blocks import RewardTables
from vlmgym.studies.table_files import play_missing


@dataclass(frozen=True)
class Size:
    """What is played: states of a split from the number ``first`` on, and how each branches."""

    states: int = 40
    descriptions: int = 64
    continuations: int = 64
    first: int = 0
    split: str = "test"


def tables_path(out: Path, table: str, player: str) -> Path:
    """Where a study keeps the tables of a player."""
    return out / "blocks" / table / f"{slug(player)}.jsonl"


def states_in(path: Path) -> int:
    """How many states a file of tables has."""
    return max(count_lines(path) - 1, 0)


def read_tables(path: Path) -> RewardTables:
    """The states that a file of tables has so far."""
    return _as_arrays(read_json_lines(path)[1:])


def play_tables(player: LocalPlayer, task: Task, size: Size, out: Path) -> RewardTables:
    """The tables of a player in the file ``out``; states that are there already are not asked
    again.

    Args:
        player: on its path; its temperature should be that of training.
        task: what is asked.
        size: of the tables.
        out: the file.

    Raises:
        ConfigError: the file holds the tables of another player, task or size.
    """
    head = {"player": player.describe(), "task": task.to_dict(), "size": asdict(size)}
    lines = play_missing(
        out, head, size.states, lambda number: _play_state(player, task, size, number)
    )
    return _as_arrays(lines)


def _as_arrays(tables: list[dict[str, Any]]) -> RewardTables:
    return RewardTables(
        np.array([line["rewards"] for line in tables], np.float64),
        np.array([line["described"] for line in tables], np.float64),
    )


def _play_state(player: LocalPlayer, task: Task, size: Size, number: int) -> dict[str, Any]:
    """The table of one state: ``rewards`` and ``described``, each ``(D, C)`` of 1 and -1."""
    state = task.states(size.split, 1, size.first + number)
    query = Query(
        task.game,
        state.repeat(size.descriptions),
        task.look,
        task.prompt,
        blocks=task.blocks,
        repeats=range(size.descriptions),
    )
    branches = player.branches(query, size.continuations)
    texts = [answer.text for answers in branches for answer in answers]
    states = state.repeat(len(texts))
    _, judged = judge(task.game, states, texts, oracle=False, blocks=task.blocks)
    succeeds = judged_as_described(task.game, state.level, judged)
    shape = size.descriptions, size.continuations
    rewards = np.array([int(judgement.terms["game"]) for judgement in judged])
    return {
        "state": size.first + number,
        "rewards": rewards.reshape(shape).tolist(),
        "described": np.where(succeeds, 1, -1).reshape(shape).tolist(),
    }
