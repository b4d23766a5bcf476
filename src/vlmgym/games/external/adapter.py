"""A Gymnasium environment as a game: pictures, text answers, forks, traces, training."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from vlmgym.core import (
    NO_ACTION,
    ConfigError,
    Decoded,
    Game,
    Outcome,
    Scene,
    StateError,
    VlmGymError,
    concat,
    draw_unit,
    mix_array,
)
from vlmgym.games.external.environment import Environment, Environments, Make, Snapshot, asked
from vlmgym.games.external.levels import LevelOutside, StateOutside

TRIED = 3
"""Games of the test whether they are dealt side by side as they are alone."""
MOST_DEAL = (1 << 31) - 1
"""Environments are reset with 31 bits."""

Value = Callable[[Environment], float]


class SnapshotError(VlmGymError, ValueError):
    """An environment whose state cannot be kept and restored; the message says why."""


@dataclass(frozen=True)
class Adaptation:
    """What a game is made of, beside the environment itself."""

    name: str
    make: Make
    actions: Mapping[str, int]  # what answers are called -> the environment's action
    rules: str
    levels: Mapping[str, LevelOutside]
    value: Value | None = None  # how good the environment stands, in points
    points: float = 1.0  # factor from rewards to points
    sources: Sequence[str] = ()


class OutsideGame(Game[LevelOutside, StateOutside]):
    """A Gymnasium environment as a game. Made by :func:`from_gymnasium`.

    Luck inside of the environment is part of its snapshot: forks share it, and only the luck of
    ``sticky`` can be drawn anew.

    It has no symbols, so descriptions of its pictures are not scored and failures are not
    attributed to perception.
    """

    version = 2
    state_type = StateOutside
    screen = True

    def __init__(self, adaptation: Adaptation) -> None:
        levels = dict(adaptation.levels)
        self.name = adaptation.name  # type: ignore[misc]
        self.sources = tuple(adaptation.sources)  # type: ignore[misc]
        self.LEVELS = MappingProxyType(levels)
        self.level_type = type(next(iter(levels.values())))
        self.words = tuple(adaptation.actions)
        self.ids = tuple(adaptation.actions.values())
        self.text = adaptation.rules
        self.value = adaptation.value
        self.factor = adaptation.points
        self.environments = Environments(
            adaptation.name, adaptation.make, adaptation.actions, self.check_snapshots
        )

    @override
    def identity(self) -> tuple[Any, ...]:
        return *super().identity(), self.words, self.ids, self.text, self.factor

    # ---- environment
    def env(self, level: LevelOutside) -> Environment:
        """The environment of a level, made when first needed; scratch, in no particular state.

        Raises:
            ConfigError: an action is not of its space, or it does not render RGB arrays.
        """
        return self.environments.of(level)

    def clones(self, level: LevelOutside) -> bool:
        """Whether the environment is an emulator that can be cloned (else it is replayed)."""
        return self.environments.clones(level)

    def check_snapshots(self, level: LevelOutside) -> None:
        """Try whether snapshots are exact, and whether games that are played side by side leave
        each other alone.

        Raises:
            SnapshotError: equal seeds and actions gave different pictures, rewards or ends.
            OutsideError: the environment raised.
        """
        self.environments.tried = True
        if not self.environments.repeats_itself(level):
            raise SnapshotError(
                f"{self.name}: no snapshot is possible: the environment is no emulator that can be "
                "cloned, and equal seeds and actions gave it different pictures or rewards, so "
                "that it cannot be replayed either"
            )
        if not self._same_alone(level):
            raise SnapshotError(
                f"{self.name}: no snapshot is possible: games side by side differ from the same "
                "games played alone"
            )

    def _same_alone(self, level: LevelOutside) -> bool:
        """Whether games of a batch are what they are alone, before and after a turn."""
        seeds = np.arange(TRIED, dtype=np.uint64)
        actions = np.arange(TRIED) % len(self.ids)
        dealt = self.reset(level, seeds)
        before = dealt.to_bytes(self)
        after, _ = self.step(dealt, actions)
        alone = [self.reset(level, seeds[row : row + 1]) for row in range(TRIED)]
        stepped = [self.step(game, actions[row : row + 1])[0] for row, game in enumerate(alone)]
        return (
            dealt.to_bytes(self) == before and concat(alone) == dealt and concat(stepped) == after
        )

    @staticmethod
    def _kept(state: StateOutside, row: int) -> Snapshot:
        """Where the environment of a row stands."""
        data = state.board[row, 0, : state.used[row]].tobytes()
        return Snapshot(state.level, int(state.deal[row]), data)

    @override
    def verify(self, state: StateOutside) -> None:
        """A snapshot must be one that can be restored."""
        super().verify(state)
        actions = len(self.words)
        for name, values, low, high in (
            ("used", state.used, 0, state.board.shape[2]),
            ("last", state.last, NO_ACTION, actions - 1),
            ("deal", state.deal, 0, MOST_DEAL),
        ):
            if len(values) and not low <= int(values.min()) <= int(values.max()) <= high:
                raise StateError(
                    f"{name} = {values.min()} to {values.max()}: allowed are {low} to {high}"
                )
        for row in range(len(state)):
            snapshot = self._kept(state, row)
            if self.clones(state.level):
                self.environments.restore(snapshot)
            elif snapshot.data and not 1 <= min(snapshot.data) <= max(snapshot.data) <= actions:
                raise StateError(
                    f"actions that {self.name} does not have: allowed are 1 to "
                    f"{actions} as they are kept"
                )

    # ---- game
    @override
    def n_actions(self, level: LevelOutside) -> int:
        return len(self.words)

    @override
    def reset(self, level: LevelOutside, seeds: NDArray[np.uint64]) -> StateOutside:
        """Fresh games; the environment is reset with 31 bits of a hash of the seed."""
        seeds = np.ascontiguousarray(seeds, np.uint64)
        if not len(seeds):
            game = self.reset(level, np.zeros(1, np.uint64))
            return game[:0]
        deals = mix_array(seeds) >> np.uint64(33)
        boards = []
        used = []
        frames = []
        for deal in deals.tolist():
            snapshot, frame = self.environments.fresh(level, deal)
            boards.append(self.environments.pack(level, snapshot))
            used.append(len(snapshot))
            frames.append(frame)
        return self.start(
            level,
            np.stack(boards)[:, None, :],
            seeds,
            used=np.array(used, np.int64),
            deal=deals,
            last=np.full(len(seeds), NO_ACTION),
            frame=np.stack(frames),
            cut=np.zeros(len(seeds), bool),
        )

    @override
    def legal(self, state: StateOutside) -> NDArray[np.bool_]:
        """All actions, until the game has ended."""
        return np.repeat(~state.ended[:, None], len(self.words), axis=1)

    @override
    def success(
        self, state: StateOutside, actions: NDArray[np.int64], outcome: Outcome
    ) -> NDArray[np.bool_]:
        """``(B,)``: with a ``value``, the actions that the oracle values most; else those with a
        gain.
        """
        if self.value is None:
            return outcome.gain > 0
        rows = np.arange(len(state))
        return (actions >= 0) & self.success_mask(state)[rows, np.maximum(actions, 0)]

    @override
    def success_mask(self, state: StateOutside) -> NDArray[np.bool_]:
        """``(B, A)``: see :meth:`success`; each action is tried on a fork."""
        if self.value is not None:
            value = np.nan_to_num(self.oracle(state), nan=-np.inf)
            return (value >= value.max(axis=1, keepdims=True) - 1e-9) & np.isfinite(value)
        gain = np.zeros((len(state), len(self.words)), np.int64)
        for row in np.flatnonzero(~state.ended).tolist():
            for action in range(len(self.words)):
                gain[row, action] = self._gain(state, row, action)
        return gain > 0

    def _gain(self, state: StateOutside, row: int, action: int) -> int:
        """Points of an action, tried on a fork."""
        self.environments.restore(self._kept(state, row))
        return self._points(self.environments.turn(state.level, action).reward)

    def _points(self, reward: float) -> int:
        points = reward * self.factor
        if abs(points - round(points)) > 1e-6:
            allowed = f"a factor that makes rewards whole numbers; a reward was {reward}"
            raise ConfigError("points", self.factor, allowed)
        return round(points)

    @override
    def _step(
        self, state: StateOutside, actions: NDArray[np.int64]
    ) -> tuple[StateOutside, Outcome]:
        level = state.level
        names = ("board", "used", "frame", "last", "terminated", "cut")
        arrays = {name: getattr(state, name).copy() for name in names}
        gain = np.zeros(len(state), np.int64)
        changed = np.zeros(len(state), bool)
        for row in np.flatnonzero(~state.ended & (actions >= 0)).tolist():
            self.environments.restore(self._kept(state, row))
            luck = draw_unit(state.seed[row], state.steps[row] + 1, 0)
            stuck = state.last[row] >= 0 and luck < level.sticky
            action = int(state.last[row] if stuck else actions[row])
            played = self.environments.turn(level, action)
            gain[row] = self._points(played.reward)
            changed[row] = True
            snapshot = self.environments.snapshot(level)
            arrays["board"][row, 0] = self.environments.pack(level, snapshot)
            arrays["used"][row] = len(snapshot)
            arrays["frame"][row] = self.environments.frame(level)
            arrays["last"][row] = action
            arrays["terminated"][row] = played.ended
            arrays["cut"][row] = played.cut
        arrays["score"] = state.score + gain
        arrays["steps"] = state.steps + ~state.ended
        return state.with_arrays(arrays), Outcome(gain, changed, arrays["terminated"])

    @override
    def scene(self, state: StateOutside) -> Scene:
        """The rendered frame; no symbols."""
        none = np.zeros((len(state), 0, 0), np.int16)
        return self.view(state, none, (), "picture", pixels=state.frame)

    @override
    def from_symbols(self, level: LevelOutside, symbols: NDArray[np.int16]) -> StateOutside:
        """There are no symbols: fresh games of seed 0."""
        return self.reset(level, np.zeros(len(symbols), np.uint64))

    @override
    def would_succeed(
        self, level: LevelOutside, symbols: NDArray[np.int16], actions: NDArray[np.int64]
    ) -> NDArray[np.bool_]:
        """Never: nothing is described."""
        return np.zeros(len(symbols), bool)

    @override
    def oracle(self, state: StateOutside) -> NDArray[np.float64]:
        """Gain of the turn plus ``value`` after it, if the action is not replaced (``sticky``); all
        NaN without a ``value``.
        """
        values = np.full((len(state), len(self.words)), np.nan)
        if self.value is None:
            return values
        for row in np.flatnonzero(~state.ended).tolist():
            for action in range(len(self.words)):
                self.environments.restore(self._kept(state, row))
                played = self.environments.turn(state.level, action)
                with asked(self.name, "value()"):
                    value_after = 0.0 if played.ended else float(self.value(self.env(state.level)))
                values[row, action] = played.reward * self.factor + value_after
        return values

    @override
    def encode(self, level: LevelOutside, action: int) -> str:
        return self.words[action]

    @override
    def decode(self, level: LevelOutside, text: str) -> Decoded:
        """The name of an action, in any case."""
        word = " ".join(text.split()).lower()
        for action, name in enumerate(self.words):
            if word == name.lower():
                return Decoded(action)
        return Decoded(NO_ACTION, "not_a_move")

    @override
    def rules(self, level: LevelOutside) -> str:
        return self.text

    @override
    def answer_format(self, level: LevelOutside) -> str:
        return "one of: " + ", ".join(self.words)

    @override
    def explain(self, state: StateOutside, row: int, action: int) -> str:
        """Such as ``"right 4"``: the action and its gain in this turn."""
        return f"{self.words[action]} {self._gain(state, row, action)}"

    @override
    def candidates(self, state: StateOutside, row: int) -> list[int]:
        return list(range(len(self.words)))
