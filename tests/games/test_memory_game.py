"""Memory against plain rules, and its oracle against a search over all that a player may know."""

from __future__ import annotations

from functools import cache
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vlmgym.core import NO_ACTION, ConfigError, StateError, seeds_for
from vlmgym.games.memory import Memory
from vlmgym.games.parts.cards import FIRST, NEVER, UNSEEN, lay_under
from vlmgym.games.parts.tile_kinds import picture_classes
from vlmgym.render.frames import render
from vlmgym.render.looks import LOOKS, get_look

GAME = Memory()
A, B, C, D = range(FIRST, FIRST + 4)


def table(faces, seen=(), up=(), **fields):
    """One game of these cards (0 = gone), of which some cells were seen before, or lie face up."""
    faces = np.array([faces], np.uint8)
    level = GAME.level("normal", rows=faces.shape[1], cols=faces.shape[2], **fields)
    arrays = GAME.further(faces)
    arrays["faces"][:] = faces
    board = np.minimum(faces, UNSEEN)
    for cell in up:
        arrays["up"][0, *cell] = level.shown
        board[0, *cell] = faces[0, *cell]
    for cell in seen:
        arrays["last_shown"][0, *cell] = 0
    return GAME.start(level, board, **arrays)


def move(state, *cells):
    """The id of a move of two cells."""
    cols = state.level.cols
    first, second = (row * cols + column for row, column in cells)
    return first * state.level.rows * cols + second


def play(state, *cells):
    """The game after a move, what came of it, and whether it was a success."""
    actions = np.array([move(state, *cells)])
    after, outcome = GAME.step(state, actions)
    return after, outcome, bool(GAME.success(state, actions, outcome)[0])


def by_oracle(state):
    values = np.nan_to_num(GAME.oracle(state), nan=-np.inf)
    return np.where(state.ended, NO_ACTION, values.argmax(axis=1))


def random_play(level, seeds, turns):
    """Games after some random moves."""
    state = GAME.reset(level, seeds)
    for _ in range(turns):
        state, _ = GAME.step(state, GAME.draw_legal(state))
    return state


# ---- hand-made positions
ROW = [[A, B, A, B, C, C]]
TWO_ROWS = [[A, B, A], [B, C, C]]


def test_a_pair_is_taken_away_and_gains_one():
    after, outcome, good = play(table(TWO_ROWS), (0, 0), (0, 2))
    assert after.board[0].tolist() == [[0, 1, 0], [1, 1, 1]]
    assert (outcome.gain[0], after.score[0], bool(outcome.changed[0]), good) == (1, 1, True, True)


def test_other_cards_lie_face_up_for_one_picture():
    first, outcome, good = play(table(TWO_ROWS), (0, 0), (0, 1))
    assert first.board[0].tolist() == [[A, B, 1], [1, 1, 1]]
    assert (outcome.gain[0], good) == (0, True)
    second, _, good = play(first, (1, 1), (0, 2))
    assert second.board[0].tolist() == [[1, 1, A], [1, C, 1]]
    assert second.last_shown[0].tolist() == [[1, 1, NEVER], [NEVER, NEVER, NEVER]]
    assert good


def test_cards_stay_up_for_as_many_moves_as_the_level_says():
    state = table([[A, B, C, D], [A, B, C, D]], shown=2)
    state, _, _ = play(state, (0, 0), (0, 1))
    state, _, _ = play(state, (0, 2), (0, 3))
    assert state.board[0].tolist() == [[A, B, C, D], [1, 1, 1, 1]]
    state, _, _ = play(state, (1, 0), (1, 1))
    assert state.board[0].tolist() == [[1, 1, C, D], [A, B, 1, 1]]


def test_a_turn_without_a_move_turns_nothing_back():
    state, _, _ = play(table(TWO_ROWS), (0, 0), (0, 1))
    after, outcome = GAME.step(state, np.array([NO_ACTION]))
    assert after.board.tolist() == state.board.tolist()
    assert after.steps[0] == 2
    assert not outcome.changed[0]


