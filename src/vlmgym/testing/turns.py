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
    game = case.game
    starts = case.starts
    count = sizes.GAMES_A_CHECK
    bundled = GAMES.get(game.name, game)
    need(
        bundled.identity() == game.identity(),
        f"its name is that of another game: {game.name} comes with vlmgym",
    )
    need(
        type(starts) is game.state_type,
        f"reset gives a {type(starts).__name__}, state_type is {game.state_type.__name__}",
    )
    need(len(starts) == count, f"reset of {count} seeds gives {len(starts)} games")
    for name, values in starts.arrays().items():
        need(len(values) == count, f"array {name} has {len(values)} rows")
    need(case.level.max_steps > 0, "max_steps is 0: every named level needs a turn limit")
    at_zero = not starts.steps.any() and not starts.score.any()
    need(at_zero, "fresh games must stand at turn 0 with score 0")
    seeds = seeds_for("free", game.name, case.name, count)
    need((starts.seed == seeds).all(), "the state must keep its seed")
    ended_count = int(starts.ended.sum())
    need(ended_count < count / 2, f"{ended_count} of {count} fresh games have ended")
    return f"{ended_count} of {count} fresh games ended at once" if ended_count else ""


def legal_is_what_step_accepts(case: Case) -> str:
    """legal(): it must be true exactly where the action can change the board."""
    game = case.game
    live = case.live()
    state = live[:: max(1, len(live) // 16)]
    legal = game.legal(state)
    shape = (len(state), game.n_actions(case.level))
    need(legal.shape == shape, f"legal has shape {legal.shape}, allowed is {shape}")
    generator = np.random.default_rng(0)
    for row in range(len(state)):
        _check_legal_of(case, state[row], row, legal[row], generator)
    return f"{legal.mean():.1%} of the actions are legal"


def _check_legal_of(
    case: Case,
    state: State,
    row: int,
    legal: NDArray[np.bool_],
    generator: np.random.Generator,
) -> None:
    """Try actions of one game: some at random, and legal ones."""
    game = case.game
    random_actions = generator.permutation(len(legal))[: sizes.ACTIONS_TRIED]
    legal_actions = np.flatnonzero(legal)[: sizes.ACTIONS_TRIED]
    actions = np.unique(np.concatenate([random_actions, legal_actions]))
    is_legal = legal[actions]
    before = state.repeat(len(actions))
    after, outcome = game.step(before, actions)
    changed = outcome.changed | _changed(before, after)
    for action in actions[changed & ~is_legal]:
        raise CheckFailed(
            f"action {action} ({game.encode(case.level, int(action))}) changed the board of "
            f"row {row}, but is not legal"
        )
    for action in actions[~changed & is_legal]:
        reseeded = state.repeat(sizes.LUCKS_TRIED).reseed(np.arange(sizes.LUCKS_TRIED))
        _, outcome = game.step(reseeded, np.full(sizes.LUCKS_TRIED, action))
        text = game.encode(case.level, int(action))
        need(
            outcome.changed.any(),
            f"action {action} ({text}) is legal in row {row}, but changed "
            f"nothing under {sizes.LUCKS_TRIED} lucks",
        )


def _changed(before: State, after: State) -> NDArray[np.bool_]:
    """Rows of which any array but the turn counter changed."""
    changed = np.zeros(len(before), bool)
    old_arrays = before.arrays()
    for name, values in after.arrays().items():
        if name != "steps":
            differs = values != old_arrays[name]
            changed |= differs.reshape(len(values), -1).any(axis=1)
    return changed


def no_action(case: Case) -> str:
    """step() with the action -1: the board stays, the turn counts; other ids outside of the space
    are errors.
    """
    game = case.game
    state = case.live()
    no_actions = np.full(len(state), NO_ACTION)
    after, outcome = game.step(state, no_actions)
    need((after.steps == state.steps + 1).all(), "a turn without an action must count")
    changed = _changed(state, after).any() or outcome.changed.any() or outcome.gain.any()
    need(not changed, "a turn without an action changed something")
    success = game.success(state, no_actions, outcome)
    need(not success.any(), "a turn without an action counts as good")
    for action in (-2, game.n_actions(case.level)):
        try:
            game.step(state, np.full(len(state), action))
        except ActionError:
            continue
        raise CheckFailed(f"action {action} is accepted")
    return ""


def outcome_and_state_agree(case: Case) -> str:
    """step(): the Outcome against the arrays of the new state (score, terminated, steps, seed)."""
    state = case.live()
    random_turn = (state, *case.game.step(state, case.actions(state)))
    for before, after, outcome in [random_turn, *best_play(case)]:
        growth = after.score - before.score
        need((growth == outcome.gain).all(), "gain is not what the score grew by")
        need(
            (after.terminated == outcome.terminated).all(),
            "terminated differs between the outcome and the state",
        )
        need((after.steps == before.steps + ~before.ended).all(), "a turn must count one step")
        need((after.seed == before.seed).all(), "a turn changed the seed")
    return ""


def success_and_success_mask_agree(case: Case) -> str:
    """success() and success_mask(): they must say the same of every action."""
    game = case.game
    live = case.live()
    state = live[:: max(1, len(live) // 12)]
    mask = game.success_mask(state)
    need(not (mask & ~game.legal(state)).any(), "successes holds actions that are not legal")
    for row in range(len(state)):
        legal = game.legal(state[row])[0]
        actions = np.flatnonzero(legal)[: sizes.ACTIONS_TRIED]
        before = state[row].repeat(len(actions))
        _, outcome = game.step(before, actions)
        success = game.success(before, actions, outcome)
        for action in actions[success != mask[row][actions]]:
            raise CheckFailed(
                f"action {action} in row {row}: successes says {mask[row][action]}, good "
                f"says {not mask[row][action]}"
            )
    return f"{mask.any(axis=1).mean():.0%} of the positions have a good action"


def ended_rows_absorb(case: Case) -> str:
    """step(): rows where state.ended is true must come back unchanged, with gain 0."""
    game = case.game
    played = [after for _, after, _ in best_play(case)]
    state = concat([case.states, *played])
    limit = np.full(len(state), case.level.max_steps, np.int64)
    truncated = State.with_arrays(state, {"steps": limit})
    for ended in (truncated, state[state.terminated]):
        if not len(ended):
            continue
        after, outcome = game.step(ended, np.zeros(len(ended), np.int64))
        need(after == ended, "an ended game changed")
        reports_change = outcome.gain.any() or outcome.changed.any()
        need(not reports_change, "an ended game reports a gain or a change")
        need(not game.legal(ended).any(), "an ended game has legal actions")
        need(np.isnan(game.oracle(ended)).all(), "an ended game has oracle values")
    return f"{int(state.terminated.sum())} of {len(state)} positions are ends"


def restart(case: Case) -> str:
    """step() under restart = True: arrays that reset() fills anew."""
    game = case.game
    level = case.level.override(restart=True, max_steps=0)
    state = game.reset(level, case.starts.seed)
    for turn in range(2 * sizes.TURNS):
        actions = case.actions(state, turn)
        actions[::2] = by_oracle(game, state[::2])
        state, outcome = game.step(state, actions)
        goes_on = not state.terminated.any() and not outcome.terminated.any()
        need(goes_on, "a game that ended was not dealt afresh")
    need((state.seed == case.starts.seed).all(), "a fresh deal changed the seed")
    return ""
