"""All turns of traces as one table, for notebooks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vlmgym.core import ConfigError, need
from vlmgym.core.files import whole_file
from vlmgym.dialogue.judge import TERMS
from vlmgym.episodes.trace import USAGE, Episode, Trace, Turn, load_trace

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

    text, whole, real, flag = pa.string(), pa.int64(), pa.float64(), pa.bool_()
    kinds = dict.fromkeys(("player", "game", "level", "look", "prompt", "mode"), text)
    kinds |= {
        "episode": whole,
        "repeat": whole,
        "turn": whole,
        "seed": pa.uint64(),
        "end": text,
        "score": whole,
    }
    kinds |= {
        "state": text,
        "reply": text,
        "reasoning": text,
        "action": whole,
        "problem": text,
        "fault": text,
        "gain": whole,
    }
    kinds |= {f"term_{term}": real for term in TERMS}
    kinds |= {
        "p_acc": flag,
        "localises": flag,
        "enumerates": flag,
        "seen": pa.list_(pa.list_(pa.int16())),
    }
    kinds |= {"oracle_value": real, "oracle_best": real, "oracle_action": whole, "seconds": real}
    kinds |= dict.fromkeys(("input_tokens", "output_tokens", "reasoning_tokens", "attempts"), whole)
    kinds |= {"cost": real, "finish": text}
    schema, count = pa.schema(list(kinds.items())), 0
    with (  # of a path with a colon Arrow would make an address
        whole_file(out) as part,
        part.open("xb") as file,
        parquet.ParquetWriter(file, schema, compression="zstd") as writer,
    ):
        for path in traces:
            trace = load_trace(path)
            ends = {one.episode: one for one in trace.episodes}
            for start in range(0, len(trace.turns), GROUP):
                found = [_record(trace, ends, turn) for turn in trace.turns[start : start + GROUP]]
                writer.write_table(pa.Table.from_pylist(found, schema))
                count += len(found)
        if not count:
            raise ConfigError(
                "traces", [str(path) for path in traces], "at least one trace with turns"
            )
    return out


def _record(trace: Trace, ends: Mapping[int, Episode], turn: Turn) -> dict[str, Any]:
    run, end = trace.run, ends.get(turn.episode)
    about = {
        key: getattr(run, key) for key in ("player", "game", "level", "look", "prompt", "mode")
    }
    about |= {"end": end.end, "score": end.score, "repeat": end.repeat} if end else {}
    same = (
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
    )
    more = ("enumerates", "seen", "oracle_value", "oracle_best", "oracle_action", "seconds")
    about |= {key: getattr(turn, key) for key in (*same, *more)}
    return (
        about
        | {f"term_{term}": turn.terms.get(term) for term in TERMS}
        | {key: turn.usage.get(key) for key in USAGE}
    )
