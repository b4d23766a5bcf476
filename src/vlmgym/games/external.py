"""Any Gymnasium environment that renders RGB, as a game: pictures, text answers, forks, traces,
training.

Two ways to snapshot an environment are known here. Arcade (ALE) environments clone the emulator.
All others are replayed: the snapshot is the seed and the actions so far, which is exact where an
environment is a function of these; whether it is gets tested when the game is made (Breakout's when
its environment is), and an environment that is not is refused.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple, cast

import gymnasium
import numpy as np
from numpy.typing import NDArray

from vlmgym import core
from vlmgym.core import (
    ConfigError,
    Decoded,
    Outcome,
    Scene,
    State,
    StateError,
    draw_below,
    draw_unit,
    setting,
)

SNAPSHOT_BYTES = 24_576
"""Room for a serialised emulator."""
HISTORY = 4096
"""Most turns that a replayed environment can be taken back over."""
MOST_ACTIONS = 255
"""A turn of a replayed environment is kept as one byte."""
TRIAL = 24
"""Turns of the test whether an environment is a function of seed and actions."""
ARCADE = "ALE/"
"""How the ids of arcade games begin."""
TRIED = 3
"""Games of the test whether they are dealt side by side as they are alone."""


class SnapshotError(core.VlmGymError, ValueError):
    """An environment whose state cannot be kept and restored; the message says why."""


class OutsideError(core.VlmGymError, RuntimeError):
    """The environment raised, or gave what cannot be used; the message says what, the cause is
    chained.
    """


@dataclass(frozen=True)
class LevelOutside(core.Level):
    """Settings of a game made from an environment."""

    hold: int = setting(1, "steps of the environment that a turn holds its action for", 1, 1000)
    sticky: float = setting(
        0.0, "probability that a turn repeats the action of the last one instead", 0.0, 0.9
    )


@dataclass(frozen=True)
class LevelAtari(LevelOutside):
    """Settings of an arcade game; the fields after ``hold`` are those of the Arcade Learning
    Environment.
    """

    frameskip: int = setting(4, "frames of one step", 1, 60)
    noop_max: int = setting(
        30, "a fresh game begins after 0 to this many steps without an action, by its seed", 0, 1000
    )
    mode: int = setting(0, "game mode, see the environment's page", 0, 255)
    difficulty: int = setting(0, "difficulty switch, see the environment's page", 0, 3)


@dataclass(frozen=True, eq=False)
class StateOutside(State):
    """A state of an outside environment; ``board`` holds the snapshot, padded: emulator bytes, or
    actions + 1 in order.
    """

    used: NDArray[np.int64]  # (B,) bytes of the snapshot in use
    deal: NDArray[np.uint64]  # (B,) the seed that the environment was reset with
    last: NDArray[np.int64]  # (B,) the action that was played last, or -1
    frame: NDArray[np.uint8]  # (B, H, W, 3) what it rendered
    cut: NDArray[np.bool_]  # (B,) a time limit of the environment itself was reached

    @property
    def truncated(self) -> NDArray[np.bool_]:
        """``(B,)`` bool: the turn limit of the level or a time limit of the environment was
        reached, not an end by the rules.
        """
        return ~self.terminated & (self.cut | super().truncated)


def _key(level: core.Level) -> core.Level:
    """What of a level an environment depends on."""
    return level.override(max_steps=0, restart=False)


Make = Callable[[core.Level], "gymnasium.Env[Any, Any]"]
Value = Callable[["gymnasium.Env[Any, Any]"], float]


@contextmanager
def _asked(name: str, what: str) -> Iterator[None]:
    """What an environment raises, as one sentence that says where it came from."""
    try:
        yield
    except core.VlmGymError:
        raise
    except Exception as error:
        raise OutsideError(f"{name}: {what} raised {type(error).__name__}: {error}") from error


class _Played(NamedTuple):
    """What a turn of the environment did."""

    reward: float  # the sum over the steps of the turn
    ended: bool  # by the rules
    cut: bool  # by a time limit of the environment


class OutsideGame(core.Game):
    """A Gymnasium environment as a game. Made by :func:`from_gymnasium`.

    Luck inside of the environment is part of its snapshot: forks share it, and only the luck of
    ``sticky`` can be drawn anew.

    It has no symbols, so descriptions of its pictures are not scored and failures are not
    attributed to perception.
    """

    version = 2
    state_type = StateOutside
    screen = True

    def __init__(
        self,
        name: str,
        make: Make,
        actions: Mapping[str, int],
        rules: str,
        levels: Mapping[str, core.Level],
        value: Value | None,
        points: float,
        sources: Sequence[str],
    ) -> None:
        self.name, self.LEVELS, self.sources = name, MappingProxyType(dict(levels)), tuple(sources)  # type: ignore[misc]
        self.level_type = type(next(iter(levels.values())))  # type: ignore[misc]
        self.words, self.ids = tuple(actions), tuple(actions.values())
        self.text, self.value, self.points = rules, value, points
        self._make = make
        self._envs: dict[core.Level, gymnasium.Env[Any, Any]] = {}
        self._tips: dict[core.Level, tuple[int, bytes]] = {}
        self._shapes: dict[core.Level, tuple[int, ...]] = {}
        self._first: dict[core.Level, tuple[bytes, NDArray[np.uint8]]] = {}
        self._tried = False

    def identity(self) -> tuple[Any, ...]:
        """See :class:`vlmgym.core.Game`."""
        return *super().identity(), self.words, self.ids, self.text, self.points

    # ---- environment
    def env(self, level: core.Level) -> gymnasium.Env[Any, Any]:
        """The environment of a level, made when first needed; scratch, in no particular state.

        Raises:
            ConfigError: an action is not of its space, or it does not render RGB arrays.
        """
        plain = _key(level)
        if plain not in self._envs:
            with _asked(self.name, "making the environment"):
                env = self._make(level)
            for word, action in zip(self.words, self.ids, strict=True):
                if not env.action_space.contains(action) and not env.action_space.contains(
                    np.int64(action)
                ):
                    raise ConfigError(
                        f"actions[{word!r}]", action, f"an element of {env.action_space}"
                    )
            if env.render_mode != "rgb_array":
                raise ConfigError("render_mode", env.render_mode, "rgb_array")
            self._envs[plain] = env
            if not self._tried:
                self.check_snapshots(level)
        return self._envs[plain]

    def clones(self, level: core.Level) -> bool:
        """Whether the environment is an emulator that can be cloned (else it is replayed)."""
        return hasattr(self.env(level).unwrapped, "ale")

    def _frame(self, level: core.Level) -> NDArray[np.uint8]:
        """A copy of the picture: many environments return a buffer of their own, which they draw
        into again.
        """
        with _asked(self.name, "render()"):
            frame = self.env(level).render()
        if (
            not isinstance(frame, np.ndarray)
            or frame.ndim != 3
            or frame.shape[2] != 3
            or frame.dtype != np.uint8
        ):
            is_ = (
                f"array {frame.shape} of {frame.dtype}"
                if isinstance(frame, np.ndarray)
                else type(frame).__name__
            )
            raise ConfigError("render()", is_, "an array (H, W, 3) of uint8")
        first = self._shapes.setdefault(_key(level), frame.shape)
        if frame.shape != first:
            raise ConfigError(
                "render()",
                f"array {frame.shape}",
                f"one size for all pictures of a level; the first one was {first}",
            )
        return self._copied(frame)

    @staticmethod
    def _copied(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return np.array(frame, order="C")

    def _begin(self, level: core.Level, deal: int) -> None:
        with _asked(self.name, "reset()"):
            self.env(level).reset(seed=deal)
        self._tips[_key(level)] = (deal, b"")

    def _fresh_clone(self, level: core.Level, deal: int) -> tuple[bytes, NDArray[np.uint8]]:
        """Snapshot and picture of a fresh arcade game: the first frame is always the same, luck is
        in how long it waits there.
        """
        key = _key(level)
        if key not in self._first:
            self._begin(level, 0)
            self._first[key] = self._snapshot(level), self._frame(level)
        snapshot, frame = self._first[key]
        waits = (
            draw_below(np.uint64(deal), 0, 0, level.noop_max + 1)
            if isinstance(level, LevelAtari)
            else 0
        )
        if not waits:
            return snapshot, frame
        self._restore(level, deal, snapshot)
        with _asked(self.name, "step(0)"):
            for _ in range(waits):
                self.env(level).unwrapped.step(0)
        return self._snapshot(level), self._frame(level)

    def _restore(self, level: core.Level, deal: int, snapshot: bytes) -> None:
        """Bring the environment of a level into a state."""
        env, key = self.env(level), _key(level)
        if self.clones(level):
            from ale_py import ALEState

            try:
                env.unwrapped.ale.restoreState(ALEState(snapshot))  # type: ignore[attr-defined]
            # what the emulator throws at damaged snapshots
            except (RuntimeError, SystemError) as error:
                raise StateError(
                    f"a snapshot that the emulator of {self.name} cannot restore"
                ) from error
            return
        tip = self._tips.get(key)
        if tip == (deal, snapshot):
            return
        self._begin(level, deal)
        for code in snapshot:
            self._turn(level, code - 1)

    def _turn(self, level: core.Level, action: int) -> _Played:
        """Play a turn on the environment as it stands."""
        env, key = self.env(level), _key(level)
        target = env.unwrapped if self.clones(level) else env
        total, ended, cut = 0.0, False, False
        for _ in range(cast(LevelOutside, level).hold):
            with _asked(self.name, f"step({self.ids[action]})"):
                _, given, ended, cut, _ = target.step(self.ids[action])
                reward, ended, cut = float(given), bool(ended), bool(cut)
            if not math.isfinite(reward):
                raise OutsideError(
                    f"{self.name}: step({self.ids[action]}) gave the reward "
                    f"{reward}: allowed are finite numbers"
                )
            total += reward
            if ended or cut:
                break
        if not self.clones(level):
            deal, snapshot = self._tips[key]
            self._tips[key] = (deal, snapshot + bytes([action + 1]))
        return _Played(total, ended, cut and not ended)

    def _snapshot(self, level: core.Level) -> bytes:
        env = self.env(level)
        if self.clones(level):
            return bytes(env.unwrapped.ale.cloneState().serialize())  # type: ignore[attr-defined]
        return self._tips[_key(level)][1]

    def _pack(self, level: core.Level, snapshot: bytes) -> NDArray[np.uint8]:
        room = SNAPSHOT_BYTES if self.clones(level) else HISTORY
        if len(snapshot) > room:
            what = "bytes of an emulator" if self.clones(level) else "turns without a reset"
            raise StateError(f"{len(snapshot)} {what}: {self.name} can keep {room}")
        return np.frombuffer(snapshot.ljust(room, b"\0"), np.uint8)

    def _row(self, state: State, row: int) -> tuple[core.Level, int, bytes]:
        kept = cast(StateOutside, state)
        return state.level, int(kept.deal[row]), kept.board[row, 0, : kept.used[row]].tobytes()

    def check_snapshots(self, level: core.Level) -> None:
        """Try whether snapshots are exact, and whether games that are played side by side leave
        each other alone.

        Raises:
            SnapshotError: equal seeds and actions gave different pictures, rewards or ends.
            OutsideError: the environment raised.
        """
        self._tried = True

        def run(again: bool) -> list[tuple[bytes, _Played | None]]:
            self._begin(level, 12345)
            seen: list[tuple[bytes, _Played | None]] = [(self._frame(level).tobytes(), None)]
            for turn in range(TRIAL):
                if again and self.clones(level):
                    kept = self._snapshot(level)
                    self._turn(level, (turn + 1) % len(self.ids))
                    self._restore(level, 12345, kept)
                played = self._turn(level, (7 * turn + turn // 3) % len(self.ids))
                seen.append((self._frame(level).tobytes(), played))
                if played.ended or played.cut:
                    break
            return seen

        if run(False) != run(True):
            raise SnapshotError(
                f"{self.name}: no snapshot is possible: the environment is no emulator that can be "
                "cloned, and equal seeds and "
                "actions gave it different pictures or rewards, so that it cannot be replayed "
                "either"
            )
        seeds = np.arange(TRIED, dtype=np.uint64)
        fresh = self.reset(level, seeds)
        kept = fresh.to_bytes(self)
        after, _ = self.step(fresh, np.arange(TRIED) % len(self.ids))
        alone = [self.reset(level, seeds[row : row + 1]) for row in range(TRIED)]
        stepped = [
            self.step(one, np.array([row % len(self.ids)]))[0] for row, one in enumerate(alone)
        ]
        if (
            fresh.to_bytes(self) != kept
            or core.concat(alone) != fresh
            or core.concat(stepped) != after
        ):
            raise SnapshotError(
                f"{self.name}: no snapshot is possible: games side by side differ from the same "
                "games played alone"
            )

    # ---- game
    def verify(self, state: State) -> None:
        """See :class:`vlmgym.core.Game`; a snapshot must be one that can be restored."""
        super().verify(state)
        outside, actions = cast(StateOutside, state), len(self.words)
        for name, values, low, high in (
            ("used", outside.used, 0, outside.board.shape[2]),
            ("last", outside.last, core.NO_ACTION, actions - 1),
            ("deal", outside.deal, 0, (1 << 31) - 1),
        ):
            if len(values) and not low <= int(values.min()) <= int(values.max()) <= high:
                raise StateError(
                    f"{name} = {values.min()} to {values.max()}: allowed are {low} to {high}"
                )
        for row in range(len(state)):
            _, _, snapshot = self._row(state, row)
            if self.clones(state.level):
                self._restore(*self._row(state, row))
            elif snapshot and not 1 <= min(snapshot) <= max(snapshot) <= actions:
                raise StateError(
                    f"actions that {self.name} does not have: allowed are 1 to "
                    f"{actions} as they are kept"
                )

    def n_actions(self, level: core.Level) -> int:
        """One for each named action."""
        return len(self.words)

    def reset(self, level: core.Level, seeds: NDArray[np.uint64]) -> State:
        """Fresh games; the environment is reset with 31 bits of a hash of the seed."""
        seeds = np.ascontiguousarray(seeds, np.uint64)
        deals = core.mix_array(seeds) >> np.uint64(33)
        boards, used, frames = [], [], []
        for deal in deals.tolist():
            if self.clones(level):
                snapshot, frame = self._fresh_clone(level, deal)
            else:
                self._begin(level, deal)
                snapshot, frame = self._snapshot(level), self._frame(level)
            boards.append(self._pack(level, snapshot))
            used.append(len(snapshot))
            frames.append(frame)
        if not len(seeds):
            one = self.reset(level, np.zeros(1, np.uint64))
            return one[:0]
        board = np.stack(boards)[:, None, :]
        arrays = {
            "used": np.array(used, np.int64),
            "deal": deals,
            "last": np.full(len(seeds), core.NO_ACTION),
        }
        return self.start(
            level, board, seeds, **arrays, frame=np.stack(frames), cut=np.zeros(len(seeds), bool)
        )

    def legal(self, state: State) -> NDArray[np.bool_]:
        """All actions, until the game has ended."""
        return np.repeat(~state.ended[:, None], len(self.words), axis=1)

    def success(
        self, state: State, actions: NDArray[np.int64], outcome: Outcome
    ) -> NDArray[np.bool_]:
        """``(B,)``: with a ``value``, the actions that the oracle values most; else those with a
        gain.
        """
        if self.value is None:
            return outcome.gain > 0
        return (actions >= 0) & self.success_mask(state)[
            np.arange(len(state)), np.maximum(actions, 0)
        ]

    def success_mask(self, state: State) -> NDArray[np.bool_]:
        """``(B, A)``: see :meth:`success`; each action is tried on a fork."""
        if self.value is not None:
            value = np.nan_to_num(self.oracle(state), nan=-np.inf)
            return (value >= value.max(axis=1, keepdims=True) - 1e-9) & np.isfinite(value)
        gain = np.zeros((len(state), len(self.words)), np.int64)
        for row in np.flatnonzero(~state.ended).tolist():
            for action in range(len(self.words)):
                self._restore(*self._row(state, row))
                gain[row, action] = self._points(self._turn(state.level, action).reward)
        return gain > 0

    def _points(self, reward: float) -> int:
        points = reward * self.points
        if abs(points - round(points)) > 1e-6:
            raise ConfigError(
                "points",
                self.points,
                f"a factor that makes rewards whole numbers; a reward was {reward}",
            )
        return round(points)

    def _step(self, state: State, actions: NDArray[np.int64]) -> tuple[State, Outcome]:
        old, n = cast(StateOutside, state), len(state)
        board, used, frame, last = (
            old.board.copy(),
            old.used.copy(),
            old.frame.copy(),
            old.last.copy(),
        )
        sticky = cast(LevelOutside, state.level).sticky
        gain, changed = np.zeros(n, np.int64), np.zeros(n, bool)
        terminated, cut = state.terminated.copy(), old.cut.copy()
        for row in np.flatnonzero(~state.ended & (actions >= 0)).tolist():
            self._restore(*self._row(state, row))
            stuck = last[row] >= 0 and draw_unit(state.seed[row], state.steps[row] + 1, 0) < sticky
            last[row] = last[row] if stuck else actions[row]
            reward, terminated[row], cut[row] = self._turn(state.level, int(last[row]))
            gain[row], changed[row] = self._points(reward), True
            snapshot = self._snapshot(state.level)
            board[row, 0], used[row] = self._pack(state.level, snapshot), len(snapshot)
            frame[row] = self._frame(state.level)
        arrays = {
            "board": board,
            "used": used,
            "frame": frame,
            "last": last,
            "terminated": terminated,
            "cut": cut,
        }
        arrays |= {"score": state.score + gain, "steps": state.steps + ~state.ended}
        return state.with_arrays(arrays), Outcome(gain, changed, terminated)

    def scene(self, state: State) -> Scene:
        """The rendered frame; no symbols."""
        none = np.zeros((len(state), 0, 0), np.int16)
        return self.view(state, none, (), "picture", pixels=cast(StateOutside, state).frame)

    def from_symbols(self, level: core.Level, symbols: NDArray[np.int16]) -> State:
        """There are no symbols: fresh games of seed 0."""
        return self.reset(level, np.zeros(len(symbols), np.uint64))

    def would_succeed(
        self, level: core.Level, symbols: NDArray[np.int16], actions: NDArray[np.int64]
    ) -> NDArray[np.bool_]:
        """Never: nothing is described."""
        return np.zeros(len(symbols), bool)

    def oracle(self, state: State) -> NDArray[np.float64]:
        """Gain of the turn plus ``value`` after it, if the action is not replaced (``sticky``); all
        NaN without a ``value``.
        """
        out = np.full((len(state), len(self.words)), np.nan)
        if self.value is None:
            return out
        for row in np.flatnonzero(~state.ended).tolist():
            for action in range(len(self.words)):
                self._restore(*self._row(state, row))
                played = self._turn(state.level, action)
                with _asked(self.name, "value()"):
                    rest = 0.0 if played.ended else float(self.value(self.env(state.level)))
                out[row, action] = played.reward * self.points + rest
        return out

    def encode(self, level: core.Level, action: int) -> str:
        """The name of the action."""
        return self.words[action]

    def decode(self, level: core.Level, text: str) -> Decoded:
        """The name of an action, in any case."""
        word = " ".join(text.split()).lower()
        for action, name in enumerate(self.words):
            if word == name.lower():
                return Decoded(action)
        return Decoded(core.NO_ACTION, "not_a_move")

    def rules(self, level: core.Level) -> str:
        """As given."""
        return self.text

    def answer_format(self, level: core.Level) -> str:
        """The names of the actions."""
        return "one of: " + ", ".join(self.words)

    def explain(self, state: State, row: int, action: int) -> str:
        """Such as ``"right 4"``: the action and its gain in this turn."""
        self._restore(*self._row(state, row))
        return f"{self.words[action]} {self._points(self._turn(state.level, action).reward)}"

    def candidates(self, state: State, row: int) -> list[int]:
        """All actions."""
        return list(range(len(self.words)))


def from_gymnasium(
    env: str,
    actions: Mapping[str, int],
    rules: str,
    *,
    name: str = "",
    levels: Mapping[str, core.Level] | None = None,
    value: Value | None = None,
    points: float = 1.0,
    sources: Sequence[str] = (),
    **options: Any,
) -> OutsideGame:
    """A Gymnasium environment with discrete actions and an RGB picture as a game.

    ``get_game`` passes it through, so it goes wherever the name of a game goes in Python; to use it
    in commands, put it into a module and write ``--game module:variable``.

    Args:
        env: its id, such as ``"ALE/Breakout-v5"``.
        actions: what answers are called -> the environment's action.
        rules: for the prompt.
        name: of the game; by default the last part of ``env`` without its version.
        levels: by name; by default ``easy``, ``normal`` and ``hard`` with 50, 200 and 500 turns.
        value: how good the environment stands, in points; with it the game has an oracle (one turn
            ahead).
        points: factor from rewards to points; it must make all rewards whole numbers.
        sources: for the docs page.
        options: keyword arguments of ``gymnasium.make``.

    Raises:
        ConfigError: an argument is not what is allowed, an action is not of the environment's
            space, or it does not render RGB arrays of one size.
        OutsideError: the environment raised, or gave rewards that are no finite numbers; it can
            also come from later turns.
        SnapshotError: it can be neither cloned nor replayed exactly.
        MissingExtra: it is an arcade game and ale-py is not installed.
    """
    if not isinstance(env, str):
        raise ConfigError("env", env, "the id of an environment, such as 'ALE/Breakout-v5'")
    arcade = env.startswith(ARCADE)
    if arcade:
        core.need("atari", "ale_py")
    _check_actions(actions)
    if not isinstance(rules, str) or not rules.strip():
        raise ConfigError("rules", rules, "a text for the prompt")
    if (
        isinstance(points, bool)
        or not isinstance(points, (int, float))
        or not math.isfinite(points)
        or not points
    ):
        raise ConfigError("points", points, "a finite number other than 0")
    if value is not None and not callable(value):
        raise ConfigError("value", value, "a function of the environment that returns a number")
    if levels is None:
        kind = LevelAtari if arcade else LevelOutside
        levels = {
            "easy": kind(max_steps=50),
            "normal": kind(max_steps=200),
            "hard": kind(max_steps=500),
        }

    if (
        not levels
        or len({type(level) for level in levels.values()}) > 1
        or not isinstance(next(iter(levels.values())), LevelOutside)
    ):
        raise ConfigError(
            "levels", levels, "names with LevelOutside or LevelAtari values, all of one class"
        )

    name = name or env.rpartition("/")[2].rpartition("-v")[0] or env
    game = OutsideGame(name, _maker(env, options), actions, rules, levels, value, points, sources)
    game.check_snapshots(next(iter(levels.values())))
    return game


def _maker(env: str, options: Mapping[str, Any]) -> Make:
    """What makes the environment of a level: by its id, with these keyword arguments of
    ``gymnasium.make``.
    """

    def make(level: core.Level) -> gymnasium.Env[Any, Any]:
        given = dict(options)
        if env.startswith(ARCADE):
            _register_arcade()
        if isinstance(level, LevelAtari):
            given |= {field: getattr(level, field) for field in ("frameskip", "mode", "difficulty")}
            # the emulator forgets the last action when it is restored
            given["repeat_action_probability"] = 0.0
        return gymnasium.make(env, render_mode="rgb_array", **given)

    return make


def _check_actions(actions: Mapping[str, int]) -> None:
    """Answers must be told apart, and each mean something of its own."""
    if not isinstance(actions, Mapping) or not 0 < len(actions) <= MOST_ACTIONS:
        raise ConfigError("actions", actions, f"1 to {MOST_ACTIONS} names with an action each")
    seen: set[object] = set()
    for word, action in actions.items():
        plain = (
            isinstance(word, str)
            and word
            and word == " ".join(word.split())
            and not set(word) & set("<>;|")
        )
        if not plain:
            raise ConfigError(
                "actions", word, "names without line breaks, double blanks and the signs < > ; |"
            )
        if isinstance(action, bool) or not isinstance(action, (int, np.integer)):
            raise ConfigError(
                f"actions[{word!r}]", action, "a whole number, an action of a Discrete space"
            )
        if word.lower() in seen or int(action) in seen:
            raise ConfigError(
                f"actions[{word!r}]", action, "each name (in any case) and each action once"
            )
        seen |= {word.lower(), int(action)}


def _register_arcade() -> None:
    import ale_py

    ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)
    gymnasium.register_envs(ale_py)


# ---- Breakout
BALL_X, BALL_Y, PADDLE_X = 99, 101, 72
"""Addresses in the memory of Breakout (Anand et al. 2019, Unsupervised State Representation
Learning in Atari).
"""


def breakout_value(env: gymnasium.Env[Any, Any]) -> float:
    """Minus the distance of the paddle's centre from the ball, in screen widths; -2 while no ball
    is in play, -1 a lost ball.
    """
    ram = env.unwrapped.ale.getRAM()  # type: ignore[attr-defined]
    lost = env.unwrapped.ale.lives() - 5  # type: ignore[attr-defined]
    if ram[BALL_Y] == 0:
        return 3.0 * lost - 2.0
    return 3.0 * lost - abs(float(ram[BALL_X]) - float(ram[PADDLE_X]) - 8.0) / 160.0


def breakout() -> OutsideGame:
    """Breakout of the Arcade Learning Environment; its snapshots are tried when the environment is
    first made.
    """
    core.need("atari", "ale_py")
    return OutsideGame(
        "Breakout",
        _maker("ALE/Breakout-v5", {}),
        {"stay": 0, "serve": 1, "right": 2, "left": 3},
        "This is Breakout. The paddle at the bottom moves left and right and sends the ball back "
        "up; bricks that the ball hits "
        "vanish and score 1, 4 or 7 points, more in the upper rows. A ball that passes the paddle "
        "is lost; there are five. The "
        "answer serve brings a new ball when there is none. Each answer is held for a moment of "
        "play.",
        {
            "easy": LevelAtari(max_steps=100, frameskip=8),
            "normal": LevelAtari(max_steps=300, frameskip=4),
            "hard": LevelAtari(max_steps=300, frameskip=4, sticky=0.25, difficulty=1),
        },
        breakout_value,
        1.0,
        (
            "Atari, Breakout (1976, for the 2600: 1978), "
            "https://en.wikipedia.org/wiki/Breakout_(video_game)",
            "M. Bellemare et al., The Arcade Learning Environment (2013), "
            "https://doi.org/10.1613/jair.3912",
        ),
    )
