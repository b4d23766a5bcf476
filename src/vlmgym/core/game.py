"""What every game shares: values (State, Scene, Outcome), configs, keyed randomness and errors.

A game is a set of pure functions over values. A :class:`State` holds everything that can change the
future of a game, its randomness included, so that keeping the value is a snapshot and repeating it
is a fork.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import math
import operator
import re
import struct
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from functools import lru_cache, wraps
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar, Generic, Self, SupportsInt, get_args, get_origin, get_type_hints

import numpy as np
from llvmlite import ir
from numba import types
from numpy.typing import NDArray
from typing_extensions import TypeVar

from vlmgym.core.errors import ConfigError as ConfigError
from vlmgym.core.errors import VlmGymError as VlmGymError
from vlmgym.core.errors import counted as counted
from vlmgym.core.errors import one_line as one_line
from vlmgym.core.kernels import instructions, kernel

NO_ACTION = -1
"""The action id of a turn without an action: the board stays, the turn counts."""


# ---- errors
class StateError(VlmGymError, ValueError):
    """Bytes or arrays that are not a state of this game."""


class ActionError(VlmGymError, ValueError):
    """Action ids outside the action space of the game."""


class RowError(VlmGymError, IndexError):
    """Rows that a batch does not have."""


class MissingExtra(VlmGymError, ImportError):
    """A part needs packages that are not installed; the message holds the install line."""


def need(extra: str, *modules: str) -> None:
    """Check that the packages of an extra are there.

    Raises:
        MissingExtra: with the exact install line.
    """
    missing = [m for m in modules if importlib.util.find_spec(m) is None]
    if missing:
        raise MissingExtra(f"{', '.join(missing)} not installed: this needs  {install_line(extra)}")


def install_line(extra: str) -> str:
    """The command that installs an extra, as this package itself was installed: from a checkout, or
    as a release.
    """
    checkout = Path(__file__).parents[3]
    if (checkout / "pyproject.toml").is_file() and Path(__file__).parents[2].name == "src":
        return f"pip install --editable '{checkout}[{extra}]'"
    return f"pip install 'vlmgym[{extra}]'"


# ---- config
def setting(
    default: Any,
    doc: str,
    low: float | None = None,
    high: float | None = None,
    choices: Sequence[Any] = (),
) -> Any:
    """A dataclass field with its documentation and its allowed values (``low <= value <= high``, or
    ``choices``).
    """
    return field(
        default=default, metadata={"doc": doc, "low": low, "high": high, "choices": tuple(choices)}
    )


_WHOLE_FLOATS = 1 << 53
"""Whole numbers up to here are floats without loss."""


@dataclass(frozen=True)
class Settings:
    """Base of the frozen setting classes (levels, looks); every field is checked against its stated
    range.

    Raises:
        ConfigError: a field has the wrong type or lies outside its range.
    """

    def __post_init__(self) -> None:
        for f in (one for one in fields(self) if one.init):
            value, meta, default = getattr(self, f.name), f.metadata, f.default
            low, high, choices = meta.get("low"), meta.get("high"), meta.get("choices")
            label = f"{type(self).__name__}.{f.name}"
            if choices:
                if not any(type(value) is type(one) and value == one for one in choices):
                    raise ConfigError(label, value, "one of " + ", ".join(map(str, choices)))
                continue
            kind = type(default)
            if kind is float and type(value) is int and abs(value) <= _WHOLE_FLOATS:
                value = float(value)
                object.__setattr__(self, f.name, value)
            if kind in (int, float, bool, str) and type(value) is not kind:
                raise ConfigError(label, value, f"of type {kind.__name__}")
            if kind is float and not math.isfinite(value):
                raise ConfigError(label, value, "a finite number")
            if low is not None and high is not None and not low <= value <= high:
                raise ConfigError(label, value, f"{low} to {high}")

    @classmethod
    def parse(cls, values: Mapping[str, Any]) -> Self:
        """Build from a mapping (a recipe, a header).

        Raises:
            ConfigError: it is no mapping, a key is not a field of this class, or a value is not
                allowed.
        """
        if not isinstance(values, Mapping):
            raise ConfigError(cls.__name__, values, "a mapping of settings")
        known = [f.name for f in fields(cls) if f.init]
        for key in values:
            if key not in known:
                raise ConfigError(
                    f"{cls.__name__}.{key}", values[key], "one of the fields " + ", ".join(known)
                )
        return cls(**values)

    def override(self, **values: Any) -> Self:
        """A copy with some fields changed; unknown fields and bad values raise
        :class:`ConfigError`.
        """
        return type(self).parse({**asdict(self), **values})


_FIELD = re.compile(r",(?=[A-Za-z_]+=)")


def read_dial(text: str) -> tuple[str, dict[str, Any]]:
    """A preset with single fields changed, as text: ``"hard"``, or ``"hard:noise=0.1,grid=true"``.

    Values are read as JSON where they can be, else as strings; a comma belongs to the value unless
    a ``field=`` follows.

    Raises:
        ConfigError: it is no text, something after the colon has no ``=``, or a field is there
            twice.
    """
    if not isinstance(text, str):
        raise ConfigError("preset", text, "text: name, or name:field=value,field=value")
    name, colon, rest = text.partition(":")
    values: dict[str, Any] = {}
    for item in _FIELD.split(rest) if colon else ():
        key, equals, value = item.partition("=")
        if not equals:
            raise ConfigError("preset", text, "name:field=value,field=value")
        if (key := key.strip()) in values:
            raise ConfigError(f"preset {text!r}: {key}", value, "each field once")
        try:
            values[key] = json.loads(value)
        except (ValueError, RecursionError):
            values[key] = value
    return name, values


def name_of(value: Any) -> Any:
    """A name as it was meant: YAML and shells' front ends read ``2048`` as a number, which is the
    name of a game.
    """
    return str(value) if type(value) is int and abs(value) < 1 << 64 else value


@dataclass(frozen=True)
class Level(Settings):
    """Base of the games' levels: the rule settings that change how hard it is to *decide*."""

    max_steps: int = setting(100, "turns until the episode is cut; 0 = no limit", 0, 1_000_000)
    restart: bool = setting(
        False, "a game that the rules end goes on at once with a fresh deal; the score counts on"
    )


