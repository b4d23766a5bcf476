"""All turns of traces as one table, for notebooks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vlmgym.core import ConfigError, need
from vlmgym.core.files import whole_file
from vlmgym.dialogue.weights import TERMS
from vlmgym.episodes.records import USAGE, Episode, Turn
from vlmgym.episodes.trace import Trace, load_trace

RUN = ("player", "game", "level", "look", "prompt", "mode")
"""Columns from the first line of a trace."""
TURN = (
    "episode",
    "turn",
    "seed",
    "state",
    "reply",
    "reasoning",
    "action",
    "problem",
    "fault",
    "gain",
    "p_acc",
    "localises",
    "enumerates",
    "seen",
    "oracle_value",
    "oracle_best",
    "oracle_action",
    "seconds",
)
"""Columns from a turn, as they are."""
GROUP = 1000
"""Turns that are in memory at once."""


def turns_table(traces: Sequence[Path], out: Path) -> Path:
    """All turns as one Parquet file, a row a turn, with what is known of its run and episode; for
    pandas or Polars.

    Columns: ``player``, ``game``, ``level``, ``look``, ``prompt``, ``mode``; ``episode``,
    ``repeat``, ``turn``, ``seed``; ``end`` and ``score`` of the whole episode; ``state`` (text),
    ``reply``, ``reasoning``, ``action``, ``problem``, ``fault``, ``gain``, ``term_...``, ``p_acc``,
    ``localises``, ``enumerates``, ``seen`` (lists of rows), ``oracle_value``, ``oracle_best``,
    ``oracle_action``, ``seconds``, ``input_tokens``, ``output_tokens``, ``reasoning_tokens``,
    ``cost``, ``attempts``, ``finish``.

    Args:
        traces: files of ``trace.jsonl``.
        out: the file to write.

    Raises:
        ConfigError: the traces have no turn.
        MissingExtra: pyarrow is not installed (extra ``train``).
    """
    need("train", "pyarrow")
    import pyarrow
    from pyarrow import parquet

    schema = pyarrow.schema(_columns(pyarrow))
    count = 0
    with (  # of a path with a colon Arrow would make an address
        whole_file(out) as unfinished,
        unfinished.open("xb") as file,
        parquet.ParquetWriter(file, schema, compression="zstd") as writer,
    ):
        for path in traces:
            trace = load_trace(path)
            episodes = {episode.episode: episode for episode in trace.episodes}
            for start in range(0, len(trace.turns), GROUP):
                turns = trace.turns[start : start + GROUP]
                records = [_record(trace, episodes, turn) for turn in turns]
                writer.write_table(pyarrow.Table.from_pylist(records, schema))
                count += len(records)
        if not count:
            raise ConfigError(
                "traces", [str(path) for path in traces], "at least one trace with turns"
            )
    return out


def _columns(pyarrow: Any) -> list[tuple[str, Any]]:
    """Names and types of the columns.

    Args:
        pyarrow: the module.
    """
    text = pyarrow.string()
    integer = pyarrow.int64()
    number = pyarrow.float64()
    boolean = pyarrow.bool_()
    return [
        *((name, text) for name in RUN),
        ("episode", integer),
        ("repeat", integer),
        ("turn", integer),
        ("seed", pyarrow.uint64()),
        ("end", text),
        ("score", integer),
        ("state", text),
        ("reply", text),
        ("reasoning", text),
        ("action", integer),
        ("problem", text),
        ("fault", text),
        ("gain", integer),
        *((f"term_{term}", number) for term in TERMS),
        ("p_acc", boolean),
        ("localises", boolean),
        ("enumerates", boolean),
        ("seen", pyarrow.list_(pyarrow.list_(pyarrow.int16()))),
        ("oracle_value", number),
        ("oracle_best", number),
        ("oracle_action", integer),
        ("seconds", number),
        ("input_tokens", integer),
        ("output_tokens", integer),
        ("reasoning_tokens", integer),
        ("attempts", integer),
        ("cost", number),
        ("finish", text),
    ]


def _record(trace: Trace, episodes: Mapping[int, Episode], turn: Turn) -> dict[str, Any]:
    """A turn as a row."""
    record = {name: getattr(trace.run, name) for name in RUN}
    if episode := episodes.get(turn.episode):
        record |= {"end": episode.end, "score": episode.score, "repeat": episode.repeat}
    record |= {name: getattr(turn, name) for name in TURN}
    record |= {f"term_{term}": turn.terms.get(term) for term in TERMS}
    record |= {name: turn.usage.get(name) for name in USAGE}
    return record
