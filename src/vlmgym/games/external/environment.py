"""The environments behind a game: playing turns on them, keeping and restoring their states.

Two ways to snapshot an environment are known here. Arcade (ALE) environments clone the emulator.
All others are replayed: the snapshot is the seed and the actions so far, which is exact where an
environment is a function of these.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, NamedTuple

import gymnasium
import numpy as np
from numpy.typing import NDArray

from vlmgym.core import ConfigError, StateError, VlmGymError, draw_below
from vlmgym.games.external.levels import LevelAtari, LevelOutside

SNAPSHOT_BYTES = 24_576
"""Room for a serialised emulator."""
HISTORY = 4096
"""Most turns that a replayed environment can be taken back over."""
TRIAL = 24
"""Turns of the test whether an environment is a function of seed and actions."""
TRIAL_SEED = 12345

Environment = gymnasium.Env[Any, Any]
Make = Callable[[LevelOutside], Environment]


class OutsideError(VlmGymError, RuntimeError):
    """The environment raised, or gave what cannot be used; the message says what, the cause is
    chained.
    """


@contextmanager
def asked(name: str, call: str) -> Iterator[None]:
    """What an environment raises, as one sentence that says where it came from."""
    try:
        yield
    except VlmGymError:
        raise
    except Exception as error:
        raise OutsideError(f"{name}: {call} raised {type(error).__name__}: {error}") from error


class Played(NamedTuple):
    """What a turn of the environment did."""

    reward: float  # the sum over the steps of the turn
    ended: bool  # by the rules
    cut: bool  # by a time limit of the environment


class Snapshot(NamedTuple):
    """Where an environment stands: a level, the seed of its reset, and the emulator's bytes, or
    actions + 1 in order.
    """

    level: LevelOutside
    deal: int
    data: bytes


def copied(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A picture of its own: many environments return a buffer, which they draw into again."""
    return np.array(frame, order="C")


@lru_cache(256)
def _key(level: LevelOutside) -> LevelOutside:
    """What of a level an environment depends on."""
    return level.override(max_steps=0, restart=False)


