"""Levels, and states: batches of games as values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from functools import lru_cache
from typing import Any, Generic, NamedTuple, Self, get_args, get_origin, get_type_hints

import numpy as np
from numpy.typing import NDArray
from typing_extensions import TypeVar

from vlmgym.core.errors import ConfigError, RowError, StateError, VlmGymError, counted, one_line
from vlmgym.core.random import LUCK_SALT, MOST_SEEDS, in_split_of, mix_array
from vlmgym.core.serial import Versioned, write_arrays
from vlmgym.core.settings import Settings, integers, setting, whole

PER_CELL = {"axes": ("rows", "cols")}
"""``field(metadata=...)`` of array fields of states: ``(B, rows, cols)`` as the level says.

Any field of a level may be named. Where a level has no such field, any length is allowed, as for
array fields without metadata.
"""
PER_GAME: dict[str, tuple[str, ...]] = {"axes": ()}
"""The same of fields ``(B,)``."""


@dataclass(frozen=True)
class Level(Settings):
    """Base of the games' levels: the rule settings that change how hard it is to *decide*."""

    max_steps: int = setting(100, "turns until the episode is cut; 0 = no limit", 0, 1_000_000)
    restart: bool = setting(
        False, "a game that the rules end goes on at once with a fresh deal; the score counts on"
    )


class _Array(NamedTuple):
    """What is known of an array of a class of states: None where it may be anything."""

    name: str
    kind: np.dtype[Any] | None
    axes: tuple[str, ...] | None  # the fields of the level that say its lengths


@lru_cache(1024)
def _arrays_of(state: Any, level: Any) -> tuple[_Array, ...]:
    """The arrays of a class of states under a class of levels."""
    annotations = get_type_hints(state)
    level_fields = {declared.name for declared in fields(level)}
    arrays = []
    for declared in fields(state):
        if declared.name == "level":
            continue
        axes = declared.metadata.get("axes")
        if axes is not None and not level_fields.issuperset(axes):
            axes = None
        arrays.append(_Array(declared.name, _element_type(annotations[declared.name]), axes))
    return tuple(arrays)


def _element_type(annotation: Any) -> np.dtype[Any] | None:
    """The type of the elements that ``NDArray[...]`` names; None of any other hint."""
    if get_origin(annotation) is not np.ndarray:
        return None
    element = get_args(get_args(annotation)[1])[0]
    return np.dtype(element) if isinstance(element, type) else None


