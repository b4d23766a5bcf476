"""2048 against a plain reference, and the figures known of random play."""

import numpy as np
import pytest

from vlmgym.core import seeds_for
from vlmgym.dialogue.perception import truth
from vlmgym.games import get_game

GAME = get_game("2048")


def slide_line(line):
    """Reference: one line towards its start; returns (new line, gain)."""
    tiles, out, gain = [t for t in line if t], [], 0
    while tiles:
        if len(tiles) > 1 and tiles[0] == tiles[1]:
            out.append(2 * tiles[0])
            gain += 2 * tiles[0]
            tiles = tiles[2:]
        else:
            out.append(tiles.pop(0))
    return out + [0] * (len(line) - len(out)), gain


def slide(board, move):
    """Reference on a list of lists of tile values: 0 up, 1 right, 2 down, 3 left."""
    lines = (
        [list(c) for c in zip(*board, strict=True)] if move in (0, 2) else [list(r) for r in board]
    )
    flip = move in (1, 2)
    done = [slide_line(line[::-1] if flip else line) for line in lines]
    lines = [new[::-1] if flip else new for new, _ in done]
    gain = sum(g for _, g in done)
    return ([list(r) for r in zip(*lines, strict=True)] if move in (0, 2) else lines), gain


def values(exponents):
    return [[0 if e == 0 else 2 ** int(e) for e in row] for row in exponents]


@pytest.mark.parametrize(("rows", "cols"), [(2, 2), (3, 5), (4, 4), (16, 16)])
def test_moves_agree_with_the_reference(rows, cols):
    rng = np.random.default_rng(rows * 100 + cols)
    level = GAME.level("easy", rows=rows, cols=cols, max_steps=0)
    boards = rng.choice(12, p=[0.4, *[0.6 / 11] * 11], size=(60, rows, cols)).astype(np.int16)
    boards[::3] = rng.integers(0, 3, (20, rows, cols))
    state = GAME.from_symbols(level, boards)
    for move in range(4):
        after, outcome = GAME.step(state, np.full(60, move))
        for i in range(60):
            expected, gain = slide(values(boards[i]), move)
            changed = expected != values(boards[i])
            assert outcome.gain[i] == gain
            assert outcome.changed[i] == changed == GAME.legal(state)[i, move]
            assert GAME.success_mask(state)[i, move] == (gain > 0)
            got = values(after.board[i])
            new = [(r, c) for r in range(rows) for c in range(cols) if got[r][c] != expected[r][c]]
            assert len(new) == changed
            for r, c in new:
                assert expected[r][c] == 0
                assert got[r][c] in (2, 4)


def test_end_is_when_no_move_changes_the_board():
    board = np.array([[[1, 2], [2, 1]]], np.int16)
    level = GAME.level("easy", rows=2, cols=2)
    state = GAME.from_symbols(level, board)
    assert not GAME.legal(state).any()
    nearly = GAME.from_symbols(level, np.array([[[1, 1], [2, 3]]], np.int16))
    after, _ = GAME.step(nearly, np.array([3]))
    assert after.terminated[0] == (not GAME.legal(after).any())


def test_spawn_odds_and_places():
    level = GAME.level("paper", four_prob=0.3)
    state = GAME.from_symbols(
        level, np.tile(np.array([[1, 0, 0, 0]] + [[0] * 4] * 3, np.int16), (20_000, 1, 1))
    )
    state = type(state)(
        **{**state.arrays(), "level": level, "seed": seeds_for("free", "2048", "spawn", 20_000)}
    )
    after, _ = GAME.step(state, np.full(20_000, 1))
    spawned = after.board.reshape(20_000, 16).copy()
    spawned[:, 3] = 0
    assert ((spawned > 0).sum(axis=1) == 1).all()
    share = (spawned == 2).sum() / 20_000
    assert abs(share - 0.3) < 4 * (0.3 * 0.7 / 20_000) ** 0.5
    places = np.bincount(spawned.argmax(axis=1), minlength=16)
    assert places[3] == 0
    assert ((places[places > 0] - 20_000 / 15) ** 2 / (20_000 / 15)).sum() < 45, (
        "chi-square, 14 degrees of freedom"
    )


def test_random_play_scores_what_the_paper_reports():
    """Uniform random play, 100 moves from a fresh board, finished games going on: 705 (the paper:
    701).
    """
    state = GAME.reset(GAME.level("paper"), seeds_for("test", "2048", "paper", 4000))
    rng, merges = np.random.default_rng(0), 0
    for _ in range(100):
        state, outcome = GAME.step(state, rng.integers(0, 4, 4000))
        merges += int((outcome.gain > 0).sum())
    error = state.score.std() / 4000**0.5
    assert abs(state.score.mean() - 705) < 4 * error
    assert abs(merges / 400_000 - 0.535) < 0.004
    assert state.truncated.all()


def test_oracle_beats_random_by_far():
    state = GAME.reset(GAME.level("paper"), seeds_for("test", "2048", "paper", 100))
    for _ in range(100):
        best = np.nan_to_num(GAME.oracle(state), nan=-1).argmax(axis=1)
        state, _ = GAME.step(state, best)
    assert state.score.mean() > 1000


def test_oracle_is_gain_plus_half_the_expected_best_next_gain():
    level = GAME.level("easy", rows=2, cols=2, four_prob=0.25)
    state = GAME.from_symbols(level, np.array([[[1, 1], [0, 2]]], np.int16))
    # left: 4 . / 4 . ; then a 2 or 4 on one of two cells; the best next gain is 8 (down or up)
    # whatever comes
    assert GAME.oracle(state)[0, 3] == pytest.approx(4 + 0.5 * 8)


def test_decode_states_an_action_or_a_reason():
    level = GAME.level("paper")
    assert [GAME.decode(level, t).action for t in ("0", " 3\n")] == [0, 3]
    for text, problem in [
        ("4", "out_of_range"),
        ("00", "out_of_range"),
        ("9" * 50, "not_a_move"),
        ("", "not_a_move"),
        ("up", "not_a_move"),
        ("1 2", "not_a_move"),
        ("-1", "not_a_move"),
        ("٣", "not_a_move"),
        ("2.0", "not_a_move"),
    ]:
        assert (GAME.decode(level, text).action, GAME.decode(level, text).problem) == (
            -1,
            problem,
        ), text


def test_large_tiles_keep_their_value():
    level = GAME.level("paper")
    board = np.zeros((1, 4, 4), np.int16)
    board[0, 0, :2] = 7  # 128 + 128
    after, outcome = GAME.step(GAME.from_symbols(level, board), np.array([3]))
    assert outcome.gain[0] == 256
    assert truth(GAME, after)[0].startswith("256|")
    board[0, 0, :2] = 16
    assert GAME.step(GAME.from_symbols(level, board), np.array([3]))[1].gain[0] == 131072