def test_turning_a_card_again_keeps_it_up():
    state, _, _ = play(table(TWO_ROWS), (0, 0), (0, 1))
    after, _, good = play(state, (0, 1), (1, 1))
    assert after.board[0].tolist() == [[1, B, 1], [1, C, 1]]
    assert good


def test_two_that_lie_face_up_and_differ_are_no_move():
    state, _, _ = play(table(TWO_ROWS), (0, 0), (0, 1))
    after, outcome, good = play(state, (0, 1), (0, 0))
    assert after.board.tolist() == state.board.tolist()
    assert not outcome.changed[0]
    assert not good
    assert not GAME.legal(state)[0, move(state, (0, 1), (0, 0))]


def test_the_same_cell_twice_and_gone_cards_are_no_moves():
    state = table([[A, 0, A], [0, B, B]])
    legal = GAME.legal(state)[0]
    assert not legal[move(state, (0, 0), (0, 0))]
    assert not legal[move(state, (0, 0), (0, 1))]
    assert legal[move(state, (0, 0), (1, 1))]
    assert legal.sum() == 12, "six pairs of four cards, in both orders"


def test_a_lucky_pair_is_a_success_even_while_another_is_known():
    _, outcome, good = play(table(TWO_ROWS, seen=[(0, 0), (0, 2)]), (1, 1), (1, 2))
    assert outcome.gain[0] == 1
    assert good


def test_a_new_card_is_no_success_while_a_pair_is_known():
    _, _, good = play(table(TWO_ROWS, seen=[(0, 0), (0, 2)]), (0, 1), (1, 1))
    assert not good
    _, _, good = play(table(TWO_ROWS, seen=[(0, 0)]), (0, 1), (1, 1))
    assert good


def test_cards_that_were_seen_before_are_no_success():
    _, outcome, good = play(table(TWO_ROWS, seen=[(0, 0), (0, 1)]), (0, 0), (0, 1))
    assert outcome.changed[0]
    assert not good


def test_a_pair_is_known_if_one_card_lies_up_and_one_was_seen():
    state = table(TWO_ROWS, seen=[(0, 0)], up=[(0, 2)])
    mask = GAME.success_mask(state)[0]
    assert mask[move(state, (0, 2), (0, 0))]
    assert not mask[move(state, (0, 1), (1, 1))]
    assert GAME.explain(state, 0, move(state, (0, 2), (0, 0))).endswith("circle pair")
    assert by_oracle(state)[0] == move(state, (0, 0), (0, 2))


def test_the_last_pair_ends_the_game():
    after, outcome, _ = play(table([[A, 0], [0, A]]), (0, 0), (1, 1))
    assert outcome.terminated[0]
    assert not GAME.legal(after).any()
    assert np.isnan(GAME.oracle(after)).all()


def test_values_worked_out_by_hand():
    # one pair: one turn
    state = table([[A, 0], [0, A]])
    assert GAME.oracle(state)[0, move(state, (0, 0), (1, 1))] == -1
    # 2 x 2, nothing seen: a pair by a third (2 + 1); else two single ones, and beside one of them
    # its partner (2 + 1) or the other's (2 + 2 + 1) by a half: 2 + 2 + 2 = 6, or two unseen (7)
    state = table([[A, B], [A, B]])
    values = GAME.oracle(state)[0]
    np.testing.assert_allclose(values[~np.isnan(values)], -(3 / 3 + 6 * 2 / 3))
    state = table([[A, B], [A, B]], seen=[(0, 0), (0, 1)])
    values = GAME.oracle(state)[0]
    assert values[move(state, (0, 0), (1, 0))] == pytest.approx(-4.0)
    assert values[move(state, (1, 0), (1, 1))] == pytest.approx(-5.0)
    assert values[move(state, (0, 0), (0, 1))] == pytest.approx(-6.0)
    # both pairs known: 2 + 1; putting one off costs two more
    state = table([[A, B], [A, B]], seen=[(0, 0), (0, 1), (1, 0), (1, 1)])
    values = GAME.oracle(state)[0]
    assert values[move(state, (0, 0), (1, 0))] == -3
    assert values[move(state, (0, 0), (1, 1))] == -5