def _shape_error(
    array: _Array, shape: tuple[int, ...], batch: tuple[int, ...], level: Any
) -> StateError:
    if array.axes is None:
        allowed = "allowed are arrays of one length"
    else:
        lengths = ("B", *(str(getattr(level, axis)) for axis in array.axes))
        allowed = f"allowed is ({', '.join(lengths)})"
    return StateError(f"{array.name} of shape {shape}, in a batch of {batch}: {allowed}")


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
            for declared in _arrays_of(type(self), type(level)):  # type: ignore[arg-type]
                name, dtype, axes = declared
                array = getattr(self, name)
                shape = array.shape
                if array.dtype is not dtype and dtype is not None and array.dtype != dtype:
                    raise StateError(f"{name} of type {array.dtype}: allowed is {dtype}")
                if axes is None:
                    fits = shape[:1] == batch
                elif axes:
                    fits = shape == batch + tuple([getattr(level, axis) for axis in axes])
                else:
                    fits = shape == batch
                if not fits:
                    raise _shape_error(declared, shape, batch, level)
        except (AttributeError, TypeError) as error:
            raise StateError(
                f"{type(self).__name__}: allowed are a Level and arrays of NumPy ({error})"
            ) from error

    def __repr__(self) -> str:
        """One line: how many games, of which game and level, how far they are."""
        from vlmgym.games import game_of

        game = game_of(self)
        game_name = f"{game.name} {game.level_name(self.level)}" if game else repr(self.level)
        facts = [f"{counted(len(self), 'game')} of {game_name}"]
        if len(self):
            facts.append(f"turn {_span(self.steps)}")
            facts.append(f"score {_span(self.score)}")
            facts.append(f"{int(self.ended.sum())} over")
        return f"<{type(self).__name__}: {', '.join(facts)}>"

    def __str__(self) -> str:
        """The line of ``repr``; of a few games on small boards also what is to be seen of them, as
        text.
        """
        from vlmgym.games import game_of

        text = repr(self)
        game = game_of(self)
        if game is None or self.board.size > 1024:
            return text
        try:
            boards = game.scene(self).texts()
            return "\n\n".join(filter(None, [text, *boards]))
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
            if game and len(self):
                return png_of_some(game, self)
        except VlmGymError:
            pass
        return None

    @property
    def truncated(self) -> NDArray[np.bool_]:
        """``(B,)`` bool: the turn limit was reached and the rules had not ended the game before."""
        limit = self.level.max_steps
        if not limit:
            return np.zeros(len(self), bool)
        return ~self.terminated & (self.steps >= limit)

    @property
    def ended(self) -> NDArray[np.bool_]:
        """``(B,)`` bool: no further turn is played."""
        return self.terminated | self.truncated

    def __len__(self) -> int:
        return len(self.steps)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The array fields by name."""
        names = (declared.name for declared in fields(self))
        return {name: getattr(self, name) for name in names if name != "level"}

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
            selected = {name: np.array(array[rows]) for name, array in self.arrays().items()}
            return self.with_arrays(selected)
        except TypeError as error:  # a slice of other things than whole numbers
            raise RowError(f"rows {one_line(repr(rows), 200)}: {error}") from error

    def _rows(self, rows: Any) -> NDArray[Any]:
        """A row number, mask or index array as one that NumPy takes.

        Raises:
            RowError: it is none of this batch.
        """
        batch = len(self)
        if isinstance(rows, np.ndarray | list) and len(rows) == batch:
            mask = np.asarray(rows)
            if mask.dtype == bool:
                if mask.ndim != 1:
                    raise RowError(f"a mask of shape {mask.shape}: allowed is ({batch},)")
                return mask
        numbers = None if isinstance(rows, tuple) else integers(rows)
        if numbers is None or numbers.ndim > 1:
            received = f"rows {one_line(repr(rows), 200)} of a batch of {batch}"
            allowed = (
                f"a whole number, a slice, a mask ({batch},) or an array (n,) of whole numbers"
            )
            raise RowError(f"{received}: allowed are {allowed}")
        numbers = numbers.reshape(-1)
        if numbers.size and not -batch <= int(numbers.min()) <= int(numbers.max()) < batch:
            wrong = numbers[(numbers < -batch) | (numbers >= batch)][0]
            raise RowError(f"row {wrong} of a batch of {batch}")
        return numbers

    def row_bytes(self, without: Sequence[str] = ()) -> NDArray[np.uint8]:
        """``(B, n)``: all that is known of each row as bytes, so that rows are equal where these
        are.

        Args:
            without: names of arrays that do not count.
        """
        flat = [
            np.ascontiguousarray(array).view(np.uint8).reshape(len(self), -1)
            for name, array in self.arrays().items()
            if name not in without and array.size
        ]
        return np.concatenate(flat, axis=1) if flat else np.zeros((len(self), 0), np.uint8)

    def repeat(self, n: int) -> Self:
        """Each row ``n`` times in a row: the fork.

        Shape ``(B * n, ...)``; equal answers will meet equal luck.

        Raises:
            ConfigError: ``n`` is no whole number, negative, or beyond :data:`MOST_SEEDS`.
        """
        n = whole("n", n, MOST_SEEDS)
        arrays = self.arrays().items()
        return self.with_arrays({name: np.repeat(array, n, axis=0) for name, array in arrays})

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
            allowed = f"a whole number of 64 bits, or an array ({len(self)},) of them"
            raise ConfigError("salt", salt, allowed)
        salts = np.broadcast_to(salts, (len(self),)).astype(np.uint64)
        words = mix_array(self.seed ^ mix_array(salts ^ np.uint64(LUCK_SALT)))
        return replace(self, seed=in_split_of(self.seed, words))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, State) or type(self) is not type(other):
            return NotImplemented
        if self.level != other.level:
            return False
        theirs = other.arrays()
        return all(np.array_equal(array, theirs[name]) for name, array in self.arrays().items())

    __hash__ = None  # type: ignore[assignment]

    def to_bytes(self, game: Versioned) -> bytes:
        """Serialise: magic, format number, JSON header (game, version, level, shapes),
        little-endian arrays, CRC-32.

        The arrays are packed where they are large.
        """
        return write_arrays(game, asdict(self.level), self.arrays())


def _span(values: NDArray[Any]) -> str:
    low = values.min()
    high = values.max()
    return f"{low}" if low == high else f"{low} to {high}"


def concat(states: Sequence[State]) -> State:
    """Join batches of one game and level along the batch axis.

    Raises:
        StateError: there is none, or games or levels differ.
    """
    if not states:
        raise StateError("concat needs at least one state")
    first = states[0]
    for other in states[1:]:
        if type(other) is not type(first) or other.level != first.level:
            expected = f"{type(first).__name__} {first.level}"
            raise StateError(f"cannot join {type(other).__name__} {other.level} with {expected}")
    joined = {
        name: np.concatenate([getattr(state, name) for state in states]) for name in first.arrays()
    }
    return first.with_arrays(joined)
