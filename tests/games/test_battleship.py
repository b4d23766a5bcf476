"""Battleship against plain rules, and its oracle against a list of all layouts."""

from __future__ import annotations

from functools import cache
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vlmgym.core import NO_ACTION, ConfigError, StateError, seeds_for
from vlmgym.games.battleship import SAMPLED_TIE, Battleship
from vlmgym.games.solvers.fleets import (
    EXACT,
    HIT,
    IMPOSSIBLE,
    MISS,
    SAMPLED,
    SEA,
    SUNK,
    study,
)
from vlmgym.games.solvers.layouts import SAMPLES
from vlmgym.render.frames import render
from vlmgym.render.looks import LOOKS, get_look

GAME = Battleship()
LETTERS = {".": SEA, "o": MISS, "x": HIT, "#": SUNK}


def board_of(text):
    return np.array([[LETTERS[letter] for letter in line] for line in text.split()], np.uint8)


def level_of(rows, cols, fleet, adjacent=False):
    return GAME.level("normal", rows=rows, cols=cols, fleet=fleet, adjacent=adjacent, max_steps=0)


def game_with(ships, fleet, adjacent=False):
    """One game with this layout, drawn with the numbers of ships."""
    numbers = np.array([[[int(digit) for digit in line] for line in ships.split()]], np.uint8)
    level = level_of(*numbers.shape[1:], fleet, adjacent)
    board = np.zeros_like(numbers)
    return GAME.start(level, board, ships=numbers, wrecks=np.zeros_like(numbers))


def chances(text, fleet, adjacent=False, wrecks=None):
    """What is known of a board as it is drawn: probabilities (rows, cols), and how good they are."""
    board = board_of(text)[None]
    level = level_of(*board.shape[1:], fleet, adjacent)
    known = np.zeros_like(board) if wrecks is None else wrecks[None]
    result = study(level, board, known, np.zeros(1, bool))
    return result.chance[0].reshape(board.shape[1:]), int(result.kind[0])


def shoot(state, *cells):
    """The game after some shots."""
    for row, column in cells:
        state, outcome = GAME.step(state, np.array([row * state.level.cols + column]))
    return state, outcome


def random_play(level, seeds, turns):
    state = GAME.reset(level, seeds)
    for _ in range(turns):
        state, _ = GAME.step(state, GAME.draw_legal(state))
    return state


# ---- all layouts, plainly
@cache
def placements(rows, cols, length):
    found = set()
    for row in range(rows):
        for column in range(cols):
            across = frozenset((row, column + part) for part in range(length))
            down = frozenset((row + part, column) for part in range(length))
            found |= {
                cells for cells in (across, down) if all(r < rows and c < cols for r, c in cells)
            }
    return sorted(found, key=sorted)


def touch(one, other):
    return any(abs(r - s) <= 1 and abs(c - d) <= 1 for r, c in one for s, d in other)


@cache
def all_layouts(rows, cols, fleet, adjacent):
    """Every layout once, as a sorted tuple of sets of cells."""
    layouts = {()}
    for length in map(int, fleet.split(",")):
        longer = set()
        for layout in layouts:
            for ship in placements(rows, cols, length):
                apart = all(not ship & other for other in layout)
                if apart and (adjacent or not any(touch(ship, other) for other in layout)):
                    longer.add(tuple(sorted((*layout, ship), key=sorted)))
        layouts = longer
    return sorted(layouts, key=lambda layout: [sorted(ship) for ship in layout])


def seen_of(layout, shots):
    """What a board shows after these shots, by cell."""
    seen = dict.fromkeys(shots, MISS)
    for ship in layout:
        for cell in ship & shots:
            seen[cell] = SUNK if ship <= shots else HIT
    return seen