def test_explanations_tell_what_is_known_of_the_cards():
    state = table(TWO_ROWS, seen=[(0, 0), (0, 2), (0, 1)])
    ends = {
        ((0, 0), (0, 2)): "red circle pair",
        ((0, 0), (0, 1)): "red square differ",
        ((0, 1), (1, 0)): "red square 1 new",
        ((1, 0), (1, 1)): "2 new",
        ((1, 1), (1, 1)): "same",
    }
    for cells, words in ends.items():
        assert GAME.explain(state, 0, move(state, *cells)).endswith(f") {words}")
    gone = table([[A, 0], [0, A]])
    assert GAME.explain(gone, 0, move(gone, (0, 0), (0, 1))) == "(0, 0) (0, 1) empty"


# ---- a second implementation of the rules
def plain_turn(cards, first, second):
    """Play a turn on a dictionary of cells to [face, moves that it still lies face up, seen];
    returns the gain, or None where nothing may be done.
    """
    if first == second or first not in cards or second not in cards:
        return None
    one, other = cards[first], cards[second]
    if one[1] and other[1] and one[0] != other[0]:
        return None
    for card in cards.values():
        card[1] = max(card[1] - 1, 0)
    if one[0] == other[0]:
        del cards[first], cards[second]
        return 1
    return 0


@settings(max_examples=40)
@given(st.sampled_from(list(GAME.LEVELS)), st.integers(1, 3), st.integers(0, 2**32 - 1))
def test_turns_agree_with_plain_rules(name, shown, number):
    level = GAME.level(name, shown=shown, max_steps=0)
    state = GAME.reset(level, np.array([number], np.uint64))
    rng = np.random.default_rng(number)
    cells = level.rows * level.cols
    cards = {cell: [int(state.faces[0].flat[cell]), 0, False] for cell in range(cells)}
    for _ in range(30):
        action = int(rng.integers(cells**2)) if rng.random() < 0.4 else int(by_oracle(state)[0])
        first, second = divmod(action, cells)
        if action == NO_ACTION:
            break
        seen = {cell: card[0] for cell, card in cards.items() if card[2]}
        known = len(set(seen.values())) < len(seen)
        new = first in cards and second in cards and not (cards[first][2] and cards[second][2])
        gain = plain_turn(cards, first, second)
        after, outcome = GAME.step(state, np.array([action]))
        success = GAME.success(state, np.array([action]), outcome)[0]
        assert GAME.legal(state)[0, action] == (gain is not None) == outcome.changed[0]
        assert outcome.gain[0] == (gain or 0)
        assert success == (gain == 1 or (gain == 0 and new and not known))
        if gain == 0:
            for cell in (first, second):
                cards[cell][1:] = [shown, True]
        expected = [0] * cells
        for cell, (face, up, _) in cards.items():
            expected[cell] = face if up else UNSEEN
        assert after.board[0].ravel().tolist() == expected
        remembered = {cell for cell, card in cards.items() if card[2]}
        assert set(np.flatnonzero(after.remembered[0].ravel() >= FIRST)) == remembered
        assert after.terminated[0] == (not cards)
        state = after


# ---- the oracle
def matchings(cards):
    """All ways in which the cards that lie there may be pairs, as dictionaries of partners; cards
    is a tuple of -1 gone, 0 unseen, or the number of what was seen.
    """
    left = [cell for cell, card in enumerate(cards) if card >= 0]

    def fits(one, other):
        first, second = cards[one], cards[other]
        if first > 0 and second > 0:
            return first == second
        shown = max(first, second)
        return shown == 0 or cards.count(shown) == 1

    def match(cells):
        if not cells:
            yield {}
            return
        one, *rest = cells
        for other in rest:
            if fits(one, other):
                for others in match([cell for cell in rest if cell != other]):
                    yield {one: other, other: one, **others}

    return list(match(left))


