"""The plain objects of the benchmark agree with the compiled games, turn by turn, luck included."""

import numpy as np
import pytest

import plain
from vlmgym.core import draw_below, draw_unit, seeds_for
from vlmgym.dialogue.perception import truth
from vlmgym.games import get_game

LEVELS = [(name, level) for name in plain.KINDS for level in ("tiny", "easy", "normal", "hard")] + [
    ("ShisenSho", "normal:max_bends=4,margin=0"),
    ("FrozenLake", "maze_easy:slip=0.3"),
    ("Swap", "tiny:line=4"),
    ("2048", "easy:rows=2,four_prob=0.5"),
]


class KeyedLuck:
    """The draws of the compiled games where a plain object asks its generator; ``dealt``: a board
    was laid out by other luck.
    """

    def __init__(self, seed, step):
        self.seed, self.step, self.number, self.dealt = seed, step, 0, False
        self.own = np.random.default_rng(int(seed))

    def random(self):
        self.number += 1
        return draw_unit(self.seed, self.step, self.number - 1)

    def integers(self, bound):
        self.number += 1
        return draw_below(self.seed, self.step, self.number - 1, bound)

    def permutation(self, values):
        self.dealt = True
        return self.own.permutation(values)


def shown(one):
    return (
        np.log2(np.maximum(one.board, 1)).astype(int)
        if isinstance(one, plain.Plain2048)
        else one.board
    )


@pytest.mark.parametrize(("name", "level"), LEVELS)
def test_plain_objects_play_the_same_game(name, level):
    game = get_game(name)
    state = game.reset(game.level(level, max_steps=0), seeds_for("test", name, level, 4))
    ones = [plain.make(game, state, row) for row in range(len(state))]
    for turn in range(40 if state.board[0].size < 70 else 8):
        legal, texts = game.legal(state), truth(game, state)
        actions = game.draw_legal(state)
        if turn % 4 == 3:  # any action, which is mostly illegal
            actions = np.array(
                [draw_below(s, turn, 99, game.n_actions(state.level)) for s in state.seed]
            )
        after, outcome = game.step(state, actions)
        for row, one in enumerate(ones):
            assert one.legal() == np.flatnonzero(legal[row]).tolist()
            assert one.text() == texts[row]
            if state.ended[row]:
                continue
            one.rng = KeyedLuck(state.seed[row], int(state.steps[row]) + 1)
            gain, terminated = one.step(int(actions[row]))
            assert gain == outcome.gain[row]
            assert one.score == after.score[row]
            if one.rng.dealt:
                one.board[:] = after.board[row]
            else:
                assert (shown(one) == after.board[row]).all()
                assert terminated == after.terminated[row]
        state = after


@pytest.mark.parametrize("name", plain.KINDS)
def test_rewards_of_branches_are_the_same(name):
    game = get_game(name)
    state = game.reset(game.level("easy", max_steps=0), seeds_for("test", name, "easy", 5))
    for _ in range(3):
        state, _ = game.step(state, game.draw_legal(state))
    state = state[~state.ended]
    actions = np.stack(
        [game.draw_legal(state, 7 + k) if k < 3 else np.full(len(state), k - 3) for k in range(5)],
        axis=1,
    )
    for row, answers in enumerate(game.branch(state, actions)):
        one = plain.make(game, state, row)
        before = one.board.copy()
        assert one.rewards(actions[row].tolist()) == answers.tolist()
        assert (one.board == before).all()


@pytest.mark.parametrize("name", plain.KINDS)
def test_plain_objects_draw_and_deal(name):
    game = get_game(name)
    state = game.reset(game.level("easy"), seeds_for("test", name, "easy", 1))
    one = plain.make(game, state)
    frame = one.frame(96, 128)
    assert frame.shape == (128, 96, 3)
    assert frame.dtype == np.uint8
    assert frame.std() > 5
    one.step(one.legal()[0])
    one.reset()
    assert (one.steps, one.score, one.terminated) == (0, 0, False)
    assert one.legal()
    assert one.board.shape == state.board.shape[1:]


def test_sliding_rewards_of_large_boards_are_searched():
    game = get_game("SlidingPuzzle")
    state = game.reset(
        game.level("hard", scramble=4), seeds_for("test", "SlidingPuzzle", "hard", 3)
    )
    actions = np.tile(np.arange(4), (3, 1))
    assert [plain.make(game, state, row).rewards(range(4)) for row in range(3)] == game.branch(
        state, actions
    ).tolist()
