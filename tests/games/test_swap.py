"""Swap: the kernels agree with plain lists, down to the refill, and a state is a value."""

from __future__ import annotations

import time
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parts.plain_swap import (
    Luck,
    in_lines,
    neighbours,
    plain_deal,
    plain_turn,
    plain_value,
    random_board,
    tile,
    valid,
)
from vlmgym import core
from vlmgym.core import NO_ACTION, ActionError, ConfigError, State, seeds_for
from vlmgym.games import GAMES, get_game, load_state
from vlmgym.games.parts import tile_kinds as tiles
from vlmgym.games.parts.action_texts import write_pair
from vlmgym.games.swap import LevelSwap, Swap

GAME = Swap()


@settings(max_examples=80)
@given(
    rows=st.integers(2, 8),
    cols=st.integers(2, 8),
    colours=st.integers(1, 4),
    shapes=st.integers(1, 4),
    line=st.integers(2, 4),
    seed=st.integers(0, 2**32 - 1),
)
def test_any_board_agrees_with_plain_rules(
    rows: int, cols: int, colours: int, shapes: int, line: int, seed: int
) -> None:
    colours = max(colours, 6 - shapes)  # fewer types cascade for hundreds of plain waves
    level = LevelSwap(
        rows=rows, cols=cols, colours=colours, shapes=shapes, line=min(line, max(rows, cols))
    )
    rng = np.random.default_rng(seed)
    board = random_board(rng, rows, cols)
    plain, state = board.tolist(), GAME.from_symbols(level, board[None])
    good = valid(plain, level.line)
    assert np.flatnonzero(GAME.legal(state)[0]).tolist() == good
    assert GAME.candidates(state, 0) == good[:3]
    count = GAME.n_actions(level)
    assert count == len(neighbours(rows, cols))
    expected = [plain_value(plain, a, level.line) for a in range(count)]
    assert np.array_equal(GAME.oracle(state)[0], expected, equal_nan=True)
    if level.line == 2:  # these do too; they are checked on a few boards below
        return
    for action in good[:2] + rng.integers(0, count, 2).tolist():
        after, outcome = GAME.step(state, np.array([action]))
        new, gain, changed, terminated = plain_turn(level, plain, action, Luck(0, 1))
        assert after.board[0].tolist() == new
        assert (outcome.gain[0], outcome.changed[0], outcome.terminated[0]) == (
            gain,
            changed,
            terminated,
        )
        assert (after.score[0], after.steps[0], after.terminated[0]) == (gain, 1, terminated)


@pytest.mark.parametrize(
    "level",
    [
        LevelSwap(),
        LevelSwap(rows=6, cols=6, colours=4, shapes=1),
        LevelSwap(rows=4, cols=4, colours=4, shapes=1),
        LevelSwap(rows=3, cols=7, colours=2, shapes=3),
        LevelSwap(rows=7, cols=2, colours=3, shapes=2),
        LevelSwap(rows=2, cols=2, colours=3, shapes=1, line=2),
        LevelSwap(rows=5, cols=4, colours=1, shapes=6, line=4),
        LevelSwap(rows=12, cols=12, colours=5, shapes=1),
    ],
)
def test_games_agree_with_plain_rules(level: LevelSwap) -> None:
    """Deals and turns, with the refill, the reshuffle and the fresh deal, draw for draw."""
    rng = np.random.default_rng(0)
    for seed in seeds_for("free", GAME.name, "plain", 1 if level.rows == 12 else 3).tolist():
        state = GAME.reset(level, np.array([seed], np.uint64))
        board, found = plain_deal(level, Luck(seed, 0))
        assert found == (not state.terminated[0])
        assert state.board[0].tolist() == board
        for _ in range(4 if level.rows == 12 else 8):
            legal = np.flatnonzero(GAME.legal(state)[0])
            assert legal.tolist() == ([] if state.terminated[0] else valid(board, level.line))
            action = int(rng.choice(legal)) if len(legal) else 0
            ended, step = bool(state.ended[0]), int(state.steps[0]) + 1
            state, outcome = GAME.step(state, np.array([action]))
            if ended:
                break
            board, gain, changed, terminated = plain_turn(level, board, action, Luck(seed, step))
            assert state.board[0].tolist() == board
            assert (outcome.gain[0], outcome.changed[0], outcome.terminated[0]) == (
                gain,
                changed,
                terminated,
            )


