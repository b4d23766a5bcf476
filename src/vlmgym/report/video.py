"""An episode as a film."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from vlmgym.core import NO_ACTION, ConfigError, need
from vlmgym.core.files import whole_file
from vlmgym.dialogue.judge import Fault
from vlmgym.dialogue.reply import Blocks
from vlmgym.episodes.records import Turn
from vlmgym.episodes.trace import Trace, load_trace
from vlmgym.episodes.trace_looks import look_of
from vlmgym.render.frames import pictures
from vlmgym.render.ink import typeface
from vlmgym.render.looks import Look

HEIGHT = 540
TEXT = 620
"""Width of the column of texts."""
EDGE = 24
INK = "#1d2330"
SOFT = "#5d6677"
PAPER = "#ffffff"


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
        numbers = sorted({turn.episode for turn in whole.turns})
        allowed = "one of " + ", ".join(map(str, numbers[:20]))
        raise ConfigError("episode", episode, allowed + (" ..." if len(numbers) > 20 else ""))
    look = look_of(whole.run, photos)
    frames = [_frame(whole, look, turn, number, len(turns)) for number, turn in enumerate(turns)]
    game, state = turns[-1].load()
    after, _ = game.step(state, np.array([turns[-1].action]))
    end = next((other for other in whole.episodes if other.episode == episode), None)
    ending = "The episode is not finished."
    if end:
        ending = f"The episode has ended: {end.end}, score {end.score}."
    frames.append(_page(whole, look, after, [("", ending)]))
    with whole_file(out) as unfinished:
        if out.suffix == ".gif":
            small = [frame.quantize(64, dither=Image.Dither.NONE) for frame in frames]
            small[0].save(
                unfinished,
                save_all=True,
                append_images=small[1:],
                duration=int(1000 * seconds_a_turn),
                loop=0,
            )
        else:
            _film(unfinished, frames, seconds_a_turn)
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
    texts = [(f"turn {number + 1} of {count}", f"score {int(state.score[0])}")]
    reply = turn.reply
    for block in Blocks.of(trace.run.reply).names:
        words = Blocks.inside(block, reply)
        if words is not None:
            texts.append((block, words.strip()))
    if len(texts) == 1:
        texts.append(("reply", reply.strip() or "(empty)"))
    good = {Fault.NONE: "good", Fault.BOTH: "perception and reasoning error"}.get(
        Fault.of(turn.fault), f"{turn.fault} error"
    )
    terms = ", ".join(f"{key} {value:.3g}" for key, value in turn.terms.items())
    return _page(
        trace,
        look,
        state,
        [*texts, ("move", f"{move}: {good}, gain {turn.gain}"), ("terms", terms)],
    )


def _wrapped(texts: Sequence[tuple[str, str]], width: int) -> list[tuple[str, list[str]]]:
    """Titled texts as lines of so many letters."""
    return [
        (title, [line for text in words.split("\n") for line in textwrap.wrap(text, width) or [""]])
        for title, words in texts
    ]


def _shorten(blocks: Sequence[tuple[str, list[str]]], most: int) -> None:
    """Cut the longest of the texts until all together have at most so many lines."""
    while sum(len(lines) for _, lines in blocks) > most:
        _, longest = max(blocks, key=lambda block: len(block[1]))
        del longest[-2:]
        longest.append("...")


def _page(trace: Trace, look: Look, state: Any, texts: Sequence[tuple[str, str]]) -> Image.Image:
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
    draw = ImageDraw.Draw(page)
    left = board.width + 2 * EDGE
    top = EDGE
    head = typeface("sans", 14)
    body = typeface("sans", 13)
    line = 19
    blocks = _wrapped(texts, int(TEXT / body.getlength("n")))
    _shorten(blocks, (HEIGHT - 2 * EDGE - line - 6 - len(blocks) * (line + line // 3)) // line)
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
