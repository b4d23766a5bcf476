"""Set: what a set is, that there are always as many as the level says, and that cards look like
what they are called.
"""

from __future__ import annotations

from itertools import combinations, product

import numpy as np
import pytest

from vlmgym.core import NO_ACTION, ConfigError, State, seeds_for
from vlmgym.games import GAMES
from vlmgym.games.parts.set_cards import NAMES
from vlmgym.games.set import LEAST_SETS, MOST_SETS, LevelSet, Set
from vlmgym.games.solvers.sets import NONE, THIRD
from vlmgym.render.cells import draw_cell
from vlmgym.render.looks import LOOKS, get_look
from vlmgym.render.tiles import Cell
from vlmgym.testing.cases import CheckFailed, make_case
from vlmgym.testing.oracles import oracle_beats_random

GAME = Set()
FILLINGS = {"=": "solid", "/": "striped", "o": "open"}
COLOURS = {"r": "red", "g": "green", "p": "purple"}
SHAPES = {"O": "oval", "D": "diamond", "S": "squiggle"}


# ---- plain reference
def card(sign: str) -> int:
    """The value of a card such as ``2g/D``: two green striped diamonds."""
    number, colour, filling, shape = sign
    return NAMES.index(f"{number} {COLOURS[colour]} {FILLINGS[filling]} {SHAPES[shape]}")


def is_set(names: tuple[str, str, str]) -> bool:
    """Of the words of three names, each is alike in all, or different in all."""
    if "no card" in names:
        return False
    words = zip(*(name.split() for name in names), strict=True)
    return all(len(set(word)) in (1, 3) for word in words)


def sets_of(state: State, row: int = 0) -> list[tuple[int, ...]]:
    """The cells of all sets."""
    names = [NAMES[value] for value in state.board[row].ravel().tolist()]
    threes = combinations(range(len(names)), 3)
    return [cells for cells in threes if is_set(tuple(names[cell] for cell in cells))]


def table(*signs: str, attributes: int = 4) -> State:
    """A described table of 12 cards or fewer, in rows of four."""
    values = [card(sign) for sign in signs] + [0] * (12 - len(signs))
    level = LevelSet(attributes=attributes, sets=4 if attributes == 3 else 1)
    return GAME.from_symbols(level, np.array(values, np.int16).reshape(1, 3, 4))


def deals(level: LevelSet | str, count: int = 300) -> State:
    level = GAME.level(level)
    return GAME.reset(level, seeds_for("free", GAME.name, "deals", count))


# ---- threes that are and are not sets, worked out by hand
@pytest.mark.parametrize(
    ("signs", "good", "fails"),
    [
        (("1r=D", "2r=D", "3r=D"), True, ""),  # number alone differs
        (("2r=S", "2r=O", "2r=D"), True, ""),  # shape alone
        (("1p/O", "2g/O", "3r/O"), True, ""),  # number and colour
        (("1g/D", "2g=O", "3goS"), True, ""),  # all but the colour
        (("1r=O", "2g/D", "3poS"), True, ""),  # all four
        (("3poS", "1r=O", "2g/D"), True, ""),  # in any order
        (("1r=O", "1r/O", "1roO"), True, ""),  # filling alone
        (("1r=O", "2r=O", "2r/O"), False, "number"),
        (("1r=O", "2r=O", "3g=O"), False, "colour"),
        (("1r=O", "2r=O", "3r=D"), False, "shape"),
        (("1r=O", "2r=O", "3roO"), False, "filling"),
        (("1r=O", "1r=D", "1r=O"), False, "shape"),  # two of one card
        (("1g/D", "2p/D", "3p/D"), False, "colour"),
        (("2poS", "2goS", "2roO"), False, "shape"),
    ],
)
def test_three_cards_are_a_set_if_each_attribute_is_alike_or_different(signs, good, fails):
    state = table(*signs)
    action = GAME.decode(state.level, "(0, 0) (0, 1) (0, 2)").action
    assert GAME.legal(state)[0, action] == good
    _, outcome = GAME.step(state, np.array([action]))
    assert outcome.gain[0] == outcome.changed[0] == good
    assert GAME.success(state, np.array([action]), outcome)[0] == good
    told = GAME.explain(state, 0, action)
    assert told.endswith("set" if good else f" {fails} no")


def test_the_third_card_of_two_is_the_only_one_that_makes_a_set():
    for first, second in product(range(1, 82, 7), range(1, 82)):
        third = [c for c in range(1, 82) if is_set((NAMES[first], NAMES[second], NAMES[c]))]
        assert third == [THIRD[first, second]]
    assert (THIRD[0] == NONE).all()
    assert (THIRD[:, 0] == NONE).all()


