"""Continuations from forks: what is simulated is the expected rest of the game, and nothing else."""

import itertools

import numpy as np
import pytest

from vlmgym.core import DEAD, NO_ACTION, ActionError, ConfigError, seeds_for
from vlmgym.core.simulation import Simulator, play_on, simulate
from vlmgym.games import GAMES, get_game


def dealt(name, level="normal", games=3, **fields):
    game = get_game(name)
    return game, game.reset(game.level(level, **fields), seeds_for("free", name, level, games))


def legal_actions(game, state, most=4):
    legal = game.legal(state)
    return np.stack([np.resize(np.flatnonzero(row), most) for row in legal])


def expected_after_one_random_move(game, state, action):
    """The expected gain of a move of 2048 and of a random legal one after it: by enumeration of
    every tile that may appear.
    """
    level = state.level
    scene = game.scene(state).symbols
    blank = game.from_symbols(level, scene)
    gain, board = slid(blank.board[0], action)
    total = 0.0
    free = list(zip(*np.nonzero(board == 0), strict=True))
    for cell, (exponent, chance) in itertools.product(
        free, ((1, 1 - level.four_prob), (2, level.four_prob))
    ):
        after = board.copy()
        after[cell] = exponent
        gains = [slid(after, move)[0] for move in range(4) if not same(after, slid(after, move)[1])]
        total += chance / len(free) * (np.mean(gains) if gains else 0.0)
    return gain + total


def same(one, other):
    return np.array_equal(one, other)


def slid(board, action):
    """A second implementation of the slide: lists of exponents."""
    turned = np.rot90(board, (1, 2, 3, 0)[action])  # so that the move goes to the left
    gain, lines = 0, []
    for line in turned:
        tiles, out = [int(e) for e in line if e], []
        while tiles:
            exponent = tiles.pop(0)
            if tiles and tiles[0] == exponent:
                tiles.pop(0)
                exponent += 1
                gain += 2**exponent
            out.append(exponent)
        lines.append(out + [0] * (len(line) - len(out)))
    return gain, np.rot90(np.array(lines, np.uint8), -(1, 2, 3, 0)[action])


def test_simulated_values_are_the_expectation_over_all_that_may_come():
    game, _ = dealt("2048")
    level = game.level("normal", rows=2, cols=3, four_prob=0.3, max_steps=0)
    board = np.array([[[1, 1, 2], [2, 0, 1]]], np.uint8)
    state = game.start(level, board, np.array([9], np.uint64))
    actions = np.flatnonzero(game.legal(state)[0])
    found = game.simulate(state, actions[None], continuations=40_000, horizon=1)
    expected = [expected_after_one_random_move(game, state, action) for action in actions]
    assert len(actions) >= 3
    assert len(set(np.round(expected, 3))) > 1
    assert np.abs(found.values[0] - expected).max() < 4 * found.errors.max()
    assert found.errors.max() < 0.05


def test_the_luck_of_continuations_is_shared_by_actions_or_their_own_and_never_the_games():
    game, state = dealt("2048", games=2)
    actions = legal_actions(game, state, 2)
    met = []

    def watch(game, state, number):
        met.append(state.seed)
        return game.draw_legal(state, number)

    seeds = {}
    for luck in ("common", "own"):
        met.clear()
        game.simulate(state, actions, 5, 1, watch, luck)
        seeds[luck] = np.concatenate(met).reshape(2, 2, 5)
    common, own = seeds["common"], seeds["own"]
    assert np.array_equal(common[:, 0], common[:, 1])
    assert len(np.unique(common)) == 10
    assert len(np.unique(own)) == 20
    assert not np.isin(state.seed, np.concatenate([common.ravel(), own.ravel()])).any()


def test_common_luck_takes_noise_from_differences():
    game, state = dealt("2048", "paper", games=24)
    actions = legal_actions(game, state, 2)
    spread = {}
    for luck in ("common", "own"):
        returns = game.simulate(state, actions, 64, 8, luck=luck).returns
        spread[luck] = (returns[:, 0] - returns[:, 1]).var(axis=1).mean()
    assert spread["common"] < spread["own"]


@pytest.mark.parametrize("name", GAMES)
def test_every_game_is_simulated_and_left_as_it_was(name):
    game, state = dealt(name, "easy", max_steps=12)
    before = state.to_bytes(game)
    actions = legal_actions(game, state)
    found = game.simulate(state, actions, 3, 4, exact=False)
    assert found.returns.shape == found.solved.shape == (3, 4, 3)
    assert 0 < found.moves <= 3 * 4 * 3 * 5
    again = game.simulate(state, actions, 3, 4, exact=False)
    assert np.array_equal(found.returns, again.returns)
    assert state.to_bytes(game) == before


