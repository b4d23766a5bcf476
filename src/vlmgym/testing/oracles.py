"""The check that the oracle knows what is good."""

from __future__ import annotations

import numpy as np

from vlmgym.core import EPISODE_STREAM, draw_rows, seeds_for
from vlmgym.testing import sizes
from vlmgym.testing.cases import Case, by_oracle, need


def oracle_beats_random(case: Case) -> str:
    """oracle(): its values, and their sign (larger is better)."""
    game = case.game
    value = game.oracle(case.live())
    legal = game.legal(case.live())
    need(value.shape == legal.shape, f"oracle has shape {value.shape}, allowed is {legal.shape}")
    if np.isnan(value).all():
        return "the game has no oracle"
    need(
        (~np.isnan(value) == legal).all(),
        "oracle values must be NaN exactly where an action is illegal",
    )
    choice = legal.sum(axis=1) > 1
    differ = (
        np.nanmax(value[choice], axis=1) > np.nanmin(value[choice], axis=1)
    ).any() or not choice.any()
    need(differ, "the oracle gives all legal actions the same value in every position")
    seeds = seeds_for("free", game.name, case.name, sizes.EPISODES, 5000)
    score, good = (np.zeros((2, sizes.EPISODES)) for _ in range(2))
    for who in range(2):
        state, turns = game.reset(case.level, seeds), np.zeros(sizes.EPISODES)
        for turn in range(
            min(
                case.level.max_steps,
                sizes.LONGEST if game.sample(case.level).pixels is None else sizes.LONGEST // 4,
            )
        ):
            if state.ended.all():
                break
            turns += ~state.ended
            if who:
                actions = by_oracle(game, state)
            else:
                actions = draw_rows(
                    seeds, turn, EPISODE_STREAM, np.full(sizes.EPISODES, game.n_actions(case.level))
                )
            after, outcome = game.step(state, actions)
            good[who] += game.success(state, actions, outcome)
            state = after
        score[who] = state.score
        good[who] /= np.maximum(turns, 1)
    notes, better = [], False
    for name, pair in (("score", score), ("good turns", good)):
        difference = pair[1] - pair[0]
        error = difference.std(ddof=1) / np.sqrt(sizes.EPISODES)
        notes.append(f"{name} {pair[1].mean():.4g} against {pair[0].mean():.4g}")
        need(
            difference.mean() >= -sizes.Z * max(error, 1e-12),
            f"the oracle is worse than random play: {notes[-1]}",
        )
        better |= bool(difference.mean() > sizes.Z * error and difference.mean() > 0)
    need(
        better,
        f"the oracle does not beat random play at {sizes.CONFIDENCE:.1%} confidence on "
        f"{sizes.EPISODES} seeds: {', '.join(notes)}",
    )
    return ", ".join(notes)
