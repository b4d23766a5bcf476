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
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from vlmgym.core import NO_ACTION, Game, State, VlmGymError, concat
from vlmgym.dialogue.judge import Fault
from vlmgym.dialogue.reply import Blocks
from vlmgym.dialogue.weights import TERMS
from vlmgym.episodes.records import Episode, Turn
from vlmgym.episodes.trace import Trace, load_trace
from vlmgym.episodes.trace_looks import look_of
from vlmgym.games import known_game
from vlmgym.render.frames import frame_size, render, tile_boxes
from vlmgym.render.looks import Look, get_look

SIDE = 360
"""Pixels of the longer side of a picture on the page; smaller pictures keep their size."""
MOST = 20_000
"""Turns on one page; of more, the first of each evaluation are shown, and the page says so."""
GROUP = 256
"""Turns that are drawn at once."""
LINE = 1000
"""Turns for each line of progress where there is no terminal."""
ASSETS = Path(__file__).resolve().parent / "assets"
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
    limit = max(1, MOST // max(1, len(evaluations)))
    with _Progress(progress) as bar:
        pages = _Pages(players, bar)
        for player, task, folder in evaluations:
            trace = load_trace(folder / "trace.jsonl")
            pages.add(player, task, trace, limit, photos)
    return pages.data


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


class _Pages:
    """The data of the script as it grows, evaluation by evaluation.

    Args:
        players: all of them, in the order of the page.
        progress: told of each turn that is drawn.
    """

    def __init__(self, players: Sequence[str], progress: _Progress) -> None:
        self.progress = progress
        self.data: dict[str, Any] = {
            "players": players,
            "terms": list(TERMS),
            "faults": {fault.value: [fault.phrase, fault.colour, fault.ink] for fault in Fault},
            "left_out": 0,
            "tasks": [],
            "episodes": [],
            "turns": [],
            "pictures": [],
        }
        self._pictures: dict[tuple[str, str], int] = {}  # by state and look
        self._tasks: dict[str, int] = {}

    def add(
        self, player: str, task: str, trace: Trace, limit: int, photos: Sequence[str | Path]
    ) -> None:
        """Add an evaluation, with the first turns up to ``limit``."""
        turns = sorted(trace.turns, key=lambda turn: (turn.episode, turn.turn))[:limit]
        self.data["left_out"] += len(trace.turns) - len(turns)
        self.progress.expect(len(turns))
        task_number = self._task_number(task, trace)
        look = None
        try:
            look = look_of(trace.run, photos)
        except VlmGymError as error:
            self.data["tasks"][task_number]["missing"] = str(error)
        rows = self._add_turns(trace, task_number, turns, look)
        player_number = self.data["players"].index(player)
        ends = {episode.episode: episode for episode in trace.episodes}
        for number, turn_numbers in rows.items():
            end = ends.get(number)
            place = {
                "player": player_number,
                "task": task_number,
                "episode": number,
                "seed": str(end.seed if end else trace.turns[0].seed),
                "turns": turn_numbers,
            }
            self.data["episodes"].append(place | _ending(end))

    def _task_number(self, name: str, trace: Trace) -> int:
        key = f"{name}\n{trace.run.level}\n{trace.run.look}"
        if key not in self._tasks:
            self._tasks[key] = len(self.data["tasks"])
            self.data["tasks"].append(_task(name, trace))
        return self._tasks[key]

    def _add_turns(
        self, trace: Trace, task: int, turns: Sequence[Turn], look: Look | None
    ) -> dict[int, list[int]]:
        """Add the turns and their pictures; returns the numbers of the turns by episode."""
        rows: dict[int, list[int]] = {episode.episode: [] for episode in trace.episodes}
        for start in range(0, len(turns), GROUP):
            group = turns[start : start + GROUP]
            loaded = [turn.load() for turn in group]
            game = loaded[0][0]
            boards = concat([state for _, state in loaded])
            self._draw(game, boards, trace.run.look, group, task, look)
            truth = game.scene(boards).symbols
            for row, turn in enumerate(group):
                rows.setdefault(turn.episode, []).append(len(self.data["turns"]))
                picture = self._pictures[turn.state, trace.run.look]
                entry = {"picture": picture} | _turn(game, boards, row, turn, truth)
                self.data["turns"].append(entry)
            self.progress.add(len(group))
        return rows

    def _draw(
        self,
        game: Game,
        boards: State,
        look_name: str,
        turns: Sequence[Turn],
        task: int,
        look: Look | None,
    ) -> None:
        """Draw the boards of these turns that are not drawn yet."""
        rows: dict[tuple[str, str], int] = {}
        for row, turn in enumerate(turns):
            key = (turn.state, look_name)
            if key not in self._pictures:
                rows.setdefault(key, row)
        if not rows:
            return
        frames, missing = drawn(game, boards[np.array(list(rows.values()))], look)
        settings = self.data["tasks"][task]
        settings["missing"] = settings["missing"] or missing
        for key, frame in zip(rows, frames, strict=True):
            self._pictures[key] = len(self.data["pictures"])
            self.data["pictures"].append(_png(frame))


def _ending(episode: Episode | None) -> dict[str, Any]:
    """How an episode ended; None stands for one that has no record."""
    if episode is None:
        return {"end": "unfinished"}
    return {
        "score": episode.score,
        "end": episode.end,
        "reason": episode.reason,
        "repeat": episode.repeat,
    }


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
    wrong = _wrong_cells(board, np.array(turn.seen, np.int16))
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


def _wrong_cells(board: NDArray[np.int16], seen: NDArray[np.int16]) -> list[list[int]]:
    """Number and described symbol of each cell that is not described right; -1 = not stated."""
    if seen.shape == board.shape and seen.size:
        cells = np.flatnonzero(seen.ravel() != board.ravel())
        return [[int(cell), int(seen.flat[cell])] for cell in cells]
    return [[cell, -1] for cell in range(board.size)]


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
    columns = game.sample(state.level).symbols.shape[2]
    matches = _CELL.finditer(game.encode(state.level, action))
    return [int(match[1]) * columns + int(match[2]) for match in matches]


def _png(frame: np.ndarray[Any, Any]) -> str:
    """A frame as PNG in base64, shrunk to :data:`SIDE`."""
    picture = Image.fromarray(frame)
    longer_side = max(picture.size)
    if longer_side > SIDE:
        scale = SIDE / longer_side
        size = (round(picture.width * scale), round(picture.height * scale))
        picture = picture.resize(size, Image.Resampling.BOX)
    few_colours = picture.quantize(96, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    file = io.BytesIO()
    few_colours.save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def _finite(value: Any) -> Any:
    """The value with None for numbers that JSON has not."""
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


class Replay(NamedTuple):
    """The section of every turn."""

    section: str  # HTML
    style: str  # CSS
    script: str  # the hash of its script for the page's policy: "'sha256-...'"


def replay_section(data: dict[str, Any]) -> Replay:
    """The section as HTML, its style, and the hash of its script for the page's policy.

    Whatever a model wrote stands in a JSON block in which every ``<`` is written as its number, so
    that nothing in it can end the block; the script puts it on the page as text only.

    Raises:
        VlmGymError: the page's own files are missing.
    """
    try:
        script = (ASSETS / "replay.js").read_text(encoding="utf-8")
        style = (ASSETS / "replay.css").read_text(encoding="utf-8")
    except OSError as error:
        raise VlmGymError(f"the files of the page are missing: {error}") from error
    text = json.dumps(_finite(data), separators=(",", ":"), allow_nan=False)
    block = text.replace("<", "\\u003c")
    section = (
        '<div id="replay"></div><noscript>This part needs JavaScript.</noscript><script '
        f'type="application/json" id="replay-data">{block}</script><script>{script}</script>'
    )
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return Replay(section, style, f"'sha256-{digest}'")
