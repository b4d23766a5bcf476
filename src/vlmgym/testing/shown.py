"""Checks of pictures, and of the environment around them."""

from __future__ import annotations

import warnings

import gymnasium
import numpy as np
from gymnasium.utils.env_checker import check_env

from vlmgym.core import Scene, VlmGymError
from vlmgym.envs.single import GameEnv
from vlmgym.render.cells import DRAWERS, draw_cell
from vlmgym.render.frames import frame_size, render
from vlmgym.render.looks import LOOKS, Look, get_look
from vlmgym.render.tiles import Cell
from vlmgym.testing import sizes
from vlmgym.testing.cases import Case, CheckFailed, need

TILE = 48
"""Pixels of a cell in which two symbols must differ."""


def pictures(case: Case) -> str:
    """scene(): names that no drawing exists for, or two symbols that are drawn alike."""
    scene = case.game.scene(case.states)
    frame_count = 0
    for name in LOOKS:
        look = get_look(name, noise=0, score=False)
        if scene.kind in DRAWERS:
            _check_tiles(scene, name, look)
        try:
            frames = render(case.game, case.states, look)
        except VlmGymError as error:
            if scene.kind == "photo" and "vlmgym photos" in str(error):
                return f"not drawn: {error}"
            raise
        frame_count += len(frames)
        size = frame_size(case.game, case.level, look)
        need(
            frames.shape == (len(case.states), *size, 3),
            f"look {name}: frames of shape {frames.shape}",
        )
        _check_frames(scene, name, [frame.tobytes() for frame in frames])
    return f"{frame_count} pictures"


def _check_tiles(scene: Scene, look_name: str, look: Look) -> None:
    """No two symbols are drawn alike."""
    names_of_tiles = dict[bytes, str]()
    for symbol in np.unique(scene.symbols).tolist()[: sizes.SYMBOLS_DRAWN]:
        name = scene.names[symbol]
        tile = draw_cell(scene.kind, Cell(symbol, name), TILE, look).tobytes()
        other = names_of_tiles.setdefault(tile, name)
        need(other == name, f"look {look_name}: {other!r} and {name!r} are drawn alike")


def _check_frames(scene: Scene, look_name: str, frames: list[bytes]) -> None:
    """Equal scenes give equal pictures, others do not."""
    content = scene.symbols if scene.pixels is None else scene.pixels
    frame_of_scene = dict[bytes, bytes]()
    for row, frame in enumerate(frames):
        scene_bytes = content[row].tobytes()
        if scene.variants is not None:
            scene_bytes += (scene.variants[row] * (scene.symbols[row] > 0)).tobytes()
        for sides in (scene.joins, scene.lines):
            scene_bytes += b"" if sides is None else sides[row].tobytes()
        need(
            frame_of_scene.setdefault(scene_bytes, frame) == frame,
            f"look {look_name}: equal scenes give different pictures (row {row})",
        )
    if scene.variants is None:
        need(
            len(set(frame_of_scene.values())) == len(frame_of_scene),
            f"look {look_name}: different scenes give equal pictures",
        )


def gymnasium_env(case: Case) -> str:
    """What Gymnasium's own checker says of the environment."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        try:
            env = GameEnv(case.game, case.level, "clean", render_mode="rgb_array")
            check_env(env, skip_render_check=True)
        except (Warning, AssertionError, gymnasium.error.Error) as error:
            raise CheckFailed(f"{type(error).__name__}: {error}") from error
        except VlmGymError as error:
            if "vlmgym photos" in str(error):
                return f"not drawn: {error}"
            raise
    return ""
