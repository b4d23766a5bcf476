"""Boards that show every symbol of a kind."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from vlmgym import core
from vlmgym.games.game2048 import Game2048
from vlmgym.games.parts.tile_kinds import COLOURS, FORMS, NAMES
from vlmgym.render import sprites
from vlmgym.render.frames import render as draw
from vlmgym.render.frames import tile_boxes
from vlmgym.render.looks import LOOKS, get_look

SHAPE_NAMES = ("empty", *(f"{c} {f}" for c in COLOURS[:6] for f in FORMS["shapes"][:6]))


class Board(Game2048):
    """Any board of some symbols, free of the rules of the games that use them."""

    def __init__(self, name: str, names: tuple[str, ...], kind: str) -> None:
        self.name, self.names, self.kind = name, names, kind  # type: ignore[misc]

    def scene(self, state: core.State) -> core.Scene:
        return self.view(
            state, state.board, self.names, self.kind, np.full(state.board.shape, 7, np.int32)
        )


NUMBERS, SHAPES = Game2048(), Board("shape-board", SHAPE_NAMES, "shape")
ALL_SHAPES, LETTERS = (
    Board("all-shapes", NAMES["shapes"], "shape"),
    Board("letters", NAMES["letters"], "letter"),
)
SPRITES = Board("sprites", tuple(sprites.SPRITES), "sprite")
WORDS = Board("words", ("", "off", "on", "left wing", "Queen", "q"), "text")
DIGITS = Board("digits", ("empty", *"0123456789"), "photo")
SYMBOLS = {
    NUMBERS: 18, SHAPES: 37, ALL_SHAPES: 193, LETTERS: 193, SPRITES: len(sprites.SPRITES), WORDS: 6, DIGITS: 11,
}  # fmt: skip
BOTH = pytest.mark.parametrize("game", [NUMBERS, SHAPES], ids=["numbers", "shapes"])
EVERY_KIND = pytest.mark.parametrize("game", list(SYMBOLS), ids=lambda g: g.name)
EVERY_LOOK = pytest.mark.parametrize("look", list(LOOKS))


def boards(game: core.Game, symbols: object) -> core.State:
    """States that show exactly these symbols, ``(B, rows, cols)``."""
    grid = np.asarray(symbols, np.int16)
    return game.from_symbols(game.level(rows=grid.shape[1], cols=grid.shape[2]), grid)


def gallery(game: core.Game) -> core.State:
    """Two 5x4 (numbers) or 5x8 (shapes) boards that show every symbol."""
    cols = 4 if game is NUMBERS else 8
    grid = np.arange(5 * cols).reshape(1, 5, cols) % SYMBOLS[game]
    return boards(game, np.concatenate([grid, grid[:, ::-1, ::-1]]))


def one_each(game: core.Game, **look: int) -> np.ndarray:
    """A picture of each symbol's tile, ``(symbols, tile, tile, 3)``, from row 0, column 1 of 2x2
    boards.
    """
    grid = np.zeros((SYMBOLS[game], 2, 2), np.int16)
    grid[:, 0, 1] = np.arange(SYMBOLS[game])
    state = boards(game, grid)
    style = get_look("clean", **look)
    x0, y0, x1, y1 = tile_boxes(game, state.level, style)[0, 1]
    return draw(game, state, style)[:, y0:y1, x0:x1]


def digest(frames: np.ndarray) -> str:
    return hashlib.blake2b(frames.tobytes(), digest_size=16).hexdigest()
