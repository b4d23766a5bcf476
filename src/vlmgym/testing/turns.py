"""Checks of fresh games and of turns: limits, legal actions, outcomes, success, ends."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vlmgym.core import NO_ACTION, ActionError, State, concat, seeds_for
from vlmgym.games import GAMES
from vlmgym.testing import sizes
from vlmgym.testing.cases import Case, CheckFailed, best_play, by_oracle, need


def levels(case: Case) -> str:
    """reset(), and the turn limit of the level."""
    game, fresh = case.game, case.fresh
    bundled = GAMES.get(game.name, game)
    need(
        bundled.identity() == game.identity(),
        f"its name is that of another game: {game.name} comes with vlmgym",
    )
    need(
        type(fresh) is game.state_type,
        f"reset gives a {type(fresh).__name__}, state_type is {game.state_type.__name__}",
    )
    need(
        len(fresh) == sizes.GAMES_A_CHECK,
        f"reset of {sizes.GAMES_A_CHECK} seeds gives {len(fresh)} games",
    )
    for key, value in fresh.arrays().items():
        need(len(value) == sizes.GAMES_A_CHECK, f"array {key} has {len(value)} rows")
    need(case.level.max_steps > 0, "max_steps is 0: every named level needs a turn limit")
    need(
        not fresh.steps.any() and not fresh.score.any(),
        "fresh games must stand at turn 0 with score 0",
    )
    need(
        (fresh.seed == seeds_for("free", game.name, case.name, sizes.GAMES_A_CHECK)).all(),
        "the state must keep its seed",
    )
    ended = int(fresh.ended.sum())
    need(
        ended < sizes.GAMES_A_CHECK / 2, f"{ended} of {sizes.GAMES_A_CHECK} fresh games have ended"
    )
    return f"{ended} of {sizes.GAMES_A_CHECK} fresh games ended at once" if ended else ""


def legal_is_what_step_accepts(case: Case) -> str:
    """legal(): it must be true exactly where the action can change the board."""
    game, state = case.game, case.live()[:: max(1, len(case.live()) // 16)]
    legal, count = game.legal(state), game.n_actions(case.level)
    need(
        legal.shape == (len(state), count),
        f"legal has shape {legal.shape}, allowed is {(len(state), count)}",
    )
    rng = np.random.default_rng(0)
    for row in range(len(state)):
        some = rng.permutation(count)[: sizes.ACTIONS_TRIED]
        tried = np.unique(np.concatenate([some, np.flatnonzero(legal[row])[: sizes.ACTIONS_TRIED]]))
        after, outcome = game.step(state[[row] * len(tried)], tried)
        moved = outcome.changed | moved_rows(state[[row] * len(tried)], after)
        for action in tried[moved & ~legal[row][tried]]:
            raise CheckFailed(
                f"action {action} ({game.encode(case.level, int(action))}) changed the board of "
                f"row {row}, but is not legal"
            )
        for action in tried[~moved & legal[row][tried]]:
            lucks = state[[row] * sizes.LUCKS_TRIED].reseed(np.arange(sizes.LUCKS_TRIED))
            if not game.step(lucks, np.full(sizes.LUCKS_TRIED, action))[1].changed.any():
                text = game.encode(case.level, int(action))
                raise CheckFailed(
                    f"action {action} ({text}) is legal in row {row}, but changed "
                    f"nothing under {sizes.LUCKS_TRIED} lucks"
                )
    return f"{legal.mean():.1%} of the actions are legal"


def moved_rows(before: State, after: State) -> NDArray[np.bool_]:
    """Rows of which any array but the turn counter changed."""
    moved = np.zeros(len(before), bool)
    old = before.arrays()
    for key, value in after.arrays().items():
        if key != "steps":
            moved |= (value != old[key]).reshape(len(value), -1).any(axis=1)
    return moved


def no_action(case: Case) -> str:
    """step() with the action -1: the board stays, the turn counts; other ids outside of the space
    are errors.
    """
    state = case.live()
    after, outcome = case.game.step(state, np.full(len(state), NO_ACTION))
    need((after.steps == state.steps + 1).all(), "a turn without an action must count")
    still = (
        not moved_rows(state, after).any() and not outcome.changed.any() and not outcome.gain.any()
    )
    need(still, "a turn without an action changed something")
    need(
        not case.game.success(state, np.full(len(state), NO_ACTION), outcome).any(),
        "a turn without an action counts as good",
    )
    for bad in (-2, case.game.n_actions(case.level)):
        try:
            case.game.step(state, np.full(len(state), bad))
        except ActionError:
            continue
        raise CheckFailed(f"action {bad} is accepted")
    return ""


def outcome_and_state_agree(case: Case) -> str:
    """step(): the Outcome against the arrays of the new state (score, terminated, steps, seed)."""
    state = case.live()
    for before, after, outcome in [
        (state, *case.game.step(state, case.actions(state))),
        *best_play(case),
    ]:
        need(
            (after.score - before.score == outcome.gain).all(), "gain is not what the score grew by"
        )
        need(
            (after.terminated == outcome.terminated).all(),
            "terminated differs between the outcome and the state",
        )
        need((after.steps == before.steps + ~before.ended).all(), "a turn must count one step")
        need((after.seed == before.seed).all(), "a turn changed the seed")
    return ""


def success_and_success_mask_agree(case: Case) -> str:
    """success() and success_mask(): they must say the same of every action."""
    game, state = case.game, case.live()[:: max(1, len(case.live()) // 12)]
    able = game.success_mask(state)
    need(not (able & ~game.legal(state)).any(), "successes holds actions that are not legal")
    for row in range(len(state)):
        tried = np.flatnonzero(game.legal(state[row])[0])[: sizes.ACTIONS_TRIED]
        many = state[[row] * len(tried)]
        _, outcome = game.step(many, tried)
        good = game.success(many, tried, outcome)
        for action in tried[good != able[row][tried]]:
            raise CheckFailed(
                f"action {action} in row {row}: successes says {able[row][action]}, good "
                f"says {not able[row][action]}"
            )
    return f"{able.any(axis=1).mean():.0%} of the positions have a good action"


def ended_rows_absorb(case: Case) -> str:
    """step(): rows where state.ended is true must come back unchanged, with gain 0."""
    game, state = case.game, concat([case.states, *(after for _, after, _ in best_play(case))])
    cut = State.with_arrays(state, {"steps": np.full(len(state), case.level.max_steps, np.int64)})
    for over in (cut, state[state.terminated]):
        if not len(over):
            continue
        after, outcome = game.step(over, np.zeros(len(over), np.int64))
        need(after == over, "an ended game changed")
        need(
            not outcome.gain.any() and not outcome.changed.any(),
            "an ended game reports a gain or a change",
        )
        need(not game.legal(over).any(), "an ended game has legal actions")
        need(np.isnan(game.oracle(over)).all(), "an ended game has oracle values")
    return f"{int(state.terminated.sum())} of {len(state)} positions are ends"


def restart(case: Case) -> str:
    """step() under restart = True: arrays that reset() fills anew."""
    level = case.level.override(restart=True, max_steps=0)
    state = case.game.reset(level, case.fresh.seed)
    for turn in range(2 * sizes.TURNS):
        actions = case.actions(state, turn)
        actions[::2] = by_oracle(case.game, state[::2])
        state, outcome = case.game.step(state, actions)
        need(
            not state.terminated.any() and not outcome.terminated.any(),
            "a game that ended was not dealt afresh",
        )
    need((state.seed == case.fresh.seed).all(), "a fresh deal changed the seed")
    return ""