def after_move(cards, partners, first, second):
    """What is known after a move, in canonical numbers."""
    known = list(cards)
    if partners[first] == second:
        known[first] = known[second] = -1
    else:
        for cell in (first, second):
            partner = known[partners[cell]]
            known[cell] = known[cell] or (partner if partner > 0 else max(known) + 1)
    numbers = {}
    for card in known:
        if card > 0:
            numbers.setdefault(card, len(numbers) + 1)
    return tuple(numbers.get(card, card) for card in known)


@cache
def plain_costs(cards):
    """By the two cells of each move: its expected cost, the best play after it."""
    pairs = sum(card >= 0 for card in cards) / 2
    if not pairs:
        return {}
    layouts = matchings(cards)
    left = [cell for cell, card in enumerate(cards) if card >= 0]
    costs = {}
    idle = []
    for first, second in combinations(left, 2):
        after = [after_move(cards, partners, first, second) for partners in layouts]
        if set(after) == {cards}:
            idle.append((first, second))
            continue
        rest = [min(plain_costs(known).values(), default=0.0) for known in after]
        costs[first, second] = pairs + sum(rest) / len(rest)
    best = min(costs.values())
    return costs | dict.fromkeys(idle, pairs + best)


@pytest.mark.parametrize(("rows", "cols"), [(2, 2), (2, 3)])
def test_oracle_agrees_with_a_search_over_all_that_is_known(rows, cols):
    level = GAME.level("normal", rows=rows, cols=cols, max_steps=0)
    cells = rows * cols
    for turns in range(5):
        state = random_play(level, seeds_for("free", "Memory", "search", 12), turns)
        values = GAME.oracle(state)
        for row in range(len(state)):
            cards = state.remembered[row].ravel().astype(int) - 1
            for (first, second), cost in plain_costs(tuple(cards.tolist())).items():
                for action in (first * cells + second, second * cells + first):
                    if GAME.legal(state)[row, action]:
                        assert values[row, action] == pytest.approx(-cost)
            assert np.array_equal(~np.isnan(values[row]), GAME.legal(state)[row])


@pytest.mark.parametrize("name", GAME.LEVELS)
def test_nothing_depends_on_cards_that_were_not_shown(name):
    level = GAME.level(name)
    rng = np.random.default_rng(5)
    for turns in (0, 2, 5):
        state = random_play(level, seeds_for("test", "Memory", name, 6), turns)
        faces = state.faces.copy()
        photos = state.photos.copy()
        for row in range(len(state)):
            hidden = np.flatnonzero(state.remembered[row].ravel() == UNSEEN)
            shuffled = rng.permutation(hidden)
            faces[row].flat[hidden] = faces[row].flat[shuffled]
            photos[row].flat[hidden] = photos[row].flat[shuffled]
        twin = state.with_arrays({"faces": faces, "photos": photos})
        assert (twin.faces != state.faces).any()
        assert GAME.scene(twin).texts() == GAME.scene(state).texts()
        assert np.array_equal(GAME.scene(twin).variants, GAME.scene(state).variants)
        assert np.array_equal(GAME.legal(twin), GAME.legal(state))
        np.testing.assert_array_equal(GAME.oracle(twin), GAME.oracle(state))
        for row in range(len(state)):
            assert GAME.candidates(twin, row) == GAME.candidates(state, row)
            for action in range(0, GAME.n_actions(level), 7):
                assert GAME.explain(twin, row, action) == GAME.explain(state, row, action)


@pytest.mark.parametrize("name", GAME.LEVELS)
def test_every_move_of_the_oracle_is_a_success(name):
    state = GAME.reset(name, seeds_for("test", "Memory", name, 50))
    while not state.ended.all():
        actions = by_oracle(state)
        after, outcome = GAME.step(state, actions)
        assert (GAME.success(state, actions, outcome) | state.ended).all()
        state = after
    assert state.terminated.mean() > 0.95