def state_of(level: LevelSwap, *rows: str) -> State:
    """A board of letters; ``.`` is empty."""
    return GAME.from_symbols(
        level, np.array([[[ord(t) - 96 if t != "." else 0 for t in row] for row in rows]], np.int16)
    )


def test_scores_and_words_by_hand() -> None:
    """Waves of 3, 4, 5 and 3 + 3 tiles score 6, 12, 20 and 30; a cascade adds up."""
    level = LevelSwap(rows=3, cols=5, colours=6, shapes=6)

    def see(text: str, *rows: str) -> tuple[float, str]:
        state, action = state_of(level, *rows), GAME.decode(level, text).action
        words = GAME.explain(state, 0, action)
        assert words.endswith(" " + GAME.encode(level, action))
        return GAME.oracle(state)[0, action], words.split(" (")[0]

    assert see("(1, 2) (0, 2)", "efagh", "aabcd", "ijklm") == (6, "3 red circle")
    assert see("(0, 2) (1, 2)", "efagh", "aabad", "ijklm") == (12, "4 red circle")
    assert see("(0, 2) (1, 2)", "efagh", "aabaa", "ijklm") == (20, "5 red circle")
    assert see("(0, 2) (1, 2)", "bbaef", "aabgh", "ijklm") == (30, "3 red square and 3 red circle")
    assert see("(0, 1) (0, 2)", "ebagh", "jacda", "ijklm") == (
        pytest.approx(np.nan, nan_ok=True),
        "no line",
    )
    assert see("(1, 2) (2, 2)", "bbpbk", "ghbij", "aaacd") == (
        pytest.approx(np.nan, nan_ok=True),
        "no line",
    )
    # a line that stood there before vanishes with the first wave
    assert see("(1, 3) (2, 3)", "eebbb", "bcaqa", "ijkal") == (30, "3 red square and 3 red circle")
    # the a of the middle row vanish, two b fall beside the third: two waves of 3
    assert see("(1, 3) (2, 3)", "eebbf", "cbaqa", "ijkal") == (12, "3 red circle")
    # empty
    assert see("(0, 0) (1, 0)", ".aa..", "abc..", "ijk..") == (
        pytest.approx(np.nan, nan_ok=True),
        "no line",
    )


@pytest.mark.parametrize("name", GAME.LEVELS)
def test_boards_stay_playable(name: str) -> None:
    """No line, no empty cell, a valid swap: on fresh boards and after any number of turns."""
    level, rng = GAME.LEVELS[name].override(max_steps=0), np.random.default_rng(0)
    state = GAME.reset(level, seeds_for("free", GAME.name, name, 20))
    allowed = {tile(level, kind) for kind in range(level.colours * level.shapes)}
    assert set(np.unique(state.board)) == allowed
    for _ in range(15):
        legal = GAME.legal(state)
        assert legal.any(1).all()
        assert not state.terminated.any()
        assert set(np.unique(state.board)) <= allowed
        assert not any(in_lines(board, level.line) for board in state.board.tolist())
        state, outcome = GAME.step(state, (rng.random(legal.shape) * legal).argmax(1))
        assert (outcome.gain >= level.line * (level.line - 1)).all()


def test_valid_swaps_on_fresh_boards() -> None:
    """About 4.2 of 112 (simulated before as well), so random neighbours succeed 3.8 %."""
    count = 4000
    swaps = GAME.legal(
        GAME.reset(GAME.level("paper"), seeds_for("free", GAME.name, "fresh", count))
    ).sum(1)
    # the facts have one decimal
    assert abs(swaps.mean() - 4.2) < 4 * swaps.std() / np.sqrt(count) + 0.05


@pytest.mark.parametrize(
    ("level", "rows", "text", "way"),
    [
        (
            LevelSwap(rows=4, cols=4, colours=5, shapes=2),
            ("bchg", "hgcb", "mnas", "aatm"),
            "(2, 2) (3, 2)",
            "shuffle",
        ),
        (LevelSwap(rows=2, cols=4, colours=4, shapes=2), ("bcah", "aagm"), "(0, 2) (1, 2)", "deal"),
    ],
)
def test_stuck_boards(level: LevelSwap, rows: tuple[str, ...], text: str, way: str) -> None:
    """A turn that leaves no valid swap: the same tiles in another order, else a fresh deal."""
    state, used = state_of(level, *rows).repeat(12).reseed(np.arange(12)), []
    action = GAME.decode(level, text).action
    after, outcome = GAME.step(state, np.full(12, action))
    for i in range(12):
        turn = plain_turn(level, state.board[i].tolist(), action, Luck(int(state.seed[i]), 1), used)
        assert (
            after.board[i].tolist(),
            outcome.gain[i],
            outcome.changed[i],
            outcome.terminated[i],
        ) == turn
    assert way in used
    assert GAME.legal(after).any(1).all()


