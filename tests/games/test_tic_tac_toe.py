"""Tic-tac-toe: known positions, the published counts, and a plain second implementation."""

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
    lines_of,
    mean_points,
    oracle_of,
    outcomes,
    result,
    successes,
    values,
)
from vlmgym.core import NO_ACTION, ConfigError, State, seeds_for
from vlmgym.games.parts.opponents import DRAWN, FIRST, OPEN, SECOND, SOON
from vlmgym.games.solvers import rows
from vlmgym.games.tic_tac_toe import LevelTicTacToe, TicTacToe

GAME = TicTacToe()
CORNERS = {"(0, 0)", "(0, 2)", "(2, 0)", "(2, 2)"}
EDGES = {"(0, 1)", "(1, 0)", "(1, 2)", "(2, 1)"}
CENTRE = {"(1, 1)"}
ALL = CORNERS | EDGES | CENTRE


def deals(level: str, count: int = 300, **fields: object) -> State:
    return GAME.reset(GAME.level(level, **fields), seeds_for("free", GAME.name, level, count))


# ---- known positions
@pytest.mark.parametrize(
    ("board", "side", "good"),
    [
        (("...", "...", "..."), "X", ALL),
        # the answers to each opening: https://en.wikipedia.org/wiki/Tic-tac-toe, Strategy
        (("X..", "...", "..."), "O", CENTRE),
        (("...", ".X.", "..."), "O", CORNERS),
        ((".X.", "...", "..."), "O", {"(1, 1)", "(0, 0)", "(0, 2)", "(2, 1)"}),
        (("X..", ".O.", "..X"), "O", EDGES),
        (("XX.", "OO.", "..."), "X", {"(0, 2)"}),
        (("XX.", ".O.", "O.."), "X", {"(0, 2)"}),
        (("XO.", "...", "..X"), "O", {"(1, 1)"}),
        (("OO.", "X..", ".X."), "X", {"(0, 2)"}),
        (("X.X", "OXO", ".OX"), "X", set()),
        (("XOX", "XOO", "OX."), "X", {"(2, 2)"}),
        # two lines cannot both be kept shut: lost, so every move is as good
        (("OO.", "X..", "X.."), "X", ALL - {"(0, 0)", "(0, 1)", "(1, 0)", "(2, 0)"}),
        # threats of a line that O must shut lead to two threats at once
        (("X..", "O..", "..."), "X", {"(0, 1)", "(0, 2)", "(1, 1)"}),
    ],
)
def test_good_moves_of_known_positions(board: Lines, side: str, good: set[str]) -> None:
    assert successes(GAME, described(GAME, board, side=side)) == good


@pytest.mark.parametrize(
    ("board", "line", "action", "says"),
    [
        (("XX.", "OO.", "..."), 3, "(0, 2)", "wins now"),
        (("XX.", "OO.", "..."), 3, "(1, 2)", "even"),
        (("XX.", "OO.", "..."), 3, "(2, 2)", "loses in 1"),
        (("XX.", "OO.", "..."), 3, "(0, 0)", "no"),
        (("OO.", "X..", "X.."), 3, "(0, 2)", "loses in 2"),
        (("X..", ".O.", "O.X"), 3, "(0, 2)", "wins in 2"),
        ((".....", ".XX..", ".....", "..OO.", "....."), 4, "(1, 3)", "wins in 2"),
        (("..X..", "..X..", "..X..", "O....", "O...."), 4, "(3, 2)", "wins now"),
        (("X....", ".X...", "..X..", "...O.", "OOO.."), 4, "(0, 1)", "loses in 1"),
        (("...O.", ".OO..", "....O", "X..X.", "X..X."), 4, "(0, 0)", "loses in 2"),
        (("OXXX.", ".....", "OO...", "....."), 4, "(0, 4)", "wins now"),
        (("....", "....", "....", "...."), 3, "(1, 1)", "wins"),
    ],
)
def test_what_a_careful_player_says_of_a_move(
    board: Lines, line: int, action: str, says: str
) -> None:
    state = described(GAME, board, line=line)
    number = GAME.decode(state.level, action).action
    assert GAME.explain(state, 0, number) == f"{action} {says}"


@pytest.mark.parametrize(
    ("size", "line", "wins"),
    [
        ((3, 3), 3, 0),
        ((3, 4), 3, 1),
        ((4, 3), 3, 1),
        ((3, 5), 3, 1),
        ((4, 4), 3, 1),
        ((4, 4), 4, 0),
    ],
)
def test_who_wins_from_the_empty_board(size: tuple[int, int], line: int, wins: int) -> None:
    """Known values of m,n,k-games: https://en.wikipedia.org/wiki/M,n,k-game."""
    state = described(GAME, (("." * size[1]),) * size[0], line=line)
    assert GAME.is_exact(state.level)
    assert np.sign(np.nanmax(GAME.oracle(state))) == wins