def test_the_best_play_takes_about_as_long_as_is_expected():
    level = GAME.level("normal", max_steps=0)
    state = GAME.reset(level, seeds_for("test", "Memory", "normal", 400))
    expected = -np.nanmax(GAME.oracle(state), axis=1)
    assert np.ptp(expected) < 1e-9
    total = np.zeros(len(state))
    while not state.ended.all():
        total += (state.board > 0).sum(axis=(1, 2)) / 2
        state, _ = GAME.step(state, by_oracle(state))
    error = total.std() / np.sqrt(len(state))
    assert abs(total.mean() - expected[0]) < 4 * error


# ---- deals
@pytest.mark.parametrize("name", GAME.LEVELS)
def test_deals_lay_each_pair_once(name):
    level = GAME.level(name)
    state = GAME.reset(level, seeds_for("free", "Memory", name, 300))
    assert (state.board == UNSEEN).all()
    for faces, photos in zip(state.faces, state.photos, strict=True):
        kinds, counts = np.unique(faces, return_counts=True)
        assert (counts == 2).all()
        assert set(kinds) <= set(level.kinds)
        cards = set(zip(faces.ravel().tolist(), photos.ravel().tolist(), strict=True))
        assert len(cards) == faces.size, "the two of a pair are different pictures"
    assert len({faces.tobytes() for faces in state.faces}) == 300
    again = GAME.reset(level, state.seed[7:8])
    assert again == state[7]


def test_any_two_cells_are_as_likely_a_pair():
    level = GAME.level("normal", rows=2, cols=2)
    faces = GAME.reset(level, seeds_for("free", "Memory", "pairs", 3000)).faces.reshape(-1, 4)
    for other in (1, 2, 3):
        assert abs((faces[:, 0] == faces[:, other]).mean() - 1 / 3) < 0.04


def rate_of_success(name, forgetful):
    """Of a random player, or of one who takes what the picture shows for all there is."""
    state = GAME.reset(name, seeds_for("test", "Memory", name, 300))
    rng = np.random.default_rng(1)
    good = turns = 0
    while not state.ended.all():
        actions = GAME.draw_legal(state)
        if forgetful:
            seen = GAME.from_symbols(state.level, GAME.scene(state).symbols)
            values = np.where(GAME.legal(state), np.nan_to_num(GAME.oracle(seen), nan=-1e9), -1e9)
            best = values >= values.max(axis=1, keepdims=True) - 1e-9
            actions = np.where(best, rng.random(best.shape), -1).argmax(axis=1)
        actions = np.where(state.ended, NO_ACTION, actions)
        after, outcome = GAME.step(state, actions)
        good += GAME.success(state, actions, outcome).sum()
        turns += (~state.ended).sum()
        state = after
    return good / turns


@pytest.mark.parametrize("forgetful", [False, True])
def test_levels_are_graded_by_the_success_of_who_remembers_nothing(forgetful):
    rates = [rate_of_success(name, forgetful) for name in ("easy", "normal", "hard")]
    assert rates[0] > rates[1] + 0.02
    assert rates[1] > rates[2] + 0.02


def test_with_cards_that_stay_up_the_picture_is_enough():
    assert rate_of_success("tiny:shown=24", True) == 1


# ---- described boards, and what comes from outside
@settings(max_examples=30)
@given(st.sampled_from(list(GAME.LEVELS)), st.integers(0, 2**32 - 1), st.floats(0, 1))
def test_any_description_gives_a_state(name, seed, share):
    level = GAME.level(name)
    rng = np.random.default_rng(seed)
    symbols = rng.integers(0, len(level.names), (3, level.rows, level.cols)).astype(np.int16)
    symbols[rng.random(symbols.shape) < share] = rng.integers(0, 4)
    state = GAME.from_symbols(level, symbols)
    assert np.array_equal(GAME.scene(state).symbols, symbols)
    GAME.verify(state)
    values = GAME.oracle(state)
    assert np.array_equal(~np.isnan(values), GAME.legal(state))
    assert not np.isinf(values).any()
    actions = rng.integers(-1, GAME.n_actions(level), 3)
    GAME.would_succeed(level, symbols, actions)
    GAME.step(state, actions)
    for row in range(3):
        assert set(GAME.candidates(state, row)) <= set(np.flatnonzero(GAME.legal(state)[row]))
        assert ";" not in GAME.explain(state, row, int(abs(actions[row])))


