"""All turns of traces as one table, for notebooks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vlmgym.core import ConfigError, need
from vlmgym.core.files import whole_file
from vlmgym.dialogue.judge import TERMS
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
    import pyarrow as pa
    from pyarrow import parquet

    schema = pa.schema(_columns(pa))
    count = 0
    with (  # of a path with a colon Arrow would make an address
        whole_file(out) as unfinished,
        unfinished.open("xb") as file,
        parquet.ParquetWriter(file, schema, compression="zstd") as writer,
    ):
        for path in traces:
            trace = load_trace(path)
            ends = {episode.episode: episode for episode in trace.episodes}
            for start in range(0, len(trace.turns), GROUP):
                turns = trace.turns[start : start + GROUP]
                records = [_record(trace, ends, turn) for turn in turns]
                writer.write_table(pa.Table.from_pylist(records, schema))
                count += len(records)
        if not count:
            raise ConfigError(
                "traces", [str(path) for path in traces], "at least one trace with turns"
            )
    return out


def _columns(pa: Any) -> list[tuple[str, Any]]:
    """Names and types of the columns.

    Args:
        pa: the module ``pyarrow``.
    """
    text = pa.string()
    whole = pa.int64()
    real = pa.float64()
    flag = pa.bool_()
    return [
        *((key, text) for key in RUN),
        ("episode", whole),
        ("repeat", whole),
        ("turn", whole),
        ("seed", pa.uint64()),
        ("end", text),
        ("score", whole),
        ("state", text),
        ("reply", text),
        ("reasoning", text),
        ("action", whole),
        ("problem", text),
        ("fault", text),
        ("gain", whole),
        *((f"term_{term}", real) for term in TERMS),
        ("p_acc", flag),
        ("localises", flag),
        ("enumerates", flag),
        ("seen", pa.list_(pa.list_(pa.int16()))),
        ("oracle_value", real),
        ("oracle_best", real),
        ("oracle_action", whole),
        ("seconds", real),
        ("input_tokens", whole),
        ("output_tokens", whole),
        ("reasoning_tokens", whole),
        ("attempts", whole),
        ("cost", real),
        ("finish", text),
    ]


def _record(trace: Trace, ends: Mapping[int, Episode], turn: Turn) -> dict[str, Any]:
    """A turn as a row."""
    record = {key: getattr(trace.run, key) for key in RUN}
    if episode := ends.get(turn.episode):
        record |= {"end": episode.end, "score": episode.score, "repeat": episode.repeat}
    record |= {key: getattr(turn, key) for key in TURN}
    record |= {f"term_{term}": turn.terms.get(term) for term in TERMS}
    record |= {key: turn.usage.get(key) for key in USAGE}
    return record