def test_the_number_of_positions_is_the_published_one() -> None:
    """5,478 positions, 958 of them ends: 626 won by who began, 316 by the other, 16 drawn; 255,168
    games (https://en.wikipedia.org/wiki/Tic-tac-toe, Combinatorics).
    """
    level = GAME.level("easy")
    boards, ways = np.zeros((1, 3, 3), np.uint8), np.ones(1, np.int64)
    positions, games, ends = 1, 0, dict.fromkeys((FIRST, SECOND, DRAWN), 0)
    for turn in range(9):
        grown = np.repeat(boards, 9, axis=0)
        changed = GAME.put(level, grown, np.tile(np.arange(9), len(boards)), 1 + turn % 2)
        grown, weights = grown[changed], np.repeat(ways, 9)[changed]
        unique, place = np.unique(grown.reshape(-1, 9), axis=0, return_inverse=True)
        ways = np.bincount(place.ravel(), weights).astype(np.int64)
        boards = unique.reshape(-1, 3, 3)
        positions += len(boards)
        results = GAME.results(level, boards)
        for end in ends:
            ends[end] += int((results == end).sum())
        games += int(ways[results != OPEN].sum())
        boards, ways = boards[results == OPEN], ways[results == OPEN]
    assert (positions, games) == (5478, 255168)
    assert ends == {FIRST: 626, SECOND: 316, DRAWN: 16}


# ---- the oracle against plain searches
def test_the_oracle_is_exact_in_every_position_of_the_small_board() -> None:
    """Of both sides, whoever may have begun."""
    boards = [""]
    for _ in range(9):
        boards = [board + sign for board in boards for sign in SIGNS]
    rng = np.random.default_rng(0)
    chosen = rng.choice(len(boards), 1500, replace=False)
    for side in "XO":
        layouts = [(boards[i][:3], boards[i][3:6], boards[i][6:]) for i in chosen]
        state = described(GAME, *layouts, side=side)
        value = GAME.oracle(state)
        for row, board in enumerate(layouts):
            end = result(board, 3, False)
            assert bool(end) == state.terminated[row]
            legal = np.flatnonzero(~np.isnan(value[row]))
            found = {int(action): float(value[row, action]) for action in legal}
            assert_values(found, {} if end else values(board, side, 3, False), board)


@st.composite
def boards_of(draw: st.DrawFn, least: int, most_free: int) -> Lines:
    height, width = draw(st.integers(least, 5)), draw(st.integers(least, 5))
    signs = draw(st.lists(st.sampled_from("XO"), min_size=height * width, max_size=height * width))
    free = draw(st.sets(st.integers(0, height * width - 1), max_size=most_free))
    for cell in free:
        signs[cell] = "."
    return tuple("".join(signs[r * width : (r + 1) * width]) for r in range(height))


@settings(max_examples=60, deadline=None)
@given(boards_of(least=3, most_free=7), st.integers(3, 5), st.sampled_from("XO"))
def test_the_oracle_agrees_with_a_plain_search_on_nearly_full_boards(
    board: Lines, line: int, side: str
) -> None:
    line = min(line, max(len(board), len(board[0])))
    state = described(GAME, board, line=line, side=side)
    expected = {} if state.terminated[0] else values(board, side, line, False)
    assert_values(oracle_of(GAME, state), expected, board)


def test_the_oracle_agrees_with_a_second_solver_in_all_turns_of_hard_games() -> None:
    """On the start and on the turn after it; starts have 16 or 17 free cells."""
    starts = deals("hard", 6)
    free = (starts.board == 0).sum(axis=(1, 2))
    assert free.min() == 16
    assert free.max() <= GAME.REST, "all turns are searched to the end"
    after, _ = GAME.step(starts, GAME.draw_legal(starts, 3))
    for state in (starts, after):
        for row in np.flatnonzero(~state.ended):
            found = oracle_of(GAME, state, row)
            signs = {action: np.sign(value) for action, value in found.items()}
            assert signs == outcomes(lines_of(state, row), "X", 4)


