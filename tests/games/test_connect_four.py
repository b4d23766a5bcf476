"""Connect Four: known positions, published counts and values, and a plain second implementation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parts.plain_rows import (
    SIGNS,
    Lines,
    assert_values,
    cells_to_fill,
    described,
    filled,
    lines_of,
    mean_points,
    oracle_of,
    result,
    successes,
    values,
)
from vlmgym.core import NO_ACTION, ConfigError, State, seeds_for
from vlmgym.games.connect_four import ConnectFour, LevelConnectFour
from vlmgym.games.parts.opponents import OPEN, SOON
from vlmgym.games.solvers.rows import NEAR

GAME = ConnectFour()


def deals(level: str, count: int = 300, **fields: object) -> State:
    return GAME.reset(GAME.level(level, **fields), seeds_for("free", GAME.name, level, count))


def upright(*bottom: str) -> Lines:
    """The lowest rows of the usual board; the others are free."""
    return (*["......."] * (6 - len(bottom)), *bottom)


# ---- known positions: X is red, O is yellow
@pytest.mark.parametrize(
    ("bottom", "side", "good", "says"),
    [
        # four in a row at once: up, along, and on both diagonals
        (("X......", "X......", "XOOO..."), "red", "0", "0 wins now"),
        (("OOO....", "XXX...X"), "red", "3", "3 wins now"),
        (("...X...", "..XO...", ".XOO...", ".OXXO.."), "red", "0", "0 wins now"),
        (("...X...", "...OX..", "...OOX.", "..OXXO."), "red", "6", "6 wins now"),
        # three must be shut
        (("X......", "X......", "XOOO..."), "red", "0", "4 even"),
        (("OOO....", "XXOX..."), "red", "3", "0 loses in 1"),
        (("X......", "X.....O", "X....OO"), "yellow", "0", "0 even"),
        # three with both ends open, and two that become so
        ((".OOO...",), "red", "0123456", "0 loses in 1"),
        (("..OOO..", "..XXX.."), "red", "0123456", "0 wins in 2"),
        (("..XX...", "..OO..."), "red", "14", "0 loses in 2"),
        # a disc under a cell that the other side waits for gives it away
        (("OOO....", "XXO..X."), "red", "012456", "3 loses in 1"),
        (("OOO....", "XXXO.X."), "red", "3", "3 even"),
        # nothing in sight
        ((".......",), "red", "0123456", "3 even"),
    ],
)
def test_good_moves_of_known_positions(bottom: Lines, side: str, good: str, says: str) -> None:
    state = described(GAME, upright(*bottom), level="normal", side=side)
    assert successes(GAME, state) == set(good)
    assert GAME.explain(state, 0, int(says[0])) == says


def test_full_columns_and_ends() -> None:
    board = ("OXO....", "XOX....", "OXO....", "OXO....", "XOX....", "XOX....")
    state = described(GAME, board, level="normal")
    assert GAME.legal(state)[0].tolist() == [False] * 3 + [True] * 4
    assert GAME.explain(state, 0, 0) == "0 no"
    after, outcome = GAME.step(state, np.array([1]))
    assert lines_of(after) == board
    assert not outcome.changed.any()
    last = described(GAME, (".XOO", "OOXX", "XXOO", "OOXX"))
    after, outcome = GAME.step(last, np.array([0]))
    assert after.terminated[0]
    assert GAME.points(after).tolist() == [0.5]
    assert not outcome.gain.any()


@pytest.mark.parametrize(("height", "width"), [(4, 4), (4, 5), (5, 4)])
def test_small_boards_have_their_published_value(height: int, width: int) -> None:
    """All three are draws: J. Tromp, https://tromp.github.io/c4/c4.html."""
    state = described(GAME, ("." * width,) * height)
    assert GAME.is_exact(state.level)
    assert np.nanmax(GAME.oracle(state)) == 0


def reachable(level: LevelConnectFour, plies: int) -> list[np.ndarray]:
    """The boards after 0, 1, ... moves."""
    boards = np.zeros((1, level.rows, level.cols), np.uint8)
    layers = [boards]
    for ply in range(plies):
        going = boards[GAME.results(level, boards) == OPEN]
        grown = np.repeat(going, level.cols, axis=0)
        moves = np.tile(np.arange(level.cols), len(going))
        grown = grown[GAME.put(level, grown, moves, 1 + ply % 2)]
        flat = np.unique(grown.reshape(len(grown), -1), axis=0)
        boards = flat.reshape(len(flat), level.rows, level.cols)
        layers.append(boards)
    return layers


def test_the_numbers_of_positions_are_the_published_ones() -> None:
    """On 7x6 after 0 to 6 moves (https://oeis.org/A212693), and all of 4x4 (J. Tromp, as above)."""
    counts = [len(boards) for boards in reachable(GAME.level("normal"), 6)]
    assert counts == [1, 7, 49, 238, 1120, 4263, 16422]
    small = GAME.level("easy", rows=4, cols=4)
    assert sum(len(boards) for boards in reachable(small, 16)) == 161029


