"""The check of a game: everything that the rest of the library relies on, tried on random play.

``check_game(MyGame())`` raises nothing and returns a list of findings; ``vlmgym check
module:MyGame`` prints them. Each check says, where it fails, what to look at.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from vlmgym.core import (
    CHECK_STREAM,
    EPISODE_STREAM,
    NO_ACTION,
    ActionError,
    Game,
    Level,
    Outcome,
    State,
    VlmGymError,
    concat,
    draw_rows,
    pick_legal,
    seeds_for,
)
from vlmgym.dialogue import prompt
from vlmgym.dialogue.perception import read_perception
from vlmgym.dialogue.reply import Problem
from vlmgym.envs.environments import GameEnv
from vlmgym.games import GAMES, get_game
from vlmgym.render.cells import DRAWERS, draw_cell
from vlmgym.render.frames import frame_size, render
from vlmgym.render.looks import LOOKS, get_look

GAMES_A_CHECK = 12
TURNS = 12
ACTIONS_TRIED = 64
LUCKS_TRIED = 40
SYMBOLS_DRAWN = 32
RUNS = 64
RUNS_TRIED = 4
"""Runs of actions that are played from as many seeds as ``RUNS``, to see whether the seed is
used.
"""
EPISODES = 40
ENDING = 40
"""Turns of the oracle's play to ends of the game."""
LONGEST = 200
"""Turns of these episodes (a quarter of them for games that render themselves)."""
CONFIDENCE = 0.999
"""Of the statement that the oracle beats random play."""
Z = 3.09
"""Standard errors that this confidence needs, one-sided (the 0.999 quantile of the normal
distribution).
"""


@dataclass(frozen=True)
class CheckResult:
    """What one check found."""

    check: str
    level: str
    ok: bool
    detail: str  # what is wrong, or what was measured
    look_at: str  # where to look if it is wrong


class _Failed(Exception):
    """A check does not hold; the text says how."""


@dataclass
class _Case:
    """One level of a game, with positions from random play."""

    game: Game
    name: str
    level: Level
    fresh: State
    states: State  # from fresh to late, some of them ended

    def live(self) -> State:
        state = self.states[~self.states.ended]
        return state if len(state) else self.fresh

    def actions(self, state: State, number: int = 0) -> NDArray[np.int64]:
        """One legal action a row where there is one, by keyed draws; else no action."""
        return pick_legal(self.game.legal(state), state.seed, number, CHECK_STREAM)


def _case(game: Game, name: str) -> _Case:
    level = game.level(name)
    seeds = seeds_for("free", game.name, name, GAMES_A_CHECK)
    fresh = game.reset(level, seeds)
    case = _Case(game, name, level, fresh, fresh)
    kept, state = [fresh], fresh
    for turn in range(TURNS):
        state, _ = game.step(state, case.actions(state, turn))
        kept.append(state)
    case.states = concat(kept)
    return case


def _by_oracle(game: Game, state: State) -> NDArray[np.int64]:
    """The legal action of the largest oracle value a row; no action where there is none."""
    values = np.where(game.legal(state), np.nan_to_num(game.oracle(state), nan=-np.inf), -np.inf)
    return np.where(np.isfinite(values).any(axis=1), values.argmax(axis=1), NO_ACTION).astype(
        np.int64
    )


def _best_play(case: _Case) -> Iterator[tuple[State, State, Outcome]]:
    """Turns by the oracle until all games have ended, as many puzzles never end by random play:
    before, after, outcome.
    """
    state = case.fresh
    for _ in range(ENDING):
        after, outcome = case.game.step(state, _by_oracle(case.game, state))
        yield state, after, outcome
        state = after
        if state.ended.all():
            break


def _need(holds: object, text: str) -> None:
    if not holds:
        raise _Failed(text)


