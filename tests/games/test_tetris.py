"""Tetris: the kernels agree with sets of cells, the oracle with Dellacherie's rating cell by cell,
and a described board's pieces are what it shows.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parts.plain_tetris import SIGNS, Plain, lines_of, piece_after, rating, read_blocks
from vlmgym.core import NO_ACTION, ConfigError, State, seeds_for
from vlmgym.games.parts.polyominoes import COLOURS, FIRST_OF_SIZE, PIECES
from vlmgym.games.tetris import NAMES, LevelTetris, Tetris
from vlmgym.players.simple import Greedy

GAME = Tetris()


def described(*lines: str, **overrides: object) -> State:
    """A board of pieces of four cells, with two rows for each piece that is shown."""
    symbols = np.array([[[SIGNS.index(sign) for sign in line] for line in lines]], np.int16)
    rows, cols = symbols.shape[1:]
    fields = {"rows": rows, "cols": cols, "smallest": 3, "preview": False, **overrides}
    return GAME.from_symbols(GAME.level("normal", **fields), symbols)


def good(state: State) -> list[str]:
    actions = np.flatnonzero(GAME.success_mask(state)[0]).tolist()
    return [GAME.encode(state.level, action) for action in actions]


def played(state: State, answer: str) -> tuple[State, int]:
    action = GAME.decode(state.level, answer).action
    after, outcome = GAME.step(state, np.full(len(state), action))
    return after, int(outcome.gain[0])


def by_oracle(state: State) -> np.ndarray:
    values = np.nan_to_num(GAME.oracle(state), nan=-np.inf)
    return np.where(state.ended, NO_ACTION, values.argmax(axis=1))


def deals(level: str, count: int = 300) -> State:
    return GAME.reset(level, seeds_for("free", GAME.name, level, count))


# ---- the plain reference
def test_the_rating_of_a_well_worked_out_by_hand():
    """Rows have 2 + 2 + 4 + 2 changes, columns 1 + 1 + 3 + 1, one hole, three wells of depth 1."""
    well = read_blocks(["....", "c...", "c.c.", "cc.c"])
    assert rating(well, depth=4, cols=4) == -(10 + 6 + 4 + 3)
    deep = read_blocks(["....", "c.cc", "c.cc", "c.cc"])
    assert rating(deep, depth=4, cols=4) == -(2 + 3 * 2 + 4 + 1 + 2 + 3)


@pytest.mark.parametrize("level", GAME.LEVELS)
def test_random_play_agrees_with_the_reference(level):
    state = deals(level, 12)
    plain = [Plain(state, row) for row in range(len(state))]
    generator = np.random.default_rng(1)
    for turn in range(30):
        legal = GAME.legal(state)
        mask = GAME.success_mask(state)
        chance = generator.integers(0, legal.shape[1], len(state))
        actions = np.where(generator.random(len(state)) < 0.6, by_oracle(state), chance)
        after, outcome = GAME.step(state, actions)
        for row, game in enumerate(plain):
            if state.ended[row]:
                continue
            if turn % 3 == row % 3:
                fits = [game.placement(a).fits for a in range(legal.shape[1])]
                assert legal[row].tolist() == fits
                assert mask[row].tolist() == [game.is_good(a) for a in range(legal.shape[1])]
            before = game.lines
            gain = game.play(int(actions[row]))
            assert lines_of(after, row) == game.lines
            assert outcome.gain[row] == gain
            assert outcome.changed[row] == (before != game.lines)
            if turn % 3 == 0 or after.terminated[row]:
                assert after.terminated[row] == game.is_over()
        state = after
    assert state.score.max() > 1


@pytest.mark.parametrize(("level", "count"), [("tiny", 12), ("easy", 4), ("normal", 1)])
def test_the_oracle_is_the_best_of_all_placements_of_both_pieces(level, count):
    state = deals(level, count)
    generator = np.random.default_rng(3)
    checked = 0
    for turn in range(16):
        values = GAME.oracle(state)
        for row in np.flatnonzero(~state.ended):
            if turn % 4 == 3:
                game = Plain(state, row)
                expected = [game.value(action) for action in range(values.shape[1])]
                assert [None if np.isnan(v) else v for v in values[row]] == expected
                checked += 1
        legal = GAME.draw_legal(state)
        actions = np.where(generator.random(len(state)) < 0.3, legal, by_oracle(state))
        state, _ = GAME.step(state, actions)
    assert checked >= 3


# ---- hand-made positions
@pytest.mark.parametrize(
    ("lines", "answers"),
    [
        # upright into a gap of four cells clears four rows; flat it would cover the gap
        (["cccc", "....", "yyy.", "yyy.", "yyy.", "yyy."], ["3 1", "3 3"]),
        # on the ground lies nothing: flat it clears a row, upright it covers nothing
        (
            ["cccc", "....", "....", "....", "....", "...."],
            ["0 0", "0 1", "0 2", "0 3", "1 1", "1 3", "2 1", "2 3", "3 1", "3 3"],
        ),
        # on level ground an S has an overhang of one cell however it lies
        (
            [".gg.", "gg..", "....", "....", "....", "....", "...."],
            ["0 0", "0 1", "0 2", "0 3", "1 0", "1 1", "1 2", "1 3", "2 1", "2 3"],
        ),
        # no step is level: the lowest one shuts in one cell, the others two, three and six
        (
            [
                *("yy...", "yy...", ".....", ".....", "...c."),
                *("...c.", "...c.", "..cc.", "..cc.", ".ccc."),
            ],
            ["0 0", "0 1", "0 2", "0 3"],
        ),
        # on a step up to the right it has a place: flat over two low cells and a high one
        (
            [".gg..", "gg...", ".....", ".....", ".....", ".....", "..ccc"],
            ["0 0", "0 2"],
        ),
        # on a step down to the right it has a place upright
        (
            [".gg..", "gg...", ".....", ".....", ".....", ".....", "ccc.."],
            ["2 1", "2 3"],
        ),
        # a gap of one cell takes the stem of a T, or the end of its long side
        (
            [".p...", "ppp..", ".....", ".....", ".....", ".....", "cc.cc"],
            ["1 2", "1 3", "2 1"],
        ),
        # a square has a place on two columns of equal height
        (
            ["yy...", "yy...", ".....", ".....", ".....", "c....", "ccc.."],
            ["1 0", "1 1", "1 2", "1 3", "3 0", "3 1", "3 2", "3 3"],
        ),
        # clearing counts, though the cell below what it clears is shut in
        (
            ["yy..", "yy..", "....", "....", "....", "cc..", "ccc."],
            ["0 0", "0 1", "0 2", "0 3", "2 0", "2 1", "2 2", "2 3"],
        ),
        # an old hole is no new one
        (
            ["kkk.", "....", "....", "....", "....", "ccc.", "c.cc"],
            ["0 0", "0 1", "0 2", "0 3", "1 1", "1 3", "2 1", "2 3", "3 1", "3 3"],
        ),
        # a corner fills the pit by 1 2; by 1 0 and 1 3 it clears the row above; 0 2 covers nothing
        (["n...", "nn..", "....", "....", "....", "c..c", "cc.c"], ["0 2", "1 0", "1 2", "1 3"]),
    ],
)
def test_good_placements_worked_out_by_hand(lines, answers):
    assert good(described(*lines)) == answers


def test_a_piece_falls_straight_down_and_does_not_slip_under():
    state = described("cccc..", "......", "......", "......", "......", "yyy...", "......")
    after, gain = played(state, "2 0")
    assert gain == 0
    assert lines_of(after)[4:] == ["..cccc", "yyy...", "......"]
    after, _ = played(state, "3 1")
    assert lines_of(after)[2:] == ["......", "...c..", "...c..", "yyyc..", "...c.."]


def test_turns_are_clockwise_about_the_piece_itself():
    state = described("b....", "bbb..", ".....", ".....", ".....", ".....")
    shapes = {
        "0 0": [".....", "b....", "bbb.."],
        "0 1": ["bb...", "b....", "b...."],
        "0 2": [".....", "bbb..", "..b.."],
        "0 3": [".b...", ".b...", "bb..."],
    }
    for answer, expected in shapes.items():
        assert lines_of(played(state, answer)[0])[3:] == expected


def test_full_rows_go_and_what_is_above_moves_down_as_it_is():
    state = described("cccc", "....", "....", "g...", "rrr.", "b.b.", "ppp.")
    after, gain = played(state, "3 1")
    assert gain == 2
    assert lines_of(after)[2:] == ["....", "....", "....", "g..c", "b.bc"]
    assert after.score[0] == 2


def test_the_next_piece_becomes_the_piece_to_place():
    lines = ["yy..", "yy..", ".gg.", "gg..", "....", "....", "....", "....", "...."]
    state = described(*lines, preview=True)
    after, _ = played(state, "0 0")
    assert lines_of(after)[2:4] == lines[:2]
    assert lines_of(after)[7:] == [".gg.", "gg.."]
    assert read_blocks(lines_of(after)[:2])


def test_the_game_ends_when_the_piece_has_no_placement():
    lines = ["cccc", "....", "yyy.", "yyy.", "yyy.", ".yyy"]
    state = described(*lines)
    assert state.terminated[0], "three free cells above, and the piece is four long"
    assert not GAME.legal(state).any()
    assert np.isnan(GAME.oracle(state)).all()
    assert GAME.explain(state, 0, 13) == "3 1 no"
    state = described("yy..", "yy..", "cccc", "....", "....", "....", "yyy.", "yyy.", preview=True)
    after, gain = played(state, "0 0")
    assert (gain, after.terminated[0]) == (1, False)


def test_a_placement_that_reaches_out_of_the_well_does_nothing():
    state = described("cccc", "....", "....", "....", "....", "yyy.")
    before = lines_of(state)
    for answer in ("1 0", "0 1"):
        after, gain = played(state, answer)
        assert (lines_of(after), gain, after.steps[0]) == (before, 0, 1)
    assert not GAME.legal(state)[0, GAME.decode(state.level, "0 1").action]


def test_a_placement_after_which_the_next_piece_has_none_is_worth_least():
    state = described(
        *("cccc.", ".....", "cccc.", ".....", ".....", "yyyy.", "yyyy.", "yyyy."), preview=True
    )
    values = GAME.oracle(state)[0]
    shut = values[GAME.decode(state.level, "1 0").action]
    open_gap = values[GAME.decode(state.level, "0 0").action]
    assert shut < -90_000
    # height 4; then 4 rows with 4 own cells at height 2.5, and an empty well of 8 + 5 changes
    assert open_gap == -4 + (4 * 4 - 2.5) - (8 + 5)
    assert GAME.encode(state.level, int(by_oracle(state)[0])) == "0 0"


def test_equal_luck_gives_the_same_piece():
    state = deals("normal", 1).repeat(60)
    after, _ = GAME.step(state, np.zeros(60, np.int64))
    assert len(np.unique(after.board, axis=0)) == 1
    other, _ = GAME.step(state.reseed(np.arange(60)), np.zeros(60, np.int64))
    assert len(np.unique(other.board, axis=0)) == 7


# ---- pieces and deals
def test_pieces_are_all_one_sided_polyominoes():
    """Two of three cells, seven of four, eighteen of five (OEIS A000988)."""
    shapes = set()
    for number, (colour, rows) in enumerate(PIECES):
        lines = rows.split()
        turned = {
            frozenset(piece_after([row.replace("x", "c") for row in lines], turns))
            for turns in range(4)
        }
        assert not shapes & turned, f"{rows} is there twice"
        shapes |= turned
        size = rows.count("x")
        assert FIRST_OF_SIZE[size] <= number < FIRST_OF_SIZE[size + 1]
        assert colour in COLOURS
    assert [FIRST_OF_SIZE[size + 1] - FIRST_OF_SIZE[size] for size in (3, 4, 5)] == [2, 7, 18]


@pytest.mark.parametrize("level", GAME.LEVELS)
def test_deals_are_an_empty_well_and_pieces_of_the_level(level):
    state = deals(level)
    lv = state.level
    assert not state.ended.any()
    assert not state.board[:, lv.top :].any()
    for first in range(0, lv.top, lv.height):
        sizes = (state.board[:, first : first + lv.height] > 0).sum(axis=(1, 2))
        assert set(sizes.tolist()) == set(range(lv.smallest, lv.largest + 1))
    assert GAME.legal(state).any(axis=1).all()


def test_levels_are_graded_by_the_success_of_players_that_do_not_plan():
    """Share of good placements: of legal ones at random, and of the one that clears where it
    can.
    """
    by_chance = []
    by_greed = []
    for level in ("tiny", "easy", "normal", "hard"):
        for shares in (by_chance, by_greed):
            state = deals(level, 300 if shares is by_chance else 60)
            good_turns = turns = 0
            while len(state):
                if shares is by_chance:
                    actions = GAME.draw_legal(state)
                else:
                    actions = np.array(Greedy().choose(GAME, state))
                turns += len(state)
                after, outcome = GAME.step(state, actions)
                good_turns += int(GAME.success(state, actions, outcome).sum())
                state = after[~after.ended]
            shares.append(good_turns / turns)
    assert by_chance == sorted(by_chance, reverse=True)
    assert by_greed == sorted(by_greed, reverse=True)


def test_the_oracle_goes_on_where_chance_is_lost():
    state = deals("normal", 20)
    while not state.ended.all():
        state, _ = GAME.step(state, by_oracle(state))
    assert not state.terminated.any()
    assert (state.score > 40).all(), "four cells a turn for a hundred turns are at most 50 rows"


# ---- described boards
def test_blocks_on_top_are_the_piece_wherever_they_are():
    state = described("....", "..oo", "....", "....", "....", "ccc.")
    assert lines_of(played(state, "3 1")[0])[2:] == ["....", "....", "....", "...o"]
    apart = described("o..o", "....", "....", "....", "....", "....")
    assert lines_of(played(apart, "0 0")[0])[2:] == ["....", "....", "....", "o..o"]
    assert not GAME.legal(apart)[0, GAME.decode(apart.level, "1 0").action]
    nothing = described("....", "....", "....", "....", "....", "ccc.")
    assert nothing.terminated[0]
    assert not GAME.legal(nothing).any()


def test_the_colour_of_a_piece_decides_nothing_and_is_kept():
    plain = described("b...", "bbb.", "....", "....", "....", "cc..")
    colourful = described("o...", "rgk.", "....", "....", "....", "np..")
    assert np.array_equal(GAME.oracle(plain), GAME.oracle(colourful), equal_nan=True)
    assert good(plain) == good(colourful)
    assert lines_of(played(colourful, "0 1")[0])[2:] == ["ro..", "g...", "k...", "np.."]
    assert lines_of(played(colourful, "1 2")[0])[2:] == ["....", "....", ".kgr", "np.o"]


@settings(max_examples=60)
@given(st.data())
def test_any_symbols_make_a_state(data):
    preview = data.draw(st.booleans())
    rows, cols = data.draw(st.integers(8, 10)), data.draw(st.integers(4, 6))
    few = data.draw(st.sampled_from((SIGNS, "....." + SIGNS, "..........c")))
    signs = data.draw(st.text(few, min_size=rows * cols, max_size=rows * cols))
    lines = [signs[row * cols : (row + 1) * cols] for row in range(rows)]
    state = described(*lines, preview=preview)
    legal = GAME.legal(state)
    game = Plain(state, 0)
    if not state.ended[0]:
        fits = [game.placement(action).fits for action in range(legal.shape[1])]
        assert legal[0].tolist() == fits
    assert np.array_equal(~np.isnan(GAME.oracle(state)), legal)
    assert not (GAME.success_mask(state) & ~legal).any()
    for action in np.flatnonzero(legal[0])[:4].tolist():
        assert "adds" in GAME.explain(state, 0, action)
        after, outcome = GAME.step(state, np.array([action]))
        assert outcome.gain[0] == game.placement(action).cleared
        GAME.scene(after)


@pytest.mark.parametrize("level", GAME.LEVELS)
def test_scene_and_symbols_are_inverse(level):
    state = deals(level, 20)
    for _ in range(12):
        scene = GAME.scene(state)
        assert (scene.names, scene.kind) == (NAMES, "sprite")
        twin = GAME.from_symbols(state.level, scene.symbols)
        assert np.array_equal(twin.board, state.board)
        assert np.array_equal(twin.terminated, state.terminated)
        assert np.array_equal(GAME.oracle(twin), GAME.oracle(state), equal_nan=True)
        state, _ = GAME.step(state, GAME.draw_legal(state))


def test_some_placement_is_good_wherever_one_is_legal():
    state = deals("hard", 100)
    for _ in range(30):
        legal = GAME.legal(state)
        assert (GAME.success_mask(state).any(axis=1) == legal.any(axis=1)).all()
        state, _ = GAME.step(state, GAME.draw_legal(state))


def test_the_rules_name_the_line_above_the_well():
    assert "below the lower heavy line," in GAME.rules(GAME.level("normal"))
    assert "below the heavy line," in GAME.rules(GAME.level("normal", preview=False))


def test_heavy_lines_are_below_the_pieces():
    lines = GAME.scene(deals("hard", 1)).lines
    assert lines is not None
    assert lines[0, :, 0].tolist() == [0, 0, 4, 1, 0, 4, 1, *[0] * 11]
    lines = GAME.scene(deals("tiny", 1)).lines
    assert lines is not None
    assert lines[0, :, 3].tolist() == [0, 4, 1, 0, 0, 0]


# ---- texts
def test_answers_rules_and_explanations():
    level = GAME.level("normal")
    assert GAME.n_actions(level) == 32
    assert GAME.encode(level, 13) == "3 1"
    assert GAME.decode(level, "3, 1").action == 13
    assert GAME.decode(level, "8 0").problem == "out_of_range"
    assert GAME.decode(level, "0 4").problem == "out_of_range"
    assert GAME.decode(level, "3").problem == "not_a_move"
    rules = GAME.rules(level)
    assert "first 2 rows show the next piece" in rules
    assert "lowest 10 rows" in rules
    assert all(colour in rules for colour in COLOURS)
    assert "next piece" not in GAME.rules("tiny")
    state = described("cccc", "....", "yyy.", "yyy.", "yyy.", "yyy.")
    assert GAME.explain(state, 0, 13) == "3 1 to row 2 clears 4 adds 0 holes"
    assert GAME.explain(state, 0, 0) == "0 0 no"
    state = described(".gg.", "gg..", "....", "....", "....", "....", "....")
    assert GAME.explain(state, 0, 0) == "0 0 to row 5 adds 1 hole"
    weighed = GAME.candidates(state, 0)
    assert len(weighed) == 3
    assert int(by_oracle(state)[0]) in weighed


def test_bad_levels_name_the_field():
    for bad, field in [
        ({"rows": 5}, "rows"),
        ({"rows": 7}, "rows"),
        ({"cols": 13}, "cols"),
        ({"cols": 4, "largest": 5}, "cols"),
        ({"smallest": 5}, "smallest"),
        ({"largest": 6}, "largest"),
    ]:
        with pytest.raises(ConfigError, match=rf"LevelTetris\.{field} = "):
            LevelTetris(**bad)