def plain_chances(board, level, wrecks=()):
    """The share of the layouts that look like this and have these wrecks, by cell; None where there
    is no layout.
    """
    cells = {(int(r), int(c)): int(value) for (r, c), value in np.ndenumerate(board)}
    shots = frozenset(cell for cell, value in cells.items() if value != SEA)
    shown = {cell: cells[cell] for cell in shots}
    fitting = [
        layout
        for layout in all_layouts(level.rows, level.cols, level.fleet, level.adjacent)
        if seen_of(layout, shots) == shown and set(wrecks) <= set(layout)
    ]
    if not fitting:
        return None
    chance = np.zeros(board.shape)
    for layout in fitting:
        for cell in frozenset().union(*layout):
            chance[cell] += 1 / len(fitting)
    chance[board != SEA] = np.nan
    return chance


def wrecks_of(state):
    """The ships that were seen to sink, as sets of cells."""
    numbers = state.wrecks[0]
    return [
        frozenset(map(tuple, np.argwhere(numbers == ship).tolist()))
        for ship in np.unique(numbers[numbers > 0])
    ]


# ---- hand-made positions
LAYOUT = "1100 0000 2220 0000"


def test_a_miss_gains_nothing_and_a_hit_gains_one():
    state, outcome = shoot(game_with(LAYOUT, "2,3"), (1, 1))
    assert (state.board[0, 1, 1], outcome.gain[0], bool(outcome.changed[0])) == (MISS, 0, True)
    state, outcome = shoot(state, (0, 1))
    assert (state.board[0, 0, 1], outcome.gain[0], state.score[0]) == (HIT, 1, 1)


def test_a_ship_sinks_with_its_last_part():
    state, _ = shoot(game_with(LAYOUT, "2,3"), (2, 0), (2, 2))
    assert state.board[0, 2].tolist() == [HIT, SEA, HIT, SEA]
    state, outcome = shoot(state, (2, 1))
    assert state.board[0, 2].tolist() == [SUNK, SUNK, SUNK, SEA]
    assert state.wrecks[0, 2].tolist() == [2, 2, 2, 0]
    assert not outcome.terminated[0]


def test_the_game_ends_with_the_last_ship():
    state, outcome = shoot(game_with(LAYOUT, "2,3"), (0, 0), (0, 1), (2, 0), (2, 1), (2, 2))
    assert outcome.terminated[0]
    assert state.score[0] == 5
    assert not GAME.legal(state).any()
    assert np.isnan(GAME.oracle(state)).all()


def test_a_cell_is_shot_at_once():
    state, _ = shoot(game_with(LAYOUT, "2,3"), (0, 0))
    assert not GAME.legal(state)[0, 0]
    after, outcome = GAME.step(state, np.array([0]))
    assert after.board.tolist() == state.board.tolist()
    assert not outcome.changed[0]
    assert not GAME.success(state, np.array([0]), outcome)[0]


def test_a_ship_of_one_cell_sinks_at_once():
    state, _ = shoot(game_with("1000 0000 2220 0000", "1,3"), (0, 0))
    assert state.board[0, 0, 0] == SUNK


def test_ships_that_touch_sink_apart():
    state, _ = shoot(game_with("1122 0000 0000 0000", "2,2", adjacent=True), (0, 1), (0, 2), (0, 3))
    assert state.board[0, 0].tolist() == [SEA, HIT, SUNK, SUNK]
    assert state.wrecks[0, 0].tolist() == [0, 0, 2, 2]


def test_a_hit_in_a_corner_has_two_neighbours():
    """Of 4 x 4 with two ships of 2, one in the corner: 1/2 each, but for where the other has room;
    by hand: across leaves rows 2 and 3 (6 + 4 places) and, beside it, the last column (1).
    """
    chance, kind = chances("x... .... .... ....", "2,2")
    assert kind == EXACT
    assert chance[0, 1] == pytest.approx(0.5)
    assert chance[1, 0] == pytest.approx(0.5)
    assert chance[1, 1] == 0
    across = plain_chances(board_of("x... .... .... ...."), level_of(4, 4, "2,2"))
    np.testing.assert_allclose(chance, across)


def test_two_hits_in_a_row_go_on_at_their_ends():
    # a ship of 3 and one of 2 that do not touch: the two hits are parts of the 3
    chance, _ = chances("..... .xx.. ..... ..... .....", "3,2")
    assert chance[1, 0] + chance[1, 3] == pytest.approx(1.0)
    assert chance[0, 1] == chance[2, 2] == 0
    # 0 | 3: which end it is depends on the room that is left for the other, rows 3 and 4
    assert chance[1, 3] < chance[1, 0], "in the middle less is left for the other"