# ---- randomness
# Each function is there twice: in Python, and as the instructions that kernels take in.
_GOLDEN = 0x9E3779B97F4A7C15
_SCATTER = ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB))
_WORD = (1 << 64) - 1
_UNIT = 1.0 / (1 << 53)


def _word(value: int) -> Any:
    return ir.Constant(ir.IntType(64), value)


def mix64(x: SupportsInt) -> int:
    """The finaliser of SplitMix64 (Steele, Lea, Flood 2014): a bijection of 64-bit words that
    scatters every bit.
    """
    word = (int(x) + _GOLDEN) & _WORD
    for shift, factor in _SCATTER:
        word = ((word ^ (word >> shift)) * factor) & _WORD
    return word ^ (word >> 31)


@instructions(mix64, types.uint64, types.uint64)
def _mix64(builder: Any, x: Any) -> Any:
    word = builder.add(x, _word(_GOLDEN))
    for shift, factor in _SCATTER:
        word = builder.mul(builder.xor(word, builder.lshr(word, _word(shift))), _word(factor))
    return builder.xor(word, builder.lshr(word, _word(31)))


def draw64(seed: SupportsInt, step: SupportsInt, number: SupportsInt) -> int:
    """The ``number``-th 64-bit draw of turn ``step`` under ``seed``; a pure function, so any order
    gives the same luck.
    """
    return mix64(mix64(mix64(seed) ^ int(step) & _WORD) ^ int(number) & _WORD)


@instructions(draw64, types.uint64, types.uint64, types.uint64, types.uint64)
def _draw64(builder: Any, seed: Any, step: Any, number: Any) -> Any:
    return _mix64(
        builder, builder.xor(_mix64(builder, builder.xor(_mix64(builder, seed), step)), number)
    )


def share(bits: SupportsInt, bound: SupportsInt) -> int:
    """32 random bits as a number 0 ..

    ``bound`` - 1; bias below 2**-32 times ``bound`` by the multiply-shift of Lemire (2019).
    """
    return (int(bits) * int(bound) & _WORD) >> 32


@instructions(share, types.int64, types.uint64, types.uint64)
def _share(builder: Any, bits: Any, bound: Any) -> Any:
    return builder.lshr(builder.mul(bits, bound), _word(32))


def draw_below(
    seed: SupportsInt, step: SupportsInt, number: SupportsInt, bound: SupportsInt
) -> int:
    """A draw from 0 .. ``bound`` - 1 (``bound`` < 2**31)."""
    return share(draw64(seed, step, number) >> 32, bound)


@instructions(draw_below, types.int64, types.uint64, types.uint64, types.uint64, types.uint64)
def _draw_below(builder: Any, seed: Any, step: Any, number: Any, bound: Any) -> Any:
    return _share(builder, builder.lshr(_draw64(builder, seed, step, number), _word(32)), bound)


def draw_unit(seed: SupportsInt, step: SupportsInt, number: SupportsInt) -> float:
    """A draw from [0, 1) with 53 random bits."""
    return (draw64(seed, step, number) >> 11) * _UNIT


@instructions(draw_unit, types.float64, types.uint64, types.uint64, types.uint64)
def _draw_unit(builder: Any, seed: Any, step: Any, number: Any) -> Any:
    bits = builder.lshr(_draw64(builder, seed, step, number), _word(11))
    return builder.fmul(builder.uitofp(bits, ir.DoubleType()), ir.Constant(ir.DoubleType(), _UNIT))


@kernel
def draw_rows(seeds, step, number, bounds):
    """One draw below ``bounds[b]`` for each seed, shape ``(B,)`` int64; -1 where the bound is 0."""
    out = np.empty(len(seeds), np.int64)
    for b in range(len(seeds)):
        out[b] = draw_below(seeds[b], step, number, bounds[b]) if bounds[b] > 0 else -1
    return out


@kernel
def _pick_rows(legal, seeds, steps, number, out):
    """The index of a uniformly drawn True of each row, -1 where there is none."""
    for b in range(len(legal)):
        count = 0
        for a in range(legal.shape[1]):
            count += legal[b, a]
        out[b] = -1
        k = draw_below(seeds[b], steps[b], number, count)
        for a in range(legal.shape[1] if count else 0):
            if legal[b, a]:
                if k == 0:
                    out[b] = a
                    break
                k -= 1


@kernel
def best_rows(value, least, tie, out):
    """Mark the largest entries of each row, up to ``tie`` less, among those above ``least``; NaN
    never counts.
    """
    for b in range(len(value)):
        best = -np.inf
        for a in range(value.shape[1]):
            best = max(best, value[b, a]) if value[b, a] > least else best
        for a in range(value.shape[1]):
            out[b, a] = value[b, a] > least and value[b, a] >= best - tie


def best_action(values: NDArray[np.float64]) -> int:
    """The first of the actions with the largest value.

    Args:
        values: ``(A,)`` of :meth:`Game.oracle` for one game; NaN where an action is not legal.

    Returns:
        Its id; :data:`NO_ACTION` where none is legal.
    """
    return NO_ACTION if np.isnan(values).all() else int(np.nanargmax(values))


