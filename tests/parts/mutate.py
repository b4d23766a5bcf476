"""Seeded mutators for tests of everything that reads what others wrote: bytes, and JSON values.

``mutations(data, count, seed)`` yields damaged copies of bytes (cut, flipped, spliced, with things
put in or left out). ``json_mutations(value, count, seed)`` yields copies of a JSON value in which
one or two places are of another type, out of range, missing, doubled, nested deep, or not even JSON
(NaN, infinities, halves of surrogate pairs, numbers of 400 digits). ``every_cut(data)`` and
``every_flip(data, first, last)`` yield all of the kind; ``extremes()`` lists values for a field,
and ``deep_text(depth)`` is JSON that is nested too deep. The same seed gives the same mutants.

Values are plain Python, so ``json.dumps(value)`` writes them as text (with NaN and surrogates, as
broken writers do).
"""

import copy
import random
from collections.abc import Iterator
from typing import Any

CHUNKS = (
    b"",
    b"\x00",
    b"\xff" * 4,
    b"\xff" * 8,
    b"\r\n",
    b"\xef\xbb\xbf",
    b"\xc3",
    b'"',
    b"{",
    b"[" * 64,
    b"null",
    b"NaN",
    b"-1",
    b"1e999",
    b"9" * 400,
    b"\\ud83d",
    b"</script>",
    b"../",
)

LIMITS = (
    0,
    1,
    -1,
    2,
    255,
    256,
    -129,
    2**31 - 1,
    2**31,
    -(2**31) - 1,
    2**53 + 1,
    2**63 - 1,
    2**63,
    2**64,
    -(2**64),
    10**400,
)
FLOATS = (0.5, -0.0, 1e308, -1e308, 5e-324, float("inf"), float("-inf"), float("nan"))
TEXTS = (
    "", " ", "\x00", "\ud83d", "a\udc00b", "\x1b[31mred", "\r\n", "null", "NaN", "1", "é" * 300, "x" * 5000, "..",
    "/", "os:abort", "<script>", "=1+1", "%s%n", "{}", "\u202e",
)  # fmt: skip
DEPTHS = (3, 100, 200)


def every_cut(data: bytes) -> Iterator[bytes]:
    """All proper beginnings of ``data``, the empty one first."""
    for size in range(len(data)):
        yield data[:size]


def every_flip(data: bytes, first: int = 0, last: int | None = None) -> Iterator[bytes]:
    """``data`` with one bit flipped, for each bit of bytes ``first`` .. ``last`` - 1."""
    for at in range(first, len(data) if last is None else last):
        for bit in range(8):
            yield data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :]


def mutations(data: bytes, count: int, seed: int) -> Iterator[bytes]:
    """``count`` damaged copies of ``data``, each by one to three random operations; one may be
    equal to ``data`` by chance.
    """
    luck = random.Random(seed)
    for _ in range(count):
        one = data
        for _ in range(luck.choice((1, 1, 1, 2, 3))):
            one = luck.choice(_BYTES)(one, luck)
        yield one


def json_mutations(value: Any, count: int, seed: int) -> Iterator[Any]:
    """``count`` changed copies of a JSON value (of dicts, lists, text, numbers, booleans, None);
    ``value`` stays as it is.
    """
    luck = random.Random(seed)
    for _ in range(count):
        one = copy.deepcopy(value)
        for _ in range(luck.choice((1, 1, 1, 2))):
            one = _change(one, luck)
        yield one


def extremes() -> list[Any]:
    """One of every kind of value that a reader may meet where it expects another."""
    nested: list[Any] = [nest(depth, kind) for depth in DEPTHS for kind in (list, dict)]
    plain: list[Any] = [
        None,
        True,
        False,
        [],
        {},
        [[]],
        {"": None},
        [1, "a", None],
        {"a": {"b": [1]}},
        [0] * 1000,
    ]
    return [*plain, *LIMITS, *FLOATS, *TEXTS, *nested]