def test_a_certain_shot_is_certain():
    chance, _ = chances("..... oxxo. ..... ..... .....", "3,2", adjacent=True)
    # across nothing is left, so two ships lie down beside each other, or a hit is of each
    assert chance[0].max() < 1
    chance, _ = chances(".o.. xxo. .... ....", "3,2")
    assert plain_chances(board_of(".o.. xxo. .... ...."), level_of(4, 4, "3,2")) is None
    chance, kind = chances("oxx. .... .... ....", "3,2")
    assert kind == EXACT
    assert chance[0, 3] == 1.0


def test_nothing_lies_beside_a_wreck_where_ships_do_not_touch():
    chance, _ = chances("##... ..... ..... ..... .....", "3,2")
    assert (chance[1, :3] == 0).all()
    assert chance[0, 2] == 0
    assert chance[3, 2] > 0
    touching, _ = chances("##... ..... ..... ..... .....", "3,2", adjacent=True)
    assert touching[1, 0] > 0


def test_what_sank_together_is_known_to_who_saw_it():
    """Four sunk parts in a row are a ship of 4, or two of 2: who saw a 2 sink knows which ships are
    left.
    """
    text = "####. ..... ..... ..... ....."
    wrecks = np.zeros((5, 5), np.uint8)
    wrecks[0, :4] = [1, 1, 2, 2]
    saw_two, _ = chances(text, "2,2,4", adjacent=True, wrecks=wrecks)
    wrecks[0, :4] = 1
    saw_four, _ = chances(text, "2,2,4", adjacent=True, wrecks=wrecks)
    saw_nothing, _ = chances(text, "2,2,4", adjacent=True)
    assert np.nansum(saw_two) == pytest.approx(4)
    assert np.nansum(saw_four) == pytest.approx(4)
    assert not np.allclose(saw_two, saw_four, equal_nan=True)
    assert np.nanmax(np.abs(saw_nothing - saw_two)) > 0.01
    assert np.nanmax(np.abs(saw_nothing - saw_four)) > 0.001


def test_boards_that_no_layout_fits_have_equal_shots():
    chance, kind = chances("x.x. .... x.x. ....", "3,2")
    assert kind == IMPOSSIBLE
    assert np.unique(chance[~np.isnan(chance)]).tolist() == [pytest.approx(1 / 12)]


def test_explanations_and_candidates():
    state, _ = shoot(game_with("1110 0000 2200 0000", "3,2"), (0, 1), (0, 0))
    assert GAME.explain(state, 0, 2) == "(0, 2) ship 1.00"
    assert GAME.explain(state, 0, 0) == "(0, 0) shot"
    assert 2 in GAME.candidates(state, 0)
    assert "3 and 2 cells long" in GAME.rules(state.level)
    assert "do not touch" in GAME.rules(state.level)
    assert "may touch" in GAME.rules(GAME.level("hard"))


# ---- a second implementation of the rules
@settings(max_examples=40)
@given(st.sampled_from(list(GAME.LEVELS)), st.integers(0, 2**32 - 1))
def test_turns_agree_with_plain_rules(name, number):
    level = GAME.level(name, max_steps=0)
    state = GAME.reset(level, np.array([number], np.uint64))
    rng = np.random.default_rng(number)
    ships = {}
    for cell, ship in enumerate(state.ships[0].ravel().tolist()):
        if ship:
            ships.setdefault(ship, set()).add(divmod(cell, level.cols))
    shots = set()
    for _ in range(level.rows * level.cols):
        action = int(rng.integers(level.rows * level.cols))
        cell = divmod(action, level.cols)
        is_legal = cell not in shots and not state.ended[0]
        shots |= {cell} if is_legal else set()
        after, outcome = GAME.step(state, np.array([action]))
        hit = any(cell in ship for ship in ships.values())
        assert outcome.changed[0] == GAME.legal(state)[0, action] == is_legal
        assert outcome.gain[0] == (is_legal and hit)
        seen = seen_of([frozenset(ship) for ship in ships.values()], frozenset(shots))
        expected = [
            [seen.get((row, column), SEA) for column in range(level.cols)]
            for row in range(level.rows)
        ]
        assert after.board[0].tolist() == expected
        assert after.terminated[0] == all(ship <= shots for ship in ships.values())
        state = after


