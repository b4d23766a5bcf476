"""Pieces of photographs: all of a puzzle can be told apart, under every look, and those that fit
show no seam.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from parts.photographs import CIFAR, cifar_folder, class_folder
from vlmgym.core import ConfigError, State, StateError, seeds_for
from vlmgym.games import GAMES
from vlmgym.games.parts.tile_kinds import PICTURE_CLASSES
from vlmgym.render import photos
from vlmgym.render.atlas import face_of
from vlmgym.render.frames import render, tile_boxes
from vlmgym.render.looks import LOOKS, Look, get_look
from vlmgym.render.painted.scenes import COUNTS, PAINTERS, painted
from vlmgym.render.pieces import DIFFERENCE, Jigsaws, read_piece
from vlmgym.render.sources import PARTS, PhotoError, Photographs

GAME = GAMES["Jigsaw"]
SCENES = PICTURE_CLASSES["scenes"]


def in_order(state: State) -> State:
    """The same games with all pieces in their places, upright."""
    cells = np.arange(1, state.board[0].size + 1, dtype=np.uint8)
    board = np.broadcast_to(cells.reshape(state.board.shape[1:]), state.board.shape).copy()
    return state.with_arrays({"board": board})


def fresh(split: str, count: int, **fields: object) -> State:
    level = GAME.level("normal", **fields)
    return GAME.reset(level, seeds_for(split, GAME.name, "normal", count))


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("fields", [{}, {"rows": 5, "cols": 5, "turned": 0.5, "frames": True}])
def test_no_two_pieces_of_a_puzzle_look_alike_under_any_look(look, fields):
    state = fresh("test", 1, **fields)
    style = replace(get_look(look), noise=0.0, score=False)
    names = GAME.names(state.level)
    left, top, right, bottom = tile_boxes(GAME, state.level, style)[0, 0]
    boards = np.zeros((len(names), *state.board.shape[1:]), np.uint8)
    boards[:, 0, 0] = np.arange(len(names))
    each = state.repeat(len(names)).with_arrays({"board": boards})
    cells = render(GAME, each, style)[1:, top:bottom, left:right]
    assert len({cell.tobytes() for cell in cells}) == len(names) - 1
    upright = cells[: state.board[0].size].astype(float)
    least = min(
        np.abs(first - second).mean()
        for place, first in enumerate(upright)
        for second in upright[:place]
    )
    assert least > 1.5


def test_pieces_that_fit_show_no_seam_without_frames():
    state = in_order(fresh("train", 4))
    style = Look(tile=60, gap=4)
    frames = render(GAME, state, style).astype(int)
    whole = style.gap // 2
    board = frames[:, whole : 4 * 64 - whole, whole : 4 * 64 - whole]
    steps = np.abs(np.diff(board, axis=2)).mean(axis=(0, 1, 3))
    seams = steps[[61, 125, 189]]
    assert (seams < 2 * np.median(steps)).all()
    in_frames = replace(state, level=state.level.override(frames=True))
    framed = render(GAME, in_frames, style).astype(int)[:, 2:254, 2:254]
    assert np.abs(np.diff(framed, axis=2)).mean(axis=(0, 1, 3))[[59, 63]].min() > 50


def test_a_solved_puzzle_shows_the_photograph():
    state = in_order(fresh("train", 1))
    scene = GAME.scene(state)
    jigsaws = Jigsaws(painted(), scene.names, 200)
    ids = jigsaws.ids(scene.symbols, scene.test, scene.variants)
    photo = jigsaws.pools["train"][int(ids[0, 0, 0]) // len(jigsaws.pieces)]
    whole = np.asarray(painted().load("train", *photo), float)
    shown = render(GAME, state, Look(tile=64, gap=0))[0]
    assert np.abs(shown - whole).mean() < 0.5


def test_a_turned_piece_is_drawn_turned_clockwise():
    level = GAME.level("normal", rows=2, cols=2, turned=0.5)
    upright = GAME.from_symbols(level, np.array([[[1, 3], [2, 4]]]))
    turned = GAME.from_symbols(level, np.array([[[1 + 4, 3], [2, 4 + 12]]]))
    style = Look(tile=60, gap=0)
    before, after = render(GAME, upright, style)[0], render(GAME, turned, style)[0]
    assert (after[:60, :60] == np.rot90(before[:60, :60], -1)).all()
    assert (after[60:, 60:] == np.rot90(before[60:, 60:], 1)).all()
    assert (after[:60, 60:] == before[:60, 60:]).all()


def test_training_and_evaluation_show_different_photographs():
    style = Look(tile=16, gap=0)
    train = {frame.tobytes() for frame in render(GAME, in_order(fresh("train", 60)), style)}
    test = {frame.tobytes() for frame in render(GAME, in_order(fresh("test", 60)), style)}
    assert len(train) > 30
    assert len(test) > 30
    assert not train & test


def test_painted_scenes_of_all_classes_differ_within_and_between_the_parts():
    source = painted()
    assert source.counts["train"] == (COUNTS["train"],) * len(PAINTERS)
    seen = set()
    for part in PARTS:
        for class_index in range(len(PAINTERS)):
            seen |= {source.load(part, class_index, number).tobytes() for number in range(4)}
    assert len(seen) == 2 * len(PAINTERS) * 4


def blocks(colours: list[list[int]]) -> Image.Image:
    """A picture of grey squares."""
    return Image.fromarray(np.kron(np.array(colours, np.uint8), np.ones((20, 20), np.uint8)))


def test_a_photograph_with_two_equal_pieces_is_passed_over():
    names = ("empty", "piece 0,0", "piece 0,1", "piece 1,0", "piece 1,1")
    equal = blocks([[10, 90], [200, 90]])
    near = blocks([[10, 90], [200, 90 + int(DIFFERENCE) - 2]])
    different = blocks([[10, 90], [200, 140]])
    pictures = [equal, different, near]
    source = Photographs(("grey",), {"train": (3,), "test": (1,)}, lambda *at: pictures[at[2]])
    jigsaws = Jigsaws(source, names, 200)
    assert jigsaws.least_difference(equal) < 1 < jigsaws.least_difference(near) < DIFFERENCE
    symbols = np.full((50, 2, 2), 1, np.int16)
    variants = np.broadcast_to(16 * np.arange(50, dtype=np.int32)[:, None, None], symbols.shape)
    ids = jigsaws.ids(symbols, np.zeros(50, bool), variants)
    assert (ids // 4 == 1).all()
    with pytest.raises(PhotoError, match="none of the 1 photographs of the test part"):
        jigsaws.check()


def test_a_piece_that_looks_the_same_turned_is_passed_over_where_pieces_turn():
    upright = ("empty", "piece 0,0", "piece 0,1")
    picture = blocks([[10, 90]])
    source = Photographs(("grey",), {"train": (1,), "test": (1,)}, lambda *at: picture)
    Jigsaws(source, upright, 200).check()
    with pytest.raises(PhotoError, match="1 x 2 pieces which all look different"):
        Jigsaws(source, (*upright, "piece 0,0 turned 180"), 200).check()


def test_photographs_of_digits_make_small_jigsaws():
    level = GAME.level("normal", rows=2, cols=2, classes="digits")
    photos.check(GAME, level, get_look("clean"))
    assert render(GAME, GAME.reset(level, seeds_for("test", GAME.name, "x", 4)), "tiny").any()
    many = GAME.level("normal", rows=6, cols=6, classes="digits")
    with pytest.raises(PhotoError, match="6 x 6 pieces which all look different"):
        photos.check(GAME, many, get_look("clean"))


def test_jigsaws_are_cut_from_cifar_and_from_folders(tmp_path):
    archive = str(cifar_folder(tmp_path / "cifar"))
    level = GAME.level("easy", rows=2, cols=2, classes="cifar10")
    state = GAME.reset(level, seeds_for("test", GAME.name, "x", 3))
    assert GAME.scene(state).photo_classes == CIFAR
    assert len({frame.tobytes() for frame in render(GAME, state, Look(photos=archive))}) == 3
    pets = str(class_folder(tmp_path / "pets", ("cat", "dog"), 6))
    level = GAME.level("easy", rows=2, cols=3, classes="cat, dog")
    state = GAME.reset(level, seeds_for("test", GAME.name, "x", 3))
    assert render(GAME, state, Look(photos=pets, tile=20, gap=0)).shape == (3, 40, 60, 3)
    with pytest.raises(PhotoError, match="cat, dog need the path"):
        render(GAME, state, "clean")


def test_the_shape_of_the_puzzle_is_cut_from_the_middle():
    names = tuple(f"piece 0,{column}" for column in range(3))
    source = Photographs(("x",), {"train": (1,), "test": (1,)}, lambda *at: picture)
    picture = Image.fromarray(np.repeat(np.arange(0, 240, dtype=np.uint8)[:, None], 240, 1))
    jigsaws = Jigsaws(source, ("empty", *names), 200)
    piece = np.asarray(jigsaws.piece(0, 80))
    assert abs(int(piece[0, 0, 0]) - 80) <= 1
    assert abs(int(piece[-1, 0, 0]) - 159) <= 1


def test_names_that_are_no_piece_are_refused():
    assert read_piece("piece 3,1 turned 270") == (3, 1, 3)
    for name in ("piece 3", "piece (0, 1)", "piece 0,1 turned 45", "corner"):
        with pytest.raises(ConfigError, match="kind piece"):
            read_piece(name)


def test_some_sides_of_a_piece_cannot_be_joined():
    scene = GAME.scene(fresh("train", 1))
    joins = scene.joins.copy()
    joins[0, 0, 0] = 1
    with pytest.raises(StateError, match="piece"):
        face_of(replace(scene, joins=joins))
    with pytest.raises(StateError, match="piece"):
        face_of(replace(scene, lines=joins))
