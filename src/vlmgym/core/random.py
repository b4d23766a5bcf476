"""Keyed luck: a draw is a function of a seed, a turn and a number; and the register of seeds and
streams, which are apart from each other.
"""

from __future__ import annotations

import hashlib
from typing import Any, SupportsInt

import numpy as np
from llvmlite import ir
from numba import types
from numpy.typing import NDArray

from vlmgym.core.errors import ConfigError
from vlmgym.core.kernels import instructions, kernel
from vlmgym.core.settings import integers, name_of, whole

# ---- the register: who draws what, so that nothing is drawn twice
# Numbers of the first draws of a turn, far apart: those of the rules begin at 0.
PHOTO_STREAM = 1 << 32  # which photographs are on the tiles of a board
LEGAL_STREAM = 1 << 40  # Game.draw_legal
CHECK_STREAM = 1 << 41  # legal actions that vlmgym check plays
EPISODE_STREAM = 1 << 42  # any actions that vlmgym check plays
GALLERY_STREAM = 1 << 43  # the positions of the gallery
SIMULATION_STREAM = 1 << 44  # the policy that plays continuations on

# What stands for the turn in the draws of a training run; its seed and the question are the others.
TASK_TURN = 0  # which task is asked
SOURCE_TURN = 1  # from which source
ANSWER_TURN = 2  # with which answer a game of a pool goes on

LUCK_SALT = 0x6C75636B
"""Mixed into the salts of :meth:`vlmgym.core.State.reseed`: "luck"."""

SIMULATION_SALT = 0x73696D75 << 24
"""Of the first continuation of a fork, by which :meth:`vlmgym.core.State.reseed` gives it its luck;
the others follow: "simu".
"""

FORK_SALT = 0x666F726B << 24
"""The same of continuations that a policy itself plays: "fork".
"""

CAREFUL_SALT = 0x63617265
"""Mixed into the salt of a teacher with a habit: in which turns it is careful; "care"."""

DEALT_SALT = 0x6465616C
"""Of the draws by which rewards of a group are dealt out among its answers: "deal"."""

TOLD_SALT = 0x746F6C64
"""Of the draws which rows of a cold start are told their description: "told"."""

PREFIXES = {
    "train": (0b00, 62),
    "test": (0b01, 62),
    "pretrain": (0b100, 61),
    "free": (0b11, 62),
    "pilot": (0b101, 61),
}
"""The disjoint parts of the seed space: the top bits of their seeds, and how many bits are below
them. The upper half of the third quarter is for looks at a study before it is run: what is chosen
there was chosen on no test seed.
"""
SPLITS = tuple(PREFIXES)
"""Their names."""
MOST_SEEDS = 100_000_000
"""Seeds that can be asked for at once (800 MB)."""

FIRST_STATES = {"walk": 0, "cold": 500_000_000, "pool": 900_000_000, "deal": 250_000_000}
"""Numbers of the first training states of each use, with seed 0 of a run."""
SEEDED_STATES = 1 << 30
"""Number of the first training state of runs with other seeds, but for walks of small seeds."""
STATES_OF_A_USE = 1 << 27
"""Training states that a use has for itself with each seed of a run, for each task."""
NEAR_WALKS = 128
"""Seeds of runs from 0 on whose walks lie among those of seed 0, :data:`WALKS_APART` states each
from the next.
"""
WALKS_APART = 1_000_003
PRETRAINING_STATES = 1 << 40
"""Pretraining states of each seed of a run, for each task; no two seeds share any."""
CHECKS_FIRST = 1_000_000
"""Number of the first test state that checks during training ask, after those of evaluations."""

# ---- draws: each function is there twice, in Python, and as the instructions that kernels take in
WORD = (1 << 64) - 1
"""All bits of a word."""
_GOLDEN = 0x9E3779B97F4A7C15
_SCATTER = ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB))
_UNIT = 1.0 / (1 << 53)
_SPLIT_BITS = 3
"""Top bits that say which split a seed is of, at most."""
_OF_TOP_BITS = tuple(
    next(split for split, (prefix, below) in PREFIXES.items() if top << 61 >> below == prefix)
    for top in range(1 << _SPLIT_BITS)
)
"""The split that the top bits of a seed stand for."""
_BELOW = np.array([PREFIXES[split][1] for split in _OF_TOP_BITS], np.uint64)
"""By the top bits: the bits of a seed below those of its split."""