# ---- checks
def levels(case: _Case) -> str:
    """reset(), and the turn limit of the level."""
    game, fresh = case.game, case.fresh
    bundled = GAMES.get(game.name, game)
    _need(
        bundled.identity() == game.identity(),
        f"its name is that of another game: {game.name} comes with vlmgym",
    )
    _need(
        type(fresh) is game.state_type,
        f"reset gives a {type(fresh).__name__}, state_type is {game.state_type.__name__}",
    )
    _need(len(fresh) == GAMES_A_CHECK, f"reset of {GAMES_A_CHECK} seeds gives {len(fresh)} games")
    for key, value in fresh.arrays().items():
        _need(len(value) == GAMES_A_CHECK, f"array {key} has {len(value)} rows")
    _need(case.level.max_steps > 0, "max_steps is 0: every named level needs a turn limit")
    _need(
        not fresh.steps.any() and not fresh.score.any(),
        "fresh games must stand at turn 0 with score 0",
    )
    _need(
        (fresh.seed == seeds_for("free", game.name, case.name, GAMES_A_CHECK)).all(),
        "the state must keep its seed",
    )
    ended = int(fresh.ended.sum())
    _need(ended < GAMES_A_CHECK / 2, f"{ended} of {GAMES_A_CHECK} fresh games have ended")
    return f"{ended} of {GAMES_A_CHECK} fresh games ended at once" if ended else ""


def purity(case: _Case) -> str:
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
        raise _Failed(f"writes into its input ({error})") from error
    _need(locked.to_bytes(case.game) == before, "the state was changed")
    return ""


def batch_equals_alone(case: _Case) -> str:
    """Draws or counters that depend on the place in the batch; draws must depend on the row's own
    seed and turn.
    """
    state = case.live()
    actions = case.actions(state)
    after, outcome = case.game.step(state, actions)
    legal, value = case.game.legal(state), case.game.oracle(state)
    for row in range(0, len(state), 5):
        one, alone = case.game.step(state[row], actions[row : row + 1])
        _need(one == after[row], f"step of row {row} differs from the same game stepped alone")
        _need(alone.gain[0] == outcome.gain[row], f"gain of row {row} differs alone")
        _need(
            (case.game.legal(state[row])[0] == legal[row]).all(),
            f"legal of row {row} differs alone",
        )
        same = np.array_equal(case.game.oracle(state[row])[0], value[row], equal_nan=True)
        _need(same, f"oracle of row {row} differs alone")
    alone_fresh = case.game.reset(case.level, case.fresh.seed[3:4])
    _need(alone_fresh == case.fresh[3], "reset of one seed differs from the same seed in a batch")
    return ""