def test_boards_that_cannot_be_saved_end_the_game() -> None:
    """36 types on 16 cells and lines of 4: few deals have a valid swap."""
    level = LevelSwap(rows=2, cols=8, colours=6, shapes=6, line=4)
    state = state_of(level, "xyzapqrs", "aaabcdef").repeat(40).reseed(np.arange(40))
    after, outcome = GAME.step(state, np.full(40, GAME.decode(level, "(0, 3) (1, 3)").action))
    assert (outcome.gain >= 12).all()
    assert outcome.terminated.any()
    for board, over in zip(after.board.tolist(), after.terminated, strict=True):
        assert bool(valid(board, 4)) != over
    assert np.array_equal(
        GAME.step(after, np.zeros(40, int))[0].steps, np.where(after.terminated, 1, 2)
    )


def test_hopeless_levels_start_ended() -> None:
    level = LevelSwap(colours=6, shapes=6, line=8)
    state = GAME.reset(level, seeds_for("free", GAME.name, "hopeless", 2))
    assert state.terminated.all()
    assert not GAME.legal(state).any()
    assert GAME.candidates(state, 0) == []


def test_endless_cascades_end() -> None:
    """With 3 types and lines of 2 nearly every refill matches again: bounded waves, then a fresh
    deal.
    """
    level = LevelSwap(rows=8, cols=8, colours=3, shapes=1, line=2)
    state = GAME.reset(level, seeds_for("free", GAME.name, "endless", 4))
    for _ in range(3):
        state, outcome = GAME.step(state, GAME.legal(state).argmax(1))
        assert outcome.changed.all()
        assert not any(in_lines(board, 2) for board in state.board.tolist())


def test_step_leaves_its_input_forks_agree_and_new_luck_differs() -> None:
    state = GAME.reset(GAME.level("normal"), seeds_for("free", GAME.name, "fork", 6))
    before = state.to_bytes(GAME)
    actions = np.repeat([GAME.candidates(state, i)[0] for i in range(6)], 5)
    after, outcome = GAME.step(state.repeat(5), actions)
    assert state.to_bytes(GAME) == before
    assert outcome.gain.all()
    for i in range(6):
        assert all(after[5 * i + k] == after[5 * i] for k in range(5))
    other, _ = GAME.step(state.repeat(5).reseed(np.arange(30)), actions)
    for i in range(6):
        assert len(np.unique(other.board[5 * i : 5 * i + 5].reshape(5, -1), axis=0)) == 5


def test_ended_rows_and_turns_without_effect() -> None:
    level = GAME.level("easy", max_steps=3)
    state = GAME.reset(level, seeds_for("free", GAME.name, "ended", 2))
    legal = GAME.legal(state)
    bad = int((~legal[1]).argmax())
    for turn in range(5):
        previous = state
        state, outcome = GAME.step(state, np.array([NO_ACTION, bad]))
        assert not outcome.changed.any()
        assert not outcome.gain.any()
        assert np.array_equal(state.board, previous.board)
        assert state.steps.tolist() == [min(turn + 1, 3)] * 2
    assert state.truncated.all()
    assert not GAME.legal(state).any()
    assert np.isnan(GAME.oracle(state)).all()
    after, outcome = GAME.step(state, legal.argmax(1))
    assert after == state
    assert not outcome.changed.any()


@pytest.mark.parametrize("name", GAME.LEVELS)
def test_bytes_round_trip(name: str) -> None:
    state = GAME.reset(GAME.LEVELS[name], seeds_for("free", GAME.name, name, 3))
    for _ in range(3):
        state, _ = GAME.step(state, GAME.legal(state).argmax(1))
    game, back = load_state(state.to_bytes(GAME))
    assert game.name == GAME.name
    assert back == state
    assert np.array_equal(
        GAME.from_symbols(state.level, GAME.scene(state).symbols).board, state.board
    )