# ---- the oracle against plain searches
def test_the_oracle_is_exact_on_small_boards() -> None:
    level = GAME.level("easy", rows=3, cols=4, line=3)
    rng = np.random.default_rng(0)
    boards = np.concatenate(reachable(level, 12))
    boards = boards[rng.choice(len(boards), 500, replace=False)]
    for side in ("red", "yellow"):
        state = GAME.from_symbols(level.override(side=side), boards)
        for row in range(len(boards)):
            board = lines_of(state, row)
            over = bool(result(board, 3, True))
            assert state.terminated[row] == over
            if row % 2 == 0 or over:
                expected = {} if over else values(board, "XO"[side == "yellow"], 3, True)
                assert_values(oracle_of(GAME, state, row), expected, board)


@st.composite
def boards_of(draw: st.DrawFn, most_free: int) -> Lines:
    """Boards that may hang in the air, with few free cells."""
    height, width = draw(st.integers(4, 5)), draw(st.integers(4, 6))
    cells = height * width
    signs = draw(st.lists(st.sampled_from("XO"), min_size=cells, max_size=cells))
    for cell in draw(st.sets(st.integers(0, cells - 1), max_size=most_free)):
        signs[cell] = "."
    return tuple("".join(signs[r * width : (r + 1) * width]) for r in range(height))


@settings(max_examples=50, deadline=None)
@given(boards_of(most_free=9), st.integers(3, 5), st.booleans())
def test_the_oracle_agrees_with_a_plain_search_on_nearly_full_boards(
    board: Lines, line: int, yellow: bool
) -> None:
    line = min(line, max(len(board), len(board[0])))
    state = described(GAME, board, line=line, side="yellow" if yellow else "red")
    expected = {} if state.terminated[0] else values(board, "XO"[yellow], line, True)
    assert_values(oracle_of(GAME, state), expected, board)


class ShortSighted(ConnectFour):
    """Looks five stones ahead on every board."""

    EXACT_CELLS = 1
    AHEAD = 5
    REST = 0


def test_beyond_its_depth_the_oracle_takes_a_game_for_drawn() -> None:
    game = ShortSighted()
    state = deals("normal", 8, rows=5, cols=5, opening=5)
    assert not game.is_exact(state.level)
    for row in range(len(state)):
        board = lines_of(state, row)
        assert_values(oracle_of(game, state, row), values(board, "X", 4, True, depth=5), board)


def test_what_was_searched_before_changes_no_value() -> None:
    """And mirrored boards, or colours changed, have mirrored or the same values."""
    state = deals("hard", 25)
    rule = GAME.rule(state.level)
    rule.table[:] = 0
    cold = GAME.oracle(state)
    GAME.oracle(deals("normal", 25, opening=3))
    alone = np.concatenate([GAME.oracle(state[row]) for row in range(24, -1, -1)])
    assert np.array_equal(alone[::-1], cold, equal_nan=True)
    mirrored = GAME.from_symbols(state.level, state.board[:, :, ::-1])
    assert np.array_equal(GAME.oracle(mirrored)[:, ::-1], cold, equal_nan=True)
    other = GAME.of_other_side(state.level)
    swapped = GAME.from_symbols(other, np.array([0, 2, 1])[state.board])
    assert np.array_equal(GAME.oracle(swapped), cold, equal_nan=True)


def test_boards_up_to_twenty_cells_are_exact() -> None:
    exact = {(4, 4): True, (4, 5): True, (5, 4): True, (5, 5): False, (6, 7): False}
    for (height, width), is_exact in exact.items():
        assert GAME.is_exact(GAME.level("easy", rows=height, cols=width)) == is_exact
    assert GAME.AHEAD == 6, "as docs and rules of the oracle say: three moves of each side"


def test_docs_of_the_oracle_name_how_far_it_looks() -> None:
    """Numbers of the page of the game are those of the search."""
    text = " ".join(str(ConnectFour.oracle.__doc__).split())
    assert f"up to {GAME.EXACT_CELLS} cells" in text
    assert f"where {GAME.REST} cells" in text
    assert f"looks {GAME.AHEAD} stones" in text
    assert f"more than {NEAR} stones" in text


# ---- play
@pytest.mark.parametrize(("level", "side"), [("easy", "red"), ("tiny", "yellow"), ("hard", "red")])
def test_play_agrees_with_plain_rules(level: str, side: str) -> None:
    """The player's disc, then one disc of the opponent, unless that ends the game."""
    state = deals(level, 25, side=side)
    line = state.level.line
    own, other = ("X", "O") if side == "red" else ("O", "X")
    rng = np.random.default_rng(3)
    while not state.ended.all():
        actions = rng.integers(NO_ACTION, GAME.n_actions(state.level), len(state))
        after, outcome = GAME.step(state, actions)
        for row in range(len(state)):
            before, now = lines_of(state, row), lines_of(after, row)
            cells = cells_to_fill(before, True)
            if state.ended[row] or actions[row] not in cells:
                assert (now, bool(outcome.changed[row])) == (before, False)
                continue
            placed = filled(before, cells[int(actions[row])], own)
            end = result(placed, line, True)
            assert outcome.changed[row]
            assert outcome.gain[row] == (end == own)
            answers = [filled(placed, cell, other) for cell in cells_to_fill(placed, True).values()]
            assert now in ([placed] if end else answers)
            assert after.terminated[row] == bool(result(now, line, True))
        state = after
    for row in np.flatnonzero(state.terminated):
        end = result(lines_of(state, int(row)), line, True)
        assert GAME.points(state)[row] == {own: 1.0, other: 0.0, "=": 0.5}[end]
        assert state.score[row] == (end == own)