def test_docs_of_the_oracle_name_how_far_it_looks() -> None:
    """Numbers of the page of the game are those of the search."""
    text = " ".join(str(TicTacToe.oracle.__doc__).split())
    assert f"up to {GAME.EXACT_CELLS} cells" in text
    assert f"where {GAME.REST} cells" in text
    assert f"{GAME.AHEAD} stones" in text
    assert f"more than {rows.NEAR} stones" in text


class ShortSighted(TicTacToe):
    """Looks three stones ahead on every board but the smallest."""

    EXACT_CELLS = 9
    AHEAD = 3
    REST = 0


@settings(max_examples=40, deadline=None)
@given(boards_of(least=4, most_free=11), st.sampled_from("XO"))
def test_beyond_its_depth_the_oracle_takes_a_game_for_drawn(board: Lines, side: str) -> None:
    game = ShortSighted()
    state = described(GAME, board, line=4, side=side)
    assert not game.is_exact(state.level)
    expected = {} if state.terminated[0] else values(board, side, 4, False, depth=3)
    assert_values(oracle_of(game, state), expected, board)


def test_what_was_searched_before_changes_no_value() -> None:
    state = deals("hard", 40)
    rule = GAME.rule(state.level)
    rule.table[:] = 0
    cold = GAME.oracle(state)
    later = deals("hard", 40, opening=3)
    GAME.oracle(later)
    assert np.array_equal(GAME.oracle(state), cold, equal_nan=True)
    rule.table[:] = 0
    alone = np.concatenate([GAME.oracle(state[row]) for row in range(39, -1, -1)])
    assert np.array_equal(alone[::-1], cold, equal_nan=True)


def test_boards_up_to_sixteen_cells_are_exact() -> None:
    exact = [
        (r, c) for r in (3, 4, 5) for c in (3, 4, 5) if GAME.is_exact(GAME.level(rows=r, cols=c))
    ]
    assert exact == [(3, 3), (3, 4), (3, 5), (4, 3), (4, 4), (5, 3)]
    assert rows.NEAR < GAME.AHEAD


# ---- play
@pytest.mark.parametrize(("level", "side"), [("easy", "X"), ("normal", "O"), ("hard", "X")])
def test_play_agrees_with_plain_rules(level: str, side: str) -> None:
    """The player's stone, then one stone of the opponent, unless that ends the game."""
    state = deals(level, 40, side=side)
    line, other = state.level.line, "OX"[side == "O"]
    rng = np.random.default_rng(3)
    while not state.ended.all():
        actions = rng.integers(NO_ACTION, GAME.n_actions(state.level), len(state))
        after, outcome = GAME.step(state, actions)
        for row in range(len(state)):
            before, now = lines_of(state, row), lines_of(after, row)
            cells = cells_to_fill(before, False)
            if state.ended[row] or actions[row] not in cells:
                assert (now, bool(outcome.changed[row])) == (before, False)
                assert outcome.gain[row] == 0
                continue
            own = "".join(before)
            own = own[: actions[row]] + side + own[actions[row] + 1 :]
            width = len(before[0])
            placed = tuple(own[i : i + width] for i in range(0, len(own), width))
            assert outcome.changed[row]
            end = result(placed, line, False)
            assert outcome.gain[row] == (end == side)
            differing = [a for a, b in zip("".join(now), own, strict=True) if a != b]
            assert differing == ([] if end else [other])
            assert after.terminated[row] == bool(result(now, line, False))
        state = after
    results = [result(lines_of(state, row), line, False) for row in range(len(state))]
    points = {side: 1.0, other: 0.0, "=": 0.5}
    ended = state.terminated
    assert GAME.points(state)[ended].tolist() == [
        points[end] for end in np.array(results)[ended].tolist()
    ]
    assert np.isnan(GAME.points(state)[~ended]).all()
    assert (state.score == [end == side for end in results]).all()


def test_an_opponent_of_full_skill_never_loses_and_takes_what_it_is_given() -> None:
    state = deals("easy", 200, skill=1.0)
    while not state.ended.all():
        state, outcome = GAME.step(state, GAME.draw_legal(state))
        assert not outcome.gain.any()
    assert GAME.points(state).mean() < 0.2
    wins = described(GAME, ("XX.", "OO.", "..."), skill=1.0)
    after, _ = GAME.step(wins, np.array([8]))
    assert lines_of(after) == ("XX.", "OOO", "..X")
    assert GAME.points(after).tolist() == [0.0]
    blocks = described(GAME, ("X..", "O..", "..."), skill=1.0).repeat(20).reseed(np.arange(20))
    after, _ = GAME.step(blocks, np.full(20, 1))
    assert (after.board[:, 0, 2] == 2).all()


