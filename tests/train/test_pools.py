"""Pools ask at the turns of the policy's own games."""

from itertools import pairwise

import numpy as np
import pytest

from parts.scripted import answered, good
from parts.tasks import T2048
from vlmgym.core import concat, seeds_for
from vlmgym.core.random import STATES_OF_A_USE
from vlmgym.episodes.task import Task
from vlmgym.games import get_game, state_text
from vlmgym.train.questions import Answered, QuestionSource
from vlmgym.train.sources import CHUNK, USES, Source, first_state

POOLED = (
    "2048",
    "ShisenSho",
    "ShisenShoPhotos",
    "Swap",
    "Minesweeper",
    "Sokoban",
    "SlidingPuzzle",
    "FrozenLake",
)


def oracle_moves(game, state):
    values = game.oracle(state)
    return np.where(
        np.isnan(values).all(axis=1), 0, np.nan_to_num(values, nan=-np.inf).argmax(axis=1)
    )


def random_moves(game, state):
    return game.draw_legal(state, 7_000)


def turns_of_own_games(game, level, policy, count=96):
    """Turns at which whole games of a policy stand on boards on which some action can succeed."""
    state, turns = game.reset(level, seeds_for("train", game.name, "own", count)), []
    while len(state):
        turns += state.steps[game.success_mask(state).any(axis=1)].tolist()
        state, _ = game.step(state, policy(game, state))
        state = state[~state.ended & game.legal(state).any(axis=1)]
    return np.array(turns)


@pytest.mark.parametrize("policy", [oracle_moves, random_moves])
@pytest.mark.parametrize("name", POOLED)
def test_a_pool_asks_at_the_turns_of_the_policys_own_games(name, policy):
    """A board on which nothing can succeed (2048: nothing merges) once ended the pool's game, which
    so never left the opening.
    """
    task = Task(game=name, level="tiny", look="tiny", walk_max=0)
    game, level = task.game, task.level
    states, turns = QuestionSource((task,), (Source("policy_pool", games=16),), seed=3), []
    for _ in range(200):
        asked = [*states.draw(8), *states.passing()]
        state = concat([one.state for one in asked])
        after, out = game.step(state, policy(game, state))
        states.tell(
            asked,
            [
                Answered(0, 1, state_text(game, after[i]), bool(out.changed[i]))
                for i in range(len(asked))
            ],
        )
        turns += [int(one.state.steps[0]) for one in asked if one.serial >= 0]
    own = turns_of_own_games(game, level, policy)
    grid = np.arange(max(*turns, *own) + 1)
    apart = max(abs((np.array(turns) <= turn).mean() - (own <= turn).mean()) for turn in grid)
    assert apart < 0.12, (
        f"turns of the pool {np.mean(turns):.1f}, of its own games {own.mean():.1f}"
    )


def test_where_nothing_can_succeed_a_game_goes_on_by_the_answer_or_else_by_a_legal_move():
    game, states = (
        get_game("2048"),
        QuestionSource((T2048,), (Source("policy_pool", games=8, patience=50),), seed=3),
    )
    followed = helped = 0
    for _ in range(80):
        asked = states.draw(4)
        states.tell(asked, [answered(states, one, [good(one)]) for one in asked])
        passing = states.passing()
        assert not any(game.success_mask(one.state).any() for one in passing)
        assert all(game.legal(one.state).any() for one in passing)
        legal = [int(game.legal(one.state)[0].argmax()) for one in passing]
        told = [
            answered(states, one, [move if k % 2 else None])
            for k, (one, move) in enumerate(zip(passing, legal, strict=True))
        ]
        ended = states.counts["pool_ended"]
        states.tell(passing, told)
        if states.counts["pool_ended"] == ended:
            for k, (one, answer) in enumerate(zip(passing, told, strict=True)):
                now = states.pools[0][one.slot].state
                assert (state_text(game, now) == answer.after) == bool(k % 2)
                assert now.steps[0] == one.state.steps[0] + (1 if k % 2 else 2), (
                    "the turn, and the move"
                )
                followed, helped = followed + k % 2, helped + 1 - k % 2
    assert followed > 5
    assert helped > 5
    assert all(game.success_mask(one.state).any() for one in states.draw(20))


def test_no_two_uses_or_seeds_of_training_states_meet():
    firsts = [
        (first_state(use, seed), use, seed)
        for use in USES
        for seed in (*range(260), 500, 900, 997, 2**31 - 1)
    ]
    for (one, use, seed), (after, *other) in pairwise(sorted(firsts)):
        room = 1_000_000 - CHUNK if use == "walk" and seed < 128 else STATES_OF_A_USE
        assert after - one >= room, f"{use} {seed} and {other}"
    assert 4 * (max(firsts)[0] + STATES_OF_A_USE) < 2**64
    seen = {first_state(use, 0) for use in USES}
    assert seen == {0, 250_000_000, 500_000_000, 900_000_000}, "seed 0 is as it was"