def test_a_description_knows_only_what_is_shown():
    level = GAME.level("easy", rows=2, cols=3)
    board = np.array([[[A, UNSEEN, A], [UNSEEN, B, 0]]], np.int16)
    good = [
        (first, second)
        for first, second in combinations(range(6), 2)
        if GAME.would_succeed(level, board, np.array([6 * first + second]))[0]
    ]
    assert good == [(0, 2)], "a pair lies there; under the others nothing is known"
    board[0, 0, 2] = UNSEEN
    good = [
        (first, second)
        for first, second in combinations(range(6), 2)
        if GAME.would_succeed(level, board, np.array([6 * first + second]))[0]
    ]
    assert good == [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (1, 4), (2, 3), (2, 4), (3, 4)]


def test_partners_of_what_is_seen_lie_under_a_described_board():
    board = np.array([[A, UNSEEN], [UNSEEN, B]], np.uint8)
    assert lay_under(board, np.array([A, B, C], np.uint8)).tolist() == [[A, A], [B, B]]


def test_states_that_show_other_cards_than_they_hold_are_refused():
    state = table(TWO_ROWS, up=[(0, 0)])
    assert GAME.from_bytes(state.to_bytes(GAME)) == state
    for name, value in (("board", B), ("faces", 255), ("up", 7)):
        array = getattr(state, name).copy()
        array[0, 0, 0] = value
        with pytest.raises(StateError):
            GAME.from_bytes(state.with_arrays({name: array}).to_bytes(GAME))


def test_bad_levels_are_refused():
    for fields, name in (
        ({"rows": 3, "cols": 3}, "cols"),
        ({"rows": 9}, "rows"),
        ({"colours": 1, "shapes": 3}, "colours"),
        ({"cards": "photos", "rows": 6, "cols": 6}, "classes"),
        ({"cards": "photos", "classes": "face down,b,c,d,e,f,g,h"}, "classes"),
        ({"shown": 0}, "shown"),
        ({"cards": "numbers"}, "cards"),
    ):
        with pytest.raises(ConfigError, match=f"LevelMemory.{name}"):
            GAME.level("normal", **fields)
    assert not picture_classes("face down,cat")


# ---- pictures
def test_a_card_shows_one_photograph_of_its_part_for_the_whole_game():
    look = get_look("clean")
    pictures = {}
    for split in ("train", "test"):
        state = GAME.reset("photos", seeds_for(split, "Memory", "photos", 4))
        for _ in range(6):
            state, _ = GAME.step(state, GAME.draw_legal(state))
            for board, frame in zip(state.board, render(GAME, state, look), strict=True):
                for row, column in np.argwhere(board >= FIRST).tolist():
                    left, top = 34 + 68 * column, 34 + 68 * row
                    cell = frame[top : top + 64, left : left + 64].tobytes()
                    pictures.setdefault(split, set()).add(cell)
    assert pictures["train"].isdisjoint(pictures["test"])
    state = table([[A, B], [A, B]], up=[(0, 0)], cards="photos")
    again, _, _ = play(state, (0, 1), (1, 0))
    again, _, _ = play(again, (0, 0), (0, 1))
    assert np.array_equal(
        render(GAME, state, look)[0, 32:100, 32:100], render(GAME, again, look)[0, 32:100, 32:100]
    )


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("cards", ["shapes", "letters", "photos"])
def test_backs_faces_and_bare_places_are_told_apart(look, cards):
    level = GAME.level("normal", rows=2, cols=2, cards=cards)
    look = get_look(look, noise=0, score=False)
    boards = np.array([[[symbol, 1], [1, 0]] for symbol in (0, 1, 2, 3)], np.int16)
    frames = render(GAME, GAME.from_symbols(level, boards), look).astype(int)
    for one, other in combinations(frames, 2):
        assert (np.abs(one - other).max(axis=2) > 20).sum() > 30