def _constant(value: int) -> Any:
    return ir.Constant(ir.IntType(64), value)


def mix64(word: SupportsInt) -> int:
    """The finaliser of SplitMix64 (Steele, Lea, Flood 2014): a bijection of 64-bit words that
    scatters every bit.
    """
    mixed = (int(word) + _GOLDEN) & WORD
    for shift, factor in _SCATTER:
        mixed = ((mixed ^ (mixed >> shift)) * factor) & WORD
    return mixed ^ (mixed >> 31)


@instructions(mix64, types.uint64, types.uint64)
def _mix64(builder: Any, word: Any) -> Any:
    mixed = builder.add(word, _constant(_GOLDEN))
    for shift, factor in _SCATTER:
        shifted = builder.xor(mixed, builder.lshr(mixed, _constant(shift)))
        mixed = builder.mul(shifted, _constant(factor))
    return builder.xor(mixed, builder.lshr(mixed, _constant(31)))


def draw64(seed: SupportsInt, step: SupportsInt, number: SupportsInt) -> int:
    """The ``number``-th 64-bit draw of turn ``step`` under ``seed``; a pure function, so any order
    gives the same luck.
    """
    of_turn = mix64(mix64(seed) ^ int(step) & WORD)
    return mix64(of_turn ^ int(number) & WORD)


@instructions(draw64, types.uint64, types.uint64, types.uint64, types.uint64)
def _draw64(builder: Any, seed: Any, step: Any, number: Any) -> Any:
    of_seed = _mix64(builder, seed)
    of_turn = _mix64(builder, builder.xor(of_seed, step))
    return _mix64(builder, builder.xor(of_turn, number))


def share(bits: SupportsInt, bound: SupportsInt) -> int:
    """32 random bits as a number from 0 to ``bound`` - 1; bias below 2**-32 times ``bound`` by the
    multiply-shift of Lemire (2019).
    """
    return (int(bits) * int(bound) & WORD) >> 32


@instructions(share, types.int64, types.uint64, types.uint64)
def _share(builder: Any, bits: Any, bound: Any) -> Any:
    product = builder.mul(bits, bound)
    return builder.lshr(product, _constant(32))


def draw_below(
    seed: SupportsInt, step: SupportsInt, number: SupportsInt, bound: SupportsInt
) -> int:
    """A draw from 0 .. ``bound`` - 1 (``bound`` < 2**31)."""
    word = draw64(seed, step, number)
    return share(word >> 32, bound)


@instructions(draw_below, types.int64, types.uint64, types.uint64, types.uint64, types.uint64)
def _draw_below(builder: Any, seed: Any, step: Any, number: Any, bound: Any) -> Any:
    word = _draw64(builder, seed, step, number)
    bits = builder.lshr(word, _constant(32))
    return _share(builder, bits, bound)


def draw_unit(seed: SupportsInt, step: SupportsInt, number: SupportsInt) -> float:
    """A draw from [0, 1) with 53 random bits."""
    word = draw64(seed, step, number)
    return (word >> 11) * _UNIT


@instructions(draw_unit, types.float64, types.uint64, types.uint64, types.uint64)
def _draw_unit(builder: Any, seed: Any, step: Any, number: Any) -> Any:
    word = _draw64(builder, seed, step, number)
    bits = builder.lshr(word, _constant(11))
    double = ir.DoubleType()
    unit = ir.Constant(double, _UNIT)
    return builder.fmul(builder.uitofp(bits, double), unit)