def test_skill_is_the_share_of_best_moves() -> None:
    """One move of the opponent wins, of six; the rest is drawn from all."""
    state = described(GAME, ("OO.", "X..", "..."), skill=0.4).repeat(4000)
    state = state.reseed(np.arange(4000))
    after, _ = GAME.step(state, np.full(4000, 8))
    share = (after.board[:, 0, 2] == 2).mean()
    assert abs(share - (0.4 + 0.6 / 5)) < 0.03


def test_forks_with_equal_luck_meet_the_same_answer() -> None:
    state = deals("easy", 50).repeat(4)
    after, _ = GAME.step(state, np.full(200, 4))
    boards = after.board.reshape(50, 4, 3, 3)
    assert (boards == boards[:, :1]).all()
    assert len(np.unique(after.board, axis=0)) == 8


# ---- sides, openings, deals
def test_the_player_has_the_side_of_its_level_in_text_and_picture() -> None:
    for side, other in ("XO", "OX"):
        state = deals("easy", 5, side=side)
        assert f"You play {side} against an opponent who plays {other}. You begin." in GAME.rules(
            state.level
        )
        after, _ = GAME.step(state, np.full(5, 4))
        assert {text.split("\n")[1].split("|")[1] for text in GAME.scene(after).texts()} == {side}
        assert GAME.to_move(after) == side
    assert "has begun" in GAME.rules(GAME.level("easy", begins="opponent"))
    assert "by lot" in GAME.rules(GAME.level("normal"))


def test_rules_say_what_was_drawn_before_the_first_turn() -> None:
    said = {
        "tiny": "You have begun. The first move of each side was drawn at random; it is your turn.",
        "hard": "Who begins is drawn by lot. The first 4 moves of each side were drawn at random; "
        "it is your turn.",
    }
    for name, text in said.items():
        assert text in GAME.rules(GAME.level(name))
    assert "You begin. A move" in GAME.rules(GAME.level("easy"))


def test_if_the_opponent_begins_its_first_move_is_dealt() -> None:
    state = deals("easy", 300, begins="opponent", skill=0.0)
    assert ((state.board == 2).sum(axis=(1, 2)) == 1).all()
    assert not (state.board == 1).any()
    assert len(np.unique(state.board, axis=0)) == 9
    assert not state.steps.any()
    drawn = deals("normal", 400)
    stones = (drawn.board > 0).sum(axis=(1, 2))
    assert set(stones.tolist()) == {0, 1}
    assert abs(stones.mean() - 0.5) < 0.1


def test_openings_leave_a_choice() -> None:
    for name in ("tiny", "hard"):
        state = deals(name)
        assert not state.ended.any()
        assert GAME.legal(state).any(axis=1).all()
        assert np.array_equal(GAME.results(state.level, state.board), np.zeros(300, np.int64))
        value = GAME.oracle(state)
        assert (np.nanmax(value, axis=1) >= 0).all(), "not lost"
        assert (np.nanmax(value, axis=1) <= SOON).all(), "not won at once"
        choice = [len(np.unique(np.sign(v[~np.isnan(v)]))) > 1 for v in value]
        assert np.mean(choice) > 0.97
        own, others = ((state.board == side).sum(axis=(1, 2)) for side in (1, 2))
        assert (own == state.level.opening).all()
        assert np.isin(others - own, (0, 1)).all()
        assert len(np.unique(state.board, axis=0)) > (40 if name == "tiny" else 290)


def test_each_level_is_harder_than_the_one_before() -> None:
    """Points a game of a random player, and of one that wins where it can at once, on 300 deals."""
    points = {"random": [], "greedy": []}
    for name in ("easy", "normal", "hard"):
        for player in points:
            points[player].append(mean_points(GAME, deals(name), player == "greedy"))
    for easy, normal, hard in points.values():
        assert easy > normal + 0.05 > hard + 0.1


# ---- both sides by somebody else
def test_one_sides_move_alone_turns_the_game_over_to_the_other_side() -> None:
    state = described(GAME, ("X..", ".O.", "..."), side="X", begins="player")
    after, outcome = GAME.place(state, np.array([8]))
    assert lines_of(after) == ("X..", ".O.", "..X")
    assert outcome.changed.tolist() == [True]
    assert GAME.to_move(after) == after.level.side == "O"
    assert after.level.begins == "opponent"
    assert after.steps.tolist() == [1]
    assert "You play O against an opponent who plays X. Your opponent has begun." in GAME.rules(
        after.level
    )
    assert successes(GAME, after) == EDGES, "values are of the side to move"
    back, _ = GAME.place(after, np.array([NO_ACTION]))
    assert back.level == state.level
    won, outcome = GAME.place(described(GAME, ("XX.", "OO.", "...")), np.array([2]))
    assert outcome.gain.tolist() == [1]
    assert won.terminated.tolist() == [True]
    assert GAME.points(won).tolist() == [0.0], "O is to move, and has lost"
    still, outcome = GAME.place(won, np.array([5]))
    assert lines_of(still) == lines_of(won)
    assert not outcome.changed.any()
    assert GAME.points(still).tolist() == [1.0]


