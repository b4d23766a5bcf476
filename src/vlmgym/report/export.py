"""What traces are good for afterwards: a table for notebooks, data sets for trainers, episodes as
films.
"""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from vlmgym.core import NO_ACTION, ConfigError, need
from vlmgym.core.files import temporary_beside
from vlmgym.dialogue.judge import TERMS, Fault
from vlmgym.dialogue.prompt import Blocks
from vlmgym.episodes.records import USAGE, Episode, EvaluationRun, Turn
from vlmgym.episodes.task import Task
from vlmgym.episodes.trace import Trace, load_trace
from vlmgym.games import known_game
from vlmgym.games.parts.tile_kinds import PICTURE_CLASSES
from vlmgym.render.frames import pictures
from vlmgym.render.ink import typeface
from vlmgym.render.looks import Look, get_look
from vlmgym.train.rows import rows

ONLY = ("good", "exact", "all")
GROUP = 1000
"""Turns that are in memory at once."""


# ---- pictures
def look_of(run: EvaluationRun, photos: Sequence[str | Path] = ()) -> Look:
    """The look under which the boards of a trace are drawn again: the player's.

    A trace may come from anybody, so the path of photographs that it names is opened only if it was
    given here. Where another path was given, and no second one, the photographs are taken to have
    moved there.

    Args:
        run: the first line of the trace.
        photos: paths of photographs that may be opened.

    Raises:
        ConfigError: the boards show photographs from a path that was not given.
    """
    look, game = get_look(run.look), known_game(run.game)
    scene = game.sample(game.level(run.level))
    if scene.kind != "photo":
        return replace(look, photos="auto")
    if look.photos == "auto" and scene.names[1:] in PICTURE_CLASSES.values():
        return look
    given = [str(path) for path in photos]
    if look.photos in given:
        return look
    if len(given) == 1:
        return replace(look, photos=given[0])
    classes = (
        f"classes {', '.join(scene.names[1:4])} ..." if look.photos == "auto" else repr(look.photos)
    )
    raise ConfigError("--photos", given, f"the path of the photographs that were shown ({classes})")


# ---- a table
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
        _whole_file(out) as part,
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


@contextmanager
def _whole_file(out: Path) -> Iterator[Path]:
    """A place to write a file to, which becomes ``out`` if nothing fails; else nothing is left.

    Raises:
        ConfigError: ``out`` is there and is no regular file (a folder, a device).
    """
    if out.exists() and not out.is_file():
        raise ConfigError("out", str(out), "a new file, or a regular one to replace")
    out.parent.mkdir(parents=True, exist_ok=True)
    part = temporary_beside(out)
    try:
        yield part
        part.replace(out)
    finally:
        part.unlink(missing_ok=True)


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


# ---- data sets
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
        good = only == "all" or (turn.fault == Fault.NONE and turn.terms["format"] > 0)
        return good and (only != "exact" or bool(turn.p_acc))

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
    met: set[str] = set()

    def keep(turn: Turn) -> bool:
        new = turn.state not in met
        met.add(turn.state)
        return new

    return _dataset(traces, out, keep, photos, replies=False)


def _dataset(
    traces: Sequence[Path],
    out: Path,
    keep: Callable[[Turn], bool],
    photos: Sequence[str | Path],
    replies: bool,
) -> Path:
    need("train", "datasets")
    from datasets import Dataset, Features, Image, Value

    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError("out", str(out), "a folder that is empty, or not there yet")
    part = {"type": Value("string"), "text": Value("string")}
    said = [{"role": Value("string"), "content": [part]}]
    columns = {
        "prompt": said,
        "image": Image(),
        **dict.fromkeys(("game", "level", "look", "state", "reply"), Value("string")),
    }
    columns |= {"completion": said} if replies else {}

    def each() -> Iterator[dict[str, Any]]:
        for path in traces:
            trace = load_trace(path)
            run = trace.run
            known_game(run.game)
            task = Task(
                game=run.game, level=run.level, look=run.look, prompt=run.prompt, reply=run.reply
            )
            look = look_of(run, photos)
            for turn in trace.finished():
                if keep(turn):
                    (row,) = rows(task, turn.load()[1], [turn.reply] if replies else None, look)
                    yield _with_nones(row)

    found = list(each())
    if not found:
        raise ConfigError(
            "traces", [str(path) for path in traces], "traces with turns that are to be exported"
        )
    out.parent.mkdir(parents=True, exist_ok=True)
    begun = temporary_beside(out)
    try:
        Dataset.from_list(found, features=Features(columns)).save_to_disk(str(begun.absolute()))
        begun.replace(out)
    finally:
        shutil.rmtree(begun, ignore_errors=True)
    return out


def _with_nones(row: dict[str, Any]) -> dict[str, Any]:
    """Every part of a message with the same keys, as a table wants it."""
    for key in ("prompt", "completion"):
        for message in row.get(key, ()):
            message["content"] = [
                {"type": part["type"], "text": part.get("text")} for part in message["content"]
            ]
    return row


# ---- films
HEIGHT, TEXT, EDGE = 540, 620, 24
INK, SOFT, PAPER, LINE = "#1d2330", "#5d6677", "#ffffff", "#e1e5ec"