def test_there_are_1080_sets_in_the_deck():
    """Davis and Maclagan, The card game SET (2003)."""
    cards = np.arange(1, 82)
    thirds = THIRD[cards[:, None], cards]
    assert ((thirds != cards) & (thirds != cards[:, None])).sum() == 6 * 1080


def test_twenty_cards_can_be_without_a_set():
    """A cap of the size that Pellegrino (1971) showed to be the largest: ten pairs of points with
    one centre. Of 15 of them a table has no set.
    """
    found: list[int] = []
    generator = np.random.default_rng(2)
    while len(found) < 20:
        found = []
        for centre_pair in generator.permutation(np.arange(1, 82)).tolist():
            opposite = int(THIRD[41, centre_pair])
            pair = [centre_pair, opposite]
            if centre_pair == 41 or opposite in found:
                continue
            both = [*found, *pair]
            if not any(THIRD[a, b] in both for a, b in combinations(both, 2)):
                found = both
    assert len(found) == 20
    level = LevelSet(cols=5, sets=1)
    state = GAME.from_symbols(level, np.array(found[:15], np.int16).reshape(1, 3, 5))
    assert not GAME.legal(state).any()
    assert GAME.reasoning(state, 0, GAME.oracle(state)[0])[1] == NO_ACTION


# ---- play
@pytest.mark.parametrize("name", ["easy", "normal", "hard", "tiny"])
def test_play_agrees_with_plain_names(name):
    level = GAME.level(name, max_steps=0)
    state = GAME.reset(level, seeds_for("free", GAME.name, name, 6))
    generator = np.random.default_rng(0)
    for turn in range(14):
        legal = GAME.legal(state)
        for row in range(len(state)):
            texts = [" ".join(f"({c // level.cols}, {c % level.cols})" for c in cells)
                     for cells in sets_of(state, row)]  # fmt: skip
            expected = {GAME.decode(level, text).action for text in texts}
            assert set(np.flatnonzero(legal[row]).tolist()) == expected
            assert len(expected) == level.sets
        actions = generator.integers(-1, GAME.n_actions(level), len(state))
        if turn % 2:
            actions = np.array([generator.choice(np.flatnonzero(row)) for row in legal])
        after, outcome = GAME.step(state, actions)
        hit = (actions >= 0) & legal[np.arange(len(state)), actions]
        assert (outcome.gain == hit).all()
        assert (outcome.changed == hit).all()
        assert (after.score == state.score + hit).all()
        assert (after.steps == state.steps + 1).all()
        assert (after.board[~hit] == state.board[~hit]).all()
        assert not after.terminated.any()
        state = after


def test_only_the_three_cards_of_a_set_are_replaced_by_cards_that_were_not_there():
    kept = []
    for name in ("easy", "normal", "hard"):
        state = deals(name)
        action = np.nan_to_num(GAME.oracle(state)).argmax(axis=1)
        after, _ = GAME.step(state, action)
        before = state.board.reshape(len(state), -1)
        now = after.board.reshape(len(state), -1)
        stays = (before == now).sum(axis=1)
        kept.append((stays == before.shape[1] - 3).mean())
        for row in np.flatnonzero(stays == before.shape[1] - 3)[:50]:
            new = set(now[row].tolist()) - set(before[row].tolist())
            assert len(new) == 3
            assert len(set(now[row].tolist())) == now.shape[1]
    assert min(kept) > 0.97, kept


def test_equal_luck_brings_equal_cards_and_other_luck_others():
    state = deals("normal", 4)
    action = np.nan_to_num(GAME.oracle(state)).argmax(axis=1)
    first, _ = GAME.step(state, action)
    assert GAME.step(state, action)[0] == first
    other, _ = GAME.step(state.reseed(1), action)
    assert (other.board != first.board).any(axis=(1, 2)).all()


# ---- deals
@pytest.mark.parametrize("attributes", [2, 3, 4])
def test_every_number_of_sets_that_a_level_allows_is_dealt_and_stays(attributes):
    for rows, cols in product((2, 3), (3, 4, 5)):
        cards = rows * cols
        if cards + 3 > 3**attributes:
            continue
        for sets in range(LEAST_SETS.get((attributes, cards), 1), MOST_SETS[cards] + 1):
            level = LevelSet(rows=rows, cols=cols, attributes=attributes, sets=sets)
            state = deals(level, 12)
            for _ in range(4):
                assert not state.terminated.any(), (attributes, cards, sets)
                assert (GAME.legal(state).sum(axis=1) == sets).all()
                flat = state.board.reshape(len(state), -1)
                assert flat.min() > 0
                assert flat.max() <= 3**attributes
                assert all(len(set(row)) == cards for row in flat.tolist())
                action = np.nan_to_num(GAME.oracle(state)).argmax(axis=1)
                state, _ = GAME.step(state, action)


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"cols": 3, "attributes": 2, "sets": 2}, "attributes"),
        ({"attributes": 3, "sets": 3}, "sets"),  # 12 of 27 cards have 4 sets at least
        ({"cols": 3, "sets": 7}, "sets"),
        ({"cols": 5, "attributes": 3, "sets": 12}, "sets"),
    ],
)
def test_levels_without_such_tables_are_refused(fields, wrong):
    with pytest.raises(ConfigError, match=f"LevelSet.{wrong}"):
        LevelSet(**fields)


