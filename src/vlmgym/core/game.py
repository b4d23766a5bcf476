"""The rules of a game, with all that follows from what its author writes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, fields, replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vlmgym.core.actions import Outcome, look_up, pick_rows
from vlmgym.core.arguments import action_ids, guard_methods, row_actions
from vlmgym.core.contract import Contract, L, S
from vlmgym.core.errors import ActionError, ConfigError, StateError, VlmGymError
from vlmgym.core.random import (
    LEGAL_STREAM,
    WORD,
    are_of,
    in_split_of,
    mix_array,
    seed_array,
)
from vlmgym.core.scene import KINDS, Scene
from vlmgym.core.serial import Form, read_arrays, read_header
from vlmgym.core.settings import name_of, read_dial, whole
from vlmgym.core.simulation import Policy, Simulation, simulate
from vlmgym.core.state import Level, State


class Game(Contract[L, S]):
    """The rules of one game: no pictures, no learning, no global state.

    All batched methods take a State of ``B`` rows.

    A game says what its levels and states are: ``class Chess(Game[LevelChess, StateChess])``, or
    ``Game[LevelChess, State[LevelChess]]`` where states need no further arrays.
    """

    def __init_subclass__(cls) -> None:
        """Methods that take a level take its name as well; all see that what they are given is of
        this game, or whole numbers.
        """
        super().__init_subclass__()
        guard_methods(cls)

    def level(self, name: str | L = "normal", **overrides: Any) -> L:
        """A named level (or a Level), with single fields overridden: by keywords, or in the name
        (``"hard:rows=8"``).

        Every method that takes a level takes what this takes.

        Raises:
            ConfigError: unknown name, unknown field, or a value out of range.
        """
        name = name_of(name)
        if isinstance(name, str):
            name, in_name = read_dial(name)
            overrides = in_name | overrides
            if name not in self.LEVELS:
                raise ConfigError(f"level of {self.name}", name, "one of " + ", ".join(self.LEVELS))
            name = self.LEVELS[name]
        if type(name) is not self.level_type:
            raise ConfigError(f"level of {self.name}", name, f"a {self.level_type.__name__}")
        return name.override(**overrides) if overrides else name

    def level_name(self, level: str | L, fields: Mapping[str, Any] | None = None) -> str:
        """A level as evaluations write it, ``name:field=value,...``, which their seeds depend on.

        Args:
            level: a name, or a Level: then that of the level it differs least from.
            fields: of the level that are set otherwise.
        """
        fields = fields or {}
        if isinstance(level, Level):
            level, fields = self._nearest_level({**asdict(level), **fields})
        if not fields:
            return level
        assignments = []
        for name, value in fields.items():
            text = value if isinstance(value, str) else json.dumps(value)
            assignments.append(f"{name}={text}")
        separator = "," if ":" in level else ":"
        return level + separator + ",".join(assignments)

    def _nearest_level(self, values: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
        """The name of the level that these values of fields differ least from, and those that
        differ.
        """
        differences: dict[str, Mapping[str, Any]] = {}
        for name, level in self.LEVELS.items():
            of_level = asdict(level)
            differences[name] = {
                field: value for field, value in values.items() if of_level[field] != value
            }
        differences.setdefault("normal", values)
        nearest = min(differences, key=lambda name: len(differences[name]))
        return nearest, differences[nearest]

    def identity(self) -> tuple[Any, ...]:
        """What two games have in common that stand for each other, though they were made apart."""
        game_class = type(self)
        # a game may lack any of them
        values = (repr(getattr(self, name, None)) for name in ("name", "version", "LEVELS"))
        return game_class.__module__, game_class.__qualname__, *values

    def belongs(self, state: S) -> None:
        """See that a state is one of this game.

        Raises:
            StateError: it is of another game, or no state.
        """
        if not isinstance(state, self.state_type) or not isinstance(state.level, self.level_type):
            received = f"a {type(state).__name__}"
            if isinstance(state, State):
                received += f" of {type(state.level).__name__}"
            allowed = f"a {self.state_type.__name__} of {self.level_type.__name__}"
            raise StateError(f"{received}: {self.name} allows {allowed}")

    def draw_legal(self, state: S, number: int = LEGAL_STREAM) -> NDArray[np.int64]:
        """A uniformly drawn legal action for each row, ``(B,)`` int64; :data:`NO_ACTION` where
        there is none.

        Args:
            state: ``B`` games.
            number: number of the draw (see :func:`draw64`), whose seed and turn are those of the
                row.

        Raises:
            ConfigError: ``number`` is no whole number of 63 bits.
        """
        self.belongs(state)
        number = whole("number", number, WORD >> 1)
        actions = np.empty(len(state), np.int64)
        pick_rows(self.legal(state), state.seed, state.steps, number, actions)
        return actions

    def branch(self, state: S, actions: NDArray[np.int64]) -> NDArray[np.float64]:
        """Rewards of several actions tried from each state: +1 where the move is good, else -1; no
        picture, no new states.

        Args:
            state: ``B`` games; left untouched.
            actions: ``(B, n)`` action ids, or :data:`NO_ACTION`.

        Returns:
            ``(B, n)`` float64. Equal actions of a row meet equal luck.

        Raises:
            ActionError: wrong shape, or an id outside the action space.
        """
        self.belongs(state)
        ids = action_ids(self, state.level, actions)
        if ids.ndim != 2 or len(ids) != len(state):
            raise ActionError(f"actions of shape {ids.shape}: allowed are ({len(state)}, n)")
        return np.where(self._try(state, ids), 1.0, -1.0)

    def simulate(
        self,
        state: S,
        actions: NDArray[np.int64],
        continuations: int = 32,
        horizon: int = 20,
        policy: str | Policy = "random",
        luck: str = "common",
        exact: bool = True,
    ) -> Simulation:
        """Expected points, and success, after each of several actions from each state; see
        :func:`vlmgym.core.simulation.simulate`.
        """
        return simulate(self, state, actions, continuations, horizon, policy, luck, exact)

    def _try(self, state: S, actions: NDArray[np.int64]) -> NDArray[np.bool_]:
        """``(B, n)``: which of the actions are good; games with many actions override it."""
        success = np.empty(actions.shape, bool)
        look_up(self.success_mask(state), actions, success)
        return success

    def step(self, state: S, actions: NDArray[np.int64]) -> tuple[S, Outcome]:
        """Play one turn in every row; ended rows pass through unchanged with gain 0.

        Args:
            state: ``B`` games; left untouched.
            actions: ``(B,)`` action ids, or :data:`NO_ACTION`.

        Raises:
            ActionError: wrong shape, or an id outside ``-1 .. A - 1``.
        """
        self.belongs(state)
        ids = row_actions(self, state.level, actions, len(state))
        after, outcome = self._step(state, ids)
        just_ended = after.terminated & ~state.terminated
        if not state.level.restart or not just_ended.any():
            return after, outcome
        after = self._deal_again(state, after, np.flatnonzero(just_ended))
        return after, replace(outcome, terminated=after.terminated)

    def _deal_again(self, before: S, after: S, rows: NDArray[np.int64]) -> S:
        """``after`` with fresh games in some rows, where the score and the turns count on."""
        turns = after.steps[rows].view(np.uint64)
        words = mix_array(mix_array(after.seed[rows]) ^ ~turns)
        seeds = in_split_of(after.seed[rows], words)
        dealt = self.reset(before.level, seeds).arrays()
        old_arrays = before.arrays()
        arrays = after.arrays()
        for name in arrays.keys() - {"score", "steps", "seed"}:
            # what a step leaves alone belongs to the state before it
            if arrays[name] is old_arrays[name]:
                arrays[name] = arrays[name].copy()
            arrays[name][rows] = dealt[name]
        return after.with_arrays(arrays)

    def described(self, level: L, symbols: NDArray[Any]) -> NDArray[Any]:
        """The symbols of a description, held to the scenes of a level; :meth:`from_symbols` and
        :meth:`would_succeed` get these.

        Raises:
            StateError: they are no whole numbers, of another shape than the level's scenes, or
                without a name.
        """
        sample = self.sample(level)
        size = sample.symbols.shape[1:]
        symbols = np.asarray(symbols)
        if symbols.dtype.kind not in "iu":
            raise StateError(f"symbols of type {symbols.dtype}: allowed are whole numbers")
        if symbols.shape[1:] != size or symbols.ndim != 3:
            allowed = ", ".join(map(str, ("B", *size)))
            raise StateError(f"symbols of shape {symbols.shape}: allowed is ({allowed})")
        replace(sample, symbols=symbols).check()
        return symbols

    def would_succeed(
        self, level: L, symbols: NDArray[np.int16], actions: NDArray[np.int64]
    ) -> NDArray[np.bool_]:
        """``(B,)``: whether the actions would be good on boards that look like ``symbols`` (a
        player's description).
        """
        state = self.from_symbols(level, symbols)
        _, outcome = self.step(state, actions)
        return self.success(state, actions, outcome)

    def view(
        self,
        state: S,
        symbols: NDArray[Any],
        names: tuple[str, ...],
        kind: str,
        variants: NDArray[np.int32] | None = None,
        pixels: NDArray[np.uint8] | None = None,
    ) -> Scene:
        """A Scene of these symbols (any integer type), with the score and the split of ``state``.

        Raises:
            ConfigError: there is no such kind.
        """
        if kind not in KINDS:
            field = f"kind of the scene of {type(self).__name__}"
            raise ConfigError(field, kind, "one of " + ", ".join(KINDS))
        test = are_of("test", state.seed)
        return Scene(symbols.astype(np.int16), names, kind, state.score, test, variants, pixels)

    def start(
        self,
        level: L,
        board: NDArray[np.uint8],
        seeds: NDArray[np.uint64] | None = None,
        **arrays: Any,
    ) -> S:
        """Games at turn 0 with score 0 on these boards, not ended; seeds 0 by default.

        Args:
            level: the level.
            board: ``(B, rows, cols)``.
            seeds: ``(B,)`` uint64.
            arrays: the arrays that ``state_type`` adds, and ``terminated`` where games start ended.

        Raises:
            StateError: an array is not of the type or size that the level asks for.
        """
        level = self.level(level)
        games = len(board)
        seeds = np.zeros(games, np.uint64) if seeds is None else seed_array(seeds)
        counters = {
            "score": np.zeros(games, np.int64),
            "steps": np.zeros(games, np.int64),
            "terminated": np.zeros(games, bool),
        }
        arrays = {"board": board, "seed": seeds, **counters, **arrays}
        needed = {declared.name for declared in fields(self.state_type)} - {"level"}
        if arrays.keys() != needed:
            received = ", ".join(sorted(arrays))
            raise StateError(f"arrays {received}: {self.name} needs {', '.join(sorted(needed))}")
        return self.state_type(level=level, **arrays)

    @lru_cache(256)  # noqa: B019 - games are few and live as long as the process
    def sample(self, level: L) -> Scene:
        """The scene of some board, dealt or :meth:`blank`: for its size, the names of the symbols
        and their kind.
        """
        level = self.level(level)
        state = self.blank(level)
        if state is None:
            state = self.reset(level, np.zeros(1, np.uint64))
        return self.scene(state)

    @lru_cache(256)  # noqa: B019 - games are few and live as long as the process
    def form(self, level: L) -> Form:
        """Name, type and shape behind the batch axis of each array of a state of this level, as
        :meth:`reset` makes them.
        """
        state = self.reset(level, np.zeros(1, np.uint64))
        arrays = state.arrays().items()
        return tuple((name, array.dtype, array.shape[1:]) for name, array in arrays)

    def __repr__(self) -> str:
        """Such as ``Game 2048 (version 1)``."""
        return f"Game {self.name} (version {self.version})"

    def from_bytes(self, data: bytes) -> S:
        """Read back what :meth:`State.to_bytes` wrote, by this version or an earlier one.

        Everything is held to this game and to the level before it is used: names, types, shapes,
        the size of packed arrays before they are unpacked, the checksum, and the values
        (:meth:`verify`). So bytes of any origin can be read.

        Raises:
            StateError: other game, other rules version, or damaged bytes.
        """
        header, body_start, body_end = read_header(data)
        if header.game != self.name or header.version != self.version:
            received = f"a state of {header.game} version {header.version}"
            raise StateError(f"{received}: this is {self.name} version {self.version}")
        try:
            level = self.level(self.level_type.parse(header.level))
            form = self.form(level)
        except (VlmGymError, TypeError) as error:
            raise StateError(f"damaged state: {error}") from error
        arrays = read_arrays(data, header, slice(body_start, body_end), form)
        state = self.state_type(level=level, **arrays)
        self.verify(state)
        return state
