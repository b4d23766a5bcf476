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
    for array in locked.arrays().values():
        array.flags.writeable = False
    try:
        _call_everything(case, locked)
    except (ValueError, TypeError) as error:
        if "read-only" not in str(error) and "readonly" not in str(error):
            raise
        raise CheckFailed(f"writes into its input ({error})") from error
    need(locked.to_bytes(case.game) == before, "the state was changed")
    return ""


def _call_everything(case: Case, state: State) -> None:
    game = case.game
    actions = case.actions(state)
    _, outcome = game.step(state, actions)
    game.success(state, actions, outcome)
    for action in game.candidates(state, 0):
        game.explain(state, 0, action)
    game.legal(state)
    game.success_mask(state)
    game.oracle(state)
    game.scene(state)


def batch_equals_alone(case: Case) -> str:
    """Draws or counters that depend on the place in the batch; draws must depend on the row's own
    seed and turn.
    """
    game = case.game
    state = case.live()
    actions = case.actions(state)
    after, outcome = game.step(state, actions)
    legal = game.legal(state)
    values = game.oracle(state)
    for row in range(0, len(state), 5):
        alone = state[row]
        after_alone, outcome_alone = game.step(alone, actions[row : row + 1])
        same_state = after_alone == after[row]
        need(same_state, f"step of row {row} differs from the same game stepped alone")
        same_gain = outcome_alone.gain[0] == outcome.gain[row]
        need(same_gain, f"gain of row {row} differs alone")
        legal_alone = game.legal(alone)[0]
        need((legal_alone == legal[row]).all(), f"legal of row {row} differs alone")
        values_alone = game.oracle(alone)[0]
        same_values = np.array_equal(values_alone, values[row], equal_nan=True)
        need(same_values, f"oracle of row {row} differs alone")
    start_alone = game.reset(case.level, case.starts.seed[3:4])
    same_start = start_alone == case.starts[3]
    need(same_start, "reset of one seed differs from the same seed in a batch")
    return ""


def same_seed_same_run(case: Case) -> str:
    """Global randomness (random, np.random), time, or a cache that changes results."""
    repeated = make_case(case.game, case.name)
    need(repeated.states == case.states, "equal seeds and actions gave other games")
    one_game = case.game.one_game
    games_differ = _seeds_tell_games_apart(case)
    need(isinstance(one_game, bool), f"one_game = {one_game!r}: allowed are True and False")
    need(not (one_game and games_differ), "one_game = True, but other seeds give other games")
    if one_game or games_differ:
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
    arrays: list[NDArray[Any]] = [state.board, state.score, state.terminated]
    arrays += [scene.symbols, game.legal(state)]
    if scene.pixels is not None:
        arrays.append(scene.pixels)
    flat = [np.ascontiguousarray(array.reshape(len(state), -1)) for array in arrays]
    return np.concatenate([array.view(np.uint8) for array in flat], axis=1)


def _seeds_tell_games_apart(case: Case) -> bool:
    """Whether some of many seeds give other games, in their openings or, under equal actions, in
    their runs.
    """
    game = case.game
    seeds = seeds_for("free", game.name, case.name, sizes.RUNS, 1000)
    starts = game.reset(case.level, seeds)
    for run in range(sizes.RUNS_TRIED):
        state = starts
        for turn in range(sizes.TURNS):
            content = _content(game, state)
            if (content != content[0]).any():
                return True
            action = case.actions(state[0], run * sizes.TURNS + turn)
            state, _ = game.step(state, np.repeat(action, sizes.RUNS))
    return False


def _luck_by_turn(case: Case) -> bool:
    """Whether the same move on the same board does another thing at another turn, as draws of the
    turn's number do.
    """
    game = case.game
    start = case.starts[0]
    delays = np.arange(sizes.TURNS) % max(1, case.level.max_steps - 1)
    for turn in range(sizes.TURNS):
        state = start.repeat(sizes.TURNS)
        state = State.with_arrays(state, {"steps": state.steps + delays})
        actions = np.repeat(case.actions(start, turn), sizes.TURNS)
        after, _ = game.step(state, actions)
        content = _content(game, after[~after.ended])
        if len(content) and (content != content[0]).any():
            return True
    return False


def snapshots(case: Case) -> str:
    """State that is kept outside of the State's arrays, and the fields of state_type."""
    game = case.game
    state = case.live()
    snapshot = state.to_bytes(game)
    first_actions = case.actions(state)
    first, outcome = game.step(state, first_actions)
    before = first.to_bytes(game), outcome.gain.tobytes(), outcome.changed.tobytes()
    second_actions = case.actions(first, 1)
    second, _ = game.step(first, second_actions)
    starts = game.reset(case.level, case.starts.seed)
    other_starts = game.reset(case.level, case.starts.seed[::-1])
    game.step(other_starts, case.actions(case.starts))
    after = first.to_bytes(game), outcome.gain.tobytes(), outcome.changed.tobytes()
    need(
        before == after,
        "a state or outcome that was returned is written to by later turns: two share an array",
    )
    need(
        starts == case.starts,
        "fresh games are written to by later deals and turns: two share an array",
    )
    restored = game.from_bytes(snapshot)
    need(restored == state, "from_bytes(to_bytes(state)) differs from the state")
    restored, _ = game.step(restored, first_actions)
    restored, _ = game.step(restored, second_actions)
    need(restored == second, "a restored game went another way than the first time")
    return ""


def forks(case: Case) -> str:
    """Results that depend on what was stepped before (caches, counters on the game object)."""
    game = case.game
    state = case.live()
    actions_of_rows = [np.flatnonzero(legal)[:4] for legal in game.legal(state)]
    rows = [row for row, actions in enumerate(actions_of_rows) if len(actions)][:6]
    need(rows, "no position with a legal action was found")
    results = dict[tuple[int, int], State]()
    for row in rows:
        for action in actions_of_rows[row].tolist():
            results[row, action], _ = game.step(state[row], np.array([action]))
    for (row, action), expected in reversed(list(results.items())):
        repeated, _ = game.step(state[row], np.array([action]))
        need(
            repeated == expected,
            f"action {action} from row {row} gave another result in another order",
        )
    origin = state[rows[0]]
    fork = origin.repeat(3)
    need(fork[0] == fork[2] == origin, "a fork differs from its origin")
    first_action = actions_of_rows[rows[0]][0]
    after, _ = game.step(fork, np.full(3, first_action))
    same_outcome = after[0] == after[2]
    need(same_outcome, "equal answers to forks gave different outcomes (luck must be shared)")
    _check_new_luck(game, state)
    return ""


def _check_new_luck(game: Game, state: State) -> None:
    reseeded = state.reseed(5)
    same_board = (game.scene(reseeded).symbols == game.scene(state).symbols).all()
    same_legal = same_board and (game.legal(reseeded) == game.legal(state)).all()
    need(same_legal, "new luck changed what is on the board now")
    same_values = np.array_equal(game.oracle(reseeded), game.oracle(state), equal_nan=True)
    need(same_values, "new luck changed oracle values: it sees draws to come")
