"""Things on cells: what their drawings must show."""

import numpy as np
import pytest

from vlmgym.games.parts.set_cards import NAMES as CARDS
from vlmgym.render.cells import draw_cell
from vlmgym.render.ink import PAPER, text_ink
from vlmgym.render.looks import FONTS, get_look
from vlmgym.render.tiles import Cell

UP, DOWN = 1, 4
"""Sides over which a drawing goes on, as in a scene."""


@pytest.mark.parametrize("tile", [26, 44, 64, 128])
def test_the_symbols_of_a_card_stand_apart(tile: int) -> None:
    look = get_look("clean", tile=tile)
    for name in (name for name in CARDS if "solid" in name):
        face = draw_cell("sprite", Cell(1, name), tile, look).astype(int)
        inside = face[round(0.07 * tile) + 3 : round(0.94 * tile)]
        for share in (0.35, 0.5, 0.65):
            column = inside[:, look.gap // 2 + round(share * tile)]
            is_ink = np.abs(column - PAPER).max(axis=-1) > 110
            symbols = (np.diff(is_ink.astype(int)) == 1).sum() + is_ink[0]
            assert symbols == int(name[0]), name


@pytest.mark.parametrize("tile", [26, 64])
def test_discs_lie_on_one_another(tile: int) -> None:
    look = get_look("clean", tile=tile)
    pitch = tile + look.gap
    upper = draw_cell("sprite", Cell(2, "disc 2", joins=DOWN | UP), tile, look)
    lower = draw_cell("sprite", Cell(3, "disc 3", joins=UP), tile, look)
    column = np.concatenate([upper, lower])[:, pitch // 2 - pitch // 6].astype(int)
    wall = np.abs(column - upper[pitch // 2, look.gap // 2 + 1]).max(axis=-1) < 40
    shown = np.flatnonzero(~wall)
    assert shown[0] < 0.12 * pitch
    assert wall[shown[0] : shown[-1]].sum() < 0.06 * pitch


@pytest.mark.parametrize("font", FONTS)
def test_capital_letters_are_written_alike(font: str) -> None:
    for letter in "ABCDEFGHIKLMN":
        ink = np.asarray(text_ink(letter, font))
        assert (ink > 128).any(axis=1).mean() > 0.9, letter


@pytest.mark.parametrize("font", FONTS)
def test_no_letter_is_cut_off(font: str) -> None:
    for letter in "JQ":
        ink = np.asarray(text_ink(letter, font))
        words = np.asarray(text_ink(f"{letter}{letter}", font))
        one = (words > 128).any(axis=1).sum()
        assert (ink > 128).any(axis=1).sum() == one, letter
