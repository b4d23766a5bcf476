"""Levels, and states: batches of games as values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from functools import lru_cache
from typing import Any, Generic, Self, get_args, get_origin, get_type_hints

import numpy as np
from numpy.typing import NDArray
from typing_extensions import TypeVar

from vlmgym.core.errors import ConfigError, RowError, StateError, VlmGymError, counted, one_line
from vlmgym.core.random import MOST_SEEDS, in_split_of, mix_array
from vlmgym.core.serial import Versioned, write_arrays
from vlmgym.core.settings import Settings, integers, setting, whole

PER_CELL, PER_GAME = {"axes": ("rows", "cols")}, {"axes": ()}
"""``field(metadata=...)`` of array fields of states: ``(B, rows, cols)`` as the level says, or
``(B,)``. Any field of a level may be named. Where a level has no such field, any length is allowed,
as for array fields without metadata.
"""


@dataclass(frozen=True)
class Level(Settings):
    """Base of the games' levels: the rule settings that change how hard it is to *decide*."""

    max_steps: int = setting(100, "turns until the episode is cut; 0 = no limit", 0, 1_000_000)
    restart: bool = setting(
        False, "a game that the rules end goes on at once with a fresh deal; the score counts on"
    )


@lru_cache(1024)
def _plan(
    state: Any, level: Any
) -> tuple[tuple[str, np.dtype[Any] | None, tuple[str, ...] | None], ...]:
    """What is known of the arrays of a class of states and one of levels: name, type, fields that
    say the lengths.
    """
    kinds, known = get_type_hints(state), {f.name for f in fields(level)}
    found = []
    for f in fields(state):
        if f.name != "level":
            kind = (
                get_args(get_args(kinds[f.name])[1])[0]
                if get_origin(kinds[f.name]) is np.ndarray
                else None
            )
            axes = f.metadata.get("axes")
            kept = axes if axes is not None and known.issuperset(axes) else None
            found.append((f.name, np.dtype(kind) if isinstance(kind, type) else None, kept))
    return tuple(found)


LevelOf = TypeVar("LevelOf", bound=Level, default=Level, covariant=True)
"""The class of levels that a class of states is of; any, where it is not said."""


