"""Every turn of a run as data for a page: pictures, replies, what was seen wrongly, what would have
been best.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import math
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from vlmgym.core import NO_ACTION, Game, State, VlmGymError, concat
from vlmgym.dialogue.judge import TERMS, Fault
from vlmgym.dialogue.reply import Blocks
from vlmgym.episodes.records import Turn
from vlmgym.episodes.trace import Trace, load_trace
from vlmgym.episodes.trace_looks import look_of
from vlmgym.games import known_game
from vlmgym.render.frames import frame_size, render, tile_boxes
from vlmgym.render.looks import Look, get_look

SIDE = 360
"""Pixels of the longer side of a picture on the page; smaller pictures keep their size."""
MOST = 20_000
"""Turns on one page; of more, the first of each evaluation are shown, and the page says so."""
LINE = 1000
"""Turns for each line of progress where there is no terminal."""
HERE = Path(__file__).resolve().parent / "assets"
_CELL = re.compile(r"\((\d+), (\d+)\)")


def replay_data(
    evaluations: Sequence[tuple[str, str, Path]],
    progress: bool = True,
    photos: Sequence[str | Path] = (),
) -> dict[str, Any]:
    """What the page's script reads: players, tasks, episodes, turns and pictures, as plain JSON
    values.

    Args:
        evaluations: player, name of the task, and the folder of its ``trace.jsonl``.
        progress: tell on standard error how far it is where many pictures are drawn: a bar on a
            terminal, else lines.
        photos: see :func:`vlmgym.episodes.trace_looks.look_of`. Boards whose photographs are not
            there are grey, and the page says why.
    """
    players = list(dict.fromkeys(player for player, _, _ in evaluations))
    share = max(1, MOST // max(1, len(evaluations)))
    pages: dict[str, Any] = {"players": players, "terms": list(TERMS), "left_out": 0}
    pages |= {key: [] for key in ("tasks", "episodes", "turns", "pictures")}
    pictures: dict[tuple[str, str], int] = {}
    tasks: dict[str, int] = {}
    with _Progress(progress) as drawing:
        for player, task, folder in evaluations:
            trace = load_trace(folder / "trace.jsonl")
            key = f"{task}\n{trace.run.level}\n{trace.run.look}"
            if key not in tasks:
                tasks[key] = len(pages["tasks"])
                pages["tasks"].append(_task(task, trace))
            kept = sorted(trace.turns, key=lambda turn: (turn.episode, turn.turn))[:share]
            pages["left_out"] += len(trace.turns) - len(kept)
            drawing.expect(len(kept))
            try:
                look = look_of(trace.run, photos)
            except VlmGymError as error:
                look = None
                pages["tasks"][tasks[key]]["missing"] = str(error)
            _add(pages, pictures, players.index(player), tasks[key], trace, kept, look, drawing)
    return pages


class _Progress:
    """Tells how many turns are drawn: a bar on a terminal, a line for each 1,000 elsewhere, nothing
    where there are few.
    """

    def __init__(self, wanted: bool) -> None:
        self.done = 0
        self.lines = wanted and not sys.stderr.isatty()
        self.bar = tqdm(
            total=0, desc="report", unit="turn", file=sys.stderr, disable=None if wanted else True
        )

    def expect(self, turns: int) -> None:
        self.bar.total = (self.bar.total or 0) + turns
        self.expected = self.done + turns

    def add(self, turns: int) -> None:
        before = self.done
        self.done += turns
        self.bar.update(turns)
        if self.lines and self.done // LINE > before // LINE:
            sys.stderr.write(f"report: {self.done} turns drawn\n")

    def __enter__(self) -> _Progress:
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.close()


def _task(name: str, trace: Trace) -> dict[str, Any]:
    run = trace.run
    game = known_game(run.game)
    level = game.level(run.level)
    look = get_look(run.look)
    scene = game.sample(level)
    height, width = frame_size(game, level, look)
    boxes: list[list[float]] = []
    if scene.symbols[0].size:
        scale = np.array([width, height, width, height])
        boxes = (tile_boxes(game, level, look).reshape(-1, 4) / scale).round(5).tolist()
    return {
        "name": name,
        "game": run.game,
        "level": run.level,
        "look": run.look,
        "shape": list(scene.symbols.shape[1:]),
        "symbols": list(scene.names),
        "boxes": boxes,
        "size": [width, height],
        "mode": run.mode,
        "blocks": list(Blocks.of(run.reply).names),
        "missing": "",
        "evaluation": run.evaluation,
    }


def _add(
    pages: dict[str, Any],
    pictures: dict[tuple[str, str], int],
    player: int,
    task: int,
    trace: Trace,
    kept: Sequence[Turn],
    look: Look | None,
    progress: _Progress,
) -> None:
    rows: dict[int, list[int]] = {episode.episode: [] for episode in trace.episodes}
    for start in range(0, len(kept), 256):
        group = kept[start : start + 256]
        loaded = [turn.load() for turn in group]
        game = loaded[0][0]
        state = concat([state for _, state in loaded])
        fresh: dict[tuple[str, str], int] = {}
        for number, turn in enumerate(group):
            if (turn.state, trace.run.look) not in pictures:
                fresh.setdefault((turn.state, trace.run.look), number)
        if fresh:
            frames, missing = drawn(game, state[np.array(list(fresh.values()))], look)
            pages["tasks"][task]["missing"] = pages["tasks"][task]["missing"] or missing
            for key, frame in zip(fresh, frames, strict=True):
                pictures[key] = len(pages["pictures"])
                pages["pictures"].append(_png(frame))
        truth = game.scene(state).symbols
        for number, turn in enumerate(group):
            rows.setdefault(turn.episode, []).append(len(pages["turns"]))
            picture = pictures[turn.state, trace.run.look]
            pages["turns"].append({"picture": picture} | _turn(game, state, number, turn, truth))
        progress.add(len(group))
    ends = {episode.episode: episode for episode in trace.episodes}
    for episode, turns in rows.items():
        about: dict[str, Any]
        if end := ends.get(episode):
            seed = end.seed
            about = {"score": end.score, "end": end.end, "reason": end.reason, "repeat": end.repeat}
        else:
            seed = trace.turns[0].seed
            about = {"end": "unfinished"}
        pages["episodes"].append(
            {"player": player, "task": task, "episode": episode, "seed": str(seed), "turns": turns}
            | about
        )


def _turn(
    game: Game, state: State, row: int, turn: Turn, truth: NDArray[np.int16]
) -> dict[str, Any]:
    """A turn as the page has it, but for its picture.

    Args:
        game: the game.
        state: the boards of several turns.
        row: which of them this turn is.
        turn: the record.
        truth: the symbols of all these boards.
    """
    board = truth[row]
    seen = np.array(turn.seen, np.int16)
    wrong: list[list[int]] = []
    if seen.shape == board.shape and seen.size:
        cells = np.flatnonzero(seen.ravel() != board.ravel())
        wrong = [[int(cell), int(seen.flat[cell])] for cell in cells]
    elif board.size:
        wrong = [[cell, -1] for cell in range(board.size)]
    return {
        "reply": turn.reply,
        "reasoning": turn.reasoning,
        "move": explain_move(game, state, row, turn.action),
        "cells": named_cells(game, state, turn.action),
        "best": explain_move(game, state, row, turn.oracle_action),
        "fault": Fault.of(turn.fault),
        "problem": turn.problem,
        "terms": [turn.terms.get(term) for term in TERMS],
        "wrong": wrong,
        "true": [int(board.flat[cell]) for cell, _ in wrong],
        "of": int(board.size),
        "gain": turn.gain,
        "seconds": turn.seconds,
        "usage": {key: value for key, value in turn.usage.items() if value is not None},
    }


def drawn(game: Game, state: State, look: Look | None) -> tuple[NDArray[np.uint8], str]:
    """Boards under a look, or grey ones and the reason why they cannot be drawn (without a look:
    none is given).
    """
    if look is not None:
        try:
            return render(game, state, look), ""
        except VlmGymError as error:
            return drawn(game, state, None)[0], str(error)
    height, width = frame_size(game, state.level, "clean")
    return np.full((len(state), height, width, 3), 232, np.uint8), ""


def explain_move(game: Game, state: State, row: int, action: int, between: str = ": ") -> str:
    """A move and what it does, in the game's words; an explanation that repeats the move loses the
    repetition.
    """
    if action == NO_ACTION:
        return "no move"
    move = game.encode(state.level, action)
    effect = game.explain(state, row, action)
    effect = effect.replace(move, "") if len(move) > 2 else effect.removeprefix(move)
    effect = " ".join(effect.split())
    return f"{move}{between}{effect}" if effect else move


def named_cells(game: Game, state: State, action: int) -> list[int]:
    """The cells that a move names, by their number in reading order."""
    if action == NO_ACTION:
        return []
    cols = game.sample(state.level).symbols.shape[2]
    return [
        int(match[1]) * cols + int(match[2])
        for match in _CELL.finditer(game.encode(state.level, action))
    ]


def _png(frame: np.ndarray[Any, Any]) -> str:
    picture = Image.fromarray(frame)
    if max(picture.size) > SIDE:
        scale = SIDE / max(picture.size)
        picture = picture.resize(
            (round(picture.width * scale), round(picture.height * scale)), Image.Resampling.BOX
        )
    data = io.BytesIO()
    picture.quantize(96, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE).save(data, "PNG")
    return base64.b64encode(data.getvalue()).decode()


def _finite(value: Any) -> Any:
    """The value with None for numbers that JSON has not."""
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def replay_section(data: dict[str, Any]) -> tuple[str, str, str]:
    """The section as HTML, its style, and the hash of its script for the page's policy
    (``'sha256-...'``).

    Whatever a model wrote stands in a JSON block in which every ``<`` is written as its number, so
    that nothing in it can end the block; the script puts it on the page as text only.

    Raises:
        VlmGymError: the page's own files are missing.
    """
    try:
        script, style = (
            (HERE / f"replay.{kind}").read_text(encoding="utf-8") for kind in ("js", "css")
        )
    except OSError as error:
        raise VlmGymError(f"the files of the page are missing: {error}") from error
    block = json.dumps(_finite(data), separators=(",", ":"), allow_nan=False).replace(
        "<", "\\u003c"
    )
    section = (
        '<div id="replay"></div><noscript>This part needs JavaScript.</noscript><script '
        f'type="application/json" id="replay-data">{block}</script><script>{script}</script>'
    )
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return section, style, f"'sha256-{digest}'"
