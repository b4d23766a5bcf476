"""Every turn of a run as data for a page: pictures, replies, what was seen wrongly, what would have been best."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tqdm import tqdm

from vlmgym.core import NO_ACTION, Game, State, VlmGymError, concat
from vlmgym.games import known_game
from vlmgym.looks import get_look
from vlmgym.render import frame_size, render, tile_boxes
from vlmgym.reward import TERMS
from vlmgym.trace import Trace, Turn, load_trace

SIDE = 360
"""Pixels of the longer side of a picture on the page; smaller pictures keep their size."""
MOST = 20_000
"""Turns on one page; of more, the first of each evaluation are shown, and the page says so."""
HERE = Path(__file__).resolve().parent / "skins"
_CELL = re.compile(r"\((\d+), (\d+)\)")


def replay_data(evaluations: Sequence[tuple[str, str, Path]], progress: bool = True) -> dict[str, Any]:
    """What the page's script reads: players, tasks, episodes, turns and pictures, as plain JSON values.

    Args:
        evaluations: player, name of the task, and the folder of its ``trace.jsonl``.
        progress: show a bar on standard error where many pictures are drawn.
    """
    players = list(dict.fromkeys(player for player, _, _ in evaluations))
    share = max(1, MOST // max(1, len(evaluations)))
    pages: dict[str, Any] = {"players": players, "terms": list(TERMS), "left_out": 0}
    pages |= {key: [] for key in ("tasks", "episodes", "turns", "pictures")}
    pictures: dict[tuple[str, str], int] = {}
    tasks: dict[str, int] = {}
    with tqdm(total=len(evaluations), desc="report", unit="trace", file=sys.stderr, disable=None if progress else True) as bar:
        for player, task, folder in evaluations:
            trace = load_trace(folder / "trace.jsonl")
            key = f"{task}\n{trace.run.level}\n{trace.run.look}"
            if key not in tasks:
                tasks[key] = len(pages["tasks"])
                pages["tasks"].append(_task(task, trace))
            kept = sorted(trace.turns, key=lambda turn: (turn.episode, turn.turn))[:share]
            pages["left_out"] += len(trace.turns) - len(kept)
            _add(pages, pictures, players.index(player), tasks[key], trace, kept)
            bar.update()
    return pages


def _task(name: str, trace: Trace) -> dict[str, Any]:
    run = trace.run
    game = known_game(run.game)
    level, look = game.level(run.level), get_look(run.look)
    scene, (height, width) = game.sample(level), frame_size(game, level, look)
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
        "evaluation": run.evaluation,
    }


def _add(
    pages: dict[str, Any], pictures: dict[tuple[str, str], int], player: int, task: int, trace: Trace, kept: Sequence[Turn]
) -> None:
    look = get_look(trace.run.look)
    ends = {one.episode: one for one in trace.episodes}
    rows: dict[int, list[int]] = {one.episode: [] for one in trace.episodes}
    for start in range(0, len(kept), 256):
        part = kept[start : start + 256]
        loaded = [turn.load() for turn in part]
        game, state = loaded[0][0], concat([one for _, one in loaded])
        fresh: dict[tuple[str, str], int] = {}
        for i, turn in enumerate(part):
            if (turn.state, trace.run.look) not in pictures:
                fresh.setdefault((turn.state, trace.run.look), i)
        if fresh:
            frames = render(game, state[np.array(list(fresh.values()))], look)
            for key, frame in zip(fresh, frames, strict=True):
                pictures[key] = len(pages["pictures"])
                pages["pictures"].append(_png(frame))
        truth = game.scene(state).symbols
        for i, turn in enumerate(part):
            rows.setdefault(turn.episode, []).append(len(pages["turns"]))
            seen = np.array(turn.seen, np.int16)
            wrong: list[list[int]] = []
            if seen.shape == truth[i].shape and seen.size:
                wrong = [[int(k), int(seen.flat[k])] for k in np.flatnonzero(seen.ravel() != truth[i].ravel())]
            elif truth[i].size:
                wrong = [[k, -1] for k in range(truth[i].size)]
            told = {key: value for key, value in turn.usage.items() if value is not None}
            pages["turns"].append(
                {
                    "picture": pictures[turn.state, trace.run.look],
                    "reply": turn.reply,
                    "reasoning": turn.reasoning,
                    "move": explain_move(game, state, i, turn.action),
                    "cells": named_cells(game, state, turn.action),
                    "best": explain_move(game, state, i, turn.oracle_action),
                    "fault": turn.fault,
                    "problem": turn.problem,
                    "terms": [turn.terms.get(term) for term in TERMS],
                    "wrong": wrong,
                    "true": [int(truth[i].flat[k]) for k, _ in wrong],
                    "of": int(truth[i].size),
                    "gain": turn.gain,
                    "seconds": turn.seconds,
                    "usage": told,
                }
            )
    for episode, turns in rows.items():
        end = ends.get(episode)
        seed = end.seed if end else trace.turns[0].seed
        about = {"score": end.score, "end": end.end, "reason": end.reason, "repeat": end.repeat} if end else {"end": "unfinished"}
        pages["episodes"].append({"player": player, "task": task, "episode": episode, "seed": str(seed), "turns": turns} | about)


def explain_move(game: Game, state: State, row: int, action: int, between: str = ": ") -> str:
    """A move and what it does, in the game's words; an explanation that repeats the move loses the repetition."""
    if action == NO_ACTION:
        return "no move"
    move = game.encode(state.level, action)
    effect = game.explain(state, row, action)
    effect = " ".join((effect.replace(move, "") if len(move) > 2 else effect.removeprefix(move)).split())
    return f"{move}{between}{effect}" if effect else move


def named_cells(game: Game, state: State, action: int) -> list[int]:
    """The cells that a move names, by their number in reading order."""
    if action == NO_ACTION:
        return []
    cols = game.sample(state.level).symbols.shape[2]
    return [int(match[1]) * cols + int(match[2]) for match in _CELL.finditer(game.encode(state.level, action))]


def _png(frame: np.ndarray[Any, Any]) -> str:
    picture = Image.fromarray(frame)
    if max(picture.size) > SIDE:
        scale = SIDE / max(picture.size)
        picture = picture.resize((round(picture.width * scale), round(picture.height * scale)), Image.Resampling.BOX)
    data = io.BytesIO()
    picture.quantize(96, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE).save(data, "PNG")
    return base64.b64encode(data.getvalue()).decode()


def replay_section(data: dict[str, Any]) -> tuple[str, str, str]:
    """The section as HTML, its style, and the hash of its script for the page's policy (``'sha256-...'``).

    Whatever a model wrote stands in a JSON block in which every ``<`` is written as its number, so that nothing in it can end the
    block; the script puts it on the page as text only.

    Raises:
        VlmGymError: the page's own files are missing.
    """
    try:
        script, style = ((HERE / f"replay.{kind}").read_text(encoding="utf-8") for kind in ("js", "css"))
    except OSError as error:
        raise VlmGymError(f"the files of the page are missing: {error}") from error
    block = json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")
    section = (
        f'<div id="replay"></div><noscript>This part needs JavaScript.</noscript>'
        f'<script type="application/json" id="replay-data">{block}</script><script>{script}</script>'
    )
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return section, style, f"'sha256-{digest}'"