def pick_legal(
    legal: NDArray[np.bool_], seeds: NDArray[np.uint64], turn: int, stream: int
) -> NDArray[np.int64]:
    """One legal action a row by keyed draws, whatever the game's own :meth:`Game.draw_legal` does.

    Args:
        legal: ``(B, A)``.
        seeds: ``(B,)``.
        turn: number of the turn that the draw is keyed by.
        stream: number of its first draw.

    Returns:
        ``(B,)`` ids; :data:`NO_ACTION` where none is legal.
    """
    order = np.cumsum(legal, axis=1)
    pick = draw_rows(seeds, turn, stream, order[:, -1])
    return np.where(pick < 0, NO_ACTION, np.argmax(order > pick[:, None], axis=1)).astype(np.int64)


@kernel
def _look_up(table, actions, out):
    for b in range(len(actions)):
        for k in range(actions.shape[1]):
            out[b, k] = actions[b, k] >= 0 and table[b, actions[b, k]]


# Numbers of the first draws of a turn, far apart: those of the rules begin at 0.
PHOTO_STREAM = 1 << 32  # which photographs are on the tiles of a board
LEGAL_STREAM = 1 << 40  # Game.draw_legal
CHECK_STREAM = 1 << 41  # legal actions that vlmgym check plays
EPISODE_STREAM = 1 << 42  # any actions that vlmgym check plays
GALLERY_STREAM = 1 << 43  # the positions of the gallery

MOST_SEEDS = 100_000_000
"""Seeds that can be asked for at once (800 MB)."""

SPLITS = ("train", "test", "pretrain", "free")
"""Names of the disjoint quarters of the seed space; the two top bits of a seed say which one it is
in.
"""


def seeds_for(split: str, game: str, level: str, count: int, start: int = 0) -> NDArray[np.uint64]:
    """Seeds ``start`` .. ``start + count - 1`` of a split, shape ``(count,)`` uint64.

    The split sits in the two top bits, so splits cannot overlap; the other 62 bits hash (game,
    level, index).

    Raises:
        ConfigError: ``split`` is not one of :data:`SPLITS`, a name is none, or ``count`` or
            ``start`` is no whole number in its range.
    """
    if not isinstance(split, str) or split not in SPLITS:
        raise ConfigError("split", split, "one of " + ", ".join(SPLITS))
    for what, name in (("game", game), ("level", level)):
        if not isinstance(name_of(name), str):
            raise ConfigError(what, name, "a name")
    count, start = whole("count", count, MOST_SEEDS), whole("start", start, 1 << 62)
    stem = hashlib.blake2b(f"{game}/{level}".encode(), digest_size=8).digest()
    base = np.uint64(int.from_bytes(stem, "little"))
    index = np.arange(start, start + count, dtype=np.uint64)
    low = mix_array(base ^ mix_array(index)) & np.uint64((1 << 62) - 1)
    return low | np.uint64(SPLITS.index(split) << 62)


def split_of(seed: int) -> str:
    """The split that a seed belongs to.

    Raises:
        ConfigError: it is no whole number of 64 bits.
    """
    return SPLITS[whole("seed", seed, _WORD) >> 62]


def whole(name: str, value: Any, high: int, low: int = 0) -> int:
    """A whole number ``low`` .. ``high`` of any integer type, truth values not counted.

    Raises:
        ConfigError: it is none.
    """
    try:
        number = low - 1 if isinstance(value, bool) else operator.index(value)
    except TypeError:
        number = low - 1
    if not low <= number <= high:
        raise ConfigError(name, value, f"a whole number {low} to {high}")
    return number


def _holds_truth(values: Any) -> bool:
    """Whether a truth value is among these, which NumPy would make a number of."""
    rows = isinstance(values, list | tuple)
    return any(map(_holds_truth, values)) if rows else isinstance(values, bool | np.bool_)


def _integers(values: Any) -> NDArray[Any] | None:
    """A list or array of integers as an array; None for anything else, such as truth values,
    fractions, texts, ragged rows.
    """
    if not isinstance(values, np.ndarray):
        if _holds_truth(values):
            return None
        try:
            values = np.asarray(values)
        except (ValueError, TypeError, OverflowError, RuntimeError):
            return None
        if values.shape == (0,):
            return values.astype(np.int64)
    return values if values.dtype.kind in "iu" else None


def seed_array(seeds: Any) -> NDArray[np.uint64]:
    """Seeds as ``(B,)`` uint64.

    Raises:
        ConfigError: they are no list and no array of one axis, or not all of them are whole numbers
            of 64 bits.
    """
    if isinstance(seeds, list | tuple):  # NumPy makes floats of [1, 2**63]
        return np.array(
            [whole(f"seeds[{row}]", seed, _WORD) for row, seed in enumerate(seeds)], np.uint64
        )
    found = _integers(seeds)
    if found is None or found.ndim != 1:
        raise ConfigError("seeds", seeds, f"a list or an array (B,) of whole numbers 0 to {_WORD}")
    if found.dtype.kind == "i" and found.min(initial=0) < 0:
        raise ConfigError(
            f"seeds[{int(found.argmin())}]", int(found.min()), f"a whole number 0 to {_WORD}"
        )
    return np.ascontiguousarray(found, np.uint64)