# ---- the oracle
@pytest.mark.parametrize(
    ("rows", "cols", "fleet", "adjacent"),
    [
        (4, 4, "3,2", True),
        (4, 4, "2,2", False),
        (4, 5, "2,2,1", False),
        (5, 4, "2,2,2", True),
        (5, 5, "3,2", False),
    ],
)
def test_oracle_agrees_with_a_list_of_all_layouts(rows, cols, fleet, adjacent):
    level = level_of(rows, cols, fleet, adjacent)
    assert GAME.is_exact(level)
    for turns in (0, 2, 4, 7, 10):
        state = random_play(level, seeds_for("free", "Battleship", "list", 6), turns)
        for row in range(len(state)):
            game = state[row]
            if game.ended[0]:
                continue
            expected = plain_chances(game.board[0], level, wrecks_of(game))
            np.testing.assert_allclose(
                GAME.oracle(game)[0].reshape(rows, cols), expected, rtol=0, atol=1e-9
            )
            described = GAME.from_symbols(level, GAME.scene(game).symbols)
            expected = plain_chances(game.board[0], level)
            np.testing.assert_allclose(
                GAME.oracle(described)[0].reshape(rows, cols), expected, rtol=0, atol=1e-9
            )
            best = expected >= np.nanmax(expected) - 1e-9
            actions = np.arange(rows * cols)
            symbols = np.repeat(GAME.scene(game).symbols, rows * cols, axis=0)
            works = GAME.would_succeed(level, symbols, actions)
            assert np.array_equal(works, best.ravel())


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1), st.sampled_from(["3,2", "2,1,1"]), st.booleans())
def test_probabilities_on_described_boards(seed, fleet, adjacent):
    rng = np.random.default_rng(seed)
    level = level_of(4, 4, fleet, adjacent)
    board = rng.choice(4, (4, 4), p=[0.6, 0.2, 0.1, 0.1]).astype(np.uint8)
    result = study(level, board[None], np.zeros((1, 4, 4), np.uint8), np.zeros(1, bool))
    expected = plain_chances(board, level)
    if expected is None:
        assert result.kind[0] == IMPOSSIBLE
        return
    assert result.kind[0] == EXACT
    np.testing.assert_allclose(result.chance[0].reshape(4, 4), expected, rtol=0, atol=1e-9)
    layout = tuple(
        frozenset(map(tuple, np.argwhere(result.layout[0] == ship).tolist()))
        for ship in range(1, int(result.layout.max()) + 1)
    )
    shots = frozenset(map(tuple, np.argwhere(board != SEA).tolist()))
    assert seen_of(layout, shots) == {cell: int(board[cell]) for cell in shots}
    lengths = sorted(map(len, layout), reverse=True)
    assert tuple(lengths) == level.lengths


def test_samples_agree_with_deals_that_look_the_same():
    """Deals are as likely as layouts are, so those that agree with a board have its shares."""
    level = GAME.level("hard", rows=10, cols=10, fleet="5,4,3,2,2", adjacent=False)
    assert not GAME.is_exact(level)
    ships = GAME.reset(level, seeds_for("free", "Battleship", "deals", 150_000)).ships
    for shots in ([], [(4, 4), (4, 5), (2, 7)], [(0, 0), (5, 5), (5, 6), (8, 2)]):
        fits = np.ones(len(ships), bool)
        board = np.zeros((1, 10, 10), np.uint8)
        for number, cell in enumerate(shots):
            is_hit = number == 1
            board[0, *cell] = HIT if is_hit else MISS
            fits &= (ships[:, *cell] > 0) == is_hit
        result = study(level, board, np.zeros_like(board), np.zeros(1, bool))
        assert result.kind[0] == SAMPLED
        share = (ships[fits] > 0).mean(axis=0)
        error = np.sqrt(share * (1 - share) * (1 / fits.sum() + 1 / SAMPLES))
        difference = np.abs(result.chance[0].reshape(10, 10) - share)[board[0] == SEA]
        deviation = difference / np.maximum(error[board[0] == SEA], 1e-3)
        assert deviation.max() < 6
        assert (difference < SAMPLED_TIE * 2.5).all()
        assert np.sqrt((deviation**2).mean()) < 1.6


