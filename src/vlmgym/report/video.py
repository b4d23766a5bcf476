"""An episode as a film."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from vlmgym.core import NO_ACTION, ConfigError, State, need
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
"""Margin around board and texts."""
LINE = 19
"""Height of a line of text."""
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
    run_trace = load_trace(trace)
    turns = _turns_of(run_trace, episode)
    look = look_of(run_trace.run, photos)
    frames = []
    for number, turn in enumerate(turns, 1):
        frames.append(_frame(run_trace, look, turn, f"turn {number} of {len(turns)}"))
    frames.append(_last_frame(run_trace, look, turns[-1]))
    with whole_file(out) as unfinished:
        if out.suffix == ".gif":
            _write_gif(unfinished, frames, seconds_a_turn)
        else:
            _write_mp4(unfinished, frames, seconds_a_turn)
    return out


def _turns_of(trace: Trace, episode: int) -> list[Turn]:
    """The turns of an episode in their order.

    Raises:
        ConfigError: there is no such episode.
    """
    turns = [turn for turn in trace.turns if turn.episode == episode]
    if not turns:
        numbers = sorted({turn.episode for turn in trace.turns})
        allowed = "one of " + ", ".join(map(str, numbers[:20]))
        raise ConfigError("episode", episode, allowed + (" ..." if len(numbers) > 20 else ""))
    return sorted(turns, key=lambda turn: turn.turn)


def _write_gif(out: Path, frames: Sequence[Image.Image], seconds_a_turn: float) -> None:
    pages = [frame.quantize(64, dither=Image.Dither.NONE) for frame in frames]
    pages[0].save(
        out,
        save_all=True,
        append_images=pages[1:],
        duration=int(1000 * seconds_a_turn),
        loop=0,
    )


def _write_mp4(out: Path, frames: Sequence[Image.Image], seconds_a_turn: float) -> None:
    need("video", "imageio_ffmpeg")
    import imageio_ffmpeg

    rate = 10  # frames a second
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


def _frame(trace: Trace, look: Look, turn: Turn, title: str) -> Image.Image:
    """A turn: the board, the blocks of the reply, the move and its terms."""
    game, state = turn.load()
    texts = [(title, f"score {int(state.score[0])}")]
    for block in Blocks.of(trace.run.reply).names:
        words = Blocks.inside(block, turn.reply)
        if words is not None:
            texts.append((block, words.strip()))
    if len(texts) == 1:
        texts.append(("reply", turn.reply.strip() or "(empty)"))
    move = f"none ({turn.problem.replace('_', ' ')})"
    if turn.action != NO_ACTION:
        move = game.encode(state.level, turn.action)
    texts.append(("move", f"{move}: {Fault.of(turn.fault).phrase}, gain {turn.gain}"))
    terms = ", ".join(f"{term} {value:.3g}" for term, value in turn.terms.items())
    texts.append(("terms", terms))
    return _page(trace, look, state, texts)


def _last_frame(trace: Trace, look: Look, turn: Turn) -> Image.Image:
    """The board after the last turn, and how the episode ended."""
    game, state = turn.load()
    after, _ = game.step(state, np.array([turn.action]))
    ending = "The episode is not finished."
    for episode in trace.episodes:
        if episode.episode == turn.episode:
            ending = f"The episode has ended: {episode.end}, score {episode.score}."
            break
    return _page(trace, look, after, [("", ending)])


def _wrapped(texts: Sequence[tuple[str, str]], width: int) -> list[tuple[str, list[str]]]:
    """Titled texts as lines of so many letters."""
    blocks = []
    for title, text in texts:
        lines: list[str] = []
        for paragraph in text.split("\n"):
            lines += textwrap.wrap(paragraph, width) or [""]
        blocks.append((title, lines))
    return blocks


def _shorten(blocks: Sequence[tuple[str, list[str]]], limit: int) -> None:
    """Cut the longest of the texts until all together have at most so many lines."""
    while sum(len(lines) for _, lines in blocks) > limit:
        _, longest = max(blocks, key=lambda block: len(block[1]))
        del longest[-2:]
        longest.append("...")


def _page(trace: Trace, look: Look, state: State, texts: Sequence[tuple[str, str]]) -> Image.Image:
    """A board with a column of titled texts; a text that is too long for its place is cut, with an
    ellipsis.
    """
    board = _board(trace, look, state)
    width = board.width + 3 * EDGE + TEXT
    page = Image.new("RGB", (width + width % 2, HEIGHT), PAPER)
    page.paste(board, (EDGE, (HEIGHT - board.height) // 2))
    title_font = typeface("sans", 14)
    text_font = typeface("sans", 13)
    blocks = _wrapped(texts, int(TEXT / text_font.getlength("n")))
    height_of_titles = LINE + 6 + len(blocks) * (LINE + LINE // 3)
    _shorten(blocks, (HEIGHT - 2 * EDGE - height_of_titles) // LINE)
    drawing = ImageDraw.Draw(page)
    left = board.width + 2 * EDGE
    top = EDGE
    heading = f"{trace.run.player} on {trace.run.game}"
    drawing.text((left, top), heading, fill=INK, font=title_font)
    top += LINE + 6
    for title, lines in blocks:
        drawing.text((left, top), title, fill=SOFT, font=title_font)
        top += LINE
        for line in lines:
            drawing.text((left, top), line, fill=INK, font=text_font)
            top += LINE
        top += LINE // 3
    return page


def _board(trace: Trace, look: Look, state: State) -> Image.Image:
    """The picture of a board, as large as the page allows."""
    game = trace.turns[0].load()[0]
    board = pictures(game, state, look)[0]
    scale = (HEIGHT - 2 * EDGE) / max(board.height, board.width)
    resampling = Image.Resampling.NEAREST if scale >= 2 else Image.Resampling.LANCZOS
    return board.resize((round(board.width * scale), round(board.height * scale)), resampling)