def video(
    trace: Path,
    episode: int,
    out: Path,
    seconds_a_turn: float = 2.0,
    photos: Sequence[str | Path] = (),
) -> Path:
    """One episode as MP4 (H.264, plays in browsers) or GIF: the board at the left, the reply and
    what came of it at the right.

    Args:
        trace: file of ``trace.jsonl``.
        episode: its number.
        out: ``...mp4`` or ``...gif``.
        seconds_a_turn: how long each turn stands.
        photos: see :func:`look_of`.

    Raises:
        ConfigError: another suffix, no such episode, or photographs are needed.
        MissingExtra: imageio-ffmpeg is not installed (extra ``video``; not needed for GIF).
    """
    if out.suffix not in (".mp4", ".gif"):
        raise ConfigError("out", str(out), "a name that ends in .mp4 or .gif")
    whole = load_trace(trace)
    turns = sorted(
        (turn for turn in whole.turns if turn.episode == episode), key=lambda turn: turn.turn
    )
    if not turns:
        there = sorted({turn.episode for turn in whole.turns})
        raise ConfigError(
            "episode",
            episode,
            "one of " + ", ".join(map(str, there[:20])) + (" ..." if len(there) > 20 else ""),
        )
    look = look_of(whole.run, photos)
    frames = [_frame(whole, look, turn, k, len(turns)) for k, turn in enumerate(turns)]
    game, state = turns[-1].load()
    after, _ = game.step(state, np.array([turns[-1].action]))
    end = next((one for one in whole.episodes if one.episode == episode), None)
    how = (
        f"The episode has ended: {end.end}, score {end.score}."
        if end
        else ("The episode is not finished.")
    )
    frames.append(_page(whole, look, after, [("", how)]))
    with _whole_file(out) as part:
        if out.suffix == ".gif":
            small = [frame.quantize(64, dither=Image.Dither.NONE) for frame in frames]
            small[0].save(
                part,
                save_all=True,
                append_images=small[1:],
                duration=int(1000 * seconds_a_turn),
                loop=0,
            )
        else:
            _film(part, frames, seconds_a_turn)
    return out


def _film(out: Path, frames: Sequence[Image.Image], seconds_a_turn: float) -> None:
    need("video", "imageio_ffmpeg")
    import imageio_ffmpeg

    rate = 10
    writer = imageio_ffmpeg.write_frames(
        str(out),
        frames[0].size,
        fps=rate,
        codec="libx264",
        pix_fmt_out="yuv420p",
        macro_block_size=2,
        ffmpeg_log_level="error",
    )
    writer.send(None)
    for frame in frames:
        for _ in range(max(1, round(rate * seconds_a_turn))):
            writer.send(np.ascontiguousarray(frame))
    writer.close()


def _frame(trace: Trace, look: Look, turn: Turn, number: int, count: int) -> Image.Image:
    game, state = turn.load()
    move = (
        game.encode(state.level, turn.action)
        if turn.action != NO_ACTION
        else f"none ({turn.problem.replace('_', ' ')})"
    )
    parts = [(f"turn {number + 1} of {count}", f"score {int(state.score[0])}")]
    reply = turn.reply
    for block in Blocks.of(trace.run.reply).names:
        said = Blocks.inside(block, reply)
        if said is not None:
            parts.append((block, said.strip()))
    if len(parts) == 1:
        parts.append(("reply", reply.strip() or "(empty)"))
    good = {Fault.NONE: "good", Fault.BOTH: "perception and reasoning error"}.get(
        Fault.of(turn.fault), f"{turn.fault} error"
    )
    terms = ", ".join(f"{key} {value:.3g}" for key, value in turn.terms.items())
    return _page(
        trace,
        look,
        state,
        [*parts, ("move", f"{move}: {good}, gain {turn.gain}"), ("terms", terms)],
    )


def _page(trace: Trace, look: Look, state: Any, parts: Sequence[tuple[str, str]]) -> Image.Image:
    """A board with a column of titled texts; a text that is too long for its place is cut, with an
    ellipsis.
    """
    game = trace.turns[0].load()[0]
    board = pictures(game, state, look)[0]
    scale = (HEIGHT - 2 * EDGE) / max(board.height, board.width)
    way = Image.Resampling.NEAREST if scale >= 2 else Image.Resampling.LANCZOS
    board = board.resize((round(board.width * scale), round(board.height * scale)), way)
    width = board.width + 3 * EDGE + TEXT
    page = Image.new("RGB", (width + width % 2, HEIGHT), PAPER)
    page.paste(board, (EDGE, (HEIGHT - board.height) // 2))
    draw, left, top = ImageDraw.Draw(page), board.width + 2 * EDGE, EDGE
    head, body = typeface("sans", 14), typeface("sans", 13)
    line, wide = 19, int(TEXT / body.getlength("n"))
    blocks = []
    for title, words in parts:
        blocks.append(
            (
                title,
                [
                    piece
                    for text in words.split("\n")
                    for piece in textwrap.wrap(text, wide) or [""]
                ],
            )
        )
    room = (HEIGHT - 2 * EDGE - line - 6 - len(blocks) * (line + line // 3)) // line
    while sum(len(lines) for _, lines in blocks) > room:
        longest = max(blocks, key=lambda one: len(one[1]))[1]
        del longest[-2:]
        longest.append("...")
    draw.text((left, top), f"{trace.run.player} on {trace.run.game}", fill=INK, font=head)
    top += line + 6
    for title, lines in blocks:
        draw.text((left, top), title, fill=SOFT, font=head)
        top += line
        for text in lines:
            draw.text((left, top), text, fill=INK, font=body)
            top += line
        top += line // 3
    return page