@kernel
def draw_rows(seeds, step, number, bounds):
    """One draw for each seed, shape ``(B,)`` int64, below its bound; -1 where the bound is 0."""
    draws = np.empty(len(seeds), np.int64)
    for row in range(len(seeds)):
        draws[row] = -1
        if bounds[row] > 0:
            draws[row] = draw_below(seeds[row], step, number, bounds[row])
    return draws


def mix_array(words: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """:func:`mix64` of each word of an array."""
    # a row at least: NumPy warns where single numbers wrap around
    mixed = np.array(words, np.uint64).reshape(-1)
    mixed += np.uint64(_GOLDEN)
    for shift, factor in _SCATTER:
        mixed ^= mixed >> np.uint64(shift)
        mixed *= np.uint64(factor)
    mixed ^= mixed >> np.uint64(31)
    return mixed.reshape(np.shape(words))


def seeds_for(split: str, game: str, level: str, count: int, start: int = 0) -> NDArray[np.uint64]:
    """Seeds ``start`` .. ``start + count - 1`` of a split, shape ``(count,)`` uint64.

    The split sits in the top bits (:data:`PREFIXES`), so splits cannot overlap; the other bits hash
    (game, level, index).

    Raises:
        ConfigError: ``split`` is not one of :data:`SPLITS`, a name is none, or ``count`` or
            ``start`` is no whole number in its range.
    """
    split = known_split("split", split)
    for field, name in (("game", game), ("level", level)):
        if not isinstance(name_of(name), str):
            raise ConfigError(field, name, "a name")
    count = whole("count", count, MOST_SEEDS)
    start = whole("start", start, 1 << 62)
    stem = hashlib.blake2b(f"{game}/{level}".encode(), digest_size=8).digest()
    base = np.uint64(int.from_bytes(stem, "little"))
    index = np.arange(start, start + count, dtype=np.uint64)
    words = mix_array(base ^ mix_array(index))
    return as_seeds_of(split, words)


def split_of(seed: int) -> str:
    """The split that a seed belongs to.

    Raises:
        ConfigError: it is no whole number of 64 bits.
    """
    return _OF_TOP_BITS[whole("seed", seed, WORD) >> (64 - _SPLIT_BITS)]


def known_split(field: str, split: object) -> str:
    """The name of a split.

    Raises:
        ConfigError: it is none; ``field`` is what the message calls it.
    """
    if not isinstance(split, str) or split not in SPLITS:
        raise ConfigError(field, split, "one of " + ", ".join(SPLITS))
    return split


def as_seeds_of(split: str, words: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """``words`` as seeds of a split."""
    prefix, below = PREFIXES[split]
    return (words & np.uint64((1 << below) - 1)) | np.uint64(prefix << below)


def are_of(split: str, seeds: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Which seeds are of a split."""
    prefix, below = PREFIXES[split]
    return (seeds >> np.uint64(below)) == np.uint64(prefix)


def in_split_of(seeds: NDArray[np.uint64], words: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """``words`` as seeds of the splits that ``seeds`` are of."""
    below = _BELOW[seeds >> np.uint64(64 - _SPLIT_BITS)]
    within = (np.uint64(1) << below) - np.uint64(1)
    return (words & within) | (seeds & ~within)


def seed_array(seeds: Any) -> NDArray[np.uint64]:
    """Seeds as ``(B,)`` uint64.

    Raises:
        ConfigError: they are no list and no array of one axis, or not all of them are whole numbers
            of 64 bits.
    """
    if isinstance(seeds, list | tuple):  # NumPy makes floats of [1, 2**63]
        words = [whole(f"seeds[{row}]", seed, WORD) for row, seed in enumerate(seeds)]
        return np.array(words, np.uint64)
    array = integers(seeds)
    if array is None or array.ndim != 1:
        raise ConfigError("seeds", seeds, f"a list or an array (B,) of whole numbers 0 to {WORD}")
    if array.dtype.kind == "i" and array.min(initial=0) < 0:
        field = f"seeds[{int(array.argmin())}]"
        raise ConfigError(field, int(array.min()), f"a whole number 0 to {WORD}")
    return np.ascontiguousarray(array, np.uint64)
