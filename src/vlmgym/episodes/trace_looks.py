"""The look of a trace: how its boards are drawn again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from vlmgym.core import ConfigError
from vlmgym.episodes.records import EvaluationRun
from vlmgym.games import known_game
from vlmgym.games.parts.tile_kinds import PICTURE_CLASSES, photo_classes
from vlmgym.render.looks import Look, get_look


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
    look = get_look(run.look)
    game = known_game(run.game)
    scene = game.sample(game.level(run.level))
    if scene.kind != "photo":
        return replace(look, photos="auto")
    if look.photos == "auto" and photo_classes(scene.names) in PICTURE_CLASSES.values():
        return look
    paths = [str(path) for path in photos]
    if look.photos in paths:
        return look
    if len(paths) == 1:
        return replace(look, photos=paths[0])
    wanted = repr(look.photos)
    if look.photos == "auto":
        wanted = f"classes {', '.join(photo_classes(scene.names)[:3])} ..."
    raise ConfigError("--photos", paths, f"the path of the photographs that were shown ({wanted})")