@pytest.mark.parametrize("name", ["easy", "normal", "tiny"])
def test_exact_levels_are_never_sampled(name):
    level = GAME.level(name, max_steps=0)
    assert GAME.is_exact(level)
    state = GAME.reset(level, seeds_for("free", "Battleship", name, 60))
    while not state.ended.all():
        result = study(level, state.board, state.wrecks, state.ended)
        assert (result.kind == EXACT).all()
        state, _ = GAME.step(state, GAME.draw_legal(state))


def test_every_board_of_random_play_has_a_layout():
    level = GAME.level("hard", max_steps=0)
    assert not GAME.is_exact(level)
    for turns in (20, 40, 60):
        state = random_play(level, seeds_for("free", "Battleship", "hard", 8), turns)
        result = study(level, state.board, state.wrecks, state.ended)
        assert (result.kind != IMPOSSIBLE).all()


@pytest.mark.parametrize("name", GAME.LEVELS)
def test_nothing_depends_on_ships_that_swim(name):
    level = GAME.level(name)
    turns = 40 if name == "hard" else 5
    state = random_play(level, seeds_for("free", "Battleship", name, 5), turns)
    none = state.with_arrays({"ships": state.wrecks})
    assert GAME.scene(none).texts() == GAME.scene(state).texts()
    assert np.array_equal(GAME.legal(none), GAME.legal(state))
    np.testing.assert_array_equal(GAME.oracle(none), GAME.oracle(state))
    assert np.array_equal(GAME.success_mask(none), GAME.success_mask(state))
    look = get_look("tiny")
    assert np.array_equal(render(GAME, none, look), render(GAME, state, look))
    for row in range(len(state)):
        assert GAME.candidates(none, row) == GAME.candidates(state, row)


# ---- deals
@pytest.mark.parametrize("name", GAME.LEVELS)
def test_deals_hold_the_whole_fleet(name):
    level = GAME.level(name)
    state = GAME.reset(level, seeds_for("free", "Battleship", name, 200))
    assert not state.ended.any()
    for numbers in state.ships:
        ships = [
            frozenset(map(tuple, np.argwhere(numbers == ship).tolist()))
            for ship in range(1, len(level.lengths) + 1)
        ]
        assert sorted(map(len, ships), reverse=True) == list(level.lengths)
        assert all(ship in placements(level.rows, level.cols, len(ship)) for ship in ships)
        if not level.adjacent:
            assert not any(touch(one, other) for one, other in combinations(ships, 2))
    assert len({numbers.tobytes() for numbers in state.ships}) > 100
    assert GAME.reset(level, state.seed[7:8]) == state[7]


def test_every_layout_is_as_likely():
    level = level_of(4, 4, "2,2")
    layouts = all_layouts(4, 4, "2,2", False)
    deals = 40 * len(layouts)
    ships = GAME.reset(level, seeds_for("free", "Battleship", "likely", deals)).ships > 0
    sets, counts = np.unique(ships.reshape(deals, -1), axis=0, return_counts=True)
    assert len(sets) == len(layouts)
    deviation = ((counts - 40) ** 2 / 40).sum()
    assert abs(deviation - len(layouts)) < 5 * np.sqrt(2 * len(layouts))


def test_crowded_seas_are_dealt():
    for fields in (
        {"rows": 10, "cols": 10, "fleet": "4,3,3,2,2,2,1,1,1,1"},
        {"rows": 10, "cols": 10, "fleet": "3,3,3,3,3,3,3,3,3,3,3", "adjacent": True},
        {"rows": 4, "cols": 4, "fleet": "2,1,1"},
    ):
        state = GAME.reset(GAME.level("normal", **fields), seeds_for("free", "Battleship", "c", 20))
        assert not state.ended.any()


