"""The states of recorded games, of which a replay asks."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from vlmgym.core import State, concat, mix_array, split_of
from vlmgym.episodes.task import Task
from vlmgym.episodes.trace import load_trace
from vlmgym.games import read_state_text


def recorded_states(task: Task, path: Path, seed: int) -> State | None:
    """The recorded states of a task in which some action succeeds, in an order of the seed.

    Args:
        task: whose game and level the trace must have been recorded with.
        path: a trace, or a folder with one.
        seed: of the run.

    Returns:
        Each state once; None where the trace has none.

    Raises:
        TraceError: the trace cannot be read.
    """
    trace = load_trace(path / "trace.jsonl" if path.is_dir() else path)
    if (trace.run.game, trace.run.level) != (task.names.game, task.names.level):
        return None
    if any(split_of(turn.seed) != "train" for turn in trace.turns):
        sys.stderr.write(
            f"{path}: its states are no longer held out: they come from outside the train split\n"
        )
    texts = list(dict.fromkeys(turn.state for turn in trace.turns))
    if not texts:
        return None
    states = concat([read_state_text(text)[1] for text in texts])
    can_succeed = task.game.success_mask(states).any(axis=1) & ~states.ended
    usable = np.flatnonzero(can_succeed)
    if not len(usable):
        return None
    salt = mix_array(np.array([seed], np.uint64))
    order = np.argsort(mix_array(usable.astype(np.uint64) ^ salt))
    return states[usable[order]]