def nest(depth: int, kind: type = list) -> Any:
    """A list in a list in a list ..., or a mapping in a mapping ...; for depths that Python itself
    can copy and write.
    """
    value: Any = 0
    for _ in range(depth):
        value = [value] if kind is list else {"a": value}
    return value


def deep_text(depth: int) -> str:
    """JSON of lists nested so deep (100,000 is 200 kB) that a recursive reader gives up; whole, so
    that only depth is wrong.
    """
    return "[" * depth + "0" + "]" * depth


# ---- bytes
def _cut(data: bytes, luck: random.Random) -> bytes:
    return data[: luck.randint(0, len(data))]


def _behead(data: bytes, luck: random.Random) -> bytes:
    return data[luck.randint(0, len(data)) :]


def _flip(data: bytes, luck: random.Random) -> bytes:
    if not data:
        return data
    at = luck.randrange(len(data))
    return data[:at] + bytes([data[at] ^ 1 << luck.randrange(8)]) + data[at + 1 :]


def _overwrite(data: bytes, luck: random.Random) -> bytes:
    at, chunk = (
        luck.randint(0, len(data)),
        luck.choice((luck.choice(CHUNKS), luck.randbytes(luck.randint(1, 8)))),
    )
    return data[:at] + chunk + data[at + len(chunk) :]


def _insert(data: bytes, luck: random.Random) -> bytes:
    at, chunk = (
        luck.randint(0, len(data)),
        luck.choice((luck.choice(CHUNKS), luck.randbytes(luck.randint(1, 8)))),
    )
    return data[:at] + chunk + data[at:]


def _leave_out(data: bytes, luck: random.Random) -> bytes:
    first, last = sorted((luck.randint(0, len(data)), luck.randint(0, len(data))))
    return data[:first] + data[last:]


def _splice(data: bytes, luck: random.Random) -> bytes:
    """A piece of the data once more, somewhere else."""
    first, last = sorted((luck.randint(0, len(data)), luck.randint(0, len(data))))
    at = luck.randint(0, len(data))
    return data[:at] + data[first:last] + data[at:]


_BYTES = (_cut, _behead, _flip, _flip, _flip, _overwrite, _overwrite, _insert, _leave_out, _splice)


# ---- JSON
def _places(value: Any) -> list[tuple[Any, Any]]:
    """The (container, key) of everything inside of a value."""
    found: list[tuple[Any, Any]] = []
    open_: list[Any] = [value]
    while open_:
        at = open_.pop()
        inside = (
            list(at.items())
            if isinstance(at, dict)
            else list(enumerate(at))
            if isinstance(at, list)
            else []
        )
        found += [(at, key) for key, _ in inside]
        open_ += [one for _, one in inside if isinstance(one, dict | list) and len(found) < 100_000]
    return found


def _change(value: Any, luck: random.Random) -> Any:
    places = _places(value)
    if not places or luck.random() < 0.03:
        return copy.deepcopy(luck.choice(extremes()))
    where, key = luck.choice(places)
    how = luck.randrange(8)
    if how == 0:
        del where[key]
    elif how == 1 and isinstance(where, list):
        where.insert(luck.randint(0, len(where)), copy.deepcopy(where[key]))
    elif how == 1:
        where[str(key) + luck.choice(("", "2", " ", "\ud83d"))] = copy.deepcopy(where[key])
    elif how == 2 and isinstance(where, dict):
        where[luck.choice((*TEXTS, "unknown"))] = where.pop(key)
    elif how == 3 and isinstance(where[key], int | float) and not isinstance(where[key], bool):
        where[key] = luck.choice(
            (
                -where[key],
                where[key] + 1,
                where[key] - 1,
                str(where[key]),
                [where[key]],
                where[key] * 1000,
            )
        )
    elif how == 3 and isinstance(where[key], str):
        where[key] = luck.choice(
            (where[key] + luck.choice(TEXTS), where[key][:-1], [where[key]], where[key].swapcase())
        )
    elif how == 4:
        other, other_key = luck.choice(places)
        where[key] = copy.deepcopy(other[other_key])
    else:
        where[key] = copy.deepcopy(luck.choice(extremes()))
    return value