@pytest.mark.parametrize(("rows", "cols"), [(8, 8), (2, 2), (3, 16), (16, 2), (5, 7)])
def test_every_action_survives_its_text(rows: int, cols: int) -> None:
    level = LevelSwap(rows=rows, cols=cols, line=2)
    for action, ((r, c), (i, j)) in enumerate(neighbours(rows, cols)):
        assert GAME.encode(level, action) == f"({r}, {c}) ({i}, {j})"
        assert GAME.decode(level, f"({r}, {c}) ({i}, {j})") == core.Decoded(action)
        assert GAME.decode(level, f"({i}, {j}) ({r}, {c})") == core.Decoded(action)
    moves = set(neighbours(rows, cols))
    for r, c, i, j in product(range(rows), range(cols), range(rows), range(cols)):
        decoded = GAME.decode(level, write_pair(r, c, i, j))
        if {((r, c), (i, j)), ((i, j), (r, c))} & moves:
            assert decoded.problem == ""
        else:
            assert decoded == core.Decoded(NO_ACTION, "not_adjacent")


def test_ids_never_wrap_to_another_board() -> None:
    """Text of a 12x12 board on smaller ones: in range and exact, or no action."""
    big = LevelSwap(rows=12, cols=12)
    for rows, cols in ((6, 6), (8, 8), (4, 12), (12, 4)):
        level = LevelSwap(rows=rows, cols=cols)
        for action, cells in enumerate(neighbours(12, 12)):
            decoded = GAME.decode(level, GAME.encode(big, action))
            if all(r < rows and c < cols for r, c in cells):
                assert GAME.encode(level, decoded.action) == GAME.encode(big, action)
            else:
                assert decoded == core.Decoded(NO_ACTION, "out_of_range")
        with pytest.raises(ActionError):
            GAME.step(GAME.reset(level, np.zeros(1, np.uint64)), np.array([GAME.n_actions(level)]))


BAD = {
    "": "not_a_move",
    "(0, 1)": "not_a_move",
    "0, 1, 0, 2": "not_a_move",
    "(0, 1) (0, 2) (0, 3)": "not_a_move",
    "(0, 1) to (0, 2)": "not_a_move",
    "(0, -1) (0, 0)": "not_a_move",
    "(0, ²) (0, 1)": "not_a_move",
    "(0, 7) (0, 8)": "out_of_range",
    "(7, 0) (8, 0)": "out_of_range",
    "(8, 8) (8, 8)": "out_of_range",
    "(0, 7) (1, 0)": "not_adjacent",
    "(0, 0) (1, 1)": "not_adjacent",
    "(0, 0) (0, 2)": "not_adjacent",
    "(3, 3) (3, 3)": "not_adjacent",
}


def test_texts() -> None:
    level = GAME.level("normal")
    for text in ("(0, 1) (0, 2)", "(0,1)(0,2)", "\n(0, 2), (0, 1) ", "( 0 ,1 ) ,( 00, 2)"):
        assert GAME.decode(level, text) == core.Decoded(1)
    for text, problem in BAD.items():
        assert GAME.decode(level, text) == core.Decoded(NO_ACTION, problem), text
    start = time.process_time()
    for text in ("(" * 300_000, "(0, 1)" + "\n" * 300_000 + "(0, 2", "(0, " * 100_000):
        assert GAME.decode(level, text).action == NO_ACTION
    assert time.process_time() - start < 5  # quadratic reading would take minutes


def test_what_is_told() -> None:
    for level in GAME.LEVELS.values():
        assert f"{level.rows} rows and {level.cols} columns" in GAME.rules(level)
        assert "(0, 1) (1, 1)" in GAME.answer_format(level)
        assert GAME.decode(level, "(0, 1) (1, 1)").action >= 0
    assert GAME.n_actions(GAME.level("paper")) == 112
    scene = GAME.scene(GAME.reset(GAME.level("easy"), np.zeros(1, np.uint64)))
    assert (scene.kind, scene.names) == ("shape", tiles.NAMES["shapes"])
    assert get_game("Swap") is GAMES["Swap"]


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"rows": 17}, "rows"),
        ({"cols": 1}, "cols"),
        ({"colours": 2, "shapes": 1}, "colours"),
        ({"colours": 17}, "colours"),
        ({"shapes": 2.0}, "shapes"),
        ({"line": 1}, "line"),
        ({"line": 9}, "line"),
        ({"rows": 3, "cols": 4, "line": 5}, "line"),
        ({"size": 8}, "size"),
    ],
)
def test_bad_levels_name_the_field(fields: dict[str, int], named: str) -> None:
    with pytest.raises(ConfigError, match=rf"^LevelSwap\.{named} = .*allowed is"):
        GAME.level("normal", **fields)