def test_levels_are_graded_by_the_success_of_random_threes():
    shares = [GAME.success_mask(deals(name)).mean() for name in ("easy", "normal", "hard")]
    assert np.allclose(shares, [4 / 84, 3 / 220, 1 / 455])


@pytest.mark.parametrize("name", ["easy", "normal", "hard", "tiny"])
def test_the_teacher_finds_a_set_at_every_turn(name):
    state = GAME.reset(GAME.level(name), seeds_for("free", GAME.name, name, 5))
    while not state.ended.all():
        values = GAME.oracle(state)
        actions = np.array([GAME.reasoning(state, row, values[row])[1] for row in range(5)])
        state, outcome = GAME.step(state, actions)
        assert (outcome.gain == 1).all()
    assert (state.score == state.level.max_steps).all()


# ---- described boards
def test_boards_that_the_rules_cannot_reach_are_played_all_the_same():
    """Cards that lie twice, and cells without a card."""
    for name in ("normal", "tiny", "hard"):
        level = GAME.level(name)
        generator = np.random.default_rng(3)
        shape = (60, level.rows, level.cols)
        symbols = generator.integers(0, 1 + level.deck, shape, np.int16)
        symbols[::2] = generator.integers(0, 4, symbols[::2].shape)
        symbols[0] = 0
        symbols[1] = 5
        state = GAME.from_symbols(level, symbols)
        legal = GAME.legal(state)
        assert [len(sets_of(state, row)) for row in range(60)] == legal.sum(axis=1).tolist()
        for action in range(0, GAME.n_actions(level), 9):
            after, outcome = GAME.step(state, np.full(60, action))
            assert (outcome.gain == legal[:, action]).all()
            assert after.board.max() <= level.deck
            GAME.explain(state, action % 60, action)
            GAME.reasoning(state, action % 60, GAME.oracle(state)[action % 60])


# ---- the check
def test_equal_values_are_right_only_where_all_legal_moves_gain_alike(monkeypatch):
    assert "good turns 1 against" in oracle_beats_random(make_case(GAME, "easy"))
    swap = type(GAMES["Swap"])
    monkeypatch.setattr(swap, "oracle", lambda self, state: np.where(self.legal(state), 1, np.nan))
    with pytest.raises(CheckFailed, match="same value in every position"):
        oracle_beats_random(make_case(GAMES["Swap"], "easy"))


# ---- words and pictures
def test_the_teacher_says_which_card_two_others_want():
    state = table("1r=O", "2g/D", "3p=S", "3poS", "1g=O")
    told, action = GAME.reasoning(state, 0, GAME.oracle(state)[0])
    assert told == (
        "(0, 0) 1 red solid oval (0, 1) 2 green striped diamond wants 3 purple open squiggle (0, 3)"
    )
    assert GAME.encode(state.level, action) == "(0, 0) (0, 1) (0, 3)"
    state = table("1r=O", "3p=S", "2g=D")
    assert "; " not in GAME.reasoning(state, 0, GAME.oracle(state)[0])[0]
    state = table("1r=O", "3p=S", "2g/D")
    assert GAME.reasoning(state, 0, GAME.oracle(state)[0])[0].count(" no") == 3


def test_rules_name_what_cards_differ_in():
    assert "number (1, 2, 3) and colour (red, green, purple)." in GAME.rules(
        LevelSet(rows=2, cols=3, attributes=2, sets=2)
    )
    assert "There is 1 set on the table" in GAME.rules(GAME.level("hard"))
    assert "filling (solid, striped, open)." in GAME.rules(GAME.level("hard"))
    assert "striped" not in GAME.rules(GAME.level("easy"))


@pytest.mark.parametrize("look", LOOKS)
def test_no_two_cards_are_drawn_alike(look):
    style = get_look(look, noise=0, texture=0, rotation=0, occlusion=0)
    cells = [draw_cell("sprite", Cell(0, name), style.tile, style) for name in NAMES]
    flat = np.array(cells).reshape(len(NAMES), -1).astype(float)
    squares = (flat**2).sum(axis=1)
    distances = squares[:, None] + squares - 2 * flat @ flat.T
    np.fill_diagonal(distances, np.inf)
    assert np.sqrt(distances.min() / flat.shape[1]) > 2.5