@dataclass(frozen=True, repr=False)
class State(Generic[LevelOf]):
    """A batch of ``B`` games under one level; a value, never changed in place.

    Games subclass it (``@dataclass(frozen=True, eq=False)``) to document the encoding of ``board``
    and to add arrays. Every field but ``level`` is an array whose first axis is ``B``.

    Raises:
        StateError: an array is of another type than its field says, or of another size than the
            batch or the level have. (Rules are compiled without looking at sizes, so this is what
            keeps them inside of the arrays.)
    """

    level: LevelOf
    # (B, rows, cols) uint8, encoding stated by the game
    board: NDArray[np.uint8] = field(metadata=PER_CELL)
    # (B,) raw score so far (2048: sum of merges; Swap: points)
    score: NDArray[np.int64] = field(metadata=PER_GAME)
    # (B,) turns so far, turns without an action included
    steps: NDArray[np.int64] = field(metadata=PER_GAME)
    terminated: NDArray[np.bool_] = field(metadata=PER_GAME)  # (B,) the rules ended the game
    seed: NDArray[np.uint64] = field(metadata=PER_GAME)  # (B,) key of all future luck

    def __init_subclass__(cls) -> None:
        """Subclasses are shown as this class is, not as dataclasses are by default."""
        super().__init_subclass__()
        cls.__repr__ = cls.__repr__  # type: ignore[method-assign]

    def __post_init__(self) -> None:
        """Hold the arrays to the batch, to the level, and to what the class says of them."""
        level = self.level
        try:
            batch = self.steps.shape
            for name, kind, axes in _plan(type(self), type(level)):  # type: ignore[arg-type]
                array = getattr(self, name)
                shape = array.shape
                if array.dtype is not kind and kind is not None and array.dtype != kind:
                    raise StateError(f"{name} of type {array.dtype}: allowed is {kind}")
                if axes is not None:
                    if shape != (
                        batch + tuple([getattr(level, axis) for axis in axes]) if axes else batch
                    ):
                        allowed = ("B", *(str(getattr(level, axis)) for axis in axes))
                        raise StateError(
                            f"{name} of shape {shape}, in a batch of {batch}: allowed "
                            f"is ({', '.join(allowed)})"
                        )
                elif shape[:1] != batch:
                    raise StateError(
                        f"{name} of shape {shape}, in a batch of {batch}: allowed are "
                        "arrays of one length"
                    )
        except (AttributeError, TypeError) as error:
            raise StateError(
                f"{type(self).__name__}: allowed are a Level and arrays of NumPy ({error})"
            ) from error

    def __repr__(self) -> str:
        """One line: how many games, of which game and level, how far they are."""
        from vlmgym.games import game_of

        game, n = game_of(self), len(self)
        what = f"{game.name} {game.level_name(self.level)}" if game else repr(self.level)
        spans = (
            f", {name} {_span(values)}"
            for name, values in (("turn", self.steps), ("score", self.score))
            if n
        )
        over = f", {int(self.ended.sum())} over" if n else ""
        return f"<{type(self).__name__}: {counted(n, 'game')} of {what}{''.join(spans)}{over}>"

    def __str__(self) -> str:
        """The line of ``repr``; of a few games on small boards also what is to be seen of them, as
        text.
        """
        from vlmgym.games import game_of

        text, game = repr(self), game_of(self)
        if game is None or self.board.size > 1024:
            return text
        try:
            return "\n\n".join(filter(None, [text, *game.scene(self).texts()]))
        except (VlmGymError, IndexError):  # arrays that stand for nothing
            return text

    def _repr_png_(self) -> bytes | None:
        """The first few games as one picture, which notebooks show; None where they cannot be drawn
        (photographs, say).
        """
        from vlmgym.games import game_of
        from vlmgym.render.frames import png_of_some

        game = game_of(self)
        try:
            return png_of_some(game, self) if game and len(self) else None
        except VlmGymError:
            return None

    @property
    def truncated(self) -> NDArray[np.bool_]:
        """``(B,)`` bool: the turn limit was reached and the rules had not ended the game before."""
        limit = self.level.max_steps
        return ~self.terminated & (self.steps >= limit) if limit else np.zeros(len(self), bool)

    @property
    def ended(self) -> NDArray[np.bool_]:
        """``(B,)`` bool: no further turn is played."""
        return self.terminated | self.truncated

    def __len__(self) -> int:
        return len(self.steps)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The array fields by name."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name != "level"}

    def with_arrays(self, arrays: Mapping[str, Any]) -> Self:
        """A copy with some arrays replaced."""
        return replace(self, **arrays)

    def __getitem__(self, rows: Any) -> Self:
        """Some rows, by int (which keeps the batch axis, with ``B = 1``), slice, mask ``(B,)`` or
        index array ``(n,)``.

        Raises:
            RowError: there are no such rows, or it is none of these.
        """
        if not isinstance(rows, slice):
            rows = self._rows(rows)
        try:
            return self.with_arrays({k: np.array(v[rows]) for k, v in self.arrays().items()})
        except TypeError as error:  # a slice of other things than whole numbers
            raise RowError(f"rows {one_line(repr(rows), 200)}: {error}") from error

    def _rows(self, rows: Any) -> NDArray[Any]:
        """A row number, mask or index array as one that NumPy takes.

        Raises:
            RowError: it is none of this batch.
        """
        n = len(self)
        if (
            isinstance(rows, np.ndarray | list)
            and len(rows) == n
            and np.asarray(rows).dtype == bool
        ):
            found = np.asarray(rows)
        else:
            given = None if isinstance(rows, tuple) else integers(rows)
            if given is None or given.ndim > 1:
                allowed = (
                    f"allowed are a whole number, a slice, a mask ({n},) or an array (n,) of "
                    "whole numbers"
                )
                raise RowError(f"rows {one_line(repr(rows), 200)} of a batch of {n}: {allowed}")
            found = given.reshape(-1)
            if found.size and not -n <= int(found.min()) <= int(found.max()) < n:
                bad = found[(found < -n) | (found >= n)][0]
                raise RowError(f"row {bad} of a batch of {n}")
        if found.ndim != 1:
            raise RowError(f"a mask of shape {found.shape}: allowed is ({n},)")
        return found

    def repeat(self, n: int) -> Self:
        """Each row ``n`` times in a row: the fork.

        Shape ``(B * n, ...)``; equal answers will meet equal luck.

        Raises:
            ConfigError: ``n`` is no whole number, negative, or beyond :data:`MOST_SEEDS`.
        """
        n = whole("n", n, MOST_SEEDS)
        return self.with_arrays({k: np.repeat(v, n, axis=0) for k, v in self.arrays().items()})

    def reseed(self, salt: int | NDArray[np.int64] = 0) -> Self:
        """The same games with other future luck; the split of the seeds is kept.

        Args:
            salt: chooses the luck: one number, or one for each row (so
                ``state.repeat(n).reseed(np.arange(B * n))`` gives every fork its own). Equal
                rows with equal salts keep meeting equal luck.

        Raises:
            ConfigError: not whole numbers of 64 bits, or another number of them.
        """
        salts = integers(salt)
        if salts is None or salts.shape not in ((), (len(self),)):
            raise ConfigError(
                "salt", salt, f"a whole number of 64 bits, or an array ({len(self)},) of them"
            )
        salts = np.broadcast_to(salts, (len(self),)).astype(np.uint64)
        fresh = mix_array(self.seed ^ mix_array(salts ^ np.uint64(0x6C75636B)))
        return replace(self, seed=in_split_of(self.seed, fresh))

    def __eq__(self, other: object) -> bool:
        if type(self) is not type(other):
            return NotImplemented
        mine, theirs = self.arrays(), other.arrays()  # type: ignore[attr-defined]
        return self.level == other.level and all(np.array_equal(mine[k], theirs[k]) for k in mine)  # type: ignore[attr-defined]

    __hash__ = None  # type: ignore[assignment]

    def to_bytes(self, game: Versioned) -> bytes:
        """Serialise: magic, format number, JSON header (game, version, level, shapes),
        little-endian arrays, CRC-32.

        The arrays are packed where they are large.
        """
        return write_arrays(game, asdict(self.level), self.arrays())


def _span(values: NDArray[Any]) -> str:
    low, high = values.min(), values.max()
    return f"{low}" if low == high else f"{low} to {high}"


def concat(states: Sequence[State]) -> State:
    """Join batches of one game and level along the batch axis.

    Raises:
        StateError: there is none, or games or levels differ.
    """
    if not states:
        raise StateError("concat needs at least one state")
    first = states[0]
    for s in states[1:]:
        if type(s) is not type(first) or s.level != first.level:
            raise StateError(
                f"cannot join {type(s).__name__} {s.level} with "
                f"{type(first).__name__} {first.level}"
            )
    return first.with_arrays(
        {k: np.concatenate([getattr(s, k) for s in states]) for k in first.arrays()}
    )