class Environments:
    """The environments of one game, one for each level; scratch, in no particular state.

    Args:
        name: of the game, for messages.
        make: makes the environment of a level.
        actions: what answers are called -> the environment's action.
        try_out: called with the level of the first environment that is made.
    """

    def __init__(
        self,
        name: str,
        make: Make,
        actions: Mapping[str, int],
        try_out: Callable[[LevelOutside], None],
    ) -> None:
        self.name = name
        self.make = make
        self.actions = dict(actions)
        self.ids = tuple(actions.values())
        self.tried = False
        self._try_out = try_out
        self._made: dict[LevelOutside, Environment] = {}
        self._tips: dict[LevelOutside, tuple[int, bytes]] = {}
        self._shapes: dict[LevelOutside, tuple[int, ...]] = {}
        self._first: dict[LevelOutside, tuple[bytes, NDArray[np.uint8]]] = {}

    def of(self, level: LevelOutside) -> Environment:
        """The environment of a level, made when first needed.

        Raises:
            ConfigError: an action is not of its space, or it does not render RGB arrays.
        """
        key = _key(level)
        if key not in self._made:
            with asked(self.name, "making the environment"):
                environment = self.make(level)
            self._check(environment)
            self._made[key] = environment
            if not self.tried:
                self.tried = True
                self._try_out(level)
        return self._made[key]

    def _check(self, environment: Environment) -> None:
        space = environment.action_space
        for word, action in self.actions.items():
            if not space.contains(action) and not space.contains(np.int64(action)):
                raise ConfigError(f"actions[{word!r}]", action, f"an element of {space}")
        if environment.render_mode != "rgb_array":
            raise ConfigError("render_mode", environment.render_mode, "rgb_array")

    def clones(self, level: LevelOutside) -> bool:
        """Whether the environment is an emulator that can be cloned (else it is replayed)."""
        return hasattr(self.of(level).unwrapped, "ale")

    def frame(self, level: LevelOutside) -> NDArray[np.uint8]:
        """A copy of the picture.

        Raises:
            ConfigError: it is no RGB array, or of another size than the first one of the level.
        """
        with asked(self.name, "render()"):
            frame: Any = self.of(level).render()
        if not isinstance(frame, np.ndarray):
            kind = type(frame).__name__
            raise ConfigError("render()", kind, "an array (H, W, 3) of uint8")
        if frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8:
            kind = f"array {frame.shape} of {frame.dtype}"
            raise ConfigError("render()", kind, "an array (H, W, 3) of uint8")
        first = self._shapes.setdefault(_key(level), frame.shape)
        if frame.shape != first:
            allowed = f"one size for all pictures of a level; the first one was {first}"
            raise ConfigError("render()", f"array {frame.shape}", allowed)
        return copied(frame)

    def begin(self, level: LevelOutside, deal: int) -> None:
        """Reset the environment of a level."""
        with asked(self.name, "reset()"):
            self.of(level).reset(seed=deal)
        self._tips[_key(level)] = (deal, b"")

    def fresh(self, level: LevelOutside, deal: int) -> tuple[bytes, NDArray[np.uint8]]:
        """Snapshot and picture of a fresh game."""
        if self.clones(level):
            return self._fresh_clone(level, deal)
        self.begin(level, deal)
        return self.snapshot(level), self.frame(level)

    def _fresh_clone(self, level: LevelOutside, deal: int) -> tuple[bytes, NDArray[np.uint8]]:
        """The first frame of an arcade game is always the same, luck is in how long it waits
        there.
        """
        key = _key(level)
        if key not in self._first:
            self.begin(level, 0)
            self._first[key] = self.snapshot(level), self.frame(level)
        snapshot, frame = self._first[key]
        idle_steps = 0
        if isinstance(level, LevelAtari):
            idle_steps = draw_below(np.uint64(deal), 0, 0, level.noop_max + 1)
        if not idle_steps:
            return snapshot, frame
        self.restore(Snapshot(level, deal, snapshot))
        with asked(self.name, "step(0)"):
            for _ in range(idle_steps):
                self.of(level).unwrapped.step(0)
        return self.snapshot(level), self.frame(level)

    def restore(self, kept: Snapshot) -> None:
        """Bring the environment of a level into a state.

        Raises:
            StateError: the emulator refuses the snapshot.
        """
        level, deal, data = kept
        if self.clones(level):
            self._restore_emulator(level, data)
            return
        if self._tips.get(_key(level)) == (deal, data):
            return
        self.begin(level, deal)
        for code in data:
            self.turn(level, code - 1)

    def _restore_emulator(self, level: LevelOutside, data: bytes) -> None:
        from ale_py import ALEState

        emulator = self.of(level).unwrapped.ale  # type: ignore[attr-defined]
        try:
            emulator.restoreState(ALEState(data))
        # what the emulator throws at damaged snapshots
        except (RuntimeError, SystemError) as error:
            raise StateError(
                f"a snapshot that the emulator of {self.name} cannot restore"
            ) from error

    def turn(self, level: LevelOutside, action: int) -> Played:
        """Play a turn on the environment as it stands.

        Raises:
            OutsideError: it raised, or gave a reward that is no finite number.
        """
        environment = self.of(level)
        clones = self.clones(level)
        target = environment.unwrapped if clones else environment
        call = f"step({self.ids[action]})"
        total = 0.0
        ended = False
        cut = False
        for _ in range(level.hold):
            with asked(self.name, call):
                _, raw_reward, step_ended, step_cut, _ = target.step(self.ids[action])
                reward = float(raw_reward)
                ended = bool(step_ended)
                cut = bool(step_cut)
            if not math.isfinite(reward):
                raise OutsideError(
                    f"{self.name}: {call} gave the reward {reward}: allowed are finite numbers"
                )
            total += reward
            if ended or cut:
                break
        if not clones:
            deal, data = self._tips[_key(level)]
            self._tips[_key(level)] = (deal, data + bytes([action + 1]))
        return Played(total, ended, cut and not ended)

    def snapshot(self, level: LevelOutside) -> bytes:
        """Where the environment of a level stands."""
        if self.clones(level):
            emulator = self.of(level).unwrapped.ale  # type: ignore[attr-defined]
            return bytes(emulator.cloneState().serialize())
        return self._tips[_key(level)][1]

    def pack(self, level: LevelOutside, data: bytes) -> NDArray[np.uint8]:
        """A snapshot, padded to the size of all snapshots of the level.

        Raises:
            StateError: it is larger.
        """
        emulated = self.clones(level)
        capacity = SNAPSHOT_BYTES if emulated else HISTORY
        if len(data) > capacity:
            unit = "bytes of an emulator" if emulated else "turns without a reset"
            raise StateError(f"{len(data)} {unit}: {self.name} can keep {capacity}")
        return np.frombuffer(data.ljust(capacity, b"\0"), np.uint8)

    def repeats_itself(self, level: LevelOutside) -> bool:
        """Whether equal seeds and actions give the same pictures, rewards and ends, and going back
        changes none of them.
        """
        straight = self._run(level, go_back=False)
        return straight == self._run(level, go_back=self.clones(level))

    def _run(self, level: LevelOutside, go_back: bool) -> list[tuple[bytes, Played | None]]:
        self.begin(level, TRIAL_SEED)
        record: list[tuple[bytes, Played | None]] = [(self.frame(level).tobytes(), None)]
        for turn in range(TRIAL):
            if go_back:
                snapshot = Snapshot(level, TRIAL_SEED, self.snapshot(level))
                self.turn(level, (turn + 1) % len(self.ids))
                self.restore(snapshot)
            played = self.turn(level, (7 * turn + turn // 3) % len(self.ids))
            record.append((self.frame(level).tobytes(), played))
            if played.ended or played.cut:
                break
        return record
