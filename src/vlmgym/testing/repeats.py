"""Checks that equal seeds, states and actions give equal games, whatever was played before."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vlmgym.core import Game, State, seeds_for
from vlmgym.testing import sizes
from vlmgym.testing.cases import Case, CheckFailed, make_case, need


def purity(case: Case) -> str:
    """A method that writes into the arrays of the state it is given (copy first)."""
    state = case.live()
    before = state.to_bytes(case.game)
    locked = state[:]
    for value in locked.arrays().values():
        value.flags.writeable = False
    try:
        actions = case.actions(locked)
        _, outcome = case.game.step(locked, actions)
        case.game.success(locked, actions, outcome)
        for action in case.game.candidates(locked, 0):
            case.game.explain(locked, 0, action)
        case.game.legal(locked)
        case.game.success_mask(locked)
        case.game.oracle(locked)
        case.game.scene(locked)
    except (ValueError, TypeError) as error:
        if "read-only" not in str(error) and "readonly" not in str(error):
            raise
        raise CheckFailed(f"writes into its input ({error})") from error
    need(locked.to_bytes(case.game) == before, "the state was changed")
    return ""


def batch_equals_alone(case: Case) -> str:
    """Draws or counters that depend on the place in the batch; draws must depend on the row's own
    seed and turn.
    """
    state = case.live()
    actions = case.actions(state)
    after, outcome = case.game.step(state, actions)
    legal, value = case.game.legal(state), case.game.oracle(state)
    for row in range(0, len(state), 5):
        one, alone = case.game.step(state[row], actions[row : row + 1])
        need(one == after[row], f"step of row {row} differs from the same game stepped alone")
        need(alone.gain[0] == outcome.gain[row], f"gain of row {row} differs alone")
        need(
            (case.game.legal(state[row])[0] == legal[row]).all(),
            f"legal of row {row} differs alone",
        )
        same = np.array_equal(case.game.oracle(state[row])[0], value[row], equal_nan=True)
        need(same, f"oracle of row {row} differs alone")
    alone_fresh = case.game.reset(case.level, case.fresh.seed[3:4])
    need(alone_fresh == case.fresh[3], "reset of one seed differs from the same seed in a batch")
    return ""


def same_seed_same_run(case: Case) -> str:
    """Global randomness (random, np.random), time, or a cache that changes results."""
    again = make_case(case.game, case.name)
    need(again.states == case.states, "equal seeds and actions gave other games")
    one, apart = case.game.one_game, _seeds_tell_games_apart(case)
    need(isinstance(one, bool), f"one_game = {one!r}: allowed are True and False")
    need(not (one and apart), "one_game = True, but other seeds give other games")
    if one or apart:
        return ""
    need(
        not _luck_by_turn(case),
        f"{sizes.RUNS} seeds all gave one game, though it has luck: the draws do not use the seed",
    )
    raise CheckFailed(
        f"{sizes.RUNS} seeds and equal actions all gave one game: the seed is not used; a game "
        "that has one opening and no luck says one_game = True"
    )


def _content(game: Game, state: State) -> NDArray[np.uint8]:
    """Everything of each row that a player meets, as bytes ``(B, n)``: board, score, end, picture
    and legal actions.
    """
    scene = game.scene(state)
    parts: list[NDArray[Any]] = [
        state.board,
        state.score,
        state.terminated,
        scene.symbols,
        game.legal(state),
    ]
    parts += [] if scene.pixels is None else [scene.pixels]
    return np.concatenate(
        [np.ascontiguousarray(p.reshape(len(state), -1)).view(np.uint8) for p in parts], axis=1
    )


def _seeds_tell_games_apart(case: Case) -> bool:
    """Whether some of many seeds give other games, in their openings or, under equal actions, in
    their runs.
    """
    game = case.game
    fresh = game.reset(case.level, seeds_for("free", game.name, case.name, sizes.RUNS, 1000))
    for run in range(sizes.RUNS_TRIED):
        state = fresh
        for turn in range(sizes.TURNS):
            content = _content(game, state)
            if (content != content[0]).any():
                return True
            state, _ = game.step(
                state, np.repeat(case.actions(state[0], run * sizes.TURNS + turn), sizes.RUNS)
            )
    return False


def _luck_by_turn(case: Case) -> bool:
    """Whether the same move on the same board does another thing at another turn, as draws of the
    turn's number do.
    """
    game, first = case.game, case.fresh[0]
    for turn in range(sizes.TURNS):
        state = first.repeat(sizes.TURNS)
        state = State.with_arrays(
            state,
            {"steps": state.steps + np.arange(sizes.TURNS) % max(1, case.level.max_steps - 1)},
        )
        after, _ = game.step(state, np.repeat(case.actions(first, turn), sizes.TURNS))
        content = _content(game, after[~after.ended])
        if len(content) and (content != content[0]).any():
            return True
    return False


def snapshots(case: Case) -> str:
    """State that is kept outside of the State's arrays, and the fields of state_type."""
    state, game = case.live(), case.game
    kept = state.to_bytes(game)
    actions = [case.actions(state)]
    first, outcome = game.step(state, actions[0])
    before = first.to_bytes(game), outcome.gain.tobytes(), outcome.changed.tobytes()
    actions.append(case.actions(first, 1))
    second, _ = game.step(first, actions[1])
    fresh = game.reset(case.level, case.fresh.seed)
    game.step(game.reset(case.level, case.fresh.seed[::-1]), case.actions(case.fresh))
    after = first.to_bytes(game), outcome.gain.tobytes(), outcome.changed.tobytes()
    need(
        before == after,
        "a state or outcome that was returned is written to by later turns: two share an array",
    )
    need(
        fresh == case.fresh,
        "fresh games are written to by later deals and turns: two share an array",
    )
    back = game.from_bytes(kept)
    need(back == state, "from_bytes(to_bytes(state)) differs from the state")
    replay, _ = game.step(game.step(back, actions[0])[0], actions[1])
    need(replay == second, "a restored game went another way than the first time")
    return ""


def forks(case: Case) -> str:
    """Results that depend on what was stepped before (caches, counters on the game object)."""
    state, game = case.live(), case.game
    pick = [np.flatnonzero(row)[:4] for row in game.legal(state)]
    rows = [row for row, ids in enumerate(pick) if len(ids)][:6]
    need(rows, "no position with a legal action was found")
    forward = {(r, int(a)): game.step(state[r], np.array([a]))[0] for r in rows for a in pick[r]}
    for (r, a), expected in reversed(list(forward.items())):
        need(
            game.step(state[r], np.array([a]))[0] == expected,
            f"action {a} from row {r} gave another result in another order",
        )
    fork = state[rows[0]].repeat(3)
    need(fork[0] == fork[2] == state[rows[0]], "a fork differs from its origin")
    after, _ = game.step(fork, np.full(3, pick[rows[0]][0]))
    need(
        after[0] == after[2], "equal answers to forks gave different outcomes (luck must be shared)"
    )
    lucky = state.reseed(5)
    same = (game.scene(lucky).symbols == game.scene(state).symbols).all() and (
        game.legal(lucky) == game.legal(state)
    ).all()
    need(same, "new luck changed what is on the board now")
    need(
        np.array_equal(game.oracle(lucky), game.oracle(state), equal_nan=True),
        "new luck changed oracle values: it sees draws to come",
    )
    return ""