def same_seed_same_run(case: _Case) -> str:
    """Global randomness (random, np.random), time, or a cache that changes results."""
    again = _case(case.game, case.name)
    _need(again.states == case.states, "equal seeds and actions gave other games")
    one, apart = case.game.one_game, _seeds_tell_games_apart(case)
    _need(isinstance(one, bool), f"one_game = {one!r}: allowed are True and False")
    _need(not (one and apart), "one_game = True, but other seeds give other games")
    if one or apart:
        return ""
    _need(
        not _luck_by_turn(case),
        f"{RUNS} seeds all gave one game, though it has luck: the draws do not use the seed",
    )
    raise _Failed(
        f"{RUNS} seeds and equal actions all gave one game: the seed is not used; a game that has "
        "one opening and no luck says "
        "one_game = True"
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


def _seeds_tell_games_apart(case: _Case) -> bool:
    """Whether some of many seeds give other games, in their openings or, under equal actions, in
    their runs.
    """
    game = case.game
    fresh = game.reset(case.level, seeds_for("free", game.name, case.name, RUNS, 1000))
    for run in range(RUNS_TRIED):
        state = fresh
        for turn in range(TURNS):
            content = _content(game, state)
            if (content != content[0]).any():
                return True
            state, _ = game.step(state, np.repeat(case.actions(state[0], run * TURNS + turn), RUNS))
    return False


def _luck_by_turn(case: _Case) -> bool:
    """Whether the same move on the same board does another thing at another turn, as draws of the
    turn's number do.
    """
    game, first = case.game, case.fresh[0]
    for turn in range(TURNS):
        state = first.repeat(TURNS)
        state = State.with_arrays(
            state, {"steps": state.steps + np.arange(TURNS) % max(1, case.level.max_steps - 1)}
        )
        after, _ = game.step(state, np.repeat(case.actions(first, turn), TURNS))
        content = _content(game, after[~after.ended])
        if len(content) and (content != content[0]).any():
            return True
    return False


def snapshots(case: _Case) -> str:
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
    _need(
        before == after,
        "a state or outcome that was returned is written to by later turns: two share an array",
    )
    _need(
        fresh == case.fresh,
        "fresh games are written to by later deals and turns: two share an array",
    )
    back = game.from_bytes(kept)
    _need(back == state, "from_bytes(to_bytes(state)) differs from the state")
    replay, _ = game.step(game.step(back, actions[0])[0], actions[1])
    _need(replay == second, "a restored game went another way than the first time")
    return ""


def forks(case: _Case) -> str:
    """Results that depend on what was stepped before (caches, counters on the game object)."""
    state, game = case.live(), case.game
    pick = [np.flatnonzero(row)[:4] for row in game.legal(state)]
    rows = [row for row, ids in enumerate(pick) if len(ids)][:6]
    _need(rows, "no position with a legal action was found")
    forward = {(r, int(a)): game.step(state[r], np.array([a]))[0] for r in rows for a in pick[r]}
    for (r, a), expected in reversed(list(forward.items())):
        _need(
            game.step(state[r], np.array([a]))[0] == expected,
            f"action {a} from row {r} gave another result in another order",
        )
    fork = state[rows[0]].repeat(3)
    _need(fork[0] == fork[2] == state[rows[0]], "a fork differs from its origin")
    after, _ = game.step(fork, np.full(3, pick[rows[0]][0]))
    _need(
        after[0] == after[2], "equal answers to forks gave different outcomes (luck must be shared)"
    )
    lucky = state.reseed(5)
    same = (game.scene(lucky).symbols == game.scene(state).symbols).all() and (
        game.legal(lucky) == game.legal(state)
    ).all()
    _need(same, "new luck changed what is on the board now")
    _need(
        np.array_equal(game.oracle(lucky), game.oracle(state), equal_nan=True),
        "new luck changed oracle values: it sees draws to come",
    )
    return ""


def legal_is_what_step_accepts(case: _Case) -> str:
    """legal(): it must be true exactly where the action can change the board."""
    game, state = case.game, case.live()[:: max(1, len(case.live()) // 16)]
    legal, count = game.legal(state), game.n_actions(case.level)
    _need(
        legal.shape == (len(state), count),
        f"legal has shape {legal.shape}, allowed is {(len(state), count)}",
    )
    rng = np.random.default_rng(0)
    for row in range(len(state)):
        some = rng.permutation(count)[:ACTIONS_TRIED]
        tried = np.unique(np.concatenate([some, np.flatnonzero(legal[row])[:ACTIONS_TRIED]]))
        after, outcome = game.step(state[[row] * len(tried)], tried)
        moved = outcome.changed | _moved(state[[row] * len(tried)], after)
        for action in tried[moved & ~legal[row][tried]]:
            raise _Failed(
                f"action {action} ({game.encode(case.level, int(action))}) changed the board of "
                f"row {row}, but is not legal"
            )
        for action in tried[~moved & legal[row][tried]]:
            lucks = state[[row] * LUCKS_TRIED].reseed(np.arange(LUCKS_TRIED))
            if not game.step(lucks, np.full(LUCKS_TRIED, action))[1].changed.any():
                text = game.encode(case.level, int(action))
                raise _Failed(
                    f"action {action} ({text}) is legal in row {row}, but changed "
                    f"nothing under {LUCKS_TRIED} lucks"
                )
    return f"{legal.mean():.1%} of the actions are legal"


def _moved(before: State, after: State) -> NDArray[np.bool_]:
    """Rows of which any array but the turn counter changed."""
    moved = np.zeros(len(before), bool)
    old = before.arrays()
    for key, value in after.arrays().items():
        if key != "steps":
            moved |= (value != old[key]).reshape(len(value), -1).any(axis=1)
    return moved


def no_action(case: _Case) -> str:
    """step() with the action -1: the board stays, the turn counts; other ids outside of the space
    are errors.
    """
    state = case.live()
    after, outcome = case.game.step(state, np.full(len(state), NO_ACTION))
    _need((after.steps == state.steps + 1).all(), "a turn without an action must count")
    still = not _moved(state, after).any() and not outcome.changed.any() and not outcome.gain.any()
    _need(still, "a turn without an action changed something")
    _need(
        not case.game.success(state, np.full(len(state), NO_ACTION), outcome).any(),
        "a turn without an action counts as good",
    )
    for bad in (-2, case.game.n_actions(case.level)):
        try:
            case.game.step(state, np.full(len(state), bad))
        except ActionError:
            continue
        raise _Failed(f"action {bad} is accepted")
    return ""


def outcome_and_state_agree(case: _Case) -> str:
    """step(): the Outcome against the arrays of the new state (score, terminated, steps, seed)."""
    state = case.live()
    for before, after, outcome in [
        (state, *case.game.step(state, case.actions(state))),
        *_best_play(case),
    ]:
        _need(
            (after.score - before.score == outcome.gain).all(), "gain is not what the score grew by"
        )
        _need(
            (after.terminated == outcome.terminated).all(),
            "terminated differs between the outcome and the state",
        )
        _need((after.steps == before.steps + ~before.ended).all(), "a turn must count one step")
        _need((after.seed == before.seed).all(), "a turn changed the seed")
    return ""


def success_and_success_mask_agree(case: _Case) -> str:
    """success() and success_mask(): they must say the same of every action."""
    game, state = case.game, case.live()[:: max(1, len(case.live()) // 12)]
    able = game.success_mask(state)
    _need(not (able & ~game.legal(state)).any(), "successes holds actions that are not legal")
    for row in range(len(state)):
        tried = np.flatnonzero(game.legal(state[row])[0])[:ACTIONS_TRIED]
        many = state[[row] * len(tried)]
        _, outcome = game.step(many, tried)
        good = game.success(many, tried, outcome)
        for action in tried[good != able[row][tried]]:
            raise _Failed(
                f"action {action} in row {row}: successes says {able[row][action]}, good "
                f"says {not able[row][action]}"
            )
    return f"{able.any(axis=1).mean():.0%} of the positions have a good action"


def ended_rows_absorb(case: _Case) -> str:
    """step(): rows where state.ended is true must come back unchanged, with gain 0."""
    game, state = case.game, concat([case.states, *(after for _, after, _ in _best_play(case))])
    cut = State.with_arrays(state, {"steps": np.full(len(state), case.level.max_steps, np.int64)})
    for over in (cut, state[state.terminated]):
        if not len(over):
            continue
        after, outcome = game.step(over, np.zeros(len(over), np.int64))
        _need(after == over, "an ended game changed")
        _need(
            not outcome.gain.any() and not outcome.changed.any(),
            "an ended game reports a gain or a change",
        )
        _need(not game.legal(over).any(), "an ended game has legal actions")
        _need(np.isnan(game.oracle(over)).all(), "an ended game has oracle values")
    return f"{int(state.terminated.sum())} of {len(state)} positions are ends"


def answers(case: _Case) -> str:
    """encode() and decode(): inverse of each other, and total."""
    game, count = case.game, case.game.n_actions(case.level)
    ids = (
        range(count)
        if count <= 3000
        else np.random.default_rng(0).integers(count, size=3000).tolist()
    )
    for action in ids:
        text = game.encode(case.level, action)
        back = game.decode(case.level, text)
        _need(
            back.action == action,
            f"decode(encode({action})) = decode({text!r}) = {back.action} {back.problem}",
        )
        _need(
            game.decode(case.level, f"\n {text} ").action == action,
            f"blanks around {text!r} change the answer",
        )
    problems = {p.value for p in Problem}
    first, last = game.encode(case.level, 0), game.encode(case.level, count - 1)
    garbage = (
        "",
        " ",
        "none",
        "-1",
        "?",
        "(",
        "up and away",
        "9" * 5000,
        "(1, 2" * 2000,
        "\x00",
        "１",
        "0.5",
        f"{count}{count}",
    )
    for text in (*garbage, f"{first} or {last}", f"not {first}", f"{last}?"):
        found = game.decode(case.level, text)
        said = "" if found.action == NO_ACTION else game.encode(case.level, found.action)
        same = "".join(said.lower().split()) == "".join(text.lower().split())
        _need(
            found.action == NO_ACTION or same,
            f"decode({text[:20]!r}) guesses {said!r}: allowed is no action with a reason",
        )
        _need(
            found.problem in problems - {"none"} or found.action >= 0,
            f"decode({text[:20]!r}) gives the unknown reason {found.problem!r}",
        )
    return f"{count} actions"


def texts(case: _Case) -> str:
    """rules(), answer_format(), explain() and candidates()."""
    game, level = case.game, case.level
    for style in prompt.STYLES:
        _need(prompt.prompt_text(game, level, style).strip(), f"the {style} prompt is empty")
    _need(len(game.rules(level)) > 40, "rules() is too short to play by")
    _need(game.answer_format(level).strip(), "answer_format() is empty")
    state = case.live()
    for row in range(0, len(state), 7):
        for action in game.candidates(state, row):
            _need(0 <= action < game.n_actions(level), f"candidate {action} is no action")
            said = game.explain(state, row, action)
            _need(
                said.strip() and "\n" not in said and "<" not in said and ";" not in said,
                f"explain gives {said!r}",
            )
    return ""


def scene_and_text(case: _Case) -> str:
    """scene(), from_symbols(), unnamed, and the names of the symbols (each different when read
    without case).
    """
    game, state = case.game, case.states
    scene = game.scene(state)
    if scene.pixels is not None:
        return "the game shows a finished picture: no truth text"
    first = game.sample(case.level)
    _need(
        scene.symbols.shape == (len(state), *first.symbols.shape[1:]),
        "the grid changes its size within a level",
    )
    _need(scene.names == first.names, "the names change within a level")
    _need(
        len({n.lower() for n in scene.names}) == len(scene.names), "two symbols have the same name"
    )
    _need(not any("|" in n or "\n" in n for n in scene.names), "a name holds | or a line break")
    _need(
        all(n and n == n.strip() for n in scene.names),
        "a name is empty or begins or ends with a blank",
    )
    _need(
        scene.symbols.min() >= 0 and scene.symbols.max() < len(scene.names), "a symbol has no name"
    )
    stands = isinstance(game.unnamed, (int, np.integer)) and 0 <= game.unnamed < len(scene.names)
    _need(
        stands,
        f"unnamed = {game.unnamed!r}: allowed is the number of a symbol, 0 to "
        f"{len(scene.names) - 1}",
    )
    texts = scene.texts()
    for row in range(len(state)):
        back = read_perception(texts[row], scene)
        _need(
            back.exact(scene.symbols[row]),
            f"the truth text of row {row} is not read back:\n{texts[row]}",
        )
    again = game.from_symbols(case.level, scene.symbols)
    _need(
        (game.scene(again).symbols == scene.symbols).all(),
        "from_symbols gives a state that looks different",
    )
    live = ~state.ended
    _need(
        (game.legal(again)[live] == game.legal(state)[live]).all(),
        "from_symbols gives a state with other legal actions",
    )
    rng = np.random.default_rng(0)
    odd = rng.integers(0, len(scene.names), (64, *scene.symbols.shape[1:]), np.int16)
    actions = rng.integers(0, game.n_actions(case.level), 64)
    _need(
        game.would_succeed(case.level, odd, actions).shape == (64,),
        "would_succeed() on 64 described boards does not give (64,)",
    )
    return (
        f"{len(scene.names)} symbols on {scene.symbols.shape[1]} x {scene.symbols.shape[2]} cells"
    )


def pictures(case: _Case) -> str:
    """scene(): names that no drawing exists for, or two symbols that are drawn alike."""
    game, state = case.game, case.states
    scene = game.scene(state)
    drawn, seen = 0, np.unique(scene.symbols).tolist()[:SYMBOLS_DRAWN]
    for look in LOOKS:
        quiet = get_look(look, noise=0, score=False)
        if scene.kind in DRAWERS:
            tiles: dict[bytes, str] = {}
            for symbol in seen:
                name = scene.names[symbol]
                other = tiles.setdefault(
                    draw_cell(scene.kind, symbol, name, 48, quiet, False, 0).tobytes(), name
                )
                _need(other == name, f"look {look}: {other!r} and {name!r} are drawn alike")
        try:
            frames = render(game, state, quiet)
        except VlmGymError as error:
            if scene.kind == "photo" and "vlmgym photos" in str(error):
                return f"not drawn: {error}"
            raise
        drawn += len(frames)
        _need(
            frames.shape == (len(state), *frame_size(game, case.level, quiet), 3),
            f"look {look}: frames of shape {frames.shape}",
        )
        content = scene.symbols if scene.pixels is None else scene.pixels
        groups: dict[bytes, bytes] = {}
        for row in range(len(state)):
            key = content[row].tobytes() + (
                b""
                if scene.variants is None
                else (scene.variants[row] * (scene.symbols[row] > 0)).tobytes()
            )
            groups.setdefault(key, frames[row].tobytes())
            _need(
                groups[key] == frames[row].tobytes(),
                f"look {look}: equal scenes give different pictures (row {row})",
            )
        if scene.variants is None:
            _need(
                len(set(groups.values())) == len(groups),
                f"look {look}: different scenes give equal pictures",
            )
    return f"{drawn} pictures"


def oracle_beats_random(case: _Case) -> str:
    """oracle(): its values, and their sign (larger is better)."""
    game = case.game
    value = game.oracle(case.live())
    legal = game.legal(case.live())
    _need(value.shape == legal.shape, f"oracle has shape {value.shape}, allowed is {legal.shape}")
    if np.isnan(value).all():
        return "the game has no oracle"
    _need(
        (~np.isnan(value) == legal).all(),
        "oracle values must be NaN exactly where an action is illegal",
    )
    choice = legal.sum(axis=1) > 1
    differ = (
        np.nanmax(value[choice], axis=1) > np.nanmin(value[choice], axis=1)
    ).any() or not choice.any()
    _need(differ, "the oracle gives all legal actions the same value in every position")
    seeds = seeds_for("free", game.name, case.name, EPISODES, 5000)
    score, good = (np.zeros((2, EPISODES)) for _ in range(2))
    for who in range(2):
        state, turns = game.reset(case.level, seeds), np.zeros(EPISODES)
        for turn in range(
            min(
                case.level.max_steps,
                LONGEST if game.sample(case.level).pixels is None else LONGEST // 4,
            )
        ):
            if state.ended.all():
                break
            turns += ~state.ended
            if who:
                actions = _by_oracle(game, state)
            else:
                actions = draw_rows(
                    seeds, turn, EPISODE_STREAM, np.full(EPISODES, game.n_actions(case.level))
                )
            after, outcome = game.step(state, actions)
            good[who] += game.success(state, actions, outcome)
            state = after
        score[who] = state.score
        good[who] /= np.maximum(turns, 1)
    notes, better = [], False
    for name, pair in (("score", score), ("good turns", good)):
        difference = pair[1] - pair[0]
        error = difference.std(ddof=1) / np.sqrt(EPISODES)
        notes.append(f"{name} {pair[1].mean():.4g} against {pair[0].mean():.4g}")
        _need(
            difference.mean() >= -Z * max(error, 1e-12),
            f"the oracle is worse than random play: {notes[-1]}",
        )
        better |= bool(difference.mean() > Z * error and difference.mean() > 0)
    _need(
        better,
        f"the oracle does not beat random play at {CONFIDENCE:.1%} confidence on "
        f"{EPISODES} seeds: {', '.join(notes)}",
    )
    return ", ".join(notes)


def restart(case: _Case) -> str:
    """step() under restart = True: arrays that reset() fills anew."""
    level = case.level.override(restart=True, max_steps=0)
    state = case.game.reset(level, case.fresh.seed)
    for turn in range(2 * TURNS):
        actions = case.actions(state, turn)
        actions[::2] = _by_oracle(case.game, state[::2])
        state, outcome = case.game.step(state, actions)
        _need(
            not state.terminated.any() and not outcome.terminated.any(),
            "a game that ended was not dealt afresh",
        )
    _need((state.seed == case.fresh.seed).all(), "a fresh deal changed the seed")
    return ""


def gymnasium_env(case: _Case) -> str:
    """What Gymnasium's own checker says of the environment."""
    from gymnasium.utils.env_checker import check_env

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        try:
            look = next(name for name in LOOKS if name == "clean")
            check_env(
                GameEnv(case.game, case.level, look, render_mode="rgb_array"),
                skip_render_check=True,
            )
        except (Warning, AssertionError, gymnasium.error.Error) as error:
            raise _Failed(f"{type(error).__name__}: {error}") from error
        except VlmGymError as error:
            if "vlmgym photos" in str(error):
                return f"not drawn: {error}"
            raise
    return ""


CHECKS: tuple[Callable[[_Case], str], ...] = (
    levels,
    purity,
    batch_equals_alone,
    same_seed_same_run,
    snapshots,
    forks,
    legal_is_what_step_accepts,
    no_action,
    outcome_and_state_agree,
    success_and_success_mask_agree,
    ended_rows_absorb,
    answers,
    texts,
    scene_and_text,
    pictures,
    oracle_beats_random,
    restart,
    gymnasium_env,
)


_ANY = (Exception, SystemExit)
"""Whatever a faulty game raises is the finding; Ctrl-C is not the game's."""


def _said(error: BaseException) -> str:
    """An exception in one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())


def check_game(game: str | Game, levels_of: tuple[str, ...] = ()) -> list[CheckResult]:
    """Check a game on its named levels.

    Args:
        game: a game, or the name of one.
        levels_of: names of levels; all of them by default.

    Returns:
        One finding a check and level. It raises nothing for a faulty game: an exception inside of
        it is a finding.
    """
    return list(iter_checks(game, levels_of))


def iter_checks(game: str | Game, levels_of: tuple[str, ...] = ()) -> Iterator[CheckResult]:
    """:func:`check_game`, one finding at a time."""
    game = get_game(game)
    try:
        names = tuple(game.LEVELS)
    except _ANY as error:
        yield CheckResult(
            "levels", "normal", False, f"LEVELS is no table of levels ({_said(error)})", "LEVELS"
        )
        return
    if "normal" not in names:
        yield CheckResult(
            "levels",
            "normal",
            False,
            "LEVELS has no level normal, the default everywhere",
            "LEVELS",
        )
    for name in levels_of or names:
        try:
            case = _case(game, name)
        except _ANY as error:
            yield CheckResult(
                "random play", str(name), False, _said(error), "reset(), legal() and step()"
            )
            continue
        for check in CHECKS:
            title = check.__name__.replace("_", " ")
            look_at = (check.__doc__ or "").strip()
            try:
                yield CheckResult(title, name, True, check(case), look_at)
            except _Failed as failed:
                yield CheckResult(title, name, False, str(failed), look_at)
            except _ANY as error:
                yield CheckResult(title, name, False, _said(error), look_at)
