"""Checks of pictures, and of the environment around them."""

from __future__ import annotations

import warnings

import gymnasium
import numpy as np

from vlmgym.core import VlmGymError
from vlmgym.envs.single import GameEnv
from vlmgym.render.drawing import DRAWERS, draw_cell
from vlmgym.render.frames import frame_size, render
from vlmgym.render.looks import LOOKS, get_look
from vlmgym.testing import sizes
from vlmgym.testing.cases import Case, CheckFailed, need


def pictures(case: Case) -> str:
    """scene(): names that no drawing exists for, or two symbols that are drawn alike."""
    game, state = case.game, case.states
    scene = game.scene(state)
    drawn, seen = 0, np.unique(scene.symbols).tolist()[: sizes.SYMBOLS_DRAWN]
    for look in LOOKS:
        quiet = get_look(look, noise=0, score=False)
        if scene.kind in DRAWERS:
            tiles: dict[bytes, str] = {}
            for symbol in seen:
                name = scene.names[symbol]
                other = tiles.setdefault(
                    draw_cell(scene.kind, symbol, name, 48, quiet, False, 0).tobytes(), name
                )
                need(other == name, f"look {look}: {other!r} and {name!r} are drawn alike")
        try:
            frames = render(game, state, quiet)
        except VlmGymError as error:
            if scene.kind == "photo" and "vlmgym photos" in str(error):
                return f"not drawn: {error}"
            raise
        drawn += len(frames)
        need(
            frames.shape == (len(state), *frame_size(game, case.level, quiet), 3),
            f"look {look}: frames of shape {frames.shape}",
        )
        content = scene.symbols if scene.pixels is None else scene.pixels
        groups: dict[bytes, bytes] = {}
        for row in range(len(state)):
            key = content[row].tobytes() + (
                b""
                if scene.variants is None
                else (scene.variants[row] * (scene.symbols[row] > 0)).tobytes()
            )
            groups.setdefault(key, frames[row].tobytes())
            need(
                groups[key] == frames[row].tobytes(),
                f"look {look}: equal scenes give different pictures (row {row})",
            )
        if scene.variants is None:
            need(
                len(set(groups.values())) == len(groups),
                f"look {look}: different scenes give equal pictures",
            )
    return f"{drawn} pictures"


def gymnasium_env(case: Case) -> str:
    """What Gymnasium's own checker says of the environment."""
    from gymnasium.utils.env_checker import check_env

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        try:
            look = next(name for name in LOOKS if name == "clean")
            check_env(
                GameEnv(case.game, case.level, look, render_mode="rgb_array"),
                skip_render_check=True,
            )
        except (Warning, AssertionError, gymnasium.error.Error) as error:
            raise CheckFailed(f"{type(error).__name__}: {error}") from error
        except VlmGymError as error:
            if "vlmgym photos" in str(error):
                return f"not drawn: {error}"
            raise
    return ""