def test_two_perfect_players_draw_and_the_built_in_opponent_plays_by_the_same_rules() -> None:
    """Placing the answers of the built-in opponent by hand leads to the same boards."""
    state = deals("easy", 60)
    stepped, moves = state, []
    while not stepped.ended.all():
        actions = GAME.draw_legal(stepped)
        after, _ = GAME.step(stepped, actions)
        moves.append((actions, stepped, after))
        stepped = after
    placed = state
    for actions, before, after in moves:
        placed, _ = GAME.place(placed, actions)
        new = (after.board == 2) & (before.board != 2)
        answers = np.where(new.any(axis=(1, 2)), new.reshape(60, 9).argmax(axis=1), NO_ACTION)
        placed, _ = GAME.place(placed, answers)
        assert np.array_equal(placed.board, after.board)
        assert np.array_equal(placed.terminated, after.terminated)
    assert np.array_equal(GAME.points(placed), GAME.points(stepped))
    perfect = deals("easy", 5)
    while not perfect.terminated.all():
        value = np.nan_to_num(GAME.oracle(perfect), nan=-9)
        perfect, _ = GAME.place(perfect, value.argmax(axis=1))
    assert (GAME.points(perfect) == 0.5).all()


# ---- described boards, levels
@settings(max_examples=150, deadline=None)
@given(st.data())
def test_any_symbols_make_a_state(data: st.DataObject) -> None:
    height, width = data.draw(st.integers(3, 4)), data.draw(st.integers(3, 4))
    text = data.draw(st.text(SIGNS, min_size=height * width, max_size=height * width))
    board = tuple(text[r * width : (r + 1) * width] for r in range(height))
    state = described(GAME, board)
    assert lines_of(state) == board
    end = result(board, 3, False)
    assert state.terminated[0] == bool(end)
    assert GAME.points(state)[0] == {"X": 1.0, "O": 0.0, "=": 0.5}[end] if end else True
    legal = GAME.legal(state)
    assert np.array_equal(~np.isnan(GAME.oracle(state)), legal)
    assert not (GAME.success_mask(state) & ~legal).any()
    assert GAME.success_mask(state).any() == legal.any()
    for action in (0, height * width - 1):
        assert ";" not in GAME.explain(state, 0, action)
        GAME.would_succeed(state.level, GAME.scene(state).symbols, np.array([action]))


def test_a_described_board_on_which_both_have_a_line_is_a_draw() -> None:
    state = described(GAME, ("XXX", "OOO", "..."))
    assert state.terminated[0]
    assert GAME.points(state).tolist() == [0.5]


def test_restart_deals_afresh_and_keeps_the_wins() -> None:
    state = described(GAME, ("XX.", "OO.", "..."), restart=True)
    after, outcome = GAME.step(state, np.array([2]))
    assert outcome.gain[0] == after.score[0] == 1
    assert not after.terminated[0]
    assert not after.board.any()


def test_candidates_are_the_best_moves_and_heavy_lines_lie_within_the_board() -> None:
    state = described(GAME, ("XX.", "OO.", "..."))
    assert GAME.candidates(state, 0) == [2, 5, 6]
    assert GAME.reasoning(state, 0, GAME.oracle(state)[0])[1] == 2
    lines = GAME.scene(state).lines
    assert lines is not None
    assert lines[0].tolist() == [[6, 14, 12], [7, 15, 13], [3, 11, 9]]


def test_bad_levels_name_the_field() -> None:
    for bad, field in [
        ({"rows": 2}, "rows"),
        ({"cols": 6}, "cols"),
        ({"line": 4}, "line"),
        ({"line": 2}, "line"),
        ({"side": "Y"}, "side"),
        ({"begins": "me"}, "begins"),
        ({"skill": 1.1}, "skill"),
        ({"opening": 3}, "opening"),
    ]:
        with pytest.raises(ConfigError, match=rf"LevelTicTacToe.{field} = "):
            LevelTicTacToe(**bad)
