"""The reward term value: what a turn changed in the rest of the game."""

import numpy as np
import pytest

from vlmgym.core import NO_ACTION, ConfigError, best_action, seeds_for
from vlmgym.core.potential import REACH, turn_values, unit
from vlmgym.core.simulation import Simulator
from vlmgym.dialogue.judge import judge
from vlmgym.dialogue.perception import truth
from vlmgym.dialogue.reply import write_reply
from vlmgym.dialogue.weights import Weights
from vlmgym.games import get_game
from vlmgym.train.rewards import judge_rows

SIMULATOR = Simulator(16, 8)


def dealt(name, level="easy", games=8, **fields):
    game = get_game(name)
    return game, game.reset(game.level(level, **fields), seeds_for("free", name, level, games))


def played(game, state, actions, simulator=SIMULATOR):
    after, _ = game.step(state, actions)
    return after, turn_values(game, state, actions, after, simulator)


@pytest.mark.parametrize("name", ["SlidingPuzzle", "LightsOut", "TowersOfHanoi", "Sokoban"])
def test_a_move_towards_the_solution_is_worth_one_and_away_from_it_one_less(name):
    game, state = dealt(name)
    values = game.oracle(state)
    best = np.array([best_action(row) for row in values])
    _, worth = played(game, state, best)
    assert worth == pytest.approx(np.full(8, 1 / REACH))
    worst = np.array([int(np.nanargmin(row)) for row in values])
    after, worth = played(game, state, worst)
    left = np.nanmax(values, axis=1) - np.nanmin(values, axis=1)  # moves more than the best
    assert worth == pytest.approx(np.clip((1 - left) / REACH, -1, 1))
    assert (after.steps == 1).all()


@pytest.mark.parametrize(
    ("name", "there", "back"),
    [("SlidingPuzzle", 0, 2), ("SlidingPuzzle", 1, 3), ("LightsOut", 4, 4), ("Jigsaw", 1, 1)],
)
def test_moves_to_and_fro_gain_nothing(name, there, back):
    game, state = dealt(name, max_steps=0)
    if name == "Jigsaw":  # the same two pieces are swapped, and swapped again
        there = back = int(np.flatnonzero(game.legal(state)[0])[0])
    actions = np.full(8, there)
    can = game.legal(state)[:, there]
    state, actions = state[can], actions[can]
    total = np.zeros(len(state))
    start = state
    simulator = Simulator(64, 4)
    for action in (there, back) * 3:
        state, worth = played(game, state, np.full(len(state), action), simulator)
        total += worth
    assert np.array_equal(state.board, start.board)
    assert len(total)
    assert abs(total.mean()) < (1e-9 if game.counts_moves(start.level) else 0.1)


@pytest.mark.parametrize("name", ["2048", "Swap", "ShisenSho", "SlidingPuzzle", "Tetris", "Snake"])
def test_no_or_an_illegal_action_is_never_better_than_the_worst_legal_one(name):
    game, state = dealt(name, games=4)
    legal = game.legal(state)
    lowest = np.full(4, np.inf)
    for row in range(4):
        ids = np.flatnonzero(legal[row])[:6]
        worth = played(game, state[row].repeat(len(ids)), ids)[1]
        assert ((worth >= -1) & (worth <= 1)).all()
        lowest[row] = worth.min()
    assert (played(game, state, np.full(4, NO_ACTION))[1] <= lowest).all()
    illegal = (~legal).argmax(axis=1)
    rows = ~legal[np.arange(4), illegal]
    assert (played(game, state, illegal)[1][rows] == -1).all()


def test_waiting_for_the_turn_limit_gains_nothing():
    """The distance to the solution counts, not that the game is over."""
    game, state = dealt("SlidingPuzzle", max_steps=5)
    late = state.with_arrays({"steps": np.full(8, 4)})
    actions = np.array([int(np.nanargmin(row)) for row in game.oracle(late)])
    after, worth = played(game, late, actions)
    assert after.truncated.all()
    assert (worth <= 0).all()


def test_better_moves_are_worth_more_where_the_game_looks_ahead():
    """2048: the score of the move alone says nothing of where the tiles lie after it; the value
    agrees with a longer simulation of its own luck.
    """
    game, state = dealt("2048", "paper", games=40)
    for _ in range(60):
        state, _ = game.step(state, game.draw_legal(state))
    actions = np.tile(np.arange(4), (40, 1))
    long = game.simulate(state, actions, 1000, 8, luck="own").values
    forks = state.repeat(4)
    worth = played(game, forks, actions.ravel(), Simulator(400, 8))[1].reshape(40, 4)
    legal = game.legal(state)
    centred = []
    for values in (long, worth):
        values = np.where(legal, values, np.nan)
        centred.append((values - np.nanmean(values, axis=1, keepdims=True))[legal])
    assert np.corrcoef(*centred)[0, 1] > 0.7


def test_what_turns_are_measured_by_is_the_distance_between_a_random_and_a_best_move():
    game = get_game("2048")
    level = game.level("tiny")
    found = unit(game, level, SIMULATOR)
    assert found == unit(game, level, SIMULATOR)
    assert 1 < found < 100
    assert unit(get_game("LightsOut"), get_game("LightsOut").level("easy"), SIMULATOR) == 1


def test_the_term_is_computed_where_it_has_a_weight():
    game, state = dealt("SlidingPuzzle", games=2)
    best = [best_action(row) for row in game.oracle(state)]
    texts = [
        write_reply(board, "so", game.encode(state.level, action))
        for board, action in zip(truth(game, state), best, strict=True)
    ]
    assert [one.terms["value"] for one in judge(game, state, texts)[1]] == [0.0, 0.0]
    for weights, expected in ((Weights(), 0.0), (Weights(value=2), 1 / REACH)):
        rows = [(game, state[row]) for row in range(2)]
        judged, _ = judge_rows(rows, texts, False, simulator=weights.simulates)
        assert [one.terms["value"] for one in judged] == pytest.approx([expected] * 2)
    total = Weights(game=0, format=0, value=2).total(judged[0].terms)
    assert total == pytest.approx(2 / REACH)


def test_equal_replies_to_one_state_are_worth_the_same():
    game, state = dealt("2048", "normal", games=3)
    forks = state.repeat(4)
    worth = played(game, forks, np.tile([0, 1, 0, 1], 3))[1].reshape(3, 4)
    assert np.array_equal(worth[:, :2], worth[:, 2:])


def test_settings_of_the_simulator_are_read_and_held_to_their_ranges():
    weights = Weights.parse({"value": 1, "simulator": {"continuations": 4, "horizon": 3}})
    assert weights.simulates == Simulator(4, 3)
    assert Weights(simulator=weights.simulator).simulates is None
    with pytest.raises(ConfigError, match=r"Simulator\.horizon"):
        Weights.parse({"simulator": {"horizon": -1}})
