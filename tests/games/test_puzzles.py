"""Puzzles: the sign of the oracle, which moves are good, and that a state is a value.

After a good move less is left to do, after any other move not.
"""

from dataclasses import replace

import numpy as np
import pytest

from vlmgym.core import DEAD, NO_ACTION, concat, seeds_for
from vlmgym.games import GAMES
from vlmgym.games.parts.grid import Puzzle
from vlmgym.games.solvers.walks import DISCOUNT

LEVELS = [
    (game, name) for game in GAMES.values() if isinstance(game, Puzzle) for name in game.LEVELS
]
SLIPPERY = [(game, name) for game, name in LEVELS if getattr(game.level(name), "slip", 0)]
WITHOUT_LUCK = [one for one in LEVELS if one not in SLIPPERY]


def label(value):
    return getattr(value, "name", value)


def positions(game, level, count=16, turns=6):
    """Positions of games played at random, none of them ended."""
    state = game.reset(level, seeds_for("free", game.name, "oracle", count))
    kept = [state]
    for _ in range(turns):
        state, _ = game.step(state, game.draw_legal(state))
        kept.append(state)
    state = concat(kept)
    return state[~state.ended]


def best(values):
    """The best value of each row; the worst possible one where nothing may be done."""
    return np.where(np.isnan(values), -np.inf, values).max(1)


def contradictions(game, level):
    """Moves after which the best value is not what the value of the move promises.

    Solving takes the moves of a shortest solution: a good move leaves one less, so that the best
    value rises by one, or the puzzle is solved. After another move it does not rise so far; after
    one that loses all, nothing can be solved.
    """
    state = positions(game, level, 16 if game.n_actions(level) < 200 else 4)
    values = game.oracle(state)
    good = game.success_mask(state)
    found = []
    for row, move in zip(*np.nonzero(game.legal(state)), strict=True):
        value = values[row, move]
        after, _ = game.step(state[row], np.array([move]))
        left = best(game.oracle(after))[0]
        if value <= DEAD:
            right = not good[row, move] and (bool(after.ended[0]) or left <= DEAD)
        elif good[row, move]:
            right = value == -1 if after.ended[0] else left == value + 1
        else:
            right = not after.ended[0] and left <= best(values)[row]
        if not right:
            found.append((row, move, value, left))
    return found


def test_all_bundled_puzzles_are_looked_at():
    assert {game.name for game, _ in LEVELS} >= {"FrozenLake", "SlidingPuzzle", "Sokoban"}
    assert len(WITHOUT_LUCK) > 10
    assert SLIPPERY


@pytest.mark.parametrize(("game", "name"), WITHOUT_LUCK, ids=label)
def test_a_good_move_leaves_one_move_less_and_no_other_move_does(game, name):
    assert contradictions(game, game.level(name)) == []


@pytest.mark.parametrize(("game", "name"), SLIPPERY, ids=label)
def test_on_slippery_ice_the_value_of_a_move_is_the_mean_of_what_it_leads_to(game, name):
    """Each further move counts :data:`DISCOUNT` times: the best value does not fall on average."""
    state = positions(game, game.level(name), count=4, turns=3)
    values, legal = game.oracle(state), game.legal(state)
    assert (game.success_mask(state) == (values >= best(values)[:, None] - game.TIE) & legal).all()
    lucks = seeds_for("free", game.name, "luck", 2000)
    for row, move in zip(*np.nonzero(legal), strict=True):
        tries = replace(state[np.full(len(lucks), row)], seed=lucks)
        after, outcome = game.step(tries, np.full(len(lucks), move))
        # few boards come of one move
        _, first, which = np.unique(after.board, axis=0, return_index=True, return_inverse=True)
        further = DISCOUNT * np.maximum(best(game.oracle(after[first])), 0)
        reached = np.where(after.ended, outcome.gain > 0, further[which.ravel()])
        error = reached.std() / len(lucks) ** 0.5
        assert abs(reached.mean() - values[row, move]) <= 4.5 * error + 1e-8, (row, move)


@pytest.mark.parametrize("game", {game: None for game, _ in LEVELS}, ids=label)
def test_an_oracle_of_the_wrong_sign_contradicts_itself(game, monkeypatch):
    right = type(game).oracle
    monkeypatch.setattr(type(game), "oracle", lambda self, state: -right(self, state))
    assert contradictions(game, game.level("easy"))


@pytest.mark.parametrize(
    ("name", "level"), [("FrozenLake", "easy"), ("SlidingPuzzle", "easy"), ("Sokoban", "normal")]
)
def test_good_moves_are_those_on_a_shortest_solution(name, level):
    game = GAMES[name]
    state = game.reset(game.level(level), seeds_for("free", name, level, 50))
    value = game.oracle(state)
    for move in range(4):
        moves = np.full(50, move)
        good = game.success(state, moves, game.step(state, moves)[1])
        assert np.array_equal(good, game.success_mask(state)[:, move])
        assert np.array_equal(good, value[:, move] == np.nanmax(value, axis=1))
        assert np.array_equal(
            game.would_succeed(state.level, game.scene(state).symbols, moves), good
        )
    nothing = np.full(50, NO_ACTION)
    after, outcome = game.step(state, nothing)
    assert np.array_equal(after.board, state.board)
    assert not game.success(state, nothing, outcome).any()


@pytest.mark.parametrize(("game", "name"), LEVELS, ids=label)
def test_rows_do_not_depend_on_their_batch_and_survive_bytes(game, name):
    seeds = seeds_for("free", game.name, name, 12)
    state = game.reset(game.level(name), seeds)
    assert state == game.reset(game.level(name), seeds)
    assert game.from_bytes(state.to_bytes(game)) == state
    moves = np.random.default_rng(0).integers(-1, 4, 12)
    after, outcome = game.step(state, moves)
    for i in range(12):
        alone = game.reset(state.level, state.seed[i : i + 1])
        assert alone == state[i]
        one, result = game.step(alone, moves[i : i + 1])
        assert one == after[i]
        assert result.gain[0] == outcome.gain[i]
        assert np.array_equal(game.oracle(alone)[0], game.oracle(state)[i], equal_nan=True)
