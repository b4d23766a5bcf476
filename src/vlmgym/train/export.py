"""Turns of traces as data sets for trainers."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from vlmgym.core import ConfigError, need
from vlmgym.core.files import temporary_beside
from vlmgym.dialogue.judge import Fault
from vlmgym.episodes.records import Turn
from vlmgym.episodes.task import Task
from vlmgym.episodes.trace import load_trace
from vlmgym.episodes.trace_looks import look_of
from vlmgym.games import known_game
from vlmgym.train.rows import rows

ONLY = ("good", "exact", "all")


def export_sft(
    traces: Sequence[Path], out: Path, only: str = "good", photos: Sequence[str | Path] = ()
) -> Path:
    """Prompts with pictures and the recorded replies, as a Hugging Face data set on disk that TRL's
    SFTTrainer reads.

    Columns as in :func:`vlmgym.train.rows.rows`: ``prompt`` and ``completion`` (conversations),
    ``image``, ``game``, ``level``, ``look``, ``state``, ``reply`` (names of the blocks).

    Args:
        traces: files of ``trace.jsonl``.
        out: folder of the data set.
        only: ``"good"``: the move was good and the reply well formed; ``"exact"``: the description
            was right too; ``"all"``.
        photos: see :func:`look_of`.

    Raises:
        ConfigError: unknown ``only``, nothing is left, or photographs are needed.
        MissingExtra: datasets is not installed (extra ``train``).
    """
    if only not in ONLY:
        raise ConfigError("only", only, "one of " + ", ".join(ONLY))

    def keep(turn: Turn) -> bool:
        if only == "all":
            return True
        is_good = turn.fault == Fault.NONE and turn.terms["format"] > 0
        return is_good and (only == "good" or bool(turn.p_acc))

    return _dataset(traces, out, keep, photos, replies=True)


def export_grpo(traces: Sequence[Path], out: Path, photos: Sequence[str | Path] = ()) -> Path:
    """Prompts with pictures of every state that was met, each once, with the state that the reward
    functions need.

    Args:
        traces: files of ``trace.jsonl``.
        out: folder of the data set.
        photos: see :func:`look_of`.

    Raises:
        ConfigError: the traces have no turn, or photographs are needed.
        MissingExtra: datasets is not installed (extra ``train``).
    """
    states: set[str] = set()

    def keep(turn: Turn) -> bool:
        is_new = turn.state not in states
        states.add(turn.state)
        return is_new

    return _dataset(traces, out, keep, photos, replies=False)


def _dataset(
    traces: Sequence[Path],
    out: Path,
    keep: Callable[[Turn], bool],
    photos: Sequence[str | Path],
    replies: bool,
) -> Path:
    need("train", "datasets")
    from datasets import Dataset

    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError("out", str(out), "a folder that is empty, or not there yet")
    exported: list[dict[str, Any]] = []
    for path in traces:
        exported += _rows_of_trace(path, keep, photos, replies)
    if not exported:
        raise ConfigError(
            "traces", [str(path) for path in traces], "traces with turns that are to be exported"
        )
    out.parent.mkdir(parents=True, exist_ok=True)
    unfinished = temporary_beside(out)
    try:
        dataset = Dataset.from_list(exported, features=_columns(replies))
        dataset.save_to_disk(str(unfinished.absolute()))
        unfinished.replace(out)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return out


def _columns(replies: bool) -> Any:
    """Names and types of the columns, in the form that ``datasets`` wants."""
    from datasets import Features, Image, Value

    block = {"type": Value("string"), "text": Value("string")}
    messages = [{"role": Value("string"), "content": [block]}]
    columns = {"prompt": messages, "image": Image()}
    columns |= dict.fromkeys(("game", "level", "look", "state", "reply"), Value("string"))
    if replies:
        columns["completion"] = messages
    return Features(columns)


def _rows_of_trace(
    path: Path, keep: Callable[[Turn], bool], photos: Sequence[str | Path], replies: bool
) -> Iterator[dict[str, Any]]:
    """The rows of those turns of a trace that are to be exported."""
    trace = load_trace(path)
    run = trace.run
    known_game(run.game)
    task = Task(game=run.game, level=run.level, look=run.look, prompt=run.prompt, reply=run.reply)
    look = look_of(run, photos)
    for turn in trace.finished():
        if keep(turn):
            state = turn.load()[1]
            (row,) = rows(task, state, [turn.reply] if replies else None, look)
            yield _with_nones(row)


def _with_nones(row: dict[str, Any]) -> dict[str, Any]:
    """Every block of a message with the same keys, as a table wants it."""
    for key in ("prompt", "completion"):
        for message in row.get(key, ()):
            message["content"] = [
                {"type": block["type"], "text": block.get("text")} for block in message["content"]
            ]
    return row
