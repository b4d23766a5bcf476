"""Sizes of looks, tiles and cells."""

from __future__ import annotations

import numpy as np
import pytest

from parts.boards import BOTH, EVERY_LOOK, NUMBERS, SYMBOLS, boards, gallery
from vlmgym import core
from vlmgym.render.frames import frame_size, tile_boxes
from vlmgym.render.frames import render as draw
from vlmgym.render.ink import PAGE
from vlmgym.render.looks import LOOKS, Look, get_look


def test_sizes_of_the_named_looks() -> None:
    state = gallery(NUMBERS)[0]
    assert draw(NUMBERS, state, "paper").shape == (1, 840, 640, 3)
    assert frame_size(NUMBERS, "normal", "clean") == (336, 336)
    assert frame_size(NUMBERS, "normal", "tiny") == (112, 112)
    assert frame_size(NUMBERS, NUMBERS.level(rows=3, cols=6), "tiny") == (84, 168)


@BOTH
def test_a_tiny_cell_is_one_patch(game: core.Game) -> None:
    rng = np.random.default_rng(0)
    grid = rng.integers(0, SYMBOLS[game], (1, 4, 4))
    before = draw(game, boards(game, grid), "tiny")[0]
    assert before.shape == (112, 112, 3)
    patches = before.reshape(4, 28, 4, 28, 3).swapaxes(1, 2)
    for r in range(4):
        for c in range(4):
            other = grid.copy()
            other[0, r, c] = (grid[0, r, c] + 1 + rng.integers(SYMBOLS[game] - 1)) % SYMBOLS[game]
            after = (
                draw(game, boards(game, other), "tiny")[0].reshape(4, 28, 4, 28, 3).swapaxes(1, 2)
            )
            changed = (after != patches).any((2, 3, 4))
            assert changed[r, c]
            assert changed.sum() == 1
    same = (
        draw(game, boards(game, np.full((1, 4, 4), 5)), "tiny")[0]
        .reshape(4, 28, 4, 28, 3)
        .swapaxes(1, 2)
    )
    assert (same == same[0, 0]).all()  # a patch depends on its symbol, not on its place


@pytest.mark.parametrize(
    "look", [*LOOKS, Look(tile=31, gap=3, margin=7), Look(tile=20, gap=0), Look(width=333, gap=5)]
)
def test_tile_boxes(look: str | Look) -> None:
    level = NUMBERS.level(rows=3, cols=5)
    look = get_look(look, noise=0, blur=0, rotation=0, occlusion=0, texture=0, grid=True)
    boxes = tile_boxes(NUMBERS, level, look)
    assert boxes.shape == (3, 5, 4)
    blank = draw(NUMBERS, boards(NUMBERS, np.zeros((1, 3, 5))), look)[0]
    for r in range(3):
        for c in range(5):
            grid = np.zeros((1, 3, 5), np.int16)
            grid[0, r, c] = 7
            frame = draw(NUMBERS, boards(NUMBERS, grid), look)[0]
            ys, xs = np.nonzero((frame != blank).any(2))
            assert (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1) == tuple(boxes[r, c])


@BOTH
@EVERY_LOOK
@pytest.mark.parametrize("shape", [(2, 2), (16, 16), (2, 16), (16, 2)])
def test_smallest_and_largest_boards(game: core.Game, look: str, shape: tuple[int, int]) -> None:
    state = boards(game, np.arange(shape[0] * shape[1]).reshape(1, *shape) % SYMBOLS[game])
    frame = draw(game, state, look)[0]
    assert frame.shape[:2] == frame_size(game, state.level, look)
    boxes = tile_boxes(game, state.level, look)
    assert boxes.min() >= 0
    assert (boxes[..., 2] <= frame.shape[1]).all()
    assert (boxes[..., 3] <= frame.shape[0]).all()
    sides = boxes[..., 2:] - boxes[..., :2]
    assert (sides == sides[0, 0, 0]).all()


def test_a_canvas_holds_the_largest_tiles_that_fit() -> None:
    look = Look(width=500, height=300, gap=4, margin=10)
    boxes = tile_boxes(NUMBERS, "normal", look)
    tile = boxes[0, 0, 2] - boxes[0, 0, 0]
    assert 4 * (tile + 4) + 20 <= 300 < 4 * (tile + 5) + 20
    frame = draw(NUMBERS, boards(NUMBERS, np.zeros((1, 4, 4))), look)[0]
    assert frame.shape == (300, 500, 3)
    assert abs(boxes[0, 0, 0] - (500 - boxes[-1, -1, 2])) <= 1  # centred
    assert abs(boxes[0, 0, 1] - (300 - boxes[-1, -1, 3])) <= 1
    assert (frame[0] == PAGE).all()
    assert frame_size(NUMBERS, "normal", Look(width=500, gap=4, margin=10)) == (
        4 * (116 + 4) + 20,
        500,
    )
    with pytest.raises(
        core.ConfigError, match=r"Look\.height = 50: allowed is 68 or more for a " r"board of 4 x 4"
    ):
        frame_size(NUMBERS, "normal", look.override(height=50))


def test_coordinates_number_rows_and_columns() -> None:
    state = boards(NUMBERS, np.zeros((1, 12, 12)))
    look = get_look("clean")
    frame, bare = (
        draw(NUMBERS, state, look)[0],
        draw(NUMBERS, state, look.override(coordinates=False))[0],
    )
    ink = (frame != bare).any(2)
    for (x0, y0, x1, _), column in (
        (tile_boxes(NUMBERS, state.level, look)[0, c], c) for c in range(12)
    ):
        label = ink[: y0 - 4, x0:x1]
        assert label.any(), column
        xs = np.nonzero(label.any(0))[0]
        assert abs(xs.min() + xs.max() + 1 - (x1 - x0)) <= 2, column
    boxes = tile_boxes(NUMBERS, state.level, look)
    assert all(ink[y0:y1, : x0 - 4].any() for x0, y0, x1, y1 in boxes[:, 0])
    ink[: boxes[0, 0, 1]] = False
    ink[:, : boxes[0, 0, 0]] = False
    assert not ink.any()
    with pytest.raises(core.ConfigError, match=r"Look\.margin = 15: allowed is gap \+ 12 = 16"):
        Look(gap=4, margin=15, coordinates=True)


@pytest.mark.parametrize(
    "field", [{"tile": 7}, {"tile": 257}, {"gap": -1}, {"margin": 1.5}, {"skin": "x"}, {"blurr": 1}]
)
def test_bad_looks(field: dict[str, object]) -> None:
    with pytest.raises(core.ConfigError, match=r"Look\." + next(iter(field))):
        get_look("clean", **field)


def test_unknown_looks() -> None:
    with pytest.raises(core.ConfigError, match="one of clean, normal, hard, paper, photo, tiny"):
        get_look("dirty")
    with pytest.raises(core.ConfigError, match="a Look or one of"):
        get_look(3)  # type: ignore[arg-type]