def test_an_opponent_of_full_skill_answers_with_a_best_move() -> None:
    state = deals("hard", 30)
    actions = GAME.draw_legal(state)
    after, _ = GAME.step(state, actions)
    placed, _ = GAME.place(state, actions)
    value = GAME.oracle(placed)
    for row in np.flatnonzero(~placed.terminated):
        answer = np.flatnonzero((after.board != placed.board)[row].any(axis=0))
        assert value[row, answer[0]] == np.nanmax(value[row])


# ---- sides, deals
def test_the_player_has_the_side_of_its_level_in_text_and_picture() -> None:
    for side, other in (("red", "yellow"), ("yellow", "red")):
        state = deals("easy", 3, side=side)
        assert f"You play {side} against an opponent who plays {other}." in GAME.rules(state.level)
        after, _ = GAME.place(state, np.full(3, 2))
        bottom = {text.split("\n")[-1].split("|")[2] for text in GAME.scene(after).texts()}
        assert bottom == {f"{side} disc"}
        assert GAME.to_move(after) == other


def test_openings_leave_a_choice_and_discs_lie_on_each_other() -> None:
    for name in ("tiny", "normal", "hard"):
        state = deals(name, 100)
        assert not state.ended.any()
        assert GAME.legal(state).any(axis=1).all()
        free = state.board == 0
        assert (free[:, :-1] | ~free[:, 1:]).all(), "no disc over a free cell"
        value = GAME.oracle(state)
        assert (np.nanmax(value, axis=1) >= 0).mean() > 0.99
        assert (np.nanmax(value, axis=1) <= SOON).mean() > 0.98, "not won at once"
        choice = [len(np.unique(np.sign(v[~np.isnan(v)]))) > 1 for v in value]
        assert np.mean(choice) > 0.9
        own, others = ((state.board == side).sum(axis=(1, 2)) for side in (1, 2))
        assert (own == state.level.opening).all()
        assert np.isin(others - own, (0, 1)).all()
    assert len(np.unique(state.board, axis=0)) > 95


def test_each_level_is_harder_than_the_one_before() -> None:
    """Points a game of a random player, and of one that wins where it can at once."""
    points = {"random": [], "greedy": []}
    for name in ("easy", "normal", "hard"):
        for player in points:
            points[player].append(mean_points(GAME, deals(name), player == "greedy"))
    for easy, normal, hard in points.values():
        assert easy > normal + 0.03 > hard + 0.06


# ---- described boards, levels
@settings(max_examples=100, deadline=None)
@given(st.data())
def test_any_symbols_make_a_state(data: st.DataObject) -> None:
    """Discs in the air stay there; the next one lies on the topmost of its column."""
    text = data.draw(st.text(SIGNS, min_size=20, max_size=20))
    board = tuple(text[r * 5 : (r + 1) * 5] for r in range(4))
    state = described(GAME, board)
    assert lines_of(state) == board
    end = result(board, 4, True)
    assert state.terminated[0] == bool(end)
    legal = GAME.legal(state)
    expected = set() if end else set(cells_to_fill(board, True))
    assert set(np.flatnonzero(legal[0]).tolist()) == expected
    assert np.array_equal(~np.isnan(GAME.oracle(state)), legal)
    assert GAME.success_mask(state).any() == legal.any()
    for action in range(5):
        assert ";" not in GAME.explain(state, 0, action)
        GAME.would_succeed(state.level, GAME.scene(state).symbols, np.array([action]))


def test_the_board_is_one_body_and_answers_are_columns() -> None:
    level = GAME.level("tiny")
    joins = GAME.scene(GAME.blank(level)).joins
    assert joins is not None
    assert joins[0, 0].tolist() == [6, 14, 14, 12]
    assert joins[0, 3].tolist() == [3, 11, 11, 9]
    assert [GAME.decode(level, str(column)).action for column in range(4)] == [0, 1, 2, 3]
    assert GAME.decode(level, "4").problem == "out_of_range"
    assert GAME.decode(level, "(0, 1)").problem == "not_a_move"


def test_bad_levels_name_the_field() -> None:
    for bad, field in [
        ({"rows": 2}, "rows"),
        ({"cols": 9}, "cols"),
        ({"rows": 4, "cols": 4, "line": 5}, "line"),
        ({"side": "blue"}, "side"),
        ({"opening": 11}, "opening"),
    ]:
        with pytest.raises(ConfigError, match=rf"LevelConnectFour.{field} = "):
            LevelConnectFour(**bad)
