"""Skins: every symbol told apart, numbers written, colours far apart."""

from __future__ import annotations

import numpy as np
import pytest

from parts.boards import BOTH, EVERY_KIND, EVERY_LOOK, NUMBERS, SYMBOLS, Board, boards, one_each
from vlmgym import core
from vlmgym.render.frames import render as draw
from vlmgym.render.frames import tile_boxes
from vlmgym.render.ink import BOARD, EMPTY, PAPER, luminance
from vlmgym.render.looks import get_look
from vlmgym.render.tiles import FILLS, NUMBER_FILLS


@BOTH
@pytest.mark.parametrize("tile", [12, 26, 28, 64, 150])
def test_symbols_differ_in_pixels(game: core.Game, tile: int) -> None:
    tiles = one_each(game, tile=tile).astype(int)
    for a in range(len(tiles)):
        for b in range(a):
            assert np.abs(tiles[a] - tiles[b]).max() > 40, (a, b)


@EVERY_KIND
@EVERY_LOOK
def test_symbols_differ_in_every_look(game: core.Game, look: str) -> None:
    """Not in single bytes only: some pixel differs clearly, without the noise, wherever the tile
    stands.
    """
    grid = np.zeros((SYMBOLS[game], 4, 4), np.int16)
    grid[:, 2, 1] = grid[:, 0, 0] = np.arange(SYMBOLS[game])
    state, quiet = boards(game, grid), get_look(look, noise=0)
    frames = draw(game, state, quiet)
    for box in (
        tile_boxes(game, state.level, quiet)[2, 1],
        tile_boxes(game, state.level, quiet)[0, 0],
    ):
        tiles = (
            frames[:, box[1] : box[3], box[0] : box[2]].reshape(SYMBOLS[game], -1).astype(np.int16)
        )
        for a in range(len(tiles)):
            assert (
                np.abs(tiles[:a] - tiles[a]).max(axis=1, initial=255 * (a == 0)).min(initial=255)
                > 12
            ), a


@pytest.mark.parametrize("tile", [12, 28, 64])
def test_big_numbers_are_written(tile: int) -> None:
    """Defect 4 of the published code: tiles of 256 and more were drawn empty."""
    for symbol, picture in enumerate(one_each(NUMBERS, tile=tile)):
        inner = picture[2:-2, 2:-2].reshape(-1, 3)
        fill = np.array(NUMBER_FILLS[symbol - 1] if symbol else EMPTY)
        inked = (np.abs(inner - fill).max(1) > 40).mean()
        assert inked == 0 if symbol == 0 else inked > 0.04, symbol
        # the number stays off the tile's edges
        assert (picture[tile // 2, 0] == fill).all(), symbol
        assert (picture[tile // 2, -1] == fill).all(), symbol


def test_numbers_contrast_with_their_tiles() -> None:
    """At least 4.5 to 1, the level AA of WCAG 2.2."""
    for picture, fill in zip(one_each(NUMBERS, tile=128)[1:], NUMBER_FILLS, strict=True):
        lights = [luminance(tuple(int(v) for v in c)) for c in picture[40:-40, 8:-8].reshape(-1, 3)]
        mine = luminance(fill)
        assert max((max(x, mine) + 0.05) / (min(x, mine) + 0.05) for x in lights) >= 4.5, fill


def test_tile_colours_are_far_apart() -> None:
    """In CIE L*a*b*, where 2.3 is a just noticeable difference."""

    def lab(colour: tuple[int, int, int]) -> np.ndarray:
        c = np.array(colour) / 255
        c = np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)
        xyz = (
            np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
            @ c
        )
        x, y, z = (
            np.cbrt(v) if v > 0.008856 else 7.787 * v + 16 / 116
            for v in xyz / np.array([0.9505, 1, 1.089])
        )
        return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])

    for palette in (
        (BOARD, EMPTY, *NUMBER_FILLS),
        (PAPER, *FILLS.values()),
    ):
        points = [lab(c) for c in palette]
        assert min(np.linalg.norm(a - b) for i, a in enumerate(points) for b in points[:i]) > 20


@pytest.mark.parametrize(
    ("name", "kind"), [("mauve star", "shape"), ("red Z", "letter"), ("dragon", "sprite")]
)
def test_unknown_symbols_are_named(name: str, kind: str) -> None:
    game = Board("odd", ("empty" if kind != "sprite" else "floor", name), kind)
    with pytest.raises(core.ConfigError, match=name):
        draw(game, boards(game, np.ones((1, 2, 2))))


def test_symbols_without_a_name_are_refused() -> None:
    for wrong in (18, 255):  # without the check, the kernel would read past the atlas
        with pytest.raises(core.StateError, match=str(wrong)):
            draw(NUMBERS, boards(NUMBERS, [[[0, 1], [2, wrong]]]))