def test_levels_are_graded_by_the_games_that_random_and_greedy_players_win():
    """Greedy: beside a hit, else anywhere."""
    for greedy in (False, True):
        rates = []
        for name in ("easy", "normal", "hard"):
            state = GAME.reset(name, seeds_for("test", "Battleship", name, 300))
            rng = np.random.default_rng(0)
            while not state.ended.all():
                worth = rng.random(state.board.shape)
                hit = np.pad(state.board == HIT, ((0, 0), (1, 1), (1, 1))) & greedy
                worth[hit[:, 2:, 1:-1] | hit[:, :-2, 1:-1]] += 1
                worth[hit[:, 1:-1, 2:] | hit[:, 1:-1, :-2]] += 1
                worth[state.board != SEA] = -1
                actions = worth.reshape(len(state), -1).argmax(axis=1)
                state, _ = GAME.step(state, np.where(state.ended, NO_ACTION, actions))
            rates.append(state.terminated.mean())
        assert rates == sorted(rates, reverse=True)
        assert rates[0] > rates[2] + 0.1


# ---- described boards, and what comes from outside
@settings(max_examples=30)
@given(st.sampled_from(list(GAME.LEVELS)), st.integers(0, 2**32 - 1), st.floats(0, 1))
def test_any_description_gives_a_state(name, seed, share):
    level = GAME.level(name)
    rng = np.random.default_rng(seed)
    symbols = rng.integers(0, 4, (3, level.rows, level.cols)).astype(np.int16)
    symbols[rng.random(symbols.shape) < share] = SEA
    state = GAME.from_symbols(level, symbols)
    assert np.array_equal(GAME.scene(state).symbols, symbols)
    values = GAME.oracle(state)
    assert np.array_equal(~np.isnan(values), GAME.legal(state))
    assert not ((values < 0) | (values > 1)).any()
    actions = rng.integers(-1, GAME.n_actions(level), 3)
    GAME.would_succeed(level, symbols, actions)
    GAME.step(state, actions)
    for row in range(3):
        assert set(GAME.candidates(state, row)) <= set(np.flatnonzero(GAME.legal(state)[row]))


def test_bad_levels_and_states_are_refused():
    for fields, name in (
        ({"fleet": "7,2"}, "fleet"),
        ({"fleet": "3"}, "fleet"),
        ({"fleet": "3,x"}, "fleet"),
        ({"fleet": "3,,2"}, "fleet"),
        ({"fleet": "6,6,6"}, "fleet"),
        ({"fleet": "6,5,2", "adjacent": True}, "fleet"),
        ({"rows": 11}, "rows"),
        ({"cols": 3}, "cols"),
    ):
        with pytest.raises(ConfigError, match=f"LevelBattleship.{name}"):
            GAME.level("normal", **fields)
    state = game_with(LAYOUT, "2,3")
    ships = state.ships.copy()
    ships[0, 0, 0] = 200
    with pytest.raises(StateError, match="ship 200"):
        GAME.from_bytes(state.with_arrays({"ships": ships}).to_bytes(GAME))


# ---- pictures
@pytest.mark.parametrize("look", LOOKS)
def test_what_cells_show_is_told_apart(look):
    level = GAME.level("tiny")
    look = get_look(look, noise=0, score=False)
    boards = np.zeros((4, 4, 4), np.int16)
    boards[:, 1, 1] = np.arange(4)
    frames = render(GAME, GAME.from_symbols(level, boards), look).astype(int)
    for one, other in combinations(frames, 2):
        assert (np.abs(one - other).max(axis=2) > 20).sum() > 30


def test_wrecks_are_one_body_where_ships_do_not_touch():
    board = board_of("##.. .... .#.. .#..")[None].astype(np.int16)
    joins = GAME.scene(GAME.from_symbols(level_of(4, 4, "2,2"), board)).joins
    assert joins[0].tolist() == [[2, 8, 0, 0], [0, 0, 0, 0], [0, 4, 0, 0], [0, 1, 0, 0]]
    assert GAME.scene(GAME.from_symbols(level_of(4, 4, "2,2", True), board)).joins is None
