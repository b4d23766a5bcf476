"""Drawings that go on over several cells, and heavy lines between cells."""

from dataclasses import replace

import numpy as np
import pytest

from parts.boards import DIGITS, Board, boards
from vlmgym.core import StateError, seeds_for
from vlmgym.games import GAMES
from vlmgym.render import sprites
from vlmgym.render.atlas import face_of
from vlmgym.render.frames import Frames, render, tile_boxes
from vlmgym.render.ink import DARK
from vlmgym.render.looks import LOOKS, get_look


def bar(pencil):
    """A body as wide as half of the cell, which reaches the sides that are joined."""
    left = 0.0 if pencil.joined(3) else 0.25
    right = 1.0 if pencil.joined(1) else 0.75
    pencil.box(left, 0.25, right, 0.75, fill=(10, 200, 30), outline=(10, 200, 30))


class Bodies(Board):
    """Joined over the right side where a cell of symbol 1 has one of symbol 1 on its right."""

    def scene(self, state):
        board = state.board == 1
        joins = np.zeros(board.shape, np.uint8)
        both = board[:, :, :-1] & board[:, :, 1:]
        joins[:, :, :-1] |= both * np.uint8(2)
        joins[:, :, 1:] |= both * np.uint8(8)
        lines = np.zeros(board.shape, np.uint8)
        lines[:, 0] = 4
        lines[:, 1] = 1
        return replace(super().scene(state), joins=joins, lines=lines)


@pytest.mark.parametrize("look", ["clean", "hard", "tiny"])
def test_bodies_go_on_over_the_gaps_and_lines_are_between_cells(monkeypatch, look):
    monkeypatch.setattr(sprites, "SPRITES", dict(sprites.SPRITES))
    sprites.register("bar", bar)
    game = Bodies("bodies", ("floor", "bar"), "sprite")
    look = replace(get_look(look), gap=4, grid=True, similarity=0, contrast=1, brightness=0)
    look = replace(look, texture=0, blur=0, occlusion=0, noise=0, rotation=9)
    state = boards(game, [[[1, 1, 0], [1, 0, 1]]])
    picture = render(game, state, look)[0]
    boxes = tile_boxes(game, state.level, look)
    left, top, right, bottom = boxes[0, 0].tolist()
    middle = (top + bottom) // 2
    green = [10, 200, 30]
    across = picture[middle, (left + right) // 2 : (boxes[0, 1, 0] + boxes[0, 1, 2]) // 2]
    assert (across == green).all()
    assert picture[middle, boxes[0, 1, 2] + 1].tolist() != green
    below = picture[(boxes[1, 0, 1] + boxes[1, 0, 3]) // 2]
    assert below[boxes[1, 0, 2]].tolist() != green
    assert (picture[bottom : boxes[1, 0, 1], left : boxes[0, 2, 2]] == DARK).all()
    held = Frames(game, state.level, look, 1)
    held.draw(boards(game, [[[0, 0, 0], [0, 0, 0]]]))
    assert np.array_equal(held.draw(state)[0], picture)


def test_photographs_have_no_sides():
    scene = DIGITS.scene(boards(DIGITS, [[[1, 2], [0, 3]]]))
    with pytest.raises(StateError, match="photo"):
        face_of(replace(scene, joins=np.zeros((1, 2, 2), np.uint8)))


@pytest.mark.parametrize("tile", [8, 16, 26, 64])
def test_heavy_lines_are_heavier_than_the_gaps_in_cells_of_any_size(tile):
    game = Bodies("bodies", ("floor", "wall"), "sprite")
    look = get_look("tiny", tile=tile)
    state = boards(game, [[[0, 0, 0], [0, 0, 0]]])
    picture = render(game, state, look)[0]
    middle = picture[:, tile // 2 + look.gap // 2]
    assert (middle == DARK).all(axis=-1).sum() >= look.gap + 2


@pytest.mark.parametrize("look", LOOKS)
def test_heavy_lines_are_twice_as_wide_as_a_gap_in_every_look(look):
    plain = replace(LOOKS[look], similarity=0, contrast=1, brightness=0, blur=0, noise=0, texture=0)
    plain = replace(plain, rotation=0, occlusion=0)
    game = GAMES["Sudoku"]
    state = game.reset(game.level("normal"), seeds_for("free", "Sudoku", "lines", 1))
    picture = render(game, state, plain)[0]
    is_dark = (picture == DARK).all(axis=-1)
    lengths = is_dark.sum(axis=0)
    columns = np.flatnonzero(lengths > 0.9 * lengths.max())
    lines = np.split(columns, np.flatnonzero(np.diff(columns) > 1) + 1)
    inner = lines[1:-1]
    assert len(inner) == 2
    assert min(map(len, inner)) >= 2 * plain.gap