def test_equal_actions_are_played_once_and_say_the_same():
    game, state = dealt("Swap", "easy")
    actions = legal_actions(game, state, 2)
    one = game.simulate(state, actions, 4, 3)
    many = game.simulate(state, actions[:, [0, 1, 0, 1, 0, 0]], 4, 3)
    assert np.array_equal(many.returns, one.returns[:, [0, 1, 0, 1, 0, 0]])
    assert many.moves == one.moves


def test_ended_games_gain_nothing_and_cost_nothing():
    game, state = dealt("Snake", "easy", games=40)
    played = play_on(game, state, 10_000)
    assert played.moves == game_lengths(game, state)
    over = state.with_arrays({"terminated": np.ones(40, bool)})
    rest = play_on(game, over, 10)
    assert not rest.returns.any()
    assert rest.moves == 0


def test_what_is_solved_is_what_the_game_calls_won():
    """Not a game that ended on a move which gained something: 2048 has no goal, Snake may crash."""
    game, state = dealt("2048", "easy", games=30, max_steps=0)
    assert not play_on(game, state, 10_000).solved.any()
    game, state = dealt("TicTacToe", "easy", games=60)
    played = play_on(game, state, 10)
    assert 0 < played.solved.mean() < 1
    assert np.array_equal(played.solved, played.returns > 0), "a win is the point that there is"
    game, state = dealt("Minesweeper", "easy", games=60)
    played = play_on(game, state, 200)
    assert played.solved.mean() < 0.9


def game_lengths(game, state):
    """Turns of the same games, played one after the other."""
    from vlmgym.core.random import SIMULATION_STREAM

    turns = 0
    for row in range(len(state)):
        one = state[row]
        while not one.ended[0]:
            one, _ = game.step(one, game.draw_legal(one, SIMULATION_STREAM))
            turns += 1
    return turns


@pytest.mark.parametrize("name", ["SlidingPuzzle", "LightsOut", "Sokoban", "TowersOfHanoi"])
def test_where_the_oracle_counts_moves_its_values_are_taken(name):
    game, state = dealt(name, "easy")
    actions = legal_actions(game, state, 3)
    found = game.simulate(state, actions)
    assert found.exact
    assert found.moves == 0
    assert np.array_equal(found.values, np.take_along_axis(game.oracle(state), actions, axis=1))
    assert np.array_equal(found.success > 0, found.values > DEAD)
    idle = game.simulate(state, np.full((3, 1), NO_ACTION)).values[:, 0]
    best = np.nanmax(game.oracle(state), axis=1)
    assert np.array_equal(idle, best - 1)
    late = state.with_arrays({"steps": np.full(3, state.level.max_steps - 1)})
    assert not game.simulate(late, actions).success[game.oracle(late).max(axis=1) < -1].any()


def test_a_game_whose_turns_draw_is_not_taken_for_exact():
    assert not get_game("FrozenLake").counts_moves("hard")
    assert not get_game("2048").counts_moves("normal")


def test_the_greedy_policy_plays_a_move_of_the_largest_gain():
    from vlmgym.core.simulation import POLICIES

    game, state = dealt("2048", "paper", games=50)
    state, _ = game.step(state, game.draw_legal(state))
    actions = POLICIES["greedy"](game, state, 0)
    legal = game.legal(state)
    gains = np.stack([game.step(state, np.full(50, a))[1].gain for a in range(4)], axis=1)
    best = np.where(legal, gains, -1).max(axis=1)
    assert np.array_equal(gains[np.arange(50), actions], best)
    assert best.max() > 0


def test_the_rest_of_a_game_is_a_function_of_its_state():
    simulator = Simulator(continuations=8, horizon=5)
    for name in ("2048", "SlidingPuzzle"):
        game, state = dealt(name, "easy", games=4)
        rest = simulator.rest(game, state)
        backwards = simulator.rest(game, state[::-1])
        assert np.array_equal(rest, backwards[::-1])
        ended = state.with_arrays({"terminated": np.ones(4, bool)})
        assert not simulator.rest(game, ended).any()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"actions": [0, 1]}, "actions of shape"),
        ({"actions": [[0], [4]]}, "action 4"),
        ({"continuations": 0}, "continuations = 0"),
        ({"horizon": -1}, "horizon = -1"),
        ({"policy": "best"}, "policy = 'best'"),
        ({"luck": "bad"}, "luck = 'bad'"),
    ],
)
def test_what_cannot_be_simulated_is_refused_in_a_sentence(arguments, words):
    game, state = dealt("2048", games=2)
    with pytest.raises((ActionError, ConfigError), match=words):
        simulate(game, state, **{"actions": [[0], [1]], **arguments})