def _in_split_of(seeds: NDArray[np.uint64], words: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """``words`` as seeds of the splits that ``seeds`` are of."""
    return (words & np.uint64((1 << 62) - 1)) | (seeds & np.uint64(3 << 62))


def mix_array(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """:func:`mix64` of each word of an array."""
    # a row at least: NumPy warns where single numbers wrap around
    words = np.array(x, np.uint64).reshape(-1)
    words += np.uint64(_GOLDEN)
    for shift, factor in _SCATTER:
        words ^= words >> np.uint64(shift)
        words *= np.uint64(factor)
    words ^= words >> np.uint64(31)
    return words.reshape(np.shape(x))


# ---- values
_MAGIC = b"VLMG"
_FORMAT = 2
"""Format of serialised states: 1 = magic, header, arrays; 2 = the same and a CRC-32 of all that."""
HEADER_BYTES = 1 << 16
"""Most bytes of the header of a serialised state."""
PACK_FROM, PACK_TO = 1 << 15, 1 << 28
"""Bytes of arrays from which on they are packed (zlib), as outside games keep whole pictures in
their states, and up to which.
"""


PER_CELL, PER_GAME = {"axes": ("rows", "cols")}, {"axes": ()}
"""``field(metadata=...)`` of array fields of states: ``(B, rows, cols)`` as the level says, or
``(B,)``. Any field of a level may be named. Where a level has no such field, any length is allowed,
as for array fields without metadata.
"""


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
            given = None if isinstance(rows, tuple) else _integers(rows)
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
        salts = _integers(salt)
        if salts is None or salts.shape not in ((), (len(self),)):
            raise ConfigError(
                "salt", salt, f"a whole number of 64 bits, or an array ({len(self)},) of them"
            )
        salts = np.broadcast_to(salts, (len(self),)).astype(np.uint64)
        fresh = mix_array(self.seed ^ mix_array(salts ^ np.uint64(0x6C75636B)))
        return replace(self, seed=_in_split_of(self.seed, fresh))

    def __eq__(self, other: object) -> bool:
        if type(self) is not type(other):
            return NotImplemented
        mine, theirs = self.arrays(), other.arrays()  # type: ignore[attr-defined]
        return self.level == other.level and all(np.array_equal(mine[k], theirs[k]) for k in mine)  # type: ignore[attr-defined]

    __hash__ = None  # type: ignore[assignment]

    def to_bytes(self, game: Game) -> bytes:
        """Serialise: magic, format number, JSON header (game, version, level, shapes),
        little-endian arrays, CRC-32.

        The arrays are packed where they are large.
        """
        arrays = self.arrays()
        header = {
            "game": game.name,
            "version": game.version,
            "level": asdict(self.level),
            "arrays": [
                [k, v.dtype.newbyteorder("<").str, list(v.shape)] for k, v in arrays.items()
            ],
        }
        body = b"".join(
            np.ascontiguousarray(v, v.dtype.newbyteorder("<")).tobytes() for v in arrays.values()
        )
        if PACK_FROM <= len(body) <= PACK_TO:
            header["packed"], body = len(body), zlib.compress(body, 1)
        head = json.dumps(header, separators=(",", ":")).encode()
        data = _MAGIC + struct.pack("<HI", _FORMAT, len(head)) + head + body
        return data + struct.pack("<I", zlib.crc32(data))


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


@dataclass(frozen=True)
class Header:
    """What serialised state bytes say of themselves, well formed but not held to any game yet."""

    game: str
    version: int
    level: dict[str, Any]
    arrays: str  # JSON text of [[name, type, shape], ...]
    rows: int  # B
    packed: int | None  # bytes of the arrays, where they are packed


def read_header(data: bytes) -> tuple[Header, int, int]:
    """The header of serialised state bytes, and where the arrays begin and end.

    Raises:
        StateError: not such bytes, damaged ones, or written by a later format.
    """
    if len(data) < 10 or data[:4] != _MAGIC:
        raise StateError("not a serialised vlmgym state (wrong first bytes)")
    form, size = struct.unpack("<HI", data[4:10])
    if form not in (1, _FORMAT):
        raise StateError(f"state format {form}: this version reads formats 1 and {_FORMAT}")
    if size > HEADER_BYTES:
        raise StateError(f"damaged state: a header of {size} bytes, allowed are {HEADER_BYTES}")
    end = len(data) if form == 1 else len(data) - 4
    if 10 + size > end:
        raise StateError("damaged state: the header is cut off")
    header = _parse_header(bytes(data[10 : 10 + size]))
    return header, 10 + size, end


@lru_cache(256)
def _parse_header(head: bytes) -> Header:
    """The states of a trace have the same few headers."""
    try:
        found = json.loads(head.decode("utf-8"))
        game, version, level, arrays = (
            found.pop(key) for key in ("game", "version", "level", "arrays")
        )
        packed = found.pop("packed", None)
        rows = arrays[0][2][0]
        well = (
            type(game) is str
            and type(version) is int
            and type(level) is dict
            and type(rows) is int
            and 0 <= rows < 1 << 48
        )
        if not well or type(packed) not in (int, type(None)) or found:
            raise StateError(
                "damaged state header: allowed are game, version, level, arrays and "
                "packed, of their types"
            )
        return Header(game, version, level, json.dumps(arrays), rows, packed)
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        raise StateError(f"damaged state header: {type(error).__name__}: {error}") from error


@dataclass(frozen=True)
class Outcome:
    """What one turn did, per row."""

    # (B,) raw score gained; > 0 means that the move did something (the paper's +1)
    gain: NDArray[np.int64]
    changed: NDArray[np.bool_]  # (B,) the board changed
    terminated: NDArray[np.bool_]  # (B,) the rules have ended the game (now or before)


DEAD = -1000.0
"""The oracle's value of a move after which a puzzle cannot be solved any more."""

KINDS = ("number", "shape", "letter", "photo", "sprite", "text", "picture")
"""What symbols can be: numbers; ``colour shape``; ``colour letter``; picture classes; things such
as ``wall`` and ``player``; any short words, which are drawn as written; or no symbols but a
finished picture.
"""


@lru_cache(256)
def _letters(names: tuple[str, ...]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Names as UTF-8 in one array, and where each begins and the last one ends."""
    words = [name.encode() for name in names]
    return np.frombuffer(b"".join(words), np.uint8), np.cumsum([0, *map(len, words)])


@kernel
def _spell(symbols, letters, edges, out, ends):
    """Write names, ``|`` after each cell, a line break after the last of a line; ``ends[b]`` is
    where row ``b`` ends.
    """
    at, cols = 0, symbols.shape[2]
    for b in range(symbols.shape[0]):
        for r in range(symbols.shape[1]):
            for c in range(cols):
                symbol = symbols[b, r, c]
                for k in range(edges[symbol], edges[symbol + 1]):
                    out[at] = letters[k]
                    at += 1
                out[at] = 124 if c < cols - 1 else 10
                at += 1
        ends[b] = at


@dataclass(frozen=True)
class Scene:
    """What is to be seen: symbols on a grid. The only source of pixels and of the truth text.

    A game without a grid (an outside environment that renders itself) has symbols of shape ``(B, 0,
    0)``, no names, the kind ``"picture"``, and its ``pixels``; it has no truth text, so
    descriptions of it are not scored.
    """

    symbols: NDArray[np.int16]  # (B, rows, cols), indices into names
    # the text of each symbol, e.g. "0", "2", "4" or "red circle"; index 0 is the empty cell
    names: tuple[str, ...]
    kind: str  # one of KINDS: which skins can draw it
    score: NDArray[np.int64]  # (B,) for looks with a score strip; no part of the truth text
    # (B,) the game belongs to the test split: photographs of the test part are shown
    test: NDArray[np.bool_]
    # (B, rows, cols) which photograph of its class a cell shows; see render
    variants: NDArray[np.int32] | None = None
    pixels: NDArray[np.uint8] | None = None  # (B, H, W, 3), kind "picture" only

    def check(self) -> None:
        """See that every symbol has a name.

        Raises:
            StateError: one has none.
        """
        if self.symbols.size and not 0 <= self.symbols.min() <= self.symbols.max() < len(
            self.names
        ):
            raise StateError(
                f"symbols {self.symbols.min()} to {self.symbols.max()}: allowed are 0 "
                f"to {len(self.names) - 1}"
            )

    def texts(self) -> list[str]:
        """The truth text of each row: board rows on lines, cells joined by ``|``; empty for a
        finished picture.
        """
        self.check()
        letters, edges = _letters(self.names)
        ends = np.empty(len(self.symbols), np.int64)
        room = np.empty(self.symbols.size * (int(np.diff(edges).max(initial=0)) + 1), np.uint8)
        _spell(self.symbols, letters, edges, room, ends)
        whole, starts = room.tobytes(), [0, *ends.tolist()]
        return [whole[a : b - 1].decode() if b > a else "" for a, b in pairwise(starts)]


@dataclass(frozen=True)
class Decoded:
    """An answer read: an action id, or no action and the reason."""

    action: int  # id, or NO_ACTION
    problem: str = ""  # "" if there is an action; else "not_a_move", "out_of_range", "not_adjacent"


# ---- game
_TAKE_LEVEL = {"n_actions", "reset", "encode", "decode", "rules", "answer_format"}
_TAKE_SEEDS, _TAKE_ACTION, _TAKE_ROW, _TAKE_TEXT = (
    {"reset"},
    {"encode"},
    {"explain", "candidates", "reasoning"},
    {"decode"},
)
_TAKE_NUMBER = {"draw_legal"}
_TAKE_SYMBOLS = {"from_symbols", "would_succeed"}
_TAKE_STATE = {
    "legal",
    "success_mask",
    "draw_legal",
    "branch",
    "_step",
    "success",
    "scene",
    "oracle",
    "explain",
    "candidates",
}
_TAKE_STATE |= {"reasoning", "view"}


def _takes_level(method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method)
    def takes(self: Game, level: Any, *rest: Any, **named: Any) -> Any:
        return method(
            self, level if type(level) is self.level_type else self.level(level), *rest, **named
        )

    return takes


def _takes_seeds(method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method)
    def takes(self: Game, level: Any, seeds: Any, *rest: Any, **named: Any) -> Any:
        return method(self, level, seed_array(seeds), *rest, **named)

    return takes


def _takes_action(method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method)
    def takes(self: Game, level: Any, action: Any, *rest: Any, **named: Any) -> Any:
        return method(self, level, self._action(self.level(level), action), *rest, **named)

    return takes


def _takes_number(method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method)
    def takes(self: Game, state: State, number: Any = LEGAL_STREAM) -> Any:
        return method(
            self,
            state,
            number
            if type(number) is int and 0 <= number < 1 << 63
            else whole("number", number, _WORD >> 1),
        )

    return takes


def _takes_text(method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method)
    def takes(self: Game, level: Any, text: Any, *rest: Any, **named: Any) -> Any:
        if not isinstance(text, str):
            raise ConfigError("text", text, "the text of an answer")
        return method(self, level, text, *rest, **named)

    return takes


def _takes_row(method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method)
    def takes(self: Game, state: State, row: Any, *rest: Any, **named: Any) -> Any:
        self.belongs(state)
        if type(row) is not int or not -len(state) <= row < len(state):
            row = whole("row", row, len(state) - 1, -len(state))
        if method.__name__ == "explain":
            if "action" in named:
                named["action"] = self._action(state.level, named["action"])
            else:
                rest = (self._action(state.level, rest[0]), *rest[1:]) if rest else rest
        return method(self, state, row, *rest, **named)

    return takes


def _takes_symbols(method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method)
    def takes(self: Game, level: Any, symbols: Any, *rest: Any, **named: Any) -> Any:
        level = self.level(level)
        symbols = self.described(level, symbols)
        if method.__name__ == "would_succeed" and rest:
            rest = (self._row_actions(level, rest[0], len(symbols)), *rest[1:])
        return method(self, level, symbols, *rest, **named)

    return takes


def _takes_state(method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method)
    def takes(self: Game, state: Any, *rest: Any, **named: Any) -> Any:
        if type(state) is not self.state_type or type(state.level) is not self.level_type:
            self.belongs(state)
        if method.__name__ == "success" and rest:
            rest = (self._row_actions(state.level, rest[0], len(state)), *rest[1:])
        return method(self, state, *rest, **named)

    return takes


L = TypeVar("L", bound=Level, default=Any)
"""The class of levels of a game."""
S = TypeVar("S", bound=State[Any], default=Any)
"""The class of states of a game."""


class Game(ABC, Generic[L, S]):
    """The rules of one game: no pictures, no learning, no global state.

    All batched methods take a State of ``B`` rows.

    A game says what its levels and states are: ``class Chess(Game[LevelChess, StateChess])``, or
    ``Game[LevelChess, State[LevelChess]]`` where states need no further arrays.
    """

    name: ClassVar[str]
    """Identifier used in commands and traces, e.g. ``"2048"``."""
    version: ClassVar[int]
    """Raised when a rule changes, so that traces of other rules are refused."""
    level_type: type[L]
    state_type: type[S] = State  # type: ignore[assignment]
    LEVELS: Mapping[str, L]
    """Named levels: ``easy``, ``normal``, ``hard`` and each reading of the paper's protocol
    (``paper...``).
    """

    unnamed: ClassVar[int] = 0
    """The symbol that stands for a cell which a description does not state, when a move is replayed
    on it.
    """
    sources: ClassVar[tuple[str, ...]] = ()
    """Where the rules come from: names and addresses, for the docs page."""
    one_game: ClassVar[bool] = False
    """There is one opening and no luck, so that every seed is the same game (chess against a
    program that draws nothing).
    """
    screen: ClassVar[bool] = False
    """Known to show finished pictures without symbols, so that its lists need not start it."""

    def __init_subclass__(cls) -> None:
        """Methods that take a level take its name as well; all see that what they are given is of
        this game, or whole numbers.
        """
        super().__init_subclass__()
        for names, takes in (
            (_TAKE_SEEDS, _takes_seeds),
            (_TAKE_ACTION, _takes_action),
            (_TAKE_TEXT, _takes_text),
            (_TAKE_NUMBER, _takes_number),
            (_TAKE_ROW, _takes_row),
            (_TAKE_LEVEL, _takes_level),
            (_TAKE_SYMBOLS, _takes_symbols),
            (_TAKE_STATE, _takes_state),
        ):
            for name in names & cls.__dict__.keys():
                setattr(cls, name, takes(cls.__dict__[name]))

    def level(self, name: str | L = "normal", **overrides: Any) -> L:
        """A named level (or a Level), with single fields overridden: by keywords, or in the name
        (``"hard:rows=8"``).

        Every method that takes a level takes what this takes.

        Raises:
            ConfigError: unknown name, unknown field, or a value out of range.
        """
        name = name_of(name)
        if isinstance(name, str):
            name, fields_ = read_dial(name)
            overrides = fields_ | overrides
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
            mine = {**asdict(level), **fields}
            others = {
                name: {k: v for k, v in mine.items() if asdict(other)[k] != v}
                for name, other in self.LEVELS.items()
            }
            others.setdefault("normal", mine)
            level = min(others, key=lambda name: len(others[name]))
            fields = others[level]
        text = ",".join(
            f"{name}={value if isinstance(value, str) else json.dumps(value)}"
            for name, value in fields.items()
        )
        return f"{level}{',' if ':' in level else ':'}{text}" if text else level

    def identity(self) -> tuple[Any, ...]:
        """What two games have in common that stand for each other, though they were made apart."""
        kind = type(self)
        # a game may lack any of them
        told = (repr(getattr(self, key, None)) for key in ("name", "version", "LEVELS"))
        return kind.__module__, kind.__qualname__, *told

    def belongs(self, state: S) -> None:
        """See that a state is one of this game.

        Raises:
            StateError: it is of another game, or no state.
        """
        if not isinstance(state, self.state_type) or not isinstance(state.level, self.level_type):
            of = f" of {type(state.level).__name__}" if isinstance(state, State) else ""
            wanted = f"a {self.state_type.__name__} of {self.level_type.__name__}"
            raise StateError(f"a {type(state).__name__}{of}: {self.name} allows {wanted}")

    @abstractmethod
    def n_actions(self, level: L) -> int:
        """Number of action ids, ``A``."""

    @abstractmethod
    def reset(self, level: L, seeds: NDArray[np.uint64]) -> S:
        """Fresh games, one per seed (``(B,)`` uint64).

        Raises:
            ConfigError: the seeds are no list and no array of whole numbers of 64 bits; no game has
                to look at that itself.
        """

    @abstractmethod
    def legal(self, state: S) -> NDArray[np.bool_]:
        """``(B, A)``: the actions that change the board; all False where the game has ended."""

    def success_mask(self, state: S) -> NDArray[np.bool_]:
        """``(B, A)``: the actions that :meth:`success` would accept, the paper's +1; by default the
        legal ones.
        """
        return self.legal(state)

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
        number = whole("number", number, _WORD >> 1)
        out = np.empty(len(state), np.int64)
        _pick_rows(self.legal(state), state.seed, state.steps, number, out)
        return out

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
        ids = self._checked(state.level, actions)
        if ids.ndim != 2 or len(ids) != len(state):
            raise ActionError(f"actions of shape {ids.shape}: allowed are ({len(state)}, n)")
        return np.where(self._try(state, ids), 1.0, -1.0)

    def _try(self, state: S, actions: NDArray[np.int64]) -> NDArray[np.bool_]:
        """``(B, n)``: which of the actions are good; games with many actions override it."""
        good = np.empty(actions.shape, bool)
        _look_up(self.success_mask(state), actions, good)
        return good

    def _checked(self, level: L, actions: Any) -> NDArray[np.int64]:
        """Action ids as an array of any shape."""
        count, ids = self.n_actions(level), _integers(actions)
        allowed = f"allowed are 0 to {count - 1}, or -1 for no action"
        if ids is None:
            of = (
                f" of type {actions.dtype}"
                if isinstance(actions, np.ndarray)
                else f" = {one_line(repr(actions), 200)}"
            )
            raise ActionError(f"actions{of} of {self.name}: {allowed}")
        if ids.size and not NO_ACTION <= int(ids.min()) <= int(ids.max()) < count:
            bad = ids[(ids < NO_ACTION) | (ids >= count)].flat[0]
            raise ActionError(f"action {bad} of {self.name}: {allowed}")
        return ids.astype(np.int64)

    def _row_actions(self, level: L, actions: Any, n: int) -> NDArray[np.int64]:
        """One action id a row."""
        ids = self._checked(level, actions)
        if ids.shape != (n,):
            raise ActionError(f"actions of shape {ids.shape}: allowed are ({n},)")
        return ids

    def _action(self, level: L, action: Any) -> int:
        """The id of one action."""
        count = self.n_actions(level)
        if type(action) is int and 0 <= action < count:
            return action
        try:
            return whole("action", action, count - 1)
        except ConfigError as error:
            raise ActionError(
                f"action {one_line(repr(action), 200)} of {self.name}: allowed are 0 to {count - 1}"
            ) from error

    def step(self, state: S, actions: NDArray[np.int64]) -> tuple[S, Outcome]:
        """Play one turn in every row; ended rows pass through unchanged with gain 0.

        Args:
            state: ``B`` games; left untouched.
            actions: ``(B,)`` action ids, or :data:`NO_ACTION`.

        Raises:
            ActionError: wrong shape, or an id outside ``-1 .. A - 1``.
        """
        self.belongs(state)
        new, outcome = self._step(state, self._row_actions(state.level, actions, len(state)))
        over = new.terminated & ~state.terminated
        if not state.level.restart or not over.any():
            return new, outcome
        rows = np.flatnonzero(over)
        deal = mix_array(mix_array(new.seed[rows]) ^ ~new.steps[rows].view(np.uint64))
        fresh = self.reset(state.level, _in_split_of(new.seed[rows], deal)).arrays()
        arrays, old = new.arrays(), state.arrays()
        for key in arrays.keys() - {"score", "steps", "seed"}:
            if arrays[key] is old[key]:  # what a step leaves alone belongs to the state before it
                arrays[key] = arrays[key].copy()
            arrays[key][rows] = fresh[key]
        return new.with_arrays(arrays), replace(outcome, terminated=arrays["terminated"])

    @abstractmethod
    def _step(self, state: S, actions: NDArray[np.int64]) -> tuple[S, Outcome]:
        """The rules of :meth:`step`, on checked actions."""

    def success(self, state: S, actions: NDArray[np.int64], outcome: Outcome) -> NDArray[np.bool_]:
        """``(B,)``: the turns that are worth the paper's +1; by default those with a gain.

        Puzzles without a score of each move override it together with :meth:`success_mask`.

        Args:
            state: the games before the turn.
            actions: what was played.
            outcome: what :meth:`step` said of it.
        """
        return outcome.gain > 0

    def described(self, level: L, symbols: NDArray[Any]) -> NDArray[Any]:
        """The symbols of a description, held to the scenes of a level; :meth:`from_symbols` and
        :meth:`would_succeed` get these.

        Raises:
            StateError: they are no whole numbers, of another shape than the level's scenes, or
                without a name.
        """
        sample, symbols = self.sample(level), np.asarray(symbols)
        if symbols.dtype.kind not in "iu":
            raise StateError(f"symbols of type {symbols.dtype}: allowed are whole numbers")
        if symbols.shape[1:] != sample.symbols.shape[1:] or symbols.ndim != 3:
            allowed = ", ".join(map(str, ("B", *sample.symbols.shape[1:])))
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
        return self.success(state, actions, self.step(state, actions)[1])

    @abstractmethod
    def scene(self, state: S) -> Scene:
        """What is to be seen of each row; built with :meth:`view`."""

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
            raise ConfigError(
                f"kind of the scene of {type(self).__name__}", kind, "one of " + ", ".join(KINDS)
            )
        test = (state.seed >> np.uint64(62)) == np.uint64(SPLITS.index("test"))
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
        level, n = self.level(level), len(board)
        counters = {
            "score": np.zeros(n, np.int64),
            "steps": np.zeros(n, np.int64),
            "terminated": np.zeros(n, bool),
        }
        seeds = np.zeros(n, np.uint64) if seeds is None else seed_array(seeds)
        arrays = {"board": board, "seed": seeds, **counters, **arrays}
        names = {f.name for f in fields(self.state_type)} - {"level"}
        if arrays.keys() != names:
            raise StateError(
                f"arrays {', '.join(sorted(arrays))}: {self.name} needs {', '.join(sorted(names))}"
            )
        return self.state_type(level=level, **arrays)

    @abstractmethod
    def from_symbols(self, level: L, symbols: NDArray[np.int16]) -> S:
        """Playable states with the given scenes (score 0, turn 0, seed 0): to replay a move on a
        *described* board.

        It never raises on symbols that the game has names for; boards that the rules could not
        reach (two players, no player) get a state all the same, in which moves may be illegal.

        Args:
            level: the level.
            symbols: ``(B, rows, cols)``, as in :class:`Scene`.

        Raises:
            StateError: symbols of another shape, or without a name; no game has to look at that
                itself.
        """

    @abstractmethod
    def oracle(self, state: S) -> NDArray[np.float64]:
        """``(B, A)`` value of each action, NaN where illegal; it knows the board, never the luck to
        come.

        Larger is better. It sees what a perfect player could know, so never what the picture hides.
        """

    @abstractmethod
    def encode(self, level: L, action: int) -> str:
        """The canonical text of an action."""

    @abstractmethod
    def decode(self, level: L, text: str) -> Decoded:
        """Read the text of an answer; anything but a clearly stated action of this level is no
        action with a reason.
        """

    @abstractmethod
    def rules(self, level: L) -> str:
        """The rules, for a player who sees the picture (a few sentences), and how the cells are
        written as text.
        """

    @abstractmethod
    def answer_format(self, level: L) -> str:
        """What belongs into ``<answer>``: a sentence with an example."""

    @abstractmethod
    def explain(self, state: S, row: int, action: int) -> str:
        """One short phrase that names ``action`` and what it actually does in ``row``; for a
        teacher's reasoning.
        """

    @abstractmethod
    def candidates(self, state: S, row: int) -> list[int]:
        """The few actions that a careful player would weigh in ``row``, in reading order; may hold
        illegal ones.
        """

    def reasoning(self, state: S, row: int, values: NDArray[np.float64]) -> tuple[str, int]:
        """What a careful player thinks aloud in ``row``, and the move that it comes to.

        By default every candidate and what it does, and the best move. Games with many moves search
        place by place, and end at the first move that works.

        Args:
            state: games.
            row: the one that is thought about.
            values: ``(A,)`` of :meth:`oracle` for this row.

        Returns:
            Phrases joined by ``"; "``, and the id of the move, or NO_ACTION if there is none.
        """
        best = best_action(values)
        weighed = self.candidates(state, row)
        if best != NO_ACTION and best not in weighed:
            weighed = [*weighed, best]
        return "; ".join(self.explain(state, row, action) for action in weighed), best

    def blank(self, level: L) -> S | None:
        """One game whose board is there but not dealt: what is seen of it has the size, names and
        kind of every game.

        None by default: then a game is dealt where these are asked for, which takes longer.
        """
        return None

    @lru_cache(256)  # noqa: B019 - games are few and live as long as the process
    def sample(self, level: L) -> Scene:
        """The scene of some board, dealt or :meth:`blank`: for its size, the names of the symbols
        and their kind.
        """
        level = self.level(level)
        blank = self.blank(level)
        return self.scene(self.reset(level, np.zeros(1, np.uint64)) if blank is None else blank)

    @lru_cache(256)  # noqa: B019 - games are few and live as long as the process
    def form(self, level: L) -> tuple[tuple[str, np.dtype[Any], tuple[int, ...]], ...]:
        """Name, type and shape behind the batch axis of each array of a state of this level, as
        :meth:`reset` makes them.
        """
        fresh = self.reset(level, np.zeros(1, np.uint64))
        return tuple((name, array.dtype, array.shape[1:]) for name, array in fresh.arrays().items())

    def verify(self, state: S) -> None:
        """See that the values of a state which came from outside are some that the rules, the skins
        and the texts can work on.

        By default: turns are counted from 0, and what is to be seen has names. Games with further
        arrays add what these may hold.

        Raises:
            StateError: they are not.
        """
        if (state.steps < 0).any():
            raise StateError(f"turn {state.steps.min()}: allowed are turns from 0")
        try:
            self.scene(state).check()
        except IndexError as error:
            raise StateError(f"values that stand for nothing in {self.name}: {error}") from error

    def from_bytes(self, data: bytes) -> S:
        """Read back what :meth:`State.to_bytes` wrote, by this version or an earlier one.

        Everything is held to this game and to the level before it is used: names, types, shapes,
        the size of packed arrays before they are unpacked, the checksum, and the values
        (:meth:`verify`). So bytes of any origin can be read.

        Raises:
            StateError: other game, other rules version, or damaged bytes.
        """
        header, begin, end = read_header(data)
        if header.game != self.name or header.version != self.version:
            raise StateError(
                f"a state of {header.game} version {header.version}: this is "
                f"{self.name} version {self.version}"
            )
        try:
            level, rows = self.level(self.level_type.parse(header.level)), header.rows
            form = self.form(level)
        except (VlmGymError, TypeError) as error:
            raise StateError(f"damaged state: {error}") from error
        allowed = json.dumps(
            [[name, kind.newbyteorder("<").str, [rows, *shape]] for name, kind, shape in form]
        )
        if header.arrays != allowed:
            raise StateError(
                f"damaged state: arrays {one_line(header.arrays, 600)}, allowed are {allowed}"
            )
        size = sum(rows * kind.itemsize * math.prod(shape) for _, kind, shape in form)
        body = self._unpack(data[begin:end], header.packed, size)
        if data[4:6] != b"\x01\x00" and data[end:] != struct.pack("<I", zlib.crc32(data[:end])):
            raise StateError("damaged state: its checksum is another one")
        arrays, offset = dict[str, NDArray[Any]](), 0
        for name, kind, shape in form:
            count = rows * math.prod(shape)
            array = np.frombuffer(body, kind.newbyteorder("<"), count, offset).reshape(rows, *shape)
            if kind.kind == "b" and np.frombuffer(body, np.uint8, count, offset).max(initial=0) > 1:
                raise StateError(f"damaged state: {name} holds what is neither true nor false")
            arrays[name], offset = array.astype(kind), offset + count * kind.itemsize
        state = self.state_type(level=level, **arrays)
        self.verify(state)
        return state

    @staticmethod
    def _unpack(body: bytes, packed: int | None, size: int) -> bytes:
        """The bytes of the arrays, ``size`` in all; no more than that is ever unpacked."""
        if packed is not None:
            if packed != size or size > PACK_TO:
                raise StateError(
                    f"damaged state: {packed} bytes packed, allowed are {size}, and "
                    f"at most {PACK_TO}"
                )
            reader = zlib.decompressobj()
            try:
                whole = reader.decompress(body, size + 1)
            except zlib.error as error:
                raise StateError(f"damaged state: {error}") from error
            if len(whole) != size or not reader.eof or reader.unused_data:
                raise StateError("damaged state: packed arrays of another size")
            body = whole
        if len(body) < size:
            raise StateError(f"damaged state: {counted(size - len(body), 'byte')} cut off")
        if len(body) > size:
            raise StateError(f"damaged state: {counted(len(body) - size, 'byte')} too many")
        return body

    def __repr__(self) -> str:
        """Such as ``Game 2048 (version 1)``."""
        return f"Game {self.name} (version {self.version})"
